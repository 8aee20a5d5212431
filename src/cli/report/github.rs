//! Annotations for GitHub Actions: one line each, at the line of fleet.toml or of the overlay that is at fault.
//!
//! The form is that of workflow commands (`::error file=…,line=…,title=…::text`), in which `%` and line ends are
//! escaped, and `:` and `,` within a property. What is the same at the same line is said once, with all names.
//! GitHub shows ten of a kind per step: errors come first.

use super::gate;
use super::plain;
use super::words::{self, Tally};
use crate::cli::hint::Hints;
use crate::cli::output::Told;
use crate::cli::printer::shown;
use crate::desired::fleet_file::FleetText;
use crate::desired::places::{Place, Places};
use crate::desired::problem::Problem;
use crate::engine::{Outcome, Report, Workspace};
use crate::model::PackName;
use crate::model::plan::HoldCause;
use crate::model::ranges::compress;

/// How loud it is; in the order in which they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Error,
    Warning,
    Notice,
}

/// One annotation, and whom it is about.
struct Note<'a> {
    level: Level,
    place: Option<Place>,
    title: String,
    text: String,
    about: Vec<&'a str>,
}

/// All annotations of a report.
pub fn report(told: &Told<'_>, hints: &Hints) -> String {
    let places = Places::new(told.workspace.texts());
    let mut notes: Vec<Note<'_>> = Vec::new();
    for report in told.reports.iter().filter(|report| report.selected) {
        for note in of_report(told.workspace, report, hints, &places) {
            let same = |known: &&mut Note<'_>| {
                (known.level, &known.place, &known.title, &known.text)
                    == (note.level, &note.place, &note.title, &note.text)
            };
            match notes.iter_mut().find(same) {
                Some(known) => known.about.extend(note.about),
                None => notes.push(note),
            }
        }
    }
    notes.sort_by_key(|note| note.level);
    let directory = directory(hints);
    notes.iter().map(|note| line(note, &directory)).collect()
}

/// The problems of a fleet file that does not validate.
pub fn of_problems(texts: &[FleetText], problems: &[Problem], hints: &Hints) -> String {
    let directory = directory(hints);
    let one = |problem: &Problem| {
        let text = texts.iter().find(|text| text.name == problem.file).map_or("", |text| &text.text);
        let place = Place { file: problem.file.clone(), line: problem.line_column(text).0 };
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!("\n{hint}"));
        line(
            &Note {
                level: Level::Error,
                place: Some(place),
                title: "fleet.toml does not validate".to_owned(),
                text: format!("{}{hint}", problem.message),
                about: Vec::new(),
            },
            &directory,
        )
    };
    problems.iter().map(one).collect()
}

