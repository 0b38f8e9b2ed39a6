//! The native wire, written and read by hand: nothing here knows the core's own encoder.

use std::net::{IpAddr, SocketAddr};

use serf_nostd::{DATAGRAM_MAX, Identity};

/// The address of machine number `i`.
pub fn addr(i: u32) -> SocketAddr {
    let [_, a, b, c] = i.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 7946))
}

/// The number of the machine at an address; `usize::MAX` for one that is nobody's.
pub fn machine(addr: SocketAddr) -> usize {
    match addr.ip() {
        IpAddr::V4(v4) => {
            let [_, a, b, c] = v4.octets();
            u32::from_be_bytes([0, a, b, c]) as usize
        }
        IpAddr::V6(_) => usize::MAX,
    }
}

/// Kinds of messages.
#[allow(missing_docs)]
pub mod kind {
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
    pub const TARGETED_EVENT: u8 = 13;
    pub const CHALLENGE_ANSWER: u8 = 47;
    pub const PERIOD: u8 = 51;
    pub const REFUSED: u8 = 52;
    pub const GONE: u8 = 53;
    pub const BATCH: u8 = 54;
    pub const RECEIVED: u8 = 55;
    pub const COMPLETE: u8 = 56;
    /// Every kind that a node of this version sends unsealed.
    pub const ALL: [u8; 40] = [
        PING,
        INDIRECT_PING,
        ACK,
        NACK,
        ALIVE,
        SUSPECT,
        DEAD,
        JOIN_INTENT,
        LEAVE_INTENT,
        USER_EVENT,
        SUMMARY,
        I_HAVE,
        I_WANT,
        TOO_OLD,
        DONT_HAVE,
        FLEET,
        HISTORY,
        VALUES,
        TAG,
        KNOWN,
        JOIN,
        JOIN_ANSWER,
        NAME_TAKEN,
        PAGE_REQUEST,
        PAGE,
        RECORD,
        DIGEST_REQUEST,
        ENTRIES,
        RECORDS_REQUEST,
        EVENT_DIGEST_REQUEST,
        EVENT_ENTRIES,
        PADDING,
        VALUES_REQUEST,
        VALUE_IDS,
        PERIOD,
        REFUSED,
        GONE,
        BATCH,
        RECEIVED,
        COMPLETE,
    ];
}

/// A message being written.
pub struct Body(u8, Vec<u8>);

/// Begins a message.
pub fn body(kind: u8) -> Body {
    Body(kind, Vec::new())
}

