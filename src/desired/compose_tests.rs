//! What a host holds becomes an overlay that gives what the host holds.

use proptest::prelude::*;

use super::*;
use crate::model::Content;
use crate::model::pack::{Case, Install, InstallMap, Modes, TagPattern};

/// A path with what is wanted there.
type Wanted<'a> = (&'a str, Option<(Kind, &'a [u8])>);

type File<'a> = (&'a str, Kind, &'a [u8]);

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn pack() -> Pack {
    Pack {
        name: "bot".parse().unwrap(),
        source: "team".parse().unwrap(),
        dir: None,
        aliases: Vec::new(),
        tag: TagPattern::default(),
        install: InstallMap(vec![Install { from: None, to: Some(path("bot")) }]),
        host_owns: Vec::new(),
        host_keys: Vec::new(),
        modes: Modes::ExecBit,
        case: Case::Refuse,
        requires: Vec::new(),
        version_key: "bot_version".into(),
        checks: Vec::new(),
        atomic: true,
        care: Default::default(),
    }
}

/// A pack's files with their bytes.
struct World {
    pack: Pack,
    tree: Vec<PackEntry>,
    bytes: BTreeMap<Content, Vec<u8>>,
}

impl World {
    fn new(files: &[File<'_>]) -> Self {
        let entry = |(at, kind, bytes): &File<'_>| PackEntry {
            path: path(at),
            kind: *kind,
            content: Content::of(bytes),
            size: bytes.len() as u64,
            link: (*kind == Kind::Link).then(|| std::str::from_utf8(bytes).unwrap().into()),
        };
        let mut tree: Vec<PackEntry> = files.iter().map(entry).collect();
        tree.sort_by(|a, b| a.path.cmp(&b.path));
        let bytes = files.iter().map(|(_, _, bytes)| (Content::of(bytes), bytes.to_vec())).collect();
        Self { pack: pack(), tree, bytes }
    }

    fn overlay(&self, name: &str, manifest: &str, files: &[File<'_>]) -> Overlay {
        let base = PackTree::digest_of(&self.tree);
        let text = format!("pack = \"bot\"\nbase = {{ version = \"1.0.0\", tree = \"{base}\" }}\n{manifest}");
        let mut all: Files = files.iter().map(|(at, k, bytes)| (path(at), (*k, bytes.to_vec()))).collect();
        all.insert(path(MANIFEST), (Kind::File, text.into_bytes()));
        Overlay::new(name.parse().unwrap(), all).unwrap()
    }

    /// Composes behind `before`; each piece as it reads: `src/a.patch`, `remove src/b`, …
    fn compose(
        &self,
        before: &[Overlay],
        existing: Option<&Files>,
        wanted: &[Wanted<'_>],
    ) -> Result<(Composed, String), ComposeError> {
        let layers: Vec<Layer<'_>> =
            before.iter().map(|overlay| Layer { overlay, base: Some(&self.tree) }).collect();
        let bytes =
            |content: Content| self.bytes.get(&content).cloned().ok_or_else(|| "it is not there".to_owned());
        let standpoint = Standpoint {
            pack: &self.pack,
            tree: &self.tree,
            commit: None,
            version: "1.0.0",
            before: &layers,
            behind: &[],
            bytes: &bytes,
        };
        let wanted = wanted
            .iter()
            .map(|(at, side)| (path(at), side.map(|(kind, bytes)| Side { kind, bytes: bytes.to_vec() })));
        let wanted: BTreeMap<TreePath, Option<Side>> = wanted.collect();
        let name: OverlayName = "prod".parse().unwrap();
        let composed = standpoint.compose(&name, existing, &wanted, "Captured.")?;
        // The law, seen from outside.
        let own = Overlay::new(name, composed.files.clone()).unwrap();
        let found = standpoint.with(Some(Layer { overlay: &own, base: Some(&self.tree) })).unwrap();
        for (at, side) in &wanted {
            let entry = side.as_ref().map(|side| Entry::of(side.kind, &side.bytes));
            assert_eq!(found.get(at).map(|laid| laid.entry), entry, "{at}");
        }
        let files =
            composed.files.keys().filter(|file| file.as_str() != MANIFEST).map(|file| file.to_string());
        let gone = own.manifest.remove.iter().map(|gone| format!("remove {gone}"));
        let verbatim = own.manifest.verbatim.iter().map(|it| format!("verbatim {it}"));
        let says = files.chain(gone).chain(verbatim).collect::<Vec<_>>().join(", ");
        Ok((composed, says))
    }
}

const TEXT: &[u8] = b"1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const JSON: &[u8] = b"{\n  \"port\": 9000,\n  \"name\": \"bot\"\n}\n";

fn world() -> World {
    World::new(&[
        ("a.txt", Kind::File, TEXT),
        ("run", Kind::Exec, b"#!/bin/sh\n"),
        ("set.json", Kind::File, JSON),
        ("set.toml", Kind::File, b"# ports\nport = 9000 # ours\nname = \"bot\"\n"),
        ("bin", Kind::File, b"\0\x01"),
        ("link", Kind::Link, b"a.txt"),
    ])
}

#[test]
fn each_change_is_said_in_the_least_way() {
    let long = TEXT.repeat(6000);
    let large = World::new(&[("a.txt", Kind::File, long.as_slice())]);
    let longer = [long.as_slice(), b"x"].concat();
    assert_eq!(large.compose(&[], None, &[("a.txt", Some((Kind::File, &longer)))]).unwrap().1, "a.txt");
    for (at, side, says) in [
        ("a.txt", Some((Kind::File, &b"1\n2\n3\n4\nfive\n6\n7\n8\n9"[..])), "a.txt.patch"),
        ("a.txt", Some((Kind::Exec, TEXT)), "a.txt"),
        ("a.txt", Some((Kind::Exec, b"1\n")), "a.txt"),
        ("a.txt", Some((Kind::File, b"")), "a.txt.patch"),
        ("a.txt", Some((Kind::File, b"\0")), "a.txt"),
        ("a.txt", Some((Kind::Link, b"run")), "a.txt"),
        ("a.txt", None, "remove a.txt"),
        ("run", Some((Kind::Exec, b"#!/bin/bash\n")), "run.patch"),
        ("bin", Some((Kind::File, b"\0\x02")), "bin"),
        ("link", Some((Kind::Link, b"run")), "link"),
        ("link", None, "remove link"),
        (
            "set.json",
            Some((Kind::File, b"{\n  \"port\": 9100,\n  \"name\": \"bot\"\n}\n")),
            "set.json.merge.json",
        ),
        ("set.json", Some((Kind::File, b"{\n  \"name\": \"bot\"\n}\n")), "set.json.merge.json"),
        // Keys say nothing of layout: that is a change of lines.
        ("set.json", Some((Kind::File, b"{\"port\": 9100, \"name\": \"bot\"}\n")), "set.json.patch"),
        ("set.json", Some((Kind::File, b"{\n  \"port\": null,\n  \"name\": \"bot\"\n}\n")), "set.json.patch"),
        ("set.json", Some((Kind::File, b"{ broken")), "set.json.patch"),
        (
            "set.toml",
            Some((Kind::File, b"# ports\nport = 9100 # ours\nname = \"bot\"\n")),
            "set.toml.merge.toml",
        ),
        ("set.toml", Some((Kind::File, b"# ports\nport = 9000 # ours\n")), "set.toml.patch"),
        ("new/file", Some((Kind::Exec, b"x")), "new/file"),
        ("my.patch", Some((Kind::File, b"x")), "my.patch, verbatim my.patch"),
        ("my.patch.conflict", Some((Kind::File, b"x")), "my.patch.conflict, verbatim my.patch.conflict"),
    ] {
        let (composed, said) = world().compose(&[], None, &[(at, side)]).unwrap();
        assert_eq!(said, says, "{at} {side:?}");
        let text = String::from_utf8(composed.files[MANIFEST].1.clone()).unwrap();
        assert!(text.starts_with("# Captured.\npack = \"bot\"\n"), "{text}");
    }
}

#[test]
fn overlays_before_it_are_built_upon() {
    let world = world();
    let patched = Patch::make(&path("a.txt"), TEXT, b"one\n2\n3\n4\n5\n6\n7\n8\n9\n").unwrap().print();
    let before = world.overlay(
        "shared",
        "remove = [\"bin\"]\n",
        &[("a.txt.patch", Kind::File, &patched), ("extra", Kind::File, b"x\ny\n")],
    );
    let before = [before];
    for (at, side, says) in [
        // The lines of the other overlay are not repeated …
        ("a.txt", Some((Kind::File, &b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n"[..])), "a.txt.patch"),
        // … unless they are changed again, or taken back.
        ("a.txt", Some((Kind::File, b"uno\n2\n3\n4\n5\n6\n7\n8\n9\n")), "a.txt"),
        ("a.txt", Some((Kind::File, TEXT)), "a.txt"),
        ("a.txt", Some((Kind::File, b"one\n2\n3\n4\n5\n6\n7\n8\n9\n")), ""),
        ("a.txt", None, "remove a.txt"),
        ("extra", Some((Kind::File, b"x\nz\n")), "extra"),
        ("extra", None, "remove extra"),
        ("bin", Some((Kind::File, b"\0\x01")), "bin"),
        ("bin", None, ""),
    ] {
        let (composed, said) = world.compose(&before, None, &[(at, side)]).unwrap();
        assert_eq!(said, says, "{at} {side:?}");
        if says == "a.txt.patch" {
            let patch = String::from_utf8(composed.files["a.txt.patch"].1.clone()).unwrap();
            assert!(!patch.contains("one") && patch.contains("+nine"), "{patch}");
        }
    }
}

#[test]
fn an_overlay_is_extended() {
    let world = world();
    let (first, _) =
        world.compose(&[], None, &[("a.txt", Some((Kind::File, b"1\n"))), ("run", None)]).unwrap();
    let mut files = first.files;
    let text = String::from_utf8(files[MANIFEST].1.clone()).unwrap().replace("\"bot\"", "\"bot\" # why");
    files.insert(path(MANIFEST), (Kind::File, text.into_bytes()));
    let two: &[Wanted<'_>] = &[
        ("a.txt", Some((Kind::Exec, b"2\n"))),
        ("set.toml", None),
        ("run", Some((Kind::Exec, b"#!/bin/sh\n"))),
    ];
    let (second, says) = world.compose(&[], Some(&files), two).unwrap();
    assert_eq!(says, "a.txt, remove set.toml");
    assert!(String::from_utf8(second.files[MANIFEST].1.clone()).unwrap().contains("\"bot\" # why"));
    assert_eq!(second.pieces[&path("run")], How::Nothing);
    // Its other paths stay.
    let (third, says) = world.compose(&[], Some(&second.files), &[("bin", None)]).unwrap();
    assert_eq!(says, "a.txt, remove bin, remove set.toml");
    // Another version, another pack.
    let other = World::new(&[("a.txt", Kind::File, b"0\n")]);
    let refused = other.compose(&[], Some(&third.files), &[("a.txt", None)]).unwrap_err();
    assert!(matches!(refused, ComposeError::OtherBase { .. }), "{refused}");
    let mut foreign = files.clone();
    foreign.insert(path(MANIFEST), (Kind::File, b"pack = \"other\"".to_vec()));
    foreign.retain(|at, _| at.as_str() == MANIFEST);
    let refused = world.compose(&[], Some(&foreign), &[("a.txt", None)]).unwrap_err();
    assert!(matches!(refused, ComposeError::OtherPack { .. }), "{refused}");
}

#[test]
fn what_cannot_be_said() {
    let world = world();
    let refused = |wanted: &[Wanted<'_>]| world.compose(&[], None, wanted).unwrap_err().to_string();
    assert!(refused(&[("overlay.toml", Some((Kind::File, b"x")))]).contains("overlay.toml itself"));
    assert!(refused(&[("link", Some((Kind::Link, b"/etc/passwd")))]).contains("symbolic link"));
    assert!(refused(&[("A.txt", Some((Kind::File, b"x")))]).contains("letter case"));
    let all: Vec<Wanted<'_>> =
        ["a.txt", "run", "set.json", "set.toml", "bin", "link"].iter().map(|at| (*at, None)).collect();
    assert!(refused(&all).contains("nothing would be installed"));
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![8 => "[a-c]{0,2}\n", 1 => "[a-c]\r\n", 1 => "x\0\n"];
    (prop::collection::vec(line, 0..10), prop_oneof![Just(""), Just("end")])
        .prop_map(|(lines, end)| (lines.concat() + end).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a pack has, an overlay before made of it and a host made of that: it can be said, and what is
    /// said gives what the host holds.
    #[test]
    fn every_text_comes_back(own in text(), shared in text(), host in text(), kept in text()) {
        let world = World::new(&[("f", Kind::File, &own), ("k", Kind::File, &kept)]);
        let patch = Patch::make(&path("f"), &own, &shared);
        let before: Vec<Overlay> = match &patch {
            Ok(patch) => vec![world.overlay("shared", "", &[("f.patch", Kind::File, &patch.print())])],
            Err(_) => Vec::new(),
        };
        for wanted in [Some((Kind::File, host.as_slice())), Some((Kind::Exec, host.as_slice())), None] {
            let (composed, _) = world.compose(&before, None, &[("f", wanted)]).unwrap();
            // Again, on top of what was said: the same.
            let (again, _) = world.compose(&before, Some(&composed.files), &[("f", wanted)]).unwrap();
            prop_assert_eq!(&again, &composed);
        }
    }
}
