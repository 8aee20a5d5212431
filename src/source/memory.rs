//! A source in memory, for tests of the floors above.
//!
//! It obeys the same rules as the others, down to what an unreachable origin means. Commit ids are the
//! first 40 digits of a digest over the files, so equal commits are one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::rules::Intake;
use super::{History, PackSource, PackTree, Past, PastCommit, Ref, Refs, SourceError, TreeRules};
use crate::model::pack::CommitId;
use crate::model::{Content, Kind, TreePath};

/// Files of a pack, sorted.
type Listing<'a> = Vec<(&'a TreePath, &'a (Kind, Vec<u8>))>;

type Files = BTreeMap<TreePath, (Kind, Vec<u8>)>;

/// Commits, tags and branches in memory; the origin can be taken away.
#[derive(Debug, Default)]
pub struct MemorySource {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    commits: BTreeMap<CommitId, Files>,
    tags: BTreeMap<String, Option<CommitId>>,
    branches: BTreeMap<String, CommitId>,
    fetched: Option<Refs>,
    pins: BTreeSet<CommitId>,
    origin: Origin,
    asked: u64,
}

/// Whether an origin answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// It does.
    #[default]
    Reachable,
    /// It does not.
    Unreachable,
}

impl MemorySource {
    /// An empty source.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a commit with these files (path from the top of the source, kind, bytes).
    ///
    /// # Panics
    /// If a path is no [`TreePath`]: tests write them down.
    pub fn commit(&self, files: &[(&str, Kind, &[u8])]) -> CommitId {
        let mut hasher = blake3::Hasher::new();
        let mut tree = Files::new();
        for (path, kind, bytes) in files {
            let path = TreePath::new(path).expect("tests name valid paths");
            hasher.update(format!("{path}\0{kind:?}\0{}\0", Content::of(bytes)).as_bytes());
            tree.insert(path, (*kind, bytes.to_vec()));
        }
        let digits = hasher.finalize().to_hex();
        let id = CommitId::new(&digits[..40]).expect("40 hexadecimal digits");
        self.state().commits.insert(id.clone(), tree);
        id
    }

    /// Sets a tag; `None` makes one that leads to no commit.
    pub fn tag(&self, name: &str, commit: Option<&CommitId>) {
        self.state().tags.insert(name.to_owned(), commit.cloned());
    }

    /// Sets a branch.
    pub fn branch(&self, name: &str, commit: &CommitId) {
        self.state().branches.insert(name.to_owned(), commit.clone());
    }

    /// Whether the origin answers from now on.
    pub fn set_origin(&self, origin: Origin) {
        self.state().origin = origin;
    }

    /// Forgets what the origin said, as a new run does.
    pub fn new_run(&self) {
        self.state().asked = 0;
    }

