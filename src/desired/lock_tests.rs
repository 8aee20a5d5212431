//! The lock file: its text, what is refused and where, and the round trip.

use proptest::prelude::*;

use super::*;

const COMMIT: &str = "0123456789012345678901234567890123456789";
const TREE: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

fn name(text: &str) -> PackName {
    PackName::new(text).unwrap()
}

fn entry(pack: &str, requirement: &Requirement, found_by: FoundBy) -> Locked {
    let (commit, tree) = (CommitId::new(COMMIT).unwrap(), TREE.parse().unwrap());
    Locked::new(name(pack), requirement, "1.2.0".into(), found_by, commit, tree)
}

fn requirement(text: &str) -> Requirement {
    Requirement::Version(semver::VersionReq::parse(text).unwrap())
}

#[test]
fn text_and_back() {
    let mut lock = Lock::default();
    let tag = FoundBy::Tag { name: "v1.2.0".into(), object: Some(CommitId::new(COMMIT).unwrap()) };
    assert_eq!(lock.insert(entry("slack", &requirement("^1.1"), tag)), None);
    let branch = Requirement::Branch("a \"b\"".into());
    assert_eq!(lock.insert(entry("core", &branch, FoundBy::Branch("a \"b\"".into()))), None);
    let expected = format!(
        "{HEADER}format = 1\n\n[[pin]]\npack = \"core\"\nrequirement = 'branch a \"b\"'\nversion = \"1.2.0\"\n\
         branch = 'a \"b\"'\ncommit = \"{COMMIT}\"\ntree = \"{TREE}\"\n\n[[pin]]\npack = \"slack\"\n\
         requirement = \"version ^1.1\"\nversion = \"1.2.0\"\ntag = \"v1.2.0\"\ntag_object = \"{COMMIT}\"\n\
         commit = \"{COMMIT}\"\ntree = \"{TREE}\"\n"
    );
    assert_eq!(lock.print(), expected);
    assert_eq!(Lock::parse(&expected), Ok(lock.clone()));
    assert_eq!(Lock::parse(&expected.replace('\n', "\r\n")), Ok(lock.clone()));
    let found = lock.find(&name("slack"), &requirement("^1.1")).unwrap();
    assert_eq!(found.pin().found_by, "v1.2.0");
    assert_eq!(lock.find(&name("slack"), &requirement("^1.2")), None);
    assert_eq!(lock.find(&name("core"), &requirement("^1.1")), None);
    lock.retain(|locked| locked.pack.as_str() == "core");
    assert_eq!(lock.entries().count(), 1);
    assert_eq!(Lock::parse("format = 1"), Ok(Lock::default()));
}

#[test]
fn what_is_no_lock_is_refused_with_its_place() {
    let pin = format!(
        "format = 1\n[[pin]]\npack = \"p\"\nrequirement = \"branch b\"\nversion = \"1\"\nbranch = \"b\"\n\
         commit = \"{COMMIT}\"\ntree = \"{TREE}\"\n"
    );
    assert!(Lock::parse(&pin).is_ok());
    let second = pin.strip_prefix("format = 1\n").unwrap();
    for (text, line, column, reason) in [
        (String::new(), 1, 1, "missing field `format`"),
        ("format = 2".into(), 1, 10, "format 2 is unknown"),
        ("format = \"1\"".into(), 1, 10, "invalid type"),
        (pin.replace("version = ", "versoin = "), 5, 1, "unknown field `versoin`"),
        (format!("{pin}version = \"2\"\n"), 9, 1, "duplicate key"),
        (pin.replace("[[pin]]", "[[pins]]"), 2, 3, "unknown field `pins`"),
        (pin.replace("branch = \"b\"\n", ""), 2, 1, "exactly one of"),
        (pin.replace("branch = ", "rev = \"1\"\nbranch = "), 2, 1, "exactly one of"),
        (pin.replace("branch = ", "tag = \"1\"\nbranch = "), 2, 1, "exactly one of"),
        (
            pin.replace("commit = ", &format!("tag_object = \"{COMMIT}\"\ncommit = ")),
            7,
            14,
            "belongs to a tag",
        ),
        (pin.replace(COMMIT, "0123"), 7, 10, "commit: \"0123\" is no full commit id"),
        (pin.replace(TREE, "00"), 8, 8, "tree: \"00\" is no digest"),
        (pin.replace("\"p\"", "\"-p\""), 3, 8, "pack: a name may not begin"),
        (pin.replace("\"1\"", "\"\\u001b[2J\""), 5, 11, "version: "),
        (pin.replace("\"branch b\"", "\"\""), 4, 15, "requirement: "),
        (format!("{pin}{second}"), 9, 1, "has the requirement \"branch b\" twice"),
        (format!("<<<<<<< HEAD\n{pin}"), 1, 1, "a conflict marker"),
        ("format = 1\n[[pin".into(), 2, 6, ""),
    ] {
        let error = Lock::parse(&text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{error}\n{text}");
        assert!(error.reason.to_string().contains(reason), "{error}");
    }
}

fn locked() -> impl Strategy<Value = Locked> {
    let hex = |digits: usize| proptest::string::string_regex(&format!("[0-9a-f]{{{digits}}}")).unwrap();
    let commit = || prop_oneof![hex(40), hex(64)].prop_map(|text| CommitId::new(&text).unwrap());
    // Whatever git lets a branch be called, and more.
    let text = || "\\PC{1,12}";
    let found_by = prop_oneof![
        (text(), prop::option::of(commit())).prop_map(|(name, object)| FoundBy::Tag { name, object }),
        text().prop_map(FoundBy::Branch),
        text().prop_map(FoundBy::Rev),
    ];
    ("[a-z][a-z0-9._-]{0,5}", text(), text(), found_by, commit(), hex(64)).prop_map(
        |(pack, requirement, version, found_by, commit, tree)| Locked {
            pack: name(&pack),
            requirement,
            version,
            found_by,
            commit,
            tree: tree.parse().unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn parse_of_print(entries in prop::collection::vec(locked(), 0..6)) {
        let mut lock = Lock::default();
        for entry in entries.iter().cloned() {
            lock.insert(entry);
        }
        let text = lock.print();
        prop_assert_eq!(Lock::parse(&text), Ok(lock));
        let mut reversed = Lock::default();
        for entry in lock_of(&text) {
            reversed.insert(entry);
        }
        prop_assert_eq!(reversed.print(), text);
    }

    #[test]
    fn nothing_panics(text in "(format = 1\n)?(\\[\\[pin\\]\\]\n)?([a-z]{1,6} = (\"\\PC{0,4}\"|1)\n){0,4}\\PC{0,4}") {
        let _ = Lock::parse(&text);
    }
}

/// The pins of a text, last first.
fn lock_of(text: &str) -> Vec<Locked> {
    let mut entries: Vec<Locked> = Lock::parse(text).unwrap().entries().cloned().collect();
    entries.reverse();
    entries
}
