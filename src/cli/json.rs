//! Reports for programs. Every document is an object with `format` (the version of this layout, 1) and `kind`.
//!
//! `plan`, `apply` and `status` share one layout:
//!
//! ```text
//! fleet        name, file, commit, branch, dirty
//! exit_code    what the command exits with
//! plan_id      one id over all that an apply would do, for apply --plan-id; or null
//! against      rev, base, untouched, earlier, gone, unread (why all is shown, or null): what a plan was compared with (its
//!              plans have no id then); or null
//! deployments  one object each:
//!   deployment, root, selected, outcome, generation, committed, interrupted, plan (the id)
//!   packs      pack, installed, wanted, commit, tree, notes (overlay, path, text: of its overlays)
//!   actions    path, pack, cause, before, after (kind and content, or null), save
//!   renames    from, to: edits that go along where upstream renamed their files
//!   edits      path, pack, standing, only_here (of `status`: whether no commit of the fleet repository has it;
//!              null where that was not asked)
//!   edits_in   commits of the fleet repository that have edits, short of those that are here only (`status`)
//!   holds      pack, path, cause, text, next; of a conflict also conflict (a word), recorded, host, pack_gives
//!              (kind and content, or null), renamed_to (or null)
//!   waits      on, because
//!   changes    what (the key of fleet.toml, or "gate", "wait"), pack, before, after, text: what a plan --against found
//!              to be said otherwise
//!   saved      numbers of saved edits
//!   said       what was run after the switch and what passed, in words
//!   health     generation, verdict (healthy, watching, taken-back, ill, going-back), since, evidence (pack, check,
//!              why, lines): the last word on it; or null
//!   taken_back tried, said, evidence, generation, said_afterwards, still, edits, stuck, saved: of a change that
//!              was found unhealthy; or null
//!   unmanaged  names, where they were asked for
//!   undecided  path, pack, doubt (merge, keys, stranger, hidden, renamed), text: what a status does not decide
//!   status     time, by (controller, host), age_seconds, stale: what it was told from, if no host was asked; or null
//!   failure    message, causes, next; or null
//! orphans      deployment, root, generation, files: deployments without a stanza (plan and status of all)
//! ```
//!
//! `why`, `history`, `diff`, `validate` and `adopt` are described in [`super::documents`].
//!
//! `reports.schema.json` beside this file says the same for programs, key by key; `tests/documents.rs` holds both to it.
//!
//! Other kinds: `edits` (deployment, id, path, pack, kind, content, reason, generation, time) and `record`.
//! Keys may be added within a format; none changes its meaning. Digests are whole, times RFC 3339.

use serde_json::{Value, json};

use super::error::causes;
use super::hint::Hints;
use super::output::Told;
use super::printer::shown;
use super::report::words;
use crate::desired::finding::Finding;
use crate::engine::against::Change;
use crate::engine::mask::Mask;
use crate::engine::report::{cause_word, conflict_word};
use crate::engine::{Outcome, Report, Survey, Workspace};
use crate::host::{Back, Evidence, Health, SavedEdit, TakenBack};
use crate::model::DeploymentName;
use crate::model::fleet::Deployment;
use crate::model::plan::HoldCause;
use crate::model::record::Record;

/// All layouts, as a JSON schema.
pub const SCHEMA: &str = include_str!("reports.schema.json");
/// The version of all layouts.
pub const FORMAT: u32 = 1;

/// A document of plan, apply or status.
pub fn reports(told: &Told<'_>, hints: &Hints) -> String {
    let Told { kind, workspace, reports, orphans, exit, against, plan } = told;
    let at = workspace.commit();
    let orphans: Vec<Value> = orphans
        .iter()
        .map(|orphan| {
            json!({
                "deployment": orphan.deployment,
                "root": orphan.root,
                "generation": orphan.generation,
                "files": orphan.files,
            })
        })
        .collect();
    let deployments: Vec<Value> = reports
        .iter()
        .map(|report| {
            let mut one = one(workspace, report, hints);
            if against.is_some() {
                one["plan"] = Value::Null;
            }
            one
        })
        .collect();
    text(&json!({
        "format": FORMAT,
        "kind": kind.word(),
        "fleet": {
            "name": workspace.fleet.name,
            "file": workspace.file,
            "commit": at.map(|at| at.commit.as_str()),
            "branch": at.and_then(|at| at.branch.as_deref()),
            "dirty": at.map(|at| at.dirty),
        },
        "exit_code": exit.code(),
        "plan_id": plan.map(|plan| plan.id.to_string()),
        "against": against.map(|against| json!({
            "rev": against.rev,
            "base": against.base.as_ref().map(|base| base.commit.as_str()),
            "untouched": against.untouched,
            "earlier": against.earlier,
            "gone": against.gone,
            "unread": against.unread,
        })),
        "deployments": deployments,
        "orphans": orphans,
    }))
}

