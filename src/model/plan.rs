//! The plan: what will be done to one deployment, decided before anything is touched.
//!
//! A plan is immutable and complete. The executor carries out `actions` in their order, checks each
//! `before`, and commits `next`; it decides nothing. The id covers what a reviewer agreed to: it holds
//! no time and no fleet commit, so the same decision has the same id wherever it is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::pack::CommitId;
use super::record::Record;
use super::{Content, DesiredDigest, Entry, OverlayName, PackName, PlanId, RecordDigest, TreePath};

/// The version of what goes into a plan id.
pub const FORMAT: u32 = 1;

/// Why an action is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Not there yet.
    Create,
    /// There as recorded; Desired moved on.
    Upgrade,
    /// An edit and an upgrade, merged cleanly.
    Merge,
    /// Was deleted on the host; the policy restores.
    Restore,
    /// Was edited on the host; the policy reverts. The edit is saved.
    Revert,
    /// No longer desired.
    Remove,
    /// A person decided.
    Resolve,
    /// Taken back.
    Rollback,
    /// Upstream renamed a file that was edited: the edit goes along.
    Rename,
}

/// One step on one path. `before` and `after` differ; `None` is absence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Where, in root coordinates.
    pub path: TreePath,
    /// The pack that owns the path.
    pub pack: PackName,
    /// What must come out when the switch looks.
    pub before: Option<Entry>,
    /// What will be there.
    pub after: Option<Entry>,
    /// Why.
    pub cause: Cause,
    /// What comes out is a person's work: it becomes a saved edit.
    pub save: bool,
}

/// What the planner refused to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hold {
    /// The pack that is held; `None` holds the deployment.
    pub pack: Option<PackName>,
    /// The path at fault, in root coordinates, where there is one.
    pub path: Option<TreePath>,
    /// Why, with what is needed to explain it.
    pub cause: HoldCause,
}

/// What lies on the host where a file or link was expected or is to be put.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Obstacle {
    /// A directory; `foreign` names one thing in it that packfleet does not manage.
    Directory {
        /// An entry that would have to go, if there is one.
        foreign: Option<String>,
    },
    /// A FIFO, socket or device; never opened.
    Special(String),
    /// An ancestor of the path is no directory (a link, a file), or lies on another mount.
    Ancestor {
        /// The ancestor.
        at: TreePath,
        /// What it is: `symlink`, `file`, `mount`, …
        what: String,
    },
    /// It could not be read; that is not absence.
    Unreadable(String),
    /// It changed while it was read, twice.
    Busy,
}

/// How two sides conflict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Conflict {
    /// Both changed the same lines; the first one's number in the host's file, counted from 1, and
    /// how many places conflict.
    Text {
        /// Line in the host's file.
        line: u64,
        /// Number of conflicting places.
        places: u64,
    },
    /// Not text: nothing to merge line by line.
    Binary,
    /// One of the sides is a link, or both changed the kind differently.
    Kind,
    /// A file that is not packfleet's lies where the pack installs one.
    NotOurs,
    /// Upstream deleted what was edited on the host.
    UpstreamDeleted,
    /// The pack of what was edited on the host is to be removed.
    Dropped,
    /// The host deleted or replaced what upstream changed, and nothing can be merged.
    HostDeleted,
    /// More than 50,000 lines or 8 MiB.
    TooLarge,
    /// The base's bytes are not to be found.
    NoBase,
    /// Something lies at the path to which upstream renamed the file.
    Occupied,
    /// Upstream renamed the file to a path that is the host's.
    HostsPath,
    /// The file is another pack's now.
    OtherPack(PackName),
    /// Edited, and not there at the generation to which a rollback goes.
    NotThen {
        /// That generation.
        generation: u64,
    },
}

/// What is wrong with an overlay on a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OverlayFault {
    /// The overlay.
    pub overlay: OverlayName,
    /// The path at fault, as the overlay has it, in the pack's coordinates, where there is one.
    pub path: Option<TreePath>,
    /// What is wrong; names the overlay if there is no path.
    pub text: String,
    /// What clears it.
    pub next: OverlayStep,
}

