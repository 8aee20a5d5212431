//! The order of things: from a fleet file and hosts to outcomes.
//!
//! ```text
//! workspace  read fleet.toml, includes, overlays; open sources
//! resolve    requirements ─► pins ─► rendered packs, once per fleet
//! pass       one deployment: observe · judge · merge · plan        (survey)
//!            and carry that very plan out                          (apply)
//! fleet      many deployments: dependency order, parallel, who waits for whom
//! adopt      a root that was filled by hand: the version nearest to it becomes the base
//! capture    what was edited on hosts ─► overlays in the fleet repository
//! export     the same, or overlays    ─► a commit for the pack's repository
//! against    what a change of the fleet repository causes: two fleets' plans for the same hosts
//! doctor     what hosts, sources and this machine are fit for; and what makes a new host fit
//! status     what hosts hold, published; and plans from that alone, without a host
//! saved      plans in a file: what was agreed to is carried out, or refused by name
//! decide     rollback, resolve, retry, saved edits: each is a plan of its own kind
//! ```
//!
//! Nothing here decides what happens to a path (the planner does) or touches one (the host does).

pub mod adopt;
pub mod against;
mod alike;
mod bases;
pub mod capture;
pub mod care;
pub mod checks;
pub mod contents;
pub mod decide;
pub mod doctor;
pub mod edited;
pub mod export;
pub mod fleet;
mod forward;
mod gates;
mod glance;
mod guard;
mod host_keys;
pub mod inspect;
pub mod lock;
pub mod mask;
mod narrow;
pub mod orphans;
pub mod outdated;
pub mod overlay;
pub mod pass;
pub mod pauses;
mod pin;
pub mod remembered;
pub mod report;
mod repository;
pub mod resolve;
pub mod rollback;
pub mod saved;
pub mod settings;
mod sketch;
pub mod status;
pub mod strict;
pub mod whereabouts;
pub mod working_tree;
pub mod workspace;

pub use report::{Failure, Hurried, Outcome, Report, Survey, Wait};
pub use status::publish_status;
pub use workspace::{LoadError, Workspace};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::Timestamp;

use crate::host::{Trust, by_now};
use crate::model::DeploymentName;

/// How a command wants its passes done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Deployments at a time; `None`: as fleet.toml says, or what suits.
    pub jobs: Option<usize>,
    /// Whether stat caches may be believed.
    pub trust: Trust,
    /// Whether unmanaged entries of the targets are listed.
    pub list: Unmanaged,
    /// Whether an interrupted switch is recovered first (apply, rollback) or reported (readers).
    pub recover: Recover,
    /// What a host is that does not answer.
    pub offline: Offline,
    /// What becomes of a deployment whose root is gone.
    pub gone: Gone,
    /// Whether the run is to begin nothing more.
    pub stop: Stop,
    /// Why stages, windows and pauses are not waited for, if they are not.
    pub hurry: Option<String>,
    /// The time that VERSION, log and history will show.
    pub now: Timestamp,
    /// When it was that, if time passes.
    pub begun: Option<Instant>,
    /// Who publishes what a pass saw; `None`: nobody.
    pub voice: Option<Arc<status::Voice>>,
}

impl Options {
    /// What time it is by now.
    pub fn by_now(&self) -> Timestamp {
        by_now(self.now, self.begun)
    }
}

/// What a host is that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// Something that passes: its deployments wait.
    Waits,
    /// An error.
    Fails,
}

/// What becomes of a deployment whose root was there before and is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It is said, and all is installed anew.
    Say,
    /// It is held: nobody would read what is said.
    Hold,
}

/// A wish that a run begin nothing more; what is under way is finished. All copies are one.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Wishes it.
    pub fn wish(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was wished.
    pub fn is_wished(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether unmanaged entries are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmanaged {
    /// They are not looked for.
    Ignore,
    /// They are.
    List,
}

/// What to do about an interrupted switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recover {
    /// Say so; change nothing.
    Report,
    /// Finish or undo it, under the lock.
    Now,
    /// That, and go on watching a generation whose watcher died, or look again how an ill one fares.
    Whole,
    /// All that, and look how it fares however long it has been well: others are about to follow it.
    Asked,
}

impl Recover {
    /// Whether checks run where they are due.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Asked)
    }
}

/// Something that happened, for progress bars and logs. Losing one is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Sources are asked and packs rendered: so many of so many.
    Resolving {
        /// Done.
        done: usize,
        /// In all.
        of: usize,
    },
    /// A look at a deployment begins.
    Looking(DeploymentName),
    /// It ended.
    Looked(DeploymentName),
    /// A plan is being carried out.
    Applying(DeploymentName),
    /// That ended, one way or another.
    Applied(DeploymentName),
}

/// Who is told of events. Called from several threads.
pub trait Events: Sync {
    /// Takes note.
    fn event(&self, event: Event);
}

/// Nobody.
impl Events for () {
    fn event(&self, _event: Event) {}
}
