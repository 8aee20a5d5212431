//! The way of an overlay from its base to another version of its pack: what became of each path, and what a
//! change of a file comes to there.
//!
//! Upstream renames are looked for only where the overlay speaks of a path that is gone. Bytes are asked for
//! by digest and as late as possible: an overlay of whole files needs none.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::finding::{Conflict, Finding, Note, What};
use super::overlay::{Change, Overlay};
use super::render::RenderError;
use crate::merge::carry::{Carried, carry_keys, carry_patch};
use crate::merge::rename::{directory_target, renames_of, similarity};
use crate::merge::structured::merge_keys;
use crate::model::pack::{PackEntry, PackTree};
use crate::model::{Content, Entry, Kind, TreePath};

/// Bytes of pack files by their digest; an error says why they are not to be had.
pub type Bytes<'a> = dyn Fn(Content) -> Result<Vec<u8>, String> + 'a;

/// Most bytes that are remembered while files are compared.
const REMEMBERED: usize = 64 << 20;

/// A tree by path.
type Side<'a> = BTreeMap<&'a TreePath, &'a PackEntry>;

/// An overlay, its base, and a version of the pack.
pub(super) struct Way<'a> {
    pub(super) overlay: &'a Overlay,
    base: Option<Side<'a>>,
    new: Side<'a>,
    /// From paths of the base that are gone to paths of the version.
    moved: BTreeMap<TreePath, &'a TreePath>,
    bytes: &'a Bytes<'a>,
}

/// What became of a path of the overlay.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// There is no base to know by.
    Unknown,
    /// The base has no such file.
    Added,
    /// Where the file is now, as it was in the base and as it is.
    At { to: &'a TreePath, was: &'a PackEntry, is: &'a PackEntry },
    /// Upstream removed it.
    Gone,
}

/// What a change of a file comes to.
pub(super) enum Carry {
    /// These bytes, with or without a note.
    Put(Vec<u8>, Option<Note>),
    /// Nothing is to be done.
    Nothing(Note),
    /// A person must decide.
    Held(Conflict),
}

/// Whether upstream changed a file since base.
#[derive(Clone, Copy)]
enum Upstream {
    Changed,
    Unchanged,
}

impl Upstream {
    fn note(self) -> Option<Note> {
        matches!(self, Self::Changed).then_some(Note::Merged)
    }
}

/// What a path of `remove` stands for.
pub(super) struct LeftOut<'a> {
    /// Paths of the version.
    pub(super) gone: Vec<&'a TreePath>,
    /// What `remove` is to say on this version.
    pub(super) names: Vec<TreePath>,
    pub(super) notes: Vec<Note>,
}

/// What a change is laid on: the version's file, perhaps as earlier overlays left it.
pub(super) struct Onto<'b> {
    pub(super) bytes: &'b [u8],
    /// The overlay that gave these bytes, if the pack did not.
    pub(super) by: Option<&'b crate::model::OverlayName>,
}

/// A path from a tree, or from an overlay.
pub(super) fn entry(entry: &PackEntry) -> Entry {
    Entry { kind: entry.kind, content: entry.content }
}

impl<'a> Way<'a> {
    /// The way of an overlay. An error says that `base` is not the tree that it names.
    pub(super) fn new(
        overlay: &'a Overlay,
        base: Option<&'a [PackEntry]>,
        new: &'a [PackEntry],
        bytes: &'a Bytes<'a>,
    ) -> Result<Self, RenderError> {
        if let (Some(path), _) = overlay.unfinished.first_key_value().unzip() {
            return Err(RenderError::Unfinished { overlay: overlay.name.clone(), path: path.clone() });
        }
        let base = match (&overlay.manifest.base, base) {
            (None, _) => None,
            (Some(named), None) => {
                let (overlay, version) = (overlay.name.clone(), named.version.clone());
                return Err(RenderError::NoBase { overlay, version });
            }
            (Some(named), Some(base)) => {
                let found = PackTree::digest_of(base);
                if found != named.tree {
                    let (overlay, version) = (overlay.name.clone(), named.version.clone());
                    return Err(RenderError::OtherBase { overlay, version, named: named.tree, found });
                }
                Some(base)
            }
        };
        let side =
            |entries: &'a [PackEntry]| -> Side<'a> { entries.iter().map(|it| (&it.path, it)).collect() };
        let mut way = Self { overlay, base: base.map(side), new: side(new), moved: BTreeMap::new(), bytes };
        if let Some(old) = base.filter(|_| way.needs_renames()) {
            way.moved = way.renames(old, new);
        }
        Ok(way)
    }

