//! `validate`: all that is wrong with the fleet file and the overlays, or that nothing is.

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::report::words::count;
use crate::desired::overlay::Overlay;
use crate::model::OverlayName;

pub(super) fn run(context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let damaged: Vec<_> = workspace
        .overlays
        .iter()
        .filter_map(|(name, overlay)| Some((name.clone(), wrong(overlay, context, name)?)))
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

/// What is wrong with an overlay's directory: it is none, or a person has not finished it.
fn wrong(overlay: &Result<Overlay, String>, context: &Context, name: &OverlayName) -> Option<String> {
    match overlay {
        Err(why) => Some(why.clone()),
        Ok(overlay) => overlay.unfinished.first_key_value().map(|(path, (change, _))| {
            let finish = context.hints.command(&["overlay", "rebase", name.as_str(), "--finish"]);
            format!("{path}{}.conflict is not finished: edit it, then {finish}", change.suffix())
        }),
    }
}
