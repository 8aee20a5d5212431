//! Keys of structured files that are the host's.
//!
//! Base and desired of such a file are compared and written with the host's values of these keys in them,
//! so that they are no drift and survive every write. Where the rest says the same as the host's file, in
//! another order or layout, it is in sync: an application that writes its settings anew is no editor. A
//! file that does not parse is compared as it is.

use std::collections::BTreeMap;

use crate::merge::structured::{Format, keys_of_host, without_keys};
use crate::model::record::RecordedPack;
use crate::model::{Content, Entry, Kind, TreePath};

use super::drift::{Adapted, Judged};

/// What a pack's text becomes on this host; and the bytes of it, if they exist nowhere yet.
pub struct Side {
    /// Their digest.
    pub content: Content,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Which keys of which files are the host's, in root coordinates.
pub type Keys = BTreeMap<TreePath, (Format, Vec<String>)>;

/// Files with keys of the host, as these packs say.
pub fn owned<'a>(packs: impl IntoIterator<Item = &'a RecordedPack>) -> Keys {
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
pub enum Whose {
    /// In the tree.
    Hosts,
    /// Among those of packs and records.
    Packs,
}

/// Adapts one file.
pub fn one(
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
