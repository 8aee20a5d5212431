//! Statuses in a git repository: one ref per deployment, each a commit without a parent.
//!
//! ```text
//! PREFIX/DEPLOYMENT ─► commit, whose message is the stamp and its signature
//!                        └─ tree ─► manifest       a blob; deployments with the same one share it
//! ```
//! A word that changed nothing but its time is one small commit more. A ref is replaced only if it is at the commit
//! that was seen: a repository on this machine is asked so itself, and of one elsewhere the server compares what it
//! listed on this very connection. Everything is read by one fetch into a bare mirror in the cache, which is made anew
//! when many fetches have left their packs behind: what was replaced is not kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use git2::{Direction, ErrorCode, FileMode, Oid, PushOptions, Repository, Signature, Time};

use super::{Damage, MAX_MANIFEST, MAX_STAMP, Of, Post, Posted, Published, StatusStore, Version, Word};
use crate::model::DeploymentName;
use crate::model::fleet::Url;
use crate::model::stamp::Stamp;
use crate::source::objects::{io, make_dir};
use crate::source::{SourceError, libgit2, origin};

/// The one file of a commit.
const MANIFEST: &str = "manifest";
/// So many packs in the mirror are enough.
const MANY_PACKS: usize = 40;

/// The store.
pub struct GitStatus {
    url: Url,
    /// Without a slash at its end.
    prefix: String,
    mirror: Utf8PathBuf,
}

/// Refs below the prefix, by deployment.
type Refs = BTreeMap<DeploymentName, Oid>;

