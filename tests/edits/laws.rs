//! The laws of merging, over generated trees and through the whole engine.
//!
//! A family is a tree and three others that came of it by changed lines, renames, deletions, exec bits, line
//! endings, missing final newlines, binary files, links and new files. Any of them may be what is recorded, what
//! somebody made of it on the host, and what the pack ships next:
//!
//! ```text
//! merge(b, b, u) = u      merge(b, l, b) = l      merge(b, x, x) = x      a clean merge is symmetric
//! what local has is in the result, or nothing was touched      twice is once      undone is as before
//! ```

use std::path::Path;

use packfleet::engine::{decide, rollback};
use packfleet::model::Kind;

use crate::kinds::Step;
use crate::oracle::{Before, Fate, show};
use crate::pack::{Files, Version, version};
use crate::pairs::everything;
use crate::world::*;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).expect("small")
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.next(of.len())]
    }
}

const PATHS: [&str; 10] =
    ["t/a", "t/b", "t/d/x", "t/d/y", "t/d/e/z", "t/e", "t/f.json", "t/g/x", "t/g/h", "t/A2"];
const RARE: usize = 8;

fn content(dice: &mut Dice) -> Vec<u8> {
    match dice.next(10) {
        0 => Vec::new(),
        1 => vec![0, 1, u8::try_from(dice.next(200)).expect("small"), b'\n', 7],
        _ => {
            let salt = dice.next(4);
            let ending = if dice.next(5) == 0 { "\r\n" } else { "\n" };
            let lines = 3 + dice.next(9);
            let mut text: String = (0..lines).map(|at| format!("text {salt}, line {at}{ending}")).collect();
            if dice.next(5) == 0 {
                text.truncate(text.len() - ending.len());
            }
            text.into_bytes()
        }
    }
}

fn kind(dice: &mut Dice) -> Kind {
    Kind::regular(dice.next(4) == 0)
}

/// Whether a path is free in a tree: neither there, nor above or below anything.
fn free(files: &Files, path: &str) -> bool {
    let nested = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    files.keys().all(|at| at != path && !nested(at, path) && !nested(path, at))
}

fn tree(dice: &mut Dice) -> Files {
    let mut files = Files::new();
    while files.len() < 3 {
        for path in PATHS {
            if dice.next(2) == 0 && free(&files, path) {
                let file = match dice.next(RARE) {
                    0 => (Kind::Link, b"a".to_vec()),
                    _ => (kind(dice), content(dice)),
                };
                files.insert(path.to_owned(), file);
            }
        }
    }
    files
}

/// One change, as an editor or an upstream makes it.
fn mutate(dice: &mut Dice, files: &mut Files) {
    let paths: Vec<String> = files.keys().cloned().collect();
    let path = dice.pick(&paths).clone();
    let (kind, bytes) = files[&path].clone();
    let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let place = dice.next(lines.len());
    let new = format!("new {}\n", dice.next(6)).into_bytes();
    let text = kind != Kind::Link && !bytes.contains(&0);
    match dice.next(14) {
        0..=2 if text && !lines.is_empty() => {
            lines[place] = new;
            files.insert(path, (kind, lines.concat()));
        }
        3 if text => {
            lines.insert(place.min(lines.len()), new);
            files.insert(path, (kind, lines.concat()));
        }
        4 if text && lines.len() > 1 => {
            lines.remove(place);
            files.insert(path, (kind, lines.concat()));
        }
        5 if files.len() > 1 => drop(files.remove(&path)),
        6 | 7 => {
            let to = *dice.pick(&PATHS);
            files.remove(&path);
            let to = if free(files, to) { to.to_owned() } else { path };
            files.insert(to, (kind, bytes));
        }
        8 if kind != Kind::Link => drop(files.insert(path, (Kind::regular(kind == Kind::File), bytes))),
        9 if text => {
            let text = String::from_utf8(bytes).expect("text");
            let unix = text.replace("\r\n", "\n");
            let text = if text.contains("\r\n") { unix } else { unix.replace('\n', "\r\n") };
            files.insert(path, (kind, text.into_bytes()));
        }
        10 if text && !bytes.is_empty() => {
            let mut bytes = bytes;
            if bytes.pop_if(|last| *last == b'\n').is_none() {
                bytes.push(b'\n');
            }
            files.insert(path, (kind, bytes));
        }
        11 => drop(files.insert(path, (Kind::File, vec![0, u8::try_from(dice.next(3)).expect("small")]))),
        12 => {
            let to = *dice.pick(&PATHS);
            if free(files, to) {
                files.insert(to.to_owned(), (Kind::File, content(dice)));
            }
        }
        13 => drop(files.insert(path, (Kind::Link, b"b".to_vec()))),
        _ => {}
    }
}

const FAMILY: usize = 4;

fn families(count: usize, seed: u64) -> Vec<Version> {
    let mut dice = Dice(seed);
    let mut versions = Vec::new();
    for family in 0..count {
        let base = tree(&mut dice);
        for member in 0..FAMILY {
            let mut files = base.clone();
            let changes = if member == 0 { 0 } else { 1 + dice.next(3) };
            (0..changes).for_each(|_| mutate(&mut dice, &mut files));
            versions.push(version(format!("family {family}, member {member}"), files));
        }
    }
    versions
}

/// What makes one tree of another.
fn steps(from: &Files, to: &Files) -> Vec<Step> {
    let gone = from.keys().filter(|path| !to.contains_key(*path)).map(|path| Step::Remove(path.clone()));
    let put = to.iter().filter(|(path, file)| from.get(*path) != Some(*file));
    gone.chain(put.map(|(path, (kind, bytes))| Step::Write(path.clone(), *kind, bytes.clone()))).collect()
}

