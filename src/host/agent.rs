//! The other end of a session: serves the root that the controller's hello names, on a pair of pipes.
//!
//! ```text
//! greet · hello ─► their hello ─► request ─► [lacks ◄─► blobs] ─► answer ─► request …  until the input ends
//! ```
//! It is a [`LocalHost`] behind the wire and decides nothing. It believes only its own session: a request that
//! writes must repeat the token of this hello, so what was recorded elsewhere does nothing here. Once a switch
//! has begun nothing of it needs the wire: if that breaks, the switch ends as it would have, and only the
//! answer is lost. While it works for long, it says so every few seconds, and hears whether anybody is there.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::presence::{ANSWER, Ears, Presence};
use super::watch::{RootWatch, Stirs};
use super::wire::blobs::{self, Arriving};
use super::wire::fault::Fault;
use super::wire::frame::{Body, Frames, Working};
use super::wire::hello::{GREETING, Hello};
use super::wire::message::{self, Answer, Asked, Request, SentCheck, SentCommit};
use super::wire::{MOST_BLOBS, WireError};
use super::{Check, Commit, Host, HostError, LocalHost, Stir, Told, check};
use crate::model::care::seconds;
use crate::model::plan::Plan;
use crate::model::record::RecordError;
use crate::model::{Content, DeploymentName, FleetName};

/// A question to a watch is answered after this, whatever happens: the other side may be gone.
const LONGEST_WATCH: Duration = Duration::from_secs(60);
/// Bytes of a session's token.
const TOKEN: usize = 16;

/// Input that is waited for no longer than this: a controller that is cut off without a word must not hold the lock
/// for as long as its connection would take to find that out. Longer than any pause of a loop between two looks.
pub const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Input with an end to its silence.
#[derive(Debug)]
pub struct Awaited {
    input: File,
    limit: Duration,
}

impl Awaited {
    /// Nothing of the input may be buffered elsewhere.
    pub fn new(input: File, limit: Duration) -> Self {
        Self { input, limit }
    }
}

impl Read for Awaited {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let until = Instant::now() + self.limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&left)) {
                Ok(0) => {
                    let why = format!("the controller was silent for {}", seconds(self.limit));
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return self.input.read(into),
            }
        }
    }
}

/// Serves one session. `build` is the digest of this program's file.
pub fn serve(input: &mut Awaited, output: &mut (dyn Write + Send), build: &str) -> Result<(), WireError> {
    let token = token()?;
    let ready = input.input.as_fd().try_clone_to_owned()?;
    let mut hello = Hello::new(build);
    hello.session = Some(token.clone());
    output.write_all(GREETING)?;
    hello.send(output)?;
    output.flush()?;
    let mut frames = Frames::default();
    let theirs = Hello::receive(&mut frames, input);
    let bound = match theirs.map(|hello| hello.bound) {
        Ok(Some(bound)) => bound,
        Ok(None) => return refuse(output, WireError::Order("a hello that names no deployment")),
        Err(error) => return refuse(output, error),
    };
    let presence = Arc::new(Presence::new(ANSWER)?);
    let host = LocalHost::open(bound.root.clone()).attended_by(Arc::clone(&presence));
    let (fleet, deployment) = (bound.fleet, bound.deployment);
    let session = Session { host, token, fleet, deployment, presence, ready, watch: Mutex::default() };
    loop {
        // That the last signs of work were heard.
        while frames.pass_sign(input)? {}
        let asked = match message::receive::<Asked>(&mut frames, input, Working::Refused) {
            Ok(Some(asked)) => asked,
            Ok(None) => return Ok(()),
            Err(error) => return refuse(output, error),
        };
        let answer = match session.answer(asked, &mut frames, input, output) {
            Ok(answer) => answer,
            Err(error) => return refuse(output, error),
        };
        match message::send(&answer, output) {
            // An answer that is too large is the fault of what was asked.
            Err(error @ WireError::TooMuch(_)) => return refuse(output, error),
            sent => sent?,
        }
    }
}

/// Says why the session ends. That the other side may not hear it changes nothing.
fn refuse(output: &mut dyn Write, error: WireError) -> Result<(), WireError> {
    let _unheard = message::send(&Answer::Refused(error.to_string()), output);
    Err(error)
}

