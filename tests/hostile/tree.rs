//! What may lie in a root that is not as packfleet left it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::process::Command;

use rustix::fs::XattrFlags;

use crate::world::World;

const FLEET: &str = "fleet.name = 'f'\nfleet.version_file = 'VERSION'\nsources.s.path = 'packs'\n\
                     packs.p = { source = 's', dir = '.', target = 'p' }\n\
                     deployments.d = { host = 'local', root = 'live', packs.p = { version = '*' } }\n";

fn world() -> World {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.write(&format!("packs/{name}"), format!("{name} of one\n"));
    }
    world.write("fleet.toml", FLEET);
    world.ends(0, &["apply", "--yes"]);
    world
}

/// Pipes, sockets and devices are named, never opened, and stay; so does whatever else is nobody's.
#[test]
fn what_is_no_file_is_named_and_never_opened() {
    let world = world();
    let live = |name: &str| world.path("live/p").join(name);
    for name in ["a", "b", "c"] {
        fs::remove_file(live(name)).unwrap();
    }
    // To open it for reading, or to connect, would wait for ever.
    assert!(Command::new("mkfifo").args([live("a"), live("mine")]).status().unwrap().success());
    let socket = UnixListener::bind(live("b")).unwrap();
    let made = Command::new("mknod").arg(live("c")).args(["c", "1", "5"]).output();
    let device = made.is_ok_and(|made| made.status.success());
    if !device {
        eprintln!("SKIPPED: devices can be made by root alone");
    }
    world.write("live/p/\u{202e}-rf \\ \"", "nobody's");
    world.write("packs/a", "a of two\n");
    world.write("packs/b", "b of two\n");
    let before = world.tree("live");
    for words in [&["plan"][..], &["plan", "--full-rehash"], &["status"], &["diff", "d"], &["apply", "--yes"]]
    {
        let said = world.run(words);
        assert!(!said.all.contains("panicked"), "{words:?}: {}", said.all);
        if words[0] == "plan" {
            assert_eq!(said.code, 3, "{}", said.all);
            for kind in ["FIFO", "socket"].into_iter().chain(device.then_some("character device")) {
                assert!(said.all.contains(kind), "{kind}: {}", said.all);
            }
        }
    }
    assert_eq!(world.tree("live"), before);
    drop(socket);
}

/// Each file of the state, damaged: said, and the tree is untouched; or it is one that is only a help.
#[test]
fn damaged_state_names_the_way_out() {
    for (name, code, expected) in [
        ("record", 1, "what is equal is adopted"),
        ("journal", 1, "packfleet"),
        ("history", 0, "applied"),
        ("stat-cache", 0, "applied"),
    ] {
        for bytes in [&b""[..], b"\xff\xfe nonsense", &[0; 5000]] {
            let world = world();
            let file = world.path("live/.packfleet").join(name);
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            let scripts = ["run", "hook", "git", "stage/run"];
            for script in scripts {
                world.write(&format!("live/.packfleet/{script}"), "#!/bin/sh\ntouch ../../ran ran\n");
                let mode = Permissions::from_mode(0o755);
                fs::set_permissions(world.path("live/.packfleet").join(script), mode).unwrap();
            }
            world.write("packs/a", "a of two\n");
            let said = world.run(&["apply", "--yes"]);
            let shown = &bytes[..bytes.len().min(10)];
            assert_eq!(said.code, code, "{name} {shown:?}: {}", said.all);
            assert!(said.all.contains(expected), "{name} {shown:?}: {}", said.all);
            let text = fs::read_to_string(world.path("live/p/a")).unwrap();
            assert_eq!(text, if code == 0 { "a of two\n" } else { "a of one\n" }, "{name} {shown:?}");
            for place in ["", "live", "live/.packfleet"] {
                assert!(!world.path(place).join("ran").exists(), "{name}: something of the state was run");
            }
        }
    }
}

/// Another user's own file keeps all that it has through an upgrade, a merge and a rollback.
#[test]
fn a_private_file_of_another_user_stays_as_private() {
    let world = world();
    let file = world.path("live/p/a");
    fs::write(&file, "mine\na of one\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    if chown(&file, Some(1001), Some(1002)).is_err() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    // Owner rw-, user 77 r--, group ---, mask r--, other ---.
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, bits, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 77), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    let open = File::open(&file).unwrap();
    let extended = [("user.note", &b"kept"[..]), ("system.posix_acl_access", &list)]
        .map(|(name, value)| rustix::fs::fsetxattr(&open, name, value, XattrFlags::empty()).is_ok());
    if extended.contains(&false) {
        eprintln!("SKIPPED in part: no attributes or access lists on this file system");
    }
    let all = || {
        let (file, meta) = (File::open(&file).unwrap(), file.metadata().unwrap());
        let attributes = ["user.note", "system.posix_acl_access"].map(|name| {
            let mut value = vec![0; 256];
            let size = rustix::fs::fgetxattr(&file, name, value.as_mut_slice()).ok()?;
            value.truncate(size);
            Some(value)
        });
        (meta.mode(), meta.uid(), meta.gid(), attributes)
    };
    let before = all();
    for (step, words, text) in [
        ("merged", &["apply", "--yes"][..], "mine\na of one\nand two\n"),
        ("taken back", &["rollback", "d", "--yes"], "mine\na of one\n"),
    ] {
        if step == "merged" {
            world.write("packs/a", "a of one\nand two\n");
        }
        world.ends(0, words);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{step}");
        assert_eq!(all(), before, "{step}");
    }
}
