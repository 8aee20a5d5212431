//! Errors before a change and after it, in a journal or a log.
//!
//! A journal has times: as long a window before the change is compared with the one after it. A log has no
//! clock that could be trusted: as many lines before the change are compared with those that came after it.
//! Only so much of a log is read, from its end; one that was rotated meanwhile is read from its beginning.

use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use rustix::io::Errno;

use super::beneath::{Dir, Node, Stat, stat_file};
use super::local::parent;
use super::state::Ground;
use super::units;
use crate::model::TreePath;
use crate::model::care::{Check, Unit, Watched};

/// Of a log so much is read, before the change and after it.
const REACH: u64 = 4 << 20;
/// So many errors are shown.
const SHOWN: usize = 5;

/// Errors that were counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Vec<String>,
}

impl Errors {
    fn add(&mut self, line: &str) {
        self.count += 1;
        if self.last.len() == SHOWN {
            self.last.remove(0);
        }
        self.last.push(line.to_owned());
    }
}

/// How errors are counted and judged.
#[derive(Debug)]
pub struct Rate<'a> {
    watched: &'a Watched,
    error: Regex,
    max_increase: u32,
    at_least: u64,
    /// How long is watched.
    pub over: Duration,
    /// When the change began.
    moment: Timestamp,
    /// Where the log ended then.
    mark: u64,
    /// Errors of the journal before it, once they were counted.
    before: Option<u64>,
}

/// Where a log ends; at 0, if it is not there. One that cannot be looked at is not none.
pub fn mark(ground: &Ground, path: &TreePath) -> io::Result<u64> {
    let Some(dir) = directory(ground, path)? else { return Ok(0) };
    match dir.stat(path.file_name())? {
        None => Ok(0),
        Some(stat) => is_log(ground, &stat).map(|()| stat.size),
    }
}

/// The directory of a log; `None` if it is not there.
fn directory(ground: &Ground, path: &TreePath) -> io::Result<Option<Dir>> {
    match parent(ground, path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => Ok(None),
            Some(Errno::LOOP) => Err(io::Error::other("a symbolic link leads to it, which is not followed")),
            Some(Errno::XDEV) => Err(io::Error::other("it lies on another mount than the root")),
            _ => Err(error),
        },
    }
}

fn is_log(ground: &Ground, stat: &Stat) -> io::Result<()> {
    if stat.node == Node::File && stat.mount == ground.mount {
        return Ok(());
    }
    Err(io::Error::other("it is no file of this root"))
}

impl<'a> Rate<'a> {
    /// `None` for another check. The expression was checked when the fleet file was read.
    pub fn of(check: &'a Check, moment: Timestamp, mark: u64) -> Option<Result<Self, String>> {
        let Check::Errors { watched, error, max_increase, at_least, over } = check else { return None };
        let (max_increase, at_least, over) = (*max_increase, *at_least, *over);
        let rate = |error| Self { watched, error, max_increase, at_least, over, moment, mark, before: None };
        Some(Regex::new(error).map(rate).map_err(|error| error.to_string()))
    }

    /// Counts. Gives what is too much, or how many errors there are.
    pub fn look(&mut self, ground: &Ground) -> Result<Result<u64, (String, Errors)>, String> {
        let (before, after) = match self.watched {
            Watched::Journal(unit) => self.journal(unit)?,
            Watched::Log(path) => {
                self.log(ground, path).map_err(|error| format!("{path} cannot be read: {error}"))?
            }
        };
        let allowed = before.saturating_mul(100 + u64::from(self.max_increase)) / 100;
        if after.count <= self.at_least.max(allowed) {
            return Ok(Ok(after.count));
        }
        let counted = match self.watched {
            Watched::Journal(_) => format!("in {} before", crate::model::care::seconds(self.over)),
            Watched::Log(_) => "among as many lines before".to_owned(),
        };
        let why = format!(
            "{} errors, {before} {counted}; allowed are {} (max_increase {}%, at_least {})",
            after.count,
            self.at_least.max(allowed),
            self.max_increase,
            self.at_least
        );
        Ok(Err((why, after)))
    }

