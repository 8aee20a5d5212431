//! A root on another machine: what [`LocalHost`](super::LocalHost) does, asked of an agent over a pipe.
//!
//! ```text
//! RemoteHost ── session of a deployment ── channels, each to an agent ── Dial: where they come from
//! ```
//! A channel is made when it is first needed and kept for the next question, so that a run, or the loop, pays for
//! a connection once. An agent never speaks unasked: a kept channel on which there is something to read is dead, and
//! dropped before anything is said on it. One that dies under a question is replaced, if what is asked only looks. Several
//! threads, and a blob that must itself be asked of the host, take channels of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::pipe::{Pipe, Traffic, ended};
use super::wire::WireError;
use super::wire::blobs;
use super::wire::frame::{BodyWriter, Frames, Working};
use super::wire::hello::{Bound, Hello};
use super::wire::message::{self, Answer, Asked, Request, SentCheck, SentCommit};
use super::{
    Applied, Blobs, Check, Checked, Commit, EditId, Exam, Examined, Features, Generation, Glance,
    HistoryLine, Host, HostError, Look, Observation, Pausing, Preparation, Recovery, Resume, SavedEdit, Step,
    Stir, Stirs, Told, Unchanged, check,
};
use crate::model::rollout::Pause;
use crate::model::{Content, HostPath, TreePath};

/// A way to start agents on one machine, as one user.
pub trait Dial: Send + Sync + fmt::Debug {
    /// The machine, for messages.
    fn host(&self) -> String;

    /// Starts an agent and leads its greeting past: the next thing to be read is its hello. The controller's
    /// hello is sent by whoever called.
    fn dial(&self) -> Result<Dialled, HostError>;

    /// How long a look may take in all, and everything else without a sign of work.
    fn patience(&self) -> Duration;
}

/// A fresh way to an agent.
#[derive(Debug)]
pub struct Dialled {
    /// The process that leads to it.
    pub pipe: Pipe,
    /// What was read of its stream already.
    pub frames: Frames,
    /// Digests of the agents that may answer.
    pub builds: Vec<String>,
    /// The digest of this program.
    pub build: String,
}

/// What went over all channels of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Channels that were made.
    pub channels: u64,
    /// Questions that were answered.
    pub questions: u64,
    /// Bytes.
    pub traffic: Traffic,
}

impl Spent {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            channels: self.channels + other.channels,
            questions: self.questions + other.questions,
            traffic: Traffic {
                sent: self.traffic.sent + other.traffic.sent,
                received: self.traffic.received + other.traffic.received,
            },
        }
    }
}

/// All channels to the agents of one deployment.
#[derive(Debug)]
pub struct Session {
    dial: Arc<dyn Dial>,
    bound: Bound,
    idle: Mutex<Vec<Channel>>,
    spent: Mutex<Spent>,
}

#[derive(Debug)]
struct Channel {
    pipe: Pipe,
    frames: Frames,
    builds: Vec<String>,
    /// The agent's token, once its hello was read.
    token: Option<String>,
    used: bool,
}

/// What may go with a question: a host gets nothing that its own plan does not put there, whatever it says it lacks.
struct Goods<'a> {
    blobs: &'a dyn Blobs,
    needed: BTreeSet<Content>,
}

/// The one wish that a host has free in answering a question.
enum Wish<'a> {
    Free(&'a Goods<'a>),
    Nothing,
    Spent,
}

impl<'a> Wish<'a> {
    fn of(goods: Option<&'a Goods<'a>>) -> Self {
        goods.map_or(Self::Nothing, Self::Free)
    }

    /// Where the blobs come from that a host lacks.
    fn granted(&mut self, lacking: &[Content]) -> Result<&'a dyn Blobs, WireError> {
        let goods = match std::mem::replace(self, Self::Spent) {
            Self::Free(goods) => goods,
            Self::Nothing => return Err(WireError::Order("a wish for blobs that go with nothing")),
            Self::Spent => return Err(WireError::Order("a second wish for blobs")),
        };
        let mut once = BTreeSet::new();
        if lacking.iter().all(|content| goods.needed.contains(content) && once.insert(*content)) {
            return Ok(goods.blobs);
        }
        Err(WireError::Order("a wish for blobs that are not in its plan, or for one twice"))
    }
}

/// A root on another machine.
#[derive(Debug)]
pub struct RemoteHost {
    session: Arc<Session>,
}

