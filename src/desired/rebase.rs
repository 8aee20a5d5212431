//! An overlay, written anew against another version of its pack.
//!
//! What carries over cleanly becomes a patch against the new base, at the path where the file is now; what
//! upstream ships is dropped; what a person must decide becomes a `.conflict` file with the merge in it, marked,
//! or with a block that says what stands against one. [`finish`] turns such files, once they are edited, into
//! what they are meant to be. Nothing is named that stays as it is. Deliberately absent: other overlays, and
//! writing files.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Conflict, Note};
use super::lay::Bytes;
use super::manifest::{Base, Manifest};
use super::overlay::{Change, Overlay};
use super::render::RenderError;
use super::way::{Carry, LeftOut, Onto, Place, Way, entry};
use crate::merge::carry::Clash;
use crate::merge::conflict::{Labels, marked};
use crate::merge::patch::{Patch, PatchError};
use crate::merge::structured::{Format, StructuredError, keys_of, keys_of_host, merge_keys};
use crate::model::pack::PackEntry;
use crate::model::{Entry, Kind, TreePath};

/// Lines that base or upstream may say about contested keys.
const MOST_LINES: usize = 40;

/// Files of an overlay's directory that change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// To be written.
    pub put: BTreeMap<TreePath, (Kind, Vec<u8>)>,
    /// To be taken away.
    pub remove: BTreeSet<TreePath>,
    /// What was done, by the path as the overlay had it.
    pub steps: Vec<Step>,
}

/// What became of one path of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// As the overlay had it.
    pub path: TreePath,
    /// What became of it.
    pub done: Done,
    /// What there is to know, in words.
    pub about: Vec<String>,
}

/// What became of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It stays as it is.
    Kept,
    /// A patch against the new base, or a file in another place: this file of the overlay.
    Written(TreePath),
    /// Nothing is left of it.
    Dropped,
    /// A person must finish this file of the overlay.
    Conflict(TreePath),
}

/// Why an overlay cannot be written anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebaseError {
    /// It does not render, whatever the version.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Two of its files end up on one path.
    #[error("{first} and {second} end up on {to}: take one of them out of the overlay, then do it again")]
    OnePath {
        /// As the overlay has it.
        first: TreePath,
        /// Likewise.
        second: TreePath,
        /// In the new version.
        to: TreePath,
    },
    /// A name that would be too long.
    #[error("{0}")]
    Path(#[from] crate::model::PathError),
    /// A file with keys, edited into something that cannot be merged.
    #[error("{file:?}: {error}")]
    Keys {
        /// The file.
        file: TreePath,
        /// Why.
        error: StructuredError,
    },
    /// A file with keys for what is not there, or is no text.
    #[error("{file:?}: the pack has no such text file: delete it to drop the change")]
    Nothing {
        /// The file.
        file: TreePath,
    },
}

/// Writes an overlay anew against `to`, the tree `new`. The manifest is what `overlay.toml` is to say.
pub fn rebase(
    overlay: &Overlay,
    base: Option<&[PackEntry]>,
    new: &[PackEntry],
    to: Base,
    bytes: &Bytes<'_>,
) -> Result<(Changes, Manifest), RebaseError> {
    let way = Way::new(overlay, base, new, bytes)?;
    let manifest = Manifest { base: Some(to), ..overlay.manifest.clone() };
    let mut writing = Writing { way: &way, manifest, changes: Changes::default(), taken: BTreeMap::new() };
    writing.left_out();
    for (path, (kind, bytes)) in &overlay.files {
        writing.whole_file(path, *kind, bytes)?;
    }
    for path in overlay.patches.keys() {
        writing.change(path, Change::Patch)?;
    }
    for (path, (format, _)) in &overlay.merges {
        writing.change(path, Change::Merge(*format))?;
    }
    let Writing { mut changes, manifest, .. } = writing;
    // A file that goes where another one was is not to be taken away.
    changes.remove.retain(|path| !changes.put.contains_key(path));
    Ok((changes, manifest))
}

/// An overlay on its way to paper.
struct Writing<'w, 'a> {
    way: &'w Way<'a>,
    manifest: Manifest,
    changes: Changes,
    /// Which of the overlay's paths went where.
    taken: BTreeMap<TreePath, TreePath>,
}

impl Writing<'_, '_> {
    fn step(&mut self, path: &TreePath, done: Done, about: Vec<String>) {
        self.changes.steps.push(Step { path: path.clone(), done, about });
    }

