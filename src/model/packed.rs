//! The bytes of a record, read where they lie.
//!
//! ```text
//! magic · format · sum of the head · four lengths · sum of the body · head · body
//! body = runs (directory, first row) · rows (name, what, owner, commit, content) · names
//! ```
//! The head holds all but the entries, and can be read alone. Entries stand in byte order of their paths; a
//! *run* is a stretch of them in one directory, whose path is written once. An entry says that its bytes are
//! in its pack's pin rather than in which commit, so that a new commit rewrites no entry. Equal records have
//! equal bytes, whichever way they came about: tables hold what is used, sorted. Numbers are little-endian.
//!
//! Nothing is assumed of the bytes: both sums are checked first, then everything that an entry refers to,
//! and the order. What passed [`Packed::open`] is read without an allocation per entry.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::pack::CommitId;
use super::record::{FORMAT, MAGIC, Record, RecordError, Recorded};
use super::{Content, Entry, Kind, PackName, TreePath};

/// Magic, format, sum of the head.
const SUMMED: usize = 44;
/// That, four lengths, sum of the body: what tells how long the head is.
pub const PREFIX: usize = SUMMED + 4 * 8 + 32;
/// Directory (place, length), first row, first name.
const RUN: usize = 32;
/// Name (place, length), what, owner, commit, content.
const ROW: usize = 44;
/// From this size on bytes are summed on all cores.
const LARGE: usize = 256 << 10;

/// What was written is the base.
const SAME: u8 = 1;
/// What was written stands in the head.
const ODD: u8 = 2;
/// What was written is the row's content, of the kind that is added to this.
const OWN: u8 = 4;

/// All but the entries.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Head {
    /// The record, without entries.
    about: Record,
    /// Owners of entries, sorted.
    owners: Vec<PackName>,
    /// Commits of entries that are not the pin of their pack, sorted.
    commits: Vec<CommitId>,
    /// What was written where that is not the base, by row.
    odd: BTreeMap<u64, Entry>,
}

/// A record in its bytes.
#[derive(Debug, Clone)]
pub struct Packed<'a> {
    bytes: Cow<'a, [u8]>,
    head: Head,
    runs: Range<usize>,
    rows: Range<usize>,
    names: Range<usize>,
}

/// One entry, as it is read or to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its directory; `""` is the root.
    pub directory: &'a str,
    /// Its name there.
    pub name: &'a str,
    /// The pack that owns it.
    pub owner: &'a PackName,
    /// See [`Recorded::base`].
    pub base: Option<Entry>,
    /// See [`Recorded::written`].
    pub written: Option<Entry>,
    /// See [`Recorded::commit`].
    pub commit: Option<&'a CommitId>,
}

impl<'a> Line<'a> {
    /// What a record says of a path.
    pub fn of(path: &'a TreePath, recorded: &'a Recorded) -> Self {
        let (directory, name) = split(path.as_str());
        let Recorded { owner, base, written, commit } = recorded;
        Self { directory, name, owner, base: *base, written: *written, commit: commit.as_ref() }
    }

    /// The same as a value of its own.
    pub fn recorded(&self) -> Recorded {
        let Self { owner, base, written, commit, .. } = *self;
        Recorded { owner: owner.clone(), base, written, commit: commit.cloned() }
    }

    /// How its path compares with another.
    pub fn cmp_path(&self, path: &str) -> Ordering {
        let (above, name, path) = (self.directory.as_bytes(), self.name.as_bytes(), path.as_bytes());
        if above.is_empty() {
            return name.cmp(path);
        }
        let shared = above.len().min(path.len());
        above[..shared].cmp(&path[..shared]).then_with(|| match path[shared..].split_first() {
            None => Ordering::Greater,
            Some((next, rest)) => b'/'.cmp(next).then_with(|| name.cmp(rest)),
        })
    }

    /// Its path, written over what is in `text`.
    pub fn path<'t>(&self, text: &'t mut String) -> &'t str {
        text.clear();
        if !self.directory.is_empty() {
            text.push_str(self.directory);
            text.push('/');
        }
        text.push_str(self.name);
        text
    }
}

