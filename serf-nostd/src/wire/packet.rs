//! The layers of a native datagram: version and flags, a checksum, an optional cluster hash, then messages.
//!
//! ```text
//! 'S' | version u4, flags u4 | checksum u32 | [cluster u32 if flags & 1] | kind u8, length u16, body | ...
//! ```
//! Numbers are little-endian. The first byte is none of Go Serf's message types, so each wire can name the other when it hears
//! it.
//!
//! The checksum tells what was damaged on the way, not who sent it. It begins with `length << 8 | second byte`, and takes in what
//! follows its own place, eight bytes at a time, the last zero to seven of them filled up with zeros: with each,
//! `h ^= word; h = (h ^ h >> 32) * 0xff51afd7ed558ccd` in 64 bits. The upper half of what comes out is written.

use core::error::Error;
use core::fmt;
use core::marker::PhantomData;

use serde::Serialize;

use super::message::{Entry, EventId, Message, Page};
use super::native::{self, HEAD, kind};
use crate::hash;

/// Longest native datagram, in bytes: fits one Ethernet frame with room for tunnels.
pub const DATAGRAM_MAX: usize = 1_400;

const NATIVE: u8 = b'S';
/// Of the byte behind it the upper half.
const VERSION: u8 = 2 << 4;
const FLAG_CLUSTER: u8 = 1;
/// Where the checksum stands, and where what it is over goes on.
const CHECKSUM: usize = 2;
const CHECKED: usize = 6;

/// Why a datagram was refused. Nothing of it was taken, or (for [`Reject::Malformed`]) nothing from the broken message on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reject {
    /// Longer than a native datagram may be.
    TooLong,
    /// Not of the native wire.
    NotNative,
    /// Looks like Go Serf's wire: the peer is Go's, or speaks its wire.
    GoWire,
    /// A version of the native wire that this build does not speak.
    Version,
    /// Its checksum is not that of its bytes.
    Damaged,
    /// A fleet with another cluster name (or with one, or without).
    OtherCluster,
    /// Cut off, or a message that does not hold what its kind promises.
    Malformed,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reject::TooLong => "it is too long",
            Reject::NotNative => "it is not Serf's",
            Reject::GoWire => {
                "the peer speaks Go Serf's protocol, which this node does not; both need the same program"
            }
            Reject::Version => "it is of a version of the protocol that this node does not speak",
            Reject::Damaged => "it was damaged on the way",
            Reject::OtherCluster => "it belongs to a cluster of another name",
            Reject::Malformed => "it is malformed",
        })
    }
}

impl Error for Reject {}

/// Most bytes of a datagram that are no messages.
pub(crate) const OVERHEAD: usize = CHECKED + 4;

/// The wire that a node speaks: what stands around the messages of its datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// A hash of the cluster's name, if it has one.
    cluster: Option<u32>,
}

impl Wire {
    /// `cluster`: the name that all nodes of a fleet are given, or none.
    pub(crate) fn new(cluster: Option<&str>) -> Wire {
        Wire { cluster: cluster.map(|name| hash::bytes(name.as_bytes()) as u32) }
    }

    /// Takes the outer layers off, in place: what is left of the datagram are its messages.
    pub(crate) fn open<'d>(&self, datagram: &'d mut [u8]) -> Result<Messages<'d>, Reject> {
        open(datagram, self.cluster)
    }

    /// Begins a datagram of at most `limit` bytes in all (and never more than [`DATAGRAM_MAX`] or the buffer);
    /// [`Packet::finish`] ends it.
    pub(crate) fn packet<'b>(&self, buf: &'b mut [u8], limit: usize) -> Packet<'b> {
        Packet::new(buf, self.cluster, limit)
    }
}

