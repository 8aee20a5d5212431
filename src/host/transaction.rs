//! One commit from lock to dropped journal, and what is left of one that was cut short.
//!
//! ```text
//! apply   = lock · settle · fence · stage · COMMIT POINT · stop · forward · record · restart, look · close ─► watch
//!                                              └ something else came out, or it is ill · mark · undo ─► moved, ill
//! settle  = journal? ─ none ──────────────────► throw an unfinished stage away
//!                    ├ marked, or a stranger ─► mark · undo
//!                    ├ record already new ────► restart, look unless that was done · close
//!                    └ all before or after ───► stop · forward · record · restart, look · close
//! ```
//! Before the commit point an error leaves the tree as it was. After it the switch ends new or old, and
//! if the system does not let it end now, the journal stays and the next run goes on: [`HostError::Pending`].

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use jiff::Timestamp;

use super::beneath::Dir;
use super::cache;
use super::check;
use super::finish::{close, install, uninstall};
use super::generations::{Generations, remove};
use super::health::this_start;
use super::journal::{Direction, Journal, Manifest, marked, may_fail_again, slot};
use super::live::Live;
use super::lock::Lock;
use super::recover::{mend_all, stranger};
use super::refresh::refresh;
use super::retreat::{at_fault, gone_back, resumed, watch};
use super::soaking::{is_well, looked};
use super::stage::{Halt, stage};
use super::state::{Ground, Owner, failed, name, read, read_about, read_packed, read_record};
use super::switch::{Start, forward};
use super::tend::Tend;
use super::undo::{Why, undo};
use super::{
    Applied, Back, Blobs, Commit, EditId, Evidence, Health, HostError, Recovery, Resume, TakenBack, Verdict,
    Watch, by_now, lines,
};
use crate::model::care::{Aftercare, Tasks, Unit};
use crate::model::cause::in_one_line;
use crate::model::packed::Packed;
use crate::model::path::STATE_DIR;
use crate::model::plan::Purpose;
use crate::model::record::{Record, RecordError};
use crate::model::{Content, HostPath, RecordDigest, TreePath};

/// Carries out a plan.
pub fn apply(
    at: &HostPath,
    commit: &Commit<'_>,
    blobs: &dyn Blobs,
    attended: &dyn Fn() -> bool,
) -> Result<Applied, HostError> {
    let plan = commit.plan;
    let owner = Owner { fleet: &plan.next.fleet, deployment: &plan.next.deployment, root: at };
    owner.check(&plan.next)?;
    let fence = |found: Option<&(Packed<'_>, RecordDigest)>| {
        let generation = found.map_or(0, |(record, _)| record.about().generation);
        if generation == plan.generation && found.map(|(_, digest)| *digest) == plan.record {
            return Ok(());
        }
        Err(HostError::Stale { root: at.clone(), planned: plan.generation, found: generation })
    };
    if !plan.commits || plan.record.is_some() {
        // Nothing is made where there is nothing to do, or not what the plan knows.
        let state = Ground::open(at)?.map(|ground| ground.state()).transpose()?.flatten();
        let Some(state) = state else {
            fence(None)?;
            return Ok(Applied::Done { generation: 0, saved: Vec::new(), said: Vec::new() });
        };
        if !plan.commits {
            fence(read_packed(&state, owner)?.as_ref())?;
            return Ok(Applied::Done { generation: plan.generation, saved: Vec::new(), said: Vec::new() });
        }
    }
    let ground = open_or_make(at)?;
    let state = state_or_make(&ground)?;
    let _lock = Lock::take(&state, at)?;
    let (care, now, begun) = (&commit.aftercare, commit.now, commit.begun);
    let round = Round { ground: &ground, state: &state, owner, care, now, begun, attended };
    settle(&round)?;
    let old = read_packed(&state, owner)?;
    fence(old.as_ref())?;
    let old = old.map(|(record, _)| record);
    let tasks = commit.aftercare.tasks(&plan.actions);
    let mut tend = Tend::new(&ground, tasks, Timestamp::now(), None);
    tend.marked()?;
    match carry(&round, old.as_ref(), commit, blobs, &mut tend)? {
        Carried::Done { saved, ill: None } if tend.tasks().is_watched() => {
            blobs.watched();
            watch(&round, plan.next.generation, tend, saved, Some(blobs))
        }
        Carried::Done { saved, ill: None } => {
            Ok(Applied::Done { generation: plan.next.generation, saved, said: tend.said })
        }
        Carried::Done { saved, ill: Some(evidence) } => {
            let why = format!("a {} is not taken back by itself", plan.purpose);
            let back = Back::Stuck { why };
            let tried = plan.next.generation;
            Ok(Applied::Ill(Box::new(TakenBack {
                tried,
                said: tend.said,
                evidence: vec![evidence],
                back,
                saved,
            })))
        }
        Carried::Ill(taken) => Ok(Applied::Ill(taken)),
        Carried::Moved { path, found } => Ok(Applied::Moved { path, found }),
    }
}

