//! Exit codes, and which one wins where several apply.

use std::process::ExitCode;

use crate::engine::{Outcome, Report};
use crate::plan::Standing;

/// How a command ended. Ordered by precedence: the greatest of several is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// In sync, or done.
    Done,
    /// Changes or drift, where a flag asks for this code.
    Changes,
    /// Waiting for a dependency.
    Waiting,
    /// A person must decide.
    Held,
    /// Refused by policy.
    Refused,
    /// Another run holds the lock.
    Locked,
    /// A change was found unhealthy and undone.
    TakenBack,
    /// An error.
    Failed,
    /// Usage, or a fleet.toml that does not validate.
    Usage,
    /// Somebody ended the run, and something was not begun.
    Interrupted,
    /// The same, by SIGTERM.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Changes => 2,
            Self::Held => 3,
            Self::Refused => 4,
            Self::Waiting => 5,
            Self::TakenBack => 6,
            Self::Usage => 64,
            Self::Locked => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Which differences count as [`Exit::Changes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counts {
    /// None.
    Nothing,
    /// That what is there was found ill, and no apply will change that.
    Health,
    /// That, and what an apply would do.
    Changes,
    /// That, and edits that stay.
    Drift,
}

/// The exit of one deployment's report.
pub fn of_report(report: &Report, counts: Counts) -> Exit {
    let by_outcome = match report.outcome {
        Outcome::InSync if counts >= Counts::Health && report.is_ill() => Exit::Held,
        // What an apply does is changed, although there is nothing to do now.
        Outcome::InSync if counts >= Counts::Changes && !report.changes().is_empty() => Exit::Changes,
        Outcome::Planned if counts < Counts::Changes => Exit::Done,
        Outcome::Planned => Exit::Changes,
        Outcome::InSync | Outcome::Applied | Outcome::RolledBack => Exit::Done,
        Outcome::Waiting | Outcome::Undecided | Outcome::Offline => Exit::Waiting,
        Outcome::Held => Exit::Held,
        Outcome::Refused => Exit::Refused,
        Outcome::Locked => Exit::Locked,
        Outcome::TakenBack => Exit::TakenBack,
        Outcome::Failed => Exit::Failed,
    };
    // One that was found while going on with an earlier run.
    let by_outcome = by_outcome.max(of_taken_back(report));
    // What it rests on is too old to count on: the host has the last word.
    let by_outcome = match report.told.as_ref().is_some_and(|told| told.stale) {
        true => by_outcome.max(Exit::Waiting),
        false => by_outcome,
    };
    let drifted = counts == Counts::Drift
        && report.survey.as_ref().is_some_and(|survey| {
            survey.drift.drifted().any(|(_, judged)| judged.standing != Standing::Unmanaged)
        });
    if drifted { by_outcome.max(Exit::Changes) } else { by_outcome }
}

fn of_taken_back(report: &Report) -> Exit {
    match report.taken_back() {
        Some(taken) if taken.went_back() => Exit::TakenBack,
        Some(_) => Exit::Failed,
        None => Exit::Done,
    }
}

/// The exit of a run over several: that of the selected deployments, the worst of them; of others counts what was
/// taken back there.
pub fn of_reports(reports: &[Report], counts: Counts) -> Exit {
    let one = |report: &Report| match report.selected {
        true => of_report(report, counts),
        false => of_taken_back(report),
    };
    reports.iter().map(one).max().unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first() {
        let mut all = [
            Exit::Done,
            Exit::Held,
            Exit::Usage,
            Exit::Changes,
            Exit::Failed,
            Exit::Waiting,
            Exit::Locked,
            Exit::TakenBack,
            Exit::Interrupted,
            Exit::Terminated,
            Exit::Refused,
        ];
        all.sort();
        all.reverse();
        assert_eq!(all.map(Exit::code), [143, 130, 64, 1, 6, 75, 4, 3, 5, 2, 0]);
    }
}
