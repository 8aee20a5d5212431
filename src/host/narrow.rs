//! A look at a tree of which the record is known to be settled: only what differs from it, and what is asked for.
//!
//! ```text
//! no journal, no stage · settled · as asked · the record's file as it was
//!      └─► each inode as the stat cache says? ─ no ─► named ─┐
//!                                             paths asked for ┴─► the real look, at these alone
//! ```
//! Who has watched the tree since an earlier look knows what may differ: then no other inode is compared
//! ([`Scope::Only`]), and the look costs what was touched and not what there is.
//!
//! Answers nothing, so that the real look is needed, wherever more than single files is in question: something
//! in the way, paths of the host, directories of packfleet's making that hold nothing any more, a large part
//! of the tree that differs.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::cache::StatCache;
use super::glance::{Row, Unit, settled, units, unlike};
use super::journal::{Journal, is_staged};
use super::local::read_small;
use super::scan::{Looked, Scan};
use super::spread::spread;
use super::state::{Ground, digest_record, failed, name, read};
use super::table::Whose;
use super::{Glance, Health, HostError, Notes, Trust};
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
    /// Where something may differ from the record.
    pub scope: Scope,
}

/// Where something may differ from what is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere.
    Whole,
    /// At these paths at most. A path that is no recorded file, as a directory above some, is no answer to that.
    Only(BTreeSet<TreePath>),
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
    /// What a rollout wants to know.
    pub notes: Notes,
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
    let mut looked = asked.paths.clone();
    match &asked.scope {
        Scope::Whole => match differing(ground, &cache, &units, size, asked.glance.trust) {
            Some(found) => looked.extend(found),
            None => return Ok(None),
        },
        Scope::Only(touched) => {
            // Nobody watches what is the host's.
            let is_packs = |unit: &Unit<'_>| {
                (unit.from..unit.to).all(|at| unit.rows.get(at).is_some_and(|row| row.whose == Whose::Pack))
            };
            if !units.iter().all(is_packs) || !touched.iter().all(|path| cache.holds(path)) {
                return Ok(None);
            }
            looked.extend(touched.iter().cloned());
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
    let none = StatCache::default();
    let believed = match asked.glance.trust {
        Trust::StatCache => &cache,
        Trust::Nothing => &none,
    };
    let actual = Scan { ground, looked: &paths, ours, cache: believed }.run();
    if actual.paths.values().any(|seen| matches!(seen, Seen::Obstacle(_))) || is_nested(&looked, &record) {
        return Ok(None);
    }
    let version_file = match &asked.glance.version_file {
        Some(path) => read_small(ground, path).map_err(failed("read", path.as_str()))?,
        None => None,
    };
    let health = Health::load(&state)?;
    let notes = Notes::load(&state)?;
    Ok(Some(Narrowed { record, digest: settled.digest, looked, actual, version_file, health, notes }))
}

/// Paths that are not as the cache knows them; `None` where more than single files of packs is in question.
fn differing(
    ground: &Ground,
    cache: &StatCache,
    units: &[Unit<'_>],
    size: usize,
    trust: Trust,
) -> Option<BTreeSet<TreePath>> {
    let parts = spread(units, size, ground.mount, |looker, unit| {
        let mut found = Vec::new();
        let whole = unlike(ground, cache, looker, unit, trust, &mut |row: Row<'_>| {
            found.push((row.directory.to_owned(), row.name.to_owned()));
            row.whose == Whose::Pack
        });
        whole.then_some(found)
    });
    let mut all = BTreeSet::new();
    for found in parts {
        for (directory, name) in found? {
            let full = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            all.insert(TreePath::new(&full).ok()?);
        }
    }
    Some(all)
}

