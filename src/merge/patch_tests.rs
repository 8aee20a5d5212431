//! Patches: what is refused, exact places, and the laws.

use proptest::prelude::*;

use super::*;

fn path() -> TreePath {
    TreePath::new("src/x.md").unwrap()
}

fn parse(text: &str) -> Result<Patch, PatchError> {
    Patch::parse(&path(), text.as_bytes())
}

/// Behind the two lines of a header.
fn hunks(text: &str) -> Result<Patch, PatchError> {
    parse(&format!("--- a/src/x.md\n+++ b/src/x.md\n{text}"))
}

fn applied(patch: &str, base: &str) -> Result<String, PatchError> {
    hunks(patch)?.apply_exactly(base.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn what_is_no_patch_of_the_file_is_refused() {
    let head = "--- a/src/x.md\n+++ b/src/x.md\n";
    let git = "diff --git a/src/x.md b/src/x.md\n";
    let body = "@@ -1 +1 @@\n-a\n+b\n";
    let other = |line, named: &str| PatchError::OtherFile { line, named: format!("{named:?}"), path: path() };
    let no_header = |line| PatchError::NoHeader { line, path: path() };
    let cases = [
        (String::new(), PatchError::Empty),
        ("\n \n".into(), PatchError::Empty),
        ("nothing\nat all\n".into(), no_header(2)),
        (body.into(), no_header(1)),
        (format!("+++ b/src/x.md\n{body}"), no_header(1)),
        (format!("{git}{body}"), no_header(2)),
        (head.into(), PatchError::Empty),
        (git.into(), PatchError::Empty),
        (format!("--- a/src/y.md\n+++ b/src/x.md\n{body}"), other(1, "a/src/y.md")),
        (format!("--- a/src/x.md\n+++ b/../src/x.md\n{body}"), other(2, "b/../src/x.md")),
        (format!("--- a/Packs/p/src/x.md\n+++ b/Packs/p/src/x.md\n{body}"), other(1, "a/Packs/p/src/x.md")),
        (format!("diff --git a/src/x.md b/src/y.md\n{head}{body}"), other(1, "a/src/x.md b/src/y.md")),
        (format!("--- /dev/null\n+++ b/src/x.md\n{body}"), PatchError::Existence { line: 1 }),
        (format!("--- a/src/x.md\n+++ /dev/null\n{body}"), PatchError::Existence { line: 2 }),
        (format!("{git}new file mode 120000\n{head}{body}"), PatchError::Existence { line: 2 }),
        (format!("{git}deleted file mode 100644\n{head}{body}"), PatchError::Existence { line: 2 }),
        (format!("{git}old mode 100644\nnew mode 100755\n{head}{body}"), PatchError::Mode { line: 2 }),
        (format!("{git}index 111..222 120000\n{head}{body}"), PatchError::Mode { line: 2 }),
        (format!("{git}similarity index 90%\n{head}{body}"), PatchError::Rename { line: 2 }),
        (format!("{git}rename from src/y.md\n{head}{body}"), PatchError::Rename { line: 2 }),
        (format!("{git}copy from src/y.md\n{head}{body}"), PatchError::Rename { line: 2 }),
        (format!("{git}GIT binary patch\nliteral 1\n"), PatchError::Binary),
        (format!("{git}Binary files a/src/x.md and b/src/x.md differ\n"), PatchError::Binary),
        ("Binary files a/src/x.md and b/src/x.md differ\n".into(), PatchError::Binary),
        (format!("{head}@@ -1 +1 @@\n-a\0\n+b\n"), PatchError::Binary),
        (format!("{git}surprise\n{head}{body}"), PatchError::Stray { line: 2, found: "\"surprise\"".into() }),
        (format!("{head}{body}{head}{body}"), PatchError::SecondFile { line: 6 }),
        (format!("{git}{head}{body}{git}{head}{body}"), PatchError::SecondFile { line: 7 }),
        (format!("{git}{git}{head}{body}"), PatchError::SecondFile { line: 2 }),
        (
            "--- a/src/x.md\r\n+++ b/src/x.md\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n".into(),
            PatchError::LineEnds { line: 1 },
        ),
        (
            format!("{head}@@ -1 +1 @@\r\n-a\n+b\n"),
            PatchError::HunkHeader { line: 3, found: "\"@@ -1 +1 @@\\r\\n\"".into() },
        ),
        (format!("{head}@@ -1 +1 @@\n-a\n+b"), PatchError::CutOff { line: 5 }),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(&text), Err(expected), "{text}");
    }
    assert_eq!(Patch::parse(&path(), &vec![b'\n'; 50_001]), Err(PatchError::TooLarge));
}

#[test]
fn numbers_must_fit() {
    let order = |hunk, line| PatchError::Order { hunk, line };
    let counts = |hunk, line| PatchError::Counts { hunk, line };
    let cases = [
        ("@@ -1,2 +1 @@\n-a\n+b\n", counts(1, 6)),
        ("@@ -1 +1,2 @@\n-a\n+b\n", counts(1, 6)),
        ("@@ -1 +1 @@\n-a\n-b\n+b\n", counts(1, 5)),
        ("@@ -1 +1 @@\n-a\n+b\n+c\n", counts(1, 6)),
        ("@@ -1 +1 @@\n-a\n+b\n c\n", counts(1, 6)),
        ("@@ -1 +1 @@\n-a\n+b\n-- \n2.39\n", counts(1, 6)),
        ("@@ -1,2 +1,2 @@\n-a\n+b\n@@ -9 +9 @@\n-a\n+b\n", counts(1, 6)),
        ("@@ -5 +5 @@\n-a\n+b\n@@ -5 +5 @@\n-a\n+b\n", order(2, 6)),
        ("@@ -5,2 +5,2 @@\n-a\n+b\n c\n@@ -6 +6 @@\n-a\n+b\n", order(2, 7)),
        ("@@ -5 +5 @@\n-a\n+b\n@@ -2 +2 @@\n-a\n+b\n", order(2, 6)),
        ("@@ -1 +2 @@\n-a\n+b\n", order(1, 3)),
        ("@@ -1 +1,2 @@\n-a\n+b\n+c\n@@ -5 +5 @@\n-a\n+b\n", order(2, 7)),
        ("@@ -1 +1 @@\n a\n", PatchError::NoChange { hunk: 1, line: 3 }),
        (
            "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n@@ -2 +2 @@\n-c\n+d\n",
            PatchError::EndMark { hunk: 2, line: 7 },
        ),
        (
            "@@ -1,2 +1 @@\n-a\n\\ No newline at end of file\n-b\n+b\n",
            PatchError::EndMark { hunk: 1, line: 3 },
        ),
        (
            "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n\\ No newline at end of file\n",
            PatchError::EndMark { hunk: 1, line: 7 },
        ),
        ("@@ -1 +1 @@\n-a\n+b\nnoise\n", PatchError::Stray { line: 6, found: "\"noise\\n\"".into() }),
    ];
    for (text, expected) in cases {
        assert_eq!(hunks(text), Err(expected), "{text}");
    }
    for header in [
        "@@ -0 +1 @@",
        "@@ -0,1 +1 @@",
        "@@ -a +1 @@",
        "@@ -1 +1",
        "@@ -1 +1 @@x",
        "@@ -99999999999 +1 @@",
        "@@ --1 +1 @@",
        "@@ -1,+1 +1 @@",
        "@@ -1 1 @@",
    ] {
        let result = hunks(&format!("{header}\n-a\n+b\n"));
        assert!(matches!(result, Err(PatchError::HunkHeader { line: 3, .. })), "{header}: {result:?}");
    }
}

#[test]
fn what_git_and_people_write_is_understood() {
    let body = "@@ -1 +1 @@ heading\r\n-a\n+b\n";
    for head in [
        "--- a/src/x.md\n+++ b/src/x.md\n",
        "--- src/x.md\n+++ src/x.md\n",
        "--- i/src/x.md\t2024-01-01\n+++ w/src/x.md\t2024-01-01\n",
        "Why this is here.\n--- not a header\n\n--- a/src/x.md\n+++ b/src/x.md\n",
        "diff --git a/src/x.md b/src/x.md\nindex 111..222 100644\n--- a/src/x.md\n+++ b/src/x.md\n",
        "diff --git a/src/x.md b/src/x.md\nindex 111..222\n--- a/src/x.md\n+++ b/src/x.md\n",
    ] {
        let patch = parse(&format!("{head}{body}\n\n")).unwrap();
        assert_eq!(patch.apply_exactly(b"a\n").unwrap(), b"b\n", "{head}");
    }
    let mail = "From 0123 Mon Sep 17 00:00:00 2001\nSubject: x\n---\n x.md | 2 +-\n\n\
                diff --git a/src/x.md b/src/x.md\nindex 111..222 100644\n--- a/src/x.md\n+++ b/src/x.md\n\
                @@ -1 +1 @@\n-a\n+b\n-- \n2.39.5\n\n";
    assert_eq!(parse(mail).unwrap().apply_exactly(b"a\n").unwrap(), b"b\n");
}

#[test]
fn hunks_lie_where_they_say_or_nowhere() {
    let sections = "h\nx = 1\nend\nh\nx = 1\nend\nh\nx = 1\nend\n";
    let mismatch = |hunk, line, at, expected: &str, found: &str| {
        Err(PatchError::Mismatch { hunk, line, at, expected: expected.into(), found: found.into() })
    };
    let clean = |text: &str| Ok(text.to_owned());
    let cases = [
        // Repeated text: the header decides.
        (
            "@@ -4,3 +4,3 @@\n h\n-x = 1\n+x = 2\n end\n",
            sections,
            clean("h\nx = 1\nend\nh\nx = 2\nend\nh\nx = 1\nend\n"),
        ),
        // One line off: refused, though the lines occur three times.
        (
            "@@ -3,3 +3,3 @@\n h\n-x = 1\n+x = 2\n end\n",
            sections,
            mismatch(1, 3, 3, "\"h\\n\"", "\"end\\n\""),
        ),
        ("@@ -10 +10 @@\n-h\n+g\n", sections, mismatch(1, 3, 10, "\"h\\n\"", "its end")),
        ("@@ -99 +99 @@\n-h\n+g\n", "h\n", mismatch(1, 3, 99, "\"h\\n\"", "its end")),
        ("@@ -99,0 +100 @@\n+g\n", "h\n", mismatch(1, 3, 100, "99 lines above it", "1")),
        // The second hunk is found behind the growth of the first, or named.
        ("@@ -1 +1,2 @@\n-a\n+A\n+A\n@@ -3 +4 @@\n-c\n+C\n", "a\nb\nc\n", clean("A\nA\nb\nC\n")),
        (
            "@@ -1 +1 @@\n-a\n+A\n@@ -3 +3 @@\n-x\n+C\n",
            "a\nb\nc\n",
            mismatch(2, 6, 3, "\"x\\n\"", "\"c\\n\""),
        ),
        // Line ends are bytes.
        ("@@ -1 +1 @@\n-a\n+b\n", "a\r\n", mismatch(1, 3, 1, "\"a\\n\"", "\"a\\r\\n\"")),
        ("@@ -1 +1 @@\n-a\r\n+b\r\n", "a\n", mismatch(1, 3, 1, "\"a\\r\\n\"", "\"a\\n\"")),
        ("@@ -1 +1 @@\n-a\r\n+b\r\n", "a\r\n", clean("b\r\n")),
        ("@@ -1 +1 @@\n-a \n+b\n", "a\n", mismatch(1, 3, 1, "\"a \\n\"", "\"a\\n\"")),
        // The end of the file is a byte too.
        ("@@ -1 +1 @@\n-a\n+b\n", "a", mismatch(1, 3, 1, "\"a\\n\"", "\"a\"")),
        (
            "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n",
            "a\n",
            mismatch(1, 3, 1, "\"a\"", "\"a\\n\""),
        ),
        ("@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n", "a", clean("b\n")),
        ("@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n", "a\n", clean("b")),
        (
            "@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n",
            "a\nc\n",
            Err(PatchError::Joined { hunk: 1, line: 3 }),
        ),
        ("@@ -1,0 +2 @@\n+b\n", "a", Err(PatchError::Joined { hunk: 1, line: 3 })),
        // Without context, and at the edges.
        ("@@ -0,0 +1 @@\n+b\n", "", clean("b\n")),
        ("@@ -0,0 +1 @@\n+b\n", "a\n", clean("b\na\n")),
        ("@@ -1,0 +2 @@\n+b\n", "a\nc\n", clean("a\nb\nc\n")),
        ("@@ -1 +0,0 @@\n-a\n", "a\n", clean("")),
        ("@@ -1 +1 @@\n-a\n+b\n@@ -2 +2 @@\n-c\n+d\n", "a\nc\n", clean("b\nd\n")),
        ("@@ -1,2 +1,2 @@\n\n-a\n+b\n", "\na\n", clean("\nb\n")),
    ];
    for (patch, base, expected) in cases {
        let result = applied(patch, base);
        assert_eq!(result, expected, "{patch}");
        if let Ok(text) = result {
            assert!(hunks(patch).unwrap().is_applied(text.as_bytes()), "{patch}");
        }
    }
}

#[test]
fn a_second_application_is_recognised() {
    let patch = hunks("@@ -1,3 +1,4 @@\n a\n+b\n c\n d\n").unwrap();
    let (base, done): (&[u8], &[u8]) = (b"a\nc\nd\n", b"a\nb\nc\nd\n");
    assert!(!patch.is_applied(base));
    assert!(patch.is_applied(done));
    assert!(patch.apply_exactly(done).is_err());
}

#[test]
fn made_patches_read_like_git_s() {
    let spaced = TreePath::new("a b.md").unwrap();
    let patch = Patch::make(&spaced, b"1\n2\n3\n4\n5\n6\n7\n8\n9", b"1\n2\n3\n4\nx\n6\n7\n8\n9\n").unwrap();
    assert_eq!(
        String::from_utf8(patch.print()).unwrap(),
        "--- a/a b.md\t\n+++ b/a b.md\t\n@@ -2,8 +2,8 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n-9\n\
         \\ No newline at end of file\n+9\n"
    );
    let latin = Patch::make(&path(), b"\xe4\n", b"\xf6\n").unwrap();
    assert_eq!(latin.apply_exactly(b"\xe4\n").unwrap(), b"\xf6\n");
    assert_eq!(latin.path(), &path());
    assert_eq!(Patch::make(&path(), b"a\n", b"a\n"), Err(PatchError::Empty));
    assert_eq!(Patch::make(&path(), b"a\0", b"a\n"), Err(PatchError::Binary));
    let late = [vec![b'a'; 9_000], b"\0".to_vec()].concat();
    assert_eq!(Patch::make(&path(), &late, b"a\n"), Err(PatchError::Binary));
}

/// Texts of few different lines, some with odd ends.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => "[abc]\n",
        1 => Just("-\n".to_owned()),
        1 => Just("-- \n".to_owned()),
        1 => Just("@@ -1 +1 @@\n".to_owned()),
        1 => Just("\\ x\n".to_owned()),
        1 => Just("\n".to_owned()),
        1 => Just("x\r\n".to_owned()),
        1 => Just("\r".to_owned()),
    ];
    (prop::collection::vec(line, 0..30), prop::bool::ANY).prop_map(|(lines, cut)| {
        let mut bytes = lines.concat().into_bytes();
        if cut {
            bytes.pop();
        }
        bytes
    })
}

