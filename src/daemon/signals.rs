//! Signals as events: SIGHUP asks for a look, SIGINT and SIGTERM for an end.

use tokio::signal::unix::{SignalKind, signal};

use super::event::{Event, Signal, Trigger};

/// Listens until the loop ends.
pub(super) fn listen(trigger: &Trigger) -> std::io::Result<()> {
    let heard = [
        (SignalKind::hangup(), None),
        (SignalKind::interrupt(), Some(Signal::Interrupt)),
        (SignalKind::terminate(), Some(Signal::Terminate)),
    ];
    for (kind, stop) in heard {
        let mut stream = signal(kind)?;
        let trigger = trigger.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                trigger.tell(stop.map_or(Event::LookNow, Event::Stop)).await;
            }
        });
    }
    Ok(())
}
