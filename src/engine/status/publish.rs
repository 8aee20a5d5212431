//! Publishing what hosts hold: what a pass saw change, and everything once per heartbeat.
//!
//! A pass of the loop over a fleet in which nothing changed asks no host and no store; a command that somebody gave
//! asks the store whether what it knows to have said stands there. What did change is looked at once more, in
//! full, because a pass looks only as far as its plan needs. Nothing here fails a pass: what could not be published is
//! told, and tried again by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::compose;
use super::ledger::{Ledger, Said};
use super::store;
use crate::engine::pass;
use crate::engine::report::{Report, Survey};
use crate::engine::resolve::{Resolutions, resolve};
use crate::engine::workspace::Workspace;
use crate::engine::{Options, Unmanaged, fleet};
use crate::model::cause::in_one_line;
use crate::model::fleet::Deployment;
use crate::model::publishing::Publishing;
use crate::model::stamp::{Publisher, Stamp};
use crate::model::status_key::SecretStatusKey;
use crate::model::{DeploymentName, ManifestDigest};
use crate::plan::trust::Seen;
use crate::source::SourceError;
use crate::source::status::{Of, Post, PostError, Word, insist};

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Voice {
    /// As whom.
    pub by: Publisher,
    /// With which key; `None`: unsigned.
    pub key: Option<SecretStatusKey>,
}

impl Voice {
    /// Of its key; `None`: it has none.
    fn fingerprint(&self) -> Option<String> {
        self.key.as_ref().map(|key| key.public().fingerprint())
    }
}

/// What was not published, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublished {
    /// Of which deployment; `None`: of none.
    pub deployment: Option<DeploymentName>,
    /// Why.
    pub why: String,
}

impl fmt::Display for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deployment {
            Some(name) => write!(f, "the status of {name} is not published: {}", self.why),
            None => write!(f, "no status is published: {}", self.why),
        }
    }
}

/// How far it is looked whether there is something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// By what is remembered to have been said.
    Memory,
    /// By what stands in the store as well: what was damaged, taken away or replaced there is said again.
    Store,
}

/// A word that is about to be said.
struct Draft {
    stamp: Stamp,
    manifest: Arc<str>,
    pulse: String,
}

/// Publishes what these reports show to have changed, and what is due. Nothing if the fleet publishes nowhere, or
/// nobody is to speak.
pub fn publish_status(
    workspace: &Arc<Workspace>,
    reports: &[Report],
    options: &Options,
    check: Check,
) -> Vec<Unpublished> {
    let (Some(publishing), Some(voice)) = (&workspace.fleet.status, &options.voice) else {
        return Vec::new();
    };
    let ledger = Ledger::load(workspace, publishing);
    // What is known by a status alone is not this machine's to tell.
    let ours = || reports.iter().filter(|report| report.told.is_none() && report.survey.is_some());
    let (mut unpublished, mut unread) = (Vec::new(), None);
    let lost = match check {
        Check::Memory => BTreeSet::new(),
        Check::Store => {
            let names = ours().map(|report| report.deployment.clone()).collect();
            lost(workspace, publishing, &ledger, &names).unwrap_or_else(|error| {
                unread = Some(Unpublished { deployment: None, why: in_one_line(&error) });
                BTreeSet::new()
            })
        }
    };
    let is_due = |report: &&Report| {
        let said = ledger.said.get(&report.deployment);
        lost.contains(&report.deployment) || due(report, said, publishing, voice, options.now)
    };
    let names = ours().filter(is_due).map(|report| report.deployment.clone()).collect();
    let mut wanted: BTreeSet<DeploymentName> = names;
    // One key may be at fault for many: that is said once, and the others are published.
    let mut faults = BTreeSet::new();
    wanted.retain(|name| {
        let fault = unheard(publishing, voice, name);
        let is_heard = fault.is_none();
        faults.extend(fault);
        is_heard
    });
    unpublished.extend(faults.into_iter().map(|why| Unpublished { deployment: None, why }));
    if wanted.is_empty() {
        // Where something is to be said, what is in its way is told of that.
        unpublished.extend(unread);
        return unpublished;
    }
    let resolutions = resolve(workspace, &wanted, &());
    let mut drafts = BTreeMap::new();
    for (name, drafted) in look_at(workspace, &resolutions, &wanted, options, voice) {
        match drafted {
            Ok(draft) => drop(drafts.insert(name, draft)),
            Err(why) => unpublished.push(Unpublished { deployment: Some(name), why }),
        }
    }
    let said = say(workspace, publishing, &ledger, drafts, options.now, voice, &mut unpublished);
    let remember = |ledger: &mut Ledger| {
        for (name, said, seen) in said {
            ledger.believe(&name, seen);
            ledger.said.insert(name, said);
        }
    };
    if let Err(error) = Ledger::change(workspace, publishing, remember) {
        tracing::warn!(%error, "what was published cannot be remembered, and is published again");
    }
    unpublished
}

