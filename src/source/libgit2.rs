//! What is to be had of libgit2 by `unsafe` only: settings of the whole process, and headers of objects.
//!
//! libgit2 keeps the settings in plain globals that it reads when a connection or a repository is opened, and its
//! setters take no lock. They are therefore set once, before the first repository of this process is
//! opened, and never changed again. Headers are read here because git2's own way panics where damage made
//! one that names no kind of object.
//!
//! When libgit2 begins, it has OpenSSL read all certificates of the system, for longer than most passes take.
//! So it begins, where that can be done, while the environment says that there are none, and is told of them
//! when the first server is asked for anything.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::raw::c_int;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{fs, ptr};

use git2::{ObjectType, Oid, Repository};

use super::ssh::Ssh;

/// Milliseconds to wait for a server to accept a connection.
const CONNECT_TIMEOUT: i32 = 20_000;
/// Milliseconds to wait for a server's next byte. libgit2 would wait for ever.
const SERVER_TIMEOUT: i32 = 60_000;
/// Bytes of one window on a pack.
const WINDOW: usize = 16 << 20;
/// Bytes of all windows on packs.
const WINDOWS: usize = 32 << 20;

/// Where OpenSSL is told that a file holds all certificates.
const CERTIFICATES: &str = "SSL_CERT_FILE";

/// The variable as it was when libgit2 began without certificates; unset if it began with them.
static HIDDEN: OnceLock<Option<OsString>> = OnceLock::new();

/// Begins libgit2 without the system's certificates; the first server that is asked gets them. `certificates` is what
/// the environment says of them: `SSL_CERT_FILE`. Does nothing where this process has a second thread already, and
/// need not be called: what follows is only slower.
pub fn begin(certificates: Option<&OsStr>) {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1) {
        HIDDEN.get_or_init(|| begin_alone(certificates.map(OsStr::to_owned)));
    }
}

#[expect(unsafe_code, reason = "the environment must not be changed while another thread reads it")]
fn begin_alone(certificates: Option<OsString>) -> Option<OsString> {
    // SAFETY: this thread is the only one, and the only one that could start another; neither libgit2 nor OpenSSL
    // does when it begins. After these three lines the environment is what it was.
    unsafe { std::env::set_var(CERTIFICATES, "/dev/null") };
    libgit2_sys::init();
    match &certificates {
        // SAFETY: as above.
        Some(file) => unsafe { std::env::set_var(CERTIFICATES, file) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(CERTIFICATES) },
    }
    certificates
}

/// The file that OpenSSL would have read when libgit2 began.
#[expect(unsafe_code, reason = "OpenSSL's own default is a C string")]
fn hidden() -> Option<PathBuf> {
    let file = match HIDDEN.get()? {
        Some(file) => PathBuf::from(file),
        None => {
            // SAFETY: OpenSSL gives a constant string that ends.
            let file = unsafe { CStr::from_ptr(openssl_sys::X509_get_default_cert_file()) };
            PathBuf::from(OsStr::from_bytes(file.to_bytes()))
        }
    };
    file.exists().then_some(file)
}

/// Makes the settings, the first time. Every way to a repository goes through here.
pub(super) fn settle() {
    static SETTLED: OnceLock<()> = OnceLock::new();
    SETTLED.get_or_init(set);
}

/// Says which certificates count, the first time. Every way to a server goes through here.
///
/// They are the system's, where OpenSSL was built to look, and where `openssl_probe` finds them: a binary that brings
/// its own OpenSSL looks in a place that no system has.
pub(super) fn trust_certificates() {
    static TRUSTED: OnceLock<()> = OnceLock::new();
    TRUSTED.get_or_init(|| {
        settle();
        trust();
    });
}

#[expect(unsafe_code, reason = "git2 marks setters of libgit2's globals as unsafe")]
fn trust() {
    let (found, hidden) = (openssl_probe::probe(), hidden());
    let hidden = hidden.filter(|hidden| found.cert_file.as_ref() != Some(hidden));
    // SAFETY: `trust_certificates` runs this once, before any connection over TLS of this process exists, which could read
    // what it writes; those of other threads wait for it.
    let results = unsafe {
        [
            hidden.map(|file| git2::opts::set_ssl_cert_file(file)),
            found.cert_file.map(|file| git2::opts::set_ssl_cert_file(file)),
            found.cert_dir.map(|directory| git2::opts::set_ssl_cert_dir(directory)),
        ]
    };
    for error in results.into_iter().flatten().filter_map(Result::err) {
        tracing::warn!(%error, "the system's certificates cannot be read");
    }
}

