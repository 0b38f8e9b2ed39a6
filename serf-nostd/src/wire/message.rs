//! The messages as plain structs, the same on every wire. Slices borrow from the datagram.
//!
//! The first group is Serf's own (SWIM, intents, events, queries); the second is the native wire's repair protocol.

use core::marker::PhantomData;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::native::{self, Item};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest node name, in bytes.
pub const NAME_MAX: usize = 128;
/// Longest encoded tags of a member, in bytes.
pub const TAGS_MAX: usize = 512;

/// An IP address and UDP port in 18 bytes; IPv4 is held in its mapped form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Address {
    ip: [u8; 16],
    port: u16,
}

const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Address {
    /// No address: `[::]:0`.
    pub const UNSET: Address = Address { ip: [0; 16], port: 0 };

    /// An address of 4 or 16 bytes.
    pub(super) fn from_bytes(bytes: &[u8], port: u16) -> Option<Address> {
        let mut ip = [0; 16];
        match bytes.len() {
            4 => {
                ip[..12].copy_from_slice(&MAPPED);
                ip[12..].copy_from_slice(bytes);
            }
            16 => ip.copy_from_slice(bytes),
            _ => return None,
        }
        Some(Address { ip, port })
    }

    /// Whether it has a host and a port.
    pub(crate) fn is_somewhere(&self) -> bool {
        self.port != 0 && self.ip_bytes().iter().any(|byte| *byte != 0)
    }

    fn ip_bytes(&self) -> &[u8] {
        match self.ip.strip_prefix(&MAPPED) {
            Some(v4) => v4,
            None => &self.ip,
        }
    }

    /// All of it, the port little-endian.
    #[cfg(feature = "authority")]
    pub(crate) fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&self.ip);
        bytes[16..].copy_from_slice(&self.port.to_le_bytes());
        bytes
    }

    pub(crate) fn hash(&self) -> u32 {
        let (halves, _) = self.ip.as_chunks::<8>();
        let seed = crate::hash::mix(self.port as u64);
        halves.iter().fold(seed, |hash, half| crate::hash::mix(hash ^ u64::from_le_bytes(*half))) as u32
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        let ip = match addr.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Address { ip: ip.octets(), port: addr.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(addr: Address) -> SocketAddr {
        let ip = match addr.ip_bytes() {
            [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)),
            _ => IpAddr::V6(Ipv6Addr::from(addr.ip)),
        };
        SocketAddr::new(ip, addr.port)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.ip_bytes(), self.port).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (bytes, port) = <(&[u8], u16)>::deserialize(deserializer)?;
        Address::from_bytes(bytes, port).ok_or_else(|| D::Error::custom("an address has 4 or 16 bytes"))
    }
}

/// Which event: its Lamport time, and who fired it (a hash of node name and boot). The order of events is total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct EventId {
    /// Lamport time.
    pub ltime: u64,
    /// Hash of the origin's name and boot.
    pub origin: u64,
}

impl EventId {
    /// Below every event.
    pub const LOWEST: EventId = EventId { ltime: 0, origin: 0 };

    /// Rendezvous hashing: of some members, the one with the greatest rank is the one whose turn this event is. All who know the same
    /// members agree on it, and each event has another order.
    pub fn rank(&self, member: &str) -> u64 {
        let event = crate::hash::mix(self.origin ^ crate::hash::mix(self.ltime));
        crate::hash::mix(crate::hash::bytes(member.as_bytes()) ^ event)
    }

    pub(crate) fn hash(&self) -> u32 {
        (crate::hash::mix(self.origin ^ crate::hash::mix(self.ltime)) >> 32) as u32
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.ltime, self.origin.to_le_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (ltime, origin) = <(u64, [u8; 8])>::deserialize(deserializer)?;
        Ok(EventId { ltime, origin: u64::from_le_bytes(origin) })
    }
}

/// Protocol versions a member speaks: memberlist min, max, current, then Serf min, max, current.
pub type Versions = [u8; 6];

/// Direct probe. Answered by [`Ack`] to the address the datagram came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ping<'a> {
    /// Echoed in the ack.
    pub seq: u32,
    /// Who is meant; somebody else does not answer.
    pub node: &'a str,
    /// Who asks.
    pub source: &'a str,
    /// Where the answer goes on wires that say so; the native wire answers where the datagram came from.
    pub source_addr: Option<Address>,
}

