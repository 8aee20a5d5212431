//! What is staged, filled with its bytes: after all that a plan needs was looked at, and on all cores where it is much.
//!
//! ```text
//! look, look, look …  ─►  noted: slot, bytes, attributes  ─►  made, filled, verified, given its attributes
//! ```
//! In the order of the plan, as near as several threads come to it: bytes that arrive over a wire arrive in that order.
//! What fails ends it, and is told. Nothing here touches the live tree.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Bytes, unfit};
use crate::host::attributes::{Inherited, Replaced};
use crate::host::beneath::{Dir, stat_file};
use crate::host::durable::{SYNC_EACH, Unsynced};
use crate::host::journal::slot;
use crate::host::pour::fill;
use crate::host::spread::{in_turn, threads};
use crate::host::state::failed;
use crate::host::{Blobs, HostError, verified};
use crate::model::{Kind, TreePath};

/// From so many on a second thread saves more than it costs.
const MANY: usize = 256;
/// So many are filled before more are noted, so that notes do not grow with the plan.
pub(super) const MOST: usize = 8192;

/// One entry that is to be staged.
pub(super) struct Filling<'a> {
    pub(super) slot: Slot,
    pub(super) path: &'a TreePath,
    pub(super) kind: Kind,
    pub(super) bytes: Bytes<'a>,
    pub(super) attributes: Attributes,
}

/// Where it is staged.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    /// In the slot of a step.
    Step(u32),
    /// In one that has a name.
    Named(&'static str),
}

impl Slot {
    fn name(self) -> Cow<'static, str> {
        match self {
            Self::Step(number) => slot::step(number).into(),
            Self::Named(name) => name.into(),
        }
    }
}

/// What it gets besides its bytes.
pub(super) enum Attributes {
    /// Those of the file that it replaces.
    Replaced(Replaced),
    /// What its directory passes on.
    Inherited(Arc<Inherited>),
    /// Owner and group, of a link.
    Owner(u32, u32),
}

