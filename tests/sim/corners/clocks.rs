//! Whose word moves a clock, or a boot number, and how far.

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{accusation, alive, body, datagram, fleet as in_fleet, kind, number, read};
use serf_nostd::rules::Rule;
use serf_nostd::{LTIME_JUMP, LTIME_LIMIT, Node};

use crate::{Heard, SECOND, fire, fleet, off, quiet};

/// A stranger at machine 4's address pings a lone node, is asked who it is, and says that its clocks are at the end of time.
fn poison(fleet: &mut Fleet) -> Result<(), String> {
    fleet.recording = Some(Vec::new());
    let ping = body(kind::PING).int(1).text(&Fleet::name(0)).text("stranger").raw(&[0]).end();
    // As long as a ping is: what it draws is no longer.
    fleet.inject(4, 0, datagram(&[body(kind::PADDING).raw(&[0; 60]).end(), ping]));
    // What is far ahead it is asked twice.
    answer_from_the_end_of_time(fleet)?;
    let _ = answer_from_the_end_of_time(fleet);
    fleet.run(SECOND, &mut quiet());
    Ok(())
}

/// What machine 0 asks machine 4 since its datagrams are recorded is answered so, once.
fn answer_from_the_end_of_time(fleet: &mut Fleet) -> Result<(), String> {
    fleet.run(SECOND / 10, &mut quiet());
    let sent = fleet.recording.replace(Vec::new()).unwrap_or_default();
    let asked = sent.iter().flat_map(|(_, _, bytes)| read(bytes)).find(|(kind, _)| *kind == kind::JOIN);
    let (_, join) = asked.ok_or("the stranger is not asked")?;
    let clocks = body(kind::JOIN_ANSWER).int(number(&join)).int(u64::MAX).int(u64::MAX).int(u64::MAX).end();
    let claim = body(kind::FLEET).int(1).int(u64::MAX).int(3_600).end();
    fleet.inject(4, 0, datagram(&[claim, clocks]));
    Ok(())
}

#[test]
fn a_stranger_s_word_does_not_part_a_lone_node_from_its_fleet() {
    proves(Rule::NamedSeeds, 3, |seed, without| {
        let mut fleet = off(seed, 5, Size::Small, without);
        fleet.boot(0, &[], false, &mut quiet());
        fleet.run(SECOND, &mut quiet());
        poison(&mut fleet)?;
        fleet.boot(1, &[0], false, &mut quiet());
        fleet.boot(2, &[], false, &mut quiet());
        fleet.boot(3, &[2], false, &mut quiet());
        fleet.run(20 * SECOND, &mut quiet());
        let seed_address = fleet.address(0);
        fleet.with(2, &mut quiet(), |node, now| node.join(now, seed_address, false));
        fleet.run(60 * SECOND, &mut quiet());
        hold(fleet.agreed(), "they do not see each other")?;
        let reached = each_fires(&mut fleet, 4)?;
        hold(reached == [4; 4], &format!("of four machines {reached:?} have the events"))
    });
}

/// The first machines fire one after the other: how many machines each event has reached.
fn each_fires(fleet: &mut Fleet, machines: usize) -> Result<Vec<usize>, String> {
    let mut heard = Heard::new(fleet.machines.len());
    for i in 0..machines {
        fire(fleet, i, &format!("from-{i}"), &mut heard)?;
        fleet.run(10 * SECOND, &mut heard.watch());
    }
    Ok((0..machines).map(|i| heard.reached(&format!("from-{i}"))).collect())
}

fn event_time(fleet: &Fleet, i: usize) -> u64 {
    fleet.node(i).map_or(0, |node| node.gauges().event_time)
}

/// One datagram a second for a minute, full of times each of which is just within reach of the one before.
#[test]
fn a_datagram_full_of_times_moves_a_clock_no_further_than_one() {
    proves(Rule::ClockPace, 3, |seed, without| {
        let mut fleet = fleet(seed, 20, Size::Small, without);
        let mut heard = Heard::new(20);
        for second in 0..60 {
            let clock = event_time(&fleet, 3);
            let times = (1..60).map(|step| (clock + step * (LTIME_JUMP - 1)).min(LTIME_LIMIT - 1));
            let summaries: Vec<Vec<u8>> = times.map(summary_of).collect();
            fleet.inject(5, 3, datagram(&summaries));
            for i in 0..6 {
                fire(&mut fleet, 7 + i, &format!("{second}-{i}"), &mut heard)?;
                fleet.run(SECOND / 6, &mut heard.watch());
            }
        }
        fleet.run(30 * SECOND, &mut heard.watch());
        let missing = (0..360).filter(|n| heard.count(3, &format!("{}-{}", n / 6, n % 6)) != 1).count();
        hold(missing == 0, &format!("the target has missed {missing} of 360 events"))?;
        let spread = (0..20).map(|i| event_time(&fleet, i));
        let (low, high) = (spread.clone().min(), spread.max());
        hold(low == high, &format!("clocks from {low:?} to {high:?}"))
    });
}

