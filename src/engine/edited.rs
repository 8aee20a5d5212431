//! What people changed on one host in one pack, in the pack's coordinates.
//!
//! ```text
//! record ─► pin ─► pack tree ─► overlays of fleet.toml ─► before
//! drift  ─► Edited, Conflicted, Missing ─► host's bytes, the pack's values in place of the host's keys ─► target
//! ```
//! Everything is seen from the version that is *recorded*: an edit was made to what was installed, whatever
//! fleet.toml asks for by now. What belongs to the host is left out: paths of `host_owns` never come here, and
//! keys of `host_owns` get the pack's values, so that no host's value leaves it. Files that no pack has come along only where a
//! person names them by path. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::desired::compose::{Laid, Side, laid};
use crate::desired::secrets::{Finding, Fingerprint, Rules, RulesError, scan};
use crate::host::{Host, HostError, Look};
use crate::merge::structured::{Format, keys_of_host};
use crate::model::actual::Seen;
use crate::model::fleet::Deployment;
use crate::model::host_owned::HostOwned;
use crate::model::pack::{Modes, Pack, Pin};
use crate::model::plan::{HoldCause, OverlayFault};
use crate::model::{Content, Entry, Kind, PackName, TreePath};
use crate::plan::{Judged, Standing};
use crate::source::PackSource;

use super::Options;
use super::bases::{Stack, State};
use super::contents::Contents;
use super::guard::unreadable;
use super::pass::NOTHING;
use super::report::Survey;
use super::resolve;
use super::workspace::{LoadError, Workspace};

/// The file with a fleet's own rules for secrets, beside fleet.toml.
const OWN_RULES: &str = ".gitleaks.toml";
/// More entries that no pack has are not looked through for those that a person names.
const MOST_UNMANAGED: usize = 20_000;
/// What makes a name in a pattern stand for others.
const WILD: [char; 5] = ['*', '?', '[', '{', '\\'];

/// Why what people changed cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum EditedError {
    /// The host's answer.
    #[error("{0}")]
    Host(#[source] HostError),
    /// Nothing was ever installed there.
    #[error("{pack} is not recorded on {deployment}: there is no version that edits could be told from")]
    NotRecorded {
        /// The deployment.
        deployment: String,
        /// The pack.
        pack: PackName,
    },
    /// The deployment has no such pack.
    #[error("{deployment} has no pack {pack} in the fleet file")]
    Undeclared {
        /// The deployment.
        deployment: String,
        /// The pack.
        pack: PackName,
    },
    /// The recorded version, or its overlays, are not to be had.
    #[error("{pack} as it is recorded on {deployment}: {why}")]
    Version {
        /// The deployment.
        deployment: String,
        /// The pack.
        pack: PackName,
        /// Why.
        why: String,
    },
    /// Bytes that are not to be had.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// In root coordinates.
        path: TreePath,
        /// Why.
        why: String,
    },
    /// The rules for secrets cannot be used.
    #[error("{OWN_RULES} cannot be used")]
    Rules(#[source] RulesError),
    /// They cannot be read.
    #[error("{0}")]
    Text(#[source] Box<LoadError>),
    /// A pattern that is none.
    #[error("{0:?} is no pattern for paths")]
    Pattern(String),
    /// A pattern that reaches too far.
    #[error("more than {MOST_UNMANAGED} files that no pack has lie below what --path names: name less")]
    TooMany,
}

impl From<HostError> for EditedError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// Which paths are meant.
#[derive(Debug, Clone)]
pub struct Paths {
    patterns: Vec<String>,
    /// The paths themselves, and all below them.
    whole: GlobSet,
    /// The same for paths that end so.
    ends: GlobSet,
}

impl Paths {
    /// Globs over paths beneath the root. One that is a directory means all in it, and of a managed file the end of
    /// its path is enough. None at all means every managed file.
    pub fn new(patterns: &[String]) -> Result<Self, EditedError> {
        let refused = |text: &str| EditedError::Pattern(text.to_owned());
        let glob = |text: &str| GlobBuilder::new(text).literal_separator(true).build();
        let (mut whole, mut ends) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut kept = Vec::new();
        for text in patterns {
            let plain = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
            for text in [plain.to_owned(), format!("{plain}/**")] {
                whole.add(glob(&text).map_err(|_| refused(plain))?);
                ends.add(glob(&format!("**/{text}")).map_err(|_| refused(plain))?);
            }
            kept.push(plain.to_owned());
        }
        let built = |set: GlobSetBuilder| set.build().map_err(|_| refused(&patterns.join(" ")));
        Ok(Self { patterns: kept, whole: built(whole)?, ends: built(ends)? })
    }

    pub(super) fn takes(&self, path: &TreePath) -> bool {
        self.patterns.is_empty() || self.whole.is_match(path.as_str()) || self.ends.is_match(path.as_str())
    }

    fn names(&self, path: &TreePath) -> bool {
        self.whole.is_match(path.as_str())
    }

    /// Whether something below a directory can be named: its names fit those with which a pattern begins.
    fn reach(&self, directory: &TreePath) -> bool {
        self.patterns.iter().any(|pattern| {
            let parts = pattern.split('/').take_while(|part| *part != "**");
            // Behind `**`, and behind the last part of a pattern, everything is named.
            let fits = |(part, name): (&str, &str)| part.contains(WILD) || part == name;
            parts.zip(directory.components()).all(fits)
        })
    }

    /// The directories in which what they name lies: each pattern as far as it has no wildcard.
    fn tops(&self) -> BTreeSet<Option<TreePath>> {
        let top = |text: &String| {
            let literal: Vec<&str> = text.split('/').take_while(|part| !part.contains(WILD)).collect();
            let whole = literal.len() == text.split('/').count();
            TreePath::new(&literal[..literal.len() - usize::from(whole && !literal.is_empty())].join("/"))
                .ok()
        };
        let whole = |text: &String| TreePath::new(text).ok().filter(|_| !text.contains(WILD));
        self.patterns.iter().map(top).chain(self.patterns.iter().map(whole).filter(Option::is_some)).collect()
    }
}

/// One path that differs on the host from what was installed.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    /// In root coordinates.
    pub(super) root: TreePath,
    /// What was installed; `None` for a file that no pack has.
    pub(super) base: Option<Side>,
    /// What the host holds; `None` where it is gone.
    pub(super) target: Option<Side>,
}

