//! Delivers messages: a thread of its own, so that a slow receiver holds nobody up.
//!
//! ```text
//! View ─► notices ─► outbox of each receiver ─► POST {"text": …} ─► gone, or tried again later for a day
//!                                                 a thread for each: receivers do not wait for each other
//! ```
//! Notices and outboxes lie in one file of the controller's cache, written when they change and before anything is
//! sent: a controller that is started anew repeats nothing and forgets nothing. A receiver is known by the name of
//! its variable; its address is a secret, in no log, error or file. Redirects are not followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::notify::{Message, Notices};
use super::secret::Secret;
use super::view::View;
use crate::model::outward::{Notify, Topic};

/// Messages that wait for one receiver; the oldest go first.
const MOST: usize = 200;
/// A message that could not be delivered for so long is given up.
const STALE: SignedDuration = SignedDuration::from_hours(24);
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_mins(10);
/// Between two messages to one receiver.
const PACE: SignedDuration = SignedDuration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
/// How long messages that are under way are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often is looked whether something is due.
const TICK: Duration = Duration::from_millis(500);

/// Somebody who is told, with the address.
#[derive(Debug, Clone)]
pub struct Target {
    /// The variable that holds the address: how the receiver is called.
    pub variable: String,
    /// The address.
    pub url: Secret,
    /// What is told.
    pub on: Vec<Topic>,
}

impl Target {
    /// A receiver of fleet.toml, with the address that its variable holds.
    pub fn new(notify: &Notify, url: Secret) -> Self {
        Self { variable: notify.url.clone(), url, on: notify.on.clone() }
    }

    /// An end is told to who was told the beginning.
    fn wants(&self, message: &Message) -> bool {
        self.on.contains(&message.topic) && message.ends.is_none_or(|topic| self.on.contains(&topic))
    }
}

/// What the thread is told.
enum Told {
    Targets(Vec<Target>),
    Seen(Arc<View>),
    /// What came of the first message of a receiver's outbox.
    Answered {
        receiver: String,
        letter: Letter,
        sent: Sent,
    },
    End,
}

/// The way to the thread. It ends with this value, once messages that are under way were answered, or soon; none is
/// begun then. What is not delivered by then is remembered.
#[derive(Debug)]
pub struct Messenger {
    told: Sender<Told>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Targets(_) => "Targets",
            Self::Seen(_) => "Seen",
            Self::Answered { .. } => "Answered",
            Self::End => "End",
        })
    }
}

impl Messenger {
    /// Goes on where `memory` says that it was left.
    pub fn start(memory: Utf8PathBuf) -> Result<Self, std::io::Error> {
        let (sender, told) = channel();
        let (kept, answers) = (load(&memory), sender.clone());
        let desk =
            Desk { kept, memory, targets: Vec::new(), under_way: BTreeSet::new(), answers, agent: agent() };
        let thread =
            std::thread::Builder::new().name("messages".to_owned()).spawn(move || desk.run(&told))?;
        Ok(Self { told: sender, thread: Some(thread) })
    }

    /// Who is told from now on.
    pub fn targets(&self, targets: Vec<Target>) {
        self.tell(Told::Targets(targets));
    }

    /// What is shown from now on.
    pub fn see(&self, view: Arc<View>) {
        self.tell(Told::Seen(view));
    }

    fn tell(&self, news: Told) {
        let _ended = self.told.send(news);
    }
}

