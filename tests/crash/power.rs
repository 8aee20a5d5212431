//! Power cut after every system call that changes something: what was not synced is gone.
//!
//! An ext4 image is mounted, the apply is killed at its n-th call, the file system is told to forget all
//! that is not on the disk (the ioctl `GOINGDOWN` without flushing), mounted again, recovered, looked at.
//! That finds a sync that is missing, which a kill alone cannot. Needs root, loop devices, ext4, strace
//! and perl (for the ioctl); without them these tests say so and check nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stand::{After, Ending, Stand, Story, copy, spread, strace_works};

/// Cuts at calls of one name, evenly spread.
const MOST: usize = 4;

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A file system that can lose its power.
struct Disk {
    directory: tempfile::TempDir,
    mounted: bool,
}

impl Disk {
    fn new() -> Option<Self> {
        let disk = Self { directory: tempfile::tempdir().expect("a directory"), mounted: false };
        std::fs::create_dir(disk.mount_point()).expect("a mount point");
        let file = std::fs::File::create(disk.image()).expect("an image");
        file.set_len(16 << 20).expect("an image");
        let made =
            rustix::process::geteuid().is_root() && run("mkfs.ext4", &["-q", "-F", text(&disk.image())]);
        let mut disk = disk;
        if made && disk.try_mount() {
            return Some(disk);
        }
        eprintln!("SKIPPED: an ext4 image cannot be made and mounted here");
        None
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn try_mount(&mut self) -> bool {
        // Without auto_da_alloc: the kernel must not guess the syncs that are missing.
        let (image, at) = (self.image(), self.mount_point());
        self.mounted = run("mount", &["-o", "loop,noauto_da_alloc", text(&image), text(&at)]);
        self.mounted
    }

    fn mount(&mut self) {
        assert!(self.try_mount(), "mounted");
    }

    fn unmount(&mut self) {
        // A process that another test is just starting may hold a file of ours for a moment.
        for _ in 0..100 {
            if !self.mounted {
                return;
            }
            self.mounted = !run("umount", &[text(&self.mount_point())]);
            if self.mounted {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        assert!(!self.mounted, "unmounted");
    }

    fn cut(&mut self) {
        let script = "my $how = pack(q(I), 2); open(F, q(<), $ARGV[0]) && ioctl(F, 0x8004587d, $how) or die";
        assert!(run("perl", &["-e", script, text(&self.mount_point())]), "the power is cut");
        self.unmount();
        self.mount();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            run("umount", &["-l", text(&self.mount_point())]);
        }
    }
}

fn cut_everywhere(name: &str) {
    if !strace_works("power cuts") || !run("perl", &["-e", "1"]) {
        return;
    }
    let Some(mut disk) = Disk::new() else { return };
    let root = disk.mount_point().join("root");
    let beside = tempfile::tempdir().expect("a directory");
    let stand = Stand::at(Story::named(name), root, beside.path().join("template"));
    let calls = stand.calls(&stand.template, name);
    // An image on which the story begins, all of it on the disk.
    stand.begin(&stand.template);
    disk.unmount();
    let beginning = beside.path().join("image");
    copy(&disk.image(), &beginning);
    let mut endings = BTreeMap::new();
    for (call, count) in calls {
        // The last one is never reached: the apply ends, and says so, before the power goes.
        for at in spread(count, MOST).into_iter().chain([count + 1]) {
            copy(&beginning, &disk.image());
            disk.mount();
            let code = stand.fault(name, &call, "signal=SIGKILL", &at.to_string());
            disk.cut();
            let what = format!("{name}: power cut at {call} {at} of {count} (exit {code:?})");
            let ending = stand.check(&what, After::Kill);
            if code == Some(0) {
                assert_eq!(ending, Ending::New, "{what}: done, and gone");
            }
            *endings.entry(format!("{ending:?}")).or_insert(0) += 1;
            disk.unmount();
        }
    }
    assert_eq!(endings.len(), 2, "{endings:?}");
}

#[test]
fn an_upgrade_survives_a_power_cut_anywhere() {
    cut_everywhere("upgrade");
}

#[test]
fn changing_shapes_survives_a_power_cut_anywhere() {
    cut_everywhere("shapes");
}

#[test]
fn an_install_survives_a_power_cut_anywhere() {
    cut_everywhere("install");
}
