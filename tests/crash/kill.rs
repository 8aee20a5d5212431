//! Killed, or failed, at every system call that changes something: old or new, never a mixture.
//!
//! The test binary starts itself under `strace` to carry out one apply (or one recovery) and injects
//! SIGKILL, or an error, at the n-th call of one name. What is left is recovered and looked at.
//! `strace` delivers the signal before the call is carried out, and counts calls per thread; the switch
//! runs on one. Without strace these tests say so and check nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use packfleet::host::{Applied, Host, HostError, LocalHost, Recovery};
use packfleet::model::{Content, HostPath, Kind};

use crate::world::*;

const DRIVER: &str = "PACKFLEET_TEST_DRIVER";
const CALLS: &str = "renameat2,renameat,rename,unlinkat,mkdir,mkdirat,symlinkat,openat2,write,fsync,fdatasync,\
                     syncfs,ftruncate,fchmod,fchown,fchownat,fsetxattr,fremovexattr";
/// Calls of one name that are tried, evenly spread.
const MOST: usize = 40;

#[derive(Debug, Clone, Copy)]
pub struct Story {
    name: &'static str,
    before: Option<&'static [(&'static str, &'static str)]>,
    after: &'static [(&'static str, &'static str)],
    /// What a person wrote after `before` was installed.
    edit: Option<(&'static str, &'static str)>,
    keep_generations: u32,
}

const STORIES: [Story; 3] = [
    Story {
        name: "install",
        before: None,
        after: &[("a/b/f", "f"), ("a/run*", "#!"), ("a/l@", "run"), ("top", "t")],
        edit: None,
        keep_generations: 3,
    },
    Story {
        name: "upgrade",
        before: Some(&[("a/f", "old"), ("a/g*", "old"), ("a/gone/x", "old"), ("l@", "old"), ("same", "s")]),
        after: &[("a/f", "new"), ("a/g", "new"), ("l@", "new"), ("same", "s"), ("n/new*", "new")],
        edit: Some(("a/f", "edited")),
        keep_generations: 3,
    },
    Story {
        name: "shapes",
        before: Some(&[("p", "file"), ("q/r/s", "deep"), ("q/t", "x"), ("l@", "p"), ("m", "m")]),
        after: &[("p/in/f", "file"), ("q", "file"), ("l/x", "below"), ("m@", "q")],
        edit: None,
        keep_generations: 1,
    },
];

impl Story {
    pub fn named(name: &str) -> Self {
        *STORIES.iter().find(|story| story.name == name).expect("a story")
    }

    fn apply(&self, host: &dyn Host) -> Result<Applied, HostError> {
        let after = files(self.after);
        let mut plan = plan(host, &after, "2");
        if let Some(recorded) = plan.next.entries.values_mut().next() {
            recorded.commit = None;
        }
        let mut commit = commit(&plan);
        commit.keep_generations = self.keep_generations;
        host.apply(&commit, &Store::of(&after))
    }
}

/// Not a test: what the tests below run under strace. Without its variable it does nothing.
#[test]
fn driver() {
    let Ok(order) = std::env::var(DRIVER) else { return };
    let (what, root) = order.split_once(':').expect("what:root");
    let host = LocalHost::open(HostPath::new(root).expect("a root"));
    let code = match what {
        "recover" => match host.recover(&look(&Files::new()), &Default::default()) {
            Ok(_) => 0,
            Err(_) => 12,
        },
        story => match Story::named(story).apply(&host) {
            Ok(Applied::Done { .. }) => 0,
            Ok(Applied::Moved { .. }) => 10,
            Ok(Applied::Ill(_)) => 6,
            Err(HostError::Pending { .. }) => 11,
            Err(_) => 12,
        },
    };
    std::process::exit(code);
}

/// Whether strace is there and may trace; says so if not.
pub fn strace_works(what: &str) -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let works = traced.is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED: {what}: strace is not there or may not trace");
    }
    works
}

/// A root at a fixed place, put back to how the story begins before each trial.
pub struct Stand {
    _directory: Option<tempfile::TempDir>,
    pub root: PathBuf,
    pub template: PathBuf,
    story: Story,
    old: Files,
    new: Files,
}

impl Stand {
    fn new(story: Story) -> Option<Self> {
        if !strace_works(story.name) {
            return None;
        }
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory");
        let (root, template) = (directory.path().join("root"), directory.path().join("template"));
        let mut stand = Self::at(story, root, template);
        stand._directory = Some(directory);
        Some(stand)
    }

    /// Prepares the beginning in `template`; the root is left as the story ends.
    pub fn at(story: Story, root: PathBuf, template: PathBuf) -> Self {
        let (old, new) = (Files::new(), Files::new());
        let mut stand = Self { _directory: None, root, template, story, old, new };
        fs::create_dir(&stand.root).expect("a root");
        fs::write(stand.root.join("mine"), "mine").expect("a file");
        if let Some(before) = story.before {
            let before = files(before);
            let plan = plan(&stand.host(), &before, "1");
            stand.host().apply(&commit(&plan), &Store::of(&before)).expect("installed");
        }
        if let Some((path, text)) = story.edit {
            fs::write(stand.root.join(path), text).expect("an edit");
        }
        stand.old = tree_files(&stand.root);
        copy(&stand.root, &stand.template);
        assert!(matches!(story.apply(&stand.host()), Ok(Applied::Done { .. })));
        stand.new = tree_files(&stand.root);
        stand
    }