/// The document of saved edits.
pub fn edits(edits: &[(DeploymentName, SavedEdit)]) -> String {
    let edits: Vec<Value> = edits
        .iter()
        .map(|(deployment, edit)| {
            json!({
                "deployment": deployment,
                "id": edit.id,
                "path": edit.path,
                "pack": edit.pack,
                "kind": edit.entry.kind,
                "content": edit.entry.content,
                "reason": edit.reason,
                "generation": edit.generation,
                "time": edit.time,
            })
        })
        .collect();
    text(&json!({ "format": FORMAT, "kind": "edits", "edits": edits }))
}

/// The document of a record; `null` where nothing was ever recorded.
pub fn record(record: Option<&Record>) -> String {
    text(&json!({ "format": FORMAT, "kind": "record", "record": record }))
}

pub(super) fn text(document: &Value) -> String {
    let mut text = format!("{document:#}");
    text.push('\n');
    text
}

fn one(workspace: &Workspace, report: &Report, hints: &Hints) -> Value {
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    let survey = report.survey.as_ref();
    let waits: Vec<Value> =
        report.waits.iter().map(|wait| json!({ "on": wait.on, "because": wait.because })).collect();
    let failure = report.failure.as_ref().map(|failure| {
        json!({
            "message": shown(&failure.to_string()),
            "causes": causes(failure),
            "next": hints.of_failure(failure, &report.deployment),
        })
    });
    let observation = survey.map(|survey| &survey.observation);
    json!({
        "deployment": report.deployment,
        "root": deployment.map(|deployment| &deployment.root),
        "selected": report.selected,
        "outcome": report.outcome,
        "generation": survey.map(|survey| survey.plan.generation),
        "committed": report.committed,
        "interrupted": observation.and_then(|seen| seen.interrupted.as_ref()).map(|i| i.generation),
        "gone": report.gone,
        "plan": survey.filter(|_| report.outcome != Outcome::Undecided).map(|survey| survey.plan.id().to_string()),
        "packs": survey.map(packs).unwrap_or_default(),
        "actions": survey.map(|survey| json!(survey.plan.actions)).unwrap_or_else(|| json!([])),
        "renames": survey.map(renames).unwrap_or_default(),
        "edits": survey.map(|survey| drifted(survey, report)).unwrap_or_default(),
        "edits_in": report.whereabouts.as_ref().map(|it| {
            it.commits.iter().map(|at| at.commit.as_str()).collect::<Vec<_>>()
        }),
        "holds": survey.map(|survey| holds(survey, deployment, hints)).unwrap_or_default(),
        "waits": waits,
        "gate": report.gate,
        "paused": report.paused,
        "changes": changes(workspace, report),
        "hurried": report.hurried,
        "saved": report.saved,
        "said": report.said,
        "health": report.health.as_ref().map(|health| health_of(workspace, health)),
        "taken_back": report.taken_back().map(|taken| taken_back(workspace, taken)),
        "unmanaged": observation.map(|seen| json!(seen.actual.unmanaged)).unwrap_or_else(|| json!([])),
        "undecided": undecided(report),
        "status": report.told.as_ref().map(|told| json!({
            "time": told.time,
            "by": told.by,
            "age_seconds": told.age.as_secs(),
            "stale": told.stale,
        })),
        "failure": failure,
    })
}

/// What is said otherwise than in an earlier fleet.
fn changes(workspace: &Workspace, report: &Report) -> Vec<Value> {
    let texts = super::report::against::changes(workspace, report);
    let mask = Mask::new(workspace);
    let clean = |text: &Option<String>| text.as_ref().map(|text| shown(&mask.words(text)));
    let all = report.changes().iter().zip(texts).map(|(change, text)| match change {
        Change::Said(said) => json!({
            "what": said.what,
            "pack": said.pack,
            "before": clean(&said.before),
            "after": clean(&said.after),
            "text": text,
        }),
        Change::Freed(_) => {
            json!({ "what": "gate", "pack": null, "before": null, "after": null, "text": text })
        }
        Change::FreedOf(wait) => {
            json!({ "what": "wait", "pack": null, "before": wait.on, "after": null, "text": text })
        }
    });
    all.collect()
}

