//! `fleet.lock`: which commit and tree each requirement of each pack stands for.
//!
//! While it exists, nothing moves: a requirement that is in it means the commit that is in it, branches
//! included. It is TOML for review in a pull request, one table per pack and requirement, in an order that
//! depends on nothing else, so that two people who lock the same write the same bytes.
//!
//! Law: `parse(print(x)) = x`. Packs of plain directories have no commit and are never locked. Deliberately
//! absent: choosing, comparing with what a source says now, and pins that follow; those are not in the file.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::problem::{line_column, quoted};
use crate::model::pack::{CommitId, Pin, Requirement};
use crate::model::{PackName, TreeDigest};

/// What stands above the pins.
const HEADER: &str = "\
# Which commit every requirement of fleet.toml stands for. Written by `packfleet lock`: commit it, and let
# `packfleet lock --update` move it; do not edit it.
";
/// The only format there is.
const FORMAT: u32 = 1;

/// All pins, sorted by pack and requirement, each such pair once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    entries: BTreeMap<(PackName, String), Locked>,
}

/// What one requirement of one pack stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The pack.
    pub pack: PackName,
    /// The requirement as it displays: `version ^1.1`, `branch main`.
    pub requirement: String,
    /// What people call it.
    pub version: String,
    /// By what it was found.
    pub found_by: FoundBy,
    /// The commit.
    pub commit: CommitId,
    /// The digest of the pack's tree, before overlays.
    pub tree: TreeDigest,
}

/// By what a commit was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundBy {
    /// A tag.
    Tag {
        /// Its full name.
        name: String,
        /// The id of its own object, if it is annotated: it changes when somebody tags anew.
        object: Option<CommitId>,
    },
    /// A branch, by its full name.
    Branch(String),
    /// A commit id, as it was written.
    Rev(String),
}

impl FoundBy {
    /// The name of the tag or branch, or the commit id as written.
    pub fn name(&self) -> &str {
        match self {
            Self::Tag { name, .. } | Self::Branch(name) | Self::Rev(name) => name,
        }
    }
}

/// Why a text is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct LockError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub reason: LockFault,
}

/// What can be wrong with a lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockFault {
    /// A merge that is not finished.
    #[error(
        "a conflict marker: take one side of the merge, then run `packfleet lock` to make it fit fleet.toml"
    )]
    Marker,
    /// No TOML, a key that is missing, unknown or of another type.
    #[error("{0}")]
    Syntax(String),
    /// Written by a packfleet that this one does not know.
    #[error("format {0} is unknown: a newer packfleet wrote it")]
    Format(u32),
    /// A value that is none of its kind.
    #[error("{key}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong, escaped.
        reason: String,
    },
    /// Not exactly one of tag, branch and rev.
    #[error("a pin has exactly one of tag, branch and rev")]
    FoundBy,
    /// The object of a tag, without a tag.
    #[error("tag_object belongs to a tag")]
    TagObject,
    /// A requirement of a pack twice.
    #[error(
        "pack {pack} has the requirement {requirement:?} twice: delete this file and run `packfleet lock`"
    )]
    Duplicate {
        /// The pack.
        pack: PackName,
        /// The requirement.
        requirement: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    format: Spanned<u32>,
    #[serde(default)]
    pin: Vec<Spanned<RawPin>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPin {
    pack: Spanned<String>,
    requirement: Spanned<String>,
    version: Spanned<String>,
    tag: Option<Spanned<String>>,
    tag_object: Option<Spanned<String>>,
    branch: Option<Spanned<String>>,
    rev: Option<Spanned<String>>,
    commit: Spanned<String>,
    tree: Spanned<String>,
}

/// A fault, and the bytes that are at fault.
type Fault = (Range<usize>, LockFault);

impl Lock {
    /// Understands the file.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        Self::read(text).map_err(|(span, reason)| {
            let (line, column) = line_column(text, span.start);
            LockError { line, column, reason }
        })
    }

    fn read(text: &str) -> Result<Self, Fault> {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            if ["<<<<<<< ", "||||||| ", ">>>>>>> "].iter().any(|marker| line.starts_with(marker)) {
                return Err((at..at + line.len(), LockFault::Marker));
            }
            at += line.len();
        }
        let raw: RawLock = toml::from_str(text).map_err(|error| {
            let reason = error.message().lines().next().unwrap_or_default().to_owned();
            (error.span().unwrap_or(0..0), LockFault::Syntax(reason))
        })?;
        if *raw.format.get_ref() != FORMAT {
            return Err((raw.format.span(), LockFault::Format(*raw.format.get_ref())));
        }
        let mut lock = Self::default();
        for pin in raw.pin {
            let span = pin.span();
            let locked = locked(pin.into_inner(), span.clone())?;
            let (pack, requirement) = (locked.pack.clone(), locked.requirement.clone());
            if lock.insert(locked).is_some() {
                return Err((span, LockFault::Duplicate { pack, requirement }));
            }
        }
        Ok(lock)
    }

    /// The file's text.
    pub fn print(&self) -> String {
        let mut out = format!("{HEADER}format = {FORMAT}\n");
        for entry in self.entries.values() {
            out.push_str("\n[[pin]]\n");
            let mut line = |key: &str, value: &str| {
                // Writing to a string does not fail.
                let _infallible = writeln!(out, "{key} = {}", toml::Value::String(value.to_owned()));
            };
            line("pack", entry.pack.as_str());
            line("requirement", &entry.requirement);
            line("version", &entry.version);
            match &entry.found_by {
                FoundBy::Tag { name, object } => {
                    line("tag", name);
                    if let Some(object) = object {
                        line("tag_object", object.as_str());
                    }
                }
                FoundBy::Branch(name) => line("branch", name),
                FoundBy::Rev(rev) => line("rev", rev),
            }
            line("commit", entry.commit.as_str());
            line("tree", &entry.tree.to_string());
        }
        out
    }

    /// What a requirement of a pack stands for.
    pub fn find(&self, pack: &PackName, requirement: &Requirement) -> Option<&Locked> {
        self.entries.get(&(pack.clone(), requirement.to_string()))
    }

    /// Adds a pin, or replaces the one of the same pack and requirement, which is given back.
    pub fn insert(&mut self, locked: Locked) -> Option<Locked> {
        self.entries.insert((locked.pack.clone(), locked.requirement.clone()), locked)
    }

    /// All pins, by pack and requirement.
    pub fn entries(&self) -> impl Iterator<Item = &Locked> {
        self.entries.values()
    }

    /// Drops the pins that are not wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Locked) -> bool) {
        self.entries.retain(|_, locked| wanted(locked));
    }
}

