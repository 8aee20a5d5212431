//! Desired: what should be on one deployment, pack by pack, in root coordinates.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pack::CommitId;
use super::plan::HoldCause;
use super::record::RecordedPack;
use super::tree::digest_entries;
use super::{DesiredDigest, Entry, PackName, TreePath};

/// One path that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredEntry {
    /// File, executable or link, and its bytes' digest.
    pub entry: Entry,
    /// Matches `host_owns`: installed once where absent, never looked at again.
    pub host_owned: bool,
    /// The commit in which the bytes are found; `None` if an overlay or plain directory gave them.
    pub commit: Option<CommitId>,
}

/// One pack as it should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPack {
    /// What the record will say of it.
    pub recorded: RecordedPack,
    /// Its entries; whoever wants the same of the pack shares them.
    pub entries: Arc<BTreeMap<TreePath, DesiredEntry>>,
}

/// What is known of one assigned pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Resolved and rendered.
    Pinned(Box<DesiredPack>),
    /// It could not be: what is recorded stays desired, and this says why.
    Held(HoldCause),
}

/// All packs that one deployment should have. A pack that is not here is to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// By pack.
    pub packs: BTreeMap<PackName, Resolution>,
}

/// Digest of one pack's part of Desired. Host-owned paths take part: shipping another one is a change
/// of the pack, though not of the host.
pub fn pack_digest(entries: &BTreeMap<TreePath, DesiredEntry>) -> DesiredDigest {
    DesiredDigest::from_bytes(digest_entries(entries.iter().map(|(path, desired)| (path, desired.entry))))
}
