//! A loop over a fleet that lies in git, and what it shows: its log, its page's API, its events.
//!
//! The loop is told to talk of every look that it begins, so that a scenario can tell what made it look: `kind=Look` is
//! what a touch leads to, and nothing else. Its timers are set so that they never come due in a scenario.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::machine::{Machine, PATIENCE, done};
use crate::world::{World, until};

/// A loop that runs; it is killed with this.
pub struct Loop {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl World {
    /// The same repositories, bare, in a directory that somebody serves: what is pushed there is published.
    pub fn serve(&self, directory: &Path, url: &str) {
        for name in ["fleet", "packs"] {
            let bare = directory.join(format!("{name}.git"));
            done(self.git_in("").args(["init", "-q", "--bare", "-b", "main"]).arg(&bare));
            done(self.git_in("").arg("-C").arg(&bare).args(["config", "http.receivepack", "true"]));
            if name == "fleet" {
                done(self.git_in("fleet").args(["init", "-q", "-b", "main", "."]));
            }
            done(self.git_in(name).args(["remote", "add", "origin", &format!("{url}/{name}.git")]));
        }
    }

    /// Pushes what the repository of packs has.
    pub fn push_packs(&self) {
        done(self.git_in("packs").args(["push", "-q", "origin", "main", "--tags"]));
    }

    /// Commits a fleet file and pushes it.
    pub fn push_fleet(&self, text: &str) {
        fs::write(self.path("fleet/fleet.toml"), text).expect("fleet.toml");
        done(self.git_in("fleet").args(["add", "fleet.toml"]));
        done(self.git_in("fleet").args(["commit", "-q", "-m", "fleet"]));
        done(self.git_in("fleet").args(["push", "-q", "origin", "main"]));
    }

    /// Starts `run` with these words.
    pub fn run(&self, words: &[&str]) -> Loop {
        let number = fs::read_dir(self.path("")).expect("a directory").count();
        let log = self.path(&format!("run-{number}.log"));
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command(&[], &[&["run"], words].concat());
        command.env("PACKFLEET_LOG", "packfleet::daemon=debug,packfleet=warn");
        let child = command.current_dir(self.path("")).stdout(Stdio::null()).stderr(file).spawn();
        Loop { child: child.expect("it starts"), port: self.port(), log }
    }

    /// What the history of this world's deployment on a machine says: when, and which version.
    pub fn history(&self, machine: &Machine) -> Vec<(Timestamp, String)> {
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            let version = line["packs"]["bot"].as_str().unwrap_or("none").to_owned();
            Some((line["time"].as_str()?.parse().ok()?, version))
        };
        self.text(machine, ".packfleet/history").lines().filter_map(line).collect()
    }

    /// git, in a part of this world.
    pub fn git_in(&self, part: &str) -> Command {
        let mut git = self.tame(Command::new("git"));
        git.current_dir(self.path(part));
        git
    }
}

impl Loop {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Waits until it said something so often.
    #[track_caller]
    pub fn says(&self, text: &str, times: usize) {
        until(&format!("it says {text:?}"), || self.count(text) >= times);
    }

    /// Waits until it begins no look any more, whatever it asks git.
    pub fn rests(&self) {
        let mut began = (usize::MAX, Instant::now());
        until("it looks at nothing any more", || {
            let now = self.count(" begins ");
            if now != began.0 {
                began = (now, Instant::now());
            }
            began.1.elapsed() > Duration::from_millis(1500)
        });
    }

    /// What it answers to a request; `None` if it does not, or not yet.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        self.ask(path)?.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
    }

    // Of HTTP/1.0, so that nothing comes in chunks.
    fn ask(&self, path: &str) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        Some(stream)
    }

    /// The fleet as its API shows it; null as long as it does not.
    pub fn view(&self) -> Value {
        let text = self.get("/api/v1/fleet").unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// One deployment of a view; null if it has none of that name.
    pub fn deployment(&self, name: &str) -> Value {
        let view = self.view();
        let all = view["deployments"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["name"] == name).unwrap_or_default()
    }

    /// Waits until it shows a deployment so, and gives what it shows.
    #[track_caller]
    pub fn shows(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let shown = self.deployment(name);
            if is_so(&shown) {
                return shown;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{name} is not shown as {what}: {shown:#}\n{}\n{}",
                self.view()["problems"],
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its events from now on; the first one tells how things stand.
    pub fn events(&self) -> Events {
        Events(BufReader::new(self.ask("/events").expect("it serves")))
    }

    pub fn signal(&self, name: &str) {
        done(Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()));
    }

    /// Ends it by a signal; its exit code.
    pub fn end(mut self, signal: &str) -> i32 {
        self.signal(signal);
        until("it ends", || self.child.try_wait().expect("a child").is_some());
        let ended = self.child.wait().expect("a child");
        ended.code().unwrap_or_else(|| panic!("{ended}: {}", self.log()))
    }

    /// A file of its own below `/proc`.
    pub fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("it said:\n{}", self.log());
        }
    }
}

/// What a browser hears that listens.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// Waits for the next one; the revision of the view that it tells of.
    pub fn next(&mut self) -> u64 {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("an event");
            assert_ne!(read, 0, "the events ended");
            if let Some(data) = line.strip_prefix("data:") {
                let data: Value = serde_json::from_str(data).expect("JSON");
                return data["revision"].as_u64().expect("a revision");
            }
        }
    }
}
