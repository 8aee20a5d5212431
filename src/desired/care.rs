//! Services, commands after a change, and health: from what is written to what it means.
//!
//! A check has exactly one kind, and only keys that mean something for it; what is left out has a default that
//! the schema names.

use std::time::Duration;

use jiff::SignedDuration;

use super::problem::quoted;
use super::raw::{RawHealth, RawPack, RawService};
use super::read::{At, Stanza, exactly_one};
use super::report::{Place, Report, fault};
use crate::model::care::{Care, Check, Manager, OnChange, Service, Stop, Unit, Watched};
use crate::model::fleet::Url;

/// Unless a check says otherwise.
const WITHIN: Duration = Duration::from_secs(30);
/// Unless a check says otherwise.
const OVER: Duration = Duration::from_secs(600);
/// In percent, unless a check says otherwise.
const MAX_INCREASE: u32 = 50;
/// Unless a check says otherwise.
const AT_LEAST: u64 = 5;

/// What a pack says about running it.
pub(super) fn care(stanza: &At<RawPack>, report: &mut Report) -> Care {
    if stanza.service.get().is_some() && stanza.restart.get().is_some() {
        let fault = fault(format!("{} has both `service` and `restart`", report.path()), "too much is given");
        report.add(&stanza.place, fault.hint("keep one of the two"));
    }
    let on_change = report.within("on_change", |report| {
        let one = |raw: &At<super::raw::RawOnChange>| {
            let run = raw.run.required(&raw.place, "run", "a program and its arguments", report)?;
            let hint = "globs over the pack's paths; [\"**\"] is every one";
            let paths = raw.paths.required(&raw.place, "paths", hint, report)?;
            let paths = paths.iter().map(|path| path.value.0.clone()).collect();
            Some(OnChange { paths, run: run.value.0.clone() })
        };
        stanza.on_change.items().iter().filter_map(one).collect()
    });
    let unit = stanza.service.get().and_then(|raw| report.within("service", |report| service(raw, report)));
    let restart = stanza.restart.get().map(|run| Service::Command(run.value.0.clone()));
    let service = unit.or(restart);
    let health = checks(stanza.health.items(), service.as_ref(), report);
    Care { on_change, service, health }
}

fn service(raw: &At<RawService>, report: &mut Report) -> Option<Service> {
    let given = raw.unit.required(&raw.place, "unit", "a systemd unit: \"bot.service\"", report)?;
    let name = report.within("unit", |report| unit_name(given, report))?;
    let yes = |value: Option<bool>| value == Some(true);
    let manager = if yes(raw.user.get().map(|user| user.value)) { Manager::User } else { Manager::System };
    let first = yes(raw.stop_first.get().map(|first| first.value));
    let stop = if first { Stop::First } else { Stop::WithRestart };
    Some(Service::Unit { unit: Unit { name, manager }, stop })
}

/// The name as systemd knows it.
fn unit_name(given: &At<String>, report: &mut Report) -> Option<String> {
    let text = given.value.as_str();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.is_empty() || text.len() > 255 || text.starts_with(['-', '.']) || !text.chars().all(fits) {
        let message = format!("`{}`: {} is no name of a unit", report.path(), quoted(text));
        report.add(&given.place, fault(message, "not a unit").hint("as in \"bot.service\""));
        return None;
    }
    const KINDS: [&str; 8] =
        [".service", ".socket", ".timer", ".target", ".path", ".mount", ".slice", ".scope"];
    let whole = KINDS.iter().any(|kind| text.ends_with(kind));
    Some(if whole { text.to_owned() } else { format!("{text}.service") })
}

/// Checks of health; `service` is what `active_for` looks at.
pub(super) fn checks(raw: &[At<RawHealth>], service: Option<&Service>, report: &mut Report) -> Vec<Check> {
    let one = |raw| report.within("health", |report| check(raw, service, report));
    raw.iter().filter_map(one).collect()
}

