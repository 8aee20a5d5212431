//! A plan as text: per deployment what would happen at each path, what is held and why, and what to type next.
//!
//! Deployments that would get the very same are shown once, with all their names.

use std::collections::BTreeSet;

use super::against;
use super::apply;
use super::bytes;
use super::care;
use super::diffs;
use super::gate;
use super::header::header;
use super::holds;
use super::lines::{self, Length};
use super::told;
use super::words::{self, Tally, count};
use crate::cli::error::causes;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::checks;
use crate::engine::mask::Mask;
use crate::engine::{Failure, Outcome, Report, Survey, Workspace};
use crate::model::fleet::{Deployment, Mode, State};
use crate::model::plan::{Conflict, Hold, HoldCause, Purpose};
use crate::model::ranges::compress;
use crate::model::{DeploymentName, HostPath, PackName};

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Show {
    /// Whether long lists are whole.
    pub length: Length,
    /// Whether the lines that change are shown.
    pub diffs: Diffs,
    /// Whether what is shown are whole plans, which have ids.
    pub ids: Ids,
    /// Whether hosts that do not answer are told of.
    pub offline: OfflineHosts,
}

/// Whether hosts that do not answer are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineHosts {
    /// Each, with the cause.
    Told,
    /// Counted in the sum: what came of the apply tells each.
    Later,
}

/// Whether the ids of plans are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// They are.
    Shown,
    /// What is shown is a part of a plan, which has none.
    Hidden,
}

/// Whether the lines that change are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diffs {
    /// They are.
    Shown,
    /// They are not.
    Hidden,
}

/// The whole plan.
pub fn plan(workspace: &Workspace, reports: &[Report], hints: &Hints, show: Show) -> String {
    let selected = reports.iter().filter(|report| report.selected);
    let Blocks { blocks, in_sync } = blocks(workspace, selected, hints, show);
    let mut out = header(workspace, reports);
    for block in &blocks {
        out.push('\n');
        out.push_str(&head(workspace, &block.reports, show.ids));
        out.push_str(&block.body);
    }
    if !in_sync.is_empty() {
        let ages = ages_of(reports, &in_sync);
        out.push_str(&format!(
            "\n{}  {}{ages}\n",
            paint::name(&compress(in_sync)),
            painted(paint::GOOD, "in sync")
        ));
    }
    out
}

/// How old the statuses of some deployments are, if they are known by these.
fn ages_of(reports: &[Report], names: &[&str]) -> String {
    let mine = reports.iter().filter(|report| names.contains(&report.deployment.as_str()));
    told::ages(mine).map_or(String::new(), |ages| format!(" · {}", paint::faint(&ages)))
}

/// Selected deployments, drawn together where they are alike.
pub struct Blocks<'a> {
    /// Those of which there is something to say.
    pub blocks: Vec<Block<'a>>,
    /// The others.
    pub in_sync: Vec<&'a str>,
}

/// Deployments that would get the very same; at least one.
pub struct Block<'a> {
    /// Them.
    pub reports: Vec<&'a Report>,
    /// What there is to say of each.
    pub body: String,
}

impl<'a> Block<'a> {
    /// Their names.
    pub fn names(&self) -> Vec<&'a str> {
        self.reports.iter().map(|report| report.deployment.as_str()).collect()
    }
}

/// Draws together what is alike.
pub fn blocks<'a>(
    workspace: &Workspace,
    reports: impl Iterator<Item = &'a Report>,
    hints: &Hints,
    show: Show,
) -> Blocks<'a> {
    let mut all = Blocks { blocks: Vec::new(), in_sync: Vec::new() };
    let told = |report: &&Report| show.offline == OfflineHosts::Told || report.outcome != Outcome::Offline;
    let selected: Vec<&Report> = reports.filter(told).collect();
    for report in &selected {
        // Alike are those that differ in name and root only.
        let body = match anyone(workspace, report).filter(|_| selected.len() > 1) {
            Some(anyone) => body_as(workspace, report, hints, show, &anyone),
            None => body(workspace, report, hints, show),
        };
        let quiet = report.outcome == Outcome::InSync && body.is_empty();
        if quiet {
            all.in_sync.push(report.deployment.as_str());
        } else if let Some(known) = all.blocks.iter_mut().find(|known| {
            known.body == body && known.reports[0].outcome == report.outcome && report.failure.is_none()
        }) {
            known.reports.push(report);
        } else {
            all.blocks.push(Block { reports: vec![report], body });
        }
    }
    for block in &mut all.blocks {
        if let [only] = block.reports.as_slice() {
            block.body = body(workspace, only, hints, show);
        }
    }
    all
}

