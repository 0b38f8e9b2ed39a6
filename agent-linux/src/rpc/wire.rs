//! Framing: where one MessagePack value ends, before anything decodes it.
//!
//! Serf's RPC has no length prefix; a connection is a plain row of MessagePack values. [`Scanner`] walks over what has
//! arrived and answers whether one whole value is there, so that serde only ever sees complete values of a bounded
//! size, and memory is bounded by the bytes that really came, whatever lengths they announce.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What one value may cost at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Encoded size in bytes.
    pub bytes: usize,
    /// Number of values in it, itself and map keys included: bounds the memory that many tiny values decode to.
    pub values: usize,
    /// How deep arrays and maps may nest, at most [`MAX_DEPTH`].
    pub depth: usize,
}

/// The deepest nesting a [`Scanner`] can follow; Serf's own messages need four.
pub const MAX_DEPTH: usize = 32;

impl Limits {
    /// What a server takes from a client that has not authenticated yet: room for its token.
    pub const STRANGER: Limits = Limits { bytes: 4096, values: 64, depth: 8 };
    /// What a server takes from a client: 256 KiB, 16,384 values. A join of as many addresses as one may name fits, and so
    /// does an event of any size that the system lets through as an argument.
    pub const REQUEST: Limits = Limits { bytes: 256 << 10, values: 1 << 14, depth: MAX_DEPTH };
    /// What a client takes from an agent: 64 MiB, 4 million values, enough for the members of any fleet.
    pub const ANSWER: Limits = Limits { bytes: 64 << 20, values: 4 << 20, depth: MAX_DEPTH };
}

/// What [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// One whole value of this many bytes stands at the start.
    Complete(usize),
    /// More bytes are needed; nothing wrong so far.
    Incomplete,
    /// No value can come of this; the text says why.
    Invalid(&'static str),
}

/// Finds the end of one value. Remembers how far it got, so each byte is looked at once, however slowly they come.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    limits: Limits,
    position: usize,
    /// Values announced so far.
    values: usize,
    /// Values still missing in each open array or map, the outermost first; the first entry stands for the value itself.
    open: [usize; MAX_DEPTH + 1],
    depth: usize,
}

impl Scanner {
    /// A scanner at the start of a value.
    pub fn new(limits: Limits) -> Scanner {
        let mut open = [0; MAX_DEPTH + 1];
        open[0] = 1;
        Scanner { limits, position: 0, values: 1, open, depth: 0 }
    }

    /// Looks for the end of the value that starts at `bytes[0]`. Call it again with the same bytes and more after
    /// [`Scan::Incomplete`]; make a new scanner after anything else.
    pub fn scan(&mut self, bytes: &[u8]) -> Scan {
        loop {
            while self.open[self.depth] == 0 {
                if self.depth == 0 {
                    return Scan::Complete(self.position);
                }
                self.depth -= 1;
            }
            let rest = bytes.get(self.position..).unwrap_or_default();
            let (length, children) = match Item::read(rest) {
                Item::Partial => return Scan::Incomplete,
                Item::Reserved => return Scan::Invalid("reserved MessagePack type"),
                Item::Value { length, children } => (length, children),
            };
            let left = self.limits.bytes - self.position;
            if length > left as u64 {
                return Scan::Invalid("message too large");
            }
            let length = length as usize;
            if rest.len() < length {
                return Scan::Incomplete;
            }
            if children > (self.limits.values - self.values) as u64 {
                return Scan::Invalid("message has too many values");
            }
            self.values += children as usize;
            self.position += length;
            self.open[self.depth] -= 1;
            if children > 0 {
                if self.depth == self.limits.depth.min(MAX_DEPTH) {
                    return Scan::Invalid("message nested too deeply");
                }
                self.depth += 1;
                self.open[self.depth] = children as usize;
            }
        }
    }
}

/// One value without its children: head and, for strings and the like, content.
enum Item {
    Value { length: u64, children: u64 },
    Partial,
    Reserved,
}