impl Drop for Messenger {
    fn drop(&mut self) {
        self.tell(Told::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of messages died; this is a defect");
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Letter {
    text: String,
    written: Timestamp,
    tried: u32,
    next: Timestamp,
}

/// What outlives the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    notices: Notices,
    /// By variable.
    outboxes: BTreeMap<String, VecDeque<Letter>>,
}

struct Desk {
    kept: Kept,
    memory: Utf8PathBuf,
    targets: Vec<Target>,
    /// Receivers whose first message is being sent.
    under_way: BTreeSet<String>,
    answers: Sender<Told>,
    agent: ureq::Agent,
}

/// Whether it goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    On,
    End,
}

impl Desk {
    fn run(mut self, told: &Receiver<Told>) {
        loop {
            let busy =
                self.kept.notices.waits() || self.kept.outboxes.values().any(|outbox| !outbox.is_empty());
            let first = match busy {
                true => told.recv_timeout(TICK),
                false => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let before = self.kept.clone();
            let mut heard = Heard::On;
            for news in first.into_iter().chain(told.try_iter()) {
                if self.hear(news) == Heard::End {
                    heard = Heard::End;
                }
            }
            if heard == Heard::End {
                self.finish(told);
            }
            let now = Timestamp::now();
            self.write(now);
            if self.kept != before {
                store(&self.memory, &self.kept);
            }
            if heard == Heard::End {
                return;
            }
            self.deliver(now);
        }
    }

    /// Waits a little for what is under way.
    fn finish(&mut self, told: &Receiver<Told>) {
        let until = Instant::now() + FAREWELL;
        while !self.under_way.is_empty() {
            let Ok(news) = told.recv_timeout(until.saturating_duration_since(Instant::now())) else { return };
            self.hear(news);
        }
    }

    fn hear(&mut self, news: Told) -> Heard {
        match news {
            Told::Targets(targets) => {
                self.targets = targets;
                let known =
                    |variable: &String| self.targets.iter().any(|target| target.variable == *variable);
                self.kept.outboxes.retain(|variable, _| known(variable));
            }
            Told::Seen(view) => self.kept.notices.see(&view, Timestamp::now()),
            Told::Answered { receiver, letter, sent } => {
                self.under_way.remove(&receiver);
                self.answered(&receiver, &letter, sent, Timestamp::now());
            }
            Told::End => return Heard::End,
        }
        Heard::On
    }

    /// Puts what is due into the outboxes.
    fn write(&mut self, now: Timestamp) {
        for message in self.kept.notices.due(now) {
            for target in self.targets.iter().filter(|target| target.wants(&message)) {
                let outbox = self.kept.outboxes.entry(target.variable.clone()).or_default();
                outbox.push_back(Letter { text: message.text.clone(), written: now, tried: 0, next: now });
                while outbox.len() > MOST {
                    outbox.pop_front();
                }
            }
        }
    }

    /// Begins to send the first of each outbox, if it is its time and none of it is under way.
    fn deliver(&mut self, now: Timestamp) {
        for target in &self.targets {
            let Some(outbox) = self.kept.outboxes.get(&target.variable) else { continue };
            let Some(letter) = outbox.front().filter(|letter| letter.next <= now) else { continue };
            if !self.under_way.insert(target.variable.clone()) {
                continue;
            }
            let (agent, answers, url) = (self.agent.clone(), self.answers.clone(), target.url.clone());
            let (receiver, letter) = (target.variable.clone(), letter.clone());
            let begun = std::thread::Builder::new().name("message".to_owned()).spawn(move || {
                let sent = post(&agent, &url, &letter.text);
                let _ended = answers.send(Told::Answered { receiver, letter, sent });
            });
            if let Err(error) = begun {
                tracing::warn!(receiver = target.variable, %error, "a message is tried again later");
                self.under_way.remove(&target.variable);
            }
        }
    }

    /// What came of a message, if it still is the first of its outbox.
    fn answered(&mut self, receiver: &str, sent_letter: &Letter, sent: Sent, now: Timestamp) {
        let Some(outbox) = self.kept.outboxes.get_mut(receiver) else { return };
        let Some(letter) = outbox.front_mut().filter(|letter| *letter == sent_letter) else { return };
        match sent {
            Sent::Taken => {
                outbox.pop_front();
                if let Some(next) = outbox.front_mut() {
                    next.next = next.next.max(now.saturating_add(PACE).unwrap_or(now));
                }
            }
            Sent::Refused(why) => {
                tracing::warn!(receiver, why, "a message was refused, and is given up");
                outbox.pop_front();
            }
            Sent::Later(why) if now.duration_since(letter.written) > STALE => {
                tracing::warn!(receiver, why, "a message could not be delivered for a day, and is given up");
                outbox.pop_front();
            }
            Sent::Later(why) => {
                letter.tried += 1;
                letter.next = now.saturating_add(pause(letter.tried)).unwrap_or(now);
                tracing::warn!(receiver, why, tried = letter.tried, "a message is tried again later");
            }
        }
    }
}

/// Tells every receiver at once, whatever it is told of otherwise, twice if need be; whom that did not reach, and why.
/// For what somebody did by hand, outside of the loop. It blocks.
pub fn tell_now(targets: &[Target], text: &str) -> Vec<String> {
    let agent = agent();
    let mut missed = Vec::new();
    for target in targets {
        let again = match post(&agent, &target.url, text) {
            Sent::Later(_) => post(&agent, &target.url, text),
            sent => sent,
        };
        if let Sent::Later(why) | Sent::Refused(why) = again {
            missed.push(format!("{} was not told: {why}", target.variable));
        }
    }
    missed
}

/// How long after so many tries: twice as long each time.
fn pause(tried: u32) -> SignedDuration {
    let seconds = FIRST_RETRY.as_secs() << tried.saturating_sub(1).min(16);
    SignedDuration::from_secs(seconds).min(LAST_RETRY)
}

enum Sent {
    Taken,
    /// It will never be taken.
    Refused(String),
    Later(String),
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("packfleet/", env!("CARGO_PKG_VERSION")))
        .build();
    ureq::Agent::new_with_config(config)
}

/// Posts a text as Slack, Mattermost, Rocket.Chat and others take it. What comes of it names no address.
fn post(agent: &ureq::Agent, url: &Secret, text: &str) -> Sent {
    let body = serde_json::json!({ "text": escaped(text) }).to_string();
    let sent = agent.post(url.expose()).header("content-type", "application/json").send(body.as_bytes());
    match sent.map(|answer| answer.status().as_u16()) {
        Ok(200..=299) => Sent::Taken,
        // The only one that says that it stays so.
        Ok(410) => Sent::Refused("status 410: it is gone for good".to_owned()),
        Ok(status) => Sent::Later(format!("status {status}")),
        Err(error @ (ureq::Error::BadUri(_) | ureq::Error::Http(_))) => {
            Sent::Refused(kind(&error).to_owned())
        }
        // Its text may name the address.
        Err(error) => Sent::Later(kind(&error).to_owned()),
    }
}

fn kind(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::Timeout(_) => "no answer in time",
        ureq::Error::HostNotFound => "its host is not known",
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "no connection",
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address is none",
        ureq::Error::Tls(_) | ureq::Error::NativeTls(_) => "no trusted connection",
        _ => "it could not be sent",
    }
}

