//! Unified diffs for people: what `--diff` prints.
//!
//! A pack's text reaches a terminal here, so no control character gets through: each is shown as its
//! picture (`␍` for a carriage return), tabs and line ends aside. The text is therefore for reading;
//! deliberately absent is any promise that it applies as a patch.

use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};

use super::text::{is_binary, is_large};

/// The unified diff from `old` to `new` under the header names given, with three lines of context; empty
/// if they are equal. Bytes that are no text, or too many, give one line that says so.
///
/// The names are printed as they are: a caller escapes what could hold control characters.
pub fn unified_diff(old_name: &str, new_name: &str, old: &[u8], new: &[u8]) -> String {
    if old == new {
        return String::new();
    }
    if is_binary(old) || is_binary(new) {
        return format!("Binary files {old_name} and {new_name} differ\n");
    }
    if is_large(old) || is_large(new) {
        return format!("Files {old_name} and {new_name} differ, and are too large to show\n");
    }
    let (old, new) = (printable(old), printable(new));
    if old == new {
        return format!("Files {old_name} and {new_name} differ in bytes that are not UTF-8\n");
    }
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(3)
        .header(old_name, new_name)
        .missing_newline_hint(true)
        .to_string()
}

/// What changed from one text to another, by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines<'t> {
    /// Lines of the new text that the old one has not there, each with its number, from 1.
    pub added: Vec<(usize, &'t [u8])>,
    /// How many lines of the old text are gone.
    pub removed: usize,
}

/// The lines that differ; `None` where one of the two is no text, or too large.
pub fn lines<'t>(old: &'t [u8], new: &'t [u8]) -> Option<Lines<'t>> {
    if [old, new].iter().any(|text| is_binary(text) || is_large(text)) {
        return None;
    }
    let split = |text: &'t [u8]| text.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>();
    let (old, new) = (split(old), split(new));
    let mut lines = Lines::default();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            lines.removed += op.old_range().len();
            lines.added.extend(op.new_range().map(|at| (at + 1, new[at])));
        }
    }
    Some(lines)
}

/// The text with control characters as pictures; tabs and line ends stay.
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            // The C1 controls have no pictures, and bidirectional overrides would reorder what is read.
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ() {
        let found = lines(b"a\nb\nc", b"a\nx\ny\nc\n").unwrap();
        assert_eq!(found.added, [(2, &b"x\n"[..]), (3, b"y\n"), (4, b"c\n")]);
        assert_eq!(found.removed, 2);
        assert_eq!(lines(b"", b"").unwrap(), Lines::default());
        assert_eq!(lines(b"\0", b""), None);
    }

    #[test]
    fn diffs() {
        let diff = |old: &str, new: &str| unified_diff("a/x", "b/x", old.as_bytes(), new.as_bytes());
        assert_eq!(diff("a\n", "a\n"), "");
        assert_eq!(
            diff("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nx\n6\n"),
            "--- a/x\n+++ b/x\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+x\n 6\n"
        );
        assert_eq!(diff("", "a\n"), "--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+a\n");
        assert_eq!(diff("a\n", "a"), "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n");
        assert_eq!(diff("a\0", "b"), "Binary files a/x and b/x differ\n");
        assert_eq!(
            unified_diff("a", "b", b"\xe4\n", b"\xf6\n"),
            "Files a and b differ in bytes that are not UTF-8\n"
        );
    }

    #[test]
    fn a_terminal_is_not_driven_by_a_pack() {
        let diff = unified_diff("a", "b", b"a\r\n", "\x1b[2J\u{9b}2J\u{202e}x\tb\n".as_bytes());
        assert_eq!(diff, "--- a\n+++ b\n@@ -1 +1 @@\n-a\u{240d}\n+\u{241b}[2J\u{fffd}2J\u{fffd}x\tb\n");
    }
}
