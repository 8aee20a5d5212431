//! overlayfs: files of a lower layer are copied when they are first moved, directories of one never move.
//!
//! A copy needs space, so it is made before the commit point. A directory that makes way for a file is
//! removed, as it is empty by then, and one that was staged with its attributes stands in for it.

use std::fs::File;
use std::io;

use super::HostError;
use super::attributes::Replaced;
use super::beneath::{Dir, stat_file};
use super::journal::slot;
use super::state::{Ground, failed};
use crate::model::TreePath;

/// The number of overlayfs.
pub const OVERLAY: i64 = 0x794c_7630;

/// Whether the root is made of layers.
pub fn layered(ground: &Ground) -> bool {
    ground.root.file_system().is_ok_and(|kind| kind == OVERLAY)
}

/// Has an entry copied up, by a second name for a moment.
pub fn lift(dir: &Dir, path: &TreePath, stage: &Dir) -> Result<(), HostError> {
    const LIFTED: &str = "lifted";
    let lifted = dir.link(path.file_name(), stage, LIFTED).and_then(|()| stage.unlink(LIFTED));
    lifted.map_err(failed("copy up", path.as_str()))
}

/// Stages what stands in for a directory, with its attributes; still to be synced.
pub fn stage_stand_in(root: &Dir, path: &TreePath, stage: &Dir, number: u32) -> Result<File, HostError> {
    let reading = || failed("read the attributes of", path.as_str());
    let old = root.dir(path.as_str()).and_then(|dir| dir.readable()).map_err(reading())?;
    let stat = stat_file(&old).map_err(reading())?;
    let replaced = Replaced::read(&old, &stat).map_err(reading())?;
    let name = stand_in(&slot::step(number));
    let make = || -> io::Result<File> {
        stage.make_dir(&name)?;
        stage.dir(name.as_str())?.readable()
    };
    let new = make().map_err(failed("stage", path.as_str()))?;
    replaced.give_directory(&new, path)?;
    Ok(new)
}

/// Takes an empty directory out, by a rename if it may be.
pub fn take_directory(dir: &Dir, name: &str, slots: &Dir, slot: &str) -> io::Result<()> {
    match dir.take_to(name, slots, slot) {
        Err(error)
            if error.kind() == io::ErrorKind::CrossesDevices && slots.stat(stand_in(slot))?.is_some() =>
        {
            slots.move_to(&stand_in(slot), slots, slot)?;
            dir.remove_dir(name).inspect_err(|_| {
                let _undone_by_the_undo = slots.move_to(slot, slots, &stand_in(slot)).is_err();
            })
        }
        taken => taken,
    }
}

fn stand_in(slot: &str) -> String {
    format!("{slot}.dir")
}
