//! Keys of structured files that are the host's.
//!
//! Base and desired of such a file are compared and written with the host's values of these keys in them,
//! so that they are no drift and survive every write. Where the rest says the same as the host's file, in
//! another order or layout, it is in sync: an application that writes its settings anew is no editor. A
//! file that does not parse is compared as it is.

use std::collections::BTreeMap;

use crate::host::Host;
use crate::merge::structured::{Format, keys_of_host, without_keys};
use crate::model::record::RecordedPack;
use crate::model::{Content, Entry, Kind, TreePath};
use crate::plan::Drift;
use crate::plan::drift::{Adapted, Judged};

use super::contents::Contents;

/// What a pack's text becomes on this host; and the bytes of it, if they exist nowhere yet.
pub(super) struct Side {
    pub content: Content,
    pub bytes: Vec<u8>,
}

/// Which keys of which files are the host's, in root coordinates.
pub(super) type Keys = BTreeMap<TreePath, (Format, Vec<String>)>;

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

/// Files with keys of the host, as these packs say.
pub(super) fn owned<'a>(packs: impl IntoIterator<Item = &'a RecordedPack>) -> Keys {
    let mut owned = Keys::new();
    for pack in packs {
        for keys in &pack.host_keys {
            let (Some(path), Some(format)) = (pack.install.place(&keys.file), Format::of(&keys.file)) else {
                continue;
            };
            let (_, known) = owned.entry(path).or_insert_with(|| (format, Vec::new()));
            known.extend(keys.keys.iter().cloned());
            known.sort();
            known.dedup();
        }
    }
    owned
}

/// Where bytes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// In the tree.
    Hosts,
    /// Among those of packs and records.
    Packs,
}

/// Adapts one file.
pub(super) fn one(
    judged: &Judged,
    format: Format,
    pointers: &[String],
    read: &dyn Fn(Content, Whose) -> Option<Vec<u8>>,
) -> Option<(Adapted, Vec<Side>)> {
    let actual = judged.actual_entry().filter(|entry| entry.kind != Kind::Link)?;
    let desired = judged.desired_entry().filter(|entry| entry.kind != Kind::Link)?;
    let base = judged.base();
    if actual.content == desired.content && base.is_none_or(|base| base.content == desired.content) {
        return None;
    }
    let ours = String::from_utf8(read(actual.content, Whose::Hosts)?).ok()?;
    let plain = without_keys(format, &ours, pointers).ok()?;
    let side = |content: Content| {
        let text = String::from_utf8(read(content, Whose::Packs)?).ok()?;
        if without_keys(format, &text, pointers).ok()? == plain {
            return Some(Side { content: actual.content, bytes: ours.clone().into_bytes() });
        }
        let bytes = keys_of_host(format, &ours, &text, pointers).ok()?.into_bytes();
        Some(Side { content: Content::of(&bytes), bytes })
    };
    let wanted = side(desired.content)?;
    let was = match base {
        None => None,
        Some(base) if base.kind == Kind::Link => return None,
        Some(base) => Some((base, side(base.content)?)),
    };
    let adapted = Adapted {
        base: was.as_ref().map(|(base, side)| Entry { content: side.content, ..*base }),
        desired: Entry { content: wanted.content, ..desired },
    };
    Some((adapted, std::iter::once(wanted).chain(was.map(|(_, side)| side)).collect()))
}
