//! Which commit a requirement means, given the refs of a source.
//!
//! A range chooses the highest version that matches among the tags that fit the pack's pattern; a
//! pre-release only if the range names one of the same version. Of two tags that differ in build metadata
//! alone the greater one in text is taken, so that the choice does not depend on anything else. A tag or
//! branch is taken by its full name. A commit id is left to the source, which alone knows all commits.
//!
//! What was chosen is never replaced by a second choice: if the highest version's tag leads to no commit,
//! that is an error, or a broken release would go unnoticed.

use std::fmt;

use semver::Version;

use super::suggest::nearest;
use crate::model::TreeDigest;
use crate::model::pack::{CommitId, Pack, Pin, Ref, Refs, Requirement, TagPattern};

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The semantic version, if a tag that fits the pattern was chosen.
    pub version: Option<Version>,
    /// The tag or branch, or the revision as written.
    pub found_by: String,
    /// Which commit.
    pub at: Wanted,
}

/// A commit, or what the source must still resolve to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Commit(CommitId),
    /// A full or abbreviated id, to be resolved by the source.
    Rev(String),
}

impl Chosen {
    /// The version label: the semantic version, else the short commit id.
    pub fn label(&self, commit: &CommitId) -> String {
        self.version.as_ref().map_or_else(|| commit.short().to_owned(), ToString::to_string)
    }

    /// The pin, once commit and tree are known.
    pub fn pin(&self, commit: CommitId, tree: TreeDigest) -> Pin {
        Pin { version: self.label(&commit), found_by: self.found_by.clone(), commit: Some(commit), tree }
    }
}

/// Why nothing could be chosen: a version hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// A range, and a source without tags.
    #[error("nothing to match version {range} with: the source has no tags; use branch or rev")]
    NoTags {
        /// The range.
        range: String,
    },
    /// A range, and no tag that fits the pattern.
    #[error("no tag fits the pattern {pattern:?}; there are {tags}")]
    NoneFits {
        /// The pack's pattern.
        pattern: String,
        /// Some of the tags there are.
        tags: Listed,
    },
    /// A range that no version matches.
    #[error("no version matches {range}; {} {versions}{}", nearest_are(versions), pre_release(.excluded.as_ref()))]
    NoMatch {
        /// The range.
        range: String,
        /// The versions nearest to what the range begins with.
        versions: Listed,
        /// A pre-release that the range would hold if it named one.
        excluded: Option<Version>,
    },
    /// No tag or branch by that name.
    #[error("there is no {kind} {name:?}{}", perhaps(.near.as_ref()))]
    NoRef {
        /// Tag or branch.
        kind: RefKind,
        /// Its name.
        name: String,
        /// What may have been meant.
        near: Option<Near>,
    },
    /// A tag on something that is not a commit.
    #[error("tag {0:?} leads to no commit")]
    NoCommit(String),
}

/// Tag or branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    /// A tag.
    Tag,
    /// A branch.
    Branch,
}

impl fmt::Display for RefKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tag => "tag",
            Self::Branch => "branch",
        })
    }
}

/// A ref that may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Near {
    /// One of the same kind with a similar name.
    Named(String),
    /// One of the other kind with that very name.
    Other(RefKind),
    /// None is near; these exist.
    Known(Listed),
}

/// A few of many names, escaped; prints how many are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    names: Vec<String>,
    more: usize,
}

/// Names that a message lists at most.
const LISTED: usize = 5;

impl Listed {
    fn new(names: impl Iterator<Item = String>) -> Self {
        let mut names: Vec<String> = names.collect();
        let more = names.len().saturating_sub(LISTED);
        names.truncate(LISTED);
        Self { names, more }
    }
}

fn nearest_are(versions: &Listed) -> &'static str {
    if versions.names.len() == 1 { "the nearest is" } else { "the nearest are" }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn pre_release(excluded: Option<&Version>) -> String {
    excluded.map_or_else(String::new, |version| {
        format!("; {version} is a pre-release, which only a range that names one chooses")
    })
}

fn perhaps(near: Option<&Near>) -> String {
    match near {
        None => String::new(),
        Some(Near::Named(name)) => format!("; did you mean {name:?}?"),
        Some(Near::Other(kind)) => format!("; there is a {kind} by that name"),
        Some(Near::Known(names)) => format!("; there are {names}"),
    }
}

