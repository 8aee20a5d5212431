//! Both ends of a session against a peer that is broken or hostile: it ends with its reason, and the host keeps what
//! it has.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::away::{bound, program};
use crate::world::*;
use packfleet::host::agent::{self, Awaited};
use packfleet::host::pipe::Pipe;
use packfleet::host::remote::{Dial, Dialled, RemoteHost, Session};
use packfleet::host::wire::blobs;
use packfleet::host::wire::frame::{self, BodyWriter, Frames, Kind, Working};
use packfleet::host::wire::hello::{GREETING, Hello};
use packfleet::host::wire::message::{self, Answer, Asked, Request, SentCommit};
use packfleet::host::wire::{PROTOCOL, WireError};
use packfleet::host::{Applied, Host, HostError};
use packfleet::model::{Content, HostPath};

/// What a test's controller does with the token of a session.
type Say<'a> = dyn Fn(&str) -> Vec<u8> + 'a;

/// Lets an agent serve, says something to it, and tells how it ended and what it answered.
fn session(say: &Say<'_>) -> (Result<(), WireError>, Vec<Answer>) {
    spoken(say, usize::MAX)
}

/// The same, with writes of no more than `most` bytes.
fn spoken(say: &Say<'_>, most: usize) -> (Result<(), WireError>, Vec<Answer>) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let agent = std::thread::spawn(move || {
        let mut output = theirs.try_clone().expect("a clone");
        let mut input = Awaited::new(OwnedFd::from(theirs).into(), agent::SILENCE);
        agent::serve(&mut input, &mut output, "build")
    });
    let mut frames = Frames::default();
    frames.skip_to(&[GREETING], &mut ours).expect("a greeting");
    let token = Hello::receive(&mut frames, &mut ours).expect("a hello").session.expect("a token");
    let bytes = say(&token);
    for part in bytes.chunks(most.min(bytes.len()).max(1)) {
        // An agent that has heard enough does not hear the rest.
        if ours.write_all(part).is_err() {
            break;
        }
    }
    ours.shutdown(std::net::Shutdown::Write).expect("an end");
    let mut answers = Vec::new();
    while let Ok(Some(answer)) = message::receive::<Answer>(&mut frames, &mut ours, Working::Skipped) {
        answers.push(answer);
    }
    (agent.join().expect("no panic"), answers)
}

fn hello(root: &HostPath) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut hello = Hello::new("build");
    hello.bound = Some(bound(root.clone()));
    hello.send(&mut bytes).expect("a hello");
    bytes
}

fn asked(token: &str, request: Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    message::send(&Asked { session: Some(token.to_owned()), request }, &mut bytes).expect("a message");
    bytes
}

/// A deployment at its first version, and what a controller says to bring it to the second.
struct Upgrade {
    disk: OnDisk,
    root: HostPath,
    two: Files,
}

impl Upgrade {
    fn new() -> Self {
        let disk = OnDisk::new();
        let root = HostPath::new(disk.root().to_str().expect("UTF-8")).expect("a root");
        done(disk.host(), &files(&[("a", "one"), ("b", "b")]), "1");
        Self { disk, root, two: files(&[("a", "two, and more of it"), ("c/d", "new")]) }
    }

    fn request(&self) -> Request {
        let plan = plan(self.disk.host(), &self.two, "2");
        Request::Apply(Box::new(SentCommit::of(&commit(&plan))))
    }

    fn lacking(&self) -> Vec<Content> {
        ["two, and more of it", "new"].map(|text| Content::of(text.as_bytes())).to_vec()
    }

    /// Hello, request and blobs, all at once.
    fn all(&self, token: &str) -> Vec<u8> {
        let mut bytes = [hello(&self.root), asked(token, self.request())].concat();
        let store = Store::of(&self.two);
        blobs::send(&self.lacking(), &store, BodyWriter::new(&mut bytes), || false).expect("blobs");
        bytes
    }

    fn is_old(&self) -> bool {
        managed(self.disk.files()) == files(&[("a", "one"), ("b", "b")])
            && observe(self.disk.host(), &self.two).record.is_some_and(|record| record.generation == 1)
            && observe(self.disk.host(), &self.two).interrupted.is_none()
    }
}

