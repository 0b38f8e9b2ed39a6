//! A sealed fleet does what any fleet does, and outsiders do nothing to it.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;
use serf_nostd::wire::message::EventId;
use serf_nostd::{Config, Key, KeyAnswer, KeyOrder};

fn key(i: u8) -> Key {
    Key::new([i; Key::LEN])
}

fn fleet(seed: u64, nodes: usize) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Small, Config::LAN);
    fleet.key = Some(key(1));
    fleet.check_every = 1;
    fleet
}

fn fire(fleet: &mut Fleet, i: usize, name: &str, payload: &str) {
    fleet.with(i, &mut |_, _, _, _| {}, |node, now| {
        node.user_event(now, name.as_bytes(), payload.as_bytes(), false).expect("there is room")
    });
}

#[test]
fn a_sealed_fleet_comes_together_and_an_event_reaches_everybody_once() {
    let mut fleet = fleet(1, 20);
    let mut heard = vec![0; 20];
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    let mut watch =
        |i: usize, _: u64, _: u64, seen: Seen| heard[i] += matches!(seen, Seen::User { .. }) as u32;
    fleet.with(3, &mut watch, |node, now| node.user_event(now, b"deploy", b"1", false).unwrap());
    fleet.run(5 * SECOND, &mut watch);
    assert_eq!(heard, [1; 20]);
    assert!(fleet.agreed());
}

/// Gives an order, and what members say to it: who, and how many keys, or what is wrong.
fn order(fleet: &mut Fleet, i: usize, order: &KeyOrder<'_>) -> Vec<(String, Result<usize, String>)> {
    let mut answers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut done = None;
    let mut watch = |_: usize, _: u64, _: u64, seen: Seen| match seen {
        Seen::QueryResponse(_, from, payload) => answers.push((from, payload)),
        Seen::QueryDone(id) => done = Some(id),
        _ => {}
    };
    let asked = fleet.with(i, &mut watch, |node, now| node.order_keys(now, order, None, None));
    let asked: EventId = asked.expect("it is on").expect("there is room");
    fleet.run(4 * SECOND, &mut watch);
    assert_eq!(done, Some(asked));
    let node = fleet.node(i).expect("it is on");
    let read = |mut answer: Vec<u8>| match node.key_answer(&mut answer).expect("an answer") {
        KeyAnswer::Done(keys) => Ok(keys.len()),
        KeyAnswer::Unkept => Ok(0),
        KeyAnswer::Failed(text) => Err(text.to_owned()),
    };
    let mut answers: Vec<_> = answers.into_iter().map(|(from, answer)| (from, read(answer))).collect();
    answers.sort();
    answers
}

fn all(n: usize, result: Result<usize, String>) -> Vec<(String, Result<usize, String>)> {
    let mut all: Vec<_> = (0..n).map(|i| (Fleet::name(i), result.clone())).collect();
    all.sort();
    all
}

/// Keys of a machine: so many, and the first one's.
fn keys_of(fleet: &Fleet, i: usize) -> (usize, Option<Key>) {
    let node = fleet.node(i).expect("it is on");
    (node.keys().count(), node.keys().next().cloned())
}

#[test]
fn keys_are_rotated_while_events_flow_and_nobody_misses_one() {
    let mut fleet = fleet(3, 12);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    let mut heard = [0; 12];
    let next = key(2);
    let orders = [
        KeyOrder::List,
        KeyOrder::Install(&next),
        KeyOrder::Use(&next),
        KeyOrder::Remove(&key(1)),
        KeyOrder::List,
    ];
    for (round, ordered) in orders.iter().enumerate() {
        let mut watch =
            |i: usize, _: u64, _: u64, seen: Seen| heard[i] += matches!(seen, Seen::User { .. }) as u32;
        let asked = fleet.with(round, &mut watch, |node, now| node.order_keys(now, ordered, None, None));
        assert!(matches!(asked, Some(Ok(_))));
        for i in 0..100 {
            fleet
                .with(i % 12, &mut watch, |node, now| node.user_event(now, b"e", &[i as u8], false).unwrap());
            fleet.run(SECOND / 50, &mut watch);
        }
        fleet.run(3 * SECOND, &mut watch);
    }
    assert_eq!(heard, [500; 12]);
    for i in 0..12 {
        assert_eq!(keys_of(&fleet, i), (1, Some(key(2))));
    }
    assert_eq!(order(&mut fleet, 7, &KeyOrder::List), all(12, Ok(1)));
    assert!(fleet.agreed());
    assert_eq!(fleet.total(|stats| stats.refused_key + stats.suspicions), 0);
}

