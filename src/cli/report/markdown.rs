//! A report as Markdown, made for a comment on a pull request: a verdict, a table, then what happens where.
//!
//! Deployments that get the very same share a row and a block. What does not fit is left out from the end, whole
//! blocks at a time, and the report says so. Texts from packs and hosts stand in code only, fenced longer than any
//! fence in them: they make no heading, no link and no mention.

use super::diffs;
use super::gate;
use super::plan::{Block, Blocks, Diffs, Ids, OfflineHosts, Show, blocks};
use super::words::{self, Tally, count};
use super::{bytes, plain};
use crate::cli::hint::Hints;
use crate::cli::output::{Kind, Told};
use crate::cli::report::lines::Length;
use crate::engine::{Outcome, Report, Workspace};
use crate::model::ranges::compress;

/// What GitHub, Gitea and GitLab take as a comment, in characters: the least of them.
pub const COMMENT: usize = 65_536;
/// What GitHub takes as the summary of a step, and a margin.
pub const SUMMARY: usize = 1_000_000;

/// The report, of at most `most` characters.
pub fn report(told: &Told<'_>, hints: &Hints, most: usize) -> String {
    let show =
        Show { length: Length::Whole, diffs: Diffs::Hidden, ids: Ids::Shown, offline: OfflineHosts::Told };
    let blocks = blocks(told.workspace, told.reports, hints, show);
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
    let mut pieces: Vec<String> = Vec::new();
    if !rows.is_empty() {
        out.push_str("\n| Deployment | | Packs | Files | In the way |\n| --- | --- | --- | --- | --- |\n");
        pieces.extend(rows);
    }
    let table = pieces.len();
    pieces.extend(blocks.blocks.iter().filter_map(|block| details(told, block)));
    out + &fitted(&pieces, table, most)
}

/// Rows and blocks, as many as fit, and how many do not.
fn fitted(pieces: &[String], table: usize, most: usize) -> String {
    /// For the heading above, and for the words below.
    const MARGIN: usize = 1_000;
    let mut out = String::new();
    let mut left = most.saturating_sub(MARGIN);
    let mut shown = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let length = piece.chars().count() + 1;
        if length > left {
            break;
        }
        if at == table {
            out.push('\n');
        }
        out.push_str(piece);
        left -= length;
        shown += 1;
    }
    let rows = table.saturating_sub(shown);
    let details = pieces.len() - shown - rows;
    let mut cut = Vec::new();
    if rows > 0 {
        cut.push(format!("{} of {table} of the table", count(rows, "row")));
    }
    if details > 0 {
        cut.push(format!("the details of {}", count(details, "row")));
    }
    if !cut.is_empty() {
        out.push_str(&format!(
            "\n**Clipped**: {} did not fit. A report with `-o json=FILE` has all.\n",
            cut.join(" and ")
        ));
    }
    out
}

/// `2 to change, 1 held, 3 in sync`.
fn verdict(told: &Told<'_>) -> String {
    let selected = || told.reports.iter().filter(|report| report.selected);
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
    let (word, _) = match &report.failure {
        Some(crate::engine::Failure::Unheard(crate::engine::status::Unheard::Silent)) => {
            ("unknown", Default::default())
        }
        _ => words::outcome(report.outcome),
    };
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
fn details(told: &Told<'_>, block: &Block<'_>) -> Option<String> {
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
    let open = if needs_a_person(report) { " open" } else { "" };
    let names = html(&compress(block.names()));
    let word = words::outcome(report.outcome).0;
    let mut out = format!("<details{open}><summary><b>{names}</b>: {word}</summary>\n\n");
    if !said.trim().is_empty() {
        out.push_str(&fenced("text", &unindented(&said)));
    }
    if !diff.is_empty() {
        out.push_str(&fenced("diff", &diff));
    }
    out.push_str("</details>\n");
    Some(out)
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

    #[test]
    fn what_does_not_fit_is_said() {
        let pieces: Vec<String> = (0..10).map(|_| "x".repeat(999)).collect();
        assert_eq!(fitted(&pieces, 4, 100_000).len(), 9_991);
        let cut = fitted(&pieces, 4, 7_000);
        assert!(cut.len() <= 7_000 && cut.contains("the details of 4 rows did not fit"), "{cut}");
        let cut = fitted(&pieces, 4, 3_500);
        assert!(cut.contains("2 rows of 4 of the table and the details of 6 rows"), "{cut}");
    }
}
