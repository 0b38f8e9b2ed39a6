//! Queries, and orders about keys.

use std::collections::BTreeMap;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen};
use fleet_tests::wire::{body, datagram, kind};
use serf_nostd::wire::message::{EventId, answer_flag, query_flag};
use serf_nostd::{
    Ask, Duration, EventError, Key, KeyOrder, QueryError, Reserved, Signature, Signed, Stated, Statement,
    Target,
};

use super::{OPERATOR, THIEF, fleet, sealed, tell};

/// Who was asked, and who has answered, how often.
#[derive(Default)]
struct Heard {
    asked: BTreeMap<(Vec<u8>, usize), u32>,
    answered: BTreeMap<String, u32>,
}

impl Heard {
    fn hear(&mut self, i: usize, seen: Seen) {
        match seen {
            Seen::Asked { name, .. } => *self.asked.entry((name.into(), i)).or_default() += 1,
            Seen::QueryResponse(_, from, _) => *self.answered.entry(from).or_default() += 1,
            _ => {}
        }
    }

    /// Who was asked this, all of them once.
    fn asked(&self, name: &str) -> Vec<usize> {
        let asked = self.asked.iter().filter(|((asked, _), _)| asked == name.as_bytes());
        asked.map(|((_, i), count)| (*count == 1).then_some(*i).expect("once")).collect()
    }
}

fn run(fleet: &mut Fleet, span: u64, heard: &mut Heard) {
    fleet.run(span, &mut |i, _, _, seen| heard.hear(i, seen));
}

fn reserve(fleet: &mut Fleet, i: usize) -> Reserved {
    reserve_for(fleet, i, None)
}

/// For a query whose answers are waited for so long.
pub(crate) fn reserve_for(fleet: &mut Fleet, i: usize, timeout: Option<Duration>) -> Reserved {
    let reserved = fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.reserve_query(now, timeout));
    reserved.expect("it is on").expect("it is in a fleet")
}

fn ask(fleet: &mut Fleet, i: usize, heard: &mut Heard, ask: &Ask<'_>) -> Result<EventId, QueryError> {
    let asked = fleet.with(i, &mut |i, _, _, seen| heard.hear(i, seen), |node, now| node.query(now, ask));
    asked.expect("it is on")
}

fn statement<'s>(reserved: Reserved, filters: &'s [u8]) -> Statement<'s> {
    let stated = Stated::Query { ack: true };
    Statement { reserved, time: 1_000, stated, name: b"disk-free", filters, payload: b"now" }
}

/// The same, to be asked.
fn signed<'q>(said: &Statement<'q>, nodes: &'q [&'q str], signed: &'q Signed) -> Ask<'q> {
    let name = str::from_utf8(said.name).expect("a text");
    let mut ask = Ask::all(name, said.payload);
    (ask.nodes, ask.signed) = (nodes, Some(signed));
    ask
}

fn sign(said: &Statement<'_>, private: &[u8; 32]) -> Signed {
    Signed { reserved: said.reserved, signature: said.sign(private) }
}

const UNSIGNED: Result<EventId, QueryError> = Err(QueryError::Event(EventError::Unsigned));
const FORGED: Result<EventId, QueryError> = Err(QueryError::Event(EventError::Forged));
const OUTDATED: Result<EventId, QueryError> = Err(QueryError::Event(EventError::Outdated));

#[test]
fn what_an_operator_asks_is_answered_once_by_whom_it_is_for_over_lossy_links() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 10, 0.1);
        let target = ["node-3", "node-4"];
        let mut buf = [0; 512];
        let filters = Target::new(&target, &[]).encode(&mut buf).expect("short");
        for (nodes, filters) in [(&[][..], &[][..]), (&target, filters)] {
            let mut heard = Heard::default();
            let said = statement(reserve(&mut fleet, 2), filters);
            // Others fire meanwhile.
            fleet.with(5, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", b"", false));
            run(&mut fleet, SECOND, &mut heard);
            let proof = sign(&said, &OPERATOR);
            assert!(ask(&mut fleet, 2, &mut heard, &signed(&said, nodes, &proof)).is_ok());
            assert_eq!(ask(&mut fleet, 2, &mut heard, &signed(&said, nodes, &proof)), OUTDATED);
            run(&mut fleet, 20 * SECOND, &mut heard);
            let all: Vec<usize> = if nodes.is_empty() { (0..10).collect() } else { vec![3, 4] };
            assert_eq!(heard.asked("disk-free"), all, "seed {seed}");
            assert_eq!(heard.answered, all.iter().map(|i| (Fleet::name(*i), 1)).collect());
        }
        assert_eq!(fleet.total(|stats| stats.events_unauthorized), 0);
    }
}

