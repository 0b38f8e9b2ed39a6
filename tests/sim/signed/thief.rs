//! What a thief once got done to signed queries and orders, and to who checks signatures.

use std::collections::BTreeMap;

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use fleet_tests::rng::Rng;
use fleet_tests::sealing::Sealer;
use fleet_tests::seen::{Heard, hear, hearers};
use fleet_tests::wire::{self, body, datagram, kind};
use serf_nostd::wire::message::{Address, EventId, query_flag};
use serf_nostd::{
    Ask, Authority, Config, Duration, EventError, Key, KeyOrder, Operator, Reserved, Signature, Signed,
    Stated, Statement, public_key,
};

use super::queries::{keys_of, number, reserve_for};
use super::{OPERATOR, THIEF, authority, begun, fleet, sealed, tell};

// ---- what is checked in a second ----

fn event(said: &Statement<'_>, signature: &Signature) -> Vec<u8> {
    let time = signature.time.to_le_bytes();
    let filters = [&[2][..], &signature.signer, &time, &signature.bytes, said.filters].concat();
    let id = said.reserved.id;
    let event = body(kind::TARGETED_EVENT).id(id.ltime, id.origin).raw(&[0]);
    event.bytes(said.name).bytes(said.payload).bytes(&filters).end()
}

/// Five agents, and machine 5, which checks so many in a second. The thief sends it so many datagrams in a second, at irregular times: a
/// forgery, the word that he has an event, and a forgery of that. An operator fires ten times in a minute. How many come to
/// machine 5.
fn come_to(checks: u16, rate: u64) -> usize {
    let mut fleet = Fleet::new(31, 6, Size::Small, Config::LAN);
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    for i in 1..6 {
        let operator = Operator { key: public_key(&OPERATOR), patterns: &["reboot"] };
        fleet.config.authority = Authority::new(vec![operator].leak(), if i == 5 { checks } else { 500 });
        fleet.boot(i, &[THIEF], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let stated = Stated::Event { coalesce: false };
    let (mut rng, mut heard) = (Rng::new(rate), Heard::new());
    let (start, mut sent, mut fired) = (fleet.now(), 0, 0);
    let signer = *public_key(&OPERATOR).first_chunk().expect("32 bytes");
    let forged = Signature { signer, time: 1_000, bytes: [9; 64] };
    while fleet.now() < start + 90 * SECOND {
        sent += 1;
        let clock = fleet.node(1).expect("it is on").gauges().event_time;
        let claim = |ltime, number: u64| {
            let id = EventId { ltime, origin: 1 << 63 | number << 1 | 1 };
            let reserved = Reserved { id, cluster: 0, answers_to: Address::UNSET, timeout: 0 };
            Statement { reserved, time: 1_000, stated, name: b"reboot", filters: b"", payload: b"forged" }
        };
        // One of four that he says to have, again and again.
        let (new, old) = (claim(clock, sent + 100), claim(5, sent % 4));
        let have = body(kind::I_HAVE).int(7).id(old.reserved.id.ltime, old.reserved.id.origin).end();
        fleet.inject(THIEF, 5, datagram(&[event(&new, &forged), have, event(&old, &forged)]));
        if fired < 10 && fleet.now() >= start + (5 + 6 * u64::from(fired)) * SECOND {
            let reserved = fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.reserve_event(now));
            let reserved = reserved.expect("it is on").expect("it is in a fleet");
            let said = Statement { reserved, payload: &[fired], ..new };
            let signature = said.sign(&OPERATOR);
            fleet.with(1, &mut hear(&mut heard), |node, now| {
                node.signed_event(now, &said, &signature).unwrap()
            });
            fired += 1;
        }
        fleet.run(SECOND / rate / 2 + rng.below(SECOND / rate), &mut hear(&mut heard));
    }
    (0..fired).filter(|number| hearers(&heard, &[*number]).contains(&5)).count()
}

/// What nobody was asked for is no answer, and of who has forged once nothing is checked for a minute.
#[test]
fn forgeries_behind_an_announcement_starve_nobody() {
    for (checks, rate) in [(2, 20), (2, 100), (2, 400), (500, 1_000), (500, 5_000)] {
        assert_eq!(come_to(checks, rate), 10, "{checks} checks, {rate} a second");
    }
}

// ---- how long a query is to be answered ----

/// Who was asked, how often.
type Asked = BTreeMap<usize, u32>;

fn note(asked: &mut Asked) -> impl FnMut(usize, u64, u64, Seen) {
    |i, _, _, seen| {
        if let Seen::Asked { .. } = seen {
            *asked.entry(i).or_default() += 1;
        }
    }
}

fn query(fleet: &mut Fleet, seconds: u64) -> Statement<'static> {
    let reserved = reserve_for(fleet, 1, Some(Duration::from_secs(seconds)));
    let stated = Stated::Query { ack: true };
    Statement { reserved, time: 1_000, stated, name: b"disk-free", filters: b"", payload: b"now" }
}

