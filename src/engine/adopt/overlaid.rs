//! What lies on a host, next to a version without and with the deployment's overlays.
//!
//! Whoever filled a root by hand had put some of the overlays' changes there, or none. For each path the nearer
//! of the two is the base: then a change that is there already is no edit, and one that is not is put by the
//! next apply. A path that only an overlay adds, and that holds something else, stays a stranger.

use crate::desired::render::{Rendered, render};
use crate::engine::bases::{Stack, State};
use crate::engine::resolve::overlays;
use crate::engine::workspace::Workspace;
use crate::model::actual::{Actual, Seen};
use crate::model::desired::DesiredEntry;
use crate::model::fleet::Assignment;
use crate::model::pack::{CommitId, Pack};
use crate::model::{Entry, TreePath};
use crate::source::PackSource;

use super::lens::Lens;
use super::past::fitted;
use super::score::Paths;

/// A version with the overlays of an assignment; `None` if there are none or they do not carry over to it.
pub(super) fn rendered(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    assignment: &Assignment,
    commit: Option<&CommitId>,
) -> Option<Rendered> {
    if assignment.overlays.is_empty() {
        return None;
    }
    let overlays = overlays(workspace, &pack.name, assignment).ok()?;
    let state = State::read(workspace, source, pack, commit.cloned()).ok()?;
    let stack = Stack::find(workspace, source, pack, overlays, &state, "").ok()?;
    let pack = fitted(pack, &state.entries);
    let bytes = |content| stack.bytes(source, &state, content);
    render(&pack, &state.entries, commit, &stack.layers(), &bytes).ok()
}

/// The nearer of both, path by path.
pub(super) fn nearer(
    plain: &Paths,
    overlaid: &Paths,
    actual: &Actual,
    lens: &Lens<'_>,
    commit: Option<&CommitId>,
) -> Paths {
    let mut nearer = Paths::new();
    let only = overlaid.iter().filter(|(path, _)| !plain.contains_key(*path)).map(|(path, _)| path);
    for path in plain.keys().chain(only) {
        let there = match actual.paths.get(path) {
            Some(Seen::Entry(entry)) => Some(*entry),
            Some(Seen::Obstacle(_)) | None => None,
        };
        let chosen = choose(path, plain.get(path), overlaid.get(path), there, lens, commit);
        nearer.extend(chosen.map(|chosen| (path.clone(), chosen.clone())));
    }
    nearer
}

fn choose<'a>(
    path: &TreePath,
    plain: Option<&'a DesiredEntry>,
    overlaid: Option<&'a DesiredEntry>,
    there: Option<Entry>,
    lens: &Lens<'_>,
    commit: Option<&CommitId>,
) -> Option<&'a DesiredEntry> {
    let same = |wanted: &DesiredEntry| {
        there.is_some_and(|there| {
            there.content == wanted.entry.content || lens.same_but_keys(path, commit, there, wanted.entry)
        })
    };
    match (plain, overlaid, there) {
        (Some(plain), Some(overlaid), _) if plain.entry == overlaid.entry => Some(plain),
        (Some(plain), Some(overlaid), Some(there)) => {
            if there == overlaid.entry || same(overlaid) && !same(plain) {
                return Some(overlaid);
            }
            let alike = |wanted: &DesiredEntry| lens.likeness(path, commit, there, wanted.entry);
            // The plain one in doubt: a change that both sides make merges without a word.
            Some(if !same(plain) && alike(overlaid) > alike(plain) { overlaid } else { plain })
        }
        (Some(plain), Some(_), None) => Some(plain),
        // An overlay removes it: gone already, or still to be removed.
        (Some(plain), None, Some(_)) => Some(plain),
        (Some(_), None, None) => None,
        (None, Some(overlaid), _) => Some(overlaid).filter(|wanted| same(wanted)),
        (None, None, _) => None,
    }
}
