//! One run at a time on a root.
//!
//! The kernel holds the lock for the open file and frees it when the process ends, however it ends; the
//! file stays and means nothing by itself. Its text tells the second one who was first.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};

use jiff::Timestamp;

use super::HostError;
use super::beneath::Dir;
use super::state::{failed, name};
use crate::model::HostPath;

/// The lock of one root; freed when dropped.
#[derive(Debug)]
#[must_use]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting holds a copy of the
        // open file until it runs its program, and would keep the lock as long.
        let _freed_by_closing = self.0.unlock().is_err();
    }
}

impl Lock {
    /// Takes the lock at once or says who has it.
    pub fn take(state: &Dir, at: &HostPath) -> Result<Self, HostError> {
        let mut file = state.open_or_create(name::LOCK).map_err(failed("open", ".packfleet/lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut by = String::new();
                let _unreadable_is_unknown = (&file).take(200).read_to_string(&mut by).is_err();
                let by = by.lines().next().filter(|line| !line.chars().any(char::is_control));
                let by = by.unwrap_or("another run").to_owned();
                return Err(HostError::Locked { root: at.clone(), by });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", ".packfleet/lock")(error)),
        }
        let user = rustix::process::geteuid().as_raw();
        let now = Timestamp::now().strftime("%FT%TZ");
        let line = format!("process {} of user {user}, since {now}\n", std::process::id());
        // On a full disk the second one learns less; that is no reason to stop the first.
        let _anonymous = file.set_len(0).and_then(|()| file.write_all(line.as_bytes())).is_err();
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_was_first() {
        let tree = tempfile::tempdir().unwrap();
        let state = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let at = HostPath::new("/r").unwrap();
        let first = Lock::take(&state, &at).unwrap();
        let Err(HostError::Locked { by, .. }) = Lock::take(&state, &at) else { panic!("two locks") };
        assert!(by.starts_with(&format!("process {} of user ", std::process::id())), "{by}");
        drop(first);
        let _again = Lock::take(&state, &at).unwrap();
    }
}
