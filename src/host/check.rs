//! Checks: commands of the fleet file, run in a private copy of the tree as it would be after the switch.
//!
//! The copy lies in the state directory and holds everything below a pack's targets: what packfleet puts,
//! what people edited, and what belongs to the host, since a build needs it all. The live tree is only
//! read, through no link, and nothing of the copy ever goes live. A command gets no input; what it prints
//! is kept for the report, its end if it is long.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::beneath::{Dir, Node};
use super::lock::Lock;
use super::state::{Ground, failed};
use super::transaction::{open_or_make, state_or_make};
use super::{Blobs, Check, Checked, HostError};
use crate::model::path::STATE_DIR;
use crate::model::{HostPath, Kind, TreePath};

/// The copy, in the state directory.
const COPY: &str = "check";
/// A command that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(600);
/// Of a command's output so much is kept, from its end.
const KEPT: u64 = 16 * 1024;
/// A command that prints more is ended.
const MOST_OUTPUT: u64 = 64 * 1024 * 1024;

/// Runs the commands one after another, up to the first that fails. Takes the lock.
pub fn check(at: &HostPath, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError> {
    let ground = open_or_make(at)?;
    let state = state_or_make(&ground)?;
    let _lock = Lock::take(&state, at)?;
    let copy = Path::new(at.as_str()).join(STATE_DIR).join(COPY);
    let writing = || failed("write", format!("{STATE_DIR}/{COPY}"));
    clear(at).map_err(writing())?;
    let result = copy_tree(&ground, check, blobs, &copy).and_then(|()| run_all(check, &copy));
    clear(at).map_err(writing())?;
    result
}

/// Removes what a check left that did not end.
pub fn clear(at: &HostPath) -> io::Result<()> {
    let copy = Path::new(at.as_str()).join(STATE_DIR).join(COPY);
    let gone = |removed: io::Result<()>| match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    gone(fs::remove_dir_all(&copy))?;
    gone(fs::remove_file(copy.with_extension("output")))
}

fn copy_tree(ground: &Ground, check: &Check<'_>, blobs: &dyn Blobs, copy: &Path) -> Result<(), HostError> {
    let writing = |path: &str| failed("copy for a check", path.to_owned());
    fs::create_dir(copy).map_err(writing("."))?;
    for target in &check.targets {
        let shown = target.as_ref().map_or(".", TreePath::as_str);
        copy_target(ground, target.as_ref(), copy).map_err(writing(shown))?;
    }
    let inside = |path: &TreePath| {
        check.targets.iter().any(|target| match target {
            None => true,
            Some(target) => path == target || path.is_below(target),
        })
    };
    for action in check.plan.actions.iter().filter(|action| inside(&action.path)) {
        let path = copy.join(action.path.as_str());
        let failed = writing(action.path.as_str());
        no_link_above(copy, &action.path).map_err(writing(action.path.as_str()))?;
        let Some(entry) = action.after else {
            absent(&path).map_err(failed)?;
            continue;
        };
        let bytes = blobs.bytes(entry.content)?;
        put(&path, entry.kind, &bytes).map_err(failed)?;
    }
    Ok(())
}

/// Links are copied as links, so a way through the copy may lead out of it: such a way is not taken.
fn no_link_above(copy: &Path, path: &TreePath) -> io::Result<()> {
    for above in path.ancestors() {
        if fs::symlink_metadata(copy.join(above.as_str())).is_ok_and(|meta| meta.is_symlink()) {
            return Err(io::Error::other("a link lies on the way to it"));
        }
    }
    Ok(())
}

fn absent(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
}

fn put(path: &Path, kind: Kind, bytes: &[u8]) -> io::Result<()> {
    absent(path)?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    if kind == Kind::Link {
        use std::os::unix::ffi::OsStrExt;
        return std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(bytes), path);
    }
    let mode = if kind == Kind::Exec { 0o700 } else { 0o600 };
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)
}

