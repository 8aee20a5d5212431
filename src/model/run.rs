//! The continuous loop: how often it looks, and how long it waits after a failure.

use std::time::Duration;

/// What `[run]` says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// How often git is asked.
    pub poll: Duration,
    /// How often every deployment is looked at, whatever happened.
    pub resync: Duration,
    /// How often the stat cache is distrusted.
    pub full_rehash: Duration,
    /// How long is waited after a failure.
    pub retry: Retry,
}

/// How long is waited after a failure: more with each that follows, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// After the first.
    pub initial: Duration,
    /// At most.
    pub max: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            poll: minutes(1),
            resync: minutes(10),
            full_rehash: minutes(24 * 60),
            retry: Retry { initial: Duration::from_secs(10), max: minutes(10) },
        }
    }
}
