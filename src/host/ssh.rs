//! Agents on other machines, through the system's own ssh: whatever the user's config says about a host (keys,
//! agents, jumps, names) holds here too, and a host key that is not known is refused unless that config says
//! otherwise.
//!
//! ```text
//! ssh … HOST 'sh -c "the agent of this digest is there? exec it : say what machine this is, take one, exec it"'
//! ```
//! An agent that is there and ends before it greets is taken for a broken one: it is sent anew, once. The host's shell
//! stays and passes its status on, so that 255 is always ssh's own: then it was the way there that ended.
//! So a host costs one connection and one command, with the agent there or without. Connections are shared and
//! outlive the run for a minute (ControlMaster), which OpenSSH does by itself: a process per channel is all that
//! is needed here, and the port stays synchronous. Nothing listens on the host, and no password is ever asked for.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::install::{Agents, Binary};
use super::pipe::{Pipe, ended};
use super::remote::{Dial, Dialled, last_line};
use super::wire::WireError;
use super::wire::frame::Frames;
use super::wire::hello::{FOUND, GREETING, MISSING};
use super::{HostError, Told};
use crate::model::ssh::{ANOTHER_KEY, Destination, OPTIONS, Privilege, is_another_key};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long the failure of a connection stands for the next attempt.
const STANDS: Duration = Duration::from_secs(5);
/// Bytes that a path of a socket may have, what ssh appends while it makes one taken off.
const LONGEST_SOCKET: usize = 90;
/// The status with which ssh says that it failed itself.
const SSH_FAILED: i32 = 255;

/// How all hosts are reached.
#[derive(Debug, Default)]
pub struct Settings {
    /// An ssh config instead of the user's.
    pub config: Option<PathBuf>,
    /// How connections are shared; `None`: they are not.
    pub shared: Option<Shared>,
    /// What is sent to hosts that have no agent.
    pub agents: Agents,
}

/// Connections that several processes and runs share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The directory for their sockets; made when needed, for this user alone.
    pub directory: PathBuf,
    /// Seconds that one stays open after its last use.
    pub seconds: u32,
}

/// How long a host may take, unless it is said otherwise.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// One machine, reached as one user.
pub struct Ssh {
    to: Destination,
    privilege: Privilege,
    settings: Arc<Settings>,
    patience: Duration,
    /// One dials at a time, so that the others find its connection; and how it failed last.
    turn: Mutex<Option<(Instant, Told)>>,
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh")
            .field("to", &self.to)
            .field("privilege", &self.privilege)
            .finish_non_exhaustive()
    }
}

impl Ssh {
    /// Nothing is started before it is dialled.
    /// `patience` is how long a look may take, and anything else without a sign of work.
    pub fn new(to: Destination, privilege: Privilege, settings: Arc<Settings>, patience: Duration) -> Self {
        Self { to, privilege, settings, patience, turn: Mutex::new(None) }
    }

    fn command(&self, remote: &str) -> Command {
        let mut command = Command::new("ssh");
        if let Some(config) = &self.settings.config {
            command.arg("-F").arg(config);
        }
        let seconds = CONNECT.min(self.patience).as_secs().max(1);
        command.arg("-T");
        command.arg("-o").arg(format!("ConnectTimeout={seconds}"));
        command.args(OPTIONS.iter().flat_map(|option| ["-o", option]));
        match self.socket() {
            Some((socket, seconds)) => {
                command.args(["-o", "ControlMaster=auto", "-o"]).arg(format!("ControlPersist={seconds}"));
                command.arg("-o").arg(format!("ControlPath={socket}"));
            }
            None => {
                command.args(["-o", "ControlMaster=no", "-o", "ControlPath=none"]);
            }
        }
        command.args(self.to.arguments()).arg(remote);
        command
    }

