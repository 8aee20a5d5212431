//! A plain directory as a source: for a pack under development.
//!
//! It has no refs and no commits. A tree is read once, by descriptor and without following a link below the
//! directory's own path, and then remembered, so that one run sees one state of it: a source is good for
//! one run. Every file that was read is kept in the cache's object store, because the directory moves on
//! and its bytes are wanted later as the base of a merge. `.git` at the very top is no part of it; nothing
//! else is skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use rustix::io::Errno;

use super::objects::{ObjectStore, io};
use super::rules::{self, Intake};
use super::spool::Given;
use super::{History, PackEntry, PackSource, PackTree, Refs, SourceError, TreeRules};
use crate::model::pack::CommitId;
use crate::model::{Content, Kind, TreePath};

/// Files from this size on are read in pieces.
const LARGE: u64 = 1 << 20;

/// A plain directory. Good for one run.
pub struct DirectorySource {
    path: Utf8PathBuf,
    objects: ObjectStore,
    read: Mutex<BTreeMap<Option<TreePath>, Vec<PackEntry>>>,
}

impl DirectorySource {
    /// A source for the directory at `path` (absolute) that keeps what it reads beneath `cache_dir`.
    pub fn open(cache_dir: &Utf8Path, path: &Utf8Path) -> Self {
        Self {
            path: path.to_owned(),
            objects: ObjectStore::open(&cache_dir.join("objects")),
            read: Mutex::default(),
        }
    }

    /// Opens a pack's directory; `None` if nothing lies there, or no directory.
    fn enter(&self, dir: Option<&TreePath>) -> Result<Option<OwnedFd>, SourceError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(self.path.as_std_path(), flags, Mode::empty())
            .map_err(|error| io("open", &self.path, error.into()))?;
        match descend(&top, dir) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => {
                let path = dir.map_or_else(|| self.path.clone(), |dir| self.path.join(dir.as_str()));
                Err(io("open", &path, error.into()))
            }
        }
    }

    fn walk(
        &self,
        dir: Option<&TreePath>,
        top: OwnedFd,
        rules: &TreeRules,
    ) -> Result<Vec<PackEntry>, SourceError> {
        let place = dir.map_or_else(|| self.path.clone(), |dir| self.path.join(dir.as_str()));
        let mut intake = Intake::new(rules);
        let mut ahead: Vec<Option<TreePath>> = vec![None];
        while let Some(below) = ahead.pop() {
            let shown = below.as_ref().map_or_else(|| place.clone(), |below| place.join(below.as_str()));
            let at = descend(&top, below.as_ref()).map_err(|error| io("open", &shown, error.into()))?;
            let listing = Dir::read_from(&at).map_err(|error| io("list", &shown, error.into()))?;
            for entry in listing {
                let entry = entry.map_err(|error| io("list", &shown, error.into()))?;
                let name = entry.file_name();
                let whole = dir.is_none() && below.is_none();
                if matches!(name.to_bytes(), b"." | b"..") || whole && name.to_bytes() == b".git" {
                    continue;
                }
                let path = intake.child(below.as_ref(), name.to_bytes())?;
                let failed =
                    |operation, error: std::io::Error| io(operation, &place.join(path.as_str()), error);
                let found = statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| failed("look at", error.into()))?;
                let size = u64::try_from(found.st_size).unwrap_or_default();
                let (kind, bytes) = match FileType::from_raw_mode(found.st_mode) {
                    FileType::Directory => {
                        ahead.push(Some(path));
                        continue;
                    }
                    FileType::RegularFile => {
                        intake.announce(&path, size)?;
                        let file = File::from(
                            openat(
                                &at,
                                name,
                                OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
                                Mode::empty(),
                            )
                            .map_err(|error| failed("open", error.into()))?,
                        );
                        let kind = Kind::regular(found.st_mode & 0o100 != 0);
                        if size >= LARGE {
                            let content = self.objects.put_file(&file, size)?;
                            intake.take_large(path, kind, content, size);
                            continue;
                        }
                        // No more than was announced: a file that grows meanwhile is read as it was.
                        let mut bytes = Vec::new();
                        file.take(size).read_to_end(&mut bytes).map_err(|error| failed("read", error))?;
                        (kind, bytes)
                    }
                    FileType::Symlink => {
                        let text = readlinkat(&at, name, Vec::new())
                            .map_err(|error| failed("read", error.into()))?;
                        intake.announce(&path, text.to_bytes().len() as u64)?;
                        (Kind::Link, text.into_bytes())
                    }
                    _ => {
                        return Err(SourceError::Refused(format!(
                            "{path:?} is neither a file nor a directory nor a symbolic link"
                        )));
                    }
                };
                intake.take(path, kind, &bytes)?;
                self.objects.put(&bytes)?;
            }
        }
        intake.finish(place.as_str())
    }
}

