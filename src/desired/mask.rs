//! What no report shows of a text, beside what the rules find: values that a name calls secret, and all of files that
//! hold secrets.
//!
//! ```text
//! the path says so ─► every value, or every line
//! otherwise        ─► each word: is it a secret's name, and is something assigned to it? ─► the value: a quotation, the
//!                     rest of the line, or the block below
//!                  ─► `name: API_TOKEN`: is a `value:` beside it, behind or before?       ─► that value
//!                  ─► commands and their options (`mysql -p…`)                            ─► what the option takes
//! ```
//! It prefers too much: where a value ends is not known in every language, so one without quotation marks goes on to the
//! end of its line. What it names is hidden from reports only; nothing is refused because of it. Lines without a word
//! are left, for they show nothing. Deliberately absent: parsers.

mod beside;

use std::collections::BTreeSet;
use std::ops::Range;

use regex::bytes::Regex;
use serde::Deserialize;

use super::secrets::{RulesError, compiled};

/// How far the end of a quotation is looked for.
const FAR: usize = 64 << 10;
/// Between a command and one of its options: no other command, and no end of the line but one that goes on.
const ARGUMENTS: &str =
    r#"(?:[^\n|;&]|\\\r?\n|,[ \t]*\r?\n|\r?\n[ \t]*-[ \t])*?(?:[\s"'`,\[(]|\r?\n[ \t]*-[ \t]+)"#;
/// Between an option and what it takes, in a command, a list of a line, or a list of several.
const GAP: &str = r#"(?:["']?(?:[ \t]*,\s*|[ \t]*\r?\n[ \t]*-[ \t]+|[ \t]+)|=)"#;
/// What an option takes.
const ARGUMENT: &str = r#"(\\?"[^"\n]+"?|\\?'[^'\n]+'?|[^\s"'`;|&)\]]+)"#;

/// A text whose secrets are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text<'p> {
    /// A file's, with its path.
    File(&'p str),
    /// Words about something: a report, or what a command printed. A colon in them is punctuation more often than not.
    Words,
}

#[derive(Deserialize)]
pub(super) struct RawMask {
    named: String,
    whole: String,
    words: BTreeSet<String>,
    endings: Vec<String>,
    pairs: Vec<String>,
    plain: String,
    anywhere: Vec<String>,
    label: String,
    given: String,
    between: String,
    object: String,
    held: String,
    commands: Vec<[String; 2]>,
}

/// What is hidden, compiled.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    named: Regex,
    whole: Regex,
    words: BTreeSet<String>,
    endings: Vec<String>,
    pairs: Vec<String>,
    plain: Regex,
    /// The same, at the beginning of a value.
    plain_first: Regex,
    anywhere: Vec<Regex>,
    /// What says that a name comes, and the name.
    label: Regex,
    /// What says that the value of such a name comes.
    given: Regex,
    /// Where another name's part begins.
    between: Regex,
    /// An object of which all is secret, and where that stands.
    object: Regex,
    held: Regex,
    /// A line that gives a name something: up to what it gives.
    name: Regex,
    /// A word that may be a name.
    word: Regex,
    /// What may stand before a name that begins a block.
    head: Regex,
    /// The head of a table.
    table: Regex,
}

