//! The switch taken back: every path as it was, but for what a person did meanwhile.
//!
//! Steps are undone last to first, each by what lies in its slot and at its path. Bytes that changed
//! after they went live stay live, and their base becomes what the plan wanted there, so that they count
//! as an edit of it. Whatever is left in a slot that no commit knows becomes a saved edit. Every step can
//! be repeated: a crash in here is like a crash before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::beneath::{Dir, Node};
use super::edits::{Dropped, Edits};
use super::journal::{Doing, Manifest, slot};
use super::live::{Live, out_of_reach};
use super::recover::{mend, mend_all};
use super::salvage::Salvage;
use super::sight::Found;
use super::state::{Owner, failed, name, read, read_record};
use super::switch::sync_directories;
use super::{EditId, HostError, swap};
use crate::model::record::{Record, Recorded, Rejection};
use crate::model::{Entry, PackName, TreePath};
use crate::plan::rejection::rejections;

/// Why a switch is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The tree moved, or does not let it be carried out.
    Moved,
    /// It was found ill: it must not come back by itself. These packs did not pass; none: that is not known.
    Ill(BTreeSet<PackName>),
}

/// Takes a marked switch back. Afterwards the journal may go, then the stage.
pub fn undo(
    live: &mut Live<'_>,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
    why: &Why,
) -> Result<Vec<EditId>, HostError> {
    let mut kept = Vec::new();
    live.forget();
    mend_all(live, slots, manifest)?;
    for (slot, doing) in manifest.doings().iter().rev() {
        let undone = match doing {
            Doing::Take { action, .. } => give_back(live, slots, slot, &action.path),
            Doing::TakeDirectory(path) => give_back(live, slots, slot, path),
            Doing::MakeDirectory(path, inode) => unmake(live, slots, slot, path, *inode),
            Doing::Exchange { action, after, .. } => {
                exchange_back(live, slots, slot, &action.path, *after).map(|left| kept.extend(left))
            }
            Doing::Create { action, after } => {
                take_back(live, slots, slot, &action.path, *after).map(|left| kept.extend(left))
            }
        };
        undone.map_err(failed("take back", doing.path().as_str()))?;
    }
    live.forget();
    sync_directories(live, slots, manifest).map_err(failed("sync", "the directories"))?;
    let next = read(slots, slot::RECORD).map_err(failed("read", ".packfleet/stage/record"))?;
    let next = Record::decode(&next.unwrap_or_default()).map_err(|source| HostError::Damaged {
        what: "the staged record".into(),
        root: live.ground.at.clone(),
        source: Box::new(source),
    })?;
    let owner = Owner { fleet: &next.fleet, deployment: &next.deployment, root: &live.ground.at };
    let old = read_record(state, owner)?.map(|(record, _)| record);
    let saved = save_leftovers(live, state, slots, manifest)?;
    let rejected = match why {
        Why::Moved => BTreeMap::new(),
        Why::Ill(at_fault) => rejections(old.as_ref(), &next, &manifest.actions, at_fault),
    };
    rebase(state, slots, old, &next, kept, rejected)?;
    Ok(saved)
}

/// Puts what was taken back where it lay, unless something new lies there.
fn give_back(live: &mut Live<'_>, slots: &Dir, slot: &str, path: &TreePath) -> io::Result<()> {
    if slots.stat(slot)?.is_none() {
        return Ok(());
    }
    let moved = live.parent(path).and_then(|dir| slots.move_to(slot, &dir, path.file_name()));
    match moved {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists || out_of_reach(&error) => Ok(()),
        moved => moved,
    }
}

/// Removes a directory that the switch made, unless it holds something.
fn unmake(live: &mut Live<'_>, slots: &Dir, slot: &str, path: &TreePath, inode: u64) -> io::Result<()> {
    live.forget();
    if slots.stat(slot)?.is_some() {
        return Ok(());
    }
    let removed = live.parent(path).and_then(|dir| match dir.stat(path.file_name())? {
        Some(stat) if stat.node == Node::Directory && stat.inode == inode => dir.remove_dir(path.file_name()),
        _ => Ok(()),
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty || out_of_reach(&error) => Ok(()),
        removed => removed,
    }
}

/// Exchanges back what came out; gives the path and its entry if an edit of `after` stays live.
fn exchange_back(
    live: &mut Live<'_>,
    slots: &Dir,
    slot: &str,
    path: &TreePath,
    after: Entry,
) -> io::Result<Option<(TreePath, Entry)>> {
    let out = live.looker.look(slots, slot)?.found;
    if out.is(Some(after)) || out == Found::Absent {
        return Ok(None);
    }
    // Twice, because an edit can come between the look and the exchange; then it goes back in.
    for _ in 0..2 {
        match live.look(path)?.found {
            Found::Absent => {
                give_back(live, slots, slot, path)?;
                return Ok(None);
            }
            Found::Entry(entry) if entry == after => {
                match live.parent(path).and_then(|dir| slots.exchange(slot, &dir, path.file_name())) {
                    Err(error) if out_of_reach(&error) => continue,
                    // Only where there is no exchange in one step: somebody's came between the steps.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        mend(live, slots, slot, path, |found| found.is(Some(after)))?;
                        continue;
                    }
                    exchanged => exchanged?,
                }
                if live.looker.look(slots, slot)?.found.is(Some(after)) {
                    return Ok(None);
                }
                match live.parent(path).and_then(|dir| slots.exchange(slot, &dir, path.file_name())) {
                    Err(error) if out_of_reach(&error) => return Ok(None),
                    exchanged => exchanged?,
                }
            }
            found => return Ok(edited(path, &found, after)),
        }
    }
    let found = live.look(path)?.found;
    Ok(edited(path, &found, after))
}

