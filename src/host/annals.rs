//! What a commit writes about itself: its line in the history, its line in the sync log, the reason of a
//! saved edit. The same words on every kind of host.

use std::collections::BTreeMap;

use super::{Commit, HistoryLine};
use crate::model::Content;
use crate::model::plan::{Action, Cause, Purpose};

/// The history's line for a commit.
pub fn history_line(commit: &Commit<'_>) -> HistoryLine {
    let plan = commit.plan;
    let count = |wanted: fn(&Action) -> bool| plan.actions.iter().filter(|a| wanted(a)).count() as u64;
    let version = |pack: &crate::model::record::RecordedPack| pack.pin.version.clone();
    let packs: BTreeMap<_, _> =
        plan.next.packs.iter().map(|(name, pack)| (name.clone(), version(pack))).collect();
    HistoryLine {
        generation: plan.next.generation,
        time: commit.now,
        purpose: plan.purpose.clone(),
        packs,
        created: count(|a| a.before.is_none()),
        replaced: count(|a| a.before.is_some() && a.after.is_some()),
        removed: count(|a| a.after.is_none()),
        held: plan.holds.len() as u64,
        reason: commit.hurry.clone(),
        fleet: commit.fleet.clone(),
    }
}

/// The sync log's line: the text, the generation and a checksum of both, so that a torn line is known
/// from a whole one. Line breaks in the text become spaces.
pub fn log_line(text: &str, generation: u64) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = format!("{text} generation={generation}");
    let sum = Content::of(line.as_bytes()).to_string();
    format!("{line} sum={}", &sum[..8])
}

/// Why an action saves what it takes out.
pub fn reason(action: &Action, purpose: &Purpose) -> &'static str {
    match (action.cause, purpose) {
        (_, Purpose::Rollback { .. }) | (Cause::Rollback, _) => "rollback",
        (_, Purpose::RestoreEdit) => "restore",
        (Cause::Resolve, _) => "resolve",
        (Cause::Rename, _) => "rename",
        _ => "revert",
    }
}
