//! Nothing from before the join is handed out, whichever way and whenever nodes meet.

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{addr, body, kind, padded, read};
use serf_nostd::rules::Rule;

use crate::{Heard, SECOND, fire, fleet, flow, off, quiet, set};

/// How many old events these machines have been handed since their restart.
fn old(heard: &Heard, machines: &[usize]) -> usize {
    machines.iter().map(|i| (0..20).filter(|n| heard.count(*i, &format!("old-{n}")) > 0).count()).sum()
}

/// After twenty events, a while ago.
fn with_a_past(seed: u64, without: Option<Rule>) -> Result<Fleet, String> {
    let mut fleet = fleet(seed, 8, Size::Server, without);
    flow(&mut fleet, 2, 20, "old", &mut Heard::new(8))?;
    fleet.run(30 * SECOND, &mut quiet());
    Ok(fleet)
}

fn news_reach_all(fleet: &mut Fleet, heard: &mut Heard) -> Result<(), String> {
    fleet.run(30 * SECOND, &mut heard.watch());
    hold(fleet.agreed(), "they do not see each other")?;
    let machines = fleet.machines.len();
    for i in [0, machines - 1] {
        fire(fleet, i, &format!("new-{i}"), heard)?;
        fleet.run(5 * SECOND, &mut heard.watch());
        let reached = heard.reached(&format!("new-{i}"));
        hold(reached == machines, &format!("{reached} of {machines} have what is fired now"))?;
    }
    Ok(())
}

/// All seeds restart, each naming the others: the first answer comes from one that knows no more than the asker.
fn seeds_together(seed: u64, without: Option<Rule>, seeds: &[usize]) -> Result<(), String> {
    let mut fleet = with_a_past(seed, without)?;
    let mut heard = Heard::new(8);
    seeds.iter().for_each(|i| fleet.crash(*i));
    for i in seeds {
        let others: Vec<usize> = seeds.iter().copied().filter(|other| other != i).collect();
        fleet.boot(*i, &others, false, &mut heard.watch());
    }
    news_reach_all(&mut fleet, &mut heard)?;
    hold(old(&heard, seeds) == 0, &format!("{} old events are handed out", old(&heard, seeds)))
}

#[test]
fn by_seeds_that_restart_together() {
    proves(Rule::FirstContact, 4, |seed, without| seeds_together(seed, without, &[5, 6, 7]));
}

#[test]
fn by_all_but_one_that_restart_together() {
    proves(Rule::FirstContact, 4, |seed, without| seeds_together(seed, without, &[1, 2, 3, 4, 5, 6, 7]));
}

#[test]
fn by_a_node_without_seeds_that_is_back_at_once() {
    proves(Rule::FirstContact, 6, |seed, without| {
        let mut fleet = with_a_past(seed, without)?;
        let mut heard = Heard::new(8);
        fleet.crash(4);
        fleet.run(SECOND / 5, &mut quiet());
        fleet.boot(4, &[], false, &mut heard.watch());
        news_reach_all(&mut fleet, &mut heard)?;
        hold(old(&heard, &[4]) == 0, &format!("{} old events are handed out", old(&heard, &[4])))
    });
}

/// Its only seed, or the first of two, is another address of its own: it answers itself, and is then found by the others, or
/// finds them.
#[test]
fn by_a_node_that_is_its_own_seed() {
    proves(Rule::FirstContact, 4, |seed, without| {
        for others in [&[][..], &[6]] {
            let mut fleet = with_a_past(seed, without)?;
            let mut heard = Heard::new(8);
            let alias = addr(1_000);
            fleet.alias(4, alias);
            fleet.crash(4);
            fleet.run(SECOND / 5, &mut quiet());
            let others = others.iter().map(|other| fleet.address(*other));
            let seeds: Vec<_> = std::iter::once(alias).chain(others).collect();
            fleet.boot_at(4, &seeds, 0, &mut heard.watch());
            news_reach_all(&mut fleet, &mut heard)?;
            hold(old(&heard, &[4]) == 0, &format!("{} old events are handed out", old(&heard, &[4])))?;
        }
        Ok(())
    });
}

/// Two fleets, each with a past, of which one node joins the other: what either fired before stays where it was.
#[test]
fn by_two_fleets_that_merge() {
    proves(Rule::FirstContact, 4, |seed, without| {
        let mut fleet = off(seed, 8, Size::Server, without);
        for i in 0..8 {
            fleet.boot(i, &[i / 4 * 4], false, &mut quiet());
        }
        fleet.run(20 * SECOND, &mut quiet());
        let mut heard = Heard::new(8);
        flow(&mut fleet, 1, 20, "left", &mut heard)?;
        flow(&mut fleet, 6, 10, "right", &mut heard)?;
        fleet.run(600 * SECOND, &mut heard.watch());
        let seed_address = fleet.address(5);
        fleet.with(2, &mut heard.watch(), |node, now| node.join(now, seed_address, false));
        news_reach_all(&mut fleet, &mut heard)?;
        let crossed = |label: &str, others: std::ops::Range<usize>| {
            let there = |i: usize| (0..20).filter(|n| heard.count(i, &format!("{label}-{n}")) > 0).count();
            others.map(there).sum::<usize>()
        };
        let crossed = (crossed("left", 4..8), crossed("right", 0..4));
        hold(crossed == (0, 0), &format!("{crossed:?} old events have crossed"))
    });
}

