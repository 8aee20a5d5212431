//! The GitHub Action and the workflows in `examples/ci`: their steps run, against a real repository in a bare
//! directory and a server that answers like GitHub.
//!
//! What GitHub alone can do (caches, artifacts, checkouts) is left out; the YAML, the expressions and the shell are not.

#[path = "action/github.rs"]
mod github;
#[path = "action/runner.rs"]
mod runner;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use github::{GitHub, TOKEN};
use runner::{Job, repository, yaml};
use serde_json::{Map, Value, json};

/// A bare fleet repository, a clone of it as a runner has it, and packs.
struct World {
    top: tempfile::TempDir,
    github: GitHub,
}

/// What is missing on this machine; the action needs it, as GitHub's runners have it.
fn missing() -> Option<&'static str> {
    let there = |program: &&&str| Command::new(**program).arg("--version").output().is_ok();
    let lacks = ["bash", "curl", "jq", "git"].iter().find(|program| !there(program)).copied();
    if let Some(program) = lacks {
        eprintln!("SKIPPED: {program} is not installed here");
    }
    lacks
}

impl World {
    fn new() -> Self {
        let world = Self { top: tempfile::tempdir().expect("a directory"), github: GitHub::start() };
        let fleet = format!(
            "[fleet]\nname = \"f\"\n[status]\ngit = \"{top}/status.git\"\n[sources.team]\nurl = \"{top}/packs\"\n[packs.bot]\nsource = \"team\"\ndir = \"bot\"\n\
             target = \"bot\"\n[deployments.\"edge-{{1..2}}\"]\nhost = \"local\"\nroot = \"{top}/live/{{}}\"\n\
             packs.bot = {{ version = \"1.0\" }}\n",
            top = world.top.path().display()
        );
        std::fs::create_dir_all(world.at("home")).expect("a directory");
        std::fs::create_dir_all(world.at("work")).expect("a directory");
        std::fs::write(world.at("home/fleet.toml"), fleet).expect("a file");
        world.shell(
            "git config --global user.name Ada; git config --global user.email ada@example.org
             git config --global init.defaultBranch main
             git init -q packs; mkdir packs/bot; seq 1 9 > packs/bot/lines
             git -C packs add .; git -C packs commit -qm one; git -C packs tag v1.0.0
             git init -q --bare status.git; git init -q --bare fleet.git; git clone -q fleet.git clone 2>&1
             cd clone; cp ~/fleet.toml .; packfleet lock >/dev/null 2>&1; git add .; git commit -qm fleet; git push -q origin HEAD:main
             packfleet apply --yes >/dev/null 2>&1
             cd ../packs; seq 1 10 > bot/lines; git commit -qam two; git tag v1.1.0
             cd ../clone; git switch -qc change; sed -i 's/\"1.0\"/\"1.1\"/' fleet.toml; packfleet lock >/dev/null 2>&1
             git commit -qam 'bot 1.1'; git push -q origin HEAD:change",
        );
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_packfleet"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", binary.parent().expect("a directory").display());
        let text = |path: PathBuf| path.display().to_string();
        BTreeMap::from([
            ("PATH".into(), path),
            ("HOME".into(), text(self.at("home"))),
            ("XDG_CACHE_HOME".into(), text(self.at("cache"))),
            ("XDG_STATE_HOME".into(), text(self.at("state"))),
            ("RUNNER_TEMP".into(), text(self.at("work"))),
            ("GITHUB_STEP_SUMMARY".into(), text(self.at("work/summary"))),
            ("GITHUB_ACTION_PATH".into(), text(repository().to_owned())),
            ("GITHUB_API_URL".into(), self.github.address.clone()),
            ("GITHUB_SERVER_URL".into(), "https://github.example".into()),
            ("GITHUB_REPOSITORY".into(), "ada/fleet".into()),
            ("GITHUB_RUN_ID".into(), "7".into()),
        ])
    }

    fn shell(&self, script: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-e", "-c", script]).current_dir(self.top.path()).env_clear().envs(self.environment());
        let output = command.output().expect("bash");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// A job on what the clone has checked out.
    fn job(&self, event: Value, matrix: Value) -> Job {
        let base = if event["pull_request"].is_null() { "" } else { "main" };
        let contexts = json!({
            "github": { "token": TOKEN, "base_ref": base, "event": event, "run_id": 7, "run_attempt": 1, "ref": "x" },
            "runner": { "os": "Linux", "arch": "X64" },
            "secrets": { "FLEET_TOKEN": TOKEN },
            "matrix": matrix,
            "inputs": {},
            "steps": {},
        });
        Job {
            directory: self.at("clone"),
            contexts: contexts.as_object().cloned().unwrap_or_else(Map::new),
            environment: self.environment(),
            temporary: self.at("work"),
            log: String::new(),
            failed: None,
        }
    }

    fn run(&self, workflow: &str, event: Value, matrix: Value) -> Job {
        let mut job = self.job(event, matrix);
        job.workflow(&yaml(&format!("examples/ci/{workflow}")));
        assert!(!job.log.contains(TOKEN), "{}", job.log);
        job
    }

    fn pull_request(&self) -> Job {
        self.run("plan.yml", json!({ "pull_request": { "number": 12 } }), json!({}))
    }

    fn comments(&self) -> Vec<String> {
        let state = self.github.state.lock().expect("no panic");
        state
            .comments
            .iter()
            .map(|(_, comment)| comment["body"].as_str().expect("a body").to_owned())
            .collect()
    }
}

