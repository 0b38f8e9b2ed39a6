//! What coalescing leaves out, and what it never may.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::harness::{Agent, fleet, wait_quiet, wait_until};

/// Longer than the quantum (3 s), so that everything held has been handed out.
const QUIET: Duration = Duration::from_secs(5);

/// Fires `(name, payload)` events through one connection, one after the other.
fn fire(agent: &Agent, coalesce: bool, events: impl IntoIterator<Item = (&'static str, String)>) {
    let mut rpc = agent.rpc();
    for (name, payload) in events {
        rpc.event(name.as_bytes(), payload.as_bytes(), coalesce).expect("the event is accepted");
    }
}

/// What each agent's handler got under `name`, once nothing more comes.
fn delivered(agents: &[Agent], name: &str) -> Vec<Vec<String>> {
    let counts = || agents.iter().map(|agent| agent.user_events().len()).collect::<Vec<_>>();
    wait_until("an event at every handler", || counts().iter().all(|count| *count > 0));
    wait_quiet("the handlers to fall silent", QUIET, counts);
    agents.iter().map(|agent| agent.recorder().payloads(name)).collect()
}

fn numbered(name: &'static str, count: usize) -> impl Iterator<Item = (&'static str, String)> {
    (1..=count).map(move |number| (name, number.to_string()))
}

#[test]
fn of_coalescible_events_each_handler_gets_the_last_only() {
    let agents = fleet(5);
    fire(&agents[2], true, numbered("config", 12));
    for payloads in delivered(&agents, "config") {
        assert_eq!(payloads, ["12"]);
    }
}

#[test]
fn without_coalescing_every_event_is_delivered() {
    let agents = fleet(5);
    fire(&agents[3], false, numbered("log", 12));
    for mut payloads in delivered(&agents, "log") {
        payloads.sort_by_key(|payload| payload.parse::<u32>().expect("a number was sent"));
        assert_eq!(payloads, (1..=12).map(|number| number.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn of_mixed_events_only_the_coalescible_are_coalesced() {
    let agents = fleet(3);
    for number in 1..=6 {
        fire(&agents[0], true, [("mixed", format!("held {number}"))]);
        fire(&agents[0], false, [("mixed", format!("at once {number}"))]);
    }
    let mut expected: Vec<_> = (1..=6).map(|number| format!("at once {number}")).collect();
    expected.push("held 6".into());
    for mut payloads in delivered(&agents, "mixed") {
        payloads.sort();
        assert_eq!(payloads, expected);
    }
}

#[test]
fn names_are_coalesced_apart_from_each_other() {
    let agents = fleet(3);
    for number in 1..=6 {
        fire(&agents[0], true, [("left", format!("left {number}")), ("right", format!("right {number}"))]);
    }
    for (name, last) in [("left", "left 6"), ("right", "right 6")] {
        for payloads in delivered(&agents, name) {
            assert_eq!(payloads, [last]);
        }
    }
}

/// Two nodes that speak at the same moment stamp the same Lamport time, and everyone must still agree on one of them.
#[test]
fn two_origins_at_the_same_moment_leave_one_value_per_name_everywhere() {
    const NAMES: usize = 40;
    let agents = fleet(4);
    let barrier = Barrier::new(2);
    let shout = |agent: &Agent| {
        let mut rpc = agent.rpc();
        for number in 0..NAMES {
            let (name, payload) = (format!("name {number}"), format!("from {}", agent.name()));
            barrier.wait();
            rpc.event(name.as_bytes(), payload.as_bytes(), true).expect("the event is accepted");
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| shout(&agents[0]));
        scope.spawn(|| shout(&agents[1]));
    });

    let last_values = |agent: &Agent| {
        let records = agent.user_events().into_iter();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        records.map(|record| (text(record.name), text(record.payload))).collect::<BTreeMap<_, _>>()
    };
    let all = || agents.iter().map(last_values).collect::<Vec<_>>();
    wait_until("every name at every handler", || all().iter().all(|values| values.len() == NAMES));
    let values = wait_quiet("the handlers to fall silent", QUIET, all);
    for other in &values[1..] {
        assert_eq!(other, &values[0]);
    }
}