/// All that one run under the lock needs.
pub(super) struct Round<'a> {
    pub ground: &'a Ground,
    pub state: &'a Dir,
    pub owner: Owner<'a>,
    pub care: &'a Aftercare,
    pub now: Timestamp,
    /// When it was that, if time passes.
    pub begun: Option<Instant>,
    /// Whether somebody is still there to be told.
    pub attended: &'a dyn Fn() -> bool,
}

impl Round<'_> {
    /// The record that stands.
    pub fn record(&self) -> Result<Option<Record>, HostError> {
        Ok(read_record(self.state, self.owner)?.map(|(record, _)| record))
    }

    /// What time it is by now.
    pub fn by_now(&self) -> Timestamp {
        by_now(self.now, self.begun)
    }

    /// Notes the last word on health. That it cannot be written is no reason to stop.
    pub fn note(&self, generation: u64, verdict: Verdict, evidence: &[Evidence], tend: &Tend<'_>) {
        let (evidence, marks) = (evidence.to_vec(), tend.marks.clone());
        let note = Health { generation, verdict, since: self.now, evidence, marks, boot: this_start() };
        self.soak(&note);
        if let Err(error) = note.store(self.state) {
            tracing::warn!(%error, root = %self.ground.at, "the state of health cannot be noted");
        }
    }
}

/// How carrying out a commit ended.
pub(super) enum Carried {
    /// Committed; ill, but of a kind that is not taken back.
    Done { saved: Vec<EditId>, ill: Option<Evidence> },
    /// Found ill and taken back.
    Ill(Box<TakenBack>),
    /// The tree moved; taken back.
    Moved { path: TreePath, found: String },
}

/// One commit under the lock, from stage to dropped journal; without the watch.
pub(super) fn carry(
    round: &Round<'_>,
    old: Option<&Packed<'_>>,
    commit: &Commit<'_>,
    blobs: &dyn Blobs,
    tend: &mut Tend<'_>,
) -> Result<Carried, HostError> {
    let (ground, state) = (round.ground, round.state);
    if let Some(old) = old {
        let _next_time = catch_up(ground, state, old.about()).is_err();
    }
    let manifest = match stage(ground, state, old, commit, blobs) {
        Ok(manifest) => manifest,
        Err(halt) => {
            remove(state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))?;
            return match halt {
                Halt::Moved { path, found } => Ok(Carried::Moved { path, found }),
                Halt::Failed(error) => Err(with_space(error, ground, commit, blobs)),
            };
        }
    };
    let slots = state.dir(name::STAGE).map_err(failed("open", ".packfleet/stage"))?;
    let up = tend.up();
    commit_point(state, &slots)?;
    let pending = pending(manifest.generation);
    let mut live = Live::new(ground);
    let mut switch = Switch { live: &mut live, slots: &slots, manifest: &manifest };
    let direction = Direction::Forward;
    if let Err(evidence) = tend.stop() {
        return take_back(round, &mut switch, direction, vec![evidence], tend, &up)
            .map(|taken| Carried::Ill(Box::new(taken)))
            .map_err(pending);
    }
    match forward(switch.live, &slots, &manifest, Start::Fresh) {
        Ok(()) => match end(round, &mut switch, tend).map_err(&pending)? {
            End::Done { saved, ill } => {
                round.soak_after(old.map(Packed::about), &commit.plan.next, ill.as_ref());
                let _costs_time_only = refresh(ground, state, commit, manifest.record).is_err();
                Ok(Carried::Done { saved, ill })
            }
            End::Ill(evidence) => {
                let taken = take_back(round, &mut switch, direction, vec![evidence], tend, &up);
                taken.map(|taken| Carried::Ill(Box::new(taken))).map_err(pending)
            }
        },
        Err(Halt::Moved { path, found }) => {
            back(round, &mut switch, direction, &Why::Moved).map_err(&pending)?;
            if !tend.tasks().stops.is_empty() {
                go_on(round, &manifest, &up).map_err(&pending)?;
            }
            forget(round).map_err(pending)?;
            Ok(Carried::Moved { path, found })
        }
        Err(Halt::Failed(error @ HostError::Unfit { .. })) => {
            back(round, &mut switch, direction, &Why::Moved).map_err(&pending)?;
            if !tend.tasks().stops.is_empty() {
                go_on(round, &manifest, &up).map_err(&pending)?;
            }
            forget(round).map_err(pending)?;
            Err(error)
        }
        Err(Halt::Failed(error)) => {
            let _counted_next_time = may_fail_again(&slots).is_err();
            Err(pending(error))
        }
    }
}

