//! One switch, carried out under `strace` by a process of its own, with one fault in it; and the look at what
//! is left.
//!
//! ```text
//! template ─► root ─► driver under strace: a call fails, or kills ─► exit code true? ─► recovery
//!          ─► old or new, all of it ─► once more: new
//! ```
//! The test binary starts itself as the driver. `strace` delivers a signal before the call is carried out, and
//! counts calls per thread; the switch runs on one. Without strace these tests say so and check nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use packfleet::host::{Applied, Host, HostError, LocalHost, Recovery, Resume};
use packfleet::model::plan::{Cause, Purpose};
use packfleet::model::{Content, Entry, HostPath, Kind};

use crate::world::*;

pub const DRIVER: &str = "PACKFLEET_TEST_DRIVER";
/// Every call that changes something, and those that open and sync.
pub const CALLS: &str = "renameat2,renameat,rename,linkat,unlinkat,mkdir,mkdirat,symlinkat,openat2,write,fsync,\
                     fdatasync,syncfs,ftruncate,fchmod,fchown,fchownat,fsetxattr,fremovexattr";

/// How the driver ended.
pub const DONE: i32 = 0;
pub const MOVED: i32 = 10;
pub const REFUSED: i32 = 11;
pub const PENDING: i32 = 12;

type Shape = &'static [(&'static str, &'static str)];

/// What is switched.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    pub name: &'static str,
    /// Versions that were installed, one after another.
    pub before: &'static [Shape],
    pub after: Shape,
    /// What a person wrote after they were installed.
    pub edit: Option<(&'static str, &'static str)>,
    pub way: Way,
    pub keep_generations: u32,
}

/// What kind of plan it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A sync; an edit is reverted and saved.
    Sync,
    /// A sync whose result at the edited path is a merge.
    Merge,
    /// Back to an older generation; an edit is saved.
    Rollback,
}

const ONE: Shape = &[("a/f", "old"), ("a/g*", "old"), ("a/gone/x", "old"), ("l@", "old"), ("same", "s")];
const TWO: Shape = &[("a/f", "new"), ("a/g", "new"), ("l@", "new"), ("same", "s"), ("n/new*", "new")];

pub const STORIES: [Story; 6] = [
    Story {
        name: "install",
        before: &[],
        after: &[("a/b/f", "f"), ("a/run*", "#!"), ("a/l@", "run"), ("top", "t")],
        edit: None,
        way: Way::Sync,
        keep_generations: 3,
    },
    Story {
        name: "upgrade",
        before: &[ONE],
        after: TWO,
        edit: Some(("a/f", "edited")),
        way: Way::Sync,
        keep_generations: 3,
    },
    Story {
        name: "merge",
        before: &[ONE],
        after: &[("a/f", "new and edited"), ("a/g*", "old"), ("l@", "old"), ("same", "s"), ("a/m", "new")],
        edit: Some(("a/f", "edited")),
        way: Way::Merge,
        keep_generations: 2,
    },
    Story {
        name: "rollback",
        before: &[ONE, TWO],
        after: ONE,
        edit: Some(("n/new", "edited")),
        way: Way::Rollback,
        keep_generations: 3,
    },
    Story {
        name: "flatten",
        before: &[&[("q/r/s", "deep"), ("q/t", "x"), ("m", "m"), ("n/a", "n")]],
        after: &[("q", "file"), ("m@", "q"), ("n/b", "n")],
        edit: None,
        way: Way::Sync,
        keep_generations: 1,
    },
    Story {
        name: "shapes",
        before: &[&[("p", "file"), ("q/r/s", "deep"), ("q/t", "x"), ("l@", "p"), ("m", "m")]],
        after: &[("p/in/f", "file"), ("q", "file"), ("l/x", "below"), ("m@", "q")],
        edit: None,
        way: Way::Sync,
        keep_generations: 1,
    },
];

impl Story {
    pub fn named(name: &str) -> Self {
        *STORIES.iter().find(|story| story.name == name).expect("a story")
    }

