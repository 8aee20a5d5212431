//! packfleet on real hosts: machines with systemd, sshd and addresses of their own, and what must not go wrong there.
//!
//! ```text
//! outside   this process: is a lab possible here? ─► sweep.sh ─► inside.sh, in new namespaces
//! inside    the same program again, in there: boots the machines once, runs the scenarios on them
//! machine   one host: disk, cable, boot, crash, cut, heal           world   a scenario's repositories, the binary
//! hosts …   the scenarios
//! ```
//!
//! `cargo test --test lab` runs them all, `cargo test --test lab -- NAME…` those whose names contain a word,
//! `-- --list` names them, `-- --hold` boots the hosts and says how to come in. `PACKFLEET_LAB=40 cargo test --test lab
//! forty` is a fleet of forty hosts, served by one command at once; `PACKFLEET_LAB=20 cargo test --test lab twenty` is
//! `rollout` with more hosts and more kills; `idle` is an hour of polls with the channels of all hosts
//! open. `numbers`, `channels` and `watching`, named likewise, measure what commands and the loop cost,
//! with the program that `PACKFLEET_LAB_BINARY` names, which should be a release build. Environment:
//! `PACKFLEET_LAB_HOSTS`, or a number in `PACKFLEET_LAB`, is the number of hosts (8), `PACKFLEET_LAB_PREFIX` begins the names of its cgroups, and with
//! `PACKFLEET_LAB=must` a lab that is not possible here is a failure instead of a loud skip.
//!
//! Invariants: nothing of a lab outlives the test process, however that ends, but empty cgroups when its sweeper is
//! killed too, and those go with the next run. No assertion is about how long something took. Deliberately absent:
//! installing anything.

#[path = "lab/alone.rs"]
mod alone;
#[path = "lab/bot.rs"]
mod bot;
#[path = "lab/channels.rs"]
mod channels;
#[path = "lab/faults.rs"]
mod faults;
#[path = "lab/fleets.rs"]
mod fleets;
#[path = "lab/following.rs"]
mod following;
#[path = "lab/hosts.rs"]
mod hosts;
#[path = "source/http.rs"]
mod http;
#[path = "lab/inside.rs"]
mod inside;
#[path = "lab/killed.rs"]
mod killed;
#[path = "lab/machine.rs"]
mod machine;
#[path = "lab/numbers.rs"]
mod numbers;
#[path = "lab/outside.rs"]
mod outside;
#[path = "lab/pushes.rs"]
mod pushes;
#[path = "lab/services.rs"]
mod services;
#[path = "lab/units.rs"]
mod units;
#[path = "lab/users.rs"]
mod users;
#[path = "lab/world.rs"]
mod world;

use std::process::ExitCode;

use inside::Scenario;

const SCENARIOS: &[Scenario] = &[
    ("machines", 2, hosts::machines),
    ("everywhere", 0, fleets::everywhere),
    ("rollout", 4, killed::rollout),
    ("loop_http", 2, pushes::followed_over_http),
    ("loop_ssh", 2, pushes::followed_over_ssh),
    ("unit_controls", 2, units::unit_controls),
    ("dependents", 4, fleets::dependents),
    ("git_over_ssh", 2, fleets::git_over_ssh),
    ("upgrade", 2, services::upgrade),
    // These wait the longest, and the others fill the gaps.
    ("cut_in_watch", 1, alone::cut_in_watch),
    ("cut_in_transfer", 1, faults::cut_in_transfer),
    ("alone_after_switch", 1, faults::alone_after_switch),
    ("dies_after_5_s", 1, services::dies_after_5_s),
    ("alone_and_bad", 1, alone::alone_and_bad),
    ("reboot_in_watch", 1, alone::reboot_in_watch),
    ("unit_pulls", 1, units::unit_pulls),
    ("answers_500", 1, services::answers_500),
    ("complains", 1, services::complains),
    ("hangs", 1, services::hangs),
    ("host_crash", 1, faults::host_crash),
    ("killed_asking", 1, faults::killed_asking),
    ("killed_hearing", 1, faults::killed_hearing),
    ("unprivileged", 1, users::unprivileged),
    ("sudo", 1, users::sudo),
    ("banner", 1, users::banner),
    ("user_unit", 1, users::user_unit),
    ("refused", 1, users::refused),
];

/// Those that run only when they are named: they take long, or more hosts than there are.
const LARGE: &[Scenario] = &[
    ("forty", 0, fleets::forty),
    ("twenty", 0, killed::rollout),
    ("channels", 0, channels::channels),
    ("watching", 1, channels::watching),
    ("idle", 0, channels::idle),
    ("numbers", 0, numbers::numbers),
];

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--list") {
        for (name, ..) in SCENARIOS.iter().chain(LARGE) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    match std::env::var("PACKFLEET_LAB").as_deref() {
        Ok("inside") => inside::run(SCENARIOS, LARGE),
        _ => outside::run(),
    }
}
