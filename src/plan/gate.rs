//! Gates: whether a deployment may be changed at this moment, and if not, why not and what clears that.
//!
//! ```text
//! what runs where, since when, healthy? ─┐
//! stages, windows, pauses, time ─────────┴─► for one deployment: reasons, in the order in which they bite
//! ```
//! A deployment of a later stage moves to a pack tree only when every deployment of the earlier stages which wants
//! that very tree runs it, and has been well for its stage's soak; and where earlier stages have the pack at all,
//! one of them must want it. What a tree is rendered to (overlays laid over it, the install map) is staged as well:
//! see [`Step::bears_on`] for who tries it for whom. Failures that a stage may have (`max_failures`) are not waited for; more than that
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
use crate::model::pack::InstallMap;
use crate::model::rollout::{Pause, Stage, stage_of};
use crate::model::{DeploymentName, DesiredDigest, OverlayName, PackName, TreeDigest};

/// One deployment as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Every pack that it has or should have.
    pub packs: BTreeMap<PackName, PackFacts>,
    /// Whether a plan has something to do there.
    pub acts: bool,
    /// Whether a plan has nothing to do there because all of it is held.
    pub held: bool,
    /// Whether what is noted there of soaking was lost: nobody knows since when a pack is gone that is not there.
    pub unnoted: bool,
    /// How it fares.
    pub state: Fares,
    /// The pause that is kept on the host.
    pub pause: Option<Pause>,
    /// Of when the status is that this was made from.
    pub heard: Option<Timestamp>,
}

/// What of a pack lies on a deployment, or should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Laid {
    /// The pack's tree, before overlays.
    pub tree: TreeDigest,
    /// What it is rendered to there.
    pub desired: DesiredDigest,
    /// What is laid over it.
    pub overlays: BTreeSet<OverlayName>,
    /// Where it is installed.
    pub install: InstallMap,
}

impl Laid {
    /// Whether the same lies there, whatever its overlays are called.
    fn same(a: Option<&Self>, b: Option<&Self>) -> bool {
        let key = |laid: &Self| (laid.tree, laid.desired);
        a.map(key) == b.map(key)
    }
}

/// One pack there; `None` is "not installed".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFacts {
    /// What is installed.
    pub runs: Option<Laid>,
    /// Since when it has been well with that; `None`: it is not, or that is not known.
    pub since: Option<Timestamp>,
    /// What the fleet file leads to.
    pub wants: Wish,
    /// What a plan would leave there: what is wanted, unless something holds the pack.
    pub next: Option<Laid>,
    /// Whether what is wanted was tried there and failed.
    pub failed: bool,
}

/// What the fleet file leads to for one pack on one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// This.
    Laid(Laid),
    /// It should not be there.
    Absent,
    /// That could not be told.
    Unknown,
}

impl PackFacts {
    /// Whether it would be another one afterwards.
    pub fn moves(&self) -> bool {
        !Laid::same(self.runs.as_ref(), self.next.as_ref())
    }

    /// Whether what is wanted is installed.
    pub fn is_as_wanted(&self) -> bool {
        matches!(&self.wants, Wish::Laid(laid) if Laid::same(self.runs.as_ref(), Some(laid)))
    }
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

/// What of a pack is another one after a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Its tree.
    Tree,
    /// What the same tree is rendered to: an overlay, or where it is installed.
    Rendering,
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
        /// What of it is another one.
        change: Change,
        /// How long that stage soaks, in seconds.
        soak: u64,
        /// Who does not let it go on yet, and why.
        lagging: BTreeMap<DeploymentName, Lag>,
        /// Of when the status is that is too old to count on, of those that have one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        heard: BTreeMap<DeploymentName, Timestamp>,
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
    fn goal<'a>(&self, pack: &'a PackFacts) -> Option<&'a Laid> {
        match &pack.wants {
            _ if self.acts => pack.next.as_ref(),
            Wish::Laid(laid) if !pack.failed => Some(laid),
            Wish::Absent if !pack.failed => None,
            _ => pack.runs.as_ref(),
        }
    }

    /// Whether a pack would be another one afterwards.
    pub fn moves(&self) -> bool {
        let moves = |pack: &PackFacts| !Laid::same(self.goal(pack), pack.runs.as_ref());
        (self.acts || self.held) && self.packs.values().any(moves)
    }
}

