//! Everything that a switch needs, prepared beside the target before anything is touched.
//!
//! ```text
//! removals ─► what must come out is there? may it? ─► slot stays empty
//! puts     ─► the way there ─► what must come out is there? may it? ─► its attributes ─► all: bytes, verified ─► slot
//! VERSION, log, record, objects, edits, manifest, journal ─► sync ─► commit point
//! ```
//! Removals come first whatever the plan's order, then directories that make way, then directories that
//! are made, then puts in the plan's order: a file can become a directory and back. An error here leaves
//! the tree as it was; the caller throws the stage away.

mod filling;
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::Arc;

use filling::{Attributes, Filling, Slot};

use super::attributes::{Inherited, Replaced, forget_default};
use super::beneath::{Dir, Node, Stat, stat_file};
use super::durable::Unsynced;
use super::edits::{self, Edits};
use super::journal::{Deed, Direction, Journal, Manifest, Step, slot};
use super::live::{Live, out_of_reach};
use super::pour::Sink;
use super::sight::{Found, Sight};
use super::state::{Ground, digest_record, failed, name};
use super::{Blobs, Commit, HostError, SavedEdit, annals, features, layers, swap};
use crate::model::packed::Packed;
use crate::model::plan::Action;
use crate::model::{Content, Entry, Kind, TreePath};

/// Why a switch does not go on.
#[derive(Debug)]
pub enum Halt {
    /// The tree is not what the plan was made for.
    Moved {
        /// Where.
        path: TreePath,
        /// What lies there, in words.
        found: String,
    },
    /// It cannot be done.
    Failed(HostError),
}

impl From<HostError> for Halt {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

/// Stages a commit and makes it durable. The journal lies in the stage, not yet in place.
pub fn stage(
    ground: &Ground,
    state: &Dir,
    old: Option<&Packed<'_>>,
    commit: &Commit<'_>,
    blobs: &dyn Blobs,
) -> Result<Manifest, Halt> {
    for directory in [name::OBJECTS, name::GENERATIONS, name::EDITS] {
        match state.make_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed("make", format!(".packfleet/{directory}")))?,
        }
    }
    state.make_dir(name::STAGE).map_err(failed("make", ".packfleet/stage"))?;
    let stage = state.dir(name::STAGE).map_err(failed("open", ".packfleet/stage"))?;
    forget_default(&stage).map_err(failed("prepare", ".packfleet/stage"))?;
    let actions = &commit.plan.actions;
    let stager = Stager {
        live: Live::new(ground),
        state,
        stage: &stage,
        commit,
        blobs,
        old,
        taken: actions.iter().filter(|action| action.after.is_none()).map(|action| &action.path).collect(),
        steps: Steps::default(),
        made: BTreeMap::new(),
        inherited: None,
        open_way: None,
        fit: None,
        saves: Vec::new(),
        fillings: Vec::new(),
        unsynced: Unsynced::default(),
        layered: layers::layered(ground),
    };
    stager.run()
}

/// What goes into a staged file.
#[derive(Debug, Clone, Copy)]
enum Bytes<'a> {
    /// What the store has under this digest.
    Of(Content),
    /// These.
    Are(&'a [u8]),
}

#[derive(Debug, Default)]
struct Steps {
    next: u32,
    taken: Vec<Step>,
    emptied: Vec<Step>,
    made: Vec<Step>,
    put: Vec<Step>,
}

impl Steps {
    fn slot(&mut self) -> u32 {
        self.next += 1;
        self.next
    }
}

