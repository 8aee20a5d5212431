//! Three trees to one plan. Pure: what is there, what was left there and what should be there go in,
//! the immutable decision comes out.
//!
//! ```text
//! Record + Actual + Desired ─ drift ─► Drift      one Standing per path, holds of whole packs
//!                             renames ─► where edited files went that are gone
//!                             asks  ─► the few merges that need bytes (read by the engine)
//!                             planner: verdict per path ─ spread holds ─ audit budget ─ order ─► Plan
//! what runs where ─ gate ─► whether a plan may be carried out now, and if not, why not
//! ```
//!
//! Every policy lives here and only here; the executor has no opinion. Rollback is a plan too.

mod assemble;
pub mod audit;
pub mod drift;
pub mod gate;
pub mod holds;
pub mod host_keys;
pub mod merging;
pub mod order;
pub mod planner;
pub mod rejection;
pub mod renames;
pub mod rollback;
pub mod standing;
pub mod trust;
pub mod verdict;
pub mod window;

pub use drift::{Drift, Judged, judge};
pub use planner::{Question, plan};
pub use standing::Standing;
