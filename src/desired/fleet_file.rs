//! The fleet file: from texts to a validated [`Fleet`], or to all that is wrong with them.
//!
//! Flow: each text becomes a tree of values with places ([`document`]); the trees of all files become one, in
//! which a name is given once; that one is read into the raw tables, which finds unknown keys and wrong types;
//! profiles and ranges are followed; and what is left is checked against everything else ([`validate`]).
//! Syntax errors end it early, since what a broken file was about to say is unknown.
//!
//! Pure: the caller reads the files, and says which overlays exist.
//!
//! [`document`]: super::document
//! [`validate`]: super::validate

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Range;

use camino::Utf8PathBuf;

use super::document::{Entry, Node, Table, Value, peek, read};
use super::problem::{Problems, quoted};
use super::profile::write_out;
use super::raw::RawFile;
use super::read::{Read, expected};
use super::report::{Place, Report, fault};
use super::scalar::path_pattern;
use super::validate::fleet;
use crate::model::fleet::Fleet;

/// What included files may hold; all of it is by name.
const INCLUDABLE: [&str; 4] = ["sources", "packs", "profiles", "deployments"];

/// One file's text, and the name under which problems speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetText {
    /// For people: the path as they would write it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What the texts are to be understood against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The directory of the fleet file, absolute.
    pub directory: Utf8PathBuf,
    /// The overlay directories that exist, each with the `pack` of its `overlay.toml`, if that names one.
    pub overlays: BTreeMap<String, Option<String>>,
}

/// A pattern of `fleet.include`, relative to the fleet file's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// A path or a glob.
    pub pattern: String,
    /// Where it stands in the fleet file.
    pub span: Range<usize>,
}

/// The usable patterns of `fleet.include`; the others are problems, which [`parse`] reports.
pub fn includes(text: &str) -> Vec<Include> {
    let Some(table) = peek(text) else { return Vec::new() };
    let fleet = table.get("fleet").map(|entry| &entry.node.value);
    let Some(Value::Table(fleet)) = fleet else { return Vec::new() };
    let include = fleet.get("include").map(|entry| &entry.node.value);
    let Some(Value::List(items)) = include else { return Vec::new() };
    let usable = |item: &Node| match &item.value {
        Value::Text(text) => {
            path_pattern(text).ok().map(|pattern| Include { pattern, span: item.place.start..item.place.end })
        }
        _ => None,
    };
    items.iter().filter_map(usable).collect()
}

/// Understands `files`, of which the first is the fleet file and the others are those it includes.
/// The result depends on nothing but the arguments, and not on the order of the included files.
pub fn parse(files: &[FleetText], context: &Context) -> Result<Fleet, Problems> {
    let mut report = Report::new(files);
    let trees: Vec<Option<Table>> =
        files.iter().enumerate().map(|(file, text)| read(file, &text.text, &mut report)).collect();
    let whole = trees.iter().all(Option::is_some);
    let table = unite(trees.into_iter().flatten().collect(), &mut report);
    let empty = Table::new();
    let below = |key: &str| match table.get(key).map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => table.clone(),
        _ => empty.clone(),
    };
    let (deployments, profiles) = (below("deployments"), below("profiles"));
    let root = Node { place: Place::new(0, 0..0), value: Value::Table(table) };
    let raw = RawFile::read(&root, &mut report);
    let fleet = match raw.filter(|_| whole) {
        None => None,
        Some(raw) => {
            let written = write_out(&deployments, &profiles, &mut report);
            fleet(&raw, &written, context, &mut report)
        }
    };
    match (fleet, report.finish()) {
        (Some(fleet), None) => Ok(fleet),
        (_, Some(problems)) => Err(problems),
        // Nothing was wrong, yet nothing came of it: the first file is missing.
        (None, None) => Err(Problems(Vec::new())),
    }
}

/// One table of all files. A name that two files give is a problem that names both places.
fn unite(trees: Vec<Table>, report: &mut Report) -> Table {
    let mut trees = trees.into_iter();
    let mut united = trees.next().unwrap_or_default();
    for (key, entry) in trees.flatten() {
        if !INCLUDABLE.contains(&key.as_str()) {
            let message = format!("{} belongs into the fleet file itself", quoted(&key));
            let hint = format!("an included file may hold {}", INCLUDABLE.join(", "));
            report.add(&entry.key, fault(message, "not in an included file").hint(hint));
            continue;
        }
        match united.entry(key) {
            btree_map::Entry::Vacant(slot) => {
                slot.insert(entry);
            }
            btree_map::Entry::Occupied(mut slot) => match (&mut slot.get_mut().node.value, &entry.node.value)
            {
                (Value::Table(named), Value::Table(more)) => add_names(named, more, report),
                // Whatever stands in its place in the other file is found to be no table later.
                (_, Value::Table(_)) => {}
                _ => {
                    let key = slot.key().clone();
                    report.within(&key, |report| expected::<()>(&entry.node, "a table", report));
                }
            },
        }
    }
    united
}

fn add_names(named: &mut Table, more: &Table, report: &mut Report) {
    for (name, entry) in more {
        match named.entry(name.clone()) {
            btree_map::Entry::Vacant(slot) => {
                slot.insert(entry.clone());
            }
            btree_map::Entry::Occupied(slot) => twice(slot.key(), slot.get(), entry, report),
        }
    }
}

fn twice(name: &str, first: &Entry, second: &Entry, report: &mut Report) {
    let first = report.locate(&first.key);
    let message = format!("{} is given twice, first at {first}", quoted(name));
    let hint = "a name is given once in all files; rename or remove one of the two";
    report.add(&second.key, fault(message, "given again here").hint(hint));
}