    fn host(&self) -> LocalHost {
        LocalHost::open(HostPath::new(self.root.to_str().expect("UTF-8")).expect("a root"))
    }

    pub fn begin(&self, template: &Path) {
        fs::remove_dir_all(&self.root).expect("removed");
        copy(template, &self.root);
    }

    fn driver(&self, what: &str, strace: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(strace).arg(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "kill::driver", "--nocapture", "--test-threads=1"]);
        command.env(DRIVER, format!("{what}:{}", self.root.display()));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// How often each call is made, from the given beginning.
    pub fn calls(&self, template: &Path, what: &str) -> BTreeMap<String, usize> {
        self.begin(template);
        let log = self.template.with_extension("trace");
        let trace = format!("trace={CALLS}");
        let log_name = log.to_str().expect("UTF-8");
        self.driver(what, &["-o", log_name, "-e", &trace]).status().expect("strace");
        let mut calls = BTreeMap::new();
        for line in fs::read_to_string(&log).expect("a trace").lines() {
            let call = line.split_whitespace().nth(1).unwrap_or_default();
            if let Some((name, _)) = call.split_once('(') {
                *calls.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        assert!(calls.get("renameat2").is_some_and(|count| *count > 1), "{calls:?}");
        calls
    }

    /// Runs with one fault; gives the exit code, `None` if it was killed.
    pub fn fault(&self, what: &str, call: &str, fault: &str, at: usize) -> Option<i32> {
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:{fault}:when={at}");
        let mut command = self.driver(what, &["-o", "/dev/null", "-e", &trace, "-e", &inject]);
        command.status().expect("strace").code()
    }

    /// After recovery: old or new, whole; afterwards a further apply makes it new.
    pub fn check(&self, what: &str, after: After) -> Ending {
        let host = self.host();
        host.recover(&look(&Files::new()), &Default::default())
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(
            host.recover(&look(&Files::new()), &Default::default()).expect("again"),
            Recovery::Nothing,
            "{what}"
        );
        let state = self.root.join(".packfleet");
        for left in ["journal", "stage", "stat-cache.new", "edits/new"] {
            assert!(!state.join(left).exists(), "{what}: {left} is left");
        }
        let seen = observe(&host, &Files::new());
        assert_eq!(seen.interrupted, None, "{what}");
        let generation = seen.record.map_or(0, |record| record.generation);
        let base = u64::from(self.story.before.is_some());
        let tree = tree_files(&self.root);
        let ending = if generation == base { Ending::Old } else { Ending::New };
        let expected = if ending == Ending::Old { &self.old } else { &self.new };
        assert_eq!(tree, *expected, "{what}: {ending:?}");
        let edits = host.edits().expect("edits");
        let planned = usize::from(self.story.edit.is_some() && ending == Ending::New);
        assert_eq!(edits.len(), planned, "{what}: {edits:?}");
        assert_eq!(host.history().expect("history").len() as u64, generation, "{what}");
        if ending == Ending::Old {
            let again = self.story.apply(&host);
            assert!(matches!(again, Ok(Applied::Done { .. })), "{what}: {again:?}");
            assert_eq!(tree_files(&self.root), self.new, "{what}: applied again");
        }
        let generations = host.generations().expect("generations");
        let kept = (base + 1).min(u64::from(self.story.keep_generations)) as usize;
        match after {
            After::Kill => assert_eq!(generations.len(), kept, "{what}"),
            // One that could not be removed is removed by the next commit.
            After::Fault => assert!(generations.len() >= kept, "{what}"),
        }
        for action in &generations[0].actions {
            if let Some(before) = action.before {
                let kept = host.kept(before.content).expect("kept");
                assert!(kept.is_some(), "{what}: {} has no backup", action.path);
            }
        }
        let objects = fs::read_dir(state.join("objects")).expect("objects").count();
        assert_eq!(objects, 1, "{what}");
        ending
    }
}

#[derive(Debug, Clone, Copy)]
pub enum After {
    Kill,
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Old,
    New,
}

pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

/// Numbers from 1 to `count`, at most `most` of them, the first and the last included.
pub fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (1..=count).collect();
    }
    (0..most).map(|at| 1 + at * (count - 1) / (most - 1)).collect()
}

