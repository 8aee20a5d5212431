//! The opening of a session: JSON in a frame of its own, in a form that never changes.
//!
//! An agent greets with [`GREETING`], so that whatever a login shell printed before can be passed over, and
//! says hello. A controller says hello first of all, and with it for which deployment it comes: the session is
//! bound to that. Unknown keys are ignored, so that later versions may add some; `protocol` says whether they may
//! talk at all.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use super::frame::{self, Frames, Kind};
use super::{MOST_HELLO, PROTOCOL, WireError};
use crate::model::{DeploymentName, FleetName, HostPath};

/// What an agent's hello is found by.
pub const GREETING: &[u8] = b"\0packfleet-agent\n";
/// What stands there instead if a host has no agent; the rest of the line says what machine it is.
pub const MISSING: &[u8] = b"\0packfleet-none ";
/// What stands before it if a host has an agent, which is started right behind.
pub const FOUND: &[u8] = b"\0packfleet-found\n";

/// The opening words of either side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of packfleet.
    pub packfleet: String,
    /// The version of frames and messages.
    pub protocol: u32,
    /// The digest of the program's file.
    pub build: String,
    /// Of an agent: what a request that writes must repeat, so that no recorded session works twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Of a controller: what the session is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The fleet that asks.
    pub fleet: FleetName,
    /// The deployment that is asked about.
    pub deployment: DeploymentName,
    /// Its root on the host.
    pub root: HostPath,
}

impl Hello {
    /// The hello of this program.
    pub fn new(build: &str) -> Self {
        Self {
            packfleet: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            build: build.to_owned(),
            session: None,
            bound: None,
        }
    }

    /// Sends it.
    pub fn send(&self, out: &mut dyn Write) -> Result<(), WireError> {
        let text = serde_json::to_vec(self).map_err(WireError::Hello)?;
        frame::write(out, Kind::Hello, &text)
    }

    /// Reads the other side's, and refuses another protocol.
    pub fn receive(frames: &mut Frames, input: &mut dyn Read) -> Result<Self, WireError> {
        let Some(frame) = frames.next(input)? else { return Err(WireError::Closed("before its hello")) };
        if frame.kind != Kind::Hello {
            return Err(WireError::Order("something else than a hello first"));
        }
        if frame.payload.len() > MOST_HELLO {
            return Err(WireError::TooMuch("a hello"));
        }
        let hello: Self = serde_json::from_slice(&frame.payload).map_err(WireError::Hello)?;
        if hello.protocol == PROTOCOL { Ok(hello) } else { Err(WireError::Protocol(hello.protocol)) }
    }
}