#[test]
fn a_pull_request_gets_one_comment_that_updates_itself() {
    if missing().is_some() {
        return;
    }
    let world = World::new();
    {
        // What a person quotes, and more comments than one page has, stand before it.
        let mut state = world.github.state.lock().expect("no panic");
        state.comment(12, "User", "<!-- packfleet-action plan fleet.toml -->\nnot mine");
        (0..120).for_each(|n| state.comment(12, "User", &format!("comment {n}")));
    }
    let job = world.pull_request();
    assert_eq!(job.failed, None, "{}", job.log);
    let comments = world.comments();
    let written = &comments[121];
    assert_eq!(comments.len(), 122);
    assert!(written.starts_with("<!-- packfleet-action plan fleet.toml -->\n"), "{written}");
    assert!(written.contains("edge-1, 2") && written.contains("bot 1.0.0 → 1.1.0"), "{written}");
    assert!(std::fs::read_to_string(world.at("work/summary")).expect("a summary").contains("edge-1, 2"));
    // The next push to it, and an edit on a host that the next pass has published. No host is asked: they are gone.
    world.shell(
        "sed -i 's/^9$/mine/' live/1/bot/lines; cd clone; git switch -q --detach origin/main; packfleet apply --yes
         git switch -q change; git commit -q --allow-empty -m again; mv ../live ../gone",
    );
    let job = world.pull_request();
    assert_eq!(job.failed, None, "{}", job.log);
    let comments = world.comments();
    assert_eq!(comments.len(), 122);
    assert!(comments[121].contains("undecided") && comments[0].contains("not mine"), "{}", comments[121]);
    assert!(job.log.contains("::stop-commands::"), "{}", job.log);
    // What does not validate fails, and the comment says why.
    world.shell("cd clone; echo 'x = 1' >> fleet.toml");
    let job = world.pull_request();
    assert_eq!(job.failed, Some(64), "{}", job.log);
    let comments = world.comments();
    assert!(comments.len() == 122 && comments[121].contains("unknown key"), "{}", comments[121]);
    assert!(job.log.contains("::error file=fleet.toml,line="), "{}", job.log);
}

#[test]
fn a_fork_that_may_not_write_still_gets_its_plan() {
    if missing().is_some() {
        return;
    }
    let world = World::new();
    world.github.state.lock().expect("no panic").read_only = true;
    let job = world.pull_request();
    assert_eq!(job.failed, None, "{}", job.log);
    assert!(
        job.log.contains("::warning title=packfleet::pull request 12 cannot be commented on"),
        "{}",
        job.log
    );
    assert!(job.log.contains("403: Resource not accessible"), "{}", job.log);
}

