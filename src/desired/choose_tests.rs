//! Choosing: a table of what is chosen, one of what is said instead, and independence of order.

use proptest::prelude::*;

use super::*;
use crate::model::pack::{Case, InstallMap, Modes};

fn pack(pattern: &str) -> Pack {
    Pack {
        name: "slack".parse().unwrap(),
        source: "packs".parse().unwrap(),
        dir: None,
        aliases: Vec::new(),
        tag: TagPattern::new(pattern).unwrap(),
        install: InstallMap::default(),
        host_owns: Vec::new(),
        host_keys: Vec::new(),
        modes: Modes::default(),
        case: Case::default(),
        requires: Vec::new(),
        version_key: "slack_version".into(),
        checks: Vec::new(),
        atomic: true,
        care: Default::default(),
    }
}

/// The commit of the n-th ref.
fn id(number: usize) -> CommitId {
    CommitId::new(&format!("{number:040x}")).unwrap()
}

fn refs(tags: &[&str], branches: &[&str]) -> Refs {
    let make = |names: &[&str], first: usize| -> Vec<Ref> {
        let mut refs: Vec<Ref> = names
            .iter()
            .enumerate()
            .map(|(at, name)| Ref {
                name: name.trim_start_matches('!').to_owned(),
                // A `!` marks a tag that leads to no commit.
                commit: (!name.starts_with('!')).then(|| id(first + at)),
                object: None,
            })
            .collect();
        refs.sort_by(|left, right| left.name.cmp(&right.name));
        refs
    };
    Refs { tags: make(tags, 0), branches: make(branches, 100) }
}

fn version(range: &str) -> Requirement {
    Requirement::Version(range.parse().unwrap())
}

#[test]
fn what_is_chosen() {
    let tags = [
        "v1.0.0",
        "v1.1.0",
        "v1.2.0-rc.1",
        "v1.10.0",
        "v2.0.0-beta.1",
        "v0.9.0",
        "v3.0.0+b",
        "v3.0.0+a",
        "slack-v1.4.0",
        "v1.11",
        "latest",
    ];
    let branches = ["main", "feature/x", "v1.0.0"];
    for (pattern, requirement, label, found_by, at) in [
        ("v{version}", version("1"), "1.10.0", "v1.10.0", 3),
        ("v{version}", version("~1.1"), "1.1.0", "v1.1.0", 1),
        ("v{version}", version(">=1.0, <1.2"), "1.1.0", "v1.1.0", 1),
        ("v{version}", version("=1.0.0"), "1.0.0", "v1.0.0", 0),
        ("v{version}", version("<1"), "0.9.0", "v0.9.0", 5),
        ("v{version}", version("1.2.0-alpha, <1.2.0"), "1.2.0-rc.1", "v1.2.0-rc.1", 2),
        ("v{version}", version("2.0.0-beta"), "2.0.0-beta.1", "v2.0.0-beta.1", 4),
        ("v{version}", version("*"), "3.0.0+b", "v3.0.0+b", 6),
        ("slack-v{version}", version("1"), "1.4.0", "slack-v1.4.0", 8),
        ("v{version}", Requirement::Tag("v1.1.0".into()), "1.1.0", "v1.1.0", 1),
        ("v{version}", Requirement::Tag("latest".into()), "0000000", "latest", 10),
        ("slack-v{version}", Requirement::Tag("v1.1.0".into()), "0000000", "v1.1.0", 1),
        // A branch is labelled by its commit, whatever tags lead there, and found although a tag has its name.
        ("v{version}", Requirement::Branch("v1.0.0".into()), "0000000", "v1.0.0", 102),
        ("v{version}", Requirement::Branch("feature/x".into()), "0000000", "feature/x", 101),
    ] {
        let chosen = choose(&pack(pattern), &requirement, &refs(&tags, &branches)).unwrap();
        assert_eq!(chosen.at, Wanted::Commit(id(at)), "{requirement}");
        assert_eq!(chosen.found_by, found_by, "{requirement}");
        assert_eq!(chosen.label(&id(at)), label, "{requirement}");
        let tree = TreeDigest::from_bytes([0; 32]);
        let pin = chosen.pin(id(at), tree);
        assert_eq!((pin.version.as_str(), pin.commit), (label, Some(id(at))));
    }
    let rev = choose(&pack("v{version}"), &Requirement::Rev("abc1234".into()), &Refs::default()).unwrap();
    assert_eq!(rev.at, Wanted::Rev("abc1234".into()));
    assert_eq!((rev.found_by.as_str(), rev.version), ("abc1234", None));
}

