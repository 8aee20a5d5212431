//! The manifest: what one host holds, as far as a plan needs it, without a byte of any file.
//!
//! It says nothing of who and where: that, and whatever else is one deployment's alone, stands in the [`Stamp`]
//! that names the manifest by its digest. So deployments that hold the same share one, and one that did not
//! change is published again by a new stamp alone. Its text is that of [`super::manifest_text`].
//!
//! What is deliberately absent:
//! - contents, and with them everything that a merge would need;
//! - what lies at paths that are the host's: only whether something does;
//! - digests of files of which some keys are the host's, where they are not a pack's own: whoever knows the rest of
//!   the file could find a short secret by trying;
//! - names of files that are nobody's: each is a mark, which tells whoever has a path in hand whether something
//!   lies there. Those that are the host's have none: names like `.env` are soon guessed. That some lie in a directory
//!   is told by one mark that is no name's.
//!
//! [`Stamp`]: super::stamp::Stamp

use std::collections::{BTreeMap, BTreeSet};

use super::host_owned::HostOwned;
use super::plan::Obstacle;
use super::record::{Decision, Record, Recorded, RecordedPack, Rejection};
use super::{Entry, Kind, PackName, TreePath};

/// What one host holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What is installed, by pack, as the record has it.
    pub packs: BTreeMap<PackName, RecordedPack>,
    /// What must not come back by itself.
    pub rejected: BTreeMap<PackName, Rejection>,
    /// What people decided about held paths, not yet carried out.
    pub decisions: BTreeMap<TreePath, Decision>,
    /// Every path that packfleet manages there.
    pub lines: BTreeMap<TreePath, Line>,
    /// Directories that packfleet made.
    pub made: BTreeSet<TreePath>,
    /// Directories that exist above managed paths. Of each of these, and of the root, every other entry has a
    /// mark.
    pub directories: BTreeSet<TreePath>,
    /// Marks of what is nobody's, by directory; `None` is the root.
    pub others: BTreeMap<Option<TreePath>, BTreeSet<Mark>>,
}

/// What is known of one managed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the record says.
    pub recorded: Recorded,
    /// What is told of what lies there.
    pub actual: Told,
}

/// What is told of what lies at a managed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing lies there.
    Absent,
    /// This.
    Entry(Entry),
    /// Something that is neither file nor link.
    Obstacle(Obstacle),
    /// Something; the path is the host's.
    Something,
    /// A file of this kind that is the base, but for keys that are the host's.
    ButForKeys(Kind),
    /// A file of this kind with keys that are the host's, and more that is not the base.
    Withheld(Kind),
}

/// A digest of a path, too short to tell a name from, and long enough to know it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub u64);

impl Mark {
    /// In the place of all that is the host's in a directory.
    pub const HOSTS: Self = Self(0);

    /// The mark of a path, in root coordinates.
    pub fn of(path: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("packfleet unmanaged path v1");
        hasher.update(path.as_bytes());
        let bytes = hasher.finalize();
        Self(bytes.as_bytes().first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight)))
    }
}

/// What lies at a path that packfleet does not manage there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// Nothing, and nothing is in the way.
    Free,
    /// Something that is nobody's.
    Taken,
    /// Something that is nobody's lies above the path: whether anything lies at it is not told.
    Hidden,
    /// Something may lie there that is the host's; that is not told.
    Untold,
    /// A directory; what is in it is managed, or of packfleet's making.
    Directory,
    /// A managed file or link lies above it.
    Below(Obstacle),
}

/// What some packs leave to the host.
#[derive(Debug)]
pub struct Owners(Vec<HostOwned>);

impl Owners {
    /// Of these packs.
    pub fn new<'a>(packs: impl Iterator<Item = &'a RecordedPack>) -> Self {
        Self(packs.map(|pack| HostOwned::new(&pack.install, &pack.host_owns)).collect())
    }

    /// Whether a path is the host's, be it a file or a directory.
    pub fn may_own(&self, path: &TreePath) -> bool {
        let inside = TreePath::new(&format!("{path}/x")).ok();
        let owns = |owned: &HostOwned| owned.owns(path) || inside.as_ref().is_some_and(|at| owned.owns(at));
        self.0.iter().any(owns)
    }
}

impl Manifest {
    /// The record without identity and number.
    pub fn record(&self, about: Record) -> Record {
        let entries = self.lines.iter().map(|(path, line)| (path.clone(), line.recorded.clone()));
        Record {
            packs: self.packs.clone(),
            rejected: self.rejected.clone(),
            decisions: self.decisions.clone(),
            entries: entries.collect(),
            directories: self.made.clone(),
            ..about
        }
    }

    /// Whether a path may be the host's, as a file or as a directory, by what is installed.
    pub fn owners(&self) -> Owners {
        Owners::new(self.packs.values())
    }

    /// What lies at a path that is no line. `owners` are [`Self::owners`].
    pub fn spot(&self, path: &TreePath, owners: &Owners) -> Spot {
        let mut above: Vec<TreePath> = path.ancestors().collect();
        above.reverse();
        let mut parent: Option<TreePath> = None;
        for at in above {
            if let Some(line) = self.lines.get(&at) {
                match &line.actual {
                    Told::Absent => return Spot::Free,
                    Told::Obstacle(Obstacle::Directory { .. }) => {}
                    Told::Obstacle(obstacle @ Obstacle::Ancestor { .. }) => {
                        return Spot::Below(obstacle.clone());
                    }
                    Told::Entry(Entry { kind, .. }) | Told::ButForKeys(kind) | Told::Withheld(kind) => {
                        let what = if *kind == Kind::Link { "symlink" } else { "file" };
                        return Spot::Below(Obstacle::Ancestor { at, what: what.to_owned() });
                    }
                    Told::Obstacle(_) | Told::Something => return Spot::Hidden,
                }
            } else if self.is_other(parent.as_ref(), &at) {
                return Spot::Hidden;
            } else if !self.directories.contains(&at)
                && self.is_untold(parent.as_ref())
                && owners.may_own(&at)
            {
                return Spot::Untold;
            } else if !self.directories.contains(&at) {
                return Spot::Free;
            }
            parent = Some(at);
        }
        if self.is_other(parent.as_ref(), path) {
            return Spot::Taken;
        }
        if !self.directories.contains(path) {
            let untold = self.is_untold(parent.as_ref()) && owners.may_own(path);
            return if untold { Spot::Untold } else { Spot::Free };
        }
        if self.holds_others(path) { Spot::Taken } else { Spot::Directory }
    }

