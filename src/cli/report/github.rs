//! Annotations for GitHub Actions: one line each, at the line of fleet.toml or of the overlay that is at fault.
//!
//! The form is that of workflow commands (`::error file=…,line=…,title=…::text`), in which `%` and line ends are
//! escaped, and `:` and `,` within a property. What is the same at the same line is said once, with all names: alike
//! are those that differ in name, root and host only. GitHub shows ten of a kind per step: errors come first, and where
//! there are more, what is the same is said once for all lines. Files are named from the root of their work tree.

use camino::Utf8Path;

use super::gate;
use super::plain;
use super::plan::anyone;
use super::words::{self, Tally};
use crate::cli::hint::Hints;
use crate::cli::output::Told;
use crate::cli::printer::shown;
use crate::desired::fleet_file::FleetText;
use crate::desired::places::{Place, Places};
use crate::desired::problem::Problem;
use crate::engine::{Outcome, Report, Workspace};
use crate::model::PackName;
use crate::model::fleet::{Deployment, HostAddress};
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
    /// The text without what tells one host from another; what is said of several.
    alike: String,
    about: Vec<&'a str>,
}

/// What GitHub shows of a kind, per step.
const SHOWN: usize = 10;

/// All annotations of a report.
pub fn report(told: &Told<'_>, hints: &Hints) -> String {
    let places = Places::new(told.workspace.texts());
    let mut notes: Vec<Note<'_>> = Vec::new();
    for report in told.reports.iter().filter(|report| report.is_told()) {
        for note in of_report(told.workspace, report, hints, &places) {
            add(&mut notes, note, |known, note| known.place == note.place);
        }
    }
    notes.sort_by_key(|note| note.level);
    if notes.chunk_by(|one, next| one.level == next.level).any(|level| level.len() > SHOWN) {
        let mut fewer = Vec::new();
        for note in notes {
            add(&mut fewer, note, |_, _| true);
        }
        notes = fewer;
    }
    let directory = directory(hints);
    notes.iter().map(|note| line(note, &directory)).collect()
}

/// Puts a note beside one that says the same, if there is one.
fn add<'a>(notes: &mut Vec<Note<'a>>, note: Note<'a>, near: impl Fn(&Note<'_>, &Note<'_>) -> bool) {
    let same = |known: &&mut Note<'a>| {
        (known.level, &known.title, &known.alike) == (note.level, &note.title, &note.alike)
            && near(known, &note)
    };
    match notes.iter_mut().find(same) {
        Some(known) => known.about.extend(note.about),
        None => notes.push(note),
    }
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
                alike: String::new(),
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
    let (word, _) = words::standing(report);
    let own = workspace.fleet.deployments.get(name);
    let anyone = anyone(workspace, report);
    if let Some(failure) = &report.failure {
        let next = |name| {
            let next = hints.of_failure(failure, name);
            next.map_or(String::new(), |next| format!("\nnext: {next}"))
        };
        let said = shown(&failure.to_string());
        let text = format!("{said}{}", next(name));
        let alike = match (own, &anyone) {
            (Some(own), Some(anyone)) => {
                let alike = format!("{said}{}", next(&anyone.name)).replace(own.root.as_str(), "/ROOT");
                match &own.host {
                    HostAddress::Local => alike,
                    HostAddress::Ssh { to, .. } => alike.replace(&to.to_string(), "HOST"),
                }
            }
            _ => text.clone(),
        };
        return vec![Note {
            level: Level::Error,
            place: at(None),
            title: word.to_owned(),
            text,
            alike,
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
        let what = hold.path.as_ref().map_or(String::new(), |path| format!("{path}: "));
        let said = |who: Option<&Deployment>| {
            let next = who.map(|who| {
                let (pack, path) = (hold.pack.as_ref(), hold.path.as_ref());
                hints.of_hold(&hold.cause, pack, path, who, &survey.plan.purpose)
            });
            let next = next.map_or(String::new(), |next| format!("\nnext: {next}"));
            format!("{what}{}{next}", words::hold(&hold.cause))
        };
        let pack = hold.pack.as_ref().map_or(String::new(), |pack| format!(": {pack}"));
        notes.push(Note {
            level: Level::Error,
            place: place.or_else(|| at(hold.pack.as_ref())),
            title: format!("{word}{pack}"),
            text: said(own),
            alike: said(anyone.as_ref()),
            about: about(),
        });
    }
    for (on, because, _) in words::waits(&report.waits) {
        let text = format!("waits for {on}: {because}");
        let title = "waiting".to_owned();
        notes.push(Note {
            level: Level::Warning,
            place: at(None),
            title,
            alike: text.clone(),
            text,
            about: about(),
        });
    }
    for reason in &report.gate {
        let (text, title) = (gate::text(reason, Some(survey)), "waiting".to_owned());
        notes.push(Note {
            level: Level::Warning,
            place: at(None),
            title,
            alike: text.clone(),
            text,
            about: about(),
        });
    }
    for (path, undecided) in super::told::undecided(report) {
        let (text, title) =
            (format!("{path}: {}", undecided.doubt), format!("undecided: {}", undecided.pack));
        let place = at(Some(&undecided.pack));
        notes.push(Note { level: Level::Warning, place, title, alike: text.clone(), text, about: about() });
    }
    if super::told::is_stale(report) {
        let text = "nobody published its status for three heartbeats: it may hold something else by now";
        let (title, text) = ("stale".to_owned(), text.to_owned());
        notes.push(Note {
            level: Level::Warning,
            place: at(None),
            title,
            alike: text.clone(),
            text,
            about: about(),
        });
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
                notes.push(Note {
                    level: Level::Notice,
                    place: at(Some(pack)),
                    title,
                    alike: text.clone(),
                    text,
                    about: about(),
                });
            }
        }
    }
    notes
}

