//! An origin that dies right after its call was answered.
//!
//! What is promised: once the origin's first datagrams have left and one of them has come, everybody who stays gets the event
//! without it. An origin that dies before takes the event with it: nobody else has ever had it.

use fleet_tests::fleet::Size;
use fleet_tests::judged::SECOND;
use fleet_tests::proof::{hold, proves};
use serf_nostd::rules::Rule;

use crate::{fire, fleet, settled};

/// How many machines that are on have been handed the last event; its origin crashes as soon as its node has been drained.
fn crash_after_firing(seed: u64, without: Option<Rule>, loss: f64) -> Result<usize, String> {
    let mut fleet = fleet(seed, 20, Size::Server, without);
    fleet.fleet.network.loss = loss;
    fire(&mut fleet, 7)?;
    fleet.fleet.crash(7);
    fleet.run(20 * SECOND);
    fleet.judge()?;
    Ok(fleet.judge.reached(20, 1))
}

#[test]
fn after_its_first_datagrams_have_left_everybody_else_gets_the_event() {
    proves(Rule::Pull, 5, |seed, without| {
        let reached = crash_after_firing(seed, without, 0.5)?;
        hold(reached == 20, &format!("{reached} of 20 have it"))
    });
}

#[test]
fn before_its_first_datagrams_have_left_the_event_dies_with_it() {
    let mut fleet = fleet(1, 20, Size::Server, None);
    // As if power failed between the call and the next poll: of what is polled nothing leaves.
    fleet.fleet.network.side[7] = 1;
    fire(&mut fleet, 7).expect("room");
    fleet.fleet.crash(7);
    fleet.fleet.network.heal();
    fleet.run(20 * SECOND);
    assert_eq!(fleet.judge(), Ok(()));
    assert_eq!(fleet.judge.reached(20, 1), 1, "nobody but the origin's own application");
}

/// The origin loses power and memory, and comes back behind a cut, where nobody has heard of its last event: what it fires
/// there has the same time, and is no copy of it.
#[test]
fn a_new_life_of_an_origin_is_another_origin() {
    proves(Rule::OriginBoot, 3, |seed, without| {
        let mut fleet = fleet(seed, 20, Size::Server, without);
        fleet.fleet.network.side[8] = 1;
        fire(&mut fleet, 7)?;
        fleet.run(SECOND);
        fleet.fleet.crash(7);
        fleet.fleet.network.side[7] = 1;
        fleet.boot(7, &[8], false);
        fleet.run(5 * SECOND);
        fire(&mut fleet, 7)?;
        fleet.run(SECOND);
        fleet.fleet.network.heal();
        fleet.run(120 * SECOND);
        settled(&mut fleet)?;
        let reached = (fleet.judge.reached(20, 1), fleet.judge.reached(20, 2));
        hold(reached.0 >= 19 && reached.1 == 20, &format!("{reached:?} of 20 have the two events"))
    });
}

/// A node whose seeds do not answer starts alone, and accepts events. It passes them on when it meets its fleet, although
/// that has gone far ahead of its clock by then; what the fleet fired before that, it is not handed.
#[test]
fn a_node_that_meets_its_fleet_late_brings_its_events_along() {
    proves(Rule::OriginHold, 2, |seed, without| {
        let mut fleet = fleet(seed, 20, Size::Server, without);
        fleet.fleet.crash(7);
        fleet.fleet.network.side[7] = 1;
        fleet.boot(7, &[0], false);
        for _ in 0..100 {
            fire(&mut fleet, 1)?;
            fleet.run(SECOND / 5);
        }
        let own: Vec<u64> = (101..104).collect();
        for _ in &own {
            fire(&mut fleet, 7)?;
            fleet.run(SECOND);
        }
        fleet.fleet.network.heal();
        fleet.run(60 * SECOND);
        settled(&mut fleet)?;
        let reached: Vec<usize> = own.iter().map(|serial| fleet.judge.reached(20, *serial)).collect();
        hold(reached == [20, 20, 20], &format!("{reached:?} of 20 have its events"))?;
        let held = fleet.fleet.node(7).map(|node| node.gauges().own);
        hold(held == Some(0), "they are still held for their return")
    });
}
