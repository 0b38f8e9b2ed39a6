//! What this node is asked, and its answers on their way to the asker.

use super::{Queries, QueryError};
use crate::context::Cx;
use crate::events::Events;
use crate::events::store::{Pin, list};
use crate::filter::passes;
use crate::membership::Membership;
use crate::membership::table::SELF;
use crate::outgoing::Answer;
use crate::time::{Duration, Instant};
use crate::wire::message::{
    Address, EventId, Message, QueryResponse, answer_flag, query_flag, query_identity,
};
use crate::wire::native;

/// An answer that is not confirmed is sent again after this, then after twice as long, and so on.
const AGAIN: Duration = Duration::from_millis(100);
/// Doubled so often at most.
const DOUBLINGS: u32 = 4;
/// And so often at most: an asker that does not confirm for so long, some 14 s, is not there.
const MOST_SENDS: u8 = 12;
/// The unit of a query's pace.
const PACE: Duration = Duration::from_micros(100);

/// A query that this node has been asked. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Asked {
    pub(super) id: EventId,
    /// When it came here.
    since: Instant,
    pub(super) deadline: Instant,
    number: u32,
    asker: Address,
    /// Where the asker stands in the table, as long as it lives.
    member: u16,
    pace: u8,
    answered: bool,
    /// The asker has not confirmed the last answer.
    open: bool,
    /// A receipt is wanted of an event that has not been handed out; `slot` of the store holds the query so long.
    pub(super) wants_receipt: bool,
    pub(super) slot: u16,
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
        wants_receipt: false,
        slot: 0,
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

impl Queries<'_> {
    // ---- 2. and 3. asked of this node ----

    /// A query has come to the application's turn. Whether it is to be told of it: it is for this node, and still in time.
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
        let wants_receipt = query.flags & query_flag::RECEIPT != 0;
        let asked = Asked {
            id: query.event_id(),
            since: cx.now,
            deadline,
            number: query.id,
            asker: query.addr,
            member,
            pace: (query.flags >> query_flag::PACE_SHIFT) as u8,
            // No application answers what it is not told of.
            answered: wants_receipt,
            open: true,
            wants_receipt,
            slot,
        };
        let wants_ack = query.flags & query_flag::ACK != 0;
        self.want_no_receipt(events, place);
        self.asked[place] = asked;
        if wants_receipt {
            self.wanted += 1;
            events.store.pin(slot, Pin::Query);
            self.give_receipt(cx, members, events, place);
            return false;
        }
        cx.stats.queries_received += 1;
        if wants_ack {
            // The query is to be shown yet: it makes no room for this. If there is none, the answer will say the same.
            events.store.pin(slot, Pin::Query);
            let _ = self.send(cx, members, events, asked, answer_flag::ACK, &[]);
            events.store.unpin(slot, Pin::Query);
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
        let limit = cx.config.response_size_limit;
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
    pub(super) fn send(
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
                return Some((to, packet.finish(&mut cx.wire)));
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
}

/// Whether a member lives at this address.
fn lives_at(members: &Membership<'_>, member: u16, addr: Address) -> bool {
    let member = members.table.hot(member);
    member.is_live() && member.addr == addr
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
    use crate::wire::message::{self, Query};
    use crate::wire::packet::DATAGRAM_MAX;

    /// A query of this one's, held.
    fn held(cx: &Cx<'_>, events: &mut Events<'_>, source: &str, addr: Address) -> (EventId, u16) {
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
        (id, events.store.put_query(id, &message, cx.now, list::HELD, &mut 0).expect("room"))
    }

    /// A node among three others, at which a query has come to its turn: whether it is accepted, and its identity.
    fn asked(source: &str, addr: Address) -> (Cx<'static>, Engines<'static>, bool, EventId) {
        let (mut cx, mut e, _) = kit::fleet(3);
        let Engines { members, events, queries, .. } = &mut e;
        let (id, slot) = held(&cx, events, source, addr);
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
    fn a_query_that_is_to_be_shown_makes_no_room_for_its_own_acknowledgement() {
        for (source, addr) in [("m1", kit::addr(1)), ("self", kit::addr(0))] {
            let (mut cx, mut e, _) = kit::fleet(3);
            let Engines { members, events, queries, .. } = &mut e;
            let (id, slot) = held(&cx, events, source, addr);
            for ltime in 100..100 + events.store.capacity() as u64 - 1 {
                let event =
                    message::UserEvent { id: kit::id(ltime, 1), name: b"e", payload: b"", coalesce: false };
                events.store.put(&event, &[], cx.now, list::HELD, &mut 0).expect("room");
            }
            assert!(queries.accept(&mut cx, members, events, slot));
            assert!(events.store.query(slot).is_some_and(|query| query.event_id() == id), "{source}");
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
