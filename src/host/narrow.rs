//! A look at a tree of which the record is known to be settled: only what differs from it, and what is asked for.
//!
//! ```text
//! no journal, no stage · settled · as asked · the record's file as it was
//!      └─► each inode as the stat cache says? ─ no ─► named ─┐
//!                                             paths asked for ┴─► the real look, at these alone
//! ```
//! Answers nothing, so that the real look is needed, wherever more than single files is in question: something
//! in the way, paths of the host, directories of packfleet's making that hold nothing any more, a large part
//! of the tree that differs.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::cache::StatCache;
use super::glance::{Row, settled, units, unlike};
use super::journal::{Journal, is_staged};
use super::local::read_small;
use super::scan::{Looked, Scan};
use super::spread::spread;
use super::state::{Ground, digest_record, failed, name, read};
use super::table::Whose;
use super::{Glance, Health, HostError};
use crate::model::actual::{Actual, Seen};
use crate::model::packed::Packed;
use crate::model::{RecordDigest, TreePath};

/// A question for what differs from a settled record.
#[derive(Debug, Clone)]
pub struct Narrow {
    /// What must be recorded, who asks, and what may be believed.
    pub glance: Glance,
    /// Paths that are looked at whatever the record says of them.
    pub paths: BTreeSet<TreePath>,
}

/// The answer to a [`Narrow`]: what was looked at more closely. Everything else is as recorded.
#[derive(Debug, Clone)]
pub struct Narrowed {
    /// The record, settled.
    pub record: Packed<'static>,
    /// Digest of its bytes.
    pub digest: RecordDigest,
    /// Paths that were asked for, or that may differ; none lies above or below another or one that is recorded.
    pub looked: BTreeSet<TreePath>,
    /// What lies there: files, links or nothing.
    pub actual: Actual,
    /// The VERSION file's bytes, if it was asked for and is a regular file.
    pub version_file: Option<Vec<u8>>,
    /// The last word on its health.
    pub health: Option<Health>,
}

/// Looks at a root.
pub fn narrow(ground: &Ground, asked: &Narrow) -> Result<Option<Narrowed>, HostError> {
    let Some(state) = ground.state()? else { return Ok(None) };
    if Journal::load(&state, &ground.at)?.is_some() || is_staged(&state)? {
        return Ok(None);
    }
    let cache = StatCache::load(&state);
    let Some(settled) = settled(ground, &state, &cache, &asked.glance)? else { return Ok(None) };
    let (units, size) = units(&cache);
    if units.iter().map(|unit| unit.to - unit.from).sum::<usize>() != size {
        return Ok(None);
    }
    let parts = spread(&units, size, ground.mount, |looker, unit| {
        let mut found = Vec::new();
        let whole = unlike(ground, &cache, looker, unit, asked.glance.trust, &mut |row: Row<'_>| {
            found.push((row.directory.to_owned(), row.name.to_owned()));
            row.whose == Whose::Pack
        });
        whole.then_some(found)
    });
    let mut looked = asked.paths.clone();
    for found in parts {
        let Some(found) = found else { return Ok(None) };
        for (directory, name) in found {
            let full = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let Ok(path) = TreePath::new(&full) else { return Ok(None) };
            looked.insert(path);
        }
    }
    // Where much is to be looked at, looking at all costs no more.
    if looked.len() > size / 4 {
        return Ok(None);
    }
    let bytes = read(&state, name::RECORD).map_err(failed("read", ".packfleet/record"))?;
    let Some(bytes) = bytes.filter(|bytes| digest_record(bytes) == settled.digest) else { return Ok(None) };
    let Ok(record) = Packed::open(Cow::Owned(bytes)) else { return Ok(None) };
    let ours = &record.about().directories;
    if ours.iter().any(|directory| record.below(directory.as_str()).next().is_none()) {
        return Ok(None);
    }
    let paths = Looked::new(looked.iter());
    let actual = Scan { ground, looked: &paths, ours, cache: &cache }.run();
    if actual.paths.values().any(|seen| matches!(seen, Seen::Obstacle(_))) || is_nested(&looked, &record) {
        return Ok(None);
    }
    let version_file = match &asked.glance.version_file {
        Some(path) => read_small(ground, path).map_err(failed("read", path.as_str()))?,
        None => None,
    };
    let health = Health::load(&state);
    Ok(Some(Narrowed { record, digest: settled.digest, looked, actual, version_file, health }))
}

/// Whether one of the paths lies above or below another one, or one that is recorded.
fn is_nested(looked: &BTreeSet<TreePath>, record: &Packed<'_>) -> bool {
    let known = |at: &TreePath| looked.contains(at) || record.find(at.as_str()).is_some();
    looked.iter().any(|path| {
        path.ancestors().any(|above| known(&above)) || record.below(path.as_str()).next().is_some()
    })
}
