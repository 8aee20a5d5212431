//! Reading a unified diff, line by line.
//!
//! Comment, headers, hunks, and at most a mail's signature behind them. Whatever is not known to be harmless
//! is refused: a patch that packfleet understands half would be applied half. Numbers are checked against the
//! lines, and the two positions of each hunk against the hunks above it.

use super::{Hunk, Line, PatchError, Side, header, shown};
use crate::model::TreePath;

/// Larger numbers in a hunk header are no line numbers, and could overflow.
const MAX_NUMBER: usize = 1_000_000_000;

/// Reads one patch.
pub(super) struct Parser<'a> {
    path: &'a TreePath,
    lines: Vec<&'a [u8]>,
    /// Index of the line that is next.
    at: usize,
}

impl<'a> Parser<'a> {
    /// A parser of the patch of `path`.
    pub(super) fn new(path: &'a TreePath, text: &'a [u8]) -> Self {
        Self { path, lines: super::lines(text), at: 0 }
    }

    /// All hunks, in order.
    pub(super) fn run(mut self) -> Result<Vec<Hunk>, PatchError> {
        let comment = self.comment()?;
        if self.begins(b"diff --git ") {
            self.git_header()?;
        }
        self.names()?;
        let mut hunks: Vec<Hunk> = Vec::new();
        while self.begins(b"@@ ") {
            let hunk = self.hunk(hunks.len() + 1)?;
            let (old_end, growth) = hunks.last().map_or((0, 0), |above| {
                let counts = above.counts();
                (above.old_at + counts.0, signed(above.new_at + counts.1) - signed(above.old_at + counts.0))
            });
            if hunk.old_at < old_end || signed(hunk.new_at) - signed(hunk.old_at) != growth {
                return Err(PatchError::Order { hunk: hunks.len() + 1, line: hunk.header });
            }
            hunks.push(hunk);
        }
        self.trailer(comment, hunks.len())?;
        if hunks.is_empty() {
            return Err(PatchError::Empty);
        }
        end_marks(&hunks)?;
        Ok(hunks)
    }

    fn begins(&self, prefix: &[u8]) -> bool {
        self.lines.get(self.at).is_some_and(|line| line.starts_with(prefix))
    }

    /// The number of the line that is next, from 1.
    fn number(&self) -> usize {
        self.at + 1
    }

