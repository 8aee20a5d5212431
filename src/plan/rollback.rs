//! Rollback is a plan.
//!
//! ```text
//! judge    every path of both records and of the later generations; desired is what the target has
//! undone   per path, newest first: base is what a generation left, desired what came out of it
//! finished as a pass would do it whose Desired is the target's: missing files, `revert`
//! spread, assemble: as of any plan
//! ```
//! Only paths that later generations wrote are undone; all others keep their bytes. Each step is judged
//! with the planner's own verdicts, so that edits are merged, kept, reverted or held as they are there.
//! One hold holds the whole: half a rollback is worse than none. What was left, and what `fleet.toml`
//! gives at this moment, are rejected, so that the next pass does not bring them back. There is no
//! budget: who asks for a rollback has said what to change.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::{Actual, Seen};
use crate::model::desired::{Desired, DesiredEntry, Resolution};
use crate::model::fleet::{Changed, Policies};
use crate::model::host_owned::HostOwned;
use crate::model::pack::Modes;
use crate::model::plan::{Action, Cause, Conflict, Hold, HoldCause, Obstacle, Plan, Purpose};
use crate::model::record::{Decision, Record, Recorded, RecordedPack, Rejection, Take};
use crate::model::{Content, DesiredDigest, Entry, PackName, RecordDigest, TreePath};

use super::assemble::{actions, directories, says_something_new, settle};
use super::drift::{
    Adapted, Drift, Judged, PackDrift, clear_way, plain, policy_on_record, recorded_desired, stand,
};
use super::holds::{Held, spread};
use super::standing::Standing;
use super::verdict::{Departs, MergeAnswer, Verdict, decided, merge_ask, verdict};

/// What becomes of an edit that cannot be merged into what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflicts {
    /// It holds the whole rollback: a person decides.
    Hold,
    /// It stays where it is, with what it is an edit of as its base, and the rest goes back: nobody is there
    /// to decide, and what stands is ill.
    Leave,
}

/// All that a rollback is planned from.
#[derive(Debug, Clone, Copy)]
pub struct Undo<'a> {
    /// The policies for edits.
    pub policies: &'a Policies,
    /// What becomes of edits that cannot be merged.
    pub conflicts: Conflicts,
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
    /// What is there, at the paths of both records and of all later actions.
    pub actual: &'a Actual,
    /// What `fleet.toml` gives at this moment.
    pub given: &'a Desired,
    /// One pack, or all.
    pub only: Option<&'a PackName>,
}

/// What cannot be decided without bytes.
pub trait Reader {
    /// Merges the contents of a path: base, actual, desired.
    fn merge(&mut self, path: &TreePath, base: Content, actual: Content, desired: Content) -> MergeAnswer;

    /// Base and desired of a path with the host's values of its keys in them; `None` where no key is the
    /// host's, or nothing can be adapted.
    fn adapt(&mut self, path: &TreePath, judged: &Judged) -> Option<Adapted>;
}

/// Plans a rollback.
pub fn rollback(undo: &Undo<'_>, reader: &mut dyn Reader) -> Plan {
    let written = undo.written();
    let (mut drift, owners) = undo.judge(&written);
    let hosts_keys: Vec<(TreePath, Adapted)> = drift
        .paths
        .iter()
        .filter_map(|(path, judged)| Some((path.clone(), reader.adapt(path, judged)?)))
        .collect();
    for (path, adapted) in hosts_keys {
        drift.adapt(&path, adapted);
    }
    let verdicts = drift
        .paths
        .iter()
        .map(|(path, judged)| {
            let later = written.get(path).map_or(&[][..], Vec::as_slice);
            let verdict = match (undo.verdict(path, judged, later, &owners, reader), undo.conflicts) {
                (Verdict::Hold(_), Conflicts::Leave) => Verdict::Leave,
                (verdict, _) => verdict,
            };
            (path.clone(), verdict)
        })
        .collect();
    let mut held = spread(&drift, undo.record, &verdicts, Vec::new());
    // The whole is held; that packs wait for each other besides says nothing more.
    held.holds.retain(|hold| !matches!(hold.cause, HoldCause::Requires { .. }));
    let mut next = undo.record.clone();
    let (mut steps, mut prune, mut commits) = (Vec::new(), Vec::new(), false);
    if held.holds.is_empty() {
        steps = actions(&drift, undo.record, &verdicts, &held);
        undo.restore(&mut next, &drift, &verdicts, &held);
        commits = !steps.is_empty() || says_something_new(undo.record, &next);
    }
    if commits {
        prune = directories(&mut next, &steps, undo.actual);
    } else {
        next = undo.record.clone();
    }
    next.generation += 1;
    Plan {
        purpose: Purpose::Rollback { to: undo.to },
        generation: undo.record.generation,
        record: undo.digest,
        actions: steps,
        holds: held.holds,
        prune,
        next,
        commits,
        renames: BTreeMap::new(),
    }
}

