//! Questions to the fleet, and their answers.
//!
//! A query travels as an event does ([`crate::events`]): pushed, pulled when missed, handed to each application at most once.
//! 1. [`Queries::ask`] notes whom its filters address, as far as this node knows, and sends it on its way.
//! 2. When it comes to the application's turn, [`Queries::accept`] looks whether its filters let this node through. If so it is
//!    acknowledged, where that is wanted.
//! 3. [`Queries::respond`] sends the answer straight to the asker, or says that there is none. Answers of a large fleet do not
//!    come all at once: each waits for a random time first, as long as the asker wants between two, for each member.
//! 4. The asker confirms each ([`Queries::answered`]); what is not confirmed is sent again.
//! 5. It ends when all who were addressed have answered or do not live any more, else when its time is over.

use core::error::Error;
use core::fmt;

use crate::config::{Config, log10_ceil};
use crate::context::Cx;
use crate::events::store::{Pin, list};
use crate::events::{EventError, Events};
use crate::failure::Links;
use crate::filter::{self, passes};
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::time::{Duration, Instant};
use crate::wire::message::{
    Address, EventId, Message, Query, QueryResponse, answer_flag, query_flag, query_identity,
};
use crate::wire::native;

/// Serf's time-out is this many gossip intervals, times the digits of the fleet's size.
const TIMEOUT_MULT: u32 = 16;
/// An answer that is not confirmed is sent again after this, then after twice as long, and so on.
const AGAIN: Duration = Duration::from_millis(100);
/// Doubled so often at most.
const DOUBLINGS: u32 = 4;
/// And so often at most: an asker that does not confirm for so long, some 14 s, is not there.
const MOST_SENDS: u8 = 12;
/// How often it is looked whether those who have not answered live still.
const LOOK: Duration = Duration::from_millis(100);
/// The unit of a query's pace.
const PACE: Duration = Duration::from_micros(100);

/// A question to the fleet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Ask<'q> {
    /// What it is about.
    pub name: &'q str,
    /// Any bytes.
    pub payload: &'q [u8],
    /// Names of the members that are asked; none: all are.
    pub nodes: &'q [&'q str],
    /// Tags, and an expression that the value of each must match.
    pub tags: &'q [(&'q str, &'q str)],
    /// Whether whoever is asked is to say so at once.
    pub ack: bool,
    /// How long answers are waited for; `None`: as long as Serf does, 3.2 s in a small fleet.
    pub timeout: Option<Duration>,
    /// Whether to wait so long even if all have answered.
    pub wait_full_timeout: bool,
}

impl<'q> Ask<'q> {
    /// A question to all, with acknowledgements.
    pub fn all(name: &'q str, payload: &'q [u8]) -> Ask<'q> {
        let (nodes, tags, timeout) = (&[][..], &[][..], None);
        Ask { name, payload, nodes, tags, ack: true, timeout, wait_full_timeout: false }
    }
}

/// Why a query was not asked, or an answer not taken. Nothing of it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum QueryError {
    /// As many queries of this node's as may be are running.
    TooMany,
    /// The filters are longer than 512 bytes, or name a member with an empty name.
    Filters,
    /// It cannot be spread, for the reasons that an event cannot be.
    Event(EventError),
    /// The answer is longer than so many bytes, as it is encoded.
    TooLong(u16),
    /// The query is not known, or its time is over.
    Over,
    /// This node has answered it already.
    Answered,
    /// There is no room for the answer now; try again.
    Full,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::TooMany => f.write_str("too many queries are running: try again when one has ended"),
            QueryError::Filters => {
                f.write_str("the filters are longer than 512 bytes, or have an empty name")
            }
            QueryError::Event(error) => write!(f, "{error}"),
            QueryError::TooLong(limit) => write!(f, "encoded the answer is longer than {limit} bytes"),
            QueryError::Over => f.write_str("there is no such query, or its time is over"),
            QueryError::Answered => f.write_str("the query has been answered already"),
            QueryError::Full => f.write_str("there is no room for the answer: try again later"),
        }
    }
}

impl Error for QueryError {}

/// A query of this node's. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Running {
    id: EventId,
    deadline: Instant,
    /// When it is looked next whether those who have not answered live.
    look: Instant,
    number: u32,
    /// So many of those who were addressed have said nothing to their end.
    left: u16,
    used: bool,
    waits: bool,
    /// It has ended, and the application has not been told so.
    over: bool,
}

