//! Effects on one deployment's root.
//!
//! The port is coarse: look at everything, read one file, apply one plan. The transaction runs whole,
//! next to the files, so that its promises do not depend on who called it or over what. Every
//! implementation answers to one contract suite.
//!
//! ```text
//! observe ─► Observation { record, actual }          no write, ever
//! recover ─► finish or undo an interrupted switch    under the lock
//! apply   ─► lock · recover · fence · stage · journal · switch · look · commit | undo
//! ```
//!
//! On disk, from the kernel up: `beneath` (all access; `steps`, `mounts`, `swap` and `layers` where the kernel or the
//! file system lacks something, `features` tells what), `sight` (what lies at one name), `state` (the state
//! directory), `live` (the tree); `scan`, `narrow`, `listing` and `cache` look; `stage`, `switch`, `finish`, `undo` and
//! `recover` are the parts that `transaction` puts in order; `journal`, `edits`, `generations`, `lines` and
//! `salvage` keep what must not be lost; `attributes` and `acl` carry owners and modes over.

mod acl;
pub mod agent;
mod annals;
mod attributes;
mod beneath;
mod bytes;
mod cache;
mod check;
mod command;
mod durable;
mod edits;
mod error;
mod error_rate;
pub mod examine;
mod features;
mod finish;
#[doc(hidden)]
pub mod fuzz;
mod generations;
mod glance;
mod health;
pub mod install;
mod journal;
mod layers;
mod lines;
mod listing;
mod live;
mod local;
mod lock;
mod memory;
mod mounts;
mod narrow;
mod pause;
pub mod pipe;
mod pour;
pub mod prepare;
mod presence;
mod probe;
pub mod reach;
mod recover;
mod refresh;
pub mod remote;
mod retreat;
mod salvage;
mod scan;
mod sight;
mod soak;
mod soaking;
mod spread;
pub mod ssh;
mod stage;
mod state;
pub mod status_key;
mod steps;
mod swap;
mod switch;
mod table;
mod tend;
mod transaction;
mod undo;
mod units;
pub mod version_file;
pub mod watch;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::bytes::verified;
pub use self::bytes::{BlobError, Blobs, Stream};
pub use self::command::end_commands;
pub use self::error::{HostError, Told};
pub use self::examine::{Exam, Examined};
pub use self::features::{Features, Support};
pub use self::health::{Back, Evidence, Health, Resume, TakenBack, Verdict, Watch};
pub use self::local::LocalHost;
pub use self::memory::MemoryHost;
pub use self::narrow::{Narrow, Narrowed, Scope};
pub use self::pause::{Notes, Pausing};
pub use self::pour::Sink;
pub use self::prepare::{Preparation, Step};
pub use self::soak::Soak;
pub use self::watch::{Stir, Stirs};
pub use crate::model::actual::{Actual, Seen};
use crate::model::care::Aftercare;
use crate::model::pack::CommitId;
use crate::model::plan::{Action, Plan, Purpose};
use crate::model::record::Record;
use crate::model::rollout::Pause;
use crate::model::settled::Part;
use crate::model::{Content, DeploymentName, Entry, FleetName, HostPath, PackName, RecordDigest, TreePath};

/// Whether the stat cache may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// A file whose inode, size, mtime and ctime are as cached is not read.
    StatCache,
    /// Every byte is hashed anew.
    Nothing,
}

/// What to look at. The host adds every path of its record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Look {
    /// The fleet that asks; a state directory of another one is refused.
    pub fleet: FleetName,
    /// The deployment that is looked at; likewise.
    pub deployment: DeploymentName,
    /// Paths that are desired.
    pub paths: BTreeSet<TreePath>,
    /// Directories whose unmanaged entries are to be listed; empty: none. `None` is the root.
    pub list: Vec<Option<TreePath>>,
    /// Whether the stat cache may be believed.
    pub trust: Trust,
    /// The VERSION file, to be read along (at most 1 MiB).
    pub version_file: Option<TreePath>,
}

/// An interrupted switch that waits for recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The generation that was being made.
    pub generation: u64,
}

/// What a look found.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The record; `None` if packfleet never committed here.
    pub record: Option<Record>,
    /// Digest of the record's bytes.
    pub digest: Option<RecordDigest>,
    /// What is there.
    pub actual: Actual,
    /// A switch was interrupted: the tree may be half old, half new until the next apply.
    pub interrupted: Option<Interrupted>,
    /// A stage without a journal lies there: that of a run at work, or what one that was cut short left.
    pub staged: bool,
    /// The VERSION file's bytes, if it was asked for and is a regular file.
    pub version_file: Option<Vec<u8>>,
    /// The last word on its health; `None` if nothing was ever looked at.
    pub health: Option<Health>,
    /// What a rollout wants to know.
    pub notes: Notes,
}

