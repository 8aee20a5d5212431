//! Every base, actual and desired of one path, under every policy, beside every other kind of path.
//!
//! What must come of one path is written down a second time here, as directly as the design says it, and
//! compared with what the plan did: to the tree, to the record, and to what was saved.

use packfleet::merge::text::{TextMerge, merge_text};
use packfleet::model::Kind;

use crate::laws;
use crate::world::{World, path};

const VALUES: [&str; 6] = ["-", "a", "b", "c", "a*", "@a"];
const CHANGED: [&str; 3] = ["merge", "keep", "revert"];
const DELETED: [&str; 2] = ["restore", "keep"];

/// What must become of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// Nothing; base stays.
    Leave,
    /// No file is touched; base is what is desired.
    Settle,
    /// That is put, or removed; what came out is saved or not.
    Write(String, bool),
    /// Nothing, and all that hangs on it neither.
    Hold,
}

fn content(text: &str) -> &str {
    text.trim_start_matches('@').trim_end_matches('*')
}

fn is_link(text: &str) -> bool {
    text.starts_with('@')
}

/// The table, read aloud.
fn fate(base: &str, actual: &str, desired: &str, changed: &str, deleted: &str) -> Fate {
    let put = |saved: bool| Fate::Write(desired.to_owned(), saved);
    if base == "-" && desired == "-" {
        return Fate::Leave;
    }
    if base != "-" && actual == "-" && desired != "-" {
        return if deleted == "keep" { Fate::Settle } else { put(false) };
    }
    if actual == desired {
        return Fate::Settle;
    }
    if actual == base {
        return put(false);
    }
    if base == desired {
        return if changed == "revert" { put(true) } else { Fate::Settle };
    }
    if base == "-" {
        let adopted = content(actual) == content(desired) && !is_link(actual) && !is_link(desired);
        return match (adopted, changed) {
            (true, "revert") => put(true),
            (true, _) => Fate::Settle,
            (false, _) => Fate::Hold,
        };
    }
    match changed {
        "keep" => Fate::Leave,
        "revert" => put(true),
        _ if desired == "-" || [base, actual, desired].iter().any(|side| is_link(side)) => Fate::Hold,
        _ => {
            let exec = |text: &str| text.ends_with('*');
            let bit = if exec(actual) == exec(base) { exec(desired) } else { exec(actual) };
            let (b, a, d) = (content(base), content(actual), content(desired));
            let merged = if a == b {
                d.to_owned()
            } else if b == d || a == d {
                a.to_owned()
            } else {
                format!("{{{a}+{d}}}")
            };
            let merged = if bit { format!("{merged}*") } else { merged };
            if merged == actual { Fate::Settle } else { Fate::Write(merged, false) }
        }
    }
}

fn word(at: &str, text: &str) -> String {
    if text == "-" { String::new() } else { format!("{at}={text}") }
}

/// Base and actual afterwards.
fn after(fate: &Fate, base: &str, actual: &str, desired: &str) -> (String, String) {
    match fate {
        Fate::Leave | Fate::Hold => (base.to_owned(), actual.to_owned()),
        Fate::Settle => (desired.to_owned(), actual.to_owned()),
        Fate::Write(put, _) => (desired.to_owned(), put.clone()),
    }
}

fn found(world: &World, at: &str) -> (String, String) {
    let recorded = world.record.as_ref().and_then(|record| record.entries.get(at));
    let live = world.files().get(at).copied();
    (world.show(recorded.and_then(|recorded| recorded.base)), world.show(live))
}

