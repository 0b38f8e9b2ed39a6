//! What is to be sent to one node: noted when a request comes (or a member is to be pinged out of turn), written when the caller polls. Bounded; the newest is refused,
//! since whoever asked asks again.

use crate::wire::message::{Address, EventId};
use crate::wire::seal::Reply;

/// Most records that one request may name.
pub(crate) const RECORDS: usize = 16;

/// One answer, and to whom. Opaque outside the core.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
pub struct Outgoing {
    pub(crate) to: Address,
    /// Longest datagram that may be sent: to an address that has not answered us no more than it sent.
    pub(crate) limit: u16,
    pub(crate) reply: Reply,
    pub(crate) what: Answer,
}

impl Outgoing {
    /// A free place.
    pub const EMPTY: Outgoing = Outgoing {
        to: Address::UNSET,
        limit: 0,
        reply: Reply::PLAIN,
        what: Answer::Ack {
            seq: 0,
            above: EventId::LOWEST,
            asker: 0,
            values: false,
            history: false,
            outdated: false,
            elsewhere: false,
        },
    };
}

/// What is to be sent: 40 bytes, in the order of these fields.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "zeroed", derive(zerocopy::FromZeros))]
#[repr(u8)]
pub(crate) enum Answer {
    /// An ack, with a summary above this event, what is believed about the asker if it is not that it lives, the digest of
    /// last values and the history if the ping had one, what this node goes by if the ping said something else, and where it
    /// has come from if that is not where the asker is held to be.
    Ack {
        seq: u32,
        above: EventId,
        asker: u16,
        values: bool,
        history: bool,
        outdated: bool,
        elsewhere: bool,
    },
    /// An ack that came for somebody else.
    RelayedAck {
        seq: u32,
    },
    Nack {
        seq: u32,
    },
    /// Behind it: the target's host refuses what is sent to it.
    #[cfg(feature = "inquest")]
    Refused {
        seq: u32,
    },
    /// A probe on somebody's behalf.
    RelayedPing {
        seq: u32,
        target: u16,
    },
    /// Please probe this member for me.
    IndirectPing {
        seq: u32,
        target: u16,
    },
    /// A probe of a member, with what is held against it.
    Ping {
        seq: u32,
        target: u16,
    },
    /// A payload that was asked for.
    Event {
        id: EventId,
    },
    /// It is held: whoever wants it may ask for it.
    IHave {
        id: EventId,
    },
    /// It is not held any more.
    DontHave {
        id: EventId,
    },
    /// It is below the floor here.
    TooOld {
        id: EventId,
    },
    /// All of a batch is here.
    Received {
        answer: u32,
    },
    /// An answer to a query has come.
    Confirmed {
        id: EventId,
    },
    /// Answer to a join: what is known about the joiner, and where it is seen if it says something else.
    Join {
        nonce: u32,
        joiner: u16,
        pages: bool,
        elsewhere: bool,
    },
    NameTaken {
        nonce: u32,
    },
    /// This cluster has another name.
    OtherCluster,
    /// Who this node is, in answer to a challenge; or a challenge alone.
    Proof,
    /// Which key this node seals with, to whom that is news.
    #[cfg(feature = "seal")]
    NewKey,
    /// Records from this name hash on.
    Page {
        nonce: u32,
        cursor: u32,
    },
    /// The entries of these buckets from this name hash on.
    Entries {
        nonce: u32,
        cursor: u32,
        buckets: u32,
    },
    /// The records of these members.
    Records {
        nonce: u32,
        ids: [u16; RECORDS],
    },
    /// The identities of last values from this place on.
    Values {
        nonce: u32,
        cursor: u32,
    },
    /// The ids of these buckets above one and from the other on.
    EventEntries {
        buckets: u16,
        nonce: u32,
        above: EventId,
        cursor: EventId,
    },
}
