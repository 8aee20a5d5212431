//! How much of two texts is the same, to tell where a file went.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::merge::rename::{MAX_BYTES, similarity};
use crate::model::Content;

use super::contents::Contents;

/// Most bytes that are remembered while files are compared.
const REMEMBERED: usize = 64 << 20;

/// Compares contents; remembers what it read.
pub(super) struct Alike<'a> {
    contents: &'a Contents<'a>,
    known: BTreeMap<Content, Option<Rc<[u8]>>>,
    held: usize,
    missed: bool,
}

impl<'a> Alike<'a> {
    /// Bytes come from there.
    pub(super) fn new(contents: &'a Contents<'a>) -> Self {
        Self { contents, known: BTreeMap::new(), held: 0, missed: false }
    }

    /// How much of the larger one is in the other, in percent. What cannot be read, or is too large, is like
    /// nothing.
    pub(super) fn percent(&mut self, a: Content, b: Content) -> u8 {
        let (Some(a), Some(b)) = (self.read(a), self.read(b)) else { return 0 };
        // What a smaller text can share is its size.
        if a.len().min(b.len()) * 2 < a.len().max(b.len()) { 0 } else { similarity(&a, &b) }
    }

    /// Whether something was asked for whose bytes are nowhere.
    pub(super) fn missed(&self) -> bool {
        self.missed
    }

    fn read(&mut self, content: Content) -> Option<Rc<[u8]>> {
        if let Some(known) = self.known.get(&content) {
            return known.clone();
        }
        let found = self.contents.find(content).ok();
        self.missed |= found.is_none();
        let bytes = found.filter(|bytes| bytes.len() as u64 <= MAX_BYTES);
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
