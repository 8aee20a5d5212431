//! Two entries that change places, and one that goes where nothing is, where `renameat2` cannot do it.
//!
//! ```text
//! slot A, live B      live ─► slot.out      whatever lies there: nobody's bytes are written over
//!                     slot ─► live          linked, and only if nothing is there
//!                     slot.out ─► slot      slot B, live A
//! ```
//! No edit is lost: each step takes what is there or refuses. What is given up is the reader: between the
//! first step and the second the path is absent to it. A crash leaves `slot.out` behind, and [`mend`] ends
//! what was begun. Packfleet's own files, which nobody else writes, are linked aside and written over, so
//! that they are there at every moment.

use std::io;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::beneath::{Dir, Node, Stat};

/// The flag, or the call, is not to be had here.
pub fn unsupported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP))
}

/// Where what came out lies until it has its slot.
pub fn aside(slot: &str) -> String {
    format!("{slot}.out")
}

/// What a file system can do of what a switch needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Exchange, and moving where nothing is.
    Exchange,
    /// Of the two only moving where nothing is.
    NoReplace,
    /// Neither, but links.
    Links,
}

/// Tries it on two files of packfleet's own; both are afterwards as before. An error where a switch is not
/// possible.
pub fn means(own: &Dir, one: &str, two: &str) -> io::Result<Means> {
    const PROBE: &str = "probe";
    match own.rename(one, own, two, RenameFlags::EXCHANGE) {
        Err(error) if unsupported(&error) => {}
        exchanged => {
            exchanged?;
            return own.rename(one, own, two, RenameFlags::EXCHANGE).map(|()| Means::Exchange);
        }
    }
    own.link(one, own, PROBE)?;
    let moved = own.rename(PROBE, own, &aside(PROBE), RenameFlags::NOREPLACE);
    match moved {
        Err(error) if unsupported(&error) => own.unlink(PROBE).map(|()| Means::Links),
        moved => moved.and_then(|()| own.unlink(&aside(PROBE))).map(|()| Means::NoReplace),
    }
}

/// Exchanges an entry of packfleet's own directory with a live one.
pub fn exchange(own: &Dir, slot: &str, live: &Dir, name: &str) -> io::Result<()> {
    if own.stat(slot)?.is_none() {
        return Err(Errno::NOENT.into());
    }
    let out = aside(slot);
    live.take_to(name, own, &out)?;
    match place(own, slot, live, name) {
        Ok(()) => settle(own, slot),
        // Somebody put something there meanwhile: who called looks at all three.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(error) => {
            let _mended_later = put(own, &out, live, name).is_err();
            Err(error)
        }
    }
}

/// Exchanges two entries that nobody else writes; the second is there at every moment.
pub fn exchange_own(own: &Dir, slot: &str, other: &Dir, name: &str) -> io::Result<()> {
    mend_own(own, slot)?;
    let out = aside(slot);
    other.link(name, own, &out)?;
    own.replace(slot, other, name)?;
    own.replace(&out, own, slot)
}

/// Ends, or takes back, an exchange of packfleet's own files that was cut short.
pub fn mend_own(own: &Dir, slot: &str) -> io::Result<()> {
    let out = aside(slot);
    if own.stat(&out)?.is_none() {
        return Ok(());
    }
    if own.stat(slot)?.is_some() { own.unlink(&out) } else { own.replace(&out, own, slot) }
}