fn open(datagram: &[u8], cluster: Option<u32>) -> Result<Messages<'_>, Reject> {
    if datagram.len() > DATAGRAM_MAX {
        return Err(Reject::TooLong);
    }
    match datagram.first() {
        Some(&NATIVE) => {}
        Some(0..=13 | 244) => return Err(Reject::GoWire),
        _ => return Err(Reject::NotNative),
    }
    let Some((&[_, head, check @ ..], rest)) = datagram.split_first_chunk::<CHECKED>() else {
        return Err(Reject::Malformed);
    };
    if head & !FLAG_CLUSTER != VERSION {
        return Err(Reject::Version);
    }
    if u32::from_le_bytes(check) != checksum(datagram) {
        return Err(Reject::Damaged);
    }
    let (theirs, rest) = match head & FLAG_CLUSTER {
        0 => (None, rest),
        _ => {
            let (hash, rest) = rest.split_first_chunk::<4>().ok_or(Reject::Malformed)?;
            (Some(u32::from_le_bytes(*hash)), rest)
        }
    };
    if theirs != cluster {
        return Err(Reject::OtherCluster);
    }
    Ok(Messages { rest })
}

/// The checksum of a datagram whose first bytes are there: of its length, its version and flags, and what follows the
/// checksum's place.
fn checksum(datagram: &[u8]) -> u32 {
    let start = (datagram.len() as u64) << 8 | datagram[1] as u64;
    hash::words(start, &datagram[CHECKED..])
}

/// The messages of a datagram, one by one.
#[derive(Clone)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Reject>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = self.split().and_then(|(kind, body)| native::decode(kind, body).ok());
        if parsed.is_none() {
            self.rest = &[];
        }
        Some(parsed.ok_or(Reject::Malformed))
    }
}

impl<'a> Messages<'a> {
    fn split(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[kind, low, high], rest) = self.rest.split_first_chunk::<HEAD>()?;
        let (body, rest) = rest.split_at_checked(u16::from_le_bytes([low, high]) as usize)?;
        self.rest = rest;
        Some((kind, body))
    }
}

/// A datagram being written into the caller's buffer. What does not fit is left out whole.
pub(crate) struct Packet<'b> {
    buf: &'b mut [u8],
    len: usize,
    limit: usize,
    empty: usize,
    introduces: bool,
}

/// A list message being written, of items of one type: where its head stands.
pub(crate) struct List<T>(usize, PhantomData<T>);

/// The head of a page whose end is not known yet: where it stands.
pub(crate) struct PageHead(usize);

/// A message as it stands in a datagram, to be passed on by who does not hold what it is about.
#[derive(Clone, Copy)]
pub(crate) struct Encoded<'b> {
    pub(crate) kind: u8,
    pub(crate) body: &'b [u8],
}

impl<'b> Encoded<'b> {
    /// Room for a message about a member: with its name and tags, and some more.
    pub(crate) const LONGEST: usize = 768;

    /// Encodes a message; `None` if the buffer is too small for it.
    pub(crate) fn new(message: &Message<'_>, buf: &'b mut [u8]) -> Option<Encoded<'b>> {
        let (kind, len) = native::encode(message, buf)?;
        Some(Encoded { kind, body: &buf[..len] })
    }

    pub(crate) fn hash(&self) -> u64 {
        hash::bytes(self.body) ^ self.kind as u64
    }
}

