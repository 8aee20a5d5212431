//! `status --watch`: a table, another one when something changed, and 130 after Ctrl-C.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FLEET: &str = r#"
[fleet]
name = "watched"
[sources.here]
path = "packs"
[packs.bot]
source = "here"
dir = "bot"
target = "bot"
[deployments.dev]
host = "local"
root = "dev"
packs.bot = { version = "*" }
"#;

#[test]
fn it_shows_what_changes_until_it_is_interrupted() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    fs::create_dir_all(path("packs/bot")).expect("a pack");
    fs::write(path("packs/bot/prompt.md"), "one\ntwo\n").expect("a file");
    fs::write(path("fleet.toml"), FLEET).expect("a fleet");
    fs::create_dir(path("dev")).expect("a root");
    let packfleet = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
        command
            .current_dir(place.path())
            .env("XDG_CACHE_HOME", path("cache"))
            .env("COLUMNS", "120")
            .args(arguments);
        command
    };
    assert!(packfleet(&["apply", "--yes"]).output().expect("it runs").status.success());
    let mut watch = packfleet(&["status", "--watch", "--interval", "200ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let output = BufReader::new(watch.stdout.take().expect("its output"));
    let mut lines = output.lines().map(|line| line.expect("a line"));
    let mut until =
        |word: &str| lines.find(|line| line.starts_with("dev ") && line.contains(word)).expect(word);
    until("in sync");
    fs::write(path("dev/bot/prompt.md"), "one\nzwei\n").expect("an edit");
    until("edited");
    let text = fs::read_to_string(path("fleet.toml")).expect("the fleet");
    fs::write(path("fleet.toml"), text.replace("dir = \"bot\"", "dri = \"bot\"")).expect("a mistake");
    let mistake = lines.find(|line| line.contains("dri")).expect("the mistake");
    assert!(!mistake.contains('\x1b'), "{mistake:?}");
    fs::write(path("fleet.toml"), FLEET).expect("mended");
    lines.find(|line| line.starts_with("dev ") && line.contains("edited")).expect("as before");
    let interrupted =
        Command::new("kill").args(["-INT", &watch.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    assert_eq!(watch.wait().expect("it ends").code(), Some(130));

    let wrong = packfleet(&["status", "--watch", "-o", "json"]).output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}
