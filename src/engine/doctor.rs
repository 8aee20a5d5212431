//! Whether deployments can be applied to at all, looked at before it matters; and what makes a new one so.
//!
//! ```text
//! here      cache · sources                                    doctor, once
//! per host  the way there · user, root, state, disk, …, clock  doctor: the host looks, and tells
//!           the way there · root, state, services              bootstrap: the host does
//! ```
//! Nothing is written on a host by an examination. Asking a source brings news into this machine's cache, as it
//! does for a plan.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use jiff::Timestamp;

use crate::host::HostError;
use crate::host::examine::services::answer;
use crate::host::examine::{About, Exam, Finding, text};
use crate::host::prepare::{Intent, Linger, Preparation, Step, StepState};
use crate::host::status_key::Speaks;
use crate::model::care::{Check, Manager, Service, Unit, Watched};
use crate::model::cause::in_one_line;
use crate::model::fleet::{Deployment, HostAddress};
use crate::model::{DeploymentName, SourceName};

use super::report::Failure;
use super::workspace::Workspace;
use super::{Options, fleet};

/// Clocks that differ by more make logs hard to read together.
const APART: f64 = 2.0;

/// What one deployment's host told, or why it told nothing.
pub struct Told<T> {
    /// The deployment.
    pub deployment: DeploymentName,
    /// What its host told.
    pub told: Result<T, Failure>,
}

/// What is found about this machine and the sources of these deployments.
pub fn here(workspace: &Workspace, selected: &BTreeSet<DeploymentName>) -> Vec<Finding> {
    let mut found = vec![cache(workspace)];
    let over_ssh = |name| {
        workspace.fleet.deployments.get(name).is_some_and(|deployment| deployment.host != HostAddress::Local)
    };
    if selected.iter().any(over_ssh) {
        found.push(ssh());
    }
    let deployments = selected.iter().filter_map(|name| workspace.fleet.deployments.get(name));
    let packs = deployments.flat_map(|deployment| deployment.packs.keys());
    let sources: BTreeSet<&SourceName> =
        packs.filter_map(|pack| workspace.fleet.packs.get(pack)).map(|pack| &pack.source).collect();
    for name in sources {
        let Some(source) = workspace.sources.get(name) else { continue };
        found.push(match source.refresh() {
            Ok(refs) if refs.branches.is_empty() && refs.tags.is_empty() => {
                Finding::ok(About::Git, format!("source {name} answers"))
            }
            Ok(refs) => {
                let (branches, tags) = (count(refs.branches.len(), "branch", "branches"), refs.tags.len());
                Finding::ok(
                    About::Git,
                    format!("source {name} answers: {branches}, {}", count(tags, "tag", "tags")),
                )
            }
            Err(error) => Finding::fail(
                About::Git,
                format!("source {name}: {}", in_one_line(&error)),
                text(format!("see that the source answers, or correct [sources.{name}]")),
            ),
        });
    }
    found
}

