//! Whether entries can lie beside each other: the rules that concern more than one path at a time.
//!
//! The same rules hold for a pack's tree, in its own coordinates, and for what it installs, in those of a
//! root. Nothing lies beneath a file or a link; names differ in more than letter case; links stay inside.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use super::link::{self, LinkFault};
use super::pack::Case;
use super::{Kind, TreePath};

/// What one path holds, as far as its neighbours are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// File, executable or link.
    pub kind: Kind,
    /// The text of a link.
    pub link: Option<&'a str>,
}

/// Entries that cannot lie beside each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Something lies beneath a link.
    #[error("{path:?} lies beneath the symbolic link {link:?}")]
    ThroughLink {
        /// What lies there.
        path: TreePath,
        /// The link.
        link: TreePath,
    },
    /// One name is a file and a directory.
    #[error("{file:?} is both a file and the directory of {path:?}")]
    FileAndDirectory {
        /// The file.
        file: TreePath,
        /// What lies beneath it.
        path: TreePath,
    },
    /// Two names are one where letter case does not count.
    #[error(
        "{first:?} and {second:?} differ in letter case only; `case = \"distinct\"` in the pack allows that"
    )]
    Case {
        /// One.
        first: TreePath,
        /// The other.
        second: TreePath,
    },
    /// A link that may not be.
    #[error("the symbolic link {path:?} -> {text:?} {fault}")]
    Link {
        /// Where it lies.
        path: TreePath,
        /// Its text.
        text: String,
        /// What is wrong; part of the message.
        fault: LinkFault,
    },
}

/// Checks all entries, each path once, in any order. `inside` says which places (`""` is the top) links may lead to.
pub fn check<'a>(
    entries: impl IntoIterator<Item = (&'a TreePath, Shape<'a>)>,
    case: Case,
    inside: impl Fn(&str) -> bool,
) -> Result<(), ShapeError> {
    let entries: BTreeMap<&str, (&TreePath, Shape<'_>)> =
        entries.into_iter().map(|(path, shape)| (path.as_str(), (path, shape))).collect();
    let mut folded: BTreeMap<String, TreePath> = BTreeMap::new();
    let mut last: Option<&TreePath> = None;
    for (path, shape) in entries.values() {
        let known = last.map_or(0, |last| shared(last, path));
        let mut above: Vec<TreePath> =
            path.ancestors().take_while(|above| above.as_str().len() > known).collect();
        // From the top, so that messages name the directories that differ, not what lies below them.
        above.reverse();
        for above in above {
            match entries.get(above.as_str()).map(|(_, shape)| shape.kind) {
                Some(Kind::Link) => {
                    return Err(ShapeError::ThroughLink { path: (*path).clone(), link: above });
                }
                Some(_) => {
                    return Err(ShapeError::FileAndDirectory { file: above, path: (*path).clone() });
                }
                None => {}
            }
            if case == Case::Refuse {
                clash(&mut folded, above)?;
            }
        }
        if case == Case::Refuse {
            clash(&mut folded, (*path).clone())?;
        }
        if let Some(text) = shape.link {
            link::check(path, text, |at| entries.get(at).and_then(|(_, shape)| shape.link), &inside)
                .map_err(|fault| ShapeError::Link { path: (*path).clone(), text: text.to_owned(), fault })?;
        }
        last = Some(path);
    }
    Ok(())
}

/// Length of the longest ancestor that two paths share.
fn shared(left: &TreePath, right: &TreePath) -> usize {
    let equal = left.as_str().bytes().zip(right.as_str().bytes()).take_while(|(l, r)| l == r).count();
    // A path's own length is no ancestor of it; what ends at a slash in both is.
    left.as_str().as_bytes()[..equal].iter().rposition(|byte| *byte == b'/').unwrap_or(0)
}

fn clash(folded: &mut BTreeMap<String, TreePath>, path: TreePath) -> Result<(), ShapeError> {
    let key = fold(path.as_str());
    match folded.get(&key) {
        Some(first) if *first != path => Err(ShapeError::Case { first: first.clone(), second: path }),
        Some(_) => Ok(()),
        None => {
            folded.insert(key, path);
            Ok(())
        }
    }
}

/// The text under which a file system that ignores letter case and normalisation would file a name:
/// composed, with the case folded through the upper to the lower.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(case: Case, paths: &[(&str, Option<&str>)]) -> String {
        let paths: Vec<(TreePath, Option<&str>)> =
            paths.iter().map(|(path, link)| (TreePath::new(path).unwrap(), *link)).collect();
        let shape =
            |link: Option<&'static str>| Shape { kind: link.map_or(Kind::File, |_| Kind::Link), link };
        let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
        let entries = paths.iter().map(|(path, link)| (path, shape(link.map(leak))));
        check(entries, case, |_| true).map_or_else(|error| error.to_string(), |()| "ok".into())
    }

    #[test]
    fn neighbours() {
        let file = |path| (path, None);
        for (paths, expected) in [
            (vec![file("a"), file("b/c"), file("b/d"), file("ab")], "ok"),
            (vec![file("a"), file("a.b"), file("a/b")], "\"a\" is both a file and the directory of \"a/b\""),
            (
                vec![("a", Some("b")), file("a-b"), file("a/b/c")],
                "\"a/b/c\" lies beneath the symbolic link \"a\"",
            ),
            (vec![("a", Some("../x"))], "the symbolic link \"a\" -> \"../x\" leads out of the tree"),
        ] {
            assert_eq!(verdict(Case::Distinct, &paths), expected);
            assert_eq!(verdict(Case::Refuse, &paths), expected);
        }
    }

    #[test]
    fn letter_case() {
        for (first, second) in [
            ("README.md", "readme.md"),
            ("a/X/1", "a/x/2"),
            ("\u{e4}", "a\u{308}"),
            ("\u{c4}", "a\u{308}"),
            ("strasse", "stra\u{df}e"),
            ("\u{3c3}", "\u{3c2}"),
            ("x/y/z", "X"),
            ("Docs/deep/a", "docs/deep/b"),
        ] {
            let paths = [(first, None), (second, None)];
            let refused = verdict(Case::Refuse, &paths);
            assert!(refused.contains("differ in letter case only"), "{first} {second}: {refused}");
            assert_eq!(verdict(Case::Distinct, &paths), "ok", "{first} {second}");
        }
        assert_eq!(verdict(Case::Refuse, &[("a", None), ("b/a", None), ("b/A2", None), ("c/a", None)]), "ok");
    }
}
