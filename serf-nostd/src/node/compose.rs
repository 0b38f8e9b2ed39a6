//! Datagrams that more than one engine has a part in: probes, answers, questions. Each engine writes its own part; what goes
//! into each, and in which order, stands here.

#[cfg(feature = "inquest")]
use core::net::SocketAddr;

use super::Node;
#[cfg(feature = "coordinates")]
use crate::coordinate::Coordinate;
use crate::events::fleet::INTRODUCTION;
use crate::membership::table::SELF;
use crate::outgoing::{Answer, Outgoing};
#[cfg(feature = "inquest")]
use crate::random::Targets;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::sync::{Ask, summary, write_history, write_introduction};
use crate::time::Duration;
use crate::wire::message::{Ack, Address, EventId, IndirectPing, JoinAnswer, Message, Nack};
use crate::wire::packet::{DATAGRAM_MAX, Packet};

/// Bytes of a ping or ack that news about members may take: the rest of the datagram stays small and quick.
const PIGGYBACK: usize = 600;

/// How long the digest of last values rides along after a change, and in which share of the pings at all times.
const VALUES_RIDE: Duration = Duration::from_secs(120);
const VALUES_EVERY: u64 = 16;

/// Members that are told when a process ends: more would ask its host more than it answers.
#[cfg(feature = "inquest")]
const LAST_WORDS: usize = 4;

