//! fleet.toml and what lies beside it, as somebody might leave it behind: every problem with its place, and no host
//! touched.

use std::os::unix::fs::symlink;
use std::process::Command;

use camino::Utf8PathBuf;

use crate::packs::{bomb, commit};
use crate::repository::Origin;
use crate::world::World;

const HEAD: &str = "[fleet]\nname = \"f\"\n[sources.s]\npath = \"packs\"\n[packs.p]\nsource = \"s\"\ndir = \".\"\ntarget = \"p\"\n";
const HOST: &str = "[deployments.d]\nhost = \"local\"\nroot = \"live\"\npacks.p = { version = \"*\" }\n";

/// A world with a good fleet that is in force.
fn world() -> World {
    let world = World::new();
    world.write("packs/a", "a\n");
    world.write("fleet.toml", format!("{HEAD}{HOST}"));
    world.ends(0, &["apply", "--yes"]);
    world.write("packs/a", "b\n");
    world
}

#[test]
fn every_problem_is_told_with_its_place_and_nothing_is_applied() {
    let world = world();
    let before = world.tree("live");
    let more = |text: &str| format!("{HEAD}{HOST}{text}");
    let host = |name: &str, root: &str, rest: &str| {
        format!("[deployments.{name}]\nhost = \"local\"\nroot = \"{root}\"\n{rest}")
    };
    let cases: Vec<(&str, String, Vec<&str>)> = vec![
        (
            "several at once",
            more(
                "[packs.q]\nsource = \"t\"\ndri = \".\"\ntarget = 1\n[deployments.-x]\nhost = \"local\"\nroot = \"/\"\n",
            ),
            vec!["14:10", "15:1", "16:10", "17:14", "5 problems"],
        ),
        (
            "conflict markers",
            more("<<<<<<< HEAD\n[limits]\n=======\n[budget]\n>>>>>>> theirs\n"),
            vec!["13:1", "conflict"],
        ),
        (
            "roots in each other",
            more(&host("e", "live/e", "")),
            vec!["15:8", "the root of e, lies in", "the root of d"],
        ),
        ("the whole machine", more(&host("e", "/", "")), vec!["15:8", "the whole machine"]),
        (
            "relative elsewhere",
            more("[deployments.e]\nhost = \"far\"\nroot = \"x\"\n"),
            vec!["15:8", "another machine"],
        ),
        (
            "a circle",
            more(
                &[
                    host("e", "e", "depends_on = [\"g\"]\n"),
                    host("g", "g", "depends_on = [\"h\"]\n"),
                    host("h", "h", "depends_on = [\"e\"]\n"),
                ]
                .concat(),
            ),
            vec!["16:15", "e → g → h → e"],
        ),
        ("nobody", more(&host("e", "e", "depends_on = [\"nobody\"]\n")), vec!["16:15", "nobody"]),
        (
            "two packs on one path",
            more(
                "[packs.q]\nsource = \"s\"\ndir = \".\"\ntarget = \"p\"\n[deployments.d.packs.q]\nversion = \"*\"\n",
            ),
            vec!["17:22", "both go to \"p\""],
        ),
        ("more than 10 MiB", more(&format!("# {}\n", "x".repeat(10 << 20))), vec!["1:1", "at most 10 MiB"]),
        ("no end to the nesting", more(&format!("x = {}\n", "[".repeat(1 << 20))), vec!["13:"]),
    ];
    for (name, text, expected) in cases {
        world.write("fleet.toml", &text);
        for words in [&["validate"][..], &["apply", "--yes"]] {
            let said = world.ends(64, words);
            for part in &expected {
                assert!(said.all.contains(part), "{name}: {part} is not in {}", said.all);
            }
            assert!(said.all.contains("fleet.toml"), "{name}: {}", said.all);
        }
        assert_eq!(world.tree("live"), before, "{name}");
    }
    // What only the source can tell is held.
    world.write("fleet.toml", format!("{HEAD}{HOST}").replace("version = \"*\"", "version = \">=2, <1\""));
    let said = world.run(&["plan"]);
    assert!(matches!(said.code, 3 | 64) && said.all.contains(">=2, <1"), "{}: {}", said.code, said.all);
    assert_eq!(world.tree("live"), before);
}