/// The directory (`""` is the root) and the name of a path.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn joined<'a>(directory: &'a str, name: &'a str) -> impl Iterator<Item = u8> + 'a {
    let slash = if directory.is_empty() { "" } else { "/" };
    directory.bytes().chain(slash.bytes()).chain(name.bytes())
}

fn sum(bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    if bytes.len() < LARGE {
        hasher.update(bytes)
    } else {
        hasher.update_rayon(bytes)
    };
    *hasher.finalize().as_bytes()
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    if let Some(found) = bytes.get(at..at + N) {
        eight[..N].copy_from_slice(found);
    }
    u64::from_le_bytes(eight)
}

fn place<const N: usize>(bytes: &[u8], at: usize) -> usize {
    usize::try_from(number::<N>(bytes, at)).unwrap_or(usize::MAX)
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Exec => 2,
        Kind::Link => 3,
    }
}

fn kind(letter: u8) -> Option<Kind> {
    [None, Some(Kind::File), Some(Kind::Exec), Some(Kind::Link)][usize::from(letter & 3)]
}

/// How many bytes of a record, of which these are the first [`PREFIX`], make up its head. `None`: these
/// are no such bytes.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    let is_ours = bytes.starts_with(MAGIC) && number::<4>(bytes, MAGIC.len()) == u64::from(FORMAT);
    PREFIX.checked_add(place::<8>(bytes, SUMMED)).filter(|_| is_ours && bytes.len() >= PREFIX)
}

/// What a record says beside its entries, from its head alone.
pub fn about(head: &[u8]) -> Result<Record, RecordError> {
    let length = head_length(head).ok_or(RecordError::Damaged("wrong magic"))?;
    let head = head.get(..length).ok_or(RecordError::Damaged("too short"))?;
    if sum(&head[SUMMED..]) != head[SUMMED - 32..SUMMED] {
        return Err(RecordError::Damaged("checksum"));
    }
    postcard::from_bytes(&head[PREFIX..]).map(|head: Head| head.about).map_err(RecordError::Decode)
}

