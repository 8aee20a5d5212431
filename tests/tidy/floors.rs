//! Rules about who may use what: floors, purity of the lower ones, crates that stay in one place.
//!
//! All of them look at product code: a test may climb. `src/lib.rs` and `src/main.rs` stand outside the
//! floors: the one declares them, the other starts the top one.

use crate::source_file::{Path, SourceFile};

const FLOORS: [(&str, u8); 9] = [
    ("model", 0),
    ("merge", 1),
    ("desired", 2),
    ("plan", 2),
    ("host", 3),
    ("source", 3),
    ("engine", 4),
    ("daemon", 5),
    ("cli", 6),
];

/// Crates and the modules that may name them.
const CONFINED: [(&str, &[&str]); 21] = [
    ("git2", &["merge", "source"]),
    ("rustix", &["host", "source"]),
    ("tokio", &["engine", "daemon", "cli"]),
    ("tracing_subscriber", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("miette", &["cli"]),
    ("indicatif", &["cli"]),
    ("comfy_table", &["cli"]),
    ("anstream", &["cli"]),
    ("anstyle", &["cli"]),
    ("libgit2_sys", &["source"]),
    ("axum", &["daemon"]),
    ("tokio_stream", &["daemon"]),
    ("minijinja", &["daemon"]),
    ("prometheus_client", &["daemon"]),
    ("hmac", &["daemon"]),
    ("sha2", &["daemon"]),
    ("sd_notify", &["daemon"]),
    ("notify", &["host", "daemon"]),
];

/// The one module that may say `unsafe`.
const UNSAFE_MODULE: &str = "src/source/libgit2.rs";

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(module, _)| *module == name).map(|(_, floor)| *floor)
}

fn complaint(path: &Path, why: &str) -> String {
    format!("{}: {} {why}", path.line, path.shown())
}

/// A module uses itself and lower floors only; modules on one floor do not see each other.
pub fn floors(file: &SourceFile) -> Vec<String> {
    let Some(own) = file.floor_name() else { return Vec::new() };
    let Some(height) = floor(own) else { return vec![format!("1: module `{own}` is on no floor")] };
    let mut complaints = Vec::new();
    for path in
        file.product_paths().iter().filter(|path| path.segments[0] == "crate" && path.segments[1] != own)
    {
        match floor(&path.segments[1]) {
            None => complaints.push(complaint(path, "goes through no floor: name the module that has it")),
            Some(other) if other == height => {
                complaints.push(complaint(path, &format!("is on the floor of `{own}`")))
            }
            Some(other) if other > height => complaints.push(complaint(path, &format!("is above `{own}`"))),
            Some(_) => {}
        }
    }
    complaints
}

/// Floors 0 to 2 have no async, clock, environment, tracing or filesystem.
pub fn pure(file: &SourceFile) -> Vec<String> {
    if file.floor_name().and_then(floor).is_none_or(|height| height > 2) {
        return Vec::new();
    }
    const MODULES: [&[&str]; 10] = [
        &["std", "fs"],
        &["std", "env"],
        &["std", "net"],
        &["std", "process"],
        &["std", "thread"],
        &["std", "os"],
        &["std", "time", "SystemTime"],
        &["std", "time", "Instant"],
        &["std", "time", "*"],
        &["std", "time", "self"],
    ];
    const CRATES: [&str; 5] = ["tokio", "tracing", "rustix", "tempfile", "ignore"];
    const CLOCKS: [&str; 4] = ["Timestamp", "Zoned", "SystemTime", "Instant"];
    const DISK: [&str; 5] =
        ["canonicalize", "canonicalize_utf8", "read_dir", "symlink_metadata", "try_exists"];
    let bad = |path: &&Path| {
        MODULES.iter().any(|module| path.starts_with(module))
            || path.segments == ["std", "time"]
            || CRATES.contains(&path.segments[0].as_str()) && !ignores_text_only(path)
            || CLOCKS.iter().any(|clock| path.ends_with(&[clock, "now"]))
    };
    let mut complaints: Vec<String> =
        file.product_paths().iter().filter(bad).map(|path| complaint(path, "is an effect")).collect();
    for word in ["async", "await"] {
        complaints.extend(
            file.product_sequences(&[word]).iter().map(|line| format!("{line}: {word} is an effect")),
        );
    }
    for method in DISK {
        let lines = file.product_sequences(&[".", method, "("]);
        complaints.extend(lines.iter().map(|line| format!("{line}: .{method}() reads the disk")));
    }
    complaints
}

