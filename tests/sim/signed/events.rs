//! Events.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::seen::{Heard, hear, hearers};
use fleet_tests::wire::{body, datagram, kind};
use serf_nostd::{Config, EventError, Reserved, Signature, Stated, Statement, Target};

use super::{OPERATOR, THIEF, authority, fleet, tell};

const COALESCED: Stated = Stated::Event { coalesce: true };

fn reserve(fleet: &mut Fleet, i: usize) -> Reserved {
    let reserved = fleet.with(i, &mut |_, _, _, _| {}, |node, now| node.reserve_event(now));
    reserved.expect("it is on").expect("it is in a fleet")
}

fn statement<'s>(reserved: Reserved, payload: &'s [u8], filters: &'s [u8]) -> Statement<'s> {
    let stated = Stated::Event { coalesce: false };
    Statement { reserved, time: 1_000, stated, name: b"reboot", filters, payload }
}

fn fire(
    fleet: &mut Fleet,
    i: usize,
    heard: &mut Heard,
    said: &Statement<'_>,
    signature: &Signature,
) -> Result<u64, EventError> {
    let fired = fleet.with(i, &mut hear(heard), |node, now| node.signed_event(now, said, signature));
    fired.expect("it is on")
}

/// A signed event as it travels.
fn told(said: &Statement<'_>, signature: &Signature) -> Vec<u8> {
    let time = signature.time.to_le_bytes();
    let filters = [&[2][..], &signature.signer, &time, &signature.bytes, said.filters].concat();
    let id = said.reserved.id;
    let event = body(kind::TARGETED_EVENT).id(id.ltime, id.origin).raw(&[(said.stated == COALESCED) as u8]);
    datagram(&[event.bytes(said.name).bytes(said.payload).bytes(&filters).end()])
}

#[test]
fn what_an_operator_has_signed_reaches_all_once_over_lossy_links() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 10, 0.1);
        let mut heard = Heard::new();
        let filters = Target::new(&["node-3", "node-4"], &[]);
        let mut buf = [0; 512];
        let filters = filters.encode(&mut buf).expect("short");
        for (payload, filters) in [(&b"all"[..], &[][..]), (b"two", filters)] {
            let reserved = reserve(&mut fleet, 2);
            let said = statement(reserved, payload, filters);
            // Others fire meanwhile.
            fleet.with(5, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", b"", false));
            fleet.run(SECOND, &mut hear(&mut heard));
            assert!(fire(&mut fleet, 2, &mut heard, &said, &said.sign(&OPERATOR)).is_ok());
            // What was reserved for it is used up.
            let again = fire(&mut fleet, 2, &mut heard, &said, &said.sign(&OPERATOR));
            assert_eq!(again, Err(EventError::Outdated));
        }
        fleet.run(20 * SECOND, &mut hear(&mut heard));
        assert_eq!(hearers(&heard, b"all").len(), 10);
        assert_eq!(hearers(&heard, b"two"), [3, 4]);
        assert_eq!(fleet.total(|stats| stats.events_unauthorized), 0);
    }
}

#[test]
fn nobody_fires_it_without_a_signature_or_with_another_ones() {
    let mut fleet = fleet(1, 4, 0.0);
    let mut heard = Heard::new();
    for name in [&b"reboot"[..], b"deploy/web"] {
        let refused =
            fleet.with(1, &mut hear(&mut heard), |node, now| node.user_event(now, name, b"", false));
        assert_eq!(refused, Some(Err(EventError::Unsigned)));
    }
    let reserved = reserve(&mut fleet, 1);
    let said = statement(reserved, b"", b"");
    assert_eq!(fire(&mut fleet, 1, &mut heard, &said, &said.sign(&[8; 32])), Err(EventError::Forged));
    let other = Statement { payload: b"other", ..said };
    assert_eq!(fire(&mut fleet, 1, &mut heard, &other, &said.sign(&OPERATOR)), Err(EventError::Forged));
    let log = Statement { name: b"log", ..said };
    assert_eq!(fire(&mut fleet, 1, &mut heard, &log, &log.sign(&OPERATOR)), Err(EventError::Forged));
    fleet.run(10 * SECOND, &mut hear(&mut heard));
    assert!(heard.is_empty(), "{heard:?}");
}

