//! The state directory `<root>/.packfleet`: trusted only if it is ours.
//!
//! It must be a real directory on the root's own mount, owned by whoever runs this, open to nobody
//! else, and its record must name the same fleet, deployment and root. Everything is checked on the
//! open directory, not on its name. Deliberately absent: repair. What is refused stays as it is.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use rustix::io::Errno;

use super::beneath::{Dir, Node};
use super::{HostError, Look};
use crate::model::packed::{self, Packed};
use crate::model::path::STATE_DIR;
use crate::model::record::{Record, RecordError};
use crate::model::{DeploymentName, FleetName, HostPath, RecordDigest};

/// Names of files and directories in it.
pub mod name {
    /// The lock file.
    pub const LOCK: &str = "lock";
    /// There while a switch is past its commit point.
    pub const JOURNAL: &str = "journal";
    /// The record.
    pub const RECORD: &str = "record";
    /// What a switch prepares; becomes its generation.
    pub const STAGE: &str = "stage";
    /// Bytes that no commit holds.
    pub const OBJECTS: &str = "objects";
    /// What came out, by generation.
    pub const GENERATIONS: &str = "generations";
    /// Saved edits.
    pub const EDITS: &str = "edits";
    /// One line per generation.
    pub const HISTORY: &str = "history";
    /// The last word on health.
    pub const HEALTH: &str = "health";
    /// The key that signs its status.
    pub const STATUS_KEY: &str = "status-key";
    /// It, while it is written.
    pub const NEW_STATUS_KEY: &str = "status-key-new";
    /// The next one, while it is written.
    pub const NEW_HEALTH: &str = "health-new";
    /// Since when packs have been well.
    pub const SOAK: &str = "soak";
    /// The next one, while it is written.
    pub const NEW_SOAK: &str = "soak-new";
    /// A pause that somebody asked for.
    pub const PAUSE: &str = "pause";
    /// The next one, while it is written.
    pub const NEW_PAUSE: &str = "pause-new";
}

/// From this size on bytes are hashed on all cores.
const LARGE: usize = 256 << 10;

/// A failed system call on something.
pub fn failed(operation: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> HostError {
    move |source| HostError::Io { operation: operation.into(), path: path.into(), source }
}

/// A root that exists, and its mount.
#[derive(Debug)]
pub struct Ground {
    /// The root as the operator wrote it.
    pub at: HostPath,
    /// The open root.
    pub root: Dir,
    /// The id of its mount.
    pub mount: u64,
}

impl Ground {
    /// Opens a root; `None` if it does not exist.
    pub fn open(at: &HostPath) -> Result<Option<Self>, HostError> {
        let refused = |why: &str| HostError::Root { root: at.clone(), why: why.into() };
        let root = match Dir::root(at.as_str()) {
            Ok(root) => root,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => Ok(None),
                    Some(Errno::NOTDIR) => Err(refused("it, or something above it, is not a directory")),
                    Some(Errno::LOOP) => Err(refused("too many symbolic links lead to it")),
                    _ => Err(failed("open", at.as_str())(error)),
                };
            }
        };
        let stat = root.stat_self().map_err(failed("look at", at.as_str()))?;
        Ok(Some(Self { at: at.clone(), root, mount: stat.mount }))
    }

    /// Opens the state directory; `None` if there is none. Refuses one that is not ours.
    pub fn state(&self) -> Result<Option<Dir>, HostError> {
        let refused = |why: String| HostError::State { root: self.at.clone(), why };
        let dir = match self.root.dir(STATE_DIR) {
            Ok(dir) => dir,
            Err(error) => {
                return match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => Ok(None),
                    Some(Errno::LOOP | Errno::NOTDIR) => {
                        let link = self.root.stat(STATE_DIR).ok().flatten();
                        let link = link.is_some_and(|stat| stat.node == Node::Link);
                        Err(refused(format!(
                            "it is {}",
                            if link { "a symbolic link" } else { "not a directory" }
                        )))
                    }
                    Some(Errno::XDEV) => Err(refused("it lies on another mount than the root".into())),
                    _ => Err(failed("open", STATE_DIR)(error)),
                };
            }
        };
        let stat = dir.stat_self().map_err(failed("look at", STATE_DIR))?;
        let uid = rustix::process::geteuid().as_raw();
        if stat.uid != uid {
            return Err(refused(format!("it belongs to user {}, this is user {uid}", stat.uid)));
        }
        if stat.mode & 0o077 != 0 {
            return Err(refused(format!(
                "its mode is {:04o}, others may reach into it: chmod 700",
                stat.mode
            )));
        }
        Ok(Some(dir))
    }
}