fn ask(fleet: &mut Fleet, asked: &mut Asked, said: &Statement<'_>) -> Signature {
    let signature = said.sign(&OPERATOR);
    let signed = Signed { reserved: said.reserved, signature };
    let mut ask = Ask::all("disk-free", b"now");
    ask.signed = Some(&signed);
    assert!(fleet.with(1, &mut note(asked), |node, now| node.query(now, &ask)).expect("it is on").is_ok());
    signature
}

/// The operator's query word for word, but with another time that is left.
fn with_time(said: &Statement<'_>, signature: &Signature, left: u64) -> Vec<u8> {
    let time = signature.time.to_le_bytes();
    let filters = [&[2][..], &signature.signer, &time, &signature.bytes].concat();
    let Reserved { id, timeout, .. } = said.reserved;
    let flags = query_flag::ACK | u32::from(timeout) << query_flag::TIMEOUT_SHIFT;
    let query = body(kind::QUERY).int(id.ltime).int(u64::from(number(id))).addr(1).text("node-1");
    let query = query.bytes(&filters).int(u64::from(flags)).raw(&[0]).int(left);
    datagram(&[query.bytes(said.name).bytes(said.payload).end()])
}

/// A member that was cut off for a second hears it first from the thief, who says that its time is over.
#[test]
fn nobody_says_that_the_time_of_a_query_is_over() {
    let mut fleet = fleet(41, 6, 0.0);
    let mut asked = Asked::new();
    let said = query(&mut fleet, 60);
    fleet.network.side[3] = 1;
    let signature = ask(&mut fleet, &mut asked, &said);
    fleet.run(SECOND, &mut note(&mut asked));
    fleet.network.heal();
    fleet.inject(THIEF, 3, with_time(&said, &signature, 0));
    fleet.run(60 * SECOND, &mut note(&mut asked));
    assert_eq!(fleet.total(|stats| stats.events_unauthorized), 0, "it is the operator's signature");
    assert_eq!(asked, (0..6).map(|i| (i, 1)).collect());
}

/// Larger fleets than an origin reaches itself: the thief is told early, and tells all the others.
#[test]
fn nor_in_a_large_fleet() {
    let mut fleet = Fleet::new(42, 60, Size::Small, Config::DEVICE);
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    fleet.config.authority = authority();
    for i in 1..60 {
        fleet.boot(i, &[THIEF], false, &mut |_, _, _, _| {});
    }
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    let mut asked = Asked::new();
    let said = query(&mut fleet, 30);
    let signature = ask(&mut fleet, &mut asked, &said);
    while !asked.contains_key(&THIEF) {
        fleet.run(50, &mut note(&mut asked));
    }
    tell(&mut fleet, &with_time(&said, &signature, 0));
    fleet.run(60 * SECOND, &mut note(&mut asked));
    assert_eq!(asked, (0..60).map(|i| (i, 1)).collect());
}

