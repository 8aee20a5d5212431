//! Stages, windows and pauses: what they mean, and stages that could never open.
//!
//! A stage never opens if it waits for what cannot happen: a later one pins a pack in a way that no deployment of
//! an earlier stage which has that pack could, so that nobody ever tries its tree; an earlier one depends on a
//! later one; nobody is in it; or its soak outlasts everybody. One of which packfleet moves nobody tries nothing, so that
//! later ones would go on without it. What a branch or a range of versions leads to is known only to the sources, so
//! that whatever could be the same counts as the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use semver::{BuildMetadata, Op, Prerelease, Version, VersionReq};

use super::profile::Written;
use super::raw::{RawDeployment, RawFile, RawPause, RawStage, RawWindow};
use super::read::{At, Field, Stanza};
use super::report::{Report, fault};
use crate::model::fleet::{Deployment, Mode, State};
use crate::model::pack::{Pack, Requirement, TagPattern};
use crate::model::rollout::{Pause, Stage, Window};
use crate::model::{DeploymentName, PackName};

/// A longer soak is a slip of the pen.
const LONGEST_SOAK: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Stages in their order. Every deployment is in one, and everyone else's problem is said.
pub(super) fn stages(
    raw: &RawFile,
    written: &[Written],
    packs: &BTreeMap<PackName, Pack>,
    deployments: &BTreeMap<DeploymentName, Deployment>,
    report: &mut Report,
) -> Vec<Stage> {
    let raw = raw.rollout.items();
    let labels: Vec<BTreeSet<String>> = written.iter().map(|stanza| labels(&stanza.raw)).collect();
    let mut free: BTreeSet<usize> = (0..written.len()).collect();
    let mut stages = Vec::new();
    report.within("rollout", |report| {
        for (number, stage) in raw.iter().enumerate() {
            endless(number, stage, report);
            let members = members(number, stage, written, &labels, &mut free, report);
            stages.push(Stage {
                select: stage.select.items().iter().map(|selector| selector.to_string()).collect(),
                members: members.into_iter().map(|at| written[at].name.clone()).collect(),
                soak: stage
                    .soak
                    .get()
                    .and_then(|soak| Duration::try_from(soak.value.0).ok())
                    .unwrap_or_default(),
                max_parallel: stage.max_parallel.get().map(|share| share.value),
                max_failures: stage.max_failures.get().map_or(0, |count| count.value.0),
            });
        }
    });
    if stages.is_empty() {
        return stages;
    }
    for at in free {
        let stanza = &written[at];
        let message = format!("{} is in no stage of [[rollout]]", stanza.name);
        let hint = "add a last stage that holds all others: select = [\"*\"]";
        report.add(&stanza.key, fault(message, "in no stage").hint(hint));
    }
    let number: BTreeMap<&DeploymentName, usize> = stages
        .iter()
        .enumerate()
        .flat_map(|(number, stage)| stage.members.iter().map(move |name| (name, number)))
        .collect();
    unmoved(raw, &stages, deployments, report);
    upside_down(written, &labels, deployments, &number, report);
    untried(written, packs, deployments, &number, report);
    stages
}

/// A soak that nobody lives to see the end of.
fn endless(number: usize, stage: &At<RawStage>, report: &mut Report) {
    if let Some(soak) = stage.soak.get().filter(|soak| soak.value.0 > LONGEST_SOAK) {
        let message = format!("stage {} soaks for more than 365 days", number + 1);
        let hint = "no later stage would ever move; what is to wait for a person is paused: \
                    pause = { reason = \"…\" }";
        report.add(&soak.place, fault(message, "too long").hint(hint));
    }
}

