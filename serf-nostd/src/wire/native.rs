//! The native wire's bytes of a message: kind, length (u16, little-endian), postcard body.
//!
//! Lists are items one after the other up to the end of the body, so that they are written without a second buffer.

use core::marker::PhantomData;

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

fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Malformed> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(Malformed),
    }
}

fn head<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, &'a [u8]), Malformed> {
    postcard::take_from_bytes(body).map_err(|_| Malformed)
}

fn items<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<Items<'a, T>, Malformed> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = head::<T>(rest)?.1;
    }
    Ok(Items { bytes, kind: PhantomData })
}

fn named(node: &str) -> Result<(), Malformed> {
    if (1..=NAME_MAX).contains(&node.len()) { Ok(()) } else { Err(Malformed) }
}

fn alive_ok(alive: &Alive) -> Result<(), Malformed> {
    named(alive.node)?;
    timely(alive.boot)?;
    if alive.tags.is_some_and(|tags| tags.len() > TAGS_MAX) { Err(Malformed) } else { Ok(()) }
}

fn timely(ltime: u64) -> Result<(), Malformed> {
    if ltime < LTIME_LIMIT { Ok(()) } else { Err(Malformed) }
}

/// Reads one body. Bounds that hold for every node (names, tags, times) are checked here, once.
pub(crate) fn decode(kind: u8, body: &[u8]) -> Result<Message<'_>, Malformed> {
    Ok(match kind {
        kind::PING => {
            let ping: Ping = whole(body)?;
            named(ping.node)?;
            named(ping.source)?;
            Message::Ping(ping)
        }
        kind::INDIRECT_PING => {
            let ping: IndirectPing = whole(body)?;
            named(ping.node)?;
            named(ping.source)?;
            Message::IndirectPing(ping)
        }
        kind::ACK => Message::Ack(whole(body)?),
        kind::NACK => Message::Nack(whole(body)?),
        kind::ALIVE => {
            let alive = whole(body)?;
            alive_ok(&alive)?;
            Message::Alive(alive)
        }
        kind::SUSPECT | kind::DEAD => {
            let accusation: Accusation = whole(body)?;
            named(accusation.node)?;
            named(accusation.from)?;
            if kind == kind::DEAD { Message::Dead(accusation) } else { Message::Suspect(accusation) }
        }
        kind::JOIN_INTENT => {
            let intent: JoinIntent = whole(body)?;
            named(intent.node)?;
            timely(intent.ltime)?;
            Message::JoinIntent(intent)
        }
        kind::LEAVE_INTENT => {
            let intent: LeaveIntent = whole(body)?;
            named(intent.node)?;
            timely(intent.ltime)?;
            Message::LeaveIntent(intent)
        }
        kind::USER_EVENT => Message::UserEvent(whole(body)?),
        kind::QUERY => Message::Query(whole(body)?),
        kind::QUERY_RESPONSE => Message::QueryResponse(whole(body)?),
        kind::SUMMARY => Message::Summary(whole(body)?),
        kind::I_HAVE => {
            let (token, rest) = head(body)?;
            Message::IHave(token, items(rest)?)
        }
        kind::I_WANT => {
            let (token, rest) = head(body)?;
            Message::IWant(token, items(rest)?)
        }
        kind::TOO_OLD => Message::TooOld(items(body)?),
        kind::DONT_HAVE => Message::DontHave(items(body)?),
        kind::FLEET => Message::Fleet(whole(body)?),
        kind::FORMER => Message::Former(whole(body)?),
        kind::HISTORY => Message::History(whole(body)?),
        kind::VALUES => Message::Values(whole(body)?),
        kind::TAG => Message::Tag(whole(body)?),
        kind::KNOWN => Message::Known(whole(body)?),
        kind::VALUES_REQUEST => Message::ValuesRequest(whole(body)?),
        kind::VALUE_IDS => {
            let (token, rest) = head(body)?;
            Message::ValueIds(token, items(rest)?)
        }
        kind::JOIN => {
            let join: Join = whole(body)?;
            named(join.node)?;
            timely(join.boot)?;
            Message::Join(join)
        }
        kind::JOIN_ANSWER => Message::JoinAnswer(whole(body)?),
        kind::NAME_TAKEN => Message::NameTaken(whole(body)?),
        kind::PAGE_REQUEST => Message::PageRequest(whole(body)?),
        kind::PAGE => {
            let (nonce, next): ([u8; 4], [u8; 4]) = whole(body)?;
            Message::Page(Page { nonce: u32::from_le_bytes(nonce), next: u32::from_le_bytes(next) })
        }
        kind::RECORD => {
            let record: Record = whole(body)?;
            alive_ok(&record.alive)?;
            timely(record.status_ltime)?;
            Message::Record(record)
        }
        kind::DIGEST_REQUEST => Message::DigestRequest(whole(body)?),
        kind::ENTRIES => Message::Entries(items(body)?),
        kind::RECORDS_REQUEST => {
            let (nonce, rest) = head(body)?;
            Message::RecordsRequest(nonce, items(rest)?)
        }
        kind::EVENT_DIGEST_REQUEST => Message::EventDigestRequest(whole(body)?),
        kind::EVENT_ENTRIES => {
            let ((nonce, token, next), rest) = head(body)?;
            Message::EventEntries(EventEntries { nonce, token, next, ids: items(rest)? })
        }
        kind::PADDING => Message::Padding,
        _ => Message::Unknown,
    })
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
        Message::Query(m) => put(kind::QUERY, m, buf),
        Message::QueryResponse(m) => put(kind::QUERY_RESPONSE, m, buf),
        Message::Summary(m) => put(kind::SUMMARY, m, buf),
        Message::Join(m) => put(kind::JOIN, m, buf),
        Message::JoinAnswer(m) => put(kind::JOIN_ANSWER, m, buf),
        Message::NameTaken(nonce) => put(kind::NAME_TAKEN, nonce, buf),
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
        | Message::Padding
        | Message::Unknown => None,
    }
}

fn put<T: Serialize>(kind: u8, body: &T, buf: &mut [u8]) -> Option<(u8, usize)> {
    let written = postcard::to_slice(body, buf).ok()?.len();
    Some((kind, written))
}
