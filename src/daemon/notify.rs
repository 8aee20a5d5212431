//! Which messages people get: one per cause when it begins and one when it ends, whatever number of hosts has it.
//!
//! ```text
//! View, time ─► causes: topic and text ─► open ─ stays a while ─► begins ─► … ─ gone a while ─► is over
//! ```
//! Pure: what is open is a value that can be stored, so that a restart repeats nothing. A cause is told once it has
//! stood for [`SETTLE`], so that hosts that meet it together are in one message; those that follow are told of at most
//! every [`AGAIN`]. What comes and goes is told at most that often, too. More than [`BURST`] causes within a
//! [`SETTLE`] are one message. A host that does not answer neither begins nor ends anything: nothing is known of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::view::{About, Deployed, Fare, Standing, View};
use crate::model::outward::Topic;
use crate::model::ranges::compress;

/// How long a cause stands before it is told.
pub const SETTLE: SignedDuration = SignedDuration::from_secs(4);
/// How long it is gone before that is told.
const GONE: SignedDuration = SignedDuration::from_secs(20);
/// Between two messages about one cause.
const AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// Messages at a time; what begins beyond them is one message.
const BURST: usize = 5;
/// Causes that are kept.
const MOST: usize = 1000;
/// Letters of a text.
const LETTERS: usize = 400;

/// What to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it is about.
    pub topic: Topic,
    /// Of one that tells an end: what had begun.
    pub ends: Option<Topic>,
    /// The text, plain.
    pub text: String,
}

/// A cause, and whom it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    topic: Topic,
    text: String,
    next: String,
    hosts: BTreeSet<String>,
    /// All that ever had it.
    had: BTreeSet<String>,
    since: Timestamp,
    gone: Option<Timestamp>,
    /// When it was told last, and of whom.
    told: Option<Timestamp>,
    told_of: BTreeSet<String>,
}

/// All that is open, or was of late.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    open: BTreeMap<String, Open>,
    /// When causes were told last that are over.
    past: BTreeMap<String, Timestamp>,
}

/// What a View says about one cause.
struct Cause {
    topic: Topic,
    text: String,
    next: String,
    hosts: BTreeSet<String>,
}

impl Notices {
    /// Takes in what is shown now.
    pub fn see(&mut self, view: &View, now: Timestamp) {
        // Without a fleet nothing is known, and what is open stays open.
        let causes = causes(view);
        let unknown: BTreeSet<&str> = view
            .deployments
            .iter()
            .filter(|it| matches!(it.sync, Standing::Offline | Standing::Locked | Standing::Unknown))
            .map(|it| it.name.as_str())
            .collect();
        for (key, open) in &mut self.open {
            let now_has = causes.get(key).map(|cause| &cause.hosts);
            open.hosts.retain(|host| {
                unknown.contains(host.as_str())
                    || view.fleet.is_none()
                    || now_has.is_some_and(|hosts| hosts.contains(host))
            });
        }
        for (key, cause) in causes {
            if let Some(open) = self.open.get_mut(&key) {
                open.had.extend(cause.hosts.iter().cloned());
                open.hosts.extend(cause.hosts);
                open.next = cause.next;
            } else if self.open.len() < MOST {
                let Cause { topic, text, next, hosts } = cause;
                let (told, told_of) = (None, BTreeSet::new());
                let (had, since, gone) = (hosts.clone(), now, None);
                self.open.insert(key, Open { topic, text, next, hosts, had, since, gone, told, told_of });
            }
        }
        for open in self.open.values_mut() {
            open.gone = if open.hosts.is_empty() { open.gone.or(Some(now)) } else { None };
        }
    }

    /// What is to be told by now.
    pub fn due(&mut self, now: Timestamp) -> Vec<Message> {
        let mut messages = Vec::new();
        let past = &self.past;
        self.open.retain(|key, open| match (open.gone, open.told) {
            // What was over before it was told: a change that was taken back happened all the same.
            (Some(_), None) => open.topic == Topic::RolledBack && !past.contains_key(key),
            _ => true,
        });
        let mut begins: Vec<(&String, &mut Open)> = Vec::new();
        let mut over = Vec::new();
        for (key, open) in &mut self.open {
            let of_late = open.told.or(past.get(key).copied());
            let rested = of_late.is_none_or(|told| now.duration_since(told) >= AGAIN);
            match (open.gone, open.told) {
                (Some(gone), Some(_)) if now.duration_since(gone) >= GONE => over.push(key.clone()),
                (Some(_), Some(_)) => {}
                (_, None) if now.duration_since(open.since) >= SETTLE && rested => begins.push((key, open)),
                (None, Some(_)) if rested && !open.hosts.is_subset(&open.told_of) => {
                    messages.push(spreads(open));
                    open.told = Some(now);
                    open.told_of.extend(open.hosts.iter().cloned());
                }
                _ => {}
            }
        }
        let many = begins.len() > BURST;
        if many {
            messages.extend(summaries(
                begins.iter().map(|(_, open)| (open.topic, &open.hosts, open.text.as_str())),
            ));
        }
        for (_, open) in begins {
            if !many {
                messages.push(begin(open));
            }
            open.told = Some(now);
            open.told_of.extend(open.had.iter().cloned());
        }
        let over: Vec<(String, Open)> =
            over.into_iter().filter_map(|key| self.open.remove_entry(&key)).collect();
        let ends = over.iter().map(|(_, open)| (open.topic, &open.told_of, open.text.as_str()));
        if over.len() > BURST {
            messages.extend(summaries(ends).into_iter().map(|begun| end(begun.topic, &begun.text)));
        } else {
            let say = |(topic, hosts, text)| end(topic, &said(topic, hosts, text));
            messages.extend(ends.map(say));
        }
        self.past.extend(over.into_iter().map(|(key, open)| (key, open.told.unwrap_or(now))));
        self.past.retain(|_, told| now.duration_since(*told) < AGAIN);
        messages
    }