/// A stage of which packfleet moves nobody: it tries nothing, and later ones would go on without it.
fn unmoved(
    raw: &[At<RawStage>],
    stages: &[Stage],
    deployments: &BTreeMap<DeploymentName, Deployment>,
    report: &mut Report,
) {
    let earlier = stages.len().saturating_sub(1);
    for (number, (stage, raw)) in stages.iter().zip(raw).enumerate().take(earlier) {
        let members: Option<Vec<&Deployment>> =
            stage.members.iter().map(|name| deployments.get(name)).collect();
        let Some(members) = members.filter(|members| !members.is_empty()) else { continue };
        if members.iter().any(|one| one.mode == Mode::Converge && one.state == State::Present) {
            continue;
        }
        let observed = members.iter().filter(|one| one.mode == Mode::Observe).count();
        let what = match (observed, members.len() - observed) {
            (_, 0) => "mode = \"observe\"",
            (0, _) => "state = \"absent\"",
            _ => "mode = \"observe\" or state = \"absent\"",
        };
        let message = format!(
            "stage {} tries nothing: all of it is {what}, and stage {} would go on without it",
            number + 1,
            number + 2
        );
        let hint = "add a deployment that converges, or take this stage out";
        report.add(&raw.place, fault(message, "nothing is tried here").hint(hint));
    }
}

fn labels(raw: &RawDeployment) -> BTreeSet<String> {
    raw.labels.items().iter().map(|label| label.value.0.clone()).collect()
}

/// Whom one stage takes of those that are free.
fn members(
    number: usize,
    stage: &At<RawStage>,
    written: &[Written],
    labels: &[BTreeSet<String>],
    free: &mut BTreeSet<usize>,
    report: &mut Report,
) -> Vec<usize> {
    if stage.select.is_absent() {
        let message = format!("stage {} has no `select`", number + 1);
        let hint = "names, globs or labels: select = [\"label:canary\"]";
        report.add(&stage.place, fault(message, "`select` is missing").hint(hint));
        return Vec::new();
    }
    let mut meant = BTreeSet::new();
    for selector in stage.select.items() {
        let before = meant.len();
        let all = (0..written.len()).filter(|at| selector.matches(&written[*at].name, &labels[*at]));
        meant.extend(all);
        if meant.len() == before && !written.iter().zip(labels).any(|(it, l)| selector.matches(&it.name, l)) {
            let known = written.iter().map(|stanza| stanza.name.as_str());
            let all: BTreeSet<&str> = labels.iter().flatten().map(String::as_str).collect();
            let near =
                selector.near(known, all.iter().copied()).map(|near| format!("did you mean {near:?}?"));
            let message = format!("{:?} matches no deployment", selector.to_string());
            report.add(&selector.place, fault(message, "matches nothing").perhaps(near));
        }
    }
    let members: Vec<usize> = meant.iter().copied().filter(|at| free.contains(at)).collect();
    if members.is_empty() && !meant.is_empty() {
        let message = format!("stage {} holds nobody: all that it selects are in earlier stages", number + 1);
        let hint = "a deployment is in the first stage that selects it; take this stage out, or put it first";
        report.add(&stage.place, fault(message, "nobody is left for it").hint(hint));
    }
    free.retain(|at| !members.contains(at));
    members
}

/// An earlier stage that waits for a later one, which waits for it.
fn upside_down(
    written: &[Written],
    labels: &[BTreeSet<String>],
    deployments: &BTreeMap<DeploymentName, Deployment>,
    number: &BTreeMap<&DeploymentName, usize>,
    report: &mut Report,
) {
    let place = |name: &DeploymentName| written.binary_search_by(|stanza| stanza.name.cmp(name)).ok();
    for stanza in written {
        let Some((deployment, own)) = deployments.get(&stanza.name).zip(number.get(&stanza.name)) else {
            continue;
        };
        for on in &deployment.depends_on {
            let Some(later) = number.get(on).filter(|later| *later > own) else { continue };
            let means = |at: usize| {
                let mut selectors = stanza.raw.depends_on.items().iter();
                selectors.find(|selector| selector.matches(on, &labels[at]))
            };
            let place = place(on).and_then(means).map_or(&stanza.key, |selector| &selector.place);
            let message = format!(
                "{} of stage {} depends on {on} of stage {}, which waits for stage {}",
                stanza.name,
                own + 1,
                later + 1,
                own + 1
            );
            let hint = "select both in one stage, or the one that others depend on in an earlier one";
            report.add(place, fault(message, "neither of them could ever move").hint(hint));
        }
    }
}