/// A path that differs, and of which nothing can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// In root coordinates.
    pub path: TreePath,
    /// Why.
    pub why: String,
}

/// One pack of a deployment, at the version that is recorded, with what people changed.
pub(super) struct EditedPack<'a> {
    pub(super) pack: &'a Pack,
    pub(super) source: &'a dyn PackSource,
    pub(super) pin: Pin,
    pub(super) state: State,
    pub(super) stack: Stack,
    /// What the pack and the overlays of fleet.toml give there, in the pack's coordinates.
    pub(super) before: BTreeMap<TreePath, Laid>,
    /// By path of the pack.
    pub(super) edits: BTreeMap<TreePath, Edit>,
    pub(super) skipped: Vec<Skipped>,
}

impl EditedPack<'_> {
    /// Bytes of the pack or of a base.
    pub(super) fn bytes(&self, content: Content) -> Result<Vec<u8>, String> {
        self.stack.bytes(self.source, &self.state, content)
    }

    /// What a path holds before the edit.
    pub(super) fn side(&self, path: &TreePath, laid: Option<&Laid>) -> Result<Option<Side>, EditedError> {
        let read = |laid: &Laid| laid.side(path, &|content| self.bytes(content));
        laid.map(read)
            .transpose()
            .map_err(|error| EditedError::Unreadable { path: path.clone(), why: error.to_string() })
    }

    /// The pack's own file.
    pub(super) fn own(&self, path: &TreePath) -> Result<Option<Side>, EditedError> {
        let entry = self.state.entries.iter().find(|entry| &entry.path == path);
        let laid = entry.map(|it| Laid { entry: Entry { kind: it.kind, content: it.content }, bytes: None });
        self.side(path, laid.as_ref())
    }

    /// What people call the version.
    pub(super) fn version(&self) -> String {
        let whole = || self.pin.commit.as_ref().map_or_else(|| self.pin.tree.short(), ToString::to_string);
        match semver::Version::parse(&self.pin.version) {
            Ok(version) => version.to_string(),
            // A short commit id may become ambiguous, and a branch moves on: a base must not.
            Err(_) => whole(),
        }
    }
}

/// One look at a deployment: who asks what.
pub(super) struct Looking<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) deployment: &'a Deployment,
    pub(super) survey: &'a Survey,
    pub(super) host: &'a dyn Host,
    pub(super) paths: &'a Paths,
}

