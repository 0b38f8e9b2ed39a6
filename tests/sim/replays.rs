//! Somebody records what a sealed fleet says, and says it again where it hurts; and somebody who has the key lies about counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::network::muted;
use fleet_tests::sealing::Sealer;
use fleet_tests::wire::{self, body, kind};
use serf_nostd::{Config, Key, MemberChange, Status};

const KEY: [u8; 32] = [1; 32];
const MS: u64 = SECOND / 1_000;

/// From whom, to whom, and what.
type Said = (usize, usize, Vec<u8>);

fn quiet() -> impl FnMut(usize, u64, u64, Seen) {
    |_, _, _, _| {}
}

/// A sealed fleet that is whole.
fn fleet(seed: u64, nodes: usize, size: Size) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, size, Config::LAN);
    fleet.key = Some(Key::new(KEY));
    fleet.assemble(&mut quiet());
    fleet.run(10 * SECOND, &mut quiet());
    fleet
}

fn fire(fleet: &mut Fleet, i: usize, payload: &[u8]) {
    fleet.with(i, &mut quiet(), |node, now| {
        node.user_event(now, b"x", payload, false).expect("there is room")
    });
}

/// What is said while it runs.
fn record(fleet: &mut Fleet, span: u64) -> Vec<Said> {
    fleet.recording = Some(Vec::new());
    fleet.run(span, &mut quiet());
    fleet.recording.take().expect("it records")
}

/// Under whose key all is; in no session.
const INSIDER: Sealer = Sealer { key: KEY, session: [0; 8], cluster: None };

fn session(datagram: &[u8]) -> [u8; 8] {
    *datagram[3..].first_chunk().expect("it is sealed")
}

fn messages(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let text = INSIDER.open(datagram).expect("it is sealed");
    wire::read(&[&wire::HEAD[..], &text].concat())
}

fn holds(datagram: &[u8], what: u8) -> bool {
    messages(datagram).iter().any(|(kind, _)| *kind == what)
}

/// The bytes that a machine sends meanwhile.
fn sent(fleet: &mut Fleet, i: usize, span: u64) -> u64 {
    let before = fleet.machines[i].sent.0;
    fleet.run(span, &mut quiet());
    fleet.machines[i].sent.0 - before
}

/// Repeats a datagram so often: the bytes that came, and what the receiver has sent beyond what it sends by itself.
fn drawn(fleet: &mut Fleet, to: usize, from: SocketAddr, datagram: &[u8], every: u64) -> (u64, u64) {
    let idle = sent(fleet, to, 20 * SECOND);
    let before = fleet.machines[to].sent.0;
    let times = 20 * SECOND / every;
    for _ in 0..times {
        fleet.inject_from(from, to, datagram.to_vec());
        fleet.run(every, &mut quiet());
    }
    let more = (fleet.machines[to].sent.0 - before).saturating_sub(idle + idle / 5);
    (times * (datagram.len() as u64 + 28), more)
}

/// No session begins with counter 0: whoever answers probes with it is heard by nobody, however often he does.
#[test]
fn counter_zero_is_no_counter() {
    let mut fleet = fleet(1, 4, Size::Members(8));
    fleet.crash(3);
    let mut answers = 0;
    for _ in 0..20_000 {
        for (_, _, datagram) in record(&mut fleet, MS).into_iter().filter(|said| (said.0, said.1) == (0, 3)) {
            for (_, body) in messages(&datagram).into_iter().filter(|(kind, _)| *kind == kind::PING) {
                answers += 1;
                let answer = INSIDER.seal(0, &wire::ack(wire::number(&body)));
                fleet.inject_from(fleet.address(3), 0, answer);
            }
        }
    }
    assert!(answers > 0);
    assert_ne!(fleet.status(0, 3), Some(Status::Alive));
}

