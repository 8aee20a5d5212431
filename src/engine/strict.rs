//! What a fleet that validates should still not go into git with: names that nothing uses, a lock that does not fit,
//! secrets.
//!
//! All of it is read from the fleet repository alone: no source is asked and no host, so that it can run before
//! every commit. Deliberately absent: versions that do not exist, overlays that do not carry over (`plan` finds
//! these).

use std::collections::BTreeSet;

use super::edited::{self, EditedError};
use super::lock;
use super::workspace::Workspace;
use crate::desired::fleet_file::FleetText;
use crate::desired::places::{Place, Places};
use crate::desired::secrets::{Finding, Rules, scan};
use crate::model::fleet::State;

/// One thing that should not be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doubt {
    /// The file, relative to the fleet file's directory, and the line, where one is meant.
    pub file: String,
    /// From 1.
    pub line: Option<usize>,
    /// What it is.
    pub what: What,
}

/// What should not be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Nothing uses it: what it is (`pack`), and its name.
    Unused(&'static str, String),
    /// A deployment that should be there, and has no packs.
    Empty(String),
    /// A pack and a requirement of it that fleet.lock lacks.
    Unlocked(String, String),
    /// A pack and a requirement of it in fleet.lock that nothing asks for.
    Stale(String, String),
    /// A secret; without the secret.
    Secret(Finding),
}

/// All doubts, by file and line.
pub fn doubts(workspace: &Workspace) -> Result<Vec<Doubt>, EditedError> {
    let mut doubts = unused(workspace);
    doubts.extend(unlocked(workspace));
    doubts.extend(secrets(workspace, &edited::rules(workspace)?));
    doubts.sort();
    Ok(doubts)
}

fn at(place: Place, what: What) -> Doubt {
    Doubt { file: place.file, line: Some(place.line), what }
}

fn unused(workspace: &Workspace) -> Vec<Doubt> {
    let fleet = &workspace.fleet;
    let places = Places::new(workspace.texts());
    let assigned = || fleet.deployments.values().flat_map(|deployment| &deployment.packs);
    let packs: BTreeSet<&str> = assigned().map(|(pack, _)| pack.as_str()).collect();
    let sources: BTreeSet<&str> = fleet.packs.values().map(|pack| pack.source.as_str()).collect();
    let overlays: BTreeSet<&str> =
        assigned().flat_map(|(_, assignment)| &assignment.overlays).map(|name| name.as_str()).collect();
    let mut doubts = Vec::new();
    for (table, noun, used) in [
        ("sources", "source", &sources),
        ("packs", "pack", &packs),
        ("profiles", "profile", &places.profiles()),
    ] {
        let names = places.names(table).into_iter().filter(|(name, _)| !used.contains(name));
        doubts.extend(names.map(|(name, place)| at(place, What::Unused(noun, name.to_owned()))));
    }
    for name in workspace.overlays.keys().filter(|name| !overlays.contains(name.as_str())) {
        let file = format!("overlays/{name}/overlay.toml");
        doubts.push(Doubt { file, line: None, what: What::Unused("overlay", name.to_string()) });
    }
    let empty = fleet.deployments.values().filter(|it| it.state == State::Present && it.packs.is_empty());
    doubts.extend(empty.filter_map(|deployment| {
        let place = places.of(&deployment.name, None)?;
        Some(at(place, What::Empty(deployment.name.to_string())))
    }));
    doubts
}

/// A lock that is there fits; whether there is one is for people to say.
fn unlocked(workspace: &Workspace) -> Vec<Doubt> {
    if workspace.lock.is_none() {
        return Vec::new();
    }
    let doubt = |what| Doubt { file: super::repository::LOCK.to_owned(), line: None, what };
    let missing = lock::unfit(workspace).into_iter();
    let missing = missing.map(|(pack, requirement)| doubt(What::Unlocked(pack.to_string(), requirement)));
    let stale = lock::stale(workspace).into_iter();
    missing
        .chain(stale.map(|(pack, requirement)| doubt(What::Stale(pack.to_string(), requirement))))
        .collect()
}

fn secrets(workspace: &Workspace, rules: &Rules) -> Vec<Doubt> {
    let found = |file: String, text: &[u8]| {
        let findings = scan(&file, text, rules).into_iter();
        let doubt = |finding: Finding| Doubt {
            file: file.clone(),
            line: Some(finding.line),
            what: What::Secret(finding),
        };
        findings.map(doubt).collect::<Vec<_>>()
    };
    let texts = workspace.texts().iter();
    let mut doubts: Vec<Doubt> =
        texts.flat_map(|FleetText { name, text }| found(name.clone(), text.as_bytes())).collect();
    for name in workspace.overlays.keys() {
        // A directory that cannot be read is a damaged overlay, which validation names.
        let files = workspace.overlay_files(name).ok().flatten().unwrap_or_default();
        for (path, (_, bytes)) in &files {
            doubts.extend(found(format!("overlays/{name}/{path}"), bytes));
        }
    }
    doubts
}
