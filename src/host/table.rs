//! The stat cache's bytes: rows by directory and name, read where they lie.
//!
//! ```text
//! magic · format · four lengths · sum of all up to the contents · sum of the contents
//! head · directories (path, first row, rows) · rows (stat, name) · names · contents
//! ```
//! Directories are sorted by path, the rows of one by name. Nothing is allocated per row. Both sums are
//! BLAKE3, so that a flipped bit is found before anything is believed; a pass that needs no content does
//! not even sum the contents. Numbers are little-endian. Assumes nothing of the bytes it is given.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

use super::beneath::{Node, Stat};
use crate::model::Content;

const MAGIC: &[u8; 8] = b"pfstatch";
const FORMAT: u32 = 2;
const DIRECTORY: usize = 16;
const ROW: usize = 44;
const CONTENT: usize = 32;
/// Magic, format and four lengths.
const LENGTHS: usize = 28;
/// All before the head.
const PREFIX: usize = LENGTHS + 64;
/// Set in a row's mode if it is a link's.
const LINK: u32 = 1 << 31;
/// Set in the length of a row's name if the path is the host's own.
const OWN: u32 = 1 << 31;
/// From this size on bytes are hashed on all cores.
const LARGE: usize = 1 << 20;

/// What a row knows of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    inode: u64,
    ctime: i64,
    mtime: i64,
    size: u64,
    mode: u32,
}

impl Known {
    /// `None` for what is neither file nor link.
    pub fn of(stat: &Stat) -> Option<Self> {
        let Stat { inode, ctime, mtime, size, mode, .. } = *stat;
        let mode = match stat.node {
            Node::File => mode,
            Node::Link => mode | LINK,
            Node::Directory | Node::Special(_) => return None,
        };
        Some(Self { inode, ctime, mtime, size, mode })
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// A regular file's permission bits, or `None` for a link.
    pub fn file_mode(&self) -> Option<u32> {
        (self.mode & LINK == 0).then_some(self.mode)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.inode.to_le_bytes());
        out.extend_from_slice(&self.ctime.to_le_bytes());
        out.extend_from_slice(&self.mtime.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.mode.to_le_bytes());
    }

    fn read(row: &[u8]) -> Option<Self> {
        let eight = |at: usize| Some(u64::from_le_bytes(row.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            inode: eight(0)?,
            ctime: eight(8)?.cast_signed(),
            mtime: eight(16)?.cast_signed(),
            size: eight(24)?,
            mode: four(row, 32)?,
        })
    }
}

/// One row to be written.
#[derive(Debug, Clone, Copy)]
pub struct NewRow<'a> {
    /// The name in its directory.
    pub name: &'a str,
    /// Its inode.
    pub known: Known,
    /// What it held.
    pub content: Content,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The pack's.
    Pack,
    /// The host's own: it may change as it likes.
    Host,
}

/// A table in memory.
#[derive(Debug, Default)]
pub struct Table {
    bytes: Vec<u8>,
    head: Range<usize>,
    directories: Range<usize>,
    rows: Range<usize>,
    names: Range<usize>,
    contents: Range<usize>,
    sound: OnceLock<bool>,
}

/// The rows of one directory.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    table: &'a Table,
    first: usize,
    count: usize,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The name in its directory.
    pub name: &'a str,
    /// Its inode.
    pub known: Known,
    /// Whose it is.
    pub whose: Whose,
    at: usize,
}

fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn sum(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        if part.len() < LARGE {
            hasher.update(part);
        } else {
            hasher.update_rayon(part);
        }
    }
    *hasher.finalize().as_bytes()
}

