//! A root that was filled by hand: which version of each pack is nearest to what lies there, and a record that
//! says so.
//!
//! ```text
//! past      every version of the pack, as it installs ─┐
//! look      what lies at any path of any of them ──────┤
//! score     equal, moved, alike ◄──────────────────────┘  overlaid: with the overlays, where they are there
//! evidence  VERSION file, log, backups: only between equals
//! record    base := that version, written := what lies there; no file is touched
//! ```
//! What differs is from then on an edit of that version, and the next plan upgrades from it. Paths that only
//! other versions have stay what they were: nobody's. Nothing is decided here about edits.

mod evidence;
pub mod import;
mod lens;
mod overlaid;
mod past;
mod score;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::host::Host;
use crate::model::actual::{Actual, Seen};
use crate::model::desired::pack_digest;
use crate::model::fleet::{Assignment, Deployment, State};
use crate::model::pack::{CommitId, Pack};
use crate::model::plan::{Obstacle, Purpose};
use crate::model::record::{Record, Recorded, RecordedPack};
use crate::model::{Content, PackName, TreePath};
use crate::source::PackSource;

pub use evidence::Evidence;
pub use past::Named;
pub use score::{Fate, Score};

use self::lens::Lens;
use self::past::{Edition, Editions};
use self::score::{Paths, fates};
use super::decide::{commit, record_only};
use super::report::{Failure, Report, Survey};
use super::resolve::{recorded, resolve};
use super::workspace::Workspace;
use super::{Events, Options, pass};

/// Candidates that are looked at with overlays, and compared line by line where they tie.
const MOST_CLOSELY: usize = 64;

/// What a person asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ask<'a> {
    /// This pack; `None`: all that are not on record.
    pub pack: Option<&'a PackName>,
    /// This version, whatever lies there.
    pub at: Option<&'a str>,
}

/// What would be recorded.
#[derive(Debug)]
pub struct Proposal {
    /// The look at the deployment.
    pub survey: Survey,
    /// Pack by pack.
    pub packs: Vec<Search>,
    /// Bytes that overlays gave and a record needs.
    extra: BTreeMap<Content, Vec<u8>>,
}

impl Proposal {
    /// Whether there is anything to record.
    pub fn records(&self) -> bool {
        self.packs.iter().any(|search| search.choice.is_some())
    }
}

/// The search for one pack's version.
#[derive(Debug)]
pub struct Search {
    /// The pack.
    pub pack: PackName,
    /// What fleet.toml asks for, as it prints.
    pub requirement: String,
    /// Versions, the nearest first.
    pub candidates: Vec<Candidate>,
    /// Commits that were looked at.
    pub commits: usize,
    /// Whether no older ones were left out.
    pub whole: bool,
    /// How many states cannot be recorded, and why the newest of them cannot.
    pub refused: Option<(usize, String)>,
    /// The preferred branch.
    pub main: Option<String>,
    /// What else speaks of a version.
    pub evidence: Evidence,
    /// The first candidate, if it is near enough or was asked for.
    pub choice: Option<Choice>,
}

/// One version, or several that install the very same.
#[derive(Debug)]
pub struct Candidate {
    /// The commit that would be recorded.
    pub named: Named,
    /// Others that install the very same.
    pub twins: Vec<Named>,
    /// How near it is.
    pub score: Score,
    /// Whether the evidence speaks of it.
    pub is_named: bool,
    /// Whether it is as near as the first one: what tells them apart is not there any more.
    pub is_tied: bool,
}

/// What would be recorded of one pack.
#[derive(Debug)]
pub struct Choice {
    /// What became of each of its paths.
    pub fates: BTreeMap<TreePath, Fate>,
    /// Paths at which an overlay's change is there already.
    pub overlaid: BTreeSet<TreePath>,
    recorded: RecordedPack,
    entries: Paths,
}

