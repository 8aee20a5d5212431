//! Repositories over ssh, through the system's own ssh: the user's config, keys and known hosts count, as they do
//! for `git` itself. libgit2 speaks git's protocol; here is only the way to `git-upload-pack` and
//! `git-receive-pack` on the other machine.
//!
//! A host key that is not known is refused, and no password is asked for. A server that falls silent is given up after
//! as long as one over https.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::origin::percent_decoded;
use crate::model::ssh::{ANOTHER_KEY, Destination, OPTIONS, is_another_key, quoted};

/// Seconds that a server may be silent.
const SILENCE: i64 = 60;
/// Bytes that are kept of what ssh says.
const KEPT: usize = 4 << 10;

/// An ssh config instead of the user's.
static CONFIG: OnceLock<PathBuf> = OnceLock::new();

/// Takes this ssh config for all repositories of this process. libgit2 knows one way to ssh per process, so the
/// first word counts.
pub fn use_config(path: PathBuf) {
    // Set by the one who starts the process, once.
    let _first = CONFIG.set(path);
}

/// Opens streams to repositories.
#[derive(Debug)]
pub(super) struct Ssh;

impl SmartSubtransport for Ssh {
    fn action(&self, url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, git2::Error> {
        let program = match service {
            Service::UploadPackLs | Service::UploadPack => "git-upload-pack",
            Service::ReceivePackLs | Service::ReceivePack => "git-receive-pack",
        };
        let (to, path) = split(url).map_err(|why| git2::Error::from_str(&why))?;
        let stream = Stream::start(&to, &format!("{program} {}", quoted(&path)));
        let stream = stream.map_err(|error| git2::Error::from_str(&format!("cannot run ssh: {error}")))?;
        Ok(Box::new(stream))
    }

    fn close(&self) -> Result<(), git2::Error> {
        // A stream ends when it is dropped.
        Ok(())
    }
}

/// `ssh://user@host:port/path`, or `user@host:path` as scp writes it.
fn split(url: &str) -> Result<(Destination, String), String> {
    let (place, path) = match url.split_once("://") {
        Some((_, rest)) => {
            let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = percent_decoded(path);
            // `/~user/…` lies in a home directory.
            (place, path.strip_prefix("/~").map(|home| format!("~{home}")).unwrap_or(path))
        }
        None => {
            let after = url.find(']').filter(|_| url.contains('[')).unwrap_or(0);
            let colon = url[after..].find(':').map(|at| after + at);
            let (place, path) = colon.map_or((url, ""), |at| (&url[..at], &url[at + 1..]));
            (place, path.to_owned())
        }
    };
    if path.is_empty() || path.starts_with('-') {
        return Err("the URL has no path of a repository".to_owned());
    }
    let to = Destination::parse(place).map_err(|error| error.to_string())?;
    Ok((to, path))
}

/// A conversation with a program on another machine.
struct Stream {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    said: Receiver<String>,
}

impl Stream {
    fn start(to: &Destination, remote: &str) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        if let Some(config) = CONFIG.get() {
            command.arg("-F").arg(config);
        }
        command.arg("-T");
        command.args(["-o", "ConnectTimeout=20", "-o", "ControlMaster=no"]);
        command.args(OPTIONS.iter().flat_map(|option| ["-o", option]));
        command.args(to.arguments()).arg(remote);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let gone = || io::Error::other("a pipe is missing");
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or_else(gone)?;
        let mut errors = child.stderr.take().ok_or_else(gone)?;
        let (tell, said) = mpsc::channel();
        // Somebody must listen, or a talkative server would block.
        thread::Builder::new().name("ssh says".into()).spawn(move || {
            let mut kept = Vec::new();
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = errors.read(&mut buffer) {
                kept.extend_from_slice(&buffer[..count]);
                kept.drain(..kept.len().saturating_sub(KEPT));
            }
            let _unheard = tell.send(String::from_utf8_lossy(&kept).into_owned());
        })?;
        Ok(Self { child, input, output, said })
    }

    /// Why it ended before it said all.
    fn cause(&mut self) -> Option<io::Error> {
        self.input = None;
        let said = self.said.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let status = self.child.try_wait().ok().flatten();
        if status.is_some_and(|status| status.success()) {
            return None;
        }
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Some(io::Error::other(match last {
            Some(_) if is_another_key(&said) => format!("ssh: {ANOTHER_KEY}"),
            Some(last) => format!("ssh: {last}"),
            None => "ssh: the connection was closed".to_owned(),
        }))
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
            match poll(&mut fds, Some(&Timespec { tv_sec: SILENCE, tv_nsec: 0 })) {
                Ok(0) => return Err(io::Error::other(format!("the server was silent for {SILENCE} s"))),
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.output.read(into)? {
            0 if !into.is_empty() => self.cause().map_or(Ok(0), Err),
            count => Ok(count),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        match input.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.cause().unwrap_or(error)),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.input = None;
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        for (url, to, path) in [
            ("ssh://git@example.org/x.git", "git@example.org", "/x.git"),
            ("ssh://git@example.org:2222/a%20b", "git@example.org:2222", "/a b"),
            ("ssh://[::1]:22/x", "[::1]:22", "/x"),
            ("ssh://h/~bob/x", "h", "~bob/x"),
            ("git+ssh://h/x", "h", "/x"),
            ("git@example.org:team/x.git", "git@example.org", "team/x.git"),
            ("[::1]:x", "[::1]", "x"),
        ] {
            let (found, at) = split(url).unwrap();
            assert_eq!((found, at.as_str()), (Destination::parse(to).unwrap(), path));
        }
        for url in ["ssh://h", "h:", "h:-x", "ssh://-oProxyCommand=x/y", "-oProxyCommand=x:y", "h"] {
            assert!(split(url).is_err(), "{url}");
        }
    }
}
