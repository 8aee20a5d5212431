//! A root on this machine.
//!
//! Holds no open file between calls and no truth: each call opens the root anew and believes what it
//! finds there. What it remembers is where the bytes of backups lie, which never changes.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::beneath::{Dir, Node, stat_file};
use super::cache::StatCache;
use super::edits::Edits;
use super::examine::{self, Exam, Examined};
use super::generations::{Generations, Index};
use super::journal::{Journal, is_staged};
use super::prepare::{self, Preparation, Step};
use super::presence::Presence;
use super::scan::{Looked, Scan};
use super::state::{self, Ground, Owner, failed, name};
use super::watch::RootWatch;
use super::{
    Actual, Applied, Blobs, Check, Checked, Commit, EditId, Features, Generation, Glance, Health,
    HistoryLine, Host, HostError, Interrupted, Look, Narrow, Narrowed, Notes, Observation, Pausing, Recovery,
    Resume, SavedEdit, Sink, Stirs, Trust, Unchanged, check, features, glance, lines, listing, narrow, pause,
    transaction,
};
use crate::model::record::Record;
use crate::model::rollout::Pause;
use crate::model::{Content, DeploymentName, Entry, FleetName, HostPath, TreePath};

/// The most that is read of a VERSION file.
const VERSION_LIMIT: u64 = 1 << 20;

/// A root on this machine.
#[derive(Debug)]
pub struct LocalHost {
    root: HostPath,
    /// Where the backups' bytes lie, for the generations that it was made from.
    index: Mutex<Option<(Vec<u64>, Index)>>,
    /// Where somebody stands between this and a controller: whether that is there.
    presence: Option<Arc<Presence>>,
}

impl LocalHost {
    /// Names a root; nothing is touched before it is used.
    pub fn open(root: HostPath) -> Self {
        Self { root, index: Mutex::new(None), presence: None }
    }

    /// Watches end with a look at this: where nobody is there any more who could be told how a change fares, one that
    /// is still watched when its time is over goes back.
    #[must_use]
    pub(super) fn attended_by(self, presence: Arc<Presence>) -> Self {
        Self { presence: Some(presence), ..self }
    }

    fn attended(&self) -> bool {
        self.presence.as_ref().is_none_or(|presence| presence.is_attended())
    }

    /// The state directory, where there is one.
    fn state(&self) -> Result<Option<Dir>, HostError> {
        match Ground::open(&self.root)? {
            Some(ground) => ground.state(),
            None => Ok(None),
        }
    }

    /// Bytes that came out of a generation that is still kept.
    fn backup(&self, state: &Dir, content: Content) -> Result<Option<Vec<u8>>, HostError> {
        self.backed_up(state, content, Generations::bytes)
    }

    /// The same as an open file, unverified.
    fn backup_file(&self, state: &Dir, content: Content) -> Result<Option<File>, HostError> {
        self.backed_up(state, content, Generations::file)
    }

    fn backed_up<T>(
        &self,
        state: &Dir,
        content: Content,
        take: impl FnOnce(&Generations, u64, &str, Entry) -> io::Result<Option<T>>,
    ) -> Result<Option<T>, HostError> {
        let Some(generations) = Generations::open(state)? else { return Ok(None) };
        let numbers = generations.numbers()?;
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        // Numbers are never reused, so equal numbers are equal generations.
        let known = match index.take() {
            Some((of, known)) if of == numbers => known,
            _ => generations.index()?,
        };
        let found = match known.get(&content) {
            Some((number, slot, entry)) => take(&generations, *number, slot, *entry),
            None => Ok(None),
        };
        *index = Some((numbers, known));
        found.map_err(failed("read the backup of", content.to_string()))
    }
}

impl Host for LocalHost {
    fn root(&self) -> &HostPath {
        &self.root
    }

