//! What `validate --strict` has to say: one line each, as compilers write them, so that editors jump there.

use std::fmt::Write as _;

use camino::Utf8Path;

use crate::cli::printer::shown;
use crate::engine::strict::{Doubt, What};

/// The kind in one word, what it is, and what to do.
pub fn words(what: &What) -> (&'static str, String, String) {
    match what {
        What::Unused(noun, name) => {
            ("unused", format!("nothing uses {noun} {name}"), "use it, or take it out".to_owned())
        }
        What::Empty(name) => {
            let hint = "give it packs, or `state = \"absent\"` to have removed what was installed".to_owned();
            ("empty", format!("deployment {name} has no packs"), hint)
        }
        What::Unlocked(pack, requirement) => {
            ("unlocked", format!("it lacks {pack} with {}", shown(requirement)), "packfleet lock adds it".to_owned())
        }
        What::Stale(pack, requirement) => (
            "stale",
            format!("nothing asks for {pack} with {}", shown(requirement)),
            "packfleet lock takes it out".to_owned(),
        ),
        What::Secret(finding) => (
            "secret",
            format!("a secret: rule {}, fingerprint {}", finding.rule, finding.fingerprint),
            "take it out and change it: what was committed once is known; if it is none, `gitleaks:allow` on its \
             line or .gitleaks.toml says so"
                .to_owned(),
        ),
    }
}

/// All doubts. `directory` is where the fleet file lies, as it was typed.
pub fn text(doubts: &[Doubt], directory: &Utf8Path) -> String {
    let mut text = String::new();
    for doubt in doubts {
        let (_, message, hint) = words(&doubt.what);
        let line = doubt.line.map_or(String::new(), |line| format!(":{line}"));
        // Writing to a string does not fail.
        let _infallible = writeln!(
            text,
            "{}{line}: {message}\n  hint: {hint}",
            shown(directory.join(&doubt.file).as_str())
        );
    }
    text
}