impl<'b> Packet<'b> {
    fn new(buf: &'b mut [u8], cluster: Option<u32>, limit: usize) -> Packet<'b> {
        let limit = limit.min(DATAGRAM_MAX).min(buf.len());
        let mut packet = Packet { buf, len: 0, limit, empty: 0, introduces: false };
        let version = if cluster.is_some() { VERSION | FLAG_CLUSTER } else { VERSION };
        packet.raw(&[NATIVE, version, 0, 0, 0, 0]);
        if let Some(hash) = cluster {
            packet.raw(&hash.to_le_bytes());
        }
        packet.empty = packet.len;
        packet
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no message is in it yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == self.empty
    }

    /// Whether something in it may tell of a member whom its receiver does not know.
    pub(crate) fn introduces(&self) -> bool {
        self.introduces
    }

    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Keeps `bytes` of the datagram for others; returns what [`Packet::unreserve`] wants back.
    pub(crate) fn reserve(&mut self, bytes: usize) -> usize {
        let before = self.limit;
        self.limit = self.limit.saturating_sub(bytes).max(self.len);
        before
    }

    pub(crate) fn unreserve(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds a message; false if it does not fit.
    #[must_use]
    pub(crate) fn push(&mut self, message: &Message<'_>) -> bool {
        let start = self.len + HEAD;
        if start > self.limit {
            return false;
        }
        let Some((kind, body)) = native::encode(message, &mut self.buf[start..self.limit]) else {
            return false;
        };
        self.end_message(self.len, kind, body);
        true
    }

    /// Adds a message that is already encoded.
    #[must_use]
    pub(crate) fn push_encoded(&mut self, Encoded { kind, body }: Encoded<'_>) -> bool {
        if self.room() < HEAD + body.len() {
            return false;
        }
        let start = self.len + HEAD;
        self.buf[start..start + body.len()].copy_from_slice(body);
        self.end_message(self.len, kind, body.len());
        true
    }

    fn end_message(&mut self, at: usize, kind: u8, body: usize) {
        self.buf[at] = kind;
        self.buf[at + 1..at + HEAD].copy_from_slice(&(body as u16).to_le_bytes());
        self.len = at + HEAD + body;
        self.introduces |= native::is_about_member(kind);
    }

    // ---- lists: begun, then item by item; `None` if not even the head fits ----

    /// Events that this node has, and the token that entitles to ask for them.
    pub(crate) fn i_have(&mut self, token: u32) -> Option<List<EventId>> {
        self.open_list(kind::I_HAVE, &token)
    }

    /// Events that are asked for, with the token of whom they are asked of.
    pub(crate) fn i_want(&mut self, token: u32) -> Option<List<EventId>> {
        self.open_list(kind::I_WANT, &token)
    }

    /// The last values of a page, and the token that entitles to ask for them.
    pub(crate) fn value_ids(&mut self, token: u32) -> Option<List<EventId>> {
        self.open_list(kind::VALUE_IDS, &token)
    }

    /// The events of a page, which ends where the next one begins.
    pub(crate) fn event_entries(
        &mut self,
        nonce: u32,
        token: u32,
        next: Option<EventId>,
    ) -> Option<List<EventId>> {
        self.open_list(kind::EVENT_ENTRIES, &(nonce, token, next))
    }

    /// The members of a page, by their hashes.
    pub(crate) fn entries(&mut self) -> Option<List<Entry>> {
        self.open_list(kind::ENTRIES, &())
    }

    /// Hashes of the names whose records are asked for.
    pub(crate) fn records_request(&mut self, nonce: u32) -> Option<List<u32>> {
        self.open_list(kind::RECORDS_REQUEST, &nonce)
    }

    /// An event whose payload is not held any more. False if it does not fit.
    pub(crate) fn dont_have(&mut self, id: EventId) -> bool {
        self.list_of_one(kind::DONT_HAVE, id)
    }

    /// An event that is below the floor. False if it does not fit.
    pub(crate) fn too_old(&mut self, id: EventId) -> bool {
        self.list_of_one(kind::TOO_OLD, id)
    }

    /// A query whose answer has come. False if it does not fit.
    pub(crate) fn confirmed(&mut self, id: EventId) -> bool {
        self.list_of_one(kind::CONFIRMED, id)
    }

    fn list_of_one(&mut self, kind: u8, id: EventId) -> bool {
        self.open_list(kind, &()).is_some_and(|list| self.push_item(&list, &id))
    }

    fn open_list<T>(&mut self, kind: u8, head: &impl Serialize) -> Option<List<T>> {
        let at = self.len;
        if at + HEAD > self.limit {
            return None;
        }
        let body = native::write(head, &mut self.buf[at + HEAD..self.limit])?;
        self.end_message(at, kind, body);
        Some(List(at, PhantomData))
    }

    /// Adds an item to the list begun last; false if it does not fit.
    #[must_use]
    pub(crate) fn push_item<T: Serialize>(&mut self, list: &List<T>, item: &T) -> bool {
        let Some(written) = native::write(item, &mut self.buf[self.len..self.limit]) else { return false };
        let body = self.len - list.0 - HEAD + written;
        let kind = self.buf[list.0];
        self.end_message(list.0, kind, body);
        true
    }

    /// Begins a page, so far the last one; `None` if it does not fit.
    pub(crate) fn page(&mut self, nonce: u32) -> Option<PageHead> {
        let at = self.len;
        self.push(&Message::Page(Page { nonce, next: 0 })).then_some(PageHead(at))
    }

    /// Says where the next page begins, now that this one is full.
    pub(crate) fn goes_on(&mut self, page: &PageHead, next: u32) {
        let at = page.0 + HEAD + size_of::<u32>();
        self.buf[at..at + 4].copy_from_slice(&next.to_le_bytes());
    }

    /// Takes back everything from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    /// Ends the datagram with its checksum; how long it is.
    pub(crate) fn finish(self) -> usize {
        let check = checksum(&self.buf[..self.len]);
        self.buf[CHECKSUM..CHECKED].copy_from_slice(&check.to_le_bytes());
        self.len
    }

    /// Fills up to the limit.
    pub(crate) fn pad(&mut self) {
        if self.room() >= HEAD {
            let body = self.room() - HEAD;
            let start = self.len + HEAD;
            self.buf[start..start + body].fill(0);
            self.end_message(self.len, native::kind::PADDING, body);
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        // The head is 10 bytes at most; a caller's buffer smaller than that is refused by `poll`.
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::*;
    use super::*;

    const ALIVE: Alive<'static> = Alive {
        node: "node-1",
        addr: Address::UNSET,
        incarnation: 7,
        boot: 1_700_000_000_000_000,
        tags: Some(&[0xff, 0x81, 0xa4, b'r', b'o', b'l', b'e', 0xa3, b'w', b'e', b'b']),
        versions: [1, 5, 2, 2, 5, 5],
    };
    const ID: EventId = EventId { ltime: 300, origin: 0x0123_4567_89ab_cdef };

    /// One datagram for each kind of message, with its name; lists in one more.
    fn samples(mut each: impl FnMut(&str, &[u8])) {
        let v4 = Address::from(core::net::SocketAddr::from(([10, 0, 0, 1], 7946)));
        let v6 = Address::from(core::net::SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], 7946)));
        let accusation = Accusation { incarnation: 7, boot: 3, node: "node-1", from: "node-2" };
        let buckets = &[1, 2, 3, 4, 5, 6, 7, 8];
        let summary = Summary {
            clock: 1,
            event_clock: 300,
            query_clock: 2,
            members: Some(0xdead_beef),
            events: 5,
            floor: ID,
        };
        let record = Record {
            alive: Alive { addr: v6, tags: None, ..ALIVE },
            state: Settled::Failed,
            status_ltime: 9,
            age: 60,
        };
        let messages = [
            ("ping", Message::Ping(Ping { seq: 1, node: "node-1", source: "node-2", source_addr: None })),
            (
                "indirect-ping",
                Message::IndirectPing(IndirectPing {
                    seq: 2,
                    node: "node-1",
                    target: v4,
                    nack: true,
                    source: "node-2",
                    source_addr: Some(v4),
                }),
            ),
            ("ack", Message::Ack(Ack { seq: 1, payload: b"coordinate" })),
            ("nack", Message::Nack(Nack { seq: 2 })),
            ("alive", Message::Alive(Alive { addr: v4, ..ALIVE })),
            ("suspect", Message::Suspect(accusation)),
            ("dead", Message::Dead(accusation)),
            ("join-intent", Message::JoinIntent(JoinIntent { ltime: 4, node: "node-1" })),
            ("leave-intent", Message::LeaveIntent(LeaveIntent { ltime: 5, node: "node-1", prune: true })),
            (
                "user-event",
                Message::UserEvent(UserEvent { id: ID, coalesce: true, name: b"deploy", payload: b"123" }),
            ),
            (
                "targeted-event",
                Message::TargetedEvent(
                    UserEvent { id: ID, coalesce: false, name: b"deploy", payload: b"123" },
                    b"\x01\x04role\x02db",
                ),
            ),
            (
                "query",
                Message::Query(Query {
                    ltime: 3,
                    id: 4,
                    addr: v4,
                    source: "node-1",
                    filters: &[0],
                    flags: 1,
                    relay_factor: 2,
                    timeout_us: 3_200_000,
                    name: "load",
                    payload: b"x",
                }),
            ),
            (
                "query-response",
                Message::QueryResponse(QueryResponse {
                    ltime: 3,
                    id: 4,
                    from: "node-2",
                    flags: 0,
                    payload: b"0.5",
                }),
            ),
            ("summary", Message::Summary(summary)),
            ("join", Message::Join(Join { nonce: 6, node: "node-1", addr: v4, boot: 3, pages: true })),
            (
                "join-answer",
                Message::JoinAnswer(JoinAnswer { nonce: 6, clock: 7, event_clock: 8, query_clock: 9 }),
            ),
            ("name-taken", Message::NameTaken(6)),
            ("page-request", Message::PageRequest(PageRequest { nonce: 6, cursor: 0x8000_0000 })),
            ("page", Message::Page(Page { nonce: 6, next: 0x9000_0000 })),
            ("record", Message::Record(record)),
            ("digest-request", Message::DigestRequest(DigestRequest { nonce: 6, cursor: 1, buckets })),
            (
                "event-digest-request",
                Message::EventDigestRequest(EventDigestRequest { nonce: 6, above: ID, buckets, cursor: ID }),
            ),
            ("fleet", Message::Fleet(Fleet { id: 7, event_clock: 300, age: 60 })),
            ("former", Message::Former(Former { fleet: 0xefbe, met: 300 })),
            ("history", Message::History(History { at: ID, count: 5, digest: 0xdead_beef })),
            ("values", Message::Values(0xdead_beef)),
            ("tag", Message::Tag([0xbe, 0xef])),
            ("known", Message::Known([1, 2, 3, 4])),
            ("values-request", Message::ValuesRequest(ValuesRequest { nonce: 6, cursor: 8 })),
        ];
        let mut buf = [0; DATAGRAM_MAX];
        for (name, message) in &messages {
            let mut packet = Packet::new(&mut buf, None, DATAGRAM_MAX);
            assert!(packet.push(message));
            let len = packet.finish();
            let mut decoded = open(&buf[..len], None).expect("our own");
            assert_eq!(decoded.next(), Some(Ok(*message)), "{name} comes back as it was");
            assert_eq!(decoded.next(), None);
            each(name, &buf[..len]);
        }
        let mut packet = Packet::new(&mut buf, Some(0x1234_5678), 120);
        let list = packet.i_have(99).expect("room");
        assert!(packet.push_item(&list, &ID));
        let list = packet.i_want(99).expect("room");
        assert!(packet.push_item(&list, &ID));
        assert!(packet.too_old(ID));
        let list = packet.event_entries(6, 99, Some(ID)).expect("room");
        assert!(packet.push_item(&list, &ID));
        let list = packet.entries().expect("room");
        assert!(packet.push_item(&list, &Entry { name: 1, version: 2 }));
        let list = packet.records_request(6).expect("room");
        assert!(packet.push_item(&list, &0xffff_ffff));
        packet.pad();
        let len = packet.finish();
        assert_eq!(len, 120);
        assert!(open(&buf[..len], None).is_err_and(|reject| reject == Reject::OtherCluster));
        let count = open(&buf[..len], Some(0x1234_5678)).expect("our own").filter(Result::is_ok).count();
        assert_eq!(count, 7);
        each("lists", &buf[..len]);
    }

