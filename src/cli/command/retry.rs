//! `retry`: what a rollback rejected may come back.

use crate::cli::args::Retry;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::engine::{Recover, decide};

pub(super) fn run(args: &Retry, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let deployment = context.one(&workspace, &args.deployment)?;
    let pack = args.pack.as_deref().map(|text| context.pack(text)).transpose()?;
    let options = context.options(Recover::Now);
    decide::retry(&workspace, deployment, pack.as_ref(), &options, &())
        .map_err(CliError::failure(&deployment.name))?;
    let name = deployment.name.as_str();
    let what = pack.map_or("nothing is".to_owned(), |pack| format!("pack {pack} is not"));
    printer.talk(format!(
        "{what} rejected on {name} any more; next: {}",
        context.hints.command(&["apply", name])
    ));
    Ok(Exit::Done)
}
