//! Planned for few paths or for all: the same plan, and the same record to the last byte.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::super::resolve::resolve;
use super::super::{
    Events, Gone, Offline, Options, Outcome, Recover, Stop, Unmanaged, Workspace, fleet, pass,
};
use super::*;
use crate::host::Trust;

struct World {
    _directory: tempfile::TempDir,
    at: Utf8PathBuf,
}

fn path(number: usize) -> String {
    match number {
        0..10 => format!("file-{number:02}"),
        10..40 => format!("d{}/file-{number:02}", number % 3),
        _ => format!("d{}/deep/x-{number:02}", number % 3),
    }
}

impl World {
    /// Sixty files, tagged v1 and installed; `change` makes v2 of them.
    fn new(pack: &str, change: impl FnOnce(&Utf8Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = Utf8Path::from_path(directory.path()).unwrap().to_owned();
        let world = Self { _directory: directory, at };
        let packs = world.at.join("packs");
        for number in 0..60 {
            let file = packs.join(path(number));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, format!("one\ntwo\n{number}\n")).unwrap();
        }
        world.git(&["init", "-q"]);
        world.commit("v1.0.0");
        world.pin("v1.0.0", pack);
        let report = world.apply();
        assert_eq!(report.outcome, Outcome::Applied, "{:?}", report.failure);
        change(&packs);
        world.commit("v1.0.1");
        world.pin("v1.0.1", pack);
        world
    }

    fn git(&self, arguments: &[&str]) {
        let identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"];
        let mut git = Command::new("git");
        git.args(["-C", self.at.join("packs").as_str()]).args(identity).args(arguments);
        assert!(git.status().unwrap().success(), "{arguments:?}");
    }

    fn commit(&self, tag: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", tag, "--allow-empty"]);
        self.git(&["tag", tag]);
    }

    fn pin(&self, tag: &str, pack: &str) {
        let text = format!(
            "[fleet]\nname = \"f\"\nversion_file = \"VERSION\"\n[sources.s]\nurl = \"{}\"\n[packs.p]\nsource = \"s\"\ndir = \".\"\n\
             {pack}\n[deployments.d]\nhost = \"local\"\nroot = \"{}\"\npacks.p = {{ tag = \"{tag}\" }}\n",
            self.at.join("packs"),
            self.root()
        );
        fs::create_dir_all(self.at.join("fleet")).unwrap();
        fs::write(self.at.join("fleet/fleet.toml"), text).unwrap();
    }

    fn root(&self) -> Utf8PathBuf {
        self.at.join("root")
    }

    fn workspace(&self) -> Arc<Workspace> {
        Arc::new(Workspace::load(&self.at.join("fleet/fleet.toml"), &self.at.join("cache")).unwrap())
    }

    /// What is planned for few paths, and for all.
    fn both(&self) -> (Option<Report>, Report) {
        let workspace = self.workspace();
        let names: BTreeSet<_> = workspace.fleet.deployments.keys().cloned().collect();
        let resolutions = resolve(&workspace, &names, &());
        let deployment = workspace.fleet.deployments.values().next().unwrap();
        let narrow = survey(&workspace, &resolutions, deployment, &options(), &Scope::Whole);
        (narrow, pass::survey(&workspace, &resolutions, deployment, &options()))
    }

    fn apply(&self) -> Report {
        let workspace = self.workspace();
        let names: BTreeSet<_> = workspace.fleet.deployments.keys().cloned().collect();
        let nobody: Arc<dyn Events + Send + Sync> = Arc::new(());
        let surveys = fleet::survey(&workspace, &names, &options(), &nobody).unwrap();
        fleet::apply(&workspace, surveys, &options(), &nobody).unwrap().remove(0)
    }
}

fn options() -> Options {
    Options {
        voice: None,
        jobs: Some(1),
        offline: Offline::Waits,
        gone: Gone::Say,
        stop: Stop::default(),
        hurry: None,
        trust: Trust::StatCache,
        list: Unmanaged::Ignore,
        recover: Recover::Report,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        begun: None,
    }
}

