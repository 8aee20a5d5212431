//! Talking to the origin of a mirror: one connection lists its refs and brings in what is new.
//!
//! Whatever libgit2 says about a connection passes through [`scrub`] before anybody sees it: its messages
//! may quote the URL, and a URL may hold a password.

use std::cell::Cell;
use std::collections::BTreeMap;

use camino::Utf8Path;
use git2::{
    AutotagOption, Cred, CredentialType, Direction, ErrorClass, FetchOptions, Oid, ProxyOptions, Remote,
    RemoteCallbacks, Repository,
};

use super::libgit2::trust_certificates;
use super::{SourceError, local};
use crate::model::fleet::Url;

/// Branches and tags by their names below `refs/`, unpeeled.
pub(super) type Listing = BTreeMap<String, Oid>;

/// How often a server may ask for credentials before the answer is taken to be wrong.
const ATTEMPTS: u32 = 2;

/// Lists the origin's branches and tags; if `wants` says so of the listing, downloads all of their history.
pub(super) fn fetch(
    repository: &Repository,
    url: &Url,
    wants: impl FnOnce(&Listing) -> bool,
) -> Result<Listing, SourceError> {
    if let Some(path) = directory(url)
        && !path.exists()
    {
        // libgit2 would take it for a URL, and complain of its protocol.
        return Err(unreachable(url, &git2::Error::from_str("nothing is there")));
    }
    let remote = &mut anonymous(repository, url)?;
    let mut connection = remote
        .connect_auth(Direction::Fetch, Some(callbacks(repository, url)), Some(proxy()))
        .map_err(|error| unreachable(url, &error))?;
    let mut listing = Listing::new();
    for head in connection.list().map_err(|error| unreachable(url, &error))? {
        if let Some(name) = head.name().strip_prefix("refs/")
            && (name.starts_with("heads/") || name.starts_with("tags/"))
            && !name.ends_with("^{}")
        {
            listing.insert(name.to_owned(), head.oid());
        }
    }
    if wants(&listing) {
        if let Some(objects) = directory(url).and_then(local::objects) {
            let tips: Vec<Oid> = listing.values().copied().collect();
            local::bring(repository, &objects, &tips).map_err(|error| taking_in(url, &error))?;
        } else {
            let specs = ["refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"];
            download(connection.remote(), repository, url, &specs)?;
        }
    }
    Ok(listing)
}

/// Downloads the history of all that these refspecs name at the origin. No ref is written.
pub(super) fn fetch_specs(repository: &Repository, url: &Url, specs: &[&str]) -> Result<(), SourceError> {
    download(&mut anonymous(repository, url)?, repository, url, specs)
}

pub(super) fn anonymous<'r>(repository: &'r Repository, url: &Url) -> Result<Remote<'r>, SourceError> {
    let remote = repository.remote_anonymous(url.expose()).map_err(|error| unreachable(url, &error))?;
    // As git's config rewrites it.
    let addresses = [Some(remote.url_bytes()), remote.pushurl_bytes()];
    if addresses.into_iter().flatten().any(takes_certificates) {
        trust_certificates();
    }
    Ok(remote)
}

/// Whether a server may have to show a certificate: neither ssh nor this machine's files know any.
fn takes_certificates(address: &[u8]) -> bool {
    let Some(end) = address.windows(3).position(|three| three == b"://") else { return false };
    let without: [&[u8]; 5] = [b"ssh", b"ssh+git", b"git+ssh", b"git", b"file"];
    !without.iter().any(|scheme| address[..end].eq_ignore_ascii_case(scheme))
}

pub(super) fn download(
    remote: &mut Remote<'_>,
    repository: &Repository,
    url: &Url,
    specs: &[&str],
) -> Result<(), SourceError> {
    let mut options = FetchOptions::new();
    options
        .remote_callbacks(callbacks(repository, url))
        .proxy_options(proxy())
        .download_tags(AutotagOption::None)
        .update_fetchhead(false);
    remote.download(specs, Some(&mut options)).map_err(|error| taking_in(url, &error))
}

