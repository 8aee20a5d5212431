//! Owner, group, mode, access control list and extended attributes of what is staged.
//!
//! A staged file takes them from what it replaces, a new one from its directory, so that a switch never
//! widens who may read or write. Everything is set on the staged inode, before it is live. Not taken
//! over: set-uid, set-gid and file capabilities, which vouch for the bytes that are replaced (a write in
//! place would drop them too), and integrity signatures over those bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;

use super::HostError;
use super::acl::{self, Acl};
use super::beneath::{Dir, Stat, stat_file};
use super::state::failed;
use crate::model::{Kind, TreePath};

const NOT_TAKEN: [&[u8]; 3] = [b"security.capability", b"security.ima", b"security.evm"];

/// The mode that a file has whose exec bit is to be another one: x for those who may read.
fn with_exec(mode: u32, kind: Kind) -> u32 {
    let mode = mode & 0o777;
    match kind {
        Kind::Exec if mode & 0o100 == 0 => mode | (mode & 0o444) >> 2,
        Kind::File if mode & 0o100 != 0 => mode & !0o111,
        _ => mode,
    }
}

/// What a file that is replaced has.
#[derive(Debug)]
pub struct Replaced {
    uid: u32,
    gid: u32,
    mode: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Replaced {
    /// Reads them from the open file.
    pub fn read(file: &File, stat: &Stat) -> io::Result<Self> {
        let mut xattrs = Vec::new();
        for name in names(file)? {
            if !NOT_TAKEN.contains(&name.as_slice())
                && let Some(value) = value(file, &name)?
            {
                xattrs.push((name, value));
            }
        }
        Ok(Self { uid: stat.uid, gid: stat.gid, mode: stat.mode, xattrs })
    }

    /// Gives them to a staged file.
    pub fn give(&self, file: &File, kind: Kind, path: &TreePath) -> Result<(), HostError> {
        own(file, self.uid, self.gid, path)?;
        for (name, wanted) in &self.xattrs {
            if let Err(error) = set(file, name, wanted)
                && value(file, name).ok().flatten().as_ref() != Some(wanted)
            {
                let what = format!("its extended attribute {} cannot be kept", name.escape_ascii());
                return Err(refused(path, &what, error));
            }
        }
        change_mode(file, with_exec(self.mode, kind), path)
    }
}

impl Replaced {
    /// Gives them to a directory that stands in for the one they were read from.
    pub fn give_directory(&self, dir: &File, path: &TreePath) -> Result<(), HostError> {
        own(dir, self.uid, self.gid, path)?;
        for (name, wanted) in &self.xattrs {
            // Of the layers, which the new directory does not take part in.
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                continue;
            }
            set(dir, name, wanted).map_err(|error| refused(path, "its attributes cannot be kept", error))?;
        }
        change_mode(dir, self.mode, path)
    }
}

/// What a directory passes on to what is new in it.
#[derive(Debug, Clone)]
pub struct Inherited {
    uid: u32,
    gid: u32,
    mode: u32,
    access: Option<Acl>,
    default: Option<Acl>,
}

impl Inherited {
    /// Reads them from the directory.
    pub fn read(dir: &Dir) -> io::Result<Self> {
        let file = dir.readable()?;
        let stat = stat_file(&file)?;
        let list = |name: &str| -> io::Result<Option<Acl>> {
            Ok(value(&file, name.as_bytes())?.and_then(|bytes| Acl::parse(&bytes)))
        };
        let (access, default) = (list(acl::ACCESS)?, list(acl::DEFAULT)?);
        Ok(Self { uid: stat.uid, gid: stat.gid, mode: stat.mode, access, default })
    }

    /// Owner and group, for a new link.
    pub fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Gives them to a new, staged file, which has this owner and this group.
    pub fn give_file(
        &self,
        file: &File,
        kind: Kind,
        path: &TreePath,
        has: (u32, u32),
    ) -> Result<(), HostError> {
        own_instead(file, has, (self.uid, self.gid), path)?;
        let x = if kind == Kind::Exec { 0o777 } else { 0o666 };
        if let Some(default) = &self.default {
            let given = default.created(x);
            set(file, acl::ACCESS.as_bytes(), &given.bytes())
                .map_err(|error| refused(path, "its directory's default access list cannot be set", error))?;
            return Ok(());
        }
        let mut bits = self.mode & 0o666;
        if let Some(access) = &self.access {
            // With a list, the mode shows the mask where the group's bits would be.
            bits = bits & !0o060 | (access.group() & 0o6) << 3;
        }
        // The owner reads in any case: what cannot be read cannot be compared.
        change_mode(file, with_exec(bits | 0o400, kind), path)
    }