/// The fleet file's directory as a prefix of the files that are named: from the root of its work tree, or as it was
/// typed if it lies in none.
fn directory(hints: &Hints) -> String {
    let typed = match hints.directory().as_str() {
        "" => Utf8Path::new("."),
        _ => hints.directory(),
    };
    let in_tree = typed.canonicalize_utf8().ok().and_then(|directory| {
        let root = directory.ancestors().find(|above| above.join(".git").exists())?;
        directory.strip_prefix(root).map(Utf8Path::to_owned).ok()
    });
    if let Some(directory) = in_tree {
        return if directory.as_str().is_empty() {
            String::new()
        } else {
            format!("{}/", shown(directory.as_str()))
        };
    }
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
    let text = match note.about.as_slice() {
        [] => note.text.clone(),
        [_] => format!("{names}: {}", note.text),
        _ => format!("{names}: {}", note.alike),
    };
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
            text: "50%\n::error::y".into(),
            alike: "50%\n::error::z".into(),
            about: vec!["edge-1", "edge-2", "edge-3"],
        };
        assert_eq!(
            line(&note, "fleets/"),
            "::warning file=fleets/a%2Cb%3Ac,line=3,title=x%3A%3Ay::edge-1..3: 50%25%0A::error::z\n"
        );
    }

    #[test]
    fn what_is_alike_is_said_once_and_a_single_one_is_told_its_own() {
        let note = |line, name: &'static str| Note {
            level: Level::Error,
            place: Some(Place { file: "fleet.toml".into(), line }),
            title: "held".into(),
            text: format!("next: apply {name}"),
            alike: "next: apply NAME".into(),
            about: vec![name],
        };
        let mut notes = Vec::new();
        for one in [note(3, "edge-1"), note(3, "edge-2"), note(3, "edge-3"), note(9, "last")] {
            add(&mut notes, one, |known, note| known.place == note.place);
        }
        let said: String = notes.iter().map(|note| line(note, "")).collect();
        assert_eq!(
            said,
            "::error file=fleet.toml,line=3,title=held::edge-1..3: next: apply NAME\n\
             ::error file=fleet.toml,line=9,title=held::last: next: apply last\n"
        );
    }

    #[test]
    fn files_are_named_from_the_root_of_the_work_tree() {
        let root = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(root.path()).unwrap();
        std::fs::create_dir_all(root.join("deploy/prod")).unwrap();
        let at = |file: &str| directory(&Hints::new(&root.join(file)));
        assert_eq!(at("deploy/prod/fleet.toml"), format!("{root}/deploy/prod/"));
        std::fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(at("deploy/prod/fleet.toml"), "deploy/prod/");
        assert_eq!(at("fleet.toml"), "");
    }
}