impl<'a> Looking<'a> {
    /// Packs in which something differs that is meant, or that a named file would belong to.
    pub(super) fn packs(&self, strangers: &Strangers) -> BTreeSet<PackName> {
        let edited = self.survey.drift.paths.iter().filter(|(path, judged)| {
            is_edit(judged) && self.paths.takes(path) && self.deployment.packs.contains_key(&judged.pack)
        });
        edited.map(|(_, judged)| judged.pack.clone()).chain(strangers.0.keys().cloned()).collect()
    }

    /// What differs in one pack.
    pub(super) fn pack(&self, name: &PackName, strangers: &Strangers) -> Result<EditedPack<'a>, EditedError> {
        let deployment = self.deployment.name.to_string();
        let refused =
            |why: String| EditedError::Version { deployment: deployment.clone(), pack: name.clone(), why };
        let fleet = &self.workspace.fleet;
        let undeclared = || EditedError::Undeclared { deployment: deployment.clone(), pack: name.clone() };
        let pack = fleet.packs.get(name).ok_or_else(undeclared)?;
        let assignment = self.deployment.packs.get(name).ok_or_else(undeclared)?;
        let source = self.workspace.sources.get(&pack.source).ok_or_else(undeclared)?.as_ref();
        let record = self.survey.observation.record.as_ref();
        let not_recorded = || EditedError::NotRecorded { deployment: deployment.clone(), pack: name.clone() };
        let pin = &record.and_then(|record| record.packs.get(name)).ok_or_else(not_recorded)?.pin;
        let held = |cause: HoldCause| match cause {
            HoldCause::Version(text) | HoldCause::Source(text) | HoldCause::Signature(text) => refused(text),
            HoldCause::Overlays { faults, .. } => {
                let say = |fault: &OverlayFault| match &fault.path {
                    Some(path) => format!("overlay {}: {path}: {}", fault.overlay, fault.text),
                    None => fault.text.clone(),
                };
                refused(faults.iter().map(say).collect::<Vec<_>>().join("; "))
            }
            _ => refused("it is held".to_owned()),
        };
        let state = State::read(self.workspace, source, pack, pin.commit.clone())
            .map_err(|error| held(unreadable(error)))?;
        if state.digest != pin.tree {
            let (was, is) = (pin.tree.short(), state.digest.short());
            let why = "its source holds another state by now, and keeps no earlier ones: apply first";
            return Err(refused(format!("{why} (tree {was}, and it is {is} now)")));
        }
        let overlays = resolve::overlays(self.workspace, name, assignment).map_err(held)?;
        let stack =
            Stack::find(self.workspace, source, pack, overlays, &state, &pin.version).map_err(held)?;
        let bytes = |content| stack.bytes(source, &state, content);
        let before = laid(pack, &state.entries, &stack.layers(), &bytes)
            .map_err(|error| refused(format!("its overlays do not lie on it: {error}")))?;
        let mut edited = EditedPack {
            pack,
            source,
            pin: pin.clone(),
            state,
            stack,
            before,
            edits: BTreeMap::new(),
            skipped: Vec::new(),
        };
        self.managed(name, &mut edited)?;
        for (root, entry) in strangers.0.get(name).into_iter().flatten() {
            let Some(path) = pack.install.origin(root) else { continue };
            let target = Some(Side { kind: entry.kind, bytes: self.host.read(root, entry.content)? });
            edited.edits.insert(path, Edit { root: root.clone(), base: None, target });
        }
        Ok(edited)
    }

    fn managed(&self, name: &PackName, edited: &mut EditedPack<'_>) -> Result<(), EditedError> {
        let install = &edited.pack.install;
        let known: BTreeMap<TreePath, TreePath> = edited
            .before
            .keys()
            .chain(edited.state.entries.iter().map(|entry| &entry.path))
            .filter_map(|path| Some((install.place(path)?, path.clone())))
            .collect();
        let contents = Contents::new(self.workspace, self.host, self.survey, NOTHING);
        for (root, judged) in &self.survey.drift.paths {
            if &judged.pack != name || !is_edit(judged) || !self.paths.takes(root) {
                continue;
            }
            let mut skip =
                |why: &str| edited.skipped.push(Skipped { path: root.clone(), why: why.to_owned() });
            let Some(base) = judged.recorded.as_ref().and_then(|recorded| recorded.base) else {
                skip("it is not recorded: what it was made from is not known");
                continue;
            };
            if judged.obstacle().is_some() {
                skip("neither a file nor a link lies there");
                continue;
            }
            let Some(path) = known.get(root).cloned().or_else(|| install.origin(root)) else {
                skip("the pack installs nothing there any more");
                continue;
            };
            let side = |content: Content| contents.find(content);
            let unread = |error: crate::host::BlobError| EditedError::Unreadable {
                path: root.clone(),
                why: error.why,
            };
            let base = Side { kind: base.kind, bytes: side(base.content).map_err(unread)? };
            let target = match judged.actual_entry() {
                None => None,
                Some(entry) => {
                    let mut bytes = self.host.read(root, entry.content)?;
                    if let Some(pointers) = keys(edited.pack, &path) {
                        match without_host_keys(&path, &base.bytes, &bytes, pointers) {
                            Some(plain) => bytes = plain,
                            None => {
                                skip("keys of it are the host's, and it cannot be understood without them");
                                continue;
                            }
                        }
                    }
                    let kind = match (edited.pack.modes, entry.kind) {
                        (Modes::Ignore, Kind::File | Kind::Exec) if base.kind != Kind::Link => {
                            edited.before.get(&path).map_or(base.kind, |laid| laid.entry.kind)
                        }
                        (_, kind) => kind,
                    };
                    Some(Side { kind, bytes })
                }
            };
            if target.as_ref() != Some(&base) {
                edited.edits.insert(path, Edit { root: root.clone(), base: Some(base), target });
            }
        }
        Ok(())
    }
}

