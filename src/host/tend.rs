//! Carrying out what one change calls for: stop, run, restart, look, watch.
//!
//! ```text
//! before the switch   where logs end, which units are up · stop those that stop first
//! after it            on_change ─► restarts ─► quick checks, each tried until it passes or its time is over
//! after the commit    units stay up, errors do not increase, for as long as each check says
//! ```
//! The first thing that fails ends it, with its evidence. All deadlines are monotonic; nothing that hangs
//! outlives its own. What is shown of it has its secrets masked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::beneath::Dir;
use super::command::{Offspring, Run, run};
use super::error_rate::{self, Rate};
use super::probe::{self, Complaint};
use super::state::{Ground, failed};
use super::units;
use super::{Evidence, HostError};
use crate::desired::problem::masked_source;
use crate::desired::secrets::{Rules, Text, spans};
use crate::model::care::{Check, Restart, Task, Tasks, Unit, Watched, seconds};
use crate::model::{PackName, TreePath};

/// A command of `on_change` or `restart` may take this long.
const COMMAND: Duration = Duration::from_secs(600);
/// Between two attempts at a quick check.
const AGAIN: Duration = Duration::from_millis(200);
/// An attempt has at least this long, however late it begins.
const LEAST: Duration = Duration::from_millis(500);
/// Between two looks at units.
const LOOK: Duration = Duration::from_secs(1);
/// Between two counts of errors.
const COUNT: Duration = Duration::from_secs(5);
/// So long may what is looked at be silent about itself.
const SILENCE: Duration = Duration::from_secs(20);
/// So many lines of evidence, each no longer than that.
const LINES: (usize, usize) = (5, 400);

/// What one change calls for, and how far that is.
pub struct Tend<'a> {
    ground: &'a Ground,
    tasks: Tasks,
    /// When it began.
    moment: Timestamp,
    /// Where logs ended then.
    pub marks: BTreeMap<TreePath, u64>,
    /// Logs of which that cannot be told, and why.
    unmarked: BTreeMap<TreePath, io::Error>,
    /// What was done and passed, in words.
    pub said: Vec<String>,
}

impl<'a> Tend<'a> {
    /// Notes what is before the change. `marks` are those of an earlier run.
    pub fn new(
        ground: &'a Ground,
        tasks: Tasks,
        moment: Timestamp,
        marks: Option<BTreeMap<TreePath, u64>>,
    ) -> Self {
        let log = |check: &Check| match check {
            Check::Errors { watched: Watched::Log(path), .. } => Some(path.clone()),
            _ => None,
        };
        let mut unmarked = BTreeMap::new();
        let marks = marks.unwrap_or_else(|| {
            let mut marks = BTreeMap::new();
            for path in tasks.checks.iter().filter_map(|(_, _, check)| log(check)) {
                match error_rate::mark(ground, &path) {
                    Ok(mark) => drop(marks.insert(path, mark)),
                    Err(error) => drop(unmarked.insert(path, error)),
                }
            }
            marks
        });
        Self { ground, tasks, moment, marks, unmarked, said: Vec::new() }
    }

    /// Whether it is known of every log where it ended before the change: otherwise what came of that could not be
    /// told afterwards.
    pub fn marked(&mut self) -> Result<(), HostError> {
        match self.unmarked.pop_first() {
            Some((path, error)) => Err(failed("look at the log", path.as_str())(error)),
            None => Ok(()),
        }
    }

    /// What it is about.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Units that are up.
    pub fn up(&self) -> BTreeSet<Unit> {
        let units = self.tasks.restarts.iter().filter_map(|restart| match restart {
            Restart::Unit(unit) => Some(unit),
            Restart::Command(_) => None,
        });
        let up = |unit: &&Unit| units::look(&self.ground.root, unit).is_ok_and(|state| state.is_up());
        units.filter(up).cloned().collect()
    }

    /// Stops what stops before the switch.
    pub fn stop(&mut self) -> Result<(), Evidence> {
        for unit in &self.tasks.stops {
            let stopped = units::stop(&self.ground.root, unit);
            stopped.map_err(|why| evidence(None, format!("stop {}", unit.name), (why, Vec::new())))?;
            self.said.push(format!("{} stopped", unit.name));
        }
        Ok(())
    }

    /// Runs, restarts, and looks: until all quick checks have passed.
    pub fn begin(&mut self) -> Result<(), Evidence> {
        let tasks = std::mem::take(&mut self.tasks);
        let done = tasks
            .on_change
            .iter()
            .try_for_each(|task| self.run("on_change", task, Offspring::Ends))
            .and_then(|()| tasks.restarts.iter().try_for_each(|restart| self.restart(restart)));
        self.tasks = tasks;
        done.and_then(|()| self.quick())
    }

    /// Restarts once more, and looks: what was run for the change was run then, but what it started is gone.
    pub fn again(&mut self) -> Result<(), Evidence> {
        let restarts = std::mem::take(&mut self.tasks.restarts);
        let done = restarts.iter().try_for_each(|restart| self.restart(restart));
        self.tasks.restarts = restarts;
        done.and_then(|()| self.quick())
    }