impl<'a> Packed<'a> {
    /// Takes bytes as a record, once all of them are found sound.
    pub fn open(bytes: Cow<'a, [u8]>) -> Result<Self, RecordError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(RecordError::Damaged("wrong magic"))?;
        let format = rest.first_chunk::<4>().ok_or(RecordError::Damaged("too short"))?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(RecordError::Format(format));
        }
        if bytes.len() < PREFIX {
            return Err(RecordError::Damaged("too short"));
        }
        let mut end = PREFIX;
        let mut part = |at: usize, unit: usize| {
            let length = place::<8>(&bytes, SUMMED + at * 8).checked_mul(unit)?;
            let start = end;
            end = end.checked_add(length).filter(|end| *end <= bytes.len())?;
            Some(start..end)
        };
        let parts = (part(0, 1), part(1, RUN), part(2, ROW), part(3, 1));
        let (Some(head), Some(runs), Some(rows), Some(names)) = parts else {
            return Err(RecordError::Damaged("too short"));
        };
        if names.end != bytes.len() {
            return Err(RecordError::Damaged("too long"));
        }
        if sum(&bytes[SUMMED..head.end]) != bytes[SUMMED - 32..SUMMED] {
            return Err(RecordError::Damaged("checksum"));
        }
        if sum(&bytes[head.end..]) != bytes[PREFIX - 32..PREFIX] {
            return Err(RecordError::Damaged("checksum of the entries"));
        }
        let (head, []) = postcard::take_from_bytes::<Head>(&bytes[head]).map_err(RecordError::Decode)? else {
            return Err(RecordError::Damaged("there are bytes behind the end of its head"));
        };
        let packed = Self { bytes, head, runs, rows, names };
        if packed.is_sound() { Ok(packed) } else { Err(RecordError::Damaged("an entry")) }
    }

    /// Whether all that rows and runs refer to is there, and in order.
    fn is_sound(&self) -> bool {
        if !self.head.about.entries.is_empty() {
            return false;
        }
        let (mut last, mut next): (Option<Line<'_>>, usize) = (None, 0);
        for run in 0..self.run_count() {
            let (Some(directory), rows) = (self.directory(run), self.rows_of(run)) else { return false };
            if rows.start != next || rows.is_empty() || rows.end > self.len() {
                return false;
            }
            next = rows.end;
            for row in rows {
                let Some(line) = self.line(run, directory, row) else { return false };
                let rises = match last {
                    None => true,
                    Some(last) if last.directory == line.directory => last.name < line.name,
                    Some(last) => {
                        let paths = [last, line].map(|line| joined(line.directory, line.name));
                        let [last, line] = paths;
                        last.lt(line)
                    }
                };
                if !rises || line.name.is_empty() {
                    return false;
                }
                last = Some(line);
            }
        }
        next == self.len()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the bytes of each entry are found in a commit.
    pub fn is_in_commits(&self) -> bool {
        let row = |row: &[u8]| place::<4>(row, 8) != 0;
        self.bytes[self.rows.clone()].chunks_exact(ROW).all(row)
    }

    /// The record without its entries.
    pub fn about(&self) -> &Record {
        &self.head.about
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.rows.len() / ROW
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The whole record.
    pub fn record(&self) -> Result<Record, RecordError> {
        let mut text = String::new();
        let mut entries = Vec::with_capacity(self.len());
        for line in self.lines() {
            let path = TreePath::new(line.path(&mut text)).map_err(|_| RecordError::Damaged("a path"))?;
            entries.push((path, line.recorded()));
        }
        // Sorted already, so that the map is made in one go.
        Ok(Record { entries: entries.into_iter().collect(), ..self.head.about.clone() })
    }

    /// All entries, in byte order of their paths.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.lines_from((0, 0))
    }

    /// What is recorded of a path.
    pub fn find(&self, path: &str) -> Option<Line<'_>> {
        self.lines_from(self.first_not_before(path)).next().filter(|line| line.cmp_path(path).is_eq())
    }

    /// The entries strictly below a path, in order.
    pub fn below<'s>(&'s self, path: &str) -> impl Iterator<Item = Line<'s>> + use<'s, 'a> {
        let from = format!("{path}/");
        let below = self.lines_from(self.first_not_before(&from));
        below.take_while(move |line| joined(line.directory, line.name).take(from.len()).eq(from.bytes()))
    }

    fn lines_from(&self, (run, row): (usize, usize)) -> impl Iterator<Item = Line<'_>> {
        (run..self.run_count()).flat_map(move |at| {
            let rows = self.rows_of(at);
            let from = if at == run { row.max(rows.start) } else { rows.start };
            let directory = self.directory(at).unwrap_or_default();
            (from..rows.end).filter_map(move |row| self.line(at, directory, row))
        })
    }

    /// The run and row of the first entry whose path is not before this one.
    fn first_not_before(&self, path: &str) -> (usize, usize) {
        let before = |run: usize, row: usize| {
            let line = self.directory(run).and_then(|directory| self.line(run, directory, row));
            line.is_some_and(|line| line.cmp_path(path).is_lt())
        };
        let run =
            partition(0..self.run_count(), |run| before(run, self.rows_of(run).start)).saturating_sub(1);
        (run, partition(self.rows_of(run), |row| before(run, row)))
    }

    fn run_count(&self) -> usize {
        self.runs.len() / RUN
    }

    fn run(&self, run: usize) -> &[u8] {
        let at = self.runs.start.saturating_add(run.saturating_mul(RUN));
        if run < self.run_count() { &self.bytes[at..at + RUN] } else { &[] }
    }

    fn rows_of(&self, run: usize) -> Range<usize> {
        let start = place::<8>(self.run(run), 16);
        let end = if run + 1 < self.run_count() { place::<8>(self.run(run + 1), 16) } else { self.len() };
        start.min(end)..end
    }

    fn directory(&self, run: usize) -> Option<&str> {
        let run = self.run(run);
        self.text(place::<8>(run, 0), place::<8>(run, 8))
    }

    fn text(&self, at: usize, length: usize) -> Option<&str> {
        let text = self.bytes[self.names.clone()].get(at..at.checked_add(length)?)?;
        std::str::from_utf8(text).ok()
    }

    fn line<'s>(&'s self, run: usize, directory: &'s str, row: usize) -> Option<Line<'s>> {
        let names = place::<8>(self.run(run), 24);
        let start = row.checked_mul(ROW)?;
        let bytes = self.bytes[self.rows.clone()].get(start..start.checked_add(ROW)?)?;
        let name = self.text(names.checked_add(place::<4>(bytes, 0))?, usize::from(bytes[4]))?;
        let owner = self.head.owners.get(place::<2>(bytes, 6))?;
        let commit = match place::<4>(bytes, 8) {
            0 => None,
            1 => Some(self.head.about.packs.get(owner)?.pin.commit.as_ref()?),
            other => Some(self.head.commits.get(other - 2)?),
        };
        let content = Content::from_bytes(*bytes[12..].first_chunk()?);
        let entry = |letter| Some(Entry { kind: kind(letter)?, content });
        let base = entry(bytes[5] & 3);
        let written = match bytes[5] >> 2 {
            0 => None,
            SAME => Some(base?),
            ODD => Some(*self.head.odd.get(&(row as u64))?),
            own => Some(entry(own.checked_sub(OWN)?).filter(|_| base.is_none())?),
        };
        Some(Line { directory, name, owner, base, written, commit })
    }
}

