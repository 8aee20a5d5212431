//! `schema`: the JSON schema of `fleet.toml`, for editors; or of the documents that `-o json` prints.

use crate::cli::args::Schema;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::json::SCHEMA;
use crate::cli::printer::Printer;

pub(super) fn run(args: &Schema, printer: &mut Printer) -> Result<Exit, CliError> {
    if args.reports {
        printer.data(SCHEMA);
    } else {
        printer.data(&format!("{:#}\n", crate::desired::schema::json_schema()));
    }
    Ok(Exit::Done)
}