#[test]
fn every_path_beside_every_kind_of_other_path() {
    // One for each thing that can happen to the other one, under the default policy.
    const OTHERS: [[&str; 3]; 8] = [
        ["a", "a", "a"],
        ["a", "a", "b"],
        ["a", "a", "-"],
        ["-", "-", "b"],
        ["a", "b", "c"],
        ["a", "b", "-"],
        ["-", "b", "c"],
        ["a", "-", "b"],
    ];
    // The same file in another place: looked at below.
    let moved = |gone: [&str; 3], new: [&str; 3]| {
        let same = content(gone[0]) == content(new[2]) && is_link(gone[0]) == is_link(new[2]);
        gone[2] == "-" && gone[0] != gone[1] && new[0] == "-" && new[2] != "-" && same
    };
    for [base, actual, desired] in triples() {
        for (changed, deleted) in policies() {
            for [other_base, other_actual, other_desired] in OTHERS {
                let (one, other) = ([base, actual, desired], [other_base, other_actual, other_desired]);
                if moved(one, other) || moved(other, one) {
                    continue;
                }
                for atomic in [true, false] {
                    let options =
                        format!("{} edits:{changed}/{deleted}", if atomic { "" } else { "nonatomic" });
                    let mut world = World::empty();
                    world.line(&format!(
                        "record slack 1 {options} {} {}",
                        word("p", base),
                        word("q", other_base)
                    ));
                    world.line(&format!("host {} {}", word("p", actual), word("q", other_actual)));
                    world.line(&format!(
                        "desired slack 2 {options} {} {}",
                        word("p", desired),
                        word("q", other_desired)
                    ));
                    let case = format!(
                        "{base}/{actual}/{desired} beside {other_base}/{other_actual}/{other_desired}, {options}"
                    );
                    let p = fate(base, actual, desired, changed, deleted);
                    let q = fate(other_base, other_actual, other_desired, changed, deleted);
                    let plan = laws::step(&mut world);
                    let held = p == Fate::Hold || q == Fate::Hold;
                    let all = atomic && held;
                    let expect = |fate: &Fate, base, actual, desired| {
                        after(if all { &Fate::Hold } else { fate }, base, actual, desired)
                    };
                    assert_eq!(found(&world, "p"), expect(&p, base, actual, desired), "p: {case}");
                    assert_eq!(
                        found(&world, "q"),
                        expect(&q, other_base, other_actual, other_desired),
                        "q: {case}"
                    );
                    assert_eq!(!plan.holds.is_empty(), held, "{case}");
                    let saved = plan.actions.iter().find(|action| action.path == path("p"));
                    let expected = match (&p, all) {
                        (Fate::Write(_, saved), false) => Some(*saved),
                        _ => None,
                    };
                    assert_eq!(saved.map(|action| action.save), expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_deployment_that_leaves_keeps_every_edit() {
    for [base, actual, _] in triples() {
        for (changed, deleted) in policies() {
            if base == "-" {
                continue;
            }
            let mut world = World::empty();
            world.line(&format!("record slack 1 edits:{changed}/{deleted} p={base}"));
            world.line(&format!("policy {changed}/{deleted}"));
            world.line(&format!("host {}", word("p", actual)));
            world.line("state absent");
            laws::step(&mut world);
            let left = if actual == base { "-" } else { actual };
            assert_eq!(found(&world, "p"), ("-".into(), left.into()), "{base}/{actual}, {changed}/{deleted}");
        }
    }
}

#[test]
fn every_decision_on_every_path() {
    for [base, actual, desired] in triples() {
        for (changed, deleted) in policies() {
            for take in ["local", "pack", "file:mine"] {
                if base == "-" && desired == "-" {
                    continue;
                }
                let mut world = World::empty();
                let edits = format!("edits:{changed}/{deleted}");
                world.line(&format!("record slack 1 {edits} {}", word("p", base)));
                world.line(&format!("host {}", word("p", actual)));
                world.line(&format!("desired slack 2 {edits} {}", word("p", desired)));
                world.line(&format!("decide p {take}"));
                laws::step(&mut world);
                let refused = actual == desired || changed == "revert" && take != "pack";
                let expected = match take {
                    _ if refused => {
                        after(&fate(base, actual, desired, changed, deleted), base, actual, desired)
                    }
                    "local" => (desired.to_owned(), actual.to_owned()),
                    "pack" => (desired.to_owned(), desired.to_owned()),
                    _ => {
                        let kind = if desired == "-" { actual } else { desired };
                        let bit = if kind.ends_with('*') { "*" } else { "" };
                        (desired.to_owned(), format!("mine{bit}"))
                    }
                };
                assert_eq!(found(&world, "p"), expected, "{base}/{actual}/{desired}, {edits}, {take}");
            }
        }
    }
}

#[test]
fn exec_bits_that_do_not_count_are_never_touched() {
    for [base, actual, desired] in triples() {
        for (changed, deleted) in policies() {
            let mut world = World::empty();
            let options = format!("modes:ignore edits:{changed}/{deleted}");
            world.line(&format!("record slack 1 {options} {}", word("p", base)));
            world.line(&format!("host {}", word("p", actual)));
            world.line(&format!("desired slack 2 {options} {}", word("p", desired)));
            let plan = laws::step(&mut world);
            for action in plan.actions {
                if let (Some(before), Some(after)) = (action.before, action.after)
                    && before.kind != Kind::Link
                    && after.kind != Kind::Link
                {
                    assert_eq!(before.kind, after.kind, "{base}/{actual}/{desired}, {options}");
                    assert_ne!(before.content, after.content, "{base}/{actual}/{desired}, {options}");
                }
            }
        }
    }
}

fn triples() -> impl Iterator<Item = [&'static str; 3]> {
    VALUES.into_iter().flat_map(|base| {
        VALUES
            .into_iter()
            .flat_map(move |actual| VALUES.into_iter().map(move |desired| [base, actual, desired]))
    })
}

fn policies() -> impl Iterator<Item = (&'static str, &'static str)> {
    CHANGED.into_iter().flat_map(|changed| DELETED.into_iter().map(move |deleted| (changed, deleted)))
}

/// What a person made of `abcde` and what upstream did, in letters that merge.
const EDITS: [&str; 8] = ["-", "abcde", "Abcde", "abcdE", "Xbcde", "abcde*", "Abcde*", "@to"];
const MOVED: [&str; 8] = ["abcde", "Abcde", "abcdE", "aBcdE", "abcde*", "abcdE*", "@to", "vwxyz"];

/// As the table has it, with the file moved on the host as well. `None`: nobody can say where it went.
fn fate_elsewhere(actual: &str, desired: &str, changed: &str, deleted: &str) -> Option<Fate> {
    if is_link(desired) || desired == "vwxyz" {
        return None;
    }
    if actual != "-" && is_link(actual) {
        return Some(Fate::Hold);
    }
    let fate = fate("abcde", actual, desired, changed, deleted);
    let Fate::Write(text, saved) = fate else { return Some(fate) };
    let Some(sides) = text.trim_end_matches('*').strip_prefix('{').and_then(|text| text.strip_suffix('}'))
    else {
        return Some(Fate::Write(text, saved));
    };
    let (ours, theirs) = sides.split_once('+')?;
    let letters = |text: &str| -> String { text.chars().map(|letter| format!("{letter}\n")).collect() };
    let [base, ours, theirs] = ["abcde", ours, theirs].map(letters);
    Some(match merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes()) {
        TextMerge::Clean(merged) => {
            let merged: String = String::from_utf8(merged).expect("text").lines().collect();
            Fate::Write(if text.ends_with('*') { format!("{merged}*") } else { merged }, saved)
        }
        _ => Fate::Hold,
    })
}

#[test]
fn every_edit_of_a_file_that_upstream_renamed() {
    for actual in EDITS {
        for desired in MOVED {
            for (changed, deleted) in policies() {
                for there in ["-", "other"] {
                    for atomic in [true, false] {
                        let atomic = if atomic { "" } else { "nonatomic" };
                        let options = format!("{atomic} edits:{changed}/{deleted}");
                        let case = format!("abcde/{actual} renamed to {there}/{desired}, {options}");
                        let mut world = World::empty();
                        world.line("letters");
                        world.line(&format!("record slack 1 {options} p=abcde"));
                        world.line(&format!("host {} {}", word("p", actual), word("q", there)));
                        world.line(&format!("desired slack 2 {options} q={desired}"));
                        let plan = laws::step(&mut world);
                        let alone = fate("abcde", actual, "-", changed, deleted);
                        let new = fate("-", there, desired, changed, deleted);
                        let follows = there == "-"
                            && (changed == "merge" && actual != "-" || deleted == "keep" && actual == "-");
                        let elsewhere = fate_elsewhere(actual, desired, changed, deleted);
                        // At p and at q: what is on record, and what lies there.
                        let (p, q) = match elsewhere {
                            Some(fate) if follows && actual != "abcde" => match fate {
                                Fate::Hold => (("abcde".into(), actual.into()), ("-".into(), "-".into())),
                                fate => (("-".into(), "-".into()), after(&fate, "abcde", actual, desired)),
                            },
                            _ => {
                                let held = alone == Fate::Hold || new == Fate::Hold;
                                let fate = |fate| if held && atomic.is_empty() { &Fate::Hold } else { fate };
                                (
                                    after(fate(&alone), "abcde", actual, "-"),
                                    after(fate(&new), "-", there, desired),
                                )
                            }
                        };
                        assert_eq!(
                            (found(&world, "p"), found(&world, "q")),
                            (p, q),
                            "{case}\n{}",
                            world.render(&plan)
                        );
                        let lies = |text: &str| {
                            ["p", "q"].iter().any(|at| content(&found(&world, at).1) == content(text))
                        };
                        let saved = world
                            .saved
                            .iter()
                            .any(|(_, entry)| world.names[&entry.content] == content(actual));
                        let ours = actual == "-" || content(actual) == "abcde";
                        assert!(ours || lies(actual) || saved, "{case}: lost\n{}", world.render(&plan));
                    }
                }
            }
        }
    }
}

#[test]
fn an_edit_goes_along_through_three_versions_and_back() {
    for actual in EDITS.into_iter().filter(|actual| !matches!(*actual, "-" | "@to" | "abcde")) {
        for last in ["e=ab0cde", "e=ab0cdE", "e=aB0cde"] {
            let mut world = World::empty();
            world.line("letters");
            world.line("record slack 1 a=abcde");
            world.line(&format!("host a={actual}"));
            for (version, tree) in [(2, "b=abcde"), (3, "c/d=ab0cde"), (4, last)] {
                world.line(&format!("desired slack {version} {tree}"));
                laws::step(&mut world);
            }
            let files = world.files();
            let names: Vec<&str> = files.keys().map(|path| path.as_str()).collect();
            let [only] = names.as_slice() else { panic!("{actual}, {last}: {names:?}") };
            if *only == "e" {
                world.line("rollback to 1");
                let back = world.back.take().expect("a rollback");
                crate::undo::step(&mut world, &back);
                assert_eq!(found(&world, "a"), ("abcde".to_owned(), actual.to_owned()), "{last}");
                assert_eq!(world.files().len(), 1, "{actual}, {last}");
            } else {
                // Two hands on one letter: the edit waits where it was.
                assert_eq!(*only, "c/d", "{actual}, {last}");
            }
        }
    }
}
