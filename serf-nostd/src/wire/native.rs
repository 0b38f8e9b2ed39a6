//! The native wire's bytes of a message: kind, length (u16, little-endian), postcard body.
//!
//! Lists are items one after the other up to the end of the body, so that they are written without a second buffer.

use core::marker::PhantomData;

use postcard::{de_flavors, ser_flavors};
use serde::{Deserialize, Serialize};

use super::message::*;
use crate::clock::LTIME_LIMIT;

/// Kinds of messages. A kind, once released, is never given another body.
pub(crate) mod kind {
    pub const PING: u8 = 1;
    pub const INDIRECT_PING: u8 = 2;
    pub const ACK: u8 = 3;
    pub const NACK: u8 = 4;
    pub const ALIVE: u8 = 5;
    pub const SUSPECT: u8 = 6;
    pub const DEAD: u8 = 7;
    pub const JOIN_INTENT: u8 = 8;
    pub const LEAVE_INTENT: u8 = 9;
    pub const USER_EVENT: u8 = 10;
    pub const QUERY: u8 = 11;
    pub const QUERY_RESPONSE: u8 = 12;
    pub const TARGETED_EVENT: u8 = 13;
    pub const SUMMARY: u8 = 20;
    pub const I_HAVE: u8 = 21;
    pub const I_WANT: u8 = 22;
    pub const TOO_OLD: u8 = 23;
    pub const DONT_HAVE: u8 = 24;
    pub const FLEET: u8 = 25;
    pub const HISTORY: u8 = 26;
    pub const VALUES: u8 = 27;
    pub const TAG: u8 = 28;
    pub const KNOWN: u8 = 29;
    pub const JOIN: u8 = 30;
    pub const JOIN_ANSWER: u8 = 31;
    pub const NAME_TAKEN: u8 = 32;
    pub const PAGE_REQUEST: u8 = 33;
    pub const PAGE: u8 = 34;
    pub const RECORD: u8 = 35;
    pub const DIGEST_REQUEST: u8 = 36;
    pub const ENTRIES: u8 = 37;
    pub const RECORDS_REQUEST: u8 = 38;
    pub const EVENT_DIGEST_REQUEST: u8 = 39;
    pub const EVENT_ENTRIES: u8 = 40;
    pub const PADDING: u8 = 41;
    pub const VALUES_REQUEST: u8 = 42;
    pub const VALUE_IDS: u8 = 43;
    pub const FORMER: u8 = 44;
    pub const CONFIRMED: u8 = 45;
    #[cfg(feature = "seal")]
    pub const CHALLENGE: u8 = 46;
    #[cfg(feature = "seal")]
    pub const CHALLENGE_ANSWER: u8 = 47;
    #[cfg(feature = "seal")]
    pub const NEW_KEY: u8 = 48;
    pub const CLUSTER: u8 = 49;
    pub const OBSERVED: u8 = 50;
    pub const PERIOD: u8 = 51;
    #[cfg(feature = "inquest")]
    pub const REFUSED: u8 = 52;
    #[cfg(feature = "inquest")]
    pub const GONE: u8 = 53;
    pub const BATCH: u8 = 54;
    pub const RECEIVED: u8 = 55;
    pub const COMPLETE: u8 = 56;
}

/// Whether a message of this kind may tell of a member whom its receiver does not know.
pub(crate) fn is_about_member(kind: u8) -> bool {
    matches!(kind, kind::ALIVE..=kind::LEAVE_INTENT | kind::RECORD)
}

/// Bytes of kind and length before each body.
pub(crate) const HEAD: usize = 3;

/// The body did not hold what its kind promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The bytes of a body. Where they end too soon that is noted, and told when all has been read.
struct Bytes<'a> {
    rest: &'a [u8],
    is_short: bool,
}