/// What later generations did at each path, newest first.
type Written<'a> = BTreeMap<&'a TreePath, Vec<&'a Action>>;

/// Which pack a path will belong to.
type Owners = BTreeMap<TreePath, PackName>;

impl Undo<'_> {
    fn covers(&self, pack: &PackName) -> bool {
        self.only.is_none_or(|only| only == pack)
    }

    fn written(&self) -> Written<'_> {
        let mut written = Written::new();
        for action in self.later.iter().flatten() {
            written.entry(&action.path).or_default().push(action);
        }
        written
    }

    /// Every path with the target's entry as its desired one. Packs that are not covered have no drift.
    fn judge(&self, written: &Written<'_>) -> (Drift, Owners) {
        let names: BTreeSet<&PackName> = self.record.packs.keys().chain(self.target.packs.keys()).collect();
        let mut packs: BTreeMap<PackName, PackDrift> = BTreeMap::new();
        for name in names.into_iter().filter(|name| self.covers(name)) {
            let wanted = recorded_desired(self.target, name);
            let stopped = self.moved(name, written);
            let drift = PackDrift { wanted, frozen: None, moves_with: BTreeSet::new(), stopped };
            packs.insert(name.clone(), drift);
        }
        let mut owners = Owners::new();
        for (path, recorded) in self.record.entries.iter().filter(|(_, r)| !self.covers(&r.owner)) {
            owners.insert(path.clone(), recorded.owner.clone());
        }
        for (path, recorded) in self.target.entries.iter().filter(|(_, r)| self.covers(&r.owner)) {
            owners.insert(path.clone(), recorded.owner.clone());
        }
        let host_owned = self.host_owned(&packs);
        let mut paths = BTreeMap::new();
        let known = self.record.entries.keys().chain(owners.keys()).chain(written.keys().copied());
        for path in known.collect::<BTreeSet<_>>() {
            let recorded = self.record.entries.get(path);
            let by = written.get(path).and_then(|actions| actions.first()).map(|action| &action.pack);
            let Some(pack) = owners.get(path).or(recorded.map(|r| &r.owner)).or(by) else { continue };
            let wanted = packs.get(pack).and_then(|drift| drift.wanted.as_ref());
            let known = wanted.map(|wanted| &wanted.recorded).or_else(|| self.record.packs.get(pack));
            let mut judged = Judged {
                pack: pack.clone(),
                recorded: recorded.cloned(),
                actual: self.actual.paths.get(path).cloned(),
                desired: wanted.and_then(|wanted| wanted.entries.get(path)).cloned(),
                standing: Standing::HostOwned,
                edits: policy_on_record(self.policies.packs.get(pack).copied(), wanted, self.policies.rest),
                modes: known.map_or(Modes::ExecBit, |known| known.modes),
                adapted: None,
            };
            clear_way(path, &mut judged, self.record, &owners, self.actual);
            let marked = |entry: Option<&Recorded>| entry.is_some_and(|entry| entry.base.is_none());
            let is_hosts = marked(recorded)
                || judged.desired.as_ref().is_some_and(|desired| desired.host_owned)
                || host_owned.get(pack).is_some_and(|owned| owned.iter().any(|owned| owned.owns(path)));
            if !is_hosts {
                judged.standing = stand(&judged);
            }
            paths.insert(path.clone(), judged);
        }
        (Drift { paths, packs, renames: BTreeMap::new() }, owners)
    }

    /// With `--pack`, a path that changed hands cannot be given back by one side alone.
    fn moved(&self, name: &PackName, written: &Written<'_>) -> Vec<Hold> {
        if self.only.is_none() {
            return Vec::new();
        }
        let mine = |record: &Record, path: &TreePath| {
            record.entries.get(path).is_some_and(|recorded| &recorded.owner == name)
        };
        let paths: BTreeSet<&TreePath> =
            self.record.entries.keys().chain(self.target.entries.keys()).collect();
        let mut holds = Vec::new();
        for path in paths {
            if !mine(self.record, path) && !mine(self.target, path) {
                continue;
            }
            let records = [self.record, self.target].into_iter();
            let recorded = records.filter_map(|record| Some(&record.entries.get(path)?.owner));
            let wrote = written.get(path).into_iter().flatten().map(|action| &action.pack);
            if let Some(other) = recorded.chain(wrote).find(|owner| *owner != name) {
                let cause = HoldCause::Tied { pack: other.clone() };
                holds.push(Hold { pack: Some(name.clone()), path: Some(path.clone()), cause });
            }
        }
        holds
    }

    /// What is the host's: then, now, or as `fleet.toml` says at this moment.
    fn host_owned(&self, packs: &BTreeMap<PackName, PackDrift>) -> BTreeMap<PackName, Vec<HostOwned>> {
        let owned = |known: &RecordedPack| HostOwned::new(&known.install, &known.host_owns);
        let of = |name: &PackName, drift: &PackDrift| {
            let given = match self.given.packs.get(name) {
                Some(Resolution::Pinned(pack)) => Some(&pack.recorded),
                Some(Resolution::Held(_)) | None => None,
            };
            let then = drift.wanted.as_ref().map(|wanted| &wanted.recorded);
            [then, self.record.packs.get(name), given].into_iter().flatten().map(owned).collect()
        };
        packs.iter().map(|(name, drift)| (name.clone(), of(name, drift))).collect()
    }

    fn verdict(
        &self,
        path: &TreePath,
        judged: &Judged,
        later: &[&Action],
        owners: &Owners,
        reader: &mut dyn Reader,
    ) -> Verdict {
        if !self.covers(&judged.pack) {
            return Verdict::Leave;
        }
        if judged.standing == Standing::HostOwned {
            return self.hosts(judged);
        }
        let nobodys = judged.recorded.is_none() && judged.desired.is_none();
        if nobodys && self.actual.paths.contains_key(path) {
            return Verdict::Leave;
        }
        let left = match undone(path, judged, later, reader)
            .and_then(|left| self.finished(path, judged, left, reader))
        {
            Ok(Left::Entry(left)) => left,
            Ok(Left::Obstacle) => {
                // What was left there is still all that is known of it.
                let known = judged.recorded.as_ref().or_else(|| self.target.entries.get(path));
                return settled(judged, known.and_then(|recorded| recorded.written));
            }
            Ok(Left::Kept) => {
                return match judged.recorded {
                    Some(_) => Verdict::Leave,
                    None => settled(judged, judged.actual_entry()),
                };
            }
            // What undoing newer generations would have left in between never lay here.
            Err(HoldCause::Conflict { base, desired, conflict, renamed, .. }) => {
                let actual = judged.actual_entry();
                let conflict = match *conflict {
                    Conflict::UpstreamDeleted => Box::new(Conflict::NotThen { generation: self.to }),
                    _ => conflict,
                };
                return Verdict::Hold(HoldCause::Conflict { base, actual, desired, renamed, conflict });
            }
            Err(cause) => return Verdict::Hold(cause),
        };
        let before = judged.actual_entry();
        if before == left {
            return settled(judged, left);
        }
        if let Some(entry) = left
            && let Some(obstacle) = self.in_the_way(path, judged, entry, owners)
        {
            return Verdict::Hold(HoldCause::Obstructed(obstacle));
        }
        // A person's bytes are those that differ from the base.
        let base = judged.base().map(|base| plain(judged.modes, base));
        let save = before.is_some_and(|before| Some(plain(judged.modes, before)) != base);
        let settle = record_of(judged, left);
        Verdict::Write { before, after: left, cause: Cause::Rollback, save, settle }
    }

    /// Never touched, except installed where absent. The mark of it stays while what shipped it is
    /// rejected, so that it is not installed a second time when that may come back.
    fn hosts(&self, judged: &Judged) -> Verdict {
        let mark = judged.recorded.as_ref().is_some_and(|recorded| recorded.base.is_none());
        let stays = self.target.packs.contains_key(&judged.pack) && self.rejection(&judged.pack).is_some();
        if mark && judged.desired.is_none() && stays {
            return Verdict::Leave;
        }
        match verdict(judged, None, None, Departs::No) {
            Verdict::Write { before, after, save, settle, .. } => {
                Verdict::Write { before, after, cause: Cause::Rollback, save, settle }
            }
            verdict => verdict,
        }
    }

    /// What stands in the way of a file that the target does not have but that came out of the tree.
    fn in_the_way(
        &self,
        path: &TreePath,
        judged: &Judged,
        entry: Entry,
        owners: &Owners,
    ) -> Option<Obstacle> {
        let mut put = judged.clone();
        put.actual = self.actual.paths.get(path).cloned();
        put.desired = Some(DesiredEntry { entry, host_owned: false, commit: None });
        clear_way(path, &mut put, self.record, owners, self.actual);
        put.obstacle().cloned()
    }

    /// As a pass to the target's Desired would do it, from what undoing left.
    fn finished(
        &self,
        path: &TreePath,
        judged: &Judged,
        left: Left,
        reader: &mut dyn Reader,
    ) -> Result<Left, HoldCause> {
        let (Some(_), Left::Entry(_) | Left::Obstacle) = (&judged.desired, &left) else { return Ok(left) };
        let mut last = judged.clone();
        last.recorded = self.target.entries.get(path).cloned();
        if let Left::Entry(entry) = left {
            last.actual = entry.map(Seen::Entry);
        }
        stand_adapted(path, &mut last, reader);
        let decision = self.record.decisions.get(path).filter(|_| last.actual == judged.actual);
        let decision = decision.or_else(|| self.target.decisions.get(path).filter(|then| keeps_away(then)));
        match verdict(&last, None, decision, Departs::No) {
            Verdict::Write { after, .. } => Ok(Left::Entry(after)),
            Verdict::Hold(cause) => Err(cause),
            Verdict::Leave | Verdict::Settle(_) | Verdict::Forget => Ok(left),
        }
    }

    /// The record after the rollback, directories apart.
    fn restore(&self, next: &mut Record, drift: &Drift, verdicts: &BTreeMap<TreePath, Verdict>, held: &Held) {
        settle(&mut next.entries, drift, verdicts, held);
        for (name, pack) in &drift.packs {
            match &pack.wanted {
                Some(wanted) => {
                    next.packs.insert(name.clone(), wanted.recorded.clone());
                }
                // An edit that is left behind is no reason to call its pack installed.
                None if self.conflicts == Conflicts::Leave
                    || !next.entries.values().any(|recorded| &recorded.owner == name) =>
                {
                    next.packs.remove(name);
                }
                None => {}
            }
        }
        let names: BTreeSet<&PackName> = drift.packs.keys().chain(self.given.packs.keys()).collect();
        for name in names.into_iter().filter(|name| self.covers(name)) {
            match self.rejection(name) {
                Some(rejection) => next.rejected.insert(name.clone(), rejection),
                None => next.rejected.remove(name),
            };
        }
        for (path, decision) in self.target.decisions.iter().filter(|(_, then)| keeps_away(then)) {
            if drift.paths.get(path).is_some_and(|judged| self.covers(&judged.pack)) {
                next.decisions.entry(path.clone()).or_insert_with(|| decision.clone());
            }
        }
        next.decisions.retain(|path, decision| stands(path, decision, drift, verdicts));
    }

    /// What must not come back by itself: what was left, and what `fleet.toml` gives. Where that is the
    /// restored state already, a rejection would end with the next pass.
    fn rejection(&self, name: &PackName) -> Option<Rejection> {
        let digest = |pack: &RecordedPack| pack.desired;
        let restored: Option<DesiredDigest> = self.target.packs.get(name).map(digest);
        let mut digests = vec![self.record.packs.get(name).map(digest)];
        let mut give = |given: Option<DesiredDigest>| {
            digests.push(given);
            given != restored
        };
        let differs = match self.given.packs.get(name) {
            Some(Resolution::Pinned(pack)) => give(Some(pack.recorded.desired)),
            None => give(None),
            // Unknown at this moment: what it was rejected for before stays rejected.
            Some(Resolution::Held(_)) => {
                digests.extend(self.record.rejected.get(name).iter().flat_map(|r| r.digests.clone()));
                true
            }
        };
        digests.sort();
        digests.dedup();
        digests.retain(|digest| *digest != restored);
        (differs && !digests.is_empty()).then_some(Rejection { digests, restored: self.to })
    }
}

