//! What only a disk can show: inodes, owners, modes, links planted by others, damaged state, clocks.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use packfleet::host::{Applied, HostError, Seen, Trust};
use packfleet::model::{Content, Entry, Kind};
use rustix::fs::{IFlags, XattrFlags};

use crate::world::*;

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Everything below a directory that a write would change.
fn traces(at: &Path) -> Vec<(String, u64, i64, i64, u32)> {
    let mut found = Vec::new();
    let mut waiting = vec![at.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = path.symlink_metadata().unwrap();
        let name = path.display().to_string();
        found.push((name, meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.mode()));
        if meta.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

#[test]
fn looking_and_recovering_nothing_write_nothing() {
    let disk = OnDisk::new();
    let wanted = files(&[("a/f", "x"), ("l@", "a")]);
    done(disk.host(), &wanted, "1");
    let before = traces(&disk.root());
    for trust in [Trust::StatCache, Trust::Nothing] {
        let mut look = look(&wanted);
        look.trust = trust;
        look.list = vec![None];
        disk.host().observe(&look).unwrap();
    }
    disk.host().recover(&look(&wanted), &Default::default()).unwrap();
    apply(disk.host(), &wanted, "1").unwrap();
    disk.host().history().unwrap();
    disk.host().generations().unwrap();
    disk.host().kept(Content::of(b"none")).unwrap();
    disk.host().edits().unwrap();
    assert_eq!(traces(&disk.root()), before);
}

#[test]
fn what_is_not_in_the_plan_keeps_its_inode_and_a_hard_link_its_bytes() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a/f", "one"), ("a/same", "same")]), "1");
    let other = disk.directory.path().join("other-name");
    fs::hard_link(disk.root().join("a/f"), &other).unwrap();
    let before = disk.root().join("a/same").metadata().unwrap();
    done(disk.host(), &files(&[("a/f", "two"), ("a/same", "same")]), "2");
    let after = disk.root().join("a/same").metadata().unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(fs::read(&other).unwrap(), b"one");
    assert_eq!(fs::read(disk.root().join("a/f")).unwrap(), b"two");
}

#[test]
fn modes_stay_or_follow_the_directory() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a/f", "1"), ("a/up", "1"), ("a/down*", "1"), ("a/x*", "1")]), "1");
    let root = disk.root();
    for (name, bits) in [("a/f", 0o640), ("a/up", 0o640), ("a/down", 0o751), ("a/x", 0o710)] {
        set_mode(&root.join(name), bits);
    }
    set_mode(&root.join("a"), 0o750);
    let two = files(&[("a/f", "2"), ("a/up*", "2"), ("a/down", "2"), ("a/x*", "2"), ("a/n/y*", "2")]);
    done(disk.host(), &two, "2");
    for (name, bits) in [
        ("a/f", 0o640),
        ("a/up", 0o750),
        ("a/down", 0o640),
        ("a/x", 0o710),
        ("a/n", 0o750),
        ("a/n/y", 0o750),
        (".packfleet", 0o700),
        (".packfleet/record", 0o600),
    ] {
        assert_eq!(mode(&root.join(name)), bits, "{name}: {:o}", mode(&root.join(name)));
    }
}

#[test]
fn what_comes_from_another_path_is_read_by_nobody_else_than_there() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("old", "one")]), "1");
    let root = disk.root();
    fs::write(root.join("old"), "mine").unwrap();
    set_mode(&root.join("old"), 0o600);
    let wanted = files(&[("a/new", "mine")]);
    let mut plan = plan(disk.host(), &wanted, "2");
    plan.renames = [(path("a/new"), path("old"))].into();
    let applied = disk.host().apply(&commit(&plan), &Store::of(&wanted)).unwrap();
    assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
    assert_eq!(mode(&root.join("a/new")), 0o600);
    assert!(!root.join("old").exists());
}

#[test]
fn set_uid_is_not_passed_on_to_other_bytes() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("x*", "1")]), "1");
    set_mode(&disk.root().join("x"), 0o6755);
    done(disk.host(), &files(&[("x*", "2")]), "2");
    assert_eq!(mode(&disk.root().join("x")), 0o755);
}

