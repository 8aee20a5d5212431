//! SSH signatures of tags and commits, checked against a list of allowed signers.
//!
//! The list has OpenSSH's `allowed_signers` format (ssh-keygen(1)): principals, options, key. A
//! signature counts if it is by a listed key, in the namespace `git`, and was made while the key was
//! valid; the time is the object's own, as git does it. Certificate authorities are not supported and
//! count as not listed. Nothing here trusts a name: a tag's object must name the very tag it stands for,
//! or an old signed tag could be shown under a new name.

use ssh_key::{PublicKey, SshSig};

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The principals of the matching line.
    pub principals: String,
    /// `SHA256:…`
    pub fingerprint: String,
}

/// Why an object does not count as signed: a refusal by policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A lightweight tag has no object that could be signed.
    #[error("tag {0} is lightweight: it cannot carry a signature")]
    Lightweight(String),
    /// No signature in it.
    #[error("{0} is not signed")]
    Unsigned(String),
    /// A signature of another kind.
    #[error("{0} carries an OpenPGP or X.509 signature; signed_by checks SSH signatures")]
    OtherKind(String),
    /// The object names another tag.
    #[error("the object of tag {shown} says that it is tag {inside}")]
    OtherName {
        /// The tag's name in the source.
        shown: String,
        /// The name inside the signed object.
        inside: String,
    },
    /// The list has no key at all.
    #[error("the list of allowed signers has no key")]
    NoSigners,
    /// A line of the list does not parse.
    #[error("line {line} of the list of allowed signers: {why}")]
    List {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The signature does not decode.
    #[error("the signature of {what} does not decode: {why}")]
    Damaged {
        /// The object.
        what: String,
        /// What the decoder said.
        why: String,
    },
    /// The key is not listed.
    #[error("{what} is signed by {fingerprint}, which is not listed")]
    Unlisted {
        /// The object.
        what: String,
        /// The key.
        fingerprint: String,
    },
    /// Listed, but not for the time at which it was signed.
    #[error("{what} is signed by {fingerprint}, which was not valid when it was signed")]
    Expired {
        /// The object.
        what: String,
        /// The key.
        fingerprint: String,
    },
    /// The bytes are not what was signed.
    #[error("the signature of {0} does not match its bytes")]
    Forged(String),
}

/// A raw git object that may carry a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object<'a> {
    /// A tag object and the name under which the source shows it.
    Tag {
        /// The tag's name.
        name: &'a str,
        /// The object's bytes, without the loose header.
        raw: &'a [u8],
    },
    /// A commit object.
    Commit {
        /// For messages.
        id: &'a str,
        /// The object's bytes, without the loose header.
        raw: &'a [u8],
    },
}

/// Checks one object against the text of an `allowed_signers` file.
pub fn verify(object: Object<'_>, allowed: &str) -> Result<Signer, SignatureError> {
    let lines = parse(allowed)?;
    if lines.is_empty() {
        return Err(SignatureError::NoSigners);
    }
    let (what, signed) = match object {
        Object::Tag { name, raw } => {
            let what = format!("tag {name}");
            let inside = header(raw, "tag").unwrap_or_default();
            if inside != name {
                return Err(SignatureError::OtherName { shown: name.into(), inside });
            }
            let signed = split_tag(raw, &what)?;
            (what, Signed { time: stamp(raw, "tagger"), ..signed })
        }
        Object::Commit { id, raw } => {
            let what = format!("commit {id}");
            let signed = split_commit(raw, &what)?;
            (what, Signed { time: stamp(raw, "committer"), ..signed })
        }
    };
    check(&what, &signed, &lines)
}

/// What was signed, and with what.
struct Signed {
    payload: Vec<u8>,
    armored: String,
    /// Seconds since 1970 by the object's own word.
    time: Option<i64>,
}

fn check(what: &str, signed: &Signed, lines: &[Line]) -> Result<Signer, SignatureError> {
    let damaged = |why: String| SignatureError::Damaged { what: what.to_owned(), why };
    let signature = SshSig::from_pem(&signed.armored).map_err(|error| damaged(error.to_string()))?;
    let key = PublicKey::from(signature.public_key().clone());
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let listed: Vec<&Line> =
        lines.iter().filter(|line| line.key.key_data() == key.key_data() && line.for_git).collect();
    if listed.is_empty() {
        return Err(SignatureError::Unlisted { what: what.into(), fingerprint });
    }
    let valid = listed.into_iter().find(|line| {
        line.after.is_none_or(|after| signed.time.is_some_and(|time| time >= after))
            && line.before.is_none_or(|before| signed.time.is_some_and(|time| time < before))
    });
    let Some(line) = valid else {
        return Err(SignatureError::Expired { what: what.into(), fingerprint });
    };
    key.verify("git", &signed.payload, &signature).map_err(|_| SignatureError::Forged(what.into()))?;
    Ok(Signer { principals: line.principals.clone(), fingerprint })
}

const SSH: &str = "-----BEGIN SSH SIGNATURE-----";
const OTHERS: [&str; 2] = ["-----BEGIN PGP ", "-----BEGIN SIGNED MESSAGE-----"];

