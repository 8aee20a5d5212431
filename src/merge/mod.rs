//! The algebra of three-way merging: no paths of a host, no clock, no effects.
//!
//! Everything here takes bytes and gives bytes or says why not. What a conflict means for a pack is
//! decided by the planner. Deliberately absent: merging of keys in structured files, and patches.

pub mod diff;
pub mod text;

pub use diff::unified_diff;
pub use text::{TextMerge, merge_kind, merge_text};
