//! Checks: commands of the fleet file, run in a private copy of the tree as it would be after the switch.
//!
//! The copy lies in the state directory and holds everything below a pack's targets: what packfleet puts,
//! what people edited, and what belongs to the host, since a build needs it all. The live tree is only
//! read, through no link, and nothing of the copy ever goes live.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::beneath::{Dir, Node};
use super::command::{Offspring, Run, run};
use super::lock::Lock;
use super::state::{Ground, failed, name};
use super::transaction::{open_or_make, state_or_make};
use super::{Blobs, Check, Checked, HostError};
use crate::model::path::STATE_DIR;
use crate::model::plan::Action;
use crate::model::{Content, HostPath, Kind, TreePath};

/// The copy, in the state directory.
const COPY: &str = "check";
/// A command that runs longer is ended.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the commands one after another, up to the first that fails. Takes the lock. A root or state directory
/// that was made for it goes again if nothing comes of it.
pub fn check(at: &HostPath, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError> {
    let new = New::look(at)?;
    let ground = open_or_make(at)?;
    let state = state_or_make(&ground)?;
    let lock = Lock::take(&state, at)?;
    let result = in_copy(&ground, &state, check, blobs);
    if !matches!(result, Ok(Checked::Passed)) {
        new.forget(&ground, &state);
    }
    drop(lock);
    result
}

fn in_copy(ground: &Ground, state: &Dir, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError> {
    let writing = || failed("write", format!("{STATE_DIR}/{COPY}"));
    clear(state).map_err(writing())?;
    let result = copy_tree(ground, check, blobs, &copy_of(state)).and_then(|()| run_all(check, state));
    clear(state).map_err(writing())?;
    result
}

/// The copy, by way of the open state directory: whatever is renamed meanwhile, this is where it lies.
fn copy_of(state: &Dir) -> PathBuf {
    state.by_descriptor().join(COPY)
}

/// Removes what a check left that did not end.
pub fn clear(state: &Dir) -> io::Result<()> {
    match fs::remove_dir_all(copy_of(state)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What is not there before a check.
struct New {
    /// Directories that lead to the root and the root itself, deepest first.
    directories: Vec<PathBuf>,
    /// Whether the state directory is among it.
    state: bool,
}

impl New {
    fn look(at: &HostPath) -> Result<Self, HostError> {
        let Some(ground) = Ground::open(at)? else {
            let above = Path::new(at.as_str()).ancestors();
            let missing = above.take_while(|path| fs::symlink_metadata(path).is_err());
            return Ok(Self { directories: missing.map(Path::to_owned).collect(), state: true });
        };
        Ok(Self { directories: Vec::new(), state: ground.state()?.is_none() })
    }

    /// Removes it again, as far as nothing else came to lie in it.
    fn forget(&self, ground: &Ground, state: &Dir) {
        let removed = || -> io::Result<()> {
            if self.state {
                state.unlink(name::LOCK)?;
                ground.root.remove_dir(STATE_DIR)?;
            }
            self.directories.iter().try_for_each(fs::remove_dir)
        };
        if let Err(error) = removed() {
            tracing::debug!(%error, "what a check made stays");
        }
    }
}

fn copy_tree(ground: &Ground, check: &Check<'_>, blobs: &dyn Blobs, copy: &Path) -> Result<(), HostError> {
    let writing = |path: &str| failed("copy for a check", path.to_owned());
    fs::create_dir(copy).map_err(writing("."))?;
    for target in &check.targets {
        let shown = target.as_ref().map_or(".", TreePath::as_str);
        copy_target(ground, target.as_ref(), copy).map_err(writing(shown))?;
    }
    for action in actions(check) {
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

/// The actions that take place in the copy.
pub fn actions<'a>(check: &'a Check<'_>) -> impl Iterator<Item = &'a Action> {
    let inside = |path: &TreePath| {
        check.targets.iter().any(|target| match target {
            None => true,
            Some(target) => path == target || path.is_below(target),
        })
    };
    check.plan.actions.iter().filter(move |action| inside(&action.path))
}

/// The contents that checks ask for, in that order, repeated where they ask again.
pub fn needs(check: &Check<'_>) -> Vec<Content> {
    actions(check).filter_map(|action| Some(action.after?.content)).collect()
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

fn run_all(check: &Check<'_>, state: &Dir) -> Result<Checked, HostError> {
    let place = match &check.at {
        None => COPY.to_owned(),
        Some(at) => format!("{COPY}/{at}"),
    };
    for words in &check.commands {
        let ran = state.dir(place.as_str()).and_then(|at| {
            let environment = [("PACKFLEET_CHECK", "1".to_owned())];
            let offspring = Offspring::Ends;
            run(&Run { words, at: &at, environment: &environment, limit: LIMIT, offspring })
        });
        let (why, output) = match ran {
            Ok(ran) => match ran.failure(0, LIMIT) {
                None => continue,
                Some(why) => (why, ran.output),
            },
            Err(error) => (format!("it cannot be run: {error}"), String::new()),
        };
        return Ok(Checked::Failed { command: words.join(" "), why, output });
    }
    Ok(Checked::Passed)
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
