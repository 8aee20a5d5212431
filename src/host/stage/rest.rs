//! What is staged besides the files of a plan: bytes for the store, VERSION, the sync log, and room for the way back.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;

use super::{Bytes, Halt, Slot, Stager, unfit};
use crate::host::beneath::Node;
use crate::host::journal::slot;
use crate::host::live::out_of_reach;
use crate::host::pour::fill;
use crate::host::sight::{Found, Sight};
use crate::host::state::{failed, name};
use crate::host::{HostError, annals, generations};
use crate::model::{Content, Entry, Kind, TreePath};

impl Stager<'_> {
    pub(super) fn objects(&mut self) -> Result<Vec<Content>, HostError> {
        let dir = self.state.dir(name::OBJECTS).map_err(failed("open", ".packfleet/objects"))?;
        let names = dir.names().map_err(failed("list", ".packfleet/objects"))?;
        let name = |(name, _): (Vec<u8>, Node)| {
            let text = std::str::from_utf8(&name).ok()?;
            text.parse().ok().filter(|content: &Content| content.to_string() == text)
        };
        let held: BTreeSet<Content> = names.into_iter().filter_map(name).collect();
        let mut contents =
            self.commit.plan.kept_contents(|content| Ok::<_, HostError>(held.contains(&content)))?;
        // An edit is merged with what its generation put, and with the base of the restored record. Nothing
        // of these is fetched now, so an empty store need not be asked.
        if !held.is_subset(&contents) {
            let keep = u64::from(self.commit.keep_generations);
            let oldest = (self.commit.plan.next.generation + 1).saturating_sub(keep);
            let needed = generations::needed_since(self.state, oldest)?;
            contents.extend(needed.intersection(&held));
        }
        for content in &contents {
            if !held.contains(content) {
                let slot = slot::object(*content);
                let file = self.stage.create(&slot).map_err(failed("stage", slot.as_str()))?;
                fill(&file, self.blobs, *content, failed("stage", slot))?;
                self.unsynced.add(file);
            }
        }
        Ok(contents.into_iter().collect())
    }

    /// VERSION with its new content, and the entry that this was made from.
    #[expect(clippy::type_complexity, reason = "two answers of one look")]
    pub(super) fn version(&mut self) -> Result<Option<((TreePath, Content), Option<Entry>)>, Halt> {
        let commit = self.commit;
        let Some((path, bytes)) = &commit.version_file else { return Ok(None) };
        self.way(path)?;
        let sight = self.look(path)?;
        match &sight.found {
            Found::Absent => {}
            Found::Entry(entry) if entry.kind != Kind::Link => {}
            other => {
                let why = format!("the VERSION file cannot be written: {} is in its place", other.words());
                return Err(unfit(path, why).into());
            }
        }
        let from = sight.found.entry();
        if from.is_some_and(|entry| Some(entry.content) != self.commit.version_from) {
            // Its new bytes would leave out what was written since.
            return Err(Halt::Moved { path: path.clone(), found: sight.found.words() });
        }
        self.fit(path, sight.stat.as_ref())?;
        let kind = from.map_or(Kind::File, |entry| entry.kind);
        self.content(Slot::Named(slot::VERSION), path, kind, Bytes::Are(bytes), &sight)?;
        Ok(Some(((path.clone(), Content::of(bytes)), from)))
    }

    pub(super) fn log(&mut self) -> Result<Option<(TreePath, String)>, Halt> {
        let commit = self.commit;
        let Some((path, text)) = &commit.sync_log else { return Ok(None) };
        self.way(path)?;
        let absent = Sight::absent();
        let dir = match self.live.parent(path) {
            Err(error) if out_of_reach(&error) => None,
            dir => Some(dir.map_err(failed("open the directory of", path.as_str()))?),
        };
        let stat = match &dir {
            Some(dir) => dir.stat(path.file_name()).map_err(failed("look at", path.as_str()))?,
            None => None,
        };
        match (stat, dir) {
            (Some(stat), Some(dir)) if stat.node == Node::File => {
                dir.append(path.file_name())
                    .map_err(|error| unfit(path, format!("nothing can be added to the sync log: {error}")))?;
            }
            (Some(_), _) => {
                return Err(unfit(path, "the sync log cannot be written: it is not a file").into());
            }
            (None, _) => {
                self.fit(path, None)?;
                self.content(Slot::Named(slot::LOG), path, Kind::File, Bytes::Are(b""), &absent)?;
            }
        }
        Ok(Some((path.clone(), annals::log_line(text, self.commit.plan.next.generation))))
    }

    /// Room for the record that taking the switch back would write: the one that stands, with what the actions put
    /// where edits of it stay, and what was rejected. Where a file system cannot reserve, that takes its chance.
    pub(super) fn reserve(&self) -> Result<(), HostError> {
        let (actions, packs) = (&self.commit.plan.actions, self.commit.plan.next.packs.len());
        let old = self.old.map_or(0, |old| old.bytes().len());
        let put = actions.iter().filter(|action| action.after.is_some());
        let next = &self.commit.plan.next;
        let directories = next.directories.iter().map(|directory| directory.as_str().len() + 16);
        let size = old
            + put.map(|action| action.path.as_str().len() + 160).sum::<usize>()
            + directories.sum::<usize>()
            + next.root.as_str().len()
            + packs * 256
            + 4096;
        let reserve = || match rustix::fs::fallocate(
            &self.stage.create(slot::KEPT)?,
            rustix::fs::FallocateFlags::empty(),
            0,
            size as u64,
        ) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            reserved => reserved.map_err(io::Error::from),
        };
        reserve().map_err(failed("stage", slot::KEPT))
    }
}
