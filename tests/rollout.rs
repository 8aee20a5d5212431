//! A controller that is killed at random during a rollout, again and again: it keeps no state that it could lose,
//! so the fleet ends where it would have without, and nobody skips a stage.
//!
//! Twenty local roots in three stages; `apply` is killed by SIGKILL at moments by chance, and the clock that it is
//! told goes on in steps. When a kill comes decides how far a run gets, and never whether the test passes: what is
//! checked holds after any of them. Needs git and `sh`, and no root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// How often the controller is killed, in each variant.
const KILLS: u32 = 50;
/// How long the stages but the last soak, as in the fleet file.
const SOAK: SignedDuration = SignedDuration::from_mins(60);
/// What the clock of the controller goes on by, from one run to the next.
const STEP: SignedDuration = SignedDuration::from_mins(25);

const FLEET: &str = r#"
[fleet]
name = "killed"

[sources.team]
url = "packs"

[packs.bot]
source = "team"
dir = "bot"
target = "bot"
[[packs.bot.health]]
command = ["sh", "-c", "grep -q good mode"]
within = "1ms"

[deployments."a-{01..03}"]
host = "local"
root = "live/a-{}"
packs.bot = { version = "1" }
[deployments."b-{01..05}"]
host = "local"
root = "live/b-{}"
packs.bot = { version = "1" }
[deployments."c-{01..12}"]
host = "local"
root = "live/c-{}"
packs.bot = { version = "1" }

[[rollout]]
select = ["a-*"]
soak = "60m"
[[rollout]]
select = ["b-*"]
soak = "60m"
max_parallel = 2
[[rollout]]
select = ["*"]
max_parallel = "50%"
"#;

