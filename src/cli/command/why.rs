//! `why`: everything in the way of one deployment, in order, with what clears it.

use crate::cli::args::{Output, Why};
use crate::cli::context::Context;
use crate::cli::documents;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
use crate::cli::report::why::{edits_in_nobodys_way, steps, why};
use crate::engine::{Outcome, fleet};
use crate::host::HistoryLine;
use crate::model::TreePath;
use crate::model::plan::Purpose;

pub(super) fn run(args: &Why, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let name = &deployment.name;
    let progress = Progress::begin(context.shows_progress, 1);
    let options = context.reading();
    let selected = [name.clone()].into();
    let reports = fleet::survey(&workspace, &selected, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let reports = reports?;
    // A history that cannot be read is no reason not to explain the rest.
    let history = workspace.host(deployment).history().unwrap_or_default();
    let generation = |line: &&HistoryLine| !matches!(line.purpose, Purpose::Pause | Purpose::Resume);
    let last = history.iter().rfind(generation);
    match args.output {
        Output::Text => printer.data(&why(&workspace, &reports, name, last, context.now, &context.hints)),
        Output::Json => {
            if let Some(report) = reports.iter().find(|report| &report.deployment == name) {
                let steps = steps(&workspace, &reports, report, &context.hints);
                let edits: Vec<&TreePath> = report.survey.iter().flat_map(edits_in_nobodys_way).collect();
                printer.data(&documents::why(report, &steps, &edits));
            }
        }
    }
    let failed = reports.iter().any(|r| &r.deployment == name && r.outcome == Outcome::Failed);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
