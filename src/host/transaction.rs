//! One commit from lock to dropped journal, and what is left of one that was cut short.
//!
//! ```text
//! apply   = lock · settle · fence · stage · COMMIT POINT · forward · finish ─► done
//!                                              └ something else came out · mark · undo ─► moved
//! settle  = journal? ─ none ──────────────────► throw an unfinished stage away
//!                    ├ record already new ────► finish
//!                    ├ marked, or a stranger ─► mark · undo
//!                    └ all before or after ───► forward · finish
//! ```
//! Before the commit point an error leaves the tree as it was. After it the switch ends new or old, and
//! if the system does not let it end now, the journal stays and the next run goes on: [`HostError::Pending`].

use std::io;

use super::beneath::Dir;
use super::cache;
use super::check;
use super::finish::finish;
use super::generations::{Generations, remove};
use super::journal::{Direction, Journal, Manifest, marked, may_fail_again, slot};
use super::live::Live;
use super::lock::Lock;
use super::recover::{mend_all, stranger};
use super::refresh::refresh;
use super::stage::{Halt, stage};
use super::state::{Ground, Owner, failed, name, read, read_record};
use super::switch::{Start, forward};
use super::undo::undo;
use super::{Applied, Blobs, Commit, EditId, HostError, Recovery, lines};
use crate::model::path::STATE_DIR;
use crate::model::record::{Record, RecordError};
use crate::model::{Content, HostPath, RecordDigest};

/// Carries out a plan.
pub fn apply(at: &HostPath, commit: &Commit<'_>, blobs: &dyn Blobs) -> Result<Applied, HostError> {
    let plan = commit.plan;
    let owner = Owner { fleet: &plan.next.fleet, deployment: &plan.next.deployment, root: at };
    owner.check(&plan.next)?;
    let fence = |found: Option<&(Record, RecordDigest)>| {
        let generation = found.map_or(0, |(record, _)| record.generation);
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
            fence(read_record(&state, owner)?.as_ref())?;
            return Ok(Applied::Done { generation: plan.generation, saved: Vec::new(), said: Vec::new() });
        }
    }
    let ground = open_or_make(at)?;
    let state = state_or_make(&ground)?;
    let _lock = Lock::take(&state, at)?;
    settle(&ground, &state, owner)?;
    let old = read_record(&state, owner)?;
    fence(old.as_ref())?;
    let old = old.map(|(record, _)| record);
    if let Some(old) = &old {
        let _next_time = catch_up(&ground, &state, old).is_err();
    }
    let manifest = match stage(&ground, &state, old.as_ref(), commit, blobs) {
        Ok(manifest) => manifest,
        Err(halt) => {
            remove(&state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))?;
            return match halt {
                Halt::Moved { path, found } => Ok(Applied::Moved { path, found }),
                Halt::Failed(error) => Err(with_space(error, &ground, commit, blobs)),
            };
        }
    };
    let slots = state.dir(name::STAGE).map_err(failed("open", ".packfleet/stage"))?;
    commit_point(&state, &slots)?;
    let pending = pending(manifest.generation);
    let mut live = Live::new(&ground);
    match forward(&mut live, &slots, &manifest, Start::Fresh) {
        Ok(()) => {
            let saved = end(&mut live, &state, &slots, &manifest).map_err(&pending)?;
            let _costs_time_only = refresh(&ground, &state, commit, manifest.record).is_err();
            Ok(Applied::Done { generation: manifest.generation, saved, said: Vec::new() })
        }
        Err(Halt::Moved { path, found }) => {
            back(&mut live, &state, &slots, &manifest, Direction::Forward).map_err(&pending)?;
            Ok(Applied::Moved { path, found })
        }
        Err(Halt::Failed(error @ HostError::Unfit { .. })) => {
            back(&mut live, &state, &slots, &manifest, Direction::Forward).map_err(&pending)?;
            Err(error)
        }
        Err(Halt::Failed(error)) => {
            let _counted_next_time = may_fail_again(&slots).is_err();
            Err(pending(error))
        }
    }
}