/// `ignore::gitignore` and `ignore::Match` compare patterns with names; the walkers beside them read disks.
fn ignores_text_only(path: &Path) -> bool {
    path.starts_with(&["ignore", "gitignore"])
        || path.starts_with(&["ignore", "Match"])
        || path.starts_with(&["ignore", "Error"])
}

/// Crates that talk to people, to git, to the kernel or to a runtime stay in their modules.
pub fn confined_crates(file: &SourceFile) -> Vec<String> {
    let place = match file.floor_name() {
        Some(name) => name,
        None if file.path == "src/main.rs" => "cli",
        None if file.path == "src/lib.rs" => "lib.rs",
        None => return Vec::new(),
    };
    let mut complaints = Vec::new();
    for path in file.product_paths() {
        if let Some((name, allowed)) = CONFINED.iter().find(|(name, _)| path.segments[0] == *name)
            && !allowed.contains(&place)
        {
            complaints.push(complaint(
                &path,
                &format!("is outside the modules of `{name}`: {}", allowed.join(", ")),
            ));
        }
    }
    complaints
}

/// Below the command line nothing prints, exits or reads the environment.
pub fn silent_library(file: &SourceFile) -> Vec<String> {
    if file.floor_name().is_none_or(|name| name == "cli") {
        return Vec::new();
    }
    // Changing the environment is `unsafe`, and reads nothing.
    let changes = |path: &Path| {
        file.path == UNSAFE_MODULE
            && ["set_var", "remove_var"].iter().any(|name| path.ends_with(&["env", name]))
    };
    let bad = |path: &&Path| {
        path.starts_with(&["std", "env"]) && !changes(path) || path.ends_with(&["process", "exit"])
    };
    let mut complaints: Vec<String> = file
        .product_paths()
        .iter()
        .filter(bad)
        .map(|path| complaint(path, "belongs to the command line"))
        .collect();
    for name in ["print", "println", "eprint", "eprintln"] {
        complaints.extend(
            file.product_sequences(&[name, "!"]).iter().map(|line| format!("{line}: {name}! prints")),
        );
    }
    complaints
}

