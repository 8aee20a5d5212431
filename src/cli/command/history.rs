//! `history`: the generations of one deployment, oldest first, and which of them can be gone back to.

use std::collections::BTreeSet;

use crate::cli::args::{History, Output};
use crate::cli::context::Context;
use crate::cli::documents;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::cli::report::table::table;
use crate::cli::report::words::time;

pub(super) fn run(args: &History, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let host = workspace.host(deployment);
    let history = host.history().map_err(CliError::host(&deployment.name))?;
    let generations = host.generations().map_err(CliError::host(&deployment.name))?;
    if args.output == Output::Json {
        printer.data(&documents::history(&deployment.name, &history, &generations));
        return Ok(Exit::Done);
    }
    if history.is_empty() {
        printer.talk(format!("{} has no generation yet", deployment.name));
        return Ok(Exit::Done);
    }
    // Undoing a generation leads to the one before it.
    let back: BTreeSet<u64> = generations.iter().map(|generation| generation.number - 1).collect();
    let newest = history.last().map(|line| line.generation);
    let rows: Vec<Vec<String>> = history
        .iter()
        .map(|line| {
            let packs: Vec<String> =
                line.packs.iter().map(|(name, version)| format!("{name} {}", shown(version))).collect();
            let place = match (Some(line.generation) == newest, back.contains(&line.generation)) {
                (true, _) => "now",
                (false, true) => "yes",
                (false, false) => "no",
            };
            vec![
                line.generation.to_string(),
                time(line.time),
                match &line.reason {
                    Some(reason) => format!("{}: {}", line.purpose, shown(reason)),
                    None => line.purpose.to_string(),
                },
                packs.join(", "),
                line.created.to_string(),
                line.replaced.to_string(),
                line.removed.to_string(),
                line.held.to_string(),
                place.to_owned(),
            ]
        })
        .collect();
    let head = ["GEN", "TIME", "WHAT", "PACKS", "ADDED", "CHANGED", "REMOVED", "HELD", "GO BACK"];
    printer.data(&table(&head, &rows, "PACKS", context.width));
    Ok(Exit::Done)
}
