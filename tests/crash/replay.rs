//! A traced run replayed on a file system that keeps no more than it was told to.
//!
//! ```text
//! strace of one run ─► operations ─► at each sync: what is durable, what is not yet
//!                                       └─► states that a power cut may leave ─► written out, looked at
//! ```
//! A new name is durable once its directory was synced after it (both, where two change places), a removed
//! one likewise, a file's bytes once the file was; `syncfs` makes all of it so. Of the rest any part may be there: none, all, all but
//! one, only one, the first so many, names without bytes. Operations on one name keep their order, and one
//! rename is there whole or not at all, as journals of file systems have it; nothing else is taken for
//! granted, least of all that one sync covers what it was not asked for, as ext4's single journal does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use packfleet::model::Content;

type Inode = usize;
type Key = (Inode, String);

#[derive(Debug, Clone)]
enum Node {
    /// Bytes as they are, and as they are on the disk.
    File {
        bytes: Vec<u8>,
        durable: Vec<u8>,
        mode: u32,
    },
    Link(Vec<u8>),
    Directory,
}

/// One change of names.
#[derive(Debug, Clone)]
struct Change {
    set: Vec<(Key, Option<Inode>)>,
    /// Directories that were not synced since.
    waits_for: BTreeSet<Inode>,
    durable: bool,
}

/// What lies at each path: a directory, a link's text, or bytes with a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    Directory,
    Link(Vec<u8>),
    File(Vec<u8>, u32),
}

pub type Disk = BTreeMap<String, Left>;

/// The model of a file system below one root.
#[derive(Debug)]
pub struct Model {
    nodes: Vec<Node>,
    first: BTreeMap<Key, Inode>,
    names: BTreeMap<Key, Inode>,
    changes: Vec<Change>,
}

const ROOT: Inode = 0;

impl Model {
    /// All that lies below a directory, all of it durable.
    pub fn of(root: &Path) -> Self {
        let mut model = Self {
            nodes: vec![Node::Directory],
            first: BTreeMap::new(),
            names: BTreeMap::new(),
            changes: Vec::new(),
        };
        let mut waiting = vec![(ROOT, root.to_owned())];
        while let Some((inode, at)) = waiting.pop() {
            for entry in fs::read_dir(at).expect("a directory") {
                let at = entry.expect("an entry").path();
                let meta = at.symlink_metadata().expect("metadata");
                let node = if meta.is_symlink() {
                    Node::Link(fs::read_link(&at).expect("a link").into_os_string().into_encoded_bytes())
                } else if meta.is_dir() {
                    Node::Directory
                } else {
                    let bytes = fs::read(&at).expect("bytes");
                    Node::File { durable: bytes.clone(), bytes, mode: meta.permissions().mode() & 0o7777 }
                };
                if matches!(node, Node::Directory) {
                    waiting.push((model.nodes.len(), at.clone()));
                }
                let name = at.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
                model.names.insert((inode, name), model.nodes.len());
                model.nodes.push(node);
            }
        }
        model.first = model.names.clone();
        model
    }

