//! Rollout: in which order a fleet moves, when a deployment may be changed, and what stands still for a while.
//!
//! Stages come in the order of `fleet.toml`; a deployment is in the first that selects it, so that each is in one
//! at most. What they mean for a deployment at a moment is decided in `plan::gate`; nothing here knows the time.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeploymentName;

/// One stage: some deployments that move together, after those of the stages before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What selects them, as it was written.
    pub select: Vec<String>,
    /// Whom it holds: those that it selects and no stage before it does.
    pub members: BTreeSet<DeploymentName>,
    /// How long they must run a tree, healthy, before a later stage moves to it.
    pub soak: Duration,
    /// How many of them may be between their switch and the end of their quick checks.
    pub max_parallel: Option<Share>,
    /// More failures of one tree than this stop the rollout of it.
    pub max_failures: u64,
}

/// A number of deployments, or a percentage of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many.
    Number(u64),
    /// Of a hundred.
    Percent(u8),
}

impl Stage {
    /// How many of its members may be at it at a time; `None`: as many as there are.
    pub fn at_once(&self) -> Option<usize> {
        let members = self.members.len();
        self.max_parallel.map(|share| match share {
            Share::Number(number) => usize::try_from(number).unwrap_or(usize::MAX).max(1),
            Share::Percent(percent) => (members * usize::from(percent) / 100).max(1),
        })
    }
}

/// The number of the stage that holds a deployment, counted from 0.
pub fn stage_of(stages: &[Stage], name: &DeploymentName) -> Option<usize> {
    stages.iter().position(|stage| stage.members.contains(name))
}

/// When a deployment may be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// On which days it opens, Monday first.
    pub days: [bool; 7],
    /// When it opens, in minutes of the day.
    pub from: u16,
    /// When it closes; on the next day if that is earlier.
    pub to: u16,
    /// Whose time: a name of the IANA database.
    pub zone: String,
    /// As it was written: `mon-thu 09:00–16:00 Europe/Berlin`.
    pub text: String,
}

/// Nothing is changed for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Until when; `None`: until somebody ends it.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// Whether it is in force.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Whether it is in force and ends later than another: of two, the longer one counts.
    pub fn outlasts(&self, other: &Self, now: Timestamp) -> bool {
        self.holds(now) && self.is_longer(other)
    }

    /// Whether it ends later than another.
    pub fn is_longer(&self, other: &Self) -> bool {
        match (self.until, other.until) {
            (None, other) => other.is_some(),
            (Some(_), None) => false,
            (Some(until), Some(other)) => until > other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nobody_and_the_longest_pause_has_no_end() {
        let members = (0..15).map(|n| format!("d{n}").parse().unwrap()).collect();
        let mut stage = Stage {
            select: vec!["*".into()],
            members,
            soak: Duration::ZERO,
            max_parallel: None,
            max_failures: 0,
        };
        for (share, most) in [
            (None, None),
            (Some(Share::Number(4)), Some(4)),
            (Some(Share::Percent(10)), Some(1)),
            (Some(Share::Percent(0)), Some(1)),
            (Some(Share::Percent(50)), Some(7)),
        ] {
            stage.max_parallel = share;
            assert_eq!(stage.at_once(), most, "{share:?}");
        }
        let pause = |until: Option<i64>| Pause {
            reason: "x".into(),
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
        };
        assert!(pause(None).is_longer(&pause(Some(9))) && !pause(None).is_longer(&pause(None)));
        assert!(pause(Some(9)).is_longer(&pause(Some(8))) && !pause(Some(9)).is_longer(&pause(None)));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(pause(Some(9)).holds(at(8)) && !pause(Some(9)).holds(at(9)) && pause(None).holds(at(99)));
    }
}