impl Mask {
    pub(super) fn new(raw: RawMask) -> Result<Self, RulesError> {
        let regex = |text: &str| compiled(text.to_owned(), "the mask");
        Ok(Self {
            named: regex(&raw.named)?,
            whole: regex(&raw.whole)?,
            words: raw.words,
            endings: raw.endings,
            pairs: raw.pairs,
            plain: regex(&format!("^(?:{})$", raw.plain))?,
            plain_first: regex(&format!(r#"^({})(?:[\s,;)\]}}"'`|{{=>]|$)"#, raw.plain))?,
            anywhere: raw
                .anywhere
                .iter()
                .cloned()
                .chain(
                    raw.commands.iter().map(|[command, option]| {
                        format!(r"\b(?:{command})\b{ARGUMENTS}(?:{option}){ARGUMENT}")
                    }),
                )
                .map(|text| regex(&text.replace("{gap}", GAP).replace("{argument}", ARGUMENT)))
                .collect::<Result<_, _>>()?,
            label: regex(&format!(
                r#"(?i)([a-z0-9_.-]*(?:{}))(?:["'`\\]*[ \t]*(?:=>|[=:>])[ \t]*["'`\\]*|[ \t]+["'])([a-z_][a-z0-9_.:/ -]*)"#,
                raw.label
            ))?,
            given: regex(&format!("(?i)[a-z0-9_.-]*(?:{})", raw.given))?,
            between: regex(&raw.between)?,
            object: regex(&raw.object)?,
            held: regex(&raw.held)?,
            name: regex(
                r#"^[ \t]*(?:[-,{(\[][ \t]*)*(?:(?:export|set|const|let|var)[ \t]+)?["'`]?([A-Za-z_][A-Za-z0-9_.-]*)["'`]?[ \t]*(?:=>|:=|[=:])"#,
            )?,
            word: regex("[A-Za-z_][A-Za-z0-9_.-]*")?,
            head: regex(
                r#"^[ \t]*(?:-[ \t]+)*(?:(?:export|set|const|let|var|my|local|readonly|static|public|private|pub)[ \t]+)*["'`]?$"#,
            )?,
            table: regex(r#"^[ \t]*\[{1,2}[ \t]*([A-Za-z0-9_."' -]+?)[ \t]*\]{1,2}[ \t]*(?:[#;].*)?$"#)?,
        })
    }

    /// What is to be hidden, in no order, and maybe twice.
    pub(super) fn spans(&self, what: Text<'_>, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        match what {
            Text::File(path) if self.whole.is_match(path.as_bytes()) => {
                found.extend(lines(text, 0..text.len()).filter_map(|line| bare(text, line)));
            }
            Text::File(path) if self.named.is_match(path.as_bytes()) => self.values(text, &mut found),
            Text::File(_) => {
                self.tables(text, &mut found);
                self.objects(what, text, &mut found);
                self.assigned(what, text, &mut found);
                self.beside(what, text, &mut found);
            }
            Text::Words => {
                self.assigned(what, text, &mut found);
                self.beside(what, text, &mut found);
            }
        }
        for regex in &self.anywhere {
            let hits =
                regex.captures_iter(text).filter_map(|captures| captures.iter().skip(1).flatten().next());
            found.extend(
                hits.filter(|hit| !self.is_plain(unquoted(hit.as_bytes())) && !is_port(hit.as_bytes()))
                    .map(|hit| hit.range()),
            );
        }
        found
    }

    /// Every value of a file that holds secrets.
    fn values(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut open: Option<u8> = None;
        for line in lines(text, 0..text.len()) {
            if let Some(quote) = open {
                if text[line.clone()].contains(&quote) {
                    open = None;
                }
                found.extend(bare(text, line));
                continue;
            }
            let Some(span) = self.value_of(text, line) else { continue };
            let value = &text[span.clone()];
            if let Some(quote @ (b'"' | b'\'' | b'`')) = value.first()
                && !value[1..].contains(quote)
            {
                open = Some(*quote);
            }
            found.push(span);
        }
    }

    /// What a line gives its name, or all of a line without a name.
    fn value_of(&self, text: &[u8], line: Range<usize>) -> Option<Range<usize>> {
        let bytes = &text[line.clone()];
        let Some((name, whole)) = self.name.captures(bytes).and_then(|it| Some((it.get(1)?, it.get(0)?)))
        else {
            return bare(text, line);
        };
        let value = trimmed(text, line.start + whole.end()..line.end);
        let padding = text[value.clone()].iter().all(|byte| *byte == b'=');
        let long = name.len() >= 16
            && name.as_bytes().iter().any(u8::is_ascii_lowercase)
            && name.as_bytes().iter().any(u8::is_ascii_uppercase);
        if padding && (!value.is_empty() || long) {
            // The end of something encoded, which is no name.
            return bare(text, line);
        }
        (!is_structure(&text[value.clone()])).then_some(value)
    }

    /// Values of tables that are called secret.
    fn tables(&self, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut inside = false;
        for line in lines(text, 0..text.len()) {
            if let Some(head) = self.table.captures(&text[line.clone()]).and_then(|it| it.get(1)) {
                inside = self.is_secret(head.as_bytes());
            } else if inside {
                found.extend(self.value_of(text, line).filter(|span| !self.is_plain(&text[span.clone()])));
            }
        }
    }

    /// Values that a name calls secret.
    fn assigned(&self, what: Text<'_>, text: &[u8], found: &mut Vec<Range<usize>>) {
        let mut at = 0;
        while let Some(word) = self.word.find_at(text, at) {
            at = word.end();
            if !self.is_secret(word.as_bytes()) {
                continue;
            }
            let Some((after, sign)) = sign(text, word.range()) else { continue };
            if what == Text::Words && sign == Sign::Colon && !is_clear(text, word.range()) {
                continue;
            }
            at = at.max(self.behind(what, text, word.range(), (after, sign), found));
        }
    }

    /// Finds the value behind a name and its sign, and where to go on.
    fn behind(
        &self,
        what: Text<'_>,
        text: &[u8],
        word: Range<usize>,
        (after, sign): (usize, Sign),
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        if sign == Sign::Tag {
            let end = text[after..].iter().position(|byte| *byte == b'<').map_or(after, |end| after + end);
            found.extend(lines(text, after..end).filter_map(|line| bare(text, line)));
            return end;
        }
        let start = text[..word.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let heads = what != Text::Words && self.head.is_match(&text[start..word.start]);
        let of = Of { what, key: &text[word], head: heads.then(|| column(&text[start..])) };
        self.value(text, after, &of, found)
    }

    /// Finds one value, and where to go on.
    fn value(&self, text: &[u8], at: usize, of: &Of<'_>, found: &mut Vec<Range<usize>>) -> usize {
        let end = text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |end| at + end);
        let rest = trimmed(text, at..end);
        let (start, end) = (rest.start, rest.end);
        let value = &text[rest.clone()];
        if is_structure(value) {
            return match of.head {
                Some(indent) if !(value.is_empty() && of.is_prose()) => {
                    self.block(text, end, indent, value, found)
                }
                _ => start,
            };
        }
        if value.starts_with(b"[secret ") {
            return start + 8;
        }
        if let quote @ (b'"' | b'\'' | b'`') = value[0] {
            return self.quotation(text, rest, quote, found);
        }
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let counts = digits > 0
            && of.key.to_ascii_lowercase().ends_with(b"tokens")
            && value.get(digits).is_none_or(|next| next.is_ascii_whitespace() || b",;)]}".contains(next));
        let plain = self.plain_first.captures(value).and_then(|it| it.get(1)).map(|it| it.end());
        if let Some(length) = plain.or(counts.then_some(digits)) {
            let token = &value[..length];
            // A kind may be followed by a value.
            let after = &value[token.len()..];
            let stop = after.iter().position(|byte| b"=,;)".contains(byte));
            return match stop.map(|stop| (after[stop], after.get(stop + 1), start + token.len() + stop + 1)) {
                Some((b'=', next, after)) if !matches!(next, Some(b'=' | b'>')) => {
                    self.value(text, after, &Of { head: None, ..*of }, found)
                }
                _ => start + token.len(),
            };
        }
        found.push(rest);
        if of.is_yaml()
            && let Some(indent) = of.head
        {
            return self.block(text, end, indent, b"", found);
        }
        let mut end = end;
        while end > start && text[end - 1] == b'\\' && end < text.len() {
            let Some(line) = lines(text, end..text.len()).nth(1) else { break };
            end = line.end;
            found.extend(bare(text, line));
        }
        end
    }

    /// A value in quotation marks; more on its line belongs to it, unless it plainly does not.
    fn quotation(&self, text: &[u8], rest: Range<usize>, quote: u8, found: &mut Vec<Range<usize>>) -> usize {
        let far = text.len().min(rest.end + FAR);
        let (start, triple) = (rest.start + 1, [quote; 3]);
        if text[rest.clone()].starts_with(&triple) {
            let start = start + 2;
            let end = text[start..far].windows(3).position(|three| three == triple);
            let end = end.map_or(rest.end, |end| start + end);
            found.extend(lines(text, start..end).filter_map(|line| bare(text, line)));
            return end;
        }
        let close = |until: usize| {
            let mut escaped = false;
            text[start..until].iter().position(|byte| {
                let closes = *byte == quote && !escaped;
                escaped = *byte == b'\\' && !escaped;
                closes
            })
        };
        let Some(close) = close(rest.end).map(|at| start + at) else {
            let end = close(far).map_or(rest.end, |at| start + at);
            found.extend(lines(text, start..end).filter_map(|line| bare(text, line)));
            return end;
        };
        let after = text[close + 1..rest.end].trim_ascii_start();
        let apart = text[close + 1..rest.end].len() > after.len();
        let ends = after.first().is_none_or(|next| {
            b",;)]}>#".contains(next)
                || after.starts_with(b"/>")
                || (apart && (next.is_ascii_alphabetic() || b"-/|&".contains(next)))
        });
        if !ends {
            found.push(rest.clone());
            return rest.end;
        }
        if start < close && !self.is_plain(&text[start..close]) {
            found.push(start..close);
        }
        close + 1
    }

    /// Lines below a name that belong to it.
    fn block(
        &self,
        text: &[u8],
        end: usize,
        at: usize,
        opens: &[u8],
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        let (literal, mut end) = (opens.first().is_some_and(|first| b"|>".contains(first)), end);
        for line in lines(text, end..text.len()).skip(1) {
            let bytes = &text[line.clone()];
            if !bytes.trim_ascii().is_empty() && !is_marker(bytes) {
                let inside = indent(bytes);
                let item = inside == at && bytes.trim_ascii_start().starts_with(b"- ");
                if inside <= at && !item {
                    break;
                }
                let span = if literal { bare(text, line.clone()) } else { self.value_of(text, line.clone()) };
                found.extend(span.filter(|span| !self.is_plain(&text[span.clone()])));
            }
            end = line.end;
        }
        end
    }

    /// Whether a name is one of a secret.
    fn is_secret(&self, name: &[u8]) -> bool {
        let words = words(name);
        let ends = |word: &String| self.endings.iter().any(|ending| word.ends_with(ending.as_str()));
        words.iter().any(|word| self.words.contains(word) || ends(word))
            || words.windows(2).any(|two| self.pairs.iter().any(|pair| two.concat().ends_with(pair.as_str())))
    }

    fn is_plain(&self, value: &[u8]) -> bool {
        self.plain.is_match(value)
    }
}

/// Whose value is looked for.
#[derive(Clone, Copy)]
struct Of<'a> {
    what: Text<'a>,
    key: &'a [u8],
    /// How far its line is indented, if it begins it.
    head: Option<usize>,
}

impl Of<'_> {
    fn ends_with(&self, endings: &[&str]) -> bool {
        matches!(self.what, Text::File(path) if endings.iter().any(|ending| path.ends_with(ending)))
    }

