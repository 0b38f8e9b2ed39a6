//! Members come, change and go while events flow.

use fleet_tests::fleet::{Seen, Size, Watcher};
use fleet_tests::judged::{Judged, SECOND};
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;
use serf_nostd::{Config, Status};

use crate::{fire, fleet, flow, settled};

/// Nearly a third of the fleet loses power at once. What the dying fired last is everybody's or nobody's.
#[test]
fn thirty_of_a_hundred_die_at_once() {
    proves(Rule::Pull, 2, |seed, without| {
        let mut fleet = fleet(seed, 100, Size::Members(100), without);
        flow(&mut fleet, 5, 5)?;
        for i in 50..80 {
            if i % 10 == 0 {
                fire(&mut fleet, i)?;
            }
            fleet.fleet.crash(i);
        }
        flow(&mut fleet, 5, 60)?;
        fleet.run(30 * SECOND);
        let noticed = (50..80).all(|i| fleet.fleet.status(0, i) == Some(Status::Failed));
        hold(noticed, "a death went unnoticed")?;
        fleet.judge()
    });
}

/// So many join twenty through three of them, at 500 a second. Those who were there go on as if nothing happened.
fn join(joiners: usize, seed: u64, without: Option<Rule>) -> Result<(), String> {
    let (old, all) = (20, 20 + joiners);
    let mut fleet = Judged::new(seed, all, Size::Members(all as u16), Config::LAN);
    fleet.fleet.without = without;
    for i in 0..old {
        fleet.boot(i, &[0], false);
    }
    fleet.run(20 * SECOND);
    for i in old..all {
        fleet.boot(i, &[0, 1, 2], false);
        if i % 50 == 0 {
            fire(&mut fleet, i / 50 % 3)?;
            fleet.run(SECOND / 10);
        }
    }
    for event in 0..300 {
        fire(&mut fleet, event % old)?;
        fleet.run(SECOND / 10);
    }
    hold(fleet.fleet.agreed(), "after half a minute not all are in")?;
    fleet.run(20 * SECOND);
    fleet.judge()
}

#[test]
fn two_hundred_join_through_three_seeds() {
    proves(Rule::MemberHealing, 1, |seed, without| join(200, seed, without));
    proves(Rule::Pull, 1, |seed, without| join(200, seed, without));
}

#[test]
#[ignore = "nearly a minute; part of `tests/run long`"]
fn a_thousand_join_through_three_seeds() {
    assert_eq!(join(1_000, 0, None), Ok(()));
}

/// Twenty a second join, leave, change their tags or lose power, and events flow: how many of the events come to all who
/// stayed within two seconds, and whether in the end all agree.
fn storm(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let nodes = 100;
    let mut fleet = fleet(seed, nodes, Size::FullMembers(100), without);
    // A quarter stays, and watches.
    let stays = nodes / 4;
    let mut late = 0;
    for tick in 0..600 {
        let i = stays + tick * 31 % (nodes - stays);
        change(&mut fleet, i, tick);
        if tick % 10 == 0 {
            fire(&mut fleet, tick / 10 % stays)?;
            // Serial numbers count from 1.
            let serial = (fleet.judge.fired_events().len() as u64).saturating_sub(2);
            late += (tick >= 20 && fleet.judge.reached(stays, serial) < stays) as usize;
        }
        fleet.run(SECOND / 10);
    }
    hold(late <= 2, &format!("{late} of 60 events were late"))?;
    for i in stays..nodes {
        fleet.fleet.crash(i);
        fleet.boot(i, &[0], true);
    }
    fleet.run(90 * SECOND);
    settled(&mut fleet)
}

fn change(fleet: &mut Judged, i: usize, tick: usize) {
    let quiet: &mut Watcher = &mut |_, _, _, _: Seen| {};
    match tick % 4 {
        _ if !fleet.fleet.is_on(i) => fleet.boot(i, &[0, 1, 2], true),
        0 => fleet.fleet.crash(i),
        1 => {
            fleet.fleet.with(i, quiet, |node, now| node.leave(now).is_ok());
        }
        _ => {
            let tags = [0xff, 0x81, 0xa1, b't', 0xa1, b'a' + (tick / 4 % 26) as u8];
            fleet.fleet.with(i, quiet, |node, now| node.set_tags(now, &tags).expect("there is room"));
        }
    }
}

#[test]
fn a_storm_of_members_does_not_starve_events() {
    proves(Rule::Pull, 1, storm);
}

/// Four nodes fire as much as is taken, without end, while one leaves and five die: how soon all, or all but one, have heard
/// of it once one knows, in tenths of a second.
fn flood(seed: u64, without: Option<Rule>) -> Result<(), String> {
    // More than who leaves, or notices a death, tells at once.
    let (nodes, leaver, dying) = (120, 20, [30, 31, 32, 33, 34]);
    let mut fleet = fleet(seed, nodes, Size::Members(120), without);
    let mut known = [[None; 2]; 5];
    for tick in 0..600 {
        for i in 0..4 {
            while fleet.fire(i, "e", false).is_some_and(|fired| fired.is_ok()) {}
        }
        if tick == 100 {
            let quiet: &mut Watcher = &mut |_, _, _, _: Seen| {};
            fleet.fleet.with(leaver, quiet, |node, now| node.leave(now).is_ok());
        }
        if tick == 130 {
            let left = (0..leaver).all(|i| fleet.fleet.status(i, leaver) == Some(Status::Left));
            hold(left, "three seconds after it left, a member has not left for all")?;
            fleet.fleet.crash(leaver);
            dying.into_iter().for_each(|i| fleet.fleet.crash(i));
        }
        fleet.run(SECOND / 10);
        for (subject, [first, all]) in dying.into_iter().zip(&mut known) {
            let knows = |viewer: &usize| fleet.fleet.status(*viewer, subject) == Some(Status::Failed);
            let count = (0..leaver).filter(knows).count();
            *first = first.or((count > 0).then_some(tick));
            // Each says it eight times, to whom it happens to meet: of a thousand one hears it from nobody, and by comparing.
            *all = all.or((count + 1 >= leaver).then_some(tick));
        }
    }
    hold(fleet.fleet.total(|stats| stats.events_full) > 1_000, "nobody was slowed")?;
    for [first, all] in known {
        let (Some(first), Some(all)) = (first, all) else { return Err("a death went unnoticed".into()) };
        hold(all - first <= 8, &format!("from the first to the last verdict {} ticks", all - first))?;
    }
    let mut living = (0..nodes).filter(|i| *i != leaver && !dying.contains(i));
    let alive = living.all(|i| (0..4).all(|viewer| fleet.fleet.status(viewer, i) == Some(Status::Alive)));
    hold(alive, "a living member is called failed")?;
    fleet.run(30 * SECOND);
    fleet.judge()
}

#[test]
fn a_flood_of_events_does_not_starve_membership() {
    proves(Rule::MemberRounds, 3, flood);
}