impl Running {
    /// A free place.
    pub const EMPTY: Running = Running {
        id: EventId::LOWEST,
        deadline: Instant::PAST,
        look: Instant::PAST,
        number: 0,
        left: 0,
        used: false,
        waits: false,
        over: false,
    };
}

/// A query that this node has been asked. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Asked {
    id: EventId,
    /// When it came here.
    since: Instant,
    deadline: Instant,
    number: u32,
    asker: Address,
    /// Where the asker stands in the table, as long as it lives.
    member: u16,
    pace: u8,
    answered: bool,
    /// The asker has not confirmed the last answer.
    open: bool,
}

impl Asked {
    /// A free place.
    pub const EMPTY: Asked = Asked {
        id: EventId::LOWEST,
        since: Instant::PAST,
        deadline: Instant::PAST,
        number: 0,
        asker: Address::UNSET,
        member: 0,
        pace: 0,
        answered: false,
        open: false,
    };

    /// Whether somebody waits for an answer still.
    fn is_awaited(&self, now: Instant, members: &Membership<'_>) -> bool {
        self.open && self.deadline > now && lives_at(members, self.member, self.asker)
    }

    /// An answer to it.
    fn answer<'m>(&self, members: &'m Membership<'_>, flags: u32, payload: &'m [u8]) -> QueryResponse<'m> {
        let from = members.table.name(SELF);
        QueryResponse { ltime: self.id.ltime, id: self.number, from, flags, payload }
    }
}

/// The slices that queries work on.
pub(crate) struct Parts<'a> {
    pub(crate) running: &'a mut [Running],
    pub(crate) asked: &'a mut [Asked],
    /// For each running query and member two bits: whether it still has to answer, and whether it has acknowledged.
    pub(crate) marks: &'a mut [u8],
}

pub(crate) struct Queries<'a> {
    running: &'a mut [Running],
    asked: &'a mut [Asked],
    marks: &'a mut [u8],
    /// Answers still to be sent, or confirmed: when the next one is due.
    next_answer: Instant,
}

/// Which bit of a member's marks.
#[derive(Clone, Copy)]
enum Mark {
    Awaited,
    Acked,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(parts: Parts<'a>) -> Self {
        parts.running.fill(Running::EMPTY);
        parts.asked.fill(Asked::EMPTY);
        Queries { running: parts.running, asked: parts.asked, marks: parts.marks, next_answer: Instant::FAR }
    }

