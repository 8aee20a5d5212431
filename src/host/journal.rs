//! What a switch is about to do, written down before it does anything.
//!
//! The *manifest* lies in the stage and holds every step; it moves into the generation with what came
//! out and says there how to go back. The *journal* is small: which manifest, and whether it is being
//! carried out or taken back. Renaming it into place is the commit point; the marked one, which turns
//! the switch around, was staged beside it, so that marking needs no space.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::beneath::Dir;
use super::state::{self, failed, name};
use super::{HostError, SavedEdit};
use crate::model::plan::{Action, Purpose};
use crate::model::record::{RecordError, frame, unframe};
use crate::model::{Content, Entry, HostPath, RecordDigest, TreePath};

/// Names in a stage and in the generation that it becomes.
pub mod slot {
    /// The manifest.
    pub const MANIFEST: &str = "manifest";
    /// The journal before the commit point.
    pub const JOURNAL: &str = "journal";
    /// The marked journal.
    pub const UNDO: &str = "undo";
    /// The new record before, the old one after.
    pub const RECORD: &str = "record";
    /// The new VERSION file before, the old one after.
    pub const VERSION: &str = "version";
    /// An empty sync log, where there is none yet.
    pub const LOG: &str = "log";
    /// Room for the record that taking the switch back may have to write.
    pub const KEPT: &str = "kept-record";
    /// Present as long as history and log lack their line.
    pub const UNLOGGED: &str = "unlogged";

    /// The names of the marked journal, by how often the switch has failed: a rename needs no space.
    pub const UNDOS: [&str; 3] = [UNDO, "undo.1", "undo.2"];

    /// A step's slot.
    pub fn step(number: u32) -> String {
        number.to_string()
    }

    /// An edit that the plan saves.
    pub fn edit(id: u64) -> String {
        format!("e-{id}")
    }

    /// Bytes for the object store.
    pub fn object(content: crate::model::Content) -> String {
        format!("o-{content}")
    }
}

/// One rename. Whether it was done shows in its slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The slot's number.
    pub slot: u32,
    /// What is done.
    pub deed: Deed,
}

/// What one rename does. Numbers are those of actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// The live entry goes into the empty slot.
    Take(u32),
    /// A directory that is empty by then goes into the empty slot: a file takes its place.
    TakeDirectory(TreePath),
    /// The staged directory, with this inode, goes where nothing is.
    MakeDirectory(TreePath, u64),
    /// Slot and live entry change places.
    Exchange(u32),
    /// The staged entry goes where nothing is.
    Create(u32),
}

/// All that a switch, its undoing, its recovery and a rollback need to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The generation that is made.
    pub generation: u64,
    /// The commit's time.
    pub time: Timestamp,
    /// The actions of the plan.
    pub actions: Vec<Action>,
    /// The base recorded before, for each action: bytes that are found elsewhere. With a VERSION file there is one
    /// more: what its new bytes were made from.
    pub bases: Vec<Option<Entry>>,
    /// Steps in their order.
    pub steps: Vec<Step>,
    /// Edits that the plan saves; staged whole.
    pub saves: Vec<SavedEdit>,
    /// Directories to remove if empty, deepest first.
    pub prune: Vec<TreePath>,
    /// The new record.
    pub record: RecordDigest,
    /// The VERSION file and its new bytes.
    pub version: Option<(TreePath, Content)>,
    /// The sync log and its line.
    pub log: Option<(TreePath, String)>,
    /// The history's line.
    pub history: String,
    /// Contents that the object store holds from now on.
    pub objects: Vec<Content>,
    /// Generations to keep.
    pub keep_generations: u32,
    /// Why the plan was made.
    pub purpose: Purpose,
}

/// Which way a switch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// To the new generation.
    Forward,
    /// Back to the old one.
    Back,
}

/// The switch that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The generation that is made.
    pub generation: u64,
    /// Digest of the manifest.
    pub manifest: Content,
    /// Which way it goes.
    pub direction: Direction,
}

const FORMAT: u32 = 1;
const JOURNAL_MAGIC: &[u8; 8] = b"pfjournl";
const MANIFEST_MAGIC: &[u8; 8] = b"pfmanife";

impl Journal {
    /// The bytes of the journal file.
    pub fn encode(&self) -> Vec<u8> {
        frame(JOURNAL_MAGIC, FORMAT, self)
    }

    /// Decodes one; never panics on damaged bytes. Law: what decodes encodes to the same bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let journal: Self = unframe(JOURNAL_MAGIC, FORMAT, bytes)?;
        as_written(journal.encode() == bytes)?;
        Ok(journal)
    }

    /// Reads the journal; `None` if no switch is under way.
    pub fn load(state: &Dir, at: &HostPath) -> Result<Option<Self>, HostError> {
        let Some(bytes) = state::read(state, name::JOURNAL).map_err(failed("read", ".packfleet/journal"))?
        else {
            return Ok(None);
        };
        Self::decode(&bytes).map(Some).map_err(|source| HostError::Damaged {
            what: "the journal".into(),
            root: at.clone(),
            source: Box::new(source),
        })
    }
}

/// Whether there is a stage: without a journal it means nothing once nobody is at work on it.
pub fn is_staged(state: &Dir) -> Result<bool, HostError> {
    state.stat(name::STAGE).map(|found| found.is_some()).map_err(failed("look at", ".packfleet/stage"))
}

/// Under which name the marked journal lies in the stage.
pub fn marked(slots: &Dir) -> io::Result<&'static str> {
    for name in slot::UNDOS.into_iter().rev() {
        if slots.stat(name)?.is_some() {
            return Ok(name);
        }
    }
    Ok(slot::UNDO)
}

