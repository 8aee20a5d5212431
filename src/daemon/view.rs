//! What is shown of the fleet: one plain value, made anew after each pass by [`super::board::Board`].
//!
//! The page, `/api/v1`, `/metrics`, messages and `status --watch` all show this and nothing else, so that they never
//! disagree. It is sorted and deterministic: the same reports at the same times give the same bytes. Versioned
//! by [`FORMAT`]: keys may be added within a format, none changes its meaning. No secret is in it: texts are
//! masked where they are worded.
//!
//! Deliberately absent: sentences. The floor that talks to people has them and gives them by [`Wording`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::engine::{LoadError, Report, Survey, Workspace};

/// The version of this layout.
pub const FORMAT: u32 = 1;
/// More rows of drift than this are counted and not listed.
pub const MOST_ROWS: usize = 200;

/// The fleet as it was seen last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// See [`FORMAT`].
    pub format: u32,
    /// `fleet`, as documents of the command line have it.
    pub kind: &'static str,
    /// Grows by one whenever anything changed but the times of looks.
    pub revision: u64,
    /// The fleet's name; `None` until a fleet.toml was read.
    pub fleet: Option<String>,
    /// The commit of the fleet repository that is in force.
    pub commit: Option<Commit>,
    /// Who shows this: the name of the controller's machine, or what it was told to call itself.
    pub controller: String,
    /// Since when it runs.
    pub started: Timestamp,
    /// The last pass that ended.
    pub pass: Option<Pass>,
    /// What is wrong with the newest fleet.toml, where the last good one stays in force meanwhile, and with the
    /// controller itself: [`Problem::about`] tells which.
    pub problems: Vec<Problem>,
    /// Where the rollout stands, in a sentence; `None` without stages.
    pub rollout: Option<String>,
    /// How many deployments stand how; those of which there is none are left out.
    pub counts: BTreeMap<Standing, usize>,
    /// By name.
    pub deployments: Vec<Deployed>,
    /// Deployments without a stanza, by name.
    pub orphans: Vec<Orphaned>,
    /// What happened since the start.
    pub totals: Totals,
}

/// A commit of the fleet repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its id, whole.
    pub id: String,
    /// The branch that is checked out, if one is.
    pub branch: Option<String>,
    /// Whether the working tree differs from it.
    pub dirty: bool,
}

/// One pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How many deployments it looked at.
    pub looked: usize,
}

/// Something wrong with fleet.toml or what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, counted from 1; `None` where it is about no line.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it keeps the newest fleet.toml from being obeyed.
    pub about: About,
}

impl Problem {
    /// Whether it keeps the newest fleet.toml from being obeyed.
    pub fn is_of_fleet(&self) -> bool {
        self.about != About::Controller
    }
}

/// What a [`Problem`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The newest fleet.toml, or what it needs: it is not in force.
    FleetFile,
    /// The commits that it comes by: the newest one is not taken.
    FleetRepository,
    /// Where the controller runs: a variable, a port, the way to a repository.
    Controller,
}

/// Counters since the controller started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Passes that ended.
    pub passes: u64,
    /// Milliseconds that they took together.
    pub pass_milliseconds: u64,
    /// Generations that were committed.
    pub commits: u64,
    /// Looks at a source that failed, by pack.
    pub source_errors: BTreeMap<String, u64>,
    /// Reads of fleet.toml that failed.
    pub fleet_errors: u64,
}

/// How a deployment stands, in a word. In the order of what needs a person most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// An error.
    Failed,
    /// A change was found ill and taken back.
    Unhealthy,
    /// A person must decide.
    Held,
    /// What fleet.toml gives was rolled back here.
    Rejected,
    /// Refused by policy.
    Refused,
    /// A switch did not end.
    Interrupted,
    /// Its host does not answer.
    Offline,
    /// Something else must happen first.
    Waiting,
    /// Another run holds its lock.
    Locked,
    /// There are changes that nobody applied yet.
    Pending,
    /// Nothing is installed yet.
    New,
    /// As it should be, with edits that people made there.
    Edited,
    /// As it should be.
    InSync,
    /// Nobody looked yet.
    Unknown,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Failed,
        Self::Unhealthy,
        Self::Held,
        Self::Rejected,
        Self::Refused,
        Self::Interrupted,
        Self::Offline,
        Self::Waiting,
        Self::Locked,
        Self::Pending,
        Self::New,
        Self::Edited,
        Self::InSync,
        Self::Unknown,
    ];

    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            _ => self.key(),
        }
    }

    /// For programs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unhealthy => "unhealthy",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Offline => "offline",
            Self::Waiting => "waiting",
            Self::Locked => "locked",
            Self::Pending => "pending",
            Self::New => "new",
            Self::Edited => "edited",
            Self::InSync => "in-sync",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it is what it should be, edits aside.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::InSync | Self::Edited)
    }
}

