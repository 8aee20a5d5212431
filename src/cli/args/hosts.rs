//! `doctor` and `bootstrap`, as typed.

use clap::Args as ClapArgs;

use super::{Output, SELECTORS};

/// `doctor`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{SELECTORS}

Each line is ok, warn or fail, and the last two say what to type. Exit code 1 if a line fails."))]
pub struct Doctor {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Only what is not ok
    #[arg(short, long)]
    pub quiet: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `bootstrap`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{SELECTORS}

Makes the root with its owner and the state directory, lets services of the user run without a login where the fleet \
has such services, and puts the agent in place. What needs root is shown and not done. Exit code 1 if something is \
left to do.

Examples:
  packfleet bootstrap edge-017 --dry-run
  packfleet bootstrap label:new && packfleet doctor label:new"))]
pub struct Bootstrap {
    /// Which deployments
    #[arg(value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
    /// Say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}
