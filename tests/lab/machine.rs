//! One host: a machine with its own systemd, sshd, disk, network namespace and address, booted by systemd-nspawn.
//!
//! Its disk is an overlay of this machine's root with the upper layer on the lab's tmpfs, so nothing is fetched and
//! nothing leaks. `crash` kills it with everything that runs in it, between any two instructions; `boot` starts it
//! over what it had written. `cut` and `heal` take its cable out and put it back.
//!
//! Logins, all by the lab's key: `root`; `crew`, an ordinary user that lingers and may use sudo; `noisy`, one whose
//! shell says hello before it runs what it was asked to; `plain`, one that may do nothing special.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for something that must happen; not a measure of anything.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Users, by number.
pub const USERS: [(&str, u32); 3] = [("crew", 4000), ("noisy", 4001), ("plain", 4002)];

/// Where root is at home on a host.
const ROOT_HOME: &str = "/srv/administrator";

/// A service of one scenario: what the pack below its directory runs.
const UNIT: &str = "\
[Unit]
Description=what the packs of scenario %i run
StartLimitIntervalSec=0
[Service]
WorkingDirectory=/srv/%i
ExecStart=/srv/%i/bot/run
";

const SSHD: &str = "\
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
MaxStartups 200
Subsystem sftp internal-sftp
";

const TARGET: &str = "\
[Unit]
Description=A host of the lab
Requires=basic.target
Wants=lab-sshd.service dbus.socket systemd-logind.service
After=basic.target
AllowIsolate=yes
";

const SSHD_UNIT: &str = "\
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D
Restart=always
";

/// One host.
#[derive(Debug)]
pub struct Machine {
    /// `host-1`, and so on.
    pub name: String,
    number: u32,
    container: Mutex<Option<Child>>,
}

impl Machine {
    /// Makes its disk and its cable. Not booted yet.
    pub fn new(number: u32) -> Self {
        let machine = Self { name: format!("host-{number}"), number, container: Mutex::new(None) };
        machine.make_disk();
        let (namespace, cable) = (&machine.name, machine.cable());
        ip(&["netns", "add", namespace]);
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", "host0", "netns", namespace]);
        ip(&["link", "set", &cable, "master", "br0", "up"]);
        ip(&["-n", namespace, "link", "set", "lo", "up"]);
        ip(&["-n", namespace, "addr", "add", &format!("{}/24", machine.address()), "dev", "host0"]);
        ip(&["-n", namespace, "link", "set", "host0", "up"]);
        machine
    }

    /// The end of its cable on this side.
    pub fn cable(&self) -> String {
        format!("cable-{}", self.number)
    }

    fn directory(&self) -> PathBuf {
        Path::new("/mnt").join(&self.name)
    }

    pub fn address(&self) -> String {
        format!("192.0.2.{}", 10 + self.number)
    }

    /// Its line for a file of known hosts.
    pub fn known_host(&self) -> String {
        let key = fs::read_to_string(self.at("/etc/ssh/ssh_host_ed25519_key.pub")).expect("a host key");
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        format!("{} {}\n", self.address(), words.join(" "))
    }

    /// Where a path of the host lies, seen from here.
    pub fn at(&self, path: &str) -> PathBuf {
        self.directory().join("root").join(path.trim_start_matches('/'))
    }

