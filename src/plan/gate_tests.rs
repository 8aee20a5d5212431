//! What gates promise: a rollout by chance, step by step, in which nobody skips a stage, time only opens what
//! soaks, and nothing hangs on the order of anything; and each reason by itself.

use proptest::prelude::*;

use super::*;
use crate::model::fleet::{Edits, HostAddress, State};
use crate::model::pack::Install;
use crate::model::rollout::Share;
use crate::model::{HostPath, PackName};

fn name(at: usize) -> DeploymentName {
    format!("d{at:02}").parse().unwrap()
}

fn pack() -> PackName {
    "bot".parse().unwrap()
}

fn tree(of: u8) -> TreeDigest {
    TreeDigest::from_bytes([of; 32])
}

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

fn deployment(name: &DeploymentName) -> Deployment {
    Deployment {
        name: name.clone(),
        host: HostAddress::Local,
        root: HostPath::new("/r").unwrap(),
        location: None,
        labels: BTreeSet::new(),
        mode: Mode::Converge,
        state: State::Present,
        depends_on: BTreeSet::new(),
        packs: BTreeMap::new(),
        edits: Edits::default(),
        health: BTreeMap::new(),
        pause: None,
        window: None,
    }
}

fn stage(members: impl IntoIterator<Item = usize>, soak: u64) -> Stage {
    Stage {
        select: Vec::new(),
        members: members.into_iter().map(name).collect(),
        soak: Duration::from_secs(soak),
        max_parallel: None,
        max_failures: 0,
    }
}

/// A tree, with each of these overlays in a version of its own.
fn over(of: u8, overlays: &[(&str, u8)]) -> Laid {
    Laid {
        tree: tree(of),
        desired: DesiredDigest::from_bytes(*blake3::hash(format!("{of} {overlays:?}").as_bytes()).as_bytes()),
        overlays: overlays.iter().map(|(name, _)| name.parse().unwrap()).collect(),
        install: InstallMap::default(),
    }
}

fn laid(of: u8) -> Laid {
    over(of, &[])
}

fn facts(runs: Option<u8>, since: Option<i64>, wants: u8) -> Facts {
    facts_of(runs.map(laid), since, laid(wants))
}

fn facts_of(runs: Option<Laid>, since: Option<i64>, wants: Laid) -> Facts {
    let known = PackFacts {
        runs,
        since: since.map(second),
        wants: Wish::Laid(wants.clone()),
        next: Some(wants),
        failed: false,
    };
    let (acts, packs) = (known.moves(), [(pack(), known)].into());
    Facts { packs, acts, held: false, unnoted: false, state: Fares::Well, pause: None, heard: None }
}

struct World {
    stages: Vec<Stage>,
    facts: BTreeMap<DeploymentName, Facts>,
    busy: BTreeSet<DeploymentName>,
}

impl World {
    fn reasons(&self, at: usize, now: i64) -> Vec<Reason> {
        self.of(&deployment(&name(at)), now)
    }

    fn of(&self, deployment: &Deployment, now: i64) -> Vec<Reason> {
        let (stages, facts, busy) = (&self.stages, &self.facts, &self.busy);
        let gates = Gates { stages, facts, observed: &BTreeSet::new(), busy, now: second(now) };
        gates.reasons(deployment)
    }
}

fn world(stages: Vec<Stage>, all: impl IntoIterator<Item = (usize, Facts)>) -> World {
    let facts = all.into_iter().map(|(at, facts)| (name(at), facts)).collect();
    World { stages, facts, busy: BTreeSet::new() }
}

