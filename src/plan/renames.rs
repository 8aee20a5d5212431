//! Edits of files that upstream renamed.
//!
//! ```text
//! judged paths ─ find ─► per path that a person changed and that is gone: where the file went
//!              ─ the edit is judged as if the person had moved the file as well ─► verdicts on both paths
//! ```
//! Under `merge` the edit goes along: what merging gives is put at the new path, and the old one is removed,
//! saved where the new one does not hold the very same bytes. What does not merge is one hold, at the old path,
//! which names the new one; a decision about it is one about the old path. A file that a person deleted to keep
//! it deleted stays away at its new path. Under `keep` the edit stays where it is, and the report says where the
//! file went; `revert` takes it back, and needs no rename for that. An edit cannot follow where something lies
//! at the new path, where that is the host's, or another pack's: it is held where it is.
//!
//! Only what overlays follow is followed: see [`crate::merge::rename`]. Nothing is asked about bytes unless an
//! edited file is gone.

use std::collections::{BTreeMap, BTreeSet};

use crate::merge::rename::{followed, renames_of};
use crate::model::desired::DesiredEntry;
use crate::model::fleet::{Changed, Deleted};
use crate::model::pack::PackEntry;
use crate::model::plan::{Action, Cause, Conflict, HoldCause};
use crate::model::record::{Decision, Record, Recorded};
use crate::model::{Content, Entry, Kind, PackName, TreePath};

use super::drift::{Adapted, Drift, Judged, stand};
use super::standing::Standing;
use super::verdict::{Departs, MergeAnswer, Verdict, decided, verdict};

/// How much of two texts is the same, in percent, by their digests; what cannot be read is like nothing.
pub type Alike<'a> = dyn FnMut(Content, Content) -> u8 + 'a;

/// Where a file went that a person had changed.
#[derive(Debug, Clone)]
pub struct Rename {
    /// Its path in the new version.
    pub to: TreePath,
    /// What that means for the edit.
    pub way: Way,
}

/// What becomes of an edit of a file that upstream renamed.
#[derive(Debug, Clone)]
pub enum Way {
    /// It goes along, judged as if the file had been moved on the host as well.
    Follows(Box<Judged>),
    /// It stays, by policy.
    Stays,
    /// It cannot go along, because of that.
    Hindered(Conflict),
}

impl Rename {
    /// The edit as if it lay at the new path already, if it can go there.
    pub fn followed(&self) -> Option<&Judged> {
        match &self.way {
            Way::Follows(judged) => Some(judged),
            Way::Stays | Way::Hindered(_) => None,
        }
    }
}

impl Drift {
    /// The path of which a decision about `path` is one, and what it is about: the old path where an edit
    /// follows a rename, whichever of the two is named.
    pub fn decidable(&self, path: &TreePath) -> Option<(&TreePath, &Judged)> {
        let mut follows =
            self.renames.iter().filter_map(|(old, rename)| Some((old, &rename.to, rename.followed()?)));
        if let Some((old, _, judged)) = follows.find(|(old, to, _)| *old == path || *to == path) {
            return Some((old, judged));
        }
        self.paths.get_key_value(path)
    }

    /// The other path of an edit that follows a rename.
    pub(super) fn partner(&self, path: &TreePath) -> Option<&TreePath> {
        let mut follows = self.renames.iter().filter(|(_, rename)| rename.followed().is_some());
        let (old, rename) = follows.find(|(old, rename)| *old == path || rename.to == *path)?;
        Some(if old == path { &rename.to } else { old })
    }

    /// Judges an edit that follows a rename again, with the host's keys in base and desired.
    pub fn adapt_followed(&mut self, old: &TreePath, adapted: Adapted) {
        if let Some(Rename { way: Way::Follows(judged), .. }) = self.renames.get_mut(old) {
            judged.adapted = Some(adapted);
            judged.standing = stand(judged);
        }
    }
}

