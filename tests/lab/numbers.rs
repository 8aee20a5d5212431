//! What a look at hosts costs over ssh, and a small change, beside what `rsync` and Ansible take for the same: in time, and
//! in bytes on all cables together.
//!
//! Every host has one pack of sixty files and a megabyte (W1); a tenth of them, and at least one, has an edit. What belongs
//! together runs interleaved; times are medians. Warm: a connection to each host is open and shared. Cold: none is. A peer
//! that is not there is named and left out.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::scope;
use std::time::Instant;

use crate::machine::Machine;
use crate::world::World;

const FILES: usize = 60;
const ROUNDS: usize = 5;
/// Ansible takes a round trip for each file.
const ROUNDS_OF_ANSIBLE: usize = 1;

/// One way to do something, and how it went.
struct Way<'a> {
    name: &'static str,
    rounds: usize,
    /// Before each round, unmeasured.
    prepare: Box<dyn Fn(usize) + 'a>,
    run: Box<dyn Fn() + 'a>,
    times: Vec<f64>,
    bytes: Vec<u64>,
}

/// A release of sixty files and a megabyte; another one has another first line of the first file.
pub fn release(world: &World, version: usize) {
    let text = |version: usize| {
        let file = |number: usize| {
            let mut text = format!("file {number}\n");
            for line in 0..(number % 7 + 1) * 64 {
                let digest = blake3::hash(format!("{number} {line}").as_bytes()).to_hex();
                text.push_str(&format!("{digest}\n"));
            }
            if number == 0 { format!("version {version}\n{text}") } else { text }
        };
        (0..FILES)
            .map(|number| (format!("dir-{}/file-{number}", number % 8), file(number)))
            .collect::<Vec<_>>()
    };
    let files = text(version);
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    world.release(&format!("1.0.{version}"), &files);
}

/// Every tenth host has an edit.
pub fn edit(world: &World) {
    for machine in &world.machines[..world.machines.len().div_ceil(10)] {
        let file = world.on(machine, "bot/dir-1/file-1");
        fs::write(&file, fs::read_to_string(&file).expect("a file") + "an edit\n").expect("an edit");
    }
}

pub fn numbers(world: &World) {
    release(world, 0);
    world.fleet("", "host", "");
    let all = ["apply", "--yes", "--jobs", "16"];
    world.packfleet(&all).code(0);
    edit(world);
    let source = world.path("packs/bot");
    let sockets = world.path("s");
    fs::create_dir_all(&sockets).expect("a directory");
    let hang_up = || {
        world.hang_up();
        for socket in fs::read_dir(&sockets).expect("sockets").flatten() {
            let mut exit = Command::new("ssh");
            let _gone_already = exit.arg("-S").arg(socket.path()).args(["-O", "exit", "x"]).output();
        }
    };
    let shared =
        format!("-o ControlMaster=auto -o ControlPath={}/%C -o ControlPersist=120", sockets.display());
    let rsync = |words: &'static [&'static str], to: &'static str| {
        let (source, shared) = (format!("{}/", source.display()), shared.clone());
        move || {
            scope(|scope| {
                for machine in &world.machines {
                    scope.spawn(|| {
                        let mut command = Command::new("rsync");
                        command.args(words).arg("-e").arg(format!("ssh {shared}")).arg(&source);
                        succeeds(command.arg(format!("{}:{}/{to}/", machine.name, world.root())));
                    });
                }
            });
        }
    };
    let playbook = world.path("play.yml");
    let copy = format!("{{src: '{}/', dest: '{}/bot/'}}", source.display(), world.root());
    let play = format!("- hosts: all\n  gather_facts: false\n  tasks:\n  - ansible.builtin.copy: {copy}\n");
    fs::write(&playbook, play).expect("a playbook");
    let inventory: String = world.machines.iter().map(|machine| format!("{}\n", machine.name)).collect();
    fs::write(world.path("inventory"), inventory).expect("an inventory");
    let ansible = || {
        let mut command = Command::new("ansible-playbook");
        command
            .args(["--check", "--diff", "--forks", "16", "-i"])
            .arg(world.path("inventory"))
            .arg(&playbook);
        command.env("HOME", world.path("home")).env("ANSIBLE_PIPELINING", "True");
        succeeds(command.env("ANSIBLE_SSH_ARGS", &shared).env("LC_ALL", "C.UTF-8"));
    };
    let has = |program: &str| {
        let there =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let there = there.is_ok_and(|status| status.success());
        if !there {
            println!("lab: numbers: {program} is not there, and left out");
        }
        there
    };
    let (has_rsync, has_ansible) = (has("rsync"), has("ansible-playbook"));
    for cold in [false, true] {
        let prepare = |_: usize| {
            if cold {
                hang_up();
            }
        };
        let plan = || drop(world.packfleet(&["plan"]).code(0));
        let mut ways = vec![Way::new("packfleet plan", ROUNDS, prepare, plan)];
        if has_rsync {
            ways.push(Way::new(
                "rsync -nc",
                ROUNDS,
                prepare,
                rsync(&["-a", "-n", "-c", "-i", "--delete"], "bot"),
            ));
        }
        let connects = || {
            each(world, |machine| {
                succeeds(Command::new("ssh").args(["-o", "ControlPath=none", &machine.name, "true"]))
            })
        };
        if cold {
            ways.push(Way::new("ssh HOST true", ROUNDS, prepare, connects));
        }
        // What it has built in for files makes several round trips for each of them: once is enough.
        if has_ansible && !cold {
            ways.push(Way::new("ansible-playbook --check (copy)", ROUNDS_OF_ANSIBLE, prepare, ansible));
        }
        measure(world, if cold { "look, cold" } else { "look, warm" }, ways);
    }
    let change = |round: usize| release(world, round + 1);
    let apply = || drop(world.packfleet(&all).code(0));
    let mut ways = vec![Way::new("packfleet apply", ROUNDS, change, apply)];
    if has_rsync {
        let send = rsync(&["-a", "-c", "--delete"], "by-rsync");
        send();
        ways.push(Way::new("rsync -c (not durable)", ROUNDS, |_| {}, send));
    }
    measure(world, "one file changes everywhere, warm", ways);
}

