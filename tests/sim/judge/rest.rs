//! What a fleet costs when all is well again: as much as one that never had a fault.

use std::collections::VecDeque;

use serf_nostd::{Config, Duration};

use super::Verdict;
use super::excuse::{Excused, excuse};
use crate::fleet::Fleet;

/// How long it is watched, microseconds.
const SPAN: u64 = 60_000_000;
/// Bytes with heads that a node sends for each of its probe intervals in a fleet that never had a fault (a ping, and an ack of
/// another's, with what compares tables and events), and each second beside them.
const CALM: (f64, f64) = (140.0, 4.0);
/// Bytes with heads of one question to a member that is gone, which each node asks each reconnect interval.
const RETRY: f64 = 200.0;
/// Bytes that times take more for each probe interval, once somebody has driven the clocks up: three in a ping, three in its
/// ack.
const LONG_TIMES: f64 = 24.0;
/// Bytes that two datagrams are longer where they are sealed.
const SEALED: f64 = 54.0;
/// So many times that much is as good as calm.
const BEARABLE: f64 = 1.25;
/// Bytes per node and second that a liar among them may draw, where at most a few events a second are fired.
const DRAWN: f64 = 16_384.0;

/// What a machine has sent, and how many comparisons of events and of members its node has begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub boots: u64,
    pub bytes: u64,
    pub event_syncs: u64,
    pub member_syncs: u64,
}

/// The costs of the last minute, and since when nothing has been done to the fleet.
#[derive(Debug, Default)]
pub(super) struct Rest {
    costs: VecDeque<(u64, Vec<Cost>)>,
    disturbed: u64,
    /// When a member began to lie, when it was last seen to, and what all had sent when it began.
    lies: Option<(u64, u64, u64)>,
    sealed: bool,
}

impl Rest {
    /// Something is done to the fleet that costs.
    pub(super) fn disturb(&mut self, now: u64) {
        self.disturbed = self.disturbed.max(now);
    }

    pub(super) fn forger(&mut self, now: u64) {
        let sent = self.costs.back().map_or(0, |(_, costs)| total(costs));
        let (began, _, before) = self.lies.unwrap_or((now, now, sent));
        self.lies = Some((began, now, before));
    }

    /// Once a second.
    pub(super) fn look(&mut self, fleet: &Fleet) {
        let cost = |(i, machine): (usize, &crate::machine::Machine)| {
            let (boots, bytes) = (machine.boots, machine.sent.0);
            let stats = fleet.node(i).map(|node| *node.stats()).unwrap_or_default();
            Cost { boots, bytes, event_syncs: stats.event_syncs, member_syncs: stats.member_syncs }
        };
        self.sealed = fleet.key.is_some();
        self.note(fleet.now(), fleet.machines.iter().enumerate().map(cost).collect());
    }

    fn note(&mut self, now: u64, costs: Vec<Cost>) {
        self.costs.push_back((now, costs));
        while self.costs.len() > 2 && self.costs[1].0 + SPAN <= now {
            self.costs.pop_front();
        }
    }

