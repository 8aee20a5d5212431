//! Causes, outcomes and numbers in words.

use anstyle::Style;
use jiff::Timestamp;

use crate::cli::printer::{paint, shown};
use crate::engine::report::cause_word;
use crate::engine::{Failure, Outcome, Report, Survey, Wait};
use crate::merge::text::{MAX_BYTES, MAX_LINES};
use crate::model::plan::{Action, Conflict, Hold, HoldCause, Obstacle, OverlayFault, OverlayStep};
use crate::model::ranges::compress;
use crate::model::{DeploymentName, Entry, Kind, PackName, TreePath};
use crate::plan::Judged;

/// `1 file`, `2 files`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A time as people and programs can read it, without a local clock's riddles.
pub fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How a deployment stands, in a word, and the colour of that.
pub fn outcome(outcome: Outcome) -> (&'static str, Style) {
    match outcome {
        Outcome::InSync => ("in sync", paint::GOOD),
        Outcome::Planned => ("pending", paint::CHANGE),
        Outcome::Applied => ("applied", paint::GOOD),
        Outcome::RolledBack => ("rolled back", paint::GOOD),
        Outcome::TakenBack => ("unhealthy", paint::BAD),
        Outcome::Undecided => ("undecided", paint::CHANGE),
        Outcome::Waiting => ("waiting", paint::CHANGE),
        Outcome::Offline => ("offline", paint::CHANGE),
        Outcome::Held => ("held", paint::BAD),
        Outcome::Refused => ("refused", paint::BAD),
        Outcome::Locked => ("locked", paint::CHANGE),
        Outcome::Failed => ("failed", paint::BAD),
    }
}

/// The same of a report: of what is known by its status alone, nobody knows whether it is offline.
pub fn standing(report: &Report) -> (&'static str, Style) {
    match (&report.failure, report.outcome) {
        (Some(Failure::Unheard(_)), Outcome::Offline) => ("unknown", paint::CHANGE),
        (_, known) => outcome(known),
    }
}

/// A hold in one sentence, path and pack left out.
pub fn hold(cause: &HoldCause) -> String {
    match cause {
        HoldCause::Conflict { conflict, renamed, .. } => conflicting(conflict, renamed.as_ref()),
        HoldCause::Obstructed(obstacle) => in_the_way(obstacle),
        HoldCause::Nested { by } => format!("lies above or below {by}, which is held"),
        HoldCause::Requires { pack } => format!("pack {pack}, on which it depends, is held"),
        HoldCause::Tied { pack } => format!("a path moves between it and pack {pack}, which is held"),
        HoldCause::Version(text) | HoldCause::Source(text) | HoldCause::Signature(text) => shown(text),
        HoldCause::Overlays { faults, to } => overlays(faults, to),
        HoldCause::Check { command, why, output } => {
            let mut text = format!("check {}: {}", shown(command), shown(why));
            for line in output.lines() {
                text.push_str("\n        | ");
                text.push_str(&shown(line));
            }
            text
        }
        HoldCause::Major { from, to, requirement, changelog } => {
            let mut text = format!(
                "{} is a new major version after {}, and {} was not edited to ask for it",
                shown(to),
                shown(from),
                shown(requirement)
            );
            for line in changelog {
                text.push_str("\n        ");
                text.push_str(&shown(line));
            }
            text
        }
        HoldCause::Rejected { desired, restored } => format!(
            "what fleet.toml gives{} was rolled back here: generation {restored} stands instead",
            if desired.is_none() { " (no such pack)" } else { "" }
        ),
        HoldCause::Budget { limit, files, of, percent, .. } => {
            let verb = if limit == "max_delete" { "delete" } else { "change" };
            format!("it would {verb} {files} of {of} files, and {limit} allows {percent}%")
        }
        HoldCause::Gone { generation } => {
            format!("{}; nothing is installed before somebody asks for it", was_there(*generation))
        }
    }
}

/// What an apply does where a root is gone.
pub fn gone(generation: u64) -> String {
    let was_there = was_there(generation);
    format!("{was_there}; everything is installed anew, local edits that lived only there are gone")
}

fn was_there(generation: u64) -> String {
    match generation {
        // An earlier version took no note of it.
        0 => "the root is gone: it was there before".to_owned(),
        generation => format!("the root is gone: it was there at generation {generation}"),
    }
}

/// One fault in a line, several below each other.
fn overlays(faults: &[OverlayFault], to: &str) -> String {
    let line = |fault: &OverlayFault| match &fault.path {
        Some(path) => format!("{path}: {}", shown(&fault.text)),
        None => shown(&fault.text),
    };
    match faults {
        [one] if one.next == OverlayStep::Rebase => {
            format!("overlay {} does not carry over to {}: {}", one.overlay, shown(to), line(one))
        }
        [one] => line(one),
        many => {
            let line = |fault: &OverlayFault| format!("\n        {}: {}", fault.overlay, line(fault));
            let lines: String = many.iter().map(line).collect();
            format!("{} of overlays do not carry over to {}:{lines}", count(many.len(), "path"), shown(to))
        }
    }
}

