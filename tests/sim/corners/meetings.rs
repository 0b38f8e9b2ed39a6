//! Fleets that meet while everybody fires: what is accepted once all know all comes to all, and no fleet loses what is its own.

use fleet_tests::fleet::{Fleet, Size};
use fleet_tests::proof::{hold, proves};
use fleet_tests::wire::{body, datagram, kind};
use serf_nostd::Status;
use serf_nostd::rules::Rule;

use super::{Heard, SECOND, fire, flow, off, quiet};

/// A fleet of which each node fires in turn, and what each of its nodes must have been handed.
struct Fair {
    fleet: Fleet,
    heard: Heard,
    /// Who must have been handed it, by number.
    due: Vec<Vec<usize>>,
    /// From when on all knew all.
    whole: Option<u64>,
}

impl Fair {
    fn new(fleet: Fleet) -> Fair {
        let heard = Heard::new(fleet.machines.len());
        Fair { fleet, heard, due: Vec::new(), whole: None }
    }

    fn all_know_all(&self) -> bool {
        let count = self.fleet.machines.len();
        (0..count).all(|i| (0..count).all(|of| i == of || self.fleet.status(i, of) == Some(Status::Alive)))
    }

    /// For so long each of these nodes fires once per `pause`, as soon as it accepts; it is for `own` of its fleet, and for all
    /// once all know all.
    fn goes_on(&mut self, span: u64, pause: u64, own: impl Fn(usize) -> Vec<usize>) {
        let count = self.fleet.machines.len();
        let end = self.fleet.now() + span;
        while self.fleet.now() < end {
            for i in 0..count {
                if self.whole.is_none() && self.all_know_all() {
                    self.whole = Some(self.fleet.now());
                }
                let label = self.due.len().to_string();
                let starts = self.fleet.node(i).is_none_or(|node| node.is_starting());
                if !starts && fire(&mut self.fleet, i, &label, &mut self.heard).is_ok() {
                    self.due.push(if self.whole.is_some() { (0..count).collect() } else { own(i) });
                }
                self.fleet.run(pause / count as u64, &mut self.heard.watch());
            }
        }
    }

    fn verdict(mut self) -> Result<(), String> {
        self.fleet.run(60 * SECOND, &mut self.heard.watch());
        let missed = |label: usize| -> Vec<usize> {
            let due = self.due[label].iter().copied();
            due.filter(|i| self.heard.count(*i, &label.to_string()) != 1).collect()
        };
        let lost: Vec<usize> = (0..self.due.len()).filter(|label| !missed(*label).is_empty()).collect();
        let first = lost.first().map(|label| (*label, missed(*label)));
        let text = format!(
            "{} of {} lost, the first {first:?}, all know all at {:?}",
            lost.len(),
            self.due.len(),
            self.whole
        );
        hold(lost.is_empty() && self.whole.is_some(), &text)
    }
}

/// So many machines, all off, with links of such a latency, which varies by half of it, and such a loss.
fn over_links(seed: u64, machines: usize, (latency, loss): (u64, f64), without: Option<Rule>) -> Fleet {
    let mut fleet = off(seed, machines, Size::Server, without);
    (fleet.network.latency, fleet.network.jitter, fleet.network.loss) = (latency, latency / 2, loss);
    fleet
}

/// Each of ten machines names the next one as its seed, and all start at the same moment.
fn a_ring(seed: u64, latency: u64, loss: f64, without: Option<Rule>) -> Result<(), String> {
    let mut fleet = over_links(seed, 10, (latency, loss), without);
    for i in 0..10 {
        fleet.boot(i, &[(i + 1) % 10], false, &mut quiet());
    }
    let mut fair = Fair::new(fleet);
    fair.goes_on(20 * SECOND, SECOND / 5, |_| Vec::new());
    fair.verdict()
}

#[test]
fn of_those_who_start_in_a_ring() {
    (0..10).for_each(|seed| assert_eq!(a_ring(seed, 500, 0.0, None), Ok(()), "seed {seed}"));
}

#[test]
fn of_those_who_start_in_a_ring_over_long_links() {
    (0..10).for_each(|seed| assert_eq!(a_ring(seed, 50_000, 0.0, None), Ok(()), "seed {seed}"));
}

#[test]
fn of_those_who_start_in_a_ring_over_bad_links() {
    (0..10).for_each(|seed| assert_eq!(a_ring(seed, 5_000, 0.1, None), Ok(()), "seed {seed}"));
}

/// Two fleets of three that have run for a while, one of which joins the other.
fn two_fleets(seed: u64, latency: u64, loss: f64, without: Option<Rule>) -> Result<(), String> {
    let mut fleet = over_links(seed, 6, (latency, loss), without);
    for i in 0..6 {
        fleet.boot(i, &[i / 3 * 3], false, &mut quiet());
    }
    fleet.run((seed % 3 * 40 + 10) * SECOND, &mut quiet());
    let mut fair = Fair::new(fleet);
    let own = |i: usize| (i / 3 * 3..i / 3 * 3 + 3).collect::<Vec<_>>();
    fair.goes_on(10 * SECOND, SECOND / 5, own);
    let other = fair.fleet.address(seed as usize % 3);
    fair.fleet.with(4, &mut fair.heard.watch(), |node, now| node.join(now, other, false));
    fair.goes_on(20 * SECOND, SECOND / 5, own);
    fair.verdict()
}