struct Stager<'a> {
    live: Live<'a>,
    state: &'a Dir,
    stage: &'a Dir,
    commit: &'a Commit<'a>,
    blobs: &'a dyn Blobs,
    old: Option<&'a Packed<'a>>,
    /// Paths that the plan removes.
    taken: BTreeSet<&'a TreePath>,
    steps: Steps,
    /// Directories that will be made, with what they pass on.
    made: BTreeMap<TreePath, Arc<Inherited>>,
    /// What the last directory passes on.
    inherited: Option<(TreePathOrRoot, Arc<Inherited>)>,
    /// The last directory that was found, or will be made.
    open_way: Option<TreePathOrRoot>,
    /// The last directory that was found fit.
    fit: Option<TreePathOrRoot>,
    saves: Vec<SavedEdit>,
    /// What is still to be filled.
    fillings: Vec<Filling<'a>>,
    unsynced: Unsynced,
    /// The file system is made of layers: what lies in a lower one moves only after it is copied.
    layered: bool,
}

type TreePathOrRoot = Option<TreePath>;

fn unfit(path: &TreePath, why: impl Into<String>) -> HostError {
    HostError::Unfit { path: path.clone(), why: why.into() }
}

impl<'a> Stager<'a> {
    fn run(mut self) -> Result<Manifest, Halt> {
        let commit = self.commit;
        let actions = || (0u32..).zip(&commit.plan.actions);
        for (number, action) in actions() {
            if let (Some(before), None) = (action.before, action.after) {
                self.take(number, action, before)?;
            }
        }
        for (number, action) in actions() {
            if let Some(after) = action.after {
                self.put(number, action, after)?;
            }
        }
        let (version, from) = self.version()?.unzip();
        let log = self.log()?;
        self.fill()?;
        let record = commit.plan.next.encode();
        self.write(slot::RECORD, &record)?;
        let objects = self.objects()?;
        let Steps { taken, emptied, made, put, .. } = std::mem::take(&mut self.steps);
        let history = serde_json::to_string(&annals::history_line(commit))
            .map_err(|error| failed("write", ".packfleet/history")(error.into()))?;
        let manifest = Manifest {
            generation: commit.plan.next.generation,
            time: commit.now,
            actions: commit.plan.actions.clone(),
            bases: actions().map(|(_, action)| self.base(&action.path)).chain(from).collect(),
            steps: [taken, emptied, made, put].concat(),
            saves: std::mem::take(&mut self.saves),
            prune: commit.plan.prune.clone(),
            record: digest_record(&record),
            version,
            log,
            history,
            objects,
            keep_generations: commit.keep_generations.max(1),
            purpose: commit.plan.purpose.clone(),
        };
        let bytes = manifest.encode();
        self.write(slot::MANIFEST, &bytes)?;
        self.write(slot::UNLOGGED, b"")?;
        let journal = |direction| {
            let manifest_digest = Content::of(&bytes);
            Journal { generation: manifest.generation, manifest: manifest_digest, direction }.encode()
        };
        self.write(slot::JOURNAL, &journal(Direction::Forward))?;
        self.write(slot::UNDO, &journal(Direction::Back))?;
        self.reserve()?;
        self.try_exchange()?;
        self.unsynced.sync(self.stage, self.state).map_err(failed("sync", ".packfleet/stage"))?;
        Ok(manifest)
    }

    fn base(&self, path: &TreePath) -> Option<Entry> {
        self.old.and_then(|old| old.find(path.as_str())).and_then(|line| line.base)
    }

    /// After the commit point it would be too late to learn that there is no exchange here.
    fn try_exchange(&self) -> Result<(), HostError> {
        let means = swap::means(self.stage, slot::JOURNAL, slot::UNDO).map_err(|error| {
            let why = format!("its file system can neither exchange two files nor link them ({error})");
            HostError::Root { root: self.live.ground.at.clone(), why }
        })?;
        features::note(self.state, means).map_err(failed("write", ".packfleet/without"))
    }

    fn write(&mut self, slot: &str, bytes: &[u8]) -> Result<(), HostError> {
        let write = || -> io::Result<File> {
            let mut file = self.stage.create(slot)?;
            file.write_all(bytes)?;
            Ok(file)
        };
        let file = write().map_err(failed("stage", slot))?;
        self.unsynced.add(file);
        Ok(())
    }