#[test]
fn a_session_works_however_its_bytes_are_cut() {
    for most in [1, 2, 3, 7, 100, usize::MAX] {
        let upgrade = Upgrade::new();
        let (ended, answers) = spoken(&|token| upgrade.all(token), most);
        ended.expect("a good end");
        assert!(
            matches!(&answers[0], Answer::Lacks(lacking) if *lacking == upgrade.lacking()),
            "{answers:?}"
        );
        assert!(matches!(answers[1], Answer::Applied(Applied::Done { generation: 2, .. })), "{answers:?}");
        assert_eq!(managed(upgrade.disk.files()), upgrade.two);
    }
}

#[test]
fn a_session_that_ends_anywhere_leaves_the_old() {
    let upgrade = Upgrade::new();
    let length = upgrade.all(&"0".repeat(32)).len();
    for cut in (0..length).filter(|cut| cut % 5 == 0 || length - cut < 60) {
        let (_, answers) = session(&|token| upgrade.all(token)[..cut].to_vec());
        assert!(!answers.iter().any(|answer| matches!(answer, Answer::Applied(_))), "{cut} of {length}");
        assert!(upgrade.is_old(), "{cut} of {length}");
    }
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let upgrade = Upgrade::new();
    let raw = |length: u32, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    let framed = |kind: Kind, payload: &[u8]| {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, payload).expect("a frame");
        bytes
    };
    let first = |bytes: Vec<u8>| Box::new(move |_: &str| bytes.clone()) as Box<Say<'_>>;
    let greeted = |bytes: Vec<u8>| {
        let hello = hello(&upgrade.root);
        Box::new(move |_: &str| [hello.clone(), bytes.clone()].concat()) as Box<Say<'_>>
    };
    let mut newer = Hello::new("build");
    newer.protocol = PROTOCOL + 1;
    let mut hello_of_next = Vec::new();
    newer.send(&mut hello_of_next).expect("a hello");
    let mut nobody = Vec::new();
    Hello::new("build").send(&mut nobody).expect("a hello");
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).expect("compressed");
    let bomb = raw(u32::try_from(bomb.len()).expect("small") + 1, &[&[0x83], bomb.as_slice()].concat());
    let longer = [asked("", Request::History)[5..].to_vec(), vec![0]].concat();
    let cases: Vec<(&str, Box<Say<'_>>, &str)> = vec![
        ("length 0", first(raw(0, b"")), "a frame of 0 bytes"),
        ("length 2^31", first(raw(1 << 31, b"x")), "a frame of 2147483648 bytes"),
        ("length 2^63", first((1u64 << 63).to_le_bytes().to_vec()), "a frame of 0 bytes"),
        ("length 2^63, turned", first((1u64 << 63).to_be_bytes().to_vec()), "the unknown kind 0"),
        ("too long by one", first(raw((1 << 20) + 1, b"\x01")), "a frame of 1048577 bytes"),
        ("an unknown kind", greeted(raw(3, b"\x09xx")), "the unknown kind 9"),
        ("a request first", first(asked("", Request::History)), "something else than a hello first"),
        ("a hello twice", greeted(hello(&upgrade.root)), "a second hello"),
        ("another protocol", first(hello_of_next), "protocol 4, and this packfleet speaks 3"),
        ("for nobody", first(nobody), "names no deployment"),
        ("no JSON", first(framed(Kind::Hello, b"{")), "a hello that is none"),
        ("a long hello", first(framed(Kind::Hello, &[b' '; 20_000])), "a hello beyond the limit"),
        ("an unknown request", greeted(framed(Kind::Last, &[0, 99])), "does not decode"),
        ("a request and more", greeted(framed(Kind::Last, &longer)), "1 bytes behind its end"),
        (
            "a sign of work in the middle",
            greeted([framed(Kind::More, b"x"), framed(Kind::Working, &[])].concat()),
            "a sign of work in the middle of something",
        ),
        ("an empty chunk", greeted(framed(Kind::More, &[])), "an empty chunk"),
        ("a bomb", greeted(bomb), "does not decompress to at most"),
        ("no zstd", greeted(raw(5, b"\x83xxxx")), "does not decompress"),
        ("a wish of blobs", greeted(framed(Kind::Last, &[2])), "does not decode"),
        (
            "no token",
            Box::new(|_| [hello(&upgrade.root), asked("", upgrade.request())].concat()),
            "another session",
        ),
        (
            "a blob with another digest",
            Box::new(|token| {
                let mut bytes = [hello(&upgrade.root), asked(token, upgrade.request())].concat();
                let mut body = vec![1];
                body.extend_from_slice(upgrade.lacking()[0].as_bytes());
                body.extend_from_slice(&3u64.to_le_bytes());
                body.extend_from_slice(b"two\x02");
                frame::write(&mut bytes, Kind::Last, &body).expect("a frame");
                bytes
            }),
            "a blob with another digest",
        ),
        (
            "a blob that is not in the plan",
            Box::new(|token| {
                let mut bytes = [hello(&upgrade.root), asked(token, upgrade.request())].concat();
                let other = files(&[("x", "of another plan")]);
                let lacking = [Content::of(b"of another plan")];
                blobs::send(&lacking, &Store::of(&other), BodyWriter::new(&mut bytes), || false)
                    .expect("blobs");
                bytes
            }),
            "a blob that nobody asked for",
        ),
        (
            "a blob of 2^63 bytes",
            Box::new(|token| {
                let mut bytes = [hello(&upgrade.root), asked(token, upgrade.request())].concat();
                let mut body = vec![1];
                body.extend_from_slice(upgrade.lacking()[0].as_bytes());
                body.extend_from_slice(&(1u64 << 63).to_le_bytes());
                frame::write(&mut bytes, Kind::Last, &body).expect("a frame");
                bytes
            }),
            "a blob beyond the limit",
        ),
    ];
    for (name, say, reason) in cases {
        let (ended, answers) = session(&*say);
        let error = ended.expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
        let Some(Answer::Refused(told)) = answers.last() else { panic!("{name}: {answers:?}") };
        assert!(told.contains(reason), "{name}: {told}");
        assert!(upgrade.is_old(), "{name}");
    }
}

