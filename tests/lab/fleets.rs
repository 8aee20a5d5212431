//! Many hosts at once: all of them, one that is off, those that depend on it; and a host that serves git.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::bot::Bot;
use crate::machine::Machine;
use crate::services::served;
use crate::world::{Ran, World};

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

/// Bytes of the large file that forty hosts get at once.
const LARGE: usize = 32 << 20;

/// Forty hosts by one command: an install, nothing to do, an upgrade with a host that is off and one whose release is bad,
/// and a large file for each, of which the controller must not hold one per host.
pub fn forty(world: &World) {
    let count = world.machines.len();
    assert!(count >= 40, "{count} hosts are too few: PACKFLEET_LAB=40 cargo test --test lab forty");
    let all = count.to_string();
    let apply = ["apply", "--yes", "--jobs", &all];
    let lie = |machine: &Machine, version: &str| {
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt(version), "{}", machine.name);
    };
    world.bot("1.0.0", Bot::Good);
    world.fleet(&served(world, ""), "host", "");
    measured(world, "install", &apply).code(0);
    world.machines.iter().for_each(|machine| lie(machine, "1.0.0"));
    measured(world, "nothing to do", &apply).code(0).says("in sync");
    let [off, ill, others @ ..] = &world.machines[..] else { panic!("forty machines") };
    // One is off, and what is asked of another it cannot do.
    off.crash();
    let file = world.path("fleet/fleet.toml");
    let text = fs::read_to_string(&file).expect("fleet.toml");
    let head = format!("[deployments.{}]\n", ill.name);
    let ill_there = format!(
        "{head}health.bot = [{{ command = [\"grep\", \"1.0.0\", \"prompt.md\"], within = \"1s\" }}]\n"
    );
    fs::write(&file, text.replace(&head, &ill_there)).expect("fleet.toml");
    world.bot("1.1.0", Bot::Good);
    world.hang_up();
    measured(world, "upgrade, one off, one ill", &apply).code(6).says(&off.name).says(&ill.name);
    others.iter().for_each(|machine| lie(machine, "1.1.0"));
    lie(ill, "1.0.0");
    off.boot();
    off.wait();
    fs::write(&file, text).expect("fleet.toml");
    let mut noise = vec![0; LARGE];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    world.bot("1.2.0", Bot::Good);
    world.add("1.2.1", "large", &noise);
    let (ran, own) = measured_in_memory(world, "32 MiB for each", &apply);
    ran.code(0);
    for machine in &world.machines {
        lie(machine, "1.2.0");
        assert!(fs::read(world.on(machine, "bot/large")).expect("large") == noise, "{}", machine.name);
    }
    // Two MiB per host on the way, and what there is of the program itself, the file while it is brought out included.
    let most = 2 * count as u64 + 128;
    assert!(own < most, "{own} MiB of memory for {count} hosts: more than {most}");
}

/// Runs it to its end, and tells how long it took.
fn measured(world: &World, what: &str, words: &[&str]) -> Ran {
    measured_in_memory(world, what, words).0
}

/// The same, with the most memory in MiB that it had for itself.
fn measured_in_memory(world: &World, what: &str, words: &[&str]) -> (Ran, u64) {
    let begun = Instant::now();
    let mut child = world.start(&[], words);
    let status = format!("/proc/{}/status", child.id());
    let mut most = [0, 0];
    while child.try_wait().expect("a child").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        for (name, most) in ["VmHWM:", "RssAnon:"].iter().zip(&mut most) {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0u64);
            *most = kib.max(*most);
        }
        sleep(Duration::from_millis(5));
    }
    let (took, [peak, own]) = (begun.elapsed().as_secs_f64(), most.map(|kib| kib / 1024));
    println!("lab: forty: {what}: {took:.1} s, at most {peak} MiB resident, {own} MiB of them its own");
    (world.finish(child, words), own)
}
