//! What can be set, and the profiles that set it as Serf does.

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
    /// Shortest suspicion is `suspicion_mult * log10(n)` probe intervals. For half of that whoever did not answer a probe is
    /// probed again each probe timeout, before anybody is told.
    pub suspicion_mult: u8,
    /// Longest suspicion is this times the shortest.
    pub suspicion_max_mult: u8,
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
    /// How many members an origin sends a new event to at once (a device 9, a server 64).
    pub origin_fanout: u8,
    /// How many members a receiver passes a new event on to at once; one more where the origin does not reach everybody, or
    /// packets get lost.
    pub forward_fanout: u8,
    /// Name of the fleet. Nodes with different names do not hear each other.
    pub cluster: Option<&'static str>,
    /// Whether events from before the first join are wanted. Who comes from another fleet gets none.
    pub replay: bool,
    /// Events at or below this Lamport time are not delivered: what a persisted floor is restored with.
    pub event_floor: u64,
    /// A rule of the protocol to leave out, so that a checker can be seen to fail.
    #[cfg(feature = "sabotage")]
    pub without: Option<Rule>,
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
        suspicion_mult: 4,
        suspicion_max_mult: 6,
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
        origin_fanout: 64,
        forward_fanout: 2,
        cluster: None,
        replay: false,
        event_floor: 0,
        #[cfg(feature = "sabotage")]
        without: None,
    };

    /// Serf's WAN profile.
    pub const WAN: Config = Config {
        probe_interval: Duration::from_secs(5),
        probe_timeout: Duration::from_secs(3),
        gossip_interval: Duration::from_millis(500),
        gossip_nodes: 4,
        suspicion_mult: 6,
        ..Config::LAN
    };

    /// Serf's profile for one machine.
    pub const LOCAL: Config = Config {
        probe_timeout: Duration::from_millis(200),
        indirect_checks: 1,
        gossip_interval: Duration::from_millis(100),
        retransmit_mult: 2,
        suspicion_mult: 3,
        ..Config::LAN
    };

    /// LAN timing with a device's fan-out.
    pub const DEVICE: Config = Config { origin_fanout: 9, ..Config::LAN };

    /// Whether a rule holds: always, but in a sabotaged test build.
    #[inline(always)]
    pub(crate) fn has(&self, rule: Rule) -> bool {
        #[cfg(feature = "sabotage")]
        {
            self.without != Some(rule)
        }
        #[cfg(not(feature = "sabotage"))]
        {
            let _ = rule;
            true
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config::LAN
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Rules that a sabotaged build (feature `sabotage`) can leave out, one at a time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(feature = "sabotage"), allow(dead_code))]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum Rule { $($(#[$doc])* $name,)* }

        #[cfg(feature = "sabotage")]
        impl Rule {
            /// Every rule.
            pub const ALL: [Rule; [$(stringify!($name)),*].len()] = [$(Rule::$name),*];
        }
    };
}

rules! {
    /// Evicted ids become the floor.
    Floor,
    /// One message moves a clock by 2^20 at most.
    Clamp,
    /// An origin that has rebooted is another origin.
    OriginBoot,
    /// An origin holds its event until it came back from others.
    OriginHold,
    /// An origin fires no faster than others take events in.
    SourceRate,
    /// News about members has datagrams of its own, on its own beat.
    MemberRounds,
    /// A member contradicts what is said against it.
    Refute,
    /// A quarter of the slots at most waits for the application.
    AppQuota,
    /// Of coalesced events the greatest is delivered.
    CoalesceOrder,
    /// What was delivered is remembered per name.
    CoalesceMemory,
    /// A full coalescer delivers its oldest early.
    CoalesceEarly,
    /// A full table evicts only failed and left members.
    EvictGone,
    /// A seen event is not delivered again.
    Dedupe,
    /// Missing events are pulled by those who hear of them.
    Pull,
    /// Nobody asks for more events than it can take in.
    PullRoom,
    /// Digests of seen events are compared.
    EventHealing,
    /// Digests of member tables are compared.
    MemberHealing,
    /// Failed members and seeds are tried again.
    Reconnect,
    /// A clock that jumps restarts running suspicions.
    Freeze,
    /// A node that hears nobody keeps its verdicts to itself.
    Isolation,
    /// Who has not answered a probe is probed again before anybody is told.
    Doubt,
    /// A joiner continues above what the fleet knows of it.
    JoinAbove,
    /// Others move a clock by so much a second, however often they send.
    ClockPace,
    /// What a fleet fired before it was met is not taken in.
    FirstContact,
    /// Who has left its fleet for another one stays there as well, until what is under way has arrived.
    Grace,
    /// Whoever tells of members tells which fleet it is in; who enters another one tells it for a while.
    FleetNews,
    /// Only a seed that the user has named is believed about clocks that are far ahead.
    NamedSeeds,
    /// What such a seed says of clocks that are far ahead it has to say twice.
    ToldTwice,
    /// An own event that was accepted before the first contact gets a time at which others take it.
    Restamp,
    /// A node that nobody answers sends its own events again when it is back.
    SendAgain,
    /// Histories below floors are compared, and differences counted.
    History,
    /// Last values are compared, whatever the floors are.
    ValueHealing,
    /// A beat of events is as long as a round trip.
    RoundTrip,
    /// A payload that nobody holds is lost, and not asked for again.
    Lost,
    /// Who holds a part of the fleet asks those whom it probes whether it is up to date about them, and others about failed
    /// ones.
    PartHealing,
    /// What is known of members that cannot be held is left out of the comparison.
    Unheld,
    /// Two machines of one name and boot are told apart.
    Instance,
    /// A member's own word, in answer to a question, is believed however far ahead it is.
    OwnWord,
    /// The holder of a disputed name is probed as often as whoever is suspected, with others' help.
    Dispute,
    /// Of two living nodes of one name the one that booted first has it.
    Elder,
    /// Who has said that it leaves, and dies, has left.
    LeaverLeft,
    /// A pruned member is remembered as such.
    Tombstone,
    /// What a node has held against others while nobody answered it speaks against its own link.
    OwnLink,
    /// A clock that jumps puts suspicions off by its jump, not for ever.
    Thaw,
    /// A failed member is looked for among those that have left.
    FailedFirst,
    /// Where nobody has failed, those who have left are tried again: others may have said so of them.
    LeftToo,
    /// Who is held for gone at another address is told so when it asks.
    GoneElsewhere,
    /// A boot that others would never follow to is given up, once its member is gone.
    ComeDown,
}
