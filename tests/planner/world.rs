//! One deployment as text: what is recorded, what lies there, what fleet.toml gives.
//!
//! ```text
//! record slack 1 a=one b=two~edited c=!mark     base, base and what was left, host-owned mark
//! desired slack 2 requires:core a=ONE run=x* l=@to
//! held slack version                            the version cannot be used
//! host a=one d/ p=%fifo                         file, empty directory, something else
//! write d=one                                   the same, by a person who clears the way first
//! pass                                          what is planned is carried out, unseen
//! rollback to 1 pack slack                      the plan to come is that one; `to 1` by default one back
//! letters                                       contents merge letter by letter, with the real merge
//! ```
//! `*` is the exec bit, `@` a link, `^` bytes of no commit, `#1` bytes of another version's commit.

use std::collections::{BTreeMap, BTreeSet};

use packfleet::host::Generation;
use packfleet::model::desired::{Desired, DesiredEntry, DesiredPack, Resolution, pack_digest};
use packfleet::model::fleet::*;
use packfleet::model::host_owned::HostOwned;
use packfleet::model::pack::*;
use packfleet::model::plan::{Conflict, HoldCause};
use packfleet::model::record::*;
use packfleet::model::*;
use packfleet::plan::verdict::MergeAnswer;

use crate::laws;

/// What a rollback is asked for.
#[derive(Debug, Clone)]
pub struct Back {
    pub to: Option<u64>,
    pub only: Option<PackName>,
}

/// How contents merge that the story gives no answer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// By their names: `{a+b}`.
    Names,
    /// As text, a letter a line.
    Letters,
}

/// Something at a path of the simulated host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File(Entry),
    Special,
    Unreadable,
    Busy,
}

/// Everything that a plan is made from, and the names of all contents.
#[derive(Debug, Clone)]
pub struct World {
    pub fleet: FleetName,
    pub deployment: Deployment,
    pub budget: Budget,
    pub record: Option<Record>,
    pub desired: Desired,
    pub tree: BTreeMap<TreePath, Node>,
    pub directories: BTreeSet<TreePath>,
    pub answers: BTreeMap<TreePath, MergeAnswer>,
    pub names: BTreeMap<Content, String>,
    pub commits: BTreeMap<CommitId, String>,
    /// The version that a digest was first given as.
    pub digests: BTreeMap<DesiredDigest, String>,
    /// Oldest first.
    pub generations: Vec<Generation>,
    /// What people can have back.
    pub saved: BTreeSet<(TreePath, Entry)>,
    /// The next plan is a rollback.
    pub back: Option<Back>,
    pub merging: Merging,
}

/// A digest of nothing that a story tells of.
const OTHER: DesiredDigest = DesiredDigest::from_bytes([7; 32]);

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn pack_name(text: &str) -> PackName {
    text.parse().expect("a name")
}

impl World {
    pub fn empty() -> Self {
        let deployment = Deployment {
            name: "home".parse().expect("a name"),
            host: HostAddress::Local,
            root: HostPath::new("/opt").expect("a root"),
            location: None,
            labels: BTreeSet::new(),
            mode: Mode::Converge,
            state: State::Present,
            depends_on: BTreeSet::new(),
            packs: BTreeMap::new(),
            edits: Edits::default(),
            health: BTreeMap::new(),
            pause: None,
            window: None,
        };
        World {
            fleet: "fleet".parse().expect("a name"),
            deployment,
            budget: Budget { max_delete: 100, max_change: 100, consent: Vec::new() },
            record: None,
            desired: Desired::default(),
            tree: BTreeMap::new(),
            directories: BTreeSet::new(),
            answers: BTreeMap::new(),
            names: BTreeMap::new(),
            commits: BTreeMap::new(),
            digests: [(OTHER, "other".to_owned())].into(),
            generations: Vec::new(),
            saved: BTreeSet::new(),
            back: None,
            merging: Merging::Names,
        }
    }