/// What a reservation may wait for: as many events as the memory holds.
#[test]
fn a_reservation_that_the_floor_has_passed_is_over() {
    let mut fleet = fleet(2, 4, 0.0);
    let reserved = reserve(&mut fleet, 1);
    let said = statement(reserved, b"late", b"");
    for n in 0..600_u32 {
        fleet
            .with(2, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", &n.to_le_bytes(), false));
        fleet.run(SECOND / 20, &mut |_, _, _, _| {});
    }
    let late = fire(&mut fleet, 1, &mut Heard::new(), &said, &said.sign(&OPERATOR));
    assert_eq!(late, Err(EventError::Outdated));
}

#[test]
fn a_thief_fires_nothing_that_is_an_operators() {
    let mut fleet = fleet(3, 6, 0.0);
    let mut heard = Heard::new();
    // With his own program.
    let own =
        fleet.with(THIEF, &mut hear(&mut heard), |node, now| node.user_event(now, b"reboot", b"own", false));
    assert!(matches!(own, Some(Ok(_))));
    // With what he has heard, changed.
    let reserved = reserve(&mut fleet, 1);
    let mut buf = [0; 512];
    let filters = Target::new(&["node-3"], &[]).encode(&mut buf).expect("short");
    let said = statement(reserved, b"three", filters);
    let signature = said.sign(&OPERATOR);
    let id = reserved.id;
    let next = serf_nostd::wire::message::EventId { ltime: id.ltime + 1, ..id };
    for other in [
        Statement { filters: b"", ..said },
        Statement { payload: b"stolen", ..said },
        Statement { name: b"deploy/x", ..said },
        Statement { stated: COALESCED, ..said },
        Statement { reserved: Reserved { id: next, ..reserved }, ..said },
    ] {
        tell(&mut fleet, &told(&other, &signature));
    }
    // Under its identity, so that the real one counts as seen.
    let squatter =
        body(kind::USER_EVENT).id(id.ltime, id.origin).raw(&[0]).bytes(b"log").bytes(b"squat").end();
    tell(&mut fleet, &datagram(&[squatter]));
    fleet.run(SECOND, &mut hear(&mut heard));
    // Seven, by each of the others.
    assert_eq!(fleet.total(|stats| stats.events_unauthorized + stats.events_unchecked), 7 * 5);
    assert!(fire(&mut fleet, 1, &mut heard, &said, &signature).is_ok());
    fleet.run(SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"three"), [3]);
    // With what he has heard, as it is, also to who has been away.
    fleet.crash(3);
    fleet.run(30 * SECOND, &mut hear(&mut heard));
    fleet.boot(3, &[1], false, &mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    tell(&mut fleet, &told(&said, &signature));
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"three"), [3]);
    assert_eq!(hearers(&heard, b"own"), [THIEF]);
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(fleet.agreed());
}

/// Forgeries use up what may be checked in a second. What is real comes all the same, when others offer it again.
#[test]
fn forgeries_delay_what_is_real_and_lose_nothing() {
    let mut fleet = fleet(4, 6, 0.0);
    fleet.check_every = 100;
    let mut heard = Heard::new();
    let reserved = reserve(&mut fleet, 1);
    let said = statement(reserved, b"real", b"");
    let forged = Statement { payload: b"forged", ..said };
    let signature = said.sign(&OPERATOR);
    for _ in 0..700 {
        tell(&mut fleet, &told(&forged, &signature));
    }
    fleet.run(SECOND / 100, &mut hear(&mut heard));
    assert!(fleet.total(|stats| stats.events_unchecked) > 500);
    fleet.run(SECOND, &mut hear(&mut heard));
    assert!(fire(&mut fleet, 1, &mut heard, &said, &signature).is_ok());
    for _ in 0..700 {
        tell(&mut fleet, &told(&forged, &signature));
    }
    fleet.run(30 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"real").len(), 6);
    assert_eq!(heard.len(), 6);
}

