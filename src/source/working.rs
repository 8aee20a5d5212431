//! Files of a working tree, opened beneath its directory and through no link.
//!
//! The directory itself may be reached through links, once: a person named it. Below it every component is one name,
//! opened in the directory that was opened before it, so that a link that is planted meanwhile leads nowhere either.
//! Only regular files are read, and no more than is expected of them; a FIFO holds nobody up. Mounts are passed: what
//! lies where in a checkout is its owner's to say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use camino::Utf8Path;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::model::{Kind, TreePath};

/// Bytes that a file of an overlay may have.
const MOST: u64 = 64 << 20;

/// Files and links by their path.
pub type Files = BTreeMap<TreePath, (Kind, Vec<u8>)>;

/// Said of what is reached through a link.
pub const LINKED: &str = "it is reached through a link";

/// The text of a regular file; of a longer one the first `most` bytes.
pub fn text(top: &Utf8Path, path: &TreePath, most: u64) -> io::Result<String> {
    let mut directory = root(top)?;
    for component in path.parent().iter().flat_map(TreePath::components) {
        directory = enter(&directory, component)?;
    }
    let mut text = String::new();
    regular(&directory, path.file_name())?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// The names of all directories in a directory; none if nothing is there.
pub fn directories(top: &Utf8Path, path: &TreePath) -> io::Result<Vec<String>> {
    let Some(directory) = below(top, path)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for name in names(&directory)? {
        let stat = statat(&directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            found.extend(String::from_utf8(name));
        }
    }
    Ok(found)
}

/// All files and links in a directory and below it; `None` if nothing is there. The error is a sentence about a path
/// in it.
pub fn files(top: &Utf8Path, path: &TreePath) -> Result<Option<Files>, String> {
    let full = top.join(path.as_str());
    let failed = |error: io::Error| format!("cannot read {full}: {error}");
    let Some(directory) = below(top, path).map_err(failed)? else { return Ok(None) };
    let mut files = Files::new();
    gather(&directory, None, &mut files)?;
    Ok(Some(files))
}

fn gather(directory: &OwnedFd, at: Option<&TreePath>, files: &mut Files) -> Result<(), String> {
    let here = at.map_or(".", TreePath::as_str);
    let listing = names(directory).map_err(|error| format!("cannot read {here}: {error}"))?;
    for name in listing {
        let name = String::from_utf8(name).map_err(|name| format!("{:?} is not UTF-8", name.into_bytes()))?;
        let one = TreePath::new(&name).map_err(|error| error.to_string())?;
        let path = match at {
            None => one,
            Some(at) => at.join(&one).map_err(|error| error.to_string())?,
        };
        let failed = |error: io::Error| format!("cannot read {path}: {error}");
        let stat = statat(directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        match FileType::from_raw_mode(stat.map_err(|error| failed(error.into()))?.st_mode) {
            FileType::Directory => {
                gather(&enter(directory, &name).map_err(failed)?, Some(&path), files)?;
            }
            FileType::Symlink => {
                let text = readlinkat(directory, name.as_str(), Vec::new());
                let text = text.map_err(|error| failed(error.into()))?.into_string();
                let text = text.map_err(|_| format!("the link text of {path} is not UTF-8"))?;
                files.insert(path, (Kind::Link, text.into_bytes()));
            }
            FileType::RegularFile => {
                let mut file = regular(directory, &name).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if meta.len() > MOST {
                    let most = MOST >> 20;
                    return Err(format!(
                        "{path} has {} bytes; a file of an overlay may have {most} MiB",
                        meta.len()
                    ));
                }
                let mut bytes = Vec::new();
                file.by_ref().take(MOST).read_to_end(&mut bytes).map_err(failed)?;
                let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
                files.insert(path, (Kind::regular(mode & 0o100 != 0), bytes));
            }
            _ => return Err(format!("{path} is neither file, directory nor link")),
        }
    }
    Ok(())
}

/// The one place where links are followed.
fn root(top: &Utf8Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(top.as_std_path(), flags, Mode::empty())?)
}

/// A directory; `None` if nothing is there.
fn below(top: &Utf8Path, path: &TreePath) -> io::Result<Option<OwnedFd>> {
    let mut directory = root(top)?;
    for component in path.components() {
        directory = match enter(&directory, component) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            entered => entered?,
        };
    }
    Ok(Some(directory))
}

fn enter(directory: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).map_err(|error| told(directory, name, error))
}

fn regular(directory: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // Looked at first: to open a device can already do something.
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let none = || io::Error::other("it is no regular file");
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Err(io::Error::other(LINKED)),
        _ => return Err(none()),
    }
    let fd = openat(directory, name, flags, Mode::empty()).map_err(|error| told(directory, name, error))?;
    match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(File::from(fd)),
        _ => Err(none()),
    }
}

/// Names the link, where that is why.
fn told(directory: &OwnedFd, name: &str, error: Errno) -> io::Error {
    let linked = || {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    };
    if matches!(error, Errno::LOOP | Errno::NOTDIR) && linked() {
        return io::Error::other(LINKED);
    }
    error.into()
}

fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut found = Vec::new();
    for entry in Dir::new(openat(directory, ".", flags, Mode::empty())?)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
