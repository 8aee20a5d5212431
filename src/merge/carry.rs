//! Carrying an overlay from the version that it was written against to another one.
//!
//! A patch is applied exactly to its base, which gives what its author saw, and that is merged with the new
//! version three ways, as `git rebase` does. Where upstream changed how often a hunk's surroundings occur,
//! no merge can know which of the copies is meant, and whatever it answers is a guess: a conflict, even if
//! the merge is clean.
//!
//! Keys are merged into the new version as they were into the base, unless upstream changed one of them as
//! well: then the overlay's author did not know what is replaced now, and a person must look.
//!
//! Deliberately absent: renames (the caller brings base and new version of one file).

use super::patch::{Patch, PatchError};
use super::structured::{Format, StructuredError, contested_keys, merge_keys};
use super::text::{TextMerge, merge_text};

/// Lines around a change by which its place is known, whatever context the patch has.
const SURROUNDINGS: usize = 3;

/// What an overlay becomes on another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// The new version is the base: the overlay applies as it was written.
    Exact(Vec<u8>),
    /// Merged; the overlay should be written anew against this version some day.
    Clean(Vec<u8>),
    /// The new version holds the overlay's change: the overlay can go.
    AlreadyThere,
    /// A person must decide.
    Conflict(Clash),
}

/// Why an overlay does not carry over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clash {
    /// Overlay and upstream changed the same lines.
    Lines {
        /// The first such line of the base with the overlay applied, from 1.
        line: u64,
        /// Number of conflicting places.
        places: u64,
    },
    /// What a hunk changes occurs in the new version, and not as often as in the base.
    Ambiguous {
        /// From 1.
        hunk: usize,
        /// The lines of the new version where it could lie, from 1.
        lines: Vec<u64>,
    },
    /// Overlay and upstream changed these keys: JSON pointers, sorted.
    Keys(Vec<String>),
    /// One of the texts is binary.
    Binary,
    /// One of the texts is beyond the limits of merging.
    TooLarge,
}

/// Carries a patch that was written against `base` to `new`. An error says that it does not apply to `base`.
pub fn carry_patch(patch: &Patch, base: &[u8], new: &[u8]) -> Result<Carried, PatchError> {
    let ours = patch.apply_exactly(base)?;
    if new == base {
        return Ok(Carried::Exact(ours));
    }
    Ok(match merge_text(base, &ours, new) {
        TextMerge::Clean(merged) if merged == new => Carried::AlreadyThere,
        TextMerge::Clean(merged) => match ambiguity(patch, base, new) {
            Some(clash) => Carried::Conflict(clash),
            None => Carried::Clean(merged),
        },
        TextMerge::Conflict { line, places } => Carried::Conflict(Clash::Lines { line, places }),
        TextMerge::Binary => Carried::Conflict(Clash::Binary),
        TextMerge::TooLarge => Carried::Conflict(Clash::TooLarge),
    })
}

/// Carries the keys of a structured overlay that was written against `base` to `new`. An error says which of
/// the texts cannot be merged, and why.
pub fn carry_keys(format: Format, patch: &str, base: &str, new: &str) -> Result<Carried, StructuredError> {
    let ours = merge_keys(format, base, patch)?;
    if new == base {
        return Ok(Carried::Exact(ours.into_bytes()));
    }
    let merged = merge_keys(format, new, patch)?;
    let contested = contested_keys(format, patch, base, new)?;
    Ok(if !contested.is_empty() {
        Carried::Conflict(Clash::Keys(contested))
    } else if merged == new {
        Carried::AlreadyThere
    } else {
        Carried::Clean(merged.into_bytes())
    })
}

/// The first hunk whose place occurs more than once, and in the two versions not equally often.
fn ambiguity(patch: &Patch, base: &[u8], new: &[u8]) -> Option<Clash> {
    let lines = |text| <[u8]>::split_inclusive(text, |byte| *byte == b'\n').collect::<Vec<_>>();
    let (base, new) = (lines(base), lines(new));
    patch.places().enumerate().find_map(|(index, (before, count))| {
        let from = before.saturating_sub(SURROUNDINGS);
        let place = base.get(from..(before + count + SURROUNDINGS).min(base.len()))?;
        let (old, found) = (occurrences(place, &base).len(), occurrences(place, &new));
        let ambiguous = !found.is_empty() && found.len() != old;
        ambiguous.then(|| Clash::Ambiguous {
            hunk: index + 1,
            lines: found.iter().map(|at| (at + before - from + 1) as u64).collect(),
        })
    })
}

