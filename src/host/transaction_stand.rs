//! What the tests of the switch stand on: a root with a record, a plan for it, and a switch cut off at a step.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::super::*;
use crate::host::journal::Step;
use crate::host::{BlobError, EditId, Reread};
use crate::model::plan::{Action, Cause, Plan, Purpose};
use crate::model::record::Recorded;
use crate::model::{Entry, Kind, TreePath};

pub(super) type Files = BTreeMap<String, (Kind, Vec<u8>)>;

pub(super) struct Store(pub(super) BTreeMap<Content, Vec<u8>>);

impl Blobs for Store {
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        self.0.get(&content).cloned().ok_or_else(|| BlobError { content, why: "not in the test".into() })
    }
}

pub(super) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(super) fn file(text: &str) -> (Kind, Vec<u8>) {
    (Kind::File, text.as_bytes().to_vec())
}

/// What the tree is before: `edited` is a person's work that the plan merges, `reverted` one that it saves.
pub(super) fn old_files() -> Files {
    let list = [
        ("d/f", file("old")),
        ("d/edited", file("a person's, before")),
        ("reverted", file("a person's, too")),
        ("gone/x", file("old")),
        ("p", file("file")),
        ("q/r/s", file("deep")),
        ("q/t", file("deep")),
        ("l", (Kind::Link, b"d/f".to_vec())),
        ("same", file("same")),
    ];
    list.into_iter().map(|(name, file)| (name.to_owned(), file)).collect()
}

pub(super) fn new_files() -> Files {
    let list = [
        ("d/f", file("new")),
        ("d/edited", file("merged")),
        ("reverted", file("base of reverted")),
        ("n/m/made", (Kind::Exec, b"new".to_vec())),
        ("p/in", file("below")),
        ("q", file("file")),
        ("l", file("no link")),
        ("same", file("same")),
    ];
    list.into_iter().map(|(name, file)| (name.to_owned(), file)).collect()
}

pub(super) fn put(root: &Path, name: &str, (kind, bytes): &(Kind, Vec<u8>)) {
    let at = root.join(name);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    if *kind == Kind::Link {
        symlink(std::str::from_utf8(bytes).unwrap(), at).unwrap();
        return;
    }
    fs::write(&at, bytes).unwrap();
    let mode = if *kind == Kind::Exec { 0o755 } else { 0o644 };
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn tree(root: &Path) -> Files {
    let mut found = Files::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let at = entry.unwrap().path();
            let name = at.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if at.is_symlink() {
                let text = fs::read_link(&at).unwrap().to_str().unwrap().as_bytes().to_vec();
                found.insert(name, (Kind::Link, text));
            } else if at.is_dir() {
                if name != ".packfleet" {
                    waiting.push(at);
                }
            } else {
                let exec = at.metadata().unwrap().permissions().mode() & 0o100 != 0;
                found.insert(name, (Kind::regular(exec), fs::read(&at).unwrap()));
            }
        }
    }
    found.remove("VERSION");
    found.remove("sync.log");
    found
}

pub(super) fn entries(files: &Files) -> BTreeMap<TreePath, Entry> {
    files.iter().map(|(name, (kind, bytes))| (path(name), Entry::of(*kind, bytes))).collect()
}

pub(super) fn recorded(base: Entry) -> Recorded {
    let commit = crate::model::pack::CommitId::new(&"ab".repeat(20)).unwrap();
    Recorded { owner: "p".parse().unwrap(), base: Some(base), written: Some(base), commit: Some(commit) }
}

/// A root with [`old_files`] recorded in generation 1, and the plan to [`new_files`].
pub(super) struct Stand {
    pub(super) directory: tempfile::TempDir,
    pub(super) at: HostPath,
    pub(super) plan: Plan,
    pub(super) blobs: Store,
}