    fn left_out(&mut self) {
        let mut remove: Vec<TreePath> = Vec::new();
        for path in self.way.overlay.manifest.remove.clone() {
            // What neither version has may be an earlier overlay's.
            let Some(LeftOut { names, notes, .. }) = self.way.left_out(&path) else {
                remove.push(path);
                continue;
            };
            let done = if names.is_empty() { Done::Dropped } else { Done::Kept };
            remove.extend(names);
            self.step(&path, done, notes.iter().map(in_words).collect());
        }
        remove.sort();
        remove.dedup();
        let mut as_before = self.manifest.remove.clone();
        as_before.sort();
        if remove != as_before {
            self.manifest.remove = remove;
        }
    }

    fn take(&mut self, path: &TreePath, to: &TreePath) -> Result<(), RebaseError> {
        match self.taken.insert(to.clone(), path.clone()) {
            None => Ok(()),
            Some(first) => Err(RebaseError::OnePath { first, second: path.clone(), to: to.clone() }),
        }
    }

    fn whole_file(&mut self, path: &TreePath, kind: Kind, bytes: &[u8]) -> Result<(), RebaseError> {
        let place = self.way.place(path);
        let to = match place {
            Place::At { to, .. } => to,
            _ => path,
        };
        self.take(path, to)?;
        let there = self.way.upstream(to).map(entry);
        let mut about = Vec::new();
        if to != path {
            about.push(Note::Renamed(to.clone()).to_string());
        }
        if there == Some(Entry::of(kind, bytes)) {
            about.push(in_words(&Note::Shipped));
            self.changes.remove.insert(path.clone());
            self.manifest.verbatim.retain(|it| it != path);
            self.step(path, Done::Dropped, about);
            return Ok(());
        }
        match place {
            Place::At { was, is, .. } if entry(was) != entry(is) => {
                about.push(Note::ReplacesChanged.to_string());
            }
            Place::Gone => about.push(Note::ReplacesGone.to_string()),
            Place::Added if there.is_some() => about.push(Note::ReplacesNew.to_string()),
            _ => {}
        }
        if to == path {
            self.step(path, Done::Kept, about);
            return Ok(());
        }
        self.changes.remove.insert(path.clone());
        self.changes.put.insert(to.clone(), (kind, bytes.to_vec()));
        self.manifest.verbatim.retain(|it| it != path);
        if Overlay::reads_as_change(to) {
            self.manifest.verbatim.push(to.clone());
        }
        self.step(path, Done::Written(to.clone()), about);
        Ok(())
    }

    /// A patch or merge of one file.
    fn change(&mut self, path: &TreePath, change: Change) -> Result<(), RebaseError> {
        let place = self.way.place(path);
        let (to, was) = match place {
            Place::At { to, was, .. } => (to, Some(was)),
            _ => (path, None),
        };
        self.take(path, to)?;
        let regular = |entry: &&PackEntry| entry.kind != Kind::Link;
        let there = match self.way.upstream(to).filter(regular) {
            Some(is) => Some(self.way.read(to, is.content)?),
            None => None,
        };
        let carry = match (&place, &there) {
            (Place::Unknown, None) => Carry::Held(Conflict::NotInPack),
            (_, bytes) => {
                let bytes = bytes.as_deref().unwrap_or_default();
                self.way.carry(path, change, &Onto { bytes, by: None })?
            }
        };
        let mut about = Vec::new();
        if to != path {
            about.push(Note::Renamed(to.clone()).to_string());
        }
        let (old_file, new_file) = (change.file(path)?, change.file(to)?);
        match carry {
            Carry::Nothing(note) => {
                about.push(in_words(&note));
                self.changes.remove.insert(old_file);
                self.step(path, Done::Dropped, about);
            }
            Carry::Put(bytes, note) => {
                about.extend(note.map(|note| note.to_string()));
                let same =
                    to == path && was.map(|was| was.content) == self.way.upstream(to).map(|is| is.content);
                let text = match change {
                    _ if same => None,
                    Change::Patch => match Patch::make(to, &there.unwrap_or_default(), &bytes) {
                        Ok(patch) => Some(patch.print()),
                        Err(error) => {
                            // Texts that merge can be compared, unless the result is beyond the limits.
                            let why = Conflict::Unapplied(error).to_string();
                            return self.held(path, to, change, why, bytes);
                        }
                    },
                    Change::Merge(_) if to == path => None,
                    Change::Merge(_) => {
                        self.way.overlay.merges.get(path).map(|(_, keys)| keys.clone().into_bytes())
                    }
                };
                let done = match text {
                    None => Done::Kept,
                    Some(text) => {
                        self.changes.remove.insert(old_file);
                        self.changes.put.insert(new_file.clone(), (Kind::File, text));
                        Done::Written(new_file)
                    }
                };
                self.step(path, done, about);
            }
            Carry::Held(conflict) => {
                let body = self.by_hand(path, to, change, &conflict, was, there)?;
                return match body {
                    ByHand::Marked(text) => self.put_conflict(path, to, change, conflict.to_string(), text),
                    ByHand::Body(body) => self.held(path, to, change, conflict.to_string(), body),
                };
            }
        }
        Ok(())
    }

