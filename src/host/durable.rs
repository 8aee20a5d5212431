//! Making a stage durable: few files one by one, many by one call for the file system, where there is one.

use std::fs::File;
use std::io;

use super::beneath::{Dir, Node, Whole};

/// Up to this many files are synced one by one; above, the file system is synced once. Each sync is a flush of the disk
/// of its own; one for the file system is one flush, but waits for what others wrote as well.
pub const SYNC_EACH: usize = 32;

/// Files that were written and are to be made durable.
#[derive(Debug, Default)]
pub struct Unsynced {
    files: Vec<File>,
    many: bool,
}

impl Unsynced {
    /// Remembers one.
    pub fn add(&mut self, file: File) {
        if self.files.len() < SYNC_EACH {
            self.files.push(file);
        } else {
            self.many = true;
        }
    }

    /// Remembers that there are many that are closed already.
    pub fn add_many(&mut self) {
        self.many = true;
    }

    /// Makes them durable, and the names of all that is in the stage. A failed sync is final: one that
    /// follows on the same file would say that all is well.
    pub fn sync(&self, stage: &Dir, state: &Dir) -> io::Result<()> {
        if self.many {
            return match stage.sync_file_system()? {
                Whole::Synced => Ok(()),
                Whole::Unable => sync_tree(stage).and_then(|()| state.sync()),
            };
        }
        for file in &self.files {
            file.sync_all()?;
        }
        stage.sync()?;
        state.sync()
    }
}

/// Makes a directory of packfleet's own durable with all that it holds.
fn sync_tree(dir: &Dir) -> io::Result<()> {
    for (name, node) in dir.names()? {
        match node {
            Node::Directory => sync_tree(&dir.dir(name.as_slice())?)?,
            Node::File => dir.open(name.as_slice())?.sync_all()?,
            Node::Link | Node::Special(_) => {}
        }
    }
    dir.sync()
}
