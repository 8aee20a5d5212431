//! Hosts that are away: behind an agent on a pipe, and behind an sshd of the tests' own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use packfleet::host::install::{Agents, Binary};
use packfleet::host::pipe::Pipe;
use packfleet::host::remote::{Dial, Dialled, RemoteHost, Session};
use packfleet::host::ssh::{Settings, Shared, Ssh};
use packfleet::host::wire::frame::Frames;
use packfleet::host::wire::hello::{Bound, GREETING};
use packfleet::host::{Host, HostError};
use packfleet::model::HostPath;
use packfleet::model::ssh::{Destination, Privilege};

use crate::sshd::{Sshd, gone_with_this_process};
use crate::world::{InMemory, OnDisk, Place};

/// The program under test, under the name of its digest, so that it need not hash itself at every start.
pub fn program() -> &'static Binary {
    static PROGRAM: OnceLock<(Binary, tempfile::TempDir)> = OnceLock::new();
    let (binary, _) = PROGRAM.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        gone_with_this_process(directory.path());
        let mut program = Binary::read(Path::new(env!("CARGO_BIN_EXE_packfleet"))).expect("the program");
        let path = directory.path().join(&program.digest);
        fs::copy(&program.path, &path).expect("a copy");
        program.path = path;
        (program, directory)
    });
    binary
}

pub fn bound(root: HostPath) -> Bound {
    let (fleet, deployment) = ("fleet".parse().expect("a name"), "home".parse().expect("a name"));
    Bound { fleet, deployment, root }
}

/// An agent as a child process.
#[derive(Debug)]
pub struct Child;

impl Dial for Child {
    fn host(&self) -> String {
        "child".to_owned()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn dial(&self) -> Result<Dialled, HostError> {
        let mut command = Command::new(&program().path);
        let mut pipe = Pipe::start(command.arg("agent"), self.patience()).expect("an agent");
        let mut frames = Frames::default();
        frames.skip_to(&[GREETING], &mut pipe).expect("a greeting");
        let build = program().digest.clone();
        Ok(Dialled { pipe, frames, builds: vec![build.clone()], build })
    }
}

pub fn agent(root: HostPath) -> Box<dyn Host> {
    Box::new(RemoteHost::over(Arc::new(Session::new(Arc::new(Child), bound(root)))))
}

/// How an sshd is reached. Its first connection is shared with all others.
fn settings(sshd: &Sshd) -> Settings {
    Settings {
        config: Some(sshd.at("ssh_config")),
        shared: Some(Shared { directory: sshd.at("s"), seconds: 2 }),
        agents: Agents::new(vec![program().path.clone()]),
    }
}

fn dial(sshd: &Sshd) -> Arc<dyn Dial> {
    let to = Destination::parse("place").expect("a destination");
    Arc::new(Ssh::new(to, Privilege::Login, Arc::new(settings(sshd)), Duration::from_secs(60)))
}

/// One sshd and one way there for all tests of this process.
fn shared() -> Option<&'static Arc<dyn Dial>> {
    static SSHD: OnceLock<Option<(Sshd, Arc<dyn Dial>)>> = OnceLock::new();
    let made = SSHD.get_or_init(|| match Sshd::new("") {
        Ok(sshd) => {
            let dial = dial(&sshd);
            Some((sshd, dial))
        }
        Err(why) => {
            eprintln!("SKIPPED: nothing is tried over ssh: {why}");
            None
        }
    });
    made.as_ref().map(|(_, dial)| dial)
}

pub fn has_ssh() -> bool {
    shared().is_some()
}

pub fn over_ssh(root: HostPath) -> Box<dyn Host> {
    let dial = Arc::clone(shared().expect("asked before"));
    Box::new(RemoteHost::over(Arc::new(Session::new(dial, bound(root)))))
}

/// One place of each kind: on this disk, in memory, behind an agent on a pipe, and behind one over ssh.
pub fn places() -> Vec<(&'static str, Box<dyn Place>)> {
    let mut places: Vec<(&'static str, Box<dyn Place>)> = vec![
        ("disk", Box::new(OnDisk::new())),
        ("memory", Box::new(InMemory::new())),
        ("agent", Box::new(OnDisk::behind(agent))),
    ];
    if has_ssh() {
        places.push(("ssh", Box::new(OnDisk::behind(over_ssh))));
    }
    places
}

