//! A controller that is killed at random while a fleet of hosts is rolled out in stages, again and again: it keeps no
//! state that it could lose. All hosts end with the same, and by their own clocks nobody had a version before the stages
//! before had it for their soak.
//!
//! Four hosts and a few kills in the ordinary suite; `PACKFLEET_LAB=20 cargo test --test lab twenty` is a fleet
//! of twenty and fifty kills. When a kill comes decides how far a run got, and never whether the scenario passes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};

use crate::machine::Machine;
use crate::world::{World, until};

/// How long a stage soaks, but the last.
const SOAK: SignedDuration = SignedDuration::from_secs(1);
/// The longest that a controller lives.
const LIFE: Duration = Duration::from_millis(2500);
/// Files of a release: enough of them that a switch has a middle.
const FILES: usize = 12;

/// A number by chance, below `most`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// When a host got a version, by the host's own file.
type Seen = BTreeMap<(String, String), Timestamp>;

pub fn rollout(world: &World) {
    let all = world.machines.len();
    // With many hosts it takes longer until there is something to be killed.
    let (kills, life) = if all >= 20 { (50, 2 * LIFE) } else { (8, LIFE) };
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_nanos() as u64;
    let mut chance = Chance(seed | 1);
    let served = world.path("git");
    fs::create_dir_all(&served).expect("a directory");
    world.serve(&served, served.to_str().expect("UTF-8"));
    release(world, "1.0.0", "good");
    world.push_fleet(&fleet(world));
    let words = ["--repo", served.join("fleet.git").to_str().expect("UTF-8")].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mut seen, mut interrupted, mut applied) = (Seen::new(), 0, 0);
    // The first one goes all the way, so that what is killed are upgrades.
    let run = world.run(&words);
    until("all have the first version", || have(world, "good 1.0.0"));
    drop(run);
    look(world, &mut seen);
    for kill in 0..kills {
        // A new version in the middle of the one before, and one that is bad.
        match kill {
            0 => release(world, "1.1.0", "good"),
            at if at == kills / 2 => release(world, "1.2.0", "bad"),
            at if at == kills * 3 / 4 => release(world, "1.3.0", "good"),
            _ => {}
        }
        let run = world.run(&words);
        // Now and then before it has begun anything; else from its first pass on.
        if kill % 8 != 7 {
            until("it begins", || run.count(" begins ") > 0);
        }
        sleep(Duration::from_micros(chance.below(life.as_micros() as u64)));
        applied += run.count("  applied  ");
        // Killed with this.
        drop(run);
        interrupted += usize::from(
            world.machines.iter().any(|machine| world.on(machine, ".packfleet/journal").exists()),
        );
        look(world, &mut seen);
        nobody_skipped(world, &seen, seed);
    }
    let run = world.run(&words);
    until("all have the last version", || {
        look(world, &mut seen);
        have(world, "good 1.3.0")
    });
    nobody_skipped(world, &seen, seed);
    for machine in &world.machines {
        run.shows(&machine.name, "in sync", |one| one["sync"] == "in-sync");
    }
    assert_eq!(run.end("TERM"), 143);
    let [first, others @ ..] = &world.machines[..] else { panic!("a machine") };
    for machine in &world.machines {
        let versions: Vec<String> = world.history(machine).into_iter().map(|(_, version)| version).collect();
        assert!(!versions.iter().any(|version| version == "1.2.0"), "{}: {versions:?}", machine.name);
        for left in ["journal", "stage"] {
            assert!(
                !world.on(machine, &format!(".packfleet/{left}")).exists(),
                "{}: {left} is left",
                machine.name
            );
        }
    }
    for machine in others {
        assert_eq!(tree(world, machine), tree(world, first), "{}", machine.name);
    }
    println!(
        "lab: {}: {kills} kills, {interrupted} of them while a switch was under way, {applied} applies told of before; seed {seed}",
        world.name
    );
}

