//! Unified diffs of one file, applied exactly or not at all.
//!
//! A unified diff says at which line each of its hunks lies. [`Patch::apply_exactly`] looks there, byte for
//! byte, and nowhere else: on repetitive text every search, however careful, finds wrong places as well as
//! the right one, and reports success. Which text is the right one is the caller's knowledge (the digest of
//! the overlay's base); what a hunk means on another text is a question for a three-way merge.
//!
//! The applier is ours because the rule is "do not search": what crates for patches offer is the search, and
//! what would be left of them is the reading of lines. Lines are bytes with their ends: CRLF and LF differ,
//! and a missing newline at the end of the file is part of its last line.
//!
//! Laws: `parse(print(p)) = p`; `make(a, b)` applied to `a` gives `b`, and is then recognised as applied.
//! Deliberately absent: fuzz, offsets, whitespace rules, several files, creation, removal, renames, modes.

mod header;
mod parse;

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::text::{is_binary, is_large};
use crate::model::TreePath;

/// What `git diff` writes below a line that ends without a newline.
const NO_NEWLINE: &str = "\\ No newline at end of file\n";
/// Lines of context around a change.
const CONTEXT: usize = 3;

/// A unified diff of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    path: TreePath,
    hunks: Vec<Hunk>,
}

/// One hunk. Positions count the lines before it, so that a hunk without lines on one side has one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    /// Line of its header in the patch, from 1.
    header: usize,
    old_at: usize,
    new_at: usize,
    lines: Vec<Line>,
}

/// A line of a hunk, with its end unless the file ends there without one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    side: Side,
    bytes: Vec<u8>,
}

/// Which texts hold a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Old,
    New,
}

/// Which text is looked at, and which is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// A text that is no patch of one file, or a patch that does not lie on a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// More than 8 MiB or 50,000 lines: of a patch, or of a text to make one for.
    #[error("more than 50,000 lines or 8 MiB")]
    TooLarge,
    /// Nothing is changed.
    #[error("the patch changes nothing")]
    Empty,
    /// A binary patch, or a NUL.
    #[error("a binary patch cannot be merged: put the whole file into the overlay instead")]
    Binary,
    /// Not a header where one is needed.
    #[error(
        "line {line}: a patch needs the two lines \"--- a/{path}\" and \"+++ b/{path}\" above its first hunk"
    )]
    NoHeader {
        /// Of the patch.
        line: usize,
        /// The overlay's file.
        path: TreePath,
    },
    /// The patch's own lines end in CRLF.
    #[error(
        "line {line}: a header of the patch ends in CRLF, so the ends of its lines are not the file's: \
         store the patch with \"-text\" in .gitattributes"
    )]
    LineEnds {
        /// Of the patch.
        line: usize,
    },
    /// A header names another file.
    #[error(
        "line {line}: the patch is for {named}, but lies in the overlay as that of {path:?}: \
         make it with `git diff --relative` in the pack's directory"
    )]
    OtherFile {
        /// Of the patch.
        line: usize,
        /// As the header has it, escaped.
        named: String,
        /// The overlay's file.
        path: TreePath,
    },
    /// A file is created or removed.
    #[error(
        "line {line}: a patch changes a file, it neither creates nor removes one: an overlay adds a file by \
         holding it, and leaves one out by `remove` in overlay.toml"
    )]
    Existence {
        /// Of the patch.
        line: usize,
    },
    /// A mode or a link.
    #[error("line {line}: a patch cannot change modes or links: put the whole file into the overlay instead")]
    Mode {
        /// Of the patch.
        line: usize,
    },
    /// A rename or a copy.
    #[error("line {line}: a patch cannot rename or copy")]
    Rename {
        /// Of the patch.
        line: usize,
    },
    /// A second file.
    #[error("line {line}: a second file begins: each file has a patch of its own")]
    SecondFile {
        /// Of the patch.
        line: usize,
    },
    /// A hunk header that is none.
    #[error("line {line}: {found} is no hunk header")]
    HunkHeader {
        /// Of the patch.
        line: usize,
        /// What stands there, escaped.
        found: String,
    },
    /// The numbers of a hunk do not fit its lines.
    #[error("line {line}: hunk {hunk} has other numbers of lines than its header says")]
    Counts {
        /// From 1.
        hunk: usize,
        /// Of the patch, where that showed.
        line: usize,
    },
    /// A hunk that begins before the one above ends, or whose two positions do not fit the hunks above.
    #[error("line {line}: hunk {hunk} overlaps the one above, or does not lie where its header says")]
    Order {
        /// From 1.
        hunk: usize,
        /// Of the patch: its header.
        line: usize,
    },
    /// A hunk of context only.
    #[error("line {line}: hunk {hunk} changes nothing")]
    NoChange {
        /// From 1.
        hunk: usize,
        /// Of the patch: its header.
        line: usize,
    },
    /// A "no newline" mark in the middle of a file.
    #[error("line {line}: hunk {hunk} has lines behind one that it says ends the file")]
    EndMark {
        /// From 1.
        hunk: usize,
        /// Of the patch.
        line: usize,
    },
    /// The text ends within a line.
    #[error("line {line}: the patch ends within a line: it was cut off")]
    CutOff {
        /// Of the patch.
        line: usize,
    },
    /// Something else between or behind the hunks.
    #[error("line {line}: {found} is no part of a patch")]
    Stray {
        /// Of the patch.
        line: usize,
        /// What stands there, escaped.
        found: String,
    },
    /// The old lines are not where the header says.
    #[error(
        "hunk {hunk} (line {line} of the patch) does not lie at line {at}: it expects {expected}, the file has {found}"
    )]
    Mismatch {
        /// From 1.
        hunk: usize,
        /// Of the patch: the hunk's header.
        line: usize,
        /// Of the file, from 1.
        at: usize,
        /// The line that the patch expects, escaped.
        expected: String,
        /// What is there, escaped; "its end" if there is nothing.
        found: String,
    },
    /// The result would join two lines.
    #[error("hunk {hunk} (line {line} of the patch) puts lines behind one that has no newline")]
    Joined {
        /// From 1.
        hunk: usize,
        /// Of the patch: the hunk's header.
        line: usize,
    },
}

