//! The stat cache: digests of files that have not changed since they were read.
//!
//! An entry is believed when inode, ctime, mtime, size and mode are as cached. It is cached only if its
//! ctime is strictly older than the *moment*: a tick of the file system's own clock that passed before
//! the bytes were read. Whatever was written after the moment has a ctime at or after it, so a change within one tick
//! cannot hide. The cache is written at the end of a successful apply and by nothing else; a damaged
//! one costs time and nothing more.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::beneath::{Dir, Stat, stat_file};
use crate::model::record::{frame, unframe};
use crate::model::{Content, TreePath};

/// Its name in the state directory.
const NAME: &str = "stat-cache";
/// Its name while it is written.
pub const SCRATCH: &str = "stat-cache.new";

const MAGIC: &[u8; 8] = b"pfstatch";
const FORMAT: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    inode: u64,
    ctime: i64,
    mtime: i64,
    size: u64,
    mode: u32,
    content: Content,
}

/// Digests by path, with the stat under which each holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct StatCache {
    #[serde(skip)]
    moment: i64,
    // Text, not `TreePath`: what is no path is never asked for.
    known: BTreeMap<String, Known>,
}

impl StatCache {
    /// Reads it; empty if there is none or it is damaged.
    pub fn load(state: &Dir) -> Self {
        let read = || -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut state.open(NAME)?, &mut bytes)?;
            Ok(bytes)
        };
        read().ok().and_then(|bytes| unframe(MAGIC, FORMAT, &bytes).ok()).unwrap_or_default()
    }

    /// The digest of the file at a path, if this stat vouches for it.
    pub fn content(&self, path: &TreePath, stat: &Stat) -> Option<Content> {
        let known = self.known.get(path.as_str())?;
        let same = known.inode == stat.inode
            && known.ctime == stat.ctime
            && known.mtime == stat.mtime
            && known.size == stat.size
            && known.mode == stat.mode;
        same.then_some(known.content)
    }

    /// An empty cache for bytes that are read after `moment`.
    pub fn at(moment: i64) -> Self {
        Self { moment, known: BTreeMap::new() }
    }

    /// Notes what was read after the moment; what changed at it or since is not to be vouched for.
    pub fn insert(&mut self, path: &TreePath, stat: &Stat, content: Content) {
        if stat.ctime >= self.moment {
            return;
        }
        let Stat { inode, ctime, mtime, size, mode, .. } = *stat;
        self.known.insert(path.as_str().to_owned(), Known { inode, ctime, mtime, size, mode, content });
    }

    /// Replaces the cache on disk. Not synced: losing it costs time only.
    pub fn store(&self, state: &Dir) -> io::Result<()> {
        let mut file = state.open_or_create(SCRATCH)?;
        file.set_len(0)?;
        file.write_all(&frame(MAGIC, FORMAT, self))?;
        state.replace(SCRATCH, state, NAME)
    }
}

/// Waits until the file system's clock shows a time strictly after `ctime`, and returns it. `None` if
/// that does not happen within a tenth of a second: a clock that was set back.
pub fn moment_after(state: &Dir, ctime: i64) -> io::Result<Option<i64>> {
    let mut file = state.open_or_create(SCRATCH)?;
    for _ in 0..50 {
        file.set_len(0)?;
        file.write_all(b"tick")?;
        let now = stat_file(&file)?.mtime;
        if now > ctime {
            return Ok(Some(now));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::beneath::Node;
    use super::*;

    const STAT: Stat = Stat {
        node: Node::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        inode: 5,
        size: 3,
        ctime: 99,
        mtime: 50,
        mount: 1,
        frozen: false,
    };

    #[test]
    fn every_field_counts_and_the_moment_does_not_vouch_for_itself() {
        let path = TreePath::new("a").unwrap();
        let content = Content::of(b"abc");
        let mut cache = StatCache::at(100);
        cache.insert(&path, &STAT, content);
        assert_eq!(cache.content(&path, &STAT), Some(content));
        for changed in [
            Stat { mode: 0o755, ..STAT },
            Stat { inode: 6, ..STAT },
            Stat { size: 4, ..STAT },
            Stat { ctime: 98, ..STAT },
            Stat { mtime: 51, ..STAT },
        ] {
            assert_eq!(cache.content(&path, &changed), None, "{changed:?}");
        }
        let racy = Stat { ctime: 100, ..STAT };
        let mut cache = StatCache::at(100);
        cache.insert(&path, &racy, content);
        assert_eq!(cache.content(&path, &racy), None);
    }

    #[test]
    fn a_damaged_cache_is_empty() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let path = TreePath::new("a").unwrap();
        let mut cache = StatCache::at(100);
        cache.insert(&path, &STAT, Content::of(b"abc"));
        cache.store(&dir).unwrap();
        assert!(StatCache::load(&dir).content(&path, &STAT).is_some());
        let file = tree.path().join(NAME);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(StatCache::load(&dir).content(&path, &STAT).is_none());
    }

    #[test]
    fn the_clock_ticks() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        std::fs::write(tree.path().join("f"), "").unwrap();
        let ctime = dir.stat("f").unwrap().unwrap().ctime;
        assert!(moment_after(&dir, ctime).unwrap().unwrap() > ctime);
        assert_eq!(moment_after(&dir, i64::MAX).unwrap(), None);
    }
}
