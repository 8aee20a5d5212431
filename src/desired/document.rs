//! From text to a tree of values that know where they stand.
//!
//! What comes out no longer knows TOML: profiles, ranges and includes are merged on these trees, and a value
//! that came from a profile still points into the profile's file. Refused before the TOML parser sees them:
//! files over 10 MiB, leftovers of a merge conflict, and keys nested so deeply that building or dropping
//! their tables would exhaust the stack (the parser bounds brackets and dots of keys, but not their product).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::problem::quoted;
use super::report::{Fault, Place, Report, fault};

const MAX_BYTES: usize = 10 << 20;
const MAX_DEPTH: usize = 100;
const MAX_SYNTAX_ERRORS: usize = 100;
/// For how many of them the place of a first definition is looked up, which reads the text once more.
const MAX_LOOKED_UP: usize = 20;
/// What the parser says of a key that is there already.
const DUPLICATE: &str = "duplicate key";

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub place: Place,
    pub value: Value,
}

/// A value of TOML, reduced to what a fleet file distinguishes.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    Datetime(String),
    List(Vec<Node>),
    Table(Table),
    /// What no key takes, by its name with an article.
    Other(&'static str),
}

/// The keys of a table.
pub(super) type Table = BTreeMap<String, Entry>;

/// A key with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where the key stands.
    pub key: Place,
    pub node: Node,
}

impl Node {
    /// What kind of value it is, with an article.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(kind) => kind,
        }
    }

    /// A measure of the memory that a copy takes.
    pub(super) fn weight(&self) -> usize {
        let inner = match &self.value {
            Value::Text(text) | Value::Datetime(text) => text.len(),
            Value::List(items) => items.iter().map(Node::weight).sum(),
            Value::Table(table) => {
                table.iter().map(|(key, entry)| key.len() + 32 + entry.node.weight()).sum()
            }
            Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => 0,
        };
        64 + inner
    }
}

/// Reads one file. `None` if it is no TOML, which has been reported.
pub(super) fn read(file: usize, text: &str, report: &mut Report) -> Option<Table> {
    if let Err((span, fault)) = check(text) {
        report.add(&Place::new(file, span), fault);
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(table(file, document.into_inner()));
    }
    let mut lines = BTreeSet::new();
    let mut repeated_table = 0..0;
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let line_start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let duplicate = error.message() == DUPLICATE;
        // One mistake often upsets the rest of its line, and a table given twice all of its keys.
        if !lines.insert(line_start) || duplicate && repeated_table.contains(&line_start) {
            continue;
        }
        if lines.len() > MAX_SYNTAX_ERRORS {
            break;
        }
        if duplicate && text[line_start..].trim_start().starts_with('[') {
            let length = text[line_start..].find("\n[").unwrap_or(text.len() - line_start);
            repeated_table = line_start..line_start + length;
        }
        let fault = if duplicate {
            let first = if lines.len() > MAX_LOOKED_UP {
                None
            } else {
                first_definition(text, line_start, span.clone())
            };
            given_twice(&text[span.clone()], first.map(|first| report.locate(&Place::new(file, first))))
        } else {
            fault(format!("this is not TOML: {}", error.message()), error.message())
        };
        report.add(&Place::new(file, span), fault);
    }
    None
}

/// The tables of a text for whoever needs them before the whole is judged; `None` if it is no TOML.
pub(super) fn peek(text: &str) -> Option<Table> {
    check(text).ok()?;
    DeTable::parse(text).ok().map(|document| table(0, document.into_inner()))
}

fn given_twice(key: &str, first: Option<String>) -> Fault {
    let key = quoted(key.trim_matches(['"', '\'']));
    let first = first.map_or_else(String::new, |first| format!(", first at {first}"));
    fault(format!("{key} is given twice{first}"), "given again here")
        .hint("keep one of the two, or give one of them another name")
}

