//! One file per command: each understands its arguments, calls one function of the engine and prints what
//! came of it.

mod adopt;
mod agent;
mod apply;
mod bootstrap;
mod capture;
mod completions;
mod diff;
mod doctor;
mod editor;
mod edits;
mod export;
mod hash;
mod history;
mod init;
mod lock;
mod man;
mod managed;
mod outdated;
mod overlay;
mod pause;
mod plan;
mod record;
mod report;
mod resolve;
mod retry;
mod rollback;
mod run;
mod schema;
mod status;
mod validate;
mod watch;
mod why;

pub use agent::run as agent;

use super::args::Command;
use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::printer::Printer;

/// Runs one command.
pub fn run(command: &Command, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    match command {
        Command::Init(args) => init::run(args, printer),
        Command::Validate(args) => validate::run(args, context, printer),
        Command::Plan(args) => plan::run(args, context, printer),
        Command::Adopt(args) => adopt::run(args, context, printer),
        Command::Apply(args) => apply::run(args, context, printer),
        Command::Run(args) => run::run(args, context, printer),
        Command::Status(args) => status::run(args, context, printer),
        Command::Diff(args) => diff::run(args, context, printer),
        Command::Why(args) => why::run(args, context, printer),
        Command::History(args) => history::run(args, context, printer),
        Command::Rollback(args) => rollback::run(args, context, printer),
        Command::Lock(args) => lock::run(args, context, printer),
        Command::Outdated(args) => outdated::run(args, context, printer),
        Command::Resolve(args) => resolve::run(args, context, printer),
        Command::Retry(args) => retry::run(args, context, printer),
        Command::Report(args) => report::run(args, context, printer),
        Command::Pause(args) => pause::pause(args, context, printer),
        Command::Resume(args) => pause::resume(args, context, printer),
        Command::Edits(args) => edits::run(args, context, printer),
        Command::Overlay(args) => overlay::run(args, context, printer),
        Command::Capture(args) => capture::run(args, context, printer),
        Command::Export(args) => export::run(args, context, printer),
        Command::Doctor(args) => doctor::run(args, context, printer),
        Command::Bootstrap(args) => bootstrap::run(args, context, printer),
        Command::Hash(args) => hash::run(args, context, printer),
        Command::Record(args) => record::run(args, context, printer),
        Command::Schema(args) => schema::run(args, printer),
        Command::Completions(args) => completions::run(args, printer),
        Command::Man(args) => man::run(args, printer),
        Command::Agent(args) => agent::run(args),
    }
}
