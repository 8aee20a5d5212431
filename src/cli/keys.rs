//! The key of this machine, with which it signs the statuses that it publishes for many.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::sync::Arc;

use camino::Utf8Path;

use super::context::Context;
use super::error::CliError;
use crate::engine::Workspace;
use crate::engine::status::{Unpublished, Voice};
use crate::host::status_key;
use crate::model::stamp::Publisher;
use crate::model::status_key::{SecretStatusKey, StatusKey};

/// Who publishes what this command sees of this fleet; `None`: it publishes nowhere.
pub fn voice(context: &Context, workspace: &Workspace) -> Result<Option<Arc<Voice>>, CliError> {
    voice_of(&context.status_key, workspace)
}

/// The same, with the key in this file.
pub fn voice_of(key: &Utf8Path, workspace: &Workspace) -> Result<Option<Arc<Voice>>, CliError> {
    if workspace.fleet.status.is_none() {
        return Ok(None);
    }
    let own = workspace.own().and_then(|name| workspace.fleet.deployments.get(name));
    let voice = match own {
        Some(deployment) => {
            let key = status_key::of_root(&deployment.root).map_err(CliError::host(&deployment.name))?;
            Voice { by: Publisher::Host, key }
        }
        None => Voice { by: Publisher::Controller, key: read(key)? },
    };
    Ok(Some(Arc::new(voice)))
}

/// What was not published, a line each.
pub fn told(unpublished: &[Unpublished]) -> Vec<String> {
    unpublished.iter().map(ToString::to_string).collect()
}

/// The key in a file, if there is one.
fn read(path: &Utf8Path) -> Result<Option<SecretStatusKey>, CliError> {
    let failed = |source| CliError::File { operation: "read the key", path: path.to_owned(), source };
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(failed)?,
    };
    SecretStatusKey::read(&text).map(Some).map_err(|error| failed(std::io::Error::other(error)))
}

/// The public half of this machine's key, which is made if there is none.
pub fn make(path: &Utf8Path) -> Result<StatusKey, CliError> {
    if let Some(key) = read(path)? {
        return Ok(key.public());
    }
    let failed = |source| CliError::File { operation: "write the key", path: path.to_owned(), source };
    let key = status_key::draw().map_err(failed)?;
    let text = key.expose().map_err(|error| failed(std::io::Error::other(error)))?;
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
    Ok(key.public())
}
