//! Export: what was changed on a host, or in overlays, becomes a commit for the pack's own repository.
//!
//! ```text
//! look ─► edited pack ─► overlays taken out ─► secrets? warnings ─► commit on the pinned one ─► (push)
//! ```
//! The files are the pack's, where the pack has them. What belongs to the host never comes along: paths and keys of
//! `host_owns`. A change that cannot be told from an overlay's is refused, because a pack's repository is no place
//! for what one fleet declares. Nothing is written on the host, and nothing in the fleet repository.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::compose::Side;
use crate::desired::secrets::Fingerprint;
use crate::merge::diff;
use crate::merge::text::{TextMerge, merge_text};
use crate::model::fleet::{Deployment, Source};
use crate::model::pack::Modes;
use crate::model::{Kind, PackName, TreePath};
use crate::source::export::{self, Exported, Push};
use crate::source::publish::{self, PublishError};

use super::edited::{Edit, EditedError, EditedPack, Leak, Looking, Paths, Skipped, Strangers, leaks, rules};
use super::report::Failure;
use super::workspace::Workspace;
use super::{Events, Options, decide};

/// Branches that are never pushed to, whatever fleet.toml says.
const PROTECTED: [&str; 3] = ["master", "main", "develop"];
/// A binary file of more bytes is worth a warning.
const LARGE: usize = 1 << 20;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// What people changed on the host.
    Edits,
    /// What overlays of the fleet say.
    Overlays,
    /// Both.
    Both,
}

/// Whether the commit is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// It stays in the mirror.
    Mirror,
    /// It is pushed.
    Push,
}

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which pack.
    pub pack: PackName,
    /// At these paths only.
    pub paths: Paths,
    /// What of it.
    pub from: From,
    /// The branch.
    pub branch: String,
    /// The commit's message; `None` for a conventional one.
    pub message: Option<String>,
    /// Whether it is pushed.
    pub publish: Publish,
    /// Secrets that may be exported.
    pub allowed: BTreeSet<Fingerprint>,
    /// Texts that tell where a file comes from, each with what it is: `the user name` and so on.
    pub telling: Vec<(String, String)>,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The deployment cannot be looked at.
    #[error("{0}")]
    Look(#[source] Failure),
    /// What was changed cannot be told.
    #[error(transparent)]
    Edited(#[from] EditedError),
    /// A plain directory has no commits.
    #[error("pack {0} comes from a plain directory: there is no repository to commit to")]
    NoRepository(PackName),
    /// An edit on top of an overlay's lines.
    #[error(
        "{path} was edited in lines that an overlay of the fleet gives: the one cannot be told from the other. \
         --from both exports them together, --path leaves the file out"
    )]
    Entangled {
        /// In root coordinates.
        path: TreePath,
    },
    /// The commit cannot be made or pushed.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// The pack has none.
    Added,
    /// The pack's is changed.
    Changed,
    /// The pack's goes.
    Removed,
}

/// One file of the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// In the pack's coordinates.
    pub path: TreePath,
    /// What became of it.
    pub what: What,
    /// Lines added and removed; `None` where it is no text.
    pub lines: Option<(usize, usize)>,
}

/// Something that a person should look at before others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// In the pack's coordinates.
    pub path: TreePath,
    /// In which line, if in one.
    pub line: Option<usize>,
    /// What is there.
    pub text: String,
}

/// What an export comes to.
#[derive(Debug, Clone, Default)]
pub struct Export {
    /// The version on top of which it was made.
    pub version: String,
    /// The files.
    pub files: Vec<File>,
    /// Secrets: with one of them nothing is made.
    pub leaks: Vec<Leak>,
    /// Paths of which nothing can be made.
    pub skipped: Vec<Skipped>,
    /// What to look at.
    pub warnings: Vec<Warning>,
    /// The pack's CHANGELOG, if it is there and says nothing of this.
    pub changelog: Option<TreePath>,
    /// The commit's message.
    pub message: String,
    /// The commit; `None` if there is nothing to commit.
    pub made: Option<Exported>,
    /// Where it was pushed, masked.
    pub pushed: Option<String>,
}

/// By path of the pack, what is to be there.
type Wanted = BTreeMap<TreePath, Option<Side>>;

