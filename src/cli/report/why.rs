//! Why a deployment does not hold what the fleet file says: everything in the way, in order, each with what
//! clears it, through the deployments that it waits for.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::words;
use super::{apply, care, gate, holds, plan};
use crate::cli::error::causes;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::report::cause_word;
use crate::engine::{Outcome, Report, Survey, Workspace, checks};
use crate::host::{Evidence, Health, HistoryLine, Verdict};
use crate::model::fleet::Mode;
use crate::model::plan::HoldCause;
use crate::model::{DeploymentName, TreePath};
use crate::plan::gate::{Lag, Reason};
use crate::plan::window::{Opening, opening};

/// So many deployments of earlier stages are explained.
const FEW: usize = 3;

/// One thing in the way.
pub struct Step {
    /// Its kind, in a word.
    pub word: String,
    /// The deployment at which it is.
    pub deployment: DeploymentName,
    /// What it is.
    pub text: String,
    /// More about it.
    pub details: Vec<String>,
    /// What clears it.
    pub clears: String,
    /// Whom that takes.
    pub ends: Ends,
    /// When it clears itself, if it does.
    pub at: Option<Timestamp>,
    /// How many deployments lie between.
    pub depth: usize,
}

/// Whom it takes to end something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// Somebody has to do something.
    Person,
    /// Nobody: it ends with something else.
    Itself,
    /// Nobody; and who is in a hurry need not wait for it.
    Hurry,
}

/// Everything in the way, in order.
pub fn steps(workspace: &Workspace, reports: &[Report], report: &Report, hints: &Hints) -> Vec<Step> {
    let mut steps = Vec::new();
    gather(workspace, reports, report, hints, 0, &mut BTreeSet::new(), &mut steps);
    steps
}

/// The explanation. `last` is the newest line of the deployment's history.
pub fn why(
    workspace: &Workspace,
    reports: &[Report],
    name: &DeploymentName,
    last: Option<&HistoryLine>,
    now: Timestamp,
    hints: &Hints,
) -> String {
    let Some(report) = reports.iter().find(|report| &report.deployment == name) else { return String::new() };
    let steps = steps(workspace, reports, report, hints);
    let mut out = first_line(report, last);
    let widest = steps.iter().map(|step| step.word.len()).max().unwrap_or(0);
    if steps.is_empty() {
        out.push_str(&conclusion(workspace, report, hints));
    } else {
        out.push_str(" In the way, in this order:\n");
    }
    for (at, step) in steps.iter().enumerate() {
        let margin = "  ".repeat(step.depth);
        let indent = " ".repeat(5 + widest);
        out.push_str(&format!(
            "{:>2} {margin}{}  {}\n",
            at + 1,
            painted(paint::CHANGE, &format!("{:<widest$}", step.word)),
            step.text
        ));
        for line in &step.details {
            out.push_str(&format!("{indent}{margin}{line}\n"));
        }
        out.push_str(&format!("{indent}{margin}→ {}\n", step.clears));
    }
    out.push_str(&in_sum(workspace, report, &steps, now, hints));
    if let Some(survey) = &report.survey {
        if survey.drift.packs.keys().any(|pack| plan::is_first_contact(survey, pack)) {
            out.push_str(&format!("First of all: {}\n", hints.of_first_contact(name)));
        }
        out.push_str(&edits(survey, hints));
    }
    out
}