/// What a person does about an overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OverlayStep {
    /// Carry it to the version.
    Rebase,
    /// Finish what was carried.
    Finish,
    /// Correct its files.
    Correct,
}

/// Why something is held. Every cause has one next step, which the reports print.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HoldCause {
    /// Base, host and pack all differ and do not merge.
    Conflict {
        /// Recorded.
        base: Option<Entry>,
        /// On the host.
        actual: Option<Entry>,
        /// Of the pack; where it renamed the file, at its new path.
        desired: Option<Entry>,
        /// Where the pack has the file now, if it renamed it.
        renamed: Option<TreePath>,
        /// What stands against a merge.
        conflict: Box<Conflict>,
    },
    /// Something else than a file or link is in the way.
    Obstructed(Obstacle),
    /// A path above or below is held or not packfleet's.
    Nested {
        /// That path.
        by: TreePath,
    },
    /// A pack that this one requires (or, on removal, that requires this one) is held.
    Requires {
        /// That pack.
        pack: PackName,
    },
    /// A path moves between this pack and another one, which is held.
    Tied {
        /// That pack.
        pack: PackName,
    },
    /// The version cannot be used; Desired stays at the recorded pin. The text names what was found.
    Version(String),
    /// A move to a new major version that no edit of the requirement asked for.
    Major {
        /// The version on record.
        from: String,
        /// The version that the requirement leads to now.
        to: String,
        /// The requirement, as it prints.
        requirement: String,
        /// What the pack's CHANGELOG says between the two; lines about breaking changes begin with `!`.
        changelog: Vec<String>,
    },
    /// Overlays cannot be laid on a version; Desired stays at the recorded pin.
    Overlays {
        /// All that is wrong with them, in their order.
        faults: Vec<OverlayFault>,
        /// The version, as people call it.
        to: String,
    },
    /// A command of `check` did not succeed in a private copy of the new tree; Desired stays at what is
    /// recorded.
    Check {
        /// The command.
        command: String,
        /// How it ended.
        why: String,
        /// The end of what it printed.
        output: String,
    },
    /// Not signed as `signed_by` demands: refused by policy.
    Signature(String),
    /// The source could not be reached or read; Desired stays at the recorded pin.
    Source(String),
    /// Rolled back here, not to come back by itself.
    Rejected {
        /// What fleet.toml gives; `None` is absence.
        desired: Option<DesiredDigest>,
        /// The generation that stands instead.
        restored: u64,
    },
    /// Larger than the budget allows: refused by policy.
    Budget {
        /// `max_delete` or `max_change`.
        limit: String,
        /// Files that would be deleted or changed.
        files: u64,
        /// Files on record.
        of: u64,
        /// Percent allowed.
        percent: u8,
        /// What to put into `budget.consent`: `pack@from..to`.
        consent: String,
    },
    /// The root was there before, and is gone: all would be installed anew.
    Gone {
        /// The generation that was seen last.
        generation: u64,
    },
}

impl HoldCause {
    /// Refused by policy (exit 4) rather than held for a person (exit 3).
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Budget { .. } | Self::Signature(_))
    }
}

/// What a generation is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Converge to Desired.
    Sync,
    /// Go back to an earlier generation.
    Rollback {
        /// The generation whose Desired is restored.
        to: u64,
    },
    /// Record a decision.
    Resolve,
    /// Forget rejections.
    Retry,
    /// Put a saved edit back.
    RestoreEdit,
    /// Record what lies on a host that was filled by hand.
    Adopt,
    /// Begin a pause; makes no generation.
    Pause,
    /// End a pause; makes no generation.
    Resume,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync => f.write_str("sync"),
            Self::Rollback { to } => write!(f, "rollback to generation {to}"),
            Self::Resolve => f.write_str("resolve"),
            Self::Retry => f.write_str("retry"),
            Self::RestoreEdit => f.write_str("restore edit"),
            Self::Adopt => f.write_str("adopt"),
            Self::Pause => f.write_str("pause"),
            Self::Resume => f.write_str("resume"),
        }
    }
}

