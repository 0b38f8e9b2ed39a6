//! Slots for what this node holds and passes on: gossip queue and pull store in one.
//!
//! A slot goes through lists: new ones wait to be sent (own and others' apart), then their ids are announced on a
//! doubling schedule, then they are only held, in case somebody asks. When room is needed, of those that may go the
//! most-sent goes; a quarter is kept for last values, as long as anything else may go. Pinned slots never go: own events that
//! did not come back yet, those that the coalescer holds, and those that the application has not taken. Each kind of pin
//! may take a quarter of the slots and of the bytes; own ones three, while nobody is there to send others.
//!
//! Queries travel as events do, and are held as they are encoded; so are answers, which wait for their confirmation.

use super::arena::Arena;
use crate::authority::{SIGNED, Signature};
use crate::hash;
use crate::slice::{Index, Link, Linked, List, NIL};
use crate::time::{Duration, Instant};
use crate::wire::message::{self, EventId, Message, Query};
use crate::wire::native;
use crate::wire::packet::Encoded;

/// A user event as the application gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UserEvent<'a> {
    /// Lamport time and origin.
    pub id: EventId,
    /// Any bytes.
    pub name: &'a [u8],
    /// Any bytes.
    pub payload: &'a [u8],
    /// Whether its sender allowed coalescing.
    pub coalesce: bool,
    /// Whom it is for, encoded as in [`Query::filters`](crate::wire::message::Query::filters); empty: all. See [`crate::Node::is_for`]. In front of them
    /// an operator's signature, if it has one.
    pub filters: &'a [u8],
}

impl UserEvent<'_> {
    /// What is coalesced with it: events of the same name, for the same members, signed ones apart from others. A hash that is the
    /// same on every node.
    pub fn key(&self) -> u64 {
        key(self.id, self.name, self.filters)
    }
}

/// The key of events of this name, for these members. Signed ones have others than those that anybody may fire.
pub(crate) fn key(id: EventId, name: &[u8], filters: &[u8]) -> u64 {
    let (_, filters) = Signature::split(filters);
    let name = hash::bytes(name);
    let name = if id.is_signed() { hash::mix(name ^ SIGNED) } else { name };
    if filters.is_empty() { name } else { hash::mix(name ^ hash::bytes(filters).rotate_left(1)) }
}

/// Why a slot must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// An own event that others have not shown to have.
    Own,
    /// Held by the coalescer.
    Coalescer,
    /// Waiting for the application.
    Application,
    /// An answer to a query that its asker has not confirmed.
    Answer,
    /// A query that is being shown to the application, or waits for an event.
    Query,
}

/// How many kinds of pins there are.
const PINS: usize = 5;

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
#[repr(u8)]
pub(crate) enum Kind {
    /// A user event: name and payload.
    Event,
    /// A user event for some members: name, payload, filters, and how long those are.
    Targeted,
    /// A query, as it is encoded.
    Query,
    /// A message about a member that is not held, as it is encoded.
    Foreign,
    /// This node's answer to a query, as it is encoded.
    Answer,
    /// Another one's acknowledgement of a query of this node's: its name.
    Ack,
    /// Another one's answer: its name and payload.
    Response,
}

impl Kind {
    /// Whether a slot is found by what it holds: others ask for it.
    fn has_identity(self) -> bool {
        matches!(self, Kind::Event | Kind::Targeted | Kind::Query)
    }
}

/// What an event for these members takes in the store, in bytes.
pub(crate) fn event_len(event: &message::UserEvent, filters: &[u8]) -> usize {
    let targeted = if filters.is_empty() { 0 } else { filters.len() + 2 };
    event.name.len() + event.payload.len() + targeted
}

/// When an event's id is announced, after its arrival: each time to two members.
pub(crate) const ANNOUNCE_MS: [u64; 8] = [10, 20, 40, 80, 160, 320, 640, 1_280];