fn summary_of(event_clock: u64) -> Vec<u8> {
    let body = body(kind::SUMMARY).int(1).int(event_clock).int(1).raw(&[1]).int(0xdead).int(0xbeef);
    body.int(0).raw(&[0]).end()
}

/// A boot number as far ahead as others would follow, then a verdict against it.
#[test]
fn a_forged_boot_does_not_keep_a_living_node_failed() {
    proves(Rule::OwnWord, 3, |seed, without| {
        let mut fleet = off(seed, 6, Size::Small, without);
        fleet.machines[3].instance = Some(0);
        fleet.assemble(&mut quiet());
        fleet.run(20 * SECOND, &mut quiet());
        fleet.inject(1, 3, datagram(&[alive(&Fleet::name(3), 3, 1, (1 << 16) + (1 << 46))]));
        fleet.run(SECOND / 100, &mut quiet());
        fleet.inject(2, 1, datagram(&[accusation(kind::DEAD, &Fleet::name(3), 1, &Fleet::name(2))]));
        fleet.run(120 * SECOND, &mut quiet());
        hold(fleet.agreed(), "two minutes later it is not alive to all")
    });
}

/// Its machine's clock was set years ahead, and it has no seeds to ask.
#[test]
fn a_boot_number_that_jumps_far_ahead_is_believed_of_the_node_itself() {
    proves(Rule::OwnWord, 3, |seed, without| {
        let mut fleet = fleet(seed, 6, Size::Small, without);
        fleet.crash(4);
        fleet.run(60 * SECOND, &mut quiet());
        fleet.machines[4].boots = 1 << 41;
        fleet.boot(4, &[], false, &mut quiet());
        fleet.run(240 * SECOND, &mut quiet());
        hold(fleet.agreed(), "four minutes later it is not alive to all")
    });
}

/// Who says that it is in a fleet whose clock is out of reach is not followed; the true one is, when it comes.
#[test]
fn a_lone_node_can_be_used_whatever_strangers_say() {
    let mut fleet = off(1, 5, Size::Small, None);
    fleet.boot(0, &[], false, &mut quiet());
    fleet.run(SECOND, &mut quiet());
    poison(&mut fleet).expect("it asks");
    let mut heard = Heard::new(5);
    fire(&mut fleet, 0, "alone", &mut heard).expect("its own handlers go on working");
    assert_eq!(heard.count(0, "alone"), 1);
    assert!(fleet.node(0).is_some_and(|node: &Node| node.gauges().fleet == 0));
    fleet.inject(4, 0, datagram(&[in_fleet(7)]));
    fleet.run(SECOND, &mut quiet());
    assert!(fleet.node(0).is_some_and(|node| node.gauges().fleet == 0), "nobody asked for that");
}

/// A stranger answers in a seed's place, once, before the seed does.
#[test]
fn a_false_answer_in_a_seed_s_place_leads_no_clock_away() {
    proves(Rule::ToldTwice, 3, |seed, without| {
        let mut fleet = off(seed, 5, Size::Small, without);
        (1..5).for_each(|i| fleet.boot(i, &[4], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        fleet.network.side[0] = 1;
        fleet.recording = Some(Vec::new());
        fleet.boot(0, &[4], false, &mut quiet());
        answer_from_the_end_of_time(&mut fleet)?;
        fleet.network.heal();
        fleet.run(120 * SECOND, &mut quiet());
        let reached = each_fires(&mut fleet, 5)?;
        hold(reached == [5; 5], &format!("of five machines {reached:?} have the events"))
    });
}

/// A seed that lies, and a board that remembers the floor that it got there: it starts again.
#[test]
fn a_seed_s_word_keeps_nobody_from_starting_again() -> Result<(), String> {
    let mut fleet = off(1, 5, Size::Small, None);
    fleet.recording = Some(Vec::new());
    fleet.boot(0, &[4], false, &mut quiet());
    for _ in 0..2 {
        answer_from_the_end_of_time(&mut fleet)?;
    }
    fleet.run(SECOND, &mut quiet());
    let before = event_time(&fleet, 0);
    hold(before > LTIME_JUMP, "the seed is believed")?;
    for _ in 0..10 {
        fire(&mut fleet, 0, "more", &mut Heard::new(5))?;
        fleet.run(SECOND, &mut quiet());
    }
    fleet.crash(0);
    // It would panic.
    fleet.boot(0, &[], true, &mut quiet());
    hold(event_time(&fleet, 0) >= before, "its floor is what it remembers")
}
