//! The switch forward: one rename a path, and a look at what came out.
//!
//! Each step shows in its slot whether it was done, so the same walk serves the first time and after a
//! crash. What comes out must be the action's `before`, byte for byte; anything else is somebody's edit
//! that came in between, and stops the walk. Nothing here needs new space.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;

use super::beneath::{Dir, Node, Whole};
use super::durable::SYNC_EACH;
use super::journal::{Doing, Manifest};
use super::live::{Live, out_of_reach};
use super::sight::Found;
use super::stage::Halt;
use super::state::failed;
use super::{HostError, layers};
use crate::model::{Entry, TreePath};

/// Whether slots have to be asked what was done already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing was done.
    Fresh,
    /// Some of it may have been done.
    Again,
}

/// Carries out all steps and makes them durable.
pub fn forward(live: &mut Live<'_>, slots: &Dir, manifest: &Manifest, start: Start) -> Result<(), Halt> {
    for (slot, doing) in manifest.doings() {
        if start == Start::Again && done(live, slots, &slot, &doing)? {
            continue;
        }
        step(live, slots, &slot, &doing)?;
    }
    live.forget();
    sync_directories(live, slots, manifest).map_err(|error| failed("sync", "the directories")(error).into())
}

fn done(live: &mut Live<'_>, slots: &Dir, slot: &str, doing: &Doing<'_>) -> Result<bool, Halt> {
    let look = failed("look at", ".packfleet/stage");
    let there = slots.stat(slot).map_err(look)?.is_some();
    Ok(match doing {
        Doing::Take { .. } | Doing::TakeDirectory(_) => there,
        Doing::MakeDirectory(..) | Doing::Create { .. } => !there,
        Doing::Exchange { after, .. } => {
            let sight = live.looker.look(slots, slot);
            !sight.map_err(failed("read", ".packfleet/stage"))?.found.is(Some(*after))
        }
    })
}

fn step(live: &mut Live<'_>, slots: &Dir, slot: &str, doing: &Doing<'_>) -> Result<(), Halt> {
    let path = doing.path();
    let name = path.file_name();
    let dir = live.parent(path).map_err(|error| halted(path, error))?;
    let result = match doing {
        Doing::Take { .. } => dir.take_to(name, slots, slot),
        Doing::TakeDirectory(_) => layers::take_directory(&dir, name, slots, slot),
        Doing::MakeDirectory(..) | Doing::Create { .. } => slots.move_to(slot, &dir, name),
        Doing::Exchange { .. } => slots.exchange(slot, &dir, name),
    };
    match doing {
        Doing::Take { before, .. } | Doing::Exchange { before, .. } => {
            result.map_err(|error| halted(path, error))?;
            came_out(live, slots, slot, path, *before)
        }
        Doing::TakeDirectory(_) => {
            live.forget();
            result.map_err(|error| halted(path, error))?;
            came_out_empty(slots, slot, path)
        }
        Doing::MakeDirectory(..) => match result {
            // Somebody made it meanwhile: as good as ours.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let stat = dir.stat(name).map_err(|error| halted(path, error))?;
                match stat {
                    Some(stat) if stat.node == Node::Directory => Ok(()),
                    _ => Err(halted(path, error)),
                }
            }
            result => result.map_err(|error| halted(path, error)),
        },
        Doing::Create { .. } => result.map_err(|error| halted(path, error)),
    }
}

fn came_out(
    live: &mut Live<'_>,
    slots: &Dir,
    slot: &str,
    path: &TreePath,
    before: Entry,
) -> Result<(), Halt> {
    let found = live.looker.look(slots, slot).map_err(failed("read what came out of", path.as_str()))?.found;
    if found.is(Some(before)) {
        return Ok(());
    }
    Err(Halt::Moved { path: path.clone(), found: found.words() })
}

fn came_out_empty(slots: &Dir, slot: &str, path: &TreePath) -> Result<(), Halt> {
    let names = slots.dir(slot).and_then(|dir| dir.names());
    let found = match names {
        Ok(names) if names.is_empty() => return Ok(()),
        Ok(names) => format!("a directory that holds {}", super::beneath::shown(&names[0].0)),
        Err(error) if out_of_reach(&error) => Found::Busy.words(),
        Err(error) => return Err(failed("list what came out of", path.as_str())(error).into()),
    };
    Err(Halt::Moved { path: path.clone(), found })
}

/// Why a rename did not happen: the tree moved, it is not allowed, or the system failed.
fn halted(path: &TreePath, error: io::Error) -> Halt {
    let moved = |found: &str| Halt::Moved { path: path.clone(), found: found.into() };
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => moved(&Found::Absent.words()),
        Some(Errno::EXIST | Errno::NOTEMPTY) => moved("something that was not there before"),
        Some(Errno::NOTDIR | Errno::ISDIR) => moved("a file in place of a directory, or the other way"),
        Some(Errno::LOOP) => moved("a symbolic link on the way to it"),
        Some(Errno::XDEV | Errno::BUSY) => moved("another mount"),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Halt::Failed(HostError::Unfit {
            path: path.clone(),
            why: format!("it cannot be renamed: {error}"),
        }),
        _ => Halt::Failed(failed("rename", path.as_str())(error)),
    }
}

/// Makes all renames of a switch durable, whichever way it went.
pub fn sync_directories(live: &mut Live<'_>, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    let doings = manifest.doings();
    let parents: BTreeSet<Option<TreePath>> = doings.iter().map(|(_, doing)| doing.path().parent()).collect();
    if parents.len() > SYNC_EACH && live.ground.root.sync_file_system()? == Whole::Synced {
        return Ok(());
    }
    for parent in parents {
        let dir = live.ground.root.dir(parent.as_ref().map_or(".", TreePath::as_str));
        match dir {
            // It made way for a file, or was moved by someone: not ours to sync.
            Err(error) if out_of_reach(&error) => {}
            dir => dir?.sync()?,
        }
    }
    slots.sync()
}
