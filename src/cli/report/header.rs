//! The first line of a report: which fleet, at which commit, and how many hosts answered.

use super::told;
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
    line.push_str(&format!(" · {}\n", answered(workspace, reports)));
    line
}

/// How many hosts answered, or are known by what was published of them.
pub fn answered(workspace: &Workspace, reports: &[Report]) -> String {
    let answered = reports.iter().filter(|report| report.survey.is_some()).count();
    if workspace.statuses().is_none() {
        return format!("{answered} of {} hosts answered", reports.len());
    }
    if workspace.own().is_some() {
        let others: Vec<&Report> = reports.iter().filter(|report| report.told.is_some()).collect();
        let ages = told::ages(others.iter().copied()).map_or(String::new(), |ages| format!(", {ages}"));
        let known = others.len();
        return format!(
            "this host answered, others known by their status: {known} of {}{ages}",
            reports.len() - 1
        );
    }
    let ages = told::ages(reports).map_or(String::new(), |ages| format!(" ({ages})"));
    format!("no host was asked: the status of {answered} of {} is known{ages}", reports.len())
}
