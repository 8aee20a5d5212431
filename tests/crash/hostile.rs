//! Trees that are not what they should be: other people's files, clocks that jump, names that mean harm.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use packfleet::host::{Applied, HostError, Seen, Trust};
use packfleet::model::plan::Obstacle;
use packfleet::model::{Entry, Kind};

use crate::stand::{DRIVER, REFUSED, Stand, Story, is_root, memory_directory, tree};
use crate::world::*;

/// As a user who may not do it: said before anything is touched.
#[test]
fn without_the_right_to_change_it_nothing_is_touched() {
    if !is_root() || Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: not root, or setpriv is not installed");
        return;
    }
    let place = memory_directory();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let binary = place.path().join("driver");
    fs::copy(std::env::current_exe().expect("this binary"), &binary).expect("copied");
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 3] = [
        ("another's directory", |root| {
            std::os::unix::fs::chown(root.join("a"), Some(0), Some(0)).expect("given");
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o755)).expect("a mode");
        }),
        ("another's file", |root| {
            std::os::unix::fs::chown(root.join("a/f"), Some(0), Some(0)).expect("given");
            fs::set_permissions(root.join("a/f"), fs::Permissions::from_mode(0o644)).expect("a mode");
        }),
        ("another's state", |root| {
            std::os::unix::fs::chown(root.join(".packfleet"), Some(0), Some(0)).expect("given");
        }),
    ];
    for (name, spoil) in spoils {
        let top = place.path().join(name.replace([' ', '\''], "-"));
        fs::create_dir(&top).expect("a directory");
        let stand = Stand::at(Story::named("upgrade"), top.join("root"), top.join("template"));
        stand.begin(&stand.template);
        assert!(
            Command::new("chown").args(["-R", "65534:65534"]).arg(&top).status().expect("chown").success()
        );
        spoil(&stand.root);
        let before = tree(&stand.root);
        let mut driver = Command::new("setpriv");
        driver.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary);
        driver.args(["--exact", "stand::driver", "--nocapture", "--test-threads=1"]);
        driver.env(DRIVER, format!("upgrade:{}", stand.root.display()));
        let output = driver.output().expect("setpriv");
        let told = String::from_utf8_lossy(&output.stderr);
        // A state directory that is refused is so from the first look on.
        let code = if name == "another's state" { 101 } else { REFUSED };
        assert_eq!(output.status.code(), Some(code), "{name}: {told}");
        assert!(told.contains("Unfit") || told.contains("belongs to user"), "{name}: {told}");
        assert_eq!(tree(&stand.root), before, "{name}");
        assert!(!stand.root.join(".packfleet/journal").exists(), "{name}");
    }
}

/// Order is by generation, whatever the clock says.
#[test]
fn a_clock_that_jumps_back_changes_no_order() {
    let disk = OnDisk::new();
    for (round, now) in
        ["2040-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "2026-01-01T00:00:00Z"].iter().enumerate()
    {
        let wanted = files(&[("a", ["one", "two", "three"][round])]);
        let plan = plan(disk.host(), &wanted, "v");
        let mut commit = commit(&plan);
        commit.now = now.parse().expect("a time");
        assert!(matches!(disk.host().apply(&commit, &Store::of(&wanted)), Ok(Applied::Done { .. })));
    }
    let history: Vec<_> =
        disk.host().history().expect("history").iter().map(|line| line.generation).collect();
    assert_eq!(history, [1, 2, 3]);
    let kept: Vec<_> =
        disk.host().generations().expect("generations").iter().map(|kept| kept.number).collect();
    assert_eq!(kept, [3, 2, 1]);
    // A file from the future that is changed without its size or time is still seen to be another one.
    let file = disk.root().join("a");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1 << 30);
    fs::File::options().write(true).open(&file).expect("open").set_modified(later).expect("a time");
    done(disk.host(), &files(&[("a", "four!")]), "v");
    let mtime = file.metadata().expect("metadata").modified().expect("a time");
    fs::write(&file, "FOUR!").expect("written");
    fs::File::options().write(true).open(&file).expect("open").set_modified(mtime).expect("a time");
    let seen = observe(disk.host(), &files(&[])).actual;
    assert_eq!(seen.paths[&path("a")], Seen::Entry(Entry::of(Kind::File, b"FOUR!")));
}

