//! What an examination found, and what a bootstrap did, line by line: one deployment after another, each line with its
//! grade and, where that is not good, the fix below it.

use crate::cli::error::causes;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::{Failure, Workspace};
use crate::host::HostError;
use crate::host::examine::{About, Finding, Fix, Grade};
use crate::host::prepare::{Step, StepState};
use crate::model::DeploymentName;

/// Wide enough for every word that a line is about.
const ABOUT: usize = 8;

/// The heading of a deployment.
pub fn heading(workspace: &Workspace, name: &DeploymentName) -> String {
    let deployment = workspace.fleet.deployments.get(name);
    let place = deployment.map(|deployment| format!("{} on {}", deployment.root, deployment.host));
    format!("{}  {}\n", paint::name(name.as_str()), paint::faint(&shown(&place.unwrap_or_default())))
}

/// One finding.
pub fn finding(found: &Finding, name: Option<&DeploymentName>, hints: &Hints) -> String {
    let (word, style) = match found.grade {
        Grade::Ok => ("ok", paint::GOOD),
        Grade::Warn => ("warn", paint::CHANGE),
        Grade::Fail => ("fail", paint::BAD),
    };
    line((word, 4), style, found.about, &found.what, found.fix.as_ref().map(|fix| hints.of_fix(fix, name)))
}

/// One step.
pub fn step(step: &Step, name: &DeploymentName, hints: &Hints) -> String {
    let (word, style) = match step.state {
        StepState::Found => ("in place", paint::FAINT),
        StepState::Done => ("done", paint::GOOD),
        StepState::Would => ("would", paint::CHANGE),
        StepState::Failed => ("not done", paint::BAD),
    };
    let fix = step.fix.as_ref().map(|fix: &Fix| hints.of_fix(fix, Some(name)));
    line((word, 8), style, step.about, &step.what, fix)
}

/// A host that told nothing: a line like the others, in the words of whichever command asked.
pub fn failure(word: &'static str, failure: &Failure, name: &DeploymentName, hints: &Hints) -> String {
    let mut what = failure.to_string();
    for cause in causes(failure) {
        what.push_str(&format!(": {cause}"));
    }
    line((word, word.len()), paint::BAD, about(failure), &what, hints.of_failure(failure, name))
}

/// What a failure is about.
pub fn about(failure: &Failure) -> About {
    match failure {
        Failure::Host(HostError::State { .. } | HostError::Damaged { .. }) => About::State,
        Failure::Host(HostError::Unreachable { .. }) => About::Ssh,
        Failure::Host(HostError::Agent { .. } | HostError::Cut { .. } | HostError::Told(_)) => About::Agent,
        _ => About::Root,
    }
}

/// What a line is about, as a word.
pub fn word(about: About) -> &'static str {
    match about {
        About::Cache => "cache",
        About::Git => "git",
        About::Ssh => "ssh",
        About::Agent => "agent",
        About::User => "user",
        About::Root => "root",
        About::State => "state",
        About::Key => "key",
        About::Disk => "disk",
        About::Inodes => "inodes",
        About::Features => "features",
        About::Clock => "clock",
        About::Systemd => "systemd",
        About::Unit => "unit",
        About::Program => "program",
    }
}

fn line(
    (grade, width): (&str, usize),
    style: anstyle::Style,
    about: About,
    what: &str,
    fix: Option<String>,
) -> String {
    let grade = painted(style, &format!("{grade:width$}"));
    let mut text = format!("  {grade}  {:ABOUT$}  {}\n", word(about), shown(what));
    if let Some(fix) = fix {
        text.push_str(&format!("  {:width$}  {:ABOUT$}  {} {fix}\n", "", "", painted(paint::GOOD, "fix:")));
    }
    text
}
