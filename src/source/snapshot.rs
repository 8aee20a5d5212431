//! The fleet repository as a commit has it: read from git's objects, nothing is checked out.
//!
//! Paths are relative to the directory of the fleet file. Blobs are read as they are: no line end is changed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use git2::{ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};

use super::SourceError;
use super::checkout::FleetCommit;
use crate::model::pack::CommitId;
use crate::model::{Kind, TreePath};

/// How the message of a commit begins that `capture` makes.
pub const CAPTURE: &str = "capture: ";
/// A fleet repository with more of files and directories is none: trees can name each other so that a few objects are
/// more paths than there is time for.
const MOST_PATHS: usize = 1_000_000;
/// More branches of captures are not looked at.
const MOST_CAPTURES: usize = 12;

/// One commit's files below a directory.
#[derive(Debug, Clone)]
pub struct Snapshot {
    git: Utf8PathBuf,
    commit: Oid,
    /// What each file is, and its blob; submodules are left out, as they are no files.
    files: BTreeMap<TreePath, (Kind, Oid)>,
}

impl Snapshot {
    /// The files as the last commit has them that both the checkout around `directory` and `rev` come from: what
    /// a change that goes from there to here started with.
    pub fn merge_base(directory: &Utf8Path, rev: &str) -> Result<Self, SourceError> {
        super::libgit2::settle();
        let unknown = |what: String| SourceError::Unknown(what);
        let repository = Repository::discover(directory)
            .map_err(|_| unknown(format!("{directory} lies in no git repository")))?;
        let read = |what: &str| {
            let what = what.to_owned();
            move |source| SourceError::Read { what, source }
        };
        let head = repository.head().and_then(|head| head.peel_to_commit()).map_err(read("HEAD"))?;
        let other = repository
            .revparse_single(rev)
            .and_then(|object| object.peel_to_commit())
            .map_err(|_| unknown(format!("{rev:?} is no commit, branch or tag of the fleet repository")))?;
        let base = repository
            .merge_base(head.id(), other.id())
            .map_err(|_| unknown(format!("HEAD and {rev} have no commit in common")))?;
        Self::of_commit(&repository, directory, base)
    }

    /// The files as the commit has them that is checked out, and as each branch has them that `capture` made and
    /// that is not merged into it: those whose last commit says so, newest first, a dozen at most.
    pub fn with_captures(directory: &Utf8Path) -> Result<Vec<Self>, SourceError> {
        super::libgit2::settle();
        let repository = Repository::discover(directory)
            .map_err(|_| SourceError::Unknown(format!("{directory} lies in no git repository")))?;
        let read = |what: &str| {
            let what = what.to_owned();
            move |source| SourceError::Read { what, source }
        };
        let head = repository.head().and_then(|head| head.peel_to_commit()).map_err(read("HEAD"))?.id();
        let mut captures: BTreeSet<(Reverse<i64>, Oid)> = BTreeSet::new();
        for branch in repository.branches(None).map_err(read("the branches"))? {
            let Ok(tip) = branch.and_then(|(branch, _)| branch.get().peel_to_commit()) else { continue };
            let says = tip.summary().ok().flatten().is_some_and(|text| text.starts_with(CAPTURE));
            let merged =
                || tip.id() == head || repository.graph_descendant_of(head, tip.id()).unwrap_or(false);
            if says && !merged() {
                captures.insert((Reverse(tip.time().seconds()), tip.id()));
            }
        }
        let captures = captures.into_iter().map(|(_, tip)| tip).take(MOST_CAPTURES);
        std::iter::once(head)
            .chain(captures)
            .map(|tip| Self::of_commit(&repository, directory, tip))
            .collect()
    }

    /// The files of a commit of a bare repository, below a directory of it; "" is the top.
    pub fn of_bare(git: &Utf8Path, commit: &CommitId, below: &Utf8Path) -> Result<Self, SourceError> {
        super::libgit2::settle();
        let failed = |source| SourceError::Read { what: format!("commit {commit}"), source };
        let repository = Repository::open_bare(git).map_err(failed)?;
        let commit = Oid::from_str(commit.as_str()).map_err(failed)?;
        Self::below(&repository, below, commit)
    }

    fn of_commit(repository: &Repository, directory: &Utf8Path, commit: Oid) -> Result<Self, SourceError> {
        let top = repository.workdir().and_then(Utf8Path::from_path).map(Utf8Path::canonicalize_utf8);
        let here = directory.canonicalize_utf8().ok();
        let below = top
            .and_then(Result::ok)
            .zip(here)
            .and_then(|(top, here)| here.strip_prefix(top).ok().map(Utf8Path::to_owned))
            .ok_or_else(|| SourceError::Unknown(format!("{directory} lies in no working tree of git")))?;
        Self::below(repository, &below, commit)
    }

