//! What does not come back by itself after a change was found ill and taken back.
//!
//! Where the change was to a new Desired, that one is rejected, as after a rollback. Where it was none, because
//! drift was repaired, a rejection of Desired would reject what stands: then the repair itself is rejected, the
//! very steps on the pack's paths, until either end of one of them differs.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::plan::{Action, Hold, HoldCause};
use crate::model::record::{Record, Rejection};
use crate::model::{DesiredDigest, Entry, PackName, TreePath};

/// The digest that stands for a pack's part of a plan. It is no digest of any Desired.
pub fn repair(actions: &[Action], pack: &PackName) -> DesiredDigest {
    let mut steps: Vec<(&TreePath, Option<Entry>, Option<Entry>)> = actions
        .iter()
        .filter(|action| &action.pack == pack)
        .map(|action| (&action.path, action.before, action.after))
        .collect();
    steps.sort_by(|a, b| a.0.cmp(b.0));
    let bytes = postcard::to_stdvec(&steps).expect("plain values serialise into memory");
    let mut hasher = blake3::Hasher::new_derive_key("packfleet repair v1");
    hasher.update(&bytes);
    DesiredDigest::from_bytes(*hasher.finalize().as_bytes())
}

/// What is rejected once the change from `before` to `after` was found ill. `at_fault` are the packs that did
/// not pass; if it is empty that is not known, and all that changed are.
pub fn rejections(
    before: Option<&Record>,
    after: &Record,
    actions: &[Action],
    at_fault: &BTreeSet<PackName>,
) -> BTreeMap<PackName, Rejection> {
    let digest = |record: Option<&Record>, name: &PackName| {
        record.and_then(|record| record.packs.get(name)).map(|pack| pack.desired)
    };
    let restored = before.map_or(0, |record| record.generation);
    let names = after.packs.keys().chain(before.iter().flat_map(|record| record.packs.keys()));
    let names: BTreeSet<&PackName> =
        names.filter(|name| at_fault.is_empty() || at_fault.contains(*name)).collect();
    let reject = |name: &PackName| {
        let (was, is) = (digest(before, name), digest(Some(after), name));
        let acts = actions.iter().any(|action| &action.pack == name);
        let digests = match (was == is, acts) {
            (false, _) => vec![is],
            (true, true) => vec![Some(repair(actions, name))],
            (true, false) => return None,
        };
        Some((name.clone(), Rejection { digests, restored }))
    };
    names.into_iter().filter_map(reject).collect()
}

/// Holds on packs whose part of a plan is a repair that was rejected.
pub(super) fn again(record: &Record, actions: &[Action]) -> Vec<Hold> {
    let is_again = |(name, rejection): (&PackName, &Rejection)| {
        let acts = actions.iter().any(|action| &action.pack == name);
        let same = acts && rejection.digests.contains(&Some(repair(actions, name)));
        let desired = record.packs.get(name).map(|pack| pack.desired);
        let cause = HoldCause::Rejected { desired, restored: rejection.restored };
        same.then(|| Hold { pack: Some(name.clone()), path: None, cause })
    };
    record.rejected.iter().filter_map(is_again).collect()
}
