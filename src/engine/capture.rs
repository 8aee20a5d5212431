//! Capture: what people changed on hosts becomes overlays in the fleet repository.
//!
//! ```text
//! look ─► edited packs ─► secrets? ─► compose overlays ─► name them in fleet.toml ─► write, or commit beside
//! ```
//! An overlay is called after its deployment, or after the deployment and the pack where several packs were edited,
//! or after the profile. It comes last in the order of its pin, and what is there already is extended. Laws: what
//! fleet.toml then gives at the recorded version is what the host holds, byte for byte, so that an apply changes
//! nothing there; no other deployment or pin means anything else than before. Nothing is written before all
//! deployments were looked at, and nothing at all where a secret is found.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::desired::compose::{ComposeError, Files, How, Side, Standpoint, laid};
use crate::desired::fleet_edit::{self, EditError, Whose, add_overlay};
use crate::desired::fleet_file::{self, Context, FleetText};
use crate::desired::secrets::Fingerprint;
use crate::merge::text::{TextMerge, merge_text};
use crate::model::fleet::{Deployment, Fleet};
use crate::model::pack::CommitId;
use crate::model::{DeploymentName, Entry, Kind, OverlayName, PackName, TreeDigest, TreePath};
use crate::source::publish::{self, PublishError};
use crate::source::snapshot::CAPTURE;

use super::edited::{Edit, EditedError, EditedPack, Leak, Looking, Paths, Skipped, Strangers, leaks, rules};
use super::report::Failure;
use super::working_tree::{self, Changes, WriteError};
use super::workspace::Workspace;
use super::{Events, Options, decide};

/// What is to be captured.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of these deployments.
    pub deployments: BTreeSet<DeploymentName>,
    /// Of this pack only.
    pub pack: Option<PackName>,
    /// At these paths only.
    pub paths: Paths,
    /// As an overlay of this profile, rather than of the deployment.
    pub profile: Option<String>,
    /// Secrets that may be captured.
    pub allowed: BTreeSet<Fingerprint>,
}

/// Why nothing was captured.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A deployment cannot be looked at.
    #[error("{deployment}: {failure}")]
    Look {
        /// Which.
        deployment: DeploymentName,
        /// Why.
        failure: Box<Failure>,
    },
    /// What was changed cannot be told.
    #[error(transparent)]
    Edited(#[from] EditedError),
    /// No overlay can say it.
    #[error("{deployment}: {error}")]
    Compose {
        /// The deployment.
        deployment: DeploymentName,
        /// Why; part of the message, with its cause behind it.
        #[source]
        error: Box<ComposeError>,
    },
    /// The pin cannot be edited.
    #[error("{0}")]
    Edit(#[source] EditError),
    /// An overlay of that name is there and is not one of this deployment.
    #[error(
        "overlays/{overlay} is there already, and no overlay of {pack} on {deployment}: rename it, or name it in \
         that pin"
    )]
    Taken {
        /// Its name.
        overlay: OverlayName,
        /// The pack.
        pack: PackName,
        /// The deployment.
        deployment: DeploymentName,
    },
    /// It cannot be called so.
    #[error("no overlay can be called {0:?}")]
    Name(String),
    /// It cannot be read.
    #[error("overlay {overlay}: {why}")]
    Unread {
        /// Its name.
        overlay: OverlayName,
        /// Why.
        why: String,
    },
    /// A file that its overlays changed since they were applied last, and somebody on the host.
    #[error(
        "{path} on {deployment} was edited, and its overlays changed the same lines since they were applied last: \
         apply first"
    )]
    Pending {
        /// The deployment.
        deployment: DeploymentName,
        /// In root coordinates.
        path: TreePath,
    },
    /// A profile's overlay is made of one deployment's edits.
    #[error("an overlay of a profile is made of what one deployment holds: name one, not {0}")]
    Several(usize),
    /// The edited fleet.toml does not mean what was meant; a defect, and nothing was written.
    #[error("{0} cannot be edited so that nothing else changes its meaning: name the overlay there by hand")]
    Meaning(String),
    /// The working tree cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Nothing can be committed.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// One path that was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In root coordinates.
    pub root: TreePath,
    /// In the pack's coordinates.
    pub path: TreePath,
    /// How the overlay says it.
    pub how: How,
    /// Another overlay changes the same lines, so that the whole file is put and upgrades will not be merged.
    pub displaces: bool,
}

/// One overlay, made or extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Whose edits.
    pub deployment: DeploymentName,
    /// Of which pack.
    pub pack: PackName,
    /// The overlay.
    pub overlay: OverlayName,
    /// It was there before.
    pub extended: bool,
    /// What it is written against: as people call it, and its tree.
    pub version: String,
    /// Likewise.
    pub tree: TreeDigest,
    /// Its new pieces.
    pub pieces: Vec<Piece>,
    /// What became of the pin, and in which file.
    pub pin: (fleet_edit::Pin, String),
    /// Other deployments that have the overlay in a pin of theirs.
    pub shared: Vec<DeploymentName>,
}