impl Node<'_> {
    // ---- probes ----

    pub(super) fn probe(&mut self, target: u16, seq: u32, tx: &mut [u8]) -> (Address, usize) {
        self.cx.stats.probes += 1;
        self.ping_datagram(target, seq, tx)
    }

    fn ping_datagram(&mut self, target: u16, seq: u32, tx: &mut [u8]) -> (Address, usize) {
        let mut packet = self.cx.wire.packet(tx, DATAGRAM_MAX);
        self.write_ping(&mut packet, seq, target);
        let to = self.engines.members.table.hot(target).addr;
        let len = packet.finish(&mut self.cx.wire);
        self.engines.failure.sent(&self.cx, &tx[..len], seq, target);
        (to, len)
    }

    fn write_ping(&mut self, packet: &mut Packet<'_>, seq: u32, target: u16) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let _ = packet.push(&Message::Summary(summary(cx, e, EventId::LOWEST)));
        // There may be a difference some time after a value is new, or somebody has come; else it is asked now and then.
        let moved = e.events.value_backoff.moved_within(cx.now, VALUES_RIDE);
        let turn = cx.stats.probes.is_multiple_of(VALUES_EVERY);
        if turn || moved && !e.events.coalescer.is_empty() {
            e.events.write_values(&cx.config, packet);
        }
        // Below its floor a node can't see what it has missed: it asks others what they have.
        if turn && e.events.seen.floor() > EventId::LOWEST {
            write_history(e, packet, EventId::LOWEST);
        }
        // Who holds a part of the fleet is compared with nobody; and whom it probes may not know it.
        let partial = e.members.table.partial;
        if (partial || turn) && cx.config.has(Rule::PartHealing) {
            let known = e.members.table.hot(target).known();
            let _ = packet.push(&Message::Known(known));
            if partial && turn {
                write_introduction(cx, e, packet);
            }
        }
        let _ = packet.push(&Message::Period(e.failure.detector.period()));
        e.members.write_ping(packet, seq, target);
        self.write_held_against(packet, target);
        let to = self.engines.members.table.hot(target).addr;
        self.write_piggyback(packet, to);
    }

    /// What is held against a member. Who is back is told at once in which fleet the others are by now.
    fn write_held_against(&self, packet: &mut Packet<'_>, id: u16) {
        let (cx, e) = (&self.cx, &self.engines);
        let gone = e.members.write_held_against(packet, id);
        if gone && e.events.fleet.id != 0 && cx.config.has(Rule::FleetNews) {
            e.events.fleet.write(cx, packet);
        }
    }

    fn write_piggyback(&mut self, packet: &mut Packet<'_>, to: Address) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        e.events.write_riders(cx, packet, to);
        let limit = packet.reserve(packet.room().saturating_sub(PIGGYBACK));
        let inner = packet.reserve(INTRODUCTION);
        e.members.write_updates(packet, &cx.config);
        e.events.fleet.introduce(cx, packet, inner);
        packet.unreserve(limit);
    }

    /// "My process ends": a datagram for a few members, whom a driver sends it to when its process is about to end without leaving.
    /// They look soon whether this node still answers; nobody believes it just so. Writes it to `tx` ([`DATAGRAM_MAX`] bytes at
    /// least); how long it is, and whom it is for: members drawn at random.
    ///
    /// It stays good for as long as this node has its name, its address and its key: it may be kept, for a panic.
    #[cfg(feature = "inquest")]
    pub fn last_words(&mut self, tx: &mut [u8]) -> (usize, [Option<SocketAddr>; LAST_WORDS]) {
        let (cx, table) = (&mut self.cx, &self.engines.members.table);
        let mut packet = cx.wire.packet(tx, DATAGRAM_MAX);
        let _ = packet.push(&Message::Gone(table.name(SELF)));
        let len = packet.finish(&mut cx.wire);
        let mut targets = Targets::draw(&mut cx.random, table.live(), LAST_WORDS);
        let to = [(); LAST_WORDS].map(|()| {
            let id = table.live_at(targets.next(table.live())?);
            Some(table.hot(id).addr.into())
        });
        (len, to)
    }

    // ---- questions ----

    pub(super) fn ask(&mut self, ask: &Ask, tx: &mut [u8]) -> (Address, usize) {
        if let Ask::Failed { target, seq } = *ask {
            return self.ping_datagram(target, seq, tx);
        }
        let (to, limit) = ask.address(&self.engines.members);
        let mut packet = self.cx.wire.packet(tx, limit);
        self.sync.write(&self.cx, &self.engines, &mut packet, ask);
        (to, packet.finish(&mut self.cx.wire))
    }

    // ---- answers ----

    /// The next answer, with others to the same address that fit.
    pub(super) fn next_answer(&mut self, tx: &mut [u8]) -> Option<(Address, usize)> {
        while let Some(first) = self.cx.outgoing.front() {
            let mut packet = self.cx.wire.packet(tx, first.limit as usize);
            self.write_head(&mut packet, &first);
            let head = packet.len();
            while let Some(next) = self.cx.outgoing.front() {
                let same = (next.to, next.limit, next.reply) == (first.to, first.limit, first.reply);
                if !same || !self.write_answer(&mut packet, head, &next) {
                    break;
                }
                self.cx.outgoing.pop_front();
            }
            if !packet.is_empty() {
                if first.reply.challenges() {
                    // Its answer is no longer than it, and is to have room for who that is, and what it has told before.
                    let limit = packet.reserve(packet.room().saturating_sub(PIGGYBACK));
                    packet.pad();
                    packet.unreserve(limit);
                }
                let len = packet.finish_reply(&mut self.cx.wire, &first.reply);
                let to = match first.what {
                    Answer::RelayedPing { seq, target } | Answer::Ping { seq, target } => Some((seq, target)),
                    // Who is asked to help may be dead as well.
                    #[cfg(feature = "inquest")]
                    Answer::IndirectPing { .. } => {
                        let table = &self.engines.members.table;
                        table.live_from(&first.to).map(|place| (0, table.live_at(place)))
                    }
                    _ => None,
                };
                if let Some((seq, target)) = to {
                    self.engines.failure.sent(&self.cx, &tx[..len], seq, target);
                }
                return Some((first.to, len));
            }
        }
        None
    }

    /// What a sealed answer begins with: what shows its receiver that it is new, and a challenge to show the same.
    fn write_head(&self, packet: &mut Packet<'_>, first: &Outgoing) {
        #[cfg(feature = "seal")]
        if first.reply.answers() != 0 {
            let _ = packet.push(&Message::ChallengeAnswer(first.reply.answers()));
        }
        if first.reply.challenges() {
            self.cx.write_challenge(packet, &first.to);
        }
    }

    /// Writes one answer behind others, the first of which stands at `head`. False if it does not fit any more, or is of a kind that
    /// wants a datagram of its own.
    fn write_answer(&mut self, packet: &mut Packet<'_>, head: usize, next: &Outgoing) -> bool {
        if packet.len() > head && !shares(&next.what) {
            return false;
        }
        let before = packet.len();
        let written = self.write_answer_to(packet, head, next);
        if !written {
            packet.truncate(before);
        }
        // An answer that fits no datagram of its length is not sent; whoever asked asks again.
        written || before == packet.len() && before == head
    }

    fn write_answer_to(&mut self, packet: &mut Packet<'_>, head: usize, next: &Outgoing) -> bool {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let Outgoing { to, what, .. } = *next;
        match what {
            Answer::Ack { .. } => self.write_ack(packet, to, what),
            Answer::RelayedAck { seq } => packet.push(&Message::Ack(Ack { seq, payload: &[] })),
            Answer::Nack { seq } => packet.push(&Message::Nack(Nack { seq })),
            #[cfg(feature = "inquest")]
            Answer::Refused { seq } => packet.push(&Message::Refused(seq)),
            Answer::RelayedPing { seq, target } => {
                e.members.write_ping(packet, seq, target);
                true
            }
            Answer::Ping { seq, target } => {
                self.write_ping(packet, seq, target);
                true
            }
            Answer::IndirectPing { seq, target } => {
                let table = &e.members.table;
                packet.push(&Message::IndirectPing(IndirectPing {
                    seq,
                    node: table.name(target),
                    target: table.hot(target).addr,
                    nack: true,
                    source: table.name(SELF),
                    source_addr: None,
                }))
            }
            Answer::Event { id } => match e.events.store.find(id) {
                Some(slot) => {
                    if packet.len() == head {
                        e.events.fleet.write_tag_of(packet, id);
                    }
                    e.events.store.given(slot);
                    e.events.write_event(cx, packet, slot)
                }
                None => packet.dont_have(id),
            },
            Answer::IHave { id } => {
                let list = packet.i_have(e.events.token(to));
                list.is_some_and(|list| packet.push_item(&list, &id))
            }
            Answer::DontHave { id } => packet.dont_have(id),
            Answer::TooOld { id } => packet.too_old(id),
            Answer::Received { answer } => packet.push(&Message::Received(answer)),
            Answer::Confirmed { id } => packet.confirmed(id),
            Answer::Join { .. } => self.write_join_answer(packet, to, what),
            Answer::Proof => {
                if next.reply.answers() != 0 {
                    e.events.write_wanted(packet, to);
                    e.members.write_proof(packet);
                    // What it has told before went unheard.
                    self.write_piggyback(packet, to);
                }
                true
            }
            #[cfg(feature = "seal")]
            Answer::NewKey => {
                let mut wrapped = [0; crate::wire::seal::WRAPPED_KEY];
                let seal = &cx.wire.seal;
                let len = seal.wrap(Some(&next.reply), seal.keys().take(1), &mut wrapped).unwrap_or(0);
                packet.push(&Message::NewKey(seal.primary_since(), &wrapped[..len]))
            }
            Answer::NameTaken { nonce } => packet.push(&Message::NameTaken(nonce)),
            Answer::OtherCluster => packet.push(&Message::Cluster(cx.config.cluster.unwrap_or_default())),
            Answer::Page { nonce, cursor } => {
                let limit = packet.reserve(INTRODUCTION);
                let written = e.members.write_page(packet, nonce, cursor, cx.now);
                e.events.fleet.introduce(cx, packet, limit);
                written
            }
            Answer::Entries { nonce, cursor, buckets } => {
                e.members.write_entries(packet, nonce, cursor, buckets)
            }
            Answer::Records { nonce, ids } => {
                let limit = packet.reserve(INTRODUCTION);
                let written = e.members.write_records(packet, nonce, &ids, cx.now);
                e.events.fleet.introduce(cx, packet, limit);
                written
            }
            Answer::Values { nonce, cursor } => {
                e.events.write_value_ids(&cx.config, packet, (nonce, e.events.token(to)), cursor)
            }
            Answer::EventEntries { nonce, above, cursor, buckets } => {
                e.events.fleet.write_compared(cx, packet);
                write_history(e, packet, above);
                let head = (nonce, e.events.token(to));
                e.events.write_entries(packet, head, above.max(cursor), buckets)
            }
        }
    }

    fn write_ack(&mut self, packet: &mut Packet<'_>, to: Address, ack: Answer) -> bool {
        let Answer::Ack { seq, above, asker, values, history, outdated, elsewhere } = ack else {
            return false;
        };
        #[cfg(feature = "coordinates")]
        let coordinate = self.engines.failure.coordinates.own().map(Coordinate::pack);
        #[cfg(feature = "coordinates")]
        let payload = coordinate.as_ref().map_or(&[][..], |packed| packed);
        #[cfg(not(feature = "coordinates"))]
        let payload = &[];
        let written = packet.push(&Message::Ack(Ack { seq, payload }))
            || packet.push(&Message::Ack(Ack { seq, payload: &[] }));
        if outdated {
            let known = self.engines.members.table.hot(SELF).known();
            let _ = packet.push(&Message::Known(known));
        }
        // First: to somebody elsewhere there may be no room for more.
        if asker != NIL {
            self.write_held_against(packet, asker);
        }
        let (cx, e) = (&self.cx, &self.engines);
        let _ = packet.push(&Message::Summary(summary(cx, e, above)));
        if elsewhere {
            let _ = packet.push(&Message::Observed(to));
        }
        if values {
            e.events.write_values(&cx.config, packet);
        }
        if history {
            write_history(e, packet, above);
        }
        self.write_piggyback(packet, to);
        written
    }

    fn write_join_answer(&self, packet: &mut Packet<'_>, to: Address, answer: Answer) -> bool {
        let Answer::Join { nonce, joiner, pages, elsewhere } = answer else { return false };
        let (cx, e) = (&self.cx, &self.engines);
        let [clock, event_clock, query_clock] = cx.clocks.all();
        e.events.fleet.write(cx, packet);
        let answer = JoinAnswer { nonce, clock, event_clock, query_clock };
        let written = packet.push(&Message::JoinAnswer(answer));
        if elsewhere {
            let _ = packet.push(&Message::Observed(to));
        }
        if pages {
            write_history(e, packet, EventId { ltime: event_clock - 1, origin: u64::MAX });
            if joiner != NIL && joiner != SELF {
                e.members.write_record(packet, joiner, cx.now);
            }
        } else {
            let _ = packet.push(&Message::Summary(summary(cx, e, EventId::LOWEST)));
        }
        written
    }
}

/// Whether several answers of this kind go to one address in one datagram.
fn shares(what: &Answer) -> bool {
    #[cfg(feature = "inquest")]
    if matches!(what, Answer::Refused { .. }) {
        return true;
    }
    matches!(
        what,
        Answer::Event { .. }
            | Answer::Confirmed { .. }
            | Answer::Received { .. }
            | Answer::DontHave { .. }
            | Answer::TooOld { .. }
            | Answer::Nack { .. }
            | Answer::RelayedAck { .. }
    )
}
