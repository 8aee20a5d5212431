//! What a controller and an agent say to each other, over any pair of byte pipes.
//!
//! ```text
//! controller                                             agent
//!                                        ◄── greeting    magic, hello
//! hello, request ──────────────────────►
//!                                        ◄────────────── answer
//! request: apply ──────────────────────►
//!                                        ◄────────────── which blobs it lacks
//! those blobs ─────────────────────────►
//!                                        ◄────────────── a sign of work, from time to time
//! that it was heard ───────────────────►
//!                                        ◄────────────── that what was put is there, and is watched
//!                                        ◄────────────── answer
//! ```
//! `frame` cuts the stream into frames and bodies, `hello` opens it, `message` is what is asked and answered,
//! `blobs` carries file contents, `fault` carries errors. Nobody waits for the other's hello before a question
//! that writes nothing, so a host on which nothing changed costs one round trip.
//!
//! Everything that comes from the other side is bounded before it is believed: see the limits here. The first
//! thing that is not as it should be ends the session with its reason; a session is never repaired.

pub mod blobs;
pub mod fault;
pub mod frame;
pub mod hello;
pub mod message;

use std::io;

/// The version of frames and messages. Hello itself never changes its form.
pub const PROTOCOL: u32 = 3;

/// Bytes of one frame on the wire, its length field not counted.
pub const MOST_FRAME: usize = 1 << 20;
/// Bytes that one frame may hold once decompressed, and what a sender puts into one.
pub const MOST_CHUNK: usize = 256 << 10;
/// Bytes of one decompressed message.
pub const MOST_MESSAGE: u64 = 256 << 20;
/// Bytes of one blob.
pub const MOST_BLOB: u64 = 2 << 30;
/// Blobs of one transaction.
pub const MOST_BLOBS: usize = 400_000;
/// Bytes of login banners and shell noise before the greeting.
pub const MOST_NOISE: usize = 64 << 10;
/// Bytes of a hello.
pub const MOST_HELLO: usize = 16 << 10;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The pipe failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// The other side closed it where it owed something.
    #[error("the connection was closed {0}")]
    Closed(&'static str),
    /// A length that no frame has.
    #[error("a frame of {0} bytes: 1 to {MOST_FRAME} are allowed")]
    Length(u64),
    /// A kind of frame that does not exist.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// A frame or message that has no place here.
    #[error("{0}")]
    Order(&'static str),
    /// No greeting among the first bytes.
    #[error("no greeting within the first {MOST_NOISE} bytes")]
    Noise,
    /// More of something than is allowed.
    #[error("{0} beyond the limit")]
    TooMuch(&'static str),
    /// Compressed bytes that are none, or that grow beyond a chunk.
    #[error("a frame that does not decompress to at most {MOST_CHUNK} bytes")]
    Compression(#[source] io::Error),
    /// A hello that cannot be read.
    #[error("a hello that is none")]
    Hello(#[source] serde_json::Error),
    /// Another version.
    #[error("protocol {0}, and this packfleet speaks {PROTOCOL}")]
    Protocol(u32),
    /// A message that does not decode.
    #[error("a message that does not decode")]
    Decode(#[source] postcard::Error),
    /// A message with something behind its end.
    #[error("a message with {0} bytes behind its end")]
    Trailing(usize),
    /// A blob that is not what it is said to be, or not what was asked for.
    #[error("{0}")]
    Blob(String),
    /// The other side ended the session and said why.
    #[error("it refused: {0}")]
    Refused(String),
}

impl WireError {
    /// The error behind a failed read of a body, which had to pass through [`io::Error`].
    pub fn of_body(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Io(error),
        }
    }
}