/// Moves an entry of packfleet's own directory to where nothing is.
pub fn put(own: &Dir, slot: &str, live: &Dir, name: &str) -> io::Result<()> {
    place(own, slot, live, name)?;
    match own.unlink(slot) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Moves a live entry to a name of packfleet's own directory, where nobody else puts anything.
pub fn take(live: &Dir, name: &str, own: &Dir, slot: &str) -> io::Result<()> {
    if own.stat(slot)?.is_some() {
        return Err(Errno::EXIST.into());
    }
    live.replace(name, own, slot)
}

/// Ends an exchange that was cut short, or sorts what it left if something else lies at the path by now:
/// of the two entries that were to change places one is kept in the slot, and both if neither is to
/// `spare`. `live` is the directory of the path, if it can be reached.
pub fn mend(
    own: &Dir,
    slot: &str,
    live: Option<&Dir>,
    name: &str,
    mut spare: impl FnMut(&str) -> io::Result<bool>,
) -> io::Result<()> {
    let out = aside(slot);
    let Some(came_out) = own.stat(&out)? else { return Ok(()) };
    let found = live.map(|live| live.stat(name)).transpose()?.flatten();
    let same = |a: &Stat, b: &Stat| (a.inode, a.mount) == (b.inode, b.mount);
    match (own.stat(slot)?, found, live) {
        (None, ..) => settle(own, slot),
        (Some(staged), Some(found), _) if same(&staged, &found) => settle(own, slot),
        (Some(_), Some(found), _) if same(&came_out, &found) => own.unlink(&out),
        (Some(_), None, Some(live)) => place(own, slot, live, name).and_then(|()| settle(own, slot)),
        (Some(_), ..) => match (spare(slot)?, spare(&out)?) {
            (true, _) => settle(own, slot),
            (false, true) => own.unlink(&out),
            (false, false) => Ok(()),
        },
    }
}

/// What came out takes the slot.
fn settle(own: &Dir, slot: &str) -> io::Result<()> {
    match own.replace(&aside(slot), own, slot) {
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::ISDIR)) => {
            own.unlink(slot)?;
            own.replace(&aside(slot), own, slot)
        }
        settled => settled,
    }
}

