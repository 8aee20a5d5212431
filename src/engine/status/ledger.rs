//! What this machine remembers of statuses: what it published last, and the last word of each deployment that it
//! believed.
//!
//! One file in the cache per fleet file and store. Losing it costs one look at each host and the knowledge which words
//! are replays; both come again with the next ones. It is changed under a lock, so that what was once believed is not
//! forgotten because two runs ended at the same time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::workspace::Workspace;
use crate::model::DeploymentName;
use crate::model::publishing::{Publishing, StoreAddress};
use crate::plan::trust::Seen;
use crate::source::status::Version;

/// What was published last of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    /// What the word was about, as far as a pass sees it.
    pub pulse: String,
    /// The word.
    pub version: Version,
    /// Its number.
    pub sequence: u64,
    /// When the host was looked at.
    pub time: Timestamp,
    /// The fingerprint of the key that signed it; `None`: nobody did.
    #[serde(default)]
    pub key: Option<String>,
}

/// All that is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    #[serde(default)]
    pub said: BTreeMap<DeploymentName, Said>,
    #[serde(default)]
    pub seen: BTreeMap<DeploymentName, Seen>,
}

impl Ledger {
    /// As it is now; empty if there is none that can be read, which is told: what was believed before is not known then.
    pub(super) fn load(workspace: &Workspace, publishing: &Publishing) -> Self {
        Self::read(workspace, publishing).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was published and believed before is not known");
            Self::default()
        })
    }

    /// Empty where there is none, and begun anew where it is damaged.
    fn read(workspace: &Workspace, publishing: &Publishing) -> io::Result<Self> {
        let bytes = match fs::read(file(workspace, publishing)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            bytes => bytes?,
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, "the memory of statuses is damaged, and begun anew");
            Self::default()
        }))
    }

    /// Changes it on top of what others made of it meanwhile.
    pub(super) fn change(
        workspace: &Workspace,
        publishing: &Publishing,
        change: impl FnOnce(&mut Self),
    ) -> io::Result<()> {
        let path = file(workspace, publishing);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let _lock = lock(&path)?;
        let before = Self::read(workspace, publishing)?;
        let mut now = before.clone();
        change(&mut now);
        if now == before {
            return Ok(());
        }
        let text = serde_json::to_vec(&now).map_err(io::Error::other)?;
        let aside = path.with_extension("new");
        let mut file = File::create(&aside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    }

    /// Remembers what was believed; what is older than that is not.
    pub(super) fn believe(&mut self, name: &DeploymentName, seen: Seen) {
        let known = self.seen.get(name).map(|known| known.sequence);
        if known.is_none_or(|known| known < seen.sequence) {
            self.seen.insert(name.clone(), seen);
        }
    }
}

fn lock(path: &Utf8PathBuf) -> io::Result<File> {
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(path.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

fn file(workspace: &Workspace, publishing: &Publishing) -> Utf8PathBuf {
    let store = match &publishing.store {
        StoreAddress::Git { url, prefix } => format!("{url} {prefix}"),
        StoreAddress::Directory(path) => path.to_string(),
    };
    let place = blake3::hash(format!("{store}\n{}", workspace.fleet.name).as_bytes()).to_hex();
    workspace.cache.join("statuses").join(format!("{}-{}.json", workspace.fleet.name, &place[..12]))
}
