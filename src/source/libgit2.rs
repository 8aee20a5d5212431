//! Settings of libgit2 that hold for the whole process: the one module with `unsafe`.
//!
//! libgit2 keeps them in plain globals that it reads when a connection or a repository is opened, and its
//! setters take no lock. They are therefore set once, before the first repository of this process is
//! opened, and never changed again.

use std::sync::OnceLock;

/// Milliseconds to wait for a server to accept a connection.
const CONNECT_TIMEOUT: i32 = 20_000;
/// Milliseconds to wait for a server's next byte. libgit2 would wait for ever.
const SERVER_TIMEOUT: i32 = 60_000;

/// Makes the settings, the first time. Every way to a repository goes through here.
pub(super) fn settle() {
    static SETTLED: OnceLock<()> = OnceLock::new();
    SETTLED.get_or_init(set);
}

#[expect(unsafe_code, reason = "git2 marks setters of libgit2's globals as unsafe")]
fn set() {
    // A safe setter, which initialises libgit2.
    git2::opts::strict_object_creation(true);
    // SAFETY: each writes one integer. `settle` runs this once, before any repository or connection of this
    // process exists that could read it at the same time, and nothing else in the crate sets options.
    let results = unsafe {
        [
            git2::opts::set_server_connect_timeout_in_milliseconds(CONNECT_TIMEOUT),
            git2::opts::set_server_timeout_in_milliseconds(SERVER_TIMEOUT),
            // Mirrors are our own, and origins are named in the fleet file: whoever owns a repository on
            // disk, no config or hook of it is obeyed. Root reads repositories of others.
            git2::opts::set_verify_owner_validation(false),
        ]
    };
    for result in results {
        if let Err(error) = result {
            tracing::warn!(%error, "libgit2 refused a setting");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[expect(unsafe_code, reason = "git2 marks getters of libgit2's globals as unsafe")]
    fn timeouts_are_set() {
        super::settle();
        super::settle();
        // SAFETY: reads one integer that is not written any more.
        let timeout = unsafe { git2::opts::get_server_timeout_in_milliseconds() };
        assert_eq!(timeout.unwrap(), super::SERVER_TIMEOUT);
    }
}