    fn is_yaml(&self) -> bool {
        self.ends_with(&[".yaml", ".yml"])
    }

    /// Where a colon at the end of a line introduces sentences.
    fn is_prose(&self) -> bool {
        self.ends_with(&[".md", ".txt", ".rst", ".adoc"])
    }
}

/// What gives a name its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Equals,
    Colon,
    /// Nothing but blanks, behind an option of a command.
    Option,
    /// `<name>`, and its end comes.
    Tag,
}

/// What follows a name, and where the value begins.
fn sign(text: &[u8], name: Range<usize>) -> Option<(usize, Sign)> {
    let before = &text[..name.start];
    let rest = &text[name.end..];
    if before.ends_with(b"<")
        && let Some(end) =
            rest.iter().position(|byte| b"<>\n".contains(byte)).filter(|end| rest[*end] == b'>')
    {
        let close = [b"</", &text[name.clone()]].concat();
        let far = &rest[end..rest.len().min(end + FAR)];
        return far.windows(close.len()).any(|at| at == close).then_some((name.end + end + 1, Sign::Tag));
    }
    let quotes = rest.iter().take(4).take_while(|byte| b"\"'`]\\?".contains(byte)).count();
    let blanks = rest[quotes..].iter().take_while(|byte| b" \t".contains(byte)).count();
    let at = quotes + blanks;
    let length = match &rest[at..] {
        [b'=', b'=' | b'~', ..] | [b':', b':', ..] => return None,
        [b'=', b'>', ..] | [b':' | b'?' | b'+', b'=', ..] => Some((2, Sign::Equals)),
        [b'=', ..] => Some((1, Sign::Equals)),
        [b':', ..] => Some((1, Sign::Colon)),
        _ => None,
    };
    if let Some((length, sign)) = length {
        return Some((name.end + at + length, sign));
    }
    let option = before.ends_with(b"-") && quotes == 0 && blanks > 0;
    let dashes = before.iter().rev().take_while(|byte| **byte == b'-').count();
    let begins = before[..before.len() - dashes].last().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let value = rest.get(at).is_some_and(|byte| !b"\n\r-|&;<>".contains(byte));
    if option && begins && value && dashes <= 2 {
        return Some((name.end + at, Sign::Option));
    }
    let item = next_item(rest).filter(|_| before.ends_with(b"-") && begins && dashes <= 2)?;
    Some((name.end + item, Sign::Option))
}

