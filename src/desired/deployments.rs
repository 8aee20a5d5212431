//! Deployments: what each means by itself, and what they mean to each other.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use semver::VersionReq;

use super::care;
use super::cycle::{cycles, name_cycle};
use super::fleet_file::Context;
use super::location::{Host, host, join};
use super::packs::{Policy, accept, known};
use super::problem::quoted;
use super::profile::Written;
use super::raw::{RawFile, RawPin};
use super::read::{At, Stanza, exactly_one};
use super::report::{Place, Report, fault};
use super::rollout;
use super::scalar::refused;
use super::selector::Selector;
use super::suggest::did_you_mean;
use crate::model::fleet::{Assignment, Deployment, Edits, HostAddress, State};
use crate::model::pack::{Pack, Requirement};
use crate::model::ssh::Privilege;
use crate::model::{DeploymentName, HostPath, PackName, PathError, TreePath};

/// How many dependencies all deployments may have together.
const MAX_DEPENDENCIES: usize = 500_000;

/// What deployments are checked against.
pub(super) struct Surroundings<'a> {
    pub raw: &'a RawFile,
    pub packs: &'a BTreeMap<PackName, (Pack, Policy)>,
    pub context: &'a Context,
    /// The fleet's own policy.
    pub policy: Policy,
}

/// All deployments that are right.
pub(super) fn deployments(
    written: &[Written],
    around: &Surroundings,
    report: &mut Report,
) -> BTreeMap<DeploymentName, Deployment> {
    let depends_on = dependencies(written, report);
    roots_apart(written, &around.context.directory, report);
    let mut deployments = BTreeMap::new();
    report.within("deployments", |report| {
        for (stanza, depends_on) in written.iter().zip(depends_on) {
            let deployment = report.within(stanza.name.as_str(), |report| deployment(stanza, around, report));
            deployments.extend(
                deployment.map(|deployment| (stanza.name.clone(), Deployment { depends_on, ..deployment })),
            );
        }
    });
    deployments
}

fn deployment(stanza: &Written, around: &Surroundings, report: &mut Report) -> Option<Deployment> {
    let raw = &stanza.raw;
    raw.host.required(&stanza.key, "host", "\"local\" is this machine", report);
    raw.root.required(&stanza.key, "root", "the directory beneath which everything lies", report);
    let kind = host_of(stanza).map(|(kind, _)| kind);
    let privilege = match raw.sudo.get() {
        Some(sudo) if sudo.value => {
            if kind == Some(Host::Local) {
                let message = format!("{}.sudo is for hosts over ssh", report.path());
                let hint = "run packfleet itself as the user who owns the files";
                report.add(&sudo.place, fault(message, "the host is local").hint(hint));
            }
            Privilege::Sudo
        }
        _ => Privilege::Login,
    };
    let packs = report.within("packs", |report| assignments(stanza, around, report));
    let mut health = BTreeMap::new();
    for (pack, checks) in raw.health.entries() {
        known(checks, pack, &around.raw.packs, "pack", report);
        let known = around.packs.get_key_value(pack.as_str());
        let service = known.and_then(|(_, (pack, _))| pack.care.service.as_ref());
        let checks = care::checks(&checks.value, service, report);
        health.extend(known.map(|(name, _)| (name.clone(), checks)));
    }
    let window = rollout::window(&raw.window, report);
    let pause = rollout::pause(&raw.pause, report);
    let state = raw.state.get().map(|state| state.value).unwrap_or_default();
    let policy = Policy::of(&raw.edits).over(around.policy);
    Some(Deployment {
        name: stanza.name.clone(),
        host: match kind? {
            Host::Local => HostAddress::Local,
            Host::Ssh(to) => HostAddress::Ssh { to, privilege },
        },
        root: root_of(stanza, &around.context.directory)?.ok()?,
        location: raw.location.get().map(|location| location.value.clone()),
        labels: raw.labels.items().iter().map(|label| label.value.0.clone()).collect(),
        mode: raw.mode.get().map(|mode| mode.value).unwrap_or_default(),
        state,
        depends_on: BTreeSet::new(),
        packs: if state == State::Absent { BTreeMap::new() } else { packs },
        edits: edits(policy),
        health,
        pause,
        window,
    })
}