    fn run(&mut self, what: &str, task: &Task, offspring: Offspring) -> Result<(), Evidence> {
        let shown = task.run.join(" ");
        let complain = |complaint| evidence(None, format!("{what} {shown}"), complaint);
        let at = self.at(task.at.as_ref()).map_err(|why| complain((why, Vec::new())))?;
        let command = Run { words: &task.run, at: &at, environment: &[], limit: COMMAND, offspring };
        let ran =
            run(&command).map_err(|error| complain((format!("it cannot be run: {error}"), Vec::new())))?;
        if let Some(why) = ran.failure(0, COMMAND) {
            return Err(complain((why, ran.output.lines().map(str::to_owned).collect())));
        }
        self.said.push(format!("{} ran", harmless(&shown)));
        Ok(())
    }

    fn restart(&mut self, restart: &Restart) -> Result<(), Evidence> {
        let unit = match restart {
            Restart::Command(task) => return self.run("restart", task, Offspring::Stays),
            Restart::Unit(unit) => unit,
        };
        let root = &self.ground.root;
        units::restart(root, unit).map_err(|why| {
            let lines = units::last_lines(root, unit, self.moment, LINES.0);
            evidence(None, format!("restart {}", unit.name), (why, lines))
        })?;
        self.said.push(format!("{} restarted", unit.name));
        Ok(())
    }

    /// Tries every quick check until it passes, or its time is over.
    pub fn quick(&mut self) -> Result<(), Evidence> {
        let begun = Instant::now();
        for (pack, at, check) in &self.tasks.checks {
            let (Check::Http { within, .. } | Check::Command { within, .. }) = check else { continue };
            loop {
                let left = within.saturating_sub(begun.elapsed());
                let attempt = match self.at(at.as_ref()) {
                    Ok(at) => probe::attempt(check, &at, left.max(LEAST)),
                    Err(why) => Err((why, Vec::new())),
                };
                match attempt {
                    Ok(passed) => {
                        self.said.push(harmless(&passed));
                        break;
                    }
                    Err((why, lines)) if begun.elapsed() + AGAIN >= *within => {
                        let why = format!("{why} (within {})", seconds(*within));
                        return Err(evidence(Some(pack), check.to_string(), (why, lines)));
                    }
                    Err(_) => sleep(AGAIN),
                }
            }
        }
        Ok(())
    }

    /// Watches until every check's time is over.
    pub fn watch(&mut self) -> Result<(), Evidence> {
        let begun = Instant::now();
        let mut watchers = Vec::new();
        for (pack, _, check) in &self.tasks.checks {
            let complain = |why| evidence(Some(pack), check.to_string(), (why, Vec::new()));
            let watcher =
                |kind, until, every| Watcher { pack, check, kind, until, every, last: None, silent: None };
            if let Check::ActiveFor { unit, period } = check {
                watchers.push(watcher(Kind::Unit { unit, restarts: None }, *period, LOOK));
            }
            let mark = match check {
                Check::Errors { watched: Watched::Log(path), .. } => match self.unmarked.get(path) {
                    Some(why) => {
                        return Err(complain(format!("{path} could not be looked at before: {why}")));
                    }
                    None => self.marks.get(path).copied(),
                },
                _ => None,
            };
            if let Some(rate) = Rate::of(check, self.moment, mark.unwrap_or(0)) {
                let rate = rate.map_err(complain)?;
                let over = rate.over;
                watchers.push(watcher(Kind::Errors(rate), over, COUNT));
            }
        }
        let mut said = Vec::new();
        while !watchers.is_empty() {
            let mut left = Vec::new();
            for mut watcher in watchers {
                match watcher.look(self.ground, self.moment, begun.elapsed())? {
                    Some(passed) => said.push(harmless(&passed)),
                    None => left.push(watcher),
                }
            }
            watchers = left;
            let soonest = watchers.iter().map(|watcher| watcher.until.saturating_sub(begun.elapsed())).min();
            sleep(soonest.unwrap_or_default().clamp(Duration::from_millis(20), LOOK / 2));
        }
        self.said.extend(said);
        Ok(())
    }

    /// The directory in which commands run: reached through no link.
    fn at(&self, at: Option<&TreePath>) -> Result<Dir, String> {
        let path = at.map_or(".", TreePath::as_str);
        self.ground.root.dir(path).map_err(|error: io::Error| format!("{path} cannot be entered: {error}"))
    }
}

struct Watcher<'a> {
    pack: &'a PackName,
    check: &'a Check,
    kind: Kind<'a>,
    until: Duration,
    every: Duration,
    last: Option<Duration>,
    /// Since when it cannot be told how it is.
    silent: Option<Duration>,
}

enum Kind<'a> {
    /// `restarts` is what the first look found.
    Unit {
        unit: &'a Unit,
        restarts: Option<u64>,
    },
    Errors(Rate<'a>),
}

