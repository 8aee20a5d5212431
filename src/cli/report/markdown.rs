//! A report as Markdown, made for a comment on a pull request: a verdict, a table, then what happens where.
//!
//! Deployments that get the very same share a row and a block. What does not fit is cut where it is longest (see
//! `room`), and the report says what, and what shows it. Texts from packs and hosts stand in code only, fenced longer than any
//! fence in them: they make no heading, no link and no mention.

mod room;

use super::diffs;
use super::gate;
use super::plan::{Block, Blocks, Diffs, Ids, OfflineHosts, Show, blocks};
use super::words::{self, Tally};
use super::{bytes, plain};
use crate::cli::hint::Hints;
use crate::cli::output::{Kind, Told};
use crate::cli::report::lines::Length;
use crate::engine::{Outcome, Report, Workspace};
use crate::model::ranges::compress;
use room::Details;

/// What GitHub, Gitea and GitLab take as a comment, in characters: the least of them.
pub const COMMENT: usize = 65_536;
/// What GitHub takes as the summary of a step, and a margin.
pub const SUMMARY: usize = 1_000_000;

/// The report, of at most `most` characters.
pub fn report(told: &Told<'_>, hints: &Hints, most: usize) -> String {
    let show =
        Show { length: Length::Whole, diffs: Diffs::Hidden, ids: Ids::Shown, offline: OfflineHosts::Told };
    let reports = told.reports.iter().filter(|report| report.is_told());
    let blocks = blocks(told.workspace, reports, hints, show);
    let mut out = format!("<!-- packfleet {} {} -->\n", told.kind.word(), told.workspace.fleet.name);
    out.push_str(&format!("### packfleet {}: {}\n\n", told.kind.word(), verdict(told)));
    out.push_str(&origin(told));
    for sentence in told.against.iter().flat_map(|against| super::against::sentences(against)) {
        out.push_str(&format!("\n{}\n", html(&sentence)));
    }
    if let Some(plan) = told.plan.filter(|plan| told.kind == Kind::Plan && !plan.plans.is_empty()) {
        out.push_str(&format!(
            "\nPlan `{id}`: `packfleet apply --plan-id {id}`, with the selectors of this plan, does exactly this, or nothing.\n",
            id = plan.id
        ));
    }
    let rows = rows(told.workspace, &blocks);
    if !rows.is_empty() {
        out.push_str("\n| Deployment | | Packs | Files | In the way |\n| --- | --- | --- | --- | --- |\n");
    }
    let blocks: Vec<Details> = blocks.blocks.iter().filter_map(|block| details(told, block)).collect();
    let left = most.saturating_sub(out.chars().count());
    out + &room::fitted(&rows, &blocks, left, |name| shows(told, hints, name))
}

/// What shows all that is said of a deployment, its diff with it.
fn shows(told: &Told<'_>, hints: &Hints, name: &str) -> String {
    let done = told.reports.iter().any(|it| it.deployment.as_str() == name && it.committed.is_some());
    match told.kind {
        Kind::Status => return hints.command(&["status", name, "-o", "json"]),
        // No diff was left out: there is none of what is done.
        Kind::Apply if done => return "-o json=FILE".to_owned(),
        Kind::Apply | Kind::Plan => {}
    }
    let mut words = vec!["plan", name, "--diff", "-v"];
    if told.workspace.statuses().is_some() {
        words.push("--from-status");
    }
    if let Some(against) = told.against {
        words.extend(["--against", against.rev.as_str()]);
    }
    hints.command(&words)
}

/// `2 to change, 1 held, 3 in sync`.
fn verdict(told: &Told<'_>) -> String {
    let selected = || told.reports.iter().filter(|report| report.is_told());
    let words = [
        (Outcome::Failed, "failed"),
        (Outcome::TakenBack, "found unhealthy and taken back"),
        (Outcome::Refused, "refused"),
        (Outcome::Held, "held"),
        (Outcome::Locked, "locked"),
        (Outcome::Waiting, "waiting"),
        (Outcome::Undecided, "undecided"),
        (Outcome::Offline, if told.workspace.statuses().is_some() { "unknown" } else { "offline" }),
        (Outcome::RolledBack, "rolled back"),
        (Outcome::Applied, "applied"),
        (Outcome::Planned, "to change"),
        (Outcome::InSync, "in sync"),
    ];
    let parts: Vec<String> = words
        .iter()
        .map(|(outcome, word)| (selected().filter(|report| report.outcome == *outcome).count(), word))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    if parts.is_empty() { "no deployment".to_owned() } else { parts.join(", ") }
}