impl Session {
    /// Nothing is dialled before the first question.
    pub fn new(dial: Arc<dyn Dial>, bound: Bound) -> Self {
        Self { dial, bound, idle: Mutex::default(), spent: Mutex::default() }
    }

    /// What it cost so far.
    pub fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept channel that is not known to be dead.
    fn idle(&self) -> Option<Channel> {
        loop {
            let mut channel = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if !channel.pipe.is_readable() {
                return Some(channel);
            }
        }
    }

    fn dial(&self) -> Result<Channel, HostError> {
        let Dialled { mut pipe, frames, builds, build } = self.dial.dial()?;
        let mut hello = Hello::new(&build);
        hello.bound = Some(self.bound.clone());
        let greeted = hello.send(&mut pipe);
        self.spend(|spent| spent.channels += 1);
        let mut channel = Channel { pipe, frames, builds, token: None, used: false };
        match greeted {
            Ok(()) => Ok(channel),
            Err(error) => Err(channel.broken(&self.dial.host(), "it was greeted", error)),
        }
    }

    fn spend(&self, add: impl FnOnce(&mut Spent)) {
        add(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One question and its answer, and what may go with it.
    fn ask(
        &self,
        request: Request,
        doing: &'static str,
        goods: Option<&Goods<'_>>,
    ) -> Result<Answer, HostError> {
        let looks = !request.is_writing();
        let mut asked = Asked { session: None, request };
        loop {
            let mut channel = match self.idle() {
                Some(channel) => channel,
                None => self.dial()?,
            };
            let limit = looks.then(|| self.dial.patience());
            channel.pipe.within(limit);
            let before = channel.pipe.traffic;
            let answer = channel.ask(&mut asked, goods);
            let (sent, received) =
                (channel.pipe.traffic.sent - before.sent, channel.pipe.traffic.received - before.received);
            self.spend(|spent| {
                spent.questions += 1;
                spent.traffic.sent += sent;
                spent.traffic.received += received;
            });
            match answer {
                Ok(Answer::Failed(fault)) => {
                    self.keep(channel);
                    return Err(fault.into());
                }
                Ok(answer) => {
                    self.keep(channel);
                    return Ok(answer);
                }
                // It was idle, and the way to it has died since: a new one may lead there.
                Err(WireError::Closed(_)) if looks && channel.used => {}
                // One that is silent is as silent on the next channel.
                Err(WireError::Io(inner))
                    if looks && channel.used && inner.kind() != io::ErrorKind::TimedOut => {}
                Err(error) => return Err(channel.broken(&self.dial.host(), doing, error)),
            }
        }
    }

    fn keep(&self, mut channel: Channel) {
        channel.used = true;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(channel);
    }

    /// An answer to another question than the one that was asked.
    fn astray(&self) -> HostError {
        let why = "it answered another question than it was asked".to_owned();
        HostError::Agent { host: self.dial.host(), why }
    }
}

impl Channel {
    fn ask(&mut self, asked: &mut Asked, goods: Option<&Goods<'_>>) -> Result<Answer, WireError> {
        if asked.request.is_writing() {
            // Only with the token of this very session.
            self.hear_hello()?;
            asked.session = self.token.clone();
        }
        if let Err(error) = message::send(asked, &mut self.pipe) {
            return Err(self.last_words(error));
        }
        self.hear_hello()?;
        let mut wish = Wish::of(goods);
        loop {
            let answer = message::receive_from_agent(&mut self.frames, &mut self.pipe)?;
            match answer.ok_or(WireError::Closed("instead of an answer"))? {
                Answer::Refused(why) => return Err(WireError::Refused(why)),
                Answer::Lacks(lacking) => {
                    let blobs = wish.granted(&lacking)?;
                    if let Err(error) = self.give(&lacking, blobs) {
                        return Err(self.last_words(error));
                    }
                }
                Answer::Watched => match goods {
                    Some(goods) => goods.blobs.watched(),
                    None => return Err(WireError::Order("a watch of what was not put")),
                },
                answer => return Ok(answer),
            }
        }
    }

    fn give(&mut self, lacking: &[Content], blobs: &dyn Blobs) -> Result<(), WireError> {
        // The host may have an answer before it has all blobs: then the rest is of no use to it.
        let pipe = std::cell::RefCell::new(&mut self.pipe);
        let mut writer = Shared(&pipe);
        blobs::send(lacking, blobs, BodyWriter::new(&mut writer), || pipe.borrow_mut().is_readable())
    }

    /// If the agent closed its ear, it may have said why.
    fn last_words(&mut self, error: WireError) -> WireError {
        let closed = matches!(&error, WireError::Io(error) if error.kind() == io::ErrorKind::BrokenPipe);
        if !closed || self.hear_hello().is_err() {
            return error;
        }
        match message::receive(&mut self.frames, &mut self.pipe, Working::Skipped) {
            Ok(Some(Answer::Refused(why))) => WireError::Refused(why),
            _ => error,
        }
    }

    fn hear_hello(&mut self) -> Result<(), WireError> {
        if self.token.is_some() {
            return Ok(());
        }
        let hello = Hello::receive(&mut self.frames, &mut self.pipe)?;
        if !self.builds.contains(&hello.build) {
            return Err(WireError::Refused(format!("it is build {}, which is none of ours", hello.build)));
        }
        self.token = Some(hello.session.ok_or(WireError::Order("a hello without a session"))?);
        Ok(())
    }

    /// The error of a channel that is not to be used any more.
    fn broken(&mut self, host: &str, doing: &'static str, error: WireError) -> HostError {
        let host = host.to_owned();
        match &error {
            WireError::Io(_) | WireError::Closed(_) => {
                let mut words = vec![];
                if let WireError::Io(inner) = &error {
                    words.push(inner.to_string());
                }
                let timed_out =
                    matches!(&error, WireError::Io(inner) if inner.kind() == io::ErrorKind::TimedOut);
                if !timed_out {
                    let (status, said) = self.pipe.end();
                    let last = last_line(&said);
                    words.insert(0, last.unwrap_or_else(|| status.map_or_else(|| error.to_string(), ended)));
                }
                HostError::Cut { host, doing, source: Told::new(words) }
            }
            _ => HostError::Agent { host, why: error.to_string() },
        }
    }
}

/// A watch on another machine: a channel of its own, asked again and again. Signs of work come meanwhile, so that a
/// dead way to it is noticed.
struct RemoteWatch {
    session: Arc<Session>,
    channel: Channel,
}

impl Stirs for RemoteWatch {
    fn wait(&mut self, limit: Duration) -> Result<Stir, HostError> {
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let mut asked = Asked { session: None, request: Request::Watch(limit) };
        self.channel.pipe.within(None);
        match self.channel.ask(&mut asked, None) {
            Ok(Answer::Stirred(stir)) => Ok(stir),
            Ok(Answer::Failed(fault)) => Err(fault.into()),
            Ok(_) => Err(self.session.astray()),
            Err(error) => Err(self.channel.broken(&self.session.dial.host(), "it was watched", error)),
        }
    }
}

/// The last thing that a process said.
pub fn last_line(said: &str) -> Option<String> {
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(last.chars().take(500).collect())
}

/// A pipe that is written to by one and looked at by another, by turns.
struct Shared<'a, 'b>(&'a std::cell::RefCell<&'b mut Pipe>);

impl io::Write for Shared<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl RemoteHost {
    /// A root behind a session.
    pub fn over(session: Arc<Session>) -> Self {
        Self { session }
    }

    fn damaged(
        &self,
        what: &'static str,
    ) -> impl FnOnce(crate::model::record::RecordError) -> HostError + '_ {
        move |source| HostError::Damaged {
            what: what.into(),
            root: self.root().clone(),
            source: Box::new(source),
        }
    }
}

impl Host for RemoteHost {
    fn root(&self) -> &HostPath {
        &self.session.bound.root
    }

