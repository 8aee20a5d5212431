//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    packfleet::cli::main(std::env::args_os())
}
