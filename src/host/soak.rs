//! Since when which pack has been well on a host as it is rendered there: what a rollout waits for.
//!
//! `soak` in the state directory, JSON: for each pack the tree, what that is rendered to, since when, and the
//! generation that put it. Another overlay is another clock, as another tree is. It is written after a commit and counts only for the record of that very generation; where a crash came between, or
//! it is lost or cannot be read, nothing is known, and the clock starts when somebody looks and finds all well.
//! So it never says more than was seen. Being found ill ends a soak.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::beneath::Dir;
use super::state::{Keeping, name, read, rewrite};
use crate::model::record::Record;
use crate::model::{DesiredDigest, PackName, TreeDigest};

/// The version of the file.
const FORMAT: u32 = 1;

/// Since when packs have been well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soak {
    /// The version of the file.
    format: u32,
    /// The generation that it speaks of.
    generation: u64,
    /// By pack; one that is not installed any more is among them.
    packs: BTreeMap<PackName, Soaking>,
}

/// One pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Soaking {
    /// The tree that is installed; `None`: it was taken away.
    tree: Option<TreeDigest>,
    /// What it is rendered to.
    desired: Option<DesiredDigest>,
    /// Since when it has been well; `None`: it is not.
    since: Option<Timestamp>,
    /// The generation that put it.
    generation: u64,
}

impl Soak {
    /// What is noted. What cannot be read says nothing.
    pub fn load(state: &Dir) -> Self {
        let bytes = read(state, name::SOAK).ok().flatten().unwrap_or_default();
        let soak: Self = serde_json::from_slice(&bytes).unwrap_or_default();
        if soak.format == FORMAT { soak } else { Self::default() }
    }

    /// Notes it. Not made durable: losing it costs a soak, and promises nothing.
    pub fn store(&self, state: &Dir) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        rewrite(state, name::NEW_SOAK, name::SOAK, &bytes, Keeping::Passing)
    }

    /// What somebody else says: since when each pack is as it is recorded, or gone.
    pub fn told(record: &Record, since: &BTreeMap<PackName, Timestamp>) -> Self {
        let names = record.packs.keys().chain(since.keys());
        let noted = |name: &PackName| {
            let soaking = Soaking::of(record, name, since.get(name).copied(), record.generation);
            (name.clone(), soaking)
        };
        let packs = names.map(noted).collect();
        // Whoever published nothing of any pack had lost what was noted, or found all ill: no word for what is gone.
        let generation = if since.is_empty() { 0 } else { record.generation };
        Self { format: FORMAT, generation, packs }
    }

    /// What is to be noted once `next` is committed over `before`, at `now`.
    #[must_use]
    pub fn after(&self, before: Option<&Record>, next: &Record, now: Timestamp) -> Self {
        let was = before.into_iter().flat_map(|record| record.packs.keys());
        let names: BTreeSet<&PackName> = was.chain(next.packs.keys()).chain(self.packs.keys()).collect();
        let packs = names.into_iter().map(|pack| {
            let anew = Soaking::of(next, pack, Some(now), next.generation);
            let known = before.and_then(|before| self.noted(before, pack));
            let stays = known.filter(|noted| noted.is_same(&anew)).cloned();
            (pack.clone(), stays.unwrap_or(anew))
        });
        Self { format: FORMAT, generation: next.generation, packs: packs.collect() }
    }

    /// Since when a pack has been well as it is recorded, be that installed or not.
    pub fn since(&self, record: &Record, pack: &PackName) -> Option<Timestamp> {
        self.noted(record, pack)?.since
    }

    /// The generation that put what is recorded of a pack.
    pub fn began(&self, record: &Record, pack: &PackName) -> Option<u64> {
        Some(self.noted(record, pack)?.generation)
    }

    fn noted(&self, record: &Record, pack: &PackName) -> Option<&Soaking> {
        let noted = self.packs.get(pack).filter(|_| self.generation == record.generation)?;
        noted.is_same(&Soaking::of(record, pack, None, 0)).then_some(noted)
    }

    /// Packs of which something is noted, those that are gone among them.
    pub fn packs(&self) -> impl Iterator<Item = &PackName> {
        self.packs.keys()
    }

    /// Whether it speaks of this very record.
    pub fn is_of(&self, record: &Record) -> bool {
        self.generation == record.generation
    }

    /// Packs that were there once, as the history tells: of one that is gone, too, it counts since when it is, and a
    /// note that was lost does not tell that it was there.
    #[must_use]
    pub fn recalling(mut self, once: impl Iterator<Item = PackName>) -> Self {
        for name in once {
            let gone = Soaking { tree: None, desired: None, since: None, generation: 0 };
            self.packs.entry(name).or_insert(gone);
        }
        self
    }

    /// Whether all that is recorded is noted as well.
    pub fn is_whole(&self, record: &Record) -> bool {
        self.is_of(record) && record.packs.keys().all(|pack| self.since(record, pack).is_some())
    }

    /// These packs were found ill; none: it is not known which.
    #[must_use]
    pub fn ill(mut self, generation: u64, packs: &BTreeSet<PackName>) -> Self {
        for (name, noted) in self.packs.iter_mut().filter(|_| self.generation == generation) {
            if packs.is_empty() || packs.contains(name) {
                noted.since = None;
            }
        }
        self
    }

    /// All that is recorded was found well: what was not known to be is so from now on.
    #[must_use]
    pub fn well(&self, record: &Record, now: Timestamp) -> Self {
        let names: BTreeSet<&PackName> = record.packs.keys().chain(self.packs.keys()).collect();
        let packs = names.into_iter().map(|pack| {
            let anew = Soaking::of(record, pack, None, 0);
            let noted = self.noted(record, pack).cloned().unwrap_or(anew);
            (pack.clone(), Soaking { since: noted.since.or(Some(now)), ..noted })
        });
        Self { format: FORMAT, generation: record.generation, packs: packs.collect() }
    }
}