#[test]
fn owner_and_group_stay_or_follow_the_directory() {
    if !is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a/f", "1"), ("a/l@", "1")]), "1");
    let own = |name: &str, uid, gid| {
        std::os::unix::fs::lchown(disk.root().join(name), Some(uid), Some(gid)).unwrap();
    };
    own("a", 1001, 1002);
    own("a/f", 1003, 1004);
    own("a/l", 1005, 1006);
    done(disk.host(), &files(&[("a/f", "2"), ("a/l@", "2"), ("a/n/new", "2"), ("a/nl@", "2")]), "2");
    for (name, uid, gid) in [
        ("a/f", 1003, 1004),
        ("a/l", 1005, 1006),
        ("a/n", 1001, 1002),
        ("a/n/new", 1001, 1002),
        ("a/nl", 1001, 1002),
    ] {
        let meta = disk.root().join(name).symlink_metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (uid, gid), "{name}");
    }
}

/// The kernel's form of an access list.
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        bytes.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn a_default_list_of_the_root_reaches_no_file_by_way_of_the_stage() {
    let disk = OnDisk::new();
    fs::create_dir(disk.root()).unwrap();
    let none = u32::MAX;
    let list = access_list(&[(1, 7, none), (2, 7, 77), (4, 5, none), (16, 7, none), (32, 5, none)]);
    let root = File::open(disk.root()).unwrap();
    let attribute = "system.posix_acl_default";
    if rustix::fs::fsetxattr(&root, attribute, &list, XattrFlags::empty()).is_err() {
        eprintln!("SKIPPED: no access lists on this file system");
        return;
    }
    done(disk.host(), &files(&[("f", "1")]), "1");
    let access = "system.posix_acl_access";
    let file = || File::open(disk.root().join("f")).unwrap();
    assert!(rustix::fs::fgetxattr(file(), access, vec![0; 256].as_mut_slice()).is_ok());
    rustix::fs::fremovexattr(file(), access).unwrap();
    set_mode(&disk.root().join("f"), 0o640);
    done(disk.host(), &files(&[("f", "2")]), "2");
    assert!(rustix::fs::fgetxattr(file(), access, vec![0; 256].as_mut_slice()).is_err());
    assert_eq!(mode(&disk.root().join("f")), 0o640);
}

#[test]
fn attributes_and_access_lists_are_kept_and_never_widened() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a/f", "1"), ("a/g", "1")]), "1");
    let file = |name: &str| File::open(disk.root().join(name)).unwrap();
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::fsetxattr(file(name), attribute, value, XattrFlags::empty())
    };
    let get = |name: &str, attribute: &str| {
        let mut value = vec![0; 256];
        let size = rustix::fs::fgetxattr(file(name), attribute, value.as_mut_slice()).ok()?;
        value.truncate(size);
        Some(value)
    };
    // owner rw-, user 77 r--, group ---, mask r--, other ---
    let list = access_list;
    let none = u32::MAX;
    let access = list(&[(1, 6, none), (2, 4, 77), (4, 0, none), (16, 4, none), (32, 0, none)]);
    let default = list(&[(1, 7, none), (2, 5, 77), (4, 0, none), (16, 7, none), (32, 0, none)]);
    let supported = set("a/f", "user.note", b"kept").is_ok()
        && set("a/f", "system.posix_acl_access", &access).is_ok()
        && set("a", "system.posix_acl_default", &default).is_ok();
    if !supported {
        eprintln!("SKIPPED: no attributes or access lists on this file system");
        return;
    }
    done(disk.host(), &files(&[("a/f", "2"), ("a/g", "2"), ("a/n", "2"), ("a/d/x*", "2")]), "2");
    assert_eq!(get("a/f", "user.note").as_deref(), Some(b"kept".as_slice()));
    assert_eq!(get("a/f", "system.posix_acl_access"), Some(access.clone()));
    assert_eq!(get("a/g", "system.posix_acl_access"), None, "the state directory passes nothing on");
    let new = list(&[(1, 6, none), (2, 5, 77), (4, 0, none), (16, 6, none), (32, 0, none)]);
    assert_eq!(get("a/n", "system.posix_acl_access"), Some(new));
    assert_eq!(get("a/d", "system.posix_acl_default"), Some(default.clone()));
    assert_eq!(get("a/d/x", "system.posix_acl_access"), Some(default));

    // The group's bits of a mode with a list are its mask: what is new must not get them.
    done(disk.host(), &files(&[]), "");
    disk.make_directory("a");
    set_mode(&disk.root().join("a"), 0o770);
    let closed = list(&[(1, 7, none), (2, 7, 77), (4, 0, none), (16, 7, none), (32, 0, none)]);
    set("a", "system.posix_acl_access", &closed).unwrap();
    done(disk.host(), &files(&[("a/f", "3")]), "3");
    assert_eq!(mode(&disk.root().join("a/f")), 0o600);
}

