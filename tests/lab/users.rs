//! As whom packfleet runs on a host: an ordinary login, one that may become root, one whose shell greets; and files of
//! others, which keep their owners.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use crate::bot::Bot;
use crate::world::World;

/// Owner, group and permission bits of a path below the root.
fn owner(world: &World, path: &str) -> (u32, u32, u32) {
    let found = fs::metadata(world.on(&world.machines[0], path)).expect("it is there");
    (found.uid(), found.gid(), found.permissions().mode() & 0o7777)
}

/// A login that may do nothing special: the root is somebody else's to make, and everything after that works.
pub fn unprivileged(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "plain", "");
    world.packfleet(&["doctor"]).code(1).says("install -d -o plain");
    world.packfleet(&["bootstrap", "*"]).code(1).says("install -d -o plain");
    let root = world.root();
    machine.says(&format!("install -d -o plain -g plain {root}"));
    world.packfleet(&["bootstrap", "*", "--dry-run"]).code(0).says("would");
    assert!(!world.on(machine, ".packfleet").exists());
    world.packfleet(&["bootstrap", "*"]).code(0).says("done");
    world.packfleet(&["bootstrap", "*"]).code(0).says("in place");
    world.packfleet(&["doctor"]).code(0).says("plain (4002)");
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"));
    assert_eq!(owner(world, "bot/prompt.md").0, 4002);
    assert_eq!(owner(world, ".packfleet"), (4002, 4002, 0o700));
}

/// A login that becomes root, on a tree whose files belong to others: they keep owner, group and mode.
pub fn sudo(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "crew", "sudo = true");
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(owner(world, "bot/prompt.md").0, 0);
    let prompt = world.on(machine, "bot/prompt.md");
    chown(&prompt, Some(4002), Some(4001)).expect("an owner");
    fs::set_permissions(&prompt, fs::Permissions::from_mode(0o600)).expect("a mode");
    world.bot("1.1.0", Bot::Good);
    world.packfleet(&["apply", "--yes"]).code(0);
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.1.0"));
    assert_eq!(owner(world, "bot/prompt.md"), (4002, 4001, 0o600));
    // Without the right to become root it is said what is missing, and how it is given.
    world.fleet("", "plain", "sudo = true");
    world.packfleet(&["apply", "--yes"]).code(1).says("sudo");
    world.packfleet(&["bootstrap", "*"]).code(1).says("sudoers");
}

/// A shell that says hello, on both streams, before it runs anything.
pub fn banner(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "noisy", "");
    machine.says(&format!("install -d -o noisy -g noisy {}", world.root()));
    let applied = world.packfleet(&["apply", "--yes"]).code(0);
    assert!(!applied.out.contains("welcome"), "{}", applied.out);
    assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"));
    world.packfleet(&["status"]).code(0).says("in sync");
}

/// A service of the user, under the user's own systemd.
pub fn user_unit(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    let pack = format!(
        "service = {{ unit = \"{}\", user = true }}\n[[packs.bot.health]]\nhttp = \"http://127.0.0.1:{}/\"\n\
         within = \"5s\"\n[[packs.bot.health]]\nactive_for = \"2s\"\n",
        world.unit(),
        world.port()
    );
    world.fleet(&pack, "crew", "");
    machine.says(&format!("install -d -o crew -g crew {}", world.root()));
    world.packfleet(&["bootstrap", "*"]).code(0).says("run without a login");
    world.packfleet(&["doctor"]).code(0).says("runs without a login");
    world.packfleet(&["apply", "--yes"]).code(0);
    let asked =
        format!("sudo -u crew XDG_RUNTIME_DIR=/run/user/4000 systemctl --user is-active {}", world.unit());
    assert_eq!(machine.says(&asked), "active");
    // One that ends with its user's last login is found before it matters.
    world.fleet(&pack, "plain", "");
    world.packfleet(&["doctor"]).code(1).says("loginctl enable-linger plain");
}

/// What ssh says is told once, with what mends it: a key that nobody knows, a user who may not come in.
pub fn refused(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    world.bot("1.0.0", Bot::Good);
    world.fleet("", "host", "");
    let file = world.path("fleet/fleet.toml");
    let text = fs::read_to_string(&file).expect("fleet.toml");
    let known = format!("host = \"host{}\"", machine.name.trim_start_matches("host"));
    let address = format!("host = \"root@{}\"", machine.address());
    fs::write(&file, text.replace(&known, &address)).expect("fleet.toml");
    world.packfleet(&["doctor"]).code(0);
    let text = fs::read_to_string(&file).expect("fleet.toml").replace("root@", "stranger@");
    fs::write(&file, text).expect("fleet.toml");
    world.packfleet(&["doctor"]).code(1).says("Permission denied").says("ssh-copy-id");
    let config = "Host *\n  UserKnownHostsFile /dev/null\n  IdentityFile /mnt/key\n";
    fs::write(world.path("config"), config).expect("an ssh configuration");
    let strange = world.path("config");
    let words = ["--ssh-config", strange.to_str().expect("UTF-8"), "doctor"];
    world.packfleet(&words).code(1).says("ssh does not know the host's key");
    world.packfleet(&["bootstrap", "*"]).code(1).says("not done");
}
