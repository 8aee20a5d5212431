//! One deployment, and the whole engine between a repository and it.
//!
//! A host in memory takes plans as the engine makes them; a host on disk goes through the same calls as the
//! commands do. Nothing is decided here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use camino::Utf8Path;
use packfleet::engine::contents::Contents;
use packfleet::engine::resolve::{Resolutions, resolve};
use packfleet::engine::{Gone, Offline, Options, Recover, Report, Stop, Survey, Unmanaged, Workspace, pass};
use packfleet::host::{Applied, Commit, Host, MemoryHost, Reread, Trust};
use packfleet::model::fleet::Deployment;
use packfleet::model::{HostPath, Kind, TreePath};

use crate::kinds::Step;
use crate::pack::{Files, Origin, Version, fleet_text};

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn options() -> Options {
    Options {
        voice: None,
        jobs: None,
        trust: Trust::Nothing,
        list: Unmanaged::Ignore,
        recover: Recover::Now,
        offline: Offline::Waits,
        gone: Gone::Say,
        stop: Stop::default(),
        hurry: None,
        now: "2026-03-04T05:06:07Z".parse().expect("a time"),
        begun: None,
    }
}

/// What a fleet file that gives one version leads to.
pub struct Wanted {
    pub workspace: Arc<Workspace>,
    pub resolutions: Resolutions,
}

impl Wanted {
    pub fn deployment(&self) -> &Deployment {
        &self.workspace.fleet.deployments["home"]
    }
}

/// Every version of a pack, each with a fleet file of its own.
pub struct Fleets {
    directory: tempfile::TempDir,
    origin: Origin,
    pub versions: Vec<Version>,
}

impl Fleets {
    pub fn new(versions: Vec<Version>) -> Self {
        let origin = Origin::new(&versions);
        Self { directory: temporary(), origin, versions }
    }

    /// The fleet file that gives a version, read and resolved.
    pub fn wanted(&self, version: usize, policy: &str, root: &Path) -> Wanted {
        let top = self.directory.path().canonicalize().expect("a path");
        let text = fleet_text(&self.origin.path(), root, &self.origin.commits[version], policy);
        // One directory each, so that threads do not meet.
        let home = tempfile::tempdir_in(&top).expect("a directory").keep();
        let file = home.join("fleet.toml");
        fs::write(&file, text).expect("a fleet file");
        let file = Utf8Path::from_path(&file).expect("UTF-8");
        let cache = top.join("cache");
        let workspace = Workspace::load(file, Utf8Path::from_path(&cache).expect("UTF-8"));
        let workspace = Arc::new(workspace.unwrap_or_else(|error| panic!("{error:?}")));
        let resolutions = resolve(&workspace, &["home".parse().expect("a name")].into(), &());
        Wanted { workspace, resolutions }
    }

    pub fn all(&self, policy: &str, root: &Path) -> Vec<Wanted> {
        (0..self.versions.len()).map(|version| self.wanted(version, policy, root)).collect()
    }
}

/// Where syncing costs nothing, if there is such a place.
pub fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// What one pass came to.
pub struct Passed {
    pub survey: Survey,
    /// All holds, as a report has them.
    pub holds: String,
}

/// The root that hosts in memory say they have.
pub const ROOT: &str = "/memory/root";

pub fn memory() -> MemoryHost {
    MemoryHost::new(HostPath::new(ROOT).expect("a root"))
}

