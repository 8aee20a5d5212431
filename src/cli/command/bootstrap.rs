//! `bootstrap`: what a new host needs, in one command.

use serde_json::{Value, json};

use crate::cli::args::{Bootstrap, Output};
use crate::cli::context::Context;
use crate::cli::error::{CliError, causes};
use crate::cli::exit::Exit;
use crate::cli::hint::Hints;
use crate::cli::json::FORMAT;
use crate::cli::keys;
use crate::cli::printer::{Printer, shown};
use crate::cli::report::doctor::{about, failure, heading, step, word};
use crate::engine::doctor::{self, Told};
use crate::engine::{Recover, Workspace};
use crate::host::examine::About;
use crate::host::prepare::{Intent, Step, StepState};
use crate::model::publishing::Publishing;
use crate::model::status_key::StatusKey;

pub(super) fn run(args: &Bootstrap, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let intent = if args.dry_run { Intent::Tell } else { Intent::Do };
    let options = context.options(Recover::Report);
    let hosts = doctor::bootstrap(&workspace, &selected, intent, &options);
    let failed = |host: &Told<Vec<Step>>| {
        host.told.as_ref().map_or(true, |steps| steps.iter().any(|step| step.state == StepState::Failed))
    };
    let own = match (workspace.fleet.status.is_some(), args.dry_run) {
        (true, false) => Some(keys::make(&context.status_key)?),
        _ => None,
    };
    let exit = if hosts.iter().any(failed) { Exit::Failed } else { Exit::Done };
    printer.data(&match args.output {
        Output::Json => document(&workspace, &hosts, exit, &context.hints),
        Output::Text => {
            let all: Vec<String> = hosts.iter().map(|host| text(&workspace, host, &context.hints)).collect();
            all.join("\n")
        }
    });
    if let (Some(key), Some(publishing)) = (own, &workspace.fleet.status) {
        for line in pins(&key, publishing, &hosts) {
            printer.talk(line);
        }
    }
    if exit == Exit::Done && !args.dry_run {
        let words: Vec<&str> =
            ["doctor"].into_iter().chain(args.selectors.iter().map(String::as_str)).collect();
        printer.talk(format!("next: {}", context.hints.command(&words)));
    }
    Ok(exit)
}

/// What to write into fleet.toml so that statuses are believed, as far as it does not stand there.
fn pins(own: &StatusKey, publishing: &Publishing, hosts: &[Told<Vec<Step>>]) -> Vec<String> {
    let mut lines = Vec::new();
    if publishing.key.as_ref() != Some(own) {
        lines.push(format!("this machine publishes with [status] key = \"{own}\""));
    }
    for Told { deployment, told } in hosts {
        let key =
            told.iter().flatten().find(|step| step.about == About::Key && step.state != StepState::Failed);
        let Some(key) = key.and_then(|step| StatusKey::new(&step.what).ok()) else { continue };
        if publishing.hosts.get(deployment) != Some(&key) {
            lines.push(format!("on its own, {deployment} publishes with status_key = \"{key}\""));
        }
    }
    lines
}

fn text(workspace: &Workspace, host: &Told<Vec<Step>>, hints: &Hints) -> String {
    let name = &host.deployment;
    let lines: String = match &host.told {
        Ok(steps) => steps.iter().map(|done| step(done, name, hints)).collect(),
        Err(error) => failure("not done", error, name, hints),
    };
    heading(workspace, name) + &lines
}

fn document(workspace: &Workspace, hosts: &[Told<Vec<Step>>], exit: Exit, hints: &Hints) -> String {
    let one = |host: &Told<Vec<Step>>| {
        let name = &host.deployment;
        let deployment = workspace.fleet.deployments.get(name);
        let steps: Vec<Value> = match &host.told {
            Ok(steps) => steps
                .iter()
                .map(|step| {
                    let fix = step.fix.as_ref().map(|fix| hints.of_fix(fix, Some(name)));
                    json!({ "about": word(step.about), "state": step.state, "what": shown(&step.what), "fix": fix })
                })
                .collect(),
            Err(error) => {
                let mut what = vec![shown(&error.to_string())];
                what.extend(causes(error));
                let (what, fix) = (what.join(": "), hints.of_failure(error, name));
                let state = StepState::Failed;
                vec![json!({ "about": word(about(error)), "state": state, "what": what, "fix": fix })]
            }
        };
        json!({
            "deployment": name,
            "host": deployment.map(|deployment| deployment.host.to_string()),
            "root": deployment.map(|deployment| &deployment.root),
            "steps": steps,
        })
    };
    let deployments: Vec<Value> = hosts.iter().map(one).collect();
    let document = json!({ "format": FORMAT, "kind": "bootstrap", "exit_code": exit.code(), "deployments": deployments });
    format!("{document:#}\n")
}