impl Body {
    /// A number of variable length.
    pub fn int(mut self, mut value: u64) -> Body {
        while value >= 0x80 {
            self.1.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.1.push(value as u8);
        self
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Body {
        self.1.extend_from_slice(bytes);
        self
    }

    /// Bytes with their number before them.
    pub fn bytes(self, bytes: &[u8]) -> Body {
        self.int(bytes.len() as u64).raw(bytes)
    }

    /// A text with its length before it.
    pub fn text(self, text: &str) -> Body {
        self.bytes(text.as_bytes())
    }

    /// The address of a machine.
    pub fn addr(self, place: u32) -> Body {
        let [_, a, b, c] = place.to_be_bytes();
        self.bytes(&[10, a, b, c]).int(7946)
    }

    /// An event's identity.
    pub fn id(self, ltime: u64, origin: u64) -> Body {
        self.int(ltime).raw(&origin.to_le_bytes())
    }

    /// What a member says of itself, without tags.
    pub fn alive(self, node: &str, place: u32, incarnation: u32, boot: u64) -> Body {
        let body = self.text(node).addr(place).int(incarnation as u64).int(boot);
        body.raw(&[1, 0]).raw(&Identity::VERSIONS)
    }

    /// The whole message.
    pub fn end(self) -> Vec<u8> {
        let mut message = vec![self.0];
        message.extend_from_slice(&(self.1.len() as u16).to_le_bytes());
        message.extend(self.1);
        message
    }
}

/// A member lives.
pub fn alive(node: &str, place: u32, incarnation: u32, boot: u64) -> Vec<u8> {
    body(kind::ALIVE).alive(node, place, incarnation, boot).end()
}

/// A member in a page. `state`: 0 alive, 1 leaving, 2 failed, 3 left.
pub fn record(node: &str, place: u32, incarnation: u32, boot: u64, state: u64, status_ltime: u64) -> Vec<u8> {
    body(kind::RECORD).alive(node, place, incarnation, boot).int(state).int(status_ltime).int(0).end()
}

/// A member is suspected or dead, by the word of `from`.
pub fn accusation(kind: u8, node: &str, incarnation: u32, from: &str) -> Vec<u8> {
    accusation_of(kind, node, (incarnation, 0), from)
}

/// The same, of one boot.
pub fn accusation_of(kind: u8, node: &str, (incarnation, boot): (u32, u64), from: &str) -> Vec<u8> {
    body(kind).int(incarnation as u64).int(boot).text(node).text(from).end()
}

/// An intent to join or to leave.
pub fn intent(kind: u8, ltime: u64, node: &str) -> Vec<u8> {
    let body = body(kind).int(ltime).text(node);
    if kind == kind::LEAVE_INTENT { body.raw(&[0]).end() } else { body.end() }
}

/// Which fleet the sender is in; its event clock says 1, and it is an hour old.
pub fn fleet(id: u32) -> Vec<u8> {
    body(kind::FLEET).int(id as u64).int(1).int(3_600).end()
}

/// The answer to a ping.
pub fn ack(seq: u64) -> Vec<u8> {
    body(kind::ACK).int(seq).bytes(&[]).end()
}

/// A user event with its payload.
pub fn event(ltime: u64, origin: u64, name: &[u8], payload: &[u8], coalesce: bool) -> Vec<u8> {
    body(kind::USER_EVENT).id(ltime, origin).raw(&[coalesce as u8]).bytes(name).bytes(payload).end()
}

/// A summary whose digests are those of nobody.
pub fn summary(clock: u64) -> Vec<u8> {
    summary_above(clock, 0)
}

/// As [`summary`], of events above this Lamport time.
pub fn summary_above(clock: u64, floor: u64) -> Vec<u8> {
    let body = body(kind::SUMMARY).int(clock).int(1).int(1).raw(&[1]).int(0xdead).int(0xbeef);
    body.int(floor).raw(&[0]).end()
}

/// What every datagram begins with: the wire, version and flags, and room for the checksum.
pub const HEAD: [u8; 6] = [b'S', 2 << 4, 0, 0, 0, 0];

/// Messages with the outer layer around them.
pub fn datagram(messages: &[Vec<u8>]) -> Vec<u8> {
    checked([&HEAD[..], &messages.concat()].concat())
}

/// Fills a datagram up, as requests must be.
pub fn padded(messages: &[Vec<u8>]) -> Vec<u8> {
    let room = DATAGRAM_MAX - HEAD.len() - messages.concat().len() - 3;
    datagram(&[messages, &[body(kind::PADDING).raw(&vec![0; room]).end()]].concat())
}

/// A datagram with the checksum that its bytes have to have, if it is long enough for one.
pub fn checked(mut datagram: Vec<u8>) -> Vec<u8> {
    if datagram.len() < HEAD.len() {
        return datagram;
    }
    let mut hash = (datagram.len() as u64) << 8 | datagram[1] as u64;
    let mut behind = datagram[HEAD.len()..].to_vec();
    behind.resize(behind.len() / 8 * 8 + 8, 0);
    for word in behind.as_chunks().0 {
        hash ^= u64::from_le_bytes(*word);
        hash = (hash ^ hash >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    datagram[2..6].copy_from_slice(&((hash >> 32) as u32).to_le_bytes());
    datagram
}

/// Kind and body of each message of a datagram.
pub fn read(datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = &datagram[HEAD.len()..];
    let mut messages = Vec::new();
    while let Some((&[kind, low, high], behind)) = rest.split_first_chunk::<3>() {
        let (body, behind) = behind.split_at(u16::from_le_bytes([low, high]) as usize);
        messages.push((kind, body.to_vec()));
        rest = behind;
    }
    messages
}

/// Takes a number off the front.
pub fn take(body: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = body[0];
        *body = &body[1..];
        value |= ((byte & 0x7f) as u64) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// The number at the front.
pub fn number(mut body: &[u8]) -> u64 {
    take(&mut body)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Lines of a name and its bytes.
    fn examples(text: &'static str) -> BTreeMap<&'static str, &'static str> {
        let hex = |text: &str| text.starts_with("53") && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.lines().filter_map(|line| line.split_once(' ')).filter(|(_, bytes)| hex(bytes)).collect()
    }

    /// What `docs/protocol.md` shows is what is on the wire: each message that the core can write.
    #[test]
    fn the_examples_of_the_protocol_are_those_of_the_core() {
        let shown = examples(include_str!("../../docs/protocol.md"));
        let mut written = examples(include_str!("../../serf-nostd/tests/wire/native-v2.txt"));
        written.extend(examples(include_str!("../../serf-nostd/tests/wire/sealed-v2.txt")));
        assert_eq!(shown, written);
    }
}
