//! Signs of work while an agent is busy, and whether anybody answers them.
//!
//! ```text
//! work    ─────────────────────── work ─────── is anybody there? ─► waits for an answer, no longer than a limit
//! signs   every few seconds, and when that is asked: a sign goes out ◄─► what comes in is an answer, or the end
//! ```
//! Every sign has its answer, in their order, so an answer to one that went out after the question is from somebody
//! who is there now. A connection that is closed says so; a cable that is cut says nothing, and only a missing answer
//! tells. Input is listened to only once nothing else can be on its way there. Deliberately absent: ending the work.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::frame::{self, Frames, Kind};
use super::wire::message::{self, Answer};

/// How often an agent that works says so.
const SIGN_OF_WORK: Duration = Duration::from_secs(5);

/// A controller that does not answer for so long is taken to be gone: as long as its own ssh waits for the host.
pub const ANSWER: Duration = Duration::from_secs(15);

/// Whether the other side of a session is there.
#[derive(Debug)]
pub struct Presence {
    limit: Duration,
    state: Mutex<State>,
    changed: Condvar,
    wake: PipeWriter,
    woken: PipeReader,
}

#[derive(Debug, Default)]
struct State {
    /// The work is done.
    over: bool,
    /// Somebody wants to know, and no sign went out since.
    asked: bool,
    /// What else is to be told, written out already.
    news: Vec<u8>,
    /// The sign whose answer will tell.
    due: Option<u64>,
    sent: u64,
    answered: u64,
    /// The connection has ended.
    gone: bool,
}

/// The input of a session at a time when only answers to signs may come.
pub struct Ears<'a> {
    /// What was read of it already.
    pub frames: &'a mut Frames,
    /// The rest.
    pub input: &'a mut (dyn Read + Send),
    /// What to wait for.
    pub ready: BorrowedFd<'a>,
}