/// Please probe `node` for me.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IndirectPing<'a> {
    /// Echoed in the ack or nack.
    pub seq: u32,
    /// The member to probe.
    pub node: &'a str,
    /// Its address, as the asker knows it.
    pub target: Address,
    /// Whether a [`Nack`] is wanted if it does not answer.
    pub nack: bool,
    /// Who asks.
    pub source: &'a str,
    /// As in [`Ping`].
    pub source_addr: Option<Address>,
}

/// Answer to a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ack<'a> {
    /// From the ping.
    pub seq: u32,
    /// Network coordinate, opaque here; may be empty.
    pub payload: &'a [u8],
}

/// "I live, but the member that you asked about did not answer me."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Nack {
    /// From the indirect ping.
    pub seq: u32,
}

/// A member lives, with this address and these tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Alive<'a> {
    /// Its name.
    pub node: &'a str,
    /// Its address.
    pub addr: Address,
    /// Raised by the member itself only.
    pub incarnation: u32,
    /// Which life of the member; later lives have greater numbers. 0 on wires that have none.
    pub boot: u64,
    /// Encoded tags, passed on byte for byte; `None` if the teller could not hold them.
    pub tags: Option<&'a [u8]>,
    /// Passed on byte for byte.
    pub versions: Versions,
}

/// A member is suspected, or dead: by `from`'s word. Dead by its own word means that it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Accusation<'a> {
    /// The incarnation meant.
    pub incarnation: u32,
    /// The boot meant; 0: whichever is known.
    pub boot: u64,
    /// The accused.
    pub node: &'a str,
    /// The accuser.
    pub from: &'a str,
}

/// A member means to be in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JoinIntent<'a> {
    /// Member clock.
    pub ltime: u64,
    /// Who.
    pub node: &'a str,
}

/// A member means to leave, or is told to have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeaveIntent<'a> {
    /// Member clock.
    pub ltime: u64,
    /// Who.
    pub node: &'a str,
    /// Erase it altogether.
    pub prune: bool,
}

/// A user event with its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UserEvent<'a> {
    /// Identity; on wires without origins a hash of name and payload stands in for the origin.
    pub id: EventId,
    /// Whether receivers may coalesce it.
    pub coalesce: bool,
    /// Any bytes.
    pub name: &'a [u8],
    /// Any bytes.
    pub payload: &'a [u8],
}

/// Bits of [`Query::flags`].
pub mod query_flag {
    /// Whoever is asked is to say so at once.
    pub const ACK: u32 = 1;
    /// The payload is a [`Receipt`](super::Receipt): whoever is asked says when it has handed that event out, with [`answer_flag::ACK`](super::answer_flag::ACK) and
    /// [`answer_flag::NO_ANSWER`](super::answer_flag::NO_ANSWER) together.
    pub const RECEIPT: u32 = 2;
    /// Where the asker's pace stands: how long it wants between two answers, in units of 100 microseconds, in 8 bits.
    pub const PACE_SHIFT: u32 = 8;
    /// Where a signed query's time-out stands, as it was signed, in units of 100 milliseconds, in 16 bits.
    pub const TIMEOUT_SHIFT: u32 = 16;
}

/// Bits of [`QueryResponse::flags`].
pub mod answer_flag {
    /// The query has come. Alone: an answer may follow.
    pub const ACK: u32 = 1;
    /// There is no answer, nor will there be.
    pub const NO_ANSWER: u32 = 2;
    /// The payload is the answer.
    pub const ANSWER: u32 = 4;
}

/// A question to the fleet. It travels as an event does, under an identity that is made of it: [`Query::event_id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Query<'a> {
    /// Event clock: queries and events have one order.
    pub ltime: u64,
    /// Random, to tell queries of one time apart.
    pub id: u32,
    /// Where answers go.
    pub addr: Address,
    /// Who asks.
    pub source: &'a str,
    /// Encoded filters: each a byte and texts, in postcard. 0: a name, of which one must be the receiver's; 1: a tag and an
    /// expression that must match its value.
    pub filters: &'a [u8],
    /// See [`query_flag`].
    pub flags: u32,
    /// How many members relay an answer (Go Serf's; natively answers are sent again until they are confirmed).
    pub relay_factor: u8,
    /// Microseconds the asker still waits: whoever passes it on takes off how long it has held it.
    pub timeout_us: u64,
    /// Name.
    pub name: &'a str,
    /// Any bytes.
    pub payload: &'a [u8],
}

