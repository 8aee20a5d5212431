//! Reports of `plan`, `apply` and `status`, in every format that was asked for.
//!
//! ```text
//! what a pass came to ─► text · json · markdown · junit · github ─► standard output, a file, a step's summary
//! ```
//! All of them say the same; none decides anything. A fleet.toml that does not validate is annotated, too.
//! Before anything is done, each file must be one that can be written, and no two the same. Law: a report that then
//! cannot be written after all does not hide what an apply came to, nor keep the others from being written.

use std::fs;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{Format, Outputs};
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::printer::Printer;
use super::report::{github, junit, markdown};
use super::{json, report};
use crate::engine::against::Against;
use crate::engine::orphans::Orphan;
use crate::engine::saved::SavedPlan;
use crate::engine::workspace::LoadError;
use crate::engine::{Report, Workspace};

/// What is reported.
pub struct Told<'a> {
    /// `plan`, `apply` or `status`.
    pub kind: Kind,
    /// The fleet.
    pub workspace: &'a Workspace,
    /// Every deployment that was looked at.
    pub reports: &'a [Report],
    /// Deployments without a stanza.
    pub orphans: &'a [Orphan],
    /// What the command exits with.
    pub exit: Exit,
    /// What a plan was compared with: only what is new since then is in it.
    pub against: Option<&'a Against>,
    /// What would be, or was to be, carried out, under one id.
    pub plan: Option<&'a SavedPlan>,
}

/// Which command reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What an apply would do.
    Plan,
    /// What an apply did.
    Apply,
    /// How things stand.
    Status,
}

impl Kind {
    /// The command's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Status => "status",
        }
    }
}

/// Reads the fleet. What is wrong with it is annotated where that was asked for. `beside` is a file that the command
/// writes besides its reports.
pub fn load(
    context: &Context,
    outputs: &Outputs,
    beside: Option<&Utf8Path>,
    printer: &mut Printer,
) -> Result<std::sync::Arc<Workspace>, CliError> {
    if outputs.mixed() {
        return Err(CliError::Usage {
            what: "two reports would be mixed on standard output".to_owned(),
            hint: Some("give one of them a file: -o json=plan.json".to_owned()),
        });
    }
    let summary = context.step_summary.as_deref();
    let summary = summary.filter(|_| outputs.sinks.iter().any(|sink| sink.format == Format::Github));
    writable(outputs.files().chain(beside).chain(summary))?;
    let loaded = context.load();
    if let Err(CliError::Load(LoadError::Invalid { texts, problems, .. })) = &loaded {
        for sink in outputs.sinks.iter().filter(|sink| sink.format == Format::Github) {
            let text = github::of_problems(texts, &problems.0, &context.hints);
            write(sink.file.as_deref(), &text, printer)?;
        }
    }
    loaded
}

/// Refuses files that cannot be written, or that would be written twice. Leaves none that was not there.
fn writable<'f>(files: impl Iterator<Item = &'f Utf8Path>) -> Result<(), CliError> {
    let mut known: Vec<Utf8PathBuf> = Vec::new();
    for file in files {
        let there = fs::metadata(file);
        let tried = match &there {
            // Opening a pipe would wait for its reader; a terminal and the like take as many reports as come.
            Ok(there) if !there.is_file() && !there.is_dir() => continue,
            Ok(_) => fs::OpenOptions::new().append(true).open(file).map(drop),
            Err(_) => fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(file)
                .and_then(|_new| fs::remove_file(file)),
        };
        if let Err(error) = tried {
            return Err(CliError::Usage {
                what: format!("cannot write the report {file}: {error}; nothing was done"),
                hint: Some("name a file that you may write, in a directory that is there".to_owned()),
            });
        }
        let place = whereabouts(file);
        if known.contains(&place) {
            return Err(CliError::Usage {
                what: format!("{file} would be written twice, and only the last would be left"),
                hint: Some("give each report a file of its own".to_owned()),
            });
        }
        known.push(place);
    }
    Ok(())
}

/// One name for a file, however it is written.
fn whereabouts(file: &Utf8Path) -> Utf8PathBuf {
    let absolute = camino::absolute_utf8(file).unwrap_or_else(|_| file.to_owned());
    let real = absolute.canonicalize_utf8().ok().or_else(|| {
        let directory = absolute.parent()?.canonicalize_utf8().ok()?;
        Some(directory.join(absolute.file_name()?))
    });
    real.unwrap_or(absolute)
}

/// Writes every report. `text` is what people read.
pub fn emit(
    outputs: &Outputs,
    told: &Told<'_>,
    context: &Context,
    printer: &mut Printer,
    text: impl Fn() -> String,
) -> Result<(), CliError> {
    let mut failed = Vec::new();
    for sink in &outputs.sinks {
        if sink.format == Format::Github
            && let Some(summary) = &context.step_summary
        {
            let report = markdown::report(told, &context.hints, markdown::SUMMARY);
            failed.extend(append(summary, &report).err());
        }
        let report = match sink.format {
            Format::Text => Ok(text()),
            Format::Json => Ok(json::reports(told, &context.hints)),
            Format::Markdown => Ok(markdown::report(told, &context.hints, markdown::COMMENT)),
            Format::Junit => junit::report(told, &context.hints),
            Format::Github => Ok(github::report(told, &context.hints)),
        };
        failed.extend(report.and_then(|report| write(sink.file.as_deref(), &report, printer)).err());
    }
    let last = if told.kind == Kind::Apply { None } else { failed.pop() };
    for error in &failed {
        printer.talk(error.text(&context.hints, context.width.unwrap_or(100)));
    }
    if told.kind == Kind::Apply && !failed.is_empty() {
        printer.talk(format!("the apply ended before that: exit code {} is its own", told.exit.code()));
    }
    last.map_or(Ok(()), Err)
}

fn write(file: Option<&Utf8Path>, text: &str, printer: &mut Printer) -> Result<(), CliError> {
    let Some(file) = file else {
        printer.data(text);
        return Ok(());
    };
    let plain = report::plain(text);
    fs::write(file, plain).map_err(|source| CliError::File {
        operation: "write the report",
        path: file.to_owned(),
        source,
    })
}

fn append(file: &Utf8Path, text: &str) -> Result<(), CliError> {
    let open = fs::OpenOptions::new().create(true).append(true).open(file);
    open.and_then(|mut open| open.write_all(text.as_bytes())).map_err(|source| CliError::File {
        operation: "write the report",
        path: file.to_owned(),
        source,
    })
}
