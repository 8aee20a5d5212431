//! Sources and packs: from what is written to what it means, each by itself and against the others.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::care::care;
use super::cycle::{cycles, name_cycle};
use super::location::{Remote, local_path, remote};
use super::noun::within;
use super::problem::quoted;
use super::raw::{RawEdits, RawFile, RawHostKeys, RawOwned, RawPack, RawSource};
use super::read::{At, Field, Map, exactly_one};
use super::report::{Place, Report, fault};
use super::scalar::Refused;
use super::suggest::did_you_mean;
use crate::merge::structured::Format;
use crate::model::fleet::{Changed, Deleted, Source, Url};
use crate::model::name::NameError;
use crate::model::pack::{HostKeys, Install, InstallMap, Pack};
use crate::model::{PackName, SourceName, TreePath};

/// Keys of the VERSION file that packfleet writes itself.
const VERSION_KEYS: [&str; 6] =
    ["deployment", "location", "last_sync", "git_commit", "features", "packfleet"];

/// The part of a policy that is set, each with its place forgotten.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Policy {
    pub changed: Option<Changed>,
    pub deleted: Option<Deleted>,
}

impl Policy {
    pub(super) fn of(edits: &Field<RawEdits>) -> Self {
        let Some(edits) = edits.get() else { return Self::default() };
        Self {
            changed: edits.changed.get().map(|at| at.value),
            deleted: edits.deleted.get().map(|at| at.value),
        }
    }

    /// This policy, and where it says nothing, the other.
    pub(super) fn over(self, other: Self) -> Self {
        Self { changed: self.changed.or(other.changed), deleted: self.deleted.or(other.deleted) }
    }
}

/// A key that is a name, or a problem.
pub(super) fn name<T>(
    text: &str,
    place: &Place,
    what: &str,
    new: impl FnOnce(&str) -> Result<T, NameError>,
    report: &mut Report,
) -> Option<T> {
    match new(text) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("{} is no name of a {what}: {error}", quoted(text));
            report.add(place, fault(message, "not a name"));
            None
        }
    }
}

/// A value, or a problem at its place.
pub(super) fn accept<T>(
    place: &Place,
    result: Result<T, Refused>,
    label: &str,
    report: &mut Report,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Refused { why, hint }) => {
            let message = format!("`{}`: {why}", report.path());
            report.add(place, fault(message, label).perhaps(hint));
            None
        }
    }
}

/// All sources that are right.
pub(super) fn sources(
    raw: &RawFile,
    directory: &Utf8Path,
    report: &mut Report,
) -> BTreeMap<SourceName, Source> {
    let mut sources = BTreeMap::new();
    report.within("sources", |report| {
        for (key, stanza) in raw.sources.entries() {
            let name = name(key, &stanza.place, "source", SourceName::new, report);
            let source = report.within(key, |report| source(stanza, directory, report));
            sources.extend(name.zip(source));
        }
    });
    sources
}

fn source(stanza: &At<RawSource>, directory: &Utf8Path, report: &mut Report) -> Option<Source> {
    let push_url = stanza.push_url.get().and_then(|text| {
        let remote = report
            .within("push_url", |report| accept(&text.place, remote(text, directory), "not a URL", report));
        Some(match remote? {
            Remote::Direct(url) => Url::new(url),
            Remote::Ssh => Url::new(text.value.clone()),
        })
    });
    if !exactly_one(&**stanza, &stanza.place, &["url", "path"], report) {
        return None;
    }
    if let Some(text) = stanza.path.get() {
        let path = report.within("path", |report| {
            let path = local_path(text, directory);
            accept(&text.place, path, "not a path", report)
        });
        return path.map(Source::Directory);
    }
    let text = stanza.url.get()?;
    let remote =
        report.within("url", |report| accept(&text.place, remote(text, directory), "not a URL", report))?;
    let url = match remote {
        Remote::Direct(url) => Url::new(url),
        Remote::Ssh => Url::new(text.value.clone()),
    };
    let signed_by = stanza.signed_by.get().map(|path| path.value.clone());
    let protected = stanza.protected.items().iter().map(|name| name.value.0.clone()).collect();
    Some(Source::Git { url, signed_by, push_url, protected })
}

/// All packs that are right, and the policy of each for edits.
pub(super) fn packs(raw: &RawFile, report: &mut Report) -> BTreeMap<PackName, (Pack, Policy)> {
    let mut packs = BTreeMap::new();
    report.within("packs", |report| {
        for (key, stanza) in raw.packs.entries() {
            let name = name(key, &stanza.place, "pack", PackName::new, report);
            let pack = report.within(key, |report| pack(name?, stanza, raw, report));
            packs.extend(pack.map(|pack| (pack.name.clone(), (pack, Policy::of(&stanza.edits)))));
        }
    });
    requirement_cycles(raw, report);
    packs
}

