//! Sources of packs: what all of them promise, git in particular, and packs that mean harm; and stores of statuses.

#[path = "source/contract.rs"]
mod contract;
#[path = "source/git.rs"]
mod git;
#[path = "source/history.rs"]
mod history;
#[path = "source/hostile_packs.rs"]
mod hostile_packs;
#[path = "source/http.rs"]
mod http;
#[path = "source/repository.rs"]
mod repository;
#[path = "host/sshd.rs"]
mod sshd;
#[path = "source/status.rs"]
mod status;

use camino::Utf8PathBuf;
use packfleet::model::TreePath;
use packfleet::model::fleet::Limits;
use packfleet::source::TreeRules;

/// A temporary directory, and its path free of links.
fn temp() -> (tempfile::TempDir, Utf8PathBuf) {
    let temp = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
    (temp, path)
}

fn rules() -> TreeRules {
    TreeRules { limits: Limits::default(), distinct: false }
}

/// A directory in a source; `.` is all of it.
fn dir(path: &str) -> Option<TreePath> {
    (path != ".").then(|| TreePath::new(path).unwrap())
}
