//! Services and health, with real units: what is good stays, what is bad goes back by itself.

use std::fs;

use crate::bot::Bot;
use crate::machine::Machine;
use crate::world::World;

/// The unit, and the endpoint that must answer.
pub fn served(world: &World, more: &str) -> String {
    format!(
        "service = {{ unit = \"{}\" }}\n[[packs.bot.health]]\nhttp = \"http://127.0.0.1:{}/\"\nwithin = \"5s\"\n{more}",
        world.unit(),
        world.port()
    )
}

fn process(world: &World, machine: &Machine) -> String {
    machine.says(&format!("systemctl show -p MainPID --value {}", world.unit()))
}

pub fn is_active(world: &World, machine: &Machine) -> bool {
    machine.says(&format!("systemctl is-active {} || true", world.unit())) == "active"
}

/// Old files, its service up, nothing half done, and the next run says what happened.
pub fn is_old(world: &World, machine: &Machine) {
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"));
    assert!(is_active(world, machine));
    assert!(!world.on(machine, ".packfleet/journal").exists());
    world.packfleet(&["apply", "--yes"]).code(3).says("1.1.0");
    world.packfleet(&["why", &machine.name]).says("1.1.0").says("retry");
}

/// Install, nothing to do, upgrade with an edit on the host, rollback.
pub fn upgrade(world: &World) {
    world.bot("1.0.0", Bot::Good);
    world.fleet(&served(world, ""), "host", "");
    world.packfleet(&["apply", "--yes"]).code(0).says("applied");
    let [one, two] = &world.machines[..] else { panic!("two machines") };
    for machine in [one, two] {
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"));
        assert!(is_active(world, machine));
    }
    let before = process(world, one);
    world.packfleet(&["apply", "--yes"]).code(0).says("in sync");
    assert_eq!(process(world, one), before, "nothing changed, and it was restarted");
    fs::write(world.on(one, "bot/prompt.md"), world.prompt("1.0.0").replace("brief", "very brief"))
        .expect("an edit");
    world.packfleet(&["status", "--exit-code"]).code(2);
    world.bot("1.1.0", Bot::Good);
    world.packfleet(&["apply", "--yes"]).code(0).says("1.1.0");
    assert_eq!(world.text(one, "bot/prompt.md"), world.prompt("1.1.0").replace("brief", "very brief"));
    assert_eq!(world.text(two, "bot/prompt.md"), world.prompt("1.1.0"));
    assert_ne!(process(world, one), before, "it changed, and was not restarted");
    world.packfleet(&["rollback", &one.name, "--yes"]).code(0);
    assert_eq!(world.text(one, "bot/prompt.md"), world.prompt("1.0.0").replace("brief", "very brief"));
    assert!(is_active(world, one) && is_active(world, two));
    world.packfleet(&["doctor"]).code(0);
}

/// A release whose endpoint answers 500: the quick check finds it before the generation is committed.
pub fn answers_500(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet(&served(world, ""), "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    world.bot("1.1.0", Bot::Answers500);
    world.packfleet(&["apply", "--yes"]).code(6).says("500");
    is_old(world, machine);
    // What is mended goes in.
    world.bot("1.2.0", Bot::Good);
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.2.0"));
}

/// A release whose service dies after five seconds: the watch finds it after the commit.
pub fn dies_after_5_s(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet(&served(world, "[[packs.bot.health]]\nactive_for = \"8s\"\n"), "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    world.bot("1.1.0", Bot::DiesAfter5);
    world.packfleet(&["apply", "--yes"]).code(6).says("active_for");
    is_old(world, machine);
}

/// A release whose journal fills with errors.
pub fn complains(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    let journal = format!(
        "[[packs.bot.health]]\njournal = \"{}\"\nerror = \"(?i)error\"\nmax_increase = \"50%\"\nat_least = 5\nover = \"6s\"\n",
        world.unit()
    );
    world.fleet(&served(world, &journal), "host", "");
    world.packfleet(&["apply", "--yes"]).code(0);
    world.bot("1.1.0", Bot::Complains);
    world.packfleet(&["apply", "--yes"]).code(6).says("the moon");
    is_old(world, machine);
}

/// An endpoint, and then a command, that never answers: both are given up when their time is over. A first install
/// goes back to nothing.
pub fn hangs(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("[[packs.bot.health]]\ncommand = [\"sleep\", \"1000\"]\nwithin = \"2s\"\n", "host", "");
    world.packfleet(&["apply", "--yes"]).code(6).says("sleep 1000");
    assert!(!world.on(machine, "bot/prompt.md").exists(), "a first install that failed left something");
    world.fleet(&served(world, ""), "host", "");
    world.packfleet(&["retry", &machine.name]);
    world.packfleet(&["apply", "--yes"]).code(0);
    world.bot("1.1.0", Bot::Hangs);
    world.packfleet(&["apply", "--yes"]).code(6);
    is_old(world, machine);
}
