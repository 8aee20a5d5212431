//! How near a version of a pack is to what lies on a host. Pure.
//!
//! Equal files count first, content before exec bits; then files that lie under another path; then how alike
//! the differing ones are; then how little of the version is missing. What decides between versions that are
//! equally near (evidence, branch, age) is not known here. Files of the host that a version does not have do
//! not count against it: whoever copies a new version over an old one leaves some behind.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::{Actual, Seen};
use crate::model::desired::DesiredEntry;
use crate::model::pack::Modes;
use crate::model::{Content, Entry, Kind, TreePath};

/// What should lie where, in root coordinates.
pub(super) type Paths = BTreeMap<TreePath, DesiredEntry>;

/// What became of one path of a version on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is as the version has it.
    Equal,
    /// But for its exec bit.
    Exec,
    /// Something else lies there: an edit.
    Differs,
    /// Nothing lies there; its content lies at this path, which the version does not have.
    Moved(TreePath),
    /// Nothing lies there.
    Missing,
    /// Neither file nor link lies there.
    Obstructed,
    /// The host's own; whether it is there.
    HostOwned(bool),
}

/// How many paths of a version fared how; host-owned ones apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Paths of the version.
    pub of: usize,
    /// Equal in all.
    pub equal: usize,
    /// Equal but for the exec bit.
    pub exec: usize,
    /// Under another path.
    pub moved: usize,
    /// Different, or something else is in the way.
    pub differ: usize,
    /// Nowhere.
    pub missing: usize,
    /// How alike the different ones are: millionths of files. 0 until it is asked for.
    pub alike: u64,
}

/// What versions are compared by; the greatest is the nearest.
pub(super) type Nearness = (usize, usize, usize, u64, Reverse<usize>);

impl Score {
    /// Counts.
    pub(super) fn of(fates: &BTreeMap<TreePath, Fate>) -> Self {
        let mut score = Self::default();
        for fate in fates.values() {
            let number = match fate {
                Fate::Equal => &mut score.equal,
                Fate::Exec => &mut score.exec,
                Fate::Differs | Fate::Obstructed => &mut score.differ,
                Fate::Moved(_) => &mut score.moved,
                Fate::Missing => &mut score.missing,
                Fate::HostOwned(_) => continue,
            };
            *number += 1;
            score.of += 1;
        }
        score
    }

    /// Files with the version's content.
    pub const fn same(&self) -> usize {
        self.equal + self.exec
    }

    /// For comparing.
    pub(super) const fn nearness(&self) -> Nearness {
        (self.same(), self.equal, self.moved, self.alike, Reverse(self.differ + self.missing))
    }

    /// Whether it may be taken for the version that was installed: half of its files are there.
    pub const fn is_near(&self) -> bool {
        self.of > 0 && self.same() * 2 >= self.of
    }
}

/// What became of each path of a version. `same` may know contents to be equal that are not the same bytes.
pub(super) fn fates(
    version: &Paths,
    actual: &Actual,
    modes: Modes,
    same: &dyn Fn(&TreePath, Entry, Entry) -> bool,
) -> BTreeMap<TreePath, Fate> {
    let mut fates = BTreeMap::new();
    let mut lost: Vec<(&TreePath, Entry)> = Vec::new();
    for (path, wanted) in version {
        let seen = actual.paths.get(path);
        let fate = match seen {
            _ if wanted.host_owned => Fate::HostOwned(seen.is_some()),
            None => {
                lost.push((path, wanted.entry));
                Fate::Missing
            }
            Some(Seen::Obstacle(_)) => Fate::Obstructed,
            Some(Seen::Entry(entry)) => compared(path, *entry, wanted.entry, modes, same),
        };
        fates.insert(path.clone(), fate);
    }
    if lost.is_empty() {
        return fates;
    }
    let mut elsewhere: BTreeMap<(bool, Content), BTreeSet<&TreePath>> = BTreeMap::new();
    for (path, seen) in &actual.paths {
        if let Seen::Entry(entry) = seen
            && !version.contains_key(path)
        {
            elsewhere.entry((entry.kind == Kind::Link, entry.content)).or_default().insert(path);
        }
    }
    // Empty files are all alike, and prove nothing.
    let empty = Content::of(b"");
    for (path, entry) in lost.into_iter().filter(|(_, entry)| entry.content != empty) {
        let there = elsewhere.get_mut(&(entry.kind == Kind::Link, entry.content));
        if let Some(at) = there.and_then(BTreeSet::pop_first) {
            fates.insert(path.clone(), Fate::Moved(at.clone()));
        }
    }
    fates
}

