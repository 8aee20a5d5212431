//! The text of a manifest: lines that a person can read, and git can tell apart.
//!
//! ```text
//! packfleet manifest 1
//! {"packs":…,"rejected":…,"decisions":…,"obstacles":…,"owners":[…],"commits":[…]}
//! e OWNER COMMIT BASE WRITTEN ACTUAL PATH     a managed path
//! m PATH                                      a directory that packfleet made
//! d PATH                                      a directory above managed paths
//! u MARK,MARK… PATH                           marks of what else lies in a directory; `.` is the root
//! ```
//! OWNER is a number in `owners`; COMMIT is `.` (that of the owner's pin), `-` (none) or a number in `commits`.
//! BASE and the two after it are a kind and a digest (`f0123…`, `x…`, `l…`), `-` for nothing, or `=` for the same as
//! before it: WRITTEN as BASE, ACTUAL as WRITTEN. ACTUAL may also be `!` (see `obstacles`), `?` (something; the path
//! is the host's), `kf` or `kx` (the base but for keys of the host) and `of` or `ox` (with keys of the host, and not
//! the base).
//!
//! Equal manifests have equal texts. Reading is total: whatever is no such text is refused, with the line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::manifest::{Line, Manifest, Mark, Told};
use super::pack::CommitId;
use super::plan::Obstacle;
use super::record::{Decision, Recorded, RecordedPack, Rejection};
use super::{Content, Entry, Kind, PackName, TreePath};

/// The version of the text.
pub const FORMAT: u32 = 1;
const TITLE: &str = "packfleet manifest ";

/// A text that is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not one at all.
    #[error("it does not begin like a manifest")]
    Title,
    /// Written by another version.
    #[error("it has format {0:?}, this packfleet reads {FORMAT}")]
    Format(String),
    /// The second line.
    #[error("its head does not decode")]
    Head(#[source] serde_json::Error),
    /// A line.
    #[error("line {line} is none of a manifest: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// All but paths.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    packs: BTreeMap<PackName, RecordedPack>,
    rejected: BTreeMap<PackName, Rejection>,
    decisions: BTreeMap<TreePath, Decision>,
    obstacles: BTreeMap<TreePath, Obstacle>,
    owners: Vec<PackName>,
    commits: Vec<CommitId>,
}

impl Manifest {
    /// Its text; equal manifests have equal ones.
    pub fn text(&self) -> String {
        let obstacle = |(path, line): (&TreePath, &Line)| match &line.actual {
            Told::Obstacle(obstacle) => Some((path.clone(), obstacle.clone())),
            _ => None,
        };
        let owners: BTreeSet<PackName> =
            self.lines.values().map(|line| line.recorded.owner.clone()).collect();
        let commits: BTreeSet<&CommitId> = self
            .lines
            .values()
            .filter(|line| line.recorded.commit.as_ref() != self.pinned(&line.recorded.owner))
            .filter_map(|line| line.recorded.commit.as_ref())
            .collect();
        let head = Head {
            packs: self.packs.clone(),
            rejected: self.rejected.clone(),
            decisions: self.decisions.clone(),
            obstacles: self.lines.iter().filter_map(obstacle).collect(),
            owners: owners.into_iter().collect(),
            commits: commits.into_iter().cloned().collect(),
        };
        let json = serde_json::to_string(&head).expect("plain values serialise into memory");
        let mut out = format!("{TITLE}{FORMAT}\n{json}\n");
        for (path, line) in &self.lines {
            self.write_line(&mut out, &head, path, line);
        }
        for path in &self.made {
            let _ = writeln!(out, "m {path}");
        }
        for path in &self.directories {
            let _ = writeln!(out, "d {path}");
        }
        for (directory, marks) in &self.others {
            let marks: Vec<String> = marks.iter().map(|mark| format!("{:016x}", mark.0)).collect();
            let directory = directory.as_ref().map_or(".", TreePath::as_str);
            let _ = writeln!(out, "u {} {directory}", marks.join(","));
        }
        out
    }

    fn pinned(&self, owner: &PackName) -> Option<&CommitId> {
        self.packs.get(owner)?.pin.commit.as_ref()
    }

    fn write_line(&self, out: &mut String, head: &Head, path: &TreePath, line: &Line) {
        let Line { recorded: Recorded { owner, base, written, commit }, actual } = line;
        let _ = write!(out, "e {} ", head.owners.binary_search(owner).unwrap_or_default());
        match commit {
            None => out.push('-'),
            Some(commit) if Some(commit) == self.pinned(owner) => out.push('.'),
            Some(commit) => {
                let _ = write!(out, "{}", head.commits.binary_search(commit).unwrap_or_default());
            }
        }
        out.push(' ');
        write_entry(out, *base);
        out.push(' ');
        if written == base {
            out.push('=')
        } else {
            write_entry(out, *written)
        }
        out.push(' ');
        match actual {
            Told::Entry(entry) if Some(*entry) == *written => out.push('='),
            Told::Absent if written.is_none() => out.push('='),
            Told::Entry(entry) => write_entry(out, Some(*entry)),
            Told::Absent => out.push('-'),
            Told::Obstacle(_) => out.push('!'),
            Told::Something => out.push('?'),
            Told::ButForKeys(kind) => out.extend(['k', char::from(kind.letter())]),
            Told::Withheld(kind) => out.extend(['o', char::from(kind.letter())]),
        }
        let _ = writeln!(out, " {path}");
    }

