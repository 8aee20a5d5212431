//! `init`: a fleet to start from. It validates and applies as it is, and its comments say what to change.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::args::Init;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::printer::{Printer, word};

/// The fleet file that a newcomer begins with.
pub const FLEET_FILE: &str = r#"# A packfleet fleet: which deployment holds which packs. Paths are relative to this file.
# `packfleet validate` checks it, `packfleet schema` lists every key, `packfleet plan` shows what it would do.

[fleet]
name = "my-fleet"

# Where packs come from: a git repository …
#
#     [sources.team]
#     url = "https://example.org/packs.git"     # or file://…, or a path to a repository
#
# … or a plain directory, while a pack is being written:
[sources.here]
path = "packs"

# A pack is a directory of a source that is installed as a unit.
[packs.hello]
source = "here"
dir = "hello"
target = "hello"                    # where it goes, under a deployment's root
host_owns = ["*.log"]               # the host's own files: never read, written or removed

# A deployment is one place that holds packs.
[deployments.this-machine]
host = "local"
root = "live"                       # absolute, or relative to this file
packs.hello = { version = "*" }     # from git: version = "^1.2" matches tags like v1.2.3; or tag, branch, rev
"#;

const PACK_FILE: &str = "# Hello\n\nThis file is part of the pack `hello`. Change it here, and `packfleet plan` shows what that means.\n";

pub(super) fn run(args: &Init, printer: &mut Printer) -> Result<Exit, CliError> {
    let dir = args.dir.strip_prefix(".").unwrap_or(&args.dir);
    fs::create_dir_all(dir).map_err(failed("make the directory", dir))?;
    let fleet = dir.join("fleet.toml");
    match write_new(&fleet, FLEET_FILE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CliError::Usage {
                what: format!("{fleet} is there already, and is not overwritten"),
                hint: Some("`packfleet init DIR` begins a fleet in another directory".to_owned()),
            });
        }
        written => written.map_err(failed("write", &fleet))?,
    }
    let mut written = vec![fleet];
    let pack = dir.join("packs/hello");
    if !pack.exists() {
        fs::create_dir_all(&pack).map_err(failed("make the directory", &pack))?;
        let file = pack.join("hello.md");
        write_new(&file, PACK_FILE).map_err(failed("write", &file))?;
        written.push(file);
    }
    let ignored = dir.join(".gitignore");
    if !ignored.exists() {
        write_new(&ignored, "/live/\n").map_err(failed("write", &ignored))?;
        written.push(ignored);
    }
    for file in &written {
        printer.talk(format!("wrote {file}"));
    }
    let enter = if dir == "" { String::new() } else { format!("cd {} && ", word(dir.as_str())) };
    printer.talk(format!("next: {enter}packfleet plan"));
    Ok(Exit::Done)
}

fn failed(operation: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> CliError {
    let path: Utf8PathBuf = path.to_owned();
    move |source| CliError::File { operation, path, source }
}

/// Writes a file that is not there yet; what lies there, be it a dangling link, stays.
fn write_new(path: &Utf8Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
