//! TOML as a document.
//!
//! `toml_edit` keeps what it does not touch, with four exceptions that are dealt with here: byte order marks
//! and CRLF are taken off and put back, a missing last newline as well, and a text whose dotted keys it would
//! gather is refused. Lines of removed keys are cut from the text before it sees it, because it would take the
//! comments above them along. A removed table takes the comment above its header.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, TableLike};

use super::change::{Change, Changes};
use super::json::place;
use super::json_text::spliced;
use super::value::Value;
use super::{Document, Format, MAX_BYTES, MAX_DEPTH, StructuredError, Taking, Text};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// How the lines of a text end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Lf,
    CrLf,
    Mixed,
}

/// A parsed text.
pub(super) struct Toml {
    which: Text,
    mark: &'static str,
    ends: Ends,
    /// With LF and without byte order mark: what the parser saw.
    text: String,
    document: DocumentMut,
    value: Value,
}

impl<'t> Document<'t> for Toml {
    fn parse(text: &'t str, which: Text) -> Result<Self, StructuredError> {
        if text.len() > MAX_BYTES {
            return Err(StructuredError::TooLarge { text: which });
        }
        let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (BYTE_ORDER_MARK, rest),
            None => ("", text),
        };
        let ends = match (text.matches("\r\n").count(), text.matches('\n').count()) {
            (0, _) => Ends::Lf,
            (crlf, all) if crlf == all => Ends::CrLf,
            _ => Ends::Mixed,
        };
        let text = text.replace("\r\n", "\n");
        // There were two in a row, of which the parser would take the one that is left for a part of the line end.
        if let Some(at) = text.find("\r\n") {
            let (line, column) = place(&text, at);
            let reason = "a carriage return that is no part of a line end".to_owned();
            return Err(StructuredError::Invalid { text: which, format: Format::Toml, line, column, reason });
        }
        let document = parsed(&text, which)?;
        let value = of_table(document.as_table(), 1, which)?;
        Ok(Self { which, mark, ends, text, document, value })
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn says(text: &str, meant: &Value) -> bool {
        // A table that only dotted keys make is gone with the last of them.
        Toml::parse(text, Text::Result)
            .is_ok_and(|document| document.value.without_empty() == meant.without_empty())
    }

    fn edit(&self, other: &Self, changes: &Changes, _: Taking) -> Result<String, StructuredError> {
        if self.ends == Ends::Mixed {
            return Err(StructuredError::LineEnds { text: self.which });
        }
        // An empty document has no last line that would end without one.
        let ended = self.text.is_empty() || self.text.ends_with('\n');
        let print = |document: &DocumentMut| {
            let mut text = document.to_string();
            if !ended && text.ends_with('\n') {
                text.pop();
            }
            text
        };
        if print(&self.document) != self.text {
            return Err(StructuredError::Apart { text: self.which });
        }
        let places = toml_edit::Document::parse(self.text.as_str()).map_err(|_| StructuredError::Broken)?;
        let mut cut = Vec::new();
        removed_lines(&self.text, places.as_table(), changes, &mut cut);
        let splices = cut.into_iter().map(|range| (range, String::new())).collect();
        let mut document = spliced(&self.text, splices)
            .and_then(|text| text.parse::<DocumentMut>().ok())
            .ok_or(StructuredError::Broken)?;
        edit_table(document.as_table_mut(), other.document.as_table(), changes);
        let text = print(&document);
        let text = if self.ends == Ends::CrLf { text.replace('\n', "\r\n") } else { text };
        Ok(format!("{}{text}", self.mark))
    }
}

fn parsed(text: &str, which: Text) -> Result<DocumentMut, StructuredError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        let reason = error.message().lines().next().unwrap_or_default().to_owned();
        StructuredError::Invalid { text: which, format: Format::Toml, line, column, reason }
    })
}

fn of_table(table: &dyn TableLike, depth: usize, which: Text) -> Result<Value, StructuredError> {
    if depth > MAX_DEPTH {
        return Err(StructuredError::TooDeep { text: which });
    }
    let mut members = BTreeMap::new();
    for (key, item) in table.iter() {
        let value = match item {
            Item::None => continue,
            Item::Value(value) => of_value(value, depth + 1, which)?,
            Item::Table(table) => of_table(table, depth + 1, which)?,
            Item::ArrayOfTables(tables) => Value::Array(
                tables.iter().map(|table| of_table(table, depth + 2, which)).collect::<Result<_, _>>()?,
            ),
        };
        members.insert(key.to_owned(), value);
    }
    Ok(Value::Object(members))
}

