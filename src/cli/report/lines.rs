//! One line per path of a plan, with a letter that says what happens there.

use std::collections::BTreeMap;

use anstyle::Style;

use super::words::count;
use crate::cli::printer::{paint, painted};
use crate::engine::Survey;
use crate::model::fleet::Deleted;
use crate::model::plan::{Action, Cause, Purpose};
use crate::model::{Content, PackName, TreePath};
use crate::plan::{Judged, Standing};

/// The note of a file that was there before packfleet and is equal.
const ADOPTED: &str = "equal: adopted";

/// What happens at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `+ ~ - M E H = !`, as the help of `plan` explains them.
    pub letter: char,
    /// Where.
    pub path: TreePath,
    /// What there is to say about it; may be empty.
    pub note: String,
}

impl Line {
    fn new(letter: char, path: &TreePath, note: impl Into<String>) -> Self {
        Self { letter, path: path.clone(), note: note.into() }
    }
}

/// The lines of one pack, by path. Held paths are not among them.
pub fn of_pack(survey: &Survey, pack: &PackName) -> Vec<Line> {
    let actions: BTreeMap<&TreePath, &Action> =
        survey.plan.actions.iter().filter(|action| &action.pack == pack).map(|a| (&a.path, a)).collect();
    let mut lines: Vec<Line> = actions.values().map(|action| of_action(survey, action)).collect();
    if survey.plan.purpose == Purpose::Sync {
        let held = |path: &TreePath| survey.plan.holds.iter().any(|hold| hold.path.as_ref() == Some(path));
        let others = survey
            .drift
            .paths
            .iter()
            .filter(|(path, judged)| &judged.pack == pack && !actions.contains_key(path) && !held(path));
        lines.extend(others.filter_map(|(path, judged)| of_standing(survey, path, judged)));
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    lines
}

fn of_action(survey: &Survey, action: &Action) -> Line {
    let judged = survey.drift.paths.get(&action.path);
    let host_owned = judged.is_some_and(|judged| judged.standing == Standing::HostOwned);
    let overlaid = action.after.is_some_and(|after| {
        survey.resolved.iter().any(|resolved| resolved.overlay_bytes.contains_key(&after.content))
    });
    let letter = match (action.cause, action.before, action.after) {
        (Cause::Restore | Cause::Revert, ..) => '!',
        (Cause::Merge, ..) | (Cause::Rename, None, _) => 'M',
        (_, None, _) => '+',
        (_, _, None) => '-',
        _ => '~',
    };
    let renames = &survey.plan.renames;
    if action.after.is_none()
        && let Some((to, _)) = renames.iter().find(|(_, from)| **from == action.path)
    {
        let saved = if action.save { "; what is there is saved" } else { "" };
        return Line::new(letter, &action.path, format!("renamed to {to}{saved}"));
    }
    if let (Cause::Rename, Some(from)) = (action.cause, renames.get(&action.path)) {
        let as_it_was = actual_content(survey, from) == action.after.map(|after| after.content);
        let merged = if as_it_was { "" } else { " and the pack's change, merged" };
        return Line::new(letter, &action.path, format!("your edit of {from}{merged}; the pack renamed it"));
    }
    let note = match action.cause {
        Cause::Create if host_owned => "the host's from now on",
        Cause::Merge => "your edit and the pack's change, merged",
        Cause::Restore => "it was deleted on the host",
        Cause::Revert => "your edit is taken back, and saved",
        Cause::Resolve => "as decided; what is there is saved",
        _ if action.save => "what is there is saved",
        _ if overlaid => "from an overlay",
        _ => "",
    };
    Line::new(letter, &action.path, note)
}

/// A path that no step touches. What is in sync, or waits with a held pack, has no line.
fn of_standing(survey: &Survey, path: &TreePath, judged: &Judged) -> Option<Line> {
    let known = survey.observation.record.as_ref();
    let decided = known.is_some_and(|record| record.decisions.contains_key(path))
        && !survey.plan.next.decisions.contains_key(path);
    // What the next record says, if it moves on; in a held pack nothing does.
    let settles = survey.plan.next.entries.get(path).map(|entry| entry.base)
        == Some(judged.desired.as_ref().map(|desired| desired.entry));
    match judged.standing {
        Standing::Edited if judged.obstacle().is_some() => {
            Some(Line::new('E', path, format!("{}: left alone", super::words::obstacle(judged))))
        }
        Standing::Edited => Some(Line::new('E', path, "your edit, kept")),
        Standing::Conflicted
            if judged.desired.is_none()
                && let Some(rename) = survey.drift.renames.get(path) =>
        {
            Some(Line::new('E', path, format!("your edit, kept; the pack renamed it to {}", rename.to)))
        }
        Standing::Conflicted if judged.desired.is_none() && survey.plan.next.entries.contains_key(path) => {
            Some(Line::new('E', path, "your edit, kept; the pack deleted it"))
        }
        Standing::Conflicted if judged.desired.is_none() => {
            Some(Line::new('E', path, "your edit: stays, as nobody's file"))
        }
        Standing::Conflicted if decided => Some(Line::new('E', path, "kept, as decided")),
        Standing::Conflicted if judged.base().is_none() && settles => {
            Some(Line::new('=', path, "equal but for its exec bit: adopted"))
        }
        Standing::Conflicted if settles => {
            Some(Line::new('E', path, "your edit, kept; the pack's change is in it"))
        }
        Standing::Conflicted => Some(Line::new('E', path, "your edit, kept; the pack changed it, too")),
        Standing::Missing if judged.edits.deleted == Deleted::Keep && settles => {
            Some(Line::new('E', path, "deleted on the host: stays away"))
        }
        Standing::Behind
            if judged.recorded.is_none()
                && survey.plan.next.entries.get(path).is_some_and(|entry| entry.written.is_none()) =>
        {
            let renamed = survey.drift.renames.values().any(|rename| &rename.to == path);
            let note = if renamed {
                "deleted on the host under its old name: stays away"
            } else {
                "stays away, as decided"
            };
            Some(Line::new('E', path, note))
        }
        Standing::Converged if judged.recorded.is_none() && settles => Some(Line::new('=', path, ADOPTED)),
        Standing::Converged if judged.desired.is_some() && judged.recorded.is_some() && settles => {
            // Half a switch looks like edits that foresaw the version.
            let note = match survey.observation.interrupted {
                Some(_) => "there already, by the switch that did not end",
                None => "your edit is in the pack now",
            };
            Some(Line::new('=', path, note))
        }
        Standing::HostOwned
            if judged.recorded.is_none() && judged.actual.is_some() && settles_mark(survey, path) =>
        {
            Some(Line::new('H', path, "the host's: left alone"))
        }
        _ => None,
    }
}

/// What lies at a path, if that is a file.
fn actual_content(survey: &Survey, path: &TreePath) -> Option<Content> {
    Some(survey.drift.paths.get(path)?.actual_entry()?.content)
}

fn settles_mark(survey: &Survey, path: &TreePath) -> bool {
    survey.plan.next.entries.contains_key(path)
}

/// More lines with one letter than this are counted.
const LONGEST: usize = 12;

/// Notes of longer paths stand out of line.
const WIDEST: usize = 60;

/// Whether long lists are shown whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Counted after a dozen.
    Short,
    /// Whole.
    Whole,
}

