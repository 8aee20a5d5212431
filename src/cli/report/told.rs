//! What a report says that was made from statuses: how old they are, and what they leave undecided.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lines::Line;
use super::words::count;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted};
use crate::engine::status::Undecided;
use crate::engine::{Outcome, Report};
use crate::model::{PackName, TreePath};

/// Nothing is undecided.
const NONE: &BTreeMap<TreePath, Undecided> = &BTreeMap::new();

/// Paths of a report that only the host's bytes decide.
pub fn undecided(report: &Report) -> &BTreeMap<TreePath, Undecided> {
    report.told.as_ref().map_or(NONE, |told| &told.undecided)
}

/// The lines of a pack with those that are undecided in the place of whatever else was said of their paths.
pub fn lines(mut lines: Vec<Line>, report: &Report, pack: &PackName) -> Vec<Line> {
    let undecided = undecided(report);
    if undecided.is_empty() {
        return lines;
    }
    lines.retain(|line| !undecided.contains_key(&line.path));
    let mine = undecided.iter().filter(|(_, it)| &it.pack == pack);
    lines.extend(mine.map(|(path, it)| Line { letter: '?', path: path.clone(), note: it.doubt.to_string() }));
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    lines
}

/// How long ago something was.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `status 4m old`, `statuses 1m to 14m old`; `None` if they were looked at.
pub fn ages<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Option<String> {
    let ages: Vec<Duration> =
        reports.into_iter().filter_map(|report| report.told.as_ref()).map(|told| told.age).collect();
    let (young, old) = (ages.iter().min()?, ages.iter().max()?);
    Some(match (age(*young), age(*old)) {
        (young, old) if young == old && ages.len() == 1 => format!("status {old} old"),
        (young, old) if young == old => format!("statuses {old} old"),
        (young, old) => format!("statuses {young} to {old} old"),
    })
}

/// Whether a report rests on a status that is too old to count on.
pub fn is_stale(report: &Report) -> bool {
    report.told.as_ref().is_some_and(|told| told.stale)
}

/// What to know before anything else of one deployment: that its status is too old.
pub fn stale(report: &Report, hints: &Hints) -> String {
    if !is_stale(report) {
        return String::new();
    }
    let apply = hints.command(&["plan", report.deployment.as_str()]);
    format!(
        "  {} nobody published it for three heartbeats: it may hold something else by now\n      → {apply} looks at the host\n",
        painted(paint::CHANGE, "stale"),
    )
}

/// How many there are of each that is not known as it should be, for a sum.
pub fn parts(selected: &[&Report]) -> Vec<String> {
    let number = |is: &dyn Fn(&Report) -> bool| selected.iter().filter(|report| is(report)).count();
    let mut parts = Vec::new();
    let stale = number(&is_stale);
    if stale > 0 {
        parts.push(format!("{stale} stale"));
    }
    let paths: usize = selected.iter().map(|report| undecided(report).len()).sum();
    if paths > 0 {
        let hosts = number(&|report: &Report| !undecided(report).is_empty());
        parts.push(format!("{} undecided on {}", count(paths, "path"), count(hosts, "host")));
    }
    parts
}

/// What is undecided, in a line of a table.
pub fn why(report: &Report) -> Option<String> {
    let undecided = undecided(report);
    if report.outcome != Outcome::Undecided {
        return None;
    }
    Some(match undecided.iter().next() {
        Some((path, it)) if undecided.len() == 1 => format!("{path}: {}", it.doubt),
        _ => format!("{} that only the host decides", count(undecided.len(), "path")),
    })
}