fn check(patch: &Patch, old: &[u8], new: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(patch.apply_exactly(old).unwrap(), new);
    prop_assert!(patch.is_applied(new));
    let printed = Patch::parse(patch.path(), &patch.print()).unwrap();
    prop_assert_eq!(printed.apply_exactly(old).unwrap(), new);
    Ok(())
}

proptest! {
    #[test]
    fn a_made_patch_does_what_it_was_made_for(old in text(), new in text()) {
        if old != new {
            let patch = Patch::make(&path(), &old, &new).unwrap();
            check(&patch, &old, &new)?;
            prop_assert_eq!(Patch::parse(&path(), &patch.print()), Ok(patch));
        }
    }

    #[test]
    fn git_s_patches_do_what_they_were_made_for(old in text(), new in text(), context in 0u32..5) {
        if old != new {
            let name = std::path::Path::new("src/x.md");
            let mut options = git2::DiffOptions::new();
            options.context_lines(context).force_text(true);
            let mut patch = git2::Patch::from_buffers(&old, Some(name), &new, Some(name), Some(&mut options)).unwrap();
            let text = patch.to_buf().unwrap().to_vec();
            check(&Patch::parse(&path(), &text).unwrap(), &old, &new)?;
        }
    }

    #[test]
    fn nothing_panics(text in prop::collection::vec(
        prop::sample::select(vec!["diff --git a/src/x.md b/src/x.md\n", "--- a/src/x.md\n", "+++ b/src/x.md\n",
            "@@ -1,2 +1,2 @@\n", "@@ -0,0 +1 @@\n", "@@ -1 +0,0 @@\n", "-a\n", "+b\n", " c\n", "\\ No newline\n",
            "-- \n", "\n", "\r\n", "\"", "index 1..2\n", "@@ -999999999,999999999 +1 @@\n"]), 0..12), base in text()) {
        if let Ok(patch) = Patch::parse(&path(), text.concat().as_bytes()) {
            let _ = patch.is_applied(&base);
            if let Ok(done) = patch.apply_exactly(&base) {
                prop_assert!(patch.is_applied(&done));
            }
        }
    }
}
