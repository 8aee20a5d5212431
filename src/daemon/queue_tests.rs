//! The queue as data: what happened when, and what is begun.

use super::*;

const RHYTHM: Rhythm = Rhythm {
    poll: Duration::from_secs(60),
    resync: Duration::from_secs(600),
    full_rehash: Duration::from_secs(86_400),
    retry: crate::model::run::Retry { initial: Duration::from_secs(10), max: Duration::from_secs(600) },
};

fn name(text: &str) -> DeploymentName {
    DeploymentName::new(text).unwrap()
}

fn at(milliseconds: u64) -> Time {
    Duration::from_millis(milliseconds)
}

/// A queue with a fleet in force since the start; `ab`: `a` and `b` are one group.
fn queue(groups: &[&str]) -> Queue {
    let mut queue = Queue::new(7);
    assert_eq!(queue.next(at(0)), Some(Next::Ask));
    queue.asked(at(0));
    put(&mut queue, groups, 0);
    queue
}

fn put(queue: &mut Queue, groups: &[&str], now: u64) {
    let members = groups.iter().enumerate().flat_map(|(group, names)| {
        names.chars().map(move |one| (name(&one.to_string()), group)).collect::<Vec<_>>()
    });
    queue.fleet(members.collect(), RHYTHM, 8, at(now));
}

/// All that is begun at a time: `pass ab`.
fn begun(queue: &mut Queue, now: u64) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(next) = queue.next(at(now)) {
        all.push(match next {
            Next::Ask => "ask".to_owned(),
            Next::Job(job) => {
                let names: String = job.names.iter().map(DeploymentName::as_str).collect();
                format!("{} {names} #{}", format!("{:?}", job.kind).to_lowercase(), job.id)
            }
        });
    }
    all
}

fn end(queue: &mut Queue, id: u64, came: &[(&str, Came)], moved: Moved, now: u64) {
    let came = came.iter().map(|(one, came)| (name(one), *came)).collect();
    queue.ended(id, &came, moved, at(now));
}

#[test]
fn a_fleet_in_force_is_one_pass_per_group_side_by_side() {
    let mut queue = queue(&["ab", "c"]);
    assert_eq!(begun(&mut queue, 0), ["pass ab #1", "pass c #2"]);
    assert_eq!(begun(&mut queue, 1), [""; 0]);
    end(&mut queue, 1, &[("a", Came::Settled), ("b", Came::Settled)], Moved::No, 5);
    assert_eq!(begun(&mut queue, 5), [""; 0]);
}

#[test]
fn many_touches_are_one_look_at_that_deployment_after_a_while() {
    let mut queue = queue(&["a", "b"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Settled)], Moved::No, 0);
    end(&mut queue, 2, &[("b", Came::Settled)], Moved::No, 0);
    for moment in 1000..1050 {
        queue.touched(&name("a"), at(moment));
    }
    queue.touched(&name("stranger"), at(1050));
    assert_eq!(begun(&mut queue, 1099), [""; 0]);
    assert_eq!(queue.due(at(1099)), Some(at(1100)));
    assert_eq!(begun(&mut queue, 1100), ["look a #3"]);
    // What is touched while one looks is looked at again, and not at once.
    queue.touched(&name("a"), at(1101));
    assert_eq!(begun(&mut queue, 1500), [""; 0]);
    end(&mut queue, 3, &[("a", Came::Settled)], Moved::No, 1500);
    assert_eq!(begun(&mut queue, 1500), ["look a #4"]);
    end(&mut queue, 4, &[("a", Came::Settled)], Moved::No, 1510);
    queue.touched(&name("a"), at(1511));
    assert_eq!(queue.due(at(1511)), Some(at(1760)));
}

#[test]
fn a_look_that_finds_work_leads_to_a_pass() {
    let mut queue = queue(&["a"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Settled)], Moved::No, 0);
    queue.touched(&name("a"), at(500));
    assert_eq!(begun(&mut queue, 600), ["look a #2"]);
    end(&mut queue, 2, &[("a", Came::Acts)], Moved::No, 601);
    assert_eq!(begun(&mut queue, 601), ["pass a #3"]);
}