/// Settles what an interrupted switch left, and watches again a generation whose watcher died; writes nothing
/// where there is nothing to settle.
pub fn recover(
    at: &HostPath,
    owner: Owner<'_>,
    resume: &Resume,
    attended: &dyn Fn() -> bool,
) -> Result<Recovery, HostError> {
    let Some(ground) = Ground::open(at)? else { return Ok(Recovery::Nothing) };
    let Some(state) = ground.state()? else { return Ok(Recovery::Nothing) };
    let is_there = |left: &str| {
        let found = state.stat(left).map_err(failed("look at", format!(".packfleet/{left}")));
        found.map(|found| found.is_some())
    };
    let open = || Ok::<_, HostError>(Health::load(&state)?.is_some_and(|health| health.is_open()));
    let matters = is_there(name::JOURNAL)? || resume.watch != Watch::Leave && open()?;
    let matters = matters || resume.watch == Watch::Soaks && !is_well(&ground, &state, owner, resume)?;
    if !matters && !is_there(name::STAGE)? && !is_there(cache::SCRATCH)? {
        return Ok(Recovery::Nothing);
    }
    let _lock = match Lock::take(&state, at) {
        // What lies there is that of the run that has the lock.
        Err(HostError::Locked { .. }) if !matters => return Ok(Recovery::Nothing),
        lock => lock?,
    };
    let care = &resume.aftercare;
    let round = Round { ground: &ground, state: &state, owner, care, now: resume.now, begun: None, attended };
    let settled = settle(&round)?;
    match (resume.watch, &settled) {
        (Watch::Leave, _) | (_, Recovery::Ill(_)) => Ok(settled),
        (Watch::Anew, _) => Ok(resumed(&round)?.unwrap_or(settled)),
        (Watch::Soaks, _) => match resumed(&round)? {
            Some(recovery) => Ok(recovery),
            None => Ok(looked(&round)?.unwrap_or(settled)),
        },
    }
}

/// Takes the lock of a state directory that exists, settles, and does one more thing.
pub fn locked<T>(
    at: &HostPath,
    state: &Dir,
    then: impl FnOnce() -> Result<T, HostError>,
) -> Result<T, HostError> {
    let _lock = Lock::take(state, at)?;
    then()
}

