//! Seeds, spread over all cores: they know nothing of each other.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Gives each of these seeds to `work`, in order, on as many threads as there are cores, each with a `Sum` of its own;
/// returns the sums. After a [`ControlFlow::Break`] no further seed is begun.
///
/// # Panics
/// If a run does.
pub fn each_seed<Sum: Default + Send>(
    seeds: Range<u64>,
    work: impl Fn(u64, &mut Sum) -> ControlFlow<()> + Sync,
) -> Vec<Sum> {
    let next = AtomicU64::new(seeds.start);
    let worker = || {
        let mut sum = Sum::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return sum;
            }
            if work(seed, &mut sum).is_break() {
                next.store(seeds.end, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a run's panic is its failure")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_is_taken_once_and_none_after_a_break() {
        let mut taken: Vec<u64> = each_seed(3..50, |seed, taken: &mut Vec<u64>| {
            taken.push(seed);
            ControlFlow::Continue(())
        })
        .concat();
        taken.sort_unstable();
        assert_eq!(taken, (3..50).collect::<Vec<_>>());
        let taken = each_seed(0..u64::MAX, |seed, taken: &mut Vec<u64>| {
            taken.push(seed);
            if seed == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(taken.concat().contains(&20));
    }
}
