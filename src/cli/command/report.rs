//! `report`: what an issue about one deployment needs, as Markdown.

use crate::cli::args::Report;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
use crate::cli::report::issue::{About, issue};
use crate::engine::{Outcome, fleet};
use crate::host::HistoryLine;
use crate::model::cause::in_one_line;
use crate::model::plan::Purpose;

pub(super) fn run(args: &Report, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let progress = Progress::begin(context.shows_progress, 1);
    let options = context.reading();
    let selected = [deployment.name.clone()].into();
    let reports = fleet::survey(&workspace, &selected, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let reports = reports?;
    // A history that cannot be read is no reason not to tell the rest.
    let (history, unread) = match workspace.host(deployment).history() {
        Ok(history) => (history, None),
        Err(error) => (Vec::new(), Some(in_one_line(&error))),
    };
    let generation = |line: &&HistoryLine| !matches!(line.purpose, Purpose::Pause | Purpose::Resume);
    let last = history.iter().rfind(generation);
    let about = About {
        workspace: &workspace,
        deployment,
        reports: &reports,
        history: &history,
        unread,
        now: context.now,
    };
    printer.data(&issue(&about, last, &context.hints));
    let failed = reports.iter().any(|it| it.deployment == deployment.name && it.outcome == Outcome::Failed);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