    fn make_disk(&self) {
        let directory = self.directory();
        for part in ["upper/tmp", "work", "root"] {
            fs::create_dir_all(directory.join(part)).expect("a directory");
        }
        fs::set_permissions(directory.join("upper/tmp"), fs::Permissions::from_mode(0o1777)).expect("a mode");
        let layers = format!("lowerdir=/,upperdir={0}/upper,workdir={0}/work", directory.display());
        let root = directory.join("root");
        done(Command::new("mount").args(["-t", "overlay", "overlay", "-o", &layers]).arg(&root));
        let id = blake3::hash(self.name.as_bytes()).to_hex();
        self.put("/etc/machine-id", &format!("{}\n", &id[..32]), 0o444);
        self.put("/etc/hostname", &format!("{}\n", self.name), 0o644);
        self.put("/etc/fstab", "", 0o644);
        self.put(
            "/etc/systemd/journald.conf.d/lab.conf",
            "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
            0o644,
        );
        self.put("/etc/systemd/system/lab.target", TARGET, 0o644);
        self.put("/etc/systemd/system/lab-sshd.service", SSHD_UNIT, 0o644);
        self.put("/etc/systemd/system/lab@.service", UNIT, 0o644);
        self.put("/etc/systemd/user/lab@.service", UNIT, 0o644);
        self.link("lab.target", "/etc/systemd/system/default.target");
        for unit in ["systemd-networkd", "systemd-resolved", "systemd-timesyncd", "apt-daily", "man-db"] {
            self.link("/dev/null", &format!("/etc/systemd/system/{unit}.service"));
        }
        self.put("/etc/ssh/sshd_config", SSHD, 0o644);
        self.put("/etc/ssh/keys", &fs::read_to_string("/mnt/key.pub").expect("the lab's key"), 0o644);
        let key = self.at("/etc/ssh/ssh_host_ed25519_key");
        let _none_before = fs::remove_file(&key);
        done(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", &self.name, "-f"])
                .arg(&key),
        );
        self.make_users();
    }

    fn make_users(&self) {
        let mut files = [
            ("/etc/passwd", 0o644, String::new()),
            ("/etc/group", 0o644, String::new()),
            ("/etc/shadow", 0o640, String::new()),
        ];
        for (file, _, text) in &mut files {
            *text = fs::read_to_string(self.at(file)).expect("a list of users");
        }
        // Root's home is new: what a shell of this machine does when it starts is no matter of a host's.
        let (root, new) = (format!("root:x:0:0:root:{ROOT_HOME}:/bin/bash\n"), &mut files[0].2);
        let others: String =
            new.lines().filter(|line| !line.starts_with("root:")).map(|line| format!("{line}\n")).collect();
        *new = root + &others;
        self.put(&format!("{ROOT_HOME}/.hushlogin"), "", 0o644);
        self.put("/etc/bash.bashrc", "", 0o644);
        for (name, id) in USERS {
            files[0].2.push_str(&format!("{name}:x:{id}:{id}::/srv/{name}:/bin/bash\n"));
            files[1].2.push_str(&format!("{name}:x:{id}:\n"));
            files[2].2.push_str(&format!("{name}:*:19000:0:99999:7:::\n"));
            self.put(&format!("/srv/{name}/.hushlogin"), "", 0o644);
            chown(self.at(&format!("/srv/{name}")), Some(id), Some(id)).expect("an owner");
        }
        for (file, mode, text) in files {
            self.put(file, &text, mode);
        }
        self.put(
            "/srv/noisy/.bashrc",
            "echo '*** welcome to the lab, noisy ***'\necho 'and to stderr' >&2\n",
            0o644,
        );
        self.put("/etc/sudoers.d/lab", "crew ALL=(ALL) NOPASSWD: ALL\n", 0o440);
        self.put("/var/lib/systemd/linger/crew", "", 0o644);
    }

