//! Who comes before whom, as a picture: columns from left to right, an arrow to whoever waits.
//!
//! ```text
//! deployments ─► boxes: same column, same predecessors, same state ─► places ─► arrows between boxes
//! ```
//! Pure and deterministic; the template draws it. A column with more than [`MOST`] boxes is drawn by state alone.
//! Where nobody waits for anybody there is no picture.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::toposort;
use petgraph::graphmap::DiGraphMap;
use serde::Serialize;

use crate::daemon::view::{Deployed, Fare, Standing, View};
use crate::model::ranges::compress;

/// Boxes in a column.
const MOST: usize = 16;
const WIDTH: usize = 224;
const HEIGHT: usize = 46;
const ACROSS: usize = 64;
const DOWN: usize = 14;
const MARGIN: usize = 8;
/// Letters that fit into a box.
const LETTERS: usize = 22;

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub boxes: Vec<Box>,
    pub arrows: Vec<Arrow>,
}

/// Deployments of one column that are alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Box {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
    /// All names, in short.
    pub label: String,
    /// As much of that as fits.
    pub short: String,
    pub number: usize,
    pub first: String,
    pub sync: Standing,
    pub sync_word: &'static str,
    pub health_word: &'static str,
    pub ill: bool,
}

/// From who comes first to who waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Arrow {
    pub x1: usize,
    pub y1: usize,
    pub x2: usize,
    pub y2: usize,
    /// Where the curve bends.
    pub bend: usize,
}

/// What boxes are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    sync: Standing,
    health: Fare,
    /// The boxes of those that it waits for.
    after: Vec<usize>,
}

/// The picture of a View; `None` where nobody waits for anybody.
pub(super) fn picture(view: &View) -> Option<Picture> {
    if view.deployments.iter().all(|deployed| deployed.depends_on.is_empty()) {
        return None;
    }
    let columns = columns(view);
    let mut columned: BTreeMap<usize, Vec<&Deployed>> = BTreeMap::new();
    for deployed in &view.deployments {
        let column = columns.get(deployed.name.as_str()).copied().unwrap_or(0);
        columned.entry(column).or_default().push(deployed);
    }
    let mut boxes: Vec<Box> = Vec::new();
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tallest = 0;
    for (column, members) in &columned {
        let mut groups = grouped(members, |deployed| {
            let before: BTreeSet<usize> =
                deployed.depends_on.iter().filter_map(|on| at.get(on.as_str()).copied()).collect();
            before.into_iter().collect()
        });
        if groups.len() > MOST {
            groups = grouped(members, |_| Vec::new());
        }
        // Near those that they wait for, so that few arrows cross.
        groups.sort_by_key(|(key, members)| {
            let middle = key.after.iter().sum::<usize>() * 16 / key.after.len().max(1);
            (middle, members.first().map(|deployed| deployed.name.clone()))
        });
        for (row, (key, members)) in groups.iter().enumerate() {
            for deployed in members {
                at.insert(deployed.name.as_str(), boxes.len());
            }
            let label = compress(members.iter().map(|deployed| deployed.name.as_str()));
            boxes.push(Box {
                x: MARGIN + column * (WIDTH + ACROSS),
                y: MARGIN + row * (HEIGHT + DOWN),
                width: WIDTH,
                height: HEIGHT,
                short: cut(&label),
                label,
                number: members.len(),
                first: members.first().map(|deployed| deployed.name.clone()).unwrap_or_default(),
                sync: key.sync,
                sync_word: key.sync.word(),
                health_word: key.health.word(),
                ill: matches!(key.health, Fare::Ill | Fare::GoingBack),
            });
        }
        tallest = tallest.max(groups.len());
    }
    let arrows = arrows(view, &boxes, &at);
    Some(Picture {
        width: 2 * MARGIN + columned.len() * (WIDTH + ACROSS) - ACROSS,
        height: 2 * MARGIN + tallest * (HEIGHT + DOWN) - DOWN,
        boxes,
        arrows,
    })
}

/// The column of each deployment: one more than the last of those that it waits for.
fn columns(view: &View) -> BTreeMap<&str, usize> {
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for deployed in &view.deployments {
        graph.add_node(&deployed.name);
    }
    for deployed in &view.deployments {
        for on in &deployed.depends_on {
            graph.add_edge(on, &deployed.name, ());
        }
    }
    // The validator refuses cycles; one that came all the same is drawn in one column.
    let order = toposort(&graph, None).unwrap_or_default();
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for name in order {
        let before = graph.neighbors_directed(name, petgraph::Direction::Incoming);
        let column = before.filter_map(|on| columns.get(on)).map(|column| column + 1).max();
        columns.insert(name, column.unwrap_or(0));
    }
    columns
}

fn grouped<'a>(
    members: &[&'a Deployed],
    after: impl Fn(&'a Deployed) -> Vec<usize>,
) -> Vec<(Key, Vec<&'a Deployed>)> {
    let mut groups: BTreeMap<Key, Vec<&'a Deployed>> = BTreeMap::new();
    for deployed in members {
        let key = Key { sync: deployed.sync, health: deployed.health, after: after(deployed) };
        groups.entry(key).or_default().push(deployed);
    }
    groups.into_iter().collect()
}

fn arrows(view: &View, boxes: &[Box], at: &BTreeMap<&str, usize>) -> Vec<Arrow> {
    let mut pairs = BTreeSet::new();
    for deployed in &view.deployments {
        let ends = deployed.depends_on.iter().filter_map(|on| at.get(on.as_str()));
        pairs.extend(ends.filter_map(|from| Some((*from, *at.get(deployed.name.as_str())?))));
    }
    let arrow = |(from, to): (usize, usize)| {
        let (from, to) = (boxes.get(from)?, boxes.get(to)?);
        let (x1, x2) = (from.x + from.width, to.x);
        let (y1, y2) = (from.y + from.height / 2, to.y + to.height / 2);
        Some(Arrow { x1, y1, x2: x2.saturating_sub(7), y2, bend: (x1 + x2) / 2 })
    };
    pairs.into_iter().filter_map(arrow).collect()
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LETTERS {
        return label.to_owned();
    }
    let mut short: String = label.chars().take(LETTERS - 1).collect();
    short.push('…');
    short
}
