//! Requests and answers: postcard in a body, nothing behind it.
//!
//! A record travels in its own encoding, as it lies on disk, and the tree as what differs from the record: where
//! little changed, little is said. `Commit` is taken apart field by field, so that a new field cannot be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::frame::{self, Body, BodyWriter, Frames, Kind, Working};
use super::{MOST_MESSAGE, WireError};
use crate::host::{
    Actual, Applied, Check, Checked, Commit, EditId, Exam, Examined, Generation, Glance, Health, HistoryLine,
    Interrupted, Look, Notes, Observation, Pausing, Preparation, Recovery, Reread, Resume, SavedEdit, Seen,
    Step, Stir, Unchanged,
};
use crate::model::care::Aftercare;
use crate::model::pack::CommitId;
use crate::model::plan::{Action, Hold, Plan, Purpose};
use crate::model::record::{Record, RecordError};
use crate::model::rollout::Pause;
use crate::model::{Content, RecordDigest, TreePath};

/// What a controller asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// `Host::observe`
    Observe(Look),
    /// `Host::unchanged`
    Unchanged(Glance),
    /// `Host::read`
    Read(TreePath, Content),
    /// `Host::kept`
    Kept(Content),
    /// `Host::history`
    History,
    /// `Host::generations`
    Generations,
    /// `Host::edits`
    Edits,
    /// `Host::features`
    Features,
    /// `Host::examine`
    Examine(Exam),
    /// `Host::prepare`
    Prepare(Preparation),
    /// `Host::recover`
    Recover(Look, Box<Resume>),
    /// `Host::check`
    Check(SentCheck),
    /// `Host::apply`
    Apply(Box<SentCommit>),
    /// `Host::drop_edits`
    DropEdits(Vec<EditId>),
    /// `Stirs::wait` of `Host::watch`: the watch lasts as long as the session. So many milliseconds at most.
    Watch(u32),
    /// `Host::pause`
    Pause(Pausing),
}

impl Request {
    /// Whether it may write, or run something: such a request must belong to this very session.
    pub fn is_writing(&self) -> bool {
        matches!(
            self,
            Self::Prepare(_)
                | Self::Recover(..)
                | Self::Check(_)
                | Self::Apply(_)
                | Self::DropEdits(_)
                | Self::Pause(_)
        )
    }
}

/// A request in its session.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// What the agent's hello gave; needed by requests that write.
    pub session: Option<String>,
    /// What is asked.
    pub request: Request,
}

/// What an agent answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// What a look found.
    Observed(Box<SentObservation>),
    /// What a glance found.
    Unchanged(Option<Unchanged>),
    /// Bytes, if there are any.
    Bytes(Option<Vec<u8>>),
    /// The history.
    History(Vec<HistoryLine>),
    /// The generations.
    Generations(Vec<SentGeneration>),
    /// The saved edits.
    Edits(Vec<SavedEdit>),
    /// What kernel and file system can do, as JSON.
    Features(String),
    /// What an examination found.
    Examined(Examined),
    /// What a preparation did, or would do.
    Prepared(Vec<Step>),
    /// How recovery ended.
    Recovered(Recovery),
    /// Contents that the host needs for what it was asked and does not have, in the order of their use: a body with
    /// these blobs is awaited.
    Lacks(Vec<Content>),
    /// What was put is there, and what is left is to watch it: the answer is still to come.
    Watched,
    /// How checks ended.
    Checked(Checked),
    /// How carrying out ended.
    Applied(Applied),
    /// It is done, and there is nothing to say.
    Done,
    /// What a watch has to say.
    Stirred(Stir),
    /// The pause before.
    Paused(Option<Pause>),
    /// The host's error.
    Failed(Fault),
    /// The request cannot be taken; the session ends.
    Refused(String),
}

/// Sends one message.
pub fn send<T: Serialize>(message: &T, out: &mut dyn Write) -> Result<(), WireError> {
    let bytes = postcard::to_stdvec(message).map_err(WireError::Decode)?;
    if bytes.len() as u64 > MOST_MESSAGE {
        return Err(WireError::TooMuch("a message"));
    }
    let mut body = BodyWriter::new(out);
    body.put(&bytes)?;
    body.end()
}

