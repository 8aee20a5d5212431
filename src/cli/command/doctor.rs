//! `doctor`: everything that an apply relies on, before it matters.

use serde_json::{Value, json};

use crate::cli::args::{Doctor, Output};
use crate::cli::context::Context;
use crate::cli::error::{CliError, causes};
use crate::cli::exit::Exit;
use crate::cli::hint::Hints;
use crate::cli::json::FORMAT;
use crate::cli::printer::{Printer, paint, shown};
use crate::cli::report::doctor::{about, failure, finding, heading, word};
use crate::engine::doctor::{self, Told};
use crate::engine::{Recover, Workspace};
use crate::host::examine::{Finding, Grade};
use crate::model::DeploymentName;

/// Which lines are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    All,
    NotOk,
}

type Answers = [Told<Vec<Finding>>];

pub(super) fn run(args: &Doctor, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let here = doctor::here(&workspace, &selected);
    let hosts = doctor::examine(&workspace, &selected, &context.options(Recover::Report));
    let exit = if fails(&here, &hosts) == 0 { Exit::Done } else { Exit::Failed };
    let lines = if args.quiet { Lines::NotOk } else { Lines::All };
    printer.data(&match args.output {
        Output::Json => document(&workspace, &here, &hosts, exit, &context.hints),
        Output::Text => text(&workspace, &here, &hosts, lines, &context.hints),
    });
    Ok(exit)
}

fn fails(here: &[Finding], hosts: &Answers) -> usize {
    let failed = |found: &[Finding]| found.iter().filter(|found| found.grade == Grade::Fail).count();
    failed(here) + hosts.iter().map(|host| host.told.as_ref().map_or(1, |found| failed(found))).sum::<usize>()
}

fn text(workspace: &Workspace, here: &[Finding], hosts: &Answers, lines: Lines, hints: &Hints) -> String {
    let shows = |found: &&Finding| lines == Lines::All || found.grade != Grade::Ok;
    let mut sections = Vec::new();
    let lines: String = here.iter().filter(shows).map(|found| finding(found, None, hints)).collect();
    sections.push((format!("{}\n", paint::name("this machine")), lines));
    for host in hosts {
        let name = &host.deployment;
        let lines: String = match &host.told {
            Ok(found) => found.iter().filter(shows).map(|found| finding(found, Some(name), hints)).collect(),
            Err(error) => failure("fail", error, name, hints),
        };
        sections.push((heading(workspace, name), lines));
    }
    let shown = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    let mut text = shown.map(|(heading, lines)| heading + &lines).collect::<Vec<_>>().join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let all = here.iter().chain(hosts.iter().filter_map(|host| host.told.as_ref().ok()).flatten());
    let warnings = all.filter(|found| found.grade == Grade::Warn).count();
    text.push_str(&match (fails(here, hosts), warnings) {
        (0, 0) => "all is well\n".to_owned(),
        (fails, warnings) => format!("{fails} fail, {warnings} warn\n"),
    });
    text
}

fn document(workspace: &Workspace, here: &[Finding], hosts: &Answers, exit: Exit, hints: &Hints) -> String {
    let deployments: Vec<Value> = hosts.iter().map(|host| one(workspace, host, hints)).collect();
    let here: Vec<Value> = here.iter().map(|found| row(found, None, hints)).collect();
    let document = json!({
        "format": FORMAT,
        "kind": "doctor",
        "exit_code": exit.code(),
        "here": here,
        "deployments": deployments,
    });
    format!("{document:#}\n")
}

fn one(workspace: &Workspace, host: &Told<Vec<Finding>>, hints: &Hints) -> Value {
    let name = &host.deployment;
    let deployment = workspace.fleet.deployments.get(name);
    let found: Vec<Value> = match &host.told {
        Ok(found) => found.iter().map(|found| row(found, Some(name), hints)).collect(),
        Err(error) => {
            let mut what = vec![shown(&error.to_string())];
            what.extend(causes(error));
            let fix = hints.of_failure(error, name);
            vec![
                json!({ "about": word(about(error)), "grade": Grade::Fail, "what": what.join(": "), "fix": fix }),
            ]
        }
    };
    json!({
        "deployment": name,
        "host": deployment.map(|deployment| deployment.host.to_string()),
        "root": deployment.map(|deployment| &deployment.root),
        "findings": found,
    })
}

fn row(found: &Finding, name: Option<&DeploymentName>, hints: &Hints) -> Value {
    let fix = found.fix.as_ref().map(|fix| hints.of_fix(fix, name));
    json!({ "about": word(found.about), "grade": found.grade, "what": shown(&found.what), "fix": fix })
}
