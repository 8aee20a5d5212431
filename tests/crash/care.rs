//! An apply that restarts and looks, killed at its calls between stage and end: a change that is well ends new, one
//! that is ill ends old and rejected, whenever it was cut short.
//!
//! The whole program runs, with a service and a check that are commands, so that no systemd is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stand::spread;

const FLEET: &str = r#"
[fleet]
name = "f"
version_file = "VERSION"
[sources.s]
path = "pack"
[packs.bot]
source = "s"
dir = "."
target = "bot"
restart = ["sh", "-c", "cp mode ../running"]
[[packs.bot.health]]
command = ["grep", "-q", "good", "../running"]
within = "200ms"
[[packs.bot.health]]
log = "bot.log"
error = "error"
over = "100ms"
[deployments.d]
host = "local"
root = "root"
packs.bot = {}
"#;

/// A fleet with what it installed.
struct Bench {
    tree: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let tree = tempfile::tempdir().expect("a directory");
        let bench = Self { tree };
        fs::create_dir(bench.at("pack")).expect("a pack");
        fs::write(bench.at("fleet.toml"), FLEET).expect("a fleet");
        bench.pack("good 1");
        assert_eq!(bench.apply(), Some(0));
        fs::rename(bench.at("root"), bench.at("template")).expect("a template");
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    fn pack(&self, mode: &str) {
        fs::write(self.at("pack/mode"), mode).expect("a file of the pack");
        fs::write(self.at("pack/other"), mode.len().to_string()).expect("another");
    }

    /// The deployment as it was after the first install.
    fn begin(&self) {
        let _none_yet = fs::remove_dir_all(self.at("root"));
        let copied = Command::new("cp").arg("-a").args([self.at("template"), self.at("root")]).status();
        assert!(copied.expect("cp").success());
        fs::write(self.at("root/running"), "good 1").expect("what runs");
    }

    fn command(&self, program: &Path, before: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(before);
        if !before.is_empty() {
            command.arg(env!("CARGO_BIN_EXE_packfleet"));
        }
        command
            .args(["apply", "--yes"])
            .current_dir(self.tree.path())
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env("HOME", self.tree.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn apply(&self) -> Option<i32> {
        let binary = Path::new(env!("CARGO_BIN_EXE_packfleet"));
        self.command(binary, &[]).status().expect("packfleet").code()
    }

    fn strace(&self, log: &Path, what: &[&str]) -> Option<i32> {
        let mut words = vec!["-f".to_owned(), "-qq".into(), "-o".into(), log.to_str().expect("UTF-8").into()];
        words.extend(what.iter().flat_map(|what| ["-e".to_owned(), (*what).to_owned()]));
        self.command(Path::new("strace"), &words).status().expect("strace").code()
    }

    /// How often a call is made by the thread that makes the most of them: that of the switch.
    fn calls(&self, call: &str) -> usize {
        self.begin();
        let log = self.at("calls");
        self.strace(&log, &[&format!("trace={call}")]);
        let text = fs::read_to_string(log).expect("what was traced");
        let mut threads = std::collections::BTreeMap::new();
        for thread in
            text.lines().filter(|line| line.contains(call)).filter_map(|line| line.split(' ').next())
        {
            *threads.entry(thread).or_insert(0) += 1;
        }
        threads.into_values().max().unwrap_or(0)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }
}

fn killed_everywhere(mode: &str, standing: &str, ends: &[i32], last: i32) {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: there is no strace");
        return;
    }
    let bench = Bench::new();
    bench.pack(mode);
    for call in ["renameat2", "renameat", "unlinkat"] {
        let count = bench.calls(call);
        assert!(count > 2, "{call}: {count}");
        for at in spread(count, 14) {
            bench.begin();
            let inject = format!("inject={call}:signal=SIGKILL:when={at}");
            let null = Path::new("/dev/null");
            let code = bench.strace(null, &[&format!("trace={call}"), &inject]);
            let what = format!("{mode}: killed at {call} {at} of {count} ({code:?})");
            assert_eq!(code, None, "{what}: not killed");
            let next = bench.apply().unwrap_or(-1);
            assert!(ends.contains(&next), "{what}: the next run ends with {next}");
            assert_eq!(bench.apply(), Some(last), "{what}");
            assert_eq!(bench.read("root/bot/mode"), standing, "{what}");
            assert_eq!(bench.read("root/running"), standing, "{what}: what runs");
            assert!(bench.read("root/VERSION").contains("bot_version"), "{what}");
            for left in ["journal", "stage", "health-new"] {
                assert!(!bench.at("root/.packfleet").join(left).exists(), "{what}: {left} is left");
            }
        }
    }
}

#[test]
fn a_change_that_is_well_is_killed_everywhere() {
    killed_everywhere("good 2", "good 2", &[0], 0);
}

#[test]
fn a_change_that_is_ill_is_killed_everywhere() {
    // 3: it was rejected before the kill.
    killed_everywhere("bad", "good 1", &[6, 3], 3);
}
