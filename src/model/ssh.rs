//! Where ssh leads: a user, a host or an alias of the user's ssh config, a port.
//!
//! None of them begins with `-`, so that none can read as an option. What follows them on a command line is a
//! command for a remote shell: [`quoted`] makes one word of a text there.

use std::fmt;

/// Options of every ssh that is started, each behind `-o`: it asks nothing, notices a host that is gone, and runs and
/// forwards nothing but what it is given, whatever the user's config says.
pub const OPTIONS: [&str; 8] = [
    "BatchMode=yes",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "RemoteCommand=none",
    "PermitLocalCommand=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
];

/// What is said of a host whose key is another one than ssh knows, as [`is_another_key`] finds it.
pub const ANOTHER_KEY: &str = "its host key is not the one that ssh knows";

/// Whether ssh said that a host's key is another one than it knows. The last line of what it says does not tell that
/// from a key that it does not know at all.
pub fn is_another_key(said: &str) -> bool {
    said.contains("HOST IDENTIFICATION HAS CHANGED")
}

/// Where ssh leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// As whom an agent runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// As the user who logs in.
    #[default]
    Login,
    /// As root, through sudo.
    Sudo,
}

/// No destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// A part is missing.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// A part would read as an option.
    #[error("the {0} begins with `-`: it would read as an option")]
    Option(&'static str),
    /// A character that no part has.
    #[error("the {0} has a character that it may not have")]
    Character(&'static str),
    /// A password: on a command line everybody on this machine could read it.
    #[error("a password stands behind the user, and ssh takes none from there")]
    Password,
    /// No port.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl Destination {
    /// `user@host:port`, where all but the host may be absent; an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, text),
        };
        let (host, port) = match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(DestinationError::Port)?)),
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port = match port {
            None | Some("") => None,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err(DestinationError::Port),
            },
        };
        let user = user.map(|user| part("user", user)).transpose()?;
        if user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(DestinationError::Password);
        }
        Ok(Self { user, host: part("host", host)?, port })
    }

    /// The last arguments of a command line of ssh, up to the host; a remote command may follow.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(user) = &self.user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["--".to_owned(), self.host.clone()]);
        arguments
    }
}

fn part(what: &'static str, text: &str) -> Result<String, DestinationError> {
    if text.is_empty() {
        return Err(DestinationError::Empty(what));
    }
    if text.starts_with('-') {
        return Err(DestinationError::Option(what));
    }
    let odd = |c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '%' | ':' | '+' | '\\' | '@'));
    if text.contains(odd) {
        return Err(DestinationError::Character(what));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => f.write_str(&self.host),
        }
    }
}

/// One word for a remote POSIX shell, whatever is in it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_become_arguments() {
        for (text, arguments) in [
            ("prod", Some(vec!["--", "prod"])),
            ("bob@prod", Some(vec!["-l", "bob", "--", "prod"])),
            ("bob@prod:22", Some(vec!["-l", "bob", "-p", "22", "--", "prod"])),
            ("[::1]:2222", Some(vec!["-p", "2222", "--", "::1"])),
            ("[fe80::1%eth0]", Some(vec!["--", "fe80::1%eth0"])),
            ("a@b@c", Some(vec!["-l", "a@b", "--", "c"])),
            ("prod:", Some(vec!["--", "prod"])),
            ("", None),
            ("@prod", None),
            ("-oProxyCommand=x", None),
            ("-l@prod", None),
            ("bob@-x", None),
            ("a b", None),
            ("$(x)", None),
            ("x\ny", None),
            ("bob:hunter2@prod", None),
            ("bob:@prod:22", None),
            ("prod:0", None),
            ("prod:70000", None),
            ("[::1]22", None),
        ] {
            let found = Destination::parse(text).ok().map(|found| found.arguments());
            assert_eq!(found, arguments.map(|all| all.iter().map(ToString::to_string).collect()), "{text:?}");
        }
    }

    #[test]
    fn a_destination_prints_as_it_is_written() {
        for text in ["prod", "bob@prod", "bob@prod:2222", "[::1]:22"] {
            assert_eq!(Destination::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_quoted_text_is_one_word() {
        assert_eq!(quoted("it's $HOME; `x`"), "'it'\\''s $HOME; `x`'");
    }
}