#[expect(unsafe_code, reason = "git2 marks setters of libgit2's globals as unsafe")]
fn set() {
    // Before git2 does it: git2 tells OpenSSL first where all certificates are, which then parses every one of them,
    // for longer than a pass takes in which nothing goes over a network.
    libgit2_sys::init();
    // A safe setter, which initialises git2.
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
            // Packs are looked at through windows that do not grow with them.
            git2::opts::set_mwindow_size(WINDOW),
            git2::opts::set_mwindow_mapped_limit(WINDOWS),
        ]
    };
    // SAFETY: adds to a list that is read when a remote connects, which none of this process does before
    // `settle` has run; nothing else in the crate registers a transport. What is registered lives for ever.
    let ssh = ["ssh", "ssh+git", "git+ssh"].map(|scheme| unsafe {
        git2::transport::register(scheme, |remote| git2::transport::Transport::smart(remote, false, Ssh))
    });
    for result in results.into_iter().chain(ssh) {
        if let Err(error) = result {
            tracing::warn!(%error, "libgit2 refused a setting");
        }
    }
}

/// A repository's objects, of which only kind and size are asked, or bytes that the asker verifies.
#[derive(Debug)]
pub(super) struct Headers(*mut libgit2_sys::git_odb);

#[expect(unsafe_code, reason = "git2 panics on a header of no known kind")]
impl Headers {
    /// Of a bare repository.
    pub(super) fn of(repository: &Repository) -> Result<Self, git2::Error> {
        settle();
        let objects = repository.path().join("objects").into_os_string().into_encoded_bytes();
        let objects = CString::new(objects).map_err(|_| git2::Error::from_str("a path with a NUL"))?;
        let mut odb = ptr::null_mut();
        // SAFETY: libgit2 is initialised, the path is a C string that outlives the call, and the result is
        // owned by the new value alone, which frees it once.
        let code = unsafe { libgit2_sys::git_odb_open(&mut odb, objects.as_ptr()) };
        if code < 0 { Err(git2::Error::last_error(code)) } else { Ok(Self(odb)) }
    }

    /// Kind and size in bytes of an object, without its content; damage is an error.
    pub(super) fn read(&self, id: Oid) -> Result<(ObjectType, usize), git2::Error> {
        let mut raw = libgit2_sys::git_oid { id: [0; 20] };
        raw.id.copy_from_slice(id.as_bytes());
        let (mut size, mut kind): (usize, c_int) = (0, 0);
        // SAFETY: `self.0` is open until it is dropped, and the three pointers are to values on this stack.
        let code = unsafe { libgit2_sys::git_odb_read_header(&mut size, &mut kind, self.0, &raw) };
        if code < 0 {
            return Err(git2::Error::last_error(code));
        }
        let known = [ObjectType::Blob, ObjectType::Tree, ObjectType::Commit, ObjectType::Tag];
        match ObjectType::from_raw(kind).filter(|kind| known.contains(kind)) {
            Some(kind) => Ok((kind, size)),
            None => Err(git2::Error::from_str(&format!("object {id} is damaged: it is of no known kind"))),
        }
    }
}

#[expect(unsafe_code, reason = "git2 verifies all that it reads")]
impl Headers {
    /// Gives the bytes of a blob to `take`, which must verify them: git's own digest of them, which takes as long as
    /// reading them, is not looked at. `None` if they cannot be had this way; git2 says why.
    pub(super) fn unverified<T>(&self, id: Oid, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut raw = libgit2_sys::git_oid { id: [0; 20] };
        raw.id.copy_from_slice(id.as_bytes());
        // SAFETY: `self.0` is open until it is dropped; so are its stores, which it owns.
        let count = unsafe { libgit2_sys::git_odb_num_backends(self.0) };
        for position in 0..count {
            let mut store = ptr::null_mut();
            // SAFETY: as above; the pointer is to a value on this stack.
            if unsafe { libgit2_sys::git_odb_get_backend(&mut store, self.0, position) } < 0
                || store.is_null()
            {
                continue;
            }
            // SAFETY: libgit2 gave a store, whose functions do not change.
            let Some(read) = (unsafe { (*store).read }) else { continue };
            let (mut bytes, mut size, mut kind) = (ptr::null_mut(), 0, libgit2_sys::GIT_OBJECT_ANY);
            if read(&mut bytes, &mut size, &mut kind, store, &raw) < 0 || bytes.is_null() {
                continue;
            }
            // SAFETY: the store gave so many bytes, which are this function's until they are freed.
            let all = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), size) };
            let answer = (kind == libgit2_sys::GIT_OBJECT_BLOB).then(|| take(all));
            // SAFETY: they are of this store, and nothing borrows them any more.
            unsafe { libgit2_sys::git_odb_backend_data_free(store, bytes) };
            return answer;
        }
        None
    }
}

#[expect(unsafe_code, reason = "a pointer says nothing of threads")]
// SAFETY: libgit2's object databases may be used from any thread; this one is used from one at a time.
unsafe impl Send for Headers {}

#[expect(unsafe_code, reason = "what libgit2 allocated, it frees")]
impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: opened by `of`, and never freed elsewhere.
        unsafe { libgit2_sys::git_odb_free(self.0) }
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