impl GitStatus {
    /// A repository, and below which refs. Nothing is asked yet.
    pub fn open(cache: &Utf8Path, url: &Url, prefix: &str) -> Self {
        let shown = format!("{url} {prefix}");
        let digest = blake3::hash(shown.as_bytes()).to_hex();
        Self {
            url: url.clone(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            mirror: cache.join("statuses").join(&digest[..16]),
        }
    }

    fn reference(&self, name: &DeploymentName) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn deployment(&self, reference: &str) -> Option<DeploymentName> {
        reference.strip_prefix(&self.prefix)?.strip_prefix('/')?.parse().ok()
    }

    fn unreadable(&self, source: git2::Error) -> SourceError {
        SourceError::Read { what: format!("the statuses of {}", self.url), source }
    }

    fn lock(&self) -> Result<File, SourceError> {
        let path = Utf8PathBuf::from(format!("{}.lock", self.mirror));
        if let Some(dir) = path.parent() {
            make_dir(dir)?;
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|error| io("open", &path, error))?;
        file.lock().map_err(|error| io("lock", &path, error))?;
        Ok(file)
    }

    /// The mirror. Assumes that the lock is held.
    fn mirror(&self) -> Result<Repository, SourceError> {
        libgit2::settle();
        let packs = self.mirror.join("objects/pack");
        let many = packs.read_dir_utf8().is_ok_and(|packs| packs.count() > 2 * MANY_PACKS);
        match Repository::open_bare(&self.mirror) {
            Ok(repository) if !many => return Ok(repository),
            _ => {}
        }
        match fs::remove_dir_all(&self.mirror) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("remove", &self.mirror, error));
            }
            _ => {}
        }
        Repository::init_bare(&self.mirror).map_err(|source| self.unreadable(source))
    }

    /// A repository on this machine.
    fn here(&self) -> Result<Option<Repository>, SourceError> {
        let Some(path) = origin::directory(&self.url) else { return Ok(None) };
        libgit2::settle();
        Repository::open(path).map(Some).map_err(|error| origin::unreachable(&self.url, &error))
    }

    fn refs(&self, repository: &Repository, of: Of<'_>) -> Result<Refs, SourceError> {
        let mut refs = Refs::new();
        let mut add = |reference: git2::Reference<'_>| {
            if let (Ok(name), Some(id)) = (reference.name(), reference.target())
                && let Some(name) = self.deployment(name)
            {
                refs.insert(name, id);
            }
        };
        match of {
            Of::All => {
                let all = repository.references_glob(&format!("{}/*", self.prefix));
                for reference in all.map_err(|source| self.unreadable(source))? {
                    add(reference.map_err(|source| self.unreadable(source))?);
                }
            }
            Of::Some(names) => {
                for name in names {
                    match repository.find_reference(&self.reference(name)) {
                        Ok(reference) => add(reference),
                        Err(error) if error.code() == ErrorCode::NotFound => {}
                        Err(error) => return Err(self.unreadable(error)),
                    }
                }
            }
        }
        Ok(refs)
    }

    /// Brings the mirror up to what the origin has of these.
    fn update(&self, repository: &Repository, of: Of<'_>) -> Result<(), SourceError> {
        let known = self.refs(repository, of)?;
        let mut remote = origin::anonymous(repository, &self.url)?;
        let mut listed = Refs::new();
        {
            let callbacks = origin::callbacks(repository, &self.url);
            let mut connection = remote
                .connect_auth(Direction::Fetch, Some(callbacks), Some(origin::proxy()))
                .map_err(|error| origin::unreachable(&self.url, &error))?;
            let heads = connection.list().map_err(|error| origin::unreachable(&self.url, &error))?;
            let named = heads.iter().filter_map(|head| Some((self.deployment(head.name())?, head.oid())));
            listed.extend(named.filter(|(name, _)| of.means(name)));
            let new: Vec<String> = listed
                .iter()
                .filter(|(name, id)| known.get(*name) != Some(*id))
                .map(|(name, _)| format!("{0}:{0}", self.reference(name)))
                .collect();
            if !new.is_empty() {
                let specs: Vec<&str> = new.iter().map(String::as_str).collect();
                origin::download(connection.remote(), repository, &self.url, &specs)?;
            }
        }
        let wrote = |result: Result<(), git2::Error>| result.map_err(|source| self.unreadable(source));
        for name in known.keys().filter(|name| !listed.contains_key(*name)) {
            let reference = repository.find_reference(&self.reference(name));
            wrote(reference.and_then(|mut reference| reference.delete()))?;
        }
        for (name, id) in listed.iter().filter(|(name, id)| known.get(*name) != Some(*id)) {
            wrote(repository.reference(&self.reference(name), *id, true, "packfleet").map(drop))?;
        }
        Ok(())
    }

    fn words(&self, repository: &Repository, refs: Refs) -> Published {
        let mut published = Published::default();
        let mut manifests: BTreeMap<Oid, Arc<str>> = BTreeMap::new();
        for (name, id) in refs {
            match word(repository, id, &mut manifests) {
                Ok(word) => drop(published.words.insert(name, word)),
                Err(why) => {
                    let version = Some(Version(id.to_string()));
                    published.damaged.insert(name, Damage { version, why });
                }
            }
        }
        published
    }

    /// Writes the commit of a post.
    fn commit(&self, repository: &Repository, post: &Post) -> Result<Oid, git2::Error> {
        let blob = repository.blob(post.manifest.as_bytes())?;
        let mut builder = repository.treebuilder(None)?;
        builder.insert(MANIFEST, blob, FileMode::Blob.into())?;
        let tree = repository.find_tree(builder.write()?)?;
        // Equal stamps are one commit.
        let time = Stamp::parse(&post.stamp).map_or(0, |signed| signed.stamp.time.as_second());
        let nobody = Signature::new("packfleet", "packfleet@localhost", &Time::new(time, 0))?;
        repository.commit(None, &nobody, &nobody, &post.stamp, &tree, &[])
    }

    /// Publishes in a repository on this machine.
    fn put(&self, repository: &Repository, post: &Post) -> Result<Posted, git2::Error> {
        let id = self.commit(repository, post)?;
        let reference = self.reference(&post.deployment);
        // The zero id means that there is none. Unlike a check for absence it is compared under the lock of the ref.
        let seen =
            post.replaces.as_ref().map_or_else(|| Ok(Oid::ZERO_SHA1), |version| Oid::from_str(&version.0));
        let Ok(seen) = seen else { return Ok(Posted::Overtaken) };
        let written = repository.reference_matching(&reference, id, true, seen, "packfleet");
        match written {
            Ok(_) => Ok(Posted::Taken(Version(id.to_string()))),
            Err(error)
                if matches!(error.code(), ErrorCode::Exists | ErrorCode::Modified | ErrorCode::NotFound) =>
            {
                Ok(Posted::Overtaken)
            }
            // Somebody is writing the same ref.
            Err(error) if error.code() == ErrorCode::Locked => Ok(Posted::Overtaken),
            Err(error) => Err(error),
        }
    }

    /// Publishes elsewhere.
    fn push(&self, repository: &Repository, posts: &[Post]) -> Result<Vec<Posted>, SourceError> {
        let mut remote = origin::anonymous(repository, &self.url)?;
        let unreachable = |error: git2::Error| origin::unreachable(&self.url, &error);
        let callbacks = origin::callbacks(repository, &self.url);
        let mut connection = remote
            .connect_auth(Direction::Push, Some(callbacks), Some(origin::proxy()))
            .map_err(unreachable)?;
        let heads = connection.list().map_err(unreachable)?;
        let there: BTreeMap<&str, Oid> = heads.iter().map(|head| (head.name(), head.oid())).collect();
        let mut answers: Vec<Posted> = Vec::new();
        let mut specs: Vec<String> = Vec::new();
        let mut on_the_way: BTreeMap<String, usize> = BTreeMap::new();
        for post in posts {
            let reference = self.reference(&post.deployment);
            let seen = there.get(reference.as_str()).map(|id| Version(id.to_string()));
            if seen != post.replaces || on_the_way.contains_key(&reference) {
                answers.push(Posted::Overtaken);
                continue;
            }
            let id = self.commit(repository, post).map_err(|source| self.unreadable(source))?;
            // By force, because no word descends from another; the server compares with what it listed.
            specs.push(format!("+{id}:{reference}"));
            on_the_way.insert(reference, answers.len());
            answers.push(Posted::Taken(Version(id.to_string())));
        }
        if specs.is_empty() {
            return Ok(answers);
        }
        let refused: RefCell<Vec<(String, String)>> = RefCell::default();
        {
            let mut callbacks = origin::callbacks(repository, &self.url);
            callbacks.push_update_reference(|reference, status| {
                if let Some(status) = status {
                    refused.borrow_mut().push((reference.to_owned(), status.to_owned()));
                }
                Ok(())
            });
            let mut options = PushOptions::new();
            options.remote_callbacks(callbacks).proxy_options(origin::proxy());
            connection.remote().push(&specs, Some(&mut options)).map_err(unreachable)?;
        }
        for (reference, why) in refused.into_inner() {
            if let Some(at) = on_the_way.get(&reference) {
                answers[*at] = Posted::Refused(why);
            }
        }
        Ok(answers)
    }
}

