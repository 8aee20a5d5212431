//! Reading statuses: one question to the store, then each word judged by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::ledger::Ledger;
use super::store;
use super::told::Shared;
use crate::engine::workspace::Workspace;
use crate::model::cause::in_one_line;
use crate::model::manifest::Manifest;
use crate::model::stamp::Stamp;
use crate::model::{DeploymentName, ManifestDigest};
use crate::plan::trust::{Distrust, Expected, Seen};
use crate::source::SourceError;
use crate::source::status::{Of, Word};

/// The statuses of a fleet, as they were read.
#[derive(Debug, Default)]
pub struct Statuses {
    known: BTreeMap<DeploymentName, Known>,
    refused: BTreeMap<DeploymentName, Distrust>,
    /// Why nothing at all is known.
    unread: Option<String>,
}

/// One deployment's status.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its word.
    pub stamp: Stamp,
    /// What it holds; deployments that hold the same share it.
    pub(super) shared: Arc<Shared>,
    /// How old the word is.
    pub age: Duration,
    /// Whether that is too old to count on.
    pub stale: bool,
}

impl Known {
    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }
}

/// Why nothing is known of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// Nothing is published.
    #[error("no status of it is published")]
    Silent,
    /// What is published could not be read.
    #[error("statuses cannot be read: {0}")]
    Unread(String),
    /// What is published is not believed.
    #[error(transparent)]
    Refused(#[from] Distrust),
}

/// Why no status can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Nothing says where they are.
    #[error("fleet.toml has no [status]: nothing says where statuses are published")]
    Nowhere,
    /// The store.
    #[error(transparent)]
    Store(#[from] SourceError),
}

/// Reads the statuses of some deployments.
pub fn read(
    workspace: &Workspace,
    names: &BTreeSet<DeploymentName>,
    now: Timestamp,
) -> Result<Statuses, ReadError> {
    let publishing = workspace.fleet.status.as_ref().ok_or(ReadError::Nowhere)?;
    let published = store(workspace, publishing).fetch(Of::Some(names))?;
    let ledger = Ledger::load(workspace, publishing);
    let mut statuses = Statuses::default();
    let mut shared: BTreeMap<ManifestDigest, Result<Arc<Shared>, String>> = BTreeMap::new();
    let mut digests: BTreeMap<*const u8, ManifestDigest> = BTreeMap::new();
    let mut believed = BTreeMap::new();
    for (name, damage) in published.damaged {
        statuses.refused.insert(name, Distrust::Damaged(damage.why));
    }
    for (name, Word { stamp: text, manifest, .. }) in &published.words {
        let Some(deployment) = workspace.fleet.deployments.get(name) else { continue };
        // What is held alike was read once, and is digested once.
        let digest =
            *digests.entry(manifest.as_ptr()).or_insert_with(|| ManifestDigest::of(manifest.as_bytes()));
        let expected = Expected {
            fleet: &workspace.fleet.name,
            deployment: name,
            root: &deployment.root,
            publishing,
            seen: ledger.seen.get(name),
            now,
        };
        let parsed = Stamp::parse(text).map_err(|error| Distrust::Damaged(error.to_string()));
        let judged = parsed.and_then(|signed| {
            expected.believe(&signed, digest)?;
            let held = shared.entry(digest).or_insert_with(|| {
                Manifest::parse(manifest).map(Shared::new).map(Arc::new).map_err(|error| error.to_string())
            });
            let shared = held.clone().map_err(Distrust::Damaged)?;
            Ok((Seen::of(&signed), signed.stamp, shared))
        });
        match judged {
            Err(why) => drop(statuses.refused.insert(name.clone(), why)),
            Ok((seen, stamp, shared)) => {
                believed.insert(name.clone(), seen);
                let age = Duration::try_from(now.duration_since(stamp.time)).unwrap_or_default();
                let stale = age > publishing.stale();
                statuses.known.insert(name.clone(), Known { stamp, shared, age, stale });
            }
        }
    }
    let remember = |ledger: &mut Ledger| {
        believed.into_iter().for_each(|(name, seen)| ledger.believe(&name, seen));
    };
    if let Err(error) = Ledger::change(workspace, publishing, remember) {
        tracing::warn!(%error, "which statuses were seen cannot be remembered: a replay may go unnoticed");
    }
    Ok(statuses)
}

impl Statuses {
    /// Nothing is known of anybody, because of that.
    pub(in crate::engine) fn unread(error: &ReadError) -> Self {
        Self { unread: Some(in_one_line(error)), ..Self::default() }
    }

    /// What is known of a deployment, or why nothing is.
    pub fn of(&self, name: &DeploymentName) -> Result<&Known, Unheard> {
        match (self.known.get(name), self.refused.get(name), &self.unread) {
            (Some(known), ..) => Ok(known),
            (None, Some(why), _) => Err(Unheard::Refused(why.clone())),
            (None, None, Some(why)) => Err(Unheard::Unread(why.clone())),
            (None, None, None) => Err(Unheard::Silent),
        }
    }
}