impl<'a> Way<'a> {
    fn new(name: &'static str, rounds: usize, prepare: impl Fn(usize) + 'a, run: impl Fn() + 'a) -> Self {
        let (prepare, run) = (Box::new(prepare), Box::new(run));
        Self { name, rounds, prepare, run, times: Vec::new(), bytes: Vec::new() }
    }
}

fn measure(world: &World, what: &str, mut ways: Vec<Way<'_>>) {
    // Once, so that everything is warm that may be.
    ways.iter().filter(|way| way.rounds > 1).for_each(|way| (way.run)());
    for round in 0..ROUNDS {
        for way in ways.iter_mut().filter(|way| round < way.rounds) {
            (way.prepare)(round);
            let (before, begun) = (travelled(world), Instant::now());
            (way.run)();
            way.times.push(begun.elapsed().as_secs_f64() * 1000.0);
            way.bytes.push(travelled(world) - before);
        }
    }
    let hosts = world.machines.len();
    for way in &mut ways {
        way.times.sort_by(f64::total_cmp);
        way.bytes.sort_unstable();
        let (time, bytes) = (way.times[way.times.len() / 2], way.bytes[way.bytes.len() / 2]);
        println!("lab: numbers: {hosts} hosts, {what}: {}: {time:.0} ms, {bytes} bytes", way.name);
    }
}

/// Bytes that went over all cables so far, in both directions.
fn travelled(world: &World) -> u64 {
    let table = fs::read_to_string("/proc/net/dev").expect("counts");
    let cables: Vec<String> = world.machines.iter().map(|machine| machine.cable()).collect();
    let of_cable = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts.split_whitespace().filter_map(|count| count.parse().ok()).collect();
        let is_ours = cables.iter().any(|cable| cable == name.trim());
        // Received, and eight columns on sent.
        is_ours.then(|| counts[0] + counts[8])
    };
    table.lines().filter_map(of_cable).sum()
}

pub fn each(world: &World, what: impl Fn(&Machine) + Sync) {
    scope(|scope| {
        for machine in &world.machines {
            scope.spawn(|| what(machine));
        }
    });
}

#[track_caller]
pub fn succeeds(command: &mut Command) {
    crate::machine::done(command.stdin(Stdio::null()));
}
