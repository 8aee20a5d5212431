//! `edits`: what packfleet took out of a tree and keeps for its owner.

use crate::cli::args::{Edits, EditsDrop, EditsList, EditsShow, Output};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json;
use crate::cli::printer::{Printer, shown};
use crate::cli::publish::publish;
use crate::cli::report::table::table;
use crate::cli::report::words::{self, count};
use crate::engine::{Recover, decide};
use crate::host::SavedEdit;
use crate::model::DeploymentName;

pub(super) fn run(args: &Edits, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    match args {
        Edits::List(args) => list(args, context, printer),
        Edits::Show(args) => show(args, context, printer),
        Edits::Restore(args) => restore(args, context, printer),
        Edits::Drop(args) => drop_some(args, context, printer),
    }
}

fn list(args: &EditsList, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let mut all: Vec<(DeploymentName, SavedEdit)> = Vec::new();
    for deployment in selected.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
        let edits = workspace.host(deployment).edits().map_err(CliError::host(&deployment.name))?;
        all.extend(edits.into_iter().map(|edit| (deployment.name.clone(), edit)));
    }
    if args.output == Output::Json {
        printer.data(&json::edits(&all));
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        printer.talk("no saved edits");
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(deployment, edit)| {
            vec![
                deployment.to_string(),
                edit.id.to_string(),
                edit.path.to_string(),
                words::entry(Some(edit.entry)),
                shown(&edit.reason),
                edit.generation.to_string(),
                words::time(edit.time),
            ]
        })
        .collect();
    let head = ["DEPLOYMENT", "ID", "PATH", "CONTENT", "TAKEN OUT BY", "GEN", "TIME"];
    printer.data(&table(&head, &rows, "PATH", context.width));
    Ok(Exit::Done)
}

fn show(args: &EditsShow, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let name = &deployment.name;
    let host = workspace.host(deployment);
    let edits = host.edits().map_err(CliError::host(name))?;
    let edit = decide::find_edit(deployment, edits, args.id).map_err(CliError::failure(name))?;
    match host.kept(edit.entry.content).map_err(CliError::host(name))? {
        Some(bytes) => {
            printer.bytes(&bytes);
            Ok(Exit::Done)
        }
        None => Err(CliError::Usage {
            what: format!("the bytes of edit {} on {name} are gone from its state directory", args.id),
            hint: None,
        }),
    }
}

fn restore(args: &EditsShow, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let name = deployment.name.as_str();
    let options = context.options(Recover::Now);
    let report = decide::restore_edit(&workspace, deployment, args.id, &options, &())
        .map_err(CliError::failure(&deployment.name))?;
    let path =
        report.survey.as_ref().and_then(|survey| survey.plan.actions.first()).map(|action| &action.path);
    if let Some(path) = path {
        printer.talk(format!("edit {} is back at {path} on {name}; it stays saved, too", args.id));
    }
    if !report.saved.is_empty() {
        let list = context.hints.command(&["edits", "list", name]);
        printer.talk(format!("{} of what lay there saved: {list}", count(report.saved.len(), "edit")));
    }
    publish(&workspace, &[deployment.name.clone()].into(), context, printer);
    Ok(Exit::Done)
}

fn drop_some(args: &EditsDrop, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let dropped = workspace.host(deployment).drop_edits(&args.ids);
    dropped.map_err(CliError::host(&deployment.name))?;
    printer.talk(format!("{} dropped on {}", count(args.ids.len(), "saved edit"), deployment.name));
    Ok(Exit::Done)
}
