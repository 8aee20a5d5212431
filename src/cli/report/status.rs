//! The table of deployments: what each holds, and what stands in the way.

use std::collections::BTreeSet;

use super::apply::kept;
use super::header::header;
use super::table::table;
use super::told;
use super::words::{self, count};
use super::{care, gate};
use crate::cli::hint::Hints;
use crate::cli::printer::{painted, shown};
use crate::engine::{Failure, Outcome, Report, Workspace, checks};
use crate::host::Health;
use crate::model::PackName;
use crate::model::fleet::{Mode, State};
use crate::model::plan::HoldCause;
use crate::model::ranges::compress;

/// More deployments than this are drawn together where their rows are equal.
const FEW: usize = 12;
/// More packs than this share one column.
const FEW_PACKS: usize = 4;

/// Which rows are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// Those that are not in sync.
    Unsettled,
}

/// The table, with a line above and one below it.
pub fn status(
    workspace: &Workspace,
    reports: &[Report],
    hints: &Hints,
    rows: Rows,
    width: Option<usize>,
) -> String {
    let selected: Vec<&Report> = reports.iter().filter(|report| report.selected).collect();
    let shown: Vec<&Report> =
        selected.iter().copied().filter(|report| rows == Rows::All || !is_quiet(report)).collect();
    let packs: BTreeSet<&PackName> = shown
        .iter()
        .filter_map(|report| report.survey.as_ref())
        .flat_map(|survey| survey.drift.packs.keys())
        .collect();
    let packs: Vec<&PackName> = packs.into_iter().collect();
    let health = care::matters(workspace, &shown);
    let mut head = vec!["DEPLOYMENT".to_owned(), "SYNC".to_owned()];
    head.extend(health.then(|| "HEALTH".to_owned()));
    if packs.len() <= FEW_PACKS {
        head.extend(packs.iter().map(|pack| pack.as_str().to_uppercase()));
    } else {
        head.push("PACKS".to_owned());
    }
    head.push("EDITS".to_owned());
    let aged = workspace.statuses().is_some();
    head.extend(aged.then(|| "AGE".to_owned()));
    head.push("WHY".to_owned());

    let mut groups: Vec<(Vec<&str>, Vec<String>, Outcome)> = Vec::new();
    for report in &shown {
        let mut cells = cells(workspace, report, hints, &packs);
        if health {
            cells.insert(1, care::word(report.health.as_ref()).0.to_owned());
        }
        let known = groups.iter_mut().find(|(_, known, _)| shown.len() > FEW && *known == cells);
        match known {
            Some((names, ..)) => names.push(report.deployment.as_str()),
            None => groups.push((vec![report.deployment.as_str()], cells, report.outcome)),
        }
    }
    let lines: Vec<Vec<String>> = groups
        .iter()
        .map(|(names, cells, _)| {
            let mut row = vec![compress(names.iter().copied())];
            row.extend(cells.iter().cloned());
            row
        })
        .collect();
    let mut out = header(workspace, reports);
    if !lines.is_empty() {
        out.push('\n');
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        out.push_str(&coloured(&table(&head, &lines, "WHY", width)));
    }
    out.push_str(&below(&selected, &shown, hints));
    out
}

/// Nothing is to be told of it.
fn is_quiet(report: &Report) -> bool {
    report.outcome == Outcome::InSync
        && !interrupted(report)
        && !report.health.as_ref().is_some_and(Health::is_open)
}

fn interrupted(report: &Report) -> bool {
    report.survey.as_ref().is_some_and(|survey| survey.observation.interrupted.is_some())
}

