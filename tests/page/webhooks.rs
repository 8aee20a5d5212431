//! Webhooks: who is let in, what is refused before it is read, and that a flood stays cheap.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::fleets::small;
use crate::server::{Answer, Server};

const SECRET: &str = "correct horse battery staple";
const BODY: &[u8] = br#"{"ref": "refs/heads/main", "repository": {"clone_url": "file:///etc/passwd"}}"#;

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn server() -> Server {
    Server::start(small(), Some(SECRET))
}

fn looks(server: &Server) -> usize {
    server.looks.load(Ordering::SeqCst)
}

#[test]
fn all_three_forges_are_let_in() {
    let server = server();
    let signature = sign(BODY);
    let github = format!("sha256={signature}");
    for (number, headers) in [
        vec![
            ("X-Hub-Signature-256", github.as_str()),
            ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", "1"),
        ],
        vec![
            ("X-Gitea-Signature", signature.as_str()),
            ("X-Hub-Signature-256", github.as_str()),
            ("X-Gitea-Delivery", "1"),
        ],
        vec![("X-Gitlab-Token", SECRET), ("X-Gitlab-Event-UUID", "1")],
    ]
    .into_iter()
    .enumerate()
    {
        let answer = server.hook(&headers, BODY);
        assert_eq!((answer.status, looks(&server)), (202, number + 1), "{headers:?}: {answer:?}");
    }
    let ping = server.hook(&[("X-Hub-Signature-256", &github), ("X-GitHub-Event", "ping")], BODY);
    assert_eq!((ping.status, looks(&server)), (200, 3));
}

#[test]
fn without_a_secret_webhooks_are_off() {
    let server = Server::start(small(), None);
    let answer = server.hook(&[("X-Gitlab-Token", "")], BODY);
    assert_eq!((answer.status, looks(&server)), (404, 0));
}

#[test]
fn missing_wrong_short_and_doubled_signatures_are_refused() {
    let server = server();
    let github = format!("sha256={}", sign(BODY));
    let other = format!("sha256={}", sign(b"{}"));
    for headers in [
        vec![],
        vec![("X-Hub-Signature-256", other.as_str())],
        vec![("X-Hub-Signature-256", &github[..40])],
        vec![("X-Hub-Signature-256", github.as_str()), ("X-Hub-Signature-256", github.as_str())],
        vec![("X-Hub-Signature-256", github.as_str()), ("X-Gitlab-Token", "no")],
        vec![("X-Gitlab-Token", "correct horse")],
        vec![("X-Hub-Signature", "sha1=aaaa")],
    ] {
        let answer = server.hook(&headers, BODY);
        assert_eq!(answer.status, 401, "{headers:?}: {answer:?}");
        assert!(!answer.body.contains("horse"), "{answer:?}");
    }
    assert_eq!(looks(&server), 0);
}

#[test]
fn a_good_signature_over_nonsense_is_refused() {
    let server = server();
    for body in
        [&b"nonsense"[..], b"", b"[1, 2]", b"\"text\"", b"{\"a\":", &[0xff, 0xfe], &b"{\"a\":".repeat(5000)]
    {
        let answer = server.hook(&[("X-Hub-Signature-256", &format!("sha256={}", sign(body)))], body);
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
    }
    assert_eq!(looks(&server), 0);
}

#[test]
fn the_same_delivery_twice_is_ignored() {
    let server = server();
    let signature = format!("sha256={}", sign(BODY));
    let deliver = |id: &str| {
        server.hook(&[("X-Hub-Signature-256", &signature), ("X-GitHub-Delivery", id)], BODY).status
    };
    assert_eq!([deliver("a"), deliver("a"), deliver("b"), deliver("a")], [202, 200, 202, 200]);
    assert_eq!(looks(&server), 2);
    // An id that came with a wrong signature is not remembered: nobody can make a good one look old.
    server.hook(
        &[("X-Hub-Signature-256", &format!("sha256={}", sign(b"{}"))), ("X-GitHub-Delivery", "c")],
        BODY,
    );
    assert_eq!(deliver("c"), 202);
}

