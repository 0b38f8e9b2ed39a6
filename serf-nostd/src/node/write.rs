//! Writing datagrams: what goes into each, in which order, and what moves when it is taken.

use super::Node;
use super::fleet::INTRODUCTION;
use crate::event::store::list;
use crate::gossip::heal::{Joining, Session, Step, ValueStep};
use crate::gossip::owed::{Answer, Owed, RECORDS};
use crate::member::digest::{BUCKETS, bucket};
use crate::member::record::{State, flag, say};
use crate::member::table::{SELF, Table};
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::{Duration, Instant};
use crate::wire::message::*;
use crate::wire::packet::Packet;

/// How many recent ids ride in pings and acks, and how long after the last new one.
const RIDERS: usize = 8;
const RIDING: Duration = Duration::from_secs(10);
/// Bytes of a ping or ack that news about members may take: the rest of the datagram stays small and quick.
const PIGGYBACK: usize = 600;

/// How long the digest of last values rides along after a change, and in which share of the pings at all times.
const VALUES_RIDE: Duration = Duration::from_secs(120);
const VALUES_EVERY: u64 = 16;

/// How many pieces of news that don't fit end the search for one that does.
const PASSED_OVER: u32 = 4;

/// A member as it is told.
fn alive<'t>(table: &'t Table<'_>, id: u16) -> Alive<'t> {
    let slot = table.slot(id);
    Alive {
        node: table.name(id),
        addr: slot.addr,
        incarnation: slot.incarnation,
        boot: slot.boot,
        tags: table.tags(id),
        versions: slot.versions,
    }
}

fn record<'t>(table: &'t Table<'_>, id: u16, now: Instant) -> Record<'t> {
    let slot = table.slot(id);
    let age = if slot.is_live() { 0 } else { now.since(table.case(id).since).as_secs() };
    Record {
        alive: alive(table, id),
        state: slot.settled(),
        status_ltime: slot.status_ltime,
        age: age.min(u32::MAX as u64) as u32,
    }
}

fn accusation<'t>(table: &'t Table<'_>, id: u16) -> Message<'t> {
    let slot = table.slot(id);
    let accuser = table.case(id).accuser().filter(|accuser| *accuser != id).unwrap_or(SELF);
    let from = if slot.state == State::Left { id } else { accuser };
    let (incarnation, boot) = (slot.incarnation, slot.boot);
    let accusation = Accusation { incarnation, boot, node: table.name(id), from: table.name(from) };
    if slot.state == State::Suspect { Message::Suspect(accusation) } else { Message::Dead(accusation) }
}

/// Writes what is to be said about a member; false (and nothing written) if it does not fit.
fn write_news(packet: &mut Packet<'_>, table: &Table<'_>, id: u16, bits: u8) -> bool {
    let slot = table.slot(id);
    let before = packet.len();
    let mut whole = true;
    if bits & say::STATE != 0 {
        whole &= match slot.state {
            State::Alive => packet.push(&Message::Alive(alive(table, id))),
            State::Failed if slot.has(flag::PRIVATE) => true,
            _ => packet.push(&accusation(table, id)),
        };
    }
    let (ltime, node) = (slot.status_ltime, table.name(id));
    if bits & say::JOIN != 0 {
        whole &= packet.push(&Message::JoinIntent(JoinIntent { ltime, node }));
    }
    if bits & say::LEAVE != 0 {
        let prune = slot.has(flag::PRUNE);
        whole &= packet.push(&Message::LeaveIntent(LeaveIntent { ltime, node, prune }));
    }
    if !whole {
        packet.truncate(before);
    }
    whole
}

