//! `retry`: what a rollback or a failed check rejected may come back.
//!
//! A selector may mean several: where one of them has nothing that is rejected, that is said and no failure, as long as
//! another one has.

use crate::cli::args::Retry;
use crate::cli::context::Context;
use crate::cli::error::{CliError, causes};
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::cli::publish::publish;
use crate::engine::{Failure, Recover, decide};
use crate::model::fleet::Deployment;

pub(super) fn run(args: &Retry, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let workspace = context.load()?;
    let names = context.select(&workspace, std::slice::from_ref(&args.selector))?;
    let meant: Vec<&Deployment> =
        names.iter().filter_map(|name| workspace.fleet.deployments.get(name)).collect();
    let pack = args.pack.as_deref().map(|text| context.pack(text)).transpose()?;
    let options = context.options(Recover::Now);
    let what = pack.as_ref().map_or("nothing is".to_owned(), |pack| format!("pack {pack} is not"));
    let (mut again, mut failed) = (0, false);
    for deployment in &meant {
        let name = deployment.name.as_str();
        match decide::retry(&workspace, deployment, pack.as_ref(), &options, &()) {
            Ok(_) => {
                again += 1;
                printer.talk(format!(
                    "{what} rejected on {name} any more; next: {}",
                    context.hints.command(&["apply", name])
                ));
            }
            Err(failure) if meant.len() == 1 => {
                return Err(CliError::failure(&deployment.name)(failure));
            }
            Err(failure) => {
                failed |= !matches!(failure, Failure::Already(_));
                let all = [failure.to_string()].into_iter().chain(causes(&failure));
                printer.talk(format!("{name}: {}", shown(&all.collect::<Vec<_>>().join(": "))));
            }
        }
    }
    publish(&workspace, &names, context, printer);
    Ok(if failed || again == 0 { Exit::Failed } else { Exit::Done })
}
