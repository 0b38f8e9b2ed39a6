use heapless::Vec;
use serde::{Deserialize, Serialize};
use serf_nostd::wire::message::*;

/// A datagram of each kind, by name, in hexadecimal digits: what every released version has put on the wire.
const RELEASED: &str = include_str!("../../../serf-nostd/tests/wire/native-v2.txt");

/// Bytes in front of a message's body: the wire, version and flags, checksum (4), kind, length (2).
const HEAD: usize = 9;

/// Decodes the body of every released message and encodes it again. Returns how many there were.
///
/// # Errors
/// The name of the first that does not come back as it was.
pub fn codec() -> Result<usize, &'static str> {
    let mut compared = 0;
    for line in RELEASED.lines().filter(|line| !line.starts_with('#')) {
        let (name, hex) = line.split_once(' ').ok_or(line)?;
        // Lists are no single body.
        if name != "lists" {
            round_trip(name, hex).ok_or(name)?;
            compared += 1;
        }
    }
    Ok(compared)
}

fn round_trip(name: &str, hex: &str) -> Option<()> {
    let datagram = bytes(hex)?;
    let body = datagram.get(HEAD..)?;
    match name {
        "ping" => same::<Ping<'_>>(body),
        "indirect-ping" => same::<IndirectPing<'_>>(body),
        "ack" => same::<Ack<'_>>(body),
        "nack" => same::<Nack>(body),
        "alive" => same::<Alive<'_>>(body),
        "suspect" | "dead" => same::<Accusation<'_>>(body),
        "join-intent" => same::<JoinIntent<'_>>(body),
        "leave-intent" => same::<LeaveIntent<'_>>(body),
        "user-event" => same::<UserEvent<'_>>(body),
        "targeted-event" => same::<(UserEvent<'_>, &[u8])>(body),
        "query" => same::<Query<'_>>(body),
        "query-response" => same::<QueryResponse<'_>>(body),
        "summary" => same::<Summary>(body),
        "join" => same::<Join<'_>>(body),
        "join-answer" => same::<JoinAnswer>(body),
        "name-taken" | "values" | "challenge" | "challenge-answer" | "refused" | "received" | "complete" => {
            same::<u32>(body)
        }
        "page-request" => same::<PageRequest>(body),
        // Two words of fixed length, written before their values are known.
        "page" => same::<([u8; 4], [u8; 4])>(body),
        "record" => same::<Record<'_>>(body),
        "digest-request" => same::<DigestRequest<'_>>(body),
        "event-digest-request" => same::<EventDigestRequest<'_>>(body),
        "fleet" => same::<Fleet>(body),
        "former" => same::<Former>(body),
        "history" => same::<History>(body),
        "tag" | "period" => same::<[u8; 2]>(body),
        "new-key" => same::<(u64, &[u8])>(body),
        "cluster" | "gone" => same::<&str>(body),
        "batch" => same::<Batch>(body),
        "observed" => same::<Address>(body),
        "known" => same::<[u8; 4]>(body),
        "values-request" => same::<ValuesRequest>(body),
        _ => None,
    }
}

fn bytes(hex: &str) -> Option<Vec<u8, 128>> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn same<'a, T: Serialize + Deserialize<'a>>(body: &'a [u8]) -> Option<()> {
    let value: T = postcard::from_bytes(body).ok()?;
    let mut again = [0; 128];
    (*postcard::to_slice(&value, &mut again).ok()? == *body).then_some(())
}
