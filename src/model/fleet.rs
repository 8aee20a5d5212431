//! The validated fleet: what `fleet.toml` means once every reference in it has been followed.
//!
//! Profiles, ranges, includes and selectors of dependencies are gone here: each deployment stands by
//! itself. Paths of the fleet repository have been resolved against the fleet file's directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use super::care::Check;
use super::outward::Outward;
use super::pack::{Pack, Requirement};
use super::publishing::Publishing;
use super::rollout::{Pause, Stage, Window};
use super::run::Rhythm;
use super::ssh::{Destination, Privilege};
use super::{DeploymentName, FleetName, HostPath, OverlayName, PackName, SourceName, TreePath};

/// What to do with a file that someone changed on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Changed {
    /// Keep the edit, merge it into upgrades, hold what conflicts.
    #[default]
    Merge,
    /// Never touch an edited file.
    Keep,
    /// Put what is desired; the edit is saved first.
    Revert,
}

/// What to do with a file that someone deleted on the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deleted {
    /// Put it back.
    #[default]
    Restore,
    /// Leave it away.
    Keep,
}

/// The policy for undeclared edits of one pack on one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edits {
    /// For changed files.
    pub changed: Changed,
    /// For deleted files.
    pub deleted: Deleted,
}

/// The policies for edits of one deployment, as they are today.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// By pack that it declares.
    pub packs: BTreeMap<PackName, Edits>,
    /// For packs that are recorded but no longer declared.
    pub rest: Edits,
}

/// How large a change may be before it needs consent; percent of a pack's recorded files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Deletions; up to 3 files never count.
    pub max_delete: u8,
    /// All writes.
    pub max_change: u8,
    /// Moves that may exceed the budget.
    pub consent: Vec<Consent>,
}

/// `pack@from..to`: a move between two versions (labels or commit prefixes) that may exceed the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The pack that moves.
    pub pack: PackName,
    /// From which version.
    pub from: String,
    /// To which version.
    pub to: String,
}

/// What a pack may ask of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of a pack's tree.
    pub entries: u64,
    /// Bytes of a pack's tree.
    pub bytes: u64,
    /// Bytes of one file of it: a blob of git is in memory whole while it is read.
    pub file: u64,
    /// Bytes of all its paths together: directories make them long for little.
    pub paths: u64,
    /// Components of a path.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 200_000, bytes: 2 << 30, file: 64 << 20, paths: 32 << 20, depth: 256 }
    }
}

/// A URL that may carry a password. `Display` and `Debug` mask it; [`Url::expose`] does not.
///
/// It serialises whole, for the way to a host; it is in nothing that is printed as JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Url(String);

impl Url {
    /// Wraps the text; the validator has checked that it is no option (`-…`).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text with its password, for git alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, query) = self.0.split_at(self.0.find('?').unwrap_or(self.0.len()));
        let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
        let (authority, tail) = rest.split_at(rest.find(['/', '#']).unwrap_or(rest.len()));
        if !scheme.is_empty() {
            write!(f, "{scheme}://")?;
        }
        match authority.rsplit_once('@') {
            None => f.write_str(rest)?,
            Some((user, _)) if !user.contains(':') && matches!(scheme, "ssh" | "") => f.write_str(rest)?,
            Some((_, host)) => write!(f, "***@{host}{tail}")?,
        }
        f.write_str(&masked_query(query))
    }
}

/// The query of a URL, `?` included, without the values of keys that speak of a secret.
fn masked_query(query: &str) -> String {
    let speaks = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["token", "secret", "passw", "key", "auth", "sig"].iter().any(|word| key.contains(word))
    };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((key, _)) if speaks(key) => format!("{key}=***"),
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// Where packs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A git repository: anything libgit2 fetches, or an absolute path.
    Git {
        /// Where it is fetched from.
        url: Url,
        /// The list of allowed signers, in the fleet repository: what is pinned must be signed.
        signed_by: Option<TreePath>,
        /// Where `export --push` goes, if not to `url`.
        push_url: Option<Url>,
        /// Branches that it never pushes to.
        protected: Vec<String>,
    },
    /// A plain directory, absolute: for a pack under development.
    Directory(Utf8PathBuf),
}

/// How a deployment's files are reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostAddress {
    /// This machine.
    Local,
    /// Another one.
    Ssh {
        /// Where ssh leads.
        to: Destination,
        /// As whom the files are handled there.
        privilege: Privilege,
    },
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Ssh { to, .. } => write!(f, "{to}"),
        }
    }
}

