//! Commits for a pack's repository: made in its mirror, and pushed from there if that is asked for.
//!
//! ```text
//! pinned commit ──► files of the pack ──► commit on top of it, or of the branch's tip ──► refs/packfleet/export/NAME
//!                                                                                      └─► push, never by force
//! ```
//! Where the branch is there already, the commit becomes its child: a file that somebody changed on it since is
//! merged with ours three ways, and what does not merge is refused. A push carries one ref without `+`, so that
//! the remote takes it only as a child of what it had; a branch that is protected is refused before anything is
//! sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use git2::{Commit, Direction, ErrorCode, Oid, PushOptions, Repository, Tree};
use jiff::Timestamp;

use super::listing::{self, WalkError};
use super::mirror::{EXPORT, Mirror};
use super::origin;
use super::publish::{Files, PublishError, author, branch_name, updated};
use super::{SourceError, no_directory};
use crate::merge::text::{TextMerge, merge_text};
use crate::model::fleet::Url;
use crate::model::pack::CommitId;
use crate::model::{Kind, TreePath};

/// What is to be exported.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where mirrors lie.
    pub cache: &'a Utf8Path,
    /// The pack's source.
    pub url: &'a Url,
    /// The pinned commit.
    pub parent: &'a CommitId,
    /// Where the pack lies in it: the first of these that is there.
    pub dirs: &'a [Option<TreePath>],
    /// Files in the pack's coordinates.
    pub files: &'a Files,
    /// The branch.
    pub branch: &'a str,
    /// The commit's message.
    pub message: &'a str,
    /// The commit's time.
    pub now: Timestamp,
    /// Whether, and where, it is pushed.
    pub push: Push<'a>,
}

/// Whether a commit leaves the mirror.
#[derive(Debug, Clone, Copy)]
pub enum Push<'a> {
    /// It does not.
    No,
    /// It does.
    To {
        /// Where.
        url: &'a Url,
        /// Branches that are never pushed to, beside the remote's own default.
        protected: &'a [String],
    },
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The commit.
    pub commit: CommitId,
    /// Its parent.
    pub onto: CommitId,
    /// The mirror, as a git directory.
    pub mirror: Utf8PathBuf,
    /// The ref in it that leads to the commit.
    pub reference: String,
}

/// Makes the commit, and pushes it. `None`: the branch holds all of it already.
pub fn export(request: &Request<'_>) -> Result<Option<Exported>, PublishError> {
    branch_name(request.branch)?;
    if let Push::To { protected, .. } = request.push
        && protected.iter().any(|name| name == request.branch)
    {
        return Err(PublishError::Protected(request.branch.to_owned()));
    }
    let mirror = Mirror::new(request.cache, request.url);
    let _lock = mirror.lock()?;
    let mut ended = Ok(None);
    mirror.ask(|repository| {
        ended = Outlet { request, mirror: &mirror, repository }.export();
        Ok(())
    })?;
    ended
}

struct Outlet<'a> {
    request: &'a Request<'a>,
    mirror: &'a Mirror,
    repository: &'a Repository,
}

impl<'r> Outlet<'r> {
    fn git(&self, operation: &'static str) -> impl FnOnce(git2::Error) -> PublishError + use<> {
        let repository = format!("the mirror of {}", self.mirror.url());
        move |source| PublishError::Git { operation, repository, source }
    }

    fn export(&self) -> Result<Option<Exported>, PublishError> {
        let Request { branch, message, parent, .. } = *self.request;
        let reference = format!("{EXPORT}{branch}");
        let pinned = self.commit(parent.as_str())?;
        let tip = match self.request.push {
            Push::No => self.repository.refname_to_id(&reference).ok(),
            Push::To { url, .. } => self.at_remote(url)?,
        };
        let onto = match tip {
            Some(id) => self.commit(&id.to_string())?,
            None => pinned.clone(),
        };
        let tree = self.tree(&pinned, &onto)?;
        if tree.id() == onto.tree_id() {
            return Ok(None);
        }
        let author = author(self.repository, self.request.now)?;
        let id = self
            .repository
            .commit(None, &author, &author, message, &tree, &[&onto])
            .map_err(self.git("commit"))?;
        self.repository
            .reference(&reference, id, true, "packfleet export")
            .map_err(self.git("write a ref"))?;
        if let Push::To { url, .. } = self.request.push {
            self.push(url, &reference)?;
        }
        let commit = |id: Oid| {
            CommitId::new(&id.to_string())
                .map_err(|error| self.git("name a commit")(git2::Error::from_str(&error.to_string())))
        };
        let mirror = self.mirror.path().to_owned();
        Ok(Some(Exported { commit: commit(id)?, onto: commit(onto.id())?, mirror, reference }))
    }