/// Paths that only the host's bytes decide.
fn undecided(report: &Report) -> Vec<Value> {
    let one = |(path, it): (&crate::model::TreePath, &crate::engine::status::Undecided)| json!({ "path": path, "pack": it.pack, "doubt": it.doubt, "text": it.doubt.to_string() });
    super::report::told::undecided(report).iter().map(one).collect()
}

/// The last word on health.
fn health_of(workspace: &Workspace, health: &Health) -> Value {
    json!({
        "generation": health.generation,
        "verdict": health.verdict,
        "since": health.since,
        "evidence": evidence(workspace, &health.evidence),
    })
}

/// A change that was found ill.
fn taken_back(workspace: &Workspace, taken: &TakenBack) -> Value {
    let (generation, said, still, edits, stuck) = match &taken.back {
        Back::Done { generation, said, still, edits } => {
            (Some(generation), said.as_slice(), still.as_slice(), edits.as_slice(), None)
        }
        Back::Stuck { why } => (None, &[][..], &[][..], &[][..], Some(why)),
    };
    json!({
        "tried": taken.tried,
        "said": taken.said,
        "evidence": evidence(workspace, &taken.evidence),
        "generation": generation,
        "said_afterwards": said,
        "still": evidence(workspace, still),
        "edits": edits,
        "stuck": stuck,
        "saved": taken.saved,
    })
}

fn evidence(workspace: &Workspace, all: &[Evidence]) -> Vec<Value> {
    let mask = Mask::new(workspace);
    let clean = |text: &str| shown(&mask.words(text));
    let one = |evidence: &Evidence| {
        json!({
            "pack": evidence.pack,
            "check": clean(&evidence.what),
            "why": clean(&evidence.why),
            "lines": evidence.lines.iter().map(|line| clean(line)).collect::<Vec<_>>(),
        })
    };
    all.iter().map(one).collect()
}

fn packs(survey: &Survey) -> Vec<Value> {
    let one = |name| {
        let pin = survey
            .drift
            .packs
            .get(name)
            .and_then(|drift| drift.wanted.as_ref())
            .map(|wanted| &wanted.recorded.pin);
        let resolved = survey.resolved.iter().filter(|resolved| &resolved.pack == name);
        let notes: Vec<Value> = resolved.flat_map(|resolved| &resolved.notes).map(finding).collect();
        json!({
            "pack": name,
            "notes": notes,
            "installed": survey.installed(name),
            "wanted": survey.wanted(name),
            "commit": pin.and_then(|pin| pin.commit.as_ref()),
            "tree": pin.map(|pin| pin.tree),
        })
    };
    survey.drift.packs.keys().map(one).collect()
}

/// What was found about a path of an overlay.
fn finding(finding: &Finding) -> Value {
    json!({ "overlay": finding.overlay, "path": finding.path, "text": shown(&finding.text()) })
}

fn renames(survey: &Survey) -> Vec<Value> {
    survey.plan.renames.iter().map(|(to, from)| json!({ "from": from, "to": to })).collect()
}

fn drifted(survey: &Survey, report: &Report) -> Vec<Value> {
    let only_here = |path| report.whereabouts.as_ref().map(|it| it.here_only.contains(path));
    let edits = survey.drift.edits().filter(|(_, judged)| judged.recorded.is_some());
    edits
        .map(|(path, judged)| {
            json!({
                "path": path,
                "pack": judged.pack,
                "standing": judged.standing,
                "only_here": only_here(path),
            })
        })
        .collect()
}

fn holds(survey: &Survey, deployment: Option<&Deployment>, hints: &Hints) -> Vec<Value> {
    let next = |hold: &crate::model::plan::Hold| {
        deployment.map(|deployment| {
            let (pack, path) = (hold.pack.as_ref(), hold.path.as_ref());
            hints.of_hold(&hold.cause, pack, path, deployment, &survey.plan.purpose)
        })
    };
    let holds = survey.plan.holds.iter();
    holds
        .map(|hold| {
            let mut told = json!({
                "pack": hold.pack,
                "path": hold.path,
                "cause": cause_word(&hold.cause),
                "text": words::hold(&hold.cause),
                "next": next(hold),
            });
            if let HoldCause::Conflict { base, actual, desired, renamed, conflict } = &hold.cause {
                told["conflict"] = json!(conflict_word(conflict));
                told["recorded"] = json!(base);
                told["host"] = json!(actual);
                told["pack_gives"] = json!(desired);
                told["renamed_to"] = json!(renamed);
            }
            told
        })
        .collect()
}