/// Where the time is known, what was signed a day ago is not taken, whatever floors say.
#[test]
fn where_the_time_is_known_a_signature_lives_for_a_day() {
    let mut fleet = Fleet::new(5, 2, Size::Small, Config::LAN);
    const EPOCH: u64 = 1_000_000;
    fleet.config.authority = authority().since(EPOCH);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    for (time, taken) in
        [(EPOCH - 86_500, false), (EPOCH - 86_000, true), (EPOCH + 86_000, true), (EPOCH + 86_500, false)]
    {
        let reserved = reserve(&mut fleet, 0);
        let said = Statement { time: time as u32, ..statement(reserved, b"", b"") };
        let fired = fire(&mut fleet, 0, &mut Heard::new(), &said, &said.sign(&OPERATOR));
        assert_eq!(fired.is_ok(), taken, "{time}: {fired:?}");
    }
}

/// Events are coalesced by a hash of their name, and anybody can make a name of a certain hash: this one has that of "reboot". Signed events have
/// windows of their own.
#[test]
fn an_event_of_the_same_hash_takes_no_signed_ones_place() {
    const COLLIDES: &[u8] = b"x-sunep\x19\x01?\x09\x1b\x07\x0d\x03\x01\x17\x15\x19\x05\x02";
    let mut fleet = fleet(6, 6, 0.0);
    let mut heard = Heard::new();
    let said = Statement { stated: COALESCED, ..statement(reserve(&mut fleet, 1), b"real", b"") };
    assert!(fire(&mut fleet, 1, &mut heard, &said, &said.sign(&OPERATOR)).is_ok());
    fleet.run(SECOND / 10, &mut hear(&mut heard));
    let other = |node: &mut serf_nostd::Node<'static>, now| node.user_event(now, COLLIDES, b"other", true);
    assert!(fleet.with(THIEF, &mut hear(&mut heard), other).is_some_and(|fired| fired.is_ok()));
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    assert_eq!((hearers(&heard, b"real").len(), hearers(&heard, b"other").len()), (6, 6));
}

/// The thief fires something under the identity that is reserved, and does not hold it any more when he is asked: nobody holds it for lost.
#[test]
fn what_is_reserved_cannot_be_lost_before_it_is_fired() {
    let mut fleet = fleet(7, 6, 0.0);
    let mut heard = Heard::new();
    let said = statement(reserve(&mut fleet, 1), b"real", b"");
    let signature = said.sign(&OPERATOR);
    let log = |fleet: &mut Fleet, payload: &[u8]| {
        fleet.with(THIEF, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", payload, false));
        fleet.run(SECOND / 5, &mut |_, _, _, _| {});
    };
    (0..2).for_each(|_| log(&mut fleet, b""));
    let junk = Statement { payload: b"junk", ..said };
    assert!(fire(&mut fleet, THIEF, &mut heard, &junk, &signature).is_ok(), "his program checks nothing");
    // Its payload makes room for others'.
    fleet.run(40 * SECOND, &mut |_, _, _, _| {});
    (0..28_u8).for_each(|n| log(&mut fleet, &[n]));
    let id = said.reserved.id;
    for _ in 0..200 {
        tell(&mut fleet, &datagram(&[body(kind::DONT_HAVE).id(id.ltime, id.origin).end()]));
        fleet.run(SECOND / 10, &mut |_, _, _, _| {});
    }
    assert!(fleet.total(|stats| stats.pull_miss) > 0);
    assert!(fire(&mut fleet, 1, &mut heard, &said, &signature).is_ok());
    fleet.run(30 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"real"), [1, 2, 3, 4, 5], "all but the thief, who has his own");
}

