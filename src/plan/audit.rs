//! The budget: a change that is larger than people expect is refused until they say so.

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
        let of = record.entries.values().filter(|e| &e.owner == name && e.base.is_some()).count() as u64;
        let (mut deleted, mut changed) = (0u64, 0u64);
        for (path, verdict) in verdicts {
            // A path that another pack takes over is that pack's change, not this one's loss.
            if drift.paths.get(path).is_some_and(|judged| &judged.pack == name)
                && let Verdict::Write { before, after, .. } = verdict
            {
                deleted += u64::from(after.is_none());
                changed += u64::from(before.is_some() || record.entries.contains_key(path));
            }
        }
        let from = record.packs.get(name).map(|recorded| &recorded.pin);
        let to = pack.wanted.as_ref().map(|wanted| &wanted.recorded.pin);
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
