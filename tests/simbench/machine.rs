//! What depends on the machine: how fast the simulator is, and what it takes. Printed, but kept in no file.

use std::fs::read_to_string;
use std::thread;
use std::time::Instant;

use fleet_tests::chaos::{Plan, run};
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::measure::Figures;
use serf_nostd::Config;

/// Things that happen in a fleet of 1,000 with an event a second, per second of this program's processor time.
pub fn speed() -> f64 {
    let mut fleet = Fleet::new(1, 1000, Size::Members(1000), Config::LAN);
    let mut nobody = |_: usize, _: u64, _: u64, _| {};
    fleet.acquaint(&mut nobody);
    fleet.run(10_000_000, &mut nobody);
    let (steps, began) = (fleet.steps, cpu_seconds());
    for i in 0..60 {
        fleet.with(i, &mut nobody, |node, now| node.user_event(now, b"deploy", b"1", false).expect("room"));
        fleet.run(1_000_000, &mut nobody);
    }
    (fleet.steps - steps) as f64 / (cpu_seconds() - began)
}

/// A fleet with room for names and tags as long as Serf allows: for a program of its own, whose memory is asked for.
pub fn full_size(nodes: usize) -> Figures {
    let mut fleet = Fleet::new(1, nodes, Size::FullMembers(nodes as u16), Config::LAN);
    fleet.acquaint(&mut |_, _, _, _| {});
    Figures::new()
}

/// Most memory that this program has held so far, in MiB.
pub fn resident_mib() -> f64 {
    let status = read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

fn cpu_seconds() -> f64 {
    let text = read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    let nanos: f64 = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number");
    nanos / 1e9
}

/// Node-years of virtual time that pass on this machine in a day: an idle fleet of 1,000 on each core at once.
pub fn idle_years() -> f64 {
    const SPAN: u64 = 300;
    const NODES: usize = 1_000;
    years(|| {
        let mut fleet = Fleet::new(1, NODES, Size::Members(NODES as u16), Config::LAN);
        fleet.acquaint(&mut |_, _, _, _| {});
        let began = Instant::now();
        fleet.run(SPAN * 1_000_000, &mut |_, _, _, _| {});
        (NODES as u64 * SPAN, began.elapsed().as_secs_f64())
    })
}

/// The same for seeds of the wide world, with their judge: what is drawn, and how long it lasts, differs.
pub fn wide_years() -> f64 {
    const SEEDS: u64 = 100;
    years(|| {
        let began = Instant::now();
        let lasted = (0..SEEDS).filter_map(|seed| {
            let plan = Plan::draw(seed);
            run(&plan).ok().map(|run| plan.nodes as u64 * run.happened.seconds)
        });
        (lasted.sum(), began.elapsed().as_secs_f64())
    })
}

/// Runs a piece of work on each core: what it did (node-seconds), and how long it took (seconds).
fn years(work: impl Fn() -> (u64, f64) + Sync) -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(&work)).collect();
        let rates = workers.into_iter().map(|worker| {
            let (node_seconds, took) = worker.join().expect("it was measured");
            node_seconds as f64 / took
        });
        // Node-seconds per second are node-days per day.
        rates.sum::<f64>() / 365.25
    })
}
