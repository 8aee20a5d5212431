//! Reports as text: what a person reads. Every line says what, to whom, why, and what to type next.
//!
//! Nothing is decided here. Texts that come from packs, hosts or git are made safe where they enter a line.

pub mod adopt;
pub mod against;
pub mod apply;
pub mod bytes;
pub mod care;
pub mod diffs;
pub mod doctor;
pub mod gate;
pub mod github;
pub mod header;
pub mod holds;
pub mod issue;
pub mod journal;
pub mod junit;
pub mod lines;
pub mod markdown;
pub mod orphans;
pub mod plan;
pub mod secrets;
pub mod status;
pub mod strict;
pub mod table;
pub mod told;
pub mod why;
pub mod wording;
pub mod words;

/// A text without its colours.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// A sum without the command that would come next.
pub fn without_next(sum: &str) -> String {
    sum.lines().filter(|line| !line.starts_with("next: ")).map(|line| format!("{line}\n")).collect()
}
