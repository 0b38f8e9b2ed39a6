//! The judge of queries can fail: each kind of violation, made by hand.

use std::collections::{BTreeMap, BTreeSet};

use serf_nostd::Instant;
use serf_nostd::wire::message::EventId;

use super::{Filter, Posed, Queries};
use crate::fleet::Seen;
use crate::judge::presence::Presence;
use crate::questions::Question;

const ID: EventId = EventId { ltime: 7, origin: 1 };
const SERIAL: u64 = 5;
const NOW: u64 = 1_000_000;

/// Three machines, of which the first asks.
struct Court {
    presence: Presence,
    queries: Queries,
}

impl Court {
    fn of(name: &str, filter: Filter) -> Court {
        let mut presence = Presence::new(3);
        for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
            presence.begin(i, 1, 0);
            presence.lives[i].name = name.to_string();
        }
        let mut queries = Queries::default();
        let (name, ack, waits, peace) = (name.to_string(), true, false, false);
        queries.posed(SERIAL, Posed { id: ID, asker: (0, 1), name, filter, ack, waits, peace });
        Court { presence, queries }
    }

    fn saw(&mut self, i: usize, seen: &Seen) -> bool {
        self.queries.saw(i, NOW, seen, &self.presence).is_ok()
    }

    fn asked(&mut self, i: usize) -> bool {
        let (payload, tags) = (SERIAL.to_string().into_bytes(), b"\xff\x81\xa1v\xa212".to_vec());
        self.saw(i, &Seen::Asked { id: ID, name: "load".into(), payload, tags })
    }

    fn acks(&mut self, from: &str) -> bool {
        self.saw(0, &Seen::QueryAck(ID, from.into()))
    }

    fn answers(&mut self, from: &str) -> bool {
        let payload = format!("{from}{SERIAL}").into_bytes();
        self.saw(0, &Seen::QueryResponse(ID, from.into(), payload))
    }

    fn ends(&mut self) -> bool {
        self.saw(0, &Seen::QueryDone(ID))
    }

    /// Whether it may end now, before its time, if these have not lived at some moment.
    fn may_end(&self, gone: &[&str]) -> bool {
        let asked: BTreeMap<String, Vec<u8>> =
            ["a", "b", "c"].map(|name| (name.to_string(), Vec::new())).into();
        let gone: BTreeSet<String> = gone.iter().map(|name| name.to_string()).collect();
        let (deadline, ended) = (Instant::from_micros(2), Some(Instant::from_micros(1)));
        let question = Question { id: ID, asked, gone, deadline, ended };
        self.queries.courses[&SERIAL].ended_early(0, &question).is_ok()
    }
}

fn all() -> Court {
    Court::of("load", Filter::default())
}

#[test]
fn all_are_asked_and_answer_once() {
    let mut court = all();
    for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert!(court.asked(i) && court.acks(name) && court.answers(name));
    }
    assert!(court.may_end(&[]) && court.ends());
}

#[test]
fn nobody_is_asked_twice_but_in_another_life() {
    let mut court = all();
    assert!(court.asked(1) && !court.asked(1));
    court.presence.begin(1, 2, NOW);
    assert!(court.asked(1));
}

#[test]
fn nothing_is_counted_twice_or_after_the_end() {
    let mut court = all();
    assert!(court.asked(1) && court.asked(2));
    assert!(court.acks("b") && !court.acks("b"));
    assert!(court.answers("b") && !court.answers("b"));
    assert!(court.ends() && !court.ends());
    assert!(!court.answers("c") && !court.acks("c"));
}

#[test]
fn nobody_answers_who_was_not_asked_or_for_another() {
    let mut court = all();
    assert!(court.asked(1));
    assert!(!court.answers("c") && !court.acks("c"));
    assert!(!court.saw(0, &Seen::QueryResponse(ID, "b".into(), b"c5".to_vec())));
    assert!(!court.saw(2, &Seen::QueryResponse(ID, "b".into(), b"b5".to_vec())), "to whom did not ask");
    court.presence.begin(0, 2, NOW);
    assert!(!court.answers("b"), "the asker has a new life");
}

#[test]
fn nobody_is_asked_whom_the_filter_excludes_or_what_nobody_asked() {
    let mut named = Court::of("load", Filter { nodes: vec!["b".into()], digit: None });
    assert!(named.asked(1) && !named.asked(2));
    let mut tagged = Court::of("load", Filter { nodes: vec![], digit: Some(b'1') });
    assert!(tagged.asked(1));
    let mut other = Court::of("load", Filter { nodes: vec![], digit: Some(b'2') });
    assert!(!other.asked(1));
    let (payload, tags) = (b"6".to_vec(), Vec::new());
    assert!(!other.saw(1, &Seen::Asked { id: ID, name: "load".into(), payload, tags }));
}

#[test]
fn it_ends_early_only_when_nobody_is_left_to_wait_for() {
    let mut court = all();
    assert!(court.asked(0) && court.asked(1) && court.answers("a") && court.answers("b"));
    assert!(!court.may_end(&[]) && !court.may_end(&["a", "b"]));
    assert!(court.may_end(&["c"]), "it has died");
    let mut none = Court::of("none", Filter { nodes: vec!["b".into()], digit: None });
    assert!(!none.may_end(&[]));
    assert!(none.asked(1) && none.may_end(&[]), "it has said that it has no answer");
    assert!(!Court::of("silent", Filter::default()).may_end(&[]));
}