/// Somebody with the key seals one datagram in another's session, far ahead of it. That member is heard again soon.
#[test]
fn a_counter_far_ahead_shuts_nobody_out() {
    let mut fleet = fleet(1, 6, Size::Small);
    let said = record(&mut fleet, 10 * SECOND);
    let session = said.iter().rev().find(|said| said.0 == 1).map(|said| session(&said.2)).expect("it speaks");
    let insider = Sealer { session, ..INSIDER };
    for to in [0, 2, 3, 4, 5] {
        let far = insider.seal((1 << 48) - 2, &body(41).raw(&[0]).end());
        fleet.inject_from(fleet.address(1), to, far);
    }
    let mut failed = Vec::new();
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        if let Seen::Member { change: MemberChange::Failed, name, .. } = seen {
            failed.push((i, name));
        }
    };
    fleet.run(60 * SECOND, &mut watch);
    assert!(fleet.agreed());
    assert_eq!(failed, []);
}

/// A member begins two sessions within the time that a challenge stands. The answers to both, said again in turn, bind neither anew.
#[test]
fn two_sessions_in_turn_are_not_bound_again() {
    let mut fleet = fleet(1, 4, Size::Small);
    let mut said = Vec::new();
    // At any moment between the probes of the others, which prove a session as well.
    for turn in 0..8 {
        fleet.freeze(1, 2_200 * MS);
        said.extend(record(&mut fleet, 2_201 * MS));
        fire(&mut fleet, 1, b"1");
        said.extend(record(&mut fleet, (600 + 170 * turn) * MS));
    }
    let mut sessions: BTreeMap<[u8; 8], Vec<Vec<u8>>> = BTreeMap::new();
    for (_, _, datagram) in said.into_iter().filter(|said| (said.0, said.1) == (1, 0)) {
        sessions.entry(session(&datagram)).or_default().push(datagram);
    }
    let answers =
        |said: &Vec<Vec<u8>>| said.iter().position(|datagram| holds(datagram, kind::CHALLENGE_ANSWER));
    let turns: Vec<_> = sessions.values().filter_map(|said| Some(&said[answers(said)?..])).collect();
    assert!(turns.len() >= 2, "{} sessions were proven", turns.len());
    let proofs = fleet.node(0).expect("it is on").stats().proofs;
    for _ in 0..100 {
        for datagram in turns.iter().copied().flatten() {
            fleet.inject_from(fleet.address(1), 0, datagram.clone());
        }
        fleet.run(10 * MS, &mut quiet());
    }
    assert_eq!(fleet.node(0).expect("it is on").stats().proofs, proofs);
}

/// "I want" draws payloads many times its length. Said again after its session is over it draws no more than itself.
#[test]
fn old_wants_draw_no_payloads() {
    let mut fleet = fleet(1, 4, Size::Server);
    fleet.network.side[1] = 1;
    fleet.run(500 * MS, &mut quiet());
    for i in 0..30 {
        fire(&mut fleet, 0, &[i; 480]);
        fleet.run(20 * MS, &mut quiet());
    }
    fleet.network.heal();
    let said = record(&mut fleet, 20 * SECOND);
    let wants = said.into_iter().filter(|said| said.0 == 1 && holds(&said.2, kind::I_WANT));
    let (_, to, want) = wants.max_by_key(|said| said.2.len()).expect("it asks somebody");
    fleet.freeze(1, 3 * SECOND);
    fleet.run(30 * SECOND, &mut quiet());
    let from = fleet.address(1);
    let (given, more) = drawn(&mut fleet, to, from, &want, 200 * MS);
    assert!(more <= given, "{more} bytes are drawn with {given}");
}

/// What was said against a former life does not make this one say to all that it lives.
#[test]
fn old_accusations_draw_no_answers() {
    let mut fleet = fleet(1, 20, Size::Small);
    fleet.crash(1);
    let said = record(&mut fleet, 20 * SECOND);
    let accuses = |datagram: &[u8]| {
        let accusation =
            |(kind, body): &(u8, Vec<u8>)| *kind == kind::SUSPECT && body.windows(6).any(|w| w == b"node-1");
        datagram.len() < 200 && messages(datagram).iter().any(accusation)
    };
    let (by, _, accusation) = said.into_iter().find(|said| accuses(&said.2)).expect("somebody accuses it");
    (0..20).for_each(|i| fleet.crash(i));
    fleet.assemble(&mut quiet());
    fleet.run(60 * SECOND, &mut quiet());
    for every in [200 * MS, 2 * SECOND] {
        let from = fleet.address(by);
        let (given, more) = drawn(&mut fleet, 1, from, &accusation, every);
        assert!(more <= given, "{more} bytes are drawn with {given}");
    }
}

