//! One path's verdict: what the plan does there, or why it does nothing.
//!
//! The rows of the table, the policies for edits, decisions of people, host-owned paths and the answers
//! of merges meet here. A verdict concerns one path alone; that a held path holds others is decided in
//! [`super::holds`].

use crate::model::actual::Seen;
use crate::model::fleet::{Changed, Deleted};
use crate::model::pack::Modes;
use crate::model::plan::{Cause, Conflict, HoldCause, Obstacle};
use crate::model::record::{Decision, Recorded, Take};
use crate::model::{Content, Entry, Kind};

use super::drift::Judged;
use super::standing::Standing;

/// What a merge of contents came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeAnswer {
    /// Clean; the bytes are where the engine keeps them.
    Clean(Content),
    /// It cannot be merged.
    Conflict(Conflict),
}

/// What happens at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; what is recorded stays recorded.
    Leave,
    /// No file is touched; this is now on record.
    Settle(Recorded),
    /// No file is touched; the path is no longer packfleet's.
    Forget,
    /// A file is put or removed, and this is on record afterwards (`None`: nothing is).
    Write {
        /// What must lie there.
        before: Option<Entry>,
        /// What will lie there.
        after: Option<Entry>,
        /// Why.
        cause: Cause,
        /// Whether what comes out is a person's work.
        save: bool,
        /// The record afterwards.
        settle: Option<Recorded>,
    },
    /// Nothing, and a person must know why.
    Hold(HoldCause),
}

/// Whether the contents of a conflicting path must be merged to judge it, and which.
pub fn merge_ask(judged: &Judged) -> Option<(Content, Content, Content)> {
    if judged.standing != Standing::Conflicted || judged.edits.changed != Changed::Merge {
        return None;
    }
    let (base, actual, desired) = (judged.base()?, judged.actual_entry()?, judged.desired_entry()?);
    if [base, actual, desired].iter().any(|entry| entry.kind == Kind::Link) {
        return None;
    }
    let settled = base.content == desired.content
        || base.content == actual.content
        || actual.content == desired.content;
    (!settled).then_some((base.content, actual.content, desired.content))
}

/// The verdict on one path. `departs`: the whole deployment is to be removed, edits kept.
pub fn verdict(
    judged: &Judged,
    answer: Option<&MergeAnswer>,
    decision: Option<&Decision>,
    departs: Departs,
) -> Verdict {
    if judged.standing == Standing::HostOwned {
        return host_owned(judged);
    }
    match judged.obstacle() {
        Some(Obstacle::Unreadable(_) | Obstacle::Busy) if judged.standing != Standing::Unmanaged => {
            return obstructed(judged);
        }
        _ => {}
    }
    if let Some(take) = decided(judged, decision) {
        return carry_out(judged, take);
    }
    let settled = settle(judged, judged.actual_entry());
    match judged.standing {
        Standing::InSync => refresh(judged, settled),
        Standing::Converged => settled.map_or(Verdict::Forget, Verdict::Settle),
        Standing::Behind => {
            let cause = match (judged.base(), judged.desired_entry()) {
                (None, _) => Cause::Create,
                (_, None) => Cause::Remove,
                _ => Cause::Upgrade,
            };
            put(judged, cause, Save::No)
        }
        Standing::Missing => match judged.edits.deleted {
            Deleted::Restore => put(judged, Cause::Restore, Save::No),
            Deleted::Keep => settled.map_or(Verdict::Forget, Verdict::Settle),
        },
        Standing::Edited => match (judged.edits.changed, judged.obstacle()) {
            (Changed::Revert, Some(_)) => obstructed(judged),
            (Changed::Revert, None) => put(judged, Cause::Revert, Save::Yes),
            // What was left there is still all that is known of it.
            (_, Some(_)) => refresh(judged, settle(judged, judged.recorded.as_ref().and_then(|r| r.written))),
            (_, None) => refresh(judged, settled),
        },
        Standing::Conflicted => conflicted(judged, answer, departs),
        Standing::Unmanaged | Standing::HostOwned => Verdict::Leave,
    }
}

