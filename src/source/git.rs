//! A git repository as a source of packs.
//!
//! The origin is asked for its refs once, by the first `refresh`; what it answered, or that it did not, is
//! remembered, so a source is good for one run. Everything else is read from the mirror. Bytes are found by
//! digest: through listings that this run has made, then through kept listings of the commit's trees, and
//! if the cache knows nothing any more, by digesting the commit's blobs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::Utf8Path;
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository};

use super::libgit2::Headers;
use super::listing::{self, Listed, Listings, WalkError};
use super::mirror::Mirror;
use super::origin::Listing;
use super::spool::{Given, LARGE, Spool};
use super::{Change, History, PackSource, PackTree, Refs, SourceError, TreeRules, changes, history};
use crate::model::fleet::Url;
use crate::model::pack::CommitId;
use crate::model::{Content, TreePath};

/// A git repository, read through a full bare mirror in the cache. Good for one run.
pub struct GitSource {
    mirror: Mirror,
    listings: Listings,
    asked: Mutex<Asked>,
    found: Mutex<Found>,
    spool: Spool,
}

/// What the origin said.
enum Asked {
    NotYet,
    Answered(Refs, Listing),
    Failed { code: ErrorCode, class: ErrorClass, message: String },
}

/// Where bytes are.
#[derive(Default)]
struct Found {
    blobs: BTreeMap<Content, Oid>,
    /// Those of them that are not to lie in memory for every host.
    large: BTreeSet<Content>,
    /// Commits whose kept listings were all looked through.
    listed: BTreeSet<CommitId>,
    /// Trees whose kept listing was looked for.
    heard: BTreeSet<Oid>,
    /// Commits whose blobs were all digested.
    digested: BTreeSet<CommitId>,
    /// Ids that were looked for at the origin beyond its branches and tags.
    strays: BTreeSet<String>,
}

impl GitSource {
    /// A source for `url` that keeps its mirror beneath `cache_dir`. Nothing is read or written yet.
    pub fn open(cache_dir: &Utf8Path, url: &Url) -> Self {
        Self {
            mirror: Mirror::new(cache_dir, url),
            listings: Listings { dir: cache_dir.join("trees") },
            asked: Mutex::new(Asked::NotYet),
            found: Mutex::default(),
            spool: Spool::default(),
        }
    }