/// From what to what a pack of one deployment would go.
#[derive(Debug, Clone, Copy)]
struct Step<'a> {
    pack: &'a PackName,
    from: Option<&'a Laid>,
    to: Option<&'a Laid>,
}

impl Step<'_> {
    fn tree(&self) -> Option<TreeDigest> {
        self.to.map(|to| to.tree)
    }

    fn change(&self) -> Change {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from.tree == to.tree => Change::Rendering,
            _ => Change::Tree,
        }
    }

    fn is_elsewhere(&self) -> bool {
        self.from.map(|from| &from.install) != self.to.map(|to| &to.install)
    }

    /// Whether a deployment that wants this, and has it in common with the one that would go, tries what it is
    /// rendered to there. Overlays may differ by intent, so that the renderings need not be equal: an overlay in
    /// common is tried; so is all that is not an overlay by whoever has none, and where it is installed by everybody.
    fn shares(&self, wants: &Laid) -> bool {
        let own = || [self.from, self.to].into_iter().flatten().flat_map(|laid| &laid.overlays);
        self.to.is_some_and(|to| to.desired == wants.desired)
            || wants.overlays.is_empty()
            || own().any(|overlay| wants.overlays.contains(overlay))
            || self.change() == Change::Rendering && (own().next().is_none() || self.is_elsewhere())
    }

    /// Whether what a deployment wants of the pack bears on this.
    fn bears_on(&self, known: &PackFacts) -> bool {
        match (&known.wants, self.to) {
            (Wish::Laid(wants), Some(to)) => {
                wants.tree == to.tree && (self.change() == Change::Tree || self.shares(wants))
            }
            // What holds its version may want this very tree: it counts until that is settled.
            (Wish::Unknown, Some(_)) => true,
            // One that never had it has nothing to try.
            (Wish::Absent, None) => known.runs.is_some() || known.since.is_some(),
            _ => false,
        }
    }

    /// Whether a deployment that [bears](Self::bears_on) on this runs what it has to.
    fn is_run(&self, known: &PackFacts) -> bool {
        let tree = known.runs.as_ref().map(|runs| runs.tree) == self.tree();
        match &known.wants {
            Wish::Laid(wants) if self.shares(wants) => Laid::same(known.runs.as_ref(), Some(wants)),
            Wish::Unknown if self.change() == Change::Rendering => Laid::same(known.runs.as_ref(), self.to),
            _ => tree,
        }
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
            let step = Step { pack, from: known.runs.as_ref(), to: facts.goal(known) };
            let Some(own) = own.filter(|_| !Laid::same(step.from, step.to)) else { continue };
            match self.stopped(own, step) {
                Some(stopped) => reasons.push(stopped),
                None => reasons.extend(self.waits(own, step)),
            }
        }
        reasons.sort_by_key(|reason| !matches!(reason, Reason::Stopped { .. }));
        reasons.extend(paused(deployment, facts.pause.as_ref(), self.now));
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

    /// The members of a stage that packfleet moves and that bear on a step.
    fn trying<'b>(
        &'b self,
        stage: &'b Stage,
        step: Step<'b>,
    ) -> impl Iterator<Item = (&'b DeploymentName, &'b Facts, &'b PackFacts)> {
        stage.members.iter().filter(|name| !self.observed.contains(*name)).filter_map(move |name| {
            let facts = self.facts.get(name)?;
            let known = facts.packs.get(step.pack)?;
            step.bears_on(known).then_some((name, facts, known))
        })
    }

    /// Whether this of a pack failed in this stage or an earlier one more often than it may.
    fn stopped(&self, own: usize, step: Step<'_>) -> Option<Reason> {
        self.stages.iter().enumerate().take(own + 1).find_map(|(number, stage)| {
            let (mut wanting, mut failed) = (0, Vec::new());
            for (name, facts, known) in self.trying(stage, step) {
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
                pack: step.pack.clone(),
                failed,
                allowed: stage.max_failures,
            })
        })
    }

    /// The first earlier stage that does not let this of a pack go on yet.
    fn waits(&self, own: usize, step: Step<'_>) -> Option<Reason> {
        let (pack, tree) = (step.pack, step.tree());
        let (mut have, mut want) = (false, false);
        for (number, stage) in self.stages.iter().enumerate().take(own) {
            let mut lagging = BTreeMap::new();
            let mut last = None;
            for (name, facts, known) in self.trying(stage, step) {
                want = true;
                if has_failed(facts, known) {
                    continue;
                }
                match lag(facts, known, step, stage.soak, self.now) {
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
                Some(facts) if tree.is_none() && !facts.packs.contains_key(pack) => {
                    let lost = facts.unnoted && !stage.soak.is_zero();
                    facts.state.hidden().or(lost.then_some(Lag::Ill))
                }
                Some(_) => None,
            };
            let members = stage.members.iter().filter(|name| !self.observed.contains(*name));
            let unknown: Vec<_> = members.filter_map(|name| Some((name.clone(), unknown(name)?))).collect();
            let clears = last.and_then(|(_, over)| over).filter(|_| unknown.is_empty());
            lagging.extend(unknown);
            if !lagging.is_empty() {
                let (soak, pack, change) = (stage.soak.as_secs(), pack.clone(), step.change());
                let unheard = lagging.iter().filter(|(_, lag)| **lag == Lag::Unheard);
                let heard =
                    unheard.filter_map(|(name, _)| Some((name.clone(), self.facts.get(name)?.heard?)));
                let (stage, heard) = (number + 1, heard.collect());
                return Some(Reason::Stage { stage, pack, tree, change, soak, lagging, heard, clears });
            }
            let mut members = stage.members.iter().filter(|name| !self.observed.contains(*name));
            have |= members.any(|name| {
                let known = self.facts.get(name).and_then(|facts| facts.packs.get(pack));
                known.is_some_and(|known| known.wants != Wish::Absent)
            });
        }
        // The same tree runs there already: what is rendered otherwise is tried where it can be, and waits for nobody
        // where it cannot.
        let tree = tree.filter(|_| step.change() == Change::Tree && have && !want)?;
        Some(Reason::Untried { pack: pack.clone(), tree })
    }
}