#[test]
fn a_state_directory_that_is_not_ours_is_refused() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("others may reach", |state| set_mode(state, 0o750)),
        ("symbolic link", |state| {
            fs::rename(state, state.with_extension("real")).unwrap();
            symlink(state.with_extension("real"), state).unwrap();
        }),
        ("not a directory", |state| {
            fs::remove_dir_all(state).unwrap();
            fs::write(state, "").unwrap();
        }),
        ("belongs to user 77", |state| std::os::unix::fs::chown(state, Some(77), None).unwrap()),
    ];
    for (words, spoil) in spoils {
        if words.contains("user") && !is_root() {
            eprintln!("SKIPPED: only root can give a directory away");
            continue;
        }
        let disk = OnDisk::new();
        let wanted = files(&[("a", "1")]);
        done(disk.host(), &wanted, "1");
        let plan = plan(disk.host(), &files(&[("a", "2")]), "2");
        spoil(&disk.root().join(".packfleet"));
        let errors = [
            disk.host().observe(&look(&wanted)).map(drop).unwrap_err(),
            disk.host().apply(&commit(&plan), &Store::of(&files(&[("a", "2")]))).map(drop).unwrap_err(),
            disk.host().recover(&look(&wanted), &Default::default()).map(drop).unwrap_err(),
            disk.host().edits().map(drop).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, HostError::State { .. }), "{words}: {error:?}");
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
        assert_eq!(fs::read(disk.root().join("a")).unwrap(), b"1");
    }
}

#[test]
fn a_state_directory_that_was_copied_elsewhere_is_refused() {
    let (one, two) = (OnDisk::new(), OnDisk::new());
    done(one.host(), &files(&[("a", "1")]), "1");
    fs::rename(one.root(), two.root()).unwrap();
    let refused = two.host().observe(&look(&files(&[])));
    assert!(matches!(refused, Err(HostError::State { .. })), "{refused:?}");
}

#[test]
fn damaged_state_is_told_and_nothing_is_touched() {
    for (name, refuses_looks) in [("record", true), ("journal", true)] {
        let disk = OnDisk::new();
        let (one, two) = (files(&[("a", "1")]), files(&[("a", "2")]));
        done(disk.host(), &one, "1");
        let plan = plan(disk.host(), &two, "2");
        let file = disk.root().join(".packfleet").join(name);
        let mut bytes = fs::read(&file).unwrap_or_else(|_| b"no journal at all".to_vec());
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        let refused = disk.host().apply(&commit(&plan), &Store::of(&two));
        assert!(matches!(refused, Err(HostError::Damaged { .. })), "{name}: {refused:?}");
        let looked = disk.host().observe(&look(&one));
        assert_eq!(looked.is_err(), refuses_looks, "{name}");
        assert_eq!(managed(disk.files()), one, "{name}");
    }
}

#[test]
fn a_link_planted_between_plan_and_apply_leads_nowhere() {
    let one = files(&[("a/b/f", "1"), ("a/b/gone", "1")]);
    let two = files(&[("a/b/f", "2"), ("a/b/n/new", "2")]);
    for at in ["a", "a/b", "a/b/n"] {
        let disk = OnDisk::new();
        done(disk.host(), &one, "1");
        let plan = plan(disk.host(), &two, "2");
        let outside = disk.directory.path().join("outside");
        fs::create_dir_all(outside.join("b/n")).unwrap();
        for name in ["f", "gone", "b/f", "b/gone"] {
            fs::write(outside.join(name), "1").unwrap();
        }
        let before = traces(&outside);
        let spot = disk.root().join(at);
        if spot.exists() {
            fs::rename(&spot, disk.directory.path().join("moved")).unwrap();
        }
        symlink(&outside, &spot).unwrap();
        let applied = disk.host().apply(&commit(&plan), &Store::of(&two));
        assert!(
            matches!(applied, Ok(Applied::Moved { .. }) | Err(HostError::Unfit { .. })),
            "{at}: {applied:?}"
        );
        assert_eq!(traces(&outside), before, "{at}");
        assert!(spot.is_symlink(), "{at}");
    }
}