    /// What version 2 put on the wire is read and written for ever. A difference here is a break with every node out
    /// there, not a fixture to be renewed.
    #[test]
    fn the_bytes_are_those_of_every_released_version() {
        let released = include_str!("../../tests/wire/native-v2.txt");
        let mut lines = released.lines().filter(|line| !line.starts_with('#'));
        samples(|name, bytes| {
            let hex: std::string::String = bytes.iter().map(|byte| std::format!("{byte:02x}")).collect();
            let line = std::format!("{name} {hex}");
            if std::env::var_os("SHOW_WIRE").is_some() {
                std::println!("{line}");
            } else {
                assert_eq!(lines.next(), Some(line.as_str()));
            }
        });
    }

    /// With the checksum that it has to have, if there is a place for it.
    fn checked(bytes: &[u8]) -> std::vec::Vec<u8> {
        let mut bytes = bytes.to_vec();
        if bytes.len() >= CHECKED {
            let check = checksum(&bytes);
            bytes[CHECKSUM..CHECKED].copy_from_slice(&check.to_le_bytes());
        }
        bytes
    }

    /// One or two bits, anywhere: those two of which each hides the other are what weak checksums miss.
    #[test]
    fn whatever_is_damaged_is_refused() {
        samples(|name, bytes| {
            let cluster = (bytes[1] & FLAG_CLUSTER != 0).then_some(0x1234_5678);
            let mut damaged = bytes.to_vec();
            let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
            for one in 0..8 * bytes.len() {
                flip(&mut damaged, one);
                assert!(open(&damaged, cluster).is_err(), "{name}, bit {one}");
                for other in one + 1..8 * bytes.len() {
                    flip(&mut damaged, other);
                    assert!(open(&damaged, cluster).is_err(), "{name}, bits {one} and {other}");
                    flip(&mut damaged, other);
                }
                flip(&mut damaged, one);
            }
        });
    }

