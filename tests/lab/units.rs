//! The units that are shipped, under the systemd of real hosts: a controller that reaches its fleet over ssh, and a host
//! that follows git by itself.
//!
//! They are installed as their first lines say, and what is added is what is to be added there. They are not touched
//! otherwise, but for a watchdog that is less patient.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::bot::Bot;
use crate::http::Http;
use crate::machine::Machine;
use crate::world::{World, until};

const CONTROLLER: &str = include_str!("../../examples/systemd/packfleet.service");
const HOST: &str = include_str!("../../examples/systemd/packfleet-host.service");

/// A unit on a host.
struct Unit<'a> {
    machine: &'a Machine,
    name: &'static str,
}

impl Unit<'_> {
    /// Puts it there, with the program, and starts it: that ends when it is ready.
    fn start(&self, world: &World, text: &str, more: &str) {
        let (machine, name) = (self.machine, self.name);
        let program = machine.at("/usr/local/bin/packfleet");
        fs::create_dir_all(program.parent().expect("a parent")).expect("a directory");
        fs::copy(world.command(&[], &[]).get_program(), &program).expect("the program");
        machine.put(&format!("/etc/systemd/system/{name}.service"), text, 0o644);
        let more = format!("[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n{more}");
        machine.put(&format!("/etc/systemd/system/{name}.service.d/override.conf"), &more, 0o644);
        let said = machine.says(&format!("systemd-analyze --man=no verify {name}.service 2>&1"));
        assert_eq!(said, "", "{name}");
        let started = machine.ssh("root", &format!("systemctl daemon-reload && systemctl start {name}"));
        assert!(started.status.success(), "{started:?}\n{}", self.log());
        assert_eq!(self.shows("ActiveState"), "active", "{}", self.log());
        assert_eq!(self.shows("Type"), "notify");
    }

    fn shows(&self, what: &str) -> String {
        self.machine.says(&format!("systemctl show --property {what} --value {}", self.name))
    }

    fn log(&self) -> String {
        self.machine.says(&format!("journalctl --no-pager --unit {}", self.name))
    }

    /// Waits until it says of itself how things stand.
    fn stands(&self, text: &str) {
        let mut said = String::new();
        until(&format!("{} stands at {text:?}", self.name), || {
            said = self.shows("StatusText");
            said == text || self.shows("ActiveState") == "failed"
        });
        assert_eq!(said, text, "{}", self.log());
    }

    /// Ends it, and looks at how it ended.
    fn stop(&self) {
        self.machine.says(&format!("systemctl stop {}", self.name));
        assert_eq!(self.shows("ActiveState"), "inactive", "{}", self.log());
        // What the unit itself remembers goes with it: nothing else needs it.
        let log = self.log();
        assert!(log.contains("Deactivated successfully"), "{log}");
    }
}

/// A fleet of one deployment, whose packs come over http.
fn fleet(world: &World, machine: &Machine, http: &Http, root: &str) -> String {
    format!(
        "[fleet]\nname = \"units\"\n[run]\npoll = \"1h\"\nresync = \"1h\"\nlisten = \"127.0.0.1:{}\"\n\
         [sources.s]\nurl = \"http://{}/packs.git\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"bot\"\n\
         on_change = [{{ paths = [\"prompt.md\"], run = [\"sleep\", \"1\"] }}]\n\
         [deployments.it]\nhost = \"{}\"\nroot = \"{root}\"\npacks.bot = {{ version = \"1\" }}\n",
        world.port(),
        http.address,
        machine.name
    )
}

