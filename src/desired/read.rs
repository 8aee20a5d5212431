//! From a tree of values to typed tables, saying everything that does not fit.
//!
//! Each type reads itself ([`Read`]); one that cannot has said why and is [`Field::Bad`], which later checks
//! take for "something was given", so that one mistake is reported once. Tables are declared by [`table!`],
//! which is their struct, their reader and their JSON schema at once, so that the three cannot disagree.

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::document::{Node, Table, Value};
use super::not_yet;
use super::problem::quoted;
use super::report::{Place, Report, fault};
use super::suggest::did_you_mean;

/// What can be read from a node. `None`: it could not, and a problem says why.
pub(super) trait Read: Sized {
    fn read(node: &Node, report: &mut Report) -> Option<Self>;
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The value of one key of a table.
#[derive(Debug, Clone, Default)]
pub(super) enum Field<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// Its value could not be read.
    Bad,
    /// Its value.
    Given(At<T>),
}

impl<T> Field<T> {
    pub(super) fn get(&self) -> Option<&At<T>> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The value; a fault about a stanza's key if it is absent, nothing if it is bad.
    pub(super) fn required(
        &self,
        stanza: &Place,
        key: &str,
        hint: &str,
        report: &mut Report,
    ) -> Option<&At<T>> {
        if self.is_absent() {
            let message = format!("{} has no `{key}`", report.path());
            report.add(stanza, fault(message, format!("`{key}` is missing")).hint(hint));
        }
        self.get()
    }
}

/// The items of a list, or nothing.
impl<T> Field<Vec<At<T>>> {
    pub(super) fn items(&self) -> &[At<T>] {
        self.get().map_or(&[], |list| list.value.as_slice())
    }
}

/// A table whose keys are names: each with the place of its key.
#[derive(Debug, Clone)]
pub(super) struct Map<T>(pub BTreeMap<String, At<T>>);

impl<T> Field<Map<T>> {
    /// Names in order, with the place of each key and the value.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &At<T>)> {
        self.get().into_iter().flat_map(|map| map.value.0.iter())
    }
}

impl<T: Read> Read for Map<T> {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Table(table) = &node.value else { return expected(node, "a table", report) };
        let mut map = BTreeMap::new();
        for (name, entry) in table {
            if let Some(value) = report.within(name, |report| T::read(&entry.node, report)) {
                map.insert(name.clone(), At { value, place: entry.key.clone() });
            }
        }
        // A table of which nothing could be read is not an empty one.
        (!map.is_empty() || table.is_empty()).then_some(Self(map))
    }
}

impl<T: Read> Read for Vec<At<T>> {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::List(items) = &node.value else { return expected(node, "a list", report) };
        let read = |item| T::read(item, report).map(|value| At { value, place: item.place.clone() });
        Some(items.iter().filter_map(read).collect())
    }
}

impl Read for bool {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match node.value {
            Value::Boolean(yes) => Some(yes),
            _ => expected(node, "true or false", report),
        }
    }
}

/// Any text that a line of a report can show: not empty, no control characters, at most 4,000 bytes.
impl Read for String {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let Value::Text(text) = &node.value else { return expected(node, "a string", report) };
        let why = match text {
            text if text.is_empty() => "is empty",
            text if text.len() > 4000 => "has more than 4000 bytes",
            text if text.chars().any(char::is_control) => "holds a control character",
            _ => return Some(text.clone()),
        };
        let message = format!("`{}` {why}", report.path());
        report.add(&node.place, fault(message, why));
        None
    }
}

/// Says that a value is of another kind than its key takes.
pub(super) fn expected<T>(node: &Node, what: &str, report: &mut Report) -> Option<T> {
    let message = format!("`{}` must be {what}; this is {}", report.path(), node.kind());
    let dotted = matches!(node.value, Value::Table(_))
        .then(|| "if the key has a dot in its name, put the key in quotes".to_owned());
    report.add(&node.place, fault(message, format!("must be {what}")).perhaps(dotted));
    None
}