/// A row without its name.
fn cells(workspace: &Workspace, report: &Report, hints: &Hints, packs: &[&PackName]) -> Vec<String> {
    let mut cells = vec![sync(report).to_owned()];
    match &report.survey {
        Some(survey) if packs.len() <= FEW_PACKS => {
            cells.extend(packs.iter().map(|pack| dash(words::versions(survey, pack))));
        }
        Some(survey) => {
            let held = packs.iter().filter(|pack| survey.drift.packs.contains_key(**pack));
            let all: Vec<String> =
                held.map(|pack| format!("{pack} {}", words::versions(survey, pack))).collect();
            cells.push(dash(all.join(", ")));
        }
        None => {
            cells.extend((0..if packs.len() <= FEW_PACKS { packs.len() } else { 1 }).map(|_| "?".to_owned()))
        }
    }
    cells.push(edits(report));
    if workspace.statuses().is_some() {
        let mark = if told::is_stale(report) { ", stale !" } else { "" };
        let age = report.told.as_ref().map(|told| format!("{}{mark}", told::age(told.age)));
        cells.push(age.unwrap_or_else(|| "?".to_owned()));
    }
    cells.push(why(workspace, report, hints));
    cells
}

/// How many edits stay, and whether they exist elsewhere: `6, 6 only here !`, `1, in git (5ab0e12)`.
fn edits(report: &Report) -> String {
    let edits = report.survey.as_ref().map_or(0, kept);
    let Some(whereabouts) = report.whereabouts.as_ref().filter(|_| edits > 0) else {
        return dash(if edits == 0 { String::new() } else { edits.to_string() });
    };
    let here = whereabouts.here_only.len();
    let commits: Vec<&str> = whereabouts.commits.iter().map(|at| at.commit.short()).collect();
    match here {
        0 => format!("{edits}, in git ({})", commits.join(", ")),
        _ => format!("{edits}, {here} only here !"),
    }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// How it stands, in a word.
fn sync(report: &Report) -> &'static str {
    if interrupted(report) {
        return "interrupted";
    }
    let survey = report.survey.as_ref();
    match report.outcome {
        Outcome::InSync if survey.is_some_and(|survey| kept(survey) > 0) => "edited",
        Outcome::Planned if survey.is_some_and(|survey| survey.observation.record.is_none()) => "new",
        Outcome::Held if survey.is_some_and(only_rejected) => "rejected",
        Outcome::Offline if matches!(report.failure, Some(Failure::Unheard(_))) => "unknown",
        outcome => words::outcome(outcome).0,
    }
}

fn only_rejected(survey: &crate::engine::Survey) -> bool {
    survey.plan.holds.iter().all(|hold| matches!(hold.cause, HoldCause::Rejected { .. }))
}

/// What is in the way, or what there is to do, in a line.
pub fn why(workspace: &Workspace, report: &Report, hints: &Hints) -> String {
    if let Some(failure) = &report.failure {
        return shown(&failure.to_string());
    }
    if interrupted(report) {
        return format!("a switch did not end: {}", hints.of_interrupted(&report.deployment));
    }
    let observed =
        workspace.fleet.deployments.get(&report.deployment).is_some_and(|d| d.mode == Mode::Observe);
    let holds = report.survey.as_ref().map_or(&[][..], |survey| &survey.plan.holds);
    let waits = words::waits(&report.waits);
    if let Some(why) = told::why(report) {
        return why;
    }
    match (waits.first(), holds) {
        (None, _) if report.outcome == Outcome::Waiting && !report.gate.is_empty() => {
            let words = report.gate.iter().map(|reason| gate::text(reason, report.survey.as_ref()));
            words.collect::<Vec<_>>().join("; ")
        }
        (Some((on, because, _)), _) => format!("{on}: {because}"),
        (None, [only]) => match &only.path {
            Some(path) => format!("{path}: {}", words::hold(&only.cause)),
            None => words::hold(&only.cause),
        },
        (None, []) if report.health.as_ref().is_some_and(Health::is_open) => {
            let evidence = report.health.iter().flat_map(|health| &health.evidence).next();
            evidence.map_or_else(String::new, |evidence| shown(&evidence.to_string()))
        }
        (None, []) if observed => "mode = \"observe\"".to_owned(),
        (None, []) => settled(workspace, report),
        (None, many) => words::holds(many),
    }
}

