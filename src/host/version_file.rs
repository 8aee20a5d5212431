//! The VERSION file and the line of the sync log: what people and other tools read on a host.
//!
//! The file is JSON. Keys that packfleet does not know are kept; its own are replaced where they stand. A key's place
//! never changes, so that a file that somebody keeps in git shows what moved and no more.
//! Both move only with a generation, so they never say what is not there.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::model::plan::{Plan, Purpose};

/// An existing VERSION file that is no JSON object: it is somebody else's, and not overwritten.
#[derive(Debug, thiserror::Error)]
pub enum VersionFileError {
    /// No JSON.
    #[error("it is no JSON")]
    Syntax(#[source] serde_json::Error),
    /// JSON, but no object.
    #[error("it is JSON, but no object")]
    NoObject,
}

/// The existing file, as an object; empty if there is none.
pub fn parse(existing: Option<&[u8]>) -> Result<Map<String, Value>, VersionFileError> {
    match existing {
        None => Ok(Map::new()),
        Some(bytes) => match serde_json::from_slice(bytes).map_err(VersionFileError::Syntax)? {
            Value::Object(map) => Ok(map),
            _ => Err(VersionFileError::NoObject),
        },
    }
}

/// The file's new bytes: the existing object with packfleet's keys replaced.
pub fn render(mut map: Map<String, Value>, location: Option<&str>, plan: &Plan, now: Timestamp) -> Vec<u8> {
    let next = &plan.next;
    map.insert("deployment".into(), json!(next.deployment));
    if let Some(location) = location {
        map.insert("location".into(), json!(location));
    }
    // Keys of packs that are gone would lie; they are known from the file's own packfleet object.
    let former: Vec<String> = map
        .get("packfleet")
        .and_then(|own| own.get("packs")?.as_object())
        .map(|packs| packs.values().filter_map(|p| Some(p.get("key")?.as_str()?.to_owned())).collect())
        .unwrap_or_default();
    for key in former.iter().filter(|key| !next.packs.values().any(|pack| &pack.version_key == *key)) {
        map.shift_remove(key);
    }
    let mut features = Vec::new();
    let mut packs = Map::new();
    let mut commits = std::collections::BTreeSet::new();
    for (name, pack) in &next.packs {
        map.insert(pack.version_key.clone(), json!(pack.pin.version));
        features.extend(pack.features.iter().cloned());
        commits.insert(pack.pin.commit.clone());
        let mut entry = Map::new();
        entry.insert("key".into(), json!(pack.version_key));
        entry.insert("version".into(), json!(pack.pin.version));
        if let Some(commit) = &pack.pin.commit {
            entry.insert("commit".into(), json!(commit));
        }
        entry.insert("tree".into(), json!(pack.pin.tree));
        entry.insert("desired".into(), json!(pack.desired));
        if !pack.overlays.is_empty() {
            entry.insert("overlays".into(), json!(pack.overlays));
        }
        packs.insert(name.as_str().to_owned(), Value::Object(entry));
    }
    map.insert("last_sync".into(), json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    match commits.first() {
        Some(Some(commit)) if commits.len() == 1 => {
            map.insert("git_commit".into(), json!(commit));
        }
        _ => {
            map.shift_remove("git_commit");
        }
    }
    map.insert("features".into(), json!(features));
    let own = json!({
        "fleet": next.fleet,
        "generation": next.generation,
        "packs": packs,
    });
    map.insert("packfleet".into(), own);
    let mut text = serde_json::to_vec_pretty(&Value::Object(map)).expect("a JSON value serialises");
    text.push(b'\n');
    text
}

/// The line of the sync log, without generation and checksum, which the host appends.
pub fn log_line(plan: &Plan, now: Timestamp) -> String {
    let packs: Vec<String> =
        plan.next.packs.iter().map(|(name, pack)| format!("{name}={}", pack.pin.version)).collect();
    let count = |put: fn(&crate::model::plan::Action) -> bool| plan.actions.iter().filter(|a| put(a)).count();
    let what = match plan.purpose {
        Purpose::Sync => "sync".to_owned(),
        ref purpose => purpose.to_string().replace(' ', "-"),
    };
    format!(
        "{} {} {what} {} created={} replaced={} removed={} held={}",
        now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        plan.next.deployment,
        if packs.is_empty() { "no-packs".to_owned() } else { packs.join(",") },
        count(|a| a.before.is_none()),
        count(|a| a.before.is_some() && a.after.is_some()),
        count(|a| a.after.is_none()),
        plan.holds.len(),
    )
}