/// Looks for the nearest versions. Nothing is written but, with [`super::Recover::Now`], a recovery.
pub fn propose(
    workspace: &Workspace,
    deployment: &Deployment,
    ask: Ask<'_>,
    options: &Options,
    events: &dyn Events,
) -> Result<Proposal, Failure> {
    let resolutions = resolve(workspace, &[deployment.name.clone()].into(), events);
    let report = pass::survey(workspace, &resolutions, deployment, options);
    let mut survey = match (report.survey, report.failure) {
        (Some(survey), _) => survey,
        (None, Some(failure)) => return Err(failure),
        (None, None) => return Err(Failure::Lost(deployment.name.clone())),
    };
    let mut editions = Vec::new();
    for (pack, assignment) in asked(workspace, deployment, survey.observation.record.as_ref(), ask)? {
        let source = workspace.sources.get(&pack.source).ok_or_else(|| {
            Failure::Request(format!("source {} of pack {} is not declared", pack.source, pack.name))
        })?;
        let found = match ask.at {
            Some(at) => past::one(workspace, source.as_ref(), pack, at)?,
            None => past::all(workspace, source.as_ref(), pack, assignment, events)?,
        };
        editions.push((pack, assignment, source.as_ref(), found));
    }
    let host = workspace.host(deployment);
    let mut look = pass::look(workspace, &resolutions, deployment, options);
    for (pack, _, _, found) in &editions {
        look.paths.extend(found.found.iter().flat_map(|edition| edition.entries.keys().cloned()));
        look.list.extend(places(pack));
    }
    look.list.sort();
    look.list.dedup();
    look.paths.extend(workspace.fleet.sync_log.clone());
    survey.observation = host.observe(&look)?;
    let mut proposal = Proposal { survey, packs: Vec::new(), extra: BTreeMap::new() };
    for (pack, assignment, source, found) in editions {
        let judge = Judge {
            workspace,
            pack,
            assignment,
            source,
            host: host.as_ref(),
            actual: &proposal.survey.observation.actual,
            lens: Lens::new(host.as_ref(), source, pack),
        };
        let log = workspace.fleet.sync_log.as_ref();
        let evidence = Evidence::find(host.as_ref(), &proposal.survey.observation, pack, log);
        let search = judge.search(found, evidence, ask.at.is_some())?;
        for wanted in search.choice.iter().flat_map(|choice| choice.entries.values()) {
            let content = wanted.entry.content;
            proposal.extra.extend(judge.lens.overlaid(content).map(|bytes| (content, bytes)));
        }
        proposal.packs.push(search);
    }
    Ok(proposal)
}

/// Records what was proposed, as a generation that touches no file.
pub fn record(
    workspace: &Workspace,
    deployment: &Deployment,
    proposal: Proposal,
    options: &Options,
) -> Result<Report, Failure> {
    let Proposal { mut survey, packs, extra } = proposal;
    let mut next = survey.observation.record.clone().unwrap_or_else(|| {
        let root = deployment.root.clone();
        Record::empty(workspace.fleet.name.clone(), deployment.name.clone(), root)
    });
    for (name, choice) in packs.into_iter().filter_map(|search| Some((search.pack, search.choice?))) {
        for (path, wanted) in choice.entries {
            let written = match survey.observation.actual.paths.get(&path) {
                Some(Seen::Entry(entry)) => Some(*entry),
                None => None,
                // Neither file nor link is an edit: it stays in the way, and is reported so.
                Some(Seen::Obstacle(_)) => continue,
            };
            // The host's own is installed once where absent; what is there has only the mark.
            let (base, written) = match wanted.host_owned {
                true if written.is_none() => continue,
                true => (None, Some(wanted.entry)),
                false => (Some(wanted.entry), written),
            };
            let recorded = Recorded { owner: name.clone(), base, written, commit: wanted.commit };
            // What another pack has on record is its own.
            next.entries.entry(path).or_insert(recorded);
        }
        next.packs.insert(name, choice.recorded);
    }
    for bytes in extra.values() {
        workspace.objects.put(bytes).map_err(|error| {
            Failure::Request(format!(
                "cannot keep what an overlay gave: {}",
                crate::model::cause::in_one_line(&error)
            ))
        })?;
    }
    survey.plan = record_only(&survey, Purpose::Adopt, next);
    commit(workspace, deployment, survey, &extra, options)
}