    pub(crate) fn release(self) -> Parts<'a> {
        Parts { running: self.running, asked: self.asked, marks: self.marks }
    }

    // ---- 1. asked here ----

    /// Asks the fleet; see [`crate::Node::query`].
    pub(crate) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        links: Links,
        cut_off: bool,
        ask: &Ask<'_>,
    ) -> Result<EventId, QueryError> {
        let Some(place) = self.running.iter().position(|running| !running.used) else {
            cx.stats.queries_full += 1;
            return Err(QueryError::TooMany);
        };
        let filters = filter::encode(ask.nodes, ask.tags).ok_or(QueryError::Filters)?;
        let timeout = ask.timeout.unwrap_or_else(|| default_timeout(&cx.config, links.live + 1));
        let number = cx.random.next() as u32;
        let pace = (cx.config.answer_pace as u32) << query_flag::PACE_SHIFT;
        let own = members.table.hot(SELF).addr;
        let query = Query {
            ltime: cx.clocks.event.now(),
            id: number,
            addr: own,
            source: members.table.name(SELF),
            filters: &filters,
            flags: if ask.ack { pace | query_flag::ACK } else { pace },
            relay_factor: 0,
            timeout_us: timeout.as_micros(),
            name: ask.name,
            payload: ask.payload,
        };
        let id = query.event_id();
        events.ask(cx, links, cut_off, query).map_err(QueryError::Event)?;
        cx.clocks.query.adopt(query.ltime + 1);
        cx.stats.queries_asked += 1;
        self.marks_of(place).fill(0);
        let mut left = 0;
        for member in members.table.iter().filter(|id| members.table.hot(*id).is_live()) {
            let candidate = members.candidate(member);
            // Of whom this node cannot tell it is waited for, too.
            if passes(&filters, candidate, cx.config.tag_matcher) != Some(false) {
                self.mark(place, member, Mark::Awaited);
                left += 1;
            }
        }
        self.running[place] = Running {
            id,
            deadline: cx.now + timeout,
            look: cx.now + LOOK,
            number,
            left,
            used: true,
            waits: ask.wait_full_timeout,
            over: false,
        };
        self.end_early(place);
        Ok(id)
    }

    /// Nobody waits for the answers to a query of this node's any more.
    pub(crate) fn cancel(&mut self, id: EventId) {
        if let Some(running) = self.running.iter_mut().find(|running| running.used && running.id == id) {
            running.used = false;
        }
    }

    fn marks_of(&mut self, place: usize) -> &mut [u8] {
        let each = self.marks.len() / self.running.len();
        &mut self.marks[place * each..(place + 1) * each]
    }

    /// Where a mark stands, and its bit.
    fn mark_of(&mut self, place: usize, member: u16, which: Mark) -> (&mut u8, u8) {
        (&mut self.marks_of(place)[member as usize / 4], 1 << (member % 4 * 2 + which as u16))
    }

    fn is_marked(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        *marks & bit != 0
    }

    /// Sets a mark; whether it was not set.
    fn mark(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        let new = *marks & bit == 0;
        *marks |= bit;
        new
    }

    /// Takes a mark away; whether it was set.
    fn unmark(&mut self, place: usize, member: u16, which: Mark) -> bool {
        let (marks, bit) = self.mark_of(place, member, which);
        let set = *marks & bit != 0;
        *marks &= !bit;
        set
    }

    // ---- 2. and 3. asked of this node ----

    /// A query has come to the application's turn. Whether it is for this node, and still in time.
    pub(crate) fn accept(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        slot: u16,
    ) -> bool {
        let held = cx.now.since(events.store.since(slot));
        let Some(query) = events.store.query(slot) else { return false };
        let passed = passes(query.filters, members.candidate(SELF), cx.config.tag_matcher);
        cx.stats.unfiltered += passed.is_none() as u64;
        let deadline = (cx.now + Duration::from_micros(query.timeout_us)).minus(held);
        if passed != Some(true) || deadline <= cx.now {
            return false;
        }
        // What is sent to anybody's address would be sent in anybody's name: only a member is answered, where it lives.
        let asker = members.table.find(query.source);
        let Some(member) = asker.filter(|asker| lives_at(members, *asker, query.addr)) else {
            cx.stats.strangers += 1;
            return false;
        };
        cx.clocks.query.adopt(query.ltime + 1);
        let places = 0..self.asked.len();
        // One that nobody waits for makes room, else the oldest.
        let worth = |asked: &Asked| (asked.is_awaited(cx.now, members), asked.since.as_micros());
        let Some(place) = places.min_by_key(|place| worth(&self.asked[*place])) else { return false };
        cx.stats.queries_given_up += worth(&self.asked[place]).0 as u64;
        let asked = Asked {
            id: query.event_id(),
            since: cx.now,
            deadline,
            number: query.id,
            asker: query.addr,
            member,
            pace: (query.flags >> query_flag::PACE_SHIFT) as u8,
            answered: false,
            open: true,
        };
        let wants_ack = query.flags & query_flag::ACK != 0;
        self.asked[place] = asked;
        cx.stats.queries_received += 1;
        if wants_ack {
            // If there is no room for it, the answer will say the same.
            let _ = self.send(cx, members, events, asked, answer_flag::ACK, &[]);
        }
        true
    }

    /// Answers a query that this node has been asked; `None`: there is no answer. See [`crate::Node::respond`].
    pub(crate) fn respond(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        id: EventId,
        payload: Option<&[u8]>,
    ) -> Result<(), QueryError> {
        let place = self.asked.iter().position(|asked| asked.id == id && asked.deadline > cx.now);
        let place = place.ok_or(QueryError::Over)?;
        let asked = self.asked[place];
        if asked.answered {
            return Err(QueryError::Answered);
        }
        let flags = if payload.is_some() { answer_flag::ANSWER } else { answer_flag::NO_ANSWER };
        let payload = payload.unwrap_or_default();
        let answer = Message::QueryResponse(asked.answer(members, flags, payload));
        let limit = cx.config.query_size_limit;
        if native::encoded_len(&answer) > limit as usize {
            return Err(QueryError::TooLong(limit));
        }
        // What has not gone out yet goes with it.
        let ack = if events.store.drop_unsent_answers(id) { answer_flag::ACK } else { 0 };
        let sent = self.send(cx, members, events, asked, flags | ack, payload);
        if sent.is_err() && ack != 0 {
            // In the room that it had.
            let _ = self.send(cx, members, events, asked, ack, &[]);
        }
        sent?;
        self.asked[place].answered = true;
        // Whoever asks itself confirms nothing.
        self.asked[place].open &= asked.member != SELF;
        Ok(())
    }

    /// An answer is on its way, after a random time.
    fn send(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        asked: Asked,
        flags: u32,
        payload: &[u8],
    ) -> Result<(), QueryError> {
        let answer = asked.answer(members, flags, payload);
        let message = Message::QueryResponse(answer);
        if asked.member == SELF {
            let taken = self.answered(cx, members, events, asked.asker, &answer);
            return if taken { Ok(()) } else { Err(QueryError::Full) };
        }
        if events.store.quota_full(Pin::Answer, native::encoded_len(&message)) {
            cx.stats.queries_full += 1;
            return Err(QueryError::Full);
        }
        let wait = PACE.times(asked.pace as u32).times(cx.random.below(members.table.len() as u32));
        let mut dropped = 0;
        let last = flags & !answer_flag::ACK != 0;
        let slot = events.store.put_answer(asked.id, &message, last, cx.now + wait, &mut dropped);
        cx.stats.store_dropped += dropped;
        slot.ok_or(QueryError::Full)?;
        self.next_answer = self.next_answer.min(cx.now + wait);
        Ok(())
    }

    /// The next answer that is due, and to whom.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Cx<'_>,
        events: &mut Events<'_>,
        tx: &mut [u8],
    ) -> Option<(Address, usize)> {
        if self.next_answer > cx.now {
            return None;
        }
        self.next_answer = Instant::FAR;
        let mut at = events.store.first(list::ANSWERS);
        while let Some(slot) = at {
            at = events.store.after(list::ANSWERS, slot);
            let (id, due) = (events.store.id(slot), events.store.since(slot));
            let Some(asked) = self.asked.iter_mut().find(|asked| asked.id == id && asked.deadline > cx.now)
            else {
                // Nobody waits for it any more.
                events.store.drop_answer(slot);
                continue;
            };
            if due > cx.now {
                self.next_answer = self.next_answer.min(due);
                continue;
            }
            if events.store.sends(slot) == MOST_SENDS {
                asked.open &= !events.store.is_last(slot);
                events.store.drop_answer(slot);
                continue;
            }
            let to = asked.asker;
            let mut packet = cx.wire.packet(tx, usize::MAX);
            let written = packet.push_encoded(events.store.answer(slot));
            let again = AGAIN.times(1 << (events.store.sends(slot) as u32).min(DOUBLINGS));
            events.store.answer_sent(slot, cx.now + again);
            // The rest is looked at in the next call.
            self.next_answer = cx.now;
            if written {
                cx.stats.query_answers += 1;
                return Some((to, packet.finish()));
            }
        }
        None
    }

    /// The asker has confirmed an answer: see [`confirmation`].
    pub(crate) fn confirmed(&mut self, events: &mut Events<'_>, confirmed: EventId, from: Address) {
        let mut at = events.store.first(list::ANSWERS);
        while let Some(slot) = at {
            at = events.store.after(list::ANSWERS, slot);
            let (id, last) = (events.store.id(slot), events.store.is_last(slot));
            // What has not been sent is not confirmed either.
            if marked(id, last) == confirmed
                && events.store.was_sent(slot)
                && let Some(asked) = self.asked.iter_mut().find(|asked| asked.id == id && asked.asker == from)
            {
                asked.open &= !last;
                events.store.drop_answer(slot);
            }
        }
    }

    // ---- 4. answered ----

    /// An answer has come. Whether it is taken, or need not come again; else it is not confirmed.
    pub(crate) fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        members: &Membership<'_>,
        events: &mut Events<'_>,
        addr: Address,
        answer: &QueryResponse<'_>,
    ) -> bool {
        let running = self.running.iter().position(|running| {
            running.used && running.number == answer.id && running.id.ltime == answer.ltime
        });
        let Some(place) = running.filter(|place| !self.running[*place].over) else {
            cx.stats.query_answers_late += 1;
            // It need not come again.
            return true;
        };
        let from = members.table.find(answer.from);
        let Some(member) = from.filter(|member| members.table.hot(*member).addr == addr) else {
            cx.stats.strangers += 1;
            return false;
        };
        let id = self.running[place].id;
        let is_answer = answer.flags & answer_flag::ANSWER != 0;
        let is_last = is_answer || answer.flags & answer_flag::NO_ANSWER != 0;
        if !self.is_marked(place, member, Mark::Awaited) {
            // It was not asked, or has answered before.
            cx.stats.query_answers_late += 1;
            return true;
        }
        // Without room for it, it comes again.
        let acks = answer.flags & answer_flag::ACK != 0 && self.mark(place, member, Mark::Acked);
        if acks && !show(cx, events, id, answer.from, None) {
            self.unmark(place, member, Mark::Acked);
            return false;
        }
        if is_answer && !show(cx, events, id, answer.from, Some(answer.payload)) {
            return false;
        }
        if is_last {
            self.unmark(place, member, Mark::Awaited);
            self.running[place].left -= 1;
            self.end_early(place);
        }
        true
    }

    fn end_early(&mut self, place: usize) {
        let running = &mut self.running[place];
        running.over |= running.left == 0 && !running.waits;
    }

    // ---- 5. ended ----

    /// A member is forgotten, or somebody else takes its place: nobody waits for it.
    pub(crate) fn forget(&mut self, member: u16) {
        for place in 0..self.running.len() {
            if self.running[place].used {
                self.unmark(place, member, Mark::Acked);
                self.running[place].left -= self.unmark(place, member, Mark::Awaited) as u16;
                self.end_early(place);
            }
        }
    }

    /// What ends by itself.
    pub(crate) fn expire(&mut self, cx: &Cx<'_>, members: &Membership<'_>) {
        for place in 0..self.running.len() {
            let running = self.running[place];
            if !running.used || running.over {
                continue;
            }
            if running.deadline <= cx.now {
                self.running[place].over = true;
            } else if running.look <= cx.now {
                self.running[place].look = cx.now + LOOK;
                for member in members.table.iter().filter(|id| !members.table.hot(*id).is_live()) {
                    if self.unmark(place, member, Mark::Awaited) {
                        self.running[place].left -= 1;
                    }
                }
                self.end_early(place);
            }
        }
    }

    /// When something is due. `tells`: the application is told of what has ended.
    pub(crate) fn deadline(&self, tells: bool) -> Instant {
        let running = self.running.iter().filter(|running| running.used);
        let due = |running: &Running| match (running.over, tells) {
            (true, true) => Instant::PAST,
            (true, false) => Instant::FAR,
            (false, _) => running.deadline.min(running.look),
        };
        running.map(due).fold(self.next_answer, Instant::min)
    }

    /// A query that has ended, once all its answers have been shown.
    pub(crate) fn next_over(&mut self, events: &Events<'_>) -> Option<EventId> {
        let over = self.running.iter_mut().find(|running| running.used && running.over)?;
        if events.waiting() > 0 {
            return None;
        }
        over.used = false;
        Some(over.id)
    }
}

