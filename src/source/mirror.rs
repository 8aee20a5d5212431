//! A full bare mirror of one repository, in the cache.
//!
//! Refs of the origin lie under `refs/packfleet/origin/`, exactly as it listed them last. What a tag or a
//! rewritten branch led to before stays under `refs/packfleet/past/`, and commits in use under
//! `refs/packfleet/pins/`: nothing that was ever fetched is lost when an origin changes its mind.
//!
//! Processes that write take a lock file, and clear away git's own locks, which one that was killed left. A
//! mirror is made beside its place and renamed there whole, so a half-made one is never read, and a damaged
//! one is made anew by the next refresh, with what can still be read of pins and past. Damage is noticed when
//! a ref leads nowhere, or by a reader, who leaves a mark.
//! Deliberately absent: garbage collection.

use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use git2::{ErrorCode, ObjectType, Oid, Repository};

use super::libgit2::Headers;
use super::objects::{io, make_dir, replace};
use super::origin::{self, Listing};
use super::{Ref, Refs, SourceError, libgit2};
use crate::model::fleet::Url;
use crate::model::pack::CommitId;

const ORIGIN: &str = "refs/packfleet/origin/";
const PAST: &str = "refs/packfleet/past/";
const PINS: &str = "refs/packfleet/pins/";
/// Commits made here, on their way to the origin.
pub(super) const EXPORT: &str = "refs/packfleet/export/";
/// The mark of a reader that found an object missing or damaged; holds the object's id.
const DAMAGED: &str = "packfleet-damaged";
/// An object that is missing although the mirror was made anew: the origin lacks it too.
const ABSENT: &str = "packfleet-absent";

/// One mirror. Repositories that were opened are kept for the next question.
pub(super) struct Mirror {
    url: Url,
    path: Utf8PathBuf,
    open: Mutex<Vec<Opened>>,
}

/// A repository that is open.
pub(super) struct Opened {
    pub(super) repository: Repository,
    objects: OnceCell<Headers>,
}

impl Opened {
    /// Its objects, for bytes that the asker verifies.
    pub(super) fn objects(&self) -> Result<&Headers, git2::Error> {
        if let Some(objects) = self.objects.get() {
            return Ok(objects);
        }
        let objects = Headers::of(&self.repository)?;
        Ok(self.objects.get_or_init(|| objects))
    }
}

impl Mirror {
    pub(super) fn new(cache_dir: &Utf8Path, url: &Url) -> Self {
        // By the masked URL: a new password is no new repository, and no digest of it is written down.
        let shown = url.to_string();
        let digest = blake3::hash(shown.as_bytes()).to_hex();
        let name = format!("{}-{}", readable(&shown), &digest[..12]);
        Self { url: url.clone(), path: cache_dir.join("mirrors").join(name), open: Mutex::default() }
    }