const POLICY: &str = "merge, deleted kept";

/// What a merge leaves, and how: through a host in memory that has `base` on record.
fn merge(wanted: &[Wanted], all: &[Version], [base, local, upstream]: [usize; 3]) -> (Files, Fate) {
    let case = format!(
        "{} / {} / {}\nbase\n{}local\n{}upstream\n{}",
        all[base].name,
        all[local].name,
        all[upstream].name,
        show(&all[base].files),
        show(&all[local].files),
        show(&all[upstream].files)
    );
    let host = memory();
    let installed = pass(&wanted[base], &host);
    assert_eq!((installed.holds.as_str(), &files(&host)), ("[]", &all[base].files), "installed: {case}");
    edit_memory(&host, &steps(&all[base].files, &all[local].files));
    let lay = files(&host);
    assert_eq!(lay, all[local].files, "{case}");
    let passed = pass(&wanted[upstream], &host);
    let plan = &passed.survey.plan;
    let (base_files, upstream_files) = (&all[base].files, &all[upstream].files);
    let before =
        Before { base: base_files, upstream: upstream_files, local: &lay, atomic: true, case: &case };
    let fate = before.nothing_is_lost(&host, plan, passed.survey.observation.record.as_ref(), &files(&host));
    let left = files(&host);
    let again = pass(&wanted[upstream], &host);
    assert!(!again.survey.plan.commits && files(&host) == left, "twice is not once: {case}");
    assert_eq!(again.holds, passed.holds, "other holds: {case}");
    let says = |what: &str| format!("{what}\n{}holds {}\n{case}", show(&left), passed.holds);
    if local == base || local == upstream || upstream == base {
        let expected = if local == base { upstream } else { local };
        assert!(plan.holds.is_empty(), "{}", says("held"));
        assert!(left == all[expected].files, "{}", says("no law is kept"));
    }
    if local == upstream || upstream == base {
        assert!(plan.actions.is_empty(), "{}", says("something was written"));
    }
    (left, fate)
}

#[test]
fn laws_of_merging() {
    let all = families(if everything() { 1_500 } else { 40 }, 1);
    let fleets = Fleets::new(all);
    let all = &fleets.versions;
    let (mut held, mut clean, mut swapped) = (0, 0, 0);
    for first in (0..all.len()).step_by(FAMILY) {
        let family: Vec<Wanted> =
            (first..first + FAMILY).map(|at| fleets.wanted(at, POLICY, Path::new(ROOT))).collect();
        let members = &all[first..first + FAMILY];
        for base in 0..FAMILY {
            for local in 0..FAMILY {
                for upstream in 0..FAMILY {
                    let (left, fate) = merge(&family, members, [base, local, upstream]);
                    if fate == Fate::Held {
                        held += 1;
                        continue;
                    }
                    clean += 1;
                    let deletes = |at: usize| {
                        members[base].files.keys().any(|path| !members[at].files.contains_key(path))
                    };
                    // A file that a person took away is no edit to be merged, and of one that upstream took away
                    // there is none to be made. Of a file that both added the host's exec bit is an edit.
                    let same_kind = |(path, (kind, _)): (&String, &(Kind, Vec<u8>))| {
                        members[base].files.contains_key(path)
                            || members[upstream].files.get(path).is_none_or(|(other, _)| other == kind)
                    };
                    let same_kinds = members[local].files.iter().all(same_kind);
                    if local < upstream && !deletes(local) && !deletes(upstream) && same_kinds {
                        let (other, fate) = merge(&family, members, [base, upstream, local]);
                        if fate != Fate::Held {
                            let names = [base, local, upstream].map(|at| members[at].name.as_str());
                            assert!(left == other, "{names:?}\n{}or\n{}", show(&left), show(&other));
                            swapped += 1;
                        }
                    }
                }
            }
        }
    }
    eprintln!("{clean} clean merges, {held} held, {swapped} the other way round");
    assert!(clean > 0 && held > 0 && swapped > 0);
}

#[test]
fn undone_is_as_before() {
    let fleets = Fleets::new(families(if everything() { 400 } else { 12 }, 2));
    let disk = Disk::new();
    let mut undone = 0;
    for first in (0..fleets.versions.len()).step_by(FAMILY) {
        let members = &fleets.versions[first..first + FAMILY];
        let family: Vec<Wanted> =
            (first..first + FAMILY).map(|at| fleets.wanted(at, POLICY, &disk.root())).collect();
        for (local, upstream) in [(1, 2), (2, 3), (3, 1), (0, 1)] {
            let case = format!("{} edited, {}", members[local].name, members[upstream].name);
            disk.clear();
            pass_on_disk(&family[0], &case);
            disk.edit(&steps(&members[0].files, &members[local].files));
            let before = disk.files();
            let report = pass_on_disk(&family[upstream], &case);
            let wanted = &family[upstream];
            let (workspace, deployment) = (&wanted.workspace, wanted.deployment());
            if let (Some(2), Ok(report)) =
                (report.committed, rollback::plan(workspace, deployment, Some(1), None, &options(), &()))
            {
                let survey = report.survey.expect("a survey");
                let done = decide::commit(workspace, deployment, survey, &Default::default(), &options());
                assert!(done.is_ok(), "{case}: {done:?}");
                undone += 1;
            }
            let found = disk.files();
            assert!(found == before, "{case}\n{}instead of\n{}", show(&found), show(&before));
        }
    }
    assert!(undone > 0);
    eprintln!("{undone} upgrades undone");
}
