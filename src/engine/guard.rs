//! What stands between a resolved version and a host: the record, majors, signatures.
//!
//! Each guard answers with a hold that names what it found. None of them changes what was resolved.

use crate::desired::changelog;
use crate::model::cause::in_one_line;
use crate::model::fleet::Source;
use crate::model::pack::{CommitId, Pack, Requirement};
use crate::model::plan::HoldCause;
use crate::model::record::Record;
use crate::source::signature::{self, Object, SignatureError};
use crate::source::{PackSource, SourceError};

use super::resolve::Resolved;
use super::workspace::Workspace;

/// What speaks against a version on a host that has this record.
pub(super) fn against_record(
    workspace: &Workspace,
    resolved: &Resolved,
    requirement: &Requirement,
    record: Option<&Record>,
) -> Option<HoldCause> {
    moved_tag(resolved, requirement, record).or_else(|| major(workspace, resolved, requirement, record))
}

/// A tag that leads to another commit than when it was installed is somebody's mistake or attack.
fn moved_tag(resolved: &Resolved, requirement: &Requirement, record: Option<&Record>) -> Option<HoldCause> {
    if !matches!(requirement, Requirement::Version(_) | Requirement::Tag(_)) {
        return None;
    }
    let before = &record?.packs.get(&resolved.pack)?.pin;
    let now = &resolved.pin;
    // The record does not say whether it was a tag or a branch; a branch by this name moved, too, then.
    let same_name = before.found_by == now.found_by && before.version == now.version;
    match (&before.commit, &now.commit) {
        (Some(was), Some(is)) if same_name && was != is => Some(HoldCause::Version(format!(
            "tag {} moved: it was {was} when it was installed and is {is} now; if somebody meant that, rev = \"{}\" \
             takes it",
            now.found_by,
            is.short()
        ))),
        _ => None,
    }
}

/// Lines of a CHANGELOG that a hold shows at most.
const MOST_CHANGES: usize = 30;

/// A new major version is taken when somebody edits the requirement, not because a range reaches it.
fn major(
    workspace: &Workspace,
    resolved: &Resolved,
    requirement: &Requirement,
    record: Option<&Record>,
) -> Option<HoldCause> {
    let recorded = record?.packs.get(&resolved.pack)?;
    let (from, to) = (&recorded.pin.version, &resolved.pin.version);
    let versions = (semver::Version::parse(from).ok()?, semver::Version::parse(to).ok()?);
    if recorded.requirement != requirement.to_string() || !changelog::is_major(&versions.0, &versions.1) {
        return None;
    }
    let source = workspace.sources.get(&resolved.source);
    let text = source.zip(resolved.changelog).and_then(|(source, content)| {
        // Without it the hold says less, and stands all the same.
        source.bytes(resolved.pin.commit.as_ref(), content).ok()
    });
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let lines = changelog::between(&text, &versions.0, &versions.1, MOST_CHANGES);
    let line = |line: changelog::Line| {
        format!("{} {}  {}", if line.breaking { '!' } else { ' ' }, line.version, line.text)
    };
    Some(HoldCause::Major {
        from: from.clone(),
        to: to.clone(),
        requirement: requirement.to_string(),
        changelog: lines.into_iter().map(line).collect(),
    })
}

/// Checks what is pinned against the list of allowed signers, where the source names one.
pub(super) fn signed(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    requirement: &Requirement,
    found_by: &str,
    commit: &CommitId,
) -> Result<(), HoldCause> {
    let declared = workspace.fleet.sources.get(&pack.source);
    let Some(Source::Git { signed_by: Some(list), .. }) = declared else { return Ok(()) };
    let refused = |why: String| HoldCause::Signature(why);
    let allowed = workspace
        .read(list)
        .map_err(|error| refused(format!("{list}, which signed_by names: {}", in_one_line(&error))))?;
    let checked = match requirement {
        Requirement::Version(_) | Requirement::Tag(_) => {
            let refs = source.known().map_err(unreadable)?;
            let object = refs.tags.iter().find(|tag| tag.name == found_by).and_then(|tag| tag.object.clone());
            let Some(object) = object else {
                return Err(refused(SignatureError::Lightweight(found_by.to_owned()).to_string()));
            };
            let raw = source.object(&object).map_err(unreadable)?;
            signature::verify(Object::Tag { name: found_by, raw: &raw }, &allowed)
        }
        Requirement::Branch(_) | Requirement::Rev(_) => {
            let raw = source.object(commit).map_err(unreadable)?;
            signature::verify(Object::Commit { id: commit.as_str(), raw: &raw }, &allowed)
        }
    };
    checked.map(drop).map_err(|error| refused(error.to_string()))
}

/// A refusal concerns the version; everything else is the source's trouble.
pub(super) fn unreadable(error: SourceError) -> HoldCause {
    let text = in_one_line(&error);
    match error {
        SourceError::Refused(_) | SourceError::Unknown(_) => HoldCause::Version(text),
        _ => HoldCause::Source(text),
    }
}