/// Where the key that is given again at `repeated`, in the line from `line_start`, stood first.
fn first_definition(text: &str, line_start: usize, repeated: Range<usize>) -> Option<Range<usize>> {
    let (before, line) = text.split_at(line_start);
    let line = line.lines().next()?.trim();
    // The path of the repeated key: that of the header above it, and its own.
    let mut path = Vec::new();
    if line.starts_with('[') {
        path_of(line, &mut path);
    } else {
        let above = before.lines().rev().find(|line| line.trim_start().starts_with('['));
        path_of(above.map_or("", str::trim), &mut path);
        path_of(&format!("{} = 0", line.split('=').next()?), &mut path);
    }
    let (last, parents) = path.split_last()?;
    // Within an inline table the line's key is not the one that is repeated.
    if text.get(repeated)?.trim_matches(['"', '\'']) != last {
        return None;
    }
    // The parser forgets the first place of a table that it finds again: only the text before is parsed.
    let (document, _) = DeTable::parse_recoverable(before);
    let mut table = document.get_ref();
    for parent in parents {
        let value = table.get(parent.as_str())?.get_ref();
        table = match value {
            DeValue::Array(items) => items.iter().next_back()?.get_ref().as_table()?,
            other => other.as_table()?,
        };
    }
    table.get_key_value(last.as_str()).map(|(key, _)| key.span())
}

/// The keys that a line of TOML descends through.
fn path_of(line: &str, path: &mut Vec<String>) {
    let Ok(document) = DeTable::parse(line) else { return };
    let mut table = Some(document.get_ref());
    while let Some((key, value)) = table.and_then(|table| table.iter().next()) {
        path.push(key.get_ref().clone().into_owned());
        table = match value.get_ref() {
            DeValue::Array(items) => items.iter().next().and_then(|item| item.get_ref().as_table()),
            other => other.as_table(),
        };
    }
}

fn table(file: usize, table: DeTable) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: Place::new(file, key.span()),
                node: Node {
                    place: Place::new(file, value.span()),
                    value: convert(file, value.into_inner()),
                },
            };
            (key.into_inner().into_owned(), entry)
        })
        .collect()
}

fn convert(file: usize, value: DeValue) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("an integer beyond 64 bits"), Value::Integer),
        DeValue::Float(_) => Value::Other("a floating point number"),
        DeValue::Boolean(yes) => Value::Boolean(yes),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| Node {
                    place: Place::new(file, item.span()),
                    value: convert(file, item.into_inner()),
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(file, inner)),
    }
}

/// Refuses what must not reach the parser, or what only people can repair.
fn check(text: &str) -> Result<(), (Range<usize>, Fault)> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes; a fleet file may have at most 10 MiB", text.len());
        let fault = fault(message, "too large");
        return Err((0..0, fault.hint("move deployments into files of their own, by `include`")));
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let marker = ["<<<<<<<", ">>>>>>>"].iter().find(|marker| {
            line.strip_prefix(**marker).is_some_and(|rest| rest.trim().is_empty() || rest.starts_with(' '))
        });
        if marker.is_some() {
            let fault = fault(
                "a merge of this file was left unfinished: it holds conflict markers",
                "a conflict marker",
            );
            let hint = "decide between the two sides, remove the markers, and commit";
            return Err((offset..offset + line.trim_end().len(), fault.hint(hint)));
        }
        offset += line.len();
    }
    check_depth(text)
}

/// Bounds how deep tables can nest: a header and the keys below it descend by at most [`MAX_DEPTH`] each.
fn check_depth(text: &str) -> Result<(), (Range<usize>, Fault)> {
    // The open brackets, and how deep it was before each; the dots of the key or header being read.
    let mut open: Vec<(TokenKind, usize)> = Vec::new();
    let (mut depth, mut dots) = (0, 0);
    for token in toml_parser::Source::new(text).lex() {
        let closes = match token.kind() {
            TokenKind::RightSquareBracket => Some(TokenKind::LeftSquareBracket),
            TokenKind::RightCurlyBracket => Some(TokenKind::LeftCurlyBracket),
            _ => None,
        };
        match token.kind() {
            TokenKind::Dot => dots += 1,
            kind @ (TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket) => {
                open.push((kind, depth));
                depth += 1 + dots;
                dots = 0;
            }
            TokenKind::Comma | TokenKind::Newline => dots = 0,
            _ => {}
        }
        if let Some((_, before)) = closes.and_then(|opener| open.pop_if(|(kind, _)| *kind == opener)) {
            depth = before;
            dots = 0;
        }
        if depth + dots > MAX_DEPTH {
            let span = token.span();
            let fault = fault("this is nested too deeply to be a fleet file", "nested too deeply");
            return Err((span.start()..span.end(), fault));
        }
    }
    Ok(())
}
