//! Odd disks: full ones, without inodes, made of layers, read-only in the midst of it, with mounts in the tree; and
//! two runs at once. Needs root for mounts; without it these tests say so and check nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use packfleet::host::{Host, HostError, LocalHost, Support};
use packfleet::model::{HostPath, Kind};

use crate::power::{Disk, run, text};
use crate::stand::{After, Ending, PENDING, Stand, Story, copy, is_root, spread, strace_works};
use crate::world::*;

/// Something mounted, until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a mount point");
        let mounted = is_root() && run("mount", &[arguments, &[text(at)]].concat());
        if !mounted {
            eprintln!("SKIPPED: mount {arguments:?}: not root, or not to be had here");
        }
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &["-l", text(&self.0)]);
    }
}

fn host(root: &Path) -> LocalHost {
    LocalHost::open(HostPath::new(text(root)).expect("a root"))
}

/// So many files with so many bytes each.
fn many(count: usize, size: usize, fill: char) -> Files {
    let text: String = std::iter::repeat_n(fill, size).collect();
    (0..count).map(|at| (format!("d/f{at}"), (Kind::File, format!("{at} {text}").into_bytes()))).collect()
}

/// A disk on which the small tree fits and the large one does not.
fn overfull(root: &Path, large: &Files) {
    let host = host(root);
    let small = many(3, 100, 'a');
    done(&host, &small, "1");
    let before = crate::stand::tree(root);
    let refused = apply(&host, large, "2");
    let Err(HostError::Io { path, source, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{source}");
    assert!(path.contains("bytes are free") && path.contains("the switch needs"), "{path}");
    assert_eq!(crate::stand::tree(root), before);
    assert!(!root.join(".packfleet/stage").exists(), "what was staged is freed");
    done(&host, &many(4, 100, 'b'), "2");
}

#[test]
fn without_space_nothing_is_touched_and_what_is_needed_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let Some(_disk) = Mounted::new(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], place.path()) else { return };
    overfull(&place.path().join("root"), &many(2, 900_000, 'c'));
}

/// A check fills the disk and fails: what taking the change back must write has its room since before the switch.
#[test]
fn an_ill_change_is_taken_back_on_a_full_disk() {
    let place = tempfile::tempdir().expect("a directory");
    let top = place.path();
    let Some(_disk) = Mounted::new(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"], &top.join("disk")) else {
        return;
    };
    fs::create_dir(top.join("pack")).expect("a directory");
    let fleet = "\
        fleet.name = 'f'\n\
        sources.s.path = '.'\n\
        deployments.home = { host = 'local', root = 'disk/live', packs.p = { version = '*' } }\n\
        [packs.p]\n\
        source = 's'\n\
        dir = 'pack'\n\
        target = '.'\n\
        [[packs.p.health]]\n\
        command = ['sh', '-c', 'grep -q good f || { cat /dev/zero > fill; exit 1; }']\n\
        within = '1s'\n";
    fs::write(top.join("fleet.toml"), fleet).expect("a file");
    let apply = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_packfleet"));
        command
            .args(["apply", "--yes"])
            .current_dir(top)
            .env("HOME", top)
            .env("XDG_CACHE_HOME", top.join("cache"));
        let output = command.output().expect("packfleet");
        (output.status.code(), format!("{output:?}"))
    };
    let pack = |text: &str| {
        // So many files that their record does not fit into what a disk has left when it is full.
        for at in 0..200 {
            fs::write(top.join(format!("pack/{at:0>60}")), text).expect("a file");
        }
        fs::write(top.join("pack/f"), text).expect("a file");
    };
    pack("good");
    let (code, told) = apply();
    assert_eq!(code, Some(0), "{told}");
    pack("bad");
    let (code, told) = apply();
    assert_eq!(code, Some(6), "{told}");
    assert_eq!(fs::read_to_string(top.join("disk/live/f")).expect("f"), "good");
    for left in ["journal", "stage"] {
        assert!(!top.join("disk/live/.packfleet").join(left).exists(), "{left} is left");
    }
    let (code, told) = apply();
    assert_eq!(code, Some(3), "it is rejected: {told}");
}

#[test]
fn without_inodes_nothing_is_touched_and_what_is_needed_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let options = ["-t", "tmpfs", "-o", "size=4m,nr_inodes=80", "tmpfs"];
    let Some(_disk) = Mounted::new(&options, place.path()) else { return };
    overfull(&place.path().join("root"), &many(70, 10, 'c'));
    let Some(disk) = Disk::with(&["-N", "96"]) else { return };
    overfull(&disk.mount_point().join("root"), &many(90, 10, 'c'));
}

