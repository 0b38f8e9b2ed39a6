//! Lifeguard's two experiments, beside what its authors published of theirs.

use std::ops::ControlFlow;

use fleet_tests::cores::each_seed;
use fleet_tests::detection::quantile;
use fleet_tests::lifeguard::{BLOCKED, BLOCKS, False, INTERVALS, interval, threshold};

use crate::table::Goal::{AtMost, None};
use crate::table::{goal, goals, head, number, row};

/// How often each combination is run, as by the authors.
const REPEATED: u64 = 10;
/// Runs of the Threshold experiment, and for how many milliseconds who is blocked is: long enough to be found.
const RUNS: u64 = 100;
const LONG: u64 = 32_768;

/// The matrix, so often.
fn matrix(repeated: u64) -> [False; INTERVALS.len()] {
    let (intervals, blocks) = (INTERVALS.len() as u64, BLOCKS.len() as u64);
    let all = repeated * BLOCKED.len() as u64 * blocks * intervals;
    let sums = each_seed(0..all, |run, sums: &mut [False; INTERVALS.len()]| {
        let column = (run % intervals) as usize;
        let block = BLOCKS[(run / intervals % blocks) as usize];
        let blocked = BLOCKED[(run / intervals / blocks) as usize % BLOCKED.len()];
        sums[column].add(interval(run, blocked, block, INTERVALS[column], Option::None));
        ControlFlow::Continue(())
    });
    let mut total = [False::default(); INTERVALS.len()];
    for sums in sums {
        total.iter_mut().zip(sums).for_each(|(total, sum)| total.add(sum));
    }
    total
}

/// Both experiments.
pub fn table() -> String {
    let repeated = std::env::var("LIFEGUARD").ok().and_then(|times| times.parse().ok()).unwrap_or(REPEATED);
    let title = format!(
        "Lifeguard's Interval experiment: 128 nodes, 1 to 32 of them blocked for 128 ms to 33 s again and again, each combination {repeated} times"
    );
    let mut text = head(
        &title,
        0,
        &["runs between two blocks for (ms)", "false positives", "of them told by healthy ones"],
    );
    let (mut sum, columns) = (False::default(), matrix(repeated));
    for (interval, told) in INTERVALS.into_iter().zip(columns) {
        text += &row(&[number(interval as f64), number(told.all as f64), number(told.healthy as f64)]);
        sum.add(told);
    }
    text += "\nThe authors' sums over 10 times, on real machines: SWIM 339,002 (1,326 told by healthy ones), Lifeguard 5,193 (25).\n";
    text += &goals("Lifeguard's experiments");
    text += &goal("false positives in the whole matrix", sum.all as f64, AtMost(50.0 * repeated as f64));
    text += &goal("of them healthy ones about healthy ones", sum.healthy as f64, AtMost(0.0));

    let found = each_seed(0..RUNS, |seed, found: &mut Vec<(u64, Option<u64>)>| {
        found.extend(threshold(seed, BLOCKED[seed as usize % BLOCKED.len()], LONG));
        ControlFlow::Continue(())
    });
    let found: Vec<_> = found.into_iter().flatten().collect();
    let mut first: Vec<u64> = found.iter().map(|(first, _)| *first).collect();
    let mut all: Vec<u64> = found.iter().filter_map(|(_, all)| *all).collect();
    first.sort_unstable();
    all.sort_unstable();
    let seconds = |times: &[u64], share| quantile(times, share).map_or(f64::NAN, |time| time as f64 / 1e6);
    text += &goal("blocked for 33 s: first detection, median (s)", seconds(&first, 0.5), AtMost(12.45));
    text += &goal("first detection, 99 % (s; Lifeguard 17.9)", seconds(&first, 0.99), None);
    text += &goal("detected by all healthy ones, median (s; Lifeguard 12.91)", seconds(&all, 0.5), None);
    text
}
