//! What may have changed on each deployment since it was looked at: where the next look need not go.
//!
//! ```text
//! a look ended: what is not as recorded ─┐
//! a watch: what was touched since it began ┴─► the next look goes there, and nowhere else
//! ```
//! A pure state machine. It knows only while a watch stands that stood before the look began, and that has heard of
//! everything since: when it begins, fails or loses track, the next look goes everywhere. What happened during a look is
//! counted to the time after it. Law: what is not as recorded is in the scope of the next look, or in what the watch has
//! still to tell, or was written where no watch hears it (through a hard link elsewhere, by another host of a network
//! file system): that waits for the next pass, which looks at all.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Scope;
use crate::model::{DeploymentName, TreePath};

/// Paths that are kept of one deployment; more, and a look goes everywhere.
const MOST: usize = 1024;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// These may have changed, or what lies below them; nothing else did.
    Paths(BTreeSet<TreePath>),
    /// Anything may have changed; from now on all that changes is told.
    Everything,
    /// Nobody watches.
    Unwatched,
}

/// Of all deployments.
#[derive(Debug, Default)]
pub(super) struct Trail(BTreeMap<DeploymentName, One>);

#[derive(Debug)]
struct One {
    watched: bool,
    /// What was touched since the last look began.
    since: Scope,
    /// What that look found not to be as recorded, once it has ended.
    unlike: Option<BTreeSet<TreePath>>,
    /// Whether it was watched when that look began.
    counts: bool,
}

impl Default for One {
    fn default() -> Self {
        Self { watched: false, since: Scope::Whole, unlike: None, counts: false }
    }
}

impl Trail {
    /// A watch told something.
    pub(super) fn heard(&mut self, name: &DeploymentName, touch: Touch) {
        let one = self.0.entry(name.clone()).or_default();
        match touch {
            Touch::Paths(paths) => {
                if let Scope::Only(since) = &mut one.since {
                    since.extend(paths);
                    if since.len() > MOST {
                        one.since = Scope::Whole;
                    }
                }
            }
            Touch::Everything => (one.watched, one.since) = (true, Scope::Whole),
            Touch::Unwatched => *one = One::default(),
        }
    }

    /// A look begins; where it has to go.
    pub(super) fn begins(&mut self, name: &DeploymentName) -> Scope {
        let one = self.0.entry(name.clone()).or_default();
        one.counts = one.watched;
        let since = std::mem::replace(&mut one.since, Scope::Only(BTreeSet::new()));
        match (one.unlike.take(), since) {
            (Some(unlike), Scope::Only(since)) if one.watched => Scope::Only(&unlike | &since),
            _ => Scope::Whole,
        }
    }

    /// A look ended; what it found not to be as recorded, if that is known.
    pub(super) fn ended(&mut self, name: &DeploymentName, unlike: Option<BTreeSet<TreePath>>) {
        if let Some(one) = self.0.get_mut(name) {
            one.unlike = unlike.filter(|_| one.counts && one.watched);
        }
    }

    /// Another fleet is in force, and these are watched anew: what looks found counts no more.
    pub(super) fn fleet(&mut self, anew: &BTreeSet<DeploymentName>) {
        self.0.retain(|name, _| !anew.contains(name));
        for one in self.0.values_mut() {
            (one.unlike, one.counts) = (None, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> BTreeSet<TreePath> {
        names.iter().map(|name| TreePath::new(name).unwrap()).collect()
    }

    fn only(names: &[&str]) -> Scope {
        Scope::Only(paths(names))
    }

    #[test]
    fn a_look_goes_where_the_last_one_found_something_and_where_was_touched_since_it_began() {
        let (mut trail, name) = (Trail::default(), DeploymentName::new("d").unwrap());
        let touched = |names: &[&str]| Touch::Paths(paths(names));
        // Nobody watches yet.
        assert_eq!(trail.begins(&name), Scope::Whole);
        trail.ended(&name, Some(paths(&[])));
        assert_eq!(trail.begins(&name), Scope::Whole);
        // A watch begins during a look: that one does not count.
        trail.heard(&name, Touch::Everything);
        trail.ended(&name, Some(paths(&[])));
        assert_eq!(trail.begins(&name), Scope::Whole);
        trail.heard(&name, touched(&["during"]));
        trail.ended(&name, Some(paths(&["edit"])));
        trail.heard(&name, touched(&["after"]));
        assert_eq!(trail.begins(&name), only(&["after", "during", "edit"]));
        // Nothing is known while it runs, nor if it found out nothing.
        assert_eq!(trail.begins(&name), Scope::Whole);
        trail.ended(&name, None);
        assert_eq!(trail.begins(&name), Scope::Whole);
        trail.ended(&name, Some(paths(&["edit"])));
        assert_eq!(trail.begins(&name), only(&["edit"]));
        trail.ended(&name, Some(paths(&[])));
        assert_eq!(trail.begins(&name), only(&[]));
        // It lost track, or failed, or watches another place.
        for touch in [Touch::Everything, Touch::Unwatched] {
            trail.heard(&name, Touch::Everything);
            let _whole = trail.begins(&name);
            trail.ended(&name, Some(paths(&[])));
            trail.heard(&name, touch);
            trail.heard(&name, touched(&["a"]));
            assert_eq!(trail.begins(&name), Scope::Whole);
        }
        trail.heard(&name, Touch::Everything);
        let _whole = trail.begins(&name);
        trail.fleet(&BTreeSet::new());
        trail.ended(&name, Some(paths(&[])));
        assert_eq!(trail.begins(&name), Scope::Whole, "of an earlier fleet");
        trail.ended(&name, Some(paths(&[])));
        trail.fleet(&[name.clone()].into());
        trail.heard(&name, touched(&["a"]));
        assert_eq!(trail.begins(&name), Scope::Whole);
        // Too much.
        trail.heard(&name, Touch::Everything);
        let _whole = trail.begins(&name);
        trail.ended(&name, Some(paths(&[])));
        let many: Vec<String> = (0..=MOST).map(|number| format!("f{number}")).collect();
        trail.heard(&name, touched(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(trail.begins(&name), Scope::Whole);
    }
}
