//! Network coordinates of real nodes, on maps of the world: how true the round trips are that they tell.

use fleet_tests::chaos::SECOND;
use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::network::Map;
use serf_nostd::Config;

/// A continent: 40 ms across, links into the network of up to 5 ms, every fifth pair further apart.
const MAP: Map = Map { seed: 0, side: 40_000, access: 5_000, detours: 0.2 };

fn fleet(seed: u64, nodes: usize, map: Map) -> Fleet {
    let mut fleet = Fleet::new(seed, nodes, Size::Placed(nodes as u16), Config::LAN);
    fleet.network.map = Some(Map { seed, ..map });
    fleet.network.jitter = 500;
    fleet.assemble(&mut |_, _, _, _| {});
    fleet
}

/// Relative errors of the round trips that nodes tell of any two, sorted; whom they have not heard of counts as 1.
fn errors(fleet: &Fleet, map: Map, from: usize) -> Vec<f64> {
    let node = fleet.node(from).expect("on");
    let mut errors = Vec::new();
    for i in 0..fleet.machines.len() {
        for j in i + 1..fleet.machines.len() {
            let place = |i| node.coordinate(&Fleet::name(i));
            let told = place(i).zip(place(j)).map(|(a, b)| a.distance(b) as f64);
            // With half of the jitter each way.
            let truth = (2 * map.latency(i, j) + 500) as f64 / 1e6;
            errors.push(told.map_or(1.0, |told| (told - truth).abs() / truth));
        }
    }
    errors.sort_by(f64::total_cmp);
    errors
}

fn quantile(errors: &[f64], share: f64) -> f64 {
    errors[(errors.len() as f64 * share) as usize]
}

#[test]
fn after_some_minutes_half_of_all_round_trips_are_known_to_an_eighth_though_every_fifth_is_no_distance() {
    let (mut medians, mut nineties) = (Vec::new(), Vec::new());
    for seed in 0..5 {
        let map = Map { seed, ..MAP };
        let mut fleet = fleet(seed, 60, map);
        fleet.run(1_200 * SECOND, &mut |_, _, _, _| {});
        let errors = errors(&fleet, map, 7);
        medians.push(quantile(&errors, 0.5));
        nineties.push(quantile(&errors, 0.9));
    }
    println!("relative errors: medians {medians:.3?}, 90 % below {nineties:.3?}");
    assert!(medians.iter().all(|median| *median < 0.125), "{medians:.3?}");
    assert!(nineties.iter().all(|ninety| *ninety < 0.45), "{nineties:.3?}");
}

#[test]
fn without_detours_they_are_nearly_all_true() {
    let map = Map { detours: 0.0, ..MAP };
    let mut fleet = fleet(9, 40, map);
    fleet.run(1_200 * SECOND, &mut |_, _, _, _| {});
    let errors = errors(&fleet, Map { seed: 9, ..map }, 3);
    assert!(quantile(&errors, 0.5) < 0.03 && quantile(&errors, 0.95) < 0.12, "{errors:.3?}");
}

#[test]
fn who_takes_no_part_is_nowhere_and_is_probed_as_before() {
    let mut fleet = Fleet::new(3, 6, Size::Placed(6), Config::LAN);
    (3..6).for_each(|i| fleet.machines[i].size = Size::Members(6));
    fleet.assemble(&mut |_, _, _, _| {});
    fleet.run(120 * SECOND, &mut |_, _, _, _| {});
    for i in 0..6 {
        let node = fleet.node(i).expect("on");
        let placed = (0..6).filter(|j| node.coordinate(&Fleet::name(*j)).is_some()).count();
        assert_eq!(placed, if i < 3 { 3 } else { 0 });
        assert!(node.coordinate("nobody").is_none() && node.coordinate_resets() == 0);
        assert_eq!(node.stats().probes_failed, 0);
    }
}

#[test]
fn a_path_that_has_become_longer_is_learnt_and_costs_no_more_for_ever() {
    for latency in [50_000, 200_000, 300_000] {
        let rate = |size| {
            let mut fleet = Fleet::new(5, 12, size, Config::LAN);
            (fleet.network.latency, fleet.network.jitter) = (500, 100);
            fleet.assemble(&mut |_, _, _, _| {});
            fleet.run(120 * SECOND, &mut |_, _, _, _| {});
            fleet.network.latency = latency;
            fleet.run(60 * SECOND, &mut |_, _, _, _| {});
            let before = (fleet.sent().1, fleet.total(|stats| stats.probes_failed));
            fleet.run(300 * SECOND, &mut |_, _, _, _| {});
            (fleet.sent().1 - before.0, fleet.total(|stats| stats.probes_failed) - before.1)
        };
        let (without, with) = (rate(Size::Members(12)), rate(Size::Placed(12)));
        assert!(with.0 <= without.0 * 11 / 10 && with.1 == without.1, "{latency}: {with:?}, not {without:?}");
    }
}