/// Takes a created entry away again; gives the path and its entry if an edit of it stays live.
fn take_back(
    live: &mut Live<'_>,
    slots: &Dir,
    slot: &str,
    path: &TreePath,
    after: Entry,
) -> io::Result<Option<(TreePath, Entry)>> {
    if slots.stat(slot)?.is_some() {
        return Ok(None);
    }
    match live.look(path)?.found {
        Found::Entry(entry) if entry == after => {}
        found => return Ok(edited(path, &found, after)),
    }
    match live.parent(path).and_then(|dir| dir.take_to(path.file_name(), slots, slot)) {
        Err(error) if out_of_reach(&error) => return Ok(None),
        moved => moved?,
    }
    let out = live.looker.look(slots, slot)?.found;
    if out.is(Some(after)) {
        return Ok(None);
    }
    give_back(live, slots, slot, path)?;
    Ok(if slots.stat(slot)?.is_none() { edited(path, &out, after) } else { None })
}

/// An edit of `after` that stays live. One that is being written has no digest yet.
fn edited(path: &TreePath, found: &Found, after: Entry) -> Option<(TreePath, Entry)> {
    match found {
        Found::Entry(entry) => Some((path.clone(), *entry)),
        Found::Busy => Some((path.clone(), after)),
        _ => None,
    }
}

/// What is neither what the switch brought nor a recorded base is a person's.
fn save_leftovers(
    live: &mut Live<'_>,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<Vec<EditId>, HostError> {
    let Some(edits) = Edits::open(state)? else { return Ok(Vec::new()) };
    let mut salvage = Salvage {
        looker: &mut live.looker,
        edits: &edits,
        manifest,
        reason: "undo",
        dropped: Dropped::SavedAgain,
    };
    let mut saved = Vec::new();
    for (slot, doing) in manifest.doings() {
        match doing {
            Doing::Take { action, base, .. } => {
                saved.extend(salvage.entry(slots, &slot, action, [base, None])?);
            }
            Doing::Exchange { action, after, base, .. } => {
                let known = [base, Some(after)];
                for slot in [swap::aside(&slot), slot] {
                    saved.extend(salvage.entry(slots, &slot, action, known)?);
                }
            }
            Doing::Create { action, after } => {
                let known = [Some(after), None];
                saved.extend(salvage.entry(slots, &slot, action, known)?);
            }
            Doing::TakeDirectory(path) => saved.extend(salvage.directory(slots, &slot, path)?),
            Doing::MakeDirectory(..) => {}
        }
    }
    saved.extend(salvage.version(slots)?);
    Ok(saved)
}

/// Where an edit of `after` stays live, the kept record's base becomes what the plan wanted.
fn rebase(
    state: &Dir,
    slots: &Dir,
    old: Option<Record>,
    next: &Record,
    kept: Vec<(TreePath, Entry)>,
    rejected: BTreeMap<PackName, Rejection>,
) -> Result<(), HostError> {
    let kept: BTreeMap<TreePath, Recorded> = kept
        .into_iter()
        .filter_map(|(path, entry)| {
            let wanted = next.entries.get(&path)?;
            Some((path, Recorded { written: Some(entry), ..wanted.clone() }))
        })
        .collect();
    let before = old.clone();
    let mut record =
        old.unwrap_or_else(|| Record::empty(next.fleet.clone(), next.deployment.clone(), next.root.clone()));
    let above = |directory: &&TreePath| kept.keys().any(|path| path.is_below(directory));
    record.directories.extend(next.directories.iter().filter(above).cloned());
    let nothing = kept.is_empty() && rejected.is_empty();
    record.entries.extend(kept.clone());
    record.rejected.extend(rejected);
    if nothing || before.as_ref() == Some(&record) {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        // Into the room that was reserved: the disk may be full by now.
        let mut file = slots.open_or_create(slot::KEPT)?;
        let bytes = record.encode();
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_all()?;
        slots.replace(slot::KEPT, state, name::RECORD)?;
        state.sync()
    };
    write().map_err(failed("write", ".packfleet/record"))
}