/// What is nobody's stays, whatever its name; what is no file is named and never opened.
#[test]
fn odd_neighbours_are_left_alone() {
    let disk = OnDisk::new();
    let one = files(&[("d/f", "1"), ("pipe", "1")]);
    let two = files(&[("d/f", "2"), ("pipe", "2")]);
    done(disk.host(), &one, "1");
    let root = disk.root();
    let names: [&[u8]; 7] = [b"-rf", b"a b\"'", b"a\nb", b"\xff\xfe", b"..x", b"\x1b[2J", b".git"];
    for name in names {
        fs::write(root.join("d").join(std::ffi::OsStr::from_bytes(name)), name).expect("written");
    }
    let socket = std::os::unix::net::UnixListener::bind(root.join("d/socket")).expect("bound");
    fs::remove_file(root.join("pipe")).expect("removed");
    let made = Command::new("mkfifo").arg(root.join("pipe")).status();
    assert!(made.expect("mkfifo").success());
    let mut careful = look(&two);
    careful.list = vec![None];
    careful.trust = Trust::Nothing;
    let seen = disk.host().observe(&careful).expect("a look that does not hang").actual;
    assert_eq!(seen.paths[&path("pipe")], Seen::Obstacle(Obstacle::Special("FIFO".into())));
    assert!(seen.unmanaged.iter().all(|name| !name.chars().any(char::is_control)), "{:?}", seen.unmanaged);
    let applied = apply(disk.host(), &two, "2");
    assert!(matches!(applied, Ok(Applied::Moved { .. }) | Err(HostError::Unfit { .. })), "{applied:?}");
    fs::remove_file(root.join("pipe")).expect("removed");
    done(disk.host(), &two, "2");
    done(disk.host(), &files(&[]), "");
    for name in names {
        assert_eq!(fs::read(root.join("d").join(std::ffi::OsStr::from_bytes(name))).expect("there"), name);
    }
    drop(socket);
    assert!(root.join("d/socket").exists());
}

/// A file that changes whenever it is read has no digest that could be believed: it is busy, neither what it was nor an
/// edit, and no plan that was made before it changes it.
#[test]
fn a_file_that_grows_while_it_is_read_is_busy() {
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, Ordering};
    let disk = OnDisk::new();
    let wanted = files(&[("a", "one"), ("b", "one")]);
    done(disk.host(), &wanted, "1");
    let next = plan(disk.host(), &files(&[("a", "two"), ("b", "two")]), "2");
    let at = disk.root().join("a");
    fs::File::options().write(true).open(&at).expect("open").set_len(32 << 20).expect("sparse");
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::File::options().append(true).open(&at).expect("open");
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"x").expect("written");
            }
        });
        // A writer that was not let run during a whole look has changed nothing.
        let busy = (0..200).find_map(|_| {
            let seen = observe(disk.host(), &wanted).actual.paths[&path("a")].clone();
            (seen == Seen::Obstacle(Obstacle::Busy)).then_some(seen)
        });
        let applied = disk.host().apply(&commit(&next), &Store::of(&files(&[("a", "two"), ("b", "two")])));
        assert!(matches!(applied, Ok(Applied::Moved { .. }) | Err(HostError::Unfit { .. })), "{applied:?}");
        stop.store(true, Ordering::Relaxed);
        busy
    });
    assert_eq!(seen, Some(Seen::Obstacle(Obstacle::Busy)));
    assert_eq!(fs::read(disk.root().join("b")).expect("b"), b"one");
    assert!(at.metadata().expect("metadata").size() > 32 << 20);
}

/// A large file is compared in pieces: what is read at once does not grow with it.
#[test]
fn a_huge_file_in_a_small_ones_place_costs_no_memory() {
    let disk = OnDisk::new();
    let wanted = files(&[("a", "small")]);
    done(disk.host(), &wanted, "1");
    let file = fs::File::options().write(true).open(disk.root().join("a")).expect("open");
    file.set_len(600 << 20).expect("sparse");
    let seen = observe(disk.host(), &wanted).actual;
    assert!(
        matches!(seen.paths[&path("a")], Seen::Entry(entry) if entry.content != Entry::of(Kind::File, b"small").content)
    );
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 256 << 10, "{peak} kB");
    assert_eq!(disk.root().join("a").metadata().expect("metadata").size(), 600 << 20);
}
