//! Messages about what somebody did by hand: `apply --now` is told to everybody whom fleet.toml names.

use crate::cli::context::secret;
use crate::daemon::messenger::{Target, tell_now};
use crate::daemon::secret::Secret;
use crate::engine::mask::Mask;
use crate::engine::{Report, Workspace};
use crate::model::DeploymentName;
use crate::model::ranges::compress;

/// Tells where somebody in a hurry did not wait; lines for that person about who could not be told.
pub fn hurried(workspace: &Workspace, reports: &[Report]) -> Vec<String> {
    let committed = reports.iter().filter(|report| report.committed.is_some());
    let mut hurried =
        committed.filter_map(|report| Some((&report.deployment, report.hurried.as_ref()?))).peekable();
    let Some((_, first)) = hurried.peek() else { return Vec::new() };
    let why = Mask::new(workspace).words(&first.why);
    let mut skipped: Vec<&str> = Vec::new();
    let mut names: Vec<&DeploymentName> = Vec::new();
    for (name, hurried) in hurried {
        names.push(name);
        skipped.extend(hurried.skipped.iter().map(|reason| reason.word()));
    }
    skipped.sort_unstable();
    skipped.dedup();
    let (mut targets, mut lines) = (Vec::new(), Vec::new());
    for notify in &workspace.fleet.outward.notify {
        match secret(&notify.url).and_then(Secret::new) {
            Some(url) => targets.push(Target::new(notify, url)),
            None => lines.push(format!("{} is not set, so nobody is told there", notify.url)),
        }
    }
    let names = compress(names.into_iter().map(DeploymentName::as_str));
    let text = format!("applied at once on {names}, in spite of {}: {why}", skipped.join(", "));
    lines.extend(tell_now(&targets, &text));
    lines
}
