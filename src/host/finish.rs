//! The end of a switch: record, VERSION, lines, a late look, the backup.
//!
//! ```text
//! record ─► sync ─► VERSION ─► (services, quick checks) ─► history, log ─► planned edits ─► late look ─► empty directories ─► objects
//!        ─► the stage becomes the generation ─► old generations go ─► sync ─► the journal goes
//! ```
//! Reached only when all files are new and durable. Every part can be repeated, so a crash here ends in
//! the same place. Nothing but the two lines and the copy of a late write needs new space.

use std::collections::BTreeSet;
use std::io;

use super::beneath::Dir;
use super::edits::{Dropped, Edits};
use super::journal::{Doing, Manifest, marked, slot};
use super::live::{Live, out_of_reach};
use super::recover::mend;
use super::salvage::Salvage;
use super::sight::{Found, Looker};
use super::state::{digest_record, failed, name, read};
use super::{EditId, HostError, generations, lines, swap};
use crate::model::{Content, TreePath};

/// Makes the new record and VERSION those that count. `slots` is the stage, or already the generation.
pub fn install(live: &mut Live<'_>, state: &Dir, slots: &Dir, manifest: &Manifest) -> Result<(), HostError> {
    record(state, slots, manifest).map_err(failed("replace", ".packfleet/record"))?;
    if let Some((path, content)) = &manifest.version {
        version(live, slots, path, *content).map_err(failed("replace", path.as_str()))?;
    }
    Ok(())
}

/// Gives record and VERSION back, if they are the new ones. `slots` is the stage.
pub fn uninstall(
    live: &mut Live<'_>,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<(), HostError> {
    // VERSION first: it must never be newer than the record.
    if let Some((path, content)) = &manifest.version {
        version_back(live, slots, path, *content).map_err(failed("give back", path.as_str()))?;
    }
    record_back(state, slots, manifest).map_err(failed("give back", ".packfleet/record"))
}

/// Ends a switch whose record is the new one: from here on there is only forward.
pub fn close(
    live: &mut Live<'_>,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<Vec<EditId>, HostError> {
    // Not fatal: the next apply tries again.
    let _later = lines::write(live, state, slots, manifest).is_err();
    let saved = save(&mut live.looker, state, slots, manifest)?;
    for directory in &manifest.prune {
        let removed = live.parent(directory).and_then(|dir| {
            dir.remove_dir(directory.file_name())?;
            dir.sync()
        });
        live.forget();
        match removed {
            Err(error) if keeps(&error) => {}
            removed => removed.map_err(failed("remove the empty directory", directory.as_str()))?,
        }
    }
    objects(state, slots, manifest).map_err(failed("keep bytes in", ".packfleet/objects"))?;
    generation(state, slots, manifest).map_err(failed("keep", ".packfleet/generations"))?;
    generations::prune(&mut live.looker, state, manifest);
    Ok(saved)
}

/// Not empty, not there, not a directory, not allowed: it stays, and that is no error.
fn keeps(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds = [
        Kind::DirectoryNotEmpty,
        Kind::PermissionDenied,
        Kind::ResourceBusy,
        Kind::ReadOnlyFilesystem,
        Kind::AlreadyExists,
    ];
    out_of_reach(error) || kinds.contains(&error.kind())
}

fn record(state: &Dir, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    swap::mend_own(slots, slot::RECORD)?;
    let live = read(state, name::RECORD)?;
    if live.as_ref().is_some_and(|bytes| digest_record(bytes) == manifest.record) {
        return Ok(());
    }
    match live {
        Some(_) => slots.exchange_own(slot::RECORD, state, name::RECORD)?,
        None => slots.move_to(slot::RECORD, state, name::RECORD)?,
    }
    // VERSION must never be newer than the record after a power cut.
    state.sync()?;
    slots.sync()
}

fn record_back(state: &Dir, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    swap::mend_own(slots, slot::RECORD)?;
    let live = read(state, name::RECORD)?;
    if live.is_none_or(|bytes| digest_record(&bytes) != manifest.record) {
        return Ok(());
    }
    match slots.stat(slot::RECORD)? {
        Some(_) => slots.exchange_own(slot::RECORD, state, name::RECORD)?,
        None => state.take_to(name::RECORD, slots, slot::RECORD)?,
    }
    state.sync()?;
    slots.sync()
}