    fn look(&mut self, path: &TreePath) -> Result<Sight, Halt> {
        self.live.look(path).map_err(|error| failed("read", path.as_str())(error).into())
    }

    fn take(&mut self, number: u32, action: &Action, before: Entry) -> Result<(), Halt> {
        let sight = self.look(&action.path)?;
        expect(&action.path, &sight.found, Some(before))?;
        self.fit(&action.path, sight.stat.as_ref())?;
        self.save(action, &sight)?;
        let slot = self.steps.slot();
        self.steps.taken.push(Step { slot, deed: Deed::Take(number) });
        Ok(())
    }

    fn fill(&mut self) -> Result<(), HostError> {
        let fillings = std::mem::take(&mut self.fillings);
        filling::fill_all(self.stage, self.blobs, &fillings, &mut self.unsynced)
    }

    fn put(&mut self, number: u32, action: &'a Action, after: Entry) -> Result<(), Halt> {
        let path = &action.path;
        self.way(path)?;
        let sight = if self.in_new_directory(path) { Sight::absent() } else { self.look(path)? };
        let makes_way = sight.found == Found::Directory && action.before.is_none();
        if makes_way {
            self.empty(path)?;
        } else {
            expect(path, &sight.found, action.before)?;
        }
        self.fit(path, sight.stat.as_ref())?;
        self.save(action, &sight)?;
        let slot = self.steps.slot();
        // What comes from another path is to be read by nobody else than there.
        let from = match self.commit.plan.renames.get(path).filter(|_| action.before.is_none()) {
            Some(from) => Some(self.look(from)?),
            None => None,
        };
        let bytes = Bytes::Of(after.content);
        self.content(Slot::Step(slot), path, after.kind, bytes, from.as_ref().unwrap_or(&sight))?;
        let deed = if action.before.is_some() { Deed::Exchange(number) } else { Deed::Create(number) };
        self.steps.put.push(Step { slot, deed });
        Ok(())
    }

    /// Whether its directory is one that will be made: nothing lies there.
    fn in_new_directory(&self, path: &TreePath) -> bool {
        !self.made.is_empty() && path.parent().is_some_and(|parent| self.made.contains_key(&parent))
    }

    fn content(
        &mut self,
        slot: Slot,
        path: &'a TreePath,
        kind: Kind,
        bytes: Bytes<'a>,
        replaced: &Sight,
    ) -> Result<(), HostError> {
        let attributes = match (kind, bytes, &replaced.file, &replaced.stat) {
            (Kind::Link, Bytes::Of(_), _, Some(stat)) if stat.node != Node::Directory => {
                Attributes::Owner(stat.uid, stat.gid)
            }
            (Kind::Link, Bytes::Of(_), ..) => {
                let (uid, gid) = self.inherited(path)?.owner();
                Attributes::Owner(uid, gid)
            }
            (_, _, Some(old), Some(stat)) => Attributes::Replaced(
                Replaced::read(old, stat).map_err(failed("read the attributes of", path.as_str()))?,
            ),
            _ => Attributes::Inherited(self.inherited(path)?),
        };
        self.fillings.push(Filling { slot, path, kind, bytes, attributes });
        if self.fillings.len() < filling::MOST { Ok(()) } else { self.fill() }
    }

    /// What the path's directory passes on.
    fn inherited(&mut self, path: &TreePath) -> Result<Arc<Inherited>, HostError> {
        let parent = path.parent();
        if let Some(made) = parent.as_ref().and_then(|parent| self.made.get(parent)) {
            return Ok(Arc::clone(made));
        }
        if let Some((known, inherited)) = &self.inherited
            && *known == parent
        {
            return Ok(Arc::clone(inherited));
        }
        let inherited = self
            .live
            .parent(path)
            .and_then(|dir| Inherited::read(&dir))
            .map_err(failed("read the attributes of the directory of", path.as_str()))?;
        let inherited = Arc::new(inherited);
        self.inherited = Some((parent, Arc::clone(&inherited)));
        Ok(inherited)
    }

