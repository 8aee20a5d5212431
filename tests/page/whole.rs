//! `packfleet run` with its page, a webhook and a receiver of messages: what happens on a host is shown soon, and
//! secrets are nowhere.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const HOOK: &str = "hook-secret-5f1c9a";
/// What a person should not have written into a file that a pack owns.
const PASSWORD: &str = "ghp_R8s2kQ4vX7tB1nZ6mW3cY9dL5hJ0fGpEaTuV";

struct Fleet {
    place: tempfile::TempDir,
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Fleet {
    fn start(receiver: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("packs/bot")).expect("a pack");
        fs::write(path("packs/bot/prompt.md"), "one\ntwo\nthree\n").expect("a file");
        fs::create_dir(path("dev")).expect("a root");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let fleet = format!(
            "[fleet]\nname = \"whole\"\n[run]\nlisten = \"localhost:{port}\"\nwebhook_secret = {{ env = \"HOOK\" }}\nresync = \
             \"1s\"\npoll = \"1s\"\n[[notify]]\nurl = {{ env = \"TEAM\" }}\n[sources.here]\npath = \"packs\"\n[packs.bot]\nsource = \
             \"here\"\ndir = \"bot\"\ntarget = \"bot\"\n[deployments.dev]\nhost = \"local\"\nroot = \"dev\"\npacks.bot = {{ version = \"*\" }}\n"
        );
        fs::write(path("fleet.toml"), fleet).expect("a fleet");
        let log = path("log");
        let child = Command::new(env!("CARGO_BIN_EXE_packfleet"))
            .args(["-vv", "run"])
            .current_dir(place.path())
            .env("XDG_CACHE_HOME", path("cache"))
            .env("HOOK", HOOK)
            .env("TEAM", receiver)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("it runs");
        Self { place, child, port, log }
    }

    fn ask(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asked");
        let mut answer = String::new();
        let _cut = stream.read_to_string(&mut answer);
        answer
    }

    /// Asks until it is so, and how long that took.
    fn until(&self, path: &str, so: impl Fn(&str) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let answer = self.ask(path);
            if so(&answer) {
                return began.elapsed();
            }
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(60), "{path}: {answer}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }
}

#[test]
fn what_happens_on_a_host_is_shown_and_told_and_secrets_are_not() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let secret_path = "/services/T0/address-secret-77aa";
    let receiver = format!("http://{}{secret_path}", listener.local_addr().expect("an address"));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let body = posted(&stream);
            let _answered =
                (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    let fleet = Fleet::start(&receiver);
    fleet.until("/readyz", |answer| answer.starts_with("HTTP/1.1 200"));
    fleet.until("/api/v1/deployments/dev", |answer| answer.contains("\"sync\":\"in-sync\""));

    let file = fleet.place.path().join("dev/bot/prompt.md");
    fs::write(&file, format!("one\ntwo\ngithub_token = \"{PASSWORD}\"\n")).expect("an edit");
    let took = fleet.until("/", |page| {
        page.contains(" edited") && page.contains("1 only here") || page.contains("1, 1 only here")
    });
    eprintln!("an edit was on the page after {took:?}");
    let page = fleet.ask("/deployments/dev");
    assert!(page.contains("[secret 1]") && page.contains("class=\"del\">-three"), "{page}");

    // Both sides changed the same line: held, shown and told.
    fs::write(fleet.place.path().join("packs/bot/prompt.md"), "one\ntwo\ndrei\n").expect("a new version");
    hook(fleet.port);
    fleet.until("/?show=held", |page| page.contains("line 3"));
    let message = told.recv_timeout(Duration::from_secs(60)).expect("a message");
    assert!(
        message.contains("held on dev: bot/prompt.md") && message.contains("next: packfleet resolve dev"),
        "{message}"
    );

    let mut all = vec![message];
    for path in
        ["/", "/deployments/dev", "/api/v1/fleet", "/api/v1/deployments/dev/detail", "/metrics", "/?q=dev"]
    {
        all.push(fleet.ask(path));
    }
    all.push(fs::read_to_string(&fleet.log).expect("a log"));
    for kept in walk(&fleet.place.path().join("cache/packfleet/messages")) {
        all.push(fs::read_to_string(kept).expect("a memory"));
    }
    for text in &all {
        for secret in [HOOK, PASSWORD, "address-secret-77aa"] {
            assert!(!text.contains(secret), "{secret} is in\n{text}");
        }
    }
}

fn posted(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" || line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    String::from_utf8(body).expect("text")
}

fn hook(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let request = format!(
        "POST /webhook HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: {HOOK}\r\nContent-Type: application/json\r\nContent-Length: \
         2\r\nConnection: close\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    let _cut = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}
