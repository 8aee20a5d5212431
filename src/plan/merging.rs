//! Merging the bytes of one path: as text, else by key where the file has keys.

use crate::merge::structured::{Format, Structured, three_way};
use crate::merge::text::{TextMerge, merge_text};
use crate::model::plan::Conflict;
use crate::model::{Content, TreePath};

use super::verdict::MergeAnswer;

/// The answer, and the merged bytes if it is clean.
///
/// Lines that lie side by side conflict as text and may be keys that have nothing to do with each other;
/// so where a JSON or TOML file conflicts as text it is merged by key, and held only if a key conflicts.
pub fn merge(path: &TreePath, base: &[u8], ours: &[u8], theirs: &[u8]) -> (MergeAnswer, Option<Vec<u8>>) {
    let conflict = match merge_text(base, ours, theirs) {
        TextMerge::Clean(bytes) => return (MergeAnswer::Clean(Content::of(&bytes)), Some(bytes)),
        TextMerge::Conflict { line, places } => Conflict::Text { line, places },
        TextMerge::Binary => Conflict::Binary,
        TextMerge::TooLarge => Conflict::TooLarge,
    };
    let texts = [base, ours, theirs].map(std::str::from_utf8);
    if let (Conflict::Text { .. }, Some(format), [Ok(base), Ok(ours), Ok(theirs)]) =
        (&conflict, Format::of(path), texts)
        && let Ok(Structured::Clean(merged)) = three_way(format, base, ours, theirs)
    {
        let bytes = merged.into_bytes();
        return (MergeAnswer::Clean(Content::of(&bytes)), Some(bytes));
    }
    (MergeAnswer::Conflict(conflict), None)
}