    /// The next line without its end, which must be LF.
    fn header_line(&mut self) -> Result<&'a [u8], PatchError> {
        let line = self.number();
        let Some(bytes) = self.lines.get(self.at) else {
            return Err(PatchError::NoHeader { line, path: self.path.clone() });
        };
        self.at += 1;
        let bytes = bytes.strip_suffix(b"\n").ok_or(PatchError::CutOff { line })?;
        if bytes.ends_with(b"\r") {
            return Err(PatchError::LineEnds { line });
        }
        Ok(bytes)
    }

    /// Goes to the first header; says whether there was comment above it.
    fn comment(&mut self) -> Result<bool, PatchError> {
        while let Some(line) = self.lines.get(self.at) {
            if line.starts_with(b"diff --git ") || self.begins_names() {
                return Ok(self.at > 0);
            }
            if is_binary_mark(line) {
                return Err(PatchError::Binary);
            }
            if line.starts_with(b"@@ -") || line.starts_with(b"+++ ") {
                break;
            }
            self.at += 1;
        }
        if self.lines.iter().all(|line| line.trim_ascii().is_empty()) {
            return Err(PatchError::Empty);
        }
        Err(PatchError::NoHeader { line: self.number().min(self.lines.len()), path: self.path.clone() })
    }

    fn begins_names(&self) -> bool {
        self.begins(b"--- ") && self.lines.get(self.at + 1).is_some_and(|line| line.starts_with(b"+++ "))
    }

    fn git_header(&mut self) -> Result<(), PatchError> {
        let line = self.number();
        let names = self.header_line()?.strip_prefix(b"diff --git ").unwrap_or_default();
        if !header::means_twice(names, self.path) {
            return Err(PatchError::OtherFile { line, named: shown(names), path: self.path.clone() });
        }
        while self.at < self.lines.len() && !self.begins(b"--- ") {
            let line = self.number();
            let bytes = self.header_line()?;
            let begins = |words: &[&str]| words.iter().any(|word| bytes.starts_with(word.as_bytes()));
            if begins(&["new file mode ", "deleted file mode "]) {
                return Err(PatchError::Existence { line });
            } else if begins(&["old mode ", "new mode "]) {
                return Err(PatchError::Mode { line });
            } else if begins(&["rename ", "copy ", "similarity index "]) {
                return Err(PatchError::Rename { line });
            } else if begins(&["diff "]) {
                return Err(PatchError::SecondFile { line });
            } else if is_binary_mark(bytes) {
                return Err(PatchError::Binary);
            } else if let Some(index) = bytes.strip_prefix(b"index ") {
                let mode = index.split(|byte| *byte == b' ').nth(1);
                if mode.is_some_and(|mode| mode != b"100644" && mode != b"100755") {
                    return Err(PatchError::Mode { line });
                }
            } else if begins(&["@@ "]) {
                return Err(PatchError::NoHeader { line, path: self.path.clone() });
            } else if !begins(&["dissimilarity index "]) {
                return Err(PatchError::Stray { line, found: shown(bytes) });
            }
        }
        if self.at == self.lines.len() { Err(PatchError::Empty) } else { Ok(()) }
    }

    /// The two lines with the file's name.
    fn names(&mut self) -> Result<(), PatchError> {
        for mark in [b"--- ", b"+++ "] {
            let line = self.number();
            let bytes = self.header_line()?;
            let Some(rest) = bytes.strip_prefix(mark) else {
                return Err(PatchError::NoHeader { line, path: self.path.clone() });
            };
            let name = header::name(rest);
            if name == b"/dev/null" {
                return Err(PatchError::Existence { line });
            }
            if !header::means(&name, self.path) {
                return Err(PatchError::OtherFile { line, named: shown(&name), path: self.path.clone() });
            }
        }
        Ok(())
    }

    fn hunk(&mut self, number: usize) -> Result<Hunk, PatchError> {
        let header = self.number();
        let line = self.lines[self.at];
        let Some(([old_at, mut old], [new_at, mut new])) = ranges(line) else {
            return Err(PatchError::HunkHeader { line: header, found: shown(line) });
        };
        self.at += 1;
        let mut hunk = Hunk { header, old_at, new_at, lines: Vec::new() };
        while old > 0 || new > 0 {
            let counts = PatchError::Counts { hunk: number, line: self.number() };
            let Some(line) = self.lines.get(self.at) else { return Err(counts) };
            let (side, bytes) = match line.first() {
                Some(b' ') => (Side::Both, &line[1..]),
                // What is left of an empty line of context when an editor has cut spaces at line ends.
                Some(b'\n') => (Side::Both, *line),
                Some(b'-') => (Side::Old, &line[1..]),
                Some(b'+') => (Side::New, &line[1..]),
                _ => return Err(counts),
            };
            if !bytes.ends_with(b"\n") {
                return Err(PatchError::CutOff { line: self.number() });
            }
            let takes = |side_taken: bool, count: usize| count.checked_sub(usize::from(side_taken));
            match (takes(side != Side::New, old), takes(side != Side::Old, new)) {
                (Some(left_old), Some(left_new)) => (old, new) = (left_old, left_new),
                _ => return Err(counts),
            }
            self.at += 1;
            let mut bytes = bytes.to_vec();
            if self.begins(b"\\ ") {
                self.at += 1;
                bytes.pop();
            }
            hunk.lines.push(Line { side, bytes });
        }
        if hunk.lines.iter().all(|line| line.side == Side::Both) {
            return Err(PatchError::NoChange { hunk: number, line: header });
        }
        Ok(hunk)
    }

    /// Nothing but blank lines, or a mail's signature, may follow the hunks.
    fn trailer(&mut self, comment: bool, hunks: usize) -> Result<(), PatchError> {
        // `git format-patch` ends with it; without a mail's head it could be a line that the counts forgot.
        if comment && self.lines.get(self.at).is_some_and(|line| *line == b"-- \n") {
            let version = self.lines.get(self.at + 1).copied().unwrap_or_default();
            if version.first().is_none_or(u8::is_ascii_digit) {
                self.at += 2;
            }
        }
        while let Some(bytes) = self.lines.get(self.at) {
            let line = self.number();
            if is_binary_mark(bytes) {
                return Err(PatchError::Binary);
            }
            if bytes.starts_with(b"diff ") || self.begins_names() {
                return Err(PatchError::SecondFile { line });
            }
            match bytes.first() {
                _ if bytes.trim_ascii().is_empty() && bytes.first() != Some(&b' ') => self.at += 1,
                Some(b' ' | b'+' | b'-') if hunks > 0 => {
                    return Err(PatchError::Counts { hunk: hunks, line });
                }
                Some(b'\\') if hunks > 0 => return Err(PatchError::EndMark { hunk: hunks, line }),
                _ => return Err(PatchError::Stray { line, found: shown(bytes) }),
            }
        }
        Ok(())
    }
}

impl Hunk {
    /// Numbers of old and of new lines.
    fn counts(&self) -> (usize, usize) {
        let count = |left_out| self.lines.iter().filter(|line| line.side != left_out).count();
        (count(Side::New), count(Side::Old))
    }
}

/// Positions differ by less than the largest number, so that this is exact.
fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn is_binary_mark(line: &[u8]) -> bool {
    line.starts_with(b"GIT binary patch") || line.starts_with(b"Binary files ")
}

/// A line without a newline ends the file: nothing of its side may follow, in its hunk or a later one.
fn end_marks(hunks: &[Hunk]) -> Result<(), PatchError> {
    for left_out in [Side::New, Side::Old] {
        let mut ended = false;
        for (index, hunk) in hunks.iter().enumerate() {
            for line in hunk.lines.iter().filter(|line| line.side != left_out) {
                if ended {
                    return Err(PatchError::EndMark { hunk: index + 1, line: hunk.header });
                }
                ended = !line.bytes.ends_with(b"\n");
            }
        }
    }
    Ok(())
}

/// Position and count on both sides: `@@ -1,2 +3,4 @@ anything`.
fn ranges(line: &[u8]) -> Option<([usize; 2], [usize; 2])> {
    let text = line.strip_prefix(b"@@ -")?;
    let end = text.windows(3).position(|window| window == b" @@")?;
    let (numbers, heading) = (std::str::from_utf8(&text[..end]).ok()?, &text[end + 3..]);
    if heading != b"\n" && !(heading.starts_with(b" ") && heading.ends_with(b"\n")) {
        return None;
    }
    let (old, new) = numbers.split_once(" +")?;
    Some((range(old)?, range(new)?))
}

/// The number of lines before a range, and in it.
fn range(text: &str) -> Option<[usize; 2]> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= MAX_NUMBER)
    };
    let (start, count) = match text.split_once(',') {
        Some((start, count)) => (number(start)?, number(count)?),
        None => (number(text)?, 1),
    };
    // Without lines, the start names the line above; with lines, the first of them.
    let before = if count == 0 { start } else { start.checked_sub(1)? };
    Some([before, count])
}
