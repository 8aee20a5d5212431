//! What every host does, on disk and in memory alike.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::away::places;
use crate::world::*;
use packfleet::host::examine::{About, Exam, Grade};
use packfleet::host::prepare::{Intent, Linger, Preparation, StepState};
use packfleet::host::status_key::Speaks;
use packfleet::host::{Applied, BlobError, Blobs, HostError, Pausing, Recovery, Seen, Support};
use packfleet::model::care::{Aftercare, Care, Check, Fate, PackCare, Watched};
use packfleet::model::plan::Obstacle;
use packfleet::model::record::Record;
use packfleet::model::rollout::Pause;
use packfleet::model::{Content, Entry, Kind};

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_look_at_nothing_finds_nothing_and_makes_nothing() {
    for (kind, place) in places() {
        let seen = observe(place.host(), &files(&[("a/b", "x")]));
        assert_eq!((seen.record, seen.digest, seen.version_file), (None, None, None), "{kind}");
        assert_eq!(seen.actual, Default::default(), "{kind}");
        assert_eq!(
            place.host().recover(&look(&files(&[])), &Default::default()).unwrap(),
            Recovery::Nothing,
            "{kind}"
        );
        assert!(place.host().history().unwrap().is_empty(), "{kind}");
        assert!(place.host().generations().unwrap().is_empty(), "{kind}");
        assert!(place.host().edits().unwrap().is_empty(), "{kind}");
        assert_eq!(place.host().kept(Content::of(b"x")).unwrap(), None, "{kind}");
        assert!(place.files().is_empty(), "{kind}");
    }
    let disk = OnDisk::new();
    observe(disk.host(), &files(&[("a", "x")]));
    assert!(!disk.root().exists());
}

#[test]
fn install_upgrade_remove() {
    let one = files(&[("a/f", "one"), ("a/run*", "#!"), ("a/b/l@", "../f"), ("top", "")]);
    let two = files(&[("a/f", "two"), ("a/run", "#!"), ("a/b/l@", "../run"), ("c/d/e", "new"), ("x*", "x")]);
    for (kind, place) in places() {
        let host = place.host();
        place.write("mine/notes", Kind::File, b"mine");
        assert_eq!(
            apply(host, &one, "1").unwrap(),
            Applied::Done { generation: 1, saved: Vec::new(), said: Vec::new() },
            "{kind}"
        );
        let mut expected = one.clone();
        expected.extend(files(&[("mine/notes", "mine")]));
        assert_eq!(managed(place.files()), expected, "{kind}");
        assert!(!plan(host, &one, "1").commits, "{kind}");

        done(host, &two, "2");
        let mut expected = two.clone();
        expected.extend(files(&[("mine/notes", "mine")]));
        assert_eq!(managed(place.files()), expected, "{kind}");
        let seen = observe(host, &two);
        assert_eq!(seen.record.unwrap().generation, 2, "{kind}");
        assert_eq!(seen.version_file.unwrap(), version_text(2).into_bytes(), "{kind}");

        done(host, &files(&[]), "");
        assert_eq!(managed(place.files()), files(&[("mine/notes", "mine")]), "{kind}");
        assert_eq!(place.directories(), names(&["mine"]), "{kind}");

        let (_, log) = &place.files()[LOG];
        let log = String::from_utf8(log.clone()).unwrap();
        let starts: Vec<_> = log.lines().map(|line| line.split(" sum=").next().unwrap().to_owned()).collect();
        let expected: Vec<_> = (1..=3).map(|at| format!("synced to {at} generation={at}")).collect();
        assert_eq!(starts, expected, "{kind}");
        let history = host.history().unwrap();
        let counts: Vec<_> =
            history.iter().map(|line| (line.generation, line.created, line.replaced, line.removed)).collect();
        assert_eq!(counts, [(1, 4, 0, 0), (2, 2, 3, 1), (3, 0, 0, 5)], "{kind}");
        assert_eq!(history[1].packs.values().collect::<Vec<_>>(), ["2"], "{kind}");
    }
}

