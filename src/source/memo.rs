//! Answers that were expensive, kept in the cache by the digest of their question.
//!
//! A question must name all that its answer depends on; the answer is then good for ever. Damaged ones, and
//! those of another format, are no answers. Losing one costs time and nothing more, so nothing is synced and
//! not to be able to keep one is no error.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::objects::replace;
use crate::model::record::{frame, unframe};

const MAGIC: &[u8; 8] = b"pfmemo\0\0";
const FORMAT: u32 = 1;

/// The kept answers.
#[derive(Debug, Clone)]
pub struct Memo {
    dir: Utf8PathBuf,
}

impl Memo {
    /// Answers at `dir`; made when the first is kept.
    pub fn open(dir: &Utf8Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The answer to a question, if it was kept.
    pub fn recall<T: DeserializeOwned>(&self, question: &[u8; 32]) -> Option<T> {
        let bytes = fs::read(self.path(question)).ok()?;
        let (of, answer): ([u8; 32], T) = unframe(MAGIC, FORMAT, &bytes).ok()?;
        (of == *question).then_some(answer)
    }

    /// Keeps an answer.
    pub fn keep<T: Serialize>(&self, question: &[u8; 32], answer: &T) {
        if let Err(error) = replace(&self.path(question), &frame(MAGIC, FORMAT, &(question, answer))) {
            tracing::warn!(%error, "cannot keep an answer");
        }
    }

    fn path(&self, question: &[u8; 32]) -> Utf8PathBuf {
        self.dir.join(blake3::Hash::from_bytes(*question).to_hex().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_and_to_its_own_question_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let memo = Memo::open(&Utf8Path::from_path(dir.path()).unwrap().join("memo"));
        let (question, other) = ([1; 32], [2; 32]);
        assert_eq!(memo.recall::<String>(&question), None);
        memo.keep(&question, &"answer");
        assert_eq!(memo.recall::<String>(&question).as_deref(), Some("answer"));
        assert_eq!(memo.recall::<String>(&other), None);
        fs::copy(memo.path(&question), memo.path(&other)).unwrap();
        assert_eq!(memo.recall::<String>(&other), None);
        let mut bytes = fs::read(memo.path(&question)).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            fs::write(memo.path(&question), &bytes).unwrap();
            assert_eq!(memo.recall::<String>(&question), None, "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
