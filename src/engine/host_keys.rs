//! Keys of structured files that are the host's: the bytes of what they are in, and the drift that they make.

use std::collections::BTreeMap;

use crate::host::Host;
use crate::merge::structured::Format;
use crate::model::{Content, TreePath};
use crate::plan::Drift;
use crate::plan::drift::{Adapted, Judged};
use crate::plan::host_keys::{Keys, Whose, one};

use super::contents::Contents;

/// Adapts every file of which keys are the host's; gives the bytes that came of it.
pub(super) fn adapt(
    drift: &mut Drift,
    keys: &Keys,
    contents: &Contents<'_>,
    host: &dyn Host,
) -> BTreeMap<Content, Vec<u8>> {
    let mut adapter = Adapter { contents, host, made: BTreeMap::new() };
    for (path, owned) in keys {
        let Some(judged) = drift.paths.get(path) else { continue };
        if let Some(adapted) = adapter.adapted(judged, path, owned) {
            drift.adapt(path, adapted);
        }
    }
    adapter.made
}

/// The same for edits that follow a rename: the keys are those of the file at its new path.
pub(super) fn adapt_followed(
    drift: &mut Drift,
    keys: &Keys,
    contents: &Contents<'_>,
    host: &dyn Host,
) -> BTreeMap<Content, Vec<u8>> {
    let mut adapter = Adapter { contents, host, made: BTreeMap::new() };
    let mut found = Vec::new();
    for (old, rename) in &drift.renames {
        let Some(judged) = rename.followed() else { continue };
        let Some(owned) = keys.get(&rename.to).or_else(|| keys.get(old)) else { continue };
        found.extend(adapter.adapted(judged, old, owned).map(|adapted| (old.clone(), adapted)));
    }
    for (old, adapted) in found {
        drift.adapt_followed(&old, adapted);
    }
    adapter.made
}

/// Where bytes come from, and those that came of it.
struct Adapter<'a> {
    contents: &'a Contents<'a>,
    host: &'a dyn Host,
    made: BTreeMap<Content, Vec<u8>>,
}

impl Adapter<'_> {
    /// A file with the host's keys in what the pack says; `at` is where it lies on the host.
    fn adapted(&mut self, judged: &Judged, at: &TreePath, owned: &(Format, Vec<String>)) -> Option<Adapted> {
        let read = |content: Content, whose: Whose| match whose {
            Whose::Hosts => self.host.read(at, content).ok(),
            Whose::Packs => self.contents.find(content).ok(),
        };
        let (adapted, bytes) = one(judged, owned.0, &owned.1, &read)?;
        self.made.extend(bytes.into_iter().map(|side| (side.content, side.bytes)));
        Some(adapted)
    }
}
