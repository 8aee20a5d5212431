//! A look that can only say "unchanged": each inode compared with the stat cache, no record read.
//!
//! ```text
//! no journal, no stage · settled · asked for what is recorded · the record's file as it was
//!      └─► directories on all cores ─► lstat each ─► as cached? ─ no ─► its bytes are what is recorded?
//! ```
//! The first thing that differs ends it, with the answer that a real look is needed: this one explains
//! nothing. It trusts what the stat cache may be trusted with, the record's own file included; with
//! [`Trust::Nothing`] every byte is read, those of the record, too.

use std::sync::atomic::{AtomicBool, Ordering};

use super::beneath::Dir;
use super::cache::{Settled, StatCache, mark};
use super::journal::{Journal, is_staged};
use super::local::read_small;
use super::sight::Looker;
use super::spread::spread;
use super::state::{Ground, failed, name};
use super::table::{self, Known, Rows, Whose};
use super::{Glance, Health, HostError, Notes, Trust, Unchanged};
use crate::model::{Entry, Kind};

/// Rows that one thread looks at in one go.
const UNIT: usize = 128;
/// From this size on a file counts as a unit of its own.
const HEAVY: u64 = 1 << 20;

/// Some rows of one directory.
pub(super) struct Unit<'a> {
    pub(super) directory: &'a str,
    pub(super) rows: Rows<'a>,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Glances at a root.
pub fn glance(ground: &Ground, glance: &Glance) -> Result<Option<Unchanged>, HostError> {
    let Some(state) = ground.state()? else { return Ok(None) };
    if Journal::load(&state, &ground.at)?.is_some() || is_staged(&state)? {
        return Ok(None);
    }
    let cache = StatCache::load(&state);
    let Some(settled) = settled(ground, &state, &cache, glance)? else { return Ok(None) };
    let (units, size) = units(&cache);
    let differs = AtomicBool::new(false);
    let all = spread(&units, size, ground.mount, |looker, unit| {
        let same =
            differs.load(Ordering::Relaxed) || is_unchanged(ground, &cache, looker, unit, glance.trust);
        if !same {
            differs.store(true, Ordering::Relaxed);
        }
        same
    });
    // A directory that cannot be addressed leaves paths out.
    if differs.into_inner()
        || all.contains(&false)
        || units.iter().map(|unit| unit.to - unit.from).sum::<usize>() != size
    {
        return Ok(None);
    }
    let version_file = match &glance.version_file {
        Some(path) => read_small(ground, path).map_err(failed("read", path.as_str()))?,
        None => None,
    };
    let health = Health::load(&state)?;
    let notes = Notes::load(&state)?;
    Ok(Some(Unchanged {
        generation: settled.generation,
        digest: settled.digest,
        version_file,
        health,
        notes,
    }))
}

/// What the cache says of the record, if that is settled, says what is asked for, and is still the one there.
pub(super) fn settled(
    ground: &Ground,
    state: &Dir,
    cache: &StatCache,
    glance: &Glance,
) -> Result<Option<Settled>, HostError> {
    let Some(settled) = cache.settled() else { return Ok(None) };
    let ours = settled.fleet == glance.fleet
        && settled.deployment == glance.deployment
        && settled.root == ground.at
        && settled.parts == glance.parts;
    let reading = || failed("read", ".packfleet/record");
    let record = state.stat(name::RECORD).map_err(reading())?;
    let same_record = match (glance.trust, record) {
        (_, None) => false,
        (Trust::StatCache, Some(stat)) => mark(&stat) == settled.file,
        (Trust::Nothing, Some(stat)) => {
            // In pieces: it may be large. Its digest is that of its bytes, like any file's.
            let sight = Looker::new(stat.mount).look(state, name::RECORD).map_err(reading())?;
            sight.found.entry().is_some_and(|entry| entry.content.as_bytes() == settled.digest.as_bytes())
        }
    };
    let reserved = |path: &crate::model::TreePath| cache.holds(path);
    let answer = ours && same_record && !glance.reserved.iter().any(reserved);
    Ok(answer.then_some(settled))
}

