//! Files of the fleet repository, written into its working tree.
//!
//! Each is written aside and renamed into place, beneath directories that are none by way of a link. fleet.toml
//! comes last, so that a crash leaves an overlay that nobody names rather than a name without an overlay.
//! Deliberately absent: commits.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use crate::model::{Kind, TreePath};

/// Files by their path beneath the fleet file's directory; `None` goes away.
pub type Changes = BTreeMap<TreePath, Option<(Kind, Vec<u8>)>>;

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}")]
pub struct WriteError {
    /// What was being done.
    pub operation: &'static str,
    /// To what.
    pub path: Utf8PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// Carries out changes beneath `top`; those of `last` come last.
pub fn write(top: &Utf8Path, changes: &Changes, last: &[TreePath]) -> Result<(), WriteError> {
    let first = changes.iter().filter(|(path, _)| !last.contains(path));
    for (path, file) in first.chain(changes.iter().filter(|(path, _)| last.contains(path))) {
        match file {
            Some((kind, bytes)) => put(top, path, *kind, bytes)?,
            None => take_away(top, path)?,
        }
    }
    Ok(())
}

fn put(top: &Utf8Path, path: &TreePath, kind: Kind, bytes: &[u8]) -> Result<(), WriteError> {
    let full = top.join(path.as_str());
    let failed = |operation, path: &Utf8Path, source| WriteError { operation, path: path.to_owned(), source };
    let mut directory = top.to_owned();
    for component in path.parent().iter().flat_map(TreePath::components) {
        directory.push(component);
        match fs::symlink_metadata(&directory) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                let source = io::Error::other("it is no directory");
                return Err(failed("write beneath", &directory, source));
            }
            Err(_) => fs::create_dir(&directory)
                .map_err(|source| failed("make the directory", &directory, source))?,
        }
    }
    // What is there keeps its other permissions.
    let mode = match fs::symlink_metadata(&full) {
        Ok(found) if found.is_file() => Some(found.permissions().mode() & 0o777),
        _ => None,
    };
    let aside = directory.join(format!(".packfleet-{}.new", std::process::id()));
    let _left_by_a_crash = fs::remove_file(&aside);
    let written = match kind {
        Kind::Link => symlink(String::from_utf8_lossy(bytes).as_ref(), &aside),
        kind => {
            let wanted = if kind == Kind::Exec { 0o777 } else { 0o666 };
            let open = OpenOptions::new().write(true).create_new(true).mode(wanted).open(&aside);
            open.and_then(|mut file| {
                file.write_all(bytes)?;
                if let Some(mode) = mode {
                    let readers = (mode & 0o444) >> 2;
                    let mode = if kind == Kind::Exec { mode | readers } else { mode & !0o111 };
                    file.set_permissions(fs::Permissions::from_mode(mode))?;
                }
                file.sync_all()
            })
        }
    };
    let written = written.map_err(|source| failed("write", &aside, source));
    let renamed =
        written.and_then(|()| fs::rename(&aside, &full).map_err(|source| failed("write", &full, source)));
    if renamed.is_err() {
        // What is left of it is nobody's: the error that counts is the first one.
        let _removed = fs::remove_file(&aside);
    }
    renamed
}

fn take_away(top: &Utf8Path, path: &TreePath) -> Result<(), WriteError> {
    let full = top.join(path.as_str());
    match fs::remove_file(&full) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(WriteError { operation: "remove", path: full, source });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_and_taken_away_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let top = Utf8Path::from_path(dir.path()).unwrap();
        let path = |text: &str| TreePath::new(text).unwrap();
        let file = |kind, bytes: &[u8]| Some((kind, bytes.to_vec()));
        let put = |at: &str, it| write(top, &Changes::from([(path(at), it)]), &[]);
        let mode = |at: &str| fs::symlink_metadata(top.join(at)).unwrap().permissions().mode() & 0o777;
        put("overlays/x/a", file(Kind::Exec, b"1")).unwrap();
        assert_eq!(mode("overlays/x/a") & 0o100, 0o100);
        put("overlays/x/a", file(Kind::File, b"2")).unwrap();
        assert_eq!(
            (mode("overlays/x/a") & 0o111, fs::read(top.join("overlays/x/a")).unwrap()),
            (0, b"2".to_vec())
        );
        put("overlays/x/l", file(Kind::Link, b"a")).unwrap();
        put("overlays/x/l", file(Kind::File, b"3")).unwrap();
        assert_eq!(fs::read(top.join("overlays/x/a")).unwrap(), b"2");
        fs::write(top.join("fleet.toml"), "x").unwrap();
        fs::set_permissions(top.join("fleet.toml"), fs::Permissions::from_mode(0o640)).unwrap();
        put("fleet.toml", file(Kind::File, b"y")).unwrap();
        assert_eq!(mode("fleet.toml"), 0o640);
        put("overlays/x/a", None).unwrap();
        put("overlays/x/l", None).unwrap();
        assert!(!top.join("overlays").exists());

        symlink("/tmp", top.join("overlays")).unwrap();
        let refused = put("overlays/packfleet-test/a", file(Kind::File, b"x")).unwrap_err();
        assert_eq!(refused.operation, "write beneath");
        assert_eq!(fs::read_dir(top).unwrap().count(), 2, "nothing is left aside");
    }
}