/// Looks, makes the commit, and pushes it if that is asked for.
pub fn export(
    workspace: &Workspace,
    deployment: &Deployment,
    request: &Request,
    options: &Options,
    events: &dyn Events,
) -> Result<Export, ExportError> {
    let undeclared =
        || EditedError::Undeclared { deployment: deployment.name.to_string(), pack: request.pack.clone() };
    let pack =
        workspace.fleet.packs.get(&request.pack).filter(|_| deployment.packs.contains_key(&request.pack));
    let source = workspace.fleet.sources.get(&pack.ok_or_else(undeclared)?.source);
    let Some(Source::Git { url, push_url, protected, .. }) = source else {
        return Err(ExportError::NoRepository(request.pack.clone()));
    };
    let survey = decide::survey_one(workspace, deployment, options, events).map_err(ExportError::Look)?;
    let host = workspace.host(deployment);
    let paths = &request.paths;
    let looking = Looking { workspace, deployment, survey: &survey, host: host.as_ref(), paths };
    let strangers = match request.from {
        From::Overlays => Strangers::default(),
        From::Edits | From::Both => Strangers::find(&looking, options)?,
    };
    let edited = looking.pack(&request.pack, &strangers)?;
    let no_commit = || ExportError::NoRepository(request.pack.clone());
    let parent = edited.pin.commit.as_ref().ok_or_else(no_commit)?;
    let mut export =
        Export { version: edited.pin.version.clone(), skipped: edited.skipped.clone(), ..Export::default() };
    let wanted = wanted(&edited, request, &mut export.skipped)?;
    let rules = rules(workspace)?;
    let mut files = publish::Files::new();
    for (path, target) in &wanted {
        let own = edited.own(path)?;
        let root = edited.pack.install.place(path).unwrap_or_else(|| path.clone());
        let found = leaks(path, own.as_ref(), target.as_ref(), &rules, &request.allowed);
        let leak = |finding| Leak { pack: request.pack.clone(), path: root.clone(), finding };
        export.leaks.extend(found.into_iter().map(leak));
        export.warnings.extend(warnings(path, own.as_ref(), target.as_ref(), &request.telling));
        export.files.push(file(path, own.as_ref(), target.as_ref()));
        files.insert(path.clone(), target.as_ref().map(|side| (side.kind, side.bytes.clone())));
    }
    export.message = request.message.clone().unwrap_or_else(|| message(&request.pack, &export.files));
    if export.files.is_empty() || !export.leaks.is_empty() {
        return Ok(export);
    }
    let changelog = edited
        .state
        .entries
        .iter()
        .map(|entry| &entry.path)
        .find(|path| path.parent().is_none() && path.as_str().eq_ignore_ascii_case("CHANGELOG.md"));
    export.changelog = changelog.filter(|path| !wanted.contains_key(*path)).cloned();
    let to = push_url.as_ref().unwrap_or(url);
    let protected: Vec<String> = protected.iter().cloned().chain(PROTECTED.map(str::to_owned)).collect();
    let push = match request.publish {
        Publish::Mirror => Push::No,
        Publish::Push => Push::To { url: to, protected: &protected },
    };
    let mut dirs = vec![edited.pack.dir.clone()];
    dirs.extend(edited.pack.aliases.iter().cloned().map(Some));
    export.made = export::export(&export::Request {
        cache: &workspace.cache,
        url,
        parent,
        dirs: &dirs,
        files: &files,
        branch: &request.branch,
        message: &export.message,
        now: options.now,
        push,
    })?;
    export.pushed = (request.publish == Publish::Push && export.made.is_some()).then(|| to.to_string());
    Ok(export)
}

/// The files of the commit: those that differ from the pack's own.
fn wanted(
    edited: &EditedPack<'_>,
    request: &Request,
    skipped: &mut Vec<Skipped>,
) -> Result<Wanted, ExportError> {
    let mut wanted = Wanted::new();
    if request.from != From::Edits {
        let own: BTreeSet<&TreePath> = edited.state.entries.iter().map(|entry| &entry.path).collect();
        for path in edited.before.keys().chain(own) {
            let meant = edited.pack.install.place(path).is_some_and(|root| request.paths.takes(&root));
            if meant && !wanted.contains_key(path) {
                wanted.insert(path.clone(), edited.side(path, edited.before.get(path))?);
            }
        }
    }
    if request.from != From::Overlays {
        for (path, edit) in &edited.edits {
            let own = edited.own(path)?;
            let target = match request.from {
                From::Edits => stripped(edit, own.as_ref())?,
                _ => Stripped::To(edit.target.clone()),
            };
            match target {
                Stripped::To(target) => drop(wanted.insert(path.clone(), target)),
                Stripped::OfOverlay => skipped.push(Skipped {
                    path: edit.root.clone(),
                    why: "only an overlay has it: --from both exports it".to_owned(),
                }),
            }
        }
    }
    let mut differs = Wanted::new();
    for (path, target) in wanted {
        let own = edited.own(&path)?;
        let target = target.map(|side| match (edited.pack.modes, &own) {
            (Modes::Ignore, Some(own)) if own.kind != Kind::Link && side.kind != Kind::Link => {
                Side { kind: own.kind, ..side }
            }
            _ => side,
        });
        if target != own {
            differs.insert(path, target);
        }
    }
    Ok(differs)
}

/// An edit without what overlays say.
enum Stripped {
    To(Option<Side>),
    OfOverlay,
}

