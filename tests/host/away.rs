//! Hosts that are away: behind an agent on a pipe, and behind sshd, which a test starts for itself.
//!
//! sshd runs as the far end of a `ProxyCommand`: no port, no daemon that could outlive the tests, keys of their own. It
//! lets the user in who runs the tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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

use crate::world::{InMemory, OnDisk, Place};

/// The program under test, under the name of its digest, so that it need not hash itself at every start.
pub fn program() -> &'static Binary {
    static PROGRAM: OnceLock<(Binary, tempfile::TempDir)> = OnceLock::new();
    let (binary, _) = PROGRAM.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
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

/// Keys and configuration of an sshd that lets this user in.
pub struct Sshd {
    pub directory: tempfile::TempDir,
}

impl Sshd {
    /// `None`, and the reason, where it cannot run. `extra` goes into its configuration.
    pub fn new(extra: &str) -> Result<Self, String> {
        let sshd = Path::new("/usr/sbin/sshd");
        if !sshd.exists() {
            return Err("there is no /usr/sbin/sshd".to_owned());
        }
        let user = Command::new("id").arg("-un").output().map_err(|error| error.to_string())?;
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        let privileges = Path::new("/run/sshd");
        if user == "root" && !privileges.exists() && fs::create_dir(privileges).is_err() {
            return Err("there is no /run/sshd".to_owned());
        }
        let directory = tempfile::Builder::new().prefix("pf").tempdir().map_err(|error| error.to_string())?;
        let at = |name: &str| directory.path().join(name);
        for key in ["host", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key))
                .status();
            if !made.is_ok_and(|status| status.success()) {
                return Err("there is no ssh-keygen".to_owned());
            }
        }
        fs::copy(at("key.pub"), at("authorized_keys")).expect("a copy");
        let host = fs::read_to_string(at("host.pub")).expect("a key");
        fs::write(at("known_hosts"), format!("place {host}")).expect("a file");
        let here = directory.path().display();
        let server = format!(
            "HostKey {here}/host\nAuthorizedKeysFile {here}/authorized_keys\nUsePAM no\nStrictModes no\n\
             PidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSetEnv XDG_CACHE_HOME={here}/cache\n{extra}\n"
        );
        fs::write(at("sshd_config"), server).expect("a file");
        let client = format!(
            "Host place\n  HostKeyAlias place\n  User {user}\n  IdentityFile {here}/key\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {here}/known_hosts\n  StrictHostKeyChecking yes\n  \
             ProxyCommand {} -i -f {here}/sshd_config -E {here}/log\n",
            sshd.display()
        );
        fs::write(at("ssh_config"), client).expect("a file");
        Ok(Self { directory })
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// How it is reached. Its first connection is shared with all others.
    pub fn settings(&self) -> Settings {
        Settings {
            config: Some(self.at("ssh_config")),
            shared: Some(Shared { directory: self.at("s"), seconds: 2 }),
            agents: Agents::new(vec![program().path.clone()]),
        }
    }

    pub fn dial(&self) -> Arc<dyn Dial> {
        let to = Destination::parse("place").expect("a destination");
        Arc::new(Ssh::new(to, Privilege::Login, Arc::new(self.settings()), Duration::from_secs(60)))
    }
}

/// One sshd and one way there for all tests of this process.
fn shared() -> Option<&'static Arc<dyn Dial>> {
    static SSHD: OnceLock<Option<(Sshd, Arc<dyn Dial>)>> = OnceLock::new();
    let made = SSHD.get_or_init(|| match Sshd::new("") {
        Ok(sshd) => {
            let dial = sshd.dial();
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
        let session = Arc::new(Session::new(sshd.dial(), bound(root.clone())));
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
