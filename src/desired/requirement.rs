//! Semver requirements, and which of them no version can meet.
//!
//! A requirement is a conjunction of comparators; each allows an interval of versions, so one that allows
//! nothing has an empty intersection. Pre-releases are no part of these intervals (semver lets them in only
//! beside a comparator that names one), so a requirement that names a pre-release is never called empty.

use semver::{Comparator, Op, VersionReq};

use super::document::Node;
use super::problem::quoted;
use super::read::Read;
use super::report::Report;
use super::scalar::{from_text, refused, schema};

/// A requirement that some version can meet.
#[derive(Debug, Clone)]
pub(super) struct VersionRange(pub VersionReq);
schema!(VersionRange, { "type": "string", "minLength": 1, "examples": ["1", "^1.1", ">=1.2, <2", "=1.2.3"] });

impl Read for VersionRange {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        from_text(node, "a version requirement", report, |text| {
            let requirement = VersionReq::parse(text).map_err(|error| {
                let refused = refused(format!("{} is no version requirement: {error}", quoted(text)));
                let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
                if text.strip_prefix('v').is_some_and(digit) {
                    refused.hint("write it without the v: the pack's `tag` says how versions are written as tags")
                } else {
                    refused.hint("a semver requirement, as in \"1\", \"^1.1\" or \">=1.2, <2\"; for anything else use `tag`, `branch` or `rev`")
                }
            })?;
            if is_empty(&requirement) {
                let why = format!("{} can never be met: no version lies in all of its parts", quoted(text));
                return Err(
                    refused(why).hint("every part must hold at once; for one version, write \"=1.2.3\"")
                );
            }
            Ok(Self(requirement))
        })
    }
}

type Triple = (u128, u128, u128);

/// Whether no version at all meets the requirement.
fn is_empty(requirement: &VersionReq) -> bool {
    if requirement.comparators.iter().any(|comparator| !comparator.pre.is_empty()) {
        return false;
    }
    let mut lowest: Triple = (0, 0, 0);
    let mut beyond: Triple = (u128::MAX, 0, 0);
    for comparator in &requirement.comparators {
        let (from, to) = interval(comparator);
        lowest = lowest.max(from);
        beyond = beyond.min(to);
    }
    lowest >= beyond
}

/// The versions that a comparator allows: from the first, up to but without the second.
fn interval(comparator: &Comparator) -> (Triple, Triple) {
    let major = u128::from(comparator.major);
    let minor = comparator.minor.map(u128::from);
    let patch = comparator.patch.map(u128::from);
    let first = (major, minor.unwrap_or(0), patch.unwrap_or(0));
    // The first version after all those that begin with the given numbers.
    let after = match (minor, patch) {
        (None, _) => (major + 1, 0, 0),
        (Some(minor), None) => (major, minor + 1, 0),
        (Some(minor), Some(patch)) => (major, minor, patch + 1),
    };
    let all = ((0, 0, 0), (u128::MAX, 0, 0));
    match comparator.op {
        Op::Exact | Op::Wildcard => (first, after),
        Op::Greater => (after, all.1),
        Op::GreaterEq => (first, all.1),
        Op::Less => (all.0, first),
        Op::LessEq => (all.0, after),
        Op::Tilde => (first, minor.map_or((major + 1, 0, 0), |minor| (major, minor + 1, 0))),
        Op::Caret => {
            let end = match (major, minor, patch) {
                (0, Some(0), Some(patch)) => (0, 0, patch + 1),
                (0, Some(minor), _) => (0, minor + 1, 0),
                _ => (major + 1, 0, 0),
            };
            (first, end)
        }
        // A later operator: nothing is known, so nothing is refused.
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use semver::Version;

    use super::*;

    #[test]
    fn what_no_version_can_meet() {
        for (text, empty) in [
            (">2, <1", true),
            ("<0.0.0", true),
            (">1.0.0, <1.0.1", true),
            ("=1.2, =1.3", true),
            ("^1, ^2", true),
            ("~1.2, >=1.3", true),
            (">1, <2", true),
            ("1.*, >=2", true),
            ("<=1.2.3, >=1.2.3", false),
            (">1.0.0-alpha, <1.0.0", false),
            ("*", false),
            ("^0.0", false),
            (">18446744073709551615", false),
        ] {
            assert_eq!(is_empty(&VersionReq::parse(text).unwrap()), empty, "{text}");
        }
    }

    fn comparator() -> impl Strategy<Value = String> {
        let op = prop::sample::select(vec!["", "=", ">", ">=", "<", "<=", "~", "^"]);
        let number = 0..4u64;
        (op, number.clone(), prop::option::of((number.clone(), prop::option::of(number)))).prop_map(
            |(op, major, rest)| match rest {
                None => format!("{op}{major}"),
                Some((minor, None)) => format!("{op}{major}.{minor}"),
                Some((minor, Some(patch))) => format!("{op}{major}.{minor}.{patch}"),
            },
        )
    }

    proptest! {
        #[test]
        fn emptiness_is_what_semver_says(parts in prop::collection::vec(comparator(), 1..4)) {
            let requirement = VersionReq::parse(&parts.join(", ")).unwrap();
            let meets = |major| move |minor| move |patch| Version::new(major, minor, patch);
            let mut all = (0..6).flat_map(|a| (0..6).flat_map(move |b| (0..6).map(meets(a)(b))));
            prop_assert_eq!(is_empty(&requirement), !all.any(|version| requirement.matches(&version)));
        }
    }
}