    fn paths(&self) -> impl Iterator<Item = &'a TreePath> {
        let overlay = self.overlay;
        overlay.files.keys().chain(overlay.patches.keys()).chain(overlay.merges.keys())
    }

    fn needs_renames(&self) -> bool {
        let Some(base) = &self.base else { return false };
        let gone = |path: &TreePath| base.contains_key(path) && !self.new.contains_key(path);
        self.paths().any(gone)
            || self.overlay.manifest.remove.iter().any(|path| within(base, path).any(|it| gone(&it.path)))
    }

    fn renames(&self, old: &'a [PackEntry], new: &'a [PackEntry]) -> BTreeMap<TreePath, &'a TreePath> {
        let mut known: BTreeMap<Content, Rc<[u8]>> = BTreeMap::new();
        let mut held = 0;
        let mut read = |entry: &PackEntry| -> Option<Rc<[u8]>> {
            if let Some(bytes) = known.get(&entry.content) {
                return Some(Rc::clone(bytes));
            }
            let bytes: Rc<[u8]> = (self.bytes)(entry.content).ok()?.into();
            held += bytes.len();
            if held > REMEMBERED {
                known.clear();
                held = bytes.len();
            }
            known.insert(entry.content, Rc::clone(&bytes));
            Some(bytes)
        };
        // What cannot be read is like nothing else.
        let mut alike = |a: &PackEntry, b: &PackEntry| match (read(a), read(b)) {
            (Some(a), Some(b)) => similarity(&a, &b),
            _ => 0,
        };
        // What an overlay names is looked for everywhere; a directory keeps the names of its files.
        let overlay = self.overlay;
        let named = |path: &TreePath| {
            let changed = overlay.patches.contains_key(path) || overlay.merges.contains_key(path);
            changed || overlay.files.contains_key(path) || overlay.manifest.remove.contains(path)
        };
        let found = renames_of(old, new, &named, &mut alike);
        found
            .into_iter()
            .filter_map(|(from, to)| Some((from, self.new.get_key_value(&to)?.0)))
            .map(|(a, b)| (a, *b))
            .collect()
    }

    /// What became of a path.
    pub(super) fn place(&self, path: &TreePath) -> Place<'a> {
        let Some(base) = &self.base else { return Place::Unknown };
        let Some(was) = base.get(path) else { return Place::Added };
        let to = self.new.get_key_value(path).or_else(|| self.new.get_key_value(*self.moved.get(path)?));
        to.map_or(Place::Gone, |(to, is)| Place::At { to, was, is })
    }

    /// The base's file at a path.
    pub(super) fn was(&self, path: &TreePath) -> Option<&'a PackEntry> {
        self.base.as_ref()?.get(path).copied()
    }

    /// The version's file at a path.
    pub(super) fn upstream(&self, path: &TreePath) -> Option<&'a PackEntry> {
        self.new.get(path).copied()
    }

    /// What is to be left out for a path of `remove`; `None` if neither base nor version have it.
    ///
    /// A file is followed where upstream renamed it. A directory is followed where upstream moved it as such,
    /// which is to say at least half of its files, and nothing is left: single files that went elsewhere serve
    /// something else now.
    pub(super) fn left_out(&self, path: &TreePath) -> Option<LeftOut<'a>> {
        let mut gone: Vec<&'a TreePath> = within(&self.new, path).map(|it| &it.path).collect();
        let names: Vec<TreePath> = (!gone.is_empty()).then(|| path.clone()).into_iter().collect();
        let Some(base) = &self.base else {
            return (!gone.is_empty()).then_some(LeftOut { gone, names, notes: Vec::new() });
        };
        let known: Vec<&PackEntry> = within(base, path).collect();
        if known.is_empty() && gone.is_empty() {
            return None;
        }
        let mut names = names;
        let mut notes = Vec::new();
        let moved: Vec<(&PackEntry, &'a TreePath)> = known
            .iter()
            .filter_map(|was| match self.place(&was.path) {
                Place::At { to, .. } if *to != was.path => Some((*was, to)),
                _ => None,
            })
            .collect();
        let follows = gone.is_empty().then(|| target(path, &known, &moved)).flatten();
        let to_target = |to: &TreePath| follows.as_ref().is_some_and(|at| to == at || to.is_below(at));
        if let Some(at) = &follows {
            notes.push(Note::Renamed(at.clone()));
            // Where nothing was before, all that is there came with it.
            if within(base, at).next().is_none() {
                gone.extend(within(&self.new, at).map(|it| &it.path));
                names.push(at.clone());
            } else {
                let came = moved.iter().map(|(_, to)| *to).filter(|to| to_target(to));
                gone.extend(came.clone());
                names.extend(came.cloned());
            }
        }
        let mut out = moved.iter().filter(|(_, to)| !to_target(to) && !to.is_below(path));
        if let Some((first, to)) = out.next() {
            let first = (first.path.clone(), (*to).clone());
            notes.push(Note::MovedOut { files: 1 + out.count(), first });
        }
        let was = |to: &TreePath| {
            let from = moved.iter().find(|(_, at)| *at == to).map(|(was, _)| *was);
            from.or_else(|| base.get(to).copied()).map(entry)
        };
        let changed = gone.iter().filter(|to| was(to) != self.upstream(to).map(entry)).count();
        match (gone.is_empty(), changed) {
            (true, _) => notes.push(Note::RemovesGone),
            (false, 0) => {}
            (false, files) => notes.push(Note::RemovesChanged { files }),
        }
        Some(LeftOut { gone, names, notes })
    }

    /// What a patch or a merge of the overlay comes to on `onto`, the file at its place.
    pub(super) fn carry(
        &self,
        path: &TreePath,
        change: Change,
        onto: &Onto<'_>,
    ) -> Result<Carry, RenderError> {
        let (was, is) = match self.place(path) {
            Place::Unknown => (None, None),
            Place::Added => return Ok(Carry::Held(Conflict::NotInBase)),
            Place::Gone => return Ok(Carry::Held(Conflict::Gone)),
            Place::At { was, is, .. } => (Some(was), Some(is)),
        };
        if [was, is].into_iter().flatten().any(|entry| entry.kind == Kind::Link) {
            return Ok(Carry::Held(Conflict::Link));
        }
        let base = was.map(|was| self.read(path, was.content)).transpose()?;
        let upstream = match (was, is) {
            (Some(was), Some(is)) if was.content != is.content => Upstream::Changed,
            _ => Upstream::Unchanged,
        };
        let onto_it = self.carry_to(path, change, base.as_deref(), onto.bytes);
        let (Some(by), Some(is)) = (onto.by, is) else {
            return Ok(settled(onto_it, onto.bytes, upstream, None));
        };
        // Of what an earlier overlay made of the file, upstream knows nothing: ask it apart.
        let pristine = self.read(path, is.content)?;
        let to_upstream = self.carry_to(path, change, base.as_deref(), &pristine);
        Ok(match (onto_it, to_upstream) {
            (Ok(Carried::AlreadyThere), Ok(Carried::AlreadyThere)) => Carry::Nothing(Note::Shipped),
            (Ok(Carried::AlreadyThere), _) => Carry::Nothing(Note::SameAs(by.clone())),
            (Ok(Carried::Conflict(_)), Ok(Carried::Conflict(clash))) => Carry::Held(Conflict::Clash(clash)),
            // Keys of a later overlay win, as its whole files do.
            (Ok(Carried::Conflict(_)), Ok(carried)) if matches!(change, Change::Merge(_)) => {
                match self.keys_onto(path, onto.bytes) {
                    Ok(bytes) => Carry::Put(bytes, shipped(&carried).or(upstream.note())),
                    Err(conflict) => Carry::Held(conflict),
                }
            }
            (Ok(Carried::Conflict(clash)), _) => Carry::Held(Conflict::WithOverlay(by.clone(), clash)),
            (Err(_), Err(conflict)) => Carry::Held(conflict),
            (onto_it, carried) => {
                settled(onto_it, onto.bytes, upstream, carried.ok().and_then(|it| shipped(&it)))
            }
        })
    }

    fn carry_to(
        &self,
        path: &TreePath,
        change: Change,
        base: Option<&[u8]>,
        onto: &[u8],
    ) -> Result<Carried, Conflict> {
        match (change, base) {
            (Change::Patch, Some(base)) => {
                let patch = self.overlay.patches.get(path).ok_or(Conflict::NotInBase)?;
                carry_patch(patch, base, onto).map_err(Conflict::Unapplied)
            }
            // An overlay with a patch has a base; it was refused when it was made without.
            (Change::Patch, None) => Err(Conflict::NotInBase),
            (Change::Merge(format), Some(base)) => {
                let (_, keys) = self.overlay.merges.get(path).ok_or(Conflict::NotInBase)?;
                carry_keys(format, keys, text(base)?, text(onto)?).map_err(Conflict::Keys)
            }
            (Change::Merge(_), None) => {
                let merged = self.keys_onto(path, onto)?;
                Ok(if merged == onto { Carried::AlreadyThere } else { Carried::Exact(merged) })
            }
        }
    }

    fn keys_onto(&self, path: &TreePath, onto: &[u8]) -> Result<Vec<u8>, Conflict> {
        let (format, keys) = self.overlay.merges.get(path).ok_or(Conflict::NotInPack)?;
        merge_keys(*format, text(onto)?, keys).map(String::into_bytes).map_err(Conflict::Keys)
    }

    /// Bytes of the pack.
    pub(super) fn read(&self, path: &TreePath, content: Content) -> Result<Vec<u8>, RenderError> {
        (self.bytes)(content).map_err(|why| RenderError::Unreadable { path: path.clone(), why })
    }

    /// A finding about a path of this overlay.
    pub(super) fn note(&self, path: &TreePath, note: Note) -> Finding {
        Finding { overlay: self.overlay.name.clone(), path: path.clone(), what: What::Note(note) }
    }

    /// Likewise.
    pub(super) fn conflict(&self, path: &TreePath, conflict: Conflict) -> Finding {
        Finding { overlay: self.overlay.name.clone(), path: path.clone(), what: What::Conflict(conflict) }
    }
}

