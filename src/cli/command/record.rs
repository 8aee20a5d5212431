//! `record`: what packfleet knows it left on a host.

use crate::cli::args::{Output, Record};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json;
use crate::cli::printer::{Printer, paint, shown};
use crate::cli::report::words::entry;
use crate::engine::inspect;
use crate::model::record;

pub(super) fn run(args: &Record, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let found = inspect::record(&workspace, deployment).map_err(CliError::host(&deployment.name))?;
    match (args.output, &found) {
        (Output::Json, found) => printer.data(&json::record(found.as_ref())),
        (Output::Text, Some(found)) => printer.data(&text(found)),
        (Output::Text, None) => printer.talk(format!("nothing was ever recorded on {}", deployment.name)),
    }
    Ok(Exit::Done)
}

fn text(record: &record::Record) -> String {
    let mut out = format!(
        "fleet {} · deployment {} · root {} · generation {}\n",
        record.fleet, record.deployment, record.root, record.generation
    );
    for (name, pack) in &record.packs {
        let commit = pack.pin.commit.as_ref().map_or("no commit", |commit| commit.as_str());
        out.push_str(&format!(
            "\npack {name} {} · {commit} · tree {} · desired {}\n",
            shown(&pack.pin.version),
            pack.pin.tree.short(),
            pack.desired.short()
        ));
        for (path, entry) in record.entries.iter().filter(|(_, entry)| &entry.owner == name) {
            out.push_str(&format!("    {path}  {}\n", paint::faint(&what(entry))));
        }
    }
    for (path, entry) in record.entries.iter().filter(|(_, entry)| !record.packs.contains_key(&entry.owner)) {
        out.push_str(&format!("\n{path}  of {}, which is gone: {}\n", entry.owner, what(entry)));
    }
    for (path, decision) in &record.decisions {
        let take = match decision.take {
            record::Take::Local => "local".to_owned(),
            record::Take::Pack => "pack".to_owned(),
            record::Take::File(content) => format!("file {}", content.short()),
        };
        out.push_str(&format!("\ndecided: {path} takes {take}\n"));
    }
    for (name, rejection) in &record.rejected {
        out.push_str(&format!("\nrejected: pack {name}; generation {} stands instead\n", rejection.restored));
    }
    out
}

fn what(recorded: &record::Recorded) -> String {
    match (recorded.base, recorded.written) {
        (None, _) => "the host's".to_owned(),
        (Some(base), Some(written)) if base == written => entry(Some(base)),
        (base, written) => format!("base {} · left there {}", entry(base), entry(written)),
    }
}
