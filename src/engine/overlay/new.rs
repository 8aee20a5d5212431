//! An overlay that begins: its directory, with the base written down, and patches that an editor made.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use camino::Utf8PathBuf;

use super::files::{directory, put};
use super::{Failure, Version, failed, pack, version};
use crate::desired::overlay::{Change, MANIFEST, Overlay};
use crate::engine::workspace::Workspace;
use crate::merge::patch::{Patch, PatchError};
use crate::model::{Kind, OverlayName, PackName, TreePath};

/// An overlay that is not written yet.
pub struct Begun<'w> {
    workspace: &'w Workspace,
    name: OverlayName,
    pack: PackName,
    /// What it is written against.
    pub version: Version,
    patches: BTreeMap<TreePath, Patch>,
}

impl<'w> Begun<'w> {
    /// Begins an overlay against a version, by default the one that deployments have. Nothing is written yet.
    pub fn new(
        workspace: &'w Workspace,
        name: &OverlayName,
        pack: &PackName,
        at: Option<&str>,
    ) -> Result<Self, Failure> {
        let place = directory(workspace, name);
        if fs::symlink_metadata(&place).is_ok() {
            return Err(Failure::Exists(place));
        }
        let version = version(workspace, pack, at, None)?;
        let (name, pack) = (name.clone(), pack.clone());
        Ok(Self { workspace, name, pack, version, patches: BTreeMap::new() })
    }

    /// The file of the pack that a text means: its path, or the end of one.
    pub fn path(&self, text: &str) -> Result<TreePath, Failure> {
        let typed = text.strip_prefix("./").unwrap_or(text);
        let paths =
            || self.version.state.entries.iter().filter(|it| it.kind != Kind::Link).map(|it| &it.path);
        if let Some(path) = paths().find(|path| path.as_str() == typed) {
            return Ok(path.clone());
        }
        let end = format!("/{typed}");
        let meant: Vec<&TreePath> = paths().filter(|path| path.as_str().ends_with(&end)).collect();
        match meant.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(Failure::Path(format!(
                "pack {} has no file {text:?} at {}",
                self.pack,
                self.version.short()
            ))),
            many => {
                let names: Vec<&str> = many.iter().take(5).map(|path| path.as_str()).collect();
                Err(Failure::Path(format!("{text:?} means {} files: {}", many.len(), names.join(", "))))
            }
        }
    }

    /// The bytes of a file of the pack.
    pub fn text(&self, path: &TreePath) -> Result<Vec<u8>, Failure> {
        let (pack, source) = pack(self.workspace, &self.pack)?;
        let state = &self.version.state;
        let unknown = || Failure::Path(format!("pack {} has no file {path:?}", self.pack));
        let entry = state.entries.iter().find(|entry| &entry.path == path).ok_or_else(unknown)?;
        source.bytes(state.commit.as_ref(), entry.content).map_err(|source| failed(pack, source))
    }

    /// Takes what an editor made of a file as a patch.
    pub fn change(&mut self, path: &TreePath, edited: &[u8]) -> Result<(), Failure> {
        let patch = Patch::make(path, &self.text(path)?, edited).map_err(|error| match error {
            PatchError::Empty => Failure::Path(format!("nothing of {path} was changed")),
            error => Failure::Path(format!("{path}: {error}")),
        })?;
        self.patches.insert(path.clone(), patch);
        Ok(())
    }

    /// Writes it into the working tree. Gives its directory.
    pub fn write(self) -> Result<Utf8PathBuf, Failure> {
        let too_long = |error: crate::model::PathError| Failure::Path(error.to_string());
        let mut files = BTreeMap::new();
        files.insert(TreePath::new(MANIFEST).map_err(too_long)?, (Kind::File, self.manifest().into_bytes()));
        for (path, patch) in &self.patches {
            files.insert(Change::Patch.file(path).map_err(too_long)?, (Kind::File, patch.print()));
        }
        Overlay::new(self.name.clone(), files.clone())
            .map_err(|error| Failure::Result { name: self.name.clone(), error: error.into() })?;
        let place = directory(self.workspace, &self.name);
        let top = self.workspace.fleet.directory.join("overlays");
        let failed = |path, source| Failure::File { operation: "make the directory", path, source };
        match fs::symlink_metadata(&top) {
            Ok(found) if !found.is_dir() => return Err(Failure::NoDirectory(top)),
            Ok(_) => {}
            Err(_) => fs::create_dir(&top).map_err(|source| failed(top, source))?,
        }
        match fs::create_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Failure::Exists(place)),
            made => made.map_err(|source| failed(place.clone(), source))?,
        }
        for (path, (kind, bytes)) in &files {
            put(&place, path, *kind, bytes)?;
        }
        Ok(place)
    }

    fn manifest(&self) -> String {
        let mut table = toml_edit::InlineTable::new();
        table.insert("version", self.version.label.as_str().into());
        table.insert("tree", self.version.state.digest.to_string().into());
        format!(
            "\
# A customization of pack {pack}. Beside this file, where they lie in the pack:
#
#     PATH                      replaces or adds PATH
#     PATH.patch                changes PATH: a unified diff against the base below
#     PATH.merge.json, .toml    keys that are merged into PATH; null removes one (JSON)
#
# A file of the pack's own with such a name is put by `verbatim = [\"PATH.patch\"]`.
pack = \"{pack}\"
remove = []                     # files and directories of the pack to leave out
# What this was written against. `packfleet overlay rebase` moves it.
base = {table}
",
            pack = self.pack
        )
    }
}
