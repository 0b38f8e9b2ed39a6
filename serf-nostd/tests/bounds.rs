//! Everything that can fill up is filled here: the rule for "full", and its counter.

mod common;

use common::*;
use serf_nostd::wire::message::{Accusation, Address, IndirectPing, LeaveIntent, Ping};
use serf_nostd::{
    Config, Duration, EventError, Identity, Instant, JoinError, Node, Reject, SetupError, Status, Storage,
    storage,
};

/// Little of everything, but for what is named.
macro_rules! little {
    ($($name:ident: $places:expr),*) => {
        storage! {
            members: 4, seen: 4, slots: 8, coalesced: 2, in_flight: 2,
            name_bytes: 4, tag_bytes: 8, slot_bytes: 64 $(, $name: $places)*
        }
    };
}
type Tiny = little!();
/// Enough of everything.
type Ample = storage! {
    members: 32, slots: 64, coalesced: 16, in_flight: 32,
    name_bytes: 16, tag_bytes: 32, slot_bytes: 128
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_full_table_holds_no_newcomer_until_somebody_has_gone() {
    let (mut storage, now) = (Tiny::new(), Instant::ZERO);
    let mut node = met(storage.memory(), Config::LAN, 1);
    for i in 2..=5 {
        lives(&mut node, now, i, 1, &[]);
    }
    assert_eq!((node.gauges().members, node.stats().members_unheld), (4, 1));
    assert!(node.member("n5").is_none());
    assert_eq!(node.stats().foreign_forwarded, 1, "but the news of it is passed on");
    drain(&mut node, now + SECOND);
    let now = now + SECOND;
    let left = Accusation { incarnation: 1, boot: 0, node: "n3", from: "n3" };
    hand(&mut node, now, 3, &datagram(7, &left));
    let end = lives(&mut node, now, 5, 2, &[]);
    assert_eq!(node.stats().members_evicted, 1);
    assert!(end.told.iter().any(|told| told.contains("Reap")), "its end is told first");
    lives(&mut node, now, 5, 3, &[]);
    assert!(node.member("n3").is_none(), "the one that has left made room");
    assert_eq!(node.member("n5").map(|m| m.status), Some(Status::Alive));
}

#[test]
fn a_name_too_long_for_its_slot_is_not_held_but_passed_on() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, Instant::ZERO, 2, 1, &[]);
    lives(&mut node, Instant::ZERO, 200, 1, &[]);
    lives_as("much-too-long", &mut node, Instant::ZERO, 9, 1, &[]);
    assert_eq!((node.gauges().members, node.stats().names_unheld), (3, 1));
    assert_eq!(node.stats().foreign_forwarded, 1);
}

#[test]
fn tags_too_long_for_their_slot_are_left_out_not_cut() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, Instant::ZERO, 2, 1, &[7; 9]);
    assert_eq!(node.stats().tags_unheld, 1);
    let member = node.member("n2").expect("the member itself is held");
    assert_eq!(member.tags, b"");
}

#[test]
fn a_full_set_of_seen_events_makes_its_lowest_the_floor() {
    let (mut storage, mut now) = (Tiny::new(), Instant::ZERO);
    let mut node = met(storage.memory(), Config::LAN, 1);
    for ltime in 1..=6 {
        // As fast as new ones are accepted.
        now += SECOND;
        let drained = hand(&mut node, now, 2, &event(ltime * 10, 7, b"x"));
        assert_eq!(drained.events.len(), 1);
    }
    assert_eq!((node.gauges().seen, node.gauges().event_floor), (4, 20));
    let late = hand(&mut node, now + SECOND, 2, &event(15, 7, b"late"));
    assert!(late.events.is_empty());
    assert_eq!(node.stats().too_old, 1);
    assert_eq!(late.sent.len(), 1, "whoever sent it is told");
}

#[test]
fn a_flood_beyond_the_acceptance_rate_is_shed_and_counted() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    let mut delivered = 0;
    for ltime in 1..=10 {
        delivered += hand(&mut node, Instant::ZERO, 2, &event(ltime, 7, b"x")).events.len();
    }
    assert_eq!((delivered, node.stats().shed), (4, 6), "a burst of M, then M / 4 per second");
    // What was shed was not recorded: a later copy passes.
    let again = hand(&mut node, Instant::ZERO + SECOND, 2, &event(10, 7, b"x"));
    assert_eq!(again.events.len(), 1);
}

