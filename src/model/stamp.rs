//! The stamp: one deployment's word on what it holds, and when. It is what is signed.
//!
//! It names the [`Manifest`](super::manifest::Manifest) by its digest and says whatever is this deployment's alone:
//! whose it is, how often it spoke, its record, its health. Its text is a title and one line of JSON; a signature
//! may follow, over exactly that. Reading is total.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rollout::Pause;
use super::{DeploymentName, FleetName, HostPath, ManifestDigest, PackName, RecordDigest};

/// The version of the text.
pub const FORMAT: u32 = 1;
const TITLE: &str = "packfleet status ";

/// One deployment's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// The fleet that it is of.
    pub fleet: FleetName,
    /// The deployment that it speaks of.
    pub deployment: DeploymentName,
    /// The root there.
    pub root: HostPath,
    /// Grows with each word; one that does not is a replay.
    pub sequence: u64,
    /// When the host was looked at.
    pub time: Timestamp,
    /// Who looked.
    pub by: Publisher,
    /// The number of commits so far.
    pub generation: u64,
    /// Digest of the record's bytes; `None` if nothing was ever committed.
    pub record: Option<RecordDigest>,
    /// What it holds.
    pub manifest: ManifestDigest,
    /// The generation of an interrupted switch.
    pub interrupted: Option<u64>,
    /// Whether a stage without a journal lies there.
    pub staged: bool,
    /// How many saved edits wait there.
    pub saved_edits: u64,
    /// Since when each pack has been well as it is recorded, or gone; one that is not well is not there.
    pub since: BTreeMap<PackName, Timestamp>,
    /// A pause that is kept on the host.
    pub pause: Option<Pause>,
    /// The last word on its health.
    pub health: Option<Fare>,
    /// Why its VERSION file is not packfleet's to replace.
    pub version_file: Option<String>,
}

/// Who looked at a host and says what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publisher {
    /// Whoever applies to many.
    Controller,
    /// The host itself.
    Host,
}

/// How a deployment fares; without evidence, which may quote logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fare {
    /// The generation that this is about.
    pub generation: u64,
    /// How.
    pub state: FareState,
    /// Since when.
    pub since: Timestamp,
}

/// How a deployment fares, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FareState {
    /// Everything passed that was looked at.
    Healthy,
    /// The generation is still watched.
    Watching,
    /// A change was ill and was taken back; what stands is healthy.
    TakenBack,
    /// What stands did not pass.
    Ill,
    /// Found ill, and on the way back.
    GoingBack,
}

/// A text that is no stamp.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Not one at all.
    #[error("it does not begin like a status")]
    Title,
    /// Written by another version.
    #[error("it has format {0:?}, this packfleet reads {FORMAT}")]
    Format(String),
    /// The second line.
    #[error("it does not decode")]
    Body(#[source] serde_json::Error),
}

/// A stamp as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What it says.
    pub stamp: Stamp,
    /// The text that was signed.
    pub text: &'a str,
    /// The signature, armored; empty if there is none.
    pub signature: &'a str,
}

impl Stamp {
    /// Its text, to be signed.
    pub fn text(&self) -> String {
        let json = serde_json::to_string(self).expect("plain values serialise into memory");
        format!("{TITLE}{FORMAT}\n{json}\n")
    }

    /// Takes apart what was published: a stamp's text, and what follows it.
    pub fn parse(published: &str) -> Result<Signed<'_>, StampError> {
        let rest = published.strip_prefix(TITLE).ok_or(StampError::Title)?;
        let (format, rest) = rest.split_once('\n').ok_or(StampError::Title)?;
        if format != FORMAT.to_string() {
            return Err(StampError::Format(format.chars().take(20).collect()));
        }
        let (json, signature) = rest.split_once('\n').ok_or(StampError::Title)?;
        let stamp = serde_json::from_str(json).map_err(StampError::Body)?;
        Ok(Signed { stamp, text: &published[..published.len() - signature.len()], signature })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_its_text_and_what_follows_is_its_signature() {
        let stamp = Stamp {
            fleet: "f".parse().unwrap(),
            deployment: "d".parse().unwrap(),
            root: HostPath::new("/srv/ä b").unwrap(),
            sequence: u64::MAX,
            time: "2026-11-24T08:00:00Z".parse().unwrap(),
            by: Publisher::Host,
            generation: 7,
            record: Some(RecordDigest::from_bytes([1; 32])),
            manifest: ManifestDigest::from_bytes([2; 32]),
            interrupted: Some(8),
            staged: true,
            saved_edits: 3,
            since: [("p".parse().unwrap(), Timestamp::UNIX_EPOCH)].into(),
            pause: None,
            health: Some(Fare { generation: 7, state: FareState::TakenBack, since: Timestamp::UNIX_EPOCH }),
            version_file: Some("a\nb".into()),
        };
        let text = stamp.text();
        let published = format!("{text}-----BEGIN\nx\n");
        let signed = Stamp::parse(&published).unwrap();
        assert_eq!(
            (signed.stamp, signed.text, signed.signature),
            (stamp.clone(), text.as_str(), "-----BEGIN\nx\n")
        );
        assert_eq!(Stamp::parse(&text).unwrap().signature, "");
        for end in 0..text.len() {
            assert!(text.get(..end).is_none_or(|cut| Stamp::parse(cut).is_err()), "cut at {end}");
        }
    }
}
