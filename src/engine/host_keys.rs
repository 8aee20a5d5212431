//! Keys of structured files that are the host's.
//!
//! Base and desired of such a file are compared and written with the host's values of these keys in them,
//! so that they are no drift and survive every write. Where the rest says the same as the host's file, in
//! another order or layout, it is in sync: an application that writes its settings anew is no editor. A
//! file that does not parse is compared as it is.

use std::collections::BTreeMap;

use crate::host::Host;
use crate::merge::structured::{Format, keys_of_host, without_keys};
use crate::model::{Content, Entry, Kind, TreePath};
use crate::plan::Drift;
use crate::plan::drift::{Adapted, Judged};

use super::contents::Contents;

/// What a pack's text becomes on this host; and the bytes of it, if they exist nowhere yet.
struct Side {
    content: Content,
    bytes: Vec<u8>,
}

/// Adapts every file of which keys are the host's; gives the bytes that came of it.
pub(super) fn adapt(
    drift: &mut Drift,
    contents: &Contents<'_>,
    host: &dyn Host,
) -> BTreeMap<Content, Vec<u8>> {
    let mut made = BTreeMap::new();
    for (path, format, pointers) in owned(drift) {
        let Some(judged) = drift.paths.get(&path) else { continue };
        if let Some((adapted, bytes)) = one(judged, &path, format, &pointers, contents, host) {
            made.extend(bytes.into_iter().map(|side| (side.content, side.bytes)));
            drift.adapt(&path, adapted);
        }
    }
    made
}

/// Files with keys of the host, in root coordinates.
fn owned(drift: &Drift) -> Vec<(TreePath, Format, Vec<String>)> {
    let packs = drift.packs.values().filter_map(|pack| pack.wanted.as_ref());
    packs
        .flat_map(|wanted| {
            wanted.recorded.host_keys.iter().filter_map(|keys| {
                let path = wanted.recorded.install.place(&keys.file)?;
                Some((path, Format::of(&keys.file)?, keys.keys.clone()))
            })
        })
        .collect()
}

fn one(
    judged: &Judged,
    path: &TreePath,
    format: Format,
    pointers: &[String],
    contents: &Contents<'_>,
    host: &dyn Host,
) -> Option<(Adapted, Vec<Side>)> {
    let actual = judged.actual_entry().filter(|entry| entry.kind != Kind::Link)?;
    let desired = judged.desired_entry().filter(|entry| entry.kind != Kind::Link)?;
    let base = judged.base();
    if actual.content == desired.content && base.is_none_or(|base| base.content == desired.content) {
        return None;
    }
    let ours = String::from_utf8(host.read(path, actual.content).ok()?).ok()?;
    let plain = without_keys(format, &ours, pointers).ok()?;
    let side = |content: Content| {
        let text = String::from_utf8(contents.find(content).ok()?).ok()?;
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
