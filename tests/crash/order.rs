//! What must be durable before what: a power cut at any sync of a run, with any part of the rest lost.
//!
//! Deliberately absent: files that make way for directories. A directory that a switch makes is known to its
//! undo by its inode number, which a state that is written out cannot have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use packfleet::host::{Host, Recovery, Resume};

use crate::replay::{Model, digest, write_out};
use crate::stand::{CALLS, DONE, Stand, State, Story, copy};
use crate::world::*;

/// Without what a written-out state does not have: owners, all but the exec bit of modes, directories.
fn loose(mut state: State) -> State {
    state.tree.retain(|_, (mode, ..)| *mode & 0o170_000 != 0o040_000);
    for (mode, uid, gid, _) in state.tree.values_mut() {
        (*uid, *gid) = (0, 0);
        *mode &= if *mode & 0o170_000 == 0o120_000 { 0o170_000 } else { 0o170_100 };
    }
    state
}

fn directories(state: &State) -> Vec<String> {
    let is_directory = |mode: u32| mode & 0o170_000 == 0o040_000;
    let all = state.tree.iter().filter(|(_, (mode, ..))| is_directory(*mode));
    all.map(|(name, _)| name.clone()).collect()
}

/// Runs `what` from this beginning and cuts the power everywhere. Gives how many states were looked at, and
/// how many of them ended old and new.
fn cut_everywhere(stand: &Stand, beginning: &Path, what: &str) -> (usize, usize, usize) {
    stand.begin(beginning);
    let mut model = Model::of(&stand.root);
    let log = stand.template.with_extension("order");
    let options = ["-y", "-s", "1000000", "-o", log.to_str().unwrap()];
    assert_eq!(stand.driver(what, &options, CALLS).status().unwrap().code(), Some(DONE));
    let trace = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let root = stand.root.to_str().unwrap();
    let (old, new) = (loose(stand.old.clone()), loose(stand.new.clone()));
    let host = stand.host();
    let mut known = BTreeSet::new();
    let mut found = (0, 0, 0);
    for (at, line) in lines.iter().copied().chain([""]).enumerate() {
        let end = at == lines.len();
        if end || Model::is_sync(line) {
            for (nth, disk) in model.states().into_iter().enumerate() {
                if !known.insert(digest(&disk)) {
                    continue;
                }
                let case =
                    format!("{what} of {}, power cut at line {at}, state {nth}: {line}", stand.story.name);
                write_out(&disk, &stand.root);
                let seen = observe(&host, &Files::new());
                let version = &stand.new.tree[VERSION].3;
                if seen.version_file.as_ref() == Some(version) {
                    let record = seen.digest.map(|digest| format!("{digest:?}"));
                    assert_eq!(record, new.record, "{case}: VERSION is newer than the record");
                }
                if end {
                    assert_eq!(seen.interrupted, None, "{case}: done is durable");
                }
                let recovered = host.recover(&look(&Files::new()), &Resume::default());
                recovered.unwrap_or_else(|error| panic!("{case}: {error:?}\n{:#?}", disk.keys()));
                let again = host.recover(&look(&Files::new()), &Resume::default()).unwrap();
                assert_eq!(again, Recovery::Nothing, "{case}");
                let whole = State::of(&stand.root, &host);
                let directories = directories(&whole);
                let mut state = loose(whole);
                let is_old = state.record == old.record;
                let expected = if is_old { &old } else { &new };
                if !is_old {
                    let kept = host.generations().unwrap().len();
                    assert!(kept >= stand.generations, "{case}: what came out is lost");
                    assert_eq!(directories, self::directories(&stand.new), "{case}");
                }
                if is_old {
                    state.objects.clone_from(&expected.objects);
                }
                assert_eq!(state, *expected, "{case}");
                assert!(!end || !is_old || what == "recover", "{case}: done, and gone");
                found = (found.0 + 1, found.1 + usize::from(is_old), found.2 + usize::from(!is_old));
            }
        }
        if !end {
            model.call(root, line);
        }
    }
    // The model and the kernel agree on what is there in the end.
    stand.begin(beginning);
    assert_eq!(stand.driver(what, &["-o", "/dev/null"], "getppid").status().unwrap().code(), Some(DONE));
    let whole = model.states().swap_remove(2);
    write_out(&whole, &stand.template.with_extension("model"));
    let model_tree = loose_files(&stand.template.with_extension("model"));
    assert_eq!(model_tree, loose_files(&stand.root), "{what}: the model went astray");
    eprintln!("{what} of {}: {} states, {} old, {} new", stand.story.name, found.0, found.1, found.2);
    found
}

fn loose_files(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let at = entry.unwrap().path();
            names.push(at.strip_prefix(root).unwrap().display().to_string());
            if at.is_dir() && !at.is_symlink() {
                waiting.push(at);
            }
        }
    }
    names.sort();
    names
}

fn an_apply(name: &str) {
    let Some(stand) = Stand::new(Story::named(name)) else { return };
    fs::create_dir(stand.template.with_extension("model")).unwrap();
    let (_, old, new) = cut_everywhere(&stand, &stand.template, name);
    assert!(old > 0 && new > 0);
}

#[test]
fn an_install_in_any_order() {
    an_apply("install");
}

#[test]
fn an_upgrade_in_any_order() {
    an_apply("upgrade");
}

#[test]
fn a_merge_in_any_order() {
    an_apply("merge");
}

#[test]
fn a_rollback_in_any_order() {
    an_apply("rollback");
}

#[test]
fn directories_that_make_way_in_any_order() {
    an_apply("flatten");
}

/// A recovery starts from what is on the disk, forward as well as back.
#[test]
fn a_recovery_in_any_order() {
    for (story, marked) in [
        ("upgrade", false),
        ("upgrade", true),
        ("flatten", false),
        ("flatten", true),
        ("merge", false),
        ("merge", true),
    ] {
        let Some(stand) = Stand::new(Story::named(story)) else { return };
        fs::create_dir(stand.template.with_extension("model")).unwrap();
        let cut = stand.template.with_extension("cut");
        stand.begin(&stand.template);
        stand.fault(story, "renameat2", "signal=SIGKILL", "6");
        let state = stand.root.join(".packfleet");
        if marked {
            fs::rename(state.join("stage/undo"), state.join("journal")).unwrap();
        }
        copy(&stand.root, &cut);
        let (_, old, new) = cut_everywhere(&stand, &cut, "recover");
        // Forward, but back where a name that came later is there and an earlier one is not.
        assert!(if marked { new == 0 } else { new > old }, "{story}: {old} old, {new} new");
    }
}
