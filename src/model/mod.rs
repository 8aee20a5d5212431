//! The nouns: names, paths, digests, trees, packs, the fleet, the record and the plan.
//!
//! Everything here is a plain value without effects: no clock, no environment, no file system. A value
//! that exists is valid, because each type has one fallible constructor and no public field that could
//! break it. Deliberately absent: how any of these is read, written or decided; that is the business
//! of the floors above.

pub mod actual;
pub mod care;
pub mod cause;
pub mod desired;
pub mod digest;
pub mod fleet;
pub mod host_owned;
pub mod link;
pub mod manifest;
pub mod manifest_text;
pub mod name;
pub mod outward;
pub mod pack;
pub mod packed;
pub mod path;
pub mod plan;
pub mod publishing;
pub mod ranges;
pub mod record;
pub mod rest;
pub mod rollout;
pub mod run;
pub mod settled;
pub mod shape;
pub mod ssh;
pub mod stamp;
pub mod status_key;
pub mod tree;

pub use digest::{
    Content, DesiredDigest, DriftDigest, ManifestDigest, PartDigest, PlanId, RecordDigest, TermsDigest,
    TreeDigest,
};
pub use name::{DeploymentName, FleetName, OverlayName, PackName, SourceName};
pub use path::{HostPath, PathError, TreePath};
pub use tree::{Entry, Kind, Tree};
