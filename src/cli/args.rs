//! What was typed: the command line as clap reads it, one definition for parsing, help, completions and man
//! pages.
//!
//! Nothing is interpreted here; [`super::context`] says what it means.

mod agent;
mod capture;
mod decide;
mod hosts;
mod output;
mod overlay;
mod rollout;
mod run;
mod tools;

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::engine::Offline;
use crate::model::PlanId;

pub use agent::Agent;
pub use capture::{Capture, Export, From};
pub use decide::{Edits, EditsDrop, EditsList, EditsShow, Resolve, Retry};
pub use hosts::{Bootstrap, Doctor};
pub use output::{Format, Outputs, Sink};
pub use overlay::{Overlay, OverlayCheck, OverlayNew, OverlayRebase, OverlayShow};
pub use rollout::{Hurry, Pause, Report, Resume};
pub use run::Run;
pub use tools::{Completions, Hash, Man, Record, Schema};

const SELECTORS: &str = "\
SELECTOR is a name, a glob (\"edge-*\"), or label:X. Several mean any of them; a+b means both. None means all.";

/// One file in git says which deployment holds which packs; packfleet shows the difference and converges it,
/// without losing a local edit.
#[derive(Debug, Parser)]
#[command(
    name = "packfleet",
    version,
    max_term_width = 100,
    propagate_version = true,
    after_help = "\
Examples:
  packfleet init                    write a fleet.toml to start from
  packfleet plan                    what an apply would do; writes nothing
  packfleet apply                   do it, after asking
  packfleet status -q               what is not in sync
  packfleet why prod                what stands in the way, and what clears it

Exit codes: 0 in sync or done, 1 failed, 2 changes (where asked for), 3 held, 4 refused by policy, \
5 waiting or offline, 6 taken back as unhealthy, 64 usage or an invalid fleet.toml, 75 locked, 130 or 143 interrupted. \
Where several apply: 143, 130, 64, 1, 6, 75, 4, 3, 5, 2."
)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The fleet file
    #[arg(short, long, global = true, value_name = "FILE", env = "PACKFLEET_FILE")]
    #[arg(default_value = "fleet.toml", hide_env_values = true)]
    pub file: Utf8PathBuf,
    /// Where mirrors of git repositories lie [default: $XDG_CACHE_HOME/packfleet, ~/.cache/packfleet]
    #[arg(long, global = true, value_name = "DIR", env = "PACKFLEET_CACHE", hide_env_values = true)]
    pub cache: Option<Utf8PathBuf>,
    /// An ssh config instead of your own, for hosts and git over ssh
    #[arg(long, global = true, value_name = "FILE", env = "PACKFLEET_SSH_CONFIG", hide_env_values = true)]
    pub ssh_config: Option<Utf8PathBuf>,
    /// A packfleet for hosts of another architecture, sent where it is needed; may be repeated
    #[arg(long, global = true, value_name = "FILE")]
    pub agent_binary: Vec<Utf8PathBuf>,
    /// The key that signs published statuses [default: $XDG_CONFIG_HOME/packfleet/status_key, ~/.config/…]
    #[arg(long, global = true, value_name = "FILE", env = "PACKFLEET_STATUS_KEY", hide_env_values = true)]
    pub status_key: Option<Utf8PathBuf>,
    /// When to colour; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// List every path; log to stderr (-vv: more; PACKFLEET_LOG: exactly what)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: an object with `format` and `kind`.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented fleet.toml that validates, and an example pack, to start from
    Init(Init),
    /// Check fleet.toml: all problems at once, each with its place and a hint
    Validate(Validate),
    /// Show what an apply would do; writes nothing
    Plan(Plan),
    /// Bring deployments to what fleet.toml says; asks first
    Apply(Apply),
    /// Leave it running: git is the truth, and every host follows it
    Run(Run),
    /// Record the version that a root filled by hand holds; what differs becomes edits
    Adopt(Adopt),
    /// Show what every deployment holds, and what stands in the way
    Status(Status),
    /// Show the difference between what is there and what should be, line by line
    Diff(Diff),
    /// Say why a deployment does not hold what fleet.toml says, and what clears it
    Why(Why),
    /// Write Markdown for an issue about a deployment: versions, what was seen, what differs, history; secrets masked
    Report(Report),
    /// List a deployment's generations: every apply that changed something
    History(History),
    /// Go back to an earlier generation
    Rollback(Rollback),
    /// Write fleet.lock: which commit every requirement stands for
    Lock(Lock),
    /// Show which deployments lag which versions
    Outdated(Outdated),
    /// Decide a conflict; the next apply carries it out
    Resolve(Resolve),
    /// Let versions come back that a rollback rejected
    Retry(Retry),
    /// Change nothing on some deployments for a while
    Pause(Pause),
    /// End a pause that a command began
    Resume(Resume),
    /// Saved edits: bytes of yours that packfleet took out of a tree
    #[command(subcommand)]
    Edits(Edits),
    /// Overlays: customizations of packs, made, checked and carried to other versions
    #[command(subcommand)]
    Overlay(Overlay),
    /// Make overlays in the fleet repository of what was edited on hosts
    Capture(Capture),
    /// Make a commit for a pack's repository of what was edited on a host
    Export(Export),
    /// Look at everything that an apply relies on: hosts, sources, this machine; writes nothing there
    Doctor(Doctor),
    /// Make what a new host needs; repeatable
    Bootstrap(Bootstrap),
    /// Print the digest of a directory, as of a pack
    Hash(Hash),
    /// Print what packfleet has recorded on a host
    Record(Record),
    /// Print the JSON schema of fleet.toml, or of what -o json prints
    Schema(Schema),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: packfleet completions bash > ~/.local/share/bash-completion/completions/packfleet"
    )]
    Completions(Completions),
    /// Print the man page, or write one page per command
    Man(Man),
    /// Serve a controller on standard input and output; started by it, on a host
    Agent(Agent),
}

