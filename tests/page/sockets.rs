//! What is served: pages, JSON, metrics, events; who is answered, and with which headers.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use packfleet::daemon::view::{Fare, Standing, View};

use crate::fleets::{self, HOSTILE, hostile, large, small};
use crate::server::Server;

#[test]
fn the_page_is_whole_without_a_script() {
    let server = Server::start(small(), None);
    let page = server.get("/");
    assert_eq!(page.status, 200, "{}", page.head);
    for expected in [
        "<h1>Deployments</h1>",
        "PAI-DEV-01",
        "5557590 → 71c04be",
        "6, 6 only here",
        "overlays: quiet",
        "features: thread-message-tracking",
        "stage 1 of 2: stopped",
        "href=\"/deployments/PAI-TEST-01\"",
        "<svg class=\"order\"",
    ] {
        assert!(page.body.contains(expected), "{expected} is missing in\n{}", page.body);
    }
    let one = server.get("/deployments/PAI-TEST-01");
    assert_eq!(one.status, 200, "{}", one.head);
    for expected in [
        "In the way, in this order",
        "packfleet retry PAI-TEST-01",
        "Cannot find module",
        "<span class=\"add\">+  if (!prompt &amp;&amp; !event.files) return",
        "packfleet rollback PAI-TEST-01 --to 1",
        "href=\"/deployments/PAI-PROD-01\"",
    ] {
        assert!(one.body.contains(expected), "{expected} is missing in\n{}", one.body);
    }
}

#[test]
fn many_equal_deployments_are_one_row_and_a_wish_leaves_rows_out() {
    let server = Server::start(large(), None);
    let page = server.get("/");
    assert!(page.body.contains("alike)"), "nothing is grouped");
    assert!(page.body.len() < 400_000, "{} bytes", page.body.len());
    let rows = |body: &str| body.matches("<th scope=\"row\"").count();
    assert!(rows(&page.body) < 40, "{} rows", rows(&page.body));
    let held = server.get("/?show=held");
    assert!(held.body.contains("edge-007") && !held.body.contains("to-edge-001\""), "{}", held.body);
    let found = server.get("/?q=EDGE-021");
    assert_eq!(rows(&found.body), 1, "{}", found.body);
    let none = server.get("/?q=%3Cscript%3E");
    assert!(none.body.contains("No deployment is like that") && !none.body.contains("value=\"<script>"));
}

#[test]
fn names_that_are_markup_stay_names() {
    let server = Server::start(hostile(), None);
    for path in ["/", "/deployments/bad", "/deployments/%3Cscript%3Ealert(1)%3C%2Fscript%3E"] {
        let page = server.get(path);
        assert!(page.status == 200 || page.status == 404, "{path}: {}", page.status);
        for bad in ["<script>document", "<script>alert", "<img src=x", "'><img"] {
            assert!(!page.body.contains(bad), "{path} has {bad} in\n{}", page.body);
        }
    }
    assert!(server.get("/").body.contains("&lt;script&gt;document"), "the name is not shown at all");
    let metrics = server.get("/metrics");
    assert_eq!(metrics.status, 200);
    let label =
        metrics.body.lines().find(|line| line.starts_with("packfleet_pack_feature{")).expect("a feature");
    assert!(label.len() < 400 && label.contains("\\\""), "{label}");
    let json: serde_json::Value =
        serde_json::from_str(&body_of(&server.get("/api/v1/fleet").body)).expect("JSON");
    assert_eq!(json["fleet"], HOSTILE);
}

/// A body that may be chunked.
fn body_of(body: &str) -> String {
    match body.starts_with('{') {
        true => body.to_owned(),
        false => body.lines().filter(|line| line.len() > 8).collect(),
    }
}