    fn below(repository: &Repository, below: &Utf8Path, commit: Oid) -> Result<Self, SourceError> {
        let read = |source| SourceError::Read { what: format!("commit {commit}"), source };
        let mut tree = repository.find_commit(commit).and_then(|commit| commit.tree()).map_err(read)?;
        let mut files = BTreeMap::new();
        if !below.as_str().is_empty() {
            // One by one: where a tree that is named cannot be read, git would say the same as of a new directory.
            for component in below.components() {
                let Some(id) = tree.get_name(component.as_str()).map(|entry| entry.id()) else {
                    // The directory is new: the change started with nothing.
                    return Ok(Self { git: path_of(repository)?, commit, files });
                };
                tree = repository.find_tree(id).map_err(read)?;
            }
        }
        let mut seen = 0;
        let walked = tree.walk(TreeWalkMode::PreOrder, |parent, entry| {
            seen += 1;
            if seen > MOST_PATHS {
                return TreeWalkResult::Abort;
            }
            let kind = match entry.filemode() {
                0o120_000 => Kind::Link,
                mode => Kind::regular(mode & 0o100 != 0),
            };
            if entry.kind() == Some(ObjectType::Blob)
                && let Ok(name) = entry.name()
                && let Ok(path) = TreePath::new(&format!("{parent}{name}"))
            {
                files.insert(path, (kind, entry.id()));
            }
            TreeWalkResult::Ok
        });
        if seen > MOST_PATHS {
            let why =
                format!("the fleet repository has more than {MOST_PATHS} files and directories at {commit}");
            return Err(SourceError::Refused(why));
        }
        walked.map_err(read)?;
        Ok(Self { git: path_of(repository)?, commit, files })
    }

    /// The commit, as a report names it.
    pub fn commit(&self) -> Option<FleetCommit> {
        let commit = CommitId::new(&self.commit.to_string()).ok()?;
        Some(FleetCommit { commit, branch: None, dirty: false })
    }

    /// All paths, with what each is.
    pub fn paths(&self) -> impl Iterator<Item = (&TreePath, Kind)> {
        self.files.iter().map(|(path, (kind, _))| (path, *kind))
    }

    /// A file's bytes, or a link's text; `None` if it is not there.
    pub fn read(&self, path: &TreePath) -> Result<Option<(Kind, Vec<u8>)>, SourceError> {
        let Some((kind, blob)) = self.files.get(path) else { return Ok(None) };
        let failed = |source| SourceError::Read { what: format!("{path} at {}", self.commit), source };
        let repository = Repository::open(&self.git).map_err(failed)?;
        let blob = repository.find_blob(*blob).map_err(failed)?;
        Ok(Some((*kind, blob.content().to_vec())))
    }
}

fn path_of(repository: &Repository) -> Result<Utf8PathBuf, SourceError> {
    Utf8Path::from_path(repository.path())
        .map(Utf8Path::to_owned)
        .ok_or_else(|| SourceError::Unknown("the fleet repository's path is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_cannot_be_read_is_no_new_directory() {
        let top = tempfile::tempdir().unwrap();
        let at = Utf8Path::from_path(top.path()).unwrap();
        let repository = Repository::init(at).unwrap();
        std::fs::create_dir(at.join("fleet")).unwrap();
        std::fs::write(at.join("fleet/fleet.toml"), "x").unwrap();
        let mut index = repository.index().unwrap();
        index.add_path(std::path::Path::new("fleet/fleet.toml")).unwrap();
        let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        repository.commit(Some("HEAD"), &who, &who, "x", &tree, &[]).unwrap();

        let here = at.join("fleet");
        assert_eq!(Snapshot::merge_base(&here, "HEAD").unwrap().paths().count(), 1);
        std::fs::create_dir(at.join("new")).unwrap();
        assert_eq!(Snapshot::merge_base(&at.join("new"), "HEAD").unwrap().paths().count(), 0);
        let inner = tree.get_name("fleet").unwrap().id().to_string();
        std::fs::remove_file(at.join(".git/objects").join(&inner[..2]).join(&inner[2..])).unwrap();
        assert!(matches!(Snapshot::merge_base(&here, "HEAD"), Err(SourceError::Read { .. })));
    }
}
