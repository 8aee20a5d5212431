//! `man`: the man page on stdout, or one page per command in a directory.

use clap::CommandFactory;

use crate::cli::args::{Args, Man};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;

pub(super) fn run(args: &Man, printer: &mut Printer) -> Result<Exit, CliError> {
    match &args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Args::command())
                .render(&mut page)
                .map_err(|error| CliError::Stream("write the man page", error))?;
            printer.data(&String::from_utf8_lossy(&page));
        }
        Some(dir) => {
            let failed = |operation| move |source| CliError::File { operation, path: dir.clone(), source };
            std::fs::create_dir_all(dir).map_err(failed("make the directory"))?;
            clap_mangen::generate_to(Args::command(), dir).map_err(failed("write man pages into"))?;
            printer.talk(format!("man pages written: man -l {}", dir.join("packfleet.1")));
        }
    }
    Ok(Exit::Done)
}
