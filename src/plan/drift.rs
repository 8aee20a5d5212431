//! Judging every path of one deployment.
//!
//! First it is settled what each pack's Desired is: what `fleet.toml` gives, or, where a version is
//! held or rejected, what is recorded. Then each path that is recorded or desired gets one
//! [`Standing`]. Nothing is decided here about what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::model::actual::{Actual, Seen};
use crate::model::desired::{Desired, DesiredEntry, DesiredPack, Resolution};
use crate::model::fleet::{Deployment, Edits};
use crate::model::host_owned::HostOwned;
use crate::model::pack::Modes;
use crate::model::plan::{Hold, HoldCause, Obstacle};
use crate::model::record::{Record, Recorded};
use crate::model::{Entry, Kind, PackName, TreePath};

use super::renames::Rename;
use super::standing::{Standing, standing};

/// One judged path.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The pack that owns it, or will.
    pub pack: PackName,
    /// What the record says of it.
    pub recorded: Option<Recorded>,
    /// What lies there.
    pub actual: Option<Seen>,
    /// What should lie there.
    pub desired: Option<DesiredEntry>,
    /// The verdict.
    pub standing: Standing,
    /// The policy in force.
    pub edits: Edits,
    /// Whether the exec bit counts.
    pub modes: Modes,
    /// Base and desired as they are to be compared and written here, where keys of a structured file are
    /// the host's.
    pub adapted: Option<Adapted>,
}

/// A structured file of which some keys are the host's: what the pack says, with the host's values of these
/// keys, and in the host's own spelling where it says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adapted {
    /// The base, adapted; `None` where there is none.
    pub base: Option<Entry>,
    /// Desired, adapted.
    pub desired: Entry,
}

impl Judged {
    /// The base, if there is one.
    pub fn base(&self) -> Option<Entry> {
        match self.adapted {
            Some(adapted) => adapted.base,
            None => self.recorded.as_ref().and_then(|recorded| recorded.base),
        }
    }

    /// What lies there, if that is a file or link.
    pub fn actual_entry(&self) -> Option<Entry> {
        match self.actual {
            Some(Seen::Entry(entry)) => Some(entry),
            _ => None,
        }
    }

    /// What should lie there.
    pub fn desired_entry(&self) -> Option<Entry> {
        match self.adapted {
            Some(adapted) => Some(adapted.desired),
            None => self.desired.as_ref().map(|desired| desired.entry),
        }
    }

    /// What is in the way, if that is neither file nor link.
    pub fn obstacle(&self) -> Option<&Obstacle> {
        match &self.actual {
            Some(Seen::Obstacle(obstacle)) => Some(obstacle),
            _ => None,
        }
    }
}

/// How one pack enters the plan.
#[derive(Debug, Clone)]
pub struct PackDrift {
    /// What should be there; `None`: the pack is to be removed.
    pub wanted: Option<DesiredPack>,
    /// Desired is not what fleet.toml gives but what is recorded, because of this.
    pub frozen: Option<HoldCause>,
    /// Paths that it gives up to, or gains from, another pack.
    pub moves_with: BTreeSet<PackName>,
    /// Holds that are known before any path is looked at; they stop the pack.
    pub stopped: Vec<Hold>,
}

/// All standings of one deployment.
#[derive(Debug, Clone, Default)]
pub struct Drift {
    /// Every path that is recorded or desired.
    pub paths: BTreeMap<TreePath, Judged>,
    /// Every pack that is recorded or desired.
    pub packs: BTreeMap<PackName, PackDrift>,
    /// Where files went that people had changed, by their old paths; empty until [`super::renames::find`] was
    /// asked.
    pub renames: BTreeMap<TreePath, Rename>,
}

impl Drift {
    /// Judges a path again, with the host's keys in base and desired.
    pub fn adapt(&mut self, path: &TreePath, adapted: Adapted) {
        if let Some(judged) = self.paths.get_mut(path).filter(|j| j.standing != Standing::HostOwned) {
            judged.adapted = Some(adapted);
            judged.standing = stand(judged);
        }
    }