#[test]
fn a_plan_that_commits_nothing_writes_nothing() {
    let wanted = files(&[("a", "x")]);
    for (kind, place) in places() {
        done(place.host(), &wanted, "1");
        let before = place.files();
        let applied = apply(place.host(), &wanted, "1").unwrap();
        assert_eq!(applied, Applied::Done { generation: 1, saved: Vec::new(), said: Vec::new() }, "{kind}");
        assert_eq!(place.files(), before, "{kind}");
        assert_eq!(place.host().history().unwrap().len(), 1, "{kind}");
    }
}

#[test]
fn kinds_change_into_each_other() {
    let shapes = [
        files(&[("p", "file"), ("q/r/s", "deep"), ("q/t", "x")]),
        files(&[("p/in/here", "file in a directory"), ("q", "a file now")]),
        files(&[("p@", "q"), ("q@", "nowhere")]),
        files(&[("p*", "exec"), ("q/r", "back")]),
        files(&[("p", "file"), ("q/r/s", "deep"), ("q/t", "x")]),
    ];
    for (kind, place) in places() {
        for (at, shape) in shapes.iter().enumerate() {
            done(place.host(), shape, &at.to_string());
            assert_eq!(managed(place.files()), *shape, "{kind} {at}");
            assert!(!plan(place.host(), shape, &at.to_string()).commits, "{kind} {at}");
        }
    }
}

#[test]
fn a_directory_with_something_foreign_is_not_replaced() {
    for (kind, place) in places() {
        let one = files(&[("d/f", "one")]);
        let two = files(&[("d", "a file now")]);
        done(place.host(), &one, "1");
        place.write("d/mine", Kind::File, b"mine");
        let seen = observe(place.host(), &two);
        let foreign = Obstacle::Directory { foreign: Some("d/mine".into()) };
        assert_eq!(seen.actual.paths[&path("d")], Seen::Obstacle(foreign), "{kind}");
        let Ok(Applied::Moved { path: at, .. }) = apply(place.host(), &two, "2") else { panic!("{kind}") };
        assert_eq!(at, path("d"), "{kind}");
        assert_eq!(managed(place.files()), files(&[("d/f", "one"), ("d/mine", "mine")]), "{kind}");
    }
}

#[test]
fn a_tree_that_moved_since_the_plan_stays_as_it_is() {
    type Change = fn(&dyn Place);
    let changes: [(&str, Change); 6] = [
        ("a/f", |place| place.write("a/f", Kind::File, b"edited")),
        ("a/f", |place| place.write("a/f", Kind::Exec, b"one")),
        ("a/f", |place| place.remove("a/f")),
        ("gone", |place| place.write("gone", Kind::File, b"edited")),
        ("new/n", |place| place.write("new/n", Kind::File, b"mine")),
        ("new", |place| place.write("new", Kind::File, b"in the way")),
    ];
    let one = files(&[("a/f", "one"), ("a/g", "one"), ("gone", "x")]);
    let two = files(&[("a/f", "two"), ("a/g", "two"), ("new/n", "two")]);
    for (at, change) in changes {
        for (kind, place) in places() {
            done(place.host(), &one, "1");
            let plan = plan(place.host(), &two, "2");
            change(&*place);
            let before = place.files();
            let applied = place.host().apply(&commit(&plan), &Store::of(&two)).unwrap();
            let Applied::Moved { path: moved, .. } = applied else { panic!("{kind} {at}: {applied:?}") };
            assert!(moved == path(at) || path("new/n") == moved, "{kind} {at}: {moved}");
            assert_eq!(place.files(), before, "{kind} {at}");
            assert_eq!(observe(place.host(), &one).record.unwrap().generation, 1, "{kind} {at}");
        }
    }
}

