//! What is wrong with a fleet file, where, and what to do about it.
//!
//! A [`Problem`] carries a byte span, so that whoever prints it can underline the place; line and column
//! are derived from the text. Neither a message nor [`masked_source`] shows a secret: texts enter messages
//! through [`quoted`] only, and snippets are to be cut from the masked text, whose spans are the same.
//! Deliberately absent: rendering, which belongs to the command line.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// One thing that is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, as the reader knows it.
    pub file: String,
    /// Bytes of the file that are at fault; within the text, on character boundaries.
    pub span: Range<usize>,
    /// What is wrong, and why.
    pub message: String,
    /// A few words for the underlined place; may be empty.
    pub label: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    /// Line and column of the first character at fault, counted from 1; columns are characters.
    /// `text` is the file's text; a span beyond its end gives the place after the last character.
    pub fn line_column(&self, text: &str) -> (usize, usize) {
        line_column(text, self.span.start)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a fleet, in the order of files and places. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: BTreeSet<&str> = self.0.iter().map(|problem| problem.file.as_str()).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        match self.0.len() {
            1 => write!(f, "{files} has a problem"),
            count => write!(f, "{files}: {count} problems"),
        }
    }
}

/// Line and column, counted from 1, of a byte offset; beyond the end, of the end.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A text of the user in a message: in quotes, escaped, cut after 80 characters, passwords of URLs masked.
pub fn quoted(text: &str) -> String {
    let text = masked_source(text);
    let mut shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The text with every secret that packfleet can recognise overwritten by `*`, byte for byte: user names
/// and passwords in URLs, paths of webhook URLs, and values of keys whose names speak of a secret. Spans
/// of the original hold in the result. Snippets of a fleet file are shown from this text, never from the file.
pub fn masked_source(text: &str) -> String {
    let mut secrets = Vec::new();
    for (at, _) in text.match_indices("://") {
        secrets.extend(secret_of_url(text, at + 3));
    }
    secrets.extend(text.match_indices('@').filter_map(|(at, _)| secret_before(text, at)));
    for word in ["secret", "password", "passwd", "token"] {
        // What is masked already is not looked at again: a long line would cost its square.
        let mut masked = 0;
        for (at, _) in text.match_indices(word) {
            if let Some(value) = secret_value(text, at + word.len()).filter(|_| at >= masked) {
                masked = value.end;
                secrets.push(value);
            }
        }
    }
    let mut bytes = text.as_bytes().to_vec();
    for byte in secrets.into_iter().flatten() {
        // Line ends stay, so that lines keep their numbers.
        if !matches!(bytes[byte], b'\n' | b'\r') {
            bytes[byte] = b'*';
        }
    }
    // Whole characters are overwritten, so this is UTF-8 still.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is secret in a URL whose authority begins at `start`.
fn secret_of_url(text: &str, start: usize) -> Option<Range<usize>> {
    // No URL is longer; without a bound, a hostile text would cost its square.
    let near = &text[start..text.floor_char_boundary(start + 8192)];
    let end = |stop: &[char]| near.find(stop).map_or(start + near.len(), |length| start + length);
    let authority_end = end(&['/', '?', '#', '"', '\'', ' ', '\t', '\n', '\r', '\\']);
    let authority = &text[start..authority_end];
    let url_end = end(&['"', '\'', ' ', '\t', '\n', '\r']);
    if authority.starts_with("hooks.") {
        return Some(authority_end..url_end);
    }
    if let Some(at) = authority.rfind('@') {
        let user = &authority[..at];
        let ssh = text[..start].ends_with("ssh://");
        return (!ssh || user.contains(':')).then_some(start..start + at);
    }
    // A password with a raw `/`, `?` or `#` in it ends the authority too early.
    let port = authority.split_once(':').map_or("", |(_, port)| port);
    let odd = !authority.starts_with('[') && !port.bytes().all(|byte| byte.is_ascii_digit());
    let at = if odd { text[start..url_end].rfind('@')? } else { return None };
    Some(start..start + at)
}

/// What is secret in a word without `://` up to the `@` at `at`: `user:password@host:path`, `https:/user:password@host`.
fn secret_before(text: &str, at: usize) -> Option<Range<usize>> {
    // No user name or password is longer; without a bound, a hostile text would cost its square.
    let near = &text[text.ceil_char_boundary(at.saturating_sub(1024))..at];
    let word = &near[near.rfind(['"', '\'', ' ', '\t', '\n', '\r']).map_or(0, |space| space + 1)..];
    let colon = word.find(':').filter(|_| !word.contains("://"))?;
    Some(at - word.len() + colon + 1..at)
}

/// The value after `key =`, where the key ends at or after `start`; a table is no secret.
fn secret_value(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    let near = &rest[..rest.floor_char_boundary(128)];
    let key = near.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '"' | '\'')))?;
    let rest = rest[key..].trim_start_matches([' ', '\t']);
    let value = rest.strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let from = text.len() - value.len();
    // A table, or what is masked with a number that tells it from others.
    if value.starts_with('{') || value.starts_with("[secret ") {
        return None;
    }
    for quote in ["\"\"\"", "'''"] {
        if let Some(inner) = value.strip_prefix(quote) {
            let length = inner.find(quote).unwrap_or(inner.len());
            return Some(from + 3..from + 3 + length);
        }
    }
    let line = value.find(['\n', '\r']).unwrap_or(value.len());
    Some(from..from + line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "a\näö = 1\n";
        for (offset, expected) in
            [(0, (1, 1)), (1, (1, 2)), (2, (2, 1)), (6, (2, 3)), (3, (2, 1)), (99, (3, 1))]
        {
            assert_eq!(line_column(text, offset), expected, "{offset}");
        }
    }

    #[test]
    fn secrets_are_overwritten_byte_for_byte() {
        for (text, expected) in [
            ("url = \"https://bob:hunter2@example.org/x\"", "url = \"https://***********@example.org/x\""),
            ("url = \"https://tökn@example.org/x\"", "url = \"https://*****@example.org/x\""),
            ("url = \"https://bob:hun/ter2@example.org/x\"", "url = \"https://************@example.org/x\""),
            ("url = \"ssh://git@example.org/x\"", "url = \"ssh://git@example.org/x\""),
            ("url = \"https://example.org:80/a@b\" # x@y", "url = \"https://example.org:80/a@b\" # x@y"),
            ("url = \"https://[::1]/a@b\"", "url = \"https://[::1]/a@b\""),
            ("url = \"https://hooks.example.org/T/B\"", "url = \"https://hooks.example.org****\""),
            ("url = \"https:/bob:hunter2@example.org\"", "url = \"https:************@example.org\""),
            ("url = \"bob:hunter2@example.org:x\"", "url = \"bob:*******@example.org:x\""),
            ("url = \"git@example.org:x\"", "url = \"git@example.org:x\""),
            ("webhook_secret = \"x\" # y\na = 1", "webhook_secret = *******\na = 1"),
            ("webhok_secret=\"\"\"x\ny\"\"\"\na = 1", "webhok_secret=\"\"\"*\n*\"\"\"\na = 1"),
            ("webhook_secret = { env = \"E\" }", "webhook_secret = { env = \"E\" }"),
            ("secret", "secret"),
        ] {
            let masked = masked_source(text);
            assert_eq!(masked, expected);
            assert_eq!(masked.len(), text.len());
        }
        assert!(!quoted("https://bob:hunter2@h").contains("hunter2"));
    }
}