/// A joiner that asks for a replay gets what is remembered.
#[test]
fn unless_they_are_asked_for() {
    let mut fleet = with_a_past(1, None).expect("room");
    fleet.crash(7);
    fleet.config.replay = true;
    let mut heard = Heard::new(8);
    fleet.boot(7, &[0], false, &mut heard.watch());
    fleet.run(30 * SECOND, &mut heard.watch());
    assert_eq!(old(&heard, &[7]), 20);
}

/// The power is back: machines that name each other as seeds start at once, and know of no fleet.
fn power_is_back(seed: u64, machines: usize, latency: u64) -> Fleet {
    let mut fleet = off(seed, machines, Size::Server, None);
    (fleet.network.latency, fleet.network.jitter) = (latency, latency / 10);
    let seeds: Vec<usize> = (0..machines).collect();
    for i in 0..machines {
        fleet.boot(i, &seeds, false, &mut quiet());
        fleet.run(SECOND / 5, &mut quiet());
    }
    fleet.run(20 * SECOND, &mut quiet());
    fleet
}

#[test]
fn those_who_start_together_are_one_fleet() {
    for seed in 0..10 {
        let mut fleet = power_is_back(seed, 3, 2_000);
        let mut heard = Heard::new(3);
        fire(&mut fleet, 0, "first", &mut heard).expect("it has started");
        set(&mut fleet, 1, "deploy", "1", &mut heard).expect("it has started");
        fleet.run(20 * SECOND, &mut heard.watch());
        assert_eq!((heard.reached("first"), heard.reached("1")), (3, 3), "seed {seed}");
    }
}

/// A node that is back without seeds has fired; the newcomer that asks it for a way in finds the old fleet at the same time.
#[test]
fn what_a_lone_node_has_fired_goes_along_into_the_fleet_of_its_newcomer() {
    proves(Rule::Restamp, 6, |seed, without| {
        let mut fleet = with_a_past(seed, without)?;
        let mut heard = Heard::new(8);
        (4..6).for_each(|i| fleet.crash(i));
        fleet.run(60 * SECOND, &mut quiet());
        fleet.boot(4, &[], false, &mut heard.watch());
        fleet.run(SECOND, &mut heard.watch());
        fire(&mut fleet, 4, "alone", &mut heard)?;
        fleet.boot(5, &[4, 0], false, &mut heard.watch());
        fleet.run(60 * SECOND, &mut heard.watch());
        let reached = heard.reached("alone");
        hold(reached == 8, &format!("it has come to {reached} of 8"))
    });
}

/// Somebody has asked a lone node for a way in and went away again; what it fires then is for itself, not for whom it meets
/// an hour later.
#[test]
fn what_a_lone_node_has_fired_after_a_join_in_vain_stays_its_own() {
    for seed in 0..4 {
        let mut fleet = off(seed, 3, Size::Server, None);
        let mut heard = Heard::new(3);
        fleet.boot(0, &[], false, &mut heard.watch());
        fleet.boot(1, &[0], false, &mut heard.watch());
        fleet.network.side[1] = 1;
        fleet.run(SECOND / 1_000, &mut heard.watch());
        fleet.crash(1);
        fleet.inject(1, 0, padded(&[body(kind::JOIN).int(1).text("guest").addr(1).int(1).raw(&[1]).end()]));
        fleet.run(SECOND, &mut heard.watch());
        for n in 0..20 {
            fire(&mut fleet, 0, &format!("old-{n}"), &mut heard).expect("room");
        }
        fleet.run(3_600 * SECOND, &mut heard.watch());
        fire(&mut fleet, 0, "new", &mut heard).expect("room");
        fleet.boot(2, &[0], false, &mut heard.watch());
        fleet.run(30 * SECOND, &mut heard.watch());
        assert_eq!((old(&heard, &[2]), heard.count(2, "new")), (0, 1), "seed {seed}");
    }
}

/// On links that keep the order, two questions do not answer each other for ever.
#[test]
fn those_who_start_together_come_to_rest() {
    let mut fleet = power_is_back(1, 5, 0);
    fleet.run(100 * SECOND, &mut quiet());
    let before = fleet.sent().0;
    fleet.run(60 * SECOND, &mut quiet());
    let rate = (fleet.sent().0 - before) / 60 / 5;
    assert!(rate < 160, "at rest each node sends {rate} bytes a second");
}

