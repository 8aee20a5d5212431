//! What a controller shows and tells, and to whom: its page, webhooks, messages.
//!
//! Secrets are here by the names of the environment variables that hold them; the floor that reads the environment
//! looks them up.

use serde::{Deserialize, Serialize};

/// All of it; nothing unless fleet.toml says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outward {
    /// Address and port of the page, as it was written; `None`: no page.
    pub listen: Option<String>,
    /// The variable with the secret that signs webhooks; `None`: webhooks are off.
    pub webhook_secret: Option<String>,
    /// Who is told of what.
    pub notify: Vec<Notify>,
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The variable with the address to which messages are posted.
    pub url: String,
    /// Of what.
    pub on: Vec<Topic>,
}

/// What a message can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A person must decide.
    Held,
    /// An error, or what stands is ill.
    Failed,
    /// A change was found ill and taken back.
    RolledBack,
    /// What was told is over.
    Recovered,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Failed, Self::RolledBack, Self::Recovered];
}
