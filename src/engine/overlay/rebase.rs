//! An overlay, carried to another version in the working tree.

use super::files;
use super::{Failure, failed, is_directory, named, pack, read, version, why};
use crate::desired::overlay::{Base, MANIFEST};
use crate::desired::rebase::{self as pure, Changes};
use crate::engine::bases::{Stack, State, commit_of};
use crate::engine::workspace::Workspace;
use crate::model::{Content, Kind, OverlayName};

/// What was written.
#[derive(Debug)]
pub struct Rebased {
    /// What it was written against before, if it said so.
    pub from: Option<String>,
    /// What it is written against now.
    pub to: String,
    /// What became of each path.
    pub changes: Changes,
}

/// Writes an overlay anew against a version, by default the one to which its deployments lead.
pub fn rebase(workspace: &Workspace, name: &OverlayName, to: Option<&str>) -> Result<Rebased, Failure> {
    let overlay = named(workspace, name)?;
    let (pack, source) = pack(workspace, &overlay.manifest.pack)?;
    let version = version(workspace, &pack.name, to, Some(name))?;
    let stack = Stack::find(workspace, source, pack, vec![overlay.clone()], &version.state, &version.label)
        .map_err(|cause| Failure::Version { pack: pack.name.clone(), why: why(&cause) })?;
    let State { entries, digest, .. } = &version.state;
    let base = stack.layers().first().and_then(|layer| layer.base);
    let bytes = |content: Content| stack.bytes(source, &version.state, content);
    let to = Base { version: version.label.clone(), tree: *digest };
    let (changes, manifest) = pure::rebase(overlay, base, entries, to, &bytes)
        .map_err(|error| Failure::Rebase { name: name.clone(), error: error.into() })?;
    let text = match files::read(workspace, name)?.remove(MANIFEST) {
        Some((Kind::File | Kind::Exec, bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    let text = manifest
        .edited(&text)
        .map_err(|error| Failure::Result { name: name.clone(), error: error.into() })?;
    files::write(workspace, name, &changes, Some(text))?;
    let from = overlay.manifest.base.as_ref().map(|base| base.version.clone());
    Ok(Rebased { from, to: version.label, changes })
}

/// Turns the conflict files that a person has edited into what they are meant to be.
pub fn finish(workspace: &Workspace, name: &OverlayName) -> Result<Rebased, Failure> {
    let overlay = named(workspace, name)?;
    let base = overlay.manifest.base.clone();
    let (pack, source) = pack(workspace, &overlay.manifest.pack)?;
    let label = base.as_ref().map(|base| base.version.clone());
    let state = match &base {
        Some(base) if !is_directory(workspace, pack) => {
            let commit = commit_of(source, pack, &base.version).map_err(|source| failed(pack, source))?;
            read(workspace, pack, source, Some(commit), None)?.state
        }
        _ => version(workspace, &pack.name, None, Some(name))?.state,
    };
    if let Some(base) = base.filter(|base| base.tree != state.digest) {
        let text = format!("the base of overlay {name}, {}, is another tree than it says", base.version);
        return Err(Failure::Version { pack: pack.name.clone(), why: text });
    }
    let bytes = |content: Content| {
        source.bytes(state.commit.as_ref(), content).map_err(|error| failed(pack, error).to_string())
    };
    let changes = pure::finish(overlay, &state.entries, &bytes)
        .map_err(|error| Failure::Rebase { name: name.clone(), error: error.into() })?;
    files::write(workspace, name, &changes, None)?;
    Ok(Rebased { from: label.clone(), to: label.unwrap_or_default(), changes })
}