    /// The URL, for messages; it prints masked.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Runs a question against the mirror.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&Repository) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        self.ask_opened(|opened| question(&opened.repository))
    }

    /// The same, with what is kept open beside a repository.
    pub(super) fn ask_opened<T>(
        &self,
        question: impl FnOnce(&Opened) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let kept = self.open.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let opened = match kept {
            Some(opened) => opened,
            None if !self.is_there() => {
                return Err(SourceError::Unknown(format!("{} has not been fetched yet", self.url)));
            }
            None => {
                let repository = open(&self.path).map_err(|source| self.unreadable(source))?;
                Opened { repository, objects: OnceCell::new() }
            }
        };
        let answer = question(&opened);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(opened);
        answer
    }

    /// The refs as they were fetched last.
    pub(super) fn refs(&self) -> Result<Refs, SourceError> {
        self.ask(|repository| refs(repository).map_err(|source| self.unreadable(source)))
    }

    /// Asks the origin for its refs, and fetches if one is new or has moved; tells what it listed. A mirror that
    /// is not there or is damaged is made anew.
    pub(super) fn refresh(&self) -> Result<Listing, SourceError> {
        let _lock = self.lock()?;
        match self.sound() {
            Some(repository) => self.update(&repository),
            None => self.make_anew(),
        }
    }

    /// Asks the origin for its refs. Nothing is brought in, unless there is no mirror yet.
    pub(super) fn list(&self) -> Result<Listing, SourceError> {
        if self.is_there() {
            return self.ask(|repository| origin::fetch(repository, &self.url, |_| false));
        }
        self.refresh()
    }

    /// Fetches a commit to which no branch or tag leads: by its id if it is full, else with every ref that
    /// the origin has. Assumes that the mirror was refreshed.
    pub(super) fn fetch_stray(&self, rev: &str) -> Result<(), SourceError> {
        let _lock = self.lock()?;
        self.ask(|repository| {
            if let Ok(id) = Oid::from_str(rev)
                && rev.len() == 40
            {
                // A server may refuse to give what no ref names; then its refs are all that is left.
                let by_id = origin::fetch_specs(repository, &self.url, &[&format!("{rev}:{PAST}{rev}")]);
                match by_id {
                    Ok(()) if exists(repository, id) => {
                        return keep(repository, PAST, id).map_err(|source| self.unreadable(source));
                    }
                    Ok(()) => {}
                    Err(error) => tracing::debug!(%error, rev, "not to be had by its id"),
                }
            }
            origin::fetch_specs(repository, &self.url, &["refs/*:refs/*"])
        })
    }

    /// Keeps commits reachable.
    pub(super) fn pin(&self, commits: &[CommitId]) -> Result<(), SourceError> {
        let missing = self.ask(|repository| {
            let mut missing = Vec::new();
            for commit in commits {
                let id = Oid::from_str(commit.as_str()).map_err(|source| self.unreadable(source))?;
                if repository.find_commit(id).is_err() {
                    return Err(SourceError::Unknown(format!("{} has no commit {commit}", self.url)));
                }
                if repository.refname_to_id(&format!("{PINS}{commit}")).ok() != Some(id) {
                    missing.push(id);
                }
            }
            Ok(missing)
        })?;
        if missing.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.ask(|repository| {
            for id in &missing {
                keep(repository, PINS, *id).map_err(|source| self.unreadable(source))?;
            }
            Ok(())
        })
    }

    /// Leaves a mark that an object which ought to be there cannot be read: the next refresh makes the
    /// mirror anew, once.
    pub(super) fn mark_damaged(&self, id: Oid) {
        let id = id.to_string();
        let known = fs::read_to_string(self.path.join(ABSENT)).is_ok_and(|absent| absent == id);
        if !known && let Err(error) = replace(&self.path.join(DAMAGED), id.as_bytes()) {
            tracing::warn!(%error, "cannot mark a damaged mirror");
        }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Whether there is anything to ask.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// The error of a mirror that cannot be read or written.
    pub(super) fn unreadable(&self, source: git2::Error) -> SourceError {
        SourceError::Read { what: format!("the mirror of {} at {}", self.url, self.path), source }
    }

    /// Brings the refs of a repository up to date with the origin's.
    fn update(&self, repository: &Repository) -> Result<Listing, SourceError> {
        let known = listing(repository).map_err(|source| self.unreadable(source))?;
        let listed = origin::fetch(repository, &self.url, |listed| {
            listed.iter().any(|(name, id)| known.get(name) != Some(id))
        })?;
        if listed.is_empty() {
            return Err(SourceError::Unknown(format!(
                "{} lists no branch and no tag; the mirror keeps what it had",
                self.url
            )));
        }
        adopt(repository, &known, &listed).map_err(|source| self.unreadable(source))?;
        Ok(listed)
    }

    /// The mirror, if there is one and nothing is wrong with it.
    fn sound(&self) -> Option<Repository> {
        let old = self.beside("old");
        if !self.path.exists() && old.exists() {
            // Killed between two renames.
            let _ = fs::rename(&old, &self.path);
        }
        if !self.path.exists() {
            return None;
        }
        let found = open(&self.path).and_then(|repository| {
            let whole = whole(&repository)?;
            Ok((repository, whole))
        });
        match found {
            Ok((repository, true)) if !self.path.join(DAMAGED).exists() => Some(repository),
            Ok(_) => {
                tracing::warn!(url = %self.url, "the mirror is damaged and made anew");
                None
            }
            Err(error) => {
                tracing::warn!(url = %self.url, %error, "the mirror is damaged and made anew");
                None
            }
        }
    }

    fn make_anew(&self) -> Result<Listing, SourceError> {
        let (new, old) = (self.beside("new"), self.beside("old"));
        remove(&new)?;
        libgit2::settle();
        let repository = Repository::init_bare(&new).map_err(|source| self.unreadable(source))?;
        let listed = self.update(&repository)?;
        if self.path.exists() {
            carry(&self.path, &repository);
            if let Ok(id) = fs::read_to_string(self.path.join(DAMAGED))
                && Oid::from_str(&id).is_ok_and(|id| !exists(&repository, id))
            {
                replace(&new.join(ABSENT), id.as_bytes())?;
            }
            remove(&old)?;
            fs::rename(&self.path, &old).map_err(|error| io("rename", &self.path, error))?;
        }
        fs::rename(&new, &self.path).map_err(|error| io("rename", &new, error))?;
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
        remove(&old)?;
        Ok(listed)
    }

    /// Waits for other processes that write to this mirror; their time is bounded by the timeouts of git.
    pub(super) fn lock(&self) -> Result<File, SourceError> {
        let path = self.beside("lock");
        if let Some(dir) = path.parent() {
            make_dir(dir)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io("open", &path, error))?;
        file.lock().map_err(|error| io("lock", &path, error))?;
        unlock(&self.path)?;
        Ok(file)
    }

    fn beside(&self, suffix: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.{suffix}", self.path))
    }
}

