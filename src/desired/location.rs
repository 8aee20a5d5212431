//! Where things are: URLs, hosts, and paths of the fleet repository.
//!
//! A location never begins with `-`, neither as a whole nor as the host of a URL: programs would take it for an
//! option. Relative paths are joined to the fleet file's directory and normalised as text, because libgit2
//! takes `name.git` without `./` for a URL. Deliberately absent: looking whether anything is there.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use super::problem::quoted;
use super::scalar::{Refused, refused};
use crate::model::ssh::Destination;

/// What a source's URL turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remote {
    /// What libgit2 fetches by itself: a URL, or an absolute path.
    Direct(String),
    /// A repository over ssh.
    Ssh,
}

/// What a deployment's host turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// This machine.
    Local,
    /// Another one.
    Ssh(Destination),
}

/// `path` beneath `directory` without `.` and `..`; an absolute path stands for itself.
pub(super) fn join(directory: &Utf8Path, path: &str) -> Utf8PathBuf {
    let mut joined = Utf8PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Utf8Component::ParentDir => {
                joined.pop();
            }
            Utf8Component::CurDir => {}
            other => joined.push(other),
        }
    }
    joined
}

/// A path in the fleet repository or elsewhere on this machine, made absolute.
pub(super) fn local_path(text: &str, directory: &Utf8Path) -> Result<Utf8PathBuf, Refused> {
    plain(text)?;
    if text.contains("://") {
        return Err(refused(format!("{} is a URL, not a path", quoted(text))));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(refused(format!("{}: `~` is not expanded", quoted(text))).hint("write the whole path"));
    }
    Ok(join(directory, text))
}

/// What git is to fetch from.
pub(super) fn remote(text: &str, directory: &Utf8Path) -> Result<Remote, Refused> {
    plain(text)?;
    if let Some((scheme, rest)) = text.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        match scheme.as_str() {
            "file" if rest.starts_with('/') => return Ok(Remote::Direct(text.into())),
            "file" => {
                return Err(refused(format!("{} names another machine, or a relative path", quoted(text)))
                    .hint("file:// takes an absolute path: \"file:///srv/packs.git\""));
            }
            "https" | "http" | "git" | "ssh" | "git+ssh" | "ssh+git" => {}
            _ => {
                return Err(refused(format!("git knows no scheme {}", quoted(&scheme)))
                    .hint("https://, file://, or a path"));
            }
        }
        authority(text, rest)?;
        if !scheme.contains("ssh") {
            return Ok(Remote::Direct(text.into()));
        }
        let place = &rest[..rest.find('/').unwrap_or(rest.len())];
        return no_password(text, place.rsplit_once('@')).map(|()| Remote::Ssh);
    }
    if text.contains("::") {
        return Err(refused(format!("{} would start a git remote helper", quoted(text))));
    }
    // `host:path`, as scp writes it; a path with a colon in its first component is written `./a:b`.
    let first = text.split('/').next().unwrap_or_default();
    if let Some((host, path)) = first.split_once(':') {
        if let Some((_, address)) = path.rsplit_once('@')
            && address.contains(':')
        {
            // Read as scp does, it would be a path of the host in front.
            return no_password(text, first.rsplit_once('@')).map(|()| Remote::Ssh);
        }
        if host.rsplit('@').next().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
            return Err(refused(format!("{} has no host", quoted(text))));
        }
        return Ok(Remote::Ssh);
    }
    local_path(text, directory).map(|path| Remote::Direct(path.into()))
}

/// How a deployment's host is reached.
pub(super) fn host(text: &str) -> Result<Host, Refused> {
    plain(text)?;
    if text == "local" {
        return Ok(Host::Local);
    }
    no_password(text, text.split_once("://").map_or(text, |(_, rest)| rest).rsplit_once('@'))?;
    if let Some((scheme, rest)) = text.split_once("://") {
        if scheme != "ssh" {
            return Err(refused(format!("no host is reached by {}", quoted(scheme)))
                .hint("\"local\", \"ssh://user@host:port\", or a Host of your ssh config"));
        }
        authority(text, rest)?;
        if rest.trim_end_matches('/').contains(['/', '?', '#']) {
            return Err(refused(format!("{} has a path: the directory is the `root`", quoted(text))));
        }
        return destination(rest.trim_end_matches('/'));
    }
    let name = text.rsplit('@').next().unwrap_or_default();
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '%'));
    if name.is_empty() || name.starts_with('-') || text.contains(odd) {
        return Err(refused(format!("{} is no host", quoted(text)))
            .hint("\"local\", \"ssh://user@host:port\", or a Host of your ssh config"));
    }
    destination(text)
}

fn destination(text: &str) -> Result<Host, Refused> {
    Destination::parse(text).map(Host::Ssh).map_err(|error| {
        refused(format!("{} is no host: {error}", quoted(text)))
            .hint("\"local\", \"ssh://user@host:port\", or a Host of your ssh config")
    })
}

/// ssh asks nobody, and whatever stands on its command line can be read by everybody on this machine.
fn no_password(text: &str, parted: Option<(&str, &str)>) -> Result<(), Refused> {
    match parted {
        Some((user, _)) if user.contains(':') => {
            Err(refused(format!("{} has a password, and ssh takes none from there", quoted(text)))
                .hint("log in with a key or an ssh agent, and write \"ssh://user@host:port\""))
        }
        _ => Ok(()),
    }
}

