//! How names, paths and words of the model are read from a fleet file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::document::{Node, Value};
use super::problem::quoted;
use super::read::{Read, expected};
use super::report::Report;
use super::scalar::{Refused, from_text, refused, schema};
use super::suggest::did_you_mean;
use crate::model::fleet::{Changed, Deleted, Mode, State};
use crate::model::outward::Topic;
use crate::model::pack::{Case, Modes, TagPattern};
use crate::model::{FleetName, OverlayName, PackName, PathError, SourceName, TreePath};

macro_rules! names {
    ($($type:ty),+) => {$(
        schema!($type, {
            "type": "string",
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$",
        });

        impl Read for $type {
            fn read(node: &Node, report: &mut Report) -> Option<Self> {
                from_text(node, "a name", report, |text| {
                    Self::new(text).map_err(|error| refused(format!("{} is no name: {error}", quoted(text))))
                })
            }
        }
    )+};
}
names!(FleetName, SourceName, PackName, OverlayName);

/// Words of which a key takes one.
macro_rules! words {
    ($type:ty: $($word:literal => $value:expr),+) => {
        schema!($type, { "type": "string", "enum": [$($word),+] });

        impl Read for $type {
            fn read(node: &Node, report: &mut Report) -> Option<Self> {
                let words = [$($word),+];
                from_text(node, &format!("one of {}", words.join(", ")), report, |text| match text {
                    $($word => Ok($value),)+
                    _ => Err(Refused {
                        why: format!("{} is none of {}", quoted(text), words.join(", ")),
                        hint: did_you_mean(text, words.into_iter()),
                    }),
                })
            }
        }
    };
}
words!(Changed: "merge" => Changed::Merge, "keep" => Changed::Keep, "revert" => Changed::Revert);
words!(Deleted: "restore" => Deleted::Restore, "keep" => Deleted::Keep);
words!(Modes: "exec-bit" => Modes::ExecBit, "ignore" => Modes::Ignore);
words!(Case: "refuse" => Case::Refuse, "distinct" => Case::Distinct);
words!(Mode: "converge" => Mode::Converge, "observe" => Mode::Observe);
words!(State: "present" => State::Present, "absent" => State::Absent);

words!(Topic: "held" => Topic::Held, "failed" => Topic::Failed, "rolled-back" => Topic::RolledBack,
    "recovered" => Topic::Recovered);

schema!(TreePath, {
    "type": "string",
    "pattern": "^[^/]+(/[^/]+)*$",
});

impl Read for TreePath {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a relative path", report, tree_path)
    }
}

/// Reads a path in a pack or beneath a root.
pub(super) fn tree_path(text: &str) -> Result<TreePath, Refused> {
    TreePath::new(text).map_err(|error| {
        let hint = match &error {
            PathError::Absolute(_) => "write it without the leading `/`: it is relative",
            PathError::Component { .. } if text.ends_with('/') => "write it without the trailing `/`",
            PathError::Component { .. } => "name the path itself, without `.`, `..` or doubled `/`",
            _ => return refused(error.to_string()),
        };
        refused(error.to_string()).hint(hint)
    })
}

/// A directory with everything in it (`.`), or a path beneath it.
#[derive(Debug, Clone)]
pub(super) struct Within(pub Option<TreePath>);
schema!(Within, {
    "type": "string",
    "pattern": "^[^/]+(/[^/]+)*$",
});

impl Read for Within {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a relative path, or \".\"", report, |text| within(text).map(Self))
    }
}

/// Reads `.` as the whole.
pub(super) fn within(text: &str) -> Result<Option<TreePath>, Refused> {
    if text == "." { Ok(None) } else { tree_path(text).map(Some) }
}

schema!(TagPattern, {
    "type": "string",
    "pattern": "^[^-][^{}]*\\{version\\}[^{}]*$|^\\{version\\}[^{}]*$",
});

impl Read for TagPattern {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a tag pattern", report, |text| {
            ref_name(&text.replace("{version}", "0"), "tag")?;
            Self::new(text).ok_or_else(|| {
                refused(format!("{} does not say where the version stands", quoted(text)))
                    .hint("write {version} in it, once: \"v{version}\"")
            })
        })
    }
}

/// The name of a tag or branch, as git allows it.
#[derive(Debug, Clone)]
pub(super) struct RefName(pub String);
schema!(RefName, { "type": "string", "pattern": "^[^-/. ~^:?*\\\\\\[][^ ~^:?*\\\\\\[]*$" });

impl Read for RefName {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "the name of a tag or branch", report, |text| {
            ref_name(text, "tag or branch").map(|()| Self(text.into()))
        })
    }
}

/// git's rules for the name of a ref, and no leading dash, which would read as an option.
fn ref_name(text: &str, what: &str) -> Result<(), Refused> {
    let component = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = text.starts_with('-')
        || text.len() > 1000
        || text.ends_with('.')
        || text == "@"
        || text.contains("..")
        || text.contains("@{")
        || text.contains(|c: char| c.is_control() || " ~^:?*[\\".contains(c))
        || text.split('/').any(component);
    if bad { Err(refused(format!("git allows no {what} of the name {}", quoted(text)))) } else { Ok(()) }
}

/// A commit id, perhaps abbreviated, in lower case.
#[derive(Debug, Clone)]
pub(super) struct Revision(pub String);
schema!(Revision, { "type": "string", "pattern": "^[0-9a-fA-F]{4,64}$" });

impl Read for Revision {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a commit id", report, |text| {
            if (4..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(Self(text.to_ascii_lowercase()));
            }
            Err(refused(format!("{} is no commit id: 4 to 64 hexadecimal digits", quoted(text)))
                .hint("for anything else, use `tag` or `branch`"))
        })
    }
}

/// The name of an environment variable that holds a secret: `{ env = "NAME" }`.
#[derive(Debug, Clone)]
pub(super) struct FromEnvironment(pub String);

impl JsonSchema for FromEnvironment {
    fn schema_name() -> Cow<'static, str> {
        "FromEnvironment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret, by the name of the environment variable that holds it",
            "type": "object",
            "properties": { "env": { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" } },
            "required": ["env"],
            "additionalProperties": false,
        })
    }
}

impl Read for FromEnvironment {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let what = "{ env = \"NAME\" }: a secret does not belong into this file";
        let variable = |text: &str| {
            !text.is_empty()
                && !text.starts_with(|c: char| c.is_ascii_digit())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match &node.value {
            Value::Table(table) => match table.get("env").map(|entry| &entry.node.value) {
                Some(Value::Text(name)) if table.len() == 1 && variable(name) => Some(Self(name.to_string())),
                _ => expected(node, what, report),
            },
            _ => expected(node, what, report),
        }
    }
}
