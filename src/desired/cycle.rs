//! Cycles in what waits for what, named whole.

use std::collections::VecDeque;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// How many names of a cycle are written out.
const MAX_SHOWN: usize = 40;

/// A shortest cycle through each knot of nodes that wait for each other, as node numbers; the first is not
/// repeated at the end. `edges[n]` are the nodes that `n` waits for. Each cycle begins at its lowest number.
pub(super) fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(edges.len(), 0);
    for _ in edges {
        graph.add_node(());
    }
    for (from, targets) in edges.iter().enumerate() {
        for &to in targets {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
        }
    }
    let mut knot = vec![usize::MAX; edges.len()];
    let knots = kosaraju_scc(&graph);
    for (number, nodes) in knots.iter().enumerate() {
        for node in nodes {
            knot[node.index()] = number;
        }
    }
    let starts = knots.iter().filter_map(|nodes| nodes.iter().map(|node| node.index()).min());
    let mut found: Vec<Vec<usize>> = starts.filter_map(|start| shortest(edges, &knot, start)).collect();
    found.sort();
    found
}

/// The shortest way from `start` back to itself within its knot.
fn shortest(edges: &[Vec<usize>], knot: &[usize], start: usize) -> Option<Vec<usize>> {
    let mut came_from = vec![None; edges.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &next in edges[node].iter().filter(|next| knot[**next] == knot[start]) {
            if next == start {
                let mut cycle = vec![node];
                while let Some(before) = came_from[*cycle.last()?] {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if came_from[next].is_none() {
                came_from[next] = Some(node);
                queue.push_back(next);
            }
        }
    }
    None
}

/// `a → b → a`.
pub(super) fn name_cycle(cycle: &[usize], name: impl Fn(usize) -> String) -> String {
    let mut names: Vec<String> = cycle.iter().take(MAX_SHOWN).map(|node| name(*node)).collect();
    if cycle.len() > MAX_SHOWN {
        names.push(format!("({} more)", cycle.len() - MAX_SHOWN));
    }
    names.extend(cycle.first().map(|node| name(*node)));
    names.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_found_whole_and_once() {
        for (edges, expected) in [
            (vec![vec![1], vec![2], vec![]], vec![]),
            (vec![vec![1], vec![0]], vec![vec![0, 1]]),
            (vec![vec![0]], vec![vec![0]]),
            (vec![vec![1], vec![2], vec![0, 1]], vec![vec![0, 1, 2]]),
            (vec![vec![1], vec![2], vec![1], vec![4], vec![3]], vec![vec![1, 2], vec![3, 4]]),
        ] {
            assert_eq!(cycles(&edges), expected, "{edges:?}");
        }
        let name = |node: usize| ["a", "b"][node].to_owned();
        assert_eq!(name_cycle(&[0, 1], name), "a → b → a");
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let edges: Vec<Vec<usize>> = (0..100_000).map(|n| vec![(n + 1) % 100_000]).collect();
        assert_eq!(cycles(&edges)[0].len(), 100_000);
        assert!(name_cycle(&cycles(&edges)[0], |n| n.to_string()).ends_with("39 → (99960 more) → 0"));
    }
}
