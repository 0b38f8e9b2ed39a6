//! What an application sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serf_nostd::wire::message::EventId;
use serf_nostd::{Event, MemberChange, Status};

/// What an application saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A user event.
    User {
        /// Lamport time and origin.
        id: (u64, u64),
        /// Its name.
        name: Vec<u8>,
        /// Its payload.
        payload: Vec<u8>,
        /// Whether it could be coalesced.
        coalesce: bool,
    },
    /// It is asked this, and has answered with its name and the query's payload; to `silent` it says nothing, to `none` that
    /// there is no answer.
    Asked {
        /// Which query.
        id: EventId,
        /// Its name.
        name: String,
        /// Its payload.
        payload: Vec<u8>,
        /// The tags that the node has, encoded.
        tags: Vec<u8>,
    },
    /// A member has received a query of the node's own.
    QueryAck(EventId, String),
    /// A member's answer to that.
    QueryResponse(EventId, String, Vec<u8>),
    /// Its query has ended.
    QueryDone(EventId),
    /// The node's keys are others now, perhaps as this order says; they are kept at once.
    Keys(Option<EventId>),
    /// A change of a member.
    Member {
        /// What has happened to it.
        change: MemberChange,
        /// Its name.
        name: String,
        /// Which machine is at its address; `usize::MAX` if none is.
        at: usize,
        /// What it is now.
        status: Status,
        /// Its tags, encoded.
        tags: Vec<u8>,
    },
    /// A join was answered.
    Joined,
    /// A join was not answered.
    JoinFailed,
    /// The node's name is taken.
    NameTaken,
    /// Another living node has its name.
    NameConflict,
    /// The node has left.
    Left,
}

impl Seen {
    /// What an event of the node's is to the application; of a member, where it is. What the node itself or the fleet has to
    /// tell is still to be filled in: the node's tags, which machine is at that address.
    pub(crate) fn of(event: Event<'_>) -> (Seen, Option<SocketAddr>) {
        let seen = match event {
            Event::User(event) => Seen::User {
                id: (event.id.ltime, event.id.origin),
                name: event.name.to_vec(),
                payload: event.payload.to_vec(),
                coalesce: event.coalesce,
            },
            Event::Member(change, member) => {
                let seen = Seen::Member {
                    change,
                    name: member.name.to_string(),
                    at: usize::MAX,
                    status: member.status,
                    tags: member.tags.to_vec(),
                };
                return (seen, Some(member.addr));
            }
            Event::Query(query) => Seen::Asked {
                id: query.id,
                name: query.name.to_owned(),
                payload: query.payload.to_vec(),
                tags: Vec::new(),
            },
            Event::QueryAck(id, from) => Seen::QueryAck(id, from.to_owned()),
            Event::QueryResponse(id, from, payload) => {
                Seen::QueryResponse(id, from.to_owned(), payload.to_vec())
            }
            Event::Keys(order, _) => Seen::Keys(order),
            Event::QueryDone(id) => Seen::QueryDone(id),
            Event::Joined(_) => Seen::Joined,
            Event::JoinFailed(_) => Seen::JoinFailed,
            Event::NameTaken(_) => Seen::NameTaken,
            Event::NameConflict(_) => Seen::NameConflict,
            Event::Left => Seen::Left,
            unknown => panic!("the judge does not know {unknown:?}"),
        };
        (seen, None)
    }
}

/// For each machine how often it has heard each payload.
pub type Heard = BTreeMap<(usize, Vec<u8>), u32>;

/// Notes it, as a watcher.
pub fn hear(heard: &mut Heard) -> impl FnMut(usize, u64, u64, Seen) + '_ {
    |i, _, _, seen| {
        if let Seen::User { payload, .. } = seen {
            *heard.entry((i, payload)).or_default() += 1;
        }
    }
}

/// Who has heard this, once each.
///
/// # Panics
/// Somebody has heard it twice.
pub fn hearers(heard: &Heard, payload: &[u8]) -> Vec<usize> {
    let those = heard.iter().filter(|((_, heard), _)| heard == payload);
    those
        .map(|((i, _), count)| {
            assert_eq!(*count, 1, "{i} hears {payload:?} once");
            *i
        })
        .collect()
}
