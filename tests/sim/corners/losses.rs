//! What is accepted reaches everybody who can have it, or a counter says where it did not.

use std::ops::Range;

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::judged::Judged;
use fleet_tests::network::muted;
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Duration};

use crate::{Heard, SECOND, fire, fleet, flow, off, quiet};

/// A seed that is back without a memory fires before it has met anybody: its first time is long below others' floors.
#[test]
fn a_node_that_fires_right_after_its_restart_is_heard() {
    proves(Rule::Restamp, 3, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        let mut heard = Heard::new(6);
        flow(&mut fleet, 0, 300, "before", &mut heard)?;
        fleet.run(10 * SECOND, &mut heard.watch());
        fleet.crash(0);
        fleet.run(5 * SECOND, &mut heard.watch());
        fleet.boot(0, &[], false, &mut heard.watch());
        fire(&mut fleet, 0, "at once", &mut heard)?;
        fleet.run(60 * SECOND, &mut heard.watch());
        hold(heard.reached("at once") == 6, &format!("{} of 6 have it", heard.reached("at once")))
    });
}

/// Cut off alone for 200 s, with an event each five seconds: the newest that it has places for come to all when it is back,
/// and the others are counted.
fn cut_off(seed: u64, without: Option<Rule>, size: Size, places: usize) -> Result<(), String> {
    let mut fleet = fleet(seed, 6, size, without);
    let mut heard = Heard::new(6);
    fleet.network.side[4] = 1;
    let mut accepted = Vec::new();
    for n in 0..40 {
        if fire(&mut fleet, 4, &format!("cut-{n}"), &mut heard).is_ok() {
            accepted.push(n);
        }
        fleet.run(5 * SECOND, &mut heard.watch());
    }
    fleet.network.heal();
    fleet.run(120 * SECOND, &mut heard.watch());
    hold(fleet.agreed(), "it is not back")?;
    let reached = |n: &usize| heard.reached(&format!("cut-{n}")) == 6;
    let lost: Vec<usize> = accepted.iter().copied().filter(|n| !reached(n)).collect();
    let counted = fleet.node(4).map_or(0, |node| node.stats().own_expired) as usize;
    hold(lost.len() <= counted, &format!("{lost:?} are lost, {counted} counted"))?;
    let newest = &accepted[accepted.len() - places..];
    hold(newest.iter().all(reached), &format!("{lost:?} are lost, some of the newest {places} among them"))
}

#[test]
fn a_board_that_was_cut_off_brings_its_newest_events_along() {
    proves(Rule::SendAgain, 3, |seed, without| cut_off(seed, without, Size::Tiny, 11));
}

#[test]
fn a_node_that_was_cut_off_brings_its_newest_events_along() {
    proves(Rule::SendAgain, 3, |seed, without| cut_off(seed, without, Size::Small, 23));
}

/// One event on one side of a cut, 300 on the other: it is below everybody's floor when they meet.
#[test]
fn what_a_floor_has_passed_over_is_counted_at_both_ends() {
    proves(Rule::History, 3, |seed, without| {
        let mut fleet = fleet(seed, 4, Size::Small, without);
        let mut heard = Heard::new(4);
        flow(&mut fleet, 0, 10, "before", &mut heard)?;
        fleet.network.side[2..].fill(1);
        fleet.run(60 * SECOND, &mut heard.watch());
        fire(&mut fleet, 0, "alone", &mut heard)?;
        flow(&mut fleet, 2, 300, "flood", &mut heard)?;
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut heard.watch());
        hold(heard.reached("alone") == 2, "there is nothing to count")?;
        let gaps: Vec<u64> =
            (0..4).map(|i| fleet.node(i).map_or(0, |node| node.stats().event_gaps)).collect();
        hold(gaps.iter().all(|count| *count > 0), &format!("gaps: {gaps:?}"))
    });
}

/// Who has missed nothing counts nothing.
#[test]
fn a_fleet_without_a_gap_counts_none() {
    let mut fleet = fleet(1, 10, Size::Small, None);
    let mut heard = Heard::new(10);
    fleet.network.loss = 0.2;
    flow(&mut fleet, 0, 600, "all", &mut heard).expect("room");
    fleet.network.heal();
    fleet.run(60 * SECOND, &mut heard.watch());
    assert_eq!(heard.reached("all-599"), 10);
    assert_eq!(fleet.total(|stats| stats.event_gaps), 0);
}