#[test]
fn own_events_on_their_way_fill_a_quarter_of_the_slots_then_the_caller_is_told() {
    let (mut storage, now) = (<little!(seen: 64)>::new(), Instant::ZERO);
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, now, 2, 1, &[]);
    for _ in 0..2 {
        node.user_event(now, b"e", b"", false).expect("two of eight slots are for own events");
        drain(&mut node, now);
    }
    assert_eq!(node.user_event(now, b"e", b"", false), Err(EventError::Full));
    assert_eq!((node.gauges().own, node.stats().events_full), (2, 1));
    // The other one answers, and never shows that it has them: after half a minute they are let go, and counted.
    let later = now + Duration::from_secs(33);
    for tenth in 9..=330 {
        let now = now + Duration::from_millis(100 * tenth);
        for (_, bytes) in drain(&mut node, now).sent {
            if let Some(ack) = ack(&bytes) {
                hand(&mut node, now, 2, &ack);
            }
        }
    }
    assert_eq!((node.gauges().own, node.stats().own_unconfirmed), (0, 2));
    assert!(node.user_event(later, b"e", b"", false).is_ok());
}

#[test]
fn an_origin_fires_no_faster_than_others_take_in_and_knows_when_to_go_on() {
    let (mut storage, now) = (Ample::new(), Instant::ZERO);
    let mut node = met(storage.memory(), Config::LAN, 1);
    for i in 2..=4 {
        lives(&mut node, now, i, 1, &[]);
    }
    let mut fire = |now| {
        let fired = (0..20).map_while(|_| node.user_event(now, b"e", b"", false).ok()).count();
        (fired, drain(&mut node, now).until)
    };
    let (fired, until) = fire(now);
    assert_eq!(fired, 16, "one of four nodes, so a quarter of M / 4");
    assert_eq!(until, now + Duration::from_millis(10));
    // 64 slots: no more than 16 own events on their way.
    assert_eq!(fire(until).0, 0);
    assert_eq!(node.stats().events_full, 2);
}

#[test]
fn events_too_long_for_the_limits_are_refused_with_the_limit() {
    let mut storage = Ample::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    let fire = |node: &mut Node, len| node.user_event(Instant::ZERO, b"e", &vec![0; len], false);
    assert_eq!(fire(&mut node, 512), Err(EventError::TooLong(512)));
    assert_eq!(fire(&mut node, 490), Err(EventError::TooLongEncoded(512)));
    assert!(fire(&mut node, 400).is_ok());
    hand(&mut node, Instant::ZERO, 2, &event(5, 7, &[0; 600]));
    assert_eq!(node.stats().events_too_long, 1);
}

#[test]
fn a_deaf_application_leaves_new_events_unrecorded_and_gets_them_later() {
    let (mut deaf_storage, mut storage, mut now) = (Tiny::new(), Ample::new(), Instant::ZERO);
    let mut deaf = node(deaf_storage.memory(), Config::LAN, 1);
    let mut other = node(storage.memory(), Config::LAN, 2);
    deaf.join(now, address(2), false).unwrap();
    run(&mut [&mut deaf, &mut other], &mut now, SECOND, nothing);
    deaf.set_app_ready(false);
    for i in 0..4u8 {
        other.user_event(now, b"e", &[i], false).unwrap();
        let heard = run(&mut [&mut deaf, &mut other], &mut now, SECOND, nothing);
        assert!(heard[0].is_empty());
    }
    assert_eq!(deaf.gauges().waiting, 2, "a quarter of the slots");
    assert!(deaf.stats().app_full > 0);
    deaf.set_app_ready(true);
    let mut heard = run(&mut [&mut deaf, &mut other], &mut now, Duration::from_secs(90), nothing);
    heard[0].sort();
    assert_eq!(heard[0], [[0], [1], [2], [3]], "nothing was lost by waiting");
}

#[test]
fn more_names_than_places_are_delivered_early_not_lost() {
    let (mut storage, now) = (<little!(seen: 16)>::new(), Instant::ZERO);
    let mut node = node(storage.memory(), Config::LAN, 1);
    for name in [b"a", b"b", b"c"] {
        node.user_event(now, name, name, true).unwrap();
    }
    assert_eq!(drain(&mut node, now).events, [b"a"], "the oldest, early");
    assert_eq!(node.stats().coalesce_early, 1);
    let rest = drain(&mut node, now + SECOND);
    assert_eq!(rest.events, [b"b", b"c"]);
}