/// What a host is that does not answer.
#[derive(Debug, Clone, Copy, ClapArgs)]
pub struct StrictOffline {
    /// A host that cannot be reached is an error (exit 1), not something to wait for (exit 5)
    #[arg(long)]
    strict_offline: bool,
}

impl StrictOffline {
    /// Understood.
    pub fn offline(self) -> Offline {
        if self.strict_offline { Offline::Fails } else { Offline::Waits }
    }
}

/// `init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// Where; made if it is not there
    #[arg(default_value = ".")]
    pub dir: Utf8PathBuf,
}

/// `plan`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{SELECTORS}

Legend: + add, ~ change, - remove, M merge of your edit and the pack's change, E your edit, kept, X held, \
H the host's own, = adopted, ! restored.

Examples:
  packfleet plan --diff prod
  packfleet plan --detailed-exitcode -o json > plan.json
  packfleet plan --against origin/main
  packfleet plan -o text -o markdown=comment.md -o junit=plan.xml"))]
pub struct Plan {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Exit with 2 if there is something to apply, with 3 if what is there was found ill
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Show the lines that would change
    #[arg(long)]
    pub diff: bool,
    /// List what lies in the packs' directories and is nobody's
    #[arg(long, conflicts_with = "from_status")]
    pub unmanaged: bool,
    /// Read every byte, whatever the stat cache says: finds also what was written through a memory map, of which the
    /// kernel tells late or never
    #[arg(long, conflicts_with = "from_status")]
    pub full_rehash: bool,
    /// Ask no host: plan from what is published of each ([status] of fleet.toml)
    #[arg(long)]
    pub from_status: bool,
    /// Refuse (exit 64) unless fleet.lock has every pin that fleet.toml asks for
    #[arg(long)]
    pub locked: bool,
    /// Save what an apply would do, for `apply FILE`
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub out: Option<Utf8PathBuf>,
    /// Show only what this change of the fleet repository causes: compared with where it and REV parted
    #[arg(long, value_name = "REV")]
    pub against: Option<String>,
    /// Reports
    #[command(flatten)]
    pub outputs: Outputs,
    /// What a host is that does not answer
    #[command(flatten)]
    pub offline: StrictOffline,
}

/// `apply`
#[derive(Debug, ClapArgs)]
#[command(after_help = format!("{SELECTORS}

Deployments converge in the order of depends_on, independent ones side by side. What fails or is held delays \
only those that depend on it.

Examples:
  packfleet apply label:canary
  packfleet apply --yes -j 4
  packfleet plan --out agreed.json && packfleet apply --yes agreed.json"))]
