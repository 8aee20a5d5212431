//! Which commit a requirement means: `fleet.lock` first, else what the source offers.
//!
//! With a lock nothing moves, branches included, except pins that follow; the source is asked all the
//! same whether the tags that were locked still say what they said. A source that does not answer is no
//! obstacle to a pin that the mirror has.

use crate::desired::choose::{Wanted, choose};
use crate::desired::lock::{FoundBy, Locked};
use crate::model::fleet::Assignment;
use crate::model::pack::{CommitId, Pack, Pin, Refs, Requirement};
use crate::model::plan::HoldCause;
use crate::model::{PackName, TreeDigest};
use crate::source::PackSource;

use super::guard::unreadable;
use super::workspace::Workspace;

/// Where a requirement leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What people call it.
    pub version: String,
    /// By what it was found.
    pub found_by: FoundBy,
    /// The commit.
    pub commit: CommitId,
    /// The tree that the lock promises there.
    pub tree: Option<TreeDigest>,
}

impl Found {
    /// The pin, once the tree is known. A tree that is not the locked one is a hold.
    pub(super) fn pin(&self, tree: TreeDigest) -> Result<Pin, HoldCause> {
        match self.tree {
            Some(locked) if locked != tree => Err(HoldCause::Version(format!(
                "the tree of commit {} is {}, and fleet.lock says {}: its directory or the repository is \
                 another one than when it was locked",
                self.commit.short(),
                tree.short(),
                locked.short()
            ))),
            _ => Ok(Pin {
                version: self.version.clone(),
                found_by: self.found_by.name().to_owned(),
                commit: Some(self.commit.clone()),
                tree,
            }),
        }
    }

    /// The line of the lock, once the tree is known.
    pub(super) fn locked(&self, pack: &PackName, requirement: &Requirement, tree: TreeDigest) -> Locked {
        let (version, found_by) = (self.version.clone(), self.found_by.clone());
        Locked::new(pack.clone(), requirement, version, found_by, self.commit.clone(), tree)
    }
}

/// Where an assignment leads now.
pub(super) fn find(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    assignment: &Assignment,
) -> Result<Found, HoldCause> {
    let Some(lock) = workspace.lock.as_ref().filter(|_| !assignment.follow) else {
        return fresh(source, pack, &assignment.requirement);
    };
    let Some(locked) = lock.find(&pack.name, &assignment.requirement) else {
        return Err(HoldCause::Version(format!(
            "fleet.lock has no pin for pack {} with {}: run `packfleet lock` and commit it",
            pack.name, assignment.requirement
        )));
    };
    if let Ok(refs) = source.refresh() {
        moved(locked, &refs)?;
    }
    let commit = source.commit(locked.commit.as_str()).map_err(unreadable)?;
    Ok(Found {
        version: locked.version.clone(),
        found_by: locked.found_by.clone(),
        commit,
        tree: Some(locked.tree),
    })
}

/// Where a requirement leads without a lock. One given by its full id needs no answer from afar.
pub(super) fn fresh(
    source: &dyn PackSource,
    pack: &Pack,
    requirement: &Requirement,
) -> Result<Found, HoldCause> {
    let refs = match requirement {
        Requirement::Rev(rev) if CommitId::new(rev).is_ok() && source.commit(rev).is_ok() => source.known(),
        _ => source.refresh(),
    };
    let refs = refs.map_err(unreadable)?;
    let chosen = choose(pack, requirement, &refs).map_err(|error| HoldCause::Version(error.to_string()))?;
    let commit = match &chosen.at {
        Wanted::Commit(commit) => commit.clone(),
        Wanted::Rev(rev) => source.commit(rev).map_err(unreadable)?,
    };
    let name = chosen.found_by.clone();
    let found_by = match requirement {
        Requirement::Version(_) | Requirement::Tag(_) => {
            let object = refs.tags.iter().find(|tag| tag.name == name).and_then(|tag| tag.object.clone());
            FoundBy::Tag { name, object }
        }
        Requirement::Branch(_) => FoundBy::Branch(name),
        Requirement::Rev(_) => FoundBy::Rev(name),
    };
    Ok(Found { version: chosen.label(&commit), found_by, commit, tree: None })
}

/// A locked tag that leads elsewhere now, or was made anew, is somebody's mistake or attack. One that is
/// gone moves nothing.
fn moved(locked: &Locked, refs: &Refs) -> Result<(), HoldCause> {
    let FoundBy::Tag { name, object } = &locked.found_by else { return Ok(()) };
    let Some(now) = refs.tags.iter().find(|tag| &tag.name == name) else { return Ok(()) };
    let is = now.commit.as_ref().map_or("no commit", CommitId::as_str);
    if now.commit.as_ref() != Some(&locked.commit) {
        return Err(HoldCause::Version(format!(
            "tag {name} moved: fleet.lock has it at {} and it is at {is} now",
            locked.commit
        )));
    }
    if &now.object != object {
        return Err(HoldCause::Version(format!(
            "tag {name} was made anew since it was locked, at the same commit {is}: if that is meant, \
             `packfleet lock --update {}`",
            locked.pack
        )));
    }
    Ok(())
}
