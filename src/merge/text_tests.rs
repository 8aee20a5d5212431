//! Merging: a table, and the laws as properties.

use proptest::prelude::*;

use super::*;

fn clean(text: &str) -> TextMerge {
    TextMerge::Clean(text.as_bytes().to_vec())
}

#[test]
fn table() {
    let conflict = |line, places| TextMerge::Conflict { line, places };
    for (name, base, ours, theirs, expected) in [
        ("two ends", "a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", clean("A\nb\nc\nd\nE\n")),
        ("one line", "a\n", "b\n", "c\n", conflict(1, 1)),
        ("same change", "a\nx\nb\n", "a\ny\nb\n", "a\ny\nb\n", clean("a\ny\nb\n")),
        (
            "their lines above",
            "1\n2\n3\n4\n5\n6\n7\n8\n",
            "1\n2\n3\n4\n5\n6\no\n8\n",
            "1\nnew\nnew\n2\n3\n4\n5\n6\nt\n8\n",
            conflict(7, 1),
        ),
        (
            "our lines above",
            "1\n2\n3\n4\n5\n6\n7\n8\n",
            "0\n1\n2\n3\n4\n5\n6\no\n8\n",
            "1\n2\n3\n4\n5\n6\nt\n8\n",
            conflict(8, 1),
        ),
        ("ours deleted it", "1\n2\n3\n4\n", "1\n2\n4\n", "1\n2\nt\n4\n", conflict(3, 1)),
        ("ours deleted the end", "1\n2\n3\n", "1\n2\n", "1\n2\nt\n", conflict(2, 1)),
        ("ours is empty", "1\n2\n3\n", "", "1\n2\nt\n", conflict(1, 1)),
        (
            "two places",
            "a\n1\n2\n3\n4\n5\n6\nb\n",
            "x\n1\n2\n3\n4\n5\n6\nx\n",
            "y\n1\n2\n3\n4\n5\n6\ny\n",
            conflict(1, 2),
        ),
        ("added to nothing", "", "a\n", "b\n", conflict(1, 1)),
        ("line ends", "a\r\nb\r\nc\r\n", "A\r\nb\r\nc\r\n", "a\r\nb\r\nC\r\n", clean("A\r\nb\r\nC\r\n")),
        ("ends differ", "a\nb\nc\n", "a\r\nb\r\nc\r\n", "a\nb\nC\n", conflict(1, 1)),
        ("no final newline", "a\nb\nc", "A\nb\nc", "a\nb\nC", clean("A\nb\nC")),
        ("final newline gone", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nc", clean("A\nb\nc")),
        ("not at the end", "a\nb\nc", "a\nb\nx", "a\nb\ny", conflict(3, 1)),
        (
            "markers are text",
            "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n",
            "<<<<<<< A\n1\n=======\n2\n>>>>>>> b\n",
            "<<<<<<< a\n1\n=======\n2\n>>>>>>> B\n",
            clean("<<<<<<< A\n1\n=======\n2\n>>>>>>> B\n"),
        ),
        (
            "markers are text of a conflict",
            "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\nz\n",
            "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\no\n",
            "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\nt\n",
            conflict(6, 1),
        ),
        ("empty base and ours", "", "", "b\n", clean("b\n")),
    ] {
        let found = merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn binary_and_large() {
    assert_eq!(merge_text(b"a\0", b"b\0", b"c\0"), TextMerge::Binary);
    assert_eq!(merge_text(b"a\n", b"b\0", b"c\n"), TextMerge::Binary);
    assert_eq!(merge_text(b"a\0", b"a\0", b"c\0"), TextMerge::Clean(b"c\0".to_vec()));
    let late = |end: &str| [vec![b'x'; 8_000], b"\n\0\n".to_vec(), end.into()].concat();
    assert!(matches!(merge_text(&late("a\n"), &late("b\n"), &late("c\n")), TextMerge::Conflict { .. }));
    let long = |end: &str| "x\n".repeat(50_000) + end;
    let merge = |[a, b, c]: [String; 3]| merge_text(a.as_bytes(), b.as_bytes(), c.as_bytes());
    assert_eq!(merge(["a", "b", "c"].map(long)), TextMerge::TooLarge);
    let wide = |end: &str| "x".repeat(8 << 20) + end;
    assert_eq!(merge(["a", "b", "c"].map(wide)), TextMerge::TooLarge);
    // At the limit, and with different line ends, latin-1 bytes and all: still a merge.
    assert_eq!(
        merge_text(b"\xe4\nb\nc\n", b"\xf6\nb\nc\n", b"\xe4\nb\nd\n"),
        TextMerge::Clean(b"\xf6\nb\nd\n".into())
    );
}

#[test]
fn a_large_conflict_is_found_without_much_ado() {
    let text = |seed: u64| -> String {
        (0..50_000u64)
            .map(|n| format!("{}\n", n.wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9) % 7))
            .collect()
    };
    let found = merge_text(text(1).as_bytes(), text(12).as_bytes(), text(104).as_bytes());
    assert!(matches!(found, TextMerge::Conflict { .. }), "{found:?}");
}

#[test]
fn exec_bits_merge_apart() {
    use Kind::{Exec, File, Link};
    for (base, ours, theirs, expected) in [
        (File, File, File, Some(File)),
        (File, Exec, File, Some(Exec)),
        (File, File, Exec, Some(Exec)),
        (File, Exec, Exec, Some(Exec)),
        (Exec, File, Exec, Some(File)),
        (Exec, Exec, File, Some(File)),
        (Link, Link, Link, None),
        (File, Link, File, None),
        (Link, File, File, None),
    ] {
        assert_eq!(merge_kind(base, ours, theirs), expected, "{base:?} {ours:?} {theirs:?}");
    }
}

/// Texts over few lines, so that repeats and coincidences are common; half of them without a final newline.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec!["a", "b", "c", "}", "", "<<<<<<< x", "=======", ">>>>>>> y", "e\r"]);
    (prop::collection::vec(line, 0..14), any::<bool>()).prop_map(|(lines, newline)| {
        let mut text = lines.join("\n");
        if newline && !text.is_empty() {
            text.push('\n');
        }
        text.into_bytes()
    })
}

/// A text and an edit of it: some lines replaced, deleted or added.
fn edited(base: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edit = (0..20usize, 0..3usize, prop::sample::select(vec!["", "new\n", "two\nnew\n", "a\n", "}\n"]));
    prop::collection::vec(edit, 0..3).prop_map(move |edits| {
        let mut found: Vec<Vec<u8>> = lines(&base).map(<[u8]>::to_vec).collect();
        for (at, remove, insert) in edits {
            let at = at.min(found.len());
            let end = (at + remove).min(found.len());
            found.splice(at..end, lines(insert.as_bytes()).map(<[u8]>::to_vec));
        }
        found.concat()
    })
}

fn three() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    text().prop_flat_map(|base| (Just(base.clone()), edited(base.clone()), edited(base)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn identities(base in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
        let clean = TextMerge::Clean(other.clone());
        prop_assert_eq!(&merge_text(&base, &base, &other), &clean);
        prop_assert_eq!(&merge_text(&base, &other, &base), &clean);
        prop_assert_eq!(&merge_text(&base, &other, &other), &clean);
    }

    #[test]
    fn clean_merges_are_symmetric_and_keep_what_was_added((base, ours, theirs) in three()) {
        let found = merge_text(&base, &ours, &theirs);
        let mirrored = merge_text(&base, &theirs, &ours);
        match &found {
            TextMerge::Clean(result) => {
                prop_assert_eq!(&found, &mirrored);
                let base: Vec<&[u8]> = lines(&base).collect();
                let result: Vec<&[u8]> = lines(result).collect();
                for line in lines(&ours).chain(lines(&theirs)).filter(|line| !base.contains(line)) {
                    prop_assert!(result.contains(&line), "{:?} is lost", String::from_utf8_lossy(line));
                }
            }
            TextMerge::Conflict { line, places } => {
                let conflicts = matches!(mirrored, TextMerge::Conflict { .. });
                prop_assert!(conflicts);
                prop_assert!(*line >= 1 && *line <= lines(&ours).count().max(1) as u64);
                prop_assert!(*places >= 1);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_bytes_merge_or_not_but_never_panic(
        base in any::<Vec<u8>>(), ours in any::<Vec<u8>>(), theirs in any::<Vec<u8>>(),
    ) {
        let _ = merge_text(&base, &ours, &theirs);
    }

    #[test]
    fn unrelated_texts((base, ours, theirs) in (text(), text(), text())) {
        if let TextMerge::Clean(result) = merge_text(&base, &ours, &theirs) {
            prop_assert_eq!(TextMerge::Clean(result), merge_text(&base, &theirs, &ours));
        }
    }
}
