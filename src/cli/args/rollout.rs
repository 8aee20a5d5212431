//! `pause`, `resume`, `report`, and what `apply` takes of those in a hurry, as typed.

use clap::Args as ClapArgs;

use super::SELECTORS;

/// What somebody says who does not want to wait.
#[derive(Debug, Clone, ClapArgs)]
pub struct Hurry {
    /// Do not wait for stages, windows and pauses; holds, dependencies and failures of the same version still count
    #[arg(long, requires = "reason")]
    pub now: bool,
    /// Why: kept in the history of each deployment that did not wait, and told
    #[arg(long, value_name = "TEXT", requires = "now")]
    pub reason: Option<String>,
}

/// `pause`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
SELECTOR is a name, a glob (\"edge-*\"), or label:X. Several mean any of them; a+b means both.

The pause is kept on the hosts and outlives every controller. Where fleet.toml has one too, the longer one counts.

Examples:
  packfleet pause prod --reason \"conference week\" --until 2026-12-01T00:00:00Z
  packfleet pause label:edge --reason \"line is being repaired\" --for 8h")]
pub struct Pause {
    /// Which deployments; \"*\" means all
    #[arg(value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
    /// Why: shown to whoever asks
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// When it ends: 2026-12-01T00:00:00Z [default: when somebody resumes]
    #[arg(long, value_name = "TIME", conflicts_with = "period")]
    pub until: Option<String>,
    /// How long it lasts: 8h, 2d
    #[arg(long = "for", value_name = "PERIOD")]
    pub period: Option<String>,
}

/// `resume`
#[derive(Debug, ClapArgs)]
#[command(after_help = SELECTORS)]
pub struct Resume {
    /// Which deployments; \"*\" means all
    #[arg(value_name = "SELECTOR", required = true)]
    pub selectors: Vec<String>,
}

/// `report`
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example: packfleet report prod > issue.md")]
pub struct Report {
    /// Which deployment
    pub deployment: String,
}
