//! The host by itself, while a change is watched: its cable is cut without a word, its controller is killed, it loses its
//! power. A good release that nobody sees through goes back and is not blamed; a bad one goes back and is.

use std::fs;
use std::process::Child;

use crate::bot::Bot;
use crate::machine::Machine;
use crate::services::{is_active, is_old, served};
use crate::world::{World, until};

const APPLY: [&str; 2] = ["apply", "--yes"];

/// Version 1.0.0 with a watch of so many seconds, and an apply of 1.1.0 that is being watched.
fn watched(world: &World, bot: Bot, seconds: u32) -> Child {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    let watch = format!("[[packs.bot.health]]\nactive_for = \"{seconds}s\"\n");
    world.fleet(&served(world, &watch), "host", "");
    world.packfleet(&APPLY).code(0);
    upgrade(world, machine, "1.1.0", bot)
}

fn upgrade(world: &World, machine: &Machine, version: &str, bot: Bot) -> Child {
    world.bot(version, bot);
    // Not the connection of others, which may outlive a machine.
    world.hang_up();
    let running = world.start(&[], &APPLY);
    until("it is watched", || {
        world.text(machine, "bot/prompt.md") == world.prompt(version)
            && world.text(machine, ".packfleet/health").contains("\"watching\"")
    });
    running
}

/// Waits until a machine that nobody speaks to has a release again, and its service.
fn goes_back(world: &World, machine: &Machine, version: &str) {
    until("it goes back by itself", || {
        world.text(machine, "bot/prompt.md") == world.prompt(version)
            && world.text(machine, ".packfleet/health").contains("\"taken-back\"")
    });
}

/// The cable is out, and neither end is told: the host hears no answer and takes the change back, and nothing is held
/// against it.
pub fn cut_in_watch(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let running = watched(world, Bot::Good, 4);
    machine.cut();
    world.finish(running, &APPLY).code(1).says(&machine.name);
    goes_back(world, machine, "1.0.0");
    machine.heal();
    until("the agent has ended", || machine.agents() == 0);
    assert!(is_active(world, machine));
    world.packfleet(&["why", &machine.name]).says("the controller was gone");
    world.packfleet(&APPLY).code(0).says("1.1.0");
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.1.0"));
}

/// The controller is killed while a bad release is watched: the host finds that out by itself, and the next run tells.
pub fn alone_and_bad(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let mut running = watched(world, Bot::DiesAfter5, 8);
    running.kill().expect("it runs");
    world.finish(running, &APPLY).code(-1);
    goes_back(world, machine, "1.0.0");
    until("the agent has ended", || machine.agents() == 0);
    world.packfleet(&["status", "--exit-code"]).code(3).says("rolled back here");
    world.packfleet(&["why", &machine.name]).says("found unhealthy and taken back").says("active_for");
    is_old(world, machine);
}

/// The power fails while a release is watched. Its unit does not start by itself: the next run starts it, watches a good
/// release anew, which stays, and finds a bad one.
pub fn reboot_in_watch(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let reboot = |running: Child| {
        machine.crash();
        world.finish(running, &APPLY).code(1).says(&machine.name);
        machine.boot();
        machine.wait();
        assert!(!is_active(world, machine), "nothing starts it");
    };
    reboot(watched(world, Bot::Good, 8));
    world.packfleet(&APPLY).code(0);
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.1.0"));
    assert!(is_active(world, machine));
    world.packfleet(&["status", "--exit-code"]).code(0).says("in sync");
    reboot(upgrade(world, machine, "1.2.0", Bot::DiesAfter5));
    world.packfleet(&APPLY).code(6).says("active_for");
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.1.0"));
    assert!(is_active(world, machine));
    world.packfleet(&APPLY).code(3).says("1.2.0");
    let _none_is_left = fs::metadata(world.on(machine, ".packfleet/journal")).expect_err("no journal");
}
