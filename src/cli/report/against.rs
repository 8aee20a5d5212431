//! What a plan was compared with, and what is therefore not in it.

use super::gate;
use super::words::count;
use crate::cli::printer::shown;
use crate::engine::against::{Against, Change};
use crate::engine::mask::Mask;
use crate::engine::settings::Setting;
use crate::engine::{Report, Workspace};
use crate::model::DeploymentName;
use crate::model::ranges::compress;

/// A line or two below the sum.
pub fn text(against: &Against) -> String {
    format!("{}\n", sentences(against).join("\n"))
}

/// What there is to say, a sentence each.
pub fn sentences(against: &Against) -> Vec<String> {
    let base =
        against.base.as_ref().map_or(String::new(), |base| format!(" (merge base {})", base.commit.short()));
    if let Some(why) = &against.unread {
        return vec![format!("Against {}{base}: {}: everything is shown.", shown(&against.rev), shown(why))];
    }
    let mut parts = vec![format!("{} not touched", count(against.untouched, "deployment"))];
    if against.earlier > 0 {
        parts.push(format!("{} that stood before not shown", count(against.earlier, "change")));
    }
    let mut all = vec![format!("Against {}{base}: {}.", shown(&against.rev), parts.join(", "))];
    if !against.gone.is_empty() {
        let names = compress(against.gone.iter().map(DeploymentName::as_str));
        all.push(format!("No longer in the fleet: {names}; nothing happens to the files there."));
    }
    all
}

/// The sum of what is shown, which is not all that is pending.
pub fn sum(sum: &str, against: &Against) -> String {
    match against.earlier {
        0 => sum.to_owned(),
        _ => sum.replacen("Plan: nothing to apply", "Plan: nothing more to apply", 1),
    }
}

/// What the change does to a deployment apart from its files, a line each, without secrets.
pub fn changes(workspace: &Workspace, report: &Report) -> Vec<String> {
    let mask = Mask::new(workspace);
    let text = |change: &Change| match change {
        Change::Said(said) => setting(said),
        Change::Freed(reason) => format!("waits no more: {}", gate::text(reason, report.survey.as_ref())),
        Change::FreedOf(wait) => format!("waits no more for {}: {}", wait.on, wait.because),
    };
    report.changes().iter().map(|change| shown(&mask.words(&text(change)))).collect()
}

fn setting(Setting { pack, what, before, after }: &Setting) -> String {
    let (before, after) = (before.as_deref(), after.as_deref());
    let text = match (what.as_str(), before, after) {
        ("mode", _, Some("observe")) => "is observed only from now on: mode observe".to_owned(),
        ("mode", ..) => "may now be written: mode observe is gone".to_owned(),
        ("pause", None, Some(reason)) => format!("is paused from now on: {reason}"),
        ("pause", Some(reason), None) => format!("is paused no more: {reason}"),
        ("depends_on", None, Some(on)) => format!("depends on {on} from now on"),
        ("depends_on", Some(on), None) => format!("depends on {on} no more"),
        ("on_change", None, Some(run)) => format!("runs on change: {run}"),
        ("on_change", Some(run), None) => format!("runs no more on change: {run}"),
        ("restart", None, Some(run)) => format!("restarts on change: {run}"),
        ("restart", Some(run), None) => format!("restarts no more on change: {run}"),
        ("check", None, Some(run)) => format!("is checked before the switch: {run}"),
        ("check", Some(run), None) => format!("is checked no more before the switch: {run}"),
        ("health", None, Some(check)) => format!("health is checked: {check}"),
        ("health", Some(check), None) => format!("health is checked no more: {check}"),
        (what, before, after) => format!("{what} {} → {}", before.unwrap_or("none"), after.unwrap_or("none")),
    };
    pack.as_ref().map_or(text.clone(), |pack| format!("{pack}: {text}"))
}
