//! What holds of every rollback, and years of rollbacks in a second.
//!
//! Deterministic; whole or not at all; only what later generations wrote, what was missing and what
//! `revert` speaks of is touched; the host's is not; no bytes of a person go unsaved; the target's bases
//! stand; what was left and what is given do not come back; and the next pass has nothing to do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use packfleet::model::desired::Resolution;
use packfleet::model::pack::Modes;
use packfleet::model::plan::{HoldCause, Plan, Purpose};
use packfleet::model::record::{Record, Recorded};
use packfleet::model::{Entry, Kind, PackName};

use packfleet::plan::drift::recorded_desired;

use crate::world::{Back, World, pack_name};
use crate::{laws, random};

/// Plans a rollback, checks every law, and carries it out. Gives the plan.
pub fn step(world: &mut World, back: &Back) -> Plan {
    let plan = world.plan_back(back);
    let again = world.plan_back(back);
    assert_eq!(plan, again, "deterministic");
    let record = world.record.clone().expect("a record");
    assert!(!plan.commits || plan.holds.is_empty(), "whole or not at all");
    assert_eq!(plan.next.generation, record.generation + 1);
    if !plan.commits {
        assert!(plan.actions.is_empty() && plan.prune.is_empty(), "held as a whole");
        let same = Record { generation: record.generation, ..plan.next.clone() };
        assert_eq!(same, record, "held as a whole");
        return plan;
    }
    let Purpose::Rollback { to } = plan.purpose else { panic!("{:?}", plan.purpose) };
    let later: Vec<_> = world.generations.iter().filter(|generation| generation.number > to).collect();
    let target = later.first().and_then(|generation| generation.previous.clone());
    let then = |path| target.as_ref().and_then(|target| target.entries.get(path));
    let files = world.files();
    for action in &plan.actions {
        let path = &action.path;
        let shown = format!("{path} {} -> {}", world.show(action.before), world.show(action.after));
        assert_eq!(files.get(path).copied(), action.before, "{shown}");
        if let Some(only) = &back.only {
            assert_eq!(&action.pack, only, "{shown}");
        }
        let wrote = later.iter().flat_map(|generation| &generation.actions).any(|a| a.path == *path);
        let missing = action.before.is_none() && then(path).is_some();
        let now = record.entries.get(path);
        let mark = |recorded: Option<&Recorded>| recorded.is_some_and(|recorded| recorded.base.is_none());
        assert!(!mark(now) && !mark(then(path)) || action.before.is_none(), "the host's: {shown}");
        let pack = target.as_ref().and_then(|target| target.packs.get(&action.pack));
        let modes = pack.or(record.packs.get(&action.pack)).map_or(Modes::ExecBit, |pack| pack.modes);
        let plain = |entry: Entry| match (modes, entry.kind) {
            (Modes::Ignore, Kind::Exec) => Entry { kind: Kind::File, ..entry },
            _ => entry,
        };
        let reverted = action.after.map(plain) == then(path).and_then(|recorded| recorded.base).map(plain);
        assert!(wrote || missing || reverted || record.decisions.contains_key(path), "{shown}");
        let base = now.and_then(|now| now.base).map(plain);
        let differs = action.before.is_some_and(|before| Some(plain(before)) != base);
        assert_eq!(action.save, differs, "saved where it differs from the base: {shown}");
    }
    for (path, recorded) in &plan.next.entries {
        let (now, then) = (record.entries.get(path), then(path));
        let kept = now.is_some_and(|now| now == recorded);
        let restored = then.is_some_and(|then| then.base == recorded.base && then.commit == recorded.commit);
        let mark = recorded.base.is_none();
        assert!(kept || restored || mark, "{path}: {recorded:?}");
    }
    for (name, rejection) in &plan.next.rejected {
        if back.only.as_ref().is_some_and(|only| only != name) {
            assert_eq!(record.rejected.get(name), Some(rejection), "{name} is another one");
            continue;
        }
        let restored = target.as_ref().and_then(|target| target.packs.get(name)).map(|pack| pack.desired);
        let left = record.packs.get(name).map(|pack| pack.desired);
        assert!(left == restored || rejection.digests.contains(&left), "what was left of {name}");
        assert!(!rejection.digests.contains(&restored), "the restored one is never rejected");
    }
    let shown = world.render(&plan);
    world.apply(&plan);
    for (path, before) in &files {
        let live = world.files().get(path) == Some(before);
        let ours = record.entries.get(path).and_then(|recorded| recorded.base) == Some(*before);
        let saved = world.saved.contains(&(path.clone(), *before));
        let bits = plan.actions.iter().any(|action| action.path == *path && !action.save);
        assert!(live || ours || saved || bits, "{path}: {} is lost", world.show(Some(*before)));
    }
    let (_, after) = world.plan();
    let left = format!("{shown}--- and after that\n{}", world.render(&after));
    // What is given may be the restored state by its digest and still say something else of it, or what
    // was held then; the next pass is one like any other.
    let settled = world.desired.packs.iter().all(|(name, given)| match given {
        Resolution::Pinned(pack) => {
            plan.next.rejected.contains_key(name)
                || recorded_desired(&plan.next, name).is_some_and(|restored| restored == **pack)
        }
        Resolution::Held(_) => true,
    });
    if settled {
        let mine = |pack: &PackName| back.only.as_ref().is_none_or(|only| only == pack);
        let moves = after.actions.iter().any(|action| mine(&action.pack));
        let commits = back.only.is_none() && after.commits;
        assert!(!moves && !commits, "not convergent:\n{left}");
        for name in plan.next.rejected.keys() {
            let held = after.holds.iter().any(|hold| {
                hold.pack.as_ref() == Some(name) && matches!(hold.cause, HoldCause::Rejected { .. })
            });
            let unknown = matches!(world.desired.packs.get(name), Some(Resolution::Held(_)));
            // What another pack was rejected for may have ended meanwhile.
            assert!(held || unknown || !mine(name), "{name} is held:\n{left}");
        }
    }
    plan
}

