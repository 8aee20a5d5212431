//! A small world for tests of hosts: places with a tree, plans made from a look, and their bytes.
//!
//! Plans are made here by hand and not by the planner: what a host does must follow from the plan alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use packfleet::host::{
    Applied, BlobError, Blobs, Commit, Host, HostError, LocalHost, Look, MemoryHost, Observation, Reread,
    Seen, Trust,
};
use packfleet::model::fleet::Edits;
use packfleet::model::pack::{CommitId, InstallMap, Modes, Pin};
use packfleet::model::plan::{Action, Cause, Obstacle, Plan, Purpose};
use packfleet::model::record::{Record, Recorded, RecordedPack};
use packfleet::model::{Content, DesiredDigest, Entry, HostPath, Kind, TreeDigest, TreePath};

/// Files and links with their bytes.
pub type Files = BTreeMap<String, (Kind, Vec<u8>)>;

pub const VERSION: &str = "VERSION";
pub const LOG: &str = "sync.log";

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("a path")
}

/// `("a/b", "text")` is a file, `("a/b*", …)` an executable one, `("a/b@", …)` a link.
pub fn files(list: &[(&str, &str)]) -> Files {
    list.iter()
        .map(|(name, text)| {
            let (name, kind) = match name.as_bytes().last() {
                Some(b'*') => (&name[..name.len() - 1], Kind::Exec),
                Some(b'@') => (&name[..name.len() - 1], Kind::Link),
                _ => (*name, Kind::File),
            };
            (name.to_owned(), (kind, text.as_bytes().to_vec()))
        })
        .collect()
}

/// Bytes by digest.
#[derive(Debug, Default)]
pub struct Store(pub BTreeMap<Content, Vec<u8>>);

impl Store {
    pub fn of(files: &Files) -> Self {
        Self(files.values().map(|(_, bytes)| (Content::of(bytes), bytes.clone())).collect())
    }
}

impl Blobs for Store {
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        self.0.get(&content).cloned().ok_or_else(|| BlobError { content, why: "not in the test".into() })
    }
}

/// A host and hands that reach its tree.
pub trait Place: Sync {
    fn host(&self) -> &dyn Host;
    fn write(&self, path: &str, kind: Kind, bytes: &[u8]);
    fn remove(&self, path: &str);
    fn make_directory(&self, path: &str);
    /// All files but the state directory's.
    fn files(&self) -> Files;
    fn directories(&self) -> BTreeSet<String>;
}

pub struct OnDisk {
    pub directory: tempfile::TempDir,
    host: Box<dyn Host>,
}

impl OnDisk {
    pub fn new() -> Self {
        Self::behind(|root| Box::new(LocalHost::open(root)))
    }

    pub fn behind(open: impl FnOnce(HostPath) -> Box<dyn Host>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        let host = open(HostPath::new(root.to_str().expect("UTF-8")).expect("a root"));
        Self { directory, host }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }
}

impl Place for OnDisk {
    fn host(&self) -> &dyn Host {
        self.host.as_ref()
    }

    fn write(&self, path: &str, kind: Kind, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        match kind {
            Kind::Link => {
                let _absent = fs::remove_file(&path);
                symlink(std::str::from_utf8(bytes).expect("UTF-8"), &path).expect("a link");
            }
            _ => {
                fs::write(&path, bytes).expect("a file");
                let mode = if kind == Kind::Exec { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            }
        }
    }

    fn remove(&self, path: &str) {
        let path = self.root().join(path);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
    }

    fn make_directory(&self, path: &str) {
        fs::create_dir_all(self.root().join(path)).expect("a directory");
    }

    fn files(&self) -> Files {
        tree_files(&self.root())
    }

    fn directories(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        walk(&self.root(), &self.root(), &mut |name, path| {
            if path.is_dir() && !path.is_symlink() {
                found.insert(name);
            }
        });
        found
    }
}

/// All files and links below a root, but the state directory's.
pub fn tree_files(root: &Path) -> Files {
    let mut found = Files::new();
    walk(root, root, &mut |name, path| {
        if path.is_symlink() {
            let text = fs::read_link(&path).expect("a link").to_str().expect("UTF-8").as_bytes().to_vec();
            found.insert(name, (Kind::Link, text));
        } else if path.is_file() {
            let mode = path.metadata().expect("metadata").permissions().mode();
            found.insert(name, (Kind::regular(mode & 0o100 != 0), fs::read(&path).expect("bytes")));
        }
    });
    found
}

fn walk(root: &Path, at: &Path, each: &mut dyn FnMut(String, PathBuf)) {
    let Ok(entries) = fs::read_dir(at) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(root).expect("below").to_str().expect("UTF-8").to_owned();
        if name == ".packfleet" {
            continue;
        }
        each(name, path.clone());
        if path.is_dir() && !path.is_symlink() {
            walk(root, &path, each);
        }
    }
}

pub struct InMemory(MemoryHost);

impl InMemory {
    pub fn new() -> Self {
        Self(MemoryHost::new(HostPath::new("/memory/root").expect("a root")))
    }
}

impl Place for InMemory {
    fn host(&self) -> &dyn Host {
        &self.0
    }

    fn write(&self, at: &str, kind: Kind, bytes: &[u8]) {
        self.0.write(&path(at), kind, bytes);
    }

    fn remove(&self, at: &str) {
        self.0.remove(&path(at));
    }

    fn make_directory(&self, at: &str) {
        self.0.make_directory(&path(at));
    }

    fn files(&self) -> Files {
        self.0.files().into_iter().map(|(path, file)| (path.as_str().to_owned(), file)).collect()
    }

