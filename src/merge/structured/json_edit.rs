//! Carrying out changes in a JSON text, by replacing ranges of it.
//!
//! New members follow the last one that stays, in the layout of their object: on lines of their own if its
//! members are, with the file's indentation, line ends, and trailing comma where there is one. A removed
//! member takes its comma, and its line with the comment behind it; comments above it stay.

use std::collections::BTreeMap;
use std::ops::Range;

use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged;

use super::Taking;
use super::change::{Change, Changes};
use super::json_text::{behind_blanks, comma_behind, indentation, is_plain, own_line, rest_of_line};
use super::value::quote;

/// Collects what is to be replaced.
pub(super) struct Editor<'a> {
    text: &'a str,
    other: &'a str,
    taking: Taking,
    /// One level of indentation; `None` if the whole text has no line of its own for a member.
    unit: Option<&'a str>,
    newline: &'static str,
    colon: &'static str,
    /// Ranges of the text, and what to put there.
    pub(super) splices: Vec<(Range<usize>, String)>,
}

impl<'a> Editor<'a> {
    /// An editor of `text`, whose root is `root`, that takes values from `other`.
    pub(super) fn new(text: &'a str, root: &Object<'_>, other: &'a str, taking: Taking) -> Self {
        let first = root.properties.first();
        let unit = match first {
            Some(first) => own_line(text, first.start()).map(|line| {
                let (indented, root) = (&text[line..first.start()], indentation(text, root.start()));
                let unit = indented.strip_prefix(root).unwrap_or(indented);
                if unit.is_empty() { "  " } else { unit }
            }),
            // An empty root shows no layout: the usual one.
            None => Some("  "),
        };
        let tight = first.is_some_and(|first| {
            let behind_colon = text[first.name.end()..].find(':').map(|at| first.name.end() + at + 1);
            behind_colon == Some(first.value.start())
        });
        Self {
            text,
            other,
            taking,
            unit,
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            colon: if tight { ":" } else { ": " },
            splices: Vec::new(),
        }
    }

    /// Changes members of one object.
    pub(super) fn object(&mut self, object: &Object<'_>, other: Option<&Object<'_>>, changes: &Changes) {
        let others = by_name(other);
        let mut stays = vec![true; object.properties.len()];
        for (index, member) in object.properties.iter().enumerate() {
            let name = member.name.as_str();
            let source = others.get(name).map(|other| &other.value);
            match (changes.get(name), &member.value, source) {
                (Some(Change::Remove), _, _) => stays[index] = false,
                (Some(Change::Take), value, Some(source)) => {
                    let indent = indentation(self.text, member.start()).to_owned();
                    let new = self.taken(source, &indent);
                    self.splices.push((value.start()..value.end(), new));
                }
                (Some(Change::Into(inner)), Value::Object(value), source) => {
                    self.object(value, source.and_then(Value::as_object), inner);
                }
                _ => {}
            }
        }
        let present: BTreeMap<&str, ()> = object.properties.iter().map(|it| (it.name.as_str(), ())).collect();
        let added: Vec<&ObjectProp<'_>> = other
            .map_or(&[][..], |other| other.properties.as_slice())
            .iter()
            .filter(|it| !present.contains_key(it.name.as_str()))
            .filter(|it| matches!(changes.get(it.name.as_str()), Some(Change::Take | Change::Into(_))))
            .collect();
        self.remove(object, &stays);
        let last = object.properties.iter().zip(&stays).rposition(|(_, stays)| *stays);
        if added.is_empty() {
            self.drop_last_comma(object, last);
        } else {
            self.append(object, last, &added, changes);
        }
    }

    fn remove(&mut self, object: &Object<'_>, stays: &[bool]) {
        for (index, member) in object.properties.iter().enumerate().filter(|(index, _)| !stays[*index]) {
            let end = comma_behind(self.text, member.end()).map_or(member.end(), |comma| comma + 1);
            let line = own_line(self.text, member.start());
            let range = match (line, rest_of_line(self.text, end)) {
                // With its line end: the lines above and below it close up.
                (Some(line), Some(rest)) => {
                    line..rest + self.text[rest..].find('\n').map_or(0, |newline| newline + 1)
                }
                _ if stays[index..].contains(&true) => member.start()..behind_blanks(self.text, end),
                _ => {
                    // The last one on its line: the blanks before it go with it.
                    let before = self.text[..member.start()].trim_end_matches([' ', '\t']).len();
                    let bare = self.text[..before].ends_with([',', '{']);
                    (if bare { before } else { member.start() })..end
                }
            };
            self.splices.push((range, String::new()));
        }
    }

