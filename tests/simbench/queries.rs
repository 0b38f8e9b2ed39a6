//! A query to all of a large fleet: how many of the answers the asker has in time, and how many it would have Go's way.

use std::collections::VecDeque;

use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::measure::{Figures, quantile};
use fleet_tests::network::Network;
use serf_nostd::{Ask, Config};

const SECOND: u64 = 1_000_000;
/// Datagrams that are lost.
const LOSS: f64 = 0.05;
/// What waits at a socket, and the microseconds that each datagram takes to be handled.
const PLACES: usize = 256;
const SERVICE: u64 = 20;
/// Whoever asks wants to know by then.
const PATIENCE: u64 = 2 * SECOND;
/// All queries of these sizes have ended by then.
const SPAN: u64 = 20 * SECOND;
/// One after the other, from different nodes.
const QUERIES: usize = 10;

/// What has become of one query.
struct Query {
    began: u64,
    /// Which node was asked, and when.
    asked: Vec<(usize, u64)>,
    /// When answers were shown.
    answers: Vec<u64>,
}

/// Of a fleet of so many nodes:
///
/// - `in_time`, `missed`: answers of all queries that came within 2 s, or never, in percent;
/// - `last_ms`: when the last answer came, the median, with `_worst` the worst;
/// - `answers`, `datagrams`: per node and query, beside what the fleet sends at rest;
/// - `overflowed`: datagrams of one query that found a queue full;
/// - `go_in_time`, `go_overflowed`: the same, if each node answered Go's way.
pub fn measure(nodes: usize) -> Figures {
    let mut fleet = Fleet::new(1, nodes, Size::Members(nodes as u16), Config::LAN);
    fleet.acquaint(&mut |_, _, _, _| {});
    fleet.network.loss = LOSS;
    for machine in &mut fleet.machines {
        (machine.places, machine.service) = (PLACES, SERVICE);
    }
    // Until the nodes have noticed how many datagrams are lost; then as long as a query, to know what rest is.
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let before = fleet.sent().1;
    fleet.run(SPAN, &mut |_, _, _, _| {});
    let rest = fleet.sent().1 - before;
    let overflowed = |fleet: &Fleet| fleet.machines.iter().map(|machine| machine.overflowed).sum::<u64>();
    let (lost, sent, answers) =
        (overflowed(&fleet), fleet.sent().1, fleet.total(|stats| stats.query_answers));
    let queries: Vec<Query> = (0..QUERIES).map(|query| ask(&mut fleet, query * 37 % nodes)).collect();
    let per_query = |sum: u64| sum as f64 / QUERIES as f64;
    let share = |sum: usize| 100.0 * sum as f64 / (QUERIES * nodes) as f64;
    let in_time = |query: &Query| query.answers.iter().filter(|at| **at <= query.began + PATIENCE).count();
    let last =
        |query: &Query| query.answers.iter().max().map_or(f64::NAN, |at| (at - query.began) as f64 / 1e3);
    let mut last: Vec<f64> = queries.iter().map(last).collect();
    let go: Vec<(usize, u64)> =
        queries.iter().enumerate().map(|(seed, query)| at_once(query, seed * 37 % nodes, nodes)).collect();
    let sent = fleet.sent().1 - sent - rest * QUERIES as u64;
    let answers = fleet.total(|stats| stats.query_answers) - answers;
    let came: usize = queries.iter().map(|query| query.answers.len()).sum();
    Figures::from([
        ("in_time".into(), share(queries.iter().map(in_time).sum())),
        ("missed".into(), share(QUERIES * nodes - came)),
        ("last_ms".into(), quantile(&mut last, 0.5)),
        ("last_ms_worst".into(), quantile(&mut last, 1.0)),
        ("answers".into(), per_query(answers) / nodes as f64),
        ("datagrams".into(), per_query(sent) / nodes as f64),
        ("overflowed".into(), per_query(overflowed(&fleet) - lost)),
        ("go_in_time".into(), share(go.iter().map(|(came, _)| came).sum())),
        ("go_overflowed".into(), per_query(go.iter().map(|(_, lost)| lost).sum())),
    ])
}

/// One query to all, with acknowledgements, and time for it to end.
fn ask(fleet: &mut Fleet, asker: usize) -> Query {
    let mut query = Query { began: fleet.now(), asked: Vec::new(), answers: Vec::new() };
    let mut hear = |i: usize, _: u64, at: u64, seen: Seen| match seen {
        Seen::Asked { .. } => query.asked.push((i, at)),
        Seen::QueryResponse(..) => query.answers.push(at),
        _ => {}
    };
    let asked = fleet.with(asker, &mut hear, |node, now| node.query(now, &Ask::all("load", b"")));
    asked.expect("on").expect("a fleet at rest has room");
    fleet.run(SPAN, &mut hear);
    query
}

/// Go's way: when the query has come to a node, it sends its answer to the asker, once; nobody waits, and nobody confirms.
/// How many of the answers come in time, and how many find the asker's queue full.
fn at_once(query: &Query, asker: usize, nodes: usize) -> (usize, u64) {
    let mut network = Network::new(query.began, nodes);
    network.loss = LOSS;
    let others = query.asked.iter().filter(|(i, _)| *i != asker);
    let mut arrivals: Vec<u64> = others.filter_map(|(i, at)| network.carry(*at, *i, asker)[0]).collect();
    arrivals.sort_unstable();
    // When the asker is done with each that waits; its own answer goes nowhere.
    let (mut waiting, mut in_time, mut overflowed) = (VecDeque::new(), 1, 0);
    for at in arrivals {
        while waiting.front().is_some_and(|done| *done <= at) {
            waiting.pop_front();
        }
        if waiting.len() < PLACES {
            let done = waiting.back().copied().unwrap_or(at) + SERVICE;
            waiting.push_back(done);
            in_time += (done <= query.began + PATIENCE) as usize;
        } else {
            overflowed += 1;
        }
    }
    (in_time, overflowed)
}
