//! What a plan was compared with, and what is therefore not in it.

use super::words::count;
use crate::cli::printer::shown;
use crate::engine::against::Against;
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
