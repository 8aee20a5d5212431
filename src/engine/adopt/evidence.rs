//! What else on a host speaks of the version that was installed: a VERSION file, a log, backups.
//!
//! Hints of people and scripts, which may be wrong: they are shown, and decide only between versions that are
//! equally near. They are read by the host like everything else, through no link, and never changed.

use serde_json::{Map, Value};

use crate::host::Host;
use crate::model::actual::Seen;
use crate::model::pack::{CommitId, Pack};
use crate::model::{Kind, TreePath};

use crate::host::{Observation, version_file};

/// The end of a log in which a line about the pack is looked for.
const LOG_END: usize = 64 << 10;
/// A text from a host that is longer is no version.
const LONGEST: usize = 128;

/// What was found; texts are as they stand there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The pack's key in the VERSION file.
    pub version: Option<String>,
    /// `git_commit` in the VERSION file.
    pub commit: Option<String>,
    /// The version in the last line of the sync log that names the pack.
    pub logged: Option<String>,
    /// Names that say `backup`, as in `Tools.backup-2026-01-22`, in byte order.
    pub backups: Vec<String>,
}

impl Evidence {
    /// Looks at what a look found. `log` is the sync log, if there is to be one.
    pub(super) fn find(host: &dyn Host, seen: &Observation, pack: &Pack, log: Option<&TreePath>) -> Self {
        let map = version_file::parse(seen.version_file.as_deref()).unwrap_or_default();
        let text = |map: &Map<String, Value>, key: &str| {
            let text = map.get(key)?.as_str()?;
            (!text.is_empty() && text.len() <= LONGEST).then(|| text.to_owned())
        };
        Self {
            version: text(&map, &pack.version_key),
            commit: text(&map, "git_commit"),
            logged: log.and_then(|path| logged(host, seen, pack, path)),
            backups: backups(&seen.actual.unmanaged),
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it speaks of this version, by its label or commit.
    pub(super) fn names(&self, label: Option<&str>, commit: Option<&CommitId>) -> bool {
        let means = |text: &String| {
            let text = text.strip_prefix('v').unwrap_or(text);
            label == Some(text)
                || text.len() >= 7 && commit.is_some_and(|commit| commit.as_str().starts_with(text))
        };
        [&self.version, &self.commit, &self.logged].into_iter().flatten().any(means)
    }
}

/// `pack=VERSION` in the last line that has it, as packfleet and scripts like it write.
fn logged(host: &dyn Host, seen: &Observation, pack: &Pack, path: &TreePath) -> Option<String> {
    let content = match seen.actual.paths.get(path)? {
        Seen::Entry(entry) if entry.kind != Kind::Link => entry.content,
        _ => return None,
    };
    let bytes = host.read(path, content).ok()?;
    let end = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_END)..]).into_owned();
    let key = format!("{}=", pack.name);
    let of_line = |line: &str| {
        let words = line.split([' ', ',', '\t']);
        words.filter_map(|word| word.strip_prefix(&key)).next_back().map(str::to_owned)
    };
    let found = end.lines().rev().find_map(of_line)?;
    (!found.is_empty() && found.len() <= LONGEST).then_some(found)
}

fn backups(unmanaged: &[String]) -> Vec<String> {
    let is_backup = |path: &&String| {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        [".backup-", ".backup.", ".bak-"].iter().any(|word| name.contains(word))
    };
    unmanaged.iter().filter(is_backup).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_commits_are_named_by_people_in_several_ways() {
        let commit = CommitId::new("820ad0ad1e0f5a0c9d1f2b3c4d5e6f708192a3b4").unwrap();
        let says = |text: &str| Evidence { version: Some(text.into()), ..Evidence::default() };
        for (text, expected) in [
            ("1.1.0", true),
            ("v1.1.0", true),
            ("1.1", false),
            ("820ad0a", true),
            ("820ad0ad1e0f5a0c9d1f2b3c4d5e6f708192a3b4", true),
            ("820ad0", false),
            ("", false),
        ] {
            assert_eq!(says(text).names(Some("1.1.0"), Some(&commit)), expected, "{text:?}");
        }
        assert!(!Evidence::default().names(Some("1.1.0"), Some(&commit)));
    }

    #[test]
    fn backups_are_known_by_their_names() {
        let all = ["a/Tools.backup-2026-01-22/", "a/x", "Tools.backup-1/", "b.bak-2", "a.backup-x/y"];
        let found = backups(&all.map(str::to_owned));
        assert_eq!(found, ["a/Tools.backup-2026-01-22/", "Tools.backup-1/", "b.bak-2"]);
    }
}
