//! The part of a record that nobody speaks of, left in its bytes.
//!
//! Of a hundred thousand paths a pass usually changes a few. A record that is read for it names those few among
//! its `entries`, and leaves all others here, packed: what is done to them is what becomes of their pack's pin.
//!
//! Invariant, which is for the maker to establish: each entry that is left here is settled in its pack's pin.
//! Its base is what was written, it is nobody's but the pack's, and wherever the pin goes it is found there, too.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::packed::{Line, Packed};
use super::record::Record;
use super::{PackName, TreePath};

/// What a record does not name; see the module page.
#[derive(Debug, Clone)]
pub struct Rest {
    packed: Arc<Packed<'static>>,
    named: Arc<BTreeSet<TreePath>>,
    directories: Arc<BTreeSet<TreePath>>,
}

impl PartialEq for Rest {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.packed, &other.packed) || self.packed.bytes() == other.packed.bytes();
        same && self.named == other.named && self.directories == other.directories
    }
}

impl Eq for Rest {}

impl Rest {
    /// All of `packed` but the paths in `named`, and but directories whose fate is that of these paths alone.
    pub fn new(packed: Arc<Packed<'static>>, named: BTreeSet<TreePath>) -> Self {
        let about = packed.about();
        let is_named = |line: &Line<'_>| named.contains(line.path(&mut String::new()));
        let is_fixed = |directory: &&TreePath| {
            let near = named.range::<TreePath, _>(*directory..);
            let mut near = near.take_while(|path| path.as_str().starts_with(directory.as_str()));
            !near.any(|path| path.is_below(directory))
                || packed.below(directory.as_str()).any(|line| !is_named(&line))
        };
        let directories = about.directories.iter().filter(is_fixed).cloned().collect();
        Self { packed, named: Arc::new(named), directories: Arc::new(directories) }
    }

    /// The record that names its paths and has this for a rest.
    pub fn record(self) -> Record {
        let about = self.packed.about();
        let named = self.named.iter().filter_map(|path| Some((path, self.packed.find(path.as_str())?)));
        let mut record = about.clone();
        record.entries = named.map(|(path, line)| (path.clone(), line.recorded())).collect();
        record.directories.retain(|directory| !self.directories.contains(directory));
        record.rest = Some(self);
        record
    }

    /// The paths that are named elsewhere.
    pub fn named(&self) -> &BTreeSet<TreePath> {
        &self.named
    }

    /// Directories of packfleet's making that stay.
    pub fn directories(&self) -> &BTreeSet<TreePath> {
        &self.directories
    }

    /// The bytes that all of this was read from.
    pub fn packed(&self) -> &Packed<'static> {
        &self.packed
    }

    /// How many entries a pack has here.
    pub fn count(&self, owner: &PackName) -> usize {
        self.unmoved().filter(|line| line.owner == owner).count()
    }

    /// How many entries are here.
    pub fn len(&self) -> usize {
        let named = self.named.iter().filter(|path| self.packed.find(path.as_str()).is_some());
        self.packed.len() - named.count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries, as the pins of `record` move them.
    pub fn lines<'s>(&'s self, record: &'s Record) -> impl Iterator<Item = Line<'s>> {
        let was = self.packed.about();
        self.unmoved().map(move |line| {
            let pin = |record: &'s Record| record.packs.get(line.owner)?.pin.commit.as_ref();
            let moves = line.commit.is_some() && line.commit == pin(was);
            Line { commit: if moves { pin(record) } else { line.commit }, ..line }
        })
    }

    fn unmoved(&self) -> impl Iterator<Item = Line<'_>> {
        let mut named = self.named.iter().peekable();
        self.packed.lines().filter(move |line| {
            while named.next_if(|path| line.cmp_path(path.as_str()).is_gt()).is_some() {}
            named.peek().is_none_or(|path| line.cmp_path(path.as_str()).is_ne())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::super::packed::tests::{commit, path, records};
    use super::*;

    fn parted(record: &Record, named: BTreeSet<TreePath>) -> Record {
        let packed = Packed::open(Cow::Owned(record.encode())).unwrap();
        Rest::new(Arc::new(packed), named).record()
    }

    proptest! {
        #[test]
        fn a_parted_record_is_the_whole_one(
            record in records(),
            more in prop::collection::btree_set(path(), 0..3),
            every in 1..4usize,
        ) {
            let named = record.entries.keys().step_by(every).chain(&more).cloned().collect();
            let parted = parted(&record, named);
            prop_assert_eq!(parted.encode(), record.encode());
            prop_assert_eq!(parted.lines().count(), record.entries.len());
            let rest = parted.rest.as_ref().unwrap();
            prop_assert_eq!(rest.len() + parted.entries.len(), record.entries.len());
            prop_assert_eq!(rest.is_empty(), parted.entries.len() == record.entries.len());
            let counted: usize = record.entries.values().map(|it| &it.owner).collect::<BTreeSet<_>>()
                .into_iter().map(|owner| rest.count(owner)).sum();
            prop_assert_eq!(counted, rest.len());
            prop_assert_eq!(parted.commits(), record.commits());
            prop_assert_eq!(
                parted.kept_contents().collect::<BTreeSet<_>>(),
                record.kept_contents().collect::<BTreeSet<_>>()
            );
        }

        #[test]
        fn a_pin_that_moves_takes_along_what_it_held(record in records(), every in 1..4usize, to in 0..3u8) {
            let named: BTreeSet<TreePath> = record.entries.keys().step_by(every).cloned().collect();
            let mut parted = parted(&record, named.clone());
            let mut whole = record.clone();
            for (name, pack) in &mut whole.packs {
                let Some(was) = pack.pin.commit.replace(commit(to)) else {
                    pack.pin.commit = None;
                    continue;
                };
                for (path, recorded) in &mut whole.entries {
                    if recorded.owner == *name && !named.contains(path) && recorded.commit.as_ref() == Some(&was) {
                        recorded.commit = Some(commit(to));
                    }
                }
            }
            parted.packs = whole.packs.clone();
            prop_assert_eq!(parted.encode(), whole.encode());
        }
    }
}