#[test]
fn what_was_merged_is_applied() {
    if missing().is_some() {
        return;
    }
    let world = World::new();
    let job = world.run("apply.yml", json!({}), json!({}));
    assert_eq!(job.failed, None, "{}", job.log);
    assert_eq!(
        world
            .shell("wc -l < live/1/bot/lines; wc -l < live/2/bot/lines")
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["10", "10"]
    );
    assert!(world.comments().is_empty());
    // Without a lock nothing is applied.
    world.shell("cd clone; git rm -q fleet.lock; git commit -qm unlocked");
    let job = world.run("apply.yml", json!({}), json!({}));
    assert_eq!(job.failed, Some(64), "{}", job.log);
}

#[test]
fn drift_has_one_issue_as_long_as_there_is_some() {
    if missing().is_some() {
        return;
    }
    let world = World::new();
    world.shell("cd clone; git switch -q --detach origin/main");
    let status = json!({ "command": "status", "args": "--from-status" });
    let issues = || world.github.state.lock().expect("no panic").issues.clone();
    let job = world.run("drift.yml", json!({}), status.clone());
    assert!(job.failed.is_none() && issues().is_empty(), "{}", job.log);
    // Somebody deleted a file, and whoever applies has seen that and may not put it back.
    world.shell("rm live/2/bot/lines; cd clone; sed -i 's/^host/mode = \"observe\"\\nhost/' fleet.toml; packfleet apply --yes || true; git checkout -q fleet.toml");
    for _ in 0..2 {
        let job = world.run("drift.yml", json!({}), status.clone());
        assert_eq!(job.failed, None, "{}", job.log);
        let issues = issues();
        assert_eq!(issues.len(), 1);
        assert_eq!(
            (&issues[0]["state"], &issues[0]["title"]),
            (&json!("open"), &json!("packfleet status: changes"))
        );
        let body = issues[0]["body"].as_str().expect("a body");
        assert!(
            body.contains("edge-2") && body.contains("https://github.example/ada/fleet/actions/runs/7"),
            "{body}"
        );
    }
    // What lags is another issue.
    let outdated = json!({ "command": "outdated", "args": "" });
    let job = world.run("drift.yml", json!({}), outdated);
    assert_eq!(job.failed, None, "{}", job.log);
    assert!(
        issues().len() == 2 && issues()[1]["body"].as_str().is_some_and(|body| body.contains("1.1.0")),
        "{:#?}",
        issues()
    );
    world.shell("cd clone; packfleet apply --yes");
    world.run("drift.yml", json!({}), status);
    let states: Vec<Value> = issues().iter().map(|issue| issue["state"].clone()).collect();
    assert_eq!(states, ["closed", "open"]);
}

#[test]
fn a_release_becomes_a_pull_request_to_the_fleet() {
    if missing().is_some() {
        return;
    }
    let world = World::new();
    let job = world.run("release.yml", json!({ "release": { "tag_name": "v1.1.1" } }), json!({}));
    assert_eq!(job.failed, None, "{}", job.log);
    let sent = world.github.state.lock().expect("no panic").sent.clone();
    assert_eq!(sent.len(), 1, "{}", job.log);
    assert_eq!(
        sent[0].1,
        json!({ "event_type": "pack-released", "client_payload": { "pack": "bot", "tag": "v1.1.1" } })
    );
    world.shell("cd packs; seq 1 11 > bot/lines; git commit -qam three; git tag v1.1.1");
    world.shell("cd clone; git push -q origin HEAD:main");
    let event =
        json!({ "client_payload": sent[0].1["client_payload"], "repository": { "default_branch": "main" } });
    let job = world.run("update.yml", event.clone(), json!({}));
    assert_eq!(job.failed, None, "{}", job.log);
    let sent = world.github.state.lock().expect("no panic").sent.clone();
    assert_eq!(
        (sent[1].0.as_str(), &sent[1].1["head"], &sent[1].1["base"]),
        ("pulls", &json!("packfleet/bot"), &json!("main"))
    );
    let moved = world.shell("git -C fleet.git diff main packfleet/bot -- fleet.lock");
    assert!(moved.contains("+version = \"1.1.1\""), "{moved}");
    // Told twice, nothing new: no second branch, no second pull request.
    let again = world.run("update.yml", event, json!({}));
    assert!(again.log.contains("no pin of bot may move"), "{}", again.log);
}