    fn directories(&self) -> BTreeSet<String> {
        self.0.directories().iter().map(|path| path.as_str().to_owned()).collect()
    }
}

pub fn look(wanted: &Files) -> Look {
    Look {
        fleet: "fleet".parse().expect("a name"),
        deployment: "home".parse().expect("a name"),
        paths: wanted.keys().map(|name| path(name)).collect(),
        list: Vec::new(),
        trust: Trust::StatCache,
        version_file: Some(path(VERSION)),
    }
}

pub fn observe(host: &dyn Host, wanted: &Files) -> Observation {
    host.observe(&look(wanted)).expect("an observation")
}

fn pack(version: &str) -> RecordedPack {
    RecordedPack {
        pin: Pin {
            version: version.into(),
            found_by: version.into(),
            commit: None,
            tree: TreeDigest::from_bytes([0; 32]),
        },
        requirement: "^1".into(),
        source: "s".parse().expect("a name"),
        overlays: Vec::new(),
        desired: DesiredDigest::from_bytes([0; 32]),
        requires: Vec::new(),
        install: InstallMap::default(),
        host_owns: Vec::new(),
        host_keys: Vec::new(),
        modes: Modes::default(),
        atomic: true,
        edits: Edits::default(),
        version_key: "p_version".into(),
        features: Vec::new(),
    }
}

/// A plan that makes the recorded and the wanted paths hold exactly what is wanted.
pub fn plan(host: &dyn Host, wanted: &Files, version: &str) -> Plan {
    let seen = observe(host, wanted);
    let empty = || {
        let look = look(wanted);
        Record::empty(look.fleet, look.deployment, host.root().clone())
    };
    let old = seen.record.clone().unwrap_or_else(empty);
    let wanted: BTreeMap<TreePath, Entry> =
        wanted.iter().map(|(name, (kind, bytes))| (path(name), Entry::of(*kind, bytes))).collect();
    let paths: BTreeSet<&TreePath> = old.entries.keys().chain(wanted.keys()).collect();
    let (mut removals, mut puts) = (Vec::new(), Vec::new());
    for at in paths {
        let before = match seen.actual.paths.get(at) {
            Some(Seen::Entry(entry)) => Some(*entry),
            Some(Seen::Obstacle(Obstacle::Unreadable(why))) => panic!("{at} cannot be read: {why}"),
            _ => None,
        };
        let after = wanted.get(at).copied();
        if before == after {
            continue;
        }
        let base = old.entries.get(at).and_then(|recorded| recorded.base);
        let action = Action {
            path: at.clone(),
            pack: "p".parse().expect("a name"),
            before,
            after,
            cause: if base == before { Cause::Upgrade } else { Cause::Revert },
            save: before.is_some() && before != base,
        };
        if after.is_none() { removals.insert(0, action) } else { puts.push(action) }
    }
    let actions: Vec<Action> = removals.into_iter().chain(puts).collect();
    let mut next = old.clone();
    next.generation += 1;
    next.packs = if wanted.is_empty() {
        BTreeMap::new()
    } else {
        [("p".parse().expect("a name"), pack(version))].into()
    };
    next.entries = wanted
        .iter()
        .map(|(at, entry)| {
            let recorded = Recorded {
                owner: "p".parse().expect("a name"),
                base: Some(*entry),
                written: Some(*entry),
                commit: Some(CommitId::new(&"ab".repeat(20)).expect("a commit")),
            };
            (at.clone(), recorded)
        })
        .collect();
    let needed: BTreeSet<TreePath> = next.entries.keys().flat_map(TreePath::ancestors).collect();
    let there = &seen.actual.directories;
    next.directories.extend(needed.iter().filter(|at| !there.contains(*at)).cloned());
    let mut prune: Vec<TreePath> =
        next.directories.iter().filter(|at| !needed.contains(*at)).cloned().collect();
    prune.reverse();
    next.directories.retain(|at| needed.contains(at));
    Plan {
        purpose: Purpose::Sync,
        generation: old.generation,
        record: seen.digest,
        commits: !actions.is_empty() || old.entries != next.entries || old.packs != next.packs,
        actions,
        renames: Default::default(),
        holds: Vec::new(),
        prune,
        next,
    }
}

pub fn version_text(generation: u64) -> String {
    format!("{{\"generation\":{generation}}}\n")
}

/// A commit of a plan, with VERSION and log.
pub fn commit(plan: &Plan) -> Commit<'_> {
    let generation = plan.next.generation;
    Commit {
        plan,
        now: "2026-03-04T05:06:07Z".parse().expect("a time"),
        begun: None,
        version_file: Some((path(VERSION), version_text(generation).into_bytes())),
        version_from: (plan.generation > 0).then(|| Content::of(version_text(plan.generation).as_bytes())),
        sync_log: Some((path(LOG), format!("synced to {generation}"))),
        keep_generations: 3,
        reread: Reread::Touched,
        aftercare: Default::default(),
        hurry: None,
        fleet: None,
    }
}

pub fn apply(host: &dyn Host, wanted: &Files, version: &str) -> Result<Applied, HostError> {
    let plan = plan(host, wanted, version);
    host.apply(&commit(&plan), &Store::of(wanted))
}

/// Applies and expects it to be done; gives the saved edits.
pub fn done(host: &dyn Host, wanted: &Files, version: &str) -> Vec<u64> {
    match apply(host, wanted, version) {
        Ok(Applied::Done { saved, .. }) => saved,
        other => panic!("{other:?}"),
    }
}

/// The files without VERSION and log.
pub fn managed(mut files: Files) -> Files {
    files.retain(|name, _| name != VERSION && name != LOG);
    files
}
