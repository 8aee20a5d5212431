//! What `adopt` found on a root that was filled by hand, and what it would record.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::lines::Length;
use super::words::count;
use crate::cli::hint::Hints;
use crate::cli::printer::{paint, painted, shown};
use crate::engine::adopt::import::{Import, What};
use crate::engine::adopt::{Candidate, Choice, Evidence, Fate, Named, Proposal, Score, Search};
use crate::model::TreePath;
use crate::model::fleet::{Deleted, Deployment};

/// Lines of one kind before the rest is counted.
const LONGEST: usize = 12;

/// All that was found, pack by pack.
pub fn proposal(
    proposal: &Proposal,
    deployment: &Deployment,
    hints: &Hints,
    candidates: usize,
    length: Length,
) -> String {
    let mut out = format!("{}  {}\n", paint::name(deployment.name.as_str()), deployment.root);
    for search in &proposal.packs {
        out.push_str(&format!("  {}  {}\n", search.pack, verdict(search, deployment, hints)));
        let width =
            search.candidates.iter().take(candidates).map(|it| label(&it.named).chars().count()).max();
        for candidate in search.candidates.iter().take(candidates) {
            out.push_str(&line(candidate, width.unwrap_or(0)));
        }
        if let Some(text) = ties(search, deployment, hints) {
            out.push_str(&format!("    {text}\n"));
        }
        if let Some(text) = left_out(search, candidates) {
            out.push_str(&format!("       {}\n", paint::faint(&text)));
        }
        if let Some(text) = evidence(&search.evidence) {
            out.push_str(&format!("    evidence: {text}\n"));
        }
        if let Some(choice) = &search.choice {
            out.push_str(&paths(choice, search, deployment, length));
        }
    }
    out
}

/// What would be recorded, in one line.
pub fn sum(proposal: &Proposal) -> String {
    let (mut paths, mut edits, mut packs) = (0, 0, 0);
    for choice in proposal.packs.iter().filter_map(|search| search.choice.as_ref()) {
        let score = score(choice);
        packs += 1;
        paths += score.of;
        edits += edited(&score);
    }
    format!(
        "Records {} of {} with {}; writes no file of a pack.",
        count(paths, "path"),
        count(packs, "pack"),
        count(edits, "edit")
    )
}

/// What was recorded of each pack: `bot 1.0.0: 15 files equal, 2 edits`.
pub fn recorded(proposal: &Proposal) -> String {
    let of = |search: &Search| {
        let score = score(search.choice.as_ref()?);
        let named = &search.candidates.first()?.named;
        let edits = count(edited(&score), "edit");
        Some(format!("{} {}: {} equal, {edits}", search.pack, label(named), count(score.same(), "file")))
    };
    proposal.packs.iter().filter_map(of).collect::<Vec<_>>().join(" · ")
}

fn score(choice: &Choice) -> Score {
    let mut score = Score::default();
    for fate in choice.fates.values() {
        match fate {
            Fate::Equal => score.equal += 1,
            Fate::Exec => score.exec += 1,
            Fate::Differs => score.differ += 1,
            Fate::Moved(_) => score.moved += 1,
            Fate::Missing => score.missing += 1,
            // Neither recorded nor an edit.
            Fate::Obstructed | Fate::HostOwned(_) => continue,
        }
        score.of += 1;
    }
    score
}

fn edited(score: &Score) -> usize {
    score.of - score.equal
}

fn label(named: &Named) -> String {
    shown(&named.label())
}

fn verdict(search: &Search, deployment: &Deployment, hints: &Hints) -> String {
    let name = deployment.name.as_str();
    let Some(best) = search.candidates.first() else {
        let why = search.refused.as_ref().map_or_else(String::new, |(_, why)| format!(": {}", shown(why)));
        return format!("has no version that could be recorded{why}");
    };
    let (version, score) = (label(&best.named), best.score);
    let equal = format!("{} of {} equal", score.same(), count(score.of, "file"));
    let of = match search.commits {
        0 | 1 => String::new(),
        commits => format!(" of {}", count(commits, "commit")),
    };
    match &search.choice {
        Some(_) if score.is_near() => {
            format!("{} is the nearest{of}: {equal}{}", paint::name(&version), twins(search, best))
        }
        Some(_) => format!("{}, as you say: {equal}", paint::name(&version)),
        None if score.of == score.missing => {
            format!("nothing of it lies there: {} installs it", hints.command(&["apply", name]))
        }
        None => format!(
            "{}: {version} is the nearest{of}, and {equal}\n      → {} records it all the same",
            painted(paint::BAD, "nothing is near enough"),
            hints.command(&["adopt", name, "--pack", search.pack.as_str(), "--at", &version])
        ),
    }
}

