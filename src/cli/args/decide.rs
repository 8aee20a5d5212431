//! `resolve`, `retry` and `edits`, as typed.

use clap::{Args as ClapArgs, Subcommand};

use super::{Output, SELECTORS};

/// `resolve`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
local: what is on the host stays, and counts as your edit of the new version.
pack:  what the pack gives is put; what was there becomes a saved edit.
FILE:  that file's bytes are put, likewise. A file called `local` or `pack` is written ./local or ./pack.

The decision is for these two versions of the file; if either changes first, it lapses.

Examples:
  packfleet resolve prod prompt.md --take local
  packfleet resolve prod prompt.md --edit")]
#[command(group(clap::ArgGroup::new("side").required(true)))]
pub struct Resolve {
    /// Which deployment
    pub deployment: String,
    /// Which path; may be abbreviated to its end
    pub path: String,
    /// Which side to take: local, pack, or a file with what you want
    #[arg(long, value_name = "local|pack|FILE", group = "side")]
    pub take: Option<String>,
    /// Merge by hand in $VISUAL or $EDITOR, on a copy
    #[arg(long, group = "side")]
    pub edit: bool,
}

/// `retry`
#[derive(Debug, ClapArgs)]
pub struct Retry {
    /// Which deployments: a name, a glob or label:X
    #[arg(value_name = "SELECTOR")]
    pub selector: String,
    /// Which pack; none means all
    pub pack: Option<String>,
}

/// `edits`
#[derive(Debug, Subcommand)]
pub enum Edits {
    /// List saved edits
    List(EditsList),
    /// Print the bytes of one
    Show(EditsShow),
    /// Put one back where it lay
    Restore(EditsShow),
    /// Forget some for good
    Drop(EditsDrop),
}

/// `edits list`
#[derive(Debug, ClapArgs)]
#[command(after_help = SELECTORS)]
pub struct EditsList {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `edits show`, `edits restore`
#[derive(Debug, ClapArgs)]
pub struct EditsShow {
    /// Which deployment
    pub deployment: String,
    /// The edit's number, as `edits list` shows it
    pub id: u64,
}

/// `edits drop`
#[derive(Debug, ClapArgs)]
pub struct EditsDrop {
    /// Which deployment
    pub deployment: String,
    /// The edits' numbers, as `edits list` shows them
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<u64>,
}