impl<'a> de_flavors::Flavor<'a> for Bytes<'a> {
    type Remainder = Option<&'a [u8]>;
    type Source = &'a [u8];

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn pop(&mut self) -> postcard::Result<u8> {
        let first = self.rest.split_off_first();
        self.is_short |= first.is_none();
        Ok(first.copied().unwrap_or(0))
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'a [u8]> {
        let taken = self.rest.split_off(..count);
        self.is_short |= taken.is_none();
        Ok(taken.unwrap_or_default())
    }

    fn finalize(self) -> postcard::Result<Option<&'a [u8]>> {
        Ok((!self.is_short).then_some(self.rest))
    }
}

/// A body being read, field by field in the order in which its struct declares them: a struct in postcard is its fields one
/// after the other. What is wrong is noted, and told when all has been read; so a message costs a board a call per field,
/// and no branch.
pub struct Body<'a> {
    fields: postcard::Deserializer<'a, Bytes<'a>>,
    is_wrong: bool,
}

impl<'a> Body<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Body { fields: fields(rest), is_wrong: false }
    }

    /// A field of a simple type.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn get<T: Deserialize<'a> + Default>(&mut self) -> T {
        let field = T::deserialize(&mut self.fields);
        self.is_wrong |= field.is_err();
        field.unwrap_or_default()
    }

    fn check(&mut self, holds: bool) {
        self.is_wrong |= !holds;
    }

    /// A member's name.
    fn name(&mut self) -> &'a str {
        let name: &str = self.get();
        self.check((1..=NAME_MAX).contains(&name.len()));
        name
    }

    /// A Lamport time, or a boot.
    fn time(&mut self) -> u64 {
        let time = self.get();
        self.check(time < LTIME_LIMIT);
        time
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.get::<u8>() {
            0 => None,
            1 => Some(read(self)),
            _ => {
                self.is_wrong = true;
                None
            }
        }
    }

    fn address(&mut self) -> Address {
        let (ip, port) = (self.get(), self.get());
        let address = Address::from_bytes(ip, port);
        self.check(address.is_some());
        address.unwrap_or(Address::UNSET)
    }

    fn event_id(&mut self) -> EventId {
        EventId { ltime: self.get(), origin: u64::from_le_bytes(self.array()) }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.get())
    }

    fn user_event(&mut self) -> UserEvent<'a> {
        UserEvent { id: self.event_id(), coalesce: self.get(), name: self.get(), payload: self.get() }
    }

    fn alive(&mut self) -> Alive<'a> {
        let alive = Alive {
            node: self.name(),
            addr: self.address(),
            incarnation: self.get(),
            boot: self.time(),
            tags: self.option(Self::get),
            versions: self.array(),
        };
        self.check(alive.tags.is_none_or(|tags| tags.len() <= TAGS_MAX));
        alive
    }

    fn accusation(&mut self) -> Accusation<'a> {
        let (incarnation, boot) = (self.get(), self.get());
        Accusation { incarnation, boot, node: self.name(), from: self.name() }
    }

    fn summary(&mut self) -> Summary {
        Summary {
            clock: self.get(),
            event_clock: self.get(),
            query_clock: self.get(),
            members: self.option(Self::get),
            events: self.get(),
            floor: floor::from_parts(self.get(), self.option(Self::array)),
        }
    }

    fn record(&mut self) -> Record<'a> {
        Record {
            alive: self.alive(),
            state: match self.get::<u8>() {
                0 => Settled::Alive,
                1 => Settled::Leaving,
                2 => Settled::Failed,
                3 => Settled::Left,
                _ => {
                    self.is_wrong = true;
                    Settled::Alive
                }
            },
            status_ltime: self.time(),
            age: self.get(),
        }
    }

    /// Items up to the end, each of which can be read.
    fn items<T: Item>(&mut self) -> Items<'a, T> {
        let bytes = self.end().unwrap_or_default();
        let mut items: Items<'a, T> = Items { bytes, kind: PhantomData };
        while items.next().is_some() {}
        self.check(items.bytes.is_empty());
        Items { bytes, kind: PhantomData }
    }

    /// What has not been read, if nothing was wrong so far.
    fn end(&mut self) -> Option<&'a [u8]> {
        let fields = core::mem::replace(&mut self.fields, fields(&[]));
        let rest = fields.finalize().ok().flatten().filter(|_| !self.is_wrong);
        self.is_wrong |= rest.is_none();
        rest
    }
}

