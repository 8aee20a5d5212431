//! The pure core by itself, at 1,000, 10,000 and 100,000 paths: `cargo bench --bench core [FILTER]`.
//!
//! One pack in two versions that differ in one file of a hundred. What is measured: the tree's digest, rendering without
//! and with an overlay, judging and planning (nothing to do; an upgrade), the record's bytes; and apart from paths, a
//! merge of 20,000 lines, a merge of 5,000 keys, and a fleet file of 1,000 deployments. Whole processes are measured by
//! `benches/compare.sh`. Deliberately absent: anything that touches a disk.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use packfleet::desired::fleet_file::{Context, FleetText, parse};
use packfleet::desired::lay::Layer;
use packfleet::desired::overlay::Overlay;
use packfleet::desired::render::{Rendered, render};
use packfleet::merge::structured::{Format, merge_keys, three_way};
use packfleet::merge::{TextMerge, merge_text};
use packfleet::model::actual::{Actual, Seen};
use packfleet::model::desired::{Desired, DesiredPack, Resolution, pack_digest};
use packfleet::model::fleet::{Deployment, Fleet};
use packfleet::model::pack::{CommitId, Pack, PackEntry, PackTree, Pin};
use packfleet::model::packed::Packed;
use packfleet::model::record::{Record, RecordedPack};
use packfleet::model::{Content, Kind, TreePath};
use packfleet::plan::planner::{Question, plan};
use packfleet::plan::standing::standing;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("a path")
}

/// A fleet with one pack on so many deployments.
fn fleet_text(deployments: usize) -> String {
    let mut text = "[fleet]\nname = \"f\"\nversion_file = \"VERSION\"\n[sources.s]\nurl = \"https://example.org/s.git\"\n\
                    [packs.p]\nsource = \"s\"\ndir = \"p\"\ntarget = \"skills/p\"\nhost_owns = [\"*.log\", \"/cache/\"]\n"
        .to_owned();
    for number in 0..deployments {
        text += &format!(
            "\n[deployments.edge-{number:04}]\nhost = \"local\"\nroot = \"/srv/edge-{number:04}\"\nlabels = [\"ring-{}\"]\n\
             packs.p = {{ version = \"^1.2\", overlays = [\"mine\"] }}\n",
            number % 10
        );
    }
    text
}

fn fleet(text: &str) -> Fleet {
    let files = [FleetText { name: "fleet.toml".into(), text: text.into() }];
    let context = Context { directory: "/srv/fleet".into(), overlays: [("mine".to_owned(), None)].into() };
    parse(&files, &context).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The pack's tree in a version.
fn tree(paths: usize, version: usize) -> Vec<PackEntry> {
    (0..paths)
        .map(|file| {
            let changed = if file % 100 == 0 { version } else { 0 };
            let (topic, part) = (file / 50, file / 2_500);
            PackEntry {
                path: path(&format!("part-{part:02}/topic-{topic:04}/file-{file:06}.md")),
                kind: if file % 40 == 0 { Kind::Exec } else { Kind::File },
                content: Content::of(format!("{file} {changed}").as_bytes()),
                size: 4_096,
                link: None,
            }
        })
        .collect()
}

fn commit(version: usize) -> CommitId {
    CommitId::new(&format!("{version:040x}")).expect("an id")
}

fn rendered(pack: &Pack, tree: &[PackEntry], version: usize, overlays: &[Overlay]) -> Rendered {
    let layers: Vec<Layer<'_>> = overlays.iter().map(|overlay| Layer { overlay, base: None }).collect();
    render(pack, tree, Some(&commit(version)), &layers, &|_| Err("no bytes".into())).expect("it renders")
}

fn desired(pack: &Pack, tree: &[PackEntry], version: usize) -> Desired {
    let rendered = rendered(pack, tree, version, &[]);
    let recorded = RecordedPack {
        pin: Pin {
            version: format!("1.{version}.0"),
            found_by: format!("v1.{version}.0"),
            commit: Some(commit(version)),
            tree: rendered.tree,
        },
        requirement: "version ^1.2".into(),
        source: pack.source.clone(),
        overlays: Vec::new(),
        desired: pack_digest(&rendered.entries),
        requires: Vec::new(),
        install: pack.install.clone(),
        host_owns: pack.host_owns.clone(),
        host_keys: Vec::new(),
        modes: pack.modes,
        atomic: pack.atomic,
        edits: Default::default(),
        version_key: pack.version_key.clone(),
        features: Vec::new(),
    };
    let pinned = DesiredPack { recorded, entries: rendered.entries.into() };
    Desired { packs: [(pack.name.clone(), Resolution::Pinned(Box::new(pinned)))].into() }
}

/// A host that holds what is desired, and its record.
fn installed(fleet: &Fleet, deployment: &Deployment, desired: &Desired) -> (Record, Actual) {
    let nothing = Actual::default();
    let first = question(fleet, deployment, None, desired, &nothing);
    let record = plan(&first, &first.drift(), &BTreeMap::new()).next;
    let mut actual = Actual::default();
    for (at, recorded) in &record.entries {
        actual.directories.extend(at.ancestors());
        actual.paths.insert(at.clone(), Seen::Entry(recorded.base.expect("nothing is the host's")));
    }
    (record, actual)
}

fn question<'a>(
    fleet: &'a Fleet,
    deployment: &'a Deployment,
    record: Option<&'a Record>,
    desired: &'a Desired,
    actual: &'a Actual,
) -> Question<'a> {
    let digest = record.map(Record::digest);
    Question { fleet: &fleet.name, deployment, record, digest, desired, actual, budget: &fleet.budget }
}

