//! The fleet file: from texts to a validated [`Fleet`], or to all that is wrong with them.

use std::collections::BTreeMap;
use std::ops::Range;

use camino::Utf8PathBuf;

use super::problem::Problems;
use crate::model::fleet::Fleet;

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
pub fn includes(_text: &str) -> Vec<Include> {
    Vec::new()
}

/// Understands `files`, of which the first is the fleet file and the others are those it includes.
pub fn parse(_files: &[FleetText], _context: &Context) -> Result<Fleet, Problems> {
    Err(Problems(Vec::new()))
}