/// In three stages: one host, or three of many; some; the others.
fn stages(world: &World) -> [&[std::sync::Arc<Machine>]; 3] {
    let many = world.machines.len() >= 20;
    let (first, rest) = world.machines.split_at(if many { 3 } else { 1 });
    let (second, third) = rest.split_at(if many { 5 } else { 1 });
    [first, second, third]
}

fn fleet(world: &World) -> String {
    let mut text = format!(
        "[fleet]\nname = \"killed\"\n[run]\npoll = \"300ms\"\nresync = \"1h\"\nlisten = \"127.0.0.1:{}\"\n\
         retry = {{ initial = \"200ms\", max = \"1s\" }}\n\
         [sources.s]\nurl = \"{}\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"bot\"\n\
         on_change = [{{ paths = [\"**\"], run = [\"sleep\", \"0.2\"] }}]\n\
         [[packs.bot.health]]\ncommand = [\"grep\", \"-q\", \"good\", \"mode\"]\nwithin = \"1ms\"\n",
        world.port(),
        world.path("git/packs.git").display(),
    );
    for machine in &world.machines {
        text.push_str(&format!(
            "[deployments.{0}]\nhost = \"{0}\"\nroot = \"{1}\"\npacks.bot = {{ version = \"1\" }}\n",
            machine.name,
            world.root()
        ));
    }
    for (number, stage) in stages(world).into_iter().enumerate() {
        let names: Vec<String> = stage.iter().map(|machine| format!("\"{}\"", machine.name)).collect();
        let more = match number {
            0 => format!("soak = \"{}s\"\n", SOAK.as_secs()),
            1 => format!("soak = \"{}s\"\nmax_parallel = 2\n", SOAK.as_secs()),
            _ => "max_parallel = \"50%\"\n".to_owned(),
        };
        text.push_str(&format!("[[rollout]]\nselect = [{}]\n{more}", names.join(", ")));
    }
    text
}

/// A version whose check passes if `mode` says so.
fn release(world: &World, version: &str, mode: &str) {
    let names: Vec<String> = (0..FILES).map(|number| format!("file-{number:02}")).collect();
    let mode = format!("{mode} {version}");
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), version)).collect();
    files.push(("mode", &mode));
    world.release(version, &files);
    world.push_packs();
}

fn have(world: &World, mode: &str) -> bool {
    world.machines.iter().all(|machine| world.text(machine, "bot/mode") == mode)
}

fn tree(world: &World, machine: &Machine) -> BTreeMap<String, String> {
    let entries = fs::read_dir(world.on(machine, "bot")).expect("a pack").flatten();
    let file = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        (entry.file_name().to_string_lossy().into_owned(), text)
    };
    entries.map(file).collect()
}

/// Notes what lies where, and since when: a rename moves the time, and nothing else does while it is in place.
fn look(world: &World, seen: &mut Seen) {
    for machine in &world.machines {
        let file = world.on(machine, "bot/mode");
        let (Ok(text), Ok(found)) = (fs::read_to_string(&file), fs::metadata(&file)) else { continue };
        let at = Timestamp::new(found.ctime(), i32::try_from(found.ctime_nsec()).expect("a time"));
        // The first time counts: who goes back and forth had it then.
        seen.entry((text, machine.name.clone())).or_insert(at.expect("a time"));
    }
}

/// Everyone who had a version had it after all of the earlier stages had it for the soak.
#[track_caller]
fn nobody_skipped(world: &World, seen: &Seen, seed: u64) {
    let stages = stages(world);
    for ((mode, name), at) in seen {
        let number = stages.iter().position(|stage| stage.iter().any(|machine| &machine.name == name));
        for earlier in stages[..number.expect("a stage")].iter().copied().flatten() {
            let since = seen.get(&(mode.clone(), earlier.name.clone()));
            let soaked = since.is_some_and(|since| at.duration_since(*since) >= SOAK);
            let history: Vec<_> = world.machines.iter().map(|it| (&it.name, world.history(it))).collect();
            assert!(
                soaked,
                "{name} had {mode:?} at {at}, {} since {since:?}; seed {seed}; {history:#?}",
                earlier.name
            );
        }
    }
}