#[test]
fn what_was_said_to_one_host_does_nothing_on_another() {
    let (one, other) = (Upgrade::new(), Upgrade::new());
    let recorded = std::sync::Mutex::new(Vec::new());
    let (ended, _) = session(&|token| {
        let all = one.all(token);
        *recorded.lock().expect("alone") = all.clone();
        all
    });
    ended.expect("a good end");
    let recorded = recorded.into_inner().expect("alone");
    for _again in 0..2 {
        let (ended, _) = session(&|_| recorded.clone());
        assert!(ended.expect_err("refused").to_string().contains("another session"));
    }
    assert!(other.is_old());
}

#[test]
fn a_session_is_for_one_deployment() {
    let upgrade = Upgrade::new();
    let mut other = look(&upgrade.two);
    other.deployment = "elsewhere".parse().expect("a name");
    let say = |token: &str| [hello(&upgrade.root), asked(token, Request::Observe(other.clone()))].concat();
    let (ended, answers) = session(&say);
    ended.expect("a good end");
    let Some(Answer::Failed(fault)) = answers.into_iter().next() else { panic!("an answer") };
    let error = HostError::from(fault);
    assert!(matches!(&error, HostError::State { why, .. } if why.contains("not for elsewhere")), "{error}");
}

/// A shell script in the place of ssh and the host; `$A` is the real program.
#[derive(Debug)]
struct Script(&'static str, Duration);

impl Dial for Script {
    fn host(&self) -> String {
        "script".to_owned()
    }

    fn patience(&self) -> Duration {
        self.1
    }

    fn dial(&self) -> Result<Dialled, HostError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", self.0]).env("A", &program().path);
        let mut pipe = Pipe::start(&mut command, self.1).expect("a shell");
        let mut frames = Frames::default();
        if let Err(error) = frames.skip_to(&[GREETING], &mut pipe) {
            return Err(HostError::Agent { host: self.host(), why: error.to_string() });
        }
        let build = program().digest.clone();
        Ok(Dialled { pipe, frames, builds: vec![build.clone()], build })
    }
}

