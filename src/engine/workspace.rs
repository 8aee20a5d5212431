//! The fleet repository, read once: `fleet.toml`, its includes, the overlays, and open sources.
//!
//! Sources are opened without being asked anything yet.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use super::edited;
use super::repository::{LOCK, Overlays, Repository};
use super::status::Statuses;
use crate::desired::compose;
use crate::desired::fleet_file::{self, Context, FleetText};
use crate::desired::lock::{Lock, LockError};
use crate::desired::problem::Problems;
use crate::desired::secrets::Rules;
use crate::host::Host;
use crate::host::reach::Reach;
use crate::model::fleet::{Deployment, Fleet, HostAddress, Source};
use crate::model::pack::CommitId;
use crate::model::{DeploymentName, OverlayName, SourceName, TreePath};
use crate::source::checkout::{self, FleetCommit};
use crate::source::snapshot::Snapshot;
use crate::source::upstream::Upstream;
use crate::source::{DirectorySource, GitSource, Memo, ObjectStore, PackSource, SourceError};

/// A fleet, ready to be looked at.
pub struct Workspace {
    /// What fleet.toml says.
    pub fleet: Fleet,
    /// Where it was read.
    pub file: Utf8PathBuf,
    /// See [`Workspace::commit`]; asked for only where it is shown, because it looks at the whole working tree.
    commit: OnceLock<Option<FleetCommit>>,
    /// Where mirrors and object stores lie.
    pub cache: Utf8PathBuf,
    /// Overlays by name; one that is damaged says why.
    pub(crate) overlays: Overlays,
    /// `fleet.lock`, if there is one.
    pub lock: Option<Lock>,
    /// Sources by name.
    pub(crate) sources: BTreeMap<SourceName, Box<dyn PackSource>>,
    /// Bytes that no commit holds.
    pub(crate) objects: ObjectStore,
    /// What renderings came to.
    pub(crate) sketches: Memo,
    /// How checks ended that failed.
    pub(crate) checks: Memo,
    /// Where all of it is read.
    repository: Repository,
    /// fleet.toml, and the files that it includes.
    pub(crate) texts: Vec<FleetText>,
    /// What is secret in a text: compiled when first asked for.
    pub(crate) secrets: OnceLock<Option<Rules>>,
    /// How hosts are reached.
    reach: Arc<Reach>,
    /// What hosts published, where they are known by that alone.
    statuses: Mutex<Option<Arc<Statuses>>>,
    /// The deployment whose host this machine is, where it cares for that one alone.
    own: Option<DeploymentName>,
    /// The repository of which no commit is taken that leads a host back.
    forward: Option<Upstream>,
    /// See [`Workspace::place`].
    place: Option<String>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file of a commit could not be read.
    #[error("cannot read {path} of {commit} of the fleet repository")]
    Snapped {
        /// Which, beneath the fleet file's directory.
        path: String,
        /// Which commit, for people.
        commit: String,
        /// What was found.
        #[source]
        source: io::Error,
    },
    /// `fleet.lock` is damaged.
    #[error("{path} is no lock")]
    Lock {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, and where.
        #[source]
        source: LockError,
    },
    /// The fleet repository cannot be read as a commit has it.
    #[error(transparent)]
    Snapshot(#[from] SourceError),
    /// What was read does not validate: every problem, with the texts that it lies in.
    #[error("{file} does not validate: {} problem(s)", problems.0.len())]
    Invalid {
        /// The fleet file.
        file: Utf8PathBuf,
        /// The texts, fleet.toml first.
        texts: Vec<FleetText>,
        /// All problems.
        problems: Problems,
    },
}

impl Workspace {
    /// Reads and validates the working tree. `cache` is where mirrors and object stores lie; nothing is fetched yet.
    pub fn load(file: &Utf8Path, cache: &Utf8Path) -> Result<Self, LoadError> {
        let file = absolute(file)?;
        let directory = file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        Self::read_from(Repository::Directory(directory), file, cache)
    }

    /// The same fleet as it was when what is checked out now, and `rev`, parted: the merge base. Plain directories
    /// of sources are as they lie there now.
    pub fn load_merge_base(file: &Utf8Path, cache: &Utf8Path, rev: &str) -> Result<Self, LoadError> {
        let file = absolute(file)?;
        let directory = file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        let snapshot = Snapshot::merge_base(&directory, rev)?;
        Self::read_from(Repository::Commit(directory, snapshot), file, cache)
    }

    /// The commit of which [`Self::load_merge_base`] reads, whatever it has.
    pub fn merge_base(file: &Utf8Path, rev: &str) -> Result<Option<FleetCommit>, LoadError> {
        let file = absolute(file)?;
        let directory = file.parent().unwrap_or(Utf8Path::new("/"));
        Ok(Snapshot::merge_base(directory, rev)?.commit())
    }

