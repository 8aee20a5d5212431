//! Views of fleets: a small one with everything, a large one, and one whose names want to be markup.

use jiff::Timestamp;
use packfleet::daemon::detail::{Detail, Details, Diff, GenerationShown};
use packfleet::daemon::view::{
    Commit, Deployed, Fare, PackShown, Pass, Problem, Reason, Row, Stage, Standing, View,
};

/// A name that is markup, script and a quote.
pub const HOSTILE: &str = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub fn now() -> Timestamp {
    at("2026-11-24T12:00:00Z")
}

fn empty(fleet: &str) -> View {
    let mut view = View::new("home-server", at("2026-11-20T08:00:00Z"));
    view.revision = 1;
    view.fleet = Some(fleet.to_owned());
    view.commit = Some(Commit {
        id: "2be9f01c8a7d4b6e9f01c8a7d4b6e9f01c8a7d4b".to_owned(),
        branch: Some("main".to_owned()),
        dirty: false,
    });
    let (began, ended) = (at("2026-11-24T11:59:46Z"), at("2026-11-24T11:59:48Z"));
    view.pass = Some(Pass { began, ended, looked: 3 });
    view.totals.passes = 7;
    view.totals.pass_milliseconds = 14_200;
    view
}

/// In sync, healthy, on version 1.0.0 of one pack.
pub fn plain(name: &str) -> Deployed {
    Deployed {
        name: name.to_owned(),
        host: "local".to_owned(),
        root: "/opt/PAI".to_owned(),
        location: Some("home-server".to_owned()),
        labels: vec!["prod".to_owned()],
        observed: false,
        absent: false,
        sync: Standing::InSync,
        health: Fare::Healthy,
        since: at("2026-11-23T10:00:00Z"),
        seen: Some(at("2026-11-24T11:59:48Z")),
        settled: Some(at("2026-11-24T11:59:48Z")),
        generation: Some(4),
        packs: vec![pack("slack", "820ad0a", "820ad0a")],
        edits: 0,
        here_only: None,
        edits_in: Vec::new(),
        stage: None,
        depends_on: Vec::new(),
        why: String::new(),
        reasons: Vec::new(),
        drift: Vec::new(),
        drifted: 0,
        host_errors: 0,
        failures: 0,
    }
}

pub fn pack(name: &str, installed: &str, wanted: &str) -> PackShown {
    PackShown {
        pack: name.to_owned(),
        installed: Some(installed.to_owned()),
        wanted: Some(wanted.to_owned()),
        declared: true,
        commit: Some("71c04be8a7d4b6e9f01c8a7d4b6e9f01c8a7d4b6".to_owned()),
        tree: None,
        ..PackShown::default()
    }
}

fn reason(cause: &str, deployment: &str, text: &str, next: &str, depth: usize) -> Reason {
    Reason {
        cause: cause.to_owned(),
        deployment: deployment.to_owned(),
        text: text.to_owned(),
        details: Vec::new(),
        next: next.to_owned(),
        depth,
    }
}

/// Three deployments, each in a way of its own.
pub fn small() -> View {
    let mut view = empty("pai");
    view.rollout = Some("stage 1 of 2: stopped (71c04be failed on PAI-TEST-01)".to_owned());
    let mut dev = plain("PAI-DEV-01");
    dev.sync = Standing::Edited;
    dev.labels = vec!["dev".to_owned()];
    dev.packs = vec![PackShown {
        overlays: vec!["quiet".to_owned()],
        features: vec!["thread-message-tracking".to_owned()],
        edits: 6,
        drifted: 6,
        ..pack("slack", "5557590", "5557590")
    }];
    (dev.edits, dev.here_only, dev.drifted) = (6, Some(6), 6);
    dev.why = "edits.changed = keep".to_owned();
    let mut test = plain("PAI-TEST-01");
    test.sync = Standing::Rejected;
    test.packs = vec![pack("core", "1.0.0", "1.0.0"), pack("slack", "5557590", "71c04be")];
    test.stage = Some(Stage {
        number: 1,
        of: 2,
        waits: false,
        soaks_until: Some(at("2026-11-26T10:31:00Z")),
        clears: None,
        stopped: None,
    });
    (test.edits, test.here_only) = (1, Some(0));
    test.edits_in = vec!["5ab0e12".to_owned()];
    test.why = "what fleet.toml gives was rolled back here: generation 2 stands instead".to_owned();
    let mut failed = reason(
        "rejected",
        "PAI-TEST-01",
        "a change was found unhealthy and taken back, 2026-11-24 14:07:41Z",
        "packfleet retry PAI-TEST-01",
        0,
    );
    failed.details = vec![
        "FAILED slack: active_for 60s: unit left \"active\" after 5 s, 3 restarts".to_owned(),
        "       | error: Cannot find module \"@slack/types\" from \"/opt/PAI/.claude/skills/Slack/Tools/Server.ts\""
            .to_owned(),
    ];
    test.reasons = vec![failed];
    test.drift = vec![Row {
        path: ".claude/skills/Slack/Tools/Server.ts".to_owned(),
        pack: "slack".to_owned(),
        standing: "edited".to_owned(),
        letter: 'E',
        note: "your edit, kept".to_owned(),
    }];
    test.drifted = 1;
    let mut prod = plain("PAI-PROD-01");
    prod.host = "prod-01".to_owned();
    prod.sync = Standing::Waiting;
    prod.depends_on = vec!["PAI-TEST-01".to_owned()];
    prod.packs = vec![pack("core", "1.0.0", "1.0.0"), pack("slack", "820ad0a", "71c04be")];
    prod.stage = Some(Stage {
        number: 2,
        of: 2,
        waits: true,
        soaks_until: None,
        clears: Some(at("2026-11-26T10:31:00Z")),
        stopped: None,
    });
    prod.why = "PAI-TEST-01: it is held".to_owned();
    prod.reasons = vec![
        reason(
            "dependency",
            "PAI-PROD-01",
            "waits for PAI-TEST-01: it is held",
            "clears with PAI-TEST-01, below",
            0,
        ),
        reason(
            "rejected",
            "PAI-TEST-01",
            "PAI-TEST-01: pack slack was rolled back",
            "packfleet retry PAI-TEST-01",
            1,
        ),
    ];
    view.deployments = vec![dev, prod, test];
    view.count();
    view
}

