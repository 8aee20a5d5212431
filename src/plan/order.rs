//! Order: what converges before what.
//!
//! Cycles are refused when `fleet.toml` is validated, where they can be named; what comes here has none.
//! A recorded `requires` may still close one against today's; then the names decide, which is an order too.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;

use crate::model::fleet::{Fleet, State};
use crate::model::record::Record;
use crate::model::{DeploymentName, PackName};

use super::drift::Drift;

/// Packs in the order in which they converge: required ones first, else by name.
pub fn packs(drift: &Drift, record: &Record) -> Vec<PackName> {
    let requires = |name: &PackName| {
        let wanted = drift.packs.get(name).and_then(|pack| pack.wanted.as_ref());
        let known = wanted.map(|wanted| &wanted.recorded).or_else(|| record.packs.get(name));
        known.map(|known| known.requires.clone()).unwrap_or_default()
    };
    let names: BTreeSet<PackName> = drift.packs.keys().cloned().collect();
    sorted(&names, requires)
}

/// Whom each deployment waits for: those that it depends on; one that goes, those that go and depend on it.
pub fn awaited(fleet: &Fleet) -> BTreeMap<DeploymentName, BTreeSet<DeploymentName>> {
    let goes = |name: &DeploymentName| {
        fleet.deployments.get(name).is_some_and(|deployment| deployment.state == State::Absent)
    };
    let mut awaited: BTreeMap<DeploymentName, BTreeSet<DeploymentName>> = BTreeMap::new();
    for deployment in fleet.deployments.values() {
        for on in &deployment.depends_on {
            match (goes(&deployment.name), goes(on)) {
                (false, _) => awaited.entry(deployment.name.clone()).or_default().insert(on.clone()),
                (true, true) => awaited.entry(on.clone()).or_default().insert(deployment.name.clone()),
                (true, false) => continue,
            };
        }
    }
    awaited
}

/// Deployments in the order in which they converge: stage by stage, in each whom others wait for first, else by
/// name.
pub fn deployments(fleet: &Fleet) -> Vec<DeploymentName> {
    let names: BTreeSet<DeploymentName> = fleet.deployments.keys().cloned().collect();
    let awaited = awaited(fleet);
    let mut sorted = sorted(&names, |name| awaited.get(name).into_iter().flatten().cloned().collect());
    let stages = fleet.rollout.iter().enumerate();
    let stages: BTreeMap<&DeploymentName, usize> =
        stages.flat_map(|(number, stage)| stage.members.iter().map(move |name| (name, number))).collect();
    // The validator refuses whoever depends on a later stage; who goes may wait for one.
    let waits_for_later = |name: &DeploymentName| {
        let own = stages.get(name);
        awaited.get(name).into_iter().flatten().any(|on| stages.get(on) > own)
    };
    if !sorted.iter().any(waits_for_later) {
        sorted.sort_by_key(|name| stages.get(name).copied());
    }
    sorted
}

/// Kahn's algorithm over a graph whose ties are broken by name, so that the order is one order.
fn sorted<N: Ord + Clone>(names: &BTreeSet<N>, before: impl Fn(&N) -> Vec<N>) -> Vec<N> {
    let index: BTreeMap<&N, usize> = names.iter().enumerate().map(|(i, name)| (name, i)).collect();
    let mut graph: DiGraphMap<usize, ()> = DiGraphMap::new();
    for (name, i) in &index {
        graph.add_node(*i);
        for earlier in before(name) {
            if let Some(earlier) = index.get(&earlier) {
                graph.add_edge(*earlier, *i, ());
            }
        }
    }
    let list: Vec<N> = names.iter().cloned().collect();
    if toposort(&graph, None).is_err() {
        return list;
    }
    let mut waiting: BTreeMap<usize, usize> = graph
        .nodes()
        .map(|node| (node, graph.neighbors_directed(node, petgraph::Direction::Incoming).count()))
        .collect();
    let mut order = Vec::with_capacity(list.len());
    while let Some(node) = waiting.iter().find(|(_, left)| **left == 0).map(|(node, _)| *node) {
        waiting.remove(&node);
        order.push(list[node].clone());
        for later in graph.neighbors(node) {
            if let Some(left) = waiting.get_mut(&later) {
                *left -= 1;
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_first_then_names_and_a_cycle_falls_back_to_names() {
        let names: BTreeSet<&str> = ["a", "b", "c", "d"].into();
        let order = |edges: &[(&'static str, &'static str)]| {
            sorted(&names, |name| edges.iter().filter(|(n, _)| n == name).map(|(_, b)| *b).collect())
        };
        assert_eq!(order(&[]), ["a", "b", "c", "d"]);
        assert_eq!(order(&[("a", "d"), ("b", "a")]), ["c", "d", "a", "b"]);
        assert_eq!(order(&[("a", "b"), ("b", "a")]), ["a", "b", "c", "d"]);
    }
}
