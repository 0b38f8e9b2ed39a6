//! The layers of datagrams that are not sealed.

use super::super::message::*;
use super::*;

/// As a node without a key does.
fn open(datagram: &[u8], cluster: Option<u32>) -> Result<Messages<'_>, Reject> {
    if is_sealed(datagram)? { Err(Reject::Sealed) } else { super::open(datagram, cluster) }
}

const ALIVE: Alive<'static> = Alive {
    node: "node-1",
    addr: Address::UNSET,
    incarnation: 7,
    boot: 1_700_000_000_000_000,
    tags: Some(&[0xff, 0x81, 0xa4, b'r', b'o', b'l', b'e', 0xa3, b'w', b'e', b'b']),
    versions: [1, 5, 2, 2, 5, 5],
};
const ID: EventId = EventId { ltime: 300, origin: 0x0123_4567_89ab_cdef };

/// A message of each kind but lists, with its name.
pub(crate) fn messages(mut each: impl FnMut(&str, &Message<'_>)) {
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
        #[cfg(feature = "seal")]
        ("challenge", Message::Challenge(0xdead_beef)),
        #[cfg(feature = "seal")]
        ("challenge-answer", Message::ChallengeAnswer(0xdead_beef)),
        #[cfg(feature = "seal")]
        ("new-key", Message::NewKey(300, &[1, 2, 3])),
        ("values-request", Message::ValuesRequest(ValuesRequest { nonce: 6, cursor: 8 })),
        ("cluster", Message::Cluster("blue")),
        ("observed", Message::Observed(v4)),
        ("period", Message::Period(0x1234)),
        ("batch", Message::Batch(Batch { number: 0xdead_beef, answer: 0x0bad_cafe, behind: 2, members: 49 })),
        ("received", Message::Received(0xdead_beef)),
        ("complete", Message::Complete(0xdead_beef)),
        #[cfg(feature = "inquest")]
        ("refused", Message::Refused(7)),
        #[cfg(feature = "inquest")]
        ("gone", Message::Gone("node-1")),
    ];
    messages.iter().for_each(|(name, message)| each(name, message));
}

/// One datagram for each kind of message, with its name; lists in one more.
fn samples(mut each: impl FnMut(&str, &[u8])) {
    let mut buf = [0; DATAGRAM_MAX];
    messages(|name, message| {
        let mut packet = Packet::new(&mut buf, None, DATAGRAM_MAX);
        assert!(packet.push(message));
        let len = packet.check();
        let mut decoded = open(&buf[..len], None).expect("our own");
        assert_eq!(decoded.next(), Some(Ok(*message)), "{name} comes back as it was");
        assert_eq!(decoded.next(), None);
        each(name, &buf[..len]);
    });
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
    let len = packet.check();
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
    let released = include_str!("../../../tests/wire/native-v2.txt");
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
    assert_eq!(open(&[b'S', VERSION | 4, 0, 0, 0, 0], None).err(), Some(Reject::Version));
    assert_eq!(open(&[b'S', VERSION | 3, 0, 0, 0, 0], None).err(), Some(Reject::Version));
    assert_eq!(open(&[b'S', VERSION | 2, 0, 0, 0, 0], None).err(), Some(Reject::Sealed));
    assert_eq!(open(&[b'S', VERSION], None).err(), Some(Reject::Malformed));
    assert_eq!(open(&[0; DATAGRAM_MAX + 1], None).err(), Some(Reject::TooLong));
    let later = checked(&[b'S', VERSION, 0, 0, 0, 0, 200, 1, 0, 42]);
    let read: std::vec::Vec<_> = open(&later, None).expect("ours").collect();
    assert_eq!(read, [Ok(Message::Unknown)], "a kind of a later version is skipped");
}