/// So that no name in a pack becomes a mention or a link.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What was kept; a memory that is missing or damaged is an empty one.
fn load(memory: &Utf8Path) -> Kept {
    let Ok(bytes) = fs::read(memory) else { return Kept::default() };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(%memory, %error, "what was told before is forgotten: messages may come twice");
        Kept::default()
    })
}

fn store(memory: &Utf8Path, kept: &Kept) {
    let temporary = memory.with_extension(format!("{}.new", std::process::id()));
    let bytes = serde_json::to_vec(kept).unwrap_or_default();
    let written = fs::create_dir_all(memory.parent().unwrap_or(memory))
        .and_then(|()| fs::write(&temporary, bytes))
        .and_then(|()| fs::rename(&temporary, memory));
    if let Err(error) = written {
        tracing::warn!(%memory, %error, "what was told cannot be remembered: messages may come twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let seconds = [1, 2, 3, 8, 60].map(|tried| pause(tried).as_secs());
        assert_eq!(seconds, [5, 10, 20, 600, 600]);
    }

    #[test]
    fn who_was_not_told_the_beginning_is_not_told_the_end() {
        let on = vec![Topic::Failed, Topic::Recovered];
        let target = Target { variable: "X".into(), url: Secret::new("http://x").unwrap(), on };
        let message = |topic, ends| Message { topic, ends, text: String::new() };
        assert!(target.wants(&message(Topic::Failed, None)) && !target.wants(&message(Topic::Held, None)));
        assert!(target.wants(&message(Topic::Recovered, Some(Topic::Failed))));
        assert!(!target.wants(&message(Topic::Recovered, Some(Topic::Held))));
    }

    #[test]
    fn what_is_no_address_is_given_up_at_once() {
        for address in ["not an address", "http://", "nowhere"] {
            let sent = post(&agent(), &Secret::new(address).unwrap(), "x");
            assert!(matches!(sent, Sent::Refused(_)), "{address}");
        }
    }

    #[test]
    fn names_mention_nobody() {
        assert_eq!(escaped("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    }
}