/// Whether there is a generation to undo.
fn can_go_back(world: &World) -> bool {
    world.generations.last().map(|last| last.number) == world.record.as_ref().map(|record| record.generation)
        && !world.generations.is_empty()
}

/// A request for `far` generations back, or as far as they go.
fn back(world: &World, far: u64, only: Option<&str>) -> Back {
    let first = world.generations.first().map_or(0, |first| first.number - 1);
    let now = world.record.as_ref().map_or(0, |record| record.generation);
    Back { to: Some(now.saturating_sub(far).max(first)), only: only.map(pack_name) }
}

/// Something happens, or so many generations are undone, of one pack or all.
#[derive(Debug, Clone)]
enum Happening {
    Event(String),
    Back(u64, Option<&'static str>),
}

fn happening() -> impl Strategy<Value = Happening> {
    let only = select(vec![None, None, Some("one"), Some("two")]);
    prop_oneof![
        5 => random::event().prop_map(Happening::Event),
        1 => (1..5u64, only).prop_map(|(far, only)| Happening::Back(far, only)),
    ]
}

/// Upgrades, policies, packs that come and go: what nobody on the host has a hand in.
fn release() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (random::pack(), 1..6u8, random::options(), random::tree()).prop_map(|(pack, version, options, tree)| {
            // A bit that did not count when it was put would count as an edit afterwards.
            let aside = |option: &&str| option.starts_with("owns") || option.starts_with("modes");
            let options = options.split_whitespace().filter(|option| !aside(option));
            let options = options.collect::<Vec<_>>().join(" ");
            format!("desired {pack} {version} {options} {tree}")
        }),
        1 => random::pack().prop_map(|pack| format!("drop {pack}")),
        1 => select(vec!["merge", "keep/keep", "revert"]).prop_map(|edits| format!("policy {edits}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_whatever_is_undone(happenings in prop::collection::vec(happening(), 1..16)) {
        let mut world = World::empty();
        for happening in &happenings {
            match happening {
                Happening::Event(event) => {
                    world.line(event);
                    laws::step(&mut world);
                }
                Happening::Back(far, only) if can_go_back(&world) => {
                    let back = back(&world, *far, *only);
                    step(&mut world, &back);
                }
                Happening::Back(..) => {}
            }
        }
    }

    #[test]
    fn nobody_edited_and_the_tree_is_what_it_was(
        releases in prop::collection::vec(release(), 1..9),
        modes in select(vec!["", "modes:ignore"]),
        far in 1..6u64,
    ) {
        let mut world = World::empty();
        let mut trees = BTreeMap::from([(0, (world.tree.clone(), world.directories.clone()))]);
        let mut settled = true;
        for release in &releases {
            let modes = if release.starts_with("desired") { modes } else { "" };
            world.line(&format!("{release} {modes}"));
            settled = laws::step(&mut world).holds.is_empty();
            let generation = world.record.as_ref().map_or(0, |record| record.generation);
            trees.insert(generation, (world.tree.clone(), world.directories.clone()));
        }
        if !can_go_back(&world) {
            return Ok(());
        }
        let back = back(&world, far, None);
        let later = world.clone();
        let plan = step(&mut world, &back);
        prop_assert!(plan.holds.is_empty(), "nobody edited: nothing is held\n{}", world.render(&plan));
        let there = (world.tree.clone(), world.directories.clone());
        prop_assert_eq!(&there, &trees[&back.to.expect("a generation")], "identical\n{}", world.render(&plan));
        // A file that is put anew has the pack's bit, whatever it had before.
        if plan.commits && settled && modes.is_empty() {
            world.line("retry");
            let plan = laws::step(&mut world);
            let shown = world.render(&plan);
            prop_assert_eq!(world.files(), later.files(), "the later tree\n{}", &shown);
            let (is, was) = (world.record.expect("a record"), later.record.expect("a record"));
            prop_assert_eq!(is.packs, was.packs, "the later pins\n{}", &shown);
            prop_assert_eq!(is.entries, was.entries, "the later bases\n{}", &shown);
        }
    }
}
