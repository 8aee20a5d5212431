//! A host as its status tells of it: it answers looks, and nothing that would need a byte or a write.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::read::{Known, Unheard};
use crate::host::{
    Applied, Blobs, Check, Checked, Commit, EditId, Exam, Examined, Features, Generation, Glance, Health,
    HistoryLine, Host, HostError, Interrupted, Look, Narrow, Narrowed, Notes, Observation, Pausing,
    Preparation, Recovery, Resume, SavedEdit, Seen, Soak, Step, Told as Words, Unchanged, Verdict,
};
use crate::model::actual::Actual;
use crate::model::manifest::{Line, Manifest, Owners, Spot, Told};
use crate::model::record::Record;
use crate::model::rollout::Pause;
use crate::model::settled::{Part, parts};
use crate::model::stamp::{FareState, Stamp};
use crate::model::{Content, DeploymentName, Entry, FleetName, HostPath, PackName, TreePath};

/// A manifest, and what is worth knowing of it once for all deployments that hold the same.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) manifest: Manifest,
    settled: OnceLock<Option<BTreeMap<PackName, Part>>>,
    owners: OnceLock<Owners>,
}

impl Shared {
    pub(super) fn new(manifest: Manifest) -> Self {
        Self { manifest, settled: OnceLock::new(), owners: OnceLock::new() }
    }

    /// What lies at a path that is no line.
    pub(super) fn spot(&self, path: &TreePath) -> Spot {
        self.manifest.spot(path, self.owners.get_or_init(|| self.manifest.owners()))
    }

    /// What the record says of each pack, if the record is settled and all lies there as it says.
    fn settled(&self, about: impl FnOnce() -> Record) -> Option<&BTreeMap<PackName, Part>> {
        let settle = || {
            let as_recorded = |line: &Line| match (line.recorded.base, &line.actual) {
                (None, _) => true,
                (Some(base), Told::Entry(entry)) => base == *entry,
                _ => false,
            };
            let all = self.manifest.lines.values().all(as_recorded);
            if all { parts(&self.manifest.record(about())) } else { None }
        };
        self.settled.get_or_init(settle).as_ref()
    }
}

/// The host of a status, or of none.
pub(super) struct ToldHost {
    root: HostPath,
    heard: Result<Known, Unheard>,
}

impl ToldHost {
    pub(super) fn new(root: HostPath, heard: Result<Known, Unheard>) -> Self {
        Self { root, heard }
    }

    fn known(&self) -> Result<&Known, HostError> {
        self.heard.as_ref().map_err(|unheard| HostError::Told(Words::of(unheard)))
    }

    /// What only the host itself could do.
    fn mute<T>(&self, what: &str) -> Result<T, HostError> {
        Err(HostError::Told(Words::new([format!("a status does not tell {what}")])))
    }
}

/// What lies at managed paths of a manifest, as far as it is told; what is withheld has a content that is nothing's.
pub(super) fn actual(manifest: &Manifest) -> Actual {
    let seen = |(path, line): (&TreePath, &Line)| {
        let seen = match &line.actual {
            Told::Absent => return None,
            Told::Entry(entry) => Seen::Entry(*entry),
            Told::Obstacle(obstacle) => Seen::Obstacle(obstacle.clone()),
            Told::Something => Seen::Entry(line.recorded.base.or(line.recorded.written)?),
            Told::ButForKeys(kind) => {
                let content = line.recorded.base.map_or_else(|| nothings(path), |base| base.content);
                Seen::Entry(Entry { kind: *kind, content })
            }
            Told::Withheld(kind) => Seen::Entry(Entry { kind: *kind, content: nothings(path) }),
        };
        Some((path.clone(), seen))
    };
    Actual {
        paths: manifest.lines.iter().filter_map(seen).collect(),
        directories: manifest.directories.clone(),
        ..Actual::default()
    }
}

/// A content that no file has, for a path of which it is not told.
pub(super) fn nothings(path: &TreePath) -> Content {
    let mut hasher = blake3::Hasher::new_derive_key("packfleet untold content v1");
    hasher.update(path.as_str().as_bytes());
    Content::from_bytes(*hasher.finalize().as_bytes())
}

/// The record of a status.
pub(super) fn record(manifest: &Manifest, stamp: &Stamp) -> Option<Record> {
    stamp.record?;
    Some(manifest.record(about(stamp)))
}

fn about(stamp: &Stamp) -> Record {
    let empty = Record::empty(stamp.fleet.clone(), stamp.deployment.clone(), stamp.root.clone());
    Record { generation: stamp.generation, ..empty }
}

/// Since when its packs are well as they are, and whether it is paused.
fn notes(manifest: &Manifest, stamp: &Stamp) -> Notes {
    // Of the record only the packs matter.
    let about = Record { packs: manifest.packs.clone(), ..about(stamp) };
    Notes { soak: Soak::told(&about, &stamp.since), pause: stamp.pause.clone() }
}

