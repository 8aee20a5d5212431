//! Ranges of deployments: `edge-{001..200}` stands for 200 entries.
//!
//! Numbers keep the width of the longer bound if either is written with leading zeros. In the values of such an
//! entry, and of the profile that it names, `{}` is the number as it stands in the name.

use super::document::{Node, Value};

/// A name with a range of numbers in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    before: String,
    after: String,
    first: u32,
    last: u32,
    width: usize,
}

impl Range {
    /// Whether a key is meant as a range, well written or not.
    pub(super) fn is_meant_by(key: &str) -> bool {
        key.contains(['{', '}'])
    }

    /// Reads a key with exactly one `{first..last}` in it, or says what is wrong with it.
    pub(super) fn parse(key: &str) -> Result<Self, &'static str> {
        let form = "a range is written as in \"edge-{001..200}\", once in a name";
        let (before, rest) = key.split_once('{').ok_or(form)?;
        let (inner, after) = rest.split_once('}').ok_or(form)?;
        let (first, last) = inner.split_once("..").ok_or(form)?;
        if before.contains('}') || Self::is_meant_by(after) {
            return Err(form);
        }
        let padded = |text: &str| text.len() > 1 && text.starts_with('0');
        let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
        let number = |text: &str| {
            let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
            if digits {
                text.parse().map_err(|_| form)
            } else {
                Err("the bounds of a range are numbers of 1 to 9 digits")
            }
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err("the range is empty: its first number is greater than its last");
        }
        Ok(Self { before: before.into(), after: after.into(), first, last, width })
    }

    /// How many names it stands for; at least one.
    pub(super) fn count(&self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// Each number, as it is written, with the name that it makes.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, String)> + '_ {
        (self.first..=self.last).map(|number| {
            let number = format!("{number:0width$}", width = self.width);
            let name = format!("{}{number}{}", self.before, self.after);
            (number, name)
        })
    }
}

/// Puts the number wherever `{}` stands in a string below the node.
pub(super) fn fill(node: &mut Node, number: &str) {
    match &mut node.value {
        Value::Text(text) if text.contains("{}") => *text = text.replace("{}", number),
        Value::List(items) => items.iter_mut().for_each(|item| fill(item, number)),
        Value::Table(table) => table.values_mut().for_each(|entry| fill(&mut entry.node, number)),
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Other(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_with_their_padding() {
        for (key, count, first, last) in [
            ("edge-{001..200}", 200, "edge-001", "edge-200"),
            ("edge-{8..11}", 4, "edge-8", "edge-11"),
            ("edge-{08..11}x", 4, "edge-08x", "edge-11x"),
            ("{0..0}", 1, "0", "0"),
            ("a{1..010}", 10, "a001", "a010"),
        ] {
            let range = Range::parse(key).unwrap();
            let names: Vec<String> = range.names().map(|(_, name)| name).collect();
            assert_eq!((range.count(), names.len()), (count, count), "{key}");
            assert_eq!((names[0].as_str(), names[count - 1].as_str()), (first, last), "{key}");
        }
    }

    #[test]
    fn what_is_no_range() {
        for key in [
            "a{",
            "a}",
            "a{}",
            "a{1}",
            "a{1..}",
            "a{..2}",
            "a{2..1}",
            "a{1..2}{1..2}",
            "a{a..b}",
            "a{-1..2}",
            "a{1..9999999999}",
            "}a{1..2}",
            "a{{1..2}}",
            "a{1...2}",
            "a{+1..2}",
        ] {
            assert!(Range::parse(key).is_err(), "{key}");
        }
    }
}
