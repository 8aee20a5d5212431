//! Keys of structured files that are the host's: the bytes of what they are in, and the drift that they make.

use std::collections::BTreeMap;

use crate::host::Host;
use crate::model::Content;
use crate::plan::Drift;
use crate::plan::host_keys::{Keys, Whose, one};

use super::contents::Contents;

/// Adapts every file of which keys are the host's; gives the bytes that came of it.
pub(super) fn adapt(
    drift: &mut Drift,
    keys: &Keys,
    contents: &Contents<'_>,
    host: &dyn Host,
) -> BTreeMap<Content, Vec<u8>> {
    let mut made = BTreeMap::new();
    for (path, (format, pointers)) in keys {
        let Some(judged) = drift.paths.get(path) else { continue };
        let read = |content: Content, whose: Whose| match whose {
            Whose::Hosts => host.read(path, content).ok(),
            Whose::Packs => contents.find(content).ok(),
        };
        if let Some((adapted, bytes)) = one(judged, *format, pointers, &read) {
            made.extend(bytes.into_iter().map(|side| (side.content, side.bytes)));
            drift.adapt(path, adapted);
        }
    }
    made
}

/// The same for edits that follow a rename: the keys are those of the file at its new path.
pub(super) fn adapt_followed(
    drift: &mut Drift,
    keys: &Keys,
    contents: &Contents<'_>,
    host: &dyn Host,
) -> BTreeMap<Content, Vec<u8>> {
    let mut made = BTreeMap::new();
    if keys.is_empty() {
        return made;
    }
    let mut found = Vec::new();
    for (old, rename) in &drift.renames {
        let Some(judged) = rename.followed() else { continue };
        let Some((format, pointers)) = keys.get(&rename.to).or_else(|| keys.get(old)) else { continue };
        let read = |content: Content, whose: Whose| match whose {
            Whose::Hosts => host.read(old, content).ok(),
            Whose::Packs => contents.find(content).ok(),
        };
        if let Some((adapted, bytes)) = one(judged, *format, pointers, &read) {
            made.extend(bytes.into_iter().map(|side| (side.content, side.bytes)));
            found.push((old.clone(), adapted));
        }
    }
    for (old, adapted) in found {
        drift.adapt_followed(&old, adapted);
    }
    made
}