    /// Whether something of the host's lies in a directory above a path, that could be at the path or above it.
    pub fn hides(&self, path: &TreePath) -> bool {
        self.is_untold(None) || path.ancestors().any(|at| self.is_untold(Some(&at)))
    }

    fn is_untold(&self, directory: Option<&TreePath>) -> bool {
        self.others.get(&directory.cloned()).is_some_and(|marks| marks.contains(&Mark::HOSTS))
    }

    fn is_other(&self, directory: Option<&TreePath>, path: &TreePath) -> bool {
        let marks = self.others.get(&directory.cloned());
        marks.is_some_and(|marks| marks.contains(&Mark::of(path.as_str())))
    }

    /// Whether something lies at or below a directory that is nobody's.
    fn holds_others(&self, directory: &TreePath) -> bool {
        let made: BTreeSet<Mark> = self.made.iter().map(|path| Mark::of(path.as_str())).collect();
        let inside =
            |at: &Option<TreePath>| at.as_ref().is_some_and(|at| at == directory || at.is_below(directory));
        // A directory in the place of a managed file is nobody's.
        let instead = |(at, line): (&TreePath, &Line)| {
            at.is_below(directory)
                && matches!(line.actual, Told::Obstacle(Obstacle::Directory { .. }))
                && !self.made.contains(at)
                && !self.directories.contains(at)
        };
        self.lines.iter().any(instead)
            || self
                .others
                .iter()
                .filter(|(at, _)| inside(at))
                .any(|(_, marks)| marks.iter().any(|mark| !made.contains(mark)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn line(actual: Told) -> Line {
        let owner = "p".parse().unwrap();
        Line { recorded: Recorded { owner, base: None, written: None, commit: None }, actual }
    }

    #[test]
    fn what_is_not_managed_is_free_taken_or_below_something() {
        let file = Told::Entry(Entry::of(Kind::File, b"x"));
        let link = Told::Entry(Entry::of(Kind::Link, b"x"));
        let manifest = Manifest {
            lines: [
                (path("a/b/file"), line(file)),
                (path("a/link"), line(link)),
                (path("a/gone"), line(Told::Absent)),
            ]
            .into(),
            made: [path("a/b"), path("a/empty")].into(),
            directories: [path("a"), path("a/b")].into(),
            others: [(None, [Mark::of("theirs")].into()), (Some(path("a")), [Mark::of("a/empty")].into())]
                .into(),
            ..Manifest::default()
        };
        let below =
            |at: &str, what: &str| Spot::Below(Obstacle::Ancestor { at: path(at), what: what.into() });
        for (at, spot) in [
            ("new", Spot::Free),
            ("new/x/y", Spot::Free),
            ("a/new", Spot::Free),
            ("a/gone/x", Spot::Free),
            ("theirs", Spot::Taken),
            ("theirs/x", Spot::Hidden),
            ("a/empty/x", Spot::Hidden),
            ("a", Spot::Directory),
            ("a/b", Spot::Directory),
            ("a/b/file/x", below("a/b/file", "file")),
            ("a/link/x", below("a/link", "symlink")),
        ] {
            assert_eq!(manifest.spot(&path(at), &manifest.owners()), spot, "{at}");
        }
        let others = [(Some(path("a/b")), [Mark::of("a/b/theirs")].into())].into();
        let manifest = Manifest { others, ..manifest };
        assert_eq!(manifest.spot(&path("a"), &manifest.owners()), Spot::Taken);
    }

    #[test]
    fn what_is_the_hosts_is_told_by_directory_and_not_by_name() {
        use crate::model::pack::{Install, InstallMap};
        let install = InstallMap(vec![Install { from: None, to: Some(path("a")) }]);
        let patterns = [".env", "State/"].map(str::to_owned);
        let owners = Owners(vec![HostOwned::new(&install, &patterns)]);
        let with = |marks: &[Mark]| Manifest {
            directories: [path("a"), path("a/b")].into(),
            others: [(Some(path("a")), marks.iter().copied().collect())].into(),
            ..Manifest::default()
        };
        let spots = |manifest: &Manifest| {
            ["a/.env", "a/State", "a/State/x", "a/new", "a/b/.env"]
                .map(|at| manifest.spot(&path(at), &owners))
        };
        let (free, untold) = (|| Spot::Free, || Spot::Untold);
        assert_eq!(spots(&with(&[Mark::HOSTS])), [untold(), untold(), untold(), free(), free()]);
        assert_eq!(spots(&with(&[Mark::of("a/x")])), [free(), free(), free(), free(), free()]);
        assert_eq!(with(&[Mark::HOSTS]).spot(&path("a"), &owners), Spot::Taken);
        assert!(with(&[Mark::HOSTS]).hides(&path("a/b/c")) && !with(&[Mark::HOSTS]).hides(&path("b/c")));
    }
}