/// What undoing would leave at one path.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// That.
    Entry(Option<Entry>),
    /// Something that is neither file nor link stays.
    Obstacle,
    /// An edit, kept by policy: bytes and base stay as they are.
    Kept,
}

/// Undoes what later generations did at a path.
fn undone(
    path: &TreePath,
    judged: &Judged,
    later: &[&Action],
    reader: &mut dyn Reader,
) -> Result<Left, HoldCause> {
    let mut step = judged.clone();
    let desired = |entry| DesiredEntry { entry, host_owned: false, commit: None };
    let counts = |entry: Option<Entry>| entry.map(|entry| plain(judged.modes, entry));
    let edited = judged.actual.is_some() && counts(judged.actual_entry()) != counts(judged.base());
    // A path equal to its base is no edit that could be kept, whatever the generation left there.
    let equal = judged.edits.changed == Changed::Keep && judged.actual.is_some() && !edited;
    for (nth, action) in later.iter().enumerate() {
        let left = if nth == 0 && equal { judged.actual_entry() } else { action.after };
        let owner = action.pack.clone();
        step.recorded = Some(Recorded { owner, base: left, written: left, commit: None });
        step.desired = action.before.map(desired);
        stand_adapted(path, &mut step, reader);
        let answer =
            merge_ask(&step).map(|(base, actual, desired)| reader.merge(path, base, actual, desired));
        match verdict(&step, answer.as_ref(), None, Departs::No) {
            Verdict::Write { after, .. } => step.actual = after.map(Seen::Entry),
            Verdict::Leave if step.standing == Standing::Conflicted && edited => return Ok(Left::Kept),
            // An edit of that time, which came out of a generation: it is back, and kept.
            Verdict::Leave if step.standing == Standing::Conflicted => break,
            Verdict::Leave | Verdict::Settle(_) | Verdict::Forget => {}
            Verdict::Hold(cause) => return Err(cause),
        }
    }
    Ok(match step.actual {
        Some(Seen::Entry(entry)) => Left::Entry(Some(entry)),
        Some(Seen::Obstacle(_)) => Left::Obstacle,
        None => Left::Entry(None),
    })
}

