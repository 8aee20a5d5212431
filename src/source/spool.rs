//! Large files on their way to several hosts: brought out of their repository once, and read piece by piece after that.
//!
//! What a repository gives it gives whole, so a large file lies in memory while it is brought out, one at a time; from
//! then on it is a file without a name in the cache, which is gone with the run. Small ones are not kept at all.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8Path;

use super::SourceError;
use super::objects::{io, make_dir};
use crate::model::Content;

/// Files of more bytes are read piece by piece.
pub(super) const LARGE: u64 = 1 << 20;

/// The bytes of a file of a pack.
#[derive(Debug)]
pub enum Given {
    /// All of them.
    Bytes(Vec<u8>),
    /// Many: to be read piece by piece.
    Pieces(Pieces),
}

/// A file that is read from its beginning, whoever else reads it.
#[derive(Debug)]
pub struct Pieces {
    file: Arc<File>,
    at: u64,
    /// Bytes in all.
    pub length: u64,
}

impl Pieces {
    pub(super) fn of(file: Arc<File>, length: u64) -> Self {
        Self { file, at: 0, length }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Large files that were brought out.
#[derive(Default)]
pub(super) struct Spool(Mutex<BTreeMap<Content, (Arc<File>, u64)>>);

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spool")
    }
}

impl Spool {
    /// What is there, or else what `bring` brings out, which is verified; one at a time. `dir` is where large ones lie.
    pub(super) fn give(
        &self,
        dir: &Utf8Path,
        content: Content,
        bring: impl FnOnce() -> Result<Vec<u8>, SourceError>,
    ) -> Result<Given, SourceError> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, length)) = files.get(&content) {
            return Ok(Given::Pieces(Pieces::of(Arc::clone(file), *length)));
        }
        let bytes = bring()?;
        let length = bytes.len() as u64;
        if length <= LARGE {
            return Ok(Given::Bytes(bytes));
        }
        let mut file = unnamed(dir)?;
        file.write_all(&bytes).map_err(|error| io("write a large file to", dir, error))?;
        let file = Arc::new(file);
        files.insert(content, (Arc::clone(&file), length));
        Ok(Given::Pieces(Pieces::of(file, length)))
    }
}

/// A file that nobody else can open, and that is gone once it is closed.
fn unnamed(dir: &Utf8Path) -> Result<File, SourceError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    make_dir(dir)?;
    let path = dir.join(format!("large.{}-{}.new", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path);
    let file = opened.map_err(|error| io("create", &path, error))?;
    fs::remove_file(&path).map_err(|error| io("remove", &path, error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(given: Given) -> (bool, Vec<u8>) {
        match given {
            Given::Bytes(bytes) => (false, bytes),
            Given::Pieces(mut pieces) => {
                let mut bytes = Vec::new();
                pieces.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len() as u64, pieces.length);
                (true, bytes)
            }
        }
    }

    #[test]
    fn a_large_file_is_brought_out_once_and_read_by_many() {
        let dir = tempfile::tempdir().unwrap();
        let at = Utf8Path::from_path(dir.path()).unwrap().join("cache");
        let spool = Spool::default();
        let large = vec![7; LARGE as usize + 1];
        let content = Content::of(&large);
        let first = spool.give(&at, content, || Ok(large.clone())).unwrap();
        let second = spool.give(&at, content, || panic!("it is there")).unwrap();
        assert_eq!(all(second), (true, large.clone()));
        assert_eq!(all(first), (true, large.clone()));
        assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "it has no name");
        let small = vec![7; LARGE as usize];
        for _twice in 0..2 {
            let given = spool.give(&at, Content::of(&small), || Ok(small.clone())).unwrap();
            assert_eq!(all(given), (false, small.clone()));
        }
    }
}
