//! Plans from statuses against plans from hosts: the same, but for paths that are named as undecided.
//!
//! Fleets of one pack at two versions, on hosts that people changed at random, with a fixed seed of numbers. What is
//! published of each is all that the one plan is made from; the other looks at the hosts.
//!
//! `PACKFLEET_DEPLOYMENTS=1000 cargo test --release --test status many -- --nocapture` tells what a thousand cost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use packfleet::engine::saved::Agreed;
use packfleet::engine::status::{Check, Voice, publish_status, read};
use packfleet::engine::{
    Events, Gone, Offline, Options, Outcome, Recover, Report, Stop, Unmanaged, Workspace, fleet,
};
use packfleet::host::Trust;
use packfleet::model::plan::{Action, Hold};
use packfleet::model::stamp::Publisher;
use packfleet::model::{DeploymentName, TreePath};

/// Numbers from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn pick<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        among[self.below(among.len() as u64) as usize]
    }
}

struct World {
    _temp: tempfile::TempDir,
    at: Utf8PathBuf,
}

impl World {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = Utf8PathBuf::from_path_buf(temp.path().canonicalize().unwrap()).unwrap();
        for directory in ["packs", "fleet"] {
            fs::create_dir(at.join(directory)).unwrap();
        }
        Self { _temp: temp, at }
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.args([
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
            "-C",
            self.at.join("packs").as_str(),
        ]);
        let done = git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }

    /// A version of the pack: exactly these files.
    fn version(&self, tag: &str, files: &[(&str, &str)]) {
        let packs = self.at.join("packs");
        if packs.join(".git").exists() {
            self.git(&["rm", "-rq", "--ignore-unmatch", "."]);
        } else {
            self.git(&["init", "-q", "-b", "main"]);
        }
        for (path, text) in files {
            write(&packs.join("bot").join(path), text);
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", tag]);
        self.git(&["tag", tag]);
    }

    fn fleet(&self, tag: &str, deployments: &BTreeMap<String, String>) -> Arc<Workspace> {
        let mut text = format!(
            "[fleet]\nname = \"f\"\nversion_file = \"VERSION\"\n[status]\ndirectory = \"../status\"\n\
             [sources.s]\nurl = \"../packs\"\n\
             [packs.bot]\nsource = \"s\"\ndir = \"bot\"\ntarget = \"app/bot\"\n\
             host_owns = [\".env\", \"*.log\", {{ file = \"settings.json\", keys = [\"/key\"] }}]\n\
             [profiles.all]\nhost = \"local\"\npacks.bot = {{ tag = \"{tag}\" }}\n"
        );
        for (name, more) in deployments {
            text.push_str(&format!(
                "[deployments.{name}]\nprofile = \"all\"\nroot = \"../hosts/{name}\"\n{more}\n"
            ));
        }
        let file = self.at.join("fleet/fleet.toml");
        fs::write(&file, text).unwrap();
        Arc::new(Workspace::load(&file, &self.at.join("cache")).unwrap_or_else(|error| panic!("{error:?}")))
    }

    fn root(&self, name: &str) -> Utf8PathBuf {
        self.at.join("hosts").join(name).join("app/bot")
    }
}