const WHOLE: &str = "target = \"a/b\"";

type Edit = fn(&Utf8Path);

const UPSTREAM: [(&str, Edit); 5] = [
    ("nothing", |_| {}),
    ("bytes", |at| {
        fs::write(at.join(path(3)), "one\ntwo\nthree\n").unwrap();
        fs::write(at.join(path(12)), "ONE\ntwo\n12\n").unwrap();
    }),
    ("names", |at| {
        fs::write(at.join("d1/added"), "added\n").unwrap();
        fs::create_dir_all(at.join("new/deep")).unwrap();
        fs::write(at.join("new/deep/file"), "new\n").unwrap();
        fs::remove_file(at.join(path(5))).unwrap();
    }),
    ("a directory", |at| {
        fs::remove_dir_all(at.join("d2/deep")).unwrap();
    }),
    ("an exec bit", |at| {
        fs::set_permissions(at.join(path(20)), fs::Permissions::from_mode(0o755)).unwrap();
    }),
];

const LOCAL: [(&str, Edit); 6] = [
    ("nothing", |_| {}),
    ("an edit elsewhere", |at| fs::write(at.join(path(30)), "mine\n").unwrap()),
    ("an edit that merges", |at| fs::write(at.join(path(12)), "one\ntwo\n12\nmine\n").unwrap()),
    ("an edit that does not", |at| fs::write(at.join(path(3)), "mine\n").unwrap()),
    ("a deletion", |at| fs::remove_file(at.join(path(41))).unwrap()),
    ("only a time", |at| {
        let file = fs::File::options().append(true).open(at.join(path(7))).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }),
];

fn agree(narrow: &Report, full: &Report, what: &str) {
    let [narrow, full] = [narrow, full].map(|report| report.survey.as_ref().unwrap());
    assert_eq!(narrow.plan.actions, full.plan.actions, "{what}");
    assert_eq!(narrow.plan.holds, full.plan.holds, "{what}");
    assert_eq!(narrow.plan.prune, full.plan.prune, "{what}");
    assert_eq!(narrow.plan.commits, full.plan.commits, "{what}");
    assert_eq!(narrow.plan.id(), full.plan.id(), "{what}");
    assert_eq!(narrow.plan.next.packs, full.plan.next.packs, "{what}");
    assert_eq!(narrow.plan.next.encode(), full.plan.next.encode(), "{what}");
    assert_eq!(narrow.plan.next.kept_contents().count(), full.plan.next.kept_contents().count(), "{what}");
    assert_eq!(narrow.observation.version_file, full.observation.version_file, "{what}");
    assert!(narrow.drift.paths.len() < full.drift.paths.len(), "{what}: nothing was spared");
}

#[test]
fn few_paths_or_all_come_to_the_same() {
    for (upstream, change) in UPSTREAM {
        let all = upstream == "bytes";
        for (local, edit) in LOCAL.into_iter().take(if all { LOCAL.len() } else { 2 }) {
            let what = format!("upstream: {upstream}, here: {local}");
            let world = World::new(WHOLE, change);
            edit(&world.root().join("a/b"));
            let (narrow, full) = world.both();
            agree(&narrow.unwrap_or_else(|| panic!("{what}: the whole was looked at")), &full, &what);
            let report = world.apply();
            assert!(report.failure.is_none(), "{what}: {:?}", report.failure);
            // Once applied, few paths and all agree again, if there is anything left to agree on.
            let (again, full) = world.both();
            assert!(full.survey.as_ref().is_some_and(|survey| survey.plan.actions.is_empty()), "{what}");
            if let Some(again) = again {
                agree(&again, &full, &format!("{what}, again"));
            }
        }
    }
}

