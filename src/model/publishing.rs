//! Where statuses are published, how often, and whose word counts.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;

use super::DeploymentName;
use super::fleet::Url;
use super::status_key::StatusKey;

/// Where statuses are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// In a git repository of their own.
    Git {
        /// Which.
        url: Url,
        /// Below which refs.
        prefix: String,
    },
    /// In a plain directory.
    Directory(Utf8PathBuf),
}

/// What `fleet.toml` says of statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publishing {
    /// Where.
    pub store: StoreAddress,
    /// How often one is said again, if nothing changes.
    pub heartbeat: Duration,
    /// The key of whoever applies to many; its word counts for every deployment.
    pub key: Option<StatusKey>,
    /// Keys of hosts that speak for themselves.
    pub hosts: BTreeMap<DeploymentName, StatusKey>,
}

/// Below which refs, if it is not said.
pub const PREFIX: &str = "refs/packfleet/status";
/// How often, if it is not said.
pub const HEARTBEAT: Duration = Duration::from_secs(15 * 60);
/// A status is stale when it is older than so many heartbeats.
pub const STALE_AFTER: u32 = 3;

impl Publishing {
    /// Whether the word of some key is asked for, for a deployment.
    pub fn asks_for_a_key(&self, name: &DeploymentName) -> bool {
        self.key.is_some() || self.hosts.contains_key(name)
    }

    /// From which age on a status is stale.
    pub fn stale(&self) -> Duration {
        self.heartbeat.saturating_mul(STALE_AFTER)
    }
}
