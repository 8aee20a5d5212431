//! Where every local byte is after a pass: live, merged, in a saved edit, or under a hold that touched nothing.

use std::collections::BTreeMap;

use packfleet::host::Host;
use packfleet::merge::text::{TextMerge, merge_text};
use packfleet::model::plan::Plan;
use packfleet::model::record::Record;
use packfleet::model::{Content, Entry, Kind};

use crate::pack::{File, Files};

/// What became of the edits of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Held: nothing was touched.
    Held,
    /// Every edited file lies there as it was.
    Live,
    /// At least one was merged.
    Merged,
    /// At least one was taken out and saved.
    Saved,
}

/// One pass over an edited tree, by its three trees.
pub struct Before<'a> {
    /// What packfleet left there.
    pub base: &'a Files,
    /// What the pass was to bring.
    pub upstream: &'a Files,
    /// What lay there when the pass began.
    pub local: &'a Files,
    /// Whether one hold stops the whole pack.
    pub atomic: bool,
    pub case: &'a str,
}

impl Before<'_> {
    /// Panics if a local byte is nowhere after `plan` was carried out and left `after`.
    pub fn nothing_is_lost(
        &self,
        host: &dyn Host,
        plan: &Plan,
        record: Option<&Record>,
        after: &Files,
    ) -> Fate {
        let case = self.case;
        let held = !plan.holds.is_empty();
        if held && self.atomic {
            assert_eq!(after, self.local, "held, but touched: {case}");
            let known = record.map(|record| &record.entries);
            assert_eq!(Some(&plan.next.entries), known, "held, but recorded: {case}");
            return Fate::Held;
        }
        for path in plan.holds.iter().filter_map(|hold| hold.path.as_ref()) {
            assert_eq!(after.get(path.as_str()), self.local.get(path.as_str()), "{path} is held: {case}");
        }
        let saved: BTreeMap<(String, Entry), ()> = host
            .edits()
            .expect("edits")
            .into_iter()
            .map(|edit| ((edit.path.to_string(), edit.entry), ()))
            .collect();
        let mut fate = if held { Fate::Held } else { Fate::Live };
        for (path, (kind, bytes)) in self.local {
            let base = self.base.get(path);
            if base == Some(&(*kind, bytes.clone())) || after.get(path) == Some(&(*kind, bytes.clone())) {
                continue;
            }
            let kept = || host.kept(Content::of(bytes)).expect("a look").as_ref() == Some(bytes);
            if saved.contains_key(&(path.clone(), Entry::of(*kind, bytes))) {
                assert!(kept(), "{path} was saved without its bytes: {case}");
                fate = fate.max(Fate::Saved);
                continue;
            }
            let base = base.unwrap_or_else(|| panic!("{path}, which no pack has, is gone: {case}"));
            assert!(kept(), "{path} was merged, and what lay there is nowhere: {case}");
            let local = (*kind, bytes.clone());
            let went = |to: &&String| plan.renames.get(to.as_str()).is_some_and(|from| from.as_str() == path);
            let carried = if base.1 == local.1 {
                // Of a file whose bytes nobody changed only the exec bit is an edit.
                let at = after.keys().find(went).unwrap_or(path);
                after.get(at).is_some_and(|(kind, _)| *kind == local.0)
            } else {
                let carried = |(at, result): (&String, &File)| {
                    *result == local
                        || carries(base, &local, result)
                        || self.upstream.get(at).is_some_and(|theirs| is_merge(base, &local, theirs, result))
                };
                after.iter().any(carried)
            };
            assert!(carried, "the edit of {path} is lost: {case}\n{}", show(after));
            fate = fate.max(Fate::Merged);
        }
        fate
    }
}

/// Whether a result has all that a person did to a file: lines added, lines taken out, and the exec bit.
fn carries(base: &File, local: &File, result: &File) -> bool {
    if local.0 == Kind::Link || result.0 == Kind::Link {
        return false;
    }
    if base.0 != local.0 && result.0 != local.0 {
        return false;
    }
    let [base, local, result] = [base, local, result].map(|side| counted(&side.1));
    // A file with nothing of the base or of the host's is another one.
    let related = local.keys().any(|line| result.contains_key(line)) || local.is_empty();
    related
        && local.iter().all(|(line, count)| {
            let added = count.saturating_sub(base.get(line).copied().unwrap_or(0));
            added == 0 || result.get(line).copied().unwrap_or(0) >= added
        })
        && base.iter().all(|(line, count)| {
            let left = local.get(line).copied().unwrap_or(0);
            left >= *count || result.get(line).copied().unwrap_or(0) < *count + left.min(1)
        })
}

/// Whether that is what merging as text gives: upstream may have put a line back that was taken out here.
fn is_merge(base: &File, local: &File, theirs: &File, result: &File) -> bool {
    let merged = merge_text(&base.1, &local.1, &theirs.1);
    matches!(merged, TextMerge::Clean(bytes) if bytes == result.1)
        && (base.0 == local.0 || result.0 == local.0)
}

/// Lines, however they end and however they are set in, with how often they occur.
fn counted(bytes: &[u8]) -> BTreeMap<Vec<u8>, usize> {
    let mut counts = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii().strip_suffix(b",").unwrap_or(line.trim_ascii());
        *counts.entry(line.to_vec()).or_default() += 1;
    }
    counts.remove(&b""[..]);
    counts
}

pub fn show(files: &Files) -> String {
    let line = |(path, (kind, bytes)): (&String, &File)| {
        format!("  {path} {kind:?} {}\n", String::from_utf8_lossy(bytes).escape_debug())
    };
    files.iter().map(line).collect()
}
