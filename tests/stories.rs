//! Stories: what people type and all that they then read, as text files in `tests/stories/`.
//!
//! A story is Markdown. In its ```` ```console ```` blocks a line that begins with `$ ` is a command for `sh` (lines
//! that begin with `> ` go on with it), and what follows is its whole output, stdout and stderr together;
//! `[exit 3]` says with what it ended, if not with 0. Every story runs in a directory of its own with a home, a
//! cache, a git configuration and a time of its own. The name of that directory, and ids that depend on it,
//! are written `[ROOT]` and `[ID]`.
//!
//! A line `Needs: PROGRAM` skips the story, and says so, where that is not installed.
//!
//! `UPDATE_STORIES=1 cargo test --test stories` writes down what is printed now; read the difference.
//! The README's walk runs here, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// One directory with an environment, in which commands run one after another.
struct Shell {
    root: tempfile::TempDir,
    now: PathBuf,
    ids: Regex,
    mirrors: Regex,
}

impl Shell {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let at = root.path().canonicalize().expect("a real path");
        for directory in ["home", "here"] {
            fs::create_dir(at.join(directory)).expect("a new directory");
        }
        let git = "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n[advice]\ndetachedHead = false\n";
        fs::write(at.join("home/.gitconfig"), git).expect("a new file");
        let ids = Regex::new(r"\bplan [0-9a-f]{7}\b").expect("a pattern");
        let mirrors = Regex::new(r"(/mirrors/[a-z.]+)-[0-9a-f]{12}\b").expect("a pattern");
        Self { now: at.join("here"), root, ids, mirrors }
    }

    fn top(&self) -> PathBuf {
        self.root.path().canonicalize().expect("a real path")
    }

    /// Runs one command and gives its output with its exit code. `cd` lasts.
    fn run(&mut self, command: &str) -> (String, i32) {
        let top = self.top();
        let binary = Path::new(env!("CARGO_BIN_EXE_packfleet")).parent().expect("a directory");
        let system = std::env::var("PATH").unwrap_or_default();
        let left = top.join("cwd");
        // In the same shell, so that a `cd` is seen; the exit code is the command's.
        let script = format!("exec 2>&1\n{command}\nrc=$?\npwd > '{}'\nexit $rc\n", left.display());
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&self.now)
            .env_clear()
            .env("PATH", format!("{}:{system}", binary.display()))
            .env("HOME", top.join("home"))
            .env("XDG_CACHE_HOME", top.join("cache"))
            .env("TMPDIR", &top)
            .env("REPO", env!("CARGO_MANIFEST_DIR"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_DATE", "2026-11-24T07:00:00Z")
            .env("GIT_COMMITTER_DATE", "2026-11-24T07:00:00Z")
            .env("PACKFLEET_NOW", "2026-11-24T08:00:00Z")
            .stdin(std::process::Stdio::null())
            .output()
            .expect("sh runs");
        if let Ok(path) = fs::read_to_string(&left) {
            self.now = PathBuf::from(path.trim_end());
        }
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let text = text.replace(top.to_str().expect("UTF-8"), "[ROOT]");
        let text = self.ids.replace_all(&text, "plan [ID]").into_owned();
        let text = self.mirrors.replace_all(&text, "$1-[ID]").into_owned();
        (text, output.status.code().unwrap_or(-1))
    }
}

/// The story with what its commands print now.
fn told(story: &str) -> String {
    let mut shell = Shell::new();
    let mut out = String::new();
    let mut lines = story.lines().peekable();
    let mut inside = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            inside = line == "```console";
        }
        let Some(first) = line.strip_prefix("$ ").filter(|_| inside) else {
            // What a command printed is written anew below it.
            out.push_str(line);
            out.push('\n');
            continue;
        };
        out.push_str(line);
        out.push('\n');
        let mut command = first.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("> ") || *line == ">") {
            out.push_str(more);
            out.push('\n');
            command.push('\n');
            command.push_str(more.strip_prefix("> ").unwrap_or(""));
        }
        while lines.next_if(|line| !line.starts_with("$ ") && !line.starts_with("```")).is_some() {}
        let (text, code) = shell.run(&command);
        out.push_str(&text);
        if !text.is_empty() && !text.ends_with('\n') {
            out.push('\n');
        }
        if code != 0 {
            out.push_str(&format!("[exit {code}]\n"));
        }
    }
    out
}