    /// Reads one of the lines above.
    pub fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["record", name, version, rest @ ..] => self.record_pack(name, version, rest),
            ["desired", name, version, rest @ ..] => self.desire(name, version, rest),
            ["drop", name] => {
                self.desired.packs.remove(*name);
                self.deployment.packs.remove(*name);
            }
            ["held", name, cause, rest @ ..] => {
                let cause = match *cause {
                    "version" => HoldCause::Version("moved tag".into()),
                    _ => HoldCause::Source("unreachable".into()),
                };
                let pack = self.recorded_pack(name, "0", rest);
                self.desired.packs.insert(pack_name(name), Resolution::Held(cause));
                self.assign(name, pack.edits);
            }
            ["host", rest @ ..] => rest.iter().for_each(|item| self.host(item)),
            ["write", item] => self.write(item),
            ["retry"] => self.known().rejected.clear(),
            ["pass"] => {
                laws::step(self);
            }
            ["rollback", rest @ ..] => {
                let after = |word| rest.chunks(2).find(|pair| pair[0] == word).map(|pair| pair[1]);
                let to = after("to").map(|to| to.parse().expect("a generation"));
                self.back = Some(Back { to, only: after("pack").map(pack_name) });
            }
            ["letters"] => self.merging = Merging::Letters,
            ["dirs", rest @ ..] => {
                self.known().directories.extend(rest.iter().map(|text| path(text)));
            }
            ["rejected", name, restored, digests @ ..] => {
                let digest = |text: &&str| match *text {
                    "absent" => None,
                    "given" => match self.desired.packs.get(*name) {
                        Some(Resolution::Pinned(pack)) => Some(pack.recorded.desired),
                        _ => None,
                    },
                    _ => Some(OTHER),
                };
                let digests = digests.iter().map(digest).collect();
                let restored = restored.parse().expect("a generation");
                self.known().rejected.insert(pack_name(name), Rejection { digests, restored });
            }
            ["decide", at, take, bound @ ..] => self.decide(at, take, bound),
            ["merge", at, "conflict"] => {
                let conflict = Conflict::Text { line: 1, places: 1 };
                self.answers.insert(path(at), MergeAnswer::Conflict(conflict));
            }
            ["merge", at, content] => {
                let content = self.content(content);
                self.answers.insert(path(at), MergeAnswer::Clean(content));
            }
            ["state", "absent"] => {
                self.deployment.state = State::Absent;
                self.deployment.packs.clear();
                self.desired.packs.clear();
            }
            ["policy", edits] => self.deployment.edits = parse_edits(edits),
            ["budget", limits @ ..] => limits.iter().for_each(|limit| self.limit(limit)),
            _ => panic!("what does {line:?} mean?"),
        }
    }

    pub fn known(&mut self) -> &mut Record {
        let empty =
            Record::empty(self.fleet.clone(), self.deployment.name.clone(), self.deployment.root.clone());
        self.record.get_or_insert(Record { generation: 1, ..empty })
    }

    pub fn content(&mut self, text: &str) -> Content {
        let content = Content::of(text.as_bytes());
        self.names.insert(content, text.to_owned());
        content
    }

    /// `text`, `text*`, `@text`; `-` is absence.
    pub fn entry(&mut self, text: &str) -> Option<Entry> {
        let (kind, text) = match (text.strip_prefix('@'), text.strip_suffix('*')) {
            (Some(text), _) => (Kind::Link, text),
            (_, Some(text)) => (Kind::Exec, text),
            _ => (Kind::File, text),
        };
        (text != "-").then(|| Entry { kind, content: self.content(text) })
    }

    pub fn commit(&mut self, pack: &str, version: &str) -> CommitId {
        let digits = Content::of(format!("{pack} {version}").as_bytes()).to_string();
        let commit = CommitId::new(&digits[..40]).expect("40 digits");
        self.commits.insert(commit.clone(), version.to_owned());
        commit
    }

    /// The commit of an item, and the item without its mark.
    fn commit_of<'a>(&mut self, pack: &str, version: &str, item: &'a str) -> (Option<CommitId>, &'a str) {
        match (item.strip_suffix('^'), item.split_once('#')) {
            (Some(item), _) => (None, item),
            (_, Some((item, version))) => (Some(self.commit(pack, version)), item),
            _ => (Some(self.commit(pack, version)), item),
        }
    }

    fn recorded_pack(&mut self, name: &str, version: &str, words: &[&str]) -> RecordedPack {
        let mut pack = RecordedPack {
            pin: Pin {
                version: version.to_owned(),
                found_by: format!("v{version}"),
                commit: Some(self.commit(name, version)),
                tree: TreeDigest::from_bytes(*Content::of(version.as_bytes()).as_bytes()),
            },
            requirement: format!("tag v{version}"),
            source: "packs".parse().expect("a name"),
            overlays: Vec::new(),
            desired: DesiredDigest::from_bytes([0; 32]),
            requires: Vec::new(),
            install: InstallMap(vec![Install { from: None, to: None }]),
            host_owns: Vec::new(),
            host_keys: Vec::new(),
            modes: Modes::ExecBit,
            atomic: true,
            edits: Edits::default(),
            version_key: format!("{name}_version"),
            features: Vec::new(),
        };
        for word in words {
            match word.split_once(':') {
                None if *word == "nonatomic" => pack.atomic = false,
                Some(("requires", names)) => pack.requires = names.split(',').map(pack_name).collect(),
                Some(("owns", patterns)) => {
                    pack.host_owns = patterns.split(',').map(str::to_owned).collect();
                }
                Some(("edits", edits)) => pack.edits = parse_edits(edits),
                Some(("modes", "ignore")) => pack.modes = Modes::Ignore,
                Some(("feature", name)) => pack.features.push(name.to_owned()),
                _ if word.contains('=') => {}
                _ => panic!("what does {word:?} mean?"),
            }
        }
        pack
    }

    fn record_pack(&mut self, name: &str, version: &str, words: &[&str]) {
        let mut pack = self.recorded_pack(name, version, words);
        let mut tree = BTreeMap::new();
        for (at, item) in words.iter().filter_map(|word| word.split_once('=')) {
            let (commit, item) = self.commit_of(name, version, item);
            let (base, written) = match (item.strip_prefix('!'), item.split_once('~')) {
                (Some(mark), _) => (None, self.entry(mark)),
                (_, Some((base, written))) => (self.entry(base), self.entry(written)),
                _ => (self.entry(item), self.entry(item)),
            };
            if let Some(entry) = base.or(written) {
                let host_owned = base.is_none();
                tree.insert(path(at), DesiredEntry { entry, host_owned, commit: commit.clone() });
            }
            let owner = pack_name(name);
            self.known().entries.insert(path(at), Recorded { owner, base, written, commit });
        }
        pack.desired = pack_digest(&tree);
        self.digests.entry(pack.desired).or_insert_with(|| version.to_owned());
        self.known().packs.insert(pack_name(name), pack);
    }

    fn desire(&mut self, name: &str, version: &str, words: &[&str]) {
        let mut recorded = self.recorded_pack(name, version, words);
        let owned = HostOwned::new(&recorded.install, &recorded.host_owns);
        let mut entries = BTreeMap::new();
        for (at, item) in words.iter().filter_map(|word| word.split_once('=')) {
            let (commit, item) = self.commit_of(name, version, item);
            let entry = self.entry(item).expect("what is desired is there");
            let host_owned = owned.owns(&path(at));
            entries.insert(path(at), DesiredEntry { entry, host_owned, commit });
        }
        recorded.desired = pack_digest(&entries);
        self.digests.entry(recorded.desired).or_insert_with(|| version.to_owned());
        self.assign(name, recorded.edits);
        let pack = Resolution::Pinned(Box::new(DesiredPack { recorded, entries: entries.into() }));
        self.desired.packs.insert(pack_name(name), pack);
    }

    fn assign(&mut self, name: &str, edits: Edits) {
        let assignment = Assignment {
            requirement: Requirement::Branch("main".into()),
            follow: false,
            overlays: Vec::new(),
            features: Vec::new(),
            edits,
        };
        self.deployment.packs.insert(pack_name(name), assignment);
    }

    pub fn host(&mut self, item: &str) {
        if let Some(directory) = item.strip_suffix('/') {
            self.directories.insert(path(directory));
            self.directories.extend(path(directory).ancestors());
            return;
        }
        let (at, text) = item.split_once('=').expect("path=content");
        let node = match text {
            "%fifo" => Some(Node::Special),
            "%unreadable" => Some(Node::Unreadable),
            "%busy" => Some(Node::Busy),
            _ => self.entry(text).map(Node::File),
        };
        match node {
            Some(node) => {
                self.directories.extend(path(at).ancestors());
                self.tree.insert(path(at), node);
            }
            None => {
                self.tree.remove(at);
            }
        }
    }

    /// What a person does who wants a file there: whatever is in the way goes.
    fn write(&mut self, item: &str) {
        let at = path(item.split('=').next().unwrap_or(item).trim_end_matches('/'));
        let above: BTreeSet<TreePath> = at.ancestors().collect();
        self.tree.retain(|path, _| !path.is_below(&at) && *path != at && !above.contains(path));
        self.directories.retain(|path| !path.is_below(&at) && *path != at);
        self.host(item);
    }

    fn decide(&mut self, at: &str, take: &str, bound: &[&str]) {
        let at = path(at);
        let mut actual = match self.tree.get(&at) {
            Some(Node::File(entry)) => Some(*entry),
            _ => None,
        };
        let mut desired = self.desired.packs.values().find_map(|resolution| match resolution {
            Resolution::Pinned(pack) => pack.entries.get(&at).map(|desired| desired.entry),
            Resolution::Held(_) => None,
        });
        for word in bound {
            match word.split_once(':') {
                Some(("actual", text)) => actual = self.entry(text),
                Some(("desired", text)) => desired = self.entry(text),
                _ => panic!("what does {word:?} mean?"),
            }
        }
        let take = match take.split_once(':') {
            Some(("file", text)) => Take::File(self.content(text)),
            None if take == "local" => Take::Local,
            None if take == "pack" => Take::Pack,
            _ => panic!("what does {take:?} mean?"),
        };
        self.known().decisions.insert(at, Decision { actual, desired, take });
    }

    fn limit(&mut self, limit: &str) {
        match limit.split_once(':') {
            Some(("delete", percent)) => self.budget.max_delete = percent.parse().expect("percent"),
            Some(("change", percent)) => self.budget.max_change = percent.parse().expect("percent"),
            Some(("consent", text)) => {
                let (pack, moves) = text.split_once('@').expect("pack@from..to");
                let (from, to) = moves.split_once("..").expect("from..to");
                let consent = Consent { pack: pack_name(pack), from: from.into(), to: to.into() };
                self.budget.consent.push(consent);
            }
            _ => panic!("what does {limit:?} mean?"),
        }
    }
}

/// `merge`, `keep`, `revert`, each perhaps followed by `/keep` or `/restore` for deletions.
pub fn parse_edits(text: &str) -> Edits {
    let (changed, deleted) = text.split_once('/').unwrap_or((text, "restore"));
    let changed = match changed {
        "merge" => Changed::Merge,
        "keep" => Changed::Keep,
        "revert" => Changed::Revert,
        _ => panic!("what does {text:?} mean?"),
    };
    Edits { changed, deleted: if deleted == "keep" { Deleted::Keep } else { Deleted::Restore } }
}
