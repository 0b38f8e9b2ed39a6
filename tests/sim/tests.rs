//! Scenarios that anybody would expect to work, one by one.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{ControlFlow, Range};

use fleet_tests::chaos::{Failure, Happened, Plan, Success, run};
use fleet_tests::cores::each_seed;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::judge::Excused;
use fleet_tests::judge::queries::Tally;
use fleet_tests::shrink::shrink;
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Status};

#[test]
fn a_fleet_comes_together_and_an_event_reaches_everybody_once() {
    let mut fleet = Fleet::new(1, 20, Size::Small, Config::LAN);
    fleet.check_every = 1;
    let mut heard = vec![0; 20];
    fleet.assemble(&mut |_, _, _, _| {});
    let mut watch =
        |i: usize, _: u64, _: u64, seen: Seen| heard[i] += matches!(seen, Seen::User { .. }) as u32;
    fleet.with(3, &mut watch, |node, now| node.user_event(now, b"deploy", b"1", false).unwrap());
    fleet.run(5_000_000, &mut watch);
    assert_eq!(heard, [1; 20]);
}

#[test]
fn an_acquainted_fleet_has_nothing_to_tell() {
    let mut fleet = Fleet::new(1, 100, Size::Members(100), Config::LAN);
    fleet.acquaint(&mut |_, _, _, _| {});
    fleet.run(30_000_000, &mut |_, _, _, _| {});
    assert!(fleet.agreed());
    assert_eq!(fleet.total(|stats| stats.member_syncs), 100, "each fetched the table, and none compares it");
    assert_eq!(fleet.total(|stats| stats.suspicions), 0);
    assert!((0..100).all(|i| fleet.node(i).is_some_and(|node| node.gauges().gossip == 0)));
}

#[test]
fn a_crash_is_noticed_and_a_return_as_well() {
    let mut fleet = Fleet::new(2, 10, Size::Small, Config::LAN);
    fleet.check_every = 1;
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.crash(4);
    fleet.run(40_000_000, &mut |_, _, _, _| {});
    assert!((0..10).filter(|i| *i != 4).all(|i| fleet.status(i, 4) == Some(Status::Failed)));
    fleet.boot(4, &[0], false, &mut |_, _, _, _| {});
    fleet.run(10_000_000, &mut |_, _, _, _| {});
    assert!(fleet.agreed());
    fleet.with(4, &mut |_, _, _, _| {}, |node, now| node.leave(now).unwrap());
    fleet.run(10_000_000, &mut |_, _, _, _| {});
    assert!((0..10).filter(|i| *i != 4).all(|i| fleet.status(i, 4) == Some(Status::Left)));
}

#[test]
fn a_crash_makes_nobody_doubt_its_own_health() {
    let mut fleet = Fleet::new(4, 10, Size::Small, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.crash(4);
    let mut worst = 0;
    for _ in 0..100 {
        fleet.run(100_000, &mut |_, _, _, _| {});
        worst =
            (0..10).filter_map(|i| fleet.node(i)).map(|node| node.gauges().awareness).fold(worst, u8::max);
    }
    assert!((0..10).filter(|i| *i != 4).all(|i| fleet.status(i, 4) == Some(Status::Failed)));
    assert_eq!(worst, 0, "helpers that answer in time show that it is the crashed node's fault");
}

#[test]
fn a_node_that_returns_without_a_seed_is_found_and_hears_nothing_old() {
    let mut fleet = Fleet::new(3, 6, Size::Small, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.with(0, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"old", b"1", false).unwrap());
    fleet.run(5_000_000, &mut |_, _, _, _| {});
    fleet.crash(4);
    fleet.run(60_000_000, &mut |_, _, _, _| {});
    let mut old = 0;
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        old += (i == 4 && matches!(seen, Seen::User { .. })) as u32;
    };
    fleet.boot(4, &[], false, &mut watch);
    fleet.run(90_000_000, &mut watch);
    assert!(fleet.agreed());
    assert_eq!(old, 0);
}