fn by_paths(criterion: &mut Criterion) {
    let fleet = fleet(&fleet_text(1));
    let (pack, deployment) = (&fleet.packs["p"], &fleet.deployments["edge-0000"]);
    let manifest = "pack = \"p\"\n";
    let own = [
        ("overlay.toml", manifest),
        ("part-00/topic-0000/file-000001.md", "ours\n"),
        ("part-00/new.md", "new\n"),
    ];
    let own = own.map(|(at, text)| (path(at), (Kind::File, text.as_bytes().to_vec())));
    let overlay = Overlay::new("mine".parse().expect("a name"), own.into()).expect("an overlay");
    let overlays = [overlay];
    for paths in SIZES {
        let mut group = criterion.benchmark_group("paths");
        group.throughput(Throughput::Elements(paths as u64));
        group.sample_size(if paths > 10_000 { 10 } else { 50 });
        let (old, new) = (tree(paths, 1), tree(paths, 2));
        let (had, wanted) = (desired(pack, &old, 1), desired(pack, &new, 2));
        let (record, actual) = installed(&fleet, deployment, &had);
        let bytes = record.encode();
        let mut bench = |name: &str, run: &mut dyn FnMut()| {
            group.bench_function(BenchmarkId::new(name, paths), |bencher| bencher.iter(&mut *run));
        };
        bench("tree digest", &mut || {
            black_box(PackTree::digest_of(black_box(&old)));
        });
        bench("render", &mut || drop(black_box(rendered(pack, &old, 1, &[]))));
        bench("render with an overlay", &mut || drop(black_box(rendered(pack, &old, 1, &overlays))));
        bench("standing", &mut || {
            for (at, recorded) in &record.entries {
                let there = match actual.paths.get(at) {
                    Some(Seen::Entry(entry)) => Some(*entry),
                    _ => None,
                };
                black_box(standing(recorded.base, there, recorded.base));
            }
        });
        let same = question(&fleet, deployment, Some(&record), &had, &actual);
        bench("judge, in sync", &mut || drop(black_box(same.drift())));
        let drift = same.drift();
        bench("plan, in sync", &mut || drop(black_box(plan(&same, &drift, &BTreeMap::new()))));
        let upgrade = question(&fleet, deployment, Some(&record), &wanted, &actual);
        let drift = upgrade.drift();
        bench("plan, upgrade", &mut || drop(black_box(plan(&upgrade, &drift, &BTreeMap::new()))));
        bench("record encode", &mut || drop(black_box(record.encode())));
        bench("record decode", &mut || drop(black_box(Record::decode(&bytes).expect("it decodes"))));
        bench("record open", &mut || {
            drop(black_box(Packed::open(Cow::Borrowed(&bytes)).expect("it opens")));
        });
        group.finish();
    }
}

