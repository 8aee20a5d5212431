//! The stat cache after a switch.
//!
//! What the switch did not touch is taken over from the old cache as it stands; what it touched, and what
//! the old one does not have, is read. So the cost follows the change, unless the last look had to read
//! files although nobody changed them: then all is looked at once more.

use std::collections::BTreeSet;
use std::io;

use super::beneath::Dir;
use super::cache::{self, NewCache, Noted, StatCache};
use super::live::Live;
use super::sight::Looker;
use super::spread::spread;
use super::state::Ground;
use super::table::Whose;
use super::{Commit, Reread};
use crate::model::record::Recorded;
use crate::model::{Entry, RecordDigest, TreePath};

/// Paths that one thread looks at in one go.
const UNIT: usize = 128;

/// Writes the cache of a commit that is done. `digest` is that of its record.
pub fn refresh(ground: &Ground, state: &Dir, commit: &Commit<'_>, digest: RecordDigest) -> io::Result<()> {
    let record = &commit.plan.next;
    let old = StatCache::load(state);
    // The state directory changed after every file of the switch.
    let Some(moment) = cache::moment_after(state, state.stat_self()?.ctime)? else { return Ok(()) };
    let touched: BTreeSet<&TreePath> = commit.plan.actions.iter().map(|action| &action.path).collect();
    // Where there is a rest, the cache vouched for all of it when it was looked at.
    let doubtful =
        |path: &TreePath| commit.reread == Reread::All || record.rest.is_some() || touched.contains(path);
    let mut new = NewCache::at(moment);
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut whole = true;
    if let Some(rest) = &record.rest {
        let same = old.settled().map(|settled| settled.digest) == commit.plan.record;
        whole &= same && new.carry_rest(&old, rest) == Noted::Yes;
    }
    for (path, recorded) in &record.entries {
        let whose = if recorded.base.is_none() { Whose::Host } else { Whose::Pack };
        let Some(written) = recorded.written else { continue };
        if doubtful(path) || new.carry(&old, path, written.content, whose) == Noted::No {
            open.push((path, recorded, whose));
        }
    }
    let units: Vec<&[Open<'_>]> = open.chunks(UNIT).collect();
    let looked = spread(&units, open.len(), ground.mount, |looker, unit| look(ground, looker, &old, unit));
    for (path, recorded, whose, sight) in looked.into_iter().flatten() {
        let noted = match sight {
            // The kind counts, too: somebody may have changed the mode alone, or put a link of the same text.
            Some((stat, entry)) if recorded.written == Some(entry) => {
                new.insert(path, &stat, entry.content, whose)
            }
            Some((stat, entry)) => {
                new.insert(path, &stat, entry.content, whose);
                Noted::No
            }
            None => Noted::No,
        };
        whole &= noted == Noted::Yes || whose == Whose::Host;
    }
    new.store(state, whole.then_some((record, digest)))
}

type Open<'a> = (&'a TreePath, &'a Recorded, Whose);
type Looked<'a> = (&'a TreePath, &'a Recorded, Whose, Option<(super::beneath::Stat, Entry)>);

fn look<'a>(ground: &Ground, looker: &mut Looker, old: &StatCache, unit: &[Open<'a>]) -> Vec<Looked<'a>> {
    let mut live = Live::new(ground);
    let mut one = |path: &TreePath| {
        let dir = live.parent(path).ok()?;
        let sight = looker.look_unless(&dir, path.file_name(), |stat| old.content(path, stat)).ok()?;
        Some((sight.stat?, sight.found.entry()?))
    };
    unit.iter().map(|(path, recorded, whose)| (*path, *recorded, *whose, one(path))).collect()
}