    #[test]
    fn every_truncation_is_refused_or_ends_between_messages() {
        samples(|name, bytes| {
            let cluster = (bytes[1] & FLAG_CLUSTER != 0).then_some(0x1234_5678);
            for len in 0..bytes.len() {
                assert!(open(&bytes[..len], cluster).is_err(), "{name} cut to {len} bytes");
                // Also where the checksum is right.
                let cut = checked(&bytes[..len]);
                let Ok(messages) = open(&cut, cluster) else { continue };
                let results: std::vec::Vec<_> = messages.collect();
                let whole = results.iter().all(|result| result.is_ok());
                let counted = open(bytes, cluster).expect("whole").count();
                assert!(!whole || results.len() < counted, "{name} cut to {len} bytes");
            }
        });
    }

    #[test]
    fn other_wires_and_versions_are_told_apart() {
        assert_eq!(open(&[], None).err(), Some(Reject::NotNative));
        assert_eq!(open(&[0x07, 0x02, 0x00], None).err(), Some(Reject::GoWire));
        assert_eq!(open(&[244, 4], None).err(), Some(Reject::GoWire));
        assert_eq!(open(b"GET / HTTP/1.1", None).err(), Some(Reject::NotNative));
        let first = [b'S', 0xCF, 1, 0, 4, 1, 0, 2];
        assert_eq!(open(&first, None).err(), Some(Reject::Version), "as before the checksum");
        assert_eq!(open(&[b'S', 3 << 4, 0, 0, 0, 0], None).err(), Some(Reject::Version));
        assert_eq!(open(&[b'S', VERSION | 2, 0, 0, 0, 0], None).err(), Some(Reject::Version));
        assert_eq!(open(&[b'S', VERSION], None).err(), Some(Reject::Malformed));
        assert_eq!(open(&[0; DATAGRAM_MAX + 1], None).err(), Some(Reject::TooLong));
        let later = checked(&[b'S', VERSION, 0, 0, 0, 0, 200, 1, 0, 42]);
        let read: std::vec::Vec<_> = open(&later, None).expect("ours").collect();
        assert_eq!(read, [Ok(Message::Unknown)], "a kind of a later version is skipped");
    }
}
