//! What the loop costs once it runs: over channels that are open already, beside what others take over connections that
//! are; on a large root that it watches; asking git; and an hour of doing nothing.
//!
//! A pass of the loop is timed by the loop itself, as its page shows it; peers are whole processes. What belongs
//! together runs by turns, and times are medians. A peer that is not there is named and left out. Run by name only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::following::Loop;
use crate::machine::{PATIENCE, done};
use crate::numbers::{each, edit, release, succeeds};
use crate::world::{World, until};

const ROUNDS: usize = 7;
/// Polls of an hour, at one a second.
const HOUR: usize = 3600;

/// Milliseconds of all that was timed, by what it was.
#[derive(Default)]
struct Times(Vec<(&'static str, Vec<f64>)>);

impl Times {
    fn note(&mut self, what: &'static str, took: f64) {
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, times)) => times.push(took),
            None => self.0.push((what, vec![took])),
        }
    }

    fn time(&mut self, what: &'static str, work: impl FnOnce()) {
        let begun = Instant::now();
        work();
        self.note(what, milliseconds(begun.elapsed()));
    }

    fn print(&mut self, world: &World) {
        for (what, times) in &mut self.0 {
            times.sort_by(f64::total_cmp);
            let (low, middle, high) = (times[0], times[times.len() / 2], times[times.len() - 1]);
            println!(
                "lab: {}: {what}: {middle:.1} ms ({low:.1} to {high:.1}, {} times)",
                world.name,
                times.len()
            );
        }
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    let there = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        println!("lab: {program} is not there, and left out");
    }
    there
}

/// Waits until something holds that will soon.
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came to pass: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// The last pass: when it began and ended, and over how many.
fn last(run: &Loop) -> Option<(Timestamp, Timestamp, usize)> {
    let pass = &run.view()["pass"];
    let time = |name: &str| pass[name].as_str()?.parse().ok();
    Some((time("began")?, time("ended")?, usize::try_from(pass["looked"].as_u64()?).ok()?))
}

/// Waits for the next pass over so many; how long it took.
fn next(run: &Loop, after: Timestamp, looked: usize) -> (Timestamp, f64) {
    let mut found = None;
    soon("a pass ends", || {
        found = last(run).filter(|(began, _, of)| *began > after && *of == looked);
        found.is_some()
    });
    let (began, ended, _) = found.expect("a pass");
    (ended, ended.duration_since(began).as_secs_f64() * 1000.0)
}

/// Waits until the loop begins nothing any more.
fn quiet(run: &Loop) {
    let mut began = (usize::MAX, Instant::now());
    until("it rests", || {
        let now = run.count(" begins ");
        if now != began.0 {
            began = (now, Instant::now());
        }
        began.1.elapsed() > Duration::from_millis(700)
    });
}

/// A fleet of all machines with timers that are far away, in one stage: a pass is one over all of them.
fn fleet(world: &World, poll: &str, rehash: &str) {
    let run = format!(
        "[run]\npoll = \"{poll}\"\nresync = \"1h\"\nfull_rehash = \"{rehash}\"\njobs = 16\nlisten = \"127.0.0.1:{}\"\n\
         [[rollout]]\nselect = [\"*\"]\n[packs.bot]",
        world.port()
    );
    world.fleet("", "host", "");
    let file = world.path("fleet/fleet.toml");
    let text = fs::read_to_string(&file).expect("fleet.toml").replacen("[packs.bot]", &run, 1);
    fs::write(world.path("fleet/new"), text).expect("a file");
    fs::rename(world.path("fleet/new"), file).expect("fleet.toml");
}