/// Whether one of the paths lies above or below another one, or one that is recorded.
fn is_nested(looked: &BTreeSet<TreePath>, record: &Packed<'_>) -> bool {
    let known = |at: &TreePath| looked.contains(at) || record.find(at.as_str()).is_some();
    looked.iter().any(|path| {
        path.ancestors().any(|above| known(&above)) || record.below(path.as_str()).next().is_some()
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::super::cache::NewCache;
    use super::*;
    use crate::model::fleet::Edits;
    use crate::model::pack::{InstallMap, Modes, Pin};
    use crate::model::record::{Record, Recorded, RecordedPack};
    use crate::model::settled::parts;
    use crate::model::{DesiredDigest, Entry, HostPath, Kind, TreeDigest};

    fn pack() -> RecordedPack {
        let pin = Pin {
            version: "1".into(),
            found_by: "1".into(),
            commit: None,
            tree: TreeDigest::from_bytes([0; 32]),
        };
        RecordedPack {
            pin,
            requirement: "^1".into(),
            source: "s".parse().unwrap(),
            overlays: Vec::new(),
            desired: DesiredDigest::from_bytes([0; 32]),
            requires: Vec::new(),
            install: InstallMap::default(),
            host_owns: Vec::new(),
            host_keys: Vec::new(),
            modes: Modes::default(),
            atomic: true,
            edits: Edits::default(),
            version_key: "p_version".into(),
            features: Vec::new(),
        }
    }

    #[test]
    fn whoever_trusts_nothing_sees_an_edit_that_the_stat_cache_vouches_for() {
        let tree = tempfile::tempdir().unwrap();
        let at = HostPath::new(tree.path().to_str().unwrap()).unwrap();
        let state = tree.path().join(".packfleet");
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        let names: Vec<TreePath> = (0..9).map(|at| TreePath::new(&format!("f{at}")).unwrap()).collect();
        let recorded = Entry::of(Kind::File, b"as recorded");
        let mut record = Record::empty("fleet".parse().unwrap(), "home".parse().unwrap(), at.clone());
        record.generation = 1;
        record.packs.insert("p".parse().unwrap(), pack());
        for name in &names {
            let bytes = if name.as_str() == "f3" { "edited here" } else { "as recorded" };
            fs::write(tree.path().join(name.as_str()), bytes).unwrap();
            let (base, owner) = (Some(recorded), "p".parse().unwrap());
            record.entries.insert(name.clone(), Recorded { owner, base, written: base, commit: None });
        }
        fs::write(state.join(name::RECORD), record.encode()).unwrap();
        let ground = Ground::open(&at).unwrap().unwrap();
        // The stat of the edited file with the digest of the recorded one.
        let mut cache = NewCache::at(i64::MAX);
        for name in &names {
            let stat = ground.root.stat(name.as_str()).unwrap().unwrap();
            cache.insert(name, &stat, recorded.content, Whose::Pack);
        }
        let state = ground.state().unwrap().unwrap();
        cache.store(&state, Some((&record, record.digest()))).unwrap();
        let ask = |trust, paths: &[usize]| {
            let glance = Glance {
                fleet: record.fleet.clone(),
                deployment: record.deployment.clone(),
                parts: parts(&record).unwrap(),
                reserved: Vec::new(),
                trust,
                version_file: None,
            };
            let paths = paths.iter().map(|at| names[*at].clone()).collect();
            narrow(&ground, &Narrow { glance, paths, scope: Scope::Whole }).unwrap().unwrap()
        };
        let edited = Seen::Entry(Entry::of(Kind::File, b"edited here"));
        for asked in [&[] as &[usize], &[3], &[5]] {
            let seen = ask(Trust::Nothing, asked);
            assert!(seen.looked.contains(&names[3]), "{asked:?}");
            assert_eq!(seen.actual.paths.get("f3"), Some(&edited), "{asked:?}");
        }
        // What was forged is believed by whoever believes it.
        let seen = ask(Trust::StatCache, &[3]);
        assert_eq!(seen.actual.paths.get("f3"), Some(&Seen::Entry(recorded)));
    }
}