#[test]
fn every_answer_is_guarded() {
    let server = Server::start(small(), None);
    for path in ["/", "/nowhere", "/style.css", "/page.js", "/api/v1/fleet", "/metrics", "/healthz"] {
        let answer = server.get(path);
        for header in
            ["x-content-type-options: nosniff", "x-frame-options: deny", "referrer-policy: no-referrer"]
        {
            assert!(answer.has(header), "{path} has no {header}:\n{}", answer.head);
        }
        let policy = answer.head.lines().find(|line| line.starts_with("content-security-policy:"));
        let policy = policy.expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let page = server.get("/").body;
    assert!(
        !page.contains("<style") && !page.contains("style=\"") && !page.contains(" onclick"),
        "inline style or script"
    );
    assert!(!page.contains("http://") && !page.contains("https://"), "a resource of another origin");
}

#[test]
fn only_names_of_this_machine_are_answered_to() {
    let server = Server::start(small(), Some("secret"));
    let ask = |host: &str| {
        server.raw(format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n").as_bytes()).status
    };
    assert_eq!(ask("Host: localhost\r\n"), 200);
    assert_eq!(ask("Host: 127.0.0.1:8787\r\n"), 200);
    assert_eq!(ask("Host: evil.example.org\r\n"), 421);
    assert_eq!(ask("Host: localhost\r\nHost: evil.example.org\r\n"), 421);
    assert!([400, 421].contains(&ask("")));
}

#[test]
fn nothing_can_be_changed() {
    let server = Server::start(small(), None);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/deployments/PAI-DEV-01", "/api/v1/fleet", "/metrics"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(server.raw(request.as_bytes()).status, 405, "{method} {path}");
        }
    }
    let head = server.raw(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn json_says_the_same() {
    let server = Server::start(small(), None);
    let json = |path: &str| -> serde_json::Value {
        serde_json::from_str(&body_of(&server.get(path).body))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let fleet = json("/api/v1/fleet");
    assert_eq!((&fleet["format"], &fleet["kind"]), (&1.into(), &"fleet".into()));
    assert_eq!(fleet["counts"]["rejected"], 1);
    assert_eq!(fleet["deployments"][0]["here_only"], 6);
    let one = json("/api/v1/deployments/PAI-PROD-01");
    assert_eq!(one["deployment"]["depends_on"][0], "PAI-TEST-01");
    let detail = json("/api/v1/deployments/PAI-PROD-01/detail");
    assert_eq!(detail["generations"][0]["generation"], 2);
    assert_eq!(server.get("/api/v1/deployments/none").status, 404);
    assert_eq!(json("/api/v1/none")["kind"], "error");
}

#[test]
fn metrics_are_openmetrics_with_bounded_labels() {
    let server = Server::start(large(), None);
    let metrics = server.get("/metrics");
    assert!(metrics.has("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    for expected in [
        "packfleet_deployments{sync=\"offline\"} 13",
        "packfleet_deployment_sync{deployment=\"edge-007\",sync=\"held\"} 1",
        "packfleet_pack_version{deployment=\"edge-007\",pack=\"slack\",installed=\"820ad0a\",wanted=\"71c04be\"} 1",
        "packfleet_deployment_generation{deployment=\"edge-001\"} 4",
        "packfleet_pass_duration_seconds 2.0",
        "packfleet_passes_total 7",
        "packfleet_fleet_problems 1",
        "# EOF",
    ] {
        assert!(metrics.body.contains(expected), "{expected} is missing");
    }
    let series = metrics.body.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 500 * 16, "{series} series of 500 deployments");
}

#[test]
fn monitors_learn_whether_it_is_alive_and_ready() {
    let server = Server::start(packfleet::daemon::view::View::new("c", crate::fleets::now()), None);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").status, 503);
    assert!(server.get("/").body.contains("Nothing was looked at yet"));
    server.view.send_replace(Arc::new(small()));
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn what_changes_is_told_at_once() {
    let server = Server::start(small(), None);
    let mut stream = server.connect();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
    let mut lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let mut next = || lines.find(|line| line.starts_with("data:")).expect("an event");
    assert!(next().contains("\"revision\":1"));
    let mut newer = small();
    newer.revision = 2;
    newer.deployments.pop();
    newer.count();
    server.view.send_replace(Arc::new(newer));
    let news = next();
    assert!(news.contains("\"revision\":2") && news.contains("1 waiting, 1 edited"), "{news}");
}

/// What an alert asks about is there before anything happened, too: what is absent never fires.
#[test]
fn alerts_ask_about_series_that_exist() {
    let file = include_str!("../../examples/alerts.yml");
    let rules: Vec<&str> = file.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert!(rules.len() >= 10, "{rules:?}");
    let new = || View::new("home-server", fleets::now());
    let mut unseen = new();
    let mut one = fleets::plain("new");
    (one.sync, one.health, one.seen, one.settled, one.generation) =
        (Standing::Unknown, Fare::Unknown, None, None, None);
    unseen.deployments = vec![one];
    unseen.count();
    let [before, unseen] = [new(), unseen].map(|view| Server::start(view, None).get("/metrics").body);
    let names = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("packfleet_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |body: &str, name: &str| body.lines().any(|line| line.starts_with(name));
    for rule in rules {
        // Of nobody an edit is known before somebody looked.
        let names: Vec<String> = names(rule).into_iter().filter(|name| !name.contains("here_only")).collect();
        let of_one = names.iter().any(|name| name.contains("_deployment_") || name.contains("_git_"));
        let body = if of_one { &unseen } else { &before };
        assert!(names.is_empty() || names.iter().any(|name| has(body, name)), "{rule}");
        for label in ["sync", "health"] {
            for (at, _) in rule.match_indices(&format!("{label}=")) {
                let words = rule[at..].split('"').nth(1).expect("a value");
                let known = |word: &str| match label {
                    "sync" => unseen.contains(&format!("packfleet_deployments{{sync=\"{word}\"}}")),
                    _ => ["ill", "going-back", "watched", "healthy", "unknown"].contains(&word),
                };
                assert!(words.split('|').all(known), "{rule}");
            }
        }
    }
}
