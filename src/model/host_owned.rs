//! Which paths of a pack belong to the host.
//!
//! Patterns have gitignore's meaning, relative to each directory that the pack installs to. The last
//! matching pattern decides, so `!keep.log` takes a path back.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::TreePath;
use super::pack::InstallMap;

/// A compiled set of `host_owns` patterns.
#[derive(Debug, Clone)]
pub struct HostOwned {
    patterns: Gitignore,
    install: InstallMap,
}

impl HostOwned {
    /// Compiles patterns. One that does not compile matches nothing: the validator has refused it before,
    /// and a recorded one was valid when it was recorded.
    pub fn new(install: &InstallMap, patterns: &[String]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            // Lines are added without a source file; an error leaves the builder as it was.
            let _refused_by_the_validator = builder.add_line(None, pattern).is_err();
        }
        let patterns = builder.build().unwrap_or_else(|_| Gitignore::empty());
        Self { patterns, install: install.clone() }
    }

    /// Whether a path in root coordinates is the host's. It must lie at or below a target to be.
    pub fn owns(&self, path: &TreePath) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        self.install.0.iter().any(|line| {
            let relative = match &line.to {
                None => Some(path.clone()),
                Some(to) if path == to => TreePath::new(to.file_name()).ok(),
                Some(to) => path.strip(to),
            };
            relative.is_some_and(|relative| {
                self.patterns.matched_path_or_any_parents(relative.as_str(), false).is_ignore()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pack::Install;

    #[test]
    fn patterns_are_relative_to_each_target() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let line = |from: &str, to: &str| Install { from: Some(path(from)), to: Some(path(to)) };
        let install = InstallMap(vec![line("src", "a/T"), line("w", "a/W"), line("S.md", "a/S.md")]);
        let patterns = [".env", "*.log", "!keep.log", "/State/", "node_modules/"].map(str::to_owned);
        let owned = HostOwned::new(&install, &patterns);
        for (text, expected) in [
            ("a/T/.env", true),
            ("a/T/x/.env", true),
            ("a/W/y.log", true),
            ("a/W/keep.log", false),
            ("a/T/State/z", true),
            ("a/T/x/State/z", false),
            ("a/T/x/node_modules/p/q", true),
            ("a/.env", false),
            ("other/.env", false),
            ("a/S.md", false),
        ] {
            assert_eq!(owned.owns(&path(text)), expected, "{text}");
        }
        let single = HostOwned::new(&install, &["S.md".to_owned()]);
        assert!(single.owns(&path("a/S.md")));
    }
}
