//! What is measured of one fleet: idling, a node that joins, events at growing loss; and all joining at once.

use std::collections::BTreeMap;

use crate::fleet::{Fleet, Seen, Size};
use serf_nostd::Config;

const SECOND: u64 = 1_000_000;
/// Losses at which events are fired, in percent.
pub const LOSSES: [u32; 3] = [0, 5, 25];
/// An event that has not reached all after this long is missed by the rest.
const PATIENCE: u64 = 60 * SECOND;

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

fn quiet() -> impl FnMut(usize, u64, u64, Seen) {
    |_, _, _, _| {}
}

/// The figures of a fleet of so many nodes at rest:
///
/// - `idle_bytes`, `idle_datagrams`: per node and second;
/// - `join_ms`, `join_bytes`: until a node that joins knows everybody, and what it sends for it;
/// - for each loss `t50_5` and the like: until half (99 %, all) of the others have an event, the median in ms, with `_p95`
///   the 95th percentile; `copies_5`: payloads sent per node; `missed_5`: in all events together.
pub fn at_rest(nodes: usize) -> Figures {
    let mut figures = Figures::new();
    let mut fleet = Fleet::new(1, nodes, Size::Members(nodes as u16), Config::LAN);
    fleet.acquaint(&mut quiet());
    fleet.run(20 * SECOND, &mut quiet());
    idle(&mut fleet, &mut figures);
    restart(&mut fleet, &mut figures);
    for percent in LOSSES {
        spread(&mut fleet, percent, &mut figures);
    }
    figures
}

/// Bytes (with UDP and IP heads) and datagrams per node and second, at rest for a minute.
fn idle(fleet: &mut Fleet, figures: &mut Figures) {
    const SPAN: u64 = 60;
    let before = fleet.sent();
    fleet.run(SPAN * SECOND, &mut quiet());
    let after = fleet.sent();
    let per = |sum: u64| sum as f64 / SPAN as f64 / fleet.machines.len() as f64;
    figures.insert("idle_bytes".into(), per(after.0 - before.0));
    figures.insert("idle_datagrams".into(), per(after.1 - before.1));
}

/// A machine that is off for an instant, and fetches the whole table anew: how long it takes (ms), and the bytes that it
/// sends for it.
fn restart(fleet: &mut Fleet, figures: &mut Figures) {
    let (nodes, last) = (fleet.machines.len(), fleet.machines.len() - 1);
    let (began, sent) = (fleet.now(), fleet.machines[last].sent.0);
    fleet.crash(last);
    fleet.boot(last, &[0], false, &mut quiet());
    while fleet.node(last).is_some_and(|node| node.live() < nodes) {
        assert!(fleet.now() < began + PATIENCE, "the table does not come");
        fleet.run(1_000, &mut quiet());
    }
    figures.insert("join_ms".into(), (fleet.now() - began) as f64 / 1000.0);
    figures.insert("join_bytes".into(), (fleet.machines[last].sent.0 - sent) as f64);
    fleet.run(30 * SECOND, &mut quiet());
}

/// Events fired one by one, each when the one before has reached everybody.
pub fn spread(fleet: &mut Fleet, percent: u32, figures: &mut Figures) {
    let nodes = fleet.machines.len();
    // Fewer where many are on their way for long.
    let events = if percent == 25 && nodes > 100 { 10 } else { 40 };
    fleet.network.loss = percent as f64 / 100.0;
    // Until the nodes have noticed how many datagrams are lost.
    fleet.run(20 * SECOND, &mut quiet());
    let before = fleet.total(|stats| stats.payloads_sent);
    let mut times: [Vec<f64>; 3] = Default::default();
    let mut missed = 0;
    for event in 0..events {
        let mut heard = Vec::with_capacity(nodes);
        let began = fleet.now();
        fleet.with(event * 37 % nodes, &mut |_, _, _, _| {}, |node, now| {
            node.user_event(now, b"deploy", &event.to_le_bytes(), false).expect("a fleet at rest has room")
        });
        // Two seconds at least: its announcements end before the next begins.
        while fleet.now() < began + 2 * SECOND || (heard.len() + 1 < nodes && fleet.now() < began + PATIENCE)
        {
            fleet.run(SECOND, &mut |_, _, at, seen| {
                if matches!(seen, Seen::User { .. }) {
                    heard.push((at - began) as f64 / 1000.0);
                }
            });
        }
        missed += nodes - 1 - heard.len();
        for (times, share) in times.iter_mut().zip([0.5, 0.99, 1.0]) {
            times.push(quantile(&mut heard, share));
        }
    }
    for (name, mut times) in ["t50", "t99", "t100"].into_iter().zip(times) {
        figures.insert(format!("{name}_{percent}"), quantile(&mut times, 0.5));
        figures.insert(format!("{name}_{percent}_p95"), quantile(&mut times, 0.95));
    }
    let copies = (fleet.total(|stats| stats.payloads_sent) - before) as f64 / (events * nodes) as f64;
    figures.insert(format!("copies_{percent}"), copies);
    figures.insert(format!("missed_{percent}"), missed as f64);
}

/// The smallest value that at least this share of all does not exceed.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1]
}

/// All switched on within a second, with three of them as seeds: seconds until all see all, and bytes that each has sent
/// for it.
///
/// # Panics
/// If it takes more than ten minutes.
pub fn storm(nodes: usize) -> (f64, f64) {
    let mut fleet = Fleet::new(1, nodes, Size::Members(nodes as u16), Config::LAN);
    for i in 0..nodes {
        fleet.boot(i, &[0, 1, 2], false, &mut quiet());
        fleet.run(SECOND / nodes as u64, &mut quiet());
    }
    while !fleet.agreed() {
        assert!(fleet.now() < 600 * SECOND, "the fleet does not come together");
        fleet.run(SECOND / 10, &mut quiet());
    }
    (fleet.now() as f64 / SECOND as f64, fleet.sent().0 as f64 / nodes as f64)
}