#[test]
fn a_stale_plan_is_refused() {
    let (one, two) = (files(&[("a", "one")]), files(&[("a", "two")]));
    for (kind, place) in places() {
        let first = plan(place.host(), &one, "1");
        done(place.host(), &two, "2");
        let before = place.files();
        let refused = place.host().apply(&commit(&first), &Store::of(&one));
        assert!(matches!(refused, Err(HostError::Stale { planned: 0, found: 1, .. })), "{kind}: {refused:?}");
        let mut other = plan(place.host(), &one, "1");
        other.record = first.record;
        let refused = place.host().apply(&commit(&other), &Store::of(&one));
        assert!(matches!(refused, Err(HostError::Stale { .. })), "{kind}: {refused:?}");
        assert_eq!(place.files(), before, "{kind}");
    }
}

#[test]
fn another_fleets_state_is_refused() {
    let wanted = files(&[("a", "x")]);
    for (kind, place) in places() {
        done(place.host(), &wanted, "1");
        let mut other = look(&wanted);
        other.fleet = "other".parse().unwrap();
        let refused = place.host().observe(&other);
        assert!(matches!(refused, Err(HostError::State { .. })), "{kind}: {refused:?}");
        let mut plan = plan(place.host(), &files(&[("a", "y")]), "2");
        plan.next.deployment = "elsewhere".parse().unwrap();
        let refused = place.host().apply(&commit(&plan), &Store::of(&files(&[("a", "y")])));
        assert!(matches!(refused, Err(HostError::State { .. })), "{kind}: {refused:?}");
        assert_eq!(managed(place.files()), wanted, "{kind}");
    }
}

#[test]
fn bytes_that_are_missing_or_wrong_stop_before_anything_is_touched() {
    let (one, two) = (files(&[("a", "one"), ("b", "b")]), files(&[("a", "two"), ("c", "c")]));
    for (kind, place) in places() {
        done(place.host(), &one, "1");
        let plan = plan(place.host(), &two, "2");
        let before = place.files();
        let refused = place.host().apply(&commit(&plan), &Store::default());
        assert!(matches!(refused, Err(HostError::Blob(_))), "{kind}: {refused:?}");
        let wrong = two.values().map(|(_, bytes)| (Content::of(bytes), b"wrong".to_vec())).collect();
        let refused = place.host().apply(&commit(&plan), &Store(wrong));
        assert!(matches!(refused, Err(HostError::Blob(_))), "{kind}: {refused:?}");
        assert_eq!(place.files(), before, "{kind}");
        done(place.host(), &two, "2");
    }
}

#[test]
fn edits_that_the_plan_takes_out_are_saved_listed_and_dropped() {
    let one = files(&[("a", "one"), ("b@", "one")]);
    for (kind, place) in places() {
        let host = place.host();
        done(host, &one, "1");
        place.write("a", Kind::Exec, b"edited");
        place.write("b", Kind::Link, b"edited link");
        let saved = done(host, &one, "1");
        assert_eq!(managed(place.files()), one, "{kind}");
        let edits = host.edits().unwrap();
        assert_eq!(edits.iter().map(|edit| edit.id).collect::<Vec<_>>(), saved, "{kind}");
        let entries: Vec<_> = edits.iter().map(|edit| (edit.path.as_str(), edit.entry)).collect();
        let expected =
            [("a", Entry::of(Kind::Exec, b"edited")), ("b", Entry::of(Kind::Link, b"edited link"))];
        assert_eq!(entries, expected, "{kind}");
        assert!(edits.iter().all(|edit| edit.generation == 2 && edit.reason == "revert"), "{kind}");

        assert!(matches!(host.drop_edits(&[saved[0], 99]), Err(HostError::NoEdit(99))), "{kind}");
        assert_eq!(host.edits().unwrap().len(), 2, "{kind}");
        for round in 0..4 {
            // Out of the backups, so that only the edit can hold the bytes.
            done(host, &files(&[("a", &round.to_string()), ("b@", "one")]), "3");
        }
        assert_eq!(host.kept(Content::of(b"edited")).unwrap().unwrap(), b"edited", "{kind}");
        assert_eq!(host.kept(Content::of(b"edited link")).unwrap().unwrap(), b"edited link", "{kind}");
        host.drop_edits(&saved).unwrap();
        assert!(host.edits().unwrap().is_empty(), "{kind}");
        assert_eq!(host.kept(Content::of(b"edited")).unwrap(), None, "{kind}");
        place.write("a", Kind::File, b"again");
        let later = done(host, &files(&[("a", "last"), ("b@", "one")]), "4");
        assert!(later[0] > saved[1], "{kind}: a number was reused: {saved:?} {later:?}");
    }
}

