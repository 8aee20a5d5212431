//! What was typed behind `overlay`.

use clap::{Args as ClapArgs, Subcommand};

use super::Output;

/// `overlay`
#[derive(Debug, Subcommand)]
pub enum Overlay {
    /// Begin an overlay: its directory, with what it is written against
    New(OverlayNew),
    /// Show what overlays change, and which deployments use them
    Show(OverlayShow),
    /// Say which overlays would not survive which version
    Check(OverlayCheck),
    /// Carry an overlay to another version, in the working tree
    Rebase(OverlayRebase),
}

/// `overlay new`
#[derive(Debug, ClapArgs)]
#[command(disable_version_flag = true)]
#[command(after_help = "\
Writes overlays/NAME/overlay.toml; nothing that is there is overwritten. Put beside it what is to change, where it lies
in the pack:
  PATH                      replaces or adds PATH
  PATH.patch                changes it line by line: a unified diff (`git diff --relative` in the pack's directory)
  PATH.merge.json, .toml    merges keys into it; null removes one

Examples:
  packfleet overlay new quiet --pack bot
  packfleet overlay new quiet --pack bot --version 1.2.0 --edit prompt.md")]
pub struct OverlayNew {
    /// Its name
    pub name: String,
    /// The pack that it customizes
    #[arg(long)]
    pub pack: String,
    /// What it is written against: a version, tag or commit [default: what deployments have]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Change these files of the pack in $VISUAL or $EDITOR, on a copy; each becomes a patch
    #[arg(long, value_name = "PATH")]
    pub edit: Vec<String>,
}

/// `overlay show`
#[derive(Debug, ClapArgs)]
pub struct OverlayShow {
    /// Which; none means all
    pub name: Option<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `overlay check`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Without --to: every version that is newer than what the overlay was written against, and those that its deployments
lead to. An overlay is laid on each with those before it, as deployments have them. Exits with 3 if one does not survive.")]
pub struct OverlayCheck {
    /// Which; none means all
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only this version, tag or commit
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `overlay rebase`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Patches are written anew against the version, files follow upstream's renames, what upstream ships is dropped, and
overlay.toml names the new base. What does not merge is written as a file beside it, PATH.patch.conflict, with both sides
in it, and the command exits with 3. Edit that file into what PATH is to be, then `--finish`; or delete it to drop the
change. Nothing but the overlay's own directory is written: read `git diff`, and commit.

Examples:
  packfleet overlay rebase quiet --to 1.3.0
  packfleet overlay rebase quiet --finish")]
pub struct OverlayRebase {
    /// Which
    pub name: String,
    /// The version, tag or commit [default: what deployments that use it lead to]
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
    /// Turn edited conflict files into patches
    #[arg(long, conflicts_with = "to")]
    pub finish: bool,
}