/// Where the lines occur, overlaps included.
fn occurrences(place: &[&[u8]], text: &[&[u8]]) -> Vec<usize> {
    if place.is_empty() {
        return Vec::new();
    }
    (0..text.len()).filter(|at| text[*at..].starts_with(place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TreePath;

    fn carry(base: &str, ours: &str, new: &str) -> Carried {
        let path = TreePath::new("x").unwrap();
        let patch = Patch::make(&path, base.as_bytes(), ours.as_bytes()).unwrap();
        carry_patch(&patch, base.as_bytes(), new.as_bytes()).unwrap()
    }

    #[test]
    fn patches() {
        let clean = |text: &str| Carried::Clean(text.as_bytes().to_vec());
        let section = "h\nx = 1\nend\n";
        let two = format!("A\n{section}B\n{section}C\n");
        let two_changed = format!("A\n{section}B\nh\nx = 2\nend\nC\n");
        for (name, base, ours, new, expected) in [
            ("same version", "a\nb\n", "a\nB\n", "a\nb\n", Carried::Exact(b"a\nB\n".to_vec())),
            ("far apart", "a\nb\nc\nd\n", "a\nb\nc\nD\n", "0\na\nb\nc\nd\n", clean("0\na\nb\nc\nD\n")),
            ("upstream has it", "a\nb\nc\n", "a\nB\nc\n", "0\na\nB\nc\n", Carried::AlreadyThere),
            (
                "the same line",
                "a\nb\nc\n",
                "a\nB\nc\n",
                "a\nx\nc\n",
                Carried::Conflict(Clash::Lines { line: 2, places: 1 }),
            ),
            // As often as before: the neighbours tell the copies apart.
            (
                "copies that stay",
                &two,
                &two_changed,
                &format!("new\n{two}"),
                clean(&format!("new\n{two_changed}")),
            ),
            // A third copy above: three ways, a merge would go to the last one and call it clean.
            (
                "a copy more",
                &section.repeat(4),
                &format!("{}h\nx = 2\nend\n{section}", section.repeat(2)),
                &section.repeat(5),
                Carried::Conflict(Clash::Ambiguous { hunk: 1, lines: vec![5, 8, 11] }),
            ),
            (
                "a copy less",
                &section.repeat(5),
                &format!("{}h\nx = 2\nend\n{}", section.repeat(2), section.repeat(2)),
                &section.repeat(4),
                Carried::Conflict(Clash::Ambiguous { hunk: 1, lines: vec![5, 8] }),
            ),
            ("binary", "a\nb\n", "a\nB\n", "a\0", Carried::Conflict(Clash::Binary)),
        ] {
            assert_eq!(carry(base, ours, new), expected, "{name}");
        }
    }

    #[test]
    fn keys() {
        let base = "{\n  \"a\": 1,\n  \"b\": 1\n}\n";
        let clean = |text: &str| Carried::Clean(text.as_bytes().to_vec());
        let clash = |pointer: &str| Carried::Conflict(Clash::Keys(vec![pointer.to_owned()]));
        for (name, new, expected) in [
            ("same version", base, Carried::Exact(base.replace("\"a\": 1", "\"a\": 2").into_bytes())),
            ("another key", "{ \"a\": 1, \"b\": 3 }", clean("{ \"a\": 2, \"b\": 3 }")),
            ("upstream has it", "{ \"a\": 2, \"b\": 3 }", Carried::AlreadyThere),
            ("the same key", "{ \"a\": 3, \"b\": 1 }", clash("/a")),
            ("upstream removed it", "{ \"b\": 1 }", clash("/a")),
        ] {
            let carried = carry_keys(Format::Json, "{\"a\": 2}", base, new);
            assert_eq!(carried, Ok(expected), "{name}");
        }
        let toml = carry_keys(Format::Toml, "a = 2", "a = 1\n", "a = 1 # new\n");
        assert_eq!(toml, Ok(clean("a = 2 # new\n")));
        assert!(carry_keys(Format::Json, "{}", "{}", "{").is_err());
    }

    #[test]
    fn a_patch_that_does_not_lie_on_its_base_is_an_error() {
        let path = TreePath::new("x").unwrap();
        let patch = Patch::make(&path, b"a\nb\n", b"a\nB\n").unwrap();
        assert!(matches!(carry_patch(&patch, b"b\n", b"b\n"), Err(PatchError::Mismatch { .. })));
    }
}
