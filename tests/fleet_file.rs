//! What a fleet file may say, and what is said of one that may not: each line is a text and all its problems,
//! with their places.

#[path = "fleet_file/problems.rs"]
mod table;

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use packfleet::desired::fleet_file::{Context, FleetText, includes, parse};
use packfleet::desired::problem::{Problem, Problems, masked_source};
use packfleet::desired::schema::json_schema;
use packfleet::desired::selector::{Selector, SelectorError, select};
use packfleet::model::fleet::{Changed, Deleted, Fleet, Source};
use packfleet::model::pack::Requirement;
use proptest::prelude::*;
use serde_json::Value;
use table::CASES;

/// A fleet with one source and one pack, in nine lines; the cases go on in line 10.
const HEAD: &str = r#"[fleet]
name = "t"
[sources.s]
url = "https://example.org/s.git"
[packs.p]
source = "s"
dir = "."
target = "p"

"#;

fn context() -> Context {
    let overlay = |name: &str, pack: Option<&str>| (name.to_owned(), pack.map(str::to_owned));
    Context {
        directory: Utf8PathBuf::from("/srv/fleet"),
        overlays: [overlay("quiet", None), overlay("loud", Some("p")), overlay("other", Some("q"))].into(),
    }
}

fn files(texts: &[(&str, &str)]) -> Vec<FleetText> {
    texts.iter().map(|(name, text)| FleetText { name: (*name).into(), text: (*text).into() }).collect()
}

fn fleet(text: &str) -> Fleet {
    match parse(&files(&[("fleet.toml", text)]), &context()) {
        Ok(fleet) => fleet,
        Err(problems) => panic!("{:#?}", shown(&problems, &[("fleet.toml", text)])),
    }
}

/// `line:column underlined: message`, and the hint after an arrow.
fn shown(problems: &Problems, texts: &[(&str, &str)]) -> Vec<String> {
    let show = |problem: &Problem| {
        let (at, (_, text)) = texts
            .iter()
            .enumerate()
            .find(|(_, (name, _))| *name == problem.file)
            .expect("a file that exists");
        let file = if at == 0 { String::new() } else { format!("{} ", problem.file) };
        let (line, column) = problem.line_column(text);
        let underlined = text[problem.span.clone()].split('\n').next().unwrap_or_default();
        assert!(!problem.message.is_empty() && !problem.label.is_empty());
        let hint = problem.hint.as_ref().map_or(String::new(), |hint| format!(" → {hint}"));
        format!("{file}{line}:{column} {underlined}: {}{hint}", problem.message)
    };
    problems.0.iter().map(show).collect()
}

fn problems(texts: &[(&str, &str)]) -> Vec<String> {
    match parse(&files(texts), &context()) {
        Ok(_) => Vec::new(),
        Err(problems) => shown(&problems, texts),
    }
}

/// The problems of what follows the head.
fn after_head(text: &str) -> Vec<String> {
    problems(&[("fleet.toml", &format!("{HEAD}{text}"))])
}

#[test]
fn every_problem_is_found_and_placed() {
    let mut failures = Vec::new();
    for (title, text, expected) in CASES {
        let found = after_head(text);
        if found != *expected {
            failures.push(format!("{title}:\n  found {found:#?}\n  expected {expected:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const FULL: &str = include_str!("fleet_file/full.toml");

/// A file with every key is a fleet.
#[test]
fn every_key_is_accepted() {
    let texts = [("fleet.toml", FULL)];
    let fleet =
        parse(&files(&texts), &context()).unwrap_or_else(|found| panic!("{:?}", shown(&found, &texts)));
    let status = fleet.status.expect("[status]");
    assert_eq!((status.heartbeat.as_secs(), status.hosts.len()), (3600, 1));
    assert!(status.key.is_some());
    assert_eq!((fleet.outward.notify.len(), fleet.outward.listen.is_some()), (1, true));
}

/// The file with every key has every key that the schema has, and the schema every key of the file.
#[test]
fn the_fixture_and_the_schema_know_the_same_keys() {
    fn keys_of(value: &toml::Value, keys: &mut BTreeSet<String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                keys.insert(key.clone());
                keys_of(value, keys);
            }),
            toml::Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
            _ => {}
        }
    }
    fn properties_of(value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::Object(properties)) = object.get("properties") {
                    keys.extend(properties.keys().cloned());
                }
                object.values().for_each(|value| properties_of(value, keys));
            }
            Value::Array(items) => items.iter().for_each(|item| properties_of(item, keys)),
            _ => {}
        }
    }
    let (mut used, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys_of(&FULL.parse::<toml::Table>().map(toml::Value::Table).expect("TOML"), &mut used);
    properties_of(&json_schema(), &mut known);
    // Instead of `git`, which the file has.
    used.insert("directory".to_owned());
    let unused: Vec<&String> = known.difference(&used).collect();
    assert!(unused.is_empty(), "keys that the fixture lacks: {unused:?}");
    // What is left are names: of sources, packs, profiles and deployments, and paths of install maps.
    let names: Vec<&String> = used.difference(&known).filter(|key| !key.contains(['.', '-'])).collect();
    assert_eq!(names, ["apple", "field", "here", "north", "pear", "remote", "south", "src", "stump"]);
}

