//! Gates: whether a deployment may be changed at this moment, and if not, why not and what clears that.
//!
//! ```text
//! what runs where, since when, healthy? ─┐
//! stages, windows, pauses, time ─────────┴─► for one deployment: reasons, in the order in which they bite
//! ```
//! A deployment of a later stage moves to a pack tree only when every deployment of the earlier stages which wants
//! that very tree runs it, and has been well for its stage's soak; and where earlier stages have the pack at all,
//! one of them must want it. Failures that a stage may have (`max_failures`) are not waited for; more than that
//! stop the tree in this stage and in all later ones. A host that does not answer is no failure, but it is not
//! known to run anything either. Only a deployment with something to do has reasons: nobody else waits.
//!
//! Pure, and no state of its own: the facts come from looks, or from what hosts published, and time is an
//! argument. So it does not matter who asks, how often, or what became of whoever asked before. Deliberately
//! absent: `depends_on` and holds, which need no clock and are judged where plans are made and ordered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::window::{Opening, opening};
use crate::model::fleet::{Deployment, Mode};
use crate::model::rollout::{Pause, Stage, stage_of};
use crate::model::{DeploymentName, PackName, TreeDigest};

/// One deployment as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Every pack that it has or should have.
    pub packs: BTreeMap<PackName, PackFacts>,
    /// Whether a plan has something to do there.
    pub acts: bool,
    /// Whether a plan has nothing to do there because all of it is held.
    pub held: bool,
    /// How it fares.
    pub state: Fares,
    /// The pause that is kept on the host.
    pub pause: Option<Pause>,
}

/// One pack there. Trees are those of the pack, before overlays; `None` is "not installed".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFacts {
    /// What is installed.
    pub runs: Option<TreeDigest>,
    /// Since when it has been well with that; `None`: it is not, or that is not known.
    pub since: Option<Timestamp>,
    /// What the fleet file leads to.
    pub wants: Wish,
    /// What a plan would leave there: what is wanted, unless something holds the pack.
    pub next: Option<TreeDigest>,
    /// Whether what is wanted was tried there and failed.
    pub failed: bool,
}

/// What the fleet file leads to for one pack on one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// This tree.
    Tree(TreeDigest),
    /// It should not be there.
    Absent,
    /// That could not be told.
    Unknown,
}

/// How a deployment fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fares {
    /// Well, as far as anybody looked.
    Well,
    /// Its last change is still watched.
    Watched,
    /// Another run is at it, or its switch did not end.
    Busy,
    /// It was found ill, or it could not be changed.
    Ill,
    /// It could not be looked at: nobody knows what it runs.
    Unseen,
    /// Its host does not answer.
    Offline,
    /// It is known by its status alone, and that is missing, not believed, or too old to count on.
    Unheard,
}

impl Fares {
    /// How one lags of which nobody can tell what it runs.
    const fn hidden(self) -> Option<Lag> {
        match self {
            Self::Offline => Some(Lag::Offline),
            Self::Unseen => Some(Lag::Unseen),
            Self::Unheard => Some(Lag::Unheard),
            Self::Well | Self::Watched | Self::Busy | Self::Ill => None,
        }
    }
}

/// Why a deployment of an earlier stage does not let a tree go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lag {
    /// It runs it, and its soak is not over.
    Soaks,
    /// It does not run it yet.
    NotYet,
    /// Its change is still watched, or another run is at it.
    Watched,
    /// It runs it, and is not well, or has not been looked at since.
    Ill,
    /// It could not be looked at.
    Unseen,
    /// Its host does not answer.
    Offline,
    /// It is known by its status alone, and that is missing, not believed, or too old to count on.
    Unheard,
}

/// Who a pause is by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PausedBy {
    /// The fleet file says so.
    FleetFile,
    /// A command said so; it is kept on the host.
    Command,
}

/// One reason to leave a deployment as it is for now. Stages are numbered from 1, as people count them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// More failures of a tree than a stage may have.
    Stopped {
        /// The stage that has them.
        stage: usize,
        /// The pack.
        pack: PackName,
        /// Where it failed.
        failed: Vec<DeploymentName>,
        /// How many may.
        allowed: u64,
    },
    /// An earlier stage has not run a tree for long enough.
    Stage {
        /// The earlier stage.
        stage: usize,
        /// The pack.
        pack: PackName,
        /// The tree; `None`: the pack goes.
        tree: Option<TreeDigest>,
        /// How long that stage soaks, in seconds.
        soak: u64,
        /// Who does not let it go on yet, and why.
        lagging: BTreeMap<DeploymentName, Lag>,
        /// When it clears itself; `None` as long as somebody has to do something first.
        clears: Option<Timestamp>,
    },
    /// Earlier stages have the pack, and none of their deployments wants this tree of it.
    Untried {
        /// The pack.
        pack: PackName,
        /// The tree.
        tree: TreeDigest,
    },
    /// It is paused.
    Pause {
        /// Why.
        reason: String,
        /// When that clears itself; `None`: never.
        clears: Option<Timestamp>,
        /// Who says so.
        by: PausedBy,
    },
    /// Its window is closed.
    Window {
        /// The window, as it was written.
        window: String,
        /// When it opens.
        clears: Option<Timestamp>,
    },
    /// As many of its stage are being changed as may be at a time.
    Parallel {
        /// Its stage.
        stage: usize,
        /// How many may.
        at_once: usize,
        /// Who is.
        busy: BTreeSet<DeploymentName>,
    },
}

