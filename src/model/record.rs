//! The record: what packfleet knows it left on a host.
//!
//! One per deployment, replaced as a whole, each time with a generation that is one higher. For each
//! path it holds the *base* (the Desired entry last reconciled there) and *written* (what was left
//! there: equal unless an edit was kept or merged). Base, never written, is what the next comparison
//! starts from.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fleet::Edits;
use super::pack::{CommitId, HostKeys, InstallMap, Modes, Pin};
use super::packed::{self, Line, Packed};
use super::rest::Rest;
use super::{
    Content, DeploymentName, DesiredDigest, Entry, FleetName, HostPath, OverlayName, PackName, RecordDigest,
    SourceName, TreePath,
};

/// The version of the encoding that is written.
pub const FORMAT: u32 = 2;
/// The version before, in which every entry named its commit: still read.
const FORMER: u32 = 1;

/// What is on one host, as of its last commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The fleet that wrote it; another fleet is refused.
    pub fleet: FleetName,
    /// The deployment that it belongs to.
    pub deployment: DeploymentName,
    /// The root for which it was written; a copy elsewhere is refused.
    pub root: HostPath,
    /// Number of commits so far; only grows. 0 before the first.
    pub generation: u64,
    /// What is installed, by pack.
    pub packs: BTreeMap<PackName, RecordedPack>,
    /// Every path that packfleet manages, in root coordinates; where there is a `rest`, those that are at stake.
    pub entries: BTreeMap<TreePath, Recorded>,
    /// Directories that packfleet made: removed once empty, others never.
    pub directories: BTreeSet<TreePath>,
    /// What people decided about held paths, not yet carried out.
    pub decisions: BTreeMap<TreePath, Decision>,
    /// What must not come back by itself.
    pub rejected: BTreeMap<PackName, Rejection>,
    /// Entries and directories that nothing happens to, where a pass was spared reading them.
    #[serde(skip)]
    pub rest: Option<Rest>,
}

/// One pack's part of a record: also all that its removal needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedPack {
    /// Which state of the pack; a held pack keeps its pin.
    pub pin: Pin,
    /// What fleet.toml asked for when it was installed, as it prints.
    pub requirement: String,
    /// Where base bytes of the pin are found.
    pub source: SourceName,
    /// Overlays, in order.
    pub overlays: Vec<OverlayName>,
    /// Digest of the pack's part of Desired.
    pub desired: DesiredDigest,
    /// Packs that it requires.
    pub requires: Vec<PackName>,
    /// Where it was installed.
    pub install: InstallMap,
    /// The host's paths, relative to each target.
    pub host_owns: Vec<String>,
    /// The host's keys.
    pub host_keys: Vec<HostKeys>,
    /// Whether exec bits count.
    pub modes: Modes,
    /// Whether one held path holds all.
    pub atomic: bool,
    /// The policy for edits.
    pub edits: Edits,
    /// Its key in the VERSION file.
    pub version_key: String,
    /// Shown in the VERSION file.
    pub features: Vec<String>,
}

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The pack that owns it.
    pub owner: PackName,
    /// The Desired entry last reconciled here; `None` for a host-owned path, which has only the mark
    /// that it was installed.
    pub base: Option<Entry>,
    /// What was left here; `None` where a deletion was kept.
    pub written: Option<Entry>,
    /// The commit in which the base's bytes are found, if they are a pack's own; bytes of overlays and
    /// plain directories lie in object stores.
    pub commit: Option<CommitId>,
}

/// A person's word on a held path. It lapses when `actual` or `desired` is no longer what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What lay there when it was taken.
    pub actual: Option<Entry>,
    /// What should have lain there.
    pub desired: Option<Entry>,
    /// Which side to take.
    pub take: Take,
}

/// Which side a decision takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// The bytes on the host stay; base := desired.
    Local,
    /// Desired is put; what was there becomes a saved edit.
    Pack,
    /// These bytes, kept in the host's object store, are put; what was there becomes a saved edit.
    File(Content),
}

/// What a rollback (or failed health) rejected for one pack: neither comes back until Desired is
/// something else or a person says `retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The Desired digests that are rejected; `None` is "absent".
    pub digests: Vec<Option<DesiredDigest>>,
    /// The generation whose Desired stands instead.
    pub restored: u64,
}

/// A damaged or foreign record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Too short, wrong magic, or the checksum does not hold.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Written by another version.
    #[error("it has format {0}, this packfleet reads {FORMAT}")]
    Format(u32),
    /// The checksum holds, the content does not decode.
    #[error("its checksum holds, but it does not decode")]
    Decode(#[source] postcard::Error),
}

/// How a record begins.
pub(super) const MAGIC: &[u8; 8] = b"pfrecord";

