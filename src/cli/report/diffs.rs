//! Changes line by line: of a plan, of edits, and three ways.

use super::bytes::Bytes;
use super::words;
use crate::cli::printer::{paint, painted};
use crate::engine::Survey;
use crate::merge::conflict::{Labels, marked};
use crate::merge::diff::unified_diff;
use crate::model::plan::Action;
use crate::model::{Entry, Kind, TreePath};
use crate::plan::{Judged, Standing};

/// What an apply would change, and both sides of what is held.
pub fn of_plan(survey: &Survey, bytes: &Bytes<'_>) -> String {
    let mut out = String::new();
    for action in &survey.plan.actions {
        out.push_str(&of_action(survey, action, bytes));
    }
    for path in survey.plan.holds.iter().filter_map(|hold| hold.path.as_ref()) {
        if let Some((path, judged)) = survey.drift.decidable(path) {
            out.push_str(&both_sides(path, judged, bytes));
        }
    }
    out
}

/// What differs at one path: for an edit from what was left there to what is there; for what an apply
/// would change from what is there to what would be.
pub fn of_path(survey: &Survey, path: &TreePath, judged: &Judged, bytes: &Bytes<'_>) -> String {
    if judged.standing == Standing::HostOwned {
        return String::new();
    }
    if let Some(obstacle) = judged.obstacle() {
        let _ = obstacle;
        return format!("{path}: {}\n", words::obstacle(judged));
    }
    let edited = matches!(judged.standing, Standing::Edited | Standing::Conflicted);
    let mut out = String::new();
    if edited && judged.base().is_some() {
        out.push_str(&from_base(path, judged, bytes, Side::Host));
    }
    match survey.plan.actions.iter().find(|action| &action.path == path) {
        Some(action) => out.push_str(&of_action(survey, action, bytes)),
        None if judged.standing == Standing::Edited => {}
        None if edited && judged.base().is_some() => {
            out.push_str(&from_base(path, judged, bytes, Side::Pack));
        }
        None => {
            let actual = bytes.live(path, judged.actual_entry());
            let desired = bytes.stored(judged.desired_entry());
            let sides = (("host", actual, judged.actual_entry()), ("pack", desired, judged.desired_entry()));
            out.push_str(&one(bytes, path, sides.0, sides.1));
        }
    }
    out
}

/// What one step changes. A file that comes from another path is compared with what it was there.
fn of_action(survey: &Survey, action: &Action, bytes: &Bytes<'_>) -> String {
    let (path, renames) = (&action.path, &survey.plan.renames);
    if action.after.is_none()
        && let Some((to, _)) = renames.iter().find(|(_, from)| *from == path)
    {
        return format!("{path}: renamed to {to}\n");
    }
    let from = renames.get(path).filter(|_| action.before.is_none()).unwrap_or(path);
    let before = match from == path {
        true => action.before,
        false => survey.drift.paths.get(from).and_then(Judged::actual_entry),
    };
    let live = bytes.live(from, before);
    one(bytes, path, ("host", live, before), ("plan", bytes.stored(action.after), action.after))
}

/// Both sides' changes since they parted, and what merging them gives.
pub fn three_ways(path: &TreePath, judged: &Judged, bytes: &Bytes<'_>) -> String {
    let mut out = format!(
        "{}  {}\n",
        paint::name(path.as_str()),
        paint::faint(&format!(
            "recorded {} · host {} · pack {}",
            words::entry(judged.base()),
            words::entry(judged.actual_entry()),
            words::entry(judged.desired_entry())
        ))
    );
    if judged.obstacle().is_some() {
        out.push_str(&format!("  {}\n", words::obstacle(judged)));
        return out;
    }
    out.push_str(&both_sides(path, judged, bytes));
    let Ok(sides) = bytes.sides(path, judged) else { return out };
    let (Some(base), Some(actual), Some(desired)) = (sides.base, sides.actual, sides.desired) else {
        return out;
    };
    let [base, actual, desired] = [base, actual, desired].map(|side| bytes.shown(path, &side));
    let labels = Labels { base: "recorded", ours: "host", theirs: "pack" };
    let Some(merged) = marked(&base, &actual, &desired, labels) else {
        out.push_str("  no text, or too large: it cannot be merged\n");
        return out;
    };
    // Of a long file only what merging changes, in its surroundings: the places to look at are among it.
    let name = if merged.places.is_empty() { "merged" } else { "with-conflicts" };
    let diff = unified_diff(&format!("host/{path}"), &format!("{name}/{path}"), &actual, &merged.text);
    out.push_str(&coloured(&diff));
    out
}

fn both_sides(path: &TreePath, judged: &Judged, bytes: &Bytes<'_>) -> String {
    from_base(path, judged, bytes, Side::Host) + &from_base(path, judged, bytes, Side::Pack)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Host,
    Pack,
}

fn from_base(path: &TreePath, judged: &Judged, bytes: &Bytes<'_>, side: Side) -> String {
    let base = bytes.stored(judged.base());
    let (name, entry) = match side {
        Side::Host => ("host", judged.actual_entry()),
        Side::Pack => ("pack", judged.desired_entry()),
    };
    let there = match side {
        Side::Host => bytes.live(path, entry),
        Side::Pack => bytes.stored(entry),
    };
    one(bytes, path, ("recorded", base, judged.base()), (name, there, entry))
}

/// One side of a diff: its name, its bytes, and what it is.
type Named<'a> = (&'a str, Result<Option<Vec<u8>>, String>, Option<Entry>);

fn one(
    bytes: &Bytes<'_>,
    path: &TreePath,
    (old, old_bytes, was): Named<'_>,
    (new, new_bytes, is): Named<'_>,
) -> String {
    let (old_bytes, new_bytes) = match (old_bytes, new_bytes) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(why), _) | (_, Err(why)) => return format!("{path}: cannot show it: {why}\n"),
    };
    let mut out = String::new();
    if let (Some(was), Some(is)) = (was, is)
        && was.kind != is.kind
    {
        out.push_str(&format!("{path}: {} → {}\n", kind(was.kind), kind(is.kind)));
    }
    let name = |side: &str, bytes: &Option<Vec<u8>>| match bytes {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let names = (name(old, &old_bytes), name(new, &new_bytes));
    let quoted = |side: Option<Vec<u8>>| bytes.shown(path, &side.unwrap_or_default());
    let diff = unified_diff(&names.0, &names.1, &quoted(old_bytes), &quoted(new_bytes));
    if diff.is_empty() && was.is_none() != is.is_none() {
        // An empty file comes or goes: no line says so.
        return format!(
            "{path}: {}\n",
            if is.is_some() { "a new, empty file" } else { "an empty file goes" }
        );
    }
    out.push_str(&coloured(&diff));
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Exec => "executable file",
        Kind::Link => "link",
    }
}

/// A unified diff in the usual colours.
fn coloured(diff: &str) -> String {
    let mut out = String::with_capacity(diff.len() + diff.len() / 8);
    for line in diff.lines() {
        let style = match line.as_bytes().first() {
            _ if line.starts_with("+++ ") || line.starts_with("--- ") => Some(paint::NAME),
            Some(b'+') => Some(paint::GOOD),
            Some(b'-') => Some(paint::BAD),
            Some(b'@') => Some(paint::FAINT),
            _ => None,
        };
        match style {
            Some(style) => out.push_str(&painted(style, line)),
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}