/// `unsafe` lives in one audited module, tests included.
pub fn one_unsafe_module(file: &SourceFile) -> Vec<String> {
    if file.path == UNSAFE_MODULE {
        return Vec::new();
    }
    file.sequences(&["unsafe"]).iter().map(|line| format!("{line}: unsafe outside {UNSAFE_MODULE}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    /// One bad line each: how many complaints about it, in which file.
    fn check(rule: Rule, cases: &[(&str, &str, usize)]) {
        for (path, text, expected) in cases {
            let complaints = rule(&SourceFile::new(path, text));
            assert_eq!(complaints.len(), *expected, "{path}: {text}\n{complaints:?}");
        }
    }

    #[test]
    fn floors_are_seen() {
        check(
            floors,
            &[
                ("src/plan/drift.rs", "use crate::{model::A, merge::B, plan::C};", 0),
                ("src/plan/drift.rs", "use crate::desired::A;", 1),
                ("src/plan/drift.rs", "use crate::{model::A, host::{B, C}};", 2),
                ("src/model/name.rs", "fn f() { crate::merge::x() }", 1),
                ("src/host/scan.rs", "use super::super::source::A;", 1),
                ("src/host/scan.rs", "use super::A; use super::super::model::B;", 0),
                ("src/host/scan.rs", "use crate::A;", 1),
                ("src/host/scan.rs", "use crate::*;", 1),
                ("src/host/scan.rs", "#[cfg(test)]\nmod tests { use crate::cli::A; }", 0),
                ("src/host/scan.rs", "// crate::cli::A\nconst A: &str = \"crate::cli::A\";", 0),
                ("src/stray.rs", "", 1),
                ("src/lib.rs", "pub use crate::cli::A;", 0),
                ("src/main.rs", "packfleet::cli::main()", 0),
                ("tests/x.rs", "use packfleet::cli::A;", 0),
            ],
        );
    }

    #[test]
    fn effects_below_the_third_floor_are_seen() {
        check(
            pure,
            &[
                ("src/merge/text.rs", "use std::fs;", 1),
                ("src/merge/text.rs", "use std::{collections::BTreeMap, env, time::{Duration, Instant}};", 2),
                ("src/merge/text.rs", "use std::time::Duration;", 0),
                ("src/merge/text.rs", "use std::time;", 1),
                ("src/plan/order.rs", "let t = jiff::Timestamp::now(); let u = Timestamp::now();", 2),
                ("src/plan/order.rs", "tracing::info!(\"x\"); use tokio::sync::mpsc; use rustix::fs;", 3),
                ("src/plan/order.rs", "async fn f() { g().await }", 2),
                ("src/plan/order.rs", "p.canonicalize()", 1),
                ("src/desired/lock.rs", "use ignore::gitignore::Gitignore;", 0),
                ("src/desired/lock.rs", "use ignore::WalkBuilder;", 1),
                ("src/desired/lock.rs", "#[cfg(test)] mod tests { use std::fs; }", 0),
                ("src/host/scan.rs", "use std::fs;", 0),
            ],
        );
    }

    #[test]
    fn strayed_crates_are_seen() {
        check(
            confined_crates,
            &[
                ("src/engine/resolve.rs", "use git2::Repository;", 1),
                ("src/source/git.rs", "use git2::Repository;", 0),
                ("src/merge/text.rs", "git2::merge_file(a)", 0),
                ("src/engine/pass.rs", "use rustix::fs;", 1),
                ("src/engine/pass.rs", "use tokio::sync::mpsc;", 0),
                ("src/host/local.rs", "use tokio::sync::mpsc;", 1),
                ("src/desired/validate.rs", "#[derive(miette::Diagnostic)] struct A;", 1),
                ("src/cli/args.rs", "use clap::Parser;", 0),
                ("src/main.rs", "use clap::Parser; use git2::X;", 1),
            ],
        );
    }

    #[test]
    fn a_talking_library_is_seen() {
        check(
            silent_library,
            &[
                ("src/engine/pass.rs", "println!(\"x\"); eprint!(\"y\");", 2),
                ("src/engine/pass.rs", "std::process::exit(1); use std::env;", 2),
                ("src/engine/pass.rs", "#[cfg(test)] mod tests { fn f() { println!() } }", 0),
                ("src/cli/printer.rs", "println!(\"x\")", 0),
                ("src/source/libgit2.rs", "std::env::set_var(a, b); std::env::remove_var(a);", 0),
                ("src/source/libgit2.rs", "std::env::var(a);", 1),
                ("src/source/git.rs", "std::env::set_var(a, b);", 1),
            ],
        );
    }

    #[test]
    fn strayed_unsafe_is_seen() {
        check(
            one_unsafe_module,
            &[
                ("src/host/local.rs", "fn f() { unsafe { g() } }", 1),
                ("src/host/local.rs", "// unsafe\n#[expect(unsafe_code)]", 0),
                ("src/source/libgit2.rs", "unsafe { g() }", 0),
            ],
        );
    }
}
