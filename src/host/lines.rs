//! The history's and the sync log's line, each written exactly once.
//!
//! A line is one write at the end of the file. Whether it is there already is looked up in the file; what
//! is left of a torn one is cut off first. As long as a generation holds the mark `unlogged`, its lines
//! may be missing; the next apply writes them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::HistoryLine;
use super::beneath::Dir;
use super::journal::{Manifest, slot};
use super::live::Live;
use super::state::{name, read};

/// How far back a line is looked for.
const REACH: u64 = 64 << 10;

/// Writes both lines if they are missing and takes the mark away.
pub fn write(live: &mut Live<'_>, state: &Dir, slots: &Dir, manifest: &Manifest) -> io::Result<()> {
    if slots.stat(slot::UNLOGGED)?.is_none() {
        return Ok(());
    }
    let first = state.stat(name::HISTORY)?.is_none();
    once(&mut state.open_or_create(name::HISTORY)?, &manifest.history)?;
    if first {
        // The mark must not go before the file's name is durable.
        state.sync()?;
    }
    if let Some((path, line)) = &manifest.log {
        let dir = live.parent(path)?;
        match slots.move_to(slot::LOG, &dir, path.file_name()) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
            moved => {
                moved?;
                dir.sync()?;
            }
        }
        once(&mut dir.append(path.file_name())?, line)?;
    }
    slots.unlink(slot::UNLOGGED)
}

/// The lines of the history, the oldest first. One that cannot be read is left out: a torn line is the last one's,
/// and the next apply writes it anew.
pub fn history(state: &Dir) -> io::Result<Vec<HistoryLine>> {
    let bytes = read(state, name::HISTORY)?.unwrap_or_default();
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Adds a line to a file of the state directory, durably.
pub fn add(state: &Dir, name: &str, line: &str) -> io::Result<()> {
    once(&mut state.open_or_create(name)?, line)?;
    state.sync()
}

/// Adds a line unless it is among the last ones.
fn once(file: &mut File, line: &str) -> io::Result<()> {
    let size = file.seek(SeekFrom::End(0))?;
    let from = size.saturating_sub(REACH);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(REACH).read_to_end(&mut tail)?;
    let line = line.as_bytes();
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = tail.split_at(whole);
    if lines.split(|byte| *byte == b'\n').any(|known| known == line) {
        return Ok(());
    }
    let mut text = Vec::with_capacity(line.len() + 2);
    // What is missing of a torn line is added. Cutting the file would take along what somebody wrote since.
    let there = if line.starts_with(torn) { torn.len() } else { 0 };
    if there == 0 && !torn.is_empty() {
        // Somebody's last line without an end.
        text.push(b'\n');
    }
    text.extend_from_slice(&line[there..]);
    text.push(b'\n');
    file.seek(SeekFrom::End(0))?;
    file.write_all(&text)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_there_once_however_often_it_was_torn() {
        for (before, after) in [
            ("", "new line\n"),
            ("old\n", "old\nnew line\n"),
            ("old\nnew", "old\nnew line\n"),
            ("old\nnew line", "old\nnew line\n"),
            ("new line\n", "new line\n"),
            ("new line\nlater\n", "new line\nlater\n"),
            ("theirs", "theirs\nnew line\n"),
            ("not a new line\n", "not a new line\nnew line\n"),
        ] {
            let tree = tempfile::tempdir().unwrap();
            let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
            std::fs::write(tree.path().join("log"), before).unwrap();
            for _ in 0..2 {
                once(&mut dir.append("log").unwrap(), "new line").unwrap();
                assert_eq!(std::fs::read_to_string(tree.path().join("log")).unwrap(), after, "{before:?}");
            }
        }
    }

    #[test]
    fn a_long_log_is_not_read_whole() {
        let tree = tempfile::tempdir().unwrap();
        let dir = Dir::root(tree.path().to_str().unwrap()).unwrap();
        let long = "x".repeat(99) + "\n";
        std::fs::write(tree.path().join("log"), long.repeat(2000) + "new").unwrap();
        once(&mut dir.append("log").unwrap(), "new line").unwrap();
        let text = std::fs::read_to_string(tree.path().join("log")).unwrap();
        assert_eq!(text, long.repeat(2000) + "new line\n");
    }
}
