//! The stat cache: digests of files that have not changed since they were read.
//!
//! An entry is believed when inode, ctime, mtime, size and mode are as cached. It is cached only if its
//! ctime is strictly older than the *moment*: a tick of the file system's own clock that passed before
//! the bytes were read. Whatever was written after the moment has a ctime at or after it, so a change within one tick
//! cannot hide. The cache is written at the end of a successful apply and by nothing else; a damaged
//! one costs time and nothing more.
//!
//! If the record that stands with it is settled, and the cache holds all of its paths, it says so: then a
//! look at each inode tells that nothing has changed, without the record.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::ops::Bound;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::beneath::{Dir, Stat, stat_file};
use super::state::{self, name};
use super::table::{Known, NewRow, Rows, Table, Whose};
use crate::model::record::Record;
use crate::model::rest::Rest;
use crate::model::settled::{Part, parts};
use crate::model::{Content, DeploymentName, FleetName, HostPath, PackName, RecordDigest, TreePath};

/// Its name in the state directory.
const NAME: &str = "stat-cache";
/// Its name while it is written.
pub const SCRATCH: &str = "stat-cache.new";

/// Digests by path, with the stat under which each holds.
#[derive(Debug, Default)]
pub struct StatCache {
    /// The rows.
    pub table: Table,
}

/// The settled record with which a cache was written, all of whose paths it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Whose.
    pub fleet: FleetName,
    /// Whose.
    pub deployment: DeploymentName,
    /// Whose.
    pub root: HostPath,
    /// Its generation.
    pub generation: u64,
    /// The digest of its bytes.
    pub digest: RecordDigest,
    /// The stat of its file: inode, size, ctime, mtime.
    pub file: (u64, u64, i64, i64),
    /// What it says of each pack.
    pub parts: BTreeMap<PackName, Part>,
}

/// The stat of a record's file, as [`Settled`] holds it.
pub fn mark(stat: &Stat) -> (u64, u64, i64, i64) {
    (stat.inode, stat.size, stat.ctime, stat.mtime)
}

impl StatCache {
    /// Reads it; empty if there is none or it is damaged.
    pub fn load(state: &Dir) -> Self {
        let bytes = state::read(state, NAME).ok().flatten();
        Self { table: bytes.and_then(Table::decode).unwrap_or_default() }
    }

    /// The settled record, if it was one.
    pub fn settled(&self) -> Option<Settled> {
        postcard::from_bytes::<Option<Settled>>(self.table.head()).ok().flatten()
    }

    /// What is known of a directory's files; `None` is the root.
    pub fn directory(&self, path: Option<&str>) -> Vouched<'_> {
        Vouched { cache: self, rows: self.table.find(path.unwrap_or_default()) }
    }

    /// The digest of the file at a path, if this stat vouches for it.
    pub fn content(&self, path: &TreePath, stat: &Stat) -> Option<Content> {
        let (parent, name) = split(path);
        self.directory(Some(parent)).content(name, stat)
    }

    /// Whether anything is known of a path.
    pub fn holds(&self, path: &TreePath) -> bool {
        let (parent, name) = split(path);
        self.table.find(parent).is_some_and(|rows| rows.find(name).is_some())
    }

    /// What was read at a path, and the inode that it was read from.
    fn row(&self, path: &TreePath) -> Option<(Known, Content)> {
        let (parent, name) = split(path);
        let row = self.table.find(parent)?.find(name)?;
        Some((row.known, self.table.content(&row)?))
    }
}

/// What a cache knows of one directory.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<'a> {
    cache: &'a StatCache,
    rows: Option<Rows<'a>>,
}

impl Vouched<'_> {
    /// The digest of the file with a name, if this stat vouches for it.
    pub fn content(&self, name: &str, stat: &Stat) -> Option<Content> {
        let row = self.rows?.find(name)?;
        if Known::of(stat) == Some(row.known) { self.cache.table.content(&row) } else { None }
    }
}

/// The directory (`""` is the root) and the name of a path.
fn split(path: &TreePath) -> (&str, &str) {
    path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()))
}

/// A cache that is being made, of files that are read after a moment.
#[derive(Debug)]
pub struct NewCache<'a> {
    moment: i64,
    rows: BTreeMap<&'a str, Vec<NewRow<'a>>>,
}

impl<'a> NewCache<'a> {
    /// An empty cache for bytes that are read after `moment`.
    pub fn at(moment: i64) -> Self {
        Self { moment, rows: BTreeMap::new() }
    }

    /// Notes what was read after the moment; what changed at it or since is not to be vouched for.
    pub fn insert(&mut self, path: &'a TreePath, stat: &Stat, content: Content, whose: Whose) -> Noted {
        match Known::of(stat) {
            Some(known) if stat.ctime < self.moment => {
                self.push(path, known, content, whose);
                Noted::Yes
            }
            _ => Noted::No,
        }
    }

    /// Takes over what another cache knows of a path, if that is what is recorded.
    pub fn carry(&mut self, old: &StatCache, path: &'a TreePath, recorded: Content, whose: Whose) -> Noted {
        match old.row(path) {
            Some((known, content)) if content == recorded => {
                self.push(path, known, content, whose);
                Noted::Yes
            }
            _ => Noted::No,
        }
    }