    /// Paths that are not in sync, host-owned ones apart.
    pub fn drifted(&self) -> impl Iterator<Item = (&TreePath, &Judged)> {
        self.paths
            .iter()
            .filter(|(_, judged)| !matches!(judged.standing, Standing::InSync | Standing::HostOwned))
    }

    /// Edits that people made on the host and that stand: changed, conflicting or deleted files.
    pub fn edits(&self) -> impl Iterator<Item = (&TreePath, &Judged)> {
        self.paths.iter().filter(|(_, judged)| {
            matches!(judged.standing, Standing::Edited | Standing::Conflicted | Standing::Missing)
        })
    }
}

/// What is recorded for a pack, as a Desired: what a held version or a rejection falls back to.
pub fn recorded_desired(record: &Record, pack: &PackName) -> Option<DesiredPack> {
    let recorded = record.packs.get(pack)?.clone();
    let entries: BTreeMap<_, _> = record
        .entries
        .iter()
        .filter(|(_, entry)| &entry.owner == pack)
        .filter_map(|(path, entry)| {
            let host_owned = entry.base.is_none();
            let wanted = entry.base.or(entry.written)?;
            Some((path.clone(), DesiredEntry { entry: wanted, host_owned, commit: entry.commit.clone() }))
        })
        .collect();
    Some(DesiredPack { recorded, entries: entries.into() })
}

/// Judges every path. `record` is the empty record where there is none.
pub fn judge(deployment: &Deployment, record: &Record, desired: &Desired, actual: &Actual) -> Drift {
    let mut packs = settle(record, desired);
    let owners = assign(&mut packs, record, desired);
    let mut paths = BTreeMap::new();
    let all: BTreeSet<&TreePath> = owners.keys().chain(record.entries.keys()).collect();
    let owned: BTreeMap<&PackName, HostOwned> = packs
        .iter()
        .filter_map(|(name, pack)| {
            let known = match &pack.wanted {
                Some(wanted) => &wanted.recorded,
                None => record.packs.get(name)?,
            };
            Some((name, HostOwned::new(&known.install, &known.host_owns)))
        })
        .collect();
    for path in all {
        let recorded = record.entries.get(path);
        let Some(pack) = owners.get(path).or(recorded.map(|recorded| &recorded.owner)) else { continue };
        let wanted = packs.get(pack).and_then(|drift| drift.wanted.as_ref());
        let desired = wanted.filter(|_| owners.contains_key(path)).and_then(|w| w.entries.get(path));
        let known = wanted.map(|wanted| &wanted.recorded).or_else(|| record.packs.get(pack));
        let modes = known.map_or(Modes::ExecBit, |known| known.modes);
        let edits = policy(deployment, pack, packs.get(pack));
        let seen = actual.paths.get(path);
        let host_owned = match desired {
            Some(desired) => desired.host_owned,
            None => {
                recorded.is_some_and(|recorded| recorded.base.is_none())
                    || owned.get(pack).is_some_and(|owned| owned.owns(path))
            }
        };
        let mut judged = Judged {
            pack: pack.clone(),
            recorded: recorded.cloned(),
            actual: seen.cloned(),
            desired: desired.cloned(),
            standing: Standing::HostOwned,
            edits,
            modes,
            adapted: None,
        };
        clear_way(path, &mut judged, record, &owners, actual);
        if !host_owned {
            judged.standing = stand(&judged);
        }
        paths.insert(path.clone(), judged);
    }
    Drift { paths, packs, renames: BTreeMap::new() }
}

/// The policy for edits; of a pack that is to be removed, the deployment's.
fn policy(deployment: &Deployment, name: &PackName, pack: Option<&PackDrift>) -> Edits {
    let Some(pack) = pack else { return deployment.edits };
    match (&pack.frozen, &pack.wanted) {
        (Some(_), wanted) => {
            let today = deployment.packs.get(name).map(|today| today.edits);
            policy_on_record(today, wanted.as_ref(), deployment.edits)
        }
        (None, wanted) => wanted.as_ref().map_or(deployment.edits, |wanted| wanted.recorded.edits),
    }
}