const ORCHARD: &str = r#"
[fleet]
name = "orchard"
edits = { changed = "keep" }
version_file = "VERSION"

[sources.remote]
url = "../trees.git"
[sources.here]
path = "./packs"

[packs.apple]
source = "remote"
dir = "."
install = { "src" = "bin", "README.md" = "doc/apple.md" }
edits = { changed = "merge", deleted = "keep" }
[packs.pear]
source = "here"
dir = "pear"
target = "pear"
requires = ["apple"]

[profiles.field]
host = "local"
root = "field/{}"
labels = ["field"]
edits = { deleted = "restore" }
packs.apple = { version = "^1.2", overlays = ["quiet"], features = ["juice"] }
packs.pear = {}

[deployments."row-{08..10}"]
profile = "field"
labels = ["row", "row-{}"]
location = "row {}"
depends_on = ["label:hill", "north"]

[deployments.row-09]
labels = ["ill"]
location = "the ill one, not {}"
edits = { changed = "revert" }
packs.apple = { branch = "main" }

[deployments.north]
host = "local"
root = "/srv/north/"
labels = ["hill"]
state = "absent"
packs.pear = {}
"#;

#[test]
fn profiles_ranges_and_policies_are_followed() {
    let fleet = fleet(ORCHARD);
    let names: Vec<&str> = fleet.deployments.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["north", "row-08", "row-09", "row-10"]);
    assert_eq!(fleet.sources["here"], Source::Directory("/srv/fleet/packs".into()));
    let Source::Git { url, .. } = &fleet.sources["remote"] else { panic!("a git source") };
    assert_eq!(url.expose(), "/srv/trees.git");
    assert_eq!(fleet.keep_generations, 20);
    assert_eq!((fleet.budget.max_delete, fleet.budget.max_change), (25, 100));
    let pack = &fleet.packs["apple"];
    assert_eq!((pack.dir.as_ref(), pack.version_key.as_str(), pack.atomic), (None, "apple_version", true));

    let labels = |name: &str| fleet.deployments[name].labels.iter().cloned().collect::<Vec<_>>().join(" ");
    let eight = &fleet.deployments["row-08"];
    assert_eq!(eight.root.as_str(), "/srv/fleet/field/08");
    assert_eq!((labels("row-08").as_str(), eight.location.as_deref()), ("field row row-08", Some("row 08")));
    assert_eq!(eight.depends_on.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["north"]);
    let apple = &eight.packs["apple"];
    assert_eq!(apple.requirement.to_string(), "version ^1.2");
    assert_eq!(apple.overlays.len() + apple.features.len(), 2);
    // A pack's policy over the fleet's, the deployment's over both, key by key.
    assert_eq!((apple.edits.changed, apple.edits.deleted), (Changed::Merge, Deleted::Restore));
    assert_eq!((eight.edits.changed, eight.edits.deleted), (Changed::Keep, Deleted::Restore));

    let nine = &fleet.deployments["row-09"];
    assert_eq!(labels("row-09"), "field ill row row-09");
    assert_eq!(nine.location.as_deref(), Some("the ill one, not 09"));
    // A pin is replaced whole.
    let apple = &nine.packs["apple"];
    assert_eq!(apple.requirement, Requirement::Branch("main".into()));
    assert_eq!(apple.overlays.len() + apple.features.len(), 0);
    assert_eq!(apple.edits.changed, Changed::Revert);

    let north = &fleet.deployments["north"];
    assert_eq!(north.root.as_str(), "/srv/north");
    assert!(north.packs.is_empty(), "an absent deployment has no packs");
}

