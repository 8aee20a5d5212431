//! A report as JUnit XML: one case per deployment, so that a pipeline shows which of them is not well.
//!
//! Held, refused and unhealthy are failures, what went wrong is an error, what waits is skipped; what an apply
//! would do, or did, is a success with that in its output. No times: nothing was tested.

use quick_junit::{NonSuccessKind, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::gate;
use super::plain;
use super::plan::{Diffs, Ids, OfflineHosts, Show, body};
use super::words;
use crate::cli::error::CliError;
use crate::cli::hint::Hints;
use crate::cli::output::Told;
use crate::cli::printer::shown;
use crate::cli::report::lines::Length;
use crate::engine::{Outcome, Report};

/// The document.
pub fn report(told: &Told<'_>, hints: &Hints) -> Result<String, CliError> {
    let mut junit = Junit::new(format!("packfleet {}", told.kind.word()));
    let mut suite = TestSuite::new(format!("fleet {}", told.workspace.fleet.name));
    for report in told.reports.iter().filter(|report| report.is_told()) {
        suite.add_test_case(case(told, report, hints));
    }
    junit.add_test_suite(suite);
    junit.to_string().map_err(|source| CliError::Stream("write JUnit", std::io::Error::other(source)))
}

fn case(told: &Told<'_>, report: &Report, hints: &Hints) -> TestCase {
    let show =
        Show { length: Length::Whole, diffs: Diffs::Hidden, ids: Ids::Shown, offline: OfflineHosts::Told };
    let said = plain(&body(told.workspace, report, hints, show));
    let (word, _) = words::standing(report);
    let mut status = match report.outcome {
        Outcome::Held | Outcome::Refused | Outcome::TakenBack => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        Outcome::Failed | Outcome::Locked => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Waiting | Outcome::Undecided | Outcome::Offline => TestCaseStatus::skipped(),
        Outcome::InSync | Outcome::Planned | Outcome::Applied | Outcome::RolledBack => {
            TestCaseStatus::success()
        }
    };
    let holds = report.survey.as_ref().map_or(&[][..], |survey| &survey.plan.holds);
    let message = match (&report.failure, report.waits.first()) {
        (Some(failure), _) => shown(&failure.to_string()),
        (None, Some(wait)) => format!("waits for {}: {}", wait.on, wait.because),
        (None, None) => match report.gate.first().filter(|_| report.outcome == Outcome::Waiting) {
            Some(reason) => gate::text(reason, report.survey.as_ref()),
            None => super::told::why(report).unwrap_or_else(|| words::holds(holds)),
        },
    };
    let succeeded = matches!(status, TestCaseStatus::Success { .. });
    if !succeeded {
        status.set_message(message).set_type(word).set_description(said.clone());
    }
    let mut case = TestCase::new(report.deployment.as_str(), status);
    case.set_classname(format!("{}.{word}", told.workspace.fleet.name));
    if succeeded && !said.is_empty() {
        case.set_system_out(said);
    }
    case
}
