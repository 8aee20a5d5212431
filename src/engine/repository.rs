//! The fleet repository's files: as they lie in the working tree, or as a commit has them.
//!
//! Files are read beneath the fleet file's directory and never through a link.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;

use super::workspace::LoadError;
use crate::desired::compose;
use crate::desired::fleet_file;
use crate::desired::lock::Lock;
use crate::desired::overlay::Overlay;
use crate::model::{Kind, OverlayName, TreePath};
use crate::source::checkout::{self, FleetCommit};
use crate::source::snapshot::Snapshot;
use crate::source::working;

/// The lock's name, beside the fleet file.
pub(crate) const LOCK: &str = "fleet.lock";
const OVERLAYS: &str = "overlays";
/// Larger files are refused by the parser; no more than this is read.
const MOST_TEXT: u64 = 10 * 1024 * 1024 + 1;

/// Overlays by name; one that is damaged says why.
pub(crate) type Overlays = BTreeMap<OverlayName, Result<Overlay, String>>;

/// Where the files are read.
#[derive(Debug, Clone)]
pub(crate) enum Repository {
    /// The working tree: the fleet file's directory, absolute.
    Directory(Utf8PathBuf),
    /// A commit of it.
    Commit(Utf8PathBuf, Snapshot),
}

impl Repository {
    /// The fleet file's directory, against which relative paths in it are meant.
    pub(crate) fn directory(&self) -> &Utf8Path {
        match self {
            Self::Directory(directory) | Self::Commit(directory, _) => directory,
        }
    }

    /// The commit: that which is checked out around the directory, if it lies in a git repository, or that which
    /// is read.
    pub(crate) fn commit(&self) -> Option<FleetCommit> {
        match self {
            Self::Directory(directory) => checkout::head(directory),
            Self::Commit(_, snapshot) => snapshot.commit(),
        }
    }

    /// The text of the fleet file itself, which may be reached through links: a person named it.
    pub(crate) fn fleet_file(&self, file: &Utf8Path) -> Result<String, LoadError> {
        match self {
            Self::Directory(_) => read_text(file),
            Self::Commit(..) => self.named(file.file_name().unwrap_or_default()),
        }
    }