/// What no location may be: empty, an option, or with white space.
fn plain(text: &str) -> Result<(), Refused> {
    if text.starts_with('-') {
        return Err(refused(format!("{} begins with `-`: it would read as an option", quoted(text))));
    }
    if text.is_empty() || text.contains(char::is_control) || text.trim() != text {
        return Err(refused(format!("{} is empty, or has white space around it", quoted(text))));
    }
    Ok(())
}

/// Checks `user:password@host:port` after the scheme.
fn authority(text: &str, rest: &str) -> Result<(), Refused> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, address) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    if user.starts_with('-') || address.starts_with('-') {
        return Err(refused(format!("the host or user of {} begins with `-`", quoted(text))));
    }
    let (name, port) = match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':').or(port.is_empty().then_some(""))),
        None => address.split_once(':').map_or((address, Some("")), |(name, port)| (name, Some(port))),
    };
    let odd = |c: char| c.is_whitespace() || matches!(c, '@' | '"' | '\'' | '\\' | '[' | ']');
    let port = port.filter(|port| port.is_empty() || port.parse::<u16>().is_ok());
    if name.is_empty() || name.contains(odd) || port.is_none() {
        // Whatever stands there may be part of a password: it is not repeated.
        let refused = refused("the URL has no valid host and port");
        return Err(if tail.contains('@') {
            refused
                .hint("in a user name or password, write `/` as %2F, `?` as %3F, `#` as %23 and `@` as %40")
        } else {
            refused
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let direct = |text: &str| Some(Remote::Direct(text.into()));
        for (text, expected) in [
            ("https://example.org/x.git", direct("https://example.org/x.git")),
            ("https://u:p@example.org:8443/x.git", direct("https://u:p@example.org:8443/x.git")),
            ("https://[::1]:80/x", direct("https://[::1]:80/x")),
            ("file:///srv/x.git", direct("file:///srv/x.git")),
            ("/srv/./x.git", direct("/srv/x.git")),
            ("../x.git", direct("/a/x.git")),
            ("./x", direct("/a/b/x")),
            ("x.git", direct("/a/b/x.git")),
            ("x/y:z", direct("/a/b/x/y:z")),
            ("../../../../x", direct("/x")),
            ("git@example.org:x.git", Some(Remote::Ssh)),
            ("example.org:x", Some(Remote::Ssh)),
            ("ssh://git@example.org:22/x", Some(Remote::Ssh)),
            ("ssh://git@example.org/x:y@z", Some(Remote::Ssh)),
            ("example.org:x@y", Some(Remote::Ssh)),
            ("ssh://git:hunter2@example.org/x", None),
            ("git+ssh://git:@example.org/x", None),
            ("git:hunter2@example.org:x", None),
            ("file://host/x", None),
            ("file://x", None),
            ("-x", None),
            ("--upload-pack=x", None),
            ("ssh://-oProxyCommand=x/y", None),
            ("ssh://a@-o/y", None),
            ("ssh://-o@a/y", None),
            ("git@-oProxyCommand=x:y", None),
            ("-oProxyCommand=x:y", None),
            (":x", None),
            ("ext::sh -c x", None),
            ("ftp://example.org/x", None),
            ("https:///x", None),
            ("https://example.org:port/x", None),
            ("https://bob:hun/ter2@example.org/x", None),
            ("~/x", None),
            (" x", None),
            ("", None),
            ("x\ny", None),
        ] {
            assert_eq!(remote(text, Utf8Path::new("/a/b")).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn hosts() {
        let ssh = |text: &str| Some(Host::Ssh(Destination::parse(text).unwrap()));
        for (text, expected) in [
            ("local", Some(Host::Local)),
            ("prod-01", ssh("prod-01")),
            ("bob@prod-01", ssh("bob@prod-01")),
            ("ssh://bob@prod-01:2222", ssh("bob@prod-01:2222")),
            ("ssh://[::1]:22", ssh("[::1]:22")),
            ("ssh://prod-01/opt", None),
            ("ssh://bob:hunter2@prod-01:22", None),
            ("bob:hunter2@prod-01", None),
            ("bob:hunter2@prod-01:22", None),
            ("http://prod-01", None),
            ("-oProxyCommand=x", None),
            ("bob@-oProxyCommand=x", None),
            ("ssh://-oProxyCommand=x", None),
            ("ssh://bob@-x", None),
            ("ssh://prod-01:99999", None),
            ("a b", None),
            ("a;b", None),
            ("$(x)", None),
            ("edge-{}", None),
            ("", None),
        ] {
            assert_eq!(host(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_password_is_in_no_refusal() {
        for text in [
            "https://bob:hunter2@-x/",
            "https://bob:hunter2@x:y/",
            "ftp://bob:hunter2@x/",
            "https://bob:hunter2/x@y/",
        ] {
            let refused = remote(text, Utf8Path::new("/")).unwrap_err();
            assert!(!refused.why.contains("hunter2"), "{}", refused.why);
        }
        for text in ["ssh://bob:hunter2@x", "bob:hunter2@x", "ssh://bob:hun@ter2@x:22"] {
            let refused = host(text).unwrap_err();
            assert!(
                refused.why.contains("has a password") && !refused.why.contains("ter2"),
                "{}",
                refused.why
            );
        }
    }
}
