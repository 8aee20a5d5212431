//! The git checkout around a fleet file: which commit, and whether the working tree differs from it.

use camino::Utf8Path;

use crate::model::pack::CommitId;

/// Where the fleet repository stands. For people; no decision rests on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCommit {
    /// The commit that is checked out.
    pub commit: CommitId,
    /// The branch, if one is.
    pub branch: Option<String>,
    /// Whether tracked files differ from the commit, or untracked ones lie about.
    pub dirty: bool,
}

/// The checkout that a directory lies in; `None` if it lies in none, or in one without a commit.
pub fn head(directory: &Utf8Path) -> Option<FleetCommit> {
    super::libgit2::settle();
    let repository = git2::Repository::discover(directory).ok()?;
    let head = repository.head().ok()?;
    let commit = head.peel_to_commit().ok()?.id();
    let mut options = git2::StatusOptions::new();
    options.include_untracked(true).include_ignored(false);
    let dirty = repository.statuses(Some(&mut options)).is_ok_and(|statuses| !statuses.is_empty());
    Some(FleetCommit {
        commit: CommitId::new(&commit.to_string()).ok()?,
        branch: head.shorthand().ok().map(str::to_owned).filter(|_| head.is_branch()),
        dirty,
    })
}
