//! Doing nothing costs nothing: what the whole program calls below a root when there is nothing to apply, and
//! when it only looks. Counted under strace; without it these tests say so and check nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Calls that change a file, a name, a time or an attribute, or make a disk work.
const CHANGES: &str = "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,truncate,ftruncate,fallocate,\
    ?rename,renameat,renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat,?mknod,mknodat,\
    ?chmod,fchmod,fchmodat,?chown,fchown,fchownat,?lchown,setxattr,lsetxattr,fsetxattr,removexattr,lremovexattr,\
    fremovexattr,utimensat,?utime,?utimes,?futimesat,fsync,fdatasync,syncfs,sync,?open,openat,openat2,?creat";

struct Demo {
    top: tempfile::TempDir,
}

impl Demo {
    /// The demo of the repository, applied; `None` without strace.
    fn applied() -> Option<Self> {
        if Command::new("strace").arg("-V").output().is_err() {
            eprintln!("idle: strace is not installed: nothing is checked");
            return None;
        }
        let demo = Self { top: tempfile::tempdir().expect("a temporary directory") };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["fleet.toml", "overlays", "examples"] {
            let copied = Command::new("cp").arg("-r").arg(repository.join(name)).arg(demo.path()).status();
            assert!(copied.expect("cp runs").success());
        }
        let applied = demo.packfleet(Command::new(env!("CARGO_BIN_EXE_packfleet")), &["apply", "--yes"]);
        assert!(applied.contains("applied"), "{applied}");
        Some(demo)
    }

    fn path(&self) -> PathBuf {
        self.top.path().canonicalize().expect("a real path")
    }

    fn packfleet(&self, mut command: Command, words: &[&str]) -> String {
        let output = command
            .args(words)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env_remove("PACKFLEET_FILE")
            .output()
            .expect("it runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Traced calls that would change something below the roots.
    fn changes(&self, words: &[&str]) -> Vec<String> {
        let log = self.path().join("calls");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-y", "-s", "200", "-o"]).arg(&log);
        strace.args(["-e", &format!("trace={CHANGES}"), env!("CARGO_BIN_EXE_packfleet")]);
        let printed = self.packfleet(strace, words);
        assert!(!printed.is_empty(), "{words:?} printed nothing");
        let calls = fs::read_to_string(&log).expect("a log");
        assert!(calls.contains("write("), "nothing was traced:\n{calls}");
        let roots = self.path().join("target/demo");
        let roots = roots.to_str().expect("UTF-8");
        // Opened to be read; and what is printed may speak of a root.
        let harmless = |call: &str| {
            let changes = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| call.contains(flag));
            (call.contains("open") && !changes) || call.contains("write(1<") || call.contains("write(2<")
        };
        calls.lines().filter(|call| call.contains(roots) && !harmless(call)).map(str::to_owned).collect()
    }
}

#[test]
fn a_second_apply_writes_nothing_below_a_root() {
    let Some(demo) = Demo::applied() else { return };
    assert_eq!(demo.changes(&["apply", "--yes"]), Vec::<String>::new());
}

#[test]
fn where_no_server_is_asked_no_certificate_is_read() {
    let Some(demo) = Demo::applied() else { return };
    let certificates = demo.path().join("certificates.pem");
    fs::write(&certificates, "").expect("a file");
    let log = demo.path().join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=?open,openat", "-o"]).arg(&log);
    strace.arg("-E").arg(format!("SSL_CERT_FILE={}", certificates.display()));
    strace.arg(env!("CARGO_BIN_EXE_packfleet"));
    demo.packfleet(strace, &["apply", "--yes"]);
    let calls = fs::read_to_string(&log).expect("a log");
    assert!(calls.contains("fleet.toml"), "nothing was traced:\n{calls}");
    let reads = calls.lines().filter(|call| call.contains("certificates.pem") || call.contains(".crt\""));
    assert_eq!(reads.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn who_only_looks_writes_nothing_below_a_root() {
    let Some(demo) = Demo::applied() else { return };
    let root = demo.path().join("target/demo/prod");
    fs::write(root.join("core/prompts/tone.md"), "Loud.\n").expect("an edit");
    fs::remove_file(root.join("core/README.md")).expect("a deletion");
    for words in [
        &["plan", "--diff", "--unmanaged", "--full-rehash"][..],
        &["status"],
        &["diff", "prod"],
        &["why", "prod"],
        &["history", "prod"],
        &["record", "prod"],
        &["plan", "-o", "json"],
    ] {
        assert_eq!(demo.changes(words), Vec::<String>::new(), "{words:?}");
    }
    // The same eyes see an apply that has something to do.
    assert!(!demo.changes(&["apply", "--yes"]).is_empty());
}
