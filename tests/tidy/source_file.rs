//! One Rust file as the rules see it: its place in the crate, its tokens, and which of them are product.
//!
//! Product is what is compiled without `cfg(test)`. Test items are found by their attribute, and a
//! file that another one declares as `#[cfg(test)] mod name;` is test as a whole.

use std::ops::RangeInclusive;

use crate::tokens::{Token, tokens};

/// One Rust file.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the repository, with `/`.
    pub path: String,
    /// As it is on disk.
    pub text: String,
    /// All of its tokens.
    pub tokens: Vec<Token>,
    /// Those outside test items.
    pub product: Vec<Token>,
    /// Its module path in the crate; empty for the crate roots, `None` outside `src`.
    pub module: Option<Vec<String>>,
    /// Whether it is test code as a whole.
    pub test: bool,
    test_lines: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
    /// Files that `#[path = "…"]` at a test module names.
    test_files: Vec<String>,
}

/// A path such as `crate::model::plan`, written out or as a leaf of a `use` tree.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    /// `crate`, `self` and `super` are resolved: paths into this crate begin with `crate`.
    pub segments: Vec<String>,
    /// The line of its last segment.
    pub line: usize,
}

impl Path {
    /// Whether it begins with these segments.
    pub fn starts_with(&self, prefix: &[&str]) -> bool {
        self.segments.len() >= prefix.len() && self.segments.iter().zip(prefix).all(|(a, b)| a == b)
    }

    /// Whether it ends with these segments.
    pub fn ends_with(&self, suffix: &[&str]) -> bool {
        self.segments.len() >= suffix.len()
            && self.segments.iter().rev().zip(suffix.iter().rev()).all(|(a, b)| a == b)
    }

    /// As it would be written.
    pub fn shown(&self) -> String {
        self.segments.join("::")
    }
}

impl SourceFile {
    /// Reads a text as the file at `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let tokens = tokens(text);
        let module = module_of(path);
        let test = module.is_none() && !path.starts_with("examples/") || is_test_file(&tokens);
        let mut file = Self {
            path: path.to_string(),
            text: text.to_string(),
            product: Vec::new(),
            tokens,
            module,
            test,
            test_lines: Vec::new(),
            test_modules: Vec::new(),
            test_files: Vec::new(),
        };
        file.split_product();
        file
    }

    fn split_product(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            if let Some(end) = test_item_end(&self.tokens, at) {
                self.test_lines.push(self.tokens[at].line..=self.tokens[end - 1].line);
                if let [.., keyword, name, semicolon] = &self.tokens[at..end]
                    && keyword.text == "mod"
                    && semicolon.text == ";"
                {
                    match self.path_attribute(self.tokens[at].line, name.line) {
                        Some(file) => self.test_files.push(file),
                        None => self.test_modules.push(name.text.clone()),
                    }
                }
                at = end;
            } else {
                self.product.push(self.tokens[at].clone());
                at += 1;
            }
        }
    }

    /// The file that a `#[path = "…"]` between two lines names. Literals are blank among the tokens, so that
    /// this one is read from the text.
    fn path_attribute(&self, first: usize, last: usize) -> Option<String> {
        let mut lines = self.text.lines().skip(first - 1).take(last + 1 - first);
        let name = lines.find_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))?;
        let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
        Some(format!("{directory}/{name}"))
    }

    /// Lines that are not part of a test item.
    pub fn product_lines(&self) -> usize {
        let test: usize = self.test_lines.iter().map(|lines| lines.end() - lines.start() + 1).sum();
        if self.test { 0 } else { self.text.lines().count().saturating_sub(test) }
    }

    /// The first segment of its module path: the floor's name.
    pub fn floor_name(&self) -> Option<&str> {
        self.module.as_ref()?.first().map(String::as_str)
    }

    /// All paths of two or more segments in product code; none in test files.
    pub fn product_paths(&self) -> Vec<Path> {
        if self.test {
            return Vec::new();
        }
        let base = self.module.clone().unwrap_or_default();
        let mut walk = PathWalk { tokens: &self.product, base, found: Vec::new() };
        walk.run();
        walk.found
    }

    /// Lines of product code where these tokens follow each other.
    pub fn product_sequences(&self, words: &[&str]) -> Vec<usize> {
        if self.test { Vec::new() } else { sequences(&self.product, words) }
    }

    /// Lines of the file, tests included, where these tokens follow each other.
    pub fn sequences(&self, words: &[&str]) -> Vec<usize> {
        sequences(&self.tokens, words)
    }
}

