//! Secrets that a scan found: where, by which rule, and what to allow each by. Never the secret.

use crate::cli::printer::{paint, painted, shown};
use crate::engine::edited::Leak;
use crate::model::DeploymentName;

/// One line each.
pub fn text<'a>(leaks: impl Iterator<Item = (Option<&'a DeploymentName>, &'a Leak)>) -> String {
    let line = |(deployment, leak): (Option<&DeploymentName>, &Leak)| {
        let on = deployment.map_or(String::new(), |name| format!("{name}  "));
        format!(
            "{} {on}{} line {}  {}  fingerprint {}\n",
            painted(paint::BAD, "secret:"),
            leak.path,
            leak.finding.line,
            shown(&leak.finding.rule),
            leak.finding.fingerprint
        )
    };
    leaks.map(line).collect()
}

/// What to do about them.
pub fn hint(nothing: &str, found: usize) -> String {
    let (it, them) = if found == 1 { ("it is none", "it") } else { ("they are none", "each") };
    format!(
        "{nothing}: take what is secret out of the file (an .env file that host_owns names, say); if {it}, or may be \
         seen, allow {them} by --allow-secret FINGERPRINT, or in .gitleaks.toml"
    )
}

/// That nothing was found, apart from what was allowed.
pub fn none(allowed: &[String]) -> &'static str {
    if allowed.is_empty() { "no secrets found" } else { "no secrets found but those allowed" }
}