#[test]
fn nobody_asks_it_without_a_signature_or_with_another_ones() {
    let mut fleet = fleet(1, 5, 0.0);
    let mut heard = Heard::default();
    assert_eq!(ask(&mut fleet, 1, &mut heard, &Ask::all("disk-free", b"now")), UNSIGNED);
    let said = statement(reserve(&mut fleet, 1), b"");
    assert_eq!(ask(&mut fleet, 1, &mut heard, &signed(&said, &[], &sign(&said, &[8; 32]))), FORGED);
    let proof = sign(&said, &OPERATOR);
    for other in [Statement { payload: b"other", ..said }, Statement { name: b"disk-x", ..said }] {
        assert_eq!(ask(&mut fleet, 1, &mut heard, &signed(&other, &[], &proof)), FORGED);
    }
    assert_eq!(ask(&mut fleet, 1, &mut heard, &signed(&said, &["node-2"], &proof)), FORGED);
    // No query is an event.
    let fired =
        fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.signed_event(now, &said, &proof.signature));
    assert_eq!(fired, Some(Err(EventError::Forged)));
    // The same name is anybody's to fire as an event, and what no pattern covers is anybody's to ask.
    let fired =
        fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"disk-free", b"", false));
    assert!(matches!(fired, Some(Ok(_))));
    assert!(ask(&mut fleet, 1, &mut heard, &Ask::all("load", b"")).is_ok());
    run(&mut fleet, 10 * SECOND, &mut heard);
    assert_eq!(heard.asked("load"), [0, 1, 2, 3, 4]);
    assert_eq!(heard.asked.len(), 5);
    // A thief's own program asks it, and is told by nobody.
    let mut heard = Heard::default();
    assert!(ask(&mut fleet, THIEF, &mut heard, &Ask::all("disk-free", b"now")).is_ok());
    run(&mut fleet, 20 * SECOND, &mut heard);
    assert_eq!(heard.asked("disk-free"), [THIEF]);
    assert_eq!(fleet.total(|stats| stats.events_unauthorized), 4);
}

/// A query as it travels.
fn told(said: &Statement<'_>, number: u32, to: u32, flags: u32, signature: &Signature) -> Vec<u8> {
    let time = signature.time.to_le_bytes();
    let filters = [&[2][..], &signature.signer, &time, &signature.bytes, said.filters].concat();
    let query = body(kind::QUERY).int(said.reserved.id.ltime).int(number as u64).addr(to).text("node-1");
    let flags = flags | (said.reserved.timeout as u32) << query_flag::TIMEOUT_SHIFT;
    let query = query.bytes(&filters).int(flags as u64).raw(&[0]).int(5 * SECOND);
    datagram(&[query.bytes(said.name).bytes(said.payload).end()])
}

/// Its number, of which its identity is made: what a thief reads off it.
pub(crate) fn number(id: EventId) -> u32 {
    use serf_nostd::wire::message::query_identity;
    let is_it = |number: &u32| query_identity(id.ltime, "node-1", *number) == id;
    (0..=u32::MAX).find(is_it).expect("it has one")
}

#[test]
fn a_thief_changes_nothing_of_it_and_asks_it_never_again() {
    let mut fleet = fleet(3, 6, 0.0);
    let mut heard = Heard::default();
    let mut buf = [0; 512];
    let filters = Target::new(&["node-3", "node-4"], &[]).encode(&mut buf).expect("short");
    let said = statement(reserve(&mut fleet, 1), filters);
    let proof = sign(&said, &OPERATOR);
    let number = number(said.reserved.id);
    let ack = query_flag::ACK;
    let forge = |said: &Statement<'_>, to, flags| told(said, number, to, flags, &proof.signature);
    let forgeries = [
        forge(&Statement { filters: b"", ..said }, 1, ack),
        forge(&Statement { payload: b"other", ..said }, 1, ack),
        forge(&Statement { name: b"disk-wipe", ..said }, 1, ack),
        forge(&said, THIEF as u32, ack),
        forge(&said, 1, 0),
        forge(&said, 1, ack | query_flag::RECEIPT),
        told(&said, number ^ 2, 1, ack, &proof.signature),
    ];
    for forged in &forgeries {
        tell(&mut fleet, forged);
    }
    run(&mut fleet, SECOND, &mut heard);
    assert!(heard.asked.is_empty(), "{:?}", heard.asked);
    let refused = |stats: &serf_nostd::Stats| stats.events_unauthorized + stats.events_unchecked;
    assert_eq!(fleet.total(refused), 7 * 5);
    assert!(ask(&mut fleet, 1, &mut heard, &signed(&said, &["node-3", "node-4"], &proof)).is_ok());
    run(&mut fleet, 5 * SECOND, &mut heard);
    assert_eq!(heard.asked("disk-free"), [3, 4]);
    // As it was, also to who has been away.
    fleet.crash(3);
    run(&mut fleet, 30 * SECOND, &mut heard);
    fleet.boot(3, &[1], false, &mut |_, _, _, _| {});
    run(&mut fleet, 20 * SECOND, &mut heard);
    tell(&mut fleet, &forge(&said, 1, ack));
    run(&mut fleet, 20 * SECOND, &mut heard);
    assert_eq!(heard.asked("disk-free"), [3, 4], "once each");
    // Answers that nobody was asked for are none.
    let answer = body(kind::QUERY_RESPONSE).int(said.reserved.id.ltime).int(number as u64).text("node-0");
    fleet.inject(THIEF, 1, datagram(&[answer.int(answer_flag::ANSWER as u64).bytes(b"lies").end()]));
    run(&mut fleet, SECOND, &mut heard);
    assert_eq!(heard.answered.len(), 2);
}

