//! Root, state directory, room and features: what an examination finds about a place on disk.

use rustix::io::Errno;

use super::services::User;
use super::{About, Exam, Finding, Fix, Grade, text};
use crate::host::HostError;
use crate::host::beneath::{Dir, Space};
use crate::host::features::{self, Support};
use crate::host::journal::Journal;
use crate::host::state::{self, Ground, Owner};
use crate::model::HostPath;
use crate::model::cause::in_one_line;
use crate::model::path::STATE_DIR;

/// Less room than this is a reason to worry, and so is less than [`FEW`] percent.
const LITTLE: u64 = 256 << 20;
/// With more room than this a small share of a large disk is enough.
const PLENTY: u64 = 5 << 30;
/// Percent.
const FEW: u64 = 5;
/// With less than this no small change fits.
const NEXT_TO_NOTHING: u64 = 4 << 20;
/// Inodes that a small change needs.
const FEW_INODES: u64 = 64;

/// All about the disk.
pub fn findings(at: &HostPath, exam: &Exam, user: &User) -> Vec<Finding> {
    let fail = |what: String, fix: &str| Finding::fail(About::Root, what, text(fix));
    let ground = match Ground::open(at) {
        Ok(Some(ground)) => ground,
        Ok(None) => return without_root(at, user),
        Err(error) => return vec![fail(in_one_line(&error), "correct that, or `root` in the fleet file")],
    };
    let mut found = vec![root(&ground, user), state_directory(&ground, exam)];
    found.extend(space(&ground.root, at.as_str()));
    found.extend(feature(&ground));
    found
}

/// What can be told of a root that does not exist: about the nearest directory above it.
fn without_root(at: &HostPath, user: &User) -> Vec<Finding> {
    let above = std::path::Path::new(at.as_str()).ancestors().skip(1).filter_map(std::path::Path::to_str);
    let fix = || text("correct `root` in the fleet file");
    for above in above {
        let dir = match Dir::root(above) {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return vec![Finding::fail(About::Root, format!("{above}: {}", reason(&error)), fix())];
            }
        };
        let mut found = vec![match dir.may_change() {
            Ok(()) => Finding::warn(About::Root, format!("{at} does not exist yet"), Fix::Bootstrap),
            Err(error) => Finding::fail(
                About::Root,
                format!("{at} does not exist, and {user} may not make it in {above}: {}", reason(&error)),
                text(super::services::make_root(at, user)),
            ),
        }];
        found.extend(space(&dir, above));
        if let Ok(above) = HostPath::new(above)
            && let Ok(Some(ground)) = Ground::open(&above)
        {
            found.extend(feature(&ground));
        }
        return found;
    }
    vec![Finding::fail(About::Root, format!("nothing above {at} exists"), fix())]
}

fn root(ground: &Ground, user: &User) -> Finding {
    let at = &ground.at;
    let stat = match ground.root.stat_self() {
        Ok(stat) => stat,
        Err(error) => return Finding::fail(About::Root, format!("{at}: {error}"), text("correct that")),
    };
    let owner = format!("{at}, of user {}, mode {:04o}", stat.uid, stat.mode);
    if let Err(error) = ground.root.may_change() {
        return match Errno::from_io_error(&error) {
            Some(Errno::ROFS) => Finding::fail(
                About::Root,
                format!("{at}: the file system is mounted read-only"),
                text(format!("mount -o remount,rw the file system of {at}")),
            ),
            _ => Finding::fail(
                About::Root,
                format!("{owner}: {user} may not write there"),
                text(format!(
                    "as root on the host: chown {} {at}; or `sudo = true` for the deployment",
                    user.name
                )),
            ),
        };
    }
    if stat.mode & 0o002 != 0 {
        return Finding::warn(
            About::Root,
            format!("{owner}: everybody may write there"),
            text(format!("chmod o-w {at}")),
        );
    }
    Finding::ok(About::Root, format!("{owner}, may be written"))
}

