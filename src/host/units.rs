//! systemd units, through `systemctl` and `journalctl`: the same words for a unit of the system and of a user.
//!
//! Both are asked with a limit, like any command; what they answer is text and is taken for no more.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;

use super::beneath::Dir;
use super::command::{Offspring, Run, run};
use crate::model::care::{Manager, Unit};

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(10);
/// How long a start or stop may take: systemd's own limits for both, one after the other, and a little.
const CHANGE: Duration = Duration::from_secs(190);
/// How long counting in a journal may take.
const COUNTING: Duration = Duration::from_secs(60);
/// Of a line so much is looked at.
const LINE: u64 = 16 << 10;

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// `active`, `failed`, `activating`, …
    pub active: String,
    /// `running`, `auto-restart`, …
    pub sub: String,
    /// How often systemd started it again by itself since it was last started by hand.
    pub restarts: u64,
}

impl UnitState {
    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading")
    }
}

fn environment(unit: &Unit) -> Vec<(&'static str, String)> {
    match unit.manager {
        Manager::System => Vec::new(),
        Manager::User => {
            // A login by ssh under sudo, or from a timer, may lack it; it is always this.
            let user = rustix::process::geteuid().as_raw();
            vec![("XDG_RUNTIME_DIR", format!("/run/user/{user}"))]
        }
    }
}

fn words(program: &str, unit: &Unit, arguments: &[&str]) -> Vec<String> {
    let user = (unit.manager == Manager::User).then_some("--user");
    [program].into_iter().chain(user).chain(arguments.iter().copied()).map(str::to_owned).collect()
}

fn systemctl(root: &Dir, unit: &Unit, arguments: &[&str], limit: Duration) -> Result<String, String> {
    let words = words("systemctl", unit, &[arguments, &["--", &unit.name]].concat());
    let environment = environment(unit);
    let command =
        Run { words: &words, at: root, environment: &environment, limit, offspring: Offspring::Ends };
    let ran = run(&command).map_err(|error| format!("systemctl cannot be run: {error}"))?;
    match ran.failure(0, limit) {
        None => Ok(ran.output),
        Some(why) => {
            let said = ran.output.lines().next().unwrap_or_default().trim();
            Err(if said.is_empty() { format!("systemctl: {why}") } else { said.to_owned() })
        }
    }
}

/// Stops a unit and waits for it.
pub fn stop(root: &Dir, unit: &Unit) -> Result<(), String> {
    systemctl(root, unit, &["stop"], CHANGE).map(drop)
}

/// Restarts a unit, or starts it, and waits for it.
pub fn restart(root: &Dir, unit: &Unit) -> Result<(), String> {
    // Without this, one that failed often enough is not started again for a while.
    let _nothing_to_reset = systemctl(root, unit, &["reset-failed"], QUESTION);
    systemctl(root, unit, &["restart"], CHANGE).map(drop)
}

/// How a unit is.
pub fn look(root: &Dir, unit: &Unit) -> Result<UnitState, String> {
    let properties = ["show", "--property=ActiveState,SubState,NRestarts"];
    let shown = systemctl(root, unit, &properties, QUESTION)?;
    let value = |name: &str| {
        let of = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        shown.lines().find_map(of)
    };
    match (value("ActiveState"), value("SubState")) {
        (Some(active), Some(sub)) => {
            let restarts = value("NRestarts").and_then(|count| count.parse().ok()).unwrap_or(0);
            Ok(UnitState { active, sub, restarts })
        }
        _ => Err(format!("systemctl does not say how {} is", unit.name)),
    }
}

/// Whether the whole machine is being shut down, which stops units for no fault of theirs.
pub fn is_going_down(root: &Dir) -> bool {
    let words = ["systemctl", "show", "--property=SystemState"].map(str::to_owned);
    let limit = QUESTION;
    let command = Run { words: &words, at: root, environment: &[], limit, offspring: Offspring::Ends };
    // Where that cannot be told, the unit is what there is to go by.
    run(&command).is_ok_and(|ran| ran.output.contains("SystemState=stopping"))
}

/// The last lines of a unit's journal since a moment.
pub fn last_lines(root: &Dir, unit: &Unit, since: Timestamp, count: usize) -> Vec<String> {
    let (name, since) = (format!("--unit={}", unit.name), format!("--since={}", moment(since)));
    // Its own `--lines` are the first ones where it is told since when.
    let arguments = [&name, &since, "--no-pager", "--quiet", "--no-hostname"];
    let words = words("journalctl", unit, &arguments);
    let environment = environment(unit);
    let (limit, offspring) = (QUESTION, Offspring::Ends);
    let command = Run { words: &words, at: root, environment: &environment, limit, offspring };
    match run(&command) {
        Ok(ran) if ran.failure(0, limit).is_none() => {
            let (of_systemd, mut lines): (Vec<&str>, Vec<&str>) =
                ran.output.lines().partition(|line| line.contains(" systemd[1]: "));
            // What it said itself tells more than that it was started again.
            if lines.is_empty() {
                lines = of_systemd;
            }
            lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
        }
        // There is nothing more to tell, and that is no news.
        _ => Vec::new(),
    }
}

/// Tells every line of a unit's journal between two moments.
pub fn each_line(
    unit: &Unit,
    since: Timestamp,
    until: Option<Timestamp>,
    mut tell: impl FnMut(&str),
) -> Result<(), String> {
    let mut arguments = vec![format!("--unit={}", unit.name), format!("--since={}", moment(since))];
    arguments.extend(until.map(|until| format!("--until={}", moment(until))));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let words =
        words("journalctl", unit, &[&arguments, &["--no-pager", "--quiet", "--output=cat"][..]].concat());
    let failed = |error: std::io::Error| format!("journalctl cannot be run: {error}");
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .envs(environment(unit))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let Some(output) = child.stdout.take() else { return Err("journalctl has no output".into()) };
    let group = rustix::process::Pid::from_raw(child.id().cast_signed());
    let (done, ended) = mpsc::channel::<()>();
    // The one who waits here cannot read, so that the one who reads need not look at the clock.
    let watchdog = std::thread::spawn(move || {
        let late = ended.recv_timeout(COUNTING) == Err(mpsc::RecvTimeoutError::Timeout);
        if late && let Some(group) = group {
            let _gone_already = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        late
    });
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    let read = loop {
        line.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Ok(_) => tell(String::from_utf8_lossy(&line).trim_end_matches('\n')),
            Err(error) => break Err(failed(error)),
        }
    };
    drop(done);
    let late = watchdog.join().unwrap_or(true);
    let status = child.wait().map_err(failed)?;
    read?;
    match (late, status.success()) {
        (true, _) => Err("journalctl had not ended after 60s and was killed".into()),
        (false, false) => Err(format!("journalctl: {status}")),
        (false, true) => Ok(()),
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.6f UTC").to_string()
}