    fn journal(&mut self, unit: &Unit) -> Result<(u64, Errors), String> {
        let before = match self.before {
            Some(before) => before,
            None => {
                let over = SignedDuration::try_from(self.over).unwrap_or(SignedDuration::MAX);
                let since = self.moment.checked_sub(over).unwrap_or(Timestamp::MIN);
                let mut count = 0;
                units::each_line(unit, since, Some(self.moment), |line| {
                    count += u64::from(self.error.is_match(line));
                })?;
                count
            }
        };
        self.before = Some(before);
        let mut after = Errors::default();
        units::each_line(unit, self.moment, None, |line| {
            if self.error.is_match(line) {
                after.add(line);
            }
        })?;
        Ok((before, after))
    }

    fn log(&self, ground: &Ground, path: &TreePath) -> io::Result<(u64, Errors)> {
        let nothing = || Ok((0, Errors::default()));
        let Some(dir) = directory(ground, path)? else { return nothing() };
        let Some(stat) = dir.stat(path.file_name())? else { return nothing() };
        is_log(ground, &stat)?;
        let mut file = match dir.open(path.file_name()) {
            // Rotated just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing(),
            file => file?,
        };
        let stat = stat_file(&file)?;
        is_log(ground, &stat)?;
        let mark = if stat.size < self.mark { 0 } else { self.mark };
        let mut part = |from: u64, to: u64| -> io::Result<Vec<u8>> {
            let from = from.max(to.saturating_sub(REACH));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&mut file).take(to - from).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let (old, new) = (part(0, mark)?, part(mark, stat.size)?);
        Ok(compare(&self.error, &old, &new))
    }
}

/// Errors among as many lines before, and those after.
fn compare(error: &Regex, old: &[u8], new: &[u8]) -> (u64, Errors) {
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        text.lines().map(str::to_owned).collect()
    };
    let mut after = Errors::default();
    let new = lines(new);
    for line in new.iter().filter(|line| error.is_match(line)) {
        after.add(line);
    }
    let old = lines(old);
    let looked_at = &old[old.len().saturating_sub(new.len())..];
    let count = looked_at.iter().filter(|line| error.is_match(line)).count() as u64;
    // There may be fewer of them than came after.
    let before = match looked_at.len() as u64 {
        0 => 0,
        known => count * new.len() as u64 / known,
    };
    (before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_log_that_is_not_there_has_no_errors() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("real/bot.log"), "error\nerror\n").unwrap();
        std::os::unix::fs::symlink("real", at("door")).unwrap();
        std::os::unix::fs::symlink("real/bot.log", at("link.log")).unwrap();
        let root = crate::model::HostPath::new(tree.path().to_str().unwrap()).unwrap();
        let ground = Ground::open(&root).unwrap().unwrap();
        let ask = |name: &str| {
            let path = TreePath::new(name).unwrap();
            let marked = mark(&ground, &path).ok();
            let (watched, error) = (Watched::Log(path), "error".to_owned());
            let over = Duration::ZERO;
            let check = Check::Errors { watched, error, max_increase: 0, at_least: 5, over };
            let mut rate = Rate::of(&check, Timestamp::UNIX_EPOCH, 0).unwrap().unwrap();
            (marked, rate.look(&ground).ok())
        };
        assert_eq!(ask("real/bot.log"), (Some(12), Some(Ok(2))));
        assert_eq!(ask("real/none.log"), (Some(0), Some(Ok(0))));
        assert_eq!(ask("none/bot.log"), (Some(0), Some(Ok(0))));
        for name in ["door/bot.log", "link.log", "real/bot.log/below", "real"] {
            assert_eq!(ask(name), (None, None), "{name}");
        }
    }

    #[test]
    fn a_log_is_compared_line_by_line() {
        let error = Regex::new("(?i)error").unwrap();
        let cases = [
            ("", "", 0, 0),
            ("", "error\nfine\nERROR\n", 0, 2),
            // Twice as many lines, so twice as many errors were to be expected.
            ("error\nfine\n", "error\nfine\nfine\nerror\n", 2, 2),
            // Only as many lines before count.
            ("error\nerror\nfine\nerror\n", "fine\nfine\n", 1, 0),
        ];
        for (old, new, before, after) in cases {
            let (was, is) = compare(&error, old.as_bytes(), new.as_bytes());
            assert_eq!((was, is.count), (before, after), "{old:?} {new:?}");
        }
        let (_, many) = compare(&error, b"", "error 1\n".repeat(9).replace('1', "9").as_bytes());
        assert_eq!((many.count, many.last.len()), (9, SHOWN));
    }
}