    /// Reads and validates what a commit of a fleet repository has. Paths in it that are relative are meant against
    /// `file`'s directory, which need not exist; `snapshot` begins at that directory.
    pub fn load_snapshot(file: &Utf8Path, cache: &Utf8Path, snapshot: Snapshot) -> Result<Self, LoadError> {
        let file = absolute(file)?;
        let directory = file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        Self::read_from(Repository::Commit(directory, snapshot), file, cache)
    }

    /// Whether another reading of the fleet repository says the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.file == other.file
            && self.texts == other.texts
            && self.lock == other.lock
            && self.overlays == other.overlays
    }

    /// Whether a source that was asked would answer otherwise now: it moved, or it did not answer. They are asked
    /// side by side, and nothing is brought in. Those that do not answer are named with the reason.
    pub fn moved(&self) -> (bool, Vec<(SourceName, SourceError)>) {
        let answers = std::thread::scope(|scope| {
            let asked: Vec<_> = self
                .sources
                .iter()
                .map(|(name, source)| (name, scope.spawn(move || source.moved())))
                .collect();
            let answers = asked.into_iter().map(|(name, answer)| (name.clone(), answer.join()));
            answers.collect::<Vec<_>>()
        });
        let mut moved = false;
        let mut errors = Vec::new();
        for (name, answer) in answers {
            match answer {
                Ok(Ok(yes)) => moved |= yes,
                Ok(Err(error)) => errors.push((name, error)),
                // A worker that died learned nothing; whoever asks next sees why.
                Err(_) => moved = true,
            }
        }
        (moved, errors)
    }

    /// The same fleet as git has it: as it is checked out, then as branches have it that `capture` made and that
    /// are not merged, newest first. What does not load is left out.
    pub fn committed(&self) -> Vec<Self> {
        let directory = &self.fleet.directory;
        let snapshots = Snapshot::with_captures(directory).unwrap_or_else(|error| {
            tracing::debug!(%error, "the fleet repository's commits cannot be read");
            Vec::new()
        });
        let load = |snapshot| {
            let repository = Repository::Commit(directory.clone(), snapshot);
            Self::read_from(repository, self.file.clone(), &self.cache).ok()
        };
        snapshots.into_iter().filter_map(load).collect()
    }

    fn read_from(repository: Repository, file: Utf8PathBuf, cache: &Utf8Path) -> Result<Self, LoadError> {
        let mut texts = vec![FleetText { name: short(&file), text: repository.fleet_file(&file)? }];
        for include in repository.includes(&texts[0].text)? {
            let path = TreePath::new(&include).map_err(|error| {
                let path = repository.directory().join(&include);
                LoadError::Read { path, source: io::Error::other(error) }
            })?;
            let text = repository.text(&path)?;
            texts.push(FleetText { name: include, text });
        }
        let overlays = repository.overlays()?;
        let known = overlays
            .iter()
            .map(|(name, overlay)| {
                let pack = overlay.as_ref().ok().map(|overlay| overlay.manifest.pack.to_string());
                (name.to_string(), pack)
            })
            .collect();
        let context = Context { directory: repository.directory().to_owned(), overlays: known };
        let fleet = match fleet_file::parse(&texts, &context) {
            Ok(fleet) => fleet,
            Err(problems) => return Err(LoadError::Invalid { file, texts, problems }),
        };
        let lock = repository.lock()?;
        Ok(Self::of(fleet, file, cache, overlays, lock, repository, texts))
    }

    /// What was read, with sources that were not asked yet.
    fn of(
        fleet: Fleet,
        file: Utf8PathBuf,
        cache: &Utf8Path,
        overlays: Overlays,
        lock: Option<Lock>,
        repository: Repository,
        texts: Vec<FleetText>,
    ) -> Self {
        let sources = fleet
            .sources
            .iter()
            .map(|(name, source)| {
                let source: Box<dyn PackSource> = match source {
                    Source::Git { url, .. } => Box::new(GitSource::open(cache, url)),
                    Source::Directory(path) => Box::new(DirectorySource::open(cache, path)),
                };
                (name.clone(), source)
            })
            .collect();
        let commit = match &repository {
            Repository::Directory(_) => OnceLock::new(),
            Repository::Commit(..) => OnceLock::from(repository.commit()),
        };
        let objects = ObjectStore::open(&cache.join("objects"));
        let sketches = Memo::open(&cache.join("sketches"));
        let checks = Memo::open(&cache.join("checks"));
        let cache = cache.to_owned();
        Self {
            fleet,
            file,
            commit,
            cache,
            overlays,
            lock,
            sources,
            objects,
            sketches,
            checks,
            repository,
            texts,
            secrets: OnceLock::new(),
            reach: Arc::default(),
            statuses: Mutex::default(),
            own: None,
            forward: None,
            place: None,
        }
    }

    /// The same fleet, as it was read, with sources that were not asked yet: each is good for one answer.
    pub fn reopen(&self) -> Self {
        let workspace = Self::of(
            self.fleet.clone(),
            self.file.clone(),
            &self.cache,
            self.overlays.clone(),
            self.lock.clone(),
            self.repository.clone(),
            self.texts.clone(),
        );
        Self {
            forward: self.forward.clone(),
            own: self.own.clone(),
            place: self.place.clone(),
            statuses: Mutex::new(self.statuses()),
            ..workspace.reached_by(Arc::clone(&self.reach))
        }
    }