/// A tag's signature is what follows its message: it begins with the last line that begins one.
fn split_tag(raw: &[u8], what: &str) -> Result<Signed, SignatureError> {
    let mut at = 0;
    let mut last = None;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(SSH.as_bytes()) {
            last = Some((at, true));
        } else if OTHERS.iter().any(|mark| line.starts_with(mark.as_bytes())) {
            last = Some((at, false));
        }
        at += line.len();
    }
    match last {
        Some((at, true)) => {
            let armored = String::from_utf8_lossy(&raw[at..]).into_owned();
            Ok(Signed { payload: raw[..at].to_vec(), armored, time: None })
        }
        Some((_, false)) => Err(SignatureError::OtherKind(what.into())),
        None => Err(SignatureError::Unsigned(what.into())),
    }
}

/// A commit's signature is its `gpgsig` header; what was signed is the commit without it.
fn split_commit(raw: &[u8], what: &str) -> Result<Signed, SignatureError> {
    let mut payload = Vec::with_capacity(raw.len());
    let mut armored = String::new();
    let mut inside = false;
    let mut headers = true;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if headers && line == b"\n" {
            headers = false;
        }
        if headers && inside && line.first() == Some(&b' ') {
            armored.push_str(&String::from_utf8_lossy(&line[1..]));
            continue;
        }
        inside = false;
        match line.strip_prefix(b"gpgsig ") {
            Some(rest) if headers && armored.is_empty() => {
                inside = true;
                armored.push_str(&String::from_utf8_lossy(rest));
            }
            _ => payload.extend_from_slice(line),
        }
    }
    if armored.is_empty() {
        Err(SignatureError::Unsigned(what.into()))
    } else if !armored.starts_with(SSH) {
        Err(SignatureError::OtherKind(what.into()))
    } else {
        Ok(Signed { payload, armored, time: None })
    }
}

/// The value of a header line, which ends with the first empty line.
fn header(raw: &[u8], key: &str) -> Option<String> {
    let prefix = format!("{key} ");
    raw.split(|byte| *byte == b'\n')
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The seconds of `Name <mail> SECONDS ZONE`.
fn stamp(raw: &[u8], key: &str) -> Option<i64> {
    let value = header(raw, key)?;
    value.rsplit(' ').nth(1)?.parse().ok()
}

/// One usable line of the list.
struct Line {
    principals: String,
    key: PublicKey,
    for_git: bool,
    after: Option<i64>,
    before: Option<i64>,
}

fn parse(text: &str) -> Result<Vec<Line>, SignatureError> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let failed = |why: String| SignatureError::List { line: index + 1, why };
        let mut words = words(line).into_iter();
        let principals = words.next().unwrap_or_default();
        let rest: Vec<String> = words.collect();
        // Options may stand between principals and key; the key begins with its type's name.
        let (options, key) = match rest.as_slice() {
            [kind, data, ..] if is_key(kind) => (String::new(), format!("{kind} {data}")),
            [options, kind, data, ..] if is_key(kind) => (options.clone(), format!("{kind} {data}")),
            _ => return Err(failed("expected principals, options, key type and key".into())),
        };
        let key = PublicKey::from_openssh(&key).map_err(|error| failed(error.to_string()))?;
        let mut parsed = Line { principals, key, for_git: true, after: None, before: None };
        let mut authority = false;
        for option in split_options(&options) {
            let (name, value) = option.split_once('=').unwrap_or((&option, ""));
            let value = value.trim_matches('"');
            match name.to_ascii_lowercase().as_str() {
                "" => {}
                "cert-authority" => authority = true,
                "namespaces" => parsed.for_git = value.split(',').any(|name| matches!(name, "git" | "*")),
                "valid-after" => parsed.after = Some(moment(value).map_err(failed)?),
                "valid-before" => parsed.before = Some(moment(value).map_err(failed)?),
                other => return Err(failed(format!("unknown option {other:?}"))),
            }
        }
        if !authority {
            lines.push(parsed);
        }
    }
    Ok(lines)
}

fn is_key(word: &str) -> bool {
    word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-")
}