/// Whether the deployment is leaving the fleet (`state = "absent"`): edits stay, as files of nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departs {
    /// It stays.
    No,
    /// It leaves.
    Yes,
}

/// Whether what comes out of the tree becomes a saved edit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Save {
    No,
    Yes,
}

fn conflicted(judged: &Judged, answer: Option<&MergeAnswer>, departs: Departs) -> Verdict {
    if departs == Departs::Yes && judged.desired.is_none() {
        return Verdict::Forget;
    }
    // A file that is not ours but has the very bytes is adopted; its exec bit counts as an edit, which is
    // reverted at once where edits are: an adoption that the next pass corrects would be half a pass.
    if let (None, Some(actual), Some(desired)) =
        (judged.base(), judged.actual_entry(), judged.desired_entry())
        && actual.kind != Kind::Link
        && desired.kind != Kind::Link
        && actual.content == desired.content
    {
        return match (judged.edits.changed, settle(judged, Some(actual))) {
            (Changed::Revert, _) => put(judged, Cause::Revert, Save::Yes),
            (_, Some(adopted)) => Verdict::Settle(adopted),
            (_, None) => Verdict::Leave,
        };
    }
    match judged.edits.changed {
        // What has no base is no edit but a stranger, which `keep` does not speak of.
        Changed::Keep if judged.base().is_some() => Verdict::Leave,
        _ if judged.obstacle().is_some() => obstructed(judged),
        Changed::Revert if judged.base().is_some() => {
            let cause = if judged.desired.is_some() { Cause::Revert } else { Cause::Remove };
            put(judged, cause, Save::Yes)
        }
        Changed::Revert | Changed::Merge | Changed::Keep => merged(judged, answer),
    }
}

fn merged(judged: &Judged, answer: Option<&MergeAnswer>) -> Verdict {
    let hold = |conflict| {
        Verdict::Hold(HoldCause::Conflict {
            base: judged.base(),
            actual: judged.actual_entry(),
            desired: judged.desired_entry(),
            renamed: None,
            conflict: Box::new(conflict),
        })
    };
    let (base, actual, desired) = match (judged.base(), judged.actual_entry(), judged.desired_entry()) {
        (None, ..) => return hold(Conflict::NotOurs),
        (_, _, None) => return hold(Conflict::UpstreamDeleted),
        (_, None, _) => return hold(Conflict::HostDeleted),
        (Some(base), Some(actual), Some(desired)) => (base, actual, desired),
    };
    if [base, actual, desired].iter().any(|entry| entry.kind == Kind::Link) {
        return hold(Conflict::Kind);
    }
    let content = if actual.content == desired.content || base.content == desired.content {
        actual.content
    } else if base.content == actual.content {
        desired.content
    } else {
        match answer {
            Some(MergeAnswer::Clean(content)) => *content,
            Some(MergeAnswer::Conflict(conflict)) => return hold(conflict.clone()),
            None => return hold(Conflict::NoBase),
        }
    };
    // Two values of one bit: whichever side changed it wins, and both cannot have changed it apart.
    let kind = if actual.kind == base.kind { desired.kind } else { actual.kind };
    let kind = if judged.modes == Modes::Ignore { actual.kind } else { kind };
    let result = Entry { kind, content };
    let settle = settle(judged, Some(result));
    if result == actual {
        return settle.map_or(Verdict::Forget, Verdict::Settle);
    }
    Verdict::Write { before: Some(actual), after: Some(result), cause: Cause::Merge, save: false, settle }
}

/// The decision, if it still speaks of what is there and of what should be, and the policy allows it.
pub fn decided(judged: &Judged, decision: Option<&Decision>) -> Option<Take> {
    let decision = decision?;
    let same = decision.actual == judged.actual_entry()
        && decision.desired == judged.desired_entry()
        && judged.obstacle().is_none()
        && judged.actual_entry() != judged.desired_entry();
    let allowed = judged.edits.changed != Changed::Revert || decision.take == Take::Pack;
    (same && allowed).then_some(decision.take)
}

