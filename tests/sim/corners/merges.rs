//! What becomes of the events of two fleets of which one enters the other, beside cuts, restarts and replays.

use std::collections::BTreeSet;

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::wire::{body, datagram, kind};
use serf_nostd::{Config, Stats};

use crate::{Heard, SECOND, fire, flow, off, quiet};

/// A grown fleet, and a young one that will yield to it.
fn two_fleets(elder: usize, younger: usize) -> Fleet {
    let mut fleet = off(0, elder + younger, Size::Server, None);
    (0..elder).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(70 * SECOND, &mut quiet());
    (elder..elder + younger).for_each(|i| fleet.boot(i, &[elder], false, &mut quiet()));
    fleet.run(20 * SECOND, &mut quiet());
    fleet
}

fn join(fleet: &mut Fleet, i: usize, to: usize, replay: bool, heard: &mut Heard) {
    let to = fleet.address(to);
    let joined = fleet.with(i, &mut heard.watch(), |node, now| node.join(now, to, replay));
    assert_eq!(joined, Some(Ok(())));
}

fn of_each(fleet: &Fleet, machines: std::ops::Range<usize>, count: fn(&Stats) -> u64) -> Vec<u64> {
    machines.map(|i| fleet.node(i).map_or(0, |node| count(node.stats()))).collect()
}

#[test]
fn a_node_of_a_fleet_that_asks_for_a_replay_brings_nobody_old_events() {
    let mut fleet = two_fleets(4, 4);
    let mut heard = Heard::new(8);
    flow(&mut fleet, 6, 10, "old", &mut heard).expect("room");
    fleet.run(30 * SECOND, &mut heard.watch());
    join(&mut fleet, 5, 1, true, &mut heard);
    fleet.run(120 * SECOND, &mut heard.watch());
    let crossed = |i: usize| (0..10).filter(|n| heard.count(i, &format!("old-{n}")) > 0).count();
    assert_eq!((0..4).map(crossed).collect::<Vec<_>>(), [0; 4]);
}

/// The other one of two is gone.
#[test]
fn what_a_survivor_has_fired_goes_along() {
    let mut fleet = two_fleets(4, 2);
    fleet.crash(5);
    fleet.run(20 * SECOND, &mut quiet());
    let mut heard = Heard::new(6);
    fire(&mut fleet, 4, "precious", &mut heard).expect("room");
    fleet.run(5 * SECOND, &mut heard.watch());
    join(&mut fleet, 4, 1, false, &mut heard);
    fleet.run(120 * SECOND, &mut heard.watch());
    assert_eq!(heard.reached("precious"), 5);
}

/// While its fleet enters the other one.
#[test]
fn what_one_fires_behind_a_cut_goes_along() {
    let mut fleet = two_fleets(4, 4);
    let mut heard = Heard::new(8);
    fleet.network.side[7] = 1;
    fleet.run(60 * SECOND, &mut heard.watch());
    fire(&mut fleet, 7, "precious", &mut heard).expect("room");
    join(&mut fleet, 5, 1, false, &mut heard);
    fleet.run(30 * SECOND, &mut heard.watch());
    fleet.network.heal();
    fleet.run(240 * SECOND, &mut heard.watch());
    assert_eq!(heard.reached("precious"), 8);
}

/// Two are behind the cut, and tell each other: what they have fired may stay with them, and they know that.
#[test]
fn what_a_part_of_a_fleet_fires_behind_a_cut_is_counted() {
    let mut fleet = two_fleets(4, 5);
    let mut heard = Heard::new(9);
    fleet.network.side[7..].fill(1);
    fleet.run(60 * SECOND, &mut heard.watch());
    fire(&mut fleet, 7, "precious", &mut heard).expect("room");
    fleet.run(60 * SECOND, &mut heard.watch());
    join(&mut fleet, 5, 1, false, &mut heard);
    fleet.run(15 * SECOND, &mut heard.watch());
    fleet.network.heal();
    fleet.run(240 * SECOND, &mut heard.watch());
    assert!(fleet.agreed());
    let counted = of_each(&fleet, 7..9, |stats| stats.event_gaps);
    assert!(heard.reached("precious") == 9 || counted.iter().all(|gaps| *gaps > 0), "{counted:?}");
}