/// What of it needs somebody, until when, and what may be skipped.
fn in_sum(workspace: &Workspace, report: &Report, steps: &[Step], now: Timestamp, hints: &Hints) -> String {
    let numbers = |ends: Ends| -> Vec<String> {
        let meant = steps.iter().enumerate().filter(|(_, step)| step.ends == ends);
        meant.map(|(at, _)| (at + 1).to_string()).collect()
    };
    let you = numbers(Ends::Person);
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    let window = deployment.and_then(|deployment| deployment.window.as_ref());
    // Without a rollout there is nothing to add to the list.
    if steps.is_empty() || report.gate.is_empty() && window.is_none() {
        return String::new();
    }
    let mut out = String::new();
    match you.as_slice() {
        [] => out.push_str("Nothing of this needs a decision."),
        [one] => out.push_str(&format!("Only {one} needs you.")),
        many => out.push_str(&format!("{} need you.", and(many))),
    }
    if let (Some(window), false) = (window, you.is_empty())
        && let Opening::Open { closes: Some(closes) } = opening(window, now)
        && let Opening::Closed { opens: Some(opens) } = opening(window, closes)
    {
        let (closes, opens) = (words::time(closes), words::time(opens));
        out.push_str(&format!(
            " Do {} before {closes}, or it waits until {opens} ({})",
            and(&you),
            window.text
        ));
    }
    out.push('\n');
    let own: Vec<String> = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.ends == Ends::Hurry && step.deployment == report.deployment)
        .map(|(at, _)| (at + 1).to_string())
        .collect();
    if !own.is_empty() {
        let command = hints.command(&["apply", report.deployment.as_str(), "--now", "--reason"]);
        let never = if you.is_empty() { String::new() } else { format!(", never {}", and(&you)) };
        out.push_str(&format!(
            "In a hurry: {command} \"…\" skips {}{never}; it is recorded and told\n",
            and(&own)
        ));
    }
    out
}