/// Nothing is in the way: what there is to do, if there is.
fn settled(workspace: &Workspace, report: &Report) -> String {
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    match (report.outcome, &report.survey) {
        (Outcome::Planned, Some(survey)) => match checks::failed_last(workspace, survey).as_slice() {
            [] => words::Tally::of(&survey.plan.actions).future(),
            [(pack, _), ..] => format!("a check of pack {pack} failed when it was applied last"),
        },
        (Outcome::InSync, _) if deployment.is_some_and(|d| d.state == State::Absent) => {
            "removed: its stanza can go".to_owned()
        }
        (Outcome::InSync, _) => report.paused.as_ref().map_or(String::new(), |why| gate::text(why, None)),
        _ => String::new(),
    }
}

/// The line below: edits in all, and the next command.
fn below(selected: &[&Report], rows: &[&Report], hints: &Hints) -> String {
    let mut out = String::new();
    let edits: usize = selected.iter().filter_map(|report| report.survey.as_ref()).map(kept).sum();
    let mut says = Vec::new();
    if edits > 0 {
        let mut line =
            format!("{} kept ({})", count(edits, "edit"), hints.command(&["diff", "NAME"]).replace("'", ""));
        let only = |report: &&Report| report.whereabouts.as_ref().map_or(0, |it| it.here_only.len());
        let having: Vec<&Report> = selected.iter().copied().filter(|report| only(report) > 0).collect();
        let here: usize = having.iter().map(only).sum();
        if here > 0 {
            let (name, place) = match having.as_slice() {
                [one] => (one.deployment.as_str(), "one host"),
                _ => ("NAME", "hosts"),
            };
            let verb = if here == 1 { "exists" } else { "exist" };
            let capture = hints.command(&["capture", name]);
            line.push_str(&format!(", {here} {verb} on {place} only ({capture})"));
        }
        says.push(line);
    }
    let pending = selected.iter().filter(|report| report.outcome == Outcome::Planned).count();
    if pending > 0 {
        says.push(format!("{} pending ({})", pending, hints.command(&["plan"])));
    }
    let stuck = selected
        .iter()
        .filter(|report| {
            matches!(report.outcome, Outcome::Held | Outcome::Refused | Outcome::Waiting | Outcome::Offline)
        })
        .count();
    if stuck > 0 {
        says.push(format!("{} held up ({})", stuck, hints.command(&["why", "NAME"])));
    }
    if rows.is_empty() {
        says.push("everything is in sync".to_owned());
    }
    if !says.is_empty() {
        out.push_str(&format!("\n{}\n", says.join(" · ")));
    }
    out
}

/// The table with its second column in colour; up to there every character is ASCII.
fn coloured(table: &str) -> String {
    use crate::cli::printer::paint;
    let mut lines = table.lines();
    let Some(head) = lines.next() else { return String::new() };
    let at = head.find("SYNC").unwrap_or(0);
    let mut out = format!("{}\n", paint::faint(head));
    let styles = [
        ("in sync", paint::GOOD),
        ("edited", paint::YOURS),
        ("new", paint::CHANGE),
        ("pending", paint::CHANGE),
        ("waiting", paint::CHANGE),
        ("undecided", paint::CHANGE),
        ("unknown", paint::CHANGE),
        ("locked", paint::CHANGE),
        ("held", paint::BAD),
        ("rejected", paint::BAD),
        ("refused", paint::BAD),
        ("unhealthy", paint::BAD),
        ("failed", paint::BAD),
        ("interrupted", paint::BAD),
    ];
    for line in lines {
        let word = line.get(at..).and_then(|rest| {
            styles.iter().find(|(word, _)| {
                rest.strip_prefix(word).is_some_and(|after| after.is_empty() || after.starts_with("  "))
            })
        });
        match word {
            Some((word, style)) => {
                out.push_str(&line[..at]);
                out.push_str(&painted(*style, word));
                out.push_str(&line[at + word.len()..]);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}
