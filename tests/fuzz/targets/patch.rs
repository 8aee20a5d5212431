//! Patches: what is printed is read, what is made applies, what applies can be taken back.

use packfleet::merge::{Carried, Patch, PatchError, carry_patch};
use packfleet::model::TreePath;

use super::{Target, joined, parts};

/// A patch and a text to apply it to; or an old text, a new one and another version.
pub const TARGET: Target = Target {
    name: "patch",
    seeds: || {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let new = "a\nB\nc\nd\ne\nf\ng\nh\ni\nI\nj";
        let mut seeds = vec![
            joined(&[old, new, &old.replace('a', "A")]),
            joined(&["", "a\n", "b\n"]),
            joined(&["x\r\ny\r\n", "x\r\nz\r\n", "x\ny\n"]),
            joined(&[
                "h\nx\nend\nh\nx\nend\n",
                "h\nx\nend\nh\ny\nend\n",
                "h\nx\nend\nh\nx\nend\nh\nx\nend\n",
            ]),
        ];
        for name in NAMES {
            let path = TreePath::new(name).expect("a path");
            let made = Patch::make(&path, old.as_bytes(), new.as_bytes()).expect("they differ");
            seeds.push([made.print(), old.into()].join(&super::CUT));
        }
        for head in [
            "diff --git a/src/x.md b/src/x.md\nindex 1234567..89abcde 100644\n--- a/src/x.md\n+++ b/src/x.md\n",
            "From: A <a@example.org>\nSubject: x\n\n---\n--- src/x.md\t2026-01-01\n+++ src/x.md\t2026-01-02\n",
        ] {
            let hunks = "@@ -1,2 +1,3 @@ fn x\n a\n-b\n+c\n+d\n@@ -4 +5,0 @@\n-d\n-- \n2.39.2\n";
            seeds.push(joined(&[&format!("{head}{hunks}"), "a\nb\nc\nd\n"]));
        }
        seeds
    },
    words: &[
        "--- a/src/x.md\n",
        "+++ b/src/x.md\n",
        "diff --git a/src/x.md b/src/x.md\n",
        "@@ -1,2 +1,2 @@\n",
        "@@ -0,0 +1 @@\n",
        "@@ -1 +0,0 @@\n",
        "@@ -1,0 +2 @@\n",
        "-a\n",
        "+b\n",
        " c\n",
        "\\ No newline at end of file\n",
        "-- \n",
        "\n",
        "\r\n",
        "@@ -999999999,999999999 +1 @@\n",
        "index 1..2 100644\n",
        "rename from x\n",
        "GIT binary patch\n",
        "\"",
        ",0",
        "/dev/null",
    ],
    check,
};

const NAMES: [&str; 3] = ["src/x.md", "a b/\"q\\.md", "ä.md"];

fn check(data: &[u8]) {
    for name in NAMES {
        let path = TreePath::new(name).expect("a path");
        match parts(data)[..] {
            [text] => drop(read(&path, text)),
            [text, base] => applied(&path, text, base),
            [old, new, other] => made(&path, old, new, other),
            _ => {}
        }
    }
}

fn read(path: &TreePath, text: &[u8]) -> Option<Patch> {
    let patch = Patch::parse(path, text).ok()?;
    assert_eq!(patch.path(), path);
    let printed = patch.print();
    let again = Patch::parse(path, &printed).expect("what was printed is read");
    assert_eq!(again.print(), printed);
    assert_eq!(Patch::parse(path, &again.print()), Ok(again), "parse(print(p)) = p");
    Some(patch)
}

fn applied(path: &TreePath, text: &[u8], base: &[u8]) {
    let Some(patch) = read(path, text) else { return };
    let printed = Patch::parse(path, &patch.print()).expect("what was printed is read");
    let done = patch.apply_exactly(base);
    match (&done, printed.apply_exactly(base)) {
        (Ok(done), Ok(other)) => assert_eq!(*done, other, "a printed patch does the same"),
        (Err(_), Err(_)) => {}
        (one, other) => panic!("a printed patch does something else: {one:?}, {other:?}"),
    }
    if let Ok(done) = done {
        assert!(patch.is_applied(&done), "what was applied is recognised");
        // The way of that patch is a patch, which does the same.
        match Patch::make(path, base, &done) {
            Ok(made) => assert_eq!(made.apply_exactly(base).as_ref(), Ok(&done)),
            Err(PatchError::Empty) => assert_eq!(done, base),
            Err(PatchError::Binary | PatchError::TooLarge) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(carry_patch(&patch, base, base), Ok(Carried::Exact(done)));
    }
}

fn made(path: &TreePath, old: &[u8], new: &[u8], other: &[u8]) {
    let patch = match Patch::make(path, old, new) {
        Ok(patch) => patch,
        Err(PatchError::Empty) => return assert_eq!(old, new),
        Err(PatchError::Binary) => return assert!(old.contains(&0) || new.contains(&0)),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(patch.apply_exactly(old).as_deref(), Ok(new), "a made patch does what it was made for");
    assert!(patch.is_applied(new));
    assert_eq!(Patch::parse(path, &patch.print()), Ok(patch.clone()), "parse(print(p)) = p");
    match carry_patch(&patch, old, other).expect("it applies to its base") {
        Carried::Exact(result) => assert!(old == other && result == new),
        Carried::Clean(result) => assert!(old != other && result != other),
        // Merging changes nothing: all that the patch adds is there.
        Carried::AlreadyThere | Carried::Conflict(_) => assert_ne!(old, other),
    }
}