impl Locked {
    /// What a requirement was resolved to.
    pub fn new(
        pack: PackName,
        requirement: &Requirement,
        version: String,
        found_by: FoundBy,
        commit: CommitId,
        tree: TreeDigest,
    ) -> Self {
        Self { pack, requirement: requirement.to_string(), version, found_by, commit, tree }
    }

    /// As the pin of a deployment.
    pub fn pin(&self) -> Pin {
        Pin {
            version: self.version.clone(),
            found_by: self.found_by.name().to_owned(),
            commit: Some(self.commit.clone()),
            tree: self.tree,
        }
    }
}

fn locked(raw: RawPin, span: Range<usize>) -> Result<Locked, Fault> {
    let fault =
        |key, value: &Spanned<String>, reason: String| (value.span(), LockFault::Value { key, reason });
    let commit = |key, value: &Spanned<String>| {
        CommitId::new(value.get_ref())
            .map_err(|_| fault(key, value, format!("{} is no full commit id", quoted(value.get_ref()))))
    };
    // It is shown to people, so it must not drive their terminals.
    let plain = |key, value: Spanned<String>| {
        let text = value.get_ref();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(fault(
                key,
                &value,
                format!("{} is empty or holds a control character", quoted(text)),
            ));
        }
        Ok(value.into_inner())
    };
    let found_by = match (raw.tag, raw.branch, raw.rev) {
        (Some(tag), None, None) => {
            let object = raw.tag_object.as_ref().map(|object| commit("tag_object", object)).transpose()?;
            FoundBy::Tag { name: plain("tag", tag)?, object }
        }
        (None, branch, rev) => {
            if let Some(object) = raw.tag_object {
                return Err((object.span(), LockFault::TagObject));
            }
            match (branch, rev) {
                (Some(branch), None) => FoundBy::Branch(plain("branch", branch)?),
                (None, Some(rev)) => FoundBy::Rev(plain("rev", rev)?),
                _ => return Err((span, LockFault::FoundBy)),
            }
        }
        _ => return Err((span, LockFault::FoundBy)),
    };
    let pack =
        PackName::new(raw.pack.get_ref()).map_err(|error| fault("pack", &raw.pack, error.to_string()))?;
    let tree = raw.tree.get_ref().parse().map_err(|_| {
        fault(
            "tree",
            &raw.tree,
            format!("{} is no digest: 64 hexadecimal digits are needed", quoted(raw.tree.get_ref())),
        )
    })?;
    Ok(Locked {
        pack,
        requirement: plain("requirement", raw.requirement)?,
        version: plain("version", raw.version)?,
        found_by,
        commit: commit("commit", &raw.commit)?,
        tree,
    })
}

#[cfg(test)]
#[path = "lock_tests.rs"]
mod tests;