/// Why this one of several commits that install the very same.
fn twins(search: &Search, best: &Candidate) -> String {
    if best.twins.is_empty() {
        return String::new();
    }
    let mut names: Vec<String> = best.twins.iter().map(label).collect();
    names.dedup();
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    let verb = if names.len() + more == 1 { "installs" } else { "install" };
    let names = match more {
        0 => match names.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, first)) => format!("{} and {last}", first.join(", ")),
            None => String::new(),
        },
        more => format!("{} and {more} more", names.join(", ")),
    };
    let why = match (&best.named, &search.main) {
        _ if best.is_named && search.evidence.version.is_some() => "the one that is named is".to_owned(),
        (named, _) if named.version.is_some() => "the greatest version is".to_owned(),
        (named, Some(main)) if named.on_main => format!("the newest on {} is", shown(main)),
        _ => "the newest is".to_owned(),
    };
    format!(" ({names} {verb} the very same files: {why} recorded)")
}

/// That others are as near, and how to take one of them.
fn ties(search: &Search, deployment: &Deployment, hints: &Hints) -> Option<String> {
    let choice = search.choice.as_ref()?;
    let tied = search.candidates.iter().skip(1).filter(|candidate| candidate.is_tied);
    let mut names: Vec<String> = tied.map(|candidate| label(&candidate.named)).collect();
    let number = names.len();
    if number == 0 || choice.fates.is_empty() {
        return None;
    }
    names.truncate(4);
    let more = if number > 4 { format!(" and {} more", number - 4) } else { String::new() };
    let (name, pack) = (deployment.name.as_str(), search.pack.as_str());
    Some(format!(
        "{} as near: {}{more} (what tells them apart is not there any more)\n      → {} REV records another one",
        painted(paint::CHANGE, "just"),
        names.join(", "),
        hints.command(&["adopt", name, "--pack", pack, "--at"])
    ))
}

