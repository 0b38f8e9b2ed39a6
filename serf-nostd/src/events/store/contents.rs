//! What slots hold, and how it is written into the arena and read out of it.

use super::{Pin, Store, list};
use crate::authority::{SIGNED, Signature};
use crate::events::arena::Arena;
use crate::hash;
use crate::time::Instant;
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
    pub(super) fn has_identity(self) -> bool {
        matches!(self, Kind::Event | Kind::Targeted | Kind::Query)
    }
}

/// What an event for these members takes in the store, in bytes.
pub(crate) fn event_len(event: &message::UserEvent, filters: &[u8]) -> usize {
    let targeted = if filters.is_empty() { 0 } else { filters.len() + 2 };
    event.name.len() + event.payload.len() + targeted
}

impl Store<'_> {
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
}