/// Behind an option that is an item of a list: the item that follows it, which is no option.
fn next_item(rest: &[u8]) -> Option<usize> {
    let count = |at: usize, of: &[u8]| rest[at..].iter().take_while(|byte| of.contains(byte)).count();
    let mut at = count(0, b"\"'");
    at += count(at, b" \t");
    let listed = rest.get(at) == Some(&b',');
    at += usize::from(listed);
    at += count(at, b" \t\r\n");
    if !listed {
        rest[at..].strip_prefix(b"- ")?;
        at += 2 + count(at + 2, b" \t");
    }
    let quotes = count(at, b"\"'");
    let value = rest.get(at + quotes).is_some_and(|byte| !b"-\r\n".contains(byte));
    (value && (quotes > 0 || !listed)).then_some(at)
}

/// Without the quotation marks around it.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [first @ (b'"' | b'\''), inner @ .., last] if first == last => inner,
        _ => value,
    }
}

/// Whether a name before a colon is plainly one, among words.
fn is_clear(text: &[u8], name: Range<usize>) -> bool {
    let word = &text[name.clone()];
    let quoted = text[..name.start].last().is_some_and(|byte| b"\"'`".contains(byte));
    let lower = word.to_ascii_lowercase();
    let strong =
        ["password", "passwd", "passphrase", "authorization", "cookie", "api-key", "api_key", "apikey"];
    // A name that a line begins with, and a value of one word that is no plain one: settings that a command prints.
    let start = text[..name.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = text[name.end..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| name.end + at);
    let begins = text[start..name.start].iter().all(|byte| b" \t-".contains(byte));
    let mut values =
        text[name.end..end].split(|byte| b" \t\r:".contains(byte)).filter(|part| !part.is_empty());
    let is_odd = |value: &[u8]| value.len() >= 16 || !value.iter().all(u8::is_ascii_lowercase);
    let alone = begins && values.next().is_some_and(is_odd) && values.next().is_none();
    quoted
        || alone
        || !word.iter().any(u8::is_ascii_lowercase)
        || strong.iter().any(|ending| lower.ends_with(ending.as_bytes()))
}

/// A name's words, in lower case: `authToken`, `AUTH_TOKEN` and `auth-token` have the same two.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut begins = true;
    for (at, byte) in name.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            begins = true;
            continue;
        }
        let before = at.checked_sub(1).map(|before| name[before]);
        let humps = byte.is_ascii_uppercase()
            && (before.is_some_and(|before| !before.is_ascii_uppercase())
                || name.get(at + 1).is_some_and(u8::is_ascii_lowercase));
        let letter = char::from(byte.to_ascii_lowercase());
        match words.last_mut() {
            Some(word) if !begins && !humps => word.push(letter),
            _ => words.push(letter.into()),
        }
        begins = false;
    }
    words
}

