//! One overlay more in a pin of `fleet.toml`; everything else, comments and layout included, stays.
//!
//! The pin that counts is the nearest one: of the deployment's own entry, else of the range that its name lies
//! in, else of the profile. A pin is replaced whole, so that a deployment which has none of its own gets the full
//! one that it inherits, with the overlay added, in an entry of its own. Law: the edited texts mean the same
//! fleet, but for the overlays of that pin. Deliberately absent: where the texts lie.

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::fleet_file::FleetText;
use super::range::Range;
use crate::model::{DeploymentName, OverlayName, PackName};

/// Whose pin gets the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// One deployment's.
    Deployment(DeploymentName),
    /// A profile's: that of all deployments that name it and have no pin of their own.
    Profile(String),
}

/// What was done to a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// Which of the texts: its place among them.
    pub file: usize,
    /// As it is now.
    pub text: String,
    /// Where the pin was found.
    pub pin: Pin,
}

/// Where a pin was found, and so where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// It was there, and got the overlay.
    Own,
    /// It was there and names the overlay already.
    Unchanged,
    /// It was inherited, and is now written in full in the deployment's own entry. From where: `profile prod`
    /// or `range edge-{1..9}`.
    Inherited(String),
}

/// A pin that cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A text that does not parse.
    #[error("{file} is no TOML")]
    Syntax {
        /// Its name.
        file: String,
    },
    /// There is no such pin.
    #[error("there is no pin of pack {pack} for {whose}")]
    NoPin {
        /// The pack.
        pack: PackName,
        /// `deployment X` or `profile X`.
        whose: String,
    },
    /// A deployment with a pin of its own, which the profile's does not reach.
    #[error(
        "{deployment} has a pin of its own for pack {pack}: the pin of profile {profile} does not reach it"
    )]
    NotReached {
        /// The deployment.
        deployment: DeploymentName,
        /// The pack.
        pack: PackName,
        /// The profile.
        profile: String,
    },
    /// A deployment of another profile, or of none.
    #[error("{deployment} is not of profile {profile}")]
    OtherProfile {
        /// The deployment.
        deployment: DeploymentName,
        /// The profile.
        profile: String,
    },
    /// A pin or its overlays that is no table or list.
    #[error("{0} is not written as a table with a list of overlays")]
    Odd(String),
}

/// All texts, parsed.
struct Documents(Vec<DocumentMut>);

/// Adds `overlay` to the pin of `pack` that counts for `deployment`. With [`Whose::Profile`] it is the profile's
/// pin that is edited; the deployment must be one that it reaches.
pub fn add_overlay(
    texts: &[FleetText],
    whose: &Whose,
    deployment: &DeploymentName,
    pack: &PackName,
    overlay: &OverlayName,
) -> Result<Edited, EditError> {
    let mut documents = Vec::new();
    for text in texts {
        let document: Result<DocumentMut, _> = text.text.parse();
        documents.push(document.map_err(|_| EditError::Syntax { file: text.name.clone() })?);
    }
    let mut documents = Documents(documents);
    let own = documents.find("deployments", deployment.as_str());
    let range = documents.range_of(deployment);
    let profile = [own, range.as_ref().map(|(file, _)| *file)].into_iter();
    let keys = [Some(deployment.as_str()), range.as_ref().map(|(_, key)| key.as_str())];
    let profile = profile.zip(keys).find_map(|(file, key)| documents.profile_of(file?, key?));
    let at = |file: Option<usize>, table: &'static str, key: &str| {
        let file = file?;
        documents.pin(file, table, key, pack)?;
        Some((file, table, key.to_owned()))
    };
    let in_own = at(own, "deployments", deployment.as_str());
    let in_range = range.as_ref().and_then(|(file, key)| at(Some(*file), "deployments", key));
    let in_profile = profile.as_ref().and_then(|name| at(documents.find("profiles", name), "profiles", name));
    let no_pin = |whose: String| EditError::NoPin { pack: pack.clone(), whose };
    match whose {
        Whose::Profile(name) => {
            if profile.as_ref() != Some(name) {
                let (deployment, profile) = (deployment.clone(), name.clone());
                return Err(EditError::OtherProfile { deployment, profile });
            }
            if in_own.is_some() || in_range.is_some() {
                let (deployment, pack, profile) = (deployment.clone(), pack.clone(), name.clone());
                return Err(EditError::NotReached { deployment, pack, profile });
            }
            let (file, table, key) = in_profile.ok_or_else(|| no_pin(format!("profile {name}")))?;
            documents.push(file, table, &key, pack, overlay)
        }
        Whose::Deployment(name) => {
            if let Some((file, table, key)) = in_own {
                return documents.push(file, table, &key, pack, overlay);
            }
            let from = match (&in_range, &in_profile) {
                (Some((_, _, key)), _) => format!("range {key}"),
                (None, Some((_, _, key))) => format!("profile {key}"),
                (None, None) => return Err(no_pin(format!("deployment {name}"))),
            };
            let inherited = in_range.or(in_profile);
            let (file, table, key) = inherited.ok_or_else(|| no_pin(format!("deployment {name}")))?;
            let odd = || EditError::Odd(format!("{table}.{key}.packs.{pack}"));
            let pin = documents.pin(file, table, &key, pack).and_then(inline).ok_or_else(odd)?;
            if names(&pin, overlay) {
                return documents.push(file, table, &key, pack, overlay);
            }
            let home = own.or(range.as_ref().map(|(file, _)| *file)).unwrap_or(0);
            documents.put(home, name, range.as_ref().map(|(_, key)| key.as_str()), pack, pin)?;
            let edited = documents.push(home, "deployments", name.as_str(), pack, overlay)?;
            Ok(Edited { pin: Pin::Inherited(from), ..edited })
        }
    }
}