    /// Where a shared connection lies; `None` where there is no place for one.
    fn socket(&self) -> Option<(String, u32)> {
        let Shared { directory, seconds } = self.settings.shared.as_ref()?;
        let config = self.settings.config.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
        let by = blake3::hash(config.unwrap_or_default()).to_hex();
        let text = directory.to_str().filter(|text| !text.contains(['%', ' ', '"', '\'', '\\', '$']))?;
        // `%C` becomes forty digits for host, port, user and jump.
        if text.len() + 1 + 6 + 1 + 40 > LONGEST_SOCKET {
            return None;
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.ok().map(|()| (format!("{text}/{}-%C", &by[..6]), *seconds))
    }

    fn unreachable(&self, words: Vec<String>) -> HostError {
        HostError::Unreachable { host: self.to.to_string(), source: Told::new(words) }
    }

    fn refused(&self, why: String) -> HostError {
        HostError::Agent { host: self.to.to_string(), why }
    }

    fn try_dial(&self) -> Result<Dialled, HostError> {
        let agents = self.settings.agents.all().map_err(|why| self.refused(why))?;
        let digests: Vec<&str> = agents.iter().map(|agent| agent.digest.as_str()).collect();
        match self.start(agents, &digests) {
            Ok(dialled) => Ok(dialled),
            Err(Failure::Other(error)) => Err(error),
            // Whatever is wrong with the one that is there, one that is sent takes its place.
            Err(Failure::Broken) => self.start(agents, &[]).map_err(|failure| match failure {
                Failure::Other(error) => error,
                Failure::Broken => self.refused("it is there, and does not start".into()),
            }),
        }
    }

    /// Starts one of these agents if it is on the host, or else sends one.
    fn start(&self, agents: &[Binary], digests: &[&str]) -> Result<Dialled, Failure> {
        let Some(own) = agents.last() else {
            return Err(self.refused("there is none to send".into()).into());
        };
        let script = script(digests);
        let shell = format!("exec /bin/sh -c '{script}'");
        let remote = match self.privilege {
            Privilege::Login => shell,
            Privilege::Sudo => format!("exec sudo -n -H -- /bin/sh -c '{script}'"),
        };
        let mut pipe = Pipe::start(&mut self.command(&remote), self.patience)
            .map_err(|error| self.unreachable(vec![format!("cannot run ssh: {error}")]))?;
        pipe.within(Some(self.patience));
        let mut frames = Frames::default();
        match frames.skip_to(&[FOUND, MISSING], &mut pipe) {
            Ok(0) => match frames.skip_to(&[GREETING], &mut pipe) {
                Ok(_) => {}
                Err(WireError::Closed(_)) => return Err(self.ended_early(&mut pipe)),
                Err(error) => return Err(self.silent(&mut pipe, &error).into()),
            },
            Ok(_) => {
                let machine = frames.line(200, &mut pipe).map_err(|error| self.silent(&mut pipe, &error))?;
                let agent = self.choose(agents, &machine)?;
                pipe.within(None);
                let sent = send(agent, &mut pipe).and_then(|()| frames.skip_to(&[GREETING], &mut pipe));
                sent.map_err(|error| self.did_not_start(&mut pipe, &error))?;
            }
            Err(error) => return Err(self.silent(&mut pipe, &error).into()),
        }
        let builds = agents.iter().map(|agent| agent.digest.clone()).collect();
        Ok(Dialled { pipe, frames, builds, build: own.digest.clone() })
    }

    /// The agent for a machine that has none.
    fn choose<'a>(&self, agents: &'a [Binary], machine: &str) -> Result<&'a Binary, HostError> {
        let (system, kind) = machine.trim().split_once(' ').unwrap_or((machine, ""));
        let shown: String = machine.chars().filter(|c| !c.is_control()).take(60).collect();
        agents.iter().find(|agent| agent.runs_on(system, kind)).ok_or_else(|| {
            let built: Vec<&str> = agents.iter().map(Binary::machine).collect();
            self.refused(format!(
                "the host is a {shown} machine, and this packfleet was built for {}: give a build for that machine \
                 with --agent-binary FILE",
                built.join(", ")
            ))
        })
    }

    /// There was no greeting.
    fn silent(&self, pipe: &mut Pipe, error: &WireError) -> HostError {
        if let WireError::Io(error) = error
            && error.kind() == std::io::ErrorKind::TimedOut
        {
            return self.unreachable(vec![error.to_string()]);
        }
        if let WireError::Noise = error {
            return self
                .refused(format!("{error}: does a start-up file of its shell write to standard output?"));
        }
        let (status, said) = pipe.end();
        let last = last_line(&said);
        if said.contains("sudo:")
            && (said.contains("password is required") || said.contains("terminal is required"))
        {
            return self.refused(
                "sudo asks for a password there: allow this user to run /bin/sh without one (NOPASSWD in sudoers), \
                 or log in as the user who owns the files, without `sudo`"
                    .into(),
            );
        }
        match status.and_then(|status| status.code()) {
            Some(SSH_FAILED) | None if is_another_key(&said) => self.unreachable(vec![ANOTHER_KEY.into()]),
            Some(SSH_FAILED) | None => self.unreachable(vec![last.unwrap_or_else(|| error.to_string())]),
            Some(_) => {
                let how = status.map(ended).unwrap_or_default();
                self.refused(format!("it did not start: {}", last.unwrap_or(how)))
            }
        }
    }

    /// It is there, and did not greet.
    fn ended_early(&self, pipe: &mut Pipe) -> Failure {
        let (status, said) = pipe.end();
        self.lost(status, &said).map_or(Failure::Broken, Failure::Other)
    }

    /// The error of a way that ended before anything was asked; `None` if it did not.
    fn lost(&self, status: Option<ExitStatus>, said: &str) -> Option<HostError> {
        let is_lost = status.and_then(|status| status.code()) == Some(SSH_FAILED);
        let last =
            || last_line(said).unwrap_or_else(|| "the connection ended while the agent started".into());
        is_lost.then(|| self.unreachable(vec![last()]))
    }

    /// It was sent, and did not greet.
    fn did_not_start(&self, pipe: &mut Pipe, error: &WireError) -> HostError {
        if let WireError::Io(error) = error
            && error.kind() == std::io::ErrorKind::TimedOut
        {
            return self.unreachable(vec![error.to_string()]);
        }
        let (status, said) = pipe.end();
        if let Some(lost) = self.lost(status, &said) {
            return lost;
        }
        let why = last_line(&said).unwrap_or_else(|| match error {
            WireError::Io(error) => error.to_string(),
            error => error.to_string(),
        });
        let hint = if why.contains("GLIBC") || why.contains("not found") || why.contains("No such file") {
            ": build a portable one, as the README says"
        } else {
            ""
        };
        self.refused(format!("it was sent and did not start: {why}{hint}"))
    }
}

