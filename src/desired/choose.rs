//! Which commit a requirement means, given the refs of a source.

use crate::model::TreeDigest;
use crate::model::pack::{CommitId, Pack, Pin, Refs, Requirement};

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The semantic version, if a tag that fits the pattern was chosen.
    pub version: Option<semver::Version>,
    /// The tag or branch, or the revision as written.
    pub found_by: String,
    /// Which commit.
    pub at: Wanted,
}

/// A commit, or what the source must still resolve to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Commit(CommitId),
    /// A full or abbreviated id, to be resolved by the source.
    Rev(String),
}

impl Chosen {
    /// The version label: the semantic version, else the short commit id.
    pub fn label(&self, commit: &CommitId) -> String {
        self.version.as_ref().map_or_else(|| commit.short().to_owned(), ToString::to_string)
    }

    /// The pin, once commit and tree are known.
    pub fn pin(&self, commit: CommitId, tree: TreeDigest) -> Pin {
        Pin { version: self.label(&commit), found_by: self.found_by.clone(), commit: Some(commit), tree }
    }
}

/// Why nothing could be chosen: a version hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// Placeholder.
    #[error("nothing fits")]
    Nothing,
}

/// Chooses the commit of `pack` that `requirement` asks for.
pub fn choose(pack: &Pack, requirement: &Requirement, refs: &Refs) -> Result<Chosen, ChooseError> {
    let _ = (pack, requirement, refs);
    todo!()
}
