//! Figures of simulated fleets: how fast and how completely events spread, and what idling costs. Printed as tables;
//! asserted is only what is promised: nothing is missed.

use serf_nostd::Config;
use sim::chaos::SECOND;
use sim::fleet::{Fleet, Seen, Size};

/// One row of the table: events fired one by one into a fleet at rest.
struct Row {
    half: u64,
    most: u64,
    all: u64,
    copies: f64,
    missed: usize,
}

fn spread(nodes: usize, loss: f64, events: usize) -> Row {
    let mut fleet = Fleet::new(1, nodes, Size::Members(1024), Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.network.loss = loss;
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    let mut times: Vec<[u64; 3]> = Vec::new();
    let mut missed = 0;
    let before = fleet.total(|stats| stats.payloads_sent);
    for event in 0..events {
        let mut heard = Vec::with_capacity(nodes);
        let began = fleet.now();
        let mut watch = |_: usize, _: u64, at: u64, seen: Seen| {
            if matches!(seen, Seen::User { .. }) {
                heard.push(at - began);
            }
        };
        fleet.with(event * 37 % nodes, &mut watch, |node, now| {
            node.user_event(now, b"deploy", &event.to_le_bytes(), false).expect("a fleet at rest has room")
        });
        fleet.run(if loss > 0.1 { 20 } else { 10 } * SECOND, &mut watch);
        missed += nodes - heard.len();
        heard.sort_unstable();
        let at = |share: f64| heard[((heard.len() as f64 * share).ceil() as usize).clamp(1, heard.len()) - 1];
        times.push([at(0.5), at(0.99), at(1.0)]);
    }
    let median = |which: usize| {
        let mut column: Vec<u64> = times.iter().map(|row| row[which]).collect();
        column.sort_unstable();
        column[column.len() / 2]
    };
    let copies = (fleet.total(|stats| stats.payloads_sent) - before) as f64 / (events * nodes) as f64;
    Row { half: median(0), most: median(1), all: median(2), copies, missed }
}

/// Bytes (with UDP and IP heads) and datagrams per node and second, at rest.
fn idle(nodes: usize) -> (f64, f64) {
    let mut fleet = Fleet::new(1, nodes, Size::Members(1024), Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(180 * SECOND, &mut |_, _, _, _| {});
    let sent = |fleet: &Fleet| {
        fleet.machines.iter().fold((0, 0), |sum, machine| (sum.0 + machine.sent.0, sum.1 + machine.sent.1))
    };
    let before = sent(&fleet);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    let after = sent(&fleet);
    let per = |bytes: u64| bytes as f64 / 60.0 / nodes as f64;
    (per(after.0 - before.0), per(after.1 - before.1))
}

#[test]
fn a_thousand_nodes_miss_no_event_at_any_loss() {
    println!("| nodes | loss | 50 % | 99 % | 100 % | payload copies per node | missed |");
    println!("|---|---|---|---|---|---|---|");
    let mut missed = 0;
    for (loss, events) in [(0.0, 20), (0.05, 20), (0.25, 5)] {
        let row = spread(1000, loss, events);
        let ms = |micros: u64| micros as f64 / 1000.0;
        println!(
            "| 1,000 | {:.0} % | {:.1} ms | {:.1} ms | {:.1} ms | {:.2} | {} |",
            loss * 100.0,
            ms(row.half),
            ms(row.most),
            ms(row.all),
            row.copies,
            row.missed
        );
        missed += row.missed;
    }
    assert_eq!(missed, 0);
}

#[test]
fn idling_costs_the_same_at_ten_and_at_a_thousand_nodes() {
    println!("| nodes | idle bytes per node and second | datagrams |");
    println!("|---|---|---|");
    let costs = [10, 1000].map(idle);
    for (nodes, (bytes, datagrams)) in [10, 1000].into_iter().zip(costs) {
        println!("| {nodes} | {bytes:.0} | {datagrams:.2} |");
    }
    let ratio = costs[1].0 / costs[0].0;
    assert!((0.9..=1.1).contains(&ratio), "idle bytes differ by more than a tenth: {ratio:.2}");
}
