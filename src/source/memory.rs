//! A source in memory, for tests of the floors above.

use super::{PackSource, PackTree, Refs, SourceError, TreeRules};
use crate::model::pack::CommitId;
use crate::model::{Content, Kind, TreePath};

/// Commits, tags and branches in memory; the origin can be taken away.
#[derive(Default)]
pub struct MemorySource {}

impl MemorySource {
    /// An empty source.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a commit with these files (path from the top of the source, kind, bytes).
    ///
    /// # Panics
    /// If a path is no [`TreePath`].
    pub fn commit(&self, files: &[(&str, Kind, &[u8])]) -> CommitId {
        let _ = files;
        todo!()
    }

    /// Sets a tag; `None` makes one that leads to no commit.
    pub fn tag(&self, name: &str, commit: Option<&CommitId>) {
        let _ = (name, commit);
        todo!()
    }

    /// Sets a branch.
    pub fn branch(&self, name: &str, commit: &CommitId) {
        let _ = (name, commit);
        todo!()
    }

    /// Whether the origin answers from now on.
    pub fn set_origin(&self, origin: Origin) {
        let _ = origin;
        todo!()
    }
}

/// Whether an origin answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// It does.
    #[default]
    Reachable,
    /// It does not.
    Unreachable,
}

impl PackSource for MemorySource {
    fn refresh(&self) -> Result<Refs, SourceError> {
        todo!()
    }

    fn known(&self) -> Result<Refs, SourceError> {
        todo!()
    }

    fn commit(&self, rev: &str) -> Result<CommitId, SourceError> {
        let _ = rev;
        todo!()
    }

    fn tree(
        &self,
        commit: Option<&CommitId>,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<PackTree, SourceError> {
        let _ = (commit, dirs, rules);
        todo!()
    }

    fn bytes(&self, commit: Option<&CommitId>, content: Content) -> Result<Vec<u8>, SourceError> {
        let _ = (commit, content);
        todo!()
    }

    fn pin(&self, commits: &[CommitId]) -> Result<(), SourceError> {
        let _ = commits;
        todo!()
    }
}
