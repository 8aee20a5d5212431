//! A store in memory, for tests of the floors above. It answers to the same contract suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Of, Post, Posted, Published, StatusStore, Version, Word};
use crate::model::DeploymentName;
use crate::source::SourceError;

/// The store.
#[derive(Debug, Default)]
pub struct MemoryStatus(Mutex<(u64, BTreeMap<DeploymentName, Word>)>);

impl StatusStore for MemoryStatus {
    fn fetch(&self, of: Of<'_>) -> Result<Published, SourceError> {
        let inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let meant = inside.1.iter().filter(|(name, _)| of.means(name));
        Ok(Published {
            words: meant.map(|(name, word)| (name.clone(), word.clone())).collect(),
            ..Published::default()
        })
    }

    fn publish(&self, posts: &[Post]) -> Result<Vec<Posted>, SourceError> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut post = |post: &Post| {
            let (count, words) = &mut *inside;
            if words.get(&post.deployment).map(|word| &word.version) != post.replaces.as_ref() {
                return Posted::Overtaken;
            }
            *count += 1;
            let version = Version(count.to_string());
            let word = Word {
                version: version.clone(),
                stamp: post.stamp.clone(),
                manifest: Arc::clone(&post.manifest),
            };
            words.insert(post.deployment.clone(), word);
            Posted::Taken(version)
        };
        Ok(posts.iter().map(&mut post).collect())
    }
}
