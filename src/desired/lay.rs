//! Overlays, laid on a pack's tree in order.
//!
//! Per overlay: `remove`, then whole files, then patches, then merges; each of the four speaks of other paths.
//! Every overlay is carried from its own base: a patch is merged with what lies there now, be it upstream's or
//! an earlier overlay's work. All findings are collected before anything is refused, so that a person sees
//! every conflict at once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::finding::{Conflict, Finding, Note};
use super::overlay::{Change, Overlay};
use super::render::RenderError;
pub use super::way::Bytes;
use super::way::{Carry, LeftOut, Onto, Place, Way, entry};
use crate::model::pack::{Pack, PackEntry};
use crate::model::{Entry, Kind, OverlayName, TreePath};

/// An overlay to lay on a version, with the tree of its base.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The overlay.
    pub overlay: &'a Overlay,
    /// The pack's tree at the overlay's base. Needed where the overlay names a base.
    pub base: Option<&'a [PackEntry]>,
}

/// An entry on its way.
pub(super) struct Item<'a> {
    pub(super) entry: Entry,
    pub(super) link: Option<Cow<'a, str>>,
    /// The bytes, if an overlay gave them, and which.
    pub(super) overlay: Option<(&'a OverlayName, Cow<'a, [u8]>)>,
}

/// Entries on their way, by path in the pack's coordinates.
pub(super) type Items<'a> = BTreeMap<&'a TreePath, Item<'a>>;

/// The tree as it is.
pub(super) fn plain(tree: &[PackEntry]) -> Items<'_> {
    let item = |it| Item { entry: entry(it), link: it.link.as_deref().map(Cow::Borrowed), overlay: None };
    tree.iter().map(|it| (&it.path, item(it))).collect()
}

/// One overlay on its way into the items.
struct Laying<'w, 'a> {
    pack: &'a Pack,
    way: &'w Way<'a>,
    items: &'w mut Items<'a>,
    findings: &'w mut Vec<Finding>,
    /// Which of the overlay's paths went where.
    taken: BTreeMap<&'a TreePath, &'a TreePath>,
}

/// Lays one overlay on the items; what it found is added to `findings`.
pub(super) fn lay<'a>(
    pack: &'a Pack,
    layer: Layer<'a>,
    tree: &'a [PackEntry],
    bytes: &'a Bytes<'a>,
    items: &mut Items<'a>,
    findings: &mut Vec<Finding>,
) -> Result<(), RenderError> {
    let overlay = layer.overlay;
    if overlay.manifest.pack != pack.name {
        let pack = overlay.manifest.pack.clone();
        return Err(RenderError::OtherPack { overlay: overlay.name.clone(), pack });
    }
    let way = Way::new(overlay, layer.base, tree, bytes)?;
    let mut laying = Laying { pack, way: &way, items, findings, taken: BTreeMap::new() };
    laying.leave_out()?;
    laying.whole_files()?;
    for path in overlay.patches.keys() {
        laying.change(path, Change::Patch)?;
    }
    for (path, (format, _)) in &overlay.merges {
        laying.change(path, Change::Merge(*format))?;
    }
    Ok(())
}

