//! Saving what a person's bytes would otherwise be lost with: slots, backups, directories that came out.

use std::fs::File;
use std::io::{self, Write};

use rustix::path::Arg;

use super::beneath::{Dir, Node, shown};
use super::edits::{Dropped, Edits};
use super::journal::{Manifest, slot};
use super::pour::{Sink, digest};
use super::sight::{Found, Looker};
use super::state::failed;
use super::swap::aside;
use super::{EditId, HostError, SavedEdit};
use crate::model::plan::Action;
use crate::model::{Content, Entry, Kind, PackName, TreePath};

/// Looks at what came out and saves what is not known.
#[derive(Debug)]
pub struct Salvage<'a> {
    /// Looks at entries.
    pub looker: &'a mut Looker,
    /// Where they are saved.
    pub edits: &'a Edits,
    /// The switch that took them out.
    pub manifest: &'a Manifest,
    /// What a saved edit says of it.
    pub reason: &'static str,
    /// Whether bytes that were dropped are saved again.
    pub dropped: Dropped,
}

impl Salvage<'_> {
    /// Saves the entry in a slot if it is none of those that are known elsewhere.
    pub fn entry(
        &mut self,
        slots: &Dir,
        slot: &str,
        action: &Action,
        known: [Option<Entry>; 2],
    ) -> Result<Option<EditId>, HostError> {
        let path = &action.path;
        let reading = || failed("read what came out of", path.as_str());
        match self.looker.look(slots, slot).map_err(reading())?.found {
            Found::Entry(entry) if known.contains(&Some(entry)) => Ok(None),
            Found::Absent | Found::Special(_) | Found::Mount => Ok(None),
            Found::Entry(_) | Found::Busy => {
                let Some(held) = held(slots, slot).map_err(reading())? else { return Ok(None) };
                self.save(path, Some(&action.pack), &held)
            }
            Found::Directory => Ok(self.directory(slots, slot, path)?.pop()),
        }
    }

    /// Saves what lies in the slot of VERSION, or beside it, if it is neither what the new one was made from nor
    /// that one.
    pub fn version(&mut self, slots: &Dir) -> Result<Vec<EditId>, HostError> {
        let manifest = self.manifest;
        let Some((path, known)) = manifest.versions() else { return Ok(Vec::new()) };
        let reading = || failed("read what came out of", path.as_str());
        let mut saved = Vec::new();
        for slot in [slot::VERSION, &aside(slot::VERSION)] {
            if self.looker.look(slots, slot).map_err(reading())?.found == Found::Directory {
                saved.extend(self.directory(slots, slot, path)?);
                continue;
            }
            match held(slots, slot).map_err(reading())? {
                Some(held) if known.contains(&Some(held.entry.content)) => {}
                Some(held) => saved.extend(self.save(path, None, &held)?),
                None => {}
            }
        }
        Ok(saved)
    }

    /// Saves all files and links in a directory that came out.
    pub fn directory(&mut self, slots: &Dir, slot: &str, path: &TreePath) -> Result<Vec<EditId>, HostError> {
        let reading = || failed("read what came out of", path.as_str());
        let mut saved = Vec::new();
        let mut waiting = vec![(slot.as_bytes().to_vec(), path.clone())];
        while let Some((at, path)) = waiting.pop() {
            let dir = match slots.dir(at.as_slice()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                dir => dir.map_err(reading())?,
            };
            for (name, node) in dir.names().map_err(reading())? {
                // What has no path of its own is saved under its directory's.
                let path =
                    TreePath::new(&format!("{path}/{}", shown(&name))).unwrap_or_else(|_| path.clone());
                if node == Node::Directory {
                    waiting.push(([at.as_slice(), b"/", &name].concat(), path));
                } else if let Some(held) = held(&dir, name.as_slice()).map_err(reading())? {
                    saved.extend(self.save(&path, None, &held)?);
                }
            }
        }
        Ok(saved)
    }

    fn save(
        &self,
        path: &TreePath,
        pack: Option<&PackName>,
        held: &Held,
    ) -> Result<Option<EditId>, HostError> {
        let edit = SavedEdit {
            id: 0,
            path: path.clone(),
            pack: pack.cloned(),
            entry: held.entry,
            reason: self.reason.into(),
            generation: self.manifest.generation,
            time: self.manifest.time,
        };
        keep(self.edits, edit, held, self.dropped)
    }
}