pub(crate) fn keys_of(fleet: &Fleet, i: usize) -> Vec<u8> {
    fleet.node(i).expect("it is on").keys().map(|key| key.as_bytes()[0]).collect()
}

/// Gives an order, and waits for what comes of it.
fn order(
    fleet: &mut Fleet,
    i: usize,
    order: &KeyOrder<'_>,
    signed: Option<&Signed>,
) -> Result<EventId, QueryError> {
    let given = fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.order_keys(now, order, None, signed));
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    given.expect("it is on")
}

#[test]
fn only_an_operator_changes_the_keys_and_nobody_follows_a_thief() {
    let key = |i: u8| Key::new([i; Key::LEN]);
    let mut fleet = sealed(4, 6, key(1));
    let (evil, next) = (key(66), key(2));
    // Members who know the operator pass no order of the thief's on, and give none themselves.
    for (i, given) in [(1, UNSIGNED), (THIEF, Ok(()).map(|()| EventId::LOWEST))] {
        for what in [KeyOrder::Install(&evil), KeyOrder::Use(&evil), KeyOrder::Remove(&key(1))] {
            let outcome = order(&mut fleet, i, &what, None);
            assert_eq!(outcome.is_ok(), given.is_ok(), "{i} {what:?}: {outcome:?}");
        }
    }
    // The thief's program has its way with itself, and seals with another key than all the others.
    fleet.run(30 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, THIEF), [66]);
    assert!((1..6).all(|i| keys_of(&fleet, i) == [1]));
    // An operator's order is obeyed; and it is another operator's word for another key that is refused.
    let reserved = |fleet: &mut Fleet| reserve(fleet, 2);
    for (what, left) in [
        (KeyOrder::Install(&next), &[1, 2][..]),
        (KeyOrder::Use(&next), &[2, 1]),
        (KeyOrder::Remove(&key(1)), &[2]),
    ] {
        let said = what.statement(reserved(&mut fleet), 1_000).expect("it is signed");
        assert_eq!(order(&mut fleet, 2, &KeyOrder::Install(&evil), Some(&sign(&said, &OPERATOR))), FORGED);
        assert_eq!(order(&mut fleet, 2, &what, Some(&sign(&said, &[8; 32]))), FORGED);
        assert!(order(&mut fleet, 2, &what, Some(&sign(&said, &OPERATOR))).is_ok());
        for i in 1..6 {
            assert_eq!(keys_of(&fleet, i), left, "{i} after {what:?}");
        }
    }
    // Which there are is anybody's to ask.
    assert!(order(&mut fleet, 3, &KeyOrder::List, None).is_ok());
}

/// Docs/security.md tells it: no signature is asked for what members say of one another.
#[test]
fn what_a_thief_can_still_do() {
    let mut fleet = fleet(5, 6, 0.0);
    let mut heard = Heard::default();
    // Fire and ask what no pattern covers.
    let fired = fleet.with(THIEF, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", b"", false));
    assert!(matches!(fired, Some(Ok(_))));
    assert!(ask(&mut fleet, THIEF, &mut heard, &Ask::all("load", b"")).is_ok());
    run(&mut fleet, 5 * SECOND, &mut heard);
    assert_eq!(heard.asked("load").len(), 6);
    // Say that a failed member has left.
    fleet.crash(5);
    run(&mut fleet, 60 * SECOND, &mut heard);
    fleet.with(THIEF, &mut |_, _, _, _| {}, |node, now| node.force_leave(now, "node-5", false));
    run(&mut fleet, 5 * SECOND, &mut heard);
    let left = |fleet: &Fleet, i: usize| fleet.node(i).expect("it is on").gauges().left;
    assert!((0..5).all(|i| left(&fleet, i) == 1));
    // Who lives says that it does.
    fleet.with(THIEF, &mut |_, _, _, _| {}, |node, now| node.force_leave(now, "node-4", true));
    run(&mut fleet, 20 * SECOND, &mut heard);
    assert!((0..5).all(|i| fleet.node(i).expect("it is on").live() == 5));
}