/// Opens a directory below another one, following no link.
fn directory(at: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    openat(at, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a directory by its path from the top, name by name.
fn descend(top: &OwnedFd, path: Option<&TreePath>) -> Result<OwnedFd, Errno> {
    let mut at = directory(top, ".")?;
    for name in path.into_iter().flat_map(TreePath::components) {
        at = directory(&at, name)?;
    }
    Ok(at)
}

impl PackSource for DirectorySource {
    fn refresh(&self) -> Result<Refs, SourceError> {
        Ok(Refs::default())
    }

    fn known(&self) -> Result<Refs, SourceError> {
        Ok(Refs::default())
    }

    fn commit(&self, rev: &str) -> Result<CommitId, SourceError> {
        Err(SourceError::Unknown(format!("{} is a plain directory and has no commit {rev}", self.path)))
    }

    fn tree(
        &self,
        _commit: Option<&CommitId>,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<PackTree, SourceError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for dir in dirs {
            if let Some(entries) = read.get(dir) {
                rules::check(entries, rules, self.path.as_str())?;
                return Ok(PackTree { dir: dir.clone(), entries: entries.clone() });
            }
            let Some(top) = self.enter(dir.as_ref())? else { continue };
            let entries = self.walk(dir.as_ref(), top, rules)?;
            read.insert(dir.clone(), entries.clone());
            return Ok(PackTree { dir: dir.clone(), entries });
        }
        Err(SourceError::Refused(super::no_directory(dirs, self.path.as_str())))
    }

    fn bytes(&self, _commit: Option<&CommitId>, content: Content) -> Result<Vec<u8>, SourceError> {
        self.objects.get(content)?.ok_or_else(|| {
            SourceError::Unknown(format!(
                "the cache holds no file of {} with the digest {content}",
                self.path
            ))
        })
    }

    fn copy(
        &self,
        _commit: Option<&CommitId>,
        content: Content,
        to: &mut dyn Write,
    ) -> Result<(), SourceError> {
        if self.objects.copy(content, to)? {
            return Ok(());
        }
        Err(SourceError::Unknown(format!("the cache holds no file with the digest {content}")))
    }

    fn give(&self, commit: Option<&CommitId>, content: Content) -> Result<Given, SourceError> {
        match self.objects.give(content)? {
            Some(given) => Ok(given),
            None => self.bytes(commit, content).map(Given::Bytes),
        }
    }

    fn object(&self, id: &CommitId) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Unknown(format!("a plain directory has no object {id}")))
    }

    fn history(
        &self,
        _dirs: &[Option<TreePath>],
        _main: Option<&CommitId>,
        _most: usize,
    ) -> Result<History, SourceError> {
        Ok(History { whole: true, ..History::default() })
    }

    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, SourceError> {
        Err(SourceError::Unknown(format!("{} is a plain directory and has neither {a} nor {b}", self.path)))
    }

    fn pin(&self, _commits: &[CommitId]) -> Result<(), SourceError> {
        Ok(())
    }
}
