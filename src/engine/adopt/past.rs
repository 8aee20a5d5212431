//! Versions of a pack that may have been installed by hand: what each installs, and the commits that do.
//!
//! Commits that install the very same files are one candidate, whatever else their trees hold. A version from
//! before the pack had its present layout installs what the install map still finds. What the rules for packs
//! refuse today cannot be recorded and is left out, and counted.

use std::collections::BTreeMap;

use semver::Version;

use crate::desired::render::render;
use crate::engine::bases::{State, commit_of};
use crate::engine::report::Failure;
use crate::engine::workspace::Workspace;
use crate::engine::{Event, Events};
use crate::model::cause::in_one_line;
use crate::model::desired::pack_digest;
use crate::model::fleet::{Assignment, Source};
use crate::model::pack::{CommitId, Pack, PackEntry, Pin, Refs, Requirement};
use crate::model::{DesiredDigest, TreeDigest, TreePath};
use crate::source::{PackSource, Past, PastCommit};

use super::score::Paths;

/// States that are looked at.
const MOST_STATES: usize = 2_000;
/// Files of all states together.
const MOST_FILES: usize = 2_000_000;
/// Branches that are preferred where the requirement names none, the first that exists.
const MAIN: [&str; 4] = ["main", "master", "trunk", "develop"];

/// A commit by which a version may be recorded; a plain directory has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The commit.
    pub commit: Option<CommitId>,
    /// When it was committed, in seconds since 1970; 0 if unknown.
    pub time: i64,
    /// The first line of its message, unescaped.
    pub subject: String,
    /// Whether the preferred branch leads to it.
    pub on_main: bool,
    /// The version of a tag that fits the pack's pattern, and that tag.
    pub version: Option<(Version, String)>,
    /// The pack's tree there.
    pub tree: TreeDigest,
}

impl Named {
    /// What people call it.
    pub fn label(&self) -> String {
        match (&self.version, &self.commit) {
            (Some((version, _)), _) => version.to_string(),
            (None, Some(commit)) => commit.short().to_owned(),
            (None, None) => self.tree.short(),
        }
    }

    /// The pin of a record.
    pub(super) fn pin(&self) -> Pin {
        let found_by = match (&self.version, &self.commit) {
            (Some((_, tag)), _) => tag.clone(),
            (None, Some(commit)) => commit.as_str().to_owned(),
            (None, None) => "directory".to_owned(),
        };
        Pin { version: self.label(), found_by, commit: self.commit.clone(), tree: self.tree }
    }
}

/// What some commits install, all of them the very same.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) entries: Paths,
    /// Never empty.
    pub(super) commits: Vec<Named>,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Editions {
    pub(super) found: Vec<Edition>,
    /// Commits that were looked at.
    pub(super) commits: usize,
    /// Whether no older ones were left out.
    pub(super) whole: bool,
    /// States that the rules refuse, and why the newest of them is.
    pub(super) refused: Option<(usize, String)>,
    /// The preferred branch.
    pub(super) main: Option<String>,
}

/// All versions of a pack.
pub(super) fn all(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    assignment: &Assignment,
    events: &dyn Events,
) -> Result<Editions, Failure> {
    if matches!(workspace.fleet.sources.get(&pack.source), Some(Source::Directory(_))) {
        let mut search = Search::new(workspace, source, pack, Refs::default());
        search.take(None);
        return Ok(search.done(1, true, None));
    }
    // An origin that does not answer is no obstacle: the mirror has what was fetched before.
    let refs = source.refresh().or_else(|error| source.known().map_err(|_| error));
    let refs = refs.map_err(|error| failed(pack, &error))?;
    let wanted = match &assignment.requirement {
        Requirement::Branch(name) => Some(name.as_str()),
        _ => None,
    };
    let main = wanted.into_iter().chain(MAIN).find_map(|name| {
        let branch = refs.branches.iter().find(|branch| branch.name == name)?;
        Some((branch.name.clone(), branch.commit.clone()?))
    });
    let tip = main.as_ref().map(|(_, tip)| tip);
    let history = source.history(&dirs(pack), tip, MOST_STATES).map_err(|error| failed(pack, &error))?;
    let mut search = Search::new(workspace, source, pack, refs);
    let mut whole = history.whole;
    let of = history.states.len();
    for (done, Past { commits }) in history.states.iter().enumerate() {
        events.event(Event::Resolving { done, of });
        if search.files > MOST_FILES {
            whole = false;
            break;
        }
        for commit in commits {
            search.take(Some(commit));
        }
    }
    Ok(search.done(history.commits, whole, main.map(|(name, _)| name)))
}