fn stripped(edit: &Edit, own: Option<&Side>) -> Result<Stripped, ExportError> {
    let base = edit.base.as_ref();
    if base == own || base.is_none() {
        return Ok(Stripped::To(edit.target.clone()));
    }
    let (Some(base), Some(own)) = (base, own) else { return Ok(Stripped::OfOverlay) };
    let Some(target) = &edit.target else { return Ok(Stripped::To(None)) };
    let entangled = || ExportError::Entangled { path: edit.root.clone() };
    if [base, own, target].iter().any(|side| side.kind == Kind::Link) {
        return Err(entangled());
    }
    match merge_text(&base.bytes, &target.bytes, &own.bytes) {
        TextMerge::Clean(bytes) => {
            let kind = if target.kind == base.kind { own.kind } else { target.kind };
            Ok(Stripped::To(Some(Side { kind, bytes })))
        }
        _ => Err(entangled()),
    }
}

fn bytes(side: Option<&Side>) -> &[u8] {
    side.map_or(&[], |side| &side.bytes)
}

fn file(path: &TreePath, own: Option<&Side>, target: Option<&Side>) -> File {
    let what = match (own, target) {
        (None, _) => What::Added,
        (_, None) => What::Removed,
        _ => What::Changed,
    };
    let lines = diff::lines(bytes(own), bytes(target)).map(|lines| (lines.added.len(), lines.removed));
    File { path: path.clone(), what, lines }
}

/// Lines that are new and tell where they come from; a large file that is no text.
fn warnings(
    path: &TreePath,
    own: Option<&Side>,
    target: Option<&Side>,
    telling: &[(String, String)],
) -> Vec<Warning> {
    let Some(target) = target else { return Vec::new() };
    let warning = |line, text: String| Warning { path: path.clone(), line, text };
    let Some(lines) = diff::lines(bytes(own), &target.bytes) else {
        let large = target.bytes.len() > LARGE;
        let size = target.bytes.len() as f64 / LARGE as f64;
        let text = format!("{size:.1} MiB that are no text, or too large a one");
        return large.then(|| warning(None, text)).into_iter().collect();
    };
    let mut found = Vec::new();
    for (what, text) in telling {
        let holds = |line: &[u8]| occurs(line, text.as_bytes());
        if let Some((number, _)) = lines.added.iter().find(|(_, line)| holds(line)) {
            found.push(warning(Some(*number), format!("it says {text}, {what}")));
        }
    }
    found
}

/// Whether a text stands in a line by itself, and not in the middle of a word.
fn occurs(line: &[u8], text: &[u8]) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    !text.is_empty()
        && line.windows(text.len()).enumerate().any(|(at, window)| {
            let before = at.checked_sub(1).and_then(|at| line.get(at));
            window.eq_ignore_ascii_case(text) && !is_part(before) && !is_part(line.get(at + text.len()))
        })
}

/// A conventional message: a feature where a file is new, else a fix. Nothing in it says whence it came.
fn message(pack: &PackName, files: &[File]) -> String {
    let kind = if files.iter().any(|file| file.what == What::Added) { "feat" } else { "fix" };
    let verb = |what: What| match what {
        What::Added => "add",
        What::Changed => "change",
        What::Removed => "remove",
    };
    let subject = match files {
        [one] => format!("{} {}", verb(one.what), one.path.file_name()),
        many => {
            let whats: BTreeSet<What> = many.iter().map(|file| file.what).collect();
            let verb =
                if whats.len() == 1 { many.first().map_or("change", |it| verb(it.what)) } else { "change" };
            format!("{verb} {} files", many.len())
        }
    };
    let mut text = format!("{kind}({pack}): {subject}\n\n");
    for file in files {
        let lines = file.lines.map(|(added, removed)| format!(" (+{added} -{removed})")).unwrap_or_default();
        text.push_str(&format!("- {} {}{lines}\n", verb(file.what), file.path));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_tell_stand_by_themselves() {
        for (line, text, expected) in [
            ("cd /opt/PAI/.claude", "/opt/PAI", true),
            ("cd /opt/PAIX", "/opt/PAI", false),
            ("on pai-test-01:", "PAI-TEST-01", true),
            ("adapt ada's", "ada", true),
            ("adapt", "ada", false),
            ("x", "", false),
        ] {
            assert_eq!(occurs(line.as_bytes(), text.as_bytes()), expected, "{line} {text}");
        }
    }

    #[test]
    fn messages_are_conventional() {
        let pack: PackName = "bot".parse().unwrap();
        let file = |path: &str, what, lines| File { path: TreePath::new(path).unwrap(), what, lines };
        let changed = file("src/a.ts", What::Changed, Some((2, 1)));
        let added = file("src/b.ts", What::Added, None);
        for (files, expected) in [
            (vec![changed.clone()], "fix(bot): change a.ts\n\n- change src/a.ts (+2 -1)\n"),
            (vec![added.clone()], "feat(bot): add b.ts\n\n- add src/b.ts\n"),
            (
                vec![changed.clone(), changed.clone()],
                "fix(bot): change 2 files\n\n- change src/a.ts (+2 -1)\n- change src/a.ts (+2 -1)\n",
            ),
            (
                vec![changed, added],
                "feat(bot): change 2 files\n\n- change src/a.ts (+2 -1)\n- add src/b.ts\n",
            ),
        ] {
            assert_eq!(message(&pack, &files), expected);
        }
    }
}
