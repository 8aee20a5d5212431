//! Looking at what soaks: while others wait for a host to be well for a while, its checks go on.
//!
//! ```text
//! without the lock, without a write: all noted, all well? ─ yes ─► nothing
//!     └ no ─► under the lock: look again ─ well ─► what was not known to be is noted from now on
//!                                          └ ill ─► the newest change put it? back · else noted as ill
//! ```

use jiff::Timestamp;

use super::beneath::Dir;
use super::retreat::{Reject, at_fault, manifest_of, retreat};
use super::soak::Soak;
use super::state::{Ground, Owner, read_packed};
use super::tend::Tend;
use super::transaction::Round;
use super::{Evidence, Health, HostError, Recovery, Resume, Verdict, lines};
use crate::model::plan::Purpose;
use crate::model::record::Record;

impl Round<'_> {
    /// Notes for how long all has been well, after a word on health.
    pub(super) fn soak(&self, note: &Health) {
        let soak = Soak::load(self.state);
        let next = match note.verdict {
            Verdict::Ill => soak.clone().ill(note.generation, &at_fault(&note.evidence)),
            Verdict::Healthy | Verdict::TakenBack => match self.record() {
                Ok(Some(record)) if soak.is_of(&record) => soak.well(&record, self.now),
                _ => return,
            },
            Verdict::Watching | Verdict::GoingBack => return,
        };
        if next != soak {
            self.keep(&next);
        }
    }

    /// Notes for how long all has been well, after a commit.
    pub(super) fn soak_after(&self, before: Option<&Record>, next: &Record, ill: Option<&Evidence>) {
        let soak = self.noted(before).after(before, next, self.by_now());
        match ill {
            Some(ill) => self.keep(&soak.ill(next.generation, &at_fault(std::slice::from_ref(ill)))),
            None => self.keep(&soak),
        }
    }

    /// What is noted. Where that is not of what stands, because it was lost or somebody died before noting, the history
    /// tells what else was there once.
    fn noted(&self, record: Option<&Record>) -> Soak {
        let soak = Soak::load(self.state);
        if record.is_none_or(|record| soak.is_of(record)) {
            return soak;
        }
        let history = lines::history(self.state).unwrap_or_else(|error| {
            tracing::warn!(%error, root = %self.ground.at, "the history cannot be read");
            Vec::new()
        });
        soak.recalling(history.into_iter().flat_map(|line| line.packs.into_keys()))
    }

    /// Keeps what is noted of soaking. That it cannot be written costs time and nothing more.
    fn keep(&self, soak: &Soak) {
        if let Err(error) = soak.store(self.state) {
            tracing::warn!(%error, root = %self.ground.at, "the begin of a soak cannot be noted");
        }
    }
}

/// Whether what soaks is well, told without the lock and without a write.
pub(super) fn is_well(
    ground: &Ground,
    state: &Dir,
    owner: Owner<'_>,
    resume: &Resume,
) -> Result<bool, HostError> {
    let Some(record) = read_packed(state, owner)?.map(|(record, _)| record.about().clone()) else {
        return Ok(true);
    };
    let tasks = resume.aftercare.glance(|pack| record.packs.contains_key(pack));
    let mut tend = Tend::new(ground, tasks, Timestamp::now(), None);
    Ok(Soak::load(state).is_whole(&record) && tend.quick().and_then(|()| tend.watch()).is_ok())
}

/// Looks at what soaks. Where that is ill the change that put it is taken back, as long as it is the newest.
pub(super) fn looked(round: &Round<'_>) -> Result<Option<Recovery>, HostError> {
    if Health::load(round.state)?.is_some_and(|note| note.is_open()) {
        return Ok(None);
    }
    let Some(record) = round.record()? else { return Ok(None) };
    let tasks = round.care.glance(|pack| record.packs.contains_key(pack));
    let mut tend = Tend::new(round.ground, tasks, Timestamp::now(), None);
    let Err(evidence) = tend.quick().and_then(|()| tend.watch()) else {
        let soak = round.noted(Some(&record));
        let well = soak.well(&record, round.now);
        if well != soak {
            round.keep(&well);
        }
        return Ok(None);
    };
    let put = evidence.pack.as_ref().and_then(|pack| Soak::load(round.state).began(&record, pack));
    let purpose = manifest_of(round, record.generation).map(|manifest| manifest.purpose);
    let undoable = matches!(purpose, Some(Purpose::Sync | Purpose::RestoreEdit));
    if put == Some(record.generation) && undoable {
        let taken = retreat(round, tend, vec![evidence], Reject::Change, None)?;
        return Ok(Some(Recovery::Ill(Box::new(taken))));
    }
    round.note(record.generation, Verdict::Ill, &[evidence], &tend);
    Ok(None)
}