/// One host as controller of another, by the unit for that.
pub fn unit_controls(world: &World) {
    let [controller, target] = &world.machines[..] else { panic!("two machines") };
    let directory = format!("/srv/{}-git", world.name);
    let http = Http::serve_at("192.0.2.1:0", &target.at(&directory));
    let url = format!("ssh://{}{directory}", target.name);
    world.serve(&target.at(&directory), &url);
    world.bot("1.0.0", Bot::Good);
    world.push_packs();
    world.push_fleet(&fleet(world, target, &http, &world.root()));

    // Its user, with a key that the host takes.
    controller.says("useradd --system --create-home packfleet");
    let home = controller.says("getent passwd packfleet | cut -d: -f6");
    let ssh = format!("{home}/.ssh");
    let config = format!(
        "Host {}\n  HostName {}\n  User root\n  IdentityFile ~/.ssh/id\n",
        target.name,
        target.address()
    );
    let key = fs::read_to_string("/mnt/key").expect("a key");
    for (name, text) in [("config", &config), ("id", &key), ("known_hosts", &target.known_host())] {
        controller.put(&format!("{ssh}/{name}"), text, 0o600);
    }
    controller.says(&format!("chmod 700 {ssh} && chown -R packfleet:packfleet {ssh}"));

    let unit = Unit { machine: controller, name: "packfleet" };
    unit.start(world, CONTROLLER, &format!("Environment=PACKFLEET_REPO={url}/fleet.git\n"));
    unit.stands("1 in sync");
    assert_eq!(world.text(target, "bot/prompt.md"), world.prompt("1.0.0"));
    // What it writes is where systemd gave it room, and its own.
    let user: u32 = controller.says("id -u packfleet").parse().expect("a number");
    for place in ["/var/lib/packfleet", "/var/cache/packfleet"] {
        let found = fs::metadata(controller.at(place)).expect("it is there");
        assert_eq!(found.uid(), user, "{place}");
        let inside = controller.says(&format!("find {place} -type f | head -1"));
        assert!(!inside.is_empty(), "nothing is in {place}");
    }
    let sockets = controller.says("find /run/packfleet -type s");
    assert!(!sockets.is_empty(), "no connection is shared");
    assert_eq!(
        controller.says(&format!("find {home} -newer /etc/systemd/system/packfleet.service -type f")),
        ""
    );

    // A push is nothing to it before the poll; a reload asks at once.
    world.bot("1.1.0", Bot::Good);
    world.push_packs();
    controller.says("systemctl reload packfleet");
    until("a reload leads to a look", || world.text(target, "bot/prompt.md") == world.prompt("1.1.0"));
    unit.stands("1 in sync");

    // The watchdog was fed all the time; a loop that hangs is ended and begun anew.
    assert_eq!(unit.shows("NRestarts"), "0", "{}", unit.log());
    let process = unit.shows("MainPID");
    controller.says(&format!("kill -STOP {process}"));
    until("it is begun anew", || unit.shows("NRestarts") == "1" && unit.shows("ActiveState") == "active");
    assert_ne!(unit.shows("MainPID"), process);
    unit.stands("1 in sync");

    // In the middle of a switch it ends that first.
    world.bot("1.2.0", Bot::Good);
    world.push_packs();
    controller.says("systemctl reload packfleet");
    until("a switch is under way", || world.on(target, ".packfleet/journal").exists());
    unit.stop();
    assert_eq!(world.text(target, "bot/prompt.md"), world.prompt("1.2.0"));
    assert!(!world.on(target, ".packfleet/journal").exists());
    assert!(unit.log().contains("applied"), "{}", unit.log());
}

/// A host that follows git by itself, by the unit for that, as an ordinary user.
pub fn unit_pulls(world: &World) {
    let [machine] = &world.machines[..] else { panic!("one machine") };
    let directory = world.path("git");
    fs::create_dir_all(&directory).expect("a directory");
    let http = Http::serve_at("192.0.2.1:0", &directory);
    let url = format!("http://{}", http.address);
    world.serve(&directory, &url);
    world.bot("1.0.0", Bot::Good);
    world.push_packs();
    let root = world.root();
    // Nobody goes there: the name of its host is nothing to it.
    world.push_fleet(&fleet(world, machine, &http, &root).replace(&machine.name, "ssh://nobody@192.0.2.250"));
    machine.says(&format!("install -d -o plain -g plain {root}"));
    let unit = Unit { machine, name: "packfleet-host" };
    let more = format!(
        "Environment=PACKFLEET_REPO={url}/fleet.git PACKFLEET_DEPLOYMENT=it\nReadWritePaths={root}\nUser=plain\n"
    );
    unit.start(world, HOST, &more);
    unit.stands("1 in sync");
    let prompt = fs::metadata(world.on(machine, "bot/prompt.md")).expect("it is there");
    assert_eq!((prompt.uid(), prompt.permissions().mode() & 0o777), (4002, 0o644));
    world.bot("1.1.0", Bot::Good);
    world.push_packs();
    machine.says("systemctl reload packfleet-host");
    until("a reload leads to a look", || world.text(machine, "bot/prompt.md") == world.prompt("1.1.0"));
    // Its own root is watched.
    machine.says(&format!("rm {root}/bot/server.pl"));
    until("what was deleted is back", || world.on(machine, "bot/server.pl").exists());
    unit.stands("1 in sync");
    assert_eq!(unit.shows("NRestarts"), "0", "{}", unit.log());
    unit.stop();
}
