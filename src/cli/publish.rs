//! What a command made of hosts is published at once, where statuses are published: others go by what they say, and a
//! release that was just taken back would go on from host to host until the next pass.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::error::{CliError, causes};
use super::keys;
use super::printer::{Printer, shown};
use super::progress::Progress;
use crate::engine::status::Check;
use crate::engine::{Options, Recover, Workspace, fleet, publish_status};
use crate::model::DeploymentName;

/// Looks at these deployments and publishes what is there. What the command did is done: what keeps it from being
/// published is told, and no failure of the command.
pub fn publish(
    workspace: &Arc<Workspace>,
    names: &BTreeSet<DeploymentName>,
    context: &Context,
    printer: &mut Printer,
) {
    if workspace.fleet.status.is_none() {
        return;
    }
    match unpublished(workspace, names, context) {
        Ok(lines) => lines.into_iter().for_each(|line| printer.talk(line)),
        Err(error) => {
            let all = [error.to_string()].into_iter().chain(causes(&error));
            printer.talk(format!("no status is published: {}", shown(&all.collect::<Vec<_>>().join(": "))));
        }
    }
}

fn unpublished(
    workspace: &Arc<Workspace>,
    names: &BTreeSet<DeploymentName>,
    context: &Context,
) -> Result<Vec<String>, CliError> {
    let options = Options { voice: keys::voice(context, workspace)?, ..context.options(Recover::Report) };
    let progress = Progress::begin(context.shows_progress, names.len());
    let reports = fleet::survey(workspace, names, &options, progress.told()).map_err(CliError::Runtime);
    progress.end();
    Ok(keys::told(&publish_status(workspace, &reports?, &options, Check::Store)))
}