fn lagging(reasons: &[Reason]) -> Vec<(String, Lag, Option<i64>)> {
    let told = |reason: &Reason| match reason {
        Reason::Stage { lagging, clears, .. } => lagging
            .iter()
            .map(|(name, lag)| (name.to_string(), *lag, clears.map(Timestamp::as_second)))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    reasons.iter().flat_map(told).collect()
}

#[test]
fn a_later_stage_waits_for_the_very_tree_its_soak_and_health() {
    let two = || vec![stage([0, 1], 100), stage([2], 0)];
    let waits = |canary: Facts, now: i64| {
        let all = [(0, canary), (1, facts(Some(3), Some(0), 3)), (2, facts(Some(1), Some(0), 2))];
        lagging(&world(two(), all).reasons(2, now))
    };
    let d00 = |lag: Lag, clears: Option<i64>| vec![("d00".to_owned(), lag, clears)];
    assert_eq!(waits(facts(Some(1), Some(0), 2), 500), d00(Lag::NotYet, None));
    assert_eq!(waits(facts(Some(2), Some(450), 2), 500), d00(Lag::Soaks, Some(550)));
    assert_eq!(waits(facts(Some(2), Some(400), 2), 500), []);
    assert_eq!(waits(facts(Some(2), None, 2), 500), d00(Lag::Ill, None));
    let fares = |state| Facts { state, ..facts(Some(2), Some(0), 2) };
    assert_eq!(waits(fares(Fares::Watched), 500), d00(Lag::Watched, None));
    assert_eq!(waits(fares(Fares::Offline), 500), d00(Lag::Offline, None));
    // Nobody who is in sync waits, and nobody in the first stage.
    let canary = world(two(), [(0, facts(Some(1), None, 2)), (2, facts(Some(2), None, 2))]);
    assert_eq!(canary.reasons(0, 0), []);
    assert_eq!(canary.reasons(2, 0), []);
}

#[test]
fn one_of_an_earlier_stage_must_want_it_if_they_have_the_pack_at_all() {
    let stages = || vec![stage([0], 0), stage([1], 0)];
    let other = world(stages(), [(0, facts(Some(3), Some(0), 3)), (1, facts(None, None, 2))]);
    assert_eq!(other.reasons(1, 9), [Reason::Untried { pack: pack(), tree: tree(2) }]);
    let mut without = facts(None, None, 3);
    without.packs.clear();
    assert_eq!(world(stages(), [(0, without), (1, facts(None, None, 2))]).reasons(1, 9), []);
    // Nothing is known of the earlier stage.
    let unseen = world(stages(), [(1, facts(None, None, 2))]);
    assert_eq!(lagging(&unseen.reasons(1, 9)), [("d00".to_owned(), Lag::NotYet, None)]);
}

#[test]
fn failures_stop_the_stage_and_all_later_ones() {
    let failed = || {
        let mut failed = facts(Some(1), Some(0), 2);
        failed.packs.values_mut().for_each(|pack| {
            pack.failed = true;
            pack.next = pack.runs.clone();
        });
        Facts { acts: false, ..failed }
    };
    let all = || {
        [(0, failed()), (1, facts(Some(2), Some(0), 2)), (2, facts(Some(1), Some(0), 2))]
            .into_iter()
            .chain([(3, facts(Some(1), Some(0), 2))])
    };
    let mut stopped = world(vec![stage([0, 1, 2], 10), stage([3], 0)], all());
    let stop = |failed: usize, allowed| Reason::Stopped {
        stage: 1,
        pack: pack(),
        failed: (0..failed).map(name).collect(),
        allowed,
    };
    assert_eq!(stopped.reasons(2, 99), [stop(1, 0)]);
    assert_eq!(stopped.reasons(3, 99), [stop(1, 0)]);
    // One may fail: it is not waited for either.
    stopped.stages[0].max_failures = 1;
    assert_eq!(stopped.reasons(2, 99), []);
    assert_eq!(lagging(&stopped.reasons(3, 99)), [("d02".to_owned(), Lag::NotYet, None)]);
    stopped.facts.insert(name(2), facts(Some(2), Some(0), 2));
    assert_eq!(stopped.reasons(3, 99), []);
    // But not everybody.
    for at in [1, 2] {
        stopped.facts.insert(name(at), failed());
    }
    stopped.stages[0].max_failures = 5;
    assert_eq!(stopped.reasons(3, 99), [stop(3, 5)]);
    // An offline host is no failure.
    let offline = Facts { state: Fares::Offline, ..facts(None, None, 2) };
    let world = world(vec![stage([0, 1], 10)], [(0, offline), (1, facts(Some(1), None, 2))]);
    assert_eq!(world.reasons(1, 99), []);
}

#[test]
fn pauses_windows_and_slots_block_whoever_acts() {
    let mut world = world(vec![stage([0, 1, 2], 0)], [(0, facts(Some(1), None, 2))]);
    let until =
        |until: Option<i64>, reason: &str| Some(Pause { reason: reason.into(), until: until.map(second) });
    let mut home = deployment(&name(0));
    home.pause = until(Some(50), "file");
    let pause = |reason: &str, clears: Option<i64>, by| Reason::Pause {
        reason: reason.into(),
        clears: clears.map(second),
        by,
    };
    assert_eq!(world.of(&home, 49), [pause("file", Some(50), PausedBy::FleetFile)]);
    assert_eq!(world.of(&home, 50), []);
    for (host, expected) in [
        (Some(40), pause("file", Some(50), PausedBy::FleetFile)),
        (Some(60), pause("host", Some(60), PausedBy::Command)),
        (None, pause("host", None, PausedBy::Command)),
    ] {
        world.facts.get_mut(&name(0)).unwrap().pause = until(host, "host");
        assert_eq!(world.of(&home, 30), [expected]);
    }
    world.facts.get_mut(&name(0)).unwrap().pause = None;
    home.pause = until(Some(50), "file");
    // What is held would be in the way of that, too; what failed there would not be tried again.
    let held = world.facts.get_mut(&name(0)).unwrap();
    (held.acts, held.held) = (false, true);
    assert_eq!(world.of(&home, 30), [pause("file", Some(50), PausedBy::FleetFile)]);
    world.facts.insert(name(0), facts(Some(1), None, 2));
    home.pause = None;
    world.stages[0].max_parallel = Some(Share::Number(1));
    world.busy = [name(0)].into();
    assert_eq!(world.of(&home, 0), [], "nobody is in one's own way");
    world.busy = [name(1)].into();
    assert_eq!(world.of(&home, 0), [Reason::Parallel { stage: 1, at_once: 1, busy: [name(1)].into() }]);
    world.facts.insert(name(0), facts(Some(2), None, 2));
    home.pause = until(None, "file");
    assert_eq!(world.of(&home, 0), [], "who has nothing to do waits for nothing");
}

#[test]
fn a_pack_that_goes_goes_by_stages_too() {
    let going = |runs: Option<u8>, since: Option<i64>| {
        let mut facts = facts(runs, since, 1);
        facts.packs.values_mut().for_each(|pack| (pack.wants, pack.next) = (Wish::Absent, None));
        Facts { acts: runs.is_some(), ..facts }
    };
    let reasons = |canary: Facts, now| {
        let all = [(0, canary), (1, going(Some(1), Some(0)))];
        lagging(&world(vec![stage([0], 100), stage([1], 0)], all).reasons(1, now))
    };
    assert_eq!(reasons(going(Some(1), Some(0)), 500), [("d00".to_owned(), Lag::NotYet, None)]);
    assert_eq!(reasons(going(None, Some(450)), 500), [("d00".to_owned(), Lag::Soaks, Some(550))]);
    assert_eq!(reasons(going(None, Some(400)), 500), []);
    assert_eq!(reasons(going(None, None), 500), [], "it never had it");
    // Of one that could not be looked at nobody knows whether it has it still.
    for (state, lag) in
        [(Fares::Offline, Lag::Offline), (Fares::Unseen, Lag::Unseen), (Fares::Unheard, Lag::Unheard)]
    {
        let canary = Facts { packs: BTreeMap::new(), state, ..going(None, None) };
        assert_eq!(reasons(canary, 500), [("d00".to_owned(), lag, None)]);
    }
    // Nor of one where what was noted is lost, whatever it holds now.
    let lost = Facts { packs: BTreeMap::new(), unnoted: true, ..going(None, None) };
    assert_eq!(reasons(lost, 500), [("d00".to_owned(), Lag::Ill, None)]);
}

#[test]
fn an_overlay_that_earlier_stages_have_is_tried_there_first() {
    let two = || vec![stage([0], 100), stage([1], 0)];
    // What the canary runs, since when, and what it wants; the same of the one that follows.
    let waits = |canary: (Laid, i64, Laid), from: Laid, to: Laid| {
        let canary = facts_of(Some(canary.0), Some(canary.1), canary.2);
        lagging(&world(two(), [(0, canary), (1, facts_of(Some(from), Some(0), to))]).reasons(1, 500))
    };
    let d00 = |lag: Lag, clears: Option<i64>| vec![("d00".to_owned(), lag, clears)];
    let quiet = |version: u8| over(1, &[("quiet", version)]);
    let both = |version: u8| over(1, &[("quiet", version), ("prod", 1)]);
    assert_eq!(waits((quiet(1), 0, quiet(2)), quiet(1), quiet(2)), d00(Lag::NotYet, None));
    assert_eq!(waits((quiet(2), 450, quiet(2)), quiet(1), quiet(2)), d00(Lag::Soaks, Some(550)));
    assert_eq!(waits((quiet(2), 400, quiet(2)), quiet(1), quiet(2)), []);
    // One overlay in common is enough; and one that is taken away was there.
    assert_eq!(waits((quiet(1), 0, quiet(2)), both(1), both(2)), d00(Lag::NotYet, None));
    assert_eq!(waits((quiet(1), 0, laid(1)), quiet(1), laid(1)), d00(Lag::NotYet, None));
    // One that no earlier stage has is tried nowhere, and waits for nobody.
    let prod = |version: u8| over(1, &[("prod", version)]);
    assert_eq!(waits((quiet(1), 0, quiet(2)), prod(1), prod(2)), []);
    assert_eq!(waits((over(3, &[("quiet", 1)]), 0, over(3, &[("quiet", 2)])), quiet(1), quiet(2)), []);
    // Without any overlay it is the install map: whoever has the tree tries that.
    let moved_to = || DesiredDigest::from_bytes([9; 32]);
    let moved = Laid { desired: moved_to(), ..laid(1) };
    assert_eq!(waits((laid(1), 0, moved.clone()), prod(1), prod(2)), d00(Lag::NotYet, None));
    assert_eq!(waits((quiet(1), 0, quiet(2)), laid(1), moved), d00(Lag::NotYet, None));
    // Where it is installed is tried by everybody who has the tree, whatever overlays are laid over it there.
    let elsewhere = |laid: Laid| Laid {
        install: InstallMap(vec![Install { from: None, to: None }]),
        desired: moved_to(),
        ..laid
    };
    assert_eq!(
        waits((quiet(1), 0, elsewhere(quiet(1))), prod(1), elsewhere(prod(1))),
        d00(Lag::NotYet, None)
    );
    // Another tree: an overlay in common must be as it is now; one that differs by intent need not.
    let next = |version: u8| over(2, &[("quiet", version)]);
    assert_eq!(waits((next(1), 0, next(2)), quiet(1), next(2)), d00(Lag::NotYet, None));
    assert_eq!(waits((next(1), 0, next(2)), prod(1), over(2, &[("prod", 1)])), []);
}

#[test]
fn one_that_is_ill_with_an_overlay_may_have_another_one() {
    let (old, new) = (over(1, &[("quiet", 1)]), over(1, &[("quiet", 2)]));
    let ill = Facts { state: Fares::Ill, ..facts_of(Some(old.clone()), None, new.clone()) };
    let all = [(0, ill), (1, facts_of(Some(old), Some(0), new))];
    let world = world(vec![stage([0], 100), stage([1], 0)], all);
    assert_eq!(world.reasons(0, 500), []);
    assert_eq!(lagging(&world.reasons(1, 500)), [("d00".to_owned(), Lag::NotYet, None)]);
}

/// One thing that happens in a fleet.
#[derive(Debug, Clone)]
enum Step {
    /// Time goes on.
    Passes(i64),
    /// Somebody tries to move; how that ends.
    Moves(usize, bool),
    /// Somebody is found ill, or well again.
    Falls(usize, bool),
    /// The fleet file changes.
    Pins(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1i64..60).prop_map(Step::Passes),
        8 => (0usize..9, proptest::bool::weighted(0.9)).prop_map(|(at, well)| Step::Moves(at, well)),
        1 => (0usize..9, any::<bool>()).prop_map(|(at, well)| Step::Falls(at, well)),
        1 => (2u8..5).prop_map(Step::Pins),
    ]
}