    /// Where later members went, the comma behind the last one that stays would be a trailing one.
    fn drop_last_comma(&mut self, object: &Object<'_>, last: Option<usize>) {
        let Some(last) = last.filter(|last| last + 1 < object.properties.len()) else { return };
        if !self.has_trailing_comma(object)
            && let Some(comma) = comma_behind(self.text, object.properties[last].end())
        {
            self.splices.push((comma..comma + 1, String::new()));
        }
    }

    fn has_trailing_comma(&self, object: &Object<'_>) -> bool {
        object.properties.last().is_some_and(|last| comma_behind(self.text, last.end()).is_some())
    }

    fn append(
        &mut self,
        object: &Object<'_>,
        last: Option<usize>,
        added: &[&ObjectProp<'_>],
        changes: &Changes,
    ) {
        let inside = &self.text[object.start() + 1..object.end() - 1];
        let on_lines = match object.properties.first() {
            Some(first) => self.text[object.start()..first.start()].contains('\n'),
            None => self.unit.is_some() || inside.contains('\n'),
        };
        let indent = on_lines.then(|| self.indent_of_members(object));
        let member_indent =
            indent.clone().unwrap_or_else(|| indentation(self.text, object.start()).to_owned());
        let members: Vec<String> =
            added.iter().map(|member| self.member(member, changes, &member_indent)).collect();
        let (before, between) = match &indent {
            Some(indent) => (format!("{}{indent}", self.newline), format!(",{}{indent}", self.newline)),
            None if self.colon == ":" => (String::new(), ",".to_owned()),
            None => (" ".to_owned(), ", ".to_owned()),
        };
        let trailing = if self.has_trailing_comma(object) { "," } else { "" };
        let joined = format!("{}{trailing}", members.join(&between));
        match last.map(|last| &object.properties[last]) {
            Some(last) => {
                let comma = comma_behind(self.text, last.end());
                if comma.is_none() {
                    self.splices.push((last.end()..last.end(), ",".to_owned()));
                }
                let behind = comma.map_or(last.end(), |comma| comma + 1);
                let at = if on_lines { rest_of_line(self.text, behind).unwrap_or(behind) } else { behind };
                self.splices.push((at..at, format!("{before}{joined}")));
            }
            None => {
                let open = object.start() + 1;
                let at = if on_lines { rest_of_line(self.text, open).unwrap_or(open) } else { open };
                let closed = self.text[at..object.end()].contains('\n');
                let new = match (on_lines, closed) {
                    (true, true) => format!("{before}{joined}"),
                    (true, false) => {
                        let close = indentation(self.text, object.start());
                        format!("{before}{joined}{}{close}", self.newline)
                    }
                    (false, _) => joined,
                };
                self.splices.push((at..at, new));
            }
        }
    }

    fn indent_of_members(&self, object: &Object<'_>) -> String {
        let beside = object.properties.iter().rev().find_map(|member| {
            let line = own_line(self.text, member.start())?;
            Some(self.text[line..member.start()].to_owned())
        });
        beside.unwrap_or_else(|| {
            format!("{}{}", indentation(self.text, object.start()), self.unit.unwrap_or("  "))
        })
    }

    /// A new member: as the other document spells its key, with what the change takes of its value.
    fn member(&self, member: &ObjectProp<'_>, changes: &Changes, indent: &str) -> String {
        let name = &self.other[member.name.start()..member.name.end()];
        let value = match changes.get(member.name.as_str()) {
            Some(Change::Into(inner)) => self.partial(member.value.as_object(), inner, indent),
            _ => self.taken(&member.value, indent),
        };
        format!("{name}{}{value}", self.colon)
    }

    /// An object that holds only those members of another that the changes take.
    fn partial(&self, object: Option<&Object<'_>>, changes: &Changes, indent: &str) -> String {
        let inner = format!("{indent}{}", self.unit.unwrap_or_default());
        let members: Vec<String> = object
            .map_or(&[][..], |object| object.properties.as_slice())
            .iter()
            .filter(|it| matches!(changes.get(it.name.as_str()), Some(Change::Take | Change::Into(_))))
            .map(|member| self.member(member, changes, &inner))
            .collect();
        self.bracketed(['{', '}'], &members, indent, self.unit.is_some())
    }

    /// A value of the other document in the layout of this one.
    fn taken(&self, value: &Value<'_>, indent: &str) -> String {
        let slice = &self.other[value.start()..value.end()];
        match self.taking {
            Taking::Version => {
                let there = format!("\n{}", indentation(self.other, value.start()));
                let moved = slice.replace("\r\n", "\n").replace(&there, &format!("\n{indent}"));
                moved.replace('\n', self.newline)
            }
            Taking::Overlay => self.fresh(value, indent),
        }
    }

    /// A value of an overlay: without comments, trailing commas and removed members.
    fn fresh(&self, value: &Value<'_>, indent: &str) -> String {
        let slice = &self.other[value.start()..value.end()];
        if is_plain(slice) && !holds_null_member(value) {
            return slice.to_owned();
        }
        let on_lines = self.unit.is_some() && slice.contains('\n');
        let inner =
            if on_lines { format!("{indent}{}", self.unit.unwrap_or_default()) } else { indent.to_owned() };
        match value {
            Value::Object(object) => {
                let members: Vec<String> = object
                    .properties
                    .iter()
                    .filter(|member| member.value.as_null_keyword().is_none())
                    .map(|member| {
                        let mut line = String::new();
                        quote(member.name.as_str(), &mut line);
                        line.push_str(self.colon);
                        line.push_str(&self.fresh(&member.value, &inner));
                        line
                    })
                    .collect();
                self.bracketed(['{', '}'], &members, indent, on_lines)
            }
            Value::Array(array) => {
                let elements: Vec<String> =
                    array.elements.iter().map(|element| self.fresh_element(element, &inner)).collect();
                self.bracketed(['[', ']'], &elements, indent, on_lines)
            }
            _ => slice.to_owned(),
        }
    }

    /// Nulls in an array are values, those in an object within an array as well: arrays are not merged.
    fn fresh_element(&self, value: &Value<'_>, indent: &str) -> String {
        let slice = &self.other[value.start()..value.end()];
        if is_plain(slice) {
            return slice.to_owned();
        }
        let on_lines = self.unit.is_some() && slice.contains('\n');
        let inner =
            if on_lines { format!("{indent}{}", self.unit.unwrap_or_default()) } else { indent.to_owned() };
        match value {
            Value::Object(object) => {
                let members: Vec<String> = object
                    .properties
                    .iter()
                    .map(|member| {
                        let name = &self.other[member.name.start()..member.name.end()];
                        format!("{name}{}{}", self.colon, self.fresh_element(&member.value, &inner))
                    })
                    .collect();
                self.bracketed(['{', '}'], &members, indent, on_lines)
            }
            Value::Array(array) => {
                let elements: Vec<String> =
                    array.elements.iter().map(|element| self.fresh_element(element, &inner)).collect();
                self.bracketed(['[', ']'], &elements, indent, on_lines)
            }
            _ => slice.to_owned(),
        }
    }

    fn bracketed(&self, [open, close]: [char; 2], parts: &[String], indent: &str, on_lines: bool) -> String {
        if parts.is_empty() {
            return format!("{open}{close}");
        }
        if !on_lines {
            let between = if self.colon == ":" { "," } else { ", " };
            return format!("{open}{}{close}", parts.join(between));
        }
        let line = format!("{}{indent}{}", self.newline, self.unit.unwrap_or_default());
        format!("{open}{line}{}{}{indent}{close}", parts.join(&format!(",{line}")), self.newline)
    }
}

fn by_name<'o, 'b>(object: Option<&'o Object<'b>>) -> BTreeMap<&'o str, &'o ObjectProp<'b>> {
    object.into_iter().flat_map(|object| &object.properties).map(|it| (it.name.as_str(), it)).collect()
}

/// Whether an object in it, outside arrays, has a member that is null.
fn holds_null_member(value: &Value<'_>) -> bool {
    let Value::Object(object) = value else { return false };
    object
        .properties
        .iter()
        .any(|member| member.value.as_null_keyword().is_some() || holds_null_member(&member.value))
}