#[test]
fn what_cannot_be_done_with_a_key_is_said_by_each() {
    let mut fleet = fleet(4, 4);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    let unknown = "Requested key is not in the keyring".to_owned();
    assert_eq!(order(&mut fleet, 0, &KeyOrder::Use(&key(9))), all(4, Err(unknown)));
    assert_eq!(order(&mut fleet, 0, &KeyOrder::Remove(&key(9))), all(4, Ok(0)));
    let primary = "Removing the primary key is not allowed".to_owned();
    assert_eq!(order(&mut fleet, 0, &KeyOrder::Remove(&key(1))), all(4, Err(primary)));
    for i in 2..=3 {
        assert_eq!(order(&mut fleet, 0, &KeyOrder::Install(&key(i))), all(4, Ok(0)));
        assert_eq!(order(&mut fleet, 0, &KeyOrder::Install(&key(i))), all(4, Ok(0)), "it is in already");
    }
    assert_eq!(order(&mut fleet, 1, &KeyOrder::List), all(4, Ok(3)));
    let full = "the keyring is full: remove a key first".to_owned();
    assert_eq!(order(&mut fleet, 0, &KeyOrder::Install(&key(4))), all(4, Err(full)));
    let mut open = Fleet::new(4, 3, Size::Small, Config::LAN);
    open.assemble(&mut |_, _, _, _| {});
    let (none, empty) = ("No keyring to modify", "Keyring is empty");
    let text = |what: &str| Err(format!("{what} (encryption not enabled)"));
    assert_eq!(order(&mut open, 0, &KeyOrder::Install(&key(1))), all(3, text(none)));
    assert_eq!(order(&mut open, 0, &KeyOrder::List), all(3, text(empty)));
}

/// A machine that was off while another key was installed and used comes back with the old one, which the others still have.
#[test]
fn who_has_missed_a_rotation_gets_the_key_under_the_one_that_it_has() {
    let mut fleet = fleet(5, 6);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    fleet.crash(4);
    fleet.run(30 * SECOND, &mut |_, _, _, _| {});
    assert!(order(&mut fleet, 0, &KeyOrder::Install(&key(2))).iter().all(|(_, done)| done.is_ok()));
    assert!(order(&mut fleet, 0, &KeyOrder::Use(&key(2))).iter().all(|(_, done)| done.is_ok()));
    fleet.boot(4, &[0], false, &mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, 4), (2, Some(key(2))));
    assert_eq!(fleet.machines[4].keys, [key(2), key(1)], "and it is kept");
    assert!(fleet.agreed());
    // Once the old key is gone, nobody comes in with it.
    assert_eq!(order(&mut fleet, 0, &KeyOrder::Remove(&key(1))), all(6, Ok(0)));
    fleet.crash(5);
    fleet.machines[5].keys = vec![key(1)];
    fleet.boot(5, &[0], false, &mut |_, _, _, _| {});
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, 5), (1, Some(key(1))));
    assert_eq!(fleet.node(5).expect("it is on").live(), 1);
    assert!(fleet.total(|stats| stats.refused_key) > 0);
}

/// The power of a whole fleet fails. Nobody remembers anything; an outsider sends all that was ever said again.
fn after_a_power_cut(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let mut fleet = fleet(seed, 5);
    fleet.without = without;
    fleet.recording = Some(Vec::new());
    fleet.assemble(&mut |_, _, _, _| {});
    for payload in ["1", "2", "3"] {
        fire(&mut fleet, 1, "old", payload);
        fleet.run(2 * SECOND, &mut |_, _, _, _| {});
    }
    fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.leave(now));
    fleet.run(5 * SECOND, &mut |_, _, _, _| {});
    (0..5).for_each(|i| fleet.crash(i));
    let recorded = fleet.recording.take().unwrap_or_default();
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    let mut wrong = Vec::new();
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| match seen {
        Seen::User { name, .. } if name == b"old" => wrong.push(format!("{i} is told an old event")),
        Seen::Member { change, .. } => wrong.push(format!("{i} is told {change:?}")),
        _ => {}
    };
    for (from, to, bytes) in recorded {
        fleet.inject_from(fleet.address(from), to, bytes);
        fleet.run(SECOND / 100, &mut watch);
    }
    fleet.run(30 * SECOND, &mut watch);
    hold(wrong.is_empty(), &wrong.join(", "))?;
    hold(fleet.total(|stats| stats.refuted) == 0, "old words have to be contradicted")?;
    hold(fleet.agreed(), "they do not agree any more")
}

#[test]
fn freshness() {
    proves(Rule::Freshness, 10, after_a_power_cut);
}

/// An outsider sends all that somebody says to another again at once, a hundred times.
fn again_and_again(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let sent = |repeats: usize| {
        let mut fleet = fleet(seed, 4);
        fleet.without = without;
        fleet.assemble(&mut |_, _, _, _| {});
        fleet.run(30 * SECOND, &mut |_, _, _, _| {});
        let before = fleet.machines[0].sent.1;
        for _ in 0..300 {
            fleet.recording = Some(Vec::new());
            fleet.run(SECOND / 10, &mut |_, _, _, _| {});
            for (from, to, bytes) in fleet.recording.take().unwrap_or_default() {
                (0..repeats).for_each(|_| fleet.inject_from(fleet.address(from), to, bytes.clone()));
            }
        }
        fleet.machines[0].sent.1 - before
    };
    let (alone, answered) = (sent(0), sent(100));
    hold(answered == alone, &format!("a node sends {answered} datagrams instead of {alone}"))
}

#[test]
fn windows() {
    proves(Rule::Windows, 10, again_and_again);
}
