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
    let HoldCause::Conflict { base, actual, desired, conflict } = &hold.cause else { return Vec::new() };
    // What a rollback would put is not the pack's but what was there before.
    let theirs = if survey.plan.purpose == Purpose::Sync { "pack" } else { "before" };
    let mut lines = vec![paint::faint(&format!(
        "host {} · {theirs} {} · recorded {}",
        words::entry(*actual),
        words::entry(*desired),
        words::entry(*base)
    ))];
    if matches!(conflict, Conflict::Text { .. }) {
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
    let labels = Labels { base: "recorded", ours: "host", theirs: "pack" };
    let marked = marked(&base, &actual, &desired, labels)?;
    let Place { ours, theirs } = marked.places.first()?;
    let mut lines = Vec::new();
    let widest = theirs_name.len().max(5);
    lines.extend(quoted("yours", widest, ours));
    lines.extend(quoted(theirs_name, widest, theirs));
    Some(lines)
}

/// Lines of one side, a few of them, each cut to fit.
fn quoted(whose: &str, widest: usize, side: &[u8]) -> Vec<String> {
    const LINES: usize = 3;
    const CHARS: usize = 84;
    let text = printable(side);
    if text.is_empty() {
        return vec![format!("{whose:<widest$}  {}", paint::faint("(those lines are gone)"))];
    }
    let all: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = all
        .iter()
        .take(LINES)
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
    if all.len() > LINES {
        out.push(format!(
            "{:widest$}  {}",
            "",
            paint::faint(&format!("(and {} lines more)", all.len() - LINES))
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_quoted_in_a_few_short_lines() {
        let stripped = |side: &[u8]| {
            let text = quoted("yours", 5, side).join("\n");
            anstream::adapter::strip_str(&text).to_string()
        };
        assert_eq!(stripped(b"a\x1b[2J\n"), "yours  a\u{241b}[2J");
        assert_eq!(stripped(b""), "yours  (those lines are gone)");
        assert_eq!(stripped(b"1\n2\n3\n4\n5\n"), "yours  1\n       2\n       3\n       (and 2 lines more)");
        assert_eq!(stripped("ä".repeat(200).as_bytes()).chars().count(), 7 + 85);
    }
}