    fn observe(&self, look: &Look) -> Result<Observation, HostError> {
        match self.session.ask(Request::Observe(look.clone()), "it was looked at", None)? {
            Answer::Observed(seen) => seen.into_observation().map_err(self.damaged("the record")),
            _ => Err(self.session.astray()),
        }
    }

    fn unchanged(&self, glance: &Glance) -> Result<Option<Unchanged>, HostError> {
        match self.session.ask(Request::Unchanged(glance.clone()), "it was looked at", None)? {
            Answer::Unchanged(unchanged) => Ok(unchanged),
            _ => Err(self.session.astray()),
        }
    }

    fn watch(&self) -> Result<Option<Box<dyn Stirs>>, HostError> {
        let session = Arc::clone(&self.session);
        let channel = session.dial()?;
        Ok(Some(Box::new(RemoteWatch { session, channel })))
    }

    fn read(&self, path: &TreePath, expected: Content) -> Result<Vec<u8>, HostError> {
        let bytes = match self.session.ask(Request::Read(path.clone(), expected), "a file was read", None)? {
            Answer::Bytes(Some(bytes)) => bytes,
            _ => return Err(self.session.astray()),
        };
        if Content::of(&bytes) == expected {
            Ok(bytes)
        } else {
            Err(HostError::Changed { path: path.clone() })
        }
    }

