//! Three-way merge of text, line by line, through libgit2.
//!
//! `base` is what both sides come from, `ours` what lies on the host, `theirs` what is desired. Bytes are
//! kept exactly: line ends, a missing final newline, conflict markers that are part of a file. A result is
//! clean only if libgit2 says so; its text is looked at for nothing but where a conflict lies.
//!
//! Laws: `merge(b, b, u) = u`, `merge(b, l, b) = l`, `merge(b, x, x) = x`, whatever the bytes; a clean
//! merge is symmetric and holds every line that either side added. Deliberately absent: any attempt to
//! resolve a conflict, and any guess at line ends.

use std::sync::OnceLock;

use git2::{MergeFileInput, MergeFileOptions};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::model::Kind;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMerge {
    /// The merged bytes.
    Clean(Vec<u8>),
    /// Both sides changed the same lines.
    Conflict {
        /// The first conflicting line of our file, from 1. Where our side deleted what theirs changed, the
        /// line that now stands there.
        line: u64,
        /// Number of conflicting places.
        places: u64,
    },
    /// One side is no text: a NUL among its first 8,000 bytes.
    Binary,
    /// One side has more than 50,000 lines or 8 MiB.
    TooLarge,
}

/// Most lines of a text that is merged or shown.
pub const MAX_LINES: usize = 50_000;
/// Most bytes of a text that is merged or shown.
pub const MAX_BYTES: usize = 8 << 20;
/// How far git looks for a NUL.
const BINARY_PREFIX: usize = 8_000;
/// Git's usual marker; ours is longer where a file has such lines of its own.
const MARKER: u16 = 7;

/// Merges `ours` (on the host) and `theirs` (desired), which both come from `base`.
///
/// If two of the three are equal the answer is the third, or their common bytes, for any bytes at all.
pub fn merge_text(base: &[u8], ours: &[u8], theirs: &[u8]) -> TextMerge {
    if base == ours || ours == theirs {
        return TextMerge::Clean(theirs.to_vec());
    }
    if base == theirs {
        return TextMerge::Clean(ours.to_vec());
    }
    let sides = [base, ours, theirs];
    if sides.iter().any(|side| is_binary(side)) {
        return TextMerge::Binary;
    }
    if sides.iter().any(|side| is_large(side)) {
        return TextMerge::TooLarge;
    }
    let size = marker_size(&sides);
    match merge_lines(sides, size) {
        Ok(result) if result.is_automergeable() => TextMerge::Clean(result.content().to_vec()),
        Ok(result) => locate(ours, result.content(), size),
        // Out of memory is all that is left to fail; held is the safe answer.
        Err(_) => TextMerge::Conflict { line: 1, places: 1 },
    }
}

/// Merges the exec bit, apart from content. `None` if one of the three is a link: links do not merge.
pub fn merge_kind(base: Kind, ours: Kind, theirs: Kind) -> Option<Kind> {
    if [base, ours, theirs].contains(&Kind::Link) {
        return None;
    }
    // Of two values, a side that differs from base is right: the other side agrees or did not change it.
    Some(if ours == base { theirs } else { ours })
}

/// Whether git would call these bytes binary.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PREFIX)].contains(&0)
}

/// Whether a text is beyond the limits.
pub(super) fn is_large(bytes: &[u8]) -> bool {
    bytes.len() > MAX_BYTES || lines(bytes).count() > MAX_LINES
}

/// Lines with their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// `merge_file` is the one call of git2 that does not initialise libgit2 by itself.
pub(super) fn initialise() {
    static INITIALISED: OnceLock<()> = OnceLock::new();
    INITIALISED.get_or_init(|| git2::opts::strict_object_creation(true));
}

fn merge_lines(sides: [&[u8]; 3], size: u16) -> Result<git2::MergeFileResult, git2::Error> {
    initialise();
    let [base, ours, theirs] = sides.map(|side| {
        let mut input = MergeFileInput::new();
        input.content(side);
        input
    });
    let mut options = MergeFileOptions::new();
    options.style_standard(true).marker_size(size);
    git2::merge_file(&base, &ours, &theirs, Some(&mut options))
}

/// The number of marker characters at the beginning of a line, if it begins with any.
pub(super) fn marker_run(line: &[u8]) -> Option<(u8, usize)> {
    let first = *line.first().filter(|byte| b"<=>".contains(byte))?;
    Some((first, line.iter().take_while(|byte| **byte == first).count()))
}

/// A length of marker with which no line of any side begins. There is one: lines of all lengths up to
/// 65,535 would need more bytes than the sides may have.
pub(super) fn marker_size(sides: &[&[u8]]) -> u16 {
    let taken: std::collections::BTreeSet<usize> =
        sides.iter().flat_map(|side| lines(side)).filter_map(marker_run).map(|(_, length)| length).collect();
    (MARKER..u16::MAX).find(|size| !taken.contains(&usize::from(*size))).unwrap_or(u16::MAX)
}

/// Where our file conflicts, read off the text with markers of `size`.
fn locate(ours: &[u8], marked: &[u8], size: u16) -> TextMerge {
    // Our side of every place, merged with what is clean: differs from our file by their changes only.
    let mut favoured: Vec<&[u8]> = Vec::new();
    let (mut first, mut places, mut theirs) = (None, 0, false);
    for line in lines(marked) {
        match marker_run(line) {
            Some((b'<', length)) if length == usize::from(size) => {
                places += 1;
                first.get_or_insert(favoured.len());
            }
            Some((b'=', length)) if length == usize::from(size) => theirs = true,
            Some((b'>', length)) if length == usize::from(size) => theirs = false,
            _ if theirs => {}
            _ => favoured.push(line),
        }
    }
    let ours: Vec<&[u8]> = lines(ours).collect();
    let first = first.unwrap_or_default();
    let at = capture_diff_slices(Algorithm::Myers, &ours, &favoured)
        .into_iter()
        .find(|op| op.new_range().contains(&first))
        .map_or(ours.len(), |op| match op {
            DiffOp::Equal { old_index, new_index, .. } => old_index + (first - new_index),
            other => other.old_range().start,
        });
    let line = (at + 1).min(ours.len()).max(1);
    TextMerge::Conflict { line: line as u64, places: places.max(1) }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