fn of_value(value: &toml_edit::Value, depth: usize, which: Text) -> Result<Value, StructuredError> {
    if depth > MAX_DEPTH {
        return Err(StructuredError::TooDeep { text: which });
    }
    Ok(match value {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Scalar(number.value().to_string()),
        // Never the spelling of an integer.
        toml_edit::Value::Float(number) => Value::Scalar(format!("{:?}", number.value())),
        toml_edit::Value::Boolean(value) => Value::Bool(*value.value()),
        toml_edit::Value::Datetime(time) => Value::Scalar(time.value().to_string()),
        toml_edit::Value::Array(array) => Value::Array(
            array.iter().map(|element| of_value(element, depth + 1, which)).collect::<Result<_, _>>()?,
        ),
        toml_edit::Value::InlineTable(table) => of_table(table, depth, which)?,
    })
}

/// Whole lines of values that go, outside inline tables: comments behind them go with them, those above stay.
fn removed_lines(text: &str, table: &Table, changes: &Changes, cut: &mut Vec<Range<usize>>) {
    for (key, change) in changes {
        match (change, table.get_key_value(key)) {
            (Change::Remove, Some((name, Item::Value(value)))) => {
                let (Some(name), Some(value)) = (name.span(), value.span()) else { continue };
                let start = text[..name.start].rfind('\n').map_or(0, |newline| newline + 1);
                let end = text[value.end..].find('\n').map_or(text.len(), |at| value.end + at + 1);
                cut.push(start..end);
            }
            (Change::Into(inner), Some((_, Item::Table(table)))) => removed_lines(text, table, inner, cut),
            _ => {}
        }
    }
}

/// Keys that the other table has, in its order, and then those that it lacks.
fn ordered<'c>(other: &dyn TableLike, changes: &'c Changes) -> Vec<(&'c String, &'c Change)> {
    let theirs = other.iter().filter_map(|(key, _)| changes.get_key_value(key));
    theirs.chain(changes.iter().filter(|(key, _)| !other.contains_key(key))).collect()
}

fn edit_table(table: &mut Table, other: &dyn TableLike, changes: &Changes) {
    let nothing = Table::new();
    for (key, change) in ordered(other, changes) {
        let source = other.get(key);
        match (change, source) {
            (Change::Remove, _) => {
                table.remove(key);
            }
            (Change::Take, Some(source)) => {
                let new = if table.is_dotted() { inline(source) } else { taken(source) };
                match (table.get_mut(key), new) {
                    (Some(Item::Value(old)), Item::Value(new)) => replace(old, new),
                    (Some(old), mut new) => {
                        stand_in(&mut new, old);
                        table.remove(key);
                        table.insert_formatted(&plain_key(other, key), new);
                    }
                    (None, new) => {
                        table.insert_formatted(&plain_key(other, key), new);
                    }
                }
            }
            (Change::Into(inner), source) => {
                let source = source.and_then(Item::as_table_like).unwrap_or(&nothing);
                let dotted = table.is_dotted();
                match table.get_mut(key) {
                    Some(Item::Table(there)) => edit_table(there, source, inner),
                    Some(Item::Value(toml_edit::Value::InlineTable(there))) => {
                        edit_inline(there, source, inner)
                    }
                    Some(_) => {}
                    None if dotted => {
                        let mut new = InlineTable::new();
                        edit_inline(&mut new, source, inner);
                        table.insert_formatted(&plain_key(other, key), Item::Value(new.into()));
                    }
                    None => {
                        let mut new = Table::new();
                        edit_table(&mut new, source, inner);
                        table.insert_formatted(&plain_key(other, key), Item::Table(new));
                    }
                }
            }
            (Change::Take, None) => {}
        }
    }
}