/// The policy for edits of a pack whose Desired is what is recorded: today's, not the recorded one.
pub(super) fn policy_on_record(today: Option<Edits>, wanted: Option<&DesiredPack>, rest: Edits) -> Edits {
    today.or(wanted.map(|wanted| wanted.recorded.edits)).unwrap_or(rest)
}

/// What each pack's Desired is, and why it is not fleet.toml's where it is not.
fn settle(record: &Record, desired: &Desired) -> BTreeMap<PackName, PackDrift> {
    let names: BTreeSet<&PackName> = desired.packs.keys().chain(record.packs.keys()).collect();
    let drift = |name: &PackName| {
        let given = desired.packs.get(name);
        let digest = match given {
            Some(Resolution::Pinned(pack)) => Some(pack.recorded.desired),
            Some(Resolution::Held(_)) | None => None,
        };
        let rejection = record.rejected.get(name).filter(|rejection| {
            !matches!(given, Some(Resolution::Held(_))) && rejection.digests.contains(&digest)
        });
        let (wanted, frozen) = match (given, rejection) {
            (_, Some(rejection)) => {
                let cause = HoldCause::Rejected { desired: digest, restored: rejection.restored };
                (recorded_desired(record, name), Some(cause))
            }
            (Some(Resolution::Held(cause)), None) => (recorded_desired(record, name), Some(cause.clone())),
            (Some(Resolution::Pinned(pack)), None) => (Some((**pack).clone()), None),
            (None, None) => (None, None),
        };
        PackDrift { wanted, frozen, moves_with: BTreeSet::new(), stopped: Vec::new() }
    };
    names.into_iter().map(|name| (name.clone(), drift(name))).collect()
}

/// Which pack owns each desired path. A path that two packs want stops one or both; a path that moves
/// between packs ties them.
fn assign(
    packs: &mut BTreeMap<PackName, PackDrift>,
    record: &Record,
    desired: &Desired,
) -> BTreeMap<TreePath, PackName> {
    let mut owners: BTreeMap<TreePath, PackName> = BTreeMap::new();
    let mut stops: Vec<(PackName, TreePath, HoldCause)> = Vec::new();
    let mut ties: Vec<(PackName, PackName)> = Vec::new();
    for (name, drift) in packs.iter() {
        for path in drift.wanted.iter().flat_map(|wanted| wanted.entries.keys()) {
            if let Some(other) = owners.get(path) {
                let frozen = |name: &PackName| packs.get(name).is_some_and(|p| p.frozen.is_some());
                let both = || HoldCause::Version(format!("packs {other} and {name} both install {path}"));
                match (frozen(other), frozen(name)) {
                    (true, false) => {
                        stops.push((name.clone(), path.clone(), HoldCause::Tied { pack: other.clone() }));
                        continue;
                    }
                    (false, true) => {
                        stops.push((other.clone(), path.clone(), HoldCause::Tied { pack: name.clone() }));
                    }
                    _ => {
                        stops.push((name.clone(), path.clone(), both()));
                        stops.push((other.clone(), path.clone(), both()));
                        continue;
                    }
                }
            }
            owners.insert(path.clone(), name.clone());
        }
    }
    // A frozen pack does not install what fleet.toml gives, but what it would take over ties it as well.
    let given = desired.packs.iter().filter_map(|(name, resolution)| match resolution {
        Resolution::Pinned(pack) => Some(pack.entries.keys().map(move |path| (path, name))),
        Resolution::Held(_) => None,
    });
    for (path, owner) in owners.iter().chain(given.flatten()) {
        if let Some(before) = record.entries.get(path).map(|recorded| &recorded.owner)
            && before != owner
        {
            ties.push((before.clone(), owner.clone()));
        }
    }
    for (pack, path, cause) in stops {
        if let Some(drift) = packs.get_mut(&pack) {
            drift.stopped.push(Hold { pack: Some(pack), path: Some(path), cause });
        }
    }
    for (a, b) in ties {
        if let Some(drift) = packs.get_mut(&a) {
            drift.moves_with.insert(b.clone());
        }
        if let Some(drift) = packs.get_mut(&b) {
            drift.moves_with.insert(a);
        }
    }
    owners
}

