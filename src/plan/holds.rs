//! How a hold spreads.
//!
//! Half an upgrade is worse than none: one held path stops its whole pack, unless the pack says
//! otherwise. A held pack stops what requires it, what a path moves to or from, and whatever lies above
//! or below its paths. Nor is anything put above or below what stays for other reasons: an edit that is
//! kept, a file of the host's, another put. The spreading runs until nothing changes; it only ever adds,
//! so it ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::Seen;
use crate::model::plan::{Hold, HoldCause, Obstacle};
use crate::model::record::Record;
use crate::model::{PackName, TreePath};

use super::drift::{Drift, below};
use super::verdict::Verdict;

/// What is held, and why.
#[derive(Debug, Default)]
pub struct Held {
    /// Packs of which nothing is touched.
    pub stopped: BTreeSet<PackName>,
    /// Paths of packs that are not atomic.
    pub paths: BTreeSet<TreePath>,
    /// All reasons, sorted, each once.
    pub holds: Vec<Hold>,
}

impl Held {
    /// Whether anything may happen at a path of a pack.
    pub fn holds(&self, pack: &PackName, path: &TreePath) -> bool {
        self.stopped.contains(pack) || self.paths.contains(path)
    }
}

/// Spreads the holds of verdicts, packs and the budget over all that depends on them.
pub fn spread(
    drift: &Drift,
    record: &Record,
    verdicts: &BTreeMap<TreePath, Verdict>,
    refused: Vec<Hold>,
) -> Held {
    let mut spreading =
        Spreading { drift, record, verdicts, held: Held::default(), reasons: BTreeSet::new() };
    for (name, pack) in &drift.packs {
        if let Some(cause) = &pack.frozen {
            spreading.reasons.insert(Hold { pack: Some(name.clone()), path: None, cause: cause.clone() });
        }
        for hold in &pack.stopped {
            spreading.stop(name, hold.path.clone(), hold.cause.clone());
        }
    }
    for hold in refused {
        if let Some(pack) = hold.pack.clone() {
            spreading.stop(&pack, hold.path, hold.cause);
        }
    }
    for (path, verdict) in verdicts {
        if let (Verdict::Hold(cause), Some(judged)) = (verdict, drift.paths.get(path)) {
            spreading.hold(&judged.pack, path, cause.clone());
        }
    }
    while spreading.round() {}
    let mut held = spreading.held;
    held.holds = spreading.reasons.into_iter().collect();
    held
}

struct Spreading<'a> {
    drift: &'a Drift,
    record: &'a Record,
    verdicts: &'a BTreeMap<TreePath, Verdict>,
    held: Held,
    reasons: BTreeSet<Hold>,
}