#[test]
fn a_full_store_drops_what_was_sent_most() {
    let (mut storage, mut now) = (Tiny::new(), Instant::ZERO);
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, now, 2, 1, &[]);
    for ltime in 1..=12 {
        now += SECOND;
        hand(&mut node, now, 2, &event(ltime, 7, b"x"));
    }
    assert!(node.stats().store_dropped >= 4);
    assert!(node.gauges().slots <= 8);
}

#[test]
fn answers_owed_beyond_the_bound_are_refused() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, Instant::ZERO, 3, 1, &[]);
    for seq in 0..3 {
        let ping = Ping { seq, node: "n1", source: "n2", source_addr: None };
        let input = serf_nostd::Input::Datagram { from: address(2), bytes: &mut datagram(1, &ping) };
        node.handle(Instant::ZERO, input).unwrap();
    }
    let acks = drain(&mut node, Instant::ZERO).sent.into_iter().filter(|(_, bytes)| bytes[HEAD] == 3);
    assert_eq!((acks.count(), node.stats().answers_refused), (2, 1));
}

#[test]
fn probes_for_others_beyond_the_bound_are_refused() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, Instant::ZERO, 2, 1, &[]);
    for seq in 0..3 {
        let target = Address::from(address(2));
        let ping = IndirectPing { seq, node: "n2", target, nack: true, source: "n3", source_addr: None };
        hand(&mut node, Instant::ZERO, 3, &datagram(2, &ping));
    }
    assert_eq!(node.stats().relays_refused, 1);
}

#[test]
fn pulls_beyond_the_bound_are_refused() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    let ids: Vec<(u64, [u8; 8])> = (1..=3).map(|ltime| (ltime, [7; 8])).collect();
    let mut body = postcard::to_stdvec(&0u32).unwrap();
    for id in &ids {
        body.extend(postcard::to_stdvec(id).unwrap());
    }
    hand(&mut node, Instant::ZERO, 2, &messages(&[(21, &body)]));
    assert_eq!((node.stats().pulls, node.stats().pulls_refused), (2, 1));
}

#[test]
fn early_intents_beyond_the_bound_forget_the_oldest() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    let intents = ["a", "b", "c"].into_iter().zip(5..);
    for intent in intents.map(|(node, ltime)| LeaveIntent { ltime, node, prune: false }) {
        tells(&mut node, Instant::ZERO, 2, 9, &intent);
        hand(&mut node, Instant::ZERO, 3, &datagram(9, &LeaveIntent { node: "stranger's", ..intent }));
    }
    assert_eq!((node.stats().intents_forgotten, node.stats().strangers), (1, 3));
}

#[test]
fn accusers_beyond_the_bound_are_not_noted() {
    let mut storage = <little!(members: 16)>::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    for i in 2..=9 {
        lives(&mut node, Instant::ZERO, i, 1, &[]);
    }
    for accused in ["n2", "n3"] {
        for from in ["n4", "n5"] {
            let accusation = Accusation { incarnation: 1, boot: 0, node: accused, from };
            hand(&mut node, Instant::ZERO, 4, &datagram(6, &accusation));
        }
    }
    assert_eq!(node.stats().suspicions, 2);
    assert_eq!(node.stats().confirmers_refused, 2);
}

#[test]
fn silent_members_beyond_the_eight_in_doubt_are_suspected_at_once() {
    let mut storage = Ample::new();
    let (mut node, mut now) = (met(storage.memory(), Config::LAN, 1), Instant::ZERO);
    for i in 2..=30 {
        lives(&mut node, now, i, 1, &[]);
    }
    // Who hears nobody asks many, and believes for a while that it is its own fault. One was suspected before that.
    while now < Instant::from_millis(20_000) {
        now = drain(&mut node, now).until;
    }
    assert_eq!((node.stats().searches, node.stats().suspicions), (1, 1));
    while node.stats().pre_suspicions_refused == 0 {
        now = drain(&mut node, now).until;
        assert!(now < Instant::from_millis(40_000), "that is longer than a suspicion takes");
    }
    let stats = node.stats();
    let others = stats.pre_suspicions_refused;
    assert!(stats.pre_suspicions > 8);
    assert_eq!(stats.suspicions, 1 + others);
}

