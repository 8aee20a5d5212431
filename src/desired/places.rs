//! Where fleet.toml speaks of something: the line that a report points to.
//!
//! A pack of a deployment is its pin: of the deployment's own entry, else of the range that its name lies in, else
//! of the profile. Without a pin the entry itself is meant. Deliberately absent: what is wrong there.

use std::collections::BTreeSet;

use toml_edit::{Document, TableLike};

use super::fleet_file::FleetText;
use super::problem::line_column;
use super::range::Range;
use crate::model::{DeploymentName, PackName};

/// A line of one of the texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The text's name.
    pub file: String,
    /// From 1.
    pub line: usize,
}

/// All texts, parsed once; those that do not parse hold no places.
pub struct Places<'t>(Vec<(&'t FleetText, Document<&'t str>)>);

impl<'t> Places<'t> {
    /// Parses the texts of a fleet.
    pub fn new(texts: &'t [FleetText]) -> Self {
        let parsed = |text: &'t FleetText| Some((text, Document::parse(text.text.as_str()).ok()?));
        Self(texts.iter().filter_map(parsed).collect())
    }

    /// Where a deployment, or its pin of a pack, stands.
    pub fn of(&self, deployment: &DeploymentName, pack: Option<&PackName>) -> Option<Place> {
        let own = self.key("deployments", |key| key == deployment.as_str());
        let range = self.key("deployments", |key| {
            Range::is_meant_by(key)
                && Range::parse(key)
                    .is_ok_and(|range| range.names().any(|(_, name)| name == deployment.as_str()))
        });
        let profile = [own, range].into_iter().flatten().find_map(|entry| entry.profile());
        let profile = profile.and_then(|name| self.key("profiles", |key| key == name));
        let entries = || [own, range, profile].into_iter().flatten();
        pack.and_then(|pack| entries().find_map(|entry| entry.pin(pack)))
            .or_else(|| entries().next().map(|entry| entry.place()))
    }

    /// Every name in a table of names, and where it stands; in the order of the texts.
    pub fn names(&self, table: &str) -> Vec<(&str, Place)> {
        let mut names = Vec::new();
        for (text, document) in &self.0 {
            let Some(table) = document.get(table).and_then(|item| item.as_table_like()) else { continue };
            for (name, _) in table.iter() {
                let at = table.get_key_value(name).and_then(|(key, _)| key.span());
                let line = line_column(&text.text, at.map_or(0, |span| span.start)).0;
                names.push((name, Place { file: text.name.clone(), line }));
            }
        }
        names
    }

    /// The profiles that deployments have.
    pub fn profiles(&self) -> BTreeSet<&str> {
        let tables = self.0.iter().filter_map(|(_, document)| document.get("deployments")?.as_table_like());
        tables
            .flat_map(|table| table.iter())
            .filter_map(|(_, entry)| entry.get("profile")?.as_str())
            .collect()
    }

    fn key(&self, table: &str, means: impl Fn(&str) -> bool) -> Option<Found<'_>> {
        self.0.iter().find_map(|(text, document)| {
            let table = document.get(table)?.as_table_like()?;
            let (name, item) = table.iter().find(|(key, _)| means(key))?;
            let (key, _) = table.get_key_value(name)?;
            Some(Found { text, at: key.span().map_or(0, |span| span.start), entry: item.as_table_like()? })
        })
    }
}

/// One entry of a text.
#[derive(Clone, Copy)]
struct Found<'a> {
    text: &'a FleetText,
    at: usize,
    entry: &'a dyn TableLike,
}

impl<'a> Found<'a> {
    fn place(&self) -> Place {
        self.line(self.at)
    }

    fn line(&self, at: usize) -> Place {
        Place { file: self.text.name.clone(), line: line_column(&self.text.text, at).0 }
    }

    fn profile(&self) -> Option<&'a str> {
        self.entry.get("profile")?.as_str()
    }

    fn pin(&self, pack: &PackName) -> Option<Place> {
        let (key, _) = self.entry.get("packs")?.as_table_like()?.get_key_value(pack.as_str())?;
        Some(self.line(key.span()?.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_that_counts() {
        let texts = [
            FleetText {
                name: "fleet.toml".into(),
                text:
                    "[profiles.all]\npacks.bot = { version = \"1\" }\n\n[deployments.a]\nprofile = \"all\"\n\
                       packs.core = { rev = \"x\" }\n\n[deployments.\"edge-{1..3}\"]\nprofile = \"all\"\n\
                       [deployments.\"edge-{1..3}\".packs]\ncore = { rev = \"y\" }\n"
                        .into(),
            },
            FleetText { name: "fleet.d/x.toml".into(), text: "\n[deployments.b]\nroot = \"/b\"\n".into() },
        ];
        let places = Places::new(&texts);
        let of = |deployment: &str, pack: Option<&str>| {
            let pack = pack.map(|pack| PackName::new(pack).unwrap());
            let place = places.of(&DeploymentName::new(deployment).unwrap(), pack.as_ref());
            place.map(|place| format!("{}:{}", place.file, place.line))
        };
        for (deployment, pack, expected) in [
            ("a", None, Some("fleet.toml:4")),
            ("a", Some("core"), Some("fleet.toml:6")),
            ("a", Some("bot"), Some("fleet.toml:2")),
            ("a", Some("gone"), Some("fleet.toml:4")),
            ("edge-2", None, Some("fleet.toml:8")),
            ("edge-2", Some("core"), Some("fleet.toml:11")),
            ("edge-2", Some("bot"), Some("fleet.toml:2")),
            ("b", Some("bot"), Some("fleet.d/x.toml:2")),
            ("edge-4", None, None),
        ] {
            assert_eq!(of(deployment, pack).as_deref(), expected, "{deployment} {pack:?}");
        }
        let names: Vec<String> = places
            .names("deployments")
            .iter()
            .map(|(name, at)| format!("{name} {}:{}", at.file, at.line))
            .collect();
        assert_eq!(names, ["a fleet.toml:4", "edge-{1..3} fleet.toml:8", "b fleet.d/x.toml:2"]);
        assert_eq!(places.profiles().into_iter().collect::<Vec<_>>(), ["all"]);
    }
}
