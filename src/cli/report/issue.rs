//! One deployment for an issue, as Markdown: what it holds and should hold, what is in the way, what was seen, what
//! differs there, what was done there, and where all of this was found.
//!
//! Everything that was not written here stands in blocks of code that it cannot leave, and secrets are masked in
//! the whole of it. Deliberately absent: contents of files; `diff` shows them to whoever may see them.

use jiff::Timestamp;

use super::header::header;
use super::markdown::fenced;
use super::why::why;
use super::{care, lines, plain, words};
use crate::cli::hint::Hints;
use crate::cli::printer::shown;
use crate::engine::mask::Mask;
use crate::engine::{Outcome, Report, Survey, Workspace};
use crate::host::HistoryLine;
use crate::model::desired::Resolution;
use crate::model::fleet::Deployment;

/// So many paths are listed.
const PATHS: usize = 60;
/// So many lines of the history are.
const PAST: usize = 10;

/// What is known of it.
pub struct About<'a> {
    /// The fleet.
    pub workspace: &'a Workspace,
    /// The deployment.
    pub deployment: &'a Deployment,
    /// What a pass found, of it and of whom it waits for.
    pub reports: &'a [Report],
    /// What was done there, oldest first.
    pub history: &'a [HistoryLine],
    /// Why that cannot be read, if it cannot.
    pub unread: Option<String>,
    /// The time of all this.
    pub now: Timestamp,
}

/// The Markdown.
pub fn issue(about: &About<'_>, last: Option<&HistoryLine>, hints: &Hints) -> String {
    let About { workspace, deployment, reports, history, unread, now } = about;
    let name = &deployment.name;
    let Some(report) = reports.iter().find(|report| &report.deployment == name) else { return String::new() };
    let mut out = format!("### {name}: {}\n\n", words::outcome(report.outcome).0);
    out.push_str(&fenced("text", &plain(&why(workspace, reports, name, last, *now, hints))));
    if let Some(survey) = &report.survey {
        out.push_str(&packs(survey));
    }
    let seen = report.health.iter().flat_map(|health| &health.evidence).cloned().collect::<Vec<_>>();
    if !seen.is_empty() {
        out.push_str("\n#### What was seen\n\n");
        out.push_str(&fenced("text", &plain(&care::evidence(workspace, &seen).join("\n"))));
    }
    if let Some(survey) = &report.survey {
        out.push_str(&drift(survey));
    }
    if !history.is_empty() {
        out.push_str("\n#### What was done there\n\n");
        out.push_str(&fenced("text", &past(history)));
    }
    if let Some(why) = unread {
        out.push_str("\n#### What was done there\n\n");
        out.push_str(&fenced("text", &format!("not known: {}\n", shown(why))));
    }
    out.push_str("\n#### Where\n\n");
    out.push_str(&fenced("text", &environment(about, report)));
    Mask::new(workspace).words(&out)
}

/// Versions and trees, from and to, and the plan.
fn packs(survey: &Survey) -> String {
    let mut text = String::new();
    for pack in survey.drift.packs.keys() {
        let had = survey.observation.record.as_ref().and_then(|record| record.packs.get(pack));
        let tree = had.map_or_else(|| "-".to_owned(), |had| had.pin.tree.short());
        let given = match survey.desired.packs.get(pack) {
            Some(Resolution::Pinned(pack)) => pack.recorded.pin.tree.short(),
            Some(Resolution::Held(_)) => "?".to_owned(),
            None => "-".to_owned(),
        };
        let commit = had.and_then(|had| had.pin.commit.as_ref()).map_or("", |commit| commit.short());
        text.push_str(&format!("{pack}  {}  tree {tree}", words::versions(survey, pack)));
        if tree != given {
            text.push_str(&format!(" → {given}"));
        }
        if !commit.is_empty() {
            text.push_str(&format!("  recorded commit {commit}"));
        }
        text.push('\n');
    }
    let plan = &survey.plan;
    if plan.commits {
        let tally = words::Tally::of(&plan.actions).future();
        text.push_str(&format!("plan {}  from generation {}  {tally}\n", plan.id(), plan.generation));
    } else {
        text.push_str(&format!("nothing would be written  generation {}\n", plan.generation));
    }
    format!("\n#### Versions and plan\n\n{}", fenced("text", &text))
}

/// What differs, by path.
fn drift(survey: &Survey) -> String {
    let mut all = Vec::new();
    for pack in survey.drift.packs.keys() {
        for line in lines::of_pack(survey, pack) {
            all.push(format!("{} {}  {}", line.letter, line.path, plain(&line.note)).trim_end().to_owned());
        }
    }
    let held = survey.plan.holds.iter().filter_map(|hold| {
        let path = hold.path.as_ref()?;
        Some(format!("X {path}  {}", words::hold(&hold.cause)))
    });
    all.extend(held);
    if all.is_empty() {
        return String::new();
    }
    let more = all.len().saturating_sub(PATHS);
    all.truncate(PATHS);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    format!("\n#### What differs there\n\n{}", fenced("text", &plain(&all.join("\n"))))
}

/// The end of the history.
fn past(history: &[HistoryLine]) -> String {
    let skipped = history.len().saturating_sub(PAST);
    let mut text = String::new();
    if skipped > 0 {
        text.push_str(&format!("({skipped} before)\n"));
    }
    for line in &history[skipped..] {
        let packs: Vec<String> =
            line.packs.iter().map(|(name, version)| format!("{name} {}", shown(version))).collect();
        let reason = line.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", shown(reason)));
        text.push_str(&format!(
            "{}  generation {}  {}{reason}  {}  +{} ~{} -{}  {} held\n",
            words::time(line.time),
            line.generation,
            line.purpose,
            packs.join(", "),
            line.created,
            line.replaced,
            line.removed,
            line.held
        ));
    }
    text
}

/// Which program, which fleet, which host.
fn environment(about: &About<'_>, report: &Report) -> String {
    let About { workspace, deployment, reports, now, .. } = about;
    let mut text = format!(
        "packfleet {} on {} {}, {}\n{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        words::time(*now),
        plain(&header(workspace, reports))
    );
    text.push_str(&format!("host {}  root {}\n", deployment.host, deployment.root));
    if let Ok(features) = workspace.host(deployment).features() {
        text.push_str(&format!("kernel and file system: {features:?}\n"));
    } else if report.outcome != Outcome::Offline {
        text.push_str("kernel and file system: not known\n");
    }
    text
}