fn version_back(live: &mut Live<'_>, slots: &Dir, path: &TreePath, content: Content) -> io::Result<()> {
    let is_new = |found: &Found| found.entry().is_some_and(|entry| entry.content == content);
    mend(live, slots, slot::VERSION, path, is_new)?;
    let old = live.looker.look(slots, slot::VERSION)?.found;
    // Staged still, or something else by now, which is somebody's.
    if is_new(&old) || !is_new(&live.look(path)?.found) {
        return Ok(());
    }
    let dir = live.parent(path)?;
    match old {
        Found::Absent => dir.take_to(path.file_name(), slots, slot::VERSION)?,
        _ => slots.exchange(slot::VERSION, &dir, path.file_name())?,
    }
    dir.sync()
}

fn version(live: &mut Live<'_>, slots: &Dir, path: &TreePath, content: Content) -> io::Result<()> {
    let is_new = |found: &Found| found.entry().is_some_and(|entry| entry.content == content);
    mend(live, slots, slot::VERSION, path, is_new)?;
    let staged = live.looker.look(slots, slot::VERSION)?.found.entry();
    if staged.is_none_or(|entry| entry.content != content) {
        return Ok(());
    }
    let dir = live.parent(path)?;
    let name = path.file_name();
    match slots.move_to(slot::VERSION, &dir, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            slots.exchange(slot::VERSION, &dir, name)?;
        }
        moved => moved?,
    }
    dir.sync()
}

fn save(
    looker: &mut Looker,
    state: &Dir,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<Vec<EditId>, HostError> {
    let Some(edits) = Edits::open(state)? else { return Ok(Vec::new()) };
    let mut saved: Vec<EditId> = manifest.saves.iter().map(|edit| edit.id).collect();
    for id in &saved {
        edits
            .take_in(slots, &slot::edit(*id), *id)
            .map_err(failed("save", "the edits that the plan saves"))?;
    }
    if !saved.is_empty() {
        edits.sync().map_err(failed("sync", ".packfleet/edits"))?;
    }
    saved.extend(look_again(looker, &edits, slots, manifest)?);
    Ok(saved)
}

/// A program that had a file open when it came out may have written to it since.
pub fn look_again(
    looker: &mut Looker,
    edits: &Edits,
    slots: &Dir,
    manifest: &Manifest,
) -> Result<Vec<EditId>, HostError> {
    let mut salvage =
        Salvage { looker, edits, manifest, reason: "late write", dropped: Dropped::StaysDropped };
    let mut saved = Vec::new();
    for (slot, doing) in manifest.doings() {
        match doing {
            Doing::Take { action, before, .. } | Doing::Exchange { action, before, .. } => {
                saved.extend(salvage.entry(slots, &slot, action, [Some(before), None])?);
            }
            Doing::TakeDirectory(path) => saved.extend(salvage.directory(slots, &slot, path)?),
            Doing::MakeDirectory(..) | Doing::Create { .. } => {}
        }
    }
    saved.extend(salvage.version(slots)?);
    Ok(saved)
}

fn objects(state: &Dir, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    let dir = state.dir(name::OBJECTS)?;
    let mut changed = false;
    for content in &manifest.objects {
        match slots.replace(&slot::object(*content), &dir, &content.to_string()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => {
                moved?;
                changed = true;
            }
        }
    }
    if changed {
        dir.sync()?;
    }
    let kept: BTreeSet<String> = manifest.objects.iter().map(Content::to_string).collect();
    for (object, _) in dir.names()? {
        if let Ok(object) = String::from_utf8(object)
            && !kept.contains(&object)
        {
            dir.unlink(&object)?;
        }
    }
    Ok(())
}

fn generation(state: &Dir, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    for left in [marked(slots)?, slot::KEPT] {
        slots.unlink(left).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
    }
    // What the VERSION file, the log and the objects left in it must be as durable as what they became.
    slots.sync()?;
    if state.stat(name::STAGE)?.is_none() {
        return Ok(());
    }
    let generations = state.dir(name::GENERATIONS)?;
    let number = manifest.generation.to_string();
    // Another one by this number is of a record that was lost since, or put back: what lies in it may be
    // somebody's only copy, so it is set aside under a name that nothing removes.
    for again in 0..u32::MAX {
        match state.move_to(name::STAGE, &generations, &number) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let aside = format!("lost-{number}-{again}");
                match generations.move_to(&number, &generations, &aside) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    moved => moved?,
                }
            }
            moved => {
                moved?;
                break;
            }
        }
    }
    generations.sync()?;
    state.sync()
}
