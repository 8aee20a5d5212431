//! A host in memory: looking at it, planning for it, carrying a plan out.
//!
//! Looking finds what the real scan finds: nothing beneath a file, a directory with what is foreign in
//! it. Carrying out is as strict as the switch: each `before` is compared, a file is not put where a
//! directory lies nor beneath a file, and a directory goes only when it is empty.

use std::collections::{BTreeMap, BTreeSet};

use packfleet::host::Generation;
use packfleet::merge::rename::similarity;
use packfleet::merge::text::{TextMerge, merge_text};
use packfleet::model::actual::{Actual, Seen};
use packfleet::model::desired::Resolution;
use packfleet::model::plan::{Action, Conflict, Obstacle, Plan};
use packfleet::model::record::Record;
use packfleet::model::{Content, Entry, TreePath};
use packfleet::plan::Drift;
use packfleet::plan::drift::{Adapted, Judged};
use packfleet::plan::planner::{self, Question};
use packfleet::plan::renames;
use packfleet::plan::rollback::{Conflicts, Reader, Undo, rollback};
use packfleet::plan::verdict::MergeAnswer;

use crate::world::{Back, Merging, Node, World};

impl Reader for World {
    fn merge(&mut self, path: &TreePath, base: Content, actual: Content, desired: Content) -> MergeAnswer {
        match self.answers.get(path) {
            Some(answer) => answer.clone(),
            None => self.merged(base, actual, desired),
        }
    }

    fn adapt(&mut self, _path: &TreePath, _judged: &Judged) -> Option<Adapted> {
        None
    }
}

impl World {
    /// Every path that the host looks at: recorded or desired.
    pub fn looked_at(&self) -> BTreeSet<TreePath> {
        let recorded = self.record.iter().flat_map(|record| record.entries.keys());
        let desired = self.desired.packs.values().filter_map(|resolution| match resolution {
            Resolution::Pinned(pack) => Some(pack.entries.keys()),
            Resolution::Held(_) => None,
        });
        recorded.chain(desired.flatten()).cloned().collect()
    }

    pub fn observe(&self) -> Actual {
        self.observe_at(&self.looked_at())
    }

    fn observe_at(&self, looked: &BTreeSet<TreePath>) -> Actual {
        let mut actual = Actual::default();
        for path in looked {
            if let Some(seen) = self.look(path, looked) {
                actual.paths.insert(path.clone(), seen);
            }
            actual.directories.extend(path.ancestors().filter(|above| self.directories.contains(above)));
        }
        actual
    }

    fn look(&self, path: &TreePath, looked: &BTreeSet<TreePath>) -> Option<Seen> {
        let above: Vec<TreePath> = path.ancestors().collect();
        if let Some(at) = above.iter().rev().find(|above| self.tree.contains_key(*above)) {
            return Some(Seen::Obstacle(Obstacle::Ancestor { at: at.clone(), what: "file".into() }));
        }
        match self.tree.get(path) {
            Some(Node::File(entry)) => Some(Seen::Entry(*entry)),
            Some(Node::Special) => Some(Seen::Obstacle(Obstacle::Special("FIFO".into()))),
            Some(Node::Unreadable) => Some(Seen::Obstacle(Obstacle::Unreadable("EIO".into()))),
            Some(Node::Busy) => Some(Seen::Obstacle(Obstacle::Busy)),
            None if self.directories.contains(path) => {
                let leads = |inside: &TreePath| looked.iter().any(|known| known.is_below(inside));
                let mut inside: Vec<String> = self
                    .tree
                    .keys()
                    .filter(|at| at.is_below(path))
                    .filter(|at| !looked.contains(*at))
                    .map(ToString::to_string)
                    .collect();
                inside.extend(
                    self.directories
                        .iter()
                        .filter(|at| at.is_below(path) && !leads(at))
                        .map(|at| format!("{at}/")),
                );
                inside.sort();
                Some(Seen::Obstacle(Obstacle::Directory { foreign: inside.into_iter().next() }))
            }
            None => None,
        }
    }

    pub fn question<'a>(&'a self, actual: &'a Actual) -> Question<'a> {
        Question {
            fleet: &self.fleet,
            deployment: &self.deployment,
            record: self.record.as_ref(),
            digest: self.record.as_ref().map(|record| record.digest()),
            desired: &self.desired,
            actual,
            budget: &self.budget,
        }
    }

    /// Looks, merges and plans. Merges that have no answer yet are answered by `{actual+desired}`, or by
    /// a conflict where one of the two begins with `!`.
    pub fn plan(&mut self) -> (Drift, Plan) {
        let actual = self.observe();
        let (drift, asks) = {
            let question = self.question(&actual);
            let mut drift = question.drift();
            if let Some(record) = &self.record {
                renames::find(&mut drift, record, &mut |a, b| self.alike(a, b));
            }
            let asks = planner::asks(&drift, self.record.as_ref());
            (drift, asks)
        };
        let mut answers = BTreeMap::new();
        for (path, (base, ours, theirs)) in asks {
            let answer = match self.answers.get(&path) {
                Some(answer) => answer.clone(),
                None => self.merged(base, ours, theirs),
            };
            answers.insert(path, answer);
        }
        let plan = planner::plan(&self.question(&actual), &drift, &answers);
        (drift, plan)
    }

