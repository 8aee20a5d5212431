//! The controller's content store: bytes by digest, for what no commit holds.
//!
//! Files of plain directories and bytes that overlays gave lie here, so that they are still found as the
//! base of a merge when the directory has moved on. A file is named by the digest of its bytes, written
//! aside and renamed into place, readable by its owner only, and verified whenever it is read, which is
//! also why it is not synced: what a power cut damages counts as missing, and hosts hold the bases that
//! they need themselves. Nothing sound is ever dropped here.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use camino::{Utf8Path, Utf8PathBuf};

use super::SourceError;
use super::spool::{Given, LARGE, Pieces};
use crate::model::Content;

/// Bytes that are read at once of a large file.
const PIECE: usize = 1 << 20;

/// A directory of files named by the digest of their bytes.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    dir: Utf8PathBuf,
}

impl ObjectStore {
    /// The store at `dir`; made when the first object is put.
    pub fn open(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Keeps bytes: a whole file or none. What is there already is not written again.
    pub fn put(&self, bytes: &[u8]) -> Result<Content, SourceError> {
        let content = Content::of(bytes);
        let path = self.path(content);
        // A damaged file is found, and dropped, when it is read; until then its length is trusted.
        if fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.len() == bytes.len() as u64) {
            return Ok(content);
        }
        replace(&path, bytes)?;
        Ok(content)
    }

    /// The bytes, verified; `None` if they are not there or damaged. Damaged ones are dropped, so that the
    /// next `put` brings them back.
    pub fn get(&self, content: Content) -> Result<Option<Vec<u8>>, SourceError> {
        let path = self.path(content);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("open", &path, error)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| io("read", &path, error))?;
        if Content::of(&bytes) == content {
            return Ok(Some(bytes));
        }
        tracing::warn!(%path, "dropped a damaged object of the cache");
        fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
        Ok(None)
    }

    /// Writes the bytes, unverified, in pieces; `false` if they are not there.
    pub fn copy(&self, content: Content, to: &mut dyn Write) -> Result<bool, SourceError> {
        let path = self.path(content);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io("open", &path, error)),
        };
        std::io::copy(&mut BufReader::with_capacity(PIECE, file), to)
            .map(|_| true)
            .map_err(|error| io("copy", &path, error))
    }

    /// Keeps the first `size` bytes of a file, which is read in pieces: once to know what is in it, and once more if
    /// they are not there already.
    pub fn put_file(&self, file: &File, size: u64) -> Result<Content, SourceError> {
        let reading = |error| io("read", &self.dir, error);
        let content = digested(file, size, &mut std::io::sink()).map_err(reading)?;
        let path = self.path(content);
        if fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.len() == size) {
            return Ok(content);
        }
        write_aside(&path, |to| match digested(file, size, to)? == content {
            true => Ok(()),
            false => Err(std::io::Error::other("a file of the pack changed while it was read")),
        })?;
        Ok(content)
    }

    /// The same, piece by piece if they are many.
    pub fn give(&self, content: Content) -> Result<Option<Given>, SourceError> {
        let path = self.path(content);
        let large = match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) if length > LARGE => Some((file, length)),
            _ => None,
        };
        if let Some((file, length)) = large {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&file).map_err(|error| io("read", &path, error))?;
            if hasher.finalize().as_bytes() == content.as_bytes() {
                return Ok(Some(Given::Pieces(Pieces::of(Arc::new(file), length))));
            }
        }
        Ok(self.get(content)?.map(Given::Bytes))
    }

    fn path(&self, content: Content) -> Utf8PathBuf {
        self.dir.join(content.to_string())
    }
}

/// Writes the first bytes of a file to `to`, and gives their digest.
fn digested(mut file: &File, size: u64, to: &mut dyn Write) -> std::io::Result<Content> {
    file.rewind()?;
    let (mut hasher, mut piece) = (blake3::Hasher::new(), vec![0; PIECE]);
    let mut left = file.take(size);
    loop {
        match left.read(&mut piece) {
            Ok(0) => return Ok(Content::from_bytes(*hasher.finalize().as_bytes())),
            Ok(read) => {
                hasher.update_rayon(&piece[..read]);
                to.write_all(&piece[..read])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a file of the cache aside and renames it into place; its directory is made if needed.
pub(super) fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<(), SourceError> {
    write_aside(path, |file| file.write_all(bytes))
}

/// The same for what others are told: it is on the disk, under its name, when this returns.
pub(super) fn replace_durably(path: &Utf8Path, bytes: &[u8]) -> Result<(), SourceError> {
    write_aside(path, |file| file.write_all(bytes).and_then(|()| file.sync_all()))?;
    let dir = path.parent().unwrap_or(Utf8Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| io("sync", dir, error))
}

fn write_aside(
    path: &Utf8Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), SourceError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(dir) = path.parent() {
        make_dir(dir)?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let aside = Utf8PathBuf::from(format!("{path}.{}-{number}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| fill(&mut file))
        .map_err(|error| io("write", &aside, error))
        .and_then(|()| fs::rename(&aside, path).map_err(|error| io("rename", &aside, error)));
    if written.is_err() {
        // Best effort: the cause has been found, and the name will not be used again.
        let _ = fs::remove_file(&aside);
    }
    written
}

/// Makes a directory of the cache and those above it, for its owner only.
pub(super) fn make_dir(dir: &Utf8Path) -> Result<(), SourceError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| io("make directory", dir, error))
}

/// An [`SourceError::Io`].
pub(super) fn io(operation: &'static str, path: &Utf8Path, source: std::io::Error) -> SourceError {
    SourceError::Io { operation, path: path.to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_put_is_found_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap().join("a/objects");
        let store = ObjectStore::open(&dir);
        let missing = Content::of(b"missing");
        assert_eq!(store.get(missing).unwrap(), None);
        let content = store.put(b"bytes").unwrap();
        assert_eq!(content, Content::of(b"bytes"));
        assert_eq!(store.put(b"bytes").unwrap(), content);
        assert_eq!(store.get(content).unwrap().unwrap(), b"bytes");
        let path = dir.join(content.to_string());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is left aside");

        fs::write(&path, b"Bytes").unwrap();
        assert_eq!(store.get(content).unwrap(), None);
        store.put(b"bytes").unwrap();
        assert_eq!(store.get(content).unwrap().unwrap(), b"bytes");
    }

    #[test]
    fn an_empty_file_is_an_object() {
        let dir = tempfile::tempdir().unwrap();
        let store = ObjectStore::open(Utf8Path::from_path(dir.path()).unwrap());
        let content = store.put(b"").unwrap();
        assert_eq!(store.get(content).unwrap().unwrap(), b"");
    }
}
