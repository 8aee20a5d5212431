//! BLAKE3 digests, one type per thing that is digested.
//!
//! Identity in packfleet is a digest, never a version label. The types do not mix: the digest of a
//! file's bytes is no tree digest and no plan id. All print as 64 hexadecimal digits.

use std::fmt;

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: 64 hexadecimal digits are needed")]
pub struct DigestError(pub String);

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 bytes of a BLAKE3 hash.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first seven hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.to_string()[..7].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl std::str::FromStr for $name {
            type Err = DigestError;
            fn from_str(text: &str) -> Result<Self, DigestError> {
                blake3::Hash::from_hex(text)
                    .map(|hash| Self(*hash.as_bytes()))
                    .map_err(|_| DigestError(text.to_owned()))
            }
        }

        // Text where people read it (JSON), 32 bytes where they do not (record, journal).
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

digest!(
    /// The bytes of a file, or the text of a symbolic link.
    Content
);
digest!(
    /// A pack's tree, in the pack's own coordinates.
    TreeDigest
);
digest!(
    /// What should be there, in the coordinates of a deployment's root.
    DesiredDigest
);
digest!(
    /// The encoded record of one deployment.
    RecordDigest
);
digest!(
    /// One pack's part of Desired or of a record, down to what is the host's and where bytes are found.
    PartDigest
);
digest!(
    /// The text of a manifest: what a host holds.
    ManifestDigest
);
digest!(
    /// One deployment's plan; no time and no fleet commit goes in.
    PlanId
);
digest!(
    /// What `fleet.toml` says of a deployment beside its files: where it is, what it waits for, what is run there.
    TermsDigest
);
digest!(
    /// Every path of a deployment that is not in sync, and what lies there: what a plan's steps do not say of a tree.
    DriftDigest
);

impl Content {
    /// Hashes bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ManifestDigest {
    /// Hashes the text.
    pub fn of(text: &[u8]) -> Self {
        Self(*blake3::hash(text).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let digest = Content::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.short(), "6437b3a");
        assert!("6437b3a".parse::<Content>().is_err());
    }
}