impl Record {
    /// The record of a deployment on which nothing was ever done.
    pub fn empty(fleet: FleetName, deployment: DeploymentName, root: HostPath) -> Self {
        Self {
            fleet,
            deployment,
            root,
            generation: 0,
            packs: BTreeMap::new(),
            entries: BTreeMap::new(),
            directories: BTreeSet::new(),
            decisions: BTreeMap::new(),
            rejected: BTreeMap::new(),
            rest: None,
        }
    }

    /// All entries, those of the rest among them, in byte order of their paths.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut own = self.entries.iter().peekable();
        let mut rest = self.rest.iter().flat_map(|rest| rest.lines(self)).peekable();
        std::iter::from_fn(move || match (own.peek(), rest.peek()) {
            (Some((path, _)), Some(line)) if line.cmp_path(path.as_str()).is_lt() => rest.next(),
            (None, _) => rest.next(),
            (Some(_), _) => own.next().map(|(path, recorded)| Line::of(path, recorded)),
        })
    }

    /// The bytes of the record; equal records have equal ones. See [`packed`](super::packed).
    pub fn encode(&self) -> Vec<u8> {
        packed::encode(self, self.lines())
    }

    /// The inverse of [`Record::encode`]; never panics on damaged input. Another format than this and the one
    /// before is refused, never guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        match Packed::open(Cow::Borrowed(bytes)) {
            Err(RecordError::Format(FORMER)) => unframe(MAGIC, FORMER, bytes),
            packed => packed?.record(),
        }
    }

    /// Digest of the encoding: what a plan is fenced on.
    pub fn digest(&self) -> RecordDigest {
        RecordDigest::from_bytes(*blake3::hash(&self.encode()).as_bytes())
    }
}

/// Encodes a value behind a magic, a format number and a checksum.
pub fn frame<T: Serialize>(magic: &[u8; 8], format: u32, value: &T) -> Vec<u8> {
    let body = postcard::to_stdvec(value).expect("plain values serialise into memory");
    let mut out = Vec::with_capacity(44 + body.len());
    out.extend_from_slice(magic);
    out.extend_from_slice(&format.to_le_bytes());
    out.extend_from_slice(blake3::hash(&body).as_bytes());
    out.extend_from_slice(&body);
    out
}

/// Decodes what [`frame`] encoded, checking magic, format and checksum in that order.
pub fn unframe<T: serde::de::DeserializeOwned>(
    magic: &[u8; 8],
    format: u32,
    bytes: &[u8],
) -> Result<T, RecordError> {
    let rest = bytes.strip_prefix(magic).ok_or(RecordError::Damaged("wrong magic"))?;
    let (found, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::Damaged("too short"))?;
    let found = u32::from_le_bytes(*found);
    if found != format {
        return Err(RecordError::Format(found));
    }
    let (sum, body) = rest.split_first_chunk::<32>().ok_or(RecordError::Damaged("too short"))?;
    if blake3::hash(body).as_bytes() != sum {
        return Err(RecordError::Damaged("checksum"));
    }
    match postcard::take_from_bytes(body).map_err(RecordError::Decode)? {
        (value, []) => Ok(value),
        _ => Err(RecordError::Damaged("there are bytes behind its end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_encoding_and_every_flipped_bit_is_found() {
        let name = "x".parse().unwrap();
        let mut record = Record::empty(name, "d".parse().unwrap(), HostPath::new("/r").unwrap());
        record.generation = 7;
        record.directories.insert(TreePath::new("a/b").unwrap());
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Record::decode(&damaged).is_err(), "byte {at}");
            assert!(Record::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        // A checksum that holds is no excuse.
        let longer = frame(MAGIC, FORMER, &(&record, 0u8));
        assert!(matches!(
            Record::decode(&longer),
            Err(RecordError::Damaged("there are bytes behind its end"))
        ));
    }

    #[test]
    fn the_format_before_is_still_read() {
        let name = "x".parse().unwrap();
        let mut record = Record::empty(name, "d".parse().unwrap(), HostPath::new("/r").unwrap());
        let commit = Some(CommitId::new(&"a".repeat(40)).unwrap());
        let entry = Some(Entry::of(super::super::Kind::Exec, b"x"));
        let owner = "p".parse().unwrap();
        record
            .entries
            .insert(TreePath::new("a/b").unwrap(), Recorded { owner, base: entry, written: None, commit });
        assert_eq!(Record::decode(&frame(MAGIC, FORMER, &record)).unwrap(), record);
        assert!(matches!(Record::decode(&frame(MAGIC, 3, &record)), Err(RecordError::Format(3))));
        // What was written before may not be read as something else one day.
        let digest = Content::of(&frame(MAGIC, FORMER, &record));
        assert_eq!(digest.short(), "ead4076");
    }
}