/// An hour after its asker was told that machine 3 has not answered. Who knows no time, as a board, would be asked still.
#[test]
fn where_the_time_is_known_nobody_is_asked_long_after_it() {
    const EPOCH: u64 = 1_000_000;
    let mut fleet = Fleet::new(43, 6, Size::Small, Config::LAN);
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    fleet.config.authority = authority().since(EPOCH);
    for i in 1..6 {
        fleet.boot(i, &[THIEF], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let mut asked = Asked::new();
    let said = Statement { time: (EPOCH + 20) as u32, ..query(&mut fleet, 5) };
    fleet.network.side[3] = 1;
    fleet.freeze(3, 3_600 * SECOND);
    let signature = ask(&mut fleet, &mut asked, &said);
    fleet.run(3_600 * SECOND - 1_000, &mut note(&mut asked));
    fleet.network.heal();
    fleet.run(1_001, &mut note(&mut asked));
    fleet.inject(THIEF, 3, with_time(&said, &signature, u64::MAX));
    fleet.run(60 * SECOND, &mut note(&mut asked));
    assert_eq!(asked, [0, 1, 2, 4, 5].map(|i| (i, 1)).into());
}

// ---- orders about keys ----

fn key(i: u8) -> Key {
    Key::new([i; Key::LEN])
}

/// An operator gives an order at machine 2, whose answers are waited for so long.
fn order(fleet: &mut Fleet, what: &KeyOrder<'_>, seconds: u64) {
    let reserved = reserve_for(fleet, 2, Some(Duration::from_secs(seconds)));
    let said = what.statement(reserved, 1_000).expect("it is signed");
    let signed = Signed { reserved, signature: said.sign(&OPERATOR) };
    let give = |node: &mut serf_nostd::Node<'static>, now| node.order_keys(now, what, None, Some(&signed));
    assert!(fleet.with(2, &mut |_, _, _, _| {}, give).expect("it is on").is_ok());
    fleet.run(SECOND, &mut |_, _, _, _| {});
}

/// Goes over to this key.
fn rotate(fleet: &mut Fleet, to: &Key) {
    order(fleet, &KeyOrder::Install(to), 5);
    order(fleet, &KeyOrder::Use(to), 5);
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
}

/// The same once more, with time for who was away.
fn order_again(fleet: &mut Fleet, to: &Key) {
    for what in [KeyOrder::Install(to), KeyOrder::Use(to)] {
        order(fleet, &what, 5);
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    }
}

/// Machine 5 is away while the others go over to another key: nobody follows anybody, but the order given again is for it, too.
#[test]
fn who_was_away_gets_the_order_once_more() {
    let mut fleet = sealed(44, 6, key(1));
    fleet.network.side[5] = 1;
    rotate(&mut fleet, &key(2));
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert!((1..5).all(|i| keys_of(&fleet, i) == [2, 1]));
    assert_eq!(keys_of(&fleet, 5), [1], "it follows nobody");
    order_again(&mut fleet, &key(2));
    assert_eq!(keys_of(&fleet, 5), [2, 1]);
    assert_eq!(fleet.total(|stats| stats.events_unauthorized), 0, "no alarm");
}

/// The others have gone over twice meanwhile, and keep both older keys: the order travels under each.
#[test]
fn whichever_of_their_keys_it_has() {
    let mut fleet = sealed(47, 6, key(1));
    rotate(&mut fleet, &key(2));
    order(&mut fleet, &KeyOrder::Remove(&key(1)), 5);
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    assert!((1..6).all(|i| keys_of(&fleet, i) == [2]));
    fleet.network.side[5] = 1;
    rotate(&mut fleet, &key(3));
    rotate(&mut fleet, &key(4));
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, 5), [2]);
    order_again(&mut fleet, &key(4));
    assert_eq!(keys_of(&fleet, 5), [4, 2]);
    assert_eq!(fleet.total(|stats| stats.events_unauthorized), 0, "no alarm");
}

/// Where nobody follows anybody, nobody is told of a newer key under an older one; least of all the thief.
#[test]
fn a_thief_who_was_away_is_not_told_the_new_key() {
    let mut fleet = sealed(45, 6, key(1));
    fleet.network.side[THIEF] = 1;
    order(&mut fleet, &KeyOrder::Install(&key(2)), 5);
    order(&mut fleet, &KeyOrder::Use(&key(2)), 5);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, THIEF), [1]);
}