/// Sixty files and a megabyte on every host, a tenth of them with an edit (W4): a look, a look at every byte, a change.
pub fn channels(world: &World) {
    let hosts = world.machines.len();
    release(world, 0);
    fleet(world, "1h", "1h");
    world.packfleet(&["apply", "--yes", "--jobs", "16"]).code(0);
    edit(world);
    let sockets = world.path("s");
    fs::create_dir_all(&sockets).expect("a directory");
    let shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=300", "-o"];
    let socket = format!("ControlPath={}/%C", sockets.display());
    let source = format!("{}/", world.path("packs/bot").display());
    let rsync = |words: &[&str], to: &str| {
        each(world, |machine| {
            let mut command = Command::new("rsync");
            command.args(words).arg("-e").arg(format!("ssh {} {socket}", shared.join(" "))).arg(&source);
            succeeds(command.arg(format!("{}:{}/{to}/", machine.name, world.root())));
        });
    };
    let remotely = |text: &str| {
        each(world, |machine| {
            succeeds(Command::new("ssh").args(shared).args([&socket, &machine.name, text]));
        });
    };
    let (has_rsync, has_b3sum) = (has("rsync"), has("b3sum"));
    let to = world.root();
    let check = format!("cd {to} && b3sum --quiet --check sums");
    let sums = format!("cd {to} && find bot -type f -print0 | xargs -0 b3sum > sums");
    if has_rsync {
        rsync(&["-a"], "by-rsync");
    }
    let file = world.path("fleet/fleet.toml");
    let run = world.run(&["-f", file.to_str().expect("UTF-8")]);
    until("it looked at all", || last(&run).is_some());
    quiet(&run);
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let now = Timestamp::now();
        run.signal("HUP");
        let (ended, took) = next(&run, now, hosts);
        times.note("loop: no change, by the stat caches", took);
        times.note("loop: no change, from the signal on", ended.duration_since(now).as_secs_f64() * 1000.0);
        quiet(&run);
        // Always due: pass by pass, until the file says otherwise again.
        fleet(world, "1h", "1ms");
        run.says("kind=Rehash", round * 5 + 5);
        for _ in 0..5 {
            let (_, took) = next(&run, Timestamp::now(), hosts);
            times.note("loop: every byte", took);
        }
        fleet(world, "1h", "1h");
        quiet(&run);
        if has_b3sum {
            remotely(&sums);
            times.time("b3sum --check over ControlMaster", || remotely(&check));
        }
        if has_rsync {
            times.time("rsync -nc over ControlMaster", || rsync(&["-a", "-n", "-c", "--delete"], "by-rsync"));
        }
        times.time("ssh HOST true over ControlMaster", || remotely("true"));
        // One file changes everywhere.
        release(world, round + 1);
        let now = Timestamp::now();
        run.signal("HUP");
        let mut passes = Vec::new();
        let all = ((round + 1) * hosts) as u64;
        soon("all have it", || {
            passes.extend(last(&run).filter(|(.., of)| *of == hosts));
            run.view()["totals"]["commits"].as_u64() == Some(all)
        });
        passes.extend(last(&run).filter(|(.., of)| *of == hosts));
        let (began, ended, _) = passes.pop().expect("a pass");
        times.note("loop: a changed file, durable", ended.duration_since(began).as_secs_f64() * 1000.0);
        times.note(
            "loop: a changed file, from the signal on",
            ended.duration_since(now).as_secs_f64() * 1000.0,
        );
        if has_rsync {
            times.time("rsync -c over ControlMaster (not durable)", || {
                rsync(&["-a", "-c", "--delete"], "by-rsync")
            });
        }
        quiet(&run);
    }
    times.print(world);
    assert_eq!(run.end("TERM"), 143);
    asking(world);
}

/// Nothing new in git: the fleet and its packs, each asked for one ref.
fn asking(world: &World) {
    let mut times = Times::default();
    let server = &world.machines[0];
    let there = format!("/srv/{}-git", world.name);
    let here = world.path("git");
    fs::create_dir_all(&here).expect("a directory");
    for (directory, url, loop_, peer) in [
        (
            here.clone(),
            here.display().to_string(),
            "loop: two local repositories asked",
            "git ls-remote, twice",
        ),
        (
            server.at(&there),
            format!("ssh://{}{there}", server.name),
            "loop: two repositories asked over ssh",
            "git ls-remote over ssh, twice",
        ),
    ] {
        let _of_the_other = fs::remove_dir_all(world.path("fleet/.git"));
        let _of_the_other = world.git_in("packs").args(["remote", "remove", "origin"]).output();
        world.serve(&directory, &url);
        world.push_packs();
        fleet(world, "100ms", "1h");
        let file = world.path("fleet/fleet.toml");
        let text = fs::read_to_string(&file).expect("fleet.toml");
        world.push_fleet(&text.replace("../packs", &format!("{url}/packs.git")));
        let fleet_url = format!("{url}/fleet.git");
        let run = world.run(&["--repo", &fleet_url]);
        until("it asked often", || run.count("asked") > 40);
        let log = run.log();
        let asked = log.lines().filter(|line| line.contains("asked new=false"));
        let micros = asked.filter_map(|line| line.split("micros=").nth(1)?.trim().parse::<f64>().ok());
        micros.skip(5).for_each(|micros| times.note(loop_, micros / 1000.0));
        assert_eq!(run.end("TERM"), 143);
        for _ in 0..ROUNDS {
            times.time(peer, || {
                for name in ["fleet", "packs"] {
                    done(world.git_in("").args([
                        "ls-remote",
                        "-q",
                        &format!("{url}/{name}.git"),
                        "refs/heads/main",
                    ]));
                }
            });
        }
    }
    times.print(world);
}

