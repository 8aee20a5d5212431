//! The key with which a host signs its own status: in its state directory, for nobody else to read.
//!
//! It is made once, by `bootstrap`, and never replaced: who wants another one removes the file, and pins the new key.

use std::fs::File;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::beneath::Dir;
use super::examine::{About, text};
use super::lock::Lock;
use super::prepare::{Intent, Step, StepState};
use super::state::{Ground, Keeping, failed, name, read, rewrite};
use super::{HostError, Told};
use crate::model::HostPath;
use crate::model::cause::in_one_line;
use crate::model::status_key::SecretStatusKey;

/// Whether a host speaks for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaks {
    /// It does, or may one day.
    ForItself,
    /// Nobody publishes anything.
    #[default]
    Never,
}

/// A key that nobody had before.
pub fn draw() -> io::Result<SecretStatusKey> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(SecretStatusKey::from_seed(&seed))
}

/// The key of a root on this machine; `None` if `bootstrap` never made one.
pub fn of_root(at: &HostPath) -> Result<Option<SecretStatusKey>, HostError> {
    let Some(ground) = Ground::open(at)? else { return Ok(None) };
    let Some(state) = ground.state()? else { return Ok(None) };
    known(&state)
}

fn known(state: &Dir) -> Result<Option<SecretStatusKey>, HostError> {
    let bytes = read(state, name::STATUS_KEY).map_err(failed("read", name::STATUS_KEY))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let damaged = |why: String| {
        HostError::Told(Told::new([
            format!("the key in .packfleet/{} cannot be used", name::STATUS_KEY),
            why,
        ]))
    };
    let text = String::from_utf8(bytes).map_err(|_| damaged("it is no text".to_owned()))?;
    SecretStatusKey::read(&text).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Makes it where there is none, or tells that it would.
pub(super) fn prepare(state: &Dir, at: &HostPath, intent: Intent) -> Step {
    let done = |state, key: &SecretStatusKey| Step::new(About::Key, state, key.public().to_string());
    match (known(state), intent) {
        (Ok(Some(key)), _) => done(StepState::Found, &key),
        (Ok(None), Intent::Tell) => {
            Step::new(About::Key, StepState::Would, "make a key that signs its status")
        }
        (Ok(None), Intent::Do) => match make(state, at) {
            Ok((made, key)) => done(made, &key),
            Err(error) => Step::failed(About::Key, in_one_line(&error), text("correct that")),
        },
        (Err(error), _) => {
            let fix = format!("remove .packfleet/{} there, and pin the next one", name::STATUS_KEY);
            Step::failed(About::Key, in_one_line(&error), text(fix))
        }
    }
}

/// Under the lock: of two who make one at a time, the second finds the first one's.
fn make(state: &Dir, at: &HostPath) -> Result<(StepState, SecretStatusKey), HostError> {
    let _lock = Lock::take(state, at)?;
    if let Some(key) = known(state)? {
        return Ok((StepState::Found, key));
    }
    let key = write_new(state).map_err(failed("write", name::STATUS_KEY))?;
    Ok((StepState::Done, key))
}

fn write_new(state: &Dir) -> io::Result<SecretStatusKey> {
    let key = draw()?;
    let text = key.expose().map_err(io::Error::other)?;
    rewrite(state, name::NEW_STATUS_KEY, name::STATUS_KEY, text.as_bytes(), Keeping::Durable)?;
    Ok(key)
}