/// Marks files that others declare as test modules, and all below them.
pub fn mark_test_modules(files: &mut [SourceFile]) {
    let declared: Vec<Vec<String>> = files
        .iter()
        .filter_map(|file| Some((file.module.as_ref()?, &file.test_modules)))
        .flat_map(|(module, names)| {
            names.iter().map(|name| [module.as_slice(), std::slice::from_ref(name)].concat())
        })
        .collect();
    let named: Vec<String> = files.iter().flat_map(|file| file.test_files.clone()).collect();
    for file in files {
        file.test |= named.contains(&file.path);
        let Some(module) = &file.module else { continue };
        file.test |= declared.iter().any(|prefix| module.starts_with(prefix));
    }
}

fn sequences(tokens: &[Token], words: &[&str]) -> Vec<usize> {
    let fits = |window: &&[Token]| window.iter().zip(words).all(|(token, word)| token.text == *word);
    tokens.windows(words.len()).filter(fits).map(|window| window[0].line).collect()
}

fn module_of(path: &str) -> Option<Vec<String>> {
    let inside = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<String> = inside.split('/').map(String::from).collect();
    if matches!(parts.last().map(String::as_str), Some("mod")) || inside == "lib" || inside == "main" {
        parts.pop();
    }
    Some(parts)
}

fn words_at(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(n, word)| tokens.get(at + n).is_some_and(|token| token.text == *word))
}

fn is_test_file(tokens: &[Token]) -> bool {
    (0..tokens.len()).any(|at| words_at(tokens, at, &["#", "!", "[", "cfg", "(", "test", ")", "]"]))
}

/// Just behind the test item that begins at `at`: its attributes and all of its body.
fn test_item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let alone = words_at(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"]);
    let with_more = words_at(tokens, at, &["#", "[", "cfg", "(", "all", "(", "test"]);
    if !alone && !with_more {
        return None;
    }
    let mut end = at;
    while words_at(tokens, end, &["#", "["]) {
        end = closed(tokens, end + 1);
    }
    while end < tokens.len() {
        match tokens[end].text.as_str() {
            ";" => return Some(end + 1),
            "{" => {
                let behind = closed(tokens, end);
                return Some(behind + usize::from(words_at(tokens, behind, &[";"])));
            }
            "(" | "[" => end = closed(tokens, end),
            "}" => return Some(end),
            _ => end += 1,
        }
    }
    Some(end)
}

/// Just behind the bracket that closes the one at `open`.
fn closed(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

struct PathWalk<'a> {
    tokens: &'a [Token],
    /// The module that the walk is in; inline modules are pushed and popped.
    base: Vec<String>,
    found: Vec<Path>,
}