#[test]
fn generations_hold_what_came_out_as_long_as_they_are_kept() {
    for (kind, place) in places() {
        let host = place.host();
        let mut records: Vec<Option<Record>> = vec![None];
        for round in 1..=5 {
            done(host, &files(&[("a", &format!("round {round}")), ("l@", &format!("to {round}"))]), "v");
            records.push(observe(host, &files(&[])).record);
        }
        let generations = host.generations().unwrap();
        let numbers: Vec<_> = generations.iter().map(|generation| generation.number).collect();
        assert_eq!(numbers, [5, 4, 3], "{kind}");
        for generation in &generations {
            let number = generation.number as usize;
            assert_eq!(generation.previous, records[number - 1], "{kind} {number}");
            assert_eq!(generation.actions.len(), 2, "{kind} {number}");
            for action in &generation.actions {
                let before = action.before.unwrap();
                let bytes = host.kept(before.content).unwrap().unwrap();
                assert_eq!(Content::of(&bytes), before.content, "{kind} {number}");
            }
        }
        assert_eq!(host.kept(Content::of(b"round 1")).unwrap(), None, "{kind}");
        assert_eq!(host.kept(Content::of(b"round 5")).unwrap(), None, "{kind}: it is live, not kept");
    }
}

#[test]
fn bytes_that_no_commit_has_are_kept_beside_the_record() {
    for (kind, place) in places() {
        let host = place.host();
        for (nth, round) in ["one", "two", "three", "four", "five"].into_iter().enumerate() {
            let wanted = files(&[("a", round), ("b", "other")]);
            let mut plan = plan(host, &wanted, round);
            plan.next.entries.get_mut(&path("a")).unwrap().commit = None;
            host.apply(&commit(&plan), &Store::of(&wanted)).unwrap();
            assert_eq!(
                host.kept(Content::of(round.as_bytes())).unwrap().unwrap(),
                round.as_bytes(),
                "{kind}"
            );
            assert_eq!(host.kept(Content::of(b"other")).unwrap(), None, "{kind}");
            // An edit in its place would come out instead of it; but a record that can be restored names it.
            place.write("a", Kind::File, b"edited");
            let first = host.kept(Content::of(b"one")).unwrap();
            assert_eq!(first.is_some(), nth < 4, "{kind} {round}");
        }
    }
}

#[test]
fn what_was_put_without_being_the_base_is_kept_while_it_stands() {
    let base = Entry::of(Kind::File, b"the pack's");
    for (kind, place) in places() {
        let host = place.host();
        done(host, &files(&[("a", "one"), ("e", "one")]), "1");
        place.write("e", Kind::File, b"edited");
        // Round 2 merges `a` and leaves the edit of `e`, round 3 touches neither, round 4 ends the merge.
        for round in ["2", "3", "4"] {
            let wanted = match round {
                "4" => files(&[("a", "the pack's"), ("e", "edited")]),
                _ => files(&[("a", "merged"), ("e", "edited"), ("n", round)]),
            };
            let mut plan = plan(host, &wanted, round);
            for at in ["a", "e"] {
                plan.next.entries.get_mut(&path(at)).unwrap().base = Some(base);
            }
            plan.actions.iter_mut().for_each(|action| action.save = false);
            host.apply(&commit(&plan), &Store::of(&wanted)).unwrap();
            let kept = host.kept(Content::of(b"merged")).unwrap();
            assert_eq!(kept.as_deref(), Some(&b"merged"[..]), "{kind} {round}");
            assert_eq!(
                host.kept(Content::of(b"edited")).unwrap(),
                None,
                "{kind} {round}: it is live, not kept"
            );
        }
        // By now it is what came out in round 4, and goes with that.
        for round in ["5", "6", "7"] {
            done(host, &files(&[("a", "the pack's"), ("e", "edited"), ("n", round)]), round);
        }
        assert_eq!(host.kept(Content::of(b"merged")).unwrap(), None, "{kind}");
    }
}