/// Which list a slot is in.
pub(crate) mod list {
    /// Not in use.
    pub const FREE: u8 = 0;
    /// Own events that have not been sent yet.
    pub const OWN: u8 = 1;
    /// Others' events that have not been passed on yet.
    pub const FRESH: u8 = 2;
    /// Others' events that need not be passed on unless their origin fails to say that all have them.
    pub const TOLD: u8 = 3;
    /// Announced once, twice, ... up to [`super::ANNOUNCE_MS`]: waiting for the next time.
    pub const ANNOUNCE: u8 = 4;
    /// Own events that have been sent to everybody, and wait for word that they have been received.
    pub const AWAIT: u8 = ANNOUNCE + super::ANNOUNCE_MS.len() as u8;
    /// Own events that have been announced and did not come back yet.
    pub const OWN_HELD: u8 = AWAIT + 1;
    /// Messages about members that the table does not hold: a quarter at most, given up before any event that is still told.
    pub const FOREIGN: u8 = OWN_HELD + 1;
    /// Answers to queries, until they are confirmed.
    pub const ANSWERS: u8 = FOREIGN + 1;
    /// Only held, as the last value of its name.
    pub const VALUES: u8 = ANSWERS + 1;
    /// Only held.
    pub const HELD: u8 = VALUES + 1;
    /// Only held, and pinned: apart, so that whoever looks for a slot that may go need not walk past them.
    pub const PINNED: u8 = HELD + 1;
    pub const COUNT: usize = PINNED as usize + 1;
}

/// One slot. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct StoreSlot {
    id: EventId,
    /// Arrival; for an own event the first sending.
    at: Instant,
    place: u32,
    link: Link,
    len: u16,
    name_len: u16,
    /// Addresses (hashed) that the id came back from; for [`list::FOREIGN`] the first is the message's kind.
    confirmed_by: [u16; 2],
    /// From how many members an own event came back; how often another's origin has had it announced once more.
    confirmations: u8,
    list: u8,
    pins: u8,
    sends: u8,
    coalesce: bool,
    /// It is the last value of its name.
    is_value: bool,
    kind: Kind,
    /// In [`list::AWAIT`] and [`list::TOLD`]: which batch it was sent in.
    batch: u8,
}

impl StoreSlot {
    /// A free place.
    pub const EMPTY: StoreSlot = StoreSlot {
        id: EventId { ltime: 0, origin: 0 },
        at: Instant::PAST,
        place: 0,
        link: Link::LOOSE,
        len: 0,
        name_len: 0,
        confirmed_by: [0; 2],
        confirmations: 0,
        list: list::FREE,
        pins: 0,
        sends: 0,
        coalesce: false,
        is_value: false,
        kind: Kind::Event,
        batch: 0,
    };
}

impl Linked<0> for StoreSlot {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

/// How much the slots of one kind of pin take.
#[derive(Clone, Copy, Default)]
struct Pinned {
    slots: usize,
    bytes: usize,
}

pub(crate) struct Store<'a> {
    slots: &'a mut [StoreSlot],
    index: Index<'a>,
    arena: Arena<'a>,
    lists: [List<0>; list::COUNT],
    /// Slots from here on were never used, and are in no list.
    touched: usize,
    pinned: [Pinned; PINS],
    /// Bytes of what is in [`list::TOLD`].
    told_bytes: usize,
}

impl<'a> Store<'a> {
    pub(crate) fn new(slots: &'a mut [StoreSlot], index: &'a mut [u16], arena: &'a mut [u8]) -> Self {
        Store {
            slots,
            index: Index::new(index),
            arena: Arena::new(arena),
            lists: [const { List::new() }; list::COUNT],
            touched: 0,
            pinned: [Pinned::default(); PINS],
            told_bytes: 0,
        }
    }

    pub(crate) fn release(self) -> (&'a mut [StoreSlot], &'a mut [u16], &'a mut [u8]) {
        (self.slots, self.index.release(), self.arena.release())
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, id: EventId) -> Option<u16> {
        let hash_of = |slot: u16| self.slots[slot as usize].id.hash();
        self.index.find(id.hash(), hash_of, |slot| self.slots[slot as usize].id == id)
    }

