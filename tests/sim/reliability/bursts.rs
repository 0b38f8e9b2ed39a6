//! More events at once than anybody can take: the caller is slowed, and nothing is lost.

use fleet_tests::fleet::{Seen, Size};
use fleet_tests::judged::{Judged, SECOND};
use fleet_tests::proof::{hold, proves};
use serf_nostd::EventError;
use serf_nostd::rules::Rule;

use crate::{fleet, settled};

/// So many events through each of the first nodes, by callers that try again when they are refused. Returns how often they
/// were.
fn burst(fleet: &mut Judged, origins: usize, each: usize) -> Result<usize, String> {
    let mut left = vec![each; origins];
    let mut refused = 0;
    for _ in 0..6_000 {
        for (i, left) in left.iter_mut().enumerate() {
            while *left > 0 {
                match fleet.fire(i, "burst", false) {
                    Some(Ok(_)) => *left -= 1,
                    Some(Err(EventError::Full)) => {
                        refused += 1;
                        break;
                    }
                    other => return Err(format!("node {i} refuses an event: {other:?}")),
                }
            }
        }
        if left.iter().all(|left| *left == 0) {
            return Ok(refused);
        }
        fleet.run(SECOND / 100);
    }
    Err(format!("the callers are held up for good: {left:?} events left"))
}

/// All arrive at all of 20 agents, once, and callers of more than a burst were slowed.
fn all_arrive(
    seed: u64,
    without: Option<Rule>,
    (origins, each): (usize, usize),
    loss: f64,
) -> Result<(), String> {
    let mut fleet = fleet(seed, 20, Size::Agent, without);
    fleet.fleet.network.loss = loss;
    let refused = burst(&mut fleet, origins, each)?;
    fleet.run(60 * SECOND);
    settled(&mut fleet)?;
    hold(refused > 0, "nobody was slowed")
}

#[test]
fn two_thousand_through_one_node() {
    proves(Rule::Dedupe, 1, |seed, without| all_arrive(seed, without, (1, 2_000), 0.0));
    proves(Rule::Pull, 1, |seed, without| all_arrive(seed, without, (1, 2_000), 0.05));
}

#[test]
fn two_thousand_through_twenty_nodes_at_once() {
    proves(Rule::SourceRate, 1, |seed, without| all_arrive(seed, without, (20, 100), 0.0));
    proves(Rule::Pull, 1, |seed, without| all_arrive(seed, without, (20, 100), 0.05));
}

#[test]
fn ten_thousand_through_one_node() {
    proves(Rule::Dedupe, 1, |seed, without| all_arrive(seed, without, (1, 10_000), 0.0));
    proves(Rule::Pull, 1, |seed, without| all_arrive(seed, without, (1, 10_000), 0.05));
}

#[test]
fn ten_thousand_through_twenty_nodes_at_once() {
    proves(Rule::SourceRate, 1, |seed, without| all_arrive(seed, without, (20, 500), 0.0));
}

/// Everybody fires at the same instant, with the same Lamport time: the events are told apart by their origin.
#[test]
fn events_of_one_lamport_time_from_fifty_origins() {
    proves(Rule::Pull, 3, |seed, without| {
        let mut fleet = fleet(seed, 50, Size::Server, without);
        fleet.fleet.network.loss = 0.1;
        for _ in 0..5 {
            let times: Vec<_> = (0..50).map(|i| fleet.fire(i, "e", false)).collect();
            hold(matches!(times[0], Some(Ok(_))) && times.iter().all(|time| *time == times[0]), "one time")?;
            fleet.run(5 * SECOND);
        }
        fleet.run(30 * SECOND);
        fleet.judge()
    });
}

/// Likewise, as values of one name: all end on the same one.
#[test]
fn values_of_one_lamport_time_from_fifty_origins() {
    proves(Rule::CoalesceOrder, 3, |seed, without| {
        let mut fleet = fleet(seed, 50, Size::Server, without);
        fleet.fleet.network.loss = 0.1;
        for _ in 0..5 {
            for i in 0..50 {
                fleet.fire(i, "value", true);
            }
            fleet.run(5 * SECOND);
        }
        fleet.run(30 * SECOND);
        fleet.judge()
    });
}

/// One application takes nothing for a while: the others get everything at once, and it gets everything afterwards.
#[test]
fn an_application_that_takes_nothing_holds_up_itself_only() {
    proves(Rule::EventHealing, 3, |seed, without| {
        let mut fleet = fleet(seed, 10, Size::Server, without);
        fleet.fleet.machines[4].deaf = true;
        let mut others = 0;
        for event in 0..600 {
            // More than its quarter of the slots: from then on it leaves them unrecorded.
            fleet.fire(event % 4, "e", false).expect("on").map_err(|error| format!("{error:?}"))?;
            let judge = &mut fleet.judge;
            fleet.fleet.run(SECOND / 50, &mut |i, boots, at, seen| {
                others += (i != 4 && matches!(seen, Seen::User { .. })) as usize;
                judge.saw(i, boots, at, &seen);
            });
        }
        hold(others > 600 * 8 * 99 / 100, "others waited for it")?;
        hold(fleet.fleet.node(4).is_some_and(|node| node.stats().app_full > 0), "its quarter was not full")?;
        fleet.fleet.machines[4].deaf = false;
        fleet.run(90 * SECOND);
        settled(&mut fleet)
    });
}