    /// The last minute, if it began this long after everything was well (microseconds), of so many nodes that are on; and
    /// whether some are not.
    pub(super) fn judge(
        &self,
        (nodes, gone, config): (usize, bool, &Config),
        patience: u64,
        excused: &mut Excused,
    ) -> Verdict {
        let (Some((from, before)), Some((to, after))) = (self.costs.front(), self.costs.back()) else {
            return Ok(());
        };
        if self.disturbed + patience > *from || to - from < SPAN {
            excuse(excused, "no minute of rest");
            return Ok(());
        }
        let spent = total(after) - total(before);
        let seconds = (to - from) as f64 / 1e6;
        let each = spent as f64 / seconds / nodes.max(1) as f64;
        let every = |bytes: f64, interval: Duration| bytes * 1e6 / interval.as_micros() as f64;
        let retries = if gone { every(RETRY, config.reconnect_interval) } else { 0.0 };
        let times = if self.lies.is_some() { LONG_TIMES } else { 0.0 };
        let seals = if self.sealed { SEALED } else { 0.0 };
        let calm = every(CALM.0 + times + seals, config.probe_interval) + CALM.1 + retries;
        if each > BEARABLE * calm {
            return Err(format!(
                "at rest a node sends {each:.0} bytes a second; a fleet without faults sends {calm:.0}"
            ));
        }
        for (i, (before, after)) in before.iter().zip(after).enumerate() {
            let events = after.event_syncs.saturating_sub(before.event_syncs);
            let members = after.member_syncs.saturating_sub(before.member_syncs);
            if after.boots == before.boots && events.max(members) > 1 {
                return Err(format!(
                    "at rest node {i} has begun {events} comparisons of events and {members} of members in {seconds} s"
                ));
            }
        }
        Ok(())
    }

    /// What a liar has drawn, in a fleet of so many in which this many events were fired.
    pub(super) fn judge_lies(&self, nodes: usize, events: usize) -> Verdict {
        let (Some((began, last, before)), Some((_, costs))) = (self.lies, self.costs.back()) else {
            return Ok(());
        };
        // It may have lied for an instant only, and what follows takes a while.
        let seconds = (last - began) as f64 / 1e6 + 60.0;
        // Each event costs a node a few copies.
        let allowed = DRAWN * seconds + events as f64 * 4_096.0;
        let each = (total(costs) - before) as f64 / nodes.max(1) as f64;
        if each > allowed {
            return Err(format!("a liar drew {each:.0} bytes from each node in {seconds:.0} s"));
        }
        Ok(())
    }
}

fn total(costs: &[Cost]) -> u64 {
    costs.iter().map(|cost| cost.bytes).sum()
}

#[cfg(test)]
mod tests {
    use serf_nostd::Config;

    use super::super::excuse::Excused;
    use super::{Cost, Rest};

    /// Two nodes for a minute and a half, at so many bytes and comparisons a second.
    fn rest(bytes: u64, comparisons: u64) -> Rest {
        let mut rest = Rest::default();
        for second in 0..=90 {
            let cost = Cost {
                boots: 1,
                bytes: bytes * second,
                event_syncs: comparisons * second,
                ..Cost::default()
            };
            rest.note(second * 1_000_000, vec![cost; 2]);
        }
        rest
    }

    fn judge(rest: &Rest, config: &Config) -> Result<(), String> {
        rest.judge((2, false, config), 10_000_000, &mut Excused::default())
    }

    #[test]
    fn a_calm_fleet_is_at_rest() {
        assert_eq!(judge(&rest(134, 0), &Config::LAN), Ok(()));
    }

    #[test]
    fn a_fleet_that_goes_on_talking_is_not() {
        assert!(judge(&rest(200, 0), &Config::LAN).is_err());
        assert!(judge(&rest(60, 0), &Config::WAN).is_err(), "where probes are rarer");
        assert!(judge(&rest(100, 1), &Config::LAN).is_err(), "it compares for ever");
    }

    #[test]
    fn who_was_just_disturbed_need_not_rest() {
        let mut rest = rest(200, 0);
        rest.disturb(25_000_000);
        let mut excused = Excused::default();
        assert_eq!(rest.judge((2, false, &Config::LAN), 10_000_000, &mut excused), Ok(()));
        assert_eq!(excused.of("no minute of rest"), 1);
    }

    #[test]
    fn a_liar_may_not_draw_without_end() {
        let mut rest = rest(134, 0);
        rest.forger(80_000_000);
        assert_eq!(rest.judge_lies(2, 0), Ok(()));
        rest.note(91_000_000, vec![Cost { bytes: 1_000_000_000, ..Cost::default() }; 2]);
        assert!(rest.judge_lies(2, 0).is_err());
    }
}
