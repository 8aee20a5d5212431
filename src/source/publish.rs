//! Commits that packfleet makes: on a new branch of a repository, beside whatever is checked out there.
//!
//! Only objects and one new ref are written. Index, working tree, HEAD and every other ref stay as they are, so that
//! nobody's work is in the way and no hook runs. Whoever commits is read from git's own configuration; the time
//! is the caller's.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FileMode, Oid, Repository, Signature, Time, Tree};
use jiff::Timestamp;

use crate::model::pack::CommitId;
use crate::model::{Kind, TreePath};

use super::libgit2;

/// Files by their path; `None` goes away.
pub type Files = BTreeMap<TreePath, Option<(Kind, Vec<u8>)>>;

/// Why nothing was committed or pushed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No repository, or one without a commit.
    #[error("{0} lies in no git repository with a commit")]
    NoRepository(Utf8PathBuf),
    /// No name for a branch.
    #[error("git allows no branch of the name {0:?}")]
    Name(String),
    /// There is one already.
    #[error("there is a branch {0} already: take another name")]
    Exists(String),
    /// A file is not what the last commit has.
    #[error("{0} is not as it was committed last: commit it first, or leave --branch out")]
    Uncommitted(TreePath),
    /// Git does not know who commits.
    #[error("git does not know who commits: set user.name and user.email")]
    Nobody(#[source] git2::Error),
    /// Objects or refs cannot be read or written.
    #[error("cannot {operation} in {repository}")]
    Git {
        /// What was being done.
        operation: &'static str,
        /// Where.
        repository: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// The mirror cannot be used.
    #[error(transparent)]
    Source(#[from] super::SourceError),
    /// Somebody changed the same lines on the branch.
    #[error(
        "{path} was changed on branch {branch} as well, in the same lines: take another name for the branch"
    )]
    Diverged {
        /// The branch.
        branch: String,
        /// In the pack's coordinates.
        path: TreePath,
    },
    /// A branch that is never pushed to.
    #[error("{0} is protected: take another name for the branch")]
    Protected(String),
    /// The remote does not answer, or cannot be pushed to.
    #[error("cannot push to {url}")]
    Unreachable {
        /// Masked.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// The remote said no.
    #[error("{url} did not take branch {branch}: {why}")]
    Refused {
        /// Masked.
        url: String,
        /// The branch.
        branch: String,
        /// Its words.
        why: String,
    },
}

/// Refuses what git does not allow as the name of a branch.
pub fn branch_name(name: &str) -> Result<(), PublishError> {
    libgit2::settle();
    match git2::Branch::name_is_valid(name) {
        Ok(true) if !name.starts_with('-') => Ok(()),
        _ => Err(PublishError::Name(name.to_owned())),
    }
}

/// Commits files on a new branch of the repository in which `directory` lies, on top of what is checked out.
/// Paths are relative to `directory`. Each file that is there must be as it was committed last, so that nothing
/// else comes along.
pub fn commit_beside(
    directory: &Utf8Path,
    files: &Files,
    branch: &str,
    message: &str,
    now: Timestamp,
) -> Result<CommitId, PublishError> {
    branch_name(branch)?;
    let nowhere = || PublishError::NoRepository(directory.to_owned());
    let repository = Repository::discover(directory).map_err(|_| nowhere())?;
    let head = repository.head().and_then(|head| head.peel_to_commit()).map_err(|_| nowhere())?;
    let git = |operation| {
        let repository = directory.to_string();
        move |source| PublishError::Git { operation, repository, source }
    };
    if repository.find_branch(branch, git2::BranchType::Local).is_ok() {
        return Err(PublishError::Exists(branch.to_owned()));
    }
    let prefix = prefix(&repository, directory).ok_or_else(nowhere)?;
    let tree = head.tree().map_err(git("read the last commit"))?;
    let mut placed = BTreeMap::new();
    for (path, file) in files {
        let full = if prefix.is_empty() { path.to_string() } else { format!("{prefix}/{path}") };
        if !is_as_committed(&repository, &tree, &full, directory, path) {
            return Err(PublishError::Uncommitted(path.clone()));
        }
        placed.insert(full, file.clone());
    }
    let new = updated(&repository, &tree, &placed).map_err(git("write files"))?;
    let author = author(&repository, now)?;
    let id = repository
        .commit(Some(&format!("refs/heads/{branch}")), &author, &author, message, &new, &[&head])
        .map_err(git("commit"))?;
    CommitId::new(&id.to_string()).map_err(|error| git("commit")(git2::Error::from_str(&error.to_string())))
}

/// Where a directory lies in its repository's working tree; empty for its top.
fn prefix(repository: &Repository, directory: &Utf8Path) -> Option<String> {
    let top = repository.workdir()?.canonicalize().ok()?;
    let inside = directory.as_std_path().canonicalize().ok()?;
    inside.strip_prefix(top).ok()?.to_str().map(str::to_owned)
}

/// Whether a file of the working tree is what the commit has: both nothing, or both the same.
fn is_as_committed(
    repository: &Repository,
    tree: &Tree<'_>,
    full: &str,
    directory: &Utf8Path,
    path: &TreePath,
) -> bool {
    let on_disk = directory.join(path.as_str());
    let there = match std::fs::symlink_metadata(&on_disk) {
        Err(_) => None,
        Ok(found) if found.is_symlink() => {
            std::fs::read_link(&on_disk).ok().map(|text| text.into_os_string().into_encoded_bytes())
        }
        Ok(_) => std::fs::read(&on_disk).ok(),
    };
    let committed = match tree.get_path(std::path::Path::new(full)) {
        Err(error) if error.code() == ErrorCode::NotFound => None,
        Err(_) => return false,
        Ok(entry) => entry.to_object(repository).ok().and_then(|it| Some(it.as_blob()?.content().to_vec())),
    };
    there == committed
}

/// The tree with files put and taken away.
pub(super) fn updated<'r>(
    repository: &'r Repository,
    tree: &Tree<'_>,
    files: &BTreeMap<String, Option<(Kind, Vec<u8>)>>,
) -> Result<Tree<'r>, git2::Error> {
    let mut update = TreeUpdateBuilder::new();
    for (path, file) in files {
        match file {
            Some((kind, bytes)) => {
                let mode = match kind {
                    Kind::File => FileMode::Blob,
                    Kind::Exec => FileMode::BlobExecutable,
                    Kind::Link => FileMode::Link,
                };
                update.upsert(path.as_str(), repository.blob(bytes)?, mode);
            }
            None if tree.get_path(std::path::Path::new(path)).is_ok() => {
                update.remove(path.as_str());
            }
            None => {}
        }
    }
    let id: Oid = update.create_updated(repository, tree)?;
    repository.find_tree(id)
}

/// Who commits, by git's configuration.
pub(super) fn author(repository: &Repository, now: Timestamp) -> Result<Signature<'static>, PublishError> {
    let known = repository.signature().map_err(PublishError::Nobody)?;
    let text = |text: Result<&str, git2::Error>| text.map(str::to_owned).map_err(PublishError::Nobody);
    let (name, email) = (text(known.name())?, text(known.email())?);
    Signature::new(&name, &email, &Time::new(now.as_second(), 0)).map_err(PublishError::Nobody)
}
