//! `overlay rebase`: an overlay carried to another version, for a person to read and commit.

use crate::cli::args::OverlayRebase;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, paint, painted, shown};
use crate::cli::report::words::count;
use crate::desired::rebase::{Done, Step};
use crate::engine::overlay::{Rebased, finish, rebase, short};

pub(super) fn run(args: &OverlayRebase, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let name = super::name(&args.name)?;
    let rebased = match args.finish {
        true => finish(&workspace, &name)?,
        false => rebase(&workspace, &name, args.to.as_deref())?,
    };
    let Rebased { from, to, changes } = &rebased;
    let to = shown(short(to));
    let head = match from {
        Some(from) if from == &rebased.to => format!("written against {to}"),
        Some(from) => format!("{} → {to}", shown(short(from))),
        None => format!("written against {to} from now on"),
    };
    let name = name.as_str();
    printer.data(&format!("{}  {head}\n", paint::name(name)));
    let widest = changes.steps.iter().map(|step| place(step).len()).max().unwrap_or(0).min(60);
    for step in &changes.steps {
        printer.data(&line(step, widest));
    }
    if args.finish && changes.steps.is_empty() {
        printer.talk("nothing was left to finish");
        return Ok(Exit::Done);
    }
    let left = changes.conflicts().count();
    if left > 0 {
        let finish = context.hints.command(&["overlay", "rebase", name, "--finish"]);
        printer.talk(format!(
            "{} to finish: make of each file what it is to be, then {finish}; delete one to drop its change",
            count(left, "conflict")
        ));
        return Ok(Exit::Held);
    }
    printer.talk(format!(
        "next: read what changed in overlays/{name}, {}, and commit",
        context.hints.command(&["plan"])
    ));
    Ok(Exit::Done)
}

/// The file of the overlay that there is to look at, or the path.
fn place(step: &Step) -> &str {
    match &step.done {
        Done::Written(file) | Done::Conflict(file) => file.as_str(),
        Done::Kept | Done::Dropped => step.path.as_str(),
    }
}

fn line(step: &Step, widest: usize) -> String {
    let about = step.about.iter().map(|text| shown(text)).collect::<Vec<_>>().join("; ");
    let (letter, otherwise) = match &step.done {
        Done::Kept => (" ".to_owned(), "as it is"),
        Done::Written(_) => (painted(paint::CHANGE, "~"), ""),
        Done::Dropped => (painted(paint::BAD, "-"), ""),
        Done::Conflict(_) => (painted(paint::BAD, "X"), ""),
    };
    let about = if about.is_empty() { otherwise } else { &about };
    let line = format!("  {letter} {:<widest$}  {}", place(step), paint::faint(about));
    format!("{}\n", line.trim_end())
}
