//! `validate`: all that is wrong with the fleet file and the overlays, or that nothing is.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::report::words::count;

pub(super) fn run(context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let damaged: Vec<_> = workspace
        .overlays
        .iter()
        .filter_map(|(name, overlay)| Some((name.clone(), overlay.as_ref().err()?.clone())))
        .collect();
    if !damaged.is_empty() {
        return Err(CliError::Overlays { damaged });
    }
    let fleet = &workspace.fleet;
    printer.data(&format!(
        "ok: {}, {}, {}\n",
        count(fleet.deployments.len(), "deployment"),
        count(fleet.packs.len(), "pack"),
        count(workspace.overlays.len(), "overlay"),
    ));
    Ok(Exit::Done)
}
