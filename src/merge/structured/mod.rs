//! Structured files: merging by key, keeping every byte that the merge does not speak of.
//!
//! A text is understood twice: as a [`Value`](value::Value), by which everything is decided, and as a document
//! with places, in which the decision is carried out. Between the two stands a tree of [`change`]s, each of
//! which takes the value of another document at the same key, or removes one. After every edit the result is
//! parsed again and compared with what was meant, so that a fault of an editor is an error, never a file.
//!
//! JSON may hold comments and trailing commas, as settings files do. Duplicate keys, more than 128 levels
//! and texts that are not an object at their root are refused. Arrays are values like any other: they are
//! equal or not, and are never merged.
//!
//! Laws: merging the same keys twice is merging them once; `three_way(b, b, u) = u`; a clean three-way merge
//! holds the same values whichever side is ours; a text in which nothing is to be changed keeps its bytes.
//! Deliberately absent: YAML, and a way to remove a key of a TOML file by an overlay, for TOML has no null.

pub mod change;
mod json;
mod json_edit;
mod json_text;
mod toml;
pub mod value;

use std::fmt;

use self::change::{Change, Changes};
use self::json::Json;
use self::toml::Toml;
use self::value::Value;
use crate::model::TreePath;

/// Most levels of nesting.
const MAX_DEPTH: usize = 128;
/// Most bytes of a text.
const MAX_BYTES: usize = 8 << 20;

/// A syntax that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, perhaps with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
}

impl Format {
    /// By a file's name; `None` for what is not understood.
    pub fn of(path: &TreePath) -> Option<Self> {
        match path.file_name().rsplit_once('.')?.1 {
            "json" | "jsonc" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
        })
    }
}

/// Which of the texts of an operation an error speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The file that is merged into, or looked at.
    File,
    /// The keys of an overlay.
    Overlay,
    /// What both sides come from.
    Base,
    /// The host's.
    Ours,
    /// The pack's.
    Theirs,
    /// What came out.
    Result,
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "the file",
            Self::Overlay => "the overlay",
            Self::Base => "the base",
            Self::Ours => "the host's file",
            Self::Theirs => "the pack's file",
            Self::Result => "the result",
        })
    }
}

/// Why keys cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StructuredError {
    /// Not the format.
    #[error("{text} is no {format}: line {line}, column {column}: {reason}")]
    Invalid {
        /// Which text.
        text: Text,
        /// What it should be.
        format: Format,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says; no part of the text.
        reason: String,
    },
    /// A key twice in one object.
    #[error("{text} has the key {pointer:?} twice")]
    Duplicate {
        /// Which text.
        text: Text,
        /// A JSON pointer.
        pointer: String,
    },
    /// More than 128 levels.
    #[error("{text} is nested more than {MAX_DEPTH} levels deep")]
    TooDeep {
        /// Which text.
        text: Text,
    },
    /// More than 8 MiB.
    #[error("{text} has more than 8 MiB")]
    TooLarge {
        /// Which text.
        text: Text,
    },
    /// Something else than an object where keys are merged.
    #[error("{text} holds no object at {pointer:?}, so that no keys can be merged there")]
    NoObject {
        /// Which text.
        text: Text,
        /// A JSON pointer; empty for the whole text.
        pointer: String,
    },
    /// A text that is no JSON pointer.
    #[error("{0:?} is no JSON pointer: it begins with \"/\", as in \"/dependencies\"")]
    Pointer(String),
    /// LF and CRLF in one TOML file.
    #[error("{text} has lines that end in LF and lines that end in CRLF")]
    LineEnds {
        /// Which text.
        text: Text,
    },
    /// Dotted keys of one table with other keys between them.
    #[error(
        "{text} has dotted keys of one table apart from each other, which an edit would move: write them together"
    )]
    Apart {
        /// Which text.
        text: Text,
    },
    /// The edited text does not say what was meant.
    #[error("the edited text does not say what was meant; nothing is written")]
    Broken,
}

/// What came of a three-way merge by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Structured {
    /// The merged text: ours, with the other side's changes.
    Clean(String),
    /// Both sides changed these keys, differently.
    Conflict {
        /// JSON pointers, sorted.
        pointers: Vec<String>,
    },
}

/// How values are brought from one document into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// From an overlay: nulls in objects remove, comments are about the overlay and stay there.
    Overlay,
    /// From another version of the file: as it is written there.
    Version,
}