impl Reason {
    /// When it clears itself.
    pub fn clears(&self) -> Option<Timestamp> {
        match self {
            Self::Stage { clears, .. } | Self::Pause { clears, .. } | Self::Window { clears, .. } => *clears,
            Self::Stopped { .. } | Self::Untried { .. } | Self::Parallel { .. } => None,
        }
    }

    /// Its kind in a word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stopped { .. } => "stopped",
            Self::Stage { .. } | Self::Untried { .. } => "stage",
            Self::Pause { .. } => "pause",
            Self::Window { .. } => "window",
            Self::Parallel { .. } => "parallel",
        }
    }

    /// Whether someone in a hurry goes on in spite of it.
    pub const fn is_skippable(&self) -> bool {
        matches!(self, Self::Stage { .. } | Self::Untried { .. } | Self::Pause { .. } | Self::Window { .. })
    }
}

impl Facts {
    /// Where a pack would go there: by the plan, or once what is held is not held any more.
    fn goal(&self, pack: &PackFacts) -> Option<TreeDigest> {
        match pack.wants {
            _ if self.acts => pack.next,
            Wish::Tree(tree) if !pack.failed => Some(tree),
            Wish::Absent if !pack.failed => None,
            _ => pack.runs,
        }
    }

    /// Whether a pack would be another one afterwards.
    pub fn moves(&self) -> bool {
        (self.acts || self.held) && self.packs.values().any(|pack| self.goal(pack) != pack.runs)
    }
}

/// All that a gate looks at.
#[derive(Debug, Clone, Copy)]
pub struct Gates<'a> {
    /// The stages, in order; none: only windows and pauses count.
    pub stages: &'a [Stage],
    /// Who is there. Of a deployment that is not, nothing is known.
    pub facts: &'a BTreeMap<DeploymentName, Facts>,
    /// Deployments of which packfleet moves nothing.
    pub observed: &'a BTreeSet<DeploymentName>,
    /// Who is between switch and quick checks.
    pub busy: &'a BTreeSet<DeploymentName>,
    /// The time.
    pub now: Timestamp,
}