pub struct Apply {
    /// Which deployments; or one file that `plan --out` wrote: exactly that is done, and where something moved since,
    /// nothing
    #[arg(value_name = "SELECTOR|FILE")]
    pub selectors: Vec<String>,
    /// This machine is the host of this deployment: only it is changed, here, and others are known by their statuses
    #[arg(long, value_name = "NAME", conflicts_with = "selectors")]
    pub deployment: Option<String>,
    /// Do nothing unless the plan still has this id, of `plan -o json` or `-o markdown`
    #[arg(long, value_name = "ID", value_parser = plan_id)]
    pub plan_id: Option<PlanId>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Deployments at a time [default: one per processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Read every byte, whatever the stat cache says: finds also what was written through a memory map, of which the
    /// kernel tells late or never
    #[arg(long)]
    pub full_rehash: bool,
    /// Refuse (exit 64) unless fleet.lock has every pin that fleet.toml asks for
    #[arg(long)]
    pub locked: bool,
    /// For those who cannot wait
    #[command(flatten)]
    pub hurry: Hurry,
    /// Reports
    #[command(flatten)]
    pub outputs: Outputs,
    /// What a host is that does not answer
    #[command(flatten)]
    pub offline: StrictOffline,
}

fn plan_id(text: &str) -> Result<PlanId, String> {
    text.parse().map_err(|_| "an id is 64 hexadecimal digits, as plan -o json prints it".to_owned())
}

/// `adopt`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Looks through the history of each pack that has no record there for the version nearest to what lies there, and
records it with your consent. No file of a pack is written. What differs counts as an edit of that version, what is
missing as deleted; the next plan goes on from there.

Examples:
  packfleet adopt prod
  packfleet adopt prod --pack bot --at 1.2.0 --yes
  packfleet adopt prod --from-branch local-customizations")]
pub struct Adopt {
    /// Which deployment
    pub deployment: String,
    /// Only this pack
    #[arg(long)]
    pub pack: Option<String>,
    /// Record this version, tag, branch or commit, whatever lies there
    #[arg(long, value_name = "REV|VERSION")]
    pub at: Option<String>,
    /// How many versions to show
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    pub candidates: u16,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Instead: make an overlay of a branch of the pack's source that holds local changes; commits nothing
    #[arg(long, value_name = "BRANCH", conflicts_with_all = ["at", "yes", "candidates"])]
    pub from_branch: Option<String>,
    /// The overlay's name [default: the branch's]
    #[arg(long, requires = "from_branch")]
    pub name: Option<String>,
    /// How to print; as JSON nothing is asked, and nothing recorded without --yes
    #[arg(short, long, value_name = "FORMAT", default_value = "text", conflicts_with = "from_branch")]
    pub output: Output,
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub struct Validate {
    /// Also refuse what nothing uses, a lock that does not fit, and secrets (exit code 4); asks no source and no host
    #[arg(long)]
    pub strict: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `lock`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
With a fleet.lock nothing moves, branches included, except pins that say follow = true. Without --update only \
what is missing is added, and what nothing asks for any more goes.

Examples:
  packfleet lock
  packfleet lock --update            move every pin to what its requirement allows now
  packfleet lock --update slack core")]
pub struct Lock {
    /// Move pins: of these packs, or of all
    #[arg(long, value_name = "PACK", num_args = 0..)]
    pub update: Option<Vec<String>>,
}

/// `outdated`
#[derive(Debug, ClapArgs)]
#[command(after_help = SELECTORS)]
pub struct Outdated {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Exit with 2 if anything lags
    #[arg(long)]
    pub exit_code: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// A pause between two looks; not so short that looking is all that is done.
fn interval(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed
        .filter(|pause| *pause >= Duration::from_millis(200))
        .ok_or_else(|| "write it like 2s, 30s or 1m; at least 200ms".to_owned())
}

/// `status`
#[derive(Debug, ClapArgs)]
#[command(after_help = SELECTORS)]
pub struct Status {
    /// Which deployments
    #[arg(value_name = "SELECTOR")]
    pub selectors: Vec<String>,
    /// Exit with 2 for changes or edits, 3 held, 4 refused, 5 waiting
    #[arg(long)]
    pub exit_code: bool,
    /// Only what is not in sync
    #[arg(short, long)]
    pub quiet: bool,
    /// Look again and again, and show what changed, until Ctrl-C
    #[arg(long, conflicts_with = "exit_code")]
    pub watch: bool,
    /// How long to wait between two looks, as in 2s or 1m
    #[arg(long, value_name = "TIME", default_value = "2s", requires = "watch", value_parser = interval)]
    pub interval: Duration,
    /// Ask no host: say what is published of each ([status] of fleet.toml)
    #[arg(long, conflicts_with = "watch")]
    pub from_status: bool,
    /// Reports
    #[command(flatten)]
    pub outputs: Outputs,
    /// What a host is that does not answer
    #[command(flatten)]
    pub offline: StrictOffline,
}

/// `diff`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
For what an apply would change: from what is there to what would be. For your edits: from what packfleet left \
there to what is there. A PATH may be abbreviated to its end (`Server.ts`).

Examples:
  packfleet diff prod
  packfleet diff prod prompt.md --three-way")]
pub struct Diff {
    /// Which deployment
    pub deployment: String,
    /// Which paths; none means all that differ
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// Show both sides' changes since they parted, and what merging them gives
    #[arg(long)]
    pub three_way: bool,
    /// Exit with 2 if there is a difference
    #[arg(long)]
    pub exit_code: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `why`
#[derive(Debug, ClapArgs)]
pub struct Why {
    /// Which deployment
    pub deployment: String,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `history`
#[derive(Debug, ClapArgs)]
pub struct History {
    /// Which deployment
    pub deployment: String,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `rollback`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Takes back what later generations wrote, and nothing else. Edits made since are merged, or the rollback is held. \
What it rejects does not come back until fleet.toml gives something else, or `packfleet retry`.

Examples:
  packfleet rollback prod
  packfleet rollback prod --to 3 --pack bot")]
pub struct Rollback {
    /// Which deployment
    pub deployment: String,
    /// The generation to go back to [default: before the newest one that wrote a file or moved a pack]
    #[arg(long, value_name = "GEN")]
    pub to: Option<u64>,
    /// Only this pack
    #[arg(long)]
    pub pack: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}
