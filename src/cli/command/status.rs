//! `status`: what every deployment holds, and what stands in the way.

use crate::cli::args::Status;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{Counts, Exit, of_reports};
use crate::cli::output::{self, Kind, Told};
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
use crate::cli::report;
use crate::cli::report::status::{Rows, status};
use crate::engine::status::Unheard;
use crate::engine::{Failure, Options, Outcome, fleet, whereabouts};

use super::watch;

pub(super) fn run(args: &Status, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    if args.watch {
        return watch::run(args, context, printer);
    }
    let workspace = output::load(context, &args.outputs, None, printer)?;
    let workspace = if args.from_status { context.told(workspace)? } else { workspace };
    let selected = context.select(&workspace, &args.selectors)?;
    let progress = Progress::begin(context.shows_progress, selected.len());
    let options = Options { offline: args.offline.offline(), ..context.reading() };
    let reports = fleet::survey(&workspace, &selected, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let mut reports = reports?;
    if !args.from_status {
        // Where edits exist shows in their bytes.
        whereabouts::find(&workspace, &mut reports);
    }
    let worst = of_reports(&reports, Counts::Drift);
    // Without the flag, only a status that could not be had counts, and one that is not believed.
    let offline = reports.iter().any(|report| report.selected && report.outcome == Outcome::Offline);
    let refused = reports.iter().any(|report| {
        let unheard = report.failure.as_ref();
        report.selected && matches!(unheard, Some(Failure::Unheard(Unheard::Refused(_))))
    });
    let exit = match worst {
        _ if args.exit_code => worst,
        Exit::Failed => worst,
        _ if refused => Exit::Refused,
        _ if offline => Exit::Waiting,
        _ => Exit::Done,
    };
    let rows = if args.quiet { Rows::Unsettled } else { Rows::All };
    let orphans = context.orphans(&workspace, &args.selectors);
    let told = Told {
        kind: Kind::Status,
        workspace: &workspace,
        reports: &reports,
        orphans: &orphans,
        exit,
        against: None,
        plan: None,
    };
    output::emit(&args.outputs, &told, context, printer, || {
        let table = status(&workspace, &reports, &context.hints, rows, context.width);
        table + &report::orphans::text(&orphans, &context.hints)
    })?;
    Ok(exit)
}