/// Copies one target, a file or a directory, if it is there and reached through no link.
fn copy_target(ground: &Ground, target: Option<&TreePath>, copy: &Path) -> io::Result<()> {
    let Some(target) = target else { return copy_inside(&ground.root, copy, ground.mount) };
    let to = copy.join(target.as_str());
    no_link_above(copy, target)?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let parent = match ground.root.dir(target.as_str().rsplit_once('/').map_or(".", |(parent, _)| parent)) {
        Err(error) if super::live::out_of_reach(&error) => return Ok(()),
        parent => parent?,
    };
    copy_one(&parent, target.file_name().as_bytes(), &to, ground.mount)
}

fn copy_inside(from: &Dir, to: &Path, mount: u64) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    for (name, _) in from.names()? {
        if name != STATE_DIR.as_bytes() {
            copy_one(from, &name, &to.join(std::ffi::OsStr::from_bytes(&name)), mount)?;
        }
    }
    Ok(())
}

/// What is neither file, directory nor link, or lies on another mount, is left out.
fn copy_one(from: &Dir, name: &[u8], to: &Path, mount: u64) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let Some(stat) = from.stat(name)? else { return Ok(()) };
    if stat.mount != mount {
        return Ok(());
    }
    match stat.node {
        Node::Directory => {
            // Two targets may lie in one another, and what was a link when the first was copied may be a
            // directory by now.
            if fs::symlink_metadata(to).is_ok_and(|meta| !meta.is_dir()) {
                absent(to)?;
            }
            fs::create_dir_all(to)?;
            copy_inside(&from.dir(name)?, to, mount)
        }
        Node::Link => {
            absent(to)?;
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&from.link_text(name)?), to)
        }
        Node::File => {
            absent(to)?;
            let mut source = from.open(name)?;
            let mut copied = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
            // By copy_file_range where the system has it, which shares blocks where the disk can.
            io::copy(&mut source, &mut copied)?;
            let mode = if stat.exec() { 0o700 } else { 0o600 };
            copied.set_permissions(fs::Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
}

fn run_all(check: &Check<'_>, copy: &Path) -> Result<Checked, HostError> {
    let at = match &check.at {
        None => copy.to_owned(),
        Some(at) => copy.join(at.as_str()),
    };
    for command in &check.commands {
        let shown = command.join(" ");
        let output = copy.with_extension("output");
        let ended = run(command, &at, &output);
        let told = tail(&output);
        let _removed = fs::remove_file(&output);
        let why = match ended {
            Ok(Ended::With(status)) if status.success() => continue,
            Ok(Ended::With(status)) => status.to_string(),
            Ok(Ended::TooLong) => format!("it ran longer than {} s and was ended", LIMIT.as_secs()),
            Ok(Ended::TooMuch) => "it printed too much and was ended".to_owned(),
            Err(error) => format!("it cannot be run: {error}"),
        };
        let output = told.unwrap_or_default();
        return Ok(Checked::Failed { command: shown, why, output });
    }
    Ok(Checked::Passed)
}

enum Ended {
    With(ExitStatus),
    TooLong,
    TooMuch,
}

fn run(command: &[String], at: &Path, output: &PathBuf) -> io::Result<Ended> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::other("the command is empty"));
    };
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(output)?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(at)
        .env("PACKFLEET_CHECK", "1")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file.try_clone()?)
        .process_group(0)
        .spawn()?;
    let begun = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Ended::With(status);
        }
        if begun.elapsed() > LIMIT {
            break Ended::TooLong;
        }
        if file.metadata()?.len() > MOST_OUTPUT {
            break Ended::TooMuch;
        }
        sleep(Duration::from_millis(10));
    };
    // What it started goes with it, whichever way it ended.
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _gone_already = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    if !matches!(ended, Ended::With(_)) {
        child.wait()?;
    }
    Ok(ended)
}

fn tail(output: &Path) -> io::Result<String> {
    let mut file = File::open(output)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_link_is_no_way_out_of_the_copy() {
        let all = tempfile::tempdir().unwrap();
        let (copy, outside) = (all.path().join("copy"), all.path().join("outside"));
        fs::create_dir_all(copy.join("a")).unwrap();
        fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, copy.join("a/b")).unwrap();
        let path = |text| TreePath::new(text).unwrap();
        assert!(no_link_above(&copy, &path("a/b/c")).is_err());
        assert!(no_link_above(&copy, &path("a/b")).is_ok());
        assert!(no_link_above(&copy, &path("a/new/c")).is_ok());
    }
}
