//! What comes in: each message goes to the room that judges it.

use core::net::SocketAddr;

use super::fleet::Source;
use super::{Input, Node};
use crate::clock::{Lamport, Word};
use crate::detect::probe::Answered;
use crate::event::pull::{Announcer, asks};
use crate::event::seen::Sight;
use crate::event::store::{Pin, list};
use crate::gossip::owed::{Answer, RECORDS};
use crate::hash;
use crate::member::machine::Effect;
use crate::member::record::{State, flag};
use crate::member::table::SELF;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::time::Instant;
use crate::wire::message::{
    Accusation, Address, EventId, Fleet, Former, History, JoinIntent, LeaveIntent, Message, Page, Summary,
    UserEvent,
};
use crate::wire::packet::{self, DATAGRAM_MAX, Encoded, Messages, Reject};

/// The longest question to somebody in another fleet, in bytes.
const QUESTION: usize = 256;

/// What one datagram has shown so far.
struct Context<'d> {
    messages: Messages<'d>,
    /// Which fleet its sender is in, if it says so, and whether this node is or was in one with it; once that has been looked
    /// for.
    company: Option<(Option<Fleet>, bool)>,
    now: Instant,
    from: Address,
    /// How long an answer to somebody who has not answered us may be: as long as the datagram, and there is only one.
    budget: usize,
    /// How long a question of this node's own may be, beside that answer.
    question: usize,
    /// Whether it is the answer to a question of this node's, which nobody else can have read.
    answers: bool,
    /// Whether it is a ping from where a member has answered, or seems to be: comparisons have a pace of their own.
    verified: bool,
    summary: Option<Summary>,
    /// The records that follow were asked for: by a join (`true`) or a comparison.
    records: Option<bool>,
    /// The page that this datagram is, while nothing else has decided what is asked for next.
    page: Option<Page>,
    /// The page of last values that it is.
    value_page: Option<Page>,
    /// Which fleet its sender is in.
    fleet: Option<Fleet>,
    /// Which one it has just left.
    former: Option<Former>,
    /// Where what is not asked for in it comes from.
    source: Source,
    /// Digest of its sender's last values.
    values: Option<u32>,
    /// What its sender has seen below a floor.
    history: Option<History>,
    /// It has brought a list of events.
    announced: bool,
    /// It has brought a ping: one is answered.
    pinged: bool,
    /// It has answered a join, or claims so.
    join_answered: bool,
    /// It has asked for a probe of another member: one is made.
    relayed: bool,
    /// What its sender knows this node by is not so any more.
    outdated: bool,
    /// It is this member's answer to a probe, from its own address.
    acked: Option<u16>,
}

impl Context<'_> {
    fn word(&self) -> Word {
        if self.answers { Word::Answer } else { Word::Unasked }
    }
}

