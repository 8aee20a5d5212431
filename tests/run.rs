//! The loop, as people run it: the real binary over real git repositories and roots on this machine.
//!
//! Time decides nothing: each test waits until what it waits for is there, and gives up only after very long.

#[path = "run/world.rs"]
mod world;

use std::fs;

use world::{World, later};

#[test]
fn a_push_moves_the_fleet() {
    let world = World::new("100ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    // A tag in the pack's repository.
    world.push_pack("two\n", "v1.1.0");
    later("a version that the range takes", || world.installed().as_deref() == Some("two\n"));
    // A commit in the fleet's repository.
    world.push_fleet("{ tag = \"v1.0.0\" }");
    later("the version that fleet.toml names", || world.installed().as_deref() == Some("one\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn a_fleet_that_does_not_validate_leaves_the_last_good_one_in_force() {
    let world = World::new("100ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().is_some());
    world.push_text("[fleet]\nname = \"f\"\nbogus = 1\n");
    later("a loud word", || run.said("the last good fleet stays in force"));
    assert!(run.said("bogus"));
    // Its sources are followed all the same.
    world.push_pack("two\n", "v1.1.0");
    later("a version that the range takes", || world.installed().as_deref() == Some("two\n"));
    assert_eq!(run.count("the last good fleet stays in force"), 1);
    world.push_fleet("{ tag = \"v1.0.0\" }");
    later("the version of the mended file", || world.installed().as_deref() == Some("one\n"));
    assert!(run.said("well again"));
    assert_eq!(run.end("INT"), 130);
}

#[test]
fn sighup_looks_now() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    world.push_pack("two\n", "v1.1.0");
    run.signal("HUP");
    later("what git has now", || world.installed().as_deref() == Some("two\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn what_is_touched_is_looked_at_and_what_is_deleted_comes_back() {
    let world = World::new("1h");
    let file = world.checkout("{ version = \"1\" }");
    let run = world.run(&["-f", file.to_str().unwrap()]);
    later("the first version", || world.installed().is_some());
    fs::remove_file(world.file()).unwrap();
    later("the file that was deleted", || world.installed().as_deref() == Some("one\n"));
    fs::write(world.file(), "mine\n").unwrap();
    later("a word of the edit", || run.said("1 edit kept"));
    // The fleet file is watched, too.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("deployments.d", "deployments.e")).unwrap();
    later("the new deployment", || run.said("\ne  "));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn once_ends_as_apply_does() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    let once = |code: i32| {
        let ended = world.packfleet(&["run", "--once", "--repo", &world.fleet_url()]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    assert!(once(0).contains("applied"));
    assert!(once(0).contains("in sync"));
    world.push_fleet("{ version = \"7\" }");
    assert!(once(3).contains("held"));
    world.push_text("bogus");
    once(64);
}

/// Hours of idle: as many polls as in ten minutes at one a second.
#[test]
fn idle_costs_no_write_no_look_and_does_not_grow() {
    let world = World::new("10ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().is_some());
    // What comes of its own writes comes soon, and once.
    let mut looks = 0;
    later("quiet", || {
        let (before, asked) = (looks, run.count("asked"));
        later("some more polls", || run.count("asked") > asked + 50);
        looks = run.count("begins");
        looks == before
    });
    let (listing, memory, open) = (world.listing(), run.memory(), run.descriptors());
    let asked = run.count("asked");
    later("many polls", || run.count("asked") > asked + 600);
    assert_eq!(run.count("begins"), looks, "a look at something that nobody touched");
    assert_eq!(world.listing(), listing);
    assert_eq!(run.descriptors(), open);
    assert!(run.memory() < memory + (8 << 20), "{} after {memory}", run.memory());
    assert_eq!(run.end("TERM"), 143);
}
