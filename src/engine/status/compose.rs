//! From a look at a host to what is published of it.
//!
//! What is left out is left out here: see [`crate::model::manifest`] for what that is and why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::engine::pass;
use crate::engine::report::Survey;
use crate::host::{Observation, Seen, Verdict, version_file};
use crate::model::desired::Resolution;
use crate::model::manifest::{Line, Manifest, Mark, Owners, Told};
use crate::model::record::Record;
use crate::model::stamp::{Fare, FareState};
use crate::model::{Kind, PackName, TreePath};
use crate::plan::{Judged, Standing, host_keys};

/// What a host holds, as a survey found that listed the root.
pub(super) fn manifest(survey: &Survey) -> Manifest {
    let Observation { record, actual, .. } = &survey.observation;
    let mut manifest = Manifest { directories: actual.directories.clone(), ..Manifest::default() };
    if let Some(record) = record {
        manifest.packs = record.packs.clone();
        manifest.rejected = record.rejected.clone();
        manifest.made = record.directories.clone();
        let keys = pass::keys_of(survey);
        let recorded = host_keys::owned(record.packs.values());
        let has_keys = |path: &TreePath| keys.contains_key(path) || recorded.contains_key(path);
        manifest.lines = record
            .entries
            .keys()
            .filter_map(|path| Some((path.clone(), line(record, survey, path, has_keys(path))?)))
            .collect();
        // A decision about a file with the host's keys names the digest of that file.
        let decisions = record.decisions.iter().filter(|(path, _)| !has_keys(path));
        manifest.decisions = decisions.map(|(path, decision)| (path.clone(), decision.clone())).collect();
    }
    let known = |path: &TreePath| manifest.lines.contains_key(path);
    // Looked at because it is wanted, and nobody's so far.
    let strangers = actual.paths.iter().filter(|(path, seen)| !known(path) && lies_there(seen));
    let strangers = strangers.filter(|(path, _)| !actual.directories.contains(*path));
    let named = actual.unmanaged.iter().map(|name| name.strip_suffix('/').unwrap_or(name));
    let mut others: BTreeMap<Option<TreePath>, _> = BTreeMap::new();
    let wanted = survey.desired.packs.values().filter_map(|given| match given {
        Resolution::Pinned(pack) => Some(&pack.recorded),
        Resolution::Held(_) => None,
    });
    let owners = Owners::new(manifest.packs.values().chain(wanted));
    let mark = |name: &str| match TreePath::new(name) {
        Ok(path) if owners.may_own(&path) => Mark::HOSTS,
        _ => Mark::of(name),
    };
    for name in strangers.map(|(path, _)| path.as_str()).chain(named) {
        let directory = name.rsplit_once('/').and_then(|(directory, _)| TreePath::new(directory).ok());
        others.entry(directory).or_insert_with(std::collections::BTreeSet::new).insert(mark(name));
    }
    manifest.others = others;
    manifest
}

/// Whether something lies at the very path.
fn lies_there(seen: &Seen) -> bool {
    !matches!(seen, Seen::Obstacle(crate::model::plan::Obstacle::Ancestor { .. }))
}

fn line(record: &Record, survey: &Survey, path: &TreePath, has_keys: bool) -> Option<Line> {
    let mut recorded = record.entries.get(path)?.clone();
    let seen = survey.observation.actual.paths.get(path);
    let judged = survey.drift.paths.get(path);
    let is_hosts = judged.is_some_and(|judged| judged.standing == Standing::HostOwned);
    let actual = match seen {
        None => Told::Absent,
        Some(_) if is_hosts || recorded.base.is_none() => Told::Something,
        Some(Seen::Obstacle(obstacle)) => Told::Obstacle(obstacle.clone()),
        Some(Seen::Entry(entry)) if !has_keys || entry.kind == Kind::Link => Told::Entry(*entry),
        Some(Seen::Entry(entry)) => match recorded.base {
            Some(base) if base.content == entry.content => Told::Entry(*entry),
            _ if judged.is_some_and(|judged| differs_in_keys_only(judged, entry.content)) => {
                Told::ButForKeys(entry.kind)
            }
            _ => Told::Withheld(entry.kind),
        },
    };
    if has_keys {
        // What was left there has the host's keys in it.
        recorded.written = recorded.base;
    }
    Some(Line { recorded, actual })
}

fn differs_in_keys_only(judged: &Judged, actual: crate::model::Content) -> bool {
    let base = judged.adapted.and_then(|adapted| adapted.base);
    base.is_some_and(|base| base.content == actual)
}

/// Since when each pack has been well as it is recorded, those that are gone among them: what gates go by.
pub(super) fn since(observation: &Observation) -> BTreeMap<PackName, Timestamp> {
    let Some(record) = &observation.record else { return BTreeMap::new() };
    let soak = &observation.notes.soak;
    let since = |name: &PackName| Some((name.clone(), soak.since(record, name)?));
    record.packs.keys().chain(soak.packs()).filter_map(since).collect()
}

/// How it fares, without what was seen.
pub(super) fn fare(observation: &Observation) -> Option<Fare> {
    let health = observation.health.as_ref()?;
    let state = match health.verdict {
        Verdict::Healthy => FareState::Healthy,
        Verdict::Watching => FareState::Watching,
        Verdict::TakenBack => FareState::TakenBack,
        Verdict::Ill => FareState::Ill,
        Verdict::GoingBack => FareState::GoingBack,
    };
    Some(Fare { generation: health.generation, state, since: health.since })
}

/// Why its VERSION file is not packfleet's to replace.
pub(super) fn foreign_version_file(observation: &Observation) -> Option<String> {
    version_file::parse(observation.version_file.as_deref()).err().map(|error| error.to_string())
}

/// What a pass sees of a host, in short: another pulse, and there is something to publish.
pub(super) fn pulse(survey: &Survey) -> String {
    let seen = &survey.observation;
    let differs = |judged: &&Judged| match (&judged.actual, judged.recorded.as_ref()) {
        (Some(Seen::Entry(entry)), Some(recorded)) => Some(*entry) != recorded.base,
        (None, recorded) => recorded.is_some_and(|recorded| recorded.base.is_some()),
        (Some(_), _) => true,
    };
    let paths = survey.drift.paths.iter().filter(|(_, judged)| judged.standing != Standing::HostOwned);
    let paths: Vec<_> =
        paths.filter(|(_, judged)| differs(judged)).map(|(path, it)| (path, &it.actual)).collect();
    let generation = seen.record.as_ref().map(|record| record.generation);
    let interrupted = seen.interrupted.as_ref().map(|interrupted| interrupted.generation);
    let health =
        seen.health.as_ref().map(|health| (health.generation, health.verdict, health.since.to_string()));
    let version = foreign_version_file(seen);
    let since: Vec<_> = since(seen).into_iter().map(|(name, since)| (name, since.to_string())).collect();
    let pause = seen.notes.pause.as_ref().map(|pause| format!("{pause:?}"));
    let all = (generation, seen.digest, interrupted, seen.staged, health, version, paths, since, pause);
    let bytes = postcard::to_stdvec(&all).expect("plain values serialise into memory");
    blake3::hash(&bytes).to_hex()[..32].to_owned()
}
