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
    let threads = match size {
        ..FEW => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from).min(MOST).min(units.len().max(1)),
    };
    if threads == 1 {
        let mut looker = Looker::new(mount);
        return units.iter().map(|unit| look(&mut looker, unit)).collect();
    }
    // With enough to do for all, one core a file is best; else the last files keep all cores busy.
    let effort = if units.len() >= threads * 4 { Effort::Beside } else { Effort::Alone };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut looker = Looker::with(mount, effort);
        let mut answers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(unit) = units.get(number) else { return answers };
            answers.push((number, look(&mut looker, unit)));
        }
    };
    let mut answers = std::thread::scope(|scope| {
        let spawned: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut answers = work();
        for thread in spawned {
            answers.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    });
    answers.sort_unstable_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}
