//! Where the bytes of a plan come from: all of one content, poured into a file, or read piece by piece.
//!
//! What is large need not lie in memory on its way. Nothing is believed without its digest: whoever uses bytes verifies
//! them, or takes them from where that was done.

use std::io::{Cursor, Read, Write};

use super::{HostError, Sink};
use crate::model::Content;

/// Where bytes come from while a plan is carried out.
pub trait Blobs: Sync {
    /// The bytes with this digest (for a link: its text). The caller verifies.
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError>;

    /// Pours the same bytes into a file, in pieces where that can be. The caller verifies.
    fn copy(&self, content: Content, to: &mut Sink<'_>) -> Result<(), BlobError> {
        let bytes = self.bytes(content)?;
        // What cannot be written the sink knows better.
        to.write_all(&bytes).map_err(|error| BlobError { content, why: error.to_string() })
    }

    /// The same, piece by piece. They are verified where they are taken from, and again by the host.
    fn stream(&self, content: Content) -> Result<Stream<'_>, BlobError> {
        Stream::of_verified(content, self.bytes(content)?)
    }

    /// How many there are, to say after a failure what would have been needed.
    fn size(&self, content: Content) -> Option<u64> {
        self.bytes(content).ok().map(|bytes| bytes.len() as u64)
    }

    /// The change is there, its quick checks passed, and what is left is to watch it. Told once at most, and not
    /// where nothing is watched; that it gets lost costs others time only.
    fn watched(&self) {}
}

/// Bytes that are read piece by piece.
pub struct Stream<'a> {
    /// How many there are.
    pub length: u64,
    /// They themselves.
    pub bytes: Box<dyn Read + 'a>,
}

impl Stream<'_> {
    /// Bytes that are there, if they have this digest.
    pub fn of_verified(content: Content, bytes: Vec<u8>) -> Result<Self, BlobError> {
        if Content::of(&bytes) != content {
            return Err(BlobError::wrong(content));
        }
        Ok(Self { length: bytes.len() as u64, bytes: Box::new(Cursor::new(bytes)) })
    }
}

/// Bytes from a store, checked against their digest.
pub(super) fn verified(blobs: &dyn Blobs, content: Content) -> Result<Vec<u8>, HostError> {
    let bytes = blobs.bytes(content)?;
    if Content::of(&bytes) == content {
        return Ok(bytes);
    }
    Err(HostError::Blob(BlobError::wrong(content)))
}

/// Bytes that a plan needs and that are not to be had.
#[derive(Debug, thiserror::Error)]
#[error("the bytes of {content} are not to be had: {why}")]
pub struct BlobError {
    /// Which.
    pub content: Content,
    /// What the store said.
    pub why: String,
}

impl BlobError {
    /// Of a store that cannot be believed.
    pub(super) fn wrong(content: Content) -> Self {
        Self { content, why: "the store gave bytes with another digest".into() }
    }
}