fn behind(script: &'static str, patience: Duration, root: HostPath) -> RemoteHost {
    RemoteHost::over(Arc::new(Session::new(Arc::new(Script(script, patience)), bound(root))))
}

#[test]
fn what_a_shell_prints_before_is_passed_over() {
    let upgrade = Upgrade::new();
    let script = "seq 1000; printf '\\000packfleet'; echo error >&2; exec \"$A\" agent";
    let host = behind(script, Duration::from_secs(60), upgrade.root.clone());
    assert_eq!(host.history().expect("an answer").len(), 1);
    assert_eq!(done(&host, &upgrade.two, "2"), Vec::<u64>::new());
    assert_eq!(managed(upgrade.disk.files()), upgrade.two);
}

#[test]
fn a_broken_agent_is_named_and_ends_the_session() {
    let greets = "printf '\\000packfleet-agent\\n'";
    let cases: [(&str, &str); 7] = [
        ("yes", "no greeting within the first"),
        ("exit 3", "closed before it greeted"),
        ("GREETS; exit 3", "ended with status 3"),
        ("GREETS; echo 'no space left' >&2; exit 1", "no space left"),
        ("GREETS; yes >&2", "does not stop writing to standard error"),
        ("GREETS; printf '\\377\\377\\377\\377'; cat >/dev/null", "a frame of 4294967295 bytes"),
        // An agent that nobody speaks to.
        ("\"$A\" agent </dev/null; cat >/dev/null", "it refused: the connection was closed before its hello"),
    ];
    for (script, reason) in cases {
        let upgrade = Upgrade::new();
        let script: &'static str = Box::leak(script.replace("GREETS", greets).into_boxed_str());
        let host = behind(script, Duration::from_secs(60), upgrade.root.clone());
        let error = host.history().expect_err(script);
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        assert!(text.contains(reason), "{script}: {text}");
        assert!(upgrade.is_old());
    }
}

#[test]
fn a_peer_that_never_reads_or_never_speaks_costs_bounded_time() {
    let upgrade = Upgrade::new();
    let host =
        behind("printf '\\000packfleet-agent\\n'; sleep 60", Duration::from_secs(1), upgrade.root.clone());
    let error = host.history().expect_err("silent");
    assert!(matches!(error, HostError::Cut { .. }), "{error:?}");
    // More than any pipe holds.
    let mut wanted = look(&upgrade.two);
    wanted.paths = (0..100_000).map(|number| path(&format!("{:x}", blake3_of(number)))).collect();
    let error = host.observe(&wanted).expect_err("deaf");
    assert!(matches!(error, HostError::Cut { .. }), "{error:?}");
    assert!(upgrade.is_old());
}

/// Waits for a file that somebody else makes.
fn appears(path: &std::path::Path) {
    for _ in 0..3000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} does not appear", path.display());
}

#[test]
fn a_kept_agent_that_ended_is_replaced_before_it_is_asked() {
    for writes in [true, false] {
        for last_words in ["\\377\\377\\377\\377", ""] {
            let (upgrade, signs) = (Upgrade::new(), tempfile::tempdir().expect("a directory"));
            // The first agent ends once `go` is there, as after a long silence; the next one stays. It is told only
            // when its output is closed: until then nobody could know of its end.
            let script = "[ -e D/go ] && exec \"$A\" agent; exec 3<&0; \
                          (cat <&3 & p=$!; while [ ! -e D/go ]; do sleep 0.02; done; kill $p; printf 'LAST') \
                          | \"$A\" agent; exec >&-; : >D/dead; exec sleep 60";
            let directory = signs.path().to_str().expect("UTF-8");
            let script = script.replace("D/", &format!("{directory}/")).replace("LAST", last_words);
            let host = behind(Box::leak(script.into()), Duration::from_secs(60), upgrade.root.clone());
            let plan = plan(&host, &upgrade.two, "2");
            std::fs::write(signs.path().join("go"), "").expect("a file");
            appears(&signs.path().join("dead"));
            if writes {
                let applied = host.apply(&commit(&plan), &Store::of(&upgrade.two)).expect("applied");
                assert!(matches!(applied, Applied::Done { generation: 2, .. }), "{applied:?}");
                assert_eq!(managed(upgrade.disk.files()), upgrade.two);
            } else {
                assert_eq!(host.history().expect("an answer").len(), 1);
            }
        }
    }
}

