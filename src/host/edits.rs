//! Saved edits: bytes of a person that were taken out of the tree.
//!
//! `edits/<id>/` holds `meta.json` and `content` (for a link: its text). Dropping one removes `content`
//! only, so a number is never given twice, and a late look knows what was already dropped. They are made
//! beside the others under a scratch name and renamed, so each is there whole or not at all.

use std::fs::File;
use std::io::{self, Write};

use super::beneath::Dir;
use super::state::{failed, name, read};
use super::{EditId, HostError, SavedEdit};
use crate::model::{Content, Entry};

const META: &str = "meta.json";
const CONTENT: &str = "content";
/// An edit that is being made.
const SCRATCH: &str = "new";

/// The edits of one state directory.
#[derive(Debug)]
pub struct Edits {
    dir: Dir,
}

fn broken(id: EditId) -> impl FnOnce(io::Error) -> HostError {
    move |source| HostError::Io { operation: "read saved edit".into(), path: id.to_string(), source }
}

impl Edits {
    /// Opens them; `None` if there never was one.
    pub fn open(state: &Dir) -> Result<Option<Self>, HostError> {
        match state.dir(name::EDITS) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", ".packfleet/edits")(error)),
        }
    }

    fn ids(&self) -> Result<Vec<EditId>, HostError> {
        let names = self.dir.names().map_err(failed("list", ".packfleet/edits"))?;
        let number = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<EditId>().ok();
        let mut ids: Vec<_> = names.iter().filter_map(|(name, _)| number(name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A number above all that were ever given.
    pub fn next_id(&self) -> Result<EditId, HostError> {
        Ok(self.ids()?.last().map_or(1, |last| last.saturating_add(1)))
    }

    fn meta(&self, id: EditId) -> Result<SavedEdit, HostError> {
        let one = self.dir.dir(&id.to_string()).map_err(broken(id))?;
        let bytes = read(&one, META).map_err(broken(id))?.unwrap_or_default();
        serde_json::from_slice(&bytes).map_err(|error| broken(id)(error.into()))
    }

    fn is_there(&self, id: EditId) -> Result<bool, HostError> {
        let content = self.dir.dir(&id.to_string()).and_then(|one| one.stat(CONTENT));
        Ok(content.map_err(broken(id))?.is_some())
    }

    /// Those that were not dropped, oldest first.
    pub fn list(&self) -> Result<Vec<SavedEdit>, HostError> {
        let mut edits = Vec::new();
        for id in self.ids()? {
            if self.is_there(id)? {
                edits.push(self.meta(id)?);
            }
        }
        Ok(edits)
    }

    /// The bytes with this digest, if an edit holds them.
    pub fn find(&self, content: Content) -> Result<Option<Vec<u8>>, HostError> {
        for id in self.ids()? {
            // A damaged one hides no other.
            let Ok(edit) = self.meta(id) else { continue };
            if edit.entry.content != content {
                continue;
            }
            let one = self.dir.dir(&id.to_string()).map_err(broken(id))?;
            if let Some(bytes) = read(&one, CONTENT).map_err(broken(id))?
                && Content::of(&bytes) == content
            {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Saves what `fill` writes durably and returns the number. Bytes that an edit of this path still holds are not
    /// saved twice; `None` if they were dropped and are to stay so.
    pub fn save(
        &self,
        mut edit: SavedEdit,
        fill: impl FnOnce(&File) -> io::Result<Content>,
        dropped: Dropped,
    ) -> Result<Option<EditId>, HostError> {
        for id in self.ids()? {
            let Ok(known) = self.meta(id) else { continue };
            if (&known.path, known.entry) != (&edit.path, edit.entry) {
                continue;
            }
            if self.is_there(id)? {
                return Ok(Some(id));
            }
            if dropped == Dropped::StaysDropped && known.generation == edit.generation {
                return Ok(None);
            }
        }
        edit.id = self.next_id()?;
        let what = || format!("the edit of {}", edit.path);
        let made = self.make(&edit, fill);
        made.map_err(|source| HostError::Io { operation: "save".into(), path: what(), source })?;
        Ok(Some(edit.id))
    }

    fn make(&self, edit: &SavedEdit, fill: impl FnOnce(&File) -> io::Result<Content>) -> io::Result<()> {
        if self.dir.stat(SCRATCH)?.is_some() {
            let scratch = self.dir.dir(SCRATCH)?;
            for (name, _) in scratch.names()? {
                scratch.unlink(&String::from_utf8_lossy(&name))?;
            }
            self.dir.remove_dir(SCRATCH)?;
        }
        self.dir.make_dir(SCRATCH)?;
        let scratch = self.dir.dir(SCRATCH)?;
        for file in write(&scratch, edit, fill)?.1 {
            file.sync_all()?;
        }
        scratch.sync()?;
        self.dir.move_to(SCRATCH, &self.dir, &edit.id.to_string())?;
        self.dir.sync()
    }

    /// Takes in an edit that was written elsewhere with [`write`], unless it was taken in before.
    pub fn take_in(&self, from: &Dir, staged: &str, id: EditId) -> io::Result<()> {
        match from.move_to(staged, &self.dir, &id.to_string()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            answer => answer,
        }
    }

    /// Makes what was taken in durable.
    pub fn sync(&self) -> io::Result<()> {
        self.dir.sync()
    }

    /// Drops edits; one that is not there is an error, and then none is dropped.
    pub fn drop_all(&self, ids: &[EditId]) -> Result<(), HostError> {
        let known = self.ids()?;
        for id in ids {
            if !known.contains(id) || !self.is_there(*id)? {
                return Err(HostError::NoEdit(*id));
            }
        }
        for id in ids {
            let one = self.dir.dir(&id.to_string()).map_err(broken(*id))?;
            match one.unlink(CONTENT) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                answer => answer.map_err(failed("drop saved edit", id.to_string()))?,
            }
            one.sync().map_err(failed("drop saved edit", id.to_string()))?;
        }
        Ok(())
    }
}

/// Whether bytes that a person dropped are saved when they turn up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// They are the same bytes in the same backup: no.
    StaysDropped,
    /// They were live once more: yes.
    SavedAgain,
}

/// Writes an edit into an empty directory: what `fill` writes, and of which it gives the digest. The files are still
/// to be synced, as is the directory.
pub fn write(
    dir: &Dir,
    edit: &SavedEdit,
    fill: impl FnOnce(&File) -> io::Result<Content>,
) -> io::Result<(Content, [File; 2])> {
    let file = dir.create(CONTENT)?;
    let content = fill(&file)?;
    let edit = SavedEdit { entry: Entry { content, ..edit.entry }, ..edit.clone() };
    let mut meta = dir.create(META)?;
    meta.write_all(&serde_json::to_vec_pretty(&edit)?)?;
    Ok((content, [file, meta]))
}
