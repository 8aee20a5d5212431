//! Packs as `fleet.toml` declares them, pins as they were resolved, and where a pack's files go.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::care::Care;
use super::tree::digest_entries;
use super::{Content, Entry, Kind, PackName, SourceName, TreeDigest, TreePath};

/// A full commit id: 40 or 64 lower-case hexadecimal digits. A short id is not one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(Arc<str>);

/// A text that is no full commit id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no full commit id")]
pub struct CommitIdError(String);

impl CommitId {
    /// Accepts 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
    pub fn new(text: &str) -> Result<Self, CommitIdError> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.into()))
        } else {
            Err(CommitIdError(text.into()))
        }
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl TryFrom<String> for CommitId {
    type Error = CommitIdError;
    fn try_from(text: String) -> Result<Self, CommitIdError> {
        Self::new(&text)
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> String {
        String::from(&*id.0)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which version of a pack a deployment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// A semver range, matched against tags through the pack's [`TagPattern`].
    Version(semver::VersionReq),
    /// One tag by its full name.
    Tag(String),
    /// The tip of a branch.
    Branch(String),
    /// A commit, perhaps abbreviated; resolved in the mirror or refused.
    Rev(String),
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(req) => write!(f, "version {req}"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Branch(branch) => write!(f, "branch {branch}"),
            Self::Rev(rev) => write!(f, "rev {rev}"),
        }
    }
}

/// How versions are written as tags: a text with `{version}` in it exactly once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagPattern {
    before: String,
    after: String,
}

impl TagPattern {
    /// `None` unless `{version}` occurs exactly once.
    pub fn new(text: &str) -> Option<Self> {
        let (before, after) = text.split_once("{version}")?;
        (!after.contains("{version}")).then(|| Self { before: before.into(), after: after.into() })
    }

    /// The semantic version that a tag name stands for, if it fits the pattern.
    pub fn version(&self, tag: &str) -> Option<semver::Version> {
        let text = tag.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        semver::Version::parse(text).ok()
    }

    /// The tag name of a version.
    pub fn tag(&self, version: &semver::Version) -> String {
        format!("{}{version}{}", self.before, self.after)
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{version}}{}", self.before, self.after)
    }
}

impl Default for TagPattern {
    fn default() -> Self {
        Self { before: "v".into(), after: String::new() }
    }
}

/// One line of an install map. `None` stands for the pack directory, or for the deployment's root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Install {
    /// A file or directory of the pack.
    pub from: Option<TreePath>,
    /// Where it goes beneath the root.
    pub to: Option<TreePath>,
}

/// What goes where; the most specific key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallMap(pub Vec<Install>);

impl InstallMap {
    /// Where a path of the pack is installed; `None` if no key covers it or the result is no path.
    pub fn place(&self, path: &TreePath) -> Option<TreePath> {
        let line = self.rule(path)?;
        let rest = match &line.from {
            None => Some(path.clone()),
            Some(from) => path.strip(from),
        };
        match (&line.to, rest) {
            (Some(to), Some(rest)) => to.join(&rest).ok(),
            (Some(to), None) => Some(to.clone()),
            (None, rest) => rest,
        }
    }

    /// The path of the pack that would be installed at a path beneath the root; `None` if nothing would.
    pub fn origin(&self, target: &TreePath) -> Option<TreePath> {
        let of = |line: &Install| {
            let rest = match &line.to {
                None => Some(target.clone()),
                Some(to) if to == target => None,
                Some(to) => Some(target.strip(to)?),
            };
            let path = match (&line.from, rest) {
                (Some(from), Some(rest)) => from.join(&rest).ok(),
                (from, None) => from.clone(),
                (None, rest) => rest,
            };
            // Another line may have the last word about it.
            path.filter(|path| self.place(path).as_ref() == Some(target))
        };
        let length = |line: &&Install| line.to.as_ref().map_or(0, |to| to.as_str().len());
        let mut lines: Vec<&Install> = self.0.iter().collect();
        lines.sort_by_key(|line| std::cmp::Reverse(length(line)));
        lines.into_iter().find_map(of)
    }

    /// The line that covers a path of the pack: the one with the longest key.
    pub fn rule(&self, path: &TreePath) -> Option<&Install> {
        self.0
            .iter()
            .filter(|line| line.from.as_ref().is_none_or(|from| path == from || path.is_below(from)))
            .max_by_key(|line| line.from.as_ref().map_or(0, |from| from.as_str().len()))
    }
}

/// Whether the exec bit is part of what is compared and installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Modes {
    /// It is.
    #[default]
    ExecBit,
    /// It is not: every regular file counts as not executable, and a live one keeps its bit.
    Ignore,
}

/// What to do with two names that differ in letter case only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Case {
    /// Refuse the pack.
    #[default]
    Refuse,
    /// Install both.
    Distinct,
}

/// Keys of one structured file that belong to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKeys {
    /// The file, in the pack's coordinates.
    pub file: TreePath,
    /// JSON pointers, as in `/dependencies`.
    pub keys: Vec<String>,
}

