//! What becomes of the events of two fleets of which one enters the other, beside cuts, restarts and replays.

use serf_nostd::Stats;
use sim::fleet::{Fleet, Size};

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