fn edits(policy: Policy) -> Edits {
    Edits { changed: policy.changed.unwrap_or_default(), deleted: policy.deleted.unwrap_or_default() }
}

/// The packs of a deployment, each by itself and against the others there.
fn assignments(
    stanza: &Written,
    around: &Surroundings,
    report: &mut Report,
) -> BTreeMap<PackName, Assignment> {
    let mut assignments = BTreeMap::new();
    let mut targets: BTreeMap<Option<&TreePath>, &PackName> = BTreeMap::new();
    let mut version_keys: BTreeMap<&str, &PackName> = BTreeMap::new();
    for (key, pin) in stanza.raw.packs.entries() {
        known(pin, key, &around.raw.packs, "pack", report);
        let assignment = report.within(key, |report| assignment(key, pin, stanza, around, report));
        let Some((name, (pack, _))) = around.packs.get_key_value(key.as_str()) else { continue };
        for line in &pack.install.0 {
            match targets.insert(line.to.as_ref(), name) {
                Some(other) if other != name => {
                    let target = line.to.as_ref().map_or(".", TreePath::as_str);
                    let message = format!("{} and {} both go to {} there", other, name, quoted(target));
                    let hint = "give one of the packs another target, or keep one of them";
                    report.add(&pin.place, fault(message, "a second pack onto one target").hint(hint));
                }
                _ => {}
            }
        }
        if let Some(other) = version_keys.insert(&pack.version_key, name) {
            let message = format!("{other} and {name} both write {} to VERSION", quoted(&pack.version_key));
            let hint = "give one of them another `version_key`";
            report.add(&pin.place, fault(message, "a second pack with one version_key").hint(hint));
        }
        assignments.extend(assignment.map(|assignment| (name.clone(), assignment)));
    }
    assignments
}

fn assignment(
    pack: &str,
    pin: &At<RawPin>,
    stanza: &Written,
    around: &Surroundings,
    report: &mut Report,
) -> Option<Assignment> {
    let mut seen = BTreeSet::new();
    for overlay in pin.overlays.items() {
        let overlays = &around.context.overlays;
        match overlays.get(overlay.as_str()) {
            None => {
                let message = format!("there is no overlay {}", quoted(overlay.as_str()));
                let near = did_you_mean(overlay.as_str(), overlays.keys().map(String::as_str));
                let make = format!("make the directory overlays/{}", overlay.value);
                report.add(&overlay.place, fault(message, "unknown overlay").hint(make).perhaps(near));
            }
            Some(Some(other)) if other != pack => {
                let message = format!(
                    "the overlay {} is for {}, not for {}",
                    quoted(overlay.as_str()),
                    quoted(other),
                    quoted(pack)
                );
                report.add(&overlay.place, fault(message, "an overlay of another pack"));
            }
            Some(_) => {}
        }
        if !seen.insert(overlay.as_str()) {
            let message = format!("the overlay {} is named twice", quoted(overlay.as_str()));
            report.add(&overlay.place, fault(message, "named twice"));
        }
    }
    let requirement = requirement(pack, pin, around.raw, report);
    let pack_policy = around.packs.get(pack).map(|(_, policy)| *policy).unwrap_or_default();
    Some(Assignment {
        requirement: requirement?,
        follow: pin.follow.get().is_some_and(|follow| follow.value),
        overlays: pin.overlays.items().iter().map(|overlay| overlay.value.clone()).collect(),
        features: pin.features.items().iter().map(|feature| feature.value.clone()).collect(),
        edits: edits(Policy::of(&stanza.raw.edits).over(pack_policy).over(around.policy)),
    })
}

