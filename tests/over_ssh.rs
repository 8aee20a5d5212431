//! The command line against hosts and repositories over ssh.

#[path = "host/sshd.rs"]
mod sshd;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sshd::Sshd;

/// A fleet in a directory of its own, with a repository and a host behind one sshd.
struct World {
    sshd: Sshd,
}

impl World {
    /// `None` where there is no sshd, which is said.
    fn new() -> Option<Self> {
        match Sshd::new("") {
            Ok(sshd) => Some(Self { sshd }),
            Err(why) => {
                eprintln!("SKIPPED: {why}");
                None
            }
        }
    }

    fn at(&self, name: &str) -> String {
        self.sshd.at(name).to_str().expect("UTF-8").to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-C"]).arg(self.at("packs"));
        let output = command.args(arguments).output().expect("git");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    /// A pack with one tagged version.
    fn pack(&self) {
        fs::create_dir_all(self.at("packs/bot")).expect("a directory");
        fs::write(self.at("packs/bot/prompt.md"), "Be brief.\nBe kind.\nSign.\n").expect("a file");
        self.git(&["init", "-q", "-b", "main"]);
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "the bot"]);
        self.git(&["tag", "v1.0.0"]);
        fs::create_dir_all(self.at("home")).expect("a directory");
        let who = "[user]\nname = ada\nemail = ada@example.org\n";
        fs::write(self.at("home/.gitconfig"), who).expect("a config");
    }

    fn fleet(&self, deployments: &str) {
        let text = format!(
            "[fleet]\nname = \"first\"\nversion_file = \"VERSION\"\n[sources.team]\nurl = \"ssh://place{}\"\n\
             [packs.bot]\nsource = \"team\"\ndir = \"bot\"\ntarget = \"bot\"\n{deployments}",
            self.at("packs")
        );
        fs::create_dir_all(self.at("fleet")).expect("a directory");
        fs::write(self.at("fleet/fleet.toml"), text).expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
        command.current_dir(self.at("fleet")).args(["--ssh-config", &self.at("ssh_config")]);
        command.args(["--cache", &self.at("c")]).args(arguments);
        command.env_remove("XDG_RUNTIME_DIR").env("NO_COLOR", "1").env("HOME", self.at("home"));
        command.output().expect("packfleet")
    }

    /// Runs, expects an exit code, and gives what was printed.
    fn code(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    }

    /// Ends the shared connections, which would outlive the test by a minute.
    fn hang_up(&self) {
        let Ok(sockets) = fs::read_dir(self.at("c/ssh")) else { return };
        for socket in sockets.flatten() {
            let path = format!("ControlPath={}", socket.path().display());
            let _ended = Command::new("ssh").args(["-o", &path, "-O", "exit", "place"]).output();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn deployment(name: &str, host: &str, root: &str, more: &str) -> String {
    format!(
        "[deployments.{name}]\nhost = \"{host}\"\nroot = \"{root}\"\npacks.bot = {{ version = \"1\" }}\n{more}\n"
    )
}

#[test]
fn a_host_and_a_repository_over_ssh_go_through_a_life() {
    let Some(world) = World::new() else { return };
    world.pack();
    world.fleet(&deployment("away", "place", &world.at("live"), ""));
    let prompt = world.at("live/bot/prompt.md");
    assert!(world.code(0, &["apply", "--yes"]).contains("applied"));
    assert!(world.code(0, &["apply", "--yes"]).contains("in sync"));
    fs::write(&prompt, "Be brief and quick.\nBe kind.\nSign.\n").expect("an edit");
    assert!(world.code(0, &["diff", "away"]).contains("+Be brief and quick."));
    fs::write(world.at("packs/bot/prompt.md"), "Be brief.\nBe kind.\nSign as bot.\n").expect("a file");
    world.git(&["commit", "-qam", "sign"]);
    world.git(&["tag", "v1.1.0"]);
    assert!(world.code(0, &["apply", "--yes"]).contains("1.0.0 → 1.1.0"));
    assert_eq!(fs::read_to_string(&prompt).expect("a file"), "Be brief and quick.\nBe kind.\nSign as bot.\n");
    assert!(world.code(0, &["status"]).contains("edited"));
    assert!(world.code(0, &["history", "away"]).contains("1.1.0"));
    assert!(world.code(0, &["record", "away"]).contains("bot/prompt.md"));
    assert!(world.code(0, &["why", "away"]).contains("away"));
    assert!(world.code(0, &["rollback", "away", "--yes"]).contains("rolled back"));
    assert_eq!(fs::read_to_string(&prompt).expect("a file"), "Be brief and quick.\nBe kind.\nSign.\n");
    world.code(0, &["edits", "list"]);
    world.code(0, &["retry", "away"]);
    assert!(world.code(0, &["apply", "--yes"]).contains("1.0.0 → 1.1.0"));
    // A commit made of the edit goes the same way back.
    let pushed = world.run(&["export", "away", "bot", "--push", "--branch", "from-away"]);
    let text = String::from_utf8_lossy(&[pushed.stdout, pushed.stderr].concat()).into_owned();
    assert_eq!(pushed.status.code(), Some(0), "{text}");
    let there = world.git(&["show", "from-away:bot/prompt.md"]);
    assert!(there.starts_with("Be brief and quick."), "{there}: {text}");
}

#[test]
fn a_host_that_does_not_answer_stops_nobody_but_its_dependents() {
    let Some(world) = World::new() else { return };
    world.pack();
    let config = fs::read_to_string(world.at("ssh_config")).expect("a config");
    fs::write(world.at("ssh_config"), format!("Host gone\n  ProxyCommand false\n{config}"))
        .expect("a config");
    world.fleet(
        &[
            deployment("a", "gone", "/x", ""),
            deployment("b", "local", &world.at("b"), "depends_on = [\"a\"]"),
            deployment("c", "local", &world.at("c-root"), "depends_on = [\"b\"]"),
            deployment("d", "place", &world.at("d"), ""),
        ]
        .concat(),
    );
    let text = world.code(5, &["apply", "--yes"]);
    assert!(text.contains("gone cannot be reached"), "{text}");
    assert!(text.contains("for a: it cannot be reached"), "{text}");
    assert!(text.contains("for b: it waits for a: it cannot be reached"), "{text}");
    assert!(Path::new(&world.at("d/bot/prompt.md")).exists(), "{text}");
    assert!(!Path::new(&world.at("b/bot/prompt.md")).exists(), "{text}");
    world.code(1, &["apply", "--yes", "--strict-offline"]);
    assert!(world.code(5, &["status"]).contains("offline"));
    assert!(world.code(5, &["history", "a"]).contains("cannot be reached"));
}

#[test]
fn an_unknown_host_key_is_refused_and_said() {
    let Some(world) = World::new() else { return };
    world.pack();
    fs::write(world.at("known_hosts"), "").expect("a file");
    world.fleet(&deployment("away", "place", &world.at("live"), ""));
    let text = world.code(5, &["plan"]) + &world.code(5, &["history", "away"]);
    assert!(text.contains("Host key verification failed"), "{text}");
}

#[test]
fn a_changed_host_key_is_no_unknown_one() {
    let Some(world) = World::new() else { return };
    world.pack();
    // The key that ssh knows is that of somebody else.
    let other = fs::read_to_string(world.at("key.pub")).expect("a key");
    fs::write(world.at("known_hosts"), format!("place {other}")).expect("a file");
    // The pack comes from this disk, so that the host is what is tried.
    let text = format!(
        "[fleet]\nname = \"first\"\n[sources.team]\nurl = \"{}\"\n[packs.bot]\nsource = \"team\"\ndir = \"bot\"\n\
         target = \"bot\"\n{}",
        world.at("packs"),
        deployment("away", "place", &world.at("live"), "")
    );
    fs::create_dir_all(world.at("fleet")).expect("a directory");
    fs::write(world.at("fleet/fleet.toml"), text).expect("a file");
    for arguments in [["plan", "away"], ["history", "away"]] {
        let text = world.code(5, &arguments);
        assert!(text.contains("its host key is not the one that ssh knows"), "{text}");
        assert!(text.contains("or another machine answers in its place"), "{text}");
        assert!(!text.contains("ssh does not know the host's key"), "{text}");
    }
}

/// No port is opened there: the agent watches, and the loop hears of it over its own channel.
#[test]
fn an_edit_on_another_host_is_seen_without_a_timer() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let Some(world) = World::new() else { return };
    world.pack();
    fs::create_dir_all(world.at("root")).expect("a directory");
    let times = "[run]\npoll = \"1h\"\nresync = \"1h\"\n";
    world.fleet(&format!(
        "[deployments.far]\nhost = \"place\"\nroot = \"{}\"\npacks.bot = {{ version = \"1\" }}\n{times}",
        world.at("root")
    ));
    let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
    command.current_dir(world.at("fleet")).args(["--ssh-config", &world.at("ssh_config")]);
    command.args(["--cache", &world.at("c"), "run"]);
    command.env_remove("XDG_RUNTIME_DIR").env_remove("NOTIFY_SOCKET").env("HOME", world.at("home"));
    command.env("PACKFLEET_LOG", "packfleet::daemon=debug,packfleet=warn").env("NO_COLOR", "1");
    let said = fs::File::create(world.at("said")).expect("a file");
    let mut run = command.stdin(Stdio::null()).stderr(said).spawn().expect("it starts");
    let log = || fs::read_to_string(world.at("said")).unwrap_or_default();
    let later = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(120), "waited in vain for {what}:\n{}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let file = world.at("root/bot/prompt.md");
    later("the first version", &|| Path::new(&file).exists());
    // The first look of a watch that began is for what came before it.
    later("a watch", &|| log().contains("kind=Look"));
    let edited = Instant::now();
    fs::write(&file, "Be brief.\nBe mine.\nSign.\n").expect("an edit");
    later("a word of the edit", &|| log().contains("1 edit kept"));
    eprintln!("seen after {:?}", edited.elapsed());
    fs::remove_file(&file).expect("a deletion");
    later("the file that was deleted", &|| Path::new(&file).exists());
    let ended = Command::new("kill").arg(run.id().to_string()).status().expect("kill");
    assert!(ended.success());
    assert_eq!(run.wait().expect("a child").code(), Some(143), "{}", log());
    world.hang_up();
}
