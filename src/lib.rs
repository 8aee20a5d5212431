//! packfleet: keeps directories of code, prompts and config right on a fleet of machines, from git.

pub mod host;
pub mod model;
pub mod source;
