//! Overlays: customizations of one pack, declared in the fleet repository.
//!
//! An overlay is the directory `overlays/NAME/`: `overlay.toml` says for which pack it is and what to leave
//! out; every other file replaces or adds the path it lies at, in the pack's coordinates, exec bit and
//! links included. The caller reads the directory; here it becomes an [`Overlay`] or is refused.
//! Deliberately absent for now: patches and merges of keys, whose file names are refused in [`not_yet`].

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{Kind, OverlayName, PackName, PathError, TreeDigest, TreePath};

/// The file that describes an overlay, at its top.
pub const MANIFEST: &str = "overlay.toml";

/// What `overlay.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The pack that it customizes.
    pub pack: PackName,
    /// Files and directories of the pack to leave out.
    pub remove: Vec<TreePath>,
    /// What it was written against.
    pub base: Option<Base>,
}

/// What an overlay was written against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// A version label or commit.
    pub version: String,
    /// The digest of the pack's tree.
    pub tree: TreeDigest,
}

/// A customization of one pack, in the pack's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Its directory's name.
    pub name: OverlayName,
    /// What `overlay.toml` says.
    pub manifest: Manifest,
    /// Files and links that replace or add.
    pub files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
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
    /// A path to remove that is no path of a pack.
    #[error("overlay.toml: remove: {0}")]
    Path(PathError),
    /// A link whose text is not UTF-8.
    #[error("the text of the symbolic link {0:?} is not UTF-8")]
    Link(TreePath),
    /// A kind of file that has a meaning which is not built yet.
    #[error("{path:?} is {what}, which is not yet supported; put the whole file instead")]
    NotYet {
        /// The file.
        path: TreePath,
        /// What it would be.
        what: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    pack: String,
    #[serde(default)]
    remove: Vec<String>,
    base: Option<RawBase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBase {
    version: String,
    tree: String,
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
        for (path, (kind, bytes)) in &files {
            if let Some(what) = not_yet(path) {
                return Err(OverlayError::NotYet { path: path.clone(), what });
            }
            if *kind == Kind::Link && std::str::from_utf8(bytes).is_err() {
                return Err(OverlayError::Link(path.clone()));
            }
        }
        Ok(Self { name, manifest, files })
    }
}

impl Manifest {
    /// Parses the text of an `overlay.toml`.
    pub fn parse(text: &str) -> Result<Self, OverlayError> {
        let raw: RawManifest = toml::from_str(text).map_err(|error| OverlayError::Syntax {
            line: error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count()),
            why: error.message().to_owned(),
        })?;
        let value = |key, why: String| OverlayError::Value { key, why };
        let pack = PackName::new(&raw.pack).map_err(|error| value("pack", error.to_string()))?;
        let remove = raw.remove.iter().map(|path| TreePath::new(path)).collect::<Result<_, _>>();
        let base = raw.base.map(|base| {
            let tree = base.tree.parse().map_err(|_| {
                value("base.tree", format!("{:?} is no digest: 64 hexadecimal digits are needed", base.tree))
            })?;
            Ok(Base { version: base.version, tree })
        });
        Ok(Self { pack, remove: remove.map_err(OverlayError::Path)?, base: base.transpose()? })
    }
}

/// Files whose names have a meaning of their own that is not built yet.
fn not_yet(path: &TreePath) -> Option<&'static str> {
    let name = path.file_name();
    if name.ends_with(".patch") {
        Some("a patch")
    } else if name.ends_with(".merge.json") || name.ends_with(".merge.toml") {
        Some("a merge of keys")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type File<'a> = (&'a str, Kind, &'a [u8]);

    fn overlay(files: &[File<'_>]) -> Result<Overlay, String> {
        let path = |text: &str| TreePath::new(text).unwrap();
        let files = files.iter().map(|(at, kind, bytes)| (path(at), (*kind, bytes.to_vec()))).collect();
        Overlay::new("prod".parse().unwrap(), files).map_err(|error| error.to_string())
    }

    #[test]
    fn an_overlay() {
        let manifest = format!(
            "pack = \"slack\"\nremove = [\"a\", \"b/c\"]\nbase = {{ version = \"1.2.0\", tree = \"{}\" }}\n",
            "0f".repeat(32)
        );
        let made = overlay(&[
            ("overlay.toml", Kind::File, manifest.as_bytes()),
            ("src/run", Kind::Exec, b"x"),
            ("sub/overlay.toml", Kind::File, b"a pack's own file"),
        ])
        .unwrap();
        assert_eq!(made.manifest.pack.as_str(), "slack");
        assert_eq!(made.manifest.remove, [TreePath::new("a").unwrap(), TreePath::new("b/c").unwrap()]);
        assert_eq!(made.manifest.base.unwrap().version, "1.2.0");
        assert_eq!(
            made.files.keys().map(TreePath::as_str).collect::<Vec<_>>(),
            ["src/run", "sub/overlay.toml"]
        );
        let short = overlay(&[("overlay.toml", Kind::File, b"pack = \"slack\"")]).unwrap();
        assert_eq!((short.manifest.remove.len(), short.manifest.base), (0, None));
    }

    #[test]
    fn what_is_refused() {
        let good: File<'_> = ("overlay.toml", Kind::File, b"pack = \"slack\"");
        let manifest =
            |text: &'static str| -> [File<'static>; 1] { [("overlay.toml", Kind::File, text.as_bytes())] };
        let cases: [(&[File<'_>], &str); 15] = [
            (&[], "there is no overlay.toml in it"),
            (&[("overlay.toml", Kind::Link, b"x")], "overlay.toml is no text file"),
            (&[("overlay.toml", Kind::File, b"\xff")], "overlay.toml is no text file"),
            (
                &manifest("pack = \"slack\"\n\nremoves = []\n"),
                "overlay.toml, line 3: unknown field `removes`",
            ),
            (&manifest("remove = []\n"), "missing field `pack`"),
            (&manifest("pack = \"slack\"\nremove = [1]\n"), "overlay.toml, line 2: "),
            (&manifest("pack = \n"), "overlay.toml, line 1: "),
            (&manifest("pack = \"-x\"\n"), "overlay.toml: pack "),
            (&manifest("pack = \"slack\"\nremove = [\"../x\"]\n"), "overlay.toml: remove: \"../x\""),
            (&manifest("pack = \"slack\"\nbase = { version = \"1\" }\n"), "missing field `tree`"),
            (
                &manifest("pack = \"slack\"\nbase = { version = \"1\", tree = \"12\" }\n"),
                "base.tree \"12\" is no digest",
            ),
            (&[good, ("src/x.ts.patch", Kind::File, b"")], "\"src/x.ts.patch\" is a patch, which is not yet"),
            (
                &[good, ("x.merge.json", Kind::File, b"")],
                "\"x.merge.json\" is a merge of keys, which is not yet",
            ),
            (&[good, ("x.merge.toml", Kind::File, b"")], "a merge of keys, which is not yet"),
            (&[good, ("link", Kind::Link, b"\xff")], "the symbolic link \"link\" is not UTF-8"),
        ];
        for (files, expected) in cases {
            let error = overlay(files).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
