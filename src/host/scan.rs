//! The look at a tree: every path of interest, without a write and without following a link.
//!
//! ```text
//! record ∪ look.paths ─► by directory ─► openat2 ─► lstat each ─► digest, from the cache or the bytes
//!                                          └─ refused ─► which ancestor is in the way?
//! ```
//! Costs one `openat2` a directory and one `lstat` a file where the stat cache vouches; large looks are
//! spread over the cores by directory. What cannot be read is [`Obstacle::Unreadable`], never absent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rustix::io::Errno;

use super::beneath::{Dir, Node, shown};
use super::cache::{StatCache, Vouched};
use super::listing;
use super::sight::{Found, Looker};
use super::spread::spread;
use super::state::Ground;
use crate::model::actual::{Actual, Seen};
use crate::model::plan::Obstacle;
use crate::model::{Content, TreePath};

/// The paths of one look, sorted, each once.
#[derive(Debug)]
pub struct Looked<'a>(Vec<&'a TreePath>);

impl<'a> Looked<'a> {
    /// Sorts and removes doubles.
    pub fn new(paths: impl Iterator<Item = &'a TreePath>) -> Self {
        let mut paths: Vec<_> = paths.collect();
        paths.sort_unstable();
        paths.dedup();
        Self(paths)
    }

    /// Whether this path is looked at.
    pub fn contains(&self, path: &str) -> bool {
        self.0.binary_search_by(|looked| looked.as_str().cmp(path)).is_ok()
    }

    /// Whether a path strictly below this one is looked at.
    pub fn any_below(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        let at = self.0.partition_point(|looked| looked.as_str() < prefix.as_str());
        self.0.get(at).is_some_and(|looked| looked.as_str().starts_with(&prefix))
    }
}

/// What to look at, and what to believe.
#[derive(Debug)]
pub struct Scan<'a> {
    /// Where.
    pub ground: &'a Ground,
    /// At which paths.
    pub looked: &'a Looked<'a>,
    /// Directories of packfleet's making: nothing foreign, even when they are empty.
    pub ours: &'a BTreeSet<TreePath>,
    /// Digests that need no reading.
    pub cache: &'a StatCache,
}

/// What one directory's paths turned out to be.
#[derive(Debug, Default)]
struct Part {
    seen: Vec<(TreePath, Seen)>,
    directories: Vec<TreePath>,
    hashed: u64,
}

type Group<'a> = (Option<&'a str>, Vec<&'a TreePath>);

