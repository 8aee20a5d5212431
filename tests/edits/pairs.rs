//! Every ordered pair of versions × every kind of edit × files of the pack: one upgrade, and once more.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::kinds::{KINDS, edit};
use crate::oracle::{Before, Fate};
use crate::pack::{Files, versions};
use crate::world::{Fleets, ROOT, Wanted, edit_memory, files, memory, pass};

/// Whether all is run, or what takes seconds.
pub fn everything() -> bool {
    std::env::var_os("PACKFLEET_EDITS").is_some_and(|value| value == "all")
}

/// Counts of fates by kind of edit.
type Counts = BTreeMap<(&'static str, Fate), usize>;

#[test]
fn every_pair_of_versions_and_every_kind_of_edit() {
    let fleets = Fleets::new(versions());
    let policies: &[&str] = &["merge", "keep", "revert", "merge, deleted kept", "merge, not atomic"];
    for (at, policy) in policies.iter().enumerate() {
        let wanted = fleets.all(policy, Path::new(ROOT));
        let counts = run(&fleets, &wanted, policy, at);
        let cases: usize = counts.values().sum();
        eprintln!("edits.changed = {policy}: {cases} upgrades of edited files");
        for ((kind, fate), count) in counts {
            eprintln!("  {count:6} {fate:?}: {kind}");
        }
    }
}

fn run(fleets: &Fleets, wanted: &[Wanted], policy: &str, salt: usize) -> Counts {
    let count = fleets.versions.len();
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(Counts::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let pair = next.fetch_add(1, Ordering::Relaxed);
                    if pair >= count * count {
                        return;
                    }
                    let found = one_pair(fleets, wanted, policy, pair / count, pair % count, salt);
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    for (key, found) in found {
                        *counts.entry(key).or_default() += found;
                    }
                }
            });
        }
    });
    counts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one_pair(fleets: &Fleets, wanted: &[Wanted], policy: &str, from: usize, to: usize, salt: usize) -> Counts {
    let mut counts = Counts::new();
    let (old, new) = (&fleets.versions[from], &fleets.versions[to]);
    let differs = |path: &&String| old.files.get(*path) != new.files.get(*path);
    let changed: Vec<&String> = old.files.keys().filter(differs).collect();
    let all: Vec<&String> = old.files.keys().collect();
    for (at, kind) in KINDS.into_iter().enumerate() {
        let turn = from * 7 + to * 3 + at + salt;
        let paths: Vec<&String> = if everything() {
            all.clone()
        } else if salt > 0 && !turn.is_multiple_of(16) {
            Vec::new()
        } else {
            let of = if changed.is_empty() || turn.is_multiple_of(8) { &all } else { &changed };
            // The first to which that can be done at all.
            let turned = of.iter().cycle().skip(turn % of.len()).take(of.len());
            turned
                .filter(|path| edit(kind, path, &old.files, &new.files).is_some())
                .take(1)
                .copied()
                .collect()
        };
        for path in paths {
            let Some(steps) = edit(kind, path, &old.files, &new.files) else { continue };
            let case = format!("{policy}: {kind} of {path}, {} -> {}", old.name, new.name);
            let host = memory();
            let installed = pass(&wanted[from], &host);
            assert_eq!((installed.holds.as_str(), &files(&host)), ("[]", &old.files), "installed: {case}");
            edit_memory(&host, &steps);
            let fate = upgrade(&wanted[to], &host, [&old.files, &new.files], policy, &case);
            if policy == "keep" && matches!(fate, Fate::Merged | Fate::Saved) {
                panic!("{fate:?} under keep: {case}");
            }
            *counts.entry((kind, fate)).or_default() += 1;
        }
    }
    counts
}

/// One pass, after which every local byte is accounted for; and another one, which does nothing.
fn upgrade(
    wanted: &Wanted,
    host: &packfleet::host::MemoryHost,
    [base, upstream]: [&Files; 2],
    policy: &str,
    case: &str,
) -> Fate {
    let local = files(host);
    let before = Before { base, upstream, local: &local, atomic: policy != "merge, not atomic", case };
    let passed = pass(wanted, host);
    let survey = &passed.survey;
    let fate = before.nothing_is_lost(host, &survey.plan, survey.observation.record.as_ref(), &files(host));
    let after = (files(host), host.directories());
    let again = pass(wanted, host);
    let (plan, first) = (&again.survey.plan, &passed.survey.plan.actions);
    assert!(
        !plan.commits,
        "a second pass does something: {case}: {plan:#?}\nafter {}, {first:#?}",
        passed.holds
    );
    assert_eq!(again.holds, passed.holds, "other holds on a second pass: {case}");
    assert_eq!((files(host), host.directories()), after, "{case}");
    fate
}
