//! Entries of the target directories that packfleet does not manage.
//!
//! A directory in which nothing is looked at is one line, so the cost follows what packfleet manages,
//! not what else lies there. Links are named, never followed; `.packfleet` at the top is packfleet's own.

use std::collections::BTreeSet;

use super::beneath::{Node, shown};
use super::scan::Looked;
use super::state::Ground;
use crate::model::TreePath;
use crate::model::path::STATE_DIR;

/// Lists what lies in `targets` (`None` is the root) and is not looked at, sorted. A directory that cannot
/// be read, or is not there, has no entries.
pub fn unmanaged(
    ground: &Ground,
    targets: &[Option<TreePath>],
    looked: &Looked<'_>,
    version_file: Option<&TreePath>,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<String> =
        targets.iter().map(|target| target.as_ref().map_or("", TreePath::as_str).to_owned()).collect();
    let mut done = BTreeSet::new();
    while let Some(directory) = waiting.pop() {
        if !done.insert(directory.clone()) {
            continue;
        }
        let opened = ground.root.dir(if directory.is_empty() { "." } else { &directory });
        let Ok(names) = opened.and_then(|dir| dir.names()) else { continue };
        for (name, node) in names {
            if directory.is_empty() && name == STATE_DIR.as_bytes() {
                continue;
            }
            let slash = if node == Node::Directory { "/" } else { "" };
            match joined(&directory, &name) {
                Some(full) if node == Node::Directory && looked.any_below(&full) => waiting.push(full),
                Some(full) if looked.contains(&full) => {}
                Some(full) if version_file.is_some_and(|version| version.as_str() == full) => {}
                _ if directory.is_empty() => drop(found.insert(format!("{}{slash}", shown(&name)))),
                _ => drop(found.insert(format!("{directory}/{}{slash}", shown(&name)))),
            }
        }
    }
    found.into_iter().collect()
}

/// A name behind its directory ("" is the root); `None` if the name is not UTF-8.
pub fn joined(directory: &str, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    Some(if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") })
}