/// Whether a path holds something that a person made of it.
fn is_edit(judged: &Judged) -> bool {
    matches!(judged.standing, Standing::Edited | Standing::Conflicted | Standing::Missing)
}

/// The host's keys of a file of a pack.
fn keys<'p>(pack: &'p Pack, path: &TreePath) -> Option<&'p [String]> {
    pack.host_keys.iter().find(|keys| &keys.file == path).map(|keys| keys.keys.as_slice())
}

/// The host's text with the pack's values of the host's keys.
fn without_host_keys(path: &TreePath, packs: &[u8], hosts: &[u8], pointers: &[String]) -> Option<Vec<u8>> {
    let (packs, hosts) = (std::str::from_utf8(packs).ok()?, std::str::from_utf8(hosts).ok()?);
    keys_of_host(Format::of(path)?, packs, hosts, pointers).ok().map(String::into_bytes)
}

/// Files that no pack has and that a person named, by the pack that would install them there.
#[derive(Debug, Default)]
pub(super) struct Strangers(BTreeMap<PackName, BTreeMap<TreePath, Entry>>);

impl Strangers {
    /// Looks for them. Nothing is looked for where no path is named.
    pub(super) fn find(looking: &Looking<'_>, options: &Options) -> Result<Self, EditedError> {
        let Looking { workspace, deployment, survey, host, paths } = looking;
        let mut found = Self::default();
        if paths.patterns.is_empty() {
            return Ok(found);
        }
        let fleet = &workspace.fleet;
        let mut look = Look {
            fleet: fleet.name.clone(),
            deployment: deployment.name.clone(),
            paths: survey.drift.paths.keys().cloned().collect(),
            list: Vec::new(),
            trust: options.trust,
            version_file: fleet.version_file.clone(),
        };
        let packs: Vec<(&Pack, HostOwned)> = deployment
            .packs
            .keys()
            .filter_map(|name| fleet.packs.get(name))
            .map(|pack| (pack, HostOwned::new(&pack.install, &pack.host_owns)))
            .collect();
        let owned = |path: &TreePath| packs.iter().any(|(_, owned)| owned.owns(path));
        let own = [&fleet.version_file, &fleet.sync_log];
        let mut named = BTreeSet::new();
        let mut seen = 0;
        let mut waiting = paths.tops();
        let mut done = BTreeSet::new();
        while let Some(directory) = waiting.pop_first() {
            if !done.insert(directory.clone()) {
                continue;
            }
            look.list = vec![directory];
            for entry in host.observe(&look)?.actual.unmanaged {
                seen += 1;
                if seen > MOST_UNMANAGED {
                    return Err(EditedError::TooMany);
                }
                let Ok(path) = TreePath::new(entry.trim_end_matches('/')) else { continue };
                if owned(&path) || own.into_iter().flatten().any(|own| own == &path) {
                    continue;
                }
                if entry.ends_with('/') {
                    if !paths.reach(&path) {
                        continue;
                    }
                    waiting.insert(Some(path));
                } else if paths.names(&path) {
                    named.insert(path);
                }
            }
        }
        let places: BTreeMap<TreePath, PackName> = named
            .into_iter()
            .filter_map(|path| {
                let covers = |pack: &&(&Pack, HostOwned)| pack.0.install.origin(&path).is_some();
                let pack = packs.iter().filter(covers).max_by_key(|(pack, _)| {
                    let depth = pack.install.0.iter().filter_map(|line| line.to.as_ref());
                    depth.filter(|to| path.is_below(to) || &path == *to).map(|to| to.as_str().len()).max()
                });
                Some((path.clone(), pack?.0.name.clone()))
            })
            .collect();
        look.list = Vec::new();
        look.paths = places.keys().cloned().collect();
        if look.paths.is_empty() {
            return Ok(found);
        }
        let actual = host.observe(&look)?.actual;
        for (path, pack) in places {
            if let Some(Seen::Entry(entry)) = actual.paths.get(&path) {
                found.0.entry(pack).or_default().insert(path, *entry);
            }
        }
        Ok(found)
    }
}