/// 500 deployments in layers, a tenth of which are not in sync.
pub fn large() -> View {
    let mut view = empty("edge");
    view.problems = vec![Problem {
        file: "fleet.toml".to_owned(),
        line: Some(41),
        message: "there is no pack \"slakc\"".to_owned(),
        hint: Some("did you mean \"slack\"?".to_owned()),
        about: packfleet::daemon::view::About::FleetFile,
    }];
    for number in 1..=497 {
        let mut edge = plain(&format!("edge-{number:03}"));
        edge.depends_on = vec![format!("hub-{}", number % 3 + 1)];
        edge.host = edge.name.clone();
        match number % 40 {
            7 => {
                edge.sync = Standing::Held;
                edge.packs = vec![pack("slack", "820ad0a", "71c04be")];
                edge.why =
                    ".claude/skills/Slack/Tools/Server.ts: line 613 was changed on the host and by the pack"
                        .to_owned();
                edge.drifted = 1;
            }
            13 => {
                edge.sync = Standing::Offline;
                edge.why = format!("edge-{number:03} cannot be reached: Connection timed out");
            }
            21 => {
                edge.sync = Standing::Edited;
                (edge.edits, edge.here_only) = (2, Some(1));
            }
            33 => {
                edge.sync = Standing::Pending;
                edge.packs = vec![pack("slack", "820ad0a", "71c04be")];
                edge.why = "1 to add, 2 to change (1 merged)".to_owned();
            }
            _ => {}
        }
        view.deployments.push(edge);
    }
    for number in 1..=3 {
        view.deployments.push(plain(&format!("hub-{number}")));
    }
    view.deployments.sort_by(|a, b| a.name.cmp(&b.name));
    view.count();
    view
}

/// Packs, paths and hosts whose names want to be markup.
pub fn hostile() -> View {
    let mut view = empty(HOSTILE);
    view.problems = vec![Problem {
        file: HOSTILE.to_owned(),
        line: None,
        message: HOSTILE.to_owned(),
        hint: Some(HOSTILE.to_owned()),
        about: packfleet::daemon::view::About::FleetFile,
    }];
    let mut bad = plain("bad");
    for field in [&mut bad.host, &mut bad.root, &mut bad.why] {
        *field = HOSTILE.to_owned();
    }
    bad.location = Some(HOSTILE.to_owned());
    bad.labels = vec![HOSTILE.to_owned()];
    bad.depends_on = vec![HOSTILE.to_owned()];
    bad.edits = 1;
    bad.edits_in = vec![HOSTILE.to_owned()];
    bad.packs = vec![PackShown {
        overlays: vec![HOSTILE.to_owned()],
        features: vec![HOSTILE.to_owned()],
        commit: Some(HOSTILE.to_owned()),
        ..pack(HOSTILE, HOSTILE, "1")
    }];
    bad.reasons =
        vec![Reason { details: vec![HOSTILE.to_owned()], ..reason(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 0) }];
    bad.drift = vec![Row {
        path: HOSTILE.to_owned(),
        pack: HOSTILE.to_owned(),
        standing: HOSTILE.to_owned(),
        letter: '<',
        note: HOSTILE.to_owned(),
    }];
    bad.drifted = 1;
    view.deployments = vec![bad];
    view.count();
    view
}

/// Details that are always the same.
pub struct Known;

impl Details for Known {
    fn of(&self, deployment: &str) -> Result<Detail, String> {
        let path = if deployment == "bad" { HOSTILE } else { ".claude/skills/Slack/Tools/Server.ts" };
        let diff = format!(
            "--- recorded/{path}\n+++ host/{path}\n@@ -610,7 +610,7 @@\n   const prompt = text(event)\n-  if (!prompt) \
             return\n+  if (!prompt && !event.files) return\n   reply(event, prompt)\n"
        );
        let generation = |generation, now| GenerationShown {
            generation,
            time: at("2026-11-23T10:00:00Z"),
            purpose: "sync".to_owned(),
            packs: [("slack".to_owned(), "820ad0a".to_owned())].into(),
            added: 1,
            changed: 2,
            removed: 0,
            held: 0,
            now,
            can_go_back: !now,
        };
        Ok(Detail {
            diffs: vec![Diff {
                path: path.to_owned(),
                pack: "slack".to_owned(),
                standing: "edited".to_owned(),
                diff,
            }],
            more: 0,
            generations: vec![generation(2, true), generation(1, false)],
        })
    }
}
