//! The watch over a generation that is committed, and the way back from it.
//!
//! ```text
//! watch ─ well to its end, and somebody is there ─► done
//!   └ ill, or nobody is there any more ─► a rollback plan of that generation, carried out here · restart · look
//! ```
//! The plan is the one that a person's rollback would get, with one difference: an edit made meanwhile that
//! cannot be merged stays where it is and holds nothing, since nobody is there to decide and what stands is
//! ill. Everything needed lies on the host, so the controller may be gone. Host-owned paths are not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use jiff::Timestamp;

use super::cache::StatCache;
use super::generations::Generations;
use super::journal::Manifest;
use super::scan::{Looked, Scan};
use super::state::read_packed;
use super::tend::Tend;
use super::transaction::{Carried, Round, carry};
use super::{
    Applied, Back, BlobError, Blobs, Commit, EditId, Evidence, Health, Host, HostError, LocalHost, Recovery,
    Reread, Sink, TakenBack, Verdict, version_file,
};
use crate::model::care::{Aftercare, Unit};
use crate::model::cause::in_one_line;
use crate::model::desired::{Desired, DesiredPack, Resolution};
use crate::model::plan::{Action, Conflict, Plan, Purpose};
use crate::model::record::Record;
use crate::model::{Content, PackName, TreePath};
use crate::plan::drift::{Adapted, Judged};
use crate::plan::host_keys::{self, Keys};
use crate::plan::merging;
use crate::plan::rejection::rejections;
use crate::plan::rollback::{Conflicts, Reader, Undo, rollback};
use crate::plan::verdict::MergeAnswer;

/// How often going back is planned anew because the tree moved.
const TRIES: u32 = 3;

/// Watches a generation to the end.
pub(super) fn watch(
    round: &Round<'_>,
    generation: u64,
    mut tend: Tend<'_>,
    saved: Vec<EditId>,
    blobs: Option<&dyn Blobs>,
) -> Result<Applied, HostError> {
    let purpose = manifest_of(round, generation).map(|manifest| manifest.purpose);
    let undoable = matches!(purpose, Some(Purpose::Sync | Purpose::RestoreEdit));
    let (evidence, reject) = match tend.watch() {
        Ok(()) if !undoable || (round.attended)() => {
            round.note(generation, Verdict::Healthy, &[], &tend);
            return Ok(Applied::Done { generation, saved, said: tend.said });
        }
        Ok(()) => (Evidence::alone(), Reject::Nothing),
        Err(evidence) if !undoable => {
            round.note(generation, Verdict::Ill, std::slice::from_ref(&evidence), &tend);
            let why = "what a person went back to is not taken back by itself".to_owned();
            let (said, evidence, back) = (tend.said, vec![evidence], Back::Stuck { why });
            return Ok(Applied::Ill(Box::new(TakenBack { tried: generation, said, evidence, back, saved })));
        }
        Err(evidence) => (evidence, Reject::Change),
    };
    let mut taken = retreat(round, tend, vec![evidence], reject, blobs)?;
    taken.saved.splice(0..0, saved);
    Ok(Applied::Ill(Box::new(taken)))
}

/// Whether the change may come back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reject {
    /// It was found ill: it may not.
    Change,
    /// Nothing was found against it: it is tried again.
    Nothing,
}