/// Only to install keys is an operator's here, and to remove them: that nobody else's key is used follows from that.
#[test]
fn where_installing_is_an_operators_nobody_follows_either() {
    let mut fleet = Fleet::new(46, 6, Size::Small, Config::LAN);
    fleet.key = Some(key(1));
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    let operator = Operator { key: public_key(&OPERATOR), patterns: &["keys:install", "keys:remove"] };
    fleet.config.authority = Authority::new(vec![operator].leak(), 500);
    for i in 1..6 {
        fleet.boot(i, &[THIEF], false, &mut |_, _, _, _| {});
    }
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let evil = key(66);
    for what in [KeyOrder::Install(&evil), KeyOrder::Use(&evil)] {
        let give = |node: &mut serf_nostd::Node<'static>, now| node.order_keys(now, &what, None, None);
        assert!(fleet.with(THIEF, &mut |_, _, _, _| {}, give).expect("it is on").is_ok());
        fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    }
    assert!((1..6).all(|i| keys_of(&fleet, i) == [1]));
}

const FLEETS: Sealer = Sealer { key: [1; 32], session: [0; 8], cluster: None };

/// The thief, who has the fleet's key 1: a session of his that the others know.
struct Listener {
    sealer: Sealer,
    counter: u64,
}

/// An order that has gone by: what stands before its time, and behind it.
type Order = (Vec<u8>, Vec<u8>);

impl Listener {
    fn new(fleet: &mut Fleet) -> Listener {
        fleet.recording = Some(Vec::new());
        fleet.run(5 * SECOND, &mut |_, _, _, _| {});
        let said = fleet.recording.take().expect("it records");
        let (_, _, last) = said.iter().rev().find(|said| said.0 == THIEF).expect("he speaks");
        let session = *last[3..].first_chunk().expect("it is sealed");
        Listener { sealer: Sealer { session, ..FLEETS }, counter: 10_000 }
    }

    fn tell(&mut self, fleet: &mut Fleet, to: usize, message: &[u8]) {
        self.counter += 1;
        let sealed = self.sealer.seal(self.counter, message);
        fleet.inject(THIEF, to, sealed);
    }

    /// Orders that have gone by, each once.
    fn orders(said: &[(usize, usize, Vec<u8>)]) -> Vec<Order> {
        let later = Sealer { key: [2; 32], ..FLEETS };
        let mut orders: Vec<Order> = Vec::new();
        for (_, _, sealed) in said {
            let Some(text) = FLEETS.open(sealed).or_else(|| later.open(sealed)) else { continue };
            let messages = wire::read(&[&wire::HEAD[..], &text].concat());
            for (_, body) in messages.iter().filter(|(what, _)| *what == kind::QUERY) {
                let order = around_time(body);
                if !orders.iter().any(|known| known.0 == order.0) {
                    orders.push(order);
                }
            }
        }
        orders
    }
}

/// What stands before and behind the time that is left, in a query.
fn around_time(query: &[u8]) -> Order {
    let mut rest = query;
    let skip = |rest: &mut &[u8]| {
        let len = wire::take(rest) as usize;
        *rest = &rest[len..];
    };
    // Lamport time, number; address, port; source, filters; flags; how many relay an answer.
    let _ = (wire::take(&mut rest), wire::take(&mut rest));
    skip(&mut rest);
    let _ = wire::take(&mut rest);
    skip(&mut rest);
    skip(&mut rest);
    let _ = wire::take(&mut rest);
    rest = &rest[1..];
    let before = query[..query.len() - rest.len()].to_vec();
    let _ = wire::take(&mut rest);
    (before, rest.to_vec())
}

fn raw(message: &[u8], timeout: u64, rest: &[u8]) -> Vec<u8> {
    body(kind::QUERY).raw(message).int(timeout).raw(rest).end()
}

