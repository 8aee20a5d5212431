//! Time: what makes packfleet look again, and what it shows of what it saw.
//!
//! ```text
//! git poll · webhook · file watch · timers · SIGHUP ──► Event ──► queue ──► a pass (engine) ──► View
//!                                                                                              │
//!                                                       page · /api/v1 · /metrics · messages ◄─┘
//! ```
//! A trigger says "look", never "do": missed, doubled or reordered triggers are harmless. What is shown is made
//! of what the last passes reported; nothing here decides what is done on a host.

pub mod board;
pub mod view;
