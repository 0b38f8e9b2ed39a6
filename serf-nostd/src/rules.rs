//! The protocol's rules by name. All hold; a sabotaged test build (feature `sabotage`) can leave one out, so that those who
//! check the protocol can be seen to notice.

use core::ops::Deref;

#[cfg(feature = "authority")]
use crate::authority::Authority;
use crate::config::Config;

/// A configuration, and which of the protocol's rules hold: all, but in a sabotaged test build.
pub(crate) struct Settings {
    config: Config,
    #[cfg(feature = "sabotage")]
    without: Option<Rule>,
}

impl Settings {
    pub(crate) fn new(config: Config) -> Settings {
        Settings {
            config,
            #[cfg(feature = "sabotage")]
            without: None,
        }
    }

    #[cfg(feature = "sabotage")]
    pub(crate) fn without(config: Config, rule: Option<Rule>) -> Settings {
        Settings { without: rule, ..Settings::new(config) }
    }

    pub(crate) fn set_size_limits(&mut self, [event, query, response]: [u16; 3]) {
        self.config.event_size_limit = event;
        self.config.query_size_limit = query;
        self.config.response_size_limit = response;
    }

    #[cfg(feature = "authority")]
    pub(crate) fn set_authority(&mut self, authority: Authority) {
        self.config.authority = authority;
    }

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

impl Deref for Settings {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Each of them can be left out.
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
    /// Who has not received what its origin has sent to all is told by it.
    Reminders,
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
    PreSuspicion,
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
    /// Newcomers are taken in, and other fleets entered, at the word of members only, or of who was asked.
    Strangers,
    /// What has come once in a session is refused when it comes again.
    Windows,
    /// In one life a member moves to another address, by its own word.
    Moves,
    /// Who hears nobody, or finds nobody, probes many at a time.
    Search,
    /// Such probes say something only about others if answers have come all the while.
    BothHalves,
    /// Whoever hears of a later protocol period counts on from there.
    Periods,
    /// Whose host refuses what is sent to it has failed if it was refused to others, too.
    Witnesses,
    /// Of what is sealed only what is seen to be new is believed, where an old word does harm.
    Freshness,
}
