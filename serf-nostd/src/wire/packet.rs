//! The layers of a native datagram: magic, version, flags, an optional cluster hash, then messages.
//!
//! ```text
//! 'S' 0xCF | version u8 | flags u8 | [cluster u32 if flags & 1] | kind u8, length u16, body | ...
//! ```
//! The first byte is none of Go Serf's message types, so each wire can name the other when it hears it.

use serde::Serialize;

use super::message::Message;
use super::native::{self, HEAD};

/// Longest native datagram, in bytes: fits one Ethernet frame with room for tunnels.
pub const DATAGRAM_MAX: usize = 1_400;

const MAGIC: [u8; 2] = [b'S', 0xCF];
const VERSION: u8 = 1;
const FLAG_CLUSTER: u8 = 1;

/// Why a datagram was refused. Nothing of it was taken, or (for [`Reject::Malformed`]) nothing from the broken message on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reject {
    /// Longer than a native datagram may be.
    TooLong,
    /// Not of the native wire.
    NotNative,
    /// Looks like Go Serf's wire: the peer was started with another `-wire`.
    GoWire,
    /// A version of the native wire that this build does not speak.
    Version,
    /// A fleet with another cluster name (or with one, or without).
    OtherCluster,
    /// Cut off, or a message that does not hold what its kind promises.
    Malformed,
}

/// Takes the outer layers off. Returns the messages' bytes.
pub(crate) fn open(datagram: &[u8], cluster: Option<u32>) -> Result<Messages<'_>, Reject> {
    if datagram.len() > DATAGRAM_MAX {
        return Err(Reject::TooLong);
    }
    let Some((magic, rest)) = datagram.split_first_chunk::<2>() else {
        return Err(Reject::NotNative);
    };
    if *magic != MAGIC {
        let go = magic[0] <= 13 || magic[0] == 244;
        return Err(if go { Reject::GoWire } else { Reject::NotNative });
    }
    let Some((&[version, flags], rest)) = rest.split_first_chunk::<2>() else {
        return Err(Reject::Malformed);
    };
    if version != VERSION || flags & !FLAG_CLUSTER != 0 {
        return Err(Reject::Version);
    }
    let (theirs, rest) = match flags & FLAG_CLUSTER {
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

/// The messages of a datagram, one by one.
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
}

/// A list message being written: where its head stands.
pub(crate) struct OpenList(usize);

impl<'b> Packet<'b> {
    /// Begins a datagram of at most `limit` bytes (and never more than [`DATAGRAM_MAX`] or the buffer).
    pub(crate) fn new(buf: &'b mut [u8], cluster: Option<u32>, limit: usize) -> Packet<'b> {
        let limit = limit.min(DATAGRAM_MAX).min(buf.len());
        let mut packet = Packet { buf, len: 0, limit, empty: 0 };
        packet.raw(&MAGIC);
        packet.raw(&[VERSION, if cluster.is_some() { FLAG_CLUSTER } else { 0 }]);
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
        self.finish(self.len, kind, body);
        true
    }

    /// Adds a message that is already encoded.
    #[must_use]
    pub(crate) fn push_raw(&mut self, kind: u8, body: &[u8]) -> bool {
        if self.room() < HEAD + body.len() {
            return false;
        }
        let start = self.len + HEAD;
        self.buf[start..start + body.len()].copy_from_slice(body);
        self.finish(self.len, kind, body.len());
        true
    }

    fn finish(&mut self, at: usize, kind: u8, body: usize) {
        self.buf[at] = kind;
        self.buf[at + 1..at + HEAD].copy_from_slice(&(body as u16).to_le_bytes());
        self.len = at + HEAD + body;
    }

    /// Begins a list message with what stands before its items; `None` if not even that fits.
    pub(crate) fn open_list<T: Serialize>(&mut self, kind: u8, head: &T) -> Option<OpenList> {
        let at = self.len;
        if at + HEAD > self.limit {
            return None;
        }
        let body = postcard::to_slice(head, &mut self.buf[at + HEAD..self.limit]).ok()?.len();
        self.finish(at, kind, body);
        Some(OpenList(at))
    }

    /// Adds an item to the list begun last; false if it does not fit.
    #[must_use]
    pub(crate) fn push_item<T: Serialize>(&mut self, list: &OpenList, item: &T) -> bool {
        let Ok(written) = postcard::to_slice(item, &mut self.buf[self.len..self.limit]) else {
            return false;
        };
        let body = self.len - list.0 - HEAD + written.len();
        let kind = self.buf[list.0];
        self.finish(list.0, kind, body);
        true
    }

    /// Rewrites bytes of the last message with the given ending: for a [`super::message::Page`] whose `next` is only
    /// known when the records are in.
    pub(crate) fn patch_page_next(&mut self, page_at: usize, next: u32) {
        let at = page_at + HEAD + 4;
        self.buf[at..at + 4].copy_from_slice(&next.to_le_bytes());
    }

    /// Takes back everything from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = len;
    }

    /// Fills up to the limit.
    pub(crate) fn pad(&mut self) {
        if self.room() >= HEAD {
            let body = self.room() - HEAD;
            let start = self.len + HEAD;
            self.buf[start..start + body].fill(0);
            self.finish(self.len, native::kind::PADDING, body);
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        // The head is 8 bytes at most; a caller's buffer smaller than that is refused by `poll`.
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}
