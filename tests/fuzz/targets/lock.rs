//! `fleet.lock` and `overlay.toml`: parse(print(x)) = x, and an edit means what was meant.

use packfleet::desired::lock::Lock;
use packfleet::desired::manifest::{Base, Manifest};
use packfleet::model::{TreeDigest, TreePath};

use super::{Target, texts};

/// The text of either file.
pub const TARGET: Target = Target {
    name: "lock",
    seeds: || {
        let digest = "0a".repeat(32);
        let commit = "1b".repeat(20);
        [
            format!(
                "# a comment\nformat = 1\n\n[[pin]]\npack = \"bot\"\nrequirement = \"version ^1\"\nversion = \"1.2.0\"\n\
                 tag = \"v1.2.0\"\ntag_object = \"{commit}\"\ncommit = \"{commit}\"\ntree = \"{digest}\"\n\n[[pin]]\n\
                 pack = \"core\"\nrequirement = \"branch main\"\nversion = \"1b1b1b1\"\nbranch = \"main\"\n\
                 commit = \"{commit}\"\ntree = \"{digest}\"\n"
            ),
            format!(
                "format = 1\npin = [{{ pack = \"a\", requirement = \"rev 1b\", version = \"1b\", rev = \"1b\", \
                 commit = \"{commit}\", tree = '{digest}' }}]\n"
            ),
            format!(
                "# mine\npack = \"bot\"   # the bot\nremove = [\"lib\", \"a b\"]\nverbatim = [\"x.patch\"]\n\
                 base = {{ version = \"1.0.0\", tree = \"{digest}\" }} # why\n"
            ),
            format!("pack = \"bot\"\n[base]\nversion = \"1.0.0\"\ntree = \"{digest}\"\n"),
            "pack = \"bot\"\nremove = [\n  \"a\", # never\n]\n".to_owned(),
        ]
        .map(String::into_bytes)
        .into()
    },
    words: &[
        "[[pin]]\n",
        "pack = ",
        "remove = ",
        "verbatim = ",
        "base = ",
        "base.tree = ",
        "tag = ",
        "rev = ",
        "\"",
        "'",
        "\"\"\"",
        "\\u0007",
        "\u{7f}",
        "\n",
        "\r\n",
        "[base]\n",
        "{ ",
        " }",
        "[",
        "]",
        "=",
        "<<<<<<< a\n",
        "#",
    ],
    check,
};

fn check(data: &[u8]) {
    let Some(texts) = texts(data) else { return };
    let Some(text) = texts.first() else { return };
    match Lock::parse(text) {
        Ok(lock) => {
            let printed = lock.print();
            assert_eq!(Lock::parse(&printed).as_ref(), Ok(&lock), "parse(print(x)) = x");
            let mut again = Lock::default();
            for entry in lock.entries() {
                assert_eq!(again.insert(entry.clone()), None, "a pin is there once");
            }
            assert_eq!(again.print(), printed);
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1),
    }
    if let Ok(manifest) = Manifest::parse(text) {
        assert_eq!(manifest.edited(text).as_deref().ok(), Some(*text), "nothing changed, nothing is written");
        let mut other = manifest.clone();
        other.remove.push(TreePath::new("some/path").expect("a path"));
        other.verbatim.clear();
        other.base = Some(Base { version: "2.0.0".into(), tree: TreeDigest::from_bytes([0x0f; 32]) });
        let edited = other.edited(text).expect("what was read can be edited");
        let read = Manifest::parse(&edited).unwrap_or_else(|error| panic!("{error}\n{edited}"));
        assert_eq!(read, other, "{edited}");
    }
}