/// The system's answer without its number.
fn reason(error: &std::io::Error) -> String {
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn state_directory(ground: &Ground, exam: &Exam) -> Finding {
    let at = format!("{}/{STATE_DIR}", ground.at);
    let state = match ground.state() {
        Ok(Some(state)) => state,
        Ok(None) => return Finding::ok(About::State, "nothing was ever applied here"),
        Err(error) => {
            let fix = format!("look at {at}: it must be a directory of this user alone, with mode 0700");
            return Finding::fail(About::State, in_one_line(&error), text(fix));
        }
    };
    let owner = Owner { fleet: &exam.fleet, deployment: &exam.deployment, root: &ground.at };
    let record = match state::read_record(&state, owner) {
        Ok(record) => record,
        Err(error @ HostError::State { .. }) => {
            return Finding::fail(
                About::State,
                in_one_line(&error),
                text("correct `root` of one of the two deployments"),
            );
        }
        Err(error) => {
            let fix = format!("move {at} away, but keep it (saved edits lie in it); then `packfleet plan`");
            return Finding::fail(About::State, in_one_line(&error), text(fix));
        }
    };
    match (Journal::load(&state, &ground.at), record) {
        (Err(error), _) => Finding::fail(About::State, in_one_line(&error), Fix::Apply),
        (Ok(Some(journal)), _) => Finding::warn(
            About::State,
            format!("the switch to generation {} was interrupted", journal.generation),
            Fix::Apply,
        ),
        (Ok(None), Some((record, _))) => {
            Finding::ok(About::State, format!("generation {}", record.generation))
        }
        (Ok(None), None) => Finding::ok(About::State, "in place; nothing was ever applied here"),
    }
}

fn space(dir: &Dir, at: &str) -> Vec<Finding> {
    match dir.space() {
        Ok(space) => vec![bytes(&space, at), inodes(&space, at)],
        Err(error) => vec![Finding::fail(About::Disk, format!("{at}: {error}"), text("correct that"))],
    }
}

fn bytes(space: &Space, at: &str) -> Finding {
    let (free, all) = (space.free, space.all);
    if all == 0 {
        let fix = text("correct `root` in the fleet file");
        return Finding::fail(About::Disk, format!("the file system of {at} holds no files"), fix);
    }
    let what = format!("{} of {} free", size(free), size(all));
    let fix = || text(format!("make room on the file system of {at}"));
    let share = free.saturating_mul(100) < all.saturating_mul(FEW);
    match free {
        _ if free < NEXT_TO_NOTHING => Finding::fail(About::Disk, what, fix()),
        _ if free < LITTLE || share && free < PLENTY => Finding::warn(About::Disk, what, fix()),
        _ => Finding::ok(About::Disk, what),
    }
}

fn inodes(space: &Space, at: &str) -> Finding {
    let (free, all) = (space.free_inodes, space.inodes);
    if all == 0 {
        return Finding::ok(About::Inodes, "as many as there is room");
    }
    let what = format!("{free} of {all} free");
    let fix = || text(format!("remove files on the file system of {at}, or make one with more inodes"));
    let share = free.saturating_mul(100) < all.saturating_mul(FEW);
    match free {
        _ if free < FEW_INODES => Finding::fail(About::Inodes, what, fix()),
        _ if free < 10 * FEW_INODES || share && free < 100_000 => Finding::warn(About::Inodes, what, fix()),
        _ => Finding::ok(About::Inodes, what),
    }
}

/// A number of bytes as people say it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut rest, mut unit) = (bytes as f64, 0);
    while rest >= 1024.0 && unit + 1 < UNITS.len() {
        rest /= 1024.0;
        unit += 1;
    }
    if rest < 10.0 && unit > 0 {
        format!("{rest:.1} {}", UNITS[unit])
    } else {
        format!("{rest:.0} {}", UNITS[unit])
    }
}

fn feature(ground: &Ground) -> Vec<Finding> {
    let features = match features::features(ground) {
        Ok(features) => features,
        // What is wrong with the state directory was said.
        Err(HostError::State { .. }) => return Vec::new(),
        Err(error) => return vec![Finding::fail(About::Features, in_one_line(&error), text("correct that"))],
    };
    let mut there = Vec::new();
    let mut untried = Vec::new();
    let mut found = Vec::new();
    for (name, support) in features.each() {
        match support {
            Support::Present => there.push(name),
            Support::Untried => untried.push(name),
            Support::Missing { instead } => {
                let fix = match name {
                    "exchange" | "no-replace" => "a root on ext4, xfs, btrfs or tmpfs has it",
                    _ => "Linux 5.8 or newer has it",
                };
                let what = format!("{} without {name}: {instead}", features.file_system);
                found.push(Finding {
                    about: About::Features,
                    grade: Grade::Warn,
                    what,
                    fix: Some(text(fix)),
                });
            }
        }
    }
    let mut what = format!("{} with {}", features.file_system, there.join(", "));
    if !untried.is_empty() {
        what.push_str(&format!("; the first apply tries {}", untried.join(", ")));
    }
    found.insert(0, Finding::ok(About::Features, what));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_said_before_there_is_none() {
        let at = "/r";
        let space = |free, all, free_inodes, inodes| Space { free, all, free_inodes, inodes };
        for (free, all, expected) in [
            (0, 0, Grade::Fail),
            (0, 1 << 30, Grade::Fail),
            (100 << 20, 1 << 30, Grade::Warn),
            (900 << 20, 1 << 30, Grade::Ok),
            (1 << 30, 100 << 30, Grade::Warn),
            (50 << 30, 4 << 40, Grade::Ok),
        ] {
            let found = bytes(&space(free, all, 0, 0), at);
            assert_eq!((found.grade, found.fix.is_some()), (expected, expected != Grade::Ok), "{found:?}");
        }
        for (free, all, expected) in [
            (0, 0, Grade::Ok),
            (0, 1000, Grade::Fail),
            (300, 1000, Grade::Warn),
            (1000, 1_000_000, Grade::Warn),
            (900_000, 1_000_000, Grade::Ok),
        ] {
            assert_eq!(inodes(&space(1, 1, free, all), at).grade, expected, "{free} of {all}");
        }
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (48 << 30, "48 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
