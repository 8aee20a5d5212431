//! Whether a commit of the fleet repository is taken: signed by somebody who may, and ahead of what was taken before.
//!
//! The *floor* is the last commit that was taken. It lies in the controller's state, one small file per repository and
//! branch, written when it moves and before the fleet comes into force; every host keeps its own in its history. A
//! commit whose fleet does not validate moves no floor.

use std::fs::{self, File};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::origin::Trouble;
use crate::model::pack::CommitId;
use crate::source::upstream::{Tip, Upstream};

/// What a commit must be to be taken.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The list of those who may sign, in OpenSSH's format; `None`: anybody may push.
    pub signers: Option<Utf8PathBuf>,
    /// Whether history may lead back.
    pub rewind: Rewind,
    /// The directory of the controller's state.
    pub state: Utf8PathBuf,
}

/// Whether history may lead back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewind {
    /// It is refused.
    Refused,
    /// A person asked for it.
    Allowed,
}

#[derive(Debug, Serialize, Deserialize)]
struct Floor {
    /// Masked, for people.
    repository: String,
    branch: String,
    commit: String,
}

impl Terms {
    /// Whether a commit may be taken.
    pub(super) fn judge(&self, upstream: &Upstream, tip: &Tip) -> Result<(), Trouble> {
        self.signed(tip)?;
        if self.rewind == Rewind::Allowed {
            return Ok(());
        }
        let Some(floor) = self.floor(upstream)? else { return Ok(()) };
        if tip.follows(&floor).map_err(Trouble::Repository)? {
            return Ok(());
        }
        Err(Trouble::Rewound { branch: upstream.branch().to_owned(), floor, tip: tip.commit.clone() })
    }

    /// Whether somebody signed it who may.
    pub(super) fn signed(&self, tip: &Tip) -> Result<(), Trouble> {
        let Some(signers) = &self.signers else { return Ok(()) };
        let allowed = fs::read_to_string(signers)
            .map_err(|source| Trouble::Signers { path: signers.clone(), source })?;
        tip.signer(&allowed).map_err(Trouble::Repository)?.map(|_| ()).map_err(Trouble::Unsigned)
    }

    /// The last commit that was taken; `None` if none ever was.
    pub(super) fn floor(&self, upstream: &Upstream) -> Result<Option<CommitId>, Trouble> {
        let path = self.file(upstream);
        let failed = |source| Trouble::State { path: path.clone(), source };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let damaged = |why: String| failed(io::Error::new(io::ErrorKind::InvalidData, why));
        let floor: Floor = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        CommitId::new(&floor.commit).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// A commit was taken: the floor moves there, if it is elsewhere.
    pub(super) fn taken(&self, upstream: &Upstream, tip: &Tip) -> Result<(), Trouble> {
        if self.rewind == Rewind::Refused && self.floor(upstream)?.as_ref() == Some(&tip.commit) {
            return Ok(());
        }
        // It stays in the mirror, to be compared with.
        tip.keep().map_err(Trouble::Repository)?;
        let path = self.file(upstream);
        let floor = Floor {
            repository: upstream.url().to_string(),
            branch: upstream.branch().to_owned(),
            commit: tip.commit.as_str().to_owned(),
        };
        let written = serde_json::to_string_pretty(&floor)
            .map_err(io::Error::other)
            .and_then(|text| replace(&path, text.as_bytes()));
        written.map_err(|source| Trouble::State { path, source })
    }

    fn file(&self, upstream: &Upstream) -> Utf8PathBuf {
        let place = format!("{}\n{}", upstream.url(), upstream.branch());
        let digest = blake3::hash(place.as_bytes()).to_hex();
        self.state.join("floors").join(format!("{}.json", &digest[..16]))
    }
}

/// Replaces a small file so that it is old or new, and durable.
fn replace(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}