#[test]
fn a_silent_channel_is_no_reason_to_ask_on_the_next() {
    let (upgrade, signs) = (Upgrade::new(), tempfile::tempdir().expect("a directory"));
    // Each start is counted; the agent gets no more than its first question once `go` is there.
    let script = "echo >>D/starts; exec 3<&0; \
                  (cat <&3 & p=$!; while [ ! -e D/go ]; do sleep 0.02; done; kill $p; : >D/deaf; exec sleep 60) \
                  | \"$A\" agent";
    let script = script.replace("D/", &format!("{}/", signs.path().to_str().expect("UTF-8")));
    let host = behind(Box::leak(script.into()), Duration::from_secs(3), upgrade.root.clone());
    assert_eq!(host.history().expect("an answer").len(), 1);
    std::fs::write(signs.path().join("go"), "").expect("a file");
    appears(&signs.path().join("deaf"));
    let error = host.history().expect_err("silent");
    assert!(matches!(error, HostError::Cut { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(signs.path().join("starts")).expect("starts").lines().count(), 1);
}

#[test]
fn a_host_gets_no_blob_beyond_its_plan_and_none_twice() {
    let upgrade = Upgrade::new();
    let plan = plan(upgrade.disk.host(), &upgrade.two, "2");
    let foreign = files(&[("x", "of another deployment")]);
    let mut store = Store::of(&upgrade.two);
    store.0.extend(Store::of(&foreign).0);
    let own = upgrade.lacking();
    let twice = [own[0], own[0]].to_vec();
    let other = [own[0], Content::of(b"of another deployment")].to_vec();
    for (wishes, reason) in [
        (vec![other], "a wish for blobs that are not in its plan"),
        (vec![twice], "for one twice"),
        (vec![own[..1].to_vec(), own[1..].to_vec()], "a second wish for blobs"),
    ] {
        // A host that says all this whatever it hears.
        let directory = tempfile::tempdir().expect("a directory");
        let mut says = GREETING.to_vec();
        let mut hello = Hello::new(&program().digest);
        hello.session = Some("token".to_owned());
        hello.send(&mut says).expect("a hello");
        for wish in wishes {
            message::send(&Answer::Lacks(wish), &mut says).expect("a message");
        }
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("says"), says).expect("a file");
        let script = format!("cat {}; cat >{}", at("says").display(), at("heard").display());
        let host = behind(Box::leak(script.into()), Duration::from_secs(60), upgrade.root.clone());
        let error = host.apply(&commit(&plan), &store).expect_err(reason);
        assert!(matches!(&error, HostError::Agent { why, .. } if why.contains(reason)), "{error:?}");
    }
    assert!(upgrade.is_old());
}

/// Digits that do not compress.
fn blake3_of(number: u64) -> u128 {
    let content = Content::of(&number.to_le_bytes());
    u128::from_le_bytes(content.as_bytes()[..16].try_into().expect("sixteen bytes"))
}

#[test]
fn an_agent_outlives_its_connection_in_the_switch() {
    // The request is answered into a pipe that nobody reads any more: the switch is done all the same.
    let upgrade = Upgrade::new();
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    let agent = std::thread::spawn(move || {
        let mut output = theirs.try_clone().expect("a clone");
        let mut input = Awaited::new(OwnedFd::from(theirs).into(), agent::SILENCE);
        agent::serve(&mut input, &mut output, "build")
    });
    let mut frames = Frames::default();
    frames.skip_to(&[GREETING], &mut ours).expect("a greeting");
    let token = Hello::receive(&mut frames, &mut ours).expect("a hello").session.expect("a token");
    ours.write_all(&upgrade.all(&token)).expect("written");
    let mut some = [0; 1];
    ours.read_exact(&mut some).expect("it says what it lacks");
    drop(ours);
    let _either = agent.join().expect("no panic");
    let seen = observe(upgrade.disk.host(), &upgrade.two);
    // All blobs were there, so it went through.
    assert_eq!(seen.record.expect("a record").generation, 2);
    assert_eq!(managed(upgrade.disk.files()), upgrade.two);
}