impl Spreading<'_> {
    /// Stops a pack; true if it was not stopped yet.
    fn stop(&mut self, pack: &PackName, path: Option<TreePath>, cause: HoldCause) -> bool {
        self.reasons.insert(Hold { pack: Some(pack.clone()), path, cause });
        self.held.stopped.insert(pack.clone())
    }

    /// Holds a path, and with it an atomic pack; true if that is new.
    fn hold(&mut self, pack: &PackName, path: &TreePath, cause: HoldCause) -> bool {
        let new = if self.atomic(pack) {
            self.held.stopped.insert(pack.clone())
        } else {
            // An edit goes to its file's new path, or stays: one without the other would be half of it.
            self.held.paths.extend(self.drift.partner(path).cloned());
            self.held.paths.insert(path.clone())
        };
        self.reasons.insert(Hold { pack: Some(pack.clone()), path: Some(path.clone()), cause });
        new
    }

    fn atomic(&self, pack: &PackName) -> bool {
        let wanted = self.drift.packs.get(pack).and_then(|drift| drift.wanted.as_ref());
        let known = wanted.map(|wanted| &wanted.recorded).or_else(|| self.record.packs.get(pack));
        known.is_none_or(|known| known.atomic)
    }

    /// Held in any way: others must not build on it.
    fn is_held(&self, pack: &PackName) -> bool {
        self.held.stopped.contains(pack)
            || self.drift.packs.get(pack).is_some_and(|drift| drift.frozen.is_some())
            || self
                .held
                .paths
                .iter()
                .any(|path| self.drift.paths.get(path).is_some_and(|judged| &judged.pack == pack))
    }

    /// Whether a pack would still write something.
    fn pending(&self, pack: &PackName) -> bool {
        !self.held.stopped.contains(pack)
            && self.verdicts.iter().any(|(path, verdict)| {
                matches!(verdict, Verdict::Write { .. })
                    && !self.held.paths.contains(path)
                    && self.drift.paths.get(path).is_some_and(|judged| &judged.pack == pack)
            })
    }

    fn round(&mut self) -> bool {
        let mut grew = false;
        for (name, pack) in &self.drift.packs {
            // A frozen pack keeps all of its paths: nothing moves from it or to it that could be held.
            for other in pack.moves_with.iter().filter(|_| pack.frozen.is_none()) {
                if self.is_held(other) && !self.held.stopped.contains(name) {
                    grew |= self.stop(name, None, HoldCause::Tied { pack: other.clone() });
                }
            }
            let requires: &[PackName] = match (&pack.wanted, self.record.packs.get(name)) {
                (Some(wanted), _) => &wanted.recorded.requires,
                (None, Some(recorded)) => &recorded.requires,
                (None, None) => &[],
            };
            for required in requires.iter().filter(|required| self.drift.packs.contains_key(*required)) {
                let removal = pack.wanted.is_none();
                // A removal that was rejected is a held one, too.
                let kept = matches!(pack.frozen, Some(HoldCause::Rejected { desired: None, .. }));
                let required_goes = self.drift.packs[required].wanted.is_none();
                if !removal && self.is_held(required) && self.pending(name) {
                    grew |= self.stop(name, None, HoldCause::Requires { pack: required.clone() });
                }
                if (removal || kept)
                    && required_goes
                    && self.is_held(name)
                    && !self.held.stopped.contains(required)
                {
                    grew |= self.stop(required, None, HoldCause::Requires { pack: name.clone() });
                }
            }
        }
        grew | self.nested()
    }

    /// Holds what would be written above or below a held path, or put above or below what stays.
    fn nested(&mut self) -> bool {
        let mut found = Vec::new();
        for (path, verdict) in self.verdicts {
            let Some(judged) = self.drift.paths.get(path) else { continue };
            let Verdict::Write { after, .. } = verdict else { continue };
            if self.held.holds(&judged.pack, path) {
                continue;
            }
            let put = after.is_some();
            let above =
                path.ancestors().find(|at| self.is_path_held(at) || put && self.left_at(at) == Left::Entry);
            let by = above.or_else(|| {
                let mut below = below(&self.drift.paths, path).map(|(at, _)| at);
                below.find(|at| self.is_path_held(at) || put && self.left_at(at) != Left::Nothing).cloned()
            });
            if let Some(by) = by {
                found.push((judged.pack.clone(), path.clone(), by));
            }
        }
        let mut grew = false;
        for (pack, path, by) in found {
            grew |= self.hold(&pack, &path, HoldCause::Nested { by });
        }
        grew
    }

    fn is_path_held(&self, path: &TreePath) -> bool {
        self.drift.paths.get(path).is_some_and(|judged| self.held.holds(&judged.pack, path))
    }

    /// What lies at a judged path once the plan, as far as it is not held, is carried out.
    fn left_at(&self, path: &TreePath) -> Left {
        let Some(judged) = self.drift.paths.get(path) else { return Left::Nothing };
        match (self.verdicts.get(path), &judged.actual) {
            (Some(Verdict::Write { after, .. }), _) if !self.held.holds(&judged.pack, path) => {
                if after.is_some() { Left::Entry } else { Left::Nothing }
            }
            (_, None | Some(Seen::Obstacle(Obstacle::Ancestor { .. }))) => Left::Nothing,
            (_, Some(Seen::Obstacle(Obstacle::Directory { .. }))) => Left::Directory,
            _ => Left::Entry,
        }
    }
}

/// What a path holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing that would be in the way.
    Nothing,
    /// A directory: nothing may be put in its place.
    Directory,
    /// Something beneath which nothing can lie.
    Entry,
}
