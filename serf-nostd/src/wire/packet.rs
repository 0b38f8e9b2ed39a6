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
//!
//! A sealed datagram (`seal`, flags 2) has other layers in their place.

use core::error::Error;
use core::fmt;
use core::marker::PhantomData;

use serde::Serialize;

use super::message::{Entry, EventId, Message, Page};
use super::native::{self, HEAD, kind};
use super::seal::{self, Reply, Seal, Sender};
use crate::hash;

/// Longest native datagram, in bytes: fits one Ethernet frame with room for tunnels.
pub const DATAGRAM_MAX: usize = 1_400;

const NATIVE: u8 = b'S';
/// Of the byte behind it the upper half.
const VERSION: u8 = 2 << 4;
const FLAG_CLUSTER: u8 = 1;
const FLAG_SEALED: u8 = 2;
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
    /// It is not sealed, and this node takes nothing else.
    #[cfg(feature = "seal")]
    Unsealed,
    /// It is sealed, and this node has no key.
    Sealed,
    /// It is sealed with a key that this node does not have, or for a cluster of another name.
    #[cfg(feature = "seal")]
    UnknownKey,
    /// What it is sealed with is not what it says: it was changed on the way, or made by somebody without the key.
    #[cfg(feature = "seal")]
    Forged,
    /// It has come before, or later than those that were sent after it; or it is this node's own.
    #[cfg(feature = "seal")]
    Replayed,
    /// Somebody seals under this node's own session: a copy of its flash or its machine. This node begins another one.
    #[cfg(feature = "seal")]
    Cloned,
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
            #[cfg(feature = "seal")]
            Reject::Unsealed => "it is not sealed, as all datagrams of this fleet are",
            Reject::Sealed => "it is sealed, and this node has no key",
            #[cfg(feature = "seal")]
            Reject::UnknownKey => {
                "it is sealed with a key that this node does not have, or for a cluster of another name"
            }
            #[cfg(feature = "seal")]
            Reject::Forged => "its seal does not fit: it was changed on the way, or made without the key",
            #[cfg(feature = "seal")]
            Reject::Replayed => "it has come before, or too late",
            #[cfg(feature = "seal")]
            Reject::Cloned => "its sender is a copy of this node, and needs a name or boot number of its own",
        })
    }
}

impl Error for Reject {}

/// Bytes of an unsealed datagram that are no messages, if it has a cluster's hash; and of a sealed one.
const UNSEALED: usize = CHECKED + 4;
const SEALED: usize = seal::HEAD + seal::TAG;

/// Most bytes of a datagram that are no messages.
pub(crate) const OVERHEAD: usize = if SEALED > UNSEALED { SEALED } else { UNSEALED };

/// The wire that a node speaks: what stands around the messages of its datagrams.
pub(crate) struct Wire<'a> {
    /// A hash of the cluster's name, if it has one.
    cluster: Option<u32>,
    pub(crate) seal: Seal<'a>,
}

/// A datagram without its outer layers.
pub(crate) struct Opened<'d> {
    pub(crate) messages: Messages<'d>,
    /// Who has sealed it, if it is sealed.
    pub(crate) sender: Option<Sender>,
}

impl<'a> Wire<'a> {
    /// `cluster`: the name that all nodes of a fleet are given, or none.
    pub(crate) fn new(cluster: Option<&str>, seal: Seal<'a>) -> Wire<'a> {
        Wire { cluster: cluster.map(|name| hash::bytes(name.as_bytes()) as u32), seal }
    }

    /// The hash of the cluster's name; 0 if it has none.
    pub(crate) fn cluster(&self) -> u32 {
        self.cluster.unwrap_or(0)
    }

    /// Takes the outer layers off, in place.
    pub(crate) fn open<'d>(&mut self, datagram: &'d mut [u8]) -> Result<Opened<'d>, Reject> {
        let is_sealed = is_sealed(datagram)?;
        #[cfg(feature = "seal")]
        if self.seal.is_on() {
            if !is_sealed {
                return Err(Reject::Unsealed);
            }
            let (rest, sender) = self.seal.open(datagram, self.cluster)?;
            return Ok(Opened { messages: Messages { rest }, sender: Some(sender) });
        }
        if is_sealed {
            return Err(Reject::Sealed);
        }
        Ok(Opened { messages: open(datagram, self.cluster)?, sender: None })
    }

    /// Begins a datagram of at most `limit` bytes in all (and never more than [`DATAGRAM_MAX`] or the buffer);
    /// [`Packet::finish`] ends it.
    pub(crate) fn packet<'b>(&self, buf: &'b mut [u8], limit: usize) -> Packet<'b> {
        if self.seal.is_on() {
            Packet::to_be_sealed(buf, limit)
        } else {
            Packet::new(buf, self.cluster, limit)
        }
    }

    /// Bytes of a datagram that are no messages.
    pub(crate) fn overhead(&self) -> usize {
        if self.seal.is_on() { SEALED } else { UNSEALED }
    }

    /// Adds a key; see [`Seal::install`].
    #[cfg(feature = "seal")]
    pub(crate) fn install(&mut self, key: &seal::Key) -> Result<Option<u64>, seal::KeyError> {
        self.seal.install(key, self.cluster)
    }
}

