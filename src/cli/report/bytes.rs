//! Bytes that a report shows: what lies on the host, what is recorded, what would be put. What is quoted of
//! them goes through [`Bytes::shown`], which leaves secrets out.

use std::collections::BTreeMap;

use crate::cli::printer::shown;
use crate::engine::contents::Contents;
use crate::engine::mask::Mask;
use crate::engine::{Survey, Workspace};
use crate::host::Host;
use crate::model::{Entry, TreePath};
use crate::plan::Judged;

/// Where a survey's bytes are found.
pub struct Bytes<'a> {
    contents: Contents<'a>,
    host: &'a dyn Host,
    mask: Mask<'a>,
    /// Whether the host is there to be asked.
    asks: bool,
}

/// Base, actual and desired bytes of one path; `None` where nothing is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// What both come from.
    pub base: Option<Vec<u8>>,
    /// What lies on the host.
    pub actual: Option<Vec<u8>>,
    /// What the pack gives.
    pub desired: Option<Vec<u8>>,
}

/// Answers a question that needs bytes of a survey; `None` if its deployment is unknown.
pub fn with<T>(workspace: &Workspace, survey: &Survey, ask: impl FnOnce(&Bytes<'_>) -> T) -> Option<T> {
    let deployment = workspace.fleet.deployments.get(&survey.deployment)?;
    let host = workspace.host(deployment);
    let asks = workspace.statuses().is_none();
    let nothing = BTreeMap::new();
    let contents = Contents::new(workspace, host.as_ref(), survey, &nothing);
    Some(ask(&Bytes { contents, host: host.as_ref(), mask: Mask::new(workspace), asks }))
}

impl Bytes<'_> {
    /// What lies at a path, if it is still that.
    pub fn live(&self, path: &TreePath, entry: Option<Entry>) -> Result<Option<Vec<u8>>, String> {
        let Some(entry) = entry else { return Ok(None) };
        if !self.asks {
            // What nobody changed there is in a source as well.
            return self.stored(Some(entry));
        }
        self.host.read(path, entry.content).map(Some).map_err(|error| shown(&error.to_string()))
    }

    /// What a source or a store holds.
    pub fn stored(&self, entry: Option<Entry>) -> Result<Option<Vec<u8>>, String> {
        let Some(entry) = entry else { return Ok(None) };
        self.contents.find(entry.content).map(Some).map_err(|error| shown(&error.to_string()))
    }

    /// A text of a path as a report may quote it: a number in place of each secret.
    pub fn shown(&self, path: &TreePath, text: &[u8]) -> Vec<u8> {
        self.mask.shown(path.as_str(), text)
    }

    /// All three of a path.
    pub fn sides(&self, path: &TreePath, judged: &Judged) -> Result<Sides, String> {
        Ok(Sides {
            base: self.stored(judged.base())?,
            actual: self.live(path, judged.actual_entry())?,
            desired: self.stored(judged.desired_entry())?,
        })
    }
}