impl PathWalk<'_> {
    fn run(&mut self) {
        let mut depth = 0_usize;
        let mut inline = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let token = &self.tokens[at];
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        self.base.pop();
                    }
                }
                "mod" if words_at(self.tokens, at + 2, &["{"]) => {
                    inline.push(depth);
                    self.base.push(self.tokens[at + 1].text.clone());
                }
                _ => {}
            }
            at = if token.is_word() && words_at(self.tokens, at + 1, &["::"]) {
                self.path(at, Vec::new())
            } else {
                at + 1
            };
        }
    }

    /// Reads the path, or the tree of paths, that begins at a word; returns what is behind it.
    fn path(&mut self, mut at: usize, mut segments: Vec<String>) -> usize {
        loop {
            let Some(token) = self.tokens.get(at) else { return at };
            match token.text.as_str() {
                "{" => return self.group(at + 1, &segments),
                "*" => {}
                _ if token.is_word() => {}
                _ => {
                    self.emit(segments, token.line);
                    return at;
                }
            }
            segments.push(token.text.clone());
            at += 1;
            if !words_at(self.tokens, at, &["::"]) {
                self.emit(segments, token.line);
                return at;
            }
            at += 1;
        }
    }

    fn group(&mut self, mut at: usize, prefix: &[String]) -> usize {
        while let Some(token) = self.tokens.get(at) {
            at = match token.text.as_str() {
                "}" => return at + 1,
                "as" => at + 2,
                "*" => self.path(at, prefix.to_vec()),
                _ if token.is_word() => self.path(at, prefix.to_vec()),
                _ => at + 1,
            };
        }
        at
    }

    fn emit(&mut self, segments: Vec<String>, line: usize) {
        let mut rest = segments.as_slice();
        let absolute = match segments.first().map(String::as_str) {
            Some("crate" | "packfleet") => Some(Vec::new()),
            Some("self" | "super") => Some(self.base.clone()),
            _ => None,
        };
        let segments = match absolute {
            None => segments.clone(),
            Some(mut base) => {
                while let Some((first, behind)) = rest.split_first()
                    && matches!(first.as_str(), "crate" | "packfleet" | "self" | "super")
                {
                    if first == "super" {
                        base.pop();
                    }
                    rest = behind;
                }
                [&["crate".to_string()], base.as_slice(), rest].concat()
            }
        };
        if segments.len() > 1 {
            self.found.push(Path { segments, line });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        SourceFile::new(path, text).product_paths().iter().map(Path::shown).collect()
    }

    #[test]
    fn trees_of_use_are_written_out() {
        assert_eq!(
            paths(
                "src/host/scan.rs",
                "use std::{fs, io::{self, Read as R}}; use crate::{model::{A, plan::*}, b::C};"
            ),
            [
                "std::fs",
                "std::io::self",
                "std::io::Read",
                "crate::model::A",
                "crate::model::plan::*",
                "crate::b::C"
            ]
        );
    }

    #[test]
    fn relative_paths_are_resolved() {
        let text = "use super::port; use self::x::Y; use super::super::model::A; mod inner { use super::super::Z; } use super::W;";
        assert_eq!(
            paths("src/host/scan.rs", text),
            [
                "crate::host::port",
                "crate::host::scan::x::Y",
                "crate::model::A",
                "crate::host::Z",
                "crate::host::W"
            ]
        );
        assert_eq!(paths("src/host/mod.rs", "use super::model::A;"), ["crate::model::A"]);
        assert_eq!(paths("src/main.rs", "packfleet::cli::run()"), ["crate::cli::run"]);
    }

    #[test]
    fn paths_in_expressions_attributes_and_generics_are_seen() {
        let text = "#[tokio::main] fn f() { ::std::fs::read::<u8>(x); tracing::info!(a) } ";
        assert_eq!(paths("src/host/scan.rs", text), ["tokio::main", "std::fs::read", "tracing::info"]);
    }

    #[test]
    fn test_items_are_no_product() {
        let text = "a::a();\n#[cfg(test)]\nmod contract;\nb::b();\n#[cfg(test)]\n#[path = \"x\"]\nfn f(x: [u8; 2]) {\n c::c() }\n\
                    #[cfg(all(test, unix))]\nuse d::{D};\ne::e();\n";
        let file = SourceFile::new("src/host/scan.rs", text);
        let shown: Vec<String> = file.product_paths().iter().map(Path::shown).collect();
        assert_eq!(shown, ["a::a", "b::b", "e::e"]);
        assert_eq!(file.product_lines(), 3);
        assert!(SourceFile::new("src/host/x.rs", "#![cfg(test)] a::a()").product_paths().is_empty());
    }

    #[test]
    fn declared_test_modules_are_test_with_all_below_them() {
        let mut files = vec![
            SourceFile::new("src/host/mod.rs", "#[cfg(test)]\nmod contract;\nmod scan;"),
            SourceFile::new("src/host/wire.rs", "#[cfg(test)]\n#[path = \"wire_tests.rs\"]\nmod tests;"),
            SourceFile::new("src/host/wire_tests.rs", "a::a();"),
            SourceFile::new("src/host/contract.rs", "a::a();"),
            SourceFile::new("src/host/contract/deep.rs", "a::a();"),
            SourceFile::new("src/host/scan.rs", "a::a();"),
        ];
        mark_test_modules(&mut files);
        assert_eq!(
            files.iter().map(|file| file.test).collect::<Vec<_>>(),
            [false, false, true, true, true, false]
        );
    }
}