/// A thousand of these are a fleet: judged and planned, from what is recorded and seen.
fn a_deployment(criterion: &mut Criterion) {
    let fleet = fleet(&fleet_text(1));
    let (pack, deployment) = (&fleet.packs["p"], &fleet.deployments["edge-0000"]);
    let (had, wanted) = (desired(pack, &tree(541, 1), 1), desired(pack, &tree(541, 2), 2));
    let (record, actual) = installed(&fleet, deployment, &had);
    criterion.bench_function("judge and plan 541 files", |bencher| {
        bencher.iter(|| {
            let question = question(&fleet, deployment, Some(&record), &wanted, &actual);
            plan(&question, &question.drift(), &BTreeMap::new())
        });
    });
}

/// A text of so many lines, some of which repeat, with every so manieth changed.
fn text(lines: usize, every: usize, from: usize, word: &str) -> String {
    (0..lines)
        .map(|line| match line {
            _ if every > 0 && line % every == from => format!("{word} {line}\n"),
            _ if line % 5 == 0 => "}\n".to_owned(),
            _ => format!("    line {line} of a file\n"),
        })
        .collect()
}

fn merges(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(20);
    let [base, ours, theirs] =
        [text(20_000, 0, 0, ""), text(20_000, 50, 7, "ours"), text(20_000, 50, 32, "theirs")];
    let merge = || merge_text(base.as_bytes(), ours.as_bytes(), theirs.as_bytes());
    assert!(matches!(merge(), TextMerge::Clean(_)));
    group.bench_function("text of 20,000 lines", |bencher| bencher.iter(merge));
    let other = text(20_000, 50, 7, "theirs");
    let conflict = || merge_text(base.as_bytes(), ours.as_bytes(), other.as_bytes());
    assert!(matches!(conflict(), TextMerge::Conflict { .. }));
    group.bench_function("text of 20,000 lines, 400 conflicts", |bencher| bencher.iter(conflict));

    let json = |changed: usize| {
        let member = |n: usize| {
            format!(
                "    \"key-{n}\": {{ \"a\": {}, \"b\": [1, 2] }}, // {n}\n",
                if n % 50 == changed { 2 } else { 1 }
            )
        };
        format!("{{\n{}  \"end\": true\n}}\n", (0..5_000).map(member).collect::<String>())
    };
    let toml = |changed: usize| {
        let table = |n: usize| {
            format!("[key-{n}] # {n}\na = {}\nb = [1, 2]\n\n", if n % 50 == changed { 2 } else { 1 })
        };
        (0..5_000).map(table).collect::<String>()
    };
    for (format, [base, ours, theirs], keys) in [
        (Format::Json, [json(99), json(7), json(32)], "{ \"key-7\": { \"a\": 3 }, \"new\": {} }"),
        (Format::Toml, [toml(99), toml(7), toml(32)], "new = 1\n[key-7]\na = 3\n"),
    ] {
        group.bench_function(format!("keys of an overlay into 5,000 of {format}"), |bencher| {
            bencher.iter(|| merge_keys(format, &base, keys).expect("they merge"));
        });
        group.bench_function(format!("three ways of 5,000 keys of {format}"), |bencher| {
            bencher.iter(|| three_way(format, &base, &ours, &theirs).expect("they merge"));
        });
    }
    group.finish();
}

fn fleet_file(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fleet file");
    group.sample_size(20);
    for deployments in [10, 100, 1_000] {
        let text = fleet_text(deployments);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("deployments", deployments), |bencher| {
            bencher.iter(|| fleet(&text))
        });
    }
    group.finish();
}

criterion_group!(benches, by_paths, a_deployment, merges, fleet_file);
criterion_main!(benches);
