//! What the kernel and the file system below a root can do, and what is done where they cannot.
//!
//! What a look can tell is told from the open root. Whether entries can be exchanged shows only when it is
//! tried: every apply tries it on its own files before its commit point, and leaves a note in the state
//! directory where something is missing. Nothing here is believed by a switch, which tries each time.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::HostError;
use super::beneath::{Dir, Opening};
use super::layers::OVERLAY;
use super::mounts::Told;
use super::state::{Ground, failed, name, read};
use super::swap::Means;

/// The note's name, in the state directory.
const NOTE: &str = "without";
/// Its name while it is written.
const SCRATCH: &str = "without.new";
const EXCHANGE: &str = "exchange";
const NO_REPLACE: &str = "no-replace";

/// What there is below one root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// The file system of the root, by name where it is a common one.
    pub file_system: String,
    /// Two entries change places in one step (`RENAME_EXCHANGE`).
    pub exchange: Support,
    /// An entry is moved only to where nothing is (`RENAME_NOREPLACE`).
    pub no_replace: Support,
    /// A path is resolved beneath a directory in one call (`openat2`).
    pub openat2: Support,
    /// The kernel tells on which mount something lies, with everything else (`statx`).
    pub mount_ids: Support,
    /// A whole file system is made durable in one call that reports errors (`syncfs`).
    pub syncfs: Support,
}

/// Whether there is one feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Support {
    /// It is there.
    Present,
    /// It is not.
    Missing {
        /// What is done instead, and what that costs.
        instead: String,
    },
    /// Not known yet: only an apply may try it.
    Untried,
}

impl Features {
    /// Everything, on a file system of this name.
    pub fn all(file_system: &str) -> Self {
        Self {
            file_system: file_system.into(),
            exchange: Support::Present,
            no_replace: Support::Present,
            openat2: Support::Present,
            mount_ids: Support::Present,
            syncfs: Support::Present,
        }
    }

    /// Each feature by its name.
    pub fn each(&self) -> [(&'static str, &Support); 5] {
        [
            ("exchange", &self.exchange),
            ("no-replace", &self.no_replace),
            ("openat2", &self.openat2),
            ("mount-ids", &self.mount_ids),
            ("syncfs", &self.syncfs),
        ]
    }
}

/// What can be told without writing anything.
pub fn features(ground: &Ground) -> Result<Features, HostError> {
    let root = &ground.root;
    let kind = root.file_system().map_err(failed("look at the file system of", ground.at.as_str()))?;
    let state = ground.state()?;
    let tried = match &state {
        Some(state) => {
            let record = state.stat(name::RECORD).map_err(failed("look at", ".packfleet/record"))?;
            let note = read(state, NOTE).map_err(failed("read", ".packfleet/without"))?;
            record.map(|_| String::from_utf8_lossy(&note.unwrap_or_default()).into_owned())
        }
        None => None,
    };
    let in_note = |what: &str, instead: &str| match &tried {
        None => Support::Untried,
        Some(note) if note.lines().any(|line| line == what) => missing(instead),
        Some(_) => Support::Present,
    };
    let present = |there: bool, instead: &str| if there { Support::Present } else { missing(instead) };
    Ok(Features {
        file_system: file_system_name(kind),
        exchange: in_note(
            EXCHANGE,
            "a file is moved aside and the new one linked in its place: no edit is lost, but for a moment the \
             path is absent to a reader",
        ),
        no_replace: in_note(
            NO_REPLACE,
            "a file is linked, which fails where one is, and its old name removed",
        ),
        openat2: present(
            root.opening() == Opening::Whole,
            "directories are opened one by one, each by name in the one above, through no link and on one \
             mount: slower, as safe",
        ),
        mount_ids: match root.mount_ids() {
            Told::Statx => Support::Present,
            Told::Proc => missing("mounts are told apart by /proc/self/fdinfo: slower, as safe"),
            Told::Device => missing(
                "devices are compared, which does not tell two mounts of one file system apart: a switch \
                 that meets one is taken back",
            ),
        },
        syncfs: present(
            root.has_syncfs(),
            "files and directories are made durable one by one: slower, as safe",
        ),
    })
}

fn missing(instead: &str) -> Support {
    Support::Missing { instead: instead.into() }
}

/// Leaves word of what an apply found missing, or takes back what is there by now.
pub fn note(state: &Dir, means: Means) -> io::Result<()> {
    let text = match means {
        Means::Exchange => None,
        Means::NoReplace => Some(format!("{EXCHANGE}\n")),
        Means::Links => Some(format!("{EXCHANGE}\n{NO_REPLACE}\n")),
    };
    let gone = |name: &str| match state.unlink(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    let Some(text) = text else {
        return if state.stat(NOTE)?.is_some() { gone(NOTE) } else { Ok(()) };
    };
    if read(state, NOTE)?.is_some_and(|known| known == text.as_bytes()) {
        return Ok(());
    }
    gone(SCRATCH)?;
    state.create(SCRATCH)?.write_all(text.as_bytes())?;
    state.replace(SCRATCH, state, NOTE)
}

fn file_system_name(kind: i64) -> String {
    let known = match kind {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        OVERLAY => "overlayfs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x0102_1997 => "9p",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x4d44 => "vfat",
        0xca45_1a4e => "bcachefs",
        _ => return format!("{kind:#x}"),
    };
    known.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_says_what_the_last_apply_found() {
        let tree = tempfile::tempdir().unwrap();
        let state = Dir::root(tree.path().to_str().unwrap()).unwrap();
        for (means, text) in [
            (Means::Exchange, None),
            (Means::Links, Some("exchange\nno-replace\n")),
            (Means::Links, Some("exchange\nno-replace\n")),
            (Means::NoReplace, Some("exchange\n")),
            (Means::Exchange, None),
        ] {
            note(&state, means).unwrap();
            let found = std::fs::read_to_string(tree.path().join(NOTE)).ok();
            assert_eq!(found.as_deref(), text, "{means:?}");
        }
    }
}