fn edit_inline(table: &mut InlineTable, other: &dyn TableLike, changes: &Changes) {
    let nothing = Table::new();
    // The blank before the brace belongs to the last value, whichever that is.
    let closing = last_suffix(table, None);
    for (key, change) in ordered(other, changes) {
        let source = other.get(key);
        match (change, source) {
            (Change::Remove, _) => {
                table.remove(key);
            }
            (Change::Take, Some(source)) => {
                if let Item::Value(new) = inline(source) {
                    match table.get_mut(key) {
                        Some(old) => replace(old, new),
                        None => {
                            table.insert_formatted(&plain_key(other, key), new);
                        }
                    }
                }
            }
            (Change::Into(inner), source) => {
                let source = source.and_then(Item::as_table_like).unwrap_or(&nothing);
                match table.get_mut(key) {
                    Some(toml_edit::Value::InlineTable(there)) => edit_inline(there, source, inner),
                    Some(_) => {}
                    None => {
                        let mut new = InlineTable::new();
                        edit_inline(&mut new, source, inner);
                        table.insert_formatted(&plain_key(other, key), new.into());
                    }
                }
            }
            (Change::Take, None) => {}
        }
    }
    if let Some((key, suffix)) = closing
        && table.iter().last().is_some_and(|(last, _)| last != key)
    {
        if let Some(value) = table.get_mut(&key) {
            value.decor_mut().set_suffix("");
        }
        last_suffix(table, Some(&suffix));
    }
}

/// The key and what stands behind the value of the last member, if that is only blanks; sets it first.
fn last_suffix(table: &mut InlineTable, new: Option<&str>) -> Option<(String, String)> {
    let (key, value) = table.iter_mut().last()?;
    if let Some(new) = new {
        value.decor_mut().set_suffix(new);
    }
    let suffix = value.decor().suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default();
    suffix.trim_matches(' ').is_empty().then(|| (key.get().to_owned(), suffix.to_owned()))
}

/// A value in the place of another, with what stands around that.
fn replace(old: &mut toml_edit::Value, mut new: toml_edit::Value) {
    *new.decor_mut() = old.decor().clone();
    *old = new;
}

/// Gives tables the place of those that they replace, and the comment above.
fn stand_in(new: &mut Item, old: &Item) {
    fn first(item: &Item) -> Option<&Table> {
        item.as_table().or_else(|| item.as_array_of_tables()?.iter().next())
    }
    let Some(old) = first(old) else { return };
    let (position, decor) = (old.position(), old.decor().clone());
    match new {
        Item::Table(table) => {
            table.set_position(position);
            *table.decor_mut() = decor;
        }
        Item::ArrayOfTables(tables) => {
            tables.iter_mut().for_each(|table| table.set_position(position));
            if let Some(table) = tables.iter_mut().next() {
                *table.decor_mut() = decor;
            }
        }
        Item::None | Item::Value(_) => {}
    }
}

/// A key as the other document spells it, without what stands around it there.
fn plain_key(other: &dyn TableLike, key: &str) -> Key {
    let mut plain = other.key(key).cloned().unwrap_or_else(|| Key::new(key));
    plain.leaf_decor_mut().clear();
    plain.dotted_decor_mut().clear();
    plain
}

/// An item of the other document, to be put where this one has lines.
fn taken(item: &Item) -> Item {
    let mut item = item.clone();
    match &mut item {
        Item::Value(value) => value.decor_mut().clear(),
        Item::Table(table) => {
            table.set_dotted(false);
            without_place(table);
        }
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(without_place),
        Item::None => {}
    }
    item
}

/// An item of the other document as a value.
fn inline(item: &Item) -> Item {
    match taken(item).into_value() {
        Ok(mut value) => {
            value.decor_mut().clear();
            Item::Value(value)
        }
        Err(item) => item,
    }
}

/// Places are those of the other document; here, a new table comes behind what is there.
fn without_place(table: &mut Table) {
    table.set_position(None);
    let above = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
    if above.trim().is_empty() {
        table.decor_mut().clear();
    } else if !above.starts_with('\n') {
        table.decor_mut().set_prefix(format!("\n{above}"));
    }
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(table) => without_place(table),
            Item::ArrayOfTables(tables) => tables.iter_mut().for_each(without_place),
            Item::None | Item::Value(_) => {}
        }
    }
}
