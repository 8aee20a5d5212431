//! Somebody edits, renames and plants links while a switch, an undo or a recovery stands still between two calls.
//!
//! The driver stops itself (`SIGSTOP`, injected by strace, takes effect as the call returns), the tree is changed,
//! and it goes on. Whatever comes of it: the person's bytes are live, saved or in a backup, what a planted link
//! leads to is as it was, and record and VERSION speak of one generation.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use packfleet::host::{Host, Resume};
use rustix::process::{Pid, Signal, kill_process};

use packfleet::model::Kind;

use crate::stand::{Stand, Story, copy, spread};
use crate::world::*;

const BYTES: &str = "a person's, in the midst of it";

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Hand {
    /// Writes into the file.
    Overwrites(&'static str),
    /// Puts another file in its place, as editors do.
    Replaces(&'static str),
    /// Puts a link to elsewhere in the place of a directory, and the directory aside.
    Links(&'static str),
}

impl Hand {
    /// Whether there was a place for it.
    fn moves(self, root: &Path, aside: &Path) -> bool {
        let there = |at: &Path| at.parent().is_some_and(|parent| parent.is_dir() && !parent.is_symlink());
        match self {
            Self::Overwrites(name) => {
                let at = root.join(name);
                there(&at) && !at.is_symlink() && !at.is_dir() && fs::write(at, BYTES).is_ok()
            }
            Self::Replaces(name) => {
                let (at, new) = (root.join(name), root.join("new-by-hand"));
                if !there(&at) || at.is_dir() && !at.is_symlink() {
                    return false;
                }
                fs::write(&new, BYTES).is_ok() && fs::rename(new, at).is_ok()
            }
            Self::Links(name) => {
                let at = root.join(name);
                at.is_dir() && !at.is_symlink() && fs::rename(&at, aside).is_ok() && {
                    symlink(root.with_file_name("outside"), at).is_ok()
                }
            }
        }
    }
}

/// Waits until the driver has stopped, as strace's log says; `None` if it ended instead.
pub fn stopped(strace: &mut Child, log: &Path) -> Option<Pid> {
    let limit = Instant::now() + Duration::from_secs(100);
    while Instant::now() < limit {
        let ended = strace.try_wait().expect("strace").is_some();
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.contains("--- stopped by SIGSTOP ---")) {
            return Pid::from_raw(line.split_whitespace().next()?.parse().expect("a number"));
        }
        if ended {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("the driver neither ended nor stopped");
}

/// Everything below a directory that a write would change.
fn traces(at: &Path) -> Vec<(PathBuf, u64, i64, i64, u32)> {
    let mut found = Vec::new();
    let mut waiting = vec![at.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = path.symlink_metadata().expect("metadata");
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").path()));
        }
        found.push((path, meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.mode()));
    }
    found.sort();
    found
}

/// Whether a file below one of these directories, state directories included, has these bytes.
fn holds(places: &[&Path], bytes: &str) -> bool {
    let mut waiting: Vec<PathBuf> = places.iter().map(|place| (*place).to_owned()).collect();
    while let Some(path) = waiting.pop() {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").path()));
        } else if meta.is_file() && fs::read(&path).expect("bytes") == bytes.as_bytes() {
            return true;
        }
    }
    false
}

/// Stops `what` after calls of each name and has each hand move there.
fn raced(stand: &Stand, beginning: &Path, what: &str, most: &[(&str, usize)], hands: &[Hand]) {
    let aside = stand.root.with_file_name("aside");
    let outside = stand.root.with_file_name("outside");
    let log = stand.root.with_file_name("stops");
    let mut moved = BTreeMap::new();
    for (call, count) in stand.calls(beginning, what) {
        let Some((_, most)) = most.iter().find(|(name, _)| *name == call) else { continue };
        for at in spread(count, *most) {
            for hand in hands {
                let case = format!("{what} of {}: {hand:?} after {call} {at} of {count}", stand.story.name);
                stand.begin(beginning);
                let _none = fs::remove_dir_all(&aside);
                let inject = format!("inject={call}:signal=SIGSTOP:when={at}");
                let _none = fs::remove_file(&log);
                let options = ["-o", log.to_str().expect("UTF-8"), "-e", &inject];
                let mut strace = stand.driver(what, &options, &call).spawn().expect("strace");
                let before = traces(&outside);
                let Some(driver) = stopped(&mut strace, &log) else { continue };
                let overwritten = match hand {
                    Hand::Overwrites(name) | Hand::Replaces(name) => fs::read(stand.root.join(name)).ok(),
                    Hand::Links(_) => None,
                };
                let did = hand.moves(&stand.root, &aside);
                kill_process(driver, Signal::CONT).expect("goes on");
                let code = strace.wait().expect("strace").code();
                if !did {
                    continue;
                }
                *moved.entry(format!("{code:?}")).or_insert(0) += 1;
                let case = format!("{case} (exit {code:?})");
                let host = stand.host();
                host.recover(&look(&Files::new()), &Resume::default())
                    .unwrap_or_else(|error| panic!("{case}: {error:?}"));
                assert_eq!(traces(&outside), before, "{case}: something outside changed");
                let places = [stand.root.as_path(), aside.as_path()];
                match hand {
                    Hand::Overwrites(_) | Hand::Replaces(_) => {
                        assert!(holds(&places, BYTES), "{case}: the bytes are lost");
                    }
                    Hand::Links(name) => {
                        // A plan that saw the link takes it out as any other edit.
                        let saved = host.edits().expect("edits");
                        let saved = saved.iter().any(|edit| edit.entry.kind == Kind::Link);
                        assert!(saved || stand.root.join(name).is_symlink(), "{case}: the link is gone");
                    }
                }
                if let Some((_, edit)) = stand.story.edit {
                    let gone = overwritten.is_some_and(|bytes| bytes == edit.as_bytes());
                    assert!(gone || holds(&places, edit), "{case}: the older edit is lost");
                }
                let state = stand.root.join(".packfleet");
                for left in ["journal", "stage"] {
                    assert!(!state.join(left).exists(), "{case}: {left} is left");
                }
                let record = observe(&host, &Files::new()).record;
                let generation = record.map_or(0, |record| record.generation);
                if generation > 0 {
                    let version = fs::read_to_string(stand.root.join(VERSION)).expect("VERSION");
                    assert_eq!(version, version_text(generation), "{case}");
                }
            }
        }
    }
    eprintln!("{what} of {}: exit codes {moved:?}", stand.story.name);
    assert!(!moved.is_empty());
}

const SWITCH: [(&str, usize); 6] =
    [("renameat2", 30), ("openat2", 16), ("unlinkat", 5), ("fsync", 5), ("mkdirat", 3), ("fchmod", 2)];

#[test]
fn somebody_reaches_into_an_upgrade() {
    let Some(stand) = Stand::new(Story::named("upgrade")) else { return };
    let hands = [Hand::Overwrites("a/f"), Hand::Replaces("a/g"), Hand::Replaces("n/new"), Hand::Links("a")];
    raced(&stand, &stand.template, "upgrade", &SWITCH, &hands);
}

#[test]
fn somebody_reaches_into_a_rollback() {
    let Some(stand) = Stand::new(Story::named("rollback")) else { return };
    let hands = [Hand::Overwrites("n/new"), Hand::Replaces("a/f"), Hand::Links("a")];
    raced(&stand, &stand.template, "rollback", &SWITCH, &hands);
}

/// Directories appear and go, and the generation before is pruned.
#[test]
fn somebody_reaches_into_changing_shapes() {
    let Some(stand) = Stand::new(Story::named("shapes")) else { return };
    let hands = [Hand::Overwrites("q/t"), Hand::Replaces("p"), Hand::Links("q"), Hand::Links("p")];
    raced(&stand, &stand.template, "shapes", &SWITCH, &hands);
}

#[test]
fn somebody_reaches_into_a_recovery() {
    for marked in [false, true] {
        let Some(stand) = Stand::new(Story::named("upgrade")) else { return };
        let cut = stand.template.with_extension("cut");
        stand.begin(&stand.template);
        stand.fault("upgrade", "renameat2", "signal=SIGKILL", "6");
        let state = stand.root.join(".packfleet");
        if marked {
            fs::rename(state.join("stage/undo"), state.join("journal")).expect("marked");
        }
        copy(&stand.root, &cut);
        let hands =
            [Hand::Overwrites("a/f"), Hand::Replaces("a/g"), Hand::Replaces("n/new"), Hand::Links("a")];
        let most = [("renameat2", 12), ("openat2", 10), ("unlinkat", 4), ("fsync", 4)];
        raced(&stand, &cut, "recover", &most, &hands);
    }
}

/// Without an exchange in one step there are more places to come between.
#[test]
fn somebody_reaches_into_an_upgrade_without_exchange() {
    let Some(stand) = Stand::lacking(Story::named("upgrade"), &[("renameat2", "EINVAL")]) else { return };
    let hands = [Hand::Overwrites("a/f"), Hand::Replaces("a/g"), Hand::Replaces("a/f"), Hand::Links("a")];
    raced(&stand, &stand.template, "upgrade", &[("renameat", 30), ("linkat", 30)], &hands);
}
