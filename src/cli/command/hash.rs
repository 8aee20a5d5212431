//! `hash`: the digest of a directory's tree, as a pack of a plain directory has it.

use crate::cli::args::Hash;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::Printer;
use crate::model::fleet::Limits;
use crate::model::{Entry, Tree};
use crate::source::{DirectorySource, PackSource, TreeRules};

pub(super) fn run(args: &Hash, context: &Context, printer: &mut Printer) -> Result<Exit, CliError> {
    let path = camino::absolute_utf8(&args.path).map_err(|source| CliError::File {
        operation: "find",
        path: args.path.clone(),
        source,
    })?;
    let rules = TreeRules { limits: Limits::default(), distinct: true };
    let read = DirectorySource::open(&context.cache, &path).tree(None, &[None], &rules)?;
    let entries = read.entries.into_iter();
    let tree =
        Tree(entries.map(|entry| (entry.path, Entry { kind: entry.kind, content: entry.content })).collect());
    if args.entries {
        let lines = tree
            .0
            .iter()
            .map(|(path, entry)| format!("{} {} {path}\n", char::from(entry.kind.letter()), entry.content));
        printer.data(&lines.collect::<String>());
    }
    printer.data(&format!("{}  {}\n", tree.digest(), args.path));
    Ok(Exit::Done)
}
