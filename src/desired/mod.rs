//! From text and packs to a Desired tree. Pure: files are read, and git is asked, by the floors above.

pub mod changelog;
pub mod choose;
pub mod fleet_file;
pub mod overlay;
pub mod problem;
pub mod render;
pub mod selector;

mod suggest;