impl<'a> Laying<'_, 'a> {
    fn name(&self) -> &'a OverlayName {
        &self.way.overlay.name
    }

    fn leave_out(&mut self) -> Result<(), RenderError> {
        for path in &self.way.overlay.manifest.remove {
            let known = self.way.left_out(path);
            let before = self.items.len();
            // What an earlier overlay put there goes, too.
            self.items.retain(|at, _| *at != path && !at.is_below(path));
            if self.items.len() == before && known.is_none() {
                let (overlay, path) = (self.name().clone(), path.clone());
                return Err(RenderError::NothingToRemove { overlay, path });
            }
            let Some(LeftOut { gone, notes, .. }) = known else { continue };
            for path in gone {
                self.items.remove(path);
            }
            self.findings.extend(notes.into_iter().map(|note| self.way.note(path, note)));
        }
        Ok(())
    }

    fn whole_files(&mut self) -> Result<(), RenderError> {
        for (path, (kind, bytes)) in &self.way.overlay.files {
            let own = Entry::of(*kind, bytes);
            let place = self.way.place(path);
            let to = match place {
                Place::At { to, .. } => to,
                _ => path,
            };
            if !self.take(path, to)? {
                continue;
            }
            let there = self.way.upstream(to).map(entry);
            let note = match place {
                _ if there == Some(own) => Some(Note::Shipped),
                Place::At { was, is, .. } if entry(was) != entry(is) => Some(Note::ReplacesChanged),
                Place::Gone => Some(Note::ReplacesGone),
                Place::Added if there.is_some() => Some(Note::ReplacesNew),
                _ => None,
            };
            self.findings.extend(note.map(|note| self.way.note(path, note)));
            // An overlay with a link whose text is not UTF-8 was refused when it was made.
            let link =
                (*kind == Kind::Link).then(|| Cow::Borrowed(std::str::from_utf8(bytes).unwrap_or_default()));
            let overlay = Some((self.name(), Cow::Borrowed(bytes.as_slice())));
            self.items.insert(to, Item { entry: own, link, overlay });
        }
        Ok(())
    }

    /// A patch or merge of one file.
    fn change(&mut self, path: &'a TreePath, change: Change) -> Result<(), RenderError> {
        let conflict = match self.way.place(path) {
            Place::Unknown if self.items.contains_key(path) => None,
            Place::Unknown => Some(Conflict::NotInPack),
            Place::Added => Some(Conflict::NotInBase),
            Place::Gone => Some(Conflict::Gone),
            Place::At { .. } => None,
        };
        let to = match self.way.place(path) {
            Place::At { to, .. } => to,
            _ => path,
        };
        if let Some(conflict) = conflict {
            self.findings.push(self.way.conflict(path, conflict));
            return Ok(());
        }
        if !self.take(path, to)? {
            return Ok(());
        }
        let (found, by) = match self.items.get(to) {
            None => return self.held(path, Conflict::LeftOut),
            Some(item) if item.entry.kind == Kind::Link => return self.held(path, Conflict::Link),
            Some(Item { overlay: Some((by, bytes)), .. }) => (bytes.to_vec(), Some(*by)),
            Some(item) => (self.way.read(to, item.entry.content)?, None),
        };
        match self.way.carry(path, change, &Onto { bytes: &found, by })? {
            Carry::Held(conflict) => return self.held(path, conflict),
            Carry::Nothing(note) => self.findings.push(self.way.note(path, note)),
            Carry::Put(bytes, note) => {
                self.findings.extend(note.map(|note| self.way.note(path, note)));
                let name = self.name();
                if let Some(item) = self.items.get_mut(to) {
                    item.entry = Entry::of(item.entry.kind, &bytes);
                    item.overlay = Some((name, Cow::Owned(bytes)));
                }
            }
        }
        Ok(())
    }

    fn held(&mut self, path: &TreePath, conflict: Conflict) -> Result<(), RenderError> {
        self.findings.push(self.way.conflict(path, conflict));
        Ok(())
    }

    /// Takes the place of a path for this overlay; false if another of its paths has it.
    fn take(&mut self, path: &'a TreePath, to: &'a TreePath) -> Result<bool, RenderError> {
        if path != to {
            self.findings.push(self.way.note(path, Note::Renamed(to.clone())));
        }
        if self.pack.install.rule(to).is_none() {
            return Err(RenderError::MapsNowhere { overlay: self.name().clone(), path: to.clone() });
        }
        if let Some(other) = self.taken.insert(to, path) {
            self.findings.push(self.way.conflict(path, Conflict::OnePath(other.clone())));
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "lay_tests.rs"]
pub(super) mod tests;