/// One version that a person names.
pub(super) fn one(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    at: &str,
) -> Result<Editions, Failure> {
    let refs = source.refresh().or_else(|_| source.known()).unwrap_or_default();
    let id = commit_of(source, pack, at).map_err(|error| failed(pack, &error))?;
    let mut search = Search::new(workspace, source, pack, refs);
    search.take(Some(&PastCommit { id, time: 0, subject: String::new(), on_main: false }));
    if let Some((_, why)) = &search.refused {
        return Err(Failure::Request(format!("pack {} at {at}: {why}", pack.name)));
    }
    Ok(search.done(1, true, None))
}

fn failed(pack: &Pack, error: &dyn std::error::Error) -> Failure {
    Failure::Request(format!("pack {}: {}", pack.name, in_one_line(error)))
}

fn dirs(pack: &Pack) -> Vec<Option<TreePath>> {
    std::iter::once(pack.dir.clone()).chain(pack.aliases.iter().cloned().map(Some)).collect()
}

/// Editions on their way.
struct Search<'a> {
    workspace: &'a Workspace,
    source: &'a dyn PackSource,
    pack: &'a Pack,
    refs: Refs,
    found: Vec<Edition>,
    places: BTreeMap<DesiredDigest, usize>,
    files: usize,
    refused: Option<(usize, String)>,
}

impl<'a> Search<'a> {
    fn new(workspace: &'a Workspace, source: &'a dyn PackSource, pack: &'a Pack, refs: Refs) -> Self {
        let (found, places) = (Vec::new(), BTreeMap::new());
        Self { workspace, source, pack, refs, found, places, files: 0, refused: None }
    }

    /// Adds a commit to what it installs; `None` is a plain directory's present state.
    fn take(&mut self, commit: Option<&PastCommit>) {
        let (entries, tree) = match self.read(commit.map(|commit| &commit.id)) {
            Ok(read) => read,
            Err(why) => {
                let number = self.refused.as_ref().map_or(0, |(number, _)| *number);
                let first = self.refused.take().map_or(why, |(_, first)| first);
                self.refused = Some((number + 1, first));
                return;
            }
        };
        let named = Named {
            commit: commit.map(|commit| commit.id.clone()),
            time: commit.map_or(0, |commit| commit.time),
            subject: commit.map_or_else(String::new, |commit| commit.subject.clone()),
            on_main: commit.is_some_and(|commit| commit.on_main),
            version: commit.and_then(|commit| self.version(&commit.id)),
            tree,
        };
        match self.places.get(&pack_digest(&entries)) {
            Some(place) => self.found[*place].commits.push(named),
            None => {
                self.files += entries.len();
                self.places.insert(pack_digest(&entries), self.found.len());
                self.found.push(Edition { entries, commits: vec![named] });
            }
        }
    }

    fn read(&self, commit: Option<&CommitId>) -> Result<(Paths, TreeDigest), String> {
        let state = State::read(self.workspace, self.source, self.pack, commit.cloned());
        let state = state.map_err(|error| in_one_line(&error))?;
        let pack = fitted(self.pack, &state.entries);
        let none = |_| Err("no overlay, no bytes".to_owned());
        let rendered =
            render(&pack, &state.entries, commit, &[], &none).map_err(|error| error.to_string())?;
        Ok((rendered.entries, rendered.tree))
    }

    /// The greatest version that a tag gives a commit.
    fn version(&self, commit: &CommitId) -> Option<(Version, String)> {
        let tags = self.refs.tags.iter().filter(|tag| tag.commit.as_ref() == Some(commit));
        tags.filter_map(|tag| Some((self.pack.tag.version(&tag.name)?, tag.name.clone()))).max()
    }

    fn done(self, commits: usize, whole: bool, main: Option<String>) -> Editions {
        Editions { found: self.found, commits, whole, refused: self.refused, main }
    }
}

/// The pack with those keys of its install map that a tree has: older versions may lack some.
pub(super) fn fitted(pack: &Pack, tree: &[PackEntry]) -> Pack {
    let mut pack = pack.clone();
    let has = |key: &TreePath| tree.iter().any(|entry| &entry.path == key || entry.path.is_below(key));
    pack.install.0.retain(|line| line.from.as_ref().is_none_or(has));
    pack
}