#[test]
fn what_was_put_without_being_the_base_is_kept_while_its_generation_can_be_undone() {
    let base = Entry::of(Kind::File, b"the pack's");
    for (kind, place) in places() {
        let host = place.host();
        for round in 1..8 {
            // The first round puts a merge; somebody edits it before the second one replaces it.
            let text = if round == 1 { "merged" } else { "another" };
            let wanted = files(&[("a", text), ("n", &round.to_string())]);
            let mut plan = plan(host, &wanted, "1");
            plan.next.entries.get_mut(&path("a")).unwrap().base = Some(base);
            host.apply(&commit(&plan), &Store::of(&wanted)).unwrap();
            if round == 1 {
                place.write("a", Kind::File, b"edited");
            }
            let undoable = host.generations().unwrap().iter().any(|generation| generation.number == 1);
            let kept = host.kept(Content::of(b"merged")).unwrap();
            assert_eq!(kept.is_some(), undoable, "{kind} {round}");
        }
    }
}

#[test]
fn a_record_can_change_without_a_file() {
    let wanted = files(&[("a", "one")]);
    for (kind, place) in places() {
        done(place.host(), &wanted, "1");
        let mut plan = plan(place.host(), &wanted, "2");
        plan.commits = true;
        assert!(plan.actions.is_empty());
        let applied = place.host().apply(&commit(&plan), &Store::default()).unwrap();
        assert_eq!(applied, Applied::Done { generation: 2, saved: Vec::new(), said: Vec::new() }, "{kind}");
        let seen = observe(place.host(), &wanted);
        assert_eq!(seen.digest, Some(plan.next.digest()), "{kind}");
        assert_eq!(seen.version_file.unwrap(), version_text(2).into_bytes(), "{kind}");
        assert_eq!(place.host().generations().unwrap().len(), 2, "{kind}");
    }
}

#[test]
fn reading_gives_the_bytes_that_were_seen_or_none() {
    for (kind, place) in places() {
        place.write("d/f", Kind::File, b"bytes");
        place.write("d/l", Kind::Link, b"f");
        let host = place.host();
        assert_eq!(host.read(&path("d/f"), Content::of(b"bytes")).unwrap(), b"bytes", "{kind}");
        assert_eq!(host.read(&path("d/l"), Content::of(b"f")).unwrap(), b"f", "{kind}");
        for (at, content) in [("d/f", "other"), ("d/none", "bytes"), ("e/none", "bytes"), ("d", "bytes")] {
            let refused = host.read(&path(at), Content::of(content.as_bytes()));
            assert!(matches!(refused, Err(HostError::Changed { .. })), "{kind} {at}: {refused:?}");
        }
    }
}

#[test]
fn unmanaged_entries_are_listed() {
    for (kind, place) in places() {
        for name in ["t/f", "t/mine", "t/own/x", "t/sub/g", "t/sub/mine", "else/y"] {
            place.write(name, Kind::File, b"");
        }
        let mut look = look(&files(&[("t/f", ""), ("t/sub/g", "")]));
        look.list = vec![Some(path("t")), Some(path("none"))];
        let listed = place.host().observe(&look).unwrap().actual.unmanaged;
        assert_eq!(listed, ["t/mine", "t/own/", "t/sub/mine"], "{kind}");
        look.list = vec![None];
        let listed = place.host().observe(&look).unwrap().actual.unmanaged;
        assert_eq!(listed, ["else/", "t/mine", "t/own/", "t/sub/mine"], "{kind}");
    }
}

