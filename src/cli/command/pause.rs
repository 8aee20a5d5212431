//! `pause` and `resume`: nothing is changed on some deployments for a while.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::cli::args::{Pause, Resume};
use crate::cli::context::Context;
use crate::cli::error::{CliError, causes};
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::cli::publish::publish;
use crate::cli::report::words;
use crate::engine::Workspace;
use crate::engine::pauses::{self, Noted};
use crate::host::HostError;
use crate::model::ranges::compress;
use crate::model::{DeploymentName, rollout};

pub(super) fn pause(args: &Pause, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let until = until(args, context.now)?;
    if args.reason.trim().is_empty() || args.reason.chars().any(char::is_control) {
        return Err(CliError::Usage {
            what: "the reason is empty, or has a control character in it".to_owned(),
            hint: Some("say it in one line: --reason \"conference week\"".to_owned()),
        });
    }
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let pause = rollout::Pause { reason: args.reason.clone(), until };
    let noted = pauses::set(&workspace, &selected, Some(&pause), context.now);
    let stays = |was: Option<&rollout::Pause>| was.is_some_and(|was| was.outlasts(&pause, context.now));
    for (name, was) in noted.iter().filter_map(|(name, was)| Some((name, was.as_ref().ok()?.as_ref()?))) {
        if stays(Some(was)) {
            printer.talk(format!(
                "{name} is paused {} already, which is longer and stays: {}; {} ends it",
                end(was.until),
                shown(&was.reason),
                context.hints.command(&["resume", name.as_str()])
            ));
        }
    }
    if let Some(names) = names(&noted, |was| !stays(was)) {
        let mut words = vec!["resume"];
        // What stays paused for longer is not ended by the way.
        match noted.iter().any(|(_, was)| was.as_ref().is_ok_and(|was| stays(was.as_ref()))) {
            true => words.extend(told(&noted, |was| !stays(was))),
            false => words.extend(args.selectors.iter().map(String::as_str)),
        }
        printer.talk(format!("paused {}: {names}; ends with {}", end(until), context.hints.command(&words)));
    }
    longer(&workspace, &selected, &pause, context, printer);
    publish(&workspace, &selected, context, printer);
    Ok(failures(&noted, context, printer))
}

/// Says whom the fleet file pauses for longer than that.
fn longer(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
    pause: &rollout::Pause,
    context: &Context,
    printer: &mut Printer,
) {
    for deployment in selected.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
        let Some(own) = &deployment.pause else { continue };
        if own.holds(context.now) && own.outlasts(pause, context.now) {
            printer.talk(format!(
                "{} stays paused {} by {}: {}",
                deployment.name,
                end(own.until),
                context.hints.file(),
                shown(&own.reason)
            ));
        }
    }
}

/// When a pause ends.
fn end(until: Option<Timestamp>) -> String {
    until.map_or("until somebody resumes".to_owned(), |until| format!("until {}", words::time(until)))
}

pub(super) fn resume(args: &Resume, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let selected = context.select(&workspace, &args.selectors)?;
    let noted = pauses::set(&workspace, &selected, None, context.now);
    if let Some(names) = names(&noted, |was| was.is_some()) {
        printer.talk(format!("not paused any more: {names}"));
    }
    if let Some(names) = names(&noted, |was| was.is_none()) {
        printer.talk(format!("had no pause of a command: {names}"));
    }
    // What fleet.toml says stays in force.
    for deployment in selected.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
        if let Some(pause) = deployment.pause.as_ref().filter(|pause| pause.holds(context.now)) {
            printer.talk(format!(
                "{} is still paused by {}: {}",
                deployment.name,
                context.hints.file(),
                shown(&pause.reason)
            ));
        }
    }
    publish(&workspace, &selected, context, printer);
    Ok(failures(&noted, context, printer))
}

/// Names of those that were told, by the pause that they had before.
fn told(noted: &Noted, meant: impl Fn(Option<&rollout::Pause>) -> bool) -> Vec<&str> {
    let told = noted.iter().filter_map(|(name, noted)| Some((name, noted.as_ref().ok()?.as_ref())));
    told.filter(|(_, was)| meant(*was)).map(|(name, _)| name.as_str()).collect()
}

/// The same in words, if there are any.
fn names(noted: &Noted, meant: impl Fn(Option<&rollout::Pause>) -> bool) -> Option<String> {
    let names = told(noted, meant);
    (!names.is_empty()).then(|| compress(names))
}

/// Says who could not be told; the worst of it.
fn failures(noted: &Noted, context: &Context, printer: &mut Printer) -> Exit {
    let mut exit = Exit::Done;
    for (name, error) in noted.iter().filter_map(|(name, noted)| Some((name, noted.as_ref().err()?))) {
        let mut text = format!("{name}: {}", shown(&error.to_string()));
        for cause in causes(error) {
            text.push_str(&format!(": {cause}"));
        }
        printer.talk(format!("error: {text}{}", again(name, error, context)));
        exit = exit.max(match error {
            HostError::Locked { .. } => Exit::Locked,
            HostError::Unreachable { .. } => Exit::Waiting,
            _ => Exit::Failed,
        });
    }
    exit
}

fn again(name: &DeploymentName, error: &HostError, context: &Context) -> String {
    match error {
        HostError::Locked { .. } => "; say it again once that run has ended".to_owned(),
        _ => format!("; see {}", context.hints.command(&["doctor", name.as_str()])),
    }
}

/// When the pause ends.
fn until(args: &Pause, now: Timestamp) -> Result<Option<Timestamp>, CliError> {
    let wrong = |what: String, hint: &str| CliError::Usage { what, hint: Some(hint.to_owned()) };
    let until = match (&args.until, &args.period) {
        (None, None) => return Ok(None),
        (Some(text), _) => text.parse::<Timestamp>().map_err(|_| {
            wrong(format!("{text:?} is no moment"), "date, time and offset: --until 2026-12-01T00:00:00Z")
        })?,
        (None, Some(text)) => {
            let hint = "hours, minutes, days: --for 8h, --for 2d";
            let period = period(text).ok_or_else(|| wrong(format!("{text:?} is no period"), hint))?;
            now.checked_add(period).map_err(|_| wrong(format!("{text:?} is too long"), hint))?
        }
    };
    if until <= now {
        return Err(wrong(format!("{} is over already", words::time(until)), "name a moment to come"));
    }
    Ok(Some(until))
}

/// `8h`, `1h 30m`; days and weeks as so many times 24 hours.
fn period(text: &str) -> Option<SignedDuration> {
    let days = |unit: &str, of: i64| {
        let number: i64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(of * 24 * 3600).map(SignedDuration::from_secs)
    };
    let period = days("d", 1).or_else(|| days("w", 7)).or_else(|| text.parse().ok())?;
    period.is_positive().then_some(period)
}
