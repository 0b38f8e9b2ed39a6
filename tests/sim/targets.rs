//! Events for some members: heard by those alone, spread and kept by all.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::seen::{Heard, hear, hearers};
use fleet_tests::wire::{body, datagram};
use serf_nostd::{Config, EventError, Target};

/// Even ones are web servers, odd ones databases.
const TAGS: [&[u8]; 2] = [b"\xff\x81\xa4role\xa3web", b"\xff\x81\xa4role\xa2db"];
const DB: Target<'static> = target(&[("role", "^db$")]);

const fn target(tags: &'static [(&'static str, &'static str)]) -> Target<'static> {
    Target::new(&[], tags)
}

fn fleet(seed: u64, nodes: usize, loss: f64) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Small, Config::LAN);
    (0..nodes).for_each(|i| fleet.machines[i].tags = TAGS[i % 2].to_vec());
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(20 * SECOND, &mut |_, _, _, _| {});
    fleet.network.loss = loss;
    fleet
}

fn fire(fleet: &mut Fleet, heard: &mut Heard, from: usize, to: Target<'_>, payload: &[u8], coalesce: bool) {
    let fired = fleet.with(from, &mut hear(heard), |node, now| {
        node.targeted_event(now, &to, b"deploy", payload, coalesce)
    });
    fired.expect("on").expect("accepted");
}

const ALL_DB: [usize; 5] = [1, 3, 5, 7, 9];

#[test]
fn they_reach_whom_they_name_once_also_over_lossy_links() {
    for seed in 0..10 {
        let mut fleet = fleet(seed, 10, 0.1);
        let mut heard = Heard::new();
        // From one who is meant, and from one who is not.
        fire(&mut fleet, &mut heard, 1, DB, b"from db", false);
        fire(&mut fleet, &mut heard, 0, DB, b"from web", false);
        let (name, other) = (Fleet::name(4), Fleet::name(5));
        let names = [&*name, &*other, "nobody"];
        fire(&mut fleet, &mut heard, 0, Target::new(&names, &[]), b"names", false);
        fire(&mut fleet, &mut heard, 0, Target::new(&names, DB.tags), b"both", false);
        fire(&mut fleet, &mut heard, 0, target(&[("absent", "^$")]), b"no tag", false);
        fleet.run(20 * SECOND, &mut hear(&mut heard));
        assert_eq!(hearers(&heard, b"from db"), ALL_DB);
        assert_eq!(hearers(&heard, b"from web"), ALL_DB);
        assert_eq!(hearers(&heard, b"names"), [4, 5]);
        assert_eq!(hearers(&heard, b"both"), [5]);
        assert_eq!(hearers(&heard, b"no tag").len(), 10);
        assert_eq!(fleet.total(|stats| stats.events_delivered), 5 + 5 + 2 + 1 + 10);
        assert_eq!(fleet.total(|stats| stats.events_elsewhere), 5 + 5 + 8 + 9);
    }
}

#[test]
fn they_are_coalesced_with_those_of_the_same_name_and_target() {
    let mut fleet = fleet(1, 10, 0.0);
    let mut heard = Heard::new();
    for round in *b"12" {
        fire(&mut fleet, &mut heard, 0, target(&[]), &[b'a', round], true);
        fire(&mut fleet, &mut heard, 1, DB, &[b'd', round], true);
        fire(&mut fleet, &mut heard, 2, target(&[("role", "web")]), &[b'w', round], true);
    }
    fleet.run(20 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"a2").len(), 10);
    assert_eq!(hearers(&heard, b"d2"), ALL_DB);
    assert_eq!(hearers(&heard, b"w2"), [0, 2, 4, 6, 8]);
    assert_eq!(heard.len(), 20, "the last ones only: {heard:?}");
}

#[test]
fn who_was_away_finds_out_whether_it_was_meant() {
    let mut fleet = fleet(2, 10, 0.0);
    let mut heard = Heard::new();
    // A pause of a minute: the others think them dead.
    fleet.freeze(3, 60 * SECOND);
    fleet.freeze(4, 60 * SECOND);
    fire(&mut fleet, &mut heard, 0, DB, b"each", false);
    fire(&mut fleet, &mut heard, 0, DB, b"value", true);
    fleet.run(120 * SECOND, &mut hear(&mut heard));
    for payload in [&b"each"[..], b"value"] {
        assert_eq!(hearers(&heard, payload), ALL_DB, "{payload:?}");
    }
}

#[test]
fn what_a_node_cannot_evaluate_it_passes_on_counted_and_what_is_too_long_is_refused() {
    let mut fleet = fleet(3, 6, 0.0);
    let mut heard = Heard::new();
    fire(&mut fleet, &mut heard, 0, target(&[("role", "d[ab]")]), b"classes", false);
    // Forged: filters that end in the middle, and an empty one.
    let forged = |origin: u64, payload: &[u8], filters: &[u8]| {
        body(13).id(9, origin).raw(&[0]).bytes(b"deploy").bytes(payload).bytes(filters).end()
    };
    for (origin, payload, filters) in [(77, &b"torn"[..], &b"\x01\x04ro"[..]), (78, b"plain", b"")] {
        let bytes = datagram(&[forged(origin, payload, filters)]);
        fleet.inject(1, 0, bytes);
    }
    fleet.run(10 * SECOND, &mut hear(&mut heard));
    assert_eq!(hearers(&heard, b"plain").len(), 6, "no filter is for all");
    assert_eq!(heard.len(), 6, "{heard:?}");
    assert_eq!(fleet.total(|stats| stats.unfiltered), 12);

    let long = "x".repeat(600);
    let refused = fleet.with(0, &mut hear(&mut heard), |node, now| {
        let mut refused = Vec::new();
        for nodes in [&[&*long][..], &[""]] {
            refused.push(node.targeted_event(now, &Target::new(nodes, &[]), b"n", b"p", false));
        }
        // Name, payload and filters share the limit: 512 bytes.
        let some = "x".repeat(300);
        refused.push(node.targeted_event(now, &Target::new(&[&some], &[]), b"n", &[0; 250], false));
        refused
    });
    let expected = [EventError::Target, EventError::Target, EventError::TooLong(207)].map(Err);
    assert_eq!(refused.expect("on"), expected);
}
