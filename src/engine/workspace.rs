//! The fleet repository, read once: `fleet.toml`, its includes, the overlays, and open sources.
//!
//! Files are read beneath the fleet file's directory and never through a link. Sources are opened
//! without being asked anything yet.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use globset::GlobBuilder;

use super::edited;
use crate::desired::compose;
use crate::desired::fleet_file::{self, Context, FleetText};
use crate::desired::lock::{Lock, LockError};
use crate::desired::overlay::Overlay;
use crate::desired::problem::Problems;
use crate::desired::secrets::Rules;
use crate::host::{Host, LocalHost};
use crate::model::fleet::{Deployment, Fleet, HostAddress, Source};
use crate::model::{Kind, OverlayName, SourceName, TreePath};
use crate::source::checkout::{self, FleetCommit};
use crate::source::{DirectorySource, GitSource, Memo, ObjectStore, PackSource};

/// A fleet, ready to be looked at.
pub struct Workspace {
    /// What fleet.toml says.
    pub fleet: Fleet,
    /// Where it was read.
    pub file: Utf8PathBuf,
    /// The commit that is checked out around it, if it lies in a git repository.
    pub commit: Option<FleetCommit>,
    /// Where mirrors and object stores lie.
    pub cache: Utf8PathBuf,
    /// Overlays by name; one that is damaged says why.
    pub(crate) overlays: BTreeMap<OverlayName, Result<Overlay, String>>,
    /// `fleet.lock`, if there is one.
    pub lock: Option<Lock>,
    /// Sources by name.
    pub(crate) sources: BTreeMap<SourceName, Box<dyn PackSource>>,
    /// Bytes that no commit holds.
    pub(crate) objects: ObjectStore,
    /// What renderings came to.
    pub(crate) sketches: Memo,
    /// fleet.toml, and the files that it includes.
    pub(crate) texts: Vec<FleetText>,
    /// What is secret in a text: compiled when first asked for.
    pub(crate) secrets: OnceLock<Option<Rules>>,
}

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory could not be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// `fleet.lock` is damaged.
    #[error("{path} is no lock")]
    Lock {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, and where.
        #[source]
        source: LockError,
    },
    /// What was read does not validate: every problem, with the texts that it lies in.
    #[error("{file} does not validate: {} problem(s)", problems.0.len())]
    Invalid {
        /// The fleet file.
        file: Utf8PathBuf,
        /// The texts, fleet.toml first.
        texts: Vec<FleetText>,
        /// All problems.
        problems: Problems,
    },
}

/// The lock's name, beside the fleet file.
const LOCK: &str = "fleet.lock";

/// Larger files are refused by the parser; no more than this is read.
const MOST_TEXT: u64 = 10 * 1024 * 1024 + 1;

impl Workspace {
    /// Reads and validates. `cache` is where mirrors and object stores lie; nothing is fetched yet.
    pub fn load(file: &Utf8Path, cache: &Utf8Path) -> Result<Self, LoadError> {
        let file = absolute(file)?;
        let directory = file.parent().unwrap_or(Utf8Path::new("/")).to_owned();
        let mut texts = vec![FleetText { name: short(&file), text: read_text(&file)? }];
        for include in includes(&directory, &texts[0].text)? {
            let text = read_text(&directory.join(include.as_str()))?;
            texts.push(FleetText { name: include, text });
        }
        let overlays = read_overlays(&directory)?;
        let known = overlays
            .iter()
            .map(|(name, overlay)| {
                let pack = overlay.as_ref().ok().map(|overlay| overlay.manifest.pack.to_string());
                (name.to_string(), pack)
            })
            .collect();
        let context = Context { directory, overlays: known };
        let fleet = match fleet_file::parse(&texts, &context) {
            Ok(fleet) => fleet,
            Err(problems) => return Err(LoadError::Invalid { file, texts, problems }),
        };
        let sources = fleet
            .sources
            .iter()
            .map(|(name, source)| {
                let source: Box<dyn PackSource> = match source {
                    Source::Git { url, .. } => Box::new(GitSource::open(cache, url)),
                    Source::Directory(path) => Box::new(DirectorySource::open(cache, path)),
                };
                (name.clone(), source)
            })
            .collect();
        let commit = checkout::head(&context.directory);
        let objects = ObjectStore::open(&cache.join("objects"));
        let sketches = Memo::open(&cache.join("sketches"));
        let lock = read_lock(&context.directory)?;
        let cache = cache.to_owned();
        Ok(Self {
            fleet,
            file,
            commit,
            cache,
            overlays,
            lock,
            sources,
            objects,
            sketches,
            texts,
            secrets: OnceLock::new(),
        })
    }