/// Goes on with what a run that died left open; `None` if that is nothing.
pub(super) fn resumed(round: &Round<'_>) -> Result<Option<Recovery>, HostError> {
    let Some(note) = Health::load(round.state)?.filter(Health::is_open) else { return Ok(None) };
    let Some(record) = round.record()? else { return Ok(None) };
    let stands = note.generation == record.generation;
    let ground = round.ground;
    match note.verdict {
        Verdict::Watching if stands => {
            let tasks = round.care.tasks(&actions_of(round, note.generation));
            let stopped = note.is_of_an_earlier_start();
            let mut tend = Tend::new(ground, tasks, Timestamp::now(), Some(note.marks));
            // What the machine did not start by itself is no fault of the change.
            let looked = if stopped { tend.again() } else { tend.quick() };
            let applied = match looked {
                Ok(()) => {
                    round.note(note.generation, Verdict::Watching, &[], &tend);
                    watch(round, note.generation, tend, Vec::new(), None)?
                }
                Err(evidence) => {
                    let taken = retreat(round, tend, vec![evidence], Reject::Change, None)?;
                    Applied::Ill(Box::new(taken))
                }
            };
            Ok(Some(match applied {
                Applied::Ill(taken) => Recovery::Ill(taken),
                Applied::Done { generation, said, .. } => Recovery::Forward { generation, said },
                Applied::Moved { .. } => Recovery::Nothing,
            }))
        }
        Verdict::GoingBack if stands => {
            let tend = Tend::new(ground, Default::default(), Timestamp::now(), Some(note.marks));
            let taken = retreat(round, tend, note.evidence, Reject::Change, None)?;
            Ok(Some(Recovery::Ill(Box::new(taken))))
        }
        Verdict::GoingBack if is_way_back(round, &note, record.generation) => {
            let actions = actions_of(round, note.generation);
            let back = gone_back(round, &actions, &BTreeSet::new(), &note.evidence)?;
            let (tried, evidence) = (note.generation, note.evidence);
            let taken = TakenBack { tried, said: Vec::new(), evidence, back, saved: Vec::new() };
            Ok(Some(Recovery::Ill(Box::new(taken))))
        }
        _ => {
            // Something else was committed since, or it was ill to the end: what stands is looked at.
            let tasks = round.care.look(|pack| record.packs.contains_key(pack));
            let mut tend = Tend::new(ground, tasks, Timestamp::now(), None);
            let still = tend.quick().and_then(|()| tend.watch()).err();
            let verdict = if still.is_some() { Verdict::Ill } else { Verdict::Healthy };
            let evidence: Vec<Evidence> = still.into_iter().collect();
            if note.verdict != verdict || note.evidence != evidence {
                round.note(record.generation, verdict, &evidence, &tend);
            }
            Ok(None)
        }
    }
}

/// Whether a generation is the rollback of the one that the note found ill.
pub(super) fn is_way_back(round: &Round<'_>, note: &Health, generation: u64) -> bool {
    let to = note.generation.checked_sub(1).map(|to| Purpose::Rollback { to });
    let next = note.verdict == Verdict::GoingBack && note.generation + 1 == generation;
    next && manifest_of(round, generation).map(|manifest| manifest.purpose) == to
}

pub(super) fn manifest_of(round: &Round<'_>, generation: u64) -> Option<Manifest> {
    let slots = Generations::open(round.state).ok().flatten()?.slots(generation).ok()?;
    Generations::manifest(&slots)
}

fn actions_of(round: &Round<'_>, generation: u64) -> Vec<Action> {
    manifest_of(round, generation).map(|manifest| manifest.actions).unwrap_or_default()
}

/// Packs that did not pass; none if that is not known.
pub(super) fn at_fault(evidence: &[Evidence]) -> BTreeSet<PackName> {
    let packs: Option<BTreeSet<PackName>> = evidence.iter().map(|evidence| evidence.pack.clone()).collect();
    packs.unwrap_or_default()
}

/// Rolls the newest generation back, restarts what runs there, and looks whether that is well.
pub(super) fn retreat(
    round: &Round<'_>,
    tend: Tend<'_>,
    evidence: Vec<Evidence>,
    reject: Reject,
    blobs: Option<&dyn Blobs>,
) -> Result<TakenBack, HostError> {
    let record = round.record()?;
    let tried = record.as_ref().map_or(0, |record| record.generation);
    round.note(tried, Verdict::GoingBack, &evidence, &tend);
    let up = tend.up();
    let actions = actions_of(round, tried);
    let (back, saved) = match roll_back(round, &evidence, reject, blobs) {
        Ok(saved) => (gone_back(round, &actions, &up, &evidence)?, saved),
        Err(Stuck::Held(why)) => {
            round.note(tried, Verdict::Ill, &evidence, &tend);
            (Back::Stuck { why }, Vec::new())
        }
        // The note stays: the next run tries again.
        Err(Stuck::Failed(error)) => (Back::Stuck { why: in_one_line(&error) }, Vec::new()),
    };
    Ok(TakenBack { tried, said: tend.said, evidence, back, saved })
}

/// Why a generation was not rolled back.
enum Stuck {
    /// Something is in the way.
    Held(String),
    /// An error.
    Failed(HostError),
}

