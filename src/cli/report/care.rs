//! Services and health in words: what an apply will run and look at, what passed, and what was seen where
//! something did not.

use std::collections::BTreeSet;

use anstyle::Style;

use super::words::count;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::mask::Mask;
use crate::engine::{Report, Workspace, care};
use crate::host::{Back, Evidence, Health, TakenBack, Verdict};
use crate::model::care::{Restart, Task, Tasks};
use crate::model::fleet::Mode;

/// What carrying a report's plan out calls for.
fn tasks(workspace: &Workspace, report: &Report) -> Option<Tasks> {
    let deployment = workspace.fleet.deployments.get(&report.deployment)?;
    let plan = &report.survey.as_ref()?.plan;
    let goes = plan.commits && deployment.mode == Mode::Converge;
    goes.then(|| care::aftercare(workspace, deployment, &plan.next.entries).tasks(&plan.actions))
}

/// `after the switch: bun install, restart bot.service; then http …, active_for 60s`, if anything.
pub fn will(workspace: &Workspace, report: &Report) -> Option<String> {
    let tasks = tasks(workspace, report).filter(|tasks| !tasks.is_empty())?;
    let mask = Mask::new(workspace);
    let clean = |text: &str| shown(&mask.words(text));
    let command = |task: &Task| clean(&task.run.join(" "));
    let mut runs: Vec<String> = tasks.on_change.iter().map(command).collect();
    runs.extend(tasks.restarts.iter().map(|restart| match restart {
        Restart::Unit(unit) => format!("restart {}", unit.name),
        Restart::Command(task) => command(task),
    }));
    let checks: Vec<String> = tasks.checks.iter().map(|(_, _, check)| clean(&check.to_string())).collect();
    let mut parts = Vec::new();
    if !tasks.stops.is_empty() {
        let units: Vec<&str> = tasks.stops.iter().map(|unit| unit.name.as_str()).collect();
        parts.push(format!("before the switch: stop {}", units.join(", ")));
    }
    if !runs.is_empty() {
        parts.push(format!("after the switch: {}", runs.join(", ")));
    }
    if !checks.is_empty() {
        parts.push(format!("health: {}", checks.join(", ")));
    }
    Some(parts.join("; "))
}

/// Packs that run something and have no check of health, where plans of these reports touch them.
pub fn unchecked(workspace: &Workspace, reports: &[Report]) -> Option<String> {
    let mut packs = BTreeSet::new();
    for report in reports.iter().filter(|report| report.selected) {
        let (Some(deployment), Some(survey)) =
            (workspace.fleet.deployments.get(&report.deployment), &report.survey)
        else {
            continue;
        };
        let acts = survey.plan.actions.iter().map(|action| &action.pack).collect::<BTreeSet<_>>();
        let known = acts.into_iter().filter_map(|name| workspace.fleet.packs.get(name));
        packs.extend(known.filter(|pack| deployment.packs.contains_key(&pack.name)).filter_map(|pack| {
            let care = care::of(deployment, pack);
            (care.service.is_some() && care.health.is_empty()).then_some(pack.name.as_str())
        }));
    }
    let names: Vec<&str> = packs.into_iter().collect();
    let (first, verb) = match names.as_slice() {
        [] => return None,
        [one] => (*one, "has"),
        [first, ..] => (*first, "have"),
    };
    Some(format!(
        "{} {verb} a service and no check of health: that a release does not run will not be noticed \
         ([[packs.{first}.health]])",
        names.join(", ")
    ))
}

/// What was seen where a change was found ill, and what became of it.
pub fn taken_back(workspace: &Workspace, report: &Report, taken: &TakenBack, hints: &Hints) -> Vec<String> {
    let mut lines = Vec::new();
    if !taken.said.is_empty() {
        lines.push(said(&taken.said));
    }
    lines.extend(evidence(workspace, &taken.evidence));
    match &taken.back {
        Back::Done { generation, said: again, still, edits } => {
            let stands = match generation {
                0 => "nothing is installed, local files are as found".to_owned(),
                generation => format!("generation {generation} stands"),
            };
            let mut parts = vec![format!("taken back: {stands}")];
            parts.extend((!again.is_empty()).then(|| said(again)));
            lines.push(parts.join(" · "));
            if !still.is_empty() {
                lines.push("what stands is not healthy either:".to_owned());
                lines.extend(evidence(workspace, still));
            }
            if !edits.is_empty() {
                let paths: Vec<&str> = edits.iter().take(5).map(|path| path.as_str()).collect();
                let more = if edits.len() > 5 { ", …" } else { "" };
                let edits = count(edits.len(), "edit");
                lines.push(format!("{edits} made on the host kept: {}{more}", paths.join(", ")));
            }
            let rejects = taken.evidence.iter().any(Evidence::condemns);
            let name = report.deployment.as_str();
            lines.push(match rejects {
                true => format!(
                    "→ it is rejected there until {} gives something else, or {}",
                    hints.file(),
                    hints.command(&["retry", name])
                ),
                false => format!("→ nothing was found against it: {}", hints.command(&["apply", name])),
            });
        }
        Back::Stuck { why } => {
            lines.push(format!("it could not be taken back and stands: {}", shown(why)));
            let rollback = hints.command(&["rollback", report.deployment.as_str()]);
            lines.push(format!("→ repair the service there, or {rollback}"));
        }
    }
    lines
}

/// What was done and passed, in a line.
pub fn said(said: &[String]) -> String {
    said.iter().map(|part| shown(part)).collect::<Vec<_>>().join(" · ")
}

/// What was seen, each with its last lines.
pub fn evidence(workspace: &Workspace, all: &[Evidence]) -> Vec<String> {
    let mask = Mask::new(workspace);
    let clean = |text: &str| shown(&mask.words(text));
    let mut lines = Vec::new();
    for evidence in all {
        lines.push(format!("{} {}", painted(paint::BAD, "FAILED"), clean(&evidence.to_string())));
        lines.extend(evidence.lines.iter().map(|line| format!("       | {}", clean(line))));
    }
    lines
}

/// How a deployment fares, in a word.
pub fn word(health: Option<&Health>) -> (&'static str, Style) {
    match health.map(|health| health.verdict) {
        None => ("-", Style::new()),
        Some(Verdict::Healthy | Verdict::TakenBack) => ("healthy", paint::GOOD),
        Some(Verdict::Watching) => ("watched", paint::CHANGE),
        Some(Verdict::Ill) => ("ill", paint::BAD),
        Some(Verdict::GoingBack) => ("going back", paint::BAD),
    }
}

/// Whether the health of any of these is known, or could be.
pub fn matters(workspace: &Workspace, reports: &[&Report]) -> bool {
    reports.iter().any(|report| {
        let deployment = workspace.fleet.deployments.get(&report.deployment);
        let checked = deployment.is_some_and(|deployment| {
            let packs = deployment.packs.keys().filter_map(|name| workspace.fleet.packs.get(name));
            packs.into_iter().any(|pack| !care::of(deployment, pack).health.is_empty())
        });
        checked || report.health.is_some()
    })
}