/// An obstacle that the same plan takes away is none: a recorded file that is to become a directory,
/// or a directory of recorded files that is to become a file. Whether it is really taken away is known
/// only when everything is judged; [`super::holds`] holds what would collide.
pub(super) fn clear_way(
    path: &TreePath,
    judged: &mut Judged,
    record: &Record,
    owners: &BTreeMap<TreePath, PackName>,
    actual: &Actual,
) {
    let goes = |at: &TreePath| record.entries.contains_key(at) && !owners.contains_key(at);
    let clear = match judged.obstacle() {
        // Where nothing is to lie, both say that the file has gone.
        Some(Obstacle::Ancestor { .. } | Obstacle::Directory { .. }) if judged.desired.is_none() => true,
        Some(Obstacle::Ancestor { at, .. }) => goes(at),
        Some(Obstacle::Directory { foreign: None }) if is_ours(path, record, owners) => {
            // The host counts what it looked at as known. A pack that is held back, or a generation that is
            // to be undone, may have had it look at a file that is nobody's.
            let known = |at: &TreePath| record.entries.contains_key(at) || owners.contains_key(at);
            let is_stranger = |at: &TreePath, seen: &Seen| match seen {
                _ if known(at) => false,
                Seen::Obstacle(Obstacle::Ancestor { .. }) => false,
                Seen::Obstacle(Obstacle::Directory { foreign: None }) => !is_ours(at, record, owners),
                _ => true,
            };
            let mut strangers =
                below(&actual.paths, path).filter(|(at, seen)| is_stranger(at, seen)).map(|(at, _)| at);
            let stranger = strangers.next().cloned();
            if let Some(stranger) = &stranger {
                let foreign = Some(stranger.to_string());
                judged.actual = Some(Seen::Obstacle(Obstacle::Directory { foreign }));
            }
            stranger.is_none()
        }
        _ => false,
    };
    if clear {
        judged.actual = None;
    }
}

/// Whether a directory is of packfleet's making, or holds what is recorded or wanted. An empty one that
/// somebody else made is as foreign as a file.
fn is_ours(directory: &TreePath, record: &Record, owners: &BTreeMap<TreePath, PackName>) -> bool {
    record.directories.contains(directory)
        || below(&record.entries, directory).next().is_some()
        || below(owners, directory).next().is_some()
}

/// What lies below a path, in order.
pub(super) fn below<'a, T>(
    map: &'a BTreeMap<TreePath, T>,
    path: &TreePath,
) -> impl Iterator<Item = (&'a TreePath, &'a T)> + use<'a, T> {
    let from = format!("{path}/");
    let after = map.range::<str, _>((Bound::Included(from.as_str()), Bound::Unbounded));
    after.take_while(move |(at, _)| at.as_str().starts_with(&from))
}

/// The standing, with an obstacle counted as something that equals nothing, and exec bits left out
/// where they do not count.
pub(super) fn stand(judged: &Judged) -> Standing {
    let plain = |entry: Entry| plain(judged.modes, entry);
    let base = judged.base().map(plain);
    let desired = judged.desired_entry().map(plain);
    match &judged.actual {
        Some(Seen::Obstacle(_)) if base.is_none() && desired.is_none() => Standing::Unmanaged,
        Some(Seen::Obstacle(_)) if base == desired => Standing::Edited,
        Some(Seen::Obstacle(_)) => Standing::Conflicted,
        _ => standing(base, judged.actual_entry().map(plain), desired),
    }
}

/// An entry as far as it counts.
pub(super) fn plain(modes: Modes, entry: Entry) -> Entry {
    match (modes, entry.kind) {
        (Modes::Ignore, Kind::Exec) => Entry { kind: Kind::File, ..entry },
        _ => entry,
    }
}
