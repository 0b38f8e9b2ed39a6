//! A network that loses, delays and cuts.

use fleet_tests::fleet::Size;
use fleet_tests::judged::{Judged, SECOND};
use fleet_tests::network::Network;
use fleet_tests::proof::{hold, proves};
use serf_nostd::Config;
use serf_nostd::rules::Rule;

use crate::{fire, fleet, flow, settled};

/// A minute of events in this weather, which then stays as it is.
fn through(seed: u64, without: Option<Rule>, weather: fn(&mut Network)) -> Result<(), String> {
    let mut fleet = fleet(seed, 50, Size::Server, without);
    weather(&mut fleet.fleet.network);
    flow(&mut fleet, 5, 60)?;
    // Where half of all is lost, most comparisons are broken off.
    fleet.run(180 * SECOND);
    fleet.judge()
}

#[test]
fn a_quarter_of_all_datagrams_lost() {
    proves(Rule::Pull, 3, |seed, without| through(seed, without, |network| network.loss = 0.25));
}

#[test]
fn half_of_all_datagrams_lost() {
    proves(Rule::Pull, 3, |seed, without| through(seed, without, |network| network.loss = 0.5));
}

#[test]
fn links_that_lose_everything_for_seconds() {
    proves(Rule::Pull, 3, |seed, without| {
        through(seed, without, |network| (network.burst_loss, network.burst) = (0.3, 2 * SECOND))
    });
}

#[test]
fn datagrams_that_come_a_minute_late_and_twice() {
    proves(Rule::Dedupe, 3, |seed, without| {
        through(seed, without, |network| {
            (network.reorder, network.reorder_by, network.duplicate) = (0.3, 60 * SECOND, 0.3);
        })
    });
}

/// Late copies must not bring an older value back either.
#[test]
fn values_do_not_go_backwards_when_copies_come_a_minute_late() {
    proves(Rule::CoalesceMemory, 20, |seed, without| {
        let mut fleet = fleet(seed, 20, Size::Server, without);
        let network = &mut fleet.fleet.network;
        (network.reorder, network.reorder_by, network.duplicate) = (0.9, 60 * SECOND, 0.3);
        network.loss = 0.4;
        for value in 0..60 {
            fleet.fire(value * 7 % 20, ["a", "b", "c"][value % 3], true);
            fleet.run(2 * SECOND);
        }
        fleet.fleet.network.heal();
        fleet.run(90 * SECOND);
        settled(&mut fleet)
    });
}

/// Cut into two halves; each goes on firing. Afterwards each has what the other fired.
fn cut(seed: u64, without: Option<Rule>, seconds: u64) -> Result<(), String> {
    let mut fleet = fleet(seed, 20, Size::Server, without);
    fleet.fleet.network.side[10..].fill(1);
    // Fewer than there are slots: who is away can only get what somebody still holds.
    let every = seconds / 60;
    for _ in 0..60 {
        flow(&mut fleet, 10, 1)?;
        fleet.run((every - 1) * SECOND);
    }
    fleet.fleet.network.heal();
    fleet.run(180 * SECOND);
    settled(&mut fleet)
}

#[test]
fn a_cut_of_a_minute_with_events_on_both_sides() {
    proves(Rule::EventHealing, 3, |seed, without| cut(seed, without, 60));
}

#[test]
fn a_cut_of_ten_minutes_with_events_on_both_sides() {
    proves(Rule::EventHealing, 2, |seed, without| cut(seed, without, 600));
    proves(Rule::Reconnect, 2, |seed, without| cut(seed, without, 600));
}

/// Two machines, a small one among them, come back after hundreds of events, and get each payload once: nobody sends them
/// more than they can take in. Events that are fired meanwhile come to everybody else as ever.
fn catch_up(seed: u64, without: Option<Rule>) -> Result<(), String> {
    let behind = [5, 6];
    let mut fleet = Judged::new(seed, 20, Size::Server, Config::LAN);
    fleet.fleet.without = without;
    fleet.fleet.resize(behind[0], Size::Small);
    fleet.assemble();
    behind.into_iter().for_each(|i| fleet.fleet.network.side[i] = 1);
    let missed = 200;
    for event in 0..missed {
        fire(&mut fleet, event % 4)?;
        fleet.run(SECOND / 10);
    }
    fleet.fleet.network.heal();
    let before = fleet.fleet.total(|stats| stats.payloads_sent);
    let mut late = 0;
    for event in 0..30 {
        fire(&mut fleet, event % 4)?;
        fleet.run(SECOND / 10);
        // Of the twenty all but those who catch up, at least.
        let serial = fleet.judge.fired_events().len() as u64;
        late += (fleet.judge.reached(20, serial) < 18) as usize;
    }
    fleet.run(30 * SECOND);
    settled(&mut fleet)?;
    hold(late == 0, &format!("{late} of 30 events were late"))?;
    let copies = fleet.fleet.total(|stats| stats.payloads_sent) - before;
    // Who was cut off takes its links for lossy for a while, and passes events on to one more.
    let needed = (behind.len() * (missed + 30) + 30 * 3 * 20) as u64;
    hold(copies <= needed, &format!("{copies} payloads were sent where {needed} would do"))
}

#[test]
fn who_is_far_behind_catches_up_without_a_flood() {
    proves(Rule::PullRoom, 3, catch_up);
}