    /// Gives them to a new, staged directory.
    pub fn give_directory(&self, dir: &File, path: &TreePath) -> Result<(), HostError> {
        own(dir, self.uid, self.gid, path)?;
        let mut mode = self.mode & 0o7777;
        let inherited = self.default.as_ref().map(|default| default.created(0o777));
        if let Some(list) = inherited.as_ref().or(self.access.as_ref()) {
            set(dir, acl::ACCESS.as_bytes(), &list.bytes())
                .map_err(|error| refused(path, "its parent's access list cannot be set", error))?;
            mode = mode & !0o777 | list.mode();
        }
        if let Some(default) = &self.default {
            set(dir, acl::DEFAULT.as_bytes(), &default.bytes())
                .map_err(|error| refused(path, "its parent's default access list cannot be set", error))?;
        }
        change_mode(dir, mode, path)
    }
}

/// Takes away a default list that a new directory of our own got from its parent: what is staged in it
/// must not get entries that nobody asked for.
pub fn forget_default(dir: &Dir) -> io::Result<()> {
    match rustix::fs::fremovexattr(dir.readable()?.as_fd(), acl::DEFAULT) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refused(path: &TreePath, what: &str, error: io::Error) -> HostError {
    match Errno::from_io_error(&error) {
        Some(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => {
            HostError::Unfit { path: path.clone(), why: format!("{what}: {error}") }
        }
        _ => failed("give attributes to the new", path.as_str())(error),
    }
}

fn own(file: &File, uid: u32, gid: u32, path: &TreePath) -> Result<(), HostError> {
    let now = stat_file(file).map_err(failed("look at the staged", path.as_str()))?;
    own_instead(file, (now.uid, now.gid), (uid, gid), path)
}

fn own_instead(
    file: &File,
    has: (u32, u32),
    (uid, gid): (u32, u32),
    path: &TreePath,
) -> Result<(), HostError> {
    if has == (uid, gid) {
        return Ok(());
    }
    let owner = (has.0 != uid).then(|| Uid::from_raw(uid));
    rustix::fs::fchown(file.as_fd(), owner, Some(Gid::from_raw(gid))).map_err(|error| {
        let what =
            format!("it would have to belong to user {uid}, group {gid}, which this process cannot give");
        refused(path, &what, error.into())
    })
}

fn change_mode(file: &File, mode: u32, path: &TreePath) -> Result<(), HostError> {
    let changed = rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(mode));
    changed.map_err(|error| refused(path, &format!("it cannot get mode {mode:04o}"), error.into()))
}

fn names(file: &File) -> io::Result<Vec<Vec<u8>>> {
    let mut list = Vec::new();
    loop {
        let size = match rustix::fs::flistxattr_query(file.as_fd()) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            answer => answer?,
        };
        list.resize(size, 0);
        if size == 0 {
            return Ok(Vec::new());
        }
        match rustix::fs::flistxattr(file.as_fd(), list.as_mut_slice()) {
            Err(Errno::RANGE) => {}
            answer => {
                list.truncate(answer?);
                let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(<[u8]>::to_vec).collect());
            }
        }
    }
}

fn value(file: &File, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::new();
    loop {
        let size = match rustix::fs::fgetxattr_query(file.as_fd(), name) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            answer => answer?,
        };
        value.resize(size, 0);
        if size == 0 {
            return Ok(Some(value));
        }
        match rustix::fs::fgetxattr(file.as_fd(), name, value.as_mut_slice()) {
            Err(Errno::RANGE) => {}
            Err(Errno::NODATA) => return Ok(None),
            answer => {
                value.truncate(answer?);
                return Ok(Some(value));
            }
        }
    }
}

fn set(file: &File, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file.as_fd(), name, value, XattrFlags::empty())?)
}
