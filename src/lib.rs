//! packfleet: keeps directories of code, prompts and config right on a fleet of machines, from git.
//!
//! One file in git, `fleet.toml`, says which deployment holds which pack at which version, with which overlays.
//! packfleet renders what each deployment should hold, looks at what it does hold, plans the difference, and
//! carries that plan out, without ever losing what somebody changed there.
//!
//! ```text
//!  fleet.toml ── parse, validate ──► Fleet                                desired
//!       │            sources ──────────┤ resolve                           engine, source
//!       │                              ▼
//!       │                            Pins ── render ──► Desired            desired
//!  Host ── observe ─────────────────► Record, Actual ───┤ judge            host, plan
//!                                                       ▼
//!                                                     Drift                one Standing per path
//!                                                       │ merge, decide, audit, order
//!                                                       ▼
//!                                                      Plan                immutable, with an id
//!                              ┌── print, ask ◄─────────┤                  cli
//!                              │                        ▼ apply            engine, host
//!                              └──►   Outcome   ◄── lock · recover · fence · stage · journal · switch · commit
//! ```
//!
//! # Floors
//!
//! A module uses itself and lower floors only; modules on one floor do not see each other. `tests/tidy.rs`
//! checks it.
//!
//! ```text
//!  6  cli                people: arguments, printing, exit codes, hints
//!  5  daemon             time: triggers, the loop, what it shows
//!  4  engine             order: resolve, observe, apply, one pass, the fleet
//!  3  host    source     effects: on a deployment's root; on git
//!  2  desired plan       pure: text and packs to a Desired tree; three trees to a Plan
//!  1  merge              pure: the algebra of three-way merging
//!  0  model              pure: the nouns
//! ```
//!
//! # Invariants
//!
//! - The plan decides, the executor obeys: every policy lives in [`plan`], and [`host`] has no opinion.
//! - Three states, three types, one comparison: [`plan::standing`] over base, actual and desired. Absence is a
//!   value, and what could not be looked at is never taken for absent.
//! - Identity is a digest, never a version label.
//! - Floors 0 to 2 have no clock, environment, file system, tracing or async: time is an argument.
//! - The library never prints, reads the environment, exits, or panics on input; [`cli`] does what of this is
//!   needed.
//!
//! Begin with [`model`], then [`plan`]; `examples/plan.rs` shows the library from outside.

pub mod cli;
pub mod daemon;
pub mod desired;
pub mod engine;
pub mod host;
pub mod merge;
pub mod model;
pub mod plan;
pub mod source;