/// The first number of a range for which `before` is false, assuming that it is true up to some point.
fn partition(range: Range<usize>, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Encodes what is in a record beside its entries, and entries in byte order of their paths, each path once.
pub fn encode<'l>(about: &Record, lines: impl Iterator<Item = Line<'l>>) -> Vec<u8> {
    let mut writing = Writing::default();
    for line in lines {
        writing.add(about, line);
    }
    writing.finish(about)
}

/// Rows on their way; the tables are in the order of their first use.
#[derive(Default)]
struct Writing<'l> {
    owners: Table<'l, PackName>,
    commits: Table<'l, CommitId>,
    odd: BTreeMap<u64, Entry>,
    runs: Vec<u8>,
    rows: Vec<u8>,
    names: Vec<u8>,
    /// The directory of the last run, and where its names begin.
    run: Option<(&'l str, usize)>,
}

impl<'l> Writing<'l> {
    fn add(&mut self, about: &Record, line: Line<'l>) {
        let row = self.rows.len() / ROW;
        let names = match self.run {
            Some((directory, names)) if directory == line.directory => names,
            _ => {
                let directory = self.names.len();
                self.names.extend_from_slice(line.directory.as_bytes());
                for number in [directory, line.directory.len(), row, self.names.len()] {
                    self.runs.extend_from_slice(&(number as u64).to_le_bytes());
                }
                self.run = Some((line.directory, self.names.len()));
                self.names.len()
            }
        };
        let pin = about.packs.get(line.owner).and_then(|pack| pack.pin.commit.as_ref());
        let commit = match line.commit {
            None => 0,
            Some(commit) if Some(commit) == pin => 1,
            Some(commit) => self.commits.number(commit).saturating_add(2),
        };
        let written = match (line.base, line.written) {
            (_, None) => 0,
            (Some(base), Some(written)) if base == written => SAME,
            (Some(_), Some(written)) => {
                self.odd.insert(row as u64, written);
                ODD
            }
            (None, Some(written)) => OWN + letter(written.kind),
        };
        let what = line.base.map_or(0, |base| letter(base.kind)) | written << 2;
        let content = line.base.or(line.written).map_or([0; 32], |entry| *entry.content.as_bytes());
        // What does not fit is found when it is read: no such record has ever been.
        let place = u32::try_from(self.names.len() - names).unwrap_or(u32::MAX);
        let length = u8::try_from(line.name.len()).unwrap_or(u8::MAX);
        let owner = u16::try_from(self.owners.number(line.owner)).unwrap_or(u16::MAX);
        self.rows.extend_from_slice(&place.to_le_bytes());
        self.rows.extend_from_slice(&[length, what]);
        self.rows.extend_from_slice(&owner.to_le_bytes());
        self.rows.extend_from_slice(&commit.to_le_bytes());
        self.rows.extend_from_slice(&content);
        self.names.extend_from_slice(line.name.as_bytes());
    }

