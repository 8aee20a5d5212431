//! Rules about the repository as a whole: what lies at its top, and that no file names a machine.
//!
//! A path of somebody's machine works nowhere else, and a registry host fails wherever a mirror is used;
//! the clients know where their registry is. The words looked for are put together here, so that
//! this file obeys its own rule.

use std::path::Path;
use std::process::Command;

const TOP_LEVEL: [&str; 13] = [
    // Where GitHub looks for an action.
    "action.yml",
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "examples",
    "fleet.toml",
    "overlays",
    "tests",
    "benches",
    "fuzz",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
];

/// The name that lock files and tools give to Cargo's own registry, wherever it is fetched from.
const REGISTRY_NAME: &str = "github.com/rust-lang/crates.io-index";

/// Tracked files, relative to the repository. Outside a git checkout (an unpacked archive) there is no such
/// list: then it is what lies there, build output left out.
pub fn tracked_files(repository: &Path) -> Vec<String> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(repository).output();
    match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let text = String::from_utf8(output.stdout).expect("tracked names are UTF-8");
            text.split_terminator('\0').map(String::from).collect()
        }
        _ => {
            eprintln!("tidy: `git ls-files` does not answer here: every file is looked at instead");
            let mut found = Vec::new();
            walk(repository, "", &mut found);
            found
        }
    }
}

fn walk(directory: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && name != "target" && name != ".git" => {
                walk(&entry.path(), &format!("{name}/"), found);
            }
            Ok(kind) if kind.is_file() && name != ".git" => found.push(name),
            _ => {}
        }
    }
}

/// Every file lies at one of the few places that the repository has.
pub fn top_level(files: &[String]) -> Vec<String> {
    let strayed = |path: &&String| {
        let top = path.split('/').next().unwrap_or_default();
        !top.starts_with('.') && !TOP_LEVEL.contains(&top)
    };
    files
        .iter()
        .filter(strayed)
        .map(|path| format!("{path}: has no place at the top of the repository"))
        .collect()
}

/// Absolute paths of the machine that somebody happened to work on.
pub fn machine_paths(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for top in ["work", "home", "root"] {
        let needle = format!("/{top}/");
        for (line, text) in (1..).zip(text.lines()) {
            // `target/work/x` and `example.org/work/x` go on from something: they are no absolute paths.
            let begins =
                |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.}>)*~".contains(c));
            if text.match_indices(&needle).any(|(at, _)| begins(at)) {
                complaints.push(format!("{line}: names a path of one machine, {needle}…"));
            }
        }
    }
    complaints
}

/// Hosts of package registries.
pub fn registry_hosts(text: &str) -> Vec<String> {
    let hosts = [
        ["crates", "io"].as_slice(),
        &["pypi", "org"],
        &["npmjs", "org"],
        &["npmjs", "com"],
        &["deb", "debian", "org"],
    ];
    let mut complaints = Vec::new();
    for host in hosts {
        let needle = host.join(".");
        for (line, text) in (1..).zip(text.lines()) {
            if text.replace(REGISTRY_NAME, "").contains(&needle) {
                complaints.push(format!("{line}: names the registry host {needle}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strayed_files_are_seen() {
        let files = ["src/lib.rs", "README.md", ".ci/run", "rustfmt.toml", "docs/x.md"].map(String::from);
        assert_eq!(top_level(&files).len(), 2);
    }

    #[test]
    fn machine_paths_are_seen() {
        for (text, expected) in [
            ("a\ncd {}/x", 1),
            ("\"{}/\"", 1),
            ("file://{}/x", 1),
            ("target{}/x", 0),
            ("https://example.org{}/x", 0),
            ("~{}/x", 0),
        ] {
            for top in ["work", "home", "root"] {
                let text = text.replace("{}", &format!("/{top}"));
                assert_eq!(machine_paths(&text).len(), expected, "{text}");
            }
        }
    }

    #[test]
    fn registry_hosts_are_seen() {
        let name = ["crates", "io"].join(".");
        assert_eq!(
            registry_hosts(&format!("https://static.{name}/x")),
            [format!("1: names the registry host {name}")]
        );
        assert_eq!(
            registry_hosts(&format!("source = \"registry+https://github.com/rust-lang/{name}-index\"")).len(),
            0
        );
        for host in [["pypi", "org"], ["npmjs", "org"]] {
            assert_eq!(registry_hosts(&format!("\nhttps://registry.{}/", host.join("."))).len(), 1);
        }
    }

    #[test]
    fn without_git_every_file_is_looked_at() {
        let place = tempfile::tempdir().expect("a temporary directory");
        for name in ["Cargo.toml", "src/lib.rs", "target/x", ".ci/run"] {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, "").expect("a file");
        }
        let mut found = tracked_files(place.path());
        found.sort();
        assert_eq!(found, [".ci/run", "Cargo.toml", "src/lib.rs"]);
    }
}