fn fields(rest: &[u8]) -> postcard::Deserializer<'_, Bytes<'_>> {
    postcard::Deserializer::from_flavor(Bytes { rest, is_short: false })
}

/// What lists are made of.
pub trait Item: Sized {
    /// Reads one; what is wrong is noted in the body.
    #[doc(hidden)]
    fn read(body: &mut Body<'_>) -> Self;
}

impl Item for EventId {
    fn read(body: &mut Body<'_>) -> Self {
        body.event_id()
    }
}

impl Item for Entry {
    fn read(body: &mut Body<'_>) -> Self {
        Entry { name: body.get(), version: body.get() }
    }
}

impl Item for u32 {
    fn read(body: &mut Body<'_>) -> Self {
        body.get()
    }
}

/// An item from the front of a list, and what is behind it.
pub(crate) fn item<T: Item>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let mut body = Body::new(bytes);
    let item = T::read(&mut body);
    Some((item, body.end()?))
}

/// Reads one body. Bounds that hold for every node (names, tags, times) are checked here, once.
pub(crate) fn decode(kind: u8, bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let b = &mut Body::new(bytes);
    let message = match kind {
        kind::PING => Message::Ping(Ping {
            seq: b.get(),
            node: b.name(),
            source: b.name(),
            source_addr: b.option(Body::address),
        }),
        kind::INDIRECT_PING => Message::IndirectPing(IndirectPing {
            seq: b.get(),
            node: b.name(),
            target: b.address(),
            nack: b.get(),
            source: b.name(),
            source_addr: b.option(Body::address),
        }),
        kind::ACK => Message::Ack(Ack { seq: b.get(), payload: b.get() }),
        kind::NACK => Message::Nack(Nack { seq: b.get() }),
        kind::ALIVE => Message::Alive(b.alive()),
        kind::SUSPECT => Message::Suspect(b.accusation()),
        kind::DEAD => Message::Dead(b.accusation()),
        kind::JOIN_INTENT => Message::JoinIntent(JoinIntent { ltime: b.time(), node: b.name() }),
        kind::LEAVE_INTENT => {
            Message::LeaveIntent(LeaveIntent { ltime: b.time(), node: b.name(), prune: b.get() })
        }
        kind::USER_EVENT => Message::UserEvent(b.user_event()),
        kind::TARGETED_EVENT => Message::TargetedEvent(b.user_event(), b.get()),
        kind::QUERY => Message::Query(Query {
            ltime: b.time(),
            id: b.get(),
            addr: b.address(),
            source: b.name(),
            filters: b.get(),
            flags: b.get(),
            relay_factor: b.get(),
            timeout_us: b.get(),
            name: b.get(),
            payload: b.get(),
        }),
        kind::QUERY_RESPONSE => Message::QueryResponse(QueryResponse {
            ltime: b.time(),
            id: b.get(),
            from: b.name(),
            flags: b.get(),
            payload: b.get(),
        }),
        kind::SUMMARY => Message::Summary(b.summary()),
        kind::I_HAVE => Message::IHave(b.get(), b.items()),
        kind::I_WANT => Message::IWant(b.get(), b.items()),
        kind::TOO_OLD => Message::TooOld(b.items()),
        kind::DONT_HAVE => Message::DontHave(b.items()),
        kind::FLEET => Message::Fleet(Fleet { id: b.get(), event_clock: b.get(), age: b.get() }),
        kind::FORMER => Message::Former(Former { fleet: b.get(), met: b.get() }),
        kind::HISTORY => Message::History(History { at: b.event_id(), count: b.get(), digest: b.get() }),
        kind::VALUES => Message::Values(b.get()),
        kind::TAG => Message::Tag(b.array()),
        kind::KNOWN => Message::Known(b.array()),
        #[cfg(feature = "seal")]
        kind::CHALLENGE => Message::Challenge(b.get()),
        #[cfg(feature = "seal")]
        kind::CHALLENGE_ANSWER => Message::ChallengeAnswer(b.get()),
        #[cfg(feature = "seal")]
        kind::NEW_KEY => Message::NewKey(b.get(), b.get()),
        kind::VALUES_REQUEST => Message::ValuesRequest(ValuesRequest { nonce: b.get(), cursor: b.get() }),
        kind::VALUE_IDS => Message::ValueIds(b.get(), b.items()),
        kind::JOIN => Message::Join(Join {
            nonce: b.get(),
            node: b.name(),
            addr: b.address(),
            boot: b.time(),
            pages: b.get(),
        }),
        kind::JOIN_ANSWER => Message::JoinAnswer(JoinAnswer {
            nonce: b.get(),
            clock: b.get(),
            event_clock: b.get(),
            query_clock: b.get(),
        }),
        kind::NAME_TAKEN => Message::NameTaken(b.get()),
        kind::PAGE_REQUEST => Message::PageRequest(PageRequest { nonce: b.get(), cursor: b.get() }),
        kind::PAGE => {
            let [nonce, next] = [b.array(), b.array()].map(u32::from_le_bytes);
            Message::Page(Page { nonce, next })
        }
        kind::RECORD => Message::Record(b.record()),
        kind::DIGEST_REQUEST => {
            Message::DigestRequest(DigestRequest { nonce: b.get(), cursor: b.get(), buckets: b.get() })
        }
        kind::ENTRIES => Message::Entries(b.items()),
        kind::RECORDS_REQUEST => Message::RecordsRequest(b.get(), b.items()),
        kind::EVENT_DIGEST_REQUEST => Message::EventDigestRequest(EventDigestRequest {
            nonce: b.get(),
            above: b.event_id(),
            buckets: b.get(),
            cursor: b.event_id(),
        }),
        kind::EVENT_ENTRIES => Message::EventEntries(EventEntries {
            nonce: b.get(),
            token: b.get(),
            next: b.option(Body::event_id),
            ids: b.items(),
        }),
        kind::CONFIRMED => Message::Confirmed(b.items()),
        kind::CLUSTER => Message::Cluster(b.get()),
        kind::OBSERVED => Message::Observed(b.address()),
        kind::PERIOD => Message::Period(u16::from_le_bytes(b.array())),
        #[cfg(feature = "inquest")]
        kind::REFUSED => Message::Refused(b.get()),
        #[cfg(feature = "inquest")]
        kind::GONE => Message::Gone(b.name()),
        kind::BATCH => {
            Message::Batch(Batch { number: b.get(), answer: b.get(), behind: b.get(), members: b.get() })
        }
        kind::RECEIVED => Message::Received(b.get()),
        kind::COMPLETE => Message::Complete(b.get()),
        kind::PADDING => return Ok(Message::Padding),
        _ => return Ok(Message::Unknown),
    };
    match b.end() {
        Some([]) => Ok(message),
        _ => Err(Malformed),
    }
}

