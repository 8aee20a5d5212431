//! `agent`: serves one deployment root on standard input and output.
//!
//! Hanging up is not for it: a connection that dies must not end a switch in the middle. It sees the end of its
//! input, once what it was asked is done.

use std::io;
use std::os::fd::AsFd;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::Agent;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::host::agent::{self, Awaited, SILENCE};
use crate::host::install;

/// Serves until the input ends.
pub fn run(args: &Agent) -> Result<Exit, CliError> {
    // What handles a signal stays for the life of the process, even if nobody waits for it.
    let runtime = Builder::new_current_thread().enable_io().build().map_err(CliError::Runtime)?;
    let inside = runtime.enter();
    let _deaf = [SignalKind::hangup(), SignalKind::interrupt()].map(signal);
    drop(inside);
    let build = match &args.install {
        Some(digest) => install::install(digest).map(|()| digest.clone()),
        None => install::installed_build(),
    };
    let build = build.map_err(CliError::AgentFile)?;
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(CliError::AgentFile)?;
    let (mut input, mut output) = (Awaited::new(input.into(), SILENCE), io::stdout());
    agent::serve(&mut input, &mut output, &build).map_err(CliError::Session)?;
    Ok(Exit::Done)
}