fn count(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

/// The ssh that leads to hosts, and the keys that its agent offers; keys may lie in files as well.
fn ssh() -> Finding {
    match answer("ssh", &["-V"]) {
        Ok(version) => {
            let keys = match answer("ssh-add", &["-l"]) {
                Ok(keys) if keys.lines().count() == 1 => "its agent offers 1 key".to_owned(),
                Ok(keys) => format!("its agent offers {} keys", keys.lines().count()),
                Err(_) => "no agent offers keys: they come from files".to_owned(),
            };
            Finding::ok(About::Ssh, format!("{version}; {keys}"))
        }
        Err(error) => Finding::fail(About::Ssh, error, text("install OpenSSH's client: openssh-client")),
    }
}

/// The cache must take new files.
fn cache(workspace: &Workspace) -> Finding {
    let at = &workspace.cache;
    let made = std::fs::create_dir_all(at).and_then(|()| tempfile_in(at));
    match made {
        Ok(()) => Finding::ok(About::Cache, format!("{at} may be written")),
        Err(error) => Finding::fail(
            About::Cache,
            format!("{at}: {error}"),
            text("correct that, or name another one with --cache DIR"),
        ),
    }
}

/// Makes a file and removes it.
fn tempfile_in(directory: &camino::Utf8Path) -> std::io::Result<()> {
    let probe = directory.join(format!(".doctor-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(&probe)
}

/// Examines hosts, a bounded number at a time; in order of name.
pub fn examine(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
    options: &Options,
) -> Vec<Told<Vec<Finding>>> {
    side_by_side(workspace, selected, options, |deployment| {
        let (units, programs) = (units(workspace, deployment), programs(workspace, deployment));
        let (fleet, name) = (workspace.fleet.name.clone(), deployment.name.clone());
        let exam = Exam { fleet, deployment: name, units, programs };
        let (asked, begun) = (Timestamp::now(), Instant::now());
        let examined = workspace.host(deployment).examine(&exam)?;
        let took = begun.elapsed().as_secs_f64();
        let mut findings = examined.findings;
        if deployment.host != HostAddress::Local {
            let after = findings.iter().take_while(|found| found.about <= About::Clock).count();
            findings.insert(after, clock(asked, examined.now, took));
            let reached = Finding::ok(About::Ssh, format!("{} is reached", deployment.host));
            let agent = Finding::ok(About::Agent, "an agent of this build is in place and answers");
            findings.splice(..0, [reached, agent]);
        }
        Ok(findings)
    })
}

/// How far the host's clock is from ours: it was read at some moment of the time that asking took.
fn clock(asked: Timestamp, theirs: Timestamp, took: f64) -> Finding {
    let ahead = theirs.duration_since(asked).as_secs_f64();
    let apart = if ahead < 0.0 { -ahead } else { (ahead - took).max(0.0) };
    let what = match ahead < 0.0 {
        _ if apart < APART => return Finding::ok(About::Clock, format!("less than {APART:.0} s from ours")),
        true => format!("{apart:.0} s behind ours"),
        false => format!("{apart:.0} s ahead of ours"),
    };
    Finding::warn(About::Clock, what, text("as root on that machine: timedatectl set-ntp true"))
}

/// Prepares hosts, or tells what would be done.
pub fn bootstrap(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
    intent: Intent,
    options: &Options,
) -> Vec<Told<Vec<Step>>> {
    side_by_side(workspace, selected, options, |deployment| {
        let users = units(workspace, deployment).iter().any(|unit| unit.manager == Manager::User);
        let speaks = workspace.fleet.status.as_ref().map_or(Speaks::Never, |_| Speaks::ForItself);
        let linger = if users { Linger::Needed } else { Linger::Unneeded };
        let mut steps = workspace.host(deployment).prepare(&Preparation { linger, speaks, intent })?;
        if deployment.host != HostAddress::Local {
            // To ask a host anything is to have an agent there: a look that only tells puts it in place, too.
            let agent = "an agent of this build is in place: it comes with the connection";
            steps.insert(0, Step::new(About::Agent, StepState::Found, agent));
        }
        Ok(steps)
    })
}

/// Checks of health that count for a deployment's packs.
fn checks<'a>(workspace: &'a Workspace, deployment: &'a Deployment) -> impl Iterator<Item = &'a Check> {
    deployment.packs.keys().flat_map(|name| {
        let own = deployment.health.get(name);
        own.or_else(|| Some(&workspace.fleet.packs.get(name)?.care.health)).into_iter().flatten()
    })
}

/// Units that a deployment's packs name.
fn units(workspace: &Workspace, deployment: &Deployment) -> Vec<Unit> {
    let packs = deployment.packs.keys().filter_map(|name| workspace.fleet.packs.get(name));
    let services = packs.filter_map(|pack| match &pack.care.service {
        Some(Service::Unit { unit, .. }) => Some(unit),
        _ => None,
    });
    let watched = checks(workspace, deployment).filter_map(|check| match check {
        Check::ActiveFor { unit, .. } | Check::Errors { watched: Watched::Journal(unit), .. } => Some(unit),
        _ => None,
    });
    services.chain(watched).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Programs that a deployment's commands begin with. One given by a path in the tree comes with a pack.
fn programs(workspace: &Workspace, deployment: &Deployment) -> Vec<String> {
    let packs = deployment.packs.keys().filter_map(|name| workspace.fleet.packs.get(name));
    let of_packs = packs.flat_map(|pack| {
        let restart = match &pack.care.service {
            Some(Service::Command(run)) => Some(run),
            _ => None,
        };
        let on_change = pack.care.on_change.iter().map(|on_change| &on_change.run);
        pack.checks.iter().chain(on_change).chain(restart)
    });
    let of_checks = checks(workspace, deployment).filter_map(|check| match check {
        Check::Command { run, .. } => Some(run),
        _ => None,
    });
    let first = of_packs.chain(of_checks).filter_map(|run| run.first());
    let outside = first.filter(|program| program.starts_with('/') || !program.contains('/'));
    outside.collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Asks the hosts of deployments, a bounded number at a time; the answers come in order of name.
fn side_by_side<T: Send>(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
    options: &Options,
    ask: impl Fn(&Deployment) -> Result<T, HostError> + Sync,
) -> Vec<Told<T>> {
    let all: Vec<&Deployment> =
        selected.iter().filter_map(|name| workspace.fleet.deployments.get(name)).collect();
    let jobs = fleet::jobs(workspace, selected.iter(), options);
    let next = AtomicUsize::new(0);
    let (tell, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, all.len().max(1)) {
            let (tell, next, all, ask) = (tell.clone(), &next, &all, &ask);
            scope.spawn(move || {
                while let Some(deployment) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = ask(deployment).map_err(Failure::from);
                    let told = Told { deployment: deployment.name.clone(), told: answer };
                    // The receiver lives as long as the scope.
                    let _heard = tell.send(told).is_ok();
                }
            });
        }
    });
    drop(tell);
    let mut told: Vec<Told<T>> = answers.into_iter().collect();
    told.sort_by(|a, b| a.deployment.cmp(&b.deployment));
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::examine::Grade;

    #[test]
    fn clocks_are_compared_as_far_as_the_way_allows() {
        let asked: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (theirs, took, grade, word) in [
            ("2026-01-01T00:00:00.4Z", 0.5, Grade::Ok, "less than 2 s"),
            ("2026-01-01T00:00:09Z", 10.0, Grade::Ok, "less than 2 s"),
            ("2026-01-01T00:00:09Z", 1.0, Grade::Warn, "8 s ahead"),
            ("2025-12-31T23:59:00Z", 1.0, Grade::Warn, "60 s behind"),
        ] {
            let found = clock(asked, theirs.parse().unwrap(), took);
            assert_eq!(found.grade, grade, "{found:?}");
            assert!(found.what.contains(word), "{found:?}");
        }
    }
}