fn write(path: &Utf8Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn options() -> Options {
    Options {
        jobs: None,
        trust: Trust::StatCache,
        list: Unmanaged::Ignore,
        recover: Recover::Report,
        offline: Offline::Waits,
        gone: Gone::Say,
        stop: Stop::default(),
        hurry: None,
        now: "2026-11-24T08:00:00Z".parse().unwrap(),
        begun: None,
        voice: Some(Arc::new(Voice { by: Publisher::Controller, key: None })),
    }
}

fn survey(workspace: &Arc<Workspace>) -> Vec<Report> {
    look(workspace, Unmanaged::Ignore)
}

/// A look that lists is one at everything.
fn look(workspace: &Arc<Workspace>, list: Unmanaged) -> Vec<Report> {
    let nobody: Arc<dyn Events + Send + Sync> = Arc::new(());
    let all: BTreeSet<DeploymentName> = workspace.fleet.deployments.keys().cloned().collect();
    fleet::survey(workspace, &all, &Options { list, ..options() }, &nobody).unwrap()
}

fn apply(workspace: &Arc<Workspace>) {
    let nobody: Arc<dyn Events + Send + Sync> = Arc::new(());
    let reports = fleet::apply(workspace, survey(workspace), &options(), &nobody).unwrap();
    assert!(reports.iter().all(|report| report.failure.is_none()), "{reports:?}");
}

fn publish(workspace: &Arc<Workspace>) {
    let reports = survey(workspace);
    assert_eq!(publish_status(workspace, &reports, &options(), Check::Store), []);
}

/// The same fleet, as its statuses tell of it.
fn told(world: &World, workspace: &Workspace) -> Arc<Workspace> {
    let names = workspace.fleet.deployments.keys().cloned().collect();
    let statuses = read(workspace, &names, options().now).unwrap();
    let again =
        Workspace::load(&workspace.file, &world.at.join("cache")).unwrap_or_else(|_| panic!("a fleet"));
    Arc::new(again.told_by(Arc::new(statuses)))
}

const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

fn one() -> Vec<(&'static str, &'static str)> {
    vec![
        ("lines", LINES),
        ("other", LINES),
        ("same", "same\n"),
        ("gone", "goes away in two, with some more words\n"),
        ("old/name.md", "moves in two\nand is long enough\nto be known again\nby its lines\n"),
        ("dir/file", "becomes a directory's place\n"),
        ("place", "becomes a directory\n"),
        (".env", "KEY=\n"),
        ("settings.json", "{\"model\": \"a\", \"key\": \"\", \"more\": 1}\n"),
    ]
}

fn two() -> Vec<(&'static str, &'static str)> {
    vec![
        ("lines", "1\n2\n3\n4\n5\n6\n7\n8\nnine\n"),
        ("other", LINES),
        ("same", "same\n"),
        ("new/name.md", "moves in two\nand is long enough\nto be known again\nby its lines\n"),
        ("dir", "a file now\n"),
        ("place/inside", "a directory now\n"),
        ("fresh", "new in two\n"),
        ("sub/fresh", "new in two, below\n"),
        (".env", "KEY=\nMORE=\n"),
        ("app.log", "shipped once\n"),
        ("settings.json", "{\"model\": \"b\", \"key\": \"\", \"more\": 1}\n"),
    ]
}

/// Something that a person does on a host.
fn meddle(root: &Utf8Path, numbers: &mut Numbers) {
    let paths = [
        "lines",
        "other",
        "same",
        "gone",
        "old/name.md",
        "dir/file",
        "dir",
        "place",
        "place/inside",
        "fresh",
        "sub/fresh",
        "sub",
        ".env",
        "app.log",
        "settings.json",
        "new/name.md",
        "new",
        "stranger",
        "x/y",
    ];
    let path = root.join(numbers.pick(&paths));
    let clear = |path: &Utf8Path| {
        let _ = fs::remove_file(path);
        let _ = fs::remove_dir_all(path);
    };
    let _ = fs::create_dir_all(path.parent().unwrap());
    match numbers.below(9) {
        0 => {
            let text = fs::read_to_string(&path).unwrap_or_else(|_| LINES.to_owned());
            let _ = fs::write(&path, text.replacen('1', "one", 1));
        }
        1 => {
            let text = fs::read_to_string(&path).unwrap_or_else(|_| LINES.to_owned());
            let _ = fs::write(&path, text.replacen('9', "NEUN", 1).replace("\"\"", "\"secret\""));
        }
        2 => clear(&path),
        3 => {
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
        }
        4 => {
            clear(&path);
            let _ = symlink("/nowhere", &path);
        }
        5 => {
            clear(&path);
            let _ = fs::create_dir_all(&path);
        }
        6 => {
            clear(&path);
            let _ = fs::create_dir_all(&path).and_then(|()| fs::write(path.join("theirs"), "x"));
        }
        7 => {
            // What the next version will ship, already.
            let two = two();
            let known = two.iter().find(|(name, _)| root.join(name) == path);
            let _ = fs::write(&path, known.map_or("1\n", |(_, text)| *text));
        }
        _ => {
            let _ = fs::write(&path, "{\"key\": \"mine\", \"model\": \"a\", \"more\": 1}\n");
        }
    }
}

type Done<'a> = (&'a TreePath, &'a Action);

fn steps(report: &Report) -> Vec<Done<'_>> {
    report
        .survey
        .iter()
        .flat_map(|survey| &survey.plan.actions)
        .map(|action| (&action.path, action))
        .collect()
}

fn holds(report: &Report) -> BTreeSet<&Hold> {
    report.survey.iter().flat_map(|survey| &survey.plan.holds).collect()
}

/// What a saved plan keeps.
fn agreed(workspace: &Workspace, report: &Report) -> Agreed {
    Agreed::of(workspace, report).unwrap()
}

/// Compares one deployment; says whether anything was undecided.
fn same(workspace: &Workspace, host: &Report, status: &Report, what: &str) -> bool {
    let told = status.told.as_ref().unwrap_or_else(|| panic!("{what}: {:?}", status.failure));
    let plan = |report: &Report| report.survey.as_ref().unwrap().plan.clone();
    if told.undecided.is_empty() {
        let (host_plan, status_plan) = (plan(host), plan(status));
        assert_eq!(host_plan.holds, status_plan.holds, "{what}");
        assert_eq!(host_plan.actions, status_plan.actions, "{what}");
        assert_eq!(host_plan.id(), status_plan.id(), "{what}: {:?}", told);
        assert_eq!(agreed(workspace, host), agreed(workspace, status), "{what}: {told:?}");
        assert_eq!(
            (&host_plan.prune, &host_plan.renames),
            (&status_plan.prune, &status_plan.renames),
            "{what}"
        );
        assert_eq!(host.outcome, status.outcome, "{what}");
        return false;
    }
    // What stands in the way whatever the host's bytes say does so either way.
    assert!(holds(status).is_subset(&holds(host)), "{what}: {:?} {:?}", holds(host), holds(status));
    let worse = holds(host)
        .iter()
        .any(|hold| hold.path.as_ref().is_some_and(|path| told.undecided.contains_key(path)));
    if !worse {
        assert_eq!(holds(host), holds(status), "{what}: {told:?}");
        let decided: Vec<Done<'_>> =
            steps(host).into_iter().filter(|(path, _)| !told.undecided.contains_key(*path)).collect();
        assert_eq!(decided, steps(status), "{what}: {told:?}");
    }
    true
}

