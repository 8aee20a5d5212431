//! The budget: a change that is larger than people expect is refused until they say so.
//!
//! Counted are a pack's recorded files; what is new to it, or the host's, counts for nothing.

use std::collections::BTreeMap;

use crate::model::fleet::{Budget, Consent};
use crate::model::pack::Pin;
use crate::model::plan::{Hold, HoldCause};
use crate::model::record::Record;
use crate::model::{PackName, TreePath};

use super::drift::Drift;
use super::verdict::Verdict;

/// So few deletions never count.
const FREE_DELETIONS: u64 = 3;

/// Holds for packs whose pending change exceeds the budget without consent.
pub fn audit(
    drift: &Drift,
    record: &Record,
    verdicts: &BTreeMap<TreePath, Verdict>,
    budget: &Budget,
) -> Vec<Hold> {
    let mut holds = Vec::new();
    for (name, pack) in &drift.packs {
        let (mut of, mut deleted, mut changed) = (0u64, 0u64, 0u64);
        for (path, recorded) in &record.entries {
            if &recorded.owner != name || recorded.base.is_none() {
                continue;
            }
            of += 1;
            // Whoever writes there: a path that another pack takes over as it is, is no loss.
            if let Some(Verdict::Write { after, .. }) = verdicts.get(path) {
                deleted += u64::from(after.is_none());
                changed += 1;
            }
        }
        let from = record.packs.get(name).map(|recorded| &recorded.pin);
        let to = pack.wanted.as_ref().map(|wanted| &wanted.recorded.pin);
        of += record.rest.as_ref().map_or(0, |rest| rest.count(name)) as u64;
        if of == 0 || consented(name, from, to, &budget.consent) {
            continue;
        }
        let mut refuse = |limit: &str, files: u64, percent: u8| {
            let consent = format!("{name}@{}..{}", label(from), label(to));
            let cause = HoldCause::Budget { limit: limit.into(), files, of, percent, consent };
            holds.push(Hold { pack: Some(name.clone()), path: None, cause });
        };
        if deleted > FREE_DELETIONS && deleted * 100 > of * u64::from(budget.max_delete) {
            refuse("max_delete", deleted, budget.max_delete);
        }
        if changed * 100 > of * u64::from(budget.max_change) {
            refuse("max_change", changed, budget.max_change);
        }
    }
    holds
}

/// How a pin is written in a consent: its version label, or `absent`.
fn label(pin: Option<&Pin>) -> String {
    pin.map_or_else(|| "absent".to_owned(), |pin| pin.version.clone())
}

fn consented(pack: &PackName, from: Option<&Pin>, to: Option<&Pin>, consents: &[Consent]) -> bool {
    let names = |pin: Option<&Pin>, text: &str| match pin {
        None => text == "absent",
        Some(pin) => {
            let commit = pin.commit.as_ref().map_or("", |commit| commit.as_str());
            pin.version == text || pin.found_by == text || (text.len() >= 7 && commit.starts_with(text))
        }
    };
    consents
        .iter()
        .any(|consent| &consent.pack == pack && names(from, &consent.from) && names(to, &consent.to))
}
