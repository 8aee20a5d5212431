//! Which files upstream renamed between two versions of a pack.
//!
//! Asked about paths that are gone and paths that are new, in three rounds: equal content; names that differ
//! in letter case only; at least half of the content. Each path is used once, and of several candidates the
//! one with the same file name wins, then the one in the nearest directory, then the first. The answer does
//! not depend on the order of the entries.
//!
//! Links are renamed with their text unchanged or not at all. Empty files are all alike and follow their file
//! name only. Who asks about single files ([`followed`]) is told of one more kind: a file that is like nothing
//! goes where its directory went. Deliberately absent: copies, and a rename onto a path that was there before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::text::is_binary;
use crate::model::pack::PackEntry;
use crate::model::{Content, Kind, TreePath};

/// Least similarity of a rename, in percent.
pub const SIMILAR: u8 = 50;
/// Larger files are renamed with equal content only.
pub const MAX_BYTES: u64 = 1 << 20;
/// More pairs than these are not compared: only those with the same file name are.
const MAX_PAIRS: usize = 40_000;
/// More pairs of equal content than these are matched in order of their names.
const MAX_EQUAL_PAIRS: usize = 1_000_000;

/// Renames from `old` to `new`: the new path of each old one that has one. Old paths that are `named` are compared
/// with every new one, however many there are.
///
/// `similarity` is asked about pairs of regular files for which content must decide, and answers in percent;
/// it may be asked about a file often. See [`similarity()`].
pub fn renames_of(
    old: &[PackEntry],
    new: &[PackEntry],
    named: &dyn Fn(&TreePath) -> bool,
    similarity: &mut dyn FnMut(&PackEntry, &PackEntry) -> u8,
) -> BTreeMap<TreePath, TreePath> {
    let mut search = Search::new(old, new);
    search.equal_content();
    search.letter_case();
    search.similar(named, similarity);
    search.found
}

/// What became of the paths that are `named`, where renames tell; all others are left out. Contents are
/// compared only if equal ones and letter case do not tell it of all. A named file that is like no other goes
/// along with its directory, where that moved as such.
pub fn followed(
    old: &[PackEntry],
    new: &[PackEntry],
    named: &dyn Fn(&TreePath) -> bool,
    similarity: &mut dyn FnMut(&PackEntry, &PackEntry) -> u8,
) -> BTreeMap<TreePath, TreePath> {
    let mut search = Search::new(old, new);
    search.equal_content();
    search.letter_case();
    if search.gone.keys().any(|path| named(path)) {
        search.similar(named, similarity);
        search.with_directories(old, new, named);
    }
    search.found.retain(|path, _| named(path));
    search.found
}

/// Where a directory went as a whole: where at least half of its files went that are `known` to have been in it,
/// under the names that they had in it. Of two such places the first.
pub fn directory_target<'p>(
    directory: &TreePath,
    known: usize,
    moved: impl IntoIterator<Item = (&'p TreePath, &'p TreePath)>,
) -> Option<TreePath> {
    let mut targets: BTreeMap<TreePath, usize> = BTreeMap::new();
    for (was, to) in moved {
        let Some(rest) = was.strip(directory) else { continue };
        let above = to.as_str().strip_suffix(rest.as_str()).and_then(|above| above.strip_suffix('/'));
        if let Some(above) = above.and_then(|above| TreePath::new(above).ok()) {
            *targets.entry(above).or_default() += 1;
        }
    }
    targets.into_iter().find(|(_, files)| files * 2 >= known).map(|(at, _)| at)
}

/// How much of the larger of two texts is in the other, line by line, in percent: git's measure, by lines
/// instead of chunks. Binary content is equal or has nothing in common.
pub fn similarity(a: &[u8], b: &[u8]) -> u8 {
    u8::try_from(likeness(a, b) / (EQUAL / 100)).unwrap_or(100)
}

/// What [`likeness`] says of equal texts.
pub const EQUAL: u32 = 1_000_000;

/// The same measure in millionths, to tell near versions of a large file apart.
pub fn likeness(a: &[u8], b: &[u8]) -> u32 {
    if a == b {
        return EQUAL;
    }
    if is_binary(a) || is_binary(b) {
        return 0;
    }
    let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
    for line in a.split_inclusive(|byte| *byte == b'\n') {
        *counts.entry(line).or_default() += 1;
    }
    let mut shared = 0;
    for line in b.split_inclusive(|byte| *byte == b'\n') {
        if let Some(count) = counts.get_mut(line).filter(|count| **count > 0) {
            *count -= 1;
            shared += line.len();
        }
    }
    // Different texts can have the same lines in another order; only equal ones are equal.
    let most = a.len().max(b.len()).max(1) as u128;
    u32::try_from(shared as u128 * u128::from(EQUAL) / most).unwrap_or(EQUAL).min(EQUAL - 1)
}