/// What a commit says; why it says nothing.
fn word(repository: &Repository, id: Oid, manifests: &mut BTreeMap<Oid, Arc<str>>) -> Result<Word, String> {
    let git = |error: git2::Error| error.message().to_owned();
    let commit = repository.find_commit(id).map_err(git)?;
    let stamp = commit.message_raw_bytes();
    if stamp.len() > MAX_STAMP {
        return Err("its stamp is too large".to_owned());
    }
    let stamp = std::str::from_utf8(stamp).map_err(|_| "its stamp is no text")?.to_owned();
    let tree = commit.tree().map_err(git)?;
    let blob = tree.get_name(MANIFEST).ok_or("it has no manifest")?.id();
    let manifest = match manifests.get(&blob) {
        Some(manifest) => Arc::clone(manifest),
        None => {
            let blob = repository.find_blob(blob).map_err(git)?;
            if blob.size() > MAX_MANIFEST {
                return Err("its manifest is too large".to_owned());
            }
            Arc::from(std::str::from_utf8(blob.content()).map_err(|_| "its manifest is no text")?)
        }
    };
    manifests.insert(blob, Arc::clone(&manifest));
    Ok(Word { version: Version(id.to_string()), stamp, manifest })
}

impl StatusStore for GitStatus {
    fn fetch(&self, of: Of<'_>) -> Result<Published, SourceError> {
        if let Some(here) = self.here()? {
            let refs = self.refs(&here, of)?;
            return Ok(self.words(&here, refs));
        }
        let _lock = self.lock()?;
        let mirror = self.mirror()?;
        self.update(&mirror, of)?;
        let refs = self.refs(&mirror, of)?;
        Ok(self.words(&mirror, refs))
    }

    fn publish(&self, posts: &[Post]) -> Result<Vec<Posted>, SourceError> {
        if posts.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(here) = self.here()? {
            let put = |post| self.put(&here, post).map_err(|error| origin::unreachable(&self.url, &error));
            return posts.iter().map(put).collect();
        }
        let _lock = self.lock()?;
        let mirror = self.mirror()?;
        let answers = self.push(&mirror, posts)?;
        let names: BTreeSet<&DeploymentName> = posts.iter().map(|post| &post.deployment).collect();
        tracing::debug!(deployments = names.len(), url = %self.url, "statuses published");
        Ok(answers)
    }
}
