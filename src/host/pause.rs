//! A pause that somebody asked for: kept on the host, so that no controller can forget it.
//!
//! `pause` in the state directory, JSON. One that cannot be read is an error and not none: somebody did not want
//! anything to be changed. That it was begun or ended is a line of the history.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::beneath::Dir;
use super::lock::Lock;
use super::soak::Soak;
use super::state::{Ground, Keeping, Owner, failed, name, read, read_packed, rewrite};
use super::transaction::{open_or_make, state_or_make};
use super::{HistoryLine, HostError, lines};
use crate::model::plan::Purpose;
use crate::model::rollout::Pause;
use crate::model::{DeploymentName, FleetName, HostPath};

/// The version of the file.
const FORMAT: u32 = 1;

/// What a rollout wants to know of a host, kept there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Since when packs have been well.
    pub soak: Soak,
    /// A pause, over or not.
    pub pause: Option<Pause>,
}

impl Notes {
    /// What is noted.
    pub(super) fn load(state: &Dir) -> Result<Self, HostError> {
        Ok(Self { soak: Soak::load(state), pause: load(state)? })
    }
}

/// A pause to be begun, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pausing {
    /// The fleet that asks.
    pub fleet: FleetName,
    /// The deployment that is meant.
    pub deployment: DeploymentName,
    /// The pause; `None` ends the one there is.
    pub pause: Option<Pause>,
    /// The time that the history will show.
    pub now: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    #[serde(flatten)]
    pause: Pause,
}

fn load(state: &Dir) -> Result<Option<Pause>, HostError> {
    let reading = || failed("read", ".packfleet/pause");
    let Some(bytes) = read(state, name::PAUSE).map_err(reading())? else { return Ok(None) };
    let why = match serde_json::from_slice::<Kept>(&bytes) {
        Ok(kept) if kept.format == FORMAT => return Ok(Some(kept.pause)),
        Ok(kept) => format!("it has format {}, this packfleet reads {FORMAT}", kept.format),
        Err(error) => format!("it is damaged ({error}); `resume` takes it away"),
    };
    Err(reading()(io::Error::new(io::ErrorKind::InvalidData, why)))
}

fn store(state: &Dir, pause: &Pause) -> io::Result<()> {
    let kept = serde_json::to_vec_pretty(&Kept { format: FORMAT, pause: pause.clone() })?;
    rewrite(state, name::NEW_PAUSE, name::PAUSE, &kept, Keeping::Durable)
}

/// Begins or ends a pause, under the lock, durably. Gives what was there before; the end of none is nothing, and one
/// that outlasts the new one stays.
pub fn set(at: &HostPath, pausing: &Pausing) -> Result<Option<Pause>, HostError> {
    let state = match pausing.pause {
        Some(_) => state_or_make(&open_or_make(at)?)?,
        // Where nothing is, nothing is paused, and nothing is made.
        None => match Ground::open(at)?.map(|ground| ground.state()).transpose()?.flatten() {
            Some(state) => state,
            None => return Ok(None),
        },
    };
    let owner = Owner { fleet: &pausing.fleet, deployment: &pausing.deployment, root: at };
    let _lock = Lock::take(&state, at)?;
    let record = read_packed(&state, owner)?.map(|(record, _)| record.about().clone());
    let before = match (load(&state), &pausing.pause) {
        // Whoever gives a word of their own need not know the last one.
        (Err(_), _) => None,
        (Ok(None), None) => return Ok(None),
        (Ok(Some(before)), Some(pause)) if before.outlasts(pause, pausing.now) => return Ok(Some(before)),
        (Ok(before), _) => before,
    };
    let writing = || failed("write", ".packfleet/pause");
    match &pausing.pause {
        Some(pause) => store(&state, pause).map_err(writing())?,
        None => match state.unlink(name::PAUSE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.and_then(|()| state.sync()).map_err(writing())?,
        },
    }
    let line = HistoryLine {
        generation: record.as_ref().map_or(0, |record| record.generation),
        time: pausing.now,
        purpose: if pausing.pause.is_some() { Purpose::Pause } else { Purpose::Resume },
        packs: record.into_iter().flat_map(|record| record.packs).map(|(n, p)| (n, p.pin.version)).collect(),
        created: 0,
        replaced: 0,
        removed: 0,
        held: 0,
        reason: pausing.pause.as_ref().map(|pause| match pause.until {
            Some(until) => format!("{} (until {until})", pause.reason),
            None => pause.reason.clone(),
        }),
        fleet: None,
    };
    let line =
        serde_json::to_string(&line).map_err(|error| failed("write", ".packfleet/history")(error.into()))?;
    lines::add(&state, name::HISTORY, &line).map_err(failed("write", ".packfleet/history"))?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host, LocalHost};

    #[test]
    fn a_pause_outlives_everyone_and_one_that_cannot_be_read_is_not_none() {
        let place = tempfile::tempdir().unwrap();
        let at = HostPath::new(place.path().join("root").to_str().unwrap()).unwrap();
        let pause = |reason: &str| Pause { reason: reason.into(), until: Some(Timestamp::UNIX_EPOCH) };
        let pausing = |pause: Option<Pause>| Pausing {
            fleet: "f".parse().unwrap(),
            deployment: "d".parse().unwrap(),
            pause,
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(set(&at, &pausing(None)).unwrap(), None);
        assert!(!place.path().join("root").exists());
        assert_eq!(set(&at, &pausing(Some(pause("a")))).unwrap(), None);
        assert_eq!(set(&at, &pausing(Some(pause("b")))).unwrap(), Some(pause("a")));
        let state = Dir::root(&format!("{at}/.packfleet")).unwrap();
        assert_eq!(Notes::load(&state).unwrap().pause, Some(pause("b")));
        // The longest wins: a shorter one takes nothing away, and is no line of the history.
        let soon = Pause { until: Some(Timestamp::from_second(-60).unwrap()), ..pause("c") };
        let asked = Pausing { now: Timestamp::from_second(-90).unwrap(), ..pausing(Some(soon)) };
        assert_eq!(set(&at, &asked).unwrap(), Some(pause("b")));
        assert_eq!(Notes::load(&state).unwrap().pause, Some(pause("b")));
        std::fs::write(place.path().join("root/.packfleet/pause"), "{").unwrap();
        assert!(Notes::load(&state).is_err());
        assert_eq!(set(&at, &pausing(None)).unwrap(), None);
        assert_eq!(Notes::load(&state).unwrap().pause, None);
        let history = LocalHost::open(at.clone()).history().unwrap();
        let told: Vec<_> =
            history.iter().map(|line| (line.purpose.to_string(), line.reason.as_deref())).collect();
        let until = |text: &str| format!("{text} (until 1970-01-01T00:00:00Z)");
        let (a, b) = (until("a"), until("b"));
        assert_eq!(
            told,
            [
                ("pause".to_owned(), Some(a.as_str())),
                ("pause".to_owned(), Some(b.as_str())),
                ("resume".to_owned(), None)
            ]
        );
    }
}
