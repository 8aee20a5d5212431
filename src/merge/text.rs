//! Three-way merge of text, line by line, through libgit2.

use crate::model::Kind;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMerge {
    /// The merged bytes.
    Clean(Vec<u8>),
    /// Both sides changed the same lines.
    Conflict {
        /// The first conflicting line of our file, from 1.
        line: u64,
        /// Number of conflicting places.
        places: u64,
    },
    /// One side is no text: a NUL among its first 8,000 bytes.
    Binary,
    /// One side has more than 50,000 lines or 8 MiB.
    TooLarge,
}

/// Merges `ours` (on the host) and `theirs` (desired), which both come from `base`.
pub fn merge_text(base: &[u8], ours: &[u8], theirs: &[u8]) -> TextMerge {
    let _ = (base, ours, theirs);
    todo!()
}

/// Merges the exec bit, apart from content. `None` if there is no answer: links do not merge with files.
pub fn merge_kind(base: Kind, ours: Kind, theirs: Kind) -> Option<Kind> {
    let _ = (base, ours, theirs);
    todo!()
}
