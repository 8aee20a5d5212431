//! What an apply came to: one line per deployment, and below it what a person must know.

use super::words::{self, Tally, count};
use super::{care, gate};
use crate::cli::error::causes;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::{Failure, Outcome, Report, Survey, Workspace};
use crate::host::Recovery;
use crate::model::fleet::Mode;
use crate::model::plan::HoldCause;
use crate::model::ranges::compress;
use crate::plan::Standing;
use crate::plan::gate::Reason;

/// One line per selected deployment, and one for each that was touched without being asked for.
pub fn apply(workspace: &Workspace, reports: &[Report], hints: &Hints) -> String {
    let selected: Vec<&Report> = reports.iter().filter(|report| report.is_told()).collect();
    let rows: Vec<(&Report, String)> =
        selected.iter().map(|report| (*report, what(workspace, report, hints))).collect();
    let mut groups: Vec<(Vec<&str>, &Report, &String)> = Vec::new();
    for (report, what) in &rows {
        let known = groups.iter_mut().find(|(_, first, said)| {
            // What was seen of a change that was taken back differs from host to host.
            let alike = first.taken_back().is_none() && report.taken_back().is_none();
            selected.len() > 12 && alike && *said == what && first.outcome == report.outcome
        });
        match known {
            Some((names, ..)) => names.push(report.deployment.as_str()),
            None => groups.push((vec![report.deployment.as_str()], report, what)),
        }
    }
    let names: Vec<String> = groups.iter().map(|(names, ..)| compress(names.iter().copied())).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0).min(32);
    let widest_word =
        groups.iter().map(|(_, report, _)| words::outcome(report.outcome).0.len()).max().unwrap_or(0);
    let mut out = String::new();
    for ((_, report, what), name) in groups.iter().zip(names) {
        let (word, style) = words::outcome(report.outcome);
        let word = painted(style, &format!("{word:<widest_word$}"));
        out.push_str(&format!("{}  {word}  {what}\n", paint::name(&format!("{name:<widest$}"))));
        for line in more(workspace, report, hints) {
            out.push_str(&format!("{:widest$}  {line}\n", ""));
        }
    }
    out
}

/// That what is there is not well, and what tells more.
pub fn ill(report: &Report, hints: &Hints) -> String {
    format!("found ill when it was last looked at: {}", hints.command(&["why", report.deployment.as_str()]))
}

/// The rest of a deployment's line.
fn what(workspace: &Workspace, report: &Report, hints: &Hints) -> String {
    let name = report.deployment.as_str();
    let Some(survey) = &report.survey else {
        return report.failure.as_ref().map_or(String::new(), |failure| shown(&failure.to_string()));
    };
    if let Some(Failure::Ill(_)) = &report.failure {
        return packs(survey);
    }
    if let Some(failure) = &report.failure {
        return shown(&failure.to_string());
    }
    let mut parts = vec![packs(survey)];
    if let Some(generation) = report.committed {
        parts.push(format!("generation {generation}"));
        parts.push(Tally::of(&survey.plan.actions).past());
        let adopted = survey
            .drift
            .paths
            .values()
            .filter(|judged| judged.recorded.is_none() && judged.standing == Standing::Converged)
            .count();
        if adopted > 0 {
            parts.push(format!("{} adopted", count(adopted, "file")));
        }
    }
    match report.outcome {
        Outcome::Waiting => {
            let waits = words::waits(&report.waits).into_iter();
            parts = waits.map(|(on, because, _)| format!("for {on}: {because}")).collect();
            parts.extend(report.gate.iter().map(|reason| gate::text(reason, Some(survey))));
        }
        Outcome::Held | Outcome::Refused => {
            let why = hints.command(&["why", name]);
            parts.push(format!("{}: {why}", words::holds(&survey.plan.holds)));
        }
        Outcome::Planned => {
            let observed = workspace.fleet.deployments.get(&report.deployment).map(|d| d.mode);
            parts.push(match observed {
                Some(Mode::Observe) => "mode = \"observe\": reported only".to_owned(),
                _ => "not applied".to_owned(),
            });
        }
        Outcome::InSync if report.is_ill() => parts.push(ill(report, hints)),
        _ => {}
    }
    let edits = kept(survey);
    if edits > 0 {
        parts.push(format!("{} kept", count(edits, "edit")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// The packs of a deployment with their versions, as a pass leaves or finds them.
fn packs(survey: &Survey) -> String {
    let names = survey.drift.packs.keys();
    let packs = names.map(|name| format!("{name} {}", words::versions(survey, name)).trim().to_owned());
    packs.collect::<Vec<_>>().join(", ")
}

/// Edits that stay after this pass: kept ones and merged ones.
pub fn kept(survey: &Survey) -> usize {
    survey.kept_edits().count()
}

/// Lines below: recovery, saved edits, causes and hints.
fn more(workspace: &Workspace, report: &Report, hints: &Hints) -> Vec<String> {
    let name = report.deployment.as_str();
    let mut lines = Vec::new();
    // What a check said is part of what the apply did: nobody need ask `why` first.
    for hold in report.survey.iter().flat_map(|survey| &survey.plan.holds) {
        if let (HoldCause::Check { .. }, Some(pack)) = (&hold.cause, &hold.pack) {
            let text = format!("pack {pack}: {}", words::hold(&hold.cause));
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    if report.was_touched_unasked() {
        lines.push("not asked for, and looked at because others follow it:".to_owned());
    }
    match &report.recovered {
        Some(Recovery::Forward { generation, said }) => {
            lines.push(match said.as_slice() {
                [] => format!("an interrupted switch was finished first: generation {generation}"),
                said => format!("generation {generation}, left by an earlier run: {}", care::said(said)),
            });
        }
        Some(Recovery::Back { generation, saved }) => {
            lines.push(format!("an interrupted switch was undone first: generation {generation} stands"));
            if !saved.is_empty() {
                lines.push(saved_line(saved.len(), name, hints));
            }
        }
        Some(Recovery::Ill(taken)) => {
            lines.push(format!("generation {} was still to be looked at:", taken.tried));
            lines.extend(care::taken_back(workspace, report, taken, hints));
        }
        Some(Recovery::Nothing) | None => {}
    }
    if let Some(hurried) = report.hurried.as_ref().filter(|_| report.committed.is_some()) {
        let skipped: Vec<&str> = hurried.skipped.iter().map(Reason::word).collect();
        lines.push(format!("at once, in spite of {}: {}", skipped.join(", "), shown(&hurried.why)));
    }
    if !report.saved.is_empty() {
        lines.push(saved_line(report.saved.len(), name, hints));
    }
    if !report.said.is_empty() {
        lines.push(care::said(&report.said));
    }
    if let Some(Failure::Ill(taken)) = &report.failure {
        lines.extend(care::taken_back(workspace, report, taken, hints));
    } else if let Some(failure) = &report.failure {
        lines.extend(causes(failure).into_iter().map(|cause| format!("because: {cause}")));
        lines.extend(hints.of_failure(failure, &report.deployment).map(|hint| format!("→ {hint}")));
    }
    if report.outcome == Outcome::Waiting {
        lines.push(format!("→ {}", hints.command(&["why", name])));
    }
    lines
}

fn saved_line(number: usize, name: &str, hints: &Hints) -> String {
    format!("{} saved: {}", count(number, "edit"), hints.command(&["edits", "list", name]))
}
