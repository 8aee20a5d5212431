//! Where the fleet comes from: a checkout here, or a branch of a repository elsewhere; and whether it is to be taken.
//!
//! ```text
//! checkout  read the files ──────────────────────────────► the same? ─ no ─► a new fleet
//! remote    one ref query ─► moved? ─► read that commit ─►           ─ yes ─► sources: one ref query each
//!                                                                             moved? ─► the same fleet, opened anew
//! ```
//! Nothing is fetched where no ref moved. Sources are good for one answer, so that a fleet whose sources moved is
//! opened anew. All of this blocks, and runs on a thread of its own.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;

use super::accept::{Rewind, Terms};
use crate::desired::selector::{Selector, SelectorError, select};
use crate::engine::Workspace;
use crate::engine::workspace::LoadError;
use crate::host::reach::Reach;
use crate::model::cause::in_one_line;
use crate::model::pack::CommitId;
use crate::model::{DeploymentName, SourceName};
use crate::source::SourceError;
use crate::source::signature::SignatureError;
use crate::source::upstream::{Tip, Upstream};

/// Where the fleet comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Files of this machine.
    Checkout,
    /// A branch of a repository.
    Remote(Upstream),
}

/// How the fleet is read.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Where it comes from.
    pub origin: Origin,
    /// The fleet file: of a checkout its path; of a repository the path in it.
    pub file: Utf8PathBuf,
    /// Against what relative paths in a repository's fleet file are meant.
    pub here: Utf8PathBuf,
    /// Where mirrors lie.
    pub cache: Utf8PathBuf,
    /// How hosts are reached.
    pub reach: Arc<Reach>,
    /// Whom the loop cares for; all for none.
    pub select: Vec<Selector>,
    /// The deployment whose host this machine is, if it cares for that one alone.
    pub own: Option<DeploymentName>,
    /// What a commit must be to be taken.
    pub terms: Terms,
}

/// The fleet in force.
#[derive(Clone)]
pub struct Force {
    /// It.
    pub workspace: Arc<Workspace>,
    /// The commit that it was read from.
    pub commit: Option<CommitId>,
}

/// Whether sources are opened anew, whatever they answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// They are.
    Yes,
    /// Only if one moved.
    No,
}

/// What a look at the fleet repository came to.
pub struct Looked {
    /// When it was.
    pub at: Timestamp,
    /// The fleet that is to be in force, if that is another one.
    pub new: Option<Force>,
    /// Why what lies there is not to be in force.
    pub trouble: Option<Trouble>,
    /// Sources that did not answer.
    pub errors: Vec<(SourceName, String)>,
}

impl std::fmt::Debug for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Looked").field("new", &self.new.is_some()).field("trouble", &self.trouble).finish()
    }
}