/// What a person did, and what the pack did: changed, deleted or renamed.
fn conflicting(conflict: &Conflict, renamed: Option<&TreePath>) -> String {
    let went = |text: String| match renamed {
        Some(to) => format!("{text}; the pack renamed it to {to}"),
        None => text,
    };
    let to = || renamed.map_or_else(|| "another path".to_owned(), ToString::to_string);
    match conflict {
        Conflict::Text { line, places: 1 } => {
            went(format!("line {line} was changed on the host and by the pack"))
        }
        Conflict::Text { line, places } => went(format!(
            "line {line} and {} were changed on the host and by the pack",
            more_places(places - 1)
        )),
        Conflict::Binary => went("changed on the host and by the pack, and it is no text".to_owned()),
        Conflict::Kind if renamed.is_some() => went("changed on the host, and one side is a link".to_owned()),
        Conflict::Kind => "changed on the host and by the pack, and one of them is a link".to_owned(),
        Conflict::NotOurs => "a file that is not packfleet's lies where the pack installs one".to_owned(),
        Conflict::UpstreamDeleted => "edited on the host, and deleted by the pack".to_owned(),
        Conflict::Dropped => "edited on the host, and its pack is to go from here".to_owned(),
        Conflict::Occupied => {
            format!("edited on the host; the pack renamed it to {}, where something lies already", to())
        }
        Conflict::HostsPath => {
            format!("edited on the host; the pack renamed it to {}, which is the host's", to())
        }
        Conflict::OtherPack(pack) => format!("edited on the host, and {} of pack {pack} now", to()),
        Conflict::NotThen { generation } => {
            format!("edited on the host, and not there at generation {generation}")
        }
        Conflict::HostDeleted => "deleted on the host, and changed by the pack".to_owned(),
        Conflict::TooLarge => went(format!(
            "changed on the host and by the pack, and too large to merge (more than {MAX_LINES} lines, or \
             {} MiB)",
            MAX_BYTES >> 20
        )),
        Conflict::NoBase => went(
            "changed on the host and by the pack, and the version that both come from is not to be had"
                .to_owned(),
        ),
    }
}

fn more_places(number: u64) -> String {
    if number == 1 { "one more place".to_owned() } else { format!("{number} more places") }
}

/// What lies at a path that is neither file nor link.
pub fn obstacle(judged: &Judged) -> String {
    judged.obstacle().map(in_the_way).unwrap_or_default()
}

fn in_the_way(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Directory { foreign: None } => "a directory lies there".to_owned(),
        Obstacle::Directory { foreign: Some(foreign) } => {
            format!("a directory lies there, with {} in it, which is not packfleet's", shown(foreign))
        }
        Obstacle::Special(what) => format!("a {} lies there", shown(what)),
        Obstacle::Ancestor { at, what } => format!("{at} is no directory but a {}", shown(what)),
        Obstacle::Unreadable(why) => format!("it cannot be read: {}", shown(why)),
        Obstacle::Busy => "it changed while it was read".to_owned(),
    }
}

