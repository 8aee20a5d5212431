//! What holds of every plan, whatever was asked.
//!
//! Deterministic; `before` is what lies there; what is held is not touched; no bytes of a person leave
//! the tree unsaved; base moves only to what was put, merged, equal or decided; and once carried out
//! there is nothing left to do.

use packfleet::model::fleet::{Changed, Deleted, State};
use packfleet::model::pack::Modes;
use packfleet::model::plan::{Action, Cause, HoldCause, Plan};
use packfleet::model::record::{Record, Take};
use packfleet::model::{Entry, Kind, TreePath};
use packfleet::plan::{Drift, Judged, Standing};

use crate::world::{Merging, World};

/// Plans, checks every law, and carries the plan out. Gives the plan.
pub fn step(world: &mut World) -> Plan {
    let (drift, plan) = world.plan();
    let (same, again) = world.plan();
    assert_eq!(format!("{drift:?}"), format!("{same:?}"), "deterministic");
    assert_eq!(plan, again, "deterministic");
    assert_eq!(plan.id(), again.id());
    before_is_there(world, &plan);
    held_is_not_touched(world, &drift, &plan);
    for action in &plan.actions {
        no_edit_is_lost(world, &drift, &plan, action);
    }
    followed(world, &drift, &plan);
    base_moves_for_a_reason(world, &drift, &plan);
    assert!(plan.commits || plan.actions.is_empty(), "actions without a commit");
    assert_eq!(plan.next.generation, plan.generation + 1);
    if plan.commits {
        let shown = world.render(&plan);
        world.apply(&plan);
        let (_, mut after) = world.plan();
        // A hold may go with what else the plan did: a file that was forgotten is a stranger next time.
        if !plan.holds.is_empty() && after.commits {
            world.apply(&after);
            after = world.plan().1;
        }
        let left = format!("{shown}--- and after that\n{}", world.render(&after));
        assert!(after.actions.is_empty() && !after.commits, "not convergent:\n{left}");
    }
    plan
}

fn before_is_there(world: &World, plan: &Plan) {
    let files = world.files();
    let mut paths = std::collections::BTreeSet::new();
    for action in &plan.actions {
        assert_eq!(files.get(&action.path).copied(), action.before, "{}", action.path);
        assert!(paths.insert(&action.path), "{} twice", action.path);
    }
}

fn held_is_not_touched(world: &World, drift: &Drift, plan: &Plan) {
    let empty = Record::empty(world.fleet.clone(), plan.next.deployment.clone(), plan.next.root.clone());
    let record = world.record.as_ref().unwrap_or(&empty);
    let atomic = |name| {
        let wanted = drift.packs.get(name).and_then(|pack| pack.wanted.as_ref());
        let known = wanted.map(|wanted| &wanted.recorded).or_else(|| record.packs.get(name));
        known.is_none_or(|pack| pack.atomic)
    };
    for hold in &plan.holds {
        // A path that a frozen pack keeps is held for the other one that wants it.
        if let Some(path) = &hold.path
            && drift.paths.get(path).map(|judged| &judged.pack) == hold.pack.as_ref()
        {
            assert!(plan.actions.iter().all(|action| action.path != *path), "{path} is held");
            assert_eq!(plan.next.entries.get(path), record.entries.get(path), "{path} is held");
            if let Some(to) = drift.renames.get(path).filter(|it| it.followed().is_some()).map(|it| &it.to) {
                assert!(plan.actions.iter().all(|action| action.path != *to), "{to} is held with {path}");
                assert!(!plan.next.entries.contains_key(to), "{to} is held with {path}");
            }
        }
        let frozen =
            matches!(hold.cause, HoldCause::Version(_) | HoldCause::Source(_) | HoldCause::Rejected { .. });
        let Some(name) = hold.pack.as_ref() else { continue };
        if frozen || atomic(name) || hold.path.is_none() {
            assert_eq!(plan.next.packs.get(name), record.packs.get(name), "pin of {name}");
        }
        if !frozen && (atomic(name) || hold.path.is_none()) {
            assert!(plan.actions.iter().all(|action| action.pack != *name), "{name} is held");
            let of = |record: &Record| {
                let mine = record.entries.iter().filter(|(_, entry)| entry.owner == *name);
                mine.map(|(path, entry)| (path.clone(), entry.clone())).collect::<Vec<_>>()
            };
            assert_eq!(of(&plan.next), of(record), "{name} is held");
        }
    }
}

fn plain(judged: &Judged, entry: Entry) -> Entry {
    match (judged.modes, entry.kind) {
        (Modes::Ignore, Kind::Exec) => Entry { kind: Kind::File, ..entry },
        _ => entry,
    }
}