#[test]
fn of_two_fleets() {
    proves(Rule::FleetNews, 10, |seed, without| two_fleets(seed, 500, 0.0, without));
}

#[test]
fn of_two_fleets_over_long_links() {
    proves(Rule::Grace, 10, |seed, without| two_fleets(seed, 50_000, 0.0, without));
}

#[test]
fn of_two_fleets_over_bad_links() {
    (0..10).for_each(|seed| assert_eq!(two_fleets(seed, 5_000, 0.1, None), Ok(()), "seed {seed}"));
}

/// A device that has kept its floor joins servers that have lost their memory: what they fire from then on is new to it.
#[test]
fn of_a_device_and_a_fleet_that_has_forgotten_what_time_it_is() {
    for seed in 0..10 {
        let mut fleet = over_links(seed, 6, (500, 0.0), None);
        fleet.resize(5, Size::Small);
        fleet.assemble(&mut quiet());
        flow(&mut fleet, 0, 200, "before", &mut Heard::new(6)).expect("room");
        (0..6).for_each(|i| fleet.crash(i));
        (0..5).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run((seed % 3 * 40 + 10) * SECOND, &mut quiet());
        fleet.boot(5, &[seed as usize % 5], true, &mut quiet());
        let mut fair = Fair::new(fleet);
        fair.goes_on(10 * SECOND, SECOND / 10, |i| if i < 5 { vec![0, 1, 2, 3, 4] } else { vec![] });
        assert_eq!(fair.verdict(), Ok(()), "seed {seed}");
    }
}

/// One of six, or two that are each other's seeds, are switched off and on again while the others fire.
fn a_restart(seed: u64, latency: u64, loss: f64) -> Result<(), String> {
    let mut fleet = over_links(seed, 6, (latency, loss), None);
    (0..6).for_each(|i| fleet.boot(i, &[(i + 1) % 6], false, &mut quiet()));
    fleet.run(70 * SECOND, &mut quiet());
    let mut fair = Fair::new(fleet);
    let gone = 2..3 + seed as usize % 2;
    let back = gone.clone();
    let own = |i: usize| if back.contains(&i) { Vec::new() } else { vec![0, 1, 5] };
    gone.clone().for_each(|i| fair.fleet.crash(i));
    fair.goes_on(SECOND, SECOND / 20, own);
    for i in gone {
        fair.fleet.boot(i, &[5 - i], false, &mut fair.heard.watch());
    }
    fair.goes_on(20 * SECOND, SECOND / 20, own);
    fair.verdict()
}

#[test]
fn of_those_who_come_back() {
    for seed in 0..10 {
        assert_eq!(a_restart(seed, 500, 0.0), Ok(()), "seed {seed}");
        assert_eq!(a_restart(seed, 20_000, 0.1), Ok(()), "seed {seed}, over bad links");
    }
}

/// A stranger tells one node after the other of a fleet to which theirs has to yield: nobody is parted from the others.
#[test]
fn of_a_fleet_and_those_that_a_stranger_invents() {
    for seed in 0..5 {
        let mut fleet = over_links(seed, 6, (2_000, 0.0), None);
        (0..6).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        fleet.run(70 * SECOND, &mut quiet());
        let mut fair = Fair::new(fleet);
        for number in 0..20 {
            let told = body(kind::FLEET).int(20 - number).int(1).int(1_000_000).end();
            fair.fleet.inject(5, number as usize % 5, datagram(&[told]));
            fair.goes_on(SECOND, SECOND / 5, |_| (0..6).collect());
        }
        assert_eq!(fair.verdict(), Ok(()), "seed {seed}");
    }
}

/// One of two fleets has fired a million events: all the same what is fired once all know all comes to all. (Beyond 2^20 their
/// clocks come together over some time only, as README says.)
#[test]
fn of_two_fleets_whose_clocks_are_a_million_apart() {
    for (joiner, to) in [(2, 5), (5, 2)] {
        let mut fleet = over_links(1, 6, (500, 0.0), None);
        (0..3).for_each(|i| fleet.boot(i, &[0], false, &mut quiet()));
        let seed = fleet.address(3);
        (3..6).for_each(|i| fleet.boot_at(i, &[seed][..(i > 3) as usize], 1_000_000, &mut quiet()));
        fleet.run(90 * SECOND, &mut quiet());
        let mut fair = Fair::new(fleet);
        let other = fair.fleet.address(to);
        fair.fleet.with(joiner, &mut quiet(), |node, now| node.join(now, other, false));
        fair.goes_on(20 * SECOND, SECOND / 5, |_| Vec::new());
        assert_eq!(fair.verdict(), Ok(()), "{joiner} joins {to}");
    }
}