#[test]
fn an_agent_is_sent_once_and_found_again() {
    let sshd = match Sshd::new("") {
        Ok(sshd) => sshd,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let root = HostPath::new(sshd.at("root").to_str().expect("UTF-8")).expect("a root");
    for round in 0..2 {
        let session = Arc::new(Session::new(dial(&sshd), bound(root.clone())));
        let host = RemoteHost::over(Arc::clone(&session));
        assert!(host.history().expect("an answer").is_empty(), "{round}");
        assert_eq!(session.spent().channels, 1, "{round}");
    }
    let agents = sshd.at("cache/packfleet/agents");
    let names: Vec<_> =
        fs::read_dir(&agents).expect("agents").map(|entry| entry.expect("one").file_name()).collect();
    assert_eq!(names, [program().digest.as_str()]);
    assert_eq!(fs::metadata(&agents).expect("agents").permissions().mode() & 0o777, 0o700);
    let mode = fs::metadata(agents.join(&program().digest)).expect("the agent").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_broken_agent_is_replaced_by_one_that_is_sent() {
    let sshd = match Sshd::new("") {
        Ok(sshd) => sshd,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let root = HostPath::new(sshd.at("root").to_str().expect("UTF-8")).expect("a root");
    let agents = sshd.at("cache/packfleet/agents");
    let agent = agents.join(&program().digest);
    let good = fs::read(&program().path).expect("the program");
    let mut flipped = good.clone();
    // Section headers, which nobody reads who runs it.
    *flipped.last_mut().expect("bytes") ^= 1;
    let mut crashing = good[..good.len() / 2].to_vec();
    crashing.resize(good.len(), 0);
    let broken: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("cut off", &good[..good.len() / 2]),
        ("cut off early", &good[..5000]),
        ("half of it zeros", &crashing),
        ("one bit flipped", &flipped),
        ("ended by a signal", b"#!/bin/sh\nkill -SEGV $$\n"),
    ];
    let dialled = || {
        let host = RemoteHost::over(Arc::new(Session::new(dial(&sshd), bound(root.clone()))));
        host.history().map(|_| fs::metadata(&agent).expect("the agent").ino())
    };
    fs::create_dir_all(&agents).expect("a directory");
    for (name, bytes) in broken {
        // Not the file that may still run.
        let _gone = fs::remove_file(&agent);
        fs::write(&agent, bytes).expect("an agent");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o700)).expect("a mode");
        let sent = dialled().unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(fs::read(&agent).expect("the agent") == good, "{name}");
        // Found again: nothing is sent once more.
        assert_eq!(dialled().expect(name), sent, "{name}");
    }
}

/// What cannot be tidied up is no reason to have no agent.
#[test]
fn an_agent_is_installed_where_old_ones_cannot_be_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new.1");
    let installed = directory.path().join(&program().digest);
    for fault in [None, Some("getdents64:error=EIO"), Some("unlink:error=EPERM")] {
        let old: Vec<_> = (0..6).map(|number| directory.path().join(number.to_string().repeat(64))).collect();
        old.iter().for_each(|old| fs::write(old, "an old agent").expect("a file"));
        let _none_before = fs::remove_file(&installed);
        fs::copy(&program().path, &path).expect("a copy");
        let mut command = match fault {
            None => Command::new(&path),
            Some(fault) => {
                let mut strace = Command::new("strace");
                let call = fault.split(':').next().expect("a call");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
                strace.args(["-e", &format!("inject={fault}")]).arg(&path);
                strace
            }
        };
        let output =
            match command.args(["agent", "--install", &program().digest]).stdin(Stdio::null()).output() {
                Err(_) if fault.is_some() => return eprintln!("SKIPPED: strace is not there"),
                output => output.expect("it runs"),
            };
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("ptrace") {
            return eprintln!("SKIPPED: strace may not trace");
        }
        assert!(output.stdout.starts_with(GREETING), "{fault:?}: {said}");
        assert!(installed.exists() && !path.exists(), "{fault:?}");
        let left = old.iter().filter(|old| old.exists()).count();
        assert_eq!(left, if fault.is_some() { 6 } else { 3 }, "{fault:?}");
        assert_eq!(said.contains("old agents cannot be removed"), fault.is_some(), "{fault:?}: {said}");
    }
}

/// The way to a host may end at any moment: that is no fault of the agent's, and nothing to be sent again.
#[test]
fn a_link_that_is_lost_while_the_agent_starts_is_told_as_that() {
    let sshd = match Sshd::new("") {
        Ok(sshd) => sshd,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let root = HostPath::new(sshd.at("root").to_str().expect("UTF-8")).expect("a root");
    let agent = sshd.at("cache/packfleet/agents").join(&program().digest);
    let asked = |shared: bool| {
        let mut settings = settings(&sshd);
        settings.shared = settings.shared.filter(|_| shared);
        let to = Destination::parse("place").expect("a destination");
        let dial = Ssh::new(to, Privilege::Login, Arc::new(settings), Duration::from_secs(60));
        RemoteHost::over(Arc::new(Session::new(Arc::new(dial), bound(root.clone())))).history()
    };
    // What is there takes its sshd along: the parent of the shell that started it.
    let ends = "#!/bin/sh\nkill -9 $(ps -o ppid= $PPID)\nsleep 60\n";
    fs::create_dir_all(agent.parent().expect("a parent")).expect("a directory");
    fs::write(&agent, ends).expect("an agent");
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o700)).expect("a mode");
    for shared in [false, true] {
        let error = asked(shared).expect_err("lost");
        assert!(matches!(error, HostError::Unreachable { .. }), "{shared}: {error:?}");
        assert_eq!(fs::read_to_string(&agent).expect("it is there"), ends, "{shared}");
    }
    // None is there, and the link ends while one is sent.
    fs::remove_file(&agent).expect("removed");
    let config = fs::read_to_string(sshd.at("ssh_config")).expect("a configuration");
    let cut = config.replace("ProxyCommand ", "ProxyCommand head -c 3000000 | ");
    fs::write(sshd.at("ssh_config"), cut).expect("a configuration");
    for shared in [false, true] {
        let error = asked(shared).expect_err("lost");
        assert!(matches!(error, HostError::Unreachable { .. }), "{shared}: {error:?}");
        assert!(!agent.exists(), "{shared}");
    }
}
