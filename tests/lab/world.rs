//! What a scenario works with: machines of its own, a fleet repository, a repository of packs, and the real binary.
//!
//! Everything lies below `/mnt/NAME` here and `/srv/NAME` on the hosts, so scenarios do not meet, even on a machine
//! that had another one before. The binary runs in an environment that the scenario knows whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::{Machine, PATIENCE, done};

/// One scenario's own world.
pub struct World {
    /// Its name; part of all paths.
    pub name: String,
    /// Its machines, nobody else's while it runs.
    pub machines: Vec<Arc<Machine>>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Fails unless stdout or stderr has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        let said = self.out.contains(text) || self.err.contains(text);
        assert!(said, "{text:?} is not in\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Fails unless stdout and stderr together have this text exactly once.
    #[track_caller]
    pub fn says_once(self, text: &str) -> Self {
        let times = self.out.matches(text).count() + self.err.matches(text).count();
        assert_eq!(times, 1, "{text:?} in\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }
}

impl World {
    pub fn new(name: &str, machines: Vec<Arc<Machine>>) -> Self {
        let world = Self { name: name.to_owned(), machines };
        for part in ["fleet", "packs/bot", "home"] {
            fs::create_dir_all(world.path(part)).expect("a directory");
        }
        world.git(&["init", "-q", "-b", "main", "."]);
        world
    }

    /// A path of this world.
    pub fn path(&self, part: &str) -> PathBuf {
        PathBuf::from("/mnt").join(&self.name).join(part)
    }

    /// The root of every deployment, on its host.
    pub fn root(&self) -> String {
        format!("/srv/{}", self.name)
    }

    /// A path below the root on a machine, seen from here.
    pub fn on(&self, machine: &Machine, path: &str) -> PathBuf {
        machine.at(&format!("{}/{path}", self.root()))
    }

    /// The text of a file below the root on a machine; empty if there is none.
    pub fn text(&self, machine: &Machine, path: &str) -> String {
        fs::read_to_string(self.on(machine, path)).unwrap_or_default()
    }

    fn git(&self, words: &[&str]) {
        done(self.tame(Command::new("git")).args(words).current_dir(self.path("packs")));
    }

    /// An environment without surprises.
    pub fn tame(&self, mut command: Command) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("HOME", self.path("home"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .env("COLUMNS", "120")
            .stdin(Stdio::null());
        command
    }

    /// Commits these files as all that the pack `bot` has, and tags it. A name that ends in `*` is executable.
    pub fn release(&self, version: &str, files: &[(&str, &str)]) {
        let pack = self.path("packs/bot");
        fs::remove_dir_all(&pack).expect("the old pack");
        for (name, text) in files {
            let file = pack.join(name.trim_end_matches('*'));
            fs::create_dir_all(file.parent().expect("a parent")).expect("directories");
            fs::write(&file, text).expect("a file");
            let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", version]);
        self.git(&["tag", &format!("v{version}")]);
    }

    /// A release that has one more file than the last one.
    pub fn add(&self, version: &str, name: &str, bytes: &[u8]) {
        fs::write(self.path("packs/bot").join(name), bytes).expect("a file");
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", version]);
        self.git(&["tag", &format!("v{version}")]);
    }

    /// Writes fleet.toml: the pack `bot` with more keys, and one deployment per machine, whose host is reached as
    /// `USER-N`, with more keys.
    pub fn fleet(&self, pack: &str, user: &str, deployment: &str) {
        let mut text = format!(
            "[fleet]\nname = \"{0}\"\n[sources.s]\nurl = \"../packs\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\n\
             target = \"bot\"\n{pack}\n",
            self.name
        );
        for machine in &self.machines {
            let host = machine.name.replacen("host", user, 1);
            let (name, root) = (&machine.name, self.root());
            text.push_str(&format!(
                "[deployments.{name}]\nhost = \"{host}\"\nroot = \"{root}\"\npacks.bot = {{ version = \"1\" }}\n\
                 {deployment}\n"
            ));
        }
        fs::write(self.path("fleet/fleet.toml"), text).expect("fleet.toml");
    }

    /// The binary, to be run in the fleet repository; under `strace WORDS` if there are any.
    pub fn command(&self, strace: &[&str], words: &[&str]) -> Command {
        let own = env!("CARGO_BIN_EXE_packfleet");
        let binary = std::env::var("PACKFLEET_LAB_BINARY").unwrap_or_else(|_| own.to_owned());
        let mut command = match strace {
            [] => self.tame(Command::new(binary)),
            _ => {
                let mut command = self.tame(Command::new("strace"));
                command.args(["-f", "-qq", "-o", "/dev/null"]).args(strace).arg(binary);
                command
            }
        };
        command.args(words).current_dir(self.path("fleet"));
        command
    }

    /// Runs the binary to its end.
    pub fn packfleet(&self, words: &[&str]) -> Ran {
        self.finish(self.start(&[], words), words)
    }

    /// Ends the connections that are kept open for the next run.
    pub fn hang_up(&self) {
        let sockets = fs::read_dir(self.path("home/.cache/packfleet/ssh")).into_iter().flatten().flatten();
        for socket in sockets {
            let path = socket.path();
            let _gone_already = Command::new("ssh").arg("-S").arg(path).args(["-O", "exit", "x"]).output();
        }
    }

    /// Starts the binary with its output kept.
    pub fn start(&self, strace: &[&str], words: &[&str]) -> Child {
        self.spawn(self.command(strace, words), words)
    }

    /// Starts a command, under the name of these words, with its output kept.
    pub fn spawn(&self, mut command: Command, words: &[&str]) -> Child {
        let id = words.join("-").replace('/', "_");
        let file = |what: &str| fs::File::create(self.path(&format!("{id}.{what}"))).expect("a file");
        command.stdout(file("out")).stderr(file("err")).spawn().expect("it starts")
    }

    /// Waits for what was started with these words.
    pub fn finish(&self, mut child: Child, words: &[&str]) -> Ran {
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().expect("a child") {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => {
                    let _ended_before = child.kill();
                    break child.wait().expect("a child");
                }
                None => sleep(Duration::from_millis(20)),
            }
        };
        if std::env::var_os("PACKFLEET_LAB_TRACE").is_some() {
            let (took, words) = (begun.elapsed().as_secs_f64(), words.join(" "));
            println!("lab: {}: packfleet {words}: {status} after {took:.1} s", self.name);
        }
        let id = words.join("-").replace('/', "_");
        let read = |what: &str| {
            let bytes = fs::read(self.path(&format!("{id}.{what}"))).expect("its output");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Ran { code: status.code().unwrap_or(-1), out: read("out"), err: read("err") }
    }
}

/// Waits until something holds.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "it never came to pass: {what}");
        sleep(Duration::from_millis(50));
    }
}