/// Looks, decides, and carries out, as `apply` does.
pub fn pass(wanted: &Wanted, host: &MemoryHost) -> Passed {
    let (workspace, deployment) = (&wanted.workspace, wanted.deployment());
    let look = pass::look(workspace, &wanted.resolutions, deployment, &options());
    let observation = host.observe(&look).expect("an observation");
    let survey = pass::decide(workspace, &wanted.resolutions, host, deployment, observation);
    let plan = &survey.plan;
    if plan.commits {
        let extra = BTreeMap::new();
        let commit = Commit {
            plan,
            now: options().now,
            begun: None,
            version_file: None,
            version_from: None,
            sync_log: None,
            keep_generations: 50,
            reread: Reread::All,
            aftercare: Default::default(),
            hurry: None,
            fleet: None,
        };
        let applied = host.apply(&commit, &Contents::new(workspace, host, &survey, &extra));
        assert!(matches!(applied, Ok(Applied::Done { .. })), "{applied:?}");
    }
    let holds = format!("{:?}", plan.holds);
    Passed { survey, holds }
}

/// The tree of a host in memory.
pub fn files(host: &MemoryHost) -> Files {
    host.files().into_iter().map(|(path, file)| (path.as_str().to_owned(), file)).collect()
}

pub fn edit_memory(host: &MemoryHost, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Write(at, kind, bytes) => {
                host.remove(&path(at));
                host.write(&path(at), *kind, bytes);
            }
            Step::Remove(at) => host.remove(&path(at)),
            Step::Directory(at) => host.make_directory(&path(at)),
        }
    }
}

/// A root on disk, beneath a directory that goes with it.
pub struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    pub fn new() -> Self {
        Self { directory: temporary() }
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("a path").join("root")
    }

    /// Nothing was ever there.
    pub fn clear(&self) {
        let _absent = fs::remove_dir_all(self.root());
        fs::create_dir(self.root()).expect("a root");
    }

    pub fn edit(&self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Write(at, kind, bytes) => {
                    self.remove(at);
                    let full = self.root().join(at);
                    fs::create_dir_all(full.parent().expect("a parent")).expect("directories");
                    match kind {
                        Kind::Link => {
                            symlink(std::str::from_utf8(bytes).expect("UTF-8"), full).expect("a link")
                        }
                        _ => {
                            fs::write(&full, bytes).expect("a file");
                            let mode = if *kind == Kind::Exec { 0o755 } else { 0o644 };
                            fs::set_permissions(full, fs::Permissions::from_mode(mode)).expect("a mode");
                        }
                    }
                }
                Step::Remove(at) => self.remove(at),
                Step::Directory(at) => fs::create_dir_all(self.root().join(at)).expect("a directory"),
            }
        }
    }

    fn remove(&self, at: &str) {
        let full = self.root().join(at);
        if full.is_dir() && !full.is_symlink() {
            fs::remove_dir_all(full).expect("removed");
        } else {
            let _absent = fs::remove_file(full);
        }
    }

    /// All files and links but the state directory's.
    pub fn files(&self) -> Files {
        let mut found = Files::new();
        self.walk(&self.root(), &mut found);
        found
    }

    fn walk(&self, at: &Path, found: &mut Files) {
        for entry in fs::read_dir(at).expect("a directory") {
            let full = entry.expect("an entry").path();
            let name = full.strip_prefix(self.root()).expect("below").to_str().expect("UTF-8").to_owned();
            if full.is_symlink() {
                let text = fs::read_link(&full).expect("a link").to_str().expect("UTF-8").as_bytes().to_vec();
                found.insert(name, (Kind::Link, text));
            } else if full.is_dir() {
                if name != ".packfleet" {
                    self.walk(&full, found);
                }
            } else {
                let mode = full.metadata().expect("metadata").permissions().mode();
                found.insert(name, (Kind::regular(mode & 0o100 != 0), fs::read(&full).expect("bytes")));
            }
        }
    }
}

/// One pass over a root on disk, by the very calls that `apply` makes.
pub fn pass_on_disk(wanted: &Wanted, case: &str) -> Report {
    let (workspace, deployment) = (&wanted.workspace, wanted.deployment());
    let report = pass::survey(workspace, &wanted.resolutions, deployment, &options());
    let report = pass::apply(workspace, deployment, report, &options(), &|| ());
    assert!(report.failure.is_none(), "{case}: {:?}", report.failure);
    report
}
