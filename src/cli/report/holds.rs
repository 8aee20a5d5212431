//! A hold as text: the path, the cause, both sides, and what clears it.

use super::bytes::{self, Bytes};
use super::words;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted};
use crate::engine::{Survey, Workspace};
use crate::merge::conflict::{Labels, Place, marked};
use crate::merge::diff::printable;
use crate::model::fleet::Deployment;
use crate::model::plan::{Conflict, Hold, HoldCause, Purpose};

/// The lines of one hold, for below its pack; the hint is for `who`.
pub fn block(workspace: &Workspace, survey: &Survey, hold: &Hold, hints: &Hints, who: &Deployment) -> String {
    let mut out = String::new();
    let letter = painted(paint::BAD, "X");
    let cause = words::hold(&hold.cause);
    match &hold.path {
        Some(path) => out.push_str(&format!("    {letter} {path}  {cause}\n")),
        None => out.push_str(&format!("    {letter} {cause}\n")),
    }
    for line in details(workspace, survey, hold) {
        out.push_str(&format!("      {line}\n"));
    }
    let (pack, path) = (hold.pack.as_ref(), hold.path.as_ref());
    let hint = hints.of_hold(&hold.cause, pack, path, who, &survey.plan.purpose);
    out.push_str(&format!("      → {hint}\n"));
    out
}

/// Both sides of a conflict: their digests, and the first place at which they collide.
pub fn details(workspace: &Workspace, survey: &Survey, hold: &Hold) -> Vec<String> {
    let HoldCause::Conflict { base, actual, desired, renamed, conflict } = &hold.cause else {
        return Vec::new();
    };
    // What a rollback would put is not the pack's but what was there before.
    let theirs = if survey.plan.purpose == Purpose::Sync { "pack" } else { "before" };
    let there = renamed.as_ref().map_or_else(String::new, |to| format!(" ({to})"));
    let mut lines = vec![paint::faint(&format!(
        "host {} · {theirs} {}{there} · recorded {}",
        words::entry(*actual),
        words::entry(*desired),
        words::entry(*base)
    ))];
    let record = survey.observation.record.as_ref();
    if record.zip(hold.path.as_ref()).is_some_and(|(record, path)| record.decisions.contains_key(path)) {
        lines.push("what was decided here lapsed: the file or what the pack gives changed since".to_owned());
    }
    if matches!(**conflict, Conflict::Text { .. }) {
        let sides = bytes::with(workspace, survey, |bytes| sides(bytes, hold, theirs));
        lines.extend(sides.flatten().unwrap_or_default());
    }
    lines
}

fn sides(bytes: &Bytes<'_>, hold: &Hold, theirs_name: &str) -> Option<Vec<String>> {
    let HoldCause::Conflict { base, actual, desired, .. } = &hold.cause else { return None };
    let path = hold.path.as_ref()?;
    let base = bytes.stored(*base).ok()??;
    let actual = bytes.live(path, *actual).ok()??;
    let desired = bytes.stored(*desired).ok()??;
    let [base, actual, desired] = [base, actual, desired].map(|side| bytes.shown(path, &side));
    let labels = Labels { base: "recorded", ours: "host", theirs: "pack" };
    let marked = marked(&base, &actual, &desired, labels)?;
    let Place { ours, theirs } = marked.places.first()?;
    let mut lines = Vec::new();
    let widest = theirs_name.len().max(5);
    lines.extend(quoted("yours", widest, ours, theirs));
    lines.extend(quoted(theirs_name, widest, theirs, ours));
    Some(lines)
}

/// Lines of one side, a few of them, each cut to fit: of many those around the one that is most like a line of
/// the other side, for there the two collide.
fn quoted(whose: &str, widest: usize, side: &[u8], other: &[u8]) -> Vec<String> {
    const LINES: usize = 3;
    const CHARS: usize = 84;
    let (text, other) = (printable(side), printable(other));
    if text.is_empty() {
        return vec![format!("{whose:<widest$}  {}", paint::faint("(those lines are gone)"))];
    }
    let all: Vec<&str> = text.lines().collect();
    let mut first = match all.len() > LINES {
        true => most_alike(&all, &other).saturating_sub(1).min(all.len() - LINES),
        false => 0,
    };
    let end = all.len().min(first + LINES);
    // A blank line at the top says nothing.
    while all.len() > LINES && first + 1 < end && all[first].trim().is_empty() {
        first += 1;
    }
    let mut out: Vec<String> = all[first..end]
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let line: String = match line.char_indices().nth(CHARS) {
                Some((end, _)) => format!("{}…", &line[..end]),
                None => (*line).to_owned(),
            };
            let whose = if at == 0 { whose } else { "" };
            format!("{whose:<widest$}  {line}").trim_end().to_owned()
        })
        .collect();
    let left_out = match (first, all.len() - end) {
        (0, 0) => return out,
        (0, after) => format!("(and {} more)", words::count(after, "line")),
        (before, 0) => format!("(and {} before)", words::count(before, "line")),
        (before, after) => format!("(and {} before, {after} more)", words::count(before, "line")),
    };
    out.push(format!("{:widest$}  {}", "", paint::faint(&left_out)));
    out
}

/// Which of the lines begins and ends most like some line of the other side; the first of equals.
fn most_alike(lines: &[&str], other: &str) -> usize {
    /// More lines than that are not compared with each other: a report may not take long.
    const MOST: usize = 200;
    let alike = |a: &str, b: &str| {
        let (a, b) = (a.trim(), b.trim());
        let begin = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
        let end = a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count();
        begin.max(end)
    };
    let best = |line: &str| other.lines().take(MOST).map(|theirs| alike(line, theirs)).max().unwrap_or(0);
    let scores = lines.iter().take(MOST).map(|line| best(line)).enumerate();
    scores.max_by_key(|(at, score)| (*score, std::cmp::Reverse(*at))).map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_quoted_in_a_few_short_lines() {
        let stripped = |side: &[u8]| {
            let text = quoted("yours", 5, side, b"").join("\n");
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(stripped(b"a\x1b[2J\n"), "yours  a\u{241b}[2J");
        assert_eq!(stripped(b""), "yours  (those lines are gone)");
        assert_eq!(stripped(b"1\n2\n3\n4\n5\n"), "yours  1\n       2\n       3\n       (and 2 lines more)");
        assert_eq!(stripped("ä".repeat(200).as_bytes()).chars().count(), 7 + 85);
    }

    #[test]
    fn of_many_lines_those_are_quoted_at_which_the_sides_collide() {
        let ours = b"    if (!prompt && !event.files) {\n";
        let theirs = b"    // Early.\n    let missed = false;\n    if (known) {\n    }\n\n    // No prompt.\n    if (!prompt && !missed) {\n";
        let stripped = |side: &[u8], other: &[u8]| {
            let text = quoted("pack", 5, side, other).join("\n");
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(
            stripped(theirs, ours),
            "pack       // No prompt.\n           if (!prompt && !missed) {\n       (and 5 lines before)"
        );
        assert_eq!(
            stripped(ours, theirs),
            "yours      if (!prompt && !event.files) {".replace("yours", "pack ")
        );
        let middle = b"1\n2\n3\nbe very brief\n5\n6\n";
        assert_eq!(
            stripped(middle, b"be brief\n"),
            "pack   3\n       be very brief\n       5\n       (and 2 lines before, 1 more)"
        );
    }
}
