//! A git repository as a source of packs.

use camino::Utf8Path;

use super::{PackSource, PackTree, Refs, SourceError, TreeRules};
use crate::model::fleet::Url;
use crate::model::pack::CommitId;
use crate::model::{Content, TreePath};

/// A git repository, read through a full bare mirror in the cache. Good for one run: the origin is asked
/// once, and what it said is remembered.
pub struct GitSource {}

impl GitSource {
    /// A source for `url` that keeps its mirror beneath `cache_dir`. Nothing is read or written yet.
    pub fn open(cache_dir: &Utf8Path, url: &Url) -> Self {
        let _ = (cache_dir, url);
        todo!()
    }
}

impl PackSource for GitSource {
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