/// Why no agent came about.
enum Failure {
    /// One was there, and ended before it greeted.
    Broken,
    /// Anything else.
    Other(HostError),
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Other(error)
    }
}

impl Dial for Ssh {
    fn host(&self) -> String {
        self.to.to_string()
    }

    fn patience(&self) -> Duration {
        self.patience
    }

    fn dial(&self) -> Result<Dialled, HostError> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, said)) = turn.as_ref()
            && when.elapsed() < STANDS
        {
            return Err(HostError::Unreachable { host: self.to.to_string(), source: said.clone() });
        }
        let dialled = self.try_dial();
        *turn = match &dialled {
            Err(HostError::Unreachable { source, .. }) => Some((Instant::now(), source.clone())),
            _ => None,
        };
        dialled
    }
}

/// Sends an agent: its digest and size in a line, then its bytes.
fn send(agent: &Binary, pipe: &mut Pipe) -> Result<(), WireError> {
    let mut file = File::open(&agent.path)?;
    writeln!(pipe, "{} {}", agent.digest, agent.size)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => pipe.write_all(&buffer[..count])?,
        }
    }
}

/// What the host's shell does: POSIX, on one line and without single quotes, so that every login shell passes it on
/// as one word. Agents lie in the user's cache, or where there is none that can be used in a directory
/// below /var/tmp that must be the user's own. Neither directory nor agent may be a link: others may plant one in
/// /var/tmp, and what it leads to may be the user's own all the same.
fn script(digests: &[&str]) -> String {
    let digests = digests.join(" ");
    format!(
        "umask 077; \
         c=\"${{XDG_CACHE_HOME:-${{HOME:-/nonexistent}}/.cache}}/packfleet/agents\"; \
         v=\"/var/tmp/packfleet-agents-$(id -u)\"; \
         for d in \"$c\" \"$v\"; do for b in {digests}; do \
         if [ ! -L \"$d\" ] && [ -O \"$d\" ] && [ ! -L \"$d/$b\" ] && [ -f \"$d/$b\" ] && [ -O \"$d/$b\" ] \
         && [ -x \"$d/$b\" ]; then printf \"\\000packfleet-found\\n\"; \"$d/$b\" agent; exit $?; fi; done; done; \
         printf \"\\000packfleet-none %s %s\\n\" \"$(uname -s)\" \"$(uname -m)\"; \
         read -r b n || exit 3; \
         for d in \"$c\" \"$v\"; do \
         if mkdir -p \"$d\" 2>/dev/null && [ -O \"$d\" ] && [ ! -L \"$d\" ] && chmod 700 \"$d\" 2>/dev/null; then \
         t=\"$d/new.$$\"; \
         if head -c \"$n\" >\"$t\" && [ \"$(wc -c <\"$t\")\" -eq \"$n\" ] && chmod 700 \"$t\"; \
         then \"$t\" agent --install \"$b\"; exit $?; fi; rm -f \"$t\"; echo \"$d cannot hold an agent\" >&2; exit 4; fi; done; \
         echo \"neither $c nor $v can hold an agent\" >&2; exit 4"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;
    use std::process::Stdio;

    use super::*;

    const DIGEST: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

    /// Runs the script with its two directories below `base`, and tells what it prints when nobody answers.
    fn said(base: &Path) -> String {
        let script = script(&[DIGEST]).replace("/var/tmp", base.join("tmp").to_str().unwrap());
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(script).env("XDG_CACHE_HOME", base.join("cache")).stdin(Stdio::null());
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    }

    fn program(directory: &Path) {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(DIGEST);
        fs::write(&path, "#!/bin/sh\necho it ran as $1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// The two directories in which agents lie.
    fn places(base: &Path) -> [PathBuf; 2] {
        let user = Command::new("id").arg("-u").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        let spare = base.join(format!("tmp/packfleet-agents-{}", user.trim()));
        let all = [base.join("cache/packfleet/agents"), spare];
        all.iter().for_each(|place| fs::create_dir_all(place.parent().unwrap()).unwrap());
        all
    }

    #[test]
    fn an_agent_runs_from_either_place_but_never_through_a_link() {
        for which in 0..2 {
            let base = tempfile::tempdir().unwrap();
            program(&places(base.path())[which]);
            assert_eq!(said(base.path()), "\0packfleet-found\nit ran as agent\n", "{which}");

            let base = tempfile::tempdir().unwrap();
            let (place, elsewhere) = (&places(base.path())[which], base.path().join("elsewhere"));
            program(&elsewhere);
            symlink(&elsewhere, place).unwrap();
            assert!(said(base.path()).starts_with("\0packfleet-none "), "{which}: the directory is a link");

            let base = tempfile::tempdir().unwrap();
            let (place, elsewhere) = (&places(base.path())[which], base.path().join("elsewhere"));
            program(&elsewhere);
            fs::create_dir(place).unwrap();
            symlink(elsewhere.join(DIGEST), place.join(DIGEST)).unwrap();
            assert!(said(base.path()).starts_with("\0packfleet-none "), "{which}: the agent is a link");
        }
    }
}
