//! Access beneath a root: the one module that asks the kernel for anything in a deployment's tree.
//!
//! A root is opened once, following links in its own path; everything else is resolved beneath an open
//! directory with `openat2` (`BENEATH`, `NO_SYMLINKS`, `NO_MAGICLINKS`, `NO_XDEV`) or is a single name
//! in one. No path is ever joined to an absolute one, no mode of a live file is ever changed, and a
//! file is opened without blocking, so that a FIFO cannot hold us up.
//!
//! Where the kernel or the file system lacks something, the same promises are kept by longer ways: `steps`
//! for `openat2`, `mounts` for mount ids, `swap` for the flags of `renameat2`; without a `syncfs` that
//! reports errors, [`Dir::sync_file_system`] says that it did nothing.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    self, Access, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Statx, StatxAttributes,
    StatxFlags,
};
use rustix::io::Errno;
use rustix::path::Arg;

use super::{mounts, steps, swap};

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A directory.
    Directory,
    /// A FIFO, socket or device, in words.
    Special(&'static str),
}

/// What the kernel says of an inode. Times in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub node: Node,
    /// Permission bits with set-uid, set-gid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the inode.
    pub ctime: i64,
    /// Last change of the bytes.
    pub mtime: i64,
    /// Id of the mount.
    pub mount: u64,
    /// Immutable or append-only.
    pub frozen: bool,
}

impl Stat {
    fn new(statx: &Statx) -> Self {
        let time = |t: fs::StatxTimestamp| {
            t.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(t.tv_nsec))
        };
        let known = statx.stx_attributes & statx.stx_attributes_mask;
        Self {
            node: node(FileType::from_raw_mode(u32::from(statx.stx_mode))),
            mode: u32::from(statx.stx_mode) & 0o7777,
            uid: statx.stx_uid,
            gid: statx.stx_gid,
            inode: statx.stx_ino,
            size: statx.stx_size,
            ctime: time(statx.stx_ctime),
            mtime: time(statx.stx_mtime),
            mount: statx.stx_mnt_id,
            frozen: known.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
        }
    }

    /// The same from an older call, which does not tell what is immutable.
    fn old(stat: &fs::Stat, mount: u64) -> Self {
        let time = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            node: node(FileType::from_raw_mode(stat.st_mode)),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec.cast_signed()),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec.cast_signed()),
            mount,
            frozen: false,
        }
    }

    /// Whether the owner may execute it.
    pub fn exec(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// The same inode with the same bytes, as far as the kernel's clock can tell.
    pub fn unchanged(&self, other: &Stat) -> bool {
        (self.inode, self.size, self.ctime, self.mtime) == (other.inode, other.size, other.ctime, other.mtime)
    }
}

fn node(kind: FileType) -> Node {
    match kind {
        FileType::RegularFile => Node::File,
        FileType::Symlink => Node::Link,
        FileType::Directory => Node::Directory,
        FileType::Fifo => Node::Special("FIFO"),
        FileType::Socket => Node::Special("socket"),
        FileType::CharacterDevice => Node::Special("character device"),
        FileType::BlockDevice => Node::Special("block device"),
        FileType::Unknown => Node::Special("something unknown"),
    }
}

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still use.
    pub free: u64,
    /// Bytes in all.
    pub all: u64,
    /// Inodes that this user may still use.
    pub free_inodes: u64,
    /// Inodes in all; 0 where they are made as they are needed.
    pub inodes: u64,
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

const STATS: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// How paths are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// By one `openat2`.
    Whole,
    /// Component by component: this kernel, or a filter on its calls, has no `openat2`.
    Steps,
}

/// Whether a file system can be made durable by one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Yes.
    Synced,
    /// There is no such call here, or it would not report errors: nothing was done.
    Unable,
}

/// What was found when the root was opened; the same for all below it.
#[derive(Debug, Clone, Copy)]
struct Ways {
    opening: Opening,
    mount: u64,
    mount_ids: mounts::Told,
}

/// An open directory. Names that its methods take are single components, paths are relative.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    ways: Ways,
}

