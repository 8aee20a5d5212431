//! Merging text: the laws of three-way merges, on related and on unrelated texts.

use std::collections::BTreeSet;

use packfleet::merge::conflict::{Labels, has_markers, marked};
use packfleet::merge::{TextMerge, diff, merge_text, similarity, unified_diff};

use super::{Draw, Target, joined, parts};

/// Base, ours and theirs; or a base, and what makes two edited copies of it.
pub const TARGET: Target = Target {
    name: "text",
    seeds: || {
        let base = "# Bot\n\nBe brief.\nBe kind.\n\nfn a() {\n    b\n}\n\nfn c() {\n    d\n}\n";
        let mut seeds = vec![
            joined(&[base, &base.replace("brief", "short"), &base.replace("    d", "    e")]),
            joined(&[base, &base.replace("Be kind.\n", ""), &base.replace("Be kind.", "Be very kind.")]),
            joined(&["a\nb\nc", "a\nb\nc\n", "A\nb\nc"]),
            joined(&["a\r\nb\r\n", "a\nb\n", "a\r\nc\r\n"]),
            joined(&[
                "<<<<<<< a\n1\n=======\n2\n>>>>>>> b\n",
                "<<<<<<< a\n=======\n2\n",
                "<<<<<<<<\n1\n=======\n",
            ]),
            joined(&["", "a\n", "b\n"]),
            joined(&["a\n\0", "b\n", "c\n"]),
        ];
        for script in
            [&[0, 2, 1, 1, 1, 9, 0, 2][..], &[0, 0, 3, 0, 1, 11, 3, 4, 0, 5, 1, 3, 1, 5, 1, 5], &[1, 4, 2, 2]]
        {
            let mut seed = joined(&[base, ""]);
            seed.extend(script);
            seeds.push(seed);
        }
        seeds
    },
    words: &[
        "\n",
        "\r\n",
        "a\n",
        "}\n",
        "\n\n",
        "<<<<<<< x\n",
        "=======\n",
        ">>>>>>> y\n",
        "||||||| z\n",
        "\0",
        "\u{e4}",
    ],
    check,
};

const LABELS: Labels<'static> = Labels { base: "base", ours: "host", theirs: "pack" };

fn check(data: &[u8]) {
    match parts(data)[..] {
        [base, ours, theirs] => laws(base, ours, theirs),
        [base, script] => {
            let mut sides =
                [lines(base), lines(base)].map(|lines| lines.into_iter().map(<[u8]>::to_vec).collect());
            let mut draw = Draw(script);
            while !draw.0.is_empty() {
                let side: &mut Vec<Vec<u8>> = &mut sides[draw.below(2)];
                let at = draw.below(side.len() + 1);
                let end = (at + draw.below(4)).min(side.len());
                let new = draw.pick(&["", "new\n", "one\ntwo\n", "}\n", "\n", "    b\n", "x"]);
                side.splice(at..end, lines(new.as_bytes()).into_iter().map(<[u8]>::to_vec));
            }
            laws(base, &sides[0].concat(), &sides[1].concat());
        }
        _ => {}
    }
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A line without its end: the last one of a file may lack it, and gets that of the others where it is shown.
fn bare(line: &[u8]) -> &[u8] {
    &line[..line.len() - line.iter().rev().take_while(|byte| b"\r\n".contains(byte)).count()]
}

fn laws(base: &[u8], ours: &[u8], theirs: &[u8]) {
    for (one, other) in [(base, ours), (base, theirs), (ours, theirs)] {
        let clean = TextMerge::Clean(other.to_vec());
        assert_eq!(merge_text(one, one, other), clean, "merge(b, b, u) = u");
        assert_eq!(merge_text(one, other, one), clean, "merge(b, l, b) = l");
        assert_eq!(merge_text(one, other, other), clean, "merge(b, x, x) = x");
    }
    let found = merge_text(base, ours, theirs);
    let mirrored = merge_text(base, theirs, ours);
    let marked = marked(base, ours, theirs, LABELS);
    let set = |text| lines(text).into_iter().collect::<BTreeSet<_>>();
    let old = set(base);
    let added = lines(ours).into_iter().chain(lines(theirs)).filter(|line| !old.contains(line));
    match &found {
        TextMerge::Clean(result) => {
            assert_eq!(found, mirrored, "a clean merge is symmetric");
            let there = set(result);
            for line in added {
                assert!(there.contains(line), "{:?} is lost", String::from_utf8_lossy(line));
            }
            let known: BTreeSet<&[u8]> = [base, ours, theirs].into_iter().flat_map(lines).map(bare).collect();
            for line in &there {
                assert!(known.contains(bare(line)), "{:?} is nobody's", String::from_utf8_lossy(line));
            }
            if let Some(marked) = marked {
                assert_eq!((marked.places.len(), &marked.text), (0, result));
            }
        }
        TextMerge::Conflict { line, places } => {
            assert!(matches!(mirrored, TextMerge::Conflict { .. }), "a conflict is one from both sides");
            assert!((1..=lines(ours).len().max(1) as u64).contains(line), "line {line}");
            let marked = marked.expect("a conflict of texts can be shown");
            assert_eq!(marked.places.len() as u64, *places);
            assert!(has_markers(&marked.text, marked.marker));
            let there: BTreeSet<&[u8]> = lines(&marked.text).into_iter().map(bare).collect();
            for line in added {
                assert!(there.contains(bare(line)), "{:?} is lost", String::from_utf8_lossy(line));
            }
        }
        TextMerge::Binary | TextMerge::TooLarge => {
            assert_eq!(found, mirrored);
            assert_eq!(marked, None);
        }
    }
    let _ = unified_diff("ours", "theirs", ours, theirs);
    let _ = diff::lines(ours, theirs).is_some();
    let likeness = similarity(ours, theirs);
    assert!(likeness <= 100 && (ours != theirs || likeness == 100), "{likeness}");
    assert_eq!(likeness, similarity(theirs, ours));
}