/// A member that was away for a second hears of an order first from the thief: with the key itself in the place of what it is wrapped in.
#[test]
fn a_key_in_the_clear_takes_no_orders_place() {
    let mut fleet = sealed(51, 6, key(1));
    let mut listener = Listener::new(&mut fleet);
    fleet.network.side[3] = 1;
    fleet.recording = Some(Vec::new());
    order(&mut fleet, &KeyOrder::Install(&key(2)), 60);
    let orders = Listener::orders(&fleet.recording.take().expect("it records"));
    let [(before, rest)] = &orders[..] else { panic!("one order: {orders:?}") };
    fleet.network.heal();
    let name = rest[0] as usize + 1;
    let plain = [&rest[..name], &[32], &[2; 32]].concat();
    listener.tell(&mut fleet, 3, &raw(before, 60 * SECOND, &plain));
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, 3), [1, 2]);
}

/// The operator has gone over to key 2, and back. The thief tells a member that was asleep of both, the later one first.
#[test]
fn an_older_order_undoes_no_later_one() {
    let mut fleet = sealed(52, 6, key(1));
    order(&mut fleet, &KeyOrder::Install(&key(2)), 5);
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    let mut listener = Listener::new(&mut fleet);
    fleet.network.side[3] = 1;
    fleet.freeze(3, 600 * SECOND);
    fleet.recording = Some(Vec::new());
    order(&mut fleet, &KeyOrder::Use(&key(2)), 5);
    order(&mut fleet, &KeyOrder::Use(&key(1)), 5);
    let orders = Listener::orders(&fleet.recording.take().expect("it records"));
    assert!((1..6).all(|i| keys_of(&fleet, i) == [1, 2]), "one way and back");
    fleet.run(598 * SECOND - 1_000, &mut |_, _, _, _| {});
    fleet.network.heal();
    fleet.run(1_001, &mut |_, _, _, _| {});
    assert_eq!(orders.len(), 2);
    for (before, rest) in orders.iter().rev() {
        listener.tell(&mut fleet, 3, &raw(before, 1 << 60, rest));
    }
    fleet.run(SECOND, &mut |_, _, _, _| {});
    assert_eq!(keys_of(&fleet, 3), [1, 2]);
}

// ---- identities ----

/// Whoever may speak to an agent asks it to fire under an identity that it has not kept: also where no operators are known.
#[test]
fn nothing_is_fired_under_an_identity_that_was_not_reserved() {
    let mut fleet = begun(Fleet::new(61, 3, Size::Small, Config::LAN));
    for (ltime, origin) in [(1 << 62, 2), (1 << 61, 1 << 63 | 1), (1, 2)] {
        let reserved =
            Reserved { id: EventId { ltime, origin }, cluster: 0, answers_to: Address::UNSET, timeout: 0 };
        let stated = Stated::Event { coalesce: false };
        let said = Statement { reserved, time: 1_000, stated, name: b"x", filters: b"", payload: b"" };
        let signature = said.sign(&OPERATOR);
        for i in 0..3 {
            let fired =
                fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.signed_event(now, &said, &signature));
            assert_eq!(fired, Some(Err(EventError::Outdated)), "{ltime} {origin} at {i}");
        }
    }
}

/// Whoever remembers fewest events would not take it any more.
#[test]
fn a_reservation_that_has_waited_for_many_events_is_over() {
    let mut fleet = fleet(62, 3, 0.0);
    let reserved = fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.reserve_event(now));
    let reserved = reserved.expect("it is on").expect("it is in a fleet");
    for _ in 0..40 {
        fleet.with(2, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", b"", false).unwrap());
        fleet.run(SECOND / 5, &mut |_, _, _, _| {});
    }
    let stated = Stated::Event { coalesce: false };
    let said = Statement { reserved, time: 1_000, stated, name: b"reboot", filters: b"", payload: b"" };
    let signature = said.sign(&OPERATOR);
    let fired = fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.signed_event(now, &said, &signature));
    assert_eq!(fired, Some(Err(EventError::Outdated)));
}