/// Seeds of a plain `cargo test`; `tests/run` takes fewer, its group `long` more.
const SEEDS: u64 = 1_000;
/// So many failures are shown.
const SHOWN: usize = 50;

/// How many seeds this run takes; `SEEDS=` for more.
fn seeds() -> u64 {
    std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// What many runs have come to.
#[derive(Default)]
struct Sum {
    happened: Happened,
    excused: Excused,
    queries: Tally,
    failed: Vec<Failure>,
    /// Of each hundred seeds all that their nodes have put out, as one number.
    transcripts: BTreeMap<u64, u64>,
}

/// Threads take seeds in any order, so the order does not count.
fn add(transcripts: &mut BTreeMap<u64, u64>, hundred: u64, transcript: u64) {
    let sum = transcripts.entry(hundred).or_default();
    *sum = sum.wrapping_add(transcript);
}

/// Runs the plans that all these seeds stand for, on all cores.
fn run_all(seeds: Range<u64>, plan: fn(u64) -> Plan) -> Sum {
    let sums = each_seed(seeds, |seed, sum: &mut Sum| {
        match run(&plan(seed)) {
            Ok(Success { happened, excused, queries, transcript }) => {
                sum.queries.add(queries);
                sum.happened.add(&happened);
                sum.excused.add(&excused);
                add(&mut sum.transcripts, seed / 100, transcript);
            }
            Err(failure) => sum.failed.push(*failure),
        }
        ControlFlow::Continue(())
    });
    let mut total = Sum::default();
    for sum in sums {
        total.happened.add(&sum.happened);
        total.excused.add(&sum.excused);
        total.queries.add(sum.queries);
        sum.transcripts.into_iter().for_each(|(hundred, sum)| add(&mut total.transcripts, hundred, sum));
        total.failed.extend(sum.failed);
    }
    total.failed.sort_by_key(|failure| failure.plan.seed);
    total
}

/// The seed that is to be run alone, if one is: `SEED=`.
fn only() -> Option<u64> {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok())
}

/// That one, or so many.
fn seed_or(count: u64) -> Range<u64> {
    only().map_or(0..count, |seed| seed..seed + 1)
}

/// Prints what has failed; of a single seed all that happened.
fn show(failed: &[Failure], what: &str) {
    if only().is_some() {
        failed.iter().for_each(|failure| println!("{:#?}\n{}", failure.plan, failure.told()));
    }
    for Failure { plan, step, text, .. } in failed.iter().take(SHOWN) {
        println!("{what}{} ({}) fails at step {step}: {text}", plan.seed, plan.kinds());
    }
}

/// Prints what is left of the first failure when it is made smaller, and fails, if there is one.
fn none_fails(failed: Vec<Failure>, seeds: u64) {
    let count = failed.len();
    if let Some(first) = failed.into_iter().next() {
        let small = shrink(first);
        println!("The first of them, made smaller: {}\n{:#?}\n{}", small.text, small.plan, small.told());
        panic!("{count} of {seeds} seeds fail: see above, run one with SEED=, keep it in regressions.rs");
    }
}

/// The faults that networks and power have, more of them at once, on links of 2 ms.
#[test]
fn usual_faults_break_no_promise() {
    let Sum { excused, failed, .. } = run_all(0..seeds() / 3, Plan::usual);
    excused.each().iter().for_each(|(name, count)| println!("{name:>24}: {count}, excused"));
    show(&failed, "usual seed ");
    assert!(failed.is_empty(), "{} of {} seeds fail", failed.len(), seeds() / 3);
}

/// The wide world, a few kinds of disorder at a time.
#[test]
fn mixed_faults_break_no_promise() {
    let Sum { happened: mut total, excused, failed, transcripts, .. } = run_all(seed_or(seeds()), Plan::draw);
    for (name, count) in total.each_mut() {
        println!("{name:>24}: {count}");
    }
    for (name, count) in excused.each() {
        println!("{name:>24}: {count}, excused");
    }
    show(&failed, "SEED=");
    none_fails(failed, seeds());
    if only().is_none() && seeds() >= SEEDS {
        for (name, count) in total.each_mut() {
            assert_ne!(*count, 0, "no {name} in {} seeds: the run proves too little", seeds());
        }
    }
    if only().is_none() {
        compare(&transcripts);
    }
}