#[test]
fn ancestors_in_the_way_are_named() {
    for (kind, place) in places() {
        place.write("file", Kind::File, b"");
        place.write("link", Kind::Link, b"somewhere");
        place.make_directory("dir/deep");
        let seen = observe(place.host(), &files(&[("file/a/b", ""), ("link/a", ""), ("dir/deep/x/y", "")]));
        let ancestor =
            |at: &str, what: &str| Seen::Obstacle(Obstacle::Ancestor { at: path(at), what: what.into() });
        assert_eq!(seen.actual.paths[&path("file/a/b")], ancestor("file", "file"), "{kind}");
        assert_eq!(seen.actual.paths[&path("link/a")], ancestor("link", "symlink"), "{kind}");
        assert!(!seen.actual.paths.contains_key(&path("dir/deep/x/y")), "{kind}");
        let directories: Vec<_> = seen.actual.directories.iter().map(|at| at.as_str()).collect();
        assert_eq!(directories, ["dir", "dir/deep"], "{kind}");
    }
}

#[test]
fn features_are_told_before_the_first_apply_and_after_it_and_nothing_is_written() {
    for (kind, place) in places() {
        let host = place.host();
        let first = host.features().unwrap();
        assert!(!first.file_system.is_empty(), "{kind}");
        assert!(place.files().is_empty(), "{kind}");
        done(host, &files(&[("a", "x")]), "1");
        let then = host.features().unwrap();
        for ((name, before), (_, after)) in first.each().into_iter().zip(then.each()) {
            assert!(*after != Support::Untried, "{kind}: {name}");
            assert!(before == after || *before == Support::Untried, "{kind}: {name}");
        }
    }
    let disk = OnDisk::new();
    disk.host().features().unwrap();
    assert!(!disk.root().exists());
}

fn exam() -> Exam {
    Exam {
        fleet: "fleet".parse().expect("a name"),
        deployment: "home".parse().expect("a name"),
        units: Vec::new(),
        programs: vec!["sh".into(), "no-such-program".into()],
    }
}

#[test]
fn a_place_is_prepared_once_and_an_examination_writes_nothing() {
    for (kind, place) in places() {
        let host = place.host();
        let exam = exam();
        let told = |intent| {
            let preparation = Preparation { linger: Linger::Unneeded, speaks: Speaks::Never, intent };
            let steps = host.prepare(&preparation).unwrap();
            steps.iter().find(|step| step.about == About::State).expect("a state directory").state
        };
        host.examine(&exam).unwrap();
        assert_eq!(told(Intent::Tell), StepState::Would, "{kind}");
        assert_eq!(told(Intent::Tell), StepState::Would, "{kind}");
        assert_eq!(told(Intent::Do), StepState::Done, "{kind}");
        assert_eq!(told(Intent::Do), StepState::Found, "{kind}");
        done(host, &files(&[("a", "x")]), "1");
        assert_eq!(told(Intent::Tell), StepState::Found, "{kind}");
        let found = host.examine(&exam).unwrap().findings;
        let state = found.iter().find(|found| found.about == About::State).expect("a state");
        assert!(state.grade == Grade::Ok && state.what.starts_with("generation 1"), "{kind}: {state:?}");
        assert!(
            found.iter().all(|found| found.fix.is_some() == (found.grade != Grade::Ok)),
            "{kind}: {found:?}"
        );
    }
    let disk = OnDisk::new();
    let exam = exam();
    let found = disk.host().examine(&exam).unwrap().findings;
    assert!(!disk.root().exists());
    let grade = |about| found.iter().filter(|found| found.about == about).map(|found| found.grade).max();
    assert_eq!(grade(About::Root), Some(Grade::Warn), "{found:?}");
    assert_eq!(grade(About::Program), Some(Grade::Fail), "{found:?}");
    // A state directory that others can reach into is no place for what must not be lost.
    done(disk.host(), &files(&[("a", "x")]), "1");
    let state = disk.root().join(".packfleet");
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let found = disk.host().examine(&exam).unwrap().findings;
    let state = found.iter().find(|found| found.about == About::State).expect("a state");
    assert!(state.grade == Grade::Fail && state.what.contains("0755"), "{state:?}");
}

