//! Tests of what can only be seen between the steps of a switch: edits in its midst, late writes, every
//! prefix of it with every edit after the crash.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::super::journal::is_staged;
use super::*;
use crate::model::care::{Care, Check, Fate, PackCare, Service, Watched};
use crate::model::{Entry, Kind};

#[cfg(test)]
#[path = "transaction_stand.rs"]
mod stand;

use stand::{Stand, file, new_files, old_files, path, tree};

#[test]
fn every_prefix_goes_forward() {
    let count = Stand::new().committed().manifest.steps.len();
    for at in 0..=count {
        let stand = Stand::new();
        stand.committed().forward_steps(at);
        assert_eq!(stand.settle(), Recovery::Forward { generation: 2, said: Vec::new() }, "after {at} steps");
        assert_eq!(tree(stand.root()), new_files(), "after {at} steps");
        assert_eq!(stand.record(), stand.plan.next);
        assert_eq!(stand.saved(), [("reverted".to_owned(), b"a person's, too".to_vec())]);
        assert!(!stand.file("gone").exists());
    }
}

#[test]
fn version_edited_between_look_and_stage_stops_the_switch() {
    let stand = Stand::new();
    fs::write(stand.file("VERSION"), "old").unwrap();
    let commit = stand.commit();
    fs::write(stand.file("VERSION"), "edited").unwrap();
    let moved = apply(&stand.at, &commit, &stand.blobs, &|| true).unwrap();
    assert!(matches!(moved, Applied::Moved { path, .. } if path.as_str() == "VERSION"));
    assert_eq!((tree(stand.root()), stand.settle()), (old_files(), Recovery::Nothing));
    assert_eq!(fs::read(stand.file("VERSION")).unwrap(), b"edited");
}

#[test]
fn version_edited_in_the_midst_of_a_switch_is_a_saved_edit_or_stays() {
    for before in [Some("old"), None] {
        let begin = || {
            let stand = Stand::new();
            if let Some(before) = before {
                fs::write(stand.file("VERSION"), before).unwrap();
            }
            let cut = stand.committed();
            fs::write(stand.file("VERSION"), "edited").unwrap();
            cut.forward().unwrap();
            (stand, cut)
        };
        let (stand, cut) = begin();
        cut.end();
        assert_eq!(fs::read(stand.file("VERSION")).unwrap(), b"version");
        assert!(stand.saved().contains(&("VERSION".to_owned(), b"edited".to_vec())), "{before:?}");
        let (stand, _) = begin();
        stand.settle();
        assert!(stand.saved().contains(&("VERSION".to_owned(), b"edited".to_vec())), "{before:?}: recovered");
        let (stand, cut) = begin();
        cut.with(|_, switch| install(switch.live, &cut.state, &cut.slots, &cut.manifest)).unwrap();
        fs::write(stand.file("VERSION"), "edited twice").unwrap();
        assert_eq!(cut.back().len(), 1);
        assert_eq!(fs::read(stand.file("VERSION")).unwrap(), b"edited twice");
        assert_eq!(stand.saved(), [("VERSION".to_owned(), b"edited".to_vec())], "{before:?}: taken back");
        let (stand, cut) = begin();
        cut.back();
        assert_eq!(fs::read(stand.file("VERSION")).unwrap(), b"edited");
        assert_eq!(stand.saved(), [], "{before:?}: taken back before it was touched");
    }
}

#[test]
fn a_directory_in_the_place_of_version_is_saved_file_by_file() {
    let stand = Stand::new();
    let cut = stand.committed();
    let _absent = fs::remove_file(stand.file("VERSION"));
    fs::create_dir_all(stand.file("VERSION/deep")).unwrap();
    fs::write(stand.file("VERSION/deep/notes"), "mine").unwrap();
    drop(cut);
    stand.settle();
    let saved = stand.saved();
    let there = fs::read(stand.file("VERSION/deep/notes")).is_ok();
    assert!(there || saved.contains(&("VERSION/deep/notes".into(), b"mine".to_vec())), "{saved:?}");
}

#[test]
fn every_prefix_goes_back_when_it_is_marked() {
    let count = Stand::new().committed().manifest.steps.len();
    for at in 0..=count {
        let stand = Stand::new();
        let record = stand.record();
        let cut = stand.committed();
        cut.forward_steps(at);
        cut.slots.replace(slot::UNDO, &cut.state, name::JOURNAL).unwrap();
        assert_eq!(stand.settle(), Recovery::Back { generation: 1, saved: Vec::new() }, "after {at} steps");
        assert_eq!(tree(stand.root()), old_files(), "after {at} steps");
        assert_eq!(stand.record(), record);
        assert!(stand.file("gone").is_dir() && stand.file("q/r").is_dir());
        assert!(!stand.file("n").exists() && stand.file("p").is_file());
        assert!(!stand.file("VERSION").exists() && !stand.file("sync.log").exists());
    }
}