    pub fn apply(&self, host: &dyn Host) -> Result<Applied, HostError> {
        let after = files(self.after);
        let mut plan = plan(host, &after, "2");
        if let Some(recorded) = plan.next.entries.values_mut().next() {
            recorded.commit = None;
        }
        if self.way == Way::Merge
            && let Some((edited, _)) = self.edit
        {
            let edited = path(edited);
            for action in plan.actions.iter_mut().filter(|action| action.path == edited) {
                (action.cause, action.save) = (Cause::Merge, false);
            }
            if let Some(recorded) = plan.next.entries.get_mut(&edited) {
                recorded.base = Some(Entry::of(Kind::File, b"the pack's"));
                recorded.commit =
                    Some(packfleet::model::pack::CommitId::new(&"cd".repeat(20)).expect("an id"));
            }
        }
        if self.way == Way::Rollback {
            plan.purpose = Purpose::Rollback { to: plan.generation - 1 };
            plan.actions.iter_mut().for_each(|action| action.cause = Cause::Rollback);
        }
        let mut commit = commit(&plan);
        commit.keep_generations = self.keep_generations;
        host.apply(&commit, &Store::of(&after))
    }
}

/// Not a test: what the tests run under strace. Without its variable it does nothing.
#[test]
fn driver() {
    let Ok(order) = std::env::var(DRIVER) else { return };
    let (what, root) = order.split_once(':').expect("what:root");
    let host = LocalHost::open(HostPath::new(root).expect("a root"));
    let told = |error: HostError| {
        eprintln!("{error:?}");
        if matches!(error, HostError::Pending { .. }) { PENDING } else { REFUSED }
    };
    let code = match what {
        "recover" => host.recover(&look(&Files::new()), &Resume::default()).map_or_else(told, |_| DONE),
        story => match Story::named(story).apply(&host) {
            Ok(Applied::Done { .. }) => DONE,
            Ok(_) => MOVED,
            Err(error) => told(error),
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

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// All that must be old or new as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Kind or mode, owner, group and bytes of all that lies in the tree.
    pub tree: BTreeMap<String, (u32, u32, u32, Vec<u8>)>,
    pub record: Option<String>,
    edits: Vec<(String, Entry)>,
    history: Vec<u64>,
    pub objects: BTreeSet<String>,
}

impl State {
    pub fn of(root: &Path, host: &LocalHost) -> Self {
        let objects = fs::read_dir(root.join(".packfleet/objects")).into_iter().flatten();
        Self {
            tree: tree(root),
            record: observe(host, &Files::new()).digest.map(|digest| format!("{digest:?}")),
            edits: host.edits().expect("edits").into_iter().map(|e| (e.path.to_string(), e.entry)).collect(),
            history: host.history().expect("history").iter().map(|line| line.generation).collect(),
            objects: objects.map(|e| e.expect("object").file_name().into_string().expect("hex")).collect(),
        }
    }
}

/// All that lies below a root, directories included, but the state directory.
pub fn tree(root: &Path) -> BTreeMap<String, (u32, u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let at = entry.expect("an entry").path();
            let name = at.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
            let meta = at.symlink_metadata().expect("metadata");
            let bytes = if meta.is_symlink() {
                fs::read_link(&at)
                    .expect("a link")
                    .into_os_string()
                    .into_string()
                    .expect("UTF-8")
                    .into_bytes()
            } else if meta.is_file() {
                fs::read(&at).expect("bytes")
            } else if name == ".packfleet" {
                continue;
            } else {
                waiting.push(at);
                Vec::new()
            };
            found.insert(name, (meta.mode(), meta.uid(), meta.gid(), bytes));
        }
    }
    found
}

/// A root at a fixed place, put back to how the story begins before each trial.
pub struct Stand {
    _directory: Option<tempfile::TempDir>,
    pub root: PathBuf,
    pub template: PathBuf,
    pub story: Story,
    pub old: State,
    pub new: State,
    pub generations: usize,
    /// Calls that the kernel does not have: every one of them fails so.
    pub lacking: Vec<(&'static str, &'static str)>,
}

impl Stand {
    pub fn new(story: Story) -> Option<Self> {
        Self::lacking(story, &[])
    }

    /// On a kernel that answers these calls with these errors.
    pub fn lacking(story: Story, lacking: &[(&'static str, &'static str)]) -> Option<Self> {
        if !strace_works(story.name) {
            return None;
        }
        let directory = memory_directory();
        let (root, template) = (directory.path().join("root"), directory.path().join("template"));
        let mut stand = Self::at(story, root, template);
        stand._directory = Some(directory);
        stand.lacking = lacking.to_vec();
        Some(stand)
    }

