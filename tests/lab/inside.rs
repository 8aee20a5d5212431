//! The lab, seen from inside its namespaces: boots the machines once, runs the scenarios on them, reports.
//!
//! Scenarios run side by side as long as there are machines for them; each has its own while it runs. They spend
//! their time waiting for hosts, so more of them run than there are processors. One that fails takes nobody along.

use std::collections::VecDeque;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::machine::{Machine, USERS, done};
use crate::world::World;

/// A scenario: its name, how many machines it needs (0: all that there are), what it does.
pub type Scenario = (&'static str, usize, fn(&World));

/// Scenarios at a time.
const WORKERS: usize = 8;

/// Boots, runs those scenarios that the words of the command line mean, reports.
pub fn run(scenarios: &[Scenario], large: &[Scenario]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let meant = |name: &str| filters.is_empty() || filters.iter().any(|word| name.contains(*word));
    let mut chosen: VecDeque<Scenario> = scenarios.iter().filter(|(name, ..)| meant(name)).copied().collect();
    chosen.extend(large.iter().filter(|(name, ..)| filters.iter().any(|word| name == word)));
    // Those that need the most come first: the others fill the gaps.
    chosen.make_contiguous().sort_by_key(|(_, needs, _)| usize::MAX - needs.wrapping_sub(1));
    let hosts: u32 =
        std::env::var("PACKFLEET_LAB_HOSTS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let begun = Instant::now();
    let machines = boot(hosts);
    println!("lab: {hosts} hosts up after {:.1} s", begun.elapsed().as_secs_f64());
    if words.iter().any(|word| word == "--hold") {
        let pid = std::env::var("PACKFLEET_LAB_PID").unwrap_or_default();
        println!("lab: enter it with `nsenter -t {pid} --mount --net --pid`, end it with Ctrl-C");
        std::thread::sleep(Duration::MAX);
    }
    let pool =
        Pool { idle: Mutex::new(machines), turn: Mutex::new(()), back: Condvar::new(), all: hosts as usize };
    let queue = Mutex::new(chosen);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((name, needs, scenario)) = next else { break };
                    if !pool.run(name, needs, scenario) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "lab: {} failed, after {:.1} s in all: {}",
        failed.len(),
        begun.elapsed().as_secs_f64(),
        failed.join(" ")
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Machines that nobody uses at the moment.
struct Pool {
    idle: Mutex<Vec<Arc<Machine>>>,
    /// Held by the one who waits for machines: nobody who needs fewer comes in between.
    turn: Mutex<()>,
    back: Condvar,
    all: usize,
}

impl Pool {
    /// Runs a scenario on machines of its own; whether it held.
    fn run(&self, name: &str, needs: usize, scenario: fn(&World)) -> bool {
        let needs = if needs == 0 { self.all } else { needs };
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.back.wait_while(idle, |idle| idle.len() < needs);
        let mut idle = enough.unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<Arc<Machine>> = idle.drain(..needs).collect();
        drop(idle);
        drop(turn);
        own.sort_by(|a, b| a.name.cmp(&b.name));
        let begun = Instant::now();
        let held = catch_unwind(AssertUnwindSafe(|| scenario(&World::new(name, own.clone())))).is_ok();
        let word = if held { "ok" } else { "FAILED" };
        println!("lab: {name} … {word} ({:.1} s)", begun.elapsed().as_secs_f64());
        for machine in &own {
            machine.heal();
            if !machine.is_running() {
                machine.boot();
                machine.wait();
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        self.back.notify_all();
        held
    }
}

/// Machines that answer, and an ssh configuration that knows them.
fn boot(hosts: u32) -> Vec<Arc<Machine>> {
    done(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", "/mnt/key"]));
    // A systemd has some inotify instances; the usual limit of 128 is enough for about 30 of them.
    if hosts > 16 {
        fs::write("/proc/sys/fs/inotify/max_user_instances", "4096").expect("a limit of the kernel");
    }
    let machines: Vec<Arc<Machine>> = (1..=hosts).map(|number| Arc::new(Machine::new(number))).collect();
    let mut config = String::new();
    let mut known = String::new();
    for machine in &machines {
        machine.boot();
        known.push_str(&machine.known_host());
        for user in USERS.iter().map(|(user, _)| *user).chain(["host"]) {
            let login = if user == "host" { "root" } else { user };
            let alias = machine.name.replacen("host", user, 1);
            config.push_str(&format!("Host {alias}\n  HostName {}\n", machine.address()));
            if user != "host" {
                config.push_str(&format!("  User {login}\n"));
            }
        }
    }
    config.push_str(
        "Host *\n  IdentityFile /mnt/key\n  IdentitiesOnly yes\n  UserKnownHostsFile /mnt/known_hosts\n  \
         BatchMode yes\n  ConnectTimeout 3\n",
    );
    fs::write("/mnt/known_hosts", known).expect("known hosts");
    fs::write("/mnt/ssh_config", config).expect("an ssh configuration");
    for machine in &machines {
        machine.wait();
    }
    machines
}
