//! Events: ids in pages, limits of size, the end of the clock, pulls.

use std::collections::BTreeSet;

use fleet_tests::fleet::{Fleet, Seen, Size};
use serf_nostd::{Config, Identity, Instant, Node};

use super::kit::*;

#[test]
fn pages_of_event_ids_leave_none_out() {
    let mut node = Driven::met(server(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1)]);
    for ltime in 1..=600 {
        node.feed(2, &datagram(&[event(1_000 + ltime, 7, b"e", b"", false)]));
        node.now += 10_000;
    }
    assert_eq!(node.node.gauges().seen, 600);
    let mut listed = BTreeSet::new();
    let mut cursor = (0, 0);
    for nonce in 0..100 {
        node.sent.clear();
        let request = body(kind::EVENT_DIGEST_REQUEST).int(0x8000_0000 + nonce).id(0, 0);
        let request = request.bytes(&[0x55; 64]).id(cursor.0, cursor.1).end();
        node.feed(2, &padded(&[request]));
        let answer = node.said(kind::EVENT_ENTRIES).expect("it answers");
        let mut rest = &answer[..];
        take(&mut rest);
        take(&mut rest);
        let more = rest[0] == 1;
        rest = &rest[1..];
        let id = |rest: &mut &[u8]| {
            let ltime = take(rest);
            let (origin, behind) = rest.split_first_chunk::<8>().expect("an id");
            *rest = behind;
            (ltime, u64::from_le_bytes(*origin))
        };
        let next = more.then(|| id(&mut rest));
        while !rest.is_empty() {
            listed.insert(id(&mut rest));
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(listed.len(), 600);
}

#[test]
fn a_limit_for_events_that_fit_no_datagram_is_refused() {
    let identity =
        Identity { name: "me", addr: addr(1), boot: 1, instance: 0, tags: &[], versions: Identity::VERSIONS };
    let config = |event_size_limit| Config { event_size_limit, ..Config::LAN };
    let node = Node::new(server(), config(9_216), identity, 1, Instant::ZERO);
    assert_eq!(node.err(), Some(serf_nostd::SetupError::EventSize));
    let mut node = Driven::met(server(), config(1_327));
    node.hears(2, &[alive("a", 2, 1, 1)]);
    node.node.user_event(node.at(), b"big", &[0; 1_250], false).expect("there is room");
    node.drain();
    assert!(node.node.stats().payloads_sent > 0, "what is accepted goes out");
}

#[test]
fn events_stay_apart_when_the_clock_has_come_to_its_end() {
    let mut node = Driven::new(small(), Config::LAN);
    node.node.join(node.at(), addr(2), false).expect("there is room");
    node.drain();
    let nonce = node.said(kind::JOIN).map(|body| number(&body)).expect("it joins");
    let answer = body(kind::JOIN_ANSWER).int(nonce).int(u64::MAX).int(u64::MAX).int(u64::MAX);
    node.feed(2, &datagram(&[answer.end()]));
    let first = node.node.user_event(node.at(), b"e", b"1", false);
    node.drain();
    let second = node.node.user_event(node.at(), b"e", b"2", false);
    node.drain();
    assert!(first != second || first.is_err(), "two events with one identity: {first:?}");
}

#[test]
fn an_event_too_long_for_this_node_is_not_asked_for_for_ever() {
    let mut node = Driven::met(small(), Config { event_size_limit: 20, ..Config::LAN });
    node.hears(2, &[alive("a", 2, 1, 1)]);
    for _ in 0..5 {
        node.feed(2, &datagram(&[event(5, 7, b"e", &[0; 100], false)]));
        node.now += 20_000;
    }
    node.sent.clear();
    node.feed(2, &datagram(&[body(kind::I_HAVE).int(0).id(5, 7).end()]));
    assert_eq!(node.said(kind::I_WANT), None, "it is known, and known to be too long");
}

#[test]
fn a_member_that_was_never_probed_can_pull() {
    let mut node = Driven::met(server(), Config::LAN);
    node.hears(2, &[alive("a", 2, 1, 1), event(5, 7, b"deploy", &[b'x'; 100], false)]);
    node.sent.clear();
    // What a node of this version sends when it has heard of the event: its own pull, byte by byte.
    let mut lacking = Driven::named(server(), Config::LAN, "a", 2);
    lacking.is_asked_in();
    node.now += 20_000;
    node.drain();
    let (_, announcement) = node.sent.pop().expect("it announces");
    // The two have founded fleets of their own: without the tag of either.
    let untagged = read(&announcement).into_iter().filter(|(kind, _)| *kind != kind::TAG);
    let untagged: Vec<Vec<u8>> = untagged.map(|(kind, bytes)| body(kind).raw(&bytes).end()).collect();
    lacking.feed(1, &datagram(&untagged));
    let (_, pull) = lacking.sent.pop().expect("it asks");
    assert_eq!(read(&pull)[0].0, kind::I_WANT);
    node.sent.clear();
    node.feed(2, &pull);
    assert!(
        node.said(kind::USER_EVENT).is_some(),
        "its members get what they lack from their first second on"
    );
}

#[test]
fn a_fleet_that_has_just_met_pulls_what_it_lacks_as_well_as_an_old_one() {
    let mut fleet = Fleet::new(0, 400, Size::Members(1024), Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.network.loss = 0.3;
    let mut heard = 0;
    let mut watch = |_: usize, _: u64, _: u64, seen| heard += matches!(seen, Seen::User { .. }) as u32;
    fleet.with(1, &mut watch, |node, now| node.user_event(now, b"deploy", &[b'x'; 40], false));
    fleet.run(30 * SECOND, &mut watch);
    assert_eq!(heard, 400);
}

#[test]
fn events_that_are_too_long_move_the_floor_no_faster_than_others() {
    let mut node = Driven::met(small(), Config { event_size_limit: 20, ..Config::LAN });
    node.hears(2, &[alive("a", 2, 1, 1)]);
    for ltime in 1_000..2_000 {
        node.feed(2, &datagram(&[event(ltime, 7, b"e", &[0; 100], false)]));
    }
    let (too_long, floor) = (node.node.stats().events_too_long, node.node.gauges().event_floor);
    assert_eq!((too_long, floor), (64, 0), "a burst of M");
}

/// While a value from below the floor is fetched its name is forgotten, for another one: it may be an older value than what was
/// handed out, and is not handed out.
#[test]
fn a_value_that_comes_when_its_name_is_forgotten_is_not_handed_out() {
    let mut node = Driven::met(board(), Config::LAN);
    node.hears(2, &[alive("peer", 2, 1, 1)]);
    let tell = |node: &mut Driven, message: Vec<u8>| {
        node.feed(2, &datagram(&[message]));
        node.run(4 * SECOND, &[2]);
    };
    tell(&mut node, event(1, 7, b"a", b"a-1", true));
    tell(&mut node, event(2, 7, b"a", b"a-2", true));
    // As many names as there are places; and more events than it remembers.
    (3..10).for_each(|n| tell(&mut node, event(n, 7, &[n as u8], b"", true)));
    (20..92).for_each(|n| tell(&mut node, event(n, 7, b"e", b"", false)));
    // The peer knows the first value, and one of another name. Its answers overtake each other.
    for _ in 0..200 {
        for (_, bytes) in std::mem::take(&mut node.sent).into_iter().filter(|(to, _)| *to == addr(2)) {
            for (kind, request) in read(&bytes) {
                let answers = match kind {
                    kind::PING => {
                        vec![[ack(number(&request)), body(kind::VALUES).int(12_345).end()].concat()]
                    }
                    kind::VALUES_REQUEST => {
                        let nonce = (number(&request) as u32).to_le_bytes();
                        let page = body(kind::PAGE).raw(&nonce).raw(&[0; 4]).end();
                        vec![[page, body(kind::VALUE_IDS).int(77).id(1, 7).id(200, 8).end()].concat()]
                    }
                    kind::I_WANT => vec![event(200, 8, b"b", b"b-1", true), event(1, 7, b"a", b"a-1", true)],
                    _ => continue,
                };
                answers.into_iter().for_each(|answer| node.feed(2, &datagram(&[answer])));
            }
        }
        node.run(SECOND / 10, &[]);
    }
    let of_a = |told: &&Told| matches!(told, Told::User(_, payload) if payload.starts_with(b"a-"));
    let told: Vec<&Told> = node.told.iter().filter(of_a).collect();
    assert_eq!(told, [&Told::User(1, b"a-1".to_vec()), &Told::User(2, b"a-2".to_vec())]);
}

/// All places for pulls are taken by ids that a stranger has made up; what a member that has answered lists is asked for at
/// once.
#[test]
fn invented_ids_keep_nobody_from_asking_for_real_ones() {
    let mut node = Driven::met(small(), Config::LAN);
    node.hears(2, &[alive("peer", 2, 1, 1)]);
    node.run(4 * SECOND, &[2]);
    let invented = (0..64).fold(body(kind::I_HAVE).int(7), |list, n| list.id(1_000 + n, 9)).end();
    node.feed(99, &datagram(&[invented]));
    node.sent.clear();
    node.run(2 * SECOND, &[]);
    let probe = node.said(kind::PING).expect("it probes its only member");
    node.sent.clear();
    node.feed(2, &datagram(&[ack(number(&probe)), body(kind::I_HAVE).int(8).id(5, 7).end()]));
    let asked = node
        .sent
        .iter()
        .any(|(to, bytes)| *to == addr(2) && read(bytes).iter().any(|(kind, _)| *kind == kind::I_WANT));
    assert!(asked, "what a member has announced is not asked for");
}