/// The last name of a URL, as far as it is fit for a file name.
fn readable(url: &str) -> String {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last).trim_start_matches('.');
    let fit = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let name: String = last.chars().take(40).map(fit).collect();
    if name.is_empty() { "repository".to_owned() } else { name }
}

fn open(path: &Utf8Path) -> Result<Repository, git2::Error> {
    libgit2::settle();
    Repository::open_bare(path)
}

fn exists(repository: &Repository, id: Oid) -> bool {
    repository.odb().is_ok_and(|odb| odb.exists(id))
}

fn remove(dir: &Utf8Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", dir, error)),
        _ => Ok(()),
    }
}

/// Removes git's own lock files. All who write here hold the lock, so these are of one that was killed; git would
/// wait for it for ever.
fn unlock(path: &Utf8Path) -> Result<(), SourceError> {
    for name in ["packed-refs.lock", "HEAD.lock", "config.lock"] {
        remove_file(&path.join(name))?;
    }
    let mut ahead = vec![path.join("refs")];
    while let Some(dir) = ahead.pop() {
        let entries = match dir.read_dir_utf8() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| io("list", &dir, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| io("list", &dir, error))?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => ahead.push(entry.into_path()),
                // No ref has such a name.
                Ok(_) if entry.file_name().ends_with(".lock") => remove_file(entry.path())?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn remove_file(path: &Utf8Path) -> Result<(), SourceError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Writes `refs/packfleet/…/<id>`.
fn keep(repository: &Repository, namespace: &str, id: Oid) -> Result<(), git2::Error> {
    repository.reference(&format!("{namespace}{id}"), id, true, "packfleet").map(drop)
}

/// The mirror's own listing of the origin's refs.
fn listing(repository: &Repository) -> Result<Listing, git2::Error> {
    let mut listing = Listing::new();
    for reference in repository.references_glob(&format!("{ORIGIN}*"))? {
        let reference = reference?;
        if let (Ok(name), Some(id)) = (reference.name(), reference.target())
            && let Some(name) = name.strip_prefix(ORIGIN)
        {
            listing.insert(name.to_owned(), id);
        }
    }
    Ok(listing)
}

/// Makes the mirror's listing the origin's, and keeps what would be lost by it.
fn adopt(repository: &Repository, known: &Listing, listed: &Listing) -> Result<(), git2::Error> {
    for (name, was) in known {
        let now = listed.get(name);
        let forward = || now.is_some_and(|now| repository.graph_descendant_of(*now, *was).unwrap_or(false));
        if now == Some(was) || name.starts_with("heads/") && forward() {
            continue;
        }
        keep(repository, PAST, *was)?;
        if now.is_none() {
            // Before any is written: a new branch `a/b` needs the name of an old branch `a`.
            repository.find_reference(&format!("{ORIGIN}{name}"))?.delete()?;
        }
    }
    for (name, id) in listed.iter().filter(|(name, id)| known.get(*name) != Some(*id)) {
        match repository.reference(&format!("{ORIGIN}{name}"), *id, true, "packfleet") {
            Ok(_) => {}
            // A name that git itself would not create: nothing can ask for it.
            Err(error) if error.code() == ErrorCode::InvalidSpec => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Branches and tags with the commits they lead to, sorted by name.
fn refs(repository: &Repository) -> Result<Refs, git2::Error> {
    let mut refs = Refs::default();
    for (name, id) in listing(repository)? {
        let object = repository.find_object(id, None)?;
        let commit =
            object.peel(ObjectType::Commit).ok().and_then(|it| CommitId::new(&it.id().to_string()).ok());
        let annotated = object.kind() == Some(ObjectType::Tag);
        let object = annotated.then(|| CommitId::new(&id.to_string()).ok()).flatten();
        if let Some(name) = name.strip_prefix("tags/") {
            refs.tags.push(Ref { name: name.to_owned(), commit, object });
        } else if let Some(name) = name.strip_prefix("heads/") {
            refs.branches.push(Ref { name: name.to_owned(), commit, object: None });
        }
    }
    Ok(refs)
}

/// Whether every ref leads to an object, and those among them that lead on to the next.
fn whole(repository: &Repository) -> Result<bool, git2::Error> {
    let headers = Headers::of(repository)?;
    for reference in repository.references_glob("refs/packfleet/*")? {
        let Some(mut id) = reference?.target() else { return Ok(false) };
        loop {
            let Ok((kind, _)) = headers.read(id) else { return Ok(false) };
            id = match kind {
                ObjectType::Tag => repository.find_tag(id)?.target_id(),
                ObjectType::Commit => repository.find_commit(id)?.tree_id(),
                _ => break,
            };
        }
    }
    Ok(true)
}

/// Takes over from a damaged mirror what it alone may know: pins and past. Best effort: what cannot be read
/// there is lost, and a host that needs it is held.
fn carry(old: &Utf8Path, repository: &Repository) {
    let Ok(damaged) = open(old) else { return };
    let Ok(references) = damaged.references_glob("refs/packfleet/*") else { return };
    let from = Url::new(old.as_str());
    for reference in references.flatten() {
        let (Ok(name), Some(id)) = (reference.name(), reference.target()) else { continue };
        let Some(namespace) = [PINS, PAST, EXPORT].into_iter().find(|namespace| name.starts_with(namespace))
        else {
            continue;
        };
        if !exists(repository, id) {
            let _ = origin::fetch_specs(repository, &from, &[&format!("{name}:{name}")]);
        }
        if exists(repository, id)
            && let Err(error) = keep(repository, namespace, id)
        {
            tracing::warn!(%error, name, "cannot carry a ref over to the new mirror");
        }
    }
}
