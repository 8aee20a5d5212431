//! `schema`: the JSON schema of `fleet.toml`, for editors.

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;

pub(super) fn run(printer: &mut Printer) -> Result<Exit, CliError> {
    printer.data(&format!("{:#}\n", crate::desired::schema::json_schema()));
    Ok(Exit::Done)
}