/// What follows a rename lies at its new path, byte for byte or merged; what is merged is saved as well.
fn followed(world: &World, drift: &Drift, plan: &Plan) {
    for (to, from) in &plan.renames {
        let at =
            |path: &TreePath| plan.actions.iter().find(|action| action.path == *path).expect("both steps");
        let (put, taken) = (at(to), at(from));
        let (before, after) = (taken.before.expect("an edit"), put.after.expect("it goes along"));
        let shown = format!("{from} {} -> {to} {}", world.show(Some(before)), world.show(Some(after)));
        assert!(put.before.is_none() && taken.after.is_none(), "{shown}");
        assert!(!plan.next.entries.contains_key(from), "{shown}");
        assert_eq!(plan.next.entries[to].base, drift.paths[to].desired_entry(), "{shown}");
        assert_eq!(plan.next.entries[to].written, Some(after), "{shown}");
        let Some(judged) = drift.renames[from].followed() else { panic!("nobody asked: {shown}") };
        let base = judged.base().expect("a base");
        let whole = [after.content, base.content].contains(&before.content);
        assert!(taken.save || whole, "lost: {shown}");
        let by_name = world.merging == Merging::Names && !world.answers.contains_key(from);
        if put.cause == Cause::Rename && by_name && base.content != before.content {
            assert!(world.names[&after.content].contains(&world.names[&before.content]), "lost: {shown}");
        }
        if put.cause == Cause::Rename && (judged.modes == Modes::Ignore || base.kind != before.kind) {
            assert_eq!(after.kind, before.kind, "exec bit lost: {shown}");
        }
    }
    for (old, rename) in &drift.renames {
        let Some(judged) = rename.followed() else { continue };
        let acts = |path: &TreePath| plan.actions.iter().any(|action| action.path == *path);
        if judged.actual.is_some() {
            assert_eq!(acts(old), acts(&rename.to), "one without the other: {old} -> {}", rename.to);
        }
    }
}

fn no_edit_is_lost(world: &World, drift: &Drift, plan: &Plan, action: &Action) {
    let judged = &drift.paths[&action.path];
    let Some(before) = action.before else { return };
    if plan.renames.values().any(|from| *from == action.path) {
        return;
    }
    let base = judged.base();
    if action.save || base.map(|base| plain(judged, base)) == Some(plain(judged, before)) {
        return;
    }
    let shown = format!("{} {} -> {}", action.path, world.show(Some(before)), world.show(action.after));
    let after = action.after.unwrap_or_else(|| panic!("removed unsaved: {shown}"));
    assert_eq!(action.cause, Cause::Merge, "overwritten unsaved: {shown}");
    let by_name = world.merging == Merging::Names && !world.answers.contains_key(&action.path);
    if by_name && base.is_some_and(|base| base.content != before.content) {
        assert!(world.names[&after.content].contains(&world.names[&before.content]), "lost: {shown}");
    }
    if judged.modes == Modes::Ignore || base.is_some_and(|base| base.kind != before.kind) {
        assert_eq!(after.kind, before.kind, "exec bit lost: {shown}");
    }
}

fn base_moves_for_a_reason(world: &World, drift: &Drift, plan: &Plan) {
    for (path, judged) in &drift.paths {
        let was = judged.recorded.as_ref();
        let is = plan.next.entries.get(path);
        let action = plan.actions.iter().find(|action| action.path == *path);
        let stays_away = drift.renames.values().any(|rename| {
            rename.to == *path && rename.followed().is_some_and(|judged| judged.actual.is_none())
        });
        let decided =
            world.record.as_ref().and_then(|record| record.decisions.get(path)).filter(|decision| {
                decision.actual == judged.actual_entry() && decision.desired == judged.desired_entry()
            });
        if was.map(|was| was.base) == is.map(|is| is.base) {
            if let (Some(was), Some(is)) = (was, is)
                && judged.standing == Standing::Conflicted
                && was.base.is_some()
            {
                assert_eq!(was.commit, is.commit, "{path}: the commit that has the base's bytes");
            }
            continue;
        }
        match is {
            None => {
                let gone = match action {
                    Some(action) => action.after.is_none(),
                    None => judged.actual_entry().is_none(),
                };
                let nobodys = judged.standing == Standing::HostOwned
                    || world.deployment.state == State::Absent
                    || decided.is_some();
                assert!(judged.desired.is_none() && (gone || nobodys), "{path} is forgotten");
            }
            Some(is) if is.base.is_none() => {
                assert!(judged.desired.as_ref().is_some_and(|desired| desired.host_owned), "{path}");
            }
            Some(is) => {
                assert_eq!(is.base, judged.desired_entry(), "{path}: base is what is desired");
                let equal =
                    judged.actual_entry().map(|entry| entry.content) == is.base.map(|base| base.content);
                let reason = match judged.standing {
                    Standing::InSync | Standing::Converged | Standing::Edited => true,
                    Standing::Behind => action.is_some() || decided.is_some() || stays_away,
                    Standing::Missing => {
                        action.is_some()
                            || judged.edits.deleted == Deleted::Keep
                            || decided.is_some_and(|decision| decision.take == Take::Local)
                    }
                    Standing::Conflicted => {
                        action.is_some()
                            || decided.is_some()
                            || judged.base().is_none() && equal
                            || judged.base().is_some() && judged.edits.changed == Changed::Merge
                    }
                    Standing::HostOwned | Standing::Unmanaged => false,
                };
                assert!(reason, "{path}: base moved, {:?}", judged.standing);
            }
        }
    }
}