/// A pack as `fleet.toml` declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// Its name.
    pub name: PackName,
    /// The source that holds it.
    pub source: SourceName,
    /// Its directory there; `None` is the whole source (`dir = "."`).
    pub dir: Option<TreePath>,
    /// Where it lay in earlier versions, tried in order where `dir` does not exist.
    pub aliases: Vec<TreePath>,
    /// How its versions are written as tags.
    pub tag: TagPattern,
    /// What goes where.
    pub install: InstallMap,
    /// gitignore patterns relative to each target: such paths are the host's.
    pub host_owns: Vec<String>,
    /// Keys of structured files that are the host's.
    pub host_keys: Vec<HostKeys>,
    /// Whether exec bits count.
    pub modes: Modes,
    /// Whether names may differ in letter case only.
    pub case: Case,
    /// Packs that converge before this one, where the deployment has them.
    pub requires: Vec<PackName>,
    /// Its key in the VERSION file.
    pub version_key: String,
    /// Commands that must succeed in a private copy of the new tree before it is switched to.
    pub checks: Vec<Vec<String>>,
    /// Whether one held path holds the whole pack.
    pub atomic: bool,
    /// What is run and looked at once it changed.
    pub care: Care,
}

/// A pack at one exact state. Identity is `tree`; the rest says where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What people call it: `1.2.0` for a tag that fits the pattern, else the short commit id;
    /// `directory` for a plain directory.
    pub version: String,
    /// The tag or branch by which it was found.
    pub found_by: String,
    /// The commit; `None` for a plain directory.
    pub commit: Option<CommitId>,
    /// Digest of the pack's tree, before overlays, in the pack's coordinates.
    pub tree: TreeDigest,
}

/// A ref with the commit it leads to (annotated tags peeled).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ref {
    /// Short name: `v1.2.0`, `main`.
    pub name: String,
    /// The commit; `None` if a tag leads to something else.
    pub commit: Option<CommitId>,
    /// The id of an annotated tag's own object; `None` for lightweight tags and branches.
    pub object: Option<CommitId>,
}

/// What a source offers right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    /// Tags, sorted by name.
    pub tags: Vec<Ref>,
    /// Branches, sorted by name.
    pub branches: Vec<Ref>,
}

/// One file or link of a pack, before overlays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackEntry {
    /// In the pack's coordinates.
    pub path: TreePath,
    /// File, executable or link.
    pub kind: Kind,
    /// Digest of its bytes.
    pub content: Content,
    /// Size in bytes.
    pub size: u64,
    /// The text of a link, which is also its content; `None` for files.
    pub link: Option<Box<str>>,
}

/// A pack's tree as the source holds it: valid, within limits, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTree {
    /// The directory where it was found: `dir` or one of the aliases; `None` is the whole source.
    pub dir: Option<TreePath>,
    /// Its entries, in byte order of their paths.
    pub entries: Vec<PackEntry>,
}

impl PackTree {
    /// The digest that identifies a tree, whatever the order of its entries.
    pub fn digest_of(entries: &[PackEntry]) -> TreeDigest {
        let mut sorted: Vec<&PackEntry> = entries.iter().collect();
        sorted.sort_by(|a, b| a.path.cmp(&b.path));
        let entries = sorted.into_iter().map(|it| (&it.path, Entry { kind: it.kind, content: it.content }));
        TreeDigest::from_bytes(digest_entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_patterns() {
        for (pattern, tag, version) in [
            ("v{version}", "v1.2.3", Some("1.2.3")),
            ("slack-v{version}", "slack-v1.2.3-rc.1", Some("1.2.3-rc.1")),
            ("feature_git_{version}", "feature_git_1.3.8", Some("1.3.8")),
            ("functions/go/x/v{version}", "functions/go/x/v0.2.1", Some("0.2.1")),
            ("{version}", "1.2.3", Some("1.2.3")),
            ("v{version}", "v1.2", None),
            ("v{version}", "slack-v1.2.3", None),
            ("v{version}-x", "v1.2.3-x", Some("1.2.3")),
        ] {
            let found = TagPattern::new(pattern).unwrap().version(tag);
            assert_eq!(found.map(|v| v.to_string()).as_deref(), version, "{pattern} {tag}");
        }
        assert_eq!(TagPattern::new("v"), None);
        assert_eq!(TagPattern::new("{version}{version}"), None);
    }

    #[test]
    fn the_most_specific_key_wins() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let line = |from: &str, to: &str| Install {
            from: (from != ".").then(|| path(from)),
            to: (to != ".").then(|| path(to)),
        };
        let map = InstallMap(vec![line("src", "T"), line("src/Workflows", "W"), line("S.md", "S.md")]);
        let place = |text| map.place(&path(text)).map(|p| p.as_str().to_owned());
        assert_eq!(place("src/a/b").as_deref(), Some("T/a/b"));
        assert_eq!(place("src/Workflows/x").as_deref(), Some("W/x"));
        assert_eq!(place("src/Workflows2").as_deref(), Some("T/Workflows2"));
        assert_eq!(place("S.md").as_deref(), Some("S.md"));
        assert_eq!(place("README.md"), None);
        let origin = |text: &str| map.origin(&path(text)).map(|p| p.as_str().to_owned());
        for there in ["src/a/b", "src/Workflows/x", "src/Workflows2", "S.md"] {
            assert_eq!(origin(place(there).unwrap().as_str()).as_deref(), Some(there));
        }
        // What would go elsewhere comes from nowhere.
        for none in ["T/Workflows/x", "README.md"] {
            assert_eq!(origin(none), None, "{none}");
        }
        let whole = InstallMap(vec![line(".", ".")]);
        assert_eq!(whole.origin(&path("a/b")), Some(path("a/b")));
        assert_eq!(whole.place(&path("a/b")), Some(path("a/b")));
    }
}