fn settle(round: &Round<'_>) -> Result<Recovery, HostError> {
    let Round { ground, state, owner, .. } = *round;
    let Some(journal) = Journal::load(state, &ground.at)? else {
        // Whose it is must be known before anything of it is removed.
        if read_about(state, owner)?.is_none() {
            read_packed(state, owner)?;
        }
        remove(state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))?;
        check::clear(state).map_err(failed("remove", ".packfleet/check"))?;
        match state.unlink(cache::SCRATCH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(failed("remove", format!(".packfleet/{}", cache::SCRATCH)))?,
        }
        return Ok(Recovery::Nothing);
    };
    let record = read_packed(state, owner)?;
    let (slots, manifest) = open_switch(ground, state, owner, &journal)?;
    let pending = pending(manifest.generation);
    let mut live = Live::new(ground);
    let mut switch = Switch { live: &mut live, slots: &slots, manifest: &manifest };
    let note = Health::load(state).map_err(&pending)?;
    // On the way back from a change that was found ill everything is run and looked at when it is over.
    let is_way_back = note.as_ref().is_some_and(|note| {
        note.verdict == Verdict::GoingBack
            && note.generation + 1 == journal.generation
            && matches!(manifest.purpose, Purpose::Rollback { .. })
    });
    let note = note.filter(|note| note.generation == journal.generation);
    let marks = note.as_ref().map(|note| note.marks.clone());
    let tasks = if is_way_back { Tasks::default() } else { round.care.tasks(&manifest.actions) };
    let mut tend = Tend::new(ground, tasks, Timestamp::now(), marks);
    let up = tend.up();
    let new = record.as_ref().is_some_and(|(_, digest)| *digest == manifest.record);
    if !new {
        mend_all(switch.live, &slots, &manifest).map_err(&pending)?;
    }
    let mut goes_back = || -> Result<bool, HostError> {
        let mut live = Live::new(ground);
        if stranger(&mut live, &slots, &manifest)?.is_some() || tend.stop().is_err() {
            return Ok(true);
        }
        match forward(&mut live, &slots, &manifest, Start::Again) {
            Ok(()) => Ok(false),
            Err(Halt::Moved { .. } | Halt::Failed(HostError::Unfit { .. })) => Ok(true),
            // The third failure is the last: whatever is wrong, it does not go away.
            Err(Halt::Failed(error)) => match may_fail_again(&slots) {
                Ok(false) => Ok(true),
                Ok(true) | Err(_) => Err(error),
            },
        }
    };
    let marked = journal.direction == Direction::Back;
    if let Some(note) = note.filter(|note| marked && note.verdict == Verdict::GoingBack) {
        let taken = take_back(round, &mut switch, journal.direction, note.evidence, &tend, &up);
        return taken.map(|taken| Recovery::Ill(Box::new(taken))).map_err(pending);
    }
    if marked || !new && goes_back().map_err(&pending)? {
        let saved = back(round, &mut switch, journal.direction, &Why::Moved).map_err(&pending)?;
        go_on(round, &manifest, &up).map_err(&pending)?;
        forget(round).map_err(pending)?;
        return Ok(Recovery::Back {
            generation: round.record()?.map_or(0, |record| record.generation),
            saved,
        });
    }
    match end(round, &mut switch, &mut tend).map_err(&pending)? {
        End::Done { .. } => Ok(Recovery::Forward { generation: manifest.generation, said: tend.said }),
        End::Ill(evidence) => {
            let taken = take_back(round, &mut switch, Direction::Forward, vec![evidence], &tend, &up);
            taken.map(|taken| Recovery::Ill(Box::new(taken))).map_err(pending)
        }
    }
}

/// The slots and manifest of the switch that the journal names.
fn open_switch(
    ground: &Ground,
    state: &Dir,
    owner: Owner<'_>,
    journal: &Journal,
) -> Result<(Dir, Manifest), HostError> {
    let damaged = |what: &'static str, source: RecordError| HostError::Damaged {
        what: what.into(),
        root: ground.at.clone(),
        source: source.into(),
    };
    let slots =
        match state.dir(name::STAGE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let generations = Generations::open(state)?;
                let slots = generations.map(|generations| generations.slots(journal.generation));
                slots.transpose().ok().flatten().ok_or_else(|| {
                    damaged("the journal", RecordError::Damaged("what it speaks of is gone"))
                })?
            }
            slots => slots.map_err(failed("open", ".packfleet/stage"))?,
        };
    let reading = |slot: &'static str| {
        let bytes = read(&slots, slot).map_err(failed("read", format!(".packfleet/stage/{slot}")));
        bytes.map(Option::unwrap_or_default)
    };
    let bytes = reading(slot::MANIFEST)?;
    if Content::of(&bytes) != journal.manifest {
        return Err(damaged("the manifest", RecordError::Damaged("it is not the one in the journal")));
    }
    let manifest = Manifest::decode(&bytes).map_err(|source| damaged("the manifest", source))?;
    // Before the first commit only the staged record says whose this is.
    let record = reading(slot::RECORD)?;
    if !record.is_empty() {
        let record = Record::decode(&record).map_err(|source| damaged("the staged record", source))?;
        owner.check(&record)?;
    }
    Ok((slots, manifest))
}

