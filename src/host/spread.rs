//! Work over many paths, spread over the cores where that pays.
//!
//! Threads take units from one list, so that a large one does not hold up the rest. Answers come in the
//! order of the units.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::sight::{Effort, Looker};

/// Below this many paths a second thread costs more than it saves.
pub const FEW: usize = 1024;
/// Threads at most; the disk has a say, too.
const MOST: usize = 8;

/// Answers of `look` to each unit. `size` is the number of paths in all.
pub fn spread<T: Sync, R: Send>(
    units: &[T],
    size: usize,
    mount: u64,
    look: impl Fn(&mut Looker, &T) -> R + Sync,
) -> Vec<R> {
    let threads = if size < FEW { 1 } else { threads(units.len()) };
    // With enough to do for all, one core a file is best; else the last files keep all cores busy.
    let effort = if threads > 1 && units.len() >= threads * 4 { Effort::Beside } else { Effort::Alone };
    in_turn(threads, units, || Looker::with(mount, effort), look)
}

/// How many threads so many units are worth.
pub fn threads(units: usize) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST).min(units.max(1))
}

/// Answers of `work` to each unit, by so many threads, each of which has what `begin` gives.
pub fn in_turn<T: Sync, R: Send, S>(
    threads: usize,
    units: &[T],
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &T) -> R + Sync,
) -> Vec<R> {
    if threads == 1 {
        let mut state = begin();
        return units.iter().map(|unit| work(&mut state, unit)).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut state = begin();
        let mut answers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = units.get(number) else { return answers };
            answers.push((number, work(&mut state, unit)));
        }
    };
    let mut answers = std::thread::scope(|scope| {
        let spawned: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let mut answers = take();
        for thread in spawned {
            answers.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    });
    answers.sort_unstable_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
