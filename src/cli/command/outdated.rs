//! `outdated`: which deployments lag which versions.

use serde_json::{Value, json};

use crate::cli::args::{Outdated, Output};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json::FORMAT;
use crate::cli::printer::{Printer, shown};
use crate::cli::report::table::table;
use crate::cli::report::words::hold;
use crate::engine::outdated::{Lag, outdated};
use crate::model::plan::HoldCause;

pub(super) fn run(args: &Outdated, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let deployments = selected.iter().filter_map(|name| workspace.fleet.deployments.get(name));
    let lags: Vec<Lag> = deployments.flat_map(|deployment| outdated(&workspace, deployment)).collect();
    let behind: Vec<&Lag> = lags.iter().filter(|lag| lag.is_behind()).collect();
    match args.output {
        Output::Json => {
            let rows: Vec<Value> = lags.iter().map(row).collect();
            let all = json!({ "format": FORMAT, "kind": "outdated", "packs": rows });
            printer.data(&format!("{all:#}\n"));
        }
        Output::Text if behind.is_empty() => {
            printer.data("nothing lags: every pack is the newest that its source has\n");
        }
        Output::Text => {
            let rows: Vec<Vec<String>> = behind.iter().map(|lag| cells(lag)).collect();
            let head = ["DEPLOYMENT", "PACK", "INSTALLED", "PINNED", "ALLOWED", "NEWEST"];
            printer.data(&table(&head, &rows, "ALLOWED", context.width));
            for lag in &behind {
                for cause in [&lag.pinned, &lag.newest_allowed].into_iter().filter_map(|v| v.as_ref().err()) {
                    printer.talk(format!("{} {}: {}", lag.deployment, lag.pack, hold(cause)));
                }
            }
            let lock = context.hints.command(&["lock", "--update"]);
            printer.talk(format!(
                "PINNED is what the next apply gives; ALLOWED comes with {lock}; NEWEST may need an edit of the \
                 requirement"
            ));
        }
    }
    Ok(if args.exit_code && !behind.is_empty() { Exit::Changes } else { Exit::Done })
}

fn cells(lag: &Lag) -> Vec<String> {
    let told = |version: &Result<String, HoldCause>| match version {
        Ok(version) => shown(version),
        Err(_) => "?".to_owned(),
    };
    vec![
        lag.deployment.to_string(),
        lag.pack.to_string(),
        lag.installed.as_deref().map_or_else(|| "-".to_owned(), shown),
        told(&lag.pinned),
        told(&lag.newest_allowed),
        lag.newest.as_deref().map_or_else(|| "-".to_owned(), shown),
    ]
}

fn row(lag: &Lag) -> Value {
    let told = |version: &Result<String, HoldCause>| match version {
        Ok(version) => json!({ "version": version }),
        Err(cause) => json!({ "held": hold(cause) }),
    };
    json!({
        "deployment": lag.deployment,
        "pack": lag.pack,
        "installed": lag.installed,
        "pinned": told(&lag.pinned),
        "allowed": told(&lag.newest_allowed),
        "newest": lag.newest,
        "behind": lag.is_behind(),
    })
}