fn commit_point(state: &Dir, slots: &Dir) -> Result<(), HostError> {
    let committing = || failed("write", ".packfleet/journal");
    slots.move_to(slot::JOURNAL, state, name::JOURNAL).map_err(committing())?;
    state.sync().map_err(|error| {
        // What is on the disk is unknown; as nothing was switched, both ways are right. Back is cheaper.
        let _found_by_the_next_run =
            state.unlink(name::JOURNAL).and_then(|()| remove(state, name::STAGE, 4)).is_err();
        committing()(error)
    })
}

/// A switch that is past its commit point.
pub(super) struct Switch<'a, 'g> {
    pub live: &'a mut Live<'g>,
    pub slots: &'a Dir,
    pub manifest: &'a Manifest,
}

/// How the end of a switch went.
enum End {
    /// Committed; ill, but of a kind that is not taken back.
    Done { saved: Vec<EditId>, ill: Option<Evidence> },
    /// Found ill: it is to be taken back.
    Ill(Evidence),
}

/// Ends a switch whose files are all new: record and VERSION, services and quick checks, all that is left.
fn end(round: &Round<'_>, switch: &mut Switch<'_, '_>, tend: &mut Tend<'_>) -> Result<End, HostError> {
    let Switch { live, slots, manifest } = switch;
    install(live, round.state, slots, manifest)?;
    // Without the way back everything was found well before.
    let looking = || failed("look at", ".packfleet/stage/undo");
    let way_back = marked(slots).map_err(looking())?;
    let open = slots.stat(way_back).map_err(looking())?.is_some();
    let mut ill = None;
    if open && !tend.tasks().is_empty() {
        tend.marked()?;
        let begun = tend.begin();
        let stays = !matches!(manifest.purpose, Purpose::Sync | Purpose::RestoreEdit);
        match begun {
            Ok(()) if tend.tasks().is_watched() => {
                round.note(manifest.generation, Verdict::Watching, &[], tend)
            }
            Ok(()) if tend.tasks().checks.is_empty() => {}
            Ok(()) => round.note(manifest.generation, Verdict::Healthy, &[], tend),
            Err(evidence) if stays => {
                round.note(manifest.generation, Verdict::Ill, std::slice::from_ref(&evidence), tend);
                ill = Some(evidence);
            }
            Err(evidence) => return Ok(End::Ill(evidence)),
        }
        let passed = slots.unlink(way_back).and_then(|()| slots.sync());
        passed.map_err(failed("remove", ".packfleet/stage/undo"))?;
    }
    let saved = close(live, round.state, slots, manifest)?;
    drop_journal(round.state)?;
    Ok(End::Done { saved, ill })
}

/// Takes a switch back, whatever of it was done; [`forget`] ends it.
fn back(
    round: &Round<'_>,
    switch: &mut Switch<'_, '_>,
    direction: Direction,
    why: &Why,
) -> Result<Vec<EditId>, HostError> {
    let (state, Switch { live, slots, manifest }) = (round.state, switch);
    if direction == Direction::Forward {
        let marked = marked(slots)
            .and_then(|undo| slots.replace(undo, state, name::JOURNAL))
            .and_then(|()| state.sync());
        marked.map_err(failed("mark", ".packfleet/journal"))?;
    }
    uninstall(live, state, slots, manifest)?;
    undo(live, state, slots, manifest, why)
}

/// A switch that was taken back is over.
fn forget(round: &Round<'_>) -> Result<(), HostError> {
    drop_journal(round.state)?;
    remove(round.state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))
}

/// Takes an ill switch back, restarts what runs there, and looks whether that is well.
fn take_back(
    round: &Round<'_>,
    switch: &mut Switch<'_, '_>,
    direction: Direction,
    evidence: Vec<Evidence>,
    tend: &Tend<'_>,
    up: &BTreeSet<Unit>,
) -> Result<TakenBack, HostError> {
    let tried = switch.manifest.generation;
    if direction == Direction::Forward {
        // Before the mark: whoever finds that must know why.
        round.note(tried, Verdict::GoingBack, &evidence, tend);
    }
    let saved = back(round, switch, direction, &Why::Ill(at_fault(&evidence)))?;
    // As long as the journal is there, whoever comes after a crash restarts and looks again.
    let back = gone_back(round, &switch.manifest.actions, up, &evidence)?;
    forget(round)?;
    Ok(TakenBack { tried, said: tend.said.clone(), evidence, back, saved })
}

