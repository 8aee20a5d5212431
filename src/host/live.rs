//! Live paths, reached beneath the root one directory at a time.
//!
//! Everything that the switch does to the tree goes through here. A path whose directory is not there,
//! or is reached only through a link or another mount, has nothing at it.

use std::io;
use std::rc::Rc;

use rustix::io::Errno;

use super::beneath::Dir;
use super::sight::{Looker, Sight};
use super::state::Ground;
use crate::model::TreePath;

/// The live tree of one root.
#[derive(Debug)]
pub struct Live<'a> {
    /// The root.
    pub ground: &'a Ground,
    /// Looks at entries.
    pub looker: Looker,
    last: Option<(String, Rc<Dir>)>,
}

impl<'a> Live<'a> {
    /// The live tree of a root.
    pub fn new(ground: &'a Ground) -> Self {
        Self { ground, looker: Looker::new(ground.mount), last: None }
    }

    /// The directory of a path. The last one is kept open: plans go directory by directory.
    pub fn parent(&mut self, path: &TreePath) -> io::Result<Rc<Dir>> {
        let at = path.as_str().rsplit_once('/').map_or(".", |(parent, _)| parent);
        if let Some((known, dir)) = &self.last
            && known == at
        {
            return Ok(Rc::clone(dir));
        }
        let dir = Rc::new(self.ground.root.dir(at)?);
        self.last = Some((at.to_owned(), Rc::clone(&dir)));
        Ok(dir)
    }

    /// Opens directories anew from here on: one was moved.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// What lies at a path, every byte read.
    pub fn look(&mut self, path: &TreePath) -> io::Result<Sight> {
        match self.parent(path) {
            Ok(dir) => self.looker.look(&dir, path.file_name()),
            Err(error) if out_of_reach(&error) => Ok(Sight::absent()),
            Err(error) => Err(error),
        }
    }
}

/// There is nothing at the path, or only by a way that is not taken.
pub fn out_of_reach(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV))
}