/// The lines as text, indented; long lists are cut.
pub fn text(lines: &[Line], length: Length) -> String {
    let mut out = String::new();
    let mut seen: BTreeMap<char, usize> = BTreeMap::new();
    let noted = lines.iter().filter(|line| !line.note.is_empty());
    let widest = noted.map(|line| line.path.as_str().chars().count()).max().unwrap_or(0).min(WIDEST);
    let equal = lines.iter().filter(|line| line.letter == '=' && line.note == ADOPTED).count();
    for line in lines {
        let so_far = seen.entry(line.letter).or_default();
        *so_far += 1;
        let adopted = line.letter == '=' && line.note == ADOPTED && equal > 3;
        if length == Length::Short && (adopted || (*so_far > LONGEST && line.letter != 'E')) {
            continue;
        }
        let letter = painted(style(line.letter), &line.letter.to_string());
        let path = line.path.as_str();
        if line.note.is_empty() {
            out.push_str(&format!("    {letter} {path}\n"));
        } else {
            out.push_str(&format!("    {letter} {path:<widest$}  {}\n", paint::faint(&line.note)));
        }
    }
    if length == Length::Short {
        if equal > 3 {
            out.push_str(&format!("    = {} equal: adopted\n", count(equal, "file")));
        }
        for (letter, number) in seen {
            if number > LONGEST && letter != 'E' && letter != '=' {
                let more = format!("and {} more (-v lists them)", number - LONGEST);
                out.push_str(&format!(
                    "    {} {}\n",
                    painted(style(letter), &letter.to_string()),
                    paint::faint(&more)
                ));
            }
        }
    }
    out
}

fn style(letter: char) -> Style {
    match letter {
        '+' | '=' => paint::GOOD,
        '-' | 'X' => paint::BAD,
        '~' | '!' => paint::CHANGE,
        'M' | 'E' => paint::YOURS,
        _ => paint::FAINT,
    }
}
