//! Today's agent beside older ones, which `tests/run versions` builds from this repository's history: one that speaks the same wire,
//! and the last one before it.

mod harness;

use std::path::PathBuf;

use harness::{Agent, Setup, wait_until};

/// An older `serf`.
fn older(variable: &str) -> PathBuf {
    std::env::var_os(variable).expect("`tests/run versions` builds it and sets this").into()
}

fn fired(by: &Agent, at: &Agent, name: &str) {
    assert_eq!(by.cli(["event", "-coalesce=false", name, "x"]).code, 0);
    wait_until("the event at the other one", || at.recorder().payloads(name) == ["x"]);
}

#[test]
fn one_of_the_same_wire_is_a_member() {
    let old = Setup::new("old").binary(older("SERF_SAME_WIRE")).start();
    let new = Setup::new("new").join(&old).start();
    new.wait_sees("old", "alive");
    old.wait_sees("new", "alive");
    fired(&new, &old, "from-new");
    fired(&old, &new, "from-old");
}

/// Whoever asks is told that nobody answers; whoever is asked says why in its log.
#[test]
fn one_of_another_wire_is_refused_and_told_of() {
    let old = Setup::new("old").binary(older("SERF_OTHER_WIRE")).start();
    let new = Setup::new("new").start();
    for (asks, asked) in [(&new, &old), (&old, &new)] {
        let joined = asks.cli(["join", &asked.address().gossip.to_string()]);
        assert_eq!((joined.code, joined.text().contains("no answer")), (1, true), "{}", joined.text());
        let line = format!("Refused a datagram from {}: it is ", asks.address().gossip);
        assert!(asked.printed().contains(&line), "{}", asked.printed());
    }
    assert_eq!((new.members().len(), old.members().len()), (1, 1));
}