/// A secret in a file that is about to leave a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// The pack.
    pub pack: PackName,
    /// In root coordinates.
    pub path: TreePath,
    /// What was found, by line of the host's file.
    pub finding: Finding,
}

/// The rules of a fleet: packfleet's own and those of its `.gitleaks.toml`.
pub(super) fn rules(workspace: &Workspace) -> Result<Rules, EditedError> {
    let path = TreePath::new(OWN_RULES).map_err(|_| EditedError::Pattern(OWN_RULES.to_owned()))?;
    let text = match workspace.read(&path) {
        Ok(text) => Some(text),
        Err(LoadError::Read { source, .. } | LoadError::Snapped { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            None
        }
        Err(error) => return Err(EditedError::Text(Box::new(error))),
    };
    Rules::new(text.as_deref()).map_err(EditedError::Rules)
}

/// Secrets that `target` holds and `before` does not, and that nobody allowed.
pub(super) fn leaks(
    path: &TreePath,
    before: Option<&Side>,
    target: Option<&Side>,
    rules: &Rules,
    allowed: &BTreeSet<Fingerprint>,
) -> Vec<Finding> {
    let Some(target) = target else { return Vec::new() };
    let known: BTreeSet<Fingerprint> = before
        .map(|before| scan(path.as_str(), &before.bytes, rules))
        .into_iter()
        .flatten()
        .map(|finding| finding.fingerprint)
        .collect();
    let mut found = scan(path.as_str(), &target.bytes, rules);
    found.retain(|it| !known.contains(&it.fingerprint) && !allowed.contains(&it.fingerprint));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named() {
        let path = |text: &str| TreePath::new(text).unwrap();
        for (pattern, at, takes, names) in [
            ("Server.ts", "a/b/Server.ts", true, false),
            ("Server.ts", "Server.ts", true, true),
            ("a/b", "a/b/c/d", true, true),
            ("./a/b/", "a/b/c", true, true),
            ("b/*.ts", "a/b/x.ts", true, false),
            ("a/*.ts", "a/b/x.ts", false, false),
            ("a/**/x.ts", "a/b/c/x.ts", true, true),
            ("x", "a/xy", false, false),
        ] {
            let paths = Paths::new(&[pattern.to_owned()]).unwrap();
            assert_eq!((paths.takes(&path(at)), paths.names(&path(at))), (takes, names), "{pattern} {at}");
        }
        for (pattern, directory, reach) in [
            ("a/b/c", "a/b", true),
            ("a/b/c", "a/x", false),
            ("a/b", "a/b/c/d", true),
            ("a/**/z", "a/q/r", true),
            ("**", "q", true),
            ("a/*/c", "a/q", true),
            ("a/*/c", "a/q/d", false),
            ("c.ts", "a", false),
        ] {
            let paths = Paths::new(&[pattern.to_owned()]).unwrap();
            assert_eq!(paths.reach(&path(directory)), reach, "{pattern} {directory}");
        }
        let tops = |pattern: &str| -> Vec<String> {
            let tops = Paths::new(&[pattern.to_owned()]).unwrap().tops();
            tops.into_iter().map(|top| top.map_or(".".into(), |top| top.to_string())).collect()
        };
        assert_eq!(tops("a/b/*.ts"), ["a/b"]);
        assert_eq!(tops("a/b"), ["a", "a/b"]);
        assert_eq!(tops("*.ts"), ["."]);
        assert!(Paths::new(&["[".to_owned()]).is_err());
        assert!(Paths::new(&[]).unwrap().takes(&path("a")));
    }
}
