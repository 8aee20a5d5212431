//! Selectors: how people name deployments, on a command line and in `depends_on`.
//!
//! One selector is a name, a glob over names, `label:X`, or several of these joined by `+`, all of which must
//! hold. Several selectors mean any of them. A selector that matches nothing is an error, because it is
//! nearly always a typing mistake, and "nothing to do" would be a lie.

use std::collections::BTreeSet;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::suggest::nearest;
use crate::model::fleet::{Deployment, Fleet};
use crate::model::{DeploymentName, name};

/// Why a selection is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Part of it has no text.
    #[error("the selector {selector:?} has an empty part")]
    Empty {
        /// The whole selector.
        selector: String,
    },
    /// A part is neither name nor glob.
    #[error("the selector {selector:?} is neither a name, a glob nor label:X")]
    Part {
        /// The whole selector.
        selector: String,
        /// What is wrong with the name or the glob.
        #[source]
        why: PartError,
    },
    /// No deployment is meant by it.
    #[error("{selector:?} matches no deployment")]
    NoMatch {
        /// The whole selector.
        selector: String,
        /// What was probably meant.
        near: Option<String>,
    },
}

/// Why a part of a selector is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// No name.
    #[error(transparent)]
    Name(#[from] name::NameError),
    /// No glob.
    #[error("no glob: {0}")]
    Glob(String),
}

#[derive(Debug, Clone)]
enum Term {
    Name(DeploymentName),
    Glob(GlobMatcher),
    Label(String),
}

/// One selector.
#[derive(Debug, Clone)]
pub struct Selector {
    text: String,
    terms: Vec<Term>,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selector {}

impl std::str::FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl Selector {
    /// Reads `name`, `glob*`, `label:X` or several joined by `+`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let empty = || SelectorError::Empty { selector: text.into() };
        let part = |why| SelectorError::Part { selector: text.into(), why };
        let mut terms = Vec::new();
        for term in text.split('+') {
            terms.push(if let Some(label) = term.strip_prefix("label:") {
                if label.is_empty() {
                    return Err(empty());
                }
                Term::Label(label.into())
            } else if term.is_empty() {
                return Err(empty());
            } else if term.contains(['*', '?', '[', '{']) {
                let glob = GlobBuilder::new(term).build().map_err(|error| {
                    // Its Display repeats the glob.
                    part(PartError::Glob(error.kind().to_string()))
                })?;
                Term::Glob(glob.compile_matcher())
            } else {
                Term::Name(DeploymentName::new(term).map_err(|why| part(why.into()))?)
            });
        }
        Ok(Self { text: text.into(), terms })
    }

    /// Whether a deployment of that name with those labels is meant: every part matches.
    pub fn matches(&self, name: &DeploymentName, labels: &BTreeSet<String>) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Name(wanted) => wanted == name,
            Term::Glob(glob) => glob.is_match(name.as_str()),
            Term::Label(label) => labels.contains(label),
        })
    }

    /// The deployment that it names outright, if it does.
    pub fn name(&self) -> Option<&DeploymentName> {
        match self.terms.as_slice() {
            [Term::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// What was probably meant by a selector that matches nothing: its first unknown name or label, corrected.
    pub(super) fn near<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
        labels: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<String> {
        self.terms.iter().find_map(|term| match term {
            Term::Name(name) if !names.clone().any(|known| known == name.as_str()) => {
                nearest(name.as_str(), names.clone()).map(str::to_owned)
            }
            Term::Label(label) if !labels.clone().any(|known| known == label) => {
                nearest(label, labels.clone()).map(|near| format!("label:{near}"))
            }
            _ => None,
        })
    }
}

/// The deployments that any of the selectors means; all of them for an empty list.
pub fn select(fleet: &Fleet, selectors: &[Selector]) -> Result<BTreeSet<DeploymentName>, SelectorError> {
    if selectors.is_empty() {
        return Ok(fleet.deployments.keys().cloned().collect());
    }
    let mut selected = BTreeSet::new();
    for selector in selectors {
        let meant = |deployment: &&Deployment| selector.matches(&deployment.name, &deployment.labels);
        let found: Vec<&Deployment> = fleet.deployments.values().filter(meant).collect();
        if found.is_empty() {
            let names = fleet.deployments.keys().map(DeploymentName::as_str);
            let labels = fleet.deployments.values().flat_map(|d| d.labels.iter().map(String::as_str));
            return Err(SelectorError::NoMatch {
                selector: selector.to_string(),
                near: selector.near(names, labels),
            });
        }
        selected.extend(found.into_iter().map(|deployment| deployment.name.clone()));
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn names_globs_labels_and_their_conjunction() {
        let name = DeploymentName::new("edge-017").unwrap();
        let labels = labels(&["edge", "canary"]);
        for (text, expected) in [
            ("edge-017", true),
            ("edge-01", false),
            ("edge-*", true),
            ("edge-0?7", true),
            ("edge-{016,017}", true),
            ("*", true),
            ("label:canary", true),
            ("label:can*", false),
            ("label:canary+edge-*", true),
            ("label:canary+label:prod", false),
            ("label:edge+edge-018", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&name, &labels), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector() {
        for text in ["", "+", "a+", "label:", "-x", "../a", "edge-[", "a b"] {
            assert!(Selector::parse(text).is_err(), "{text:?}");
        }
    }
}
