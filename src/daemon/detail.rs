//! What is asked for only when somebody looks at one deployment: its diff, and its history.
//!
//! Asking costs a look at the host, so it is done once per deployment and look of the loop, a few at a time, however
//! many people ask; a task owns what was answered. Whoever answers masks secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Details that are remembered.
const REMEMBERED: usize = 64;
/// Hosts that are asked at a time; more questions wait.
const AT_A_TIME: usize = 4;
/// Whoever asks is told so after this; the answer is remembered all the same once it comes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One deployment, looked at closely.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// What differs, by path, as `diff` prints it.
    pub diffs: Vec<Diff>,
    /// How many paths differ beyond those.
    pub more: usize,
    /// Its generations, newest first.
    pub generations: Vec<GenerationShown>,
}

/// What differs at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Where, beneath the root.
    pub path: String,
    /// Whose.
    pub pack: String,
    /// How it stands.
    pub standing: String,
    /// A unified diff, or why there is none.
    pub diff: String,
}

/// One generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GenerationShown {
    /// Its number.
    pub generation: u64,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub purpose: String,
    /// Versions afterwards, by pack.
    pub packs: BTreeMap<String, String>,
    /// Files created.
    pub added: u64,
    /// Files replaced.
    pub changed: u64,
    /// Files removed.
    pub removed: u64,
    /// Holds that its plan had.
    pub held: u64,
    /// Whether it stands.
    pub now: bool,
    /// Whether one can go back to it.
    pub can_go_back: bool,
}

/// Who looks closely at one deployment. It blocks for as long as its host takes.
pub trait Details: Send + Sync {
    /// What is found, or why nothing is.
    fn of(&self, deployment: &str) -> Result<Detail, String>;
}

/// What one asks for, and at what time of looking.
type Key = (String, Option<Timestamp>);
type Answer = Result<Arc<Detail>, String>;

/// The way to ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<(Key, oneshot::Sender<Answer>)>);

impl Asker {
    /// Nothing was asked yet.
    pub fn start(details: Arc<dyn Details>) -> Self {
        let (sender, questions) = mpsc::channel(256);
        tokio::spawn(Desk { details, known: BTreeMap::new(), asking: BTreeMap::new() }.run(questions));
        Self(sender)
    }

    /// What is found on a deployment that was seen at a time.
    pub async fn ask(&self, deployment: &str, seen: Option<Timestamp>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let busy = || Err("too many ask at a time: ask again".to_owned());
        if self.0.try_send(((deployment.to_owned(), seen), answer)).is_err() {
            return busy();
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| busy()),
            Err(_) => Err("its host takes long to answer: ask again".to_owned()),
        }
    }
}

struct Desk {
    details: Arc<dyn Details>,
    /// Answers by deployment, with the look that they belong to.
    known: BTreeMap<String, (Option<Timestamp>, Answer)>,
    /// Who waits for an answer that is under way.
    asking: BTreeMap<Key, Vec<oneshot::Sender<Answer>>>,
}

impl Desk {
    async fn run(mut self, mut questions: mpsc::Receiver<(Key, oneshot::Sender<Answer>)>) {
        let mut under_way: JoinSet<(Key, Answer)> = JoinSet::new();
        loop {
            tokio::select! {
                question = questions.recv(), if under_way.len() < AT_A_TIME => match question {
                    Some((key, answer)) => self.asked(key, answer, &mut under_way),
                    None => return,
                },
                Some(ended) = under_way.join_next() => match ended {
                    Ok((key, answer)) => self.answered(key, answer),
                    // A worker that died answers nobody: whoever waits is told so.
                    Err(error) => {
                        tracing::error!(%error, "looking closely at a deployment failed; this is a defect");
                        self.asking.clear();
                    }
                },
            }
        }
    }

    fn asked(&mut self, key: Key, answer: oneshot::Sender<Answer>, under_way: &mut JoinSet<(Key, Answer)>) {
        if let Some((seen, known)) = self.known.get(&key.0)
            && *seen == key.1
        {
            let _gone = answer.send(known.clone());
            return;
        }
        let waiting = self.asking.entry(key.clone()).or_default();
        waiting.push(answer);
        if waiting.len() == 1 {
            let details = Arc::clone(&self.details);
            under_way.spawn_blocking(move || {
                let answer = details.of(&key.0).map(Arc::new);
                (key, answer)
            });
        }
    }

    fn answered(&mut self, key: Key, answer: Answer) {
        for waiting in self.asking.remove(&key).into_iter().flatten() {
            let _gone = waiting.send(answer.clone());
        }
        // Why nothing was found may pass: only what was found is kept.
        if answer.is_ok() {
            if self.known.len() >= REMEMBERED {
                self.known.pop_first();
            }
            self.known.insert(key.0, (key.1, answer));
        }
    }
}