    /// Where the mirror lies.
    pub(super) fn mirror_path(&self) -> &Utf8Path {
        self.mirror.path()
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commit that an id or its beginning names in the mirror; `None` if there is none.
    fn lookup(&self, rev: &str) -> Result<Option<CommitId>, SourceError> {
        self.mirror.ask(|repository| {
            let unreadable = |source| self.mirror.unreadable(source);
            let odb = repository.odb().map_err(unreadable)?;
            let (first, last) = range(rev);
            let found = match (first == last).then_some(first) {
                Some(id) => odb.exists(id).then_some(id),
                None => match odb.exists_prefix(first, rev.len()) {
                    Ok(id) => Some(id),
                    Err(error) if error.code() == ErrorCode::NotFound => None,
                    Err(error) if error.code() == ErrorCode::Ambiguous => {
                        // Other objects do not count: people abbreviate commits.
                        let mut ids = BTreeSet::new();
                        odb.foreach(|id| {
                            if *id >= first && *id <= last {
                                ids.insert(*id);
                            }
                            true
                        })
                        .map_err(unreadable)?;
                        ids.retain(|id| repository.find_commit(*id).is_ok());
                        if ids.len() > 1 {
                            return Err(SourceError::Unknown(ambiguous(repository, rev, &ids)));
                        }
                        ids.pop_first()
                    }
                    Err(error) => return Err(unreadable(error)),
                },
            };
            let Some(id) = found else { return Ok(None) };
            let (kind, _) = Headers::of(repository).and_then(|it| it.read(id)).map_err(unreadable)?;
            if kind != ObjectType::Commit {
                return Err(SourceError::Unknown(format!(
                    "{rev} is a {} of {}, no commit",
                    kind.str(),
                    self.mirror.url()
                )));
            }
            Ok(CommitId::new(&id.to_string()).ok())
        })
    }

    /// The tree of a commit, in the mirror.
    fn top(&self, repository: &Repository, commit: &CommitId) -> Result<Oid, SourceError> {
        let unknown = || SourceError::Unknown(format!("{} has no commit {commit}", self.mirror.url()));
        let id = Oid::from_str(commit.as_str()).map_err(|_| unknown())?;
        match repository.find_commit(id) {
            Ok(found) => Ok(found.tree_id()),
            Err(error) if error.code() == ErrorCode::NotFound => Err(unknown()),
            Err(error) => Err(self.walk_error(WalkError::Object(id, error))),
        }
    }

    /// The tree of the first of `dirs` that exists in a commit.
    fn place(
        &self,
        repository: &Repository,
        commit: &CommitId,
        dirs: &[Option<TreePath>],
    ) -> Result<Option<Oid>, SourceError> {
        let top = self.top(repository, commit)?;
        for dir in dirs {
            let tree = listing::directory(repository, top, dir.as_ref());
            if let Some(tree) = tree.map_err(|error| self.walk_error(error))? {
                return Ok(Some(tree));
            }
        }
        Ok(None)
    }

    fn walk_error(&self, error: WalkError) -> SourceError {
        match error {
            WalkError::Source(error) => error,
            WalkError::Object(id, source) => {
                self.mirror.mark_damaged(id);
                SourceError::Read { what: format!("object {id} of {}", self.mirror.url()), source }
            }
        }
    }

    /// The blob that holds these bytes, as far as is known without reading blobs, or with.
    fn blob(
        &self,
        repository: &Repository,
        commit: Option<&CommitId>,
        content: Content,
    ) -> Result<Option<Oid>, SourceError> {
        let mut found = self.found();
        if let Some(id) = found.blobs.get(&content) {
            return Ok(Some(*id));
        }
        let Some(commit) = commit else { return Ok(None) };
        let top = self.top(repository, commit)?;
        if !found.listed.contains(commit) {
            // Packs lie near the top, and what is asked for lies mostly in one of which a listing was kept.
            let ended = listing::trees(repository, top, |tree| {
                if found.heard.insert(tree)
                    && let Some(listing) = self.listings.kept(tree)
                {
                    found.remember(&listing);
                }
                found.blobs.contains_key(&content)
            });
            if !ended {
                found.listed.insert(commit.clone());
            }
        }
        if !found.blobs.contains_key(&content) && found.digested.insert(commit.clone()) {
            let odb = repository.odb().map_err(|source| self.mirror.unreadable(source))?;
            let known: BTreeSet<Oid> = found.blobs.values().copied().collect();
            let blobs = listing::blobs(repository, top);
            for id in blobs.into_iter().filter(|id| !known.contains(id)) {
                // What cannot be read is not what is looked for, or is missed below.
                if let Ok(bytes) = listing::read(&odb, id) {
                    found.blobs.insert(Content::of(&bytes), id);
                }
            }
        }
        Ok(found.blobs.get(&content).copied())
    }
}

impl Found {
    fn remember(&mut self, listing: &[Listed]) {
        for listed in listing {
            if let Some(id) = listed.blob() {
                self.blobs.insert(listed.content(), id);
                if listed.size() > LARGE {
                    self.large.insert(listed.content());
                }
            }
        }
    }
}

/// The first and the last id that begin so. Assumes at most 40 hexadecimal digits.
fn range(rev: &str) -> (Oid, Oid) {
    let id = |digit: &str| {
        let text = format!("{rev}{}", digit.repeat(40 - rev.len()));
        Oid::from_str(&text).unwrap_or(Oid::ZERO_SHA1)
    };
    (id("0"), id("f"))
}

fn ambiguous(repository: &Repository, rev: &str, ids: &BTreeSet<Oid>) -> String {
    let name = |id: &Oid| {
        let subject = repository.find_commit(*id).ok().and_then(|commit| {
            commit.summary().ok().flatten().map(|text| text.escape_debug().take(50).collect::<String>())
        });
        format!("{id} ({})", subject.unwrap_or_default())
    };
    let names: Vec<String> = ids.iter().take(5).map(name).collect();
    format!("{rev} is ambiguous: {}", names.join(", "))
}

impl PackSource for GitSource {
    fn refresh(&self) -> Result<Refs, SourceError> {
        // Held while fetching: others who ask at the same time wait for the same answer.
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &*asked {
            Asked::Answered(refs, _) => return Ok(refs.clone()),
            Asked::Failed { code, class, message } => {
                let source = git2::Error::new(*code, *class, message);
                return Err(SourceError::Unreachable { url: self.mirror.url().to_string(), source });
            }
            Asked::NotYet => {}
        }
        match self.mirror.refresh().and_then(|listed| Ok((self.mirror.refs()?, listed))) {
            Ok((refs, listed)) => {
                *asked = Asked::Answered(refs.clone(), listed);
                Ok(refs)
            }
            Err(error) => {
                if let SourceError::Unreachable { source, .. } = &error {
                    let (code, class, message) = (source.code(), source.class(), source.message().to_owned());
                    *asked = Asked::Failed { code, class, message };
                }
                Err(error)
            }
        }
    }

