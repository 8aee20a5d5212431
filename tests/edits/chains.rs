//! Three upgrades in a row over edits that stay, on a root on disk; then each of them undone.
//!
//! What is held is settled as a person would, now for the host and now for the pack. A rollback with no edit
//! since gives the very tree back that lay there before the generations that it undoes.

use std::collections::BTreeMap;

use packfleet::engine::decide::{self, Side};
use packfleet::engine::{Report, rollback};
use packfleet::model::plan::HoldCause;
use packfleet::model::{Entry, Kind};

use crate::kinds::{KINDS, MINE, Step, edit};
use crate::oracle::{Before, Fate, show};
use crate::pack::{Files, versions};
use crate::pairs::everything;
use crate::world::{Disk, Fleets, Wanted, options, pass_on_disk};

#[test]
fn three_upgrades_over_edits_and_each_undone() {
    let fleets = Fleets::new(versions());
    let disk = Disk::new();
    let (mut chains, mut undone, mut fates) = (0, 0, BTreeMap::new());
    let rounds = if everything() { 40 } else { 2 };
    for policy in ["merge", "keep", "merge, not atomic"] {
        let wanted = fleets.all(policy, &disk.root());
        for round in 0..rounds {
            for (at, kind) in KINDS.into_iter().enumerate() {
                let count = fleets.versions.len();
                let turn = |step: usize| (at * 5 + round * 11 + step * (3 + round % 4) + step * step) % count;
                let order = [turn(0), turn(1), turn(2), turn(3)];
                let (old, new) = (&fleets.versions[order[0]].files, &fleets.versions[order[1]].files);
                let paths: Vec<&String> = old.keys().collect();
                let turned = paths.iter().cycle().skip((at + round) % paths.len()).take(paths.len());
                let Some(steps) = turned.filter_map(|path| edit(kind, path, old, new)).next() else {
                    continue;
                };
                let names = order.map(|version| fleets.versions[version].name.as_str());
                let case = format!("{policy}: {kind}, {} ({steps:?})", names.join(" -> "));
                undone += chain(&fleets, &wanted, &disk, order, &steps, policy, &case, &mut fates);
                chains += 1;
            }
        }
    }
    eprintln!("{chains} chains of three upgrades, {undone} rollbacks, {fates:?}");
}

/// Installs, edits, upgrades three times, and goes all the way back; gives the number of rollbacks.
#[expect(clippy::too_many_arguments, reason = "one call, in one place")]
fn chain(
    fleets: &Fleets,
    wanted: &[Wanted],
    disk: &Disk,
    order: [usize; 4],
    steps: &[Step],
    policy: &str,
    case: &str,
    fates: &mut BTreeMap<Fate, usize>,
) -> usize {
    disk.clear();
    pass_on_disk(&wanted[order[0]], case);
    disk.edit(steps);
    let mut base = fleets.versions[order[0]].files.clone();
    // The tree that lay there when the generation after this one was committed.
    let mut trees: BTreeMap<u64, Files> = BTreeMap::new();
    for (at, version) in order.into_iter().enumerate().skip(1) {
        let wanted = &wanted[version];
        let mut settled = 0;
        loop {
            let local = disk.files();
            let report = pass_on_disk(wanted, case);
            let survey = report.survey.as_ref().expect("a survey");
            let host = wanted.workspace.host(wanted.deployment());
            if policy == "merge, not atomic" {
                // Some paths have moved on, others are held where they were.
                let record = survey.observation.record.as_ref().expect("a record");
                let known = |at: &usize, path: &str, entry: Entry| {
                    let file = fleets.versions[*at].files.get(path)?;
                    (Entry::of(file.0, &file.1) == entry).then(|| (path.to_owned(), file.clone()))
                };
                let bases = record.entries.iter().filter_map(|(path, recorded)| {
                    order.iter().find_map(|at| known(at, path.as_str(), recorded.base?))
                });
                base = bases.collect();
            }
            let upstream = &fleets.versions[version].files;
            let atomic = policy != "merge, not atomic";
            let before = Before { base: &base, upstream, local: &local, atomic, case };
            let record = survey.observation.record.as_ref();
            let fate = before.nothing_is_lost(host.as_ref(), &survey.plan, record, &disk.files());
            *fates.entry(fate).or_default() += 1;
            if let Some(generation) = report.committed {
                trees.insert(generation - 1, local);
            }
            if survey.plan.holds.is_empty() {
                base = fleets.versions[version].files.clone();
            }
            if settled > 3 || !settle(wanted, disk, &report, at + settled, &mut trees) {
                break;
            }
            settled += 1;
        }
        let again = pass_on_disk(wanted, case);
        if again.survey.as_ref().is_some_and(|survey| survey.plan.holds.is_empty()) {
            assert_eq!(again.committed, None, "{case}");
        }
    }
    disk.edit(&[Step::Write("t/since".into(), Kind::File, MINE.into())]);
    let wanted = &wanted[order[3]];
    let mut undone = 0;
    for (to, tree) in trees.into_iter().rev() {
        if to == 0 {
            continue;
        }
        let (workspace, deployment) = (&wanted.workspace, wanted.deployment());
        let report = rollback::plan(workspace, deployment, Some(to), None, &options(), &());
        // Where later generations wrote nothing there is nothing to undo.
        if let Ok(report) = report {
            let survey = report.survey.expect("a survey");
            assert!(rejections_only(&survey.plan.holds), "{case}, back to {to}: {:?}", survey.plan.holds);
            let done = decide::commit(workspace, deployment, survey, &BTreeMap::new(), &options());
            assert!(done.is_ok(), "{case}, back to {to}: {done:?}");
            undone += 1;
        }
        let mut found = disk.files();
        assert_eq!(found.remove("t/since"), Some((Kind::File, MINE.into())), "{case}, back to {to}");
        // A rollback ends as a pass would: what somebody deleted is there again.
        if policy != "keep" {
            let shipped = |path: &str, file: &(Kind, Vec<u8>)| {
                order.iter().any(|version| fleets.versions[*version].files.get(path) == Some(file))
            };
            found.retain(|path, file| tree.contains_key(path) || !shipped(path, file));
        }
        assert!(found == tree, "{case}, back to {to}:\n{}instead of\n{}", show(&found), show(&tree));
    }
    undone
}

fn rejections_only(holds: &[packfleet::model::plan::Hold]) -> bool {
    holds.iter().all(|hold| matches!(hold.cause, HoldCause::Rejected { .. }))
}

/// Settles what is held and can be settled by word; whether there was such a thing.
fn settle(
    wanted: &Wanted,
    disk: &Disk,
    report: &Report,
    turn: usize,
    trees: &mut BTreeMap<u64, Files>,
) -> bool {
    let survey = report.survey.as_ref().expect("a survey");
    let mut any = false;
    for path in survey.plan.holds.iter().filter_map(|hold| hold.path.as_ref()) {
        let side = if turn.is_multiple_of(2) { Side::Local } else { Side::Pack };
        let (workspace, deployment) = (&wanted.workspace, wanted.deployment());
        let tree = disk.files();
        if let Ok(done) = decide::resolve_path(workspace, deployment, path, side, &options(), &()) {
            assert_eq!(disk.files(), tree, "a decision writes nothing");
            trees.insert(done.committed.expect("a generation") - 1, tree);
            any = true;
        }
    }
    any
}