/// How a deployment fares, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fare {
    /// What stands did not pass its checks.
    Ill,
    /// Found ill, and on the way back.
    GoingBack,
    /// The last change is still watched.
    Watched,
    /// Everything passed that was looked at.
    Healthy,
    /// No check was ever made.
    Unknown,
}

impl Fare {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ill, Self::GoingBack, Self::Watched, Self::Healthy, Self::Unknown];

    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ill => "ill",
            Self::GoingBack => "going-back",
            Self::Watched => "watched",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
        }
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployed {
    /// Its name.
    pub name: String,
    /// How its files are reached.
    pub host: String,
    /// The directory beneath which they lie.
    pub root: String,
    /// Where it is, for people.
    pub location: Option<String>,
    /// What selectors `label:X` match.
    pub labels: Vec<String>,
    /// Whether packfleet only reports here.
    pub observed: bool,
    /// Whether what packfleet installed is to go.
    pub absent: bool,
    /// How it stands.
    pub sync: Standing,
    /// How it fares.
    pub health: Fare,
    /// Since when it stands and fares so, as far as this controller saw.
    pub since: Timestamp,
    /// The last look that was answered.
    pub seen: Option<Timestamp>,
    /// The last look that found it as it should be.
    pub settled: Option<Timestamp>,
    /// The number of its last commit.
    pub generation: Option<u64>,
    /// By name.
    pub packs: Vec<PackShown>,
    /// Edits that stay.
    pub edits: usize,
    /// How many of them exist on its host only; `None` where that was not asked.
    pub here_only: Option<usize>,
    /// Commits of the fleet repository that have the others, short.
    pub edits_in: Vec<String>,
    /// Its place in the rollout.
    pub stage: Option<Stage>,
    /// Deployments that come before it.
    pub depends_on: Vec<String>,
    /// Why it stands so, in a line; may be empty.
    pub why: String,
    /// Everything in the way, in order.
    pub reasons: Vec<Reason>,
    /// Paths that are not in sync, or that a plan would touch; at most [`MOST_ROWS`].
    pub drift: Vec<Row>,
    /// How many there are.
    pub drifted: usize,
    /// Looks since the start that its host did not answer.
    pub host_errors: u64,
    /// Looks and applies since the start that failed otherwise.
    pub failures: u64,
}

impl Deployed {
    /// What is the same for all that stand so for the same reason: why, with `…` for the name where it is a whole
    /// word. To compare by, never to show: the name may be a word that is there for itself.
    pub fn alike(&self) -> String {
        let name = self.name.as_str();
        let mut alike = String::new();
        let mut rest = self.why.as_str();
        let mut last = None;
        while let Some(at) = rest.find(name).filter(|_| !name.is_empty()) {
            let (before, after) = (&rest[..at], &rest[at + name.len()..]);
            let mut next = after.chars();
            let ends = match next.next() {
                // A dot ends a sentence, or goes on to an extension.
                Some('.') => !next.next().is_some_and(is_of_name),
                other => !other.is_some_and(is_of_name),
            };
            let begins = !before.chars().next_back().or(last).is_some_and(|it| is_of_name(it) || it == '.');
            alike.push_str(before);
            alike.push_str(if begins && ends { "…" } else { name });
            last = name.chars().next_back();
            rest = after;
        }
        alike + rest
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '-' || letter == '_'
}

/// One pack on a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackShown {
    /// Its name.
    pub pack: String,
    /// The version that is recorded there.
    pub installed: Option<String>,
    /// The version that fleet.toml leads to; `None` where that is unknown or it is to go.
    pub wanted: Option<String>,
    /// Whether the fleet wants it there at all.
    pub declared: bool,
    /// The commit that is wanted.
    pub commit: Option<String>,
    /// The digest of the pack's tree there.
    pub tree: Option<String>,
    /// Overlays, in the order in which they are applied.
    pub overlays: Vec<String>,
    /// Features, as fleet.toml names them.
    pub features: Vec<String>,
    /// Paths that are not in sync.
    pub drifted: usize,
    /// Edits that stay.
    pub edits: usize,
    /// Holds.
    pub holds: usize,
}