impl Query<'_> {
    /// Its identity among events.
    pub fn event_id(&self) -> EventId {
        query_identity(self.ltime, self.source, self.id)
    }
}

/// The identity under which a query travels. Its lowest bit is 0.
pub fn query_identity(ltime: u64, source: &str, id: u32) -> EventId {
    let source = crate::hash::bytes(source.as_bytes());
    EventId { ltime, origin: crate::hash::mix(source ^ crate::hash::mix(id as u64)) & !1 }
}

/// Of which event a receipt is wanted: the payload of a [`Query`] with [`query_flag::RECEIPT`], whose filters are the event's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    /// Its identity.
    pub event: EventId,
    /// With which events it may be coalesced: a hash of its name and filters. 0: with none.
    pub key: u64,
}

impl Receipt {
    /// All fields, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let fields = [self.event.ltime, self.event.origin, self.key];
        for (place, field) in bytes.as_chunks_mut().0.iter_mut().zip(fields) {
            *place = field.to_le_bytes();
        }
        bytes
    }

    /// The opposite; `None` if that is not one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Receipt> {
        let ([ltime, origin, key], []) = bytes.as_chunks() else { return None };
        let [ltime, origin, key] = [ltime, origin, key].map(|field| u64::from_le_bytes(*field));
        Some(Receipt { event: EventId { ltime, origin }, key })
    }
}

/// An answer, or the ack of receipt, to a [`Query`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct QueryResponse<'a> {
    /// From the query.
    pub ltime: u64,
    /// From the query.
    pub id: u32,
    /// Who answers.
    pub from: &'a str,
    /// See [`answer_flag`].
    pub flags: u32,
    /// Any bytes.
    pub payload: &'a [u8],
}

/// In every ping and ack: enough to see that two nodes know the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Summary {
    /// Member clock.
    pub clock: u64,
    /// Event clock.
    pub event_clock: u64,
    /// Query clock.
    pub query_clock: u64,
    /// Digest of the whole member table; `None` if the table does not hold the whole fleet.
    pub members: Option<u32>,
    /// Digest of the fleet's identity and of the ids of seen events above `floor`.
    pub events: u32,
    /// Events at or below it are not known one by one any more.
    #[serde(with = "floor")]
    pub floor: EventId,
}

/// A floor is mostly a whole Lamport time, or none: the origin is only sent if it says something.
pub(super) mod floor {
    use super::EventId;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(floor: &EventId, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = floor.origin == u64::MAX || *floor == EventId::LOWEST;
        (floor.ltime, (!whole).then_some(floor.origin.to_le_bytes())).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventId, D::Error> {
        let (ltime, origin) = <(u64, Option<[u8; 8]>)>::deserialize(deserializer)?;
        Ok(from_parts(ltime, origin))
    }

    pub(in super::super) fn from_parts(ltime: u64, origin: Option<[u8; 8]>) -> EventId {
        let whole = if ltime == 0 { 0 } else { u64::MAX };
        EventId { ltime, origin: origin.map_or(whole, u64::from_le_bytes) }
    }
}

/// First words of a node that wants in. Padded: no answer is longer than its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Join<'a> {
    /// Echoed in the answer.
    pub nonce: u32,
    /// Who wants in.
    pub node: &'a str,
    /// Where it can be reached.
    pub addr: Address,
    /// Its boot.
    pub boot: u64,
    /// Whether more than the first record is wanted (not when only the answerer's presence is asked).
    pub pages: bool,
}

/// Answer to [`Join`]; if the joiner is known, its [`Record`] follows first in the same datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JoinAnswer {
    /// From the request.
    pub nonce: u32,
    /// Member clock.
    pub clock: u64,
    /// Event clock.
    pub event_clock: u64,
    /// Query clock.
    pub query_clock: u64,
}

