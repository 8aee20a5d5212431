//! What lies at one name of one directory: kind, exec bit and digest, or what else it is.
//!
//! ```text
//! lstat ─► known to the stat cache ────────────────► entry
//!     └──► open, never blocking ─► hash ─► fstat: still what lstat said? ─► entry
//!                                             └─ no: once more, then busy
//! ```
//! Files below 1 MiB are read whole, larger ones in pieces, which are hashed on all cores unless those have
//! files of their own to do. Never mapped:
//! a file that is cut while it is mapped kills the reader.

use std::fs::File;
use std::io::{self, Read};

use rustix::io::Errno;

use super::beneath::{Dir, Node, Stat, stat_file};
use crate::model::{Content, Entry, Kind};

/// From this size on a file is hashed on all cores.
const LARGE: u64 = 1 << 20;
/// Bytes that are read at once from a large file, to be hashed on all cores.
const PIECE: usize = 2 << 20;
/// The same on one core: what fits into its cache.
const SMALL_PIECE: usize = 256 << 10;

/// What other threads do meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Nothing: large files are hashed on all cores.
    Alone,
    /// The same with other files.
    Beside,
}

/// What lies at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A file or link.
    Entry(Entry),
    /// A directory.
    Directory,
    /// A FIFO, socket or device; not opened.
    Special(&'static str),
    /// Something on another mount.
    Mount,
    /// It changed while it was read, twice.
    Busy,
}

impl Found {
    /// The entry, if it is one.
    pub fn entry(&self) -> Option<Entry> {
        if let Self::Entry(entry) = self { Some(*entry) } else { None }
    }

    /// Whether this is exactly `expected`.
    pub fn is(&self, expected: Option<Entry>) -> bool {
        match expected {
            None => *self == Self::Absent,
            Some(entry) => *self == Self::Entry(entry),
        }
    }

    /// In words, for "found …".
    pub fn words(&self) -> String {
        match self {
            Self::Absent => "nothing".into(),
            Self::Entry(entry) => match entry.kind {
                Kind::File => format!("a file with content {}", entry.content.short()),
                Kind::Exec => format!("an executable file with content {}", entry.content.short()),
                Kind::Link => "a symbolic link with another text or in place of a file".into(),
            },
            Self::Directory => "a directory".into(),
            Self::Special(what) => format!("a {what}"),
            Self::Mount => "another mount".into(),
            Self::Busy => "a file that is being written".into(),
        }
    }
}

/// One look: what was found, and what it was found by.
#[derive(Debug)]
pub struct Sight {
    /// What lies there.
    pub found: Found,
    /// What the kernel said of it; `None` if nothing lies there.
    pub stat: Option<Stat>,
    /// The file, where its bytes were read.
    pub file: Option<File>,
}

impl Sight {
    /// Nothing.
    pub fn absent() -> Self {
        Self::bare(Found::Absent, None)
    }

    fn bare(found: Found, stat: Option<Stat>) -> Self {
        Self { found, stat, file: None }
    }
}

/// Looks at names on one mount, with one buffer.
#[derive(Debug)]
pub struct Looker {
    mount: u64,
    effort: Effort,
    buffer: Vec<u8>,
}

impl Looker {
    /// For entries on the mount with this id; others are [`Found::Mount`].
    pub fn new(mount: u64) -> Self {
        Self::with(mount, Effort::Alone)
    }

    /// The same, beside others or alone.
    pub fn with(mount: u64, effort: Effort) -> Self {
        Self { mount, effort, buffer: Vec::new() }
    }

    /// What lies at a name, every byte read.
    pub fn look(&mut self, dir: &Dir, name: &str) -> io::Result<Sight> {
        self.look_unless(dir, name, |_| None)
    }