/// The pause of a deployment, whatever it has to do: the longer of the fleet file's and the host's.
pub fn paused(deployment: &Deployment, host: Option<&Pause>, now: Timestamp) -> Option<Reason> {
    let file = deployment.pause.as_ref().map(|pause| (pause, PausedBy::FleetFile));
    let host = host.map(|pause| (pause, PausedBy::Command));
    let holds = [file, host].into_iter().flatten().filter(|(pause, _)| pause.holds(now));
    let longest = holds.reduce(|a, b| if b.0.is_longer(a.0) { b } else { a });
    longest.map(|(pause, by)| Reason::Pause { reason: pause.reason.clone(), clears: pause.until, by })
}

/// Whether a deployment counts as a failure of what it wants.
fn has_failed(facts: &Facts, known: &PackFacts) -> bool {
    known.failed || facts.state == Fares::Ill && (known.is_as_wanted() || known.runs.is_none())
}

/// Why a deployment does not let it go on, and when that is over by itself; `None` if it does.
fn lag(
    facts: &Facts,
    known: &PackFacts,
    step: Step<'_>,
    soak: Duration,
    now: Timestamp,
) -> Option<(Lag, Option<Timestamp>)> {
    if let Some(lag) = facts.state.hidden() {
        return Some((lag, None));
    }
    let lag = match facts.state {
        _ if !step.is_run(known) => Lag::NotYet,
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
