//! The planner against section "Semantics" of its design: every rule as a story, and laws over all.
//!
//! ```text
//! cases/*.txt ─ world ─► Question ─ plan ─ render ─► text, compared
//! exhaustive, random ──► plan ─ laws ─ simulate ─► plan again: nothing left to do
//! ```
//! `UPDATE_CASES=1` writes what was found into the stories, to be read and judged by a person.

#[path = "planner/exhaustive.rs"]
mod exhaustive;
#[path = "planner/identity.rs"]
mod identity;
#[path = "planner/laws.rs"]
mod laws;
#[path = "planner/random.rs"]
mod random;
#[path = "planner/render.rs"]
mod render;
#[path = "planner/simulate.rs"]
mod simulate;
#[path = "planner/stories.rs"]
mod stories;
#[path = "planner/undo.rs"]
mod undo;
#[path = "planner/world.rs"]
mod world;
