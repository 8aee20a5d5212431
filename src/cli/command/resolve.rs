//! `resolve`: a person's word on a path. The live file is not touched; the next apply carries it out.

use crate::cli::args::Resolve;
use crate::cli::context::{self, Context};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, word};
use crate::cli::publish::publish;
use crate::cli::report::bytes;
use crate::engine::decide::Side;
use crate::engine::{Recover, Survey, Workspace, decide};
use crate::merge::conflict::{Labels, has_markers, marked};
use crate::model::TreePath;

use super::editor::Draft;
use super::managed;

pub(super) fn run(args: &Resolve, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let name = deployment.name.as_str();
    let options = context.options(Recover::Now);
    let survey = decide::survey_one(&workspace, deployment, &options, &())
        .map_err(CliError::failure(&deployment.name))?;
    let path = managed::one(&survey, deployment, &args.path, printer)?;
    let (side, draft) = match args.take.as_deref() {
        Some("local") => (Side::Local, None),
        Some("pack") => (Side::Pack, None),
        Some(file) => (Side::File(read(file)?), None),
        None => {
            let (bytes, draft) = edit(&workspace, &survey, &path, context)?;
            (Side::File(bytes), Some(draft))
        }
    };
    let said = match &side {
        Side::Local => "what is on the host stays, as an edit of the new version",
        Side::Pack => "what the pack gives is put, and what is there is saved",
        Side::File(_) => "your text is put, and what is there is saved",
    };
    let resolved = decide::resolve_path(&workspace, deployment, &path, side, &options, &());
    if let (Err(_), Some(draft)) = (&resolved, &draft) {
        printer.talk(format!("your text is kept: {}", word(draft.path().as_str())));
    }
    resolved.map_err(CliError::failure(&deployment.name))?;
    if let Some(draft) = draft {
        draft.remove();
    }
    printer.talk(format!("{path} on {name}: {said}"));
    printer.talk(format!("the next apply carries it out: {}", context.hints.command(&["apply", name])));
    publish(&workspace, &[deployment.name.clone()].into(), context, printer);
    Ok(Exit::Done)
}

fn read(file: &str) -> Result<Vec<u8>, CliError> {
    std::fs::read(file).map_err(|source| CliError::File { operation: "read", path: file.into(), source })
}

/// The merge, by hand: with markers where the sides collide, in a person's editor.
fn edit(
    workspace: &Workspace,
    survey: &Survey,
    path: &TreePath,
    context: &Context,
) -> Result<(Vec<u8>, Draft), CliError> {
    let resolve = ["resolve", survey.deployment.as_str(), path.as_str()];
    let by_take = || format!("{} --take local | --take pack | --take FILE", context.hints.command(&resolve));
    let Some(editor) = context::editor() else {
        return Err(CliError::Usage {
            what: "there is no editor: neither VISUAL nor EDITOR is set".to_owned(),
            hint: Some(by_take()),
        });
    };
    let sides = survey.drift.decidable(path).and_then(|(path, judged)| {
        let sides = bytes::with(workspace, survey, |bytes| bytes.sides(path, judged));
        sides?.ok()
    });
    let merged = sides.and_then(|sides| {
        let labels = Labels { base: "recorded", ours: "host", theirs: "pack" };
        marked(&sides.base.unwrap_or_default(), &sides.actual?, &sides.desired?, labels)
    });
    let Some(merged) = merged else {
        return Err(CliError::Usage {
            what: format!("{path} cannot be merged by hand: a side is missing, is no text, or is too large"),
            hint: Some(by_take()),
        });
    };
    let draft = Draft::write(&context::temporary(), path.file_name(), &merged.text)?;
    let bytes = draft.edited_with(&editor)?;
    let unchanged = bytes == merged.text;
    if unchanged {
        draft.remove();
        return Err(CliError::Editor {
            editor,
            why: "changed nothing: nothing was decided".to_owned(),
            hint: by_take(),
        });
    }
    if has_markers(&bytes, merged.marker) {
        let take = format!("{} --take {}", context.hints.command(&resolve), word(draft.path().as_str()));
        return Err(CliError::Editor {
            editor,
            why: format!("left conflict markers in {}: nothing was decided", draft.path()),
            hint: format!("take them out, then {take}"),
        });
    }
    Ok((bytes, draft))
}
