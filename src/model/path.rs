//! Paths that cannot escape.
//!
//! A [`TreePath`] is relative and normalised: no empty, `.`, `..` or `.git`-like component, no control
//! character, no component of packfleet's own state directory, bounded in length. Whoever holds one may
//! open it beneath a root without a further check of its text. A [`HostPath`] is a root on some host:
//! absolute, normalised, never `/`. Both are UTF-8; other names are refused where they enter.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The directory beneath each root in which packfleet keeps its state.
pub const STATE_DIR: &str = ".packfleet";

/// Why a text is no path that packfleet would touch. Displays the offending part escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there.
    #[error("an empty path")]
    Empty,
    /// Begins with `/`.
    #[error("{0:?} is absolute")]
    Absolute(String),
    /// An empty, `.` or `..` component.
    #[error("{path:?} has the component {component:?}")]
    Component {
        /// The whole path.
        path: String,
        /// The component at fault.
        component: String,
    },
    /// A component that git could take for its repository directory on some file system.
    #[error("{0:?} has a component that means .git")]
    Git(String),
    /// Reaches into packfleet's state directory.
    #[error("{0:?} reaches into .packfleet, packfleet's own state")]
    State(String),
    /// A control character or NUL.
    #[error("{0:?} holds a control character")]
    Control(String),
    /// A component of more than 255 bytes, or a path of more than 4,000.
    #[error("{0:?} is too long: at most 255 bytes a name and 4000 in all")]
    TooLong(String),
    /// Not absolute, where a root is needed.
    #[error("{0:?} is not absolute")]
    Relative(String),
    /// `/` itself.
    #[error("\"/\" cannot be a root: packfleet would own the whole machine")]
    Root,
}

/// A relative, normalised path beneath a root or a pack directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(Arc<str>);

impl TreePath {
    /// Accepts exactly the paths that the module describes; nothing is normalised silently.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.starts_with('/') {
            return Err(PathError::Absolute(text.into()));
        }
        if text.len() > 4000 {
            return Err(PathError::TooLong(text.chars().take(80).collect()));
        }
        // Most paths are plain ASCII, which is decided byte by byte.
        if text.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) && text.chars().any(char::is_control) {
            return Err(PathError::Control(text.into()));
        }
        for component in text.split('/') {
            match component {
                "" | "." | ".." => {
                    return Err(PathError::Component { path: text.into(), component: component.into() });
                }
                _ if component.len() > 255 => return Err(PathError::TooLong(text.into())),
                _ if means_git(component) => return Err(PathError::Git(text.into())),
                _ if component.eq_ignore_ascii_case(STATE_DIR) => {
                    return Err(PathError::State(text.into()));
                }
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The path as text, with `/` between components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components in order; at least one.
    pub fn components(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path without its last component; `None` at the top.
    pub fn parent(&self) -> Option<TreePath> {
        self.0.rsplit_once('/').map(|(parent, _)| TreePath(parent.into()))
    }

    /// All proper ancestors, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = TreePath> + '_ {
        let mut text: &str = &self.0;
        std::iter::from_fn(move || {
            let (parent, _) = text.rsplit_once('/')?;
            text = parent;
            Some(TreePath(parent.into()))
        })
    }

    /// Whether `self` lies strictly below `other`.
    pub fn is_below(&self, other: &TreePath) -> bool {
        self.0.len() > other.0.len()
            && self.0.as_bytes()[other.0.len()] == b'/'
            && self.0.starts_with(&*other.0)
    }

    /// `self` followed by `rest`; fails when the whole becomes too long.
    pub fn join(&self, rest: &TreePath) -> Result<TreePath, PathError> {
        Self::new(&format!("{}/{}", self.0, rest.0))
    }

    /// What is left of `self` beneath `base`; `None` if it does not lie strictly below.
    pub fn strip(&self, base: &TreePath) -> Option<TreePath> {
        self.is_below(base).then(|| TreePath(self.0[base.0.len() + 1..].into()))
    }
}

impl TryFrom<String> for TreePath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> String {
        String::from(&*path.0)
    }
}

