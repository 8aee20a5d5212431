//! Paths as people write them: whole, from the file system's top, or only their end.

use crate::cli::error::CliError;
use crate::cli::printer::{Printer, shown};
use crate::engine::Survey;
use crate::model::TreePath;
use crate::model::fleet::Deployment;

/// The one managed path that a text means. An abbreviation is told.
pub(super) fn one(
    survey: &Survey,
    deployment: &Deployment,
    text: &str,
    printer: &mut Printer,
) -> Result<TreePath, CliError> {
    let typed = beneath(deployment, text);
    if let Ok(path) = TreePath::new(typed)
        && survey.drift.paths.contains_key(&path)
    {
        return Ok(path);
    }
    let end = format!("/{typed}");
    let mut meant: Vec<&TreePath> =
        survey.drift.paths.keys().filter(|path| path.as_str().ends_with(&end)).collect();
    // A held path is what a person speaks of when two have the same name.
    if meant.len() > 1 {
        let held: Vec<&TreePath> = meant
            .iter()
            .copied()
            .filter(|path| survey.plan.holds.iter().any(|hold| hold.path.as_ref() == Some(path)))
            .collect();
        if held.len() == 1 {
            meant = held;
        }
    }
    match meant.as_slice() {
        [only] => {
            printer.talk(format!("{} is {only}", shown(text)));
            Ok((*only).clone())
        }
        [] => Err(CliError::Usage {
            what: format!("{} is not managed on {}", shown(text), deployment.name),
            hint: near(survey, typed).map(|near| format!("did you mean {near}?")),
        }),
        many => Err(CliError::Usage {
            what: format!("{} means {} paths on {}", shown(text), many.len(), deployment.name),
            hint: Some(format!(
                "name one: {}",
                many.iter().map(|path| path.as_str()).collect::<Vec<_>>().join(", ")
            )),
        }),
    }
}

/// The one path that a text means, or all managed paths below it if it is a directory.
pub(super) fn below(
    survey: &Survey,
    deployment: &Deployment,
    text: &str,
    printer: &mut Printer,
) -> Result<Vec<TreePath>, CliError> {
    if let Ok(directory) = TreePath::new(beneath(deployment, text).trim_end_matches('/')) {
        let inside: Vec<TreePath> =
            survey.drift.paths.keys().filter(|path| path.is_below(&directory)).cloned().collect();
        if !inside.is_empty() {
            return Ok(inside);
        }
    }
    one(survey, deployment, text, printer).map(|path| vec![path])
}

/// The text without the root and without `./`.
fn beneath<'a>(deployment: &Deployment, text: &'a str) -> &'a str {
    let inside = text.strip_prefix(deployment.root.as_str()).and_then(|rest| rest.strip_prefix('/'));
    inside.unwrap_or_else(|| text.strip_prefix("./").unwrap_or(text))
}

/// The managed path whose name is most alike.
fn near<'a>(survey: &'a Survey, text: &str) -> Option<&'a TreePath> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let alike = |path: &&TreePath| strsim::jaro_winkler(path.file_name(), name);
    survey
        .drift
        .paths
        .keys()
        .filter(|path| alike(path) > 0.8)
        .max_by(|a, b| alike(a).total_cmp(&alike(b)).then_with(|| b.cmp(a)))
}
