//! A fleet in a directory of its own, and packfleet over it: as a person starts it, with no more memory than may be.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use camino::Utf8Path;

use crate::repository::Origin;

/// kB of memory that packfleet may have for itself, whatever it reads.
const MOST: u32 = 256 << 10;

pub struct World {
    _place: tempfile::TempDir,
    at: PathBuf,
}

/// What packfleet said, and how it ended.
pub struct Said {
    pub code: i32,
    /// Both streams.
    pub all: String,
}

/// Everything below a directory, by path: the mode, and the bytes or the text of a link.
pub type Tree = BTreeMap<String, (u32, Vec<u8>)>;

impl World {
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let at = place.path().canonicalize().expect("a real path");
        Self { _place: place, at }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, bytes).expect("a file");
    }

    pub fn origin(&self, name: &str) -> Origin {
        Origin::new(Utf8Path::from_path(&self.path(name)).expect("UTF-8"))
    }

    /// Runs packfleet. Whatever it says, nothing in it drives a terminal.
    pub fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, &[])
    }

    pub fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -d {MOST}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_packfleet")])
            .args(words)
            .current_dir(&self.at)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.at)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("sh");
        let all = [output.stderr, output.stdout].concat();
        let all = String::from_utf8(all).expect("UTF-8");
        let drives = all.chars().find(|c| c.is_control() && *c != '\n');
        assert!(drives.is_none(), "{words:?}: {drives:?} in {all}");
        Said { code: output.status.code().expect("no signal"), all }
    }

    /// Runs packfleet, which must end so.
    pub fn ends(&self, code: i32, words: &[&str]) -> Said {
        let said = self.run(words);
        assert_eq!(said.code, code, "{words:?}: {}", said.all);
        said
    }

    pub fn tree(&self, name: &str) -> Tree {
        let mut tree = Tree::new();
        gather(&self.path(name), &self.path(name), &mut tree);
        tree
    }
}

fn gather(top: &Path, at: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(at).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.strip_prefix(top).expect("below").to_str().expect("UTF-8").to_owned();
        let meta = path.symlink_metadata().expect("metadata");
        let bytes = if meta.is_symlink() {
            fs::read_link(&path).expect("a link").into_os_string().into_string().expect("UTF-8").into_bytes()
        } else if meta.is_file() {
            fs::read(&path).expect("bytes")
        } else {
            if meta.is_dir() {
                gather(top, &path, tree);
            }
            Vec::new()
        };
        tree.insert(name, (meta.permissions().mode(), bytes));
    }
}

/// What a report says of each deployment: its part begins with the name at the begin of a line, or with several that are
/// alike, as in `d1, 2`.
pub fn parts(report: &str) -> BTreeMap<String, String> {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    let mut names = Vec::new();
    for line in report.lines() {
        if !line.is_empty() && !line.starts_with(' ') {
            let all = line.split("  ").next().unwrap_or_default();
            let family = all.trim_end_matches(|c: char| c.is_ascii_digit() || ", ".contains(c));
            names = all
                .split(", ")
                .map(
                    |name| if name.starts_with(family) { name.to_owned() } else { format!("{family}{name}") },
                )
                .collect();
        }
        for name in &names {
            let part = parts.entry(name.clone()).or_default();
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}