fn aftercare(care: Care) -> Aftercare {
    let (pack, install) = ("p".parse().unwrap(), Default::default());
    let pack = PackCare { pack, install, at: None, fate: Fate::Stays, care };
    Aftercare { packs: vec![pack], ..Aftercare::default() }
}

#[test]
fn a_log_that_cannot_be_looked_at_stops_a_change_before_it_begins() {
    let stand = Stand::new();
    symlink("d", stand.file("door")).unwrap();
    let (watched, error) = (Watched::Log(path("door/bot.log")), "error".to_owned());
    let check = Check::Errors { watched, error, max_increase: 0, at_least: 5, over: Default::default() };
    let aftercare = aftercare(Care { health: vec![check], ..Care::default() });
    let before = tree(stand.root());
    let commit = Commit { aftercare, ..stand.commit() };
    let refused = apply(&stand.at, &commit, &stand.blobs, &|| true).map(drop).unwrap_err();
    assert!(refused.to_string().contains("door/bot.log"), "{refused:?}");
    assert_eq!(tree(stand.root()), before);
    assert_eq!(stand.settle(), Recovery::Nothing);
}

#[test]
fn a_switch_that_failed_once_is_restarted_when_it_goes_on() {
    let stand = Stand::new();
    let cut = stand.committed();
    cut.forward_steps(1);
    assert!(may_fail_again(&cut.slots).unwrap());
    let restart = ["cp", "same", "ran"].map(str::to_owned).into();
    let aftercare = aftercare(Care { service: Some(Service::Command(restart)), ..Care::default() });
    let resume = Resume { aftercare, ..Resume::default() };
    let settled = recover(&stand.at, stand.owner(), &resume, &|| true).unwrap();
    assert_eq!(settled, Recovery::Forward { generation: 2, said: vec!["cp same ran ran".into()] });
    assert_eq!(fs::read(stand.file("ran")).unwrap(), b"same");
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Overwrite,
    Delete,
    Exec,
    Directory,
}

impl Edit {
    const ALL: [Self; 4] = [Self::Overwrite, Self::Delete, Self::Exec, Self::Directory];

    /// Whether it could be done: some need a file that is there.
    fn make(self, at: &Path) -> bool {
        let there = at.symlink_metadata().is_ok_and(|meta| !meta.is_dir());
        if !at.parent().is_some_and(Path::is_dir) || at.is_dir() && !at.is_symlink() {
            return false;
        }
        match self {
            Self::Overwrite => {
                let _new = fs::remove_file(at);
                fs::write(at, "a person's").is_ok()
            }
            Self::Delete => there && fs::remove_file(at).is_ok(),
            Self::Exec => {
                there
                    && !at.is_symlink()
                    && at.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o100 == 0)
                    && fs::set_permissions(at, fs::Permissions::from_mode(0o711)).is_ok()
            }
            Self::Directory => {
                let _new = fs::remove_file(at);
                fs::create_dir(at).is_ok() && fs::write(at.join("theirs"), "a person's").is_ok()
            }
        }
    }
}

#[test]
fn every_prefix_with_every_edit_after_the_crash_is_old_or_new_and_loses_nothing() {
    let count = Stand::new().committed().manifest.steps.len();
    let (old, new) = (old_files(), new_files());
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort();
    names.dedup();
    for at in 0..=count {
        for name in &names {
            for edit in Edit::ALL {
                let stand = Stand::new();
                stand.committed().forward_steps(at);
                let what = format!("{edit:?} at {name} after {at} of {count} steps");
                if !edit.make(&stand.file(name)) {
                    continue;
                }
                let settled = stand.settle();
                let record = stand.record();
                let back = matches!(settled, Recovery::Back { .. });
                // Going on around an edit would give it the wrong base.
                let as_planned = matches!(edit, Edit::Directory) && *name == "p" && !back;
                assert!(as_planned || back == (*name != "same"), "{what}: {settled:?}");
                assert_eq!(record.generation, if back { 1 } else { 2 }, "{what}");
                let (mut found, saved) = (tree(stand.root()), stand.saved());
                let holds = |bytes: &[u8]| {
                    found.values().any(|(_, known)| known == bytes)
                        || saved.iter().any(|(_, known)| known == bytes)
                };
                if !matches!(edit, Edit::Delete | Edit::Exec) {
                    let live = if matches!(edit, Edit::Directory) {
                        stand.file(name).join("theirs")
                    } else {
                        stand.file(name)
                    };
                    assert_eq!(fs::read(live).unwrap(), b"a person's", "{what}: {found:?}");
                }
                for (lost, bytes) in [("d/edited", "a person's, before"), ("reverted", "a person's, too")] {
                    let by_hand = *name == lost && !matches!(edit, Edit::Exec);
                    let merged = lost == "d/edited" && !back;
                    assert!(
                        by_hand || merged || holds(bytes.as_bytes()),
                        "{what}: {lost} is lost: {saved:?}"
                    );
                }
                // The rest is old or new as a whole. What lies above or below the edit may be in its way.
                let near = |other: &str| {
                    let (a, b) = (path(other), path(name));
                    a == b || a.is_below(&b) || b.is_below(&a)
                };
                let mut expected = if back { old.clone() } else { new.clone() };
                found.retain(|other, _| !near(other));
                expected.retain(|other, _| !near(other));
                assert_eq!(found, expected, "{what}: {settled:?}");
            }
        }
    }
}

