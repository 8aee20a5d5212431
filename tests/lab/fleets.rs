//! Many hosts at once: all of them, one that is off, those that depend on it; and a host that serves git.

use std::fs;

use crate::bot::Bot;
use crate::world::World;

/// Every host of the lab, side by side; then one of them is off.
pub fn everywhere(world: &World) {
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "host", "");
    world.packfleet(&["apply", "--yes", "--jobs", "16"]).code(0);
    for machine in &world.machines {
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"), "{}", machine.name);
    }
    world.packfleet(&["apply", "--yes", "--jobs", "16"]).code(0).says("in sync");
    let off = &world.machines[0];
    off.crash();
    world.bot("1.1.0", Bot::Good);
    world.hang_up();
    world
        .packfleet(&["apply", "--yes", "--jobs", "16"])
        .code(5)
        .says(&off.name)
        .says_once("Connection refused");
    for machine in &world.machines[1..] {
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.1.0"), "{}", machine.name);
    }
    world.packfleet(&["apply", "--yes", "--strict-offline"]).code(1);
    off.boot();
    off.wait();
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(world.text(off, "bot/prompt.md"), world.prompt("1.1.0"));
}

/// A host that is off holds those that depend on it, all along the chain, and nobody else.
pub fn dependents(world: &World) {
    let [first, second, third, other] = &world.machines[..] else { panic!("four machines") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "host", "");
    let file = world.path("fleet/fleet.toml");
    let mut text = fs::read_to_string(&file).expect("fleet.toml");
    for (machine, on) in [(second, first), (third, second)] {
        let head = format!("[deployments.{}]\n", machine.name);
        text = text.replace(&head, &format!("{head}depends_on = [\"{}\"]\n", on.name));
    }
    fs::write(&file, text).expect("fleet.toml");
    world.packfleet(&["apply", "--yes"]).code(0);
    first.crash();
    world.bot("1.1.0", Bot::Good);
    world.hang_up();
    world.packfleet(&["apply", "--yes"]).code(5).says(&first.name).says(&second.name);
    for (machine, version) in [(second, "1.0.0"), (third, "1.0.0"), (other, "1.1.0")] {
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt(version), "{}", machine.name);
    }
    first.boot();
    first.wait();
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(world.text(third, "bot/prompt.md"), world.prompt("1.1.0"));
}

/// A host that serves git over ssh: packs come from there, as they do from anywhere.
pub fn git_over_ssh(world: &World) {
    let [server, client] = &world.machines[..] else { panic!("two machines") };
    world.bot("1.0.0", Bot::Good);
    let bare = format!("/srv/{}.git", world.name);
    let publish = || {
        let packs = world.path("packs");
        let at = server.at(&bare);
        crate::machine::done(std::process::Command::new("rm").arg("-rf").arg(&at));
        crate::machine::done(
            std::process::Command::new("git").args(["clone", "-q", "--bare"]).arg(packs).arg(at),
        );
    };
    publish();
    world.fleet("", "host", "");
    let file = world.path("fleet/fleet.toml");
    let text = fs::read_to_string(&file).expect("fleet.toml");
    fs::write(&file, text.replace("../packs", &format!("ssh://{}{bare}", server.name))).expect("fleet.toml");
    world.packfleet(&["doctor"]).says("source s answers");
    world.packfleet(&["apply", "--yes", &client.name]).code(0);
    assert_eq!(world.text(client, "bot/prompt.md"), world.prompt("1.0.0"));
    world.bot("1.1.0", Bot::Good);
    publish();
    world.packfleet(&["apply", "--yes", &client.name]).code(0).says("1.1.0");
    assert_eq!(world.text(client, "bot/prompt.md"), world.prompt("1.1.0"));
}
