//! Members come, change and go while events flow.

use serf_nostd::config::Rule;
use serf_nostd::{Config, Status};
use sim::fleet::{Seen, Size, Watcher};
use sim::judged::{Judged, SECOND};
use sim::proof::{hold, proves};

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

/// A thousand join twenty through three of them, within two seconds. Those who were there go on as if nothing happened.
#[test]
fn a_thousand_join_through_three_seeds() {
    let (old, all) = (20, 1_020);
    let mut fleet = Judged::new(1, all, Size::Members(all as u16), Config::LAN);
    for i in 0..old {
        fleet.boot(i, &[0], false);
    }
    fleet.run(20 * SECOND);
    for i in old..all {
        fleet.boot(i, &[0, 1, 2], false);
        if i % 50 == 0 {
            fire(&mut fleet, i / 50 % 3).expect("a seed has room");
            fleet.run(SECOND / 10);
        }
    }
    for event in 0..300 {
        fire(&mut fleet, event % old).expect("room");
        fleet.run(SECOND / 10);
    }
    let grown = fleet.fleet.agreed();
    fleet.run(20 * SECOND);
    assert_eq!(fleet.judge(), Ok(()));
    assert!(grown, "half a minute of events, and all are in");
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
            let serial = (fleet.oracle.fired.len() as u64).saturating_sub(2);
            late += (tick >= 20 && fleet.oracle.reached(stays, serial) < stays) as usize;
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