impl Node<'_> {
    /// As much news about members as fits, least-sent first; counted as sent.
    pub(super) fn write_members(&mut self, packet: &mut Packet<'_>) {
        let limit = self.transmissions();
        let counts = self.queue.counts();
        // A few that are too long may be passed over for shorter ones; not the whole queue.
        let mut passed_over = 0;
        for (sends, count) in counts.into_iter().enumerate() {
            let mut at = self.queue.head(sends);
            for _ in 0..count {
                let Some(id) = at else { break };
                at = self.queue.after(self.members.table.cases, sends, id);
                let bits = self.members.table.case(id).say;
                if !write_news(packet, &self.members.table, id, bits) {
                    passed_over += 1;
                    if passed_over == PASSED_OVER {
                        return;
                    }
                    continue;
                }
                self.queue.sent(self.members.table.cases, id, limit);
                if packet.room() < 24 {
                    return;
                }
            }
        }
    }

    /// News about this node itself, not counted as sent.
    pub(super) fn write_own_news(&mut self, packet: &mut Packet<'_>, bits: u8) {
        let _ = write_news(packet, &self.members.table, SELF, bits);
    }

    /// As many messages about unknown members as fit; each goes out as often as other news.
    pub(super) fn write_foreign(&mut self, packet: &mut Packet<'_>) {
        let limit = self.transmissions();
        let mut at = self.store.first(list::FOREIGN);
        while let Some(slot) = at {
            at = self.store.after(list::FOREIGN, slot);
            if packet.push_encoded(self.store.foreign(slot))
                && self.store.foreign_sent(slot) as usize >= limit
            {
                self.store.drop_slot(slot);
            }
        }
    }

    /// Of the greatest ids that were seen those of which this node has heard of late, and whose payload it holds: in pings
    /// and acks.
    fn write_riders(&mut self, packet: &mut Packet<'_>, to: Address, now: Instant) {
        if self.seen.len() == 0 || !self.takes_events() || !self.heal.event_pace.moved_within(now, RIDING) {
            return;
        }
        let token = self.token(to);
        let newest = self.seen.get(self.seen.len() - 1);
        let for_former = self.is_for_former(newest);
        self.write_tag(packet, for_former);
        let Some(ids) = packet.ids(token) else { return };
        for place in (self.seen.len().saturating_sub(RIDERS)..self.seen.len()).rev() {
            let id = self.seen.get(place);
            let Some(slot) = self.store.find(id).filter(|_| self.is_for_former(id) == for_former) else {
                continue;
            };
            if now.since(self.store.since(slot)) <= RIDING && packet.push_item(&ids, &id) {
                self.stats.ids_sent += 1;
            }
        }
    }

    fn write_piggyback(&mut self, packet: &mut Packet<'_>, to: Address, now: Instant) {
        self.write_riders(packet, to, now);
        let limit = packet.reserve(packet.room().saturating_sub(PIGGYBACK));
        let inner = packet.reserve(INTRODUCTION);
        self.write_members(packet);
        self.introduce(packet, now, inner);
        packet.unreserve(limit);
    }

    pub(super) fn write_ping(&mut self, packet: &mut Packet<'_>, now: Instant, seq: u32, target: u16) {
        let summary = self.summary(EventId::LOWEST);
        let _ = packet.push(&Message::Summary(summary));
        let stirred = self.heal.value_pace.moved_within(now, VALUES_RIDE) && !self.windows.is_empty();
        let turn = self.stats.probes.is_multiple_of(VALUES_EVERY);
        if stirred || turn {
            self.write_values(packet);
        }
        // Below its floor a node can't see what it has missed: it asks others what they have.
        let floor = self.seen.floor();
        if let Some(history) = self.history(floor).filter(|_| turn && floor > EventId::LOWEST) {
            let _ = packet.push(&Message::History(history));
        }
        let table = &self.members.table;
        if (table.partial || turn) && self.config.has(Rule::PartHealing) {
            let _ = packet.push(&Message::Known(table.slot(target).known()));
        }
        if self.members.table.partial && turn && self.config.has(Rule::PartHealing) {
            // Whom it probes may not know it: it is compared with nobody.
            self.write_introduction(packet, now);
        }
        self.write_bare_ping(packet, seq, target);
        self.write_held_against(packet, target, now);
        let to = self.members.table.slot(target).addr;
        self.write_piggyback(packet, to, now);
    }

    /// What is held against a member, to be said to itself: that it does not live, or leaves. Who is back is told at once in
    /// which fleet the others are by now.
    fn write_held_against(&self, packet: &mut Packet<'_>, id: u16, now: Instant) {
        let table = &self.members.table;
        let slot = table.slot(id);
        if slot.state != State::Alive && !slot.has(flag::PRIVATE) {
            let _ = packet.push(&accusation(table, id));
            if !slot.is_live() && self.fleet != 0 && self.config.has(Rule::FleetNews) {
                self.write_fleet(packet, now);
            }
        } else if slot.has(flag::LEAVING) {
            let (ltime, node, prune) = (slot.status_ltime, table.name(id), slot.has(flag::PRUNE));
            let _ = packet.push(&Message::LeaveIntent(LeaveIntent { ltime, node, prune }));
        }
    }

    pub(super) fn write_bare_ping(&mut self, packet: &mut Packet<'_>, seq: u32, target: u16) {
        let (node, source) = (self.members.table.name(target), self.members.table.name(SELF));
        let _ = packet.push(&Message::Ping(Ping { seq, node, source, source_addr: None }));
    }

    pub(super) fn write_join(&mut self, packet: &mut Packet<'_>, now: Instant, join: &Joining) {
        let slot = self.members.table.slot(SELF);
        let message = Message::Join(Join {
            nonce: join.nonce,
            node: self.members.table.name(SELF),
            addr: slot.addr,
            boot: slot.boot,
            pages: !join.quiet,
        });
        let _ = packet.push(&message);
        if self.fleet != 0 {
            // It is no newcomer that asks: whoever is alone comes to its fleet.
            self.write_fleet(packet, now);
        }
        if join.quiet {
            let summary = self.summary(EventId::LOWEST);
            let _ = packet.push(&Message::Summary(summary));
        } else {
            packet.pad();
        }
    }

    /// Who this node is, and in which fleet.
    fn write_introduction(&self, packet: &mut Packet<'_>, now: Instant) {
        let _ = packet.push(&Message::Alive(alive(&self.members.table, SELF)));
        if self.fleet != 0 {
            self.write_fleet(packet, now);
        }
    }

    pub(super) fn write_member_session(
        &mut self,
        packet: &mut Packet<'_>,
        now: Instant,
        session: &Session<Step>,
    ) {
        let nonce = session.nonce;
        // The answerer is to know us, too: it does not look for what it lacks at a stranger's.
        self.write_introduction(packet, now);
        match session.step {
            Step::Pages { cursor } => {
                let _ = packet.push(&Message::PageRequest(PageRequest { nonce, cursor }));
            }
            Step::List { cursor } => {
                let buckets = &self.member_buckets();
                let _ = packet.push(&Message::DigestRequest(DigestRequest { nonce, cursor, buckets }));
            }
            Step::Records { wanted, count, .. } => {
                if let Some(hashes) = packet.records_request(nonce) {
                    for hash in &wanted[..count as usize] {
                        let _ = packet.push_item(&hashes, hash);
                    }
                }
            }
        }
        packet.pad();
    }

    pub(super) fn write_event_session(
        &mut self,
        packet: &mut Packet<'_>,
        session: &Session<crate::gossip::heal::EventStep>,
    ) {
        let (nonce, above, cursor) = (session.nonce, session.step.above, session.step.cursor);
        let buckets = &self.event_buckets(above);
        if let Some(history) = self.history(above) {
            let _ = packet.push(&Message::History(history));
        }
        let request = EventDigestRequest { nonce, above, buckets, cursor };
        let _ = packet.push(&Message::EventDigestRequest(request));
        packet.pad();
    }

    pub(super) fn write_value_session(&mut self, packet: &mut Packet<'_>, session: &Session<ValueStep>) {
        let request = ValuesRequest { nonce: session.nonce, cursor: session.step.cursor };
        let _ = packet.push(&Message::ValuesRequest(request));
        packet.pad();
    }

    /// Whether others may have this node's last values: before it has met a fleet its own have no lasting identity.
    fn tells_values(&self) -> bool {
        self.takes_events() && self.config.coalesce_quantum > Duration::ZERO
    }

    /// The digest of last values rides in pings, and in the acks of those, while there may be a difference: some time
    /// after a value is new, or somebody has come; else now and then.
    fn write_values(&mut self, packet: &mut Packet<'_>) {
        if let Some(digest) = self.value_digest().filter(|_| self.tells_values()) {
            let _ = packet.push(&Message::Values(digest));
        }
    }

    /// Writes one owed answer. False if it does not fit any more, or is of a kind that wants a datagram of its own.
    pub(super) fn write_answer(&mut self, packet: &mut Packet<'_>, owed: &Owed, now: Instant) -> bool {
        if !packet.is_empty() && !shares(&owed.what) {
            return false;
        }
        let before = packet.len();
        let written = self.write_answer_to(packet, owed, now);
        if !written {
            packet.truncate(before);
        }
        // An answer that fits no datagram of its length is not sent; whoever asked asks again.
        written || before == packet.len() && packet.is_empty()
    }

    fn write_answer_to(&mut self, packet: &mut Packet<'_>, owed: &Owed, now: Instant) -> bool {
        match owed.what {
            Answer::Ack { seq, above, asker, values, history, outdated } => {
                let acked = packet.push(&Message::Ack(Ack { seq, payload: &[] }));
                if outdated {
                    let known = self.members.table.slot(SELF).known();
                    let _ = packet.push(&Message::Known(known));
                }
                // First: to somebody elsewhere there may be no room for more.
                if asker != NIL {
                    self.write_held_against(packet, asker, now);
                }
                let summary = self.summary(above);
                let _ = packet.push(&Message::Summary(summary));
                if values {
                    self.write_values(packet);
                }
                if let Some(history) = self.history(above).filter(|_| history) {
                    let _ = packet.push(&Message::History(history));
                }
                self.write_piggyback(packet, owed.to, now);
                acked
            }
            Answer::RelayedAck { seq } => packet.push(&Message::Ack(Ack { seq, payload: &[] })),
            Answer::Nack { seq } => packet.push(&Message::Nack(Nack { seq })),
            Answer::RelayedPing { seq, target } => {
                self.write_bare_ping(packet, seq, target);
                true
            }
            Answer::Ping { seq, target } => {
                self.write_ping(packet, now, seq, target);
                true
            }
            Answer::IndirectPing { seq, target } => {
                let table = &self.members.table;
                packet.push(&Message::IndirectPing(IndirectPing {
                    seq,
                    node: table.name(target),
                    target: table.slot(target).addr,
                    nack: true,
                    source: table.name(SELF),
                    source_addr: None,
                }))
            }
            Answer::Event { id } => match self.store.find(id) {
                Some(slot) => {
                    if packet.is_empty() {
                        // A copy that comes late, when it is not asked for any more, is no news.
                        self.write_tag(packet, self.is_for_former(id));
                    }
                    self.write_event(packet, slot)
                }
                None => packet.missing(id),
            },
            Answer::Have { id } => {
                let token = self.token(owed.to);
                packet.ids(token).is_some_and(|list| packet.push_item(&list, &id))
            }
            Answer::Missing { id } => packet.missing(id),
            Answer::TooOld { id } => packet.too_old(id),
            Answer::Join { nonce, joiner, pages } => {
                let answer = JoinAnswer {
                    nonce,
                    clock: self.clocks.member.now(),
                    event_clock: self.clocks.event.now(),
                    query_clock: self.clocks.query.now(),
                };
                self.write_fleet(packet, now);
                let written = packet.push(&Message::JoinAnswer(answer));
                let last = EventId { ltime: self.clocks.event.now() - 1, origin: u64::MAX };
                if let Some(history) = self.history(last).filter(|_| pages) {
                    let _ = packet.push(&Message::History(history));
                }
                if !pages {
                    let summary = self.summary(EventId::LOWEST);
                    let _ = packet.push(&Message::Summary(summary));
                } else if joiner != NIL && joiner != SELF {
                    let _ = packet.push(&Message::Record(record(&self.members.table, joiner, now)));
                }
                written
            }
            Answer::NameTaken { nonce } => packet.push(&Message::NameTaken(nonce)),
            Answer::Page { nonce, cursor } => {
                let limit = packet.reserve(INTRODUCTION);
                let written = self.write_page(packet, nonce, cursor, now);
                self.introduce(packet, now, limit);
                written
            }
            Answer::Entries { nonce, cursor, buckets } => self.write_entries(packet, nonce, cursor, buckets),
            Answer::Records { nonce, ids } => {
                let limit = packet.reserve(INTRODUCTION);
                let written = self.write_records(packet, nonce, &ids, now);
                self.introduce(packet, now, limit);
                written
            }
            Answer::Values { nonce, cursor } => self.write_value_ids(packet, nonce, cursor, owed.to),
            Answer::EventEntries { nonce, above, cursor, buckets } => {
                self.write_compared_fleet(packet, now);
                if let Some(history) = self.history(above) {
                    let _ = packet.push(&Message::History(history));
                }
                self.write_event_entries(packet, (nonce, self.token(owed.to)), above.max(cursor), buckets)
            }
        }
    }

    fn write_page(&mut self, packet: &mut Packet<'_>, nonce: u32, cursor: u32, now: Instant) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let table = &self.members.table;
        for id in table.hashed_from(cursor).filter(|id| !table.slot(*id).has(flag::FADED)) {
            if !packet.push(&Message::Record(record(table, id, now))) {
                packet.goes_on(&page, table.slot(id).hash);
                break;
            }
        }
        true
    }

    fn write_entries(&mut self, packet: &mut Packet<'_>, nonce: u32, cursor: u32, buckets: u32) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let Some(entries) = packet.entries() else { return false };
        let table = &self.members.table;
        // They are few: they stand on each page.
        for entry in table.unheld() {
            let _ = packet.push_item(&entries, &entry);
        }
        let mut from = cursor;
        // Bucket by bucket, so that those which agree are not even walked.
        while let Some(listed) = (bucket(from)..BUCKETS).find(|place| buckets & 1 << place != 0) {
            from = from.max((listed as u32) << 27);
            let mut beyond = None;
            for id in table.hashed_from(from) {
                let slot = table.slot(id);
                if bucket(slot.hash) != listed {
                    beyond = Some(slot.hash);
                    break;
                }
                let entry = Entry { name: slot.hash, version: slot.version() };
                if !slot.has(flag::FADED) && !packet.push_item(&entries, &entry) {
                    packet.goes_on(&page, slot.hash);
                    return true;
                }
            }
            // What lies before the next member is not walked twice.
            let Some(next) = beyond else { break };
            from = next;
        }
        true
    }

    fn write_records(
        &mut self,
        packet: &mut Packet<'_>,
        nonce: u32,
        ids: &[u16; RECORDS],
        now: Instant,
    ) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let table = &self.members.table;
        let named = ids.iter().filter(|id| **id != NIL).map(|id| table.slot(*id).hash);
        // Members whose names share a hash are all meant.
        for id in named.flat_map(|hash| table.same_hash(hash)).filter(|id| !table.slot(*id).has(flag::FADED))
        {
            if !packet.push(&Message::Record(record(table, id, now))) {
                packet.goes_on(&page, table.slot(id).hash);
                break;
            }
        }
        true
    }

    fn write_value_ids(&mut self, packet: &mut Packet<'_>, nonce: u32, cursor: u32, to: Address) -> bool {
        let Some(page) = packet.page(nonce) else { return false };
        let token = self.token(to);
        let Some(ids) = packet.value_ids(token) else { return false };
        for (place, id) in self.windows.values(cursor as usize).filter(|_| self.tells_values()) {
            if !packet.push_item(&ids, &id) {
                packet.goes_on(&page, place as u32);
                break;
            }
        }
        true
    }

    fn write_event_entries(
        &mut self,
        packet: &mut Packet<'_>,
        (nonce, token): (u32, u32),
        from: EventId,
        buckets: u16,
    ) -> bool {
        // How far one page reaches is only known when it is full: passes go on until one ends where the one before did.
        let head = packet.len();
        let mut next = None;
        for _ in 0..4 {
            packet.truncate(head);
            let Some(ids) = packet.event_entries(nonce, token, next) else {
                return false;
            };
            let mut end = None;
            for place in self.seen.rank(from)..self.seen.len() {
                let id = self.seen.get(place);
                let listed = buckets & 1 << crate::event::seen::bucket(id.hash()) != 0;
                if Some(id) == next || (listed && !packet.push_item(&ids, &id)) {
                    end = Some(id);
                    break;
                }
            }
            if end == next {
                return true;
            }
            next = end;
        }
        true
    }

    /// Writes an event with its payload; false if it does not fit.
    pub(super) fn write_event(&mut self, packet: &mut Packet<'_>, slot: u16) -> bool {
        let event = self.store.event(slot);
        let message = Message::UserEvent(UserEvent {
            id: event.id,
            coalesce: event.coalesce,
            name: event.name,
            payload: event.payload,
        });
        let written = packet.push(&message);
        self.stats.payloads_sent += written as u64;
        written
    }
}

/// Whether several answers of this kind go to one address in one datagram.
fn shares(what: &Answer) -> bool {
    matches!(
        what,
        Answer::Event { .. }
            | Answer::Missing { .. }
            | Answer::TooOld { .. }
            | Answer::Nack { .. }
            | Answer::RelayedAck { .. }
    )
}