    /// The text of a file, reached through no link.
    pub(crate) fn text(&self, path: &TreePath) -> Result<String, LoadError> {
        match self {
            Self::Directory(directory) => {
                let failed = |source| LoadError::Read { path: directory.join(path.as_str()), source };
                working::text(directory, path, MOST_TEXT).map_err(failed)
            }
            Self::Commit(_, snapshot) => {
                let commit = snapshot.commit();
                let commit = commit
                    .as_ref()
                    .map_or("a commit".to_owned(), |it| format!("commit {}", it.commit.short()));
                let failed =
                    |source| LoadError::Snapped { path: path.to_string(), commit: commit.clone(), source };
                match snapshot.read(path).map_err(|error| failed(io::Error::other(error)))? {
                    None => Err(failed(io::ErrorKind::NotFound.into())),
                    Some((Kind::Link, _)) => Err(failed(io::Error::other(working::LINKED))),
                    Some((_, bytes)) => String::from_utf8(bytes)
                        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error))),
                }
            }
        }
    }

    fn named(&self, name: &str) -> Result<String, LoadError> {
        match TreePath::new(name) {
            Ok(path) => self.text(&path),
            Err(error) => {
                Err(LoadError::Read { path: self.directory().join(name), source: io::Error::other(error) })
            }
        }
    }

    /// `fleet.lock`, if there is one.
    pub(crate) fn lock(&self) -> Result<Option<Lock>, LoadError> {
        let path = self.directory().join(LOCK);
        let text = match self.named(LOCK) {
            Err(LoadError::Read { source, .. } | LoadError::Snapped { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(None);
            }
            text => text?,
        };
        Lock::parse(&text).map(Some).map_err(|source| LoadError::Lock { path, source })
    }

    /// Files that the patterns of a fleet file's `include` match, sorted. A pattern that matches nothing is not
    /// an error (`fleet.d/*.toml` may be empty), a name is.
    pub(crate) fn includes(&self, text: &str) -> Result<Vec<String>, LoadError> {
        let mut found = Vec::new();
        for include in fleet_file::includes(text) {
            // The validator reports a pattern that does not compile or leaves the directory.
            let Ok(glob) = GlobBuilder::new(&include.pattern).literal_separator(true).build() else {
                continue;
            };
            let glob = glob.compile_matcher();
            let mut any = false;
            for (path, kind) in self.files_for(&include.pattern)? {
                if !glob.is_match(&path) {
                    continue;
                }
                if kind == Kind::Link {
                    let source = io::Error::other("an included file may not be a link");
                    return Err(LoadError::Read { path: self.directory().join(path), source });
                }
                found.push(path.into_string());
                any = true;
            }
            if !any && !include.pattern.contains(['*', '?', '[', '{']) {
                let source = io::Error::new(io::ErrorKind::NotFound, "fleet.include names it");
                return Err(LoadError::Read { path: self.directory().join(&include.pattern), source });
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Files and links that a pattern may mean: below the directories that it names without wildcards, and no deeper
    /// than it goes. Links are not followed. What cannot be read is an error: deployments may lie there.
    fn files_for(&self, pattern: &str) -> Result<Vec<(Utf8PathBuf, Kind)>, LoadError> {
        // `**` stands for as many directories as there are.
        let deep = pattern.split('/').any(|part| part.contains("**"));
        let parts = pattern.split('/').count();
        let depth = if deep { usize::MAX } else { parts };
        let directory = match self {
            Self::Directory(directory) => directory,
            Self::Commit(_, snapshot) => {
                let near = snapshot.paths().filter(|(path, _)| path.components().count() <= depth);
                return Ok(near.map(|(path, kind)| (Utf8PathBuf::from(path.as_str()), kind)).collect());
            }
        };
        let (mut below, mut left) = (directory.clone(), depth);
        for component in pattern.split('/').take(parts - 1) {
            if component.contains(['*', '?', '[', '{']) {
                break;
            }
            below.push(component);
            left -= 1;
            let failed = |source| LoadError::Read { path: below.clone(), source };
            match fs::symlink_metadata(&below) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
                Ok(meta) if meta.is_symlink() => {
                    return Err(failed(io::Error::other(
                        "an included file may not be reached through a link",
                    )));
                }
                Ok(meta) if !meta.is_dir() => return Ok(Vec::new()),
                Ok(_) => {}
            }
        }
        let mut files = Vec::new();
        for entry in ignore::WalkBuilder::new(&below).standard_filters(false).max_depth(Some(left)).build() {
            let failed = |source| LoadError::Read { path: below.clone(), source };
            let entry = entry.map_err(|error| failed(io::Error::other(error)))?;
            // A name that is not UTF-8 matches no pattern.
            let path = Utf8Path::from_path(entry.path()).and_then(|path| path.strip_prefix(directory).ok());
            let (Some(path), Some(kind)) = (path, entry.file_type()) else { continue };
            if kind.is_symlink() {
                files.push((path.to_owned(), Kind::Link));
            } else if kind.is_file() {
                files.push((path.to_owned(), Kind::File));
            }
        }
        Ok(files)
    }

    /// Every directory below `overlays/`, whole. A link in the place of an overlay is not followed.
    pub(crate) fn overlays(&self) -> Result<Overlays, LoadError> {
        let names: Vec<OverlayName> = match self {
            Self::Directory(directory) => {
                let failed = |source| LoadError::Read { path: directory.join(OVERLAYS), source };
                let top = TreePath::new(OVERLAYS).map_err(|error| failed(io::Error::other(error)))?;
                let names = working::directories(directory, &top).map_err(failed)?;
                names.iter().filter_map(|name| OverlayName::new(name).ok()).collect()
            }
            Self::Commit(_, snapshot) => {
                let inside = snapshot.paths().filter_map(|(path, _)| {
                    let mut components = path.as_str().splitn(3, '/');
                    let name = (components.next() == Some(OVERLAYS)).then(|| components.next())??;
                    components.next().and_then(|_| OverlayName::new(name).ok())
                });
                inside.collect()
            }
        };
        let mut overlays = BTreeMap::new();
        for name in names {
            if let Entry::Vacant(vacant) = overlays.entry(name) {
                let name = vacant.key().clone();
                let files = self.overlay_files(&name).map(Option::unwrap_or_default);
                let overlay = files.and_then(|files| Overlay::new(name, files).map_err(|e| e.to_string()));
                vacant.insert(overlay);
            }
        }
        Ok(overlays)
    }

    /// All files of an overlay's directory; `None` if there is none.
    pub(crate) fn overlay_files(&self, name: &OverlayName) -> Result<Option<compose::Files>, String> {
        match self {
            Self::Directory(directory) => {
                let top = TreePath::new(&format!("{OVERLAYS}/{name}")).map_err(|error| error.to_string())?;
                working::files(directory, &top)
            }
            Self::Commit(_, snapshot) => {
                let mut files = BTreeMap::new();
                let top = format!("{OVERLAYS}/{name}/");
                for (path, _) in snapshot.paths() {
                    let Some(inner) = path.as_str().strip_prefix(&top) else { continue };
                    let inner = TreePath::new(inner).map_err(|error| error.to_string())?;
                    let read = snapshot.read(path).map_err(|error| error.to_string())?;
                    files.extend(read.map(|file| (inner, file)));
                }
                Ok((!files.is_empty()).then_some(files))
            }
        }
    }
}

fn read_text(path: &Utf8Path) -> Result<String, LoadError> {
    use io::Read;
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MOST_TEXT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_look_below_what_they_name_and_through_no_link() {
        let top = tempfile::tempdir().unwrap();
        let at = Utf8Path::from_path(top.path()).unwrap();
        fs::create_dir_all(at.join("fleet.d/a/deep")).unwrap();
        for file in ["fleet.d/x.toml", "fleet.d/a/y.toml", "fleet.d/a/deep/z.toml", "fleet.d/no.txt"] {
            fs::write(at.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("fleet.d", at.join("linked")).unwrap();
        let repository = Repository::Directory(at.to_owned());
        let found = |pattern: &str| repository.includes(&format!("[fleet]\ninclude = [\"{pattern}\"]\n"));
        for (pattern, expected) in [
            ("fleet.d/*.toml", vec!["fleet.d/x.toml"]),
            ("fleet.d/*/*.toml", vec!["fleet.d/a/y.toml"]),
            ("*/x.toml", vec!["fleet.d/x.toml"]),
            ("fleet.d/**/z.toml", vec!["fleet.d/a/deep/z.toml"]),
            ("fleet.d/x.toml", vec!["fleet.d/x.toml"]),
            ("gone/*.toml", vec![]),
            ("fleet.d/x.toml/*.toml", vec![]),
        ] {
            assert_eq!(found(pattern).unwrap(), expected, "{pattern}");
        }
        assert!(found("linked/*.toml").is_err() && found("gone/x.toml").is_err());
    }
}
