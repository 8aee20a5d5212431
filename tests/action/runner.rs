//! A runner for the steps of a workflow or of a composite action, as far as the ones in this repository go: their
//! shell runs, in order, with what GitHub gives to it. A key or an expression that it does not know is a defect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};

/// A file of this repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A YAML file as JSON; every mapping's keys are strings.
pub fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(repository().join(path)).expect("a file of the repository");
    let mut documents = Yaml::load_from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    plain(&documents.remove(0))
}

fn plain(yaml: &Yaml<'_>) -> Value {
    if let Some(mapping) = yaml.as_mapping() {
        // `on` is a word here, as GitHub reads it, and not YAML 1.1's truth.
        let key = |key: &Yaml<'_>| key.as_str().expect("a word for a key").to_owned();
        return Value::Object(mapping.iter().map(|(name, value)| (key(name), plain(value))).collect());
    }
    if let Some(items) = yaml.as_sequence() {
        return Value::Array(items.iter().map(plain).collect());
    }
    if let Some(text) = yaml.as_str() {
        return Value::String(text.to_owned());
    }
    if let Some(truth) = yaml.as_bool() {
        return Value::Bool(truth);
    }
    yaml.as_integer().map_or(Value::Null, Value::from)
}

/// What a job knows: contexts of expressions, and the environment of its shell.
pub struct Job {
    /// Where the repository is checked out.
    pub directory: PathBuf,
    /// `github`, `runner`, `secrets`, `matrix`, `inputs`, `steps`.
    pub contexts: Map<String, Value>,
    /// Variables of every step.
    pub environment: BTreeMap<String, String>,
    /// A directory of its own.
    pub temporary: PathBuf,
    /// What all steps printed.
    pub log: String,
    /// What the first step that failed exited with.
    pub failed: Option<i32>,
}

impl Job {
    /// Runs a workflow's only job, once.
    pub fn workflow(&mut self, workflow: &Value) {
        let keys = ["name", "on", "permissions", "concurrency", "jobs"];
        known(workflow, &keys);
        let jobs = workflow["jobs"].as_object().expect("jobs");
        assert_eq!(jobs.len(), 1);
        let job = jobs.values().next().expect("a job");
        known(job, &["runs-on", "environment", "strategy", "steps"]);
        self.steps(job["steps"].as_array().expect("steps"));
    }

    fn steps(&mut self, steps: &[Value]) {
        for step in steps {
            known(step, &["id", "name", "uses", "with", "if", "env", "shell", "run"]);
            let goes = match step.get("if").and_then(Value::as_str) {
                None => self.failed.is_none(),
                Some("always()") => true,
                Some("${{ inputs.binary == '' }}") => self.value("inputs.binary").is_empty(),
                Some(other) => panic!("the condition {other}"),
            };
            if !goes {
                continue;
            }
            match step.get("uses").and_then(Value::as_str) {
                None => self.shell(step),
                Some(uses) if uses.starts_with("packfleet/packfleet@") => self.action(step),
                // What others wrote is not run here; what they are given is still put together.
                Some(uses) => {
                    let known = ["actions/checkout@v4", "actions/cache@v4", "actions/upload-artifact@v4"];
                    assert!(known.contains(&uses), "{uses}");
                    step.get("with").and_then(Value::as_object).into_iter().flatten().for_each(
                        |(_, given)| {
                            self.text(given);
                        },
                    );
                }
            }
        }
    }