fn settled(carried: Result<Carried, Conflict>, onto: &[u8], upstream: Upstream, note: Option<Note>) -> Carry {
    match carried {
        // It says what its base says.
        Ok(Carried::Exact(bytes)) if bytes == onto => Carry::Nothing(Note::Shipped),
        Ok(Carried::Exact(bytes)) => Carry::Put(bytes, note),
        Ok(Carried::Clean(bytes)) => Carry::Put(bytes, note.or(upstream.note())),
        Ok(Carried::AlreadyThere) => Carry::Nothing(Note::Shipped),
        Ok(Carried::Conflict(clash)) => Carry::Held(Conflict::Clash(clash)),
        Err(conflict) => Carry::Held(conflict),
    }
}

fn shipped(carried: &Carried) -> Option<Note> {
    matches!(carried, Carried::AlreadyThere).then_some(Note::Shipped)
}

fn text(bytes: &[u8]) -> Result<&str, Conflict> {
    std::str::from_utf8(bytes).map_err(|_| Conflict::NoText)
}

/// Where a path went as a whole, given where its files went.
fn target(path: &TreePath, known: &[&PackEntry], moved: &[(&PackEntry, &TreePath)]) -> Option<TreePath> {
    if let [only] = known
        && only.path == *path
    {
        return moved.first().map(|(_, to)| (*to).clone());
    }
    directory_target(path, known.len(), moved.iter().map(|(was, to)| (&was.path, *to)))
}

/// Entries at or below a path.
fn within<'s, 'a>(
    side: &'s Side<'a>,
    path: &'s TreePath,
) -> impl Iterator<Item = &'a PackEntry> + use<'s, 'a> {
    // Between a directory and what lies below it, other names may sort (`a`, `a-b`, `a/c`).
    side.range::<TreePath, _>(path..)
        .take_while(move |(at, _)| at.as_str().starts_with(path.as_str()))
        .filter(move |(at, _)| **at == path || at.is_below(path))
        .map(|(_, entry)| *entry)
}
