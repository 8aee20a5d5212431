//! Bytes on their way into a file: in pieces, and digested as they pass.
//!
//! What a large file costs is then time, and no memory. Who fills a [`Sink`] need not verify anything: who made it
//! asks it at the end. What was poured in vain is taken out again before something else is tried.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::{BlobError, Blobs, HostError};
use crate::model::Content;

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// Pieces from this size on are digested on all cores.
const LARGE: usize = 512 << 10;

/// An empty file that is being filled.
#[derive(Debug)]
pub struct Sink<'a> {
    file: &'a File,
    hasher: blake3::Hasher,
    /// The digest of what was poured in, once it was asked for.
    content: Cell<Option<Content>>,
    failed: Option<io::Error>,
}

impl<'a> Sink<'a> {
    /// Fills this file, which is empty.
    pub fn of(file: &'a File) -> Self {
        Self { file, hasher: blake3::Hasher::new(), content: Cell::new(None), failed: None }
    }

    /// Whether what was poured in has this digest, and all of it is in the file.
    pub fn holds(&self, content: Content) -> bool {
        self.failed.is_none() && self.content() == content
    }

    /// The digest of what was poured in.
    pub fn content(&self) -> Content {
        let digest = || Content::from_bytes(*self.hasher.finalize().as_bytes());
        let content = self.content.get().unwrap_or_else(digest);
        self.content.set(Some(content));
        content
    }

    /// Takes everything out again. `false` if that, or the filling, failed: then nothing more is to be tried.
    pub fn again(&mut self) -> bool {
        if self.failed.is_none() && self.hasher.count() > 0 {
            self.hasher.reset();
            self.content.set(None);
            let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
            self.failed = emptied.err();
        }
        self.failed.is_none()
    }

    /// Pours in all that is left of a file.
    pub fn all(&mut self, mut from: &File) -> io::Result<()> {
        let size = usize::try_from(from.metadata()?.len()).unwrap_or(PIECE);
        let mut piece = vec![0; size.saturating_add(1).min(PIECE)];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => self.write_all(&piece[..read])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.content.set(None);
                if bytes.len() < LARGE {
                    self.hasher.update(bytes)
                } else {
                    self.hasher.update_rayon(bytes)
                };
                Ok(bytes.len())
            }
            Err(error) => {
                let told = io::Error::from(error.kind());
                self.failed.get_or_insert(error);
                Err(told)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills an empty file from a store, and verifies what it gave. `writing` words a failed write.
pub fn fill(
    file: &File,
    blobs: &dyn Blobs,
    content: Content,
    writing: impl FnOnce(io::Error) -> HostError,
) -> Result<(), HostError> {
    let mut sink = Sink::of(file);
    let given = blobs.copy(content, &mut sink);
    if let Some(error) = sink.failed {
        return Err(writing(error));
    }
    given?;
    if sink.holds(content) {
        return Ok(());
    }
    Err(HostError::Blob(BlobError::wrong(content)))
}

/// The digest of a file from its beginning; the next read of it begins there again.
pub fn digest(mut file: &File) -> io::Result<Content> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    file.rewind()?;
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => drop(hasher.update(&piece[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(Content::from_bytes(*hasher.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_knows_what_it_holds_and_forgets_what_was_in_vain() {
        let bytes: Vec<u8> = (0..PIECE * 2 + 9).map(|at| (at * 7 % 251) as u8).collect();
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(&bytes).unwrap();
        assert_eq!(digest(&from).unwrap(), Content::of(&bytes));
        let to = tempfile::tempfile().unwrap();
        let mut sink = Sink::of(&to);
        assert!(sink.holds(Content::of(b"")));
        sink.write_all(b"wrong").unwrap();
        assert!(!sink.holds(Content::of(&bytes)) && sink.again());
        sink.all(&from).unwrap();
        assert!(sink.holds(Content::of(&bytes)));
        let mut found = Vec::new();
        (&to).rewind().unwrap();
        (&to).read_to_end(&mut found).unwrap();
        assert!(found == bytes);
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut sink = Sink::of(&full);
        assert!(sink.write_all(b"x").is_err() && !sink.again() && !sink.holds(Content::of(b"")));
    }
}
