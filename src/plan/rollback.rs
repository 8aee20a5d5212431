//! Rollback is a plan.
//!
//! Later generations are undone, newest first, at the paths that they wrote and nowhere else: for each,
//! base is what that generation left, desired is what came out of it, and actual is what the undoing of
//! newer generations would leave. Edits made since are merged, or the rollback is held as a whole: half
//! of one is worse than none. The result is finished as a pass to the restored Desired would, and the
//! restored generation's bases stand. What was left, and what `fleet.toml` gives at this moment, are
//! rejected, so that the next pass does not bring them back.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::{Actual, Seen};
use crate::model::desired::{Desired, Resolution};
use crate::model::fleet::{Changed, Deleted, Deployment, Edits};
use crate::model::plan::{Action, Cause, Conflict, Hold, HoldCause, Plan, Purpose};
use crate::model::record::{Record, Recorded, Rejection};
use crate::model::{Content, Entry, Kind, PackName, RecordDigest, TreePath};

use super::standing::{Standing, standing};
use super::verdict::MergeAnswer;

/// All that a rollback is planned from.
#[derive(Debug, Clone, Copy)]
pub struct Undo<'a> {
    /// The deployment, for its policy.
    pub deployment: &'a Deployment,
    /// What is recorded now.
    pub record: &'a Record,
    /// Digest of the record's bytes.
    pub digest: Option<RecordDigest>,
    /// What the later generations did, newest first.
    pub later: &'a [Vec<Action>],
    /// The generation to go back to; 0 is "nothing installed".
    pub to: u64,
    /// The record of that generation, or the empty one.
    pub target: &'a Record,
    /// What is there.
    pub actual: &'a Actual,
    /// What `fleet.toml` gives at this moment.
    pub given: &'a Desired,
    /// One pack, or all.
    pub only: Option<&'a PackName>,
}

/// Merges the contents of a path: base, actual, desired.
pub type Merge<'a> = dyn FnMut(&TreePath, Content, Content, Content) -> MergeAnswer + 'a;

/// What undoing would leave at one path.
#[derive(Clone)]
struct Left {
    entry: Option<Entry>,
    /// Kept by policy: its present base stays.
    kept: bool,
}

/// Plans a rollback.
pub fn rollback(undo: &Undo<'_>, merge: &mut Merge<'_>) -> Plan {
    let mut holds = moved_packs(undo);
    let mut left: BTreeMap<TreePath, Left> = BTreeMap::new();
    for generation in undo.later {
        for action in generation.iter().filter(|action| undo.covers(&action.pack)) {
            match undo.step(action, left.get(&action.path), merge) {
                Ok(Some(next)) => {
                    left.insert(action.path.clone(), next);
                }
                Ok(None) => {}
                Err(cause) => holds.push(Hold {
                    pack: Some(action.pack.clone()),
                    path: Some(action.path.clone()),
                    cause,
                }),
            }
        }
    }
    undo.finish(&mut left, &mut holds);
    holds.sort();
    holds.dedup();
    let mut next = undo.next(&left);
    let mut actions = if holds.is_empty() { undo.actions(&left) } else { Vec::new() };
    // Removals first, deepest first; then puts from the top.
    actions.sort_by(|a, b| {
        let removal = |action: &Action| action.after.is_some();
        removal(a).cmp(&removal(b)).then_with(|| match removal(a) {
            false => b.path.cmp(&a.path),
            true => a.path.cmp(&b.path),
        })
    });
    let created = actions.iter().filter(|action| action.before.is_none());
    let made = created.flat_map(|action| action.path.ancestors().collect::<Vec<_>>());
    next.directories = undo.record.directories.clone();
    next.directories.extend(made.filter(|directory| !undo.actual.directories.contains(directory)));
    let needed: BTreeSet<TreePath> = next.entries.keys().flat_map(TreePath::ancestors).collect();
    let mut prune: Vec<TreePath> =
        next.directories.iter().filter(|directory| !needed.contains(*directory)).cloned().collect();
    next.directories.retain(|directory| needed.contains(directory));
    prune.reverse();
    let commits = holds.is_empty();
    if !commits {
        next = Record { generation: next.generation, ..undo.record.clone() };
        prune.clear();
    }
    Plan {
        purpose: Purpose::Rollback { to: undo.to },
        generation: undo.record.generation,
        record: undo.digest,
        actions,
        holds,
        prune,
        next,
        commits,
    }
}

