//! Crashes, cut links and killed controllers, in the middle of things: every host ends with the old release or the new
//! one, whole, and the next run says what happened and goes on.

use std::fs;

use crate::machine::Machine;
use crate::world::{World, until};

/// Files of a release: enough of them that a switch has a middle.
const MANY: usize = 12;

fn many(world: &World, version: &str) {
    let names: Vec<String> = (0..MANY).map(|number| format!("file-{number:02}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), version)).collect();
    world.release(version, &files);
}

/// How many files of a release lie on a machine.
fn count(world: &World, machine: &Machine, version: &str) -> usize {
    (0..MANY).filter(|number| world.text(machine, &format!("bot/file-{number:02}")) == version).count()
}

/// Whole, and nothing half done.
#[track_caller]
fn is_whole(world: &World, machine: &Machine, version: &str) {
    assert_eq!(
        count(world, machine, version),
        MANY,
        "of {version}; stage and journal: {:?}",
        state(world, machine)
    );
    for left in ["journal", "stage"] {
        assert!(!world.on(machine, &format!(".packfleet/{left}")).exists(), "{left} is left");
    }
}

fn state(world: &World, machine: &Machine) -> Vec<String> {
    let entries = fs::read_dir(world.on(machine, ".packfleet")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The host loses its power between two renames of a switch.
pub fn host_crash(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    many(world, "1.0.0");
    world.fleet("", "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    many(world, "1.1.0");
    // From the fifth rename that changes the tree on, each waits longer than the test will.
    machine.hold_back(Some("-e trace=renameat2 -e inject=renameat2:delay_enter=600s:when=5+"));
    world.hang_up();
    let apply = ["apply", "--yes"];
    let running = world.start(&[], &apply);
    until("some files are new", || count(world, machine, "1.1.0") > 0);
    machine.crash();
    world.finish(running, &apply).code(1).says(&machine.name);
    assert!(
        count(world, machine, "1.0.0") > 0 && count(world, machine, "1.1.0") > 0,
        "it was no crash in the middle"
    );
    machine.hold_back(None);
    // Off: nobody is there. On again: those that look say what they see and change nothing.
    world.packfleet(&["apply", "--yes"]).code(5);
    world.packfleet(&["apply", "--yes", "--strict-offline"]).code(1);
    machine.boot();
    machine.wait();
    world.packfleet(&["status"]).code(0).says("interrupted");
    world.packfleet(&["apply", "--yes"]).code(0).says("generation 2");
    is_whole(world, machine, "1.1.0");
    world.packfleet(&["apply", "--yes"]).code(0).says("in sync");
}

/// The cable is out while blobs travel: the host keeps the old release and is free for the next run.
pub fn cut_in_transfer(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    many(world, "1.0.0");
    world.fleet("", "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    let mut seed = blake3::Hasher::new().finalize_xof();
    let mut noise = vec![0; 24 << 20];
    seed.fill(&mut noise);
    let noise: String = noise.iter().map(|byte| char::from(b'!' + byte % 90)).collect();
    let names: Vec<String> = (0..MANY).map(|number| format!("file-{number:02}")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1.1.0")).collect();
    files.push(("noise", &noise));
    world.release("1.1.0", &files);
    machine.slow("8mbit");
    let apply = ["apply", "--yes"];
    let running = world.start(&[], &apply);
    until("blobs arrive", || world.on(machine, ".packfleet/stage").exists());
    machine.cut();
    world.finish(running, &apply).code(1).says(&machine.name);
    is_whole_but_for_the_stage(world, machine, "1.0.0");
    machine.fast();
    machine.heal();
    until("the agent has ended", || machine.agents() == 0);
    is_whole(world, machine, "1.0.0");
    world.packfleet(&["apply", "--yes"]).code(0);
    is_whole(world, machine, "1.1.0");
}

fn is_whole_but_for_the_stage(world: &World, machine: &Machine, version: &str) {
    assert_eq!(count(world, machine, version), MANY);
    assert!(!world.on(machine, ".packfleet/journal").exists());
}

/// The cable is out right after the switch, and then the controller is killed there: the host goes on alone.
pub fn alone_after_switch(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let (here, go) = (format!("/srv/{}.here", world.name), format!("/srv/{}.go", world.name));
    many(world, "1.0.0");
    world.fleet("", "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    let wait = format!("touch {here}; while [ ! -e {go} ]; do sleep 0.1; done");
    world.fleet(
        &format!("on_change = [{{ paths = [\"**\"], run = [\"sh\", \"-c\", \"{wait}\"] }}]"),
        "host",
        "",
    );
    let apply = ["apply", "--yes"];
    let mut old = "1.0.0";
    for (new, cut) in [("1.1.0", true), ("1.2.0", false)] {
        for file in [&here, &go] {
            let _none_before = fs::remove_file(machine.at(file));
        }
        many(world, new);
        let mut running = world.start(&[], &apply);
        until("the switch is done", || machine.at(&here).exists());
        if cut {
            machine.cut();
            world.finish(running, &apply).code(1).says(&machine.name);
        } else {
            running.kill().expect("it runs");
            world.finish(running, &apply).code(-1);
        }
        assert_eq!(count(world, machine, new), MANY);
        fs::write(machine.at(&go), "").expect("a sign");
        until("the switch has ended", || !world.on(machine, ".packfleet/journal").exists());
        machine.heal();
        until("the agent has ended", || machine.agents() == 0);
        let ended = if count(world, machine, new) == MANY { new } else { old };
        is_whole(world, machine, ended);
        world.packfleet(&["status"]).code(0);
        world.packfleet(&apply).code(0);
        is_whole(world, machine, new);
        old = new;
    }
}

/// The controller is killed at every step of an apply that it asks for: the host ends whole by itself.
pub fn killed_asking(world: &World) {
    killed(world, "sent");
}

/// The controller is killed at every step of an apply that it hears of.
pub fn killed_hearing(world: &World) {
    killed(world, "received");
}

/// Between any two pieces that go over the wire in one direction, and in the middle of each, the controller dies.
fn killed(world: &World, way: &str) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let tap = world.path("tap");
    fs::create_dir_all(&tap).expect("a directory");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/tap");
    fs::copy(program, tap.join("ssh")).expect("a copy");
    let log = world.path("pieces");
    let apply = ["apply", "--yes"];
    let tapped = |kill: Option<usize>| {
        let mut command = world.command(&[], &apply);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", tap.display())).env("LAB_TAP", &tap);
        match kill {
            Some(at) => command.env("LAB_KILL", format!("{way} {at}")),
            None => command.env("LAB_LOG", &log),
        };
        world.finish(world.spawn(command, &apply), &apply)
    };
    many(world, "1.0.0");
    world.fleet("", "host", "");
    world.packfleet(&apply).code(0);
    // Once to its end: what goes by, piece by piece.
    let mut old = "1.1.0".to_owned();
    many(world, &old);
    tapped(None).code(0);
    let pieces = fs::read_to_string(&log).expect("pieces");
    let pieces = pieces.lines().filter_map(|line| line.strip_prefix(way)?.trim().parse::<usize>().ok());
    let (mut places, mut so_far) = (vec![0], 0);
    for piece in pieces {
        places.extend([so_far + piece.div_ceil(2), so_far + piece]);
        so_far += piece;
    }
    assert!(places.len() > 6, "an apply is more than that: {places:?}");
    let (mut killed, mut kept) = (0, 0);
    for (round, at) in places.iter().enumerate() {
        let new = format!("1.{}.0", round + 2);
        many(world, &new);
        let ended = tapped(Some(*at));
        until("the agent has ended", || machine.agents() == 0);
        if ended.code != 0 {
            killed += 1;
            let stands = if count(world, machine, &new) == MANY { &new } else { &old };
            kept += usize::from(*stands == old);
            is_whole(world, machine, stands);
            let said = if *stands == old { "applied" } else { "in sync" };
            world.packfleet(&apply).code(0).says(said);
        }
        is_whole(world, machine, &new);
        old = new;
    }
    println!("lab: {}: killed {killed} times at {places:?}, {kept} times before the switch", world.name);
    assert!(killed + 2 >= places.len(), "only {killed} of {} were killed before the end", places.len());
    assert!(0 < kept, "none of them was killed before the switch");
}
