//! `/api/v1`: what the page shows, as JSON; and whether the controller is alive and ready.
//!
//! ```text
//! /api/v1/fleet                       the whole View
//! /api/v1/deployments/NAME            format, kind, revision, deployment (as in the View)
//! /api/v1/deployments/NAME/detail     format, kind, deployment, diffs, more, generations; asks its host
//! ```
//! Errors are objects, too: format, kind `error`, message.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Shared;
use crate::daemon::view::FORMAT;

/// The whole View.
pub(super) async fn fleet(State(shared): State<Shared>) -> Response {
    Json(&*shared.newest()).into_response()
}

/// One deployment.
pub(super) async fn deployment(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let view = shared.newest();
    match view.deployment(&name) {
        Some(deployed) => Json(json!({
            "format": FORMAT,
            "kind": "deployment",
            "revision": view.revision,
            "deployment": deployed,
        }))
        .into_response(),
        None => unknown(&name),
    }
}

/// Its diff and history.
pub(super) async fn detail(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let view = shared.newest();
    let Some(deployed) = view.deployment(&name) else { return unknown(&name) };
    match shared.asker.ask(&name, deployed.seen).await {
        Ok(detail) => Json(json!({
            "format": FORMAT,
            "kind": "detail",
            "deployment": name,
            "diffs": detail.diffs,
            "more": detail.more,
            "generations": detail.generations,
        }))
        .into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(error(&why))).into_response(),
    }
}

fn unknown(name: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(error(&format!("there is no deployment {name:?}")))).into_response()
}

fn error(message: &str) -> Value {
    json!({ "format": FORMAT, "kind": "error", "message": message })
}

/// The process answers.
pub(super) async fn alive() -> Response {
    text(StatusCode::OK, "alive\n")
}

/// A pass ended, and nothing is wrong with fleet.toml.
pub(super) async fn ready(State(shared): State<Shared>) -> Response {
    let view = shared.newest();
    let wrong = view.problems.iter().find(|problem| problem.is_of_fleet()).or(view.problems.first());
    let why = wrong.map_or(String::new(), |it| {
        let line = it.line.map_or(String::new(), |line| format!(":{line}"));
        format!(": {}{line}: {}", it.file, it.message.lines().next().unwrap_or_default())
    });
    match (&view.pass, view.is_out_of_force()) {
        (None, false) => text(StatusCode::SERVICE_UNAVAILABLE, format!("no pass has ended yet{why}\n")),
        (Some(_), false) => text(StatusCode::OK, "ready\n"),
        // The last good fleet.toml is obeyed meanwhile: only a controller that has none is not ready.
        (Some(_), true) => {
            let text_of = format!("ready, by the last good fleet.toml: the newest is not in force{why}\n");
            text(StatusCode::OK, text_of)
        }
        (None, true) => text(StatusCode::SERVICE_UNAVAILABLE, format!("fleet.toml cannot be obeyed{why}\n")),
    }
}

fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let text = text.into();
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