/// What one commit needs beside its plan.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// What to do.
    pub plan: &'a Plan,
    /// The time that VERSION, log and history show.
    pub now: Timestamp,
    /// When it was that, if time passes; `None`: it stands still, for whoever tries things out.
    pub begun: Option<Instant>,
    /// The new VERSION file, whole; `None`: leave whatever is there.
    pub version_file: Option<(TreePath, Vec<u8>)>,
    /// The content that it was made from; `None`: nothing lay there.
    pub version_from: Option<Content>,
    /// The line for the sync log, without line end, generation or checksum; `None`: no log.
    pub sync_log: Option<(TreePath, String)>,
    /// Generations to keep for rollback, this one included; at least 1.
    pub keep_generations: u32,
    /// What the stat cache must not take over from the one before.
    pub reread: Reread,
    /// What is run and looked at once the change is there, and what going back needs.
    pub aftercare: Aftercare,
    /// Why somebody did not wait for stages, windows and pauses, if they did not; for the history.
    pub hurry: Option<String>,
    /// The commit of the fleet repository that it comes from, where the fleet was read from a repository.
    pub fleet: Option<CommitId>,
}

/// What time it is by now, where it was `at` at `begun`; `None`: time stands still.
pub fn by_now(at: Timestamp, begun: Option<Instant>) -> Timestamp {
    let passed = begun.map(|begun| begun.elapsed()).unwrap_or_default();
    at.checked_add(passed).unwrap_or(at)
}

/// What is read again when the stat cache is written after a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reread {
    /// What the switch touched. Right if the look before it had to read nothing.
    Touched,
    /// All that the cache does not vouch for.
    All,
}

/// What would have to be recorded for nothing to be left to plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Glance {
    /// The fleet that asks.
    pub fleet: FleetName,
    /// The deployment that is looked at.
    pub deployment: DeploymentName,
    /// All that is desired, by pack.
    pub parts: BTreeMap<PackName, Part>,
    /// Paths that no pack may have installed.
    pub reserved: Vec<TreePath>,
    /// Whether the stat cache may be believed.
    pub trust: Trust,
    /// The VERSION file, to be read along (at most 1 MiB).
    pub version_file: Option<TreePath>,
}

/// The answer to a [`Glance`]: a settled record says all that was asked for, and the tree is as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// The record's generation.
    pub generation: u64,
    /// Digest of the record's bytes.
    pub digest: RecordDigest,
    /// The VERSION file's bytes, if it was asked for and is a regular file.
    pub version_file: Option<Vec<u8>>,
    /// The last word on its health.
    pub health: Option<Health>,
    /// What a rollout wants to know.
    pub notes: Notes,
}

/// Commands to run in a private copy of the tree as a plan would leave it.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    /// The plan; of its actions those below the targets count.
    pub plan: &'a Plan,
    /// What is copied. `None` is the root.
    pub targets: Vec<Option<TreePath>>,
    /// The directory in which the commands run. `None` is the root.
    pub at: Option<TreePath>,
    /// Programs with their arguments, from the fleet file.
    pub commands: Vec<Vec<String>>,
}

/// How checks ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checked {
    /// All commands ended with status 0.
    Passed,
    /// One did not; those after it were not run.
    Failed {
        /// The command, its words joined by blanks.
        command: String,
        /// How it ended.
        why: String,
        /// What it printed, the end of it.
        output: String,
    },
}

/// How carrying out a plan ended, when it was not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// Committed, durable.
    Done {
        /// The new generation.
        generation: u64,
        /// Edits saved on the way: planned ones, and those of late writers.
        saved: Vec<EditId>,
        /// What was run and what passed, in words: `pai-slack.service restarted`, `http 200`.
        said: Vec<String>,
    },
    /// The change was found ill: see there what became of it.
    Ill(Box<TakenBack>),
    /// The tree moved between plan and switch: everything was taken back, newer local bytes are live.
    Moved {
        /// The first path at which something else came out.
        path: TreePath,
        /// What that was, in words.
        found: String,
    },
}

/// How recovery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recovery {
    /// There was nothing to recover.
    Nothing,
    /// The switch was finished.
    Forward {
        /// The generation that is now there.
        generation: u64,
        /// What was run and what passed, in words.
        said: Vec<String>,
    },
    /// The change was found ill: see there what became of it.
    Ill(Box<TakenBack>),
    /// The switch was undone.
    Back {
        /// The generation that stays.
        generation: u64,
        /// Edits saved on the way.
        saved: Vec<EditId>,
    },
}

/// The number of a saved edit on its host.
pub type EditId = u64;

/// Bytes of a person that packfleet took out of the tree and keeps until they are captured or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedEdit {
    /// Its number; never reused on a host.
    pub id: EditId,
    /// Where it lay.
    pub path: TreePath,
    /// The pack that owns the path, if one does.
    pub pack: Option<PackName>,
    /// What it is.
    pub entry: Entry,
    /// Why it was taken out: `revert`, `resolve`, `rollback`, `restore`, `late write`, `undo`.
    pub reason: String,
    /// The generation that took it out.
    pub generation: u64,
    /// When.
    pub time: Timestamp,
}