/// After a switch that was taken back for another reason than health: what it stopped or changed runs again.
fn go_on(round: &Round<'_>, manifest: &Manifest, up: &BTreeSet<Unit>) -> Result<(), HostError> {
    if round.care.tasks(&manifest.actions).is_empty() {
        return Ok(());
    }
    gone_back(round, &manifest.actions, up, &[]).map(drop)
}

fn drop_journal(state: &Dir) -> Result<(), HostError> {
    let dropped = state.unlink(name::JOURNAL).and_then(|()| state.sync());
    dropped.map_err(failed("drop", ".packfleet/journal"))
}

/// The error of a switch that is past its commit point.
fn pending(generation: u64) -> impl Fn(HostError) -> HostError {
    move |error| HostError::Pending { generation, why: in_one_line(&error) }
}

/// Writes the lines that the last commit could not write.
fn catch_up(ground: &Ground, state: &Dir, record: &Record) -> io::Result<()> {
    let Ok(Some(generations)) = Generations::open(state) else { return Ok(()) };
    let slots = generations.slots(record.generation)?;
    if slots.stat(slot::UNLOGGED)?.is_none() {
        return Ok(());
    }
    match Generations::manifest(&slots) {
        Some(manifest) => lines::write(&mut Live::new(ground), state, &slots, &manifest),
        None => Ok(()),
    }
}

pub(super) fn open_or_make(at: &HostPath) -> Result<Ground, HostError> {
    if let Some(ground) = Ground::open(at)? {
        return Ok(ground);
    }
    let missing = |path: &&Path| path.symlink_metadata().is_err();
    let made: Vec<&Path> = Path::new(at.as_str()).ancestors().take_while(missing).collect();
    std::fs::create_dir_all(at.as_str()).map_err(failed("make", at.as_str()))?;
    // Its name must be as durable as what is in it, and so must those above that were made for it.
    for above in made.iter().filter_map(|made| made.parent()) {
        if let Err(error) = sync_names(above, at) {
            // Or else the next run would find them, and take them for durable.
            let _found_by_the_next_run = made.iter().try_for_each(std::fs::remove_dir).is_err();
            return Err(failed("sync", above.display().to_string())(error));
        }
    }
    let gone = || HostError::Root { root: at.clone(), why: "it was made and is gone again".into() };
    Ground::open(at)?.ok_or_else(gone)
}

/// Makes the names in a directory durable, also in one that may be written to and not read.
fn sync_names(directory: &Path, below: &HostPath) -> io::Result<()> {
    match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(rustix::fs::syncfs(File::open(below.as_str())?)?)
        }
        directory => directory?.sync_all(),
    }
}

pub(super) fn state_or_make(ground: &Ground) -> Result<Dir, HostError> {
    if let Some(state) = ground.state()? {
        return Ok(state);
    }
    match ground.root.make_dir(STATE_DIR) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made.map_err(failed("make", STATE_DIR))?;
            ground.root.sync().map_err(|error| {
                let _found_by_the_next_run = ground.root.remove_dir(STATE_DIR).is_err();
                failed("sync", ground.at.as_str())(error)
            })?;
        }
    }
    let gone = || HostError::State { root: ground.at.clone(), why: "it was made and is gone again".into() };
    ground.state()?.ok_or_else(gone)
}

/// On a full disk: how much is needed, and how much is left.
fn with_space(error: HostError, ground: &Ground, commit: &Commit<'_>, blobs: &dyn Blobs) -> HostError {
    let HostError::Io { operation, path, source } = error else { return error };
    if !matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return HostError::Io { operation, path, source };
    }
    let puts: Vec<_> = commit.plan.actions.iter().filter_map(|action| action.after).collect();
    let bytes: u64 = puts.iter().filter_map(|put| blobs.size(put.content)).sum();
    let (free, inodes) = ground.root.free().unwrap_or_default();
    let path = format!(
        "{path}: the switch needs {} files with {bytes} bytes beside its records; \
         {inodes} files and {free} bytes are free",
        puts.len() + 8
    );
    HostError::Io { operation, path, source }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
