//! Ours and Debian's Go Serf, command line against agent both ways, and PyPI's clients against both.
//!
//! One script of commands runs against two agents, once for each pairing of command line and agent. What Debian's pair
//! answers is the expectation for the other three. Several hundred lines of text are given to both kinds in `differential`.
//! `tests/run interop` fetches the foreign programs.

mod clients;
mod differential;
#[path = "../process/harness/mod.rs"]
mod harness;
mod raw;
mod snapshot;
mod statsd;
mod transcript;

use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use harness::{Setup, debian, ours};
use transcript::Entry;

#[track_caller]
fn assert_like_debian(cli: &Path, agent: &Path) {
    static EXPECTED: OnceLock<Vec<Entry>> = OnceLock::new();
    let (expected, found) = thread::scope(|scope| {
        let expected = scope.spawn(|| EXPECTED.get_or_init(|| transcript::record(debian(), debian())));
        let found = transcript::record(cli, agent);
        (expected.join().expect("Debian's pair has ended its script"), found)
    });
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(found, expected, "found (left) is not what Debian's Serf says (right)");
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn debians_command_line_finds_our_agent_like_its_own() {
    assert_like_debian(debian(), ours());
}

#[test]
fn our_command_line_finds_debians_agent_like_its_own() {
    assert_like_debian(ours(), debian());
}

#[test]
fn our_command_line_and_agent_together_are_like_debians() {
    assert_like_debian(ours(), ours());
}

#[test]
fn an_agent_of_either_kind_answers_the_same_stream() {
    for binary in [ours(), debian()] {
        let agent = Setup::new("n1").binary(binary).start();
        let stream = agent.stream();
        agent.rpc().event(b"name", b"payload", true).expect("the event is accepted");
        let event = stream.events.recv_timeout(harness::DEADLINE).expect("the event comes back");
        assert_eq!((&event.name[..], &event.payload[..], event.ltime), (&b"name"[..], &b"payload"[..], 1));
    }
}