#[test]
fn failures_wait_longer_each_time_and_delay_nobody() {
    let mut queue = queue(&["a", "b"]);
    begun(&mut queue, 0);
    end(&mut queue, 2, &[("b", Came::Settled)], Moved::No, 0);
    let (mut now, mut id) = (at(0), 1);
    for number in 0..9 {
        end(&mut queue, id, &[("a", Came::Failed)], Moved::No, now.as_millis() as u64);
        let failed = now;
        'waits: loop {
            now = queue.due(now).unwrap();
            while let Some(next) = queue.next(now) {
                match next {
                    Next::Ask => queue.asked(now),
                    Next::Job(job) if job.names.contains(&name("a")) => {
                        id = job.id;
                        break 'waits;
                    }
                    Next::Job(job) => {
                        queue.ended(job.id, &[(name("b"), Came::Settled)].into(), Moved::No, now);
                    }
                }
            }
        }
        let (whole, waited) = (at((10_000 << number).min(600_000)), now - failed);
        assert!(waited >= whole / 2 && waited <= whole, "{number}: {waited:?} of {whole:?}");
    }
}

#[test]
fn a_newer_fleet_wins_over_retries_and_over_what_runs_for_an_older_one() {
    let mut queue = queue(&["a", "b"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Failed)], Moved::No, 10);
    put(&mut queue, &["a", "b"], 20);
    assert_eq!(queue.superseded().collect::<Vec<_>>(), [2]);
    assert_eq!(begun(&mut queue, 20), ["pass a #3"]);
    // What the older one came to is no reason to wait, whatever it was.
    end(&mut queue, 2, &[("b", Came::Failed)], Moved::No, 30);
    assert_eq!(begun(&mut queue, 30), ["pass b #4"]);
    assert_eq!(queue.superseded().count(), 0);
    end(&mut queue, 4, &[("b", Came::Failed)], Moved::No, 40);
    assert_eq!(queue.ones[&name("b")].failures, 1);
}

#[test]
fn who_waits_is_looked_at_when_something_moved() {
    let mut queue = queue(&["ab", "c"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Failed), ("b", Came::Waits)], Moved::No, 0);
    assert_eq!(begun(&mut queue, 1), [""; 0]);
    end(&mut queue, 2, &[("c", Came::Settled)], Moved::Yes, 2);
    assert_eq!(begun(&mut queue, 2), ["pass b #3"]);
}

#[test]
fn no_two_passes_of_one_group_and_no_look_at_what_is_passed_over() {
    let mut queue = queue(&["ab"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Settled), ("b", Came::Settled)], Moved::No, 0);
    queue.pass(&name("a"), at(10));
    assert_eq!(begun(&mut queue, 10), ["pass a #2"]);
    queue.pass(&name("b"), at(11));
    queue.touched(&name("a"), at(11));
    queue.touched(&name("b"), at(11));
    // `b` has a pass before it, `a` is in one.
    assert_eq!(begun(&mut queue, 400), [""; 0]);
    end(&mut queue, 2, &[("a", Came::Settled)], Moved::No, 500);
    assert_eq!(begun(&mut queue, 500), ["look a #3", "pass b #4"]);
}

