//! Names that people give to things in `fleet.toml`.
//!
//! All names obey one grammar, so that a name can stand in a path, a ref, a report or a command line
//! without quoting: letters, digits, `.`, `_` and `-`, at most 128 bytes, no leading `-` (it would read
//! as an option) and no leading `.` (it would read as a path).

use std::fmt;
use std::sync::Arc;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name may not be empty")]
    Empty,
    /// More than 128 bytes.
    #[error("a name may have at most 128 bytes, this one has {0}")]
    TooLong(usize),
    /// `-x` reads as an option.
    #[error("a name may not begin with \"-\": it would read as an option")]
    LeadingDash,
    /// `.x` and `..` read as paths.
    #[error("a name may not begin with \".\": it would read as a path")]
    LeadingDot,
    /// A character outside the grammar.
    #[error("a name may not contain {0:?}: letters, digits, \".\", \"_\" and \"-\" only")]
    Character(char),
}

/// Checks the grammar that all names share.
pub fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > 128 {
        return Err(NameError::TooLong(text.len()));
    }
    if text.starts_with('-') {
        return Err(NameError::LeadingDash);
    }
    if text.starts_with('.') {
        return Err(NameError::LeadingDot);
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(NameError::Character(c)),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Accepts what [`check`] accepts.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                String::from(&*name.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// The fleet's name.
    FleetName
);
name!(
    /// One named place that holds packs.
    DeploymentName
);
name!(
    /// A unit that is installed as a whole.
    PackName
);
name!(
    /// A git repository or directory that holds packs.
    SourceName
);
name!(
    /// A declared customization: the directory `overlays/NAME`.
    OverlayName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_read_as_something_else_are_refused() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check("-x"), Err(NameError::LeadingDash));
        assert_eq!(check(".."), Err(NameError::LeadingDot));
        assert_eq!(check("a/b"), Err(NameError::Character('/')));
        assert_eq!(check("a b"), Err(NameError::Character(' ')));
        assert_eq!(check(&"a".repeat(129)), Err(NameError::TooLong(129)));
        assert_eq!(check("PAI-DEV-01"), Ok(()));
    }
}