impl std::borrow::Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A deployment's root on its host: absolute, normalised, not `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(Box<str>);

impl HostPath {
    /// Accepts an absolute path; a trailing `/` is dropped, `.`/`..`/empty components are refused.
    pub fn new(text: &str) -> Result<Self, PathError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(if text.is_empty() { PathError::Empty } else { PathError::Relative(text.into()) });
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Err(PathError::Root);
        }
        if rest.chars().any(char::is_control) {
            return Err(PathError::Control(text.into()));
        }
        if let Some(component) = rest.split('/').find(|c| matches!(*c, "" | "." | "..")) {
            return Err(PathError::Component { path: text.into(), component: component.into() });
        }
        Ok(Self(format!("/{rest}").into()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one of the two lies inside the other or they are equal.
    pub fn overlaps(&self, other: &HostPath) -> bool {
        let (short, long) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        long.0.starts_with(&*short.0)
            && (long.0.len() == short.0.len() || long.0.as_bytes()[short.0.len()] == b'/')
    }
}

impl TryFrom<String> for HostPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> String {
        path.0.into()
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Names that NTFS or HFS+ take for `.git`: case, trailing dots and spaces, the short name, a stream
/// suffix, and characters that HFS+ ignores. The list of ignored code points is git's (`utf8.c`).
fn means_git(component: &str) -> bool {
    // Nearly all components are plain; those are looked at where they lie.
    if component.is_ascii() {
        return is_git(component);
    }
    let visible: String = component
        .chars()
        .filter(|c| {
            !matches!(*c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{206a}'..='\u{206f}' | '\u{feff}')
        })
        .collect();
    is_git(&visible)
}

fn is_git(visible: &str) -> bool {
    let base = visible.split(':').next().unwrap_or_default();
    let base = base.trim_end_matches(['.', ' ']);
    base.eq_ignore_ascii_case(".git") || base.eq_ignore_ascii_case("git~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        for text in [
            "",
            "/a",
            "a//b",
            "a/",
            "./a",
            "a/..",
            "..",
            ".git",
            "a/.GIT/config",
            "git~1",
            ".g\u{200c}it",
            ".git. ",
            ".git::$INDEX_ALLOCATION",
            ".packfleet/record",
            "a/.Packfleet",
            "a\nb",
            "a\0b",
        ] {
            assert!(TreePath::new(text).is_err(), "{text:?}");
        }
        assert!(TreePath::new(&"x".repeat(256)).is_err());
        assert!(TreePath::new(&"x/".repeat(2001)).is_err());
        for text in ["a", "-a", "a b/c\"d'", ".gitignore", ".gitattributes", "ä/ö", ".github/x", "..."] {
            assert_eq!(TreePath::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn relations() {
        let path = |text| TreePath::new(text).unwrap();
        assert!(path("a/b").is_below(&path("a")));
        assert!(!path("ab").is_below(&path("a")));
        assert!(!path("a").is_below(&path("a")));
        assert_eq!(path("a/b/c").strip(&path("a")), Some(path("b/c")));
        assert_eq!(path("a/b/c").ancestors().collect::<Vec<_>>(), [path("a/b"), path("a")]);
        assert_eq!(path("a").parent(), None);
    }

    #[test]
    fn roots() {
        assert_eq!(HostPath::new("/"), Err(PathError::Root));
        assert!(HostPath::new("opt").is_err());
        assert!(HostPath::new("/a/../b").is_err());
        let root = |text| HostPath::new(text).unwrap();
        assert!(root("/a").overlaps(&root("/a/b")));
        assert!(root("/a/b/").overlaps(&root("/a")));
        assert!(!root("/a").overlaps(&root("/ab")));
    }
}
