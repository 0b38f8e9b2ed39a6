//! What the world tells its judge, in the judge's words.

use crate::fleet::{Fleet, Seen, Size};
use crate::oracle::Oracle;

use super::PROBE;
use super::plan::{Faults, Plan, Profile};

/// What a machine that is switched on knows of its last life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It may be handed again what it was handed before.
    Forgets,
    /// Its floor survived as it was.
    Remembers,
}

/// The judge's seat: everything that happens to a machine is told here.
pub(super) struct Court {
    oracle: Oracle,
    /// Whether everything that was fired has to arrive, if it was not too much.
    lossless: bool,
    /// Whether some share a name: only one of them is in the fleet.
    twins: bool,
}

impl Court {
    pub(super) fn new(plan: &Plan) -> Court {
        let mut oracle = Oracle::new(plan.nodes);
        let places = match plan.size {
            Size::Server => 64,
            Size::Boards | Size::Tiny => 4,
            _ => 8,
        };
        let forger = plan.faults.forger > 0.0;
        oracle.ordered = plan.names <= places && !forger;
        oracle.lossless = false;
        // What happens to names, boots and fleets as wholes this oracle cannot tell from loss.
        let Faults { boots, leaves, seeds, merges, twins, moves, nats, forced, joins, .. } = plan.faults;
        let whole = boots + leaves + seeds + merges + twins + moves + nats + forced + joins == 0.0;
        let usual = plan.size == Size::Server && plan.profile != Profile::Wan;
        Court { oracle, lossless: whole && usual && !forger, twins: twins > 0.0 }
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.oracle.serial()
    }

    pub(super) fn switched_on(&mut self, i: usize, now: u64, memory: Memory) {
        self.oracle.booted(i, now, memory == Memory::Remembers);
    }

    pub(super) fn switched_off(&mut self, _i: usize, _now: u64) {}

    pub(super) fn fired(&mut self, serial: u64, name: &[u8], coalesce: bool, origin: (usize, u64), now: u64) {
        self.oracle.fired(serial, name, coalesce, origin, now);
    }

    pub(super) fn saw(&mut self, i: usize, _boots: u64, now: u64, seen: &Seen) {
        self.oracle.saw(i, now, seen);
    }

    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), String> {
        self.oracle.look(fleet);
        self.oracle.wrong.take().map_or(Ok(()), Err)
    }

    pub(super) fn cut(&mut self, _now: u64) {}

    pub(super) fn healed(&mut self, _now: u64) {}

    pub(super) fn left(&mut self, _i: usize, _now: u64) {}

    pub(super) fn forced_out(&mut self, _name: &str, _now: u64, _prune: bool) {}

    pub(super) fn tags_set(&mut self, _i: usize, _tags: &[u8]) {}

    pub(super) fn addressed(&mut self, _i: usize, _addr: std::net::SocketAddr) {}

    pub(super) fn forger(&mut self, _now: u64) {}

    /// Everything that must have arrived by now has.
    pub(super) fn judge(&mut self, fleet: &Fleet) -> Result<(), String> {
        // More events than slots may be lost to who was away; so few of them may not.
        let all = self.lossless && self.oracle.fired.len() <= 700;
        let peace = !self.twins;
        let fired = std::mem::take(&mut self.oracle.fired);
        let late = |(_, fired): &(&u64, &crate::oracle::Fired)| all || peace && fired.name == PROBE;
        self.oracle.fired =
            fired.iter().filter(late).map(|(serial, fired)| (*serial, fired.clone())).collect();
        self.oracle.lossless = true;
        self.oracle.judge(fleet);
        self.oracle.fired = fired;
        self.oracle.wrong.take().map_or(Ok(()), Err)
    }
}

/// Within this time after the last fault, microseconds, everything is as it should be. Failed members are tried again every
/// 30 s, one at a time; a suspicion takes up to 35 probe intervals here.
pub(super) fn healing(_nodes: usize, config: &serf_nostd::Config) -> u64 {
    300 * config.probe_interval.as_micros()
}
