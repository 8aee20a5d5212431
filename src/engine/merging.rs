//! Merging the bytes of one path: as text, else by key where the file has keys. And how much of two texts is the
//! same, to tell where a file went.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::merge::rename::{MAX_BYTES, similarity};
use crate::merge::structured::{Format, Structured, three_way};
use crate::merge::text::{TextMerge, merge_text};
use crate::model::plan::Conflict;
use crate::model::{Content, TreePath};
use crate::plan::verdict::MergeAnswer;

use super::contents::Contents;

/// Most bytes that are remembered while files are compared.
const REMEMBERED: usize = 64 << 20;

/// The answer, and the merged bytes if it is clean.
///
/// Lines that lie side by side conflict as text and may be keys that have nothing to do with each other;
/// so where a JSON or TOML file conflicts as text it is merged by key, and held only if a key conflicts.
pub(super) fn merge(
    path: &TreePath,
    base: &[u8],
    ours: &[u8],
    theirs: &[u8],
) -> (MergeAnswer, Option<Vec<u8>>) {
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

/// Compares contents; remembers what it read.
pub(super) struct Alike<'a> {
    contents: &'a Contents<'a>,
    known: BTreeMap<Content, Option<Rc<[u8]>>>,
    held: usize,
}

impl<'a> Alike<'a> {
    /// Bytes come from there.
    pub(super) fn new(contents: &'a Contents<'a>) -> Self {
        Self { contents, known: BTreeMap::new(), held: 0 }
    }

    /// How much of the larger one is in the other, in percent. What cannot be read, or is too large, is like
    /// nothing.
    pub(super) fn percent(&mut self, a: Content, b: Content) -> u8 {
        let (Some(a), Some(b)) = (self.read(a), self.read(b)) else { return 0 };
        // What a smaller text can share is its size.
        if a.len().min(b.len()) * 2 < a.len().max(b.len()) { 0 } else { similarity(&a, &b) }
    }

    fn read(&mut self, content: Content) -> Option<Rc<[u8]>> {
        if let Some(known) = self.known.get(&content) {
            return known.clone();
        }
        let bytes = self.contents.find(content).ok().filter(|bytes| bytes.len() as u64 <= MAX_BYTES);
        let bytes: Option<Rc<[u8]>> = bytes.map(Into::into);
        self.held += bytes.as_ref().map_or(0, |bytes| bytes.len());
        if self.held > REMEMBERED {
            self.known.clear();
            self.held = bytes.as_ref().map_or(0, |bytes| bytes.len());
        }
        self.known.insert(content, bytes.clone());
        bytes
    }
}
