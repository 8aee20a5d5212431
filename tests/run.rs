//! The loop, as people run it: the real binary over real git repositories and roots on this machine.
//!
//! Time decides nothing: each test waits until what it waits for is there, and gives up only after very long.

#[path = "run/world.rs"]
mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use world::{World, later};

#[test]
fn a_push_moves_the_fleet() {
    let world = World::new("100ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    // A tag in the pack's repository.
    world.push_pack("two\n", "v1.1.0");
    later("a version that the range takes", || world.installed().as_deref() == Some("two\n"));
    // A commit in the fleet's repository.
    world.push_fleet("{ tag = \"v1.0.0\" }");
    later("the version that fleet.toml names", || world.installed().as_deref() == Some("one\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn a_fleet_that_does_not_validate_leaves_the_last_good_one_in_force() {
    let world = World::new("100ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().is_some());
    world.push_text("[fleet]\nname = \"f\"\nbogus = 1\n");
    later("a loud word", || run.said("the last good fleet stays in force"));
    assert!(run.said("bogus"));
    // Its sources are followed all the same.
    world.push_pack("two\n", "v1.1.0");
    later("a version that the range takes", || world.installed().as_deref() == Some("two\n"));
    assert_eq!(run.count("the last good fleet stays in force"), 1);
    world.push_fleet("{ tag = \"v1.0.0\" }");
    later("the version of the mended file", || world.installed().as_deref() == Some("one\n"));
    assert!(run.said("well again"));
    assert_eq!(run.end("INT"), 130);
}

#[test]
fn sighup_looks_now() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    world.push_pack("two\n", "v1.1.0");
    run.signal("HUP");
    later("what git has now", || world.installed().as_deref() == Some("two\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn what_is_touched_is_looked_at_and_what_is_deleted_comes_back() {
    let world = World::new("1h");
    let file = world.checkout("{ version = \"1\" }");
    let run = world.run(&["-f", file.to_str().unwrap()]);
    later("the first version", || world.installed().is_some());
    fs::remove_file(world.file()).unwrap();
    later("the file that was deleted", || world.installed().as_deref() == Some("one\n"));
    fs::write(world.file(), "mine\n").unwrap();
    later("a word of the edit", || run.said("1 edit kept"));
    // The fleet file is watched, too.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("deployments.d", "deployments.e")).unwrap();
    later("the new deployment", || run.said("\ne  "));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn once_ends_as_apply_does() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    let once = |code: i32| {
        let ended = world.packfleet(&["run", "--once", "--repo", &world.fleet_url()]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        String::from_utf8_lossy(&ended.stdout).into_owned()
    };
    assert!(once(0).contains("applied"));
    assert!(once(0).contains("in sync"));
    world.push_fleet("{ version = \"7\" }");
    assert!(once(3).contains("held"));
    world.push_text("bogus");
    once(64);
}

/// Hours of idle: as many polls as in ten minutes at one a second.
#[test]
fn idle_costs_no_write_no_look_and_does_not_grow() {
    let world = World::new("10ms");
    world.push_fleet("{ version = \"1\" }");
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().is_some());
    // What comes of its own writes comes soon, and once.
    let mut looks = 0;
    later("quiet", || {
        let (before, asked) = (looks, run.count("asked"));
        later("some more polls", || run.count("asked") > asked + 50);
        looks = run.count("begins");
        looks == before
    });
    let (listing, memory, open) = (world.listing(), run.memory(), run.descriptors());
    let asked = run.count("asked");
    later("many polls", || run.count("asked") > asked + 600);
    assert_eq!(run.count("begins"), looks, "a look at something that nobody touched");
    assert_eq!(world.listing(), listing);
    assert_eq!(run.descriptors(), open);
    assert!(run.memory() < memory + (8 << 20), "{} after {memory}", run.memory());
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn history_that_leads_back_is_refused_here_and_on_the_hosts() {
    let world = World::new("100ms");
    world.push_pack("two\n", "v1.1.0");
    world.push_fleet("{ tag = \"v1.0.0\" }");
    let first = world.git("fleet", &["rev-parse", "HEAD"]).trim().to_owned();
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    world.push_fleet("{ tag = \"v1.1.0\" }");
    later("the second version", || world.installed().as_deref() == Some("two\n"));
    // Moved back, by force.
    world.git("fleet", &["push", "-q", "--force", "origin", &format!("{first}:main")]);
    later("a refusal", || run.said("was rewritten or moved back"));
    assert!(run.said(&first[..7]) && run.said("--allow-rewind"));
    assert_eq!(run.end("TERM"), 143);

    // Neither a new start nor a controller that knows nothing is led back.
    let once = |more: &[&str]| {
        let url = world.fleet_url();
        let words = [&["run", "--once", "--repo", &url], more].concat();
        let ended = world.packfleet(&words).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, said) = once(&[]);
    assert!(code == Some(4) && said.contains("moved back"), "{code:?} {said}");
    fs::remove_dir_all(world.path("state")).unwrap();
    let (code, said) = once(&[]);
    assert!(code == Some(4) && said.contains("which this host took before"), "{code:?} {said}");
    assert_eq!(world.installed().as_deref(), Some("two\n"));
    // History that shares nothing with it is no better.
    world.git("fleet", &["checkout", "-q", "--orphan", "other"]);
    world.git("fleet", &["commit", "-q", "--allow-empty", "-m", "other"]);
    world.git("fleet", &["push", "-q", "--force", "origin", "other:main"]);
    let (code, said) = once(&[]);
    assert!(code == Some(4), "{code:?} {said}");

    // A person asks for it: then it goes, and on from there.
    world.git("fleet", &["push", "-q", "--force", "origin", &format!("{first}:main")]);
    let (code, said) = once(&["--allow-rewind"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(world.installed().as_deref(), Some("one\n"));
    let (code, said) = once(&[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn commits_that_nobody_signed_who_may_change_nothing() {
    let world = World::new("100ms");
    world.push_pack("two\n", "v1.1.0");
    let (ours, theirs) = (world.key("ours"), world.key("theirs"));
    let signers = world.path("signers");
    let key = fs::read_to_string(ours.with_extension("pub")).unwrap();
    fs::write(&signers, format!("me@example.org {key}")).unwrap();
    world.push_signed("{ tag = \"v1.0.0\" }", Some(&ours));
    let run = world.run(&["--repo", &world.fleet_url(), "--signers", signers.to_str().unwrap()]);
    later("the signed version", || world.installed().as_deref() == Some("one\n"));
    let commit = world.push_signed("{ tag = \"v1.1.0\" }", None);
    later("a refusal", || run.said(&format!("commit {commit} is not signed")));
    let commit = world.push_signed("{ tag = \"v1.1.0\" }", Some(&theirs));
    later("another refusal", || run.said(&format!("commit {commit} is signed by")));
    assert_eq!(world.installed().as_deref(), Some("one\n"));
    // Begun anew, the last good one is in force, whatever lies there now.
    assert_eq!(run.end("TERM"), 143);
    fs::remove_file(world.file()).unwrap();
    let run = world.run(&["--repo", &world.fleet_url(), "--signers", signers.to_str().unwrap()]);
    later("the version that was taken last", || world.installed().as_deref() == Some("one\n"));
    assert!(run.said("is signed by"));
    world.push_signed("{ tag = \"v1.1.0\" }", Some(&ours));
    later("a signed commit", || world.installed().as_deref() == Some("two\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn a_host_follows_git_by_itself_and_asks_nobody_else() {
    let world = World::new("100ms");
    let text =
        world.text("{ version = \"1\" }").replace("host = \"local\"", "host = \"ssh://nobody@192.0.2.1\"");
    let other = "[deployments.other]\nhost = \"ssh://nobody@192.0.2.2\"\nroot = \"/srv/other\"\n\
                 packs.bot = { version = \"1\" }\n";
    world.push_text(&format!("{text}{other}"));
    let run = world.run(&["--repo", &world.fleet_url(), "--deployment", "d"]);
    later("the first version", || world.installed().as_deref() == Some("one\n"));
    world.push_pack("two\n", "v1.1.0");
    later("a version that the range takes", || world.installed().as_deref() == Some("two\n"));
    assert!(!run.said("other"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn systemd_is_told_that_it_is_ready_how_things_stand_and_that_it_lives() {
    use std::os::unix::net::UnixDatagram;
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    let socket = UnixDatagram::bind(world.path("notify")).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(120))).unwrap();
    let url = world.fleet_url();
    let mut command = world.packfleet(&["run", "--repo", &url]);
    command.env("NOTIFY_SOCKET", world.path("notify")).env("WATCHDOG_USEC", "200000");
    let run = world.start(command);
    let mut heard = String::new();
    let told = ["READY=1", "STATUS=1 in sync", "WATCHDOG=1"];
    while !told.iter().all(|word| heard.contains(word)) || heard.matches("WATCHDOG=1").count() < 5 {
        let mut bytes = [0; 1024];
        let size = socket.recv(&mut bytes).expect("a word");
        heard.push_str(&String::from_utf8_lossy(&bytes[..size]));
    }
    assert_eq!(run.end("TERM"), 143);
    let mut bytes = [0; 1024];
    while !heard.contains("STOPPING=1") {
        let size = socket.recv(&mut bytes).expect("a last word");
        heard.push_str(&String::from_utf8_lossy(&bytes[..size]));
    }
}

/// What is served at an address, head and all; nothing if nobody listens.
fn get(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let asked = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let _gone =
            stream.write_all(asked.as_bytes()).and_then(|()| stream.read_to_string(&mut answer).map(drop));
    }
    answer
}

#[test]
fn a_loop_that_begins_with_a_broken_fleet_shows_that_and_a_taken_port_is_said_once() {
    let world = World::new("50ms");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = format!("[run]\nlisten = \"127.0.0.1:{port}\"\n");
    let good = world.text("{ version = \"1\" }").replace("[run]\n", &listen);
    world.push_text(&good.replace("[fleet]\n", "[fleet]\nbogus = 1\n"));
    let run = world.run(&["--repo", &world.fleet_url()]);
    // Without a fleet it asks every ten seconds; here somebody asks each time.
    let asks = |so: &dyn Fn() -> bool| {
        run.signal("HUP");
        so()
    };
    later("a word of it", || run.said("there is no page"));
    later("many polls", || asks(&|| run.count(" asked") >= 5));
    assert_eq!(run.count("there is no page"), 1);
    drop(taken);
    later("the page", || asks(&|| get(port, "/").contains("bogus")));
    let ready = get(port, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("fleet.toml:2: "), "{ready}");
    assert!(get(port, "/metrics").contains("packfleet_fleet_problems 1"));
    // Nothing of it can be understood: the page stays where it was.
    world.push_text("no TOML at all");
    later("the new trouble", || asks(&|| get(port, "/readyz").contains("fleet.toml:1: ")));
    world.push_text(&good);
    later("a fleet", || asks(&|| get(port, "/readyz").starts_with("HTTP/1.1 200")));
    assert_eq!(run.end("TERM"), 143);
    // Started anew where there is not even the file: it is where it was the last time, and the file is named.
    fs::remove_dir_all(world.path("state")).unwrap();
    fs::rename(world.path("fleet/fleet.toml"), world.path("fleet/other.toml")).unwrap();
    world.git("fleet", &["add", "-A"]);
    world.git("fleet", &["commit", "-qm", "gone"]);
    world.git("fleet", &["push", "-q", "origin", "main"]);
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("the page", || get(port, "/readyz").contains("cannot read fleet.toml of commit "));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn a_source_that_does_not_answer_is_asked_again_before_the_timers() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    fs::rename(world.path("packs.git"), world.path("away.git")).unwrap();
    let run = world.run(&["--repo", &world.fleet_url()]);
    later("a word of it", || run.said("held"));
    fs::rename(world.path("away.git"), world.path("packs.git")).unwrap();
    later("the version", || world.installed().as_deref() == Some("one\n"));
    assert_eq!(run.end("TERM"), 143);
}

#[test]
fn a_second_signal_ends_what_a_check_started() {
    let world = World::new("1h");
    let note = world.path("note");
    let check = format!("check = [[\"sh\", \"-c\", \"sleep 3600 & echo $! > {}; wait\"]]\n", note.display());
    world.push_text(
        &world.text("{ version = \"1\" }").replace("[deployments.d]", &format!("{check}[deployments.d]")),
    );
    let run = world.run(&["--repo", &world.fleet_url()]);
    let child = || fs::read_to_string(&note).ok().and_then(|text| text.trim().parse::<u32>().ok());
    later("the check", || child().is_some());
    run.signal("TERM");
    later("a word of it", || run.said("stopping"));
    assert_eq!(run.end("TERM"), 143);
    let status = format!("/proc/{}/status", child().unwrap());
    // Whoever takes in orphans may not have buried it yet.
    later("its end", || fs::read_to_string(&status).map_or(true, |text| text.contains("State:\tZ")));
    assert_eq!(world.installed(), None);
}

#[test]
fn what_is_remembered_of_a_repository_is_so_wherever_the_loop_begins() {
    let world = World::new("1h");
    world.push_fleet("{ version = \"1\" }");
    for place in ["fleet", "packs"] {
        let mut command = world.packfleet(&["run", "--once", "--repo", &world.fleet_url()]);
        assert!(command.current_dir(world.path(place)).output().unwrap().status.success());
    }
    let files = fs::read_dir(world.path("cache/packfleet/deployments")).unwrap();
    assert_eq!(files.count(), 1);
}
