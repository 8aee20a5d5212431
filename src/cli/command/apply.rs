//! `apply`: the plan, a question, and the plan carried out.

use camino::Utf8Path;

use super::lock;
use crate::cli::args::{Apply, Format};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{Counts, Exit, of_reports};
use crate::cli::interrupt::Interrupt;
use crate::cli::keys;
use crate::cli::output::{self, Kind, Told};
use crate::cli::printer::Printer;
use crate::cli::progress::Progress;
use crate::cli::report;
use crate::cli::report::lines::Length;
use crate::cli::report::plan::{Diffs, Ids, OfflineHosts, Show, plan, sum, would_commit};
use crate::cli::tell;

use crate::engine::saved::SavedPlan;
use crate::engine::status::Check;
use crate::engine::{Options, Recover, Report, Workspace, fleet, publish_status};
use crate::host::Trust;

pub(super) fn run(args: &Apply, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = output::load(context, &args.outputs, None, printer)?;
    if args.locked {
        lock::demand(&workspace, context)?;
    }
    let workspace = match &args.deployment {
        Some(name) => context.on_host_of(workspace, name)?,
        None => workspace,
    };
    let saved = saved(args, &workspace)?;
    let selected = match &saved {
        Some(saved) => saved.deployments(),
        None => match workspace.own() {
            Some(own) => [own.clone()].into(),
            None => context.select(&workspace, &args.selectors)?,
        },
    };
    if !args.yes && !context.can_ask {
        return Err(CliError::Usage {
            what: "apply asks before it writes, and there is no terminal to ask on".to_owned(),
            hint: Some(format!("{} applies without asking", yes(args, context))),
        });
    }
    let mut options = Options {
        trust: if args.full_rehash { Trust::Nothing } else { Trust::StatCache },
        ..context.options(Recover::Whole)
    };
    options.jobs = args.jobs.map(usize::from);
    options.offline = args.offline.offline();
    options.voice = keys::voice(context, &workspace)?;
    options.hurry = hurry(args)?;
    let progress = Progress::begin(context.shows_progress, selected.len());
    let reports = fleet::survey(&workspace, &selected, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let mut reports: Vec<Report> = reports?;
    let mut gone = Vec::new();
    if let Some(saved) = &saved {
        saved.bind(&workspace, &mut reports);
        gone = saved.gone(&workspace);
    }
    let plan_now = SavedPlan::of(&workspace, &reports);
    if let Some(asked) = args.plan_id.filter(|asked| *asked != plan_now.id) {
        return Err(CliError::OtherPlan { asked, now: plan_now.id });
    }
    let goes = reports.iter().filter(|report| would_commit(&workspace, report)).count();
    let mut interrupted = None;
    if goes > 0 {
        // As it stood before anything was written, which may be below the fleet's own directory.
        let _asked_for_now = workspace.commit();
        if args.outputs.prints(Format::Text) {
            let length = if context.verbose { Length::Whole } else { Length::Short };
            let show = Show { length, diffs: Diffs::Hidden, ids: Ids::Shown, offline: OfflineHosts::Later };
            let sum = sum(&workspace, &reports, &context.hints, &args.selectors);
            let sum = report::without_next(&sum);
            printer.data(&format!("{}\n{sum}\n", plan(&workspace, &reports, &context.hints, show)));
        }
        if let Some(note) = report::care::unchecked(&workspace, &reports) {
            printer.talk(note);
        }
        if !args.yes {
            for report in reports.iter().filter(|report| report.was_touched_unasked()) {
                let name = &report.deployment;
                let why = context.hints.command(&["why", name.as_str()]);
                printer.talk(format!("{name} was not asked for, and something that was left there was ended, because others follow it: {why}"));
            }
            confirm(printer)?;
        }
        let interrupt = Interrupt::listen();
        options.stop = interrupt.stop();
        let progress = Progress::begin(context.shows_progress, goes);
        let applied = fleet::apply(&workspace, reports, &options, progress.told()).map_err(CliError::Runtime);
        progress.end();
        reports = applied?;
        interrupted = interrupt.exit();
    }
    for line in tell::hurried(&workspace, &reports) {
        printer.talk(line);
    }
    for line in keys::told(&publish_status(&workspace, &reports, &options, Check::Store)) {
        printer.talk(line);
    }
    for name in &gone {
        let refused = "refused: a plan of it was saved, and fleet.toml has no such deployment now";
        printer.talk(format!("{name} {refused}"));
    }
    let exit = interrupted.unwrap_or_else(|| of_reports(&reports, Counts::Health));
    let exit = if gone.is_empty() { exit } else { exit.max(Exit::Refused) };
    let told = Told {
        kind: Kind::Apply,
        workspace: &workspace,
        reports: &reports,
        orphans: &[],
        exit,
        against: None,
        plan: Some(&plan_now),
    };
    output::emit(&args.outputs, &told, context, printer, || {
        report::apply::apply(&workspace, &reports, &context.hints)
    })?;
    Ok(exit)
}

/// Why somebody does not wait.
fn hurry(args: &Apply) -> Result<Option<String>, CliError> {
    let said = |reason: &String| !reason.trim().is_empty() && !reason.chars().any(char::is_control);
    match (args.hurry.now, &args.hurry.reason) {
        (true, Some(reason)) if said(reason) => Ok(Some(reason.clone())),
        (true, _) => Err(CliError::Usage {
            what: "--now goes on in spite of stages, windows and pauses, and its reason says nothing"
                .to_owned(),
            hint: Some("say it in one line: --reason \"the key in 1.2.0 is known to others\"".to_owned()),
        }),
        (false, _) => Ok(None),
    }
}

/// The plan that was saved in a file, if that is what is to be applied. A deployment of that name comes first.
fn saved(args: &Apply, workspace: &Workspace) -> Result<Option<SavedPlan>, CliError> {
    let [one] = args.selectors.as_slice() else { return Ok(None) };
    let path = Utf8Path::new(one);
    if workspace.fleet.deployments.contains_key(one.as_str()) || !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|source| CliError::File {
        operation: "read the plan",
        path: path.to_owned(),
        source,
    })?;
    SavedPlan::parse(&text, &workspace.fleet.name)
        .map(Some)
        .map_err(|source| CliError::SavedPlan { path: path.to_owned(), source })
}

/// Asks; anything but yes ends the command.
pub(super) fn confirm(printer: &mut Printer) -> Result<(), CliError> {
    let answer = printer.ask("Go on? [y/N] ").map_err(|error| CliError::Stream("read the answer", error))?;
    if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(CliError::Declined) }
}

fn yes(args: &Apply, context: &Context) -> String {
    let mut words = vec!["apply"];
    words.extend(args.selectors.iter().map(String::as_str));
    words.push("--yes");
    context.hints.command(&words)
}