    /// The directories that lead to a path: there, or staged to be made.
    fn way(&mut self, path: &TreePath) -> Result<(), Halt> {
        let parent = path.parent();
        if self.open_way.as_ref() == Some(&parent) {
            return Ok(());
        }
        let ancestors: Vec<TreePath> = path.ancestors().collect();
        for at in ancestors.iter().rev() {
            if self.made.contains_key(at) {
                continue;
            }
            if at.parent().is_some_and(|above| self.made.contains_key(&above)) {
                self.make(at)?;
                continue;
            }
            let stat = match self.live.parent(at).and_then(|dir| dir.stat(at.file_name())) {
                Err(error) if out_of_reach(&error) => None,
                answer => answer.map_err(failed("look at", at.as_str()))?,
            };
            match stat {
                Some(stat) if stat.mount != self.live.ground.mount => {
                    let why = format!("{at} is another mount: what is staged cannot be moved there");
                    return Err(unfit(path, why).into());
                }
                Some(stat) if stat.node == Node::Directory => {}
                Some(_) if !self.taken.contains(at) => {
                    let found = "something that is not a directory".into();
                    return Err(Halt::Moved { path: at.clone(), found });
                }
                _ => {
                    self.fit(at, None)?;
                    self.make(at)?;
                }
            }
        }
        self.open_way = Some(parent);
        Ok(())
    }

    fn make(&mut self, at: &TreePath) -> Result<(), HostError> {
        let inherited = self.inherited(at)?;
        let slot = self.steps.slot();
        let staged = slot::step(slot);
        let make = || -> io::Result<File> {
            self.stage.make_dir(&staged)?;
            self.stage.dir(&staged)?.readable()
        };
        let dir = make().map_err(failed("stage", at.as_str()))?;
        inherited.give_directory(&dir, at)?;
        let inode = stat_file(&dir).map_err(failed("look at the staged", at.as_str()))?.inode;
        self.unsynced.add(dir);
        self.steps.made.push(Step { slot, deed: Deed::MakeDirectory(at.clone(), inode) });
        self.made.insert(at.clone(), inherited);
        Ok(())
    }

    /// A directory that is to make way: it may hold what the plan removes, and directories of such.
    fn empty(&mut self, path: &TreePath) -> Result<(), Halt> {
        let mut found = vec![path.clone()];
        let mut at = 0;
        while let Some(directory) = found.get(at).cloned() {
            at += 1;
            let dir = self.live.ground.root.dir(directory.as_str());
            let dir = dir.map_err(failed("open", directory.as_str()))?;
            dir.may_change()
                .map_err(|error| unfit(&directory, format!("the directory cannot be moved away: {error}")))?;
            for (name, node) in dir.names().map_err(failed("list", directory.as_str()))? {
                let below = std::str::from_utf8(&name)
                    .ok()
                    .and_then(|name| TreePath::new(&format!("{directory}/{name}")).ok());
                match below {
                    Some(below) if node == Node::Directory && self.is_ours(&below) => found.push(below),
                    Some(below) if node != Node::Directory && self.taken.contains(&below) => {}
                    _ => {
                        let what = super::beneath::shown(&name);
                        let found = format!("a directory that holds {what}");
                        return Err(Halt::Moved { path: directory, found });
                    }
                }
            }
        }
        for directory in found.into_iter().rev() {
            self.fit(&directory, None)?;
            let slot = self.steps.slot();
            if self.layered {
                let new = layers::stage_stand_in(&self.live.ground.root, &directory, self.stage, slot)?;
                self.unsynced.add(new);
            }
            self.steps.emptied.push(Step { slot, deed: Deed::TakeDirectory(directory) });
        }
        Ok(())
    }