#[test]
fn what_is_said_instead() {
    let many = ["v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "v2.0.0", "v2.1.0", "v3.0.0-rc.1"];
    for (tags, branches, requirement, expected) in [
        (
            &[][..],
            &["main"][..],
            version("1"),
            "nothing to match version ^1 with: the source has no tags; use branch or rev",
        ),
        (
            &["release-1", "x\u{1b}"],
            &[],
            version("1"),
            "no tag fits the pattern \"v{version}\"; there are \"x\\u{1b}\", \"release-1\"",
        ),
        (
            &many,
            &[],
            version("^1.4"),
            "no version matches ^1.4; the nearest are 1.2.0, 1.3.0, 2.0.0, 2.1.0, 3.0.0-rc.1 and 2 more",
        ),
        (
            &many,
            &[],
            version("3"),
            "no version matches ^3; the nearest are 1.2.0, 1.3.0, 2.0.0, 2.1.0, 3.0.0-rc.1 and 2 more; \
             3.0.0-rc.1 is a pre-release, which only a range that names one chooses",
        ),
        (&["v1.0.0"], &[], version(">=0.1, <0.2"), "no version matches >=0.1, <0.2; the nearest is 1.0.0"),
        (&["v1.0.0", "!v1.1.0"], &[], version("1"), "tag \"v1.1.0\" leads to no commit"),
        (&["!key"], &[], Requirement::Tag("key".into()), "tag \"key\" leads to no commit"),
        (
            &["v1.0.0"],
            &[],
            Requirement::Tag("v1.0".into()),
            "there is no tag \"v1.0\"; did you mean \"v1.0.0\"?",
        ),
        (
            &[],
            &["develop", "main"],
            Requirement::Branch("devlop".into()),
            "there is no branch \"devlop\"; did you mean \"develop\"?",
        ),
        (
            &["main"],
            &["develop"],
            Requirement::Branch("main".into()),
            "there is no branch \"main\"; there is a tag by that name",
        ),
        (
            &[],
            &["a", "b", "c", "d", "e", "f"],
            Requirement::Branch("zzz".into()),
            "there is no branch \"zzz\"; there are \"f\", \"e\", \"d\", \"c\", \"b\" and 1 more",
        ),
        (&[], &[], Requirement::Tag("v1".into()), "there is no tag \"v1\""),
    ] {
        let error = choose(&pack("v{version}"), &requirement, &refs(tags, branches)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #[test]
    fn the_choice_does_not_depend_on_order(
        numbers in prop::collection::btree_set((0u64..3, 0u64..3, 0u64..3), 1..12),
        seed in any::<prop::sample::Index>(),
    ) {
        let tags: Vec<String> = numbers.iter().map(|(a, b, c)| format!("v{a}.{b}.{c}")).collect();
        let names: Vec<&str> = tags.iter().map(String::as_str).collect();
        let refs = refs(&names, &[]);
        let mut turned = refs.clone();
        turned.tags.rotate_left(seed.index(numbers.len()));
        for range in ["*", "1", "~1.1", ">=0.1, <2"] {
            let chosen = choose(&pack("v{version}"), &version(range), &refs);
            prop_assert_eq!(&chosen, &choose(&pack("v{version}"), &version(range), &turned));
            let range: semver::VersionReq = range.parse().unwrap();
            let versions = numbers.iter().map(|(a, b, c)| Version::new(*a, *b, *c));
            let expected = versions.filter(|version| range.matches(version)).max();
            prop_assert_eq!(chosen.ok().and_then(|chosen| chosen.version), expected);
        }
    }
}