/// Members that are told as failed when one, which has moved to another address since, is not heard for 4.7 s, while somebody repeats
/// what it said before.
fn silent(seed: u64, repeated: Option<u8>) -> usize {
    let mut fleet = Fleet::new(seed, 10, Size::Small, Config::LAN);
    fleet.key = Some(Key::new(KEY));
    fleet.recording = Some(Vec::new());
    fleet.assemble(&mut quiet());
    let said = fleet.recording.take().expect("it records");
    let word = repeated.map(|what| {
        let words = said.into_iter().filter(|said| said.0 == 1 && holds(&said.2, what));
        words.min_by_key(|said| said.2.len()).expect("it says so").2
    });
    let old = fleet.address(1);
    fleet.crash(1);
    fleet.run(30 * SECOND, &mut quiet());
    fleet.move_to(1, SocketAddr::from(([10, 9, 9, 9], 7946)));
    fleet.boot(1, &[0], false, &mut quiet());
    fleet.run(30 * SECOND, &mut quiet());
    let mut failed = 0;
    let mut watch = |_: usize, _: u64, _: u64, seen: Seen| {
        failed += matches!(seen, Seen::Member { change: MemberChange::Failed, .. }) as usize;
    };
    fleet.network.muted[1] = muted::SENDING;
    for _ in 0..47 {
        if let Some(word) = &word {
            (2..10).for_each(|to| fleet.inject_from(old, to, word.clone()));
        }
        fleet.run(100 * MS, &mut watch);
    }
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut watch);
    failed
}

#[test]
fn words_of_a_former_life_hurt_nobody_who_is_silent_for_a_while() {
    let told = |repeated| (0..10).map(|seed| silent(seed, repeated)).sum::<usize>();
    let alone = told(None);
    assert!(told(Some(kind::ALIVE)) <= alone);
    assert!(told(Some(kind::JOIN)) <= alone);
}

/// Nobody has heard an own event. Reflected it is nobody's word that he has it, not even after the node has begun another session.
#[test]
fn own_events_that_are_reflected_count_as_nobodys() {
    let mut fleet = fleet(1, 8, Size::Small);
    fleet.network.muted[1] = muted::SENDING;
    fleet.recording = Some(Vec::new());
    fire(&mut fleet, 1, b"only here");
    fleet.run(100 * MS, &mut quiet());
    let mut said = fleet.recording.take().expect("it records").into_iter();
    let (_, _, event) =
        said.find(|said| said.0 == 1 && holds(&said.2, kind::USER_EVENT)).expect("it is pushed");
    for asleep in [0, 2_500 * MS] {
        fleet.freeze(1, asleep);
        fleet.run(asleep + 100 * MS, &mut quiet());
        for spoofed in [2, 3, 4] {
            fleet.inject_from(fleet.address(spoofed), 1, event.clone());
        }
        fleet.run(10 * MS, &mut quiet());
        assert_eq!(fleet.node(1).expect("it is on").gauges().own, 1, "held until others have it");
    }
}

/// All that others are told is repeated to a node at once, quicker than the network: nothing that is meant for it comes too late.
#[test]
fn copies_of_what_others_are_told_withhold_nothing() {
    let mut fleet = fleet(1, 8, Size::Small);
    let mut heard = 0;
    for step in 0..10_000 {
        if step % 1_000 == 0 {
            (0..4).for_each(|i| fire(&mut fleet, 1 + i as usize, &[i; 400]));
        }
        fleet.recording = Some(Vec::new());
        fleet.run(MS, &mut |i, _, _, seen| heard += (i == 0 && matches!(seen, Seen::User { .. })) as u32);
        for (from, to, datagram) in fleet.recording.take().expect("it records") {
            if to != 0 && from != 0 {
                fleet.inject_from(fleet.address(from), 0, datagram);
            }
        }
    }
    fleet
        .run(20 * SECOND, &mut |i, _, _, seen| heard += (i == 0 && matches!(seen, Seen::User { .. })) as u32);
    assert_eq!(heard, 40);
    assert!(fleet.agreed());
}
