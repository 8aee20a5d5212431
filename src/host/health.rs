//! What is known of a deployment's health, and how a change that was found ill ended.
//!
//! The last word on health lies in the state directory as `health`, JSON: whether a generation is still
//! watched, and what was seen when it was found ill. It holds no command. A generation that is watched by
//! nobody any more, because whoever did so died, is looked at anew by the next run, with a full window.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::beneath::Dir;
use super::state::{Keeping, failed, name, read, rewrite};
use super::{EditId, HostError};
use crate::model::care::Aftercare;
use crate::model::{PackName, TreePath};

/// What a check saw. Secrets are masked where it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The pack that was looked at; `None`: what was run served several.
    pub pack: Option<PackName>,
    /// The check, or what was run: `http http://…`, `restart pai-slack.service`.
    pub what: String,
    /// What was found.
    pub why: String,
    /// The last lines that tell more: of a command's output, of a journal, of a log.
    pub lines: Vec<String>,
}

/// What is said to have been looked at where nobody stayed to hear of it.
const WATCH: &str = "watch";

impl Evidence {
    /// A change that nobody stayed for may be what cut them off.
    pub(super) fn alone() -> Self {
        let why = "the controller was gone when its time was over: it may be what this change cut off".into();
        Self { pack: None, what: WATCH.into(), why, lines: Vec::new() }
    }

    /// Whether it speaks against the change: such a one may not come back by itself.
    pub fn condemns(&self) -> bool {
        self.what != WATCH
    }
}

/// How a deployment fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything passed that was looked at.
    Healthy,
    /// The generation is committed and still watched, or was when its watcher died.
    Watching,
    /// A change was ill and was taken back; what stands now is healthy.
    TakenBack,
    /// Ill: what stands now did not pass.
    Ill,
    /// Found ill, and on the way back.
    GoingBack,
}

/// The last word on a deployment's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The generation that it speaks of.
    pub generation: u64,
    /// How it fares.
    pub verdict: Verdict,
    /// Since when.
    pub since: Timestamp,
    /// What was seen: of the change that was taken back, or of what stands.
    pub evidence: Vec<Evidence>,
    /// Where logs ended before the change: from there on they are of it.
    pub marks: BTreeMap<TreePath, u64>,
    /// Which start of the machine it was noted in, where the machine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// A change that was found ill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The generation that was tried.
    pub tried: u64,
    /// What was done and passed before that.
    pub said: Vec<String>,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What became of it.
    pub back: Back,
    /// Edits that were saved on the way.
    pub saved: Vec<EditId>,
}

/// How going back ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Back {
    /// The host has what it had.
    Done {
        /// The generation that stands.
        generation: u64,
        /// What was done and passed afterwards.
        said: Vec<String>,
        /// What did not pass afterwards either.
        still: Vec<Evidence>,
        /// Edits made meanwhile, which are kept.
        edits: Vec<TreePath>,
    },
    /// It could not go back; the ill change stands.
    Stuck {
        /// Why.
        why: String,
    },
}

/// What an interrupted switch or watch needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What `fleet.toml` says by now about commands and checks.
    pub aftercare: Aftercare,
    /// The time that records will show.
    pub now: Timestamp,
    /// What becomes of a generation that nobody watches any more.
    pub watch: Watch,
}

/// What becomes of a generation whose watcher died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watch {
    /// It is watched anew, with a full window.
    #[default]
    Anew,
    /// Nothing: what comes next decides about it.
    Leave,
    /// The same as `Anew`; and where nothing is open, what stands is looked at, because it soaks.
    Soaks,
}

impl Health {
    /// The last word; `None` if there is none. One that cannot be read is not none: a change that was found ill
    /// would be applied again, and a watch not taken up.
    pub(super) fn load(state: &Dir) -> Result<Option<Self>, HostError> {
        let reading = || failed("read", ".packfleet/health");
        let Some(bytes) = read(state, name::HEALTH).map_err(reading())? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let what = format!(
                "it is damaged ({error}); it only says how the last change fared, and may be deleted: the next \
                 change is looked at anew"
            );
            reading()(io::Error::new(io::ErrorKind::InvalidData, what))
        })
    }

    /// Makes it the last word, durably.
    pub(super) fn store(&self, state: &Dir) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        rewrite(state, name::NEW_HEALTH, name::HEALTH, &bytes, Keeping::Durable)
    }

    /// Whether the machine was started since, for all that is known: what ran then may not run now.
    pub(super) fn is_of_an_earlier_start(&self) -> bool {
        self.boot.is_none() || self.boot != this_start()
    }

    /// Whether the next run has something to do about it, at this generation.
    pub fn is_open(&self) -> bool {
        matches!(self.verdict, Verdict::Watching | Verdict::GoingBack | Verdict::Ill)
    }
}

/// What the kernel calls this start of the machine.
pub(super) fn this_start() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

impl TakenBack {
    /// Whether what stands is what was there before, and well.
    pub fn went_back(&self) -> bool {
        matches!(&self.back, Back::Done { still, .. } if still.is_empty())
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pack) = &self.pack {
            write!(f, "{pack}: ")?;
        }
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl fmt::Display for TakenBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("found unhealthy")?;
        for evidence in &self.evidence {
            write!(f, ": {evidence}")?;
        }
        match &self.back {
            Back::Done { generation: 0, .. } => f.write_str("; taken back, nothing is installed"),
            Back::Done { generation, .. } => write!(f, "; taken back, generation {generation} stands"),
            Back::Stuck { why } => write!(f, "; it stands all the same: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_cannot_be_read_is_not_none() {
        let tree = tempfile::tempdir().unwrap();
        let state = Dir::root(tree.path().to_str().unwrap()).unwrap();
        assert!(Health::load(&state).unwrap().is_none());
        let note = Health {
            generation: 3,
            verdict: Verdict::GoingBack,
            since: Timestamp::UNIX_EPOCH,
            evidence: Vec::new(),
            marks: BTreeMap::new(),
            boot: None,
        };
        note.store(&state).unwrap();
        assert_eq!(Health::load(&state).unwrap(), Some(note));
        let file = tree.path().join(name::HEALTH);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let told = crate::model::cause::in_one_line(&Health::load(&state).unwrap_err());
        assert!(told.contains(".packfleet/health") && told.contains("may be deleted"), "{told}");
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(Health::load(&state).is_err());
    }
}
