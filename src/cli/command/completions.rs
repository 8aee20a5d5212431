//! `completions`: a script for a shell, from the definition of the command line.

use clap::CommandFactory;

use crate::cli::args::{Args, Completions};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;

pub(super) fn run(args: &Completions, printer: &mut Printer) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "packfleet", &mut script);
    printer.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