    fn moved(&self) -> Result<bool, SourceError> {
        let known = match &*self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Asked::NotYet => return Ok(false),
            Asked::Answered(_, listed) => Some(listed.clone()),
            Asked::Failed { .. } => None,
        };
        let listed = self.mirror.list()?;
        Ok(known != Some(listed))
    }

    fn known(&self) -> Result<Refs, SourceError> {
        self.mirror.refs()
    }

    fn commit(&self, rev: &str) -> Result<CommitId, SourceError> {
        if !(4..=40).contains(&rev.len()) || !rev.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SourceError::Unknown(format!(
                "{rev:?} is no commit id: 4 to 40 hexadecimal digits (a branch or tag has a key of its own)"
            )));
        }
        let rev = rev.to_ascii_lowercase();
        if self.mirror.is_there()
            && let Some(commit) = self.lookup(&rev)?
        {
            return Ok(commit);
        }
        self.refresh()?;
        if let Some(commit) = self.lookup(&rev)? {
            return Ok(commit);
        }
        let unknown = || {
            let url = self.mirror.url();
            SourceError::Unknown(format!("{url} has no commit {rev}, on any ref that it shows"))
        };
        if !self.found().strays.insert(rev.clone()) {
            return Err(unknown());
        }
        self.mirror.fetch_stray(&rev)?;
        self.lookup(&rev)?.ok_or_else(unknown)
    }

    fn tree(
        &self,
        commit: Option<&CommitId>,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<PackTree, SourceError> {
        let Some(commit) = commit else {
            return Err(SourceError::Unknown(format!("{} is read at a commit", self.mirror.url())));
        };
        self.mirror.ask(|repository| {
            let top = self.top(repository, commit)?;
            let place = format!("{} of {}", commit.short(), self.mirror.url());
            for dir in dirs {
                let tree = listing::directory(repository, top, dir.as_ref());
                let Some(tree) = tree.map_err(|error| self.walk_error(error))? else { continue };
                let shown = match dir {
                    None => place.clone(),
                    Some(dir) => format!("{dir:?} in {place}"),
                };
                let listing = self.listings.of(repository, tree, rules, &shown);
                let listing = listing.map_err(|error| self.walk_error(error))?;
                self.found().remember(&listing);
                let entries = listing.iter().map(Listed::entry).collect();
                return Ok(PackTree { dir: dir.clone(), entries });
            }
            Err(SourceError::Refused(super::no_directory(dirs, &place)))
        })
    }

    fn changes(
        &self,
        from: &CommitId,
        to: &CommitId,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<Option<Vec<Change>>, SourceError> {
        self.mirror.ask(|repository| {
            let trees = [from, to].map(|commit| self.place(repository, commit, dirs));
            let [Some(from), Some(to)] = trees.map(|tree| tree.ok().flatten()) else { return Ok(None) };
            let found = changes::between(repository, from, to, rules);
            let Some((changes, blobs)) = found.map_err(|error| self.walk_error(error))? else {
                return Ok(None);
            };
            self.found().blobs.extend(blobs);
            Ok(Some(changes))
        })
    }

    fn tree_id(&self, commit: &CommitId, dirs: &[Option<TreePath>]) -> Result<Option<String>, SourceError> {
        self.mirror.ask(|repository| Ok(self.place(repository, commit, dirs)?.map(|tree| tree.to_string())))
    }

    fn bytes(&self, commit: Option<&CommitId>, content: Content) -> Result<Vec<u8>, SourceError> {
        self.mirror.ask(|repository| {
            let Some(id) = self.blob(repository, commit, content)? else {
                let place = commit.map_or_else(String::new, |commit| format!("{commit} of "));
                return Err(SourceError::Unknown(format!(
                    "{place}{} holds no file with the digest {content}",
                    self.mirror.url()
                )));
            };
            let bytes = repository
                .odb()
                .and_then(|odb| listing::read(&odb, id))
                .map_err(|error| self.walk_error(WalkError::Object(id, error)))?;
            if Content::of(&bytes) == content {
                return Ok(bytes);
            }
            let error = git2::Error::from_str("its bytes are not those that were listed");
            Err(self.walk_error(WalkError::Object(id, error)))
        })
    }

    fn copy(
        &self,
        commit: Option<&CommitId>,
        content: Content,
        to: &mut dyn Write,
    ) -> Result<(), SourceError> {
        self.mirror.ask_opened(|opened| {
            let repository = &opened.repository;
            let failed = |id| move |error| self.walk_error(WalkError::Object(id, error));
            let Some(id) = self.blob(repository, commit, content)? else {
                return Err(SourceError::Unknown(format!("no file with the digest {content} is known")));
            };
            // Who asked compares them with `content`.
            let given = opened.objects().map_err(failed(id))?.unverified(id, |bytes| to.write_all(bytes));
            if let Some(written) = given {
                return written.map_err(|error| super::write_failed(content, error));
            }
            let odb = repository.odb().map_err(failed(id))?;
            let object = odb.read(id).map_err(failed(id))?;
            to.write_all(object.data()).map_err(|error| super::write_failed(content, error))
        })
    }

    fn give(&self, commit: Option<&CommitId>, content: Content) -> Result<Given, SourceError> {
        // Only what is large waits for its turn.
        self.mirror.ask(|repository| self.blob(repository, commit, content))?;
        if !self.found().large.contains(&content) {
            return self.bytes(commit, content).map(Given::Bytes);
        }
        self.spool.give(&self.listings.dir, content, || self.bytes(commit, content))
    }

    fn object(&self, id: &CommitId) -> Result<Vec<u8>, SourceError> {
        self.mirror.ask(|repository| {
            let unreadable = |source| self.mirror.unreadable(source);
            let oid = Oid::from_str(id.as_str()).map_err(unreadable)?;
            let odb = repository.odb().map_err(unreadable)?;
            odb.read(oid).map(|object| object.data().to_vec()).map_err(unreadable)
        })
    }

    fn history(
        &self,
        dirs: &[Option<TreePath>],
        main: Option<&CommitId>,
        most: usize,
    ) -> Result<History, SourceError> {
        let refs = self.known()?;
        self.mirror.ask(|repository| {
            history::walk(repository, &refs, dirs, main, most).map_err(|error| self.walk_error(error))
        })
    }

    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, SourceError> {
        self.mirror.ask(|repository| {
            history::merge_base(repository, a, b).map_err(|source| self.mirror.unreadable(source))
        })
    }

    fn pin(&self, commits: &[CommitId]) -> Result<(), SourceError> {
        self.mirror.pin(commits)
    }
}
