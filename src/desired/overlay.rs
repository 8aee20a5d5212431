//! Overlays: customizations of one pack, declared in the fleet repository.
//!
//! An overlay is the directory `overlays/NAME/`. Every file in it speaks of one path, in the pack's
//! coordinates, and its name says how:
//!
//! ```text
//! overlay.toml             for which pack, what to leave out, what it was written against
//! PATH                     replaces or adds PATH, exec bit and links included
//! PATH.patch               a unified diff that changes PATH
//! PATH.merge.json, .toml   keys that are merged into PATH
//! ….conflict               what `overlay rebase` could not carry over: a person's to finish
//! ```
//! A pack's own file with such a name is put by naming it in `verbatim` of overlay.toml. The caller reads the
//! directory; here it becomes an [`Overlay`] or is refused. Deliberately absent: what it comes to on a version.

use std::collections::BTreeMap;

pub use super::manifest::{Base, MANIFEST, Manifest};
use crate::merge::patch::{Patch, PatchError};
use crate::merge::structured::{Format, StructuredError, merge_keys};
use crate::model::{Kind, OverlayName, PathError, TreePath};

/// What is put behind the name of a change that a person must finish.
const CONFLICT: &str = ".conflict";

/// A customization of one pack, in the pack's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Its directory's name.
    pub name: OverlayName,
    /// What `overlay.toml` says.
    pub manifest: Manifest,
    /// Files and links that replace or add.
    pub files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
    /// Changes of files line by line. Where there is one, there is a base.
    pub patches: BTreeMap<TreePath, Patch>,
    /// Changes of files by key.
    pub merges: BTreeMap<TreePath, (Format, String)>,
    /// What a person must finish, by the path that it is for.
    pub unfinished: BTreeMap<TreePath, (Change, Vec<u8>)>,
}

/// How a file of an overlay changes a file of the pack, rather than replacing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Line by line.
    Patch,
    /// By key.
    Merge(Format),
}

impl Change {
    pub(super) const ALL: [Self; 3] = [Self::Patch, Self::Merge(Format::Json), Self::Merge(Format::Toml)];

    /// What stands behind the path in the name of the overlay's file.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Patch => ".patch",
            Self::Merge(Format::Json) => ".merge.json",
            Self::Merge(Format::Toml) => ".merge.toml",
        }
    }

    /// The overlay's file for a path; fails when its name would be too long.
    pub fn file(self, path: &TreePath) -> Result<TreePath, PathError> {
        TreePath::new(&format!("{path}{}", self.suffix()))
    }

    /// The file for a person to finish it in.
    pub fn conflict(self, path: &TreePath) -> Result<TreePath, PathError> {
        TreePath::new(&format!("{path}{}{CONFLICT}", self.suffix()))
    }

    /// Whether a file of a pack would be taken for a change, or for one to be finished, by its name.
    pub(super) fn is_in_name(path: &TreePath) -> bool {
        let name = path.as_str();
        Self::of(name.strip_suffix(CONFLICT).unwrap_or(name)).is_some() || names_yaml(path)
    }

    /// The path that a file of an overlay changes, and how; `None` for one that stands for itself.
    fn of(file: &str) -> Option<(TreePath, Self)> {
        Self::ALL.into_iter().find_map(|change| {
            let path = TreePath::new(file.strip_suffix(change.suffix())?).ok()?;
            Some((path, change))
        })
    }
}

/// Whether somebody who named a file so means a merge that there is none of.
fn names_yaml(file: &TreePath) -> bool {
    [".merge.yaml", ".merge.yml"].iter().any(|suffix| file.as_str().ends_with(suffix))
}

/// A directory that is no overlay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// No `overlay.toml` at its top.
    #[error("there is no overlay.toml in it; that file says for which pack it is: pack = \"NAME\"")]
    NoManifest,
    /// `overlay.toml` is a link or is not UTF-8.
    #[error("overlay.toml is no text file")]
    NoText,
    /// `overlay.toml` does not parse, or has an unknown key.
    #[error("overlay.toml, line {line}: {why}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        why: String,
    },
    /// A value of `overlay.toml` is not what its key needs.
    #[error("overlay.toml: {key} {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A path that is none.
    #[error("overlay.toml: {key}: {error}")]
    Path {
        /// `remove` or `verbatim`.
        key: &'static str,
        /// Why.
        error: PathError,
    },
    /// A file to put as it is that the overlay does not have.
    #[error("overlay.toml: verbatim names {0:?}, and the overlay has no such file")]
    NothingVerbatim(TreePath),
    /// A link whose text is not UTF-8.
    #[error("the text of the symbolic link {0:?} is not UTF-8")]
    Link(TreePath),
    /// A patch or merge that is a link.
    #[error("{0:?} is a symbolic link; if the pack is to get a file of this name, list it in `verbatim`")]
    LinkedChange(TreePath),
    /// A patch without a base.
    #[error(
        "{file:?} is a patch, and overlay.toml does not say what it was made against: without its base a patch \
         can land in the wrong place. Add base = {{ version = \"…\", tree = \"…\" }}; `packfleet overlay new` \
         writes it, `packfleet hash DIR` prints a tree's digest. If the pack is to get a file of this name, list it \
         in `verbatim`"
    )]
    NoBase {
        /// The patch.
        file: TreePath,
    },
    /// A patch that is none.
    #[error("{file:?}: {error}")]
    Patch {
        /// The patch.
        file: TreePath,
        /// Why.
        error: PatchError,
    },
    /// Keys that are none.
    #[error("{file:?}: {error}")]
    Keys {
        /// The file with the keys.
        file: TreePath,
        /// Why.
        error: StructuredError,
    },
    /// Keys that are not UTF-8.
    #[error("{0:?} is not UTF-8")]
    NoUtf8(TreePath),
    /// Keys of a format that is not merged.
    #[error(
        "{0:?} would merge keys of YAML, which packfleet does not: give the whole file, or a patch of it. If the pack \
         is to get a file of this name, list it in `verbatim`"
    )]
    Yaml(TreePath),
    /// Keys of one format for a file of another.
    #[error("{file:?} merges {is} into a file that is {wanted} by its name")]
    Format {
        /// The file with the keys.
        file: TreePath,
        /// The format of the keys.
        is: Format,
        /// The format of the file.
        wanted: Format,
    },
    /// One path, spoken of twice.
    #[error("{path:?} is spoken of twice: by {first} and by {second}; one overlay does one thing to a path")]
    Twice {
        /// The pack's path.
        path: TreePath,
        /// One of them.
        first: String,
        /// The other one.
        second: String,
    },
}