/// Which keys mean something for which kind.
fn meant(kind: &str) -> &'static [&'static str] {
    match kind {
        "http" | "command" => &["expect", "within"],
        "journal" | "log" => &["error", "max_increase", "at_least", "over"],
        _ => &[],
    }
}

fn check(raw: &At<RawHealth>, service: Option<&Service>, report: &mut Report) -> Option<Check> {
    const KINDS: [&str; 5] = ["http", "command", "active_for", "journal", "log"];
    let place = &raw.place;
    let one = exactly_one(&**raw, place, &KINDS, report);
    let given = raw.given();
    let watched = ["journal", "log"].iter().any(|kind| given.contains(kind));
    if watched && raw.error.is_absent() {
        let message = format!("{} does not say what an error looks like", report.path());
        report.add(place, fault(message, "`error` is missing").hint("a regular expression"));
    }
    if !one {
        return None;
    }
    let kind = given.iter().find(|key| KINDS.contains(key))?;
    for key in given.iter().filter(|key| *key != kind && !meant(kind).contains(key)) {
        let message = format!("{} has `{key}`, which means nothing for `{kind}`", report.path());
        report.add(place, fault(message, format!("no `{key}` here")).hint("leave it out"));
    }
    let within = raw.within.get().map_or(WITHIN, |period| span(period.value.0));
    if let Some(url) = raw.http.get() {
        let text = url.value.as_str();
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/'))
            || text.contains(char::is_whitespace)
        {
            let message = format!("{} is no http or https URL", quoted(text));
            let hint = "as in \"http://127.0.0.1:9000/health\"";
            report.add(&url.place, fault(message, "not a URL").hint(hint));
            return None;
        }
        let expect = raw.expect.get().map_or(200, |expect| expect.value.0);
        let expect = status(expect, 100..=599, "HTTP status", place, report)?;
        return Some(Check::Http { url: Url::new(text), expect, within });
    }
    if let Some(run) = raw.command.get() {
        let expect = raw.expect.get().map_or(0, |expect| expect.value.0);
        let expect = status(expect, 0..=255, "exit status", place, report)?.into();
        return Some(Check::Command { run: run.value.0.clone(), expect, within });
    }
    if let Some(period) = raw.active_for.get() {
        let Some(Service::Unit { unit, .. }) = service else {
            let message = format!("{} has `active_for`, but its pack has no unit", report.path());
            let hint = "name it as the pack's `service`";
            report.add(&period.place, fault(message, "which unit?").hint(hint));
            return None;
        };
        return Some(Check::ActiveFor { unit: unit.clone(), period: span(period.value.0) });
    }
    let watched = match (raw.journal.get(), raw.log.get()) {
        (Some(journal), _) => {
            let name = report.within("journal", |report| unit_name(journal, report))?;
            let manager = match service {
                Some(Service::Unit { unit, .. }) if unit.name == name => unit.manager,
                _ => Manager::System,
            };
            Watched::Journal(Unit { name, manager })
        }
        (None, Some(log)) => Watched::Log(log.value.clone()),
        (None, None) => return None,
    };
    Some(Check::Errors {
        watched,
        error: raw.error.get()?.value.0.clone(),
        max_increase: raw.max_increase.get().map_or(MAX_INCREASE, |growth| growth.value.0),
        at_least: raw.at_least.get().map_or(AT_LEAST, |count| count.value.0),
        over: raw.over.get().map_or(OVER, |period| span(period.value.0)),
    })
}

fn status(
    given: u64,
    range: std::ops::RangeInclusive<u16>,
    what: &str,
    place: &Place,
    report: &mut Report,
) -> Option<u16> {
    let value = u16::try_from(given).ok().filter(|value| range.contains(value));
    if value.is_none() {
        let message = format!("{} expects {given}, which is no {what}", report.path());
        let bounds = format!("from {} to {}", range.start(), range.end());
        report.add(place, fault(message, format!("no {what}")).hint(bounds));
    }
    value
}

/// A period is positive.
fn span(period: SignedDuration) -> Duration {
    Duration::try_from(period).unwrap_or(Duration::ZERO)
}
