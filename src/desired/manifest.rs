//! `overlay.toml`: for which pack an overlay is, what it leaves out, and what it was written against.
//!
//! Parsed here, and edited here when an overlay is carried to another version: what a person wrote in it,
//! comments and order included, stays. Law: a manifest that was edited parses to what was meant.

use serde::Deserialize;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Value};

use super::overlay::OverlayError;
use crate::model::{PackName, TreeDigest, TreePath};

/// The file that describes an overlay, at its top.
pub const MANIFEST: &str = "overlay.toml";

/// What `overlay.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The pack that it customizes.
    pub pack: PackName,
    /// Files and directories of the pack to leave out.
    pub remove: Vec<TreePath>,
    /// Files of the overlay that are put as they are, whatever their names mean otherwise.
    pub verbatim: Vec<TreePath>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    pack: String,
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    verbatim: Vec<String>,
    base: Option<RawBase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBase {
    version: String,
    tree: String,
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
        let paths = |key: &'static str, texts: &[String]| -> Result<Vec<TreePath>, OverlayError> {
            let path = |text: &String| TreePath::new(text).map_err(|error| OverlayError::Path { key, error });
            texts.iter().map(path).collect()
        };
        let base = raw.base.map(|base| {
            let tree = base.tree.parse().map_err(|_| {
                value("base.tree", format!("{:?} is no digest: 64 hexadecimal digits are needed", base.tree))
            })?;
            if base.version.is_empty() || base.version.chars().any(char::is_control) {
                let why = format!("{:?} is no version, tag or commit", base.version);
                return Err(value("base.version", why));
            }
            Ok(Base { version: base.version, tree })
        });
        let base = base.transpose()?;
        let (remove, verbatim) = (paths("remove", &raw.remove)?, paths("verbatim", &raw.verbatim)?);
        Ok(Self { pack, remove, verbatim, base })
    }

    /// The text of an `overlay.toml` with `remove`, `verbatim` and `base` of this manifest; all else stays as it
    /// is.
    pub fn edited(&self, text: &str) -> Result<String, OverlayError> {
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            OverlayError::Syntax { line: 1, why: error.message().into() }
        })?;
        let before = Self::parse(text)?;
        if *self == before {
            return Ok(text.to_owned());
        }
        for (key, old, new) in
            [("remove", &before.remove, &self.remove), ("verbatim", &before.verbatim, &self.verbatim)]
        {
            if old != new && new.is_empty() {
                document.remove(key);
            } else if old != new {
                let paths: Array = new.iter().map(TreePath::as_str).collect();
                set(&mut document, key, Value::Array(paths));
            }
        }
        match &self.base {
            Some(base) if before.base.as_ref() != Some(base) => match document.get_mut("base") {
                Some(item) if item.is_table_like() => {
                    replace(&mut item["version"], base.version.as_str().into());
                    replace(&mut item["tree"], base.tree.to_string().into());
                }
                _ => {
                    let mut table = InlineTable::new();
                    table.insert("version", base.version.as_str().into());
                    table.insert("tree", base.tree.to_string().into());
                    set(&mut document, "base", Value::InlineTable(table));
                }
            },
            _ => {}
        }
        Ok(document.to_string())
    }
}

fn set(document: &mut DocumentMut, key: &str, value: Value) {
    match document.get_mut(key) {
        Some(item) => replace(item, value),
        None => {
            document.insert(key, Item::Value(value));
        }
    }
}

/// Another value in the same place: the blanks and comments around it stay.
fn replace(item: &mut Item, value: Value) {
    let around = item.as_value().map(|old| old.decor().clone());
    *item = Item::Value(value);
    if let (Some(around), Some(value)) = (around, item.as_value_mut()) {
        *value.decor_mut() = around;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_leaves_what_a_person_wrote() {
        let old = "0a".repeat(32);
        let path = |text: &str| TreePath::new(text).unwrap();
        let text = format!(
            "# mine\npack = \"slack\"   # the bot\nremove = [\"a\"] # never wanted\nbase = {{ version = \"1.0.0\", tree = \"{old}\" }} # why\n"
        );
        let mut manifest = Manifest::parse(&text).unwrap();
        for text in [&text, text.trim_end()] {
            assert_eq!(manifest.edited(text).unwrap(), text);
        }
        manifest.remove = vec![path("b"), path("c")];
        manifest.base = Some(Base { version: "1.1.0".into(), tree: TreeDigest::from_bytes([0x0f; 32]) });
        let edited = manifest.edited(&text).unwrap();
        assert_eq!(
            edited,
            format!(
                "# mine\npack = \"slack\"   # the bot\nremove = [\"b\", \"c\"] # never wanted\nbase = {{ version = \"1.1.0\", tree = \"{}\" }} # why\n",
                "0f".repeat(32)
            )
        );
        assert_eq!(Manifest::parse(&edited).unwrap(), manifest);
        // A table, and keys that were not there.
        for text in [
            format!("pack = \"slack\"\n[base]\nversion = \"1.0.0\"\ntree = \"{old}\"\n"),
            "pack = \"slack\"\n".into(),
            "pack = \"slack\"\nremove = [\"x\"]\n".into(),
        ] {
            let mut other = manifest.clone();
            other.verbatim = vec![path("x.patch")];
            let edited = other.edited(&text).unwrap();
            assert_eq!(Manifest::parse(&edited).unwrap(), other, "{edited}");
            other.remove.clear();
            assert_eq!(Manifest::parse(&other.edited(&edited).unwrap()).unwrap(), other, "{edited}");
        }
    }
}