/// How many holds of which kind: `2 conflicts, 1 obstructed`.
pub fn holds(holds: &[Hold]) -> String {
    let mut kinds: Vec<(&'static str, usize)> = Vec::new();
    for hold in holds {
        let word = cause_word(&hold.cause);
        match kinds.iter_mut().find(|(known, _)| *known == word) {
            Some((_, number)) => *number += 1,
            None => kinds.push((word, 1)),
        }
    }
    let kinds = kinds.into_iter().map(|(word, number)| match word {
        "conflict" => count(number, word),
        "check" => format!("failed check of {}", count(number, "pack")),
        "version" | "source" | "signature" | "overlays" => format!("{word} of {}", count(number, "pack")),
        "major" => format!("new major version of {}", count(number, "pack")),
        "budget" => format!("{} over budget", count(number, "pack")),
        "requires" | "tied" => format!("{} behind a held one", count(number, "pack")),
        "rejected" => format!("{} rejected", count(number, "pack")),
        "gone" => "the root is gone".to_owned(),
        _ => format!("{} {word}", count(number, "path")),
    });
    kinds.collect::<Vec<_>>().join(", ")
}

/// Waits for the same reason, drawn together: whom for, why, and one of them.
pub fn waits(waits: &[Wait]) -> Vec<(String, &str, &DeploymentName)> {
    let mut groups: Vec<(Vec<&DeploymentName>, &str)> = Vec::new();
    for wait in waits {
        match groups.iter_mut().find(|(_, because)| *because == wait.because) {
            Some((names, _)) => names.push(&wait.on),
            None => groups.push((vec![&wait.on], &wait.because)),
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|(names, because)| {
            let first = names[0];
            (compress(names.into_iter().map(DeploymentName::as_str)), because, first)
        })
        .collect()
}

/// A pack's versions: `1.0.0 → 1.1.0`, `1.1.0`, `new 1.1.0`, `1.0.0 → gone`, `1.0.0 → ?` where it is unknown.
pub fn versions(survey: &Survey, pack: &PackName) -> String {
    let installed = survey.installed(pack).map(shown);
    let known = survey.desired.packs.contains_key(pack);
    let wanted = survey.wanted(pack).map(shown);
    match (installed, wanted) {
        (Some(installed), Some(wanted)) if installed == wanted => installed,
        (Some(installed), Some(wanted)) => format!("{installed} → {wanted}"),
        (None, Some(wanted)) => format!("new {wanted}"),
        (Some(installed), None) if known => format!("{installed} → ?"),
        (Some(installed), None) => format!("{installed} → gone"),
        (None, None) if known => "?".to_owned(),
        (None, None) => String::new(),
    }
}

/// What a plan does, by kind of step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files put where nothing was.
    pub added: usize,
    /// Files replaced.
    pub changed: usize,
    /// Of those, merged.
    pub merged: usize,
    /// Files taken away.
    pub removed: usize,
}

impl Tally {
    /// Counts steps.
    pub fn of(actions: &[Action]) -> Self {
        let mut tally = Self::default();
        for action in actions {
            match (action.before, action.after) {
                (None, _) => tally.added += 1,
                (_, None) => tally.removed += 1,
                _ => tally.changed += 1,
            }
            tally.merged += usize::from(action.cause == crate::model::plan::Cause::Merge);
        }
        tally
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            added: self.added + other.added,
            changed: self.changed + other.changed,
            merged: self.merged + other.merged,
            removed: self.removed + other.removed,
        }
    }

    /// `1 to add, 2 to change (1 merged)`; what is none is left out.
    pub fn future(self) -> String {
        let merged = if self.merged == 0 { String::new() } else { format!(" ({} merged)", self.merged) };
        let parts = [
            (self.added, "add", ""),
            (self.changed, "change", merged.as_str()),
            (self.removed, "remove", ""),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, word, more)| format!("{number} to {word}{more}"))
            .collect();
        if parts.is_empty() { "the record to write".to_owned() } else { parts.join(", ") }
    }

    /// `6 files: 3 added, 2 changed (1 merged), 1 removed`; what is none is left out.
    pub fn past(self) -> String {
        let merged = if self.merged == 0 { String::new() } else { format!(" ({} merged)", self.merged) };
        let parts = [
            (self.added, "added", ""),
            (self.changed, "changed", merged.as_str()),
            (self.removed, "removed", ""),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, word, more)| format!("{number} {word}{more}"))
            .collect();
        if parts.is_empty() {
            return "no file written".to_owned();
        }
        if let [only] = parts.as_slice() {
            let (number, what) = only.split_once(' ').unwrap_or((only, ""));
            return format!("{number} {} {what}", if number == "1" { "file" } else { "files" });
        }
        let all = self.added + self.changed + self.removed;
        format!("{}: {}", count(all, "file"), parts.join(", "))
    }
}

/// A side of a conflict, for people: its short digest and what it is if it is no plain file.
pub fn entry(entry: Option<Entry>) -> String {
    match entry {
        None => "nothing".to_owned(),
        Some(Entry { kind: Kind::File, content }) => content.short(),
        Some(Entry { kind: Kind::Exec, content }) => format!("{} (executable)", content.short()),
        Some(Entry { kind: Kind::Link, content }) => format!("{} (link)", content.short()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_are_counted_by_kind() {
        let hold = |cause| Hold { pack: None, path: None, cause };
        let conflict = || HoldCause::Conflict {
            base: None,
            actual: None,
            desired: None,
            renamed: None,
            conflict: Box::new(Conflict::NotOurs),
        };
        let by = TreePath::new("a").unwrap();
        let all = [
            hold(conflict()),
            hold(conflict()),
            hold(HoldCause::Nested { by }),
            hold(HoldCause::Source("x".into())),
        ];
        assert_eq!(holds(&all), "2 conflicts, 1 path nested, source of 1 pack");
    }

    #[test]
    fn tallies_leave_out_what_is_none() {
        assert_eq!(Tally::default().past(), "no file written");
        assert_eq!(Tally { added: 1, ..Tally::default() }.past(), "1 file added");
        assert_eq!(Tally { changed: 2, merged: 1, ..Tally::default() }.past(), "2 files changed (1 merged)");
        let tally = Tally { added: 0, changed: 2, merged: 1, removed: 1 };
        assert_eq!(tally.past(), "3 files: 2 changed (1 merged), 1 removed");
        assert_eq!(tally.and(tally).past(), "6 files: 4 changed (2 merged), 2 removed");
    }
}
