//! Secrets in what a report quotes: that a value changed is shown, never the value.
//!
//! A text is quoted with each secret replaced by a number, equal secrets by the same one within a report, so
//! that a diff still has the lines that differ. No digest stands in its place: a short password could be found
//! by trying. Lines keep their numbers. Better too much is masked than too little: beside what the rules of `capture`
//! and `export` find, the fleet's `.gitleaks.toml` included, that is whatever a name calls a secret, and every value of
//! files that hold secrets. Deliberately absent: a promise that everything secret is recognised.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::workspace::Workspace;
use crate::desired::secrets::{Text, spans};

/// One report's masks.
pub struct Mask<'w> {
    workspace: &'w Workspace,
    known: RefCell<BTreeMap<Vec<u8>, usize>>,
}

impl<'w> Mask<'w> {
    /// Nothing is masked yet. The rules are made ready by the first text: that takes longer than a small pass.
    pub fn new(workspace: &'w Workspace) -> Self {
        Self { workspace, known: RefCell::default() }
    }

    /// A text of no file, as it may be shown.
    pub fn words(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.masked(Text::Words, text.as_bytes())).into_owned()
    }

    /// The text of a path as it may be shown.
    pub fn shown(&self, path: &str, text: &[u8]) -> Vec<u8> {
        self.masked(Text::File(path), text)
    }

    fn masked(&self, what: Text<'_>, text: &[u8]) -> Vec<u8> {
        // Own rules that do not compile are a defect that a test finds; to show nothing then is safe.
        let Some(rules) = self.workspace.rules() else {
            return b"(not shown: the rules for secrets are damaged)\n".to_vec();
        };
        let mut shown = Vec::with_capacity(text.len());
        let mut from = 0;
        for span in spans(what, text, rules) {
            shown.extend_from_slice(&text[from..span.start]);
            let secret = &text[span.clone()];
            let mut known = self.known.borrow_mut();
            let next = known.len() + 1;
            let number = *known.entry(secret.to_vec()).or_insert(next);
            shown.extend_from_slice(format!("[secret {number}]").as_bytes());
            shown.extend(secret.iter().filter(|byte| **byte == b'\n'));
            from = span.end;
        }
        shown.extend_from_slice(&text[from..]);
        shown
    }
}