/// Receives one message; `None` if the stream ended where one would begin.
pub fn receive<T: serde::de::DeserializeOwned>(
    frames: &mut Frames,
    input: &mut (dyn Read + Send),
    working: Working,
) -> Result<Option<T>, WireError> {
    let Some(body) = Body::begin(frames, input, working, MOST_MESSAGE)? else { return Ok(None) };
    let bytes = body.whole()?;
    let (message, rest) = postcard::take_from_bytes(&bytes).map_err(WireError::Decode)?;
    if rest.is_empty() { Ok(Some(message)) } else { Err(WireError::Trailing(rest.len())) }
}

/// Receives an agent's answer, and until then tells it of each sign of work that it was heard.
pub fn receive_from_agent<T: serde::de::DeserializeOwned>(
    frames: &mut Frames,
    pipe: &mut (impl Read + Write + Send),
) -> Result<Option<T>, WireError> {
    while frames.pass_sign(pipe)? {
        match frame::write(pipe, Kind::Working, &[]) {
            // Its answer, or its end, is still to be read.
            Err(WireError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            told => told?,
        }
    }
    receive(frames, pipe, Working::Refused)
}

/// An [`Observation`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SentObservation {
    record: Option<Vec<u8>>,
    digest: Option<RecordDigest>,
    /// Paths at which lies something else than the record says was left there; `None` is nothing.
    differs: BTreeMap<TreePath, Option<Seen>>,
    directories: BTreeSet<TreePath>,
    unmanaged: Vec<String>,
    hashed: u64,
    interrupted: Option<u64>,
    staged: bool,
    version_file: Option<Vec<u8>>,
    health: Option<Health>,
    notes: Notes,
}

impl From<Observation> for SentObservation {
    fn from(seen: Observation) -> Self {
        let Observation { record, digest, actual, interrupted, staged, version_file, health, notes } = seen;
        let Actual { paths, directories, unmanaged, hashed } = actual;
        let left = |path: &TreePath| record.as_ref().and_then(|record| record.entries.get(path)?.written);
        let mut differs: BTreeMap<TreePath, Option<Seen>> = BTreeMap::new();
        for (path, recorded) in record.iter().flat_map(|record| &record.entries) {
            if recorded.written.is_some() && !paths.contains_key(path) {
                differs.insert(path.clone(), None);
            }
        }
        for (path, seen) in paths {
            if left(&path).map(Seen::Entry).as_ref() != Some(&seen) {
                differs.insert(path, Some(seen));
            }
        }
        Self {
            record: record.map(|record| record.encode()),
            digest,
            differs,
            directories,
            unmanaged,
            hashed,
            interrupted: interrupted.map(|interrupted| interrupted.generation),
            staged,
            version_file,
            health,
            notes,
        }
    }
}

impl SentObservation {
    /// What was seen.
    pub fn into_observation(self) -> Result<Observation, RecordError> {
        let record = self.record.map(|bytes| Record::decode(&bytes)).transpose()?;
        let mut paths: BTreeMap<TreePath, Seen> = BTreeMap::new();
        for (path, recorded) in record.iter().flat_map(|record| &record.entries) {
            if let Some(entry) = recorded.written
                && !self.differs.contains_key(path)
            {
                paths.insert(path.clone(), Seen::Entry(entry));
            }
        }
        paths.extend(self.differs.into_iter().filter_map(|(path, seen)| Some((path, seen?))));
        let (directories, unmanaged, hashed) = (self.directories, self.unmanaged, self.hashed);
        Ok(Observation {
            record,
            digest: self.digest,
            actual: Actual { paths, directories, unmanaged, hashed },
            interrupted: self.interrupted.map(|generation| Interrupted { generation }),
            staged: self.staged,
            version_file: self.version_file,
            health: self.health,
            notes: self.notes,
        })
    }
}

