//! Origins on this machine: what is new is packed straight from their objects.
//!
//! libgit2's own way does the same by the origin's settings: it looks for differences between the largest files, and
//! has several of them, whole, in memory for that. Here the mirror packs, by settings of its own, with the origin's
//! objects beside its own ones: what is large goes through one file at a time. Every object is verified where it is
//! read, and again where it is taken in.
//!
//! Deliberately absent: origins that themselves borrow objects from others, or have a part of their history only; those
//! go libgit2's way.

use std::collections::BTreeSet;
use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository};

/// Files of more bytes are packed as they are.
const LARGE: i64 = 1 << 20;

/// Where a repository has its objects, if it has all of them itself.
pub(super) fn objects(origin: &Utf8Path) -> Option<Utf8PathBuf> {
    let repository = Repository::open(origin).ok()?;
    let objects = Utf8PathBuf::from_path_buf(repository.commondir().join("objects")).ok()?;
    let has_all = !repository.is_shallow() && !objects.join("info/alternates").exists();
    has_all.then_some(objects)
}

/// Brings in all that these ids lead to and no ref of the mirror does.
pub(super) fn bring(mirror: &Repository, objects: &Utf8Path, tips: &[Oid]) -> Result<(), git2::Error> {
    // Another handle on the mirror, so that nobody else ever reads the origin through it.
    let packing = Repository::open_bare(mirror.path())?;
    let mut config = packing.config()?;
    // The first is what libgit2 reads for the second, too.
    for key in ["pack.deltaCacheSize", "core.bigFileThreshold"] {
        if config.get_i64(key).ok() != Some(LARGE) {
            config.set_i64(key, LARGE)?;
        }
    }
    packing.odb()?.add_disk_alternate(objects.as_str())?;
    let mut builder = packing.packbuilder()?;
    let mut walk = packing.revwalk()?;
    let mut known = BTreeSet::new();
    for reference in mirror.references()? {
        known.extend(reference?.target());
    }
    for tip in tips.iter().filter(|tip| !known.contains(tip)) {
        let mut object = packing.find_object(*tip, None)?;
        while let Some(tag) = object.as_tag() {
            builder.insert_object(tag.id(), None)?;
            object = tag.target()?;
        }
        match object.kind() {
            Some(ObjectType::Commit) => walk.push(object.id())?,
            _ => builder.insert_recursive(object.id(), None)?,
        }
    }
    for id in known {
        match walk.hide(id) {
            // One that leads to no commit.
            Err(error) if error.code() == ErrorCode::NotFound || error.class() == ErrorClass::Invalid => {}
            hidden => hidden?,
        }
    }
    builder.insert_walk(&mut walk)?;
    if builder.object_count() == 0 {
        return Ok(());
    }
    builder.set_threads(0);
    let odb = mirror.odb()?;
    let mut taken = odb.packwriter()?;
    let mut failed = None;
    let packed = builder.foreach(|bytes| match taken.write_all(bytes) {
        Ok(()) => true,
        Err(error) => {
            failed = Some(error);
            false
        }
    });
    if let Some(error) = failed {
        return Err(git2::Error::new(ErrorCode::GenericError, ErrorClass::Indexer, error.to_string()));
    }
    packed?;
    taken.commit().map(drop)
}
