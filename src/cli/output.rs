//! Reports of `plan`, `apply` and `status`, in every format that was asked for.
//!
//! ```text
//! what a pass came to ─► text · json · markdown · junit · github ─► standard output, a file, a step's summary
//! ```
//! All of them say the same; none decides anything. A fleet.toml that does not validate is annotated, too.

use std::fs;
use std::io::Write;

use camino::Utf8Path;

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

/// Reads the fleet. What is wrong with it is annotated where that was asked for.
pub fn load(
    context: &Context,
    outputs: &Outputs,
    printer: &mut Printer,
) -> Result<std::sync::Arc<Workspace>, CliError> {
    if outputs.mixed() {
        return Err(CliError::Usage {
            what: "two reports would be mixed on standard output".to_owned(),
            hint: Some("give one of them a file: -o json=plan.json".to_owned()),
        });
    }
    let loaded = context.load();
    if let Err(CliError::Load(LoadError::Invalid { texts, problems, .. })) = &loaded {
        for sink in outputs.sinks.iter().filter(|sink| sink.format == Format::Github) {
            let text = github::of_problems(texts, &problems.0, &context.hints);
            write(sink.file.as_deref(), &text, printer)?;
        }
    }
    loaded
}

/// Writes every report. `text` is what people read.
pub fn emit(
    outputs: &Outputs,
    told: &Told<'_>,
    context: &Context,
    printer: &mut Printer,
    text: impl Fn() -> String,
) -> Result<(), CliError> {
    for sink in &outputs.sinks {
        let report = match sink.format {
            Format::Text => text(),
            Format::Json => json::reports(told, &context.hints),
            Format::Markdown => markdown::report(told, &context.hints, markdown::COMMENT),
            Format::Junit => junit::report(told, &context.hints)?,
            Format::Github => {
                if let Some(summary) = &context.step_summary {
                    append(summary, &markdown::report(told, &context.hints, markdown::SUMMARY))?;
                }
                github::report(told, &context.hints)
            }
        };
        write(sink.file.as_deref(), &report, printer)?;
    }
    Ok(())
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