    fn is_ours(&self, directory: &TreePath) -> bool {
        let recorded = self.old.is_some_and(|old| {
            old.about().directories.contains(directory) || old.below(directory.as_str()).next().is_some()
        });
        recorded || self.taken.iter().any(|taken| taken.is_below(directory))
    }

    /// Whether the entry can be taken out, and another one put in, by renames alone.
    fn fit(&mut self, path: &TreePath, live: Option<&Stat>) -> Result<(), HostError> {
        let parent = path.parent();
        if parent.as_ref().is_some_and(|parent| self.made.contains_key(parent)) {
            return Ok(());
        }
        let dir = self.live.parent(path).map_err(|error| {
            unfit(path, format!("its directory cannot be reached without a link or another mount: {error}"))
        })?;
        if self.fit.as_ref() != Some(&parent) {
            dir.may_change()
                .map_err(|error| unfit(path, format!("nothing can be renamed in its directory: {error}")))?;
            let stat = dir.stat_self().map_err(failed("look at the directory of", path.as_str()))?;
            if stat.frozen {
                return Err(unfit(path, "its directory is immutable or append-only: chattr -i -a"));
            }
            self.fit = Some(parent);
        }
        let Some(live) = live else { return Ok(()) };
        if live.frozen {
            return Err(unfit(path, "it is immutable or append-only: chattr -i -a"));
        }
        if self.layered && matches!(live.node, Node::File | Node::Link) {
            layers::lift(&dir, path, self.stage)?;
        }
        let me = rustix::process::geteuid().as_raw();
        if me != 0 && live.uid != me {
            let stat = dir.stat_self().map_err(failed("look at the directory of", path.as_str()))?;
            if stat.mode & 0o1000 != 0 && stat.uid != me {
                return Err(unfit(path, "it is another user's in a sticky directory"));
            }
        }
        Ok(())
    }

    /// The bytes that an action saves, staged as the edit that they become.
    fn save(&mut self, action: &Action, sight: &Sight) -> Result<(), Halt> {
        let (true, Some(entry)) = (action.save, action.before) else { return Ok(()) };
        let id = match self.saves.last() {
            Some(last) => last.id.saturating_add(1),
            None => Edits::open(self.state)?.map_or(Ok(1), |edits| edits.next_id())?,
        };
        let edit = SavedEdit {
            id,
            path: action.path.clone(),
            pack: Some(action.pack.clone()),
            entry,
            reason: annals::reason(action, &self.commit.plan.purpose).into(),
            generation: self.commit.plan.next.generation,
            time: self.commit.now,
        };
        let live = self.live.parent(&action.path).map_err(failed("read", action.path.as_str()))?;
        let fill = |to: &File| -> io::Result<Content> {
            let mut sink = Sink::of(to);
            match &sight.file {
                Some(file) => {
                    let mut from = file;
                    from.rewind()?;
                    sink.all(file)?;
                }
                None => sink.write_all(&live.link_text(action.path.file_name())?)?,
            }
            Ok(sink.content())
        };
        let write = || -> io::Result<_> {
            self.stage.make_dir(&slot::edit(id))?;
            let dir = self.stage.dir(&slot::edit(id))?;
            Ok((edits::write(&dir, &edit, fill)?, dir.readable()?))
        };
        let ((content, files), dir) = write().map_err(failed("stage the edit of", action.path.as_str()))?;
        if content != entry.content {
            return Err(Halt::Moved { path: action.path.clone(), found: Found::Busy.words() });
        }
        files.into_iter().for_each(|file| self.unsynced.add(file));
        self.unsynced.add(dir);
        self.saves.push(edit);
        Ok(())
    }
}

fn expect(path: &TreePath, found: &Found, before: Option<Entry>) -> Result<(), Halt> {
    if found.is(before) {
        return Ok(());
    }
    Err(Halt::Moved { path: path.clone(), found: found.words() })
}