fn killed_everywhere(name: &str) {
    let Some(stand) = Stand::new(Story::named(name)) else { return };
    let mut endings = BTreeMap::new();
    for (call, count) in stand.calls(&stand.template, name) {
        for at in spread(count, MOST) {
            stand.begin(&stand.template);
            let code = stand.fault(name, &call, "signal=SIGKILL", at);
            let what = format!("{name}: killed at {call} {at} of {count} (exit {code:?})");
            *endings.entry(format!("{:?}", stand.check(&what, After::Kill))).or_insert(0) += 1;
        }
    }
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
fn changing_shapes_is_killed_everywhere() {
    killed_everywhere("shapes");
}

#[test]
fn an_error_of_the_system_anywhere_is_told_and_settled() {
    let Some(stand) = Stand::new(Story::named("shapes")) else { return };
    for (call, count) in stand.calls(&stand.template, "shapes") {
        for error in ["EIO", "ENOSPC", "EACCES"] {
            for at in spread(count, 6) {
                stand.begin(&stand.template);
                let code = stand.fault("shapes", &call, &format!("error={error}"), at);
                let what = format!("{error} at {call} {at} of {count} (exit {code:?})");
                let done = code == Some(0);
                let host = stand.host();
                if done {
                    assert_eq!(managed(tree_files(&stand.root)), managed(stand.new.clone()), "{what}");
                    // A line that could not be written is written by the next commit.
                    if host.history().expect("history").len() == 2 && tree_files(&stand.root) == stand.new {
                        stand.check(&what, After::Fault);
                    }
                } else {
                    stand.check(&what, After::Fault);
                }
            }
        }
    }
}

#[test]
fn a_recovery_is_killed_everywhere() {
    let Some(stand) = Stand::new(Story::named("shapes")) else { return };
    let cut = stand.template.with_extension("cut");
    for (way, marked) in [("forward", false), ("back", true)] {
        stand.begin(&stand.template);
        // In the middle of the steps: the probe's two exchanges and the journal's rename come first.
        stand.fault("shapes", "renameat2", "signal=SIGKILL", 9);
        let state = stand.root.join(".packfleet");
        assert!(state.join("journal").exists(), "not cut after the commit point");
        if marked {
            fs::rename(state.join("stage/undo"), state.join("journal")).expect("marked");
        }
        let _none = fs::remove_dir_all(&cut);
        copy(&stand.root, &cut);
        for (call, count) in stand.calls(&cut, "recover") {
            for at in spread(count, 12) {
                stand.begin(&cut);
                let code = stand.fault("recover", &call, "signal=SIGKILL", at);
                let what = format!("recovery {way}: killed at {call} {at} of {count} (exit {code:?})");
                let ending = stand.check(&what, After::Kill);
                assert_eq!(ending, if marked { Ending::Old } else { Ending::New }, "{what}");
            }
        }
    }
}

#[test]
fn an_edit_between_crash_and_recovery_is_not_lost() {
    let Some(stand) = Stand::new(Story::named("upgrade")) else { return };
    let count = stand.calls(&stand.template, "upgrade")["renameat2"];
    for edited in ["a/f", "a/g", "n/new", "same", "mine"] {
        for at in 1..=count {
            stand.begin(&stand.template);
            stand.fault("upgrade", "renameat2", "signal=SIGKILL", at);
            let what = format!("{edited} edited after a kill at rename {at} of {count}");
            let file = stand.root.join(edited);
            if !file.parent().expect("a parent").is_dir() {
                continue;
            }
            fs::write(&file, "a person's").expect("an edit");
            let host = stand.host();
            host.recover(&look(&Files::new()), &Default::default())
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let mut tree = tree_files(&stand.root);
            let (_, live) = tree.remove(edited).unwrap_or_else(|| panic!("{what}: it is gone"));
            assert_eq!(live, b"a person's", "{what}");
            // All the rest is old or new, as the record says.
            let record = observe(&host, &Files::new()).record.expect("a record");
            let mut expected = if record.generation == 1 { stand.old.clone() } else { stand.new.clone() };
            expected.remove(edited);
            assert_eq!(tree, expected, "{what}: generation {}", record.generation);
            // The edit that was there before is live, saved, or what the person wrote over.
            let older = Content::of(b"edited");
            let kept = host.edits().expect("edits").iter().any(|edit| edit.entry.content == older);
            let live = tree_files(&stand.root)["a/f"].1 == b"edited";
            let overwritten = edited == "a/f";
            assert!(kept || live || overwritten, "{what}: the older edit is lost");
            // Where it is an edit of what the switch had put, its base is what the plan wanted there.
            if let Some(recorded) = record.entries.get(&path(edited)) {
                let wanted =
                    stand.new.get(edited).map(|(kind, bytes)| packfleet::model::Entry::of(*kind, bytes));
                let old = files(stand.story.before.unwrap_or_default());
                let was = old
                    .get(edited)
                    .map(|(kind, bytes): &(Kind, Vec<u8>)| packfleet::model::Entry::of(*kind, bytes));
                assert!(recorded.base == wanted || recorded.base == was, "{what}: {recorded:?}");
            }
            assert!(!stand.root.join(".packfleet/journal").exists(), "{what}");
            assert!(!stand.root.join(".packfleet/stage").exists(), "{what}");
        }
    }
}