fn compared(
    path: &TreePath,
    actual: Entry,
    wanted: Entry,
    modes: Modes,
    same: &dyn Fn(&TreePath, Entry, Entry) -> bool,
) -> Fate {
    let links = (actual.kind == Kind::Link, wanted.kind == Kind::Link);
    if links.0 != links.1 || actual.content != wanted.content && (links.0 || !same(path, actual, wanted)) {
        Fate::Differs
    } else if actual.kind == wanted.kind || modes == Modes::Ignore {
        Fate::Equal
    } else {
        Fate::Exec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        let kind = match text.as_bytes() {
            [b'>', ..] => Kind::Link,
            [b'#', ..] => Kind::Exec,
            _ => Kind::File,
        };
        Entry::of(kind, text.trim_start_matches(['#', '>']).as_bytes())
    }

    fn version(files: &[(&str, &str)]) -> Paths {
        let wanted =
            |text: &str| DesiredEntry { entry: entry(text), host_owned: text == "own", commit: None };
        files.iter().map(|(path, text)| (TreePath::new(path).unwrap(), wanted(text))).collect()
    }

    fn host(files: &[(&str, &str)]) -> Actual {
        let seen = |text: &str| match text {
            "dir" => Seen::Obstacle(crate::model::plan::Obstacle::Directory { foreign: None }),
            text => Seen::Entry(entry(text)),
        };
        let paths = files.iter().map(|(path, text)| (TreePath::new(path).unwrap(), seen(text)));
        Actual { paths: paths.collect(), ..Actual::default() }
    }

    fn score(files: &[(&str, &str)], there: &[(&str, &str)], modes: Modes) -> Score {
        Score::of(&fates(&version(files), &host(there), modes, &|_, _, _| false))
    }

    #[test]
    fn counts() {
        let numbers =
            |score: Score| [score.of, score.equal, score.exec, score.moved, score.differ, score.missing];
        for (name, files, there, expected) in [
            ("nothing there", vec![("a", "1")], vec![], [1, 0, 0, 0, 0, 1]),
            ("equal", vec![("a", "1"), ("b", "#2")], vec![("a", "1"), ("b", "#2")], [2, 2, 0, 0, 0, 0]),
            ("exec", vec![("a", "1")], vec![("a", "#1")], [1, 0, 1, 0, 0, 0]),
            ("edited", vec![("a", "1")], vec![("a", "2")], [1, 0, 0, 0, 1, 0]),
            ("crlf is an edit", vec![("a", "1\n")], vec![("a", "1\r\n")], [1, 0, 0, 0, 1, 0]),
            ("a link is no file", vec![("a", "1")], vec![("a", ">1")], [1, 0, 0, 0, 1, 0]),
            ("obstructed", vec![("a", "1")], vec![("a", "dir")], [1, 0, 0, 0, 1, 0]),
            ("moved", vec![("a", "1")], vec![("b", "1")], [1, 0, 0, 1, 0, 0]),
            ("moved once", vec![("a", "1"), ("b", "1")], vec![("c", "1")], [2, 0, 0, 1, 0, 1]),
            ("a copy is no move", vec![("a", "1"), ("b", "1")], vec![("b", "1")], [2, 1, 0, 0, 0, 1]),
            ("empty files do not move", vec![("a", "")], vec![("b", "")], [1, 0, 0, 0, 0, 1]),
            ("links move apart", vec![("a", ">x")], vec![("b", "x")], [1, 0, 0, 0, 0, 1]),
            ("the host's own", vec![("a", "own"), ("b", "1")], vec![("b", "1")], [1, 1, 0, 0, 0, 0]),
            ("strangers", vec![("a", "1")], vec![("a", "1"), ("z", "9")], [1, 1, 0, 0, 0, 0]),
        ] {
            assert_eq!(numbers(score(&files, &there, Modes::ExecBit)), expected, "{name}");
        }
        let bits = score(&[("a", "1")], &[("a", "#1")], Modes::Ignore);
        assert_eq!((bits.equal, bits.exec), (1, 0));
    }

    #[test]
    fn equal_but_for_what_is_known_to_be_the_hosts() {
        let fates = fates(&version(&[("a", "1")]), &host(&[("a", "2")]), Modes::ExecBit, &|_, _, _| true);
        assert_eq!(Score::of(&fates).equal, 1);
    }

    #[test]
    fn the_nearer_of_two() {
        type Files<'a> = &'a [(&'a str, &'a str)];
        let there: Files = &[("a", "1"), ("b", "2"), ("c", "#3"), ("d", "edited")];
        let cases: [(&str, Files, Files); 6] = [
            ("more equal", &[("a", "1"), ("b", "2")], &[("a", "1"), ("b", "x")]),
            ("content before bits", &[("a", "1"), ("c", "3")], &[("a", "1")]),
            ("then bits", &[("a", "1"), ("c", "#3")], &[("a", "1"), ("c", "3")]),
            ("then moves", &[("a", "1"), ("z", "edited")], &[("a", "1"), ("y", "0")]),
            ("then little else", &[("a", "1")], &[("a", "1"), ("y", "0")]),
            ("a large version is no better", &[("a", "1")], &[("a", "1"), ("d", "0"), ("y", "0")]),
        ];
        for (name, near, far) in cases {
            let score = |files| score(files, there, Modes::ExecBit).nearness();
            assert!(score(near) > score(far), "{name}: {:?} {:?}", score(near), score(far));
        }
        let mut alike = score(&[("a", "1"), ("d", "0")], there, Modes::ExecBit);
        alike.alike = 1;
        assert!(alike.nearness() > score(&[("a", "1")], there, Modes::ExecBit).nearness(), "likeness counts");
    }

    #[test]
    fn half_is_near() {
        let score = |equal: usize, of: usize| Score { of, equal, differ: of - equal, ..Score::default() };
        for (equal, of, near) in [(0, 0, false), (1, 2, true), (1, 3, false), (8, 17, false), (9, 17, true)] {
            assert_eq!(score(equal, of).is_near(), near, "{equal} of {of}");
        }
    }
}