/// What was asked for of a pack in earlier stages: each thing once.
type Tried<'a> = BTreeMap<&'a PackName, Vec<(&'a DeploymentName, &'a Requirement)>>;

/// A later stage whose pin no earlier one could ever try.
fn untried(
    written: &[Written],
    packs: &BTreeMap<PackName, Pack>,
    deployments: &BTreeMap<DeploymentName, Deployment>,
    number: &BTreeMap<&DeploymentName, usize>,
    report: &mut Report,
) {
    let last = number.values().max().copied().unwrap_or(0);
    let mut tried: Tried<'_> = BTreeMap::new();
    for stage in 0..=last {
        let of_stage = || written.iter().filter(|stanza| number.get(&stanza.name) == Some(&stage));
        let moves = |stanza: &&Written| {
            let deployment = deployments.get(&stanza.name);
            deployment.is_some_and(|d| d.mode == Mode::Converge && d.state == State::Present)
        };
        for stanza in of_stage().filter(moves) {
            for (pack, assignment) in deployments.get(&stanza.name).iter().flat_map(|d| &d.packs) {
                let Some(earlier) = tried.get(pack) else { continue };
                let tag = packs.get(pack).map(|pack| &pack.tag);
                if earlier.iter().any(|(_, other)| could_be_same(other, &assignment.requirement, tag)) {
                    continue;
                }
                let Some(pin) = stanza.raw.packs.entries().find(|(name, _)| name.as_str() == pack.as_str())
                else {
                    continue;
                };
                let others: BTreeSet<String> =
                    earlier.iter().take(3).map(|(name, wants)| format!("{name} {wants}")).collect();
                let others: Vec<String> = others.into_iter().collect();
                let message = format!(
                    "{} of stage {} pins {} of {pack}, which no earlier stage ever runs ({})",
                    stanza.name,
                    stage + 1,
                    assignment.requirement,
                    others.join(", ")
                );
                let hint =
                    "pin the same on a deployment of an earlier stage: only what ran there goes further";
                report.add(&pin.1.place, fault(message, "could never be moved to").hint(hint));
            }
        }
        for stanza in of_stage().filter(moves) {
            for (pack, assignment) in deployments.get(&stanza.name).iter().flat_map(|d| &d.packs) {
                let known = tried.entry(pack).or_default();
                if !known.iter().any(|(_, requirement)| *requirement == &assignment.requirement) {
                    known.push((&stanza.name, &assignment.requirement));
                }
            }
        }
    }
}

/// Whether two requirements could lead to one tree.
fn could_be_same(a: &Requirement, b: &Requirement, tags: Option<&TagPattern>) -> bool {
    match (a, b) {
        (Requirement::Tag(a), Requirement::Tag(b)) => a == b,
        (Requirement::Rev(a), Requirement::Rev(b)) => a.starts_with(b.as_str()) || b.starts_with(a.as_str()),
        (Requirement::Version(a), Requirement::Version(b)) => overlap(a, b),
        (Requirement::Version(range), Requirement::Tag(tag))
        | (Requirement::Tag(tag), Requirement::Version(range)) => {
            tags.and_then(|tags| tags.version(tag)).is_none_or(|version| range.matches(&version))
        }
        _ => true,
    }
}

