//! What can go wrong with a host: what was being done, to what, and why not.
//!
//! Whoever is told of an error over a wire gets its words alone: [`Told`].

use std::borrow::Cow;

use super::{BlobError, EditId};
use crate::model::cause::chain;
use crate::model::{HostPath, TreePath};

/// A failed effect on a host. Each names what was being done to what; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The root is not what it must be.
    #[error("root {root}: {why}")]
    Root {
        /// The root.
        root: HostPath,
        /// What is wrong with it.
        why: String,
    },
    /// The state directory cannot be trusted.
    #[error("state directory {root}/.packfleet is refused: {why}")]
    State {
        /// The root.
        root: HostPath,
        /// Why.
        why: String,
    },
    /// Another run holds the lock.
    #[error("{root} is locked by {by}")]
    Locked {
        /// The root.
        root: HostPath,
        /// Who, as far as the lock file says.
        by: String,
    },
    /// The record or journal does not decode.
    #[error("{what} of {root}")]
    Damaged {
        /// Which file.
        what: Cow<'static, str>,
        /// The root.
        root: HostPath,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plan was made for another state of this host.
    #[error("{root} moved on since the plan was made: planned from generation {planned}, found {found}")]
    Stale {
        /// The root.
        root: HostPath,
        /// The plan's generation.
        planned: u64,
        /// The host's.
        found: u64,
    },
    /// A path cannot be switched as promised (owner, mode, mount, immutable, …): found before the
    /// commit point, nothing was touched.
    #[error("{path}: {why}")]
    Unfit {
        /// Which path.
        path: TreePath,
        /// Why.
        why: String,
    },
    /// A system call failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was being done.
        operation: Cow<'static, str>,
        /// To what, relative to the root where it lies beneath it.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Bytes changed between look and read.
    #[error("{path} changed while it was looked at")]
    Changed {
        /// Which path.
        path: TreePath,
    },
    /// Bytes that the plan needs are not to be had.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// No such saved edit.
    #[error("there is no saved edit {0} on this host")]
    NoEdit(EditId),
    /// The switch is past its commit point and could not finish; the next apply goes on with it.
    #[error("the switch to generation {generation} is past its commit point and could not finish: {why}")]
    Pending {
        /// The generation that was being made.
        generation: u64,
        /// What stopped it.
        why: String,
    },
    /// The host was not reached: nothing happened there.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Where it is.
        host: String,
        /// What ssh, or the host, said.
        #[source]
        source: Told,
    },
    /// The connection ended in the middle.
    #[error("the connection to {host} ended while {doing}")]
    Cut {
        /// Where it is.
        host: String,
        /// What was being done.
        doing: &'static str,
        /// What is known of the cause.
        #[source]
        source: Told,
    },
    /// The host was reached, and no session with an agent there came about, or it was broken off.
    #[error("the agent on {host}: {why}")]
    Agent {
        /// Where it is.
        host: String,
        /// Why.
        why: String,
    },
    /// What a host said, in its words.
    #[error(transparent)]
    Told(Told),
}

/// An error that was told over a wire: its words, and those of its cause.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct Told {
    text: String,
    #[source]
    source: Option<Box<Told>>,
}

impl Told {
    /// The words of an error and of its causes, outermost first.
    pub fn new(words: impl IntoIterator<Item = String, IntoIter: DoubleEndedIterator>) -> Self {
        let chain = words
            .into_iter()
            .rev()
            .fold(None, |source, text| Some(Self { text, source: source.map(Box::new) }));
        chain.unwrap_or_else(|| Self { text: "no reason was given".into(), source: None })
    }

    /// The words of an error and of its causes.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(chain(error))
    }
}