#[test]
fn plans_from_statuses_are_plans_from_hosts_but_for_what_is_undecided() {
    let mut numbers = Numbers(7);
    let (mut compared, mut undecided, mut held) = (0, 0, 0);
    for round in 0..6 {
        let world = World::new();
        world.version("v1", &one());
        world.version("v2", &two());
        let mut deployments = BTreeMap::new();
        for at in 0..24 {
            let changed = numbers.pick(&["merge", "merge", "keep", "revert"]);
            let deleted = numbers.pick(&["restore", "keep"]);
            let edits = format!("edits = {{ changed = \"{changed}\", deleted = \"{deleted}\" }}");
            deployments.insert(format!("d{at:02}"), edits);
        }
        apply(&world.fleet("v1", &deployments));
        for (at, name) in deployments.keys().enumerate() {
            for _ in 0..at % 5 {
                meddle(&world.root(name), &mut numbers);
            }
        }
        publish(&world.fleet("v1", &deployments));
        for tag in ["v1", "v2"] {
            let workspace = world.fleet(tag, &deployments);
            let from_hosts = survey(&workspace);
            let from_statuses = survey(&told(&world, &workspace));
            for (host, whole) in from_hosts.iter().zip(&look(&workspace, Unmanaged::List)) {
                let (host, whole) = (agreed(&workspace, host), agreed(&workspace, whole));
                assert_eq!(host, whole, "round {round}, {tag}");
            }
            assert_eq!(from_hosts.len(), from_statuses.len());
            for (host, status) in from_hosts.iter().zip(&from_statuses) {
                let what = format!(
                    "round {round}, {tag}, {} {}",
                    host.deployment,
                    deployments[host.deployment.as_str()]
                );
                undecided += usize::from(same(&workspace, host, status, &what));
                held += usize::from(host.outcome == Outcome::Held);
                compared += 1;
            }
        }
    }
    eprintln!("{compared} plans compared, {undecided} with undecided paths, {held} held");
    assert!(compared > 200 && undecided > 20 && undecided < compared / 2 && held > 20);
}

/// Deployments of a pack of 541 files, planned from their statuses: all in sync but for edits, and all to be upgraded.
/// What that costs is told, and not judged by a clock.
#[test]
fn many_deployments_of_a_large_pack() {
    let number = std::env::var("PACKFLEET_DEPLOYMENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let world = World::new();
    let names: Vec<String> = (0..541).map(|n| format!("src/part{}/file-{n:03}.md", n % 17)).collect();
    let texts: Vec<String> = (0..541).map(|n| format!("file {n}\n{LINES}")).collect();
    let files: Vec<(&str, &str)> = names.iter().zip(&texts).map(|(a, b)| (a.as_str(), b.as_str())).collect();
    world.version("v1", &files);
    let changed: Vec<String> = texts.iter().map(|text| text.replace('9', "nine")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().zip(&changed).map(|(a, b)| (a.as_str(), b.as_str())).collect();
    world.version("v2", &files);
    let deployments: BTreeMap<String, String> =
        (0..number).map(|n| (format!("d{n:04}"), String::new())).collect();
    apply(&world.fleet("v1", &deployments));
    for (at, name) in deployments.keys().enumerate().filter(|(at, _)| at % 10 == 0) {
        fs::write(world.root(name).join(format!("src/part0/file-{:03}.md", 17 * (at % 30))), "edited\n")
            .unwrap();
    }
    publish(&world.fleet("v1", &deployments));
    for tag in ["v1", "v2"] {
        let workspace = world.fleet(tag, &deployments);
        let clock = std::time::Instant::now();
        let told = told(&world, &workspace);
        let read = clock.elapsed();
        let reports = survey(&told);
        let steps: usize = reports.iter().map(|report| steps(report).len()).sum();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
        let edited = deployments.len().div_ceil(10);
        assert_eq!(steps, if tag == "v1" { 0 } else { 541 * deployments.len() - edited });
        eprintln!(
            "{tag}: {} deployments, {steps} steps: read in {read:?}, with plans {:?}; {peak}",
            reports.len(),
            clock.elapsed()
        );
    }
}