    /// Prepares the beginning in `template`; the root is left as the story ends.
    pub fn at(story: Story, root: PathBuf, template: PathBuf) -> Self {
        fs::create_dir(&root).expect("a root");
        fs::write(root.join("mine"), "mine").expect("a file");
        symlink("../outside", root.join("way-out")).expect("a link");
        let outside = root.with_file_name("outside");
        fs::create_dir(&outside).expect("a directory");
        fs::write(outside.join("f"), "outside").expect("a file");
        let host = LocalHost::open(HostPath::new(root.to_str().expect("UTF-8")).expect("a root"));
        for version in story.before {
            let version = files(version);
            let plan = plan(&host, &version, "1");
            host.apply(&commit(&plan), &Store::of(&version)).expect("installed");
        }
        if let Some((path, text)) = story.edit {
            fs::write(root.join(path), text).expect("an edit");
        }
        // Owners and modes that are not those of new files.
        for (name, mode) in [("a/f", 0o640), ("p", 0o604), ("a", 0o750), ("q/r", 0o710)] {
            let at = root.join(name);
            if at.exists() {
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).expect("a mode");
                if is_root() {
                    std::os::unix::fs::chown(&at, Some(1001), Some(1002)).expect("an owner");
                }
            }
        }
        let old = State::of(&root, &host);
        copy(&root, &template);
        assert!(matches!(story.apply(&host), Ok(Applied::Done { .. })));
        let new = State::of(&root, &host);
        let generations = host.generations().expect("generations").len();
        Self { _directory: None, root, template, story, old, new, generations, lacking: Vec::new() }
    }

    pub fn host(&self) -> LocalHost {
        LocalHost::open(HostPath::new(self.root.to_str().expect("UTF-8")).expect("a root"))
    }

    pub fn begin(&self, template: &Path) {
        fs::remove_dir_all(&self.root).expect("removed");
        copy(template, &self.root);
    }

    /// The driver under strace, which also plays the kernel that lacks something.
    pub fn driver(&self, what: &str, strace: &[&str], calls: &str) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(strace);
        if !strace.iter().any(|argument| argument.contains("signal=")) {
            // Much faster, but a signal comes too late with it.
            command.arg("--seccomp-bpf");
        }
        let mut traced = vec![calls];
        for (call, error) in &self.lacking {
            traced.push(call);
            command.args(["-e", &format!("inject={call}:error={error}")]);
        }
        command.args(["-e", &format!("trace={}", traced.join(","))]);
        command.arg(std::env::current_exe().expect("this binary"));
        command.args(["--exact", "stand::driver", "--nocapture", "--test-threads=1"]);
        command.env(DRIVER, format!("{what}:{}", self.root.display()));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// How often each call is made, from the given beginning.
    pub fn calls(&self, template: &Path, what: &str) -> BTreeMap<String, usize> {
        self.begin(template);
        let log = self.template.with_extension("trace");
        self.driver(what, &["-o", log.to_str().expect("UTF-8")], CALLS).status().expect("strace");
        let mut calls = BTreeMap::new();
        for line in fs::read_to_string(&log).expect("a trace").lines() {
            let call = line.split_whitespace().nth(1).unwrap_or_default();
            if let Some((name, _)) = call.split_once('(')
                && self.lacking.iter().all(|(lacking, _)| *lacking != name)
            {
                *calls.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        let renames: usize =
            calls.iter().filter(|(call, _)| call.starts_with("rename")).map(|(_, count)| count).sum();
        assert!(renames > 0, "{calls:?}");
        calls
    }

    /// Runs with one fault, `when` being strace's word for which calls; gives the exit code, `None` if it
    /// was killed.
    pub fn fault(&self, what: &str, call: &str, fault: &str, when: &str) -> Option<i32> {
        let inject = format!("inject={call}:{fault}:when={when}");
        let status = self.driver(what, &["-o", "/dev/null", "-e", &inject], call).status();
        status.expect("strace").code()
    }

    /// An empty directory that may not be removed stays, and is no error. Removes it, as somebody would who may.
    pub fn remove_what_might_not_be(&self) {
        for name in self.old.tree.keys().rev().filter(|name| !self.new.tree.contains_key(*name)) {
            let _other_than_a_directory = fs::remove_dir(self.root.join(name)).is_err();
        }
    }

    /// Whether the tree is what the exit code says, before anything is recovered.
    pub fn is_as_told(&self, what: &str, code: Option<i32>) {
        let journal = self.root.join(".packfleet/journal").exists();
        let tree = tree(&self.root);
        match code {
            Some(DONE) => {
                let mut expected = self.new.tree.clone();
                if tree.get(LOG) != expected.get(LOG) {
                    // The line is written by the next commit.
                    expected.remove(LOG);
                    expected.extend(tree.get(LOG).map(|log| (LOG.to_owned(), log.clone())));
                }
                assert_eq!(tree, expected, "{what}: done, it says");
                assert!(!journal, "{what}: done, it says, with a journal");
            }
            Some(REFUSED | MOVED) => {
                assert_eq!(tree, self.old.tree, "{what}: nothing was touched, it says");
            }
            // The journal's last name is gone, but perhaps not from the disk: then all else is there.
            Some(PENDING) if !journal => assert!(tree == self.new.tree || tree == self.old.tree, "{what}"),
            _ => {}
        }
    }

    /// Whether lines of the last commit are still to be written, by the next one.
    pub fn is_unlogged(&self) -> bool {
        let generations = fs::read_dir(self.root.join(".packfleet/generations")).into_iter().flatten();
        generations.into_iter().any(|entry| entry.expect("a generation").path().join("unlogged").exists())
    }

    /// After recovery: old or new, whole; afterwards a further apply makes it new.
    pub fn check(&self, what: &str, after: After) -> Ending {
        let host = self.host();
        if self.lacking.is_empty() {
            host.recover(&look(&Files::new()), &Resume::default())
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        } else {
            let recovered = self.driver("recover", &["-o", "/dev/null"], "getppid").status().expect("strace");
            assert!(recovered.success(), "{what}: recovery ends with {recovered}");
        }
        assert_eq!(
            host.recover(&look(&Files::new()), &Resume::default()).expect("again"),
            Recovery::Nothing,
            "{what}"
        );
        let state = self.root.join(".packfleet");
        for left in ["journal", "stage", "stat-cache.new", "edits/new"] {
            assert!(!state.join(left).exists(), "{what}: {left} is left");
        }
        let mut found = State::of(&self.root, &host);
        let ending = if found.record == self.old.record { Ending::Old } else { Ending::New };
        if ending == Ending::New {
            found = self.without_late_lines(found, after);
        }
        let expected = if ending == Ending::Old { &self.old } else { &self.new };
        let mut expected = expected.clone();
        if ending == Ending::Old {
            // What staging made of objects that were not there is no harm.
            expected.objects.clone_from(&found.objects);
        }
        assert_eq!(found, expected, "{what}: {ending:?}");
        if ending == Ending::Old {
            let again = self.story.apply(&host);
            assert!(matches!(again, Ok(Applied::Done { .. })), "{what}: {again:?}");
            assert_eq!(State::of(&self.root, &host), self.new, "{what}: applied again");
        }
        let generations = host.generations().expect("generations");
        match after {
            After::Kill => assert_eq!(generations.len(), self.generations, "{what}"),
            // One that could not be removed is removed by the next commit.
            After::Fault => assert!(generations.len() >= self.generations, "{what}"),
        }
        for action in &generations[0].actions {
            if let Some(before) = action.before {
                let kept = host.kept(before.content).expect("kept");
                assert!(
                    kept.is_some_and(|bytes| Content::of(&bytes) == before.content),
                    "{what}: {}",
                    action.path
                );
            }
        }
        let outside = self.root.with_file_name("outside");
        assert_eq!(fs::read(outside.join("f")).expect("outside"), b"outside", "{what}");
        assert_eq!(fs::read_dir(&outside).expect("outside").count(), 1, "{what}");
        ending
    }

    /// Lines that could not be written are no failure: the next commit writes them.
    fn without_late_lines(&self, mut found: State, after: After) -> State {
        let late = matches!(after, After::Fault)
            && (found.history != self.new.history || found.tree.get(LOG) != self.new.tree.get(LOG));
        if late {
            found.history.clone_from(&self.new.history);
            found.tree.remove(LOG);
            found.tree.extend(self.new.tree.get(LOG).map(|log| (LOG.to_owned(), log.clone())));
        }
        found
    }
}

#[derive(Debug, Clone, Copy)]
pub enum After {
    Kill,
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Old,
    New,
}

/// A directory in memory, where there is such a place: syncs cost nothing there.
pub fn memory_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    directory.expect("a directory")
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
