//! A root on this machine.
//!
//! Holds no open file between calls and no truth: each call opens the root anew and believes what it
//! finds there.

use std::io::{self, Read};

use rustix::io::Errno;

use super::beneath::{Dir, Node, stat_file};
use super::cache::StatCache;
use super::scan::{Looked, Scan};
use super::state::{self, Ground, Owner, failed};
use super::{
    Actual, Applied, Blobs, Commit, EditId, Generation, HistoryLine, Host, HostError, Look, Observation,
    Recovery, SavedEdit, Trust, listing,
};
use crate::model::{Content, HostPath, TreePath};

/// The most that is read of a VERSION file.
const VERSION_LIMIT: u64 = 1 << 20;

/// A root on this machine.
#[derive(Debug)]
pub struct LocalHost {
    root: HostPath,
}

impl LocalHost {
    /// Names a root; nothing is touched before it is used.
    pub fn open(root: HostPath) -> Self {
        Self { root }
    }

    fn missing<T>(&self) -> Result<T, HostError> {
        Err(HostError::Root { root: self.root.clone(), why: "this is not built yet".into() })
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
            version_file: None,
        };
        let Some(ground) = Ground::open(&self.root)? else { return Ok(observation) };
        let mut cache = StatCache::default();
        if let Some(state) = ground.state()? {
            if let Some((record, digest)) = state::read_record(&state, Owner::looking(look, &self.root))? {
                observation.record = Some(record);
                observation.digest = Some(digest);
            }
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

    fn kept(&self, _content: Content) -> Result<Option<Vec<u8>>, HostError> {
        self.missing()
    }

    fn recover(&self, _look: &Look) -> Result<Recovery, HostError> {
        self.missing()
    }

    fn apply(&self, _commit: &Commit<'_>, _blobs: &dyn Blobs) -> Result<Applied, HostError> {
        self.missing()
    }

    fn history(&self) -> Result<Vec<HistoryLine>, HostError> {
        self.missing()
    }

    fn generations(&self) -> Result<Vec<Generation>, HostError> {
        self.missing()
    }

    fn edits(&self) -> Result<Vec<SavedEdit>, HostError> {
        self.missing()
    }

    fn drop_edits(&self, _ids: &[EditId]) -> Result<(), HostError> {
        self.missing()
    }
}

/// The directory in which a path lies.
pub fn parent(ground: &Ground, path: &TreePath) -> io::Result<Dir> {
    ground.root.dir(path.as_str().rsplit_once('/').map_or(".", |(parent, _)| parent))
}

/// The VERSION file; `None` unless it is a regular file of no more than 1 MiB.
fn read_small(ground: &Ground, path: &TreePath) -> io::Result<Option<Vec<u8>>> {
    let nothing_there = |error: &io::Error| {
        let errno = Errno::from_io_error(error);
        matches!(errno, Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
    };
    let dir = match parent(ground, path) {
        Err(error) if nothing_there(&error) => return Ok(None),
        opened => opened?,
    };
    match dir.stat(path.file_name())? {
        Some(stat) if stat.node == Node::File && stat.size <= VERSION_LIMIT => {
            read_entry(&dir, path.file_name(), ground.mount)
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
