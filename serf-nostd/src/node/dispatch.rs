//! What comes in: each message of a datagram goes to the engine that judges it, with what the datagram has shown so far.

mod probes;
mod strangers;

use core::net::SocketAddr;

use super::{Input, Node};
use crate::clock::{Lamport, Word};
use crate::events::fleet::Source;
use crate::events::pull::{Provider, asks};
use crate::events::{Carried, From, InBatch};
use crate::membership::table::SELF;
use crate::outgoing::{Answer, RECORDS};
use crate::queries;
use crate::rules::Rule;
use crate::slice::NIL;
use crate::sync::Engines;
use crate::time::Instant;
use crate::wire::message::{
    Accusation, Address, EventId, Fleet, Former, History, JoinIntent, LeaveIntent, Message, Page, Summary,
};
use crate::wire::packet::{DATAGRAM_MAX, Messages, Opened, Reject, foreign};
use crate::wire::seal::{Reply, Sender};

/// The longest question to somebody in another fleet, in bytes.
const QUESTION: usize = 256;

/// What one datagram has shown so far.
struct Context<'d> {
    messages: Messages<'d>,
    /// Which fleet its sender is in, if it says so, and whether this node is or was in one with it; once that has been looked
    /// for.
    company: Option<(Option<Fleet>, bool)>,
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
    /// The batch that it is.
    batch: Option<InBatch>,
    /// Whether all events of that are here by now, once one of them has been read.
    received: Option<bool>,
    /// It has brought a ping: one is answered.
    pinged: bool,
    /// It has answered a join, or claims so.
    join_answered: bool,
    /// It has asked for a probe of another member: one is made.
    relayed: bool,
    /// What its sender knows this node by is not so any more.
    outdated: bool,
    /// It tells where this node is seen.
    observed: bool,
    /// In which protocol period its sender is.
    period: Option<u16>,
    /// It is this member's answer to a probe, from its own address.
    acked: Option<u16>,
    /// Who has sealed it, if it is sealed.
    sender: Option<Sender>,
    /// It counts as new, whatever it is.
    believed: bool,
    /// Its sender seals with another key than this node.
    #[cfg(feature = "seal")]
    lags: bool,
    /// The number of the challenge that it has brought, or 0.
    challenge: u32,
    /// That has been answered.
    challenge_answered: bool,
    /// Nothing has shown yet that it is new, and its sender has not been challenged.
    doubted: bool,
    /// Its sender is challenged even by who cannot keep its answer.
    insists: bool,
    /// How often its sender may be asked for events that it has.
    asks: Option<u8>,
}

impl<'d> Context<'d> {
    fn new(opened: Opened<'d>, from: Address, len: usize) -> Self {
        let Opened { messages, sender } = opened;
        Context {
            messages,
            company: None,
            from,
            budget: len,
            question: len,
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
            batch: None,
            received: None,
            pinged: false,
            join_answered: false,
            relayed: false,
            outdated: false,
            observed: false,
            period: None,
            acked: None,
            sender,
            believed: false,
            #[cfg(feature = "seal")]
            lags: sender.is_some_and(|sender| sender.lags()),
            challenge: 0,
            challenge_answered: false,
            asks: None,
            insists: false,
            doubted: sender.is_some_and(|sender| sender.peer.is_none()),
        }
    }

    /// Whether it is new: who is without the key can send nothing else, but what was sealed once he can send again.
    fn is_new(&self) -> bool {
        self.believed || self.sender.is_none() || self.is_proven() || self.answers || self.records.is_some()
    }