/// Paths that are still to be paired, sorted.
struct Search<'e> {
    gone: BTreeMap<&'e TreePath, &'e PackEntry>,
    added: BTreeMap<&'e TreePath, &'e PackEntry>,
    found: BTreeMap<TreePath, TreePath>,
}

/// Two entries, the better first when sorted.
type Pair<'e> = (Reverse<u8>, Reverse<Nearness>, &'e TreePath, &'e TreePath);

/// How well two paths fit: same file name, same but for letter case, shared directories.
type Nearness = (bool, bool, usize);

impl<'e> Search<'e> {
    fn new(old: &'e [PackEntry], new: &'e [PackEntry]) -> Self {
        let paths = |entries: &'e [PackEntry]| entries.iter().map(|it| &it.path).collect::<BTreeSet<_>>();
        let without = |entries: &'e [PackEntry], others: BTreeSet<&TreePath>| {
            entries.iter().filter(|it| !others.contains(&it.path)).map(|it| (&it.path, it)).collect()
        };
        Self { gone: without(old, paths(new)), added: without(new, paths(old)), found: BTreeMap::new() }
    }

    fn equal_content(&mut self) {
        type Group<'e> = (Vec<&'e TreePath>, Vec<&'e TreePath>);
        let mut groups: BTreeMap<(bool, Content), Group<'e>> = BTreeMap::new();
        let key = |entry: &PackEntry| (entry.kind == Kind::Link, entry.content);
        for entry in self.gone.values() {
            groups.entry(key(entry)).or_default().0.push(&entry.path);
        }
        for entry in self.added.values() {
            groups.entry(key(entry)).or_default().1.push(&entry.path);
        }
        for (mut gone, mut added) in groups.into_values() {
            let empty = gone.first().is_some_and(|path| self.gone[path].size == 0);
            let pairs = gone.len().saturating_mul(added.len());
            if pairs <= MAX_EQUAL_PAIRS {
                let pairs = gone.iter().flat_map(|old| added.iter().map(|new| pair(0, old, new)));
                self.take(pairs.filter(|pair| !empty || pair.1.0.1).collect());
            } else {
                // Thousands of equal files: their names, in order, are all there is to go by.
                gone.sort_by_key(|path| (path.file_name(), *path));
                added.sort_by_key(|path| (path.file_name(), *path));
                let pairs = gone.iter().zip(&added).map(|(old, new)| pair(0, old, new));
                self.take(pairs.filter(|pair| !empty || pair.1.0.1).collect());
            }
        }
    }

    /// On a file system without letter case they are one file, whatever became of its content.
    fn letter_case(&mut self) {
        let folded = |path: &TreePath| path.as_str().to_lowercase();
        let mut added: BTreeMap<String, Vec<&'e TreePath>> = BTreeMap::new();
        for (path, entry) in &self.added {
            if entry.kind != Kind::Link {
                added.entry(folded(path)).or_default().push(*path);
            }
        }
        let gone = self.gone.values().filter(|entry| entry.kind != Kind::Link);
        let pairs = gone.flat_map(|old| {
            added.get(&folded(&old.path)).into_iter().flatten().map(|new| pair(0, &old.path, new))
        });
        let pairs = pairs.collect();
        self.take(pairs);
    }

    fn similar(
        &mut self,
        named: &dyn Fn(&TreePath) -> bool,
        similarity: &mut dyn FnMut(&PackEntry, &PackEntry) -> u8,
    ) {
        let text = |entry: &&&PackEntry| entry.kind != Kind::Link && (1..=MAX_BYTES).contains(&entry.size);
        // What a smaller file can share is its size, so that half the size is the least.
        let sizes = |old: &PackEntry, new: &PackEntry| old.size.min(new.size) * 2 >= old.size.max(new.size);
        let gone: Vec<&PackEntry> = self.gone.values().filter(text).copied().collect();
        let added: Vec<&PackEntry> = self.added.values().filter(text).copied().collect();
        let all = gone.len().saturating_mul(added.len()) <= MAX_PAIRS;
        let mut by_name: BTreeMap<String, Vec<&'e PackEntry>> = BTreeMap::new();
        if !all {
            for new in &added {
                by_name.entry(new.path.file_name().to_lowercase()).or_default().push(new);
            }
        }
        let mut pairs: BTreeSet<Pair<'e>> = BTreeSet::new();
        let mut asked = 0;
        let mut ask = |old: &'e PackEntry, new: &'e PackEntry, pairs: &mut BTreeSet<Pair<'e>>| {
            if asked >= MAX_PAIRS || !sizes(old, new) {
                return;
            }
            asked += 1;
            let percent = similarity(old, new);
            if percent >= SIMILAR {
                pairs.insert(pair(percent, &old.path, &new.path));
            }
        };
        if !all {
            for old in gone.iter().filter(|old| named(&old.path)) {
                let before = pairs.clone();
                added.iter().for_each(|new| ask(old, new, &mut pairs));
                // Whoever else is like what it is like may have the better claim.
                let claimed: Vec<&TreePath> = pairs.difference(&before).map(|pair| pair.3).collect();
                for new in added.iter().filter(|new| claimed.contains(&&new.path)) {
                    gone.iter().for_each(|other| ask(other, new, &mut pairs));
                }
            }
        }
        for old in &gone {
            let candidates =
                if all { Some(&added) } else { by_name.get(&old.path.file_name().to_lowercase()) };
            for new in candidates.into_iter().flatten() {
                ask(old, new, &mut pairs);
            }
        }
        let pairs = pairs.into_iter().collect();
        self.take(pairs);
    }

    /// Named files that are like nothing: nothing is left of a directory, the nearest one that tells, and at
    /// least half of it is elsewhere.
    fn with_directories(
        &mut self,
        old: &'e [PackEntry],
        new: &'e [PackEntry],
        named: &dyn Fn(&TreePath) -> bool,
    ) {
        let left: Vec<&'e TreePath> = self.gone.keys().copied().filter(|path| named(path)).collect();
        for path in left {
            for directory in path.ancestors() {
                if new.iter().any(|entry| entry.path.is_below(&directory)) {
                    break;
                }
                let known = old.iter().filter(|entry| entry.path.is_below(&directory)).count();
                let moved = self.found.iter().filter(|(was, _)| was.is_below(&directory));
                let to = directory_target(&directory, known, moved)
                    .and_then(|at| at.join(&path.strip(&directory)?).ok());
                if let Some((to, _)) = to.and_then(|to| self.added.remove_entry(&to)) {
                    self.gone.remove(path);
                    self.found.insert(path.clone(), to.clone());
                    break;
                }
            }
        }
    }

    /// Takes the best pairs first; a path that is used is used up.
    fn take(&mut self, mut pairs: Vec<Pair<'e>>) {
        pairs.sort();
        for (_, _, old, new) in pairs {
            if self.gone.contains_key(old) && self.added.contains_key(new) {
                self.gone.remove(old);
                self.added.remove(new);
                self.found.insert(old.clone(), new.clone());
            }
        }
    }
}

