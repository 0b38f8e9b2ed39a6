//! What comes in: each message goes to the room that judges it.

use core::net::SocketAddr;

use super::{Input, Node};
use crate::config::Rule;
use crate::detect::probe::Answered;
use crate::event::pull::Announcer;
use crate::event::seen::Sight;
use crate::event::store::{Pin, list};
use crate::gossip::owed::{Answer, RECORDS};
use crate::hash;
use crate::member::machine::Effect;
use crate::member::record::{State, flag, say};
use crate::member::table::SELF;
use crate::slice::NIL;
use crate::time::Instant;
use crate::wire::message::{Accusation, Address, EventId, Message, Page, Summary, UserEvent};
use crate::wire::native;
use crate::wire::packet::{self, Reject};

/// From how many others an own event has to come back; one less where this node sends it to everybody itself.
const CONFIRMATIONS: usize = 3;

/// What one datagram has shown so far.
struct Context {
    now: Instant,
    from: Address,
    /// How long an answer to somebody who has not answered us may be: as long as the datagram, and there is only one.
    budget: usize,
    /// Whether what came proves that its sender is who it says: an answer to our question.
    proven: bool,
    summary: Option<Summary>,
    /// The records that follow were asked for: by a join (`true`) or a comparison.
    records: Option<bool>,
    /// The page that this datagram is, while nothing else has decided what is asked for next.
    page: Option<Page>,
}