/// 500 events at once from each of twenty nodes, over long links.
fn burst(seed: u64, without: Option<Rule>, config: Config, latency: u64) -> Result<(), String> {
    let mut fleet = Judged::new(seed, 20, Size::Server, config);
    fleet.fleet.without = without;
    fleet.assemble();
    (fleet.fleet.network.latency, fleet.fleet.network.jitter) = (latency, latency / 10);
    // Until they have noticed.
    fleet.run(60 * SECOND);
    let mut left = [500; 20];
    let (mut tried, mut serials) = (0, Vec::new());
    for _ in 0..3_000 {
        for (i, left) in left.iter_mut().enumerate() {
            while *left > 0 {
                // The judge gives a serial number to each try.
                tried += 1;
                if !matches!(fleet.fire(i, "e", false), Some(Ok(_))) {
                    break;
                }
                serials.push(tried);
                *left -= 1;
            }
        }
        fleet.run(SECOND / 100);
    }
    hold(left == [0; 20], "they were not all accepted within half a minute")?;
    fleet.run(30 * SECOND);
    let missing: usize = serials.iter().map(|serial| 20 - fleet.judge.reached(20, *serial)).sum();
    hold(missing == 0, &format!("{missing} of 200,000 deliveries are missing"))
}

#[test]
fn a_burst_through_many_origins_over_links_of_50_ms_loses_nothing() {
    proves(Rule::RoundTrip, 1, |seed, without| burst(seed, without, Config::LAN, 50_000));
}

#[test]
fn nor_does_it_over_links_of_200_ms_with_wan_timing() {
    burst(1, None, Config::WAN, 200_000).expect("all arrive");
}

/// A small machine was away for 200 events, of which 32 payloads are held: the others are lost to it, counted once, and not
/// asked for again.
#[test]
fn payloads_that_nobody_holds_are_not_asked_for_for_ever() {
    proves(Rule::Lost, 2, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        let mut heard = Heard::new(6);
        fleet.network.side[5] = 1;
        flow(&mut fleet, 0, 200, "missed", &mut heard)?;
        fleet.network.heal();
        fleet.run(60 * SECOND, &mut heard.watch());
        let missed = |heard: &Heard| (0..200).filter(|n| heard.count(5, &format!("missed-{n}")) == 0).count();
        let sent = fleet.machines[5].sent.0;
        for n in 0..100 {
            fire(&mut fleet, 1, &format!("later-{n}"), &mut heard)?;
            fleet.run(3 * SECOND, &mut heard.watch());
        }
        let rate = (fleet.machines[5].sent.0 - sent) / 300;
        let stats = fleet.node(5).map(|node| *node.stats()).unwrap_or_default();
        let lost = missed(&heard) as u64;
        hold(rate < 1_000, &format!("it sends {rate} bytes/s; {lost} lost, {} counted", stats.pull_miss))?;
        let text = format!("{lost} events lost, {} counted", stats.pull_miss);
        hold(lost > 0 && (lost..2 * lost).contains(&stats.pull_miss), &text)
    });
}

/// Five servers among small machines hold the payloads that one has missed, which all other small ones have had and given
/// up for newer ones: it finds them, whether it has joined through one of the servers or not, and over long links as well.
#[test]
fn payloads_that_few_hold_are_found() {
    for (seed, servers) in (1..=6).flat_map(|seed| [(seed, 0..5), (seed, 20..25)]) {
        few_hold(seed, servers, 500);
    }
    (1..=6).for_each(|seed| few_hold(seed, 17..18, 150_000));
}

fn few_hold(seed: u64, servers: Range<usize>, latency: u64) {
    let mut fleet = off(seed, 30, Size::Small, None);
    servers.clone().for_each(|i| fleet.resize(i, Size::Server));
    fleet.assemble(&mut quiet());
    fleet.run(20 * SECOND, &mut quiet());
    let mut heard = Heard::new(30);
    (fleet.network.latency, fleet.network.jitter) = (latency, latency / 10);
    fleet.run(if latency < 10_000 { 0 } else { 60 * SECOND }, &mut quiet());
    fleet.network.side[29] = 1;
    for n in 0..100 {
        fire(&mut fleet, 1 + n % 28, &format!("missed-{n}"), &mut heard).expect("room");
        fleet.run(SECOND / 40, &mut heard.watch());
    }
    fleet.network.heal();
    fleet.run(120 * SECOND, &mut heard.watch());
    let missed: Vec<_> = (0..100).filter(|n| heard.reached(&format!("missed-{n}")) < 30).collect();
    assert!(missed.is_empty(), "seed {seed}, servers {servers:?}: {missed:?} have not reached all");
}

