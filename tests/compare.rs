//! `benches/compare.sh` at its smallest scale: it builds, runs every row to its end, and leaves nothing behind.
//!
//! How long anything took is not looked at.

use std::path::Path;
use std::process::Command;

#[test]
fn every_row_of_the_comparison_runs() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut script = Command::new("bash");
    script.args(["benches/compare.sh", "--smoke"]).current_dir(repository).env("TMPDIR", place.path());
    let script = script.env("PACKFLEET", env!("CARGO_BIN_EXE_packfleet")).output().expect("bash runs");
    let (said, talk) = (String::from_utf8_lossy(&script.stdout), String::from_utf8_lossy(&script.stderr));
    assert!(script.status.success(), "{said}\n{talk}");
    for row in [
        "start-up",
        "W1, every byte",
        "W2 no change, stat cache",
        "W2 every byte",
        "W2 converge 10, durable",
        "W2 converge 50, durable",
        "W3, every byte",
        "W4 4 local roots, every byte",
        "growth: 200 files, no change",
        "growth: 200 files, converge 10",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with(&format!("| {row}"))),
            "no row {row}:\n{said}\n{talk}"
        );
    }
    let left: Vec<_> = std::fs::read_dir(place.path()).expect("it is still there").collect();
    assert!(left.is_empty(), "{left:?}");
}
