//! Frames: length (u32, little-endian, of what follows), kind, payload. Bodies: chunks in several of them.
//!
//! A body is any number of bytes in chunks of at most [`MOST_CHUNK`], the last one marked; each chunk is
//! compressed by itself where that makes it smaller. So neither side ever holds more than one chunk of what
//! merely passes through, and a length is never believed before the bytes are there.

use std::io::{self, Read, Write};

use super::{MOST_CHUNK, MOST_FRAME, MOST_NOISE, WireError};

/// Bytes that are read from a pipe at a time.
const GULP: usize = 64 << 10;
/// Smaller chunks are sent as they are.
const WORTH_COMPRESSING: usize = 256;
/// Fast; the blobs are text, mostly.
const LEVEL: i32 = 1;

const HELLO: u8 = 1;
const MORE: u8 = 2;
const LAST: u8 = 3;
const WORKING: u8 = 4;
const COMPRESSED: u8 = 0x80;
/// A whole frame that is a sign of work.
const SIGN: [u8; 5] = [1, 0, 0, 0, WORKING];

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The opening.
    Hello,
    /// A chunk of a body; more follow.
    More,
    /// The last chunk of a body.
    Last,
    /// An agent is still at work on what it was asked; and the answer to that, that it was heard. Says nothing else.
    Working,
}

/// One frame, decompressed.
#[derive(Debug)]
pub struct Frame {
    /// What it is for.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    from: usize,
}

