//! The stories under `cases/`: a world as text, `=>`, the plan as text; `then` goes on from there.

use std::any::Any;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::laws;
use crate::undo;
use crate::world::World;

#[test]
fn every_story_ends_as_told() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner/cases");
    let mut files: Vec<_> =
        std::fs::read_dir(&directory).expect("cases").map(|entry| entry.expect("a case").path()).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let mut failed = String::new();
    for file in files {
        let told = std::fs::read_to_string(&file).expect("a story");
        let found = tell(&told, &mut failed);
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&file, &found).expect("a writable story");
        } else if told != found {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let diff = similar::TextDiff::from_lines(&told, &found);
            write!(failed, "--- {name}\n{}", diff.unified_diff().context_radius(6)).unwrap();
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

/// The file with every expectation replaced by what was found.
fn tell(text: &str, failed: &mut String) -> String {
    let mut out = String::new();
    let mut world = World::empty();
    let mut title = "";
    let mut telling = true;
    for line in text.lines().chain(["##"]) {
        if line == "then" || line.starts_with("##") {
            telling = true;
        }
        if !telling || line == "##" {
            continue;
        }
        writeln!(out, "{line}").unwrap();
        match line {
            "=>" => {
                telling = false;
                match catch_unwind(AssertUnwindSafe(|| {
                    let plan = match world.back.take() {
                        Some(back) => undo::step(&mut world, &back),
                        None => laws::step(&mut world),
                    };
                    world.render(&plan)
                })) {
                    Ok(found) => writeln!(out, "{found}").unwrap(),
                    Err(why) => {
                        writeln!(failed, "{title}: {}", told(why)).unwrap();
                        out.push('\n');
                    }
                }
            }
            "then" | "" => {}
            _ if line.starts_with("##") => {
                title = line;
                world = World::empty();
            }
            _ if line.starts_with('#') => {}
            _ => {
                if let Err(why) = catch_unwind(AssertUnwindSafe(|| world.line(line))) {
                    writeln!(failed, "{title}: {line}: {}", told(why)).unwrap();
                }
            }
        }
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

/// What a panic said.
fn told(why: Box<dyn Any + Send>) -> String {
    why.downcast::<String>()
        .map_or_else(|why| why.downcast_ref::<&str>().copied().unwrap_or("?").to_owned(), |why| *why)
}
