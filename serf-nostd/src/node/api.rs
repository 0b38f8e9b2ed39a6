//! What goes in and out at the door: inputs, outputs, errors.

use core::error::Error;
use core::fmt;
use core::net::SocketAddr;

use crate::events::UserEvent;
use crate::membership::{Member, MemberChange};
use crate::time::{Duration, Instant};
use crate::wire::message::EventId;
#[cfg(feature = "seal")]
use crate::wire::seal::Keys;

/// Something that comes in.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'i> {
    /// A UDP datagram.
    Datagram {
        /// Where it came from.
        from: SocketAddr,
        /// Its payload, which is opened in place: what is left in it afterwards is of no use.
        bytes: &'i mut [u8],
    },
    /// The host of an address says that nobody listens there: ICMP port unreachable (3/3 of version 4, 1/4 of version 6) for a datagram
    /// of this node's, sent by that host itself; a router's is not to be handed in.
    #[cfg(feature = "inquest")]
    Unreachable {
        /// Where the datagram went.
        to: SocketAddr,
        /// The first bytes of its payload, which are quoted: 17 at least, or it is not known again.
        quoted: &'i [u8],
    },
}

/// Something to do.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Output<'o> {
    /// Send this datagram. If it can't be sent, drop it: the protocol's own retries cover it.
    Datagram {
        /// Where to.
        to: SocketAddr,
        /// Its payload, in the buffer given to [`crate::Node::poll`].
        bytes: &'o [u8],
    },
    /// Something that the application wants to know.
    Event(Event<'o>),
    /// Nothing to do before this instant, unless something comes in.
    Sleep(Instant),
}

/// News for the application.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event<'o> {
    /// A user event: at most once per event and boot.
    User(UserEvent<'o>),
    /// Somebody asks, and this node is meant: to be answered with [`crate::Node::respond`], or
    /// [`crate::Node::decline`], so that the asker does not wait in vain. At most once per query and boot.
    Query(Question<'o>),
    /// A member has received this query of the node's own.
    QueryAck(EventId, &'o str),
    /// A member's answer to this query of the node's own: its name, and any bytes.
    QueryResponse(EventId, &'o str, &'o [u8]),
    /// A query of the node's own has ended: all whom it has asked have answered or do not live any more, or its time is over. Of a fleet
    /// that it does not hold as a whole it asks, and waits for, those whom it holds.
    QueryDone(EventId),
    /// The keys are these now, and are to be kept over the next start. If an order says so, whoever gave it waits for
    /// [`crate::Node::keys_kept`].
    #[cfg(feature = "seal")]
    Keys(Option<EventId>, Keys<'o>),
    /// A member changed. Changes of one window come one after the other.
    Member(MemberChange, Member<'o>),
    /// A join was answered.
    Joined(SocketAddr),
    /// A join was not answered in time.
    JoinFailed(SocketAddr),
    /// The first join was refused: another node that answers has this name. The node should be shut down.
    NameTaken(SocketAddr),
    /// Another node, at this address, goes by this node's name, and both live: two fleets have met, or a machine was
    /// cloned. The others go by whoever booted first. Told once a minute at most; one of the two should be renamed.
    NameConflict(SocketAddr),
    /// [`crate::Node::leave`] is complete.
    Left,
}

/// What a node is asked.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Question<'o> {
    /// To answer with.
    pub id: EventId,
    /// What it is about.
    pub name: &'o str,
    /// Any bytes.
    pub payload: &'o [u8],
    /// Who asks.
    pub source: &'o str,
    /// How long the asker still waited when it came here.
    pub timeout: Duration,
}

/// Why a node can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetupError {
    /// This field of [`crate::Memory`] has a length that breaks its rule.
    Memory(&'static str),
    /// The name is empty, longer than 128 bytes, or longer than the storage's names.
    Name,
    /// The tags are longer than 512 bytes, or than the storage's tags.
    Tags,
    /// The boot number is not below 2^46.
    Boot,
    /// The limit for events is beyond what fits a datagram: 1,327 bytes.
    EventSize,
    /// One of the intervals and timeouts of a second's work (probe, gossip, reconnect) is zero.
    Timing,
    /// The floor is not below 2^61: what stands there was never written.
    Floor,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Memory(field) => {
                write!(f, "the memory for {field} has a length that breaks its rule")
            }
            SetupError::Name => {
                f.write_str("the name is empty, longer than 128 bytes, or than the storage's")
            }
            SetupError::Tags => f.write_str("the tags are longer than 512 bytes, or than the storage's"),
            SetupError::Boot => f.write_str("the boot number is not below 2^46"),
            SetupError::EventSize => f.write_str("the limit for events is above 1,327 bytes"),
            SetupError::Timing => f.write_str("an interval or timeout is zero"),
            SetupError::Floor => f.write_str("the event floor is not below 2^61"),
        }
    }
}

impl Error for SetupError {}

/// How much of what is bounded is in use: for `serf info`, and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Gauges {
    /// Members held, this node included.
    pub members: usize,
    /// Of them failed.
    pub failed: usize,
    /// Of them left.
    pub left: usize,
    /// Lamport time of the next intent.
    pub member_time: u64,
    /// Lamport time of the next event.
    pub event_time: u64,
    /// One more than the Lamport time of the last query. The next one gets the event clock's.
    pub query_time: u64,
    /// Events at or below this Lamport time are not delivered any more.
    pub event_floor: u64,
    /// Which fleet this node is in, as far as events go; 0 until it has met somebody.
    pub fleet: u32,
    /// Identities of events remembered.
    pub seen: usize,
    /// Slots in use for events and foreign messages.
    pub slots: usize,
    /// Own events that others have not shown to have.
    pub own: usize,
    /// Events held by the coalescer.
    pub coalescing: usize,
    /// Events that wait for the application.
    pub waiting: usize,
    /// News about members still to be sent.
    pub gossip: usize,
    /// Lifeguard's health score, 0 is well.
    pub awareness: u8,
}

/// Why a join was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JoinError {
    /// Too many joins are running (8): try again when one has been told of.
    Busy,
    /// The node is leaving or has left.
    Left,
}

/// Why a leave was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LeaveError {
    /// It is leaving already, or has left.
    AlreadyLeaving,
}

/// Why tags were not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TagsError {
    /// Longer than 512 bytes, or than this storage holds.
    TooLong,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinError::Busy => "too many joins are running: try again when one has been told of",
            JoinError::Left => "the node is leaving or has left",
        })
    }
}

impl fmt::Display for LeaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeaveError::AlreadyLeaving => "the node is leaving already, or has left",
        })
    }
}

impl fmt::Display for TagsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TagsError::TooLong => "the tags are longer than 512 bytes, or than the storage's",
        })
    }
}

impl Error for JoinError {}
impl Error for LeaveError {}
impl Error for TagsError {}