    fn observe(&self, look: &Look) -> Result<Observation, HostError> {
        let mut observation = Observation {
            record: None,
            digest: None,
            actual: Actual::default(),
            interrupted: None,
            staged: false,
            version_file: None,
            health: None,
            notes: Notes::default(),
        };
        let Some(ground) = Ground::open(&self.root)? else { return Ok(observation) };
        let mut cache = StatCache::default();
        if let Some(state) = ground.state()? {
            if let Some((record, digest)) = state::read_record(&state, Owner::looking(look, &self.root))? {
                observation.record = Some(record);
                observation.digest = Some(digest);
            }
            observation.health = Health::load(&state)?;
            observation.notes = Notes::load(&state)?;
            observation.interrupted = Journal::load(&state, &self.root)?
                .map(|journal| Interrupted { generation: journal.generation });
            observation.staged = observation.interrupted.is_none() && is_staged(&state)?;
            if look.trust == Trust::StatCache {
                cache = StatCache::load(&state);
            }
        }
        let none = Default::default();
        let record = observation.record.as_ref();
        let recorded = record.into_iter().flat_map(|record| record.entries.keys());
        let looked = Looked::new(recorded.chain(&look.paths));
        let ours = record.map_or(&none, |record| &record.directories);
        observation.actual = Scan { ground: &ground, looked: &looked, ours, cache: &cache }.run();
        let version = look.version_file.as_ref();
        observation.actual.unmanaged = listing::unmanaged(&ground, &look.list, &looked, version);
        observation.version_file = match version {
            Some(path) => read_small(&ground, path).map_err(failed("read", path.as_str()))?,
            None => None,
        };
        Ok(observation)
    }

    fn unchanged(&self, asked: &Glance) -> Result<Option<Unchanged>, HostError> {
        match Ground::open(&self.root)? {
            Some(ground) => glance::glance(&ground, asked),
            None => Ok(None),
        }
    }

    fn features(&self) -> Result<Features, HostError> {
        for at in std::path::Path::new(self.root.as_str()).ancestors() {
            let at = at.to_str().and_then(|at| HostPath::new(at).ok());
            if let Some(ground) = at.map(|at| Ground::open(&at)).transpose()?.flatten() {
                return features::features(&ground);
            }
        }
        let why = "nothing above it exists".into();
        Err(HostError::Root { root: self.root.clone(), why })
    }

    fn examine(&self, exam: &Exam) -> Result<Examined, HostError> {
        Ok(examine::examine(&self.root, exam))
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Vec<Step>, HostError> {
        Ok(prepare::prepare(&self.root, preparation))
    }

    fn about(&self, fleet: &FleetName, deployment: &DeploymentName) -> Result<Option<Record>, HostError> {
        let Some(state) = self.state()? else { return Ok(None) };
        state::read_about(&state, Owner { fleet, deployment, root: &self.root })
    }

    fn narrow(&self, asked: &Narrow) -> Result<Option<Narrowed>, HostError> {
        match Ground::open(&self.root)? {
            Some(ground) => narrow::narrow(&ground, asked),
            None => Ok(None),
        }
    }

    fn watch(&self) -> Result<Option<Box<dyn Stirs>>, HostError> {
        Ok(Some(Box::new(RootWatch::begin(&self.root)?)))
    }

    fn read(&self, path: &TreePath, expected: Content) -> Result<Vec<u8>, HostError> {
        let changed = || HostError::Changed { path: path.clone() };
        let ground = Ground::open(&self.root)?.ok_or_else(changed)?;
        let dir = match parent(&ground, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(changed()),
            opened => opened.map_err(failed("open the directory of", path.as_str()))?,
        };
        let bytes = read_entry(&dir, path.file_name(), ground.mount)
            .map_err(failed("read", path.as_str()))?
            .ok_or_else(changed)?;
        if Content::of(&bytes) == expected { Ok(bytes) } else { Err(changed()) }
    }

    fn kept(&self, content: Content) -> Result<Option<Vec<u8>>, HostError> {
        let Some(state) = self.state()? else { return Ok(None) };
        if let Some(bytes) = object(&state, content).map_err(failed("read object", content.to_string()))? {
            return Ok(Some(bytes));
        }
        if let Some(bytes) = self.backup(&state, content)? {
            return Ok(Some(bytes));
        }
        match Edits::open(&state)? {
            Some(edits) => edits.find(content),
            None => Ok(None),
        }
    }

    fn copy_kept(&self, content: Content, to: &mut Sink<'_>) -> Result<bool, HostError> {
        let Some(state) = self.state()? else { return Ok(false) };
        let reading = || failed("read the bytes of", content.to_string());
        let object = state.dir(name::OBJECTS).and_then(|objects| objects.open(&content.to_string()));
        let file = match object {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.backup_file(&state, content)? {
                    Some(file) => file,
                    None => return Ok(false),
                }
            }
            Err(error) => return Err(reading()(error)),
        };
        to.all(&file).map(|()| true).map_err(reading())
    }