#[test]
fn who_is_entered_has_lost_nothing() {
    let mut fleet = two_fleets(4, 2);
    let mut heard = Heard::new(6);
    flow(&mut fleet, 1, 20, "here", &mut heard).expect("room");
    flow(&mut fleet, 4, 10, "there", &mut heard).expect("room");
    fleet.run(20 * SECOND, &mut heard.watch());
    join(&mut fleet, 4, 1, false, &mut heard);
    fleet.run(120 * SECOND, &mut heard.watch());
    assert_eq!(of_each(&fleet, 0..4, |stats| stats.event_gaps), [0; 4]);
}

/// It was alone for a while, has fired, and asks for what was before.
#[test]
fn what_was_stamped_anew_is_not_looked_for_under_its_old_time() {
    let mut fleet = off(1, 6, Size::Server, None);
    (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(20 * SECOND, &mut quiet());
    let mut heard = Heard::new(6);
    fleet.config.replay = true;
    fleet.network.side[5] = 1;
    fleet.boot(5, &[0], false, &mut heard.watch());
    fleet.run(15 * SECOND, &mut heard.watch());
    fire(&mut fleet, 5, "alone", &mut heard).expect("it has started alone");
    fleet.run(2 * SECOND, &mut heard.watch());
    fleet.network.heal();
    fleet.run(120 * SECOND, &mut heard.watch());
    assert_eq!((heard.reached("alone"), fleet.total(|stats| stats.pull_miss)), (6, 0));
}

/// Whether all are in one fleet at the end of this time.
fn is_one(fleet: &mut Fleet, time: u64) -> bool {
    fleet.run(time, &mut quiet());
    let fleets: BTreeSet<u32> =
        (0..fleet.machines.len()).filter_map(|i| fleet.node(i).map(|node| node.gauges().fleet)).collect();
    fleets.len() == 1
}

/// Whoever asks before it goes over has to wait for the answer as long as that takes.
#[test]
fn over_long_links() {
    for (latency, wan) in [(300_000, false), (600_000, true)] {
        for seed in 0..6 {
            let config = if wan { Config::WAN } else { Config::LAN };
            let mut fleet = Fleet::new(seed, 6, Size::Server, config);
            (fleet.network.latency, fleet.network.jitter) = (latency, latency / 10);
            (0..6).for_each(|i| fleet.boot(i, &[i / 3 * 3], false, &mut quiet()));
            fleet.run(120 * SECOND, &mut quiet());
            let other = fleet.address(1);
            fleet.with(4, &mut quiet(), |node, now| node.join(now, other, false));
            assert!(is_one(&mut fleet, 60 * SECOND), "seed {seed}, {latency} us");
        }
    }
}

/// Two fleets, of which one member of one has a seed in the other one, which it could not reach for long.
fn by_a_seed(seed: u64, each: usize, size: Size) -> Fleet {
    let mut fleet = Fleet::new(seed, 2 * each, size, Config::LAN);
    (each..2 * each).for_each(|i| fleet.network.side[i] = 1);
    for i in 0..2 * each {
        let seeds = if i == 1 { vec![0, each + 1] } else { vec![i / each * each] };
        fleet.boot(i, &seeds, false, &mut quiet());
        fleet.run(SECOND, &mut quiet());
    }
    fleet.run(120 * SECOND, &mut quiet());
    fleet.network.heal();
    fleet
}

/// Their tables are full, so that they compare them with nobody's.
#[test]
fn of_boards_that_hold_a_part_of_their_fleet() {
    for seed in 0..8 {
        assert!(is_one(&mut by_a_seed(seed, 10, Size::Tiny), 300 * SECOND), "seed {seed}");
    }
}

/// The questions that strangers provoke keep no seed from being tried, and nobody from being asked.
#[test]
fn while_strangers_make_one_ask_and_ask() {
    for seed in 0..4 {
        let mut fleet = by_a_seed(seed, 3, Size::Server);
        for n in 0..1_200 {
            for stranger in 0..12 {
                let forged = body(kind::FLEET).int(1).int(1).int(3_600).end();
                let padding = body(kind::PADDING).raw(&[0; 100]).end();
                fleet.inject(1_000 + 12 * n + stranger, 1, datagram(&[forged, padding]));
            }
            fleet.run(SECOND / 4, &mut quiet());
        }
        assert!(is_one(&mut fleet, SECOND), "seed {seed}");
    }
}
