//! Whether a published status is the word of the deployment that it is shown for.
//!
//! Where `fleet.toml` pins a key, of the host or of whoever applies to many, one of them must have signed it. That it
//! is no replay is told by its number, which grows with each word: `seen` is what the reader saw last. Where no key
//! is pinned everybody who can write to the store is believed, and all else is checked all the same.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::publishing::Publishing;
use crate::model::stamp::{Signed, Stamp};
use crate::model::status_key::{SealError, StatusKey};
use crate::model::{DeploymentName, FleetName, HostPath, ManifestDigest};

/// How far the clock of whoever speaks may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// The last word of a deployment that a reader believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its number.
    pub sequence: u64,
    /// Its generation.
    pub generation: u64,
    /// Digest of what was signed.
    pub digest: ManifestDigest,
}

impl Seen {
    /// What is remembered of a word.
    pub fn of(signed: &Signed<'_>) -> Self {
        let Stamp { sequence, generation, .. } = signed.stamp;
        Self { sequence, generation, digest: ManifestDigest::of(signed.text.as_bytes()) }
    }
}

/// Why a status is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// What stands there is no status.
    #[error("what is published for it is damaged: {0}")]
    Damaged(String),
    /// It is another fleet's.
    #[error("what is published for it is of fleet {0}")]
    Fleet(FleetName),
    /// It is another deployment's.
    #[error("what is published for it is the status of {0}")]
    Deployment(DeploymentName),
    /// It is of another place.
    #[error("what is published for it is of root {0}")]
    Root(HostPath),
    /// No signature, where a key is pinned.
    #[error("what is published for it is not signed, and fleet.toml pins a key")]
    Unsigned,
    /// The signature does not count.
    #[error("what is published for it is forged: {0}")]
    Seal(#[source] SealError),
    /// Signed by another deployment's key.
    #[error("what is published for it is signed with the key of {0}, which speaks for {0} alone")]
    OtherHost(DeploymentName),
    /// Signed by a key that fleet.toml does not pin.
    #[error("what is published for it is signed with {0}, a key that fleet.toml does not pin for it")]
    OtherKey(String),
    /// The manifest is not the one that was signed for.
    #[error("the manifest that is published for it is not the one that its status names")]
    OtherManifest,
    /// It would never grow old.
    #[error(
        "what is published for it is dated {time}, which is yet to come: a clock is wrong, there or here"
    )]
    Ahead {
        /// When it says that the host was looked at.
        time: Timestamp,
    },
    /// It is older than one that was seen.
    #[error("what is published for it is a replay: number {found}, and number {seen} was seen before")]
    Replayed {
        /// Its number.
        found: u64,
        /// That of the last that was seen.
        seen: u64,
    },
}

/// Whose word is expected.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The deployment.
    pub deployment: &'a DeploymentName,
    /// Its root.
    pub root: &'a HostPath,
    /// Pinned keys.
    pub publishing: &'a Publishing,
    /// The last word that was believed.
    pub seen: Option<&'a Seen>,
    /// The time.
    pub now: Timestamp,
}