impl Stand {
    pub(super) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.unwrap();
        let at = HostPath::new(directory.path().to_str().unwrap()).unwrap();
        let (old, new) = (old_files(), new_files());
        for (name, file) in &old {
            put(directory.path(), name, file);
        }
        let mut record = Record::empty("fleet".parse().unwrap(), "home".parse().unwrap(), at.clone());
        record.generation = 1;
        record.entries = entries(&old).into_iter().map(|(at, entry)| (at, recorded(entry))).collect();
        record.entries.insert(path("d/edited"), recorded(Entry::of(Kind::File, b"base of edited")));
        record.entries.insert(path("reverted"), recorded(Entry::of(Kind::File, b"base of reverted")));
        record.directories = ["gone", "q/r"].map(path).into();
        fs::create_dir(directory.path().join(".packfleet")).unwrap();
        let state = directory.path().join(".packfleet");
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(state.join("record"), record.encode()).unwrap();
        let (before, after) = (entries(&old), entries(&new));
        let action = |at: &TreePath| Action {
            path: at.clone(),
            pack: "p".parse().unwrap(),
            before: before.get(at).copied(),
            after: after.get(at).copied(),
            cause: Cause::Revert,
            save: at.as_str() == "reverted",
        };
        // Deliberately not removals first: the switch has to see to that.
        let mut actions: Vec<Action> = before.keys().chain(after.keys()).map(action).collect();
        actions.sort_by(|a, b| a.path.cmp(&b.path));
        actions.dedup();
        actions.retain(|action| action.before != action.after);
        let mut next = record.clone();
        next.generation = 2;
        next.entries = after.iter().map(|(at, entry)| (at.clone(), recorded(*entry))).collect();
        next.directories = ["n", "n/m", "p"].map(path).into();
        let plan = Plan {
            purpose: Purpose::Sync,
            generation: 1,
            record: Some(record.digest()),
            actions,
            renames: Default::default(),
            holds: Vec::new(),
            prune: ["q/r", "gone"].map(path).into(),
            next,
            commits: true,
        };
        let blobs = Store(new.values().map(|(_, bytes)| (Content::of(bytes), bytes.clone())).collect());
        Self { directory, at, plan, blobs }
    }

    pub(super) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub(super) fn commit(&self) -> Commit<'_> {
        Commit {
            plan: &self.plan,
            now: "2026-03-04T05:06:07Z".parse().unwrap(),
            begun: None,
            version_file: Some((path("VERSION"), b"version".to_vec())),
            version_from: fs::read(self.file("VERSION")).ok().map(|bytes| Content::of(&bytes)),
            sync_log: Some((path("sync.log"), "line".into())),
            keep_generations: 2,
            reread: Reread::Touched,
            aftercare: Default::default(),
            hurry: None,
            fleet: None,
        }
    }

    pub(super) fn owner(&self) -> Owner<'_> {
        Owner { fleet: &self.plan.next.fleet, deployment: &self.plan.next.deployment, root: &self.at }
    }

    /// Past the commit point, nothing switched.
    pub(super) fn committed(&self) -> Cut {
        let ground = Ground::open(&self.at).unwrap().unwrap();
        let state = state_or_make(&ground).unwrap();
        let old = read_packed(&state, self.owner()).unwrap().map(|(record, _)| record);
        let manifest = stage(&ground, &state, old.as_ref(), &self.commit(), &self.blobs).unwrap();
        let slots = state.dir(name::STAGE).unwrap();
        commit_point(&state, &slots).unwrap();
        Cut { ground, state, slots, manifest, next: self.plan.next.clone() }
    }

    pub(super) fn settle(&self) -> Recovery {
        let owner = self.owner();
        let again = || recover(&self.at, owner, &Resume::default(), &|| true).unwrap();
        let settled = again();
        assert_eq!(again(), Recovery::Nothing);
        for left in ["journal", "stage", "stat-cache.new"] {
            assert!(!self.file(".packfleet").join(left).exists(), "{left} is left");
        }
        settled
    }

    pub(super) fn record(&self) -> Record {
        Record::decode(&fs::read(self.file(".packfleet/record")).unwrap()).unwrap()
    }

    pub(super) fn saved(&self) -> Vec<(String, Vec<u8>)> {
        let state = Dir::root(self.file(".packfleet").to_str().unwrap()).unwrap();
        let edits = crate::host::edits::Edits::open(&state).unwrap().unwrap();
        let bytes = |id: EditId| fs::read(self.file(&format!(".packfleet/edits/{id}/content"))).unwrap();
        edits
            .list()
            .unwrap()
            .into_iter()
            .map(|edit| (edit.path.as_str().to_owned(), bytes(edit.id)))
            .collect()
    }
}

pub(super) struct Cut {
    pub(super) ground: Ground,
    pub(super) state: Dir,
    pub(super) slots: Dir,
    pub(super) manifest: Manifest,
    pub(super) next: Record,
}

impl Cut {
    pub(super) fn with<T>(
        &self,
        then: impl FnOnce(&Round<'_>, &mut Switch<'_, '_>) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let Self { ground, state, slots, manifest, next } = self;
        let owner = Owner { fleet: &next.fleet, deployment: &next.deployment, root: &ground.at };
        let care = Aftercare::default();
        let round =
            Round { ground, state, owner, care: &care, now: manifest.time, begun: None, attended: &|| true };
        then(&round, &mut Switch { live: &mut Live::new(ground), slots, manifest })
    }

    pub(super) fn forward(&self) -> Result<(), Halt> {
        forward(&mut Live::new(&self.ground), &self.slots, &self.manifest, Start::Fresh)
    }

    pub(super) fn forward_steps(&self, count: usize) {
        let steps: Vec<Step> = self.manifest.steps[..count].to_vec();
        let prefix = Manifest { steps, ..self.manifest.clone() };
        forward(&mut Live::new(&self.ground), &self.slots, &prefix, Start::Fresh).unwrap();
    }

    pub(super) fn back(&self) -> Vec<EditId> {
        self.try_back().unwrap()
    }

    pub(super) fn try_back(&self) -> Result<Vec<EditId>, HostError> {
        self.with(|round, switch| {
            let saved = back(round, switch, Direction::Forward, &Why::Moved)?;
            forget(round).map(|()| saved)
        })
    }

    pub(super) fn end(&self) -> Vec<EditId> {
        let mut idle = Tend::new(&self.ground, Default::default(), self.manifest.time, None);
        match self.with(|round, switch| end(round, switch, &mut idle)).unwrap() {
            End::Done { saved, .. } => saved,
            End::Ill(evidence) => panic!("{evidence:?}"),
        }
    }
}
