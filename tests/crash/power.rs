//! Power cut after every system call that changes something: what was not synced is gone.
//!
//! An ext4 image is mounted, the apply is killed at its n-th call, the file system is told to forget all
//! that is not on the disk (the ioctl `GOINGDOWN` without flushing), mounted again, recovered, looked at.
//! That finds a sync that is missing, which a kill alone cannot. Needs root, loop devices, ext4, strace
//! and perl (for the ioctl); without them these tests say so and check nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stand::{After, Ending, Stand, Story, copy, memory_directory, spread, strace_works};

/// Cuts at calls of one name, evenly spread.
const MOST: usize = 4;

pub fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A file system that can lose its power.
pub struct Disk {
    directory: tempfile::TempDir,
    /// Which image: a new file for each life, as a loop device may still hold the one before.
    life: u32,
    mounted: bool,
}

impl Disk {
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// Made with these further options of mkfs.
    pub fn with(options: &[&str]) -> Option<Self> {
        let disk = Self { directory: memory_directory(), life: 0, mounted: false };
        std::fs::create_dir(disk.mount_point()).expect("a mount point");
        let file = std::fs::File::create(disk.image()).expect("an image");
        file.set_len(16 << 20).expect("an image");
        let image = disk.image();
        let arguments = [&["-q", "-F"], options, &[text(&image)]].concat();
        let made = rustix::process::geteuid().is_root() && run("mkfs.ext4", &arguments);
        let mut disk = disk;
        if made && disk.try_mount() {
            return Some(disk);
        }
        eprintln!("SKIPPED: an ext4 image cannot be made and mounted here");
        None
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join(format!("image-{}", self.life))
    }

    pub fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn try_mount(&mut self) -> bool {
        // Without auto_da_alloc: the kernel must not guess the syncs that are missing.
        let (image, at) = (self.image(), self.mount_point());
        self.mounted = run("mount", &["-o", "loop,noauto_da_alloc", text(&image), text(&at)]);
        self.mounted
    }

    pub fn mount(&mut self) {
        assert!(self.try_mount(), "mounted");
    }

    pub fn unmount(&mut self) {
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
        self.live_again(&self.image());
    }

    /// Mounts a copy of an image in place of what is mounted.
    pub fn live_again(&mut self, image: &Path) {
        self.unmount();
        let old = self.image();
        self.life += 1;
        copy(image, &self.image());
        std::fs::remove_file(old).expect("removed");
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

/// A disk with a story on it, and an image of it as the story begins.
fn prepared(name: &str) -> Option<(Disk, Stand, PathBuf)> {
    if !strace_works("power cuts") || !run("perl", &["-e", "1"]) {
        return None;
    }
    let mut disk = Disk::new()?;
    let root = disk.mount_point().join("root");
    let beside = disk.directory.path().join("beside");
    std::fs::create_dir(&beside).expect("a directory");
    let stand = Stand::at(Story::named(name), root, beside.join("template"));
    // An image on which the story begins, all of it on the disk.
    stand.begin(&stand.template);
    disk.unmount();
    let beginning = beside.join("image");
    copy(&disk.image(), &beginning);
    disk.mount();
    Some((disk, stand, beginning))
}

fn cut_everywhere(name: &str) {
    let Some((mut disk, stand, beginning)) = prepared(name) else { return };
    let calls = stand.calls(&stand.template, name);
    let mut endings = BTreeMap::new();
    for (call, count) in calls {
        // The last one is never reached: the apply ends, and says so, before the power goes.
        for at in spread(count, MOST).into_iter().chain([count + 1]) {
            disk.live_again(&beginning);
            let code = stand.fault(name, &call, "signal=SIGKILL", &at.to_string());
            disk.cut();
            let what = format!("{name}: power cut at {call} {at} of {count} (exit {code:?})");
            let ending = stand.check(&what, After::Kill);
            if code == Some(0) {
                assert_eq!(ending, Ending::New, "{what}: done, and gone");
            }
            *endings.entry(format!("{ending:?}")).or_insert(0) += 1;
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

/// A disk that says that all is written, and writes nothing. Nobody can promise that it lasts; but old or new
/// it is as a whole.
#[test]
fn a_disk_that_lies() {
    let Some((mut disk, stand, beginning)) = prepared("upgrade") else { return };
    let mut endings = BTreeMap::new();
    for renames in [3, 4, 6, 8, 10, 12, 99] {
        disk.live_again(&beginning);
        let lies = "inject=fsync,fdatasync,syncfs:retval=0";
        let kill = format!("inject=renameat2:signal=SIGKILL:when={renames}");
        let options = ["-o", "/dev/null", "-e", lies, "-e", &kill];
        let code = stand.driver("upgrade", &options, "renameat2,fsync,fdatasync,syncfs").status();
        disk.cut();
        let what = format!("all syncs lie, killed at rename {renames} ({:?})", code.expect("strace").code());
        *endings.entry(stand.check(&what, After::Kill)).or_insert(0) += 1;
    }
    eprintln!("lies: {endings:?}");
    assert!(endings.contains_key(&Ending::Old), "a cut loses what was not written: {endings:?}");
}