    /// The texts of fleet.toml and of what it includes.
    pub fn texts(&self) -> &[FleetText] {
        &self.texts
    }

    /// The file of an overlay that is about a path of its pack, else its `overlay.toml`; relative to the fleet
    /// file's directory.
    pub fn overlay_path(&self, overlay: &OverlayName, path: Option<&TreePath>) -> Option<String> {
        let about = |suffix: &str| path.map(|path| format!("overlays/{overlay}/{path}{suffix}"));
        let all =
            [".patch", ".merge.json", ".merge.toml", ".patch.conflict", ""].into_iter().filter_map(about);
        all.chain([format!("overlays/{overlay}/overlay.toml")])
            .find(|file| fs::symlink_metadata(self.fleet.directory.join(file)).is_ok())
    }

    /// What no report may show of a text: the fleet's rules; packfleet's own where those are damaged.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        let compiled = || edited::rules(self).ok().or_else(|| Rules::new(None).ok());
        self.secrets.get_or_init(compiled).as_ref()
    }

    /// The same, with hosts reached in this way.
    pub fn reached_by(mut self, reach: Arc<Reach>) -> Self {
        self.reach = reach;
        self
    }

    /// The same, with hosts as their statuses tell of them: none is reached.
    pub fn told_by(self, statuses: Arc<Statuses>) -> Self {
        self.hear(statuses);
        self
    }

    /// The same, on the host of one deployment: its files are here, and all others are known by their statuses.
    pub fn on_host_of(mut self, name: &DeploymentName) -> Self {
        if let Some(deployment) = self.fleet.deployments.get_mut(name) {
            deployment.host = HostAddress::Local;
        }
        self.own = Some(name.clone());
        self
    }

    /// The deployment whose host this machine is, where it cares for that one alone.
    pub fn own(&self) -> Option<&DeploymentName> {
        self.own.as_ref()
    }

    /// The same, of a repository that is not checked out here.
    #[must_use]
    pub fn known_as(self, place: String) -> Self {
        Self { place: Some(place), ..self }
    }

    /// What tells this fleet file from others, for what is remembered about it: where it lies, in whatever directory
    /// one is.
    pub fn place(&self) -> &str {
        self.place.as_deref().unwrap_or(self.file.as_str())
    }

    /// From now on, hosts are as these tell of them.
    pub(crate) fn hear(&self, statuses: Arc<Statuses>) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner) = Some(statuses);
    }

    /// What hosts published, where they are known by that alone.
    pub fn statuses(&self) -> Option<Arc<Statuses>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What tells of a deployment's host, where it is not to be asked itself.
    pub(crate) fn statuses_of(&self, name: &DeploymentName) -> Option<Arc<Statuses>> {
        self.statuses().filter(|_| self.own.as_ref() != Some(name))
    }

    /// The same, refusing to lead a host behind a commit of this repository that it took before.
    #[must_use]
    pub fn forward_only(self, upstream: Upstream) -> Self {
        Self { forward: Some(upstream), ..self }
    }

    /// The repository of which no commit is taken that leads back.
    pub(crate) fn forward(&self) -> Option<&Upstream> {
        self.forward.as_ref()
    }

    /// The commit that was read, where it is a commit that was read and not a working tree.
    pub fn accepted(&self) -> Option<CommitId> {
        match &self.repository {
            Repository::Directory(_) => None,
            Repository::Commit(_, snapshot) => snapshot.commit().map(|at| at.commit),
        }
    }

    /// The commit that is checked out around the fleet file, if it lies in a git repository.
    pub fn commit(&self) -> Option<&FleetCommit> {
        self.commit.get_or_init(|| checkout::head(&self.fleet.directory)).as_ref()
    }

    /// Where the lock lies, or would.
    pub fn lock_file(&self) -> Utf8PathBuf {
        self.fleet.directory.join(LOCK)
    }

    /// The text of a file of the fleet repository, reached through no link.
    pub(crate) fn read(&self, path: &TreePath) -> Result<String, LoadError> {
        self.repository.text(path)
    }

    /// All files of an overlay's directory, as they lie there; `None` if there is none.
    pub(crate) fn overlay_files(&self, name: &OverlayName) -> Result<Option<compose::Files>, String> {
        self.repository.overlay_files(name)
    }

    /// The host of a deployment. Nothing happens to it yet.
    pub fn host(&self, deployment: &Deployment) -> Box<dyn Host> {
        match self.statuses_of(&deployment.name) {
            Some(statuses) => statuses.host(deployment),
            None => self.reach.host(deployment, &self.fleet),
        }
    }
}

fn short(file: &Utf8Path) -> String {
    file.file_name().unwrap_or("fleet.toml").to_owned()
}

fn absolute(file: &Utf8Path) -> Result<Utf8PathBuf, LoadError> {
    camino::absolute_utf8(file).map_err(|source| LoadError::Read { path: file.to_owned(), source })
}