impl PackShown {
    /// `1.0.0 → 1.1.0`, `1.1.0`, `new 1.1.0`, `1.0.0 → gone`, `1.0.0 → ?` where it is unknown.
    pub fn versions(&self) -> String {
        match (&self.installed, &self.wanted) {
            (Some(installed), Some(wanted)) if installed == wanted => installed.clone(),
            (Some(installed), Some(wanted)) => format!("{installed} → {wanted}"),
            (None, Some(wanted)) => format!("new {wanted}"),
            (Some(installed), None) if self.declared => format!("{installed} → ?"),
            (Some(installed), None) => format!("{installed} → gone"),
            (None, None) => "?".to_owned(),
        }
    }
}

/// A place in the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Counted from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Whether it waits for an earlier one.
    pub waits: bool,
    /// When its own soak of what it runs is over, if it soaks.
    pub soaks_until: Option<Timestamp>,
    /// When the wait clears itself, if it does.
    pub clears: Option<Timestamp>,
    /// Why the rollout stopped here, if it did.
    pub stopped: Option<String>,
}

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its kind, in a word.
    pub cause: String,
    /// The deployment at which it is.
    pub deployment: String,
    /// What it is.
    pub text: String,
    /// More about it, line by line.
    pub details: Vec<String>,
    /// What clears it.
    pub next: String,
    /// How many deployments lie between.
    pub depth: usize,
}

/// One path that is not in sync, or that a plan would touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Where, beneath the root.
    pub path: String,
    /// Whose.
    pub pack: String,
    /// How it stands, as `diff -o json` says it.
    pub standing: String,
    /// What happens there: one of `+ ~ - M E H = !`, or `X` for held.
    pub letter: char,
    /// What there is to say about it; may be empty.
    pub note: String,
}

/// A deployment without a stanza.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphaned {
    /// Its name, when it had one.
    pub name: String,
    /// Its root.
    pub root: String,
    /// Its last generation.
    pub generation: u64,
    /// Files on record.
    pub files: usize,
}

/// Sentences about reports, from the floor that talks to people. What it gives is safe to show: without
/// colours, control characters and secrets.
pub trait Wording {
    /// Why it stands so, in a line; empty if there is nothing to say.
    fn why(&self, workspace: &Workspace, report: &Report) -> String;
    /// Everything in the way of it, in order.
    fn reasons(&self, workspace: &Workspace, reports: &[Report], report: &Report) -> Vec<Reason>;
    /// Paths that are not in sync, or that its plan would touch, by path.
    fn rows(&self, survey: &Survey) -> Vec<Row>;
    /// What is wrong with a fleet that cannot be loaded.
    fn problems(&self, error: &LoadError) -> Vec<Problem>;
}

/// What changed about one deployment between two Views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub deployment: String,
    /// How it stood; `None`: it is new in the fleet.
    pub before: Option<(Standing, Fare)>,
    /// How it stands; `None`: it left the fleet.
    pub after: Option<(Standing, Fare)>,
}

impl View {
    /// Nothing was seen yet.
    pub fn new(controller: &str, started: Timestamp) -> Self {
        Self {
            format: FORMAT,
            kind: "fleet",
            revision: 0,
            fleet: None,
            commit: None,
            controller: controller.to_owned(),
            started,
            pass: None,
            problems: Vec::new(),
            rollout: None,
            counts: BTreeMap::new(),
            deployments: Vec::new(),
            orphans: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Whether something keeps the newest fleet.toml from being obeyed.
    pub fn is_out_of_force(&self) -> bool {
        self.problems.iter().any(Problem::is_of_fleet)
    }

    /// One of the deployments.
    pub fn deployment(&self, name: &str) -> Option<&Deployed> {
        let at = self.deployments.binary_search_by(|deployed| deployed.name.as_str().cmp(name)).ok()?;
        self.deployments.get(at)
    }

    /// Where the fleet stands, in a line: `1 held, 2 in sync`.
    pub fn sum(&self) -> String {
        let counts = self.counts.iter().map(|(standing, number)| format!("{number} {}", standing.word()));
        counts.collect::<Vec<_>>().join(", ")
    }

    /// Counts anew how they stand.
    pub fn count(&mut self) {
        self.counts.clear();
        for deployed in &self.deployments {
            *self.counts.entry(deployed.sync).or_default() += 1;
        }
    }

    /// Whether another one tells the same, the times of looks and counters aside.
    pub fn tells_the_same_as(&self, other: &Self) -> bool {
        let timeless = |view: &Self| {
            let mut view = view.clone();
            (view.pass, view.revision, view.totals) = (None, 0, Totals::default());
            for deployed in &mut view.deployments {
                (deployed.seen, deployed.settled) = (None, None);
                (deployed.host_errors, deployed.failures) = (0, 0);
            }
            view
        };
        timeless(self) == timeless(other)
    }
}