/// The packs that a person means.
fn asked<'a>(
    workspace: &'a Workspace,
    deployment: &'a Deployment,
    record: Option<&Record>,
    ask: Ask<'_>,
) -> Result<Vec<(&'a Pack, &'a Assignment)>, Failure> {
    let on_record = |pack: &PackName| record.and_then(|record| record.packs.get(pack));
    let name = &deployment.name;
    let refuse = |text: String| Err(Failure::Request(text));
    if deployment.state == State::Absent {
        return refuse(format!(
            "{name} is to be removed (state = \"absent\"): what is recorded there now would be deleted next"
        ));
    }
    if let Some(pack) = ask.pack {
        if !deployment.packs.contains_key(pack) {
            let names: Vec<&str> = deployment.packs.keys().map(PackName::as_str).collect();
            return refuse(format!("{name} has no pack {pack}; it has {}", names.join(", ")));
        }
        if let Some(known) = on_record(pack) {
            return refuse(format!(
                "pack {pack} is on record on {name} already, at {}: there is nothing to adopt",
                known.pin.version
            ));
        }
    }
    let meant = deployment.packs.iter().filter(|(pack, _)| match ask.pack {
        Some(one) => *pack == one,
        None => on_record(pack).is_none(),
    });
    let meant: Vec<_> =
        meant.filter_map(|(pack, assigned)| Some((workspace.fleet.packs.get(pack)?, assigned))).collect();
    match meant.as_slice() {
        [] => refuse(format!("every pack of {name} is on record already: there is nothing to adopt")),
        [_, _, ..] if ask.at.is_some() => {
            let names: Vec<&str> = meant.iter().map(|(pack, _)| pack.name.as_str()).collect();
            refuse(format!("--at is for one pack: name it with --pack, one of {}", names.join(", ")))
        }
        _ => Ok(meant),
    }
}

/// Directories in which backups may lie: the root, and each target with the one above it.
fn places(pack: &Pack) -> Vec<Option<TreePath>> {
    let mut places = vec![None];
    for target in pack.install.0.iter().filter_map(|line| line.to.clone()) {
        places.push(target.parent());
        places.push(Some(target));
    }
    places
}

/// All that judging the versions of one pack needs.
struct Judge<'a> {
    workspace: &'a Workspace,
    pack: &'a Pack,
    assignment: &'a Assignment,
    source: &'a dyn PackSource,
    host: &'a dyn Host,
    actual: &'a Actual,
    lens: Lens<'a>,
}

/// A version on its way to a candidate.
struct Judged {
    edition: Edition,
    fates: BTreeMap<TreePath, Fate>,
    score: Score,
    is_named: bool,
    /// With the overlays where they are there, and all of what they give.
    overlaid: Option<(Paths, Paths)>,
}

impl Judged {
    fn commit(&self) -> Option<&CommitId> {
        self.edition.commits.first().and_then(|named| named.commit.as_ref())
    }

    fn paths(&self) -> &Paths {
        self.overlaid.as_ref().map_or(&self.edition.entries, |(nearer, _)| nearer)
    }
}

