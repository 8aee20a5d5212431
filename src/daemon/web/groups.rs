//! The rows of the fleet's table: equal deployments drawn together, and those that were asked for.
//!
//! Up to [`FEW`] deployments have a row each. More are one row where everything that a row says is equal, but for
//! times. What needs a person comes first, then by name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::daemon::view::{Deployed, Fare, Standing, View};
use crate::model::ranges::compress;

/// More deployments than this are drawn together where their rows are equal.
const FEW: usize = 12;
/// Letters of a row's name; what opens it names all.
const LETTERS: usize = 80;

/// Which deployments are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Wish {
    /// Those that stand so.
    pub sync: Option<Standing>,
    /// Those that are not in sync, or not well.
    pub unsettled: bool,
    /// Those whose name, label, location, pack or version has this in it.
    pub text: String,
}

impl Wish {
    /// Whether it leaves anything out.
    pub(super) fn is_any(&self) -> bool {
        self == &Self::default()
    }

    fn takes(&self, deployed: &Deployed) -> bool {
        let text = self.text.to_lowercase();
        let has = |field: &str| field.to_lowercase().contains(&text);
        let pack = |pack: &crate::daemon::view::PackShown| {
            has(&pack.pack)
                || [&pack.installed, &pack.wanted].into_iter().flatten().any(|version| has(version))
                || pack.overlays.iter().chain(&pack.features).any(|name| has(name))
        };
        self.sync.is_none_or(|sync| sync == deployed.sync)
            && (!self.unsettled || needs_a_look(deployed))
            && (text.is_empty()
                || has(&deployed.name)
                || deployed.location.as_deref().is_some_and(has)
                || deployed.labels.iter().any(|label| has(label))
                || deployed.packs.iter().any(pack))
    }
}

/// Whether something is to be told of it.
pub(super) fn needs_a_look(deployed: &Deployed) -> bool {
    !deployed.sync.is_settled() || matches!(deployed.health, Fare::Ill | Fare::GoingBack | Fare::Watched)
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Group {
    /// All names, in short.
    pub label: String,
    /// Each of them.
    pub names: Vec<String>,
    /// When they were seen: the oldest of these times.
    pub seen: Option<Timestamp>,
    /// What all of them have.
    pub cells: Cells,
}

/// What a row says of each of its deployments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cells {
    pub sync: Standing,
    pub sync_word: &'static str,
    pub health: Fare,
    pub health_word: &'static str,
    pub packs: Vec<PackCell>,
    pub edits: usize,
    pub here_only: usize,
    pub edits_in: Vec<String>,
    pub stage: Option<String>,
    pub soaks_until: Option<Timestamp>,
    pub clears: Option<Timestamp>,
    pub why: String,
    pub observed: bool,
    pub absent: bool,
}

impl Cells {
    /// Why is compared without the name; the first one's is shown.
    fn differ_in_why_only(&self, other: &Self) -> bool {
        let other = Self { why: self.why.clone(), ..other.clone() };
        *self == other
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PackCell {
    pub pack: String,
    pub versions: String,
    pub moves: bool,
    pub overlays: Vec<String>,
    pub features: Vec<String>,
}

/// The rows that a wish leaves, and of how many deployments they are.
pub(super) fn rows(view: &View, wish: &Wish) -> (Vec<Group>, usize) {
    let wished: Vec<&Deployed> = view.deployments.iter().filter(|deployed| wish.takes(deployed)).collect();
    let mut groups: Vec<(Cells, Vec<&Deployed>)> = Vec::new();
    // By what is cheap to compare, so that many different rows do not cost the square of their number.
    let mut at: BTreeMap<(Standing, Fare, String, String), Vec<usize>> = BTreeMap::new();
    for deployed in &wished {
        let cells = cells(deployed);
        let why = deployed.alike();
        let versions = cells.packs.iter().map(|pack| pack.versions.as_str()).collect::<Vec<_>>().join(" ");
        let alike = at.entry((deployed.sync, deployed.health, why, versions)).or_default();
        let known =
            alike.iter().copied().find(|at| wished.len() > FEW && groups[*at].0.differ_in_why_only(&cells));
        match known {
            Some(at) => groups[at].1.push(deployed),
            None => {
                alike.push(groups.len());
                groups.push((cells, vec![deployed]));
            }
        }
    }
    groups.sort_by(|(a, these), (b, those)| {
        let rank = |cells: &Cells| (cells.sync, cells.health);
        rank(a).cmp(&rank(b)).then_with(|| these[0].name.cmp(&those[0].name))
    });
    let groups = groups.into_iter().map(|(cells, members)| Group {
        label: cut(&compress(members.iter().map(|deployed| deployed.name.as_str()))),
        names: members.iter().map(|deployed| deployed.name.clone()).collect(),
        seen: members.iter().filter_map(|deployed| deployed.seen).min(),
        cells,
    });
    (groups.collect(), wished.len())
}

/// As much of many names as fits into a cell, cut between two of them.
fn cut(label: &str) -> String {
    if label.len() <= LETTERS {
        return label.to_owned();
    }
    let mut short = String::new();
    for part in label.split_inclusive(", ") {
        if short.len() + part.len() > LETTERS {
            break;
        }
        short.push_str(part);
    }
    short.push('…');
    short
}

pub(super) fn cells(deployed: &Deployed) -> Cells {
    let pack = |pack: &crate::daemon::view::PackShown| PackCell {
        pack: pack.pack.clone(),
        versions: pack.versions(),
        moves: pack.installed != pack.wanted,
        overlays: pack.overlays.clone(),
        features: pack.features.clone(),
    };
    Cells {
        sync: deployed.sync,
        sync_word: deployed.sync.word(),
        health: deployed.health,
        health_word: deployed.health.word(),
        packs: deployed.packs.iter().map(pack).collect(),
        edits: deployed.edits,
        here_only: deployed.here_only.unwrap_or(0),
        edits_in: deployed.edits_in.clone(),
        stage: deployed.stage.as_ref().map(|stage| format!("{} of {}", stage.number, stage.of)),
        soaks_until: deployed.stage.as_ref().and_then(|stage| stage.soaks_until),
        clears: deployed.stage.as_ref().and_then(|stage| stage.clears),
        why: deployed.why.clone(),
        observed: deployed.observed,
        absent: deployed.absent,
    }
}