/// Whether a member lives at this address.
fn lives_at(members: &Membership<'_>, member: u16, addr: Address) -> bool {
    let member = members.table.hot(member);
    member.is_live() && member.addr == addr
}

/// Hands an answer (or with no payload an acknowledgement) to the application; false if there is no room.
fn show(cx: &mut Cx<'_>, events: &mut Events<'_>, id: EventId, from: &str, payload: Option<&[u8]>) -> bool {
    let len = from.len() + payload.map_or(0, <[u8]>::len);
    if events.store.quota_full(Pin::Application, len) {
        cx.stats.app_full += 1;
        return false;
    }
    let mut dropped = 0;
    let slot = events.store.put_response(id, from, payload, &mut dropped);
    cx.stats.store_dropped += dropped;
    slot.inspect(|slot| events.deliver(*slot)).is_some()
}

/// Serf's time-out of queries.
fn default_timeout(config: &Config, n: usize) -> Duration {
    config.gossip_interval.times(TIMEOUT_MULT).times(log10_ceil(n))
}

/// The identity under which an answer to a query is confirmed: the query's, made another for the last answer of a member, so
/// that the confirmation of its acknowledgement is not taken for that.
fn marked(query: EventId, last: bool) -> EventId {
    EventId { origin: query.origin ^ last as u64, ..query }
}