/// A hundred thousand files here (W2), watched: a pass when nothing was touched, and a look after one was.
pub fn watching(world: &World) {
    const DIRECTORIES: usize = 2000;
    const EACH: usize = 50;
    let pack = world.path("packs/bot");
    let mut noise = blake3::Hasher::new().finalize_xof();
    for number in 0..DIRECTORIES {
        let directory = pack.join(format!("d{number}"));
        fs::create_dir_all(&directory).expect("a directory");
        for file in 0..EACH {
            let mut bytes = vec![0; 1 + (number * 37 + file * 101) % 8192];
            noise.fill(&mut bytes);
            fs::write(directory.join(format!("f{file}")), bytes).expect("a file");
        }
    }
    done(world.git_in("packs").args(["config", "feature.manyFiles", "true"]));
    done(world.git_in("packs").args(["config", "core.untrackedCache", "true"]));
    done(world.git_in("packs").args(["-c", "core.looseCompression=0", "add", "-A"]));
    done(world.git_in("packs").args(["commit", "-q", "-m", "one"]));
    done(world.git_in("packs").args(["tag", "v1.0.0"]));
    let status = || done(world.git_in("packs").args(["status", "--porcelain"]));
    let root = world.path("root");
    let text = format!(
        "[fleet]\nname = \"w2\"\n[limits]\nentries = 1_000_000\nbytes = \"8GiB\"\n\
         [run]\npoll = \"1h\"\nresync = \"1h\"\nlisten = \"127.0.0.1:{}\"\n\
         [sources.s]\nurl = \"../packs\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"bot\"\n\
         [deployments.here]\nhost = \"local\"\nroot = \"{}\"\npacks.bot = {{ version = \"1\" }}\n",
        world.port(),
        root.display()
    );
    let file = world.path("fleet/fleet.toml");
    fs::write(&file, text).expect("fleet.toml");
    world.packfleet(&["apply", "--yes"]).code(0);
    status();
    let run = world.run(&["-f", file.to_str().expect("UTF-8")]);
    until("it looked", || last(&run).is_some());
    quiet(&run);
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let now = Timestamp::now();
        run.signal("HUP");
        times.note("loop: a pass, nothing was touched", next(&run, now, 1).1);
        quiet(&run);
        let now = Timestamp::now();
        let touched = root.join(format!("bot/d{}/f7", round * 11));
        done(Command::new("touch").arg(touched));
        times.note("loop: a look, one file was touched", next(&run, now, 1).1);
        quiet(&run);
        times.time("git status tuned", status);
        times.time("packfleet plan, a process of its own", || drop(world.packfleet(&["plan"]).code(0)));
    }
    times.print(world);
    println!("lab: {}: the loop has {} MiB", world.name, memory(&run) >> 20);
    assert_eq!(run.end("TERM"), 143);
}

/// Polls of an hour with the channels of all hosts open: no look, no write, here or there, and no growth.
pub fn idle(world: &World) {
    release(world, 0);
    fleet(world, "1ms", "1h");
    let file = world.path("fleet/fleet.toml");
    let text = fs::read_to_string(&file).expect("fleet.toml");
    let served = world.path("git");
    fs::create_dir_all(&served).expect("a directory");
    let url = served.display().to_string();
    world.serve(&served, &url);
    world.push_packs();
    world.push_fleet(&text.replace("../packs", &format!("{url}/packs.git")));
    let run = world.run(&["--repo", &format!("{url}/fleet.git")]);
    until("all have it", || world.machines.iter().all(|machine| world.on(machine, "bot").exists()));
    // Watches of roots that were not there begin some seconds later.
    until("all are watched", || run.count("asked") > 600);
    run.rests();
    let listing = || {
        let mut all = Vec::new();
        let roots = world.machines.iter().map(|machine| world.on(machine, ""));
        roots.chain([world.path("home"), served.clone()]).for_each(|top| list(&top, &mut all));
        all
    };
    let (before, looks, asked) = (listing(), run.count(" begins "), run.count("asked"));
    let (resident, open) = (memory(&run), descriptors(&run));
    let begun = Instant::now();
    while run.count("asked") < asked + HOUR {
        assert!(begun.elapsed() < Duration::from_secs(900), "{} polls only", run.count("asked") - asked);
        sleep(Duration::from_millis(200));
    }
    assert_eq!(run.count(" begins "), looks, "a look at something that nobody touched");
    assert_eq!(listing(), before);
    assert_eq!(descriptors(&run), open);
    let grown = memory(&run);
    println!(
        "lab: {}: {HOUR} polls in {:.0} s: {} files as they were, {open} descriptors, {} MiB before and {} after",
        world.name,
        begun.elapsed().as_secs_f64(),
        before.len(),
        resident >> 20,
        grown >> 20
    );
    assert!(grown < resident + (8 << 20));
    assert_eq!(run.end("TERM"), 143);
}

fn memory(run: &Loop) -> u64 {
    let status = fs::read_to_string(run.proc("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Those that are open all the time: a poll opens some for a moment.
fn descriptors(run: &Loop) -> usize {
    let count = || {
        sleep(Duration::from_millis(7));
        fs::read_dir(run.proc("fd")).expect("it runs").count()
    };
    (0..100).map(|_| count()).min().expect("a number")
}

/// Every file, with its size and times.
fn list(path: &Path, all: &mut Vec<String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    all.push(format!("{} {} {} {times:?}", path.display(), meta.ino(), meta.len()));
    if meta.is_dir() {
        let mut paths: Vec<_> =
            fs::read_dir(path).expect("entries").flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths.iter().for_each(|path| list(path, all));
    }
}