/// Reads a file of the state directory whole; `None` if there is none.
pub fn read(dir: &Dir, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match dir.open(name) {
        Ok(mut file) => file.read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How well a file of the state directory is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// It is on the disk when it is said to be written.
    Durable,
    /// A power cut may lose it.
    Passing,
}

/// Writes a file aside and renames it into its place, whatever lies at either name.
pub fn rewrite(dir: &Dir, aside: &str, name: &str, bytes: &[u8], keeping: Keeping) -> io::Result<()> {
    match dir.unlink(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed?,
    }
    let mut file = dir.create(aside)?;
    file.write_all(bytes)?;
    if keeping == Keeping::Passing {
        return dir.replace(aside, dir, name);
    }
    file.sync_all()?;
    dir.replace(aside, dir, name)?;
    dir.sync()
}

/// Whose state it must be.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The deployment.
    pub deployment: &'a DeploymentName,
    /// The root.
    pub root: &'a HostPath,
}

impl<'a> Owner<'a> {
    /// Whoever looks.
    pub fn looking(look: &'a Look, root: &'a HostPath) -> Self {
        Self { fleet: &look.fleet, deployment: &look.deployment, root }
    }

    /// Refuses a record that is another one's.
    pub fn check(&self, record: &Record) -> Result<(), HostError> {
        let same =
            record.fleet == *self.fleet && record.deployment == *self.deployment && record.root == *self.root;
        if same {
            return Ok(());
        }
        let why = format!(
            "it belongs to deployment {} of fleet {} at {}, not to {} of {} at {}",
            record.deployment, record.fleet, record.root, self.deployment, self.fleet, self.root
        );
        Err(HostError::State { root: self.root.clone(), why })
    }
}

/// Reads the record; `None` if nothing was ever committed.
pub fn read_record(state: &Dir, owner: Owner<'_>) -> Result<Option<(Record, RecordDigest)>, HostError> {
    let Some(bytes) = read(state, name::RECORD).map_err(failed("read", ".packfleet/record"))? else {
        return Ok(None);
    };
    let record = Record::decode(&bytes).map_err(|source| HostError::Damaged {
        what: "the record".into(),
        root: owner.root.clone(),
        source: Box::new(source),
    })?;
    owner.check(&record)?;
    Ok(Some((record, digest_record(&bytes))))
}

/// Reads the record's bytes, and checks them and whose it is; `None` if nothing was ever committed.
pub fn read_packed(
    state: &Dir,
    owner: Owner<'_>,
) -> Result<Option<(Packed<'static>, RecordDigest)>, HostError> {
    let Some(bytes) = read(state, name::RECORD).map_err(failed("read", ".packfleet/record"))? else {
        return Ok(None);
    };
    let digest = digest_record(&bytes);
    let packed = packed(bytes).map_err(|source| HostError::Damaged {
        what: "the record".into(),
        root: owner.root.clone(),
        source: Box::new(source),
    })?;
    owner.check(packed.about())?;
    Ok(Some((packed, digest)))
}

/// A record's bytes, of this format or the one before.
pub fn packed(bytes: Vec<u8>) -> Result<Packed<'static>, RecordError> {
    if packed::head_length(&bytes).is_some() {
        return Packed::open(Cow::Owned(bytes));
    }
    Packed::open(Cow::Owned(Record::decode(&bytes)?.encode()))
}

/// Reads what the record says beside its entries, without those; `None` if nothing was ever committed, or
/// if it is in the format before.
pub fn read_about(state: &Dir, owner: Owner<'_>) -> Result<Option<Record>, HostError> {
    let reading = || failed("read", ".packfleet/record");
    let file = match state.open(name::RECORD) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(reading())?,
    };
    let mut head = Vec::new();
    (&file).take(packed::PREFIX as u64).read_to_end(&mut head).map_err(reading())?;
    let Some(length) = packed::head_length(&head) else { return Ok(None) };
    file.take(length.saturating_sub(head.len()) as u64).read_to_end(&mut head).map_err(reading())?;
    let record = packed::about(&head).map_err(|source| HostError::Damaged {
        what: "the record".into(),
        root: owner.root.clone(),
        source: Box::new(source),
    })?;
    owner.check(&record)?;
    Ok(Some(record))
}

/// The digest of an encoded record.
pub fn digest_record(bytes: &[u8]) -> RecordDigest {
    let mut hasher = blake3::Hasher::new();
    if bytes.len() < LARGE {
        hasher.update(bytes)
    } else {
        hasher.update_rayon(bytes)
    };
    RecordDigest::from_bytes(*hasher.finalize().as_bytes())
}
