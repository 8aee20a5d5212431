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

/// The same in one line, which is the same for the same cause.
pub fn in_one_line(error: &dyn Error) -> String {
    steady(&chain(error).join(": "))
}

/// Without the names that libgit2 draws by lot for what it writes (`pack_git2_1f0c…`): who is told of a cause knows it
/// again.
pub fn steady(text: &str) -> String {
    const MARK: &str = "_git2_";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, drawn) = rest.split_at(at + MARK.len());
        let end = drawn.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(drawn.len());
        out.push_str(before);
        out.push_str(if end > 0 { "…" } else { "" });
        rest = &drawn[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_the_same_each_time() {
        let told = |name: &str| {
            steady(&format!("cannot write '/c/pack_git2_{name}': no space; pack_git2_{name}.idx"))
        };
        assert_eq!(told("1f0c9A"), told("ffffffff00000001"));
        assert_eq!(told("x"), "cannot write '/c/pack_git2_…': no space; pack_git2_….idx");
        assert_eq!(steady("_git2_ and none"), "_git2_ and none");
    }
}