    fn find(&self, path: &str) -> Option<Inode> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        parts.into_iter().try_fold(ROOT, |at, part| self.names.get(&(at, part.to_owned())).copied())
    }

    fn change(&mut self, set: Vec<(Key, Option<Inode>)>) {
        for (key, inode) in &set {
            match inode {
                Some(inode) => self.names.insert(key.clone(), *inode),
                None => self.names.remove(key),
            };
        }
        // Where a name came to be; for a removal, where it was.
        let gets = |(key, inode): &(Key, Option<Inode>)| inode.is_some().then_some(key.0);
        let mut waits_for: BTreeSet<Inode> = set.iter().filter_map(gets).collect();
        if waits_for.is_empty() {
            waits_for.extend(set.iter().map(|(key, _)| key.0));
        }
        self.changes.push(Change { set, waits_for, durable: false });
    }

    fn make(&mut self, directory: Inode, name: &str, node: Node) {
        self.nodes.push(node);
        self.change(vec![((directory, name.to_owned()), Some(self.nodes.len() - 1))]);
    }

    fn sync_directory(&mut self, directory: Inode) {
        for change in &mut self.changes {
            change.waits_for.remove(&directory);
        }
        for at in (0..self.changes.len()).rev() {
            let later = &self.changes[at + 1..];
            let carried = later.iter().any(|later| later.durable && touch(later, &self.changes[at]));
            if self.changes[at].waits_for.is_empty() || carried {
                self.changes[at].durable = true;
            }
        }
    }

    fn sync_file(&mut self, inode: Inode) {
        if let Node::File { bytes, durable, .. } = &mut self.nodes[inode] {
            durable.clone_from(bytes);
        }
    }

    fn sync_all(&mut self) {
        self.changes.iter_mut().for_each(|change| change.durable = true);
        (0..self.nodes.len()).for_each(|inode| self.sync_file(inode));
    }

    /// Carries out one line of a trace; what lies elsewhere is none of its business.
    pub fn call(&mut self, root: &str, line: &str) {
        let Some(call) = Call::parse(line, root) else { return };
        if call.failed {
            return;
        }
        let at = |nth: usize| call.arguments.get(nth).and_then(|a| a.place.as_deref());
        let directory = |model: &Self, nth: usize| model.find(at(nth)?);
        let text = |nth: usize| String::from_utf8(call.arguments.get(nth)?.text.clone()?).ok();
        let raw = |nth: usize| call.arguments.get(nth).map_or("", |argument| argument.raw.as_str());
        match call.name.as_str() {
            "openat2" => {
                let (Some(directory), Some(name)) = (directory(self, 0), text(1)) else { return };
                let there = self.find(&format!("{}/{name}", at(0).unwrap_or_default())).is_some();
                if raw(2).contains("O_CREAT") && !there {
                    let file = Node::File { bytes: Vec::new(), durable: Vec::new(), mode: 0o600 };
                    self.make(directory, &name, file);
                }
            }
            "mkdirat" => {
                let (Some(directory), Some(name)) = (directory(self, 0), text(1)) else { return };
                self.make(directory, &name, Node::Directory);
            }
            "symlinkat" => {
                let (Some(directory), Some(name)) = (directory(self, 1), text(2)) else { return };
                let to = call.arguments[0].text.clone().unwrap_or_default();
                self.make(directory, &name, Node::Link(to));
            }
            "unlinkat" => {
                let (Some(directory), Some(name)) = (directory(self, 0), text(1)) else { return };
                self.change(vec![((directory, name), None)]);
            }
            "renameat" | "renameat2" => {
                let places = (directory(self, 0), text(1), directory(self, 2), text(3));
                let (Some(from), Some(name), Some(to), Some(new)) = places else { return };
                let (from, to) = ((from, name), (to, new));
                let moved = self.names.get(&from).copied();
                let back =
                    if raw(4).contains("RENAME_EXCHANGE") { self.names.get(&to).copied() } else { None };
                self.change(vec![(from, back), (to, moved)]);
            }
            "write" => {
                let (Some(inode), Some(new)) = (directory(self, 0), &call.arguments[1].text) else { return };
                if let Node::File { bytes, .. } = &mut self.nodes[inode] {
                    // Whatever is written here is written at the end.
                    bytes.extend_from_slice(new);
                }
            }
            "ftruncate" => {
                let Some(inode) = directory(self, 0) else { return };
                if let Node::File { bytes, .. } = &mut self.nodes[inode] {
                    bytes.truncate(raw(1).parse().expect("a length"));
                }
            }
            "fchmod" => {
                let Some(inode) = directory(self, 0) else { return };
                if let Node::File { mode, .. } = &mut self.nodes[inode] {
                    *mode = u32::from_str_radix(raw(1), 8).expect("a mode");
                }
            }
            "fsync" | "fdatasync" => {
                let Some(inode) = directory(self, 0) else { return };
                match &self.nodes[inode] {
                    Node::Directory => self.sync_directory(inode),
                    _ => self.sync_file(inode),
                }
            }
            "syncfs" if directory(self, 0).is_some() => self.sync_all(),
            "fchown" | "fchownat" | "fsetxattr" | "fremovexattr" | "syncfs" => {}
            other => assert!(!line.contains(root), "{other} is not in the model: {line}"),
        }
    }

    /// Whether this line makes something durable, so that the moment before it is a good one for a cut.
    pub fn is_sync(line: &str) -> bool {
        ["fsync(", "fdatasync(", "syncfs("].iter().any(|call| line.contains(call))
    }

    /// All states that a power cut at this moment is tried with.
    pub fn states(&self) -> Vec<Disk> {
        let open: Vec<usize> = (0..self.changes.len()).filter(|at| !self.changes[*at].durable).collect();
        let unsynced: BTreeSet<Inode> = (0..self.nodes.len())
            .filter(|at| matches!(&self.nodes[*at], Node::File { bytes, durable, .. } if bytes != durable))
            .collect();
        let (every, no_file) = (|_: usize| true, BTreeSet::new());
        let mut states = vec![
            self.state(&|_| false, &unsynced),
            self.state(&every, &unsynced),
            self.state(&every, &no_file),
        ];
        for (nth, one) in open.iter().enumerate() {
            states.push(self.state(&|at| at != *one, &no_file));
            states.push(self.state(&|at| at == *one, &no_file));
            states.push(self.state(&|at| open[..nth].contains(&at), &no_file));
        }
        states.extend(unsynced.iter().map(|file| self.state(&every, &[*file].into())));
        states
    }

    /// What is there if of the open changes those that `kept` says are there, and the bytes of these files
    /// are not.
    fn state(&self, kept: &dyn Fn(usize) -> bool, lost: &BTreeSet<Inode>) -> Disk {
        let mut names = self.first.clone();
        let mut dropped: Vec<&Change> = Vec::new();
        for (at, change) in self.changes.iter().enumerate() {
            let goes = !kept(at) || dropped.iter().any(|before| touch(before, change));
            if !change.durable && goes {
                dropped.push(change);
                continue;
            }
            for (key, inode) in &change.set {
                match inode {
                    Some(inode) => names.insert(key.clone(), *inode),
                    None => names.remove(key),
                };
            }
        }
        let mut disk = Disk::new();
        let mut waiting = vec![(ROOT, String::new())];
        while let Some((directory, path)) = waiting.pop() {
            let below = names.range((directory, String::new())..(directory + 1, String::new()));
            for ((_, name), inode) in below {
                let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
                let left = match &self.nodes[*inode] {
                    Node::Directory => {
                        waiting.push((*inode, path.clone()));
                        Left::Directory
                    }
                    Node::Link(text) => Left::Link(text.clone()),
                    Node::File { durable, mode, .. } if lost.contains(inode) => {
                        Left::File(durable.clone(), *mode)
                    }
                    Node::File { bytes, mode, .. } => Left::File(bytes.clone(), *mode),
                };
                disk.insert(path, left);
            }
        }
        disk
    }
}

