//! `validate`: all that is wrong with the fleet file and the overlays, or that nothing is.

use crate::cli::args::{Output, Validate};
use crate::cli::context::Context;
use crate::cli::documents;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::report;
use crate::cli::report::words::count;
use crate::desired::overlay::Overlay;
use crate::engine::strict::{self, What};
use crate::engine::workspace::LoadError;
use crate::model::OverlayName;

pub(super) fn run(args: &Validate, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let loaded = context.load();
    if let (Output::Json, Err(CliError::Load(LoadError::Invalid { texts, problems, .. }))) =
        (args.output, &loaded)
    {
        printer.data(&documents::invalid(texts, &problems.0));
    }
    let workspace = loaded?;
    let damaged: Vec<_> = workspace
        .overlays
        .iter()
        .filter_map(|(name, overlay)| Some((name.clone(), wrong(overlay, context, name)?)))
        .collect();
    let doubts = if args.strict { strict::doubts(&workspace)? } else { Vec::new() };
    if args.output == Output::Json {
        printer.data(&documents::valid(&workspace, &damaged, &doubts));
    } else {
        printer.data(&report::strict::text(&doubts, context.hints.directory()));
    }
    if !damaged.is_empty() {
        return Err(CliError::Overlays { damaged });
    }
    if !doubts.is_empty() {
        let secret = doubts.iter().any(|doubt| matches!(doubt.what, What::Secret(_)));
        printer.talk(format!("{} to settle before it goes into git", count(doubts.len(), "thing")));
        return Ok(if secret { Exit::Refused } else { Exit::Usage });
    }
    if args.output == Output::Json {
        return Ok(Exit::Done);
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
