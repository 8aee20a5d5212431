//! Trees of a git repository as packs: walked by tree objects, and remembered.
//!
//! A walk reads every blob once, to digest it. What it finds is kept in the cache under the id of the tree
//! object, so that a later run reads no blob, whichever commit holds that tree. The file is framed like the
//! record; a damaged one, or one of another format, is computed anew. Rules that a fleet may set (limits,
//! letter case) are checked on every use.

use std::collections::{BTreeSet, VecDeque};
use std::fs;

use camino::Utf8PathBuf;
use git2::{ObjectType, Odb, OdbObject, Oid, Repository};
use serde::{Deserialize, Serialize};

use super::libgit2::Headers;
use super::objects::replace;
use super::rules::{self, Intake};
use super::{PackEntry, SourceError, TreeRules};
use crate::model::record::{frame, unframe};
use crate::model::{Content, Kind, TreePath};

const MAGIC: &[u8; 8] = b"pftree\0\0";
const FORMAT: u32 = 1;

/// A pack's entry, and the blob that holds its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Listed {
    path: TreePath,
    kind: Kind,
    content: Content,
    size: u64,
    link: Option<Box<str>>,
    blob: [u8; 20],
}

impl Listed {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn entry(&self) -> PackEntry {
        PackEntry {
            path: self.path.clone(),
            kind: self.kind,
            content: self.content,
            size: self.size,
            link: self.link.clone(),
        }
    }

    pub(super) fn content(&self) -> Content {
        self.content
    }

    pub(super) fn blob(&self) -> Option<Oid> {
        Oid::from_bytes(&self.blob).ok()
    }
}

/// An object that cannot be read, and why; the caller says of which mirror.
pub(super) enum WalkError {
    /// It ought to be there.
    Object(Oid, git2::Error),
    /// The pack breaks a rule.
    Source(SourceError),
}

impl From<SourceError> for WalkError {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// The cached listings.
pub(super) struct Listings {
    pub(super) dir: Utf8PathBuf,
}

impl Listings {
    fn path(&self, tree: Oid) -> Utf8PathBuf {
        self.dir.join(format!("{tree}-{FORMAT}"))
    }

    /// A listing that was kept, if it is sound.
    pub(super) fn kept(&self, tree: Oid) -> Option<Vec<Listed>> {
        let bytes = fs::read(self.path(tree)).ok()?;
        let (id, listing): ([u8; 20], Vec<Listed>) = unframe(MAGIC, FORMAT, &bytes).ok()?;
        (id == tree.as_bytes()).then_some(listing)
    }

