//! `run`: the loop, or one pass of it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use anstream::ColorChoice;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::watch;

use crate::cli::args::Run;
use crate::cli::closely::Closely;
use crate::cli::context::{Context, here, machine, secret, state};
use crate::cli::error::CliError;
use crate::cli::exit::{Counts, Exit, of_reports};
use crate::cli::interrupt::Interrupt;
use crate::cli::keys;
use crate::cli::printer::Printer;
use crate::cli::report;
use crate::cli::report::journal::Journal;
use crate::cli::report::wording::Words;
use crate::daemon::accept::{Rewind, Terms};
use crate::daemon::origin::Anew;
use crate::daemon::show::{Setup, Show};
use crate::daemon::{self, Origin, Reader, RunError, Settings, Signal, Trouble};
use crate::desired::selector::{Selector, select};
use crate::engine::status::Check;
use crate::engine::{Gone, Options, Recover, fleet, publish_status, remembered};
use crate::model::DeploymentName;
use crate::model::fleet::Url;
use crate::source::upstream::Upstream;

pub(super) fn run(args: &Run, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let reader = reader(args, context)?;
    if args.once {
        return once(&reader, context, printer);
    }
    let colour = if printer.talks_in_colour() { ColorChoice::Always } else { ColorChoice::Never };
    let journal = Journal::new(Printer::new(colour), context.hints.clone(), context.width.unwrap_or(100));
    let key = context.status_key.clone();
    let show = show(&reader, context);
    let settings = Settings {
        reader,
        options: options(context),
        voice: Box::new(move |workspace| keys::voice_of(&key, workspace).map_err(|error| error.to_string())),
        audiences: vec![Box::new(journal), Box::new(show)],
        seed: RandomState::new().build_hasher().finish(),
    };
    match daemon::run(settings) {
        Ok(ended) => Ok(match ended.by {
            Signal::Interrupt => Exit::Interrupted,
            Signal::Terminate => Exit::Terminated,
        }),
        Err(RunError::Runtime(error)) => Err(CliError::Runtime(error)),
        Err(RunError::Signals(error)) => Err(CliError::Stream("listen to signals", error)),
    }
}

/// Nobody reads what a loop says before it goes on.
fn options(context: &Context) -> Options {
    Options { gone: Gone::Hold, ..context.options(Recover::Whole) }
}

/// The page, and all that is served beside it.
fn show(reader: &Reader, context: &Context) -> Show {
    let (fleet, newest) = watch::channel(None);
    let setup = Setup {
        controller: machine(),
        wording: Box::new(Words::new(context.hints.clone())),
        details: Arc::new(Closely::new(newest, context)),
        environment: Arc::new(secret),
        memory: context
            .cache
            .join("pages")
            .join(format!("{}.json", &blake3::hash(reader.place().as_bytes()).to_hex()[..12])),
        fleet,
    };
    Show::new(setup, context.now)
}

/// How the fleet is read.
fn reader(args: &Run, context: &Context) -> Result<Reader, CliError> {
    let mut select: Vec<Selector> =
        args.selectors.iter().map(|text| Selector::parse(text)).collect::<Result<_, _>>()?;
    let own = args.deployment.as_deref().map(own).transpose()?;
    if let Some(own) = &own {
        select.push(Selector::parse(own.as_str())?);
    }
    let (origin, file) = match &args.repo {
        None => (Origin::Checkout, context.file.clone()),
        Some(url) => {
            let url = url_of(url)?;
            (Origin::Remote(Upstream::new(&context.cache, url, &args.branch)), inside(&context.file)?)
        }
    };
    let here = here()?;
    let (cache, reach) = (context.cache.clone(), Arc::clone(&context.reach));
    let signers = args.signers.clone();
    let rewind = if args.allow_rewind { Rewind::Allowed } else { Rewind::Refused };
    let terms = Terms { signers, rewind, state: state()? };
    Ok(Reader { origin, file, here, cache, reach, select, own, terms })
}

/// The deployment whose host this machine is.
fn own(text: &str) -> Result<DeploymentName, CliError> {
    DeploymentName::new(text)
        .map_err(|error| CliError::Usage { what: format!("{text:?}: {error}"), hint: None })
}

/// A repository as git takes it; a relative path is one of this machine.
fn url_of(text: &str) -> Result<Url, CliError> {
    if text.starts_with('-') || text.is_empty() {
        return Err(CliError::Usage { what: format!("{text:?} is no repository"), hint: None });
    }
    let path = Utf8Path::new(text);
    if path.is_relative() && path.exists() {
        let path = camino::absolute_utf8(path).map_err(|source| CliError::File {
            operation: "find",
            path: path.to_owned(),
            source,
        })?;
        return Ok(Url::new(path.as_str()));
    }
    Ok(Url::new(text))
}

/// The fleet file's path in a repository.
fn inside(file: &Utf8Path) -> Result<Utf8PathBuf, CliError> {
    let plain = file.components().all(|part| matches!(part, camino::Utf8Component::Normal(_)));
    if plain && !file.as_str().is_empty() {
        return Ok(file.to_owned());
    }
    Err(CliError::Usage {
        what: format!("with --repo, -f is the fleet file's path in the repository, and {file} is none"),
        hint: Some("as in -f fleet.toml, or -f production/fleet.toml".to_owned()),
    })
}

/// One pass over all that is selected.
fn once(reader: &Reader, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let looked = reader.look(None, Anew::No);
    // Whoever reads the exit code is to know: there is no later pass that would say so.
    let force = match (looked.trouble, looked.new) {
        (Some(trouble), _) => return Err(trouble.into()),
        (None, Some(force)) => force,
        (None, None) => return Err(Trouble::Lost.into()),
    };
    let workspace = force.workspace;
    let selected = select(&workspace.fleet, &reader.select)?;
    let interrupt = Interrupt::listen();
    let mut options = options(context);
    options.stop = interrupt.stop();
    options.voice = keys::voice(context, &workspace)?;
    let nobody: Arc<dyn crate::engine::Events + Send + Sync> = Arc::new(());
    let mut reports = fleet::survey(&workspace, &selected, &options, &nobody).map_err(CliError::Runtime)?;
    if reports.iter().any(|one| report::plan::would_commit(&workspace, one)) {
        // As it stood before anything was written, which may be below the fleet's own directory.
        let _asked_for_now = workspace.commit();
        reports = fleet::apply(&workspace, reports, &options, &nobody).map_err(CliError::Runtime)?;
    } else if let Err(error) = remembered::remember(&workspace, &reports) {
        tracing::warn!(%error, "deployments that are orphaned, or gone, may go unreported");
    }
    for line in keys::told(&publish_status(&workspace, &reports, &options, Check::Store)) {
        printer.talk(line);
    }
    printer.data(&report::apply::apply(&workspace, &reports, &context.hints));
    Ok(interrupt.exit().unwrap_or_else(|| of_reports(&reports, Counts::Health)))
}