    /// What a person begins with.
    fn by_hand(
        &self,
        path: &TreePath,
        to: &TreePath,
        change: Change,
        conflict: &Conflict,
        was: Option<&PackEntry>,
        there: Option<Vec<u8>>,
    ) -> Result<ByHand, RebaseError> {
        let overlay = self.way.overlay;
        if let Change::Merge(_) = change {
            let keys = overlay.merges.get(path).map(|(_, keys)| keys.clone()).unwrap_or_default();
            return Ok(ByHand::Body(keys.into_bytes()));
        }
        let was = was.or_else(|| self.way.was(path)).filter(|was| was.kind != Kind::Link);
        let base = was.map(|was| self.way.read(to, was.content)).transpose()?;
        let ours = base.as_ref().and_then(|base| overlay.patches.get(path)?.apply_exactly(base).ok());
        if let (Conflict::Clash(Clash::Lines { .. }), Some(base), Some(ours), Some(there)) =
            (conflict, &base, &ours, &there)
        {
            let version =
                |base: &Option<Base>| base.as_ref().map_or("?".to_owned(), |base| base.version.clone());
            let (from, to) = (version(&overlay.manifest.base), version(&self.manifest.base));
            let (from, mine, to) =
                (format!("base {from}"), format!("overlay {}", overlay.name), format!("upstream {to}"));
            let labels = Labels { base: &from, ours: &mine, theirs: &to };
            if let Some(marked) = marked(base, ours, there, labels) {
                return Ok(ByHand::Marked(marked.text));
            }
        }
        // Where a merge has no text to show, either side is better than none; a copy without the change is better
        // than a guess.
        Ok(ByHand::Body(match conflict {
            Conflict::Clash(Clash::Binary | Clash::TooLarge) | Conflict::Link | Conflict::Gone => {
                ours.or(there).unwrap_or_default()
            }
            _ => there.or(ours).unwrap_or_default(),
        }))
    }

    /// A file for a person, with a block above it that says why.
    fn held(
        &mut self,
        path: &TreePath,
        to: &TreePath,
        change: Change,
        why: String,
        body: Vec<u8>,
    ) -> Result<(), RebaseError> {
        let name = &self.way.overlay.name;
        let (comment, patch) = match change {
            Change::Patch => ("", self.way.overlay.patches.get(path).map(Patch::print).unwrap_or_default()),
            Change::Merge(Format::Json) => ("// ", Vec::new()),
            Change::Merge(Format::Toml) => ("# ", Vec::new()),
        };
        let what = match change {
            Change::Patch => "make of the text below what the file is to be",
            Change::Merge(_) => "correct the keys below",
        };
        let sides = self.sides(path, to, change);
        let mut text = format!("{comment}<<<<<<< overlay {name}: {}\n", one_line(&why)).into_bytes();
        text.extend(patch);
        for line in sides.lines() {
            text.extend(format!("{comment}{line}\n").as_bytes());
        }
        text.extend(
            format!(
                "{comment}>>>>>>> overlay {name}: {what}, take this block out, then `packfleet overlay rebase {name} \
                 --finish`; or delete this file to drop the change\n"
            )
            .as_bytes(),
        );
        text.extend(body);
        self.put_conflict(path, to, change, why, text)
    }

    /// Of a merge of keys, what base and upstream say of them, as far as they do.
    fn sides(&self, path: &TreePath, to: &TreePath, change: Change) -> String {
        let (Change::Merge(format), Some((_, keys))) = (change, self.way.overlay.merges.get(path)) else {
            return String::new();
        };
        let pointers = keys_of(format, keys).unwrap_or_default();
        let nothing = match format {
            Format::Json => "{}",
            Format::Toml => "",
        };
        let version = |base: &Option<Base>| base.as_ref().map_or("?".to_owned(), |base| base.version.clone());
        let mut out = String::new();
        for (who, entry) in [
            (format!("base {}", version(&self.way.overlay.manifest.base)), self.way.was(path)),
            (format!("upstream {}", version(&self.manifest.base)), self.way.upstream(to)),
        ] {
            let bytes = entry.and_then(|entry| self.way.read(to, entry.content).ok());
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let said = text.and_then(|text| keys_of_host(format, &text, nothing, &pointers).ok());
            let said = said.filter(|said| said.lines().count() <= MOST_LINES).unwrap_or_default();
            if !said.trim().is_empty() {
                out.push_str(&format!("{who} has:\n{}\n", said.trim_end()));
            }
        }
        out
    }

