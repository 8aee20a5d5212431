//! What a deployment waits for by the clock and by others of the rollout, in words: its stage, a pause, its
//! window, its turn; and what clears each.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::words;
use crate::cli::hint::Hints;
use crate::cli::printer::shown;
use crate::engine::Survey;
use crate::model::care::seconds;
use crate::model::ranges::compress;
use crate::model::{DeploymentName, PackName};
use crate::plan::gate::{Change, Lag, PausedBy, Reason};

/// In one line.
pub fn text(reason: &Reason, survey: Option<&Survey>) -> String {
    match reason {
        Reason::Stopped { stage, pack, failed, allowed } => format!(
            "stage {stage} is stopped: {} failed on {} ({allowed} may fail)",
            wanted(survey, pack),
            compress(failed.iter().map(DeploymentName::as_str))
        ),
        Reason::Stage { stage, pack, tree, change, soak, lagging, heard, .. } => {
            let as_now = match change {
                Change::Tree => "",
                Change::Rendering => " as it is rendered now",
            };
            let what = match tree {
                Some(tree) => format!("{} (tree {}){as_now}", wanted(survey, pack), tree.short()),
                None => format!("no {pack}"),
            };
            let soak = match soak {
                0 => String::new(),
                soak => format!(", healthy, for {}", seconds(std::time::Duration::from_secs(*soak))),
            };
            format!("stage {stage} must have {what}{soak}: {}", lags(lagging, heard))
        }
        Reason::Untried { pack, tree } => format!(
            "no deployment of an earlier stage asks for {} (tree {}), and some have the pack",
            wanted(survey, pack),
            tree.short()
        ),
        Reason::Pause { reason, clears, .. } => match clears {
            Some(until) => format!("paused until {}: {}", words::time(*until), shown(reason)),
            None => format!("paused: {}", shown(reason)),
        },
        Reason::Window { window, .. } => format!("its window {window} is closed"),
        Reason::Parallel { stage, at_once, busy } => format!(
            "{} being changed, and stage {stage} allows {at_once} at a time",
            match busy.len() {
                1 => format!("{} is", compress(busy.iter().map(DeploymentName::as_str))),
                _ => format!("{} are", compress(busy.iter().map(DeploymentName::as_str))),
            }
        ),
    }
}

/// What clears it.
pub fn clears(reason: &Reason, name: &DeploymentName, hints: &Hints) -> String {
    let itself = |at: &Timestamp| format!("clears itself {}", words::time(*at));
    match reason {
        Reason::Stopped { pack, failed, .. } => {
            let first = failed.first().map_or("NAME", DeploymentName::as_str);
            format!(
                "another version of {pack} in {}, or {}",
                hints.file(),
                hints.command(&["retry", first, pack.as_str()])
            )
        }
        Reason::Stage { clears: Some(at), .. } | Reason::Window { clears: Some(at), .. } => itself(at),
        Reason::Stage { lagging, .. } => match lagging.iter().rev().max_by_key(|(_, lag)| **lag) {
            Some((first, Lag::NotYet)) => hints.command(&["apply", first.as_str()]),
            Some((first, _)) => hints.command(&["why", first.as_str()]),
            None => hints.command(&["why", name.as_str()]),
        },
        Reason::Untried { pack, .. } => {
            format!("ask for the same of {pack} in an earlier stage, in {}", hints.file())
        }
        Reason::Pause { clears, by, .. } => {
            let end = match by {
                PausedBy::Command => hints.command(&["resume", name.as_str()]),
                PausedBy::FleetFile => format!("take `pause` of {name} out of {}", hints.file()),
            };
            match clears {
                Some(at) => format!("{}, or {end}", itself(at)),
                None => end,
            }
        }
        Reason::Window { clears: None, .. } => format!("correct `window` of {name} in {}", hints.file()),
        Reason::Parallel { .. } => "clears itself once they are done".to_owned(),
    }
}

/// `bot 1.2.0`.
fn wanted(survey: Option<&Survey>, pack: &PackName) -> String {
    match survey.and_then(|survey| survey.wanted(pack)) {
        Some(version) => format!("{pack} {}", shown(version)),
        None => pack.to_string(),
    }
}

/// Who lags, and how.
fn lags(lagging: &BTreeMap<DeploymentName, Lag>, heard: &BTreeMap<DeploymentName, Timestamp>) -> String {
    let last = match heard.values().min() {
        None => String::new(),
        Some(at) if heard.len() == 1 => format!(" (the last is of {})", words::time(*at)),
        Some(at) => format!(" (the oldest is of {})", words::time(*at)),
    };
    let mut groups: BTreeMap<Lag, Vec<&str>> = BTreeMap::new();
    for (name, lag) in lagging {
        groups.entry(*lag).or_default().push(name.as_str());
    }
    let told = groups.into_iter().map(|(lag, names)| {
        let one = names.len() == 1;
        let how = match (lag, one) {
            (Lag::Soaks, true) => "soaks",
            (Lag::Soaks, false) => "soak",
            (Lag::NotYet, true) => "does not have it yet",
            (Lag::NotYet, false) => "do not have it yet",
            (Lag::Watched, true) => "is still watched",
            (Lag::Watched, false) => "are still watched",
            (Lag::Ill, true) => "is not known to be well with it",
            (Lag::Ill, false) => "are not known to be well with it",
            (Lag::Offline, true) => "does not answer",
            (Lag::Offline, false) => "do not answer",
            (Lag::Unheard, true) => "has no status to count on",
            (Lag::Unseen, _) => "cannot be looked at",
            (Lag::Unheard, false) => "have no status to count on",
        };
        let last = if lag == Lag::Unheard { last.as_str() } else { "" };
        format!("{} {how}{last}", compress(names))
    });
    told.collect::<Vec<_>>().join(", ")
}
