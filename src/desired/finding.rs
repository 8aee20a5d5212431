//! What laying an overlay on another version than its base found: notes for people, and conflicts that hold.
//!
//! A finding names the overlay, the path as the overlay has it, and what is to be known or decided. Texts of
//! files appear in it only as far as the algebra below shows them, escaped.

use std::fmt;

use crate::merge::carry::Clash;
use crate::merge::patch::PatchError;
use crate::merge::structured::StructuredError;
use crate::model::{OverlayName, TreePath};

/// One thing about one path of one overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The overlay.
    pub overlay: OverlayName,
    /// The path, as the overlay has it, in the pack's coordinates.
    pub path: TreePath,
    /// What was found.
    pub what: What,
}

/// What there is to say about a path of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Goes on: worth knowing.
    Note(Note),
    /// Held: a person must decide.
    Conflict(Conflict),
}

/// Worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Upstream renamed the file; the overlay follows.
    Renamed(TreePath),
    /// Merged with what upstream changed since base.
    Merged,
    /// The version has it already.
    Shipped,
    /// An earlier overlay does the same.
    SameAs(OverlayName),
    /// Upstream changed the file that the overlay replaces.
    ReplacesChanged,
    /// Upstream removed the file that the overlay replaces.
    ReplacesGone,
    /// Upstream has a file of its own where the overlay adds one.
    ReplacesNew,
    /// Upstream changed, or added to, what the overlay leaves out.
    RemovesChanged {
        /// How many files.
        files: usize,
    },
    /// Upstream moved files out of the directory that the overlay leaves out.
    MovedOut {
        /// How many.
        files: usize,
        /// One of them: from where, to where.
        first: (TreePath, TreePath),
    },
    /// Upstream removed it, too.
    RemovesGone,
}

/// A person must decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The base has no such file.
    NotInBase,
    /// The pack has no such file, and there is no base to know more by.
    NotInPack,
    /// Upstream removed it.
    Gone,
    /// An overlay left it out.
    LeftOut,
    /// A link.
    Link,
    /// The patch does not lie on its base.
    Unapplied(PatchError),
    /// Keys cannot be merged.
    Keys(StructuredError),
    /// Not UTF-8, where keys are to be merged.
    NoText,
    /// Overlay and upstream collide.
    Clash(Clash),
    /// It collides with an earlier overlay, and not with upstream.
    WithOverlay(OverlayName, Clash),
    /// Two files of the overlay end up on one path.
    OnePath(TreePath),
}

impl Finding {
    /// Whether it holds.
    pub fn is_conflict(&self) -> bool {
        matches!(self.what, What::Conflict(_))
    }

    /// What was found, without the names.
    pub fn text(&self) -> String {
        match &self.what {
            What::Note(note) => note.to_string(),
            What::Conflict(conflict) => conflict.to_string(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "overlay {}: {}: {}", self.overlay, self.path, self.text())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed(to) => write!(f, "upstream renamed it to {to}; the overlay follows"),
            Self::Merged => f.write_str("upstream changed the file, too: merged"),
            Self::Shipped => f.write_str("upstream ships the very same: drop it from the overlay"),
            Self::SameAs(other) => write!(f, "overlay {other} does the same already"),
            Self::ReplacesChanged => {
                f.write_str("upstream changed the file that the overlay replaces: its changes are not in it")
            }
            Self::ReplacesGone => {
                f.write_str("upstream removed the file that the overlay replaces; it stays")
            }
            Self::ReplacesNew => f.write_str("upstream has a file of its own there now, which is replaced"),
            Self::RemovesChanged { files: 1 } => {
                f.write_str("upstream changed or added a file in what the overlay leaves out")
            }
            Self::RemovesChanged { files } => {
                write!(f, "upstream changed or added {files} files in what the overlay leaves out")
            }
            Self::MovedOut { files, first: (from, to) } => {
                let what = if *files == 1 { "a file".to_owned() } else { format!("{files} files") };
                write!(
                    f,
                    "upstream moved {what} out of what the overlay leaves out ({from} is {to} now): installed, unless \
                     `remove` names it"
                )
            }
            Self::RemovesGone => f.write_str("upstream removed it, too: drop it from `remove`"),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInBase => f.write_str("its base has no such file"),
            Self::NotInPack => f.write_str("the pack has no such file"),
            Self::Gone => f.write_str("upstream removed the file that it changes"),
            Self::LeftOut => f.write_str("an earlier overlay leaves that file out"),
            Self::Link => f.write_str("it is a symbolic link, which cannot be changed in part"),
            Self::Unapplied(error) => write!(f, "it does not apply to its own base: {error}"),
            Self::Keys(error) => write!(f, "{error}"),
            Self::NoText => f.write_str("the file is not UTF-8, so that no keys can be merged into it"),
            Self::Clash(clash) => shown(clash, "upstream", f),
            Self::WithOverlay(other, clash) => shown(clash, &format!("overlay {other}"), f),
            Self::OnePath(other) => write!(f, "it and {other} of this overlay end up on one path"),
        }
    }
}

/// A clash with somebody.
fn shown(clash: &Clash, with: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match clash {
        Clash::Lines { line, places } => {
            write!(f, "line {line}: changed by the overlay and by {with}")?;
            match places {
                0 | 1 => Ok(()),
                2 => f.write_str(", and at 1 more place"),
                more => write!(f, ", and at {} more places", more - 1),
            }
        }
        Clash::Ambiguous { hunk, lines } => {
            let lines: Vec<String> = lines.iter().take(5).map(ToString::to_string).collect();
            write!(
                f,
                "hunk {hunk}: {with} changed how often its lines occur, so that it is not known which are meant \
                 (line {})",
                lines.join(", ")
            )
        }
        Clash::Keys(keys) => {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| if key.is_empty() { "the whole file".into() } else { format!("{key:?}") })
                .collect();
            write!(f, "changed by the overlay and by {with}: {}", keys.join(", "))
        }
        Clash::Binary => write!(f, "{with} made it a file that is no text"),
        Clash::TooLarge => f.write_str("it is too large to be merged"),
    }
}
