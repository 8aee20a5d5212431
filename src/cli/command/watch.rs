//! `status --watch`: the table again and again, by looking, until Ctrl-C.
//!
//! On a terminal it is drawn anew in its place when it changed; elsewhere each change is a table of its own, below a
//! line with the time. A fleet.toml that does not validate is said, and the next look may find it mended. Looks
//! write nothing, and do not need a controller that runs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::args::{Format, Status};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, paint};
use crate::cli::report;
use crate::cli::report::status::{Rows, status};
use crate::cli::report::words::time;
use crate::engine::{Events, Options, Workspace, fleet, whereabouts};
use crate::model::DeploymentName;

/// To the upper left corner, and everything below cleared.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

pub(super) fn run(args: &Status, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    if args.outputs.sinks.iter().any(|sink| sink.format != Format::Text || sink.file.is_some()) {
        return Err(CliError::Usage {
            what: "--watch shows text on standard output only".to_owned(),
            hint: Some("programs ask `packfleet run` at /api/v1/fleet, or status -o json".to_owned()),
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let ended = runtime.block_on(async {
        let listen = |kind| signal(kind).map_err(|error| CliError::Stream("listen to signals", error));
        let mut signals = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        watch(args, context, printer, &mut signals).await
    });
    // A look that is under way writes nothing: nobody waits for it.
    runtime.shutdown_background();
    ended
}

async fn watch(
    args: &Status,
    context: &Context,
    printer: &mut Printer,
    (interrupt, terminate): &mut (Signal, Signal),
) -> Result<Exit, CliError> {
    let redraws = std::io::stdout().is_terminal();
    let mut shown: Option<String> = None;
    loop {
        let looked = async {
            let text = look(args, context).await?;
            if shown.as_ref() != Some(&text) {
                let at = paint::faint(&time(Timestamp::now()));
                match (redraws, &shown) {
                    (true, _) => printer.data(&format!("{CLEAR}{text}\nsince {at}, Ctrl-C ends\n")),
                    (false, None) => printer.data(&format!("{at}\n{text}")),
                    (false, Some(_)) => printer.data(&format!("\n{at}\n{text}")),
                }
                shown = Some(text);
            }
            tokio::time::sleep(args.interval).await;
            Ok::<(), CliError>(())
        };
        tokio::select! {
            looked = looked => looked?,
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            _ = terminate.recv() => return Ok(Exit::Terminated),
        }
    }
}

/// One look, as text. What is wrong with the fleet is text, too; wrong selectors end the watch.
async fn look(args: &Status, context: &Context) -> Result<String, CliError> {
    let workspace = match context.load() {
        Ok(workspace) => workspace,
        Err(error @ CliError::Load(_)) => {
            return Ok(report::plain(&error.text(&context.hints, context.width.unwrap_or(100))));
        }
        Err(error) => return Err(error),
    };
    let selected = context.select(&workspace, &args.selectors)?;
    let mut options: Options = context.reading();
    options.offline = args.offline.offline();
    (options.now, options.begun) = (Timestamp::now(), Some(Instant::now()));
    let (hints, width) = (context.hints.clone(), context.width);
    let rows = if args.quiet { Rows::Unsettled } else { Rows::All };
    let surveyed = tokio::task::spawn_blocking(move || {
        survey(&workspace, &selected, &options, |reports| status(&workspace, reports, &hints, rows, width))
    });
    match surveyed.await {
        Ok(text) => text,
        Err(error) => Err(CliError::Runtime(std::io::Error::other(error))),
    }
}

fn survey(
    workspace: &Arc<Workspace>,
    selected: &std::collections::BTreeSet<DeploymentName>,
    options: &Options,
    text: impl FnOnce(&[crate::engine::Report]) -> String,
) -> Result<String, CliError> {
    let nobody: Arc<dyn Events + Send + Sync> = Arc::new(());
    let mut reports = fleet::survey(workspace, selected, options, &nobody).map_err(CliError::Runtime)?;
    whereabouts::find(workspace, &mut reports);
    Ok(text(&reports))
}
