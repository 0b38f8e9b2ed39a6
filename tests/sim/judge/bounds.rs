//! The bounds of patience: within which time a fleet is as it should be, and how many events are no load for it. Times are
//! microseconds, and functions of the fleet's size and its timing.

use serf_nostd::Config;

use crate::fleet::Size;

const SECOND: u64 = 1_000_000;
/// Probe intervals in which a machine that starts has met who is there, and an event has come to all that it can reach.
const SPREAD: u64 = 15;
/// The longest rest between two comparisons of what two nodes know.
const REST: u64 = 64 * SECOND;

/// Within this time a machine has started and met who is there; within the same time an event, or the news that two fleets
/// are one, has come to everybody.
pub fn spreading(config: &Config) -> u64 {
    SPREAD * config.probe_interval.as_micros()
}

/// The longest suspicion among so many: `suspicion_mult * suspicion_max_mult * log10(n)` probe intervals, with the time in
/// which the accused is asked again before.
pub fn suspicion(nodes: usize, config: &Config) -> u64 {
    let scale = (nodes.max(10) as f64).log10();
    let shortest = config.suspicion_mult as f64 * scale * config.probe_interval.as_micros() as f64;
    let shortest = shortest.max(config.suspicion_least.as_micros() as f64);
    (shortest * (config.suspicion_max_mult as f64 + 0.5)) as u64
}

/// One round of probes: each node has probed each other one, which finds out about every death.
fn round(nodes: usize, config: &Config) -> u64 {
    nodes as u64 * config.probe_interval.as_micros()
}

/// After a cut: a failed member on the other side is tried again each reconnect interval (two, as both sides may just have
/// done so), which brings the sides together; suspicions that run yet may end wrongly, and are contradicted; and who died
/// meanwhile is found within some rounds of probes.
pub fn partition(nodes: usize, config: &Config) -> u64 {
    2 * config.reconnect_interval.as_micros()
        + suspicion(nodes, config)
        + 3 * round(nodes, config)
        + spreading(config)
}

/// After a restart of all, in which some found none of their seeds awake: these are tried again each reconnect interval.
pub fn restart_of_all(nodes: usize, config: &Config) -> u64 {
    config.join_timeout.as_micros() + partition(nodes, config)
}

/// After the last forged time: a clock that was driven ahead by one jump is met by the next message that carries it.
pub fn poisoned_clock(nodes: usize, config: &Config) -> u64 {
    spreading(config) + round(nodes, config)
}

/// Since two living machines have one name and everybody can reach both: the others agree on one of them after it has won a
/// dispute, which takes no longer than a suspicion.
pub fn name_conflict(nodes: usize, config: &Config) -> u64 {
    suspicion(nodes, config) + partition(nodes, config)
}

/// Since everything arrives: what a node has missed it learns of by the next comparison with somebody who has it.
pub fn event_loss(config: &Config) -> u64 {
    REST + spreading(config)
}

/// Within this time after the last fault everything is as it should be.
pub fn healing(nodes: usize, config: &Config) -> u64 {
    let single = [
        restart_of_all(nodes, config),
        poisoned_clock(nodes, config),
        name_conflict(nodes, config),
        event_loss(config),
    ];
    single.into_iter().fold(0, u64::max) + event_loss(config)
}

/// What a machine has places for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Members, itself included.
    pub members: usize,
    /// Events remembered: M.
    pub seen: usize,
    /// Events held.
    pub slots: usize,
    /// Names that are coalesced at once.
    pub names: usize,
}

impl Places {
    /// Of a machine of this size.
    pub fn of(size: Size) -> Places {
        let (seen, slots, names) = match size {
            Size::Tiny => (64, 16, 4),
            Size::Server => (4_096, 1_024, 64),
            Size::Agent => (4_096, 4_096, 1_024),
            Size::Members(_) | Size::FullMembers(_) => (512, 64, 8),
            _ => (256, 32, 8),
        };
        Places { members: size.members(), seen, slots, names }
    }

    /// The least of each.
    pub fn least(self, other: Places) -> Places {
        Places {
            members: self.members.min(other.members),
            seen: self.seen.min(other.seen),
            slots: self.slots.min(other.slots),
            names: self.names.min(other.names),
        }
    }

    /// Whether so many events, whenever they are fired, are so few that none may be lost.
    pub fn bear(self, events: usize) -> bool {
        4 * events < 3 * self.seen && events <= self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::{Places, healing};
    use crate::fleet::Size;
    use serf_nostd::Config;

    #[test]
    fn patience_grows_with_the_fleet_and_with_its_timing() {
        let minutes = |nodes, config: &Config| healing(nodes, config) / 60_000_000;
        assert!((2..8).contains(&minutes(5, &Config::LAN)), "{}", minutes(5, &Config::LAN));
        assert!(healing(5, &Config::LAN) < healing(50, &Config::LAN));
        assert!(healing(5, &Config::LAN) < healing(5, &Config::WAN));
    }

    #[test]
    fn the_smallest_machine_says_what_a_fleet_bears() {
        let least = Places::of(Size::Server).least(Places::of(Size::Tiny));
        assert!(least.bear(16) && !least.bear(17), "a device holds 16");
        assert_eq!(least.members, 8);
    }
}