fn pack(name: PackName, stanza: &At<RawPack>, raw: &RawFile, report: &mut Report) -> Option<Pack> {
    let place = &stanza.place;
    let source = stanza.source.required(place, "source", "name one of [sources]", report);
    if let Some(source) = source {
        known(source, source.as_str(), &raw.sources, "source", report);
    }
    let dir =
        stanza.dir.required(place, "dir", "the pack's directory in the source; \".\" is all of it", report);
    let one = exactly_one(&**stanza, place, &["install", "target"], report);
    let install = if one { install(stanza, report) } else { None };
    for required in stanza.requires.items() {
        known(required, required.as_str(), &raw.packs, "pack", report);
    }
    let care = care(stanza, report);
    let version_key = version_key(&name, stanza, report);
    let mut host_owns = Vec::new();
    let mut host_keys = Vec::new();
    for owned in stanza.host_owns.items() {
        match &owned.value {
            RawOwned::Pattern(pattern) => host_owns.push(pattern.0.clone()),
            RawOwned::Keys(keys) => {
                host_keys.extend(report.within("host_owns", |report| keys_of(&owned.place, keys, report)));
            }
        }
    }
    Some(Pack {
        name,
        source: source?.value.clone(),
        dir: dir?.value.0.clone(),
        aliases: stanza.aliases.items().iter().map(|alias| alias.value.clone()).collect(),
        tag: stanza.tag.get().map(|tag| tag.value.clone()).unwrap_or_default(),
        install: install?,
        host_owns,
        host_keys,
        modes: stanza.modes.get().map(|modes| modes.value).unwrap_or_default(),
        case: stanza.case.get().map(|case| case.value).unwrap_or_default(),
        requires: stanza.requires.items().iter().map(|required| required.value.clone()).collect(),
        version_key,
        checks: stanza.check.items().iter().map(|command| command.value.0.clone()).collect(),
        atomic: stanza.atomic.get().is_none_or(|atomic| atomic.value),
        care,
    })
}

fn keys_of(place: &Place, raw: &RawHostKeys, report: &mut Report) -> Option<HostKeys> {
    let file = raw.file.required(place, "file", "the structured file, in the pack", report);
    if let Some(file) = file.filter(|file| Format::of(&file.value).is_none()) {
        let message = format!("{} is not known to have keys", quoted(file.value.as_str()));
        let fault = fault(message, "not .json, .jsonc or .toml");
        report.add(&file.place, fault.hint("let the host own the whole file: name it as a pattern"));
    }
    let keys = raw.keys.required(place, "keys", "JSON pointers, as in \"/dependencies\"", report)?;
    for pointer in keys.iter().filter(|pointer| !pointer.starts_with('/')) {
        let message = format!("{} is no JSON pointer", quoted(pointer));
        report.add(&pointer.place, fault(message, "begins with no `/`"));
    }
    Some(HostKeys {
        file: file?.value.clone(),
        keys: keys.iter().map(|pointer| pointer.value.clone()).collect(),
    })
}

/// Says that a name is not among those that exist; nothing if their table itself is wrong.
pub(super) fn known<T, M>(at: &At<T>, name: &str, among: &Field<Map<M>>, what: &str, report: &mut Report) {
    let names = match among {
        Field::Bad => return,
        Field::Absent => None,
        Field::Given(map) => Some(&map.value.0),
    };
    if !names.is_some_and(|names| names.contains_key(name)) {
        let hint = did_you_mean(name, names.into_iter().flat_map(|names| names.keys().map(String::as_str)));
        let message = format!("there is no {what} {}", quoted(name));
        report.add(&at.place, fault(message, format!("unknown {what}")).perhaps(hint));
    }
}

fn version_key(name: &PackName, stanza: &At<RawPack>, report: &mut Report) -> String {
    let Some(key) = stanza.version_key.get() else { return format!("{name}_version") };
    if VERSION_KEYS.contains(&key.as_str()) {
        let message = format!("the VERSION file has a key {} of packfleet's own", quoted(key));
        report.add(&key.place, fault(message, "taken").hint("choose another key, or leave it out"));
    }
    key.value.clone()
}

fn install(stanza: &At<RawPack>, report: &mut Report) -> Option<InstallMap> {
    if let Some(target) = stanza.target.get() {
        return Some(InstallMap(vec![Install { from: None, to: target.value.0.clone() }]));
    }
    let map = stanza.install.get()?;
    if map.value.0.is_empty() {
        let message = format!("{} installs nothing", report.path());
        report.add(&map.place, fault(message, "empty").hint("name what goes where, or use `target`"));
    }
    let mut targets: BTreeMap<Option<&TreePath>, &str> = BTreeMap::new();
    let mut lines = Vec::new();
    for (key, to) in &map.value.0 {
        let from = report
            .within("install", |report| accept(&to.place, within(key), "not a path in the pack", report));
        if let Some(other) = targets.insert(to.value.0.as_ref(), key) {
            let target = to.value.0.as_ref().map_or(".", TreePath::as_str);
            let message = format!("{} and {} both go to {}", quoted(other), quoted(key), quoted(target));
            report.add(&to.place, fault(message, "a second key onto one target"));
        }
        lines.extend(from.map(|from| Install { from, to: to.value.0.clone() }));
    }
    Some(InstallMap(lines))
}

/// Packs that require each other.
fn requirement_cycles(raw: &RawFile, report: &mut Report) {
    let packs: Vec<(&String, &At<RawPack>)> = raw.packs.entries().collect();
    let index = |name: &str| packs.binary_search_by(|(other, _)| other.as_str().cmp(name)).ok();
    let edges: Vec<Vec<usize>> = packs
        .iter()
        .map(|(_, pack)| pack.requires.items().iter().filter_map(|name| index(name.as_str())).collect())
        .collect();
    for cycle in cycles(&edges) {
        let Some((_, pack)) = cycle.first().and_then(|first| packs.get(*first)) else { continue };
        let next = cycle.get(1).or(cycle.first()).and_then(|next| packs.get(*next));
        let requires = pack.requires.items().iter();
        let place = requires.into_iter().find(|name| next.is_some_and(|(next, _)| name.as_str() == *next));
        let named =
            name_cycle(&cycle, |node| packs.get(node).map_or_else(String::new, |(name, _)| (*name).clone()));
        let fault = fault(format!("packs require each other: {named}"), "part of a cycle");
        report
            .add(place.map_or(&pack.place, |name| &name.place), fault.hint("remove one `requires` of these"));
    }
}