#[test]
fn an_edit_before_a_step_stops_it_and_all_is_taken_back() {
    for name in ["d/f", "gone/x", "n/m/made", "q/r/s", "p", "l", "d/edited"] {
        for edit in [Edit::Overwrite, Edit::Exec, Edit::Delete, Edit::Directory] {
            let stand = Stand::new();
            let record = stand.record();
            let cut = stand.committed();
            if name.starts_with("n/") {
                fs::create_dir_all(stand.file("n/m")).unwrap();
            }
            if !edit.make(&stand.file(name)) {
                continue;
            }
            let before = tree(stand.root());
            let halted = cut.forward();
            assert!(matches!(halted, Err(Halt::Moved { .. })), "{name} {edit:?}: {halted:?}");
            assert!(cut.back().is_empty(), "{name} {edit:?}");
            assert_eq!(tree(stand.root()), before, "{name} {edit:?}");
            assert_eq!(stand.record(), record, "{name} {edit:?}");
            assert_eq!(stand.settle(), Recovery::Nothing);
        }
    }
}

#[test]
fn an_undo_that_is_cut_short_goes_on() {
    let count = Stand::new().committed().manifest.steps.len();
    for edited in ["d/f", "n/m/made", "same"] {
        for from in 0..=count {
            let stand = Stand::new();
            let cut = stand.committed();
            cut.forward().unwrap();
            fs::write(stand.file(edited), "a person's").unwrap();
            cut.slots.replace(slot::UNDO, &cut.state, name::JOURNAL).unwrap();
            let steps = cut.manifest.steps[from..].to_vec();
            let suffix = Manifest { steps, ..cut.manifest.clone() };
            undo(&mut Live::new(&cut.ground), &cut.state, &cut.slots, &suffix, &Why::Moved).unwrap();
            let settled = stand.settle();
            assert_eq!(settled, Recovery::Back { generation: 1, saved: Vec::new() }, "{edited} {from}");
            let mut expected = old_files();
            let kind = if edited == "n/m/made" { Kind::Exec } else { Kind::File };
            expected.insert(edited.into(), (kind, b"a person's".to_vec()));
            assert_eq!(tree(stand.root()), expected, "{edited} {from}");
            let base = stand.record().entries[&path(edited)].base;
            let (kind, wanted) = &new_files()[edited];
            assert_eq!(base, Some(Entry::of(*kind, wanted)), "{edited} {from}");
        }
    }
}

#[test]
fn an_undo_is_marked_before_it_begins() {
    let stand = Stand::new();
    let cut = stand.committed();
    cut.forward().unwrap();
    fs::write(stand.file(".packfleet/stage/record"), "damaged").unwrap();
    assert!(cut.try_back().is_err());
    assert_eq!(tree(stand.root()), old_files());
    let journal = Journal::load(&cut.state, &stand.at).unwrap().unwrap();
    assert_eq!(journal.direction, Direction::Back);
}

