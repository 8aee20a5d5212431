//! What a pass takes of memory: by how many files there are, never by how large they are.
//!
//! The test binary starts itself as packfleet, and tells at its end how much it had at most.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use packfleet::model::{Entry, Kind};

const RUN: &str = "PACKFLEET_TEST_MEMORY";
/// Of each of two files.
const SIZE: usize = 64 << 20;

/// Not a test: packfleet itself, which tells its peak. Without its variable it does nothing.
#[test]
fn packfleet() -> std::process::ExitCode {
    let Ok(words) = std::env::var(RUN) else { return std::process::ExitCode::SUCCESS };
    let code = packfleet::cli::main(["packfleet"].into_iter().chain(words.split(' ')).map(Into::into));
    fs::write("peak", peak().to_string()).expect("told");
    code
}

/// What this process had of memory at most, in kB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs packfleet, which must succeed, and gives its peak in MiB.
fn peak_of(top: &Path, words: &str) -> u64 {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "memory::packfleet", "--nocapture", "--test-threads=1"]);
    command.current_dir(top).env(RUN, words).env("HOME", top).env("XDG_CACHE_HOME", top.join("cache"));
    let output = command.output().expect("itself");
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {told}");
    let peak: u64 = fs::read_to_string(top.join("peak")).expect("a peak").parse().expect("a number");
    eprintln!("{words}: {} MiB", peak >> 10);
    peak >> 10
}

fn large(at: &Path, fill: u8) {
    let mut file = File::create(at).expect("a file");
    // Nothing that compresses, so that git keeps it as it is and not as a difference.
    let mut state = u64::from(fill);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..SIZE >> 20 {
        for bytes in piece.chunks_exact_mut(8) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.copy_from_slice(&(state ^ state >> 29).to_le_bytes());
        }
        file.write_all(&piece).expect("written");
    }
}

fn git(at: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=n", "-c", "user.email=e", "-c", "core.compression=1"]).args(arguments);
    assert!(git.current_dir(at).stdout(Stdio::null()).status().expect("git").success(), "{arguments:?}");
}

/// Fetched, installed, edited, put back with the edit saved, upgraded, taken back: twice 64 MiB, and never one of them
/// whole in memory from a directory, and never two from git. What git keeps in one file for itself is read whole, with
/// its packed form beside it, and libgit2 maps what it has just written: three times the largest file while fetching.
#[test]
fn large_files_cost_no_memory() {
    for (kind, most) in [("path", 64), ("url", 160)] {
        let place = tempfile::tempdir().expect("a directory");
        let top = place.path();
        let pack = top.join("source/pack");
        fs::create_dir_all(&pack).expect("a directory");
        let (a, b) = (pack.join("a"), pack.join("b"));
        large(&a, 1);
        large(&b, 2);
        let next = |message: &str| {
            if kind == "url" {
                git(&top.join("source"), &["add", "."]);
                git(&top.join("source"), &["commit", "-qm", message]);
            }
        };
        if kind == "url" {
            git(&top.join("source"), &["init", "-qb", "main"]);
        }
        next("one");
        let version = if kind == "url" { "branch = 'main'" } else { "version = '*'" };
        let fleet = format!(
            "fleet.name = 'f'\nlimits.file = '128MiB'\nfleet.edits.changed = 'revert'\nsources.s.{kind} = 'source'\n\
             packs.p = {{ source = 's', dir = 'pack', target = '.' }}\n\
             deployments.home = {{ host = 'local', root = 'live', packs.p = {{ {version} }} }}\n"
        );
        fs::write(top.join("fleet.toml"), fleet).expect("a file");
        let within = |words: &str, most: u64| {
            let peak = peak_of(top, words);
            assert!(peak < most, "{kind}: {words}: {peak} MiB of memory, {most} are too much");
        };
        let check = |words: &str| within(words, most);
        // Fetching from a path packs in this very process what a server would pack.
        within("plan", 256);
        check("apply --yes");
        File::options()
            .append(true)
            .open(top.join("live/a"))
            .expect("a file")
            .write_all(b"edit")
            .expect("edited");
        check("apply --yes");
        large(&b, 3);
        next("two");
        within("plan", 256);
        check("apply --yes");
        check("rollback home --yes");
        assert!(fs::read(top.join("live/a")).expect("a") == fs::read(&a).expect("a"));
        assert_eq!(Entry::of(Kind::File, &fs::read(top.join("live/b")).expect("b")).content, {
            large(&b, 2);
            Entry::of(Kind::File, &fs::read(&b).expect("b")).content
        });
        if kind == "path" {
            check("plan --full-rehash");
        }
    }
}