/// Chooses the commit of `pack` that `requirement` asks for.
pub fn choose(pack: &Pack, requirement: &Requirement, refs: &Refs) -> Result<Chosen, ChooseError> {
    match requirement {
        Requirement::Version(range) => highest(&pack.tag, range, &refs.tags),
        Requirement::Tag(name) => {
            let tag = named(RefKind::Tag, name, refs)?;
            let version = pack.tag.version(name);
            Ok(Chosen { version, found_by: name.clone(), at: Wanted::Commit(leads_to(tag)?) })
        }
        Requirement::Branch(name) => {
            let branch = named(RefKind::Branch, name, refs)?;
            Ok(Chosen { version: None, found_by: name.clone(), at: Wanted::Commit(leads_to(branch)?) })
        }
        Requirement::Rev(rev) => {
            Ok(Chosen { version: None, found_by: rev.clone(), at: Wanted::Rev(rev.clone()) })
        }
    }
}

fn highest(pattern: &TagPattern, range: &semver::VersionReq, tags: &[Ref]) -> Result<Chosen, ChooseError> {
    let mut versions: Vec<(Version, &Ref)> =
        tags.iter().filter_map(|tag| Some((pattern.version(&tag.name)?, tag))).collect();
    versions.sort_by(|left, right| left.0.cmp(&right.0));
    if let Some((version, tag)) = versions.iter().rfind(|(version, _)| range.matches(version)) {
        let at = Wanted::Commit(leads_to(tag)?);
        return Ok(Chosen { version: Some(version.clone()), found_by: tag.name.clone(), at });
    }
    if tags.is_empty() {
        return Err(ChooseError::NoTags { range: range.to_string() });
    }
    if versions.is_empty() {
        let tags = Listed::new(tags.iter().rev().map(|tag| format!("{:?}", tag.name)));
        return Err(ChooseError::NoneFits { pattern: pattern.to_string(), tags });
    }
    let versions: Vec<Version> = versions.into_iter().map(|(version, _)| version).collect();
    let released = |version: &Version| Version::new(version.major, version.minor, version.patch);
    let excluded = versions
        .iter()
        .rfind(|version| !version.pre.is_empty() && range.matches(&released(version)))
        .cloned();
    Err(ChooseError::NoMatch { range: range.to_string(), versions: around(range, &versions), excluded })
}

/// The versions nearest to where the range begins: two below and the rest above, as far as there are.
fn around(range: &semver::VersionReq, sorted: &[Version]) -> Listed {
    let wanted = range.comparators.first().map_or(Version::new(0, 0, 0), |first| Version {
        major: first.major,
        minor: first.minor.unwrap_or(0),
        patch: first.patch.unwrap_or(0),
        pre: first.pre.clone(),
        build: semver::BuildMetadata::EMPTY,
    });
    let at = sorted.partition_point(|version| *version < wanted);
    let above = sorted.len() - at;
    let start = at.saturating_sub(LISTED.saturating_sub(above).max(2));
    let names = sorted[start..].iter().take(LISTED).map(ToString::to_string).collect();
    Listed { names, more: sorted.len().saturating_sub(LISTED) }
}

fn named<'r>(kind: RefKind, name: &str, refs: &'r Refs) -> Result<&'r Ref, ChooseError> {
    let (these, other_kind, others) = match kind {
        RefKind::Tag => (&refs.tags, RefKind::Branch, &refs.branches),
        RefKind::Branch => (&refs.branches, RefKind::Tag, &refs.tags),
    };
    these.iter().find(|found| found.name == name).ok_or_else(|| {
        let near = if others.iter().any(|other| other.name == name) {
            Some(Near::Other(other_kind))
        } else if let Some(near) = nearest(name, these.iter().map(|known| known.name.as_str())) {
            Some(Near::Named(near.to_owned()))
        } else if these.is_empty() {
            None
        } else {
            Some(Near::Known(Listed::new(these.iter().rev().map(|known| format!("{:?}", known.name)))))
        };
        ChooseError::NoRef { kind, name: name.to_owned(), near }
    })
}

fn leads_to(found: &Ref) -> Result<CommitId, ChooseError> {
    found.commit.clone().ok_or_else(|| ChooseError::NoCommit(found.name.clone()))
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