impl Documents {
    /// The file that has an entry of a table.
    fn find(&self, table: &str, key: &str) -> Option<usize> {
        self.0.iter().position(|document| {
            document.get(table).and_then(Item::as_table_like).is_some_and(|table| table.contains_key(key))
        })
    }

    /// The range in which a deployment's name lies.
    fn range_of(&self, name: &DeploymentName) -> Option<(usize, String)> {
        let in_it = |key: &str| {
            Range::is_meant_by(key)
                && Range::parse(key).is_ok_and(|range| range.names().any(|(_, it)| it == name.as_str()))
        };
        self.0.iter().enumerate().find_map(|(file, document)| {
            let table = document.get("deployments")?.as_table_like()?;
            table.iter().map(|(key, _)| key).find(|key| in_it(key)).map(|key| (file, key.to_owned()))
        })
    }

    fn entry(&self, file: usize, table: &str, key: &str) -> Option<&dyn TableLike> {
        self.0.get(file)?.get(table)?.as_table_like()?.get(key)?.as_table_like()
    }

    fn profile_of(&self, file: usize, key: &str) -> Option<String> {
        self.entry(file, "deployments", key)?.get("profile")?.as_str().map(str::to_owned)
    }

    fn pin(&self, file: usize, table: &str, key: &str, pack: &PackName) -> Option<&Item> {
        self.entry(file, table, key)?.get("packs")?.as_table_like()?.get(pack.as_str())
    }

    /// Adds the overlay to a pin that is there.
    fn push(
        &mut self,
        file: usize,
        table: &str,
        key: &str,
        pack: &PackName,
        overlay: &OverlayName,
    ) -> Result<Edited, EditError> {
        let odd = || EditError::Odd(format!("{table}.{key}.packs.{pack}"));
        let document = self.0.get_mut(file).ok_or_else(odd)?;
        let pin = document
            .get_mut(table)
            .and_then(Item::as_table_like_mut)
            .and_then(|table| table.get_mut(key)?.as_table_like_mut())
            .and_then(|entry| entry.get_mut("packs")?.as_table_like_mut())
            .and_then(|packs| packs.get_mut(pack.as_str()))
            .ok_or_else(odd)?;
        if names_in(pin, overlay) {
            return Ok(Edited { file, text: document.to_string(), pin: Pin::Unchanged });
        }
        match pin.as_table_like_mut().and_then(|pin| pin.get_mut("overlays")) {
            Some(overlays) => append(overlays.as_array_mut().ok_or_else(odd)?, overlay),
            None => {
                let overlays: Array = [overlay.as_str()].into_iter().collect();
                match pin {
                    Item::Value(Value::InlineTable(pin)) => {
                        let mut overlays = Value::Array(overlays);
                        // The blank before the brace belongs behind what is last now.
                        if let Some((_, last)) = pin.iter_mut().last()
                            && let Some(behind) = last.decor().suffix().and_then(|it| it.as_str())
                        {
                            *overlays.decor_mut() = Decor::new(" ", behind);
                            last.decor_mut().set_suffix("");
                        }
                        pin.insert("overlays", overlays);
                    }
                    pin => {
                        let pin = pin.as_table_like_mut().ok_or_else(odd)?;
                        pin.insert("overlays", Item::Value(Value::Array(overlays)));
                    }
                }
            }
        }
        Ok(Edited { file, text: document.to_string(), pin: Pin::Own })
    }

