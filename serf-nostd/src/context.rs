//! What every engine works with: the moment, the settings, chance, counters, clocks, and what is to be sent to somebody.

use crate::authority::SIGNED;
use crate::clock::{Clocks, Lamport, Word};
use crate::config::Config;
use crate::hash;
use crate::outgoing::{Answer, Outgoing};
use crate::random::Random;
use crate::rules::{Rule, Settings};
use crate::slice::Ring;
use crate::stats::Stats;
use crate::time::{Duration, Instant};
#[cfg(feature = "timings")]
use crate::timings::Timings;
use crate::wire::message::Address;
use crate::wire::packet::{Packet, Wire};
use crate::wire::seal::{Reply, Seal};

pub(crate) struct Cx<'a> {
    /// When the door was last called: whatever follows from that call happens at this instant.
    pub(crate) now: Instant,
    pub(crate) config: Settings,
    pub(crate) random: Random,
    pub(crate) stats: Stats,
    #[cfg(feature = "timings")]
    pub(crate) timings: Timings,
    pub(crate) clocks: Clocks,
    pub(crate) wire: Wire<'a>,
    /// Who fires this node's events, in their identities: a hash of its name and boot.
    pub(crate) origin: u64,
    /// What is to be sent to one node each, at once: mostly answers.
    pub(crate) outgoing: Ring<'a, Outgoing>,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(
        config: Settings,
        outgoing: &'a mut [Outgoing],
        seal: Seal<'a>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut clocks = Clocks::new(now);
        clocks.event.adopt(config.event_floor.saturating_add(1));
        Cx {
            now,
            wire: Wire::new(config.cluster, seal),
            config,
            random: Random::new(seed),
            stats: Stats::default(),
            #[cfg(feature = "timings")]
            timings: Timings::default(),
            clocks,
            origin: 0,
            outgoing: Ring::new(outgoing),
        }
    }

    /// A direct probe has been answered after so long.
    #[cfg(feature = "timings")]
    pub(crate) fn note_round_trip(&mut self, took: Duration) {
        self.timings.round_trips.note(took.as_micros());
    }

    #[cfg(not(feature = "timings"))]
    pub(crate) fn note_round_trip(&mut self, _: Duration) {}

    /// An own event that was sent then has come back from enough others.
    #[cfg(feature = "timings")]
    pub(crate) fn note_spread(&mut self, sent: Instant) {
        self.timings.spread.note(self.now.since(sent).as_micros());
    }

    #[cfg(not(feature = "timings"))]
    pub(crate) fn note_spread(&mut self, _: Instant) {}

    /// Moves a clock past a received time; false if that is out of reach, and what carried it refused.
    pub(crate) fn witness(&mut self, which: Lamport, word: Word, seen: u64) -> bool {
        let paced = self.config.has(Rule::ClockPace);
        let fits = self.clocks.witness(which, self.now, word, seen, paced).is_ok();
        self.stats.clock_refused += !fits as u64;
        fits
    }

    /// Moves the clocks of intents, events and queries past a peer's, as far as they may go.
    pub(crate) fn witness_all(&mut self, word: Word, theirs: [u64; 3]) {
        let own = self.clocks.all();
        for (which, clock) in [Lamport::Member, Lamport::Event, Lamport::Query].into_iter().enumerate() {
            // A clock tells the time of its next message: what was seen is one less.
            if theirs[which] > own[which] {
                self.witness(clock, word, theirs[which] - 1);
            }
        }
    }

    /// Notes what is to be sent to an address, in a datagram of at most `limit` bytes. The newest is refused when there is no
    /// room: whoever asked asks again.
    pub(crate) fn enqueue(&mut self, to: Address, limit: usize, what: Answer) {
        self.enqueue_reply(to, limit, Reply::PLAIN, what);
    }

    /// The same as the answer to a datagram of its own kind.
    pub(crate) fn enqueue_reply(&mut self, to: Address, limit: usize, reply: Reply, what: Answer) {
        let limit = limit.min(u16::MAX as usize) as u16;
        if !self.outgoing.push_back(Outgoing { to, limit, reply, what }) {
            self.stats.answers_refused += 1;
        }
    }

    /// What comes in answer to this datagram is to be seen to be new, where datagrams are sealed.
    #[cfg(feature = "seal")]
    pub(crate) fn write_challenge(&self, packet: &mut Packet<'_>, to: &Address) {
        if self.wire.seal.is_on() {
            let number = self.wire.seal.challenge(to, self.now);
            let _ = packet.push(&crate::wire::message::Message::Challenge(number));
        }
    }

    #[cfg(not(feature = "seal"))]
    pub(crate) fn write_challenge(&self, _: &mut Packet<'_>, _: &Address) {}

    /// From now on own events are those of this life.
    pub(crate) fn begin_life(&mut self, name: &str, boot: u64) {
        let boot = if self.config.has(Rule::OriginBoot) { boot } else { 0 };
        self.origin = hash::origin(name, boot) & !SIGNED;
    }

    /// Who fires this node's signed events. Never what a query goes by, whose lowest bit is 0.
    pub(crate) fn signed_origin(&self) -> u64 {
        self.origin | SIGNED | 1
    }

    /// How long member events may wait for others, in all and after the last one.
    pub(crate) fn member_window(&self) -> (Duration, Duration) {
        let Config { coalesce_members, coalesce_quantum, coalesce_quiescent, .. } = *self.config;
        if coalesce_members {
            (coalesce_quantum, coalesce_quiescent)
        } else {
            (Duration::ZERO, Duration::ZERO)
        }
    }
}