/// All that a capture would write.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// By deployment and pack.
    pub captured: Vec<Captured>,
    /// Secrets: with one of them nothing is written.
    pub leaks: Vec<(DeploymentName, Leak)>,
    /// Paths of which nothing can be made.
    pub skipped: Vec<(DeploymentName, Skipped)>,
    changes: Changes,
    last: Vec<TreePath>,
}

/// Looks, and puts together what is to be written. Nothing is written yet.
pub fn capture(
    workspace: &Workspace,
    request: &Request,
    options: &Options,
    events: &dyn Events,
) -> Result<Capture, CaptureError> {
    if request.profile.is_some() && request.deployments.len() != 1 {
        return Err(CaptureError::Several(request.deployments.len()));
    }
    let mut work = Work {
        workspace,
        request,
        rules: rules(workspace)?,
        texts: workspace.texts.clone(),
        meant: workspace.fleet.clone(),
        overlays: BTreeMap::new(),
        capture: Capture::default(),
    };
    for deployment in request.deployments.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
        work.deployment(deployment, options, events)?;
    }
    work.finish()
}

struct Work<'a> {
    workspace: &'a Workspace,
    request: &'a Request,
    rules: crate::desired::secrets::Rules,
    texts: Vec<FleetText>,
    /// What fleet.toml is to mean in the end.
    meant: Fleet,
    overlays: BTreeMap<OverlayName, PackName>,
    capture: Capture,
}