impl Overlay {
    /// Makes an overlay of all files of its directory, `overlay.toml` included; links come with their text.
    pub fn new(
        name: OverlayName,
        mut files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
    ) -> Result<Self, OverlayError> {
        let manifest = match files.remove(MANIFEST) {
            None => return Err(OverlayError::NoManifest),
            Some((Kind::Link, _)) => return Err(OverlayError::NoText),
            Some((Kind::File | Kind::Exec, bytes)) => {
                Manifest::parse(std::str::from_utf8(&bytes).map_err(|_| OverlayError::NoText)?)?
            }
        };
        if let Some(path) = manifest.verbatim.iter().find(|path| !files.contains_key(*path)) {
            return Err(OverlayError::NothingVerbatim(path.clone()));
        }
        let mut overlay = Self {
            name,
            manifest,
            files: BTreeMap::new(),
            patches: BTreeMap::new(),
            merges: BTreeMap::new(),
            unfinished: BTreeMap::new(),
        };
        let mut spoken: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        for (file, (kind, bytes)) in files {
            let about = overlay.take(&file, kind, bytes)?;
            if let Some(first) = spoken.insert(about.clone(), file.clone()) {
                let (first, second) = (format!("{first:?}"), format!("{file:?}"));
                return Err(OverlayError::Twice { path: about, first, second });
            }
        }
        let changed = overlay.patches.keys().chain(overlay.merges.keys());
        for path in changed {
            let gone = overlay.manifest.remove.iter().find(|gone| path == *gone || path.is_below(gone));
            if let Some(gone) = gone {
                let (first, second) =
                    (format!("remove = [{:?}]", gone.as_str()), format!("{:?}", spoken[path]));
                return Err(OverlayError::Twice { path: path.clone(), first, second });
            }
        }
        Ok(overlay)
    }

    /// Whether a file of this name is a change of another one, unless `verbatim` names it.
    pub fn reads_as_change(file: &TreePath) -> bool {
        Change::is_in_name(file)
    }

    /// Takes one file for what its name means, and gives the path that it is about.
    fn take(&mut self, file: &TreePath, kind: Kind, bytes: Vec<u8>) -> Result<TreePath, OverlayError> {
        let verbatim = self.manifest.verbatim.contains(file);
        let unfinished = file.as_str().strip_suffix(CONFLICT).and_then(Change::of);
        let (path, change, finished) = match (Change::of(file.as_str()), unfinished) {
            (Some((path, change)), _) if !verbatim => (path, change, true),
            (_, Some((path, change))) if !verbatim => (path, change, false),
            _ if !verbatim && names_yaml(file) => return Err(OverlayError::Yaml(file.clone())),
            _ => {
                if kind == Kind::Link && std::str::from_utf8(&bytes).is_err() {
                    return Err(OverlayError::Link(file.clone()));
                }
                self.files.insert(file.clone(), (kind, bytes));
                return Ok(file.clone());
            }
        };
        if kind == Kind::Link {
            return Err(OverlayError::LinkedChange(file.clone()));
        }
        if change == Change::Patch && self.manifest.base.is_none() {
            return Err(OverlayError::NoBase { file: file.clone() });
        }
        match change {
            _ if !finished => {
                self.unfinished.insert(path.clone(), (change, bytes));
            }
            Change::Patch => {
                let patch = Patch::parse(&path, &bytes)
                    .map_err(|error| OverlayError::Patch { file: file.clone(), error })?;
                self.patches.insert(path.clone(), patch);
            }
            Change::Merge(format) => {
                let keys = keys(file, &path, format, bytes)?;
                self.merges.insert(path.clone(), (format, keys));
            }
        }
        Ok(path)
    }
}

/// The keys of a merge, checked: they must be mergeable into something.
fn keys(file: &TreePath, path: &TreePath, format: Format, bytes: Vec<u8>) -> Result<String, OverlayError> {
    if let Some(wanted) = Format::of(path).filter(|wanted| *wanted != format) {
        return Err(OverlayError::Format { file: file.clone(), is: format, wanted });
    }
    let text = String::from_utf8(bytes).map_err(|_| OverlayError::NoUtf8(file.clone()))?;
    let nothing = match format {
        Format::Json => "{}",
        Format::Toml => "",
    };
    merge_keys(format, nothing, &text)
        .map_err(|error| OverlayError::Keys { file: file.clone(), error })
        .map(|_| text)
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