impl Dir {
    /// Opens a root: the one place where links are followed, once.
    pub fn root(path: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty())?;
        let (stat, mount_ids) = stat_open(fd.as_fd())?;
        let opening = match fs::openat2(&fd, ".", flags, Mode::empty(), RESOLVE) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Opening::Whole,
            // A filter on system calls may answer any of these.
            Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => Opening::Steps,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { fd, ways: Ways { opening, mount: stat.mount, mount_ids } })
    }

    /// How paths are resolved below it.
    pub fn opening(&self) -> Opening {
        self.ways.opening
    }

    /// Who tells mounts apart below it.
    pub fn mount_ids(&self) -> mounts::Told {
        self.ways.mount_ids
    }

    fn open2(&self, path: impl Arg + Copy, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        if self.ways.opening == Opening::Steps {
            return steps::open(self.fd.as_fd(), path, flags, mode, self.ways.mount);
        }
        // The kernel answers EAGAIN when a rename races with a lookup; the lookup itself is harmless.
        for _ in 0..64 {
            let mode = Mode::from_raw_mode(mode);
            match fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode, RESOLVE) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                answer => return Ok(answer?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// A directory beneath this one, for lookups.
    pub fn dir(&self, path: impl Arg + Copy) -> io::Result<Self> {
        let fd = self.open2(path, OFlags::PATH | OFlags::DIRECTORY, 0)?;
        Ok(Self { fd, ways: self.ways })
    }

    /// A path that leads to this very directory while it is open, whatever its name is by now.
    pub fn by_descriptor(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }

    /// This directory once more, open for reading (listing, syncing, attributes).
    pub fn readable(&self) -> io::Result<File> {
        self.open2(".", OFlags::RDONLY | OFlags::DIRECTORY, 0).map(File::from)
    }

    /// What lies at a name; `None` if nothing does.
    pub fn stat(&self, name: impl Arg) -> io::Result<Option<Stat>> {
        if self.ways.mount_ids == mounts::Told::Statx {
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            return match fs::statx(&self.fd, name, flags, STATS) {
                Ok(statx) => Ok(Some(Stat::new(&statx))),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(stat_open(fd.as_fd())?.0)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What this directory is.
    pub fn stat_self(&self) -> io::Result<Stat> {
        Ok(stat_open(self.fd.as_fd())?.0)
    }

    /// Opens for reading whatever lies there; never blocks, never follows.
    pub fn open(&self, name: impl Arg + Copy) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open2(name, flags, 0).map(File::from)
    }

    /// Creates a file that must not exist; readable and writable by its owner.
    pub fn create(&self, name: &str) -> io::Result<File> {
        self.open2(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, 0o600).map(File::from)
    }

    /// Opens a file for reading and writing, creating it if need be. For packfleet's own files.
    pub fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open2(name, flags, 0o600).map(File::from)
    }

    /// Opens an existing file for reading and for writing at its end.
    pub fn append(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open2(name, flags, 0).map(File::from)
    }

    /// The text of a link.
    pub fn link_text(&self, name: impl Arg) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// Makes a link with this text.
    pub fn make_link(&self, text: &[u8], name: &str) -> io::Result<()> {
        Ok(fs::symlinkat(text, &self.fd, name)?)
    }

    /// Makes a directory that only its owner may enter.
    pub fn make_dir(&self, name: &str) -> io::Result<()> {
        Ok(fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700))?)
    }

    /// Swaps an entry of packfleet's own directory with a live one. In one step where the file system can;
    /// see [`swap`] for what happens elsewhere.
    pub fn exchange(&self, name: &str, live: &Dir, live_name: &str) -> io::Result<()> {
        match self.rename(name, live, live_name, RenameFlags::EXCHANGE) {
            Err(error) if swap::unsupported(&error) => swap::exchange(self, name, live, live_name),
            answer => answer,
        }
    }

    /// Swaps two entries of packfleet's own directories, the second of which is never absent.
    pub fn exchange_own(&self, name: &str, other: &Dir, other_name: &str) -> io::Result<()> {
        match self.rename(name, other, other_name, RenameFlags::EXCHANGE) {
            Err(error) if swap::unsupported(&error) => swap::exchange_own(self, name, other, other_name),
            answer => answer,
        }
    }

    /// Moves an entry of packfleet's own directory to a name at which nothing lies.
    pub fn move_to(&self, name: &str, other: &Dir, other_name: &str) -> io::Result<()> {
        match self.rename(name, other, other_name, RenameFlags::NOREPLACE) {
            Err(error) if swap::unsupported(&error) => swap::put(self, name, other, other_name),
            answer => answer,
        }
    }

    /// Moves a live entry to a name of packfleet's own directory at which nothing lies.
    pub fn take_to(&self, name: &str, own: &Dir, own_name: &str) -> io::Result<()> {
        match self.rename(name, own, own_name, RenameFlags::NOREPLACE) {
            Err(error) if swap::unsupported(&error) => swap::take(self, name, own, own_name),
            answer => answer,
        }
    }

    /// Renames, with what the file system makes of these flags.
    pub fn rename(&self, name: &str, other: &Dir, other_name: &str, flags: RenameFlags) -> io::Result<()> {
        Ok(fs::renameat_with(&self.fd, name, &other.fd, other_name, flags)?)
    }

    /// Gives an entry of packfleet's own directory a second name, at which nothing lies.
    pub fn link(&self, name: &str, other: &Dir, other_name: &str) -> io::Result<()> {
        Ok(fs::linkat(&self.fd, name, &other.fd, other_name, AtFlags::empty())?)
    }

    /// Moves an entry over another one. For packfleet's own files.
    pub fn replace(&self, name: &str, other: &Dir, other_name: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, name, &other.fd, other_name)?)
    }

    /// Removes a file or link.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Gives a link that is not live yet an owner and a group.
    pub fn own_link(&self, name: &str, uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (rustix::process::Uid::from_raw(uid), rustix::process::Gid::from_raw(gid));
        Ok(fs::chownat(&self.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Whether this process may make and remove entries here: `Err` says why not.
    pub fn may_change(&self) -> io::Result<()> {
        Ok(fs::accessat(&self.fd, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    /// Makes this directory's entries durable.
    pub fn sync(&self) -> io::Result<()> {
        self.readable()?.sync_all()
    }

    /// Makes the whole file system durable, if one call can do that and tell whether it did: older kernels,
    /// which are those that do not tell mounts by `statx`, keep errors to themselves.
    pub fn sync_file_system(&self) -> io::Result<Whole> {
        if self.ways.mount_ids != mounts::Told::Statx {
            return Ok(Whole::Unable);
        }
        match fs::syncfs(self.readable()?.as_fd()) {
            Ok(()) => Ok(Whole::Synced),
            Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => Ok(Whole::Unable),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a `syncfs` that reports errors, without carrying one out.
    pub fn has_syncfs(&self) -> bool {
        // On a descriptor that is only a place, the call itself answers EBADF.
        let asked = fs::syncfs(self.fd.as_fd());
        self.ways.mount_ids == mounts::Told::Statx && matches!(asked, Ok(()) | Err(Errno::BADF))
    }

    /// The number of its kind of file system.
    pub fn file_system(&self) -> io::Result<i64> {
        Ok(fs::fstatfs(&self.fd)?.f_type)
    }

    /// How large the file system is, and how much of it is free for this user.
    pub fn space(&self) -> io::Result<Space> {
        let told = fs::fstatvfs(self.readable()?.as_fd())?;
        Ok(Space {
            free: told.f_bavail.saturating_mul(told.f_frsize),
            all: told.f_blocks.saturating_mul(told.f_frsize),
            free_inodes: told.f_favail,
            inodes: told.f_files,
        })
    }

    /// Free bytes and inodes of the file system, for this user.
    pub fn free(&self) -> io::Result<(u64, u64)> {
        let free = fs::fstatvfs(self.readable()?.as_fd())?;
        Ok((free.f_bavail.saturating_mul(free.f_frsize), free.f_favail))
    }

    /// All names in it but `.` and `..`, in byte order, with what they are.
    pub fn names(&self) -> io::Result<Vec<(Vec<u8>, Node)>> {
        let mut names = Vec::new();
        for entry in fs::Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.stat(name)? {
                    Some(stat) => stat.node,
                    None => continue,
                },
                kind => node(kind),
            };
            names.push((name.to_vec(), kind));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(names)
    }
}

/// What an open file is.
pub fn stat_file(file: &File) -> io::Result<Stat> {
    Ok(stat_open(file.as_fd())?.0)
}

/// What is open, and who told its mount.
pub fn stat_open(fd: BorrowedFd<'_>) -> io::Result<(Stat, mounts::Told)> {
    match fs::statx(fd, "", AtFlags::EMPTY_PATH, STATS) {
        Ok(statx) if StatxFlags::from_bits_retain(statx.stx_mask).contains(StatxFlags::MNT_ID) => {
            return Ok((Stat::new(&statx), mounts::Told::Statx));
        }
        Ok(_) | Err(Errno::NOSYS | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let stat = fs::fstat(fd)?;
    let (mount, told) = mounts::of(fd, stat.st_dev)?;
    Ok((Stat::old(&stat, mount), told))
}

/// Shows a name that may be anything: as it is, or escaped if it is not UTF-8 or holds a control character.
pub fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_is_reached() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let inside = tempfile::tempdir().unwrap();
        symlink(outside.path(), inside.path().join("door")).unwrap();
        symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
        let root = Dir::root(inside.path().to_str().unwrap()).unwrap();
        let up = format!("../{}", outside.path().file_name().unwrap().to_str().unwrap());
        for path in ["door", "..", up.as_str(), outside.path().to_str().unwrap()] {
            assert!(root.dir(path).is_err(), "{path}");
        }
        assert!(root.open("file").is_err());
        assert!(root.create("file").is_err());
        assert!(root.open_or_create("file").is_err());
        assert!(root.append("file").is_err());
        assert_eq!(root.stat("file").unwrap().map(|stat| stat.node), Some(Node::Link));
    }

    #[test]
    fn a_root_may_be_a_link() {
        let real = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let link = other.path().join("root");
        symlink(real.path(), &link).unwrap();
        Dir::root(link.to_str().unwrap()).unwrap().create("x").unwrap();
        assert!(real.path().join("x").exists());
    }

    #[test]
    fn names_are_sorted_and_shown_escaped() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tempfile::tempdir().unwrap();
        for name in [b"b".as_slice(), b"a\xff", b"a\nb"] {
            std::fs::write(tree.path().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        }
        let names = Dir::root(tree.path().to_str().unwrap()).unwrap().names().unwrap();
        let names: Vec<_> = names.iter().map(|(name, _)| shown(name)).collect();
        assert_eq!(names, ["a\\nb", "a\\xff", "b"]);
    }
}