/// Whether there is something to say of a report's deployment.
fn due(report: &Report, said: Option<&Said>, publishing: &Publishing, voice: &Voice, now: Timestamp) -> bool {
    let Some(survey) = &report.survey else { return false };
    let Some(said) = said else { return true };
    let acted = report.committed.is_some() || report.failure.is_some() || !report.saved.is_empty();
    let age = Duration::try_from(now.duration_since(said.time)).unwrap_or_default();
    acted
        || said.key != voice.fingerprint()
        || compose::pulse(survey) != said.pulse
        || age >= beat(&report.deployment, publishing.heartbeat)
}

/// Of whom something else stands in the store than what was said last, or nothing.
fn lost(
    workspace: &Workspace,
    publishing: &Publishing,
    ledger: &Ledger,
    names: &BTreeSet<DeploymentName>,
) -> Result<BTreeSet<DeploymentName>, SourceError> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let published = store(workspace, publishing).fetch(Of::Some(names))?;
    let stands = |name: &DeploymentName| {
        ledger.said.get(name).is_some_and(|said| published.version(name) == Some(&said.version))
    };
    Ok(names.iter().filter(|name| !stands(name)).cloned().collect())
}

/// The heartbeat of one deployment: up to a quarter earlier than asked for, so that not all beat at once.
fn beat(name: &DeploymentName, heartbeat: Duration) -> Duration {
    let spread = blake3::hash(name.as_str().as_bytes()).as_bytes()[0];
    heartbeat - heartbeat / 4 * u32::from(spread) / 256
}

/// Why nobody would believe what this voice says of a deployment.
fn unheard(publishing: &Publishing, voice: &Voice, name: &DeploymentName) -> Option<String> {
    if !publishing.asks_for_a_key(name) {
        return None;
    }
    let pinned = match voice.by {
        Publisher::Controller => publishing.key.clone(),
        Publisher::Host => publishing.hosts.get(name).cloned(),
    };
    let place = match voice.by {
        Publisher::Controller => "status.key".to_owned(),
        Publisher::Host => format!("deployments.{name}.status_key"),
    };
    match (&voice.key, pinned) {
        (None, _) => Some(format!("there is no key to sign statuses with, and {place} asks for one")),
        (Some(key), None) => {
            Some(format!("fleet.toml does not pin the key of this machine: {place} = \"{}\"", key.public()))
        }
        (Some(key), Some(pinned)) if key.public() != pinned => Some(format!(
            "{place} pins {}, and the key of this machine is {}",
            pinned.fingerprint(),
            key.public()
        )),
        _ => None,
    }
}

/// Looks at deployments in full, several at a time.
fn look_at(
    workspace: &Workspace,
    resolutions: &Resolutions,
    names: &BTreeSet<DeploymentName>,
    options: &Options,
    voice: &Voice,
) -> Vec<(DeploymentName, Result<Draft, String>)> {
    let deployments: Vec<&Deployment> =
        names.iter().filter_map(|name| workspace.fleet.deployments.get(name)).collect();
    let (next, drafts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let jobs = fleet::jobs(workspace, names.iter(), options).min(deployments.len());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(deployment) = deployments.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let draft = draft(workspace, resolutions, deployment, options, voice);
                    let mut drafts = drafts.lock().unwrap_or_else(PoisonError::into_inner);
                    drafts.push((deployment.name.clone(), draft));
                }
            });
        }
    });
    drafts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn draft(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
    voice: &Voice,
) -> Result<Draft, String> {
    let host = workspace.host(deployment);
    let options = Options { list: Unmanaged::Ignore, ..options.clone() };
    let mut look = pass::look(workspace, resolutions, deployment, &options);
    // Whatever lies beside managed paths, so that a plan for other paths knows whether they are free.
    look.list = vec![None];
    let failed = |error: crate::host::HostError| in_one_line(&error);
    let observation = host.observe(&look).map_err(failed)?;
    let has_record = observation.record.is_some();
    let survey: Survey = pass::decide(workspace, resolutions, host.as_ref(), deployment, observation);
    let seen = &survey.observation;
    let edits = if has_record { host.edits().map_err(failed)?.len() } else { 0 };
    let manifest: Arc<str> = compose::manifest(&survey).text().into();
    let stamp = Stamp {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        root: deployment.root.clone(),
        sequence: 0,
        time: options.now,
        by: voice.by,
        generation: seen.record.as_ref().map_or(0, |record| record.generation),
        record: seen.digest,
        manifest: ManifestDigest::of(manifest.as_bytes()),
        interrupted: seen.interrupted.as_ref().map(|interrupted| interrupted.generation),
        staged: seen.staged,
        saved_edits: edits as u64,
        since: compose::since(seen),
        pause: seen.notes.pause.clone(),
        health: compose::fare(seen),
        version_file: compose::foreign_version_file(seen),
    };
    Ok(Draft { stamp, manifest, pulse: compose::pulse(&survey) })
}

