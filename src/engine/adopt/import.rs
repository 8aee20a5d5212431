//! A branch of local customizations in a pack's source, as an overlay of the fleet repository.
//!
//! ```text
//! merge base of the branch and the version at hand ─┐
//! branch ───────────────────────────────────────────┴─► patched · whole · removed ─► overlays/NAME/
//! ```
//! The overlay on its base is the branch; from there it is carried to other versions like every overlay. Text
//! becomes a patch; what a patch cannot say (a mode, a link, other bytes than text) the whole file. Paths that
//! the install map does not cover are left out. The directory appears whole or not at all; nothing is committed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use crate::desired::finding::Finding;
use crate::desired::lay::Layer;
use crate::desired::overlay::{Base, Change, MANIFEST, Manifest, Overlay};
use crate::desired::render::{RenderError, render};
use crate::engine::bases::State;
use crate::engine::report::Failure;
use crate::engine::workspace::Workspace;
use crate::engine::{inspect, pin};
use crate::merge::patch::Patch;
use crate::model::cause::in_one_line;
use crate::model::fleet::Deployment;
use crate::model::pack::{CommitId, Pack, PackEntry, Refs};
use crate::model::{Content, Kind, OverlayName, TreePath};
use crate::source::PackSource;

/// What the overlay does at a path of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Changes lines.
    Patched,
    /// Puts the whole file in place of the pack's.
    Replaced,
    /// Adds a file.
    Added,
    /// Leaves it out.
    Removed,
}

/// An overlay, not yet written.
#[derive(Debug)]
pub struct Import {
    /// What it will be called.
    pub overlay: OverlayName,
    /// The base, as people call it.
    pub base: Base,
    /// The version to which it was tried to carry it.
    pub at_hand: String,
    /// What it does, by path of the pack.
    pub changes: BTreeMap<TreePath, What>,
    /// Changed on the branch, but nowhere installed.
    pub left_out: Vec<TreePath>,
    /// Why it does not carry over to the version at hand, if it does not.
    pub conflicts: Vec<String>,
    files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
}

/// Why an overlay could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is there.
    #[error("{0} exists already")]
    Exists(Utf8PathBuf),
    /// The system refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Makes an overlay of a branch. Nothing is written.
pub fn import(
    workspace: &Workspace,
    deployment: &Deployment,
    pack: &Pack,
    branch: &str,
    name: &OverlayName,
) -> Result<Import, Failure> {
    let refuse = |text: String| Failure::Request(text);
    let failed =
        |error: &dyn std::error::Error| refuse(format!("pack {}: {}", pack.name, in_one_line(error)));
    let source = workspace.sources.get(&pack.source);
    let source = source.ok_or_else(|| refuse(format!("source {} is not declared", pack.source)))?;
    let source = source.as_ref();
    let refs = source.refresh().or_else(|error| source.known().map_err(|_| error));
    let refs = refs.map_err(|error| failed(&error))?;
    let tip = branch_of(&refs, branch, pack)?;
    let at_hand = at_hand(workspace, source, deployment, pack)?;
    let base = source
        .merge_base(&tip, &at_hand)
        .map_err(|error| failed(&error))?
        .ok_or_else(|| refuse(format!("branch {branch} and {} have no commit in common", at_hand.short())))?;
    let read = |commit: &CommitId| {
        let state = State::read(workspace, source, pack, Some(commit.clone()));
        state.map_err(|error| {
            refuse(format!("pack {} at {}: {}", pack.name, commit.short(), in_one_line(&error)))
        })
    };
    let (old, new, now) = (read(&base)?, read(&tip)?, read(&at_hand)?);
    let mut making = Making {
        pack,
        source,
        base: &old,
        tip: &new,
        files: BTreeMap::new(),
        changes: BTreeMap::new(),
        left_out: Vec::new(),
        verbatim: Vec::new(),
    };
    making.all()?;
    if making.changes.is_empty() {
        return Err(refuse(format!(
            "branch {branch} changes nothing that is installed, from its base {} on",
            base.short()
        )));
    }
    let base = Base { version: version(&refs, pack, &base), tree: old.digest };
    let (overlay, files) = making.overlay(name, base.clone())?;
    let bytes = |content: Content| {
        let places = [(&now, &at_hand), (&old, &tip)];
        let place = places.iter().find(|(state, _)| state.entries.iter().any(|it| it.content == content));
        let commit = place.and_then(|(state, _)| state.commit.as_ref());
        source.bytes(commit, content).map_err(|error| in_one_line(&error))
    };
    let layer = Layer { overlay: &overlay, base: Some(&old.entries) };
    let carried = render(pack, &now.entries, Some(&at_hand), &[layer], &bytes);
    let conflicts = match carried {
        Ok(_) => Vec::new(),
        Err(RenderError::Conflicts(findings)) => {
            findings.iter().filter(|finding| finding.is_conflict()).map(Finding::to_string).collect()
        }
        Err(error) => vec![error.to_string()],
    };
    Ok(Import {
        overlay: name.clone(),
        base,
        at_hand: version(&refs, pack, &at_hand),
        changes: making.changes,
        left_out: making.left_out,
        conflicts,
        files,
    })
}