fn of_report<'a>(
    workspace: &Workspace,
    report: &'a Report,
    hints: &Hints,
    places: &Places<'_>,
) -> Vec<Note<'a>> {
    let name = &report.deployment;
    let about = || vec![name.as_str()];
    let at = |pack: Option<&PackName>| places.of(name, pack);
    let (word, _) = words::outcome(report.outcome);
    if let Some(failure) = &report.failure {
        let next = hints.of_failure(failure, name).map_or(String::new(), |next| format!("\nnext: {next}"));
        let text = format!("{}{next}", shown(&failure.to_string()));
        return vec![Note {
            level: Level::Error,
            place: at(None),
            title: word.to_owned(),
            text,
            about: about(),
        }];
    }
    let Some(survey) = &report.survey else { return Vec::new() };
    let mut notes = Vec::new();
    for hold in &survey.plan.holds {
        let place = match &hold.cause {
            HoldCause::Overlays { faults, .. } => faults
                .iter()
                .find_map(|fault| workspace.overlay_path(&fault.overlay, fault.path.as_ref()))
                .map(|file| Place { file, line: 1 }),
            _ => None,
        };
        let next = workspace.fleet.deployments.get(name).map(|deployment| {
            hints.of_hold(
                &hold.cause,
                hold.pack.as_ref(),
                hold.path.as_ref(),
                deployment,
                &survey.plan.purpose,
            )
        });
        let what = hold.path.as_ref().map_or(String::new(), |path| format!("{path}: "));
        let next = next.map_or(String::new(), |next| format!("\nnext: {next}"));
        let pack = hold.pack.as_ref().map_or(String::new(), |pack| format!(": {pack}"));
        notes.push(Note {
            level: Level::Error,
            place: place.or_else(|| at(hold.pack.as_ref())),
            title: format!("{word}{pack}"),
            // A hint names the deployment; those that are alike in all else stay apart for it.
            text: format!("{what}{}{next}", words::hold(&hold.cause)),
            about: about(),
        });
    }
    for (on, because, _) in words::waits(&report.waits) {
        let text = format!("waits for {on}: {because}");
        let title = "waiting".to_owned();
        notes.push(Note { level: Level::Warning, place: at(None), title, text, about: about() });
    }
    for reason in &report.gate {
        let (text, title) = (gate::text(reason, Some(survey)), "waiting".to_owned());
        notes.push(Note { level: Level::Warning, place: at(None), title, text, about: about() });
    }
    for (path, undecided) in super::told::undecided(report) {
        let (text, title) =
            (format!("{path}: {}", undecided.doubt), format!("undecided: {}", undecided.pack));
        let place = at(Some(&undecided.pack));
        notes.push(Note { level: Level::Warning, place, title, text, about: about() });
    }
    if super::told::is_stale(report) {
        let text = "nobody published its status for three heartbeats: it may hold something else by now";
        let (title, text) = ("stale".to_owned(), text.to_owned());
        notes.push(Note { level: Level::Warning, place: at(None), title, text, about: about() });
    }
    let goes = matches!(report.outcome, Outcome::Planned | Outcome::Undecided | Outcome::Applied);
    if goes && survey.plan.commits {
        for pack in survey.drift.packs.keys() {
            let mine: Vec<_> =
                survey.plan.actions.iter().filter(|action| &action.pack == pack).cloned().collect();
            if !mine.is_empty() {
                let tally = Tally::of(&mine);
                let files = if report.outcome == Outcome::Applied { tally.past() } else { tally.future() };
                let text = format!("{pack} {}: {files}", words::versions(survey, pack));
                let title = word.to_owned();
                notes.push(Note { level: Level::Notice, place: at(Some(pack)), title, text, about: about() });
            }
        }
    }
    notes
}

/// The fleet repository's directory as a prefix of the files that are named.
fn directory(hints: &Hints) -> String {
    match hints.file().rsplit_once('/') {
        Some((directory, _)) => format!("{}/", directory.trim_start_matches("./")),
        None => String::new(),
    }
}

fn line(note: &Note<'_>, directory: &str) -> String {
    let level = match note.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Notice => "notice",
    };
    let names = compress(note.about.iter().copied());
    let text = if names.is_empty() { note.text.clone() } else { format!("{names}: {}", note.text) };
    let place = match &note.place {
        Some(Place { file, line }) => {
            format!("file={},line={line},", property(&format!("{directory}{file}")))
        }
        None => String::new(),
    };
    format!("::{level} {place}title={}::{}\n", property(&note.title), data(&plain(&text)))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_an_annotation_early() {
        let note = Note {
            level: Level::Warning,
            place: Some(Place { file: "a,b:c".into(), line: 3 }),
            title: "x::y".into(),
            text: "50%\n::error::z".into(),
            about: vec!["edge-1", "edge-2", "edge-3"],
        };
        assert_eq!(
            line(&note, "fleets/"),
            "::warning file=fleets/a%2Cb%3Ac,line=3,title=x%3A%3Ay::edge-1..3: 50%25%0A::error::z\n"
        );
    }
}