/// Whether a datagram of this version of the native wire is sealed.
fn is_sealed(datagram: &[u8]) -> Result<bool, Reject> {
    if datagram.len() > DATAGRAM_MAX {
        return Err(Reject::TooLong);
    }
    match *datagram {
        [NATIVE, head, ..] if head & !(FLAG_CLUSTER | FLAG_SEALED) != VERSION => Err(Reject::Version),
        [NATIVE, head, ..] if head == VERSION | FLAG_CLUSTER | FLAG_SEALED => Err(Reject::Version),
        [NATIVE, head, ..] => Ok(head & FLAG_SEALED != 0),
        [NATIVE] => Err(Reject::Malformed),
        [0..=13 | 244, ..] => Err(Reject::GoWire),
        _ => Err(Reject::NotNative),
    }
}

/// Opens a datagram that is not sealed, whose first two bytes are right.
fn open(datagram: &[u8], cluster: Option<u32>) -> Result<Messages<'_>, Reject> {
    let Some((&[_, head, check @ ..], rest)) = datagram.split_first_chunk::<CHECKED>() else {
        return Err(Reject::Malformed);
    };
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

/// The messages of a datagram that was refused since it is of another cluster.
pub(crate) fn foreign(datagram: &[u8]) -> Messages<'_> {
    let named = datagram.get(1).is_some_and(|head| head & FLAG_CLUSTER != 0);
    Messages { rest: datagram.get(if named { CHECKED + 4 } else { CHECKED }..).unwrap_or_default() }
}

/// What the cluster is called that a datagram is of which was refused with [`Reject::OtherCluster`]; nothing if it has no name. `None` if it
/// does not say: joins do, and answers to them.
pub fn cluster_name(datagram: &[u8]) -> Option<&str> {
    let named = datagram.get(1).is_some_and(|head| head & FLAG_CLUSTER != 0);
    foreign(datagram).flatten().find_map(|message| match message {
        Message::Cluster(name) => Some(name),
        Message::Join(_) if !named => Some(""),
        _ => None,
    })
}

/// The checksum of a datagram whose first bytes are there: of its length, its version and flags, and what follows the
/// checksum's place.
fn checksum(datagram: &[u8]) -> u32 {
    let start = (datagram.len() as u64) << 8 | datagram[1] as u64;
    hash::words(start, &datagram[CHECKED..])
}

/// What a datagram of this node's is known by, if somebody quotes its first bytes: its checksum, or its session and counter.
#[cfg(feature = "inquest")]
pub(crate) fn mark(datagram: &[u8]) -> u32 {
    let sealed = datagram.get(1).is_some_and(|head| head & FLAG_SEALED != 0);
    let told = if sealed { 3..seal::HEAD } else { CHECKSUM..CHECKED };
    datagram.get(told).map_or(0, |told| hash::words(told.len() as u64, told))
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
    /// Where the messages end at the latest.
    limit: usize,
    empty: usize,
    introduces: bool,
    sealed: bool,
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
        let mut packet = Packet { buf, len: 0, limit, empty: 0, introduces: false, sealed: false };
        let version = if cluster.is_some() { VERSION | FLAG_CLUSTER } else { VERSION };
        packet.raw(&[NATIVE, version, 0, 0, 0, 0]);
        if let Some(hash) = cluster {
            packet.raw(&hash.to_le_bytes());
        }
        packet.empty = packet.len;
        packet
    }

    /// One with room for what [`Seal::close`] adds.
    fn to_be_sealed(buf: &'b mut [u8], limit: usize) -> Packet<'b> {
        let limit = limit.min(DATAGRAM_MAX).min(buf.len()).saturating_sub(seal::TAG).max(seal::HEAD);
        [buf[0], buf[1]] = [NATIVE, VERSION | FLAG_SEALED];
        Packet { buf, len: seal::HEAD, limit, empty: seal::HEAD, introduces: false, sealed: true }
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

    /// Ends the datagram; how long it is.
    pub(crate) fn finish(self, wire: &mut Wire<'_>) -> usize {
        self.finish_reply(wire, &Reply::PLAIN)
    }

    /// Ends one that is an answer.
    pub(crate) fn finish_reply(self, wire: &mut Wire<'_>, reply: &Reply) -> usize {
        if self.sealed { wire.seal.close(self.buf, self.len, wire.cluster, reply) } else { self.check() }
    }

    /// Ends it with its checksum.
    fn check(self) -> usize {
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
pub(crate) mod tests;
