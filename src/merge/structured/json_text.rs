//! JSON text between its values: white space, comments, commas, lines.
//!
//! All functions take a text that [`check`] has passed and that the parser has understood.

use std::ops::Range;

/// What the parser would let pass, or could not bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Nested too deep.
    Depth,
    /// A control character in a string, or something else than white space between tokens, at a byte.
    Character(usize),
}

/// Looks for what the parser lets pass though JSON does not, and for nesting beyond `depth`.
pub(super) fn check(text: &str, depth: usize) -> Result<(), Flaw> {
    let bytes = text.as_bytes();
    let (mut at, mut level) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = string_end(bytes, at);
                if let Some(bad) = bytes[at..end].iter().position(|byte| *byte < b' ') {
                    return Err(Flaw::Character(at + bad));
                }
                at = end;
                continue;
            }
            b'/' => {
                let end = comment_end(bytes, at).unwrap_or(at + 1);
                // A line ends at LF: what some programs take for a line end would hide or show text.
                if let Some(bad) = (at..end).find(|at| lone_return(bytes, *at)) {
                    return Err(Flaw::Character(bad));
                }
                at = end;
                continue;
            }
            b'{' | b'[' => {
                level += 1;
                if level > depth {
                    return Err(Flaw::Depth);
                }
            }
            b'}' | b']' => level = level.saturating_sub(1),
            b'\t' | b'\n' => {}
            b'\r' if !lone_return(bytes, at) => {}
            byte if !(b' '..0x7f).contains(&byte) => return Err(Flaw::Character(at)),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn lone_return(bytes: &[u8], at: usize) -> bool {
    bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n')
}

/// Just behind a string.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Just behind a comment, if one begins here; the end of its line is not part of a line comment.
fn comment_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let cut = usize::from(length < rest.len() && rest[..length].ends_with(b"\r"));
        return Some(at + length - cut);
    }
    rest.starts_with(b"/*").then(|| {
        rest[2..].windows(2).position(|two| two == b"*/").map_or(bytes.len(), |length| at + length + 4)
    })
}

/// Behind white space and comments.
fn behind_trivia(text: &str, mut at: usize) -> usize {
    let bytes = text.as_bytes();
    loop {
        if matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            at += 1;
        } else if let Some(end) = comment_end(bytes, at) {
            at = end;
        } else {
            return at;
        }
    }
}

/// The comma that follows a value which ends here.
pub(super) fn comma_behind(text: &str, at: usize) -> Option<usize> {
    let at = behind_trivia(text, at);
    (text.as_bytes().get(at) == Some(&b',')).then_some(at)
}

/// The end of this line, before its line end, if only blanks and comments are left of it.
pub(super) fn rest_of_line(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t') => at += 1,
            Some(b'\n') => return Some(at),
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => return Some(at),
            Some(b'/') => {
                let end = comment_end(bytes, at)?;
                if bytes[at..end].contains(&b'\n') {
                    return None;
                }
                at = end;
            }
            _ => return None,
        }
    }
}

/// Behind blanks.
pub(super) fn behind_blanks(text: &str, at: usize) -> usize {
    at + text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len()
}

/// Where the line of a byte begins, if only blanks stand before it.
pub(super) fn own_line(text: &str, at: usize) -> Option<usize> {
    // Looks at the blanks only: a file on one line would cost its square otherwise.
    let start = text[..at].trim_end_matches([' ', '\t']).len();
    (start == 0 || text[..start].ends_with('\n')).then_some(start)
}

/// The blanks at the beginning of the line of a byte.
pub(super) fn indentation(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    &text[start..behind_blanks(text, start).min(at)]
}

/// Whether a value can stand in another document as it is: on one line, without comments or trailing commas.
pub(super) fn is_plain(slice: &str) -> bool {
    let bytes = slice.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'\n' | b'/' => return false,
            b',' if matches!(bytes.get(behind_trivia(slice, at + 1)), Some(b'}' | b']')) => return false,
            _ => at += 1,
        }
    }
    true
}

/// A text with some ranges replaced. Ranges do not overlap; insertions at one place keep their order.
pub(super) fn spliced(text: &str, mut splices: Vec<(Range<usize>, String)>) -> Option<String> {
    splices.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (range, new) in splices {
        out.push_str(text.get(done..range.start)?);
        out.push_str(&new);
        done = range.end;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}