    /// The inverse of [`Manifest::text`].
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let rest = text.strip_prefix(TITLE).ok_or(ManifestError::Title)?;
        let (format, rest) = rest.split_once('\n').ok_or(ManifestError::Title)?;
        if format != FORMAT.to_string() {
            return Err(ManifestError::Format(format.chars().take(20).collect()));
        }
        let (head, rest) = rest.split_once('\n').ok_or(ManifestError::Title)?;
        let mut head: Head = serde_json::from_str(head).map_err(ManifestError::Head)?;
        let mut manifest = Self {
            packs: std::mem::take(&mut head.packs),
            rejected: std::mem::take(&mut head.rejected),
            decisions: std::mem::take(&mut head.decisions),
            ..Self::default()
        };
        let mut lines = Vec::new();
        for (number, line) in rest.split_terminator('\n').enumerate() {
            let read = manifest.read(line, &mut head, &mut lines);
            read.map_err(|why| ManifestError::Line { line: number + 3, why })?;
        }
        let count = lines.len();
        // In order already, so that the map is made in one go.
        manifest.lines = lines.into_iter().collect();
        let refused = |why| Err(ManifestError::Line { line: 2, why });
        if !text.ends_with('\n') {
            return refused("the last line has no end");
        }
        if manifest.lines.len() != count {
            return refused("a path stands there twice");
        }
        if !head.obstacles.is_empty() {
            return refused("an obstacle lies at no path");
        }
        Ok(manifest)
    }

    fn read(
        &mut self,
        line: &str,
        head: &mut Head,
        lines: &mut Vec<(TreePath, Line)>,
    ) -> Result<(), &'static str> {
        let (kind, rest) = line.split_once(' ').ok_or("it is too short")?;
        let path = |text: &str| TreePath::new(text).map_err(|_| "no path");
        let new = |is_new: bool| if is_new { Ok(()) } else { Err("it stands there twice") };
        match kind {
            "e" => {
                let mut words = rest.splitn(6, ' ');
                let mut word = || words.next().ok_or("it is too short");
                let (owner, commit, base) = (word()?, word()?, word()?);
                let (written, actual, at) = (word()?, word()?, path(word()?)?);
                let owner = owner.parse::<usize>().ok().and_then(|at| head.owners.get(at));
                let owner = owner.ok_or("no owner")?.clone();
                let commit = match commit {
                    "-" => None,
                    "." => Some(self.pinned(&owner).ok_or("its pin has no commit")?.clone()),
                    at => {
                        let commit = at.parse::<usize>().ok().and_then(|at| head.commits.get(at));
                        Some(commit.ok_or("no commit")?.clone())
                    }
                };
                let base = entry(base)?;
                let written = if written == "=" { base } else { entry(written)? };
                let actual = match actual {
                    "=" => written.map_or(Told::Absent, Told::Entry),
                    "!" => Told::Obstacle(head.obstacles.remove(&at).ok_or("no obstacle")?),
                    "?" => Told::Something,
                    "kf" => Told::ButForKeys(Kind::File),
                    "kx" => Told::ButForKeys(Kind::Exec),
                    "of" => Told::Withheld(Kind::File),
                    "ox" => Told::Withheld(Kind::Exec),
                    other => entry(other)?.map_or(Told::Absent, Told::Entry),
                };
                lines.push((at, Line { recorded: Recorded { owner, base, written, commit }, actual }));
                Ok(())
            }
            "m" => new(self.made.insert(path(rest)?)),
            "d" => new(self.directories.insert(path(rest)?)),
            "u" => {
                let (marks, directory) = rest.split_once(' ').ok_or("it is too short")?;
                let directory = if directory == "." { None } else { Some(path(directory)?) };
                let mark = |text: &str| {
                    let hexadecimal = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
                    u64::from_str_radix(text, 16).ok().filter(|_| hexadecimal).map(Mark).ok_or("no mark")
                };
                let marks = marks.split(',').map(mark).collect::<Result<_, _>>()?;
                new(self.others.insert(directory, marks).is_none())
            }
            _ => Err("it begins with no letter that is known"),
        }
    }
}

fn write_entry(out: &mut String, entry: Option<Entry>) {
    match entry {
        None => out.push('-'),
        Some(Entry { kind, content }) => {
            out.push(char::from(kind.letter()));
            out.push_str(blake3::Hash::from_bytes(*content.as_bytes()).to_hex().as_str());
        }
    }
}

fn entry(text: &str) -> Result<Option<Entry>, &'static str> {
    if text == "-" {
        return Ok(None);
    }
    let kind = match text.as_bytes().first() {
        Some(b'f') => Kind::File,
        Some(b'x') => Kind::Exec,
        Some(b'l') => Kind::Link,
        _ => return Err("no kind of entry"),
    };
    let content: Content = text.get(1..).unwrap_or_default().parse().map_err(|_| "no digest")?;
    Ok(Some(Entry { kind, content }))
}
