//! Comparing what lies on a host with a version, where digests do not tell enough.
//!
//! Bytes are read once each while there is room to remember them, and no more than so many pairs are compared:
//! what is asked beyond that counts as not alike at all.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::host::Host;
use crate::merge::rename::likeness;
use crate::merge::structured::{Format, without_keys};
use crate::model::pack::{CommitId, Pack};
use crate::model::{Content, Entry, Kind, TreePath};
use crate::source::PackSource;

/// Pairs that are compared.
const MOST_PAIRS: usize = 20_000;
/// Larger files are not compared.
const MOST_BYTES: usize = 1 << 20;
/// Bytes that are remembered.
const REMEMBERED: usize = 64 << 20;

pub(super) struct Lens<'a> {
    host: &'a dyn Host,
    source: &'a dyn PackSource,
    /// Files of which keys are the host's, in root coordinates.
    keys: BTreeMap<TreePath, (Format, Vec<String>)>,
    /// Bytes that overlays gave.
    overlays: RefCell<BTreeMap<Content, Vec<u8>>>,
    known: RefCell<BTreeMap<(Content, Content), u32>>,
    bytes: RefCell<BTreeMap<Content, Rc<Vec<u8>>>>,
    room: Cell<usize>,
}

impl<'a> Lens<'a> {
    pub(super) fn new(host: &'a dyn Host, source: &'a dyn PackSource, pack: &Pack) -> Self {
        let keys = pack.host_keys.iter().filter_map(|keys| {
            Some((pack.install.place(&keys.file)?, (Format::of(&keys.file)?, keys.keys.clone())))
        });
        Self {
            host,
            source,
            keys: keys.collect(),
            overlays: RefCell::default(),
            known: RefCell::default(),
            bytes: RefCell::default(),
            room: Cell::new(REMEMBERED),
        }
    }

    /// Bytes that overlays gave, for later questions.
    pub(super) fn add(&self, bytes: &BTreeMap<Content, Vec<u8>>) {
        self.overlays.borrow_mut().extend(bytes.iter().map(|(content, bytes)| (*content, bytes.clone())));
    }

    /// Bytes that an overlay gave.
    pub(super) fn overlaid(&self, content: Content) -> Option<Vec<u8>> {
        self.overlays.borrow().get(&content).cloned()
    }

    /// Whether two files say the same but for keys that are the host's.
    pub(super) fn same_but_keys(
        &self,
        path: &TreePath,
        commit: Option<&CommitId>,
        actual: Entry,
        wanted: Entry,
    ) -> bool {
        let Some((format, pointers)) = self.keys.get(path) else { return false };
        let plain = |bytes: Option<Rc<Vec<u8>>>| {
            let text = String::from_utf8(bytes?.to_vec()).ok()?;
            without_keys(*format, &text, pointers).ok()
        };
        let ours = plain(self.of_host(path, actual.content));
        ours.is_some() && ours == plain(self.of_version(commit, wanted.content))
    }

    /// How alike two entries at a path are, in millionths.
    pub(super) fn likeness(
        &self,
        path: &TreePath,
        commit: Option<&CommitId>,
        actual: Entry,
        wanted: Entry,
    ) -> u32 {
        let links = (actual.kind == Kind::Link, wanted.kind == Kind::Link);
        if links.0 != links.1 || links.0 && actual.content != wanted.content {
            return 0;
        }
        let pair = (actual.content, wanted.content);
        if let Some(known) = self.known.borrow().get(&pair) {
            return *known;
        }
        if self.known.borrow().len() >= MOST_PAIRS {
            return 0;
        }
        let small = |bytes: &Rc<Vec<u8>>| bytes.len() <= MOST_BYTES;
        let ours = self.of_host(path, pair.0).filter(small);
        let theirs = ours.is_some().then(|| self.of_version(commit, pair.1)).flatten().filter(small);
        let alike = ours.zip(theirs).map_or(0, |(ours, theirs)| likeness(&ours, &theirs));
        self.known.borrow_mut().insert(pair, alike);
        alike
    }

    fn of_host(&self, path: &TreePath, content: Content) -> Option<Rc<Vec<u8>>> {
        self.remembered(content, || self.host.read(path, content).ok())
    }

    fn of_version(&self, commit: Option<&CommitId>, content: Content) -> Option<Rc<Vec<u8>>> {
        self.remembered(content, || {
            self.overlaid(content).or_else(|| self.source.bytes(commit, content).ok())
        })
    }

    fn remembered(&self, content: Content, read: impl FnOnce() -> Option<Vec<u8>>) -> Option<Rc<Vec<u8>>> {
        if let Some(known) = self.bytes.borrow().get(&content) {
            return Some(Rc::clone(known));
        }
        let bytes = Rc::new(read()?);
        if let Some(left) = self.room.get().checked_sub(bytes.len()) {
            self.room.set(left);
            self.bytes.borrow_mut().insert(content, Rc::clone(&bytes));
        }
        Some(bytes)
    }
}