impl Patch {
    /// Understands a unified diff of `path`, as git, diff or a person writes it. What stands above the
    /// headers is taken for comment.
    pub fn parse(path: &TreePath, text: &[u8]) -> Result<Self, PatchError> {
        if is_large(text) {
            return Err(PatchError::TooLarge);
        }
        if text.contains(&0) {
            return Err(PatchError::Binary);
        }
        let hunks = parse::Parser::new(path, text).run()?;
        Ok(Self { path: path.clone(), hunks })
    }

    /// The diff from `old` to `new`, with three lines of context. Two equal texts are [`PatchError::Empty`].
    pub fn make(path: &TreePath, old: &[u8], new: &[u8]) -> Result<Self, PatchError> {
        if is_binary(old) || is_binary(new) {
            return Err(PatchError::Binary);
        }
        if is_large(old) || is_large(new) {
            return Err(PatchError::TooLarge);
        }
        let (old, new) = (lines(old), lines(new));
        let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
        let hunks = group_diff_ops(ops, CONTEXT).iter().map(|group| hunk(group, &old, &new)).collect();
        // Read back, so that what is made is what would be understood, limits included.
        Self::parse(path, &Self { path: path.clone(), hunks }.print())
    }

    /// The file that it is for.
    pub fn path(&self) -> &TreePath {
        &self.path
    }

    /// The patch as text: bytes, because a file need not be UTF-8.
    pub fn print(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (mark, prefix) in [("---", "a"), ("+++", "b")] {
            out.extend(format!("{mark} {}\n", header::spelled(prefix, &self.path)).as_bytes());
        }
        for hunk in &self.hunks {
            let old = span(hunk.old_at, hunk.side(Direction::Forward).count());
            let new = span(hunk.new_at, hunk.side(Direction::Backward).count());
            out.extend(format!("@@ -{old} +{new} @@\n").as_bytes());
            for line in &hunk.lines {
                out.push(line.side.mark());
                out.extend(&line.bytes);
                if !line.bytes.ends_with(b"\n") {
                    out.push(b'\n');
                    out.extend(NO_NEWLINE.as_bytes());
                }
            }
        }
        out
    }

    /// Applies every hunk at exactly the place that its header names, or says which does not lie there.
    ///
    /// Assumes that `base` is the text that the patch was made for: a hunk whose lines occur at other places
    /// too is as good as any other, there and only there.
    pub fn apply_exactly(&self, base: &[u8]) -> Result<Vec<u8>, PatchError> {
        self.replay(base, Direction::Forward)
    }

