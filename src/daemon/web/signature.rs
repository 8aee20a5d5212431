//! Whether a webhook comes from who knows the secret.
//!
//! ```text
//! X-Hub-Signature-256: sha256=HEX   GitHub, and Gitea beside its own
//! X-Gitea-Signature: HEX            Gitea, Forgejo
//! X-Gitlab-Token: SECRET            GitLab: the secret itself
//! ```
//! At least one is there, each at most once, and all that are there must be right. Comparisons take the same time
//! for all that is wrong. What can be refused without the body is refused before any of it is read.

use axum::http::HeaderMap;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::daemon::secret::Secret;

const GITHUB: &str = "x-hub-signature-256";
const GITEA: &str = "x-gitea-signature";
const GITLAB: &str = "x-gitlab-token";

/// What a request claims, before its body is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Signatures over the body; none if a right token came.
    signatures: Vec<[u8; 32]>,
}

/// It does not come from who knows the secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stranger;

/// What the headers claim; a wrong token is refused here.
pub(super) fn claim(headers: &HeaderMap, secret: &Secret) -> Result<Claim, Stranger> {
    let one = |name: &str| {
        let mut all = headers.get_all(name).iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(value.as_bytes())),
            _ => Err(Stranger),
        }
    };
    let (github, gitea, gitlab) = (one(GITHUB)?, one(GITEA)?, one(GITLAB)?);
    let mut signatures = Vec::new();
    if let Some(value) = github {
        signatures.push(digest(value.strip_prefix(b"sha256=").ok_or(Stranger)?)?);
    }
    if let Some(value) = gitea {
        signatures.push(digest(value)?);
    }
    match gitlab {
        Some(token) => same(token, secret)?,
        None if signatures.is_empty() => return Err(Stranger),
        None => {}
    }
    Ok(Claim { signatures })
}

impl Claim {
    /// Whether every signature is right for this body.
    pub(super) fn holds(&self, body: &[u8], secret: &Secret) -> Result<(), Stranger> {
        let mut keyed = mac(secret);
        keyed.update(body);
        let wrong = |signature: &&[u8; 32]| keyed.clone().verify_slice(*signature).is_err();
        if self.signatures.iter().filter(wrong).count() == 0 { Ok(()) } else { Err(Stranger) }
    }
}

fn mac(secret: &Secret) -> Hmac<Sha256> {
    // A key of any length will do.
    Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length")
}

/// Whether a token is the secret: compared by keyed digests, so that neither its length nor how much of it is right
/// shows in the time.
fn same(token: &[u8], secret: &Secret) -> Result<(), Stranger> {
    let keyed = |bytes: &[u8]| mac(secret).chain_update(bytes);
    let right = keyed(secret.expose().as_bytes()).finalize().into_bytes();
    keyed(token).verify_slice(&right).map_err(|_| Stranger)
}

/// 64 hexadecimal digits.
fn digest(text: &[u8]) -> Result<[u8; 32], Stranger> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return Err(Stranger);
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let [high, low] = pair else { return Err(Stranger) };
        *byte = nibble(*high).ok_or(Stranger)? << 4 | nibble(*low).ok_or(Stranger)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    // The example of GitHub's documentation.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const RIGHT: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn judge(headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let secret = Secret::new(SECRET).unwrap();
        claim(&map, &secret).and_then(|claim| claim.holds(BODY, &secret)).is_ok()
    }

    #[test]
    fn right_ones_are_let_in() {
        let github = format!("sha256={RIGHT}");
        assert!(judge(&[(GITHUB, &github)]));
        assert!(judge(&[(GITEA, RIGHT)]));
        assert!(judge(&[(GITEA, RIGHT), (GITHUB, &github)]));
        assert!(judge(&[(GITLAB, SECRET)]));
    }

    #[test]
    fn missing_short_wrong_and_doubled_ones_are_not() {
        let github = format!("sha256={RIGHT}");
        let wrong = RIGHT.replace('7', "8");
        for headers in [
            &[][..],
            &[(GITHUB, "sha256=")],
            &[(GITHUB, RIGHT)],
            &[(GITHUB, &github[..github.len() - 1])],
            &[(GITHUB, "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")],
            &[(GITHUB, &github), (GITHUB, &github)],
            &[(GITHUB, &github), (GITEA, &wrong)],
            &[(GITEA, &wrong)],
            &[(GITEA, &RIGHT[2..])],
            &[(GITEA, RIGHT), (GITEA, RIGHT)],
            &[(GITLAB, "")],
            &[(GITLAB, "It's a Secret to Everybod")],
            &[(GITLAB, "It's a Secret to Everybody!")],
            &[(GITLAB, SECRET), (GITLAB, SECRET)],
            &[(GITLAB, SECRET), (GITHUB, "sha256=00")],
        ] {
            assert!(!judge(headers), "{headers:?}");
        }
    }
}