/// `1`, `1 and 2`, `1, 2 and 3`.
fn and(numbers: &[String]) -> String {
    match numbers {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `prod runs bot 1.1.0 (generation 3, 2026-11-24 08:00:00Z); wants bot 1.2.0.`
fn first_line(report: &Report, last: Option<&HistoryLine>) -> String {
    let name = paint::name(report.deployment.as_str());
    let Some(survey) = &report.survey else {
        return format!("{name} could not be looked at.");
    };
    let Some(record) = &survey.observation.record else {
        return format!("{name} holds nothing of packfleet's yet.");
    };
    let runs: Vec<String> =
        record.packs.iter().map(|(name, pack)| format!("{name} {}", shown(&pack.pin.version))).collect();
    let runs = if runs.is_empty() { "no pack".to_owned() } else { runs.join(", ") };
    let since = last.map_or(String::new(), |line| format!(", {}", words::time(line.time)));
    let differs: Vec<String> = survey
        .drift
        .packs
        .keys()
        .filter(|pack| survey.installed(pack) != survey.wanted(pack))
        .map(|pack| match survey.wanted(pack) {
            Some(wanted) => format!("{pack} {}", shown(wanted)),
            None if survey.desired.packs.contains_key(pack) => {
                format!("{pack}, of which no version is known")
            }
            None => format!("no {pack}"),
        })
        .collect();
    let wants = if differs.is_empty() { String::new() } else { format!("; wants {}", differs.join(", ")) };
    format!("{name} holds {runs} (generation {}{since}){wants}.", record.generation)
}

fn conclusion(workspace: &Workspace, report: &Report, hints: &Hints) -> String {
    let name = report.deployment.as_str();
    let observed =
        workspace.fleet.deployments.get(&report.deployment).is_some_and(|d| d.mode == Mode::Observe);
    match report.outcome {
        Outcome::Planned if observed => {
            format!("\nIt is observed only: mode = \"observe\" in {}.\n", hints.file())
        }
        Outcome::Planned => format!("\nNothing is in the way: {}\n", hints.command(&["apply", name])),
        _ => format!("\nIt holds what {} says.\n", hints.file()),
    }
}

fn gather(
    workspace: &Workspace,
    reports: &[Report],
    report: &Report,
    hints: &Hints,
    depth: usize,
    told: &mut BTreeSet<DeploymentName>,
    steps: &mut Vec<Step>,
) {
    let name = &report.deployment;
    if !told.insert(name.clone()) {
        return;
    }
    let of = |text: String| if depth == 0 { text } else { format!("{name}: {text}") };
    if let Some(failure) = &report.failure {
        steps.push(Step {
            deployment: name.clone(),
            word: words::outcome(report.outcome).0.to_owned(),
            text: of(shown(&failure.to_string())),
            details: causes(failure).into_iter().map(|cause| format!("because: {cause}")).collect(),
            clears: hints.of_failure(failure, name).unwrap_or_else(|| "see above".to_owned()),
            ends: Ends::Person,
            at: None,
            depth,
        });
    }
    let Some(survey) = &report.survey else { return };
    if let Some(interrupted) = &survey.observation.interrupted {
        steps.push(Step {
            deployment: name.clone(),
            word: "interrupted".to_owned(),
            text: of(format!("the switch to generation {} did not end", interrupted.generation)),
            details: Vec::new(),
            clears: hints.of_interrupted(name),
            ends: Ends::Person,
            at: None,
            depth,
        });
    }
    if let Some(health) = report.health.as_ref().filter(|health| tells(health, survey)) {
        let mut lines = care::evidence(workspace, &health.evidence);
        let condemned = health.evidence.iter().any(Evidence::condemns);
        let word = match health.verdict {
            Verdict::TakenBack if condemned => "rejected",
            Verdict::TakenBack => "taken back",
            _ => care::word(Some(health)).0,
        };
        let since = words::time(health.since);
        let text = match health.verdict {
            Verdict::Watching => format!("generation {} is watched since {since}", health.generation),
            Verdict::TakenBack if condemned => {
                format!("a change was found unhealthy and taken back, {since}")
            }
            Verdict::TakenBack => format!("a change was taken back by the host itself, {since}"),
            _ => format!("generation {} was found unhealthy, {since}", health.generation),
        };
        let clears = match health.verdict {
            Verdict::TakenBack if condemned => hints.command(&["retry", name.as_str()]),
            Verdict::TakenBack => hints.command(&["apply", name.as_str()]),
            _ => format!("{} looks again", hints.command(&["apply", name.as_str()])),
        };
        let details = std::mem::take(&mut lines);
        steps.push(Step {
            deployment: name.clone(),
            word: word.to_owned(),
            text: of(text),
            details,
            clears,
            ends: Ends::Person,
            at: None,
            depth,
        });
    }
    // Only the apply that ran a check has seen how it ended; it is not run again before the next one.
    for (pack, cause) in checks::failed_last(workspace, survey) {
        let next = workspace
            .fleet
            .deployments
            .get(name)
            .map(|deployment| hints.of_hold(&cause, Some(&pack), None, deployment, &survey.plan.purpose));
        steps.push(Step {
            deployment: name.clone(),
            word: cause_word(&cause).to_owned(),
            text: of(format!("pack {pack}, when it was applied last: {}", words::hold(&cause))),
            details: Vec::new(),
            clears: next.unwrap_or_default(),
            ends: Ends::Person,
            at: None,
            depth,
        });
    }
    let gates = |steps: &mut Vec<Step>, told: &mut BTreeSet<DeploymentName>, when: When| {
        for reason in report.gate.iter().filter(|reason| When::of(reason) == when) {
            steps.push(Step {
                deployment: name.clone(),
                word: reason.word().to_owned(),
                text: of(gate::text(reason, Some(survey))),
                details: Vec::new(),
                clears: gate::clears(reason, name, hints),
                ends: match reason {
                    Reason::Stopped { .. } | Reason::Untried { .. } => Ends::Person,
                    Reason::Pause { clears: None, .. } => Ends::Person,
                    Reason::Parallel { .. } => Ends::Itself,
                    _ => Ends::Hurry,
                },
                at: reason.clears(),
                depth,
            });
            for other in holding_up(reason, reports) {
                gather(workspace, reports, other, hints, depth + 1, told, steps);
            }
        }
    };
    gates(steps, told, When::First);
    for (on, because, first) in words::waits(&report.waits) {
        steps.push(Step {
            deployment: name.clone(),
            word: "dependency".to_owned(),
            text: of(format!("waits for {on}: {because}")),
            details: Vec::new(),
            clears: clears_wait(reports, &on, first, hints),
            ends: Ends::Itself,
            at: None,
            depth,
        });
        for wait in report.waits.iter().filter(|wait| wait.because == because) {
            let Some(other) = reports.iter().find(|report| report.deployment == wait.on) else { continue };
            // Several that wait for the same one have nothing of their own to tell.
            if &wait.on == first || other.outcome != Outcome::Waiting {
                gather(workspace, reports, other, hints, depth + 1, told, steps);
            }
        }
    }
    let Some(deployment) = workspace.fleet.deployments.get(name) else { return };
    let mut ordered: Vec<_> = survey.plan.holds.iter().collect();
    ordered.sort_by_key(|hold| rank(&hold.cause));
    for hold in ordered {
        let place = match (&hold.path, &hold.pack) {
            (Some(path), _) => path.to_string(),
            (None, Some(pack)) => format!("pack {pack}"),
            (None, None) => name.to_string(),
        };
        steps.push(Step {
            deployment: name.clone(),
            word: cause_word(&hold.cause).to_owned(),
            text: of(format!("{place}: {}", words::hold(&hold.cause))),
            details: holds::details(workspace, survey, hold),
            clears: hints.of_hold(
                &hold.cause,
                hold.pack.as_ref(),
                hold.path.as_ref(),
                deployment,
                &survey.plan.purpose,
            ),
            ends: Ends::Person,
            at: None,
            depth,
        });
    }
    gates(steps, told, When::Last);
}

/// Stages bite before what others lack and what is held; the clock bites last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    First,
    Last,
}

impl When {
    fn of(reason: &Reason) -> Self {
        match reason {
            Reason::Stopped { .. } | Reason::Stage { .. } | Reason::Untried { .. } => Self::First,
            Reason::Pause { .. } | Reason::Window { .. } | Reason::Parallel { .. } => Self::Last,
        }
    }
}

/// Those of an earlier stage at whom it lies: a few of them.
fn holding_up<'a>(reason: &Reason, reports: &'a [Report]) -> Vec<&'a Report> {
    let names: Vec<&DeploymentName> = match reason {
        Reason::Stage { lagging, .. } => {
            lagging.iter().filter(|(_, lag)| **lag != Lag::Soaks).map(|(name, _)| name).collect()
        }
        Reason::Stopped { failed, .. } => failed.iter().collect(),
        _ => Vec::new(),
    };
    let found = names.into_iter().filter_map(|name| reports.iter().find(|report| &report.deployment == name));
    found.take(FEW).collect()
}

