//! Records: what decodes is encoded again to the same, whatever the bytes and their checksum say.

use std::borrow::Cow;

use packfleet::model::fleet::{Changed, Deleted, Edits};
use packfleet::model::pack::{CommitId, HostKeys, Install, InstallMap, Modes, Pin};
use packfleet::model::packed::Packed;
use packfleet::model::record::{Decision, FORMAT, Record, Recorded, RecordedPack, Rejection, Take, frame};
use packfleet::model::{
    Content, DesiredDigest, Entry, HostPath, Kind, RecordDigest, Tree, TreeDigest, TreePath,
};

use super::{Draw, Target};

/// A byte that says what the others are: what lies under checksums that hold, in this format or in the one before, bytes
/// as they are, or choices.
pub const TARGET: Target = Target {
    name: "record",
    seeds: || {
        let numbers: Vec<u8> = (0..=255).collect();
        let many: Vec<u8> = (0..1200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut seeds = vec![[&[3][..], &numbers].concat(), [&[3][..], &many].concat()];
        for choices in [&[][..], &numbers, &many] {
            let record = drawn(&mut Draw(choices));
            let (bytes, former) = (record.encode(), frame(MAGIC, FORMER, &record));
            seeds.push([&[0], &bytes[SEALED..]].concat());
            seeds.push([&[1], &former[SEALED..]].concat());
            seeds.push([&[2], &bytes[..]].concat());
        }
        assert!(seeds.iter().all(|seed| seed[0] == 3 || Record::decode(&whole(seed[0], &seed[1..])).is_ok()));
        seeds
    },
    words: &[
        "a/b",
        "..",
        "/",
        ".git",
        "\0",
        "\u{1}",
        "\u{2}",
        "\u{7f}",
        "/srv/x/",
        "0123456789abcdef0123456789abcdef01234567",
        "\0\0\0\0\0\0\0",
    ],
    check,
};

const MAGIC: &[u8; 8] = b"pfrecord";
/// The format before.
const FORMER: u32 = 1;
/// Magic, format and the first checksum.
const SEALED: usize = 44;
/// Where the second checksum lies in what follows: behind four lengths, of which the first is that of the head.
const LENGTHS: usize = 32;

/// The bytes of a record file.
fn whole(mode: u8, rest: &[u8]) -> Vec<u8> {
    let sealed = |format: u32, rest: &[u8]| {
        [&MAGIC[..], &format.to_le_bytes(), blake3::hash(rest).as_bytes(), rest].concat()
    };
    let head_ends = |rest: &[u8]| {
        let length = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        usize::try_from(length).ok()?.checked_add(LENGTHS + 32).filter(|end| *end <= rest.len())
    };
    match (mode, head_ends(rest)) {
        (0, Some(end)) => {
            let mut rest = rest.to_vec();
            let body = blake3::hash(&rest[end..]);
            rest[LENGTHS..LENGTHS + 32].copy_from_slice(body.as_bytes());
            let bytes = sealed(FORMAT, &rest[..end]);
            [&bytes, &rest[end..]].concat()
        }
        (1, _) => sealed(FORMER, rest),
        _ => rest.to_vec(),
    }
}

fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode % 4 < 3 {
        let Ok(record) = Record::decode(&whole(mode % 4, rest)) else { return };
        return round(&record);
    }
    let record = drawn(&mut Draw(rest));
    round(&record);
    let bytes = record.encode();
    assert_eq!(record.digest(), RecordDigest::from_bytes(*blake3::hash(&bytes).as_bytes()));
    let json = serde_json::to_string(&record).expect("a record prints");
    assert_eq!(serde_json::from_str::<Record>(&json).ok().as_ref(), Some(&record), "and is read");
    // A part of it is no record.
    let cut = usize::from(*mode) * bytes.len() / 256;
    assert!(Record::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    digests(&record);
}

fn round(record: &Record) {
    let bytes = record.encode();
    let again = Record::decode(&bytes).expect("what was encoded decodes");
    assert_eq!(again, *record, "decode(encode(x)) = x");
    assert_eq!(again.encode(), bytes, "equal records have equal bytes");
    let packed = Packed::open(Cow::Borrowed(&bytes)).expect("it decodes");
    assert_eq!(packed.len(), record.entries.len());
    let mut text = String::new();
    for (path, recorded) in &record.entries {
        let line = packed.find(path.as_str()).expect("it is there");
        assert_eq!((line.path(&mut text), &line.recorded()), (path.as_str(), recorded));
    }
}

/// A tree's digest does not depend on the order in which it was put together.
fn digests(record: &Record) {
    let entries: Vec<(TreePath, Entry)> =
        record.entries.iter().filter_map(|(path, it)| Some((path.clone(), it.base?))).collect();
    let forth = Tree(entries.iter().cloned().collect());
    let back = Tree(entries.into_iter().rev().collect());
    assert_eq!(forth.digest(), back.digest());
}

/// A record, out of choices.
pub fn drawn(draw: &mut Draw<'_>) -> Record {
    let name = |draw: &mut Draw<'_>| draw.pick(&["a", "b.c", "X_9", "long-name"]);
    let root = HostPath::new(draw.pick(&["/r", "/srv/a b", "/ä"])).expect("a root");
    let mut record = Record::empty(parsed(name(draw)), parsed(name(draw)), root);
    record.generation = u64::from(draw.byte()) << draw.below(50);
    for _ in 0..draw.below(4) {
        record.packs.insert(parsed(name(draw)), pack(draw));
    }
    for _ in 0..draw.below(20) {
        let commit = draw.perhaps(commit);
        let recorded = Recorded {
            owner: parsed(name(draw)),
            base: draw.perhaps(entry),
            written: draw.perhaps(entry),
            commit,
        };
        record.entries.insert(path(draw), recorded);
    }
    record.directories = draw.some(path).into_iter().collect();
    for _ in 0..draw.below(3) {
        let take = [Take::Local, Take::Pack, Take::File(content(draw))][draw.below(3)];
        let decision = Decision { actual: draw.perhaps(entry), desired: draw.perhaps(entry), take };
        record.decisions.insert(path(draw), decision);
    }
    for _ in 0..draw.below(3) {
        let desired = |draw: &mut Draw<'_>| draw.perhaps(|draw| DesiredDigest::from_bytes([draw.byte(); 32]));
        let rejection = Rejection { digests: draw.some(desired), restored: u64::from(draw.byte()) };
        record.rejected.insert(parsed(name(draw)), rejection);
    }
    record
}

fn pack(draw: &mut Draw<'_>) -> RecordedPack {
    let text = |draw: &mut Draw<'_>| draw.pick(&["", "version ^1", "ä \"\\", "x\n"]).to_owned();
    let host_keys = |draw: &mut Draw<'_>| HostKeys { file: path(draw), keys: draw.some(text) };
    let pin = Pin {
        version: text(draw),
        found_by: text(draw),
        commit: draw.perhaps(commit),
        tree: TreeDigest::from_bytes([draw.byte(); 32]),
    };
    RecordedPack {
        pin,
        requirement: text(draw),
        source: parsed("s"),
        overlays: draw.some(|draw| parsed(draw.pick(&["o", "p"]))),
        desired: DesiredDigest::from_bytes([draw.byte(); 32]),
        requires: draw.some(|draw| parsed(draw.pick(&["q", "r"]))),
        install: InstallMap(draw.some(|draw| Install { from: draw.perhaps(path), to: draw.perhaps(path) })),
        host_owns: draw.some(text),
        host_keys: draw.some(host_keys),
        modes: draw.pick(&[Modes::ExecBit, Modes::Ignore]),
        atomic: draw.pick(&[true, false]),
        edits: Edits {
            changed: draw.pick(&[Changed::Merge, Changed::Keep, Changed::Revert]),
            deleted: draw.pick(&[Deleted::Restore, Deleted::Keep]),
        },
        version_key: text(draw),
        features: draw.some(text),
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// A path, out of choices.
pub fn path(draw: &mut Draw<'_>) -> TreePath {
    let names = ["a", "b", "c d", "ä", "-x", "z.md"];
    let text: Vec<&str> = (0..=draw.below(3)).map(|_| draw.pick(&names)).collect();
    TreePath::new(&text.join("/")).expect("a path")
}

fn content(draw: &mut Draw<'_>) -> Content {
    Content::of(&[draw.byte()])
}

/// An entry, out of choices.
pub fn entry(draw: &mut Draw<'_>) -> Entry {
    Entry { kind: draw.pick(&[Kind::File, Kind::Exec, Kind::Link]), content: content(draw) }
}

fn commit(draw: &mut Draw<'_>) -> CommitId {
    CommitId::new(&format!("{:02x}", draw.byte()).repeat(20)).expect("an id")
}