/// Which fleet the sender is in, as far as events go: with whatever tells of members, with every answer to a join, and with
/// listings of events.
///
/// What a fleet fired before it met another is not handed out there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fleet {
    /// Random, drawn when two nodes meet that were in none; 0: the sender has met nobody yet.
    pub id: u32,
    /// Its event clock.
    pub event_clock: u64,
    /// How long the fleet has been one, seconds: of two that meet, one younger than a minute yields to an older one; else the
    /// one with the greater number does. 0: the sender is starting itself, or alone in it, and may
    /// soon be in another one.
    pub age: u32,
}

/// The fleet that the sender has left of late for the one that it is in: with [`Fleet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Former {
    /// Its number.
    pub fleet: u32,
    /// The other one's event clock when they met.
    pub met: u64,
}

/// What has ever passed a node's memory of events, up to one of them: two that agree have missed nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct History {
    /// Up to this event.
    pub at: EventId,
    /// How many events.
    pub count: u32,
    /// All their hashes, XORed.
    pub digest: u32,
}

/// Asks for the identities of the last value of each name. Padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ValuesRequest {
    /// Echoed in the answer's [`Page`].
    pub nonce: u32,
    /// Where the page begins: 0, or `next` of the page before.
    pub cursor: u32,
}

/// Asks for member records from this hash on. Padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PageRequest {
    /// Echoed in the answer.
    pub nonce: u32,
    /// First name hash wanted.
    pub cursor: u32,
}

/// Heads a datagram of [`Record`]s or [`Message::Entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Page {
    /// From the request.
    pub nonce: u32,
    /// Where the next page begins; 0: there is none.
    pub next: u32,
}

/// What a node knows about one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record<'a> {
    /// Identity, address, tags.
    #[serde(borrow)]
    pub alive: Alive<'a>,
    /// Its state; suspicion is not told.
    pub state: Settled,
    /// Lamport time of the last intent about it.
    pub status_ltime: u64,
    /// How long it has been failed or left, seconds.
    pub age: u32,
}

/// A member's state as digests and records tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Settled {
    /// Alive or suspect.
    Alive,
    /// Alive, and has said that it leaves.
    Leaving,
    /// Failed.
    Failed,
    /// Left.
    Left,
}

/// Asks for [`Message::Entries`] of the buckets whose digests differ. Padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DigestRequest<'a> {
    /// Echoed in the answer.
    pub nonce: u32,
    /// First name hash wanted.
    pub cursor: u32,
    /// One `u32` (little-endian) per bucket of name hashes.
    pub buckets: &'a [u8],
}

/// One member in a listing: name hash, and a hash of what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    /// Hash of the name.
    pub name: u32,
    /// Hash of incarnation, boot, settled state, status time, address and tags.
    pub version: u32,
}

/// Asks for the ids of events above `above` that stand in buckets whose digests differ. Padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EventDigestRequest<'a> {
    /// Echoed in the answer.
    pub nonce: u32,
    /// Only events above it, at the asker's wish.
    pub above: EventId,
    /// One `u32` (little-endian) per bucket of id hashes, over the asker's events above `above`.
    pub buckets: &'a [u8],
    /// Where the answer begins.
    pub cursor: EventId,
}

/// Ids of events that the answerer has, in order, all of the differing buckets between cursor and `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventEntries<'a> {
    /// From the request.
    pub nonce: u32,
    /// As in [`Message::IHave`].
    pub token: u32,
    /// Where the next page begins; [`None`]: there is none.
    pub next: Option<EventId>,
    /// The ids.
    pub ids: Items<'a, EventId>,
}

/// Before events, or ids, in a datagram from their origin, which sends them to all members that it knows, tells them again
/// to whoever does not answer with [`Message::Received`], and says when all have ([`Message::Complete`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Batch {
    /// One more than that of its origin's batch before.
    pub number: u32,
    /// Echoed in the answer: what nobody else than this receiver knows.
    pub answer: u32,
    /// Since which batch not all are known to have been received, counted back from this one: 1 if it is the one before.
    pub behind: u8,
    /// How many members it is sent to.
    pub members: u16,
}

/// A run of items up to the end of the message, checked when it was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a, T> {
    pub(crate) bytes: &'a [u8],
    pub(crate) kind: PhantomData<T>,
}