    pub(crate) fn event(&self, slot: u16) -> UserEvent<'_> {
        let s = &self.slots[slot as usize];
        let (name, mut payload) = self.arena.piece(s.place, s.len as usize).split_at(s.name_len as usize);
        let mut filters = &[][..];
        if s.kind == Kind::Targeted
            && let Some((rest, len)) = payload.split_last_chunk()
        {
            (payload, filters) = rest.split_at(rest.len() - u16::from_le_bytes(*len) as usize);
        }
        UserEvent { id: s.id, name, payload, coalesce: s.coalesce, filters }
    }

    /// A message about a member that is not held.
    pub(crate) fn foreign(&self, slot: u16) -> Encoded<'_> {
        let s = &self.slots[slot as usize];
        Encoded { kind: s.confirmed_by[0] as u8, body: self.arena.piece(s.place, s.len as usize) }
    }

    pub(crate) fn id(&self, slot: u16) -> EventId {
        self.slots[slot as usize].id
    }

    /// Whether a pin of this kind would take more than its quarter, with a piece of `len` bytes.
    pub(crate) fn quota_full(&self, pin: Pin, len: usize) -> bool {
        self.quarters_full(pin, 1, len)
    }

    /// The same for so many quarters.
    pub(crate) fn quarters_full(&self, pin: Pin, quarters: usize, len: usize) -> bool {
        let pinned = self.pinned[pin as usize];
        // The first one always fits, however long it is.
        pinned.slots > 0
            && (pinned.slots >= quarters * self.slots.len() / 4
                || pinned.bytes + Arena::cost(len) > quarters * self.arena.capacity() / 4)
    }

    /// How many more pins of this kind there may be, however short.
    pub(crate) fn room(&self, pin: Pin) -> usize {
        (self.slots.len() / 4).saturating_sub(self.pinned[pin as usize].slots)
    }

    pub(crate) fn pinned(&self, pin: Pin) -> usize {
        self.pinned[pin as usize].slots
    }

    /// Takes an event in, giving up others if need be. `None` if everything else is pinned. Tells how many went.
    pub(crate) fn put(
        &mut self,
        event: &message::UserEvent,
        filters: &[u8],
        now: Instant,
        into: u8,
        dropped: &mut u64,
    ) -> Option<u16> {
        let len = event_len(event, filters);
        let slot = self.make_room(len, dropped)?;
        self.fill(slot, len, into, if filters.is_empty() { Kind::Event } else { Kind::Targeted });
        let s = &mut self.slots[slot as usize];
        (s.id, s.at, s.coalesce) = (event.id, now, event.coalesce);
        let rest = self.write_pair(slot, event.name, event.payload);
        if let Some((place, len)) = rest.split_last_chunk_mut() {
            place.copy_from_slice(filters);
            *len = (filters.len() as u16).to_le_bytes();
        }
        self.index(slot);
        Some(slot)
    }

    /// Writes both to the beginning of a slot's piece; what is left of that.
    fn write_pair(&mut self, slot: u16, name: &[u8], payload: &[u8]) -> &mut [u8] {
        let s = &mut self.slots[slot as usize];
        s.name_len = name.len() as u16;
        let (first, rest) = self.arena.piece_mut(s.place, s.len as usize).split_at_mut(name.len());
        let (second, rest) = rest.split_at_mut(payload.len());
        first.copy_from_slice(name);
        second.copy_from_slice(payload);
        rest
    }

    /// What a slot's piece takes, in bytes.
    pub(crate) fn len(&self, slot: u16) -> usize {
        self.slots[slot as usize].len as usize
    }

    /// Takes a query in, found by this identity.
    pub(crate) fn put_query(
        &mut self,
        id: EventId,
        message: &Message<'_>,
        now: Instant,
        into: u8,
        dropped: &mut u64,
    ) -> Option<u16> {
        let slot = self.put_encoded(message, into, Kind::Query, dropped)?;
        let s = &mut self.slots[slot as usize];
        (s.id, s.at) = (id, now);
        self.index(slot);
        Some(slot)
    }

    /// Takes this node's answer to a query in, to be sent at a time.
    pub(crate) fn put_answer(
        &mut self,
        query: EventId,
        message: &Message<'_>,
        last: bool,
        at: Instant,
        dropped: &mut u64,
    ) -> Option<u16> {
        let slot = self.put_encoded(message, list::ANSWERS, Kind::Answer, dropped)?;
        let s = &mut self.slots[slot as usize];
        // Nothing to coalesce: it says whether more may follow.
        (s.id, s.at, s.coalesce) = (query, at, last);
        self.pin(slot, Pin::Answer);
        Some(slot)
    }

    /// Takes another one's answer to a query of this node's in, or its acknowledgement.
    pub(crate) fn put_response(
        &mut self,
        query: EventId,
        from: &str,
        payload: Option<&[u8]>,
        dropped: &mut u64,
    ) -> Option<u16> {
        let kind = if payload.is_some() { Kind::Response } else { Kind::Ack };
        let payload = payload.unwrap_or_default();
        let len = from.len() + payload.len();
        let slot = self.make_room(len, dropped)?;
        self.fill(slot, len, list::HELD, kind);
        self.slots[slot as usize].id = query;
        self.write_pair(slot, from.as_bytes(), payload);
        Some(slot)
    }

    fn put_encoded(&mut self, message: &Message<'_>, into: u8, kind: Kind, dropped: &mut u64) -> Option<u16> {
        let len = native::encoded_len(message);
        let slot = self.make_room(len, dropped)?;
        self.fill(slot, len, into, kind);
        let place = self.slots[slot as usize].place;
        native::encode(message, self.arena.piece_mut(place, len))?;
        Some(slot)
    }

    pub(crate) fn kind(&self, slot: u16) -> Kind {
        self.slots[slot as usize].kind
    }

    /// A query, as it came.
    pub(crate) fn query(&self, slot: u16) -> Option<Query<'_>> {
        let s = &self.slots[slot as usize];
        let body = self.arena.piece(s.place, s.len as usize);
        match native::decode(native::kind::QUERY, body) {
            Ok(Message::Query(query)) if s.kind == Kind::Query => Some(query),
            _ => None,
        }
    }

    /// What it belongs to, and for another one's answer to a query of this node's: its name and payload.
    pub(crate) fn response(&self, slot: u16) -> (EventId, &str, &[u8]) {
        let s = &self.slots[slot as usize];
        let (from, payload) = self.arena.piece(s.place, s.len as usize).split_at(s.name_len as usize);
        (s.id, core::str::from_utf8(from).unwrap_or_default(), payload)
    }

    /// This node's answer to a query.
    pub(crate) fn answer(&self, slot: u16) -> Encoded<'_> {
        let s = &self.slots[slot as usize];
        let kind = native::kind::QUERY_RESPONSE;
        Encoded { kind, body: self.arena.piece(s.place, s.len as usize) }
    }

    /// Whether no other answer of this node's to that query follows.
    pub(crate) fn is_last(&self, slot: u16) -> bool {
        self.slots[slot as usize].coalesce
    }

    /// How often a slot has gone out.
    pub(crate) fn sends(&self, slot: u16) -> u8 {
        self.slots[slot as usize].sends
    }

    /// An answer has gone out once more; it does so again at this time.
    pub(crate) fn answer_sent(&mut self, slot: u16, again: Instant) {
        let s = &mut self.slots[slot as usize];
        s.at = again;
        s.sends = s.sends.saturating_add(1);
    }

    /// Answers to a query that have not gone out are needed no more. Whether there were any.
    pub(crate) fn drop_unsent_answers(&mut self, query: EventId) -> bool {
        let mut any = false;
        let mut at = self.first(list::ANSWERS);
        while let Some(slot) = at {
            at = self.after(list::ANSWERS, slot);
            if self.id(slot) == query && !self.was_sent(slot) {
                self.drop_answer(slot);
                any = true;
            }
        }
        any
    }

    /// An answer is needed no more.
    pub(crate) fn drop_answer(&mut self, slot: u16) {
        self.unpin(slot, Pin::Answer);
        self.drop_slot(slot);
    }

    /// From now on a slot is found by its identity.
    #[inline(never)]
    fn index(&mut self, slot: u16) {
        let slots = &*self.slots;
        self.index.insert(slots[slot as usize].id.hash(), slot, |slot| slots[slot as usize].id.hash());
    }

    /// The opposite.
    #[inline(never)]
    fn unindex(&mut self, slot: u16) {
        let slots = &*self.slots;
        self.index.remove(slots[slot as usize].id.hash(), slot, |slot| slots[slot as usize].id.hash());
    }

    /// Takes a message about an unknown member in, to be passed on.
    pub(crate) fn put_foreign(&mut self, Encoded { kind, body }: Encoded<'_>, dropped: &mut u64) -> bool {
        // They take a quarter at most.
        let mut bytes = Arena::cost(body.len());
        let mut at = self.first(list::FOREIGN);
        while let Some(slot) = at {
            bytes += Arena::cost(self.slots[slot as usize].len as usize);
            at = self.after(list::FOREIGN, slot);
        }
        while bytes > self.arena.capacity() / 4
            || self.lists[list::FOREIGN as usize].len() >= self.slots.len() / 4
        {
            let Some(oldest) = self.first(list::FOREIGN) else { return false };
            bytes -= Arena::cost(self.slots[oldest as usize].len as usize);
            *dropped += 1;
            self.drop_slot(oldest);
        }
        let Some(slot) = self.make_room(body.len(), dropped) else { return false };
        self.fill(slot, body.len(), list::FOREIGN, Kind::Foreign);
        self.slots[slot as usize].confirmed_by[0] = kind as u16;
        let place = self.slots[slot as usize].place;
        self.arena.piece_mut(place, body.len()).copy_from_slice(body);
        true
    }

    fn fill(&mut self, slot: u16, len: usize, into: u8, kind: Kind) {
        self.lists[list::FREE as usize].remove(self.slots, slot);
        let slots = &mut *self.slots;
        let place = self.arena.hold(slot, len, |owner, moved| {
            let s = &mut slots[owner as usize];
            match (moved, s.list) {
                (_, list::FREE) => u32::MAX,
                (Some(to), _) => {
                    s.place = to;
                    to
                }
                (None, _) => s.place,
            }
        });
        self.slots[slot as usize] =
            StoreSlot { place, len: len as u16, list: into, kind, ..StoreSlot::EMPTY };
        self.lists[into as usize].push_back(self.slots, slot);
        self.told_bytes += self.told_cost(slot);
    }

    fn make_room(&mut self, len: usize, dropped: &mut u64) -> Option<u16> {
        if Arena::cost(len) > self.arena.capacity() {
            return None;
        }
        loop {
            if self.arena.fits(len) {
                if let Some(slot) = self.lists[list::FREE as usize].head() {
                    return Some(slot);
                }
                if self.touched < self.slots.len() {
                    let slot = self.touched as u16;
                    self.touched += 1;
                    self.slots[slot as usize] = StoreSlot::EMPTY;
                    self.lists[list::FREE as usize].push_back(self.slots, slot);
                    return Some(slot);
                }
            }
            let victim = self.victim()?;
            *dropped += 1;
            self.drop_slot(victim);
        }
    }

    /// The most-sent slot that may go; a last value, unless they take more than their quarter, when there is none.
    fn victim(&mut self) -> Option<u16> {
        let many = self.lists[list::VALUES as usize].len() > self.slots.len() / 4;
        let first = if many { list::VALUES } else { list::HELD };
        let lists =
            [list::HELD, first].into_iter().chain((list::FRESH..list::VALUES).rev()).chain([list::VALUES]);
        for which in lists {
            let mut at = self.lists[which as usize].head();
            while let Some(slot) = at {
                if self.slots[slot as usize].pins == 0 {
                    return Some(slot);
                }
                at = self.lists[which as usize].after(self.slots, slot);
            }
        }
        None
    }

    /// Forgets a slot that is not pinned.
    pub(crate) fn drop_slot(&mut self, slot: u16) {
        let s = self.slots[slot as usize];
        if s.kind.has_identity() {
            self.unindex(slot);
        }
        self.arena.free(s.len as usize);
        self.move_to(slot, list::FREE);
    }

    pub(crate) fn move_to(&mut self, slot: u16, to: u8) {
        let from = self.slots[slot as usize].list;
        self.told_bytes -= self.told_cost(slot);
        self.lists[from as usize].remove(self.slots, slot);
        self.slots[slot as usize].list = to;
        self.lists[to as usize].push_back(self.slots, slot);
        self.told_bytes += self.told_cost(slot);
    }

    /// What a slot counts for among those that wait for their origins' word.
    fn told_cost(&self, slot: u16) -> usize {
        let s = &self.slots[slot as usize];
        if s.list == list::TOLD { Arena::cost(s.len as usize) } else { 0 }
    }

    pub(crate) fn first(&self, which: u8) -> Option<u16> {
        self.lists[which as usize].head()
    }

    pub(crate) fn after(&mut self, which: u8, slot: u16) -> Option<u16> {
        self.lists[which as usize].after(self.slots, slot)
    }

    /// Longest event that the arena can hold at all.
    pub(crate) fn longest(&self) -> usize {
        self.arena.capacity() - Arena::cost(0)
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> usize {
        self.touched - self.lists[list::FREE as usize].len()
    }

    pub(crate) fn pin(&mut self, slot: u16, pin: Pin) {
        if self.is_pinned(slot, pin) {
            return;
        }
        let s = &mut self.slots[slot as usize];
        s.pins |= 1 << pin as u8;
        let pinned = &mut self.pinned[pin as usize];
        pinned.slots += 1;
        pinned.bytes += Arena::cost(s.len as usize);
        if matches!(s.list, list::HELD | list::VALUES) {
            self.move_to(slot, list::PINNED);
        }
    }

    pub(crate) fn is_pinned(&self, slot: u16, pin: Pin) -> bool {
        self.slots[slot as usize].pins & 1 << pin as u8 != 0
    }

    pub(crate) fn unpin(&mut self, slot: u16, pin: Pin) {
        if !self.is_pinned(slot, pin) {
            return;
        }
        let s = &mut self.slots[slot as usize];
        s.pins &= !(1 << pin as u8);
        let pinned = &mut self.pinned[pin as usize];
        pinned.slots -= 1;
        pinned.bytes -= Arena::cost(s.len as usize);
        if s.list == list::PINNED {
            self.rest(slot);
        }
    }

    /// Whether an event, if it is held, is the last value of its name.
    pub(crate) fn keep_value(&mut self, id: EventId, is_value: bool) {
        let Some(slot) = self.find(id) else { return };
        self.slots[slot as usize].is_value = is_value;
        if matches!(self.slots[slot as usize].list, list::HELD | list::VALUES) {
            self.rest(slot);
        }
    }

    /// An own event that has not been sent yet goes by another identity from now on.
    pub(crate) fn rename(&mut self, slot: u16, id: EventId) {
        self.unindex(slot);
        self.slots[slot as usize].id = id;
        self.index(slot);
    }

    /// Own events that nobody has shown to have are sent anew.
    pub(crate) fn send_again(&mut self) {
        for which in list::ANNOUNCE..=list::OWN_HELD {
            let mut at = self.first(which);
            while let Some(slot) = at {
                at = self.after(which, slot);
                if self.is_pinned(slot, Pin::Own) {
                    self.move_to(slot, list::OWN);
                }
            }
        }
    }

    /// When the slot's id is to be announced next, for a slot in an announcing list.
    pub(crate) fn announce_at(&self, slot: u16) -> Instant {
        let s = &self.slots[slot as usize];
        s.at + Duration::from_millis(ANNOUNCE_MS[(s.list - list::ANNOUNCE) as usize])
    }

    /// The slot's id has been announced: on to the next time, or to rest after `stages` times.
    pub(crate) fn announced(&mut self, slot: u16, stages: u8) {
        let next = self.slots[slot as usize].list + 1;
        if next < list::ANNOUNCE + stages {
            self.move_to(slot, next);
        } else if self.is_pinned(slot, Pin::Own) {
            self.move_to(slot, list::OWN_HELD);
        } else {
            self.rest(slot);
        }
    }

    /// There is nothing more to do with a slot than to hold it.
    pub(crate) fn rest(&mut self, slot: u16) {
        let s = &self.slots[slot as usize];
        let to = match (s.pins, s.is_value) {
            (0, false) => list::HELD,
            (0, true) => list::VALUES,
            _ => list::PINNED,
        };
        self.move_to(slot, to);
    }

    /// An own event need not be kept for its own sake any more.
    pub(crate) fn release_own(&mut self, slot: u16) {
        self.unpin(slot, Pin::Own);
        if matches!(self.slots[slot as usize].list, list::OWN_HELD | list::OWN) {
            self.rest(slot);
        }
    }

    /// Nobody is told unasked any more of what is at or below `last`. Returns how many own events of these had not come back.
    pub(crate) fn quieten(&mut self, last: EventId) -> u64 {
        let mut own = 0;
        let told = [list::OWN, list::FRESH, list::TOLD].into_iter().chain(list::ANNOUNCE..=list::OWN_HELD);
        for which in told {
            let mut at = self.first(which);
            while let Some(slot) = at {
                at = self.after(which, slot);
                if self.id(slot) <= last {
                    own += self.is_pinned(slot, Pin::Own) as u64;
                    self.unpin(slot, Pin::Own);
                    self.rest(slot);
                }
            }
        }
        own
    }

    /// The first copies have gone out: from now on the id is announced.
    pub(crate) fn sent(&mut self, slot: u16, now: Instant) {
        let s = &mut self.slots[slot as usize];
        s.sends = 1;
        // A query's time runs from when it came.
        if s.kind != Kind::Query {
            s.at = now;
        }
        self.move_to(slot, list::ANNOUNCE);
    }

    /// An own event that has been sent waits for its batch to be received.
    #[cfg(feature = "batches")]
    pub(crate) fn await_in(&mut self, slot: u16, batch: u8) {
        self.set_batch(slot, batch);
        self.move_to(slot, list::AWAIT);
    }

    /// Which batch a slot in [`list::AWAIT`] or [`list::TOLD`] was sent in.
    pub(crate) fn batch(&self, slot: u16) -> u8 {
        self.slots[slot as usize].batch
    }

    pub(crate) fn set_batch(&mut self, slot: u16, batch: u8) {
        self.slots[slot as usize].batch = batch;
    }

    /// An event that somebody else has told of has come from its origin as well, in this batch.
    pub(crate) fn leave_to_origin(&mut self, slot: u16, batch: u8) {
        if self.slots[slot as usize].list == list::FRESH {
            self.set_batch(slot, batch);
            self.move_to(slot, list::TOLD);
        }
    }

    /// An event that has come since `first` is announced as others are; once even if all were said to have it.
    pub(crate) fn announce(&mut self, slot: u16, first: Instant) {
        let s = &mut self.slots[slot as usize];
        let once_more = matches!(s.list, list::VALUES..=list::PINNED) && s.confirmations == 0;
        if s.at >= first && (s.list == list::TOLD || once_more) {
            s.confirmations += once_more as u8;
            self.move_to(slot, list::ANNOUNCE);
        }
    }

    /// Whether what waits for its origin's word takes more than a quarter of the slots, or of their bytes.
    pub(crate) fn many_wait(&self) -> bool {
        let slots = self.lists[list::TOLD as usize].len();
        slots > self.slots.len() / 4 || self.told_bytes > self.arena.capacity() / 4
    }

    /// Somebody who asked for it is given it, before its turn to be sent as well.
    pub(crate) fn given(&mut self, slot: u16) {
        let s = &mut self.slots[slot as usize];
        s.sends = s.sends.max(1);
    }

    /// Whether somebody may have an event, under the identity that it goes by.
    pub(crate) fn was_sent(&self, slot: u16) -> bool {
        self.slots[slot as usize].sends > 0
    }

    pub(crate) fn since(&self, slot: u16) -> Instant {
        self.slots[slot as usize].at
    }

    /// A foreign message has gone out once more; returns how often.
    pub(crate) fn foreign_sent(&mut self, slot: u16) -> u8 {
        let s = &mut self.slots[slot as usize];
        s.sends = s.sends.saturating_add(1);
        s.sends
    }

    /// An own event came back from this address; returns from how many different ones by now (3 at most are told apart).
    pub(crate) fn confirm(&mut self, slot: u16, from: u32) -> u8 {
        let s = &mut self.slots[slot as usize];
        let from = (from ^ from >> 16) as u16;
        let known = s.confirmations as usize;
        if s.confirmed_by[..known.min(2)].contains(&from) {
            return s.confirmations;
        }
        if known < 2 {
            s.confirmed_by[known] = from;
        }
        s.confirmations = s.confirmations.saturating_add(1);
        s.confirmations
    }

    #[cfg(any(test, feature = "sabotage"))]
    pub(crate) fn check(&mut self) {
        let told = (0..self.touched as u16).map(|slot| self.told_cost(slot)).sum::<usize>();
        assert_eq!(self.told_bytes, told, "what waits for its origins' word");
        let listed: usize = self.lists.iter().map(|list| list.len()).sum();
        assert_eq!(listed, self.touched, "every slot is in one list");
        for kind in 0..PINS {
            let slots = self.slots[..self.touched].iter().filter(|s| s.pins & 1 << kind != 0);
            let bytes: usize = slots.clone().map(|s| Arena::cost(s.len as usize)).sum();
            assert_eq!(self.pinned[kind].slots, slots.count());
            assert_eq!(self.pinned[kind].bytes, bytes);
        }
        for slot in 0..self.touched as u16 {
            let s = self.slots[slot as usize];
            assert!(match s.list {
                list::HELD => s.pins == 0 && !s.is_value,
                list::VALUES => s.pins == 0 && s.is_value,
                list::PINNED => s.pins != 0,
                _ => true,
            });
            if s.list != list::FREE && s.kind.has_identity() {
                assert_eq!(self.find(s.id), Some(slot));
            }
        }
    }
}

