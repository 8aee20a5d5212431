//! What `-o json` prints is what `packfleet schema --reports` says: every document of one rich fleet, key by key.
//!
//! The shipped schema lets later keys pass. Here every key must be in it, so that none goes undescribed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A directory with a home, a pack repository of two versions and a fleet.
struct Fleet(tempfile::TempDir);

impl Fleet {
    fn new() -> Self {
        let fleet = Self(tempfile::tempdir().expect("a temporary directory"));
        fleet.shell(&[
            "mkdir home && git config --global user.name Ada && git config --global user.email ada@example.org",
            "git config --global init.defaultBranch main && git init -q packs && mkdir packs/bot packs/core",
            "seq 1 30 > packs/bot/lines; seq 40 80 > packs/bot/list; echo 1 > packs/bot/reverted; echo 1 > packs/core/README",
            "printf '{\"a\":1}\\n' > packs/bot/settings.json; ln -s lines packs/bot/link",
            "git -C packs add . && git -C packs commit -qm one && git -C packs tag v1.0.0",
            "git init -q fleet; mkdir -p fleet/overlays/o; printf 'pack = \"bot\"\\n' > fleet/overlays/o/overlay.toml",
            "printf '{\"b\":2}\\n' > fleet/overlays/o/settings.json.merge.json",
        ]);
        let toml = r#"
[fleet]
name = "f"
[sources.team]
url = "../packs"
[packs.bot]
source = "team"
dir = "bot"
target = "bot"
[packs.core]
source = "team"
dir = "core"
target = "core"
[packs.ill]
source = "team"
dir = "core"
target = "ill"
[[packs.ill.health]]
command = ["grep", "-q", "1", "README"]
within = "1s"
[profiles.all]
packs.bot = { version = "1", overlays = ["o"] }
[deployments.canary]
profile = "all"
host = "local"
root = "../canary"
packs.core = { version = "1" }
[deployments.last]
host = "local"
root = "../last"
packs.core = { version = "1" }
depends_on = ["canary"]
[deployments.revert]
profile = "all"
host = "local"
root = "../revert"
edits = { changed = "revert" }
[deployments.sick]
host = "local"
root = "../sick"
packs.ill = { version = "1" }
[deployments.away]
host = "nowhere.invalid"
root = "/srv/away"
packs.core = { version = "1" }
[deployments.filled]
profile = "all"
host = "local"
root = "../filled"
[deployments.left]
host = "local"
root = "../left"
packs.core = { version = "1" }
"#;
        std::fs::write(fleet.at("fleet/fleet.toml"), toml).expect("a new file");
        fleet.shell(&["git -C fleet add . && git -C fleet commit -qm fleet"]);
        fleet
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, program: impl AsRef<Path>, directory: &str) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.at(directory))
            .env("HOME", self.at("home"))
            .env("XDG_CACHE_HOME", self.at("cache"))
            .env("XDG_STATE_HOME", self.at("state"))
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    fn shell(&self, lines: &[&str]) {
        for line in lines {
            let status = self.command("sh", "").args(["-c", line]).status().expect("sh");
            assert!(status.success(), "{line}");
        }
    }

    /// What a command prints, and its exit code.
    fn run(&self, words: &[&str]) -> (String, i32) {
        let output =
            self.command(env!("CARGO_BIN_EXE_packfleet"), "fleet").args(words).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        (text, output.status.code().expect("an exit code"))
    }

    /// A document; if it says how the command ends, that is true.
    fn document(&self, words: &[&str]) -> Value {
        let (text, ended) = self.run(words);
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}\n{text}"));
        if let Some(code) = document.get("exit_code") {
            assert_eq!(code, ended, "{words:?}\n{text}");
        }
        document
    }
}

/// The same schema, in which no object takes a key that it does not name.
fn closed(mut schema: Value) -> Value {
    if let Value::Object(object) = &mut schema {
        if object.contains_key("properties") {
            object.insert("additionalProperties".into(), json!(false));
        }
        for inner in object.values_mut() {
            *inner = closed(inner.take());
        }
    } else if let Value::Array(items) = &mut schema {
        items.iter_mut().for_each(|item| *item = closed(item.take()));
    }
    schema
}

