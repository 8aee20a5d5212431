//! `plan`: what an apply would do. Writes nothing.

use std::sync::Arc;

use camino::Utf8Path;

use super::lock;
use crate::cli::args::Plan;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::{Counts, Exit, of_reports};
use crate::cli::output::{self, Kind, Told};
use crate::cli::printer::{Printer, shown};
use crate::cli::progress::Progress;
use crate::cli::report;
use crate::cli::report::lines::Length;
use crate::cli::report::plan::{Diffs, Ids, OfflineHosts, Show, plan, sum};
use crate::cli::report::words::count;
use crate::engine::against::{self, Against};
use crate::engine::saved::SavedPlan;
use crate::engine::workspace::LoadError;
use crate::engine::{Options, Outcome, Recover, Report, Unmanaged, Workspace, fleet};
use crate::host::Trust;
use crate::model::ranges::compress;

pub(super) fn run(args: &Plan, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = output::load(context, &args.outputs, args.out.as_deref(), printer)?;
    if args.locked {
        lock::demand(&workspace, context)?;
    }
    let workspace = if args.from_status { context.told(workspace)? } else { workspace };
    let selected = context.select(&workspace, &args.selectors)?;
    let options = Options {
        trust: if args.full_rehash { Trust::Nothing } else { Trust::StatCache },
        list: if args.unmanaged { Unmanaged::List } else { Unmanaged::Ignore },
        offline: args.offline.offline(),
        ..context.options(Recover::Report)
    };
    let progress = Progress::begin(context.shows_progress, selected.len());
    let reports = fleet::survey(&workspace, &selected, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let mut reports = reports?;
    let against = match &args.against {
        Some(rev) => Some(compared(rev, &workspace, &mut reports, args, context, &options)?),
        None => None,
    };
    let saved = against.is_none().then(|| SavedPlan::of(&workspace, &reports));
    if let (Some(file), Some(saved)) = (&args.out, &saved) {
        save(file, saved, context, printer)?;
        let undecided = reports.iter().filter(|report| report.outcome == Outcome::Undecided);
        let undecided: Vec<&str> = undecided.map(|report| report.deployment.as_str()).collect();
        if !undecided.is_empty() {
            let names = compress(undecided);
            printer.talk(format!("not in it, as statuses do not decide what would be done: {names}"));
        }
    }
    let decided = reports.iter().all(|report| report.outcome != Outcome::Undecided);
    let counts = if args.detailed_exitcode { Counts::Changes } else { Counts::Nothing };
    let exit = of_reports(&reports, counts);
    let orphans = context.orphans(&workspace, &args.selectors);
    let told = Told {
        kind: Kind::Plan,
        workspace: &workspace,
        reports: &reports,
        orphans: &orphans,
        exit,
        against: against.as_ref(),
        // Nobody knows yet what that of the others will be.
        plan: saved.as_ref().filter(|_| decided),
    };
    output::emit(&args.outputs, &told, context, printer, || {
        let show = Show {
            length: if context.verbose { Length::Whole } else { Length::Short },
            diffs: if args.diff { Diffs::Shown } else { Diffs::Hidden },
            ids: if against.is_some() { Ids::Hidden } else { Ids::Shown },
            offline: OfflineHosts::Told,
        };
        let mut text = plan(&workspace, &reports, &context.hints, show);
        text.push_str(&report::orphans::text(&orphans, &context.hints));
        if args.unmanaged {
            text.push_str(&unmanaged(&reports));
        }
        let sum = sum(&workspace, &reports, &context.hints, &args.selectors);
        match &against {
            Some(against) => {
                let sum = report::against::sum(&report::without_next(&sum), against);
                text + "\n" + &sum + &report::against::text(against)
            }
            None => text + "\n" + &sum,
        }
    })?;
    Ok(exit)
}

/// Writes a plan for a later apply.
fn save(
    file: &Utf8Path,
    saved: &SavedPlan,
    context: &Context,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let failed = |source| CliError::File { operation: "write the plan", path: file.to_owned(), source };
    std::fs::write(file, saved.text()).map_err(failed)?;
    printer.talk(format!(
        "saved plan {} of {} to {file}; {} carries out exactly that",
        saved.id.short(),
        count(saved.plans.len(), "deployment"),
        context.hints.command(&["apply", file.as_str()])
    ));
    Ok(())
}

/// Leaves in the reports what the change since the merge base with `rev` causes.
fn compared(
    rev: &str,
    workspace: &Arc<Workspace>,
    reports: &mut [Report],
    args: &Plan,
    context: &Context,
    options: &Options,
) -> Result<Against, CliError> {
    let before = match context.load_merge_base(rev) {
        Ok(before) => before,
        Err(error) => {
            let Some(why) = unread(&error) else { return Err(error) };
            let base = context.merge_base(rev)?;
            return Ok(Against { rev: rev.to_owned(), base, unread: Some(why), ..Against::default() });
        }
    };
    let before = match args.from_status {
        true => told(before, workspace, context)?,
        false => before,
    };
    // A selector may mean nothing there yet, or something else: those are compared that are meant here.
    let mut selected = match context.select(&before, &args.selectors) {
        Err(CliError::Select(_)) => Default::default(),
        selected => selected?,
    };
    selected.retain(|name| !workspace.fleet.deployments.contains_key(name));
    let meant = reports.iter().filter(|report| report.selected).map(|report| &report.deployment);
    selected.extend(meant.filter(|name| before.fleet.deployments.contains_key(*name)).cloned());
    let progress = Progress::begin(context.shows_progress, selected.len());
    let earlier = fleet::survey(&before, &selected, options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    let against = against::compare(reports, &workspace.fleet, &earlier?, &before.fleet);
    Ok(Against { rev: rev.to_owned(), base: before.commit().cloned(), ..against })
}

/// Hosts are as their statuses tell of them for the earlier fleet, too: as that one finds them, if it can.
fn told(
    before: Arc<Workspace>,
    workspace: &Arc<Workspace>,
    context: &Context,
) -> Result<Arc<Workspace>, CliError> {
    let here = workspace.statuses();
    if before.fleet.status.is_some() && before.fleet.status == workspace.fleet.status {
        return context.told(before);
    }
    Ok(here.map_or_else(|| Arc::clone(&before), |here| context.told_by(&before, here)))
}

/// Why there is nothing to compare with, though there is a merge base: what it has is no fleet. `None`: another error.
fn unread(error: &CliError) -> Option<String> {
    let CliError::Load(error) = error else { return None };
    match error {
        LoadError::Invalid { problems, .. } => {
            Some(format!("the base does not validate ({})", count(problems.0.len(), "problem")))
        }
        LoadError::Snapped { path, source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("the base has no {path}"))
        }
        LoadError::Lock { .. } => Some("fleet.lock of the base is no lock".to_owned()),
        LoadError::Snapped { path, .. } => Some(format!("{path} of the base cannot be read")),
        LoadError::Read { .. } => Some("the base includes a file that cannot be read".to_owned()),
        LoadError::Snapshot(_) => None,
    }
}

/// What lies in the packs' directories and is nobody's.
fn unmanaged(reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports.iter().filter(|report| report.selected) {
        let Some(survey) = &report.survey else { continue };
        let names = &survey.observation.actual.unmanaged;
        let all = count(names.len(), "entry").replace("entrys", "entries");
        out.push_str(&format!(
            "\nnot packfleet's on {}: {all}, never read, written or removed\n",
            report.deployment
        ));
        out.extend(names.iter().map(|name| format!("    {}\n", shown(name))));
    }
    out
}