/// Settles what an interrupted switch left; writes nothing where there is nothing to settle.
pub fn recover(at: &HostPath, owner: Owner<'_>) -> Result<Recovery, HostError> {
    let Some(ground) = Ground::open(at)? else { return Ok(Recovery::Nothing) };
    let Some(state) = ground.state()? else { return Ok(Recovery::Nothing) };
    let mut anything = false;
    for left in [name::JOURNAL, name::STAGE, cache::SCRATCH] {
        anything |= state.stat(left).map_err(failed("look at", format!(".packfleet/{left}")))?.is_some();
    }
    if !anything {
        return Ok(Recovery::Nothing);
    }
    let _lock = Lock::take(&state, at)?;
    settle(&ground, &state, owner)
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

fn settle(ground: &Ground, state: &Dir, owner: Owner<'_>) -> Result<Recovery, HostError> {
    let record = read_record(state, owner)?;
    let Some(journal) = Journal::load(state, &ground.at)? else {
        remove(state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))?;
        check::clear(&ground.at).map_err(failed("remove", ".packfleet/check"))?;
        match state.unlink(cache::SCRATCH) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(failed("remove", format!(".packfleet/{}", cache::SCRATCH)))?,
        }
        return Ok(Recovery::Nothing);
    };
    let (slots, manifest) = open_switch(ground, state, owner, &journal)?;
    let pending = pending(manifest.generation);
    let mut live = Live::new(ground);
    let new = record.as_ref().is_some_and(|(_, digest)| *digest == manifest.record);
    if !new {
        mend_all(&mut live, &slots, &manifest).map_err(&pending)?;
    }
    let goes_back = || -> Result<bool, HostError> {
        let mut live = Live::new(ground);
        if journal.direction == Direction::Back || stranger(&mut live, &slots, &manifest)?.is_some() {
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
    if !new && goes_back().map_err(&pending)? {
        let saved = back(&mut live, state, &slots, &manifest, journal.direction).map_err(&pending)?;
        return Ok(Recovery::Back { generation: record.map_or(0, |(record, _)| record.generation), saved });
    }
    end(&mut live, state, &slots, &manifest).map_err(&pending)?;
    Ok(Recovery::Forward { generation: manifest.generation, said: Vec::new() })
}

/// The slots and manifest of the switch that the journal names.
fn open_switch(
    ground: &Ground,
    state: &Dir,
    owner: Owner<'_>,
    journal: &Journal,
) -> Result<(Dir, Manifest), HostError> {
    let damaged = |what, source| HostError::Damaged { what, root: ground.at.clone(), source };
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

fn end(live: &mut Live<'_>, state: &Dir, slots: &Dir, manifest: &Manifest) -> Result<Vec<EditId>, HostError> {
    let saved = finish(live, state, slots, manifest)?;
    drop_journal(state)?;
    Ok(saved)
}

fn back(
    live: &mut Live<'_>,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
    direction: Direction,
) -> Result<Vec<EditId>, HostError> {
    if direction == Direction::Forward {
        let marked = marked(slots)
            .and_then(|undo| slots.replace(undo, state, name::JOURNAL))
            .and_then(|()| state.sync());
        marked.map_err(failed("mark", ".packfleet/journal"))?;
    }
    let saved = undo(live, state, slots, manifest)?;
    drop_journal(state)?;
    remove(state, name::STAGE, 4).map_err(failed("remove", ".packfleet/stage"))?;
    Ok(saved)
}

fn drop_journal(state: &Dir) -> Result<(), HostError> {
    let dropped = state.unlink(name::JOURNAL).and_then(|()| state.sync());
    dropped.map_err(failed("drop", ".packfleet/journal"))
}

/// The error of a switch that is past its commit point.
fn pending(generation: u64) -> impl Fn(HostError) -> HostError {
    move |error| {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        HostError::Pending { generation, why }
    }
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
    std::fs::create_dir_all(at.as_str()).map_err(failed("make", at.as_str()))?;
    // Its name must be as durable as what is in it, and so must those above that were made for it.
    for above in std::path::Path::new(at.as_str()).ancestors().skip(1) {
        let synced = std::fs::File::open(above).and_then(|dir| dir.sync_all());
        if synced.is_err() {
            break;
        }
    }
    let gone = || HostError::Root { root: at.clone(), why: "it was made and is gone again".into() };
    Ground::open(at)?.ok_or_else(gone)
}

pub(super) fn state_or_make(ground: &Ground) -> Result<Dir, HostError> {
    if let Some(state) = ground.state()? {
        return Ok(state);
    }
    match ground.root.make_dir(STATE_DIR) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made.map_err(failed("make", STATE_DIR))?;
            ground.root.sync().map_err(failed("sync", ground.at.as_str()))?;
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
    let bytes: usize = puts.iter().filter_map(|put| blobs.bytes(put.content).ok()).map(|b| b.len()).sum();
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