impl Node<'_> {
    /// Takes in what has arrived. Bounded work; never sends: drain [`Node::poll`] afterwards.
    ///
    /// # Errors
    /// [`Reject`] says why a datagram was refused; it is counted in [`crate::Stats`] as well.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Reject> {
        self.finish_erasing();
        self.wake(now);
        let Input::Datagram { from, bytes } = input;
        let result = self.datagram(now, from, bytes);
        match result {
            Ok(()) => {}
            Err(Reject::OtherCluster) => self.stats.refused_cluster += 1,
            Err(Reject::GoWire | Reject::Version) => self.stats.refused_wire += 1,
            Err(Reject::TooLong | Reject::NotNative | Reject::Malformed) => self.stats.refused += 1,
        }
        result
    }

    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), Reject> {
        self.stats.datagrams_in += 1;
        self.stats.bytes_in += bytes.len() as u64;
        let messages = packet::open(bytes, self.cluster)?;
        let mut context = Context {
            now,
            from: from.into(),
            budget: bytes.len(),
            proven: false,
            summary: None,
            records: None,
            page: None,
        };
        self.now_heard(now);
        for message in messages {
            self.message(&mut context, message?);
        }
        if let Some(page) = context.page {
            self.page_done(now, &page);
        }
        // A comparison sends to where this came from: not at a stranger's word.
        if let Some(summary) = context.summary.filter(|_| context.proven) {
            self.compare(now, context.from, &summary);
        }
        Ok(())
    }

    fn message(&mut self, c: &mut Context, message: Message<'_>) {
        let now = c.now;
        match message {
            Message::Summary(summary) => {
                let clocks = [
                    (&mut self.clock, summary.clock),
                    (&mut self.event_clock, summary.event_clock),
                    (&mut self.query_clock, summary.query_clock),
                ];
                for (clock, seen) in clocks {
                    // A clock tells the time of its next message: what was seen is one less.
                    if clock.witness(seen.saturating_sub(1)).is_err() {
                        self.stats.clock_refused += 1;
                    }
                }
                c.summary = Some(summary);
            }
            Message::Ping(ping) => {
                if ping.node != self.members.table.name(SELF) {
                    self.stats.misaddressed += 1;
                    return;
                }
                let source = self.members.table.find(ping.source).filter(|id| *id != SELF);
                let source = source.filter(|id| self.members.table.slot(*id).addr == c.from);
                let asker = source.unwrap_or(NIL);
                let above = c.summary.map_or(EventId::LOWEST, |summary| summary.floor);
                let what = Answer::Ack { seq: ping.seq, above, asker };
                // Whether it has answered us at this address.
                if source.is_some_and(|id| self.members.table.slot(id).has(flag::VERIFIED)) {
                    c.proven = true;
                    self.owe(c.from, usize::MAX, what);
                } else {
                    self.owe_stranger(c, what);
                }
                match source {
                    Some(id) if self.members.table.slot(id).has(flag::PRIVATE) => {
                        self.member_answered(now, id)
                    }
                    None if self.members.table.live() == 0 => self.meet(now, c.from),
                    _ => {}
                }
            }
            Message::IndirectPing(ping) => {
                let Some(target) = self.members.table.find(ping.node).filter(|id| *id != SELF) else {
                    self.stats.misaddressed += 1;
                    return;
                };
                let seq = self.random.next() as u32;
                if self.detector.relay(now, &self.config, seq, (c.from, ping.seq), ping.nack) {
                    self.owe_member(target, Answer::RelayedPing { seq, target });
                } else {
                    self.stats.relays_refused += 1;
                }
            }
            Message::Ack(ack) => self.ack(c, ack.seq),
            Message::Nack(nack) => self.detector.nacked(nack.seq),
            Message::Alive(alive) => {
                let effect = self.with_room(now, |members, moment| members.alive(moment, &alive));
                self.follow_about(now, effect, &message);
            }
            Message::Suspect(accusation) => self.suspect(now, &accusation, &message),
            Message::Dead(accusation) => {
                let (members, mut moment) = self.moment(now);
                let effect = members.dead(&mut moment, &accusation);
                self.follow_about(now, effect, &message);
            }
            Message::JoinIntent(intent) => {
                if self.member_clock(intent.ltime) {
                    let (members, mut moment) = self.moment(now);
                    let effect = members.join_intent(&mut moment, &intent);
                    self.follow_about(now, effect, &message);
                }
            }
            Message::LeaveIntent(intent) => {
                if self.member_clock(intent.ltime) {
                    let (members, mut moment) = self.moment(now);
                    let effect = members.leave_intent(&mut moment, &intent);
                    self.follow_about(now, effect, &message);
                    if effect == Effect::Say(self.members.table.find(intent.node).unwrap_or(NIL), say::LEAVE)
                    {
                        self.prune(now, intent.node);
                    }
                }
            }
            Message::UserEvent(event) => self.event(c, &event),
            Message::Ids(token, ids) => {
                // Own events are confirmed, missing ones asked for.
                let announcer = Announcer::new(c.from, token, c.proven);
                for id in ids {
                    self.announced(now, announcer, id);
                }
            }
            Message::Pull(token, ids) => {
                let entitled = token == self.token(c.from);
                for id in ids {
                    let held = self.store.find(id).is_some();
                    let what = if held { Answer::Event { id } } else { Answer::Missing { id } };
                    if entitled {
                        self.owe(c.from, usize::MAX, what);
                    } else {
                        self.owe_stranger(c, what);
                    }
                }
            }
            Message::TooOld(ids) => {
                for id in ids {
                    // Counts like a return, so that no single word releases it.
                    if self.confirm_own(id, c.from) {
                        self.stats.own_expired += 1;
                        warning!("own event of Lamport time {} came too late for others", id.ltime);
                    }
                }
            }
            Message::Missing(ids) => {
                for id in ids {
                    if self.pulls.missing(id, now) {
                        self.stats.pull_miss += 1;
                        if self.pulls.is_empty() {
                            self.pulled_all(now);
                        }
                    }
                }
            }
            Message::Join(join) => {
                if let Some(what) = self.join_request(now, c.from, &join) {
                    self.owe_stranger(c, what);
                }
            }
            Message::JoinAnswer(answer) => {
                if let Some(asked) = self.join_answer(now, c.from, &answer) {
                    c.proven = true;
                    c.records = asked.then_some(true);
                }
            }
            Message::NameTaken(nonce) => self.name_taken(nonce),
            Message::PageRequest(request) => {
                let what = Answer::Page { nonce: request.nonce, cursor: request.cursor };
                self.owe_stranger(c, what);
            }
            Message::Page(page) => {
                if self.heal.members.as_ref().is_some_and(|session| session.nonce == page.nonce) {
                    c.records = Some(false);
                    c.page = Some(page);
                }
            }
            Message::Record(record) => {
                if let Some(joining) = c.records {
                    self.stats.records_in += 1;
                    self.record_about(now, &record, joining);
                }
            }
            Message::DigestRequest(request) => {
                let buckets = self.differing_members(request.buckets);
                let what = Answer::Entries { nonce: request.nonce, cursor: request.cursor, buckets };
                self.owe_stranger(c, what);
            }
            Message::Entries(entries) => {
                if let Some(page) = c.page
                    && self.entries(now, entries, page.next)
                {
                    c.page = None;
                }
            }
            Message::RecordsRequest(nonce, hashes) => {
                let mut ids = [NIL; RECORDS];
                for (place, hash) in ids.iter_mut().zip(hashes) {
                    *place = self.members.table.same_hash(hash).next().unwrap_or(NIL);
                }
                self.owe_stranger(c, Answer::Records { nonce, ids });
            }
            // One answer per datagram: what gets none is not worked out either.
            Message::EventDigestRequest(_) if c.budget == 0 => self.stats.answers_refused += 1,
            Message::EventDigestRequest(request) => {
                let buckets = self.differing_events(request.above, request.buckets);
                let what = Answer::EventEntries {
                    nonce: request.nonce,
                    above: request.above,
                    cursor: request.cursor,
                    buckets,
                };
                self.owe_stranger(c, what);
            }
            Message::EventEntries(entries) => self.event_entries(now, c.from, &entries),
            Message::Padding => {}
            // Queries are not answered by this version; they have their place in the model.
            Message::Query(_) | Message::QueryResponse(_) | Message::Unknown => {
                self.stats.unknown_messages += 1;
            }
        }
    }

    /// Notes an answer for somebody who may not be where the request says it came from: one, and no longer than it.
    fn owe_stranger(&mut self, c: &mut Context, what: Answer) {
        match core::mem::take(&mut c.budget) {
            0 => self.stats.answers_refused += 1,
            budget => self.owe(c.from, budget, what),
        }
    }

    /// Moves the member clock past a received time; false if that is out of reach and its message refused.
    fn member_clock(&mut self, ltime: u64) -> bool {
        let ok = self.clock.witness(ltime).is_ok();
        self.stats.clock_refused += !ok as u64;
        ok
    }

    fn ack(&mut self, c: &mut Context, seq: u32) {
        match self.detector.acked(seq) {
            Answered::Target(NIL) => {}
            Answered::Target(id) => {
                if self.members.table.slot(id).addr == c.from {
                    c.proven = true;
                    self.members.table.slot_mut(id).set(flag::VERIFIED, true);
                }
                self.member_answered(c.now, id);
            }
            Answered::Relayed { to, seq } => self.owe(to, usize::MAX, Answer::RelayedAck { seq }),
            Answered::Nobody => self.conflict_answered(seq),
        }
    }

    /// A member has answered in person.
    fn member_answered(&mut self, now: Instant, id: u16) {
        let was = self.members.table.slot(id).state;
        let (members, mut moment) = self.moment(now);
        members.answered(&mut moment, id);
        if was != State::Alive && self.members.table.slot(id).state == State::Alive {
            self.confirmers.forget(id);
            self.queue.drop(self.members.table.cases, id);
        }
    }

    fn suspect(&mut self, now: Instant, accusation: &Accusation, message: &Message) {
        let (members, mut moment) = self.moment(now);
        match members.suspect(&mut moment, accusation) {
            Effect::Confirmed(id) => {
                let accuser = self.members.table.find(accusation.from);
                self.confirm_suspicion(now, id, accuser, hash::name(accusation.from));
            }
            effect => self.follow_about(now, effect, message),
        }
    }

    /// As [`Node::follow`]; a message about somebody that the table does not hold is passed on as it came.
    fn follow_about(&mut self, now: Instant, effect: Effect, message: &Message) {
        if effect != Effect::Foreign {
            return self.follow(now, effect);
        }
        let mut body = [0; 768];
        let Some((kind, len)) = native::encode(message, &mut body) else { return };
        if !self.foreign.is_news(hash::bytes(&body[..len]) ^ kind as u64, now) {
            return;
        }
        let mut dropped = 0;
        if self.store.put_foreign(kind, &body[..len], &mut dropped) {
            self.stats.foreign_forwarded += 1;
        }
        self.stats.store_dropped += dropped;
    }

    fn event(&mut self, c: &mut Context, event: &UserEvent) {
        let now = c.now;
        let id = event.id;
        let pulled = self.pulls.done(id);
        if pulled && self.pulls.is_empty() {
            self.pulled_all(now);
        }
        let sight = match self.seen.judge(id) {
            Sight::Known if !self.config.has(Rule::Dedupe) => Sight::New,
            sight => sight,
        };
        match sight {
            Sight::Known => {
                self.stats.events_duplicate += 1;
                self.confirm_own(id, c.from);
                return;
            }
            Sight::Below => {
                self.confirm_own(id, c.from);
                self.stats.too_old += 1;
                return self.owe_stranger(c, Answer::TooOld { id });
            }
            Sight::New => {}
        }
        if self.starting.is_some() {
            // What counts as new is only known with the first join answer; healing offers it again.
            return;
        }
        if self.event_clock.witness(id.ltime).is_err() {
            self.stats.clock_refused += 1;
            if self.config.has(Rule::Clamp) || id.ltime >= crate::clock::LTIME_LIMIT {
                return;
            }
            self.event_clock.adopt(id.ltime + 1);
        }
        let len = event.name.len() + event.payload.len();
        let too_long = len > self.event_limit() as usize;
        let held = self.store.find(id);
        if !too_long && self.config.has(Rule::AppQuota) && self.store.quota_full(Pin::Application, len) {
            self.stats.app_full += 1;
            if held.is_none() && !pulled {
                self.keep(now, event, list::FRESH);
            }
            return;
        }
        if !self.rate.take(now, pulled) {
            self.stats.shed += 1;
            return;
        }
        if too_long {
            // Seen all the same, or it would be offered for ever.
            self.stats.events_too_long += 1;
            return self.record(now, id);
        }
        // What was asked for has been announced around: only its id is passed on.
        let into = if pulled { list::ANNOUNCE } else { list::FRESH };
        let Some(slot) = held.or_else(|| self.keep(now, event, into)) else {
            self.stats.app_full += 1;
            return;
        };
        self.record(now, id);
        self.hand_over(now, slot);
    }

    fn keep(&mut self, now: Instant, event: &UserEvent, into: u8) -> Option<u16> {
        let mut dropped = 0;
        let slot = self.store.put(event, now, into, &mut dropped);
        self.stats.store_dropped += dropped;
        slot
    }

    /// One event announced by somebody, with the token to ask for it. False if it is missing here and could not be noted.
    pub(super) fn announced(&mut self, now: Instant, from: Announcer, id: EventId) -> bool {
        match self.seen.judge(id) {
            Sight::Known | Sight::Below => {
                self.confirm_own(id, from.addr);
            }
            Sight::New if self.starting.is_some() || !self.config.has(Rule::Pull) => {}
            Sight::New => {
                if let Some(slot) = self.store.find(id) {
                    // Held but left unrecorded while the application had no room.
                    let event = self.store.event(slot);
                    let len = event.name.len() + event.payload.len();
                    if !self.store.quota_full(Pin::Application, len) && self.rate.take(now, true) {
                        self.record(now, id);
                        self.hand_over(now, slot);
                    }
                } else {
                    // More would come in vain, and be asked for again.
                    let can_take = self.store.room(Pin::Application).min(self.rate.left(now));
                    let most = if self.config.has(Rule::PullRoom) { can_take } else { usize::MAX };
                    let noted = self.pulls.want(id, from, now, self.pull_overdue(), most);
                    self.stats.pulls_refused += !noted as u64;
                    return noted;
                }
            }
        }
        true
    }

    /// An own event came back from somebody. True if with this it has come back from enough of them.
    fn confirm_own(&mut self, id: EventId, from: Address) -> bool {
        let Some(slot) = self.store.find(id).filter(|slot| self.store.is_pinned(*slot, Pin::Own)) else {
            return false;
        };
        let needed = CONFIRMATIONS - self.origin_reaches_all() as usize;
        let needed = needed.min(self.members.table.live());
        let enough = self.store.confirm(slot, from.hash()) as usize >= needed;
        if enough {
            self.store.release_own(slot);
        }
        enough
    }
}