/// Writes `overlays/NAME/`, and gives the files that it wrote, relative to the fleet repository.
pub fn write(workspace: &Workspace, import: &Import) -> Result<Vec<Utf8PathBuf>, WriteError> {
    let io = |operation: &'static str, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| WriteError::Io { operation, path, source }
    };
    let top = workspace.fleet.directory.join("overlays");
    match fs::symlink_metadata(&top) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(io("write into", &top)(io::Error::other("it is no directory"))),
        Err(_) => fs::create_dir(&top).map_err(io("make directory", &top))?,
    }
    let place = top.join(import.overlay.as_str());
    if fs::symlink_metadata(&place).is_ok() {
        return Err(WriteError::Exists(place));
    }
    // A name that is no overlay's: what a crash leaves behind is not read as one.
    let aside = top.join(format!(".{}.new", import.overlay));
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove", &aside)(error)),
        _ => {}
    }
    fs::create_dir(&aside).map_err(io("make directory", &aside))?;
    for (path, (kind, bytes)) in &import.files {
        let full = aside.join(path.as_str());
        if let Some(directory) = full.parent() {
            fs::create_dir_all(directory).map_err(io("make directory", directory))?;
        }
        match kind {
            Kind::Link => {
                symlink(String::from_utf8_lossy(bytes).as_ref(), &full).map_err(io("link", &full))?
            }
            Kind::File | Kind::Exec => fs::write(&full, bytes).map_err(io("write", &full))?,
        }
        if *kind == Kind::Exec {
            let mode = fs::metadata(&full).map_err(io("look at", &full))?.permissions().mode();
            // Whoever may read it may run it, as git does it.
            let mode = fs::Permissions::from_mode(mode | (mode & 0o444) >> 2);
            fs::set_permissions(&full, mode).map_err(io("make executable", &full))?;
        }
    }
    fs::rename(&aside, &place).map_err(io("rename", &aside))?;
    let shown = Utf8Path::new("overlays").join(import.overlay.as_str());
    Ok(import.files.keys().map(|path| shown.join(path.as_str())).collect())
}

fn branch_of(refs: &Refs, branch: &str, pack: &Pack) -> Result<CommitId, Failure> {
    let found = refs.branches.iter().find(|found| found.name == branch).and_then(|it| it.commit.clone());
    found.ok_or_else(|| {
        let names: Vec<&str> = refs.branches.iter().take(8).map(|branch| branch.name.as_str()).collect();
        Failure::Request(format!(
            "source {} has no branch {branch}; it has {}",
            pack.source,
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ))
    })
}

/// The version that fleet.toml leads to; where it leads nowhere, the one on record.
fn at_hand(
    workspace: &Workspace,
    source: &dyn PackSource,
    deployment: &Deployment,
    pack: &Pack,
) -> Result<CommitId, Failure> {
    let assigned = deployment.packs.get(&pack.name);
    let assigned =
        assigned.ok_or_else(|| Failure::Request(format!("{} has no pack {}", deployment.name, pack.name)))?;
    let found = pin::find(workspace, source, pack, assigned);
    found.map(|found| found.commit).or_else(|cause| {
        let record = inspect::record(workspace, deployment)?;
        let recorded = record.as_ref().and_then(|record| record.packs.get(&pack.name)?.pin.commit.clone());
        if let Some(commit) = recorded {
            return Ok(commit);
        }
        let why = match cause {
            crate::model::plan::HoldCause::Version(text) | crate::model::plan::HoldCause::Source(text) => {
                text
            }
            _ => "its version is held".to_owned(),
        };
        Err(Failure::Request(format!("pack {}: {why}", pack.name)))
    })
}

/// The version of a tag on the commit, else its whole id: an abbreviated one may get a twin.
fn version(refs: &Refs, pack: &Pack, commit: &CommitId) -> String {
    let tags = refs.tags.iter().filter(|tag| tag.commit.as_ref() == Some(commit));
    let version = tags.filter_map(|tag| pack.tag.version(&tag.name)).max();
    version.map_or_else(|| commit.as_str().to_owned(), |version| version.to_string())
}