    fn put_conflict(
        &mut self,
        path: &TreePath,
        to: &TreePath,
        change: Change,
        why: String,
        text: Vec<u8>,
    ) -> Result<(), RebaseError> {
        let file = change.conflict(to)?;
        self.changes.remove.insert(change.file(path)?);
        self.changes.put.insert(file.clone(), (Kind::File, text));
        let renamed = (to != path).then(|| Note::Renamed(to.clone()).to_string());
        self.step(path, Done::Conflict(file), renamed.into_iter().chain([why]).collect());
        Ok(())
    }
}

/// What a person begins with: a merge with markers, or a text that needs a block above it.
enum ByHand {
    Marked(Vec<u8>),
    Body(Vec<u8>),
}

/// Turns edited conflict files into patches against the overlay's base, `tree`, or into files.
///
/// Files that still have a marker or a block of [`rebase`] in them stay: [`Done::Conflict`].
pub fn finish(overlay: &Overlay, tree: &[PackEntry], bytes: &Bytes<'_>) -> Result<Changes, RebaseError> {
    let mut changes = Changes::default();
    for (path, (change, text)) in &overlay.unfinished {
        let conflict = change.conflict(path)?;
        let mut step = |done, about: Option<String>| {
            changes.steps.push(Step { path: path.clone(), done, about: about.into_iter().collect() });
        };
        if let Some(line) = marker(text) {
            step(Done::Conflict(conflict), Some(format!("line {line} is a marker still")));
            continue;
        }
        let is = tree.iter().find(|entry| &entry.path == path);
        let regular = is.filter(|is| is.kind != Kind::Link);
        let read = |it: &PackEntry| {
            bytes(it.content).map_err(|why| RenderError::Unreadable { path: path.clone(), why })
        };
        let upstream = regular.map(read).transpose()?;
        let written = match (change, upstream) {
            (Change::Patch, None) => Some((path.clone(), Kind::File, text.clone())),
            (Change::Patch, Some(upstream)) => match Patch::make(path, &upstream, text) {
                Ok(patch) => Some((change.file(path)?, Kind::File, patch.print())),
                Err(PatchError::Empty) => None,
                Err(_) => Some((path.clone(), regular.map_or(Kind::File, |is| is.kind), text.clone())),
            },
            (Change::Merge(format), upstream) => {
                let file = change.file(path)?;
                let nothing = || RebaseError::Nothing { file: conflict.clone() };
                let upstream = upstream.ok_or_else(nothing)?;
                let upstream = std::str::from_utf8(&upstream).map_err(|_| nothing())?;
                let keys = std::str::from_utf8(text).map_err(|_| nothing())?;
                let merged = merge_keys(*format, upstream, keys)
                    .map_err(|error| RebaseError::Keys { file: conflict.clone(), error })?;
                (merged != upstream).then(|| (file, Kind::File, text.clone()))
            }
        };
        match &written {
            None => step(Done::Dropped, Some("it is what upstream ships".into())),
            Some((file, ..)) => step(Done::Written(file.clone()), None),
        }
        changes.remove.insert(conflict);
        changes.put.extend(written.map(|(file, kind, text)| (file, (kind, text))));
    }
    Ok(changes)
}

/// A note about what is done here, which needs no advice to do it.
fn in_words(note: &Note) -> String {
    match note {
        Note::Shipped => "upstream ships the very same: dropped".to_owned(),
        Note::RemovesGone => "upstream removed it, too: dropped".to_owned(),
        note => note.to_string(),
    }
}

/// A text without control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// The first line that is a marker of [`rebase`], from 1.
fn marker(text: &[u8]) -> Option<usize> {
    let is_marker = |line: &[u8]| {
        let start = line.iter().position(|byte| !b"/# ".contains(byte)).unwrap_or(line.len());
        let line = &line[start..];
        let Some(first) = line.first().filter(|byte| b"<|>".contains(byte)) else { return false };
        let run = line.iter().take_while(|byte| *byte == first).count();
        let labels: [&[u8]; 3] = [b" overlay ", b" base ", b" upstream "];
        run >= 7 && labels.iter().any(|label| line[run..].starts_with(label))
    };
    text.split(|byte| *byte == b'\n').position(is_marker).map(|at| at + 1)
}

impl Changes {
    /// Paths that a person must finish.
    pub fn conflicts(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| matches!(step.done, Done::Conflict(_)))
    }
}

#[cfg(test)]
#[path = "rebase_tests.rs"]
mod tests;