    fn finish(mut self, about: &Record) -> Vec<u8> {
        let (owners, owner) = self.owners.sorted();
        let (commits, commit) = self.commits.sorted();
        for row in self.rows.chunks_exact_mut(ROW) {
            if let Some(now) = owner.get(place::<2>(row, 6)) {
                row[6..8].copy_from_slice(&now.to_le_bytes()[..2]);
            }
            if let Some(now) = place::<4>(row, 8).checked_sub(2).and_then(|was| commit.get(was)) {
                row[8..12].copy_from_slice(&now.saturating_add(2).to_le_bytes());
            }
        }
        let source = about;
        let mut about = Record {
            fleet: about.fleet.clone(),
            deployment: about.deployment.clone(),
            root: about.root.clone(),
            generation: about.generation,
            packs: about.packs.clone(),
            entries: BTreeMap::new(),
            directories: about.directories.clone(),
            decisions: about.decisions.clone(),
            rejected: about.rejected.clone(),
            rest: None,
        };
        let rest = source.rest.iter().flat_map(|rest| rest.directories());
        about.directories.extend(rest.cloned());
        let head = Head { about, owners, commits, odd: self.odd };
        let head = postcard::to_stdvec(&head).expect("plain values serialise into memory");
        let body = [&self.runs, &self.rows, &self.names];
        let length: usize = body.iter().map(|part| part.len()).sum();
        let mut out = Vec::with_capacity(PREFIX + head.len() + length);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.resize(SUMMED, 0);
        let lengths = [head.len(), self.runs.len() / RUN, self.rows.len() / ROW, self.names.len()];
        for length in lengths {
            out.extend_from_slice(&(length as u64).to_le_bytes());
        }
        out.resize(PREFIX, 0);
        out.extend_from_slice(&head);
        let begin = out.len();
        body.iter().for_each(|part| out.extend_from_slice(part));
        let entries = sum(&out[begin..]);
        out[PREFIX - 32..PREFIX].copy_from_slice(&entries);
        let all = sum(&out[SUMMED..begin]);
        out[SUMMED - 32..SUMMED].copy_from_slice(&all);
        out
    }
}

/// Values by the order of their first use.
struct Table<'l, T> {
    numbers: BTreeMap<&'l T, u32>,
    last: Option<(&'l T, u32)>,
}

impl<T> Default for Table<'_, T> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), last: None }
    }
}

impl<'l, T: Ord + Clone> Table<'l, T> {
    fn number(&mut self, value: &'l T) -> u32 {
        match self.last {
            Some((last, number)) if std::ptr::eq(last, value) || last == value => number,
            _ => {
                let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                let number = *self.numbers.entry(value).or_insert(next);
                self.last = Some((value, number));
                number
            }
        }
    }