/// No slot.
pub(crate) const NONE: u16 = NIL;

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kit;
    use crate::random::Random;

    const SLOTS: usize = 8;

    fn with_store(bytes: usize, run: impl FnOnce(&mut Store<'_>)) {
        let (mut slots, mut index) = ([StoreSlot::EMPTY; SLOTS], [0; 3 * SLOTS]);
        let mut arena = vec![0; bytes];
        run(&mut Store::new(&mut slots, &mut index, &mut arena));
    }

    fn put(store: &mut Store<'_>, ltime: u64, len: usize, into: u8) -> Option<u16> {
        let payload = vec![ltime as u8; len];
        let event =
            message::UserEvent { id: kit::id(ltime, 1), coalesce: false, name: b"n", payload: &payload };
        store.put(&event, &[], Instant::from_millis(ltime), into, &mut 0)
    }

    #[test]
    fn the_most_sent_goes_first_and_last_values_last() {
        with_store(4096, |store| {
            let fresh = put(store, 1, 1, list::FRESH).expect("room");
            let value = put(store, 2, 1, list::HELD).expect("room");
            store.keep_value(kit::id(2, 1), true);
            let announced = put(store, 3, 1, list::FRESH).expect("room");
            store.sent(announced, Instant::from_millis(3));
            let held = put(store, 4, 1, list::HELD).expect("room");
            let mut pinned = vec![];
            for ltime in 5..5 + SLOTS as u64 - 4 {
                let slot = put(store, ltime, 1, list::HELD).expect("room");
                store.pin(slot, Pin::Application);
                pinned.push(slot);
            }
            let gone: Vec<u16> = (100..104)
                .filter_map(|ltime| {
                    let slot = put(store, ltime, 1, list::FRESH)?;
                    store.pin(slot, Pin::Own);
                    Some(slot)
                })
                .collect();
            assert_eq!(gone, [held, announced, fresh, value]);
            assert_eq!(put(store, 200, 1, list::FRESH), None, "what is pinned stays");
            assert!(pinned.iter().all(|slot| store.event(*slot).payload[0] >= 5));
            store.check();
        });
    }

    #[test]
    fn each_kind_of_pin_has_a_quarter_of_the_slots_and_of_the_bytes() {
        with_store(4096, |store| {
            for ltime in 1..=2 {
                assert!(!store.quota_full(Pin::Own, 1));
                let slot = put(store, ltime, 1, list::OWN).expect("room");
                store.pin(slot, Pin::Own);
            }
            assert!(store.quota_full(Pin::Own, 1) && !store.quarters_full(Pin::Own, 3, 1));
            assert!(!store.quota_full(Pin::Coalescer, 1));
        });
        with_store(1024, |store| {
            assert!(!store.quota_full(Pin::Application, 1_000), "the first one always fits");
            let slot = put(store, 1, 200, list::FRESH).expect("room");
            store.pin(slot, Pin::Application);
            assert!(store.quota_full(Pin::Application, 100));
        });
    }

    #[test]
    fn whatever_comes_it_agrees_with_itself() {
        with_store(700, |store| {
            let mut random = Random::new(6);
            let mut ltime = 0;
            for _ in 0..20_000 {
                ltime += 1;
                let slot = store.find(kit::id(1 + random.below(ltime as u32 + 1) as u64, 1));
                match (random.below(8), slot) {
                    (0 | 1, _) => {
                        let into = [list::OWN, list::FRESH, list::HELD][random.below(3) as usize];
                        _ = put(store, ltime, random.below(120) as usize, into);
                    }
                    (2, Some(slot)) if !store.is_pinned(slot, Pin::Own) => store.pin(slot, Pin::Own),
                    (3, Some(slot)) => store.release_own(slot),
                    (4, Some(slot)) => store.keep_value(store.id(slot), random.below(2) == 0),
                    (5, _) => {
                        if let Some(slot) = store.first(list::FRESH) {
                            store.sent(slot, Instant::from_millis(ltime));
                        }
                    }
                    (6, _) => {
                        let due = (list::ANNOUNCE..list::OWN_HELD).find_map(|which| store.first(which));
                        due.into_iter().for_each(|slot| store.announced(slot, 4));
                    }
                    (7, _) => {
                        let body = vec![0; random.below(60) as usize];
                        store.put_foreign(Encoded { kind: 5, body: &body }, &mut 0);
                    }
                    _ => {}
                }
                store.check();
            }
        });
    }

    #[test]
    fn an_own_event_comes_back_from_three_and_none_counts_twice() {
        with_store(1024, |store| {
            let slot = put(store, 1, 1, list::OWN).expect("room");
            assert_eq!([7, 7, 8, 7, 8].map(|from| store.confirm(slot, from)), [1, 1, 2, 2, 2]);
            assert_eq!(store.confirm(slot, 9), 3);
        });
    }
}
