//! What was typed behind `capture` and `export`.

use clap::{Args as ClapArgs, ValueEnum};

use super::SELECTORS;

/// `capture`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("\
{SELECTORS} Here none needs --all.

An edit becomes a patch, merged keys of a JSON or TOML file, a whole file, or an entry of `remove`, in
overlays/DEPLOYMENT or overlays/DEPLOYMENT-PACK; the overlay is named last in the pin. A pin that is inherited
from a profile or a range is written in full for the deployment, because a pin is replaced whole. After the
next apply the edit is part of what is desired; the file on the host is not touched.

Files that no pack has are captured only where --path names them, from the root on.

Examples:
  packfleet capture prod
  packfleet capture prod --pack bot --path 'prompts/*.md' --branch capture/prompts
  packfleet capture prod --for-profile production"))]
pub struct Capture {
    /// Which deployments
    #[arg(value_name = "SELECTOR", required_unless_present = "all")]
    pub selectors: Vec<String>,
    /// All deployments
    #[arg(long, conflicts_with = "selectors")]
    pub all: bool,
    /// Only edits of this pack
    #[arg(long, value_name = "PACK")]
    pub pack: Option<String>,
    /// Only these paths, as globs beneath the root; of a managed file the end of its path is enough
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// Commit on this new branch of the fleet repository, and leave the working tree as it is
    #[arg(long, value_name = "NAME")]
    pub branch: Option<String>,
    /// Make it an overlay of this profile, for all deployments that have its pin
    #[arg(long, value_name = "NAME")]
    pub for_profile: Option<String>,
    /// Capture this secret, which a scan found
    #[arg(long, value_name = "FINGERPRINT")]
    pub allow_secret: Vec<String>,
}

/// `export`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The commit is a child of the pinned one, or of the branch's tip if the branch is there already, and holds the
files where the pack has them. What overlays of the fleet say is left out of it, unless --from says otherwise;
what belongs to the host always is. Without --push it lies in the mirror only, to be fetched from there.

Examples:
  packfleet export prod bot --branch fix/typo
  packfleet export prod bot --path prompt.md --branch fix/typo --push -m \"fix(bot): spell it right\"")]
pub struct Export {
    /// Which deployment
    pub deployment: String,
    /// Which pack
    pub pack: String,
    /// The branch of the pack's repository
    #[arg(long, value_name = "NAME")]
    pub branch: String,
    /// Only these paths, as globs beneath the root; of a managed file the end of its path is enough
    #[arg(long, value_name = "GLOB")]
    pub path: Vec<String>,
    /// The commit's message [default: a conventional one, with the list of files]
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// What to export
    #[arg(long, value_name = "WHAT", default_value = "edits")]
    pub from: From,
    /// Push the branch to the source's push_url, or else its url; never by force, and never to a protected one
    #[arg(long)]
    pub push: bool,
    /// Export this secret, which a scan found
    #[arg(long, value_name = "FINGERPRINT")]
    pub allow_secret: Vec<String>,
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// What was edited on the host.
    Edits,
    /// What overlays of the fleet say.
    Overlays,
    /// Both: what the host holds.
    Both,
}
