//! `agent`, as typed: by a controller, mostly.

use clap::Args as ClapArgs;

/// `agent`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A controller starts this on a host, through ssh: it speaks on standard input and output with that controller, and ends \
with it. It listens to nobody else.")]
pub struct Agent {
    /// First give this program's own file its place, if it has this digest
    #[arg(long, value_name = "DIGEST", hide = true)]
    pub install: Option<String>,
}