/// Finds out where edited files went that are gone, and judges their edits there.
pub fn find(drift: &mut Drift, record: &Record, alike: &mut Alike<'_>) {
    let mut found: BTreeMap<TreePath, Rename> = BTreeMap::new();
    for (name, pack) in &drift.packs {
        let Some(wanted) = pack.wanted.as_ref().filter(|_| pack.frozen.is_none()) else { continue };
        let edited = |(path, judged): (&TreePath, &Judged)| {
            (&judged.pack == name && asks_where(judged)).then(|| path.clone())
        };
        let named: BTreeSet<TreePath> = drift.paths.iter().filter_map(edited).collect();
        if named.is_empty() {
            continue;
        }
        let old: Vec<PackEntry> = record
            .entries
            .iter()
            .filter(|(_, recorded)| &recorded.owner == name)
            .filter_map(|(path, recorded)| Some(pack_entry(path, recorded.base?)))
            .collect();
        let new: Vec<PackEntry> =
            wanted.entries.iter().map(|(path, it)| pack_entry(path, it.entry)).collect();
        let mut ask = |a: &PackEntry, b: &PackEntry| alike(a.content, b.content);
        let is_named = |path: &TreePath| named.contains(path);
        let mut moved = match wanted.recorded.atomic {
            true => followed(&old, &new, &is_named, &mut ask),
            // A directory that moved is no evidence here: once its other files are upgraded the next pass would
            // not see it, and find that upstream deleted what this one says was renamed.
            false => {
                let mut moved = renames_of(&old, &new, &is_named, &mut ask);
                moved.retain(|path, _| named.contains(path));
                moved
            }
        };
        // Who else may have it: packs that gain files which were nobody's before.
        let others: Vec<(&PackName, PackEntry)> = drift
            .packs
            .iter()
            .filter(|(other, drift)| *other != name && drift.frozen.is_none())
            .filter_map(|(other, drift)| Some((other, drift.wanted.as_ref()?)))
            .flat_map(|(other, wanted)| wanted.entries.iter().map(move |(path, it)| (other, path, it)))
            .filter(|(_, path, _)| !record.entries.contains_key(*path))
            .map(|(other, path, it)| (other, pack_entry(path, it.entry)))
            .collect();
        let lost: Vec<PackEntry> = old
            .into_iter()
            .filter(|entry| named.contains(&entry.path) && !moved.contains_key(&entry.path))
            .collect();
        let elsewhere: Vec<PackEntry> = others.iter().map(|(_, entry)| entry.clone()).collect();
        moved.extend(followed(&lost, &elsewhere, &|_| true, &mut ask));
        for (path, to) in moved {
            let Some(judged) = drift.paths.get(&path) else { continue };
            let way = match drift.paths.get(&to) {
                Some(there) if &there.pack == name => way(judged, there, record.decisions.get(&to)),
                Some(there) => Some(Way::Hindered(Conflict::OtherPack(there.pack.clone()))),
                None => None,
            };
            // A deletion that cannot go along stands in nobody's way.
            let way = way.filter(|way| judged.actual.is_some() || matches!(way, Way::Follows(_)));
            found.extend(way.map(|way| (path, Rename { to, way })));
        }
    }
    drift.renames = found;
}

/// Whether it matters where the file of a path went: a person changed it, or deleted it for good.
fn asks_where(judged: &Judged) -> bool {
    let recorded = judged.recorded.as_ref().is_some_and(|recorded| recorded.base.is_some());
    recorded
        && judged.desired.is_none()
        && match judged.standing {
            Standing::Conflicted => {
                judged.actual_entry().is_some() && judged.edits.changed != Changed::Revert
            }
            Standing::Converged => judged.edits.deleted == Deleted::Keep,
            _ => false,
        }
}

fn pack_entry(path: &TreePath, entry: Entry) -> PackEntry {
    // How large a file is shows when it is read; only empty ones are told apart before.
    let size = u64::from(entry.content != Content::of(b""));
    PackEntry { path: path.clone(), kind: entry.kind, content: entry.content, size, link: None }
}

/// What becomes of an edit whose file is `there` now.
fn way(judged: &Judged, there: &Judged, decision: Option<&Decision>) -> Option<Way> {
    let desired: &DesiredEntry = there.desired.as_ref()?;
    if judged.actual.is_some() && judged.edits.changed == Changed::Keep {
        return Some(Way::Stays);
    }
    if there.standing == Standing::HostOwned {
        return Some(Way::Hindered(Conflict::HostsPath));
    }
    if there.actual.is_some() || there.recorded.is_some() || decided(there, decision).is_some() {
        return Some(Way::Hindered(Conflict::Occupied));
    }
    let mut judged = Judged { desired: Some(desired.clone()), adapted: None, ..judged.clone() };
    judged.standing = stand(&judged);
    Some(Way::Follows(Box::new(judged)))
}

