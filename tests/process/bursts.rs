//! Many events at once: everything accepted is delivered everywhere, once; whoever fires too fast is made to wait.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use crate::harness::rpc::Stream;
use crate::harness::{Agent, Setup, fleet_of, wait_quiet, wait_until};

/// Longer than the windows in which a second delivery could come.
const QUIET: Duration = Duration::from_secs(8);

/// A script for each event would be what is measured.
fn unhandled(name: &str) -> Setup {
    Setup::new(name).unhandled()
}

fn numbered(from: usize, count: usize) -> impl Iterator<Item = (&'static [u8], Vec<u8>)> {
    (from..from + count).map(|number| (&b"burst"[..], number.to_string().into_bytes()))
}

/// Fires through one connection and wants each event accepted.
#[track_caller]
fn fire(agent: &Agent, from: usize, count: usize) {
    let answers = agent.rpc().burst(numbered(from, count)).expect("the agent stays");
    let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(refused.is_empty(), "{} of {count} events refused: {}", refused.len(), refused[0]);
}

#[track_caller]
fn each_has_all_once(agents: &[Agent], streams: &[Stream], events: usize) {
    let mut counts: Vec<BTreeMap<Vec<u8>, usize>> = vec![BTreeMap::new(); agents.len()];
    wait_quiet("the streams to fall silent", QUIET, || {
        for (stream, count) in streams.iter().zip(&mut counts) {
            for event in stream.events.try_iter() {
                *count.entry(event.payload).or_default() += 1;
            }
        }
        counts.iter().flat_map(|count| count.values()).sum::<usize>()
    });
    for (agent, count) in agents.iter().zip(&counts) {
        assert_eq!(count.len(), events, "distinct events at {}", agent.name());
        assert!(count.values().all(|times| *times == 1), "an event came twice at {}", agent.name());
    }
}

fn streams(agents: &[Agent]) -> Vec<Stream> {
    agents.iter().map(Agent::stream).collect()
}

#[test]
fn a_burst_through_one_connection_reaches_every_stream_exactly_once() {
    let agents = fleet_of(20, unhandled);
    let streams = streams(&agents);
    fire(&agents[0], 0, 2_000);
    each_has_all_once(&agents, &streams, 2_000);
}

/// More than any agent remembers or holds at a time.
#[test]
fn a_burst_of_ten_thousand_is_taken_as_fast_as_it_is_delivered() {
    let agents = fleet_of(20, unhandled);
    let streams = streams(&agents);
    fire(&agents[0], 0, 10_000);
    each_has_all_once(&agents, &streams, 10_000);
}

/// All stamp from clocks that run towards each other: many events of one Lamport time.
#[test]
fn bursts_through_twenty_agents_at_once_reach_every_stream_exactly_once() {
    const EACH: usize = 250;
    let agents = fleet_of(20, unhandled);
    let streams = streams(&agents);
    thread::scope(|scope| {
        for (number, agent) in agents.iter().enumerate() {
            scope.spawn(move || fire(agent, number * EACH, EACH));
        }
    });
    each_has_all_once(&agents, &streams, agents.len() * EACH);
}

/// While those who should hear are stopped the caller waits; it is not refused, and nothing is dropped.
#[test]
fn whoever_fires_faster_than_others_hear_is_made_to_wait() {
    let agents = fleet_of(2, unhandled);
    let streams = streams(&agents);
    agents[1].signal("STOP");
    thread::scope(|scope| {
        let firing = scope.spawn(|| fire(&agents[0], 0, 2_000));
        wait_until("the caller to wait", || agents[0].info("levels", "requests_waiting") >= 1);
        agents[1].signal("CONT");
        firing.join().expect("every event is accepted");
    });
    each_has_all_once(&agents, &streams, 2_000);
}

/// What was answered has left the sender, who may die of it.
#[test]
fn an_accepted_event_outlives_its_sender() {
    let agents = fleet_of(3, unhandled);
    let streams = streams(&agents);
    const CRASHES: usize = 10;
    for number in 0..CRASHES {
        let origin = Setup::new(&format!("origin{number}")).join(&agents[0]).start();
        wait_until("the origin to see all", || origin.members().len() >= 4);
        fire(&origin, number, 1);
        origin.crash();
    }
    each_has_all_once(&agents, &streams, CRASHES);
}