impl Judge<'_> {
    fn search(&self, editions: Editions, evidence: Evidence, is_asked: bool) -> Result<Search, Failure> {
        let mut all: Vec<Judged> =
            editions.found.into_iter().map(|edition| self.judge(edition, &evidence)).collect();
        let order = |judged: &Judged| Reverse(judged.score.nearness());
        all.sort_by_key(order);
        self.overlay(&mut all);
        all.sort_by_key(order);
        self.compare(&mut all);
        all.sort_by_cached_key(|judged| {
            let newest = judged.edition.commits.first().map(|named| (named.on_main, named.time));
            Reverse((judged.score.nearness(), judged.is_named, newest))
        });
        let mut search = Search {
            pack: self.pack.name.clone(),
            requirement: self.assignment.requirement.to_string(),
            candidates: Vec::new(),
            commits: editions.commits,
            whole: editions.whole,
            refused: editions.refused,
            main: editions.main,
            evidence,
            choice: None,
        };
        if let Some(best) = all.first().filter(|best| is_asked || best.score.is_near()) {
            search.choice = Some(self.choice(best)?);
        }
        let best = all.first().map(|best| best.score.nearness());
        let candidates = all.into_iter().filter_map(|judged| {
            let is_tied = best == Some(judged.score.nearness());
            candidate(judged, is_tied)
        });
        search.candidates = candidates.collect();
        Ok(search)
    }

    /// Scores a version, and puts the commit first by which it would be recorded.
    fn judge(&self, mut edition: Edition, evidence: &Evidence) -> Judged {
        let is_named = |named: &Named| {
            let version = named.version.as_ref().map(|(version, _)| version.to_string());
            evidence.names(version.as_deref(), named.commit.as_ref())
        };
        edition.commits.sort_by_cached_key(|named| {
            let version = named.version.as_ref().map(|(version, _)| version.clone());
            Reverse((is_named(named), version, named.on_main, named.time, named.commit.clone()))
        });
        let named = edition.commits.iter().any(is_named);
        let commit = edition.commits.first().and_then(|named| named.commit.clone());
        let fates = self.fates(&edition.entries, commit.as_ref());
        Judged { score: Score::of(&fates), fates, edition, is_named: named, overlaid: None }
    }

    fn fates(&self, paths: &Paths, commit: Option<&CommitId>) -> BTreeMap<TreePath, Fate> {
        let same = |path: &TreePath, actual, wanted| self.lens.same_but_keys(path, commit, actual, wanted);
        fates(paths, self.actual, self.pack.modes, &same)
    }

    /// Scores the nearest again, with the deployment's overlays.
    fn overlay(&self, all: &mut [Judged]) {
        let speak_of: usize = self
            .assignment
            .overlays
            .iter()
            .filter_map(|name| self.workspace.overlays.get(name)?.as_ref().ok())
            .map(|it| it.files.len() + it.patches.len() + it.merges.len())
            .sum();
        let Some(best) = all.first().map(|best| best.score.same()) else { return };
        for judged in all.iter_mut().take(MOST_CLOSELY) {
            if self.assignment.overlays.is_empty() || judged.score.same() + speak_of < best {
                continue;
            }
            let commit = judged.commit().cloned();
            let rendered =
                overlaid::rendered(self.workspace, self.source, self.pack, self.assignment, commit.as_ref());
            let Some(rendered) = rendered else { continue };
            self.lens.add(&rendered.overlay_bytes);
            let plain = &judged.edition.entries;
            let nearer = overlaid::nearer(plain, &rendered.entries, self.actual, &self.lens, commit.as_ref());
            judged.fates = self.fates(&nearer, commit.as_ref());
            judged.score = Score::of(&judged.fates);
            judged.overlaid = Some((nearer, rendered.entries));
        }
    }

    /// Compares line by line where files alone do not tell.
    fn compare(&self, all: &mut [Judged]) {
        let rank = |judged: &Judged| {
            let (same, equal, moved, ..) = judged.score.nearness();
            (same, equal, moved)
        };
        let Some(best) = all.first().map(rank) else { return };
        let tied = all.iter_mut().filter(|judged| rank(judged) == best).take(MOST_CLOSELY);
        for judged in tied {
            let mut alike = 0;
            for (path, _) in judged.fates.iter().filter(|(_, fate)| **fate == Fate::Differs) {
                if let (Some(Seen::Entry(there)), Some(wanted)) =
                    (self.actual.paths.get(path), judged.paths().get(path))
                {
                    let found = self.lens.likeness(path, judged.commit(), *there, wanted.entry);
                    alike += u64::from(found);
                }
            }
            judged.score.alike = alike;
        }
    }

    /// What a record would say.
    fn choice(&self, best: &Judged) -> Result<Choice, Failure> {
        let entries = best.paths().clone();
        for path in entries.keys() {
            let why = match self.actual.paths.get(path) {
                Some(Seen::Obstacle(Obstacle::Unreadable(why))) => format!("it cannot be read: {why}"),
                Some(Seen::Obstacle(Obstacle::Busy)) => "it changed while it was read".to_owned(),
                _ => continue,
            };
            let root = self.host.root();
            return Err(Failure::Request(format!("{path} of {root}: {why}; nothing can be said of it")));
        }
        let named = best.edition.commits.first();
        let named = named.ok_or_else(|| Failure::Request("there is no version to record".to_owned()))?;
        let mut recorded = recorded(self.pack, self.assignment, &named.pin(), pack_digest(&entries));
        if best.overlaid.as_ref().is_none_or(|(nearer, all)| nearer != all) {
            // Not all of what the overlays give is there: they are still to come.
            recorded.overlays.clear();
        }
        let plain = &best.edition.entries;
        let given = entries.iter().filter(|(path, wanted)| plain.get(*path) != Some(wanted));
        let overlaid = given.map(|(path, _)| path.clone()).collect();
        Ok(Choice { fates: best.fates.clone(), overlaid, recorded, entries })
    }
}

fn candidate(judged: Judged, is_tied: bool) -> Option<Candidate> {
    let mut commits = judged.edition.commits.into_iter();
    let named = commits.next()?;
    let Judged { score, is_named, .. } = judged;
    Some(Candidate { named, twins: commits.collect(), score, is_named, is_tied })
}