impl<T: Item> Iterator for Items<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        let (item, rest) = native::item(self.bytes)?;
        self.bytes = rest;
        Some(item)
    }
}

/// Everything a datagram can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is named after its struct.
pub enum Message<'a> {
    Ping(Ping<'a>),
    IndirectPing(IndirectPing<'a>),
    Ack(Ack<'a>),
    Nack(Nack),
    Alive(Alive<'a>),
    Suspect(Accusation<'a>),
    Dead(Accusation<'a>),
    JoinIntent(JoinIntent<'a>),
    LeaveIntent(LeaveIntent<'a>),
    UserEvent(UserEvent<'a>),
    /// A user event for whom these filters let through: as in [`Query::filters`].
    TargetedEvent(UserEvent<'a>, &'a [u8]),
    Query(Query<'a>),
    QueryResponse(QueryResponse<'a>),
    Summary(Summary),
    /// "I have these events": a token that entitles to ask for them, ids.
    IHave(u32, Items<'a, EventId>),
    /// "Send me these events": the teller's token, which shows that the asker gets what is sent to its address; ids.
    IWant(u32, Items<'a, EventId>),
    /// "These are below my floor."
    TooOld(Items<'a, EventId>),
    /// "I do not hold these any more."
    DontHave(Items<'a, EventId>),
    Fleet(Fleet),
    Former(Former),
    History(History),
    /// The low half of the [`Fleet::id`] for which they are, before events that nobody has asked for, and before their ids:
    /// another fleet does not take them in. Two of them: for either.
    Tag([u8; 2]),
    /// A hash of what a member goes by. Before a ping (of somebody whose table is a part of the fleet, which it compares with
    /// nobody's; of others now and then): what it knows the receiver by. Behind an ack: that it is not so any more.
    Known([u8; 4]),
    /// "Show that what you say is new": where datagrams are sealed. Answered by [`Message::ChallengeAnswer`] with the same number.
    #[cfg(feature = "seal")]
    Challenge(u32),
    /// It comes first in the answer to a datagram with a [`Message::Challenge`].
    #[cfg(feature = "seal")]
    ChallengeAnswer(u32),
    /// To somebody who seals with another key than its sender: which one it is, wrapped under the other's, and since which
    /// order (its Lamport time).
    #[cfg(feature = "seal")]
    NewKey(u64, &'a [u8]),
    /// Digest of the last value of each name: the hashes of their identities, XORed.
    Values(u32),
    ValuesRequest(ValuesRequest),
    /// Identities of last values, behind the [`Page`] that they fill: token, ids.
    ValueIds(u32, Items<'a, EventId>),
    Join(Join<'a>),
    JoinAnswer(JoinAnswer),
    /// "That name belongs to a member that answers": the nonce of the join.
    NameTaken(u32),
    PageRequest(PageRequest),
    Page(Page),
    Record(Record<'a>),
    DigestRequest(DigestRequest<'a>),
    /// A listing; which request it answers stands in the [`Page`] before it.
    Entries(Items<'a, Entry>),
    /// Asks for the records of these name hashes: nonce, hashes. Padded.
    RecordsRequest(u32, Items<'a, u32>),
    EventDigestRequest(EventDigestRequest<'a>),
    EventEntries(EventEntries<'a>),
    /// "I have your answers to these queries of mine", each by the identity that it travels under.
    Confirmed(Items<'a, EventId>),
    /// What the sender's cluster is called, if it is called anything: with a join, and in the answer of a cluster of another name.
    Cluster(&'a str),
    /// "Your datagram has come from there", where its receiver knows its sender by another address: with an ack, or a join's answer.
    Observed(Address),
    /// In which protocol period its sender is: before its ping.
    Period(u16),
    /// Behind a nack, with the same number: the host of the member that you asked about says that nobody listens there.
    #[cfg(feature = "inquest")]
    Refused(u32),
    /// "My process ends": its sender's name. It has not left.
    #[cfg(feature = "inquest")]
    Gone(&'a str),
    Batch(Batch),
    /// "I have all events of your batch": its `answer`.
    Received(u32),
    /// "All have my batches before this one."
    Complete(u32),
    /// Fills a request up to the length of its longest answer.
    Padding,
    /// A kind of a later version: to be skipped.
    Unknown,
}
