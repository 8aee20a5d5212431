//! The journal and its manifest: what decodes is encoded again to the same bytes, and every step has its action.

use packfleet::host::fuzz::{Deed, Direction, Doing, Journal, Manifest, Step};
use packfleet::model::plan::{Action, Cause, Purpose};
use packfleet::model::{Content, Entry, Kind, RecordDigest, TreePath};

use super::Target;

/// A byte that says what the others are: the body of a journal or of a manifest under a checksum that holds, or bytes
/// as they are.
pub const TARGET: Target = Target {
    name: "journal",
    seeds: || {
        let mut seeds = Vec::new();
        for journal in journals() {
            let bytes = journal.encode();
            seeds.extend([[&[0], &bytes[SEALED..]].concat(), [&[2], &bytes[..]].concat()]);
        }
        for manifest in manifests() {
            let bytes = manifest.encode();
            seeds.extend([[&[1], &bytes[SEALED..]].concat(), [&[2], &bytes[..]].concat()]);
        }
        seeds
    },
    words: &[
        "a/b",
        "..",
        "/",
        ".git",
        ".packfleet",
        "\0",
        "\u{1}",
        "\u{2}",
        "\u{3}",
        "\u{4}",
        "\u{7f}",
        "2026-01-02T03:04:05Z",
    ],
    check,
};

/// Magic, format and checksum.
const SEALED: usize = 44;

fn check(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let sealed = |sample: Vec<u8>| [&sample[..SEALED - 32], blake3::hash(rest).as_bytes(), rest].concat();
    let bytes = match mode % 3 {
        0 => sealed(journals()[0].encode()),
        1 => sealed(manifests()[0].encode()),
        _ => rest.to_vec(),
    };
    if let Ok(journal) = Journal::decode(&bytes) {
        assert_eq!(journal.encode(), bytes, "encode(decode(x)) = x");
    }
    if let Ok(manifest) = Manifest::decode(&bytes) {
        assert_eq!(manifest.encode(), bytes, "encode(decode(x)) = x");
        let doings = manifest.doings();
        assert_eq!(doings.len(), manifest.steps.len(), "every step does something");
        for (slot, doing) in doings {
            assert!(slot.bytes().all(|byte| byte.is_ascii_digit()), "a slot is a number: {slot}");
            assert_eq!(TreePath::new(doing.path().as_str()).as_ref(), Ok(doing.path()));
            if let Doing::Take { action, .. }
            | Doing::Exchange { action, .. }
            | Doing::Create { action, .. } = doing
            {
                assert!(manifest.actions.contains(action));
            }
        }
    }
}

fn journals() -> [Journal; 2] {
    let manifest = Content::of(b"manifest");
    [
        Journal { generation: 7, manifest, direction: Direction::Forward },
        Journal { generation: u64::MAX, manifest, direction: Direction::Back },
    ]
}

fn manifests() -> [Manifest; 2] {
    let path = |text: &str| TreePath::new(text).expect("a path");
    let entry = |text: &[u8]| Some(Entry::of(Kind::File, text));
    let action = |at: &str, before, after, cause| Action {
        path: path(at),
        pack: "p".parse().expect("a name"),
        before,
        after,
        cause,
        save: cause == Cause::Revert,
    };
    let full = Manifest {
        generation: 300,
        time: "2026-01-02T03:04:05Z".parse().expect("a time"),
        actions: vec![
            action("d/new", None, entry(b"new"), Cause::Create),
            action("both", entry(b"old"), entry(b"new"), Cause::Upgrade),
            action("gone", entry(b"old"), None, Cause::Remove),
            action("mine", entry(b"edit"), entry(b"new"), Cause::Revert),
        ],
        bases: vec![None, entry(b"old"), entry(b"old"), None],
        steps: vec![
            Step { slot: 4, deed: Deed::TakeDirectory(path("d/new")) },
            Step { slot: 5, deed: Deed::MakeDirectory(path("d"), 77) },
            Step { slot: 0, deed: Deed::Create(0) },
            Step { slot: 1, deed: Deed::Exchange(1) },
            Step { slot: 2, deed: Deed::Take(2) },
            Step { slot: 3, deed: Deed::Exchange(3) },
        ],
        saves: Vec::new(),
        prune: vec![path("x/y"), path("x")],
        record: RecordDigest::from_bytes([1; 32]),
        version: Some((path("VERSION"), Content::of(b"v"))),
        log: Some((path("log/sync"), "line".into())),
        history: "{}".into(),
        objects: vec![Content::of(b"o")],
        keep_generations: 20,
        purpose: Purpose::Rollback { to: 1 },
    };
    let mut small = full.clone();
    (small.actions, small.bases, small.steps, small.version, small.log) = Default::default();
    small.purpose = Purpose::Sync;
    [full, small]
}