#[test]
fn a_root_may_be_a_link() {
    let disk = OnDisk::new();
    let real = disk.directory.path().join("real");
    fs::create_dir(&real).unwrap();
    symlink(&real, disk.root()).unwrap();
    done(disk.host(), &files(&[("a/f", "1")]), "1");
    assert_eq!(fs::read(real.join("a/f")).unwrap(), b"1");
    assert!(disk.root().is_symlink());
}

#[test]
fn what_cannot_be_switched_is_found_before_anything_is_touched() {
    let disk = OnDisk::new();
    let one = files(&[("a/f", "1"), ("b/g", "1")]);
    let two = files(&[("a/f", "2"), ("b/g", "2")]);
    done(disk.host(), &one, "1");
    for (name, flag) in
        [("b/g", IFlags::IMMUTABLE), ("b", IFlags::IMMUTABLE), ("b/g", IFlags::APPEND), ("b", IFlags::APPEND)]
    {
        let file = File::open(disk.root().join(name)).unwrap();
        let flags = rustix::fs::ioctl_getflags(&file).unwrap_or(IFlags::empty());
        if rustix::fs::ioctl_setflags(&file, flags | flag).is_err() {
            eprintln!("SKIPPED: nothing can be made immutable or append-only here");
            break;
        }
        let refused = apply(disk.host(), &two, "2");
        rustix::fs::ioctl_setflags(&file, flags).unwrap();
        assert!(matches!(refused, Err(HostError::Unfit { .. })), "{name}: {refused:?}");
        assert_eq!(managed(disk.files()), one, "{name}");
    }
    fs::remove_file(disk.root().join(VERSION)).unwrap();
    symlink("/etc/hostname", disk.root().join(VERSION)).unwrap();
    let refused = apply(disk.host(), &two, "2");
    assert!(matches!(refused, Err(HostError::Unfit { .. })), "{refused:?}");
    fs::remove_file(disk.root().join(VERSION)).unwrap();
    fs::remove_file(disk.root().join(LOG)).unwrap();
    fs::create_dir(disk.root().join(LOG)).unwrap();
    let refused = apply(disk.host(), &two, "2");
    assert!(matches!(refused, Err(HostError::Unfit { .. })), "{refused:?}");
    fs::remove_dir(disk.root().join(LOG)).unwrap();
    assert_eq!(managed(disk.files()), one);
    done(disk.host(), &two, "2");
}

#[test]
fn the_second_run_is_told_who_holds_the_lock() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a", "1")]), "1");
    let lock = File::options().write(true).open(disk.root().join(".packfleet/lock")).unwrap();
    lock.try_lock().unwrap();
    let refused = apply(disk.host(), &files(&[("a", "2")]), "2");
    let Err(HostError::Locked { by, .. }) = refused else { panic!("{refused:?}") };
    assert!(by.contains(&format!("process {}", std::process::id())), "{by}");
    observe(disk.host(), &files(&[("a", "1")]));
    lock.unlock().unwrap();
    done(disk.host(), &files(&[("a", "2")]), "2");
}

