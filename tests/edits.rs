//! No edit is lost: versions of small packs from a real repository, edits on a host, and the whole engine between.
//!
//! ```text
//! pack    the versions, one per kind of upstream change ─► a git repository
//! kinds   what people do to one file
//! world   one deployment: look, decide, carry out
//! oracle  where every local byte is afterwards
//! pairs   every ordered pair of versions × every kind of edit, once and once more
//! chains  three upgrades in a row with kept edits, each rolled back
//! laws    the laws of merging over generated trees
//! ```
//! `cargo test` runs a part that takes seconds; `PACKFLEET_EDITS=all cargo test --release --test edits` runs
//! every pair of versions × every kind of edit × every file × every policy, more chains, and more trees.

#[path = "edits/chains.rs"]
mod chains;
#[path = "edits/kinds.rs"]
mod kinds;
#[path = "edits/laws.rs"]
mod laws;
#[path = "edits/oracle.rs"]
mod oracle;
#[path = "edits/pack.rs"]
mod pack;
#[path = "edits/pairs.rs"]
mod pairs;
#[path = "edits/world.rs"]
mod world;
