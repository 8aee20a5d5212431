//! Collects problems while a fleet is being read.
//!
//! The same stanza is looked at several times (by itself, and merged into each deployment that uses it), and a
//! range stands for many deployments; so what is said of one place with the same label is said once, and labels
//! name no deployment. Problems come out in the order of files and places, whatever order found them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::fleet_file::FleetText;
use super::problem::{Problem, Problems, line_column, quoted};

/// Nobody reads more, and a hostile file would have a million.
const MAX_PROBLEMS: usize = 1000;

/// Where something stands in the fleet's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Which of the files.
    pub file: usize,
    /// First byte at fault.
    pub start: usize,
    /// Byte after the last one at fault.
    pub end: usize,
}

impl Place {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// What is wrong, without the place.
#[derive(Debug)]
pub(super) struct Fault {
    message: String,
    label: String,
    hint: Option<String>,
}

/// A message that says what is wrong with what, and a few words for the underlined place.
pub(super) fn fault(message: impl Into<String>, label: impl Into<String>) -> Fault {
    Fault { message: message.into(), label: label.into(), hint: None }
}

impl Fault {
    /// What to do next.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What to do next, if something better than the message is known.
    pub(super) fn perhaps(self, hint: Option<String>) -> Self {
        Self { hint: hint.or(self.hint), ..self }
    }
}

/// The problems found so far.
pub(super) struct Report<'a> {
    files: &'a [FleetText],
    found: Vec<(Place, Fault)>,
    seen: BTreeSet<(Place, String)>,
    path: Vec<String>,
}

impl<'a> Report<'a> {
    pub(super) fn new(files: &'a [FleetText]) -> Self {
        Self { files, found: Vec::new(), seen: BTreeSet::new(), path: Vec::new() }
    }

    /// Notes a fault at a place, unless the same has been said of it.
    pub(super) fn add(&mut self, place: &Place, fault: Fault) {
        if self.seen.insert((place.clone(), fault.label.clone())) {
            self.found.push((place.clone(), fault));
        }
    }

    /// `fleet.d/x.toml:3:1`, to name a second place in a message.
    pub(super) fn locate(&self, place: &Place) -> String {
        let Some(file) = self.files.get(place.file) else { return String::new() };
        let (line, column) = line_column(&file.text, place.start);
        format!("{}:{line}:{column}", file.name)
    }

    /// Does something for the value of `key`, which [`Report::path`] names meanwhile.
    pub(super) fn within<T>(&mut self, key: &str, action: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let result = action(self);
        self.path.pop();
        result
    }

    /// The keys down to the value that is being read, as in `packs.slack.requires`.
    /// What is no plain name stands in quotes, like all texts of users.
    pub(super) fn path(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-{}.".contains(c);
        let shown = |key: &String| if key.chars().all(plain) { key.clone() } else { quoted(key) };
        self.path.iter().map(shown).collect::<Vec<_>>().join(".")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All problems, in order; `None` if there are none.
    pub(super) fn finish(mut self) -> Option<Problems> {
        self.found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = self.found.len().saturating_sub(MAX_PROBLEMS);
        self.found.truncate(MAX_PROBLEMS);
        if let Some((_, last)) = self.found.last_mut().filter(|_| more > 0) {
            last.hint =
                Some(format!("{more} more problems follow; they are shown once some of these are solved"));
        }
        let problems: Vec<Problem> = self
            .found
            .into_iter()
            .map(|(place, Fault { message, label, hint })| Problem {
                file: self.files.get(place.file).map_or_else(String::new, |file| file.name.clone()),
                span: place.start..place.end,
                message,
                label,
                hint,
            })
            .collect();
        (!problems.is_empty()).then_some(Problems(problems))
    }
}
