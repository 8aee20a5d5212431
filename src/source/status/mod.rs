//! Where statuses are published: one word per deployment, replaced as a whole, and only by who saw the one before.
//!
//! ```text
//! publish: word (stamp, signature, manifest) + the version that it replaces ─► taken | overtaken
//! fetch:   everything that is published, in one question
//! ```
//! A store keeps and hands out bytes, and believes nothing: who may say what is checked by whoever reads. Every
//! form answers to one contract suite. Deliberately absent: any history. The next word takes the place of the last.

pub mod directory;
pub mod git;
pub mod insist;
pub mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use directory::DirectoryStatus;
pub use git::GitStatus;
pub use insist::{PostError, insist};
pub use memory::MemoryStatus;

use super::SourceError;
use crate::model::DeploymentName;

/// Most bytes of a manifest that are read.
pub const MAX_MANIFEST: usize = 64 << 20;
/// Most bytes of a stamp that are read.
pub const MAX_STAMP: usize = 64 << 10;

/// Names one word among all that a deployment ever published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Version(pub String);

/// What is published of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Names it.
    pub version: Version,
    /// The stamp's text, and its signature.
    pub stamp: String,
    /// The manifest's text; deployments with the same one share it.
    pub manifest: Arc<str>,
}

/// A word to be published.
#[derive(Debug, Clone)]
pub struct Post {
    /// Of which deployment.
    pub deployment: DeploymentName,
    /// The word that it replaces, and no other; `None`: there is none.
    pub replaces: Option<Version>,
    /// The stamp's text, and its signature.
    pub stamp: String,
    /// The manifest's text.
    pub manifest: Arc<str>,
}

/// What became of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It is published.
    Taken(Version),
    /// Another word stands there than the one that it replaces: look, and say it anew.
    Overtaken,
    /// The store did not take it, in its words.
    Refused(String),
}

/// All that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// By deployment.
    pub words: BTreeMap<DeploymentName, Word>,
    /// What stands there and is no word.
    pub damaged: BTreeMap<DeploymentName, Damage>,
}

impl Published {
    /// Names what stands there for a deployment, word or not: what the next one replaces.
    pub fn version(&self, name: &DeploymentName) -> Option<&Version> {
        match self.words.get(name) {
            Some(word) => Some(&word.version),
            None => self.damaged.get(name)?.version.as_ref(),
        }
    }
}

/// What stands in the place of a word and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Names it; `None`: it cannot be read at all.
    pub version: Option<Version>,
    /// What is wrong.
    pub why: String,
}

/// Whose words are read.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// Everybody's.
    All,
    /// These alone.
    Some(&'a BTreeSet<DeploymentName>),
}

impl Of<'_> {
    /// Whether a deployment is meant.
    pub fn means(&self, name: &DeploymentName) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }
}

/// A place where statuses are published. All calls block.
pub trait StatusStore: Send + Sync {
    /// Reads what is published now.
    fn fetch(&self, of: Of<'_>) -> Result<Published, SourceError>;

    /// Publishes words, each alone: one answer for each, in their order. A word that replaces what does not stand
    /// there changes nothing. An error: none of them is known to be published.
    fn publish(&self, posts: &[Post]) -> Result<Vec<Posted>, SourceError>;
}