/// Notes that a switch failed after its commit point, and says whether it may be tried again.
pub fn may_fail_again(slots: &Dir) -> io::Result<bool> {
    let known = marked(slots)?;
    let next = slot::UNDOS.into_iter().skip_while(|name| *name != known).nth(1);
    match next {
        Some(next) => slots.replace(known, slots, next).map(|()| true),
        None => Ok(false),
    }
}

impl Manifest {
    /// The bytes of the manifest file.
    pub fn encode(&self) -> Vec<u8> {
        frame(MANIFEST_MAGIC, FORMAT, self)
    }

    /// Decodes one; never panics on damaged bytes, and one whose steps name actions that it does not
    /// have is damaged. Law: what decodes encodes to the same bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let manifest: Self = unframe(MANIFEST_MAGIC, FORMAT, bytes)?;
        as_written(manifest.encode() == bytes)?;
        if manifest.doings().len() == manifest.steps.len() {
            Ok(manifest)
        } else {
            Err(RecordError::Damaged("a step does not fit its action"))
        }
    }

    /// Where VERSION lies, and the contents that may lie there, the old and the new; `None` where there is none, or
    /// where an earlier build, which did not write down the old one, made this.
    pub fn versions(&self) -> Option<(&TreePath, [Option<Content>; 2])> {
        let (path, new) = self.version.as_ref()?;
        let from = self.bases.get(self.actions.len())?;
        Some((path, [from.map(|entry| entry.content), Some(*new)]))
    }

    /// The steps with what they act on, in their order.
    pub fn doings(&self) -> Vec<(String, Doing<'_>)> {
        self.steps.iter().filter_map(|step| Some((slot::step(step.slot), self.doing(step)?))).collect()
    }

    fn doing<'a>(&'a self, step: &'a Step) -> Option<Doing<'a>> {
        let action = |at: u32| self.actions.get(at as usize);
        let base = |at: u32| self.bases.get(at as usize).copied().flatten();
        Some(match &step.deed {
            Deed::Take(at) => {
                let action = action(*at)?;
                Doing::Take { action, before: action.before?, base: base(*at) }
            }
            Deed::Exchange(at) => {
                let action = action(*at)?;
                Doing::Exchange { action, before: action.before?, after: action.after?, base: base(*at) }
            }
            Deed::Create(at) => {
                let action = action(*at)?;
                Doing::Create { action, after: action.after? }
            }
            Deed::TakeDirectory(path) => Doing::TakeDirectory(path),
            Deed::MakeDirectory(path, inode) => Doing::MakeDirectory(path, *inode),
        })
    }
}

/// Numbers have more than one encoding that decodes; packfleet writes one of them.
fn as_written(same: bool) -> Result<(), RecordError> {
    if same { Ok(()) } else { Err(RecordError::Damaged("packfleet would write it otherwise")) }
}

/// A step with what it acts on.
#[derive(Debug, Clone, Copy)]
pub enum Doing<'a> {
    /// See [`Deed::Take`].
    Take {
        /// Of this action.
        action: &'a Action,
        /// What must come out.
        before: Entry,
        /// The base recorded before.
        base: Option<Entry>,
    },
    /// See [`Deed::TakeDirectory`].
    TakeDirectory(&'a TreePath),
    /// See [`Deed::MakeDirectory`].
    MakeDirectory(&'a TreePath, u64),
    /// See [`Deed::Exchange`].
    Exchange {
        /// Of this action.
        action: &'a Action,
        /// What must come out.
        before: Entry,
        /// What goes in.
        after: Entry,
        /// The base recorded before.
        base: Option<Entry>,
    },
    /// See [`Deed::Create`].
    Create {
        /// Of this action.
        action: &'a Action,
        /// What goes in.
        after: Entry,
    },
}

impl<'a> Doing<'a> {
    /// Where it happens.
    pub fn path(&self) -> &'a TreePath {
        match self {
            Self::Take { action, .. } | Self::Exchange { action, .. } | Self::Create { action, .. } => {
                &action.path
            }
            Self::TakeDirectory(path) | Self::MakeDirectory(path, _) => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;
    use crate::model::plan::Cause;

    #[test]
    fn a_manifest_survives_encoding_and_a_step_without_its_action_is_damage() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let entry = Entry::of(Kind::File, b"x");
        let mut manifest = Manifest {
            generation: 3,
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            actions: vec![Action {
                path: path("a"),
                pack: "p".parse().unwrap(),
                before: None,
                after: Some(entry),
                cause: Cause::Create,
                save: false,
            }],
            bases: vec![None],
            steps: vec![
                Step { slot: 1, deed: Deed::MakeDirectory(path("d"), 7) },
                Step { slot: 0, deed: Deed::Create(0) },
            ],
            saves: Vec::new(),
            prune: Vec::new(),
            record: RecordDigest::from_bytes([1; 32]),
            version: Some((path("VERSION"), Content::of(b"v"))),
            log: None,
            history: "{}".into(),
            objects: Vec::new(),
            keep_generations: 2,
            purpose: Purpose::Rollback { to: 1 },
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::decode(&damaged).is_err(), "byte {at}");
        }
        manifest.steps[1].deed = Deed::Take(0);
        assert!(Manifest::decode(&manifest.encode()).is_err());
        manifest.steps[1].deed = Deed::Create(1);
        assert!(Manifest::decode(&manifest.encode()).is_err());
    }
}