    /// The texts of fleet.toml and of what it includes.
    pub fn texts(&self) -> &[FleetText] {
        &self.texts
    }

    /// The file of an overlay that is about a path of its pack, else its `overlay.toml`; relative to the fleet
    /// file's directory.
    pub fn overlay_path(&self, overlay: &OverlayName, path: Option<&TreePath>) -> Option<String> {
        let about = |suffix: &str| path.map(|path| format!("overlays/{overlay}/{path}{suffix}"));
        let all =
            [".patch", ".merge.json", ".merge.toml", ".patch.conflict", ""].into_iter().filter_map(about);
        all.chain([format!("overlays/{overlay}/overlay.toml")])
            .find(|file| fs::symlink_metadata(self.fleet.directory.join(file)).is_ok())
    }

    /// What no report may show of a text: the fleet's rules; packfleet's own where those are damaged.
    pub(crate) fn rules(&self) -> Option<&Rules> {
        let compiled = || edited::rules(self).ok().or_else(|| Rules::new(None).ok());
        self.secrets.get_or_init(compiled).as_ref()
    }

    /// Where the lock lies, or would.
    pub fn lock_file(&self) -> Utf8PathBuf {
        self.fleet.directory.join(LOCK)
    }

    /// The text of a file of the fleet repository, reached through no link.
    pub(crate) fn read(&self, path: &TreePath) -> Result<String, LoadError> {
        let mut full = self.fleet.directory.clone();
        for component in path.components() {
            full.push(component);
            if fs::symlink_metadata(&full).is_ok_and(|meta| meta.is_symlink()) {
                let source = io::Error::other("it is reached through a link");
                return Err(LoadError::Read { path: full, source });
            }
        }
        read_text(&full)
    }

    /// All files of an overlay's directory, as they lie there; `None` if there is none.
    pub(crate) fn overlay_files(&self, name: &OverlayName) -> Result<Option<compose::Files>, String> {
        let directory = self.fleet.directory.join("overlays").join(name.as_str());
        match fs::symlink_metadata(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {directory}: {error}")),
            Ok(kind) if !kind.is_dir() => return Err(format!("{directory} is no directory")),
            Ok(_) => {}
        }
        let mut files = BTreeMap::new();
        read_tree(&directory, None, &mut files)?;
        Ok(Some(files))
    }

    /// The host of a deployment. Nothing happens to it yet.
    pub fn host(&self, deployment: &Deployment) -> Box<dyn Host> {
        match deployment.host {
            HostAddress::Local => Box::new(LocalHost::open(deployment.root.clone())),
        }
    }
}