/// An overlay in the making.
struct Making<'a> {
    pack: &'a Pack,
    source: &'a dyn PackSource,
    base: &'a State,
    tip: &'a State,
    files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
    changes: BTreeMap<TreePath, What>,
    left_out: Vec<TreePath>,
    verbatim: Vec<TreePath>,
}

impl Making<'_> {
    fn all(&mut self) -> Result<(), Failure> {
        fn by_path(state: &State) -> BTreeMap<&TreePath, &PackEntry> {
            state.entries.iter().map(|entry| (&entry.path, entry)).collect()
        }
        let (old, new) = (by_path(self.base), by_path(self.tip));
        let paths: std::collections::BTreeSet<&TreePath> = old.keys().chain(new.keys()).copied().collect();
        let mut changed = Vec::new();
        for path in paths {
            let (was, is) = (old.get(path).copied(), new.get(path).copied());
            let same = |a: &PackEntry, b: &PackEntry| a.kind == b.kind && a.content == b.content;
            if was.zip(is).is_some_and(|(was, is)| same(was, is)) {
                continue;
            }
            if self.pack.install.rule(path).is_none() || path.as_str() == MANIFEST {
                self.left_out.push(path.clone());
            } else {
                changed.push((path, was, is));
            }
        }
        for (path, was, is) in changed {
            self.change(path, was, is)?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        path: &TreePath,
        was: Option<&PackEntry>,
        is: Option<&PackEntry>,
    ) -> Result<(), Failure> {
        let what = match (was, is) {
            (_, None) => What::Removed,
            (None, Some(_)) => What::Added,
            (Some(was), Some(is)) => match self.patch(path, was, is)? {
                Some((file, patch)) => {
                    self.files.insert(file, (Kind::File, patch));
                    What::Patched
                }
                None => What::Replaced,
            },
        };
        if let (Some(is), What::Added | What::Replaced) = (is, what) {
            let bytes = self.bytes(self.tip, is)?;
            self.files.insert(path.clone(), (is.kind, bytes));
            if names_a_change(path) {
                self.verbatim.push(path.clone());
            }
        }
        self.changes.insert(path.clone(), what);
        Ok(())
    }

    /// The change as a patch, where one can say it and the pack has no file of the patch's name.
    fn patch(
        &self,
        path: &TreePath,
        was: &PackEntry,
        is: &PackEntry,
    ) -> Result<Option<(TreePath, Vec<u8>)>, Failure> {
        if was.kind != is.kind || is.kind == Kind::Link {
            return Ok(None);
        }
        let Ok(file) = Change::Patch.file(path) else { return Ok(None) };
        if self.tip.entries.iter().any(|entry| entry.path == file) {
            return Ok(None);
        }
        let (old, new) = (self.bytes(self.base, was)?, self.bytes(self.tip, is)?);
        Ok(Patch::make(path, &old, &new).ok().map(|patch| (file, patch.print())))
    }

    fn bytes(&self, state: &State, entry: &PackEntry) -> Result<Vec<u8>, Failure> {
        self.source
            .bytes(state.commit.as_ref(), entry.content)
            .map_err(|error| Failure::Request(format!("{}: {}", entry.path, in_one_line(&error))))
    }

    /// The overlay, read back as it will be read, with its files.
    #[expect(clippy::type_complexity, reason = "the files of an overlay, as it takes them")]
    fn overlay(
        &self,
        name: &OverlayName,
        base: Base,
    ) -> Result<(Overlay, BTreeMap<TreePath, (Kind, Vec<u8>)>), Failure> {
        let removed = self.changes.iter().filter(|(_, what)| **what == What::Removed);
        let manifest = Manifest {
            pack: self.pack.name.clone(),
            remove: removed.map(|(path, _)| path.clone()).collect(),
            verbatim: self.verbatim.clone(),
            base: Some(base),
        };
        let defect = |why: String| Failure::Request(format!("overlay {name} would not be one: {why}"));
        let text = manifest.edited(&format!("pack = \"{}\"\n", self.pack.name));
        let text = text.map_err(|error| defect(error.to_string()))?;
        let mut files = self.files.clone();
        let manifest = TreePath::new(MANIFEST).map_err(|error| defect(error.to_string()))?;
        files.insert(manifest, (Kind::File, text.into_bytes()));
        let overlay = Overlay::new(name.clone(), files.clone()).map_err(|error| defect(error.to_string()))?;
        Ok((overlay, files))
    }
}

/// Whether an overlay would take a file of this name for a change of another one.
fn names_a_change(path: &TreePath) -> bool {
    let name = path.as_str();
    let name = name.strip_suffix(".conflict").unwrap_or(name);
    [".patch", ".merge.json", ".merge.toml"].iter().any(|suffix| name.ends_with(suffix))
}
