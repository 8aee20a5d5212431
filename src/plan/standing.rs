//! The one rule of comparison.
//!
//! `standing(base, actual, desired)` is all that packfleet knows about drift. Its rows are checked
//! against an executable model in the tests below; change none without a counterexample in hand.

use serde::Serialize;

use crate::model::Entry;

/// One path's verdict from base, actual and desired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// All three are equal.
    InSync,
    /// What is there is what is desired; only the record lags.
    Converged,
    /// What is there is what was left there; Desired moved on.
    Behind,
    /// Someone changed it; Desired did not move.
    Edited,
    /// All three differ.
    Conflicted,
    /// It was there, should be there, and is not.
    Missing,
    /// The host's: no base, no drift.
    HostOwned,
    /// Nobody's business: not recorded, not desired.
    Unmanaged,
}

/// Judges one path that is not host-owned. Absence is a value.
pub fn standing(base: Option<Entry>, actual: Option<Entry>, desired: Option<Entry>) -> Standing {
    match (base, actual, desired) {
        (None, _, None) => Standing::Unmanaged,
        (Some(_), None, Some(_)) => Standing::Missing,
        (b, a, d) if a == d && b == d => Standing::InSync,
        (_, a, d) if a == d => Standing::Converged,
        (b, a, _) if a == b => Standing::Behind,
        (b, _, d) if d == b => Standing::Edited,
        _ => Standing::Conflicted,
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::*;
    use super::*;
    use crate::model::Kind;

    #[test]
    fn every_row_of_the_table() {
        let entry = |text: &str| {
            (text != "-")
                .then(|| Entry::of(Kind::regular(text.ends_with('x')), text.trim_end_matches('x').as_bytes()))
        };
        for (base, actual, desired, expected) in [
            ("a", "a", "a", InSync),
            ("a", "b", "b", Converged),
            ("-", "b", "b", Converged),
            ("a", "-", "-", Converged),
            ("a", "a", "b", Behind),
            ("a", "a", "-", Behind),
            ("-", "-", "b", Behind),
            ("a", "b", "a", Edited),
            ("a", "ax", "a", Edited),
            ("a", "a", "ax", Behind),
            ("a", "ax", "ax", Converged),
            ("a", "b", "c", Conflicted),
            ("a", "b", "-", Conflicted),
            ("-", "b", "c", Conflicted),
            ("a", "-", "a", Missing),
            ("a", "-", "b", Missing),
            ("-", "b", "-", Unmanaged),
            ("-", "-", "-", Unmanaged),
        ] {
            let found = standing(entry(base), entry(actual), entry(desired));
            assert_eq!(found, expected, "{base}/{actual}/{desired}");
        }
    }
}
