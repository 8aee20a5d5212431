//! Profiles and ranges followed: every deployment as one stanza of its own.
//!
//! A deployment is its profile, then the range that its name lies in, then its own entry, each over the one
//! before: tables merge, lists append, and a pin is replaced whole, because a half-replaced pin would ask
//! for two versions. This works on trees of values, which keep their places: a problem in a profile is
//! underlined in the profile.

use std::collections::BTreeMap;
use std::collections::btree_map;

use super::document::{Entry, Node, Table, Value};
use super::problem::quoted;
use super::range::{Range, fill};
use super::raw::RawDeployment;
use super::read::Read;
use super::report::{Place, Report, fault};
use super::suggest::did_you_mean;
use crate::model::DeploymentName;

/// How many deployments all ranges may stand for.
const MAX_EXPANDED: usize = 10_000;
/// How much memory all deployments, written out, may take.
const MAX_WEIGHT: usize = 64 << 20;

/// One deployment with everything that it says, its profile's and its range's words included.
#[derive(Debug)]
pub(super) struct Written {
    pub name: DeploymentName,
    /// Where its name stands, or the range that it comes from.
    pub key: Place,
    pub raw: RawDeployment,
}

/// The entries that speak of one deployment.
#[derive(Default)]
struct Sources<'t> {
    range: Option<(String, &'t Entry)>,
    own: Option<&'t Entry>,
}

/// Writes out all deployments, in the order of their names.
pub(super) fn write_out(deployments: &Table, profiles: &Table, report: &mut Report) -> Vec<Written> {
    let mut written = Vec::new();
    let mut weight = 0;
    for (name, sources) in sources(deployments, report) {
        let Some(entry) = sources.own.or(sources.range.as_ref().map(|(_, entry)| *entry)) else { continue };
        let range = sources.range.as_ref().map(|(_, entry)| &entry.node);
        let mut node = match (range, sources.own.map(|entry| &entry.node)) {
            (Some(range), Some(own)) => merge(range, own, Level::Deployment),
            (Some(node), None) | (None, Some(node)) => node.clone(),
            (None, None) => continue,
        };
        if let Some(profile) = profile(&node, profiles, report) {
            node = merge(profile, &node, Level::Deployment);
        }
        weight += node.weight();
        if weight > MAX_WEIGHT {
            let message = "the deployments, written out with their profiles, are too large";
            report.add(&entry.key, fault(message, "too much from here on"));
            break;
        }
        if let Some((number, _)) = &sources.range {
            fill(&mut node, number);
        }
        let path = ["deployments", name.as_str()];
        let raw = report
            .within(path[0], |report| report.within(path[1], |report| RawDeployment::read(&node, report)));
        if let Some(raw) = raw {
            written.push(Written { name, key: entry.key.clone(), raw });
        }
    }
    written
}

/// Which entries speak of which deployment.
fn sources<'t>(deployments: &'t Table, report: &mut Report) -> BTreeMap<DeploymentName, Sources<'t>> {
    let mut all: BTreeMap<DeploymentName, Sources> = BTreeMap::new();
    let mut expanded = 0;
    for (key, entry) in deployments {
        if !Range::is_meant_by(key) {
            match DeploymentName::new(key) {
                Ok(name) => all.entry(name).or_default().own = Some(entry),
                Err(error) => {
                    let message = format!("{} is no name of a deployment: {error}", quoted(key));
                    report.add(&entry.key, fault(message, "not a name"));
                }
            }
            continue;
        }
        let range = match Range::parse(key) {
            Ok(range) => range,
            Err(why) => {
                let message = format!("{} is no range of deployments: {why}", quoted(key));
                report.add(&entry.key, fault(message, "not a range"));
                continue;
            }
        };
        expanded += range.count();
        if expanded > MAX_EXPANDED {
            let message = format!("ranges stand for {expanded} deployments; {MAX_EXPANDED} are the most");
            report.add(&entry.key, fault(message, "too many deployments"));
            return all;
        }
        for (number, text) in range.names() {
            let name = match DeploymentName::new(&text) {
                Ok(name) => name,
                Err(error) => {
                    let message = format!("{} gives {}, no name: {error}", quoted(key), quoted(&text));
                    report.add(&entry.key, fault(message, "not a name"));
                    break;
                }
            };
            let sources = all.entry(name).or_default();
            if let Some((_, other)) = &sources.range {
                let other = report.locate(&other.key);
                let message = format!("{text} lies in two ranges, the other at {other}");
                let hint =
                    "let the ranges not overlap; one entry of its own may refine a deployment of a range";
                report.add(&entry.key, fault(message, "overlaps another range").hint(hint));
                break;
            }
            sources.range = Some((number, entry));
        }
    }
    all
}

/// The profile that a deployment names, if it exists.
fn profile<'t>(node: &Node, profiles: &'t Table, report: &mut Report) -> Option<&'t Node> {
    let Value::Table(table) = &node.value else { return None };
    let entry = table.get("profile")?;
    let Value::Text(name) = &entry.node.value else { return None };
    let found = profiles.get(name);
    if found.is_none() {
        let message = format!("there is no profile {}", quoted(name));
        let hint = did_you_mean(name, profiles.keys().map(String::as_str));
        report.add(&entry.node.place, fault(message, "unknown profile").perhaps(hint));
    }
    found.map(|entry| &entry.node)
}

/// How deep below a deployment a merge is.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Deployment,
    Pins,
    Below,
}

/// `over` over `base`: tables merge, lists append, a pin and everything else is replaced.
fn merge(base: &Node, over: &Node, level: Level) -> Node {
    let value = match (&base.value, &over.value) {
        (Value::Table(base), Value::Table(over)) => {
            let mut merged = base.clone();
            for (key, entry) in over {
                let next = match level {
                    Level::Deployment if key == "packs" => Level::Pins,
                    Level::Deployment | Level::Pins | Level::Below => Level::Below,
                };
                match merged.entry(key.clone()) {
                    btree_map::Entry::Occupied(mut slot) if level != Level::Pins => {
                        let node = merge(&slot.get().node, &entry.node, next);
                        slot.insert(Entry { key: entry.key.clone(), node });
                    }
                    btree_map::Entry::Occupied(mut slot) => {
                        slot.insert(entry.clone());
                    }
                    btree_map::Entry::Vacant(slot) => {
                        slot.insert(entry.clone());
                    }
                }
            }
            Value::Table(merged)
        }
        (Value::List(base), Value::List(over)) => Value::List(base.iter().chain(over).cloned().collect()),
        (_, value) => value.clone(),
    };
    Node { place: over.place.clone(), value }
}