/// A parsed text that can be edited.
trait Document<'t>: Sized {
    /// Understands a text; the root is an object.
    fn parse(text: &'t str, which: Text) -> Result<Self, StructuredError>;

    /// What it says.
    fn value(&self) -> &Value;

    /// Whether another text is of this format and says this.
    fn says(text: &str, meant: &Value) -> bool;

    /// The text with `changes`, which take from `other`; all else byte for byte.
    fn edit(&self, other: &Self, changes: &Changes, taking: Taking) -> Result<String, StructuredError>;
}

/// Merges the keys of `patch` into `target` after RFC 7396: objects merge, `null` removes, all else replaces.
///
/// Both must be objects: an overlay for a whole file is a file. New keys follow the ones that are there. A
/// value that says the same already keeps its bytes (`1.0` for `1`, another order of keys).
pub fn merge_keys(format: Format, target: &str, patch: &str) -> Result<String, StructuredError> {
    match format {
        Format::Json => merge_in::<Json<'_>>(target, patch),
        Format::Toml => merge_in::<Toml>(target, patch),
    }
}

/// Merges by key what two sides made of `base`.
///
/// The result is our text, comments, order and spelling included, with the values that only the other side
/// changed: ours is what a person on the host wrote, and nothing of it may be lost. If a side is the base, byte
/// for byte, the result is the other side, byte for byte.
pub fn three_way(
    format: Format,
    base: &str,
    ours: &str,
    theirs: &str,
) -> Result<Structured, StructuredError> {
    match format {
        Format::Json => three_way_in::<Json<'_>>(base, ours, theirs),
        Format::Toml => three_way_in::<Toml>(base, ours, theirs),
    }
}

/// Puts the host's values of some keys into the pack's text; a key that the host's file lacks is removed.
///
/// `pointers` are JSON pointers, also for TOML. One that leads through something else than an object names
/// nothing on that side.
pub fn keys_of_host(
    format: Format,
    ours: &str,
    theirs: &str,
    pointers: &[String],
) -> Result<String, StructuredError> {
    match format {
        Format::Json => keys_of_host_in::<Json<'_>>(ours, theirs, pointers),
        Format::Toml => keys_of_host_in::<Toml>(ours, theirs, pointers),
    }
}

/// What a text says without some keys, in a form for comparison: equal for two texts that differ in these
/// keys, in the order of keys, in layout and comments, or in the spelling of numbers only.
///
/// An object that holds nothing but such keys is left out with them.
pub fn without_keys(format: Format, text: &str, pointers: &[String]) -> Result<String, StructuredError> {
    let mut value = match format {
        Format::Json => Json::parse(text, Text::File)?.value().clone(),
        Format::Toml => Toml::parse(text, Text::File)?.value().clone(),
    };
    for pointer in pointers {
        change::leave_out(&mut value, &change::tokens(pointer)?);
    }
    Ok(value.canonical())
}

/// The keys that an overlay sets or removes: JSON pointers, sorted.
pub fn keys_of(format: Format, overlay: &str) -> Result<Vec<String>, StructuredError> {
    let value = match format {
        Format::Json => Json::parse(overlay, Text::Overlay)?.value().clone(),
        Format::Toml => Toml::parse(overlay, Text::Overlay)?.value().clone(),
    };
    let mut pointers = Vec::new();
    change::leaves(&value, "", &mut pointers);
    // An overlay without a key names none, not the whole file.
    pointers.retain(|pointer| !pointer.is_empty());
    pointers.sort();
    Ok(pointers)
}

/// The keys that an overlay sets or removes and that upstream changed as well, to something else. For
/// carrying an overlay from the version `base` to the version `new`.
pub fn contested_keys(
    format: Format,
    patch: &str,
    base: &str,
    new: &str,
) -> Result<Vec<String>, StructuredError> {
    fn contested<'t, D: Document<'t>>(
        patch: &'t str,
        base: &'t str,
        new: &'t str,
    ) -> Result<Vec<String>, StructuredError> {
        let (patch, base) = (D::parse(patch, Text::Overlay)?, D::parse(base, Text::Base)?);
        let new = D::parse(new, Text::File)?;
        Ok(change::contested(patch.value(), base.value(), new.value()))
    }
    match format {
        Format::Json => contested::<Json<'_>>(patch, base, new),
        Format::Toml => contested::<Toml>(patch, base, new),
    }
}