impl Item {
    fn read(bytes: &[u8]) -> Item {
        let Some(&marker) = bytes.first() else { return Item::Partial };
        let plain = |length: u64| Item::Value { length, children: 0 };
        // The announced length, `width` bytes big-endian behind the marker.
        let announced = |width: usize| {
            let raw = bytes.get(1..1 + width)?;
            Some(raw.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
        };
        let content = |width: usize, extra: u64| match announced(width) {
            Some(n) => plain(1 + width as u64 + extra + n),
            None => Item::Partial,
        };
        let container = |width: usize, each: u64| match announced(width) {
            Some(n) => Item::Value { length: 1 + width as u64, children: each * n },
            None => Item::Partial,
        };
        match marker {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => plain(1),
            0x80..=0x8f => Item::Value { length: 1, children: 2 * u64::from(marker & 0x0f) },
            0x90..=0x9f => Item::Value { length: 1, children: u64::from(marker & 0x0f) },
            0xa0..=0xbf => plain(1 + u64::from(marker & 0x1f)),
            0xc1 => Item::Reserved,
            0xc4 | 0xd9 => content(1, 0),
            0xc5 | 0xda => content(2, 0),
            0xc6 | 0xdb => content(4, 0),
            0xc7 => content(1, 1),
            0xc8 => content(2, 1),
            0xc9 => content(4, 1),
            0xcc | 0xd0 => plain(2),
            0xcd | 0xd1 => plain(3),
            0xca | 0xce | 0xd2 => plain(5),
            0xcb | 0xcf | 0xd3 => plain(9),
            0xd4 => plain(3),
            0xd5 => plain(4),
            0xd6 => plain(6),
            0xd7 => plain(10),
            0xd8 => plain(18),
            0xdc => container(2, 1),
            0xdd => container(4, 1),
            0xde => container(2, 2),
            0xdf => container(4, 2),
        }
    }
}

/// Takes values off a stream, one by one.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    limits: Limits,
    scanner: Scanner,
    buffer: Vec<u8>,
    /// Where the next value begins in it.
    start: usize,
}

/// Whole values that have arrived and were not taken.
#[derive(Debug)]
pub struct Arrived<'r> {
    limits: Limits,
    bytes: &'r [u8],
    position: usize,
}

impl Arrived<'_> {
    /// How many bytes those take that were looked at.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'r> Iterator for Arrived<'r> {
    type Item = &'r [u8];

    /// Ends with what is not complete, or never will be.
    fn next(&mut self) -> Option<&'r [u8]> {
        let rest = self.bytes.get(self.position..)?;
        let Scan::Complete(length) = Scanner::new(self.limits).scan(rest) else { return None };
        self.position += length;
        rest.get(..length)
    }
}

/// How much is read at a time, and the most that is kept beyond an unfinished value.
const CHUNK: usize = 8 * 1024;

impl<R: AsyncRead + Unpin> Reader<R> {
    /// A reader that refuses values beyond `limits`.
    pub fn new(inner: R, limits: Limits) -> Reader<R> {
        Reader { inner, limits, scanner: Scanner::new(limits), buffer: Vec::new(), start: 0 }
    }

    /// What has arrived, from the next value on.
    pub fn arrived(&self) -> Arrived<'_> {
        Arrived { limits: self.limits, bytes: &self.buffer[self.start..], position: 0 }
    }

    /// Passes over so many bytes of whole values that have arrived.
    pub fn skip(&mut self, bytes: usize) {
        if bytes > 0 {
            self.start = (self.start + bytes).min(self.buffer.len());
            self.scanner = Scanner::new(self.limits);
        }
    }

    /// The next whole value, or `None` at the end of the stream (also if it ends within a value). Cancel safe.
    ///
    /// # Errors
    /// Those of the stream; [`io::ErrorKind::InvalidData`] for what is no MessagePack or beyond the limits, after which
    /// the stream is of no more use.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.scanner.scan(&self.buffer[self.start..]) {
                Scan::Complete(length) => {
                    let value = self.buffer[self.start..self.start + length].to_vec();
                    self.skip(length);
                    return Ok(Some(value));
                }
                Scan::Invalid(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
                Scan::Incomplete => {
                    // What was taken makes room, and a long value leaves none behind.
                    self.buffer.drain(..std::mem::take(&mut self.start));
                    self.buffer.shrink_to(2 * CHUNK);
                    self.buffer.reserve(CHUNK);
                    if (&mut self.inner).take(CHUNK as u64).read_buf(&mut self.buffer).await? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes by other limits from the next value on. Not within one.
    pub fn set_limits(&mut self, limits: Limits) {
        (self.limits, self.scanner) = (limits, Scanner::new(limits));
    }

    /// The stream.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// Gives the stream back; what was read ahead is dropped.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

/// Decodes one value; nil stands for a message in which nothing is set, as for Go.
///
/// # Errors
/// If the value has another shape than `T`.
pub fn decode<T: DeserializeOwned + Default>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    Ok(rmp_serde::from_slice::<Option<T>>(bytes)?.unwrap_or_default())
}

/// Decodes a request's body; nothing if it has none.
///
/// # Errors
/// What a client is told.
pub fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, String> {
    if body.is_empty() {
        return Ok(T::default());
    }
    decode(body).map_err(|error| format!("Invalid request: {error}"))
}

/// Appends one value, structs as maps with their keys in the order of their fields.
///
/// # Panics
/// Never for the messages of [`super::message`]: writing to memory does not fail, and they have nothing unencodable.
pub fn encode<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    value.serialize(&mut serializer).expect("RPC messages are always encodable");
}