    /// Takes over what another cache knows of all paths but those that are named, if these are as many.
    pub fn carry_rest(&mut self, old: &'a StatCache, rest: &Rest) -> Noted {
        let mut taken = 0;
        for number in 0..old.table.directories() {
            let Some((directory, rows)) = old.table.directory(number) else { return Noted::No };
            let first = if directory.is_empty() { String::new() } else { format!("{directory}/") };
            let named = rest.named().range::<str, _>((Bound::Included(first.as_str()), Bound::Unbounded));
            let named = named.map_while(|path| path.as_str().strip_prefix(&first));
            let named: BTreeSet<&str> = named.filter(|name| !name.contains('/')).collect();
            let mut new = Vec::with_capacity(rows.len() + named.len());
            for row in (0..rows.len()).filter_map(|at| rows.get(at)) {
                let Some(content) = old.table.content(&row) else { return Noted::No };
                if !named.contains(row.name) {
                    new.push(NewRow { name: row.name, known: row.known, content, whose: row.whose });
                }
            }
            taken += new.len();
            if !new.is_empty() {
                self.rows.insert(directory, new);
            }
        }
        if taken == rest.len() { Noted::Yes } else { Noted::No }
    }

    fn push(&mut self, path: &'a TreePath, known: Known, content: Content, whose: Whose) {
        let (parent, name) = split(path);
        self.rows.entry(parent).or_default().push(NewRow { name, known, content, whose });
    }

    /// Replaces the cache on disk. Not synced: losing it costs time only. `whole` is the record whose every
    /// path was noted as recorded, with its digest and the stat of its file.
    pub fn store(mut self, state: &Dir, whole: Option<(&Record, RecordDigest)>) -> io::Result<()> {
        let settled = match whole {
            Some((record, digest)) => self.settled(state, record, digest)?,
            None => None,
        };
        let head = postcard::to_stdvec(&settled).map_err(io::Error::other)?;
        self.rows.values_mut().for_each(|rows| rows.sort_unstable_by_key(|row| row.name));
        let Some(parts) = Table::encode(head, &self.rows) else { return Ok(()) };
        let mut file = state.open_or_create(SCRATCH)?;
        file.set_len(0)?;
        for part in parts {
            file.write_all(&part)?;
        }
        state.replace(SCRATCH, state, NAME)
    }

    fn settled(&self, state: &Dir, record: &Record, digest: RecordDigest) -> io::Result<Option<Settled>> {
        let file = state.stat(name::RECORD)?.filter(|stat| stat.ctime < self.moment);
        Ok(file.zip(parts(record)).map(|(stat, parts)| Settled {
            fleet: record.fleet.clone(),
            deployment: record.deployment.clone(),
            root: record.root.clone(),
            generation: record.generation,
            digest,
            file: mark(&stat),
            parts,
        }))
    }
}

/// Whether something is in a cache now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is.
    Yes,
    /// It is not to be vouched for.
    No,
}

/// Waits until the file system's clock shows a time strictly after `ctime`, and returns it. `None` if
/// that does not happen within a tenth of a second: a clock that was set back.
pub fn moment_after(state: &Dir, ctime: i64) -> io::Result<Option<i64>> {
    let mut file = state.open_or_create(SCRATCH)?;
    for _ in 0..200 {
        file.set_len(0)?;
        file.write_all(b"tick")?;
        let now = stat_file(&file)?.mtime;
        if now > ctime {
            return Ok(Some(now));
        }
        std::thread::sleep(Duration::from_micros(500));
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

    fn stored(path: &TreePath, stat: &Stat, content: Content) -> StatCache {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let mut cache = NewCache::at(100);
        cache.insert(path, stat, content, Whose::Pack);
        cache.store(&dir, None).unwrap();
        StatCache::load(&dir)
    }

    #[test]
    fn every_field_counts_and_the_moment_does_not_vouch_for_itself() {
        let path = TreePath::new("a").unwrap();
        let content = Content::of(b"abc");
        let cache = stored(&path, &STAT, content);
        assert_eq!(cache.content(&path, &STAT), Some(content));
        for changed in [
            Stat { mode: 0o755, ..STAT },
            Stat { inode: 6, ..STAT },
            Stat { size: 4, ..STAT },
            Stat { ctime: 98, ..STAT },
            Stat { mtime: 51, ..STAT },
            Stat { node: Node::Link, ..STAT },
            Stat { node: Node::Directory, ..STAT },
        ] {
            assert_eq!(cache.content(&path, &changed), None, "{changed:?}");
        }
        let racy = Stat { ctime: 100, ..STAT };
        let cache = stored(&path, &racy, content);
        assert_eq!(cache.content(&path, &racy), None);
    }

    #[test]
    fn a_damaged_cache_is_empty() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let path = TreePath::new("a").unwrap();
        let mut cache = NewCache::at(100);
        assert_eq!(cache.insert(&path, &STAT, Content::of(b"abc"), Whose::Pack), Noted::Yes);
        cache.store(&dir, None).unwrap();
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