    /// The plan that goes back, and the number that it goes back to.
    pub fn plan_back(&mut self, back: &Back) -> Plan {
        let record = self.record.clone().expect("a record to go back from");
        let newest = self.generations.iter().rfind(|generation| !generation.actions.is_empty());
        let to = back.to.or(newest.map(|newest| newest.number - 1)).expect("a generation to undo");
        let later: Vec<&Generation> = self.generations.iter().rev().filter(|g| g.number > to).collect();
        assert_eq!(later.len() as u64, record.generation - to, "every later generation is known");
        let empty =
            Record::empty(self.fleet.clone(), self.deployment.name.clone(), self.deployment.root.clone());
        let target = later.last().and_then(|generation| generation.previous.clone()).unwrap_or(empty);
        let later: Vec<Vec<Action>> = later.iter().map(|generation| generation.actions.clone()).collect();
        let mut looked = self.looked_at();
        looked.extend(target.entries.keys().cloned());
        looked.extend(later.iter().flatten().map(|action| action.path.clone()));
        let actual = self.observe_at(&looked);
        let (deployment, given) = (self.deployment.clone(), self.desired.clone());
        let undo = Undo {
            policies: &deployment.policies(),
            conflicts: Conflicts::Hold,
            record: &record,
            digest: Some(record.digest()),
            later: &later,
            to,
            target: &target,
            actual: &actual,
            given: &given,
            only: back.only.as_ref(),
        };
        rollback(&undo, self)
    }

    /// How alike two contents are, letter by letter.
    fn alike(&self, a: Content, b: Content) -> u8 {
        let lines = |content| -> String { self.names[&content].chars().map(|c| format!("{c}\n")).collect() };
        similarity(lines(a).as_bytes(), lines(b).as_bytes())
    }

    fn merged(&mut self, base: Content, ours: Content, theirs: Content) -> MergeAnswer {
        let names = [base, ours, theirs].map(|content| self.names[&content].clone());
        if self.merging == Merging::Letters {
            let [base, ours, theirs] = names.map(|name| {
                let lines: String = name.chars().map(|letter| format!("{letter}\n")).collect();
                lines.into_bytes()
            });
            return match merge_text(&base, &ours, &theirs) {
                TextMerge::Clean(bytes) => {
                    let name: String = String::from_utf8(bytes).expect("text").lines().collect();
                    MergeAnswer::Clean(self.content(&name))
                }
                _ => MergeAnswer::Conflict(Conflict::Text { line: 1, places: 1 }),
            };
        }
        let [_, ours, theirs] = names;
        if ours.starts_with('!') || theirs.starts_with('!') {
            return MergeAnswer::Conflict(Conflict::Text { line: 1, places: 1 });
        }
        // A side that holds the other is the merge, as it is with text.
        let merged = if ours.contains(&theirs) {
            ours
        } else if theirs.contains(&ours) {
            theirs
        } else {
            format!("{{{ours}+{theirs}}}")
        };
        MergeAnswer::Clean(self.content(&merged))
    }

    /// Carries out a plan and commits its record.
    pub fn apply(&mut self, plan: &Plan) {
        assert!(plan.commits, "nothing to commit");
        let (removals, puts): (Vec<&Action>, Vec<&Action>) =
            plan.actions.iter().partition(|action| action.after.is_none());
        let in_order: Vec<&Action> = removals.iter().chain(&puts).copied().collect();
        assert_eq!(in_order, plan.actions.iter().collect::<Vec<_>>(), "removals come first");
        for action in removals {
            self.switch(action);
        }
        self.prune(&plan.prune);
        for action in puts {
            self.switch(action);
        }
        let previous = self.record.replace(plan.next.clone());
        self.generations.push(Generation {
            number: plan.next.generation,
            actions: plan.actions.clone(),
            previous,
        });
    }

    fn prune(&mut self, directories: &[TreePath]) {
        for directory in directories {
            let used = self.tree.keys().chain(&self.directories).any(|path| path.is_below(directory));
            if !used {
                self.directories.remove(directory);
            }
        }
    }

    fn switch(&mut self, action: &Action) {
        let path = &action.path;
        let before = match self.tree.get(path) {
            Some(Node::File(entry)) => Some(*entry),
            Some(other) => panic!("{path}: {other:?} is in the way"),
            None => None,
        };
        assert_eq!(before, action.before, "{path}: before");
        assert_ne!(action.before, action.after, "{path}: nothing happens");
        if let (true, Some(before)) = (action.save, action.before) {
            self.saved.insert((path.clone(), before));
        }
        assert!(!self.directories.contains(path), "{path}: a directory is in the way");
        if let Some(above) = path.ancestors().find(|above| self.tree.contains_key(above)) {
            panic!("{path}: lies beneath the file {above}");
        }
        match action.after {
            Some(entry) => {
                self.directories.extend(path.ancestors());
                self.tree.insert(path.clone(), Node::File(entry));
            }
            None => {
                self.tree.remove(path);
            }
        }
    }

    /// All files and links that lie there.
    pub fn files(&self) -> BTreeMap<TreePath, Entry> {
        let files = self.tree.iter().filter_map(|(path, node)| match node {
            Node::File(entry) => Some((path.clone(), *entry)),
            _ => None,
        });
        files.collect()
    }
}