impl Watcher<'_> {
    /// Looks if it is time to; gives what passed once its time is over.
    fn look(
        &mut self,
        ground: &Ground,
        moment: Timestamp,
        elapsed: Duration,
    ) -> Result<Option<String>, Evidence> {
        let over = elapsed >= self.until;
        let waits = !over || self.silent.is_some();
        if waits && self.last.is_some_and(|last| elapsed < last + self.every) {
            return Ok(None);
        }
        self.last = Some(elapsed);
        let complain = |complaint| evidence(Some(self.pack), self.check.to_string(), complaint);
        let found = match &mut self.kind {
            Kind::Unit { unit, restarts } => match units::look(&ground.root, unit) {
                Ok(state) if state.is_up() || !units::is_going_down(&ground.root) => {
                    let again = state.restarts.saturating_sub(*restarts.get_or_insert(state.restarts));
                    if !state.is_up() || again > 0 {
                        let state = format!("{} ({})", state.active, state.sub);
                        let why = match again {
                            0 => format!("{} is {state} after {}", unit.name, seconds(elapsed)),
                            _ => {
                                format!("{} is {state}, {again} restarts in {}", unit.name, seconds(elapsed))
                            }
                        };
                        let lines = units::last_lines(&ground.root, unit, moment, LINES.0);
                        return Err(complain((why, lines)));
                    }
                    Ok(format!("active {}", seconds(self.until)))
                }
                Ok(_) => Err("the machine is going down".to_owned()),
                Err(why) => Err(why),
            },
            Kind::Errors(rate) => match rate.look(ground) {
                Ok(Err((why, errors))) => return Err(complain((why, errors.last))),
                Ok(Ok(count)) => Ok(format!("{count} errors in {}", seconds(self.until))),
                Err(why) => Err(why),
            },
        };
        match found {
            Ok(passed) => {
                self.silent = None;
                Ok(over.then_some(passed))
            }
            // A machine that is going down, or has just come up, says nothing about the change.
            Err(_) if elapsed < *self.silent.get_or_insert(elapsed) + SILENCE => Ok(None),
            Err(why) => Err(complain((why, Vec::new()))),
        }
    }
}

/// A text with stars in place of every secret in it; lines keep their numbers.
fn harmless(text: &str) -> String {
    static RULES: OnceLock<Option<Rules>> = OnceLock::new();
    // Without rules nothing can be known to be harmless.
    let Some(rules) = RULES.get_or_init(|| Rules::new(None).ok()) else { return "(not shown)".to_owned() };
    let (mut masked, mut at) = (Vec::new(), 0);
    for secret in spans(Text::Words, text.as_bytes(), rules) {
        masked.extend_from_slice(&text.as_bytes()[at..secret.start]);
        masked.extend_from_slice(b"***");
        masked.extend(text[secret.clone()].bytes().filter(|byte| *byte == b'\n'));
        at = secret.end;
    }
    masked.extend_from_slice(&text.as_bytes()[at..]);
    masked_source(&String::from_utf8_lossy(&masked))
}

/// What is shown of a failure: its last lines, short and without secrets.
pub fn evidence(pack: Option<&PackName>, what: String, complaint: Complaint) -> Evidence {
    let (why, lines) = complaint;
    let short = |text: &str| {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match text.char_indices().nth(LINES.1) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    // All at once: a secret may go over several lines, of which only the last are shown.
    let whole = lines.join("\n");
    // The beginning of a key may lie before what was kept.
    let from = match (whole.find("-----END "), whole.find("-----BEGIN ")) {
        (Some(end), begin) if begin.is_none_or(|begin| begin > end) => {
            end + whole[end..].find('\n').unwrap_or(whole.len() - end)
        }
        _ => 0,
    };
    let whole = harmless(&whole[from..]);
    let lines: Vec<&str> = whole.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(LINES.0)..].iter().map(|line| short(line)).collect();
    Evidence { pack: pack.cloned(), what: short(&harmless(&what)), why: short(&harmless(&why)), lines: last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_evidence_not_even_the_end_of_one() {
        let body: Vec<String> = (0..12)
            .map(|line| format!("{line:02}aGVsbG8gd29ybGQhIGhlbGxvIHdvcmxkISBoZWxsbyB3b3Js"))
            .collect();
        let key = |begin: &str, end: &str| {
            let lines = [vec![begin.to_owned()], body.clone(), vec![end.to_owned(), "it failed".to_owned()]];
            evidence(None, "check".into(), ("status 1".into(), lines.concat())).lines.join("\n")
        };
        let (begin, end) = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----");
        assert!(!key(begin, end).contains("aGVsbG8"));
        assert_eq!(key("(cut)", end), "it failed");
        let token = format!("TOKEN=ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
        assert!(!harmless(&format!("sh -c {token}")).contains("ghp_"));
        assert!(!harmless("echo password=hunter2hunter2; exit 1").contains("hunter2"));
    }
}
