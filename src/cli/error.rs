//! From errors to what people read: a message, what caused it, a hint, an exit code.
//!
//! This is the one place that gives errors their hints and codes. Problems of a fleet file are shown all at
//! once, each with its place underlined in the text, in which secrets are masked.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use camino::Utf8PathBuf;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource};

use super::exit::Exit;
use super::hint::Hints;
use super::printer::{paint, painted, shown};
use super::report::words::count;
use crate::daemon::Trouble;
use crate::desired::fleet_file::FleetText;
use crate::desired::problem::{Problem, line_column, masked_source};
use crate::desired::selector::SelectorError;
use crate::engine::adopt::import;
use crate::engine::capture::CaptureError;
use crate::engine::edited::EditedError;
use crate::engine::export::ExportError;
use crate::engine::lock::WriteError;
use crate::engine::saved::SavedError;
use crate::engine::status::ReadError;
use crate::engine::{Failure, LoadError, overlay};
use crate::host::HostError;
use crate::host::wire::WireError;
use crate::model::{DeploymentName, OverlayName, PlanId};
use crate::source::SourceError;
use crate::source::publish::PublishError;

/// Why a command did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The fleet file cannot be read or does not validate.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The lock cannot be written.
    #[error(transparent)]
    Lock(#[from] WriteError),
    /// An overlay cannot be written.
    #[error(transparent)]
    Overlay(#[from] import::WriteError),
    /// A selector is none or matches nothing.
    #[error(transparent)]
    Select(#[from] SelectorError),
    /// Directories of overlays that are none.
    #[error("{} damaged", count(.damaged.len(), "overlay"))]
    Overlays {
        /// Each with what is wrong.
        damaged: Vec<(OverlayName, String)>,
    },
    /// The request makes no sense; exit code 64.
    #[error("{what}")]
    Usage {
        /// What is wrong with it.
        what: String,
        /// What to type instead.
        hint: Option<String>,
    },
    /// Something about one deployment failed.
    #[error("{}", named(.deployment, .failure))]
    Failure {
        /// Which.
        deployment: DeploymentName,
        /// Why; its cause is this error's cause.
        failure: Failure,
    },
    /// A file that a person named cannot be read or written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Something cannot be done with an overlay.
    #[error(transparent)]
    OverlayWork(#[from] overlay::Failure),
    /// A directory cannot be read as a pack.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Statuses cannot be read.
    #[error(transparent)]
    Statuses(#[from] ReadError),
    /// Nothing was captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The fleet's own rules for secrets cannot be used.
    #[error(transparent)]
    Rules(#[from] EditedError),
    /// Nothing was exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The editor did not do its work.
    #[error("the editor {editor} {why}")]
    Editor {
        /// Its command.
        editor: String,
        /// What it did instead.
        why: String,
        /// Where the text is.
        hint: String,
    },
    /// An agent cannot read its own file, or give it its place.
    #[error("the agent cannot take its place")]
    AgentFile(#[source] io::Error),
    /// The session of an agent was broken off.
    #[error("the session ended")]
    Session(#[source] WireError),
    /// The plan is another one than was agreed to; nothing was changed.
    #[error("plan {} is what would be done now, not plan {}: nothing was changed", .now.short(), .asked.short())]
    OtherPlan {
        /// What was agreed to.
        asked: PlanId,
        /// What would be done.
        now: PlanId,
    },
    /// A file that is no saved plan of this fleet.
    #[error("cannot apply {path}")]
    SavedPlan {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: SavedError,
    },
    /// The fleet repository's newest commit is not taken.
    #[error(transparent)]
    Fleet(Trouble),
    /// No worker threads.
    #[error("cannot start work")]
    Runtime(#[source] io::Error),
    /// Standard output, or the answer to a question, does not work.
    #[error("cannot {0}")]
    Stream(&'static str, #[source] io::Error),
    /// The person said no.
    #[error("nothing was changed")]
    Declined,
}

/// A refused request speaks for itself.
fn named(deployment: &DeploymentName, failure: &Failure) -> String {
    match failure {
        Failure::Request(text) | Failure::Already(text) => text.clone(),
        _ => format!("{deployment}: {failure}"),
    }
}

impl From<Trouble> for CliError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Repository(error) => Self::Source(error),
            Trouble::Load(error) => Self::Load(error),
            Trouble::Select(error) => Self::Select(error),
            trouble => Self::Fleet(trouble),
        }
    }
}

impl CliError {
    /// A failure on a deployment.
    pub fn failure(deployment: &DeploymentName) -> impl FnOnce(Failure) -> Self + '_ {
        |failure| Self::Failure { deployment: deployment.clone(), failure }
    }

    /// A failure of a host.
    pub fn host(deployment: &DeploymentName) -> impl FnOnce(HostError) -> Self + '_ {
        |error| Self::Failure { deployment: deployment.clone(), failure: error.into() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage { .. }
            | Self::Overlays { .. }
            | Self::Select(_)
            | Self::Load(LoadError::Invalid { .. } | LoadError::Lock { .. }) => Exit::Usage,
            Self::Load(LoadError::Read { source, .. } | LoadError::Snapped { source, .. })
                if source.kind() == ErrorKind::NotFound =>
            {
                Exit::Usage
            }
            Self::SavedPlan { .. } | Self::Statuses(ReadError::Nowhere) => Exit::Usage,
            Self::OtherPlan { .. } => Exit::Refused,
            Self::Fleet(Trouble::Unsigned(_) | Trouble::Rewound { .. }) => Exit::Refused,
            Self::Capture(error) => of_capture(error),
            Self::Export(error) => of_export(error),
            Self::Failure { failure: Failure::Host(HostError::Locked { .. }), .. } => Exit::Locked,
            Self::Failure { failure: Failure::Ill(taken), .. } if taken.went_back() => Exit::TakenBack,
            Self::Failure { failure: Failure::Host(HostError::Unreachable { .. }), .. } => Exit::Waiting,
            Self::Failure {
                failure:
                    Failure::Moved { .. } | Failure::Host(HostError::Unfit { .. } | HostError::Stale { .. }),
                ..
            } => Exit::Held,
            Self::OverlayWork(failure) => of_overlay(failure),
            _ => Exit::Failed,
        }
    }

    fn hint(&self, hints: &Hints) -> Option<String> {
        match self {
            Self::Load(LoadError::Read { path, source }) => Some(match source.kind() {
                ErrorKind::NotFound if path.file_name() == Some("fleet.toml") => {
                    "`packfleet init` writes one to start from; `-f FILE` names another".to_owned()
                }
                ErrorKind::NotFound => "`-f FILE` names the fleet file".to_owned(),
                ErrorKind::InvalidData => "a fleet file is UTF-8 text".to_owned(),
                _ => format!("make it readable, then {}", hints.command(&["validate"])),
            }),
            Self::Load(LoadError::Snapped { .. }) => {
                Some("with --repo, `-f` names the fleet file as the repository has it".to_owned())
            }
            Self::Load(LoadError::Snapshot(_)) => {
                Some("name a branch, tag or commit that is there: in CI, fetch the whole history".to_owned())
            }
            Self::Load(LoadError::Invalid { .. }) | Self::Overlays { .. } => None,
            Self::Load(LoadError::Lock { .. }) => {
                Some(format!("take it from git as it was, or delete it and run {}", hints.command(&["lock"])))
            }
            Self::Overlay(_) | Self::Lock(_) => {
                Some("see that the directory of the fleet file can be written".to_owned())
            }
            Self::Select(SelectorError::NoMatch { near: Some(near), .. }) => {
                Some(format!("did you mean {near}?"))
            }
            Self::Select(SelectorError::NoMatch { .. }) => {
                Some(format!("{} lists the deployments", hints.command(&["status"])))
            }
            Self::Select(_) => Some("a name, a glob such as 'edge-*', or label:X; a+b means both".to_owned()),
            Self::Fleet(trouble) => Hints::of_trouble(trouble),
            Self::Usage { hint, .. } => hint.clone(),
            Self::OtherPlan { .. } | Self::SavedPlan { .. } => {
                Some(format!("{} FILE shows and saves it as it is now", hints.command(&["plan", "--out"])))
            }
            Self::Statuses(ReadError::Nowhere) => {
                Some("say where: [status] with `git` or `directory`".to_owned())
            }
            Self::Statuses(ReadError::Store(_)) => Some("see that the store of [status] answers".to_owned()),
            Self::Failure { deployment, failure } => hints.of_failure(failure, deployment),
            Self::Editor { hint, .. } => Some(hint.clone()),
            Self::OverlayWork(failure) => hints.of_overlay(failure),
            Self::Capture(CaptureError::Edited(error))
            | Self::Export(ExportError::Edited(error))
            | Self::Rules(error) => of_edited(error, hints),
            Self::Capture(CaptureError::Pending { deployment, .. }) => {
                Some(hints.command(&["apply", deployment.as_str()]))
            }
            Self::Capture(CaptureError::Publish(error)) | Self::Export(ExportError::Publish(error)) => {
                of_publish(error)
            }
            Self::Capture(_) | Self::Export(_) => None,
            Self::File { .. }
            | Self::Source(_)
            | Self::AgentFile(_)
            | Self::Session(_)
            | Self::Runtime(_)
            | Self::Stream(..)
            | Self::Declined => None,
        }
    }

    /// All of it, for stderr. `width` is the terminal's.
    pub fn text(&self, hints: &Hints, width: usize) -> String {
        if let Self::Load(LoadError::Invalid { file: _, texts, problems }) = self {
            return problems_text(texts, &problems.0, hints, width);
        }
        if let Self::Declined = self {
            return self.to_string();
        }
        let mut text = String::new();
        if let Self::Overlays { damaged } = self {
            let directory = hints.directory();
            for (name, why) in damaged {
                let _ = write!(
                    text,
                    "  × {}: {}\n\n",
                    directory.join("overlays").join(name.as_str()),
                    shown(why)
                );
            }
        }
        let _ = write!(text, "{} {}", painted(paint::BAD.bold(), "error:"), shown(&self.to_string()));
        let causes = match self {
            Self::Failure { failure, .. } => causes(failure),
            _ => causes(self),
        };
        for cause in causes {
            let _ = write!(text, "\n  because: {cause}");
        }
        if let Some(hint) = self.hint(hints) {
            let _ = write!(text, "\n{} {hint}", painted(paint::GOOD, "hint:"));
        }
        text
    }
}

/// What was asked for is wrong, what is there waits for a person, or something failed.
fn of_overlay(failure: &overlay::Failure) -> Exit {
    match failure {
        overlay::Failure::Unknown { .. }
        | overlay::Failure::Exists(_)
        | overlay::Failure::NoPack(_)
        | overlay::Failure::NoVersion(_)
        | overlay::Failure::NoVersions(_)
        | overlay::Failure::Path(_) => Exit::Usage,
        overlay::Failure::Damaged { .. }
        | overlay::Failure::Version { .. }
        | overlay::Failure::Rebase { .. }
        | overlay::Failure::Result { .. } => Exit::Held,
        overlay::Failure::NoDirectory(_)
        | overlay::Failure::Source { .. }
        | overlay::Failure::File { .. } => Exit::Failed,
    }
}

fn of_capture(error: &CaptureError) -> Exit {
    match error {
        CaptureError::Edited(EditedError::Pattern(_) | EditedError::Undeclared { .. })
        | CaptureError::Several(_)
        | CaptureError::Name(_)
        | CaptureError::Edit(_)
        | CaptureError::Publish(PublishError::Name(_)) => Exit::Usage,
        CaptureError::Pending { .. } | CaptureError::Compose { .. } | CaptureError::Taken { .. } => {
            Exit::Held
        }
        _ => Exit::Failed,
    }
}

fn of_export(error: &ExportError) -> Exit {
    match error {
        ExportError::Edited(EditedError::Pattern(_) | EditedError::Undeclared { .. })
        | ExportError::NoRepository(_)
        | ExportError::Publish(PublishError::Name(_)) => Exit::Usage,
        ExportError::Publish(PublishError::Protected(_)) => Exit::Refused,
        ExportError::Entangled { .. } | ExportError::Publish(PublishError::Diverged { .. }) => Exit::Held,
        _ => Exit::Failed,
    }
}

fn of_edited(error: &EditedError, hints: &Hints) -> Option<String> {
    match error {
        EditedError::NotRecorded { deployment, .. } => {
            let [adopt, apply] = ["adopt", "apply"].map(|word| hints.command(&[word, deployment]));
            Some(format!("{adopt} finds the version nearest to what is there; {apply} installs one"))
        }
        EditedError::Pattern(_) => Some("a path beneath the root, or a glob like 'prompts/*.md'".to_owned()),
        _ => None,
    }
}

fn of_publish(error: &PublishError) -> Option<String> {
    match error {
        PublishError::Nobody(_) => Some("git config --global user.name \"…\", and user.email".to_owned()),
        PublishError::Unreachable { .. } => Some(
            "without --push the commit stays in the mirror, and git itself can fetch it from there and push it"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The causes behind an error, outermost first, each once, safe to print.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut last = shown(&error.to_string());
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = shown(&cause.to_string());
        if text != last {
            causes.push(text.clone());
            last = text;
        }
        next = cause.source();
    }
    causes
}

/// A line that is longer is not shown: it is no text that a person wrote.
const LONGEST_LINE: usize = 500;

/// All problems of a fleet file, each with its place, and how many there are.
pub fn problems_text(texts: &[FleetText], problems: &[Problem], hints: &Hints, width: usize) -> String {
    let directory = hints.directory();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
        .with_width(width.clamp(40, 110))
        .with_context_lines(1)
        .with_links(false);
    let sources: Vec<(&FleetText, String, Arc<String>)> = texts
        .iter()
        .map(|text| {
            let name = directory.join(shown(&text.name)).into_string();
            (text, name, Arc::new(tamed(&text.text)))
        })
        .collect();
    let mut out = String::new();
    for problem in problems {
        match sources.iter().find(|(text, ..)| text.name == problem.file) {
            Some((text, name, tamed)) => {
                out.push_str(&problem_text(&handler, problem, &text.text, name, tamed));
            }
            None => {
                let _ = writeln!(out, "{}: {}", shown(&problem.file), shown(&problem.message));
            }
        }
        out.push('\n');
    }
    let count = problems.len();
    let _ = write!(
        out,
        "{} {} does not validate: {count} problem{}",
        painted(paint::BAD.bold(), "error:"),
        hints.file(),
        if count == 1 { "" } else { "s" }
    );
    out
}

fn problem_text(
    handler: &GraphicalReportHandler,
    problem: &Problem,
    text: &str,
    name: &str,
    tamed: &Arc<String>,
) -> String {
    let (line, column) = line_column(text, problem.span.start);
    let message = shown(&problem.message);
    let plain = || {
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!("\n  help: {}", shown(hint)));
        format!("  × {message}\n   ╭─[{name}:{line}:{column}]\n   ╰────{hint}\n")
    };
    let longest = text.lines().skip(line.saturating_sub(2)).take(3).map(str::len).max().unwrap_or(0);
    let end = problem.span.end.min(text.len());
    let start = problem.span.start.min(end);
    if longest > LONGEST_LINE || text[..text.floor_char_boundary(end)].len() - start > LONGEST_LINE * 8 {
        return plain();
    }
    let label = (!problem.label.is_empty()).then(|| shown(&problem.label));
    let mut diagnostic =
        MietteDiagnostic::new(message.clone()).with_label(LabeledSpan::new(label, start, end - start));
    diagnostic.help = problem.hint.as_ref().map(|hint| shown(hint));
    let report = miette::Report::new(diagnostic).with_source_code(NamedSource::new(name, Arc::clone(tamed)));
    let mut out = String::new();
    match handler.render_report(&mut out, report.as_ref()) {
        Ok(()) => out.lines().map(|line| format!("{}\n", line.trim_end())).collect(),
        Err(std::fmt::Error) => plain(),
    }
}

/// The text with secrets masked and control characters replaced, byte for byte, so that spans hold.
fn tamed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in masked_source(text).chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(std::iter::repeat_n('?', c.len_utf8()));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::problem::Problems;

    fn stripped(error: &CliError) -> String {
        let hints = Hints::new(camino::Utf8Path::new("conf/fleet.toml"));
        anstream::adapter::strip_str(&error.text(&hints, 80)).to_string()
    }

    fn invalid(text: &str, problems: &[(&str, &str)]) -> CliError {
        let problems = problems.iter().map(|(at, message)| {
            let start = text.find(at).unwrap();
            Problem {
                file: "fleet.toml".into(),
                span: start..start + at.len(),
                message: (*message).into(),
                label: "here".into(),
                hint: Some("write it down".into()),
            }
        });
        CliError::Load(LoadError::Invalid {
            file: "/x/conf/fleet.toml".into(),
            problems: Problems(problems.collect()),
            texts: vec![FleetText { name: "fleet.toml".into(), text: text.into() }],
        })
    }

    #[test]
    fn problems_come_all_at_once_with_places_and_without_secrets() {
        let text = "[fleet]\nnam = 1\nurl = \"https://bob:hunter2@h/\u{1b}[2J\"\n";
        let error = invalid(text, &[("nam", "unknown key"), ("url", "no such key")]);
        assert_eq!(error.exit(), Exit::Usage);
        let shown = stripped(&error);
        for expected in ["conf/fleet.toml:2:1", "conf/fleet.toml:3:1", "help: write it down", "2 problems"] {
            assert!(shown.contains(expected), "{expected} in\n{shown}");
        }
        assert!(!shown.contains("hunter2") && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_line_of_ten_megabytes_is_not_shown() {
        let text = format!("nam = \"{}\"", "x".repeat(1 << 20));
        let shown = stripped(&invalid(&text, &[("nam", "unknown key")]));
        assert!(shown.len() < 500 && shown.contains("fleet.toml:1:1"), "{}", shown.len());
    }

    #[test]
    fn causes_are_not_repeated() {
        let source = io::Error::from(ErrorKind::StorageFull);
        let failure = Failure::Host(HostError::Io { operation: "write".into(), path: "a\nb".into(), source });
        let error = CliError::Failure { deployment: DeploymentName::new("d").unwrap(), failure };
        assert_eq!(
            stripped(&error),
            "error: d: cannot write a\\nb\n  because: no storage space\n\
             hint: free some space, then packfleet -f conf/fleet.toml apply d"
        );
    }
}
