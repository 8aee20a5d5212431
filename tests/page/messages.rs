//! Messages to a receiver on loopback: retried until it takes them, remembered over a restart, the address unseen.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use packfleet::daemon::messenger::{Messenger, Target};
use packfleet::daemon::secret::Secret;
use packfleet::daemon::view::Standing;
use packfleet::model::outward::{Notify, Topic};

use crate::fleets::small;

/// Answers with these statuses in turn, then with 200; tells what was posted, and where.
fn receiver(statuses: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/services/T0/hunter2", listener.local_addr().expect("an address"));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
            let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).expect("a request");
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a header");
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let status = statuses.get(number).copied().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).expect("answered");
            if tell.send((first, String::from_utf8(body).expect("text"))).is_err() {
                return;
            }
        }
    });
    (address, told)
}

fn target(address: &str) -> Target {
    let notify = Notify { url: "TEAM".to_owned(), on: Topic::ALL.to_vec() };
    Target::new(&notify, Secret::new(address).expect("an address"))
}

#[test]
fn a_message_is_tried_again_and_not_repeated_after_a_restart() {
    let place = tempfile::tempdir().expect("a directory");
    let memory = camino::Utf8PathBuf::from_path_buf(place.path().join("messages.json")).expect("UTF-8");
    let (address, told) = receiver(&[403]);
    let mut view = small();
    view.deployments.retain(|deployed| deployed.name == "PAI-TEST-01");
    view.deployments[0].why = "<!channel> a.txt: line 1".to_owned();
    view.deployments[0].sync = Standing::Held;
    let messenger = Messenger::start(memory.clone()).expect("it starts");
    messenger.targets(vec![target(&address)]);
    messenger.see(Arc::new(view.clone()));
    let next =
        |told: &Receiver<(String, String)>| told.recv_timeout(Duration::from_secs(60)).expect("a message");
    let (first, body) = next(&told);
    assert!(first.starts_with("POST /services/T0/hunter2 "), "{first}");
    let json: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let text = json["text"].as_str().expect("a text");
    assert!(
        text.starts_with("held on PAI-TEST-01: &lt;!channel&gt; a.txt: line 1\nnext: packfleet retry"),
        "{text}"
    );
    // It failed the first time, and comes again.
    assert_eq!(next(&told).1, body);
    let kept = std::fs::read_to_string(&memory).expect("a memory");
    assert!(!kept.contains("hunter2"), "{kept}");
    drop(messenger);

    let messenger = Messenger::start(memory).expect("it starts again");
    messenger.targets(vec![target(&address)]);
    messenger.see(Arc::new(view.clone()));
    assert!(told.recv_timeout(Duration::from_secs(7)).is_err(), "the same cause is told twice");
    view.deployments[0].sync = Standing::InSync;
    messenger.see(Arc::new(view));
    let (_, body) = next(&told);
    assert!(body.contains("over: held on PAI-TEST-01"), "{body}");
}

#[test]
fn who_did_not_wait_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    std::fs::create_dir_all(path("packs/bot")).expect("a pack");
    std::fs::write(path("packs/bot/prompt.md"), "one\n").expect("a file");
    std::fs::create_dir(path("dev")).expect("a root");
    let fleet = "[fleet]\nname = \"f\"\n[[notify]]\nurl = { env = \"TEAM\" }\non = [\"held\"]\n[sources.here]\npath = \
                 \"packs\"\n[packs.bot]\nsource = \"here\"\ndir = \"bot\"\ntarget = \"bot\"\n[deployments.dev]\nhost = \
                 \"local\"\nroot = \"dev\"\npacks.bot = { version = \"*\" }\npause = { reason = \"conference\", until = \
                 2999-01-01T00:00:00Z }\n";
    std::fs::write(path("fleet.toml"), fleet).expect("a fleet");
    let (address, told) = receiver(&[]);
    let apply = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_packfleet"))
            .current_dir(place.path())
            .env("XDG_CACHE_HOME", path("cache"))
            .env("TEAM", &address)
            .arg("apply")
            .args(arguments)
            .output()
            .expect("it runs")
    };
    assert_eq!(apply(&["--yes"]).status.code(), Some(5), "it is paused");
    let output = apply(&["--yes", "--now", "--reason", "the key is out"]);
    assert!(output.status.success(), "{output:?}");
    let (_, body) = told.recv_timeout(Duration::from_secs(60)).expect("a message");
    assert!(body.contains("applied at once on dev, in spite of pause: the key is out"), "{body}");
    assert!(told.try_recv().is_err(), "it is told once");
}

#[test]
fn receivers_that_hang_hold_neither_the_others_nor_the_end_up() {
    let place = tempfile::tempdir().expect("a directory");
    let memory = camino::Utf8PathBuf::from_path_buf(place.path().join("messages.json")).expect("UTF-8");
    // They take connections and never answer.
    let deaf = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let (address, told) = receiver(&[]);
    let mut targets: Vec<Target> = deaf
        .iter()
        .enumerate()
        .map(|(number, listener)| {
            let url = format!("http://{}/", listener.local_addr().expect("an address"));
            let notify = Notify { url: format!("DEAF{number}"), on: Topic::ALL.to_vec() };
            Target::new(&notify, Secret::new(url).expect("an address"))
        })
        .collect();
    targets.push(target(&address));
    let mut view = small();
    view.deployments.retain(|deployed| deployed.name == "PAI-TEST-01");
    view.deployments[0].sync = Standing::Held;
    let messenger = Messenger::start(memory.clone()).expect("it starts");
    messenger.targets(targets);
    let began = std::time::Instant::now();
    messenger.see(Arc::new(view));
    told.recv_timeout(Duration::from_secs(60)).expect("a message");
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(9), "it waited for those that hang: {waited:?}");
    let end = std::time::Instant::now();
    drop(messenger);
    assert!(end.elapsed() < Duration::from_secs(8), "the end took {:?}", end.elapsed());
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&memory).expect("a memory")).expect("JSON");
    let left = |name: &str| kept["outboxes"][name].as_array().map_or(0, Vec::len);
    assert_eq!((left("DEAF0"), left("DEAF1"), left("TEAM")), (1, 1, 0), "{kept}");
}
