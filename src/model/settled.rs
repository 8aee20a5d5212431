//! Whether there is anything to plan, without planning.
//!
//! A record is *settled* if all of it is as it was wished: every base is what was left there, nothing is
//! rejected, no decision waits. Of a settled record each pack has a [`PartDigest`]; Desired has one, too.
//! Where both sides agree on pins, policies and digests, and the tree is what the record says, the planner
//! would find every path in sync, and need not be asked. Anything else is the planner's to judge.

use std::collections::BTreeMap;

use super::desired::DesiredEntry;
use super::pack::CommitId;
use super::packed::split;
use super::record::{Record, RecordedPack};
use super::{Entry, PackName, PartDigest, TreePath};

/// What a settled record says of one pack.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// Pin, policies and the rest.
    pub recorded: RecordedPack,
    /// Digest of its entries.
    pub digest: PartDigest,
}

/// The digest of one pack's part of Desired.
pub fn part_digest(entries: &BTreeMap<TreePath, DesiredEntry>) -> PartDigest {
    let mut hasher = PartHasher::default();
    for (path, desired) in entries {
        let (directory, name) = split(path.as_str());
        hasher.add(directory, name, desired.entry, desired.host_owned, desired.commit.as_ref());
    }
    hasher.finish()
}

/// The parts of a record by pack; `None` if it is not settled.
pub fn parts(record: &Record) -> Option<BTreeMap<PackName, Part>> {
    if !record.decisions.is_empty() || !record.rejected.is_empty() {
        return None;
    }
    let mut hashers: BTreeMap<&PackName, PartHasher> =
        record.packs.keys().map(|name| (name, PartHasher::default())).collect();
    for line in record.lines() {
        let host_owned = line.base.is_none();
        let entry = line.base.or(line.written)?;
        if !host_owned && line.base != line.written {
            return None;
        }
        hashers.get_mut(line.owner)?.add(line.directory, line.name, entry, host_owned, line.commit);
    }
    let part = |(name, recorded): (&PackName, &RecordedPack)| {
        let digest = hashers.remove(name)?.finish();
        Some((name.clone(), Part { recorded: recorded.clone(), digest }))
    };
    record.packs.iter().map(part).collect()
}

/// Hashes in pieces that are worth it.
struct Buffered {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
}

impl Buffered {
    fn new(context: &str) -> Self {
        Self { hasher: blake3::Hasher::new_derive_key(context), buffer: Vec::new() }
    }

    fn text(&mut self, parts: [&str; 3]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.buffer.extend_from_slice(&(length as u64).to_le_bytes());
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part.as_bytes()));
    }

    fn path(&mut self, directory: &str, name: &str) {
        self.text([directory, if directory.is_empty() { "" } else { "/" }, name]);
    }

    fn tick(&mut self) {
        if self.buffer.len() >= 64 << 10 {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.hasher.update(&self.buffer);
        *self.hasher.finalize().as_bytes()
    }
}

/// The digest of a tree, entry by entry in byte order of the paths; see
/// [`digest_entries`](super::tree::digest_entries).
pub struct EntryHasher(Buffered);

impl EntryHasher {
    /// Of no entry yet.
    pub fn tree() -> Self {
        Self(Buffered::new(super::tree::CONTEXT))
    }

    /// The next entry, in a directory (`""` is the top).
    pub fn add(&mut self, directory: &str, name: &str, entry: Entry) {
        self.0.buffer.push(entry.kind.letter());
        self.0.path(directory, name);
        self.0.buffer.extend_from_slice(entry.content.as_bytes());
        self.0.tick();
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        self.0.finish()
    }
}

/// The digest of one pack's part, entry by entry in byte order of the paths.
pub struct PartHasher(Buffered);

impl Default for PartHasher {
    fn default() -> Self {
        Self(Buffered::new("packfleet part v1"))
    }
}

impl PartHasher {
    /// The next entry, in a directory (`""` is the root).
    pub fn add(
        &mut self,
        directory: &str,
        name: &str,
        entry: Entry,
        host_owned: bool,
        commit: Option<&CommitId>,
    ) {
        self.0.buffer.extend_from_slice(&[entry.kind.letter(), u8::from(host_owned)]);
        self.0.buffer.extend_from_slice(entry.content.as_bytes());
        self.0.text([commit.map_or("", CommitId::as_str), "", ""]);
        self.0.path(directory, name);
        self.0.tick();
    }

    /// The digest.
    pub fn finish(self) -> PartDigest {
        PartDigest::from_bytes(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::tests::pack;
    use crate::model::record::{Decision, Recorded, Rejection, Take};
    use crate::model::{HostPath, Kind};

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn record() -> Record {
        let root = HostPath::new("/r").unwrap();
        let mut record = Record::empty("f".parse().unwrap(), "d".parse().unwrap(), root);
        record.packs.insert("p".parse().unwrap(), pack(None));
        for (at, host_owned) in [("a", false), ("b/c", true)] {
            let entry = Entry::of(Kind::File, at.as_bytes());
            let base = (!host_owned).then_some(entry);
            let owner = "p".parse().unwrap();
            record.entries.insert(path(at), Recorded { owner, base, written: Some(entry), commit: None });
        }
        record
    }

    fn desired() -> BTreeMap<TreePath, DesiredEntry> {
        let one = |at: &str, host_owned| {
            let entry = Entry::of(Kind::File, at.as_bytes());
            (path(at), DesiredEntry { entry, host_owned, commit: None })
        };
        [one("a", false), one("b/c", true)].into()
    }

    #[test]
    fn what_was_wished_and_done_has_the_digest_of_the_wish() {
        let parts = parts(&record()).unwrap();
        assert_eq!(parts.values().next().unwrap().digest, part_digest(&desired()));
    }

    #[test]
    fn every_field_of_a_wish_changes_its_digest() {
        type Change = fn(&mut DesiredEntry);
        let changes: [Change; 4] = [
            |entry| entry.entry.kind = Kind::Exec,
            |entry| entry.entry.content = Entry::of(Kind::File, b"else").content,
            |entry| entry.host_owned = !entry.host_owned,
            |entry| entry.commit = CommitId::new(&"a".repeat(40)).ok(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = desired();
            changed.values_mut().for_each(change);
            assert_ne!(part_digest(&changed), part_digest(&desired()), "{at}");
        }
        let moved = desired().into_iter().map(|(at, entry)| (path(&format!("{at}x")), entry)).collect();
        assert_ne!(part_digest(&moved), part_digest(&desired()));
    }

    #[test]
    fn what_waits_for_anybody_is_not_settled() {
        type Change = fn(&mut Record);
        let changes: [Change; 5] = [
            |record| {
                let decision = Decision { actual: None, desired: None, take: Take::Local };
                record.decisions.insert(path("x"), decision);
            },
            |record| {
                let rejection = Rejection { digests: vec![None], restored: 1 };
                record.rejected.insert("p".parse().unwrap(), rejection);
            },
            |record| record.entries.get_mut("a").unwrap().written = None,
            |record| {
                record.entries.get_mut("a").unwrap().written = Some(Entry::of(Kind::File, b"edited"));
            },
            |record| record.entries.get_mut("a").unwrap().owner = "gone".parse().unwrap(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = record();
            change(&mut changed);
            assert_eq!(parts(&changed), None, "{at}");
        }
    }
}
