//! After a crash: which way the switch goes.
//!
//! All paths are looked at, live and staged, before one is touched. All as the plan knows them: forward.
//! One of them something else: back, because going on around somebody's edit would leave a mixture of
//! old and new with the wrong bases. A marked journal is always taken back; a record that is already new
//! is only finished.

use std::collections::BTreeSet;
use std::io;

use super::beneath::Dir;
use super::journal::{Doing, Manifest};
use super::live::{Live, out_of_reach};
use super::sight::Found;
use super::state::failed;
use super::{HostError, swap};
use crate::model::TreePath;

/// Ends every exchange, and every move, that was cut short where neither is one step; see [`swap`].
pub fn mend_all(live: &mut Live<'_>, slots: &Dir, manifest: &Manifest) -> Result<(), HostError> {
    live.forget();
    for (slot, doing) in manifest.doings() {
        let mended = match doing {
            Doing::Exchange { action, after, .. } => {
                mend(live, slots, &slot, &action.path, |found| found.is(Some(after)))
            }
            Doing::Create { action, .. } => mend_put(live, slots, &slot, &action.path),
            _ => Ok(()),
        };
        mended.map_err(failed("end what was begun at", doing.path().as_str()))?;
    }
    Ok(())
}

/// What was linked into its place and still has its slot leaves that.
fn mend_put(live: &mut Live<'_>, slots: &Dir, slot: &str, path: &TreePath) -> io::Result<()> {
    let Some(staged) = slots.stat(slot)? else { return Ok(()) };
    let found = match live.parent(path).and_then(|dir| dir.stat(path.file_name())) {
        Err(error) if out_of_reach(&error) => None,
        found => found?,
    };
    match found {
        Some(found) if (found.inode, found.mount) == (staged.inode, staged.mount) => slots.unlink(slot),
        _ => Ok(()),
    }
}

/// Ends the exchange of one slot; what is to be spared is known elsewhere.
pub fn mend(
    live: &mut Live<'_>,
    slots: &Dir,
    slot: &str,
    path: &TreePath,
    spare: impl Fn(&Found) -> bool,
) -> io::Result<()> {
    if slots.stat(swap::aside(slot))?.is_none() {
        return Ok(());
    }
    let dir = match live.parent(path) {
        Err(error) if out_of_reach(&error) => None,
        dir => Some(dir?),
    };
    let looker = &mut live.looker;
    swap::mend(slots, slot, dir.as_deref(), path.file_name(), |entry| {
        Ok(spare(&looker.look(slots, entry)?.found))
    })
}

/// The first path that is not as the plan knows it; `None` if all are.
pub fn stranger(
    live: &mut Live<'_>,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<Option<TreePath>, HostError> {
    let doings = manifest.doings();
    let mut made = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for (_, doing) in &doings {
        match doing {
            Doing::MakeDirectory(path, _) => drop(made.insert(*path)),
            Doing::TakeDirectory(path) => drop(taken.insert(*path)),
            _ => {}
        }
    }
    live.forget();
    for (slot, doing) in &doings {
        let path = doing.path();
        let staged = live.looker.look(slots, slot).map_err(failed("read", ".packfleet/stage"))?.found;
        let found = live.look(path).map_err(failed("read", path.as_str()))?.found;
        let known = match doing {
            Doing::Take { before, .. } => {
                let gone = found == Found::Absent || found == Found::Directory && made.contains(path);
                staged == Found::Absent && found.is(Some(*before)) || staged.is(Some(*before)) && gone
            }
            Doing::TakeDirectory(_) => match staged {
                Found::Absent => found == Found::Directory,
                Found::Directory => {
                    let names = slots.dir(slot.as_str()).and_then(|dir| dir.names());
                    names.map_err(failed("list", ".packfleet/stage"))?.is_empty()
                }
                _ => false,
            },
            Doing::MakeDirectory(..) => match staged {
                // What still lies there is a file that is judged at its own step.
                Found::Directory => true,
                Found::Absent => found == Found::Directory,
                _ => false,
            },
            Doing::Exchange { before, after, .. } => {
                staged.is(Some(*after)) && found.is(Some(*before))
                    || staged.is(Some(*before)) && found.is(Some(*after))
            }
            Doing::Create { after, .. } => {
                let free = found == Found::Absent || found == Found::Directory && taken.contains(path);
                staged.is(Some(*after)) && free || staged == Found::Absent && found.is(Some(*after))
            }
        };
        if !known {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}
