//! The architecture as a test: floors, confined crates, sizes, names and manners of every file.
//!
//! Flow: every `.rs` file becomes a [`SourceFile`] (comments and strings blanked, test items marked), and
//! each rule of [`RULES`] looks at each file. What is not about Rust text (names of tracked files,
//! paths of somebody's machine) is checked over `git ls-files` in [`tracked`].
//!
//! A rule is a function from a file to complaints, and has a test beside it on a small bad text, so that
//! a rule that can no longer fail fails itself. Deliberately absent: types and name resolution. The
//! scan reads text; what the compiler and clippy can check is left to them.

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/manners.rs"]
mod manners;
#[path = "tidy/source_file.rs"]
mod source_file;
#[path = "tidy/tokens.rs"]
mod tokens;
#[path = "tidy/tracked.rs"]
mod tracked;

use std::fs;
use std::path::{Path, PathBuf};

use source_file::SourceFile;

/// Complaints about one file; empty if it obeys.
type Rule = fn(&SourceFile) -> Vec<String>;

const RULES: [(&str, Rule); 15] = [
    ("a module uses itself and lower floors only", floors::floors),
    ("floors 0 to 2 are pure", floors::pure),
    ("crates stay where they belong", floors::confined_crates),
    ("the library reads no environment, does not print and does not exit", floors::silent_library),
    ("unsafe lives in one module", floors::one_unsafe_module),
    ("no file has more than 600 product lines", manners::short_files),
    ("main.rs is under 20 lines", manners::short_main),
    ("every file opens with its purpose", manners::opens_with_purpose),
    ("names say what is inside", manners::telling_name),
    ("lints are expected with a reason, never allowed", manners::no_allow),
    ("nothing is left to do", manners::nothing_left_to_do),
    ("no test is ignored", manners::no_ignored_test),
    ("no lock is shared between tasks", manners::no_shared_lock),
    ("no order leaks from a hash map", manners::ordered_maps),
    ("no unwrap in product code", manners::no_unwrap),
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the repository's own directories, with paths relative to it, sorted.
fn rust_files() -> Vec<SourceFile> {
    let mut found = Vec::new();
    for directory in ["src", "tests", "examples", "benches", "fuzz/targets"] {
        collect(&repository().join(directory), &mut found);
    }
    found.sort();
    let mut files: Vec<SourceFile> = found
        .iter()
        .map(|path| {
            let name =
                path.strip_prefix(repository()).expect("below the repository").to_str().expect("UTF-8");
            SourceFile::new(name, &fs::read_to_string(path).expect("a readable file"))
        })
        .collect();
    source_file::mark_test_modules(&mut files);
    files
}

/// Packs of the demo are data, whatever their files are called.
fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let entry = entry.expect("a readable directory");
        let kind = entry.file_type().expect("a file type");
        let path = entry.path();
        if kind.is_dir() && !path.ends_with("examples/packs") {
            collect(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_obeys_every_rule() {
    let files = rust_files();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the scan finds no src/lib.rs");
    let mut complaints = Vec::new();
    for (title, rule) in RULES {
        for file in &files {
            complaints
                .extend(rule(file).into_iter().map(|what| format!("{}: {what}   ({title})", file.path)));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn the_median_file_is_short() {
    let files = rust_files();
    let sizes: Vec<(usize, &str)> = files
        .iter()
        .filter(|file| file.path.starts_with("src/") && !file.test)
        .map(|file| (file.product_lines(), file.path.as_str()))
        .collect();
    let report = manners::size_report(sizes);
    println!("{}", report.text);
    assert!(report.median <= 260, "{}", report.text);
}

#[test]
fn tracked_files_name_no_machine_and_no_registry() {
    let files = tracked::tracked_files(repository());
    assert!(files.iter().any(|path| path == "Cargo.toml"), "the listing has no Cargo.toml: {files:?}");
    let mut complaints = tracked::top_level(&files);
    for path in &files {
        // Binary files are no text, links and submodules no files: neither names a machine to a reader.
        if let Ok(text) = fs::read_to_string(repository().join(path)) {
            let found = tracked::machine_paths(&text).into_iter().chain(tracked::registry_hosts(&text));
            complaints.extend(found.map(|what| format!("{path}:{what}")));
        }
    }
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}
