//! Publishing until it is published: a word that was overtaken is said anew on top of what stands there now, and a
//! store that does not answer is asked again, a few times, each time later.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use super::{Of, Post, Posted, StatusStore, Version, Word};
use crate::model::DeploymentName;
use crate::model::cause::in_one_line;

/// So often it is tried.
const TRIES: u32 = 7;
/// The first pause; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(40);

/// Why a word is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The store did not answer, or could not write.
    #[error("{0}")]
    Store(String),
    /// The store refuses it.
    #[error("it was refused: {0}")]
    Refused(String),
    /// Others spoke each time just before.
    #[error("another word was published each time just before, {TRIES} times")]
    Overtaken,
    /// It cannot be said anew.
    #[error("{0}")]
    Unsaid(String),
}

/// Says a word anew, given the word that stands there now. That it replaces what stands there, be it a word or
/// damaged, is no part of it.
pub type Restate<'a> = dyn FnMut(&Post, Option<&Word>) -> Result<Post, String> + 'a;

/// Publishes words, each alone. `restate` says one anew that was overtaken, given what stands there now.
pub fn insist(
    store: &dyn StatusStore,
    posts: Vec<Post>,
    restate: &mut Restate<'_>,
) -> BTreeMap<DeploymentName, Result<Version, PostError>> {
    let mut ended = BTreeMap::new();
    let mut left = posts;
    for tried in 0..TRIES {
        if left.is_empty() {
            break;
        }
        if tried > 0 {
            pause(tried, &left);
            left = match on_top(store, left, restate, &mut ended) {
                Ok(left) => left,
                Err((again, error)) => {
                    fail(&again, &mut ended, &error);
                    left = again;
                    continue;
                }
            };
        }
        let answers = match store.publish(&left) {
            Ok(answers) => answers,
            Err(error) => {
                fail(&left, &mut ended, &PostError::Store(in_one_line(&error)));
                continue;
            }
        };
        let mut again = Vec::new();
        for (post, answer) in left.into_iter().zip(answers) {
            let name = post.deployment.clone();
            let failed = match answer {
                Posted::Taken(version) => {
                    ended.insert(name, Ok(version));
                    continue;
                }
                Posted::Overtaken => PostError::Overtaken,
                Posted::Refused(why) => PostError::Refused(why),
            };
            ended.insert(name, Err(failed));
            again.push(post);
        }
        left = again;
    }
    ended
}

/// What is left, on top of what stands there now.
fn on_top(
    store: &dyn StatusStore,
    left: Vec<Post>,
    restate: &mut Restate<'_>,
    ended: &mut BTreeMap<DeploymentName, Result<Version, PostError>>,
) -> Result<Vec<Post>, (Vec<Post>, PostError)> {
    let names: BTreeSet<DeploymentName> = left.iter().map(|post| post.deployment.clone()).collect();
    let now = match store.fetch(Of::Some(&names)) {
        Ok(now) => now,
        Err(error) => return Err((left, PostError::Store(in_one_line(&error)))),
    };
    let mut posts = Vec::new();
    for post in left {
        let word = now.words.get(&post.deployment);
        let there = now.version(&post.deployment);
        if let Some(word) = word.filter(|word| word.stamp == post.stamp) {
            // It was taken, and the answer was lost.
            ended.insert(post.deployment.clone(), Ok(word.version.clone()));
        } else if there == post.replaces.as_ref() {
            posts.push(post);
        } else {
            match restate(&post, word) {
                Ok(post) => posts.push(Post { replaces: there.cloned(), ..post }),
                Err(why) => drop(ended.insert(post.deployment.clone(), Err(PostError::Unsaid(why)))),
            }
        }
    }
    Ok(posts)
}

fn fail(posts: &[Post], ended: &mut BTreeMap<DeploymentName, Result<Version, PostError>>, error: &PostError) {
    ended.extend(posts.iter().map(|post| (post.deployment.clone(), Err(error.clone()))));
}

/// Each waits a little differently, so that those who met once do not meet again.
fn pause(tried: u32, left: &[Post]) {
    let who = left.first().map_or("", |post| post.deployment.as_str());
    let spread = blake3::hash(format!("{tried} {who}").as_bytes()).as_bytes()[0];
    let whole = PAUSE * 2u32.saturating_pow(tried - 1);
    thread::sleep(whole / 2 + whole * u32::from(spread) / 256);
}