/// Puts an entry of packfleet's own directory where nothing is. Its own name may stay as a second one.
fn place(own: &Dir, slot: &str, live: &Dir, name: &str) -> io::Result<()> {
    let Some(staged) = own.stat(slot)? else { return Err(Errno::NOENT.into()) };
    let nothing_there = || match live.stat(name)? {
        None => Ok(()),
        Some(_) => Err(io::Error::from(Errno::EXIST)),
    };
    if staged.node == Node::Directory {
        // At worst an empty directory of somebody's is replaced by this one.
        nothing_there()?;
        return own.replace(slot, live, name);
    }
    match own.link(slot, live, name) {
        Err(error) => match Errno::from_io_error(&error) {
            // Linked before a crash.
            Some(Errno::EXIST)
                if live
                    .stat(name)?
                    .is_some_and(|found| (found.inode, found.mount) == (staged.inode, staged.mount)) =>
            {
                Ok(())
            }
            // Links to files of other users can be forbidden.
            Some(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                match own.rename(slot, live, name, RenameFlags::NOREPLACE) {
                    Err(error) if unsupported(&error) => {
                        nothing_there()?;
                        own.replace(slot, live, name)
                    }
                    moved => moved,
                }
            }
            _ => Err(error),
        },
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    struct Stand {
        tree: tempfile::TempDir,
        own: Dir,
        live: Dir,
    }

    impl Stand {
        fn new() -> Self {
            let tree = tempfile::tempdir().unwrap();
            fs::create_dir(tree.path().join("own")).unwrap();
            fs::create_dir(tree.path().join("live")).unwrap();
            fs::write(tree.path().join("own/1"), "new").unwrap();
            fs::write(tree.path().join("live/f"), "old").unwrap();
            let root = Dir::root(tree.path().to_str().unwrap()).unwrap();
            let (own, live) = (root.dir("own").unwrap(), root.dir("live").unwrap());
            Self { tree, own, live }
        }

        fn at(&self, name: &str) -> std::path::PathBuf {
            self.tree.path().join(name)
        }

        /// Slot, what is aside, live.
        fn found(&self) -> [Option<String>; 3] {
            ["own/1", "own/1.out", "live/f"].map(|name| fs::read_to_string(self.at(name)).ok())
        }

        fn mend(&self, spare: &str) {
            let is = |name: &str| {
                Ok(fs::read_to_string(self.at("own").join(name)).is_ok_and(|text| text == spare))
            };
            mend(&self.own, "1", Some(&self.live), "f", is).unwrap();
        }
    }

    fn texts(list: [&str; 3]) -> [Option<String>; 3] {
        list.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    fn link(from: &Path, to: &Path) {
        fs::hard_link(from, to).unwrap();
    }

    #[test]
    fn two_entries_change_places_and_back() {
        let stand = Stand::new();
        exchange(&stand.own, "1", &stand.live, "f").unwrap();
        assert_eq!(stand.found(), texts(["old", "", "new"]));
        exchange(&stand.own, "1", &stand.live, "f").unwrap();
        assert_eq!(stand.found(), texts(["new", "", "old"]));
        fs::remove_file(stand.at("live/f")).unwrap();
        fs::create_dir(stand.at("live/f")).unwrap();
        fs::write(stand.at("live/f/x"), "x").unwrap();
        for _ in 0..3 {
            exchange(&stand.own, "1", &stand.live, "f").unwrap();
        }
        assert_eq!(fs::read_to_string(stand.at("own/1/x")).unwrap(), "x");
        assert_eq!(fs::read_to_string(stand.at("live/f")).unwrap(), "new");
        assert_eq!(exchange(&stand.own, "1", &stand.live, "g").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(exchange(&stand.own, "2", &stand.live, "f").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_was_cut_short_is_ended() {
        let done = texts(["old", "", "new"]);
        let stand = Stand::new();
        fs::rename(stand.at("live/f"), stand.at("own/1.out")).unwrap();
        stand.mend("new");
        assert_eq!(stand.found(), done, "between the first step and the second");
        let stand = Stand::new();
        fs::rename(stand.at("live/f"), stand.at("own/1.out")).unwrap();
        link(&stand.at("own/1"), &stand.at("live/f"));
        stand.mend("new");
        assert_eq!(stand.found(), done, "between the second and the third");
        let stand = Stand::new();
        link(&stand.at("live/f"), &stand.at("own/1.out"));
        stand.mend("new");
        assert_eq!(stand.found(), texts(["new", "", "old"]), "while it was taken back");
        stand.mend("new");
        assert_eq!(stand.found(), texts(["new", "", "old"]), "nothing to mend");
    }

    #[test]
    fn somebodys_new_file_stays_and_what_came_out_is_kept() {
        let cut = || {
            let stand = Stand::new();
            fs::rename(stand.at("live/f"), stand.at("own/1.out")).unwrap();
            fs::write(stand.at("live/f"), "theirs").unwrap();
            stand
        };
        for (spare, slot, aside) in [("new", "old", ""), ("old", "new", ""), ("other", "new", "old")] {
            let stand = cut();
            stand.mend(spare);
            assert_eq!(stand.found(), texts([slot, aside, "theirs"]), "{spare}");
        }
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let stand = Stand::new();
        for node in ["file", "directory"] {
            if node == "directory" {
                fs::remove_file(stand.at("own/1")).unwrap();
                fs::create_dir(stand.at("own/1")).unwrap();
            }
            let taken = [put(&stand.own, "1", &stand.live, "f"), take(&stand.live, "f", &stand.own, "1")];
            for error in taken.map(Result::unwrap_err) {
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{node}");
            }
        }
        put(&stand.own, "1", &stand.live, "g").unwrap();
        assert!(stand.at("live/g").is_dir());
        take(&stand.live, "f", &stand.own, "1").unwrap();
        assert_eq!(stand.found(), texts(["old", "", ""]));
        put(&stand.own, "1", &stand.live, "f").unwrap();
        assert_eq!(stand.found(), texts(["", "", "old"]));
    }

    #[test]
    fn own_files_are_there_at_every_moment() {
        let stand = Stand::new();
        exchange_own(&stand.own, "1", &stand.live, "f").unwrap();
        assert_eq!(stand.found(), texts(["old", "", "new"]));
        link(&stand.at("live/f"), &stand.at("own/1.out"));
        exchange_own(&stand.own, "1", &stand.live, "f").unwrap();
        assert_eq!(stand.found(), texts(["new", "", "old"]), "cut after the first step, done again");
        link(&stand.at("live/f"), &stand.at("own/1.out"));
        fs::rename(stand.at("own/1"), stand.at("live/f")).unwrap();
        mend_own(&stand.own, "1").unwrap();
        assert_eq!(stand.found(), texts(["old", "", "new"]), "cut after the second");
    }

    #[test]
    fn what_the_file_system_can_do_is_tried_without_a_trace() {
        let stand = Stand::new();
        fs::write(stand.at("own/2"), "two").unwrap();
        means(&stand.own, "1", "2").unwrap();
        assert_eq!(fs::read_to_string(stand.at("own/1")).unwrap(), "new");
        assert_eq!(fs::read_dir(stand.at("own")).unwrap().count(), 2);
    }
}