/// Its health, without what was seen.
fn health(stamp: &Stamp) -> Option<Health> {
    let fare = stamp.health?;
    let verdict = match fare.state {
        FareState::Healthy => Verdict::Healthy,
        FareState::Watching => Verdict::Watching,
        FareState::TakenBack => Verdict::TakenBack,
        FareState::Ill => Verdict::Ill,
        FareState::GoingBack => Verdict::GoingBack,
    };
    let (generation, since) = (fare.generation, fare.since);
    Some(Health { generation, verdict, since, evidence: Vec::new(), marks: BTreeMap::new(), boot: None })
}

impl Host for ToldHost {
    fn root(&self) -> &HostPath {
        &self.root
    }

    fn observe(&self, look: &Look) -> Result<Observation, HostError> {
        let Known { stamp, shared, .. } = self.known()?;
        let manifest = &shared.manifest;
        let mut actual = actual(manifest);
        for path in look.paths.iter().filter(|path| !manifest.lines.contains_key(*path)) {
            let obstacle = match shared.spot(path) {
                Spot::Below(obstacle) => obstacle,
                Spot::Directory => crate::model::plan::Obstacle::Directory { foreign: None },
                // What is pretended about these is the business of whoever plans.
                Spot::Free | Spot::Taken | Spot::Hidden | Spot::Untold => continue,
            };
            actual.paths.insert(path.clone(), Seen::Obstacle(obstacle));
        }
        Ok(Observation {
            record: record(manifest, stamp),
            digest: stamp.record,
            actual,
            interrupted: stamp.interrupted.map(|generation| Interrupted { generation }),
            staged: stamp.staged,
            version_file: None,
            health: health(stamp),
            notes: notes(manifest, stamp),
        })
    }

    fn unchanged(&self, glance: &Glance) -> Result<Option<Unchanged>, HostError> {
        let Known { stamp, shared, .. } = self.known()?;
        let Some(digest) = stamp.record else { return Ok(None) };
        let quiet = stamp.interrupted.is_none() && !stamp.staged && stamp.version_file.is_none();
        let free = |path: &TreePath| !shared.manifest.lines.contains_key(path);
        let same = quiet
            && glance.reserved.iter().all(free)
            && shared.settled(|| about(stamp)).is_some_and(|parts| *parts == glance.parts);
        let (generation, health) = (stamp.generation, health(stamp));
        let notes = notes(&shared.manifest, stamp);
        Ok(same.then_some(Unchanged { generation, digest, version_file: None, health, notes }))
    }

    fn features(&self) -> Result<Features, HostError> {
        self.mute("what its kernel can do")
    }

    fn examine(&self, _exam: &Exam) -> Result<Examined, HostError> {
        self.mute("what its host is fit for")
    }

    fn prepare(&self, _preparation: &Preparation) -> Result<Vec<Step>, HostError> {
        self.mute("how to prepare its host")
    }

    fn about(&self, _: &FleetName, _: &DeploymentName) -> Result<Option<Record>, HostError> {
        Ok(None)
    }

    fn narrow(&self, _narrow: &Narrow) -> Result<Option<Narrowed>, HostError> {
        Ok(None)
    }

    fn read(&self, path: &TreePath, _expected: Content) -> Result<Vec<u8>, HostError> {
        self.mute(&format!("the bytes of {path}"))
    }

    fn kept(&self, _content: Content) -> Result<Option<Vec<u8>>, HostError> {
        self.mute("bytes that its host keeps")
    }

    fn recover(&self, _look: &Look, _resume: &Resume) -> Result<Recovery, HostError> {
        self.mute("how to recover its host")
    }

    fn check(&self, _check: &Check<'_>, _blobs: &dyn Blobs) -> Result<Checked, HostError> {
        self.mute("whether checks pass")
    }

    fn apply(&self, _commit: &Commit<'_>, _blobs: &dyn Blobs) -> Result<Applied, HostError> {
        self.mute("its host anything")
    }

    fn pause(&self, _pausing: &Pausing) -> Result<Option<Pause>, HostError> {
        self.mute("its host that it is paused")
    }

    fn history(&self) -> Result<Vec<HistoryLine>, HostError> {
        self.mute("the history of its host")
    }

    fn generations(&self) -> Result<Vec<Generation>, HostError> {
        self.mute("the generations of its host")
    }

    fn edits(&self) -> Result<Vec<SavedEdit>, HostError> {
        self.mute("which edits its host keeps")
    }

    fn drop_edits(&self, _ids: &[EditId]) -> Result<(), HostError> {
        self.mute("its host to drop edits")
    }
}