proptest! {
    /// Nobody moves to a tree before everyone of the earlier stages who wants it ran it, well, for the soak;
    /// told by a history of its own and not by the facts that the gate looks at.
    #[test]
    fn nobody_skips_a_stage(
        steps in proptest::collection::vec(step(), 1..120),
        soaks in proptest::array::uniform3(0u64..90),
        allowed in proptest::array::uniform3(0u64..2),
    ) {
        let mut stages = vec![stage(0..2, soaks[0]), stage(2..5, soaks[1]), stage(5..9, soaks[2])];
        stages.iter_mut().zip(allowed).for_each(|(stage, allowed)| stage.max_failures = allowed);
        let mut world = world(stages, (0..9).map(|at| (at, facts(Some(1), Some(0), 1))));
        let (mut now, mut pin) = (1000, 1);
        // Since when each runs what it runs, well; who failed what.
        let mut well: Vec<(u8, Option<i64>)> = vec![(1, Some(0)); 9];
        let mut failed: BTreeSet<(usize, u8)> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Passes(seconds) => now += seconds,
                Step::Pins(to) => {
                    pin = to;
                    for (at, (runs, since)) in well.iter().enumerate() {
                        let (runs, since) = (*runs, *since);
                        // Another wish makes nobody well.
                        let state = world.facts[&name(at)].state;
                        let mut facts = Facts { state, ..facts(Some(runs), since, pin) };
                        if failed.contains(&(at, pin)) {
                            facts.packs.values_mut().for_each(|pack| {
                                (pack.failed, pack.next) = (true, pack.runs.clone());
                            });
                            facts.acts = false;
                        }
                        world.facts.insert(name(at), facts);
                    }
                }
                Step::Falls(at, is_well) => {
                    well[at].1 = is_well.then_some(now);
                    let facts = world.facts.get_mut(&name(at)).unwrap();
                    facts.state = if is_well { Fares::Well } else { Fares::Ill };
                    facts.packs.values_mut().for_each(|pack| pack.since = is_well.then(|| second(now)));
                }
                Step::Moves(at, is_well) => {
                    let known = &world.facts[&name(at)];
                    if !known.acts || !world.reasons(at, now).is_empty() {
                        continue;
                    }
                    let own = stage_of(&world.stages, &name(at)).unwrap();
                    for (number, stage) in world.stages.iter().enumerate().take(own) {
                        let members: Vec<usize> =
                            (0..9).filter(|at| stage.members.contains(&name(*at))).collect();
                        let bad = members.iter().filter(|at| {
                            failed.contains(&(**at, pin)) || well[**at] == (pin, None)
                        });
                        let bad: Vec<&usize> = bad.collect();
                        prop_assert!(bad.len() as u64 <= stage.max_failures, "stage {number}: {bad:?}");
                        for earlier in members.iter().filter(|at| !bad.contains(at)) {
                            let (runs, since) = well[*earlier];
                            prop_assert_eq!(runs, pin, "d{} before d{}", at, earlier);
                            let since = since.unwrap();
                            prop_assert!(since + stage.soak.as_secs() as i64 <= now);
                        }
                    }
                    if is_well {
                        well[at] = (pin, Some(now));
                        world.facts.insert(name(at), facts(Some(pin), Some(now), pin));
                    } else {
                        failed.insert((at, pin));
                        let (runs, since) = well[at];
                        let mut facts = facts(Some(runs), since, pin);
                        facts.packs.values_mut().for_each(|pack| {
                            (pack.failed, pack.next) = (true, pack.runs.clone());
                        });
                        world.facts.insert(name(at), Facts { acts: false, ..facts });
                    }
                }
            }
        }
    }

    /// What soaks opens with time and stays open; and names do not matter.
    #[test]
    fn time_only_opens(
        runs in proptest::collection::vec((1u8..4, proptest::option::of(0i64..100), any::<bool>()), 9),
        now in 0i64..200,
        later in 0i64..200,
        turn in 0usize..9,
    ) {
        let all = |turn: usize| {
            let place = move |at: usize| (at + turn) % 9;
            let stages = vec![
                stage((0..3).map(place), 40),
                stage((3..6).map(place), 20),
                stage((6..9).map(place), 0),
            ];
            let facts = runs.iter().enumerate().map(|(at, (runs, since, ill))| {
                let state = if *ill { Fares::Ill } else { Fares::Well };
                (place(at), Facts { state, ..facts(Some(*runs), *since, 2) })
            });
            world(stages, facts.collect::<Vec<_>>())
        };
        let (world, turned) = (all(0), all(turn));
        for at in 0..9 {
            let (early, late) = (world.reasons(at, now), world.reasons(at, now + later));
            prop_assert!(late.len() <= early.len(), "{early:?} {late:?}");
            for reason in &early {
                if let Some(clears) = reason.clears() {
                    prop_assert!(clears > second(now));
                    let then = world.reasons(at, clears.as_second());
                    prop_assert!(!then.contains(reason));
                }
            }
            prop_assert_eq!(turned.reasons((at + turn) % 9, now).len(), early.len());
        }
    }
}