impl Expected<'_> {
    /// Believes a word, or says why not.
    pub fn believe(&self, signed: &Signed<'_>, manifest: ManifestDigest) -> Result<(), Distrust> {
        let stamp = &signed.stamp;
        if stamp.fleet != *self.fleet {
            return Err(Distrust::Fleet(stamp.fleet.clone()));
        }
        if self.publishing.asks_for_a_key(self.deployment) {
            self.signed(signed)?;
        }
        if stamp.deployment != *self.deployment {
            return Err(Distrust::Deployment(stamp.deployment.clone()));
        }
        if stamp.root != *self.root {
            return Err(Distrust::Root(stamp.root.clone()));
        }
        if stamp.manifest != manifest {
            return Err(Distrust::OtherManifest);
        }
        if stamp.time.duration_since(self.now) > AHEAD {
            return Err(Distrust::Ahead { time: stamp.time });
        }
        match self.seen {
            Some(seen) if *seen != Seen::of(signed) && stamp.sequence <= seen.sequence => {
                Err(Distrust::Replayed { found: stamp.sequence, seen: seen.sequence })
            }
            _ => Ok(()),
        }
    }

    fn signed(&self, signed: &Signed<'_>) -> Result<(), Distrust> {
        if signed.signature.is_empty() {
            return Err(Distrust::Unsigned);
        }
        let key = StatusKey::that_signed(signed.text, signed.signature).map_err(Distrust::Seal)?;
        let Publishing { key: controller, hosts, .. } = self.publishing;
        if controller.as_ref() == Some(&key) || hosts.get(self.deployment) == Some(&key) {
            return Ok(());
        }
        match hosts.iter().find(|(_, other)| **other == key) {
            Some((name, _)) => Err(Distrust::OtherHost(name.clone())),
            None => Err(Distrust::OtherKey(key.fingerprint())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::fleet::Url;
    use crate::model::publishing::{HEARTBEAT, StoreAddress};
    use crate::model::stamp::Publisher;
    use crate::model::status_key::SecretStatusKey;

    fn stamp(deployment: &str) -> Stamp {
        Stamp {
            fleet: "f".parse().unwrap(),
            deployment: deployment.parse().unwrap(),
            root: HostPath::new("/r").unwrap(),
            sequence: 5,
            time: jiff::Timestamp::UNIX_EPOCH,
            by: Publisher::Host,
            generation: 2,
            record: None,
            manifest: ManifestDigest::of(b"m"),
            interrupted: None,
            staged: false,
            saved_edits: 0,
            since: BTreeMap::new(),
            pause: None,
            health: None,
            version_file: None,
        }
    }

    fn key(seed: u8) -> SecretStatusKey {
        SecretStatusKey::from_seed(&[seed; 32])
    }

    fn judge(published: &str, manifest: &[u8], pinned: bool, seen: Option<&Seen>) -> Result<(), Distrust> {
        let hosts: BTreeMap<DeploymentName, StatusKey> =
            [("a".parse().unwrap(), key(1).public()), ("b".parse().unwrap(), key(2).public())].into();
        let publishing = Publishing {
            store: StoreAddress::Git { url: Url::new("/x"), prefix: "refs/x".into() },
            heartbeat: HEARTBEAT,
            key: pinned.then(|| key(9).public()),
            hosts: if pinned { hosts } else { BTreeMap::new() },
        };
        let (fleet, deployment) = ("f".parse().unwrap(), "a".parse().unwrap());
        let root = HostPath::new("/r").unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let expected = Expected {
            fleet: &fleet,
            deployment: &deployment,
            root: &root,
            publishing: &publishing,
            seen,
            now,
        };
        expected.believe(&Stamp::parse(published).unwrap(), ManifestDigest::of(manifest))
    }

    #[test]
    fn only_the_word_of_the_deployment_or_of_the_controller_counts() {
        let text = stamp("a").text();
        let by = |seed: u8, text: &str| format!("{text}{}", key(seed).sign(text).unwrap());
        assert_eq!(judge(&by(1, &text), b"m", true, None), Ok(()));
        assert_eq!(judge(&by(9, &text), b"m", true, None), Ok(()));
        assert_eq!(judge(&text, b"m", true, None), Err(Distrust::Unsigned));
        assert_eq!(judge(&by(2, &text), b"m", true, None), Err(Distrust::OtherHost("b".parse().unwrap())));
        assert_eq!(
            judge(&by(3, &text), b"m", true, None),
            Err(Distrust::OtherKey(key(3).public().fingerprint()))
        );
        // The signature of another word of the same host.
        let other = Stamp { generation: 3, ..stamp("a") }.text();
        let moved = format!("{other}{}", key(1).sign(&text).unwrap());
        assert_eq!(judge(&moved, b"m", true, None), Err(Distrust::Seal(SealError::Forged)));
        assert_eq!(judge(&by(1, &text), b"n", true, None), Err(Distrust::OtherManifest));
        // Host b's own word, put where a's belongs.
        let theirs = stamp("b").text();
        assert_eq!(judge(&by(2, &theirs), b"m", true, None), Err(Distrust::OtherHost("b".parse().unwrap())));
        assert_eq!(judge(&by(9, &theirs), b"m", true, None), Err(Distrust::Deployment("b".parse().unwrap())));
        // Host a speaks of b under its own name.
        assert_eq!(judge(&by(1, &theirs), b"m", true, None), Err(Distrust::Deployment("b".parse().unwrap())));
        let fleet = Stamp { fleet: "g".parse().unwrap(), ..stamp("a") }.text();
        assert_eq!(judge(&by(1, &fleet), b"m", true, None), Err(Distrust::Fleet("g".parse().unwrap())));
        let root = HostPath::new("/q").unwrap();
        let elsewhere = Stamp { root: root.clone(), ..stamp("a") }.text();
        assert_eq!(judge(&by(1, &elsewhere), b"m", true, None), Err(Distrust::Root(root)));
    }

    #[test]
    fn where_no_key_is_pinned_all_else_is_checked() {
        assert_eq!(judge(&stamp("a").text(), b"m", false, None), Ok(()));
        assert_eq!(
            judge(&stamp("b").text(), b"m", false, None),
            Err(Distrust::Deployment("b".parse().unwrap()))
        );
    }

    #[test]
    fn a_word_that_is_yet_to_come_is_not_believed() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let dated = |time| Stamp { time, ..stamp("a") }.text();
        assert_eq!(judge(&dated(at(300)), b"m", false, None), Ok(()));
        assert_eq!(judge(&dated(at(301)), b"m", false, None), Err(Distrust::Ahead { time: at(301) }));
        assert_eq!(
            judge(&dated(Timestamp::MAX), b"m", false, None),
            Err(Distrust::Ahead { time: Timestamp::MAX })
        );
    }

    #[test]
    fn a_word_that_is_not_newer_is_a_replay_unless_it_is_the_very_same() {
        let text = stamp("a").text();
        let same = Seen::of(&Stamp::parse(&text).unwrap());
        assert_eq!(judge(&text, b"m", false, Some(&same)), Ok(()));
        let older = Seen { sequence: 4, ..same.clone() };
        assert_eq!(judge(&text, b"m", false, Some(&older)), Ok(()));
        for sequence in [5, 6] {
            let seen = Seen { sequence, digest: ManifestDigest::of(b"another"), ..same.clone() };
            assert_eq!(
                judge(&text, b"m", false, Some(&seen)),
                Err(Distrust::Replayed { found: 5, seen: sequence })
            );
        }
    }
}