fn tell(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories").join(format!("{name}.md"));
    let story = fs::read_to_string(&path).expect("a story");
    for line in story.lines().filter_map(|line| line.strip_prefix("Needs: ")) {
        if Command::new(line).arg("-V").output().is_err() {
            eprintln!("stories: {line} is not installed: {name} is not told");
            return;
        }
    }
    let now = told(&story);
    if std::env::var_os("UPDATE_STORIES").is_some() {
        fs::write(&path, now).expect("a writable story");
        return;
    }
    if story != now {
        let diff = similar::TextDiff::from_lines(&story, &now);
        let diff = diff.unified_diff().context_radius(4).header("written", "printed").to_string();
        panic!("{name} is told otherwise (UPDATE_STORIES=1 writes it down):\n{diff}");
    }
}

macro_rules! stories {
    ($($name:ident)*) => {
        $(#[test] fn $name() { tell(stringify!($name)); })*

        #[test]
        fn every_story_is_told() {
            let known = [$(stringify!($name)),*];
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
            for entry in fs::read_dir(directory).expect("stories").flatten() {
                let path = entry.path();
                let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
                assert!(known.contains(&name), "{name} is not in the list");
            }
        }
    };
}

stories! {
    adopt
    against
    against_settings
    checks
    capture
    conflict
    demo
    documents
    doctor
    exit_codes
    export
    first_contact
    followed
    going
    gates_from_status
    goodbye
    health
    host_keys
    ill_in_sync
    interrupt
    interrupted
    lock
    lost_record
    mode_at_once
    majors
    now
    only_here
    order
    overlay_stages
    overlays
    plan_from_status
    pull
    pull_order
    problems
    renames
    retry_many
    revert
    saved_plans
    saved_terms
    said_at_once
    secrets
    secrets_in_files
    services
    reports
    rollback
    rollback_alone
    root_gone
    rollout
    signatures
    status_published
    slots
    strict
    unasked
    upgrade
}

/// `packfleet … | head`: what can no longer be printed is dropped, and the command ends as it would have.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let shell = Shell::new();
    for words in [&["schema"][..], &["--help"], &["--version"], &["completions", "zsh"], &["man"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_packfleet"))
            .args(words)
            .env("HOME", shell.top())
            .stdout(writer)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{words:?}: {} {said}", output.status);
    }
}

/// Each command of the README's walk, in order, ends as the README says: with 0 or `exit code N`.
#[test]
fn the_readme_walk_runs_as_it_stands() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let walk = readme.split("\n## A first fleet of your own\n").nth(1).expect("the walk");
    let walk = walk.split("\n## ").next().expect("its end");
    let code = Regex::new(r"exit code (\d+)").expect("a pattern");
    let mut shell = Shell::new();
    let mut ran = 0;
    for block in walk.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()) {
        let mut lines = block.lines();
        while let Some(line) = lines.next() {
            let mut command = line.to_owned();
            if line.contains("<<'END'") {
                for more in lines.by_ref() {
                    command.push('\n');
                    command.push_str(more);
                    if more == "END" {
                        break;
                    }
                }
            }
            if command.trim().is_empty() {
                continue;
            }
            let expected = code.captures(line).map_or(0, |found| found[1].parse().expect("a number"));
            let (text, ended) = shell.run(&command);
            assert_eq!(ended, expected, "{command}\n{text}");
            ran += 1;
        }
    }
    assert!(ran > 20, "only {ran} commands found");
}
