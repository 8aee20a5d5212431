//! A private copy of a text, for a person's editor.
//!
//! The copy lies in a directory of its own that nobody else can enter. It stays until it is removed
//! explicitly, so that no work is lost when something fails later.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::process::{self, Command};

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::error::CliError;
use crate::cli::printer::{shown, word};

/// The copy.
pub(super) struct Draft {
    directory: Utf8PathBuf,
    file: Utf8PathBuf,
}

impl Draft {
    /// Writes the text to a new file of that name.
    pub(super) fn write(below: &Utf8Path, name: &str, text: &[u8]) -> Result<Self, CliError> {
        let failed =
            |path: &Utf8Path, source| CliError::File { operation: "write", path: path.to_owned(), source };
        let directory = private_directory(below).map_err(|error| failed(below, error))?;
        let file = directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options
            .open(&file)
            .and_then(|mut open| open.write_all(text))
            .map_err(|error| failed(&file, error))?;
        Ok(Self { directory, file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.file
    }

    /// Runs an editor, as git does: its command may have arguments. Gives the text afterwards.
    pub(super) fn edited_with(&self, editor: &str) -> Result<Vec<u8>, CliError> {
        let failed = |why: String| CliError::Editor {
            editor: shown(editor),
            why,
            hint: format!("the text is {}", word(self.file.as_str())),
        };
        let status = Command::new("sh")
            .args(["-c", &format!("{editor} \"$@\""), editor, self.file.as_str()])
            .status()
            .map_err(|error| failed(format!("could not be started: {error}")))?;
        if !status.success() {
            return Err(failed(format!("ended with {status}: nothing was decided")));
        }
        fs::read(&self.file).map_err(|error| failed(format!("left no text to read: {error}")))
    }

    /// Takes it away. What an editor left beside it stays.
    pub(super) fn remove(self) {
        let _left = fs::remove_file(&self.file).and_then(|()| fs::remove_dir(&self.directory));
    }
}

/// A new directory that only this user can enter.
fn private_directory(below: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let mut number = 0;
    loop {
        let path = below.join(format!("packfleet-{}-{number}", process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok(path),
        }
    }
}