#[test]
fn compressed_and_other_bodies_are_refused_unread() {
    let server = server();
    let signature = format!("sha256={}", sign(BODY));
    for header in [
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "identity, gzip"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Type", "text/plain"),
    ] {
        // The body never comes: an answer shows that nobody waited for it.
        let headers = [("X-Hub-Signature-256", signature.as_str()), ("Content-Length", "1000"), header];
        assert_eq!(server.hook(&headers, b"").status, 415, "{header:?}");
    }
    let large = [("X-Hub-Signature-256", signature.as_str()), ("Content-Length", "1048577")];
    assert_eq!(server.hook(&large, b"").status, 413);
}

/// Resident memory of this process, in KiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}

#[test]
fn endless_chunks_are_cut_off_in_flat_memory() {
    let server = server();
    let signature = format!("sha256={}", sign(BODY));
    let before = memory();
    let mut stream = server.connect();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: \
         chunked\r\nX-Hub-Signature-256: {signature}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    // It must stop taking them long before this.
    while sent < 64 << 20 && stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    let grown = memory().saturating_sub(before);
    assert!(grown < 48 << 10, "memory grew by {grown} KiB");
    let answer = Answer::read(stream);
    // What the kernel had of the answer may be lost to the reset.
    assert!([413, 0].contains(&answer.status), "{answer:?}");
    assert_eq!(looks(&server), 0);
}

#[test]
fn a_body_that_is_one_byte_too_long_is_413() {
    let server = server();
    let signature = format!("sha256={}", sign(BODY));
    let mut stream = server.connect();
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: \
         chunked\r\nX-Hub-Signature-256: {signature}\r\n\r\n100001\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream.write_all(&vec![b' '; 0x100001]).expect("written");
    let answer = Answer::read(stream);
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[test]
fn a_thousand_good_ones_and_a_good_one_among_bad_ones() {
    let server = server();
    let signature = format!("sha256={}", sign(BODY));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, signature) = (&server, &signature);
            scope.spawn(move || {
                for number in 0..125 {
                    let id = format!("{thread}-{number}");
                    let headers =
                        [("X-Hub-Signature-256", signature.as_str()), ("X-GitHub-Delivery", id.as_str())];
                    assert_eq!(server.hook(&headers, BODY).status, 202);
                }
            });
        }
    });
    assert_eq!(looks(&server), 1000, "each says \"look\"; the loop makes one or two of them");
    eprintln!("1000 webhooks took {:?}", began.elapsed());

    // Bad ones: wrong signatures, heads that never end, bodies that never come.
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = server.connect();
        let bad = format!(
            "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature-256: \
             sha256={}\r\nContent-Length: 1000\r\n",
            "0".repeat(64)
        );
        // A few wait with a whole head and no body, the others with half a head.
        stream.write_all(bad.as_bytes()).expect("written");
        if number < 16 {
            stream.write_all(b"\r\n").expect("written");
        }
        slow.push(stream);
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(server.hook(&[("X-Gitlab-Token", "wrong")], BODY).status, 401);
                }
            });
        }
        let before = looks(&server);
        let answer =
            server.hook(&[("X-Gitlab-Token", SECRET), ("X-Gitlab-Event-UUID", "among bad ones")], BODY);
        stop.store(true, Ordering::Relaxed);
        assert_eq!((answer.status, looks(&server)), (202, before + 1), "{answer:?}");
    });
    drop(slow);
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let server = server();
    let mut stream = server.connect();
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let head = format!(
        "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\
         X-Gitlab-Token: {SECRET}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn bodies_that_never_come_hold_no_good_one_up() {
    let server = server();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect();
        let bad = format!(
            "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature-256: \
             sha256={}\r\nContent-Length: 100000\r\n\r\n{{",
            "0".repeat(64)
        );
        stream.write_all(bad.as_bytes()).expect("written");
        slow.push(stream);
    }
    for number in 0..20 {
        let id = format!("good {number}");
        let answer = server.hook(&[("X-Gitlab-Token", SECRET), ("X-Gitlab-Event-UUID", &id)], BODY);
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    drop(slow);
}