fn pair<'e>(percent: u8, old: &'e TreePath, new: &'e TreePath) -> Pair<'e> {
    let (a, b) = (old.file_name(), new.file_name());
    let directories = |path: &'e TreePath| path.as_str().strip_suffix(path.file_name()).unwrap_or_default();
    let shared = directories(old)
        .split_terminator('/')
        .zip(directories(new).split_terminator('/'))
        .take_while(|(old, new)| old == new)
        .count();
    (Reverse(percent), Reverse((a == b, a.to_lowercase() == b.to_lowercase(), shared)), old, new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn renames(
        old: &[PackEntry],
        new: &[PackEntry],
        similarity: &mut dyn FnMut(&PackEntry, &PackEntry) -> u8,
    ) -> BTreeMap<TreePath, TreePath> {
        renames_of(old, new, &|_| false, similarity)
    }

    fn entry(path: &str, text: &str) -> PackEntry {
        let (kind, text) = text.strip_prefix("->").map_or((Kind::File, text), |text| (Kind::Link, text));
        PackEntry {
            path: TreePath::new(path).unwrap(),
            kind,
            content: Content::of(text.as_bytes()),
            size: text.len() as u64,
            link: (kind == Kind::Link).then(|| text.into()),
        }
    }

    fn found(old: &[(&str, &str)], new: &[(&str, &str)]) -> Vec<(String, String)> {
        let entries =
            |side: &[(&str, &str)]| side.iter().map(|(path, text)| entry(path, text)).collect::<Vec<_>>();
        let text = |side: &[(&str, &str)], entry: &PackEntry| {
            side.iter().find(|(path, _)| *path == entry.path.as_str()).unwrap().1.as_bytes().to_vec()
        };
        let mut ask = |a: &PackEntry, b: &PackEntry| similarity(&text(old, a), &text(new, b));
        let found = renames(&entries(old), &entries(new), &mut ask);
        found.into_iter().map(|(old, new)| (old.as_str().into(), new.as_str().into())).collect()
    }

    #[test]
    fn table() {
        let half = "1\n2\n3\n4\n";
        type Side<'a> = &'a [(&'a str, &'a str)];
        let cases: [(&str, Side, Side, Side); 14] = [
            ("nothing", &[("a", "x")], &[("a", "y")], &[]),
            ("moved", &[("a/f", "x")], &[("b/f", "x")], &[("a/f", "b/f")]),
            ("the same name wins", &[("a/f", "x")], &[("a/g", "x"), ("z/f", "x")], &[("a/f", "z/f")]),
            ("then letter case", &[("a/f", "x")], &[("a/g", "x"), ("z/F", "x")], &[("a/f", "z/F")]),
            (
                "then the directory",
                &[("a/b/f", "x")],
                &[("a/c/g", "x"), ("a/b/g", "x")],
                &[("a/b/f", "a/b/g")],
            ),
            ("then the order", &[("a/f", "x")], &[("b/h", "x"), ("b/g", "x")], &[("a/f", "b/g")]),
            ("each once", &[("a/f", "x"), ("b/f", "x")], &[("c/f", "x")], &[("a/f", "c/f")]),
            ("a copy is no rename", &[("a", "x")], &[("a", "x"), ("b", "x")], &[]),
            ("half is enough", &[("a", half)], &[("b", "1\n2\nx\ny\n")], &[("a", "b")]),
            ("less is not", &[("a", half)], &[("b", "1\nw\nx\ny\n")], &[]),
            (
                "equal before similar",
                &[("f", half), ("g", "1\n2\n3\n5\n")],
                &[("d/f", "1\n2\n3\n5\n")],
                &[("g", "d/f")],
            ),
            (
                "letter case, another text",
                &[("Readme.md", "x\n")],
                &[("README.md", "y\n"), ("z", "q")],
                &[("Readme.md", "README.md")],
            ),
            ("links", &[("a", "->x"), ("b", "x")], &[("c", "->x"), ("d", "->y")], &[("a", "c")]),
            (
                "empty",
                &[("a/__init__.py", ""), ("b", "")],
                &[("c", ""), ("d/__init__.py", "")],
                &[("a/__init__.py", "d/__init__.py")],
            ),
        ];
        for (name, old, new, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(found(old, new), expected, "{name}");
        }
    }

    #[test]
    fn similarity_of_texts() {
        for (a, b, expected) in [
            ("", "", 100),
            ("a\n", "a\n", 100),
            ("a\nb\n", "b\na\n", 99),
            ("a\na\n", "a\nb\n", 50),
            ("", "a\n", 0),
            ("a\0", "a\0b", 0),
            ("a\n", "a", 0),
            ("aaa\nb\n", "aaa\n", 66),
        ] {
            assert_eq!(similarity(a.as_bytes(), b.as_bytes()), expected, "{a:?} {b:?}");
            assert_eq!(similarity(b.as_bytes(), a.as_bytes()), expected, "{b:?} {a:?}");
        }
    }

    #[test]
    fn a_named_file_is_compared_with_all() {
        let text = |salt: usize, n: usize| format!("{salt:09}{n:03}\n{salt:09}{n:03}x\n");
        let side = |directory: &str, salt: usize| -> Vec<(String, String)> {
            (0..300).map(|n| (format!("{directory}/{directory}{n}"), text(salt, n))).collect()
        };
        let (mut old, mut new) = (side("a", 1), side("b", 2));
        old.push(("one".into(), "1\n2\n3\n4\n".into()));
        old.push(("two".into(), "1\n2\n3\n5\n".into()));
        new.push(("new".into(), "1\n2\n3\n5\n6\n".into()));
        let entries =
            |side: &[(String, String)]| side.iter().map(|(at, text)| entry(at, text)).collect::<Vec<_>>();
        let texts: BTreeMap<&str, &str> =
            old.iter().chain(&new).map(|(at, text)| (at.as_str(), text.as_str())).collect();
        let of = |entry: &PackEntry| texts[entry.path.as_str()].as_bytes();
        let mut ask = |a: &PackEntry, b: &PackEntry| similarity(of(a), of(b));
        let mut found = |name: &str| {
            let named = |path: &TreePath| path.as_str() == name;
            renames_of(&entries(&old), &entries(&new), &named, &mut ask).into_iter().next()
        };
        assert_eq!(found("nobody"), None);
        let path = |text: &str| TreePath::new(text).unwrap();
        // The nearer one has it, whichever was asked about.
        assert_eq!(found("two"), Some((path("two"), path("new"))));
        assert_eq!(found("one"), Some((path("two"), path("new"))));
    }

    #[test]
    fn a_named_file_goes_with_its_directory_and_others_are_not_told() {
        type Side<'a> = &'a [(&'a str, &'a str)];
        let found = |old: Side, new: Side, name: &str| {
            let entries = |side: Side| side.iter().map(|(path, text)| entry(path, text)).collect::<Vec<_>>();
            let mut asked = 0;
            let mut ask = |_: &PackEntry, _: &PackEntry| {
                asked += 1;
                0
            };
            let named = |path: &TreePath| path.as_str() == name;
            let found = followed(&entries(old), &entries(new), &named, &mut ask);
            let shown = found.iter().map(|(a, b)| format!("{a} {b}")).collect::<Vec<_>>().join(", ");
            (shown, asked > 0)
        };
        let old: Side = &[("d/a", "a"), ("d/s/b", "b"), ("d/s/x", "x")];
        let moved: Side = &[("e/a", "a"), ("e/s/b", "b"), ("e/s/x", "y")];
        assert_eq!(found(old, moved, "d/s/x"), ("d/s/x e/s/x".into(), true));
        assert_eq!(found(old, moved, "d/a"), ("d/a e/a".into(), false), "equal content tells");
        let half: Side = &[("e/a", "a"), ("f/s/b", "b"), ("e/s/x", "y")];
        assert_eq!(found(old, half, "d/s/x"), (String::new(), true), "its directory went to f/s");
        let stays: Side = &[("e/a", "a"), ("d/s/b", "b"), ("e/s/x", "y")];
        assert_eq!(found(old, stays, "d/s/x"), (String::new(), true), "some of it is still there");
        let other: Side = &[("e/a", "a"), ("e/s/b", "b")];
        assert_eq!(found(old, other, "d/s/x"), (String::new(), false), "there is no such file");
    }

    #[test]
    fn many_files_are_compared_by_name_only() {
        let side = |directory: &str, salt: usize| -> Vec<PackEntry> {
            (0..300).map(|n| entry(&format!("{directory}/{n}"), &format!("{salt:09}{n:03}"))).collect()
        };
        let mut asked = 0;
        let found = renames(&side("a", 1), &side("b", 2), &mut |_, _| {
            asked += 1;
            60
        });
        assert_eq!((asked, found.len()), (300, 300));
        assert!(found.iter().all(|(old, new)| old.file_name() == new.file_name()));
        // Equal content at any number.
        let equal = |directory: &str| -> Vec<PackEntry> {
            (0..1_100).map(|n| entry(&format!("{directory}/{n}"), "x")).collect()
        };
        let found = renames(&equal("a"), &equal("b"), &mut |_, _| 0);
        assert!(found.len() == 1_100 && found.iter().all(|(old, new)| old.file_name() == new.file_name()));
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_each_path_is_used_once(
            old in prop::collection::btree_map("[ab]/[a-cA-C]", "([xy]\n){0,4}", 0..6),
            new in prop::collection::btree_map("[ab]/[a-cA-C]", "([xy]\n){0,4}", 0..6),
        ) {
            let entries = |side: &BTreeMap<String, String>| side.iter().map(|(path, text)| entry(path, text)).collect::<Vec<_>>();
            let mut ask = |a: &PackEntry, b: &PackEntry| {
                similarity(old[a.path.as_str()].as_bytes(), new[b.path.as_str()].as_bytes())
            };
            let (mut before, mut after) = (entries(&old), entries(&new));
            let found = renames(&before, &after, &mut ask);
            before.reverse();
            after.reverse();
            prop_assert_eq!(&renames(&before, &after, &mut ask), &found);
            prop_assert_eq!(found.values().collect::<BTreeSet<_>>().len(), found.len());
            for (from, to) in &found {
                prop_assert!(!new.contains_key(from.as_str()) && !old.contains_key(to.as_str()));
            }
        }
    }
}
