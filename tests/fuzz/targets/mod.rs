//! What is fuzzed, and the laws that must hold for any bytes whatever.
//!
//! A target takes bytes, understands them as input of one part of packfleet, and panics where a law does not
//! hold; bytes that are no input are no fault. The same bodies run twice: a short while with a fixed seed under
//! `cargo test` (`tests/fuzz.rs`), and as long as wanted, guided by coverage, by `fuzz/run`.
//!
//! Input of several texts is cut at the byte 0xff, which no UTF-8 text has in it, so that a fuzzer can cut, join
//! and swap them. Deliberately absent: anything that writes a file.

pub mod fleet;
pub mod journal;
pub mod keys;
pub mod lock;
pub mod manifest;
pub mod patch;
pub mod path;
pub mod record;
pub mod text;

/// One thing that is fuzzed.
pub struct Target {
    /// Its name, of the binary in `fuzz/` too.
    pub name: &'static str,
    /// Inputs to start from; each is sound and reaches what the target is about.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What its input is made of.
    pub words: &'static [&'static str],
    /// Checks the laws.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 10] = [
    fleet::TARGET,
    lock::TARGET,
    patch::TARGET,
    keys::JSON,
    keys::TOML,
    text::TARGET,
    journal::TARGET,
    record::TARGET,
    manifest::TARGET,
    path::TARGET,
];

/// The target of a name.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of this name")
}

/// Stands between the texts of one input.
pub const CUT: u8 = 0xff;

/// The texts of an input.
pub fn parts(data: &[u8]) -> Vec<&[u8]> {
    data.split(|byte| *byte == CUT).collect()
}

/// The texts of an input, if all are UTF-8.
pub fn texts(data: &[u8]) -> Option<Vec<&str>> {
    parts(data).into_iter().map(|part| std::str::from_utf8(part).ok()).collect()
}

/// An input of several texts.
pub fn joined(texts: &[&str]) -> Vec<u8> {
    texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>().join(&CUT)
}

/// Choices, drawn from bytes; zeros once they are used up.
pub struct Draw<'a>(pub &'a [u8]);

impl Draw<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    /// A number below another.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    /// Nothing, or what is drawn.
    pub fn perhaps<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| draw(self))
    }

    /// A few of what is drawn.
    pub fn some<T>(&mut self, draw: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(4)).map(|_| draw(self)).collect()
    }
}