#[test]
fn a_pause_and_the_begin_of_a_soak_are_kept_and_seen_by_every_look() {
    let one = files(&[("a/f", "one")]);
    for (kind, place) in places() {
        let host = place.host();
        let (fleet, deployment) = (look(&one).fleet, look(&one).deployment);
        let pause = Pause { reason: "conference week".into(), until: None };
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let set = |pause: Option<&Pause>| {
            let (fleet, deployment, pause) = (fleet.clone(), deployment.clone(), pause.cloned());
            host.pause(&Pausing { fleet, deployment, pause, now }).unwrap()
        };
        assert_eq!(set(Some(&pause)), None, "{kind}");
        assert_eq!(observe(host, &one).notes.pause, Some(pause.clone()), "{kind}");
        done(host, &one, "1");
        let seen = observe(host, &one);
        assert_eq!(seen.notes.pause, Some(pause.clone()), "{kind}");
        let record = seen.record.unwrap();
        for pack in record.packs.keys() {
            assert_eq!(
                seen.notes.soak.since(&record, pack),
                Some("2026-03-04T05:06:07Z".parse().unwrap()),
                "{kind}"
            );
        }
        done(host, &files(&[("a/f", "two")]), "1");
        assert_eq!(set(None), Some(pause), "{kind}");
        assert_eq!(set(None), None, "{kind}");
        let seen = observe(host, &one);
        assert_eq!(seen.notes.pause, None, "{kind}");
        assert!(seen.notes.soak.is_of(&seen.record.unwrap()), "{kind}");
    }
}

#[test]
fn a_soak_begins_with_the_commit_and_not_with_what_led_to_it() {
    const LONG: std::time::Duration = std::time::Duration::from_secs(60);
    for (kind, place) in places() {
        let host = place.host();
        let wanted = files(&[("a/f", "one")]);
        let plan = plan(host, &wanted, "1");
        // Since a while, as when others had their turn first, or much had to be sent.
        let begun = std::time::Instant::now().checked_sub(LONG);
        let commit = packfleet::host::Commit { begun: Some(begun.expect("a minute")), ..commit(&plan) };
        host.apply(&commit, &Store::of(&wanted)).unwrap();
        let seen = observe(host, &wanted);
        let record = seen.record.unwrap();
        for pack in record.packs.keys() {
            let since = seen.notes.soak.since(&record, pack).expect("it soaks");
            assert!(since >= commit.now.checked_add(LONG).unwrap(), "{kind}: {since}");
        }
    }
}

/// Bytes, and whether it was told that the change is there and watched.
struct Heard<'a> {
    store: Store,
    place: &'a dyn Place,
    told: std::sync::Mutex<Vec<Files>>,
}

impl Blobs for Heard<'_> {
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        self.store.bytes(content)
    }

    fn watched(&self) {
        self.told.lock().unwrap().push(self.place.files());
    }
}

#[test]
fn whoever_waits_for_the_quick_checks_only_is_told_when_they_passed() {
    // A tree in memory has no health.
    for (kind, place) in places().into_iter().filter(|(kind, _)| *kind != "memory") {
        let host = place.host();
        for (text, over) in [("one", None), ("two", Some(Duration::from_millis(1)))] {
            let check = |over| Check::Errors {
                watched: Watched::Log(path("a/log")),
                error: "error".into(),
                max_increase: 0,
                at_least: 5,
                over,
            };
            let care = Care { health: over.map(check).into_iter().collect(), ..Care::default() };
            let (pack, install) = ("p".parse().unwrap(), Default::default());
            let pack = PackCare { pack, install, at: None, fate: Fate::Stays, care };
            let aftercare = Aftercare { packs: vec![pack], ..Aftercare::default() };
            let wanted = files(&[("a/f", text)]);
            let plan = plan(host, &wanted, text);
            let commit = packfleet::host::Commit { aftercare, ..commit(&plan) };
            let heard = Heard { store: Store::of(&wanted), place: place.as_ref(), told: Default::default() };
            let applied = host.apply(&commit, &heard).unwrap();
            assert!(matches!(applied, Applied::Done { .. }), "{kind}: {applied:?}");
            let told = heard.told.into_inner().unwrap();
            assert_eq!(told.len(), usize::from(over.is_some()), "{kind}");
            assert!(told.iter().all(|files| files["a/f"].1 == b"two"), "{kind}");
        }
    }
}
