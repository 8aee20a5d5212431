//! Files of an overlay in the working tree: read whole, changed one by one.
//!
//! Every file is written aside and renamed into place, beneath directories that are none by way of a link. New
//! files come first and old ones go last, so that a crash leaves too much rather than too little. Directories
//! that become empty go, too.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use super::Failure;
use crate::desired::overlay::{MANIFEST, Overlay};
use crate::desired::rebase::Changes;
use crate::engine::workspace::Workspace;
use crate::model::{Kind, OverlayName, TreePath};

/// All files of an overlay's directory.
pub(super) type Files = BTreeMap<TreePath, (Kind, Vec<u8>)>;

/// Where an overlay lies.
pub(super) fn directory(workspace: &Workspace, name: &OverlayName) -> Utf8PathBuf {
    workspace.fleet.directory.join("overlays").join(name.as_str())
}

/// Reads all files of an overlay's directory.
pub(super) fn read(workspace: &Workspace, name: &OverlayName) -> Result<Files, Failure> {
    let damaged = |why| Failure::Damaged { name: name.clone(), why };
    let files = workspace.overlay_files(name).map_err(damaged)?;
    files.ok_or_else(|| damaged(format!("{} is not there", directory(workspace, name))))
}

/// Carries out changes, if what comes of them is an overlay. `manifest` is the new text of overlay.toml.
pub(super) fn write(
    workspace: &Workspace,
    name: &OverlayName,
    changes: &Changes,
    manifest: Option<String>,
) -> Result<(), Failure> {
    let before = read(workspace, name)?;
    let mut after = before.clone();
    after.retain(|path, _| !changes.remove.contains(path));
    after.extend(changes.put.clone());
    let key = TreePath::new(MANIFEST).map_err(|error| Failure::Path(error.to_string()))?;
    if let Some(text) = manifest {
        after.insert(key.clone(), (Kind::File, text.into_bytes()));
    }
    Overlay::new(name.clone(), after.clone())
        .map_err(|error| Failure::Result { name: name.clone(), error: error.into() })?;
    let top = directory(workspace, name);
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    let in_the_way = |path: &TreePath| after.keys().any(|new| new.is_below(path) || path.is_below(new));
    let (first, last): (Vec<&TreePath>, Vec<&TreePath>) = gone.partition(|path| in_the_way(path));
    for path in first {
        take_away(&top, path)?;
    }
    let new = |path: &&TreePath| before.get(*path) != after.get(*path);
    for path in after.keys().filter(|path| **path != key).chain([&key]).filter(new) {
        let (kind, bytes) = &after[path];
        put(&top, path, *kind, bytes)?;
    }
    for path in last {
        take_away(&top, path)?;
    }
    Ok(())
}

/// Writes one file beneath an overlay's directory.
pub(super) fn put(top: &Utf8Path, path: &TreePath, kind: Kind, bytes: &[u8]) -> Result<(), Failure> {
    let full = top.join(path.as_str());
    let failed =
        |operation, path: &Utf8Path, source| Failure::File { operation, path: path.to_owned(), source };
    let mut ancestors: Vec<TreePath> = path.ancestors().collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let at = top.join(ancestor.as_str());
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Failure::NoDirectory(at)),
            Err(_) => fs::create_dir(&at).map_err(|error| failed("make the directory", &at, error))?,
        }
    }
    // Beside the overlays, where no name is one's that begins with a dot.
    let aside = top.with_file_name(format!(".packfleet-{}.new", std::process::id()));
    let _left_by_a_crash = fs::remove_file(&aside);
    let written = match kind {
        Kind::Link => symlink(String::from_utf8_lossy(bytes).as_ref(), &aside),
        kind => {
            let mode = if kind == Kind::Exec { 0o777 } else { 0o666 };
            let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside);
            open.and_then(|mut file| file.write_all(bytes))
        }
    };
    written.map_err(|error| failed("write", &aside, error))?;
    fs::rename(&aside, &full).map_err(|error| failed("write", &full, error))
}

fn take_away(top: &Utf8Path, path: &TreePath) -> Result<(), Failure> {
    let full = top.join(path.as_str());
    match fs::remove_file(&full) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::File { operation: "remove", path: full, source });
        }
        _ => {}
    }
    for ancestor in path.ancestors() {
        // One that is not empty stays.
        if fs::remove_dir(top.join(ancestor.as_str())).is_err() {
            break;
        }
    }
    Ok(())
}