    /// Writes a whole pin into a deployment's own entry, which is made where there is none: behind the range.
    fn put(
        &mut self,
        file: usize,
        name: &DeploymentName,
        range: Option<&str>,
        pack: &PackName,
        pin: InlineTable,
    ) -> Result<(), EditError> {
        let odd = || EditError::Odd(format!("deployments.{name}"));
        let document = self.0.get_mut(file).ok_or_else(odd)?;
        let deployments = document.get_mut("deployments").ok_or_else(odd)?;
        let position = range.and_then(|range| deployments.get(range)?.as_table()?.position());
        let deployments = deployments.as_table_like_mut().ok_or_else(odd)?;
        if !deployments.contains_key(name.as_str()) {
            let mut table = Table::new();
            table.set_position(position);
            table.decor_mut().set_prefix("\n");
            let own = match deployments.iter().next() {
                // Deployments on one line each, or in braces.
                Some((_, Item::Value(_))) => Item::Value(Value::InlineTable(InlineTable::new())),
                _ => Item::Table(table),
            };
            deployments.insert(name.as_str(), own);
        }
        let entry = deployments.get_mut(name.as_str()).and_then(Item::as_table_like_mut).ok_or_else(odd)?;
        let pin = Item::Value(Value::InlineTable(pin));
        if let Some(packs) = entry.get_mut("packs") {
            packs.as_table_like_mut().ok_or_else(odd)?.insert(pack.as_str(), pin);
        } else {
            let mut packs = Table::new();
            packs.set_dotted(true);
            packs.insert(pack.as_str(), pin);
            let packs = Item::Table(packs);
            entry.insert("packs", packs);
        }
        Ok(())
    }
}

/// A pin as one line.
fn inline(pin: &Item) -> Option<InlineTable> {
    let mut out = InlineTable::new();
    for (key, item) in pin.as_table_like()?.iter() {
        let mut value = item.as_value()?.clone();
        value.decor_mut().clear();
        if let Some(array) = value.as_array_mut() {
            array.iter_mut().for_each(|value| value.decor_mut().clear());
            array.set_trailing("");
            array.set_trailing_comma(false);
            array.fmt();
        }
        out.insert(key, value);
    }
    Some(out)
}

fn names(pin: &InlineTable, overlay: &OverlayName) -> bool {
    let overlays = pin.get("overlays").and_then(Value::as_array);
    overlays.is_some_and(|overlays| overlays.iter().any(|it| it.as_str() == Some(overlay.as_str())))
}

fn names_in(pin: &Item, overlay: &OverlayName) -> bool {
    let overlays = pin.as_table_like().and_then(|pin| pin.get("overlays")).and_then(Item::as_array);
    overlays.is_some_and(|overlays| overlays.iter().any(|it| it.as_str() == Some(overlay.as_str())))
}

/// One element more, in the layout of those that are there.
fn append(overlays: &mut Array, overlay: &OverlayName) {
    let prefix = overlays.iter().last().and_then(|last| last.decor().prefix()?.as_str().map(str::to_owned));
    let lines = prefix.as_ref().filter(|prefix| prefix.contains('\n'));
    match lines {
        Some(prefix) => {
            // A comment above the last element is not the new one's.
            let indent = prefix.rsplit('\n').next().unwrap_or_default();
            let mut value = Value::from(overlay.as_str());
            value.decor_mut().set_prefix(format!("\n{indent}"));
            overlays.push_formatted(value);
        }
        None => overlays.push(overlay.as_str()),
    }
}

#[cfg(test)]
#[path = "fleet_edit_tests.rs"]
mod tests;