/// With `--pack`, a path that changed hands cannot be given back by one side alone.
fn moved_packs(undo: &Undo<'_>) -> Vec<Hold> {
    let Some(only) = undo.only else { return Vec::new() };
    let owner = |record: &Record, path: &TreePath| record.entries.get(path).map(|r| r.owner.clone());
    let paths: BTreeSet<&TreePath> = undo.record.entries.keys().chain(undo.target.entries.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| {
            let (now, then) = (owner(undo.record, path)?, owner(undo.target, path)?);
            let other = if &now == only { then.clone() } else { now.clone() };
            (now != then && (&now == only || &then == only)).then(|| Hold {
                pack: Some(only.clone()),
                path: Some(path.clone()),
                cause: HoldCause::Tied { pack: other },
            })
        })
        .collect()
}

impl Undo<'_> {
    fn covers(&self, pack: &PackName) -> bool {
        self.only.is_none_or(|only| only == pack)
    }

    fn edits(&self, pack: &PackName) -> Edits {
        match self.given.packs.get(pack) {
            Some(Resolution::Pinned(pack)) => pack.recorded.edits,
            _ => self.record.packs.get(pack).map_or(self.deployment.edits, |recorded| recorded.edits),
        }
    }

    fn seen(&self, path: &TreePath) -> Option<&Seen> {
        self.actual.paths.get(path)
    }

    /// A path is the host's if it is recorded without a base, then or now.
    fn host_owned(&self, path: &TreePath) -> bool {
        let mark = |record: &Record| record.entries.get(path).is_some_and(|r| r.base.is_none());
        mark(self.record) || mark(self.target)
    }

    /// Undoes one action on what newer undoing left. `Ok(None)`: nothing changes.
    fn step(
        &self,
        action: &Action,
        left: Option<&Left>,
        merge: &mut Merge<'_>,
    ) -> Result<Option<Left>, HoldCause> {
        if self.host_owned(&action.path) || left.is_some_and(|left| left.kept) {
            return Ok(None);
        }
        let edits = self.edits(&action.pack);
        let actual = match (left, self.seen(&action.path)) {
            (Some(left), _) => left.entry,
            (None, Some(Seen::Entry(entry))) => Some(*entry),
            (None, None) => None,
            (None, Some(Seen::Obstacle(obstacle))) => match edits.changed {
                Changed::Keep => return Ok(Some(Left { entry: None, kept: true })),
                _ => return Err(HoldCause::Obstructed(obstacle.clone())),
            },
        };
        let (base, desired) = (action.after, action.before);
        let gone = Left { entry: desired, kept: false };
        match standing(base, actual, desired) {
            Standing::InSync | Standing::Converged | Standing::Unmanaged | Standing::HostOwned => Ok(None),
            Standing::Behind => Ok(Some(gone)),
            Standing::Missing if edits.deleted == Deleted::Restore => Ok(Some(gone)),
            Standing::Missing => Ok(None),
            Standing::Edited | Standing::Conflicted => {
                let hold = |conflict| Err(HoldCause::Conflict { base, actual, desired, conflict });
                match (edits.changed, base, actual, desired) {
                    (Changed::Keep, ..) => Ok(Some(Left { entry: actual, kept: true })),
                    (Changed::Revert, Some(_), ..) => Ok(Some(gone)),
                    (_, None, ..) => hold(Conflict::NotOurs),
                    (_, _, _, None) => hold(Conflict::UpstreamDeleted),
                    (_, _, None, _) => hold(Conflict::HostDeleted),
                    (_, Some(base), Some(actual), Some(desired)) => {
                        match merged(&action.path, base, actual, desired, merge) {
                            Ok(entry) => Ok(Some(Left { entry: Some(entry), kept: false })),
                            Err(conflict) => hold(conflict),
                        }
                    }
                }
            }
        }
    }

    /// As a pass to the restored Desired would: missing files come back, `revert` is obeyed.
    fn finish(&self, left: &mut BTreeMap<TreePath, Left>, holds: &mut Vec<Hold>) {
        for (path, recorded) in self.target.entries.iter().filter(|(_, r)| self.covers(&r.owner)) {
            if left.get(path).is_some_and(|left| left.kept) {
                continue;
            }
            let seen = self.seen(path);
            if recorded.base.is_none() || self.host_owned(path) {
                let mark = self.record.entries.get(path).is_some_and(|r| r.base.is_none());
                if seen.is_none() && !mark {
                    left.insert(path.clone(), Left { entry: recorded.written, kept: false });
                }
                continue;
            }
            let edits = self.edits(&recorded.owner);
            let actual = match (left.get(path), seen) {
                (Some(left), _) => left.entry,
                (None, Some(Seen::Entry(entry))) => Some(*entry),
                (None, None) => None,
                (None, Some(Seen::Obstacle(obstacle))) => {
                    if edits.changed == Changed::Revert {
                        let cause = HoldCause::Obstructed(obstacle.clone());
                        holds.push(Hold {
                            pack: Some(recorded.owner.clone()),
                            path: Some(path.clone()),
                            cause,
                        });
                    }
                    continue;
                }
            };
            let put = match actual {
                None => edits.deleted == Deleted::Restore,
                Some(_) => edits.changed == Changed::Revert,
            };
            if put && actual != recorded.base {
                left.insert(path.clone(), Left { entry: recorded.base, kept: false });
            }
        }
    }

    fn actions(&self, left: &BTreeMap<TreePath, Left>) -> Vec<Action> {
        let mut actions = Vec::new();
        for (path, left) in left.iter().filter(|(_, left)| !left.kept) {
            let before = match self.seen(path) {
                Some(Seen::Entry(entry)) => Some(*entry),
                _ => None,
            };
            let recorded = self.record.entries.get(path);
            let owner = self.target.entries.get(path).or(recorded).map(|recorded| &recorded.owner);
            let owner = owner.or_else(|| {
                self.later.iter().flatten().find(|action| &action.path == path).map(|action| &action.pack)
            });
            let Some(pack) = owner.filter(|_| before != left.entry) else { continue };
            // A person's bytes are those that differ from the base; what undoing newer generations
            // would have left in between never lay here.
            let base = recorded.and_then(|recorded| recorded.base);
            actions.push(Action {
                path: path.clone(),
                pack: pack.clone(),
                before,
                after: left.entry,
                cause: Cause::Rollback,
                save: before.is_some() && before != base,
            });
        }
        actions
    }

    /// The restored generation's bases and packs, for the packs that are covered.
    fn next(&self, left: &BTreeMap<TreePath, Left>) -> Record {
        let mut next = self.record.clone();
        next.generation += 1;
        next.entries.retain(|path, recorded| {
            !self.covers(&recorded.owner) || left.get(path).is_some_and(|left| left.kept)
        });
        for (path, recorded) in self.target.entries.iter().filter(|(_, r)| self.covers(&r.owner)) {
            if next.entries.contains_key(path) {
                continue;
            }
            let written = match (left.get(path), self.seen(path)) {
                (Some(left), _) => left.entry,
                (None, Some(Seen::Entry(entry))) => Some(*entry),
                (None, _) => None,
            };
            let written = if recorded.base.is_none() { recorded.written } else { written };
            next.entries.insert(path.clone(), Recorded { written, ..recorded.clone() });
        }
        // The mark of a host-owned path outlives the rollback: it is never installed twice.
        for (path, recorded) in self.record.entries.iter().filter(|(_, r)| r.base.is_none()) {
            if self.target.packs.contains_key(&recorded.owner) {
                next.entries.entry(path.clone()).or_insert_with(|| recorded.clone());
            }
        }
        next.decisions
            .retain(|path, _| next.entries.get(path).is_some_and(|recorded| !self.covers(&recorded.owner)));
        let names: BTreeSet<&PackName> =
            self.record.packs.keys().chain(self.target.packs.keys()).chain(self.given.packs.keys()).collect();
        for name in names.into_iter().filter(|name| self.covers(name)) {
            let restored = self.target.packs.get(name).map(|pack| pack.desired);
            let was = self.record.packs.get(name).map(|pack| pack.desired);
            let mut digests = vec![was];
            match self.given.packs.get(name) {
                Some(Resolution::Pinned(pack)) => digests.push(Some(pack.recorded.desired)),
                None => digests.push(None),
                // Unknown at this moment: what it was rejected for before stays rejected.
                Some(Resolution::Held(_)) => {
                    digests.extend(self.record.rejected.get(name).iter().flat_map(|r| r.digests.clone()));
                }
            }
            digests.sort();
            digests.dedup();
            digests.retain(|digest| *digest != restored);
            match self.target.packs.get(name) {
                Some(pack) => {
                    next.packs.insert(name.clone(), pack.clone());
                }
                None if !next.entries.values().any(|recorded| &recorded.owner == name) => {
                    next.packs.remove(name);
                }
                None => {}
            }
            if digests.is_empty() {
                next.rejected.remove(name);
            } else {
                next.rejected.insert(name.clone(), Rejection { digests, restored: self.to });
            }
        }
        next
    }
}

fn merged(
    path: &TreePath,
    base: Entry,
    actual: Entry,
    desired: Entry,
    merge: &mut Merge<'_>,
) -> Result<Entry, Conflict> {
    if [base, actual, desired].iter().any(|entry| entry.kind == Kind::Link) {
        return Err(Conflict::Kind);
    }
    let content = if base.content == desired.content || actual.content == desired.content {
        actual.content
    } else if base.content == actual.content {
        desired.content
    } else {
        match merge(path, base.content, actual.content, desired.content) {
            MergeAnswer::Clean(content) => content,
            MergeAnswer::Conflict(conflict) => return Err(conflict),
        }
    };
    let kind = if actual.kind == base.kind { desired.kind } else { actual.kind };
    Ok(Entry { kind, content })
}