/// Whether a version lies in both: if one does, so does one at a bound of either, or right behind one.
fn overlap(a: &VersionReq, b: &VersionReq) -> bool {
    let mut bounds = vec![Version::new(0, 0, 0)];
    for comparator in a.comparators.iter().chain(&b.comparators) {
        let (major, minor, patch) =
            (comparator.major, comparator.minor.unwrap_or_default(), comparator.patch.unwrap_or_default());
        bounds.push(Version {
            major,
            minor,
            patch,
            pre: comparator.pre.clone(),
            build: BuildMetadata::EMPTY,
        });
        bounds.extend([
            Version::new(major, minor, patch),
            Version::new(major, minor, patch.saturating_add(1)),
            Version::new(major, minor.saturating_add(1), 0),
            Version::new(major.saturating_add(1), 0, 0),
        ]);
        // Where prereleases come into it, more lies between than can be listed.
        if comparator.pre != Prerelease::EMPTY && comparator.op != Op::Exact {
            return true;
        }
    }
    bounds.iter().any(|version| a.matches(version) && b.matches(version))
}

/// The window of a deployment.
pub(super) fn window(raw: &Field<RawWindow>, report: &mut Report) -> Option<Window> {
    let window = raw.get()?;
    let given = window.given();
    if let Some(missing) = ["days", "from", "to", "zone"].iter().find(|key| !given.contains(key)) {
        let message = format!("{}.window has no `{missing}`", report.path());
        report.add(&window.place, fault(message, format!("`{missing}` is missing")));
        return None;
    }
    let (from, to) = (window.from.get()?.value.0, window.to.get()?.value.0);
    if from == to {
        let message = format!("{}.window opens and closes at the same time", report.path());
        let hint = "leave the window out if the deployment may always be changed";
        report.add(&window.place, fault(message, "it is never open").hint(hint));
        return None;
    }
    let (days, zone) = (&window.days.get()?.value, &window.zone.get()?.value.0);
    let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
    let text = format!("{} {}–{} {zone}", days.1, clock(from), clock(to));
    Some(Window { days: days.0, from, to, zone: zone.clone(), text })
}

/// The pause of a deployment.
pub(super) fn pause(raw: &Field<RawPause>, report: &mut Report) -> Option<Pause> {
    let pause = raw.get()?;
    report.within("pause", |report| {
        let why = "whoever asks why nothing happens is told: reason = \"conference week\"";
        let reason = pause.reason.required(&pause.place, "reason", why, report)?.value.clone();
        match &pause.until {
            Field::Bad => None,
            until => Some(Pause { reason, until: until.get().map(|moment| moment.value.0) }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_never_be_the_same_differs() {
        let version = |text: &str| Requirement::Version(text.parse().unwrap());
        let tag = |text: &str| Requirement::Tag(text.into());
        let rev = |text: &str| Requirement::Rev(text.into());
        let branch = |text: &str| Requirement::Branch(text.into());
        let pattern = TagPattern::new("v{version}");
        for (a, b, expected) in [
            (version("^1.1"), version("1"), true),
            (version("^1"), version("^2"), false),
            (version("=1.2.3"), version("=1.2.4"), false),
            (version(">1"), version("<3"), true),
            (version(">=1.4"), version("<1.4.0"), false),
            (version("<1.4.1"), version(">1.3"), true),
            (version("*"), version("=0.0.7"), true),
            (version(">=2.0.0-rc.1"), version("^1"), true),
            (version("^1.1"), tag("v1.3.0"), true),
            (version("^1.1"), tag("v2.0.0"), false),
            (version("^1.1"), tag("stable"), true),
            (tag("v1"), tag("v2"), false),
            (rev("abcd"), rev("abcdef"), true),
            (rev("abcd"), rev("abce"), false),
            (branch("develop"), version("^1.1"), true),
            (branch("develop"), branch("main"), true),
            (rev("abcd"), tag("v1.0.0"), true),
        ] {
            assert_eq!(could_be_same(&a, &b, pattern.as_ref()), expected, "{a} {b}");
            assert_eq!(could_be_same(&b, &a, pattern.as_ref()), expected, "{b} {a}");
        }
    }
}