    /// Whether it is sealed under a session that is known.
    fn is_proven(&self) -> bool {
        self.sender.is_some_and(|sender| sender.peer.is_some())
    }

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
        self.enter(now);
        let (from, bytes) = match input {
            Input::Datagram { from, bytes } => (from, bytes),
            #[cfg(feature = "inquest")]
            Input::Unreachable { to, quoted } => {
                let Engines { members, failure, .. } = &mut self.engines;
                failure.refused(&mut self.cx, members, to.into(), quoted);
                return Ok(());
            }
        };
        let result = self.datagram(from, bytes);
        let stats = &mut self.cx.stats;
        match result {
            Ok(()) => {}
            Err(Reject::OtherCluster) => stats.refused_cluster += 1,
            Err(Reject::GoWire | Reject::Version) => stats.refused_wire += 1,
            Err(Reject::Sealed) => stats.refused_unsealed += 1,
            #[cfg(feature = "seal")]
            Err(Reject::Unsealed) => stats.refused_unsealed += 1,
            #[cfg(feature = "seal")]
            Err(Reject::UnknownKey) => stats.refused_key += 1,
            #[cfg(feature = "seal")]
            Err(Reject::Forged) => stats.refused_forged += 1,
            #[cfg(feature = "seal")]
            Err(Reject::Replayed) => stats.refused_replayed += 1,
            #[cfg(feature = "seal")]
            Err(Reject::Cloned) => stats.clones += 1,
            Err(Reject::TooLong | Reject::NotNative | Reject::Damaged | Reject::Malformed) => {
                stats.refused += 1
            }
        }
        result
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8]) -> Result<(), Reject> {
        self.cx.stats.datagrams_in += 1;
        self.cx.stats.bytes_in += bytes.len() as u64;
        let len = bytes.len();
        let opened = match self.cx.wire.open(bytes) {
            Err(Reject::OtherCluster) => {
                // Who wants to join is told what this cluster is called.
                if foreign(bytes).any(|message| matches!(message, Ok(Message::Join(_)))) {
                    self.cx.enqueue_reply(from.into(), len, Reply::PLAIN, Answer::OtherCluster);
                }
                return Err(Reject::OtherCluster);
            }
            opened => opened?,
        };
        let messages = opened.messages.clone();
        let mut context = Context::new(opened, from.into(), len);
        context.believed = !self.cx.config.has(Rule::Freshness);
        if context.is_new() {
            self.engines.failure.heard(&mut self.cx, &mut self.engines.members);
        }
        for message in messages {
            self.message(&mut context, message?);
            self.carry_pulled();
        }
        self.datagram_ends(context);
        Ok(())
    }

    /// What a datagram means as a whole, once all of it has been read.
    fn datagram_ends(&mut self, mut context: Context<'_>) {
        let c = &mut context;
        if let (Some(InBatch { answer, .. }), Some(true)) = (c.batch, c.received) {
            self.answer_stranger(c, Answer::Received { answer });
        }
        self.prove(c);
        if c.acked.is_some() && !c.observed {
            self.engines.members.seen_here();
        }
        if let Some(fleet) = c.fleet.filter(|fleet| fleet.id != 0) {
            if !self.is_stranger(c) {
                let (word, replay) = (c.word(), self.cx.config.replay);
                let (cx, e) = (&mut self.cx, &mut self.engines);
                e.events.meet_fleet(cx, &e.members, (fleet, c.former), word, replay);
            } else if c.question > 0 && self.is_elsewhere(c) {
                // At a stranger's word it goes nowhere: it asks, and says where it is itself.
                self.sync.meet(&mut self.cx, &self.engines, c.from, c.question);
            }
        }
        let (cx, e) = (&mut self.cx, &mut self.engines);
        if let Some(page) = c.page {
            self.sync.page_done(cx, &page);
        }
        if let Some(page) = c.value_page {
            self.sync.value_page_done(cx, &page);
        }
        // A comparison sends to where this came from: not at a stranger's word.
        let known = c.answers || c.verified;
        if !known {
            return;
        }
        if let Some(summary) = c.summary {
            self.sync.compare(cx, e, c.from, &summary);
        }
        if let Some(digest) = c.values {
            self.sync.compare_values(cx, e, c.from, digest);
        }
        // Of another fleet it says nothing about this one.
        let ours = c.fleet.is_none_or(|fleet| fleet.id == e.events.fleet.compares_in());
        if let Some(history) = c.history.filter(|_| ours) {
            self.sync.compare_history(cx, &mut e.events, c.records == Some(true), &history);
        }
    }

    fn message(&mut self, c: &mut Context<'_>, message: Message<'_>) {
        if let Message::Suspect(Accusation { node, .. })
        | Message::Dead(Accusation { node, .. })
        | Message::JoinIntent(JoinIntent { node, .. })
        | Message::LeaveIntent(LeaveIntent { node, .. }) = message
            && self.engines.members.table.find(node).is_none()
            && self.is_strange(c)
        {
            return;
        }
        if !c.is_new() && (may_be_replayed(&message) || self.is_past(&message)) {
            self.cx.stats.doubted += 1;
            return;
        }
        let (cx, e) = (&mut self.cx, &mut self.engines);
        match message {
            // ---- failure detection
            Message::Ping(ping) => self.ping(c, &ping),
            Message::IndirectPing(ping) => self.indirect_ping(c, &ping),
            Message::Ack(ack) => self.ack(c, ack.seq, ack.payload),
            #[cfg(feature = "inquest")]
            Message::Refused(seq) => e.failure.witnessed(&e.members, seq, c.from),
            #[cfg(feature = "inquest")]
            Message::Gone(name) => e.failure.says_gone(cx, &e.members, name, c.from),
            Message::Nack(nack) => {
                if e.failure.detector.nacked(nack.seq) {
                    e.failure.answered(cx, &mut e.members);
                }
            }

            // ---- membership
            Message::Alive(alive) => {
                let known = e.members.table.find(alive.node);
                if known.is_none_or(|id| !e.members.table.hot(id).is_live()) && self.is_strange(c) {
                    return;
                }
                let own = c.answers && self.engines.members.is_own_word(&alive, c.from);
                let effect = self.with_room(|members, cx| members.alive(cx, &alive, own));
                self.apply(effect, &message);
                let here = self.engines.members.table.find(alive.node).filter(|id| *id != SELF);
                if let Some(id) = here.filter(|_| own && c.sender.is_some()) {
                    self.proves(c, id);
                }
            }
            Message::Suspect(accusation) => {
                let effect = self.engines.members.suspect(&mut self.cx, &accusation);
                self.apply(effect, &message);
            }
            Message::Dead(accusation) => {
                let effect = self.engines.members.dead(&mut self.cx, &accusation);
                self.apply(effect, &message);
            }
            Message::JoinIntent(intent) => {
                if self.cx.witness(Lamport::Member, c.word(), intent.ltime) {
                    let effect = self.engines.members.join_intent(&mut self.cx, &intent);
                    self.apply(effect, &message);
                }
            }
            Message::LeaveIntent(intent) => {
                if self.cx.witness(Lamport::Member, c.word(), intent.ltime) {
                    let effect = self.engines.members.leave_intent(&mut self.cx, &intent);
                    self.apply(effect, &message);
                }
            }

            // ---- events
            Message::UserEvent(event) => self.carried(c, Carried::Event(event, &[])),
            Message::TargetedEvent(event, filters) => self.carried(c, Carried::Event(event, filters)),
            Message::Query(query) => self.carried(c, Carried::Query(query)),
            Message::QueryResponse(answer) => {
                if e.queries.answered(cx, &e.members, &mut e.events, c.from, &answer) {
                    let confirmation = queries::confirmation(e.members.table.name(SELF), &answer);
                    self.answer_stranger(c, confirmation);
                }
            }
            Message::Confirmed(ids) => {
                for id in ids {
                    e.queries.confirmed(&mut e.events, id, c.from);
                }
            }
            Message::Tag(tag) => c.source = c.source.max(e.events.fleet.source(&cx.config, tag)),
            Message::Batch(batch) if c.is_new() && c.batch.is_none() => {
                let links = e.failure.links(&e.members);
                c.batch = Some(e.events.told(&e.members.table, links, &c.from, &batch));
            }
            Message::Complete(number) if c.is_new() => e.events.complete(&e.members.table, &c.from, number),
            Message::Batch(_) | Message::Complete(_) => {}
            #[cfg(not(feature = "batches"))]
            Message::Received(_) => {}
            #[cfg(feature = "batches")]
            Message::Received(answer) => {
                let links = e.failure.links(&e.members);
                e.events.received(cx, &e.members.table, links, c.from, answer);
            }
            Message::IHave(_, mut ids) if c.batch.is_some() && ids.clone().all(|id| e.events.knows(id)) => {
                for id in ids.filter(|id| c.batch.is_some_and(|batch| batch.waits(*id).is_some())) {
                    e.events.somebody_lacks(&cx.config, id, cx.now);
                }
                c.received = Some(c.received.unwrap_or(ids.next().is_some()));
            }
            Message::IHave(token, ids) => {
                c.received = Some(false);
                // Own events are confirmed, missing ones asked for.
                let asks = match c.answers || c.is_proven() {
                    true => asks::PROVEN,
                    // One list: of several each would draw a datagram.
                    false if core::mem::replace(&mut c.announced, true) => {
                        cx.stats.pulls_refused += 1;
                        return;
                    }
                    false if core::mem::take(&mut c.budget) > 0 => asks::STRANGER,
                    false => asks::BESIDE,
                };
                let provider = Provider { addr: c.from, token, asks };
                let links = e.failure.links(&e.members);
                for id in ids {
                    if e.events.fleet.takes(id, c.source) && returns(c, e, id) {
                        c.question = 0;
                        e.events.announced(cx, links, provider, id);
                    }
                }
            }
            Message::IWant(token, ids) => {
                let has_token = token == e.events.token(c.from);
                let entitled = c.is_proven() || c.is_new() && has_token;
                // Whoever has recorded it would draw payloads: it is asked for once more, behind the answer to a challenge.
                c.insists |= has_token && !entitled;
                for id in ids {
                    match self.engines.events.wanted(&self.cx.config, id, entitled) {
                        Some(answer) if entitled => {
                            let reply = self.reply(c);
                            self.cx.enqueue_reply(c.from, usize::MAX, reply, answer);
                        }
                        Some(answer) => self.answer_stranger(c, answer),
                        None => {}
                    }
                }
            }
            Message::TooOld(ids) => {
                let links = e.failure.links(&e.members);
                for id in ids {
                    // Counts like a return, so that no single word releases it.
                    if e.events.never_taken(links, &cx.config, id, c.from) {
                        cx.stats.own_expired += 1;
                        warning!("own event of Lamport time {} came too late for others", id.ltime);
                    }
                }
            }
            Message::DontHave(ids) => {
                for id in ids {
                    e.events.missing_at(cx, &e.members, &self.sync.joins.seeds, id, c.from);
                }
            }

            // ---- joining
            Message::Join(join) => {
                if let Some(answer) = self.sync.join_request(cx, e, c.from, &join) {
                    match self.company(c).0 {
                        None => self.engines.events.found_fleet(&mut self.cx),
                        // There is room for one only, and it is here to stay: it asks again.
                        Some(fleet)
                            if c.budget < 2 * QUESTION
                                && self.engines.events.fleet.yields_to(self.cx.now, &fleet) =>
                        {
                            c.budget = 0
                        }
                        Some(_) => {}
                    }
                    self.answer_stranger(c, answer);
                }
            }
            Message::JoinAnswer(answer) => {
                // One guess at a nonce.
                if core::mem::replace(&mut c.join_answered, true) {
                    return;
                }
                if let Some(asked) = self.sync.join_answer(cx, e, c.from, &answer, c.fleet) {
                    c.answers = true;
                    c.records = asked.then_some(true);
                }
            }
            Message::NameTaken(nonce) => self.sync.joins.name_taken(nonce),
            Message::Observed(addr) if c.answers => {
                c.observed = true;
                e.members.observed(cx, c.from, addr);
            }
            Message::Observed(_) => {}
            Message::Period(number) => c.period = Some(number),

            // ---- comparing: what peers say of themselves
            Message::Summary(summary) => {
                if c.is_new() {
                    cx.witness_all(c.word(), [summary.clock, summary.event_clock, summary.query_clock]);
                }
                c.summary = Some(summary);
            }
            Message::Fleet(fleet) => c.fleet = Some(fleet),
            Message::History(history) => c.history = Some(history),
            Message::Former(former) => c.former = Some(former),
            Message::Values(digest) => c.values = Some(digest),
            Message::Known(known) => match c.acked {
                Some(id) => self.sync.outdated(cx, e, id, known),
                None => c.outdated = known != e.members.table.hot(SELF).known(),
            },

            // ---- comparing: questions
            Message::PageRequest(request) => {
                let what = Answer::Page { nonce: request.nonce, cursor: request.cursor };
                self.answer_stranger(c, what);
            }
            Message::DigestRequest(request) => {
                let buckets = e.members.differing_buckets(request.buckets);
                let what = Answer::Entries { nonce: request.nonce, cursor: request.cursor, buckets };
                self.answer_stranger(c, what);
            }
            Message::RecordsRequest(nonce, hashes) => {
                let mut ids = [NIL; RECORDS];
                for (place, hash) in ids.iter_mut().zip(hashes) {
                    *place = e.members.table.same_hash(hash).next().unwrap_or(NIL);
                }
                self.answer_stranger(c, Answer::Records { nonce, ids });
            }
            Message::ValuesRequest(request) => {
                let what = Answer::Values { nonce: request.nonce, cursor: request.cursor };
                self.answer_stranger(c, what);
            }
            // One answer per datagram: what gets none is not worked out either.
            Message::EventDigestRequest(_) if c.budget == 0 => cx.stats.answers_refused += 1,
            Message::EventDigestRequest(request) => {
                let above = request.above;
                let buckets = e.events.differing_buckets(above, request.buckets);
                // What it sends then is as long as the longest request.
                if c.budget >= DATAGRAM_MAX && self.sync.asks_back(cx, e, c.from, above, buckets) {
                    (c.budget, c.question) = (0, 0);
                    return;
                }
                let (nonce, cursor) = (request.nonce, request.cursor);
                self.answer_stranger(c, Answer::EventEntries { nonce, above, cursor, buckets });
            }

            // ---- comparing: answers
            Message::Page(page) => match self.sync.page_asked(page.nonce) {
                (true, _) => {
                    (c.records, c.page) = (Some(false), Some(page));
                    e.failure.answered(cx, &mut e.members);
                }
                (_, true) => c.value_page = Some(page),
                _ => {}
            },
            Message::Record(record) => {
                if let Some(joining) = c.records {
                    cx.stats.records_in += 1;
                    self.apply_record(c.from, &record, joining);
                }
            }
            Message::Entries(entries) => {
                if let Some(page) = c.page
                    && self.sync.entries(cx, &mut e.members, entries, page.next)
                {
                    c.page = None;
                }
            }
            Message::ValueIds(token, ids) => {
                if c.value_page.is_some() {
                    let provider = Provider { addr: c.from, token, asks: asks::PROVEN };
                    self.sync.listed_values(cx, e, provider, ids);
                }
            }
            Message::EventEntries(entries) => {
                c.answers |= self.sync.event_entries(cx, e, c.from, &entries, c.fleet);
            }

            // ---- what is new
            #[cfg(feature = "seal")]
            Message::Challenge(number) if c.sender.is_some() => c.challenge = number,
            #[cfg(feature = "seal")]
            Message::Challenge(_) => {}
            #[cfg(feature = "seal")]
            Message::ChallengeAnswer(number) => self.challenge_answered(c, number),
            #[cfg(feature = "seal")]
            Message::NewKey(since, key) => {
                // Who follows a later order, or the same, is told of none.
                c.lags &= since < self.cx.wire.seal.primary_since();
                if c.is_new() {
                    self.follow(since, key);
                }
            }

            Message::Padding | Message::Cluster(_) => {}
            Message::Unknown => cx.stats.unknown_messages += 1,
        }
    }

    /// An event, or a query. What may be a replay is taken as word that its sender has it.
    fn carried(&mut self, c: &mut Context<'_>, carried: Carried<'_>) {
        let (cx, e) = (&mut self.cx, &mut self.engines);
        let links = e.failure.links(&e.members);
        if !c.is_new() {
            let beside = if core::mem::take(&mut c.budget) > 0 { asks::STRANGER } else { asks::BESIDE };
            let provider = Provider::doubted(c.from, *c.asks.get_or_insert(beside));
            let id = carried.id();
            if e.events.fleet.takes(id, c.source) && returns(c, e, id) {
                c.question = 0;
                e.events.announced(cx, links, provider, id);
            }
            return;
        }
        let id = carried.id();
        let batch = c.batch.and_then(|batch| batch.waits(id));
        let from = From { addr: c.from, source: c.source, word: c.word(), batch };
        let answer = e.events.receive(cx, links, carried, from);
        c.received = Some(c.received.unwrap_or(true) && e.events.knows(id));
        if let Some(answer) = answer {
            self.answer_stranger(c, answer);
        }
    }
}

/// Whether a message that was said once does harm when it is said again: of what else may be, its receiver can tell that it is old by a
/// life and an incarnation, by a number that it has chosen itself, or by an identity.
fn may_be_replayed(message: &Message<'_>) -> bool {
    match message {
        Message::Suspect(accusation) | Message::Dead(accusation) => accusation.boot == 0,
        Message::JoinIntent(_) | Message::LeaveIntent(_) | Message::TooOld(_) | Message::DontHave(_) => true,
        _ => false,
    }
}

/// Whether word of an event counts if it is this node's own, and waits for its return: what may be a replay may be its own datagram,
/// thrown back. Who holds a part of the fleet has few whom it knows better.
fn returns(c: &Context<'_>, e: &Engines<'_>, id: EventId) -> bool {
    c.is_new() || e.members.table.partial || !e.events.waits_for_return(id)
}