    /// Commits pinned so far.
    pub fn pinned(&self) -> BTreeSet<CommitId> {
        self.state().pins.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PackSource for MemorySource {
    fn refresh(&self) -> Result<Refs, SourceError> {
        let mut state = self.state();
        if state.asked == 0 {
            if state.origin == Origin::Unreachable {
                return Err(SourceError::Unreachable {
                    url: "memory".into(),
                    source: git2::Error::from_str("the origin was taken away"),
                });
            }
            let tags = state.tags.iter().map(|(name, commit)| Ref {
                name: name.clone(),
                commit: commit.clone(),
                object: None,
            });
            let branches = state.branches.iter().map(|(name, commit)| Ref {
                name: name.clone(),
                commit: Some(commit.clone()),
                object: None,
            });
            state.fetched = Some(Refs { tags: tags.collect(), branches: branches.collect() });
            state.asked = 1;
        }
        Ok(state.fetched.clone().unwrap_or_default())
    }

    fn known(&self) -> Result<Refs, SourceError> {
        let fetched = self.state().fetched.clone();
        fetched.ok_or_else(|| SourceError::Unknown("memory was never fetched".into()))
    }

    fn commit(&self, rev: &str) -> Result<CommitId, SourceError> {
        let state = self.state();
        let found: Vec<&CommitId> = state.commits.keys().filter(|id| id.as_str().starts_with(rev)).collect();
        match found.as_slice() {
            [one] if rev.len() >= 4 => Ok((*one).clone()),
            [] | [_] => Err(SourceError::Unknown(format!("no commit {rev:?} in memory"))),
            many => Err(SourceError::Unknown(format!("{rev:?} is ambiguous: {many:?}"))),
        }
    }

    fn tree(
        &self,
        commit: Option<&CommitId>,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<PackTree, SourceError> {
        let state = self.state();
        let files = commit
            .and_then(|commit| state.commits.get(commit))
            .ok_or_else(|| SourceError::Unknown(format!("no commit {commit:?} in memory")))?;
        for dir in dirs {
            let within = |path: &TreePath| match dir {
                None => Some(path.clone()),
                Some(dir) => path.strip(dir),
            };
            let found: Vec<_> =
                files.iter().filter_map(|(path, file)| within(path).map(|path| (path, file))).collect();
            if found.is_empty() {
                continue;
            }
            let mut intake = Intake::new(rules);
            for (path, (kind, bytes)) in found {
                intake.announce(&path, bytes.len() as u64)?;
                intake.take(path, *kind, bytes)?;
            }
            return Ok(PackTree { dir: dir.clone(), entries: intake.finish("the pack")? });
        }
        Err(SourceError::Refused(super::no_directory(dirs, "memory")))
    }

    fn bytes(&self, commit: Option<&CommitId>, content: Content) -> Result<Vec<u8>, SourceError> {
        let state = self.state();
        commit
            .and_then(|commit| state.commits.get(commit))
            .and_then(|files| files.values().find(|(_, bytes)| Content::of(bytes) == content))
            .map(|(_, bytes)| bytes.clone())
            .ok_or_else(|| SourceError::Unknown(format!("no bytes {content} in memory")))
    }

    fn object(&self, id: &CommitId) -> Result<Vec<u8>, SourceError> {
        Err(SourceError::Unknown(format!("memory keeps no raw object {id}")))
    }

    fn history(
        &self,
        dirs: &[Option<TreePath>],
        main: Option<&CommitId>,
        most: usize,
    ) -> Result<History, SourceError> {
        let state = self.state();
        let tips: BTreeSet<&CommitId> =
            state.branches.values().chain(state.tags.values().flatten()).collect();
        let within =
            |path: &TreePath| dirs.iter().any(|dir| dir.as_ref().is_none_or(|dir| path.is_below(dir)));
        let mut states: Vec<Past> = Vec::new();
        let mut seen: Vec<Listing<'_>> = Vec::new();
        for id in tips {
            let files = state.commits.get(id).into_iter().flatten();
            let files: Vec<_> = files.filter(|(path, _)| within(path)).collect();
            if files.is_empty() {
                continue;
            }
            let commit =
                PastCommit { id: id.clone(), time: 0, subject: String::new(), on_main: main == Some(id) };
            match seen.iter().position(|known| *known == files) {
                Some(place) => states[place].commits.push(commit),
                None if states.len() >= most => {}
                None => {
                    seen.push(files);
                    states.push(Past { commits: vec![commit] });
                }
            }
        }
        let commits = states.iter().map(|state| state.commits.len()).sum();
        Ok(History { whole: states.len() < most, states, commits })
    }

    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, SourceError> {
        // Commits in memory have no parents.
        Ok((a == b).then(|| a.clone()))
    }

    fn pin(&self, commits: &[CommitId]) -> Result<(), SourceError> {
        let mut state = self.state();
        if let Some(unknown) = commits.iter().find(|commit| !state.commits.contains_key(*commit)) {
            return Err(SourceError::Unknown(format!("no commit {unknown} in memory")));
        }
        state.pins.extend(commits.iter().cloned());
        Ok(())
    }
}