#[test]
fn what_was_rendered_in_part_is_known_as_the_whole() {
    let world = World::new(WHOLE, UPSTREAM[2].1);
    let (narrow, _) = world.both();
    assert!(narrow.is_some());
    assert_eq!(world.apply().outcome, Outcome::Applied);
    assert_eq!(world.apply().outcome, Outcome::InSync);
    // Rendered whole, without what is remembered: nothing else comes out.
    fs::remove_dir_all(world.at.join("cache/sketches")).unwrap();
    let (_, full) = world.both();
    assert_eq!(full.outcome, Outcome::InSync);
    assert!(world.both().0.is_some_and(|report| report.outcome == Outcome::InSync));
}

#[test]
fn what_is_more_than_plain_files_is_looked_at_whole() {
    let link: Edit = |at| std::os::unix::fs::symlink("file-01", at.join("link")).unwrap();
    let clash: Edit = |at| fs::write(at.join("FILE-01"), "").unwrap();
    let folder: Edit = |at| {
        fs::remove_file(at.join(path(2))).unwrap();
        fs::create_dir(at.join(path(2))).unwrap();
        fs::write(at.join(path(2)).join("x"), "").unwrap();
    };
    let pointer: Edit = |at| {
        fs::write(at.join(path(2)), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    };
    let owned = format!("{WHOLE}\nhost_owns = [\"mine\"]");
    let mine: Edit = |at| fs::write(at.join("mine"), "").unwrap();
    let two = "install = { \".\" = \"a/b\", \"d1\" = \"c\" }";
    let checked = format!("{WHOLE}\ncheck = [[\"true\"]]");
    let bytes = UPSTREAM[1].1;
    let cases: [(&str, Edit); 7] = [
        (WHOLE, link),
        (WHOLE, clash),
        (WHOLE, folder),
        (WHOLE, pointer),
        (&owned, mine),
        (two, bytes),
        (&checked, bytes),
    ];
    for (at, (pack, change)) in cases.into_iter().enumerate() {
        assert!(World::new(pack, change).both().0.is_none(), "{at}");
    }
    let moved: Edit = |at| fs::rename(at.join(path(3)), at.join("moved")).unwrap();
    let world = World::new(WHOLE, moved);
    assert!(world.both().0.is_some());
    LOCAL[3].1(&world.root().join("a/b"));
    assert!(world.both().0.is_none(), "an edit of a file that went elsewhere");
    let in_the_way = |edit: Edit| {
        let world = World::new(WHOLE, bytes);
        edit(&world.root().join("a/b"));
        world.both().0.is_none()
    };
    assert!(in_the_way(|at| {
        fs::remove_file(at.join(path(3))).unwrap();
        fs::create_dir(at.join(path(3))).unwrap();
    }));
    assert!(in_the_way(|at| {
        fs::rename(at.join("d1"), at.join("gone")).unwrap();
        std::os::unix::fs::symlink("gone", at.join("d1")).unwrap();
    }));
}

/// What is not in sync, by path.
fn differs(report: &Report) -> Vec<(String, crate::plan::Standing)> {
    let survey = report.survey.as_ref().unwrap();
    let paths = survey.drift.paths.iter().map(|(path, judged)| (path.to_string(), judged.standing));
    paths.filter(|(_, standing)| *standing != crate::plan::Standing::InSync).collect()
}

#[test]
fn a_look_at_what_a_watch_told_finds_what_a_whole_look_finds() {
    use crate::host::watch::{RootWatch, Stir, Stirs};
    use std::time::Duration;

    let world = World::new("target = \"bot\"", |_| {});
    let path = |number| format!("bot/{}", path(number));
    world.apply();
    let workspace = world.workspace();
    let name = workspace.fleet.deployments.keys().next().unwrap();
    let deployment = &workspace.fleet.deployments[name];
    let resolutions = resolve(&workspace, &[name.clone()].into(), &());
    let whole = || pass::survey(&workspace, &resolutions, deployment, &options());
    let mut watch = RootWatch::begin(&deployment.root).unwrap();
    let long = Duration::from_secs(60);
    assert_eq!(watch.wait(long).unwrap(), Stir::Everything);
    let mut unlike = unlike(&whole());
    assert_eq!(unlike, Some(BTreeSet::new()));

    // Only what is named is looked at.
    fs::write(world.root().join(path(3)), "three").unwrap();
    fs::write(world.root().join(path(7)), "seven").unwrap();
    let scope = Scope::Only([TreePath::new(&path(3)).unwrap()].into());
    let few = survey(&workspace, &resolutions, deployment, &options(), &scope).unwrap();
    assert_eq!(differs(&few).len(), 1);
    assert_eq!(differs(&whole()).len(), 2);

    let (mut seed, mut few_sufficed) = (7_u64, 0);
    let mut draw = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % below) as usize
    };
    let steps = 60;
    for step in 0..steps {
        for _ in 0..=draw(3) {
            let number = 1 + draw(12) * 5 % 59;
            let at = world.root().join(path(number));
            let clear = || {
                let _is_there = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
                fs::create_dir_all(at.parent().unwrap()).unwrap();
            };
            match draw(10) {
                0 | 1 if at.is_file() => fs::write(&at, format!("edit {step}")).unwrap(),
                2 => clear(),
                3 | 4 => {
                    clear();
                    fs::write(&at, format!("one\ntwo\n{number}\n")).unwrap();
                }
                5 if at.is_file() => {
                    let mode = if draw(2) == 0 { 0o755 } else { 0o644 };
                    fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
                }
                6 => {
                    clear();
                    let beside = world.at.join("beside");
                    fs::write(&beside, format!("moved {step}")).unwrap();
                    fs::rename(&beside, &at).unwrap();
                }
                7 if draw(3) == 0 => {
                    clear();
                    fs::create_dir(&at).unwrap();
                }
                8 => {
                    clear();
                    std::os::unix::fs::symlink("file-00", &at).unwrap();
                }
                9 if draw(3) == 0 => {
                    let (from, to) = (world.root().join("bot/d1"), world.root().join("away"));
                    if from.exists() {
                        fs::rename(&from, &to).unwrap();
                        fs::rename(&to, &from).unwrap();
                    }
                }
                _ => fs::write(world.root().join(format!("bot/unmanaged-{step}")), "").unwrap(),
            }
        }
        // The last that is touched; whoever heard of it heard of all before it.
        fs::write(world.root().join(path(0)), format!("step {step}")).unwrap();
        let last = TreePath::new(&path(0)).unwrap();
        let mut scope = unlike.take().map_or(Scope::Whole, Scope::Only);
        loop {
            match watch.wait(long).unwrap() {
                Stir::Quiet => panic!("nothing was heard of {last}"),
                Stir::Everything => {
                    scope = Scope::Whole;
                    break;
                }
                Stir::Touched(paths) => {
                    let over = paths.contains(&last);
                    if let Scope::Only(known) = &mut scope {
                        known.extend(paths);
                    }
                    if over {
                        break;
                    }
                }
            }
        }
        let whole = whole();
        let few = fleet::look(&workspace, name, &options(), &scope, &());
        let narrow = survey(&workspace, &resolutions, deployment, &options(), &scope);
        few_sufficed += usize::from(scope != Scope::Whole && narrow.is_some());
        let plan = |report: &Report| report.survey.as_ref().unwrap().plan.id();
        assert_eq!(differs(&few), differs(&whole), "step {step}");
        assert_eq!((few.outcome, plan(&few)), (whole.outcome, plan(&whole)), "step {step}");
        unlike = super::unlike(&few);
        assert_eq!(unlike, super::unlike(&whole), "step {step}");
    }
    assert!(few_sufficed > steps / 3, "{few_sufficed} of {steps}");
}