/// Fills all of them.
pub(super) fn fill_all(
    stage: &Dir,
    blobs: &dyn Blobs,
    fillings: &[Filling<'_>],
    unsynced: &mut Unsynced,
) -> Result<(), HostError> {
    let threads = if fillings.len() < MANY { 1 } else { threads(fillings.len()) };
    let failed = AtomicBool::new(false);
    // One at a time each: bytes that arrive over a wire before those that a thread waits for are held in memory.
    let filled = in_turn(threads, fillings, Stager::default, |stager, filling| {
        if failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let file = stager.fill(stage, blobs, filling);
        failed.fetch_or(file.is_err(), Ordering::Relaxed);
        file.map(|file| file.filter(|_| fillings.len() <= SYNC_EACH))
    });
    for file in filled {
        file?.into_iter().for_each(|file| unsynced.add(file));
    }
    if fillings.len() > SYNC_EACH {
        unsynced.add_many();
    }
    Ok(())
}

/// One thread that fills.
#[derive(Default)]
struct Stager {
    /// Owner and group of a file that this process makes in the stage.
    made: Option<(u32, u32)>,
}

impl Stager {
    fn fill(
        &mut self,
        stage: &Dir,
        blobs: &dyn Blobs,
        filling: &Filling<'_>,
    ) -> Result<Option<File>, HostError> {
        let Filling { slot, path, kind, bytes, attributes } = filling;
        let (slot, staging) = (slot.name(), || failed("stage", path.as_str()));
        if let (Kind::Link, Bytes::Of(content)) = (kind, bytes) {
            let text = verified(blobs, *content)?;
            stage.make_link(&text, &slot).map_err(staging())?;
            if let Attributes::Owner(uid, gid) = *attributes {
                own_link(stage, &slot, path, uid, gid)?;
            }
            return Ok(None);
        }
        let mut file = stage.create(&slot).map_err(staging())?;
        match bytes {
            Bytes::Of(content) => fill(&file, blobs, *content, staging())?,
            Bytes::Are(bytes) => file.write_all(bytes).map_err(staging())?,
        }
        match attributes {
            Attributes::Replaced(replaced) => replaced.give(&file, *kind, path)?,
            Attributes::Inherited(inherited) => {
                inherited.give_file(&file, *kind, path, self.owner(&file, path)?)?
            }
            Attributes::Owner(..) => {}
        }
        Ok(Some(file))
    }

    /// What the first file of the stage has, all have.
    fn owner(&mut self, file: &File, path: &TreePath) -> Result<(u32, u32), HostError> {
        if let Some(made) = self.made {
            return Ok(made);
        }
        let stat = stat_file(file).map_err(failed("look at the staged", path.as_str()))?;
        Ok(*self.made.insert((stat.uid, stat.gid)))
    }
}

fn own_link(stage: &Dir, slot: &str, path: &TreePath, uid: u32, gid: u32) -> Result<(), HostError> {
    let new = stage.stat(slot).map_err(failed("stage", path.as_str()))?;
    if new.is_none_or(|stat| (stat.uid, stat.gid) == (uid, gid)) {
        return Ok(());
    }
    stage.own_link(slot, uid, gid).map_err(|error| {
        unfit(path, format!("the link would have to belong to user {uid}, group {gid}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::host::BlobError;
    use crate::model::Content;

    struct Store(BTreeMap<Content, Vec<u8>>);

    impl Blobs for Store {
        fn bytes(&self, content: Content) -> Result<Vec<u8>, BlobError> {
            self.0.get(&content).cloned().ok_or_else(|| BlobError { content, why: "not there".into() })
        }
    }

    #[test]
    fn many_are_filled_as_few_are_and_one_that_fails_ends_it() {
        for count in [MANY / 2, 4 * MANY] {
            let tree = tempfile::tempdir().unwrap();
            let stage = Dir::root(tree.path().to_str().unwrap()).unwrap();
            let inherited = Arc::new(Inherited::read(&stage).unwrap());
            let text = |at: usize| format!("bytes of {at}").into_bytes();
            let mut store = Store((0..count).map(|at| (Content::of(&text(at)), text(at))).collect());
            let path = TreePath::new("d/f").unwrap();
            let kinds = [Kind::File, Kind::Exec, Kind::Link];
            let fillings: Vec<_> = (0..count)
                .map(|at| Filling {
                    slot: Slot::Step(at as u32),
                    path: &path,
                    kind: kinds[at % 3],
                    bytes: Bytes::Of(Content::of(&text(at))),
                    attributes: match kinds[at % 3] {
                        Kind::Link => Attributes::Owner(inherited.owner().0, inherited.owner().1),
                        _ => Attributes::Inherited(Arc::clone(&inherited)),
                    },
                })
                .collect();
            fill_all(&stage, &store, &fillings, &mut Unsynced::default()).unwrap();
            for at in 0..count {
                let file = tree.path().join(slot::step(at as u32));
                let found = match kinds[at % 3] {
                    Kind::Link => std::fs::read_link(&file).unwrap().into_os_string().into_encoded_bytes(),
                    kind => {
                        let mode = file.metadata().unwrap().permissions().mode();
                        assert_eq!(mode & 0o100 != 0, kind == Kind::Exec, "{at} of {count}");
                        std::fs::read(&file).unwrap()
                    }
                };
                assert_eq!(found, text(at), "{at} of {count}");
                std::fs::remove_file(file).unwrap();
            }
            let lost = Content::of(&text(count / 2));
            store.0.remove(&lost);
            let failed = fill_all(&stage, &store, &fillings, &mut Unsynced::default());
            let told = matches!(&failed, Err(HostError::Blob(BlobError { content, .. })) if *content == lost);
            assert!(told, "{failed:?}");
        }
    }
}