/// All rows in units, and how many there are.
pub(super) fn units(cache: &StatCache) -> (Vec<Unit<'_>>, usize) {
    let mut units = Vec::new();
    let mut size = 0;
    for number in 0..cache.table.directories() {
        let Some((directory, rows)) = cache.table.directory(number) else { continue };
        size += rows.len();
        let (mut from, mut weight) = (0, 0u64);
        for at in 0..rows.len() {
            weight += rows.get(at).map_or(0, |row| row.known.size());
            if at + 1 == rows.len() || at + 1 - from == UNIT || weight >= HEAVY {
                units.push(Unit { directory, rows, from, to: at + 1 });
                (from, weight) = (at + 1, 0);
            }
        }
    }
    (units, size)
}

fn is_unchanged(
    ground: &Ground,
    cache: &StatCache,
    looker: &mut Looker,
    unit: &Unit<'_>,
    trust: Trust,
) -> bool {
    let Ok(dir) = ground.root.dir(if unit.directory.is_empty() { "." } else { unit.directory }) else {
        return false;
    };
    (unit.from..unit.to).all(|at| {
        let Some(row) = unit.rows.get(at) else { return false };
        row.whose == Whose::Host
            || is_vouched(ground, &dir, &row, trust)
            || is_expected(cache, looker, &dir, &row)
    })
}

/// Whether the inode is the one that the cache knows.
fn is_vouched(ground: &Ground, dir: &Dir, row: &table::Row<'_>, trust: Trust) -> bool {
    trust == Trust::StatCache
        && dir.stat(row.name).is_ok_and(|stat| {
            stat.is_some_and(|stat| stat.mount == ground.mount && Known::of(&stat) == Some(row.known))
        })
}

/// Whether the bytes are those that the cache knows.
fn is_expected(cache: &StatCache, looker: &mut Looker, dir: &Dir, row: &table::Row<'_>) -> bool {
    let expected = expected(cache, row);
    expected.is_some() && looker.look(dir, row.name).is_ok_and(|sight| sight.found.is(expected))
}

/// A row that is not as it was.
pub(super) struct Row<'a> {
    /// Its directory; `""` is the root.
    pub(super) directory: &'a str,
    /// Its name.
    pub(super) name: &'a str,
    /// Whose it is.
    pub(super) whose: Whose,
}

/// Tells `each` of the rows whose inode is not the one that the cache knows; with [`Trust::Nothing`] of those
/// whose bytes are others. All of the host's are among them. Ends, with `false`, as soon as `each` says so.
pub(super) fn unlike(
    ground: &Ground,
    cache: &StatCache,
    looker: &mut Looker,
    unit: &Unit<'_>,
    trust: Trust,
    each: &mut dyn FnMut(Row<'_>) -> bool,
) -> bool {
    let directory = unit.directory;
    let dir = ground.root.dir(if directory.is_empty() { "." } else { directory }).ok();
    (unit.from..unit.to).all(|at| {
        let Some(row) = unit.rows.get(at) else { return false };
        let like = row.whose == Whose::Pack
            && dir.as_ref().is_some_and(|dir| match trust {
                Trust::StatCache => is_vouched(ground, dir, &row, trust),
                Trust::Nothing => is_expected(cache, looker, dir, &row),
            });
        like || each(Row { directory, name: row.name, whose: row.whose })
    })
}

/// What a row says that lies there.
fn expected(cache: &StatCache, row: &table::Row<'_>) -> Option<Entry> {
    let content = cache.table.content(row)?;
    let kind = match row.known.file_mode() {
        Some(mode) => Kind::regular(mode & 0o100 != 0),
        None => Kind::Link,
    };
    Some(Entry { kind, content })
}