/// A deployment is dropped from what its own glob or label matches, but not from its own name.
#[test]
fn a_deployment_does_not_wait_for_itself() {
    let text = format!(
        "{HEAD}[deployments.a]\nhost = \"local\"\nroot = \"/a\"\nlabels = [\"x\"]\n\
         depends_on = [\"label:x\", \"a*\", \"a+label:x\", \"b\"]\n\
         [deployments.b]\nhost = \"local\"\nroot = \"/b\"\n"
    );
    let fleet = fleet(&text);
    assert_eq!(fleet.deployments["a"].depends_on.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["b"]);
    for (own, cycle) in [("\"row-08\"]", "row-08 → row-08"), ("\"row-*\"]", "row-08 → row-09 → row-08")]
    {
        let found = problems(&[("fleet.toml", &ORCHARD.replace("\"north\"]", own))]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains(&format!("wait for each other: {cycle} → remove")), "{found:#?}");
    }
}

#[test]
fn a_whole_fleet_depends_only_on_its_words() {
    let first = fleet(ORCHARD);
    assert_eq!(first, fleet(ORCHARD));
    // The same stanzas in files of their own, in any order.
    let (head, rest) = ORCHARD.split_at(ORCHARD.find("[profiles").expect("profiles"));
    let (profiles, deployments) = rest.split_at(rest.find("[deployments").expect("deployments"));
    let parts = [("fleet.toml", head), ("a.toml", profiles), ("b.toml", deployments)];
    let swapped = [parts[0], parts[2], parts[1]];
    for texts in [parts, swapped] {
        assert_eq!(parse(&files(&texts), &context()).expect("a fleet"), first);
    }
}

#[test]
fn names_are_given_once_in_all_files() {
    let main = format!("{HEAD}[deployments.a]\nhost = \"local\"\nroot = \"/a\"\n");
    let other = "[packs.p]\nsource = 1\n\n[deployments.a]\n[deployments.b]\nhost = \"local\"\n\
                 root = \"/a/b\"\n[limits]\n[fleet]\n";
    let texts = [("fleet.toml", main.as_str()), ("more/x.toml", other), ("more/y.toml", "packs = 1\n")];
    let once = "a name is given once in all files; rename or remove one of the two";
    let includable = "an included file may hold sources, packs, profiles, deployments";
    let expected = [
        format!("more/x.toml 1:8 p: \"p\" is given twice, first at fleet.toml:5:8 → {once}"),
        format!("more/x.toml 4:14 a: \"a\" is given twice, first at fleet.toml:10:14 → {once}"),
        "more/x.toml 7:8 \"/a/b\": \"/a/b\", the root of b, lies in \"/a\", the root of a \
         → deployments on one host need roots apart; several packs can share one deployment"
            .into(),
        format!("more/x.toml 8:2 limits: \"limits\" belongs into the fleet file itself → {includable}"),
        format!("more/x.toml 9:2 fleet: \"fleet\" belongs into the fleet file itself → {includable}"),
        "more/y.toml 1:9 1: `packs` must be a table; this is an integer".into(),
    ];
    assert_eq!(problems(&texts), expected);
}

#[test]
fn a_broken_file_hides_no_problem_of_another() {
    let texts =
        [("fleet.toml", HEAD), ("x.toml", "a =\n"), ("y.toml", "[packs.q]\nzzz = 1\nsource = \"t\"\n")];
    let found = problems(&texts);
    // What "t" is, the broken file may say.
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("x.toml 1:4") && found[1].starts_with("y.toml 2:1 zzz"), "{found:#?}");
}

#[test]
fn includes_are_known_before_the_rest_is_right() {
    let patterns: Vec<String> = includes(FULL).into_iter().map(|include| include.pattern).collect();
    assert_eq!(patterns, ["more/*.toml", "sites.toml"]);
    let text = "[fleet]\ninclude = [\"../x\", \"/x\", \"a/./b\", \"[\", \"ok/*.toml\", 1]\nzzz = 1\n";
    let found = includes(text);
    assert_eq!(found.len(), 1);
    assert_eq!(&text[found[0].span.clone()], "\"ok/*.toml\"");
    assert!(includes("[fleet\n").is_empty());
    let lines = problems(&[("fleet.toml", text)]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("2:")).count(), 5, "{lines:#?}");
}

#[test]
fn files_of_the_deployment_are_in_nobodys_way() {
    let own = "where pack p installs \"p\" → give it a path of its own";
    for (keys, found) in [
        ("version_file = \"p\"", format!("3:16 \"p\": `fleet.version_file` is \"p\", {own}")),
        ("sync_log = \"p\"", format!("3:12 \"p\": `fleet.sync_log` is \"p\", {own}")),
        ("version_file = \"p/VERSION\"", String::new()),
        (
            "version_file = \"x\"\nsync_log = \"x/y\"",
            "4:12 \"x/y\": `fleet.version_file` and `fleet.sync_log` are in each other's way".into(),
        ),
        (
            "version_file = \"/x\"",
            "3:16 \"/x\": `fleet.version_file`: \"/x\" is absolute → write it without the leading `/`: it is relative".into(),
        ),
    ] {
        let text = HEAD.replace("name = \"t\"", &format!("name = \"t\"\n{keys}"));
        assert_eq!(problems(&[("fleet.toml", &text)]).join("\n"), found, "{keys}");
    }
}

