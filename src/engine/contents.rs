//! Where bytes are found, by their digest.
//!
//! In this order: merges of this pass, overlays, the pack at hand, the commits that the record names,
//! the controller's object store, the host's. Every find is verified by whoever reads it first; a
//! content that is nowhere is an error, never empty bytes.

use std::collections::BTreeMap;

use crate::host::{BlobError, Blobs, Host};
use crate::model::pack::CommitId;
use crate::model::{Content, SourceName};

use super::report::Survey;
use super::workspace::Workspace;

/// Bytes that one deployment's pass may need.
pub struct Contents<'a> {
    workspace: &'a Workspace,
    host: &'a dyn Host,
    survey: &'a Survey,
    extra: &'a BTreeMap<Content, Vec<u8>>,
    recorded: BTreeMap<Content, (SourceName, Option<CommitId>)>,
}

impl<'a> Contents<'a> {
    /// `extra` are bytes that a command brings along (a file to resolve with).
    pub fn new(
        workspace: &'a Workspace,
        host: &'a dyn Host,
        survey: &'a Survey,
        extra: &'a BTreeMap<Content, Vec<u8>>,
    ) -> Self {
        let mut recorded = BTreeMap::new();
        if let Some(record) = &survey.observation.record {
            for entry in record.entries.values() {
                let source = record.packs.get(&entry.owner).map(|pack| pack.source.clone());
                if let (Some(base), Some(source)) = (entry.base.or(entry.written), source) {
                    recorded.insert(base.content, (source, entry.commit.clone()));
                }
            }
        }
        Self { workspace, host, survey, extra, recorded }
    }

    /// The bytes that lie on the host where `content` was seen.
    pub fn find(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        if let Some(bytes) = self.extra.get(&content).or_else(|| self.survey.merged.get(&content)) {
            return Ok(bytes.clone());
        }
        let mut why = Vec::new();
        for resolved in &self.survey.resolved {
            if let Some(bytes) = resolved.overlay_bytes.get(&content) {
                return Ok(bytes.clone());
            }
            if resolved.entries.values().any(|desired| desired.entry.content == content) {
                match self.ask_source(&resolved.source, resolved.pin.commit.as_ref(), content) {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => why.push(error),
                }
            }
        }
        if let Some((source, commit)) = self.recorded.get(&content) {
            match self.ask_source(source, commit.as_ref(), content) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => why.push(error),
            }
        }
        match self.workspace.objects.get(content) {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {}
            Err(error) => why.push(error.to_string()),
        }
        match self.host.kept(content) {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {}
            Err(error) => why.push(error.to_string()),
        }
        if why.is_empty() {
            why.push("neither a source, nor the cache, nor the host has them".to_owned());
        }
        Err(BlobError { content, why: why.join("; ") })
    }

    fn ask_source(
        &self,
        source: &SourceName,
        commit: Option<&CommitId>,
        content: Content,
    ) -> Result<Vec<u8>, String> {
        let source =
            self.workspace.sources.get(source).ok_or_else(|| format!("source {source} is not declared"))?;
        source.bytes(commit, content).map_err(|error| error.to_string())
    }
}

impl Blobs for Contents<'_> {
    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        self.find(content)
    }
}
