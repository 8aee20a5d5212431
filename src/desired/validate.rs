//! The fleet as a whole: its own tables, and what holds across all of them.
//!
//! Everything is looked at, whatever was wrong before; only what needs a value that is not there is left out.
//! A [`Fleet`] comes out only if nothing at all was wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use super::deployments::{Surroundings, deployments};
use super::fleet_file::Context;
use super::packs::{Policy, accept, known, packs, sources};
use super::problem::quoted;
use super::profile::Written;
use super::publishing::publishing;
use super::raw::{RawFile, RawFleet};
use super::read::{At, Field};
use super::report::{Place, Report, fault};
use super::rollout;
use super::scalar::{Period, Refused, refused};
use crate::model::fleet::{Budget, Consent, Fleet, Limits, Pace};
use crate::model::outward::{Notify, Outward, Topic};
use crate::model::pack::Pack;
use crate::model::run::{Retry, Rhythm};
use crate::model::{PackName, TreePath};

/// What the raw tables and the written-out deployments mean. `None` if anything was wrong, now or before.
pub(super) fn fleet(
    raw: &RawFile,
    written: &[Written],
    context: &Context,
    report: &mut Report,
) -> Option<Fleet> {
    let start = Place::new(0, 0..0);
    let own = raw.fleet.get();
    if raw.fleet.is_absent() {
        let fault = fault("the file has no [fleet] table", "[fleet] is missing");
        report.add(&start, fault.hint("begin with [fleet] and a name: name = \"my-fleet\""));
    }
    let name = own.and_then(|own| {
        report.within("fleet", |report| own.name.required(&own.place, "name", "name = \"my-fleet\"", report))
    });
    let sources = sources(raw, &context.directory, report);
    let packs = packs(raw, report);
    let policy = own.map(|own| Policy::of(&own.edits)).unwrap_or_default();
    let around = Surroundings { raw, packs: &packs, context, policy };
    let deployments = deployments(written, &around, report);
    let packs: BTreeMap<PackName, Pack> = packs.into_iter().map(|(name, (pack, _))| (name, pack)).collect();
    if let Some(own) = own {
        files_apart(own, &packs, report);
    }
    let rollout = rollout::stages(raw, written, &packs, &deployments, report);
    let budget = budget(raw, report);
    let status = publishing(raw, written, &context.directory, report);
    retry(raw, report);
    let outward = outward(raw, report);
    if !report.is_empty() {
        return None;
    }
    let path = |field: &Field<TreePath>| field.get().map(|path| path.value.clone());
    Some(Fleet {
        name: name?.value.clone(),
        directory: context.directory.clone(),
        version_file: own.and_then(|own| path(&own.version_file)),
        sync_log: own.and_then(|own| path(&own.sync_log)),
        keep_generations: own.and_then(|own| own.keep_generations.get()).map_or(20, |count| count.0 as u32),
        budget,
        pace: pace(raw),
        rhythm: rhythm(raw),
        outward: outward?,
        limits: limits(raw),
        status,
        sources,
        packs,
        deployments,
        rollout,
    })
}

fn pace(raw: &RawFile) -> Pace {
    let run = raw.run.get();
    Pace {
        jobs: run.and_then(|run| run.jobs.get()).and_then(|jobs| usize::try_from(jobs.value.0).ok()),
        host_timeout: run
            .and_then(|run| run.host_timeout.get())
            .and_then(|period| std::time::Duration::try_from(period.value.0).ok()),
    }
}