#[test]
fn the_fleet_itself_must_be_there() {
    let found = problems(&[("fleet.toml", "")]);
    assert_eq!(
        found,
        ["1:1 : the file has no [fleet] table → begin with [fleet] and a name: name = \"my-fleet\""]
    );
    let found = problems(&[("fleet.toml", "[fleet]\n")]);
    assert_eq!(found, ["1:1 [fleet]: fleet has no `name` → name = \"my-fleet\""]);
    assert!(parse(&[], &context()).is_err_and(|problems| !problems.0.is_empty()));
}

#[test]
fn what_is_too_much_is_refused_in_time() {
    let long = format!("{HEAD}# {}", "x".repeat(10 << 20));
    let expected = format!(
        "1:1 [fleet]: the file has {} bytes; a fleet file may have at most 10 MiB → move deployments into files of their own, by `include`",
        long.len()
    );
    let found = problems(&[("fleet.toml", &long)]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].replace("1:1 :", "1:1 [fleet]:"), expected);
    // Dropping tables nested this deeply would exhaust the stack.
    for text in [
        format!("[{}a]\n", "a.".repeat(1 << 20)),
        format!("{}a = 1\n", "a.".repeat(1 << 20)),
        format!("x = {}\n", "{ a.a.a.a = ".repeat(1 << 18)),
        format!("x = {}\n", "[".repeat(1 << 20)),
        format!("x = {}1{}\n", format!("{{ {}a = ", "a.".repeat(75)).repeat(75), " }".repeat(75)),
    ] {
        let found = problems(&[("fleet.toml", &text)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with("nested too deeply to be a fleet file"), "{found:?}");
    }
    // Ten thousand deployments, each of which says much: the sum is refused, not built.
    let text = format!(
        "{HEAD}[deployments.\"a-{{1..10000}}\"]\nhost = \"local\"\nroot = \"/a/{{}}\"\nlabels = [\"{}\"]\n",
        vec!["x".repeat(100); 1000].join("\", \"")
    );
    let found = problems(&[("fleet.toml", &text)]);
    assert!(found.iter().any(|line| line.contains("too large")), "{found:?}");
    // And each of them waiting for all others.
    let text = format!(
        "{HEAD}[deployments.\"a-{{1..5000}}\"]\nhost = \"local\"\nroot = \"/a/{{}}\"\nlabels = [\"x\"]\n\
         [deployments.\"b-{{1..5000}}\"]\nhost = \"local\"\nroot = \"/b/{{}}\"\ndepends_on = [\"label:x\"]\n"
    );
    let found = problems(&[("fleet.toml", &text)]);
    assert!(found.iter().any(|line| line.contains("more than 500000 dependencies")), "{found:?}");
}

#[test]
fn a_thousand_problems_are_enough() {
    let keys: Vec<String> = (0..5000).map(|number| format!("k{number} = 1")).collect();
    let found = problems(&[("fleet.toml", &format!("{HEAD}[limits]\n{}", keys.join("\n")))]);
    assert_eq!(found.len(), 1000);
    assert!(
        found[999].ends_with("→ 4000 more problems follow; they are shown once some of these are solved")
    );
}

#[test]
fn many_deployments_are_no_problem() {
    let text = format!(
        "{HEAD}[profiles.x]\nhost = \"local\"\npacks.p = {{ version = \"1\" }}\n\
         [deployments.\"edge-{{00001..10000}}\"]\nprofile = \"x\"\nroot = \"/edge/{{}}\"\ndepends_on = [\"canary\"]\n\
         [deployments.canary]\nprofile = \"x\"\nroot = \"/canary\"\n"
    );
    assert_eq!(fleet(&text).deployments.len(), 10_001);
}

