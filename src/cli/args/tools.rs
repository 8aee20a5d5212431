//! `schema`, `hash`, `record`, `completions` and `man`, as typed.

use camino::Utf8PathBuf;
use clap::Args as ClapArgs;

use super::Output;

/// `schema`
#[derive(Debug, ClapArgs)]
pub struct Schema {
    /// The schema of what `-o json` prints, instead
    #[arg(long)]
    pub reports: bool,
}

/// `hash`
#[derive(Debug, ClapArgs)]
pub struct Hash {
    /// The directory
    pub path: Utf8PathBuf,
    /// List the entries that go into it: kind, digest, path
    #[arg(long)]
    pub entries: bool,
}

/// `record`
#[derive(Debug, ClapArgs)]
pub struct Record {
    /// Which deployment
    pub deployment: String,
    /// How to print
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

/// `completions`
#[derive(Debug, ClapArgs)]
pub struct Completions {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// `man`
#[derive(Debug, ClapArgs)]
pub struct Man {
    /// Write all pages into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<Utf8PathBuf>,
}
