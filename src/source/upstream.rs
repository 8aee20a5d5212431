//! The fleet repository at its remote: one branch of it, read from a mirror in the cache.
//!
//! The remote is asked with one ref query, and what is new is brought in with the same connection. The branch is
//! read commit by commit; nothing is checked out. What a commit must be to count (signed, not behind an earlier
//! one) is decided above: here one asks.

use camino::{Utf8Path, Utf8PathBuf};

use super::signature::{self, Object, SignatureError, Signer};
use super::snapshot::Snapshot;
use super::{GitSource, PackSource, SourceError};
use crate::model::fleet::Url;
use crate::model::pack::CommitId;

/// A branch of a repository elsewhere.
#[derive(Debug, Clone)]
pub struct Upstream {
    cache: Utf8PathBuf,
    url: Url,
    branch: String,
}

/// Where the branch was when the remote was asked.
pub struct Tip {
    /// The commit.
    pub commit: CommitId,
    source: GitSource,
}

impl Upstream {
    /// Nothing is asked yet.
    pub fn new(cache: &Utf8Path, url: Url, branch: &str) -> Self {
        Self { cache: cache.to_owned(), url, branch: branch.to_owned() }
    }

    /// The repository; it prints masked.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The branch.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// Asks the remote where the branch is, and brings in what is new.
    pub fn ask(&self) -> Result<Tip, SourceError> {
        let source = GitSource::open(&self.cache, &self.url);
        let refs = source.refresh()?;
        let found = refs.branches.into_iter().find(|branch| branch.name == self.branch);
        let commit = found.and_then(|branch| branch.commit);
        let commit = commit
            .ok_or_else(|| SourceError::Unknown(format!("{} has no branch {:?}", self.url, self.branch)))?;
        Ok(Tip { commit, source })
    }

    /// A commit that was brought in before.
    pub fn at(&self, commit: &CommitId) -> Tip {
        Tip { commit: commit.clone(), source: GitSource::open(&self.cache, &self.url) }
    }
}

impl Tip {
    /// The files that it has below a directory; "" is the top.
    pub fn snapshot(&self, below: &Utf8Path) -> Result<Snapshot, SourceError> {
        Snapshot::of_bare(self.source.mirror_path(), &self.commit, below)
    }

    /// Whether an earlier commit is an ancestor of it, or it itself. One that the repository no longer has is none.
    pub fn follows(&self, earlier: &CommitId) -> Result<bool, SourceError> {
        if *earlier == self.commit {
            return Ok(true);
        }
        match self.source.merge_base(earlier, &self.commit) {
            Ok(base) => Ok(base.as_ref() == Some(earlier)),
            Err(error) => match self.source.object(earlier) {
                Err(_) => Ok(false),
                Ok(_) => Err(error),
            },
        }
    }

    /// Who signed it, by a list of allowed signers.
    pub fn signer(&self, allowed: &str) -> Result<Result<Signer, SignatureError>, SourceError> {
        let raw = self.source.object(&self.commit)?;
        Ok(signature::verify(Object::Commit { id: self.commit.as_str(), raw: &raw }, allowed))
    }

    /// Keeps the commit reachable in the mirror, whatever the remote does.
    pub fn keep(&self) -> Result<(), SourceError> {
        self.source.pin(std::slice::from_ref(&self.commit))
    }
}