/// Writes the body of `message` to the front of `buf`; `None` if it does not fit. Returns kind and length.
///
/// Lists and [`Message::Page`] are written by [`super::packet::Packet`] as they grow, not from here.
pub(crate) fn encode(message: &Message<'_>, buf: &mut [u8]) -> Option<(u8, usize)> {
    match message {
        Message::Ping(m) => put(kind::PING, m, buf),
        Message::IndirectPing(m) => put(kind::INDIRECT_PING, m, buf),
        Message::Ack(m) => put(kind::ACK, m, buf),
        Message::Nack(m) => put(kind::NACK, m, buf),
        Message::Alive(m) => put(kind::ALIVE, m, buf),
        Message::Suspect(m) => put(kind::SUSPECT, m, buf),
        Message::Dead(m) => put(kind::DEAD, m, buf),
        Message::JoinIntent(m) => put(kind::JOIN_INTENT, m, buf),
        Message::LeaveIntent(m) => put(kind::LEAVE_INTENT, m, buf),
        Message::UserEvent(m) => put(kind::USER_EVENT, m, buf),
        Message::TargetedEvent(event, filters) => put(kind::TARGETED_EVENT, &(event, filters), buf),
        Message::Query(m) => put(kind::QUERY, m, buf),
        Message::QueryResponse(m) => put(kind::QUERY_RESPONSE, m, buf),
        Message::Summary(m) => put(kind::SUMMARY, m, buf),
        Message::Join(m) => put(kind::JOIN, m, buf),
        Message::JoinAnswer(m) => put(kind::JOIN_ANSWER, m, buf),
        Message::NameTaken(nonce) => put(kind::NAME_TAKEN, nonce, buf),
        Message::Cluster(name) => put(kind::CLUSTER, name, buf),
        Message::Observed(addr) => put(kind::OBSERVED, addr, buf),
        Message::Period(number) => put(kind::PERIOD, &number.to_le_bytes(), buf),
        #[cfg(feature = "inquest")]
        Message::Refused(seq) => put(kind::REFUSED, seq, buf),
        #[cfg(feature = "inquest")]
        Message::Gone(node) => put(kind::GONE, node, buf),
        Message::Batch(m) => put(kind::BATCH, m, buf),
        Message::Received(number) => put(kind::RECEIVED, number, buf),
        Message::Complete(number) => put(kind::COMPLETE, number, buf),
        Message::PageRequest(m) => put(kind::PAGE_REQUEST, m, buf),
        Message::Page(m) => put(kind::PAGE, &(m.nonce.to_le_bytes(), m.next.to_le_bytes()), buf),
        Message::Record(m) => put(kind::RECORD, m, buf),
        Message::DigestRequest(m) => put(kind::DIGEST_REQUEST, m, buf),
        Message::EventDigestRequest(m) => put(kind::EVENT_DIGEST_REQUEST, m, buf),
        Message::Fleet(m) => put(kind::FLEET, m, buf),
        Message::Former(m) => put(kind::FORMER, m, buf),
        Message::History(m) => put(kind::HISTORY, m, buf),
        Message::Tag(tag) => put(kind::TAG, tag, buf),
        Message::Known(known) => put(kind::KNOWN, known, buf),
        #[cfg(feature = "seal")]
        Message::Challenge(number) => put(kind::CHALLENGE, number, buf),
        #[cfg(feature = "seal")]
        Message::ChallengeAnswer(number) => put(kind::CHALLENGE_ANSWER, number, buf),
        #[cfg(feature = "seal")]
        Message::NewKey(since, key) => put(kind::NEW_KEY, &(since, key), buf),
        Message::Values(digest) => put(kind::VALUES, digest, buf),
        Message::ValuesRequest(m) => put(kind::VALUES_REQUEST, m, buf),
        Message::IHave(..)
        | Message::ValueIds(..)
        | Message::IWant(..)
        | Message::TooOld(_)
        | Message::DontHave(_)
        | Message::Entries(_)
        | Message::RecordsRequest(..)
        | Message::EventEntries(_)
        | Message::Confirmed(_)
        | Message::Padding
        | Message::Unknown => None,
    }
}

fn put<T: Serialize>(kind: u8, body: &T, buf: &mut [u8]) -> Option<(u8, usize)> {
    Some((kind, write(body, buf)?))
}

/// Bytes being written. What does not fit is noted, as in [`Bytes`].
struct Room<'b> {
    buf: &'b mut [u8],
    len: usize,
}

impl ser_flavors::Flavor for Room<'_> {
    type Output = usize;

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        if let Some(place) = self.buf.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.len)
    }
}

/// How long the body of a message is, if it is one that [`encode`] writes.
pub(crate) fn encoded_len(message: &Message<'_>) -> usize {
    match message {
        Message::Query(m) => len(m),
        Message::QueryResponse(m) => len(m),
        _ => 0,
    }
}

fn len<T: Serialize>(value: &T) -> usize {
    postcard::serialize_with_flavor(value, Room { buf: &mut [], len: 0 }).unwrap_or(0)
}

/// Writes a value to the front of `buf`; how long it is, or `None` if it does not fit.
pub(crate) fn write<T: Serialize>(value: &T, buf: &mut [u8]) -> Option<usize> {
    let room = buf.len();
    let len = postcard::serialize_with_flavor(value, Room { buf, len: 0 }).ok()?;
    (len <= room).then_some(len)
}
