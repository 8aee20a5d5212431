//! Killed, or failed, at every system call that changes something: old or new, never a mixture.

use std::collections::BTreeMap;
use std::fs;

use packfleet::host::{Host, Resume};
use packfleet::model::{Content, Entry, Kind};

use crate::stand::{After, DONE, DRIVER, Ending, PENDING, REFUSED, Stand, Story, copy, spread};
use crate::world::*;

/// Calls of one name at which a switch is killed, evenly spread.
const MOST: usize = 40;

fn killed_everywhere(name: &str) {
    let Some(stand) = Stand::new(Story::named(name)) else { return };
    killed(&stand, MOST);
}

fn killed(stand: &Stand, most: usize) {
    let name = stand.story.name;
    let (mut endings, mut killed) = (BTreeMap::new(), 0);
    for (call, count) in stand.calls(&stand.template, name) {
        for at in spread(count, most) {
            stand.begin(&stand.template);
            let code = stand.fault(name, &call, "signal=SIGKILL", &at.to_string());
            let what =
                format!("{name}: killed at {call} {at} of {count} (exit {code:?}) {:?}", stand.lacking);
            killed += usize::from(code.is_none());
            // The test harness writes, too, on another thread.
            assert!(code.is_none() || call == "write", "{what}: not killed");
            *endings.entry(stand.check(&what, After::Kill)).or_insert(0) += 1;
        }
    }
    eprintln!("{name} {:?}: {killed} kills, {endings:?}", stand.lacking);
    assert_eq!(endings.len(), 2, "some kills end old, some new: {endings:?}");
}

#[test]
fn an_install_is_killed_everywhere() {
    killed_everywhere("install");
}

#[test]
fn an_upgrade_is_killed_everywhere() {
    killed_everywhere("upgrade");
}

#[test]
fn a_merge_is_killed_everywhere() {
    killed_everywhere("merge");
}

#[test]
fn a_rollback_is_killed_everywhere() {
    killed_everywhere("rollback");
}

#[test]
fn changing_shapes_is_killed_everywhere() {
    killed_everywhere("shapes");
}

/// Where a call or a flag is missing, the longer ways are killed as well.
#[test]
fn without_exchange_an_upgrade_is_killed_everywhere() {
    let Some(stand) = Stand::lacking(Story::named("upgrade"), &[("renameat2", "EINVAL")]) else { return };
    killed(&stand, 25);
}

#[test]
fn without_exchange_changing_shapes_is_killed_everywhere() {
    let Some(stand) = Stand::lacking(Story::named("shapes"), &[("renameat2", "EINVAL")]) else { return };
    killed(&stand, 25);
}

#[test]
fn without_openat2_statx_and_syncfs_a_merge_is_killed_everywhere() {
    let lacking = [("openat2", "ENOSYS"), ("statx", "ENOSYS"), ("syncfs", "ENOSYS")];
    let Some(stand) = Stand::lacking(Story::named("merge"), &lacking) else { return };
    killed(&stand, 12);
}

/// Every error, once and from then on, over the calls of a switch in turn.
fn failed_everywhere(name: &str) {
    let Some(stand) = Stand::new(Story::named(name)) else { return };
    let errors = ["EIO", "ENOSPC", "EACCES", "EROFS", "EDQUOT"];
    let mut codes = BTreeMap::new();
    for (call, count) in stand.calls(&stand.template, name) {
        let places = spread(count, errors.len() * 2);
        for nth in 0..errors.len() * 2 {
            // Each error meets the call early and late, as a single one and as the first of many.
            let at = places[nth * 7 % places.len()];
            let lasting = if nth < errors.len() { "" } else { "+" };
            let error = errors[nth % errors.len()];
            stand.begin(&stand.template);
            let code = stand.fault(name, &call, &format!("error={error}"), &format!("{at}{lasting}"));
            let what = format!("{name}: {error} at {call} {at}{lasting} of {count} (exit {code:?})");
            if call == "unlinkat" && matches!(error, "EACCES" | "EROFS") && code == Some(DONE) {
                stand.remove_what_might_not_be();
            }
            stand.is_as_told(&what, code);
            if call.starts_with("fsync") && code == Some(DONE) {
                assert!(stand.is_unlogged(), "{what}: not durable, and done, it says");
            }
            stand.check(&what, After::Fault);
            *codes.entry(code).or_insert(0) += 1;
        }
    }
    eprintln!("{name}: exit codes {codes:?}");
    assert!(codes.len() > 2, "{codes:?}");
}

#[test]
fn an_install_fails_everywhere() {
    failed_everywhere("install");
}

/// Directories above a new root are as new as the root: a name that is not durable is none.
#[test]
fn a_name_above_a_new_root_that_cannot_be_synced_is_an_error() {
    let Some(stand) = Stand::new(Story::named("install")) else { return };
    let above = stand.root.join("not");
    let run = |fault: &str| {
        let inject = format!("inject=fsync:{fault}");
        let mut driver = stand.driver("install", &["-o", "/dev/null", "-e", &inject], "fsync");
        driver.env(DRIVER, format!("install:{}", above.join("yet").display()));
        driver.status().expect("strace").code()
    };
    for nth in 1..=2 {
        assert_eq!(run(&format!("error=EIO:when={nth}")), Some(REFUSED), "{nth}");
        // What is left would be taken for durable.
        assert!(!above.exists(), "{nth}");
    }
    assert_eq!(run("error=EIO:when=1000"), Some(DONE));
}

#[test]
fn an_upgrade_fails_everywhere() {
    failed_everywhere("upgrade");
}

#[test]
fn a_merge_fails_everywhere() {
    failed_everywhere("merge");
}

