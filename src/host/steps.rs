//! Opening beneath a directory without `openat2`: one component after another, no link, no other mount.
//!
//! Each directory on the way is opened by name in the one before, never through a link, and must lie on the
//! same mount; what is renamed meanwhile can lead to an older place of the same tree, never out of it. The
//! answers are those of `openat2`: `ELOOP` for a link, `EXDEV` for another mount, `..` or an absolute path.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::path::Arg;

use super::beneath::stat_open;

/// Opens a path beneath `at`, all of it on the mount with this id.
pub fn open(at: BorrowedFd<'_>, path: impl Arg, flags: OFlags, mode: u32, mount: u64) -> io::Result<OwnedFd> {
    let path = path.into_c_str()?;
    let path = path.to_bytes();
    if path.is_empty() {
        return Err(Errno::NOENT.into());
    }
    if path.starts_with(b"/") {
        return Err(Errno::XDEV.into());
    }
    let mut here: Option<OwnedFd> = None;
    let mut components = path.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        let last = components.peek().is_none();
        let name = match component {
            b"" => b".",
            b".." => return Err(Errno::XDEV.into()),
            name => name,
        };
        let flags = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY };
        let above = here.as_ref().map_or(at, AsFd::as_fd);
        let next = match one(above, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode) {
            // A link where a directory is wanted is no directory to this call.
            Err(Errno::NOTDIR) if !last && is_link(above, name) => return Err(Errno::LOOP.into()),
            next => next?,
        };
        if stat_open(next.as_fd())?.0.mount != mount {
            return Err(Errno::XDEV.into());
        }
        here = Some(next);
    }
    here.ok_or_else(|| Errno::NOENT.into())
}

fn one(above: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(mode) } else { Mode::empty() };
    loop {
        match fs::openat(above, name, flags, mode) {
            Err(Errno::INTR) => {}
            answer => return answer,
        }
    }
}

fn is_link(above: BorrowedFd<'_>, name: &[u8]) -> bool {
    let stat = fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::beneath::stat_file;

    /// The same answer as the kernel's, for every way in and out.
    #[test]
    fn answers_are_those_of_openat2() {
        use rustix::fs::ResolveFlags as R;
        let tree = tempfile::tempdir().unwrap();
        let at = tree.path();
        std::fs::create_dir_all(at.join("d/e")).unwrap();
        std::fs::write(at.join("d/f"), "f").unwrap();
        symlink("d", at.join("l")).unwrap();
        symlink("/", at.join("d/out")).unwrap();
        symlink("nowhere", at.join("d/dangling")).unwrap();
        let root = std::fs::File::open(at).unwrap();
        let mount = stat_file(&root).unwrap().mount;
        let place = OFlags::PATH | OFlags::DIRECTORY;
        let paths = [
            "d",
            "d/e",
            "d/f",
            ".",
            "d/.",
            "d//e",
            "d/",
            "l",
            "l/e",
            "l/f",
            "d/out",
            "d/out/etc",
            "d/dangling",
            "none",
            "none/x",
            "d/f/x",
            "..",
            "d/../..",
            "/etc",
            "",
        ];
        let rules = R::BENEATH | R::NO_SYMLINKS | R::NO_MAGICLINKS | R::NO_XDEV;
        for path in paths {
            for flags in [place, OFlags::RDONLY, OFlags::RDWR | OFlags::CREATE] {
                if flags.contains(OFlags::CREATE) && path.ends_with('/') {
                    continue;
                }
                let mode = if flags.contains(OFlags::CREATE) { 0o600 } else { 0 };
                let wanted = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let kernel = match fs::openat2(&root, path, wanted, Mode::from_raw_mode(mode), rules) {
                    Err(Errno::NOSYS | Errno::PERM) => {
                        return eprintln!("SKIPPED: no openat2 to compare with");
                    }
                    answer => answer,
                };
                let ours = open(root.as_fd(), path, flags, mode, mount);
                let ours = ours.map_err(|error| Errno::from_io_error(&error).unwrap());
                match (kernel, ours) {
                    (Ok(kernel), Ok(ours)) => {
                        let inode = |fd: OwnedFd| stat_file(&fd.into()).unwrap().inode;
                        assert_eq!(inode(kernel), inode(ours), "{path} {flags:?}");
                    }
                    (Err(kernel), Err(ours)) => assert_eq!(kernel, ours, "{path} {flags:?}"),
                    (kernel, ours) => panic!("{path} {flags:?}: {kernel:?} {ours:?}"),
                }
                let _made = std::fs::remove_file(at.join("none"));
            }
        }
    }

    /// `/proc` is another mount wherever there are tests.
    #[test]
    fn another_mount_is_not_entered() {
        let root = std::fs::File::open("/").unwrap();
        let mount = stat_file(&root).unwrap().mount;
        for path in ["proc", "proc/version", "./proc/sys/kernel"] {
            for flags in [OFlags::PATH | OFlags::DIRECTORY, OFlags::RDONLY] {
                let refused = open(root.as_fd(), path, flags, 0, mount).unwrap_err();
                assert_eq!(Errno::from_io_error(&refused), Some(Errno::XDEV), "{path} {flags:?}");
            }
        }
        open(root.as_fd(), "etc", OFlags::PATH | OFlags::DIRECTORY, 0, mount).unwrap();
    }
}
