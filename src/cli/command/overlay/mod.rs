//! `overlay`: customizations of packs, made, shown, checked and carried to other versions.

mod check;
mod new;
mod rebase;
mod show;

use crate::cli::args::Overlay;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, shown};
use crate::model::OverlayName;

pub(super) fn run(args: &Overlay, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    match args {
        Overlay::New(args) => new::run(args, context, printer),
        Overlay::Show(args) => show::run(args, context, printer),
        Overlay::Check(args) => check::run(args, context, printer),
        Overlay::Rebase(args) => rebase::run(args, context, printer),
    }
}

fn name(text: &str) -> Result<OverlayName, CliError> {
    OverlayName::new(text)
        .map_err(|error| CliError::Usage { what: format!("{}: {error}", shown(text)), hint: None })
}