#[test]
fn no_problem_and_no_snippet_shows_a_secret() {
    let text = r#"[fleet]
name = "t"
[sources.a]
url = "https://bob:hunter2@example.org:x/y"
zzz = 1
[sources.b]
url = "ftp://bob:hunter2@example.org/y"
[sources.c]
path = "https://bob:hunter2@example.org/y"
[sources.d]
url = "https://bob:hun/ter2@example.org/y"
[sources."https://bob:hunter2@x"]
[run]
webhook_secret = "hunter2"
webhok_secret = "hunter2"
[[notify]]
url = "https://hooks.example.org/hunter2"
[status]
git = "https://hunter2@example.org/"
heartbeat = "https://hunter2@example.org/"
"#;
    let error = parse(&files(&[("fleet.toml", text)]), &context()).expect_err("problems");
    assert!(error.0.len() > 9);
    let masked = masked_source(text);
    for problem in &error.0 {
        let snippet = &masked[problem.span.clone()];
        let said = format!("{} {} {:?} {snippet}", problem.message, problem.label, problem.hint);
        assert!(!said.contains("hunter2") && !said.contains("ter2"), "{said}");
    }
    assert!(!masked.contains("hunter2") && !masked.contains("hun/ter2"), "{masked}");
    let ok = fleet("[fleet]\nname = \"t\"\n[sources.a]\nurl = \"https://bob:hunter2@example.org/y\"\n");
    assert!(!format!("{ok:?}").contains("hunter2"));
}

#[test]
fn selections() {
    let fleet = fleet(ORCHARD);
    let selected = |texts: &[&str]| {
        let selectors: Vec<Selector> =
            texts.iter().map(|text| Selector::parse(text).expect("a selector")).collect();
        let names = select(&fleet, &selectors)?;
        Ok::<_, SelectorError>(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    for (texts, expected) in [
        (&[][..], "north row-08 row-09 row-10"),
        (&["north"], "north"),
        (&["row-*", "north"], "north row-08 row-09 row-10"),
        (&["label:field+row-?9"], "row-09"),
        (&["label:ill", "label:hill"], "north row-09"),
    ] {
        assert_eq!(selected(texts).expect("a match"), expected, "{texts:?}");
    }
    for (text, near) in
        [("nroth", Some("north")), ("label:feild", Some("label:field")), ("zzz", None), ("a*", None)]
    {
        let error = selected(&["north", text]).expect_err("no match");
        assert_eq!(error, SelectorError::NoMatch { selector: text.into(), near: near.map(str::to_owned) });
    }
}

/// Whatever comes in, what comes out is a fleet or problems with places in the text, and always the same.
fn understood(text: &str) {
    let texts = [FleetText { name: "fleet.toml".into(), text: text.into() }];
    let first = parse(&texts, &context());
    assert_eq!(first, parse(&texts, &context()));
    for include in includes(text) {
        assert!(text.get(include.span).is_some());
    }
    let masked = masked_source(text);
    assert_eq!(masked.len(), text.len());
    if let Err(problems) = first {
        assert!(!problems.0.is_empty());
        for problem in problems.0 {
            assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
            assert!(masked.get(problem.span.clone()).is_some(), "{problem:?}");
            problem.line_column(text);
        }
    }
}

/// Pieces of which broken and unbroken TOML is made.
fn piece() -> impl Strategy<Value = String> {
    let brackets = ["[", "]", "[[", "]]", "{", "}", ".", ",", " = ", "\n", "\r\n", "#", "\u{feff}", "\0"];
    let quotes = ["\"", "'", "\"\"\"", "'''", "\\", "://", "@", "secret = ", "<<<<<<< ", ">>>>>>>"];
    let keys = ["fleet", "packs", "deployments", "profiles", "a", "\"a-{1..3}\"", "name", "host", "root"];
    let values = ["\"local\"", "\"/x/{}\"", "1", "-1", "1.5", "true", "nan", "2026-12-01", "0x1F", "ä"];
    let lines = [
        "[deployments.a]\n",
        "[[deployments]]\n",
        "[packs.p]\n",
        "depends_on = [\"*\"]\n",
        "profile = \"a\"\n",
        "[profiles.a]\n",
    ];
    let all = [&brackets[..], &quotes, &keys, &values, &lines].concat();
    prop_oneof![
        4 => prop::sample::select(all).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #[test]
    fn any_text_is_understood(text in any::<String>()) {
        understood(&text);
    }

    #[test]
    fn any_heap_of_pieces_is_understood(pieces in prop::collection::vec(piece(), 0..60)) {
        understood(&pieces.concat());
    }

    #[test]
    fn any_damage_is_understood(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, piece()), 1..4),
        whole in prop::sample::select(vec![FULL, ORCHARD]),
    ) {
        let mut text: Vec<char> = whole.chars().collect();
        for (at, length, piece) in cuts {
            let start = at.index(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        understood(&text.into_iter().collect::<String>());
    }
}