/// The lines of a part of a text, without their ends.
fn lines(text: &[u8], part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = part.start;
    text[part].split(|byte| *byte == b'\n').map(move |line| {
        let range = start..start + line.strip_suffix(b"\r").unwrap_or(line).len();
        start += line.len() + 1;
        range
    })
}

/// A line without the blanks around it, if it shows anything. A comment's sign stays.
fn bare(text: &[u8], line: Range<usize>) -> Option<Range<usize>> {
    if is_marker(&text[line.clone()]) {
        return None;
    }
    let line = trimmed(text, line);
    let signs = text[line.clone()].iter().take_while(|byte| b"#;/ \t".contains(byte)).count();
    let comment = text[line.clone()].first().is_some_and(|first| b"#;".contains(first));
    let span = if comment { line.start + signs..line.end } else { line };
    (!is_structure(&text[span.clone()])).then_some(span)
}

fn trimmed(text: &[u8], part: Range<usize>) -> Range<usize> {
    let bytes = &text[part.clone()];
    let start = part.start + (bytes.len() - bytes.trim_ascii_start().len());
    start..start + text[start..part.end].trim_ascii_end().len()
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|byte| b" \t".contains(byte)).count()
}

/// Where a line's name begins, behind the signs of a list.
fn column(line: &[u8]) -> usize {
    line.iter().take_while(|byte| b" \t-".contains(byte)).count()
}

/// Brackets, empty quotations, and signs that something follows: no value.
fn is_structure(value: &[u8]) -> bool {
    let signs = |value: &[u8], signs: &[u8]| value.iter().all(|byte| signs.contains(byte));
    let pem = value.starts_with(b"-----BEGIN ") || value.starts_with(b"-----END ");
    // `|`, `>-`, `|2+`
    let block = value.first().is_some_and(|first| b"|>".contains(first))
        && value.len() <= 3
        && signs(&value[1..], b"+-123456789");
    pem || block || signs(value, b"{}[](),; \t") || matches!(value, b"\"\"" | b"''" | b"\"\"," | b"'',")
}

/// A mark between the sides of a conflict.
fn is_marker(line: &[u8]) -> bool {
    [b"<<<<<<<", b"|||||||", b"=======", b">>>>>>>"].iter().any(|mark| {
        line.strip_prefix(*mark)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ") || rest == b"\r")
    })
}

/// `8080/a`: behind a colon in a URL, that is no password.
fn is_port(value: &[u8]) -> bool {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=5).contains(&digits) && value.get(digits) == Some(&b'/')
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