impl Node<'_> {
    /// Takes in what has arrived. Bounded work; never sends: drain [`Node::poll`] afterwards.
    ///
    /// # Errors
    /// [`Reject`] says why a datagram was refused; it is counted in [`crate::Stats`] as well.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Reject> {
        self.finish_erasing(now);
        self.wake(now);
        let Input::Datagram { from, bytes } = input;
        let result = self.datagram(now, from, bytes);
        match result {
            Ok(()) => {}
            Err(Reject::OtherCluster) => self.stats.refused_cluster += 1,
            Err(Reject::GoWire | Reject::Version) => self.stats.refused_wire += 1,
            Err(Reject::TooLong | Reject::NotNative | Reject::Damaged | Reject::Malformed) => {
                self.stats.refused += 1
            }
        }
        result
    }

    fn datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Result<(), Reject> {
        self.stats.datagrams_in += 1;
        self.stats.bytes_in += bytes.len() as u64;
        let messages = packet::open(bytes, self.cluster)?;
        let mut context = Context {
            messages: messages.clone(),
            company: None,
            now,
            from: from.into(),
            budget: bytes.len(),
            question: bytes.len(),
            answers: false,
            verified: false,
            summary: None,
            records: None,
            page: None,
            value_page: None,
            fleet: None,
            former: None,
            source: Source::Untold,
            values: None,
            history: None,
            announced: false,
            pinged: false,
            join_answered: false,
            relayed: false,
            outdated: false,
            acked: None,
        };
        self.heard(now);
        for message in messages {
            self.message(&mut context, message?);
        }
        if let Some(fleet) = context.fleet.filter(|fleet| fleet.id != 0) {
            if !self.is_stranger(&mut context) {
                self.meet_fleet(now, (fleet, context.former), context.word(), self.config.replay);
            } else if context.question > 0 {
                // At a stranger's word it goes nowhere: it asks, and says where it is itself.
                self.meet(now, context.from, context.question);
            }
        }
        if let Some(page) = context.page {
            self.page_done(now, &page);
        }
        if let Some(page) = context.value_page {
            self.value_page_done(now, &page);
        }
        // A comparison sends to where this came from: not at a stranger's word.
        let known = context.answers || context.verified;
        if known {
            if let Some(summary) = context.summary {
                self.compare(now, context.from, &summary);
            }
            if let Some(digest) = context.values {
                self.compare_values(now, context.from, digest);
            }
        }
        // Of another fleet it says nothing about this one.
        let ours = context.fleet.is_none_or(|fleet| fleet.id == self.compares_in());
        if let Some(history) = context.history.filter(|_| known && ours) {
            self.compare_history(now, context.records == Some(true), &history);
        }
        Ok(())
    }

    fn message(&mut self, c: &mut Context<'_>, message: Message<'_>) {
        let now = c.now;
        match message {
            Message::Summary(summary) => {
                self.witness_all(now, c.word(), [summary.clock, summary.event_clock, summary.query_clock]);
                c.summary = Some(summary);
            }
            Message::Ping(ping) => {
                if ping.node != self.members.table.name(SELF) {
                    self.stats.misaddressed += 1;
                    // Whoever looks for somebody who was here once is no reason to ask.
                    c.question = 0;
                    return;
                }
                if core::mem::replace(&mut c.pinged, true) {
                    self.stats.answers_refused += 1;
                    return;
                }
                let named = self.members.table.find(ping.source).filter(|id| *id != SELF);
                let source = named.filter(|id| self.members.table.slot(*id).addr == c.from);
                // Of one that is gone from another address it has to hear as well: its word may be below that.
                let gone = |id: &u16| !self.members.table.slot(*id).is_live();
                let asker = source.or(named.filter(gone).filter(|_| self.config.has(Rule::GoneElsewhere)));
                let asker = asker.unwrap_or(NIL);
                let above = c.summary.map_or(EventId::LOWEST, |summary| summary.floor);
                if source.is_none() && self.members.table.live() == 0 && self.meet(now, c.from, c.budget) {
                    (c.budget, c.question) = (0, 0);
                    return;
                }
                let (values, history, outdated) = (c.values.is_some(), c.history.is_some(), c.outdated);
                let what = Answer::Ack { seq: ping.seq, above, asker, values, history, outdated };
                // Whether it has answered us at this address.
                if source.is_some_and(|id| self.members.table.slot(id).has(flag::VERIFIED)) {
                    c.verified = true;
                    self.owe(c.from, usize::MAX, what);
                    if outdated {
                        // Or it knows of a life of this node's that this node does not.
                        let own = self.members.table.slot(SELF).hash;
                        self.fetch_record(now, c.from, own);
                    }
                } else {
                    self.owe_stranger(c, what);
                }
                if let Some(id) = source.filter(|id| self.members.table.slot(*id).has(flag::PRIVATE)) {
                    self.member_answered(now, id);
                }
            }
            Message::IndirectPing(ping) => {
                let Some(target) = self.members.table.find(ping.node).filter(|id| *id != SELF) else {
                    self.stats.misaddressed += 1;
                    return;
                };
                c.question = 0;
                if core::mem::replace(&mut c.relayed, true) {
                    self.stats.relays_refused += 1;
                    return;
                }
                if self.members.table.slot(target).addr != ping.target {
                    // Who answers here is not who is meant there.
                    if ping.nack {
                        self.owe_stranger(c, Answer::Nack { seq: ping.seq });
                    }
                    return;
                }
                let seq = self.random.next() as u32;
                if self.detector.relay(now, &self.config, seq, (c.from, ping.seq), ping.nack) {
                    self.owe_member(target, Answer::RelayedPing { seq, target });
                } else {
                    self.stats.relays_refused += 1;
                }
            }
            Message::Ack(ack) => self.ack(c, ack.seq),
            Message::Nack(nack) => {
                if self.detector.nacked(nack.seq) {
                    self.answered(now);
                }
            }
            Message::Alive(alive) => {
                let known = self.members.table.find(alive.node);
                if known.is_none_or(|id| !self.members.table.slot(id).is_live()) && self.is_strange(c) {
                    return;
                }
                let own = c.answers && alive.addr == c.from;
                let effect = self.with_room(now, |members, moment| members.alive(moment, &alive, own));
                self.follow_about(now, effect, &message);
            }
            Message::Suspect(Accusation { node, .. })
            | Message::Dead(Accusation { node, .. })
            | Message::JoinIntent(JoinIntent { node, .. })
            | Message::LeaveIntent(LeaveIntent { node, .. })
                if self.members.table.find(node).is_none() && self.is_strange(c) => {}
            Message::Suspect(accusation) => self.suspect(now, &accusation, &message),
            Message::Dead(accusation) => {
                let (members, mut moment) = self.moment(now);
                let effect = members.dead(&mut moment, &accusation);
                self.follow_about(now, effect, &message);
            }
            Message::JoinIntent(intent) => {
                if self.witness(now, Lamport::Member, c.word(), intent.ltime) {
                    let (members, mut moment) = self.moment(now);
                    let effect = members.join_intent(&mut moment, &intent);
                    self.follow_about(now, effect, &message);
                }
            }
            Message::LeaveIntent(intent) => {
                if self.witness(now, Lamport::Member, c.word(), intent.ltime) {
                    let (members, mut moment) = self.moment(now);
                    let effect = members.leave_intent(&mut moment, &intent);
                    self.follow_about(now, effect, &message);
                }
            }
            Message::UserEvent(event) => self.event(c, &event),
            Message::Ids(token, ids) => {
                // Own events are confirmed, missing ones asked for.
                let asks = match c.answers {
                    true => asks::PROVEN,
                    // One list: of several each would draw a datagram.
                    false if core::mem::replace(&mut c.announced, true) => {
                        self.stats.pulls_refused += 1;
                        return;
                    }
                    false if core::mem::take(&mut c.budget) > 0 => asks::STRANGER,
                    false => asks::BESIDE,
                };
                let announcer = Announcer { addr: c.from, token, asks };
                for id in ids {
                    if self.is_for_us(id, c.source) {
                        c.question = 0;
                        self.announced(now, announcer, id);
                    }
                }
            }
            Message::Pull(token, ids) => {
                let entitled = token == self.token(c.from);
                for id in ids {
                    let held = self.store.find(id).is_some() && self.takes_events();
                    let what = match (held, entitled) {
                        // Who has not seen it yet can't say that it is gone.
                        (false, _) if self.seen.judge(id) == Sight::New && self.config.has(Rule::Lost) => {
                            continue;
                        }
                        (false, _) => Answer::Missing { id },
                        (true, true) => Answer::Event { id },
                        // Whoever has no token gets one, if it is here where it says.
                        (true, false) => Answer::Have { id },
                    };
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
                    if let Some(asked) = self.pulls.missing(id, c.from, now) {
                        self.ask_another(now, id, asked);
                    }
                }
            }
            Message::Fleet(fleet) => c.fleet = Some(fleet),
            Message::History(history) => c.history = Some(history),
            Message::Former(former) => c.former = Some(former),
            Message::Tag(tag) => c.source = c.source.max(self.source(tag)),
            Message::Values(digest) => c.values = Some(digest),
            Message::Known(known) => match c.acked {
                Some(id) => self.outdated(now, id, known),
                None => c.outdated = known != self.members.table.slot(SELF).known(),
            },
            Message::ValuesRequest(request) => {
                let what = Answer::Values { nonce: request.nonce, cursor: request.cursor };
                self.owe_stranger(c, what);
            }
            Message::ValueIds(token, ids) => {
                if c.value_page.is_some() {
                    self.listed_values(now, Announcer { addr: c.from, token, asks: asks::PROVEN }, ids);
                }
            }
            Message::Join(join) => {
                if let Some(what) = self.join_request(now, c.from, &join) {
                    match self.company(c).0 {
                        None => self.found_fleet(now),
                        // There is room for one only, and it is here to stay: it asks again.
                        Some(fleet) if c.budget < 2 * QUESTION && self.yields_to(now, &fleet) => c.budget = 0,
                        Some(_) => {}
                    }
                    self.owe_stranger(c, what);
                }
            }
            Message::JoinAnswer(answer) => {
                // One guess at a nonce.
                if core::mem::replace(&mut c.join_answered, true) {
                    return;
                }
                if let Some(asked) = self.join_answer(now, c.from, &answer, c.fleet) {
                    c.answers = true;
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
                    (c.records, c.page) = (Some(false), Some(page));
                    self.answered(now);
                } else if self.heal.values.is_some_and(|session| session.nonce == page.nonce) {
                    c.value_page = Some(page);
                }
            }
            Message::Record(record) => {
                if let Some(joining) = c.records {
                    self.stats.records_in += 1;
                    self.record_about(now, c.from, &record, joining);
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
                // What it sends then is as long as the longest request.
                if c.budget >= DATAGRAM_MAX && self.asks_back(now, c.from, request.above, buckets) {
                    (c.budget, c.question) = (0, 0);
                    return;
                }
                let what = Answer::EventEntries {
                    nonce: request.nonce,
                    above: request.above,
                    cursor: request.cursor,
                    buckets,
                };
                self.owe_stranger(c, what);
            }
            Message::EventEntries(entries) => {
                c.answers |= self.event_entries(now, c.from, &entries, c.fleet);
            }
            Message::Padding => {}
            // Queries are not answered by this version; they have their place in the model.
            Message::Query(_) | Message::QueryResponse(_) | Message::Unknown => {
                self.stats.unknown_messages += 1;
            }
        }
    }

    /// Whether nothing shows that who tells this is in a fleet with this node, or was asked. At such a one's word nobody is
    /// taken in, and nobody goes anywhere.
    fn is_stranger(&self, c: &mut Context<'_>) -> bool {
        let asked = c.answers || c.records.is_some() || !self.config.has(Rule::Strangers);
        !asked && !self.company(c).1
    }

    /// The same of one who tells of somebody who is not a live member here; counted.
    fn is_strange(&mut self, c: &mut Context<'_>) -> bool {
        let strange = self.is_stranger(c);
        self.stats.strangers += strange as u64;
        strange
    }

    fn company(&self, c: &mut Context<'_>) -> (Option<Fleet>, bool) {
        *c.company.get_or_insert_with(|| {
            let (mut fleet, mut former) = (None, None);
            // It may stand behind what it is about.
            for message in c.messages.clone().flatten() {
                match message {
                    Message::Fleet(told) => fleet = Some(told),
                    Message::Former(told) => former = Some(told),
                    _ => {}
                }
            }
            let fleet = fleet.filter(|fleet| fleet.id != 0);
            (fleet, self.is_kin(fleet.map_or(0, |fleet| fleet.id), former))
        })
    }

    /// Notes an answer for somebody who may not be where the request says it came from: one, and no longer than it. Who is in
    /// another fleet is asked something as well, if there is room for both.
    fn owe_stranger(&mut self, c: &mut Context<'_>, what: Answer) {
        let budget = core::mem::take(&mut c.budget);
        if budget == 0 {
            self.stats.answers_refused += 1;
            return;
        }
        let asks = budget >= 2 * QUESTION && self.is_stranger(c) && self.company(c).0.is_some();
        c.question = if asks { QUESTION } else { 0 };
        self.owe(c.from, budget - c.question, what);
    }

    fn ack(&mut self, c: &mut Context<'_>, seq: u32) {
        match self.detector.acked(c.now, seq) {
            Answered::Target(id) => {
                self.answered(c.now);
                if id != NIL {
                    self.proves(c, id);
                    self.member_answered(c.now, id);
                }
            }
            Answered::Relayed { to, seq } => self.owe(to, usize::MAX, Answer::RelayedAck { seq }),
            Answered::Nobody => match self.heal.tried.take_if(|(_, tried)| *tried == seq) {
                // What it then says of itself will show that it lives.
                Some((id, _)) => {
                    self.answered(c.now);
                    self.proves(c, id);
                }
                None => self.conflict_answered(c.now, c.from, seq),
            },
        }
    }

    /// A member has answered; if it did so from its own address, what else it sends now is its own word.
    fn proves(&mut self, c: &mut Context<'_>, id: u16) {
        if self.members.table.slot(id).addr == c.from {
            (c.answers, c.acked) = (true, Some(id));
            self.members.table.slot_mut(id).set(flag::VERIFIED, true);
        }
    }

    /// A member has answered in person.
    pub(super) fn member_answered(&mut self, now: Instant, id: u16) {
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
    pub(super) fn follow_about(&mut self, now: Instant, effect: Effect, message: &Message) {
        if !matches!(effect, Effect::Foreign) {
            return self.follow(now, effect);
        }
        let mut body = [0; 768];
        let Some(message) = Encoded::new(message, &mut body) else { return };
        if !self.foreign.is_news(message.hash(), now) {
            return;
        }
        let mut dropped = 0;
        if self.store.put_foreign(message, &mut dropped) {
            self.stats.foreign_forwarded += 1;
        }
        self.stats.store_dropped += dropped;
    }

    fn event(&mut self, c: &mut Context<'_>, event: &UserEvent) {
        let now = c.now;
        let id = event.id;
        let asked_for = self.pulls.done(id);
        if asked_for && self.pulls.is_empty() {
            self.pulled_all(now);
        }
        // Another fleet's counts from when this node has entered it, and its own events have got their times there.
        let pulled = asked_for && c.source != Source::Elsewhere;
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
                if pulled && event.coalesce {
                    return self.late_value(now, event);
                }
                self.stats.too_old += 1;
                return self.owe_stranger(c, Answer::TooOld { id });
            }
            Sight::New => {}
        }
        if !self.takes_events() || !(pulled || self.is_for_us(id, c.source)) {
            // What counts as new is only known when a fleet has been met; healing offers it again.
            return;
        }
        if !self.witness(now, Lamport::Event, c.word(), id.ltime) {
            if self.config.has(Rule::Clamp) || id.ltime >= crate::clock::LTIME_LIMIT {
                return;
            }
            self.clocks.event.adopt(id.ltime + 1);
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
}
