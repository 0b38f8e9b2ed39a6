//! What can be set, and the profiles that set it as Serf does.

use crate::authority::Authority;
use crate::expression::{TagMatcher, matches};
use crate::time::Duration;

/// Timing and limits of a node. Start from a profile and change fields.
///
/// The profiles [`Config::LAN`], [`Config::WAN`] and [`Config::LOCAL`] carry Serf's constants.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    /// One member is probed in each interval (times awareness + 1).
    pub probe_interval: Duration,
    /// How long a direct probe may take before others are asked to help.
    pub probe_timeout: Duration,
    /// How many members are asked to probe indirectly.
    pub indirect_checks: u8,
    /// Membership news is sent to `gossip_nodes` members in each interval.
    pub gossip_interval: Duration,
    /// Receivers of one round of membership gossip.
    pub gossip_nodes: u8,
    /// A message is sent `retransmit_mult * ceil(log10(n + 1))` times by each node.
    pub retransmit_mult: u8,
    /// Shortest suspicion is `suspicion_mult * log10(n)` probe intervals, and no less than `suspicion_least`. For half of that whoever did not answer a probe is
    /// probed again each probe timeout, before anybody is told.
    pub suspicion_mult: u8,
    /// See there: what a process that is stopped for some seconds needs, where few are there to be asked.
    pub suspicion_least: Duration,
    /// Longest suspicion is this times the shortest.
    pub suspicion_max_mult: u8,
    /// How long a member whose host says that nobody listens there has to be refused, to this node and to others, before it has failed: a
    /// process that is back within four fifths of it is not missed. Shorter than suspicions, which go on, and longer than a few round
    /// trips, or suspicions have to do. Zero: what hosts say is passed over.
    #[cfg(feature = "inquest")]
    pub refused_grace: Duration,
    /// Upper bound of the awareness score + 1 (Lifeguard's health multiplier).
    pub awareness_max: u8,
    /// How often a failed member, or a seed, is tried again.
    pub reconnect_interval: Duration,
    /// Failed members are forgotten after this.
    pub reconnect_timeout: Duration,
    /// Left members are forgotten after this.
    pub tombstone_timeout: Duration,
    /// How long a leaving node lets its words spread.
    pub leave_propagate: Duration,
    /// A join that is not answered for this long has failed.
    pub join_timeout: Duration,
    /// Longest window of coalescing (Serf: 3 s). Zero switches coalescing off.
    pub coalesce_quantum: Duration,
    /// A window also ends after this much quiet (Serf: 1 s).
    pub coalesce_quiescent: Duration,
    /// Whether member events are coalesced as well.
    pub coalesce_members: bool,
    /// Longest name + payload of a user event, in bytes, before and after encoding (Serf: 512).
    pub event_size_limit: u16,
    /// Longest query, as it is encoded with its filters (Serf: 1,024).
    pub query_size_limit: u16,
    /// Longest answer, likewise.
    pub response_size_limit: u16,
    /// How long this node wants between two answers to a query of its own, in units of 100 microseconds: as each member waits
    /// for a random time up to so much for each member, its receive queue does not run over. Of no more than `origin_fanout`
    /// others it takes them all at once.
    pub answer_pace: u8,
    /// Whether a tag's value matches an expression of a query's filter; `None` if this node cannot tell, and then does not
    /// answer. A device's is [`crate::matches`], a server's speaks regular expressions.
    pub tag_matcher: TagMatcher,
    /// What only operators may fire and ask, and who they are. All nodes of a fleet are to be told the same.
    pub authority: Authority,
    /// How many members an origin sends a new event to at once (a device 9, a server 64).
    pub origin_fanout: u8,
    /// How many members a receiver passes a new event on to at once; one more where the origin does not reach everybody, or
    /// packets get lost.
    pub forward_fanout: u8,
    /// Name of the fleet, 1 to 128 bytes. Nodes with different names do not hear each other ([`crate::wire::packet::cluster_name`]).
    pub cluster: Option<&'static str>,
    /// Whether this node tells the others to reach it where they say that its datagrams come from, as behind a router that
    /// translates addresses; else what they say is passed over.
    pub advertise_observed: bool,
    /// Whether events from before the first join are wanted. Who comes from another fleet gets none.
    pub replay: bool,
    /// Events at or below this Lamport time are not delivered: what a persisted floor is restored with.
    pub event_floor: u64,
}

impl Config {
    /// Serf's LAN profile, the default.
    pub const LAN: Config = Config {
        probe_interval: Duration::from_secs(1),
        probe_timeout: Duration::from_millis(500),
        indirect_checks: 3,
        gossip_interval: Duration::from_millis(200),
        gossip_nodes: 3,
        retransmit_mult: 4,
        suspicion_mult: 3,
        suspicion_least: Duration::from_secs(4),
        suspicion_max_mult: 6,
        #[cfg(feature = "inquest")]
        refused_grace: Duration::from_millis(500),
        awareness_max: 8,
        reconnect_interval: Duration::from_secs(30),
        reconnect_timeout: Duration::from_secs(24 * 3600),
        tombstone_timeout: Duration::from_secs(24 * 3600),
        leave_propagate: Duration::from_secs(1),
        join_timeout: Duration::from_secs(10),
        coalesce_quantum: Duration::from_secs(3),
        coalesce_quiescent: Duration::from_secs(1),
        coalesce_members: true,
        event_size_limit: 512,
        query_size_limit: 1024,
        response_size_limit: 1024,
        answer_pace: 1,
        tag_matcher: TagMatcher(matches),
        authority: Authority::NONE,
        origin_fanout: 64,
        forward_fanout: 2,
        cluster: None,
        advertise_observed: false,
        replay: false,
        event_floor: 0,
    };

    /// Serf's WAN profile.
    pub const WAN: Config = Config {
        probe_interval: Duration::from_secs(5),
        probe_timeout: Duration::from_secs(3),
        gossip_interval: Duration::from_millis(500),
        gossip_nodes: 4,
        suspicion_mult: 6,
        #[cfg(feature = "inquest")]
        refused_grace: Duration::from_secs(1),
        ..Config::LAN
    };

    /// Serf's profile for one machine.
    pub const LOCAL: Config = Config {
        probe_timeout: Duration::from_millis(200),
        indirect_checks: 1,
        gossip_interval: Duration::from_millis(100),
        retransmit_mult: 2,
        suspicion_mult: 3,
        suspicion_least: Duration::ZERO,
        ..Config::LAN
    };

    /// LAN timing with a device's fan-out.
    pub const DEVICE: Config = Config { origin_fanout: 9, answer_pace: 50, ..Config::LAN };
}

impl Default for Config {
    fn default() -> Self {
        Config::LAN
    }
}

/// What grows with a fleet of `n` grows with this: `ceil(log10(n + 1))`.
pub(crate) fn log10_ceil(n: usize) -> u32 {
    let mut digits = 0;
    let mut power = 1usize;
    while power < n + 1 {
        power = power.saturating_mul(10);
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::log10_ceil;

    #[test]
    fn digits_of_a_fleet_s_size() {
        assert_eq!([0, 1, 8, 9, 99, 100, 999].map(log10_ceil), [0, 1, 1, 1, 2, 3, 3]);
    }
}
