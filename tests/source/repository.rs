//! Small git repositories, written object by object, so that they can also be such as git itself refuses.

use camino::{Utf8Path, Utf8PathBuf};
use git2::{ObjectType, Oid, Repository, Signature, Time};
use packfleet::model::Kind;
use packfleet::model::pack::CommitId;

/// A file by its path.
pub type File<'a> = (&'a str, Kind, &'a [u8]);

/// One entry of a tree object: mode, name, object.
pub type RawEntry<'a> = (u32, &'a [u8], Oid);

/// A bare repository in a temporary directory.
pub struct Origin {
    pub dir: Utf8PathBuf,
    pub repository: Repository,
}

impl Origin {
    pub fn new(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned(), repository: Repository::init_bare(dir).unwrap() }
    }

    pub fn blob(&self, bytes: &[u8]) -> Oid {
        self.repository.odb().unwrap().write(ObjectType::Blob, bytes).unwrap()
    }

    /// A tree object of exactly these entries, in this order, checked by nobody.
    pub fn raw_tree(&self, entries: &[RawEntry<'_>]) -> Oid {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(format!("{mode:o} ").as_bytes());
            bytes.extend_from_slice(name);
            bytes.push(0);
            bytes.extend_from_slice(id.as_bytes());
        }
        self.repository.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
    }

    /// A tree of files by their paths.
    pub fn tree(&self, files: &[File<'_>]) -> Oid {
        let mut entries: Vec<(u32, Vec<u8>, Oid)> = Vec::new();
        let mut below: std::collections::BTreeMap<&str, Vec<File<'_>>> = Default::default();
        for (path, kind, bytes) in files {
            match path.split_once('/') {
                Some((directory, rest)) => below.entry(directory).or_default().push((rest, *kind, bytes)),
                None => {
                    let mode = match kind {
                        Kind::File => 0o100_644,
                        Kind::Exec => 0o100_755,
                        Kind::Link => 0o120_000,
                    };
                    entries.push((mode, path.as_bytes().to_vec(), self.blob(bytes)));
                }
            }
        }
        for (directory, files) in below {
            entries.push((0o040_000, directory.as_bytes().to_vec(), self.tree(&files)));
        }
        // Git's order: directories as if their names ended in a slash.
        entries.sort_by_key(|(mode, name, _)| {
            let mut key = name.clone();
            if *mode == 0o040_000 {
                key.push(b'/');
            }
            key
        });
        let entries: Vec<RawEntry<'_>> =
            entries.iter().map(|(mode, name, id)| (*mode, name.as_slice(), *id)).collect();
        self.raw_tree(&entries)
    }

    /// A commit of a tree, on no branch.
    pub fn commit_tree(&self, tree: Oid, parents: &[&CommitId], message: &str) -> CommitId {
        let who = Signature::new("somebody", "somebody@example.org", &Time::new(1_700_000_000, 0)).unwrap();
        let tree = self.repository.find_tree(tree).unwrap();
        let parents: Vec<_> = parents
            .iter()
            .map(|id| self.repository.find_commit(Oid::from_str(id.as_str()).unwrap()).unwrap())
            .collect();
        let parents: Vec<_> = parents.iter().collect();
        let id = self.repository.commit(None, &who, &who, message, &tree, &parents).unwrap();
        CommitId::new(&id.to_string()).unwrap()
    }

    pub fn commit(&self, files: &[File<'_>]) -> CommitId {
        self.commit_tree(self.tree(files), &[], "files")
    }

    /// Sets `refs/<name>`.
    pub fn set(&self, name: &str, id: &str) {
        self.repository.reference(&format!("refs/{name}"), Oid::from_str(id).unwrap(), true, "test").unwrap();
    }

    pub fn delete(&self, name: &str) {
        self.repository.find_reference(&format!("refs/{name}")).unwrap().delete().unwrap();
    }

    /// An annotated tag.
    pub fn annotate(&self, name: &str, id: &str) {
        let who = Signature::new("somebody", "somebody@example.org", &Time::new(1_700_000_000, 0)).unwrap();
        let object = self.repository.find_object(Oid::from_str(id).unwrap(), None).unwrap();
        self.repository.tag(name, &object, &who, "annotated", true).unwrap();
    }
}