/// The keys that say how `to` differs from `from`, for [`merge_keys`]: with the values as `to` spells them.
///
/// `None` if keys cannot say it: nothing differs, or a key of a TOML file goes, for TOML has no null. Whether
/// merging them gives `to` byte for byte is for the caller to try: comments and layout are no keys, and a
/// null in `to` is none that an overlay can set.
pub fn keys_between(format: Format, from: &str, to: &str) -> Result<Option<String>, StructuredError> {
    match format {
        Format::Json => {
            let wanted = Json::parse(to, Text::Overlay)?;
            let changes = change::difference(Json::parse(from, Text::File)?.value(), wanted.value());
            let (takes, removes) = change::parted(&changes);
            if takes.is_empty() && removes.is_empty() {
                return Ok(None);
            }
            let taken = Json::parse("{\n}\n", Text::File)?.edit(&wanted, &takes, Taking::Version)?;
            let nulls = change::nulls(&removes);
            let nulls = Json::parse(&nulls, Text::Overlay)?;
            let keys = Json::parse(&taken, Text::File)?.edit(&nulls, &removes, Taking::Version)?;
            Ok(Some(keys))
        }
        Format::Toml => {
            let wanted = Toml::parse(to, Text::Overlay)?;
            let changes = change::difference(Toml::parse(from, Text::File)?.value(), wanted.value());
            let (takes, removes) = change::parted(&changes);
            if takes.is_empty() || !removes.is_empty() {
                return Ok(None);
            }
            Toml::parse("", Text::File)?.edit(&wanted, &takes, Taking::Version).map(Some)
        }
    }
}

fn merge_in<'t, D: Document<'t>>(target: &'t str, patch: &'t str) -> Result<String, StructuredError> {
    let document = D::parse(target, Text::File)?;
    let patch = D::parse(patch, Text::Overlay)?;
    let changes = change::of_patch(document.value(), patch.value());
    carried_out(target, &document, &patch, &changes, Taking::Overlay)
}

fn three_way_in<'t, D: Document<'t>>(
    base: &'t str,
    ours: &'t str,
    theirs: &'t str,
) -> Result<Structured, StructuredError> {
    let document = D::parse(ours, Text::Ours)?;
    let (base_document, other) = (D::parse(base, Text::Base)?, D::parse(theirs, Text::Theirs)?);
    if base == ours {
        return Ok(Structured::Clean(theirs.to_owned()));
    }
    let mut pointers = Vec::new();
    let change = change::three_way(
        Some(base_document.value()),
        Some(document.value()),
        Some(other.value()),
        "",
        &mut pointers,
    );
    if !pointers.is_empty() {
        pointers.sort();
        return Ok(Structured::Conflict { pointers });
    }
    let changes = match change {
        None => Changes::new(),
        Some(Change::Into(changes)) => changes,
        // The root differs from nothing but itself: ours says what base says.
        Some(Change::Take | Change::Remove) => change::between(document.value(), other.value()),
    };
    carried_out(ours, &document, &other, &changes, Taking::Version).map(Structured::Clean)
}

fn keys_of_host_in<'t, D: Document<'t>>(
    ours: &'t str,
    theirs: &'t str,
    pointers: &[String],
) -> Result<String, StructuredError> {
    let document = D::parse(theirs, Text::Theirs)?;
    let host = D::parse(ours, Text::Ours)?;
    let mut changes = Changes::new();
    for pointer in pointers {
        let tokens = change::tokens(pointer)?;
        if let Some(change) = change::of_host(document.value(), host.value(), &tokens, pointer)? {
            change::add(&mut changes, change);
        }
    }
    carried_out(theirs, &document, &host, &changes, Taking::Version)
}

/// Edits, and looks at what came out.
fn carried_out<'t, D: Document<'t>>(
    text: &str,
    document: &D,
    other: &D,
    changes: &Changes,
    taking: Taking,
) -> Result<String, StructuredError> {
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    let meant = change::applied(document.value(), other.value(), changes, taking);
    let result = document.edit(other, changes, taking)?;
    if D::says(&result, &meant) { Ok(result) } else { Err(StructuredError::Broken) }
}

#[cfg(test)]
#[path = "structured_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "law_tests.rs"]
mod laws;
