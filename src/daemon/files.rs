//! A watch over the files of a fleet repository that is checked out here: fleet.toml, what it includes, its lock,
//! overlays, and plain directories of sources.
//!
//! It only says that somebody touched them: what is read then is read whole. Reading is no touch, links are not
//! followed, and packfleet writes none of these files. Where the kernel lacks watches, the poll reads them all the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use camino::Utf8Path;
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::event::Trigger;
use crate::engine::Workspace;
use crate::model::fleet::Source;

/// The watch.
pub(super) struct Files {
    watcher: Option<RecommendedWatcher>,
    known: Arc<Known>,
    armed: BTreeSet<(PathBuf, Depth)>,
}

/// What the watcher's own thread needs to know.
#[derive(Default)]
struct Known {
    counts: Mutex<Counts>,
}

/// What is worth a look.
#[derive(Default)]
struct Counts {
    files: BTreeSet<PathBuf>,
    below: BTreeSet<PathBuf>,
    sources: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Itself,
    All,
}

impl Known {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn counts(&self, path: &Path) -> bool {
        self.files.contains(path) || self.below.iter().any(|top| path.starts_with(top))
    }

    fn is_source(&self, path: &Path) -> bool {
        self.sources.iter().any(|top| path.starts_with(top))
    }
}

impl Files {
    /// Watches the fleet file alone: what else there is it will say.
    pub(super) fn of(file: &Utf8Path, trigger: &Trigger) -> Self {
        let known = Arc::<Known>::default();
        let (trigger, here) = (trigger.clone(), Arc::clone(&known));
        let hear = move |notice: notify::Result<notify::Event>| {
            let (touched, source) = match &notice {
                Err(_) => (true, true),
                Ok(event) if event.need_rescan() => (true, true),
                Ok(event) if matches!(event.kind, EventKind::Access(_)) => (false, false),
                Ok(event) => {
                    let known = here.counts();
                    let mut paths = event.paths.iter();
                    (paths.clone().any(|path| known.counts(path)), paths.any(|path| known.is_source(path)))
                }
            };
            if source {
                trigger.source_touched();
            } else if touched {
                trigger.pushed();
            }
        };
        let watcher = RecommendedWatcher::new(hear, Config::default().with_follow_symlinks(false));
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "the fleet's files are not watched: the poll reads them"),
            )
            .ok();
        let mut files = Self { watcher, known, armed: BTreeSet::new() };
        if let Ok(file) = camino::absolute_utf8(file)
            && let Some(directory) = file.parent()
        {
            files.arm([(directory.as_std_path().to_owned(), Depth::Itself)].into());
            files.known.counts().files.insert(file.clone().into_std_path_buf());
        }
        files
    }

    /// Watches what a fleet is made of.
    pub(super) fn follow(&mut self, workspace: &Workspace) {
        let directory = &workspace.fleet.directory;
        let overlays = directory.join("overlays").into_std_path_buf();
        let mut counts = Counts::default();
        let mut armed = BTreeSet::from([(directory.as_std_path().to_owned(), Depth::Itself)]);
        counts.files.insert(workspace.file.as_std_path().to_owned());
        counts.files.insert(workspace.lock_file().into_std_path_buf());
        for text in workspace.texts().iter().skip(1) {
            let include = directory.join(&text.name);
            if let Some(parent) = include.parent().filter(|parent| parent != directory) {
                armed.insert((parent.as_std_path().to_owned(), Depth::Itself));
                // A file beside it may be included, too.
                counts.below.insert(parent.as_std_path().to_owned());
            }
            counts.files.insert(include.into_std_path_buf());
        }
        let sources = workspace.fleet.sources.values().filter_map(|source| match source {
            Source::Directory(path) => Some(path.as_std_path().to_owned()),
            Source::Git { .. } => None,
        });
        for top in sources {
            armed.insert((top.clone(), Depth::All));
            counts.sources.insert(top);
        }
        armed.insert((overlays.clone(), Depth::All));
        counts.below.insert(overlays);
        *self.known.counts() = counts;
        self.arm(armed);
    }

    fn arm(&mut self, wanted: BTreeSet<(PathBuf, Depth)>) {
        let Some(watcher) = &mut self.watcher else { return };
        for (gone, _) in self.armed.difference(&wanted) {
            // The kernel may have dropped it already.
            let _gone = watcher.unwatch(gone);
        }
        let mut armed = BTreeSet::new();
        for (path, depth) in wanted {
            let known = self.armed.contains(&(path.clone(), depth)) && path.is_dir();
            let mode = match depth {
                Depth::Itself => RecursiveMode::NonRecursive,
                Depth::All => RecursiveMode::Recursive,
            };
            // Made anew since, or not there yet: then the directory above it is heard when it comes.
            let is_there = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            match if known || !is_there { Ok(()) } else { watcher.watch(&path, mode) } {
                Ok(()) if is_there => {
                    armed.insert((path, depth));
                }
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, ?path, "not watched: the poll reads it"),
            }
        }
        self.armed = armed;
    }
}