#[test]
fn the_stat_cache_saves_reading_and_hides_no_change() {
    let disk = OnDisk::new();
    let wanted = files(&[("a/f", "one"), ("a/g", "two"), ("x*", "x")]);
    assert_eq!(observe(disk.host(), &wanted).actual.hashed, 0);
    done(disk.host(), &wanted, "1");
    assert_eq!(observe(disk.host(), &wanted).actual.hashed, 0);
    let mut careful = look(&wanted);
    careful.trust = Trust::Nothing;
    assert_eq!(disk.host().observe(&careful).unwrap().actual.hashed, 3);

    // Same size, same mtime, other bytes.
    let file = disk.root().join("a/f");
    let mtime = file.metadata().unwrap().modified().unwrap();
    fs::write(&file, "ONE").unwrap();
    File::options().write(true).open(&file).unwrap().set_modified(mtime).unwrap();
    let seen = observe(disk.host(), &wanted).actual;
    assert_eq!(seen.hashed, 1);
    let expected = Seen::Entry(Entry::of(Kind::File, b"ONE"));
    assert_eq!(seen.paths[&path("a/f")], expected);

    // A change of mode alone, and a damaged cache.
    set_mode(&disk.root().join("x"), 0o644);
    let seen = observe(disk.host(), &wanted).actual;
    assert_eq!(seen.paths[&path("x")], Seen::Entry(Entry::of(Kind::File, b"x")));
    fs::write(disk.root().join(".packfleet/stat-cache"), "garbage").unwrap();
    assert_eq!(observe(disk.host(), &wanted).actual.hashed, 3);
}

#[test]
fn a_reader_sees_every_file_whole() {
    let disk = OnDisk::new();
    let texts: Vec<String> = (0..2).map(|at| at.to_string().repeat(100_000)).collect();
    let shape = |at: usize| files(&[("a/big", texts[at].as_str())]);
    done(disk.host(), &shape(0), "0");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !stop.load(Ordering::Relaxed) {
                let text = fs::read_to_string(disk.root().join("a/big")).expect("never absent");
                assert!(texts.contains(&text), "a torn read of {} bytes", text.len());
                seen += 1;
            }
            seen
        });
        for round in 1..30 {
            done(disk.host(), &shape(round % 2), &round.to_string());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_late_write_into_a_backup_is_saved_before_the_backup_goes() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a", "one")]), "1");
    let mut open = File::options().append(true).open(disk.root().join("a")).unwrap();
    done(disk.host(), &files(&[("a", "two")]), "2");
    open.write_all(b" and more").unwrap();
    assert!(disk.host().edits().unwrap().is_empty());
    for round in 3..7 {
        done(disk.host(), &files(&[("a", &round.to_string())]), "v");
    }
    let edits = disk.host().edits().unwrap();
    assert_eq!(edits.len(), 1, "{edits:?}");
    assert_eq!((edits[0].reason.as_str(), edits[0].generation), ("late write", 2));
    assert_eq!(disk.host().kept(edits[0].entry.content).unwrap().unwrap(), b"one and more");
}

/// A backup whose bytes are not those that came out is none, and what lies behind it cannot be gone back to.
#[test]
fn a_damaged_backup_is_given_to_nobody() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a", "one")]), "1");
    done(disk.host(), &files(&[("a", "two")]), "2");
    let content = Content::of(b"one");
    assert_eq!(disk.host().kept(content).unwrap().unwrap(), b"one");
    let generation = disk.root().join(".packfleet/generations/2");
    let backup = fs::read_dir(&generation).unwrap().map(|entry| entry.unwrap().path());
    let backup = backup.into_iter().find(|at| fs::read(at).unwrap() == b"one").unwrap();
    fs::write(backup, "One").unwrap();
    assert_eq!(disk.host().kept(content).unwrap(), None);
}

#[test]
fn lines_that_could_not_be_written_are_written_by_the_next_commit() {
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a", "1")]), "1");
    let marked = disk.root().join(".packfleet/generations/1/unlogged");
    assert!(!marked.exists());
    // As it would be after a full disk: the mark is there, the lines are torn.
    fs::write(&marked, "").unwrap();
    let cut = |name: &str| {
        let text = fs::read(disk.root().join(name)).unwrap();
        fs::write(disk.root().join(name), &text[..text.len() / 2]).unwrap();
    };
    cut(LOG);
    cut(".packfleet/history");
    assert!(disk.host().history().unwrap().is_empty());
    done(disk.host(), &files(&[("a", "2")]), "2");
    let generations: Vec<_> = disk.host().history().unwrap().iter().map(|line| line.generation).collect();
    assert_eq!(generations, [1, 2]);
    let log = fs::read_to_string(disk.root().join(LOG)).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
}