#[test]
fn a_disk_that_turns_read_only_in_the_midst_of_it() {
    if !strace_works("read-only") {
        return;
    }
    for renames in [4, 6, 8, 11] {
        let Some(mut disk) = Disk::new() else { return };
        let beside = tempfile::tempdir().expect("a directory");
        let stand = Stand::at(
            Story::named("upgrade"),
            disk.mount_point().join("root"),
            beside.path().join("template"),
        );
        stand.begin(&stand.template);
        disk.unmount();
        disk.mount();
        let log = beside.path().join("stops");
        let inject = format!("inject=renameat2:signal=SIGSTOP:when={renames}");
        let options = ["-o", text(&log), "-e", &inject];
        let mut strace = stand.driver("upgrade", &options, "renameat2").spawn().expect("strace");
        let driver = crate::races::stopped(&mut strace, &log).expect("stopped");
        // What the kernel does by itself when it finds its file system damaged.
        let turned = run("mount", &["-o", "remount,abort", text(&disk.mount_point())]);
        rustix::process::kill_process(driver, rustix::process::Signal::CONT).expect("goes on");
        let code = strace.wait().expect("strace").code();
        assert!(turned, "remounted");
        assert_eq!(code, Some(PENDING), "after rename {renames}");
        disk.unmount();
        disk.mount();
        stand.check(&format!("read-only after rename {renames}"), After::Kill);
    }
}

#[test]
fn a_mount_in_the_tree_is_found_before_anything_is_touched() {
    let (one, two) =
        (files(&[("a/f", "1"), ("b/g", "1")]), files(&[("a/f", "2"), ("b/g", "2"), ("a/n", "2")]));
    let beside = tempfile::tempdir().expect("a directory");
    let other = beside.path().join("other");
    fs::write(&other, "1").expect("a file");
    for (options, at) in [
        (vec!["-t", "tmpfs", "-o", "size=1m", "tmpfs"], "a"),
        // Of the same file system, so that only the mount differs.
        (vec!["--bind", text(&other)], "b/g"),
    ] {
        let disk = OnDisk::new();
        done(disk.host(), &one, "1");
        let plan = plan(disk.host(), &two, "2");
        let spot = disk.root().join(at);
        if spot.is_file() && is_root() {
            assert!(run("mount", &[options.as_slice(), &[text(&spot)]].concat()));
        } else if Mounted::new(&options, &spot).map(std::mem::forget).is_none() {
            return;
        }
        let mounted = Mounted(spot);
        let refused = disk.host().apply(&commit(&plan), &Store::of(&two));
        let journal = disk.root().join(".packfleet/journal").exists();
        drop(mounted);
        assert!(
            matches!(refused, Err(HostError::Unfit { .. }) | Ok(packfleet::host::Applied::Moved { .. })),
            "{at}: {refused:?}"
        );
        if let ("a", Err(HostError::Unfit { why, .. })) = (at, &refused) {
            assert!(why.contains("is another mount"), "{why}");
        } else {
            assert_ne!(at, "a", "{refused:?}");
        }
        assert!(!journal, "{at}");
        assert_eq!(managed(disk.files()), one, "{at}");
        assert_eq!(fs::read(&other).expect("other"), b"1", "{at}");
        done(disk.host(), &two, "2");
    }
}

/// What is staged must lie where it will be, to be put there in one step.
#[test]
fn a_state_directory_on_another_mount_is_found_before_anything_is_touched() {
    let disk = OnDisk::new();
    let (one, two) = (files(&[("a/f", "1")]), files(&[("a/f", "2")]));
    done(disk.host(), &one, "1");
    let plan = plan(disk.host(), &two, "2");
    let state = disk.root().join(".packfleet");
    let Some(mounted) = Mounted::new(&["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"], &state) else {
        return;
    };
    let refused = disk.host().apply(&commit(&plan), &Store::of(&two));
    let left: Vec<_> =
        fs::read_dir(&state).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
    drop(mounted);
    assert!(refused.is_err(), "{refused:?}");
    assert!(!left.iter().any(|name| name == "journal" || name == "record"), "{left:?}");
    assert_eq!(managed(disk.files()), one);
    done(disk.host(), &two, "2");
}

