//! A fleet of one deployment, its repositories, and a loop over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Waits until it is so.
pub fn later(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Directories below one that goes with it.
pub struct World {
    top: tempfile::TempDir,
    poll: String,
}

impl World {
    /// A pack repository with version 1.0.0, and an empty fleet repository.
    pub fn new(poll: &str) -> Self {
        let world = Self { top: tempfile::tempdir().expect("a temporary directory"), poll: poll.to_owned() };
        for name in ["fleet", "packs"] {
            world.git("", &["init", "-q", "--bare", "-b", "main", &format!("{name}.git")]);
            world.git("", &["clone", "-q", &format!("{name}.git"), name]);
            world.git(name, &["checkout", "-q", "-B", "main"]);
        }
        world.push_pack("one\n", "v1.0.0");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.top.path().canonicalize().expect("a real path").join(name)
    }

    pub fn fleet_url(&self) -> String {
        self.path("fleet.git").to_str().expect("UTF-8").to_owned()
    }

    /// git, as nobody in particular.
    pub fn git(&self, directory: &str, words: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(words)
            .current_dir(self.path(directory))
            .env("HOME", self.path(""))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn push_pack(&self, text: &str, tag: &str) {
        fs::create_dir_all(self.path("packs/bot")).unwrap();
        fs::write(self.path("packs/bot/file"), text).unwrap();
        self.git("packs", &["add", "-A"]);
        self.git("packs", &["commit", "-qm", tag]);
        self.git("packs", &["tag", tag]);
        self.git("packs", &["push", "-q", "origin", "main", "--tags"]);
    }

    /// A fleet file with this pin.
    pub fn text(&self, pin: &str) -> String {
        format!(
            "[fleet]\nname = \"f\"\nversion_file = \"VERSION\"\nsync_log = \"log\"\n[run]\npoll = \"{}\"\n\
             resync = \"1h\"\nretry = {{ initial = \"1s\", max = \"2s\" }}\n[sources.packs]\nurl = \"{}\"\n\
             [packs.bot]\nsource = \"packs\"\ndir = \"bot\"\ntarget = \"bot\"\n[deployments.d]\nhost = \"local\"\n\
             root = \"{}\"\npacks.bot = {pin}\n",
            self.poll,
            self.path("packs.git").display(),
            self.root().display(),
        )
    }

    pub fn push_fleet(&self, pin: &str) {
        self.push_text(&self.text(pin));
    }

    pub fn push_text(&self, text: &str) {
        fs::write(self.path("fleet/fleet.toml"), text).unwrap();
        self.git("fleet", &["add", "-A"]);
        self.git("fleet", &["commit", "-q", "--allow-empty", "-m", "fleet"]);
        self.git("fleet", &["push", "-q", "--force", "origin", "main"]);
    }

    /// A key to sign with.
    pub fn key(&self, name: &str) -> PathBuf {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.path(name))
            .status()
            .expect("ssh-keygen runs");
        assert!(made.success());
        self.path(name)
    }

    /// A commit of the fleet with this pin, signed or not; its id.
    pub fn push_signed(&self, pin: &str, key: Option<&Path>) -> String {
        fs::write(self.path("fleet/fleet.toml"), self.text(pin)).unwrap();
        self.git("fleet", &["add", "-A"]);
        let mut words = vec!["-c", "gpg.format=ssh"];
        let signing = key.map(|key| format!("user.signingkey={}", key.display()));
        words.extend(signing.iter().flat_map(|key| ["-c", key.as_str()]));
        words.extend(["commit", "-q", "--allow-empty", "-m", "fleet"]);
        words.extend(key.map(|_| "-S"));
        self.git("fleet", &words);
        self.git("fleet", &["push", "-q", "origin", "main"]);
        self.git("fleet", &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// The fleet file in a plain directory.
    pub fn checkout(&self, pin: &str) -> PathBuf {
        fs::create_dir_all(self.path("plain")).unwrap();
        fs::write(self.path("plain/fleet.toml"), self.text(pin)).unwrap();
        self.path("plain/fleet.toml")
    }

    pub fn root(&self) -> PathBuf {
        let root = self.path("root");
        fs::create_dir_all(&root).unwrap();
        root
    }

    pub fn file(&self) -> PathBuf {
        self.root().join("bot/file")
    }

    pub fn installed(&self) -> Option<String> {
        fs::read_to_string(self.file()).ok()
    }

    pub fn packfleet(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
        command
            .args(words)
            .current_dir(self.path(""))
            .env("HOME", self.path(""))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("PACKFLEET_LOG", "packfleet::daemon=debug,packfleet=warn")
            .env_remove("PACKFLEET_FILE")
            .env_remove("NOTIFY_SOCKET");
        command
    }

    pub fn run(&self, words: &[&str]) -> Run {
        self.start(self.packfleet(&[&["run"], words].concat()))
    }

    pub fn start(&self, mut command: Command) -> Run {
        let number = fs::read_dir(self.path("")).unwrap().count();
        let log = self.path(&format!("said-{number}"));
        let said = fs::File::create(&log).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().expect("it starts");
        Run { child, log }
    }

    /// Every file below the root, the cache and the state, with its size and times.
    pub fn listing(&self) -> Vec<String> {
        let mut all = Vec::new();
        for top in ["root", "cache", "state"] {
            list(&self.path(top), &mut all);
        }
        all.sort();
        all
    }
}

fn list(path: &Path, all: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    all.push(format!("{} {} {} {times:?}", path.display(), meta.ino(), meta.len()));
    if meta.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            list(&entry.unwrap().path(), all);
        }
    }
}

/// A loop that runs; it is killed with this.
pub struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn said(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    pub fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Ends it by a signal; its exit code.
    pub fn end(mut self, signal: &str) -> i32 {
        self.signal(signal);
        later("its end", || self.child.try_wait().expect("a child").is_some());
        let ended = self.child.wait().expect("a child");
        ended.code().unwrap_or_else(|| panic!("{ended}: {}", self.log()))
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }

    /// Resident bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).expect("it runs").count()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("it said:\n{}", self.log());
        }
    }
}
