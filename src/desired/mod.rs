//! From text and packs to a Desired tree. Pure: files are read, and git is asked, by the floors above.

mod care;
pub mod changelog;
pub mod choose;
pub mod compose;
pub mod finding;
pub mod fleet_edit;
pub mod fleet_file;
pub mod lay;
pub mod lock;
pub mod manifest;
pub mod overlay;
pub mod places;
pub mod problem;
pub mod rebase;
pub mod render;
pub mod schema;
pub mod secrets;
pub mod selector;

mod cycle;
mod deployments;
mod document;
mod location;
mod not_yet;
mod noun;
mod packs;
mod profile;
mod range;
mod raw;
mod read;
mod report;
mod requirement;
mod rollout;
mod scalar;
mod suggest;
mod validate;
mod way;
