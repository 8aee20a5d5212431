//! `diff`: what differs on one deployment, line by line.

use std::collections::BTreeSet;

use crate::cli::args::{Diff, Output};
use crate::cli::context::Context;
use crate::cli::documents;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::cli::report::{bytes, diffs};
use crate::engine::{Recover, decide};
use crate::model::TreePath;

use super::managed;

pub(super) fn run(args: &Diff, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let survey = decide::survey_one(&workspace, deployment, &context.options(Recover::Report), &())
        .map_err(CliError::failure(&deployment.name))?;
    let mut paths: BTreeSet<TreePath> = BTreeSet::new();
    for text in &args.paths {
        paths.extend(managed::below(&survey, deployment, text, printer)?);
    }
    let mut differs = false;
    let mut differences = Vec::new();
    bytes::with(&workspace, &survey, |bytes| {
        for (path, judged) in &survey.drift.paths {
            let named = paths.contains(path);
            if !args.paths.is_empty() && !named {
                continue;
            }
            let of_path = diffs::of_path(&survey, path, judged, bytes);
            differs |= !of_path.is_empty();
            if args.output == Output::Json {
                if named || !of_path.is_empty() {
                    let (at, three) = survey.drift.decidable(path).unwrap_or((path, judged));
                    let text = if args.three_way { diffs::three_ways(at, three, bytes) } else { of_path };
                    differences.push(documents::difference(&survey, path, judged, &text));
                }
                continue;
            }
            // Without a difference there is nothing to show three ways, unless the path was asked for.
            match args.three_way {
                true if named || !of_path.is_empty() => {
                    // An edit that follows a rename has three sides, at two paths.
                    let (path, judged) = survey.drift.decidable(path).unwrap_or((path, judged));
                    printer.data(&diffs::three_ways(path, judged, bytes));
                }
                true => {}
                false => printer.data(&of_path),
            }
        }
    });
    if args.output == Output::Json {
        printer.data(&documents::diff(&deployment.name, &differences));
    } else if !differs {
        printer.talk(format!("no difference on {}", deployment.name));
    }
    Ok(if differs && args.exit_code { Exit::Changes } else { Exit::Done })
}
