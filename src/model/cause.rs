//! Errors with all that caused them, for where they leave as text: over a wire, in a finding, in one line of a report.

use std::error::Error;

/// What it says itself, then each cause behind it, outermost first.
pub fn chain(error: &dyn Error) -> Vec<String> {
    let mut all = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        all.push(cause.to_string());
        next = cause.source();
    }
    all
}

/// The same in one line.
pub fn in_one_line(error: &dyn Error) -> String {
    chain(error).join(": ")
}
