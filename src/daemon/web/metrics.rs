//! `/metrics` in OpenMetrics, made of the View when somebody asks.
//!
//! Labels are names of fleet.toml and words of closed sets, versions and features cut to [`LABEL_BYTES`]: their
//! number is bounded by the fleet. A deployment has one series for how it stands and one for how it fares.

use std::fmt::Error;
use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Shared;
use super::webhook::Ending;
use crate::daemon::view::{Deployed, Standing, View};

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Bytes of a label's value that comes from elsewhere than a list of words.
const LABEL_BYTES: usize = 64;
/// Features of a pack that are shown.
const MOST_FEATURES: usize = 32;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;
type Times = Family<Labels, Gauge<f64, AtomicU64>>;
type Counters = Family<Labels, Counter>;

/// What the server itself counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    webhooks: Counters,
}

impl Counted {
    /// Nothing came yet; what may come is there from the beginning, so that its increase is seen.
    pub(super) fn new() -> Self {
        let counted = Self::default();
        for result in ["accepted", "ignored", "refused"] {
            counted.webhooks.get_or_create(&vec![("result", result.to_owned())]).inc_by(0);
        }
        counted
    }

    /// A webhook came and ended so.
    pub(super) fn webhook(&self, ending: Ending) {
        let word = match ending {
            Ending::Accepted => "accepted",
            Ending::Ignored => "ignored",
            Ending::Refused => "refused",
        };
        self.webhooks.get_or_create(&vec![("result", word.to_owned())]).inc();
    }
}

/// All of them.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    match text(&shared.newest(), &shared.counted) {
        Ok(text) => ([(header::CONTENT_TYPE, TYPE)], text).into_response(),
        Err(Error) => (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written\n").into_response(),
    }
}

fn text(view: &View, counted: &Counted) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("packfleet");
    whole(view, &mut registry);
    one_by_one(view, &mut registry);
    registry.register("webhooks", "Webhooks by how they ended", counted.webhooks.clone());
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn whole(view: &View, registry: &mut Registry) {
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let seconds = |registry: &mut Registry, name: &str, help: &str, value: f64| {
        let gauge = Gauge::<f64, AtomicU64>::default();
        gauge.set(value);
        registry.register_with_unit(name, help, Unit::Seconds, gauge);
    };
    let counter = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    };
    let build = Gauges::default();
    build.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION").to_owned())]).set(1);
    registry.register("build_info", "The version of packfleet that runs", build);
    seconds(registry, "start_timestamp", "When the controller started", unix(view.started));
    if let Some(pass) = &view.pass {
        let took = pass.ended.duration_since(pass.began).as_secs_f64();
        seconds(registry, "pass_duration", "How long the last pass took", took);
        seconds(registry, "pass_timestamp", "When the last pass ended", unix(pass.ended));
    }
    let all = Counter::<f64, AtomicU64>::default();
    all.inc_by(view.totals.pass_milliseconds as f64 / 1000.0);
    registry.register_with_unit("passes_duration", "How long all passes took", Unit::Seconds, all);
    counter(registry, "passes", "Passes that ended", view.totals.passes);
    counter(registry, "commits", "Generations that were committed", view.totals.commits);
    counter(
        registry,
        "fleet_errors",
        "Times that fleet.toml could not be put in force",
        view.totals.fleet_errors,
    );
    gauge(
        registry,
        "fleet_problems",
        "What is wrong with the newest fleet.toml",
        view.problems.iter().filter(|it| it.is_of_fleet()).count(),
    );
    gauge(registry, "orphans", "Deployments without a stanza", view.orphans.len());
    let sources = Counters::default();
    for pack in view.deployments.iter().flat_map(|deployed| &deployed.packs) {
        sources.get_or_create(&vec![("pack", pack.pack.clone())]).inc_by(0);
    }
    for (pack, errors) in &view.totals.source_errors {
        sources.get_or_create(&vec![("pack", pack.clone())]).inc_by(*errors);
    }
    registry.register("git_errors", "Passes in which a pack's source did not answer", sources);
    let standings = Gauges::default();
    for standing in Standing::ALL {
        let number = view.counts.get(&standing).copied().unwrap_or(0);
        standings.get_or_create(&vec![("sync", standing.key().to_owned())]).set(whole_number(number as u64));
    }
    registry.register("deployments", "Deployments by how they stand", standings);
}

