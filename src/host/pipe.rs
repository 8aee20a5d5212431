//! A process at the other end of three pipes, none of which may hold its reader up for ever.
//!
//! Reading and writing wait for any of the pipes, so a peer that writes to standard error without end, that
//! never reads, or that says nothing, costs bounded memory and bounded time. Dropping it closes the pipes and ends
//! the process. The process is in a group of its own: an interrupt from the terminal is not for it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// Bytes of standard error that are kept: its end.
const KEPT: usize = 8 << 10;
/// Bytes of standard error after which a peer is taken to be broken.
const MOST_TALK: u64 = 1 << 20;
/// How long the end of a process is waited for once its pipes are closed.
const ENDING: Duration = Duration::from_secs(2);

/// A process and its pipes.
#[derive(Debug)]
pub struct Pipe {
    child: Child,
    input: Option<OwnedFd>,
    output: OwnedFd,
    errors: Option<OwnedFd>,
    /// The end of what it said on standard error.
    said: Vec<u8>,
    talked: u64,
    /// How long it may be silent, or not read.
    patience: Duration,
    /// When it must have done what is asked now, if there is such a time.
    until: Option<Instant>,
    /// Bytes that went out and came in.
    pub traffic: Traffic,
}

/// Bytes over a pipe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the peer.
    pub sent: u64,
    /// From it.
    pub received: u64,
}

impl Pipe {
    /// Starts a command with its three standard streams on pipes.
    pub fn start(command: &mut Command, patience: Duration) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let gone = || io::Error::other("a pipe is missing");
        let input: OwnedFd = child.stdin.take().ok_or_else(gone)?.into();
        let output: OwnedFd = child.stdout.take().ok_or_else(gone)?.into();
        let errors: OwnedFd = child.stderr.take().ok_or_else(gone)?.into();
        for end in [&input, &output, &errors] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        Ok(Self {
            child,
            input: Some(input),
            output,
            errors: Some(errors),
            said: Vec::new(),
            talked: 0,
            patience,
            until: None,
            traffic: Traffic::default(),
        })
    }

    /// From now on all reads and writes together may take this long; `None`: each may take the patience.
    pub fn within(&mut self, limit: Option<Duration>) {
        self.until = limit.map(|limit| Instant::now() + limit);
    }

    /// How long it may be silent.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether there is something to read already, the end included.
    pub fn is_readable(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Closes its input, waits for its end, and tells how it ended with what it said last; `None` if it had to be
    /// killed.
    pub fn end(&mut self) -> (Option<ExitStatus>, String) {
        self.input = None;
        let until = Instant::now() + ENDING;
        let mut status = None;
        while Instant::now() < until {
            let _ = self.listen();
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                Ok(ended) => {
                    status = ended;
                    break;
                }
                Err(_) => break,
            }
        }
        let _ = self.listen();
        (status, self.said())
    }

    /// The end of what it said on standard error.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).into_owned()
    }

    /// Takes in what is there of standard error.
    fn listen(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Some(errors) = &self.errors {
            match rustix::io::read(errors, &mut buffer) {
                Ok(0) => self.errors = None,
                Ok(count) => {
                    self.talked += count as u64;
                    self.said.extend_from_slice(&buffer[..count]);
                    let over = self.said.len().saturating_sub(KEPT);
                    self.said.drain(..over);
                    if self.talked > MOST_TALK {
                        return Err(io::Error::other("it does not stop writing to standard error"));
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the pipe is ready for this, and listens meanwhile.
    fn wait(&mut self, way: Way, since: Instant) -> io::Result<()> {
        loop {
            let now = Instant::now();
            let limit = since + self.patience;
            let limit = self.until.map_or(limit, |until| until.min(limit));
            let Some(left) = limit.checked_duration_since(now).filter(|left| !left.is_zero()) else {
                let seconds = now.duration_since(since).as_secs();
                let what = match way {
                    Way::In => format!("no answer for {seconds} s"),
                    Way::Out => format!("it has read nothing for {seconds} s"),
                };
                return Err(io::Error::new(ErrorKind::TimedOut, what));
            };
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
            let (fd, flags): (BorrowedFd<'_>, _) = match (way, &self.input) {
                (Way::In, _) => (self.output.as_fd(), PollFlags::IN),
                (Way::Out, Some(input)) => (input.as_fd(), PollFlags::OUT),
                (Way::Out, None) => return Err(ErrorKind::BrokenPipe.into()),
            };
            let ready = {
                let mut fds = vec![PollFd::from_borrowed_fd(fd, flags)];
                fds.extend(self.errors.as_ref().map(|errors| PollFd::new(errors, PollFlags::IN)));
                match poll(&mut fds, Some(&left)) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
                !fds[0].revents().is_empty()
            };
            self.listen()?;
            if ready {
                return Ok(());
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            match rustix::io::read(&self.output, &mut *into) {
                Ok(count) => {
                    self.traffic.received += count as u64;
                    return Ok(count);
                }
                Err(Errno::AGAIN) => self.wait(Way::In, since)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let since = Instant::now();
        loop {
            let input = self.input.as_ref().ok_or(ErrorKind::BrokenPipe)?;
            match rustix::io::write(input, bytes) {
                Ok(count) => {
                    self.traffic.sent += count as u64;
                    return Ok(count);
                }
                Err(Errno::AGAIN) => self.wait(Way::Out, since)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.input = None;
        // What the peer has begun it ends without us; what is killed here is the way to it.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// How a process ended, in words.
pub fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with status {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}
