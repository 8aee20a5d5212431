//! `check`: two clean merges can still make a program that does not run, so a pack's commands are run on
//! the very tree that a plan would leave, before the switch.
//!
//! How a command failed is kept in the controller's cache, so that `why` and `status` can tell it later without
//! running it; an apply of the same steps runs it again.
//!
//! A command that fails holds its pack at what is recorded, as a version that cannot be used does; the
//! plan is made anew with that, so that other packs go on and what requires the pack does not.

use serde::{Deserialize, Serialize};

use crate::host::{Check, Checked};
use crate::model::PackName;
use crate::model::desired::Resolution;
use crate::model::fleet::Deployment;
use crate::model::pack::Pack;
use crate::model::plan::HoldCause;

use super::care;
use super::contents::Contents;
use super::mask::Mask;
use super::pass::{NOTHING, plan_for};
use super::report::{Failure, Survey};
use super::workspace::Workspace;

/// Packs whose checks a survey's plan needs, in their order of names.
pub fn needed<'a>(workspace: &'a Workspace, survey: &Survey) -> Vec<(&'a PackName, &'a Pack)> {
    let acts = |name: &PackName| survey.plan.actions.iter().any(|action| &action.pack == name);
    let stays = |name: &PackName| survey.plan.next.packs.contains_key(name);
    let packs = workspace.fleet.packs.iter();
    packs.filter(|(name, pack)| !pack.checks.is_empty() && acts(name) && stays(name)).collect()
}

/// Runs the checks that a plan needs. `None`: all passed, or there are none; else the survey with what
/// failed held.
pub(super) fn passed(
    workspace: &Workspace,
    deployment: &Deployment,
    survey: &Survey,
) -> Result<Option<Survey>, Failure> {
    let mut held: Option<Survey> = None;
    loop {
        let current = held.as_ref().unwrap_or(survey);
        let Some((name, cause)) = first_failure(workspace, deployment, current)? else { return Ok(held) };
        let mut desired = current.desired.clone();
        desired.packs.insert(name, Resolution::Held(cause));
        let host = workspace.host(deployment);
        let (observation, resolved) = (current.observation.clone(), current.resolved.clone());
        let next = plan_for(workspace, host.as_ref(), deployment, observation, desired, resolved);
        if next.plan.actions == current.plan.actions {
            // A repair of what is recorded does not pass either: nothing better can be planned.
            return Ok(Some(stopped(next)));
        }
        held = Some(next);
    }
}

/// The survey with nothing left to do.
fn stopped(mut survey: Survey) -> Survey {
    survey.plan.actions.clear();
    survey.plan.renames.clear();
    survey.plan.prune.clear();
    survey.plan.commits = false;
    survey
}

fn first_failure(
    workspace: &Workspace,
    deployment: &Deployment,
    survey: &Survey,
) -> Result<Option<(PackName, HoldCause)>, Failure> {
    let host = workspace.host(deployment);
    let contents = Contents::new(workspace, host.as_ref(), survey, NOTHING);
    for (name, pack) in needed(workspace, survey) {
        let check = Check {
            plan: &survey.plan,
            targets: pack.install.0.iter().map(|line| line.to.clone()).collect(),
            at: care::place(&pack.install, &survey.plan.next.entries),
            commands: pack.checks.clone(),
        };
        let question = question(survey, name, pack);
        if let Checked::Failed { command, why, output } = host.check(&check, &contents)? {
            // What a command prints may quote the files that it looked at; its own words may name a token.
            let mask = Mask::new(workspace);
            let (command, why, output) = (mask.words(&command), mask.words(&why), mask.words(&output));
            let seen = Seen { command: command.clone(), why: why.clone(), output: output.clone() };
            workspace.checks.keep(&question, &Some(seen));
            return Ok(Some((name.clone(), HoldCause::Check { command, why, output })));
        }
        if workspace.checks.recall::<Option<Seen>>(&question).is_some() {
            workspace.checks.keep(&question, &None::<Seen>);
        }
    }
    Ok(None)
}

/// How a check ended, as it is kept in the controller's cache.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    command: String,
    why: String,
    output: String,
}

/// Packs of which an apply of the very same steps found that a check fails, here, with how it did. Nothing is
/// run. A plan that would do anything else to the pack has no such memory.
pub fn failed_last(workspace: &Workspace, survey: &Survey) -> Vec<(PackName, HoldCause)> {
    let mut failed = Vec::new();
    for (name, pack) in needed(workspace, survey) {
        let seen = workspace.checks.recall::<Option<Seen>>(&question(survey, name, pack)).flatten();
        if let Some(Seen { command, why, output }) = seen {
            failed.push((name.clone(), HoldCause::Check { command, why, output }));
        }
    }
    failed
}

/// What the answer of a pack's checks depends on, as far as a plan knows it. Not its id: what other packs do
/// meanwhile makes it another plan, and is none of this pack's business.
fn question(survey: &Survey, name: &PackName, pack: &Pack) -> [u8; 32] {
    let mut steps: Vec<_> = survey
        .plan
        .actions
        .iter()
        .filter(|action| &action.pack == name)
        .map(|it| (&it.path, it.before, it.after))
        .collect();
    steps.sort();
    let text = format!("{:?} {name:?} {:?} {steps:?}", survey.deployment, pack.checks);
    *blake3::hash(text.as_bytes()).as_bytes()
}