/// A whole deployment in the lower layer, as in a container's image: an upgrade there, killed everywhere.
#[test]
fn a_deployment_in_a_lower_layer() {
    let Some(stand) = Stand::new(Story::named("shapes")) else { return };
    let top = stand.root.parent().expect("a parent").to_owned();
    // The story at the place where the layers will be mounted.
    let at = top.join("layers");
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| top.join(name));
    let options = format!("lowerdir={},upperdir={},workdir={}", text(&lower), text(&upper), text(&work));
    let fresh = || {
        for directory in [&upper, &work] {
            let _none = fs::remove_dir_all(directory);
            fs::create_dir(directory).expect("a directory");
        }
        Mounted::new(&["-t", "overlay", "overlay", "-o", &options], &at)
    };
    fs::create_dir(&at).expect("a directory");
    fs::create_dir(&lower).expect("a directory");
    let template = top.join("layers-template");
    let stand = Stand::at(Story::named("shapes"), at.join("root"), template.clone());
    copy(&at.join("outside"), &lower.join("outside"));
    copy(&template, &lower.join("root"));
    let before = crate::stand::tree(&lower.join("root"));

    let Some(mounted) = fresh() else { return };
    let features = stand.host().features().expect("features");
    assert_eq!(features.file_system, "overlayfs");
    assert_eq!(features.openat2, Support::Present);
    let applied = stand.story.apply(&stand.host());
    assert!(matches!(applied, Ok(packfleet::host::Applied::Done { .. })), "{applied:?}");
    assert_eq!(crate::stand::State::of(&stand.root, &stand.host()), stand.new);
    assert_eq!(fs::metadata(stand.root.join("q")).expect("q").permissions().mode() & 0o777, 0o644);
    drop(mounted);

    let calls = {
        let Some(_mounted) = fresh() else { return };
        let log = top.join("layers-trace");
        stand.driver("shapes", &["-o", text(&log)], "renameat2,linkat,unlinkat").status().expect("strace");
        let log = fs::read_to_string(log).expect("a trace");
        ["renameat2", "linkat", "unlinkat"].map(|call| (call, log.matches(&format!("{call}(")).count()))
    };
    let mut endings = std::collections::BTreeMap::new();
    for (call, count) in calls {
        for at in spread(count, 14) {
            let Some(_mounted) = fresh() else { return };
            let code = stand.fault("shapes", call, "signal=SIGKILL", &at.to_string());
            let what = format!("layers: killed at {call} {at} of {count} (exit {code:?})");
            *endings.entry(stand.check(&what, After::Fault)).or_insert(0) += 1;
        }
    }
    eprintln!("layers: {endings:?}");
    assert!(endings.contains_key(&Ending::Old) && endings.contains_key(&Ending::New), "{endings:?}");
    assert_eq!(crate::stand::tree(&lower.join("root")), before, "a lower layer is never written");
}

/// The second run is told who holds the lock, at once, and what that means: exit code 75.
#[test]
fn two_runs_at_once() {
    if !strace_works("two runs") {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let top = place.path();
    fs::create_dir(top.join("pack")).expect("a directory");
    fs::write(top.join("pack/f"), "f").expect("a file");
    let fleet = "\
        fleet.name = 'f'\n\
        sources.s.path = '.'\n\
        packs.p = { source = 's', dir = 'pack', target = '.' }\n\
        deployments.home = { host = 'local', root = 'live', packs.p = { version = '*' } }\n";
    fs::write(top.join("fleet.toml"), fleet).expect("a file");
    let packfleet = |mut command: Command| {
        command
            .args(["apply", "--yes"])
            .current_dir(top)
            .env("HOME", top)
            .env("XDG_CACHE_HOME", top.join("cache"));
        command
    };
    let log = top.join("stops");
    let mut first = Command::new("strace");
    first.args(["-f", "-qq", "-o", text(&log), "-e", "trace=renameat2"]);
    first.args(["-e", "inject=renameat2:signal=SIGSTOP:when=1", env!("CARGO_BIN_EXE_packfleet")]);
    let mut first = packfleet(first).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("strace");
    let Some(held) = crate::races::stopped(&mut first, &log) else {
        panic!("{:?}", first.wait_with_output());
    };
    let since = Instant::now();
    let second = packfleet(Command::new(env!("CARGO_BIN_EXE_packfleet"))).output().expect("packfleet");
    let took = since.elapsed();
    rustix::process::kill_process(held, rustix::process::Signal::CONT).expect("goes on");
    let first = first.wait_with_output().expect("packfleet");
    let told =
        String::from_utf8_lossy(&second.stderr).into_owned() + &String::from_utf8_lossy(&second.stdout);
    assert_eq!(second.status.code(), Some(75), "{told}");
    assert!(told.contains("locked by process "), "{told}");
    assert!(first.status.success(), "{first:?}");
    assert_eq!(fs::read(top.join("live/f")).expect("f"), b"f");
    // Far more than it needs, on a machine that is busy; it did not wait for the first, which stood still.
    assert!(took < Duration::from_secs(20), "{took:?}");
}