/// The keys of a table, after unknown ones and those of later have been reported.
pub(super) fn table_of<'n>(
    node: &'n Node,
    what: &str,
    example: Option<&str>,
    known: &[&str],
    report: &mut Report,
) -> Option<&'n Table> {
    let Value::Table(table) = &node.value else {
        let expectation = example.map_or("a table".into(), |example| format!("a table, as in {example}"));
        return expected(node, &expectation, report);
    };
    for (key, entry) in table {
        if !known.contains(&key.as_str()) {
            let message = format!("{} is no key of {what}", quoted(key));
            let hint = did_you_mean(key, known.iter().copied());
            report.add(&entry.key, fault(message, "unknown key").perhaps(hint));
        } else if let Some(fault) = not_yet::refusal(what, key) {
            report.add(&entry.key, fault);
        }
    }
    Some(table)
}

/// One key of a table.
pub(super) fn field<T: Read>(table: &Table, key: &str, report: &mut Report) -> Field<T> {
    let Some(entry) = table.get(key) else { return Field::Absent };
    match report.within(key, |report| T::read(&entry.node, report)) {
        Some(value) => Field::Given(At { value, place: entry.node.place.clone() }),
        None => Field::Bad,
    }
}

/// A table with a fixed set of keys.
pub(super) trait Stanza {
    /// Which of its keys were given, readable or not, in the order of their declaration.
    fn given(&self) -> Vec<&'static str>;
}

/// Refuses a stanza that has none or several of keys that exclude each other. Whether it has exactly one.
pub(super) fn exactly_one(
    stanza: &impl Stanza,
    place: &Place,
    keys: &[&'static str],
    report: &mut Report,
) -> bool {
    let given: Vec<String> =
        stanza.given().iter().filter(|key| keys.contains(key)).map(|key| format!("`{key}`")).collect();
    let all = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let path = report.path();
    match given.len() {
        1 => return true,
        0 => report.add(
            place,
            fault(format!("{path} has none of {all}"), "one of these is missing")
                .hint(format!("give exactly one of {all}")),
        ),
        _ => report.add(
            place,
            fault(
                format!("{path} has {}, which exclude each other", given.join(" and ")),
                "too much is given",
            )
            .hint(format!("keep exactly one of {all}")),
        ),
    }
    false
}

/// Declares a table: its struct, how it is read, and its JSON schema.
macro_rules! table {
    ($(#[doc = $doc:literal])+ $name:ident is $what:literal $(like $example:literal)? {
        $($(#[doc = $about:literal])+ $key:ident: $type:ty,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(in crate::desired) struct $name {
            $($(#[doc = $about])+ #[schemars(default)] pub $key: $crate::desired::read::Field<$type>,)+
        }

        impl $crate::desired::read::Read for $name {
            fn read(
                node: &$crate::desired::document::Node,
                report: &mut $crate::desired::report::Report,
            ) -> Option<Self> {
                let keys = [$(stringify!($key)),+];
                let example = [$($example)?].first().copied();
                let table = $crate::desired::read::table_of(node, $what, example, &keys, report)?;
                Some(Self { $($key: $crate::desired::read::field(table, stringify!($key), report),)+ })
            }
        }

        impl $crate::desired::read::Stanza for $name {
            fn given(&self) -> Vec<&'static str> {
                let keys = [$((stringify!($key), self.$key.is_absent())),+];
                keys.into_iter().filter(|(_, absent)| !absent).map(|(key, _)| key).collect()
            }
        }
    };
}
pub(super) use table;

/// Schemas see through the wrappers.
macro_rules! transparent {
    ($($wrapper:ident<$inner:ident> as $schema:ty),+) => {$(
        impl<$inner: JsonSchema> JsonSchema for $wrapper<$inner> {
            fn inline_schema() -> bool {
                <$schema>::inline_schema()
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                <$schema>::schema_name()
            }
            fn schema_id() -> std::borrow::Cow<'static, str> {
                <$schema>::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                <$schema>::json_schema(generator)
            }
        }
    )+};
}
transparent!(At<T> as T, Field<T> as T, Map<T> as BTreeMap<String, T>);