    /// Runs this repository's action as one step.
    fn action(&mut self, step: &Value) {
        let action = yaml("action.yml");
        known(&action, &["name", "description", "author", "branding", "inputs", "outputs", "runs"]);
        let declared = action["inputs"].as_object().expect("inputs");
        let mut inputs = Map::new();
        for (name, input) in declared {
            known(input, &["description", "default", "required"]);
            inputs.insert(name.clone(), self.text(&input["default"]).into());
        }
        for (name, given) in step["with"].as_object().into_iter().flatten() {
            assert!(declared.contains_key(name), "the action has no input {name}");
            inputs.insert(name.clone(), self.text(given).into());
        }
        inputs.insert("binary".into(), env!("CARGO_BIN_EXE_packfleet").into());
        let outer: Vec<(&str, Option<Value>)> =
            ["inputs", "steps"].map(|name| (name, self.contexts.remove(name))).into();
        self.contexts.insert("inputs".into(), inputs.into());
        self.contexts.insert("steps".into(), Map::new().into());
        assert_eq!(action["runs"]["using"], "composite");
        self.steps(action["runs"]["steps"].as_array().expect("steps"));
        let outputs: Map<String, Value> = action["outputs"]
            .as_object()
            .expect("outputs")
            .iter()
            .map(|(name, output)| {
                known(output, &["description", "value"]);
                (name.clone(), self.text(&output["value"]).into())
            })
            .collect();
        for (name, context) in outer {
            self.contexts.insert(name.to_owned(), context.unwrap_or_else(|| Map::new().into()));
        }
        self.keep(step, outputs);
    }

    fn keep(&mut self, step: &Value, outputs: Map<String, Value>) {
        if let Some(id) = step.get("id").and_then(Value::as_str) {
            self.contexts["steps"][id] = serde_json::json!({ "outputs": outputs });
        }
    }

    fn shell(&mut self, step: &Value) {
        let script = step["run"].as_str().expect("a script");
        assert!(!script.contains("${{"), "an expression in a script is an injection: {script}");
        let output_file = self.temporary.join("output");
        std::fs::write(&output_file, "").expect("a file");
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(&self.directory);
        command.env_clear().envs(&self.environment).env("GITHUB_OUTPUT", &output_file);
        let path_file = self.temporary.join("path");
        command.env("GITHUB_PATH", &path_file);
        for (name, value) in step.get("env").and_then(Value::as_object).into_iter().flatten() {
            command.env(name, self.text(value));
        }
        let output = command.output().expect("bash");
        self.log.push_str(&String::from_utf8_lossy(&output.stdout));
        self.log.push_str(&String::from_utf8_lossy(&output.stderr));
        if !output.status.success() && self.failed.is_none() {
            self.failed = output.status.code();
        }
        if let Ok(added) = std::fs::read_to_string(&path_file) {
            let path = self.environment.entry("PATH".into()).or_default();
            *path = added.lines().fold(path.clone(), |path, added| format!("{added}:{path}"));
            std::fs::remove_file(&path_file).expect("it was there");
        }
        let written = std::fs::read_to_string(&output_file).expect("outputs");
        let outputs = written.lines().map(|line| {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("an output: {line}"));
            (name.to_owned(), Value::from(value))
        });
        self.keep(step, outputs.collect());
    }

    /// A value with its expressions filled in.
    fn text(&self, value: &Value) -> String {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("${{") {
            let (expression, behind) = after.split_once("}}").expect("an end of the expression");
            out.push_str(before);
            out.push_str(&self.value(expression.trim()));
            rest = behind;
        }
        out + rest
    }

    fn value(&self, expression: &str) -> String {
        let mut parts = expression.split('.');
        let first = parts.next().expect("a context");
        let mut at = self.contexts.get(first).unwrap_or_else(|| panic!("the context of {expression}"));
        let mut depth = 0;
        for part in parts {
            depth += 1;
            at = match at.get(part) {
                Some(inner) => inner,
                // An output that was not set, and what an event does not have, are empty; all else is a mistake.
                None if first == "steps" && depth > 2 => return String::new(),
                None if expression.starts_with("github.event.") => return String::new(),
                None => panic!("{expression}: there is no {part}"),
            };
        }
        match at {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }
}

fn known(object: &Value, keys: &[&str]) {
    for key in object.as_object().expect("a mapping").keys() {
        assert!(keys.contains(&key.as_str()), "the key {key}");
    }
}