/// Says drafts until they are said.
fn say(
    workspace: &Workspace,
    publishing: &Publishing,
    ledger: &Ledger,
    drafts: BTreeMap<DeploymentName, Draft>,
    now: Timestamp,
    voice: &Voice,
    unpublished: &mut Vec<Unpublished>,
) -> Vec<(DeploymentName, Said, Seen)> {
    let mut spoken: BTreeMap<DeploymentName, Stamp> = BTreeMap::new();
    let mut posts = Vec::new();
    for (name, draft) in &drafts {
        let said = ledger.said.get(name);
        let before = said.map(|said| said.sequence).max(ledger.seen.get(name).map(|seen| seen.sequence));
        let stamp = numbered(&draft.stamp, before, now);
        match signed(&stamp, voice) {
            Ok(text) => posts.push(Post {
                deployment: name.clone(),
                replaces: said.map(|said| said.version.clone()),
                stamp: text,
                manifest: Arc::clone(&draft.manifest),
            }),
            Err(why) => unpublished.push(Unpublished { deployment: Some(name.clone()), why }),
        }
        spoken.insert(name.clone(), stamp);
    }
    let mut restate = |post: &Post, word: Option<&Word>| {
        let stamp = spoken.get_mut(&post.deployment).ok_or("it was never said")?;
        // What stands there may be anybody's; a number that is none of ours is no reason to stop counting.
        let theirs = word.and_then(|word| Stamp::parse(&word.stamp).ok()).map(|signed| signed.stamp);
        if let Some(other) =
            theirs.as_ref().map(|theirs| &theirs.fleet).filter(|other| **other != stamp.fleet)
        {
            return Err(format!(
                "what stands there is of fleet {other}: each fleet has a place of its own ([status]); was this one \
                 called so, then delete what stands there"
            ));
        }
        let theirs = theirs.filter(|theirs| theirs.sequence < u64::MAX / 2).map(|theirs| theirs.sequence);
        *stamp = numbered(stamp, theirs.max(Some(stamp.sequence)), now);
        let text = signed(stamp, voice)?;
        Ok(Post { stamp: text, ..post.clone() })
    };
    let ended = insist(store(workspace, publishing).as_ref(), posts, &mut restate);
    let mut told = Vec::new();
    for (name, ended) in ended {
        let (Some(stamp), Some(draft)) = (spoken.get(&name), drafts.get(&name)) else { continue };
        match ended {
            Ok(version) => {
                let text = stamp.text();
                let Ok(signed) = Stamp::parse(&text) else { continue };
                let said = Said {
                    pulse: draft.pulse.clone(),
                    version,
                    sequence: stamp.sequence,
                    time: stamp.time,
                    key: voice.fingerprint(),
                };
                told.push((name, said, Seen::of(&signed)));
            }
            Err(error) => unpublished.push(refused(name, &error)),
        }
    }
    told
}

fn refused(name: DeploymentName, error: &PostError) -> Unpublished {
    Unpublished { deployment: Some(name), why: error.to_string() }
}

/// Numbered above the last word, and by the clock, so that a machine that lost its memory is not taken for a replay.
fn numbered(stamp: &Stamp, before: Option<u64>, now: Timestamp) -> Stamp {
    let clock = u64::try_from(now.as_millisecond()).unwrap_or_default();
    let sequence = before.map_or(clock, |before| clock.max(before.saturating_add(1)));
    Stamp { sequence, ..stamp.clone() }
}

fn signed(stamp: &Stamp, voice: &Voice) -> Result<String, String> {
    let text = stamp.text();
    match &voice.key {
        None => Ok(text),
        Some(key) => {
            let seal = key.sign(&text).map_err(|error| error.to_string())?;
            Ok(text + &seal)
        }
    }
}
