//! `overlay new`: a directory to put a customization in.

use crate::cli::args::OverlayNew;
use crate::cli::command::editor::Draft;
use crate::cli::context::{self, Context};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown, word};
use crate::engine::overlay::Begun;
use crate::model::TreePath;

pub(super) fn run(args: &OverlayNew, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let name = super::name(&args.name)?;
    let pack = context.pack(&args.pack)?;
    let mut begun = Begun::new(&workspace, &name, &pack, args.version.as_deref())?;
    let mut drafts = Vec::new();
    let mut patched: Vec<TreePath> = Vec::new();
    for text in &args.edit {
        let path = begun.path(text)?;
        let draft = edit(&begun, &path)?;
        let taken = draft.1.and_then(|edited| Ok(begun.change(&path, &edited)?));
        if let Err(error) = taken {
            printer.talk(format!("your text is kept: {}", word(draft.0.path().as_str())));
            return Err(error);
        }
        drafts.push(draft.0);
        patched.push(path);
    }
    let (version, at) = (begun.version.short().to_owned(), begun.version.tree().short());
    let written = begun.write();
    if written.is_err() {
        for draft in &drafts {
            printer.talk(format!("your text is kept: {}", word(draft.path().as_str())));
        }
    }
    written?;
    drafts.into_iter().for_each(Draft::remove);
    printer.talk(format!(
        "wrote overlays/{name}/overlay.toml: for {pack}, against {} (tree {at})",
        shown(&version)
    ));
    for path in patched {
        printer.talk(format!("wrote overlays/{name}/{path}.patch"));
    }
    printer.talk(format!(
        "next: overlays = [\"{name}\"] at {pack} of a deployment in {}, then {}",
        context.hints.file(),
        context.hints.command(&["plan"])
    ));
    Ok(Exit::Done)
}

/// A file of the pack in a person's editor: the copy, and what became of it.
fn edit(begun: &Begun<'_>, path: &TreePath) -> Result<(Draft, Result<Vec<u8>, CliError>), CliError> {
    let Some(editor) = context::editor() else {
        return Err(CliError::Usage {
            what: "there is no editor: neither VISUAL nor EDITOR is set".to_owned(),
            hint: Some("leave --edit out, and put a patch or a whole file into the overlay".to_owned()),
        });
    };
    let draft = Draft::write(&context::temporary(), path.file_name(), &begun.text(path)?)?;
    let edited = draft.edited_with(&editor);
    Ok((draft, edited))
}
