//! One command of the fleet file, run with bounds: in time, in what it prints, in what it leaves behind.
//!
//! It gets no input. What it prints goes to memory, and the end of that is kept. It has a process group of its
//! own, so that it is ended together with what it started, and all are ended with a process that ends in a hurry; what
//! they came to then nobody learns. Deliberately absent: a shell.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::process::{Pid, Signal, kill_process_group};

use super::beneath::Dir;

/// Of what a command prints so much is kept, from its end.
const KEPT: u64 = 16 * 1024;
/// A command that prints more is ended.
const MOST_OUTPUT: u64 = 64 * 1024 * 1024;

/// The process groups of commands that run.
static RUNNING: Mutex<Running> = Mutex::new(Running { groups: BTreeSet::new(), over: false });

struct Running {
    groups: BTreeSet<u32>,
    /// The process ends: nothing is begun, and nobody learns how something ended.
    over: bool,
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends all commands that run, with what they started, for good: this process is about to end, and whoever waits for
/// one waits until then, so that nobody takes its end for its answer.
pub fn end_commands() {
    let mut running = running();
    running.over = true;
    running.groups.iter().for_each(|group| kill(*group));
}

/// Waits for the end of the process.
fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

/// What becomes of processes that a command started, once it has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offspring {
    /// They end with it.
    Ends,
    /// They stay: it may have started a service.
    Stays,
}

/// A command to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Program and arguments.
    pub words: &'a [String],
    /// The directory in which it runs.
    pub at: &'a Dir,
    /// Added to the environment.
    pub environment: &'a [(&'a str, String)],
    /// If it runs longer, it is ended with all that it started.
    pub limit: Duration,
    /// What it started.
    pub offspring: Offspring,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    With(ExitStatus),
    /// It was ended because it ran longer than its limit.
    TooLong,
    /// It was ended because it printed more than it may.
    TooMuch,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// How.
    pub ended: Ended,
    /// The end of what it printed.
    pub output: String,
}

impl Ran {
    /// Why it did not end with `expect`; `None` if it did.
    pub fn failure(&self, expect: i32, limit: Duration) -> Option<String> {
        match &self.ended {
            Ended::With(status) if status.code() == Some(expect) => None,
            Ended::With(status) if expect == 0 => Some(status.to_string()),
            Ended::With(status) => Some(format!("{status}, not {expect}")),
            Ended::TooLong => {
                let limit = crate::model::care::seconds(limit);
                Some(format!("it had not ended after {limit} and was killed"))
            }
            Ended::TooMuch => Some("it printed too much and was killed".to_owned()),
        }
    }
}

/// Runs a command to its end.
pub fn run(run: &Run<'_>) -> io::Result<Ran> {
    let Some((program, arguments)) = run.words.split_first() else {
        return Err(io::Error::other("the command is empty"));
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let output = File::from(memfd_create("output", flags)?);
    let at = run.at.readable()?;
    if running().over {
        stay();
    }
    // A program that lies on a file system which does not answer may take for ever: nobody else waits for that.
    let mut child = Command::new(program)
        .args(arguments)
        .envs(run.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(format!("/proc/self/fd/{}", at.as_raw_fd()))
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn()?;
    let mut among = running();
    if among.over {
        drop(among);
        kill(child.id());
        stay();
    }
    among.groups.insert(child.id());
    drop(among);
    let ended = wait(&mut child, &output, run.limit);
    let mut among = running();
    among.groups.remove(&child.id());
    if among.over {
        drop(among);
        stay();
    }
    drop(among);
    let by_itself = matches!(ended, Ok(Ended::With(_)));
    if !by_itself || run.offspring == Offspring::Ends {
        kill(child.id());
    }
    if !by_itself {
        child.wait()?;
    }
    // What stays behind can print no more: nobody would ever take it away.
    let _only_bounds_it = fcntl_add_seals(&output, SealFlags::GROW);
    Ok(Ran { ended: ended?, output: tail(output)? })
}

fn wait(child: &mut Child, output: &File, limit: Duration) -> io::Result<Ended> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::With(status));
        }
        if begun.elapsed() > limit {
            return Ok(Ended::TooLong);
        }
        if output.metadata()?.len() > MOST_OUTPUT {
            return Ok(Ended::TooMuch);
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// What it started goes with it, whichever way it ended.
fn kill(group: u32) {
    if let Some(group) = Pid::from_raw(group.cast_signed()) {
        let _gone_already = kill_process_group(group, Signal::KILL);
    }
}

fn tail(mut output: File) -> io::Result<String> {
    let length = output.metadata()?.len();
    output.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    output.take(KEPT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // Half a line may be half a secret, in which nothing tells it.
    Ok(match length > KEPT {
        true => text.split_once('\n').map_or("(a line too long to show)", |(_, whole)| whole).to_owned(),
        false => text.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration, offspring: Offspring) -> (tempfile::TempDir, Ran) {
        let tree = tempfile::tempdir().unwrap();
        let at = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let words = ["sh", "-c", script].map(str::to_owned);
        let command = Run { words: &words, at: &at, environment: &[], limit, offspring };
        let ran = run(&command).unwrap();
        (tree, ran)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn it_runs_in_its_directory_and_its_output_and_status_are_told() {
        let (tree, ran) = shell("pwd; echo oops >&2; exit 3", LONG, Offspring::Ends);
        let printed = format!("{}\noops\n", tree.path().canonicalize().unwrap().display());
        assert_eq!(ran.output, printed);
        assert_eq!(ran.failure(0, LONG).unwrap(), "exit status: 3");
        assert_eq!(ran.failure(3, LONG), None);
    }

    #[test]
    fn one_that_hangs_is_killed_with_its_children() {
        let limit = Duration::from_millis(300);
        let (tree, ran) = shell("(sleep 1; touch late) & sleep 600", limit, Offspring::Stays);
        assert_eq!(ran.failure(0, limit).unwrap(), "it had not ended after 300ms and was killed");
        sleep(Duration::from_millis(1200));
        assert!(!tree.path().join("late").exists());
    }

    #[test]
    fn what_it_started_stays_only_where_it_may() {
        for (offspring, stays) in [(Offspring::Ends, false), (Offspring::Stays, true)] {
            let script = "sleep 0.2 && touch stayed & exit 0";
            let (tree, ran) = shell(script, LONG, offspring);
            assert_eq!(ran.failure(0, LONG), None);
            let file = tree.path().join("stayed");
            let until = Instant::now() + if stays { LONG } else { Duration::from_millis(600) };
            while !file.exists() && Instant::now() < until {
                sleep(Duration::from_millis(10));
            }
            assert_eq!(file.exists(), stays, "{offspring:?}");
        }
    }
}