/// Words separated by blanks, quoted parts kept together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
            c if c.is_whitespace() && !quoted => {
                if words.last().is_some_and(|word| !word.is_empty()) {
                    words.push(String::new());
                }
            }
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Options separated by commas outside quotes.
fn split_options(options: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in options.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        match parts.last_mut() {
            Some(part) if c != ',' || quoted => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
}

/// `YYYYMMDD[HHMM[SS]][Z]`. Without `Z` OpenSSH reads local time; the machine's zone is no business of
/// a list in git, so it is read as UTC here.
fn moment(text: &str) -> Result<i64, String> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    let number = |range: std::ops::Range<usize>| -> Result<i16, String> {
        match digits.get(range) {
            None | Some("") => Ok(0),
            Some(part) => part.parse().map_err(|_| format!("{text:?} is no time")),
        }
    };
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text:?} is no time: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS"));
    }
    let small =
        |range| number(range).and_then(|n| i8::try_from(n).map_err(|_| format!("{text:?} is no time")));
    let date = jiff::civil::DateTime::new(
        number(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(8..10)?,
        small(10..12)?,
        small(12..14)?,
        0,
    );
    let date = date.map_err(|error| format!("{text:?} is no time: {error}"))?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(date).map_err(|error| error.to_string())?;
    Ok(at.as_second())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// A repository with one key, a signed commit and tag, and an unsigned one of each.
    struct Signed {
        directory: tempfile::TempDir,
        public: String,
    }

    fn run(directory: &Path, program: &str, args: &[&str]) -> Vec<u8> {
        let out = Command::new(program)
            .args(args)
            .current_dir(directory)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        out.stdout
    }

    fn signed() -> Signed {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        run(at, "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", "key"]);
        run(at, "git", &["init", "-q", "-b", "main", "."]);
        for (key, value) in [
            ("user.name", "A"),
            ("user.email", "a@example.org"),
            ("gpg.format", "ssh"),
            ("user.signingkey", at.join("key.pub").to_str().unwrap()),
        ] {
            run(at, "git", &["config", key, value]);
        }
        run(at, "git", &["commit", "-q", "--allow-empty", "-m", "plain"]);
        run(at, "git", &["tag", "-a", "-m", "plain", "v0"]);
        run(at, "git", &["commit", "-q", "--allow-empty", "-S", "-m", "signed"]);
        run(at, "git", &["tag", "-s", "-m", "signed", "v1"]);
        let public = std::fs::read_to_string(at.join("key.pub")).unwrap();
        Signed { directory, public }
    }

    impl Signed {
        fn raw(&self, kind: &str, name: &str) -> Vec<u8> {
            run(self.directory.path(), "git", &["cat-file", kind, name])
        }
    }

    #[test]
    fn what_counts_as_signed_and_what_does_not() {
        let repository = signed();
        let (tag, commit) = (repository.raw("tag", "v1"), repository.raw("commit", "main"));
        let key = repository.public.trim().to_owned();
        let listed = format!("# people\n\na@example.org {key}\n");
        let tagged = |raw, name| Object::Tag { name, raw };
        let of = |raw| Object::Commit { id: "main", raw };
        assert_eq!(verify(tagged(&tag, "v1"), &listed).unwrap().principals, "a@example.org");
        assert!(verify(of(&commit), &listed).is_ok());

        let other = signed();
        let unlisted = format!("b@example.org {}", other.public);
        assert!(matches!(verify(tagged(&tag, "v1"), &unlisted), Err(SignatureError::Unlisted { .. })));
        assert!(matches!(verify(of(&commit), &unlisted), Err(SignatureError::Unlisted { .. })));
        assert_eq!(verify(of(&commit), "# nobody\n"), Err(SignatureError::NoSigners));
        assert!(matches!(verify(tagged(&tag, "v2"), &listed), Err(SignatureError::OtherName { .. })));

        let plain = (repository.raw("tag", "v0"), repository.raw("commit", "main~1"));
        assert!(matches!(verify(tagged(&plain.0, "v0"), &listed), Err(SignatureError::Unsigned(_))));
        assert!(matches!(verify(of(&plain.1), &listed), Err(SignatureError::Unsigned(_))));

        let forge = |raw: &[u8]| {
            String::from_utf8(raw.to_vec()).unwrap().replace("\nsigned", "\nforged").into_bytes()
        };
        let (commit_forged, tag_forged) = (forge(&commit), forge(&tag));
        assert!(matches!(verify(of(&commit_forged), &listed), Err(SignatureError::Forged(_))));
        assert!(matches!(verify(tagged(&tag_forged, "v1"), &listed), Err(SignatureError::Forged(_))));

        // 1700000000 is 14 November 2023.
        for (options, good) in [
            ("valid-before=\"20231115\"", true),
            ("valid-before=\"20231114\"", false),
            ("valid-after=\"20231114\",valid-before=\"20240101Z\"", true),
            ("valid-after=\"20231115\"", false),
            ("namespaces=\"git,file\"", true),
            ("namespaces=\"file\"", false),
            ("cert-authority", false),
        ] {
            let list = format!("a@example.org {options} {key}");
            assert_eq!(verify(tagged(&tag, "v1"), &list).is_ok(), good, "{options}");
        }
        for broken in
            ["a@example.org", "a@example.org ssh-ed25519 AAAA", "a@example.org what=1 ssh-ed25519 AAAA"]
        {
            assert!(
                matches!(verify(of(&commit), broken), Err(SignatureError::List { line: 1, .. })),
                "{broken}"
            );
        }
    }

    #[test]
    fn other_kinds_are_named() {
        let raw = b"tree x\ngpgsig -----BEGIN PGP SIGNATURE-----\n abc\n\nmessage\n";
        let key = "a ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE9x0z6VYUvU3yZ8gO0xk6yJYh0gC3Ck7lM2mHcH5S1n";
        let found = verify(Object::Commit { id: "c", raw }, key);
        assert!(matches!(found, Err(SignatureError::OtherKind(_))), "{found:?}");
    }
}