struct World {
    place: tempfile::TempDir,
    now: Timestamp,
    random: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let world = Self { place, now: "2026-11-24T08:00:00Z".parse().expect("a time"), random: seed };
        fs::write(world.at("fleet.toml"), FLEET).expect("a file");
        fs::create_dir_all(world.at("packs/bot")).expect("a directory");
        fs::write(
            world.at(".gitconfig"),
            "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n",
        )
        .expect("a file");
        world.git(&["init", "-q"]);
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().canonicalize().expect("a real path").join(path)
    }

    fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap_or_default())
            .env("HOME", self.at(""))
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PACKFLEET_NOW", self.now.to_string())
            .stdin(Stdio::null())
    }

    fn git(&self, words: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.at("packs")).args(words);
        let output = self.environment(&mut command).output().expect("git runs");
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    /// A version whose check passes if `mode` says so.
    fn release(&self, version: &str, mode: &str) {
        fs::write(self.at("packs/bot/mode"), format!("{mode} {version}\n")).expect("a file");
        for file in 0..20 {
            fs::write(self.at(&format!("packs/bot/file-{file:02}")), version.repeat(100)).expect("a file");
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", version]);
        self.git(&["tag", &format!("v{version}")]);
    }

    fn packfleet(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
        command.arg("-f").arg(self.at("fleet.toml")).args(words).current_dir(self.at(""));
        self.environment(&mut command);
        command
    }

    fn apply(&self) -> Output {
        self.packfleet(&["apply", "--yes"]).output().expect("it runs")
    }

    /// Runs without a kill until all is in sync or no more can be done; says with what code the last one ended.
    fn settle(&mut self) -> i32 {
        let mut code = -1;
        for _ in 0..12 {
            self.now += STEP;
            code = self.apply().status.code().unwrap_or(-1);
        }
        code
    }

    /// A number below `most`.
    fn chance(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most.max(1)
    }

    /// Begins an apply and kills it, and all that it started in its group, after a time by chance.
    fn apply_and_kill(&mut self, longest: Duration) {
        let delay = Duration::from_micros(self.chance(longest.as_micros() as u64));
        let mut command = self.packfleet(&["apply", "--yes"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("it runs");
        sleep(delay);
        let group = format!("-{}", child.id());
        let _it_may_have_ended =
            Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        child.wait().expect("it ends");
    }

    /// What the history of a deployment says: when, and which version.
    fn history(&self, name: &str) -> Vec<(Timestamp, String)> {
        let (kind, number) = name.split_once('-').expect("a name");
        let file = self.at(&format!("live/{kind}-{number}/.packfleet/history"));
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            let version = line["packs"]["bot"].as_str().unwrap_or("none").to_owned();
            Some((line["time"].as_str()?.parse().ok()?, version))
        };
        text.lines().filter_map(line).collect()
    }

    fn modes(&self) -> BTreeMap<String, String> {
        let mode =
            |name: &String| fs::read_to_string(self.at(&format!("live/{name}/bot/mode"))).unwrap_or_default();
        names().iter().map(|name| (name.clone(), mode(name))).collect()
    }

    /// Everyone who moved to a version did so when all of the earlier stages had run it for the soak.
    fn nobody_skipped_a_stage(&self) {
        let all: BTreeMap<String, Vec<(Timestamp, String)>> =
            names().into_iter().map(|name| (name.clone(), self.history(&name))).collect();
        for (name, lines) in &all {
            for (at, version) in lines {
                for (earlier, past) in all.iter().filter(|(earlier, _)| earlier.as_str()[..1] < name[..1]) {
                    // What it ran at that moment, and since when.
                    let before: Vec<_> = past.iter().filter(|(then, _)| then <= at).collect();
                    let same = before.iter().rev().take_while(|(_, other)| other == version);
                    let since = same.last().map(|(then, _)| *then);
                    let soaked = since.is_some_and(|since| at.duration_since(since) >= SOAK);
                    assert!(
                        soaked,
                        "{name} moved to {version} at {at}, {earlier} runs it since {since:?}: {past:?}"
                    );
                }
            }
        }
    }

    fn nothing_is_left(&self) {
        for name in names() {
            for left in ["journal", "stage"] {
                let path = self.at(&format!("live/{name}/.packfleet/{left}"));
                assert!(!Path::new(&path).exists(), "{} is left", path.display());
            }
        }
    }
}

fn names() -> Vec<String> {
    let of = |kind: &'static str, most: u32| (1..=most).map(move |number| format!("{kind}-{number:02}"));
    of("a", 3).chain(of("b", 5)).chain(of("c", 12)).collect()
}

#[test]
fn killed_fifty_times_a_rollout_ends_where_it_would_have() {
    let mut world = World::new(0x5eed_0001);
    world.release("1.0.0", "good");
    let begun = Instant::now();
    world.apply();
    // By chance a run ends before it is killed, or hardly begins.
    let longest = begun.elapsed();
    for kill in 0..KILLS {
        if kill % 17 == 16 {
            world.release(&format!("1.{}.0", kill / 17 + 1), "good");
        }
        world.now += STEP;
        world.apply_and_kill(longest);
        world.nobody_skipped_a_stage();
    }
    assert_eq!(world.settle(), 0, "{:?}", world.apply());
    world.nobody_skipped_a_stage();
    world.nothing_is_left();
    for (name, mode) in world.modes() {
        assert_eq!(mode, "good 1.2.0\n", "{name}");
    }
}

#[test]
fn killed_fifty_times_a_bad_release_stops_at_the_canaries() {
    let mut world = World::new(0x5eed_0002);
    world.release("1.0.0", "good");
    assert_eq!(world.settle(), 0, "{:?}", world.apply());
    world.release("1.1.0", "bad");
    let longest = Duration::from_millis(600);
    for _ in 0..KILLS {
        world.now += STEP;
        world.apply_and_kill(longest);
        for name in names().iter().filter(|name| !name.starts_with('a')) {
            let versions: Vec<_> = world.history(name).into_iter().map(|(_, version)| version).collect();
            assert_eq!(versions, ["1.0.0"], "{name}");
        }
    }
    assert_eq!(world.settle(), 3, "{:?}", world.apply());
    world.nothing_is_left();
    for (name, mode) in world.modes() {
        assert_eq!(mode, "good 1.0.0\n", "{name}");
    }
    // The next one goes all the way.
    world.release("1.2.0", "good");
    assert_eq!(world.settle(), 0, "{:?}", world.apply());
    world.nobody_skipped_a_stage();
    assert!(world.modes().values().all(|mode| mode == "good 1.2.0\n"), "{:?}", world.modes());
}