impl Gates<'_> {
    /// Why a deployment is left as it is for now, in the order in which that bites; nothing: it may be changed.
    pub fn reasons(&self, deployment: &Deployment) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let name = &deployment.name;
        let Some(facts) = self.facts.get(name).filter(|facts| facts.acts || facts.held) else {
            return reasons;
        };
        if deployment.mode == Mode::Observe {
            return reasons;
        }
        let own = stage_of(self.stages, name);
        for (pack, known) in &facts.packs {
            let goal = facts.goal(known);
            let Some(own) = own.filter(|_| goal != known.runs) else { continue };
            match self.stopped(own, pack, goal) {
                Some(stopped) => reasons.push(stopped),
                None => reasons.extend(self.waits(own, pack, goal)),
            }
        }
        reasons.sort_by_key(|reason| !matches!(reason, Reason::Stopped { .. }));
        reasons.extend(self.pause(deployment, facts));
        if let Some(window) = &deployment.window
            && let Opening::Closed { opens } = opening(window, self.now)
        {
            reasons.push(Reason::Window { window: window.text.clone(), clears: opens });
        }
        if let Some((own, at_once)) = own.and_then(|own| Some((own, self.stages[own].at_once()?))) {
            let members = &self.stages[own].members;
            let busy: BTreeSet<_> =
                self.busy.iter().filter(|busy| *busy != name && members.contains(*busy)).cloned().collect();
            if busy.len() >= at_once {
                reasons.push(Reason::Parallel { stage: own + 1, at_once, busy });
            }
        }
        reasons
    }

    /// The longer of the fleet file's pause and the host's.
    fn pause(&self, deployment: &Deployment, facts: &Facts) -> Option<Reason> {
        let file = deployment.pause.as_ref().map(|pause| (pause, PausedBy::FleetFile));
        let host = facts.pause.as_ref().map(|pause| (pause, PausedBy::Command));
        let holds = [file, host].into_iter().flatten().filter(|(pause, _)| pause.holds(self.now));
        let longest = holds.reduce(|a, b| if b.0.is_longer(a.0) { b } else { a });
        longest.map(|(pause, by)| Reason::Pause { reason: pause.reason.clone(), clears: pause.until, by })
    }

    /// The members of a stage that packfleet moves and that want this of a pack.
    fn wanting<'b>(
        &'b self,
        stage: &'b Stage,
        pack: &'b PackName,
        tree: Option<TreeDigest>,
    ) -> impl Iterator<Item = (&'b DeploymentName, &'b Facts, &'b PackFacts)> {
        stage.members.iter().filter(|name| !self.observed.contains(*name)).filter_map(move |name| {
            let facts = self.facts.get(name)?;
            let known = facts.packs.get(pack)?;
            let wants = match (known.wants, tree) {
                (Wish::Tree(wants), Some(tree)) => wants == tree,
                // What holds its version may want this very tree: it counts until that is settled.
                (Wish::Unknown, Some(_)) => true,
                // One that never had it has nothing to try.
                (Wish::Absent, None) => known.runs.is_some() || known.since.is_some(),
                _ => false,
            };
            wants.then_some((name, facts, known))
        })
    }

    /// Whether this of a pack failed in this stage or an earlier one more often than it may.
    fn stopped(&self, own: usize, pack: &PackName, tree: Option<TreeDigest>) -> Option<Reason> {
        self.stages.iter().enumerate().take(own + 1).find_map(|(number, stage)| {
            let (mut wanting, mut failed) = (0, Vec::new());
            for (name, facts, known) in self.wanting(stage, pack, tree) {
                wanting += 1;
                if has_failed(facts, known) {
                    failed.push(name.clone());
                }
            }
            // Where everybody failed nobody ran it, whatever may fail.
            let nobody = number < own && wanting > 0 && failed.len() == wanting;
            let stops = failed.len() as u64 > stage.max_failures || nobody;
            stops.then(|| Reason::Stopped {
                stage: number + 1,
                pack: pack.clone(),
                failed,
                allowed: stage.max_failures,
            })
        })
    }

    /// The first earlier stage that does not let this of a pack go on yet.
    fn waits(&self, own: usize, pack: &PackName, tree: Option<TreeDigest>) -> Option<Reason> {
        let (mut have, mut want) = (false, false);
        for (number, stage) in self.stages.iter().enumerate().take(own) {
            let mut lagging = BTreeMap::new();
            let mut last = None;
            for (name, facts, known) in self.wanting(stage, pack, tree) {
                want = true;
                if has_failed(facts, known) {
                    continue;
                }
                match lag(facts, known, tree, stage.soak, self.now) {
                    None => {}
                    Some((lag, over)) => {
                        lagging.insert(name.clone(), lag);
                        last = last.max(Some((over.is_none(), over)));
                    }
                }
            }
            // One that was not looked at may want it, and is not known to run it. Of a pack that goes, only a look
            // tells who has it still.
            let unknown = |name: &DeploymentName| match self.facts.get(name) {
                None => Some(Lag::NotYet),
                Some(facts) if tree.is_none() && !facts.packs.contains_key(pack) => facts.state.hidden(),
                Some(_) => None,
            };
            let members = stage.members.iter().filter(|name| !self.observed.contains(*name));
            let unknown: Vec<_> = members.filter_map(|name| Some((name.clone(), unknown(name)?))).collect();
            let clears = last.and_then(|(_, over)| over).filter(|_| unknown.is_empty());
            lagging.extend(unknown);
            if !lagging.is_empty() {
                let (soak, pack) = (stage.soak.as_secs(), pack.clone());
                return Some(Reason::Stage { stage: number + 1, pack, tree, soak, lagging, clears });
            }
            let mut members = stage.members.iter().filter(|name| !self.observed.contains(*name));
            have |= members.any(|name| {
                let known = self.facts.get(name).and_then(|facts| facts.packs.get(pack));
                known.is_some_and(|known| known.wants != Wish::Absent)
            });
        }
        let tree = tree.filter(|_| have && !want)?;
        Some(Reason::Untried { pack: pack.clone(), tree })
    }
}

/// Whether a deployment counts as a failure of what it wants.
fn has_failed(facts: &Facts, known: &PackFacts) -> bool {
    let runs = matches!(known.wants, Wish::Tree(tree) if known.runs == Some(tree));
    known.failed || facts.state == Fares::Ill && (runs || known.runs.is_none())
}

/// Why a deployment does not let it go on, and when that is over by itself; `None` if it does.
fn lag(
    facts: &Facts,
    known: &PackFacts,
    tree: Option<TreeDigest>,
    soak: Duration,
    now: Timestamp,
) -> Option<(Lag, Option<Timestamp>)> {
    if let Some(lag) = facts.state.hidden() {
        return Some((lag, None));
    }
    let lag = match facts.state {
        _ if known.runs != tree => Lag::NotYet,
        Fares::Watched | Fares::Busy => Lag::Watched,
        Fares::Well => match known.since {
            None if soak.is_zero() => return None,
            None => Lag::Ill,
            Some(since) => {
                let over = since.checked_add(soak).unwrap_or(Timestamp::MAX);
                return (now < over).then_some((Lag::Soaks, Some(over)));
            }
        },
        Fares::Ill | Fares::Offline | Fares::Unseen | Fares::Unheard => Lag::Ill,
    };
    Some((lag, None))
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
