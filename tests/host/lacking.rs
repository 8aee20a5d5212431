//! The same suites on a kernel that lacks something: every call of one name fails, as an old kernel, a filter
//! on system calls or another file system would have it.

use std::process::{Command, Stdio};

use packfleet::host::Support;

use crate::world::*;

const LACKING: &str = "PACKFLEET_TEST_LACKING";

/// Not a test by itself: what is lacking must be told, and nothing else.
#[test]
fn what_is_lacking_is_told() {
    let Ok(lacking) = std::env::var(LACKING) else { return };
    let disk = OnDisk::new();
    done(disk.host(), &files(&[("a", "x")]), "1");
    for (name, support) in disk.host().features().unwrap().each() {
        let expected = lacking.split(',').any(|lacking| lacking == name);
        assert_eq!(matches!(support, Support::Missing { .. }), expected, "{name}: {support:?}");
    }
}

fn suites(faults: &[(&str, &str)], lacking: &str) {
    let calls: Vec<&str> = faults.iter().map(|(call, _)| *call).collect();
    let mut arguments: Vec<String> =
        ["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"].map(str::to_owned).into();
    arguments.extend(["-e".to_owned(), format!("trace={}", calls.join(","))]);
    for (call, error) in faults {
        arguments.extend(["-e".to_owned(), format!("inject={call}:error={error}")]);
    }
    let strace = || {
        let mut command = Command::new("strace");
        command.args(&arguments).env(LACKING, lacking);
        command
    };
    let works = strace().arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: strace is not there or may not trace");
    }
    let output = strace()
        .arg(std::env::current_exe().unwrap())
        .args(["contract::", "glance::", "lacking::what_is_lacking_is_told", "--test-threads=2"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "without {lacking}:\n{text}");
    assert!(text.contains("what_is_lacking_is_told ... ok"), "{text}");
}

#[test]
fn without_openat2() {
    suites(&[("openat2", "ENOSYS")], "openat2");
}

#[test]
fn without_exchange_and_no_replace() {
    suites(&[("renameat2", "EINVAL")], "exchange,no-replace");
}

#[test]
fn without_mount_ids() {
    suites(&[("statx", "ENOSYS")], "mount-ids,syncfs");
}

#[test]
fn without_any_of_it() {
    let all = [("openat2", "EPERM"), ("renameat2", "ENOSYS"), ("statx", "ENOSYS"), ("syncfs", "ENOSYS")];
    suites(&all, "openat2,exchange,no-replace,mount-ids,syncfs");
}
