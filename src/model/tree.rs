//! A tree: what lies at each path, without the bytes.
//!
//! Two entries are equal when kind, exec bit and content digest are equal; that is the one comparison
//! on which every verdict of packfleet rests. There are no directories in a tree: a directory is where
//! entries lie, and an empty one does not exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Content, DesiredDigest, TreeDigest, TreePath};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file without the exec bit.
    File,
    /// A regular file with the (owner's) exec bit.
    Exec,
    /// A symbolic link; its content is the link text.
    Link,
}

impl Kind {
    /// The byte that stands for the kind in a tree digest.
    pub const fn letter(self) -> u8 {
        match self {
            Self::File => b'f',
            Self::Exec => b'x',
            Self::Link => b'l',
        }
    }

    /// A regular file with or without the exec bit.
    pub const fn regular(exec: bool) -> Self {
        if exec { Self::Exec } else { Self::File }
    }
}

/// What lies at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// File, executable or link.
    pub kind: Kind,
    /// Digest of the bytes, or of the link text.
    pub content: Content,
}

impl Entry {
    /// An entry of `kind` that holds `bytes`.
    pub fn of(kind: Kind, bytes: &[u8]) -> Self {
        Self { kind, content: Content::of(bytes) }
    }
}

/// Entries by path, in byte order of the paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree(pub BTreeMap<TreePath, Entry>);

impl Tree {
    /// The digest that identifies a pack's tree: independent of order, threads and empty directories.
    pub fn digest(&self) -> TreeDigest {
        TreeDigest::from_bytes(digest_entries(self.0.iter().map(|(path, entry)| (path, *entry))))
    }

    /// The same digest over entries in root coordinates.
    pub fn desired_digest(&self) -> DesiredDigest {
        DesiredDigest::from_bytes(*self.digest().as_bytes())
    }
}

/// What tree digests are derived with.
pub(super) const CONTEXT: &str = "packfleet tree v1";

/// BLAKE3 `derive_key("packfleet tree v1")` over (kind letter, u64 LE length of path, path, content).
///
/// Assumes entries in byte order of their paths, each path once.
pub fn digest_entries<'a>(entries: impl Iterator<Item = (&'a TreePath, Entry)>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    for (path, entry) in entries {
        hasher.update(&[entry.kind.letter()]);
        hasher.update(&(path.as_str().len() as u64).to_le_bytes());
        hasher.update(path.as_str().as_bytes());
        hasher.update(entry.content.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_path_and_content_each_change_the_digest() {
        let tree = |path: &str, kind, bytes: &[u8]| {
            Tree([(TreePath::new(path).unwrap(), Entry::of(kind, bytes))].into()).digest()
        };
        let plain = tree("a", Kind::File, b"x");
        assert_ne!(plain, tree("b", Kind::File, b"x"));
        assert_ne!(plain, tree("a", Kind::Exec, b"x"));
        assert_ne!(plain, tree("a", Kind::Link, b"x"));
        assert_ne!(plain, tree("a", Kind::File, b"y"));
        assert_eq!(plain, tree("a", Kind::File, b"x"));
    }
}