impl Soaking {
    /// What is recorded of a pack.
    fn of(record: &Record, pack: &PackName, since: Option<Timestamp>, generation: u64) -> Self {
        let recorded = record.packs.get(pack);
        let (tree, desired) = (recorded.map(|pack| pack.pin.tree), recorded.map(|pack| pack.desired));
        Self { tree, desired, since, generation }
    }

    /// Whether the same lies there.
    fn is_same(&self, other: &Self) -> bool {
        (self.tree, self.desired) == (other.tree, other.desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostPath;
    use crate::model::fleet::Edits;
    use crate::model::pack::{InstallMap, Modes, Pin};
    use crate::model::record::RecordedPack;

    fn record(generation: u64, packs: &[(&str, u8)]) -> Record {
        let at = HostPath::new("/r").unwrap();
        let mut record = Record::empty("f".parse().unwrap(), "d".parse().unwrap(), at);
        record.generation = generation;
        for (name, tree) in packs {
            let pin = Pin {
                version: "1".into(),
                found_by: "1".into(),
                commit: None,
                tree: TreeDigest::from_bytes([*tree; 32]),
            };
            let pack = RecordedPack {
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
            };
            record.packs.insert(name.parse().unwrap(), pack);
        }
        record
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn since(soak: &Soak, record: &Record, pack: &str) -> Option<i64> {
        soak.since(record, &pack.parse().unwrap()).map(Timestamp::as_second)
    }

    #[test]
    fn a_tree_soaks_from_the_commit_that_put_it_until_it_goes_or_is_ill() {
        let (one, two, three) =
            (record(1, &[("a", 1), ("b", 1)]), record(2, &[("a", 2), ("b", 1)]), record(3, &[("a", 2)]));
        let soak = Soak::default().after(None, &one, at(10));
        assert_eq!((since(&soak, &one, "a"), since(&soak, &one, "b")), (Some(10), Some(10)));
        assert!(soak.is_whole(&one) && !soak.is_whole(&two));
        let soak = soak.after(Some(&one), &two, at(20));
        assert_eq!((since(&soak, &two, "a"), since(&soak, &two, "b")), (Some(20), Some(10)));
        assert_eq!(soak.began(&two, &"b".parse().unwrap()), Some(1));
        // Gone is something that soaks as well, and stays so.
        let soak = soak.after(Some(&two), &three, at(30));
        assert_eq!((since(&soak, &three, "a"), since(&soak, &three, "b")), (Some(20), Some(30)));
        let four = record(4, &[("a", 2)]);
        let soak = soak.after(Some(&three), &four, at(40));
        assert_eq!((since(&soak, &four, "a"), since(&soak, &four, "b")), (Some(20), Some(30)));
        let ill = soak.clone().ill(4, &["a".parse().unwrap()].into());
        assert_eq!((since(&ill, &four, "a"), since(&ill, &four, "b")), (None, Some(30)));
        assert_eq!(since(&ill.well(&four, at(50)), &four, "a"), Some(50));
        assert_eq!(since(&soak.well(&four, at(50)), &four, "a"), Some(20));
        assert_eq!(since(&soak.clone().ill(3, &BTreeSet::new()), &four, "a"), Some(20));
        assert_eq!(since(&soak.ill(4, &BTreeSet::new()), &four, "a"), None);
    }

    #[test]
    fn what_was_missed_counts_for_nothing() {
        let (one, two, three) = (record(1, &[("a", 1)]), record(2, &[("a", 2)]), record(3, &[("a", 1)]));
        let soak = Soak::default().after(None, &one, at(10));
        // Generation 2 was committed by somebody who died right after: its tree is not known to be well, and the
        // one of generation 3, the same as that of 1, did not run in between.
        assert_eq!(since(&soak, &two, "a"), None);
        let later = soak.after(Some(&two), &three, at(30));
        assert_eq!(since(&later, &three, "a"), Some(30));
        let mended = soak.well(&two, at(40));
        assert_eq!(since(&mended, &two, "a"), Some(40));
        assert_eq!(mended.began(&two, &"a".parse().unwrap()), Some(0));
    }

    #[test]
    fn another_rendering_of_the_same_tree_soaks_anew() {
        let (one, mut two) = (record(1, &[("a", 1), ("b", 1)]), record(2, &[("a", 1), ("b", 1)]));
        let overlaid: &PackName = &"a".parse().unwrap();
        two.packs.get_mut(overlaid).unwrap().desired = DesiredDigest::from_bytes([7; 32]);
        let soak = Soak::default().after(None, &one, at(10)).after(Some(&one), &two, at(20));
        assert_eq!((since(&soak, &two, "a"), since(&soak, &two, "b")), (Some(20), Some(10)));
        assert_eq!(soak.began(&two, &"a".parse().unwrap()), Some(2));
    }

    #[test]
    fn what_went_is_known_to_have_been_there_though_the_note_was_lost() {
        let (one, two) = (record(1, &[("a", 1), ("b", 1)]), record(2, &[("a", 1)]));
        let was = || ["a", "b"].map(|name| name.parse().unwrap()).into_iter();
        assert!(!Soak::default().is_of(&two) && !Soak::default().is_whole(&two));
        let lost = Soak::default().recalling(was());
        assert_eq!(since(&lost, &two, "b"), None);
        let mended = lost.well(&two, at(40));
        assert_eq!((since(&mended, &two, "a"), since(&mended, &two, "b")), (Some(40), Some(40)));
        assert!(mended.is_whole(&two));
        // The commit that took it away was noted by nobody.
        let soak = Soak::default().after(None, &one, at(10));
        assert_eq!(since(&soak.well(&two, at(50)), &two, "b"), Some(50));
        let three = record(3, &[("a", 1)]);
        assert_eq!(since(&soak.after(Some(&two), &three, at(60)), &three, "b"), Some(60));
        // A status with no word on any pack is no word on what is gone.
        assert!(!Soak::told(&two, &BTreeMap::new()).is_of(&two));
        assert!(Soak::told(&two, &[("a".parse().unwrap(), at(10))].into()).is_of(&two));
    }

    #[test]
    fn a_file_that_cannot_be_read_says_nothing() {
        let place = tempfile::tempdir().unwrap();
        let state = Dir::root(place.path().to_str().unwrap()).unwrap();
        assert_eq!(Soak::load(&state), Soak::default());
        let one = record(1, &[("a", 1)]);
        let soak = Soak::default().after(None, &one, at(10));
        soak.store(&state).unwrap();
        assert_eq!(Soak::load(&state), soak);
        let file = place.path().join(name::SOAK);
        let text = std::fs::read_to_string(&file).unwrap();
        for damaged in [&text[..text.len() / 2], &text.replace("\"format\": 1", "\"format\": 9")] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(since(&Soak::load(&state), &one, "a"), None);
        }
    }
}