    /// What lies at a name; a regular file whose digest `known` tells from its stat is not read.
    /// An error means that it could not be read, which is not absence.
    pub fn look_unless(
        &mut self,
        dir: &Dir,
        name: &str,
        known: impl Fn(&Stat) -> Option<Content>,
    ) -> io::Result<Sight> {
        for _ in 0..2 {
            let Some(stat) = dir.stat(name)? else { return Ok(Sight::bare(Found::Absent, None)) };
            if stat.mount != self.mount {
                return Ok(Sight::bare(Found::Mount, Some(stat)));
            }
            match stat.node {
                Node::Directory => return Ok(Sight::bare(Found::Directory, Some(stat))),
                Node::Special(what) => return Ok(Sight::bare(Found::Special(what), Some(stat))),
                Node::Link => match dir.link_text(name) {
                    Ok(text) => {
                        let entry = Entry::of(Kind::Link, &text);
                        return Ok(Sight::bare(Found::Entry(entry), Some(stat)));
                    }
                    Err(error) if moved_on(&error) => continue,
                    Err(error) => return Err(error),
                },
                Node::File => {}
            }
            let kind = Kind::regular(stat.exec());
            if let Some(content) = known(&stat) {
                return Ok(Sight::bare(Found::Entry(Entry { kind, content }), Some(stat)));
            }
            let file = match dir.open(name) {
                Ok(file) => file,
                Err(error) if moved_on(&error) => continue,
                Err(error) => return Err(error),
            };
            let content = self.digest(&file, stat.size)?;
            let after = stat_file(&file)?;
            // Also that it is the file of the first look, and a regular one.
            if stat.node == after.node && stat.unchanged(&after) {
                let entry = Entry { kind: Kind::regular(after.exec()), content };
                return Ok(Sight { found: Found::Entry(entry), stat: Some(after), file: Some(file) });
            }
        }
        Ok(Sight::bare(Found::Busy, None))
    }

    /// The digest of a file of about this size. What it grows by meanwhile is not read: its stat tells.
    fn digest(&mut self, file: &File, size: u64) -> io::Result<Content> {
        let whole = usize::try_from(size).unwrap_or(usize::MAX);
        if size < LARGE {
            let filled = self.fill(file, whole)?;
            return Ok(Content::of(&self.buffer[..filled]));
        }
        let piece = if self.effort == Effort::Alone { PIECE } else { SMALL_PIECE };
        let mut hasher = blake3::Hasher::new();
        let mut left = whole;
        loop {
            let wanted = piece.min(left);
            let filled = self.fill(file, wanted)?;
            match self.effort {
                Effort::Alone => hasher.update_rayon(&self.buffer[..filled]),
                Effort::Beside => hasher.update(&self.buffer[..filled]),
            };
            left -= filled;
            if filled < wanted || left == 0 {
                return Ok(Content::from_bytes(*hasher.finalize().as_bytes()));
            }
        }
    }

    /// Reads so many bytes into the buffer, or up to the end.
    fn fill(&mut self, mut file: &File, wanted: usize) -> io::Result<usize> {
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let mut filled = 0;
        while filled < wanted {
            match file.read(&mut self.buffer[filled..wanted]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

/// Between the stat and the open something else took the name.
fn moved_on(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NOENT | Errno::LOOP | Errno::INVAL | Errno::NXIO | Errno::NODEV)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_have_the_digest_of_their_bytes() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let mount = dir.stat_self().unwrap().mount;
        for effort in [Effort::Alone, Effort::Beside] {
            let mut looker = Looker::with(mount, effort);
            for size in [3 * PIECE + 17, 0, 1, LARGE as usize - 1, LARGE as usize, PIECE, PIECE + 1] {
                let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
                std::fs::write(tree.path().join("f"), &bytes).unwrap();
                let found = looker.look(&dir, "f").unwrap().found;
                assert_eq!(found, Found::Entry(Entry::of(Kind::File, &bytes)), "{size} {effort:?}");
            }
        }
    }

    /// Somebody writes all the time, and once a look is sure to fall into it. Until then a look saw a whole state.
    #[test]
    fn a_file_that_changes_while_it_is_read_is_busy_and_nothing_else() {
        use std::os::unix::fs::FileExt;
        use std::sync::atomic::{AtomicBool, Ordering};
        let tree = tempfile::tempdir().unwrap();
        let at = tree.path().join("f");
        let size = 4 * PIECE as u64;
        std::fs::write(&at, vec![0; 4 * PIECE]).unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let mut looker = Looker::new(dir.stat_self().unwrap().mount);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let file = File::options().write(true).open(&at).unwrap();
                for round in 0u64.. {
                    file.write_all_at(&round.to_le_bytes(), round % size).unwrap();
                    file.set_len(size + round % 9).unwrap();
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let since = std::time::Instant::now();
            let mut busy = false;
            while !busy && since.elapsed().as_secs() < 60 {
                match looker.look(&dir, "f").unwrap().found {
                    Found::Busy => busy = true,
                    Found::Entry(_) => {}
                    found => panic!("{found:?}"),
                }
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap();
            assert!(busy, "never in a minute");
        });
        let bytes = std::fs::read(&at).unwrap();
        assert_eq!(looker.look(&dir, "f").unwrap().found, Found::Entry(Entry::of(Kind::File, &bytes)));
    }

    #[test]
    fn a_fifo_is_not_opened() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path().join("p"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let mut looker = Looker::new(dir.stat_self().unwrap().mount);
        assert_eq!(looker.look(&dir, "p").unwrap().found, Found::Special("FIFO"));
    }
}
