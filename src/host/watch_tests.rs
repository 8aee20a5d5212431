//! Watches over real roots. Each wait has a generous limit and ends as soon as what it waits for is there.

use super::*;
use crate::model::record::{Record, Recorded};
use crate::model::{Content, DeploymentName, Entry, FleetName, Kind, PackName};

const SOON: Duration = Duration::from_secs(20);

struct Stand {
    top: tempfile::TempDir,
    at: HostPath,
}

impl Stand {
    /// A root with these files on record.
    fn with(paths: &[&str]) -> Self {
        let top = tempfile::tempdir().unwrap();
        let at = HostPath::new(top.path().canonicalize().unwrap().to_str().unwrap()).unwrap();
        let stand = Self { top, at };
        for path in paths {
            stand.write(path, "as installed");
        }
        stand.record(paths);
        stand
    }

    fn path(&self, path: &str) -> PathBuf {
        self.top.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn record(&self, paths: &[&str]) {
        use std::os::unix::fs::PermissionsExt;
        let mut record =
            Record::empty(FleetName::new("f").unwrap(), DeploymentName::new("d").unwrap(), self.at.clone());
        let entry = Some(Entry { kind: Kind::File, content: Content::of(b"as installed") });
        for path in paths {
            let recorded =
                Recorded { owner: PackName::new("p").unwrap(), base: entry, written: entry, commit: None };
            record.entries.insert(TreePath::new(path).unwrap(), recorded);
        }
        fs::create_dir_all(self.path(STATE_DIR)).unwrap();
        fs::set_permissions(self.path(STATE_DIR), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(self.path(".packfleet/new"), record.encode()).unwrap();
        fs::rename(self.path(".packfleet/new"), self.path(".packfleet/record")).unwrap();
    }

    fn watch(&self) -> RootWatch {
        let mut watch = RootWatch::begin(&self.at).unwrap();
        assert_eq!(watch.wait(SOON).unwrap(), Stir::Everything);
        watch
    }
}

fn touched(paths: &[&str]) -> Stir {
    Stir::Touched(paths.iter().map(|path| TreePath::new(path).unwrap()).collect())
}

#[test]
fn what_is_recorded_is_heard_and_nothing_else() {
    let stand = Stand::with(&["a/b/one", "a/two"]);
    let mut watch = stand.watch();
    // None of these is anybody's business: reading, strangers, packfleet's own files.
    assert_eq!(fs::read(stand.path("a/two")).unwrap(), b"as installed");
    stand.write("a/stranger", "x");
    stand.write("elsewhere/deep/stranger", "x");
    stand.write("VERSION", "{}");
    stand.write(".packfleet/stat-cache", "x");
    // Whatever came before would have been told together with this, or before it.
    stand.write("a/b/one", "edited");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/b/one"]));
    fs::remove_file(stand.path("a/two")).unwrap();
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/two"]));
    // Written through a mapping: nothing is heard of that but the end of it.
    drop(fs::File::options().write(true).open(stand.path("a/b/one")).unwrap());
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/b/one"]));
    // As editors save.
    stand.write("a/.two.swp", "new");
    fs::rename(stand.path("a/.two.swp"), stand.path("a/two")).unwrap();
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/two"]));
    assert_eq!(watch.wait(Duration::ZERO).unwrap(), Stir::Quiet);
}

#[test]
fn directories_that_go_and_come_are_followed() {
    let stand = Stand::with(&["a/b/one"]);
    let mut watch = stand.watch();
    fs::rename(stand.path("a"), stand.path("away")).unwrap();
    assert!(matches!(watch.wait(SOON).unwrap(), Stir::Touched(_)));
    stand.write("a/b/one", "new");
    let mut seen = BTreeSet::new();
    while !seen.contains("a/b/one") && !seen.contains("a") {
        let Stir::Touched(paths) = watch.wait(SOON).unwrap() else { panic!("nothing was heard") };
        seen.extend(paths.iter().map(|path| path.as_str().to_owned()));
    }
    while watch.wait(Duration::from_millis(200)).unwrap() != Stir::Quiet {}
    stand.write("a/b/one", "newer");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/b/one"]));
    // What was moved away is nobody's any more.
    stand.write("away/b/one", "x");
    stand.write("a/b/one", "newest");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/b/one"]));
}

#[test]
fn a_commit_is_heard_and_its_new_directories_are_watched() {
    let stand = Stand::with(&["a/one"]);
    let mut watch = stand.watch();
    stand.write("new/two", "as installed");
    stand.record(&["a/one", "new/two"]);
    assert_eq!(watch.wait(SOON).unwrap(), Stir::Everything);
    while watch.wait(Duration::from_millis(200)).unwrap() != Stir::Quiet {}
    stand.write("new/two", "edited");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["new/two"]));
}

#[test]
fn no_link_is_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("one"), "x").unwrap();
    let stand = Stand::with(&["a/one", "b/two"]);
    fs::remove_dir_all(stand.path("a")).unwrap();
    std::os::unix::fs::symlink(outside.path(), stand.path("a")).unwrap();
    let mut watch = stand.watch();
    fs::write(outside.path().join("one"), "y").unwrap();
    stand.write("b/two", "edited");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["b/two"]));
}

#[test]
fn a_root_without_a_record_is_watched_for_one() {
    let top = tempfile::tempdir().unwrap();
    let at = HostPath::new(top.path().canonicalize().unwrap().to_str().unwrap()).unwrap();
    let stand = Stand { top, at };
    let mut watch = stand.watch();
    stand.write("a/one", "as installed");
    stand.record(&["a/one"]);
    assert_eq!(watch.wait(SOON).unwrap(), Stir::Everything);
    while watch.wait(Duration::from_millis(200)).unwrap() != Stir::Quiet {}
    stand.write("a/one", "edited");
    assert_eq!(watch.wait(SOON).unwrap(), touched(&["a/one"]));
}

/// Of a directory that may be passed and not read, nothing is heard: then nobody relies on what is.
#[test]
fn where_a_directory_may_not_be_watched_anything_may_have_changed() {
    use std::os::unix::fs::PermissionsExt;
    let stand = Stand::with(&["closed/one", "open/two"]);
    fs::set_permissions(stand.path("closed"), fs::Permissions::from_mode(0o311)).unwrap();
    if fs::read_dir(stand.path("closed")).is_ok() {
        return eprintln!("SKIPPED: this user may read every directory");
    }
    let mut watch = stand.watch();
    stand.write("open/two", "edited");
    assert_eq!(watch.wait(SOON).unwrap(), Stir::Everything);
    fs::set_permissions(stand.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}
