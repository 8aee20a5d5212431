//! packfleet: keeps directories of code, prompts and config right on a fleet of machines, from git.

pub mod cli;
pub mod desired;
pub mod engine;
pub mod host;
pub mod merge;
pub mod model;
pub mod plan;
pub mod source;
