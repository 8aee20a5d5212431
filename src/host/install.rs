//! Agent binaries: which one a host needs, and how one gets its place there.
//!
//! ```text
//! controller   own file, or --agent-binary ─► digest, architecture ─► sent where it is missing
//! host         …/agents/new.PID ─► it runs, hashes its own file: the digest? ─► …/agents/DIGEST ─► serves
//! ```
//! An agent is named by the BLAKE3 digest of its file, so another build is another file, and a half-sent one is
//! never run under a digest's name. The newest few stay, so that controllers of different builds do not
//! replace each other's.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// This program's own file.
const OWN: &str = "/proc/self/exe";
/// Agents of other builds that stay beside the newest.
const KEPT: usize = 3;
/// An unfinished upload that is older is nobody's.
const STALE: Duration = Duration::from_secs(3600);

/// A program that can serve as an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its file.
    pub path: PathBuf,
    /// BLAKE3 of it.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    machine: Option<u16>,
}

impl Binary {
    /// Reads a file, and what machine it is for.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        let (mut size, mut machine) = (0u64, None);
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if size == 0 {
                machine = elf_machine(&buffer[..count]);
            }
            size += count as u64;
            hasher.update_rayon(&buffer[..count]);
        }
        Ok(Self { path: path.to_owned(), digest: hasher.finalize().to_hex().to_string(), size, machine })
    }

    /// What machine it is for, as `uname -m` has it.
    pub fn machine(&self) -> &'static str {
        match self.machine {
            Some(62) => "x86_64",
            Some(183) => "aarch64",
            Some(243) => "riscv64",
            Some(40) => "arm",
            Some(3) => "i686",
            Some(21) => "ppc64",
            Some(22) => "s390x",
            _ => "another machine",
        }
    }

    /// Whether it runs on what `uname -s` and `uname -m` call so.
    pub fn runs_on(&self, system: &str, machine: &str) -> bool {
        let known = match self.machine {
            Some(183) => matches!(machine, "aarch64" | "arm64"),
            Some(40) => machine.starts_with("arm"),
            Some(3) => matches!(machine, "i386" | "i486" | "i586" | "i686" | "x86_64"),
            Some(21) => machine.starts_with("ppc64"),
            _ => machine == self.machine(),
        };
        system == "Linux" && known
    }
}

/// `e_machine` of an ELF file.
fn elf_machine(head: &[u8]) -> Option<u16> {
    let bytes: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let little = *head.get(5)? == 1;
    head.starts_with(b"\x7fELF").then(|| match little {
        true => u16::from_le_bytes(bytes),
        false => u16::from_be_bytes(bytes),
    })
}

/// The agents that a controller can send.
#[derive(Debug, Default)]
pub struct Agents {
    given: Vec<PathBuf>,
    read: OnceLock<Result<Vec<Binary>, String>>,
}

impl Agents {
    /// These, and after them this program.
    pub fn new(given: Vec<PathBuf>) -> Self {
        Self { given, read: OnceLock::new() }
    }

    /// All of them, this program last; or what is wrong with one. Read once.
    pub fn all(&self) -> Result<&[Binary], String> {
        let read = || {
            let files = self.given.iter().cloned().chain([PathBuf::from(OWN)]);
            files
                .map(|path| {
                    let binary = Binary::read(&path);
                    let binary =
                        binary.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                    if binary.machine.is_none() {
                        return Err(format!("{} is no Linux program", path.display()));
                    }
                    Ok(binary)
                })
                .collect()
        };
        self.read.get_or_init(read).as_deref().map_err(Clone::clone)
    }
}

/// The digest of this program's file: of what is in it, not its name, since somebody may have changed it.
pub fn own_build() -> io::Result<String> {
    Ok(Binary::read(Path::new(OWN))?.digest)
}

/// The digest of this program's file, which must be the one under which [`install`] gave it its place, if that is where
/// it lies: a damaged one removes itself, and whoever asked for it sends it anew.
pub fn installed_build() -> io::Result<String> {
    let digest = own_build()?;
    let path = fs::read_link(OWN)?;
    if is_damaged(&path, &digest) {
        fs::remove_file(&path)?;
        let path = path.display();
        return Err(io::Error::other(format!("{path} was damaged, and is removed: its digest is {digest}")));
    }
    Ok(digest)
}

/// Whether an agent lies under the digest of another one.
fn is_damaged(path: &Path, digest: &str) -> bool {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let (Some(own), Some(directory)) = (name(path), path.parent().and_then(name)) else { return false };
    let is_digest = own.len() == 64 && own.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest && own != digest && (directory == "agents" || directory.starts_with("packfleet-agents-"))
}

/// Gives this program's own file, freshly sent, its place: beside where it lies, under its digest. Others of its
/// kind that are old go.
pub fn install(digest: &str) -> io::Result<()> {
    let path = fs::read_link(OWN)?;
    let found = Binary::read(&path)?.digest;
    if found != digest {
        let _unfinished = fs::remove_file(&path);
        return Err(io::Error::other(format!("what arrived has the digest {found}, not {digest}")));
    }
    let directory = path.parent().ok_or_else(|| io::Error::other("it lies nowhere"))?;
    fs::set_permissions(&path, Permissions::from_mode(0o700))?;
    File::open(&path)?.sync_all()?;
    fs::rename(&path, directory.join(digest))?;
    File::open(directory)?.sync_all()?;
    // It has its place, and that is what was asked for: what could not be tidied up stays for the next time.
    for error in prune(directory, digest) {
        tracing::warn!(%error, directory = %directory.display(), "old agents cannot be removed");
    }
    Ok(())
}

/// Removes agents beyond the newest few, and unfinished ones that nobody finishes; tells what it could not do.
fn prune(directory: &Path, digest: &str) -> Vec<io::Error> {
    let (mut failed, mut others, mut old) = (Vec::new(), Vec::new(), Vec::new());
    let entries = fs::read_dir(directory).map_err(|error| failed.push(error)).into_iter().flatten();
    let look = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.metadata()?, entry)));
    for looked in entries.map(look) {
        let (meta, entry) = match looked {
            Ok(looked) => looked,
            // Another one that was installed at this moment pruned it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                failed.push(error);
                continue;
            }
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if name.starts_with("new.") {
            if modified.elapsed().is_ok_and(|age| age > STALE) {
                old.push(entry.path());
            }
        } else if name.len() == 64 && name != digest && meta.is_file() {
            others.push((modified, entry.path()));
        }
    }
    others.sort();
    others.reverse();
    old.extend(others.into_iter().skip(KEPT).map(|(_, path)| path));
    let removed = old.iter().map(|path| fs::remove_file(path).map_err(|error| named(path, error)));
    failed.extend(removed.filter_map(Result::err).filter(|error| error.kind() != io::ErrorKind::NotFound));
    failed
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_agent_can_be_damaged() {
        let (one, other) = ("a".repeat(64), "b".repeat(64));
        for (path, damaged) in [
            (format!("/h/x/.cache/packfleet/agents/{one}"), true),
            (format!("/var/tmp/packfleet-agents-0/{one}"), true),
            (format!("/h/x/.cache/packfleet/agents/{other}"), false),
            (format!("/h/x/bin/{one}"), false),
            ("/h/x/agents/packfleet".to_owned(), false),
            (format!("/h/x/agents/{one} (deleted)"), false),
            (format!("/h/x/agents/{}", "A".repeat(64)), false),
        ] {
            assert_eq!(is_damaged(Path::new(&path), &other), damaged, "{path}");
        }
    }
}