#[test]
fn joins_beyond_eight_at_once_are_refused() {
    let mut storage = Tiny::new();
    let mut node = node(storage.memory(), Config::LAN, 1);
    for i in 2..10 {
        node.join(Instant::ZERO, address(i), false).unwrap();
    }
    assert_eq!(node.join(Instant::ZERO, address(99), false), Err(JoinError::Busy));
}

#[test]
fn times_and_incarnations_out_of_reach_are_refused() {
    let mut storage = Tiny::new();
    let mut node = met(storage.memory(), Config::LAN, 1);
    lives(&mut node, Instant::ZERO, 2, 1, &[]);
    lives(&mut node, Instant::ZERO, 2, u32::MAX, &[]);
    assert_eq!(node.stats().incarnation_refused, 1);
    let drained = hand(&mut node, Instant::ZERO, 2, &event(1 << 40, 7, b"x"));
    assert!(drained.events.is_empty());
    assert_eq!(node.stats().clock_refused, 1);
}

#[test]
fn memory_and_identities_that_break_a_rule_are_named() {
    let mut storage = Tiny::new();
    let mut memory = storage.memory();
    memory.waiting = &mut [];
    let identity = serf_nostd::Identity {
        name: "x",
        addr: address(1),
        boot: 1,
        instance: 0,
        tags: &[],
        versions: serf_nostd::Identity::VERSIONS,
    };
    let result = Node::new(memory, Config::LAN, identity, 1, Instant::ZERO);
    assert_eq!(result.err(), Some(SetupError::Memory("waiting")));
    let long = serf_nostd::Identity { name: "12345", ..identity };
    let result = Node::new(storage.memory(), Config::LAN, long, 1, Instant::ZERO);
    assert_eq!(result.err(), Some(SetupError::Name));
    let late = serf_nostd::Identity { boot: 1 << 46, ..identity };
    let result = Node::new(storage.memory(), Config::LAN, late, 1, Instant::ZERO);
    assert_eq!(result.err(), Some(SetupError::Boot));
    let tagged = serf_nostd::Identity { tags: &[0; 9], ..identity };
    let result = Node::new(storage.memory(), Config::LAN, tagged, 1, Instant::ZERO);
    assert_eq!(result.err(), Some(SetupError::Tags));
}

#[test]
fn a_device_s_storage_fits_into_17_kib() {
    // No pointers: the same size on every target.
    // Features take more for each of its 32 members: a place and three round trips, four changes, a session; and three keys.
    let coordinates = const { 32 * 64 * cfg!(feature = "coordinates") as usize };
    let journal = const { 32 * 96 * cfg!(feature = "journal") as usize };
    let seal = const { (32 * 16 + 3 * 34 + 8 * 8) * cfg!(feature = "seal") as usize };
    assert!(<Storage>::SIZE <= 17 * 1024 + coordinates + journal + seal);
}

#[test]
fn a_beat_of_zero_and_a_floor_that_was_never_written_are_refused() {
    let mut storage = Tiny::new();
    let (name, addr, versions) = ("n1", address(1), Identity::VERSIONS);
    let me = Identity { name, addr, boot: 1, instance: 0, tags: &[], versions };
    let mut refused = |config: Config| Node::new(storage.memory(), config, me, 1, Instant::ZERO).err();
    for config in [
        Config { probe_interval: Duration::ZERO, ..Config::LAN },
        Config { probe_timeout: Duration::ZERO, ..Config::LAN },
        Config { gossip_interval: Duration::ZERO, ..Config::LAN },
        Config { reconnect_interval: Duration::ZERO, ..Config::LAN },
        Config { join_timeout: Duration::ZERO, ..Config::LAN },
    ] {
        assert_eq!(refused(config), Some(SetupError::Timing));
    }
    assert_eq!(refused(Config { event_floor: u64::MAX, ..Config::LAN }), Some(SetupError::Floor));
    assert_eq!(refused(Config { event_floor: 1 << 60, ..Config::LAN }), None);
}

/// What is wrong is told in words that fit behind another program's.
#[test]
fn errors_have_texts() {
    let errors: [(&dyn std::error::Error, &str); 4] = [
        (&EventError::TooLong(512), "name and payload are longer than 512 bytes"),
        (&JoinError::Busy, "too many joins are running: try again when one has been told of"),
        (&SetupError::Memory("seen"), "the memory for seen has a length that breaks its rule"),
        (&Reject::Damaged, "it was damaged on the way"),
    ];
    errors.iter().for_each(|(error, text)| assert_eq!(error.to_string(), *text));
}