    /// Whether something may be due although nothing new is shown.
    pub fn waits(&self) -> bool {
        let quiet =
            |open: &Open| open.told.is_some() && open.gone.is_none() && open.hosts.is_subset(&open.told_of);
        !self.open.values().all(quiet)
    }
}

fn begin(open: &Open) -> Message {
    // Of what is over already it is said where it was.
    let hosts = if open.hosts.is_empty() { &open.had } else { &open.hosts };
    let mut text = said(open.topic, hosts, &open.text);
    if !open.next.is_empty() {
        text.push_str(&format!("\nnext: {}", open.next));
    }
    Message { topic: open.topic, ends: None, text }
}

fn end(topic: Topic, begun: &str) -> Message {
    Message { topic: Topic::Recovered, ends: Some(topic), text: format!("over: {begun}") }
}

fn said(topic: Topic, hosts: &BTreeSet<String>, text: &str) -> String {
    format!("{} on {}: {text}", word(topic), names(hosts))
}

fn spreads(open: &Open) -> Message {
    let more: BTreeSet<String> = open.hosts.difference(&open.told_of).cloned().collect();
    let text = format!("{} on {}, too: {}", word(open.topic), names(&more), open.text);
    Message { topic: open.topic, ends: None, text }
}

/// Many at once, in one message per topic.
fn summaries<'a>(many: impl Iterator<Item = (Topic, &'a BTreeSet<String>, &'a str)>) -> Vec<Message> {
    let mut by_topic: BTreeMap<Topic, (usize, BTreeSet<String>, &str)> = BTreeMap::new();
    for (topic, hosts, text) in many {
        let entry = by_topic.entry(topic).or_insert((0, BTreeSet::new(), text));
        entry.0 += 1;
        entry.1.extend(hosts.iter().cloned());
    }
    let one = |(topic, (number, hosts, text)): (Topic, (usize, BTreeSet<String>, &str))| {
        let more = if number > 1 {
            format!(" (and {} more causes: packfleet status)", number - 1)
        } else {
            String::new()
        };
        Message { topic, ends: None, text: format!("{}{more}", said(topic, &hosts, text)) }
    };
    by_topic.into_iter().map(one).collect()
}

fn word(topic: Topic) -> &'static str {
    match topic {
        Topic::Held => "held",
        Topic::Failed => "failed",
        Topic::RolledBack => "rolled back",
        Topic::Recovered => "recovered",
    }
}

fn names(hosts: &BTreeSet<String>) -> String {
    cut(&compress(hosts.iter().map(String::as_str)))
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LETTERS {
        return text.to_owned();
    }
    text.chars().take(LETTERS).chain(['…']).collect()
}

/// What a View tells of, by a key that is the same for the same cause on other hosts.
fn causes(view: &View) -> BTreeMap<String, Cause> {
    let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
    let mut add = |topic: Topic, key: &str, text: &str, next: &str, host: &str| {
        let cause = causes.entry(format!("{}: {key}", word(topic))).or_insert_with(|| Cause {
            topic,
            text: cut(text),
            next: cut(next),
            hosts: BTreeSet::new(),
        });
        cause.hosts.insert(host.to_owned());
    };
    let broken = view.problems.iter().find(|problem| problem.is_of_fleet());
    if let Some(problem) = broken {
        let text = format!("the newest fleet.toml is not in force: {}", problem.message);
        let next = if problem.about == About::FleetFile { "packfleet validate" } else { "" };
        add(Topic::Failed, &text, &text, next, "the fleet");
    }
    for problem in view.problems.iter().filter(|problem| !problem.is_of_fleet()) {
        let next = problem.hint.as_deref().unwrap_or_default();
        add(Topic::Failed, &problem.message, &problem.message, next, "the controller");
    }
    for deployed in &view.deployments {
        let Some(topic) = topic(deployed) else { continue };
        let next = deployed.reasons.first().map_or("", |reason| reason.next.as_str());
        let key = match topic {
            // How it is said changes from the pass that took it back to the next.
            Topic::RolledBack => {
                let wanted = deployed
                    .packs
                    .iter()
                    .filter_map(|pack| Some(format!("{} {}", pack.pack, pack.wanted.as_ref()?)));
                wanted.collect::<Vec<_>>().join(", ")
            }
            _ => deployed.alike(),
        };
        add(topic, &key, &deployed.why, next, &deployed.name);
    }
    causes
}

fn topic(deployed: &Deployed) -> Option<Topic> {
    match (deployed.sync, deployed.health) {
        (Standing::Unhealthy | Standing::Rejected, _) => Some(Topic::RolledBack),
        (Standing::Held | Standing::Refused | Standing::Interrupted, _) => Some(Topic::Held),
        (Standing::Failed, _) => Some(Topic::Failed),
        (Standing::Offline | Standing::Locked | Standing::Unknown, _) => None,
        (_, Fare::Ill | Fare::GoingBack) => Some(Topic::Failed),
        _ => None,
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
