//! Everything that can happen to the loop, as one closed enum.

use tokio::sync::mpsc;

use super::job::Done;
use super::origin::Looked;
use super::trail::Touch;
use crate::model::DeploymentName;

/// Events that wait for the loop; a sender waits when there are more.
const WAITING: usize = 1024;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// Somebody says that the fleet repository, or a source, has something new: ask git now.
    Pushed,
    /// Files of a plain directory that is a source were touched.
    SourceTouched,
    /// Somebody asks for a look at everything now, git included.
    LookNow,
    /// Something below a root, or on a host, was touched.
    Touched(DeploymentName, Touch),
    /// Nobody knows what was touched on a deployment: a watch lost track.
    LostTrack(DeploymentName),
    /// The fleet repository was looked at.
    Asked(Box<Looked>),
    /// A look or a pass ended.
    Done(Done),
    /// Somebody wishes the loop to end.
    Stop(Signal),
}

/// By what somebody wishes the loop to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// How anybody tells the loop that something happened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trigger(mpsc::Sender<Event>);

impl Trigger {
    /// A way to tell, and where it is heard.
    pub(super) fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Tells, from a thread that may wait. A loop that has ended hears nothing.
    pub fn tell_blocking(&self, event: Event) {
        let _ended = self.0.blocking_send(event);
    }

    /// Tells.
    pub async fn tell(&self, event: Event) {
        let _ended = self.0.send(event).await;
    }

    /// Asks for a directory to be read anew, unless more is waiting already than can be heard.
    pub(super) fn source_touched(&self) {
        let _plenty = self.0.try_send(Event::SourceTouched);
    }

    /// Asks for a look at git, unless more is waiting already than can be heard: then that look comes anyway.
    pub fn pushed(&self) {
        let _plenty = self.0.try_send(Event::Pushed);
    }
}