/// Judges a path whose sides are not those of the record.
fn stand_adapted(path: &TreePath, judged: &mut Judged, reader: &mut dyn Reader) {
    judged.adapted = None;
    judged.adapted = reader.adapt(path, judged);
    judged.standing = stand(judged);
}

/// The target's base with what is left there; `None` where the target has nothing.
fn record_of(judged: &Judged, written: Option<Entry>) -> Option<Recorded> {
    let desired = judged.desired.as_ref()?;
    Some(Recorded {
        owner: judged.pack.clone(),
        base: Some(desired.entry),
        written,
        commit: desired.commit.clone(),
    })
}

/// No file is touched.
fn settled(judged: &Judged, written: Option<Entry>) -> Verdict {
    match record_of(judged, written) {
        Some(recorded) => Verdict::Settle(recorded),
        None if judged.recorded.is_some() => Verdict::Forget,
        None => Verdict::Leave,
    }
}

/// Whether a decision says that a file stays away. No base says so, so that it counts as long as its generation
/// stands, and again when that one is gone back to.
fn keeps_away(decision: &Decision) -> bool {
    decision.actual.is_none() && decision.take == Take::Local
}

/// Whether a decision stays on record: what it speaks of is still there, and it was not carried out.
fn stands(
    path: &TreePath,
    decision: &Decision,
    drift: &Drift,
    verdicts: &BTreeMap<TreePath, Verdict>,
) -> bool {
    let Some(judged) = drift.paths.get(path).filter(|judged| drift.packs.contains_key(&judged.pack)) else {
        return true;
    };
    if decided(judged, Some(decision)).is_some() {
        // That a file stays away is in no base; the decision is what says so.
        return keeps_away(decision);
    }
    let left = match verdicts.get(path) {
        Some(Verdict::Write { after, .. }) => *after,
        _ => judged.actual_entry(),
    };
    decision.actual == left
}
