//! Statuses in a plain directory of one user, such as one that several of their machines mount; readers lock, too, and
//! so must be able to write there.
//!
//! ```text
//! DIR/DEPLOYMENT.status       the stamp and its signature
//! DIR/DEPLOYMENT.lock         held while it is replaced
//! DIR/manifests/DIGEST        manifests by their digest; equal ones lie there once
//! DIR/.lock                   held while manifests are added or removed, and while all are read
//! ```
//! Each file is written aside and renamed into place, the manifest before the stamp that names it. A manifest that no
//! stamp names any more is removed by whoever replaced the last one. Links are not followed, and what is no file is no
//! status.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;

use super::super::objects::{io, make_dir, replace_durably};
use super::{Damage, MAX_MANIFEST, MAX_STAMP, Of, Post, Posted, Published, StatusStore, Version, Word};
use crate::model::cause::in_one_line;
use crate::model::stamp::Stamp;
use crate::model::{DeploymentName, ManifestDigest};
use crate::source::SourceError;

const STATUS: &str = ".status";
const MANIFESTS: &str = "manifests";
/// No link is followed, and opening a pipe waits for nobody.
const AS_IT_IS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// The store.
#[derive(Debug, Clone)]
pub struct DirectoryStatus {
    dir: Utf8PathBuf,
}

impl DirectoryStatus {
    /// At a directory, which is made when the first status is published.
    pub fn open(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn status(&self, name: &DeploymentName) -> Utf8PathBuf {
        self.dir.join(format!("{name}{STATUS}"))
    }

    fn manifest(&self, digest: ManifestDigest) -> Utf8PathBuf {
        self.dir.join(MANIFESTS).join(digest.to_string())
    }

    /// The lock of one deployment's status.
    fn lock(&self, name: &DeploymentName) -> Result<File, SourceError> {
        self.lock_at(&self.dir.join(format!("{name}.lock")))
    }

    /// The lock of all manifests, where no deployment's can be.
    fn lock_manifests(&self) -> Result<File, SourceError> {
        self.lock_at(&self.dir.join(".lock"))
    }

    fn lock_at(&self, path: &Utf8Path) -> Result<File, SourceError> {
        make_dir(path.parent().unwrap_or(&self.dir))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(AS_IT_IS);
        let opened = options.open(path);
        let file = opened.map_err(|error| io("open", path, error))?;
        file.lock().map_err(|error| io("lock", path, error))?;
        Ok(file)
    }

    fn post(&self, post: &Post) -> Result<Posted, SourceError> {
        let path = self.status(&post.deployment);
        let digest = ManifestDigest::of(post.manifest.as_bytes());
        let _lock = self.lock(&post.deployment)?;
        let before = read(&path, MAX_STAMP)?;
        if before.as_deref().map(version) != post.replaces {
            return Ok(Posted::Overtaken);
        }
        {
            // Nobody sweeps between the manifest and the stamp that names it.
            let _sweeping = self.lock_manifests()?;
            let place = self.manifest(digest);
            if read(&place, MAX_MANIFEST)?.as_deref() != Some(&*post.manifest) {
                replace_durably(&place, post.manifest.as_bytes())?;
            }
            replace_durably(&path, post.stamp.as_bytes())?;
            if before.is_some_and(|before| named(&before) != Some(digest)) {
                // The word is said; what nobody names any more is swept another time.
                if let Err(error) = self.sweep() {
                    tracing::warn!(%error, "manifests that no status names are not removed");
                }
            }
        }
        Ok(Posted::Taken(version(&post.stamp)))
    }

    /// Removes manifests that no stamp names.
    fn sweep(&self) -> Result<(), SourceError> {
        let mut named_by_some = BTreeSet::new();
        for name in self.names()? {
            named_by_some.extend(read(&self.status(&name), MAX_STAMP)?.and_then(|stamp| named(&stamp)));
        }
        let dir = self.dir.join(MANIFESTS);
        for name in listed(&dir)? {
            if name.parse().is_ok_and(|digest: ManifestDigest| !named_by_some.contains(&digest)) {
                let path = dir.join(&name);
                fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<DeploymentName>, SourceError> {
        let names = listed(&self.dir)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(STATUS)?.parse().ok()).collect())
    }
}

fn listed(dir: &Utf8Path) -> Result<Vec<String>, SourceError> {
    let entries = match dir.read_dir_utf8() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| io("list", dir, error))?,
    };
    let name = |entry: std::io::Result<camino::Utf8DirEntry>| Ok(entry?.file_name().to_owned());
    entries.map(name).collect::<Result<_, std::io::Error>>().map_err(|error| io("list", dir, error))
}

/// A file's text; `None` if there is none. What is larger than may be, or no text, is cut or replaced, and is then
/// no status.
fn read(path: &Utf8Path, most: usize) -> Result<Option<String>, SourceError> {
    let file = match OpenOptions::new().read(true).custom_flags(AS_IT_IS).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| io("open", path, error))?,
    };
    if !file.metadata().map_err(|error| io("look at", path, error))?.is_file() {
        return Err(io("open", path, std::io::Error::other("it is no file")));
    }
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes).map_err(|error| io("read", path, error))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn version(stamp: impl AsRef<str>) -> Version {
    Version(blake3::hash(stamp.as_ref().as_bytes()).to_hex().to_string())
}

/// The manifest that a stamp names.
fn named(stamp: &str) -> Option<ManifestDigest> {
    Stamp::parse(stamp).ok().map(|signed| signed.stamp.manifest)
}

impl StatusStore for DirectoryStatus {
    fn fetch(&self, of: Of<'_>) -> Result<Published, SourceError> {
        let mut published = Published::default();
        let mut manifests: BTreeMap<ManifestDigest, Arc<str>> = BTreeMap::new();
        // A sweep may take the manifest of a stamp that was read just before it was replaced.
        let _sweeping = if self.dir.exists() { Some(self.lock_manifests()?) } else { None };
        for name in self.names()?.into_iter().filter(|name| of.means(name)) {
            let stamp = match read(&self.status(&name), MAX_STAMP) {
                Ok(Some(stamp)) => stamp,
                Ok(None) => continue,
                Err(error) => {
                    published.damaged.insert(name, Damage { version: None, why: in_one_line(&error) });
                    continue;
                }
            };
            let damage = |why: &str| Damage { version: Some(version(&stamp)), why: why.to_owned() };
            let Some(digest) = named(&stamp) else {
                published.damaged.insert(name, damage("it is no status"));
                continue;
            };
            let manifest = match manifests.get(&digest) {
                Some(manifest) => Arc::clone(manifest),
                None => match read(&self.manifest(digest), MAX_MANIFEST)? {
                    Some(manifest) => Arc::from(manifest),
                    None => {
                        published.damaged.insert(name, damage("the manifest that it names is not there"));
                        continue;
                    }
                },
            };
            manifests.insert(digest, Arc::clone(&manifest));
            published.words.insert(name, Word { version: version(&stamp), stamp, manifest });
        }
        Ok(published)
    }

    fn publish(&self, posts: &[Post]) -> Result<Vec<Posted>, SourceError> {
        // A place that cannot be written hinders no other.
        let refused = |error: SourceError| Posted::Refused(in_one_line(&error));
        Ok(posts.iter().map(|post| self.post(post).unwrap_or_else(refused)).collect())
    }
}