/// What is read beside the fleet file lies beneath its directory, whatever somebody planted in the working tree.
#[test]
fn nothing_is_read_through_a_planted_link() {
    let world = world();
    let before = world.tree("live");
    world.write("outside/fleet.lock", "a person's own\n");
    world.write("outside/more/x.toml", "[deployments.own]\nhost = \"local\"\nroot = \"own\"\n");
    let included =
        format!("{HEAD}{HOST}").replace("name = \"f\"\n", "name = \"f\"\ninclude = [\"more/*.toml\"]\n");
    type Spoil = fn(&World);
    let cases: [(&str, &str, Spoil, &str); 5] = [
        (
            "the lock",
            "fleet.lock",
            |world| symlink("outside/fleet.lock", world.path("fleet.lock")).unwrap(),
            HEAD,
        ),
        (
            "the lock is a FIFO",
            "no regular file",
            |world| {
                assert!(Command::new("mkfifo").arg(world.path("fleet.lock")).status().unwrap().success());
            },
            HEAD,
        ),
        (
            "the lock is a directory",
            "no regular file",
            |world| std::fs::create_dir(world.path("fleet.lock")).unwrap(),
            HEAD,
        ),
        (
            "an included directory",
            "more",
            |world| symlink("outside/more", world.path("more")).unwrap(),
            &included,
        ),
        (
            "an included file",
            "more/x.toml",
            |world| {
                std::fs::create_dir(world.path("more")).unwrap();
                symlink("../outside/more/x.toml", world.path("more/x.toml")).unwrap();
            },
            &included,
        ),
    ];
    for (name, expected, spoil, text) in cases {
        let text = if text == HEAD { format!("{HEAD}{HOST}") } else { text.to_owned() };
        world.write("fleet.toml", text);
        spoil(&world);
        let words: &[&str] =
            if name.contains("rules") { &["capture", "d", "--dry-run"] } else { &["apply", "--yes"] };
        let said = world.run(words);
        assert!(said.code != 0 && said.all.contains(expected), "{name}: {} {}", said.code, said.all);
        assert!(!said.all.contains("person's own"), "{name}: {}", said.all);
        assert_eq!(world.tree("live"), before, "{name}");
        for left in ["fleet.lock", "more"] {
            let path = world.path(left);
            let _other = std::fs::remove_file(&path).is_err() && std::fs::remove_dir_all(&path).is_err();
        }
    }
    assert!(!world.path("own").exists());
    // The fleet's own rules for secrets, where something is to be published by them.
    world.write("fleet.toml", format!("{HEAD}{HOST}"));
    world.write("outside/own.toml", "[[rules]]\nid = \"a person's own\"\nregex = 'x'\n");
    world.write("live/p/a", "edited\n");
    symlink("outside/own.toml", world.path(".gitleaks.toml")).unwrap();
    let said = world.run(&["capture", "d"]);
    assert!(said.code != 0 && said.all.contains(".gitleaks.toml"), "{} {}", said.code, said.all);
    assert!(!said.all.contains("person's own") && !world.path("overlays").exists(), "{}", said.all);
}

/// A commit of the fleet repository that is more paths than there is time for.
#[test]
fn a_fleet_repository_without_end_is_given_up() {
    let world = world();
    let dir = Utf8PathBuf::from_path_buf(world.path("")).expect("UTF-8");
    let origin = Origin { repository: git2::Repository::init(&dir).expect("a repository"), dir };
    let id = commit(&origin, bomb(&origin, origin.raw_tree(&[])));
    origin.set("heads/main", &id);
    origin.repository.set_head("refs/heads/main").expect("a head");
    let said = world.ends(1, &["plan", "--against", "HEAD"]);
    assert!(said.all.contains("more than 1000000 files and directories"), "{}", said.all);
}
