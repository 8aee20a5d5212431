//! Which mount something lies on, where `statx` does not tell: Linux before 5.8, or a filter on calls.
//!
//! The kernel says it in `/proc/self/fdinfo` since 3.15, for every open descriptor. Without that there
//! is the number of the device, which does not tell a second mount of the same file system from the first;
//! a rename across them then fails with `EXDEV` or `EBUSY`, and the switch is taken back.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Who tells mounts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `statx`, with everything else.
    Statx,
    /// `/proc`, for one descriptor at a time.
    Proc,
    /// Nobody: devices are compared.
    Device,
}

/// The id of an open descriptor's mount, or else of its device.
pub fn of(fd: BorrowedFd<'_>, device: u64) -> (u64, Told) {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
    match info.ok().as_deref().and_then(mount_id) {
        Some(id) => (id, Told::Proc),
        None => (device, Told::Device),
    }
}

fn mount_id(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::host::beneath::stat_file;

    #[test]
    fn proc_tells_what_statx_tells() {
        for place in ["/", "/proc"] {
            let file = std::fs::File::open(place).unwrap();
            if let (id, Told::Proc) = of(file.as_fd(), 0) {
                assert_eq!(id, stat_file(&file).unwrap().mount, "{place}");
            } else {
                eprintln!("SKIPPED: /proc tells no mount ids");
            }
        }
        assert_eq!(mount_id("pos:\t0\nflags:\t02\nmnt_id:\t31\n"), Some(31));
        assert_eq!(mount_id("pos:\t0\n"), None);
    }
}
