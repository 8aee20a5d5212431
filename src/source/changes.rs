//! What differs between two states of a pack in one repository, told by its tree objects.
//!
//! Only trees whose ids differ are read, and only blobs that are new. Gives no answer, so that the whole pack is
//! to be read, wherever more than the bytes of plain files is in question (links, submodules, a file in the
//! place of a directory, names that clash or are no paths), and where there is more of it than a pack may have: what
//! reads the whole also says what is wrong with it. Trees can name each other so that a few objects are more paths
//! than there is time for.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Odb, Oid, Repository};

use super::libgit2::Headers;
use super::listing::{WalkError, blob};
use super::rules::Intake;
use super::{Change, TreeRules};
use crate::model::shape::fold;
use crate::model::{Content, Kind, TreePath};

/// More changes than this, or directories with some, are not told one by one.
const MOST: usize = 20_000;

/// The changes from one tree to another, with the blobs of what is new.
pub(super) type Found = (Vec<Change>, BTreeMap<Content, Oid>);

/// Compares two trees; `None` where that is no business of this module.
pub(super) fn between(
    repository: &Repository,
    from: Oid,
    to: Oid,
    rules: &TreeRules,
) -> Result<Option<Found>, WalkError> {
    let odb = repository.odb().map_err(|error| WalkError::Object(to, error))?;
    let headers = Headers::of(repository).map_err(|error| WalkError::Object(to, error))?;
    let mut walk = Walk {
        repository,
        odb,
        headers,
        rules,
        changes: Vec::new(),
        blobs: BTreeMap::new(),
        seen: 0,
        bytes: 0,
    };
    let known = walk.compare(None, Some(from), Some(to))?;
    Ok(known.map(|()| (walk.changes, walk.blobs)))
}

struct Walk<'r> {
    repository: &'r Repository,
    odb: Odb<'r>,
    headers: Headers,
    rules: &'r TreeRules,
    changes: Vec<Change>,
    blobs: BTreeMap<Content, Oid>,
    /// Names that were followed.
    seen: usize,
    /// Bytes that were read.
    bytes: u64,
}

/// What a tree says of a name: mode and object.
type Named = BTreeMap<Vec<u8>, (i32, Oid)>;

const TREE: i32 = 0o040_000;

fn kind(mode: i32) -> Option<Kind> {
    match mode {
        0o100_644 => Some(Kind::File),
        0o100_755 => Some(Kind::Exec),
        _ => None,
    }
}

impl Walk<'_> {
    fn names(&self, id: Option<Oid>) -> Result<Option<Named>, WalkError> {
        let Some(id) = id else { return Ok(Some(Named::new())) };
        let tree = self.repository.find_tree(id).map_err(|error| WalkError::Object(id, error))?;
        let mut names = Named::new();
        for entry in &tree {
            if names.insert(entry.name_bytes().to_vec(), (entry.filemode_raw(), entry.id())).is_some() {
                return Ok(None);
            }
        }
        Ok(Some(names))
    }

    fn compare(
        &mut self,
        directory: Option<&TreePath>,
        from: Option<Oid>,
        to: Option<Oid>,
    ) -> Result<Option<()>, WalkError> {
        let (Some(from), Some(to)) = (self.names(from)?, self.names(to)?) else { return Ok(None) };
        if !self.rules.distinct && to.keys().any(|name| !from.contains_key(name)) && clash(&to) {
            return Ok(None);
        }
        let all: BTreeSet<&Vec<u8>> = from.keys().chain(to.keys()).collect();
        for name in all {
            let (was, is) = (from.get(name), to.get(name));
            if was == is {
                continue;
            }
            self.seen += 1;
            if self.seen > MOST {
                return Ok(None);
            }
            let Ok(path) = Intake::new(self.rules).child(directory, name) else { return Ok(None) };
            let is_tree = |it: Option<&(i32, Oid)>| it.map(|(mode, _)| *mode == TREE);
            let known = match (is_tree(was), is_tree(is)) {
                (Some(true) | None, Some(true)) | (Some(true), None) => {
                    self.compare(Some(&path), was.map(|it| it.1), is.map(|it| it.1))?
                }
                (Some(true), Some(false)) | (Some(false), Some(true)) => None,
                _ => self.file(path, was, is)?,
            };
            if known.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn file(
        &mut self,
        path: TreePath,
        was: Option<&(i32, Oid)>,
        is: Option<&(i32, Oid)>,
    ) -> Result<Option<()>, WalkError> {
        let before = match was {
            None => 0,
            Some((mode, id)) if kind(*mode).is_some() => {
                self.headers.read(*id).map_err(|error| WalkError::Object(*id, error))?.1 as u64
            }
            Some(_) => return Ok(None),
        };
        let entry = match is {
            None => None,
            Some((mode, id)) => {
                let Some(kind) = kind(*mode) else { return Ok(None) };
                let unreadable = |error| WalkError::Object(*id, error);
                let size = self.headers.read(*id).map_err(unreadable)?.1 as u64;
                let mut intake = Intake::new(self.rules);
                self.bytes = self.bytes.saturating_add(size);
                if intake.announce(&path, size).is_err() || self.bytes > self.rules.limits.bytes {
                    return Ok(None);
                }
                let object = blob(&self.odb, *id).map_err(unreadable)?;
                let Ok(content) = intake.take(path.clone(), kind, object.data()) else { return Ok(None) };
                self.blobs.insert(content, *id);
                intake.into_entries().pop()
            }
        };
        self.changes.push(Change { path, existed: was.is_some(), size_before: before, entry });
        Ok(Some(()))
    }
}

/// Whether two names are one where letter case does not count, or one is no text.
fn clash(names: &Named) -> bool {
    let mut folded = BTreeSet::new();
    !names.keys().all(|name| std::str::from_utf8(name).is_ok_and(|name| folded.insert(fold(name))))
}
