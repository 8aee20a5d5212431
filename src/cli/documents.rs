//! Documents for programs of the commands that look at one thing: `why`, `history`, `diff`, `validate`, `adopt`.
//!
//! ```text
//! why        deployment, outcome, generation, in_the_way (in order: cause, deployment, text, details, next,
//!            ends (person, itself or hurry: what it takes), clears_at (or null), depth)
//!            depth counts the deployments that lie between; edits (paths that stay edited and stand in nobody's way)
//! history    deployment, generations: generation, time, purpose, packs (name to version), added, changed, removed,
//!            held, now (whether it stands), can_go_back
//! diff       deployment, paths: path, pack, standing, recorded, host, pack_gives (kind and content, or null),
//!            renamed_to (or null), diff (the text that people read)
//! validate   valid, deployments, packs, overlays (numbers, or null if it does not validate);
//!            problems: file, line, column, message, hint; doubts, with --strict: file, line (or null), kind (unused,
//!            empty, unlocked, stale, secret), message, hint
//! adopt      deployment, recorded (the generation, or null), packs: pack, requirement, chosen (or null; of it
//!            commit, version, overlaid), candidates: commit, version, subject, equal, exec_bit, moved, differ,
//!            missing, of, tied
//! ```
//! As in [`super::json`]: every document is an object with `format` and `kind`, keys may be added within a format.

use serde_json::{Value, json};

use super::json::{FORMAT, text};
use super::printer::shown;
use super::report::why::Step;
use super::report::{plain, strict};
use crate::desired::fleet_file::FleetText;
use crate::desired::problem::Problem;
use crate::engine::adopt::{Candidate, Proposal};
use crate::engine::strict::Doubt;
use crate::engine::{Report, Survey, Workspace};
use crate::host::{Generation, HistoryLine};
use crate::model::{DeploymentName, OverlayName, TreePath};
use crate::plan::Judged;

/// What is in the way of a deployment.
pub fn why(report: &Report, steps: &[Step], edits: &[&TreePath]) -> String {
    let steps: Vec<Value> = steps
        .iter()
        .map(|step| {
            let details: Vec<String> = step.details.iter().map(|line| plain(line)).collect();
            json!({
                "cause": step.word,
                "deployment": step.deployment,
                "text": plain(&step.text),
                "details": details,
                "next": step.clears,
                "ends": step.ends,
                "clears_at": step.at,
                "depth": step.depth,
            })
        })
        .collect();
    text(&json!({
        "format": FORMAT,
        "kind": "why",
        "deployment": report.deployment,
        "outcome": report.outcome,
        "generation": report.survey.as_ref().map(|survey| survey.plan.generation),
        "in_the_way": steps,
        "edits": edits,
    }))
}

/// The generations of a deployment, oldest first.
pub fn history(name: &DeploymentName, lines: &[HistoryLine], generations: &[Generation]) -> String {
    let newest = lines.last().map(|line| line.generation);
    let one = |line: &HistoryLine| {
        json!({
            "generation": line.generation,
            "time": line.time,
            "purpose": line.purpose.to_string(),
            "packs": line.packs,
            "added": line.created,
            "changed": line.replaced,
            "removed": line.removed,
            "held": line.held,
            "reason": line.reason.as_deref().map(plain),
            "now": Some(line.generation) == newest,
            "can_go_back": generations.iter().any(|past| past.number == line.generation + 1),
        })
    };
    let lines: Vec<Value> = lines.iter().map(one).collect();
    text(&json!({ "format": FORMAT, "kind": "history", "deployment": name, "generations": lines }))
}

/// One path that differs.
pub fn difference(survey: &Survey, path: &TreePath, judged: &Judged, diff: &str) -> Value {
    json!({
        "path": path,
        "pack": judged.pack,
        "standing": judged.standing,
        "recorded": judged.base(),
        "host": judged.actual_entry(),
        "pack_gives": judged.desired_entry(),
        "renamed_to": survey.drift.renames.get(path).map(|rename| &rename.to),
        "diff": plain(diff),
    })
}

/// What differs on a deployment.
pub fn diff(name: &DeploymentName, paths: &[Value]) -> String {
    text(&json!({ "format": FORMAT, "kind": "diff", "deployment": name, "paths": paths }))
}

/// A fleet that validates, if its overlays do and nothing is in doubt.
pub fn valid(workspace: &Workspace, damaged: &[(OverlayName, String)], doubts: &[Doubt]) -> String {
    let doubts: Vec<Value> = doubts
        .iter()
        .map(|doubt| {
            let (kind, message, hint) = strict::words(&doubt.what);
            json!({
                "file": doubt.file,
                "line": doubt.line,
                "kind": kind,
                "message": message,
                "hint": hint,
            })
        })
        .collect();
    let problems: Vec<Value> = damaged
        .iter()
        .map(|(name, why)| {
            json!({
                "file": format!("overlays/{name}"),
                "line": null,
                "column": null,
                "message": shown(why),
                "hint": null,
            })
        })
        .collect();
    text(&json!({
        "format": FORMAT,
        "kind": "validate",
        "valid": damaged.is_empty() && doubts.is_empty(),
        "deployments": workspace.fleet.deployments.len(),
        "packs": workspace.fleet.packs.len(),
        "overlays": workspace.overlays.len(),
        "problems": problems,
        "doubts": doubts,
    }))
}

/// A fleet that does not.
pub fn invalid(texts: &[FleetText], problems: &[Problem]) -> String {
    let one = |problem: &Problem| {
        let source = texts.iter().find(|text| text.name == problem.file).map_or("", |text| &text.text);
        let (line, column) = problem.line_column(source);
        json!({
            "file": problem.file,
            "line": line,
            "column": column,
            "message": shown(&problem.message),
            "hint": problem.hint.as_deref().map(shown),
        })
    };
    let problems: Vec<Value> = problems.iter().map(one).collect();
    text(&json!({
        "format": FORMAT,
        "kind": "validate",
        "valid": false,
        "deployments": null,
        "packs": null,
        "overlays": null,
        "problems": problems,
        "doubts": [],
    }))
}

/// What `adopt` found.
pub fn adopt(name: &DeploymentName, proposal: &Proposal, most: usize) -> Value {
    let candidate = |it: &Candidate| {
        json!({
            "commit": it.named.commit,
            "version": it.named.version.as_ref().map(|(version, _)| version.to_string()),
            "subject": shown(&it.named.subject),
            "equal": it.score.equal,
            "exec_bit": it.score.exec,
            "moved": it.score.moved,
            "differ": it.score.differ,
            "missing": it.score.missing,
            "of": it.score.of,
            "tied": it.is_tied,
        })
    };
    let packs: Vec<Value> = proposal
        .packs
        .iter()
        .map(|search| {
            let chosen = search.choice.as_ref().zip(search.candidates.first()).map(|(choice, first)| {
                json!({
                    "commit": first.named.commit,
                    "version": first.named.version.as_ref().map(|(version, _)| version.to_string()),
                    "overlaid": choice.overlaid,
                })
            });
            let candidates: Vec<Value> = search.candidates.iter().take(most).map(candidate).collect();
            json!({
                "pack": search.pack,
                "requirement": search.requirement,
                "chosen": chosen,
                "candidates": candidates,
            })
        })
        .collect();
    json!({ "format": FORMAT, "kind": "adopt", "deployment": name, "recorded": null, "packs": packs })
}

/// The same once it was recorded, or not.
pub fn adopted(mut document: Value, generation: Option<u64>) -> String {
    document["recorded"] = json!(generation);
    text(&document)
}