/// Appends a string of any bytes. Go's names are that, and its agents take no `bin` for them; serde has no word for it.
pub fn encode_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = (text.len() as u32).to_be_bytes();
    match text.len() {
        0..=31 => out.push(0xa0 | length[3]),
        32..=0xff => out.extend([0xd9, length[3]]),
        0x100..=0xffff => out.extend([0xda, length[2], length[3]]),
        _ => {
            out.push(0xdb);
            out.extend(length);
        }
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { bytes: 64, values: 16, depth: 3 };

    fn scan(bytes: &[u8]) -> Scan {
        Scanner::new(SMALL).scan(bytes)
    }

    #[test]
    fn every_kind_of_value_ends_where_it_ends() {
        let values: &[&[u8]] = &[
            b"\x00",
            b"\xff",
            b"\xc0",
            b"\xc2",
            b"\xcc\x01",
            b"\xcd\x01\x02",
            b"\xce\0\0\0\0",
            b"\xcf\0\0\0\0\0\0\0\0",
            b"\xca\0\0\0\0",
            b"\xcb\0\0\0\0\0\0\0\0",
            b"\xa3abc",
            b"\xd9\x01a",
            b"\xda\0\x01a",
            b"\xdb\0\0\0\x01a",
            b"\xc4\x01a",
            b"\xc5\0\x01a",
            b"\xc6\0\0\0\x01a",
            b"\xc7\x01\x05a",
            b"\xc8\0\x01\x05a",
            b"\xc9\0\0\0\x01\x05a",
            b"\xd4\x05a",
            b"\xd5\x05ab",
            b"\x90",
            b"\x80",
            b"\x92\x01\x02",
            b"\x81\xa1a\x91\x01",
            b"\xdc\0\x01\x01",
            b"\xdd\0\0\0\x01\x01",
            b"\xde\0\x01\x01\x02",
            b"\xdf\0\0\0\x01\x01\x02",
        ];
        for &value in values {
            for cut in 0..value.len() {
                assert_eq!(scan(&value[..cut]), Scan::Incomplete, "{value:02x?} cut at {cut}");
            }
            let mut more = value.to_vec();
            more.push(0xc1);
            assert_eq!(scan(&more), Scan::Complete(value.len()), "{value:02x?}");
            let mut slow = Scanner::new(SMALL);
            for end in 0..value.len() {
                assert_eq!(slow.scan(&value[..end]), Scan::Incomplete);
            }
            assert_eq!(slow.scan(value), Scan::Complete(value.len()));
        }
    }

    #[test]
    fn strings_of_any_bytes_are_encoded_as_serde_encodes_text() {
        for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
            let (mut by_hand, mut by_serde, text) = (Vec::new(), Vec::new(), "x".repeat(length));
            encode_text(&mut by_hand, text.as_bytes());
            encode(&mut by_serde, &text);
            assert!(by_hand == by_serde, "{length}");
        }
    }

    #[test]
    fn what_cannot_fit_is_refused_before_it_arrives() {
        assert_eq!(scan(b"\xc1"), Scan::Invalid("reserved MessagePack type"));
        assert_eq!(scan(b"\xdb\xff\xff\xff\xff"), Scan::Invalid("message too large"));
        assert_eq!(scan(b"\xc6\0\0\0\x3c"), Scan::Invalid("message too large"));
        assert_eq!(scan(b"\xc6\0\0\0\x3b"), Scan::Incomplete);
        assert_eq!(scan(b"\xdf\xff\xff\xff\xff"), Scan::Invalid("message has too many values"));
        assert_eq!(scan(b"\x9f"), Scan::Incomplete);
        assert_eq!(scan(b"\x88"), Scan::Invalid("message has too many values"));
        assert_eq!(scan(b"\x91\x91\x91\x01"), Scan::Complete(4));
        assert_eq!(scan(b"\x91\x91\x91\x91\x01"), Scan::Invalid("message nested too deeply"));
    }
}