impl Presence {
    /// `limit` is how long an answer may take.
    pub fn new(limit: Duration) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        Ok(Self { limit, state: Mutex::default(), changed: Condvar::new(), wake, woken })
    }

    /// Whether the other side answers now. Only while something is done [`during`](Self::during) which it is asked.
    pub fn is_attended(&self) -> bool {
        let mut state = self.state();
        (state.asked, state.due) = (true, None);
        self.rouse();
        let waits = |state: &mut State| !state.gone && state.due.is_none_or(|due| state.answered < due);
        let waited = self.changed.wait_timeout_while(state, self.limit, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.asked = false;
        !state.gone && state.due.is_some_and(|due| state.answered >= due)
    }

    /// Tells the other side something, while what it asked is still being done.
    pub fn tell(&self, news: &Answer) {
        let mut bytes = Vec::new();
        // Who hears nothing waits for the answer.
        if message::send(news, &mut bytes).is_ok() {
            self.state().news = bytes;
            self.rouse();
        }
    }

    /// Does the work on this thread; another one says from time to time that it goes on, as soon as there are ears.
    pub fn during<'a, T>(
        &self,
        output: &mut (dyn Write + Send),
        ears: impl FnMut() -> Option<Ears<'a>> + Send,
        work: impl FnOnce() -> T,
    ) -> T {
        // Answers to the signs of earlier work came before what was asked now.
        let gone = self.state().gone;
        *self.state() = State { gone, ..State::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| self.speak(output, ears));
            let _done = Done(self);
            work()
        })
    }

    fn speak<'a>(&self, output: &mut (dyn Write + Send), mut find: impl FnMut() -> Option<Ears<'a>>) {
        let mut ears: Option<Ears<'a>> = None;
        let mut next = Instant::now() + SIGN_OF_WORK;
        loop {
            self.wait(ears.as_ref(), next);
            if ears.is_none() {
                ears = find();
            }
            let mut state = self.state();
            // Not into what the other side still sends; and once the work is done, its answer comes next.
            if ears.is_some() || state.over {
                let news = std::mem::take(&mut state.news);
                if !news.is_empty() {
                    drop(state);
                    let unheard = output.write_all(&news).is_err() || output.flush().is_err();
                    state = self.state();
                    state.gone |= unheard;
                }
            }
            if state.over {
                return;
            }
            let asked = state.asked;
            let is_due = Instant::now() >= next;
            if is_due {
                next = Instant::now() + SIGN_OF_WORK;
            }
            let Some(ears) = ears.as_mut() else {
                // What it still sends is sent by somebody who is there.
                if state.asked {
                    (state.asked, state.due) = (false, Some(state.answered));
                    self.changed.notify_all();
                }
                continue;
            };
            if !state.gone && hears(ears) {
                match ears.frames.listen(ears.input) {
                    Ok(true) => state.answered += ears.frames.take_signs(),
                    Ok(false) | Err(_) => state.gone = true,
                }
            }
            if asked || is_due {
                state.sent += 1;
                if asked {
                    (state.asked, state.due) = (false, Some(state.sent));
                }
                // Whoever asks waits no longer than its limit, even if this does.
                drop(state);
                let sign = frame::write(output, Kind::Working, &[]);
                let unheard = sign.is_err() || output.flush().is_err();
                self.state().gone |= unheard;
            }
            self.changed.notify_all();
        }
    }

    /// Waits until it is time, or this one is woken, or something came.
    fn wait(&self, ears: Option<&Ears<'_>>, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let listens = |ears: &&Ears<'_>| !self.state().gone && !ears.frames.holds_another();
        let mut fds = vec![PollFd::new(&self.woken, PollFlags::IN)];
        fds.extend(ears.filter(listens).map(|ears| PollFd::from_borrowed_fd(ears.ready, PollFlags::IN)));
        if poll(&mut fds, Some(&left)).is_ok() && !fds[0].revents().is_empty() {
            let _woken_at_least_once = (&self.woken).read(&mut [0; 64]);
        }
    }

    fn rouse(&self) {
        // One byte for each question: it always has room.
        let _awake_already = (&self.wake).write(&[0]);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something may be read, and nothing lies there that is not for now.
fn hears(ears: &Ears<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(ears.ready.as_fd(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    !ears.frames.holds_another() && poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

/// Ends the signs with the work, however that ends.
struct Done<'a>(&'a Presence);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.rouse();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// What an agent with a question finds, when the other side does this.
    fn found(limit: u64, other: impl FnOnce(UnixStream) + Send) -> bool {
        asking(limit, other, Presence::is_attended)
    }

    fn asking(
        limit: u64,
        other: impl FnOnce(UnixStream) + Send,
        ask: impl FnOnce(&Presence) -> bool,
    ) -> bool {
        let presence = Presence::new(Duration::from_secs(limit)).unwrap();
        let (theirs, ours) = UnixStream::pair().unwrap();
        let (mut input, mut output, mut frames) = (ours.try_clone().unwrap(), ours, Frames::default());
        std::thread::scope(|scope| {
            scope.spawn(|| other(theirs));
            let ready = input.try_clone().unwrap();
            let mut ears = Some(Ears { frames: &mut frames, input: &mut input, ready: ready.as_fd() });
            let attended = presence.during(&mut output, move || ears.take(), || ask(&presence));
            output.shutdown(std::net::Shutdown::Both).unwrap();
            attended
        })
    }

    #[test]
    fn whoever_answers_is_there() {
        assert!(found(60, |mut theirs| {
            let mut frames = Frames::default();
            while frames.pass_sign(&mut theirs).unwrap() {
                frame::write(&mut theirs, Kind::Working, &[]).unwrap();
            }
        }));
    }

    #[test]
    fn whoever_is_silent_or_has_hung_up_is_not() {
        let begun = Instant::now();
        assert!(!found(3600, drop));
        assert!(begun.elapsed() < Duration::from_secs(3000), "an end is known at once");
        assert!(!found(0, |mut theirs| {
            let _until_they_hang_up = theirs.read_to_end(&mut Vec::new());
        }));
    }

    #[test]
    fn an_answer_to_an_earlier_sign_is_none() {
        let other = |mut theirs: UnixStream| {
            let mut frames = Frames::default();
            // Two signs, and one answer.
            assert!(frames.pass_sign(&mut theirs).unwrap());
            assert!(frames.pass_sign(&mut theirs).unwrap());
            frame::write(&mut theirs, Kind::Working, &[]).unwrap();
            let _until_they_hang_up = frames.pass_sign(&mut theirs);
        };
        assert!(!asking(1, other, |presence| {
            // The first sign goes out for this question, the second one for the next.
            presence.state().asked = true;
            presence.rouse();
            while presence.state().sent == 0 {
                std::thread::yield_now();
            }
            presence.is_attended()
        }));
    }

    #[test]
    fn without_ears_it_is_as_if_they_were_there() {
        let presence = Presence::new(Duration::from_secs(60)).unwrap();
        assert!(presence.during(&mut io::sink(), || None, || presence.is_attended()));
    }
}