/// Bytes that nobody can guess or repeat.
fn token() -> io::Result<String> {
    let mut bytes = [0; TOKEN];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Session {
    host: LocalHost,
    token: String,
    fleet: FleetName,
    deployment: DeploymentName,
    /// Whether the other side is there while this one works.
    presence: Arc<Presence>,
    /// The input, to be waited for.
    ready: OwnedFd,
    /// The watch that was asked for.
    watch: Mutex<Option<RootWatch>>,
}

impl Session {
    /// Carries out one request. An error here is one of the session; the host's own are answers.
    fn answer(
        &self,
        asked: Asked,
        frames: &mut Frames,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
    ) -> Result<Answer, WireError> {
        let Asked { session, request } = asked;
        if request.is_writing() && session.as_deref() != Some(&self.token) {
            return Err(WireError::Order("a request of another session"));
        }
        if let Some(error) = self.stranger(&request) {
            // A glance says either that all is well, or nothing at all.
            let glanced = matches!(request, Request::Unchanged(_));
            return Ok(if glanced { Answer::Unchanged(None) } else { Answer::Failed(error.into()) });
        }
        let host = &self.host;
        let answer = match request {
            Request::Observe(look) => host.observe(&look).map(|seen| Answer::Observed(Box::new(seen.into()))),
            Request::Unchanged(glance) => host.unchanged(&glance).map(Answer::Unchanged),
            Request::Read(path, content) => host.read(&path, content).map(|bytes| Answer::Bytes(Some(bytes))),
            Request::Kept(content) => host.kept(content).map(Answer::Bytes),
            Request::History => host.history().map(Answer::History),
            Request::Generations => {
                host.generations().map(|all| Answer::Generations(all.into_iter().map(Into::into).collect()))
            }
            Request::Edits => host.edits().map(Answer::Edits),
            Request::DropEdits(ids) => host.drop_edits(&ids).map(|()| Answer::Done),
            Request::Pause(pausing) => host.pause(&pausing).map(Answer::Paused),
            Request::Features => host.features().and_then(|features| {
                let told = serde_json::to_string(&features);
                told.map(Answer::Features).map_err(|error| HostError::Told(Told::of(&error)))
            }),
            Request::Examine(exam) => {
                self.at_work(frames, input, output, || host.examine(&exam)).map(Answer::Examined)
            }
            Request::Prepare(preparation) => {
                self.at_work(frames, input, output, || host.prepare(&preparation)).map(Answer::Prepared)
            }
            Request::Recover(look, resume) => {
                self.at_work(frames, input, output, || host.recover(&look, &resume)).map(Answer::Recovered)
            }
            Request::Watch(limit) => {
                let limit = Duration::from_millis(limit.into()).min(LONGEST_WATCH);
                self.at_work(frames, input, output, || self.stirred(limit)).map(Answer::Stirred)
            }
            Request::Check(sent) => return self.check(sent, frames, input, output),
            Request::Apply(sent) => return self.apply(*sent, frames, input, output),
        };
        Ok(answer.unwrap_or_else(|error| Answer::Failed(error.into())))
    }

    /// Waits for the watch of this session, which begins with the first question.
    fn stirred(&self, limit: Duration) -> Result<Stir, HostError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let stirred = match &mut *watch {
            Some(watch) => watch.wait(limit),
            none => none.insert(RootWatch::begin(self.host.root())?).wait(limit),
        };
        if stirred.is_err() {
            *watch = None;
        }
        stirred
    }

    /// A session is for one deployment.
    fn stranger(&self, request: &Request) -> Option<HostError> {
        let (fleet, deployment) = match request {
            Request::Observe(look) | Request::Recover(look, _) => (&look.fleet, &look.deployment),
            Request::Unchanged(glance) => (&glance.fleet, &glance.deployment),
            Request::Pause(pausing) => (&pausing.fleet, &pausing.deployment),
            _ => return None,
        };
        self.not_bound(fleet, deployment)
    }

    fn not_bound(&self, fleet: &FleetName, deployment: &DeploymentName) -> Option<HostError> {
        if (fleet, deployment) == (&self.fleet, &self.deployment) {
            return None;
        }
        let why = format!(
            "this session is for {} of {}, not for {deployment} of {fleet}",
            self.deployment, self.fleet
        );
        Some(HostError::State { root: self.host.root().clone(), why })
    }

    fn apply(
        &self,
        sent: SentCommit,
        frames: &mut Frames,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
    ) -> Result<Answer, WireError> {
        let SentCommit {
            plan,
            now,
            passed,
            version_file,
            version_from,
            sync_log,
            keep_generations,
            reread,
            aftercare,
            hurry,
            fleet,
        } = sent;
        // What it takes until all has arrived is time that passes, too.
        let begun = passed.and_then(|passed| Instant::now().checked_sub(passed));
        let plan = match self.plan(plan.into_plan()) {
            Ok(plan) => plan,
            Err(error) => return Ok(Answer::Failed(error)),
        };
        let commit = Commit {
            plan: &plan,
            now,
            begun,
            version_file,
            version_from,
            sync_log,
            keep_generations,
            reread,
            aftercare,
            hurry,
            fleet,
        };
        let needs = blobs::needs(&plan);
        let watched = || self.presence.tell(&Answer::Watched);
        let mut arriving = Arriving::of(&self.host, &plan, &needs, &watched);
        let lacking = self.at_work(frames, input, output, || arriving.lacking(&needs));
        arrive(&mut arriving, lacking, frames, input, output)?;
        let ended = self.at_work_on(&arriving, output, || self.host.apply(&commit, &arriving));
        arriving.finish()?;
        Ok(ended.map_or_else(|error| Answer::Failed(error.into()), Answer::Applied))
    }

    fn check(
        &self,
        sent: SentCheck,
        frames: &mut Frames,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
    ) -> Result<Answer, WireError> {
        let SentCheck { plan, targets, at, commands } = sent;
        let plan = match self.plan(plan.into_plan()) {
            Ok(plan) => plan,
            Err(error) => return Ok(Answer::Failed(error)),
        };
        let check = Check { plan: &plan, targets, at, commands };
        let needs = check::needs(&check);
        let mut arriving = Arriving::of(&self.host, &plan, &needs, &|| ());
        let lacking = self.at_work(frames, input, output, || arriving.lacking(&needs));
        arrive(&mut arriving, lacking, frames, input, output)?;
        let ended = self.at_work_on(&arriving, output, || self.host.check(&check, &arriving));
        arriving.finish()?;
        Ok(ended.map_or_else(|error| Answer::Failed(error.into()), Answer::Checked))
    }

    /// Signs of work as soon as all blobs have come.
    fn at_work_on<T>(
        &self,
        arriving: &Arriving<'_>,
        output: &mut (dyn Write + Send),
        work: impl FnOnce() -> T,
    ) -> T {
        let ready = self.ready.as_fd();
        let ears = || arriving.rest().map(|(frames, input)| Ears { frames, input, ready });
        self.presence.during(output, ears, work)
    }

    fn at_work<T>(
        &self,
        frames: &mut Frames,
        input: &mut (dyn Read + Send),
        output: &mut (dyn Write + Send),
        work: impl FnOnce() -> T,
    ) -> T {
        let mut ears = Some(Ears { frames, input, ready: self.ready.as_fd() });
        self.presence.during(output, move || ears.take(), work)
    }

    /// A plan for this session's deployment.
    fn plan(&self, plan: Result<Plan, RecordError>) -> Result<Plan, Fault> {
        let plan = plan.map_err(|source| {
            let (what, root) = ("the plan's record".into(), self.host.root().clone());
            HostError::Damaged { what, root, source: Box::new(source) }
        })?;
        match self.not_bound(&plan.next.fleet, &plan.next.deployment) {
            None => Ok(plan),
            Some(error) => Err(error.into()),
        }
    }
}

