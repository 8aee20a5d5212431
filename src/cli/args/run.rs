//! Arguments of `run`.

use camino::Utf8PathBuf;
use clap::Args as ClapArgs;

use super::SELECTORS;

/// `run`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{SELECTORS}

Looks when git has something new, when a file changes, when a timer says so ([run] of fleet.toml), and on SIGHUP; \
applies what is to be applied. A fleet.toml that does not validate leaves the last good one in force. SIGINT and \
SIGTERM finish what is under way, and begin nothing more.

Examples:
  packfleet run                                     a checkout, or any directory with a fleet.toml
  packfleet run --repo https://example.org/fleet.git --branch main
  packfleet run --once --repo https://example.org/fleet.git      for cron: the exit code is that of apply"))]
pub struct Run {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Read the fleet from this git repository; -f is then its path in there
    #[arg(long, value_name = "URL", env = "PACKFLEET_REPO", hide_env_values = true)]
    pub repo: Option<String>,
    /// The branch of it
    #[arg(long, value_name = "BRANCH", default_value = "main", env = "PACKFLEET_BRANCH")]
    pub branch: String,
    /// Take only commits that are signed by one of these (OpenSSH's allowed_signers); needs --repo
    #[arg(long, value_name = "FILE", requires = "repo", env = "PACKFLEET_SIGNERS", hide_env_values = true)]
    pub signers: Option<Utf8PathBuf>,
    /// Take the branch as it is, although its history was rewritten or moved back; needs --repo
    #[arg(long, requires = "repo")]
    pub allow_rewind: bool,
    /// This machine is the host of this deployment: only it is cared for, here, and others are known by their statuses
    #[arg(long, value_name = "NAME", conflicts_with = "selectors", env = "PACKFLEET_DEPLOYMENT")]
    #[arg(hide_env_values = true)]
    pub deployment: Option<String>,
    /// One pass, and end as apply does
    #[arg(long)]
    pub once: bool,
}