/// A copy of the answer to a pull comes a minute late, when all have restarted.
#[test]
fn a_late_answer_to_a_pull_is_no_news() {
    let mut fleet = fleet(1, 3, Size::Small, None);
    let mut heard = Heard::new(3);
    fleet.network.side[2] = 1;
    fleet.run(SECOND, &mut heard.watch());
    fire(&mut fleet, 0, "old", &mut heard).expect("room");
    fleet.run(2 * SECOND, &mut heard.watch());
    fleet.network.heal();
    fleet.recording = Some(Vec::new());
    fleet.run(10 * SECOND, &mut heard.watch());
    let sent = fleet.recording.take().unwrap_or_default();
    let brings = |bytes: &[u8]| read(bytes).iter().any(|(kind, _)| *kind == kind::USER_EVENT);
    let answer = sent.into_iter().find(|(_, to, bytes)| *to == 2 && brings(bytes));
    let (from, to, bytes) = answer.expect("it has pulled the event");
    (0..3).for_each(|i| fleet.crash(i));
    fleet.run(60 * SECOND, &mut quiet());
    let mut heard = Heard::new(3);
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut heard.watch()));
    fleet.run(10 * SECOND, &mut heard.watch());
    fleet.inject_from(fleet.address(from), to, bytes);
    fleet.run(60 * SECOND, &mut heard.watch());
    assert_eq!(heard.reached("old"), 0, "it is from before their joins");
}

/// What two joiners have been told of a value that their fleet had set before, while these two meet each other and it.
fn told_of_the_past(seed: u64, latency: u64, join: impl Fn(&mut Fleet, &mut Heard)) -> (usize, usize) {
    let mut fleet = off(seed, 5, Size::Server, None);
    fleet.network.latency = latency;
    (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
    fleet.run(70 * SECOND, &mut quiet());
    let mut heard = Heard::new(5);
    set(&mut fleet, 0, "deploy", "old", &mut heard).expect("room");
    fleet.run(20 * SECOND, &mut heard.watch());
    join(&mut fleet, &mut heard);
    fleet.run(60 * SECOND, &mut heard.watch());
    (heard.count(3, "old"), heard.count(4, "old"))
}

#[test]
fn by_a_young_fleet_that_enters_another() {
    for seed in 0..10 {
        let told = told_of_the_past(seed, 500, |fleet, heard| {
            (3..5).for_each(|i| fleet.boot(i, &[3], false, &mut heard.watch()));
            fleet.run(2 * SECOND, &mut heard.watch());
            let other = fleet.address(0);
            fleet.with(4, &mut heard.watch(), |node, now| node.join(now, other, false));
        });
        assert_eq!(told, (0, 0), "seed {seed}");
    }
}

#[test]
fn by_two_who_start_together() {
    for seed in 0..20 {
        let told = told_of_the_past(seed, 20_000, |fleet, heard| {
            fleet.boot(3, &[4], false, &mut heard.watch());
            fleet.boot(4, &[3, 0], false, &mut heard.watch());
        });
        assert_eq!(told, (0, 0), "seed {seed}");
    }
}

/// A stranger asks one that is starting for a way in, while it comes into a young fleet: that stays where it is, and the starting
/// one is told nothing old and everything new.
#[test]
fn by_one_that_a_stranger_asks_while_it_starts() {
    for seed in 0..20 {
        let mut fleet = off(seed, 6, Size::Server, None);
        (fleet.network.latency, fleet.network.jitter) = (50_000, 5_000);
        (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(20 * SECOND, &mut quiet());
        let mut heard = Heard::new(6);
        set(&mut fleet, 1, "deploy", "old", &mut heard).expect("room");
        fleet.run(3 * SECOND, &mut heard.watch());
        fleet.boot(3, &[0], false, &mut heard.watch());
        fleet.inject(5, 3, padded(&[body(kind::JOIN).int(1).text("guest").addr(5).int(1).raw(&[1]).end()]));
        for n in 0..200 {
            fire(&mut fleet, n % 3, &format!("n-{n}"), &mut heard).expect("room");
            fleet.run(SECOND / 20, &mut heard.watch());
        }
        fleet.run(60 * SECOND, &mut heard.watch());
        let missed =
            |i: usize, from: usize| (from..200).filter(|n| heard.count(i, &format!("n-{n}")) != 1).count();
        let missed = ((0..3).map(|i| missed(i, 0)).sum::<usize>(), missed(3, 100));
        assert_eq!((heard.count(3, "old"), missed), (0, (0, 0)), "seed {seed}");
    }
}