fn line(candidate: &Candidate, width: usize) -> String {
    let Candidate { named, score, .. } = candidate;
    let date = Timestamp::from_second(named.time).ok().filter(|_| named.time != 0);
    let date = date.map_or_else(String::new, |date| format!("  {}", date.strftime("%Y-%m-%d")));
    let mut parts = vec![format!("{} of {} equal", score.same(), score.of)];
    for (number, word) in [
        (score.exec, "but for the exec bit"),
        (score.differ, "different"),
        (score.moved, "under another path"),
        (score.missing, "missing"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    let subject: String = shown(&named.subject).chars().take(60).collect();
    let subject = if subject.is_empty() { subject } else { format!("  {}", paint::faint(&subject)) };
    format!("       {:<width$}{date}  {}{subject}\n", label(named), parts.join(", "))
}

fn left_out(search: &Search, candidates: usize) -> Option<String> {
    let mut parts = Vec::new();
    match search.candidates.len().saturating_sub(candidates) {
        0 => {}
        more => parts.push(format!("{} less near", count(more, "version"))),
    }
    if !search.whole {
        parts.push("older ones were not looked at".to_owned());
    }
    if let Some((number, why)) = &search.refused {
        parts.push(format!("{} cannot be recorded: {}", count(*number, "state"), shown(why)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn evidence(evidence: &Evidence) -> Option<String> {
    let mut parts = Vec::new();
    match (&evidence.version, &evidence.commit) {
        (Some(version), Some(commit)) => {
            let commit: String = shown(commit).chars().take(12).collect();
            parts.push(format!("VERSION says {} ({commit})", shown(version)));
        }
        (Some(version), None) => parts.push(format!("VERSION says {}", shown(version))),
        (None, Some(commit)) => parts.push(format!("VERSION says commit {}", shown(commit))),
        (None, None) => {}
    }
    if let Some(logged) = &evidence.logged {
        parts.push(format!("the sync log says {}", shown(logged)));
    }
    // By the end of the name, where a date stands.
    let stamp = |name: &&String| name.trim_end_matches('/').rsplit(['.', '-']).next().map(str::to_owned);
    let dated = |name: &&String| (name.split("backup").last().map(str::to_owned), stamp(name));
    if let Some(newest) = evidence.backups.iter().max_by_key(dated) {
        parts.push(format!(
            "{}, the newest by name {}",
            count(evidence.backups.len(), "backup"),
            shown(newest)
        ));
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}

fn paths(choice: &Choice, search: &Search, deployment: &Deployment, length: Length) -> String {
    let policy = deployment.packs.get(&search.pack).map_or(deployment.edits, |assigned| assigned.edits);
    let gone = match policy.deleted {
        Deleted::Restore => "deleted: the next apply restores it",
        Deleted::Keep => "deleted: stays away",
    };
    let told = |path: &TreePath, fate: &Fate| -> Option<(char, String)> {
        Some(match fate {
            Fate::Equal if choice.overlaid.contains(path) => {
                ('=', "has the change of an overlay already".into())
            }
            Fate::Equal => return None,
            Fate::Exec => ('E', "equal but for its exec bit: an edit".into()),
            Fate::Differs if choice.overlaid.contains(path) => {
                ('E', "has the change of an overlay already, and more: an edit".into())
            }
            Fate::Differs => ('E', "an edit".into()),
            Fate::Moved(to) => ('!', format!("{gone}; its content lies at {to}, which is nobody's")),
            Fate::Missing => ('!', gone.to_owned()),
            Fate::Obstructed => ('X', "neither file nor link lies there: not recorded".into()),
            Fate::HostOwned(true) => ('H', "the host's: left alone".into()),
            Fate::HostOwned(false) => ('H', "the host's: installed once, by the next apply".into()),
        })
    };
    let mut out = String::new();
    let mut left: BTreeMap<char, usize> = BTreeMap::new();
    let mut equal = 0;
    let mut seen: BTreeMap<char, usize> = BTreeMap::new();
    for (path, fate) in &choice.fates {
        let Some((letter, note)) = told(path, fate) else {
            equal += 1;
            continue;
        };
        let number = seen.entry(letter).or_default();
        *number += 1;
        if length == Length::Short && *number > LONGEST {
            *left.entry(letter).or_default() += 1;
            continue;
        }
        let style = if letter == 'X' { paint::BAD } else { paint::YOURS };
        out.push_str(&format!("    {} {path}  {note}\n", painted(style, &letter.to_string())));
    }
    for (letter, number) in left {
        out.push_str(&format!("    {letter} and {number} more (-v lists them)\n"));
    }
    if equal > 0 {
        out.push_str(&format!("    = {} equal\n", count(equal, "file")));
    }
    out
}

/// What an overlay that was made of a branch does.
pub fn imported(import: &Import, written: &[camino::Utf8PathBuf], hints: &Hints) -> String {
    let mut out = format!(
        "overlay {}  base {} (tree {})\n",
        paint::name(import.overlay.as_str()),
        shown(&short(&import.base.version)),
        import.base.tree.short()
    );
    for (path, what) in &import.changes {
        let (letter, note) = match what {
            What::Patched => ('~', "a patch"),
            What::Replaced => ('~', "the whole file: a patch cannot say it"),
            What::Added => ('+', "added"),
            What::Removed => ('-', "left out"),
        };
        out.push_str(&format!("  {letter} {path}  {note}\n"));
    }
    if !import.left_out.is_empty() {
        let paths: BTreeSet<&str> = import.left_out.iter().map(TreePath::as_str).take(5).collect();
        let paths = paths.into_iter().collect::<Vec<_>>().join(", ");
        let more = import.left_out.len().saturating_sub(5);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        out.push_str(&format!("  not installed, left out: {paths}{more}\n"));
    }
    for conflict in &import.conflicts {
        out.push_str(&format!("  {} {}\n", painted(paint::BAD, "X"), shown(conflict)));
    }
    match import.conflicts.as_slice() {
        [] => out.push_str(&format!("  carries over to {}\n", shown(&short(&import.at_hand)))),
        _ => out.push_str(&format!(
            "      → {}\n",
            hints.command(&["overlay", "rebase", import.overlay.as_str(), "--to", &import.at_hand])
        )),
    }
    out.push_str(&format!("wrote {}:\n", count(written.len(), "file")));
    for path in written {
        out.push_str(&format!("  {path}\n"));
    }
    out
}

/// A commit's id, abbreviated for people.
fn short(version: &str) -> String {
    match version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => version[..7].to_owned(),
        false => version.to_owned(),
    }
}