/// `None` only if something was wrong.
fn outward(raw: &RawFile, report: &mut Report) -> Option<Outward> {
    let run = raw.run.get();
    let mut notify = Some(Vec::new());
    for stanza in raw.notify.items() {
        let url = report.within("notify", |report| {
            stanza.url.required(&stanza.place, "url", "url = { env = \"TEAM_WEBHOOK\" }", report)
        });
        let on: Vec<Topic> = match &stanza.on {
            Field::Absent => Topic::ALL.to_vec(),
            on => on.items().iter().map(|topic| topic.value).collect(),
        };
        let one = url.map(|url| Notify { url: url.value.0.clone(), on });
        notify = notify.zip(one).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    Some(Outward {
        listen: run.and_then(|run| run.listen.get()).map(|listen| listen.value.0.clone()),
        webhook_secret: run.and_then(|run| run.webhook_secret.get()).map(|name| name.value.0.clone()),
        notify: notify?,
    })
}

fn rhythm(raw: &RawFile) -> Rhythm {
    let usual = Rhythm::default();
    let Some(run) = raw.run.get() else { return usual };
    let or = |field: &Field<Period>, usual: Duration| {
        field.get().and_then(|period| Duration::try_from(period.value.0).ok()).unwrap_or(usual)
    };
    let retry = run.retry.get().map_or(usual.retry, |retry| {
        // One that is given alone bounds the other.
        let initial = or(&retry.initial, usual.retry.initial.min(or(&retry.max, Duration::MAX)));
        Retry { initial, max: or(&retry.max, usual.retry.max.max(initial)) }
    });
    Rhythm {
        poll: or(&run.poll, usual.poll),
        resync: or(&run.resync, usual.resync),
        full_rehash: or(&run.full_rehash, usual.full_rehash),
        retry,
    }
}

/// The VERSION file and the log are no pack's: not its target, and no directory on the way to one.
fn files_apart(own: &At<RawFleet>, packs: &BTreeMap<PackName, Pack>, report: &mut Report) {
    let files = [("version_file", &own.version_file), ("sync_log", &own.sync_log)];
    for (key, file) in files.iter().filter_map(|(key, field)| field.get().map(|file| (key, file))) {
        for (name, pack) in packs {
            for to in pack.install.0.iter().filter_map(|line| line.to.as_ref()) {
                if *to == file.value || to.is_below(&file.value) {
                    let message = format!(
                        "`fleet.{key}` is {}, where pack {name} installs {}",
                        quoted(file.as_str()),
                        quoted(to.as_str())
                    );
                    report.add(
                        &file.place,
                        fault(message, "a target of a pack").hint("give it a path of its own"),
                    );
                }
            }
        }
    }
    if let (Some(version), Some(log)) = (own.version_file.get(), own.sync_log.get())
        && (version.value == log.value || version.is_below(&log.value) || log.is_below(&version.value))
    {
        let message = "`fleet.version_file` and `fleet.sync_log` are in each other's way";
        report.add(&log.place, fault(message, "the same place as version_file"));
    }
}

fn budget(raw: &RawFile, report: &mut Report) -> Budget {
    let Some(table) = raw.budget.get() else {
        return Budget { max_delete: 25, max_change: 100, consent: Vec::new() };
    };
    let mut consents = Vec::new();
    report.within("budget.consent", |report| {
        for text in table.consent.items() {
            let consent = accept(&text.place, consent(text), "not a consent", report);
            if let Some(consent) = &consent {
                known(text, consent.pack.as_str(), &raw.packs, "pack", report);
            }
            consents.extend(consent);
        }
    });
    Budget {
        max_delete: table.max_delete.get().map_or(25, |percent| percent.0),
        max_change: table.max_change.get().map_or(100, |percent| percent.0),
        consent: consents,
    }
}

fn consent(text: &str) -> Result<Consent, Refused> {
    let form =
        || refused(format!("{} names no move of a pack", quoted(text))).hint("as in \"slack@1.1.0..1.2.0\"");
    let (pack, versions) = text.split_once('@').ok_or_else(form)?;
    let (from, to) = versions.split_once("..").ok_or_else(form)?;
    let version = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '@');
    if !version(from) || !version(to) || to.starts_with('.') {
        return Err(form());
    }
    let pack = PackName::new(pack).map_err(|_| form())?;
    Ok(Consent { pack, from: from.into(), to: to.into() })
}

fn limits(raw: &RawFile) -> Limits {
    let default = Limits::default();
    let Some(table) = raw.limits.get() else { return default };
    Limits {
        entries: table.entries.get().map_or(default.entries, |count| count.0),
        bytes: table.bytes.get().map_or(default.bytes, |bytes| bytes.0),
        file: table.file.get().map_or(default.file, |bytes| bytes.0),
        paths: table.paths.get().map_or(default.paths, |bytes| bytes.0),
        depth: table.depth.get().map_or(default.depth, |count| count.0 as u32),
    }
}

/// The first pause after a failure is not longer than the longest.
fn retry(raw: &RawFile, report: &mut Report) {
    let Some(retry) = raw.run.get().and_then(|run| run.retry.get()) else { return };
    if let (Some(initial), Some(max)) = (retry.initial.get(), retry.max.get())
        && initial.0 > max.0
    {
        let message = "`run.retry.initial` is longer than `run.retry.max`";
        report.add(&initial.place, fault(message, "longer than `max`"));
    }
}