    /// Whether the text already holds what the patch would do: taking it back applies exactly.
    pub fn is_applied(&self, text: &[u8]) -> bool {
        self.replay(text, Direction::Backward).is_ok()
    }

    /// For each hunk, the lines of the base from its first change to its last: how many lie before, and
    /// how many they are.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.hunks.iter().map(|hunk| {
            let context = |line: &&Line| line.side == Side::Both;
            let before = hunk.lines.iter().take_while(context).count();
            let behind = hunk.lines.iter().rev().take_while(context).count();
            let old = hunk.side(Direction::Forward).count();
            (hunk.old_at + before, old.saturating_sub(before + behind))
        })
    }

    fn replay(&self, text: &[u8], direction: Direction) -> Result<Vec<u8>, PatchError> {
        let text = lines(text);
        let mut out: Vec<u8> = Vec::new();
        let mut done = 0;
        for (index, hunk) in self.hunks.iter().enumerate() {
            let (number, line) = (index + 1, hunk.header);
            let joined = || PatchError::Joined { hunk: number, line };
            let mut at = match direction {
                Direction::Forward => hunk.old_at,
                Direction::Backward => hunk.new_at,
            };
            // A hunk far behind the end has no line to show; its first one is missing.
            out.extend(text.get(done..at.min(text.len())).unwrap_or_default().concat());
            for expected in hunk.side(direction) {
                let found = text.get(at).copied();
                if found != Some(expected) {
                    let found = found.map_or_else(|| "its end".to_owned(), shown);
                    let (at, expected) = (at + 1, shown(expected));
                    return Err(PatchError::Mismatch { hunk: number, line, at, expected, found });
                }
                at += 1;
            }
            if at > text.len() {
                let (expected, found) = (format!("{at} lines above it"), format!("{}", text.len()));
                return Err(PatchError::Mismatch { hunk: number, line, at: at + 1, expected, found });
            }
            for written in hunk.side(direction.other()) {
                if out.last().is_some_and(|byte| *byte != b'\n') {
                    return Err(joined());
                }
                out.extend(written);
            }
            done = at;
            if done < text.len() && out.last().is_some_and(|byte| *byte != b'\n') {
                return Err(joined());
            }
        }
        out.extend(text[done..].concat());
        Ok(out)
    }
}

impl Hunk {
    /// The lines that are looked for when it is applied in this direction.
    fn side(&self, direction: Direction) -> impl Iterator<Item = &[u8]> {
        let left_out = match direction {
            Direction::Forward => Side::New,
            Direction::Backward => Side::Old,
        };
        self.lines.iter().filter(move |line| line.side != left_out).map(|line| line.bytes.as_slice())
    }
}

impl Side {
    const fn mark(self) -> u8 {
        match self {
            Self::Both => b' ',
            Self::Old => b'-',
            Self::New => b'+',
        }
    }
}

impl Direction {
    const fn other(self) -> Self {
        match self {
            Self::Forward => Self::Backward,
            Self::Backward => Self::Forward,
        }
    }
}

/// Lines with their ends.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A line of somebody's text in a message: in quotes, escaped, cut after 80 characters.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

/// A range of lines as a hunk header has it.
fn span(at: usize, count: usize) -> String {
    match count {
        0 => format!("{at},0"),
        1 => format!("{}", at + 1),
        _ => format!("{},{count}", at + 1),
    }
}

/// A hunk of the operations of one group.
fn hunk(group: &[DiffOp], old: &[&[u8]], new: &[&[u8]]) -> Hunk {
    let mut hunk = Hunk { header: 0, old_at: 0, new_at: 0, lines: Vec::new() };
    if let Some(first) = group.first() {
        (hunk.old_at, hunk.new_at) = (first.old_range().start, first.new_range().start);
    }
    for op in group {
        let mut push = |side, lines: &[&[u8]]| {
            hunk.lines.extend(lines.iter().map(|line| Line { side, bytes: line.to_vec() }));
        };
        if matches!(op, DiffOp::Equal { .. }) {
            push(Side::Both, &old[op.old_range()]);
        } else {
            push(Side::Old, &old[op.old_range()]);
            push(Side::New, &new[op.new_range()]);
        }
    }
    hunk
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
