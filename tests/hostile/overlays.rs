//! Overlays that mean harm, or that cannot be meant exactly: held before a host is touched; the others give exactly the
//! bytes that they say.

use std::os::unix::fs::symlink;

use packfleet::model::pack::{PackEntry, PackTree};
use packfleet::model::{Content, Kind, TreePath};

use crate::world::{World, parts};

const OLD: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
const SECTION: &str = "h\nx = 1\nend\n";
const JSON: &str = "{\n  // why\n  \"b\" : 1.00,\n  \"n\": 1e400, \"big\": 12345678901234567890123,\n  \"a\": \"\\u0041\"\n}\n";
const TOML: &str = "# top\nb  =  0x10 # sixteen\n\n[t]\nd = 2026-11-24\nx = 1 # one\n";

enum Expect {
    /// Held, with this said.
    Held(&'static str),
    /// This file gets these bytes, and a note says this.
    Gives(&'static str, String, &'static str),
}

use Expect::{Gives, Held};

struct Case {
    name: &'static str,
    version: &'static str,
    files: Vec<(String, Vec<u8>)>,
    expect: Expect,
}

fn entries(files: &[(&str, Kind, &[u8])]) -> Vec<PackEntry> {
    let mut entries: Vec<PackEntry> = files
        .iter()
        .map(|(path, kind, bytes)| PackEntry {
            path: TreePath::new(path).unwrap(),
            kind: *kind,
            content: Content::of(bytes),
            size: bytes.len() as u64,
            link: (*kind == Kind::Link).then(|| String::from_utf8(bytes.to_vec()).unwrap().into()),
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn patch(file: &str, hunks: &str) -> Vec<(String, Vec<u8>)> {
    one(&format!("{file}.patch"), &format!("--- a/{file}\n+++ b/{file}\n{hunks}"))
}

fn one(file: &str, text: &str) -> Vec<(String, Vec<u8>)> {
    vec![(file.to_owned(), text.as_bytes().to_vec())]
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name, version, files, expect| cases.push(Case { name, version, files, expect });
    let body = "@@ -1 +1 @@\n-1\n+one\n";
    let git = "diff --git a/a.md b/a.md\n";
    let raw = |text: String| one("a.md.patch", &text);
    let old = |line: &str, new: &str| OLD.replace(line, new);

    // Headers.
    case("another file", "1.0.0", raw(format!("--- a/c.json\n+++ b/a.md\n{body}")), Held("the patch is for"));
    case("out of the tree", "1.0.0", raw(format!("--- a/a.md\n+++ b/../a.md\n{body}")), Held("../a.md"));
    case("absolute", "1.0.0", raw(format!("--- /etc/passwd\n+++ /etc/passwd\n{body}")), Held("/etc/passwd"));
    case(
        "two files",
        "1.0.0",
        raw(format!("--- a/a.md\n+++ b/a.md\n{body}--- a/c.json\n+++ b/c.json\n{body}")),
        Held("second"),
    );
    case("made", "1.0.0", raw(format!("--- /dev/null\n+++ b/a.md\n{body}")), Held("line 1"));
    case("removed", "1.0.0", raw(format!("--- a/a.md\n+++ /dev/null\n{body}")), Held("line 2"));
    case(
        "a link",
        "1.0.0",
        raw(format!("{git}new file mode 120000\n--- a/a.md\n+++ b/a.md\n{body}")),
        Held("line 2"),
    );
    case(
        "a mode",
        "1.0.0",
        raw(format!("{git}old mode 100644\nnew mode 100755\n--- a/a.md\n+++ b/a.md\n{body}")),
        Held("line 2"),
    );
    case("a rename", "1.0.0", raw(format!("{git}rename from a.md\nrename to b.md\n")), Held("line 2"));
    case(
        "binary",
        "1.0.0",
        raw(format!("{git}GIT binary patch\nliteral 1\nIcmZPo000310RR91\n")),
        Held("binary"),
    );

    // Numbers, and places.
    case("too few", "1.0.0", patch("a.md", "@@ -1,3 +1 @@\n-1\n+one\n"), Held("hunk 1"));
    case("too many", "1.0.0", patch("a.md", "@@ -1 +1 @@\n-1\n-2\n+one\n"), Held("hunk 1"));
    case(
        "overlapping",
        "1.0.0",
        patch("a.md", "@@ -1,2 +1,2 @@\n-1\n+one\n 2\n@@ -2 +2 @@\n-2\n+two\n"),
        Held("hunk 2"),
    );
    case(
        "backwards",
        "1.0.0",
        patch("a.md", "@@ -5 +5 @@\n-5\n+five\n@@ -1 +1 @@\n-1\n+one\n"),
        Held("hunk 2"),
    );
    case(
        "one line off",
        "1.0.0",
        patch("rep", "@@ -3,3 +3,3 @@\n h\n-x = 1\n+x = 2\n end\n"),
        Held("does not lie at line 3"),
    );
    let third = format!("{0}{0}h\nx = 2\nend\n{0}", SECTION);
    let hunk = "@@ -7,3 +7,3 @@\n h\n-x = 1\n+x = 2\n end\n";
    case("repeated text", "1.0.0", patch("rep", hunk), Gives("rep", third, ""));
    case("two places", "2.0.0", patch("rep", hunk), Held("it is not known which"));
    case("nowhere", "2.0.0", patch("gone", "@@ -1 +1 @@\n-x\n+y\n"), Held("upstream removed the file"));
    case(
        "applied already",
        "2.0.0",
        patch("a.md", "@@ -1,3 +1,3 @@\n 1\n 2\n-3\n+mine\n"),
        Gives("a.md", old("3", "mine"), "ships the very same"),
    );
    case(
        "merged",
        "2.0.0",
        patch("a.md", "@@ -7,3 +7,3 @@\n 7\n 8\n-9\n+nine\n"),
        Gives("a.md", old("3", "mine").replace('9', "nine"), "merged"),
    );

    // Bytes.
    case(
        "LF over CRLF",
        "1.0.0",
        patch("crlf", "@@ -1 +1 @@\n-1\n+one\n"),
        Held("expects \"1\\n\", the file has \"1\\r\\n\""),
    );
    case(
        "CRLF over LF",
        "1.0.0",
        patch("a.md", "@@ -1 +1 @@\n-1\r\n+one\r\n"),
        Held("expects \"1\\r\\n\", the file has \"1\\n\""),
    );
    case(
        "CRLF",
        "1.0.0",
        patch("crlf", "@@ -1 +1 @@\n-1\r\n+one\r\n"),
        Gives("crlf", old("1", "one").replace('\n', "\r\n"), ""),
    );
    case(
        "an end that is none",
        "1.0.0",
        patch("no-end", "@@ -2 +2 @@\n-b\n+c\n"),
        Held("expects \"b\\n\", the file has \"b\""),
    );
    case(
        "an end that is one",
        "1.0.0",
        patch("a.md", "@@ -9 +9 @@\n-9\n\\ No newline at end of file\n+nine\n"),
        Held("expects \"9\", the file has \"9\\n\""),
    );
    case(
        "no end",
        "1.0.0",
        patch("no-end", "@@ -2 +2 @@\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"),
        Gives("no-end", "a\nc".into(), ""),
    );

    // Keys.
    case(
        "a key twice in the file",
        "1.0.0",
        one("twice.json.merge.json", "{\"b\": 1}"),
        Held("the key \"/a\" twice"),
    );
    case(
        "a key twice in the overlay",
        "1.0.0",
        one("c.json.merge.json", "{\"b\": 1, \"b\": 2}"),
        Held("the key \"/b\" twice"),
    );
    case("a table twice", "1.0.0", one("c.toml.merge.toml", "[t]\nx = 1\n[t]\ny = 1\n"), Held("line 3"));
    case("a deep file", "1.0.0", one("deep.json.merge.json", "{\"b\": 1}"), Held("128"));
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    case("a deep overlay", "1.0.0", one("c.json.merge.json", &deep), Held("128"));
    let deep = format!("a = {}1{}\n", "[".repeat(200_000), "]".repeat(200_000));
    case("a deep overlay of TOML", "1.0.0", one("c.toml.merge.toml", &deep), Held("line 1"));
    let aliases = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    case(
        "aliases",
        "1.0.0",
        one("c.yaml.merge.yaml", aliases),
        Held("keys of YAML, which packfleet does not"),
    );
    case("no JSON", "1.0.0", one("c.json.merge.json", "{\"b\": 1"), Held("line 1"));
    case("no JSON in the file", "1.0.0", one("bad.json.merge.json", "{\"b\": 1}"), Held("no JSON"));
    case("no table", "1.0.0", one("c.json.merge.json", "[1]"), Held("no object"));
    case(
        "keys",
        "1.0.0",
        one("c.json.merge.json", "{\"a\": 2.50}"),
        Gives("c.json", JSON.replace("\"\\u0041\"", "2.50"), ""),
    );
    case(
        "keys of TOML",
        "1.0.0",
        one("c.toml.merge.toml", "t.x = 1_000\n"),
        Gives("c.toml", TOML.replace("x = 1 ", "x = 1_000 "), ""),
    );

    // Places.
    case(
        "a link in a patch's place",
        "1.0.0",
        patch("link", "@@ -1 +1 @@\n-1\n+one\n"),
        Held("symbolic link"),
    );
    case(
        "two overlays in one",
        "1.0.0",
        [one("c.json", "{}"), one("c.json.merge.json", "{}")].concat(),
        Held("spoken of twice"),
    );
    case("the state directory", "1.0.0", one(".packfleet/record", "x"), Held(".packfleet"));
    case("letter case", "1.0.0", one("A.MD", "x"), Held("letter case"));
    case("below a file", "1.0.0", one("a.md/x", "x"), Held("a.md"));
    cases
}

#[test]
fn what_is_not_exact_is_held() {
    let world = World::new();
    let origin = world.origin("packs.git");
    let (crlf, rep) = (OLD.replace('\n', "\r\n"), SECTION.repeat(4));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let one = [
        ("a.md", Kind::File, OLD.as_bytes()),
        ("bad.json", Kind::File, b"{\"a\": "),
        ("c.json", Kind::File, JSON.as_bytes()),
        ("c.toml", Kind::File, TOML.as_bytes()),
        ("c.yaml", Kind::File, b"a: 1\n"),
        ("crlf", Kind::File, crlf.as_bytes()),
        ("deep.json", Kind::File, deep.as_bytes()),
        ("gone", Kind::File, b"x\n"),
        ("link", Kind::Link, b"a.md"),
        ("no-end", Kind::File, b"a\nb"),
        ("rep", Kind::File, rep.as_bytes()),
        ("twice.json", Kind::File, b"{\"a\": 1, \"a\": 2}"),
    ];
    let (mine, rep) = (OLD.replace('3', "mine"), SECTION.repeat(5));
    let mut two = one.to_vec();
    two.retain(|(name, ..)| *name != "gone");
    two.iter_mut().find(|(name, ..)| *name == "a.md").unwrap().2 = mine.as_bytes();
    two.iter_mut().find(|(name, ..)| *name == "rep").unwrap().2 = rep.as_bytes();
    origin.set("tags/v1.0.0", origin.commit(&one).as_str());
    origin.set("tags/v2.0.0", origin.commit(&two).as_str());
    let tree = PackTree::digest_of(&entries(&one));

    let head = "fleet.name = 'f'\nsources.s.url = 'packs.git'\npacks.p = { source = 's', dir = '.', target = 'p' }\n";
    let (mut plain, mut fleet) = (head.to_owned(), head.to_owned());
    let cases = cases();
    for (number, case) in cases.iter().enumerate() {
        let host = format!(
            "deployments.d{number} = {{ host = 'local', root = 'live/d{number}', packs.p = {{ version = "
        );
        plain.push_str(&format!("{host}'=1.0.0' }} }}\n"));
        fleet.push_str(&format!("{host}'={}', overlays = ['o{number}'] }} }}\n", case.version));
        let manifest = format!("pack = 'p'\nbase = {{ version = '1.0.0', tree = '{tree}' }}\n");
        world.write(&format!("overlays/o{number}/overlay.toml"), manifest);
        for (file, bytes) in &case.files {
            world.write(&format!("overlays/o{number}/{file}"), bytes);
        }
    }
    world.write("fleet.toml", plain);
    world.ends(0, &["apply", "--yes"]);
    let before = world.tree("live");
    world.write("fleet.toml", fleet);
    let planned = world.ends(3, &["plan"]);
    let parts = parts(&planned.all);
    world.ends(3, &["apply", "--yes"]);
    let after = world.tree("live");
    for (number, case) in cases.iter().enumerate() {
        let (name, part) = (case.name, parts.get(&format!("d{number}")).map_or("", String::as_str));
        let below = |tree: &crate::world::Tree| -> Vec<(String, (u32, Vec<u8>))> {
            let own = tree.iter().filter(|(path, _)| path.starts_with(&format!("d{number}/")));
            own.map(|(path, file)| (path.clone(), file.clone())).collect()
        };
        match &case.expect {
            Held(why) => {
                assert!(part.contains(why) && part.contains("held"), "{name}: {part}");
                assert_eq!(below(&before), below(&after), "{name}");
            }
            Gives(path, bytes, note) => {
                assert!(part.contains(note), "{name}: {part}");
                let found = String::from_utf8_lossy(&after[&format!("d{number}/p/{path}")].1);
                assert_eq!(found, *bytes, "{name}: {part}");
            }
        }
    }
    // All that is damaged, at once and in CI.
    let validated = world.ends(64, &["validate"]);
    for (number, case) in
        cases.iter().enumerate().filter(|(_, case)| case.name.starts_with("a key twice in the ov"))
    {
        assert!(validated.all.contains(&format!("overlays/o{number}")), "{}: {}", case.name, validated.all);
    }
}

/// What a file of an overlay maps to must be somewhere, and nothing of an overlay is read through a link.
#[test]
fn overlays_reach_nowhere_else() {
    let world = World::new();
    world.write("packs/src/a", "a\n");
    world.write("outside/secret", "a person's own\n");
    let head = "fleet.name = 'f'\nsources.s.path = 'packs'\n\
                packs.p = { source = 's', dir = '.', install = { 'src' = 'p' } }\n\
                deployments.d = { host = 'local', root = 'live', packs.p = { version = '*'";
    world.write("fleet.toml", format!("{head} }} }}\n"));
    world.ends(0, &["apply", "--yes"]);
    let before = world.tree("live");
    world.write("fleet.toml", format!("{head}, overlays = ['o'] }} }}\n"));
    let manifest = "pack = 'p'\n";
    type Spoil = fn(&World);
    let spoils: [(&str, i32, &str, Spoil); 8] = [
        ("maps nowhere", 3, "\"else\"", |world| world.write("overlays/o/else", "x")),
        ("a link that leaves", 3, "leads out of", |world| {
            symlink("../../../outside/secret", world.path("overlays/o/src/a")).unwrap();
        }),
        ("a directory that is a link", 3, "leads out of", |world| {
            symlink("../../../outside", world.path("overlays/o/src/d")).unwrap();
        }),
        ("overlay.toml is a link", 3, "overlay.toml is no text file", |world| {
            world.write("outside/overlay.toml", "pack = 'p'\n");
            std::fs::remove_file(world.path("overlays/o/overlay.toml")).unwrap();
            symlink("../../outside/overlay.toml", world.path("overlays/o/overlay.toml")).unwrap();
        }),
        ("a FIFO", 3, "neither file, directory nor link", |world| {
            let made = std::process::Command::new("mkfifo").arg(world.path("overlays/o/src/a")).status();
            assert!(made.unwrap().success());
        }),
        ("a hole of 100 GiB", 3, "may have 64 MiB", |world| {
            std::fs::File::create(world.path("overlays/o/src/a")).unwrap().set_len(100 << 30).unwrap();
        }),
        ("the overlay is a link", 64, "there is no overlay \"o\"", |world| {
            std::fs::rename(world.path("overlays/o"), world.path("outside/o")).unwrap();
            symlink("../outside/o", world.path("overlays/o")).unwrap();
        }),
        ("all overlays are behind a link", 1, "reached through a link", |world| {
            std::fs::rename(world.path("overlays"), world.path("outside/overlays")).unwrap();
            symlink("outside/overlays", world.path("overlays")).unwrap();
        }),
    ];
    for (name, code, expected, spoil) in spoils {
        if world.path("overlays").exists() {
            std::fs::remove_dir_all(world.path("overlays")).unwrap();
        }
        world.write("overlays/o/overlay.toml", manifest);
        std::fs::create_dir_all(world.path("overlays/o/src")).unwrap();
        spoil(&world);
        let planned = world.ends(code, &["plan"]);
        assert!(planned.all.contains(expected), "{name}: {}", planned.all);
        assert!(!planned.all.contains("person's own"), "{name}: {}", planned.all);
        world.ends(code, &["apply", "--yes"]);
        assert_eq!(world.tree("live"), before, "{name}");
    }
    // Nor is anything written through one.
    let outside = world.tree("outside");
    for words in [&["overlay", "new", "n", "--pack", "p"][..], &["capture", "d", "--yes"]] {
        let said = world.run(words);
        assert!(said.code != 0, "{words:?}: {}", said.all);
        assert_eq!(world.tree("outside"), outside, "{words:?}");
    }
}