fn read_lock(directory: &Utf8Path) -> Result<Option<Lock>, LoadError> {
    let path = directory.join(LOCK);
    let text = match read_text(&path) {
        Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    Lock::parse(&text).map(Some).map_err(|source| LoadError::Lock { path, source })
}

fn short(file: &Utf8Path) -> String {
    file.file_name().unwrap_or("fleet.toml").to_owned()
}

fn absolute(file: &Utf8Path) -> Result<Utf8PathBuf, LoadError> {
    camino::absolute_utf8(file).map_err(|source| LoadError::Read { path: file.to_owned(), source })
}

fn read_text(path: &Utf8Path) -> Result<String, LoadError> {
    use io::Read;
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MOST_TEXT).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Files beneath the directory that match a pattern, sorted; links are not followed. A pattern that
/// matches nothing is not an error: `fleet.d/*.toml` may be empty.
fn includes(directory: &Utf8Path, text: &str) -> Result<Vec<String>, LoadError> {
    let mut found = Vec::new();
    for include in fleet_file::includes(text) {
        // The validator reports a pattern that does not compile or leaves the directory.
        let Ok(glob) = GlobBuilder::new(&include.pattern).literal_separator(true).build() else { continue };
        let glob = glob.compile_matcher();
        let mut any = false;
        let depth = include.pattern.split('/').count();
        let walk = ignore::WalkBuilder::new(directory).standard_filters(false).max_depth(Some(depth)).build();
        for entry in walk.flatten() {
            let Some(path) = Utf8Path::from_path(entry.path()) else { continue };
            let Ok(relative) = path.strip_prefix(directory) else { continue };
            if !glob.is_match(relative) {
                continue;
            }
            let kind = entry.file_type();
            if kind.is_some_and(|kind| kind.is_symlink()) {
                let source = io::Error::other("an included file may not be a link");
                return Err(LoadError::Read { path: path.to_owned(), source });
            }
            if kind.is_some_and(|kind| kind.is_file()) {
                found.push(relative.as_str().to_owned());
                any = true;
            }
        }
        // A name is meant, where a pattern may match nothing.
        if !any && !include.pattern.contains(['*', '?', '[', '{']) {
            let source = io::Error::new(io::ErrorKind::NotFound, "fleet.include names it");
            return Err(LoadError::Read { path: directory.join(&include.pattern), source });
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Every directory below `overlays/`, whole. A link in the place of an overlay is not followed.
fn read_overlays(directory: &Utf8Path) -> Result<BTreeMap<OverlayName, Result<Overlay, String>>, LoadError> {
    let mut overlays = BTreeMap::new();
    let top = directory.join("overlays");
    let failed = |source| LoadError::Read { path: top.clone(), source };
    let listing = match fs::symlink_metadata(&top) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(overlays),
        Err(error) => return Err(failed(error)),
        Ok(kind) if !kind.is_dir() => return Ok(overlays),
        Ok(_) => fs::read_dir(&top).map_err(failed)?,
    };
    for entry in listing {
        let entry = entry.map_err(failed)?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().and_then(|name| OverlayName::new(name).ok()) else { continue };
        if !entry.file_type().map_err(failed)?.is_dir() {
            continue;
        }
        let mut files = BTreeMap::new();
        let read = read_tree(&top.join(name.as_str()), None, &mut files);
        let overlay = read.and_then(|()| Overlay::new(name.clone(), files).map_err(|e| e.to_string()));
        overlays.insert(name, overlay);
    }
    Ok(overlays)
}

/// All files and links below a directory, by their path in the overlay.
pub(super) fn read_tree(
    directory: &Utf8Path,
    below: Option<&TreePath>,
    files: &mut BTreeMap<TreePath, (Kind, Vec<u8>)>,
) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: io::Error| format!("cannot read {directory}: {error}");
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| format!("{name:?} is not UTF-8"))?;
        let one = TreePath::new(name).map_err(|error| error.to_string())?;
        let path = match below {
            None => one,
            Some(below) => below.join(&one).map_err(|error| error.to_string())?,
        };
        let full = directory.join(name);
        let meta = fs::symlink_metadata(&full).map_err(failed)?;
        if meta.is_dir() {
            read_tree(&full, Some(&path), files)?;
        } else if meta.is_symlink() {
            let text = fs::read_link(&full).map_err(failed)?;
            let text = text.to_str().ok_or_else(|| format!("the link text of {path} is not UTF-8"))?;
            files.insert(path, (Kind::Link, text.as_bytes().to_vec()));
        } else if meta.is_file() {
            let kind = Kind::regular(meta.permissions().mode() & 0o100 != 0);
            files.insert(path, (kind, fs::read(&full).map_err(failed)?));
        } else {
            return Err(format!("{path} is neither file, directory nor link"));
        }
    }
    Ok(())
}
