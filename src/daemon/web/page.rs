//! The page: HTML that is whole without a script.
//!
//! Templates escape everything that is put into them; nothing is ever marked as safe. A template that fails is a
//! defect, is logged, and answers 500.

use std::sync::LazyLock;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::groups::{Wish, cells, needs_a_look, rows};
use super::picture::picture;
use crate::daemon::detail::Detail;
use crate::daemon::view::{Standing, View};

/// Lines of a diff that are shown.
const MOST_LINES: usize = 400;

static TEMPLATES: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_filter("time", time);
    templates.add_filter("segment", segment);
    templates.add_template("base.html", include_str!("assets/base.html"))?;
    templates.add_template("marks.html", include_str!("assets/marks.html"))?;
    templates.add_template("fleet.html", include_str!("assets/fleet.html"))?;
    templates.add_template("deployment.html", include_str!("assets/deployment.html"))?;
    templates.add_template("nothing.html", include_str!("assets/nothing.html"))?;
    Ok(templates)
});

/// `2026-11-24T08:00:00Z` as people read it.
fn time(text: String) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        Err(_) => text,
    }
}

/// A name as part of an address: what could end that part is written by its number.
fn segment(text: String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn render(status: StatusCode, name: &str, context: Value) -> Response {
    let rendered = match &*TEMPLATES {
        Ok(templates) => templates
            .get_template(name)
            .and_then(|template| template.render(minijinja::Value::from(Serde(context)))),
        Err(error) => {
            tracing::error!(%error, "the page's templates are damaged; this is a defect");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    match rendered {
        Ok(html) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            let why = format!("{error:#}");
            tracing::error!(why, "the page cannot be written; this is a defect");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What every page has above and below.
fn frame(view: &View) -> Value {
    json!({
        "fleet": view.fleet,
        "commit": view.commit,
        "short": view.commit.as_ref().map(|commit| commit.id.get(..7).unwrap_or(&commit.id).to_owned()),
        "controller": view.controller,
        "pass": view.pass,
        "problems": view.problems,
        "out_of_force": view.is_out_of_force(),
        "rollout": view.rollout,
        "revision": view.revision,
        "sum": view.sum(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}

/// What the fleet's page is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    show: String,
    #[serde(default)]
    q: String,
}

impl Asked {
    fn wish(&self) -> Wish {
        let sync = Standing::ALL.into_iter().find(|standing| standing.key() == self.show);
        Wish { sync, unsettled: self.show == "unsettled", text: self.q.trim().chars().take(100).collect() }
    }
}

#[derive(Serialize)]
struct Chip {
    key: &'static str,
    word: &'static str,
    number: usize,
    on: bool,
}

/// The fleet at a glance.
pub(super) async fn fleet(
    State(shared): State<Shared>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let view = shared.newest();
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let wish = asked.wish();
    let (groups, shown) = rows(&view, &wish);
    let mut chips = vec![
        Chip {
            key: "",
            word: "all",
            number: view.deployments.len(),
            on: wish.sync.is_none() && !wish.unsettled,
        },
        Chip {
            key: "unsettled",
            word: "to look at",
            number: view.deployments.iter().filter(|deployed| needs_a_look(deployed)).count(),
            on: wish.unsettled,
        },
    ];
    chips.extend(view.counts.iter().map(|(standing, number)| Chip {
        key: standing.key(),
        word: standing.word(),
        number: *number,
        on: wish.sync == Some(*standing),
    }));
    let edits: usize = view.deployments.iter().map(|deployed| deployed.edits).sum();
    let here_only: usize = view.deployments.iter().filter_map(|deployed| deployed.here_only).sum();
    let staged = groups.iter().any(|group| group.cells.stage.is_some());
    let page = json!({
        "frame": frame(&view),
        "title": "Deployments",
        "chips": chips,
        "show": asked.show,
        "q": wish.text,
        "any": wish.is_any(),
        "groups": groups,
        "shown": shown,
        "all": view.deployments.len(),
        "edits": edits,
        "here_only": here_only,
        "staged": staged,
        "orphans": view.orphans,
        "picture": picture(&view),
    });
    render(StatusCode::OK, "fleet.html", page)
}

/// One line of a diff and what it is.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    text: &'a str,
}

fn lines(diff: &str) -> (Vec<Line<'_>>, usize) {
    let kind = |text: &str| match text.as_bytes().first() {
        _ if text.starts_with("+++ ") || text.starts_with("--- ") => "file",
        Some(b'+') => "add",
        Some(b'-') => "del",
        Some(b'@') => "hunk",
        _ => "same",
    };
    let lines = diff.lines().take(MOST_LINES).map(|text| Line { kind: kind(text), text });
    (lines.collect(), diff.lines().count().saturating_sub(MOST_LINES))
}

/// One deployment.
pub(super) async fn deployment(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let view = shared.newest();
    let Some(deployed) = view.deployment(&name) else {
        return missing(&view, &format!("There is no deployment {name:?} in this fleet."));
    };
    let silent = matches!(deployed.sync, Standing::Offline | Standing::Unknown);
    let (detail, why_no_detail) = match silent {
        true => (None, Some("its host does not answer, or nobody looked yet".to_owned())),
        false => match shared.asker.ask(&name, deployed.seen).await {
            Ok(detail) => (Some(detail), None),
            Err(why) => (None, Some(why)),
        },
    };
    let empty = Detail::default();
    let detail = detail.as_deref().unwrap_or(&empty);
    let diffs: Vec<Value> = detail
        .diffs
        .iter()
        .map(|diff| {
            let (lines, cut) = lines(&diff.diff);
            json!({
                "path": diff.path,
                "pack": diff.pack,
                "standing": diff.standing,
                "lines": lines,
                "cut": cut,
            })
        })
        .collect();
    let dependents: Vec<&str> = view
        .deployments
        .iter()
        .filter(|other| other.depends_on.iter().any(|on| on == &name))
        .map(|other| other.name.as_str())
        .collect();
    let page = json!({
        "frame": frame(&view),
        "title": name,
        "deployed": deployed,
        "cells": cells(deployed),
        "dependents": dependents,
        "diffs": diffs,
        "more_diffs": detail.more,
        "generations": detail.generations,
        "why_no_detail": why_no_detail,
    });
    render(StatusCode::OK, "deployment.html", page)
}

/// No such page.
pub(super) async fn nothing(State(shared): State<Shared>, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        let text = json!({ "format": 1, "kind": "error", "message": "there is nothing at this address" });
        return (StatusCode::NOT_FOUND, axum::Json(text)).into_response();
    }
    missing(&shared.newest(), "There is nothing at this address.")
}

fn missing(view: &View, what: &str) -> Response {
    let page = json!({ "frame": frame(view), "title": "Not found", "what": what });
    render(StatusCode::NOT_FOUND, "nothing.html", page)
}