impl Frames {
    /// Reads past everything up to one of the marks; tells which it was.
    pub fn skip_to(&mut self, marks: &[&[u8]], input: &mut dyn Read) -> Result<usize, WireError> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or(0);
        let mut searched: usize = 0;
        loop {
            let start = searched.saturating_sub(longest);
            let found = (start..self.buffer.len()).find_map(|at| {
                let which = marks.iter().position(|mark| self.buffer[at..].starts_with(mark))?;
                Some((at, which))
            });
            if let Some((at, which)) = found {
                if at > MOST_NOISE {
                    return Err(WireError::Noise);
                }
                self.from = at + marks[which].len();
                return Ok(which);
            }
            searched = self.buffer.len();
            if searched > MOST_NOISE + longest {
                return Err(WireError::Noise);
            }
            if !self.fill(input)? {
                return Err(WireError::Closed("before it greeted"));
            }
        }
    }

    /// Reads one line, without its end.
    pub fn line(&mut self, most: usize, input: &mut dyn Read) -> Result<String, WireError> {
        loop {
            let rest = &self.buffer[self.from..];
            if let Some(end) = rest.iter().take(most).position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.from += end + 1;
                return Ok(line);
            }
            if rest.len() >= most {
                return Err(WireError::TooMuch("a line"));
            }
            if !self.fill(input)? {
                return Err(WireError::Closed("in a line"));
            }
        }
    }

    /// The next frame; `None` if the stream ended where one would begin.
    pub fn next(&mut self, input: &mut dyn Read) -> Result<Option<Frame>, WireError> {
        if !self.have(4, input)? {
            return match self.buffer.len() - self.from {
                0 => Ok(None),
                _ => Err(WireError::Closed("in the length of a frame")),
            };
        }
        let mut length = [0; 4];
        length.copy_from_slice(&self.buffer[self.from..self.from + 4]);
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 || length > MOST_FRAME {
            return Err(WireError::Length(length as u64));
        }
        if !self.have(5, input)? {
            return Err(WireError::Closed("in a frame"));
        }
        // The kind first: what is no frame at all is told at once.
        let byte = self.buffer[self.from + 4];
        let kind = match byte & !COMPRESSED {
            HELLO => Kind::Hello,
            MORE => Kind::More,
            LAST => Kind::Last,
            WORKING => Kind::Working,
            _ => return Err(WireError::Kind(byte)),
        };
        if !self.have(4 + length, input)? {
            return Err(WireError::Closed("in a frame"));
        }
        let payload = &self.buffer[self.from + 5..self.from + 4 + length];
        let payload = if byte & COMPRESSED != 0 {
            zstd::bulk::decompress(payload, MOST_CHUNK).map_err(WireError::Compression)?
        } else if payload.len() > MOST_CHUNK {
            return Err(WireError::TooMuch("a chunk"));
        } else {
            payload.to_vec()
        };
        self.from += 4 + length;
        Ok(Some(Frame { kind, payload }))
    }

    /// Passes over one sign of work if that comes next; waits until it is known.
    pub fn pass_sign(&mut self, input: &mut dyn Read) -> Result<bool, WireError> {
        Ok(self.have(SIGN.len(), input)? && self.take_sign())
    }

    /// Reads what is there, once; `false` at its end.
    pub fn listen(&mut self, input: &mut dyn Read) -> Result<bool, WireError> {
        self.fill(input)
    }

    /// Takes the signs of work that come next in what was read; tells how many there were.
    pub fn take_signs(&mut self) -> u64 {
        let mut count = 0;
        while self.take_sign() {
            count += 1;
        }
        count
    }

    fn take_sign(&mut self) -> bool {
        let is_sign = self.buffer[self.from..].starts_with(&SIGN);
        if is_sign {
            self.from += SIGN.len();
        }
        is_sign
    }

    /// Whether something else than a sign of work comes next in what was read.
    pub fn holds_another(&self) -> bool {
        !SIGN.starts_with(&self.buffer[self.from..])
    }

    /// Reads until so many bytes are there; `false` if the stream ends first.
    fn have(&mut self, count: usize, input: &mut dyn Read) -> Result<bool, WireError> {
        while self.buffer.len() - self.from < count {
            if !self.fill(input)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fill(&mut self, input: &mut dyn Read) -> Result<bool, WireError> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let there = self.buffer.len();
        self.buffer.resize(there + GULP, 0);
        let read = loop {
            match input.read(&mut self.buffer[there..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(there + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }
}

/// Writes one frame, compressed where that helps.
pub fn write(out: &mut dyn Write, kind: Kind, payload: &[u8]) -> Result<(), WireError> {
    let mut byte = match kind {
        Kind::Hello => HELLO,
        Kind::More => MORE,
        Kind::Last => LAST,
        Kind::Working => WORKING,
    };
    let packed = match kind {
        Kind::More | Kind::Last if payload.len() >= WORTH_COMPRESSING => {
            Some(zstd::bulk::compress(payload, LEVEL).map_err(WireError::Compression)?)
                .filter(|packed| packed.len() < payload.len())
        }
        _ => None,
    };
    if packed.is_some() {
        byte |= COMPRESSED;
    }
    let payload = packed.as_deref().unwrap_or(payload);
    let length = u32::try_from(payload.len() + 1).ok().filter(|length| *length as usize <= MOST_FRAME);
    let length = length.ok_or(WireError::TooMuch("a frame"))?;
    let mut frame = Vec::with_capacity(5 + payload.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.push(byte);
    frame.extend_from_slice(payload);
    out.write_all(&frame)?;
    Ok(())
}

/// A body that is being written.
pub struct BodyWriter<'a> {
    out: &'a mut dyn Write,
    chunk: Vec<u8>,
}

impl<'a> BodyWriter<'a> {
    /// Begins one.
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self { out, chunk: Vec::new() }
    }

    /// Adds bytes.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while self.chunk.len() + bytes.len() > MOST_CHUNK {
            let (now, later) = bytes.split_at(MOST_CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(now);
            write(self.out, Kind::More, &self.chunk)?;
            self.chunk.clear();
            bytes = later;
        }
        self.chunk.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends it.
    pub fn end(self) -> Result<(), WireError> {
        write(self.out, Kind::Last, &self.chunk)?;
        self.out.flush()?;
        Ok(())
    }
}

/// What a reader does with frames that only say that work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Working {
    /// Passes over them.
    Skipped,
    /// None has a place here.
    Refused,
}

/// A body that is being read. Its bytes come through [`Read`]; errors in them are [`WireError`]s inside.
pub struct Body<'a> {
    frames: &'a mut Frames,
    input: &'a mut (dyn Read + Send),
    working: Working,
    chunk: Vec<u8>,
    at: usize,
    last: bool,
    left: u64,
}

impl<'a> Body<'a> {
    /// Waits for a body's first chunk; `None` if the stream ended instead. `most` bounds all of it.
    pub fn begin(
        frames: &'a mut Frames,
        input: &'a mut (dyn Read + Send),
        working: Working,
        most: u64,
    ) -> Result<Option<Self>, WireError> {
        let mut body = Self { frames, input, working, chunk: Vec::new(), at: 0, last: false, left: most };
        Ok(body.chunk()?.then_some(body))
    }

    /// All of it.
    pub fn whole(mut self) -> Result<Vec<u8>, WireError> {
        let mut bytes = std::mem::take(&mut self.chunk);
        while !self.last {
            if !self.chunk()? {
                return Err(WireError::Closed("in a message"));
            }
            bytes.extend_from_slice(&self.chunk);
        }
        Ok(bytes)
    }

    /// Reads to its end, and forgets what comes.
    pub fn drain(&mut self) -> Result<(), WireError> {
        while !self.last {
            if !self.chunk()? {
                return Err(WireError::Closed("among blobs"));
            }
        }
        self.at = self.chunk.len();
        Ok(())
    }

    /// What stands behind it, once it is over.
    pub fn into_rest(self) -> (&'a mut Frames, &'a mut (dyn Read + Send)) {
        (self.frames, self.input)
    }

    /// Whether all of its bytes were read.
    pub fn is_over(&self) -> bool {
        self.last && self.at == self.chunk.len()
    }

    /// The next chunk; `false` if the stream ended.
    fn chunk(&mut self) -> Result<bool, WireError> {
        loop {
            let Some(frame) = self.frames.next(self.input)? else { return Ok(false) };
            match frame.kind {
                Kind::Working if self.working == Working::Skipped => continue,
                Kind::Working => return Err(WireError::Order("a sign of work in the middle of something")),
                Kind::Hello => return Err(WireError::Order("a second hello")),
                Kind::More | Kind::Last => {}
            }
            self.left = match self.left.checked_sub(frame.payload.len() as u64) {
                Some(left) => left,
                None => return Err(WireError::TooMuch("a message")),
            };
            if frame.kind == Kind::More && frame.payload.is_empty() {
                return Err(WireError::Order("an empty chunk with more to follow"));
            }
            self.last = frame.kind == Kind::Last;
            (self.chunk, self.at) = (frame.payload, 0);
            return Ok(true);
        }
    }
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() && !self.last {
            match self.chunk() {
                Ok(true) => {}
                Ok(false) => return Err(io::Error::other(WireError::Closed("among blobs"))),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let count = into.len().min(self.chunk.len() - self.at);
        into[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