impl Table {
    /// Encodes rows by directory (`""` is the root) behind a head; `None` if there is more of it than can be
    /// counted. In parts, to be written one behind the other: of a large tree they are never together in memory.
    /// Assumes the rows of each directory sorted by name, each name once.
    pub fn encode(head: Vec<u8>, directories: &BTreeMap<&str, Vec<NewRow<'_>>>) -> Option<[Vec<u8>; 6]> {
        let count: usize = directories.values().map(Vec::len).sum();
        let sizes = directories
            .iter()
            .map(|(path, below)| path.len() + below.iter().map(|row| row.name.len()).sum::<usize>());
        let mut names = Vec::with_capacity(sizes.sum());
        let mut listed = Vec::with_capacity(directories.len() * DIRECTORY);
        let mut rows = Vec::with_capacity(count * ROW);
        let mut contents = Vec::with_capacity(count * CONTENT);
        for (path, below) in directories {
            for number in [names.len(), path.len(), rows.len() / ROW, below.len()] {
                listed.extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
            }
            names.extend_from_slice(path.as_bytes());
            for row in below {
                row.known.write(&mut rows);
                let own = if row.whose == Whose::Host { OWN } else { 0 };
                let length = u32::try_from(row.name.len()).ok().filter(|length| length & OWN == 0)?;
                rows.extend_from_slice(&u32::try_from(names.len()).ok()?.to_le_bytes());
                rows.extend_from_slice(&(length | own).to_le_bytes());
                names.extend_from_slice(row.name.as_bytes());
                contents.extend_from_slice(row.content.as_bytes());
            }
        }
        let mut prefix = Vec::with_capacity(PREFIX);
        prefix.extend_from_slice(MAGIC);
        prefix.extend_from_slice(&FORMAT.to_le_bytes());
        for number in [head.len(), directories.len(), count, names.len()] {
            prefix.extend_from_slice(&u32::try_from(number).ok()?.to_le_bytes());
        }
        let sums = [sum(&[&prefix, &head, &listed, &rows, &names]), sum(&[&contents])];
        prefix.extend_from_slice(&sums.concat());
        Some([prefix, head, listed, rows, names, contents])
    }

