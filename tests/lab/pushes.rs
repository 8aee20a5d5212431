//! The loop end to end: the fleet and its packs in a git server, over http and over ssh; a push that moves a canary and,
//! when that has soaked, the rest; a bad release that stops at the canary; an edit on a host, seen at once.
//!
//! Each state is read from the page's API. What is there for a moment only is held there by a soak of an hour, which a
//! push then makes short: no assertion is about how long something took.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::bot::Bot;
use crate::following::Loop;
use crate::http::Http;
use crate::machine::Machine;
use crate::services::{is_active, served};
use crate::world::{World, until};

/// How long the canary soaks, where it soaks for a short time.
const SOAK: SignedDuration = SignedDuration::from_secs(2);

/// The server is git's own, behind http.
pub fn followed_over_http(world: &World) {
    let directory = world.path("git");
    fs::create_dir_all(&directory).expect("a directory");
    let http = Http::serve(&directory);
    let url = format!("http://{}", http.address);
    world.serve(&directory, &url);
    followed(world, &url);
}

/// The server is a host, by ssh; it is one of the fleet, too.
pub fn followed_over_ssh(world: &World) {
    let server = &world.machines[1];
    let directory = format!("/srv/{}-git", world.name);
    let url = format!("ssh://{}{directory}", server.name);
    world.serve(&server.at(&directory), &url);
    followed(world, &url);
}

fn fleet(world: &World, url: &str, soak: &str) -> String {
    let mut text = format!(
        "[fleet]\nname = \"{}\"\n[run]\npoll = \"1s\"\nresync = \"1h\"\nlisten = \"127.0.0.1:{}\"\n\
         retry = {{ initial = \"1s\", max = \"2s\" }}\n\
         [sources.s]\nurl = \"{url}/packs.git\"\n[packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"bot\"\n{}\n\
         [[rollout]]\nselect = [\"{}\"]\nsoak = \"{soak}\"\n[[rollout]]\nselect = [\"*\"]\n",
        world.name,
        world.port(),
        served(world, "").replace("within = \"5s\"", "within = \"2s\""),
        world.machines[0].name,
    );
    for machine in &world.machines {
        text.push_str(&format!(
            "[deployments.{0}]\nhost = \"{0}\"\nroot = \"{1}\"\npacks.bot = {{ version = \"1\" }}\n",
            machine.name,
            world.root()
        ));
    }
    text
}

fn followed(world: &World, url: &str) {
    let [canary, rest @ ..] = &world.machines[..] else { panic!("a machine") };
    let last = rest.last().expect("another machine");
    world.bot("1.0.0", Bot::Good);
    world.push_packs();
    world.push_fleet(&fleet(world, url, &format!("{}s", SOAK.as_secs())));
    let run = world.run(&["--repo", &format!("{url}/fleet.git")]);

    // An install goes by stages, too.
    settled(world, &run, "1.0.0");
    soaked_first(world, "1.0.0");

    // A push of the pack moves the canary, and nobody else while that soaks.
    world.push_fleet(&fleet(world, url, "1h"));
    world.bot("1.1.0", Bot::Good);
    world.push_packs();
    run.shows(&canary.name, "soaking", |one| {
        one["sync"] == "in-sync"
            && one["packs"][0]["installed"] == "1.1.0"
            && one["health"] == "healthy"
            && one["stage"]["soaks_until"].is_string()
    });
    for machine in rest {
        let shown = run.shows(&machine.name, "waiting", |one| {
            one["sync"] == "waiting" && one["stage"]["clears"].is_string()
        });
        assert_eq!(shown["reasons"][0]["cause"], "stage", "{shown:#}");
        let (pack, stage) = (&shown["packs"][0], &shown["stage"]);
        assert_eq!((&pack["installed"], &pack["wanted"]), (&"1.0.0".into(), &"1.1.0".into()), "{shown:#}");
        assert_eq!((&stage["number"], &stage["waits"]), (&2.into(), &true.into()), "{shown:#}");
        let clears: Timestamp = stage["clears"].as_str().expect("a time").parse().expect("a time");
        let left = clears.duration_since(Timestamp::now());
        assert!(left > SignedDuration::from_mins(50) && left <= SignedDuration::from_hours(1), "{shown:#}");
        assert!(shown["why"].as_str().is_some_and(|why| why.contains(&canary.name)), "{shown:#}");
        assert_eq!(world.text(machine, "bot/prompt.md"), world.prompt("1.0.0"));
    }

    // With a soak that is over, the rest follows.
    world.push_fleet(&fleet(world, url, &format!("{}s", SOAK.as_secs())));
    settled(world, &run, "1.1.0");
    soaked_first(world, "1.1.0");

    seen_at_once(world, &run, last);

    // A bad one goes no further than the canary, which has the old one again.
    world.bot("1.2.0", Bot::Answers500);
    world.push_packs();
    let shown = run.shows(&canary.name, "rejected", |one| one["sync"] == "rejected");
    assert_eq!(shown["packs"][0]["installed"], "1.1.0", "{shown:#}");
    assert!(shown["reasons"][0]["next"].as_str().is_some_and(|next| next.contains("retry")), "{shown:#}");
    for machine in rest {
        let shown = run.shows(&machine.name, "stopped", |one| {
            one["sync"] == "waiting" && one["stage"]["stopped"].is_string()
        });
        assert_eq!(shown["packs"][0]["installed"], "1.1.0", "{shown:#}");
    }
    for machine in &world.machines {
        let of_both: Vec<_> = world.history(machine).into_iter().map(|(_, version)| version).collect();
        assert!(
            machine.name == canary.name || of_both == ["1.0.0", "1.1.0"],
            "{}: {of_both:?}",
            machine.name
        );
        assert!(!world.on(machine, ".packfleet/journal").exists());
        assert!(is_active(world, machine));
    }
    assert_eq!(world.text(canary, "bot/prompt.md"), world.prompt("1.1.0"));

    // What mends it goes all the way, and the edit goes along.
    world.bot("1.3.0", Bot::Good);
    world.push_packs();
    settled(world, &run, "1.3.0");
    assert!(world.text(last, "bot/prompt.md").contains("Cite all sources."));
    assert_eq!(run.end("TERM"), 143);
}