fn one_by_one(view: &View, registry: &mut Registry) {
    let [sync, health, generation, here_only, drifted, edits, holds, versions, features] =
        std::array::from_fn(|_| Gauges::default());
    let [seen, settled, since] = std::array::from_fn(|_| Times::default());
    let [host_errors, failures] = std::array::from_fn(|_| Counters::default());
    for deployed in &view.deployments {
        let own = |more: &[(&'static str, &str)]| labels(deployed, more);
        sync.get_or_create(&own(&[("sync", deployed.sync.key())])).set(1);
        health.get_or_create(&own(&[("health", deployed.health.word())])).set(1);
        if let Some(number) = deployed.generation {
            generation.get_or_create(&own(&[])).set(whole_number(number));
        }
        if let Some(number) = deployed.here_only {
            here_only.get_or_create(&own(&[])).set(whole_number(number as u64));
        }
        since.get_or_create(&own(&[])).set(unix(deployed.since));
        for (family, time) in [(&seen, deployed.seen), (&settled, deployed.settled)] {
            if let Some(time) = time {
                family.get_or_create(&own(&[])).set(unix(time));
            }
        }
        host_errors.get_or_create(&own(&[])).inc_by(deployed.host_errors);
        failures.get_or_create(&own(&[])).inc_by(deployed.failures);
        for pack in &deployed.packs {
            let name = ("pack", pack.pack.as_str());
            for (family, number) in [(&drifted, pack.drifted), (&edits, pack.edits), (&holds, pack.holds)] {
                family.get_or_create(&own(&[name])).set(whole_number(number as u64));
            }
            let version = |version: &Option<String>| version.clone().unwrap_or_default();
            let (installed, wanted) = (version(&pack.installed), version(&pack.wanted));
            versions.get_or_create(&own(&[name, ("installed", &installed), ("wanted", &wanted)])).set(1);
            for feature in pack.features.iter().take(MOST_FEATURES) {
                features.get_or_create(&own(&[name, ("feature", feature)])).set(1);
            }
        }
    }
    registry.register("deployment_sync", "How a deployment stands: one series, always 1", sync);
    registry.register("deployment_health", "How a deployment fares: one series, always 1", health);
    registry.register("deployment_generation", "The number of its last commit", generation);
    registry.register("deployment_edits_here_only", "Edits that no commit has", here_only);
    registry.register("pack_drifted_paths", "Paths that are not in sync", drifted);
    registry.register("pack_edits", "Edits that stay", edits);
    registry.register("pack_holds", "What a person must decide", holds);
    registry.register("pack_version", "Versions: installed and wanted", versions);
    registry.register("pack_feature", "Features, as fleet.toml names them", features);
    for (name, help, family) in [
        ("deployment_seen_timestamp", "The last look that was answered", seen),
        ("deployment_success_timestamp", "The last look that found it as it should be", settled),
        ("deployment_since_timestamp", "Since when it stands and fares so", since),
    ] {
        registry.register_with_unit(name, help, Unit::Seconds, family);
    }
    registry.register("ssh_errors", "Looks that a host did not answer", host_errors);
    registry.register("deployment_failures", "Looks and applies that failed otherwise", failures);
}

fn labels(deployed: &Deployed, more: &[(&'static str, &str)]) -> Labels {
    let mut labels = vec![("deployment", deployed.name.clone())];
    labels.extend(more.iter().map(|(name, value)| (*name, cut(value))));
    labels
}

/// A value that is not too long, cut between two characters.
fn cut(value: &str) -> String {
    let fits = |(at, c): (usize, char)| at + c.len_utf8() <= LABEL_BYTES;
    value.char_indices().take_while(|it| fits(*it)).map(|(_, c)| c).collect()
}

fn unix(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}

fn whole_number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
