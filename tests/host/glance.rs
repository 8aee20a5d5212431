//! "Unchanged", told without planning: true whenever it is said, and said whenever nothing has happened.

use std::error::Error;
use std::fs;
use std::time::{Duration, SystemTime};

use crate::away::places;
use crate::world::*;
use packfleet::host::{
    Applied, Commit, Glance, Host, Narrow, Recovery, Reread, Resume, Scope, Trust, Unchanged, Watch,
};
use packfleet::model::plan::Plan;
use packfleet::model::settled::parts;
use packfleet::model::{Entry, Kind};

fn wanted() -> Files {
    files(&[("a/f", "one"), ("a/run*", "#!"), ("a/b/l@", "../f"), ("top", ""), ("a.b", "x")])
}

/// What was just done is asked for.
fn glance(host: &dyn Host, trust: Trust) -> Glance {
    let look = look(&files(&[]));
    let record = observe(host, &files(&[])).record.expect("a record");
    Glance {
        fleet: look.fleet,
        deployment: look.deployment,
        parts: parts(&record).expect("settled"),
        reserved: vec![path(VERSION), path(LOG)],
        trust,
        version_file: look.version_file,
    }
}

fn ask(host: &dyn Host, glance: &Glance) -> Option<Unchanged> {
    host.unchanged(glance).expect("an answer")
}

const TRUSTS: [Trust; 2] = [Trust::StatCache, Trust::Nothing];

#[test]
fn what_was_done_is_unchanged_until_somebody_changes_it() {
    type Hand = fn(&dyn Place);
    let hands: &[(&str, Hand)] = &[
        ("other bytes", |place| place.write("a/f", Kind::File, b"other")),
        ("as many other bytes", |place| place.write("a/f", Kind::File, b"two")),
        ("made executable", |place| place.write("a/f", Kind::Exec, b"one")),
        ("not executable any more", |place| place.write("a/run", Kind::File, b"#!")),
        ("removed", |place| place.remove("top")),
        ("a directory of it removed", |place| place.remove("a/b")),
        ("another link", |place| place.write("a/b/l", Kind::Link, b"../run")),
        ("a file where a link was", |place| {
            place.remove("a/b/l");
            place.write("a/b/l", Kind::File, b"../f");
        }),
        ("a link where a file was", |place| {
            place.remove("top");
            place.write("top", Kind::Link, b"a/f");
        }),
        ("a directory where a file was", |place| {
            place.remove("top");
            place.make_directory("top");
        }),
    ];
    for (what, hand) in hands {
        for (kind, place) in places() {
            let host = place.host();
            done(host, &wanted(), "1");
            let seen = observe(host, &wanted());
            let expected = Unchanged {
                generation: 1,
                digest: seen.digest.unwrap(),
                version_file: Some(version_text(1).into_bytes()),
                health: None,
                notes: seen.notes.clone(),
            };
            let asked = TRUSTS.map(|trust| glance(host, trust));
            for asked in &asked {
                assert_eq!(ask(host, asked).as_ref(), Some(&expected), "{kind} before: {what}");
            }
            hand(place.as_ref());
            for asked in &asked {
                assert_eq!(ask(host, asked), None, "{kind}: {what}");
            }
        }
    }
}

#[test]
fn what_is_nobodys_or_the_same_again_changes_nothing() {
    for (kind, place) in places() {
        let host = place.host();
        done(host, &wanted(), "1");
        let asked = TRUSTS.map(|trust| glance(host, trust));
        place.write("mine/notes", Kind::File, b"mine");
        place.write("a/mine", Kind::File, b"mine");
        place.remove("a/f");
        place.write("a/f", Kind::File, b"one");
        let before = place.files();
        for asked in &asked {
            assert!(ask(host, asked).is_some(), "{kind} {asked:?}");
        }
        assert_eq!(place.files(), before, "{kind}");
    }
}

#[test]
fn whoever_asks_for_something_else_is_told_nothing() {
    type Change = fn(&mut Glance);
    let changes: &[Change] = &[
        |glance| glance.fleet = "another".parse().unwrap(),
        |glance| glance.deployment = "another".parse().unwrap(),
        |glance| glance.reserved.push(path("a/f")),
        |glance| glance.parts.clear(),
        |glance| {
            let part = glance.parts.values().next().unwrap().clone();
            glance.parts.insert("another".parse().unwrap(), part);
        },
        |glance| glance.parts.values_mut().for_each(|part| part.recorded.pin.version = "2".into()),
        |glance| {
            let digest = packfleet::model::PartDigest::from_bytes([0; 32]);
            glance.parts.values_mut().for_each(|part| part.digest = digest);
        },
    ];
    for (at, change) in changes.iter().enumerate() {
        for (kind, place) in places() {
            done(place.host(), &wanted(), "1");
            let mut asked = glance(place.host(), Trust::StatCache);
            assert!(ask(place.host(), &asked).is_some(), "{kind}");
            change(&mut asked);
            assert_eq!(ask(place.host(), &asked), None, "{kind} {at}");
        }
    }
}

/// A commit of the record alone, after a change to it.
fn record(host: &dyn Host, change: impl FnOnce(&mut Plan)) {
    let mut plan = plan(host, &wanted(), "1");
    plan.commits = true;
    change(&mut plan);
    let commit = Commit { reread: Reread::All, ..commit(&plan) };
    assert!(matches!(host.apply(&commit, &Store::of(&wanted())), Ok(Applied::Done { .. })));
}