    /// Takes bytes as a table; `None` if they are none, or damaged before the contents.
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || four(&bytes, 8)? != FORMAT {
            return None;
        }
        let length = |at: usize, unit: usize| usize::try_from(four(&bytes, at)?).ok()?.checked_mul(unit);
        let mut end = PREFIX;
        let mut next = |length: usize| -> Option<Range<usize>> {
            let start = end;
            end = end.checked_add(length)?;
            Some(start..end)
        };
        let (head, directories) = (next(length(12, 1)?)?, next(length(16, DIRECTORY)?)?);
        let (rows, names) = (next(length(20, ROW)?)?, next(length(24, 1)?)?);
        let contents = next(length(20, CONTENT)?)?;
        if contents.end != bytes.len() {
            return None;
        }
        let sound = sum(&[&bytes[..LENGTHS], &bytes[PREFIX..names.end]]) == bytes[LENGTHS..LENGTHS + 32];
        let table = Self { bytes, head, directories, rows, names, contents, sound: OnceLock::new() };
        sound.then_some(table)
    }

    /// What lies before the rows.
    pub fn head(&self) -> &[u8] {
        &self.bytes[self.head.clone()]
    }

    /// Number of directories.
    pub fn directories(&self) -> usize {
        self.directories.len() / DIRECTORY
    }

    /// A directory by its number, with its rows.
    pub fn directory(&self, number: usize) -> Option<(&str, Rows<'_>)> {
        let entry = self.bytes[self.directories.clone()].get(number.checked_mul(DIRECTORY)?..)?;
        let field = |at| usize::try_from(four(entry, at)?).ok();
        let path = self.name(field(0)?, field(4)?)?;
        Some((path, Rows { table: self, first: field(8)?, count: field(12)? }))
    }

    /// The rows of a directory (`""` is the root).
    pub fn find(&self, path: &str) -> Option<Rows<'_>> {
        let (mut low, mut high) = (0, self.directories());
        while low < high {
            let middle = low.midpoint(high);
            let (found, rows) = self.directory(middle)?;
            match found.cmp(path) {
                std::cmp::Ordering::Equal => return Some(rows),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// What a row's file held; `None` if the contents are damaged.
    pub fn content(&self, row: &Row<'_>) -> Option<Content> {
        let contents = &self.bytes[self.contents.clone()];
        if !self.sound.get_or_init(|| sum(&[contents]) == self.bytes[LENGTHS + 32..PREFIX]) {
            return None;
        }
        let at = row.at.checked_mul(CONTENT)?;
        Some(Content::from_bytes(contents.get(at..at.checked_add(CONTENT)?)?.try_into().ok()?))
    }

    fn name(&self, at: usize, length: usize) -> Option<&str> {
        let name = self.bytes[self.names.clone()].get(at..at.checked_add(length)?)?;
        std::str::from_utf8(name).ok()
    }
}

impl<'a> Rows<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// A row by its place.
    pub fn get(&self, place: usize) -> Option<Row<'a>> {
        let at = self.first.checked_add(place).filter(|_| place < self.count)?;
        let start = at.checked_mul(ROW)?;
        let row = self.table.bytes[self.table.rows.clone()].get(start..start.checked_add(ROW)?)?;
        let (start, length) = (four(row, 36)?, four(row, 40)?);
        let whose = if length & OWN == 0 { Whose::Pack } else { Whose::Host };
        let name = self.table.name(usize::try_from(start).ok()?, usize::try_from(length & !OWN).ok()?)?;
        Some(Row { name, known: Known::read(row)?, whose, at })
    }

    /// The row of a name.
    pub fn find(&self, name: &str) -> Option<Row<'a>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let row = self.get(middle)?;
            match row.name.cmp(name) {
                std::cmp::Ordering::Equal => return Some(row),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Lines = BTreeMap<String, BTreeMap<String, (u64, bool)>>;

    fn known(number: u64, link: bool) -> Known {
        let mode = 0o644 | if link { LINK } else { 0 };
        let time = number.cast_signed();
        Known { inode: number, ctime: time, mtime: time.wrapping_neg(), size: !number, mode }
    }

    fn whose(number: u64) -> Whose {
        if number.is_multiple_of(2) { Whose::Pack } else { Whose::Host }
    }

    fn content(number: u64) -> Content {
        Content::of(&number.to_le_bytes())
    }

    fn encode(head: &[u8], lines: &Lines) -> Vec<u8> {
        let mut directories = BTreeMap::new();
        for (path, below) in lines {
            let rows = below.iter().map(|(name, (number, link))| NewRow {
                name,
                known: known(*number, *link),
                content: content(*number),
                whose: whose(*number),
            });
            directories.insert(path.as_str(), rows.collect::<Vec<_>>());
        }
        Table::encode(head.to_vec(), &directories).unwrap().concat()
    }

    fn lines() -> impl Strategy<Value = Lines> {
        let below = prop::collection::btree_map("[a-zä]{1,6}", any::<(u64, bool)>(), 0..6);
        prop::collection::btree_map("([a-z]{1,3}(/[a-z.]{1,3}){0,2})?", below, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_found(head in prop::collection::vec(any::<u8>(), 0..40), lines in lines()) {
            let table = Table::decode(encode(&head, &lines)).unwrap();
            prop_assert_eq!(table.head(), &head[..]);
            prop_assert_eq!(table.directories(), lines.len());
            for (at, (path, below)) in lines.iter().enumerate() {
                let (found, rows) = table.directory(at).unwrap();
                prop_assert_eq!(found, path);
                prop_assert_eq!(rows.len(), below.len());
                prop_assert!(rows.get(below.len()).is_none());
                for (place, (name, (number, link))) in below.iter().enumerate() {
                    for row in [rows.get(place), table.find(path).unwrap().find(name)] {
                        let row = row.unwrap();
                        prop_assert_eq!((row.name, row.whose), (name.as_str(), whose(*number)));
                        prop_assert_eq!(row.known, known(*number, *link));
                        prop_assert_eq!(table.content(&row), Some(content(*number)));
                    }
                }
                prop_assert!(rows.find("0").is_none());
            }
            prop_assert!(table.find("0").is_none());
        }

        #[test]
        fn every_flipped_bit_is_found(lines in lines(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = encode(b"head", &lines);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Some(table) = Table::decode(bytes) {
                // Only the contents are left, and nothing of them is believed.
                for number in 0..table.directories() {
                    let (_, rows) = table.directory(number).unwrap();
                    for place in 0..rows.len() {
                        prop_assert!(table.content(&rows.get(place).unwrap()).is_none());
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), sound in any::<bool>()) {
            let mut all = encode(b"", &Lines::new());
            if sound {
                all.truncate(LENGTHS);
            }
            all.extend(&bytes);
            if all.len() >= PREFIX && sound {
                let sums = sum(&[&all[..LENGTHS], &all[PREFIX..]]);
                all[LENGTHS..LENGTHS + 32].copy_from_slice(&sums);
            }
            if let Some(table) = Table::decode(all) {
                let _ = table.find("a").and_then(|rows| rows.find("b"));
            }
        }
    }
}
