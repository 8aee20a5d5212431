//! What a new place needs before its first apply: a root, the state directory in it, a user whose services stay.
//!
//! Each step says whether it was found done, was done, would be done, or cannot be done by this user, and then what
//! to type. It may be repeated at will, and changes nothing that is there: no owner, no mode. Deliberately
//! absent: becoming root. What needs that is shown.

use serde::{Deserialize, Serialize};

use super::examine::services::{User, answer, enable_linger, make_root, user};
use super::examine::{About, Fix, text};
use super::state::Ground;
use super::status_key::{self, Speaks};
use super::transaction::{open_or_make, state_or_make};
use crate::model::HostPath;
use crate::model::cause::in_one_line;
use crate::model::path::STATE_DIR;

/// What is to be prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// Whether units of the user are to run without a login.
    pub linger: Linger,
    /// Whether it needs a key to sign its status with.
    pub speaks: Speaks,
    /// Whether it is done or only told.
    pub intent: Intent,
}

/// Whether services of the user must outlive its logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Linger {
    /// They must.
    Needed,
    /// There are none.
    Unneeded,
}

/// Whether something is done or only told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// It is done.
    Do,
    /// It is told.
    Tell,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about.
    pub about: About,
    /// How it ended.
    pub state: StepState,
    /// What was found, done, or to be done.
    pub what: String,
    /// What to type where it could not be done.
    pub fix: Option<Fix>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It had been done before.
    Found,
    /// It was done now.
    Done,
    /// It would be done.
    Would,
    /// It cannot be done by this user.
    Failed,
}

impl Step {
    /// One that needs nothing more.
    pub fn new(about: About, state: StepState, what: impl Into<String>) -> Self {
        Self { about, state, what: what.into(), fix: None }
    }

    /// One that could not be done.
    pub fn failed(about: About, what: impl Into<String>, fix: Fix) -> Self {
        Self { about, state: StepState::Failed, what: what.into(), fix: Some(fix) }
    }
}

/// Prepares a root on this machine.
pub fn prepare(at: &HostPath, preparation: &Preparation) -> Vec<Step> {
    let user = user();
    let mut steps = directories(at, preparation, &user);
    if preparation.linger == Linger::Needed {
        steps.push(linger(preparation.intent, &user));
    }
    steps
}

fn directories(at: &HostPath, preparation: &Preparation, user: &User) -> Vec<Step> {
    let intent = preparation.intent;
    let found = match Ground::open(at) {
        Ok(found) => found,
        Err(error) => {
            return vec![Step::failed(About::Root, in_one_line(&error), text("correct that, or `root`"))];
        }
    };
    let (ground, root) = match (found, intent) {
        (Some(ground), _) => {
            let owner =
                ground.root.stat_self().map(|stat| format!(", of user {}", stat.uid)).unwrap_or_default();
            (ground, Step::new(About::Root, StepState::Found, format!("{at}{owner}")))
        }
        (None, Intent::Tell) => {
            return vec![
                Step::new(About::Root, StepState::Would, format!("make {at}, of {user}")),
                Step::new(About::State, StepState::Would, format!("make {at}/{STATE_DIR}, mode 0700")),
            ];
        }
        (None, Intent::Do) => match open_or_make(at) {
            Ok(ground) => (ground, Step::new(About::Root, StepState::Done, format!("made {at}, of {user}"))),
            Err(error) => {
                return vec![Step::failed(About::Root, in_one_line(&error), text(make_root(at, user)))];
            }
        },
    };
    let name = format!("{at}/{STATE_DIR}");
    let state = match (ground.state(), intent) {
        (Ok(Some(_)), _) => Step::new(About::State, StepState::Found, name),
        (Ok(None), Intent::Tell) => {
            Step::new(About::State, StepState::Would, format!("make {name}, mode 0700"))
        }
        (Ok(None), Intent::Do) => match state_or_make(&ground) {
            Ok(_) => Step::new(About::State, StepState::Done, format!("made {name}, mode 0700")),
            Err(error) => {
                let fix = format!(
                    "as root on the host: chown {} {at}; or `sudo = true` for the deployment",
                    user.name
                );
                Step::failed(About::State, in_one_line(&error), text(fix))
            }
        },
        (Err(error), _) => {
            let fix = format!("look at {name}: it must be a directory of this user alone, with mode 0700");
            Step::failed(About::State, in_one_line(&error), text(fix))
        }
    };
    let mut steps = vec![root, state];
    if preparation.speaks == Speaks::ForItself {
        // Else the directory would be made, or why it cannot be was said.
        if let Ok(Some(state)) = ground.state() {
            steps.push(status_key::prepare(&state, &ground.at, intent));
        }
    }
    steps
}

fn linger(intent: Intent, user: &User) -> Step {
    let what = format!("services of {user} run without a login");
    match intent {
        _ if user.lingers() => Step::new(About::Systemd, StepState::Found, what),
        Intent::Tell => {
            Step::new(About::Systemd, StepState::Would, format!("loginctl enable-linger: {what}"))
        }
        Intent::Do => match answer("loginctl", &["enable-linger"]) {
            Ok(_) => Step::new(About::Systemd, StepState::Done, what),
            Err(error) => Step::failed(About::Systemd, error, text(enable_linger(user))),
        },
    }
}
