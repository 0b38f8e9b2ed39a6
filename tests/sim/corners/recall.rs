//! Machines that know again what they were handed before they ended: nothing twice, and what they have missed.

use fleet_tests::fleet::{Fleet, Size};

use crate::{Heard, SECOND, fire, fleet, flow, off, quiet, set};

fn all_once(heard: &Heard, i: usize, label: &str, count: usize) {
    let counts: Vec<usize> = (0..count).map(|n| heard.count(i, &format!("{label}-{n}"))).collect();
    assert!(counts.iter().all(|count| *count == 1), "machine {i}: {label}: {counts:?}");
}

fn news_reach_all(fleet: &mut Fleet, heard: &mut Heard) {
    fleet.run(30 * SECOND, &mut heard.watch());
    assert!(fleet.agreed(), "they do not see each other");
    for i in 0..fleet.machines.len() {
        fire(fleet, i, &format!("new-{i}"), heard).expect("accepted");
        fleet.run(5 * SECOND, &mut heard.watch());
        assert_eq!(heard.reached(&format!("new-{i}")), fleet.machines.len(), "what {i} fires");
    }
}

#[test]
fn what_was_fired_meanwhile_is_handed_out_and_nothing_twice() {
    for seed in 0..8 {
        let mut fleet = fleet(seed, 8, Size::Server, None);
        let mut heard = Heard::new(8);
        flow(&mut fleet, 2, 20, "old", &mut heard).expect("room");
        fleet.crash(4);
        flow(&mut fleet, 3, 50, "missed", &mut heard).expect("room");
        fleet.run(seed * 7 * SECOND, &mut heard.watch());
        fleet.boot_again(4, &[0, 1], &mut heard.watch());
        news_reach_all(&mut fleet, &mut heard);
        all_once(&heard, 4, "old", 20);
        all_once(&heard, 4, "missed", 50);
    }
}