    fn recover(&self, look: &Look, resume: &Resume) -> Result<Recovery, HostError> {
        transaction::recover(&self.root, Owner::looking(look, &self.root), resume, &|| self.attended())
    }

    fn check(&self, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError> {
        check::check(&self.root, check, blobs)
    }

    fn apply(&self, commit: &Commit<'_>, blobs: &dyn Blobs) -> Result<Applied, HostError> {
        transaction::apply(&self.root, commit, blobs, &|| self.attended())
    }

    fn history(&self) -> Result<Vec<HistoryLine>, HostError> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        lines::history(&state).map_err(failed("read", ".packfleet/history"))
    }

    fn generations(&self) -> Result<Vec<Generation>, HostError> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        let Some(generations) = Generations::open(&state)? else { return Ok(Vec::new()) };
        let bytes = state::read(&state, name::RECORD).map_err(failed("read", ".packfleet/record"))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        let record = Record::decode(&bytes).map_err(|source| HostError::Damaged {
            what: "the record".into(),
            root: self.root.clone(),
            source: Box::new(source),
        })?;
        Ok(generations.list(record.generation))
    }

    fn edits(&self) -> Result<Vec<SavedEdit>, HostError> {
        let Some(state) = self.state()? else { return Ok(Vec::new()) };
        match Edits::open(&state)? {
            Some(edits) => edits.list(),
            None => Ok(Vec::new()),
        }
    }

    fn pause(&self, pausing: &Pausing) -> Result<Option<Pause>, HostError> {
        pause::set(&self.root, pausing)
    }

    fn drop_edits(&self, ids: &[EditId]) -> Result<(), HostError> {
        let Some(first) = ids.first() else { return Ok(()) };
        let Some(state) = self.state()? else { return Err(HostError::NoEdit(*first)) };
        let Some(edits) = Edits::open(&state)? else { return Err(HostError::NoEdit(*first)) };
        transaction::locked(&self.root, &state, || edits.drop_all(ids))
    }
}

/// The bytes of an object, if it is there and is what its name says.
fn object(state: &Dir, content: Content) -> io::Result<Option<Vec<u8>>> {
    let dir = match state.dir(name::OBJECTS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        dir => dir?,
    };
    let bytes = state::read(&dir, &content.to_string())?;
    Ok(bytes.filter(|bytes| Content::of(bytes) == content))
}

/// The directory in which a path lies.
pub fn parent(ground: &Ground, path: &TreePath) -> io::Result<Dir> {
    ground.root.dir(path.as_str().rsplit_once('/').map_or(".", |(parent, _)| parent))
}

/// The first MiB of the VERSION file; `None` unless it is a regular file. Longer ones are cut, and are then no JSON.
pub fn read_small(ground: &Ground, path: &TreePath) -> io::Result<Option<Vec<u8>>> {
    let nothing_there = |error: &io::Error| {
        let errno = Errno::from_io_error(error);
        matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
    };
    let dir = match parent(ground, path) {
        Err(error) if nothing_there(&error) => return Ok(None),
        opened => opened?,
    };
    match dir.stat(path.file_name())? {
        Some(stat) if stat.node == Node::File && stat.mount == ground.mount => {
            let file = dir.open(path.file_name())?;
            if stat_file(&file)?.node != Node::File {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            file.take(VERSION_LIMIT).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        _ => Ok(None),
    }
}

/// The bytes of a regular file or the text of a link; `None` for anything else.
fn read_entry(dir: &Dir, name: &str, mount: u64) -> io::Result<Option<Vec<u8>>> {
    match dir.stat(name)? {
        Some(stat) if stat.mount == mount && stat.node == Node::Link => dir.link_text(name).map(Some),
        Some(stat) if stat.mount == mount && stat.node == Node::File => {
            let mut file = dir.open(name)?;
            if stat_file(&file)?.node != Node::File {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        _ => Ok(None),
    }
}
