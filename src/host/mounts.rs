//! Which mount something lies on, where `statx` does not tell: Linux before 5.8, or a filter on calls.
//!
//! The kernel says it in `/proc/self/fdinfo` since 3.15, for every open descriptor. Without that there
//! is the number of the device, which does not tell a second mount of the same file system from the first;
//! a rename across them then fails with `EXDEV` or `EBUSY`, and the switch is taken back.

use std::io;
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
pub fn of(fd: BorrowedFd<'_>, device: u64) -> io::Result<(u64, Told)> {
    told(std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())), device)
}

/// What was read says. One failure among answers must not become a device among mounts: that would be another
/// mount, and what lies there would count as absent.
fn told(info: io::Result<String>, device: u64) -> io::Result<(u64, Told)> {
    let id = match info {
        Ok(info) => mount_id(&info),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(id.map_or((device, Told::Device), |id| (id, Told::Proc)))
}

fn mount_id(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::*;
    use crate::host::beneath::stat_file;

    #[test]
    fn proc_tells_what_statx_tells() {
        for place in ["/", "/proc"] {
            let file = std::fs::File::open(place).unwrap();
            if let (id, Told::Proc) = of(file.as_fd(), 0).unwrap() {
                assert_eq!(id, stat_file(&file).unwrap().mount, "{place}");
            } else {
                eprintln!("SKIPPED: /proc tells no mount ids");
            }
        }
        assert_eq!(mount_id("pos:\t0\nflags:\t02\nmnt_id:\t31\n"), Some(31));
        assert_eq!(mount_id("pos:\t0\n"), None);
    }

    #[test]
    fn only_where_nothing_tells_mounts_is_the_device_taken() {
        let refused = |errno: Errno| told(Err(errno.into()), 7);
        assert_eq!(refused(Errno::NOENT).unwrap(), (7, Told::Device));
        assert_eq!(told(Ok("pos:\t0\n".into()), 7).unwrap(), (7, Told::Device));
        assert_eq!(told(Ok("mnt_id:\t31\n".into()), 7).unwrap(), (31, Told::Proc));
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::IO] {
            assert_eq!(Errno::from_io_error(&refused(errno).unwrap_err()), Some(errno));
        }
    }
}
