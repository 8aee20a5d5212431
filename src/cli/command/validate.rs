//! `validate`: all that is wrong with the fleet file and the overlays, or that nothing is.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::cli::report::words::count;

pub(super) fn run(context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let damaged: Vec<_> = workspace
        .overlays
        .iter()
        .filter_map(|(name, overlay)| overlay.as_ref().err().map(|why| (name, why)))
        .collect();
    if let Some((first, _)) = damaged.first() {
        let all: Vec<String> =
            damaged.iter().map(|(name, why)| format!("overlays/{name}: {}", shown(why))).collect();
        return Err(CliError::Usage {
            what: all.join("; "),
            hint: Some(format!("see overlays/{first}/overlay.toml")),
        });
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