/// The fleet, its commit, how many answered, and the sum.
fn origin(told: &Told<'_>) -> String {
    let mut parts = vec![format!("fleet {}", code(told.workspace.fleet.name.as_str()))];
    if let Some(at) = told.workspace.commit() {
        parts.push(format!(
            "at {}{}",
            code(at.commit.short()),
            if at.dirty { " with uncommitted changes" } else { "" }
        ));
    }
    parts.push(super::header::answered(told.workspace, told.reports));
    if told.kind == Kind::Plan {
        let going = told.reports.iter().filter(|report| super::plan::would_commit(told.workspace, report));
        let tally = going
            .filter_map(|report| report.survey.as_ref())
            .fold(Tally::default(), |tally, survey| tally.and(Tally::of(&survey.plan.actions)));
        if tally != Tally::default() {
            parts.push(tally.future());
        }
    }
    format!("{}\n", parts.join(" · "))
}

fn rows(workspace: &Workspace, blocks: &Blocks<'_>) -> Vec<String> {
    let mut rows: Vec<String> = blocks.blocks.iter().map(|block| row(workspace, block)).collect();
    if !blocks.in_sync.is_empty() {
        rows.push(format!("| {} | in sync | | | |\n", names(&blocks.in_sync)));
    }
    rows
}

fn row(workspace: &Workspace, block: &Block<'_>) -> String {
    let report = block.reports[0];
    let (word, _) = words::standing(report);
    let loud = !matches!(report.outcome, Outcome::InSync | Outcome::Planned | Outcome::Applied);
    let word = if loud { format!("**{word}**") } else { word.to_owned() };
    let (mut packs, mut files, mut why) = (String::new(), String::new(), String::new());
    if let Some(survey) = &report.survey {
        let versions =
            survey.drift.packs.keys().map(|pack| format!("{pack} {}", words::versions(survey, pack)));
        packs = versions.map(|text| code(&text)).collect::<Vec<_>>().join("<br>");
        // What was taken back is neither done nor to be done.
        if survey.plan.commits && report.taken_back().is_none() {
            let tally = Tally::of(&survey.plan.actions);
            files = if report.committed.is_some() { tally.past() } else { tally.future() };
        }
        why = words::holds(&survey.plan.holds);
    }
    if let Some(undecided) = super::told::why(report) {
        why = undecided;
    }
    if super::told::is_stale(report) {
        why = format!("stale; {why}").trim_end_matches("; ").to_owned();
    }
    if let Some(failure) = &report.failure {
        why = code(&crate::cli::printer::shown(&failure.to_string()));
    }
    if let Some(reason) = report.gate.first().filter(|_| report.outcome == Outcome::Waiting) {
        why = code(&gate::text(reason, report.survey.as_ref()));
    }
    for (on, _, _) in words::waits(&report.waits) {
        why = format!("waits for {on}");
    }
    if workspace
        .fleet
        .deployments
        .get(&report.deployment)
        .is_some_and(|it| it.mode == crate::model::fleet::Mode::Observe)
    {
        why = format!("{why} observed only").trim().to_owned();
    }
    format!("| {} | {word} | {packs} | {files} | {why} |\n", names(&block.names()))
}

/// What happens there, to be unfolded; what needs a person is unfolded already.
fn details(told: &Told<'_>, block: &Block<'_>) -> Option<Details> {
    let report = block.reports[0];
    let said = plain(&block.body);
    let diff = told.kind != Kind::Status;
    let diff = report
        .survey
        .as_ref()
        .filter(|_| diff && report.committed.is_none() && report.taken_back().is_none())
        .and_then(|survey| {
            bytes::with(told.workspace, survey, |bytes| plain(&diffs::of_plan(survey, bytes)))
        });
    let diff = diff.unwrap_or_default();
    if said.trim().is_empty() && diff.is_empty() {
        return None;
    }
    Some(Details {
        names: compress(block.names()),
        first: report.deployment.to_string(),
        word: words::standing(report).0,
        open: needs_a_person(report),
        said: if said.trim().is_empty() { String::new() } else { unindented(&said) },
        diff,
    })
}

fn needs_a_person(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Held | Outcome::Refused | Outcome::Failed | Outcome::TakenBack)
}

fn names(names: &[&str]) -> String {
    code(&compress(names.iter().copied()))
}

/// Without the two blanks that every line begins with.
fn unindented(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// A code span in a table's cell: nothing in it is Markdown.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|").replace(['\n', '\r'], " ");
    let longest = longest_run(&text);
    let fence = "`".repeat(longest + 1);
    if longest == 0 { format!("`{text}`") } else { format!("{fence} {text} {fence}") }
}

/// A block of code.
pub(super) fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}{language}\n{text}{end}{fence}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_leaves_its_code() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b|c"), "`` a`b\\|c ``");
        assert_eq!(fenced("diff", "+ ```\n+ @team\n"), "````diff\n+ ```\n+ @team\n````\n");
        assert_eq!(fenced("text", "x"), "```text\nx\n```\n");
    }
}
