//! Statuses: what hosts hold, published, and plans that are made from that alone.
//!
//! ```text
//! publish   look at what changed ─► manifest + stamp ─► signed ─► the store
//! read      the store ─► believed or refused, each by name ─► Statuses
//! told      Statuses as hosts: they answer looks from manifests, and nothing else
//! survey    the pass over such a host: the planner is the same; what only bytes would tell is named as undecided
//! ledger    what this machine published last, and the last word it believed of each
//! ```
//! No host is touched to read or to plan. Deliberately absent: who may speak (see [`crate::plan::trust`]).

mod compose;
mod ledger;
mod publish;
mod read;
pub(super) mod survey;
mod told;

pub use publish::{Check, Unpublished, Voice, publish_status};
pub use read::{Known, ReadError, Statuses, Unheard, read};
pub use survey::{Doubt, FromStatus, Undecided};

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Options;
use super::workspace::Workspace;
use crate::model::DeploymentName;
use crate::model::publishing::{Publishing, StoreAddress};
use crate::source::status::{DirectoryStatus, GitStatus, StatusStore};

/// On the host of one deployment, all others are known by what they published: reads that anew.
pub(super) fn hear_others(workspace: &Workspace, names: &BTreeSet<DeploymentName>, options: &Options) {
    let Some(own) = workspace.own() else { return };
    let others: BTreeSet<DeploymentName> = names.iter().filter(|name| *name != own).cloned().collect();
    let heard = match others.is_empty() {
        true => Statuses::default(),
        false => read(workspace, &others, options.now).unwrap_or_else(|error| Statuses::unread(&error)),
    };
    workspace.hear(Arc::new(heard));
}

/// Where a fleet's statuses are.
fn store(workspace: &Workspace, publishing: &Publishing) -> Box<dyn StatusStore> {
    match &publishing.store {
        StoreAddress::Git { url, prefix } => Box::new(GitStatus::open(&workspace.cache, url, prefix)),
        StoreAddress::Directory(path) => Box::new(DirectoryStatus::open(path)),
    }
}