/// Whether packfleet may write there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Converge it.
    #[default]
    Converge,
    /// Report only.
    Observe,
}

/// Whether the deployment should exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It should.
    #[default]
    Present,
    /// Remove what packfleet installed, edits kept.
    Absent,
}

/// One pack on one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Which version.
    pub requirement: Requirement,
    /// Not held by a lock file.
    pub follow: bool,
    /// Applied in this order.
    pub overlays: Vec<OverlayName>,
    /// Shown in the VERSION file.
    pub features: Vec<String>,
    /// The nearest of the fleet's, the pack's and the deployment's policy.
    pub edits: Edits,
}

/// One named place with a host, a root directory and some packs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its name.
    pub name: DeploymentName,
    /// How its files are reached.
    pub host: HostAddress,
    /// The directory beneath which everything lies.
    pub root: HostPath,
    /// Shown in the VERSION file.
    pub location: Option<String>,
    /// What selectors `label:X` match.
    pub labels: BTreeSet<String>,
    /// Converge or observe.
    pub mode: Mode,
    /// Present or absent.
    pub state: State,
    /// Deployments that must hold this fleet's packs first; no cycle.
    pub depends_on: BTreeSet<DeploymentName>,
    /// Its packs. Empty when `state` is absent.
    pub packs: BTreeMap<PackName, Assignment>,
    /// The deployment's own policy over the fleet's, for packs that are recorded but no longer declared.
    pub edits: Edits,
    /// Checks of health instead of the pack's.
    pub health: BTreeMap<PackName, Vec<Check>>,
    /// Nothing is changed there for a while.
    pub pause: Option<Pause>,
    /// When it may be changed; `None`: always.
    pub window: Option<Window>,
}

impl Deployment {
    /// Its policies for edits.
    pub fn policies(&self) -> Policies {
        let packs = self.packs.iter().map(|(name, assigned)| (name.clone(), assigned.edits)).collect();
        Policies { packs, rest: self.edits }
    }
}

/// How many hosts are asked at a time, and how long one may take. `None`: not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Hosts at a time.
    pub jobs: Option<usize>,
    /// For a look, and for anything else without a sign of work.
    pub host_timeout: Option<Duration>,
}

/// Everything that `fleet.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Its name.
    pub name: FleetName,
    /// The directory of the fleet file, absolute; `overlays/` lies in it.
    pub directory: Utf8PathBuf,
    /// JSON under each root; `None` for no such file.
    pub version_file: Option<TreePath>,
    /// One line per sync under each root; `None` for no such file.
    pub sync_log: Option<TreePath>,
    /// How many generations can be rolled back to.
    pub keep_generations: u32,
    /// How large a change may be.
    pub budget: Budget,
    /// How hosts are asked.
    pub pace: Pace,
    /// How often the loop looks.
    pub rhythm: Rhythm,
    /// What a pack may ask of a host.
    pub limits: Limits,
    /// Where statuses are published; `None`: nowhere.
    pub status: Option<Publishing>,
    /// Where packs come from.
    pub sources: BTreeMap<SourceName, Source>,
    /// All packs.
    pub packs: BTreeMap<PackName, Pack>,
    /// All deployments.
    pub deployments: BTreeMap<DeploymentName, Deployment>,
    /// What a controller shows and tells.
    pub outward: Outward,
    /// Stages, in order; none: all may move at once.
    pub rollout: Vec<Stage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_masked() {
        for (url, shown) in [
            ("https://bob:hunter2@example.org/x.git", "https://***@example.org/x.git"),
            ("https://token@example.org/x.git", "https://***@example.org/x.git"),
            ("ssh://git@example.org/x.git", "ssh://git@example.org/x.git"),
            ("git@example.org:x.git", "git@example.org:x.git"),
            ("bob:hunter2@example.org:x.git", "***@example.org:x.git"),
            ("/srv/a:b@c/x.git", "/srv/a:b@c/x.git"),
            ("https://example.org/a@b", "https://example.org/a@b"),
            ("https://example.org/x?a=b&access_token=hunter2", "https://example.org/x?a=b&access_token=***"),
        ] {
            assert_eq!(Url::new(url).to_string(), shown);
            assert!(!format!("{:?}", Url::new(url)).contains("hunter2"));
        }
    }
}