    /// The values, sorted, and each one's place there by its number.
    fn sorted(&self) -> (Vec<T>, Vec<u32>) {
        let mut places = vec![0; self.numbers.len()];
        for (place, number) in (0u32..).zip(self.numbers.values()) {
            if let Some(at) = places.get_mut(*number as usize) {
                *at = place;
            }
        }
        (self.numbers.keys().map(|value| (*value).clone()).collect(), places)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::pack::{InstallMap, Modes, Pin};
    use super::super::record::{Decision, RecordedPack, Take};
    use super::super::{DesiredDigest, HostPath, TreeDigest};
    use super::*;
    use crate::model::fleet::{Changed, Deleted, Edits};

    pub fn commit(number: u8) -> CommitId {
        CommitId::new(&format!("{number:02x}").repeat(20)).unwrap()
    }

    pub fn pack(pin: Option<u8>) -> RecordedPack {
        RecordedPack {
            pin: Pin {
                version: "1.0.0".into(),
                found_by: "v1.0.0".into(),
                commit: pin.map(commit),
                tree: TreeDigest::from_bytes([1; 32]),
            },
            requirement: "version ^1".into(),
            source: "s".parse().unwrap(),
            overlays: Vec::new(),
            desired: DesiredDigest::from_bytes([2; 32]),
            requires: Vec::new(),
            install: InstallMap::default(),
            host_owns: Vec::new(),
            host_keys: Vec::new(),
            modes: Modes::ExecBit,
            atomic: true,
            edits: Edits { changed: Changed::Merge, deleted: Deleted::Restore },
            version_key: "p_version".into(),
            features: Vec::new(),
        }
    }

    fn entry() -> impl Strategy<Value = Option<Entry>> {
        let kinds = prop_oneof![Just(Kind::File), Just(Kind::Exec), Just(Kind::Link)];
        prop::option::of((kinds, 0..3u8).prop_map(|(kind, bytes)| Entry::of(kind, &[bytes])))
    }

    pub fn path() -> impl Strategy<Value = TreePath> {
        "[ab.ä-]{1,2}x(/[ab.-]{1,2}x){0,2}".prop_map(|text| TreePath::new(&text).unwrap())
    }

    prop_compose! {
        pub fn records()(
            entries in prop::collection::btree_map(
                path(),
                (0..3u8, entry(), entry(), prop::option::of(0..3u8)),
                0..12,
            ),
            pins in prop::array::uniform2(prop::option::of(0..3u8)),
            directories in prop::collection::btree_set(path(), 0..3),
            generation in any::<u64>(),
        ) -> Record {
            let root = HostPath::new("/r").unwrap();
            let mut record = Record::empty("f".parse().unwrap(), "d".parse().unwrap(), root);
            record.generation = generation;
            for (at, pin) in pins.into_iter().enumerate() {
                record.packs.insert(format!("p{at}").parse().unwrap(), pack(pin));
            }
            for (at, (owner, base, written, found)) in entries {
                let owner = format!("p{owner}").parse().unwrap();
                record.entries.insert(at, Recorded { owner, base, written, commit: found.map(commit) });
            }
            for at in &directories {
                let decision = Decision { actual: None, desired: None, take: Take::Local };
                record.decisions.insert(at.clone(), decision);
            }
            record.directories = directories;
            record
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_whole_and_piece_by_piece(record in records(), other in path()) {
            let bytes = record.encode();
            let packed = Packed::open(Cow::Borrowed(&bytes)).unwrap();
            prop_assert_eq!(&packed.record().unwrap(), &record);
            prop_assert_eq!(packed.len(), record.entries.len());
            let mut text = String::new();
            for (path, recorded) in &record.entries {
                let line = packed.find(path.as_str()).unwrap();
                prop_assert_eq!(line.path(&mut text), path.as_str());
                prop_assert_eq!(&line.recorded(), recorded);
            }
            prop_assert_eq!(packed.find(other.as_str()).is_some(), record.entries.contains_key(&other));
            for at in record.entries.keys().chain([&other]) {
                let below: Vec<String> =
                    packed.below(at.as_str()).map(|line| line.path(&mut text).to_owned()).collect();
                let expected: Vec<String> =
                    record.entries.keys().filter(|path| path.is_below(at)).map(ToString::to_string).collect();
                prop_assert_eq!(below, expected);
            }
            prop_assert_eq!(about(&bytes).unwrap(), packed.about().clone());
            prop_assert_eq!(encode(packed.about(), packed.lines()), bytes);
        }

        #[test]
        fn every_flipped_bit_is_found(record in records(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = record.encode();
            let at = at.index(bytes.len());
            prop_assert!(Packed::open(Cow::Borrowed(&bytes[..at])).is_err());
            bytes[at] ^= 1 << bit;
            prop_assert!(Packed::open(Cow::Owned(bytes)).is_err());
        }

        #[test]
        fn nothing_is_assumed_of_bytes_whose_sums_hold(
            record in records(),
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
        ) {
            let mut bytes = record.encode();
            let head = place::<8>(&bytes, SUMMED);
            let at = SUMMED + at.index(bytes.len() - SUMMED);
            bytes[at] = value;
            if let Some(body) = bytes.get(PREFIX + head..) {
                let body = sum(body);
                bytes[PREFIX - 32..PREFIX].copy_from_slice(&body);
                let all = sum(&bytes[SUMMED..PREFIX + head]);
                bytes[SUMMED - 32..SUMMED].copy_from_slice(&all);
            }
            if let Ok(packed) = Packed::open(Cow::Owned(bytes)) {
                let _ = packed.record();
                prop_assert_eq!(packed.lines().count(), packed.len());
            }
        }
    }
}
