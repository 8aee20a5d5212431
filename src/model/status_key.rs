//! Keys with which statuses are signed: ed25519, in the forms of OpenSSH.
//!
//! A signature is one of `ssh-keygen -Y sign -n packfleet-status`, so that anybody can check it. Pure: the caller
//! reads files and draws random numbers.

use std::fmt;

use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

/// What a signature is for: one that was made for anything else does not count.
pub const NAMESPACE: &str = "packfleet-status";

/// The public half, as `fleet.toml` pins it: `ssh-ed25519 AAAA…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusKey(PublicKey);

/// The private half. It prints as its public one.
#[derive(Clone)]
pub struct SecretStatusKey(PrivateKey);

/// A text that is no key, or none that may sign a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not decode.
    #[error("it is no OpenSSH key: {0}")]
    Decode(String),
    /// Another algorithm.
    #[error("it is a key of kind {0}: ssh-ed25519 is needed")]
    Algorithm(String),
    /// It has a passphrase.
    #[error("it is encrypted: nobody is there to type a passphrase")]
    Encrypted,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It does not decode.
    #[error("its signature does not decode: {0}")]
    Damaged(String),
    /// The bytes are not what was signed.
    #[error("its signature does not match what it says")]
    Forged,
}

impl StatusKey {
    /// Reads `ssh-ed25519 AAAA…`; a comment may follow.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        let key = PublicKey::from_openssh(text).map_err(|error| KeyError::Decode(error.to_string()))?;
        match key.algorithm() {
            Algorithm::Ed25519 => Ok(Self(PublicKey::from(key.key_data().clone()))),
            other => Err(KeyError::Algorithm(other.to_string())),
        }
    }

    /// `SHA256:…`
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The key that made a signature, which is then proved to be one over `text`.
    pub fn that_signed(text: &str, armored: &str) -> Result<Self, SealError> {
        let signature = SshSig::from_pem(armored).map_err(|error| SealError::Damaged(error.to_string()))?;
        let key = PublicKey::from(signature.public_key().clone());
        key.verify(NAMESPACE, text.as_bytes(), &signature).map_err(|_| SealError::Forged)?;
        Ok(Self(key))
    }
}

impl fmt::Display for StatusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_openssh().map_err(|_| fmt::Error)?)
    }
}

impl SecretStatusKey {
    /// The key that belongs to 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(PrivateKey::from(Ed25519Keypair::from_seed(seed)))
    }

    /// Reads an OpenSSH private key.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(text).map_err(|error| KeyError::Decode(error.to_string()))?;
        match key.algorithm() {
            _ if key.is_encrypted() => Err(KeyError::Encrypted),
            Algorithm::Ed25519 => Ok(Self(key)),
            other => Err(KeyError::Algorithm(other.to_string())),
        }
    }

    /// The text of an OpenSSH private key: a secret.
    pub fn expose(&self) -> Result<String, KeyError> {
        let text = self.0.to_openssh(LineEnding::LF).map_err(|error| KeyError::Decode(error.to_string()))?;
        Ok(text.to_string())
    }

    /// The public half.
    pub fn public(&self) -> StatusKey {
        StatusKey(PublicKey::from(self.0.public_key().key_data().clone()))
    }

    /// An armored signature over a text.
    pub fn sign(&self, text: &str) -> Result<String, SealError> {
        let failed = |error: ssh_key::Error| SealError::Damaged(error.to_string());
        let signature = self.0.sign(NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(failed)?;
        signature.to_pem(LineEnding::LF).map_err(failed)
    }
}

impl fmt::Debug for SecretStatusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretStatusKey({})", self.public().fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_known_by_its_key_and_every_other_byte_is_forged() {
        let (key, other) = (SecretStatusKey::from_seed(&[7; 32]), SecretStatusKey::from_seed(&[8; 32]));
        let text = "packfleet status 1\n{}\n";
        let seal = key.sign(text).unwrap();
        assert_eq!(StatusKey::that_signed(text, &seal), Ok(key.public()));
        assert_ne!(key.public(), other.public());
        assert_eq!(StatusKey::that_signed("packfleet status 1\n{ }\n", &seal), Err(SealError::Forged));
        assert!(matches!(StatusKey::that_signed(text, ""), Err(SealError::Damaged(_))));
        assert!(matches!(
            StatusKey::that_signed(text, &seal.replace("SSH", "PGP")),
            Err(SealError::Damaged(_))
        ));
        let again = SecretStatusKey::read(&key.expose().unwrap()).unwrap();
        assert_eq!(again.public(), key.public());
        let printed = key.public().to_string();
        assert!(printed.starts_with("ssh-ed25519 AAAA"), "{printed}");
        assert_eq!(StatusKey::new(&format!("{printed} root@edge")), Ok(key.public()));
        assert!(!format!("{key:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_signature_for_git_does_not_count() {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let seal = key.sign("git", HashAlg::Sha512, b"x").unwrap().to_pem(LineEnding::LF).unwrap();
        assert_eq!(StatusKey::that_signed("x", &seal), Err(SealError::Forged));
    }

    #[test]
    fn only_ed25519_keys_sign() {
        let p256 = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        assert!(matches!(StatusKey::new(p256), Err(KeyError::Algorithm(_))));
        assert!(matches!(StatusKey::new("ssh-ed25519"), Err(KeyError::Decode(_))));
    }
}
