//! Where bytes are found, by their digest.
//!
//! In this order: merges of this pass, overlays, the pack at hand, the commits that the record names,
//! the controller's object store, the host's, and the tree on the host. Every find is verified by whoever reads it first; a
//! content that is nowhere is an error, never empty bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::OnceLock;

use crate::host::{BlobError, Blobs, Host, Sink, Stream};
use crate::model::actual::Seen;
use crate::model::pack::CommitId;
use crate::model::record::Record;
use crate::model::{Content, SourceName};
use crate::source::Given;

use super::report::Survey;
use super::workspace::Workspace;

/// A source, and the commit of it, that may have a content.
type Place = (SourceName, Option<CommitId>);

/// Which sources may have a content. There are few places and many contents.
#[derive(Default)]
struct Places {
    all: Vec<Place>,
    of: BTreeMap<Content, Vec<usize>>,
}

impl Places {
    fn add(&mut self, content: Content, source: &SourceName, commit: Option<&CommitId>) {
        let is = |(known, of): &Place| known == source && of.as_ref() == commit;
        // Mostly the same as that of the content before.
        let at = self.all.iter().rposition(is).unwrap_or_else(|| {
            self.all.push((source.clone(), commit.cloned()));
            self.all.len() - 1
        });
        let found = self.of.entry(content).or_default();
        if found.last() != Some(&at) {
            found.push(at);
        }
    }

    fn of(&self, content: Content) -> impl Iterator<Item = &Place> {
        self.of.get(&content).into_iter().flatten().filter_map(|at| self.all.get(*at))
    }
}

/// Bytes that one deployment's pass may need.
pub struct Contents<'a> {
    workspace: &'a Workspace,
    host: &'a dyn Host,
    survey: &'a Survey,
    extra: &'a BTreeMap<Content, Vec<u8>>,
    places: OnceLock<Places>,
    records: Vec<&'a Record>,
    watched: &'a (dyn Fn() + Sync),
}

impl<'a> Contents<'a> {
    /// `extra` are bytes that a command brings along (a file to resolve with).
    pub fn new(
        workspace: &'a Workspace,
        host: &'a dyn Host,
        survey: &'a Survey,
        extra: &'a BTreeMap<Content, Vec<u8>>,
    ) -> Self {
        // A rollback puts what only the record that it restores knows the commit of.
        let records = survey.observation.record.iter().chain([&survey.plan.next]).collect();
        Self { workspace, host, survey, extra, places: OnceLock::new(), records, watched: &|| () }
    }

    /// This is called once a change is there and only watched; see [`Blobs::watched`].
    pub fn telling(mut self, watched: &'a (dyn Fn() + Sync)) -> Self {
        self.watched = watched;
        self
    }

    /// These records name commits as well.
    pub fn and_of(mut self, records: impl IntoIterator<Item = &'a Record>) -> Self {
        self.records.extend(records);
        self
    }

    /// The bytes with this digest, wherever they are.
    pub fn find(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        if let Some(bytes) = self.made(content) {
            return Ok(bytes.clone());
        }
        let mut why = Vec::new();
        // Most passes find nothing to do and need no bytes at all, so the index is made on first use.
        let places = self.places.get_or_init(|| self.places());
        for (source, commit) in places.of(content) {
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
        // Bytes that nobody changed since they were put lie in the tree itself.
        for (path, seen) in &self.survey.observation.actual.paths {
            if matches!(seen, Seen::Entry(entry) if entry.content == content) {
                match self.host.read(path, content) {
                    Ok(bytes) => return Ok(bytes),
                    Err(error) => why.push(error.to_string()),
                }
            }
        }
        if why.is_empty() {
            why.push("neither a source, nor the cache, nor the host has them".to_owned());
        }
        Err(BlobError { content, why: why.join("; ") })
    }

    /// Bytes that are in memory already.
    fn made(&self, content: Content) -> Option<&Vec<u8>> {
        let overlays =
            || self.survey.resolved.iter().find_map(|resolved| resolved.overlay_bytes.get(&content));
        self.extra.get(&content).or_else(|| self.survey.merged.get(&content)).or_else(overlays)
    }

    /// The packs at hand first, then what records say of bases.
    fn places(&self) -> Places {
        let mut places = Places::default();
        for resolved in &self.survey.resolved {
            for desired in resolved.entries.values() {
                places.add(desired.entry.content, &resolved.source, desired.commit.as_ref());
            }
        }
        for record in &self.records {
            for entry in record.entries.values() {
                let source = record.packs.get(&entry.owner).map(|pack| &pack.source);
                if let (Some(base), Some(source)) = (entry.base.or(entry.written), source) {
                    places.add(base.content, source, entry.commit.as_ref());
                }
            }
        }
        places
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
    fn watched(&self) {
        (self.watched)();
    }

    fn stream(&self, content: Content) -> Result<Stream<'_>, BlobError> {
        let given = || {
            let places = self.places.get_or_init(|| self.places());
            places.of(content).find_map(|(source, commit)| {
                self.workspace.sources.get(source)?.give(commit.as_ref(), content).ok()
            })
        };
        let given = if self.made(content).is_none() { given() } else { None };
        match given {
            Some(Given::Pieces(pieces)) => Ok(Stream { length: pieces.length, bytes: Box::new(pieces) }),
            Some(Given::Bytes(bytes)) => Stream::of_verified(content, bytes),
            None => Stream::of_verified(content, self.find(content)?),
        }
    }

    fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
        self.find(content)
    }

    fn copy(&self, content: Content, to: &mut Sink<'_>) -> Result<(), BlobError> {
        let no = |why: String| BlobError { content, why };
        if self.made(content).is_none() {
            // In pieces where they are a file or a blob of their own; the other way says what is wrong with it.
            for (source, commit) in self.places.get_or_init(|| self.places()).of(content) {
                let copied =
                    self.workspace.sources.get(source).map(|it| it.copy(commit.as_ref(), content, to));
                if copied.is_some_and(|copied| copied.is_ok()) && to.holds(content) {
                    return Ok(());
                }
                if !to.again() {
                    return Err(no("they cannot be written".to_owned()));
                }
            }
            let kept = self.workspace.objects.copy(content, to).is_ok_and(|there| there) && to.holds(content);
            if kept || to.again() && matches!(self.host.copy_kept(content, to), Ok(true)) && to.holds(content)
            {
                return Ok(());
            }
            if !to.again() {
                return Err(no("they cannot be written".to_owned()));
            }
        }
        let bytes = self.find(content)?;
        to.write_all(&bytes).map_err(|error| no(error.to_string()))
    }
}
