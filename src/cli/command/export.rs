//! `export`: what was edited on a host, or is in overlays, as a commit for the pack's repository.

use crate::cli::args::{self, Export};
use crate::cli::context::{self, Context};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, paint, painted, shown, word};
use crate::cli::report::secrets;
use crate::cli::report::words::count;
use crate::engine::Recover;
use crate::engine::edited::Paths;
use crate::engine::export::{self as engine, ExportError, File, From, Publish, Request, What};

use super::capture::allowed;

pub(super) fn run(args: &Export, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let request = Request {
        pack: context.pack(&args.pack)?,
        paths: Paths::new(&args.path).map_err(ExportError::from)?,
        from: match args.from {
            args::From::Edits => From::Edits,
            args::From::Overlays => From::Overlays,
            args::From::Both => From::Both,
        },
        branch: args.branch.clone(),
        message: args.message.clone(),
        publish: if args.push { Publish::Push } else { Publish::Mirror },
        allowed: allowed(&args.allow_secret)?,
        telling: context::telling(deployment),
    };
    let done = engine::export(&workspace, deployment, &request, &context.options(Recover::Report), &())?;
    for skipped in &done.skipped {
        printer.talk(format!("{}: left out: {}", skipped.path, shown(&skipped.why)));
    }
    if !done.leaks.is_empty() {
        printer.data(&secrets::text(done.leaks.iter().map(|leak| (None, leak))));
        printer.talk(secrets::hint("nothing was exported", done.leaks.len()));
        return Ok(Exit::Refused);
    }
    if done.files.is_empty() {
        let what = match args.from {
            args::From::Edits => "no edit that is meant",
            args::From::Overlays => "no overlay says anything that is meant",
            args::From::Both => "the host holds what the pack gives",
        };
        printer.talk(format!("nothing to export: {what}"));
        return Ok(Exit::Done);
    }
    let version = shown(&done.version);
    printer.data(&format!(
        "{}  {} {version} → branch {}: {} · {}\n",
        deployment.name,
        request.pack,
        shown(&args.branch),
        count(done.files.len(), "file"),
        secrets::none(&args.allow_secret)
    ));
    let widest = done.files.iter().map(|file| file.path.as_str().len()).max().unwrap_or(0);
    for file in &done.files {
        printer.data(&line(file, widest));
    }
    for warning in &done.warnings {
        let place = warning.line.map_or(String::new(), |line| format!(" line {line}"));
        let text = shown(&warning.text);
        printer.talk(format!("{} {}{place}: {text}", painted(paint::CHANGE, "warning:"), warning.path));
    }
    if let Some(changelog) = &done.changelog {
        printer.talk(format!(
            "{} the pack has a {changelog}, which says nothing of this yet",
            painted(paint::GOOD, "hint:")
        ));
    }
    let Some(made) = &done.made else {
        printer.talk(format!("branch {} holds all of it already", shown(&args.branch)));
        return Ok(Exit::Done);
    };
    printer.talk(format!(
        "committed {} on top of {}: {}",
        made.commit.short(),
        made.onto.short(),
        shown(done.message.lines().next().unwrap_or_default())
    ));
    match &done.pushed {
        Some(url) => printer.talk(format!("pushed to {} as branch {}", shown(url), shown(&args.branch))),
        None => printer.talk(format!(
            "not pushed (--push); to fetch it into a clone: git fetch {} {}:{}",
            word(made.mirror.as_str()),
            word(&made.reference),
            word(&args.branch)
        )),
    }
    Ok(Exit::Done)
}

fn line(file: &File, widest: usize) -> String {
    let (mark, style) = match file.what {
        What::Added => ("+", paint::GOOD),
        What::Changed => ("~", paint::CHANGE),
        What::Removed => ("-", paint::BAD),
    };
    let lines = match file.lines {
        Some((added, removed)) => format!("+{added} −{removed}"),
        None => "no text".to_owned(),
    };
    format!("  {} {:<widest$}  {lines}\n", painted(style, mark), file.path)
}
