//! What systemd is told: that the loop is ready, how things stand in a line, and that it is alive.
//!
//! The watchdog is fed by the task that owns the loop, each time it comes round: a loop that hangs is found out. A
//! process that nobody supervises tells nobody anything.

use std::collections::BTreeMap;
use std::time::Duration;

use sd_notify::NotifyState;

use super::queue::Time;
use crate::engine::Outcome;

/// The one who started this process, if it wants to be told.
pub(super) struct Supervisor {
    /// How often the watchdog is fed.
    watchdog: Option<Duration>,
    fed: Time,
    ready: bool,
    status: String,
}

impl Supervisor {
    /// Nothing was said yet.
    pub(super) fn new() -> Self {
        // Half of what is allowed, so that one delay is no death.
        let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
        Self { watchdog, fed: Time::ZERO, ready: false, status: String::new() }
    }

    /// The loop came round; when it must come round again at the latest.
    pub(super) fn round(&mut self, now: Time) -> Option<Time> {
        let every = self.watchdog?;
        if self.fed == Time::ZERO || now >= self.fed + every {
            self.fed = now.max(Time::from_nanos(1));
            say(&[NotifyState::Watchdog]);
        }
        Some(self.fed + every)
    }

    /// The fleet repository was looked at for the first time: from now on the loop does its work.
    pub(super) fn ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            say(&[NotifyState::Ready]);
        }
    }

    /// How things stand, if that changed.
    pub(super) fn status(&mut self, status: String) {
        if status != self.status {
            say(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// The loop ends.
    pub(super) fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }
}

fn say(words: &[NotifyState<'_>]) {
    // Nobody may be there to hear it.
    if let Err(error) = sd_notify::notify(words) {
        tracing::debug!(%error, "the supervisor was not told");
    }
}

/// How many deployments stand how, in a line.
pub(super) fn summary(outcomes: impl Iterator<Item = Outcome>, trouble: Option<&str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in outcomes {
        let word = match outcome {
            Outcome::InSync | Outcome::Applied | Outcome::RolledBack => "in sync",
            Outcome::Planned => "pending",
            Outcome::Undecided => "undecided",
            Outcome::TakenBack => "unhealthy",
            Outcome::Waiting => "waiting",
            Outcome::Offline => "offline",
            Outcome::Held => "held",
            Outcome::Refused => "refused",
            Outcome::Locked => "locked",
            Outcome::Failed => "failed",
        };
        *counts.entry(word).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let counts = if counts.is_empty() { "nothing looked at yet".to_owned() } else { counts.join(", ") };
    match trouble {
        Some(why) => format!("the fleet repository is in trouble ({why}); {counts}"),
        None => counts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_counted_by_how_they_stand() {
        let all = [Outcome::InSync, Outcome::Held, Outcome::Applied];
        assert_eq!(summary(all.into_iter(), None), "1 held, 2 in sync");
        assert_eq!(
            summary([].into_iter(), Some("fleet.toml does not validate")),
            "the fleet repository is in trouble (fleet.toml does not validate); nothing looked at yet"
        );
    }
}
