//! The rules that every pack's tree obeys, whatever source it comes from.
//!
//! A source feeds what it finds, name by name, into an [`Intake`], which refuses on sight what one entry
//! can break (names, sizes, pointers to content that is elsewhere) and at the end what only the whole can
//! (letter case, links, paths through links, nothing at all). Texts of a pack are shown escaped.

use super::{PackEntry, SourceError, TreeRules};
use crate::model::pack::Case;
use crate::model::shape::{self, Shape};
use crate::model::{Content, Kind, TreePath};

/// How every Git LFS pointer begins.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// Pointers are smaller than this.
const LFS_SIZE: usize = 1024;

/// Collects a pack's tree, and refuses what it may not hold.
pub(super) struct Intake<'a> {
    rules: &'a TreeRules,
    entries: Vec<PackEntry>,
    bytes: u64,
    paths: u64,
    seen: u64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(rules: &'a TreeRules) -> Self {
        Self { rules, entries: Vec::new(), bytes: 0, paths: 0, seen: 0 }
    }

    /// The path of a name found in `directory` (`None` is the top). Counts it, whatever it is: a tree of
    /// nothing but directories is limited too.
    pub(super) fn child(
        &mut self,
        directory: Option<&TreePath>,
        name: &[u8],
    ) -> Result<TreePath, SourceError> {
        self.seen += 1;
        // Directories are no entries, but there is no honest pack with more of them than of entries.
        if self.seen > self.rules.limits.entries.saturating_mul(2) {
            return Err(too_many(self.rules));
        }
        let place = directory.map_or_else(|| "the pack".to_owned(), |path| format!("{path:?}"));
        let shown = name.escape_ascii();
        let name = std::str::from_utf8(name)
            .map_err(|_| SourceError::Refused(format!("the name \"{shown}\" in {place} is not UTF-8")))?;
        if name.contains('/') {
            return Err(SourceError::Refused(format!("the name \"{shown}\" in {place} holds a slash")));
        }
        let path = TreePath::new(name)
            .and_then(|name| directory.map_or_else(|| Ok(name.clone()), |directory| directory.join(&name)))
            .map_err(|error| SourceError::Refused(format!("in {place}, {error}")))?;
        if path.components().count() > self.rules.limits.depth as usize {
            return Err(too_deep(&path, self.rules));
        }
        self.paths += path.as_str().len() as u64;
        if self.paths > self.rules.limits.paths.saturating_mul(2) {
            return Err(too_long(self.rules));
        }
        Ok(path)
    }

    /// Announces a file or link before it is read, so that what is too large is never read.
    pub(super) fn announce(&mut self, path: &TreePath, size: u64) -> Result<(), SourceError> {
        if self.entries.len() as u64 >= self.rules.limits.entries {
            return Err(too_many(self.rules));
        }
        if size > self.rules.limits.file {
            return Err(too_large_alone(path, size, self.rules));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.rules.limits.bytes {
            return Err(too_large(path, self.rules));
        }
        Ok(())
    }

    /// Takes in a file or link that was announced.
    pub(super) fn take(&mut self, path: TreePath, kind: Kind, bytes: &[u8]) -> Result<Content, SourceError> {
        let link = match kind {
            Kind::Link => Some(std::str::from_utf8(bytes).map(Box::from).map_err(|_| {
                SourceError::Refused(format!("the text of the symbolic link {path:?} is not UTF-8"))
            })?),
            _ if bytes.len() < LFS_SIZE && bytes.starts_with(LFS) => {
                return Err(SourceError::Refused(format!(
                    "{path:?} is a Git LFS pointer: its content is not in the repository"
                )));
            }
            _ => None,
        };
        let content = Content::of(bytes);
        self.entries.push(PackEntry { path, kind, content, size: bytes.len() as u64, link });
        Ok(content)
    }

    /// Takes in a file that was announced, and is so large that it was not read whole.
    pub(super) fn take_large(&mut self, path: TreePath, kind: Kind, content: Content, size: u64) {
        self.entries.push(PackEntry { path, kind, content, size, link: None });
    }

    /// What was taken in, unchecked as a whole.
    pub(super) fn into_entries(self) -> Vec<PackEntry> {
        self.entries
    }

    /// The whole tree, sorted; or what is wrong with it as a whole. `place` names it in messages.
    pub(super) fn finish(mut self, place: &str) -> Result<Vec<PackEntry>, SourceError> {
        self.entries.sort_by(|left, right| left.path.cmp(&right.path));
        check(&self.entries, self.rules, place)?;
        Ok(self.entries)
    }
}

/// Checks a sorted tree against all rules but those of single files' bytes.
pub(super) fn check(entries: &[PackEntry], rules: &TreeRules, place: &str) -> Result<(), SourceError> {
    if entries.is_empty() {
        return Err(SourceError::Refused(format!(
            "{place} is empty; removing a pack is done in fleet.toml, not by emptying it"
        )));
    }
    if entries.len() as u64 > rules.limits.entries {
        return Err(too_many(rules));
    }
    let (mut bytes, mut paths) = (0u64, 0u64);
    for entry in entries {
        paths = paths.saturating_add(entry.path.as_str().len() as u64);
        if paths > rules.limits.paths {
            return Err(too_long(rules));
        }
        if entry.size > rules.limits.file {
            return Err(too_large_alone(&entry.path, entry.size, rules));
        }
        bytes = bytes.saturating_add(entry.size);
        if bytes > rules.limits.bytes {
            return Err(too_large(&entry.path, rules));
        }
        if entry.path.components().count() > rules.limits.depth as usize {
            return Err(too_deep(&entry.path, rules));
        }
    }
    if let Some([twice, _]) = entries.array_windows().find(|[left, right]| left.path == right.path) {
        return Err(SourceError::Refused(format!("{:?} is there twice", twice.path)));
    }
    let case = if rules.distinct { Case::Distinct } else { Case::Refuse };
    let shapes =
        entries.iter().map(|entry| (&entry.path, Shape { kind: entry.kind, link: entry.link.as_deref() }));
    shape::check(shapes, case, |_| true).map_err(|error| SourceError::Refused(error.to_string()))
}

fn too_many(rules: &TreeRules) -> SourceError {
    SourceError::Refused(format!("more than {} entries (limits.entries)", rules.limits.entries))
}

fn too_long(rules: &TreeRules) -> SourceError {
    SourceError::Refused(format!(
        "the paths have more than {} bytes together (limits.paths)",
        rules.limits.paths
    ))
}

fn too_large(path: &TreePath, rules: &TreeRules) -> SourceError {
    SourceError::Refused(format!(
        "more than {} bytes (limits.bytes), counted up to {path:?}",
        rules.limits.bytes
    ))
}

fn too_large_alone(path: &TreePath, size: u64, rules: &TreeRules) -> SourceError {
    SourceError::Refused(format!("{path:?} has {size} bytes, more than {} (limits.file)", rules.limits.file))
}

fn too_deep(path: &TreePath, rules: &TreeRules) -> SourceError {
    SourceError::Refused(format!("{path:?} lies deeper than {} names (limits.depth)", rules.limits.depth))
}