/// Waits until all have a version, and the loop has nothing more to do.
#[track_caller]
fn settled(world: &World, run: &Loop, version: &str) {
    for machine in &world.machines {
        run.shows(&machine.name, version, |one| {
            (one["sync"] == "in-sync" || one["sync"] == "edited") && one["packs"][0]["installed"] == version
        });
    }
}

/// By the clocks of the hosts' own files: nobody had it before the canary had it for the soak.
#[track_caller]
fn soaked_first(world: &World, version: &str) {
    // A rename moves it; nothing else does while it is in place.
    let since = |machine: &Machine| {
        let found = fs::metadata(world.on(machine, "bot/prompt.md")).expect("it is there");
        let at = Timestamp::new(found.ctime(), i32::try_from(found.ctime_nsec()).expect("a time"));
        assert!(world.text(machine, "bot/prompt.md").contains(version), "{}", machine.name);
        at.expect("a time")
    };
    let [canary, rest @ ..] = &world.machines[..] else { panic!("a machine") };
    for machine in rest {
        let soaked = since(machine).duration_since(since(canary));
        assert!(soaked >= SOAK, "{} followed after {soaked:?}: {:?}", machine.name, world.history(machine));
    }
}

/// An edit on a host is told to those who listen, and no timer had a part in it.
fn seen_at_once(world: &World, run: &Loop, machine: &Machine) {
    run.rests();
    let before = run.log().len();
    let mut events = run.events();
    let _as_it_stands = events.next();
    let file = world.on(machine, "bot/prompt.md");
    let text = world.text(machine, "bot/prompt.md").replace("Cite sources.", "Cite all sources.");
    let begun = Instant::now();
    // As an editor there does it: watches of this machine see nothing of it.
    let there = format!("{}/bot/prompt.md", world.root());
    machine.says(&format!("sed -i 's/Cite sources/Cite all sources/' {there}"));
    let typed = begun.elapsed();
    let shown = loop {
        let _newer = events.next();
        let shown = run.deployment(&machine.name);
        if shown["edits"] == 1 {
            break shown;
        }
    };
    let told = begun.elapsed();
    assert_eq!(shown["sync"], "edited", "{shown:#}");
    assert_eq!(shown["drift"][0]["path"], "bot/prompt.md", "{shown:#}");
    assert_eq!(fs::read_to_string(file).expect("a file"), text);
    println!(
        "lab: {}: an edit on a host was told {} ms after it was made at the latest, {} ms after it was begun",
        world.name,
        (told.saturating_sub(typed)).as_millis(),
        told.as_millis()
    );
    assert!(told < Duration::from_secs(30), "seen after {told:?}: that is not at once");
    until("the look is over", || run.log()[before..].contains("begins"));
    let log = run.log()[before..].to_owned();
    assert!(log.contains("kind=Look"), "no touch led to it: {log}");
    assert!(!log.contains("kind=Pass") && !log.contains("kind=Rehash"), "a timer was there first: {log}");
}