/// The wide world once more, asking.
#[test]
fn queries_among_mixed_faults_break_no_promise() {
    let Sum { excused, mut queries, failed, .. } = run_all(seed_or(seeds() / 2), Plan::asking);
    queries.each().iter().for_each(|(name, count)| println!("{name:>24}: {count}"));
    excused.each().iter().for_each(|(name, count)| println!("{name:>24}: {count}, excused"));
    show(&failed, "asking seed ");
    none_fails(failed, seeds() / 2);
    if only().is_none() {
        queries.each().iter().for_each(|(name, count)| assert_ne!(**count, 0, "no {name}"));
    }
}

/// The wide world, sealed: an outsider who replays what he has recorded changes nothing.
#[test]
fn replays_in_sealed_fleets_break_no_promise() {
    let Sum { happened, excused, mut queries, failed, .. } = run_all(seed_or(seeds() / 2), Plan::sealed);
    println!("{:>24}: {}", "replayed", happened.replayed);
    queries.each().iter().for_each(|(name, count)| println!("{name:>24}: {count}"));
    excused.each().iter().for_each(|(name, count)| println!("{name:>24}: {count}, excused"));
    show(&failed, "sealed seed ");
    none_fails(failed, seeds() / 2);
    assert_ne!(happened.replayed, 0);
}

/// What the nodes have put out must be what `transcripts.txt` says, as far as that goes: a commit that only moves code keeps
/// it, one that changes it is about that and says why. `TRANSCRIPTS=write` with `SEEDS=1000` writes it anew.
fn compare(transcripts: &BTreeMap<u64, u64>) {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sim/transcripts.txt");
    let whole = transcripts.range(..seeds() / 100);
    let line =
        |(hundred, sum): (&u64, &u64)| format!("{:>5}..{:<5} {sum:016x}", 100 * hundred, 100 * (hundred + 1));
    let now: Vec<String> = whole.map(line).collect();
    if std::env::var("TRANSCRIPTS").is_ok_and(|what| what == "write") {
        return fs::write(FILE, now.join("\n") + "\n").expect("it can be written");
    }
    let known = fs::read_to_string(FILE).expect("it is in the repository");
    assert_eq!(known.lines().count() as u64, SEEDS / 100, "it has a line for each hundred of {SEEDS} seeds");
    let changed: Vec<_> = known.lines().zip(&now).filter(|(known, now)| known != now).collect();
    assert!(
        changed.is_empty(),
        "the nodes put out something else than before: (before, now) {changed:#?}; \
         if that is meant: TRANSCRIPTS=write SEEDS=1000 tests/run sim"
    );
}

/// Without pulls what gets lost stays lost: of a plan that shows it little more is left than that.
#[test]
fn a_failing_plan_is_made_small() {
    let plans = (0..200).map(Plan::usual).filter(|plan| plan.nodes >= 10 && strengths(plan) >= 4);
    let failure = plans.map(|plan| plan.without(Rule::Pull)).find_map(|plan| run(&plan).err());
    let before = failure.expect("the judge sees what is missing");
    let (nodes, faults) = (before.plan.nodes, strengths(&before.plan));
    let after = shrink(*before);
    println!("{}: {:?}", after.text, after.plan);
    assert!(after.plan.nodes < nodes && strengths(&after.plan) < faults, "{:?}", after.plan);
    assert!(run(&after.plan).is_err_and(|again| again.text == after.text), "it fails again in the same way");
}

fn strengths(plan: &Plan) -> usize {
    plan.faults.clone().each_mut().into_iter().filter(|strength| **strength > 0.0).count()
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for plan in [3, 17, 40].map(Plan::usual).into_iter().chain((0..20).map(Plan::draw)) {
        let told = || run(&plan).map(|run| run.transcript).map_err(|failure| failure.step);
        assert_eq!(told(), told());
    }
}