#[test]
fn a_rollback_fails_everywhere() {
    failed_everywhere("rollback");
}

#[test]
fn changing_shapes_fails_everywhere() {
    failed_everywhere("shapes");
}

/// The number of the rename that is in the midst of the steps: the probe's two and the journal's come first.
const MIDST: usize = 6;

#[test]
fn a_recovery_is_killed_and_fails_everywhere() {
    for (story, way, ending) in
        [("shapes", "forward", Ending::New), ("shapes", "back", Ending::Old), ("merge", "back", Ending::Old)]
    {
        let Some(stand) = Stand::new(Story::named(story)) else { return };
        let cut = stand.template.with_extension("cut");
        stand.begin(&stand.template);
        stand.fault(story, "renameat2", "signal=SIGKILL", &MIDST.to_string());
        let state = stand.root.join(".packfleet");
        assert!(state.join("journal").exists(), "not cut after the commit point");
        if ending == Ending::Old {
            fs::rename(state.join("stage/undo"), state.join("journal")).expect("marked");
        }
        copy(&stand.root, &cut);
        for (call, count) in stand.calls(&cut, "recover") {
            for (nth, at) in spread(count, 10).into_iter().enumerate() {
                let (fault, lasting) = match nth % 4 {
                    0 => ("error=EIO", "+"),
                    1 => ("error=ENOSPC", ""),
                    _ => ("signal=SIGKILL", ""),
                };
                stand.begin(&cut);
                let code = stand.fault("recover", &call, fault, &format!("{at}{lasting}"));
                let what =
                    format!("{story} {way}: {fault} at {call} {at}{lasting} of {count} (exit {code:?})");
                if fault != "signal=SIGKILL" {
                    stand.check(&what, After::Fault);
                    continue;
                }
                // A second crash, in the recovery of the recovery.
                if state.join("journal").exists() {
                    stand.fault("recover", "renameat2", "signal=SIGKILL", &(1 + nth % 3).to_string());
                }
                assert_eq!(stand.check(&what, After::Kill), ending, "{what}");
            }
        }
    }
}

#[test]
fn a_rename_that_fails_three_times_is_taken_back() {
    let Some(stand) = Stand::new(Story::named("upgrade")) else { return };
    let journal = stand.root.join(".packfleet/journal");
    stand.begin(&stand.template);
    let code = stand.fault("upgrade", "renameat2", "error=EIO", &format!("{MIDST}+"));
    assert_eq!(code, Some(PENDING));
    for attempt in [2, 3] {
        assert!(journal.exists(), "attempt {attempt}");
        // The second fails as well. The third does, too, and what comes after it does not.
        let when = if attempt == 2 { "1+" } else { "1" };
        let code = stand.fault("recover", "renameat2", "error=EIO", when);
        assert_eq!(code, Some(if attempt == 2 { PENDING } else { 0 }), "attempt {attempt}");
    }
    assert!(!journal.exists());
    assert_eq!(stand.check("after three failures", After::Kill), Ending::Old);
}

#[test]
fn an_edit_between_crash_and_recovery_is_not_lost() {
    let Some(stand) = Stand::new(Story::named("upgrade")) else { return };
    let count = stand.calls(&stand.template, "upgrade")["renameat2"];
    for edited in ["a/f", "a/g", "n/new", "same", "mine"] {
        for at in 1..=count {
            stand.begin(&stand.template);
            stand.fault("upgrade", "renameat2", "signal=SIGKILL", &at.to_string());
            let what = format!("{edited} edited after a kill at rename {at} of {count}");
            let file = stand.root.join(edited);
            if !file.parent().expect("a parent").is_dir() {
                continue;
            }
            fs::write(&file, "a person's").expect("an edit");
            let host = stand.host();
            host.recover(&look(&Files::new()), &Resume::default())
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let mut tree = crate::stand::tree(&stand.root);
            let live = tree.remove(edited).unwrap_or_else(|| panic!("{what}: it is gone")).3;
            assert_eq!(live, b"a person's", "{what}");
            // All the rest is old or new, as the record says.
            let record = observe(&host, &Files::new()).record.expect("a record");
            let mut expected =
                if record.generation == 1 { stand.old.tree.clone() } else { stand.new.tree.clone() };
            expected.remove(edited);
            // A directory stays that the edit lies in.
            tree.retain(|name, _| !edited.starts_with(&format!("{name}/")));
            expected.retain(|name, _| !edited.starts_with(&format!("{name}/")));
            assert_eq!(tree, expected, "{what}: generation {}", record.generation);
            // The edit that was there before is live, saved, or what the person wrote over.
            let older = Content::of(b"edited");
            let kept = host.edits().expect("edits").iter().any(|edit| edit.entry.content == older);
            let live = fs::read(stand.root.join("a/f")).is_ok_and(|bytes| bytes == b"edited");
            let overwritten = edited == "a/f";
            assert!(kept || live || overwritten, "{what}: the older edit is lost");
            // Where it is an edit of what the switch had put, its base is what the plan wanted there.
            if let Some(recorded) = record.entries.get(&path(edited)) {
                let entry = |(kind, bytes): &(Kind, Vec<u8>)| Entry::of(*kind, bytes);
                let wanted = files(stand.story.after).get(edited).map(entry);
                let was = files(stand.story.before[0]).get(edited).map(entry);
                assert!(recorded.base == wanted || recorded.base == was, "{what}: {recorded:?}");
            }
            assert!(!stand.root.join(".packfleet/journal").exists(), "{what}");
            assert!(!stand.root.join(".packfleet/stage").exists(), "{what}");
        }
    }
}
