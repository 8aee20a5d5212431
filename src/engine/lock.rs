//! Writing `fleet.lock`, and what lags behind it.
//!
//! Only this writes the lock, and only as a whole: a requirement that cannot be resolved leaves the file
//! as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};

use camino::Utf8PathBuf;

use crate::desired::lock::{Lock, Locked};
use crate::model::fleet::{Assignment, Source};
use crate::model::pack::{Case, Pack, Requirement};
use crate::model::plan::HoldCause;
use crate::model::{PackName, Tree};
use crate::source::{PackSource, TreeRules};

use super::guard::{self, unreadable};
use super::pin::fresh;
use super::workspace::Workspace;

/// Which pins may move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// None: only what is missing is added, and what nobody asks for goes.
    Missing,
    /// All.
    All,
    /// Those of some packs.
    Packs(BTreeSet<PackName>),
}

/// One line of the lock that changed. Before and after differ; `None` is absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// As it was.
    pub before: Option<Locked>,
    /// As it is.
    pub after: Option<Locked>,
}

/// A requirement that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The pack.
    pub pack: PackName,
    /// What was asked for.
    pub requirement: String,
    /// Why it leads nowhere.
    pub cause: HoldCause,
}

/// The new lock and what changed; or everything that could not be resolved.
pub fn lock(workspace: &Workspace, update: &Update) -> Result<(Lock, Vec<Change>), Vec<Unresolved>> {
    let before = workspace.lock.clone().unwrap_or_default();
    let mut after = Lock::default();
    let mut unresolved = Vec::new();
    for (pack, requirement) in wanted(workspace) {
        let moves = match update {
            Update::Missing => false,
            Update::All => true,
            Update::Packs(packs) => packs.contains(&pack.name),
        };
        let known = before.find(&pack.name, requirement).filter(|_| !moves);
        let locked = known.cloned().map_or_else(|| pin(workspace, pack, requirement), Ok);
        match locked {
            Ok(locked) => drop(after.insert(locked)),
            Err(cause) => unresolved.push(Unresolved {
                pack: pack.name.clone(),
                requirement: requirement.to_string(),
                cause,
            }),
        }
    }
    if unresolved.is_empty() {
        let changes = changes(&before, &after);
        Ok((after, changes))
    } else {
        Err(unresolved)
    }
}

/// Requirements that the lock should have and has not, as they print.
pub fn unfit(workspace: &Workspace) -> Vec<(PackName, String)> {
    let none = Lock::default();
    let lock = workspace.lock.as_ref().unwrap_or(&none);
    wanted(workspace)
        .into_iter()
        .filter(|(pack, requirement)| lock.find(&pack.name, requirement).is_none())
        .map(|(pack, requirement)| (pack.name.clone(), requirement.to_string()))
        .collect()
}

/// Pins in the lock that nothing asks for, with their requirements as they print.
pub fn stale(workspace: &Workspace) -> Vec<(PackName, String)> {
    let wanted: BTreeSet<(&PackName, String)> =
        wanted(workspace).iter().map(|(pack, requirement)| (&pack.name, requirement.to_string())).collect();
    let entries = workspace.lock.iter().flat_map(|lock| lock.entries());
    entries
        .filter(|locked| !wanted.contains(&(&locked.pack, locked.requirement.clone())))
        .map(|locked| (locked.pack.clone(), locked.requirement.clone()))
        .collect()
}

/// Every requirement of a pack from git that does not follow, each once.
fn wanted(workspace: &Workspace) -> Vec<(&Pack, &Requirement)> {
    let fleet = &workspace.fleet;
    let assignments = fleet.deployments.values().flat_map(|deployment| &deployment.packs);
    let mut wanted: BTreeMap<(&PackName, String), (&Pack, &Requirement)> = BTreeMap::new();
    for (name, assignment) in assignments {
        let Some(pack) = fleet.packs.get(name) else { continue };
        let git = matches!(fleet.sources.get(&pack.source), Some(Source::Git { .. }));
        let Assignment { requirement, follow: false, .. } = assignment else { continue };
        if git {
            wanted.insert((name, requirement.to_string()), (pack, requirement));
        }
    }
    wanted.into_values().collect()
}

fn pin(workspace: &Workspace, pack: &Pack, requirement: &Requirement) -> Result<Locked, HoldCause> {
    let Some(source) = workspace.sources.get(&pack.source) else {
        return Err(HoldCause::Source(format!("source {} is not declared", pack.source)));
    };
    let found = fresh(source.as_ref(), pack, requirement)?;
    guard::signed(workspace, source.as_ref(), pack, requirement, found.found_by.name(), &found.commit)?;
    let mut dirs = vec![pack.dir.clone()];
    dirs.extend(pack.aliases.iter().cloned().map(Some));
    let rules = TreeRules { limits: workspace.fleet.limits, distinct: pack.case == Case::Distinct };
    let tree = PackSource::tree(source.as_ref(), Some(&found.commit), &dirs, &rules).map_err(unreadable)?;
    let entries = tree.entries.iter().map(|entry| {
        let own = crate::model::Entry { kind: entry.kind, content: entry.content };
        (entry.path.clone(), own)
    });
    Ok(found.locked(&pack.name, requirement, Tree(entries.collect()).digest()))
}

fn changes(before: &Lock, after: &Lock) -> Vec<Change> {
    let by_key = |lock: &Lock| -> BTreeMap<(PackName, String), Locked> {
        lock.entries()
            .map(|locked| ((locked.pack.clone(), locked.requirement.clone()), locked.clone()))
            .collect()
    };
    let (before, mut after) = (by_key(before), by_key(after));
    let mut changes = Vec::new();
    for (key, was) in before {
        let is = after.remove(&key);
        if is.as_ref() != Some(&was) {
            changes.push(Change { before: Some(was), after: is });
        }
    }
    changes.extend(after.into_values().map(|is| Change { before: None, after: Some(is) }));
    changes
}

/// The lock could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteError {
    /// Where.
    pub path: Utf8PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// Replaces `fleet.lock` beside the fleet file, as a whole.
pub fn write(workspace: &Workspace, lock: &Lock) -> Result<Utf8PathBuf, WriteError> {
    let path = workspace.lock_file();
    let beside = path.with_extension(format!("lock.{}", std::process::id()));
    let written = fs::File::create_new(&beside).and_then(|mut file| {
        file.write_all(lock.print().as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, &path));
    match renamed {
        Ok(()) => Ok(path),
        Err(source) => {
            // What is left of it is nobody's: the error that counts is the first one.
            let _removed = fs::remove_file(&beside);
            Err(WriteError { path, source })
        }
    }
}