/// A change that was taken back is told of as long as something is rejected, or it has not come back.
fn tells(health: &Health, survey: &Survey) -> bool {
    let rejects = survey.observation.record.as_ref().is_some_and(|record| !record.rejected.is_empty());
    let waits = !health.evidence.iter().any(Evidence::condemns) && !survey.plan.actions.is_empty();
    health.is_open() || health.verdict == Verdict::TakenBack && (rejects || waits)
}

fn clears_wait(reports: &[Report], on: &str, first: &DeploymentName, hints: &Hints) -> String {
    let planned = reports.iter().any(|r| &r.deployment == first && r.outcome == Outcome::Planned);
    if planned { hints.command(&["apply", first.as_str()]) } else { format!("clears with {on}, below") }
}

/// Causes first, what follows from them last.
fn rank(cause: &HoldCause) -> u8 {
    match cause {
        HoldCause::Source(_)
        | HoldCause::Version(_)
        | HoldCause::Major { .. }
        | HoldCause::Check { .. }
        | HoldCause::Overlays { .. }
        | HoldCause::Gone { .. }
        | HoldCause::Signature(_) => 0,
        HoldCause::Conflict { .. } | HoldCause::Obstructed(_) => 1,
        HoldCause::Budget { .. } => 2,
        HoldCause::Rejected { .. } => 3,
        HoldCause::Nested { .. } | HoldCause::Requires { .. } | HoldCause::Tied { .. } => 4,
    }
}

/// Kept edits stand in nobody's way, and are named.
pub fn edits_in_nobodys_way(survey: &Survey) -> Vec<&TreePath> {
    let held = |path| survey.plan.holds.iter().any(|hold| hold.path.as_ref() == Some(path));
    let edits = survey.drift.edits();
    let edits =
        edits.filter(|(path, judged)| judged.recorded.is_some() && judged.actual.is_some() && !held(*path));
    edits.map(|(path, _)| path).collect()
}

fn edits(survey: &Survey, hints: &Hints) -> String {
    let paths: Vec<&str> = edits_in_nobodys_way(survey).into_iter().map(TreePath::as_str).collect();
    if paths.is_empty() || apply::kept(survey) == 0 {
        return String::new();
    }
    let shown = paths.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if paths.len() > 5 { format!(" and {} more", paths.len() - 5) } else { String::new() };
    format!(
        "Edits in nobody's way: {shown}{more} ({})\n",
        hints.command(&["diff", survey.deployment.as_str()])
    )
}