    fn commit(&self, id: &str) -> Result<Commit<'r>, PublishError> {
        let found = Oid::from_str(id).and_then(|id| self.repository.find_commit(id));
        found.map_err(self.git("read the commit"))
    }

    /// The tree of the new commit.
    fn tree(&self, pinned: &Commit<'r>, onto: &Commit<'r>) -> Result<Tree<'r>, PublishError> {
        let (pinned_tree, tree) = (pinned.tree(), onto.tree());
        let pinned_tree = pinned_tree.map_err(self.git("read the pinned commit"))?;
        let tree = tree.map_err(self.git("read the branch"))?;
        let dir = self.dir(&pinned_tree)?;
        let mut placed = BTreeMap::new();
        for (path, ours) in self.request.files {
            let full = dir.as_ref().map_or_else(|| path.to_string(), |dir| format!("{dir}/{path}"));
            let (base, theirs) = (self.file(&pinned_tree, &full)?, self.file(&tree, &full)?);
            let merged = match (base, ours.clone(), theirs) {
                (base, ours, theirs) if base == theirs || ours == theirs => ours,
                (base, ours, theirs) if base == ours => theirs,
                (Some((base_kind, base)), Some((kind, ours)), Some((their_kind, theirs)))
                    if base_kind == their_kind && kind != Kind::Link && base_kind != Kind::Link =>
                {
                    match merge_text(&base, &ours, &theirs) {
                        TextMerge::Clean(bytes) => Some((kind, bytes)),
                        _ => return Err(self.diverged(path)),
                    }
                }
                _ => return Err(self.diverged(path)),
            };
            placed.insert(full, merged);
        }
        updated(self.repository, &tree, &placed).map_err(self.git("write files"))
    }

    fn diverged(&self, path: &TreePath) -> PublishError {
        PublishError::Diverged { branch: self.request.branch.to_owned(), path: path.clone() }
    }

    /// Where the pack lies.
    fn dir(&self, tree: &Tree<'_>) -> Result<Option<TreePath>, PublishError> {
        for dir in self.request.dirs {
            match listing::directory(self.repository, tree.id(), dir.as_ref()) {
                Ok(Some(_)) => return Ok(dir.clone()),
                Ok(None) => {}
                Err(WalkError::Source(error)) => return Err(error.into()),
                Err(WalkError::Object(_, source)) => return Err(self.git("read the pinned commit")(source)),
            }
        }
        let place = format!("{} of {}", self.request.parent.short(), self.mirror.url());
        Err(SourceError::Refused(no_directory(self.request.dirs, &place)).into())
    }

    fn file(&self, tree: &Tree<'_>, path: &str) -> Result<Option<(Kind, Vec<u8>)>, PublishError> {
        let entry = match tree.get_path(Path::new(path)) {
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            entry => entry.map_err(self.git("read a file"))?,
        };
        let kind = match entry.filemode() {
            0o120000 => Kind::Link,
            0o100755 => Kind::Exec,
            _ => Kind::File,
        };
        let object = entry.to_object(self.repository).map_err(self.git("read a file"))?;
        Ok(object.as_blob().map(|blob| (kind, blob.content().to_vec())))
    }

    /// The branch's tip at the remote, brought into the mirror; `None` if there is no such branch.
    fn at_remote(&self, url: &Url) -> Result<Option<Oid>, PublishError> {
        let branch = self.request.branch;
        let full = format!("refs/heads/{branch}");
        let unreachable = |error: git2::Error| self.unreachable(url, &error);
        let mut remote = origin::anonymous(self.repository, url)?;
        let tip = {
            let callbacks = origin::callbacks(self.repository, url);
            let connection = remote
                .connect_auth(Direction::Fetch, Some(callbacks), Some(origin::proxy()))
                .map_err(unreachable)?;
            let default = connection.default_branch().ok();
            if default.is_some_and(|name| name.as_str() == Ok(full.as_str())) {
                return Err(PublishError::Protected(branch.to_owned()));
            }
            let heads = connection.list().map_err(unreachable)?;
            heads.iter().find(|head| head.name() == full).map(git2::RemoteHead::oid)
        };
        if let Some(id) = tip
            && self.repository.find_commit(id).is_err()
        {
            origin::fetch_specs(self.repository, url, &[&format!("{full}:{full}")])?;
        }
        Ok(tip)
    }

    fn unreachable(&self, url: &Url, error: &git2::Error) -> PublishError {
        PublishError::Unreachable { url: url.to_string(), source: origin::scrub(url, error) }
    }

    fn push(&self, url: &Url, reference: &str) -> Result<(), PublishError> {
        let branch = self.request.branch;
        let refusal: RefCell<Option<String>> = RefCell::new(None);
        let refused =
            |why: String| PublishError::Refused { url: url.to_string(), branch: branch.to_owned(), why };
        let pushed = {
            let mut callbacks = origin::callbacks(self.repository, url);
            callbacks.push_update_reference(|_, status| {
                if let Some(status) = status {
                    refusal.replace(Some(status.to_owned()));
                }
                Ok(())
            });
            let mut options = PushOptions::new();
            options.remote_callbacks(callbacks).proxy_options(origin::proxy());
            let mut remote = origin::anonymous(self.repository, url)?;
            remote.push(&[format!("{reference}:refs/heads/{branch}")], Some(&mut options))
        };
        match (pushed, refusal.into_inner()) {
            (Ok(()), None) => Ok(()),
            (_, Some(why)) => Err(refused(why)),
            (Err(error), None) if error.code() == ErrorCode::NotFastForward => {
                Err(refused("it moved on in between, and is never pushed to by force".to_owned()))
            }
            (Err(error), None) => Err(self.unreachable(url, &error)),
        }
    }
}