/// A deployment like that of a report, without its name and root.
pub(super) fn anyone(workspace: &Workspace, report: &Report) -> Option<Deployment> {
    let deployment = workspace.fleet.deployments.get(&report.deployment)?;
    let name = DeploymentName::new("NAME").ok()?;
    let root = HostPath::new("/ROOT").ok()?;
    Some(Deployment { name, root, ..deployment.clone() })
}

/// The sum, the order and the next command. `selectors` are those that were typed.
pub fn sum(workspace: &Workspace, reports: &[Report], hints: &Hints, selectors: &[String]) -> String {
    let selected: Vec<&Report> = reports.iter().filter(|report| report.selected).collect();
    let goes: Vec<&Report> =
        selected.iter().copied().filter(|report| would_commit(workspace, report)).collect();
    let mut tally = Tally::default();
    for report in &goes {
        tally = tally.and(report.survey.as_ref().map_or_else(Tally::default, |s| Tally::of(&s.plan.actions)));
    }
    let mut parts = Vec::new();
    if goes.is_empty() {
        parts.push("nothing to apply".to_owned());
    } else {
        let Tally { added, changed, merged, removed } = tally;
        let merged = if merged == 0 { String::new() } else { format!(" ({merged} merged)") };
        parts.push(format!(
            "{} to apply: {} to add, {changed} to change{merged}, {removed} to remove",
            count(goes.len(), "deployment"),
            count(added, "file"),
        ));
    }
    for (word, outcome) in [
        ("held", Outcome::Held),
        ("refused", Outcome::Refused),
        ("waiting", Outcome::Waiting),
        (if workspace.statuses().is_some() { "unknown" } else { "offline" }, Outcome::Offline),
        ("locked", Outcome::Locked),
        ("failed", Outcome::Failed),
    ] {
        let number = selected.iter().filter(|report| report.outcome == outcome).count();
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    parts.extend(told::parts(&selected));
    let mut out = format!("Plan: {}.\n", parts.join("; "));
    let order = order(workspace, &goes);
    if order.len() > 1 {
        out.push_str(&format!("Order: {}.\n", order.join(" → ")));
    }
    if !goes.is_empty() {
        let mut words = vec!["apply"];
        words.extend(selectors.iter().map(String::as_str));
        out.push_str(&format!("next: {}\n", hints.command(&words)));
    }
    out
}

/// Whether an apply of this selection would commit something there.
pub fn would_commit(workspace: &Workspace, report: &Report) -> bool {
    let observed = workspace
        .fleet
        .deployments
        .get(&report.deployment)
        .is_some_and(|deployment| deployment.mode == Mode::Observe);
    report.selected
        && !observed
        && !report.is_waiting()
        && report.survey.as_ref().is_some_and(|survey| survey.plan.commits)
}

/// Waves of deployments: each needs only those before it.
fn order(workspace: &Workspace, goes: &[&Report]) -> Vec<String> {
    let mut left: BTreeSet<&DeploymentName> = goes.iter().map(|report| &report.deployment).collect();
    let mut waves = Vec::new();
    while !left.is_empty() {
        let ready: Vec<&DeploymentName> = left
            .iter()
            .copied()
            .filter(|name| {
                let on = workspace.fleet.deployments.get(*name).map(|deployment| &deployment.depends_on);
                on.is_none_or(|on| on.iter().all(|on| !left.contains(on)))
            })
            .collect();
        if ready.is_empty() {
            break;
        }
        left.retain(|name| !ready.contains(name));
        waves.push(compress(ready.into_iter().map(DeploymentName::as_str)));
    }
    waves
}

/// `dev  plan 7f3a9c1, generation 0 → 1`, or for a group its names and number.
fn head(workspace: &Workspace, group: &[&Report], ids: Ids) -> String {
    let name = paint::name(&compress(group.iter().map(|report| report.deployment.as_str())));
    let report = group[0];
    let (word, style) = words::standing(report);
    let mut parts = Vec::new();
    match report.outcome {
        Outcome::Planned => {}
        _ => parts.push(painted(style, word)),
    }
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    if deployment.is_some_and(|deployment| deployment.mode == Mode::Observe) {
        parts.push("observed only, never written".to_owned());
    }
    if deployment.is_some_and(|deployment| deployment.state == State::Absent) {
        parts.push("to be removed, edits kept".to_owned());
    }
    match (&report.survey, group) {
        (Some(survey), [_])
            if survey.plan.commits && ids == Ids::Shown && report.outcome != Outcome::Undecided =>
        {
            let from = survey.plan.generation;
            parts.push(paint::faint(&format!(
                "plan {}, generation {from} → {}",
                survey.plan.id().short(),
                from + 1
            )));
        }
        (_, [_]) => {}
        (_, many) => parts.push(paint::faint(&format!("{} alike", count(many.len(), "deployment")))),
    }
    parts.extend(told::ages(group.iter().copied()).map(|ages| paint::faint(&ages)));
    format!("{name}  {}\n", parts.join(" · ")).replace("  \n", "\n")
}

/// What there is to say of one deployment; empty if it is in sync without edits.
pub fn body(workspace: &Workspace, report: &Report, hints: &Hints, show: Show) -> String {
    match workspace.fleet.deployments.get(&report.deployment) {
        Some(deployment) => body_as(workspace, report, hints, show, deployment),
        None => String::new(),
    }
}

/// The same, with hints for `who`.
fn body_as(workspace: &Workspace, report: &Report, hints: &Hints, show: Show, who: &Deployment) -> String {
    let mut out = String::new();
    if let Some(failure) = &report.failure {
        out.push_str(&failed(failure, who, hints));
    }
    for change in against::changes(workspace, report) {
        out.push_str(&format!("  {}\n", painted(paint::CHANGE, &change)));
    }
    let Some(survey) = &report.survey else { return out };
    out.push_str(&told::stale(report, hints));
    if let Some(interrupted) = &survey.observation.interrupted {
        out.push_str(&format!(
            "  {} the switch to generation {} did not end: files are old and new\n      → {}\n",
            painted(paint::BAD, "interrupted"),
            interrupted.generation,
            hints.of_interrupted(&who.name)
        ));
    }
    // A hold for it says the same.
    if let Some(generation) = report.gone.filter(|_| survey.plan.commits) {
        out.push_str(&format!("  {}\n", painted(paint::BAD, &words::gone(generation))));
    }
    if report.outcome == Outcome::InSync && report.is_ill() {
        out.push_str(&format!("  {}\n", painted(paint::BAD, &apply::ill(report, hints))));
    }
    for (on, because, first) in words::waits(&report.waits) {
        out.push_str(&format!(
            "  {} for {on}: {because}\n      → {}\n",
            painted(paint::CHANGE, "waits"),
            hints.command(&["why", first.as_str()])
        ));
    }
    for reason in &report.gate {
        out.push_str(&format!(
            "  {}: {}\n      → {}\n",
            painted(paint::CHANGE, "waits"),
            gate::text(reason, Some(survey)),
            gate::clears(reason, &who.name, hints)
        ));
    }
    out.push_str(&packs(workspace, report, survey, hints, show.length, who));
    if survey.plan.commits && survey.plan.actions.is_empty() && told::undecided(report).is_empty() {
        let whole = report.compared.as_ref().and_then(|compared| compared.whole.as_ref());
        out.push_str(match whole.is_some_and(|whole| !whole.writes.is_empty()) {
            true => "  of its files nothing changes but what stood before and is not shown\n",
            false => "  no file changes; only the record does\n",
        });
    }
    if let Some(will) = care::will(workspace, report) {
        out.push_str(&format!("  {}\n", paint::faint(&will)));
    }
    if show.diffs == Diffs::Shown {
        out.push_str(
            &bytes::with(workspace, survey, |bytes| diffs::of_plan(survey, bytes)).unwrap_or_default(),
        );
    }
    out
}

fn failed(failure: &Failure, who: &Deployment, hints: &Hints) -> String {
    let mut out = format!("  {}\n", shown(&failure.to_string()));
    for cause in causes(failure) {
        out.push_str(&format!("      because: {cause}\n"));
    }
    if let Some(hint) = hints.of_failure(failure, &who.name) {
        out.push_str(&format!("      → {hint}\n"));
    }
    out
}

/// Each pack of a deployment with its lines and holds; those without either are left out.
fn packs(
    workspace: &Workspace,
    report: &Report,
    survey: &Survey,
    hints: &Hints,
    length: Length,
    who: &Deployment,
) -> String {
    let mut out = String::new();
    for hold in survey.plan.holds.iter().filter(|hold| hold.pack.is_none()) {
        out.push_str(&holds::block(workspace, survey, hold, hints, who));
    }
    let rollback = matches!(survey.plan.purpose, Purpose::Rollback { .. });
    let checks = checks::needed(workspace, survey);
    let names: BTreeSet<&PackName> = survey.drift.packs.keys().chain(survey.plan.next.packs.keys()).collect();
    let widest = names.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
    for name in names {
        let lines = told::lines(lines::of_pack(survey, name), report, name);
        let mut held: Vec<&Hold> =
            survey.plan.holds.iter().filter(|hold| hold.pack.as_ref() == Some(name)).collect();
        if rollback {
            // One path may stand against the undoing of several generations.
            held.dedup_by_key(|hold| &hold.path);
        }
        let versions = if rollback { taken_back(survey, name) } else { words::versions(survey, name) };
        let moves = versions.contains(' ');
        let notes = notes(survey, name);
        // What an overlay went through is no news while nothing happens, but for those who want it all.
        let told = length == Length::Whole && !notes.is_empty();
        if lines.is_empty() && held.is_empty() && !moves && !told {
            continue;
        }
        out.push_str(&format!(
            "  {:<widest$}  {versions}{}\n",
            name.as_str(),
            held_whole(report, survey, name)
        ));
        if is_first_contact(survey, name) {
            out.push_str(&format!("      → {}\n", hints.of_first_contact(&who.name)));
        }
        for hold in held {
            out.push_str(&holds::block(workspace, survey, hold, hints, who));
        }
        out.push_str(&lines::text(&lines, length));
        out.push_str(&notes);
        if !rollback && let Some((_, pack)) = checks.iter().find(|(pack, _)| *pack == name) {
            for command in &pack.checks {
                let command = shown(&Mask::new(workspace).words(&command.join(" ")));
                out.push_str(&format!("    C check {command}: runs before the switch, on a copy\n"));
            }
        }
    }
    out
}

/// Whether a pack that is not on record finds files in its way that may be its own.
pub fn is_first_contact(survey: &Survey, pack: &PackName) -> bool {
    let stranger = |hold: &Hold| {
        matches!(&hold.cause, HoldCause::Conflict { conflict, .. } if **conflict == Conflict::NotOurs)
            && hold.pack.as_ref() == Some(pack)
    };
    survey.installed(pack).is_none() && survey.plan.holds.iter().any(stranger)
}

/// What is worth knowing of a pack's overlays, a line each.
fn notes(survey: &Survey, pack: &PackName) -> String {
    if matches!(survey.plan.purpose, Purpose::Rollback { .. }) {
        return String::new();
    }
    let resolved = survey.resolved.iter().filter(|resolved| &resolved.pack == pack);
    let line = |note| format!("    {} {}\n", painted(paint::CHANGE, "note:"), shown(&format!("{note}")));
    resolved.flat_map(|resolved| &resolved.notes).map(line).collect()
}

/// `1.1.0 → 1.0.0` of a rollback.
fn taken_back(survey: &Survey, pack: &PackName) -> String {
    let now = survey.installed(pack).map(shown);
    let then = survey.plan.next.packs.get(pack).map(|recorded| shown(&recorded.pin.version));
    match (now, then) {
        (Some(now), Some(then)) if now == then => now,
        (Some(now), Some(then)) => format!("{now} → {then}"),
        (Some(now), None) => format!("{now} → gone"),
        (None, Some(then)) => format!("new {then}"),
        (None, None) => String::new(),
    }
}

/// What it means for the pack that something of it is held.
fn held_whole(report: &Report, survey: &Survey, pack: &PackName) -> String {
    let whole = report.compared.as_ref().and_then(|compared| compared.whole.as_ref());
    let stays = survey.plan.holds.iter().any(|hold| hold.pack.as_ref() == Some(pack))
        || whole.is_some_and(|whole| whole.held.contains(pack));
    if !stays {
        return String::new();
    }
    let writes = survey.plan.actions.iter().any(|action| &action.pack == pack)
        || whole.is_some_and(|whole| whole.writes.contains(pack));
    let text = match (writes, survey.installed(pack)) {
        (true, _) => "   held in part",
        (false, Some(_)) => "   held: it keeps what it has, whole",
        (false, None) => "   held: nothing of it is written",
    };
    painted(paint::BAD, text)
}
