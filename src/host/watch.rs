//! A watch over a root: waits until something that is recorded there may have changed.
//!
//! ```text
//! the record ─► its directories ─► the kernel's notices ─► about a recorded path? ─ no ─► nobody hears of it
//!                                                                            └─ yes ─► touched
//! ```
//! Only directories that hold something recorded are watched, and those above them: what else lies beneath a root
//! costs nothing. No link is followed to a directory. Looks cause no notice that counts: reading is none, and of the
//! state directory only the record itself counts, which a commit replaces; then the watch follows the new record.
//! When the kernel dropped notices, or more paths were touched than are worth naming, everything may have changed.
//!
//! The first answer comes at once and says just that, since nobody knows what happened before the watch began.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};

use super::state::{Ground, failed, name, read};
use super::{HostError, Told};
use crate::model::packed::Packed;
use crate::model::path::STATE_DIR;
use crate::model::{HostPath, TreePath};

/// Paths that are named; where more are touched, everything may be.
const MOST_NAMED: usize = 256;
/// Notices that are kept between two answers.
const MOST_KEPT: usize = 4096;
/// What happens in one go is told in one go.
const GATHER: Duration = Duration::from_millis(20);

/// What a watch has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stir {
    /// Nothing that is recorded was touched.
    Quiet,
    /// These paths may have changed, or what lies below them; nothing else did.
    Touched(BTreeSet<TreePath>),
    /// Anything may have changed.
    Everything,
}

/// Something that tells when a root was touched.
pub trait Stirs: Send {
    /// Waits until something was touched, at most so long. An error ends the watch.
    fn wait(&mut self, limit: Duration) -> Result<Stir, HostError>;
}

/// A watch on this machine.
pub struct RootWatch {
    at: HostPath,
    /// Where it is, links to it followed.
    real: PathBuf,
    watcher: RecommendedWatcher,
    heard: Arc<Heard>,
    record: Option<Packed<'static>>,
    armed: BTreeSet<String>,
    /// Whether there is a directory that may not be watched: what is heard is not all that happens.
    blind: bool,
    /// Nobody was told yet that the watch began.
    fresh: bool,
}

#[derive(Default)]
struct Heard {
    notices: Mutex<Notices>,
    rings: Condvar,
}

#[derive(Default)]
struct Notices {
    /// Paths relative to the root.
    paths: BTreeSet<String>,
    lost: bool,
}

impl RootWatch {
    /// Begins to watch. A root that does not exist, or a kernel that lacks watches, is an error.
    pub fn begin(at: &HostPath) -> Result<Self, HostError> {
        let real = fs::canonicalize(at.as_str()).map_err(failed("watch", at.as_str()))?;
        let heard = Arc::<Heard>::default();
        let (tell, below) = (Arc::clone(&heard), real.clone());
        let watcher = RecommendedWatcher::new(
            move |notice: notify::Result<notify::Event>| tell.take(&below, notice),
            Config::default().with_follow_symlinks(false),
        )
        .map_err(|error| refused(at.as_str(), error))?;
        let (at, armed) = (at.clone(), BTreeSet::new());
        let mut watch = Self { at, real, watcher, heard, record: None, armed, blind: false, fresh: true };
        watch.arm()?;
        Ok(watch)
    }

    /// Follows the record as it is now.
    fn arm(&mut self) -> Result<(), HostError> {
        let ground = Ground::open(&self.at)?;
        let state = ground.as_ref().map(Ground::state).transpose()?.flatten();
        let bytes = match &state {
            Some(state) => read(state, name::RECORD).map_err(failed("read", ".packfleet/record"))?,
            None => None,
        };
        // A damaged record is the look's business.
        self.record = bytes.and_then(|bytes| Packed::open(Cow::Owned(bytes)).ok());
        let mut wanted = BTreeSet::from([String::new()]);
        if state.is_some() {
            wanted.insert(STATE_DIR.to_owned());
        }
        for line in self.record.iter().flat_map(Packed::lines).filter(|line| line.base.is_some()) {
            let mut directory = line.directory;
            while !wanted.contains(directory) {
                wanted.insert(directory.to_owned());
                directory = directory.rsplit_once('/').map_or("", |(above, _)| above);
            }
        }
        for gone in self.armed.difference(&wanted) {
            // The kernel may have dropped it already.
            let _gone = self.watcher.unwatch(&self.real.join(gone));
        }
        let mut armed = BTreeSet::new();
        self.blind = false;
        for directory in wanted {
            if self.armed.contains(&directory) || self.watch(&directory)? {
                armed.insert(directory);
            }
        }
        self.armed = armed;
        Ok(())
    }

