//! Actual: what is there, as one look at a host found it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::plan::Obstacle;
use super::{Entry, TreePath};

/// What lies at a path that is not absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// A file or link.
    Entry(Entry),
    /// Anything else.
    Obstacle(Obstacle),
}

/// What is there. A path that was looked at and is not in `paths` is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actual {
    /// What lies at each path that was looked at and is not absent.
    pub paths: BTreeMap<TreePath, Seen>,
    /// Those ancestors of the looked-at paths that exist as directories.
    pub directories: BTreeSet<TreePath>,
    /// Entries of the listed directories that were not looked at, sorted; directories that hold no
    /// looked-at path are given once, with a trailing `/`. Names that are not UTF-8 are shown escaped.
    pub unmanaged: Vec<String>,
    /// Files whose bytes were read (not known from the stat cache).
    pub hashed: u64,
}