/// What a pin asks for. A plain directory has one state only: nothing need be asked of it, and what is asked is
/// kept for the day when the source is a repository again.
fn requirement(pack: &str, pin: &At<RawPin>, raw: &RawFile, report: &mut Report) -> Option<Requirement> {
    const KINDS: [&str; 4] = ["version", "tag", "branch", "rev"];
    let pack = raw.packs.get().and_then(|packs| packs.value.0.get(pack));
    let source = pack.and_then(|pack| pack.source.get());
    let source = source.and_then(|source| raw.sources.get()?.value.0.get(source.as_str()));
    let directory = source.is_some_and(|source| !source.path.is_absent());
    if directory && !pin.given().iter().any(|key| KINDS.contains(key)) {
        return Some(Requirement::Version(VersionReq::STAR));
    }
    if !exactly_one(&**pin, &pin.place, &KINDS, report) {
        return None;
    }
    let version = pin.version.get().map(|version| Requirement::Version(version.value.0.clone()));
    let tag = pin.tag.get().map(|tag| Requirement::Tag(tag.value.0.clone()));
    let branch = pin.branch.get().map(|branch| Requirement::Branch(branch.value.0.clone()));
    let rev = pin.rev.get().map(|rev| Requirement::Rev(rev.value.0.clone()));
    version.or(tag).or(branch).or(rev)
}

/// The kind of host and its text, if it is one.
fn host_of(stanza: &Written) -> Option<(Host, &str)> {
    let text = stanza.raw.host.get()?;
    host(text).ok().map(|host| (host, text.value.as_str()))
}

/// The root, if one is given on a host that is one.
fn root_of(stanza: &Written, directory: &Utf8Path) -> Option<Result<HostPath, PathError>> {
    let text = stanza.raw.root.get()?.value.as_str();
    match host_of(stanza)?.0 {
        Host::Local if !text.starts_with(['/', '~', '-']) => {
            Some(HostPath::new(join(directory, text).as_str()))
        }
        Host::Local | Host::Ssh(_) => Some(HostPath::new(text)),
    }
}

/// Checks hosts and roots, and that no root lies in another on the same host.
fn roots_apart(written: &[Written], directory: &Utf8Path, report: &mut Report) {
    // With a `/` at its end, a root sorts right before everything in it.
    let mut roots: BTreeMap<&str, Vec<(String, &Written)>> = BTreeMap::new();
    report.within("deployments", |report| {
        for stanza in written {
            report.within(stanza.name.as_str(), |report| {
                if let Some(text) = stanza.raw.host.get() {
                    report.within("host", |report| {
                        accept(
                            &text.place,
                            number_filled(text).and_then(|()| host(text)),
                            "not a host",
                            report,
                        )
                    });
                }
                let Some((text, root)) = stanza.raw.root.get().zip(root_of(stanza, directory)) else {
                    return;
                };
                let root = report.within("root", |report| {
                    let root =
                        number_filled(text).and_then(|()| root.map_err(|error| refuse_root(text, error)));
                    accept(&text.place, root, "not a root", report)
                });
                if let Some(((_, host), root)) = host_of(stanza).zip(root) {
                    roots.entry(host).or_default().push((format!("{root}/"), stanza));
                }
            });
        }
    });
    for roots in roots.values_mut() {
        roots.sort_by(|(a, x), (b, y)| (a, &x.name).cmp(&(b, &y.name)));
        let mut outer: Option<&(String, &Written)> = None;
        for root in roots.iter() {
            match outer {
                Some(outer) if root.0.starts_with(&outer.0) => overlap(outer, root, report),
                _ => outer = Some(root),
            }
        }
    }
}

fn overlap(outer: &(String, &Written), inner: &(String, &Written), report: &mut Report) {
    let (root, other) = (&inner.0[..inner.0.len() - 1], &outer.0[..outer.0.len() - 1]);
    let how = if root == other {
        "is also the root of".into()
    } else {
        format!("lies in {}, the root of", quoted(other))
    };
    let message = format!("{}, the root of {}, {how} {}", quoted(root), inner.1.name, outer.1.name);
    let hint = "deployments on one host need roots apart; several packs can share one deployment";
    let place = inner.1.raw.root.get().map_or(&inner.1.key, |root| &root.place);
    report.add(place, fault(message, "overlaps another root").hint(hint));
}

