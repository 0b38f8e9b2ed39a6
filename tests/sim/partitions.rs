//! Partitions of every length heal, past the time at which the other side has been forgotten.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Seen, Size};
use serf_nostd::Config;

/// A fleet of ten, cut into five and five.
fn cut(seed: u64) -> Fleet {
    let mut fleet = Fleet::new(seed, 10, Size::Server, Config::LAN);
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(10 * SECOND, &mut |_, _, _, _| {});
    fleet.network.side[5..].fill(1);
    fleet
}

/// Both sides fire while they are apart; afterwards everybody is to see everybody and, if `events`, to have all of it.
fn heals(mut fleet: Fleet, span: u64, events: bool) {
    let mut heard = [0; 10];
    let mut watch =
        |i: usize, _: u64, _: u64, seen: Seen| heard[i] += matches!(seen, Seen::User { .. }) as u32;
    fleet.run(span - 10 * SECOND, &mut watch);
    for i in [0, 9] {
        fleet.with(i, &mut watch, |node, now| {
            node.user_event(now, b"apart", &[i as u8], false).expect("room")
        });
    }
    fleet.run(10 * SECOND, &mut watch);
    fleet.network.heal();
    fleet.run(180 * SECOND, &mut watch);
    assert!(fleet.agreed(), "everybody sees everybody again");
    fleet.with(7, &mut watch, |node, now| node.user_event(now, b"after", b"", false).expect("room"));
    fleet.run(5 * SECOND, &mut watch);
    if events {
        assert_eq!(heard, [3; 10], "what either side fired reached the other");
    } else {
        assert!(heard.iter().all(|count| (2..=3).contains(count)), "{heard:?}");
    }
}

#[test]
fn of_a_minute() {
    heals(cut(1), 60 * SECOND, true);
}

#[test]
fn of_ten_minutes() {
    heals(cut(2), 600 * SECOND, true);
}

#[test]
fn of_25_hours_past_reaping() {
    let mut fleet = cut(3);
    fleet.run(25 * 3600 * SECOND, &mut |_, _, _, _| {});
    assert_eq!(fleet.node(0).map(|node| node.gauges().members), Some(5), "the others have been forgotten");
    heals(fleet, 60 * SECOND, true);
}

#[test]
fn with_a_restart_of_all_seeds_meanwhile() {
    let mut fleet = cut(4);
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    // The only seed loses all it knew; nobody tells it where the others are but they themselves.
    fleet.crash(0);
    fleet.run(30 * SECOND, &mut |_, _, _, _| {});
    fleet.boot(0, &[], false, &mut |_, _, _, _| {});
    fleet.run(60 * SECOND, &mut |_, _, _, _| {});
    fleet.network.heal();
    fleet.run(180 * SECOND, &mut |_, _, _, _| {});
    assert!(fleet.agreed(), "the seed is found again by those who knew it");
}

#[test]
fn with_two_million_events_on_one_side() {
    let mut fleet = cut(5);
    for i in 0..10 {
        // A side of two makes two million events affordable; the others stay as witnesses.
        fleet.network.side[i] = if i < 2 { 0 } else { 1 };
    }
    let mut fired = 0;
    let mut quiet = |_: usize, _: u64, _: u64, _: Seen| {};
    fleet.run(60 * SECOND, &mut quiet);
    while fired < 2_000_000u32 {
        // As fast as they are accepted: others record a quarter of their memory per second.
        fleet.with(0, &mut quiet, |node, now| {
            for _ in 0..100 {
                fired += node.user_event(now, b"n", &fired.to_le_bytes(), false).is_ok() as u32;
            }
        });
        fleet.run(SECOND / 20, &mut quiet);
    }
    fleet.network.heal();
    let mut last = [0; 10];
    let mut watch = |i: usize, _: u64, _: u64, seen: Seen| {
        if let Seen::User { name, .. } = seen {
            last[i] = last[i].max((name == b"after") as u32);
        }
    };
    fleet.run(180 * SECOND, &mut watch);
    assert!(fleet.agreed());
    fleet.with(9, &mut watch, |node, now| node.user_event(now, b"after", b"", false).expect("room"));
    fleet.run(5 * SECOND, &mut watch);
    assert_eq!(
        last, [1; 10],
        "clocks have met: an event from the side that was far behind reaches everybody"
    );
}
