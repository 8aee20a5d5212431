//! Deployments that the fleet file no longer names: reported, never touched.

use super::words::count;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted};
use crate::engine::orphans::Orphan;

/// One line each, and what to do about them.
pub fn text(orphans: &[Orphan], hints: &Hints) -> String {
    let mut out = String::new();
    for orphan in orphans {
        out.push_str(&format!(
            "\n{}  {}  {} of generation {} in {}: its stanza is gone, nothing is touched\n    \
             → to remove it: [deployments.{}] with host, root and state = \"absent\" in {}\n",
            paint::name(orphan.deployment.as_str()),
            painted(paint::CHANGE, "orphaned"),
            count(orphan.files, "file"),
            orphan.generation,
            orphan.root,
            orphan.deployment,
            hints.file()
        ));
    }
    out
}