/// What whoever sent this answer to a query of `asker`'s is told when it has been taken.
pub(crate) fn confirmation(asker: &str, answer: &QueryResponse<'_>) -> Answer {
    let query = query_identity(answer.ltime, asker, answer.id);
    Answer::Confirmed { id: marked(query, answer.flags & !answer_flag::ACK != 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit;
    use crate::sync::Engines;
    use crate::wire::packet::DATAGRAM_MAX;

    /// A node among three others, at which a query has come to its turn: whether it is accepted, and its identity.
    fn asked(source: &str, addr: Address) -> (Cx<'static>, Engines<'static>, bool, EventId) {
        let (mut cx, mut e, _) = kit::fleet(3);
        let query = Query {
            ltime: 7,
            id: 8,
            addr,
            source,
            filters: &[],
            flags: query_flag::ACK,
            relay_factor: 0,
            timeout_us: 3_600_000_000,
            name: "load",
            payload: b"",
        };
        let (id, message) = (query.event_id(), Message::Query(query));
        let Engines { members, events, queries, .. } = &mut e;
        let slot = events.store.put_query(id, &message, cx.now, list::HELD, &mut 0).expect("room");
        let accepted = queries.accept(&mut cx, members, events, slot);
        (cx, e, accepted, id)
    }

    /// The flags of the answers that wait.
    fn waiting(events: &mut Events<'_>) -> std::vec::Vec<u32> {
        let mut flags = std::vec::Vec::new();
        let mut at = events.store.first(list::ANSWERS);
        while let Some(slot) = at {
            let answer = events.store.answer(slot);
            let Ok(Message::QueryResponse(answer)) = native::decode(answer.kind, answer.body) else {
                panic!("an answer is one")
            };
            flags.push(answer.flags);
            at = events.store.after(list::ANSWERS, slot);
        }
        flags
    }

    #[test]
    fn only_a_member_is_answered_and_only_where_it_lives() {
        for (source, addr, expected) in
            [("m1", kit::addr(1), true), ("m1", kit::addr(2), false), ("nobody", kit::addr(1), false)]
        {
            let (cx, mut e, accepted, _) = asked(source, addr);
            assert_eq!((accepted, cx.stats.strangers), (expected, !expected as u64), "{source}");
            assert_eq!(waiting(&mut e.events).len(), expected as usize);
        }
    }

    #[test]
    fn an_acknowledgement_goes_with_the_answer_also_after_one_that_was_too_long() {
        let (mut cx, mut e, _, id) = asked("m1", kit::addr(1));
        let Engines { members, events, queries, .. } = &mut e;
        let long = queries.respond(&mut cx, members, events, id, Some(&[0; 1_100]));
        assert_eq!(long, Err(QueryError::TooLong(1_024)));
        assert_eq!(waiting(events), [answer_flag::ACK]);
        assert_eq!(queries.respond(&mut cx, members, events, id, Some(b"1")), Ok(()));
        assert_eq!(waiting(events), [answer_flag::ACK | answer_flag::ANSWER]);
        assert_eq!(queries.respond(&mut cx, members, events, id, None), Err(QueryError::Answered));
    }

    #[test]
    fn what_nobody_confirms_is_sent_again_for_a_while_and_what_is_confirmed_is_not() {
        for confirms in [false, true] {
            let (mut cx, mut e, _, id) = asked("m1", kit::addr(1));
            let Engines { members, events, queries, .. } = &mut e;
            queries.respond(&mut cx, members, events, id, Some(b"1")).expect("room");
            let mut sent = 0;
            for _ in 0..1_000 {
                cx.now += Duration::from_millis(50);
                while let Some((to, _)) = queries.poll(&mut cx, events, &mut [0; DATAGRAM_MAX]) {
                    assert_eq!(to, kit::addr(1));
                    sent += 1;
                    if confirms {
                        queries.confirmed(events, marked(id, true), to);
                    }
                }
            }
            assert_eq!((sent, waiting(events).len()), (if confirms { 1 } else { MOST_SENDS }, 0));
        }
    }
}
