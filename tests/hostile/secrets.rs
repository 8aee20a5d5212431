//! Secrets planted wherever a person might have one, and every place looked through in which one might be seen.

use std::fs;
use std::path::Path;

use crate::world::World;

const URL: &str = "url-Hunter2-pass";
const HOOK: &str = "hook-secret-5f1c9a77";
const HOST: &str = "ghp_H8s2kQ4vX7tB1nZ6mW3cY9dL5hJ0fGpEaTuV";
const EDIT: &str = "ghp_E3d7kQ4vX7tB1nZ6mW3cY9dL5hJ0fGpEaTuW";
const OVERLAY: &str = "ghp_O5v9kQ4vX7tB1nZ6mW3cY9dL5hJ0fGpEaTuX";
const PACK: &str = "ghp_P1a2kQ4vX7tB1nZ6mW3cY9dL5hJ0fGpEaTuY";
const ALL: [&str; 6] = [URL, HOOK, HOST, EDIT, OVERLAY, PACK];

fn fleet(pack: &str) -> String {
    format!(
        "fleet = {{ name = 'f', version_file = 'VERSION', sync_log = 'sync.log' }}\n\
         run = {{ listen = 'localhost:1', webhook_secret = {{ env = 'HOOK' }} }}\n\
         sources.far.url = 'https://bob:{URL}@127.0.0.1:1/x.git'\n\
         sources.s.path = 'packs'\n\
         packs.p = {{ source = 's', dir = '.', target = 'p', host_owns = ['.env'] }}\n\
         packs.far = {{ source = 'far', dir = '.', target = 'far' }}\n\
         deployments.d = {{ host = 'local', root = 'live', packs.p = {{ version = '*', overlays = ['o'] }} }}\n\
         deployments.e = {{ host = 'local', root = 'other', packs.far = {{ version = '1' }} }}\n{pack}"
    )
}

/// Everything that packfleet left in files for others to read, below these directories.
fn left(world: &World, names: &[&str]) -> String {
    let mut all = String::new();
    for name in names {
        let path = world.path(name);
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        all.push_str(&String::from_utf8_lossy(&text));
    }
    all
}

#[test]
fn no_channel_shows_one() {
    let world = World::new();
    world.write("fleet.toml", fleet(""));
    let settings = |token: &str, port: u32| format!("name = \"bot\"\ntoken = \"{token}\"\nport = {port}\n");
    world.write("packs/settings.toml", settings(PACK, 1));
    world.write("packs/config.json", "{\n  \"a\": 1,\n  \"api_token\": \"none\"\n}\n");
    world.write("packs/.env", "PASSWORD=change-me\n");
    world.write("packs/note", "one\n");
    world.write("overlays/o/overlay.toml", "pack = 'p'\n");
    world.write("overlays/o/config.json.merge.json", format!("{{ \"api_token\": \"{OVERLAY}\" }}\n"));
    let variables = [("HOOK", HOOK)];
    let run = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let said = world.run_with(&words, &variables);
        for secret in ALL {
            assert!(!said.all.contains(secret), "{words:?} shows {secret}: {}", said.all);
        }
        said
    };
    run("apply d --yes -vvv");
    assert!(fs::read_to_string(world.path("live/p/config.json")).unwrap().contains(OVERLAY), "it is put");
    // The host's own, a person's edit, and a change of the pack in the same line.
    world.write("live/p/.env", format!("PASSWORD={HOST}\n"));
    world.write("live/p/settings.toml", settings(EDIT, 2));
    let mut looks = vec!["plan --diff -vvv", "plan --diff --unmanaged", "status -vvv", "validate", "lock"];
    let formats = ["json", "markdown", "junit", "github"];
    let printed: Vec<String> = formats.iter().map(|format| format!("plan --diff -o {format}")).collect();
    looks.extend(printed.iter().map(String::as_str));
    looks.extend([
        "status -o json",
        "diff d",
        "diff d -o json",
        "diff --three-way d p/settings.toml",
        "why d",
        "why e",
        "why d -o json",
        "report d",
        "history d",
        "record d",
        "outdated",
        "outdated -o json",
        "doctor",
        "overlay show",
        "overlay show -o json",
        "overlay check",
        "edits list d",
        "capture d",
        "export d p --branch mine",
        "rollback d --to 1",
        "adopt d",
        "hash packs",
        "apply --yes",
        "apply d --yes -o json",
    ]);
    let mut conflicts = 0;
    for version in ["the same", "the same line changed"] {
        if version != "the same" {
            world.write("packs/settings.toml", settings(&PACK.replace("1a2", "9z9"), 1));
            world.write("packs/note", "two\n");
        }
        for words in &looks {
            let said = run(words);
            assert!(!said.all.contains("panicked") && !said.all.contains("P9z9"), "{words}: {}", said.all);
            assert_ne!((said.code, said.all.contains("Usage:")), (64, true), "{words}: {}", said.all);
            conflicts += usize::from(said.all.contains("[secret "));
        }
    }
    assert!(conflicts > 6, "{conflicts} commands had something to mask");
    // The edit is taken out: it is saved, and told.
    world.write("fleet.toml", fleet("fleet_edits = 1\n"));
    run("validate");
    world
        .write("fleet.toml", fleet("").replace("sync.log' }", "sync.log', edits = { changed = 'revert' } }"));
    run("apply d --yes -vv");
    run("edits list d");
    assert!(fs::read_to_string(world.path("live/p/.env")).unwrap().contains(HOST), "the host's own stays");
    let told =
        left(&world, &["live/VERSION", "live/sync.log", "live/.packfleet/history", "live/.packfleet/record"]);
    for secret in ALL {
        assert!(!told.contains(secret), "{secret} is in {told}");
    }
    // Nor is the password in a name or a file of the cache that is no mirror's own.
    let mut waiting = vec![world.path("cache")];
    while let Some(path) = waiting.pop() {
        assert!(!path.to_string_lossy().contains(URL), "{}", path.display());
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let bytes = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(
                !bytes.contains(URL) && !bytes.contains(HOOK) && !bytes.contains(HOST),
                "{}",
                path.display()
            );
        }
    }
    assert!(Path::new(&world.path("cache")).exists());
    // A secret that lies in the fleet file itself is refused or masked, and never quoted.
    for secret in ["webhook_secret = 'HOOK", "webhok_secret = 'HOOK"] {
        let secret = secret.replace("HOOK", HOOK);
        let text = fleet("").replace("webhook_secret = { env = 'HOOK' }", &format!("{secret}'"));
        world.write("fleet.toml", text);
        assert_eq!(run("validate").code, 64);
        assert_eq!(run("apply --yes -vvv").code, 64);
    }
}