    fn kept(&self, content: Content) -> Result<Option<Vec<u8>>, HostError> {
        match self.session.ask(Request::Kept(content), "its store was read", None)? {
            Answer::Bytes(bytes) => Ok(bytes.filter(|bytes| Content::of(bytes) == content)),
            _ => Err(self.session.astray()),
        }
    }

    fn features(&self) -> Result<Features, HostError> {
        match self.session.ask(Request::Features, "its features were asked", None)? {
            Answer::Features(told) => {
                serde_json::from_str(&told).map_err(|error| HostError::Told(Told::of(&error)))
            }
            _ => Err(self.session.astray()),
        }
    }

    fn examine(&self, exam: &Exam) -> Result<Examined, HostError> {
        match self.session.ask(Request::Examine(exam.clone()), "it was examined", None)? {
            Answer::Examined(examined) => Ok(examined),
            _ => Err(self.session.astray()),
        }
    }

    fn prepare(&self, preparation: &Preparation) -> Result<Vec<Step>, HostError> {
        match self.session.ask(Request::Prepare(preparation.clone()), "it was prepared", None)? {
            Answer::Prepared(steps) => Ok(steps),
            _ => Err(self.session.astray()),
        }
    }

    fn recover(&self, look: &Look, resume: &Resume) -> Result<Recovery, HostError> {
        let doing = "it recovered: it goes on by itself, and the next run tells how that ended";
        match self.session.ask(Request::Recover(look.clone(), Box::new(resume.clone())), doing, None)? {
            Answer::Recovered(recovery) => Ok(recovery),
            _ => Err(self.session.astray()),
        }
    }

    fn check(&self, check: &Check<'_>, blobs: &dyn Blobs) -> Result<Checked, HostError> {
        let request = Request::Check(SentCheck::of(check));
        let needed = check::needs(check).into_iter().collect();
        match self.session.ask(request, "checks ran in a private copy", Some(&Goods { blobs, needed }))? {
            Answer::Checked(checked) => Ok(checked),
            _ => Err(self.session.astray()),
        }
    }

    fn apply(&self, commit: &Commit<'_>, blobs: &dyn Blobs) -> Result<Applied, HostError> {
        let request = Request::Apply(Box::new(SentCommit::of(commit)));
        let doing = "the plan was carried out: the host finishes it or takes it back by itself, and the next \
                     run tells which";
        let needed = blobs::needs(commit.plan).into_iter().collect();
        match self.session.ask(request, doing, Some(&Goods { blobs, needed }))? {
            Answer::Applied(applied) => Ok(applied),
            _ => Err(self.session.astray()),
        }
    }

    fn history(&self) -> Result<Vec<HistoryLine>, HostError> {
        match self.session.ask(Request::History, "its history was read", None)? {
            Answer::History(history) => Ok(history),
            _ => Err(self.session.astray()),
        }
    }

    fn generations(&self) -> Result<Vec<Generation>, HostError> {
        let Answer::Generations(sent) =
            self.session.ask(Request::Generations, "its generations were read", None)?
        else {
            return Err(self.session.astray());
        };
        let all: Result<_, _> = sent.into_iter().map(message::SentGeneration::into_generation).collect();
        all.map_err(self.damaged("a generation"))
    }

    fn edits(&self) -> Result<Vec<SavedEdit>, HostError> {
        match self.session.ask(Request::Edits, "its saved edits were listed", None)? {
            Answer::Edits(edits) => Ok(edits),
            _ => Err(self.session.astray()),
        }
    }

    fn pause(&self, pausing: &Pausing) -> Result<Option<Pause>, HostError> {
        match self.session.ask(Request::Pause(pausing.clone()), "a pause was noted", None)? {
            Answer::Paused(before) => Ok(before),
            _ => Err(self.session.astray()),
        }
    }

    fn drop_edits(&self, ids: &[EditId]) -> Result<(), HostError> {
        match self.session.ask(Request::DropEdits(ids.to_vec()), "saved edits were dropped", None)? {
            Answer::Done => Ok(()),
            _ => Err(self.session.astray()),
        }
    }
}