/// `{}` is a number in ranges only; elsewhere it is a mistake.
fn number_filled(text: &str) -> Result<(), super::scalar::Refused> {
    if text.contains("{}") {
        return Err(refused(format!("{} has a `{{}}`, but this deployment is of no range", quoted(text)))
            .hint("`{}` is the number of a range, as in [deployments.\"edge-{001..200}\"]"));
    }
    Ok(())
}

fn refuse_root(text: &str, error: PathError) -> super::scalar::Refused {
    match error {
        PathError::Relative(_) if text.starts_with('~') => {
            refused(format!("{}: `~` is not expanded", quoted(text))).hint("write the whole path")
        }
        PathError::Relative(_) if text.starts_with('-') => {
            refused(format!("{} begins with `-`: it would read as an option", quoted(text)))
        }
        PathError::Relative(_) => {
            refused(format!("{} is relative, and the host is another machine", quoted(text)))
                .hint("write an absolute path; only roots on \"local\" may be relative to the fleet file")
        }
        error => refused(error.to_string()),
    }
}

/// Which deployments each waits for, in the order of `written`.
fn dependencies(written: &[Written], report: &mut Report) -> Vec<BTreeSet<DeploymentName>> {
    let labels: Vec<BTreeSet<String>> = written
        .iter()
        .map(|stanza| stanza.raw.labels.items().iter().map(|label| label.value.0.clone()).collect())
        .collect();
    // Many deployments share their selectors, by profile or range.
    let mut meant: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut edges: Vec<Vec<usize>> = Vec::new();
    let mut count = 0;
    for (own, stanza) in written.iter().enumerate() {
        let mut targets = BTreeSet::new();
        for selector in stanza.raw.depends_on.items() {
            let matches = meant.entry(selector.to_string()).or_insert_with(|| match selector.name() {
                // They are in the order of their names.
                Some(name) => written.binary_search_by(|other| other.name.cmp(name)).into_iter().collect(),
                None => {
                    let matches = |at: &usize| selector.matches(&written[*at].name, &labels[*at]);
                    (0..written.len()).filter(matches).collect()
                }
            });
            if matches.is_empty() {
                nothing_meant(selector, written, &labels, report);
            }
            count += matches.len();
            if count > MAX_DEPENDENCIES {
                let message = format!("deployments have more than {MAX_DEPENDENCIES} dependencies in all");
                report.add(&selector.place, fault(message, "too many from here on"));
                return vec![BTreeSet::new(); written.len()];
            }
            let itself = selector.name().is_some();
            targets.extend(matches.iter().copied().filter(|other| *other != own || itself));
        }
        edges.push(targets.into_iter().collect());
    }
    for cycle in cycles(&edges) {
        report_cycle(&cycle, written, &labels, report);
    }
    let names = |targets: &Vec<usize>| targets.iter().map(|target| written[*target].name.clone()).collect();
    edges.iter().map(names).collect()
}

fn nothing_meant(
    selector: &At<Selector>,
    written: &[Written],
    labels: &[BTreeSet<String>],
    report: &mut Report,
) {
    let names = written.iter().map(|stanza| stanza.name.as_str());
    let all: BTreeSet<&str> = labels.iter().flatten().map(String::as_str).collect();
    let near = selector.near(names, all.iter().copied()).map(|near| format!("did you mean {near:?}?"));
    let message = format!("{} matches no deployment", quoted(&selector.to_string()));
    report.add(&selector.place, fault(message, "matches nothing").perhaps(near));
}

fn report_cycle(cycle: &[usize], written: &[Written], labels: &[BTreeSet<String>], report: &mut Report) {
    let Some(first) = cycle.first() else { return };
    let next = *cycle.get(1).unwrap_or(first);
    let stanza = &written[*first];
    let selectors = stanza.raw.depends_on.items().iter();
    let meaning = selectors.into_iter().find(|selector| selector.matches(&written[next].name, &labels[next]));
    let place: &Place = meaning.map_or(&stanza.key, |selector| &selector.place);
    let named = name_cycle(cycle, |node| written[node].name.to_string());
    let fault = fault(format!("deployments wait for each other: {named}"), "part of a cycle");
    report.add(place, fault.hint("remove one `depends_on` of these"));
}
