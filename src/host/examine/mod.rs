//! What a place is fit for: everything that an apply there will rely on, looked at before it is needed.
//!
//! ```text
//! user · root · state · space · features · systemd, units, linger · programs ─► findings, in this order
//! ```
//! An examination writes nothing, waits for no lock and never fails as a whole: what could not be looked at is a
//! finding. Each says what is there and, where that is not as it should be, what to type. Clocks are compared by
//! whoever asks, who knows when he asked.

mod place;
pub mod services;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::care::Unit;
use crate::model::{DeploymentName, FleetName, HostPath};

/// What a place is to be fit for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exam {
    /// The fleet that asks.
    pub fleet: FleetName,
    /// The deployment.
    pub deployment: DeploymentName,
    /// Units that will be restarted or watched.
    pub units: Vec<Unit>,
    /// Programs that commands of the fleet file begin with.
    pub programs: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// The host's clock.
    pub now: Timestamp,
    /// The user as whom packfleet runs there.
    pub user: String,
    /// Everything, good and bad.
    pub findings: Vec<Finding>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// How it is.
    pub grade: Grade,
    /// What was found.
    pub what: String,
    /// What makes it good; always there where it is not.
    pub fix: Option<Fix>,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The cache of the machine that asks.
    Cache,
    /// Sources of packs.
    Git,
    /// The way to the host.
    Ssh,
    /// The agent on it.
    Agent,
    /// The user as whom it runs.
    User,
    /// The root directory.
    Root,
    /// The state directory in it.
    State,
    /// The key in that, which signs its status.
    Key,
    /// Room on its disk.
    Disk,
    /// Inodes on it.
    Inodes,
    /// What kernel and file system can do.
    Features,
    /// The clock.
    Clock,
    /// systemd.
    Systemd,
    /// One unit.
    Unit,
    /// One program.
    Program,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// An apply works, and something about it is worse than it could be.
    Warn,
    /// An apply will fail, or what it promises cannot be kept.
    Fail,
}

/// What makes something good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fix {
    /// `packfleet bootstrap` of the deployment.
    Bootstrap,
    /// `packfleet apply` of it.
    Apply,
    /// This, in words or as a command.
    Text(String),
}

impl Finding {
    /// Something good.
    pub fn ok(about: About, what: impl Into<String>) -> Self {
        Self { about, grade: Grade::Ok, what: what.into(), fix: None }
    }

    /// Something that could be better.
    pub fn warn(about: About, what: impl Into<String>, fix: Fix) -> Self {
        Self { about, grade: Grade::Warn, what: what.into(), fix: Some(fix) }
    }

    /// Something that must be better.
    pub fn fail(about: About, what: impl Into<String>, fix: Fix) -> Self {
        Self { about, grade: Grade::Fail, what: what.into(), fix: Some(fix) }
    }
}

/// Words as a fix.
pub fn text(words: impl Into<String>) -> Fix {
    Fix::Text(words.into())
}

/// Examines a root on this machine.
pub fn examine(at: &HostPath, exam: &Exam) -> Examined {
    let user = services::user();
    let mut findings = vec![Finding::ok(About::User, format!("runs as {user}"))];
    findings.extend(place::findings(at, exam, &user));
    findings.extend(services::findings(exam, &user));
    Examined { now: Timestamp::now(), user: user.name, findings }
}