/// Puts the verdicts on edits of renamed files in the place of those that their paths got alone. Answers and
/// decisions are those of the old paths.
pub(super) fn judge(
    drift: &Drift,
    verdicts: &mut BTreeMap<TreePath, Verdict>,
    answers: &BTreeMap<TreePath, MergeAnswer>,
    decisions: &BTreeMap<TreePath, Decision>,
) {
    for (old, rename) in &drift.renames {
        let to = &rename.to;
        match &rename.way {
            Way::Stays => {}
            Way::Hindered(why) => {
                let there = drift.paths.get(to).and_then(Judged::desired_entry);
                if let Some(Verdict::Hold(HoldCause::Conflict { desired, renamed, conflict, .. })) =
                    verdicts.get_mut(old)
                {
                    *desired = there;
                    *renamed = Some(to.clone());
                    **conflict = why.clone();
                }
            }
            Way::Follows(judged) => {
                let both = both(judged, to, answers.get(old), decisions.get(old));
                if let Some((at_old, at_new)) = both {
                    verdicts.insert(old.clone(), at_old);
                    verdicts.insert(to.clone(), at_new);
                }
            }
        }
    }
}

/// The verdicts on the old path and on the new one.
fn both(
    judged: &Judged,
    to: &TreePath,
    answer: Option<&MergeAnswer>,
    decision: Option<&Decision>,
) -> Option<(Verdict, Verdict)> {
    let desired = judged.desired.as_ref()?;
    let is_link = |entry: Option<Entry>| entry.is_some_and(|entry| entry.kind == Kind::Link);
    let link = [judged.base(), judged.actual_entry(), judged.desired_entry()].into_iter().any(is_link);
    let found = match verdict(judged, answer, decision, Departs::No) {
        // Where a link leads depends on where it lies: nobody can say whether it is meant at the other place.
        Verdict::Leave | Verdict::Settle(_) if link && judged.standing == Standing::Edited => {
            Verdict::Hold(HoldCause::Conflict {
                base: judged.base(),
                actual: judged.actual_entry(),
                desired: judged.desired_entry(),
                renamed: None,
                conflict: Box::new(Conflict::Kind),
            })
        }
        found => found,
    };
    let (after, cause, save) = match found {
        Verdict::Hold(HoldCause::Conflict { base, actual, desired, conflict, .. }) => {
            let cause = HoldCause::Conflict { base, actual, desired, renamed: Some(to.clone()), conflict };
            return Some((Verdict::Hold(cause), Verdict::Leave));
        }
        Verdict::Hold(cause) => return Some((Verdict::Hold(cause), Verdict::Leave)),
        Verdict::Write { after, cause: Cause::Resolve, save, .. } => (after, Cause::Resolve, save),
        Verdict::Write { after, .. } => (after, Cause::Rename, false),
        Verdict::Leave | Verdict::Settle(_) | Verdict::Forget => {
            (judged.actual_entry(), Cause::Rename, false)
        }
    };
    let before = judged.actual_entry();
    let recorded = Recorded {
        owner: judged.pack.clone(),
        base: Some(desired.entry),
        written: after,
        commit: desired.commit.clone(),
    };
    let Some(put) = after else {
        // Deleted, and that is kept.
        return Some((Verdict::Forget, Verdict::Settle(recorded)));
    };
    // What a person wrote lies at the new path, whole, or becomes a saved edit; of a mode nothing is lost.
    let base = judged.base().map(|base| base.content);
    let wrote = |before: Entry| before.content != put.content && base != Some(before.content);
    let save = before.is_some_and(|before| save || wrote(before));
    let removed = match before {
        Some(_) => Verdict::Write { before, after: None, cause, save, settle: None },
        None => Verdict::Forget,
    };
    let added = Verdict::Write { before: None, after, cause, save: false, settle: Some(recorded) };
    Some((removed, added))
}

/// New paths to which an edit goes, with the paths that it comes from, as far as the actions say so.
pub(super) fn carried_out(drift: &Drift, actions: &[Action]) -> BTreeMap<TreePath, TreePath> {
    let goes = |path: &TreePath| actions.iter().any(|action| &action.path == path && action.after.is_none());
    let comes = |path: &TreePath| actions.iter().any(|action| &action.path == path && action.after.is_some());
    let follows = drift.renames.iter().filter(|(_, rename)| rename.followed().is_some());
    follows
        .filter(|(old, rename)| goes(old) && comes(&rename.to))
        .map(|(old, rename)| (rename.to.clone(), old.clone()))
        .collect()
}
