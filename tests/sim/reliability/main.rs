//! No event is lost or comes twice, whatever happens while it spreads; and each of these scenarios is seen to break without
//! the rule of the protocol that it rests on.

mod batches;
mod bursts;
mod churn;
mod lapses;
mod network;
mod origins;
mod replays;

use fleet_tests::fleet::Size;
use fleet_tests::judged::Judged;
use fleet_tests::proof::hold;
use serf_nostd::Config;
use serf_nostd::rules::Rule;

/// A fleet that has come together, without one rule or with all.
fn fleet(seed: u64, nodes: usize, size: Size, without: Option<Rule>) -> Judged {
    let mut fleet = Judged::new(seed, nodes, size, Config::LAN);
    fleet.fleet.without = without;
    fleet.assemble();
    fleet
}

/// Fires an event that must be accepted.
fn fire(fleet: &mut Judged, i: usize) -> Result<(), String> {
    match fleet.fire(i, "e", false) {
        Some(Ok(_)) => Ok(()),
        refused => Err(format!("node {i} refuses an event: {refused:?}")),
    }
}

/// Events from everybody in turn, `rate` a second, for so many seconds.
fn flow(fleet: &mut Judged, rate: u64, seconds: u64) -> Result<(), String> {
    let nodes = fleet.fleet.machines.len();
    for event in 0..rate * seconds {
        let i = event as usize * 7 % nodes;
        if fleet.fleet.is_on(i) {
            fire(fleet, i)?;
        }
        fleet.run(fleet_tests::judged::SECOND / rate);
    }
    Ok(())
}

/// All who stayed have all, once, and agree about who is there.
fn settled(fleet: &mut Judged) -> Result<(), String> {
    fleet.judge()?;
    hold(fleet.fleet.agreed(), "no agreement about who is there")
}