impl From<HostError> for Stuck {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

/// Plans and carries out the rollback of the newest generation.
fn roll_back(
    round: &Round<'_>,
    evidence: &[Evidence],
    reject: Reject,
    blobs: Option<&dyn Blobs>,
) -> Result<Vec<EditId>, Stuck> {
    let mut moved = String::new();
    for _ in 0..TRIES {
        let Some(record) = round.record()? else {
            return Err(Stuck::Held("there is no record to go back from".to_owned()));
        };
        let (plan, made) = plan_back(round, &record, evidence, reject, blobs)?;
        if let Some(hold) = plan.holds.first() {
            let path = hold.path.as_ref().map_or_else(String::new, |path| format!(" at {path}"));
            return Err(Stuck::Held(format!("{:?}{path} is in the way", hold.cause)));
        }
        if !plan.commits {
            return Ok(Vec::new());
        }
        let found = Found { host: LocalHost::open(round.ground.at.clone()), made, blobs };
        let Aftercare { version_file, sync_log, location, keep_generations, .. } = round.care;
        let version_file = version_file.as_ref().and_then(|path| {
            let bytes = super::local::read_small(round.ground, path).ok()?;
            // One that is no JSON object is somebody else's by now.
            let map = version_file::parse(bytes.as_deref()).ok()?;
            let new = version_file::render(map, location.as_deref(), &plan, round.now);
            Some(((path.clone(), new), bytes.map(|bytes| Content::of(&bytes))))
        });
        let (version_file, version_from) = version_file.unzip();
        let line = |path: &TreePath| (path.clone(), version_file::log_line(&plan, round.now));
        let commit = Commit {
            plan: &plan,
            now: round.now,
            begun: round.begun,
            version_file,
            version_from: version_from.flatten(),
            sync_log: sync_log.as_ref().map(line),
            keep_generations: (*keep_generations).max(2),
            reread: Reread::All,
            aftercare: Aftercare::default(),
            hurry: None,
            fleet: None,
        };
        let mut idle = Tend::new(round.ground, Default::default(), Timestamp::now(), None);
        let old = read_packed(round.state, round.owner)?.map(|(packed, _)| packed);
        match carry(round, old.as_ref(), &commit, &found, &mut idle)? {
            Carried::Done { saved, .. } => return Ok(saved),
            Carried::Moved { path, found } => moved = format!("{path} kept changing ({found})"),
            Carried::Ill(_) => {}
        }
    }
    Err(Stuck::Held(moved))
}

/// The rollback plan of the newest generation, and bytes that it makes.
fn plan_back(
    round: &Round<'_>,
    record: &Record,
    evidence: &[Evidence],
    reject: Reject,
    blobs: Option<&dyn Blobs>,
) -> Result<(Plan, BTreeMap<Content, Vec<u8>>), Stuck> {
    let past = Generations::open(round.state)?.map(|all| all.list(record.generation)).unwrap_or_default();
    let Some(newest) = past.first() else {
        return Err(Stuck::Held("what came out of its generation is not kept".to_owned()));
    };
    let empty = Record::empty(record.fleet.clone(), record.deployment.clone(), record.root.clone());
    let target = newest.previous.clone().unwrap_or(empty);
    let paths = record.entries.keys().chain(target.entries.keys());
    let looked = Looked::new(paths.chain(newest.actions.iter().map(|action| &action.path)));
    let (ours, cache) = (&record.directories, StatCache::default());
    let actual = Scan { ground: round.ground, looked: &looked, ours, cache: &cache }.run();
    // What fleet.toml gives is what was tried.
    let given = |(name, recorded): (&PackName, &crate::model::record::RecordedPack)| {
        let pack = DesiredPack { recorded: recorded.clone(), entries: Default::default() };
        (name.clone(), Resolution::Pinned(Box::new(pack)))
    };
    let given = Desired { packs: record.packs.iter().map(given).collect() };
    let later = [newest.actions.clone()];
    let undo = Undo {
        policies: &round.care.policies,
        conflicts: Conflicts::Leave,
        record,
        digest: Some(record.digest()),
        later: &later,
        to: newest.number - 1,
        target: &target,
        actual: &actual,
        given: &given,
        only: None,
    };
    let keys = host_keys::owned(target.packs.values().chain(record.packs.values()));
    let host = LocalHost::open(round.ground.at.clone());
    let mut found = Bytes { keys, found: Found { host, made: BTreeMap::new(), blobs } };
    let mut plan = rollback(&undo, &mut found);
    // What was rejected before stays so; of this change, what did not pass.
    plan.next.rejected = record.rejected.clone();
    if reject == Reject::Change {
        let before = newest.previous.as_ref();
        plan.next.rejected.extend(rejections(before, record, &newest.actions, &at_fault(evidence)));
    }
    plan.commits |= plan.next.rejected != record.rejected;
    Ok((plan, found.found.made))
}

/// Runs and looks after a change was taken back, and notes how what stands fares.
pub(super) fn gone_back(
    round: &Round<'_>,
    actions: &[Action],
    up: &BTreeSet<Unit>,
    evidence: &[Evidence],
) -> Result<Back, HostError> {
    let record = round.record()?;
    let present = |pack: &PackName| record.as_ref().is_some_and(|record| record.packs.contains_key(pack));
    let tasks = round.care.going_back(actions, up, present);
    let mut tend = Tend::new(round.ground, tasks, Timestamp::now(), None);
    // Where nothing was found ill it only has to run again.
    let watch = |tend: &mut Tend<'_>| if evidence.is_empty() { Ok(()) } else { tend.watch() };
    let still = tend.stop().and_then(|()| tend.begin()).and_then(|()| watch(&mut tend)).err();
    let generation = record.as_ref().map_or(0, |record| record.generation);
    match &still {
        Some(still) => round.note(generation, Verdict::Ill, std::slice::from_ref(still), &tend),
        None if evidence.is_empty() => {}
        None => round.note(generation, Verdict::TakenBack, evidence, &tend),
    }
    let edited = |action: &&Action| {
        let recorded = record.as_ref().and_then(|record| record.entries.get(&action.path));
        recorded.is_some_and(|recorded| recorded.written != recorded.base)
    };
    let edits = actions.iter().filter(edited).map(|action| action.path.clone()).collect();
    Ok(Back::Done { generation, said: tend.said, still: still.into_iter().collect(), edits })
}

/// Bytes that lie on the host, were made here, or came with the change.
struct Found<'a> {
    host: LocalHost,
    made: BTreeMap<Content, Vec<u8>>,
    blobs: Option<&'a dyn Blobs>,
}

