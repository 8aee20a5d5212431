//! Time: what makes packfleet look again, and what it shows of what it saw.
//!
//! ```text
//! git poll · webhook · file watch · timers · SIGHUP ──► Event ──► queue ──► a pass (engine) ──► News
//!                                                                                              │
//!                                               log · page · /api/v1 · /metrics · messages ◄───┘
//! ```
//! One task owns everything: the fleet in force, the queue, and what runs. All that happens reaches it as one
//! closed enum of events ([`event`]); the queue ([`queue`]) is a pure state machine that says what is looked at next;
//! passes run on threads of their own and come back as events. What was seen is told to audiences ([`news`]).
//!
//! A trigger says "look", never "do": missed, doubled or reordered triggers are harmless. Nothing here decides what is
//! done on a host. A fleet that cannot be read, or does not validate, leaves the last good one in force.

pub mod accept;
pub mod board;
pub mod detail;
pub mod event;
mod files;
mod job;
pub mod messenger;
pub mod news;
pub mod notify;
pub mod origin;
mod owner;
pub mod queue;
pub mod secret;
pub mod show;
mod signals;
mod supervisor;
mod trail;
pub mod view;
mod watchers;
pub mod web;

pub use event::Signal;
pub use event::{Event, Trigger};
pub use news::{Audience, News};
pub use origin::{Origin, Reader, Trouble};
pub use owner::{Ended, RunError, Settings, run};
pub use trail::Touch;