#[test]
fn a_kept_edit_is_planned_every_time_and_a_host_owned_path_never_looked_at() {
    for (kind, place) in places() {
        let host = place.host();
        done(host, &wanted(), "1");
        let asked = glance(host, Trust::StatCache);
        record(host, |plan| {
            let kept = plan.next.entries.get_mut("a/f").unwrap();
            kept.written = Some(Entry::of(Kind::File, b"edited"));
        });
        assert_eq!(ask(host, &asked), None, "{kind}");
        record(host, |plan| {
            let owned = plan.next.entries.get_mut("a/f").unwrap();
            (owned.base, owned.written) = (None, owned.base);
        });
        for trust in TRUSTS {
            let asked = glance(host, trust);
            assert!(ask(host, &asked).is_some(), "{kind}");
        }
        place.write("a/f", Kind::File, b"the host's");
        for trust in TRUSTS {
            let asked = glance(host, trust);
            assert!(ask(host, &asked).is_some(), "{kind}");
        }
    }
}

#[test]
fn a_switch_takes_over_what_it_did_not_touch() {
    let disk = OnDisk::new();
    let host = disk.host();
    done(host, &wanted(), "1");
    let mut next = wanted();
    next.insert("top".into(), (Kind::File, b"new".to_vec()));
    // Nobody reads these any more, so nobody would notice: that is what the look before is for.
    done(host, &next, "2");
    let asked = glance(host, Trust::StatCache);
    assert!(ask(host, &asked).is_some());
    assert_eq!(observe(host, &next).actual.hashed, 0);
    // Touched: the same bytes under another stat. The next switch, told so, has it anew.
    let file = fs::File::options().write(true).open(disk.root().join("a/f")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    assert!(ask(host, &asked).is_some());
    assert_eq!(observe(host, &next).actual.hashed, 1);
    let plan = plan(host, &wanted(), "3");
    let commit = Commit { reread: Reread::All, ..commit(&plan) };
    host.apply(&commit, &Store::of(&wanted())).unwrap();
    assert_eq!(observe(host, &wanted()).actual.hashed, 0);
}

#[test]
fn a_damaged_cache_an_interrupted_switch_and_another_record_say_nothing() {
    type Hand = fn(&std::path::Path);
    let hands: &[(&str, Hand)] = &[
        ("no cache", |state| fs::remove_file(state.join("stat-cache")).unwrap()),
        ("a damaged cache", |state| {
            let mut bytes = fs::read(state.join("stat-cache")).unwrap();
            bytes[100] ^= 1;
            fs::write(state.join("stat-cache"), bytes).unwrap();
        }),
        ("another record", |state| {
            let bytes = fs::read(state.join("record")).unwrap();
            fs::write(state.join("other"), bytes).unwrap();
            fs::rename(state.join("other"), state.join("record")).unwrap();
        }),
        ("no record", |state| fs::remove_file(state.join("record")).unwrap()),
    ];
    for (what, hand) in hands {
        let disk = OnDisk::new();
        done(disk.host(), &wanted(), "1");
        let asked = glance(disk.host(), Trust::StatCache);
        hand(&disk.root().join(".packfleet"));
        assert_eq!(ask(disk.host(), &asked), None, "{what}");
    }
    let disk = OnDisk::new();
    done(disk.host(), &wanted(), "1");
    let asked = glance(disk.host(), Trust::StatCache);
    fs::write(disk.root().join(".packfleet/journal"), "garbage").unwrap();
    assert!(disk.host().unchanged(&asked).is_err());
    // A damaged record is found by who trusts nothing.
    let disk = OnDisk::new();
    done(disk.host(), &wanted(), "1");
    let asked = glance(disk.host(), Trust::Nothing);
    let record = disk.root().join(".packfleet/record");
    let mut bytes = fs::read(&record).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&record, bytes).unwrap();
    assert_eq!(ask(disk.host(), &asked), None);
}

#[test]
fn a_damaged_note_of_health_is_told_and_may_be_deleted() {
    let disk = OnDisk::new();
    let host = disk.host();
    done(host, &wanted(), "1");
    let asked = glance(host, Trust::StatCache);
    let note = disk.root().join(".packfleet/health");
    fs::write(&note, "{\"generation\": 1, \"verdict\": \"going-").unwrap();
    assert!(host.unchanged(&asked).is_err());
    let narrow = Narrow { glance: asked.clone(), paths: [path("a/f")].into(), scope: Scope::Whole };
    assert!(host.narrow(&narrow).is_err());
    let told = host.observe(&look(&wanted())).expect_err("it cannot be read");
    let told = format!("{told}: {}", told.source().expect("a cause"));
    assert!(told.contains(".packfleet/health") && told.contains("may be deleted"), "{told}");
    assert!(host.recover(&look(&wanted()), &Resume::default()).is_err());
    // Nothing of it is asked for where the watch is left.
    let leave = Resume { watch: Watch::Leave, ..Resume::default() };
    assert_eq!(host.recover(&look(&wanted()), &leave).expect("nothing"), Recovery::Nothing);
    fs::remove_file(note).unwrap();
    assert!(ask(host, &asked).is_some());
    assert_eq!(observe(host, &wanted()).health, None);
}

#[test]
fn many_files_on_several_threads() {
    let names: Vec<String> = (0..3000).map(|at| format!("d{}/f{at}", at % 50)).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let many = files(&many);
    let disk = OnDisk::new();
    done(disk.host(), &many, "1");
    let asked = TRUSTS.map(|trust| glance(disk.host(), trust));
    for asked in &asked {
        assert!(ask(disk.host(), asked).is_some());
    }
    disk.write("d7/f2907", Kind::File, b"edited");
    for asked in &asked {
        assert_eq!(ask(disk.host(), asked), None);
    }
}
