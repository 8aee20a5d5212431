//! People: what they type, what they read, and the exit code.
//!
//! ```text
//! args     what was typed           (clap)
//! context  what it means            (files, time, selected deployments)
//! command  one file each: calls one function of the engine, prints one report
//! report   text for people          json  the same for programs; output writes what was asked for, where
//! closely  one deployment, looked at closely for the page
//! error    messages, hints and exit codes for what goes wrong; hint, for what is held
//! printer  the only way out: data on stdout, talk on stderr
//! ```

pub mod args;
pub mod closely;
pub mod command;
pub mod context;
pub mod documents;
pub mod error;
pub mod exit;
pub mod hint;
pub mod interrupt;
pub mod json;
mod keys;
pub mod output;
pub mod printer;
pub mod progress;
mod publish;
pub mod report;
pub mod tell;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use context::Context;
use error::CliError;
use exit::Exit;
use hint::Hints;
use printer::Printer;

/// Parses, runs, reports. Never panics on input.
pub fn main(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(typed) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, everything else is a wrong use. A closed pipe is no error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _unheard = error.print();
            return exit.into();
        }
    };
    let mut printer = Printer::new(context::colour(args.global.color));
    log_to_stderr(args.global.verbose, printer.talks_in_colour());
    let hints = Hints::new(&args.global.file);
    let mut width = None;
    let ended = match &args.command {
        // A host need have nothing that a controller has: no fleet file, no cache.
        Command::Agent(args) => command::agent(args),
        command => Context::new(&args.global).and_then(|context| {
            width = context.width;
            command::run(command, &context, &mut printer)
        }),
    };
    let exit = ended.unwrap_or_else(|error| {
        printer.talk(error.text(&hints, width.unwrap_or(100)));
        error.exit()
    });
    match printer.finish() {
        Ok(()) => exit.into(),
        Err(error) => {
            let error = CliError::Stream("write to standard output", error);
            Printer::new(context::colour(args.global.color)).talk(error.text(&hints, width.unwrap_or(100)));
            exit.max(error.exit()).into()
        }
    }
}

fn log_to_stderr(verbose: u8, colour: bool) {
    let filter = EnvFilter::try_new(context::log_filter(verbose)).unwrap_or_default();
    // A subscriber that is there already (of a test) is as good.
    let _there = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .without_time()
        .try_init();
}
