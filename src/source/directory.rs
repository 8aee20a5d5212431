//! A plain directory as a source: for a pack under development.

use camino::Utf8Path;

use super::{PackSource, PackTree, Refs, SourceError, TreeRules};
use crate::model::pack::CommitId;
use crate::model::{Content, TreePath};

/// A plain directory. Good for one run: a tree is read once, and remembered.
pub struct DirectorySource {}

impl DirectorySource {
    /// A source for the directory at `path` (absolute) that keeps blobs it served beneath `cache_dir`.
    pub fn open(cache_dir: &Utf8Path, path: &Utf8Path) -> Self {
        let _ = (cache_dir, path);
        todo!()
    }
}

impl PackSource for DirectorySource {
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
