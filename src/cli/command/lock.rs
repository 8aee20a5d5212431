//! `lock`: writes `fleet.lock`, and says what moved.

use crate::cli::args::Lock;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::cli::report::words::{count, hold};
use crate::desired::lock::Locked;
use crate::engine::Workspace;
use crate::engine::lock::{self, Change, Update};
use crate::model::plan::HoldCause;

pub(super) fn run(args: &Lock, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let update = match args.update.as_deref() {
        None => Update::Missing,
        Some([]) => Update::All,
        Some(packs) => {
            let packs = packs.iter().map(|text| known(&workspace, context, text));
            Update::Packs(packs.collect::<Result<_, _>>()?)
        }
    };
    let (new, changes) = match lock::lock(&workspace, &update) {
        Ok(locked) => locked,
        Err(unresolved) => {
            let mut exit = Exit::Failed;
            for lost in unresolved {
                printer.talk(format!("{} {}: {}", lost.pack, shown(&lost.requirement), hold(&lost.cause)));
                exit = match lost.cause {
                    HoldCause::Signature(_) => Exit::Refused,
                    HoldCause::Version(_) if exit == Exit::Failed => Exit::Held,
                    _ => exit,
                };
            }
            printer.talk("fleet.lock was left as it was: correct these in fleet.toml or in the source");
            return Ok(exit);
        }
    };
    let pins = count(new.entries().count(), "pin");
    if changes.is_empty() && workspace.lock.is_some() {
        printer.talk(format!("fleet.lock is as it should be: {pins}"));
        return Ok(Exit::Done);
    }
    lock::write(&workspace, &new)?;
    for change in &changes {
        printer.data(&format!("fleet.lock: {}\n", line(change)));
    }
    printer.talk(format!(
        "wrote fleet.lock: {pins}, {} changed; commit it. next: {}",
        changes.len(),
        context.hints.command(&["plan"])
    ));
    Ok(Exit::Done)
}

/// `--locked`: every pin that fleet.toml asks for is in the lock, or nothing is done.
pub(super) fn demand(workspace: &Workspace, context: &Context) -> Result<(), CliError> {
    let missing = lock::unfit(workspace);
    let what = match (&workspace.lock, missing.first()) {
        (None, _) => "--locked, and there is no fleet.lock".to_owned(),
        (Some(_), None) => return Ok(()),
        (Some(_), Some((pack, requirement))) => format!(
            "--locked, and fleet.lock lacks {}: {pack} with {}",
            count(missing.len(), "pin"),
            shown(requirement)
        ),
    };
    let hint = Some(format!("{} writes it; commit it", context.hints.command(&["lock"])));
    Err(CliError::Usage { what, hint })
}

fn known(workspace: &Workspace, context: &Context, text: &str) -> Result<crate::model::PackName, CliError> {
    let name = context.pack(text)?;
    if workspace.fleet.packs.contains_key(&name) {
        return Ok(name);
    }
    let names: Vec<&str> = workspace.fleet.packs.keys().map(|name| name.as_str()).collect();
    let hint = Some(format!("the packs are: {}", names.join(", ")));
    Err(CliError::Usage { what: format!("there is no pack {name}"), hint })
}

fn line(change: &Change) -> String {
    let of = |locked: &Locked| {
        let commit = locked.commit.short();
        match locked.version.as_str() {
            version if version == commit => commit.to_owned(),
            version => format!("{} ({commit})", shown(version)),
        }
    };
    let head = |locked: &Locked| format!("{} {}", locked.pack, shown(&locked.requirement));
    match (&change.before, &change.after) {
        (Some(was), Some(is)) if of(was) == of(is) => format!("{}: {} tagged anew", head(is), of(is)),
        (Some(was), Some(is)) => format!("{}: {} → {}", head(is), of(was), of(is)),
        (None, Some(is)) => format!("{}: {}", head(is), of(is)),
        (Some(was), None) => format!("{}: gone, was {}", head(was), of(was)),
        (None, None) => String::new(),
    }
}