/// How often bytes are read again that change while they are saved. After that they are left where they lie: a
/// generation's backup is looked at once more before it goes.
const AGAIN: usize = 3;

/// Saves bytes, and what a program makes of them meanwhile: they may have been other ones, already known, when they were
/// read first.
fn keep(
    edits: &Edits,
    mut edit: SavedEdit,
    held: &Held,
    dropped: Dropped,
) -> Result<Option<EditId>, HostError> {
    let mut saved = None;
    for _ in 0..AGAIN {
        saved = edits.save(edit.clone(), |to| held.copy(to), dropped)?;
        let content = held.content().map_err(failed("read what came out of", edit.path.as_str()))?;
        if edit.entry.content == content {
            break;
        }
        edit.entry.content = content;
    }
    Ok(saved)
}

/// A file or link that is to be saved.
struct Held {
    entry: Entry,
    from: From,
}

enum From {
    Link(Vec<u8>),
    File(File),
}

impl Held {
    /// The digest of what is in it now; the next copy begins at its beginning.
    fn content(&self) -> io::Result<Content> {
        match &self.from {
            From::Link(_) => Ok(self.entry.content),
            From::File(file) => digest(file),
        }
    }

    /// Copies it, and gives the digest of what was copied: who writes to it may do so still.
    fn copy(&self, to: &File) -> io::Result<Content> {
        let mut sink = Sink::of(to);
        match &self.from {
            From::Link(text) => sink.write_all(text)?,
            From::File(file) => sink.all(file)?,
        }
        Ok(sink.content())
    }
}

/// The file or link with a name; `None` for anything else.
fn held(dir: &Dir, name: impl Arg + Copy) -> io::Result<Option<Held>> {
    let Some(stat) = dir.stat(name)? else { return Ok(None) };
    match stat.node {
        Node::Link => {
            let text = dir.link_text(name)?;
            Ok(Some(Held { entry: Entry::of(Kind::Link, &text), from: From::Link(text) }))
        }
        Node::File => {
            let file = dir.open(name)?;
            let entry = Entry { kind: Kind::regular(stat.exec()), content: digest(&file)? };
            Ok(Some(Held { entry, from: From::File(file) }))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Read, then written to by a program that has it open, then compared with what is saved already.
    #[test]
    fn bytes_that_changed_since_they_were_read_are_not_taken_for_known_ones() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("edits")).unwrap();
        let state = Dir::root(place.path().to_str().unwrap()).unwrap();
        let edits = Edits::open(&state).unwrap().unwrap();
        fs::write(place.path().join("slot"), "one").unwrap();
        let first = held(&state, "slot").unwrap().unwrap();
        let edit = |held: &Held| SavedEdit {
            id: 0,
            path: TreePath::new("a").unwrap(),
            pack: None,
            entry: held.entry,
            reason: "late write".into(),
            generation: 2,
            time: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        for dropped in [Dropped::SavedAgain, Dropped::StaysDropped] {
            let id = keep(&edits, edit(&first), &first, dropped).unwrap();
            assert_eq!(id, Some(1), "saved once");
            let read = held(&state, "slot").unwrap().unwrap();
            fs::write(place.path().join("slot"), "one and more").unwrap();
            let id = keep(&edits, edit(&read), &read, dropped).unwrap();
            assert_eq!(id, Some(2));
            assert_eq!(edits.find(Content::of(b"one and more")).unwrap().unwrap(), b"one and more");
            fs::write(place.path().join("slot"), "one").unwrap();
        }
        edits.drop_all(&[1, 2]).unwrap();
        assert_eq!(keep(&edits, edit(&first), &first, Dropped::StaysDropped).unwrap(), None);
    }
}