    /// Writes a file of the host, as root.
    pub fn put(&self, path: &str, text: &str, mode: u32) {
        let file = self.at(path);
        fs::create_dir_all(file.parent().expect("a parent")).expect("directories");
        let _none_before = fs::remove_file(&file);
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn link(&self, text: &str, path: &str) {
        let link = self.at(path);
        let _none_before = fs::remove_file(&link);
        symlink(text, link).expect("a link");
    }

    /// Starts it; [`Machine::wait`] waits until it answers.
    pub fn boot(&self) {
        let group = std::env::var("PACKFLEET_LAB_GROUP").expect("set by sweep.sh");
        let log = fs::File::options().create(true).append(true).open(self.directory().join("console.log"));
        let log = log.expect("a log");
        // A group of its own: two machines in one would share the groups of their services.
        let script = "group=/sys/fs/cgroup/$1/$2; mkdir -p \"$group\"; echo 0 >\"$group/cgroup.procs\"
            exec setsid systemd-nspawn --quiet -D \"$3\" --machine=\"$2\" --boot --register=no --keep-unit \
            --network-namespace-path=\"/run/netns/$2\" --link-journal=no --console=pipe";
        let container = Command::new("sh")
            .args(["-c", script, "sh", &group, &self.name])
            .arg(self.directory().join("root"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("a container");
        *self.container.lock().unwrap_or_else(PoisonError::into_inner) = Some(container);
    }

    /// Waits until its sshd greets.
    pub fn wait(&self) {
        let address: SocketAddr = format!("{}:22", self.address()).parse().expect("an address");
        let begun = Instant::now();
        loop {
            let greets =
                TcpStream::connect_timeout(&address, Duration::from_secs(1)).and_then(|mut stream| {
                    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                    let mut greeting = [0; 4];
                    stream.read_exact(&mut greeting)?;
                    stream.flush()?;
                    Ok(&greeting == b"SSH-")
                });
            if greets.is_ok_and(|greets| greets) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{} does not answer:\n{}", self.name, self.console());
            sleep(Duration::from_millis(50));
        }
    }

    /// What it said while it booted.
    pub fn console(&self) -> String {
        fs::read_to_string(self.directory().join("console.log")).unwrap_or_default()
    }

    /// Power off, without a warning: all its processes end at once.
    pub fn crash(&self) {
        let mut container = self.container.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut running) = container.take() else { return };
        let pid = running.id();
        let inside = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for leader in inside.split_whitespace().filter_map(|leader| Pid::from_raw(leader.parse().ok()?)) {
            // Its death is that of all processes in its namespace.
            let _ended_before = kill_process(leader, Signal::KILL);
        }
        let _ended_before = running.kill();
        let _status = running.wait();
        let begun = Instant::now();
        while inside.split_whitespace().any(|leader| Path::new("/proc").join(leader).exists()) {
            assert!(begun.elapsed() < PATIENCE, "{} does not die", self.name);
            sleep(Duration::from_millis(20));
        }
    }

    /// Whether it is switched on.
    pub fn is_running(&self) -> bool {
        self.container.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the cable out.
    pub fn cut(&self) {
        ip(&["link", "set", &self.cable(), "down"]);
    }

    /// Puts it back.
    pub fn heal(&self) {
        ip(&["link", "set", &self.cable(), "up"]);
    }

    /// From here on nothing reaches it faster than this.
    pub fn slow(&self, rate: &str) {
        let cable = self.cable();
        let limit = ["rate", rate, "burst", "64k", "latency", "1s"];
        done(Command::new("tc").args(["qdisc", "replace", "dev", &cable, "root", "tbf"]).args(limit));
    }

    /// As fast as it can again.
    pub fn fast(&self) {
        done(Command::new("tc").args(["qdisc", "del", "dev", &self.cable(), "root"]));
    }

    /// From here on what logs in runs under strace with these words, or without it again. A connection that is
    /// there already goes on as it was.
    pub fn hold_back(&self, strace: Option<&str>) {
        let key = fs::read_to_string("/mnt/key.pub").expect("the lab's key");
        let Some(words) = strace else { return self.put("/etc/ssh/keys", &key, 0o644) };
        let script = format!(
            "#!/bin/sh\nexec strace -f -qq -o /dev/null {words} /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n"
        );
        self.put("/etc/ssh/held-back", &script, 0o755);
        self.put("/etc/ssh/keys", &format!("command=\"/etc/ssh/held-back\" {key}"), 0o644);
    }

    /// How many agents run there: their processes are seen from here, too.
    pub fn agents(&self) -> usize {
        let here = format!("/{}/", self.name);
        let of = |directory: PathBuf| {
            let line = fs::read(directory.join("cmdline")).unwrap_or_default();
            let group = fs::read_to_string(directory.join("cgroup")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("/agents") && line.contains("\0agent\0") && group.contains(&here)
        };
        let processes = fs::read_dir("/proc").expect("processes").flatten();
        processes.filter(|process| of(process.path())).count()
    }

    /// Runs a command there over ssh, as a user.
    pub fn ssh(&self, user: &str, command: &str) -> Output {
        let to = format!("{user}@{}", self.name);
        Command::new("ssh").args([&to, command]).stdin(Stdio::null()).output().expect("ssh runs")
    }

    /// What a command of root prints there; it must succeed.
    pub fn says(&self, command: &str) -> String {
        let output = self.ssh("root", command);
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(
            output.status.success(),
            "{}: {command}: {text}\n{}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}

/// Runs `ip`.
fn ip(words: &[&str]) {
    done(Command::new("ip").args(words));
}

/// Runs a command that must succeed.
pub fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