impl Work<'_> {
    fn deployment(
        &mut self,
        deployment: &Deployment,
        options: &Options,
        events: &dyn Events,
    ) -> Result<(), CaptureError> {
        let look = |failure: Failure| CaptureError::Look {
            deployment: deployment.name.clone(),
            failure: failure.into(),
        };
        let survey = decide::survey_one(self.workspace, deployment, options, events).map_err(look)?;
        let host = self.workspace.host(deployment);
        let (workspace, paths) = (self.workspace, &self.request.paths);
        let looking = Looking { workspace, deployment, survey: &survey, host: host.as_ref(), paths };
        let strangers = Strangers::find(&looking, options)?;
        let mut packs = looking.packs(&strangers);
        let edited_packs = packs.len();
        packs.retain(|pack| self.request.pack.as_ref().is_none_or(|wanted| wanted == pack));
        for name in packs {
            let edited = looking.pack(&name, &strangers)?;
            let skipped = edited.skipped.iter().cloned();
            self.capture.skipped.extend(skipped.map(|it| (deployment.name.clone(), it)));
            if !edited.edits.is_empty() {
                self.pack(deployment, &edited, edited_packs)?;
            }
        }
        Ok(())
    }

    fn pack(
        &mut self,
        deployment: &Deployment,
        edited: &EditedPack<'_>,
        edited_packs: usize,
    ) -> Result<(), CaptureError> {
        let pack = &edited.pack.name;
        let overlays: &[OverlayName] = deployment.packs.get(pack).map_or(&[], |it| &it.overlays);
        let overlay = self.name(deployment, pack, overlays, edited_packs)?;
        let existing = self
            .workspace
            .overlay_files(&overlay)
            .map_err(|why| CaptureError::Unread { overlay: overlay.clone(), why })?;
        let at = overlays.iter().position(|name| name == &overlay);
        if existing.is_some() && at.is_none() {
            let (pack, deployment) = (pack.clone(), deployment.name.clone());
            return Err(CaptureError::Taken { overlay, pack, deployment });
        }
        let layers = edited.stack.layers();
        let (before, behind) = match at {
            Some(at) => (&layers[..at], &layers[at + 1..]),
            None => (&layers[..], &[][..]),
        };
        let bytes = |content| edited.bytes(content);
        let version = edited.version();
        let standpoint = Standpoint {
            pack: edited.pack,
            tree: &edited.state.entries,
            commit: edited.state.commit.as_ref(),
            version: &version,
            before,
            behind,
            bytes: &bytes,
        };
        let composing =
            |error| CaptureError::Compose { deployment: deployment.name.clone(), error: Box::new(error) };
        let others = [before, behind].concat();
        let others = laid(edited.pack, &edited.state.entries, &others, &bytes)
            .map_err(|error| composing(ComposeError::Render(error)))?;
        let mut wanted = BTreeMap::new();
        let mut leaked = false;
        for (path, edit) in &edited.edits {
            let now = edited.side(path, edited.before.get(path))?;
            let target = target(edit, now.as_ref(), others.get(path).map(|laid| laid.entry));
            let Some(target) = target else {
                let (deployment, path) = (deployment.name.clone(), edit.root.clone());
                return Err(CaptureError::Pending { deployment, path });
            };
            let found = leaks(path, now.as_ref(), target.as_ref(), &self.rules, &self.request.allowed);
            leaked |= !found.is_empty();
            let leak = |finding| Leak { pack: pack.clone(), path: edit.root.clone(), finding };
            self.capture
                .leaks
                .extend(found.into_iter().map(|finding| (deployment.name.clone(), leak(finding))));
            wanted.insert(path.clone(), target);
        }
        if leaked {
            return Ok(());
        }
        let about = match &self.request.profile {
            Some(profile) => format!("Profile {profile}, captured from {}.", deployment.name),
            None => format!("Captured from {}.", deployment.name),
        };
        let composed = standpoint.compose(&overlay, existing.as_ref(), &wanted, &about).map_err(composing)?;
        let pieces = edited.edits.iter().map(|(path, edit)| {
            let how = composed.pieces.get(path).copied().unwrap_or(How::Nothing);
            let shared = others.get(path).is_some_and(|laid| laid.bytes.is_some());
            let displaces = how == How::Whole && shared;
            Piece { root: edit.root.clone(), path: path.clone(), how, displaces }
        });
        let pieces: Vec<Piece> = pieces.collect();
        self.write_overlay(&overlay, existing.as_ref(), &composed.files)?;
        let pin = self.edit_pin(deployment, pack, &overlay)?;
        self.overlays.insert(overlay.clone(), pack.clone());
        self.capture.captured.push(Captured {
            deployment: deployment.name.clone(),
            pack: pack.clone(),
            overlay,
            extended: existing.is_some(),
            version: edited.pin.version.clone(),
            tree: edited.pin.tree,
            pieces,
            pin,
            shared: Vec::new(),
        });
        Ok(())
    }

    /// What the overlay is called.
    fn name(
        &self,
        deployment: &Deployment,
        pack: &PackName,
        overlays: &[OverlayName],
        edited_packs: usize,
    ) -> Result<OverlayName, CaptureError> {
        let named = |text: &str| OverlayName::new(text).map_err(|_| CaptureError::Name(text.to_owned()));
        let short = named(self.request.profile.as_deref().unwrap_or(deployment.name.as_str()))?;
        let long = named(&format!("{short}-{pack}"))?;
        if let Some(known) = [&short, &long].into_iter().find(|name| overlays.contains(name)) {
            return Ok(known.clone());
        }
        let free = !self.workspace.overlays.contains_key(&short) && !self.overlays.contains_key(&short);
        Ok(if edited_packs == 1 && free { short } else { long })
    }

    fn write_overlay(
        &mut self,
        overlay: &OverlayName,
        existing: Option<&Files>,
        files: &Files,
    ) -> Result<(), CaptureError> {
        let unread = |why: String| CaptureError::Unread { overlay: overlay.clone(), why };
        let place = |path: &TreePath| {
            TreePath::new(&format!("overlays/{overlay}/{path}")).map_err(|error| unread(error.to_string()))
        };
        for path in existing.iter().flat_map(|files| files.keys()).filter(|path| !files.contains_key(*path)) {
            self.capture.changes.insert(place(path)?, None);
        }
        for (path, file) in files {
            if existing.and_then(|files| files.get(path)) != Some(file) {
                self.capture.changes.insert(place(path)?, Some(file.clone()));
            }
        }
        Ok(())
    }

    /// Names the overlay in the pin; says what became of that, and in which file.
    fn edit_pin(
        &mut self,
        deployment: &Deployment,
        pack: &PackName,
        overlay: &OverlayName,
    ) -> Result<(fleet_edit::Pin, String), CaptureError> {
        let whose = match &self.request.profile {
            Some(profile) => Whose::Profile(profile.clone()),
            None => Whose::Deployment(deployment.name.clone()),
        };
        let edited =
            add_overlay(&self.texts, &whose, &deployment.name, pack, overlay).map_err(CaptureError::Edit)?;
        let Some(text) = self.texts.get_mut(edited.file) else {
            return Err(CaptureError::Meaning(String::new()));
        };
        text.text = edited.text;
        let file = text.name.clone();
        if edited.pin != fleet_edit::Pin::Unchanged {
            let meant = self.meant.deployments.get_mut(&deployment.name);
            if let Some(pin) = meant.and_then(|it| it.packs.get_mut(pack)) {
                pin.overlays.push(overlay.clone());
            }
        }
        Ok((edited.pin, file))
    }

    fn finish(mut self) -> Result<Capture, CaptureError> {
        if !self.capture.leaks.is_empty() || self.capture.captured.is_empty() {
            self.capture.changes.clear();
            return Ok(self.capture);
        }
        let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (name, overlay) in &self.workspace.overlays {
            let pack = overlay.as_ref().ok().map(|overlay| overlay.manifest.pack.to_string());
            known.insert(name.to_string(), pack);
        }
        known.extend(self.overlays.iter().map(|(name, pack)| (name.to_string(), Some(pack.to_string()))));
        let context = Context { directory: self.workspace.fleet.directory.clone(), overlays: known };
        let file = self.workspace.file.file_name().unwrap_or("fleet.toml").to_owned();
        let fleet =
            fleet_file::parse(&self.texts, &context).ok().filter(|fleet| match self.request.profile {
                None => fleet == &self.meant,
                // A profile's pin is that of all who inherit it: only in it may they differ.
                Some(_) => alike(fleet, &self.meant),
            });
        let Some(fleet) = fleet else { return Err(CaptureError::Meaning(file)) };
        for captured in &mut self.capture.captured {
            let uses = |it: &&Deployment| {
                let pin = it.packs.get(&captured.pack);
                it.name != captured.deployment
                    && pin.is_some_and(|pin| pin.overlays.contains(&captured.overlay))
            };
            captured.shared = fleet.deployments.values().filter(uses).map(|it| it.name.clone()).collect();
        }
        for (before, after) in self.workspace.texts.iter().zip(&self.texts).filter(|(a, b)| a != b) {
            let path = TreePath::new(&before.name).map_err(|_| CaptureError::Meaning(before.name.clone()))?;
            self.capture.changes.insert(path.clone(), Some((Kind::File, after.text.clone().into_bytes())));
            self.capture.last.push(path);
        }
        Ok(self.capture)
    }
}

