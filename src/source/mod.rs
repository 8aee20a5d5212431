//! Effects on git: where packs come from.
//!
//! A source answers three questions: which refs there are, which commit one means, and what lies in a
//! directory of a commit. Trees are read by blob id from a full bare mirror, never from a checkout, so
//! that no attribute smudges a byte. A plain directory answers the same questions without commits.

mod changes;
pub mod checkout;
pub mod directory;
pub mod export;
pub mod git;
mod history;
mod libgit2;
mod listing;
mod local;
pub mod memo;
pub mod memory;
mod mirror;
pub mod objects;
mod origin;
pub mod publish;
mod rules;
pub mod signature;
pub mod snapshot;
mod spool;
pub mod ssh;
pub mod status;
pub mod upstream;
pub mod working;

use std::io;

use crate::model::fleet::Limits;
use crate::model::pack::CommitId;
pub use crate::model::pack::{PackEntry, PackTree, Ref, Refs};
use crate::model::{Content, TreePath};

pub use directory::DirectorySource;
pub use git::GitSource;
pub use libgit2::begin;
pub use memo::Memo;
pub use memory::MemorySource;
pub use objects::ObjectStore;
pub use spool::{Given, Pieces};

/// A place that holds packs. All calls block.
pub trait PackSource: Send + Sync {
    /// Asks the origin which refs there are (once per run; later calls answer from memory), and brings
    /// in what is new. An origin that cannot be reached is an error; the mirror stays as it was.
    fn refresh(&self) -> Result<Refs, SourceError>;

    /// Whether the origin lists other refs than those with which [`PackSource::refresh`] answered, or answers
    /// again where it did not. Asks it, and brings nothing in; a source that was not asked needs no answer: no.
    fn moved(&self) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// The refs as the mirror knows them, without asking the origin.
    fn known(&self) -> Result<Refs, SourceError>;

    /// The full id of a commit given by a full or abbreviated id. Ambiguous or unknown ids are errors.
    fn commit(&self, rev: &str) -> Result<CommitId, SourceError>;

    /// The tree of the first of `dirs` that exists in the commit. `None` for a plain directory's commit.
    /// Every rule for hostile packs is checked here, case clashes only where `distinct` is false.
    fn tree(
        &self,
        commit: Option<&CommitId>,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<PackTree, SourceError>;

    /// A name of the tree that [`PackSource::tree`] would give, which no other tree has, told without reading
    /// it; `None` if this source has no such names.
    fn tree_id(&self, commit: &CommitId, dirs: &[Option<TreePath>]) -> Result<Option<String>, SourceError> {
        let (_, _) = (commit, dirs);
        Ok(None)
    }

    /// What differs between the trees that [`PackSource::tree`] would give of two commits, of which the first
    /// obeys the rules; that the second obeys those for single files and names is seen to. `None`: ask for the
    /// whole.
    fn changes(
        &self,
        from: &CommitId,
        to: &CommitId,
        dirs: &[Option<TreePath>],
        rules: &TreeRules,
    ) -> Result<Option<Vec<Change>>, SourceError> {
        let (_, _, _, _) = (from, to, dirs, rules);
        Ok(None)
    }

    /// Bytes of a file of a pack tree that this source gave before, in this run or an earlier one.
    fn bytes(&self, commit: Option<&CommitId>, content: Content) -> Result<Vec<u8>, SourceError>;

    /// Writes the same bytes, in pieces where that can be, unverified.
    fn copy(
        &self,
        commit: Option<&CommitId>,
        content: Content,
        to: &mut dyn io::Write,
    ) -> Result<(), SourceError> {
        let bytes = self.bytes(commit, content)?;
        to.write_all(&bytes).map_err(|source| write_failed(content, source))
    }

    /// The same, piece by piece where they are many.
    fn give(&self, commit: Option<&CommitId>, content: Content) -> Result<Given, SourceError> {
        self.bytes(commit, content).map(Given::Bytes)
    }

    /// The raw bytes of a commit or of an annotated tag, for checking signatures.
    fn object(&self, id: &CommitId) -> Result<Vec<u8>, SourceError>;

    /// The states that the first of `dirs` that exists had on any branch or tag, the newest first, at most
    /// `most` of them; a plain directory has no past. `main` is the tip of the branch that is preferred.
    fn history(
        &self,
        dirs: &[Option<TreePath>],
        main: Option<&CommitId>,
        most: usize,
    ) -> Result<History, SourceError>;

    /// The best common ancestor of two commits; `None` if they have none.
    fn merge_base(&self, a: &CommitId, b: &CommitId) -> Result<Option<CommitId>, SourceError>;

    /// Keeps commits reachable in the mirror, whatever the origin does. Nothing is ever dropped here.
    fn pin(&self, commits: &[CommitId]) -> Result<(), SourceError>;
}

/// One file of a pack that differs between two states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where, in the pack's coordinates.
    pub path: TreePath,
    /// Whether there was a file before.
    pub existed: bool,
    /// Its size then.
    pub size_before: u64,
    /// What is there now.
    pub entry: Option<PackEntry>,
}

/// The past of a pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Its distinct states, newest first.
    pub states: Vec<Past>,
    /// Commits that changed the pack, in these states.
    pub commits: usize,
    /// Whether that is all of it; false if older states were left out.
    pub whole: bool,
}

/// One state that a pack had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Commits at which it came about, and those with it that tags lead to; newest first, never empty.
    pub commits: Vec<PastCommit>,
}

/// A commit of a pack's past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCommit {
    /// Its id.
    pub id: CommitId,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// The first line of its message, unescaped.
    pub subject: String,
    /// Whether the preferred branch leads to it.
    pub on_main: bool,
}

/// What a pack's tree must obey.
#[derive(Debug, Clone, Copy)]
pub struct TreeRules {
    /// Size limits.
    pub limits: Limits,
    /// Whether two names may differ in letter case only.
    pub distinct: bool,
}

/// Somebody who wanted the bytes cannot take them.
fn write_failed(content: Content, source: io::Error) -> SourceError {
    SourceError::Io { operation: "copy", path: content.to_string(), source }
}

/// What to say if none of a pack's directories exists.
fn no_directory(dirs: &[Option<TreePath>], place: &str) -> String {
    let names: Vec<String> = dirs
        .iter()
        .map(|dir| dir.as_ref().map_or_else(|| "the top".to_owned(), |dir| format!("{dir:?}")))
        .collect();
    match names.as_slice() {
        [one] => format!("there is no directory {one} in {place}"),
        many => format!("there is none of the directories {} in {place}", many.join(", ")),
    }
}

/// A failed question to a source. Texts from the pack are shown escaped.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The origin did not answer or refused; transient.
    #[error("cannot reach {url}")]
    Unreachable {
        /// Masked.
        url: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// The mirror or directory cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// What was being read.
        what: String,
        /// What git said.
        #[source]
        source: git2::Error,
    },
    /// A file of a plain directory, or of the cache, cannot be read or written.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// No such ref or commit, or an ambiguous one.
    #[error("{0}")]
    Unknown(String),
    /// The pack breaks a rule; the text names the entry, escaped.
    #[error("pack refused: {0}")]
    Refused(String),
}