/// Forgeries without a pause: whoever fires checks beside them, and what is asked for is checked beside what comes unasked.
#[test]
fn a_stream_of_forgeries_starves_neither_who_fires_nor_who_asks() {
    let mut fleet = fleet(8, 6, 0.0);
    fleet.check_every = 1_000;
    let mut heard = Heard::new();
    let said = statement(reserve(&mut fleet, 1), b"real", b"");
    let signature = said.sign(&OPERATOR);
    let forged = told(&Statement { payload: b"forged", ..said }, &signature);
    for n in 0..20_000 {
        tell(&mut fleet, &forged);
        if n == 5_000 {
            assert!(fire(&mut fleet, 1, &mut heard, &said, &signature).is_ok());
        }
        fleet.run(SECOND / 2_000, &mut hear(&mut heard));
    }
    assert_eq!(hearers(&heard, b"real").len(), 6);
    assert!(fleet.total(|stats| stats.events_unchecked) > 10_000);
}

/// What is refused as unsigned counts as seen, but no faster than events are taken in: it drives no floor past what others are to get.
#[test]
fn refusals_are_seen_no_faster_than_events() {
    let mut fleet = fleet(9, 6, 0.0);
    fleet.check_every = 100;
    let clock = fleet.node(1).expect("it is on").gauges().event_time;
    for n in 0..3_000 {
        let event = body(kind::USER_EVENT).id(clock + 1 + n, 5).raw(&[0]).bytes(b"reboot").bytes(b"");
        tell(&mut fleet, &datagram(&[event.end()]));
        fleet.run(SECOND / 500, &mut |_, _, _, _| {});
    }
    let stats = fleet.node(1).expect("it is on").stats();
    // Bursts of 256, and a quarter of that a second, for six seconds.
    assert!(
        stats.events_unauthorized >= 3_000 && stats.events_new <= 256 + 6 * 64 + 10,
        "{}",
        stats.events_new
    );
}

/// A member comes back below whose floor a signed value stands, and asks for it: forged answers end no search.
#[test]
fn forged_answers_withhold_no_last_value() {
    let mut fleet = fleet(21, 6, 0.0);
    fleet.check_every = 1_000;
    let mut heard = Heard::new();
    fleet.network.side[5] = 1;
    let said = Statement { stated: COALESCED, ..statement(reserve(&mut fleet, 1), b"real", b"") };
    let signature = said.sign(&OPERATOR);
    assert!(fire(&mut fleet, 1, &mut heard, &said, &signature).is_ok());
    for _ in 0..600 {
        fleet.with(2, &mut |_, _, _, _| {}, |node, now| node.user_event(now, b"log", b"", false));
        fleet.run(SECOND / 40, &mut hear(&mut heard));
    }
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    fleet.network.heal();
    let forged = told(&Statement { payload: b"forged", ..said }, &signature);
    for _ in 0..60_000 {
        fleet.inject(THIEF, 5, forged.clone());
        fleet.run(SECOND / 1_000, &mut hear(&mut heard));
    }
    assert_eq!(hearers(&heard, b"real").len(), 6);
}

/// Whoever begins with a memory in which there is nothing has never been there.
#[test]
fn a_first_life_takes_nothing_that_was_signed_before_it_though_it_is_to_remember() {
    const EPOCH: u64 = 1_000_000;
    let mut fleet = Fleet::new(5, 2, Size::Small, Config::LAN);
    fleet.boot(THIEF, &[], false, &mut |_, _, _, _| {});
    fleet.config.authority = authority().since(EPOCH);
    fleet.run(40 * SECOND, &mut |_, _, _, _| {});
    fleet.boot_again(1, &[], &mut |_, _, _, _| {});
    let thief = fleet.address(THIEF);
    fleet.with(1, &mut |_, _, _, _| {}, |node, now| node.join(now, thief, false)).unwrap().unwrap();
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    assert!(fleet.agreed());
    let mut heard = Heard::new();
    let reserved = reserve(&mut fleet, THIEF);
    let said = Statement { time: (EPOCH - 3 * 3600) as u32, ..statement(reserved, b"old", b"") };
    fleet.inject(THIEF, 1, told(&said, &said.sign(&OPERATOR)));
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"old"), [0; 0]);
}
