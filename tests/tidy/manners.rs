//! Rules about how a file is written: length, name, opening, and what must not stand in it.

use crate::source_file::SourceFile;

const MAX_PRODUCT_LINES: usize = 600;

const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "helpers", "helper", "manager", "managers", "common", "misc", "stuff"];

fn everywhere(file: &SourceFile, sequences: &[&[&str]]) -> Vec<String> {
    let found = |words: &&[&str]| -> Vec<String> {
        file.sequences(words).iter().map(|line| format!("{line}: `{}`", words.concat())).collect()
    };
    sequences.iter().flat_map(found).collect()
}

/// No file has more than 600 lines beside its tests.
pub fn short_files(file: &SourceFile) -> Vec<String> {
    let lines = file.product_lines();
    if lines > MAX_PRODUCT_LINES {
        vec![format!("{lines} product lines: split it by topic")]
    } else {
        Vec::new()
    }
}

/// `src/main.rs` parses, runs and exits, and nothing else.
pub fn short_main(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.path == "src/main.rs" && lines >= 20 { vec![format!("{lines} lines")] } else { Vec::new() }
}

/// A file opens with its purpose.
pub fn opens_with_purpose(file: &SourceFile) -> Vec<String> {
    let purpose = file.text.lines().next().and_then(|line| line.strip_prefix("//!"));
    if purpose.is_some_and(|text| !text.trim().is_empty()) {
        Vec::new()
    } else {
        vec!["1: the first line is no `//! purpose`".into()]
    }
}

/// No file or directory is called by a word that says nothing.
pub fn telling_name(file: &SourceFile) -> Vec<String> {
    let words = file.path.trim_end_matches(".rs").split(['/', '_']);
    words
        .filter(|word| EMPTY_NAMES.contains(word))
        .map(|word| format!("`{word}` does not say what is inside"))
        .collect()
}

/// A lint is expected with a reason (and complains once it is not needed), never allowed.
pub fn no_allow(file: &SourceFile) -> Vec<String> {
    everywhere(file, &[&["#", "[", "allow", "("], &["#", "!", "[", "allow", "("]])
}

/// Nothing is left to do.
pub fn nothing_left_to_do(file: &SourceFile) -> Vec<String> {
    everywhere(file, &[&["todo", "!"], &["unimplemented", "!"], &["dbg", "!"]])
}

/// A test that does not run is no test.
pub fn no_ignored_test(file: &SourceFile) -> Vec<String> {
    everywhere(file, &[&["#", "[", "ignore"]])
}

/// Owners and channels, not locks that are passed around.
pub fn no_shared_lock(file: &SourceFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (at, token) in file.product.iter().enumerate() {
        // `Arc<Mutex<`, `Arc<std::sync::Mutex<`, `Arc::new(Mutex::new(`
        let opening = |word: &str| matches!(word, "<" | "::" | "(" | "new" | "std" | "sync" | "tokio");
        let inside = file.product[at + 1..].iter().find(|token| !opening(&token.text));
        if token.text == "Arc"
            && inside.is_some_and(|token| matches!(token.text.as_str(), "Mutex" | "RwLock"))
        {
            complaints.push(format!("{}: a lock in an Arc", token.line));
        }
    }
    if file.test { Vec::new() } else { complaints }
}

/// What a plan is made of has an order of its own.
pub fn ordered_maps(file: &SourceFile) -> Vec<String> {
    if !matches!(file.floor_name(), Some("model" | "desired" | "plan")) {
        return Vec::new();
    }
    ["HashMap", "HashSet"]
        .iter()
        .flat_map(|name| {
            file.product_sequences(&[name]).into_iter().map(move |line| format!("{line}: {name}"))
        })
        .collect()
}

/// Absence and failure are values; where one is impossible, `expect` says why.
pub fn no_unwrap(file: &SourceFile) -> Vec<String> {
    if !file.path.starts_with("src/") {
        return Vec::new();
    }
    let calls = [&[".", "unwrap", "("], &[".", "unwrap_err", "("]];
    calls
        .iter()
        .flat_map(|words| file.product_sequences(*words))
        .map(|line| format!("{line}: an unwrap: return the error, or say with `expect` why there is none"))
        .collect()
}