/// The beat of a burst follows the links; with short ones it stays as quick as it was.
#[test]
fn a_burst_over_short_links_is_not_slowed_down() {
    let mut fleet = fleet(1, 20, Size::Server, None);
    let began = fleet.now();
    let mut left = 2_000;
    while left > 0 {
        fleet.with(3, &mut quiet(), |node, now| {
            while left > 0 && node.user_event(now, b"e", b"", false).is_ok() {
                left -= 1;
            }
        });
        fleet.run(SECOND / 100, &mut quiet());
    }
    let took = Duration::from_micros(fleet.now() - began);
    assert!(took <= Duration::from_millis(600), "2,000 events accepted after {took:?} of virtual time");
}

/// A device's datagrams get lost for two seconds, just when it has missed an event; meanwhile so many more are fired. Whether it
/// has been handed the event or has counted it, and how often it compares events in an hour of rest.
fn missed_before_a_burst(burst: usize) -> (bool, u64) {
    let mut fleet = off(3, 3, Size::Server, None);
    fleet.resize(2, Size::Tiny);
    fleet.assemble(&mut quiet());
    fleet.run(20 * SECOND, &mut quiet());
    let mut heard = Heard::new(3);
    fleet.network.side[2] = 1;
    fleet.run(SECOND / 10, &mut heard.watch());
    fire(&mut fleet, 1, "missed", &mut heard).expect("room");
    fleet.run(3 * SECOND / 2, &mut heard.watch());
    fleet.network.heal();
    fleet.network.muted[2] = muted::SENDING;
    for n in 0..burst {
        fire(&mut fleet, 0, &format!("more-{n}"), &mut heard).expect("room");
        fleet.run(SECOND / 40, &mut heard.watch());
    }
    fleet.network.heal();
    fleet.run(600 * SECOND, &mut heard.watch());
    let syncs = |fleet: &Fleet| fleet.node(2).map_or(0, |node| node.stats().event_syncs);
    let before = syncs(&fleet);
    fleet.run(3_600 * SECOND, &mut heard.watch());
    let counted = fleet.node(2).map_or(0, |node| {
        let stats = node.stats();
        stats.too_old + stats.event_gaps + stats.pull_miss
    });
    (heard.count(2, "missed") == 1 || counted > 0, syncs(&fleet) - before)
}

/// As many events as a device remembers, or more, have overtaken the one that it has missed: its digest is everybody's.
#[test]
fn an_event_that_others_have_overtaken_is_counted() {
    assert_eq!(missed_before_a_burst(80), (true, 0));
    assert_eq!(missed_before_a_burst(64), (true, 0));
}

/// Two fleets merge while one of them fires: what that one has accepted comes to all of it.
#[test]
fn a_fleet_that_yields_loses_nothing_of_its_own() {
    proves(Rule::Grace, 3, |seed, without| {
        let mut fleet = off(seed, 8, Size::Server, without);
        fleet.network.latency = 20_000;
        (0..4).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(60 * SECOND, &mut quiet());
        (4..8).for_each(|i| fleet.boot(i, &[4], false, &mut quiet()));
        fleet.run(30 * SECOND, &mut quiet());
        let mut heard = Heard::new(8);
        for n in 0..500 {
            fire(&mut fleet, 4 + n % 4, &format!("{n}"), &mut heard)?;
            if n == 100 {
                let other = fleet.address(1);
                fleet.with(5, &mut heard.watch(), |node, now| node.join(now, other, false));
            }
            fleet.run(SECOND / 25, &mut heard.watch());
        }
        fleet.run(120 * SECOND, &mut heard.watch());
        let missed = |i: usize| (0..500).filter(|n| heard.count(i, &format!("{n}")) == 0).count();
        let missed: Vec<usize> = (4..8).map(missed).collect();
        hold(missed == [0; 4], &format!("missed: {missed:?}"))
    });
}

/// Each of eleven was cut off while as many events were fired as a device remembers: each has a history of its own. In an hour of
/// rest nothing more is counted.
#[test]
fn gaps_are_not_counted_again_at_rest() {
    let mut fleet = off(1, 12, Size::Small, None);
    (0..12).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(30 * SECOND, &mut quiet());
    let mut heard = Heard::new(12);
    for i in 1..12 {
        fleet.network.side[i] = 1;
        fleet.run(40 * SECOND, &mut quiet());
        flow(&mut fleet, 0, 300, &format!("{i}"), &mut heard).expect("room");
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut quiet());
    }
    fleet.run(3_600 * SECOND, &mut quiet());
    let before = fleet.total(|stats| stats.event_gaps);
    fleet.run(3_600 * SECOND, &mut quiet());
    assert_eq!(fleet.total(|stats| stats.event_gaps) - before, 0, "in an hour of rest, after {before}");
}
