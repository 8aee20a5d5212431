//! The test process itself: looks whether a lab is possible here, and starts it in namespaces of its own.
//!
//! This process goes on living outside and holds one end of a pipe: when it ends, however it ends, the kernel
//! closes the pipe and `sweep.sh` ends the lab. Installs nothing: what is missing is named by its Debian package.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// What the lab runs on: a file or program, and the package that has it.
const NEEDS: [(&str, &str); 11] = [
    ("unshare", "util-linux"),
    ("systemd-nspawn", "systemd-container"),
    ("systemctl", "systemd"),
    ("dbus-daemon", "dbus"),
    ("ip", "iproute2"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("git", "git"),
    ("perl", "perl"),
    ("sudo", "sudo"),
    ("strace", "strace"),
];

/// Why there can be no lab here.
fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it boots machines, which needs root: `sudo -E cargo test --test lab`".to_owned());
    }
    let mut missing: Vec<&str> =
        NEEDS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if !has_sessions() {
        missing.push("libpam-systemd");
    }
    if !missing.is_empty() {
        return Some(format!("these Debian packages are missing: {}", missing.join(" ")));
    }
    let tried = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "mount", "-t", "tmpfs", "lab", "/mnt"])
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "this machine makes no namespaces: {}",
            String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")
        )),
        Err(error) => Some(format!("unshare does not run: {error}")),
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let everywhere = path.split(':').chain(["/usr/sbin", "/sbin"]);
    everywhere.map(|directory| Path::new(directory).join(program)).any(|file| file.is_file())
}

/// Whether a user's own systemd can start: a module of PAM, below a directory named by the architecture.
fn has_sessions() -> bool {
    let libraries = ["/lib", "/usr/lib"].into_iter().filter_map(|top| std::fs::read_dir(top).ok());
    libraries.flatten().flatten().any(|entry| entry.path().join("security/pam_systemd.so").is_file())
}

/// Runs this very program again, inside.
pub fn run() -> ExitCode {
    if let Some(why) = impossible() {
        eprintln!("lab: SKIPPED, no scenario was run: {why}");
        let must = std::env::var("PACKFLEET_LAB").is_ok_and(|value| value == "must");
        return if must { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let prefix = std::env::var("PACKFLEET_LAB_PREFIX").unwrap_or_else(|_| "packfleet-lab".to_owned());
    let number = std::env::var("PACKFLEET_LAB").ok().filter(|value| value.parse::<u32>().is_ok());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/sweep.sh");
    let mut sweeper = Command::new(script)
        .envs(number.map(|number| ("PACKFLEET_LAB_HOSTS", number)))
        .env("PACKFLEET_LAB_SPACE", std::env::var("PACKFLEET_LAB_SPACE").unwrap_or_else(|_| "10g".into()))
        .arg(prefix)
        .arg(std::env::current_exe().expect("this program has a path"))
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::piped())
        .spawn()
        .expect("sweep.sh starts");
    let _held_until_the_end = sweeper.stdin.take();
    let status = sweeper.wait().expect("sweep.sh ends");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