/// Says what the host lacks, and lets it come.
fn arrive<'a>(
    arriving: &mut Arriving<'a>,
    lacking: Vec<Content>,
    frames: &'a mut Frames,
    input: &'a mut (dyn Read + Send),
    output: &mut dyn Write,
) -> Result<(), WireError> {
    if lacking.is_empty() {
        arriving.await_nothing(frames, input);
        return Ok(());
    }
    if lacking.len() > MOST_BLOBS {
        return Err(WireError::TooMuch("the number of blobs"));
    }
    message::send(&Answer::Lacks(lacking.clone()), output)?;
    // That the signs of looking for them were heard.
    while frames.pass_sign(input)? {}
    let body = Body::begin(frames, input, Working::Refused, u64::MAX)?;
    let body = body.ok_or(WireError::Closed("instead of blobs"))?;
    arriving.await_them(lacking, body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other end is there and says no more, as when a cable is cut.
    #[test]
    fn silence_ends_and_what_comes_is_read() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"ab").unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(reader));
        let mut input = Awaited::new(file, Duration::from_millis(20));
        let mut bytes = [0; 4];
        assert_eq!(input.read(&mut bytes).unwrap(), 2);
        assert_eq!(input.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(writer);
        assert_eq!(input.read(&mut bytes).unwrap(), 0);
    }
}
