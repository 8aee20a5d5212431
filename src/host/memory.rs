//! A root in memory: the whole meaning of the port without a disk.
//!
//! For tests of the floors above. It answers to the same contract suite as a root on disk; crashes,
//! attributes, mounts and other users are deliberately absent, because they are not part of the port.
//! The methods below the port's are what a person with a shell would do to the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::examine::{About, Exam, Examined, Finding};
use super::prepare::{Intent, Preparation, Step, StepState};
use super::{
    Actual, Applied, BlobError, Blobs, Check, Checked, Commit, EditId, Features, Generation, Glance,
    HistoryLine, Host, HostError, Look, Notes, Observation, Pausing, Recovery, Resume, SavedEdit, Seen,
    Unchanged, annals, by_now,
};
use crate::model::plan::{Action, Obstacle};
use crate::model::record::{Record, Recorded};
use crate::model::rollout::Pause;
use crate::model::settled::parts;
use crate::model::{Content, Entry, HostPath, Kind, TreePath};

/// One thing in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// A file or link with its bytes.
    Leaf(Kind, Vec<u8>),
    /// Something in the way.
    Obstacle(Obstacle),
}

impl Node {
    fn entry(&self) -> Option<Entry> {
        match self {
            Self::Leaf(kind, bytes) => Some(Entry::of(*kind, bytes)),
            Self::Obstacle(_) => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Tree {
    nodes: BTreeMap<TreePath, Node>,
    directories: BTreeSet<TreePath>,
}

impl Tree {
    fn put(&mut self, path: &TreePath, node: Node) {
        self.directories.extend(path.ancestors());
        self.nodes.insert(path.clone(), node);
    }

    /// The nearest to the root of what keeps `path` from being reached.
    fn barrier(&self, path: &TreePath) -> Option<Obstacle> {
        let ancestors: Vec<_> = path.ancestors().collect();
        ancestors.into_iter().rev().find_map(|at| {
            let what = match self.nodes.get(&at)? {
                Node::Leaf(Kind::Link, _) => "symlink",
                _ => "file",
            };
            Some(Obstacle::Ancestor { at, what: what.into() })
        })
    }

    fn holds_anything(&self, directory: &TreePath) -> bool {
        self.nodes.keys().chain(&self.directories).any(|path| path.is_below(directory))
    }
}

#[derive(Debug, Default)]
struct Inside {
    tree: Tree,
    record: Option<Record>,
    objects: BTreeMap<Content, Vec<u8>>,
    generations: Vec<(Generation, BTreeMap<Content, Vec<u8>>)>,
    history: Vec<HistoryLine>,
    edits: BTreeMap<EditId, (SavedEdit, Vec<u8>)>,
    last_edit: EditId,
    prepared: bool,
    notes: Notes,
}

/// A root in memory.
#[derive(Debug)]
pub struct MemoryHost {
    root: HostPath,
    inside: Mutex<Inside>,
}

impl MemoryHost {
    /// An empty root on which packfleet never committed.
    pub fn new(root: HostPath) -> Self {
        Self { root, inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a file or link, as a person would, making its directories.
    pub fn write(&self, path: &TreePath, kind: Kind, bytes: &[u8]) {
        self.inside().tree.put(path, Node::Leaf(kind, bytes.to_vec()));
    }

    /// Removes a file, a link, or a directory with all that it holds.
    pub fn remove(&self, path: &TreePath) {
        let tree = &mut self.inside().tree;
        tree.nodes.retain(|at, _| at != path && !at.is_below(path));
        tree.directories.retain(|at| at != path && !at.is_below(path));
    }

    /// Makes a directory and those above it.
    pub fn make_directory(&self, path: &TreePath) {
        let directories = &mut self.inside().tree.directories;
        directories.extend(path.ancestors());
        directories.insert(path.clone());
    }

    /// Puts something in the way: a FIFO, a file that cannot be read, ….
    pub fn obstruct(&self, path: &TreePath, obstacle: Obstacle) {
        self.inside().tree.put(path, Node::Obstacle(obstacle));
    }

    /// All files and links with their bytes.
    pub fn files(&self) -> BTreeMap<TreePath, (Kind, Vec<u8>)> {
        let inside = self.inside();
        let leaf = |(path, node): (&TreePath, &Node)| match node {
            Node::Leaf(kind, bytes) => Some((path.clone(), (*kind, bytes.clone()))),
            Node::Obstacle(_) => None,
        };
        inside.tree.nodes.iter().filter_map(leaf).collect()
    }

    /// All directories.
    pub fn directories(&self) -> BTreeSet<TreePath> {
        self.inside().tree.directories.clone()
    }

    fn check_owner(&self, record: &Record, wanted: (&str, &str, &HostPath)) -> Result<(), HostError> {
        if (record.fleet.as_str(), record.deployment.as_str(), &record.root) == wanted {
            return Ok(());
        }
        let why = format!("it belongs to deployment {} of fleet {}", record.deployment, record.fleet);
        Err(HostError::State { root: self.root.clone(), why })
    }

    /// Whether a plan still speaks of this root; `Some` if it has nothing to commit.
    fn fence(&self, inside: &Inside, commit: &Commit<'_>) -> Result<Option<Applied>, HostError> {
        let (plan, next) = (commit.plan, &commit.plan.next);
        self.check_owner(next, (next.fleet.as_str(), next.deployment.as_str(), &self.root))?;
        if let Some(record) = &inside.record {
            self.check_owner(record, (next.fleet.as_str(), next.deployment.as_str(), &self.root))?;
        }
        let found = inside.record.as_ref().map_or(0, |record| record.generation);
        if found != plan.generation || inside.record.as_ref().map(Record::digest) != plan.record {
            return Err(HostError::Stale { root: self.root.clone(), planned: plan.generation, found });
        }
        if !commit.aftercare.tasks(&plan.actions).is_empty() {
            let why = "a tree in memory has no services and no health".into();
            return Err(HostError::Root { root: self.root.clone(), why });
        }
        if !plan.commits {
            return Ok(Some(Applied::Done { generation: found, saved: Vec::new(), said: Vec::new() }));
        }
        Ok(None)
    }
}

impl Host for MemoryHost {
    fn root(&self) -> &HostPath {
        &self.root
    }

    fn features(&self) -> Result<Features, HostError> {
        Ok(Features::all("memory"))
    }

    fn examine(&self, _exam: &Exam) -> Result<Examined, HostError> {
        let inside = self.inside();
        let state = match &inside.record {
            Some(record) => format!("generation {}", record.generation),
            None => "nothing was ever applied here".to_owned(),
        };
        let root = format!("{}, in memory", self.root);
        let findings = vec![Finding::ok(About::Root, root), Finding::ok(About::State, state)];
        Ok(Examined { now: Timestamp::now(), user: "nobody".to_owned(), findings })
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Vec<Step>, HostError> {
        let mut inside = self.inside();
        let state = match preparation.intent {
            _ if inside.prepared || inside.record.is_some() => StepState::Found,
            Intent::Tell => StepState::Would,
            Intent::Do => {
                inside.prepared = true;
                StepState::Done
            }
        };
        let root = Step::new(About::Root, StepState::Found, self.root.as_str());
        Ok(vec![root, Step::new(About::State, state, "the state, in memory")])
    }

    fn observe(&self, look: &Look) -> Result<Observation, HostError> {
        let inside = self.inside();
        if let Some(record) = &inside.record {
            self.check_owner(record, (look.fleet.as_str(), look.deployment.as_str(), &self.root))?;
        }
        let mut looked = look.paths.clone();
        looked.extend(inside.record.iter().flat_map(|record| record.entries.keys().cloned()));
        let none = BTreeSet::new();
        let ours = inside.record.as_ref().map_or(&none, |record| &record.directories);
        let version = look.version_file.as_ref();
        let leaf = |path: &TreePath| match inside.tree.nodes.get(path) {
            Some(Node::Leaf(Kind::File | Kind::Exec, bytes)) => Some(bytes.clone()),
            _ => None,
        };
        let mut actual = see(&inside.tree, &looked, ours);
        actual.unmanaged = unmanaged(&inside.tree, &look.list, &looked, version);
        Ok(Observation {
            digest: inside.record.as_ref().map(Record::digest),
            record: inside.record.clone(),
            actual,
            interrupted: None,
            staged: false,
            version_file: version.and_then(leaf),
            health: None,
            notes: inside.notes.clone(),
        })
    }

    fn unchanged(&self, glance: &Glance) -> Result<Option<Unchanged>, HostError> {
        let inside = self.inside();
        let Some(record) = &inside.record else { return Ok(None) };
        let ours = record.fleet == glance.fleet && record.deployment == glance.deployment;
        let free = |path: &TreePath| !record.entries.contains_key(path);
        let there = |(path, recorded): (&TreePath, &Recorded)| match recorded.base {
            None => true,
            Some(base) => match inside.tree.nodes.get(path) {
                Some(Node::Leaf(kind, bytes)) => Entry::of(*kind, bytes) == base,
                _ => false,
            },
        };
        let same = ours
            && parts(record).as_ref() == Some(&glance.parts)
            && glance.reserved.iter().all(free)
            && record.entries.iter().all(there);
        let version = glance.version_file.as_ref().and_then(|path| match inside.tree.nodes.get(path) {
            Some(Node::Leaf(Kind::File | Kind::Exec, bytes)) => Some(bytes.clone()),
            _ => None,
        });
        let (generation, digest) = (record.generation, record.digest());
        Ok(same.then_some(Unchanged {
            generation,
            digest,
            version_file: version,
            health: None,
            notes: inside.notes.clone(),
        }))
    }

    fn read(&self, path: &TreePath, expected: Content) -> Result<Vec<u8>, HostError> {
        match self.inside().tree.nodes.get(path) {
            Some(Node::Leaf(_, bytes)) if Content::of(bytes) == expected => Ok(bytes.clone()),
            _ => Err(HostError::Changed { path: path.clone() }),
        }
    }

    fn kept(&self, content: Content) -> Result<Option<Vec<u8>>, HostError> {
        let inside = self.inside();
        let edit = || inside.edits.values().find(|(edit, _)| edit.entry.content == content);
        let backup = || inside.generations.iter().find_map(|(_, bytes)| bytes.get(&content));
        let found = inside.objects.get(&content).or_else(backup);
        Ok(found.or_else(|| edit().map(|(_, bytes)| bytes)).cloned())
    }

    fn recover(&self, _look: &Look, _resume: &Resume) -> Result<Recovery, HostError> {
        Ok(Recovery::Nothing)
    }

    fn check(&self, _check: &Check<'_>, _blobs: &dyn Blobs) -> Result<Checked, HostError> {
        Err(HostError::Root { root: self.root.clone(), why: "a tree in memory runs no commands".into() })
    }

    fn apply(&self, commit: &Commit<'_>, blobs: &dyn Blobs) -> Result<Applied, HostError> {
        let (plan, next) = (commit.plan, &commit.plan.next);
        if let Some(done) = self.fence(&self.inside(), commit)? {
            return Ok(done);
        }
        // Fetched while nothing is locked: whoever has the bytes may have to ask this very host for them.
        let held = |content| Ok::<_, HostError>(self.inside().objects.contains_key(&content));
        let mut fetched = BTreeMap::new();
        let puts = plan.actions.iter().filter_map(|action| Some(action.after?.content));
        for content in plan.kept_contents(held)?.into_iter().chain(puts) {
            let there = self.inside().objects.get(&content).cloned();
            fetched.insert(content, there.map_or_else(|| super::verified(blobs, content), Ok)?);
        }
        let mut inside = self.inside();
        if let Some(done) = self.fence(&inside, commit)? {
            return Ok(done);
        }
        let fetch = |content: Content| {
            fetched
                .get(&content)
                .cloned()
                .ok_or_else(|| HostError::Blob(BlobError { content, why: "nobody asked for them".into() }))
        };
        let mut objects = BTreeMap::new();
        let held = |content| Ok::<_, HostError>(inside.objects.contains_key(&content));
        let mut contents = plan.kept_contents(held)?;
        let keep = commit.keep_generations.max(1) as usize;
        let undoable = || inside.generations.iter().take(keep - 1).map(|(past, _)| past);
        let put =
            undoable().flat_map(|past| past.actions.iter().filter_map(|action| Some(action.after?.content)));
        let records = undoable().filter_map(|past| past.previous.as_ref()).chain(&inside.record);
        let needed = put.chain(records.flat_map(Record::kept_contents));
        contents.extend(needed.filter(|content| inside.objects.contains_key(content)));
        for content in contents {
            let bytes = match inside.objects.get(&content) {
                Some(bytes) => bytes.clone(),
                None => fetch(content)?,
            };
            objects.insert(content, bytes);
        }
        let mut tree = inside.tree.clone();
        let mut backup = BTreeMap::new();
        let known = |path: &TreePath| {
            let record = inside.record.as_ref();
            record.is_some_and(|record| {
                record.directories.contains(path) || record.entries.keys().any(|at| at.is_below(path))
            }) || plan.actions.iter().any(|action| action.path.is_below(path))
        };
        for removals in [true, false] {
            for action in plan.actions.iter().filter(|action| action.after.is_none() == removals) {
                if let Some(found) = carry_out(&mut tree, action, &known, &fetch, &mut backup)? {
                    return Ok(Applied::Moved { path: action.path.clone(), found });
                }
            }
        }
        for directory in &plan.prune {
            if !tree.holds_anything(directory) {
                tree.directories.remove(directory);
            }
        }
        if let Some((path, bytes)) = &commit.version_file {
            let found = tree.nodes.get(path).and_then(Node::entry).map(|entry| entry.content);
            if found.is_some() && found != commit.version_from {
                let found = "another VERSION file than the one that it was made from".into();
                return Ok(Applied::Moved { path: path.clone(), found });
            }
            tree.put(path, Node::Leaf(Kind::File, bytes.clone()));
        }
        if let Some((path, line)) = &commit.sync_log {
            let mut text = match tree.nodes.get(path) {
                Some(Node::Leaf(_, bytes)) => bytes.clone(),
                _ => Vec::new(),
            };
            text.extend_from_slice(annals::log_line(line, next.generation).as_bytes());
            text.push(b'\n');
            tree.put(path, Node::Leaf(Kind::File, text));
        }
        let mut saved = Vec::new();
        for action in plan.actions.iter().filter(|action| action.save) {
            let Some((entry, bytes)) =
                action.before.and_then(|entry| Some((entry, backup.get(&entry.content)?.clone())))
            else {
                continue;
            };
            inside.last_edit += 1;
            let edit = SavedEdit {
                id: inside.last_edit,
                path: action.path.clone(),
                pack: Some(action.pack.clone()),
                entry,
                reason: annals::reason(action, &plan.purpose).into(),
                generation: next.generation,
                time: commit.now,
            };
            saved.push(edit.id);
            inside.edits.insert(edit.id, (edit, bytes));
        }
        let generation = Generation {
            number: next.generation,
            actions: plan.actions.clone(),
            previous: inside.record.clone(),
        };
        inside.generations.insert(0, (generation, backup));
        inside.generations.truncate(keep);
        inside.history.push(annals::history_line(commit));
        inside.notes.soak =
            inside.notes.soak.after(inside.record.as_ref(), next, by_now(commit.now, commit.begun));
        inside.objects = objects;
        inside.tree = tree;
        inside.record = Some(next.clone());
        Ok(Applied::Done { generation: next.generation, saved, said: Vec::new() })
    }

    fn history(&self) -> Result<Vec<HistoryLine>, HostError> {
        Ok(self.inside().history.clone())
    }

    fn generations(&self) -> Result<Vec<Generation>, HostError> {
        Ok(self.inside().generations.iter().map(|(generation, _)| generation.clone()).collect())
    }

    fn edits(&self) -> Result<Vec<SavedEdit>, HostError> {
        Ok(self.inside().edits.values().map(|(edit, _)| edit.clone()).collect())
    }

    fn pause(&self, pausing: &Pausing) -> Result<Option<Pause>, HostError> {
        let kept = &mut self.inside().notes.pause;
        match (&*kept, &pausing.pause) {
            (Some(before), Some(pause)) if before.outlasts(pause, pausing.now) => Ok(kept.clone()),
            _ => Ok(std::mem::replace(kept, pausing.pause.clone())),
        }
    }

    fn drop_edits(&self, ids: &[EditId]) -> Result<(), HostError> {
        let mut inside = self.inside();
        if let Some(unknown) = ids.iter().find(|id| !inside.edits.contains_key(id)) {
            return Err(HostError::NoEdit(*unknown));
        }
        inside.edits.retain(|id, _| !ids.contains(id));
        Ok(())
    }
}

/// One action on the tree; says what was found if it is not what the action expects.
fn carry_out(
    tree: &mut Tree,
    action: &Action,
    known: &dyn Fn(&TreePath) -> bool,
    fetch: &dyn Fn(Content) -> Result<Vec<u8>, HostError>,
    backup: &mut BTreeMap<Content, Vec<u8>>,
) -> Result<Option<String>, HostError> {
    let path = &action.path;
    if let Some(obstacle) = tree.barrier(path) {
        return Ok(Some(format!("{obstacle:?}")));
    }
    if action.before.is_none() && action.after.is_some() && tree.directories.contains(path) {
        let mut below = tree.directories.iter().filter(|at| at.is_below(path));
        if tree.nodes.keys().any(|at| at.is_below(path)) || below.any(|at| !known(at)) {
            return Ok(Some("a directory that is not empty".into()));
        }
        tree.directories.retain(|at| at != path && !at.is_below(path));
    }
    let there = tree.nodes.get(path);
    if there.and_then(Node::entry) != action.before || there.is_some() != action.before.is_some() {
        return Ok(Some("something else".into()));
    }
    if tree.directories.contains(path) {
        return Ok(Some("a directory".into()));
    }
    if let (Some(entry), Some(Node::Leaf(_, bytes))) = (action.before, there) {
        backup.insert(entry.content, bytes.clone());
    }
    match action.after {
        None => drop(tree.nodes.remove(path)),
        Some(entry) => tree.put(path, Node::Leaf(entry.kind, fetch(entry.content)?)),
    }
    Ok(None)
}

fn see(tree: &Tree, looked: &BTreeSet<TreePath>, ours: &BTreeSet<TreePath>) -> Actual {
    let mut actual = Actual::default();
    let above = |path: &TreePath| looked.iter().any(|at| at.is_below(path));
    for path in looked {
        let mut ancestors: Vec<_> = path.ancestors().collect();
        ancestors.retain(|at| tree.directories.contains(at) && tree.barrier(at).is_none());
        actual.directories.extend(ancestors.into_iter().filter(|at| !tree.nodes.contains_key(at)));
        let seen = if let Some(obstacle) = tree.barrier(path) {
            Seen::Obstacle(obstacle)
        } else if let Some(node) = tree.nodes.get(path) {
            match node {
                Node::Leaf(kind, bytes) => {
                    actual.hashed += u64::from(*kind != Kind::Link);
                    Seen::Entry(Entry::of(*kind, bytes))
                }
                Node::Obstacle(obstacle) => Seen::Obstacle(obstacle.clone()),
            }
        } else if tree.directories.contains(path) {
            let file = |at: &&TreePath| at.is_below(path) && !looked.contains(*at);
            let directory = |at: &&TreePath| at.is_below(path) && !above(at) && !ours.contains(*at);
            let files = tree.nodes.keys().filter(file);
            let foreign = files.chain(tree.directories.iter().filter(directory)).min();
            Seen::Obstacle(Obstacle::Directory { foreign: foreign.map(|at| at.as_str().to_owned()) })
        } else {
            continue;
        };
        actual.paths.insert(path.clone(), seen);
    }
    actual
}

fn unmanaged(
    tree: &Tree,
    targets: &[Option<TreePath>],
    looked: &BTreeSet<TreePath>,
    version: Option<&TreePath>,
) -> Vec<String> {
    let mut found = BTreeSet::new();
    for target in targets {
        let inside = |path: &TreePath| target.as_ref().is_none_or(|target| path.is_below(target));
        let walked =
            |path: &TreePath| target.as_ref() == Some(path) || looked.iter().any(|at| at.is_below(path));
        // Shown where every directory between it and the target is walked.
        let reached =
            |path: &TreePath| path.ancestors().take_while(|at| inside(at)).all(|above| walked(&above));
        let leaves = tree.nodes.keys().filter(|path| !looked.contains(*path) && Some(*path) != version);
        found
            .extend(leaves.filter(|path| inside(path) && reached(path)).map(|path| path.as_str().to_owned()));
        let directories = tree.directories.iter().filter(|path| inside(path) && !walked(path));
        found.extend(
            directories
                .filter(|path| reached(path) && !looked.contains(*path))
                .map(|path| format!("{path}/")),
        );
    }
    found.into_iter().collect()
}
