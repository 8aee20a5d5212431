//! The first line of a report: which fleet, at which commit, and how many hosts answered.

use crate::cli::printer::{paint, shown};
use crate::engine::{Report, Workspace};

/// `fleet demo @ e41d0c7 (main, clean) · 3 of 3 hosts answered`.
pub fn header(workspace: &Workspace, reports: &[Report]) -> String {
    let mut line = format!("fleet {}", paint::name(workspace.fleet.name.as_str()));
    if let Some(at) = workspace.commit() {
        line.push_str(&format!(" @ {}", at.commit.short()));
        let branch = at.branch.as_deref().map_or("detached".to_owned(), shown);
        line.push_str(&format!(" ({branch}, {})", if at.dirty { "dirty" } else { "clean" }));
    }
    let answered = reports.iter().filter(|report| report.survey.is_some()).count();
    line.push_str(&format!(" · {answered} of {} hosts answered\n", reports.len()));
    line
}