/// Whether two fleets differ in overlays of pins at most.
fn alike(one: &Fleet, other: &Fleet) -> bool {
    let plain = |fleet: &Fleet| {
        let mut fleet = fleet.clone();
        let pins = fleet.deployments.values_mut().flat_map(|it| it.packs.values_mut());
        pins.for_each(|pin| pin.overlays.clear());
        fleet
    };
    plain(one) == plain(other)
}

/// What the overlay is to give at a path: what the host holds, with what the other overlays changed since they
/// were applied last; `None` if both changed the same lines. `now` is what all overlays give, `others` what all
/// but this one do.
fn target(edit: &Edit, now: Option<&Side>, others: Option<Entry>) -> Option<Option<Side>> {
    let entry = |side: &Side| Entry::of(side.kind, &side.bytes);
    let base = edit.base.as_ref();
    let applied = base.is_none() || base == now || base.map(entry) == others;
    let (Some(base), Some(target), Some(now)) = (base, &edit.target, now) else {
        return applied.then(|| edit.target.clone());
    };
    if applied || Some(now) == edit.target.as_ref() {
        return Some(edit.target.clone());
    }
    match merge_text(&base.bytes, &target.bytes, &now.bytes) {
        TextMerge::Clean(bytes) if base.kind == now.kind => Some(Some(Side { kind: target.kind, bytes })),
        _ => None,
    }
}

impl Capture {
    /// The files that would be written, beneath the fleet file's directory.
    pub fn files(&self) -> impl Iterator<Item = &TreePath> {
        self.changes.keys()
    }

    /// Writes everything into the working tree.
    pub fn write(&self, workspace: &Workspace) -> Result<(), CaptureError> {
        Ok(working_tree::write(&workspace.fleet.directory, &self.changes, &self.last)?)
    }

    /// Commits everything on a new branch of the fleet repository; the working tree stays as it is.
    pub fn commit(
        &self,
        workspace: &Workspace,
        branch: &str,
        now: Timestamp,
    ) -> Result<CommitId, CaptureError> {
        let message = self.message();
        Ok(publish::commit_beside(&workspace.fleet.directory, &self.changes, branch, &message, now)?)
    }

    /// The message of that commit.
    pub fn message(&self) -> String {
        let files = |count: usize| if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        let all: usize = self.captured.iter().map(|it| it.pieces.len()).sum();
        let deployments: BTreeSet<&DeploymentName> = self.captured.iter().map(|it| &it.deployment).collect();
        let subject = match self.captured.as_slice() {
            [one] => format!("{CAPTURE}{} {}: {}", one.deployment, one.pack, files(all)),
            _ if deployments.len() == 1 => {
                let name = deployments.first().map_or("", |name| name.as_str());
                format!("{CAPTURE}{name}: {}", files(all))
            }
            _ => format!("{CAPTURE}{} deployments: {}", deployments.len(), files(all)),
        };
        let mut message = format!("{subject}\n");
        for captured in &self.captured {
            let Captured { overlay, pack, version, deployment, .. } = captured;
            message.push_str(&format!("\noverlays/{overlay}, of {pack} {version} on {deployment}:\n"));
            for piece in &captured.pieces {
                message.push_str(&format!("- {}\n", piece.path));
            }
        }
        message
    }
}