fn carry_out(judged: &Judged, take: Take) -> Verdict {
    let actual = judged.actual_entry();
    match take {
        Take::Local => settle(judged, actual).map_or(Verdict::Forget, Verdict::Settle),
        Take::Pack => put(judged, Cause::Resolve, Save::Yes),
        Take::File(content) => {
            let kind = judged.desired_entry().or(actual).map_or(Kind::File, |entry| entry.kind);
            let kind = if kind == Kind::Link { Kind::File } else { kind };
            let after = Some(live_bit(judged, Entry { kind, content }));
            let settle = settle(judged, after);
            if actual == after {
                return settle.map_or(Verdict::Forget, Verdict::Settle);
            }
            let save = actual.is_some();
            Verdict::Write { before: actual, after, cause: Cause::Resolve, save, settle }
        }
    }
}

/// Host-owned: installed once where absent, then only the mark; never removed, never looked at again.
fn host_owned(judged: &Judged) -> Verdict {
    let Some(desired) = &judged.desired else {
        return if judged.recorded.is_some() { Verdict::Forget } else { Verdict::Leave };
    };
    let mark = Recorded {
        owner: judged.pack.clone(),
        base: None,
        written: Some(desired.entry),
        commit: desired.commit.clone(),
    };
    match (&judged.recorded, &judged.actual) {
        (Some(recorded), _) if recorded.base.is_none() && recorded.owner == judged.pack => Verdict::Leave,
        (None, None) => Verdict::Write {
            before: None,
            after: Some(desired.entry),
            cause: Cause::Create,
            save: false,
            settle: Some(mark),
        },
        // Neither known to be there nor known to be absent: asked again on the next pass.
        (
            None,
            Some(Seen::Obstacle(Obstacle::Ancestor { .. } | Obstacle::Unreadable(_) | Obstacle::Busy)),
        ) => Verdict::Leave,
        (None, Some(_)) | (Some(_), _) => Verdict::Settle(mark),
    }
}

/// In sync or an edit that stays: the record changes only if owner, base or commit do.
fn refresh(judged: &Judged, settled: Option<Recorded>) -> Verdict {
    match (settled, &judged.recorded) {
        (Some(settled), Some(recorded))
            if settled.owner == recorded.owner
                && settled.base == recorded.base
                && settled.written == recorded.written
                && settled.commit == recorded.commit =>
        {
            Verdict::Leave
        }
        (Some(settled), _) => Verdict::Settle(settled),
        (None, _) => Verdict::Forget,
    }
}

fn put(judged: &Judged, cause: Cause, save: Save) -> Verdict {
    let before = judged.actual_entry();
    let after = judged.desired_entry().map(|after| live_bit(judged, after));
    let settle = settle(judged, after);
    if before == after {
        return settle.map_or(Verdict::Forget, Verdict::Settle);
    }
    let save = save == Save::Yes && before.is_some();
    Verdict::Write { before, after, cause, save, settle }
}

/// Where exec bits do not count, a live file keeps its own.
fn live_bit(judged: &Judged, after: Entry) -> Entry {
    match (judged.modes, judged.actual_entry()) {
        (Modes::Ignore, Some(live)) if live.kind != Kind::Link && after.kind != Kind::Link => {
            Entry { kind: live.kind, ..after }
        }
        _ => after,
    }
}

/// base := desired, written := what is left there. `None` where nothing is desired any more.
fn settle(judged: &Judged, written: Option<Entry>) -> Option<Recorded> {
    let desired = judged.desired.as_ref()?;
    Some(Recorded {
        owner: judged.pack.clone(),
        base: Some(desired.entry),
        written,
        commit: desired.commit.clone(),
    })
}

fn obstructed(judged: &Judged) -> Verdict {
    match judged.obstacle() {
        Some(obstacle) => Verdict::Hold(HoldCause::Obstructed(obstacle.clone())),
        None => Verdict::Leave,
    }
}
