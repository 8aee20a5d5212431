//! One deployment, looked at closely for the page: what `diff` and `history` print.

use std::sync::Arc;

use tokio::sync::watch;

use crate::cli::context::Context;
use crate::cli::printer::shown;
use crate::cli::report::{bytes, diffs, plain};
use crate::daemon::board::standing_word;
use crate::daemon::detail::{Detail, Details, Diff, GenerationShown};
use crate::engine::{Options, Recover, Survey, Workspace, decide};
use crate::model::DeploymentName;
use crate::model::cause::in_one_line;
use crate::model::fleet::Deployment;

/// Differences that are shown; more are counted.
const MOST_DIFFS: usize = 50;
/// Bytes of all differences together.
const MOST_BYTES: usize = 512 << 10;

/// Looks at deployments of the fleet in force.
pub struct Closely {
    fleet: watch::Receiver<Option<Arc<Workspace>>>,
    options: Options,
}

impl Closely {
    /// Of whatever fleet is in force when somebody asks.
    pub fn new(fleet: watch::Receiver<Option<Arc<Workspace>>>, context: &Context) -> Self {
        Self { fleet, options: context.options(Recover::Report) }
    }
}

impl Details for Closely {
    fn of(&self, deployment: &str) -> Result<Detail, String> {
        let workspace = self.fleet.borrow().clone().ok_or("no fleet is in force")?;
        let name = DeploymentName::new(deployment).map_err(|error| error.to_string())?;
        let deployment = workspace.fleet.deployments.get(&name).ok_or("it is not in the fleet")?;
        let survey = decide::survey_one(&workspace, deployment, &self.options, &())
            .map_err(|failure| shown(&in_one_line(&failure)))?;
        let (diffs, more) = differences(&workspace, &survey);
        Ok(Detail { diffs, more, generations: generations(&workspace, deployment)? })
    }
}

fn differences(workspace: &Workspace, survey: &Survey) -> (Vec<Diff>, usize) {
    let (mut found, mut more, mut size) = (Vec::new(), 0, 0);
    bytes::with(workspace, survey, |bytes| {
        for (path, judged) in &survey.drift.paths {
            if matches!(judged.standing, crate::plan::Standing::InSync) {
                continue;
            }
            if found.len() == MOST_DIFFS || size > MOST_BYTES {
                more += 1;
                continue;
            }
            let diff = plain(&diffs::of_path(survey, path, judged, bytes));
            if diff.is_empty() {
                continue;
            }
            size += diff.len();
            found.push(Diff {
                path: path.to_string(),
                pack: judged.pack.to_string(),
                standing: standing_word(judged.standing),
                diff,
            });
        }
    });
    (found, more)
}

/// Newest first.
fn generations(workspace: &Workspace, deployment: &Deployment) -> Result<Vec<GenerationShown>, String> {
    let host = workspace.host(deployment);
    let asked = host.history().and_then(|history| Ok((history, host.generations()?)));
    let (history, kept) = asked.map_err(|error| shown(&in_one_line(&error)))?;
    let newest = history.last().map(|line| line.generation);
    let one = |line: &crate::host::HistoryLine| GenerationShown {
        generation: line.generation,
        time: line.time,
        purpose: line.purpose.to_string(),
        packs: line.packs.iter().map(|(pack, version)| (pack.to_string(), shown(version))).collect(),
        added: line.created,
        changed: line.replaced,
        removed: line.removed,
        held: line.held,
        now: Some(line.generation) == newest,
        can_go_back: kept.iter().any(|past| past.number == line.generation + 1),
    };
    Ok(history.iter().rev().map(one).collect())
}
