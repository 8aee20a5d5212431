//! Years of a deployment in a second: upgrades, edits, policies, holds, decisions, packs that come and go.
//!
//! What happens is the text that stories are made of, so that a failure can be pasted into one.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::laws;
use crate::world::World;

/// Paths that collide in every way.
const PATHS: [&str; 7] = ["a", "b", "d", "d/x", "d/e", "d/e/y", "e"];

fn bytes() -> impl Strategy<Value = String> {
    // A pack may ship what a person wrote; `!` does not merge.
    select(vec!["p0.", "p1.", "p2.", "p3.", "u0.", "p1.*", "p2.*", "@p1.", "!p."]).prop_map(str::to_owned)
}

fn edit() -> impl Strategy<Value = String> {
    let found = ["u0.", "u1.", "u2.", "u3.*", "@u4.", "!u5.", "p0.", "p1.*", "p2.", "-", "-"];
    select(found.to_vec()).prop_map(str::to_owned)
}

pub fn options() -> impl Strategy<Value = String> {
    let changed = select(vec!["merge", "merge", "keep", "revert"]);
    let deleted = select(vec!["restore", "keep"]);
    let atomic = select(vec!["", "", "nonatomic"]);
    let modes = select(vec!["", "", "", "modes:ignore"]);
    let owns = select(vec!["", "", "owns:a", "owns:/d/", "owns:y,e"]);
    (changed, deleted, atomic, modes, owns).prop_map(|(changed, deleted, atomic, modes, owns)| {
        format!("edits:{changed}/{deleted} {atomic} {modes} {owns}")
    })
}

pub fn pack() -> impl Strategy<Value = &'static str> {
    select(vec!["one", "two"])
}

/// A tree in which nothing lies beneath a file.
pub fn tree() -> impl Strategy<Value = String> {
    (subsequence(PATHS.to_vec(), 0..=5), prop::collection::vec(bytes(), 7)).prop_map(|(paths, bytes)| {
        let free = |path: &&&str| !paths.iter().any(|above| path.starts_with(&format!("{above}/")));
        let items = paths.iter().filter(free).zip(bytes).map(|(path, bytes)| format!("{path}={bytes}"));
        items.collect::<Vec<_>>().join(" ")
    })
}

pub fn event() -> impl Strategy<Value = String> {
    let requires = select(vec!["", "requires:one"]);
    prop_oneof![
        6 => (pack(), 1..6u8, options(), tree(), requires).prop_map(|(pack, version, options, tree, requires)| {
            let requires = if pack == "two" { requires } else { "" };
            format!("desired {pack} {version} {options} {requires} {tree}")
        }),
        8 => (select(PATHS.to_vec()), edit()).prop_map(|(path, edit)| format!("write {path}={edit}")),
        1 => select(vec!["d/", "d/e/", "b/", "f/"]).prop_map(|directory| format!("write {directory}")),
        1 => Just("write d/mine=u9.".to_owned()),
        1 => select(PATHS.to_vec()).prop_map(|path| format!("write {path}=%fifo")),
        1 => pack().prop_map(|pack| format!("drop {pack}")),
        1 => (pack(), options()).prop_map(|(pack, options)| format!("held {pack} version {options}")),
        1 => pack().prop_map(|pack| format!("rejected {pack} 1 given other")),
        1 => pack().prop_map(|pack| format!("rejected {pack} 1 absent")),
        1 => Just("retry".to_owned()),
        3 => (select(PATHS.to_vec()), select(vec!["local", "pack", "file:u8."]))
            .prop_map(|(path, take)| format!("decide {path} {take}")),
        1 => select(vec!["merge", "keep/keep", "revert"]).prop_map(|edits| format!("policy {edits}")),
        1 => select(vec!["budget delete:30", "budget change:40", "budget delete:100 change:100"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_whatever_happens(events in prop::collection::vec(event(), 1..14), leaves in any::<bool>()) {
        let mut world = World::empty();
        for event in &events {
            world.line(event);
            laws::step(&mut world);
        }
        if leaves {
            world.line("state absent");
            laws::step(&mut world);
        }
    }

    #[test]
    fn the_laws_hold_when_nobody_looks_in_between(events in prop::collection::vec(event(), 1..14)) {
        let mut world = World::empty();
        for pair in events.chunks(3) {
            pair.iter().for_each(|event| world.line(event));
            laws::step(&mut world);
        }
    }
}