/// One line of the history: what one generation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Its number.
    pub generation: u64,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub purpose: Purpose,
    /// Versions afterwards, by pack.
    pub packs: BTreeMap<PackName, String>,
    /// Files created, replaced, removed.
    pub created: u64,
    /// Files replaced.
    pub replaced: u64,
    /// Files removed.
    pub removed: u64,
    /// Holds that the plan had.
    pub held: u64,
    /// What somebody said about it: why they did not wait, or why there is a pause.
    #[serde(default)]
    pub reason: Option<String>,
    /// The commit of the fleet repository that it came from, where the fleet was read from a repository.
    #[serde(default)]
    pub fleet: Option<CommitId>,
}

/// A generation that can still be rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// What it did, with `before` and `after` of each path; the bytes that came out are its backup.
    pub actions: Vec<Action>,
    /// The record that stood before it; `None` before the first.
    pub previous: Option<Record>,
}

/// A deployment root and packfleet's state in it.
///
/// Guarantees of every implementation: nothing outside the root is read or written; no link in it is
/// followed; `observe`, `read` and the listings write nothing; an `apply` that returns an error before
/// its commit point left the tree as it was.
pub trait Host: Send + Sync {
    /// The root, as the operator wrote it.
    fn root(&self) -> &HostPath;

    /// Looks. Never waits for a lock, never writes.
    fn observe(&self, look: &Look) -> Result<Observation, HostError>;

    /// Whether there is nothing to plan, told without planning. `None` says nothing at all: look. Never
    /// waits for a lock, never writes.
    fn unchanged(&self, glance: &Glance) -> Result<Option<Unchanged>, HostError>;

    /// What the kernel and the file system below the root can do, and what is done where they cannot. Of a
    /// root that does not exist: of the directory in which it would be made. Writes nothing.
    fn features(&self) -> Result<Features, HostError>;

    /// Looks at everything that an apply here will rely on. Writes nothing, waits for nobody.
    fn examine(&self, exam: &Exam) -> Result<Examined, HostError>;

    /// Makes what a new place needs, or tells what it would make. Repeatable.
    fn prepare(&self, preparation: &Preparation) -> Result<Vec<Step>, HostError>;

    /// What the record says beside its entries; `None` if there is none, or it cannot be had alone. Never waits
    /// for a lock, never writes.
    fn about(&self, fleet: &FleetName, deployment: &DeploymentName) -> Result<Option<Record>, HostError> {
        let (_, _) = (fleet, deployment);
        Ok(None)
    }

    /// What differs from a settled record. `None` says nothing at all: look. Never waits for a lock, never
    /// writes.
    fn narrow(&self, narrow: &Narrow) -> Result<Option<Narrowed>, HostError> {
        let _ = narrow;
        Ok(None)
    }

    /// Begins to watch what is recorded here; `None` where nothing can be watched. Never writes.
    fn watch(&self) -> Result<Option<Box<dyn Stirs>>, HostError> {
        Ok(None)
    }

    /// The bytes at a path, if they still have the digest that was observed. Links give their text.
    fn read(&self, path: &TreePath, expected: Content) -> Result<Vec<u8>, HostError>;

    /// Bytes that the state directory keeps: object store, backups of generations, saved edits.
    fn kept(&self, content: Content) -> Result<Option<Vec<u8>>, HostError>;

    /// Pours the same bytes into a file, in pieces where that can be, unverified; `false` if there are none.
    fn copy_kept(&self, content: Content, to: &mut Sink<'_>) -> Result<bool, HostError> {
        let Some(bytes) = self.kept(content)? else { return Ok(false) };
        to.write_all(&bytes).map(|()| true).map_err(state::failed("write", content.to_string()))
    }

    /// Finishes or undoes an interrupted switch, and watches again a generation whose watcher died, under
    /// the lock.
    fn recover(&self, look: &Look, resume: &Resume) -> Result<Recovery, HostError>;

    /// Runs commands in a private copy of the tree as a plan would leave it; the tree itself is only read.
    fn check(&self, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError>;

    /// Carries out a plan, under the lock; see the module page.
    fn apply(&self, commit: &Commit<'_>, blobs: &dyn Blobs) -> Result<Applied, HostError>;

    /// What was done here, oldest first.
    fn history(&self) -> Result<Vec<HistoryLine>, HostError>;

    /// Generations that can be rolled back, newest first. One whose backup is damaged ends the list.
    fn generations(&self) -> Result<Vec<Generation>, HostError>;

    /// Saved edits, oldest first.
    fn edits(&self) -> Result<Vec<SavedEdit>, HostError>;

    /// Begins or ends a pause, under the lock. Gives the one before, which stays if it outlasts the new one.
    fn pause(&self, pausing: &Pausing) -> Result<Option<Pause>, HostError>;

    /// Drops saved edits by number, under the lock; an unknown number is an error and drops nothing.
    fn drop_edits(&self, ids: &[EditId]) -> Result<(), HostError>;
}