/// The immutable decision for one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it is for.
    pub purpose: Purpose,
    /// The generation it starts from; 0 if there is none.
    pub generation: u64,
    /// The record it starts from; `None` if there is none.
    pub record: Option<RecordDigest>,
    /// Steps, in the order in which they are carried out.
    pub actions: Vec<Action>,
    /// Paths that are put with what a person made of the file while it lay elsewhere, and that other path, which
    /// is removed: owner, mode and the like come from there.
    pub renames: BTreeMap<TreePath, TreePath>,
    /// What is not done, sorted.
    pub holds: Vec<Hold>,
    /// Directories to remove if they are empty once all removals are done, deepest first, and before
    /// anything is put: those of packfleet's making, and any in whose place a file is put.
    pub prune: Vec<TreePath>,
    /// The record to commit; its generation is `generation + 1`.
    pub next: Record,
    /// Whether there is anything to commit: actions, or a record that says something new.
    pub commits: bool,
}

impl Plan {
    /// The id: BLAKE3 of format, deployment, generation, record, actions sorted by path, and holds.
    pub fn id(&self) -> PlanId {
        let mut actions: Vec<_> = self.actions.iter().map(|a| (&a.path, a.before, a.after)).collect();
        actions.sort_by(|a, b| a.0.cmp(b.0));
        let seen = (FORMAT, &self.next.deployment, self.generation, self.record, actions, &self.holds);
        let bytes = postcard::to_stdvec(&seen).expect("plain values serialise into memory");
        let mut hasher = blake3::Hasher::new_derive_key("packfleet plan v1");
        hasher.update(&bytes);
        PlanId::from_bytes(*hasher.finalize().as_bytes())
    }

    /// All bytes that carrying it out needs: of puts, of the object store, of decisions.
    pub fn contents(&self) -> BTreeSet<Content> {
        let puts = self.actions.iter().filter_map(|action| action.after.map(|entry| entry.content));
        puts.chain(self.next.kept_contents()).collect()
    }

    /// Contents that the host's object store must hold once this plan is carried out: those of its record, and
    /// what was put without being the base, such as a merge. No source has those, and an edit made on top of
    /// one is merged with it when its generation is undone. `held` says whether the store holds a content now:
    /// what an earlier generation put is kept while it stands.
    pub fn kept_contents<E>(
        &self,
        mut held: impl FnMut(Content) -> Result<bool, E>,
    ) -> Result<BTreeSet<Content>, E> {
        let mut kept: BTreeSet<Content> = self.next.kept_contents().collect();
        let put: BTreeSet<(&TreePath, Entry)> =
            self.actions.iter().filter_map(|action| Some((&action.path, action.after?))).collect();
        // What is left in a rest is as its base is.
        for (path, recorded) in &self.next.entries {
            let (Some(base), Some(written)) = (recorded.base, recorded.written) else { continue };
            if written.content != base.content && (put.contains(&(path, written)) || held(written.content)?) {
                kept.insert(written.content);
            }
        }
        Ok(kept)
    }
}

impl Record {
    /// Contents that the host's object store must hold while this record stands: bases whose bytes no
    /// commit has, and files that decisions put.
    pub fn kept_contents(&self) -> impl Iterator<Item = Content> + '_ {
        // Where all bytes are found in commits, as they mostly are, there is no need to go through the rest.
        let rest = self.rest.iter().filter(|rest| !rest.packed().is_in_commits());
        let rest = rest.flat_map(|rest| rest.lines(self)).filter(|line| line.commit.is_none());
        let rest = rest.filter_map(|line| line.base.map(|base| base.content));
        let bases = self
            .entries
            .values()
            .filter(|recorded| recorded.commit.is_none())
            .filter_map(|recorded| recorded.base.map(|base| base.content));
        let files = self.decisions.values().filter_map(|decision| match decision.take {
            super::record::Take::File(content) => Some(content),
            _ => None,
        });
        bases.chain(rest).chain(files)
    }

    /// Commits in which bases are found: what a mirror must keep reachable for this host.
    pub fn commits(&self) -> BTreeSet<CommitId> {
        let pins = self.packs.values().filter_map(|pack| pack.pin.commit.clone());
        pins.chain(self.lines().filter_map(|line| line.commit.cloned())).collect()
    }
}
