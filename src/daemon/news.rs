//! What the loop tells those who show it: a log, a page, metrics, messages.
//!
//! Audiences are told in the order in which things happened, by the task that owns the loop: they take note and
//! return. What takes long (a request, a rendering) they do elsewhere.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::queue::Kind;
use crate::engine::{Report, Workspace};
use crate::model::SourceName;
use crate::model::pack::CommitId;

/// Something that is worth showing.
#[derive(Debug)]
pub enum News<'a> {
    /// The loop begins.
    Begun {
        /// How anybody tells it that something happened.
        trigger: &'a super::event::Trigger,
    },
    /// A fleet is in force from now on, or with other versions of its sources.
    Fleet {
        /// It.
        workspace: &'a Arc<Workspace>,
        /// The commit that it was read from; `None` for a checkout.
        commit: Option<&'a CommitId>,
    },
    /// What should be in force is not: it cannot be read, does not validate, or is refused. The last good fleet, if
    /// there is one, stays in force.
    Trouble {
        /// What is wrong.
        trouble: &'a super::origin::Trouble,
        /// Whether there is a fleet in force.
        in_force: bool,
    },
    /// That is over.
    TroubleOver,
    /// Git was asked: sources that did not answer, with the reason; an empty list if all did.
    Asked {
        /// When.
        at: Timestamp,
        /// Those that did not answer.
        errors: &'a [(SourceName, String)],
    },
    /// Deployments were looked at.
    Looked {
        /// The fleet that they belong to.
        workspace: &'a Arc<Workspace>,
        /// What was found, in dependency order; those that were not selected were only looked at.
        reports: &'a [Report],
        /// The pass.
        pass: &'a Pass,
    },
    /// The loop ends: what is under way is finished, nothing more is begun.
    Stopping,
}

/// Facts of one look or pass.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What kind.
    pub kind: Kind,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// Who is told.
pub trait Audience: Send {
    /// Takes note.
    fn hear(&mut self, news: &News<'_>);
}