/// A [`Plan`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SentPlan {
    purpose: Purpose,
    generation: u64,
    record: Option<RecordDigest>,
    actions: Vec<Action>,
    renames: BTreeMap<TreePath, TreePath>,
    holds: Vec<Hold>,
    prune: Vec<TreePath>,
    next: Vec<u8>,
    commits: bool,
}

impl SentPlan {
    fn of(plan: &Plan) -> Self {
        let Plan { purpose, generation, record, actions, renames, holds, prune, next, commits } = plan;
        Self {
            purpose: purpose.clone(),
            generation: *generation,
            record: *record,
            actions: actions.clone(),
            renames: renames.clone(),
            holds: holds.clone(),
            prune: prune.clone(),
            next: next.encode(),
            commits: *commits,
        }
    }

    /// The plan.
    pub fn into_plan(self) -> Result<Plan, RecordError> {
        let Self { purpose, generation, record, actions, renames, holds, prune, next, commits } = self;
        let next = Record::decode(&next)?;
        Ok(Plan { purpose, generation, record, actions, renames, holds, prune, next, commits })
    }
}

/// A [`Commit`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SentCommit {
    /// The plan.
    pub plan: SentPlan,
    /// The time that is shown.
    pub now: Timestamp,
    /// How long ago that was, if time passes.
    pub passed: Option<Duration>,
    /// The new VERSION file.
    pub version_file: Option<(TreePath, Vec<u8>)>,
    /// What it was made from.
    pub version_from: Option<Content>,
    /// The line for the sync log.
    pub sync_log: Option<(TreePath, String)>,
    /// Generations to keep.
    pub keep_generations: u32,
    /// What the stat cache must not take over.
    pub reread: Reread,
    /// What is run and looked at afterwards.
    pub aftercare: Aftercare,
    /// Why somebody did not wait.
    pub hurry: Option<String>,
    /// The fleet's commit.
    pub fleet: Option<CommitId>,
}

impl SentCommit {
    /// As it is sent.
    pub fn of(commit: &Commit<'_>) -> Self {
        let Commit {
            plan,
            now,
            begun,
            version_file,
            version_from,
            sync_log,
            keep_generations,
            reread,
            aftercare,
            hurry,
            fleet,
        } = commit;
        Self {
            plan: SentPlan::of(plan),
            now: *now,
            passed: begun.map(|begun| begun.elapsed()),
            version_file: version_file.clone(),
            version_from: *version_from,
            sync_log: sync_log.clone(),
            keep_generations: *keep_generations,
            reread: *reread,
            aftercare: aftercare.clone(),
            hurry: hurry.clone(),
            fleet: fleet.clone(),
        }
    }
}

/// A [`Check`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SentCheck {
    /// The plan.
    pub plan: SentPlan,
    /// What is copied.
    pub targets: Vec<Option<TreePath>>,
    /// Where commands run.
    pub at: Option<TreePath>,
    /// Which.
    pub commands: Vec<Vec<String>>,
}

impl SentCheck {
    /// As it is sent.
    pub fn of(check: &Check<'_>) -> Self {
        let Check { plan, targets, at, commands } = check;
        let (targets, at, commands) = (targets.clone(), at.clone(), commands.clone());
        Self { plan: SentPlan::of(plan), targets, at, commands }
    }
}

/// A [`Generation`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SentGeneration {
    number: u64,
    actions: Vec<Action>,
    previous: Option<Vec<u8>>,
}

impl From<Generation> for SentGeneration {
    fn from(generation: Generation) -> Self {
        let Generation { number, actions, previous } = generation;
        Self { number, actions, previous: previous.map(|record| record.encode()) }
    }
}

impl SentGeneration {
    /// The generation.
    pub fn into_generation(self) -> Result<Generation, RecordError> {
        let previous = self.previous.map(|bytes| Record::decode(&bytes)).transpose()?;
        Ok(Generation { number: self.number, actions: self.actions, previous })
    }
}
