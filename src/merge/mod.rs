//! The algebra of three-way merging: no paths of a host, no clock, no effects.
//!
//! Everything here takes bytes and gives bytes or says why not. What a conflict means for a pack is
//! decided by the planner. Deliberately absent: any decision that needs more than the texts.

pub mod carry;
pub mod conflict;
pub mod diff;
pub mod patch;
pub mod rename;
pub mod structured;
pub mod text;

pub use carry::{Carried, Clash, carry_keys, carry_patch};
pub use diff::unified_diff;
pub use patch::{Patch, PatchError};
pub use rename::{renames_of, similarity};
pub use structured::{Format, Structured, StructuredError};
pub use text::{TextMerge, merge_kind, merge_text};