/// Whether both are about one name.
fn touch(one: &Change, other: &Change) -> bool {
    one.set.iter().any(|(key, _)| other.set.iter().any(|(other, _)| key == other))
}

/// Writes a state out; what was there goes.
pub fn write_out(disk: &Disk, root: &Path) {
    fs::remove_dir_all(root).expect("removed");
    fs::create_dir(root).expect("made");
    for (path, left) in disk {
        let at = root.join(path);
        match left {
            Left::Directory => {
                fs::create_dir(&at).expect("made");
                let mode = if path.starts_with(".packfleet") { 0o700 } else { 0o755 };
                fs::set_permissions(&at, fs::Permissions::from_mode(mode)).expect("a mode");
            }
            Left::Link(text) => {
                symlink(std::str::from_utf8(text).expect("UTF-8"), &at).expect("linked");
            }
            Left::File(bytes, mode) => {
                fs::write(&at, bytes).expect("written");
                fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).expect("a mode");
            }
        }
    }
}

/// Tells equal states.
pub fn digest(disk: &Disk) -> Content {
    Content::of(format!("{disk:?}").as_bytes())
}

/// One line of a trace.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: Vec<Argument>,
    failed: bool,
}

#[derive(Debug, Default)]
struct Argument {
    /// Where its descriptor leads, relative to the root.
    place: Option<String>,
    text: Option<Vec<u8>>,
    raw: String,
}

impl Call {
    fn parse(line: &str, root: &str) -> Option<Self> {
        let (_, line) = line.trim_start().split_once(' ')?;
        let (name, rest) = line.trim_start().split_once('(')?;
        assert!(!line.contains("<unfinished") || !line.contains(root), "two threads at once: {line}");
        let mut arguments = vec![Argument::default()];
        let bytes = rest.as_bytes();
        let (mut at, mut depth) = (0, 0);
        while at < bytes.len() {
            let argument = arguments.last_mut()?;
            match bytes[at] {
                b'"' => {
                    let (text, end) = unquoted(bytes, at + 1);
                    argument.text = Some(text);
                    at = end;
                }
                b'<' => {
                    let end = at + rest[at..].find('>')?;
                    let place = &rest[at + 1..end];
                    let below = place.strip_prefix(root).filter(|p| p.is_empty() || p.starts_with('/'));
                    argument.place = below.map(|place| place.trim_start_matches('/').to_owned());
                    at = end;
                }
                b')' if depth == 0 => break,
                b',' if depth == 0 => arguments.push(Argument::default()),
                byte => {
                    depth += i32::from(b"{[(".contains(&byte)) - i32::from(b"}])".contains(&byte));
                    if byte != b' ' {
                        argument.raw.push(byte as char);
                    }
                }
            }
            at += 1;
        }
        let failed = rest.get(at..).is_none_or(|end| end.contains("= -1 ") || end.contains("= ?"));
        Some(Self { name: name.to_owned(), arguments, failed })
    }
}

/// A quoted string from behind its first quote, and where its last one is.
fn unquoted(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut text = Vec::new();
    while bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            text.push(bytes[at]);
            at += 1;
            continue;
        }
        at += 1;
        let octal = bytes[at..].iter().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
        if octal > 0 {
            let digits = bytes[at..at + octal].iter();
            text.push(digits.fold(0u32, |value, digit| value * 8 + u32::from(digit - b'0')) as u8);
            at += octal;
            continue;
        }
        text.push(match bytes[at] {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            other => other,
        });
        at += 1;
    }
    (text, at)
}