/// What an origin gave, or was to give, could not be taken in.
fn taking_in(url: &Url, error: &git2::Error) -> SourceError {
    match error.class() {
        // The disk is full, or the mirror is damaged: no fault of the origin.
        ErrorClass::Os | ErrorClass::Filesystem | ErrorClass::Odb | ErrorClass::Indexer => {
            SourceError::Read { what: format!("what {url} sent"), source: scrub(url, error) }
        }
        _ => unreachable(url, error),
    }
}

/// The directory of an origin on this machine.
pub(super) fn directory(url: &Url) -> Option<&Utf8Path> {
    let text = url.expose();
    let path = Utf8Path::new(text.strip_prefix("file://").unwrap_or(text));
    // `host:path` is ssh's; an escaped path is read by libgit2 alone.
    (path.is_absolute() && !text.contains('%')).then_some(path)
}

pub(super) fn proxy() -> ProxyOptions<'static> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

/// Credentials come from the URL itself (libgit2 takes those) or from git's credential helpers.
pub(super) fn callbacks<'r>(repository: &'r Repository, url: &Url) -> RemoteCallbacks<'r> {
    let mut callbacks = RemoteCallbacks::new();
    let attempts = Cell::new(0);
    let shown = url.to_string();
    callbacks.credentials(move |asked, user, allowed| {
        attempts.set(attempts.get() + 1);
        if attempts.get() > ATTEMPTS || !allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            return Err(git2::Error::from_str(&format!(
                "{shown} refused the credentials that git's helpers have for it"
            )));
        }
        Cred::credential_helper(&repository.config()?, asked, user).map_err(|_| {
            git2::Error::from_str(&format!(
                "{shown} asks for credentials; its own, if it has any, were refused, and git's helpers have none"
            ))
        })
    });
    callbacks
}

/// An origin that did not answer, or refused.
pub(super) fn unreachable(url: &Url, error: &git2::Error) -> SourceError {
    SourceError::Unreachable { url: url.to_string(), source: scrub(url, error) }
}

/// The same error without secrets.
pub(super) fn scrub(url: &Url, error: &git2::Error) -> git2::Error {
    git2::Error::new(error.code(), error.class(), scrub_text(url, error.message()))
}

/// The text without the URL's password or token, and without what stands between `://` and `@` in any URL.
fn scrub_text(url: &Url, text: &str) -> String {
    let mut text = text.replace(url.expose(), &url.to_string());
    if let Some((scheme, rest)) = url.expose().split_once("://") {
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if let Some((user, _)) = authority.rsplit_once('@') {
            let secret = match user.split_once(':') {
                Some((_, password)) => password,
                None if scheme == "ssh" => "",
                None => user,
            };
            for form in [secret.to_owned(), percent_decoded(secret)] {
                if !form.is_empty() {
                    text = text.replace(&form, "***");
                }
            }
        }
    }
    let mut masked = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#'\"".contains(c)).unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                masked.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    masked + rest
}

pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let decoded = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_for_servers_that_show_one() {
        for address in ["https://h/x", "HTTPS://h/x", "http://h/x", "odd://h/x"] {
            assert!(takes_certificates(address.as_bytes()), "{address}");
        }
        for address in
            ["/srv/x", "./x", "file:///srv/x", "git@h:x", "ssh://git@h/x", "git+ssh://h/x", "git://h/x"]
        {
            assert!(!takes_certificates(address.as_bytes()), "{address}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        for (url, said, shown) in [
            (
                "https://bob:hunter2@example.org/x.git",
                "cannot resolve https://bob:hunter2@example.org/x.git/info/refs",
                "cannot resolve https://***@example.org/x.git/info/refs",
            ),
            ("https://bob:hunter2@example.org/x", "bob:hunter2 was refused", "bob:*** was refused"),
            ("https://bob:p%40ss@example.org/x", "tried p@ss and p%40ss", "tried *** and ***"),
            ("https://token@example.org/x", "bad token", "bad ***"),
            (
                "https://example.org/x",
                "moved to https://u:p@other.org/y?",
                "moved to https://***@other.org/y?",
            ),
            ("ssh://git@example.org/x", "git said no", "git said no"),
            ("https://example.org/a%2", "https://example.org/a%2 a@b", "https://example.org/a%2 a@b"),
        ] {
            assert_eq!(scrub_text(&Url::new(url), said), shown, "{url}");
        }
    }
}