#[test]
fn an_undo_leaves_edits_of_what_was_new_with_the_new_base() {
    let stand = Stand::new();
    let cut = stand.committed();
    cut.forward().unwrap();
    fs::write(stand.file("d/edited"), "an edit of merged").unwrap();
    fs::write(stand.file("n/m/made"), "an edit of made").unwrap();
    fs::remove_file(stand.file("d/f")).unwrap();
    let saved = cut.back();
    assert_eq!(saved.len(), 1);
    // What the merge was made from is no base and no longer live: it is saved.
    assert_eq!(stand.saved(), [("d/edited".to_owned(), b"a person's, before".to_vec())]);
    let mut expected = old_files();
    expected.insert("d/edited".into(), file("an edit of merged"));
    expected.insert("n/m/made".into(), (Kind::Exec, b"an edit of made".to_vec()));
    assert_eq!(tree(stand.root()), expected);
    let record = stand.record();
    assert_eq!(record.generation, 1);
    let base = |name: &str| record.entries[&path(name)].base;
    assert_eq!(base("d/edited"), Some(Entry::of(Kind::File, b"merged")));
    assert_eq!(base("n/m/made"), Some(Entry::of(Kind::Exec, b"new")));
    assert_eq!(base("d/f"), Some(Entry::of(Kind::File, b"old")));
    assert!(record.directories.contains(&path("n/m")));
    assert_eq!(stand.settle(), Recovery::Nothing);
}

#[test]
fn a_write_through_a_file_that_was_open_is_saved_and_stays_dropped() {
    let stand = Stand::new();
    let open = |name: &str| File::options().append(true).open(stand.file(name)).unwrap();
    let (mut replaced, mut removed) = (open("d/f"), open("gone/x"));
    let cut = stand.committed();
    cut.forward().unwrap();
    replaced.write_all(b", written late").unwrap();
    removed.write_all(b", written late").unwrap();
    let saved = cut.end();
    assert_eq!(saved.len(), 3, "two late writes beside the planned one");
    let late = |name: &str| (name.to_owned(), b"old, written late".to_vec());
    assert_eq!(stand.saved()[1..], [late("gone/x"), late("d/f")]);

    // Looked at again before it is pruned: what was dropped by name stays dropped.
    let edits = super::super::edits::Edits::open(&cut.state).unwrap().unwrap();
    edits.drop_all(&saved).unwrap();
    replaced.write_all(b", and later").unwrap();
    let later = Manifest { generation: 9, keep_generations: 1, ..cut.manifest.clone() };
    super::super::generations::prune(&mut Live::new(&cut.ground).looker, &cut.state, &later);
    assert_eq!(stand.saved(), [("d/f".to_owned(), b"old, written late, and later".to_vec())]);
    assert_eq!(fs::read_dir(stand.file(".packfleet/generations")).unwrap().count(), 0);
}

#[test]
fn a_stage_without_a_journal_is_thrown_away() {
    let stand = Stand::new();
    let ground = Ground::open(&stand.at).unwrap().unwrap();
    let state = state_or_make(&ground).unwrap();
    stage(&ground, &state, None, &stand.commit(), &stand.blobs).unwrap();
    assert!(stand.file(".packfleet/stage/manifest").exists());
    assert_eq!(stand.settle(), Recovery::Nothing);
    assert!(!stand.file(".packfleet/stage").exists());
    assert_eq!(tree(stand.root()), old_files());
}

#[test]
fn a_stage_of_a_run_at_work_is_left_to_it() {
    let stand = Stand::new();
    let ground = Ground::open(&stand.at).unwrap().unwrap();
    let state = state_or_make(&ground).unwrap();
    let lock = Lock::take(&state, &stand.at).unwrap();
    stage(&ground, &state, None, &stand.commit(), &stand.blobs).unwrap();
    let look = || recover(&stand.at, stand.owner(), &Resume::default(), &|| true);
    assert_eq!(look().unwrap(), Recovery::Nothing);
    assert!(is_staged(&state).unwrap());
    commit_point(&state, &state.dir(name::STAGE).unwrap()).unwrap();
    let refused = look();
    assert!(matches!(refused, Err(HostError::Locked { .. })), "{refused:?}");
    drop(lock);
    assert_eq!(stand.settle(), Recovery::Forward { generation: 2, said: Vec::new() });
}

#[test]
fn another_fleet_does_not_recover_it() {
    let stand = Stand::new();
    fs::remove_file(stand.file(".packfleet/record")).unwrap();
    let ground = Ground::open(&stand.at).unwrap().unwrap();
    let state = state_or_make(&ground).unwrap();
    stage(&ground, &state, None, &stand.commit(), &stand.blobs).unwrap();
    commit_point(&state, &state.dir(name::STAGE).unwrap()).unwrap();
    let other = "other".parse().unwrap();
    let refused = recover(&stand.at, Owner { fleet: &other, ..stand.owner() }, &Resume::default(), &|| true);
    assert!(matches!(refused, Err(HostError::State { .. })), "{refused:?}");
    assert_eq!(stand.settle(), Recovery::Forward { generation: 2, said: Vec::new() });
}
