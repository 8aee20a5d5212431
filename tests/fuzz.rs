//! Every fuzz target for a short while: its seeds, then seeds changed in a few places, with a fixed seed of numbers.
//!
//! `PACKFLEET_FUZZ_SEED` is another seed, `PACKFLEET_FUZZ_TIMES` so many times as many inputs. An input on which a law
//! fails is printed, ready to stand in a test. The longer run, guided by coverage, is `fuzz/run`; it starts from the
//! same seeds, which `PACKFLEET_FUZZ_CORPUS` has written here. How much is done never depends on time.

#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use mutate::{Numbers, mutated};
use targets::{TARGETS, Target, target};

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")),
        Err(_) => default,
    }
}

/// Checks one input, and prints it if a law fails on it.
fn check(target: &Target, data: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.check)(data))) {
        eprintln!("target {}, input:\nb\"{}\"", target.name, data.escape_ascii());
        resume_unwind(panic);
    }
}

fn fuzz(name: &str, rounds: u64) {
    let target = target(name);
    let seeds = (target.seeds)();
    for seed in &seeds {
        check(target, seed);
    }
    let mut numbers = Numbers(number("PACKFLEET_FUZZ_SEED", 1));
    for _ in 0..rounds * number("PACKFLEET_FUZZ_TIMES", 1) {
        check(target, &mutated(&seeds, target.words, &mut numbers));
    }
}

macro_rules! targets {
    ($($name:ident: $rounds:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name), $rounds);
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| run.contains(&target.name)));
        }
    };
}

targets! {
    fleet: 6_000,
    lock: 10_000,
    patch: 10_000,
    json: 10_000,
    toml: 10_000,
    text: 6_000,
    journal: 10_000,
    record: 10_000,
    manifest: 10_000,
    path: 10_000,
}

/// Seeds and dictionaries for a fuzzer that is guided by coverage: a directory per target, a file per seed.
#[test]
fn the_corpus_can_be_written() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let asked = std::env::var_os("PACKFLEET_FUZZ_CORPUS");
    let top = asked.as_deref().map_or(place.path(), Path::new);
    for target in &TARGETS {
        let directory = top.join(target.name);
        fs::create_dir_all(&directory).expect("a directory");
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(directory.join(format!("seed-{number}")), seed).expect("a seed");
        }
        let quoted = |word: &&str| {
            let bytes: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{bytes}\"\n")
        };
        let words: String = target.words.iter().map(quoted).collect();
        fs::write(top.join(format!("{}.dict", target.name)), words).expect("a dictionary");
    }
}
