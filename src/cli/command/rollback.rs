//! `rollback`: the plan that undoes later generations, a question, and the plan carried out.

use std::collections::BTreeMap;

use crate::cli::args::Rollback;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{Counts, Exit, of_report};
use crate::cli::printer::{Printer, painted};
use crate::cli::publish::publish;
use crate::cli::report::lines::Length;
use crate::cli::report::plan::{Diffs, Ids, OfflineHosts, Show, body};
use crate::cli::report::words::{self, Tally, count};
use crate::engine::{Outcome, Recover, Report, Workspace, decide, rollback};
use crate::model::fleet::Deployment;
use crate::model::plan::Purpose;

pub(super) fn run(args: &Rollback, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let pack = args.pack.as_deref().map(|text| context.pack(text)).transpose()?;
    let name = deployment.name.as_str();
    if !args.yes && !context.can_ask {
        return Err(CliError::Usage {
            what: "rollback asks before it writes, and there is no terminal to ask on".to_owned(),
            hint: Some(format!(
                "{} rolls back without asking",
                context.hints.command(&["rollback", name, "--yes"])
            )),
        });
    }
    let options = context.options(Recover::Now);
    let report = rollback::plan(&workspace, deployment, args.to, pack.as_ref(), &options, &())
        .map_err(CliError::failure(&deployment.name))?;
    show(&workspace, deployment, &report, context, printer);
    let (survey, outcome) = match report {
        Report { survey: Some(survey), outcome, .. } => (survey, outcome),
        Report { survey: None, failure: Some(failure), .. } => {
            return Err(CliError::failure(&deployment.name)(failure));
        }
        report => return Ok(of_report(&report, Counts::Nothing)),
    };
    if outcome != Outcome::Planned {
        printer.talk("nothing was changed: half a rollback is worse than none");
        return Ok(if outcome == Outcome::Refused { Exit::Refused } else { Exit::Held });
    }
    if !args.yes {
        super::apply::confirm(printer)?;
    }
    let done = decide::commit(&workspace, deployment, survey, &BTreeMap::new(), &options)
        .map_err(CliError::failure(&deployment.name))?;
    tell(deployment, &done, context, printer);
    publish(&workspace, &[deployment.name.clone()].into(), context, printer);
    Ok(Exit::Done)
}

fn show(
    workspace: &Workspace,
    deployment: &Deployment,
    report: &Report,
    context: &Context,
    printer: &mut Printer,
) {
    let Some(survey) = &report.survey else { return };
    let to = match survey.plan.purpose {
        Purpose::Rollback { to } => to,
        _ => 0,
    };
    let show = Show {
        length: if context.verbose { Length::Whole } else { Length::Short },
        diffs: Diffs::Hidden,
        ids: Ids::Shown,
        offline: OfflineHosts::Told,
    };
    printer.data(&format!(
        "{}  back to generation {to}: generation {} → {}\n{}",
        deployment.name,
        survey.plan.generation,
        survey.plan.generation + 1,
        body(workspace, report, &context.hints, show)
    ));
}

fn tell(deployment: &Deployment, done: &Report, context: &Context, printer: &mut Printer) {
    let name = deployment.name.as_str();
    let Some(survey) = &done.survey else { return };
    let (word, style) = words::outcome(Outcome::RolledBack);
    printer.data(&format!(
        "{name}  {}  generation {} · {}\n",
        painted(style, word),
        done.committed.unwrap_or(survey.plan.generation + 1),
        Tally::of(&survey.plan.actions).past()
    ));
    if !done.saved.is_empty() {
        printer.talk(format!(
            "{} saved: {}",
            count(done.saved.len(), "edit"),
            context.hints.command(&["edits", "list", name])
        ));
    }
    if !survey.plan.next.rejected.is_empty() {
        printer.talk(format!(
            "what was left is rejected here until {} gives something else, or {}",
            context.hints.file(),
            context.hints.command(&["retry", name])
        ));
    }
}
