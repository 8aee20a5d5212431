//! What fuzz targets need of the host's own files. Nothing else uses it, and it promises nothing.

pub use super::journal::{Deed, Direction, Doing, Journal, Manifest, Step};