/// What a machine has missed it hands out in the order in which it was fired, be it after a former life or from before its time.
#[test]
fn what_was_missed_comes_in_its_order() {
    for seed in 0..8 {
        let mut fleet = off(seed, 6, Size::Server, None);
        fleet.config.replay = true;
        (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        let mut heard = Heard::new(6);
        fleet.crash(4);
        for n in 0..100 {
            fire(&mut fleet, n % 4, &format!("{n}"), &mut heard).expect("room");
            fleet.run(SECOND / 20, &mut heard.watch());
        }
        fleet.run(seed * SECOND, &mut heard.watch());
        fleet.boot_again(4, &[0, 1], &mut heard.watch());
        fleet.boot(5, &[0], false, &mut heard.watch());
        fleet.run(5 * SECOND, &mut heard.watch());
        for i in [4, 5] {
            let order: Vec<String> =
                heard.0[i].iter().map(|(_, payload)| String::from_utf8_lossy(payload).into_owned()).collect();
            assert_eq!(order, Vec::from_iter((0..100).map(|n| n.to_string())), "seed {seed}, machine {i}");
        }
        // Afterwards nothing waits.
        let at = fleet.now();
        fire(&mut fleet, 0, "next", &mut heard).expect("room");
        fleet.run(SECOND / 2, &mut heard.watch());
        assert!(heard.reached("next") == 6 && fleet.now() - at < SECOND, "seed {seed}");
    }
}

/// A machine that ends in good order, or is told to hand out what it holds, keeps nothing back.
#[test]
fn who_ends_hands_out_what_waits_for_later_values() {
    for leaves in [true, false] {
        let mut fleet = off(1, 1, Size::Server, None);
        fleet.boot(0, &[], false, &mut quiet());
        fleet.run(5 * SECOND, &mut quiet());
        let mut heard = Heard::new(1);
        set(&mut fleet, 0, "deploy", "v1", &mut heard).expect("room");
        fleet.run(SECOND / 10, &mut heard.watch());
        assert_eq!(heard.count(0, "v1"), 0, "it waits a second");
        fleet.with(0, &mut heard.watch(), |node, now| {
            if leaves {
                node.leave(now).expect("once");
            } else {
                node.end_windows(now);
            }
        });
        assert_eq!(heard.count(0, "v1"), 1, "leaves: {leaves}");
    }
}

/// Events come from everywhere, one of the origins being who ends now and then.
#[test]
fn whoever_ends_in_the_midst_of_events_has_had_each_once() {
    for seed in 0..8 {
        let mut fleet = fleet(seed, 6, Size::Server, None);
        let mut heard = Heard::new(6);
        fleet.network.latency = 20_000;
        for round in 0..6 {
            for n in 0..10 {
                for i in 0..6 {
                    if fleet.is_on(i) {
                        fire(&mut fleet, i, &format!("{round}-{n}-{i}"), &mut heard).expect("room");
                    }
                }
                fleet.run(SECOND / 30, &mut heard.watch());
            }
            // What it has just fired may have come to nobody yet.
            fleet.run(SECOND / 10, &mut heard.watch());
            fleet.crash(4);
            flow(&mut fleet, 1, 5, &format!("away-{round}"), &mut heard).expect("room");
            fleet.boot_again(4, &[0, 5], &mut heard.watch());
            fleet.run(SECOND, &mut heard.watch());
        }
        news_reach_all(&mut fleet, &mut heard);
        for round in 0..6 {
            all_once(&heard, 4, &format!("away-{round}"), 5);
            for n in 0..10 {
                let all = (0..6).map(|i| heard.reached(&format!("{round}-{n}-{i}")));
                let on: Vec<usize> = all.filter(|reached| *reached > 0).collect();
                assert!(on.iter().all(|reached| *reached == 6), "round {round}, {n}: {on:?}");
            }
        }
    }
}

/// What waited in its name's window when the machine ended is handed out by its next life; what had been is not, and no older value
/// follows.
#[test]
fn last_values_are_handed_out_once() {
    for seed in 0..8 {
        let mut fleet = fleet(seed, 5, Size::Server, None);
        let mut heard = Heard::new(5);
        for name in ["told", "replaced", "held"] {
            set(&mut fleet, 1, name, "1", &mut heard).expect("room");
            fleet.run(10 * SECOND, &mut heard.watch());
        }
        set(&mut fleet, 1, "held", "2", &mut heard).expect("room");
        fleet.run(SECOND / 2, &mut heard.watch());
        fleet.crash(3);
        set(&mut fleet, 2, "replaced", "2", &mut heard).expect("room");
        flow(&mut fleet, 0, 30, "others", &mut heard).expect("room");
        fleet.run(60 * SECOND, &mut heard.watch());
        fleet.boot_again(3, &[0], &mut heard.watch());
        news_reach_all(&mut fleet, &mut heard);
        let had = |name: &str| {
            let of_it = heard.0[3].iter().filter(|(heard, _)| heard == name.as_bytes());
            of_it.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(had("told"), ["1"]);
        assert_eq!(
            (had("replaced"), had("held")),
            (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()])
        );
    }
}

/// The power is back everywhere: the fleet goes on, and its clocks as well.
#[test]
fn a_fleet_that_restarts_as_a_whole_goes_on() {
    for seed in 0..8 {
        let mut fleet = fleet(seed, 6, Size::Server, None);
        let mut heard = Heard::new(6);
        flow(&mut fleet, 2, 40, "old", &mut heard).expect("room");
        set(&mut fleet, 1, "value", "1", &mut heard).expect("room");
        fleet.run(10 * SECOND, &mut heard.watch());
        let times: Vec<u64> = (0..6).map(|i| fleet.node(i).unwrap().gauges().event_time).collect();
        (0..6).for_each(|i| fleet.crash(i));
        fleet.run(60 * SECOND, &mut quiet());
        for i in 0..6 {
            let others: Vec<usize> = (0..6).filter(|other| *other != i).collect();
            fleet.boot_again(i, &others, &mut heard.watch());
        }
        news_reach_all(&mut fleet, &mut heard);
        for (i, time) in times.into_iter().enumerate() {
            all_once(&heard, i, "old", 40);
            assert_eq!(heard.0[i].iter().filter(|(name, _)| name == b"value").count(), 1);
            assert!(fleet.node(i).unwrap().gauges().event_time > time, "clocks never go back");
        }
    }
}

/// The machine is started in another fleet: what that has fired before is not for it, and what its own has does not cross.
#[test]
fn whoever_finds_another_fleet_takes_up_with_what_is_fired_from_now_on() {
    for seed in 0..8 {
        let mut fleet = off(seed, 8, Size::Server, None);
        for i in 0..8 {
            fleet.boot(i, &[i / 4 * 4], false, &mut quiet());
        }
        fleet.run(120 * SECOND, &mut quiet());
        let mut heard = Heard::new(8);
        flow(&mut fleet, 1, 20, "left", &mut heard).expect("room");
        flow(&mut fleet, 6, 30, "right", &mut heard).expect("room");
        fleet.crash(1);
        fleet.run(10 * SECOND, &mut heard.watch());
        (0..4).for_each(|i| fleet.crash(i));
        fleet.boot_again(1, &[5], &mut heard.watch());
        fleet.run(60 * SECOND, &mut heard.watch());
        all_once(&heard, 1, "left", 20);
        for n in 0..30 {
            assert_eq!(heard.count(1, &format!("right-{n}")), 0);
        }
        fire(&mut fleet, 7, "now", &mut heard).expect("accepted");
        fire(&mut fleet, 1, "as well", &mut heard).expect("accepted");
        fleet.run(10 * SECOND, &mut heard.watch());
        assert_eq!((heard.reached("now"), heard.reached("as well")), (5, 5));
    }
}

/// Of many values one is handed out; the others are not known again, and are no gap.
#[test]
fn what_was_superseded_is_nothing_that_anybody_has_missed() {
    for seed in 0..6 {
        let mut fleet = fleet(seed, 4, Size::Server, None);
        let mut heard = Heard::new(4);
        for round in 0..12 {
            for n in 0..60 {
                set(&mut fleet, n % 3, "value", &format!("{round}-{n}"), &mut heard).expect("room");
                fire(&mut fleet, n % 3, &format!("{round}-{n}"), &mut heard).expect("room");
                fleet.run(SECOND / 200, &mut heard.watch());
            }
            fleet.crash(3);
            fleet.run(SECOND, &mut heard.watch());
            fleet.boot_again(3, &[0], &mut heard.watch());
            fleet.run(20 * SECOND, &mut heard.watch());
            for i in 0..4 {
                assert_eq!(heard.last(i, "value"), format!("{round}-59"), "at {i}");
                let stats = fleet.node(i).expect("on").stats();
                assert_eq!((stats.event_gaps, stats.pull_miss), (0, 0), "round {round}, at {i}");
            }
        }
    }
}

/// Alone in a fleet that it remembers, for longer than fleets need to grow up: whoever takes it in stays where he is, and has what it fires.
#[test]
fn who_comes_back_alone_brings_nobody_into_the_fleet_of_its_former_life() {
    for seed in 0..12 {
        let mut fleet = off(seed, 7, Size::Server, None);
        (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        (3..7).for_each(|i| fleet.boot(i, &[3], false, &mut quiet()));
        fleet.run(120 * SECOND, &mut quiet());
        let mut heard = Heard::new(7);
        flow(&mut fleet, 1, 20, "former", &mut heard).expect("room");
        let number = |fleet: &Fleet| fleet.node(5).unwrap().gauges().fleet;
        let before = number(&fleet);
        (0..3).for_each(|i| fleet.crash(i));
        fleet.boot_again(1, &[], &mut heard.watch());
        fleet.run(120 * SECOND, &mut heard.watch());
        let to = fleet.address(4);
        fleet.with(1, &mut heard.watch(), |node, now| node.join(now, to, false)).unwrap().unwrap();
        fleet.run(30 * SECOND, &mut heard.watch());
        assert_eq!(number(&fleet), before, "seed {seed}");
        all_once(&heard, 1, "former", 20);
        for i in [1, 3, 6] {
            fire(&mut fleet, i, &format!("new-{i}"), &mut heard).expect("accepted");
            fleet.run(5 * SECOND, &mut heard.watch());
            assert_eq!(heard.reached(&format!("new-{i}")), 5, "seed {seed}, what {i} fires");
        }
        assert_eq!(fleet.node(5).unwrap().stats().event_gaps, 0);
    }
}

/// Two that come back alone, of two fleets, and find each other: one of both yields.
#[test]
fn two_that_come_back_alone_become_one_fleet() {
    for seed in 0..12 {
        let mut fleet = off(seed, 4, Size::Server, None);
        (0..2).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        (2..4).for_each(|i| fleet.boot(i, &[2], false, &mut quiet()));
        fleet.run(120 * SECOND, &mut quiet());
        (0..4).for_each(|i| fleet.crash(i));
        let mut heard = Heard::new(4);
        fleet.boot_again(1, &[], &mut heard.watch());
        fleet.boot_again(3, &[], &mut heard.watch());
        fleet.run(120 * SECOND, &mut heard.watch());
        let to = fleet.address(3);
        fleet.with(1, &mut heard.watch(), |node, now| node.join(now, to, false)).unwrap().unwrap();
        fleet.run(30 * SECOND, &mut heard.watch());
        for i in [1, 3] {
            fire(&mut fleet, i, &format!("new-{i}"), &mut heard).expect("accepted");
            fleet.run(5 * SECOND, &mut heard.watch());
            assert_eq!(heard.reached(&format!("new-{i}")), 2, "seed {seed}, what {i} fires");
        }
    }
}
