//! The plan's id, and the example of the design with real text.

use packfleet::merge::text::{TextMerge, merge_text};
use packfleet::model::plan::{Cause, Hold, HoldCause, Plan};
use packfleet::model::{Content, Entry, RecordDigest};
use packfleet::plan::verdict::MergeAnswer;

use crate::laws;
use crate::world::{World, path};

type Change = fn(&mut Plan);

fn plan() -> Plan {
    let mut world = World::empty();
    world.line("record slack 1 a=one b=two c=three");
    world.line("desired slack 2 a=ONE b=TWO");
    world.line("desired other 2 a=x");
    world.line("drop other");
    world.line("host a=one b=two c=three");
    laws::step(&mut world)
}

#[test]
fn the_id_covers_what_a_reviewer_agreed_to() {
    let agreed = plan();
    assert_eq!(agreed.actions.len(), 3);
    assert_eq!(agreed.id(), plan().id());
    let changes: [(&str, Change); 8] = [
        ("deployment", |plan| plan.next.deployment = "elsewhere".parse().expect("a name")),
        ("generation", |plan| plan.generation += 1),
        ("record", |plan| plan.record = Some(RecordDigest::from_bytes([1; 32]))),
        ("no record", |plan| plan.record = None),
        ("path", |plan| plan.actions[0].path = path("z")),
        ("before", |plan| plan.actions[1].before = None),
        ("after", |plan| plan.actions[2].after = None),
        ("holds", |plan| {
            plan.holds.push(Hold { pack: None, path: None, cause: HoldCause::Version("x".into()) });
        }),
    ];
    for (what, change) in changes {
        let mut other = agreed.clone();
        change(&mut other);
        assert_ne!(agreed.id(), other.id(), "{what}");
    }
    let mut same = agreed.clone();
    same.actions.reverse();
    same.actions[0].cause = Cause::Resolve;
    assert_eq!(agreed.id(), same.id(), "order and words are no part of it");
}

/// The host's file, as one line per letter.
fn letters(text: &str) -> String {
    text.chars().map(|letter| format!("{letter}\n")).collect()
}

#[test]
fn a_merged_edit_survives_the_next_upgrade_and_the_one_after() {
    let mut world = World::empty();
    let pass = |world: &mut World, version: &str, base: &str, actual: &str, desired: &str| -> Plan {
        for text in [base, actual, desired] {
            world.content(text);
        }
        world.line(&format!("desired slack {version} a={desired}"));
        let [base, ours, theirs] = [base, actual, desired].map(letters);
        if let TextMerge::Clean(bytes) = merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()) {
            let merged: String = String::from_utf8(bytes).expect("text").lines().collect();
            let content = world.content(&merged);
            world.answers.insert(path("a"), MergeAnswer::Clean(content));
        }
        laws::step(world)
    };
    let here = |world: &World, base: &str, live: &str| {
        let entry =
            |text: &str| Entry { kind: packfleet::model::Kind::File, content: Content::of(text.as_bytes()) };
        let recorded = &world.record.as_ref().expect("a record").entries["a"];
        assert_eq!((recorded.base, recorded.written), (Some(entry(base)), Some(entry(live))));
        assert_eq!(world.files()["a"], entry(live));
    };
    pass(&mut world, "1", "abcde", "abcde", "abcde");
    world.line("host a=Abcde");
    pass(&mut world, "2", "abcde", "Abcde", "abcdE");
    here(&world, "abcdE", "AbcdE");
    let plan = pass(&mut world, "2", "abcdE", "AbcdE", "abcdE");
    assert!(!plan.commits);
    pass(&mut world, "3", "abcdE", "AbcdE", "abXdE");
    here(&world, "abXdE", "AbXdE");
    pass(&mut world, "4", "abXdE", "AbXdE", "AbXdE");
    here(&world, "AbXdE", "AbXdE");
    pass(&mut world, "5", "AbXdE", "AbXdE", "abXdE");
    here(&world, "abXdE", "abXdE");
}