/// How long files are.
pub struct SizeReport {
    /// Product lines of the middle file.
    pub median: usize,
    /// For people: count, median and the longest.
    pub text: String,
}

/// Sums up product lines of files; no files: a median of 0.
pub fn size_report(mut sizes: Vec<(usize, &str)>) -> SizeReport {
    sizes.sort();
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    let longest: Vec<String> =
        sizes.iter().rev().take(5).map(|(lines, path)| format!("  {lines:4} {path}")).collect();
    let text =
        format!("{} files, median {median} product lines, longest:\n{}", sizes.len(), longest.join("\n"));
    SizeReport { median, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;

    fn complaints(rule: Rule, path: &str, text: &str) -> usize {
        rule(&SourceFile::new(path, text)).len()
    }

    #[test]
    fn long_files_are_seen() {
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(complaints(short_files, "src/a.rs", &format!("{}{tests}", "\n".repeat(600))), 0);
        assert_eq!(complaints(short_files, "src/a.rs", &format!("{}{tests}", "\n".repeat(601))), 1);
        assert_eq!(complaints(short_main, "src/main.rs", &"\n".repeat(19)), 0);
        assert_eq!(complaints(short_main, "src/main.rs", &"\n".repeat(20)), 1);
    }

    #[test]
    fn the_report_names_median_and_longest() {
        let report = size_report(vec![(10, "a"), (300, "b"), (20, "c")]);
        assert_eq!(report.median, 20);
        assert!(report.text.contains("300 b"), "{}", report.text);
        assert_eq!(size_report(Vec::new()).median, 0);
    }

    #[test]
    fn missing_purposes_are_seen() {
        assert_eq!(complaints(opens_with_purpose, "src/a.rs", "//! Why.\n"), 0);
        for text in ["", "//!\nuse a;", "use a;", "// no\n//! late"] {
            assert_eq!(complaints(opens_with_purpose, "src/a.rs", text), 1, "{text:?}");
        }
    }

    #[test]
    fn empty_names_are_seen() {
        for (path, expected) in [
            ("src/host/utils.rs", 1),
            ("tests/common/mod.rs", 1),
            ("src/cli/text_helpers.rs", 1),
            ("src/host/scan.rs", 0),
            ("src/commonplace.rs", 0),
        ] {
            assert_eq!(complaints(telling_name, path, ""), expected, "{path}");
        }
    }

    #[test]
    fn forbidden_words_are_seen() {
        let cases: [(Rule, &str, usize); 16] = [
            (no_allow, "#[allow(dead_code)] fn f() {}", 1),
            (no_allow, "#![allow(dead_code)]", 1),
            (no_allow, "#[expect(dead_code, reason = \"x\")]", 0),
            (nothing_left_to_do, "fn f() { todo!() } fn g() { unimplemented!() } fn h() { dbg!(1); }", 3),
            (nothing_left_to_do, "// todo!()", 0),
            (no_ignored_test, "#[ignore] fn f() {} #[ignore = \"slow\"] fn g() {}", 2),
            (no_shared_lock, "fn f(x: Arc<Mutex<u8>>, y: Arc<std::sync::RwLock<u8>>) {}", 2),
            (no_shared_lock, "let x = Arc::new(Mutex::new(1));", 1),
            (no_shared_lock, "let x: Arc<str>; let y: Mutex<u8>;", 0),
            (ordered_maps, "use std::collections::{HashMap, HashSet};", 2),
            (ordered_maps, "use std::collections::BTreeMap;", 0),
            (no_unwrap, "fn f() { g().unwrap() }", 1),
            (no_unwrap, "fn f() { g().unwrap_err() }", 1),
            (no_unwrap, "fn f() { g().unwrap_or(1) }", 0),
            (no_unwrap, "#[cfg(test)] mod tests { fn f() { g().unwrap() } }", 0),
            (ordered_maps, "#[cfg(test)] mod tests { use std::collections::HashMap; }", 0),
        ];
        for (rule, text, expected) in cases {
            assert_eq!(complaints(rule, "src/plan/a.rs", text), expected, "{text}");
        }
    }
}