/// The one layout among all that has this kind.
fn of_kind(schema: &Value, kind: &str) -> jsonschema::Validator {
    let all = schema["$defs"].as_object().expect("definitions");
    let means = |layout: &Value| {
        let of = &layout["properties"]["kind"];
        of["const"] == kind || of["enum"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
    };
    let mut layout =
        all.values().find(|layout| means(layout)).unwrap_or_else(|| panic!("no kind {kind}")).clone();
    layout["$defs"] = schema["$defs"].clone();
    jsonschema::validator_for(&layout).expect("a schema")
}

#[test]
fn every_document_is_as_its_schema_says() {
    let fleet = Fleet::new();
    let shipped = fleet.document(&["schema", "--reports"]);
    jsonschema::meta::validate(&shipped).expect("a schema");
    let shipped = closed(shipped);
    let mut seen = BTreeMap::<String, Vec<Value>>::new();
    let mut check = |words: &[&str]| {
        let document = fleet.document(words);
        let kind = document["kind"].as_str().expect("a kind").to_owned();
        let errors: Vec<String> = of_kind(&shipped, &kind)
            .iter_errors(&document)
            .map(|error| format!("{} at {}", error.masked(), error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{words:?}: {errors:#?}\n{document:#}");
        seen.entry(kind).or_default().push(document);
    };
    check(&["validate", "-o", "json"]);
    check(&["validate", "--strict", "-o", "json"]);
    check(&["plan", "-o", "json", "--unmanaged"]);
    fleet.shell(&["mkdir filled && cp -a packs/bot filled/ && rm filled/bot/reverted && echo x >> filled/bot/lines && echo u > filled/bot/other"]);
    check(&["adopt", "filled", "--yes", "-o", "json"]);
    check(&["apply", "--yes", "-o", "json"]);
    fleet.shell(&[
        "sed -i s/^5$/mine/ canary/bot/lines; sed -i s/^70$/mine/ canary/bot/list filled/bot/list; echo mine > revert/bot/reverted; rm canary/bot/link",
        "cd packs && sed -i s/^5$/five/ bot/lines && git mv bot/list bot/words && echo 2 > core/README && echo 2 > bot/reverted && printf '{\"a\":2}\\n' > bot/settings.json",
        "cd packs && git add . && git commit -qm two && git tag v1.1.0",
        "sed -i '/^.deployments.left/,$d' fleet/fleet.toml",
        "mkdir -p fleet/overlays/unused && printf 'pack = \"bot\"\\n' > fleet/overlays/unused/overlay.toml",
    ]);
    check(&["validate", "--strict", "-o", "json"]);
    check(&["plan", "-o", "json", "--unmanaged"]);
    check(&["plan", "-o", "json", "--against", "HEAD"]);
    check(&["why", "canary", "-o", "json"]);
    check(&["diff", "canary", "-o", "json"]);
    check(&["apply", "--yes", "-o", "json"]);
    fleet.shell(&["git -C fleet commit -qam two"]);
    assert_eq!(fleet.run(&["capture", "filled", "--branch", "capture/filled"]).1, 0);
    check(&["status", "-o", "json"]);
    check(&["history", "canary", "-o", "json"]);
    check(&["edits", "list", "revert", "-o", "json"]);
    check(&["record", "canary", "-o", "json"]);
    check(&["outdated", "-o", "json"]);
    check(&["overlay", "show", "-o", "json"]);
    check(&["overlay", "check", "-o", "json"]);
    check(&["doctor", "canary", "-o", "json"]);
    check(&["bootstrap", "canary", "-o", "json"]);
    fleet.run(&["rollback", "revert", "--yes"]);
    check(&["status", "-o", "json"]);
    fleet.shell(&["echo 'x = 1' >> fleet/fleet.toml"]);
    check(&["validate", "-o", "json"]);
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    let all = [
        "adopt",
        "apply",
        "bootstrap",
        "diff",
        "doctor",
        "edits",
        "history",
        "outdated",
        "overlay-check",
        "overlays",
        "plan",
        "record",
        "status",
        "validate",
        "why",
    ];
    assert_eq!(kinds, all);
    // What the fleet is rich in: each of these lists had something in some document.
    let reports: Vec<&Value> = ["plan", "apply", "status"].iter().flat_map(|kind| &seen[*kind]).collect();
    let deployments = || reports.iter().flat_map(|report| report["deployments"].as_array().expect("a list"));
    for key in
        ["packs", "actions", "renames", "edits", "edits_in", "holds", "waits", "saved", "said", "unmanaged"]
    {
        assert!(
            deployments().any(|one| one[key].as_array().is_some_and(|list| !list.is_empty())),
            "no {key}"
        );
    }
    for key in ["health", "taken_back", "failure"] {
        assert!(deployments().any(|one| one[key].is_object()), "no {key}");
    }
    assert!(reports.iter().any(|report| report["against"].is_object()), "nothing compared");
    assert!(
        reports.iter().any(|report| report["orphans"].as_array().is_some_and(|list| !list.is_empty())),
        "no orphan"
    );
}