    /// The listing of a tree: kept, or walked and then kept. `place` names it in messages.
    pub(super) fn of(
        &self,
        repository: &Repository,
        tree: Oid,
        rules: &TreeRules,
        place: &str,
    ) -> Result<Vec<Listed>, WalkError> {
        if let Some(listing) = self.kept(tree) {
            let entries: Vec<PackEntry> = listing.iter().map(Listed::entry).collect();
            rules::check(&entries, rules, place)?;
            return Ok(listing);
        }
        let listing = walk(repository, tree, rules, place)?;
        let id: &[u8] = tree.as_bytes();
        if let Ok(id) = <[u8; 20]>::try_from(id) {
            // Not to be able to remember is no reason to fail.
            if let Err(error) = replace(&self.path(tree), &frame(MAGIC, FORMAT, &(id, &listing))) {
                tracing::warn!(%error, "cannot keep the listing of a tree");
            }
        }
        Ok(listing)
    }
}

fn walk(repository: &Repository, top: Oid, rules: &TreeRules, place: &str) -> Result<Vec<Listed>, WalkError> {
    let odb = repository.odb().map_err(|error| WalkError::Object(top, error))?;
    let headers = Headers::of(repository).map_err(|error| WalkError::Object(top, error))?;
    let mut intake = Intake::new(rules);
    let mut blobs = std::collections::BTreeMap::new();
    let mut ahead: Vec<(Option<TreePath>, Oid)> = vec![(None, top)];
    while let Some((directory, id)) = ahead.pop() {
        let tree = repository.find_tree(id).map_err(|error| WalkError::Object(id, error))?;
        for entry in &tree {
            let path = intake.child(directory.as_ref(), entry.name_bytes())?;
            let kind = match entry.filemode_raw() {
                0o040_000 => {
                    ahead.push((Some(path), entry.id()));
                    continue;
                }
                0o100_644 => Kind::File,
                0o100_755 => Kind::Exec,
                0o120_000 => Kind::Link,
                0o160_000 => {
                    return Err(SourceError::Refused(format!(
                        "{path:?} is a submodule: its files are in another repository"
                    ))
                    .into());
                }
                other => {
                    return Err(SourceError::Refused(format!(
                        "{path:?} has the mode {other:06o}; packs hold 100644, 100755 and 120000"
                    ))
                    .into());
                }
            };
            let object = {
                let unreadable = |error| WalkError::Object(entry.id(), error);
                let (_, size) = headers.read(entry.id()).map_err(unreadable)?;
                intake.announce(&path, size as u64)?;
                blob(&odb, entry.id()).map_err(unreadable)?
            };
            intake.take(path.clone(), kind, object.data())?;
            blobs.insert(path, entry.id());
        }
    }
    let listed = |entry: PackEntry| {
        let blob = blobs.get(&entry.path)?;
        let blob = <[u8; 20]>::try_from(blob.as_bytes()).ok()?;
        let PackEntry { path, kind, content, size, link } = entry;
        Some(Listed { path, kind, content, size, link, blob })
    };
    Ok(intake.finish(place)?.into_iter().filter_map(listed).collect())
}

/// A blob.
pub(super) fn blob<'a>(odb: &'a Odb<'_>, id: Oid) -> Result<OdbObject<'a>, git2::Error> {
    let object = odb.read(id)?;
    if object.kind() == ObjectType::Blob {
        Ok(object)
    } else {
        Err(git2::Error::from_str(&format!("object {id} is no blob")))
    }
}

/// The bytes of a blob.
pub(super) fn read(odb: &Odb<'_>, id: Oid) -> Result<Vec<u8>, git2::Error> {
    blob(odb, id).map(|object| object.data().to_vec())
}

/// The tree object of a directory; `None` if nothing lies there, or no directory.
pub(super) fn directory(
    repository: &Repository,
    top: Oid,
    path: Option<&TreePath>,
) -> Result<Option<Oid>, WalkError> {
    let mut id = top;
    for name in path.into_iter().flat_map(TreePath::components) {
        let tree = repository.find_tree(id).map_err(|error| WalkError::Object(id, error))?;
        match tree.iter().find(|entry| entry.name_bytes() == name.as_bytes()) {
            Some(entry) if entry.kind() == Some(ObjectType::Tree) => id = entry.id(),
            _ => return Ok(None),
        }
    }
    Ok(Some(id))
}

/// A tree and all trees beneath it, each once, those nearer to the top first, until `found` says so, which is the answer;
/// trees that cannot be read are named, but not what is beneath them.
pub(super) fn trees(repository: &Repository, top: Oid, mut found: impl FnMut(Oid) -> bool) -> bool {
    let (mut known, mut ahead) = (BTreeSet::from([top]), VecDeque::from([top]));
    while let Some(id) = ahead.pop_front() {
        if found(id) {
            return true;
        }
        let Ok(tree) = repository.find_tree(id) else { continue };
        let below = tree.iter().filter(|entry| entry.kind() == Some(ObjectType::Tree));
        ahead.extend(below.map(|entry| entry.id()).filter(|id| known.insert(*id)));
    }
    false
}

/// All blobs beneath a tree, each once; what lies in trees that cannot be read is left out.
pub(super) fn blobs(repository: &Repository, top: Oid) -> BTreeSet<Oid> {
    let mut blobs = BTreeSet::new();
    trees(repository, top, |id| {
        if let Ok(tree) = repository.find_tree(id) {
            let files = tree.iter().filter(|entry| entry.kind() == Some(ObjectType::Blob));
            blobs.extend(files.map(|entry| entry.id()));
        }
        false
    });
    blobs
}
