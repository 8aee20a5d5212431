//! What a pack's CHANGELOG says between two versions.
//!
//! Any Markdown whose headings carry semantic versions will do (`## [1.2.0] - 2026-01-02`, `# v1.2.0`).
//! A section belongs to the version in its heading; deeper headings without one belong to it too.

use semver::Version;

/// One line of a changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The version under whose heading it stands.
    pub version: Version,
    /// The line, without trailing blanks.
    pub text: String,
    /// It announces a breaking change.
    pub breaking: bool,
}

/// The lines of all sections above `from` up to `to`, in the file's order, headings and blank lines left
/// out; at most `most` lines.
pub fn between(changelog: &str, from: &Version, to: &Version, most: usize) -> Vec<Line> {
    let mut version: Option<Version> = None;
    let mut breaking_section = false;
    let mut lines = Vec::new();
    for line in changelog.lines() {
        let text = line.trim_end();
        if let Some(heading) = text.strip_prefix('#') {
            match version_in(heading) {
                Some(found) => {
                    version = Some(found);
                    breaking_section = false;
                }
                None if text.starts_with("## ") => version = None,
                None => breaking_section = says_breaking(heading),
            }
            continue;
        }
        let Some(version) = version.as_ref().filter(|v| *v > from && *v <= to) else { continue };
        if text.trim().is_empty() || lines.len() >= most {
            continue;
        }
        let breaking = breaking_section || says_breaking(text);
        lines.push(Line { version: version.clone(), text: text.to_owned(), breaking });
    }
    lines
}

/// The first word of a heading that is a semantic version, with or without `v`, brackets or dates.
fn version_in(heading: &str) -> Option<Version> {
    heading
        .split(|c: char| c.is_whitespace() || matches!(c, '[' | ']' | '(' | ')' | '#' | ','))
        .find_map(|word| Version::parse(word.strip_prefix('v').unwrap_or(word)).ok())
}

/// `BREAKING` in capitals, a heading about breaking changes, or a conventional commit with `!`.
fn says_breaking(text: &str) -> bool {
    let conventional = text
        .trim_start_matches(['-', '*', ' '])
        .split_once("!:")
        .is_some_and(|(kind, _)| !kind.is_empty() && !kind.contains(' '));
    text.contains("BREAKING") || text.to_lowercase().contains("breaking change") || conventional
}

/// Whether going from one version to the other crosses a major (a minor, below 1.0).
pub fn is_major(from: &Version, to: &Version) -> bool {
    if from.major == 0 && to.major == 0 {
        return to.minor > from.minor;
    }
    to.major > from.major
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Changelog\n\n## [Unreleased]\n- later\n\n## [2.0.0] - 2026-02-01\n### Breaking changes\n\
        - the port moved\n### Added\n- feat!: a flag\n- plain\n\n## v1.1.0\n- more\n\n## 1.0.0\n- first\n";

    #[test]
    fn sections_between_two_versions_with_their_marks() {
        let version = |text: &str| Version::parse(text).unwrap();
        let found: Vec<_> = between(TEXT, &version("1.0.0"), &version("2.0.0"), 99)
            .into_iter()
            .map(|line| (line.version.to_string(), line.text, line.breaking))
            .collect();
        let line = |version: &str, text: &str, breaking| (version.to_owned(), text.to_owned(), breaking);
        let expected = [
            line("2.0.0", "- the port moved", true),
            line("2.0.0", "- feat!: a flag", true),
            line("2.0.0", "- plain", false),
            line("1.1.0", "- more", false),
        ];
        assert_eq!(found, expected);
        assert_eq!(between(TEXT, &version("1.0.0"), &version("1.1.0"), 99).len(), 1);
        assert_eq!(between(TEXT, &version("1.0.0"), &version("2.0.0"), 2).len(), 2);
        assert!(between("no headings\n- x", &version("0.1.0"), &version("9.0.0"), 9).is_empty());
    }

    #[test]
    fn majors() {
        let major = |a: &str, b: &str| is_major(&Version::parse(a).unwrap(), &Version::parse(b).unwrap());
        assert!(major("1.9.0", "2.0.0") && major("0.1.9", "0.2.0") && major("0.9.0", "1.0.0"));
        assert!(!major("1.0.0", "1.9.0") && !major("0.1.0", "0.1.9") && !major("2.0.0", "1.0.0"));
    }
}