/// Why a fleet is not in force.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The fleet repository does not answer, or lacks the branch.
    #[error("the fleet repository cannot be asked")]
    Repository(#[source] SourceError),
    /// It cannot be read, or does not validate.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Nobody in it is meant.
    #[error(transparent)]
    Select(#[from] SelectorError),
    /// The newest commit is not signed by anybody who may.
    #[error("the fleet repository's newest commit is not taken")]
    Unsigned(#[source] SignatureError),
    /// History leads back.
    #[error(
        "branch {branch} was rewritten or moved back: {} is not ahead of {}, which was taken before",
        .tip.short(), .floor.short()
    )]
    Rewound {
        /// The branch.
        branch: String,
        /// What was taken before.
        floor: CommitId,
        /// Where the branch is now.
        tip: CommitId,
    },
    /// The list of signers cannot be read.
    #[error("cannot read the list of signers {path}")]
    Signers {
        /// The file.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// What was taken last cannot be read or written.
    #[error("cannot keep in {path} which fleet commit was taken last")]
    State {
        /// The file.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The look itself died; a defect of packfleet.
    #[error("the look at the fleet repository ended without an answer; this is a defect of packfleet")]
    Lost,
}

impl Trouble {
    /// All of it in one text, to tell one trouble from the next.
    pub fn whole(&self) -> String {
        match self {
            Self::Load(LoadError::Invalid { problems, .. }) => format!("{self} {problems:?}"),
            _ => in_one_line(self),
        }
    }
}

impl Reader {
    /// What tells this fleet file from others, in whatever directory the loop begins.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::Remote(upstream) => format!("{}\n{}\n{}", upstream.url(), upstream.branch(), self.file),
            Origin::Checkout => camino::absolute_utf8(&self.file).unwrap_or(self.file.clone()).into_string(),
        }
    }

    /// Looks at where the fleet comes from, and at its sources.
    pub fn look(&self, force: Option<&Force>, anew: Anew) -> Looked {
        let at = Timestamp::now();
        let mut looked = Looked { at, new: None, trouble: None, errors: Vec::new() };
        let read = match &self.origin {
            Origin::Checkout => self.checkout(force),
            Origin::Remote(upstream) => self.remote(upstream, force),
        };
        match read {
            Ok(Some(new)) => looked.new = Some(new),
            Ok(None) => {}
            Err(trouble) => looked.trouble = Some(trouble),
        }
        if let (Some(_), None, Origin::Remote(upstream)) = (&looked.trouble, force, &self.origin) {
            looked.new = self.last_good(upstream);
        }
        if looked.new.is_none()
            && let Some(force) = force
        {
            let (moved, errors) = force.workspace.moved();
            looked.errors = errors.iter().map(|(name, error)| (name.clone(), in_one_line(error))).collect();
            if moved || anew == Anew::Yes {
                // Not what lies there, which may be in trouble.
                let workspace = Arc::new(force.workspace.reopen());
                looked.new = Some(Force { workspace, commit: force.commit.clone() });
            }
        }
        looked
    }

    fn finish(&self, workspace: Workspace) -> Arc<Workspace> {
        let workspace = workspace.reached_by(Arc::clone(&self.reach));
        Arc::new(match &self.own {
            Some(own) => workspace.on_host_of(own),
            None => workspace,
        })
    }

    /// The fleet as its files are, if that is another one than is in force.
    fn checkout(&self, force: Option<&Force>) -> Result<Option<Force>, Trouble> {
        let workspace = Workspace::load(&self.file, &self.cache)?;
        if force.is_some_and(|force| force.workspace.says_the_same(&workspace)) {
            return Ok(None);
        }
        select(&workspace.fleet, &self.select)?;
        Ok(Some(Force { workspace: self.finish(workspace), commit: None }))
    }

    /// The fleet as the branch has it, if that is at another commit.
    fn remote(&self, upstream: &Upstream, force: Option<&Force>) -> Result<Option<Force>, Trouble> {
        let tip = upstream.ask().map_err(Trouble::Repository)?;
        if force.and_then(|force| force.commit.as_ref()) == Some(&tip.commit) {
            return Ok(None);
        }
        self.terms.judge(upstream, &tip)?;
        let force = self.at(upstream, &tip)?;
        self.terms.taken(upstream, &tip)?;
        Ok(Some(force))
    }

    /// The fleet of a commit that may be taken.
    fn at(&self, upstream: &Upstream, tip: &Tip) -> Result<Force, Trouble> {
        let below = self.file.parent().unwrap_or(Utf8Path::new(""));
        let name = self.file.file_name().unwrap_or("fleet.toml");
        let snapshot = tip.snapshot(below).map_err(LoadError::from)?;
        let workspace = Workspace::load_snapshot(&self.here.join(name), &self.cache, snapshot)?;
        let mut workspace = workspace.known_as(self.place());
        select(&workspace.fleet, &self.select)?;
        if self.terms.rewind == Rewind::Refused {
            workspace = workspace.forward_only(upstream.clone());
        }
        Ok(Force { workspace: self.finish(workspace), commit: Some(tip.commit.clone()) })
    }

    /// The fleet that was taken last, for a loop that begins while what lies there is not to be taken.
    fn last_good(&self, upstream: &Upstream) -> Option<Force> {
        let found = || {
            let Some(floor) = self.terms.floor(upstream)? else { return Ok(None) };
            let tip = upstream.at(&floor);
            self.terms.signed(&tip)?;
            self.at(upstream, &tip).map(Some)
        };
        let found: Result<Option<Force>, Trouble> = found();
        found
            .inspect_err(|error| {
                tracing::warn!(why = in_one_line(error), "the fleet taken last cannot be used")
            })
            .ok()
            .flatten()
    }
}