impl Found<'_> {
    fn find(&self, content: Content) -> Option<Vec<u8>> {
        let kept = || self.host.kept(content).ok().flatten();
        let came = || self.blobs.and_then(|blobs| blobs.bytes(content).ok());
        self.made.get(&content).cloned().or_else(kept).or_else(came)
    }
}

impl Blobs for Found<'_> {
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        let why = "the host does not have them".to_owned();
        self.find(content).ok_or(BlobError { content, why })
    }

    fn copy(&self, content: Content, to: &mut Sink<'_>) -> Result<(), BlobError> {
        if !self.made.contains_key(&content) {
            if matches!(self.host.copy_kept(content, to), Ok(true)) && to.holds(content) {
                return Ok(());
            }
            if !to.again() {
                return Err(BlobError { content, why: "they cannot be written".to_owned() });
            }
        }
        let bytes = self.bytes(content)?;
        to.write_all(&bytes).map_err(|error| BlobError { content, why: error.to_string() })
    }
}

/// What merging needs.
struct Bytes<'a> {
    keys: Keys,
    found: Found<'a>,
}

impl Bytes<'_> {
    fn find(&self, path: &TreePath, content: Content) -> Option<Vec<u8>> {
        self.found.find(content).or_else(|| self.found.host.read(path, content).ok())
    }
}

impl Reader for Bytes<'_> {
    fn merge(&mut self, path: &TreePath, base: Content, actual: Content, desired: Content) -> MergeAnswer {
        let sides = [base, actual, desired].map(|content| self.find(path, content));
        let [Some(base), Some(actual), Some(desired)] = sides else {
            return MergeAnswer::Conflict(Conflict::NoBase);
        };
        let (answer, bytes) = merging::merge(path, &base, &actual, &desired);
        self.found.made.extend(bytes.map(|bytes| (Content::of(&bytes), bytes)));
        answer
    }

    fn adapt(&mut self, path: &TreePath, judged: &Judged) -> Option<Adapted> {
        let (format, pointers) = self.keys.get(path)?;
        let (adapted, sides) =
            host_keys::one(judged, *format, pointers, &|content, _| self.find(path, content))?;
        self.found.made.extend(sides.into_iter().map(|side| (side.content, side.bytes)));
        Some(adapted)
    }
}