    /// Watches one directory; false if there is none, or a link leads to it.
    fn watch(&mut self, directory: &str) -> Result<bool, HostError> {
        let mut full = self.real.clone();
        for component in directory.split('/').filter(|component| !component.is_empty()) {
            full.push(component);
            match fs::symlink_metadata(&full) {
                Ok(meta) if meta.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.blind = true;
                    return Ok(false);
                }
                _ => return Ok(false),
            }
        }
        match self.watcher.watch(&full, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => Ok(false),
            Err(notify::Error { kind: notify::ErrorKind::Io(error), .. })
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
            {
                self.blind |= error.kind() == io::ErrorKind::PermissionDenied;
                Ok(false)
            }
            Err(error) => Err(refused(&full.to_string_lossy(), error)),
        }
    }

    /// Forgets the watches of directories at and below a path: they may be of directories that are gone.
    fn disarm(&mut self, path: &str) {
        let below = |directory: &String| {
            directory == path || directory.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
        };
        for directory in self.armed.iter().filter(|directory| below(directory)) {
            let _gone = self.watcher.unwatch(&self.real.join(directory));
        }
        self.armed.retain(|directory| !below(directory));
    }

    /// What notices mean.
    fn judge(&mut self, notices: Notices) -> Result<Stir, HostError> {
        if notices.lost || notices.paths.contains("") {
            for directory in std::mem::take(&mut self.armed) {
                let _gone = self.watcher.unwatch(&self.real.join(directory));
            }
            self.arm()?;
            return Ok(Stir::Everything);
        }
        let recorded = format!("{STATE_DIR}/{}", name::RECORD);
        let mut touched = BTreeSet::new();
        let (mut anew, mut everything) = (false, false);
        for path in &notices.paths {
            if *path == recorded || path == STATE_DIR {
                anew = true;
                everything = true;
                if path == STATE_DIR {
                    self.disarm(path);
                }
                continue;
            }
            let Some(record) = &self.record else { continue };
            let is_file = record.find(path).is_some_and(|line| line.base.is_some());
            let is_above = record.below(path).any(|line| line.base.is_some());
            if is_above {
                self.disarm(path);
                anew = true;
            }
            if is_file || is_above {
                touched.extend(TreePath::new(path).ok());
            }
        }
        if anew {
            self.arm()?;
        }
        Ok(match touched.len() {
            _ if everything => Stir::Everything,
            0 => Stir::Quiet,
            some if some > MOST_NAMED || self.blind => Stir::Everything,
            _ => Stir::Touched(touched),
        })
    }
}

impl Stirs for RootWatch {
    fn wait(&mut self, limit: Duration) -> Result<Stir, HostError> {
        if std::mem::take(&mut self.fresh) {
            return Ok(Stir::Everything);
        }
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(notices) = self.heard.wait(left) else { return Ok(Stir::Quiet) };
            match self.judge(notices)? {
                Stir::Quiet => {}
                stir => return Ok(stir),
            }
        }
    }
}

/// Whether nothing was written. What is written through a mapping is told by the end of it alone: a file that was open
/// for writing is closed.
fn is_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

impl Heard {
    /// Takes note, on the watcher's own thread.
    fn take(&self, root: &Path, notice: notify::Result<notify::Event>) {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        match notice {
            Err(_) => notices.lost = true,
            Ok(event) if event.need_rescan() => notices.lost = true,
            Ok(event) if is_read(event.kind) => return,
            Ok(event) => {
                for path in event.paths {
                    let Ok(path) = path.strip_prefix(root) else { continue };
                    // A name that is not UTF-8 is not recorded.
                    let Some(path) = path.to_str() else { continue };
                    if is_ours(path) {
                        continue;
                    }
                    if notices.paths.len() < MOST_KEPT {
                        notices.paths.insert(path.to_owned());
                    } else {
                        notices.lost = true;
                    }
                }
            }
        }
        if notices.lost || !notices.paths.is_empty() {
            self.rings.notify_one();
        }
    }

    /// What was heard, once something was; `None` after so long.
    fn wait(&self, limit: Duration) -> Option<Notices> {
        let until = Instant::now() + limit;
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        while !notices.lost && notices.paths.is_empty() {
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            notices = self.rings.wait_timeout(notices, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(notices);
        std::thread::sleep(GATHER);
        Some(std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Whether a path is packfleet's own and says nothing: all of the state directory but the record.
fn is_ours(path: &str) -> bool {
    let inside = path.strip_prefix(STATE_DIR).and_then(|rest| rest.strip_prefix('/'));
    inside.is_some_and(|inside| inside != name::RECORD)
}

fn refused(path: &str, error: notify::Error) -> HostError {
    let source = match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::MaxFilesWatch => {
            io::Error::other("the limit of watches is reached: raise fs.inotify.max_user_watches")
        }
        _ => io::Error::other(Told::of(&error)),
    };
    HostError::Io { operation: "watch".into(), path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