impl Scan<'_> {
    /// Looks at all paths.
    pub fn run(&self) -> Actual {
        let mut groups: BTreeMap<Option<&str>, Vec<&TreePath>> = BTreeMap::new();
        for &path in &self.looked.0 {
            let parent = path.as_str().rsplit_once('/').map(|(parent, _)| parent);
            groups.entry(parent).or_default().push(path);
        }
        let groups: Vec<Group<'_>> = groups.into_iter().collect();
        let mut actual = Actual::default();
        let parts = spread(&groups, self.looked.0.len(), self.ground.mount, |looker, group| {
            self.look_at(group, looker)
        });
        let mut seen = Vec::with_capacity(self.looked.0.len());
        let mut directories = Vec::new();
        for part in parts {
            seen.extend(part.seen);
            actual.hashed += part.hashed;
            directories.extend(part.directories);
        }
        actual.paths = seen.into_iter().collect();
        actual.directories = directories.into_iter().collect();
        actual
    }

    fn look_at(&self, (parent, paths): &Group<'_>, looker: &mut Looker) -> Part {
        let mut part = Part::default();
        let dir = match self.ground.root.dir(parent.unwrap_or(".")) {
            Ok(dir) => dir,
            Err(error) => {
                let (directories, obstacle) = self.barrier(parent.unwrap_or_default(), &error);
                part.directories = directories;
                if let Some(obstacle) = obstacle {
                    let seen = |path: &&TreePath| ((*path).clone(), Seen::Obstacle(obstacle.clone()));
                    part.seen = paths.iter().map(seen).collect();
                }
                return part;
            }
        };
        if let Some(first) = paths.first() {
            part.directories = first.ancestors().collect();
        }
        let vouched = self.cache.directory(*parent);
        for path in paths {
            if let Some(seen) = self.look(&dir, path, looker, vouched, &mut part.hashed) {
                part.seen.push(((*path).clone(), seen));
            }
        }
        part
    }

    fn look(
        &self,
        dir: &Dir,
        path: &TreePath,
        looker: &mut Looker,
        vouched: Vouched<'_>,
        hashed: &mut u64,
    ) -> Option<Seen> {
        let known = |stat: &_| -> Option<Content> { vouched.content(path.file_name(), stat) };
        let obstacle = match looker.look_unless(dir, path.file_name(), known) {
            Err(error) => Obstacle::Unreadable(error.to_string()),
            Ok(sight) => {
                *hashed += u64::from(sight.file.is_some());
                match sight.found {
                    Found::Absent => return None,
                    Found::Entry(entry) => return Some(Seen::Entry(entry)),
                    Found::Directory => Obstacle::Directory { foreign: self.foreign(path) },
                    Found::Special(what) => Obstacle::Special(what.into()),
                    Found::Mount => Obstacle::Ancestor { at: path.clone(), what: "mount".into() },
                    Found::Busy => Obstacle::Busy,
                }
            }
        };
        Some(Seen::Obstacle(obstacle))
    }

    /// Why a directory cannot be opened: the directories on the way that exist, and what is in the way;
    /// `None` if there is simply nothing.
    fn barrier(&self, parent: &str, error: &io::Error) -> (Vec<TreePath>, Option<Obstacle>) {
        let mut directories = Vec::new();
        let unreadable = |error: &io::Error| Some(Obstacle::Unreadable(error.to_string()));
        let mut ends: Vec<usize> = parent.match_indices('/').map(|(at, _)| at).collect();
        ends.push(parent.len());
        for end in ends {
            let Ok(path) = TreePath::new(&parent[..end]) else { break };
            let above = path.as_str().rsplit_once('/').map_or(".", |(above, _)| above);
            let stat = self.ground.root.dir(above).and_then(|dir| dir.stat(path.file_name()));
            let what = match stat {
                Err(error) => return (directories, unreadable(&error)),
                Ok(None) => return (directories, None),
                Ok(Some(stat)) if stat.mount != self.ground.mount => "mount",
                Ok(Some(stat)) => match stat.node {
                    Node::Directory => {
                        directories.push(path);
                        continue;
                    }
                    Node::File => "file",
                    Node::Link => "symlink",
                    Node::Special(what) => what,
                },
            };
            return (directories, Some(Obstacle::Ancestor { at: path, what: what.into() }));
        }
        // All of it is there by now: made between the two looks, or not to be entered.
        match Errno::from_io_error(error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                (directories, Some(Obstacle::Busy))
            }
            _ => (directories, unreadable(error)),
        }
    }

    /// The first thing in a directory that is neither looked at nor holds anything that is.
    fn foreign(&self, path: &TreePath) -> Option<String> {
        let mut waiting = vec![path.as_str().to_owned()];
        while let Some(directory) = waiting.pop() {
            let Ok(names) = self.ground.root.dir(&directory).and_then(|dir| dir.names()) else {
                return Some(format!("{directory}/"));
            };
            let mut below = Vec::new();
            for (name, node) in names {
                let full = listing::joined(&directory, &name);
                let ours = match (&full, node) {
                    (Some(full), Node::Directory) => {
                        self.looked.any_below(full) || self.ours.contains(full.as_str())
                    }
                    (Some(full), _) => self.looked.contains(full),
                    (None, _) => false,
                };
                match full {
                    Some(full) if ours && node == Node::Directory => below.push(full),
                    _ if ours => {}
                    _ => return Some(format!("{directory}/{}", shown(&name))),
                }
            }
            below.reverse();
            waiting.extend(below);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::super::spread::FEW;
    use super::super::{Host, LocalHost, Look, Trust};
    use super::*;
    use crate::model::{Entry, HostPath, Kind};

    fn path(text: &str) -> TreePath {
        TreePath::new(text).unwrap()
    }

    fn look(root: &Path, paths: &[&str], list: &[Option<&str>]) -> Actual {
        let host = LocalHost::open(HostPath::new(root.to_str().unwrap()).unwrap());
        let look = Look {
            fleet: "f".parse().unwrap(),
            deployment: "d".parse().unwrap(),
            paths: paths.iter().map(|text| path(text)).collect(),
            list: list.iter().map(|target| target.map(path)).collect(),
            trust: Trust::StatCache,
            version_file: None,
        };
        host.observe(&look).unwrap().actual
    }

    fn fill(root: &Path) {
        for directory in ["a/b/c", "other/deep", "mixed/own", "empty"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["a/f", "a/b/c/g", "other/deep/x", "mixed/own/y", "mixed/z", "top"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::set_permissions(root.join("a/f"), fs::Permissions::from_mode(0o711)).unwrap();
        symlink("f", root.join("a/link")).unwrap();
        symlink("b", root.join("a/door")).unwrap();
    }

    #[test]
    fn a_look_finds_entries_and_absence_and_what_is_in_the_way() {
        let tree = tempfile::tempdir().unwrap();
        fill(tree.path());
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let looked = ["a/f", "a/link", "a/b/c/g", "a/gone", "none/x/y", "a/f/x/y", "a/door/c/g", "pipe"];
        let actual = look(tree.path(), &looked, &[]);
        let entry = |kind, bytes: &str| Seen::Entry(Entry::of(kind, bytes.as_bytes()));
        let blocked =
            |at: &str, what: &str| Seen::Obstacle(Obstacle::Ancestor { at: path(at), what: what.into() });
        let expected = [
            ("a/b/c/g", entry(Kind::File, "a/b/c/g")),
            ("a/door/c/g", blocked("a/door", "symlink")),
            ("a/f", entry(Kind::Exec, "a/f")),
            ("a/f/x/y", blocked("a/f", "file")),
            ("a/link", entry(Kind::Link, "f")),
            ("pipe", Seen::Obstacle(Obstacle::Special("FIFO".into()))),
        ];
        let found: Vec<_> = actual.paths.iter().map(|(path, seen)| (path.as_str(), seen.clone())).collect();
        assert_eq!(found, expected);
        let directories: Vec<_> = actual.directories.iter().map(TreePath::as_str).collect();
        assert_eq!(directories, ["a", "a/b", "a/b/c"]);
        assert_eq!(actual.hashed, 2);
    }

    #[test]
    fn a_directory_in_the_way_names_what_is_foreign_in_it() {
        let tree = tempfile::tempdir().unwrap();
        fill(tree.path());
        let foreign = |looked: &[&str], at: &str| match look(tree.path(), looked, &[]).paths.remove(at) {
            Some(Seen::Obstacle(Obstacle::Directory { foreign })) => foreign,
            other => panic!("{other:?}"),
        };
        assert_eq!(foreign(&["mixed"], "mixed").as_deref(), Some("mixed/own"));
        assert_eq!(foreign(&["mixed", "mixed/own/y"], "mixed").as_deref(), Some("mixed/z"));
        assert_eq!(foreign(&["mixed", "mixed/own/y", "mixed/z"], "mixed"), None);
        assert_eq!(foreign(&["empty"], "empty"), None);
    }

    #[test]
    fn unmanaged_entries_are_listed_once_and_links_are_not_followed() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tempfile::tempdir().unwrap();
        fill(tree.path());
        fs::create_dir(tree.path().join(".packfleet")).unwrap();
        fs::set_permissions(tree.path().join(".packfleet"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(tree.path().join("a").join(std::ffi::OsStr::from_bytes(b"x\xff")), "").unwrap();
        let all = look(tree.path(), &["a/f", "a/b/c/g"], &[None, Some("a"), Some("gone")]).unmanaged;
        assert_eq!(all, ["a/door", "a/link", "a/x\\xff", "empty/", "mixed/", "other/", "top"]);
        assert_eq!(look(tree.path(), &["a/f"], &[Some("mixed")]).unmanaged, ["mixed/own/", "mixed/z"]);
        assert_eq!(look(tree.path(), &["a/f"], &[]).unmanaged, Vec::<String>::new());
    }

    #[test]
    fn a_root_that_does_not_exist_is_empty() {
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(look(&tree.path().join("none"), &["a"], &[None]), Actual::default());
        assert!(!tree.path().join("none").exists());
    }

    #[test]
    fn many_paths_are_looked_at_on_several_threads_alike() {
        let tree = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..3 * FEW).map(|at| format!("d{}/f{at}", at % 50)).collect();
        for name in &names {
            fs::create_dir_all(tree.path().join(name).parent().unwrap()).unwrap();
            fs::write(tree.path().join(name), name).unwrap();
        }
        let looked: Vec<&str> = names.iter().map(String::as_str).collect();
        let actual = look(tree.path(), &looked, &[]);
        assert_eq!(actual.hashed, names.len() as u64);
        for name in &names {
            let entry = Entry::of(Kind::File, name.as_bytes());
            assert_eq!(actual.paths.get(name.as_str()), Some(&Seen::Entry(entry)), "{name}");
        }
    }
}