#[test]
fn timers_look_at_everything_and_distrust_the_cache() {
    let mut queue = queue(&["a"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Settled)], Moved::No, 0);
    let (mut now, mut seen) = (0, BTreeMap::<String, u64>::new());
    while now < 86_400_000 {
        now = queue.due(at(now)).unwrap().as_millis() as u64 + 1;
        for what in begun(&mut queue, now) {
            match what.rsplit_once('#') {
                None => queue.asked(at(now)),
                Some((_, id)) => {
                    end(&mut queue, id.parse().unwrap(), &[("a", Came::Settled)], Moved::No, now)
                }
            }
            *seen.entry(what.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert_eq!(seen["rehash"], 1);
    assert!((144..=161).contains(&seen["pass"]), "{seen:?}");
    assert!((1440..=1601).contains(&seen["ask"]), "{seen:?}");
    assert_eq!(seen.len(), 3);
}

#[test]
fn who_asks_while_git_is_asked_is_answered_once_more() {
    let mut queue = queue(&[]);
    queue.ask_now(at(5));
    queue.ask_now(at(6));
    assert_eq!(begun(&mut queue, 6), ["ask"]);
    queue.ask_now(at(7));
    queue.ask_now(at(8));
    assert_eq!(begun(&mut queue, 8), [""; 0]);
    queue.asked(at(9));
    assert_eq!(begun(&mut queue, 9), ["ask"]);
    queue.asked(at(10));
    assert_eq!(begun(&mut queue, 10), [""; 0]);
}

#[test]
fn deployments_that_are_gone_are_forgotten_also_while_they_are_looked_at() {
    let mut queue = queue(&["a", "b"]);
    begun(&mut queue, 0);
    put(&mut queue, &["b"], 1);
    end(&mut queue, 1, &[("a", Came::Failed)], Moved::No, 2);
    end(&mut queue, 2, &[("b", Came::Settled)], Moved::No, 2);
    assert_eq!(begun(&mut queue, 2), ["pass b #3"]);
    assert!(!queue.is_idle());
}

#[test]
fn who_waits_for_a_time_is_passed_over_then() {
    let mut queue = queue(&["a"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::WaitsFor(at(5000)))], Moved::No, 100);
    assert_eq!(begun(&mut queue, 5099), [""; 0]);
    assert_eq!(queue.due(at(5099)), Some(at(5100)));
    assert_eq!(begun(&mut queue, 5100), ["pass a #2"]);
}

#[test]
fn a_poll_that_became_shorter_counts_from_now_on() {
    let mut queue = queue(&["a"]);
    begun(&mut queue, 0);
    end(&mut queue, 1, &[("a", Came::Settled)], Moved::No, 0);
    let short = Rhythm { poll: at(1000), ..RHYTHM };
    queue.fleet([(name("a"), 0)].into(), short, 8, at(2000));
    begun(&mut queue, 2000);
    end(&mut queue, 2, &[("a", Came::Settled)], Moved::No, 2000);
    let due = queue.due(at(2000)).unwrap();
    assert!(due > at(2000) && due <= at(3000), "{due:?}");
    assert_eq!(begun(&mut queue, 3000), ["ask"]);
    // One that became longer is waited for no longer than before.
    queue.asked(at(3000));
    queue.fleet([(name("a"), 0)].into(), RHYTHM, 8, at(3000));
    assert!(begun(&mut queue, 4000).contains(&"ask".to_owned()));
}

#[test]
fn what_a_source_did_not_give_is_asked_again_and_touches_are_put_right_meanwhile() {
    let mut queue = queue(&["a"]);
    begun(&mut queue, 0);
    assert_eq!(begun(&mut queue, 10_000), ["ask"]);
    queue.asked(at(10_000));
    end(&mut queue, 1, &[("a", Came::Lacks)], Moved::No, 10_000);
    // Somebody deletes a file: that comes back at once.
    queue.touched(&name("a"), at(11_000));
    assert_eq!(begun(&mut queue, 11_100), ["look a #2"]);
    end(&mut queue, 2, &[("a", Came::Acts)], Moved::No, 11_100);
    assert_eq!(begun(&mut queue, 11_100), ["pass a #3"]);
    end(&mut queue, 3, &[("a", Came::Lacks)], Moved::No, 11_100);
    let second = queue.due(at(11_100)).unwrap();
    assert!(second >= at(21_100) && second <= at(31_100), "{second:?}");
    // A look that finds all in order does not end the wait, nor begin it anew.
    queue.touched(&name("a"), at(12_000));
    assert_eq!(begun(&mut queue, 12_100), ["look a #4"]);
    end(&mut queue, 4, &[("a", Came::Settled)], Moved::No, 12_100);
    assert_eq!(queue.due(at(12_100)), Some(second));
    assert_eq!(begun(&mut queue, 31_100), ["pass a #5"]);
    end(&mut queue, 5, &[("a", Came::Settled)], Moved::No, 31_100);
    assert!(queue.due(at(31_100)).unwrap() > at(60_000), "the next is a poll");
}
