//! Generations that can be rolled back, and the bytes that came out of them.
//!
//! `generations/<N>/` is the stage of switch N after the switch: the manifest, the record that stood
//! before, and in the slots what came out. Bytes are checked against their digest before they are given
//! out, and looked at once more before they are removed: who had such a file open may have written to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};

use super::beneath::{Dir, Node};
use super::edits::Edits;
use super::finish::look_again;
use super::journal::{Doing, Manifest, slot};
use super::sight::Looker;
use super::state::{failed, name, read};
use super::{Generation, HostError};
use crate::model::record::Record;
use crate::model::{Content, Entry, Kind};

/// The prefix of a generation that is being removed.
const GONE: &str = "gone-";

/// The generations of one state directory.
#[derive(Debug)]
pub struct Generations {
    dir: Dir,
}

/// Where bytes lie: generation, slot, and what they must be.
pub type Index = BTreeMap<Content, (u64, String, Entry)>;

impl Generations {
    /// Opens them; `None` if there never was one.
    pub fn open(state: &Dir) -> Result<Option<Self>, HostError> {
        match state.dir(name::GENERATIONS) {
            Ok(dir) => Ok(Some(Self { dir })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", ".packfleet/generations")(error)),
        }
    }

    /// Their numbers, newest first.
    pub fn numbers(&self) -> Result<Vec<u64>, HostError> {
        let names = self.dir.names().map_err(failed("list", ".packfleet/generations"))?;
        let number = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = names.iter().filter_map(|(name, _)| number(name)).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// The directory of one generation.
    pub fn slots(&self, number: u64) -> io::Result<Dir> {
        self.dir.dir(number.to_string().as_str())
    }

    /// The manifest in a generation or stage; `None` if it is missing or damaged.
    pub fn manifest(slots: &Dir) -> Option<Manifest> {
        Manifest::decode(&read(slots, slot::MANIFEST).ok()??).ok()
    }

    /// Those that can be rolled back, newest first: from `newest` down without a gap or damage.
    pub fn list(&self, newest: u64) -> Vec<Generation> {
        (1..=newest).rev().map_while(|number| self.one(number)).collect()
    }

    /// One of them; `None` if it is missing or damaged.
    fn one(&self, number: u64) -> Option<Generation> {
        let slots = self.slots(number).ok()?;
        let manifest = Self::manifest(&slots).filter(|manifest| manifest.generation == number)?;
        let previous = match read(&slots, slot::RECORD).ok()? {
            Some(bytes) => Some(Record::decode(&bytes).ok()?),
            None => None,
        };
        Some(Generation { number, actions: manifest.actions, previous })
    }

    /// Where the bytes of all generations lie.
    pub fn index(&self) -> Result<Index, HostError> {
        let mut index = Index::new();
        for number in self.numbers()? {
            let Some(manifest) = self.slots(number).ok().and_then(|slots| Self::manifest(&slots)) else {
                continue;
            };
            for (slot, doing) in manifest.doings() {
                if let Doing::Take { before, .. } | Doing::Exchange { before, .. } = doing {
                    index.insert(before.content, (number, slot, before));
                }
            }
        }
        Ok(index)
    }

    /// The bytes in a slot, if they still are what came out.
    pub fn bytes(&self, number: u64, slot: &str, expected: Entry) -> io::Result<Option<Vec<u8>>> {
        let slots = match self.slots(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            slots => slots?,
        };
        let bytes = match (expected.kind, slots.stat(slot)?.map(|stat| stat.node)) {
            (Kind::Link, Some(Node::Link)) => slots.link_text(slot)?,
            (Kind::File | Kind::Exec, Some(Node::File)) => {
                let mut bytes = Vec::new();
                slots.open(slot)?.read_to_end(&mut bytes)?;
                bytes
            }
            _ => return Ok(None),
        };
        Ok((Content::of(&bytes) == expected.content).then_some(bytes))
    }

    /// The regular file in a slot, unverified.
    pub fn file(&self, number: u64, slot: &str, expected: Entry) -> io::Result<Option<File>> {
        let slots = match self.slots(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            slots => slots?,
        };
        match (expected.kind, slots.stat(slot)?.map(|stat| stat.node)) {
            (Kind::File | Kind::Exec, Some(Node::File)) => slots.open(slot).map(Some),
            _ => Ok(None),
        }
    }
}

/// What undoing the generations from `oldest` on, and the one that is being made, may need: what they put,
/// and what the records before them kept, their bases.
pub fn needed_since(state: &Dir, oldest: u64) -> Result<BTreeSet<Content>, HostError> {
    let mut needed = BTreeSet::new();
    let current = read(state, name::RECORD).map_err(failed("read", ".packfleet/record"))?;
    // One that does not decode was refused before.
    needed
        .extend(current.and_then(|bytes| Record::decode(&bytes).ok()).iter().flat_map(Record::kept_contents));
    let Some(generations) = Generations::open(state)? else { return Ok(needed) };
    for number in generations.numbers()?.into_iter().filter(|number| *number >= oldest) {
        let Some(past) = generations.one(number) else { continue };
        needed.extend(past.actions.iter().filter_map(|action| Some(action.after?.content)));
        needed.extend(past.previous.iter().flat_map(Record::kept_contents));
    }
    Ok(needed)
}

/// Removes generations that are not to be kept. What cannot be removed now is removed next time.
pub fn prune(looker: &mut Looker, state: &Dir, manifest: &Manifest) {
    let (Ok(Some(generations)), Ok(Some(edits))) = (Generations::open(state), Edits::open(state)) else {
        return;
    };
    let oldest = (manifest.generation + 1).saturating_sub(u64::from(manifest.keep_generations));
    for number in generations.numbers().unwrap_or_default() {
        if number < oldest {
            // Renamed first: half of a generation must not look like one.
            let gone = format!("{GONE}{number}");
            let _next_time = generations.dir.move_to(&number.to_string(), &generations.dir, &gone).is_err();
        }
    }
    for (gone, _) in generations.dir.names().unwrap_or_default() {
        let Ok(gone) = String::from_utf8(gone) else { continue };
        if !gone.starts_with(GONE) {
            continue;
        }
        let Ok(slots) = generations.dir.dir(gone.as_str()) else { continue };
        let looked =
            Generations::manifest(&slots).is_none_or(|old| look_again(looker, &edits, &slots, &old).is_ok());
        if looked {
            let _next_time = remove(&generations.dir, &gone, 4).is_err();
        }
    }
}

/// Removes a directory of packfleet's own with what it holds, no deeper than `depth`.
pub fn remove(dir: &Dir, name: &str, depth: u32) -> io::Result<()> {
    let inside = match dir.dir(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        inside => inside?,
    };
    for (name, node) in inside.names()? {
        let name = String::from_utf8(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
        match node {
            Node::Directory if depth > 0 => remove(&inside, &name, depth - 1)?,
            Node::Directory => inside.remove_dir(&name)?,
            _ => inside.unlink(&name)?,
        }
    }
    dir.remove_dir(name)
}
